//! What clients ask: the connection parses and orders, here the requests are carried out.

use super::{
    LinkId, Node,
    checkpoint::Checkpoint,
    chores::{Job, Kind, Many, OPS_PER_SLICE},
    eventual::Replica,
    exec::needs_strong,
    formation::Formation,
    gather::Gathers,
    here::{self, Way},
    info::{self, Stats},
    inquiry::{About, Inquiry},
    keyspace::{self, KeySearch, RandomSearch},
    links::End,
    load::Asked,
    moves::Moves,
    observer::{Asker, Observer},
    peers::Peers,
    quorum::Quorum,
    removal::Removal,
    scripts::Scripts,
    slow,
    strong::{Ctx, Strong, request::Origin},
    timers::Watch,
    visitors::Addresses,
    wait::Wrote,
};
use crate::{
    command::{
        Called, Command,
        batch::Builder,
        op::{Answer, Held, Op},
    },
    conn::{Done, Host, Note, Request, Ticket, Wait, Words},
    members::Members,
    probe::{Hook, reached},
    proto::{Args, reply::ReplyWriter},
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
        let (clients, blocked) = (self.client_count(), self.waits.len());
        let clock_refused = self.peers.find_us_ahead();
        let Some(End::Client { connection, waits, wrote: ever, asked, visit, .. }) =
            self.links.end_mut(link)
        else {
            return;
        };
        if matches!(input, Input::Bytes(_)) {
            visit.heard = now.mono;
        }
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
            observer: &mut self.observer,
            addresses: visit.addresses,
            clients,
            blocked,
            clock_refused,
            checkpoint: &mut self.checkpoint,
            removal: &self.removal,
            formation: &self.formation,
            inquiries: &mut self.inquiries,
            ever,
            asked,
        };
        let host = &mut executor;
        let (limits, workspace) = (&self.limits, &mut self.workspace);
        match input {
            Input::Bytes(bytes) => {
                connection.handle_bytes(bytes, limits, workspace, host);
            }
            Input::Eof => connection.handle_eof(limits, workspace, host),
            Input::Resume => connection.resume(limits, workspace, host),
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
        self.feed_monitors(now);
    }

    /// Notes which requests of a client are over.
    pub(super) fn note_ended(&mut self, now: Now, link: LinkId) {
        let Some(End::Client { connection, visit, .. }) = self.links.end_mut(link) else { return };
        let (name, ended) = connection.name_and_ended();
        for note in ended {
            let asker = || Asker { address: visit.addresses.from.to_string(), name: name.into() };
            self.observer.end(now, note, asker);
        }
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
    pub(super) now: Now,
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
    pub(super) stats: &'a mut Stats,
    pub(super) observer: &'a mut Observer,
    addresses: Addresses,
    clients: usize,
    blocked: usize,
    clock_refused: bool,
    pub(super) checkpoint: &'a mut Checkpoint,
    removal: &'a Removal,
    formation: &'a Formation,
    inquiries: &'a mut Vec<Inquiry>,
    /// What the connection wrote in all its life.
    pub(super) ever: &'a mut Wrote,
    /// Its operations without an answer.
    pub(super) asked: &'a mut Asked,
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

impl Host for Executor<'_> {
    /// Carries out a request, or begins to, and says what its reply must wait for.
    fn execute(&mut self, request: Request<'_>) -> Done {
        self.stats.commands += 1;
        let Request { db, command, mut reply, ticket, readonly, behind, transaction } = request;
        let place = Place { db, ticket, readonly, behind };
        match command {
            Command::Op { name, op } => self.op(place, name, &op, &mut reply),
            Command::Ask(ask) => self.ask(db, ticket, ask, &mut reply),
            Command::Del { keys } => self.ops(place, Kind::Delete, keys, &mut reply),
            Command::Exists { keys } => self.ops(place, Kind::Exists, keys, &mut reply),
            Command::MGet { keys } => self.ops(place, Kind::Get, keys, &mut reply),
            Command::MSet { pairs } => self.ops(place, Kind::Set, pairs, &mut reply),
            Command::Copy { .. }
            | Command::Eval { .. }
            | Command::Exec
            | Command::Lcs { .. }
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
            Command::Info { sections } => self.info(sections, &mut reply),
            Command::Keys { .. } | Command::RandomKey | Command::Scan { .. } => {
                self.look_at_keys(place, command, &mut reply)
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
            | Command::Discard
            | Command::Echo { .. }
            | Command::Fact(_)
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

    fn begin(&mut self, called: Called, args: Args<'_>, db: Db) {
        if self.observer.feed.is_on() {
            if called.spec.name == "reset" {
                self.observer.feed.forget(self.link);
            }
            let address = self.addresses.from.to_string();
            self.observer.feed.note(self.now, (db, &address), called, args);
        }
    }

    fn is_watched(&self) -> bool {
        self.observer.feed.is_on()
    }

    fn end(&mut self, called: Called, args: Args<'_>, failed: Option<&'static str>) {
        self.observer.count(called, failed);
        if self.observer.settings.slower_than_us == 0 {
            // By our clock it took no time at all; whoever wants to see everything sees it too.
            let (settings, words) = (self.observer.settings, slow::pack(called, args));
            let asker = || Asker { address: self.addresses.from.to_string(), name: Box::default() };
            self.observer.slow.note(self.now, 0, &settings, &words, asker);
        }
    }

    fn note(&mut self, called: Called, args: Args<'_>) -> Option<Note> {
        let kept = slow::is_on(&self.observer.settings);
        let words = if kept { slow::pack(called, args) } else { Words::new() };
        Some(Note { called, since: self.now.mono, words, failed: None })
    }

    fn refuse(&mut self, called: Option<Called>, code: Option<&'static str>) {
        self.observer.refuse(called, code);
    }
}

impl Executor<'_> {
    /// What speaks of all keys of this node's copy.
    fn look_at_keys(
        &mut self,
        Place { db, ticket, .. }: Place,
        command: Command<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        match command {
            Command::Keys { pattern } => {
                let search = KeySearch::new(db, pattern, reply.style());
                self.inquire_alone(ticket, About::Job(Job::Keys(search)))
            }
            Command::RandomKey => {
                let search = RandomSearch::new(&self.replica.store, db, self.rng);
                self.inquire_alone(ticket, About::Job(Job::Random(Box::new(search))))
            }
            Command::Scan { cursor, pattern, count, nothing } => {
                let scan = keyspace::Scan { cursor, pattern, count, nothing };
                scan.run(&self.replica.store, db, self.now.wall_ms, reply);
                Done::Now(self.all_durable())
            }
            other => unreachable!("{other:?} is no such command"),
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

    /// The same, and the connection goes on only when it has the answer.
    pub(super) fn inquire_alone(&mut self, ticket: Ticket, about: About) -> Done {
        self.inquire(ticket, about);
        Done::Alone(0)
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
        self.stats.load.on_begun(place.db);
        if place.db != Db::EVENTUAL && !(place.readonly && op.is_read()) {
            self.asked.on_begun(self.now.mono, place.ticket, place.db);
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
        self.local(place.db, op).write(reply);
        Done::Now(self.local_wait(place.db, op))
    }

    /// The same operation on several keys; the answers become one.
    fn ops(
        &mut self,
        place: Place,
        kind: Kind,
        words: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let reads = matches!(kind, Kind::Exists | Kind::Get);
        if !reads {
            self.ever.note(place.db);
        }
        self.stats.load.on_begun(place.db);
        let copy = place.db == Db::EVENTUAL || (place.readonly && reads);
        if words.len() > OPS_PER_SLICE {
            let way = if copy { Way::Copy } else { Way::Majority { fast: !place.behind } };
            let many = Many::new(place.db, kind, way, words);
            return self.inquire_alone(place.ticket, About::Job(Job::Many(many)));
        }
        let ops = kind.ops(words);
        if !copy {
            self.asked.on_begun(self.now.mono, place.ticket, place.db);
            let gather = self.gathers.begin(self.link, place.ticket, kind.join(), ops.len());
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
        kind.join().write(&answers, reply);
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
        here::carry_out(self.now, (self.replica, self.peers), self.clock_refused, db, op)
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
            return Done::Alone(0);
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
        Done::Alone(0)
    }

    fn info(&self, sections: Args<'_>, reply: &mut ReplyWriter<'_>) -> Done {
        let (strong, quorum) = (self.strong.load(), self.quorum.load());
        let text = info::render(&info::Source {
            now: self.now,
            members: self.members,
            replica: self.replica,
            peers: self.peers,
            strong: self.strong,
            formation: self.formation,
            stats: self.stats,
            observer: self.observer,
            checkpoint: self.checkpoint,
            removal: self.removal,
            clients: self.clients,
            blocked: self.blocked,
            under_way: (strong.0 + quorum.0, strong.1 + quorum.1),
            sections,
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
