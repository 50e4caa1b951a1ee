//! Requests that this node cannot carry out itself: on their way to a leader, or waiting for one.

use std::collections::{BTreeMap, VecDeque};

use super::request::Request;
use crate::{record::NodeId, time::Instant};

/// A request that a peer was asked to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Forwarded {
    pub(crate) to: NodeId,
    pub(crate) request: Request,
}

/// The requests of others than the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Forwards {
    /// By the number under which the peer knows it.
    open: BTreeMap<u64, Forwarded>,
    /// Without a leader to send them to, in the order in which they came.
    parked: VecDeque<Request>,
    /// How many of them each slot has.
    slots: BTreeMap<u32, usize>,
    last_id: u64,
    /// Bytes of all of them.
    size: usize,
}

impl Forwards {
    /// Numbers requests from here on. A leader may still answer a request of an earlier life of this
    /// node; so no life gives a number of another.
    pub(crate) fn new(first: u64) -> Self {
        Self { last_id: first, ..Self::default() }
    }

    /// Bytes of requests that wait.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.parked.len()
    }

    /// How many wait for a leader.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// A request goes to a peer, under the number returned.
    pub(crate) fn send(&mut self, to: NodeId, request: Request) -> u64 {
        self.last_id += 1;
        self.size += request.bytes().len();
        self.open.insert(self.last_id, Forwarded { to, request });
        self.last_id
    }

    /// The peer has spoken about a request: it is taken out, if it was with that peer.
    pub(crate) fn take(&mut self, from: NodeId, id: u64) -> Option<Request> {
        if self.open.get(&id)?.to != from {
            return None;
        }
        let request = self.open.remove(&id)?.request;
        self.size -= request.bytes().len();
        Some(request)
    }

    /// The requests that are with a peer which will not answer any more.
    pub(crate) fn take_all_of(&mut self, peer: NodeId) -> Vec<Request> {
        let gone = self.open.extract_if(.., |_, forwarded| forwarded.to == peer);
        let gone: Vec<Request> = gone.map(|(_, forwarded)| forwarded.request).collect();
        self.size -= gone.iter().map(|request| request.bytes().len()).sum::<usize>();
        gone
    }

    /// A request waits for a leader.
    pub(crate) fn park(&mut self, request: Request) {
        self.size += request.bytes().len();
        *self.slots.entry(request.slot).or_default() += 1;
        self.parked.push_back(request);
    }

    /// Whether a request of that slot waits for a leader, so that others must not overtake it.
    pub(crate) fn is_parked(&self, slot: u32) -> bool {
        self.slots.contains_key(&slot)
    }

    /// All that wait for a leader, in order.
    pub(crate) fn take_parked(&mut self) -> VecDeque<Request> {
        let parked = std::mem::take(&mut self.parked);
        self.slots.clear();
        self.size -= parked.iter().map(|request| request.bytes().len()).sum::<usize>();
        parked
    }

    /// Requests whose time is over: those sent, and those that wait.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<Request>, Vec<Request>) {
        let late = self.open.extract_if(.., |_, forwarded| forwarded.request.deadline <= now);
        let sent: Vec<Request> = late.map(|(_, forwarded)| forwarded.request).collect();
        let mut parked = Vec::new();
        self.parked.retain(|request| {
            let over = request.deadline <= now;
            if over {
                parked.push(request.clone());
            }
            !over
        });
        for request in &parked {
            if let Some(count) = self.slots.get_mut(&request.slot) {
                *count -= 1;
            }
        }
        self.slots.retain(|_, count| *count > 0);
        let over = sent.iter().chain(&parked);
        self.size -= over.map(|request| request.bytes().len()).sum::<usize>();
        (sent, parked)
    }

    /// When [`Forwards::expire`] has something to do: patience is the same for all, so the oldest
    /// tells.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sent = self.open.first_key_value().map(|(_, sent)| sent.request.deadline);
        let parked = self.parked.front().map(|request| request.deadline);
        [sent, parked].into_iter().flatten().min()
    }

    /// Whether anything waits for a leader.
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }
}
