//! Requests: an operation on one key or a batch on keys of one slot, where it came from, and how long
//! somebody waits for it.

use std::hash::{Hash, Hasher};

use crate::{
    command::{
        batch::Work,
        op::{Answer, Op},
    },
    conn::Ticket,
    node::LinkId,
    record::NodeId,
    time::Instant,
};

/// Who wants the answer to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A client of ours, which wants the other databases flushed after the strong one.
    All { link: LinkId, ticket: Ticket },
    /// A client of ours, in this place of its replies.
    Client { link: LinkId, ticket: Ticket },
    /// A flush that a member asked for: part of emptying a slot.
    Erasure { by: NodeId, slot: u32, number: u64 },
    /// Nobody any more, or never anybody.
    Nobody,
    /// A RENAME from one slot to another, which goes on with what it hears.
    Move { number: u64 },
    /// One part of a request of several keys.
    Part { gather: u64, index: u32 },
    /// A peer, which forwarded it under a number of its own.
    Peer { node: NodeId, id: u64 },
}

/// An operation that can be begun anew: nothing was stamped for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) origin: Origin,
    /// Its place among those that this node has sent elsewhere or made wait; 0 as long as it was
    /// neither.
    pub(super) number: u64,
    /// As [`Work::decode`] reads it.
    work: Box<[u8]>,
    pub(crate) slot: u32,
    pub(crate) deadline: Instant,
}

/// Those that hold it keep it in order; which number that is makes no difference.
impl Hash for Request {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { origin, number: _, work, slot, deadline } = self;
        (origin, work, slot, deadline).hash(state);
    }
}

impl Request {
    pub(crate) fn new(origin: Origin, op: &Op<'_>, slot: u32, deadline: Instant) -> Self {
        let mut bytes = Vec::new();
        op.encode(&mut bytes);
        Self::of_work(origin, bytes.into_boxed_slice(), slot, deadline)
    }

    /// What has been encoded already, by ourselves.
    pub(crate) const fn of_work(
        origin: Origin,
        work: Box<[u8]>,
        slot: u32,
        deadline: Instant,
    ) -> Self {
        Self { origin, number: 0, work, slot, deadline }
    }

    /// What is to be done.
    pub(crate) fn work(&self) -> Work<'_> {
        Work::decode(&self.work).expect("encoded by ourselves")
    }

    /// The operation, if it is one on one key.
    pub(crate) fn op(&self) -> Option<Op<'_>> {
        match self.work() {
            Work::Batch(_) => None,
            Work::One(op) => Some(op),
        }
    }

    /// Whether it never writes, so that it may be begun anew even if nobody knows what became of it.
    pub(crate) fn is_read(&self) -> bool {
        self.work().is_read()
    }

    /// The bytes of what is to be done, for a peer.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.work
    }
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum Outcome {
    /// It is over.
    Answered { origin: Origin, answer: Answer<'static> },
    /// Nothing was stamped; it may be begun anew, here or elsewhere.
    Again(Request),
}

/// The answer when something was read, others of its slot were written behind it, and their leader was
/// lost before it could be shown: read anew it might show what was asked for later.
pub(crate) const OVERTAKEN: Answer<'static> = Answer::Error(std::borrow::Cow::Borrowed(
    "NOREPLICAS the leader of this key's slot was lost, and later requests may have been carried out; nothing written",
));

/// The answer when a write was stamped and nobody can tell whether it will last.
pub(crate) const IN_DOUBT: Answer<'static> = Answer::Error(std::borrow::Cow::Borrowed(
    "INDOUBT the write may or may not take effect; read before you retry",
));
