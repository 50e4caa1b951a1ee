//! Deciding tasks, and making what they show land.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Quorum, Shown, held,
    task::{Landing, Stage, Step, Task, refused},
};
use crate::{
    command::op::{Action, Answer, Held},
    node::{
        client::CLOCK_REFUSED,
        eventual::{Refused, Replica},
        flights::Number,
        peers::Peer,
        strong::Ctx,
        votes::Votes,
    },
    probe::{
        Hook, Mutant,
        claims::{HEARD, held_by_majority},
        planted, reached,
    },
    proto::peer::{self, Frame},
    record::{Db, NodeId, Version},
};

/// What fetching a record takes of the room for moving records: its size is not known before.
const FETCH_SIZE: usize = 1024 * 1024;

/// What a task comes to.
enum Decided {
    /// Nothing is left to be done.
    Over(Answer<'static>),
    /// We hold what the answer shows; a majority has to.
    Read(Version, Answer<'static>),
    /// There is no room for it now.
    Queued,
    /// It is stamped and on its way.
    Stamped(Landing),
}

impl Quorum {
    /// A member shows, durably, what it has of a task's key.
    pub(super) fn on_shown(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        number: Number,
        shown: Shown,
    ) {
        let Some(task) = self.tasks.get_mut(number) else { return };
        match &mut task.stage {
            // A flush is decided by itself: many may have to go on then.
            Stage::Asking(asking) => {
                asking.tally.add(from, shown);
                if !task.is_flush() {
                    self.settle(ctx, Some(number));
                }
            }
            Stage::Landing(landing) if shown.reaches(landing.version) => {
                if let Some(task) = self.tasks.on_vote(from, number) {
                    self.landed(task);
                }
            }
            // An answer that comes late. What we stamped is on its way there.
            Stage::Landing(landing) if !landing.stamped && !task.sent.contains(from) => {
                self.write_back(ctx, number, from);
            }
            Stage::Landing(_) => {}
        }
    }

    /// Decides a task, if it can be, and then those that wait for it.
    pub(super) fn settle(&mut self, ctx: &mut Ctx<'_>, first: Option<Number>) {
        let mut next = first;
        while let Some(number) = next {
            next = self.decide(ctx, number);
        }
    }

    /// Decides the tasks that wait for room, as far as there is some.
    pub(super) fn run_queue(&mut self, ctx: &mut Ctx<'_>) {
        for _ in 0..self.queue.len() {
            if self.charged >= self.limits.requests_size_max {
                break;
            }
            let Some(number) = self.queue.pop_front() else { break };
            if let Some(asking) = self.tasks.get_mut(number).and_then(Task::asking) {
                asking.queued = false;
                self.settle(ctx, Some(number));
            }
        }
    }

    /// Decides the oldest flush, if it can be, and then those that wait for it.
    pub(super) fn try_flush(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(flush) = self.flushes.front().copied() {
            self.settle(ctx, Some(flush));
            if self.flushes.front() == Some(&flush) {
                return;
            }
            self.settle_all(ctx);
        }
    }

    /// Decides what can be.
    pub(super) fn settle_all(&mut self, ctx: &mut Ctx<'_>) {
        for number in self.all() {
            self.settle(ctx, Some(number));
        }
    }

    /// A task is over. The task that may go on now.
    pub(super) fn finish(&mut self, number: Number, answer: Answer<'static>) -> Option<Number> {
        let next = self.leave(number);
        if let Some(task) = self.tasks.take(number) {
            self.forget(&task);
            self.outcomes.push((task.origin, answer));
        }
        next
    }

    /// A majority has what a task shows.
    pub(super) fn landed(&mut self, task: Task) {
        self.forget(&task);
        if HEARD && let (Some(op), Stage::Landing(landing)) = (task.op(), &task.stage) {
            held_by_majority(Db::QUORUM.number(), op.key, landing.version.to_bits());
        }
        if let Stage::Landing(landing) = task.stage {
            reached(Hook::QuorumLanded);
            self.outcomes.push((task.origin, landing.answer));
        }
    }

    /// Sends a member what we hold of a task's key and asks it again, if it can be reached; else it
    /// will be when it can.
    pub(super) fn write_back(&mut self, ctx: &mut Ctx<'_>, number: Number, to: NodeId) {
        let Some(task) = self.tasks.get_mut(number) else { return };
        let Some(peer) = ctx.peers.get_mut(to).filter(|peer| peer.votes_in_reach()) else { return };
        reached(Hook::QuorumWrittenBack);
        task.sent.add(to);
        let store = &ctx.replica.store;
        let shown = if task.is_flush() {
            Shown { version: store.flushed(Db::QUORUM), record: false, floor: 0 }
        } else {
            held(ctx.replica, task.key())
        };
        if self.copied.insert((to, shown.version)) {
            match store.encoded(Db::QUORUM, task.key()).filter(|_| shown.record) {
                Some(record) => peer.ask(&Frame::Copy { record }),
                None => {
                    peer.ask(&Frame::Flushed { db: Db::QUORUM, version: shown.version });
                    tell_floor(ctx.replica, peer);
                }
            }
        }
        self.again.entry(to).or_default().push(number);
    }

    /// Does what a task needs next. The task that may go on now.
    fn decide(&mut self, ctx: &mut Ctx<'_>, number: Number) -> Option<Number> {
        let barred = self.is_barred(number);
        let task = self.tasks.get(number).filter(|_| self.votes && !barred)?;
        let own = held(ctx.replica, task.key());
        let need = self.needed(task);
        match task.next_step(own, need) {
            Step::Wait => None,
            Step::Fetch(version) => {
                self.fetch(ctx, number, version);
                None
            }
            Step::TakeFlush(version) => {
                match ctx.replica.merge_flush(ctx.now, Db::QUORUM, version) {
                    Ok(()) => Some(number),
                    Err(refusal) => self.finish(number, clock_behind(refusal)),
                }
            }
            Step::Decide => {
                let decided = self.carry_out(ctx, number);
                self.on_decided(ctx, number, decided)
            }
        }
    }

    /// Whether a task is on the wrong side of a flush, or a flush behind tasks.
    fn is_barred(&self, number: Number) -> bool {
        match self.flushes.front() {
            None => false,
            Some(flush) if *flush == number => {
                let mut before = self.tasks.numbers().take_while(|other| *other < number);
                before.any(|other| self.tasks.get(other).is_some_and(Task::is_asking))
            }
            Some(flush) => *flush < number,
        }
    }

    /// How many answers a task needs.
    fn needed(&self, task: &Task) -> usize {
        let reads = task.op().is_some_and(|op| op.is_read());
        if reads && planted(Mutant::QuorumReadOne) {
            self.quorum - 1
        } else if !reads && planted(Mutant::QuorumStampUnasked) {
            0
        } else {
            self.quorum
        }
    }

    /// Does what a task is about on our copy, which has all that was shown of it.
    fn carry_out(&mut self, ctx: &mut Ctx<'_>, number: Number) -> Decided {
        let Some(task) = self.tasks.get(number) else { return Decided::Queued };
        let Stage::Asking(asking) = &task.stage else { return Decided::Queued };
        let best = asking.tally.best().version;
        let floor = Version::stamp(asking.tally.floor(), self.me, 0);
        let above = best.max(floor);
        let Some(op) = task.op() else { return self.stamp(ctx, number, above) };
        let (key, store) = (op.key, &ctx.replica.store);
        let record = store.get(Db::QUORUM, key);
        let shown = planted(Mutant::ExpiredCopyShown) && op.is_read();
        let wall_ms = if shown { 0 } else { ctx.now.wall_ms };
        let visible = record.and_then(|record| Held::of(&record, wall_ms));
        let deletes_nothing = matches!(op.action, Action::Delete) && visible.is_none();
        if !op.is_read() && !deletes_nothing {
            return self.stamp(ctx, number, above);
        }
        let version = held(ctx.replica, key).version;
        let holders = asking.tally.holders(version);
        let answer = op.apply(visible, ctx.now.wall_ms).1.into_owned();
        let charge = store.encoded(Db::QUORUM, key).map_or(0, <[u8]>::len);
        if holders.count() < self.quorum && !self.charge(number, charge) {
            return Decided::Queued;
        }
        Decided::Read(version, answer)
    }

    /// Writes above everything that was shown. Nothing is written if the clocks don't allow it.
    fn stamp(&mut self, ctx: &mut Ctx<'_>, number: Number, best: Version) -> Decided {
        if ctx.peers.find_us_ahead() {
            return Decided::Over(refused(CLOCK_REFUSED));
        }
        if let Err(refusal) = ctx.replica.witness(ctx.now, best) {
            return Decided::Over(clock_behind(refusal));
        }
        let Some(task) = self.tasks.get(number) else { return Decided::Queued };
        let batch = ctx.replica.journal.gathering();
        let (db, now) = (Db::QUORUM, ctx.now);
        let mut sent = Vec::new();
        let (version, answer) = match task.op() {
            None => {
                let version = ctx.replica.flush(now, db);
                sent.extend(
                    ctx.peers
                        .iter_mut()
                        .filter_map(|peer| Some((peer.id, peer.outbox.push_flush(db, version)?))),
                );
                (version, Answer::Ok)
            }
            Some(op) => {
                let (record, answer) = match op.action {
                    Action::Set { value, expiry, .. } => {
                        // A time that is over is kept as such: a tombstone needs somebody to find
                        // a value, and there may be one that this node has not seen.
                        let end = expiry.unheld(now.wall_ms).unwrap_or(Some(now.wall_ms));
                        (Some(ctx.replica.set(now, db, op.key, value, end)), Answer::Ok)
                    }
                    _ => (ctx.replica.delete(now, db, op.key), Answer::Integer(1)),
                };
                let record = record.unwrap_or_default();
                sent.extend(
                    ctx.peers
                        .iter_mut()
                        .filter_map(|peer| Some((peer.id, peer.outbox.push_record(record)?))),
                );
                (held(ctx.replica, op.key).version, answer)
            }
        };
        self.tasks.logged(number, batch);
        sent.into_iter().for_each(|(peer, end)| self.tasks.sent(number, peer, end));
        Decided::Stamped(Landing { version, answer, stamped: true })
    }

    /// What follows from what a task has come to. The task that may go on now.
    fn on_decided(
        &mut self,
        ctx: &mut Ctx<'_>,
        number: Number,
        decided: Decided,
    ) -> Option<Number> {
        match decided {
            Decided::Over(answer) => self.finish(number, answer),
            Decided::Queued => {
                if let Some(asking) = self.tasks.get_mut(number).and_then(Task::asking) {
                    reached(Hook::QuorumQueued);
                    asking.queued = true;
                    self.queue.push_back(number);
                }
                None
            }
            Decided::Stamped(landing) => {
                let (next, _, _) = self.begin_landing(number, landing);
                if planted(Mutant::QuorumWriteOneAck)
                    && let Some(task) = self.tasks.on_vote(NodeId(63), number)
                {
                    self.landed(task);
                }
                next
            }
            Decided::Read(version, answer) => {
                let landing = Landing { version, answer, stamped: false };
                let (next, answered, holders) = self.begin_landing(number, landing);
                self.land_read(ctx, number, answered, holders);
                next
            }
        }
    }

    /// A task is decided. The next that may go on, who had answered, and who held what it shows.
    fn begin_landing(
        &mut self,
        number: Number,
        landing: Landing,
    ) -> (Option<Number>, Votes, Votes) {
        let next = self.leave(number);
        let Some(task) = self.tasks.get_mut(number) else {
            return (next, Votes::default(), Votes::default());
        };
        let (answered, holders) = task.asking().map_or_else(Default::default, |asking| {
            (asking.tally.answered(), asking.tally.holders(landing.version))
        });
        self.size += landing.answer.size();
        task.stage = Stage::Landing(landing);
        (next, answered, holders)
    }

    /// Counts who showed what a read shows, and sends it to those who showed less.
    fn land_read(&mut self, ctx: &mut Ctx<'_>, number: Number, answered: Votes, holders: Votes) {
        if (planted(Mutant::QuorumReadNoWriteBack) || planted(Mutant::QuorumReadOne))
            && let Some(task) = self.tasks.take(number)
        {
            return self.landed(task);
        }
        for node in holders.iter() {
            if let Some(task) = self.tasks.on_vote(node, number) {
                return self.landed(task);
            }
        }
        if !holders.contains(self.me)
            && let Some(task) = self.tasks.get(number)
        {
            let key = task.key();
            if let Some(batch) = ctx.replica.journal.wait_for_key(Db::QUORUM, key) {
                self.tasks.logged(number, batch);
            } else if let Some(task) = self.tasks.on_vote(self.me, number) {
                return self.landed(task);
            }
        }
        for node in answered.iter() {
            if !holders.contains(node) && node != self.me {
                self.write_back(ctx, number, node);
            }
        }
    }

    /// Asks a member that showed a record for it.
    fn fetch(&mut self, ctx: &mut Ctx<'_>, number: Number, version: Version) {
        if !self.charge(number, FETCH_SIZE) {
            self.on_decided(ctx, number, Decided::Queued);
            return;
        }
        let Some(task) = self.tasks.get_mut(number) else { return };
        let mut keys = Vec::new();
        peer::push_key(&mut keys, task.key());
        let Some(asking) = task.asking() else { return };
        for node in asking.tally.holders(version).iter() {
            if let Some(peer) = ctx.peers.get_mut(node).filter(|peer| peer.votes_in_reach()) {
                reached(Hook::QuorumFetched);
                asking.fetching = Some((node, version));
                return peer.ask(&Frame::QueryFull { id: number, db: Db::QUORUM, keys: &keys });
            }
        }
        // Nobody who showed it is in reach: others may have it, or nobody may have to.
        self.restart(ctx, number);
    }

    /// Takes room to move a record. One task alone always finds enough.
    fn charge(&mut self, number: Number, size: usize) -> bool {
        let Some(task) = self.tasks.get_mut(number) else { return false };
        let others = self.charged - task.charge;
        let fits = others == 0 || others + size <= self.limits.requests_size_max;
        if fits {
            self.charged = others + size;
            task.charge = size;
        }
        fits
    }

    /// A task will not be asked about any more. The next of its key, which may go on.
    fn leave(&mut self, number: Number) -> Option<Number> {
        let task = self.tasks.get_mut(number)?;
        let hash = (!task.is_flush()).then(|| xxh3_64(task.key()));
        let next = task.asking()?.next;
        match hash {
            Some(hash) => self.chains.end(hash, number),
            None => self.flushes.retain(|flush| *flush != number),
        }
        let after = next.and_then(|next| self.tasks.get_mut(next)).and_then(Task::asking);
        if let Some(after) = after {
            after.behind = false;
        }
        next
    }

    /// What a task took is free again.
    fn forget(&mut self, task: &Task) {
        self.size -= task.size();
        if !planted(Mutant::QuorumRoomKept) {
            self.charged -= task.charge;
        }
    }
}

/// Tells a member up to where deletions have reached all: it may not know of one that we do not
/// remember any more.
fn tell_floor(replica: &Replica, peer: &mut Peer) {
    let (hlc, lives) = replica.floor_told();
    if !lives.is_empty() {
        let (begins, sound, row, lives) = (false, replica.floors.is_sound(), &[][..], &lives[..]);
        peer.ask(&Frame::Floor { begins, sound, clock: 0, promised: 0, hlc, lives, row });
    }
}

/// What is said when members hold a stamp that our clock does not let us take.
pub(super) fn clock_behind(refusal: Refused) -> Answer<'static> {
    match refusal {
        Refused::Ahead(ms) => Answer::Error(
            format!(
                "ERR this key was stamped {ms} ms ahead of the clock of this node; check the \
                 clocks of all nodes; nothing written"
            )
            .into(),
        ),
        Refused::Malformed(_) | Refused::Strong => refused("ERR a member sent what is no record"),
    }
}
