//! Upkeep: a leader brings all members to what it holds, and forgets what nobody needs (PROTOCOL
//! sections 4, 7 and 8).
//!
//! Now and then a leader puts a survey into all streams: the digests of the slots it leads, as they
//! are at that point of the stream. A member that took all before answers which of them are the
//! same. Where one is not, the leader asks which versions the member has, and sends what it lacks;
//! over a record of an older ballot that the leader does not have it stamps its own state anew.
//! Where a slot is the same at *all* members, each holds the slot's tombstones and nothing older,
//! so they can be dropped; and nothing in it counts as a mere copy any longer.
//!
//! Only the leader repairs: a copy that nobody ordered could undo what was written (CE-AEDROP).

use std::collections::{BTreeMap, VecDeque};

use self::repair::Repair;
use super::{Ctx, Strong};
use crate::{
    log::Batch,
    node::{inbound::Hangup, peers::Peer, votes::Votes},
    probe::{
        Hook, Mutant,
        claims::{must, surveyed, taken_out},
        planted, reached,
    },
    proto::peer::{DROP_OVERHEAD, Frame, SLOT_CLEAN_SIZE, SURVEY_OVERHEAD},
    record::{Ballot, Db, NodeId, Version},
    slot::{Slot, SlotSet},
    store::PageCursor,
    time::{Instant, Millis},
};

mod repair;

/// Surveys come so much more often than repair in general while there is something to drop.
const HURRY: u64 = 10;
/// How often the silence that ends a link answers are waited for: disks are slower than links.
const ANSWER_SILENCES: u64 = 4;
/// Slots whose tables are searched a turn for tombstones of earlier ballots.
const SEARCHED_PER_TURN: usize = 64;
/// Tombstones of one slot that are remembered; the others are found by a later search.
const GRAVES_MAX: usize = 4096;

/// Tombstones that are dropped at once: a fraction of a millisecond of work.
const DROPPED_AT_ONCE: usize = 256;

/// What a leader knows of how far its members are.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Upkeep {
    /// When the next survey is due.
    next_at: Option<Instant>,
    round: Option<Round>,
    /// Of the last message of the last survey.
    last_id: u64,
    /// The first slot of the next one.
    begin: u32,
    /// Tombstones of our own ballots, by slot: the number of the stamp.
    graves: BTreeMap<u32, BTreeMap<Box<[u8]>, Version>>,
    /// Slots whose tombstones all members hold, if they were stamped under the ballot up to that
    /// number. What all hold they do not lose again, so these may be dropped later.
    drops: VecDeque<(u32, Ballot, u64)>,
    /// Slots to be searched for tombstones of earlier ballots.
    searches: VecDeque<u32>,
    /// By peer: slots in which it differs.
    repairs: BTreeMap<NodeId, Repair>,
    /// By peer: slots that are the same there and that it is to lead.
    back: BTreeMap<NodeId, SlotSet>,
}

/// A survey under way.
#[derive(Clone, Debug, Hash)]
struct Round {
    /// Of its first message; they count up.
    first_id: u64,
    /// The slots of each message.
    messages: Vec<SlotSet>,
    /// Who has the same, of each slot.
    same: BTreeMap<u32, Votes>,
    /// The last stamp before it.
    seq: u64,
    /// What must be durable here before our own copy counts.
    own: Option<Batch>,
    /// By member that has not answered all of it: the last message that it was sent. Another survey
    /// before that would make its answers void.
    waiting: BTreeMap<NodeId, u64>,
    /// There is another one then in any case.
    until: Instant,
}

impl Upkeep {
    /// A tombstone was stamped under our ballot.
    pub(crate) fn on_tombstone(&mut self, slot: u32, key: &[u8], version: Version) {
        let graves = self.graves.entry(slot).or_default();
        if graves.len() < GRAVES_MAX {
            graves.insert(key.into(), version);
        } else if !self.searches.contains(&slot) {
            self.searches.push_back(slot);
        }
    }

    /// A slot was won: it may have tombstones of earlier leaders.
    pub(crate) fn on_won(&mut self, slot: u32) {
        self.searches.push_back(slot);
    }

    /// These slots are led no more.
    pub(crate) fn on_lost(&mut self, slots: &SlotSet) {
        self.graves.retain(|slot, _| !slots.contains(*slot));
        self.searches.retain(|slot| !slots.contains(*slot));
        self.drops.retain(|(slot, ..)| !slots.contains(*slot));
        if let Some(round) = &mut self.round {
            round.same.retain(|slot, _| !slots.contains(*slot));
        }
    }

    /// A member may differ: it began a new session, or a new leader has not asked it yet.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next_at = Some(self.next_at.map_or(now, |at| at.min(now)));
    }

    /// A member's link is gone: what it was asked it will not answer.
    pub(crate) fn on_peer_lost(&mut self, peer: NodeId) {
        self.repairs.remove(&peer);
        self.back.remove(&peer);
        self.on_answered(peer);
    }

    /// A member has answered the survey under way, or will not.
    fn on_answered(&mut self, peer: NodeId) {
        if let Some(round) = &mut self.round {
            round.waiting.remove(&peer);
        }
    }

    /// Until when answers to the survey under way are waited for, and what members are asked for
    /// because of them: another survey may leave no room for what they lack.
    fn waits_until(&self) -> Option<Instant> {
        let round = self.round.as_ref()?;
        let asked = !round.waiting.is_empty() && !planted(Mutant::SurveysNotWaitedFor);
        let repairs = self.repairs.values().any(Repair::is_under_way);
        let repairs = repairs && !planted(Mutant::RepairsNotWaitedFor);
        (asked || repairs).then_some(round.until)
    }

    /// Whether members are being brought what they lack, and have time left for that.
    fn is_repairing(&self, now: Instant) -> bool {
        let in_time = self.round.as_ref().is_some_and(|round| now < round.until);
        in_time && self.repairs.values().any(Repair::is_under_way)
    }

    /// A member may have forgotten what it said it holds.
    pub(crate) fn on_reborn(&mut self) {
        self.round = None;
        self.drops.clear();
    }

    /// When there is something to do.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let survey = self.next_at.map(|at| self.waits_until().map_or(at, |until| at.max(until)));
        let at_once = !self.searches.is_empty() || !self.drops.is_empty();
        if at_once { Some(Instant::ZERO) } else { survey }
    }
}

impl Strong {
    /// Surveys when it is time, and searches a few slots.
    pub(super) fn keep_up(&mut self, ctx: &mut Ctx<'_>) {
        self.search_some(ctx);
        self.drop_some(ctx);
        let now = ctx.now.mono;
        let waits = self.upkeep.waits_until().is_some_and(|until| until > now);
        if waits || self.upkeep.next_at.is_none_or(|at| at > now) {
            return;
        }
        if self.led().is_empty() {
            self.upkeep.next_at = None;
            return;
        }
        let pause =
            if self.upkeep.graves.is_empty() { self.timing.repair } else { self.hurry_pause() };
        self.upkeep.next_at = Some(now + pause);
        self.survey(ctx);
    }

    /// A stream had no room: another survey goes on with what is left, before its turn.
    fn survey_soon(&mut self, now: Instant) {
        self.upkeep.hurry(now + self.hurry_pause().min(self.timing.silence));
    }

    /// How soon a survey follows another one that left something to drop.
    fn hurry_pause(&self) -> Millis {
        Millis((self.timing.repair.0 / HURRY).max(1))
    }

    /// Puts the digests of all slots we lead into all streams.
    fn survey(&mut self, ctx: &mut Ctx<'_>) {
        must(
            || !self.upkeep.is_repairing(ctx.now.mono),
            "no survey takes the room that what members lack needs",
        );
        let (first_id, span) = (self.upkeep.last_id + 1, self.limits.repair_span as usize);
        let mut led: Vec<u32> = self.led().iter().collect();
        // Where a stream has no room for all of it, the next one begins with what was left out.
        let begin = if planted(Mutant::SurveysBeginAlike) { 0 } else { self.upkeep.begin };
        let at = led.iter().position(|slot| *slot >= begin).unwrap_or(0);
        led.rotate_left(at);
        let (mut messages, mut waiting, mut full) = (Vec::new(), BTreeMap::new(), None);
        for slots in led.chunks(span.max(1)) {
            let id = first_id + messages.len() as u64;
            self.upkeep.last_id = id;
            let mut set = SlotSet::new(self.slots);
            slots.iter().for_each(|slot| {
                set.insert(*slot);
            });
            // In the order of the set, which is the one that members read them in.
            let mut digests = Vec::new();
            for slot in set.iter() {
                let digest = ctx.replica.store.digest(Db::STRONG, slot, 1);
                digests.extend_from_slice(&digest.to_le_bytes());
            }
            let mut bytes = Vec::new();
            set.to_bytes(&mut bytes);
            let size = SURVEY_OVERHEAD + bytes.len() + digests.len();
            let asked = ctx.peers.iter_mut().filter(|peer| peer.votes_in_reach());
            for peer in asked {
                if !peer.outbox.has_room(size) {
                    full = full.or_else(|| slots.first().copied());
                    continue;
                }
                let (slots, digests) = (&bytes[..], &digests[..]);
                peer.outbox.push(size, |pos| Frame::Survey { pos, id, slots, digests });
                waiting.insert(peer.id, id);
            }
            messages.push(set);
        }
        reached(Hook::Surveyed);
        surveyed(&led, full);
        let mut own = Votes::default();
        own.add(self.me);
        let same = led.into_iter().map(|slot| (slot, own)).collect();
        let seq = self.leader.seq();
        self.upkeep.back.clear();
        let until = ctx.now.mono + Millis(ANSWER_SILENCES * self.timing.silence.0);
        let own = ctx.replica.journal.wait_for_all();
        self.upkeep.round = Some(Round { first_id, messages, same, seq, own, waiting, until });
        if let Some(slot) = full {
            self.upkeep.begin = slot;
            self.survey_soon(ctx.now.mono);
        }
        self.finish_slots(ctx);
    }

    /// A leader's survey, in its stream: what of it is the same here.
    pub(crate) fn on_survey(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        slots: &[u8],
        digests: &[u8],
    ) -> Result<(), Hangup> {
        let slots = &self.set(slots)?;
        if !self.votes() {
            return Ok(());
        }
        let mut alike = slots.clone();
        let (digests, _) = digests.as_chunks::<16>();
        for (slot, digest) in slots.iter().zip(digests) {
            let ours = ctx.replica.store.digest(Db::STRONG, slot, 1);
            if ours != u128::from_le_bytes(*digest) {
                alike.remove(slot);
            }
        }
        let mut copies = self.acceptor.copied().clone();
        copies.intersect_with(slots);
        let (mut same, mut copied) = (Vec::new(), Vec::new());
        alike.to_bytes(&mut same);
        copies.to_bytes(&mut copied);
        let wait = ctx.replica.journal.wait_for_all();
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.owe(wait, &Frame::Surveyed { id, same: &same, copied: &copied });
        }
        Ok(())
    }

    /// A member says what of our survey is the same there.
    pub(super) fn on_surveyed(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        same: &SlotSet,
        copied: &SlotSet,
    ) {
        let Some(round) = self.upkeep.round.as_mut() else { return };
        let index = id.checked_sub(round.first_id).map(|index| index as usize);
        let Some(asked) = index.and_then(|index| round.messages.get(index)).cloned() else {
            return;
        };
        let mut whole = same.clone();
        whole.intersect_with(&asked);
        whole.subtract(copied);
        // Messages are answered in their order.
        let (seq, last) = (round.seq, round.waiting.get(&from) == Some(&id));
        let mut differ = Vec::new();
        for slot in asked.iter() {
            let Some(votes) = round.same.get_mut(&slot) else { continue };
            if same.contains(slot) {
                votes.add(from);
            } else {
                differ.push(slot);
            }
        }
        self.leader.on_held(from, &whole, seq);
        let voted = || self.leader.has_voted(from, &whole, seq);
        must(voted, "who holds what we hold has voted for all that is under way of it");
        for slot in copied.iter().filter(|slot| same.contains(*slot)) {
            self.clean_copy(ctx, from, slot);
        }
        let repair = self.upkeep.repairs.entry(from).or_default();
        for slot in differ {
            if !repair.slots.contains(&slot) {
                repair.slots.push_back(slot);
            }
        }
        self.repair_next(ctx, from);
        self.finish_slots(ctx);
        let back = self.upkeep.back.entry(from).or_insert_with(|| SlotSet::new(self.slots));
        for slot in whole.iter().filter(|slot| self.terms.preferred(*slot) == from) {
            back.insert(slot);
        }
        if last {
            self.upkeep.on_answered(from);
            if let Some(back) = self.upkeep.back.remove(&from) {
                self.hand_back(ctx, from, back);
            }
        }
    }

    /// A member holds what we hold, all of it chosen: its copies count as accepted.
    fn clean_copy(&mut self, ctx: &mut Ctx<'_>, member: NodeId, slot: u32) {
        if !self.led().contains(slot) || !self.leader.is_settled(slot) {
            return;
        }
        let Some(peer) = ctx.peers.get_mut(member) else { return };
        // What does not fit now is found by the next survey.
        if !has_room(peer, SLOT_CLEAN_SIZE) {
            return;
        }
        reached(Hook::CopyCleaned);
        let (ballot, digest) =
            (self.acceptor.promised(slot), ctx.replica.store.digest(Db::STRONG, slot, 1));
        let frame = |pos| Frame::SlotClean { pos, ballot, slot, digest };
        peer.outbox.push(SLOT_CLEAN_SIZE, frame);
        spared(peer);
    }

    /// The leader of `ballot` has settled a slot and holds what we hold.
    pub(crate) fn on_slot_clean(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: u32,
        ballot: Ballot,
        digest: u128,
    ) {
        let same = ctx.replica.store.digest(Db::STRONG, slot, 1) == digest;
        if self.votes() && self.acceptor.promised(slot) == ballot && same {
            self.set_clean(ctx, slot);
        }
    }

    fn set_clean(&mut self, ctx: &mut Ctx<'_>, slot: u32) {
        if self.acceptor.copied().contains(slot) {
            let only = self.only(slot);
            self.acceptor.set_copied(&only, false);
            ctx.replica.journal.copied(&only, false);
        }
    }

    /// Sees to the slots that all members hold alike: their tombstones are dropped.
    pub(super) fn finish_slots(&mut self, ctx: &mut Ctx<'_>) {
        let Some(round) = &mut self.upkeep.round else { return };
        // What a crash could take from us alone must not be dropped elsewhere.
        if round.own.is_some_and(|batch| !ctx.replica.journal.is_durable(batch)) {
            return;
        }
        let needed = if planted(Mutant::DroppedEarly) { self.quorum } else { self.members };
        let seq = round.seq;
        let all = round.same.extract_if(.., |_, votes| votes.count() >= needed);
        let all: Vec<u32> = all.map(|(slot, _)| slot).collect();
        for slot in all {
            if self.leader.is_settled(slot) {
                self.set_clean(ctx, slot);
                self.leader.settle_absent(slot);
            }
            if self.upkeep.graves.contains_key(&slot) {
                self.upkeep.drops.push_back((slot, self.acceptor.promised(slot), seq));
            }
        }
        self.drop_some(ctx);
    }

    /// Drops some of the tombstones that all members hold.
    fn drop_some(&mut self, ctx: &mut Ctx<'_>) {
        let mut left = DROPPED_AT_ONCE;
        while left > 0
            && let Some((slot, ballot, seq)) = self.upkeep.drops.pop_front()
        {
            if self.acceptor.promised(slot) != ballot {
                continue;
            }
            left -= self.drop_tombstones(ctx, slot, (ballot, seq), left);
            if left == 0 {
                self.upkeep.drops.push_front((slot, ballot, seq));
            }
        }
    }

    /// Drops at most so many tombstones of a slot that were stamped up to `seq`, and still stand.
    /// How many were looked at.
    fn drop_tombstones(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: u32,
        (ballot, seq): (Ballot, u64),
        most: usize,
    ) -> usize {
        let Some(graves) = self.upkeep.graves.get_mut(&slot) else { return 0 };
        let old =
            graves.extract_if(.., |_, version| version.ballot() == ballot && version.seq() <= seq);
        let old: Vec<(Box<[u8]>, Version)> = old.take(most).collect();
        if graves.is_empty() {
            self.upkeep.graves.remove(&slot);
        }
        let count = old.len();
        for (key, version) in old {
            let held = ctx.replica.store.get(Db::STRONG, &key);
            if held.is_some_and(|record| record.version == version && record.value.is_none()) {
                reached(Hook::TombstoneDropped);
                taken_out(Db::STRONG.number(), &key, version.to_bits());
                ctx.peers.iter_mut().for_each(|peer| push_drop(peer, &key, version));
                self.leader.on_dropped(&key, version);
                ctx.replica.drop_tombstone(&key, version);
            }
        }
        count
    }

    /// Searches slots that we won for tombstones, and stamps them anew, so that they can be dropped.
    fn search_some(&mut self, ctx: &mut Ctx<'_>) {
        for _ in 0..SEARCHED_PER_TURN {
            if !self.has_room() {
                return;
            }
            let Some(slot) = self.upkeep.searches.pop_front() else { return };
            if !self.led().contains(slot) || ctx.replica.store.tombstones(Db::STRONG) == 0 {
                continue;
            }
            let ballot = self.acceptor.promised(slot);
            let mut found: Vec<(Box<[u8]>, Version)> = Vec::new();
            ctx.replica.store.page(Db::STRONG, Slot(slot), PageCursor::default(), |record| {
                if record.value.is_none() {
                    found.push((record.key.into(), record.version));
                }
                found.len() < GRAVES_MAX
            });
            for (key, version) in found {
                if version.ballot() == ballot {
                    self.upkeep.on_tombstone(slot, &key, version);
                } else {
                    self.leader.settle(ctx, ballot, slot, &key);
                }
            }
        }
    }

    /// Remembers the tombstones that were stamped since this was last called.
    pub(super) fn note_tombstones(&mut self, now: Instant) {
        for (slot, key, version) in self.leader.take_tombstones() {
            self.upkeep.on_tombstone(slot, &key, version);
            self.upkeep.hurry(now + self.hurry_pause());
        }
    }
}

/// Whether a member's stream takes what can as well come later: it must not become Behind by that,
/// and begin all over.
fn has_room(to: &Peer, size: usize) -> bool {
    to.outbox.has_room(size) || planted(Mutant::UpkeepCrowdsOut)
}

/// A member's stream was given something that can wait.
fn spared(to: &Peer) {
    must(|| !to.outbox.is_behind(), "nobody becomes Behind by what can wait");
}

/// Tells a member that a tombstone of this version is no longer needed.
fn push_drop(to: &mut Peer, key: &[u8], version: Version) {
    to.outbox.push(DROP_OVERHEAD + key.len(), |pos| Frame::Drop { pos, version, key });
}

#[cfg(test)]
mod tests;
