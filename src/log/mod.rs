//! The log and its checkpoints: what a replica must not forget, as bytes in files.
//!
//! Everything here works on a [`Disk`] that is handed in, so the same code runs on a real directory
//! and on a simulated one. It knows records but no tables: what it reads back it shows entry by
//! entry, and whoever owns the tables merges them.
//!
//! ```text
//!   identity                         whose directory it is, and which life of it
//!   checkpoint-0000000000000351      everything before frame 0x351
//!   log-0000000000000200             frames 0x200 to 0x3ff: those below 0x351 count no more
//!   log-0000000000000400             frames 0x400 and on; only the last segment grows
//!   checkpoint.tmp, identity.tmp     unfinished; removed by the next start
//! ```
//!
//! A batch of entries is one frame ([`Appender`]); frames count up by one, across segments and
//! lives. Each frame carries the mark: the highest frame known to be synced when it was written. A
//! segment is begun only when the one before it is synced to its end, so that its name alone is a
//! mark too, and only the last segment can have a torn end. This is what tells a power failure from
//! damage: what is bad at or below a mark was whole once, and is damage; what is bad above all
//! marks was never vouched for, and the log is cut there. A life never writes into a segment of an
//! earlier one.
//!
//! A checkpoint ([`Imager`]) is a fuzzy image: entries read while writes went on, exact together
//! with the log from its start on. It counts only under its final name, and it gets that name after
//! it is synced; only then is removed what it makes superfluous. [`open`] replays the newest
//! checkpoint and the log behind it. On damage it refuses; with [`Mode::Repair`] it salvages what
//! is intact and says from then on, until [`recovered`], that this node has lost data.
//!
//! Deliberately absent: a secret in the checksums (they find accidents, not forgery), compression,
//! and locks between processes, which belong to whoever opens the directory.

#![deny(clippy::indexing_slicing)]

mod append;
mod disk;
mod entry;
mod frame;
mod header;
mod identity;
mod image;
pub mod memory;
mod recover;
mod survey;
mod verify;
mod walk;

/// The number of a batch of entries that goes to the log at once and becomes durable at once. They
/// count up from one within a life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch(pub u64);

pub use append::{Appender, SEGMENT_SIZE};
pub use disk::{Disk, DiskError};
pub use entry::{Entry, EntryError};
pub use frame::{PAYLOAD_SIZE_MAX, Seq};
pub use header::Owner;
pub use identity::{Habit, Home, Loss, recovered};
pub use image::{Imager, Saved};
pub use recover::{Mode, OpenError, Opened, Report, Salvaged, open, open_with};
pub use survey::{Cut, Fault, Finding, Progress};
pub use verify::{Verified, backup, verify};

#[cfg(test)]
mod tests;
