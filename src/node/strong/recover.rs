//! Recovery of a node that may have lost what it vouched for (PROTOCOL section 6).
//!
//! Such a node does not vote. It asks the others for what they promised and hold, and takes the
//! highest promise and the newest record of each key over N-q+1 of them: whatever a majority has
//! accepted is held by one of those. What its own disk has beside that is not evidence of anything,
//! and is removed: it may be older than a tombstone that was dropped. All that it has is copies
//! then, until the leader of a slot says otherwise ([`super::upkeep`]).
//!
//! Whoever is asked first notes that the node's earlier life is over, and says so to everybody: the
//! earlier life's acknowledgements count for nothing that is not committed (CE-NOINC).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Ctx, Strong};
use crate::{
    node::votes::Votes,
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Ballot, Db, NodeId, Record, Version},
    slot::{Slot, SlotSet},
    store::PageCursor,
};

/// Slots told in one message.
const STATE_SLOTS: u32 = 1024;
/// Slots asked about at a time.
const WINDOW: usize = 32;

/// What a recovering node has heard so far.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Recovery {
    /// Tells this attempt's answers from those of earlier ones.
    nonce: u64,
    /// Others that must have answered.
    needed: usize,
    /// For a cold start: nobody votes, and what any disk has counts, ours too.
    cold: bool,
    /// There were enough answers.
    begun: bool,
    states: BTreeMap<NodeId, State>,
    /// The members whose answers count, once there are enough.
    sources: Vec<NodeId>,
    /// Slots not yet begun.
    slots: VecDeque<u32>,
    under_way: BTreeMap<u32, Work>,
}

/// What one member has told.
#[derive(Clone, Debug, Default, Hash)]
struct State {
    promised: Vec<Ballot>,
    digests: Vec<u128>,
    whole: bool,
}

/// One slot being put together.
#[derive(Clone, Debug, Default, Hash)]
struct Work {
    /// Who is still listing.
    listing: BTreeSet<NodeId>,
    /// The newest version of each key, and who has it; nobody if we have.
    newest: BTreeMap<Box<[u8]>, (Version, Option<NodeId>)>,
    /// Records that were asked for.
    missing: usize,
    /// By member: how many of its records are to come.
    awaited: BTreeMap<NodeId, usize>,
}

impl Recovery {
    /// Answers of some others that vote.
    const fn of_voters(nonce: u64, needed: usize) -> Self {
        Self {
            nonce,
            needed,
            cold: false,
            begun: false,
            states: BTreeMap::new(),
            sources: Vec::new(),
            slots: VecDeque::new(),
            under_way: BTreeMap::new(),
        }
    }

    /// Answers of all others, none of whom votes.
    pub(super) fn of_all(nonce: u64, others: usize) -> Self {
        Self { cold: true, ..Self::of_voters(nonce, others) }
    }

    /// What the others are asked.
    pub(super) const fn question(&self) -> Frame<'static> {
        let nonce = self.nonce;
        if self.cold { Frame::Gather { nonce } } else { Frame::Recover { nonce } }
    }
}

impl Strong {
    /// This node may have lost something: it recovers before it votes.
    pub(crate) fn begin_recovery(&mut self, ctx: &mut Ctx<'_>) {
        reached(Hook::RecoveryBegun);
        let recovery = Recovery::of_voters(ctx.rng.bits(), self.recovers_from());
        let ask = recovery.question();
        self.recovery = Some(recovery);
        ctx.peers.iter_mut().for_each(|to| to.ask(&ask));
    }

    /// How many others that vote it takes to recover.
    pub(super) fn recovers_from(&self) -> usize {
        let needed = self.members - self.members.min(self.quorum) + 1;
        let needed = if planted(Mutant::RecoversFromFew) { needed - 1 } else { needed };
        needed.min(self.members - 1)
    }

    /// Whether this node recovers.
    pub(crate) const fn is_recovering(&self) -> bool {
        self.recovery.is_some() || self.recovered || self.cold.is_under_way()
    }

    /// Our link to a peer is live: it is asked for what it knows.
    pub(super) fn ask_state(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        let question = self.recovery.as_ref().map(Recovery::question);
        // The other databases may still wait for a member that knows of our loss.
        let question = question.or_else(|| self.recovered.then_some(Frame::Recover { nonce: 0 }));
        if let (Some(question), Some(to)) = (question, ctx.peers.get_mut(peer)) {
            to.ask(&question);
        }
    }

    /// A member welcomes us, on a link on which it will be shown all that we have. One that does
    /// not vote may have lost what it had: then its earlier life is over before it is shown any of
    /// it, so that nothing which comes too late for that counts with its earlier word.
    pub(crate) fn on_welcome(&mut self, ctx: &mut Ctx<'_>, from: NodeId, incarnation: u64) {
        if self.votes() && ctx.peers.get_mut(from).is_some_and(|peer| !peer.formed) {
            self.learn_recovery(ctx, from, incarnation);
        }
    }

    /// Whether a member knows, durably, that what we said in earlier lives does not count.
    pub(crate) const fn is_known_to(&self, member: NodeId) -> bool {
        self.told.contains(member)
    }

    /// The members that have forgotten something since this was last asked, and whose present life
    /// we have not met.
    pub(crate) fn take_outlived(&mut self) -> Votes {
        std::mem::take(&mut self.outlived)
    }

    /// A member's link is gone: if its answers count, others must.
    pub(super) fn on_source_lost(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        let Some(recovery) = &mut self.recovery else { return };
        recovery.states.remove(&peer);
        if !recovery.sources.contains(&peer) {
            return;
        }
        if recovery.cold { self.gather(ctx) } else { self.begin_recovery(ctx) }
    }

    /// A node that may have lost something asks what we know. First its earlier life is over, then
    /// it is told.
    pub(super) fn on_recover(&mut self, ctx: &mut Ctx<'_>, from: NodeId, nonce: u64) {
        let incarnation = ctx.peers.get_mut(from).map_or(0, |peer| peer.cursor.incarnation);
        if !self.votes() {
            return;
        }
        self.learn_recovery(ctx, from, incarnation);
        self.tell_state(ctx, from, nonce);
    }

    /// A node that takes part in a cold start asks what we have, who don't vote either.
    pub(super) fn on_gather(&self, ctx: &mut Ctx<'_>, from: NodeId, nonce: u64) {
        if !self.votes() {
            self.tell_state(ctx, from, nonce);
        }
    }

    fn tell_state(&self, ctx: &mut Ctx<'_>, from: NodeId, nonce: u64) {
        let wait = ctx.replica.journal.wait_for_all();
        let Some(peer) = ctx.peers.get_mut(from) else { return };
        for first in (0..self.slots).step_by(STATE_SLOTS as usize) {
            let end = self.slots.min(first + STATE_SLOTS);
            let (mut ballots, mut digests) = (Vec::new(), Vec::new());
            for slot in first..end {
                let promised = self.acceptor.promised(slot).to_bits();
                ballots.extend_from_slice(&promised.to_le_bytes());
                let digest = ctx.replica.store.digest(Db::STRONG, slot, 1);
                digests.extend_from_slice(&digest.to_le_bytes());
            }
            let (ballots, digests) = (&ballots[..], &digests[..]);
            peer.owe(wait, &Frame::State { nonce, first, ballots, digests });
        }
    }

    /// A member's life before `incarnation` is over and may have forgotten what it acknowledged.
    /// All are told, before any later word of ours.
    pub(super) fn learn_recovery(&mut self, ctx: &mut Ctx<'_>, member: NodeId, incarnation: u64) {
        if planted(Mutant::NoIncarnationCheck) || member == self.me {
            return;
        }
        let Some(known) = self.reborn.get_mut(member.index()) else { return };
        if incarnation <= *known {
            return;
        }
        *known = incarnation;
        reached(Hook::RecoveryLearnt);
        ctx.replica.journal.known(member, incarnation);
        self.leader.retract(member);
        self.fast.retract(member);
        self.upkeep.on_reborn();
        for campaign in &mut self.campaigns {
            campaign.on_reborn(member);
        }
        if let Some(peer) = ctx.peers.get_mut(member)
            && peer.receiver < incarnation
        {
            peer.votes = false;
            self.outlived.add(member);
        }
        for peer in ctx.peers.iter_mut() {
            peer.say(&Frame::Known { member, incarnation });
        }
        self.on_reach(ctx);
    }

    /// A peer has introduced itself: it is told whose earlier lives are over, before anything else.
    pub(crate) fn tell_known(&self, ctx: &mut Ctx<'_>, to: NodeId) {
        let Some(peer) = ctx.peers.get_mut(to) else { return };
        for (index, incarnation) in self.reborn.iter().enumerate() {
            if *incarnation > 0 {
                let member = NodeId(index as u16);
                peer.say(&Frame::Known { member, incarnation: *incarnation });
            }
        }
    }

    /// Whether a member of this incarnation is known to be one that has forgotten.
    pub(crate) fn is_outlived(&self, member: NodeId, incarnation: u64) -> bool {
        self.reborn.get(member.index()).is_some_and(|known| incarnation < *known)
    }

    /// Part of what a member has promised and holds.
    pub(super) fn on_state(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        (nonce, first): (u64, u32),
        ballots: &[u8],
        digests: &[u8],
    ) -> Option<()> {
        let cold = self.recovery.as_ref().is_some_and(|recovery| recovery.cold);
        if !cold {
            // It says this behind a durable note of our loss.
            self.told.add(from);
        }
        let Some(recovery) = self.recovery.as_mut().filter(|recovery| recovery.nonce == nonce)
        else {
            return Some(());
        };
        let state = recovery.states.entry(from).or_default();
        let (ballots, []) = ballots.as_chunks::<8>() else { return None };
        let (digests, []) = digests.as_chunks::<16>() else { return None };
        if state.whole || first as usize != state.promised.len() || ballots.len() != digests.len() {
            return None;
        }
        state.promised.extend(ballots.iter().map(|b| Ballot::from_bits(u64::from_le_bytes(*b))));
        state.digests.extend(digests.iter().map(|digest| u128::from_le_bytes(*digest)));
        state.whole = state.promised.len() >= self.slots as usize;
        self.maybe_rebuild(ctx);
        Some(())
    }

    /// Begins to put all slots together, if there are enough answers.
    pub(super) fn maybe_rebuild(&mut self, ctx: &mut Ctx<'_>) {
        let Some(recovery) = self.recovery.as_mut().filter(|recovery| !recovery.begun) else {
            return;
        };
        let whole = recovery.states.iter().filter(|(_, state)| state.whole);
        let sources: Vec<NodeId> = whole.map(|(member, _)| *member).collect();
        if sources.len() >= recovery.needed {
            recovery.begun = true;
            recovery.sources = sources;
            recovery.slots = (0..self.slots).collect();
            self.rebuild(ctx);
        }
    }

    /// Begins with as many slots as may be under way.
    fn rebuild(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            let Some(recovery) = &mut self.recovery else { return };
            if recovery.under_way.len() >= WINDOW {
                return;
            }
            let Some(slot) = recovery.slots.pop_front() else { break };
            let index = slot as usize;
            let ours = ctx.replica.store.digest(Db::STRONG, slot, 1);
            let mut seen = vec![ours];
            let mut work = Work::default();
            for source in &recovery.sources {
                let state = recovery.states.get(source);
                let digest = state.and_then(|state| state.digests.get(index)).copied();
                let digest = digest.unwrap_or_default();
                let promised = state.and_then(|state| state.promised.get(index)).copied();
                if !planted(Mutant::RecoveryDropsPromise) {
                    self.acceptor.recall_one(slot, promised.unwrap_or_default());
                }
                if !seen.contains(&digest) {
                    seen.push(digest);
                    work.listing.insert(*source);
                }
            }
            // What we hold counts only if somebody holds just the same.
            let ours_counts = recovery.sources.iter().any(|source| {
                let state = recovery.states.get(source);
                state.is_some_and(|state| state.digests.get(index) == Some(&ours))
            });
            if ours_counts || recovery.cold || planted(Mutant::RecoveryKeepsDisk) {
                for (key, version) in own_versions(ctx, slot) {
                    work.newest.insert(key, (version, None));
                }
            }
            for source in &work.listing {
                if let Some(to) = ctx.peers.get_mut(*source) {
                    to.ask(&Frame::Pull { ballot: Ballot::NONE, slot, cursor: (0, 0) });
                }
            }
            let listed = work.listing.is_empty();
            recovery.under_way.insert(slot, work);
            if listed {
                self.fetch_slot(ctx, slot);
            }
        }
        self.maybe_recovered(ctx);
    }

    /// Part of what a member has in a slot.
    pub(super) fn on_recovery_versions(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        slot: u32,
        next: Option<(u64, u64)>,
        entries: Vec<(Version, &[u8])>,
    ) {
        let Some(recovery) = &mut self.recovery else { return };
        let Some(work) = recovery.under_way.get_mut(&slot) else { return };
        if !work.listing.contains(&from) {
            return;
        }
        for (version, key) in entries {
            let newest = work.newest.entry(key.into()).or_insert((Version::NONE, None));
            if version > newest.0 {
                *newest = (version, Some(from));
            }
        }
        if let Some(cursor) = next {
            if let Some(to) = ctx.peers.get_mut(from) {
                to.ask(&Frame::Pull { ballot: Ballot::NONE, slot, cursor });
            }
            return;
        }
        work.listing.remove(&from);
        if work.listing.is_empty() {
            self.fetch_slot(ctx, slot);
            self.rebuild(ctx);
        }
    }

    /// All who count have listed a slot: what nobody showed is removed, what is missing asked for.
    fn fetch_slot(&mut self, ctx: &mut Ctx<'_>, slot: u32) {
        let Some(recovery) = &mut self.recovery else { return };
        let Some(work) = recovery.under_way.get_mut(&slot) else { return };
        for (key, version) in own_versions(ctx, slot) {
            match work.newest.get_mut(&key) {
                // The same version is the same record: ours need not travel.
                Some((newest, holder)) if *newest == version => *holder = None,
                Some((newest, _)) if *newest > version => {}
                Some(_) | None => {
                    reached(Hook::RecoveryRemoved);
                    ctx.replica.remove_strong(&key, version);
                }
            }
        }
        let mut wanted: BTreeMap<NodeId, Vec<Box<[u8]>>> = BTreeMap::new();
        for (key, (_, holder)) in &work.newest {
            if let Some(holder) = holder {
                wanted.entry(*holder).or_default().push(key.clone());
            }
        }
        work.missing = wanted.values().map(Vec::len).sum();
        for (from, keys) in wanted {
            work.awaited.insert(from, keys.len());
            if let Some(to) = ctx.peers.get_mut(from) {
                super::elect::fetch(to, Ballot::NONE, slot, &keys);
            }
        }
        if work.missing == 0 {
            recovery.under_way.remove(&slot);
        }
    }

    /// Records that we asked for. `last` says that the question is answered.
    pub(super) fn on_recovery_records(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        slot: u32,
        records: &[u8],
    ) -> Option<()> {
        let Some(recovery) = &mut self.recovery else { return Some(()) };
        let Some(work) = recovery.under_way.get_mut(&slot) else { return Some(()) };
        let mut came = 0;
        for bytes in peer::records(records) {
            let bytes = bytes?;
            came += 1;
            if bytes.is_empty() {
                // It was a tombstone that has been dropped since.
                continue;
            }
            let record = Record::decode(bytes).ok().filter(|record| record.db == Db::STRONG)?;
            if Slot::of(record.key, self.slots) != Slot(slot) {
                return None;
            }
            // What was accepted there had been promised.
            self.acceptor.recall_one(slot, record.version.ballot());
            ctx.replica.accept(&record);
        }
        let awaited = work.awaited.get_mut(&from)?;
        *awaited = awaited.checked_sub(came)?;
        work.missing = work.missing.checked_sub(came)?;
        if work.missing == 0 {
            let work = recovery.under_way.remove(&slot).unwrap_or_default();
            drop_outdated(ctx, &work);
            self.rebuild(ctx);
        }
        Some(())
    }

    /// If all slots are done: everything here is a copy, and the log is to have it.
    fn maybe_recovered(&mut self, ctx: &mut Ctx<'_>) {
        let done = self.recovery.as_ref().is_some_and(|recovery| {
            recovery.begun && recovery.slots.is_empty() && recovery.under_way.is_empty()
        });
        let Some(recovery) = self.recovery.take_if(|_| done) else { return };
        if recovery.cold {
            return self.finish_merge(ctx);
        }
        reached(Hook::Recovered);
        let all = SlotSet::full(self.slots);
        if !planted(Mutant::CopiesCountAsAccepted) {
            self.acceptor.set_copied(&all, true);
            ctx.replica.journal.copied(&all, true);
        }
        let mut entries = Vec::new();
        self.acceptor.log(&mut entries);
        ctx.replica.journal.entries(&entries);
        self.recovered = true;
    }

    /// What [`Strong::poll_recovered`] would say.
    pub(crate) const fn is_recovered(&self) -> bool {
        self.recovered
    }

    /// Whether recovery is complete, except that the log is to have it. True once.
    pub(crate) fn poll_recovered(&mut self) -> bool {
        std::mem::take(&mut self.recovered)
    }
}

/// What was shown in a newer version that did not come is gone for good: ours is older.
fn drop_outdated(ctx: &mut Ctx<'_>, work: &Work) {
    let shown = work.newest.iter().filter(|(_, (_, holder))| holder.is_some());
    for (key, (newest, _)) in shown {
        let held = ctx.replica.store.get(Db::STRONG, key).map(|record| record.version);
        if let Some(version) = held.filter(|version| version < newest)
            && !planted(Mutant::RecoveryKeepsDropped)
        {
            reached(Hook::RecoveryRemoved);
            ctx.replica.remove_strong(key, version);
        }
    }
}

fn own_versions(ctx: &Ctx<'_>, slot: u32) -> Vec<(Box<[u8]>, Version)> {
    let mut versions = Vec::new();
    ctx.replica.store.page(Db::STRONG, Slot(slot), PageCursor::default(), |record| {
        versions.push((record.key.into(), record.version));
        true
    });
    versions
}
