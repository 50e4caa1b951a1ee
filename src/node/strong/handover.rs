//! Handing slots over: to the member that is to lead them, or to anybody when this node stops
//! (PROTOCOL section 11, L5).
//!
//! The leader takes no new operations in these slots, waits until those under way are over, and
//! asks the other member to stand. What arrives meanwhile waits and goes to the new leader, so no
//! operation fails. If the other does not stand in time the leader goes on as before; one that stops
//! lets go, and the members find a leader among themselves.
//!
//! A node that stops and leads nothing any more bids its peers farewell: they take back what they
//! have asked of it and it has not answered, for it will carry out nothing of that. Each says farewell
//! in return, behind its last request, so that none is under way when the node is gone: of such a one
//! nobody would know whether it was carried out.

use super::{
    Ctx, Strong,
    candidate::{Campaign, Stage},
};
use crate::{
    node::peers::{Parting, Peers},
    probe::{Hook, Mutant, claims::must, planted, reached},
    proto::peer::Frame,
    record::{Ballot, NodeId},
    slot::SlotSet,
    time::{Instant, Millis},
};

/// A member gets slots back at most once in so many times the silence that makes it suspect.
const REST: u64 = 60;
/// The same, after it did not take them.
const PAUSE: u64 = 4;

/// Slots on their way to another leader.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Handover {
    to: NodeId,
    slots: SlotSet,
    /// Then we go on leading.
    until: Instant,
    /// The member was asked to stand.
    asked: bool,
}

/// Whether a slot is being handed over.
pub(super) fn any_has(handovers: &[Handover], slot: u32) -> bool {
    handovers.iter().any(|handover| handover.slots.contains(slot))
}

impl Strong {
    /// Whether a slot is being handed over.
    pub(super) fn is_leaving(&self, slot: u32) -> bool {
        any_has(&self.handovers, slot)
    }

    /// Gives a member the slots that it is to lead, if it was not given any lately.
    pub(super) fn hand_back(&mut self, ctx: &mut Ctx<'_>, to: NodeId, mut slots: SlotSet) {
        slots.intersect_with(self.led());
        let not_before = self.handed.get(&to).copied().unwrap_or_default();
        if slots.is_empty() || not_before > ctx.now.mono || self.stopping {
            return;
        }
        self.handed.insert(to, ctx.now.mono + Millis(self.timing.silence.0 * REST));
        self.hand_over(ctx, to, slots);
    }

    /// This node stops: others are to lead what it leads.
    pub(crate) fn leave(&mut self, ctx: &mut Ctx<'_>) {
        self.stopping = true;
        if planted(Mutant::StopsWithoutHandover) {
            return;
        }
        let mut slots = self.led().clone();
        for campaign in &self.campaigns {
            slots.subtract(&campaign.slots);
        }
        self.campaigns.clear();
        let voters: Vec<NodeId> =
            ctx.peers.iter().filter(|peer| peer.votes_in_reach()).map(|peer| peer.id).collect();
        for to in &voters {
            let mut theirs = slots.clone();
            for slot in slots.iter() {
                if self.terms.first_of(slot, &voters) != Some(*to) {
                    theirs.remove(slot);
                }
            }
            if !theirs.is_empty() {
                self.hand_over(ctx, *to, theirs);
            }
        }
        self.reschedule(ctx);
    }

    /// Whether nothing is led or under way any more that another member could take over, and nobody
    /// asks us for it.
    pub(crate) fn has_left(&self, peers: &Peers) -> bool {
        self.has_let_go() && (!self.led().is_empty() || peers.have_parted())
    }

    fn has_let_go(&self) -> bool {
        self.handovers.is_empty() && self.leader.is_idle()
    }

    /// Tells peers that we take no more requests, once all are answered that we took.
    pub(crate) fn part(&self, ctx: &mut Ctx<'_>) {
        if !self.stopping {
            return;
        }
        let done = self.has_let_go() && self.led().is_empty();
        if !(done || planted(Mutant::FarewellTooEarly)) {
            return;
        }
        for peer in ctx.peers.iter_mut() {
            if peer.inbound.is_some() && peer.parting == Parting::Not {
                if planted(Mutant::StopsWithoutFarewell) {
                    peer.parting = Parting::Done;
                    continue;
                }
                peer.parting = Parting::Told;
                peer.say(&Frame::Farewell);
            }
        }
    }

    /// A peer stops: what it was asked and has not answered it will not carry out.
    pub(crate) fn on_farewell(&mut self, ctx: &mut Ctx<'_>, from: NodeId) {
        reached(Hook::FarewellHeard);
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.leaving = true;
            peer.ask(&Frame::Farewell);
        }
        // It has carried out none of them, nor what is behind them.
        for (request, _) in self.forwards.take_all_of(from) {
            self.place(ctx, request);
        }
    }

    /// Asks members to stand once nothing is under way in their slots; gives up those who don't.
    pub(super) fn run_handovers(&mut self, ctx: &mut Ctx<'_>) {
        if self.handovers.is_empty() {
            return;
        }
        let now = ctx.now.mono;
        let soon = now + Millis(self.timing.silence.0 * PAUSE);
        let late = self.handovers.extract_if(.., |handover| handover.until <= now);
        let late: Vec<Handover> = late.collect();
        if !late.is_empty() {
            reached(Hook::TransferFailed);
            late.into_iter().for_each(|late| self.give_up_handover(ctx, late, soon));
            self.try_parked(ctx);
        }
        for handover in self.handovers.iter_mut().filter(|handover| !handover.asked) {
            if self.leader.is_busy(&handover.slots) {
                continue;
            }
            handover.asked = true;
            let ballots = handover.slots.iter().map(|slot| self.acceptor.promised(slot));
            let ballot = ballots.max().unwrap_or(Ballot::NONE);
            let mut slots = Vec::new();
            handover.slots.to_bytes(&mut slots);
            reached(Hook::TransferSent);
            if let Some(peer) = ctx.peers.get_mut(handover.to) {
                peer.ask(&Frame::Transfer { ballot, slots: &slots });
            }
        }
    }

    fn give_up_handover(&mut self, ctx: &mut Ctx<'_>, late: Handover, not_before: Instant) {
        if !self.stopping {
            self.handed.insert(late.to, not_before);
        } else if self.leader.is_busy(&late.slots) {
            let until = ctx.now.mono + self.timing.silence;
            self.handovers.push(Handover { until, ..late });
        } else {
            self.step_down(ctx, &late.slots);
        }
    }

    /// When a handover is given up.
    pub(super) fn next_handover(&self) -> Option<Instant> {
        self.handovers.iter().map(|handover| handover.until).min()
    }

    /// These slots are led no more.
    pub(super) fn on_handed_over(&mut self, slots: &SlotSet) {
        for handover in &mut self.handovers {
            handover.slots.subtract(slots);
        }
        self.handovers.retain(|handover| !handover.slots.is_empty());
    }

    /// A leader asks us to stand for slots that it leads.
    pub(super) fn on_transfer(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, slots: SlotSet) {
        if !self.votes() || self.stopping {
            return;
        }
        let asked = slots.clone();
        self.stand_as_asked(ctx, ballot, slots);
        must(
            || self.stands_or_leads(asked),
            "who is asked to stand for a slot stands, or leads it",
        );
    }

    fn stands_or_leads(&self, mut slots: SlotSet) -> bool {
        slots.subtract(self.leader.led());
        let standing = self.campaigns.iter().filter(|campaign| campaign.stage != Stage::Canvassing);
        standing.for_each(|campaign| slots.subtract(&campaign.slots));
        slots.is_empty()
    }

    fn stand_as_asked(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, mut slots: SlotSet) {
        for campaign in &mut self.campaigns {
            // Where we only ask who would vote for us there is an answer now.
            if campaign.stage == Stage::Canvassing && !planted(Mutant::CanvassIgnoresTransfer) {
                campaign.slots.subtract(&slots);
            }
            slots.subtract(&campaign.slots);
        }
        self.campaigns.retain(|campaign| !campaign.slots.is_empty());
        slots.subtract(self.leader.led());
        if slots.is_empty() {
            return;
        }
        self.highest = self.highest.max(ballot);
        self.last_campaign += 1;
        let id = self.last_campaign;
        let until = ctx.now.mono + Millis(self.timing.silence.0);
        self.campaigns.push(Campaign::new(id, self.me, slots.clone(), until));
        self.stand(ctx, id, slots);
    }

    fn hand_over(&mut self, ctx: &mut Ctx<'_>, to: NodeId, slots: SlotSet) {
        tracing::info!(%to, slots = slots.len(), "handing slots over");
        let until = ctx.now.mono + Millis(self.timing.silence.0);
        self.handovers.push(Handover { to, slots, until, asked: false });
        self.run_handovers(ctx);
    }
}
