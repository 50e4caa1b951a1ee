//! A history: the operations that clients did on one key, with the time each started and ended.
//!
//! The rules of recording, which the checkers rely on:
//! - An operation comes before another when it ended *before* the other started. Operations that
//!   touch (end of one = start of the other) overlap, as the clock can't tell which was first.
//! - `end: None` is for every operation whose fate the client doesn't know: no answer, a broken
//!   link, an answer that says "may or may not have happened". It takes effect at most once, at any
//!   time from its start on, or never.
//! - An operation known to have had no effect is left out. A read of what it would have written is
//!   then a read of a value that nobody wrote, as it should be.
//! - The key is absent before the first operation.
//! - Of two operations of one client that ended, the one recorded first took effect first.

use std::fmt;

use super::model::Model;

/// One client operation.
#[derive(Clone, Debug)]
pub struct Operation<M: Model> {
    /// When the client sent it.
    pub start: u64,
    /// When the client had the answer; `None` while it is pending, or for ever unknown.
    pub end: Option<u64>,
    /// What was asked.
    pub op: M::Op,
    /// What the answer told; `None` when there was none, or it told nothing of interest.
    pub outcome: Option<M::Outcome>,
    /// Whose it is, if requests that one client sends without waiting take effect in the order in
    /// which it sent them. Those of one client are recorded in that order.
    pub client: Option<usize>,
}

impl<M: Model> fmt::Display for Operation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}", self.op)?;
        if let Some(outcome) = &self.outcome {
            write!(f, " -> {outcome}")?;
        }
        match self.end {
            None => write!(f, "\" ({}.., pending)", self.start),
            Some(end) => write!(f, "\" ({}..{end})", self.start),
        }
    }
}

/// The operations of one key, in any order.
#[derive(Clone, Debug)]
pub struct History<M: Model> {
    operations: Vec<Operation<M>>,
}

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self { operations: Vec::new() }
    }
}

impl<M: Model> History<M> {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation; its position is how a [`Violation`](super::Violation) names it.
    ///
    /// # Panics
    ///
    /// When the operation ends before it starts, which only a bug in the recorder can cause.
    pub fn push(&mut self, operation: Operation<M>) {
        assert!(
            operation.end.is_none_or(|end| operation.start <= end),
            "{operation} runs backward"
        );
        self.operations.push(operation);
    }

    /// The operations in the order they were added.
    pub fn operations(&self) -> &[Operation<M>] {
        &self.operations
    }
}
