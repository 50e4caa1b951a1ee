//! The leader: orders the writes of the slots that it leads, and answers their reads (PROTOCOL
//! section 4).
//!
//! A slot is led under the ballot that this node's own acceptor has promised for it. A write is
//! stamped (ballot, number), put into the table, the log and all streams, and answered once a
//! majority has it durably. Records of a key replace each other, so there is no log to replay or to
//! cut: this is Multi-Paxos on values in place, as in Skrzypczak et al., "Linearizable State Machine
//! Replication of State-Based CRDTs without Logs" (2020) and CASPaxos (Rystsov, 2018), with a leader
//! a slot.
//!
//! Invariants: numbers rise for as long as the node lives, whatever the ballot; what a step-down
//! leaves undecided is answered INDOUBT and never stamped again.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Ctx,
    confirm::{Read, Reads},
    request::{IN_DOUBT, OVERTAKEN, Origin, Outcome, Request},
    settle::{Unsettled, UnsettledSlots},
};
use crate::{
    command::op::{Answer, Effect, Held, Op},
    node::{
        chains::Chains,
        flights::{Flights, Fly, Number},
        votes::Votes,
    },
    probe::{
        Hook, Mutant,
        claims::{held_by, held_by_majority, must},
        planted, reached,
    },
    proto::peer::{FILL_OVERHEAD, Frame},
    record::{Ballot, Db, NodeId, Record, Version},
    slot::SlotSet,
    store::Store,
    time::Instant,
};

mod again;
mod dropped;
mod together;

use again::Again;
use dropped::Dropped;
use together::Together;

/// The slots that this node leads, and what is under way in them.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Leader {
    me: NodeId,
    quorum: usize,
    led: SlotSet,
    /// Of the last stamp.
    seq: u64,
    /// By slot: the last stamp that somebody asked for.
    asked_for: Box<[u64]>,
    flights: Flights<Write>,
    /// The last write in flight of each key, by the key's hash. Keys of one hash wait for each
    /// other.
    heads: Chains,
    reads: Reads,
    unsettled: UnsettledSlots,
    /// By peer: writes that it is to be sent again, as its outbox has room.
    again: BTreeMap<NodeId, Again>,
    dropped: Dropped,
    /// Stamped since they were last asked for.
    tombstones: Vec<(u32, Box<[u8]>, Version)>,
    /// Bytes of the answers of writes in flight, and of batches among them.
    answers: usize,
    /// Batches in flight.
    batches: usize,
    outcomes: Vec<Outcome>,
}

/// A write in flight.
#[derive(Clone, Debug, PartialEq, Hash)]
struct Write {
    slot: u32,
    key_hash: u64,
    key: Box<[u8]>,
    version: Version,
    origin: Origin,
    answer: Answer<'static>,
    deadline: Instant,
    /// What else it writes, if it is a batch.
    together: Option<Box<Together>>,
}

/// What a key is to hold.
#[derive(Clone, Copy, Debug)]
struct Body<'a> {
    value: Option<&'a [u8]>,
    expires_at_ms: Option<u64>,
}

impl Fly for Write {
    fn on_majority(&self, votes: Votes) {
        held_by(votes.bits(), Db::STRONG.number(), &self.key, self.version.to_bits());
    }
}

const TOMBSTONE: Body<'static> = Body { value: None, expires_at_ms: None };

impl Leader {
    pub(crate) fn new(me: NodeId, members: usize, quorum: usize, slots: u32) -> Self {
        Self {
            me,
            quorum,
            led: SlotSet::new(slots),
            seq: 0,
            asked_for: vec![0; slots as usize].into(),
            flights: Flights::new(me, members, quorum),
            heads: Chains::default(),
            reads: Reads::default(),
            unsettled: UnsettledSlots::default(),
            again: BTreeMap::new(),
            dropped: Dropped::default(),
            tombstones: Vec::new(),
            answers: 0,
            batches: 0,
            outcomes: Vec::new(),
        }
    }

    /// The slots led.
    pub(crate) const fn led(&self) -> &SlotSet {
        &self.led
    }

    /// The number of the last stamp.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// The tombstones stamped since this was last asked.
    pub(crate) fn take_tombstones(&mut self) -> Vec<(u32, Box<[u8]>, Version)> {
        std::mem::take(&mut self.tombstones)
    }

    /// A tombstone that we have stamped is dropped: its key may be absent without a trace.
    pub(crate) fn on_dropped(&mut self, key: &[u8], version: Version) {
        self.dropped.add(xxh3_64(key), version.seq());
    }

    /// Whether an operation is under way in any of these slots.
    pub(crate) fn is_busy(&self, slots: &SlotSet) -> bool {
        self.flights.iter().any(|write| slots.contains(write.slot)) || self.reads.any(slots)
    }

    /// Whether a key that our table has must be settled before it is shown.
    pub(crate) fn is_key_unsettled(&self, slot: u32, key: &[u8]) -> bool {
        self.unsettled.get(slot).is_some_and(|unsettled| unsettled.contains(key, true))
    }

    /// Writes in flight.
    pub(crate) const fn pending(&self) -> usize {
        self.flights.len()
    }

    /// Operations whose answer is not given.
    pub(crate) const fn under_way(&self) -> usize {
        self.flights.len() + self.reads.len()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.flights.len() == 0 && self.reads.is_empty()
    }

    /// Bytes of answers that wait.
    pub(crate) const fn size(&self) -> usize {
        self.reads.size() + self.answers
    }

    /// The operations that are over since this was last asked.
    pub(crate) fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// The slot is won: it is led from now on.
    pub(crate) fn win(&mut self, slot: u32, unsettled: Unsettled) {
        self.led.insert(slot);
        if !unsettled.is_done() && !planted(Mutant::NoRestamp) {
            reached(Hook::Unsettled);
            self.unsettled.insert(slot, unsettled);
        }
    }

    /// Carries out an operation on a key of a slot that we lead under `ballot`.
    pub(crate) fn execute(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        op: &Op<'_>,
        request: (Origin, u32, Instant),
    ) {
        let (origin, slot, deadline) = request;
        let wall_ms = ctx.now.wall_ms;
        let held = current(&self.unsettled, &ctx.replica.store, slot, op.key);
        let has_value = held.is_some_and(|record| record.value.is_some());
        let visible = held.and_then(|record| {
            let Record { version, expires_at_ms, .. } = record;
            let wall_ms = if planted(Mutant::ExpiredShown) { 0 } else { wall_ms };
            record.visible(wall_ms).map(|value| Held { value, expires_at_ms, version })
        });
        let expired = has_value && visible.is_none();
        let (effect, answer) = op.apply(visible, wall_ms);
        let answer = answer.into_owned();
        let body = match &effect {
            Effect::Put { value, expires_at_ms } => {
                Some(Body { value: Some(value.as_ref()), expires_at_ms: *expires_at_ms })
            }
            Effect::Delete => Some(TOMBSTONE),
            Effect::None => None,
        };
        if let Some(body) = body {
            self.stamp(ctx, ballot, slot, op.key, body, (origin, answer, deadline));
            return;
        }
        let after = if expired {
            reached(Hook::ExpiredByLeader);
            let nobody = (Origin::Nobody, Answer::Ok, deadline);
            Some(self.stamp(ctx, ballot, slot, op.key, TOMBSTONE, nobody))
        } else if self.is_unsettled(ctx, slot, op.key) {
            Some(self.settle(ctx, ballot, slot, op.key))
        } else {
            self.heads.last(xxh3_64(op.key))
        };
        let after = after.filter(|_| !planted(Mutant::ReadUncommitted));
        let request = Request::new(origin, op, slot, deadline);
        if !op.is_read() && planted(Mutant::FailedConditionUnconfirmed) {
            let origin = request.origin;
            return self.outcomes.push(Outcome::Answered { origin, answer });
        }
        self.reads.add(Read::new(request, answer, self.seq, Vec::from_iter(after)), ballot);
    }

    /// Stamps the newest record of a key anew, so that it can be shown.
    pub(crate) fn settle(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        slot: u32,
        key: &[u8],
    ) -> Number {
        reached(Hook::Restamped);
        let held = current(&self.unsettled, &ctx.replica.store, slot, key);
        let mut bytes = Vec::new();
        let (value, expires_at_ms) = match held {
            Some(Record { value: Some(value), expires_at_ms, .. }) => {
                bytes.extend_from_slice(value);
                (Some(&bytes[..]), expires_at_ms)
            }
            Some(_) | None => (None, None),
        };
        if planted(Mutant::RestampOldVersion)
            && let Some(number) = self.send_unchanged(ctx, ballot, slot, key)
        {
            return number;
        }
        let body = Body { value, expires_at_ms };
        // Nobody waits for it but reads, which have deadlines of their own.
        let nobody = (Origin::Nobody, Answer::Ok, Instant::ZERO);
        self.stamp(ctx, ballot, slot, key, body, nobody)
    }

    /// Stamps a tombstone over whatever a key holds.
    pub(crate) fn erase(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        (slot, key): (u32, &[u8]),
        (origin, deadline): (Origin, Instant),
    ) {
        self.stamp(ctx, ballot, slot, key, TOMBSTONE, (origin, Answer::Ok, deadline));
    }

    /// Answers OK once a majority has confirmed that we lead the request's slot under `ballot`.
    pub(crate) fn confirm(&mut self, ballot: Ballot, request: Request) {
        self.reads.add(Read::new(request, Answer::Ok, self.seq, Vec::new()), ballot);
    }

    /// Whether a write of this key, or of one with the same hash, is not committed.
    pub(crate) fn is_in_flight(&self, key: &[u8]) -> bool {
        self.heads.last(xxh3_64(key)).is_some()
    }

    /// Keys of a slot that are still to be settled, at most so many.
    pub(crate) fn unsettled(&self, slot: u32, most: usize) -> Vec<Box<[u8]>> {
        let keys = self.unsettled.get(slot).map(Unsettled::keys);
        keys.into_iter().flatten().take(most).map(Into::into).collect()
    }

    /// Some key that is still to be settled, of a slot that is led.
    pub(crate) fn next_unsettled(&self) -> Option<(u32, &[u8])> {
        self.unsettled.next()
    }

    /// No member holds a key of the slot that we don't: absent keys are settled.
    pub(crate) fn settle_absent(&mut self, slot: u32) {
        self.unsettled.settle_absent(slot);
    }

    /// Whether all keys of the slot that anybody holds are settled and committed.
    pub(crate) fn is_settled(&self, slot: u32) -> bool {
        let unsettled = self.unsettled.get(slot).and_then(Unsettled::first);
        unsettled.is_none() && self.flights.iter().all(|w| w.slot != slot)
    }

    /// Closes a round of questions for the reads that have arrived; see [`Reads::begin_round`].
    pub(crate) fn begin_round(&mut self) -> Option<(u64, &[(u32, Ballot)])> {
        self.reads.begin_round(self.me)
    }

    /// The rounds of questions that a peer has not answered.
    pub(crate) const fn reads(&self) -> &Reads {
        &self.reads
    }

    /// A member confirms what was asked in a round.
    pub(crate) fn on_confirmed(&mut self, by: NodeId, id: u64) {
        self.reads.on_confirmed(by, id);
    }

    /// Answers the reads that need not wait any longer.
    pub(crate) fn release_reads(&mut self) {
        let flights = &mut self.flights;
        let free = self.reads.take_confirmed(self.quorum, |number| flights.is_open(number));
        self.answer_reads(free);
    }

    /// A peer has our stream to it, durably, up to a position.
    pub(crate) fn on_ack(&mut self, peer: NodeId, pos: u64) {
        let mut done = Vec::new();
        self.flights.on_ack(peer, pos, |number, write| done.push((number, write)));
        done.into_iter().for_each(|(number, write)| self.commit(number, write));
    }

    /// The log has everything up to a batch.
    pub(crate) fn on_durable(&mut self, batch: crate::log::Batch) {
        let mut done = Vec::new();
        self.flights.on_durable(batch, |number, write| done.push((number, write)));
        done.into_iter().for_each(|(number, write)| self.commit(number, write));
    }

    /// A member may have forgotten what it acknowledged in an earlier life.
    pub(crate) fn retract(&mut self, member: NodeId) {
        self.flights.retract(member);
        self.reads.retract(member);
    }

    /// Leads these slots no more. Stamped writes are in doubt. Reads may be begun anew, but not those
    /// that others were written or answered behind: a client that asked for both may not be shown the
    /// later one first, nor what its condition finds then.
    pub(crate) fn step_down(&mut self, slots: &SlotSet) {
        let mut lost = Vec::new();
        let ours = |write: &Write| slots.contains(write.slot);
        self.flights.give_up(ours, |number, write| lost.push((number, write)));
        for (number, write) in lost {
            self.forget(number, &write);
            if write.origin != Origin::Nobody {
                reached(Hook::InDoubt);
                let origin = write.origin;
                self.outcomes.push(Outcome::Answered { origin, answer: IN_DOUBT });
            }
        }
        let reads = self.reads.take(|read| slots.contains(read.request.slot));
        for read in reads {
            let answered_behind = self.reads.is_overtaken(&read);
            if !answered_behind {
                Reads::on_again(&read);
            }
            let Read { request, since, .. } = read;
            let last = self.asked_for.get(request.slot as usize).copied().unwrap_or_default();
            let origin = request.origin;
            let written_behind = last > since && !planted(Mutant::ReadBegunAgain);
            let overtaken = written_behind || answered_behind;
            self.outcomes.push(if overtaken && !matches!(origin, Origin::Erasure { .. }) {
                reached(Hook::ReadOvertaken);
                Outcome::Answered { origin, answer: OVERTAKEN }
            } else {
                Outcome::Again(request)
            });
        }
        self.unsettled.on_lost(slots);
        self.led.subtract(slots);
    }

    /// Tells those whose writes have been under way long enough that they wait in vain. Who is to be
    /// told that nothing was done.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Origin> {
        let mut refused = Vec::new();
        for write in self.flights.iter_mut() {
            if write.origin != Origin::Nobody && write.deadline <= now {
                reached(Hook::InDoubt);
                let origin = std::mem::replace(&mut write.origin, Origin::Nobody);
                if planted(Mutant::RefusedAfterStamp) {
                    refused.push(origin);
                } else {
                    self.outcomes.push(Outcome::Answered { origin, answer: IN_DOUBT });
                }
            }
        }
        let late = self.reads.take(|read| read.request.deadline <= now);
        refused.extend(late.into_iter().map(|read| read.request.origin));
        refused
    }

    /// When [`Leader::expire`] has something to do at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let waiting = |write: &&Write| write.origin != Origin::Nobody;
        let write = self.flights.iter().find(waiting).map(|write| write.deadline);
        [write, self.reads.deadline()].into_iter().flatten().min()
    }

    /// The planted bug: the newest record of a key once more, with the version that it has.
    fn send_unchanged(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        slot: u32,
        key: &[u8],
    ) -> Option<Number> {
        let held = current(&self.unsettled, &ctx.replica.store, slot, key)?;
        let mut bytes = Vec::new();
        held.encode(&mut bytes);
        let record = Record::decode(&bytes).ok()?;
        let (version, key_hash, batch) =
            (record.version, xxh3_64(key), ctx.replica.journal.gathering());
        let (origin, answer, deadline) = (Origin::Nobody, Answer::Ok, Instant::ZERO);
        let (key, together) = (key.into(), None);
        let write = Write { slot, key_hash, key, version, origin, answer, deadline, together };
        let number = self.flights.launch(write, batch);
        ctx.replica.accept(&record);
        for peer in ctx.peers.iter_mut() {
            let frame = |pos| Frame::Fill { pos, ballot, record: &bytes };
            if let Some(end) = peer.outbox.push(FILL_OVERHEAD + bytes.len(), frame) {
                self.flights.sent(number, peer.id, end);
            }
        }
        self.unsettled.on_stamped(slot, record.key);
        Some(number)
    }

    fn stamp(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        slot: u32,
        key: &[u8],
        body: Body<'_>,
        waiting: (Origin, Answer<'static>, Instant),
    ) -> Number {
        self.seq += 1;
        let version = Version::accepted(ballot, self.seq);
        self.stamp_as(ctx, (version, slot), key, body, waiting)
    }

    fn on_asked_for(&mut self, slot: u32, origin: Origin, version: Version) {
        if let Some(last) = self.asked_for.get_mut(slot as usize)
            && origin != Origin::Nobody
        {
            *last = version.seq();
        }
    }

    /// The same with a version that was taken for it.
    fn stamp_as(
        &mut self,
        ctx: &mut Ctx<'_>,
        (version, slot): (Version, u32),
        key: &[u8],
        body: Body<'_>,
        waiting: (Origin, Answer<'static>, Instant),
    ) -> Number {
        let Body { value, expires_at_ms } = body;
        let record = Record { db: Db::STRONG, key, version, expires_at_ms, value };
        if value.is_none() {
            self.tombstones.push((slot, key.into(), version));
        }
        let key_hash = xxh3_64(key);
        let (origin, answer, deadline) = waiting;
        self.on_asked_for(slot, origin, version);
        self.answers += answer.size();
        let (owned, together) = (key.into(), None);
        let write =
            Write { slot, key_hash, key: owned, version, origin, answer, deadline, together };
        let batch = ctx.replica.journal.gathering();
        let number = self.flights.launch(write, batch);
        let encoded = ctx.replica.accept(&record).expect("a new stamp is above all others");
        for peer in ctx.peers.iter_mut() {
            if !self.send_batches(peer) {
                self.send_later(peer.id, number);
                continue;
            }
            must(|| !self.owes_batches(peer.id), "nothing newer goes before a batch that waits");
            if let Some(end) = peer.outbox.push_record(encoded) {
                self.flights.sent(number, peer.id, end);
            }
        }
        self.heads.begin(key_hash, number);
        self.unsettled.on_stamped(slot, key);
        number
    }

    fn commit(&mut self, number: Number, write: Write) {
        reached(Hook::Committed);
        held_by_majority(Db::STRONG.number(), &write.key, write.version.to_bits());
        self.forget(number, &write);
        if write.origin != Origin::Nobody {
            let (origin, answer) = (write.origin, write.answer);
            self.outcomes.push(Outcome::Answered { origin, answer });
        }
        let flights = &self.flights;
        let free = self.reads.on_committed(number, |number| flights.is_open(number));
        self.answer_reads(free);
    }

    fn answer_reads(&mut self, reads: Vec<Read>) {
        let answered = reads
            .into_iter()
            .map(|read| Outcome::Answered { origin: read.request.origin, answer: read.answer });
        self.outcomes.extend(answered);
    }

    fn is_unsettled(&self, ctx: &Ctx<'_>, slot: u32, key: &[u8]) -> bool {
        self.unsettled.get(slot).is_some_and(|unsettled| {
            unsettled.contains(key, ctx.replica.store.get(Db::STRONG, key).is_some())
        })
    }
}

/// The newest record of a key that is known: of a key that is not settled perhaps not our own.
fn current<'s>(
    unsettled: &'s UnsettledSlots,
    store: &'s Store,
    slot: u32,
    key: &[u8],
) -> Option<Record<'s>> {
    let newest = unsettled.get(slot).and_then(|unsettled| unsettled.newest(key));
    match newest {
        Some(bytes) => Record::decode(bytes).ok(),
        None => store.get(Db::STRONG, key),
    }
}

#[cfg(test)]
mod tests;
