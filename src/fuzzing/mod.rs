//! Bodies of the fuzz targets, here so that `cargo test` runs them on the seed corpus too, and the
//! cluster in memory that they and the golden scripts run on.

pub mod cluster;
mod dialogue;
mod log;
mod memory;
mod model;
mod peer;

pub use dialogue::{resp, text};
pub use log::log;
pub use memory::Memory;
pub use model::model;
pub use peer::peer;
