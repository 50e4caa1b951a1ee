//! Checkpoints: everything before a frame of the log, in one file, so that the log need not be
//! kept.
//!
//! ```text
//!   begin(start)   checkpoint.tmp     header | frame 1 | frame 2 | ...
//!   finish                            ... | last frame: 2 frames, n entries;  sync
//!                  checkpoint-<start> renamed;  names synced
//!                  older checkpoints and segments before start removed;  names synced
//! ```
//!
//! The file is walked and written while the log goes on; so an entry in it may be newer than its
//! start, and the log behind it is replayed over it. A crash at any point leaves either the old
//! state or the new one, and perhaps files that count no more, which the next sweep removes.

use super::{
    disk::{Disk, DiskError},
    entry::{Entry, EntryError},
    frame::{LAST, PAYLOAD_SIZE_MAX, Seq, encode_frame},
    header::{HEADER_SIZE, Header, Kind, Owner, UNFINISHED},
};
use crate::probe::{Mutant, planted};

/// A frame is written when it has this many bytes: large enough that its head costs nothing.
const FRAME_SIZE: usize = 64 * 1024;
/// The file is synced each time this much was written, so that a log that wants to sync meanwhile
/// waits for little: what the file system has not written yet of one file can hold up another.
const SYNC_SIZE: u64 = 256 * 1024;

/// Writes one checkpoint.
#[derive(Debug)]
pub struct Imager<D: Disk> {
    file: D::File,
    start: Seq,
    seed: u64,
    size: u64,
    synced: u64,
    frames: Seq,
    entries: u64,
    gathered: Vec<u8>,
    scratch: Vec<u8>,
}

/// A checkpoint that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its size.
    pub bytes: u64,
    /// How many entries it has.
    pub records: u64,
}

impl<D: Disk> Imager<D> {
    /// Begins a checkpoint of everything before `start`, in place of one that was not finished.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn begin(disk: &mut D, owner: Owner, start: Seq) -> Result<Self, DiskError> {
        if disk.names()?.iter().any(|name| name == UNFINISHED) {
            disk.remove(UNFINISHED)?;
        }
        let file = disk.create(UNFINISHED)?;
        let header = Header::new(Kind::Checkpoint, owner, start);
        disk.write(&file, 0, &header.encode())?;
        Ok(Self {
            file,
            start,
            seed: header.seed(),
            size: HEADER_SIZE as u64,
            synced: 0,
            frames: Seq(0),
            entries: 0,
            gathered: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Adds whole entries.
    ///
    /// # Errors
    /// If the disk fails.
    ///
    /// # Panics
    /// If `payload` is no sequence of entries, or over half of [`PAYLOAD_SIZE_MAX`].
    pub fn write(&mut self, disk: &mut D, payload: &[u8]) -> Result<(), DiskError> {
        assert!(payload.len() <= PAYLOAD_SIZE_MAX / 2, "parts of an image are bounded");
        self.entries += count(payload).expect("an image is made of entries");
        self.gathered.extend_from_slice(payload);
        if self.gathered.len() >= FRAME_SIZE { self.write_frame(disk) } else { Ok(()) }
    }

    /// Completes the checkpoint, makes it last, and removes what it replaces.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn finish(self, disk: &mut D) -> Result<Saved, DiskError> {
        let start = self.start;
        let saved = self.complete(disk)?;
        sweep(disk, start)?;
        Ok(saved)
    }

    /// Completes the checkpoint and makes it last.
    pub(super) fn complete(mut self, disk: &mut D) -> Result<Saved, DiskError> {
        if !self.gathered.is_empty() {
            self.write_frame(disk)?;
        }
        let counts = [self.frames.0.to_le_bytes(), self.entries.to_le_bytes()].concat();
        self.write_bytes(disk, Seq(LAST), &counts)?;
        if planted(Mutant::SegmentRemovedEarly) {
            sweep(disk, self.start)?;
        }
        disk.sync(&self.file)?;
        disk.rename(UNFINISHED, &Kind::Checkpoint.name(self.start))?;
        if !planted(Mutant::NoNamesSync) {
            disk.sync_names()?;
        }
        Ok(Saved { bytes: self.size, records: self.entries })
    }

    fn write_frame(&mut self, disk: &mut D) -> Result<(), DiskError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.write_bytes(disk, Seq(0), &gathered)?;
        gathered.clear();
        self.gathered = gathered;
        if self.size - self.synced >= SYNC_SIZE {
            disk.sync(&self.file)?;
            self.synced = self.size;
        }
        Ok(())
    }

    fn write_bytes(&mut self, disk: &mut D, mark: Seq, payload: &[u8]) -> Result<(), DiskError> {
        let seq = self.frames.next();
        encode_frame(self.seed, seq, mark, payload, &mut self.scratch);
        disk.write(&self.file, self.size, &self.scratch)?;
        self.size += self.scratch.len() as u64;
        self.frames = seq;
        Ok(())
    }
}

fn count(mut payload: &[u8]) -> Result<u64, EntryError> {
    let mut entries = 0;
    while Entry::split_first(&mut payload)?.is_some() {
        entries += 1;
    }
    Ok(entries)
}

/// Removes what a complete checkpoint from `start` makes superfluous: older checkpoints, and
/// segments that hold only frames before it, which the name of the next segment tells.
pub(super) fn sweep<D: Disk>(disk: &mut D, start: Seq) -> Result<(), DiskError> {
    let names = disk.names()?;
    let of = |wanted| {
        let ours = names.iter().filter_map(|name| Kind::of(name));
        ours.filter(move |(kind, _)| *kind == wanted).map(|(_, first)| first)
    };
    let segment = of(Kind::Segment).filter(|first| *first <= start).max().unwrap_or_default();
    let old = of(Kind::Checkpoint).filter(|first| *first < start);
    let old = old.map(|first| Kind::Checkpoint.name(first));
    let passed = of(Kind::Segment).filter(|first| *first < segment);
    let passed = passed.map(|first| Kind::Segment.name(first));
    let mut any = false;
    for name in old.chain(passed) {
        disk.remove(&name)?;
        any = true;
    }
    if any { disk.sync_names() } else { Ok(()) }
}
