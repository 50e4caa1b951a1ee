//! Is what the clients of one key saw linearizable?
//!
//! Linearizable (Herlihy and Wing, "Linearizability: a correctness condition for concurrent
//! objects", TOPLAS 1990): every operation can be given one moment between its start and its end at
//! which it takes effect, so that the answers are those of a single copy. The condition is local: a
//! store is linearizable when each of its keys is, so a [`History`] holds the operations of one
//! key.
//!
//! Two checkers, which check each other in the tests:
//! - [`interval`] for registers whose written values are all different. O(n log n), always decides
//!   when nothing is deleted, and names the operations at fault.
//! - [`search`] for any [`Model`]: INCR, SETNX, compare-and-set, deletes. Exponential at worst, so
//!   it has a [`Budget`] and may answer [`Verdict::Unknown`].
//!
//! [`cell`] is the model of all operations of the strong database, and [`keys`] judges what clients of
//! many keys recorded.
//!
//! What is deliberately not here: weaker levels than linearizable, transactions over several keys,
//! shrinking of a bad history, and any dependency on a node: simulations and the command line hand
//! in what their clients saw.

pub mod cell;
pub mod history;
pub mod interval;
pub mod keys;
pub mod model;
pub mod search;
pub mod strings;

use std::fmt;

pub use history::{History, Operation};
pub use model::{Model, Register, Value};
pub use search::Budget;

/// What a checker says about a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Linearizable,
    /// The budget was spent before the answer was found.
    Unknown,
    /// There is no such order.
    Violation(Violation),
}

/// Why a history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The operations involved, as positions in the history, in the order the words name them.
    pub operations: Vec<usize>,
    /// The same in words, for people.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Checks a register with unique values: by intervals as far as they reach, and by search for the
/// rest, which only deletes can leave.
///
/// # Panics
///
/// When two writes of the history write the same value: see [`interval::check`].
pub fn register(history: &History<Register>, budget: &Budget) -> Verdict {
    match interval::check(history) {
        Err(violation) => Verdict::Violation(violation),
        Ok(interval::Coverage::Everything) => Verdict::Linearizable,
        Ok(interval::Coverage::Values) => search::check(history, budget),
    }
}

#[cfg(test)]
mod tests;
