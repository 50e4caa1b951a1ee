//! Confirmation: a leader's reads wait until a majority has said that it still leads.
//!
//! A deposed leader does not know that it is deposed. So a read, or a write whose condition failed,
//! is answered only when a majority confirms, asked after the read had arrived, that no higher
//! promise stands against the leader's ballot; and when what the read shows is committed. One round
//! of questions serves all reads of a turn. This is the read index of Ongaro's dissertation
//! ("Consensus: Bridging Theory and Practice", 2014, section 6.4) for many slots at once.

use std::collections::{BTreeMap, VecDeque};

use super::request::Request;
use crate::{
    command::op::Answer,
    node::{flights::Number, votes::Votes},
    probe::{
        Mutant,
        claims::{Word, say},
        planted,
    },
    record::{Ballot, NodeId},
    slot::SlotSet,
    time::Instant,
};

/// A read that knows its answer.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Read {
    pub(crate) request: Request,
    pub(crate) answer: Answer<'static>,
    /// The last stamp when it arrived.
    pub(crate) since: u64,
    /// Its place among all reads.
    number: u64,
    /// The writes that the answer shows, as far as they are not known to be committed.
    after: Vec<Number>,
}

impl Read {
    /// A read that arrived after this stamp and whose answer shows these writes.
    pub(crate) const fn new(
        request: Request,
        answer: Answer<'static>,
        since: u64,
        after: Vec<Number>,
    ) -> Self {
        Self { request, answer, since, number: 0, after }
    }

    /// A write that it waits for; `open` tells whether one still wants votes.
    fn next_open(&mut self, open: impl Fn(Number) -> bool) -> Option<Number> {
        while let Some(number) = self.after.pop() {
            if open(number) {
                return Some(number);
            }
        }
        None
    }

    /// Bytes that it holds while it waits.
    fn size(&self) -> usize {
        self.answer.size() + self.request.bytes().len()
    }
}

/// Questions that are under way together.
#[derive(Clone, Debug, PartialEq, Hash)]
struct Round {
    id: u64,
    slots: Vec<(u32, Ballot)>,
    votes: Votes,
    reads: Vec<Read>,
}

/// The reads of a leader.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Reads {
    /// Not asked about yet.
    gathering: Vec<Read>,
    /// What is to be asked for them; each slot once.
    slots: BTreeMap<u32, Ballot>,
    rounds: VecDeque<Round>,
    /// Confirmed, and waiting for a write.
    blocked: BTreeMap<Number, Vec<Read>>,
    last_id: u64,
    last_number: u64,
    /// By slot, the place of the last one that was answered; gone when none waits.
    answered: BTreeMap<u32, u64>,
    count: usize,
    /// Bytes of all of them.
    size: usize,
}

impl Reads {
    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Bytes of reads that wait.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// A read arrived at the leader of its slot under `ballot`.
    pub(crate) fn add(&mut self, mut read: Read, ballot: Ballot) {
        self.last_number += 1;
        read.number = self.last_number;
        self.count += 1;
        self.size += read.size();
        if planted(Mutant::OldConfirmation)
            && let Some(round) = self.rounds.back_mut()
        {
            return round.reads.push(read);
        }
        self.slots.insert(read.request.slot, ballot);
        self.gathering.push(read);
    }

    /// Closes the round of reads that have arrived, with our own vote: what to ask the others.
    /// Nothing if there are no reads.
    pub(crate) fn begin_round(&mut self, me: NodeId) -> Option<(u64, &[(u32, Ballot)])> {
        if self.gathering.is_empty() {
            return None;
        }
        self.last_id += 1;
        let mut votes = Votes::default();
        votes.add(me);
        self.rounds.push_back(Round {
            id: self.last_id,
            slots: std::mem::take(&mut self.slots).into_iter().collect(),
            votes,
            reads: std::mem::take(&mut self.gathering),
        });
        self.rounds.back().map(|round| (round.id, &round.slots[..]))
    }

    /// The rounds that a peer has not answered.
    pub(crate) fn unanswered(&self, peer: NodeId) -> impl Iterator<Item = (u64, &[(u32, Ballot)])> {
        let rounds = self.rounds.iter().filter(move |round| !round.votes.contains(peer));
        rounds.map(|round| (round.id, &round.slots[..]))
    }

    /// What was asked in a round.
    pub(crate) fn asked(&self, id: u64) -> &[(u32, Ballot)] {
        let round = self.rounds.iter().find(|round| round.id == id);
        round.map_or(&[], |round| &round.slots)
    }

    /// A member confirms a round. Later rounds were asked later, and earlier ones are not confirmed
    /// by it.
    pub(crate) fn on_confirmed(&mut self, by: NodeId, id: u64) {
        if let Some(round) = self.rounds.iter_mut().find(|round| round.id == id) {
            round.votes.add(by);
        }
    }

    /// What a member confirmed in an earlier life counts no more.
    pub(crate) fn retract(&mut self, member: NodeId) {
        self.rounds.iter_mut().for_each(|round| round.votes.retract(member));
    }

    /// Reads that a majority has confirmed and that wait for no write; those that do are set
    /// aside. `open` tells whether a write still wants votes.
    pub(crate) fn take_confirmed(
        &mut self,
        quorum: usize,
        open: impl Fn(Number) -> bool,
    ) -> Vec<Read> {
        let quorum = if planted(Mutant::ReadUnconfirmed) { 1 } else { quorum };
        let mut free = Vec::new();
        let mut at = 0;
        while let Some(round) = self.rounds.get(at) {
            if round.votes.count() < quorum {
                at += 1;
                continue;
            }
            let Some(round) = self.rounds.remove(at) else { break };
            for mut read in round.reads {
                match read.next_open(&open) {
                    Some(number) => self.blocked.entry(number).or_default().push(read),
                    None => free.push(read),
                }
            }
        }
        self.forget(&free);
        self.on_answered(&free);
        free
    }

    /// Reads that waited for this write, and now for no other. `open` tells whether a write still
    /// wants votes.
    pub(crate) fn on_committed(
        &mut self,
        number: Number,
        open: impl Fn(Number) -> bool,
    ) -> Vec<Read> {
        let mut free = Vec::new();
        for mut read in self.blocked.remove(&number).unwrap_or_default() {
            match read.next_open(&open) {
                Some(number) => self.blocked.entry(number).or_default().push(read),
                None => free.push(read),
            }
        }
        self.forget(&free);
        self.on_answered(&free);
        free
    }

    /// Takes out all reads that `which` wants, wherever they wait.
    pub(crate) fn take(&mut self, mut which: impl FnMut(&Read) -> bool) -> Vec<Read> {
        let mut taken = Vec::new();
        let rounds = self.rounds.iter_mut().map(|round| &mut round.reads);
        let lists = rounds.chain(self.blocked.values_mut()).chain([&mut self.gathering]);
        for list in lists {
            taken.extend(list.extract_if(.., |read| which(read)));
        }
        self.blocked.retain(|_, reads| !reads.is_empty());
        self.rounds.retain(|round| !round.reads.is_empty());
        self.forget(&taken);
        taken
    }

    /// These are answered now.
    fn on_answered(&mut self, reads: &[Read]) {
        reads.iter().for_each(|read| {
            say(Word::Answered { at_leader: true, slot: read.request.slot, number: read.number });
        });
        if self.is_empty() {
            return self.answered.clear();
        }
        for read in reads.iter().filter(|_| !planted(Mutant::AnswersOvertake)) {
            let last = self.answered.entry(read.request.slot).or_default();
            *last = read.number.max(*last);
        }
    }

    /// A read is to be begun anew.
    pub(crate) fn on_again(read: &Read) {
        say(Word::BegunAgain { at_leader: true, slot: read.request.slot, number: read.number });
    }

    /// Whether a read of the same slot that came later was answered before it.
    pub(crate) fn is_overtaken(&self, read: &Read) -> bool {
        self.answered.get(&read.request.slot).is_some_and(|last| *last > read.number)
    }

    fn forget(&mut self, reads: &[Read]) {
        self.count -= reads.len();
        self.size -= reads.iter().map(Read::size).sum::<usize>();
    }

    /// When the first read has waited long enough; patience is the same for all.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let rounds = self.rounds.front().map(|round| &round.reads);
        let blocked = self.blocked.values().flat_map(|reads| reads.first());
        let first = rounds.and_then(|reads| reads.first()).into_iter();
        let first = first.chain(self.gathering.first()).chain(blocked);
        first.map(|read| read.request.deadline).min()
    }

    /// Whether a read waits in any of these slots.
    pub(crate) fn any(&self, slots: &SlotSet) -> bool {
        let rounds = self.rounds.iter().flat_map(|round| &round.reads);
        let reads = rounds.chain(self.blocked.values().flatten()).chain(&self.gathering);
        reads.into_iter().any(|read| slots.contains(read.request.slot))
    }

    /// Whether there is any read.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.rounds.is_empty() && self.blocked.is_empty()
    }
}
