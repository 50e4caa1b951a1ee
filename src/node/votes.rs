//! Votes: which members stand behind something.

use crate::record::NodeId;

/// A set of members; each counts once, however often it votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Votes(u64);

impl Votes {
    /// A member votes. Whether it had not before.
    pub(crate) const fn add(&mut self, node: NodeId) -> bool {
        let before = self.0;
        self.0 |= bit(node);
        self.0 != before
    }

    /// A vote does not count any longer.
    pub(crate) const fn retract(&mut self, node: NodeId) {
        self.0 &= !bit(node);
    }

    pub(crate) const fn contains(self, node: NodeId) -> bool {
        self.0 & bit(node) != 0
    }

    /// Who has voted, a bit each.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Who has voted, in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..64).map(NodeId).filter(move |node| self.contains(*node))
    }

    /// How many have voted.
    pub(crate) const fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl FromIterator<NodeId> for Votes {
    fn from_iter<T: IntoIterator<Item = NodeId>>(nodes: T) -> Self {
        nodes.into_iter().fold(Self::default(), |mut votes, node| {
            votes.add(node);
            votes
        })
    }
}

/// There are at most [`crate::members::MEMBERS_MAX`] members, 64.
const fn bit(node: NodeId) -> u64 {
    1 << (node.0 % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_once() {
        let mut votes = Votes::default();
        assert!(votes.add(NodeId(0)) && votes.add(NodeId(63)));
        assert!(!votes.add(NodeId(0)));
        assert_eq!(votes.count(), 2);
        assert_eq!(votes.iter().collect::<Vec<_>>(), [NodeId(0), NodeId(63)]);
        votes.retract(NodeId(0));
        assert!(votes.contains(NodeId(63)) && !votes.contains(NodeId(0)));
        assert_eq!(votes.count(), 1);
    }
}
