//! Requests that this node cannot carry out itself: on their way to a leader, or waiting for one.
//!
//! Requests of one slot keep their order: those of one client must. So all of them that are on their
//! way are with one leader, which refuses what is behind a request that it refused, and the rest
//! waits, in the order in which it came.

use std::collections::{BTreeMap, BTreeSet};

use super::request::Request;
use crate::{
    probe::{
        Mutant,
        claims::{Word, must, say},
        planted,
    },
    record::NodeId,
    time::Instant,
};

/// A request that a peer was asked to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Forwarded {
    pub(crate) to: NodeId,
    pub(crate) request: Request,
}

/// The open requests of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Away {
    to: NodeId,
    count: usize,
    /// The number of the last one that may write, and of the last one that was answered.
    last_write: u64,
    last_answered: u64,
}

/// The requests of others than the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Forwards {
    /// By the number under which the peer knows it.
    open: BTreeMap<u64, Forwarded>,
    /// By slot.
    away: BTreeMap<u32, Away>,
    /// Without a leader to send them to, in the order in which they came.
    parked: BTreeMap<u64, Request>,
    /// How many of them each slot has.
    slots: BTreeMap<u32, usize>,
    /// Slots of which nothing is open any more, but something waits.
    free: BTreeSet<u32>,
    last_id: u64,
    last_number: u64,
    first_number: u64,
    /// Bytes of all of them.
    size: usize,
}

impl Forwards {
    /// Numbers requests from here on. A leader may still answer a request of an earlier life of this
    /// node; so no life gives a number of another.
    pub(crate) fn new(first: u64) -> Self {
        let middle = u64::MAX / 2;
        Self { last_id: first, last_number: middle, first_number: middle, ..Self::default() }
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
    pub(crate) fn send(&mut self, to: NodeId, mut request: Request) -> u64 {
        self.number(&mut request);
        self.last_id += 1;
        self.size += request.bytes().len();
        let away = self.away.entry(request.slot);
        let away = away.or_insert(Away { to, count: 0, last_write: 0, last_answered: 0 });
        must(|| away.to == to, "requests of a slot that are on their way are with one leader");
        away.count += 1;
        if !request.is_read() {
            away.last_write = self.last_id;
        }
        self.open.insert(self.last_id, Forwarded { to, request });
        self.last_id
    }

    /// The peer has spoken about a request: it is taken out, if it was with that peer.
    pub(crate) fn take(&mut self, from: NodeId, id: u64) -> Option<Request> {
        if self.open.get(&id)?.to != from {
            return None;
        }
        let request = self.open.remove(&id)?.request;
        self.on_back(&request);
        Some(request)
    }

    /// The request of this number, which was taken out, has got its answer.
    pub(crate) fn on_answered(&mut self, slot: u32, id: u64) {
        say(Word::Answered { at_leader: false, slot, number: id });
        if let Some(away) = self.away.get_mut(&slot)
            && !planted(Mutant::AnswersOvertake)
        {
            away.last_answered = away.last_answered.max(id);
        }
    }

    /// The requests that are with a peer which will not answer any more, in the order in which they
    /// came, and whether one is behind each that may write or was answered.
    pub(crate) fn take_all_of(&mut self, peer: NodeId) -> Vec<(Request, bool)> {
        let gone = self.open.extract_if(.., |_, forwarded| forwarded.to == peer);
        let last = |away: &Away| away.last_write.max(away.last_answered);
        let last = |slot| self.away.get(&slot).map_or(0, last);
        let gone = gone.map(|(id, Forwarded { request, .. })| {
            let overtaken = last(request.slot) > id;
            if request.is_read() && !overtaken {
                say(Word::BegunAgain { at_leader: false, slot: request.slot, number: id });
            }
            (request, overtaken)
        });
        let mut gone: Vec<(Request, bool)> = gone.collect();
        if !planted(Mutant::FarewellReorders) {
            // One that was refused and sent again has a later number there than those behind it.
            gone.sort_by_key(|(request, _)| request.number);
        }
        let numbers = || gone.iter().map(|(request, _)| request.number);
        must(|| numbers().is_sorted(), "requests are taken back in the order in which they came");
        gone.iter().for_each(|(request, _)| self.on_back(request));
        gone
    }

    /// A request waits for a leader.
    pub(crate) fn park(&mut self, mut request: Request) {
        self.number(&mut request);
        self.size += request.bytes().len();
        *self.slots.entry(request.slot).or_default() += 1;
        self.parked.insert(request.number, request);
    }

    /// Whether a request of that slot waits for a leader, so that others must not overtake it.
    pub(crate) fn is_parked(&self, slot: u32) -> bool {
        self.slots.contains_key(&slot)
    }

    /// Whether a request of that slot is with another than `leader`, which may refuse it: others must
    /// not overtake it.
    pub(crate) fn is_elsewhere(&self, slot: u32, leader: NodeId) -> bool {
        self.away.get(&slot).is_some_and(|away| away.to != leader)
    }

    /// All that wait for a leader, in order.
    pub(crate) fn take_parked(&mut self) -> impl Iterator<Item = Request> + use<> {
        let parked = std::mem::take(&mut self.parked);
        self.slots.clear();
        self.free.clear();
        self.size -= parked.values().map(|request| request.bytes().len()).sum::<usize>();
        parked.into_values()
    }

    /// Requests whose time is over: those sent, and those that wait.
    pub(crate) fn expire(&mut self, now: Instant) -> (Vec<Request>, Vec<Request>) {
        let late = self.open.extract_if(.., |_, forwarded| forwarded.request.deadline <= now);
        let sent: Vec<Request> = late.map(|(_, forwarded)| forwarded.request).collect();
        sent.iter().for_each(|request| self.on_back(request));
        let late = self.parked.extract_if(.., |_, request| request.deadline <= now);
        let parked: Vec<Request> = late.map(|(_, request)| request).collect();
        for request in &parked {
            if let Some(count) = self.slots.get_mut(&request.slot) {
                *count -= 1;
            }
        }
        self.slots.retain(|_, count| *count > 0);
        self.size -= parked.iter().map(|request| request.bytes().len()).sum::<usize>();
        (sent, parked)
    }

    /// When [`Forwards::expire`] has something to do: patience is the same for all, so the oldest
    /// tells.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sent = self.open.first_key_value().map(|(_, sent)| sent.request.deadline);
        let parked = self.parked.first_key_value().map(|(_, request)| request.deadline);
        [sent, parked].into_iter().flatten().min()
    }

    /// Whether what waited for requests with another leader can go on.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// A request was begun here before any that is known, and is to be begun anew.
    pub(crate) fn number_first(&mut self, request: &mut Request) {
        if request.number == 0 {
            self.first_number -= 1;
            request.number = self.first_number;
        }
        if self.slots.contains_key(&request.slot) {
            self.free.insert(request.slot);
        }
    }

    fn number(&mut self, request: &mut Request) {
        if request.number == 0 {
            self.last_number += 1;
            request.number = self.last_number;
        }
    }

    /// A request is with no peer any more.
    fn on_back(&mut self, request: &Request) {
        self.size -= request.bytes().len();
        let Some(away) = self.away.get_mut(&request.slot) else { return };
        away.count -= 1;
        if away.count == 0 {
            self.away.remove(&request.slot);
            if self.slots.contains_key(&request.slot) {
                self.free.insert(request.slot);
            }
        }
    }
}
