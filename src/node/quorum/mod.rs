//! The quorum database: a register a key that every node may read and write, through a majority.
//!
//! It is the algorithm of Attiya, Bar-Noy and Dolev, "Sharing memory robustly in message-passing
//! systems" (1995), with the many writers of Lynch and Shvartsman (1997), on the stamps of hybrid
//! clocks (PROTOCOL section 10). There is no leader, so nothing waits for an election when a node
//! fails; in exchange nothing here can read and write a key in one step.
//!
//! An operation is a task ([`task`]) of three steps:
//! - It asks a majority what it has of the key ([`questions`], [`tally`]): a version, not the value.
//!   What a member shows must be durable there. Our own copy is one answer, on the same terms.
//! - It is decided ([`decide`]). A write is stamped above all that was shown, put into our copy and
//!   into all streams. A read takes our copy, after it has fetched a newer record that was shown.
//! - What the reply shows has to land: a majority holds it, or something newer, durably. Of a write
//!   the acknowledgements of the streams tell, by position ([`crate::node::flights`]). Of a read the
//!   answers have told if a majority showed the same; members that showed less are sent the record
//!   (the write-back of ABD), then asked again on the same link. Without that a later read might
//!   find the older value again.
//!
//! Why a later operation sees an earlier one: what was shown by a reply is durable at a majority,
//! which shares a member with every majority asked later; states never go back; and a version names
//! one body. So the newest shown is at least what any reply before the question showed. Clocks have
//! no part in that. They only make stamps near real time, and a stamp from too far ahead is refused
//! as in the eventual database.
//!
//! # Deletions
//! A member that has removed a tombstone shows nothing of the key, and its floor with that: whatever
//! the key had at or below is dead, on all members ([`crate::node::floor`]). For whoever shows it
//! this counts as much as the tombstone would. A writer stamps above all floors that it is shown.
//!
//! # Flushes
//! FLUSHDB is one stamp below which all records are dead. What a member shows of a key is the
//! version of its record, or, where it has none, its flush stamp: a replica holds no record at or
//! below that stamp, so this is the newest of the two, and a flush is to every key what a deletion
//! is to one. The argument above then holds for flushes too. A reader that finds the newest to be a
//! flush takes it over, which empties its own copy, and writes it back as [`Frame::Flushed`] where
//! less was shown. FLUSHDB itself asks a majority for their clocks, which are above all that they
//! hold, hence above every write acknowledged before it; it is stamped above them, so it kills
//! those writes, and it is acknowledged when it has landed.
//!
//! # Order and limits
//! Tasks on one key are decided in the order in which they came ([`super::chains`]), and all tasks before
//! or after a flush on their side of it: so a connection may pipeline. Replies may come in any
//! order; the connection puts them right. A task lives for at most [`Timing::request`]. Until it is
//! stamped nothing was written, and it is refused; a stamped one is in doubt. What is under way is
//! counted ([`Quorum::load`]), and the node reads no clients while that is too much; of what moves
//! records besides the streams there is a limit of its own.
//!
//! Deliberately absent: conditional writes, an order among several keys, and a view of all keys.
//! DBSIZE tells of this node's copy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    chains::Chains,
    eventual::Replica,
    flights::{Flights, Number},
    strong::{
        Ctx,
        request::{IN_DOUBT, Origin},
    },
    votes::Votes,
};
use crate::{
    command::op::{Answer, Op},
    limits::{Limits, Timing},
    log::Batch,
    members::Members,
    probe::{Hook, reached},
    proto::peer::{self, Frame},
    record::{Db, NodeId, Version},
    time::Instant,
};

mod decide;
mod questions;
mod serve;
mod tally;
mod task;
#[cfg(test)]
mod tests;

use questions::Questions;
use tally::Shown;
use task::{Stage, Task};

/// Bytes of keys in one question.
const QUESTION_SIZE: usize = 64 * 1024;

/// This node's part in the quorum database.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Quorum {
    me: NodeId,
    quorum: usize,
    limits: Limits,
    timing: Timing,
    /// This node votes: the cluster has formed with the data that it has.
    votes: bool,
    tasks: Flights<Task>,
    chains: Chains,
    /// Flushes that are not decided, oldest first.
    flushes: VecDeque<Number>,
    /// To be asked about at the end of the turn: of all members, and of one.
    gathering: Vec<Number>,
    again: BTreeMap<NodeId, Vec<Number>>,
    questions: Questions,
    /// What we hold is an answer too, once a batch is durable.
    own: BTreeMap<(Batch, Number), Shown>,
    /// Versions that were sent to a member this turn: once is enough for all tasks.
    copied: BTreeSet<(NodeId, Version)>,
    /// Tasks that need room to move records, and how much is taken.
    queue: VecDeque<Number>,
    charged: usize,
    /// Bytes of all tasks.
    size: usize,
    outcomes: Vec<(Origin, Answer<'static>)>,
}

impl Quorum {
    /// Nothing is under way, and this node does not vote.
    pub(crate) fn new(members: &Members, limits: Limits, timing: Timing) -> Self {
        let (me, quorum) = (members.me(), members.quorum());
        Self {
            me,
            quorum,
            limits,
            timing,
            votes: false,
            tasks: Flights::new(me, members.len(), quorum),
            chains: Chains::default(),
            flushes: VecDeque::new(),
            gathering: Vec::new(),
            again: BTreeMap::new(),
            questions: Questions::default(),
            own: BTreeMap::new(),
            copied: BTreeSet::new(),
            queue: VecDeque::new(),
            charged: 0,
            size: 0,
            outcomes: Vec::new(),
        }
    }

    /// Tasks under way and bytes that they hold. Tasks that are over count as long as an older one
    /// is not, for so long their places are kept.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.tasks.span(), self.size)
    }

    /// Bytes that are counted though nothing is under way; there should be none.
    pub(crate) fn left_over(&self) -> usize {
        if self.tasks.span() == 0 { self.size + self.charged } else { 0 }
    }

    /// An operation of a client of ours: not one that reads before it writes.
    pub(crate) fn submit(&mut self, ctx: &mut Ctx<'_>, origin: Origin, op: &Op<'_>) {
        debug_assert!(!op.is_conditional());
        let number = self.open(Task::new(origin, Some(op), ctx.now.mono + self.timing.request));
        if let Some(before) = self.chains.begin(xxh3_64(op.key), number) {
            self.link(before, number);
        }
        self.ask(ctx, number);
    }

    /// A client of ours wants the database empty.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, origin: Origin) {
        let number = self.open(Task::new(origin, None, ctx.now.mono + self.timing.request));
        self.flushes.push_back(number);
        self.ask(ctx, number);
    }

    /// This node votes from now on.
    pub(crate) fn begin(&mut self, ctx: &mut Ctx<'_>) {
        self.votes = true;
        for number in self.all() {
            self.ask(ctx, number);
        }
    }

    /// Our link to a peer is live and the peer votes, or it votes from now on; `resumed` if the
    /// stream goes on where it was. It is asked what it has not answered.
    pub(crate) fn on_live(&mut self, ctx: &mut Ctx<'_>, peer: NodeId, resumed: bool) {
        if !resumed {
            // Positions in an earlier stream say nothing any more, nor what an earlier life had.
            self.tasks.on_restarted(peer);
            self.discard(ctx, peer);
        }
        if !ctx.peers.get_mut(peer).is_some_and(|peer| peer.votes_in_reach()) {
            return;
        }
        for number in self.all() {
            let Some(task) = self.tasks.get(number) else { continue };
            let voted = self.tasks.votes(number).is_some_and(|votes| votes.contains(peer));
            match &task.stage {
                Stage::Asking(asking) if !asking.tally.answered().contains(peer) => {
                    self.again.entry(peer).or_default().push(number);
                }
                // The stream that goes on carries it.
                Stage::Landing(landing) if landing.stamped && resumed => {}
                Stage::Landing(_) if !voted => self.write_back(ctx, number, peer),
                Stage::Asking(_) | Stage::Landing(_) => {}
            }
        }
    }

    /// What a peer has said so far counts no more: it may have forgotten it.
    pub(crate) fn discard(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        self.tasks.retract(peer);
        self.questions.on_lost(peer);
        for number in self.all() {
            let asking = self.tasks.get_mut(number).and_then(Task::asking);
            if asking.is_some_and(|asking| asking.tally.answered().contains(peer)) {
                self.restart(ctx, number);
            }
        }
    }

    /// Our link to a peer is gone: what it was asked it will not answer.
    pub(crate) fn on_lost(&mut self, ctx: &mut Ctx<'_>, peer: NodeId) {
        self.questions.on_lost(peer);
        self.again.remove(&peer);
        self.copied.retain(|(to, _)| *to != peer);
        let mut restart = Vec::new();
        for number in self.all() {
            let Some(task) = self.tasks.get_mut(number) else { continue };
            task.sent.retract(peer);
            let fetching = task.asking().and_then(|asking| asking.fetching);
            if fetching.is_some_and(|(from, _)| from == peer) {
                restart.push(number);
            }
        }
        restart.into_iter().for_each(|number| self.restart(ctx, number));
    }

    /// A peer that votes has our stream to it, durably, up to a position.
    pub(crate) fn on_ack(&mut self, peer: NodeId, pos: u64) {
        let mut landed = Vec::new();
        self.tasks.on_ack(peer, pos, |_, task| landed.push(task));
        landed.into_iter().for_each(|task| self.landed(task));
    }

    /// The log has everything up to a batch.
    pub(crate) fn on_durable(&mut self, ctx: &mut Ctx<'_>, batch: Batch) {
        let mut landed = Vec::new();
        self.tasks.on_durable(batch, |_, task| landed.push(task));
        landed.into_iter().for_each(|task| self.landed(task));
        while let Some(first) = self.own.first_entry()
            && first.key().0 <= batch
        {
            let ((_, number), shown) = first.remove_entry();
            self.on_shown(ctx, self.me, number, shown);
        }
    }

    /// The turn is over: members are asked what its tasks need to know.
    pub(crate) fn end_turn(&mut self, ctx: &mut Ctx<'_>) {
        self.run_queue(ctx);
        self.try_flush(ctx);
        self.copied.clear();
        if self.gathering.is_empty() && self.again.is_empty() {
            return;
        }
        let mut all = Votes::default();
        let voters = ctx.peers.iter().filter(|peer| peer.votes_in_reach());
        voters.for_each(|peer| {
            all.add(peer.id);
        });
        let gathered = std::mem::take(&mut self.gathering);
        self.put(ctx, all, gathered);
        for (peer, numbers) in std::mem::take(&mut self.again) {
            let mut one = Votes::default();
            one.add(peer);
            self.put(ctx, one, numbers);
        }
    }

    /// The answers known since this was last asked, and whom they are for.
    pub(crate) fn take_outcomes(&mut self) -> Vec<(Origin, Answer<'static>)> {
        std::mem::take(&mut self.outcomes)
    }

    /// When [`Quorum::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.tasks.iter().next().map(|task| task.deadline)
    }

    /// Tells those who have waited long enough what is certain. All wait equally long, so the
    /// oldest is the first to give up.
    pub(crate) fn expire(&mut self, ctx: &mut Ctx<'_>, refusal: &Answer<'static>) {
        while self.next_deadline().is_some_and(|deadline| deadline <= ctx.now.mono)
            && let Some(number) = self.tasks.oldest()
            && let Some(task) = self.tasks.get(number)
        {
            let flush = task.is_flush() && task.is_asking();
            let stamped = matches!(&task.stage, Stage::Landing(landing) if landing.stamped);
            reached(if stamped { Hook::InDoubt } else { Hook::NotWritten });
            let answer = if stamped { IN_DOUBT } else { refusal.clone() };
            let next = self.finish(number, answer);
            self.settle(ctx, next);
            if flush {
                self.settle_all(ctx);
            }
        }
    }

    fn open(&mut self, task: Task) -> Number {
        self.size += task.size();
        self.tasks.open(task)
    }

    fn all(&self) -> Vec<Number> {
        self.tasks.numbers().collect()
    }

    /// A task waits for the one before it on its key.
    fn link(&mut self, before: Number, number: Number) {
        if let Some(asking) = self.tasks.get_mut(before).and_then(Task::asking) {
            asking.next = Some(number);
            if let Some(asking) = self.tasks.get_mut(number).and_then(Task::asking) {
                asking.behind = true;
            }
        }
    }

    /// Asks what a majority has, ourselves first. Nobody is asked before this node votes.
    fn ask(&mut self, ctx: &mut Ctx<'_>, number: Number) {
        let Some(task) = self.tasks.get(number).filter(|_| self.votes) else { return };
        self.gathering.push(number);
        if task.is_flush() {
            let shown = clock(ctx, self.me);
            return self.on_shown(ctx, self.me, number, shown);
        }
        let (key, journal) = (task.key(), &ctx.replica.journal);
        let shown = held(ctx.replica, key);
        match journal.wait_for_key(Db::QUORUM, key) {
            Some(batch) => {
                self.own.insert((batch, number), shown);
            }
            None => self.on_shown(ctx, self.me, number, shown),
        }
    }

    /// What was shown can't be had: asks again.
    fn restart(&mut self, ctx: &mut Ctx<'_>, number: Number) {
        if let Some(asking) = self.tasks.get_mut(number).and_then(Task::asking) {
            (asking.tally, asking.fetching) = Default::default();
            self.ask(ctx, number);
        }
    }

    /// Puts a question about tasks to members, in messages of bounded size.
    fn put(&mut self, ctx: &mut Ctx<'_>, to: Votes, numbers: Vec<Number>) {
        let (mut tasks, mut keys) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(task) = self.tasks.get(number) else { continue };
            if task.is_flush() {
                self.put_one(ctx, to, vec![number], &[]);
                continue;
            }
            peer::push_key(&mut keys, task.key());
            tasks.push(number);
            if keys.len() >= QUESTION_SIZE {
                self.put_one(ctx, to, std::mem::take(&mut tasks), &keys);
                keys.clear();
            }
        }
        if !tasks.is_empty() {
            self.put_one(ctx, to, tasks, &keys);
        }
    }

    fn put_one(&mut self, ctx: &mut Ctx<'_>, to: Votes, tasks: Vec<Number>, keys: &[u8]) {
        let id = self.questions.ask(to, tasks);
        for node in to.iter() {
            if let Some(peer) = ctx.peers.get_mut(node) {
                peer.ask(&Frame::Query { id, db: Db::QUORUM, keys });
            }
        }
    }
}

/// What a replica holds of a key.
fn held(replica: &Replica, key: &[u8]) -> Shown {
    let floor = replica.floors.known_absent();
    match replica.store.get(Db::QUORUM, key) {
        Some(record) => Shown { version: record.version, record: true, floor },
        None => Shown { version: replica.store.flushed(Db::QUORUM), record: false, floor },
    }
}

/// A stamp at or above all that this replica holds.
fn clock(ctx: &Ctx<'_>, me: NodeId) -> Shown {
    let version = Version::stamp(ctx.replica.clock(), me, 0);
    Shown { version, record: false, floor: 0 }
}
