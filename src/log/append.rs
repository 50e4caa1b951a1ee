//! The writer's side of the log: frames behind frames, segment after segment.
//!
//! ```text
//!   append a   append b   sync   append c   rotate:  sync, log-<d>, append d   sync
//!   mark 0     mark 0            mark b                            mark c
//! ```
//!
//! Invariants: a segment is created only when everything before it is synced; a frame counts as
//! synced only when its segment's name is; after a failure nothing more is written, because nobody
//! knows what the disk holds. The process ends, and the next start finds out.

use super::{
    disk::{Disk, DiskError},
    frame::{Seq, encode_frame},
    header::{HEADER_SIZE, Header, Kind, Owner},
};
use crate::probe::{Mutant, planted};

/// A segment that has this many bytes is left for a new one: what a checkpoint has made superfluous
/// can be removed only segment by segment.
pub const SEGMENT_SIZE: u64 = 64 * 1024 * 1024;
/// A scratch buffer larger than this is given back after a large batch.
const SCRATCH_KEPT: usize = 1024 * 1024;

/// Writes the log of one life.
#[derive(Debug)]
pub struct Appender<D: Disk> {
    owner: Owner,
    current: Option<Segment<D::File>>,
    /// At most `last`.
    synced: Seq,
    last: Seq,
    /// This life has ended with the mark of a clean shutdown.
    clean: bool,
    written: u64,
    segment_size: u64,
    /// After a failure: what it was.
    failed: Option<DiskError>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Segment<F> {
    file: F,
    first: Seq,
    seed: u64,
    size: u64,
    /// Its name lasts through a power failure.
    named: bool,
}

impl<D: Disk> Appender<D> {
    /// Goes on behind a log that ends with `last` and is synced to its end.
    pub(super) const fn new(owner: Owner, last: Seq) -> Self {
        Self {
            owner,
            current: None,
            synced: last,
            last,
            clean: false,
            written: 0,
            segment_size: SEGMENT_SIZE,
            failed: None,
            scratch: Vec::new(),
        }
    }

    /// Leaves segments at another size than [`SEGMENT_SIZE`].
    pub const fn set_segment_size(&mut self, bytes: u64) {
        self.segment_size = bytes;
    }

    /// Writes one frame, in a new segment if `rotate` says so or the current one is full. Then it
    /// also syncs what was written before.
    ///
    /// # Errors
    /// If the disk fails, now or before.
    ///
    /// # Panics
    /// If `payload` is over [`super::PAYLOAD_SIZE_MAX`].
    pub fn append(&mut self, disk: &mut D, payload: &[u8], rotate: bool) -> Result<Seq, DiskError> {
        self.guarded(|this| {
            this.write(disk, payload, rotate, false)?;
            Ok(this.last)
        })
    }

    /// Waits until all that was appended lasts through a power failure. Frames carry the new mark
    /// from now on.
    ///
    /// # Errors
    /// If the disk fails, now or before.
    pub fn sync(&mut self, disk: &mut D) -> Result<(), DiskError> {
        self.guarded(|this| this.sync_all(disk))
    }

    /// Syncs everything and ends the log with a frame that says so.
    ///
    /// # Errors
    /// If the disk fails, now or before.
    pub fn close(&mut self, disk: &mut D) -> Result<(), DiskError> {
        self.guarded(|this| {
            if this.clean {
                return Ok(());
            }
            if planted(Mutant::CleanMarkUnsynced) {
                this.synced = this.last;
            }
            this.sync_all(disk)?;
            this.write(disk, b"", false, true)?;
            if planted(Mutant::CleanMarkUnsynced) {
                this.synced = this.last;
            }
            this.sync_all(disk)?;
            this.clean = true;
            Ok(())
        })
    }

    /// Whose log it is.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The first frame of the segment that is being written, if this life has begun one.
    #[must_use]
    pub fn segment(&self) -> Option<Seq> {
        self.current.as_ref().map(|segment| segment.first)
    }

    /// The last frame.
    #[must_use]
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// The last frame that lasts through a power failure.
    #[must_use]
    pub const fn synced(&self) -> Seq {
        self.synced
    }

    /// Bytes that this life has written, headers included.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Whether the next frame begins a segment, which takes a sync.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.current.as_ref().is_none_or(|held| held.size >= self.segment_size)
    }

    fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = act(self);
        self.failed = result.as_ref().err().cloned();
        debug_assert!(self.synced <= self.last);
        result
    }

    fn write(
        &mut self,
        disk: &mut D,
        payload: &[u8],
        rotate: bool,
        clean: bool,
    ) -> Result<(), DiskError> {
        let full = self.is_full();
        let mut segment = match self.current.take() {
            Some(segment) if !full && !rotate => segment,
            left => {
                self.current = left;
                self.sync_all(disk)?;
                self.begin(disk)?
            }
        };
        let seq = self.last.next();
        let mark = if clean { seq } else { self.synced };
        encode_frame(segment.seed, seq, mark, payload, &mut self.scratch);
        disk.write(&segment.file, segment.size, &self.scratch)?;
        segment.size += self.scratch.len() as u64;
        self.written += self.scratch.len() as u64;
        self.current = Some(segment);
        self.last = seq;
        self.clean = false;
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    fn begin(&mut self, disk: &mut D) -> Result<Segment<D::File>, DiskError> {
        debug_assert_eq!(self.synced, self.last);
        let first = self.last.next();
        let header = Header::new(Kind::Segment, self.owner, first);
        let file = disk.create(&Kind::Segment.name(first))?;
        disk.write(&file, 0, &header.encode())?;
        let size = HEADER_SIZE as u64;
        self.written += size;
        Ok(Segment { file, first, seed: header.seed(), size, named: false })
    }

    fn sync_all(&mut self, disk: &mut D) -> Result<(), DiskError> {
        let Some(segment) = &mut self.current else { return Ok(()) };
        if self.synced == self.last {
            return Ok(());
        }
        disk.sync(&segment.file)?;
        if !segment.named {
            if !planted(Mutant::NoNamesSync) {
                disk.sync_names()?;
            }
            segment.named = true;
        }
        self.synced = self.last;
        Ok(())
    }
}
