//! Walking one slot's table a page at a time while it changes.
//!
//! The cursor is a bucket index. Records stay in their bucket until the table grows, or clears what
//! removals have left in it; then the walk starts over, which repeats some records but misses none
//! that was there all the time.

use hashbrown::HashTable;

use super::Store;
use crate::{
    record::{Blob, Db, Record},
    slot::Slot,
};

/// Where a walk of one slot has come to. Means something only to the store that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageCursor {
    /// Size and moves of the table when the walk began; others mean that it must begin again.
    layout: u64,
    next: usize,
}

impl PageCursor {
    /// Whether a walk that has begun can go on in a table that is laid out so.
    #[must_use]
    pub const fn is_of(self, layout: u64) -> bool {
        self.layout == layout
    }

    /// The cursor as integers, for a walk that somebody else leads.
    #[must_use]
    pub const fn to_pair(self) -> (u64, u64) {
        (self.layout, self.next as u64)
    }

    /// The cursor of [`PageCursor::to_pair`]. One that no store gave begins a walk or ends it.
    #[must_use]
    pub fn from_pair((layout, next): (u64, u64)) -> Self {
        Self { layout, next: usize::try_from(next).unwrap_or(usize::MAX) }
    }
}

impl Store {
    /// Size and moves of a slot's table: while they are the same its records stay in their places.
    #[must_use]
    pub fn layout(&self, db: Db, slot: Slot) -> u64 {
        let database = self.database(db);
        let buckets = database.tables.get(slot.index()).map_or(0, HashTable::num_buckets);
        let moves = database.moves.get(slot.index()).copied().unwrap_or_default();
        // A table of 2^32 buckets would take more memory than its node has.
        u64::from(moves) << 32 | buckets as u64
    }

    /// Shows `visit` the records of `slot` from `cursor` on, until it returns false or the slot
    /// ends. Returns where to go on, or nothing at the slot's end. The record at which `visit`
    /// returned false counts as seen.
    pub fn page(
        &self,
        db: Db,
        slot: Slot,
        mut cursor: PageCursor,
        mut visit: impl FnMut(Record<'_>) -> bool,
    ) -> Option<PageCursor> {
        let table = self.database(db).tables.get(slot.index())?;
        let (buckets, layout) = (table.num_buckets(), self.layout(db, slot));
        if cursor.layout != layout {
            cursor = PageCursor { layout, next: 0 };
        }
        while cursor.next < buckets {
            let blob = table.get_bucket(cursor.next);
            cursor.next += 1;
            if let Some(record) = blob.map(Blob::record)
                && !visit(record)
            {
                return Some(cursor);
            }
        }
        None
    }
}
