//! Growth: a version names one body, and a replica's version of a key never goes down in one life,
//! unless a flush has outlived it.
//!
//! Looked at while a case is played, whenever a replica's digests have changed, but not each time:
//! what goes down and up again between two looks would have to be caught at the end.

use std::collections::BTreeMap;

use quorate::{record::Db, store::Store};
use xxhash_rust::xxh3::xxh3_64;

use super::{DbKey, Failure};

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
    /// The hash of each version's body.
    bodies: BTreeMap<(DbKey, u128), u64>,
    failure: Option<Failure>,
}

/// What was seen of one node in its present life.
#[derive(Clone, Debug, Default)]
struct Seen {
    digests: [u128; Db::COUNT],
    turns: u32,
    changes: u32,
    looks: u32,
    /// What it held at the last look, by key.
    held: [BTreeMap<Vec<u8>, Held>; Db::COUNT],
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
        Self { nodes: vec![Seen::default(); nodes], bodies: BTreeMap::new(), failure: None }
    }

    /// A node's life has ended, and its memory with it.
    pub fn forget(&mut self, node: usize) {
        self.nodes[node] = Seen::default();
    }

    /// A turn of a node has ended. Looks at its replica, if it has changed often enough.
    ///
    /// Says whether it did.
    pub fn sample(&mut self, node: usize, life: u64, store: &Store) -> bool {
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
            self.look(node, life, store);
        }
        look
    }

    /// Looks at a replica.
    pub fn look(&mut self, node: usize, life: u64, store: &Store) {
        let mut seen = std::mem::take(&mut self.nodes[node]);
        seen.looks += 1;
        let look = seen.looks;
        for (db, before) in Db::ALL.into_iter().zip(&mut seen.held) {
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
                        if version < old.version && old.version > flushed {
                            let now = Some(version);
                            self.went_back(node, life, (db, record.key), old.version, now);
                        }
                        self.compare_bodies(node, (db, record.key), held);
                    }
                    None => {
                        before.insert(record.key.to_vec(), held);
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
                    self.went_back(node, life, (db, key), held.version, None);
                }
                !gone
            });
        }
        self.nodes[node] = seen;
    }

    fn compare_bodies(&mut self, node: usize, (db, key): (Db, &[u8]), held: Held) {
        let Held { version, body, .. } = held;
        let name = ((db.number(), key.to_vec()), version);
        if *self.bodies.entry(name).or_insert(body) != body {
            self.fail(db, key, format!("n{node} holds another body of version {version:x}"));
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
    use quorate::record::{NodeId, Record, Version};

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
        growth.look(0, 1, &store(5, b"a"));
        growth.look(1, 1, &store(5, b"a"));
        growth.look(0, 1, &store(6, b"b"));
        growth.forget(0);
        growth.look(0, 2, &store(5, b"a"));
        assert_eq!(growth.check(), Ok(()));
    }

    #[test]
    fn going_back_or_losing_a_key_is_seen() {
        for later in [store(4, b"z"), Store::new(4, 1, 1)] {
            let mut growth = Growth::new(1);
            growth.look(0, 1, &store(5, b"a"));
            growth.look(0, 1, &later);
            assert!(growth.check().is_err_and(|failure| failure.detail.contains("went back")));
        }
    }

    #[test]
    fn a_flush_explains_a_lost_key() {
        let mut growth = Growth::new(1);
        let mut held = store(5, b"a");
        growth.look(0, 1, &held);
        held.flush(Db::QUORUM, Version::stamp(9, NodeId(1), 1));
        growth.look(0, 1, &held);
        assert_eq!(growth.check(), Ok(()));
    }

    #[test]
    fn two_bodies_of_one_version_are_seen() {
        let mut growth = Growth::new(2);
        growth.look(0, 1, &store(5, b"a"));
        growth.look(1, 1, &store(5, b"b"));
        assert!(growth.check().is_err_and(|failure| failure.detail.contains("another body")));
    }
}
