//! Fast reads: a follower answers a read without the leader, if a majority holds the same
//! (PROTOCOL section 5).
//!
//! The follower asks all members for the key's version. If a majority, itself included, shows the
//! same one, and each accepted it, that version is chosen, and no newer one was chosen before the
//! question: else one of the majority would show it. An absent key counts as a version, and a
//! tombstone is not the same as an absent key. Anything else goes to the leader; the newest of
//! unequal versions may never be chosen.

use std::collections::BTreeMap;

use super::request::Request;
use crate::{
    node::votes::Votes,
    probe::{
        Mutant,
        claims::{HEARD, accepted_by},
        planted,
    },
    record::{Db, NodeId, Version},
    time::Instant,
};

/// A read under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FastRead {
    pub(crate) request: Request,
    /// What this node holds: none for an absent key.
    pub(crate) version: Version,
    same: Votes,
    other: Votes,
}

/// The fast reads of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FastReads {
    gathering: Vec<FastRead>,
    asked: BTreeMap<u64, Batch>,
    last_id: u64,
    /// How many of them are in each slot.
    slots: Counts,
}

/// Reads that were asked about together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    reads: Vec<Option<FastRead>>,
    /// Then they go to the leader.
    until: Instant,
}

/// What became of reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Decided {
    /// A majority holds the same.
    pub(crate) chosen: Vec<FastRead>,
    /// For the leader.
    pub(crate) unclear: Vec<Request>,
}

impl FastReads {
    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.slots.all
    }

    /// A read arrived; this node holds `version` and has accepted it.
    pub(crate) fn begin(&mut self, me: NodeId, request: Request, version: Version) {
        let mut same = Votes::default();
        same.add(me);
        self.slots.add(request.slot);
        self.gathering.push(FastRead { request, version, same, other: Votes::default() });
    }

    /// The reads that have arrived are to be asked about now, until then: under which id, and the
    /// keys.
    pub(crate) fn ask(&mut self, until: Instant) -> Option<(u64, impl Iterator<Item = &[u8]>)> {
        if self.gathering.is_empty() {
            return None;
        }
        self.last_id += 1;
        let reads = self.gathering.drain(..).map(Some).collect();
        self.asked.insert(self.last_id, Batch { reads, until });
        let batch = self.asked.get(&self.last_id)?;
        let reads = batch.reads.iter().flatten();
        let keys = reads.filter_map(|read| read.request.op().map(|op| op.key));
        Some((self.last_id, keys))
    }

    /// A member says of each key of a question which version it holds and whether it accepted it.
    /// A majority is `quorum` of `members`.
    pub(crate) fn on_answers(
        &mut self,
        from: NodeId,
        id: u64,
        answers: impl Iterator<Item = (Version, bool)>,
        quorum: usize,
        members: usize,
    ) -> Decided {
        let mut decided = Decided::default();
        let Some(batch) = self.asked.get_mut(&id) else { return decided };
        for (place, (version, accepted)) in batch.reads.iter_mut().zip(answers) {
            let Some(read) = place else { continue };
            let accepted = accepted || planted(Mutant::CopiesCountAsAccepted);
            if read.is_same(version) && accepted {
                read.same.add(from);
                read.claim();
            } else {
                read.other.add(from);
            }
            let (same, other) = (read.same.count(), read.other.count());
            if same >= quorum {
                decided.chosen.extend(place.take());
            } else if members - other < quorum {
                decided.unclear.extend(place.take().map(|read| read.request));
            }
        }
        if batch.reads.iter().all(Option::is_none) {
            self.asked.remove(&id);
        }
        decided.chosen.iter().for_each(|read| self.slots.remove(read.request.slot));
        decided.unclear.iter().for_each(|request| self.slots.remove(request.slot));
        decided
    }

    /// Takes out all reads of a slot.
    pub(crate) fn take_slot(&mut self, slot: u32) -> Vec<Request> {
        if !self.slots.clear(slot) {
            return Vec::new();
        }
        let batches = self.asked.values_mut();
        let places = batches.flat_map(|batch| batch.reads.iter_mut());
        let asked = places.filter_map(|place| place.take_if(|read| read.request.slot == slot));
        let mut taken: Vec<FastRead> = asked.collect();
        taken.extend(self.gathering.extract_if(.., |read| read.request.slot == slot));
        self.asked.retain(|_, batch| batch.reads.iter().any(Option::is_some));
        taken.into_iter().map(|read| read.request).collect()
    }

    /// What a member showed in an earlier life counts no more.
    pub(crate) fn retract(&mut self, member: NodeId) {
        let batches = self.asked.values_mut();
        let reads = batches.flat_map(|batch| batch.reads.iter_mut().flatten());
        reads.for_each(|read| read.same.retract(member));
    }

    /// Reads that nobody could decide in time.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Request> {
        let mut late = Vec::new();
        while let Some(first) = self.asked.first_entry()
            && first.get().until <= now
        {
            let reads = first.remove().reads.into_iter().flatten();
            late.extend(reads.map(|read| read.request));
        }
        late.iter().for_each(|request| self.slots.remove(request.slot));
        late
    }

    /// When [`FastReads::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.asked.first_key_value().map(|(_, batch)| batch.until)
    }
}

/// Reads, counted by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Counts {
    of: BTreeMap<u32, usize>,
    all: usize,
}

impl Counts {
    fn add(&mut self, slot: u32) {
        *self.of.entry(slot).or_default() += 1;
        self.all += 1;
    }

    fn remove(&mut self, slot: u32) {
        if let Some(count) = self.of.get_mut(&slot) {
            *count -= 1;
            self.all -= 1;
            if *count == 0 {
                self.of.remove(&slot);
            }
        }
    }

    /// Forgets a slot; whether it had any.
    fn clear(&mut self, slot: u32) -> bool {
        let count = self.of.remove(&slot);
        self.all -= count.unwrap_or_default();
        count.is_some()
    }
}

impl FastRead {
    fn claim(&self) {
        if HEARD && let Some(op) = self.request.op() {
            accepted_by(self.same.bits(), Db::STRONG.number(), op.key, self.version.to_bits());
        }
    }

    fn is_same(&self, version: Version) -> bool {
        if planted(Mutant::FastReadNewest) {
            return version <= self.version;
        }
        self.version == version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::op::{Action, Op},
        node::strong::request::Origin,
        record::Ballot,
    };

    const OTHERS: [NodeId; 2] = [NodeId(1), NodeId(2)];

    fn asked(version: Version) -> (FastReads, u64) {
        let mut reads = FastReads::default();
        let op = Op::new(b"k", Action::Get);
        let request = Request::new(Origin::Nobody, &op, 0, Instant::ZERO);
        reads.begin(NodeId(0), request, version);
        let id = reads.ask(Instant::from_micros(5)).map(|(id, _)| id).expect("there is one");
        (reads, id)
    }

    fn version(seq: u64) -> Version {
        Version::accepted(Ballot::new(1, NodeId(0)), seq)
    }

    #[test]
    fn a_majority_of_the_same_accepted_version_decides() {
        let (mut reads, id) = asked(version(1));
        let decided = reads.on_answers(OTHERS[0], id, [(version(1), true)].into_iter(), 2, 3);
        assert_eq!((decided.chosen.len(), decided.unclear.len()), (1, 0));
        assert_eq!(reads.next_deadline(), None);
    }

    #[test]
    fn nothing_else_does() {
        for answer in [(version(2), true), (version(1), false), (Version::NONE, true)] {
            let (mut reads, id) = asked(version(1));
            let first = reads.on_answers(OTHERS[0], id, [answer].into_iter(), 2, 3);
            assert_eq!(first, Decided::default(), "the third may still be the same");
            let again = reads.on_answers(OTHERS[0], id, [answer].into_iter(), 2, 3);
            assert_eq!(again, Decided::default(), "a member counts once");
            let second = reads.on_answers(OTHERS[1], id, [answer].into_iter(), 2, 3);
            assert_eq!((second.chosen.len(), second.unclear.len()), (0, 1));
        }
        let (mut reads, _) = asked(version(1));
        assert_eq!(reads.expire(Instant::from_micros(4)).len(), 0);
        assert_eq!(reads.expire(Instant::from_micros(5)).len(), 1);
        assert_eq!(reads.take_slot(0), []);
    }

    #[test]
    fn the_reads_of_a_slot_can_be_taken_out() {
        let (mut reads, id) = asked(version(1));
        let op = Op::new(b"k", Action::Get);
        for slot in [0, 1] {
            let request = Request::new(Origin::Nobody, &op, slot, Instant::ZERO);
            reads.begin(NodeId(0), request, version(1));
        }
        assert_eq!(reads.take_slot(0).len(), 2);
        assert_eq!(reads.take_slot(0).len(), 0);
        let late = reads.on_answers(OTHERS[0], id, [(version(1), true)].into_iter(), 2, 3);
        assert_eq!(late, Decided::default());
        assert_eq!((reads.next_deadline(), reads.take_slot(1).len()), (None, 1));
        assert_eq!(reads.ask(Instant::ZERO).map(|(id, _)| id), None);
    }
}
