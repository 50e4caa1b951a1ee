//! Cold start: how a cluster goes on when too many members at once may have lost what they vouched
//! for (PROTOCOL section 6, R7).
//!
//! A member that recovers needs N-q+1 others that vote. Once q members recover there are not enough,
//! and there never will be: the cluster is stuck, and safe. The way out is a merge of the disks of
//! *all* N, none of which votes. It may lose what a majority acknowledged and no disk kept, and undo
//! deletes that no disk kept; so it takes the users' consent. Who chose `everysec` has given it for
//! what a power failure takes from behind the last sync; anything else takes the operator's word.
//!
//! The first member leads it, as it decides the forming, which this repeats in a way:
//!
//! 1. It asks all others to stand: each says that it does not vote, and forgets whatever answers it
//!    has for an ordinary recovery. From then on nobody can begin to vote: the first who did would
//!    need the answer of one who does.
//! 2. All merge: each gets from all others what it lacks, per key the newest record, and raises all
//!    its promises above any that was ever given, so that leftovers of the past stay below whatever
//!    a leader stamps from now on. All of it is copies. Then it notes that its data counts for
//!    nothing but this start, and when that has reached the disk says so.
//! 3. When all have, the first member writes down that the cluster has formed anew, and votes; the
//!    others learn it as they learnt the forming.
//!
//! A link that breaks ends the attempt, up to the decision. Whoever goes away after that comes back
//! as one that recovers, and finds enough who vote, or all are as before.

use std::collections::BTreeMap;

use super::{Ctx, Strong, recover::Recovery};
use crate::{
    log::Batch,
    node::{
        peers::{Peer, Peers},
        votes::Votes,
    },
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Ballot, NodeId},
    slot::SlotSet,
    time::Instant,
};

/// Ballots that are passed over. Those that no disk has may have been promised, and led: then clients
/// have been told versions of theirs, which must not come again. So many there never were; the
/// counter has room for 65,000 cold starts.
const LEAP: u64 = 1 << 32;
/// Who leads a cold start.
const FIRST: NodeId = NodeId(0);

/// Why a node does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// Its data was damaged and repaired.
    Damaged,
    /// It has no data of a cluster that has formed.
    Empty,
    /// A power failure may have taken what was behind the last sync.
    Tail,
    /// An operator wants a cold start.
    Told,
}

impl Why {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Damaged => 1,
            Self::Empty => 2,
            Self::Tail => 3,
            Self::Told => 4,
        }
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        let all = [Self::Damaged, Self::Empty, Self::Tail, Self::Told];
        all.into_iter().find(|why| why.number() == number)
    }
}

/// This node's part in a cold start.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Cold {
    /// Why this node does not vote; nothing if it does.
    own: Option<Why>,
    part: Option<Part>,
    /// In the first member: how far all are.
    round: Option<Round>,
    /// What was logged last of what keeps the cluster from going on.
    said: Option<String>,
    /// Since when something else is to be logged.
    new_since: Option<Instant>,
}

/// An attempt in which this node takes part.
#[derive(Clone, Debug, Hash)]
struct Part {
    nonce: u64,
    /// Of all members' data.
    births: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It does not vote, and waits for all others to say so.
    Standing,
    /// It gets from the others what it lacks.
    Merging,
    /// It has merged.
    Merged,
    /// The log is to have it.
    Logging(Batch),
    /// The log has it. It votes as soon as it hears that anybody does.
    Ready,
}

/// An attempt, in the member that leads it.
#[derive(Clone, Debug, Hash)]
struct Round {
    nonce: u64,
    /// Of the data of those who stand.
    births: BTreeMap<NodeId, u64>,
    /// All stand: they were asked to merge.
    merging: bool,
    merged: Votes,
}

impl Cold {
    /// Whether this node takes part in an attempt.
    pub(super) const fn is_under_way(&self) -> bool {
        self.part.is_some()
    }

    /// This node votes from now on. Whether by a cold start.
    pub(super) fn end(&mut self) -> bool {
        let cold = self.part.is_some();
        *self = Self::default();
        cold
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.part.as_ref().is_some_and(|part| part.stage == stage)
    }
}

impl Strong {
    /// This node does not vote, and why.
    pub(crate) const fn set_waiting(&mut self, why: Why) {
        self.cold.own = Some(why);
    }

    /// Our link to a peer is live: it is told why we do not vote.
    pub(super) fn tell_waiting(&self, ctx: &mut Ctx<'_>, peer: NodeId) {
        if let (Some(why), Some(to)) = (self.cold.own, ctx.peers.get_mut(peer)) {
            to.ask(&Frame::Waiting { why: why.number() });
        }
    }

    /// In the first member: begins a cold start if now is the time, and goes on with one. `birth` is
    /// that of our data. The births of all members' data if it is decided.
    pub(crate) fn lead_cold_start(&mut self, ctx: &mut Ctx<'_>, birth: u64) -> Option<Vec<u8>> {
        if self.me != FIRST || self.cold.own.is_none() {
            return None;
        }
        let silent = |peer: &Peer| peer.live && !peer.votes && !peer.formed && peer.waits.is_some();
        let count = ctx.peers.iter().filter(|peer| silent(peer)).count();
        let enough = if planted(Mutant::ColdStartOfSome) { self.quorum } else { self.members };
        if count + 1 < enough || !self.blockers(ctx.peers).is_empty() {
            self.cold.round = None;
            return None;
        }
        let Some(round) = &mut self.cold.round else {
            let nonce = ctx.rng.bits();
            let (births, merged) = ([(FIRST, birth)].into(), Votes::default());
            self.cold.round = Some(Round { nonce, births, merging: false, merged });
            let ask = Frame::ColdStart { nonce, births: &[] };
            ctx.peers.iter_mut().for_each(|to| to.ask(&ask));
            self.stand_still(ctx, nonce);
            return self.lead_cold_start(ctx, birth);
        };
        if !round.merging && round.births.len() >= enough {
            let mut births = Vec::new();
            for member in (0..self.members).map(|index| NodeId(index as u16)) {
                let birth = round.births.get(&member).copied().unwrap_or_default();
                peer::push_birth(&mut births, birth);
            }
            round.merging = true;
            let ask = Frame::ColdStart { nonce: round.nonce, births: &births };
            ctx.peers.iter_mut().for_each(|to| to.ask(&ask));
            self.merge(ctx, births);
        } else if round.merged.count() >= enough {
            return self.cold.part.as_ref().map(|part| part.births.clone());
        }
        None
    }

    /// The first member wants us to take part in a cold start; `birth` is that of our data.
    pub(crate) fn on_cold_start(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        (nonce, births): (u64, &[u8]),
        birth: u64,
    ) {
        if from != FIRST || self.cold.own.is_none() {
            return;
        }
        if births.is_empty() {
            self.stand_still(ctx, nonce);
            if let Some(peer) = ctx.peers.get_mut(from) {
                peer.say(&Frame::ColdStarting { nonce, birth, merged: false });
            }
            return;
        }
        let ours = peer::births(births).nth(self.me.index()).flatten() == Some(birth);
        let stands = self.cold.is_at(Stage::Standing);
        let same = self.cold.part.as_ref().is_some_and(|part| part.nonce == nonce);
        if ours && stands && same {
            self.merge(ctx, births.to_vec());
        }
    }

    /// A member takes part in our cold start.
    pub(super) fn on_cold_starting(&mut self, from: NodeId, nonce: u64, birth: u64, merged: bool) {
        let Some(round) = self.cold.round.as_mut().filter(|round| round.nonce == nonce) else {
            return;
        };
        if merged {
            round.merged.add(from);
        } else {
            round.births.insert(from, birth);
        }
    }

    /// Our link to a peer is gone: it may come back as another.
    pub(super) fn on_cold_lost(&mut self) {
        self.cold.round = None;
    }

    /// Whether all is merged, except that the log is to have it.
    pub(crate) fn has_merged(&self) -> bool {
        self.cold.is_at(Stage::Merged)
    }

    /// The births of all members' data in this cold start.
    pub(crate) fn cold_births(&self) -> &[u8] {
        self.cold.part.as_ref().map_or(&[], |part| &part.births)
    }

    /// What is merged is in this batch, and that our data counts for nothing but this start.
    pub(crate) fn on_merged(&mut self, batch: Batch) {
        if let Some(part) = &mut self.cold.part {
            part.stage = Stage::Logging(batch);
        }
    }

    /// The log has everything up to a batch.
    pub(super) fn on_cold_durable(&mut self, ctx: &mut Ctx<'_>, durable: Batch, birth: u64) {
        let Some(part) = &mut self.cold.part else { return };
        if !matches!(part.stage, Stage::Logging(batch) if batch <= durable) {
            return;
        }
        part.stage = Stage::Ready;
        let nonce = part.nonce;
        match ctx.peers.get_mut(FIRST) {
            Some(first) => first.say(&Frame::ColdStarting { nonce, birth, merged: true }),
            None => self.on_cold_starting(FIRST, nonce, birth, true),
        }
    }

    /// Whether this node may vote as soon as it hears that the cluster has started.
    pub(crate) fn is_ready(&self) -> bool {
        self.cold.is_at(Stage::Ready)
    }

    /// This node does not vote, and no answer given before will make it.
    fn stand_still(&mut self, ctx: &mut Ctx<'_>, nonce: u64) {
        self.cold.part = Some(Part { nonce, births: Vec::new(), stage: Stage::Standing });
        let recovers = self.recovered || self.recovery.is_some();
        (self.recovered, self.recovery) = (false, None);
        if recovers {
            self.begin_recovery(ctx);
        }
    }

    /// None votes: gets from all others what we lack.
    fn merge(&mut self, ctx: &mut Ctx<'_>, births: Vec<u8>) {
        reached(Hook::ColdStartBegun);
        let count = self.members;
        tracing::warn!("cold start: none of {count} nodes votes; merging what their disks have");
        if let Some(part) = &mut self.cold.part {
            (part.births, part.stage) = (births, Stage::Merging);
        }
        self.gather(ctx);
    }

    /// Asks all others what they have.
    pub(super) fn gather(&mut self, ctx: &mut Ctx<'_>) {
        let others = self.members - 1;
        let others = if planted(Mutant::ColdStartOfSome) { self.quorum - 1 } else { others };
        let recovery = Recovery::of_all(ctx.rng.bits(), others);
        let ask = recovery.question();
        self.recovery = Some(recovery);
        ctx.peers.iter_mut().for_each(|to| to.ask(&ask));
        self.maybe_rebuild(ctx);
    }

    /// All slots are merged: everything here is a copy, and promised above all that ever was.
    pub(super) fn finish_merge(&mut self, ctx: &mut Ctx<'_>) {
        let all = SlotSet::full(self.slots);
        let promised = all.iter().map(|slot| self.acceptor.promised(slot));
        let highest = promised.max().unwrap_or_default().max(self.highest);
        let leap = if planted(Mutant::ColdStartReusesBallots) { 1 } else { LEAP };
        let floor = Ballot::new((highest.counter() + leap).min(Ballot::COUNTER_MAX), FIRST);
        if !planted(Mutant::ColdStartKeepsPromises) {
            self.highest = floor;
            self.acceptor.recall(floor, &all);
        }
        self.acceptor.set_copied(&all, true);
        let mut entries = Vec::new();
        self.acceptor.log(&mut entries);
        ctx.replica.journal.entries(&entries);
        if let Some(part) = &mut self.cold.part {
            part.stage = Stage::Merged;
        }
    }

    /// Members, this one included, for which a cold start can't be begun without an operator's word,
    /// and what is to be done about each.
    fn blockers(&self, peers: &Peers) -> Vec<String> {
        let whys = self.whys(peers);
        let told = whys.iter().any(|(_, why)| *why == Why::Told);
        let fresh = whys.iter().all(|(_, why)| *why == Why::Empty);
        let alone = self.members == 1;
        let blocks = |why| match why {
            Why::Damaged => !alone,
            Why::Empty => fresh || !told,
            Why::Tail | Why::Told => false,
        };
        let advise = |(member, why): &(NodeId, Why)| {
            let name = self.name(*member);
            match why {
                Why::Empty => format!(
                    "{name} has no data (is its directory the right one? if so, restart the others \
                     with --cold-start)"
                ),
                Why::Damaged | Why::Tail | Why::Told => {
                    format!("{name} was repaired (restart it with --cold-start)")
                }
            }
        };
        whys.iter().filter(|(_, why)| blocks(*why)).map(advise).collect()
    }

    /// Why members do not vote, as far as they have said.
    fn whys(&self, peers: &Peers) -> Vec<(NodeId, Why)> {
        let others = peers.iter().filter_map(|peer| Some((peer.id, peer.waits?)));
        self.cold.own.map(|why| (self.me, why)).into_iter().chain(others).collect()
    }

    fn name(&self, member: NodeId) -> &str {
        self.names.get(member.index()).map_or("unknown", AsRef::as_ref)
    }

    /// What keeps the cluster from going on, if members have lost too much for it to recover by
    /// itself, and what is to be done about it.
    pub(crate) fn obstacle(&self, peers: &Peers) -> Option<String> {
        let (count, me) = (self.members, self.votes());
        let forgetful =
            peers.iter().filter(|peer| peer.live && !peer.votes && peer.waits.is_some());
        let forgetful = forgetful.count() + usize::from(!me);
        let formed = || self.whys(peers).iter().any(|(_, why)| *why != Why::Empty);
        let well = if me { forgetful < self.quorum } else { !(self.is_recovering() || formed()) };
        if well {
            return None;
        }
        let named = |which: &dyn Fn(&Peer) -> bool| {
            let names = peers.iter().filter(|peer| which(peer)).map(|peer| self.name(peer.id));
            names.collect::<Vec<_>>().join(", ")
        };
        let (voters, needed) = (peers.voters(), self.recovers_from());
        let absent = named(&|peer| !peer.live || !(peer.votes || peer.waits.is_some()));
        if !me && voters >= needed && count > 1 {
            return None;
        }
        let stuck =
            format!("{forgetful} of {count} nodes may have lost writes, too many to recover");
        if !absent.is_empty() {
            return Some(if forgetful >= self.quorum {
                format!("{stuck}; a cold start from all disks waits for {absent}")
            } else {
                format!(
                    "this node may have lost writes and needs {needed} that vote, reached {voters}: \
                     waiting for {absent}"
                )
            });
        }
        let voting = if me { self.name(self.me).to_owned() } else { named(&|peer| peer.votes) };
        if !voting.is_empty() {
            return Some(format!(
                "{stuck}; restart {voting} with --cold-start to go on from all disks"
            ));
        }
        let blockers = self.blockers(peers);
        if blockers.is_empty() {
            return Some(format!("{stuck}; a cold start from all disks is under way"));
        }
        Some(format!("{stuck}; a cold start from all disks waits: {}", blockers.join("; ")))
    }

    /// The same for the log, if it is news. It must have stood for a while: when a cluster forms, the
    /// member that decides it votes a moment before the others do.
    pub(crate) fn new_obstacle(&mut self, peers: &Peers, now: Instant) -> Option<String> {
        let obstacle = self.obstacle(peers);
        if obstacle == self.cold.said {
            self.cold.new_since = None;
            return None;
        }
        let since = *self.cold.new_since.get_or_insert(now);
        if obstacle.is_some() && since + self.timing.silence > now {
            return None;
        }
        self.cold.new_since = None;
        self.cold.said.clone_from(&obstacle);
        obstacle
    }
}
