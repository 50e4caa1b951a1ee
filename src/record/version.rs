//! Versions: the total order of a key's records. Who gives them differs: in databases 1 and 2 a
//! clock does, in database 0 a ballot that a majority has promised.

use std::fmt;

/// A member's place in the sorted list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A term of office in database 0: who may give versions in the slots that promised it. A promise
/// of one refuses all lower ones. Zero is "none" and lower than any other.
///
/// From the highest bit: counter (48), node (16). The node makes ballots of one counter different,
/// so that no two nodes ever hold the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot(u64);

impl Ballot {
    /// Lower than every ballot that a node stands with.
    pub const NONE: Self = Self(0);
    /// The highest counter.
    pub const COUNTER_MAX: u64 = (1 << 48) - 1;

    /// The ballot of `node` at `counter`.
    ///
    /// # Panics
    /// If the counter is above [`Ballot::COUNTER_MAX`]: a shortened one might name a ballot that was
    /// held before. A counter that comes from a peer is to be compared before it is counted up.
    #[must_use]
    pub const fn new(counter: u64, node: NodeId) -> Self {
        assert!(counter <= Self::COUNTER_MAX, "the ballot's counter has 48 bits");
        Self(counter << 16 | node.0 as u64)
    }

    /// What counts up from one term to the next.
    #[must_use]
    pub const fn counter(self) -> u64 {
        self.0 >> 16
    }

    /// Who holds it.
    #[must_use]
    pub const fn node(self) -> NodeId {
        NodeId(self.0 as u16)
    }

    /// The ballot as an integer of the same order.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The ballot of [`Ballot::to_bits`].
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter(), self.node())
    }
}

/// A record's place in the total order of all records of its key. Zero is "none" and older than any
/// other. What the bits mean depends on the record's database.
///
/// In databases 1 and 2 it is a stamp. From the highest bit: hybrid logical clock (48 bits of
/// milliseconds, 16 of counter), node (16), incarnation tag (48). The clock is that of Kulkarni et
/// al., "Logical Physical Clocks", 2014, in one integer.
///
/// In database 0 it is a ballot (64), under which the record was accepted, and a number (64) that
/// counts up as long as the ballot is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u128);

impl Version {
    /// Older than every stamp.
    pub const NONE: Self = Self(0);
    /// Incarnations are told apart by their low 48 bits.
    const TAG_MASK: u64 = (1 << 48) - 1;

    /// The stamp that `node` in its life `incarnation` gives at `hlc`.
    #[must_use]
    pub const fn stamp(hlc: u64, node: NodeId, incarnation: u64) -> Self {
        let low = (node.0 as u64) << 48 | (incarnation & Self::TAG_MASK);
        Self((hlc as u128) << 64 | low as u128)
    }

    /// The version of the record that counts `seq` under `ballot`.
    #[must_use]
    pub const fn accepted(ballot: Ballot, seq: u64) -> Self {
        Self((ballot.0 as u128) << 64 | seq as u128)
    }

    /// The ballot of a version of database 0.
    #[must_use]
    pub const fn ballot(self) -> Ballot {
        Ballot((self.0 >> 64) as u64)
    }

    /// The number under the ballot, of a version of database 0.
    #[must_use]
    pub const fn seq(self) -> u64 {
        self.0 as u64
    }

    /// The hybrid logical clock's reading, of a stamp.
    #[must_use]
    pub const fn hlc(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Who gave the stamp.
    #[must_use]
    pub const fn node(self) -> NodeId {
        NodeId((self.0 >> 48) as u16)
    }

    /// Whether the life that gave the stamp was this one of its node, or an earlier one.
    #[must_use]
    pub const fn is_of_life_until(self, incarnation: u64) -> bool {
        self.0 as u64 & Self::TAG_MASK <= incarnation & Self::TAG_MASK
    }

    /// The version as an integer of the same order.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// The version of [`Version::to_bits`].
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hlc = self.hlc();
        let tag = self.0 as u64 & Self::TAG_MASK;
        write!(f, "{}.{}@{}/{:x}", hlc >> 16, hlc & 0xffff, self.node(), tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_orders_by_clock_then_node_then_incarnation() {
        let stamp = |hlc, node, inc| Version::stamp(hlc, NodeId(node), inc);
        assert!(stamp(2, 0, 0) > stamp(1, 9, 9));
        assert!(stamp(2, 1, 0) > stamp(2, 0, 9));
        assert!(stamp(2, 1, 2) > stamp(2, 1, 1));
        assert_eq!(stamp(5, 6, 7).hlc(), 5);
        assert_eq!(stamp(5, 6, 7).node(), NodeId(6));
        assert_eq!(stamp(5 << 16 | 1, NodeId(6).0, 255).to_string(), "5.1@n6/ff");
    }

    #[test]
    fn ballots_order_by_counter_then_node() {
        let ballot = |counter, node| Ballot::new(counter, NodeId(node));
        assert!(ballot(2, 0) > ballot(1, u16::MAX));
        assert!(ballot(2, 1) > ballot(2, 0));
        assert!(ballot(1, 0) > Ballot::NONE);
        assert_eq!(Ballot::default(), Ballot::NONE);
        for held in [ballot(7, 1), ballot(Ballot::COUNTER_MAX, u16::MAX)] {
            assert_eq!(Ballot::new(held.counter(), held.node()), held);
            assert_eq!(Ballot::from_bits(held.to_bits()), held);
        }
        assert_eq!(ballot(7, 1).to_string(), "7@n1");
    }

    #[test]
    #[should_panic(expected = "48 bits")]
    fn ballots_never_wrap() {
        let _ = Ballot::new(Ballot::COUNTER_MAX + 1, NodeId(0));
    }

    #[test]
    fn accepted_versions_order_by_ballot_then_seq() {
        let (low, high) = (Ballot::new(7, NodeId(2)), Ballot::new(8, NodeId(0)));
        assert!(Version::accepted(high, 1) > Version::accepted(low, u64::MAX));
        assert!(Version::accepted(low, 2) > Version::accepted(low, 1));
        assert_eq!(Version::accepted(Ballot::NONE, 0), Version::NONE);
        let version = Version::accepted(low, 3);
        assert_eq!((version.ballot(), version.seq()), (low, 3));
        assert_eq!(Version::from_bits(version.to_bits()), version);
    }
}
