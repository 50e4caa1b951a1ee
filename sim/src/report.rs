//! What became of a case, told the same way by every tier.

use crate::{
    case::FaultClass,
    history::Entry,
    oracle::{Failure, Replica},
    trace::Trace,
};

/// What became of a case.
#[derive(Debug)]
pub struct Report {
    /// Everything that happened, as one number and step by step.
    pub trace: Trace,
    /// How long it took in simulated time.
    pub simulated_ms: u64,
    /// How long the replicas took to become one after the last fault and request.
    pub settled_ms: Option<u64>,
    /// How often faults struck, in the order of [`FaultClass::ALL`].
    pub fired: [u64; FaultClass::ALL.len()],
    /// What else was reached.
    pub reached: Reached,
    /// What clients asked and were told.
    pub history: Vec<Entry>,
    /// What each node that was up in the end holds, by node.
    pub replicas: Vec<(usize, Replica)>,
    /// What is wrong, if anything.
    pub failure: Option<Failure>,
}

/// Counts of what a good batch gets to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Streams that overflowed, as counted by nodes that lived to the end.
    pub behind: u64,
    /// Records that repair copied, likewise.
    pub copied: u64,
    /// Requests answered.
    pub answered: u64,
    /// Histories of a key or a pair of keys for which the search for an order took too long.
    pub undecided: u64,
    /// How often each hook was passed, in the order of [`quorate::probe::Hook::ALL`].
    pub hooks: Vec<u64>,
}

impl Reached {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.behind += other.behind;
        self.copied += other.copied;
        self.answered += other.answered;
        self.undecided += other.undecided;
        self.hooks.resize(self.hooks.len().max(other.hooks.len()), 0);
        for (sum, count) in self.hooks.iter_mut().zip(&other.hooks) {
            *sum += count;
        }
    }
}
