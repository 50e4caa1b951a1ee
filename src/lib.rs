//! quorate: being written.
pub mod buffer;
pub mod command;
pub mod conn;
pub mod limits;
pub mod members;
pub mod node;
pub mod proto;
pub mod record;
pub mod rng;
pub mod slot;
pub mod store;
pub mod time;
pub mod turn;
