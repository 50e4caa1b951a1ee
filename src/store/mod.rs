//! The tables: what this replica holds, slot by slot, with a digest of each slot.
//!
//! A table maps a key to its newest record, tombstones included; it never forgets a key by itself,
//! only by [`Store::flush`] and [`Store::remove`]. It helps to find those that are due
//! ([`Store::find_dead`]).
//! Each slot has a table and a digest of its own, so growing one rehashes a few thousandths of the
//! data and comparing replicas reads numbers instead of records. The store knows versions but never
//! makes one: who may stamp is decided above.
//!
//! Invariants, checked by [`Store::check`]: a slot's digest is the sum of the hashes of (version,
//! key) over its table; the counts of live keys and tombstones are those of the tables; no record
//! is at or below its database's flush stamp; while no sweep is under way in it no tombstone of a
//! slot is older than the stamp that is kept for that, and each of its values that have an end ends
//! no earlier than the time that is kept for that, or is no older than that stamp.

use std::hash::{Hash, Hasher};

use hashbrown::{HashTable, hash_table::Entry};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

use crate::{
    probe::{Mutant, planted},
    record::{Blob, Db, Record, Version},
    slot::Slot,
};

mod flush;
mod page;
mod sweep;

use flush::Buried;
pub use page::PageCursor;
pub use sweep::Search;

/// All databases of one replica.
#[derive(Clone, Debug, Hash)]
pub struct Store {
    databases: [Database; Db::COUNT],
    slots: u32,
    /// What flushes have outlived and is not given back yet.
    buried: Buried,
    /// Seeds the tables' hash: chosen by this node alone, so that nobody can aim at one bucket.
    table_seed: u64,
    /// Seeds the digests' hash: the same on all members.
    digest_seed: u64,
}

#[derive(Clone, Debug)]
struct Database {
    tables: Vec<HashTable<Blob>>,
    /// One per table, side by side because comparing replicas reads nothing else.
    digests: Vec<u128>,
    /// How often each table has moved its records without growing.
    moves: Vec<u32>,
    /// Per table: a stamp that none of its tombstones is older than, nor any value that a sweep
    /// found to be over.
    oldest: Vec<u64>,
    /// No more than any of `oldest`.
    oldest_of_all: u64,
    /// Per table: a time, in Unix milliseconds, before which no other value of it ends.
    ends: Vec<u64>,
    /// Per table: no record of it is newer.
    newest: Vec<Version>,
    counts: Counts,
    /// Records at or below this stamp are dead.
    flushed: Version,
}

/// How many records of each kind a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    live: u64,
    tombstones: u64,
    /// Of the live ones.
    expiring: u64,
    /// Of all records together.
    bytes: u64,
}

impl Counts {
    fn add(&mut self, blob: &Blob) {
        self.live += u64::from(!blob.is_tombstone());
        self.tombstones += u64::from(blob.is_tombstone());
        self.expiring += u64::from(blob.expires());
        self.bytes += blob.bytes().len() as u64;
    }

    fn drop(&mut self, blob: &Blob) {
        self.live -= u64::from(!blob.is_tombstone());
        self.tombstones -= u64::from(blob.is_tombstone());
        self.expiring -= u64::from(blob.expires());
        self.bytes -= blob.bytes().len() as u64;
    }
}

impl Store {
    /// An empty store of `slots` slots a database.
    #[must_use]
    pub fn new(slots: u32, digest_seed: u64, table_seed: u64) -> Self {
        let database = || Database {
            tables: (0..slots).map(|_| HashTable::new()).collect(),
            digests: vec![0; slots as usize],
            moves: vec![0; slots as usize],
            oldest: vec![u64::MAX; slots as usize],
            oldest_of_all: u64::MAX,
            ends: vec![u64::MAX; slots as usize],
            newest: vec![Version::NONE; slots as usize],
            counts: Counts::default(),
            flushed: Version::NONE,
        };
        let databases = std::array::from_fn(|_| database());
        Self { databases, slots, buried: Buried::default(), table_seed, digest_seed }
    }

    /// How many slots each database has.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The newest record of `key`, which may be a tombstone.
    #[must_use]
    #[inline]
    pub fn get(&self, db: Db, key: &[u8]) -> Option<Record<'_>> {
        let table = self.database(db).tables.get(Slot::of(key, self.slots).index())?;
        let blob = table.find(self.table_hash(key), |blob| blob.key() == key)?;
        Some(blob.record())
    }

    /// The bytes of the newest record of `key`.
    #[must_use]
    pub fn encoded(&self, db: Db, key: &[u8]) -> Option<&[u8]> {
        let table = self.database(db).tables.get(Slot::of(key, self.slots).index())?;
        table.find(self.table_hash(key), |blob| blob.key() == key).map(Blob::bytes)
    }

    /// Keys that hold a value.
    #[must_use]
    pub const fn live(&self, db: Db) -> u64 {
        self.database(db).counts.live
    }

    /// Keys that hold a value whose time will be over, or is.
    #[must_use]
    pub const fn expiring(&self, db: Db) -> u64 {
        self.database(db).counts.expiring
    }

    /// Deleted keys that are still remembered.
    #[must_use]
    pub const fn tombstones(&self, db: Db) -> u64 {
        self.database(db).counts.tombstones
    }

    /// Bytes of all records, tombstones included, without what tables and allocator add to them.
    #[must_use]
    pub const fn bytes(&self, db: Db) -> u64 {
        self.database(db).counts.bytes
    }

    /// Records of one slot, tombstones included.
    #[must_use]
    pub fn slot_len(&self, db: Db, slot: Slot) -> usize {
        self.database(db).tables.get(slot.index()).map_or(0, HashTable::len)
    }

    /// The stamp of the newest flush; records at or below it are dead.
    #[must_use]
    pub const fn flushed(&self, db: Db) -> Version {
        self.database(db).flushed
    }

    /// The sum of the hashes of the records of `count` slots from `first` on.
    #[must_use]
    pub fn digest(&self, db: Db, first: u32, count: u32) -> u128 {
        let from = first as usize;
        let digests = self.database(db).digests.get(from..from + count as usize);
        digests.unwrap_or_default().iter().fold(0, |sum, digest| sum.wrapping_add(*digest))
    }

    /// Keeps the newer of `record` and what is held of its key. Whether anything changed.
    pub fn merge(&mut self, record: &Record<'_>) -> bool {
        self.update(record.db, record.key, |held| {
            let held = held.map_or(Version::NONE, |held| held.version);
            record.wins_over(held).then_some(*record)
        })
        .is_some()
    }

    /// Shows `decide` the held record of `key` and keeps the record it returns, if any: then the
    /// record's bytes are returned. A record that a flush has outlived is not kept.
    #[inline]
    pub fn update<'r>(
        &mut self,
        db: Db,
        key: &'r [u8],
        decide: impl FnOnce(Option<Record<'_>>) -> Option<Record<'r>>,
    ) -> Option<&[u8]> {
        let hash = self.table_hash(key);
        let (table_seed, digest_seed) = (self.table_seed, self.digest_seed);
        let slot = Slot::of(key, self.slots).index();
        let database = self.databases.get_mut(db.index())?;
        let table = database.tables.get_mut(slot)?;
        let digest = database.digests.get_mut(slot)?;
        let rehash = |blob: &Blob| xxh3_64_with_seed(blob.key(), table_seed);
        if table.len() == table.capacity() {
            // There is no room, or only what removals have left of it.
            let buckets = table.num_buckets();
            table.reserve(1, rehash);
            let moves = database.moves.get_mut(slot)?;
            *moves = moves.wrapping_add(u32::from(table.num_buckets() == buckets));
        }
        let entry = table.entry(hash, |blob| blob.key() == key, rehash);
        let held = match &entry {
            Entry::Occupied(held) => Some(held.get().record()),
            Entry::Vacant(_) => None,
        };
        let record = decide(held)?;
        debug_assert!(record.key == key && record.db == db);
        if record.version <= database.flushed {
            return None;
        }
        let mut rewritten = false;
        let blob = match entry {
            Entry::Vacant(_) if record.value.is_none() && planted(Mutant::TombstoneForgotten) => {
                return None;
            }
            Entry::Occupied(held) => {
                let blob = held.into_mut();
                let outdated = digest_item(blob, digest_seed);
                if !planted(Mutant::DigestNotUpdated) {
                    *digest = digest.wrapping_sub(outdated);
                }
                rewritten = true;
                database.counts.drop(blob);
                blob.replace(&record);
                blob
            }
            Entry::Vacant(free) => free.insert(Blob::of(&record)).into_mut(),
        };
        if !(rewritten && planted(Mutant::DigestNotUpdated)) {
            *digest = digest.wrapping_add(digest_item(blob, digest_seed));
        }
        database.counts.add(blob);
        if let Some(newest) = database.newest.get_mut(slot) {
            *newest = (*newest).max(blob.version());
        }
        if blob.is_tombstone()
            && let Some(oldest) = database.oldest.get_mut(slot)
        {
            *oldest = (*oldest).min(blob.version().hlc());
            database.oldest_of_all = database.oldest_of_all.min(*oldest);
        }
        if let Some(end) = blob.record().expires_at_ms
            && let Some(earliest) = database.ends.get_mut(slot)
        {
            *earliest = (*earliest).min(end);
        }
        Some(blob.bytes())
    }

    /// Takes the record of `key` out if it is the one of `version`, as if there had never been one.
    /// Whether it was. Unlike a flush this is not remembered: an older record that arrives later is
    /// kept, so whoever calls this knows that none is left anywhere.
    pub fn remove(&mut self, db: Db, key: &[u8], version: Version) -> bool {
        let (hash, seed) = (self.table_hash(key), self.digest_seed);
        let slot = Slot::of(key, self.slots).index();
        let database = self.database_mut(db);
        let (tables, digests) = (&mut database.tables, &mut database.digests);
        let (Some(table), Some(digest)) = (tables.get_mut(slot), digests.get_mut(slot)) else {
            return false;
        };
        let exactly = |blob: &Blob| blob.key() == key && blob.version() == version;
        let Ok(held) = table.find_entry(hash, exactly) else { return false };
        let (blob, _) = held.remove();
        *digest = digest.wrapping_sub(digest_item(&blob, seed));
        database.counts.drop(&blob);
        if table.is_empty() {
            *table = HashTable::new();
        }
        true
    }

    /// All records of `db`, in no order that means anything.
    pub fn records(&self, db: Db) -> impl Iterator<Item = Record<'_>> {
        self.database(db).tables.iter().flatten().map(Blob::record)
    }

    /// Checks the invariants at the head of this module against the tables themselves.
    ///
    /// # Panics
    /// If one is broken.
    pub fn check(&self) {
        for db in Db::ALL {
            let database = self.database(db);
            for (number, (table, digest)) in
                database.tables.iter().zip(&database.digests).enumerate()
            {
                let sum = |sum: u128, blob| sum.wrapping_add(digest_item(blob, self.digest_seed));
                assert_eq!(*digest, table.iter().fold(0, sum), "digest of slot {number}");
                for blob in table {
                    assert_eq!(Slot::of(blob.key(), self.slots).index(), number, "slot of a key");
                    assert!(blob.version() > database.flushed, "a flushed record is held");
                }
            }
            let mut counts = Counts::default();
            database.tables.iter().flatten().for_each(|blob| counts.add(blob));
            assert_eq!(database.counts, counts, "counts of database {}", db.number());
        }
    }

    const fn database(&self, db: Db) -> &Database {
        &self.databases[db.index()]
    }

    const fn database_mut(&mut self, db: Db) -> &mut Database {
        &mut self.databases[db.index()]
    }

    fn table_hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.table_seed)
    }
}

/// What is held, not where in the tables it stands.
impl Hash for Database {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for table in &self.tables {
            let sum = |sum: u64, blob: &Blob| sum.wrapping_add(xxh3_64(blob.bytes()));
            table.iter().fold(0, sum).hash(state);
        }
        (&self.digests, self.counts, self.flushed).hash(state);
    }
}

/// What one record adds to its slot's digest: a hash of version and key. The value needs no part in
/// it, since a version names one body.
fn digest_item(blob: &Blob, seed: u64) -> u128 {
    if blob.is_tombstone() && planted(Mutant::DigestIgnoresTombstones) {
        return 0;
    }
    xxh3_128_with_seed(blob.version_and_key(), seed)
}

#[cfg(test)]
mod tests;
