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

use std::collections::BTreeMap;

use super::{eventual::Replica, peers::Peers, votes::Votes};
use crate::{
    command::op::Answer,
    limits::{Limits, Timing},
    log::{Batch, Entry},
    members::Members,
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId},
    rng::Rng,
    slot::{Slot, SlotSet},
    time::{Earliest, Instant, Millis, Now},
};

mod acceptor;
mod candidate;
mod cold;
mod confirm;
mod elect;
mod erase;
mod expire;
mod fast;
mod flush;
mod forward;
mod handover;
mod leader;
mod recover;
mod refusal;
pub(crate) mod request;
mod route;
mod serve;
mod settle;
mod terms;
mod upkeep;

use acceptor::Acceptor;
use candidate::Campaign;
use cold::Cold;
pub(crate) use cold::Why;
use erase::Erasures;
use expire::Expiries;
use fast::FastReads;
use flush::Flushes;
use forward::Forwards;
use handover::Handover;
use leader::Leader;
use recover::Recovery;
use refusal::NO_LEADER;
use request::{IN_DOUBT, OVERTAKEN, Origin, Outcome, Request};
use terms::Terms;
use upkeep::Upkeep;

/// What the strong database acts on.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Now,
    pub(crate) replica: &'a mut Replica,
    pub(crate) peers: &'a mut Peers,
    pub(crate) rng: &'a mut Rng,
}

/// This node's part in the strong database.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Strong {
    me: NodeId,
    /// Of all members.
    names: Vec<Box<str>>,
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
    /// When what was won last will have been held for so long that earlier campaigns count no more.
    calm_at: Option<Instant>,
    jitter: Millis,
    /// The highest ballot heard of.
    highest: Ballot,
    /// What we lead has changed since the peers were told.
    lead_changed: bool,
    /// Slots were won since parked requests were last tried.
    won: bool,
    /// No majority can be reached since then.
    alone_since: Option<Instant>,
    /// Requests that a peer refused are tried again then.
    retry_at: Option<Instant>,
    upkeep: Upkeep,
    handovers: Vec<Handover>,
    /// By member: when it may be given slots again.
    handed: BTreeMap<NodeId, Instant>,
    recovery: Option<Recovery>,
    /// Recovery is complete, except that the log is to have it.
    recovered: bool,
    cold: Cold,
    /// Members that know, durably, of the loss from which this node recovers.
    told: Votes,
    /// Members that forgot something; for the quorum database.
    outlived: Votes,
    /// By member: its lives before this one may have forgotten what they acknowledged.
    reborn: Vec<u64>,
    /// This node hands over what it leads, and stands for nothing more.
    stopping: bool,
    flushes: Flushes,
    erasures: Erasures,
    expiries: Expiries,
    outcomes: Vec<Outcome>,
}

impl Strong {
    /// A node that knows nothing and does not vote.
    pub(crate) fn new(
        members: &Members,
        slots: u32,
        limits: Limits,
        timing: Timing,
        now: Now,
        seed: u64,
    ) -> Self {
        let (me, count, quorum) = (members.me(), members.len(), members.quorum());
        let quorum = if planted(Mutant::QuorumOffByOne) { quorum - 1 } else { quorum };
        Self {
            me,
            names: members.names().iter().map(|name| name.as_str().into()).collect(),
            members: count,
            quorum,
            slots,
            limits,
            timing,
            acceptor: Acceptor::new(slots),
            terms: Terms::new(me, count, slots, members.cluster_id(), now.mono),
            leader: Leader::new(me, count, quorum, slots),
            fast: FastReads::default(),
            forwards: Forwards::new(seed / 2),
            campaigns: Vec::new(),
            last_campaign: 0,
            attempts: 0,
            calm_at: None,
            jitter: Millis(0),
            highest: Ballot::NONE,
            lead_changed: false,
            won: false,
            alone_since: None,
            retry_at: None,
            upkeep: Upkeep::default(),
            handovers: Vec::new(),
            handed: BTreeMap::new(),
            recovery: None,
            recovered: false,
            cold: Cold::default(),
            told: Votes::default(),
            outlived: Votes::default(),
            reborn: vec![0; count],
            stopping: false,
            flushes: Flushes::default(),
            erasures: Erasures::default(),
            expiries: Expiries::default(),
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
            Entry::Known { member, incarnation } => {
                if let Some(known) = self.reborn.get_mut(member.index()) {
                    *known = (*known).max(*incarnation);
                }
            }
            Entry::Bound { .. }
            | Entry::Drop { .. }
            | Entry::Floor { .. }
            | Entry::Flush { .. }
            | Entry::Formed { .. }
            | Entry::Record(_) => {}
        }
    }

    /// This node votes from now on, and stands: at once if there is nobody else. Whether by a cold
    /// start.
    pub(crate) fn begin(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let cold = self.cold.end();
        self.recovery = None;
        self.acceptor.set_votes(true);
        let spread = if self.members == 1 { 1 } else { terms::STEP.0 };
        self.jitter = Millis(ctx.rng.below(spread));
        if planted(Mutant::SeqReused) {
            let ours = |slot: &u32| self.acceptor.promised(*slot).node() == self.me;
            let held: Vec<u32> = (0..self.slots).filter(ours).collect();
            let held =
                held.into_iter().filter(|slot| self.acceptor.promised(*slot) != Ballot::NONE);
            held.for_each(|slot| self.leader.win(slot, settle::Unsettled::default()));
            self.claim_own(ctx);
        }
        self.on_reach(ctx);
        self.reschedule(ctx);
        cold
    }

    /// Whether this node votes.
    pub(crate) const fn votes(&self) -> bool {
        self.acceptor.votes()
    }

    /// What this replica has promised.
    pub(crate) const fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// Whether what this node holds in a slot was copied after a loss, not accepted.
    pub(crate) fn is_copy(&self, slot: u32) -> bool {
        self.acceptor.copied().contains(slot)
    }

    /// The highest ballot heard of.
    pub(crate) const fn highest(&self) -> Ballot {
        self.highest
    }

    /// Operations that wait for a leader.
    pub(crate) fn parked(&self) -> usize {
        self.forwards.parked()
    }

    /// All that the log must know of this besides records, for a checkpoint.
    pub(crate) fn log(&self, out: &mut Vec<u8>) {
        self.acceptor.log(out);
        for (index, incarnation) in self.reborn.iter().enumerate().filter(|(_, known)| **known > 0)
        {
            let member = NodeId(index as u16);
            Entry::Known { member, incarnation: *incarnation }.encode(out);
        }
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
        let count = self.leader.under_way() + self.fast.len() + self.forwards.len();
        (count, self.leader.size() + self.forwards.size())
    }

    /// Bytes that are counted though nothing is under way; there should be none.
    pub(crate) fn left_over(&self) -> usize {
        let led = if self.leader.under_way() == 0 { self.leader.size() } else { 0 };
        let forwarded = if self.forwards.len() == 0 { self.forwards.size() } else { 0 };
        led + forwarded
    }

    /// What is over, and what of it is for whom.
    pub(crate) fn take_outcomes(&mut self, ctx: &mut Ctx<'_>) -> Vec<Outcome> {
        let taken = self.leader.take_outcomes();
        if taken.is_empty() {
            return std::mem::take(&mut self.outcomes);
        }
        let mut again = Vec::new();
        for outcome in taken {
            match outcome {
                Outcome::Answered { origin: origin @ Origin::Erasure { .. }, answer } => {
                    self.on_erased(origin, Some(&answer));
                }
                Outcome::Again(Request { origin: origin @ Origin::Erasure { .. }, .. }) => {
                    self.on_erased(origin, None);
                }
                Outcome::Again(Request { origin: Origin::Peer { node, id }, slot, .. }) => {
                    self.refuse(ctx, (node, id), slot);
                }
                Outcome::Again(request) => again.push(request),
                Outcome::Answered { .. } => self.outcomes.push(outcome),
            }
        }
        if !again.is_empty() {
            self.begin_again(ctx, again);
        }
        std::mem::take(&mut self.outcomes)
    }

    /// Our link to a peer is live: it is asked again what it did not answer.
    pub(crate) fn on_live(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        if let Some(to) = ctx.peers.get_mut(peer) {
            for (id, slots) in self.leader.reads().unanswered(peer) {
                to.ask(&Frame::Confirm { id, entries: &encode_slots(slots) });
            }
            to.ask(&Frame::Lead { entries: &self.claims() });
        }
        self.tell_waiting(ctx, peer);
        self.ask_state(ctx, peer);
        self.upkeep.hurry(ctx.now.mono + self.timing.heartbeat);
        self.on_reach(ctx);
        self.try_parked(ctx);
        self.reschedule(ctx);
    }

    /// Our link to a peer is gone: what it was asked it will not answer.
    pub(crate) fn on_lost(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        for campaign in &mut self.campaigns {
            campaign.on_lost(peer);
        }
        self.upkeep.on_peer_lost(peer);
        self.on_flusher_lost(ctx.now.mono, peer);
        self.on_source_lost(ctx, peer);
        self.on_cold_lost();
        for (request, overtaken) in self.forwards.take_all_of(peer) {
            let again = !overtaken || planted(Mutant::ReadBegunAgain);
            if request.is_read() && again || planted(Mutant::UnknownRetried) {
                self.place(ctx, request);
            } else if request.is_read() {
                reached(Hook::ReadOvertaken);
                let origin = request.origin;
                self.outcomes.push(Outcome::Answered { origin, answer: OVERTAKEN });
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
        self.erasures.forget(peer);
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
    pub(crate) fn on_durable(&mut self, ctx: &mut Ctx<'_>, batch: Batch, birth: u64) {
        self.on_cold_durable(ctx, batch, birth);
        self.leader.on_durable(batch);
        self.leader.release_reads();
        self.finish_slots(ctx);
        self.on_promised(ctx, batch);
    }

    /// The turn is over: asks what its requests need to know.
    pub(crate) fn end_turn(&mut self, ctx: &mut Ctx<'_>) {
        self.leader.send_again(ctx);
        self.tell_erased(ctx);
        self.note_tombstones(ctx.now.mono);
        self.expect_expiries(ctx);
        self.run_handovers(ctx);
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

    /// When [`Strong::tick`] has something to do at the latest. Asked after each turn.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let mut due = Earliest::NONE;
        due.now_if(self.erasures.is_ready() || self.flushes.is_due() || self.forwards.has_free());
        due.maybe(self.leader.next_deadline());
        due.maybe(self.fast.next_deadline());
        due.maybe(self.forwards.next_deadline());
        due.maybe(self.retry_at);
        self.campaigns.iter().for_each(|campaign| due.add(campaign.until));
        due.maybe(self.terms.due_at().filter(|_| self.may_stand()));
        if let Some(since) = self.alone_since.filter(|_| !self.led().is_empty()) {
            due.add(since + self.timing.silence);
        }
        due.maybe(self.next_handover());
        due.maybe(self.flushes.next_timer());
        if self.has_room() {
            due.now_if(self.leader.next_unsettled().is_some());
            due.maybe(self.upkeep.next_timer());
            due.maybe(self.expiries.next_timer());
        }
        due.get()
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        for request in self.fast.expire(now) {
            self.ask_leader(ctx, request);
        }
        self.give_up_late(ctx);
        let due = self.retry_at.take_if(|at| *at <= now).is_some();
        if due || self.forwards.has_free() {
            self.try_parked(ctx);
        }
        let silence = self.timing.silence;
        if self.alone_since.is_some_and(|since| since + silence <= now) && !self.led().is_empty() {
            reached(Hook::QuorumLost);
            let led = self.led().clone();
            self.step_down(ctx, &led);
        }
        self.settle_some(ctx);
        self.run_flush(ctx);
        self.erase_some(ctx);
        self.expire_some(ctx);
        self.keep_up(ctx);
        self.run_handovers(ctx);
        self.run_campaigns(ctx);
    }

    /// Tells those whose time is over that they wait in vain.
    fn give_up_late(&mut self, ctx: &Ctx<'_>) {
        let refused = self.leader.expire(ctx.now.mono);
        let (sent, parked) = self.forwards.expire(ctx.now.mono);
        if refused.is_empty() && sent.is_empty() && parked.is_empty() {
            return;
        }
        let refusal = self.refusal(ctx.peers, NO_LEADER);
        refused.into_iter().for_each(|origin| self.answer(origin, refusal.clone()));
        for request in sent {
            if request.is_read() {
                self.answer(request.origin, refusal.clone());
            } else {
                self.doubt(request);
            }
        }
        for request in parked {
            reached(Hook::NotWritten);
            self.answer(request.origin, refusal.clone());
        }
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
        self.upkeep.on_lost(&ours);
        self.on_handed_over(&ours);
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

    fn answer(&mut self, origin: Origin, answer: Answer<'static>) {
        self.outcomes.push(Outcome::Answered { origin, answer });
    }

    fn doubt(&mut self, request: Request) {
        reached(Hook::InDoubt);
        self.answer(request.origin, IN_DOUBT);
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
