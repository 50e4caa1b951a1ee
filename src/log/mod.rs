//! The log and its checkpoints: what a replica must not forget, as bytes in files.
//!
//! Everything here works on a [`Disk`] that is handed in, so the same code runs on a real directory
//! and on a simulated one. It knows records but no tables: what it reads back it shows entry by
//! entry, and whoever owns the tables merges them.

mod disk;
mod entry;

pub use disk::{Disk, DiskError};
pub use entry::{Entry, EntryError};
