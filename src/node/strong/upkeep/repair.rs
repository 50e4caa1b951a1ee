//! How a leader brings a member to what it holds, slot by slot: it asks which versions the member
//! has, sends what it lacks, and stamps anew where the member has leftovers.

use std::collections::{BTreeMap, VecDeque};

use super::{has_room, push_drop, spared};
use crate::{
    node::strong::{Ctx, Strong},
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{DROP_OVERHEAD, FILL_OVERHEAD, Frame},
    record::{Ballot, Db, NodeId, Version},
    slot::Slot,
    store::PageCursor,
};

/// The slots in which one member differs, one at a time.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Repair {
    pub(super) slots: VecDeque<u32>,
    /// The one that is being listed, and what the member has in it.
    at: Option<(u32, Ballot)>,
    listed: BTreeMap<Box<[u8]>, Version>,
}

impl Repair {
    /// Whether the member is to say what it has in a slot.
    pub(super) const fn is_under_way(&self) -> bool {
        self.at.is_some()
    }
}

impl Strong {
    /// Lists the next slot in which a member differs.
    pub(super) fn repair_next(&mut self, ctx: &mut Ctx<'_>, member: NodeId) {
        let Some(to) = ctx.peers.get_mut(member) else { return };
        let Some(repair) = self.upkeep.repairs.get_mut(&member) else { return };
        // What does not fit now is found by the next survey.
        if !to.outbox.has_room(0) {
            repair.slots.clear();
        }
        if repair.at.is_some() {
            return;
        }
        repair.listed.clear();
        while let Some(slot) = repair.slots.pop_front() {
            if self.leader.led().contains(slot) {
                let ballot = self.acceptor.promised(slot);
                repair.at = Some((slot, ballot));
                return to.ask(&Frame::Pull { ballot, slot, cursor: (0, 0) });
            }
        }
    }

    /// Part of what a member has in a slot that we lead.
    pub(crate) fn on_listed(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        place: (Ballot, u32),
        next: Option<(u64, u64)>,
        entries: Vec<(Version, &[u8])>,
    ) {
        let (ballot, slot) = place;
        let Some(repair) = self.upkeep.repairs.get_mut(&from) else { return };
        if repair.at != Some((slot, ballot)) {
            return;
        }
        repair.listed.extend(entries.into_iter().map(|(version, key)| (key.into(), version)));
        if let Some(cursor) = next {
            if let Some(to) = ctx.peers.get_mut(from) {
                to.ask(&Frame::Pull { ballot, slot, cursor });
            }
            return;
        }
        repair.at = None;
        let listed = std::mem::take(&mut repair.listed);
        if self.led().contains(slot) && self.acceptor.promised(slot) == ballot {
            self.repair_slot(ctx, from, (ballot, slot), &listed);
        }
        self.repair_next(ctx, from);
    }

    /// A member's listing was refused, or can't come any more.
    pub(crate) fn on_listing_lost(&mut self, ctx: &mut Ctx<'_>, from: NodeId, slot: u32) {
        if let Some(repair) = self.upkeep.repairs.get_mut(&from)
            && repair.at.is_some_and(|(at, _)| at == slot)
        {
            repair.at = None;
            self.repair_next(ctx, from);
        }
    }

    /// Sends a member what it lacks of a slot, and stamps anew where it has leftovers.
    fn repair_slot(
        &mut self,
        ctx: &mut Ctx<'_>,
        member: NodeId,
        (ballot, slot): (Ballot, u32),
        listed: &BTreeMap<Box<[u8]>, Version>,
    ) {
        let mut lacking: Vec<Box<[u8]>> = Vec::new();
        ctx.replica.store.page(Db::STRONG, Slot(slot), PageCursor::default(), |record| {
            let theirs = listed.get(record.key).copied().unwrap_or(Version::NONE);
            if theirs < record.version && !planted(Mutant::LeaderRepairsNothing) {
                lacking.push(record.key.into());
            }
            true
        });
        for key in lacking {
            if !self.send_again(ctx, member, (ballot, slot), &key) {
                reached(Hook::RepairPaused);
                self.survey_soon(ctx.now.mono);
                break;
            }
        }
        for (key, theirs) in listed {
            let held = ctx.replica.store.get(Db::STRONG, key);
            let ours = held.map_or(Version::NONE, |record| record.version);
            if *theirs <= ours {
                continue;
            }
            if theirs.ballot() == ballot {
                // We dropped it, and the member missed that.
                if let Some(peer) = ctx.peers.get_mut(member)
                    && has_room(peer, DROP_OVERHEAD + key.len())
                {
                    push_drop(peer, key, *theirs);
                    spared(peer);
                }
            } else if self.has_room() {
                reached(Hook::LeftoverOverwritten);
                self.leader.settle(ctx, ballot, slot, key);
            }
        }
    }

    /// Sends a member our record of a key. False if its stream has no room now.
    fn send_again(
        &mut self,
        ctx: &mut Ctx<'_>,
        member: NodeId,
        (ballot, slot): (Ballot, u32),
        key: &[u8],
    ) -> bool {
        if self.leader.is_key_unsettled(slot, key) {
            // Not known to be chosen: stamped anew it goes to all.
            if self.has_room() {
                self.leader.settle(ctx, ballot, slot, key);
            }
            return true;
        }
        let Some(record) = ctx.replica.store.encoded(Db::STRONG, key) else { return true };
        let version = ctx.replica.store.get(Db::STRONG, key).map(|record| record.version);
        let Some(peer) = ctx.peers.get_mut(member) else { return true };
        if !self.leader.send_batches(peer) || !has_room(peer, FILL_OVERHEAD + record.len()) {
            return false;
        }
        if version.is_some_and(|version| version.ballot() == ballot) {
            peer.outbox.push_record(record);
        } else {
            reached(Hook::Filled);
            let size = FILL_OVERHEAD + record.len();
            peer.outbox.push(size, |pos| Frame::Fill { pos, ballot, record });
        }
        spared(peer);
        true
    }
}
