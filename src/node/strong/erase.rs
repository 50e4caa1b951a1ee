//! What a leader does for a FLUSHDB: it removes the keys of slots that it leads.
//!
//! Slot by slot it stamps a tombstone over every key that is not known to be gone: over each value,
//! over each key that is not settled, whatever our table has of it, and over a tombstone that is not
//! committed, for that one may be lost and the value before it come back. It does so in slices, with
//! a bounded number in flight. When it is through with a slot a majority must also confirm that it
//! still leads: in a slot without any key that is all that tells it from a deposed leader. A slot is
//! done when all that is answered; if any of it is not, the slot has failed, and whoever asked asks
//! its next leader.

use std::collections::BTreeMap;

use super::{
    Ctx, Strong,
    flush::Told,
    handover,
    request::{Origin, Request},
};
use crate::{
    command::op::{Action, Answer, Op},
    probe::{Hook, Mutant, planted, reached},
    proto::peer::Frame,
    record::{Db, NodeId},
    slot::{Slot, SlotSet},
    store::PageCursor,
};

/// Slots in which something may be under way; each costs a question to all members at least.
const SLOTS_OPEN_MAX: usize = 1024;
/// Answers that may be missing: tombstones in flight, and slots.
const MISSING_MAX: usize = 2048;
/// Records looked at, and tombstones stamped, a turn.
const LOOKED_AT_PER_TURN: usize = 1024;
const STAMPED_PER_TURN: usize = 128;
/// Answers after which whoever asked is told that it goes on, however long the slot takes.
const NEWS: usize = 1024;

/// What members have asked us to remove: one job a member, ourselves included.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Erasures {
    jobs: BTreeMap<NodeId, Job>,
    last_attempt: u64,
}

#[derive(Clone, Debug, Hash)]
struct Job {
    /// Of the question.
    id: u64,
    queue: SlotSet,
    /// The slot that is being walked.
    at: Option<(u32, PageCursor)>,
    open: BTreeMap<u32, Attempt>,
    /// Answers that all of them wait for.
    missing: usize,
    done: SlotSet,
    failed: SlotSet,
    /// Answers since there last was news.
    answered: usize,
}

/// One slot being emptied.
#[derive(Clone, Copy, Debug, Hash)]
struct Attempt {
    number: u64,
    /// Answers that are missing: of each tombstone, and of the confirmation, which is counted from
    /// the beginning.
    missing: usize,
}

impl Job {
    fn new(id: u64, slots: u32) -> Self {
        let none = || SlotSet::new(slots);
        let (queue, done, failed) = (none(), none(), none());
        let (open, missing, answered) = (BTreeMap::new(), 0, 0);
        Self { id, queue, at: None, open, missing, done, failed, answered }
    }

    /// The slot to go on with, or to begin as this attempt.
    fn next(&mut self, number: u64) -> Option<(u32, u64, PageCursor)> {
        if let Some((slot, cursor)) = self.at.take()
            && let Some(attempt) = self.open.get(&slot)
        {
            return Some((slot, attempt.number, cursor));
        }
        if self.open.len() >= SLOTS_OPEN_MAX {
            return None;
        }
        let slot = self.queue.iter().next()?;
        self.queue.remove(slot);
        self.open.insert(slot, Attempt { number, missing: 1 });
        self.missing += 1;
        Some((slot, number, PageCursor::default()))
    }

    /// A tombstone is stamped in a slot.
    fn expect(&mut self, slot: u32) {
        if let Some(attempt) = self.open.get_mut(&slot) {
            attempt.missing += 1;
            self.missing += 1;
        }
    }

    fn fail(&mut self, slot: u32) {
        if let Some(attempt) = self.open.remove(&slot) {
            self.missing -= attempt.missing;
            self.failed.insert(slot);
        }
    }

    /// One of the answers that an attempt waits for.
    fn on_answer(&mut self, slot: u32, number: u64, good: bool) {
        let attempt = self.open.get_mut(&slot).filter(|open| open.number == number);
        let Some(attempt) = attempt else { return };
        if !good {
            return self.fail(slot);
        }
        attempt.missing -= 1;
        self.missing -= 1;
        self.answered += 1;
        if attempt.missing == 0 {
            self.open.remove(&slot);
            self.done.insert(slot);
        }
    }

    fn has_work(&self) -> bool {
        self.at.is_some() || (!self.queue.is_empty() && self.open.len() < SLOTS_OPEN_MAX)
    }

    fn has_news(&self) -> bool {
        self.answered >= NEWS || !self.done.is_empty() || !self.failed.is_empty()
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty() && self.open.is_empty() && !self.has_news()
    }
}

impl Erasures {
    /// A member does not wait any longer for what it asked.
    pub(super) fn forget(&mut self, by: NodeId) {
        self.jobs.remove(&by);
    }

    /// Whether there is something to do at once.
    pub(super) fn is_ready(&self) -> bool {
        let room = self.has_room();
        self.jobs.values().any(|job| job.has_news() || (room && job.has_work()))
    }

    fn has_room(&self) -> bool {
        self.jobs.values().map(|job| job.missing).sum::<usize>() < MISSING_MAX
    }
}

impl Strong {
    /// A member, or this node, wants these slots emptied. What it asked under another number counts
    /// no more.
    pub(super) fn erase(&mut self, by: NodeId, id: u64, slots: &SlotSet) {
        let job = self.erasures.jobs.entry(by).or_insert_with(|| Job::new(id, self.slots));
        if job.id != id {
            *job = Job::new(id, self.slots);
        }
        job.queue.union_with(slots);
    }

    /// Goes on with what is asked, as far as there is room.
    pub(super) fn erase_some(&mut self, ctx: &mut Ctx<'_>) {
        let (mut stamps, mut looks) = (STAMPED_PER_TURN, LOOKED_AT_PER_TURN);
        let members: Vec<NodeId> = self.erasures.jobs.keys().copied().collect();
        for by in members {
            while stamps > 0 && looks > 0 && self.erasures.has_room() {
                let number = self.erasures.last_attempt + 1;
                let Some(job) = self.erasures.jobs.get_mut(&by) else { break };
                let Some((slot, number, cursor)) = job.next(number) else { break };
                if !self.leader.led().contains(slot) || handover::any_has(&self.handovers, slot) {
                    job.fail(slot);
                    continue;
                }
                self.erasures.last_attempt = number.max(self.erasures.last_attempt);
                looks -= 1;
                let origin = Origin::Erasure { by, slot, number };
                let budget = (&mut stamps, &mut looks);
                if let Some(cursor) = self.erase_keys(ctx, origin, cursor, budget) {
                    let job = self.erasures.jobs.get_mut(&by);
                    job.into_iter().for_each(|job| job.at = Some((slot, cursor)));
                } else {
                    self.confirm_erased(ctx, origin);
                }
            }
        }
    }

    /// Stamps tombstones over keys of a slot; where to go on, if not all were looked at.
    fn erase_keys(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: Origin,
        cursor: PageCursor,
        (stamps, looks): (&mut usize, &mut usize),
    ) -> Option<PageCursor> {
        let Origin::Erasure { by, slot, .. } = origin else { return None };
        let (ballot, deadline) = (self.acceptor.promised(slot), ctx.now.mono + self.timing.request);
        let mut keys: Vec<Box<[u8]>> = self.leader.unsettled(slot, *stamps);
        let mut next = Some(cursor);
        if keys.len() < *stamps {
            let leader = &self.leader;
            next = ctx.replica.store.page(Db::STRONG, Slot(slot), cursor, |record| {
                *looks = looks.saturating_sub(1);
                let goes = record.value.is_some() || leader.is_in_flight(record.key);
                if goes && !leader.is_key_unsettled(slot, record.key) {
                    keys.push(record.key.into());
                }
                keys.len() < *stamps && *looks > 0
            });
        }
        if planted(Mutant::FlushMissesKey) {
            keys.pop();
        }
        for key in keys {
            *stamps = stamps.saturating_sub(1);
            self.erasures.jobs.entry(by).and_modify(|job| job.expect(slot));
            reached(Hook::Erased);
            self.leader.erase(ctx, ballot, (slot, &key), (origin, deadline));
        }
        next
    }

    /// A slot is walked: what is left to know is that it was ours all the time.
    fn confirm_erased(&mut self, ctx: &Ctx<'_>, origin: Origin) {
        let Origin::Erasure { slot, .. } = origin else { return };
        let ballot = self.acceptor.promised(slot);
        let deadline = ctx.now.mono + self.timing.request;
        let nothing = Op::new(b"", Action::Exists);
        self.leader.confirm(ballot, Request::new(origin, &nothing, slot, deadline));
    }

    /// What came of a tombstone or a confirmation; nothing if it is to be begun anew.
    pub(super) fn on_erased(&mut self, origin: Origin, answer: Option<&Answer<'_>>) {
        let Origin::Erasure { by, slot, number } = origin else { return };
        if let Some(job) = self.erasures.jobs.get_mut(&by) {
            job.on_answer(slot, number, answer == Some(&Answer::Ok));
        }
    }

    /// Tells those who asked how far we are.
    pub(super) fn tell_erased(&mut self, ctx: &mut Ctx<'_>) {
        if self.erasures.jobs.is_empty() {
            return;
        }
        let mut told: Vec<(NodeId, Told)> = Vec::new();
        for (by, job) in self.erasures.jobs.iter_mut().filter(|(_, job)| job.has_news()) {
            let none = || SlotSet::new(self.slots);
            let done = std::mem::replace(&mut job.done, none());
            let failed = std::mem::replace(&mut job.failed, none());
            job.answered = 0;
            told.push((*by, Told { id: job.id, done, failed }));
        }
        self.erasures.jobs.retain(|_, job| !job.is_over());
        for (by, told) in told {
            if by == self.me {
                self.on_slots_flushed(ctx, by, &told);
                continue;
            }
            let (mut done, mut failed) = (Vec::new(), Vec::new());
            told.done.to_bytes(&mut done);
            told.failed.to_bytes(&mut failed);
            if let Some(peer) = ctx.peers.get_mut(by) {
                peer.say(&Frame::SlotsFlushed { id: told.id, done: &done, failed: &failed });
            }
        }
    }
}
