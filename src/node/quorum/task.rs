//! Tasks: one operation on one key, or a flush, from its question to its reply.
//!
//! A task is first asked about, then decided, then has to land: a majority must hold durably what
//! the reply shows. Pure: it says what comes next ([`Task::next_step`]), others do it.

use std::borrow::Cow;

use super::tally::{Shown, Tally};
use crate::{
    command::op::{Action, Answer, Op},
    node::{
        flights::{Fly, Number},
        strong::request::Origin,
        votes::Votes,
    },
    probe::claims::{HEARD, held_by},
    record::{Db, NodeId, Version},
    time::Instant,
};

/// Bytes that a task takes besides its operation.
const TASK_SIZE: usize = 256;

/// One operation on one key, or a flush.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Task {
    pub(crate) origin: Origin,
    pub(crate) deadline: Instant,
    /// As [`Op::encode`] writes it; nothing for a flush.
    op: Option<Box<[u8]>>,
    pub(crate) stage: Stage,
    /// Members that were sent what has to land, on their present links.
    pub(crate) sent: Votes,
    /// What it takes of the room for tasks that move records besides the streams.
    pub(crate) charge: usize,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum Stage {
    Asking(Asking),
    Landing(Landing),
}

/// A majority is asked what it has.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Asking {
    pub(crate) tally: Tally,
    /// The next task of the key, which waits for this one.
    pub(crate) next: Option<Number>,
    /// An earlier task of the key is not decided.
    pub(crate) behind: bool,
    /// Waits for room among the tasks that move records.
    pub(crate) queued: bool,
    /// Who was asked for its record, and the version that it showed.
    pub(crate) fetching: Option<(NodeId, Version)>,
}

/// A majority must hold this version or a newer one before the answer is said.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Landing {
    pub(crate) version: Version,
    pub(crate) answer: Answer<'static>,
    /// We have stamped it: it travels in our streams, and nobody can take it back.
    pub(crate) stamped: bool,
}

/// What a task that is asked about waits for or needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// It can be decided on what we hold.
    Decide,
    /// Our copy lacks the newest record.
    Fetch(Version),
    /// Our copy lacks a flush.
    TakeFlush(Version),
    /// Something else must happen first.
    Wait,
}

impl Fly for Task {
    fn on_majority(&self, votes: Votes) {
        if HEARD && let (Some(op), Stage::Landing(landing)) = (self.op(), &self.stage) {
            held_by(votes.bits(), Db::QUORUM.number(), op.key, landing.version.to_bits());
        }
    }
}

impl Task {
    /// An operation, or a flush without one.
    pub(crate) fn new(origin: Origin, op: Option<&Op<'_>>, deadline: Instant) -> Self {
        let op = op.map(|op| {
            let mut bytes = Vec::with_capacity(op.size());
            op.encode(&mut bytes);
            bytes.into_boxed_slice()
        });
        let stage = Stage::Asking(Asking::default());
        Self { origin, deadline, op, stage, sent: Votes::default(), charge: 0 }
    }

    /// The operation; nothing for a flush.
    pub(crate) fn op(&self) -> Option<Op<'_>> {
        self.op.as_ref().map(|bytes| Op::decode(bytes).expect("encoded by ourselves"))
    }

    /// The key; empty for a flush.
    pub(crate) fn key(&self) -> &[u8] {
        self.op().map_or(&[], |op| op.key)
    }

    pub(crate) const fn is_flush(&self) -> bool {
        self.op.is_none()
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        let answer = match &self.stage {
            Stage::Asking(_) => 0,
            Stage::Landing(landing) => landing.answer.size(),
        };
        TASK_SIZE + self.op.as_ref().map_or(0, |op| op.len()) + answer
    }

    /// Its part in a majority's answers, while it is asked about.
    pub(crate) const fn asking(&mut self) -> Option<&mut Asking> {
        match &mut self.stage {
            Stage::Asking(asking) => Some(asking),
            Stage::Landing(_) => None,
        }
    }

    /// Whether it is not decided.
    pub(crate) const fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking(_))
    }

    /// What comes next, if `need` answers are enough and this is what we hold. A SET only wants to
    /// know above what to stamp; all others depend on what is there.
    pub(crate) fn next_step(&self, own: Shown, need: usize) -> Step {
        let Stage::Asking(asking) = &self.stage else { return Step::Wait };
        let waits = asking.behind || asking.queued || asking.fetching.is_some();
        if waits || asking.tally.answered().count() < need {
            return Step::Wait;
        }
        let best = asking.tally.best();
        let looks = self.op().is_some_and(|op| op.is_read() || matches!(op.action, Action::Delete));
        if !looks || own.reaches(best.version) {
            Step::Decide
        } else if best.record {
            Step::Fetch(best.version)
        } else {
            Step::TakeFlush(best.version)
        }
    }
}

/// An error that is an answer.
pub(crate) const fn refused(text: &'static str) -> Answer<'static> {
    Answer::Error(Cow::Borrowed(text))
}
