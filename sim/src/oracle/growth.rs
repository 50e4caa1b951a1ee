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
/// One change in so many is looked at.
const EVERY: u32 = 8;

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
    changes: u32,
    versions: BTreeMap<DbKey, u128>,
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

    /// Looks at a replica, if it has changed often enough.
    pub fn sample(&mut self, node: usize, life: u64, store: &Store) {
        let digests = Db::ALL.map(|db| store.digest(db, 0, store.slots()));
        let seen = &mut self.nodes[node];
        if digests == seen.digests {
            return;
        }
        seen.digests = digests;
        seen.changes += 1;
        if seen.changes.is_multiple_of(EVERY) {
            self.look(node, life, store);
        }
    }

    /// Looks at a replica.
    pub fn look(&mut self, node: usize, life: u64, store: &Store) {
        let mut versions = BTreeMap::new();
        for db in Db::ALL {
            for record in store.records(db) {
                let key = (db.number(), record.key.to_vec());
                let version = record.version.to_bits();
                let body = record.value.map_or(0, |value| xxh3_64(value) | 1);
                let known = *self.bodies.entry((key.clone(), version)).or_insert(body);
                if known != body {
                    let detail = format!("n{node} holds another body of version {version:x}");
                    self.fail(&key, detail);
                }
                versions.insert(key, version);
            }
        }
        let before = std::mem::replace(&mut self.nodes[node].versions, versions);
        for (key, version) in before {
            let now = self.nodes[node].versions.get(&key).copied();
            let flushed = Db::new(key.0).map_or(0, |db| store.flushed(db).to_bits());
            if now.is_none_or(|now| now < version) && version > flushed {
                let detail =
                    format!("n{node} went back from {version:x} to {now:x?} in life {life}");
                self.fail(&key, detail);
            }
        }
    }

    /// Whether all was well.
    ///
    /// # Errors
    /// The first thing that was not.
    pub fn check(&self) -> Result<(), Failure> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, key: &DbKey, detail: String) {
        self.failure.get_or_insert_with(|| Failure::of_key(ORACLE, key.0, &key.1, detail));
    }
}

#[cfg(test)]
mod tests {
    use quorate::record::{NodeId, Record, Version};

    use super::*;

    fn store(hlc: u64, value: &[u8]) -> Store {
        let mut store = Store::new(4, 1, 1);
        let version = Version::stamp(hlc, NodeId(0), 1);
        let (db, value) = (Db::STRONG, Some(value));
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
        held.flush(Db::STRONG, Version::stamp(9, NodeId(1), 1));
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
