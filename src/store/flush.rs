//! Flushing a database: at once for whoever looks, bit by bit for the memory.
//!
//! Freeing a million records takes a good part of a second. So tables that are dead as a whole, which
//! is nearly all of them, are only put aside, and given back some at a time.

use std::{
    hash::{Hash, Hasher},
    hint::black_box,
};

use hashbrown::HashTable;

use super::{Counts, Store, digest_item};
use crate::{
    record::{Blob, Db, Version},
    slot::Slot,
};

/// Records given back at a time, at least: a fraction of a millisecond of work.
const FREED_MIN: usize = 4096;
/// The same as a part of all that wait: whoever flushes and fills again without end must not be
/// faster.
const FREED_PART: usize = 256;

/// A block of a size that an allocator does not take from those for small ones.
const LARGER_BLOCK: usize = 64 * 1024;

/// Tables that nobody sees any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Buried {
    tables: Vec<HashTable<Blob>>,
    records: usize,
}

/// It is held no more.
impl Hash for Buried {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Store {
    /// Forgets all records of `db` at or below `stamp`, for ever. Whether the stamp was news.
    pub fn flush(&mut self, db: Db, stamp: Version) -> bool {
        if stamp <= self.flushed(db) {
            return false;
        }
        let database = self.database_mut(db);
        database.flushed = stamp;
        database.counts = Counts::default();
        for slot in (0..self.slots).map(Slot) {
            self.flush_slot(db, slot, stamp);
        }
        true
    }

    fn flush_slot(&mut self, db: Db, slot: Slot, stamp: Version) {
        let (seed, at) = (self.digest_seed, slot.index());
        let Self { databases, buried, .. } = self;
        let Some(database) = databases.get_mut(db.index()) else { return };
        let counts = &mut database.counts;
        let (Some(table), Some(digest)) =
            (database.tables.get_mut(at), database.digests.get_mut(at))
        else {
            return;
        };
        if table.is_empty() {
            return;
        }
        if database.newest.get(at).is_some_and(|newest| *newest <= stamp) {
            let table = std::mem::take(table);
            buried.records += table.len();
            buried.tables.push(table);
            *digest = 0;
            return;
        }
        table.retain(|blob| blob.version() > stamp);
        if table.is_empty() {
            *table = HashTable::new();
        }
        *digest = table.iter().fold(0, |sum, blob| sum.wrapping_add(digest_item(blob, seed)));
        table.iter().for_each(|blob| counts.add(blob));
    }

    /// Whether there is memory to be given back.
    #[must_use]
    pub const fn has_buried(&self) -> bool {
        !self.buried.tables.is_empty()
    }

    /// Gives some memory back.
    pub fn free_some(&mut self) {
        if !self.has_buried() {
            return;
        }
        let Buried { tables, records } = &mut self.buried;
        let mut left = FREED_MIN.max(*records / FREED_PART);
        while left > 0
            && let Some(table) = tables.pop()
        {
            *records -= table.len();
            left = left.saturating_sub(table.len().max(1));
        }
        if tables.is_empty() {
            *tables = Vec::new();
        }
        // glibc only gathers small blocks that are freed, and joins all of them when it is asked for
        // a larger one. Of a million that took most of a second: it is asked now, while they are
        // few.
        drop(black_box(Vec::<u8>::with_capacity(LARGER_BLOCK)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NodeId, Record};

    #[test]
    fn what_is_newer_than_a_flush_stays_and_the_rest_is_given_back_bit_by_bit() {
        let (db, mut store) = (Db::EVENTUAL, Store::new(64, 1, 2));
        let version = |hlc| Version::stamp(hlc, NodeId(0), 1);
        let put = |store: &mut Store, key: u64, hlc| {
            let key = format!("k{key}");
            let (version, value) = (version(hlc), Some(&b"v"[..]));
            store.merge(&Record { db, key: key.as_bytes(), version, expires_at_ms: None, value })
        };
        assert!((0..10_000).all(|key| put(&mut store, key, 10 + key)));
        assert!((0..5).all(|key| put(&mut store, key, 50_000)));
        assert!(store.flush(db, version(20_000)) && !store.flush(db, version(20_000)));
        assert_eq!((store.live(db), store.has_buried()), (5, true));
        store.check();
        assert!(!put(&mut store, 7, 20_000) && put(&mut store, 7, 20_001));
        let before = store.buried.records;
        assert!(before > 8000, "five slots keep something: {before}");
        store.free_some();
        let freed = before - store.buried.records;
        assert!((FREED_MIN..FREED_MIN + 400).contains(&freed), "{freed}");
        while store.has_buried() {
            store.free_some();
        }
        assert_eq!((store.live(db), store.buried.records), (6, 0));
        store.check();
    }
}
