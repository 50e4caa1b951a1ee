//! The operating system: sockets, files, clocks, signals and the loop that drives a node with them.
//!
//! The only folder of the library that touches any of these. It decides nothing about keys, replies
//! or peers: it hands the node what arrived, lets [`crate::turn::finish_turn`] take the node's
//! output, and sleeps.
//!
//! One thread runs one [`Reactor`] and shares nothing with others, except that a [`Stopper`] may be
//! used from anywhere. Two more threads write to its disk and talk to it by messages.
//! Deliberately absent: an async runtime, a pool of threads, locks around data.

mod clock;
mod data;
mod directory;
mod disk;
mod listener;
mod log_thread;
mod memory;
mod open_files;
mod reactor;
mod socket;
mod sockets;
mod stop;

pub use data::{DataOptions, NodeError, Recovered, Recovering};
pub use directory::Directory;
pub use listener::Listeners;
pub use open_files::links_max;
pub use reactor::Reactor;
pub use stop::Stopper;
