//! The replica: the store, the clock that stamps, and the rules for both (PROTOCOL section 10).
//!
//! Every node may stamp. A stamp is above the wall clock, above every stamp this node has given or
//! seen, and above the held record of its key; so a write that follows another wins over it, on any
//! node. The clock is Kulkarni et al.'s hybrid logical clock (2014). A stamp from too far ahead of
//! our wall clock is refused: it is not applied and does not move the clock, or one broken clock
//! would drag all others along.

use super::{
    floor::{Floor, Floors},
    journal::Journal,
};
use crate::{
    log::Entry,
    probe::{Hook, Mutant, planted, reached},
    proto::peer,
    record::{Db, NodeId, Record, RecordError, Version},
    store::Store,
    time::{Millis, Now},
};

/// Bits of a clock reading below its milliseconds.
const COUNTER_BITS: u32 = 16;

/// One node's copy of the data and its right to stamp.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    /// What was deleted for good.
    pub(crate) floors: Floors,
    me: NodeId,
    incarnation: u64,
    /// The highest stamp given or seen.
    clock: u64,
    skew_max: Millis,
}

/// Why a peer's record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its stamp is this many milliseconds ahead of our wall clock.
    Ahead(u64),
    /// Its bytes are no record.
    Malformed(RecordError),
    /// It is of the strong database, where only a leader's word counts.
    Strong,
}

impl Replica {
    pub(crate) fn new(
        store: Store,
        (me, members): (NodeId, usize),
        incarnation: u64,
        skew_max: Millis,
        set_bits: usize,
    ) -> Self {
        let mut floors = Floors::new(me, members);
        floors.begin_life(incarnation);
        let journal = Journal::new(set_bits);
        Self { store, journal, floors, me, incarnation, clock: 0, skew_max }
    }

    /// Takes back what an earlier life wrote. All later stamps are above those it may have given.
    pub(crate) fn recover(&mut self, entry: Entry<'_>) {
        let hlc = match entry {
            Entry::Bound { hlc } => {
                self.journal.recover_bound(hlc);
                hlc
            }
            Entry::Drop { db, key, version } => {
                self.store.remove(db, key, version);
                0
            }
            Entry::Floor { hlc, lives } => {
                let lives = peer::lives(lives).flatten().collect();
                self.floors.recover(Floor { hlc, lives });
                hlc
            }
            Entry::Flush { db, stamp } => {
                self.store.flush(db, stamp);
                stamp.hlc()
            }
            Entry::Record(record) => {
                self.store.merge(&record);
                if record.db == Db::STRONG { 0 } else { record.version.hlc() }
            }
            // Of the strong database alone.
            Entry::Copied { .. }
            | Entry::Formed { .. }
            | Entry::Known { .. }
            | Entry::Promise { .. } => 0,
        };
        self.clock = self.clock.max(hlc);
    }

    /// This life of the node.
    pub(crate) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The highest stamp given, seen or recovered.
    pub(crate) const fn clock(&self) -> u64 {
        self.clock
    }

    /// The life that begins has this number.
    pub(crate) fn begin_life(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.floors.begin_life(incarnation);
    }

    /// Peers know of a later life than this: become a still later one. After the last that can be
    /// told, which only nonsense names, there is none.
    pub(crate) fn outlive(&mut self, known: u64) {
        self.begin_life(self.incarnation.max(known.saturating_add(1)));
    }

    /// Writes a value and returns the record's bytes.
    pub(crate) fn set(
        &mut self,
        now: Now,
        db: Db,
        key: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> &[u8] {
        let stamper = Stamper { now, clock: &mut self.clock, me: self.me, life: self.incarnation };
        let decide = |held: Option<Record<'_>>| {
            let version = stamper.stamp(held.map(|held| held.version));
            Some(Record { db, key, version, expires_at_ms, value: Some(value) })
        };
        let encoded = self.store.update(db, key, decide);
        let encoded = encoded.expect("a new stamp is above the flush stamp");
        self.journal.bound(self.clock, reach(self.skew_max));
        self.journal.record(db, key, encoded);
        encoded
    }

    /// Deletes a key and returns the tombstone's bytes, or nothing if there is no value to delete.
    pub(crate) fn delete(&mut self, now: Now, db: Db, key: &[u8]) -> Option<&[u8]> {
        let stamper = Stamper { now, clock: &mut self.clock, me: self.me, life: self.incarnation };
        let decide = |held: Option<Record<'_>>| {
            let held = held?;
            held.visible(now.wall_ms)?;
            reached(Hook::TombstoneStamped);
            let version = stamper.stamp(Some(held.version));
            Some(Record { db, key, version, expires_at_ms: None, value: None })
        };
        let encoded = self.store.update(db, key, decide)?;
        self.journal.bound(self.clock, reach(self.skew_max));
        self.journal.record(db, key, encoded);
        Some(encoded)
    }

    /// Deletes everything in `db` that is known here and returns the stamp that says so.
    pub(crate) fn flush(&mut self, now: Now, db: Db) -> Version {
        let stamper = Stamper { now, clock: &mut self.clock, me: self.me, life: self.incarnation };
        let stamp = stamper.stamp(None);
        self.store.flush(db, stamp);
        self.journal.bound(self.clock, reach(self.skew_max));
        self.journal.flush(db, stamp);
        stamp
    }

    /// Takes a record of the strong database, whose ballot was judged; a newer one is kept. The
    /// bytes of what was taken.
    pub(crate) fn accept(&mut self, record: &Record<'_>) -> Option<&[u8]> {
        let decide = |held: Option<Record<'_>>| {
            let held = held.map_or(Version::NONE, |held| held.version);
            record.wins_over(held).then_some(*record)
        };
        let encoded = self.store.update(Db::STRONG, record.key, decide)?;
        self.journal.record(Db::STRONG, record.key, encoded);
        Some(encoded)
    }

    /// The same for a record that belongs together with one that was taken just before: what one turn
    /// changes goes to the log in one piece, so after a crash both are there or none.
    pub(crate) fn accept_another(&mut self, record: &Record<'_>) -> Option<&[u8]> {
        if planted(Mutant::BatchHalfLogged) {
            let decide = |_: Option<Record<'_>>| Some(*record);
            return self.store.update(Db::STRONG, record.key, decide);
        }
        self.accept(record)
    }

    /// Removes a record of the strong database that only this node's disk speaks for.
    pub(crate) fn remove_strong(&mut self, key: &[u8], version: Version) {
        self.drop_tombstone(key, version);
    }

    /// Removes a tombstone of the strong database, if it is of exactly this version.
    pub(crate) fn drop_tombstone(&mut self, key: &[u8], version: Version) {
        self.remove(Db::STRONG, key, version);
    }

    /// Removes a record that nothing older can follow, if it is of exactly this version. Whether it
    /// was.
    pub(crate) fn remove(&mut self, db: Db, key: &[u8], version: Version) -> bool {
        let removed = self.store.remove(db, key, version);
        if removed {
            self.journal.drop_tombstone(db, key, version);
        }
        removed
    }

    /// The floor is what it is: the log must know before anything is removed or refused for it.
    pub(crate) fn log_floor(&mut self) {
        let Floor { hlc, lives } = self.floors.floor();
        self.clock = self.clock.max(*hlc);
        self.journal.floor(*hlc, lives);
    }

    /// The floor as others are told it: its lives only if this node knows of one.
    pub(crate) fn floor_told(&self) -> (u64, Vec<u8>) {
        Self::encoded(self.floors.known())
    }

    /// The floor as the log has it: its lives only if this node has one.
    pub(crate) fn floor_kept(&self) -> (u64, Vec<u8>) {
        Self::encoded(self.floors.floor())
    }

    fn encoded(Floor { hlc, lives }: &Floor) -> (u64, Vec<u8>) {
        let mut told = Vec::with_capacity(lives.len() * size_of::<u64>());
        lives.iter().for_each(|life| peer::push_life(&mut told, *life));
        (*hlc, told)
    }

    /// No stamp is given at or below it any more: a member has told of it.
    pub(crate) fn raise_clock(&mut self, hlc: u64) {
        self.clock = self.clock.max(hlc);
    }

    /// What this node can promise never to stamp at or below again, in any life: as far as its
    /// bound is durable. Renews the bound if that is not as far as its clock.
    pub(crate) fn promise(&mut self) -> u64 {
        self.journal.renew_bound(self.clock, reach(self.skew_max));
        if planted(Mutant::PromiseTooHigh) {
            return self.clock + (1000 << COUNTER_BITS);
        }
        self.clock.min(self.journal.durable_bound())
    }

    /// Whether a member's clock is so far ahead of ours that we don't follow.
    pub(crate) fn is_ahead(&self, now: Now, hlc: u64) -> bool {
        self.ahead(now, Version::stamp(hlc, self.me, 0)).is_some()
    }

    /// Takes a record that a peer has; a newer one is kept. One that was deleted is left alone, as
    /// if it had been taken and deleted since.
    pub(crate) fn merge(&mut self, now: Now, from: NodeId, encoded: &[u8]) -> Result<(), Refused> {
        let record = Record::decode(encoded).map_err(Refused::Malformed)?;
        if record.db == Db::STRONG {
            return Err(Refused::Strong);
        }
        self.witness(now, record.version)?;
        if self.refuses(from, record.db, record.key, record.version) {
            reached(Hook::BelowFloorRefused);
            return Ok(());
        }
        if self.store.merge(&record) {
            self.journal.record(record.db, record.key, encoded);
        }
        Ok(())
    }

    fn refuses(&self, from: NodeId, db: Db, key: &[u8], version: Version) -> bool {
        self.floors.refuses(version, from)
            && self.store.get(db, key).is_none()
            && !planted(Mutant::FloorIgnored)
    }

    /// Whether a record that a peer has was deleted, as this replica knows for certain.
    pub(crate) fn is_dead(&self, db: Db, key: &[u8], version: Version) -> bool {
        self.floors.is_dead(version)
            && self.store.get(db, key).is_none()
            && !planted(Mutant::FloorIgnored)
    }

    /// Takes a peer's flush.
    pub(crate) fn merge_flush(&mut self, now: Now, db: Db, stamp: Version) -> Result<(), Refused> {
        self.witness(now, stamp)?;
        if self.store.flush(db, stamp) {
            self.journal.flush(db, stamp);
        }
        Ok(())
    }

    /// Whether a record of that version is to be had from a peer: it would be kept, or is too far
    /// ahead to be.
    pub(crate) fn lacks(&self, from: NodeId, db: Db, key: &[u8], version: Version) -> bool {
        let held = self.store.get(db, key).map_or(Version::NONE, |held| held.version);
        version > held && version > self.store.flushed(db) && !self.refuses(from, db, key, version)
    }

    /// Whether a stamp is too far ahead of our wall clock to be taken.
    pub(crate) fn is_too_far_ahead(&self, now: Now, version: Version) -> bool {
        self.ahead(now, version).is_some()
    }

    /// Learns of a stamp: all later ones are above it.
    pub(crate) fn witness(&mut self, now: Now, version: Version) -> Result<(), Refused> {
        if planted(Mutant::ClockReuse) {
            return Ok(());
        }
        if let Some(ahead_ms) = self.ahead(now, version) {
            reached(Hook::AheadRefused);
            return Err(Refused::Ahead(ahead_ms));
        }
        self.clock = self.clock.max(version.hlc());
        Ok(())
    }

    /// By how many milliseconds a stamp is ahead of our wall clock, if that is too far.
    fn ahead(&self, now: Now, version: Version) -> Option<u64> {
        let ahead_ms = hlc_ms(version.hlc()).saturating_sub(now.wall_ms);
        (ahead_ms > self.skew_max.0).then_some(ahead_ms)
    }
}

/// The wall clock's part of a reading.
pub(super) const fn hlc_ms(hlc: u64) -> u64 {
    hlc >> COUNTER_BITS
}

/// How far ahead of the stamps their bound is made durable: a quarter of a second with the default
/// skew. A node that restarts stamps above the bound, so for so long its writes win over later ones
/// of nodes that have not heard of them; a shorter reach would have bounds logged more often.
const fn reach(skew_max: Millis) -> u64 {
    (skew_max.0 << COUNTER_BITS) / 240
}

/// The right to stamp once.
struct Stamper<'a> {
    now: Now,
    clock: &'a mut u64,
    me: NodeId,
    life: u64,
}

impl Stamper<'_> {
    fn stamp(self, held: Option<Version>) -> Version {
        if planted(Mutant::ClockReuse) {
            let coarse = self.now.wall_ms / 10_000 * 10_000;
            *self.clock = (coarse << COUNTER_BITS).max(*self.clock + 1);
            return Version::stamp(*self.clock, self.me, 0);
        }
        if planted(Mutant::StampIgnoresSeen) {
            return Version::stamp(self.now.wall_ms << COUNTER_BITS, self.me, self.life);
        }
        let above_held = held.map_or(0, |held| held.hlc() + 1);
        let hlc = (self.now.wall_ms << COUNTER_BITS).max(*self.clock + 1).max(above_held);
        *self.clock = hlc;
        Version::stamp(hlc, self.me, self.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn replica(me: u16) -> Replica {
        Replica::new(Store::new(4, 1, 2), (NodeId(me), 2), 9, Millis(1000), 64)
    }

    fn at(wall_ms: u64) -> Now {
        Now { mono: Instant::ZERO, wall_ms }
    }

    #[test]
    fn stamps_rise_when_the_wall_clock_goes_back() {
        let mut a = replica(0);
        let first =
            Record::decode(a.set(at(100), Db::EVENTUAL, b"k", b"1", None)).expect("own").version;
        let second =
            Record::decode(a.set(at(50), Db::EVENTUAL, b"k", b"2", None)).expect("own").version;
        assert!(second > first);
        assert_eq!(a.store.get(Db::EVENTUAL, b"k").and_then(|r| r.value), Some(&b"2"[..]));
    }

    #[test]
    fn a_write_after_a_seen_write_wins_whatever_the_clocks_say() {
        let (mut ahead, mut back) = (replica(0), replica(1));
        let bytes = ahead.set(at(1000), Db::EVENTUAL, b"k", b"old", None).to_vec();
        back.merge(at(10), NodeId(0), &bytes).expect("within the bound");
        let bytes = back.set(at(10), Db::EVENTUAL, b"k", b"new", None).to_vec();
        ahead.merge(at(1000), NodeId(1), &bytes).expect("within the bound");
        assert_eq!(ahead.store.get(Db::EVENTUAL, b"k").and_then(|r| r.value), Some(&b"new"[..]));
    }

    #[test]
    fn a_stamp_from_too_far_ahead_leaves_no_trace() {
        let (mut ahead, mut sane) = (replica(0), replica(1));
        let bytes = ahead.set(at(5000), Db::EVENTUAL, b"k", b"v", None).to_vec();
        assert_eq!(sane.merge(at(3999), NodeId(0), &bytes), Err(Refused::Ahead(1001)));
        let stamp = ahead.flush(at(5000), Db::QUORUM);
        assert_eq!(sane.merge_flush(at(0), Db::QUORUM, stamp), Err(Refused::Ahead(5000)));
        assert_eq!(sane.store.get(Db::EVENTUAL, b"k"), None);
        assert_eq!(sane.clock, 0);
        assert_eq!(sane.merge(at(4000), NodeId(0), &bytes), Ok(()));
    }

    #[test]
    fn what_has_expired_stays_so_after_a_restart() {
        let version = Version::stamp(50 << COUNTER_BITS, NodeId(1), 3);
        let value = Some(&b"v"[..]);
        let record =
            Record { db: Db::EVENTUAL, key: b"k", version, expires_at_ms: Some(100), value };
        let mut a = replica(0);
        a.recover(Entry::Record(record));
        let held = a.store.get(Db::EVENTUAL, b"k").expect("the log has it");
        assert_eq!((held.visible(99), held.visible(100)), (value, None));
        assert_eq!(a.delete(at(100), Db::EVENTUAL, b"k"), None, "nothing is there to delete");
    }

    #[test]
    fn a_life_stamps_above_all_that_the_last_one_may_have_given() {
        let mut a = replica(0);
        a.recover(Entry::Bound { hlc: 90 << COUNTER_BITS });
        a.recover(Entry::Flush { db: Db::QUORUM, stamp: Version::stamp(95 << 16, NodeId(1), 3) });
        a.begin_life(10);
        let stamp =
            Record::decode(a.set(at(20), Db::EVENTUAL, b"k", b"1", None)).expect("own").version;
        assert!(stamp.hlc() > 95 << COUNTER_BITS, "{stamp}");
        assert!(a.journal.holds_peers(), "the new bound is not durable");
    }

    /// In another order the value would be there again.
    #[test]
    fn what_was_dropped_stays_away_after_a_restart() {
        let (db, key) = (Db::EVENTUAL, &b"k"[..]);
        let version = |hlc: u64| Version::stamp(hlc << COUNTER_BITS, NodeId(1), 3);
        let record = |hlc, value| {
            let version = version(hlc);
            Entry::Record(Record { db, key, version, expires_at_ms: None, value })
        };
        let mut a = replica(0);
        a.recover(record(50, Some(b"v")));
        a.recover(record(60, None));
        a.recover(Entry::Drop { db, key, version: version(50) });
        assert_eq!(a.store.tombstones(db), 1, "not that one");
        a.recover(Entry::Drop { db, key, version: version(60) });
        assert_eq!(a.store.get(db, key), None);
        assert_eq!(a.clock, 60 << COUNTER_BITS);
        a.store.check();
    }

    #[test]
    fn what_is_below_the_floor_and_not_held_is_taken_from_nobody() {
        let (db, key) = (Db::EVENTUAL, &b"k"[..]);
        let mut writer = replica(1);
        let old = writer.set(at(100), db, key, b"old", None).to_vec();
        let other = writer.set(at(100), db, b"other", b"v", None).to_vec();
        let deleted = writer.delete(at(200), db, key).expect("it is there").to_vec();
        let tombstone = Record::decode(&deleted).expect("own").version;
        let mut a = replica(0);
        let mut lives = Vec::new();
        (0..2).for_each(|_| peer::push_life(&mut lives, 9));
        for bytes in [&old, &other, &deleted] {
            a.merge(at(200), NodeId(1), bytes).expect("within the bound");
        }
        a.recover(Entry::Floor { hlc: tombstone.hlc(), lives: &lives });
        assert!(!a.is_dead(db, key, tombstone), "it is held");
        assert!(a.remove(db, key, tombstone));
        let version = Record::decode(&old).expect("own").version;
        assert!(a.is_dead(db, key, version) && !a.lacks(NodeId(1), db, key, version));
        assert_eq!(a.merge(at(200), NodeId(1), &old), Ok(()));
        assert_eq!(a.store.get(db, key), None);
        assert!(a.store.get(db, b"other").is_some(), "what is held and older stays");
        let again = writer.set(at(300), db, key, b"new", None).to_vec();
        assert_eq!(a.merge(at(300), NodeId(1), &again), Ok(()));
        assert!(a.store.get(db, key).is_some());
    }

    #[test]
    fn deleting_what_is_not_there_writes_nothing() {
        let mut a = replica(0);
        assert_eq!(a.delete(at(1), Db::EVENTUAL, b"k"), None);
        a.set(at(1), Db::EVENTUAL, b"k", b"v", None);
        assert!(a.delete(at(1), Db::EVENTUAL, b"k").is_some());
        assert_eq!(a.delete(at(1), Db::EVENTUAL, b"k"), None);
        assert_eq!(a.store.tombstones(Db::EVENTUAL), 1);
    }
}
