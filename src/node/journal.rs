//! The journal: what goes to the log, and what waits for it.
//!
//! Everything that a turn changes is gathered into one batch. While the disk is at work on one
//! batch the next gathers; so there are at most two that are not durable, and of each the journal
//! knows which keys it touches: whoever is shown such a key waits for that batch. A set of keys is a
//! bitmap of hashes, so it costs the same however many keys there are, and a collision costs a
//! reader no more than a wait.
//!
//! Peers may see stamps before they are durable here: streams do not wait. So that no later life
//! gives such a stamp again or a lower one, a bound that no stamp passes is made durable ahead
//! ([`Journal::bound`]). Only while there are stamps above the durable bound, which happens when
//! writes begin after a rest, peers are told nothing: a stamp may be in the stream, in a copy, or in
//! what is said of a flush.
//!
//! Invariant: `durable < gathering.batch`; a batch in between is the one that the disk is at work
//! on.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    log::{Batch, Entry},
    probe::{Hook, Mutant, claims::Touched, planted, reached},
    proto::peer,
    record::{Ballot, Db, NodeId, Version},
    slot::SlotSet,
};

/// What is to be logged, and what of it is durable.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Journal {
    gathering: Half,
    /// What the disk is at work on, or was last.
    handed: Half,
    bytes: Vec<u8>,
    durable: Batch,
    /// No stamp given is above it.
    bound: u64,
    /// The batch that carries it.
    bound_batch: Batch,
    /// No stamp that any earlier or this life gave is above it, and a later life will know.
    bound_durable: u64,
    /// Stamps were given that no peer may see before this batch is durable.
    peers_wait: Batch,
    /// The gathering batch holds something that must reach the disk itself, not only the system.
    sync: bool,
    /// Bytes logged in this life.
    logged: u64,
}

/// What a batch touches.
#[derive(Clone, Debug)]
struct Half {
    batch: Batch,
    keys: Box<[u64]>,
    /// Which of the keys' words are not zero: most batches are small, and clearing all takes longer
    /// than they do.
    used: Vec<u32>,
    flushed: [bool; Db::COUNT],
    touched: Touched,
}

impl Hash for Half {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { batch, keys, used: _, flushed, touched: _ } = self;
        (batch, keys, flushed).hash(state);
    }
}

impl Half {
    fn new(batch: Batch, bits: usize) -> Self {
        let words = bits.div_ceil(64).max(1);
        let keys = vec![0; words].into_boxed_slice();
        let touched = Touched::default();
        Self { batch, keys, used: Vec::new(), flushed: [false; Db::COUNT], touched }
    }

    fn touch(&mut self, hash: u64) {
        self.touched.push(hash);
        let bit = hash as usize % self.bits();
        if let Some(word) = self.keys.get_mut(bit / 64) {
            if *word == 0 {
                self.used.push((bit / 64) as u32);
            }
            *word |= 1 << (bit % 64);
        }
    }

    fn touches(&self, db: Db, hash: u64) -> bool {
        let bit = hash as usize % self.bits();
        let key = self.keys.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1);
        key || self.flushed.get(db.index()).is_some_and(|flushed| *flushed)
    }

    const fn bits(&self) -> usize {
        self.keys.len() * 64
    }

    fn clear(&mut self, batch: Batch) {
        self.batch = batch;
        for used in self.used.drain(..) {
            if let Some(word) = self.keys.get_mut(used as usize) {
                *word = 0;
            }
        }
        self.flushed = [false; Db::COUNT];
        self.touched.clear();
    }
}

impl Journal {
    /// Nothing is logged yet; a set of keys has so many bits.
    pub(crate) fn new(set_bits: usize) -> Self {
        Self {
            gathering: Half::new(Batch(1), set_bits),
            handed: Half::new(Batch(0), set_bits),
            bytes: Vec::new(),
            durable: Batch(0),
            bound: 0,
            bound_batch: Batch(0),
            bound_durable: 0,
            peers_wait: Batch(0),
            sync: false,
            logged: 0,
        }
    }

    /// A bound that was read back from the log.
    pub(crate) fn recover_bound(&mut self, hlc: u64) {
        self.bound = self.bound.max(hlc);
        self.bound_durable = self.bound;
    }

    /// A record was kept; `encoded` are its bytes.
    pub(crate) fn record(&mut self, db: Db, key: &[u8], encoded: &[u8]) {
        self.gathering.touch(hash(db, key));
        Entry::encode_record(encoded, &mut self.bytes);
    }

    /// A database was flushed.
    pub(crate) fn flush(&mut self, db: Db, stamp: Version) {
        if let Some(flushed) = self.gathering.flushed.get_mut(db.index()) {
            *flushed = true;
        }
        if !planted(Mutant::FlushNotLogged) {
            Entry::Flush { db, stamp }.encode(&mut self.bytes);
        }
    }

    /// This replica has promised slots of the strong database to a ballot.
    pub(crate) fn promise(&mut self, ballot: Ballot, slots: &SlotSet) {
        let mut bytes = Vec::new();
        slots.to_bytes(&mut bytes);
        Entry::Promise { ballot, slots: &bytes }.encode(&mut self.bytes);
    }

    /// Nothing in these slots counts as accepted, or all does again.
    pub(crate) fn copied(&mut self, slots: &SlotSet, set: bool) {
        let mut bytes = Vec::new();
        slots.to_bytes(&mut bytes);
        Entry::Copied { slots: &bytes, set }.encode(&mut self.bytes);
    }

    /// A member's lives before this one are over.
    pub(crate) fn known(&mut self, member: NodeId, incarnation: u64) {
        Entry::Known { member, incarnation }.encode(&mut self.bytes);
    }

    /// Up to where all members have applied everything, and in which lives of theirs.
    pub(crate) fn floor(&mut self, hlc: u64, lives: &[u64]) {
        let mut bytes = Vec::new();
        lives.iter().for_each(|life| peer::push_life(&mut bytes, *life));
        Entry::Floor { hlc, lives: &bytes }.encode(&mut self.bytes);
    }

    /// Entries that are encoded already, and concern no key.
    pub(crate) fn entries(&mut self, entries: &[u8]) {
        self.bytes.extend_from_slice(entries);
    }

    /// A tombstone was removed.
    pub(crate) fn drop_tombstone(&mut self, db: Db, key: &[u8], version: Version) {
        self.gathering.touch(hash(db, key));
        Entry::Drop { db, key, version }.encode(&mut self.bytes);
    }

    /// The cluster has formed.
    pub(crate) fn formed(&mut self, births: &[u8]) {
        self.sync = true;
        Entry::Formed { births }.encode(&mut self.bytes);
    }

    /// A stamp is about to be given. Keeps the bound at least half of `reach` above it.
    pub(crate) fn bound(&mut self, hlc: u64, reach: u64) {
        if planted(Mutant::BoundNotAhead) {
            return;
        }
        if hlc.saturating_add(reach / 2) > self.bound {
            self.log_bound(hlc.saturating_add(reach));
        }
        if hlc > self.bound_durable {
            self.peers_wait = self.bound_batch;
        }
    }

    /// Makes the bound reach a stamp that is to be promised. Unlike one that is given nobody may be
    /// told of it before.
    pub(crate) fn renew_bound(&mut self, hlc: u64, reach: u64) {
        if hlc > self.bound {
            self.log_bound(hlc.saturating_add(reach));
        }
    }

    /// What was logged so far must reach the disk itself, however little the user asks for. An entry
    /// that says nothing new makes sure that there is a batch to do so.
    pub(crate) fn force_sync(&mut self) {
        self.sync = true;
        Entry::Bound { hlc: self.bound }.encode(&mut self.bytes);
    }

    /// No later life stamps at or below it.
    pub(crate) const fn durable_bound(&self) -> u64 {
        self.bound_durable
    }

    fn log_bound(&mut self, bound: u64) {
        self.bound = bound;
        self.bound_batch = self.gathering.batch;
        self.sync = true;
        Entry::Bound { hlc: bound }.encode(&mut self.bytes);
    }

    /// What must be durable before anybody is shown the state of a key.
    pub(crate) fn wait_for_key(&self, db: Db, key: &[u8]) -> Option<Batch> {
        if self.is_idle() {
            return None;
        }
        let hash = hash(db, key);
        let batch = if self.gathering.touches(db, hash) {
            self.gathering.batch
        } else if self.is_at_work() && self.handed.touches(db, hash) {
            self.handed.batch
        } else {
            return None;
        };
        reached(Hook::ReadHeld);
        (!planted(Mutant::ReadBeforeSync)).then_some(batch)
    }

    /// Whether the last record of a key is to be durable yet, for a simulation.
    pub(crate) fn has_under_way(&self, db: Db, key: &[u8]) -> bool {
        let hash = hash(db, key);
        self.gathering.touched.has(hash) || (self.is_at_work() && self.handed.touched.has(hash))
    }

    /// What must be durable so that everything is; nothing if it is.
    pub(crate) fn wait_for_all(&self) -> Option<Batch> {
        if planted(Mutant::AckBeforeSync) {
            return None;
        }
        if !self.bytes.is_empty() {
            return Some(self.gathering.batch);
        }
        self.is_at_work().then_some(self.handed.batch)
    }

    /// Whether peers must be told nothing yet.
    pub(crate) fn holds_peers(&self) -> bool {
        self.peers_wait > self.durable
    }

    /// Whether this batch is durable.
    pub(crate) fn is_durable(&self, batch: Batch) -> bool {
        batch <= self.durable
    }

    /// Whether all is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.bytes.is_empty() && !self.is_at_work()
    }

    /// Whether the disk has a batch.
    fn is_at_work(&self) -> bool {
        self.durable < self.handed.batch
    }

    /// Bytes that wait for the disk to take them.
    pub(crate) const fn gathered(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes logged in this life.
    pub(crate) const fn logged(&self) -> u64 {
        self.logged
    }

    /// The bound written last.
    pub(crate) const fn latest_bound(&self) -> u64 {
        self.bound
    }

    /// The number of the batch that gathers.
    pub(crate) const fn gathering(&self) -> Batch {
        self.gathering.batch
    }

    /// The batch that gathers goes to the disk: its number, its bytes, and whether they must reach
    /// the disk itself. Whoever takes them empties them, or they would be logged twice.
    pub(crate) fn take(&mut self) -> (Batch, &mut Vec<u8>, bool) {
        debug_assert!(!self.is_at_work(), "one batch at a time");
        std::mem::swap(&mut self.gathering, &mut self.handed);
        self.gathering.clear(Batch(self.handed.batch.0 + 1));
        self.logged += self.bytes.len() as u64;
        (self.handed.batch, &mut self.bytes, std::mem::take(&mut self.sync))
    }

    /// A batch and all before it are durable.
    pub(crate) fn on_durable(&mut self, batch: Batch) {
        debug_assert!(batch <= self.handed.batch, "durable before it was handed over");
        self.durable = self.durable.max(batch);
        if self.is_durable(self.bound_batch) {
            self.bound_durable = self.bound;
        }
    }
}

fn hash(db: Db, key: &[u8]) -> u64 {
    xxh3_64(key).wrapping_add(u64::from(db.number()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NodeId;

    fn hand_over(journal: &mut Journal) -> Batch {
        let (batch, bytes, _) = journal.take();
        bytes.clear();
        batch
    }

    #[test]
    fn a_key_waits_for_the_last_batch_that_touches_it() {
        let mut journal = Journal::new(1 << 16);
        assert_eq!(journal.wait_for_key(Db::STRONG, b"a"), None);
        journal.record(Db::STRONG, b"a", b"encoded");
        assert_eq!(journal.wait_for_key(Db::STRONG, b"a"), Some(Batch(1)));
        assert_eq!(journal.wait_for_key(Db::STRONG, b"b"), None);
        assert_eq!(journal.wait_for_key(Db::QUORUM, b"a"), None);
        assert_eq!(hand_over(&mut journal), Batch(1));
        assert_eq!(journal.wait_for_key(Db::STRONG, b"a"), Some(Batch(1)));
        journal.record(Db::STRONG, b"b", b"encoded");
        assert_eq!(journal.wait_for_key(Db::STRONG, b"b"), Some(Batch(2)));
        assert_eq!(journal.wait_for_all(), Some(Batch(2)));
        journal.on_durable(Batch(1));
        assert_eq!(journal.wait_for_key(Db::STRONG, b"a"), None);
        hand_over(&mut journal);
        journal.on_durable(Batch(2));
        assert!(journal.is_idle() && journal.wait_for_all().is_none());
    }

    #[test]
    fn a_flush_touches_every_key_of_its_database() {
        let mut journal = Journal::new(1 << 16);
        journal.flush(Db::QUORUM, Version::stamp(1, NodeId(0), 1));
        assert_eq!(journal.wait_for_key(Db::QUORUM, b"any"), Some(Batch(1)));
        assert_eq!(journal.wait_for_key(Db::STRONG, b"any"), None);
        hand_over(&mut journal);
        assert_eq!(journal.wait_for_key(Db::QUORUM, b"any"), Some(Batch(1)));
    }

    #[test]
    fn the_peers_wait_for_the_bound_of_its_stamps() {
        let mut journal = Journal::new(1 << 16);
        journal.bound(100, 10);
        assert!(journal.holds_peers());
        assert!(hand_over(&mut journal) == Batch(1) && journal.holds_peers());
        journal.on_durable(Batch(1));
        assert!(!journal.holds_peers());
        journal.bound(104, 10);
        assert!(journal.is_idle(), "the bound is still far enough ahead");
        journal.bound(107, 10);
        assert!(!journal.is_idle() && !journal.holds_peers(), "renewed before it is reached");
        journal.bound(111, 10);
        assert!(journal.holds_peers(), "above what is durable");
    }
}
