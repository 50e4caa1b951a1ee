//! What the log asks of a disk: files of one directory, by name.
//!
//! Two things are behind it: a directory of the operating system, and in simulation a disk that
//! forgets, tears and refuses. A disk promises no more than POSIX does: what was written lasts
//! through a power failure only once the file was synced, and a file's name only once the names
//! were.

use std::fmt;

/// The files of one data directory.
pub trait Disk {
    /// An open file.
    type File: fmt::Debug;

    /// The names of all files, in ascending order.
    ///
    /// # Errors
    /// If the directory can't be read.
    fn names(&mut self) -> Result<Vec<String>, DiskError>;

    /// Makes a new, empty file.
    ///
    /// # Errors
    /// If there is one of that name, or the disk fails.
    fn create(&mut self, name: &str) -> Result<Self::File, DiskError>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// If there is none of that name, or the disk fails.
    fn open(&mut self, name: &str) -> Result<Self::File, DiskError>;

    /// How long a file is, in bytes.
    ///
    /// # Errors
    /// If the disk fails.
    fn size(&mut self, file: &Self::File) -> Result<u64, DiskError>;

    /// Reads from `offset` on until `into` is full or the file ends; says how many bytes it read.
    ///
    /// # Errors
    /// If the disk fails.
    fn read(&mut self, file: &Self::File, offset: u64, into: &mut [u8])
    -> Result<usize, DiskError>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// If the disk fails; then any part of `bytes` may have been written.
    fn write(&mut self, file: &Self::File, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Cuts a file off after `size` bytes.
    ///
    /// # Errors
    /// If the disk fails.
    fn truncate(&mut self, file: &Self::File, size: u64) -> Result<(), DiskError>;

    /// Waits until all that was written to a file lasts through a power failure.
    ///
    /// # Errors
    /// If the disk fails; then what was written since the last sync may be lost, even if it can
    /// still be read and a later sync succeeds.
    fn sync(&mut self, file: &Self::File) -> Result<(), DiskError>;

    /// Gives a file another name, in place of any file of that name.
    ///
    /// # Errors
    /// If the disk fails.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file.
    ///
    /// # Errors
    /// If the disk fails.
    fn remove(&mut self, name: &str) -> Result<(), DiskError>;

    /// Waits until all files made, renamed and removed stay so through a power failure.
    ///
    /// # Errors
    /// If the disk fails.
    fn sync_names(&mut self) -> Result<(), DiskError>;
}

/// A disk failed: what it was doing, to which file, and what the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// What failed, as in `sync`.
    pub action: &'static str,
    /// The file or directory, as a person would find it.
    pub file: String,
    /// The system's words.
    pub reason: String,
    /// There is no room left.
    pub full: bool,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't {} {}: {}", self.action, self.file, self.reason)?;
        if self.full { write!(f, "; make room and start again") } else { Ok(()) }
    }
}

impl std::error::Error for DiskError {}
