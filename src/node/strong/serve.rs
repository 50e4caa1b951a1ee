//! What this node answers to members: to candidates, leaders and readers (PROTOCOL section 3).
//!
//! Each handler does its work at once. An answer that shows what the log does not have yet waits
//! for it ([`crate::node::peers::Peer::owe`]); a refusal shows nothing and leaves at once. A
//! replica that does not vote answers none of these questions.

use super::{
    Ctx, Strong,
    acceptor::Judged,
    candidate::Stage,
    elect::Promises,
    flush::Told,
    request::Origin,
    route::{ANSWERED, Route, counted},
};
use crate::{
    command::{batch::Work, op::Answer},
    node::{inbound::Hangup, peers::Parting},
    probe::{
        Hook, Mutant,
        claims::{HEARD, Word, must, say, shows},
        planted, reached,
    },
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId, Record, Version},
    slot::{Slot, SlotSet},
    store::PageCursor,
    time::Instant,
};

/// Bytes of records sent in one message, unless one alone is larger.
const RECORDS_SIZE: usize = 64 * 1024;

impl Strong {
    /// Handles a question of a member, on its link to us.
    pub(crate) fn on_question(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        match frame {
            // A candidate wants to know whether it is worth while to stand.
            Frame::Canvass { id, slots } => self.on_canvass(ctx, from, id, self.set(slots)?),
            // A candidate asks for promises.
            Frame::Prepare { id, ballot, slots } => {
                self.on_prepare(ctx, from, id, ballot, self.set(slots)?);
            }
            // A candidate that has our promise compares what we hold with its own.
            Frame::Pull { ballot, slot, cursor } => self.on_pull(ctx, from, ballot, slot, cursor),
            Frame::Fetch { ballot, slot, keys } => self.on_fetch(ctx, from, ballot, slot, keys)?,
            // A node that may have lost something asks what we know.
            Frame::Recover { nonce } => self.on_recover(ctx, from, nonce),
            Frame::Gather { nonce } => self.on_gather(ctx, from, nonce),
            // A leader has reads to answer.
            Frame::Confirm { id, entries } => self.on_confirm(ctx, from, id, entries)?,
            // A follower wants to read without the leader.
            Frame::Query { id, db: Db::STRONG, keys } => self.on_query(ctx, from, id, keys)?,
            // A client of the peer wants something done that we lead.
            Frame::Forward { id, op } => self.on_forward(ctx, from, id, op)?,
            // A client of the peer wants the database empty, and we lead some of it.
            Frame::FlushSlots { id, slots } => {
                let slots = self.set(slots)?;
                self.erase(from, id, &slots);
            }
            // A leader would rather that we led.
            Frame::Transfer { ballot, slots } => {
                let slots = self.set(slots)?;
                self.on_transfer(ctx, ballot, slots);
            }
            // It sends us no more requests, as we stop.
            Frame::Farewell => {
                if let Some(peer) = ctx.peers.get_mut(from) {
                    peer.parting = Parting::Done;
                }
            }
            // What the peer leads.
            Frame::Lead { entries } => self.on_lead(ctx, from, entries)?,
            _ => return Err(Hangup::Unexpected),
        }
        Ok(())
    }

    /// Handles what a member answers, on our link to it.
    pub(crate) fn on_reply(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        let understood = match frame {
            Frame::Backing { id, slots } => {
                let slots = self.set(slots)?;
                self.on_backing(ctx, from, id, slots);
                Some(())
            }
            Frame::Promise { id, ballot, highest, granted, copied, digests } => {
                let promises = Promises { id, ballot, highest, granted, copied, digests };
                self.on_promises(ctx, from, promises)
            }
            Frame::Nack { ballot, promised, slot } => {
                self.on_nack(ctx, from, slot, (ballot, promised));
                Some(())
            }
            // A member takes part in our cold start.
            Frame::ColdStarting { nonce, birth, merged } => {
                self.on_cold_starting(from, nonce, birth, merged);
                Some(())
            }
            Frame::Known { member, incarnation } => {
                self.learn_recovery(ctx, member, incarnation);
                Some(())
            }
            Frame::State { nonce, first, ballots, digests } => {
                self.on_state(ctx, from, (nonce, first), ballots, digests)
            }
            Frame::Versions { ballot: Ballot::NONE, slot, next, entries, .. } => {
                let entries: Option<Vec<_>> = peer::offers(entries).collect();
                entries.map(|entries| self.on_recovery_versions(ctx, from, slot, next, entries))
            }
            Frame::Records { ballot: Ballot::NONE, slot, records } => {
                self.on_recovery_records(ctx, from, slot, records)
            }
            Frame::Versions { ballot, slot, next, entries, .. } => {
                self.on_versions(ctx, from, (ballot, slot), next, entries)
            }
            Frame::Records { ballot, slot, records } => {
                self.on_records(ctx, from, (ballot, slot), records)
            }
            Frame::Confirmed { id, bits } => {
                self.on_confirmed(ctx, from, id, bits);
                Some(())
            }
            Frame::Answers { id, db: Db::STRONG, entries, .. } => {
                self.on_answers(ctx, from, id, entries)
            }
            Frame::Surveyed { id, same, copied } => {
                let (same, copied) = (self.set(same)?, self.set(copied)?);
                self.on_surveyed(ctx, from, id, &same, &copied);
                Some(())
            }
            Frame::SlotsFlushed { id, done, failed } => {
                let told = Told { id, done: self.set(done)?, failed: self.set(failed)? };
                self.on_slots_flushed(ctx, from, &told);
                Some(())
            }
            Frame::Answer { id, answer } => {
                self.on_answer(ctx, from, id, answer);
                Some(())
            }
            _ => None,
        };
        understood.ok_or(Hangup::Unexpected)
    }

    /// A leader's record, in its stream.
    pub(crate) fn on_accept(&mut self, ctx: &mut Ctx<'_>, from: NodeId, record: &Record<'_>) {
        let slot = Slot::of(record.key, self.slots).0;
        let ballot = record.version.ballot();
        if self.take(ctx, from, slot, ballot) {
            ctx.replica.accept(record);
        }
    }

    /// Records of a slot that a leader has stamped together, in its stream: all are taken or none.
    pub(crate) fn on_together(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        records: &[Record<'_>],
    ) -> Result<(), Hangup> {
        let place =
            |record: &Record<'_>| (Slot::of(record.key, self.slots).0, record.version.ballot());
        let (slot, ballot) = records.first().map(place).ok_or(Hangup::Unexpected)?;
        if records.iter().any(|record| place(record) != (slot, ballot)) {
            return Err(Hangup::Unexpected);
        }
        if self.take(ctx, from, slot, ballot) {
            let (first, others) = records.split_first().ok_or(Hangup::Unexpected)?;
            ctx.replica.accept(first);
            others.iter().for_each(|record| {
                ctx.replica.accept_another(record);
            });
        }
        Ok(())
    }

    /// A record that the leader of `ballot` knows to be chosen.
    pub(crate) fn on_fill(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        ballot: Ballot,
        record: &Record<'_>,
    ) {
        let slot = Slot::of(record.key, self.slots).0;
        if self.take(ctx, from, slot, ballot) {
            ctx.replica.accept(record);
        }
    }

    /// A tombstone that all members hold is no longer needed.
    pub(crate) fn on_drop(&mut self, ctx: &mut Ctx<'_>, key: &[u8], version: Version) {
        if self.votes() {
            let held = ctx.replica.store.get(Db::STRONG, key).map(|record| record.version);
            let version = held.filter(|_| planted(Mutant::DropNotExact)).unwrap_or(version);
            ctx.replica.drop_tombstone(key, version);
        }
    }

    /// Whether what a leader sends under `ballot` is to be taken; if not it is told.
    fn take(&mut self, ctx: &mut Ctx<'_>, from: NodeId, slot: u32, ballot: Ballot) -> bool {
        match self.acceptor.judge(slot, ballot) {
            Judged::Ignored => false,
            Judged::Refused(promised) => {
                reached(Hook::AcceptRefused);
                if let Some(peer) = ctx.peers.get_mut(from) {
                    peer.say(&Frame::Nack { ballot, promised, slot });
                }
                false
            }
            Judged::Taken { raised } => {
                if raised {
                    let only = self.only(slot);
                    ctx.replica.journal.promise(ballot, &only);
                    self.yield_to(ctx, ballot, &only);
                }
                true
            }
        }
    }

    /// Somebody has our promise in these slots: whatever we did there is over.
    fn yield_to(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, slots: &SlotSet) {
        self.highest = self.highest.max(ballot);
        self.step_down(ctx, slots);
        if self.campaigns.iter().any(|campaign| campaign.stands_in(slots)) {
            reached(Hook::CampaignOvertaken);
            self.lengthen();
        }
        slots.iter().for_each(|slot| self.lose(slot));
    }

    /// A candidate gets as long as a campaign may take, after each sign that it goes on. Who has lost
    /// campaigns gives others more time too, or two of them over a slow link end one another's for
    /// ever; but none longer than a node that is dead.
    pub(super) fn candidate_until(&self, ctx: &Ctx<'_>) -> Instant {
        ctx.now.mono + self.patience().min(self.timing.silence)
    }

    fn on_canvass(&mut self, ctx: &mut Ctx<'_>, from: NodeId, id: u64, mut slots: SlotSet) {
        if !self.votes() {
            return;
        }
        let led = |slot| self.leader_of(slot).is_some_and(|leader| leader != from);
        let denied = |slot: &u32| led(*slot) || self.has_candidate(ctx.now.mono, *slot, from);
        let denied: Vec<u32> = slots.iter().filter(denied).collect();
        for slot in denied {
            slots.remove(slot);
        }
        let stands = || self.campaigns.iter().any(|campaign| campaign.stands_in(&slots));
        must(|| !stands(), "who stands for a slot backs nobody else there");
        let mut bytes = Vec::new();
        slots.to_bytes(&mut bytes);
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.say(&Frame::Backing { id, slots: &bytes });
        }
    }

    /// Whether another candidate than `other` goes on with a slot, as far as this node sees. One that
    /// has much to pull from one member shows that to no other; so whoever sees it speaks for it, or
    /// each candidate would end what the other has begun, for ever.
    fn has_candidate(&self, now: Instant, slot: u32, other: NodeId) -> bool {
        let ours = self
            .campaigns
            .iter()
            .any(|campaign| campaign.stage != Stage::Canvassing && campaign.slots.contains(slot));
        let seen =
            self.terms.has_candidate(slot, now) && self.acceptor.promised(slot).node() != other;
        (ours || seen) && !planted(Mutant::CandidatesInterrupt)
    }

    fn on_prepare(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        ballot: Ballot,
        slots: SlotSet,
    ) {
        if !self.votes() {
            return;
        }
        let prepared = self.acceptor.prepare(ballot, &slots);
        self.highest = self.highest.max(prepared.highest);
        if !prepared.raised.is_empty() {
            if !planted(Mutant::PromiseNotDurable) {
                ctx.replica.journal.promise(ballot, &prepared.raised);
            }
            self.yield_to(ctx, ballot, &prepared.raised);
            let until = self.candidate_until(ctx);
            self.terms.give_time(prepared.raised.iter(), until);
            self.reschedule(ctx);
        }
        let (mut granted, mut copied) = (Vec::new(), Vec::new());
        prepared.granted.to_bytes(&mut granted);
        let mut both = self.acceptor.copied().clone();
        both.intersect_with(&prepared.granted);
        both.to_bytes(&mut copied);
        let mut digests = Vec::new();
        for slot in prepared.granted.iter() {
            let digest = ctx.replica.store.digest(Db::STRONG, slot, 1);
            digests.extend_from_slice(&digest.to_le_bytes());
        }
        reached(Hook::PromiseSent);
        let wait = ctx.replica.journal.wait_for_all();
        if let Some(peer) = ctx.peers.get_mut(from) {
            let highest = prepared.highest;
            let (granted, copied, digests) = (&granted, &copied, &digests);
            peer.owe(wait, &Frame::Promise { id, ballot, highest, granted, copied, digests });
        }
    }

    fn on_pull(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        ballot: Ballot,
        slot: u32,
        cursor: (u64, u64),
    ) {
        // Who recovers asks those who have told it what they hold, for a cold start without a vote. A
        // leader that repairs may be one whose ballot we have not heard of.
        let recovers = ballot == Ballot::NONE;
        if !recovers && !self.take(ctx, from, slot, ballot) {
            return;
        }
        if !recovers {
            let until = self.candidate_until(ctx);
            self.terms.give_time([slot], until);
        }
        let Some(peer) = ctx.peers.get_mut(from) else { return };
        let mut entries = Vec::new();
        let size = self.limits.offer_size;
        let next = ctx.replica.store.page(
            Db::STRONG,
            Slot(slot),
            PageCursor::from_pair(cursor),
            |record| {
                peer::push_offer(&mut entries, record.version, record.key);
                entries.len() < size
            },
        );
        let next = next.map(PageCursor::to_pair);
        let wait = ctx.replica.journal.wait_for_all();
        peer.owe(wait, &Frame::Versions { ballot, slot, from: cursor, next, entries: &entries });
    }

    fn on_fetch(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        ballot: Ballot,
        slot: u32,
        keys: &[u8],
    ) -> Result<(), Hangup> {
        let promised = self.acceptor.promised(slot);
        let wait = ctx.replica.journal.wait_for_all();
        let Some(peer) = ctx.peers.get_mut(from) else { return Ok(()) };
        let recovers = ballot == Ballot::NONE;
        if !(recovers || self.acceptor.votes() && promised == ballot) {
            peer.say(&Frame::Nack { ballot, promised, slot });
            return Ok(());
        }
        let mut records = Vec::new();
        for key in peer::keys(keys) {
            let key = key.ok_or(Hangup::Unexpected)?;
            // Who recovers counts what comes; what is not there any more comes empty.
            let record = ctx.replica.store.encoded(Db::STRONG, key);
            let Some(record) = record.or_else(|| recovers.then_some(&[])) else { continue };
            if !records.is_empty() && records.len() + record.len() > RECORDS_SIZE {
                let full = std::mem::take(&mut records);
                peer.owe(wait, &Frame::Records { ballot, slot, records: &full });
            }
            peer::push_record(&mut records, record);
        }
        peer.owe(wait, &Frame::Records { ballot, slot, records: &records });
        Ok(())
    }

    fn on_confirm(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        entries: &[u8],
    ) -> Result<(), Hangup> {
        if !self.votes() {
            return Ok(());
        }
        let mut bits = Vec::new();
        for (index, entry) in peer::confirms(entries).enumerate() {
            let (slot, ballot) = entry.ok_or(Hangup::Unexpected)?;
            if !self.acceptor.confirms(slot, ballot) {
                peer::set_bit(&mut bits, index);
            }
        }
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.say(&Frame::Confirmed { id, bits: &bits });
        }
        Ok(())
    }

    fn on_confirmed(&mut self, ctx: &mut Ctx<'_>, from: NodeId, id: u64, bits: &[u8]) {
        let mut deposed = SlotSet::new(self.slots);
        for (index, (slot, ballot)) in self.leader.reads().asked(id).iter().enumerate() {
            if peer::bit(bits, index) && self.acceptor.promised(*slot) == *ballot {
                deposed.insert(*slot);
            }
        }
        if !deposed.is_empty() {
            self.step_down(ctx, &deposed);
        }
        self.leader.on_confirmed(from, id);
        self.leader.release_reads();
    }

    fn on_query(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        keys: &[u8],
    ) -> Result<(), Hangup> {
        if !self.votes() {
            return Ok(());
        }
        let (mut entries, mut wait) = (Vec::new(), None);
        for key in peer::keys(keys) {
            let key = key.ok_or(Hangup::Unexpected)?;
            let (version, accepted) = self.held(ctx, key);
            claim_shown(ctx, key, version);
            wait = wait.max(ctx.replica.journal.wait_for_key(Db::STRONG, key));
            peer::push_state(&mut entries, version, accepted);
        }
        let wait = wait.filter(|_| !planted(Mutant::UndurableShown));
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.owe(wait, &Frame::Answers { id, db: Db::STRONG, floor: 0, entries: &entries });
        }
        Ok(())
    }

    /// Which version of a key is held here, and whether that counts as accepted.
    pub(super) fn held(&self, ctx: &Ctx<'_>, key: &[u8]) -> (Version, bool) {
        let record = ctx.replica.store.get(Db::STRONG, key);
        let tombstone_is_absent = planted(Mutant::FastAbsentIsTombstone);
        let record = record.filter(|record| record.value.is_some() || !tombstone_is_absent);
        let version = record.map_or(Version::NONE, |record| record.version);
        (version, !self.acceptor.copied().contains(Slot::of(key, self.slots).0))
    }

    fn on_forward(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        bytes: &[u8],
    ) -> Result<(), Hangup> {
        let (seen, op) = bytes.split_first_chunk::<4>().ok_or(Hangup::Unexpected)?;
        let work = Work::decode(op).ok_or(Hangup::Unexpected)?;
        let slot = self.slot_of(&work).ok_or(Hangup::Unexpected)?;
        let Some(peer) = ctx.peers.get_mut(from) else { return Ok(()) };
        let sent = peer.refusals_sent.get(&counted(slot)).copied().unwrap_or_default();
        match self.route(ctx.peers, slot) {
            Route::Here(ballot) if sent == u32::from_le_bytes(*seen) && !self.is_full() => {
                reached(Hook::ForwardTaken);
                let deadline = ctx.now.mono + self.timing.request;
                let origin = Origin::Peer { node: from, id };
                let waiting = (origin, slot, deadline);
                match work {
                    Work::Batch(batch) => {
                        self.leader.execute_batch(ctx, ballot, (&batch, op), waiting);
                    }
                    Work::One(op) => self.leader.execute(ctx, ballot, &op, waiting),
                }
            }
            route @ (Route::Here(_) | Route::Nowhere | Route::There(_)) => {
                reached(Hook::ForwardRefused);
                if matches!(route, Route::Here(_)) && !self.is_full() {
                    say(Word::TurnedAway { peer: from.0, slot });
                }
                self.refuse(ctx, (from, id), slot);
            }
        }
        Ok(())
    }

    /// The slot of all keys of some work; none if they are of several.
    fn slot_of(&self, work: &Work<'_>) -> Option<u32> {
        let of = |key| Slot::of(key, self.slots).0;
        match work {
            Work::Batch(batch) => {
                let mut slots = batch.keys().map(of);
                let first = slots.next()?;
                slots.all(|slot| slot == first).then_some(first)
            }
            Work::One(op) => Some(of(op.key)),
        }
    }

    /// An operation of a peer is over.
    pub(crate) fn tell(ctx: &mut Ctx<'_>, node: NodeId, id: u64, answer: &Answer<'_>) {
        let mut bytes = vec![ANSWERED];
        answer.encode(&mut bytes);
        if let Some(peer) = ctx.peers.get_mut(node) {
            peer.say(&Frame::Answer { id, answer: &bytes });
        }
    }

    fn on_lead(&mut self, ctx: &mut Ctx<'_>, from: NodeId, entries: &[u8]) -> Result<(), Hangup> {
        let mut claims = Vec::new();
        for entry in peer::leads(entries) {
            let (ballot, slots) = entry.ok_or(Hangup::Unexpected)?;
            self.highest = self.highest.max(ballot);
            claims.push((ballot, self.set(slots)?));
        }
        self.terms.claim(ctx.now.mono, from, claims);
        self.try_parked(ctx);
        self.reschedule(ctx);
        Ok(())
    }

    pub(super) fn set(&self, bytes: &[u8]) -> Result<SlotSet, Hangup> {
        SlotSet::from_bytes(self.slots, bytes).ok_or(Hangup::Unexpected)
    }
}

/// A member is told that this is what we hold of a key.
fn claim_shown(ctx: &Ctx<'_>, key: &[u8], version: Version) {
    if HEARD {
        let held =
            ctx.replica.store.get(Db::STRONG, key).map_or(Version::NONE, |held| held.version);
        shows(Db::STRONG.number(), key, version.to_bits(), held.to_bits());
    }
}
