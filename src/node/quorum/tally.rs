//! Tallies: what members have shown of one key, as far as an operation must know.
//!
//! Of all answers only the newest matters, who showed it, and who answered at all. A member counts
//! with the newest that it ever showed; a state never goes back.

use crate::{
    node::votes::Votes,
    record::{NodeId, Version},
};

/// What a member holds of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shown {
    /// Of its record, or of the flush that killed what it may have had; none if there was neither.
    pub(crate) version: Version,
    /// It is a record's.
    pub(crate) record: bool,
    /// Without a record: one at or below this stamp was deleted.
    pub(crate) floor: u64,
}

impl Shown {
    /// Whether who shows this has a record of this version, or something that outlives it: a newer
    /// one, a flush, or the knowledge that it is dead.
    pub(crate) const fn reaches(self, version: Version) -> bool {
        self.version.to_bits() >= version.to_bits() || (!self.record && version.hlc() <= self.floor)
    }
}

/// The answers to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    answered: Votes,
    best: Shown,
    at_best: Votes,
    /// The highest floor of all.
    floor: u64,
}

impl Tally {
    /// A member shows, durably, what it has.
    pub(crate) fn add(&mut self, from: NodeId, shown: Shown) {
        self.answered.add(from);
        self.floor = self.floor.max(shown.floor);
        if shown.version > self.best.version {
            (self.best, self.at_best) = (shown, Votes::default());
        }
        if shown.version == self.best.version {
            self.at_best.add(from);
        }
    }

    /// Who has answered.
    pub(crate) const fn answered(&self) -> Votes {
        self.answered
    }

    /// The newest that was shown.
    pub(crate) const fn best(&self) -> Shown {
        self.best
    }

    /// The highest floor that was shown.
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Who showed at least this version, as far as that is known: all who showed the newest, or
    /// nobody.
    pub(crate) fn holders(&self, version: Version) -> Votes {
        if self.best.version >= version { self.at_best } else { Votes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hlc: u64) -> Shown {
        let version = if hlc == 0 { Version::NONE } else { Version::stamp(hlc, NodeId(0), 1) };
        Shown { version, record: hlc > 0, floor: 0 }
    }

    fn ids(votes: Votes) -> Vec<u16> {
        votes.iter().map(|node| node.0).collect()
    }

    #[test]
    fn the_newest_counts_and_who_showed_it() {
        let mut tally = Tally::default();
        tally.add(NodeId(0), shown(0));
        tally.add(NodeId(1), shown(0));
        assert_eq!((tally.best(), ids(tally.holders(Version::NONE))), (shown(0), vec![0, 1]));
        tally.add(NodeId(2), shown(5));
        tally.add(NodeId(3), shown(4));
        tally.add(NodeId(1), shown(5));
        assert_eq!(tally.answered().count(), 4);
        assert_eq!((tally.best(), ids(tally.holders(shown(5).version))), (shown(5), vec![1, 2]));
        assert_eq!(ids(tally.holders(shown(6).version)), [0; 0]);
    }

    #[test]
    fn who_knows_of_the_deletion_needs_no_tombstone() {
        let version = Version::stamp(7, NodeId(0), 1);
        let absent = |floor| Shown { version: Version::NONE, record: false, floor };
        assert!(absent(7).reaches(version) && !absent(6).reaches(version));
        assert!(shown(7).reaches(version) && !shown(6).reaches(version));
        let held = Shown { floor: 9, ..shown(6) };
        assert!(!held.reaches(version), "it may be older and alive");
        assert!(shown(0).reaches(Version::NONE));
        let mut tally = Tally::default();
        tally.add(NodeId(0), absent(7));
        tally.add(NodeId(1), absent(6));
        assert_eq!((tally.floor(), tally.best().version), (7, Version::NONE));
    }

    /// The order of answers makes no difference, nor that one comes twice.
    #[test]
    fn all_orders_of_three_answers_tell_the_same() {
        for code in 0..27_u64 {
            let answers = [code % 3, code / 3 % 3, code / 9];
            let newest = answers.into_iter().max().expect("three");
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let mut tally = Tally::default();
                for node in order.into_iter().chain(order) {
                    tally.add(NodeId(node as u16), shown(answers[node]));
                }
                let holders: Vec<u16> =
                    (0..3).filter(|node| answers[usize::from(*node)] == newest).collect();
                assert_eq!(tally.best(), shown(newest));
                assert_eq!(ids(tally.holders(shown(newest).version)), holders);
            }
        }
    }
}
