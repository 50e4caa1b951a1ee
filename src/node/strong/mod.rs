//! The strong database: one order of all operations on a key, whichever node they come to.
//!
//! It is PROTOCOL sections 1 to 5 and 11. Each slot has a leader, which orders the slot's writes
//! ([`leader`]) and answers its reads after a majority has confirmed that it leads ([`confirm`]).
//! Other nodes forward to it ([`forward`]) or read by themselves where a majority agrees
//! ([`fast`]). When a slot has no leader ([`terms`]) a member stands for it ([`candidate`],
//! [`elect`]): it gets the promise of a majority of acceptors ([`acceptor`]) and settles what they
//! do not agree on ([`settle`]). What a member answers to all that is in [`serve`].
//!
//! Everything here acts on what is handed in: the store and the journal, the outboxes of peers,
//! time and chance ([`Ctx`]). Questions and answers between members are frames; what of them must
//! wait for the disk waits in the peer ([`crate::node::peers::Peer::owe`]). No link and no client is known here, so
//! the same code runs in a node and in an exhaustive search.

use super::{
    eventual::Replica,
    peers::Peers,
};
use crate::{
    command::op::{Answer, Held, Op},
    limits::{Limits, Timing},
    log::{Batch, Entry},
    members::Members,
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId},
    rng::Rng,
    slot::{Slot, SlotSet},
    time::{Instant, Millis, Now},
};

mod acceptor;
mod candidate;
mod confirm;
mod elect;
mod fast;
mod forward;
mod leader;
pub(crate) mod request;
mod serve;
mod settle;
mod terms;

use acceptor::Acceptor;
use candidate::Campaign;
use fast::FastReads;
use forward::Forwards;
use leader::Leader;
use request::{IN_DOUBT, Origin, Outcome, Request};
use terms::Terms;

/// How long a refused request waits before it is tried again, if nothing else happens.
const RETRY: Millis = Millis(10);
/// First byte of an answer to a forwarded request: nothing was stamped for it.
const NOT_STAMPED: u8 = 0;
/// First byte of an answer to a forwarded request: the rest is the answer.
const ANSWERED: u8 = 1;

/// What the strong database acts on.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Now,
    pub(crate) replica: &'a mut Replica,
    pub(crate) peers: &'a mut Peers,
    pub(crate) rng: &'a mut Rng,
}

/// This node's part in the strong database.
#[derive(Debug)]
pub(crate) struct Strong {
    me: NodeId,
    members: usize,
    quorum: usize,
    slots: u32,
    limits: Limits,
    timing: Timing,
    acceptor: Acceptor,
    terms: Terms,
    leader: Leader,
    fast: FastReads,
    forwards: Forwards,
    campaigns: Vec<Campaign>,
    last_campaign: u64,
    /// Campaigns lost in a row.
    attempts: u32,
    jitter: Millis,
    /// The highest ballot heard of.
    highest: Ballot,
    /// What we lead has changed since the peers were told.
    lead_changed: bool,
    /// No majority can be reached since then.
    alone_since: Option<Instant>,
    /// Requests that a peer refused are tried again then.
    retry_at: Option<Instant>,
    outcomes: Vec<Outcome>,
}

/// Where an operation on a slot is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Here(Ballot),
    Nowhere,
    There(NodeId),
}

impl Strong {
    /// A node that knows nothing and does not vote.
    pub(crate) fn new(
        members: &Members,
        slots: u32,
        limits: Limits,
        timing: Timing,
        now: Now,
    ) -> Self {
        let (me, count, quorum) = (members.me(), members.len(), members.quorum());
        let quorum = if planted(Mutant::QuorumOffByOne) { quorum - 1 } else { quorum };
        Self {
            me,
            members: count,
            quorum,
            slots,
            limits,
            timing,
            acceptor: Acceptor::new(slots),
            terms: Terms::new(me, count, slots, members.cluster_id(), now.mono),
            leader: Leader::new(me, count, quorum, slots),
            fast: FastReads::default(),
            forwards: Forwards::default(),
            campaigns: Vec::new(),
            last_campaign: 0,
            attempts: 0,
            jitter: Millis(0),
            highest: Ballot::NONE,
            lead_changed: false,
            alone_since: None,
            retry_at: None,
            outcomes: Vec::new(),
        }
    }

    /// Takes back what an earlier life promised or accepted.
    pub(crate) fn recover(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Promise { ballot, slots } => {
                if let Some(slots) = SlotSet::from_bytes(self.slots, slots) {
                    self.acceptor.recall(*ballot, &slots);
                    self.highest = self.highest.max(*ballot);
                }
            }
            Entry::Copied { slots, set } => {
                if let Some(slots) = SlotSet::from_bytes(self.slots, slots) {
                    self.acceptor.set_copied(&slots, *set);
                }
            }
            // What was accepted had been promised.
            Entry::Record(record) if record.db == Db::STRONG => {
                let ballot = record.version.ballot();
                let slot = Slot::of(record.key, self.slots).0;
                self.acceptor.recall_one(slot, ballot);
                self.highest = self.highest.max(ballot);
            }
            Entry::Bound { .. }
            | Entry::Drop { .. }
            | Entry::Flush { .. }
            | Entry::Formed { .. }
            | Entry::Record(_) => {}
        }
    }

    /// This node votes from now on, and stands.
    pub(crate) fn begin(&mut self, ctx: &mut Ctx<'_>) {
        self.acceptor.set_votes(true);
        self.jitter = Millis(ctx.rng.below(terms::STEP.0));
        if planted(Mutant::SeqReused) {
            let ours = |slot: &u32| self.acceptor.promised(*slot).node() == self.me;
            let held: Vec<u32> = (0..self.slots).filter(ours).collect();
            let held = held.into_iter().filter(|slot| self.acceptor.promised(*slot) != Ballot::NONE);
            held.for_each(|slot| self.leader.win(slot, settle::Unsettled::default()));
            self.claim_own(ctx);
        }
        self.reschedule(ctx);
    }

    /// Whether this node votes.
    pub(crate) const fn votes(&self) -> bool {
        self.acceptor.votes()
    }

    /// What this replica has promised.
    pub(crate) const fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// The slots that this node leads.
    pub(crate) const fn led(&self) -> &SlotSet {
        self.leader.led()
    }

    /// Who leads a slot, as far as we hear.
    pub(crate) fn leader_of(&self, slot: u32) -> Option<NodeId> {
        self.terms.leader(slot)
    }

    /// Operations under way and bytes that they hold.
    pub(crate) fn load(&self) -> (usize, usize) {
        let count = self.leader.pending() + self.forwards.len();
        (count, self.leader.size() + self.forwards.size())
    }

    /// An operation of a client of ours. `fast` says that nothing of the same client is under way,
    /// so that it may be answered out of the leader's order.
    pub(crate) fn submit(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: Origin,
        op: &Op<'_>,
        fast: bool,
    ) {
        let slot = Slot::of(op.key, self.slots).0;
        let deadline = ctx.now.mono + self.timing.request;
        let parked = self.forwards.has_parked() && self.forwards.is_parked(slot);
        match self.route(ctx.peers, slot) {
            Route::Here(ballot) if !parked => {
                self.leader.execute(ctx, ballot, op, (origin, slot, deadline));
            }
            Route::There(leader) if !parked => {
                let request = Request::new(origin, op, slot, deadline);
                if !(fast && op.is_read() && self.begin_fast(ctx, &request)) {
                    self.forward(ctx, leader, request);
                }
            }
            Route::Here(_) | Route::Nowhere | Route::There(_) => {
                reached(Hook::Parked);
                self.forwards.park(Request::new(origin, op, slot, deadline));
            }
        }
    }

    /// What is over, and what of it is for whom.
    pub(crate) fn take_outcomes(&mut self, ctx: &mut Ctx<'_>) -> Vec<Outcome> {
        for outcome in self.leader.take_outcomes() {
            match outcome {
                Outcome::Again(Request { origin: Origin::Peer { node, id }, .. }) => {
                    self.refuse(ctx, node, id);
                }
                Outcome::Again(request) => self.place(ctx, request),
                Outcome::Answered { .. } => self.outcomes.push(outcome),
            }
        }
        std::mem::take(&mut self.outcomes)
    }

    /// A peer answers what we forwarded to it.
    pub(super) fn on_answer(&mut self, ctx: &mut Ctx<'_>, from: NodeId, id: u64, bytes: &[u8]) {
        let request = self.forwards.take(from, id);
        match (bytes.split_first(), request) {
            (Some((&ANSWERED, rest)), Some(request)) => {
                let answer = Answer::decode(rest).map_or(IN_DOUBT, Answer::into_owned);
                self.outcomes.push(Outcome::Answered { origin: request.origin, answer });
            }
            (Some((&ANSWERED, _)), None) => {}
            (Some(_) | None, request) => {
                // Counted even if nobody waits any more: the peer has counted it.
                if let Some(peer) = ctx.peers.get_mut(from) {
                    peer.refusals_seen += 1;
                }
                let Some(request) = request else { return };
                self.retry_at = Some(ctx.now.mono + RETRY);
                self.forwards.park(request);
            }
        }
    }

    /// Our link to a peer is live: it is asked again what it did not answer.
    pub(crate) fn on_live(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        if let Some(to) = ctx.peers.get_mut(peer) {
            for (id, slots) in self.leader.reads().unanswered(peer) {
                to.ask(&Frame::Confirm { id, entries: &encode_slots(slots) });
            }
            to.ask(&Frame::Lead { entries: &self.claims() });
        }
        self.on_reach(ctx);
        self.try_parked(ctx);
        self.reschedule(ctx);
    }

    /// Our link to a peer is gone: what it was asked it will not answer.
    pub(crate) fn on_lost(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        for campaign in &mut self.campaigns {
            campaign.on_lost(peer);
        }
        for request in self.forwards.take_all_of(peer) {
            if request.op().is_read() || planted(Mutant::UnknownRetried) {
                self.place(ctx, request);
            } else {
                self.doubt(request);
            }
        }
        self.on_reach(ctx);
        self.reschedule(ctx);
    }

    /// A peer's link to us is gone, and with it what it claimed to lead.
    pub(crate) fn on_silent(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        self.terms.claim(ctx.now.mono, peer, Vec::new());
        self.jitter = Millis(ctx.rng.below(terms::STEP.0));
        self.reschedule(ctx);
    }

    /// A peer has our stream to it, durably, up to a position.
    pub(crate) fn on_ack(&mut self, peer: NodeId, pos: u64) {
        self.leader.on_ack(peer, pos);
    }

    /// A peer's session goes on from a position on a new link, or begins anew.
    pub(crate) fn on_session(&mut self, ctx: &mut Ctx<'_>, peer: NodeId, resumed: Option<u64>) {
        self.leader.on_session(ctx, peer, resumed);
    }

    /// The log has everything up to a batch.
    pub(crate) fn on_durable(&mut self, ctx: &mut Ctx<'_>, batch: Batch) {
        self.leader.on_durable(batch);
        self.leader.release_reads();
        self.on_promised(ctx, batch);
    }

    /// The turn is over: asks what its requests need to know.
    pub(crate) fn end_turn(&mut self, ctx: &mut Ctx<'_>) {
        if let Some((id, slots)) = self.leader.begin_round() {
            let entries = encode_slots(slots);
            ctx.peers.iter_mut().for_each(|to| to.ask(&Frame::Confirm { id, entries: &entries }));
            self.leader.release_reads();
        }
        let until = ctx.now.mono + self.timing.heartbeat;
        if let Some((id, keys)) = self.fast.ask(until) {
            let mut entries = Vec::new();
            keys.for_each(|key| peer::push_key(&mut entries, key));
            let query = Frame::Query { id, db: Db::STRONG, keys: &entries };
            ctx.peers.iter_mut().for_each(|to| to.ask(&query));
        }
        if std::mem::take(&mut self.lead_changed) {
            let entries = self.claims();
            ctx.peers.iter_mut().for_each(|to| to.ask(&Frame::Lead { entries: &entries }));
        }
    }

    /// When [`Strong::tick`] has something to do at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let settles = self.leader.next_unsettled().is_some() && self.has_room();
        let campaigns = self.campaigns.iter().map(|campaign| campaign.until).min();
        let stands = self.terms.due_at().filter(|_| self.votes());
        let alone = self.alone_since.map(|since| since + self.timing.silence);
        let alone = alone.filter(|_| !self.led().is_empty());
        let timers = [
            settles.then_some(Instant::ZERO),
            self.leader.next_deadline(),
            self.fast.next_deadline(),
            self.forwards.next_deadline(),
            self.retry_at,
            campaigns,
            stands,
            alone,
        ];
        timers.into_iter().flatten().min()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        for request in self.fast.expire(now) {
            self.to_leader(ctx, request);
        }
        let refusal = self.refusal(ctx.peers);
        self.leader.expire(now, &refusal);
        let (sent, parked) = self.forwards.expire(now);
        for request in sent {
            if request.op().is_read() {
                self.answer(request.origin, refusal.clone());
            } else {
                self.doubt(request);
            }
        }
        for request in parked {
            reached(Hook::NotWritten);
            self.answer(request.origin, refusal.clone());
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.try_parked(ctx);
        }
        let silence = self.timing.silence;
        if self.alone_since.is_some_and(|since| since + silence <= now) && !self.led().is_empty() {
            reached(Hook::QuorumLost);
            let led = self.led().clone();
            self.step_down(ctx, &led);
        }
        self.settle_some(ctx);
        self.run_campaigns(ctx);
    }

    /// Leads these slots no more.
    pub(crate) fn step_down(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet) {
        let mut ours = slots.clone();
        ours.intersect_with(self.leader.led());
        if ours.is_empty() {
            return;
        }
        reached(Hook::SteppedDown);
        self.leader.step_down(&ours);
        self.claim_own(ctx);
    }

    /// What we lead has changed: for the peers, and for ourselves.
    fn claim_own(&mut self, ctx: &Ctx<'_>) {
        self.lead_changed = true;
        let claims = self.led_by_ballot();
        self.terms.claim(ctx.now.mono, self.me, claims);
    }

    /// The slots we lead, by the ballot under which we do.
    fn led_by_ballot(&self) -> Vec<(Ballot, SlotSet)> {
        let mut claims: Vec<(Ballot, SlotSet)> = Vec::new();
        for slot in self.led().iter() {
            let ballot = self.acceptor.promised(slot);
            if claims.iter().all(|(known, _)| *known != ballot) {
                claims.push((ballot, SlotSet::new(self.slots)));
            }
            if let Some((_, slots)) = claims.iter_mut().find(|(known, _)| *known == ballot) {
                slots.insert(slot);
            }
        }
        claims
    }

    fn claims(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (ballot, slots) in self.led_by_ballot() {
            let mut bytes = Vec::new();
            slots.to_bytes(&mut bytes);
            peer::push_lead(&mut entries, ballot, &bytes);
        }
        entries
    }

    /// Whether so many members vote and are in reach that a write could be committed.
    fn reaches_quorum(&self, peers: &Peers) -> bool {
        peers.voters() + 1 >= self.quorum
    }

    /// Members in reach have changed.
    fn on_reach(&mut self, ctx: &Ctx<'_>) {
        if self.reaches_quorum(ctx.peers) {
            self.alone_since = None;
        } else if self.alone_since.is_none() {
            self.alone_since = Some(ctx.now.mono);
        }
    }

    fn route(&self, peers: &Peers, slot: u32) -> Route {
        if !self.votes() {
            return Route::Nowhere;
        }
        if self.led().contains(slot) {
            let reaches = self.reaches_quorum(peers);
            return if reaches { Route::Here(self.acceptor.promised(slot)) } else { Route::Nowhere };
        }
        match self.terms.leader(slot) {
            Some(leader) if peers.is_live(leader) => Route::There(leader),
            Some(_) | None => Route::Nowhere,
        }
    }

    /// A request that is to be begun anew.
    fn place(&mut self, ctx: &mut Ctx<'_>, request: Request) {
        match self.route(ctx.peers, request.slot) {
            Route::Here(ballot) => {
                let waiting = (request.origin, request.slot, request.deadline);
                self.leader.execute(ctx, ballot, &request.op(), waiting);
            }
            Route::There(leader) => self.forward(ctx, leader, request),
            Route::Nowhere => self.forwards.park(request),
        }
    }

    /// A read that members do not agree on.
    fn to_leader(&mut self, ctx: &mut Ctx<'_>, request: Request) {
        reached(Hook::FastReadUnclear);
        self.place(ctx, request);
    }

    /// Tries again what waits for a leader.
    fn try_parked(&mut self, ctx: &mut Ctx<'_>) {
        for request in self.forwards.take_parked() {
            if self.forwards.is_parked(request.slot) {
                self.forwards.park(request);
            } else {
                self.place(ctx, request);
            }
        }
    }

    fn forward(&mut self, ctx: &mut Ctx<'_>, leader: NodeId, request: Request) {
        reached(Hook::Forwarded);
        let Some(to) = ctx.peers.get_mut(leader) else { return self.forwards.park(request) };
        let mut op = to.refusals_seen.to_le_bytes().to_vec();
        op.extend_from_slice(request.bytes());
        let id = self.forwards.send(leader, request);
        to.ask(&Frame::Forward { id, op: &op });
    }

    /// Tells a peer that nothing was stamped for its request, nor will be for others of the slot
    /// that it sent before it knows: they must not overtake this one.
    fn refuse(&self, ctx: &mut Ctx<'_>, node: NodeId, id: u64) {
        if let Some(peer) = ctx.peers.get_mut(node) {
            peer.refusals_sent += 1;
            peer.say(&Frame::Answer { id, answer: &[NOT_STAMPED] });
        }
    }

    /// Begins to read without the leader, if what we hold is fit for it.
    fn begin_fast(&mut self, ctx: &mut Ctx<'_>, request: &Request) -> bool {
        let op = request.op();
        let (version, accepted) = self.held(ctx, op.key);
        let waits = ctx.replica.journal.wait_for_key(Db::STRONG, op.key).is_some();
        let record = ctx.replica.store.get(Db::STRONG, op.key);
        let expired = record.is_some_and(|record| {
            record.value.is_some() && record.visible(ctx.now.wall_ms).is_none()
        });
        let fit = accepted && !waits && !expired && self.reaches_quorum(ctx.peers);
        if fit {
            self.fast.begin(self.me, request.clone(), version);
        }
        fit
    }

    /// Members say which versions they hold of what we want to read.
    fn on_answers(
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
            let op = read.request.op();
            // Ours may have changed since; then it is not what the others showed.
            if self.held(ctx, op.key).0 != read.version {
                self.to_leader(ctx, read.request);
                continue;
            }
            reached(Hook::FastRead);
            let record = ctx.replica.store.get(Db::STRONG, op.key);
            let held = record.and_then(|record| Held::of(&record, ctx.now.wall_ms));
            if held.is_none() && record.is_some_and(|record| record.value.is_some()) {
                // Its time is over by our clock; only the leader may say so.
                self.to_leader(ctx, read.request);
                continue;
            }
            let (_, answer) = op.apply(held);
            let answer = answer.into_owned();
            self.answer(read.request.origin, answer);
        }
        for request in decided.unclear {
            self.to_leader(ctx, request);
        }
        Some(())
    }

    fn answer(&mut self, origin: Origin, answer: Answer<'static>) {
        self.outcomes.push(Outcome::Answered { origin, answer });
    }

    fn doubt(&mut self, request: Request) {
        reached(Hook::InDoubt);
        self.answer(request.origin, IN_DOUBT);
    }

    /// Why an operation can't be carried out; nothing of it was.
    pub(crate) fn refusal(&self, peers: &Peers) -> Answer<'static> {
        let reached = peers.voters() + 1;
        let text = if reached < self.quorum {
            let (need, of) = (self.quorum, self.members);
            format!("NOREPLICAS need {need} of {of} nodes, reached {reached}; nothing written")
        } else {
            "NOREPLICAS no leader of this key's slot is in reach; nothing written".to_owned()
        };
        Answer::Error(text.into())
    }

    fn only(&self, slot: u32) -> SlotSet {
        let mut only = SlotSet::new(self.slots);
        only.insert(slot);
        only
    }
}

fn encode_slots(slots: &[(u32, Ballot)]) -> Vec<u8> {
    let mut entries = Vec::new();
    slots.iter().for_each(|(slot, ballot)| {
        peer::push_confirm(&mut entries, *slot, *ballot);
    });
    entries
}

/// Whether a member counts where slots are distributed.
fn counts(peers: &Peers, node: NodeId) -> bool {
    peers.iter().any(|peer| peer.id == node && peer.votes_in_reach())
}
