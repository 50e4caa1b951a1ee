//! Finding what is dead, without a list of it: tombstones, and values whose time is over.
//!
//! Of each slot the store knows a stamp that none of its tombstones is older than, and when the
//! first of its values ends; so whoever looks passes over the slots that have nothing to find. A
//! value that is found to be over while it may not go yet is counted among the tombstones from then
//! on, so that it is looked at again only when it may.

use super::{PageCursor, Store};
use crate::{
    record::{Db, Record, Version},
    slot::Slot,
};

/// What one database is looked through for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The database.
    pub db: Db,
    /// What is no newer than this stamp may be due.
    pub hlc: u64,
    /// Values that ended at this time or before, in Unix milliseconds, are dead.
    pub over_ms: u64,
}

impl Search {
    fn is_dead(&self, record: &Record<'_>) -> bool {
        record.visible(self.over_ms).is_none()
    }
}

impl Store {
    /// A stamp that nothing dead of `db` that was found so far is older than; the highest there is
    /// if there is none.
    #[must_use]
    pub fn oldest_dead(&self, db: Db) -> u64 {
        self.database(db).oldest.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Whether something dead of `db` that was found so far may be no newer than `hlc`. Costs nothing
    /// as long as there is none.
    pub fn has_dead_until(&mut self, db: Db, hlc: u64) -> bool {
        if self.database(db).oldest_of_all > hlc {
            return false;
        }
        let oldest = self.oldest_dead(db);
        self.database_mut(db).oldest_of_all = oldest;
        oldest <= hlc
    }

    /// A time before which no value of `db` ends, but for those that were found to be over.
    #[must_use]
    pub fn earliest_end(&self, db: Db) -> u64 {
        self.database(db).ends.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// The first slot from `first` on in which a search may find something: what is due, or a value
    /// that is over and was not known to be.
    #[must_use]
    pub fn next_with_dead(&self, search: &Search, first: u32) -> Option<u32> {
        let database = self.database(search.db);
        let oldest = database.oldest.get(first as usize..)?;
        let both = oldest.iter().zip(database.ends.get(first as usize..)?);
        let ahead = both
            .into_iter()
            .position(|(oldest, end)| *oldest <= search.hlc || *end <= search.over_ms)?;
        Some(first + ahead as u32)
    }

    /// Looks at about `budget` records of a slot from `cursor` on, and adds what is dead and `due`
    /// to `found`: the caller removes all of it. Returns where to go on, or nothing at the slot's
    /// end.
    pub fn find_dead(
        &mut self,
        search: &Search,
        (slot, cursor): (u32, PageCursor),
        budget: &mut usize,
        due: impl Fn(&Record<'_>) -> bool,
        found: &mut Vec<(Box<[u8]>, Version)>,
    ) -> Option<PageCursor> {
        let db = search.db;
        if cursor == PageCursor::default() {
            self.note_left(db, slot, |_| (u64::MAX, u64::MAX));
        }
        let (mut oldest, mut earliest) = (u64::MAX, u64::MAX);
        let next = self.page(db, Slot(slot), cursor, |record| {
            *budget = budget.saturating_sub(1);
            if !search.is_dead(&record) {
                earliest = earliest.min(record.expires_at_ms.unwrap_or(u64::MAX));
            } else if due(&record) {
                found.push((record.key.into(), record.version));
            } else {
                oldest = oldest.min(record.version.hlc());
            }
            *budget > 0
        });
        self.note_left(db, slot, |(stamp, end)| (stamp.min(oldest), end.min(earliest)));
        next
    }

    fn note_left(&mut self, db: Db, slot: u32, change: impl FnOnce((u64, u64)) -> (u64, u64)) {
        let database = self.database_mut(db);
        let (oldest, ends) = (&mut database.oldest, &mut database.ends);
        if let (Some(oldest), Some(end)) =
            (oldest.get_mut(slot as usize), ends.get_mut(slot as usize))
        {
            (*oldest, *end) = change((*oldest, *end));
            database.oldest_of_all = database.oldest_of_all.min(*oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NodeId;

    /// Searches all slots, three records at a time, and removes what is found.
    fn sweep(store: &mut Store, search: &Search) -> usize {
        let (mut found, mut slot, mut cursor) = (Vec::new(), 0, PageCursor::default());
        let mut removed = 0;
        loop {
            let begun = cursor != PageCursor::default();
            let next = store.next_with_dead(search, slot);
            let Some(next) = Some(slot).filter(|_| begun).or(next) else { return removed };
            let due = |record: &Record<'_>| record.version.hlc() <= search.hlc;
            match store.find_dead(search, (next, cursor), &mut 3, due, &mut found) {
                Some(more) => (slot, cursor) = (next, more),
                None => (slot, cursor) = (next + 1, PageCursor::default()),
            }
            for (key, version) in std::mem::take(&mut found) {
                assert!(store.remove(search.db, &key, version));
                removed += 1;
            }
        }
    }

    fn put(store: &mut Store, key: u64, hlc: u64, value: Option<&[u8]>, end: Option<u64>) {
        let key = format!("k{key}");
        let (db, version) = (Db::EVENTUAL, Version::stamp(hlc, NodeId(0), 1));
        store.merge(&Record { db, key: key.as_bytes(), version, expires_at_ms: end, value });
    }

    #[test]
    fn slots_without_old_tombstones_are_passed_over() {
        let (db, mut store) = (Db::EVENTUAL, Store::new(8, 1, 2));
        assert_eq!(store.oldest_dead(db), u64::MAX);
        for n in 0..60_u64 {
            put(&mut store, n, 100 + n, Some(&b"v"[..]).filter(|_| n % 3 > 0), None);
        }
        assert_eq!(store.oldest_dead(db), 100);
        assert_eq!(store.oldest_dead(Db::QUORUM), u64::MAX);
        assert_eq!(sweep(&mut store, &Search { db, hlc: 130, over_ms: 0 }), 11);
        assert_eq!(store.tombstones(db), 9, "those above");
        assert_eq!((store.live(db), store.oldest_dead(db)), (40, 133));
        store.check();
    }

    #[test]
    fn what_is_over_is_found_once_and_goes_when_it_may() {
        let (db, mut store) = (Db::EVENTUAL, Store::new(8, 1, 2));
        let value = Some(&b"v"[..]);
        for n in 0..60_u64 {
            put(&mut store, n, 100 + n, value, Some(1000 + n).filter(|_| n % 2 == 0));
        }
        assert_eq!((store.earliest_end(db), store.oldest_dead(db)), (1000, u64::MAX));
        assert_eq!(store.next_with_dead(&Search { db, hlc: 200, over_ms: 999 }, 0), None);
        // Over, but none of them due: from now on they count among the tombstones.
        assert_eq!(sweep(&mut store, &Search { db, hlc: 99, over_ms: 1020 }), 0);
        assert_eq!((store.earliest_end(db), store.oldest_dead(db)), (1022, 100));
        assert_eq!(store.next_with_dead(&Search { db, hlc: 99, over_ms: 1020 }, 0), None);
        assert_eq!(sweep(&mut store, &Search { db, hlc: 110, over_ms: 1020 }), 6);
        assert_eq!((store.live(db), store.expiring(db)), (54, 24));
        assert_eq!((store.earliest_end(db), store.oldest_dead(db)), (1022, 112));
        assert_eq!(sweep(&mut store, &Search { db, hlc: 200, over_ms: 5000 }), 24);
        assert_eq!((store.live(db), store.expiring(db)), (30, 0));
        assert_eq!((store.earliest_end(db), store.oldest_dead(db)), (u64::MAX, u64::MAX));
        store.check();
    }
}
