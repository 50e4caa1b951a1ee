//! What clients asked and what they were told: the oracles' evidence.

use crate::case::Op;

/// One request and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who asked.
    pub client: usize,
    /// Which node.
    pub node: usize,
    /// In which database.
    pub db: u8,
    /// What.
    pub op: Op,
    /// When its first byte may have left.
    pub start_us: u64,
    /// When its reply had arrived.
    pub end_us: Option<u64>,
    /// The reply.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A number: of keys that were deleted or found, of bytes, or a sum.
    Count(i64),
    /// Done.
    Done,
    /// It held this, and nothing was written because it was written meanwhile.
    Found(Option<Vec<u8>>),
    /// The node does not know either: it may have been carried out or not, and may still be.
    InDoubt,
    /// These values, in the order of the keys.
    List(Vec<Option<Vec<u8>>>),
    /// There is no such key.
    Missing,
    /// What the key holds is no number.
    NotNumber,
    /// A condition did not hold, and nothing was written.
    NotSet,
    /// These keys, and where to go on; 0 at the end.
    Page {
        /// Where.
        next: u64,
        /// Which.
        keys: Vec<Vec<u8>>,
    },
    /// Refused for sure: the node's clock is too far ahead, or a majority is not in reach.
    Refused,
    /// It may have been carried out or not, and may still be.
    Unknown,
    /// It holds this.
    Value(Vec<u8>),
    /// The reply fits no such request.
    Wrong(String),
}

impl Entry {
    /// The key it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.op.key()
    }

    /// What it writes, if it is a SET.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.op.value()
    }

    /// Whether it has changed its key for sure.
    #[must_use]
    pub fn wrote(&self) -> bool {
        match (&self.op, &self.outcome) {
            (Op::Set { .. }, outcome) => *outcome == Outcome::Done,
            (Op::Del { .. }, outcome) => matches!(outcome, Outcome::Count(1..)),
            _ => false,
        }
    }

    /// Whether it was over before `other` began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.end_us.is_some_and(|end| end < other.start_us)
    }
}
