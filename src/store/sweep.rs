//! Finding tombstones that are due, without a list of them.
//!
//! Of each slot the store knows a stamp that none of its tombstones is older than, so whoever looks
//! for old ones passes over the slots that have none.

use super::{PageCursor, Store};
use crate::{
    record::{Db, Version},
    slot::Slot,
};

impl Store {
    /// A stamp that no tombstone of `db` is older than; the highest there is if it has none.
    #[must_use]
    pub fn oldest_tombstone(&self, db: Db) -> u64 {
        self.database(db).oldest.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// The first slot from `first` on that may hold a tombstone at or below a stamp.
    #[must_use]
    pub fn next_with_tombstone(&self, db: Db, first: u32, hlc: u64) -> Option<u32> {
        let rest = self.database(db).oldest.get(first as usize..)?;
        let ahead = rest.iter().position(|oldest| *oldest <= hlc)?;
        Some(first + ahead as u32)
    }

    /// Looks at about `budget` records of a slot from `cursor` on, and adds the tombstones that are
    /// `due` to `found`: the caller removes all of them. Returns where to go on, or nothing at the
    /// slot's end.
    pub fn find_tombstones(
        &mut self,
        db: Db,
        slot: u32,
        cursor: PageCursor,
        budget: &mut usize,
        due: impl Fn(Version) -> bool,
        found: &mut Vec<(Box<[u8]>, Version)>,
    ) -> Option<PageCursor> {
        if cursor == PageCursor::default() {
            self.note_oldest(db, slot, |_| u64::MAX);
        }
        let mut left = u64::MAX;
        let next = self.page(db, Slot(slot), cursor, |record| {
            *budget = budget.saturating_sub(1);
            if record.value.is_none() {
                if due(record.version) {
                    found.push((record.key.into(), record.version));
                } else {
                    left = left.min(record.version.hlc());
                }
            }
            *budget > 0
        });
        self.note_oldest(db, slot, |oldest| oldest.min(left));
        next
    }

    fn note_oldest(&mut self, db: Db, slot: u32, change: impl FnOnce(u64) -> u64) {
        if let Some(oldest) = self.database_mut(db).oldest.get_mut(slot as usize) {
            *oldest = change(*oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NodeId, Record};

    #[test]
    fn slots_without_old_tombstones_are_passed_over() {
        let (db, mut store) = (Db::EVENTUAL, Store::new(8, 1, 2));
        let version = |hlc| Version::stamp(hlc, NodeId(0), 1);
        let put = |store: &mut Store, key: &[u8], hlc, value| {
            let version = version(hlc);
            store.merge(&Record { db, key, version, expires_at_ms: None, value });
        };
        assert_eq!(store.oldest_tombstone(db), u64::MAX);
        for n in 0..60_u64 {
            let value = Some(&b"v"[..]).filter(|_| n % 3 > 0);
            put(&mut store, format!("k{n}").as_bytes(), 100 + n, value);
        }
        assert_eq!(store.oldest_tombstone(db), 100);
        assert_eq!(store.oldest_tombstone(Db::QUORUM), u64::MAX);
        let (mut found, mut slot, mut cursor) = (Vec::new(), 0, PageCursor::default());
        loop {
            let begun = cursor != PageCursor::default();
            let next = store.next_with_tombstone(db, slot, 130);
            let Some(next) = Some(slot).filter(|_| begun).or(next) else { break };
            let due = |version: Version| version.hlc() <= 130;
            match store.find_tombstones(db, next, cursor, &mut 3, due, &mut found) {
                Some(more) => (slot, cursor) = (next, more),
                None => (slot, cursor) = (next + 1, PageCursor::default()),
            }
            for (key, version) in std::mem::take(&mut found) {
                assert!(store.remove(db, &key, version));
            }
        }
        assert_eq!(store.tombstones(db), 9, "those above");
        assert_eq!((store.live(db), store.oldest_tombstone(db)), (40, 133));
        store.check();
    }
}
