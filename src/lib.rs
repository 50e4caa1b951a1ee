//! quorate: being written.
pub mod buffer;
pub mod limits;
pub mod members;
pub mod node;
pub mod record;
pub mod rng;
pub mod slot;
pub mod time;
pub mod turn;

pub mod os;

pub mod config;
