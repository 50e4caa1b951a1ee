//! Growth: a version names one body, and a replica's version of a key never goes down in one life,
//! unless a flush has outlived it. A tombstone may go that the node's floor covers; then nothing
//! that was there before comes back, in no life. A floor that was durable never goes down, nor does the
//! stamp of a flush.
//!
//! A node that may have lost data has no floor, and nothing of this holds for what it removes. It goes
//! by the floors of others then, and may begin with a lower one: what it removed meanwhile must have
//! been covered by somebody's.
//!
//! Looked at while a case is played, whenever a replica's digests have changed, but not each time:
//! what goes down and up again between two looks would have to be caught at the end.

use std::collections::BTreeMap;

use quorate::{
    record::{Ballot, Db, Version},
    store::Store,
};
use xxhash_rust::xxh3::xxh3_64;

use super::{DbKey, Failure, Kind};

const ORACLE: &str = "growth";
/// Of so many turns of a node one is asked whether anything has changed: summing up digests costs
/// more than most turns do.
const TURNS: u32 = 4;
/// One change in so many that were noticed is looked at.
const EVERY: u32 = 2;

/// What was seen of all replicas so far.
#[derive(Debug)]
pub struct Growth {
    nodes: Vec<Seen>,
    /// The hash of each version's body, and at which look it was seen first.
    bodies: BTreeMap<(DbKey, u128), (u64, u64)>,
    /// Looks at all nodes.
    looks: u64,
    /// By node: its floor when last durable, and the versions below which nothing may come back of
    /// keys that it removed, with the look that found it out.
    floors: Vec<u64>,
    /// By node: the stamps of its flushes when last durable.
    flushed: Vec<[u128; Db::COUNT]>,
    /// The highest ballot that any node had promised when a life ended in which it voted, and what it
    /// was when the last cold start began.
    promised: Ballot,
    promised_before: Ballot,
    /// The highest floor that any node has had.
    floor: u64,
    /// By node: whether it has none now, and the highest of any when it last got one again.
    bare: Vec<bool>,
    borrowed: Vec<u64>,
    removed: Vec<BTreeMap<DbKey, Gone>>,
    /// The same of what its log may not have yet. Its next life may hold again what it removed, but
    /// nothing older.
    removing: Vec<BTreeMap<DbKey, Gone>>,
    /// Tombstones that the last look found removed.
    removed_now: Vec<(Db, Vec<u8>, u128)>,
    failure: Option<Failure>,
}

/// What was seen of one node in its present life.
#[derive(Clone, Debug, Default)]
struct Seen {
    digests: [u128; Db::COUNT],
    turns: u32,
    changes: u32,
    looks: u32,
    /// It recovers: what it has in the strong database counts for nothing, and is replaced.
    recovers: bool,
    /// It did at the last look.
    recovered: bool,
    /// It had no floor at some time since the last look.
    bare: bool,
    /// The digests of what it held at the last look, and that by key.
    looked: [u128; Db::COUNT],
    held: [BTreeMap<Vec<u8>, Held>; Db::COUNT],
}

/// What a node has removed for good.
#[derive(Clone, Copy, Debug)]
struct Gone {
    version: u128,
    /// Nothing below this may come back of the key.
    below: u128,
    /// The look that found it out.
    look: u64,
}

/// A record as last seen on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    version: u128,
    body: u64,
    /// At which look.
    look: u32,
}

impl Growth {
    /// Nothing seen yet of so many nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: vec![Seen::default(); nodes],
            bodies: BTreeMap::new(),
            looks: 0,
            floors: vec![0; nodes],
            flushed: vec![[0; Db::COUNT]; nodes],
            promised: Ballot::NONE,
            promised_before: Ballot::NONE,
            floor: 0,
            bare: vec![false; nodes],
            borrowed: vec![0; nodes],
            removed: vec![BTreeMap::new(); nodes],
            removing: vec![BTreeMap::new(); nodes],
            removed_now: Vec::new(),
            failure: None,
        }
    }

    /// A node's life has ended, and its memory with it.
    pub fn forget(&mut self, node: usize) {
        self.nodes[node] = Seen::default();
        for (name, gone) in std::mem::take(&mut self.removing[node]) {
            self.removed[node].insert(name, Gone { below: gone.version, ..gone });
        }
    }

    /// What a node's floor is, and whether its log has that, and all else. One without a floor may
    /// have lost data.
    pub fn note_floor(&mut self, node: usize, floor: Option<u64>, durable: bool) {
        if durable && !self.removing[node].is_empty() {
            let mut logged = std::mem::take(&mut self.removing[node]);
            self.removed[node].append(&mut logged);
        }
        let Some(floor) = floor else {
            (self.nodes[node].bare, self.bare[node]) = (true, true);
            return self.note_loss(node);
        };
        self.floor = self.floor.max(floor);
        if std::mem::take(&mut self.bare[node]) {
            self.borrowed[node] = self.floor;
        }
        let before = self.floors[node];
        if floor < before {
            let detail = format!("the floor of n{node} went back from {before:x} to {floor:x}");
            self.failure.get_or_insert_with(|| Failure::new(Kind::Safety, ORACLE, &detail));
        } else if durable {
            self.floors[node] = floor;
        }
    }

    /// How far a node's databases are flushed, and whether its log has that.
    pub fn note_flushes(&mut self, node: usize, store: &Store, durable: bool) {
        if Db::ALL.map(|db| store.flushed(db).to_bits()) == self.flushed[node] {
            return;
        }
        for db in Db::ALL {
            let (flushed, before) =
                (store.flushed(db).to_bits(), &mut self.flushed[node][db.index()]);
            if flushed < *before {
                let detail =
                    format!("n{node} forgot the flush {before:x}, and knows of {flushed:x}");
                self.failure.get_or_insert_with(|| {
                    Failure::new(Kind::Safety, ORACLE, &format!("db{}: {detail}", db.number()))
                });
            } else if durable {
                *before = flushed;
            }
        }
    }

    /// A node begins a life with a disk that may have lost something: its floor may be gone, and
    /// what had been removed may be held again. A node with others has no floor then, for a while;
    /// one that is alone begins another at once.
    pub fn note_loss(&mut self, node: usize) {
        self.floors[node] = 0;
        self.flushed[node] = [0; Db::COUNT];
        self.removed[node].clear();
        self.removing[node].clear();
    }

    /// The only node of a cluster was damaged and repaired: nobody is left who knows which ballots
    /// have been, so versions of the strong database may come a second time.
    pub fn note_ballots_lost(&mut self) {
        self.bodies.retain(|((db, _), _), _| *db != Db::STRONG.number());
    }

    /// A node had promised this.
    pub fn note_promised(&mut self, ballot: Ballot) {
        self.promised = self.promised.max(ballot);
    }

    /// A node takes part in a cold start: nobody votes.
    pub const fn on_cold_start(&mut self) {
        self.promised_before = self.promised;
    }

    /// A node votes since a cold start, and has promised at least this for each slot. What was promised
    /// before may have been led, and must not be again, also where no disk has it.
    pub fn on_cold_started(&mut self, node: usize, least: Ballot) {
        let before = self.promised_before;
        if least <= before {
            let detail =
                format!("n{node} starts cold from {least}, and {before} had been promised");
            self.failure.get_or_insert_with(|| Failure::new(Kind::Safety, ORACLE, &detail));
        }
    }

    /// Whether a node does not vote because it may have lost something.
    pub fn note_recovery(&mut self, node: usize, recovers: bool) {
        self.nodes[node].recovers = recovers;
    }

    /// The tombstones that the last look found removed from databases 1 and 2.
    pub fn take_removed(&mut self) -> Vec<(Db, Vec<u8>, u128)> {
        std::mem::take(&mut self.removed_now)
    }

    /// Whether a node has removed such a tombstone itself; or may have between two looks, while it had
    /// no floor and went by that of another.
    pub fn has_removed(&self, node: usize, db: Db, key: &[u8], version: u128) -> bool {
        let name = (db.number(), key.to_vec());
        let both = [&self.removed[node], &self.removing[node]].into_iter();
        both.filter_map(|removed| removed.get(&name)).any(|gone| gone.below >= version)
            || Version::from_bits(version).hlc() <= self.borrowed[node]
    }

    /// A turn of a node has ended. Looks at its replica, if it has changed often enough.
    ///
    /// Says whether it did.
    pub fn sample(&mut self, node: usize, life: u64, store: &Store, floor: Option<u64>) -> bool {
        let seen = &mut self.nodes[node];
        seen.turns += 1;
        if !seen.turns.is_multiple_of(TURNS) {
            return false;
        }
        let digests = Db::ALL.map(|db| store.digest(db, 0, store.slots()));
        if digests == seen.digests {
            return false;
        }
        seen.digests = digests;
        seen.changes += 1;
        let look = seen.changes.is_multiple_of(EVERY);
        if look {
            self.look(node, life, store, floor);
        }
        look
    }

    /// Looks at a replica.
    pub fn look(&mut self, node: usize, life: u64, store: &Store, floor: Option<u64>) {
        self.looks += 1;
        let bare = std::mem::take(&mut self.nodes[node].bare);
        let floor = floor.map(|floor| if bare { self.floor } else { floor });
        let mut seen = std::mem::take(&mut self.nodes[node]);
        seen.looks += 1;
        let look = seen.looks;
        for (db, before) in Db::ALL.into_iter().zip(&mut seen.held) {
            let digest = store.digest(db, 0, store.slots());
            if std::mem::replace(&mut seen.looked[db.index()], digest) == digest {
                continue;
            }
            let flushed = store.flushed(db).to_bits();
            for record in store.records(db) {
                let version = record.version.to_bits();
                let body = record.value.map_or(0, |value| xxh3_64(value) | 1);
                let held = Held { version, body, look };
                match before.get_mut(record.key) {
                    // Most records: known, and compared with other nodes' then.
                    Some(old) if *old == (Held { look: old.look, ..held }) => old.look = look,
                    Some(old) => {
                        let old = std::mem::replace(old, held);
                        let replaced = db == Db::STRONG && seen.recovered;
                        if version < old.version && old.version > flushed && !replaced {
                            let now = Some(version);
                            self.went_back(node, life, (db, record.key), old.version, now);
                        }
                        self.compare_bodies(node, (db, record.key), held);
                    }
                    None => {
                        before.insert(record.key.to_vec(), held);
                        self.came(node, (db, record.key), version);
                        self.compare_bodies(node, (db, record.key), held);
                    }
                }
            }
            before.retain(|key, held| {
                let gone = held.look != look;
                // In the strong database a tombstone may have come and been dropped between two
                // looks. Whether a value may be gone is for the oracle of its operations to say.
                let dropped = db == Db::STRONG;
                if gone && !dropped && held.version > flushed {
                    self.went(node, life, (db, key), *held, floor);
                }
                !gone
            });
        }
        seen.recovered = seen.recovers;
        self.nodes[node] = seen;
    }

    fn compare_bodies(&mut self, node: usize, (db, key): (Db, &[u8]), held: Held) {
        let Held { version, body, .. } = held;
        let name = ((db.number(), key.to_vec()), version);
        if self.bodies.entry(name).or_insert((body, self.looks)).0 != body {
            self.fail(db, key, format!("n{node} holds another body of version {version:x}"));
        }
    }

    /// A key is held that was not.
    fn came(&mut self, node: usize, (db, key): (Db, &[u8]), version: u128) {
        let name = (db.number(), key.to_vec());
        let logged = self.removed[node].remove(&name);
        let Some(gone) = self.removing[node].remove(&name).or(logged) else { return };
        let known = self.bodies.get(&(name, version)).is_some_and(|(_, first)| *first < gone.look);
        if version < gone.below && known {
            let detail = format!("n{node} has {version:x} again, which it had deleted for good");
            self.fail(db, key, detail);
        }
    }

    /// A key is held no more: it must have been a tombstone that the floor covers, if the node has
    /// one. The tombstone may have come since the last look.
    fn went(
        &mut self,
        node: usize,
        life: u64,
        (db, key): (Db, &[u8]),
        held: Held,
        floor: Option<u64>,
    ) {
        let Some(floor) = floor else { return };
        let covered = Version::from_bits(held.version).hlc() <= floor;
        if !covered {
            return self.went_back(node, life, (db, key), held.version, None);
        }
        let tombstone = held.body == 0;
        let (version, look) = (held.version, self.looks);
        let gone = Gone { version, below: version + u128::from(!tombstone), look };
        self.removing[node].insert((db.number(), key.to_vec()), gone);
        if tombstone {
            self.removed_now.push((db, key.to_vec(), held.version));
        }
    }

    fn went_back(
        &mut self,
        node: usize,
        life: u64,
        (db, key): (Db, &[u8]),
        from: u128,
        to: Option<u128>,
    ) {
        self.fail(db, key, format!("n{node} went back from {from:x} to {to:x?} in life {life}"));
    }

    /// Whether all was well.
    ///
    /// # Errors
    /// The first thing that was not.
    pub fn check(&self) -> Result<(), Failure> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Notes the first thing that is wrong with a record.
    pub fn fail(&mut self, db: Db, key: &[u8], detail: String) {
        self.failure.get_or_insert_with(|| Failure::of_key(ORACLE, db.number(), key, detail));
    }
}

#[cfg(test)]
mod tests {
    use quorate::record::{NodeId, Record};

    use super::*;

    fn store(hlc: u64, value: &[u8]) -> Store {
        let mut store = Store::new(4, 1, 1);
        let version = Version::stamp(hlc, NodeId(0), 1);
        let (db, value) = (Db::QUORUM, Some(value));
        store.merge(&Record { db, key: b"k", version, expires_at_ms: None, value });
        store
    }

    #[test]
    fn growing_is_well_and_so_is_a_new_life() {
        let mut growth = Growth::new(2);
        growth.look(0, 1, &store(5, b"a"), Some(0));
        growth.look(1, 1, &store(5, b"a"), Some(0));
        growth.look(0, 1, &store(6, b"b"), Some(0));
        growth.forget(0);
        growth.look(0, 2, &store(5, b"a"), Some(0));
        assert_eq!(growth.check(), Ok(()));
    }

    #[test]
    fn who_recovers_may_go_back_in_the_strong_database() {
        for (db, recovers, good) in
            [(Db::STRONG, true, true), (Db::STRONG, false, false), (Db::QUORUM, true, false)]
        {
            let held = |hlc| {
                let (mut store, version) = (Store::new(4, 1, 1), Version::stamp(hlc, NodeId(0), 1));
                let value = Some(&b"a"[..]);
                store.merge(&Record { db, key: b"k", version, expires_at_ms: None, value });
                store
            };
            let mut growth = Growth::new(1);
            growth.note_recovery(0, recovers);
            growth.look(0, 1, &held(5), Some(0));
            growth.note_recovery(0, false);
            growth.look(0, 1, &held(4), Some(0));
            assert_eq!(growth.check().is_ok(), good, "{db:?}, {recovers}");
            growth.look(0, 1, &held(3), Some(0));
            assert!(growth.check().is_err(), "it votes by then");
        }
    }

    #[test]
    fn going_back_or_losing_a_key_is_seen() {
        for later in [store(4, b"z"), Store::new(4, 1, 1)] {
            let mut growth = Growth::new(1);
            growth.look(0, 1, &store(5, b"a"), Some(0));
            growth.look(0, 1, &later, Some(0));
            assert!(growth.check().is_err_and(|failure| failure.detail.contains("went back")));
        }
    }

    #[test]
    fn a_cold_start_goes_on_above_what_was_promised() {
        for (least, good) in [(6, true), (5, false), (4, false)] {
            let mut growth = Growth::new(1);
            growth.note_promised(Ballot::new(5, NodeId(0)));
            growth.note_promised(Ballot::new(3, NodeId(0)));
            growth.on_cold_start();
            // Since then others have gone on already.
            growth.note_promised(Ballot::new(9, NodeId(0)));
            growth.on_cold_started(0, Ballot::new(least, NodeId(0)));
            assert_eq!(growth.check().is_ok(), good, "from {least}");
        }
    }

    #[test]
    fn a_flush_that_the_log_has_is_not_forgotten() {
        for (logged, lost, good) in [(true, false, false), (false, false, true), (true, true, true)]
        {
            let mut growth = Growth::new(1);
            let mut flushed = Store::new(4, 1, 1);
            flushed.flush(Db::EVENTUAL, Version::stamp(5, NodeId(0), 1));
            growth.note_flushes(0, &flushed, logged);
            growth.forget(0);
            if lost {
                growth.note_loss(0);
            }
            growth.note_flushes(0, &Store::new(4, 1, 1), true);
            assert_eq!(growth.check().is_ok(), good, "logged {logged}, lost {lost}");
        }
    }

    /// Node 0 held `first`, then a tombstone, then removes it, then holds `last`.
    fn removed(floor: Option<u64>, last: Option<&Store>) -> Option<String> {
        let (db, mut dead) = (Db::QUORUM, store(5, b"a"));
        let version = Version::stamp(7, NodeId(0), 1);
        dead.merge(&Record { db, key: b"k", version, expires_at_ms: None, value: None });
        let mut growth = Growth::new(2);
        growth.look(0, 1, &store(5, b"a"), floor);
        growth.look(0, 1, &dead, floor);
        growth.look(0, 1, &Store::new(4, 1, 1), floor);
        growth.forget(0);
        last.into_iter().for_each(|last| growth.look(0, 2, last, floor));
        growth.check().err().map(|failure| failure.detail)
    }

    #[test]
    fn a_tombstone_goes_by_the_floor_and_nothing_comes_back() {
        assert_eq!(removed(Some(7), None), None);
        assert!(removed(Some(6), None).is_some_and(|why| why.contains("went back")));
        let old = store(5, b"a");
        assert!(removed(Some(7), Some(&old)).is_some_and(|why| why.contains("again")));
        assert_eq!(removed(Some(7), Some(&store(6, b"b"))), None, "written since");
        assert_eq!(removed(None, Some(&old)), None, "it may have lost data");
    }

    #[test]
    fn what_was_removed_is_there_again_only_if_the_log_did_not_have_that() {
        let (old, held, gone) = (store(4, b"z"), store(5, b"a"), Store::new(4, 1, 1));
        for (logged, later, good) in
            [(false, &held, true), (true, &held, false), (false, &old, false)]
        {
            let mut growth = Growth::new(2);
            growth.look(1, 1, &old, Some(0));
            growth.look(0, 1, &held, Some(5));
            growth.look(0, 1, &gone, Some(5));
            growth.note_floor(0, Some(5), logged);
            growth.forget(0);
            growth.look(0, 2, later, Some(5));
            assert_eq!(growth.check().is_ok(), good, "logged {logged}");
        }
    }

    #[test]
    fn who_had_no_floor_may_go_by_that_of_another() {
        for (bare, of_other, good) in [(true, 5, true), (true, 4, false), (false, 5, false)] {
            let mut growth = Growth::new(2);
            let (mut dead, version) = (Store::new(4, 1, 1), Version::stamp(5, NodeId(0), 1));
            let db = Db::QUORUM;
            dead.merge(&Record { db, key: b"k", version, expires_at_ms: None, value: None });
            growth.look(0, 1, &dead, (!bare).then_some(3));
            growth.note_floor(1, Some(of_other), true);
            growth.note_floor(0, (!bare).then_some(3), true);
            growth.note_floor(0, Some(3), true);
            growth.look(0, 1, &Store::new(4, 1, 1), Some(3));
            assert_eq!(growth.check().is_ok(), good, "{bare}, {of_other}");
            assert_eq!(growth.has_removed(0, db, b"k", version.to_bits()), good);
            growth.look(0, 1, &dead, Some(3));
            growth.look(0, 1, &Store::new(4, 1, 1), Some(3));
            assert!(growth.check().is_err(), "it has a floor of its own by then");
        }
    }

    #[test]
    fn what_went_by_the_floor_of_another_may_never_have_been_seen() {
        let mut growth = Growth::new(2);
        let at = |hlc| Version::stamp(hlc, NodeId(1), 1).to_bits();
        growth.note_floor(1, Some(5), true);
        growth.note_floor(0, Some(3), true);
        assert!(!growth.has_removed(0, Db::QUORUM, b"k", at(4)), "it always had a floor");
        growth.note_floor(0, None, true);
        growth.note_floor(0, Some(3), true);
        assert!(growth.has_removed(0, Db::QUORUM, b"k", at(5)));
        growth.note_floor(1, Some(6), true);
        assert!(!growth.has_removed(0, Db::QUORUM, b"k", at(6)), "it had one of its own again");
    }

    #[test]
    fn a_floor_that_goes_down_is_seen() {
        let mut growth = Growth::new(1);
        growth.note_floor(0, Some(9), false);
        growth.note_floor(0, Some(8), true);
        growth.note_floor(0, None, true);
        growth.note_floor(0, Some(3), true);
        assert_eq!(growth.check(), Ok(()));
        growth.note_loss(0);
        growth.note_floor(0, Some(0), true);
        growth.note_floor(0, Some(3), true);
        assert_eq!(growth.check(), Ok(()));
        growth.note_floor(0, Some(2), true);
        assert!(growth.check().is_err_and(|failure| failure.detail.contains("went back")));
    }

    #[test]
    fn a_flush_explains_a_lost_key() {
        let mut growth = Growth::new(1);
        let mut held = store(5, b"a");
        growth.look(0, 1, &held, Some(0));
        held.flush(Db::QUORUM, Version::stamp(9, NodeId(1), 1));
        growth.look(0, 1, &held, Some(0));
        assert_eq!(growth.check(), Ok(()));
    }

    #[test]
    fn only_ballots_may_be_lost_with_the_last_copy() {
        for (db, forgiven) in [(Db::STRONG, true), (Db::QUORUM, false)] {
            let held = |value: &'static [u8]| {
                let (mut store, value) = (Store::new(4, 1, 1), Some(value));
                let version = Version::stamp(5, NodeId(0), 1);
                store.merge(&Record { db, key: b"k", version, expires_at_ms: None, value });
                store
            };
            let mut growth = Growth::new(1);
            growth.look(0, 1, &held(b"a"), Some(0));
            growth.forget(0);
            growth.note_ballots_lost();
            growth.look(0, 2, &held(b"b"), Some(0));
            assert_eq!(growth.check().is_ok(), forgiven, "{db:?}");
        }
    }

    #[test]
    fn two_bodies_of_one_version_are_seen() {
        let mut growth = Growth::new(2);
        growth.look(0, 1, &store(5, b"a"), Some(0));
        growth.look(1, 1, &store(5, b"b"), Some(0));
        assert!(growth.check().is_err_and(|failure| failure.detail.contains("another body")));
    }
}
