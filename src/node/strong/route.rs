//! Where an operation is carried out: here if this node leads its slot, else at its leader, and if
//! there is none it waits for one.

use super::{
    Ctx, Strong,
    request::{IN_DOUBT, Origin, Outcome, Request},
};
use crate::{
    command::{
        batch::Work,
        op::{Answer, Held, Op},
    },
    node::peers::Peers,
    probe::{
        Hook, Mutant,
        claims::{Word, held_by_majority, say},
        planted, reached,
    },
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId},
    slot::Slot,
    time::Millis,
};

/// First byte of an answer to a forwarded request: the rest is the answer.
pub(super) const ANSWERED: u8 = 1;
/// First byte of an answer to a forwarded request: nothing was stamped for it. The rest is its slot.
const NOT_STAMPED: u8 = 0;
/// How long a refused request waits before it is tried again, if nothing else happens.
const RETRY: Millis = Millis(10);

/// Where an operation on a slot is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Here(Ballot),
    Nowhere,
    There(NodeId),
}

/// Under which number refusals of a slot's requests are counted. Were it one for all, requests of two
/// slots that cross on their way would refuse each other until their time is over.
pub(super) fn counted(slot: u32) -> u32 {
    if planted(Mutant::RefusalsCross) { 0 } else { slot }
}

impl Strong {
    /// An operation of a client of ours. `fast` says that nothing of the same client is under way,
    /// so that it may be answered out of the leader's order.
    pub(crate) fn submit(&mut self, ctx: &mut Ctx<'_>, origin: Origin, op: &Op<'_>, fast: bool) {
        let slot = Slot::of(op.key, self.slots).0;
        let deadline = ctx.now.mono + self.timing.request;
        if !fast {
            self.end_fast(ctx, slot);
        }
        let route = self.route(ctx.peers, slot);
        let queues = self.queues(slot, route);
        match route {
            Route::Here(ballot) if !queues && !self.is_full() => {
                self.leader.execute(ctx, ballot, op, (origin, slot, deadline));
            }
            Route::There(leader) if !queues => {
                let request = Request::new(origin, op, slot, deadline);
                if !(fast && op.is_read() && self.begin_fast(ctx, &request)) {
                    self.forward(ctx, leader, request);
                }
            }
            Route::Here(_) | Route::Nowhere | Route::There(_) => {
                reached(Hook::Parked);
                self.retry_when_full(ctx);
                self.forwards.park(Request::new(origin, op, slot, deadline));
            }
        }
    }

    /// A batch of a client of ours, on keys of one slot, as [`crate::command::batch::Builder`] has
    /// written it. It goes to the leader, as everything does of which order matters.
    pub(crate) fn submit_batch(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: Origin,
        work: Box<[u8]>,
        slot: u32,
    ) {
        self.end_fast(ctx, slot);
        let request = Request::of_work(origin, work, slot, ctx.now.mono + self.timing.request);
        self.place(ctx, request);
    }

    /// Whether what is asked of a slot now must wait for what was asked before and is not where it
    /// would go itself.
    fn queues(&self, slot: u32, route: Route) -> bool {
        let leader = match route {
            Route::Here(_) => self.me,
            Route::There(leader) => leader,
            Route::Nowhere => return false,
        };
        let elsewhere = self.forwards.is_elsewhere(slot, leader);
        self.forwards.is_parked(slot) || (elsewhere && !planted(Mutant::RequestsOvertake))
    }

    /// Begins anew what our leader gave back, before all that came after it.
    pub(super) fn begin_again(&mut self, ctx: &mut Ctx<'_>, mut requests: Vec<Request>) {
        requests.iter_mut().rev().for_each(|request| self.forwards.number_first(request));
        requests.into_iter().for_each(|request| self.place(ctx, request));
    }

    /// Reads of a slot that are under way here go to the leader, for a request behind them goes
    /// there: one that turned out to be unclear would come after it.
    fn end_fast(&mut self, ctx: &mut Ctx<'_>, slot: u32) {
        for request in self.fast.take_slot(slot) {
            self.ask_leader(ctx, request);
        }
    }

    /// A peer answers what we forwarded to it.
    pub(super) fn on_answer(&mut self, ctx: &mut Ctx<'_>, from: NodeId, id: u64, bytes: &[u8]) {
        let request = self.forwards.take(from, id);
        match (bytes.split_first(), request) {
            (Some((&ANSWERED, rest)), Some(request)) => {
                self.forwards.on_answered(request.slot, id);
                let answer = Answer::decode(rest).map_or(IN_DOUBT, Answer::into_owned);
                self.outcomes.push(Outcome::Answered { origin: request.origin, answer });
            }
            (Some((&ANSWERED, _)), None) => {}
            (Some(_) | None, request) => {
                // Counted even if nobody waits any more: the peer has counted it.
                let slot = bytes.get(1..).and_then(<[u8]>::first_chunk).copied();
                let slot = slot.map(u32::from_le_bytes).filter(|slot| *slot < self.slots);
                if let (Some(peer), Some(slot)) = (ctx.peers.get_mut(from), slot) {
                    *peer.refusals_seen.entry(counted(slot)).or_default() += 1;
                }
                let Some(request) = request else { return };
                self.retry_at = Some(ctx.now.mono + RETRY);
                self.forwards.park(request);
            }
        }
    }

    pub(super) fn route(&self, peers: &Peers, slot: u32) -> Route {
        if self.led().contains(slot) {
            let reaches = self.reaches_quorum(peers) && !self.is_leaving(slot);
            return if reaches {
                Route::Here(self.acceptor.promised(slot))
            } else {
                Route::Nowhere
            };
        }
        match self.terms.leader(slot) {
            Some(leader) if peers.takes_requests(leader) => Route::There(leader),
            Some(_) | None => Route::Nowhere,
        }
    }

    /// Whether no more operations are begun here: what is under way must become less before.
    pub(super) const fn is_full(&self) -> bool {
        self.leader.under_way() > self.limits.requests_max
            || self.leader.size() > self.limits.requests_size_max
    }

    /// What waits because there is no room is tried again soon.
    fn retry_when_full(&mut self, ctx: &Ctx<'_>) {
        if self.is_full() && self.retry_at.is_none() {
            reached(Hook::LeaderFull);
            self.retry_at = Some(ctx.now.mono + RETRY);
        }
    }

    /// A request that is to be begun anew.
    pub(super) fn place(&mut self, ctx: &mut Ctx<'_>, request: Request) {
        let route = self.route(ctx.peers, request.slot);
        match route {
            Route::Here(_) | Route::There(_) if self.queues(request.slot, route) => {
                reached(Hook::Parked);
                self.forwards.park(request);
            }
            Route::Here(_) if self.is_full() => {
                self.retry_when_full(ctx);
                self.forwards.park(request);
            }
            Route::Here(ballot) => self.carry_out(ctx, ballot, &request),
            Route::There(leader) => self.forward(ctx, leader, request),
            Route::Nowhere => self.forwards.park(request),
        }
    }

    /// Carries out a request in a slot that we lead under `ballot`.
    pub(super) fn carry_out(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, request: &Request) {
        let waiting = (request.origin, request.slot, request.deadline);
        match request.work() {
            Work::Batch(batch) => {
                self.leader.execute_batch(ctx, ballot, (&batch, request.bytes()), waiting);
            }
            Work::One(op) => self.leader.execute(ctx, ballot, &op, waiting),
        }
    }

    /// A read that members do not agree on.
    pub(super) fn ask_leader(&mut self, ctx: &mut Ctx<'_>, request: Request) {
        reached(Hook::FastReadUnclear);
        self.place(ctx, request);
    }

    /// Tries again what waits for a leader.
    pub(super) fn try_parked(&mut self, ctx: &mut Ctx<'_>) {
        for request in self.forwards.take_parked() {
            self.place(ctx, request);
        }
    }

    fn forward(&mut self, ctx: &mut Ctx<'_>, leader: NodeId, request: Request) {
        reached(Hook::Forwarded);
        let Some(to) = ctx.peers.get_mut(leader) else { return self.forwards.park(request) };
        let seen = to.refusals_seen.get(&counted(request.slot)).copied().unwrap_or_default();
        let mut op = seen.to_le_bytes().to_vec();
        op.extend_from_slice(request.bytes());
        let id = self.forwards.send(leader, request);
        to.ask(&Frame::Forward { id, op: &op });
    }

    /// Tells a peer that nothing was stamped for its request, nor will be for others of the slot
    /// that it sent before it knows: they must not overtake this one.
    pub(super) fn refuse(&self, ctx: &mut Ctx<'_>, (node, id): (NodeId, u64), slot: u32) {
        if let Some(peer) = ctx.peers.get_mut(node) {
            say(Word::Refused { peer: node.0, slot });
            *peer.refusals_sent.entry(counted(slot)).or_default() += 1;
            let [a, b, c, d] = slot.to_le_bytes();
            peer.say(&Frame::Answer { id, answer: &[NOT_STAMPED, a, b, c, d] });
        }
    }

    /// Begins to read without the leader, if what we hold is fit for it.
    fn begin_fast(&mut self, ctx: &mut Ctx<'_>, request: &Request) -> bool {
        let Some(op) = request.op() else { return false };
        let (version, accepted) = self.held(ctx, op.key);
        let waits = ctx.replica.journal.wait_for_key(Db::STRONG, op.key).is_some();
        let record = ctx.replica.store.get(Db::STRONG, op.key);
        let expired = record.is_some_and(|record| {
            record.value.is_some() && record.visible(ctx.now.wall_ms).is_none()
        });
        let expired = expired && !planted(Mutant::FastReadExpires);
        let fit = self.votes() && accepted && !waits && !expired && self.reaches_quorum(ctx.peers);
        if fit {
            self.fast.begin(self.me, request.clone(), version);
        }
        fit
    }

    /// Members say which versions they hold of what we want to read.
    pub(super) fn on_answers(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        entries: &[u8],
    ) -> Option<()> {
        let answers: Vec<_> = peer::states(entries).collect::<Option<_>>()?;
        let (quorum, members) = (self.quorum, self.members);
        let decided = self.fast.on_answers(from, id, answers.into_iter(), quorum, members);
        for read in decided.chosen {
            let Some(op) = read.request.op() else { continue };
            // Ours may have changed since; then it is not what the others showed.
            if self.held(ctx, op.key).0 != read.version {
                self.ask_leader(ctx, read.request);
                continue;
            }
            reached(Hook::FastRead);
            held_by_majority(Db::STRONG.number(), op.key, read.version.to_bits());
            let record = ctx.replica.store.get(Db::STRONG, op.key);
            let held = record.and_then(|record| Held::of(&record, ctx.now.wall_ms));
            let ends = held.is_none() && record.is_some_and(|record| record.value.is_some());
            if ends && !planted(Mutant::FastReadExpires) {
                // Its time is over by our clock; only the leader may say so.
                self.ask_leader(ctx, read.request);
                continue;
            }
            let (_, answer) = op.apply(held, ctx.now.wall_ms);
            let answer = answer.into_owned();
            self.answer(read.request.origin, answer);
        }
        for request in decided.unclear {
            self.ask_leader(ctx, request);
        }
        Some(())
    }

    /// Whether so many members vote and are in reach that a write could be committed.
    pub(super) fn reaches_quorum(&self, peers: &Peers) -> bool {
        peers.voters() + 1 >= self.quorum
    }

    /// Members in reach have changed.
    pub(super) fn on_reach(&mut self, ctx: &Ctx<'_>) {
        if self.reaches_quorum(ctx.peers) {
            self.alone_since = None;
        } else if self.alone_since.is_none() {
            self.alone_since = Some(ctx.now.mono);
        }
    }
}
