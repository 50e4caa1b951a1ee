//! What one key does when operations come one after the other: the specification that a history is
//! held against.
//!
//! A model is total and deterministic: every operation can follow every state, and gives one next
//! state and one answer. [`Register`] is what [`interval`](super::interval) understands;
//! [`Counter`] is for the operations whose effect depends on what they find, and only
//! [`search`](super::search) can check it.

use std::{
    fmt::{self, Debug, Display},
    hash::Hash,
};

/// A sequential specification.
pub trait Model: Clone + Debug {
    /// Everything that later answers depend on.
    type State: Clone + Debug + Eq + Hash;
    /// What a client may ask.
    type Op: Clone + Debug + Display + PartialEq;
    /// What it may be told.
    type Outcome: Clone + Debug + Display + PartialEq;

    /// The key before any operation.
    fn initial() -> Self::State;

    /// The state after `op`, and the answer to it.
    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome);
}

/// The name of a written value; each write of a history has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u64);

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// SET, GET and DEL of whole values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register;

/// What a client may ask of a [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOp {
    /// Make the key absent.
    Delete,
    /// Tell what the key holds.
    Read,
    /// Make the key hold this.
    Write(Value),
}

/// What a client may be told by a [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The delete is done.
    Deleted {
        /// Whether there was something to delete.
        existed: bool,
    },
    /// What the key held; `None` is absent.
    Found(Option<Value>),
    /// The write is done.
    Written,
}

impl Model for Register {
    type State = Option<Value>;
    type Op = RegisterOp;
    type Outcome = RegisterOutcome;

    fn initial() -> Self::State {
        None
    }

    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome) {
        match op {
            RegisterOp::Delete => (None, RegisterOutcome::Deleted { existed: state.is_some() }),
            RegisterOp::Read => (*state, RegisterOutcome::Found(*state)),
            RegisterOp::Write(value) => (Some(*value), RegisterOutcome::Written),
        }
    }
}

impl Display for RegisterOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete => f.write_str("delete"),
            Self::Read => f.write_str("read"),
            Self::Write(value) => write!(f, "write {value}"),
        }
    }
}

impl Display for RegisterOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted { existed: true } => f.write_str("deleted"),
            Self::Deleted { existed: false } => f.write_str("nothing to delete"),
            Self::Found(None) => f.write_str("absent"),
            Self::Found(Some(value)) => write!(f, "{value}"),
            Self::Written => f.write_str("ok"),
        }
    }
}

/// A number with INCR, SETNX and compare-and-set. The values need not be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter;

/// What a client may ask of a [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// Add to the number, where absent counts as 0, and tell the sum.
    Add(i64),
    /// Set the number to `to` if it is `from`, where `None` is absent.
    CompareAndSet {
        /// What must be there.
        from: Option<i64>,
        /// What is there afterwards.
        to: i64,
    },
    /// Make the key absent.
    Delete,
    /// Tell the number.
    Read,
    /// Make the key hold this number.
    Write(i64),
}

/// What a client may be told by a [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOutcome {
    /// Whether the operation changed the key: of compare-and-set and delete.
    Changed(bool),
    /// The number after an addition, or found by a read; `None` is absent.
    Number(Option<i64>),
    /// The write is done.
    Written,
}

impl CounterOp {
    /// SETNX: set the number if the key is absent.
    pub fn set_if_absent(to: i64) -> Self {
        Self::CompareAndSet { from: None, to }
    }
}

impl Model for Counter {
    type State = Option<i64>;
    type Op = CounterOp;
    type Outcome = CounterOutcome;

    fn initial() -> Self::State {
        None
    }

    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome) {
        match *op {
            CounterOp::Add(amount) => {
                let sum = Some(state.unwrap_or(0).wrapping_add(amount));
                (sum, CounterOutcome::Number(sum))
            }
            CounterOp::CompareAndSet { from, to } if *state == from => {
                (Some(to), CounterOutcome::Changed(true))
            }
            CounterOp::CompareAndSet { .. } => (*state, CounterOutcome::Changed(false)),
            CounterOp::Delete => (None, CounterOutcome::Changed(state.is_some())),
            CounterOp::Read => (*state, CounterOutcome::Number(*state)),
            CounterOp::Write(number) => (Some(number), CounterOutcome::Written),
        }
    }
}

impl Display for CounterOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(amount) => write!(f, "add {amount}"),
            Self::CompareAndSet { from: None, to } => write!(f, "set to {to} if absent"),
            Self::CompareAndSet { from: Some(from), to } => write!(f, "set {from} to {to}"),
            Self::Delete => f.write_str("delete"),
            Self::Read => f.write_str("read"),
            Self::Write(number) => write!(f, "write {number}"),
        }
    }
}

impl Display for CounterOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(true) => f.write_str("changed"),
            Self::Changed(false) => f.write_str("not changed"),
            Self::Number(None) => f.write_str("absent"),
            Self::Number(Some(number)) => write!(f, "{number}"),
            Self::Written => f.write_str("ok"),
        }
    }
}
