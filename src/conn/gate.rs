//! The gate: replies that may not leave yet.
//!
//! What a reply shows must be durable before the reply leaves. Replies are written into the output
//! as soon as they are known; a mark says from which byte on they wait, and for what. A reply
//! behind one that waits waits too, whatever it shows: that keeps the order.

use std::collections::VecDeque;

use crate::log::Batch;

/// What a reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// This batch of the log, and all before it, are durable.
    Durable(Batch),
    /// So many checkpoints have been completed.
    Saved(u64),
}

/// Marks in a stream of output bytes.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Gate {
    /// Positions from which on bytes wait, and for what. Positions rise; a wait is followed by
    /// another one.
    marks: VecDeque<(u64, Wait)>,
}

impl Gate {
    pub(super) const fn new() -> Self {
        Self { marks: VecDeque::new() }
    }

    /// What stands from `pos` on waits.
    pub(super) fn hold(&mut self, pos: u64, wait: Wait) {
        if self.marks.back().is_none_or(|(_, last)| *last != wait) {
            self.marks.push_back((pos, wait));
        }
    }

    /// Where what waits begins.
    pub(super) fn held_from(&self) -> Option<u64> {
        self.marks.front().map(|(pos, _)| *pos)
    }

    /// Lets go of what need not wait any longer. Whether that was anything.
    pub(super) fn release(&mut self, is_over: impl Fn(Wait) -> bool) -> bool {
        let before = self.marks.len();
        while self.marks.front().is_some_and(|(_, wait)| is_over(*wait)) {
            self.marks.pop_front();
        }
        self.marks.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_wait_waits_too() {
        let mut gate = Gate::new();
        gate.hold(10, Wait::Durable(Batch(2)));
        gate.hold(20, Wait::Durable(Batch(2)));
        gate.hold(30, Wait::Saved(1));
        gate.hold(40, Wait::Durable(Batch(3)));
        assert_eq!(gate.held_from(), Some(10));
        let durable = |upto| move |wait| matches!(wait, Wait::Durable(batch) if batch <= upto);
        assert!(!gate.release(durable(Batch(1))));
        assert!(gate.release(durable(Batch(3))));
        assert_eq!(gate.held_from(), Some(30), "the checkpoint is still awaited");
        assert!(gate.release(|_| true));
        assert_eq!(gate.held_from(), None);
    }
}
