//! Taking a checkpoint: all tables written out, slice by slice, while writes go on.
//!
//! Records are merged by version, so an image may be fuzzy: it holds of each record the state of
//! some moment after the checkpoint began, and the log from that moment on makes up for the rest.
//! What the image must hold is all that stands only in older segments of the log. So a checkpoint
//! begins by asking for a new segment: every entry before it has been applied by then. No fork, no
//! copy, no pause: a slice takes some tens of microseconds and waits for the disk's room.

use crate::{
    log::{Batch, Entry},
    record::Db,
    slot::Slot,
    store::{PageCursor, Store},
    time::Now,
};

/// Slots looked at for one slice: empty ones cost time too.
const SLOTS_PER_SLICE: u32 = 1024;

/// The checkpoint under way, and what is known of the last.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Checkpoint {
    stage: Stage,
    /// Bytes of the image under way.
    size: u64,
    /// Bytes of the last complete image, and of what the log held before this life's first.
    last_size: u64,
    log_before: u64,
    /// Bytes that had been logged when the last one began.
    logged_at: u64,
    /// How many were completed in this life, and when the last one was, by the wall clock.
    completed: u64,
    completed_at_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    /// None is under way.
    #[default]
    Idle,
    /// The next batch must open a new segment.
    Wanted,
    /// This batch opens it.
    Rotating(Batch),
    /// The image is about to begin.
    Beginning,
    /// The next slice begins here.
    Walking { db: usize, slot: u32, cursor: PageCursor },
    /// All slices are written. They may show what the log does not have before this batch.
    Settling(Batch),
    /// The log has everything that the image shows.
    Settled,
    /// The disk makes the image durable.
    Ending,
}

/// A piece of an image, for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePart<'a> {
    /// A new image, which stands for everything before the newest segment of the log.
    Begin,
    /// Entries of the image.
    Entries(&'a [u8]),
    /// The image is whole: to be made durable, then what it stands for may be removed.
    End,
}

impl Checkpoint {
    /// None yet; the start counts as the last, as in Redis.
    pub(crate) fn new(now: Now) -> Self {
        Self { completed_at_ms: now.wall_ms, ..Self::default() }
    }

    /// What was found at the start: so many bytes in the checkpoint and so many in the log.
    pub(crate) const fn recover(&mut self, image: u64, log: u64) {
        self.last_size = image;
        self.log_before = log;
    }

    /// Whether one is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Begins one, if none is under way.
    pub(crate) fn want(&mut self) {
        if self.is_idle() {
            self.stage = Stage::Wanted;
        }
    }

    /// Whether the log has grown so much that a checkpoint is worth while.
    pub(crate) fn is_due(&self, logged: u64, log_min: u64) -> bool {
        self.is_idle() && self.log_size(logged) >= self.last_size.max(log_min)
    }

    /// Bytes that a restart would replay besides the checkpoint.
    pub(crate) const fn log_size(&self, logged: u64) -> u64 {
        self.log_before + logged - self.logged_at
    }

    /// Bytes of the last complete image.
    pub(crate) const fn last_size(&self) -> u64 {
        self.last_size
    }

    /// Checkpoints completed in this life.
    pub(crate) const fn completed(&self) -> u64 {
        self.completed
    }

    /// When the last one was completed, in Unix milliseconds.
    pub(crate) const fn completed_at_ms(&self) -> u64 {
        self.completed_at_ms
    }

    /// How much of the image is written, in a hundred.
    pub(crate) fn percent(&self, slots: u32) -> u32 {
        match self.stage {
            Stage::Idle => 100,
            Stage::Wanted | Stage::Rotating(_) | Stage::Beginning => 0,
            Stage::Walking { db, slot, .. } => {
                let walked = db as u64 * u64::from(slots) + u64::from(slot);
                (walked * 100 / (Db::COUNT as u64 * u64::from(slots))) as u32
            }
            Stage::Settling(_) | Stage::Settled | Stage::Ending => 99,
        }
    }

    /// A batch goes to the log, the last of what was `logged`; whether it must open a new segment.
    pub(crate) fn on_batch(&mut self, batch: Batch, logged_before: u64) -> bool {
        let rotates = self.stage == Stage::Wanted;
        if rotates {
            self.stage = Stage::Rotating(batch);
            (self.log_before, self.logged_at, self.size) = (0, logged_before, 0);
        }
        rotates
    }

    /// A batch is durable.
    pub(crate) fn on_durable(&mut self, batch: Batch) {
        match self.stage {
            Stage::Rotating(awaited) if awaited <= batch => self.stage = Stage::Beginning,
            Stage::Settling(awaited) if awaited <= batch => self.stage = Stage::Settled,
            Stage::Idle
            | Stage::Wanted
            | Stage::Rotating(_)
            | Stage::Beginning
            | Stage::Walking { .. }
            | Stage::Settling(_)
            | Stage::Settled
            | Stage::Ending => {}
        }
    }

    /// The image is durable.
    pub(crate) fn on_saved(&mut self, now: Now) {
        if self.stage == Stage::Ending {
            self.stage = Stage::Idle;
            self.last_size = self.size;
            self.completed += 1;
            self.completed_at_ms = now.wall_ms;
        }
    }

    /// Whether a new segment is asked for even if there is nothing to log.
    pub(crate) fn wants_segment(&self) -> bool {
        self.stage == Stage::Wanted
    }

    /// Whether there is a piece to be written now.
    pub(crate) const fn has_part(&self) -> bool {
        matches!(self.stage, Stage::Beginning | Stage::Walking { .. } | Stage::Settled)
    }

    /// The next piece; `slice` is a buffer for its bytes, and about how many there may be.
    /// `others` writes what is to stand in the image besides the store.
    /// `unlogged` is the batch that the log lacks, if it lacks any.
    pub(crate) fn part<'b>(
        &mut self,
        store: &Store,
        bound: u64,
        unlogged: Option<Batch>,
        slice: &'b mut Vec<u8>,
        size: usize,
        others: impl FnOnce(&mut Vec<u8>),
    ) -> Option<ImagePart<'b>> {
        slice.clear();
        match self.stage {
            Stage::Idle
            | Stage::Wanted
            | Stage::Rotating(_)
            | Stage::Settling(_)
            | Stage::Ending => None,
            Stage::Beginning => {
                let cursor = PageCursor::default();
                self.stage = Stage::Walking { db: 0, slot: 0, cursor };
                Some(ImagePart::Begin)
            }
            Stage::Walking { db: Db::COUNT.., .. } | Stage::Settled => {
                let settles = self.stage != Stage::Settled;
                if let Some(batch) = unlogged.filter(|_| settles) {
                    // Complete it may show no more than the log has: a copy of image and log would
                    // be the state of no moment.
                    self.stage = Stage::Settling(batch);
                    return None;
                }
                self.stage = Stage::Ending;
                Some(ImagePart::End)
            }
            Stage::Walking { db, slot, cursor } => {
                if (db, slot, cursor) == (0, 0, PageCursor::default()) {
                    facts(store, bound, slice);
                    others(slice);
                }
                self.stage = walk(store, db, slot, cursor, slice, size);
                self.size += slice.len() as u64;
                Some(ImagePart::Entries(slice))
            }
        }
    }
}

/// What stands before the records of an image.
fn facts(store: &Store, bound: u64, out: &mut Vec<u8>) {
    Entry::Bound { hlc: bound }.encode(out);
    for db in Db::ALL {
        Entry::Flush { db, stamp: store.flushed(db) }.encode(out);
    }
}

/// Writes records from a place on until there are about `size` bytes; where to go on.
fn walk(
    store: &Store,
    mut db: usize,
    mut slot: u32,
    mut cursor: PageCursor,
    out: &mut Vec<u8>,
    size: usize,
) -> Stage {
    for _ in 0..SLOTS_PER_SLICE {
        let Some(database) = Db::ALL.get(db) else { break };
        let next = store.page(*database, Slot(slot), cursor, |record| {
            Entry::Record(record).encode(out);
            out.len() < size
        });
        match next {
            Some(next) => return Stage::Walking { db, slot, cursor: next },
            None => cursor = PageCursor::default(),
        }
        slot += 1;
        if slot == store.slots() {
            (db, slot) = (db + 1, 0);
        }
        if out.len() >= size {
            break;
        }
    }
    Stage::Walking { db, slot, cursor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    /// A backup reads image and log. While the log lacked what the image showed, it had of two
    /// writes the later one only.
    #[test]
    fn an_image_ends_when_the_log_has_all_that_it_shows() {
        let now = Now { mono: Instant::from_micros(0), wall_ms: 0 };
        let (store, mut slice) = (Store::new(8, 0, 0), Vec::new());
        let mut checkpoint = Checkpoint::new(now);
        checkpoint.want();
        assert!(checkpoint.on_batch(Batch(1), 0));
        checkpoint.on_durable(Batch(1));
        while let Some(part) = checkpoint.part(&store, 0, Some(Batch(3)), &mut slice, 100, |_| {}) {
            assert_ne!(part, ImagePart::End, "batch 3 is not in the log");
        }
        checkpoint.on_durable(Batch(2));
        assert!(!checkpoint.has_part());
        checkpoint.on_durable(Batch(3));
        let part = checkpoint.part(&store, 0, Some(Batch(4)), &mut slice, 100, |_| {});
        assert_eq!(part, Some(ImagePart::End), "what came later does not matter");
        checkpoint.on_saved(now);
        assert!(checkpoint.is_idle());
    }
}
