//! An exhaustive search through what real nodes can do.
//!
//! The protocol was checked as a model; this is the same for the code. A few real nodes
//! ([`crate::node::Node`]: acceptor, candidate, leader, sessions, journal and all) stand in a world
//! that can be copied (`world`). From each world everything is tried that can happen next
//! (`choice`): a client asks, a piece arrives on a link, a timer fires, a disk completes, a link
//! breaks, a node crashes and comes back. What was reached before, by whichever way, is not searched
//! again. So within the bounds of a setup (`setup`) every order of events is covered, and the way
//! to a failure is a shortest one (`search`). In each world the invariants of PROTOCOL section 14
//! are judged (`judge`), and all that clients have seen (`story`) must be linearizable.
//!
//! What a transport makes impossible is not tried: links are TCP, so nothing is reordered or
//! duplicated within one. What happens instead is that links end, each side at its time; that both
//! sides go on over a new one, in the same session or another; and that what is owed on the old one
//! comes up later (`wires`).
//!
//! To keep spaces small, a setup may say that disks complete and answers arrive at once. The
//! greeting of a new link is always one step, heartbeats and the repair of the other databases are
//! none, and what all learn of a crash they learn with it. All nodes see each other when the search
//! begins. What is searched stands in [`setups`].

mod choice;
mod disk;
mod judge;
mod search;
mod setup;
pub mod setups;
mod story;
mod wires;
mod world;

pub use search::{Found, Violation, explore};
pub use setup::{Act, Ask, Loss, Pace, Role, Setup};
