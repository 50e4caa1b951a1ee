//! Walking one slot's table a page at a time while it changes.
//!
//! The cursor is a bucket index. Records stay in their bucket until the table grows; then the walk
//! starts over, which repeats some records but misses none that was there all the time.

use super::Store;
use crate::{
    record::{Blob, Db, Record},
    slot::Slot,
};

/// Where a walk of one slot has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCursor {
    /// Size of the table when the walk began; another size means that it must begin again.
    buckets: usize,
    next: usize,
}

impl PageCursor {
    /// The cursor of [`PageCursor::to_parts`].
    #[must_use]
    pub const fn from_parts((buckets, next): (u64, u64)) -> Self {
        Self { buckets: buckets as usize, next: next as usize }
    }

    /// The cursor as integers, for a message.
    #[must_use]
    pub const fn to_parts(self) -> (u64, u64) {
        (self.buckets as u64, self.next as u64)
    }
}

impl Store {
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
        if cursor.buckets != table.num_buckets() {
            cursor = PageCursor { buckets: table.num_buckets(), next: 0 };
        }
        while cursor.next < cursor.buckets {
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
