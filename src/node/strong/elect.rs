//! Elections: when this node stands for slots, and what it does with the answers (PROTOCOL sections
//! 4 and 11).
//!
//! Before a candidate asks for promises it asks who would give them. So a node that can't hear a
//! healthy leader, while others can, disturbs nobody. Safety never rests on that: a promise is
//! given to whoever asks.

use super::{
    Ctx, Strong,
    candidate::{Campaign, Next, Stage},
    counts, terms,
};
use crate::{
    log::Batch,
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId, Record},
    slot::SlotSet,
    time::Millis,
};

/// Writes in flight beyond which no keys are settled that nobody has asked for.
const SETTLING_MAX: usize = 1024;
/// Keys settled a turn.
const SETTLED_PER_TURN: usize = 128;
/// After so many lost campaigns the time between them grows no more.
const ATTEMPTS_MAX: u32 = 6;
/// Bytes of keys asked for in one message.
const FETCH_SIZE: usize = 64 * 1024;

/// The promises of one member, as it sent them.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Promises<'a> {
    pub(crate) id: u64,
    pub(crate) ballot: Ballot,
    pub(crate) highest: Ballot,
    pub(crate) granted: &'a [u8],
    pub(crate) copied: &'a [u8],
    /// Of each granted slot, in order.
    pub(crate) digests: &'a [u8],
}

impl Strong {
    /// A member would promise these slots.
    pub(crate) fn on_backing(&mut self, ctx: &mut Ctx<'_>, from: NodeId, id: u64, slots: SlotSet) {
        let voters = ctx.peers.voters() + 1;
        let quorum = self.quorum;
        let Some(campaign) = self.campaign(id) else { return };
        if campaign.stage != Stage::Canvassing {
            return;
        }
        campaign.on_backing(from, slots);
        let backed = campaign.backed(quorum);
        if backed == campaign.slots || campaign.canvassed() >= voters {
            self.stand_if_vacant(ctx, id, backed);
        }
    }

    /// A member has promised some of the slots that it was asked for, or none.
    pub(crate) fn on_promises(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        promises: Promises<'_>,
    ) -> Option<()> {
        let Promises { id, ballot, highest, granted, copied, digests } = promises;
        let granted = SlotSet::from_bytes(self.slots, granted)?;
        let copied = SlotSet::from_bytes(self.slots, copied)?;
        let (digests, []) = digests.as_chunks::<16>() else { return None };
        self.highest = self.highest.max(highest);
        let (quorum, reached) = (self.quorum, ctx.peers.voters() + 1);
        let Some(campaign) = self.campaign(id).filter(|campaign| campaign.ballot == ballot) else {
            return Some(());
        };
        let mut wanted = campaign.slots.clone();
        wanted.intersect_with(&granted);
        let lost = campaign.on_refused(from, &granted, quorum, reached);
        let mut pulls = Vec::new();
        for (slot, digest) in granted.iter().zip(digests) {
            if !wanted.contains(slot) {
                continue;
            }
            let ours = ctx.replica.store.digest(Db::STRONG, slot, 1);
            let same = ours == u128::from_le_bytes(*digest) || planted(Mutant::PromisesIgnored);
            if campaign.on_promise(slot, from, copied.contains(slot), same, quorum) {
                pulls.push(slot);
            }
        }
        if let Some(to) = ctx.peers.get_mut(from) {
            let pull = |slot: u32| Frame::Pull { ballot, slot, cursor: (0, 0) };
            pulls.into_iter().for_each(|slot| to.ask(&pull(slot)));
        }
        wanted.iter().for_each(|slot| self.advance(ctx, ballot, slot));
        if !lost.is_empty() {
            lost.iter().for_each(|slot| self.lose(slot));
            self.stand_back(ctx, &lost);
        }
        self.end_campaigns(ctx);
        Some(())
    }

    /// Part of what a member that promised has in a slot. `next` is where the rest begins.
    pub(crate) fn on_versions(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        place: (Ballot, u32),
        next: Option<(u64, u64)>,
        entries: &[u8],
    ) -> Option<()> {
        let (ballot, slot) = place;
        let entries: Vec<_> = peer::offers(entries).collect::<Option<_>>()?;
        let until = ctx.now.mono + self.patience();
        let stands = |c: &&mut Campaign| c.ballot == ballot && c.slots.contains(slot);
        let Some(campaign) = self.campaigns.iter_mut().find(stands) else {
            self.on_listed(ctx, from, place, next, entries);
            return Some(());
        };
        // A long list takes its time; who goes on with it is there.
        campaign.until = until.max(campaign.until);
        campaign.on_versions(slot, from, entries.into_iter(), next.is_none());
        if let (Some(cursor), Some(to)) = (next, ctx.peers.get_mut(from)) {
            to.ask(&Frame::Pull { ballot, slot, cursor });
        }
        self.advance(ctx, ballot, slot);
        self.end_campaigns(ctx);
        Some(())
    }

    /// Records that a candidate asked for.
    pub(crate) fn on_records(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        place: (Ballot, u32),
        records: &[u8],
    ) -> Option<()> {
        let (ballot, slot) = place;
        let until = ctx.now.mono + self.patience();
        let campaign = self.campaigns.iter_mut().find(|campaign| campaign.ballot == ballot);
        let Some(campaign) = campaign else { return Some(()) };
        campaign.until = until.max(campaign.until);
        for bytes in peer::records(records) {
            let bytes = bytes?;
            let record = Record::decode(bytes).ok()?;
            campaign.on_record(slot, from, &record, bytes);
        }
        self.advance(ctx, ballot, slot);
        self.end_campaigns(ctx);
        Some(())
    }

    /// A member has promised more than `ballot` in a slot.
    pub(crate) fn on_nack(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        slot: u32,
        (ballot, promised): (Ballot, Ballot),
    ) {
        self.on_listing_lost(ctx, from, slot);
        self.highest = self.highest.max(promised);
        if self.acceptor.promised(slot) != ballot || promised <= ballot {
            return;
        }
        // Somebody else is about to lead it, and may be slow to say so.
        let until = self.candidate_until(ctx);
        self.terms.hold_off([slot], until);
        self.lengthen();
        let slot_only = self.only(slot);
        self.step_down(ctx, &slot_only);
        self.lose(slot);
        self.end_campaigns(ctx);
        self.reschedule(ctx);
    }

    /// Our log has a batch: promises to ourselves that were in it count.
    pub(super) fn on_promised(&mut self, ctx: &mut Ctx<'_>, durable: Batch) {
        let me = self.me;
        let ready = self.campaigns.iter().filter(|campaign| match campaign.stage {
            Stage::Promising(batch) => batch <= durable,
            Stage::Canvassing | Stage::Preparing => false,
        });
        let ready: Vec<u64> = ready.map(|campaign| campaign.id).collect();
        for id in ready {
            let quorum = self.quorum;
            let copied = self.acceptor.copied().clone();
            let Some(campaign) = self.campaign(id) else { continue };
            campaign.stage = Stage::Preparing;
            let (ballot, slots) = (campaign.ballot, campaign.slots.clone());
            for slot in slots.iter() {
                campaign.on_promise(slot, me, copied.contains(slot), true, quorum);
            }
            let mut bytes = Vec::new();
            slots.to_bytes(&mut bytes);
            let prepare = Frame::Prepare { id, ballot, slots: &bytes };
            ctx.peers.iter_mut().for_each(|to| to.ask(&prepare));
            reached(Hook::PrepareSent);
            slots.iter().for_each(|slot| self.advance(ctx, ballot, slot));
        }
        self.end_campaigns(ctx);
    }

    /// Stands where it is time to, and gives up what took too long.
    pub(super) fn run_campaigns(&mut self, ctx: &mut Ctx<'_>) {
        let (now, quorum) = (ctx.now.mono, self.quorum);
        let late = self.campaigns.iter().filter(|campaign| campaign.until <= now);
        let late: Vec<u64> = late.map(|campaign| campaign.id).collect();
        for id in late {
            let Some(campaign) = self.campaign(id) else { continue };
            let backed = campaign.backed(quorum);
            let canvassed = campaign.stage == Stage::Canvassing && !backed.is_empty();
            if canvassed {
                self.stand_if_vacant(ctx, id, backed);
            } else {
                reached(Hook::CampaignLost);
                self.give_up(ctx, id);
            }
        }
        let due = self.terms.due_at().is_some_and(|due| due <= now);
        if due && self.may_stand() {
            self.canvass(ctx);
        }
    }

    /// Whether it makes sense to ask for votes. Without a majority in reach it would end in waiting
    /// longer and longer, also after there is one.
    pub(super) const fn may_stand(&self) -> bool {
        self.votes() && !self.stopping && self.alone_since.is_none()
    }

    /// Asks who would promise the slots for which it is time.
    fn canvass(&mut self, ctx: &mut Ctx<'_>) {
        let campaigns = &self.campaigns;
        let busy = |slot| campaigns.iter().any(|campaign| campaign.slots.contains(slot));
        let connected = |node| counts(ctx.peers, node);
        let slots = self.terms.take_due(ctx.now.mono, self.jitter, busy, connected);
        if slots.is_empty() {
            return self.reschedule(ctx);
        }
        if self.calm_at.take_if(|at| *at <= ctx.now.mono).is_some() {
            self.attempts = 0;
        }
        self.last_campaign += 1;
        let id = self.last_campaign;
        let until = ctx.now.mono + self.patience();
        let mut bytes = Vec::new();
        slots.to_bytes(&mut bytes);
        self.campaigns.push(Campaign::new(id, self.me, slots.clone(), until));
        ctx.peers.iter_mut().for_each(|to| to.ask(&Frame::Canvass { id, slots: &bytes }));
        reached(Hook::Canvassed);
        if self.quorum == 1 {
            self.stand(ctx, id, slots);
        }
        self.reschedule(ctx);
    }

    /// Stands for those of the slots that nobody has won meanwhile.
    fn stand_if_vacant(&mut self, ctx: &mut Ctx<'_>, id: u64, mut slots: SlotSet) {
        let Some(at) = self.campaigns.iter().position(|campaign| campaign.id == id) else { return };
        let mut denied = self.campaigns[at].slots.clone();
        denied.subtract(&slots);
        slots.intersect_with(self.terms.vacant());
        if slots.is_empty() {
            self.campaigns.swap_remove(at);
        }
        if !denied.is_empty() {
            self.canvass_later(ctx, &denied);
        }
        if !slots.is_empty() {
            self.stand(ctx, id, slots);
        }
        self.reschedule(ctx);
    }

    /// Members still hear the leader of these slots. They may be about to notice that it is gone, as
    /// we did, so the first time they are asked again soon.
    fn canvass_later(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet) {
        reached(Hook::CanvassDenied);
        let step = terms::STEP.0 << self.attempts;
        self.lengthen();
        let wait = step / 2 + ctx.rng.below(step);
        self.terms.hold_off(slots.iter(), ctx.now.mono + Millis(wait));
    }

    /// Asks for promises, once our own is durable.
    pub(super) fn stand(&mut self, ctx: &mut Ctx<'_>, id: u64, slots: SlotSet) {
        let until = ctx.now.mono + self.patience();
        let promised = slots.iter().map(|slot| self.acceptor.promised(slot));
        let highest = promised.max().unwrap_or_default().max(self.highest);
        if highest.counter() >= Ballot::COUNTER_MAX {
            return self.give_up(ctx, id);
        }
        let ballot = Ballot::new(highest.counter() + 1, self.me);
        self.highest = ballot;
        self.acceptor.prepare(ballot, &slots);
        if !planted(Mutant::PromiseNotDurable) {
            ctx.replica.journal.promise(ballot, &slots);
        }
        // Other campaigns of ours are not for these slots, and we lead none of them.
        let batch = ctx.replica.journal.wait_for_all().unwrap_or_default();
        let Some(campaign) = self.campaign(id) else { return };
        campaign.stand(slots, ballot, batch);
        // A leader that hands over waits longer than a lost one's slots may.
        campaign.until = until.max(campaign.until);
        if ctx.replica.journal.is_durable(batch) {
            self.on_promised(ctx, batch);
        }
    }

    /// Goes on with a slot as far as is known.
    fn advance(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, slot: u32) {
        let (quorum, patience) = (self.quorum, self.patience());
        let campaign = self.campaigns.iter_mut().find(|campaign| campaign.ballot == ballot);
        let Some(campaign) = campaign.filter(|campaign| campaign.slots.contains(slot)) else {
            return;
        };
        match campaign.next(slot, quorum, &ctx.replica.store) {
            Next::Wait => {}
            Next::Fetch(wanted) => {
                for (from, keys) in wanted {
                    if let Some(to) = ctx.peers.get_mut(from) {
                        fetch(to, ballot, slot, &keys);
                    }
                }
            }
            Next::Won(unsettled) => {
                campaign.lose(slot);
                assert_eq!(
                    self.acceptor.promised(slot),
                    ballot,
                    "a raised promise ends a campaign"
                );
                self.leader.win(slot, unsettled);
                self.upkeep.on_won(slot);
                campaign.until = ctx.now.mono + patience;
                self.terms.gain(ctx.now.mono, self.me, ballot, slot);
                (self.lead_changed, self.won) = (true, true);
            }
        }
    }

    /// Forgets campaigns that have nothing left to win. It is called for every message, so it costs
    /// nothing that grows with the number of slots unless a campaign is over.
    fn end_campaigns(&mut self, ctx: &mut Ctx<'_>) {
        let before = self.campaigns.len();
        self.campaigns.retain(|campaign| !campaign.slots.is_empty());
        if std::mem::take(&mut self.won) {
            reached(Hook::Elected);
            self.calm_at = Some(ctx.now.mono + self.timing.silence);
            self.upkeep.hurry(ctx.now.mono + self.timing.heartbeat);
            self.try_parked(ctx);
        }
        if self.campaigns.len() < before {
            tracing::info!(slots = self.led().len(), "leading");
            self.reschedule(ctx);
        }
    }

    /// Gives up a campaign; after some time there may be another.
    fn give_up(&mut self, ctx: &mut Ctx<'_>, id: u64) {
        let Some(at) = self.campaigns.iter().position(|campaign| campaign.id == id) else { return };
        let campaign = self.campaigns.swap_remove(at);
        self.stand_back(ctx, &campaign.slots);
    }

    /// Stands for these slots again after some time, which grows with each time.
    fn stand_back(&mut self, ctx: &mut Ctx<'_>, slots: &SlotSet) {
        self.lengthen();
        let wait = ctx.rng.below(self.patience().0);
        self.terms.hold_off(slots.iter(), ctx.now.mono + Millis(wait));
        self.jitter = Millis(ctx.rng.below(terms::STEP.0));
        self.reschedule(ctx);
    }

    /// A slot can't be won any more.
    pub(super) fn lose(&mut self, slot: u32) {
        self.campaigns.iter_mut().for_each(|campaign| campaign.lose(slot));
    }

    /// A campaign was in vain, or what it won is lost already: the next may take longer.
    pub(super) fn lengthen(&mut self) {
        self.attempts = (self.attempts + 1).min(ATTEMPTS_MAX);
        self.calm_at = None;
    }

    /// How long a campaign may take: longer after each that was lost.
    pub(super) fn patience(&self) -> Millis {
        Millis((self.timing.silence.0 / 5).max(1) << self.attempts)
    }

    pub(super) fn reschedule(&mut self, ctx: &Ctx<'_>) {
        let campaigns = &self.campaigns;
        let busy = |slot| campaigns.iter().any(|campaign| campaign.slots.contains(slot));
        self.terms.reschedule(self.jitter, busy, |node| counts(ctx.peers, node));
    }

    fn campaign(&mut self, id: u64) -> Option<&mut Campaign> {
        self.campaigns.iter_mut().find(|campaign| campaign.id == id)
    }

    /// Whether keys may be settled that nobody has asked for.
    pub(super) fn has_room(&self) -> bool {
        self.leader.pending() < SETTLING_MAX
    }

    /// Settles some of the keys that are not.
    pub(super) fn settle_some(&mut self, ctx: &mut Ctx<'_>) {
        for _ in 0..SETTLED_PER_TURN {
            if !self.has_room() {
                return;
            }
            let Some((slot, key)) = self.leader.next_unsettled() else { return };
            let key: Box<[u8]> = key.into();
            let ballot = self.acceptor.promised(slot);
            self.leader.settle(ctx, ballot, slot, &key);
        }
    }
}

/// Asks a member for records of a slot, in messages of bounded size.
pub(super) fn fetch(
    to: &mut crate::node::peers::Peer,
    ballot: Ballot,
    slot: u32,
    keys: &[Box<[u8]>],
) {
    let mut list = Vec::new();
    for key in keys {
        peer::push_key(&mut list, key);
        if list.len() >= FETCH_SIZE {
            to.ask(&Frame::Fetch { ballot, slot, keys: &std::mem::take(&mut list) });
        }
    }
    if !list.is_empty() {
        to.ask(&Frame::Fetch { ballot, slot, keys: &list });
    }
}
