//! What clients ask: the connection parses and orders, here the requests are carried out.

use super::{
    LinkId, Node,
    checkpoint::Checkpoint,
    eventual::Replica,
    info::{self, Stats},
    links::End,
    peers::Peers,
    timers::Watch,
};
use crate::{
    command::{
        Command,
        op::{Action, Effect, Held, Op},
    },
    conn::{Done, Request, Wait},
    members::Members,
    probe::{Hook, reached},
    proto::{Args, reply::ReplyWriter},
    record::Db,
    time::Now,
};

const CLOCK_REFUSED: &str = "ERR the clock of this node is ahead of a majority by more than they \
    accept; nothing written";

/// What happened to a client's connection.
#[derive(Clone, Copy, Debug)]
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
        let Some(End::Client { connection, waits, .. }) = self.links.end_mut(link) else { return };
        let before = connection.buffered();
        let mut executor = Executor {
            now,
            replica: &mut self.replica,
            peers: &mut self.peers,
            members: &self.members,
            stats: &mut self.stats,
            clients,
            clock_refused,
            checkpoint: &mut self.checkpoint,
            wrote: false,
        };
        let mut execute = |request: Request<'_>| {
            let Request { db, command, mut reply, .. } = request;
            Done::Now(executor.execute(db, command, &mut reply))
        };
        let (limits, workspace) = (&self.limits, &mut self.workspace);
        match input {
            Input::Bytes(bytes) => {
                connection.handle_bytes(bytes, limits, workspace, &mut execute);
            }
            Input::Eof => connection.handle_eof(limits, workspace, &mut execute),
            Input::Resume => connection.resume(limits, workspace, &mut execute),
            Input::Shutdown => connection.shut(),
        }
        let wrote = executor.wrote;
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
        if wrote {
            self.after_writes(now);
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

    /// Our streams have grown: write them, and give up those that have gone Behind. Their sessions
    /// end with their links.
    fn after_writes(&mut self, now: Now) {
        for id in self.members.peers() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let Some(link) = peer.link() else { continue };
            if !peer.outbox.is_behind() {
                self.links.touch(link);
            } else if peer.generation > 0
                && self.links.peer(link).is_some_and(|open| open.is_live())
            {
                tracing::warn!(peer = %self.members.name(id), "a peer is Behind: repair takes over");
                reached(Hook::Behind);
                self.stats.behind += 1;
                self.close(now, link);
            }
        }
    }
}

/// One client's requests of one turn at work.
struct Executor<'a> {
    now: Now,
    replica: &'a mut Replica,
    peers: &'a mut Peers,
    members: &'a Members,
    stats: &'a mut Stats,
    clients: usize,
    clock_refused: bool,
    checkpoint: &'a mut Checkpoint,
    wrote: bool,
}

impl Executor<'_> {
    /// Carries out a request and says what its reply must wait for.
    fn execute(
        &mut self,
        db: Db,
        command: Command<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Option<Wait> {
        let now = self.now;
        self.stats.commands += 1;
        match command {
            Command::Del { .. } | Command::FlushDb | Command::MSet { .. } if self.clock_refused => {
                reply.error(CLOCK_REFUSED);
                None
            }
            Command::Op { name, op } => self.operate(db, name, op, reply),
            Command::MGet { keys } => {
                self.values(db, keys, reply);
                self.keys_durable(db, keys)
            }
            Command::MSet { pairs } => {
                for (key, value) in pairs.pairs() {
                    self.set(db, key, value, None);
                }
                reply.ok();
                self.all_durable()
            }
            Command::Del { keys } => {
                let deleted = self.delete(db, keys);
                reply.integer(deleted);
                if deleted > 0 { self.all_durable() } else { self.keys_durable(db, keys) }
            }
            Command::Exists { keys } => {
                reply.integer(self.existing(db, keys));
                self.keys_durable(db, keys)
            }
            Command::DbSize => {
                reply.integer(self.replica.store.live(db) as i64);
                self.all_durable()
            }
            Command::FlushDb => {
                self.wrote = true;
                let stamp = self.replica.flush(now, db);
                self.peers.iter_mut().for_each(|peer| peer.outbox.push_flush(db, stamp));
                reply.ok();
                self.all_durable()
            }
            Command::Info { section } => {
                self.info(section, reply);
                None
            }
            Command::LastSave => {
                reply.integer((self.checkpoint.completed_at_ms() / 1000) as i64);
                None
            }
            Command::Save { background } => self.save(background, reply),
            Command::Replicas { .. } => not_served("REPLICAS", reply),
            Command::Status => not_served("STATUS", reply),
            Command::Wait { .. } => not_served("WAIT", reply),
            Command::Command
            | Command::ConfigGet
            | Command::Echo { .. }
            | Command::Help { .. }
            | Command::Ping { .. }
            | Command::Proto { .. }
            | Command::Quit
            | Command::ReadOnly { .. }
            | Command::Select { .. } => unreachable!("answered by the connection itself"),
        }
    }

    /// Carries out what concerns one key.
    fn operate(
        &mut self,
        db: Db,
        name: &str,
        op: Op<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Option<Wait> {
        if op.is_conditional() && db != Db::STRONG {
            reply.error(format_args!(
                "ERR {name} reads before it writes and needs the strong database (SELECT 0)"
            ));
            return None;
        }
        if !op.is_read() && self.clock_refused {
            reply.error(CLOCK_REFUSED);
            return None;
        }
        // A plain SET need not look for what it replaces.
        let is_blind = matches!(op.action, Action::Set { .. }) && !op.is_conditional();
        let record = if is_blind { None } else { self.replica.store.get(db, op.key) };
        let held = record.and_then(|record| Held::of(&record, self.now.wall_ms));
        let (effect, answer) = op.apply(held);
        answer.write(reply);
        match effect {
            Effect::Delete => {
                self.delete_key(db, op.key);
            }
            Effect::None => {
                return self.replica.journal.wait_for_key(db, op.key).map(Wait::Durable);
            }
            Effect::Put { value, expires_at_ms } => self.set(db, op.key, &value, expires_at_ms),
        }
        self.all_durable()
    }

    fn set(&mut self, db: Db, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) {
        let record = self.replica.set(self.now, db, key, value, expires_at_ms);
        self.peers.iter_mut().for_each(|peer| peer.outbox.push_record(record));
        self.wrote = true;
    }

    /// Answers the values of keys.
    fn values(&self, db: Db, keys: Args<'_>, reply: &mut ReplyWriter<'_>) {
        reply.array(keys.len());
        for key in keys.iter() {
            let record = self.replica.store.get(db, key);
            match record.and_then(|record| record.visible(self.now.wall_ms)) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            }
        }
    }

    /// How many of the keys there are.
    fn existing(&self, db: Db, keys: Args<'_>) -> i64 {
        let exists = |key: &&[u8]| {
            let record = self.replica.store.get(db, key);
            record.and_then(|record| record.visible(self.now.wall_ms)).is_some()
        };
        keys.iter().filter(exists).count() as i64
    }

    fn info(&self, section: Option<&[u8]>, reply: &mut ReplyWriter<'_>) {
        let text = info::render(&info::Source {
            now: self.now,
            members: self.members,
            replica: self.replica,
            peers: self.peers,
            stats: self.stats,
            checkpoint: self.checkpoint,
            clients: self.clients,
            section,
        });
        reply.lines(&text);
    }

    /// Deletes keys; how many there were.
    fn delete(&mut self, db: Db, keys: Args<'_>) -> i64 {
        let mut deleted = 0;
        for key in keys.iter() {
            deleted += i64::from(self.delete_key(db, key));
        }
        deleted
    }

    /// Deletes a key; whether it was there.
    fn delete_key(&mut self, db: Db, key: &[u8]) -> bool {
        let Some(record) = self.replica.delete(self.now, db, key) else { return false };
        self.peers.iter_mut().for_each(|peer| peer.outbox.push_record(record));
        self.wrote = true;
        true
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

    /// What a reply waits for that shows the state of some keys.
    fn keys_durable(&self, db: Db, keys: Args<'_>) -> Option<Wait> {
        let batches = keys.iter().filter_map(|key| self.replica.journal.wait_for_key(db, key));
        batches.max().map(Wait::Durable)
    }
}

fn not_served(name: &str, reply: &mut ReplyWriter<'_>) -> Option<Wait> {
    reply.error(format_args!("ERR {name} is not served yet"));
    None
}
