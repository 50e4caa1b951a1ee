//! What clients ask: the connection parses and orders, here the requests are carried out.

use super::{
    LinkId, Node,
    checkpoint::Checkpoint,
    eventual::Replica,
    exec::{needs_strong, plain_set},
    formation::Formation,
    gather::{Gathers, Join},
    info::{self, Stats},
    inquiry::{About, Inquiry},
    keyspace,
    links::End,
    moves::Moves,
    peers::Peers,
    quorum::Quorum,
    removal::Removal,
    scripts::Scripts,
    strong::{Ctx, Strong, request::Origin},
    timers::Watch,
    wait::Wrote,
};
use crate::{
    command::{
        Command,
        batch::Builder,
        op::{Action, Answer, Held, Op},
    },
    conn::{Done, Request, Ticket, Wait},
    members::Members,
    probe::{Hook, reached},
    proto::reply::ReplyWriter,
    record::Db,
    rng::Rng,
    time::Now,
};

/// Why writes are refused when a majority finds our clock ahead.
pub(super) const CLOCK_REFUSED: &str = "ERR the clock of this node is ahead of a majority by more than they \
                             accept; nothing written";

/// What happened to a client's connection.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Input<'a> {
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// Its input ended.
    Eof,
    /// Its output has drained enough to go on with requests that wait.
    Resume,
    /// We are stopping.
    Shutdown,
}

impl Node {
    pub(super) fn run_client(&mut self, now: Now, link: LinkId, input: Input<'_>) {
        let clients = self.client_count();
        let clock_refused = self.peers.find_us_ahead();
        let Some(End::Client { connection, waits, wrote: ever, .. }) = self.links.end_mut(link)
        else {
            return;
        };
        let before = connection.buffered();
        let mut executor = Executor {
            now,
            link,
            strong: &mut self.strong,
            quorum: &mut self.quorum,
            gathers: &mut self.gathers,
            moves: &mut self.moves,
            scripts: &mut self.scripts,
            scripts_max: self.limits.scripts_max,
            rng: &mut self.rng,
            replica: &mut self.replica,
            peers: &mut self.peers,
            members: &self.members,
            stats: &mut self.stats,
            clients,
            clock_refused,
            checkpoint: &mut self.checkpoint,
            removal: &self.removal,
            formation: &self.formation,
            inquiries: &mut self.inquiries,
            ever,
        };
        let mut execute = |request: Request<'_>| executor.execute(request);
        let (limits, workspace) = (&self.limits, &mut self.workspace);
        match input {
            Input::Bytes(bytes) => {
                connection.handle_bytes(bytes, limits, workspace, &mut execute);
            }
            Input::Eof => connection.handle_eof(limits, workspace, &mut execute),
            Input::Resume => connection.resume(limits, workspace, &mut execute),
            Input::Shutdown => connection.shut(),
        }
        if connection.is_held() && !std::mem::replace(waits, true) {
            self.waiting.push(link);
        }
        let after = connection.buffered();
        let (finished, paused) = (connection.is_finished(), connection.is_paused());
        let (written, idle) = (connection.written(), connection.output().is_empty());
        self.buffered = self.buffered + after - before;
        if self.buffered > self.limits.buffers_total && after > before {
            tracing::warn!(link = link.0, "closed a client: all buffers together are full");
            self.close(now, link);
        } else if finished {
            self.close(now, link);
        } else if !idle {
            self.links.touch(link);
        }
        if paused && self.watched.iter().all(|watched| watched.link != link) {
            reached(Hook::ClientPaused);
            self.watched.push(Watch::new(now, link, written));
        }
        self.inquire(now);
    }

    /// Answers a client with the one error for a full or stopping node.
    pub(super) fn turn_away(&mut self, link: LinkId) {
        let Some(End::Client { connection, fresh, .. }) = self.links.end_mut(link) else { return };
        *fresh = false;
        let before = connection.buffered();
        connection.turn_away("ERR max number of clients reached");
        self.buffered = self.buffered + connection.buffered() - before;
        self.stats.turned_away += 1;
        self.links.touch(link);
    }

    /// Open links that are not known to join nodes.
    pub(super) fn client_count(&self) -> usize {
        let dialed = self.peers.iter().filter(|peer| peer.link().is_some()).count();
        self.links.len() - self.accepted.len() - dialed
    }
}

/// One client's requests of one turn at work.
pub(super) struct Executor<'a> {
    now: Now,
    pub(super) link: LinkId,
    strong: &'a mut Strong,
    quorum: &'a mut Quorum,
    pub(super) gathers: &'a mut Gathers,
    pub(super) moves: &'a mut Moves,
    pub(super) scripts: &'a mut Scripts,
    pub(super) scripts_max: usize,
    rng: &'a mut Rng,
    pub(super) replica: &'a mut Replica,
    peers: &'a mut Peers,
    members: &'a Members,
    stats: &'a mut Stats,
    clients: usize,
    clock_refused: bool,
    checkpoint: &'a mut Checkpoint,
    removal: &'a Removal,
    formation: &'a Formation,
    inquiries: &'a mut Vec<Inquiry>,
    /// What the connection wrote in all its life.
    pub(super) ever: &'a mut Wrote,
}

/// Where a request stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) db: Db,
    pub(super) ticket: Ticket,
    /// This node's copy is good enough for its reads.
    readonly: bool,
    /// Earlier requests of the connection are not answered.
    pub(super) behind: bool,
}

impl Executor<'_> {
    /// Carries out a request, or begins to, and says what its reply must wait for.
    fn execute(&mut self, request: Request<'_>) -> Done {
        self.stats.commands += 1;
        let Request { db, command, mut reply, ticket, readonly, behind, transaction } = request;
        let place = Place { db, ticket, readonly, behind };
        match command {
            Command::Op { name, op } => self.op(place, name, &op, &mut reply),
            Command::Del { .. }
            | Command::Exists { .. }
            | Command::Lcs { .. }
            | Command::MGet { .. }
            | Command::MSet { .. } => self.several(place, command, &mut reply),
            Command::Copy { .. }
            | Command::Eval { .. }
            | Command::Exec
            | Command::MSetNx { .. }
            | Command::Script(_)
            | Command::Watch { .. } => {
                self.carry_out_together(place, command, transaction, &mut reply)
            }
            Command::DbSize => {
                reply.integer(self.replica.store.live(db) as i64);
                Done::Now(self.all_durable())
            }
            Command::FlushAll => self.flush_all(ticket, &mut reply),
            Command::FlushDb => self.flush(db, ticket, &mut reply),
            Command::Info { section } => self.info(section, &mut reply),
            Command::Keys { .. } | Command::RandomKey | Command::Scan { .. } => {
                self.look_at_keys(db, command, &mut reply);
                Done::Now(self.all_durable())
            }
            Command::Time => {
                self.time().write(&mut reply);
                Done::Now(None)
            }
            Command::LastSave => {
                reply.integer((self.checkpoint.completed_at_ms() / 1000) as i64);
                Done::Now(None)
            }
            Command::Save { background } => Done::Now(self.save(background, &mut reply)),
            Command::Replicas { key } => {
                self.inquire(ticket, About::Replicas { db, key: key.into() })
            }
            Command::Status => self.inquire(ticket, About::Status),
            Command::Wait { replicas, timeout } => {
                let wrote = *self.ever;
                self.inquire(ticket, About::Wait { wrote, replicas, timeout })
            }
            Command::Auth { .. }
            | Command::Client(_)
            | Command::Command { .. }
            | Command::ConfigGet { .. }
            | Command::Discard
            | Command::Echo { .. }
            | Command::Hello { .. }
            | Command::Help { .. }
            | Command::Multi
            | Command::Ping { .. }
            | Command::Proto { .. }
            | Command::Quit
            | Command::ReadOnly { .. }
            | Command::Reset
            | Command::Select { .. }
            | Command::Unwatch => unreachable!("answered by the connection itself"),
        }
    }

    /// What is one operation on each of several keys.
    fn several(&mut self, place: Place, command: Command<'_>, reply: &mut ReplyWriter<'_>) -> Done {
        let (keys, action, join) = match command {
            Command::Del { keys } => (keys, Action::Delete, Join::Sum),
            Command::Exists { keys } => (keys, Action::Exists, Join::Sum),
            Command::Lcs { keys, ask } => (keys, Action::Get, Join::Lcs(ask)),
            Command::MGet { keys } => (keys, Action::Get, Join::List),
            Command::MSet { pairs } => {
                let ops = pairs.pairs().map(|(key, value)| Op::new(key, plain_set(value)));
                return self.ops(place, Join::AllOk, ops, reply);
            }
            other => unreachable!("{other:?} is no such command"),
        };
        self.ops(place, join, keys.iter().map(|key| Op::new(key, action)), reply)
    }

    /// What speaks of all keys of this node's copy.
    fn look_at_keys(&mut self, db: Db, command: Command<'_>, reply: &mut ReplyWriter<'_>) {
        let (store, wall_ms) = (&self.replica.store, self.now.wall_ms);
        match command {
            Command::Keys { pattern } => keyspace::keys(store, db, pattern, wall_ms, reply),
            Command::Scan { cursor, pattern, count, nothing } => {
                let scan = keyspace::Scan { cursor, pattern, count, nothing };
                scan.run(store, db, wall_ms, reply);
            }
            _ => keyspace::random_key(store, db, self.rng, wall_ms, reply),
        }
    }

    /// TIME.
    pub(super) fn time(&self) -> Answer<'static> {
        let (seconds, millis) = (self.now.wall_ms / 1000, self.now.wall_ms % 1000);
        let text = |number: u64| Answer::Bulk(number.to_string().into_bytes().into());
        Answer::List(vec![text(seconds), text(millis * 1000)])
    }

    /// Something that is answered from all that the node knows.
    fn inquire(&mut self, ticket: Ticket, about: About) -> Done {
        self.inquiries.push(Inquiry { link: self.link, ticket, about });
        Done::Later(0)
    }

    /// One operation on one key.
    pub(super) fn op(
        &mut self,
        place: Place,
        name: &str,
        op: &Op<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        if op.is_conditional() && place.db != Db::STRONG {
            reply.error(needs_strong(name));
            return Done::Now(None);
        }
        if !op.is_read() {
            self.ever.note(place.db);
        }
        if place.db != Db::EVENTUAL && !(place.readonly && op.is_read()) {
            let origin = Origin::Client { link: self.link, ticket: place.ticket };
            let expected = self.expected(place.db, op);
            self.submit(place, origin, op);
            return Done::Later(expected);
        }
        if op.is_read() {
            let record = self.replica.store.get(place.db, op.key);
            let held = record.and_then(|record| Held::of(&record, self.now.wall_ms));
            op.apply(held, self.now.wall_ms).1.write(reply);
            return Done::Now(self.local_wait(place.db, op));
        }
        let answer = self.local(place.db, op);
        answer.write(reply);
        Done::Now(self.local_wait(place.db, op))
    }

    /// Operations on several keys, whose answers become one.
    fn ops<'o>(
        &mut self,
        place: Place,
        join: Join,
        ops: impl ExactSizeIterator<Item = Op<'o>> + Clone,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let reads = ops.clone().all(|op| op.is_read());
        if !reads {
            self.ever.note(place.db);
        }
        if place.db != Db::EVENTUAL && !(place.readonly && reads) {
            let gather = self.gathers.begin(self.link, place.ticket, join, ops.len());
            let mut expected = 0;
            for (index, op) in ops.enumerate() {
                let origin = Origin::Part { gather, index: index as u32 };
                expected += self.expected(place.db, &op);
                self.submit(place, origin, &op);
            }
            return Done::Later(expected);
        }
        let mut batch = None;
        let mut answers = Vec::with_capacity(ops.len());
        for op in ops {
            answers.push(self.local(place.db, &op));
            batch = batch.max(self.replica.journal.wait_for_key(place.db, op.key));
        }
        join.write(&answers, reply);
        Done::Now(batch.map(Wait::Durable))
    }

    /// Bytes that the answer to an operation will have, as far as this node's copy tells.
    pub(super) fn expected(&self, db: Db, op: &Op<'_>) -> usize {
        if !op.shows_value() {
            return 0;
        }
        let held = self.replica.store.get(db, op.key);
        held.and_then(|record| record.value).map_or(0, <[u8]>::len)
    }

    pub(super) fn submit(&mut self, place: Place, origin: Origin, op: &Op<'_>) {
        let Self { now, replica, peers, rng, .. } = self;
        let mut ctx = Ctx { now: *now, replica, peers, rng };
        if place.db == Db::STRONG {
            self.strong.submit(&mut ctx, origin, op, !place.behind);
        } else {
            self.quorum.submit(&mut ctx, origin, op);
        }
    }

    /// A batch on keys of one slot of the strong database.
    pub(super) fn submit_batch(&mut self, origin: Origin, batch: Builder, slot: u32) {
        let Self { now, replica, peers, rng, .. } = self;
        let mut ctx = Ctx { now: *now, replica, peers, rng };
        self.strong.submit_batch(&mut ctx, origin, batch.finish(), slot);
    }

    /// What an operation comes to on this node's copy.
    pub(super) fn local(&mut self, db: Db, op: &Op<'_>) -> Answer<'static> {
        let now = self.now;
        if !op.is_read() && self.clock_refused {
            return Answer::Error(CLOCK_REFUSED.into());
        }
        match op.action {
            Action::Set { value, expiry, .. } => {
                if let Some(expires_at_ms) = expiry.unheld(now.wall_ms) {
                    let record = self.replica.set(now, db, op.key, value, expires_at_ms);
                    self.peers.iter_mut().for_each(|peer| {
                        peer.outbox.push_record(record);
                    });
                } else {
                    self.delete_here(db, op.key);
                }
                Answer::Ok
            }
            Action::Delete => Answer::Integer(i64::from(self.delete_here(db, op.key))),
            _ => {
                debug_assert!(op.is_read(), "others are for the strong database");
                let record = self.replica.store.get(db, op.key);
                let held = record.and_then(|record| Held::of(&record, now.wall_ms));
                op.apply(held, now.wall_ms).1.into_owned()
            }
        }
    }

    /// Deletes a key of this node's copy, and tells the peers. Whether it was there.
    fn delete_here(&mut self, db: Db, key: &[u8]) -> bool {
        let Some(record) = self.replica.delete(self.now, db, key) else { return false };
        self.peers.iter_mut().for_each(|peer| {
            peer.outbox.push_record(record);
        });
        true
    }

    /// What the answer to an operation on this node's copy waits for.
    fn local_wait(&self, db: Db, op: &Op<'_>) -> Option<Wait> {
        self.replica.journal.wait_for_key(db, op.key).map(Wait::Durable)
    }

    fn flush(&mut self, db: Db, ticket: Ticket, reply: &mut ReplyWriter<'_>) -> Done {
        self.ever.note(db);
        if db == Db::STRONG {
            return self.flush_strong(Origin::Client { link: self.link, ticket });
        }
        if db == Db::QUORUM {
            let Self { now, replica, peers, rng, .. } = self;
            let mut ctx = Ctx { now: *now, replica, peers, rng };
            self.quorum.flush(&mut ctx, Origin::Client { link: self.link, ticket });
            return Done::Later(0);
        }
        if self.clock_refused {
            reply.error(CLOCK_REFUSED);
            return Done::Now(None);
        }
        let stamp = self.replica.flush(self.now, db);
        self.peers.iter_mut().for_each(|peer| {
            peer.outbox.push_flush(db, stamp);
        });
        reply.ok();
        Done::Now(self.all_durable())
    }

    fn flush_all(&mut self, ticket: Ticket, reply: &mut ReplyWriter<'_>) -> Done {
        if self.clock_refused {
            reply.error(CLOCK_REFUSED);
            return Done::Now(None);
        }
        Db::ALL.into_iter().for_each(|db| self.ever.note(db));
        self.flush_strong(Origin::All { link: self.link, ticket })
    }

    fn flush_strong(&mut self, origin: Origin) -> Done {
        let Self { now, replica, peers, rng, .. } = self;
        let mut ctx = Ctx { now: *now, replica, peers, rng };
        self.strong.flush(&mut ctx, origin);
        Done::Later(0)
    }

    fn info(&self, section: Option<&[u8]>, reply: &mut ReplyWriter<'_>) -> Done {
        let (strong, quorum) = (self.strong.load(), self.quorum.load());
        let text = info::render(&info::Source {
            now: self.now,
            members: self.members,
            replica: self.replica,
            peers: self.peers,
            strong: self.strong,
            formation: self.formation,
            stats: self.stats,
            checkpoint: self.checkpoint,
            removal: self.removal,
            clients: self.clients,
            under_way: (strong.0 + quorum.0, strong.1 + quorum.1),
            section,
        });
        reply.lines(&text);
        Done::Now(None)
    }

    fn save(&mut self, background: bool, reply: &mut ReplyWriter<'_>) -> Option<Wait> {
        if !self.checkpoint.is_idle() {
            reply.error("ERR Background save already in progress");
            return None;
        }
        self.checkpoint.want();
        if background {
            reply.simple("Background saving started");
            return None;
        }
        reply.ok();
        Some(Wait::Saved(self.checkpoint.completed() + 1))
    }

    /// What a reply waits for that shows a change, or what may depend on any.
    fn all_durable(&self) -> Option<Wait> {
        self.replica.journal.wait_for_all().map(Wait::Durable)
    }
}
