//! The acceptor: what this replica has promised, slot by slot (PROTOCOL section 3).
//!
//! Pure: it decides, others write and send. A promise never goes down, and is kept even for a slot
//! without any record. It is Lamport's acceptor ("Paxos Made Simple", 2001) with one promise for
//! all keys of a slot.

use std::collections::BTreeMap;

use crate::{
    log::Entry,
    probe::{Mutant, planted},
    record::Ballot,
    slot::SlotSet,
};

/// The promises of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Acceptor {
    promised: Vec<Ballot>,
    /// Slots in which nothing counts as accepted: their records were copied from peers after a
    /// loss.
    copied: SlotSet,
    /// Whether this replica may vote: the cluster has formed, and what this node may have lost is
    /// there again.
    votes: bool,
}

/// What became of a request for promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prepared {
    /// The slots whose promise now is the ballot.
    pub(crate) granted: SlotSet,
    /// Those of them whose promise was lower before.
    pub(crate) raised: SlotSet,
    /// The highest promise that stood against it; none if all were granted.
    pub(crate) highest: Ballot,
}

/// What became of a record sent under a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Judged {
    /// Not judged: this replica does not vote.
    Ignored,
    /// A higher promise stands against it.
    Refused(Ballot),
    /// To be taken, and whether it raised the promise.
    Taken { raised: bool },
}

impl Acceptor {
    /// A replica that has promised nothing and does not vote yet.
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            promised: vec![Ballot::NONE; slots as usize],
            copied: SlotSet::new(slots),
            votes: false,
        }
    }

    /// The promise that stands for a slot.
    pub(crate) fn promised(&self, slot: u32) -> Ballot {
        self.promised.get(slot as usize).copied().unwrap_or(Ballot::NONE)
    }

    /// Whether this replica votes.
    pub(crate) const fn votes(&self) -> bool {
        self.votes
    }

    /// From now on this replica votes, or does not.
    pub(crate) const fn set_votes(&mut self, votes: bool) {
        self.votes = votes;
    }

    /// The slots in which nothing counts as accepted.
    pub(crate) const fn copied(&self) -> &SlotSet {
        &self.copied
    }

    /// Nothing in these slots counts as accepted, or all does again.
    pub(crate) fn set_copied(&mut self, slots: &SlotSet, copied: bool) {
        if copied { self.copied.union_with(slots) } else { self.copied.subtract(slots) }
    }

    /// Raises promises to at least `ballot`: what an earlier life or another replica knew.
    pub(crate) fn recall(&mut self, ballot: Ballot, slots: &SlotSet) {
        for slot in slots.iter() {
            self.raise(slot, ballot);
        }
    }

    /// Raises one promise to at least `ballot`.
    pub(crate) fn recall_one(&mut self, slot: u32, ballot: Ballot) {
        self.raise(slot, ballot);
    }

    /// A candidate asks for promises.
    pub(crate) fn prepare(&mut self, ballot: Ballot, asked: &SlotSet) -> Prepared {
        let (mut granted, mut raised) = (asked.clone(), asked.clone());
        let mut highest = Ballot::NONE;
        for slot in asked.iter() {
            let promised = self.promised(slot);
            if ballot < promised {
                granted.remove(slot);
                highest = highest.max(promised);
            }
            if ballot <= promised || !self.raise(slot, ballot) {
                raised.remove(slot);
            }
        }
        Prepared { granted, raised, highest }
    }

    /// A leader of `ballot` sends something for `slot`.
    pub(crate) fn judge(&mut self, slot: u32, ballot: Ballot) -> Judged {
        if !self.votes {
            return Judged::Ignored;
        }
        let promised = self.promised(slot);
        if ballot < promised && !planted(Mutant::AcceptIgnoresPromised) {
            return Judged::Refused(promised);
        }
        Judged::Taken { raised: self.raise(slot, ballot) }
    }

    /// Whether no higher promise stands against `ballot`.
    pub(crate) fn confirms(&self, slot: u32, ballot: Ballot) -> bool {
        self.votes && ballot >= self.promised(slot)
    }

    /// All that the log must know of this replica's promises, for a checkpoint.
    pub(crate) fn log(&self, out: &mut Vec<u8>) {
        let slots = self.promised.len() as u32;
        let mut groups: BTreeMap<Ballot, SlotSet> = BTreeMap::new();
        for (slot, ballot) in self.promised.iter().enumerate() {
            if *ballot != Ballot::NONE {
                let group = groups.entry(*ballot).or_insert_with(|| SlotSet::new(slots));
                group.insert(slot as u32);
            }
        }
        let mut bytes = Vec::new();
        for (ballot, slots) in groups {
            bytes.clear();
            slots.to_bytes(&mut bytes);
            Entry::Promise { ballot, slots: &bytes }.encode(out);
        }
        bytes.clear();
        self.copied.to_bytes(&mut bytes);
        Entry::Copied { slots: &bytes, set: true }.encode(out);
    }

    fn raise(&mut self, slot: u32, ballot: Ballot) -> bool {
        let Some(promised) = self.promised.get_mut(slot as usize) else { return false };
        let raised = ballot > *promised;
        *promised = ballot.max(*promised);
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NodeId;

    fn set(slots: &[u32]) -> SlotSet {
        let mut set = SlotSet::new(4);
        slots.iter().for_each(|slot| {
            set.insert(*slot);
        });
        set
    }

    #[test]
    fn promises_only_go_up() {
        let (low, high) = (Ballot::new(1, NodeId(2)), Ballot::new(2, NodeId(0)));
        let mut acceptor = Acceptor::new(4);
        acceptor.set_votes(true);
        let first = acceptor.prepare(high, &set(&[1, 2]));
        assert_eq!((first.granted.len(), first.raised.len(), first.highest), (2, 2, Ballot::NONE));
        let second = acceptor.prepare(low, &set(&[0, 1]));
        assert_eq!((second.granted, second.raised, second.highest), (set(&[0]), set(&[0]), high));
        let again = acceptor.prepare(high, &set(&[1, 2]));
        assert_eq!((again.granted.len(), again.raised.len()), (2, 0));
        assert_eq!(acceptor.judge(1, low), Judged::Refused(high));
        assert_eq!(acceptor.judge(0, high), Judged::Taken { raised: true });
        assert_eq!(acceptor.judge(0, high), Judged::Taken { raised: false });
        assert!(!acceptor.confirms(0, low) && acceptor.confirms(3, low));
        acceptor.recall(low, &set(&[0, 3]));
        assert_eq!((acceptor.promised(0), acceptor.promised(3)), (high, low));
    }

    #[test]
    fn a_replica_that_does_not_vote_takes_and_confirms_nothing() {
        let ballot = Ballot::new(1, NodeId(0));
        let mut acceptor = Acceptor::new(4);
        assert_eq!(acceptor.judge(0, ballot), Judged::Ignored);
        assert!(!acceptor.confirms(0, ballot));
        assert_eq!(acceptor.promised(0), Ballot::NONE);
    }
}
