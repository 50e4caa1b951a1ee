//! The end of a case: no fault begins any more, a core of nodes is left alone, and within a bounded
//! time it must serve every database, and the replicas must become one.

use quorate::{
    record::{Ballot, Db, Version},
    slot::Slot,
};

use super::{COMPARE_MS, World, host::Host, net::Event};
use crate::{
    case::{Op, Step},
    history::{Entry, Outcome},
    oracle::{self, Failure, Kind, Observed, Replica, convergence},
};

/// Keys of the strong database that are read in the end; the first ones, if there are more.
const READ_MAX: usize = 40;
/// So many at a time, and where messages are slow: what is asked at once shares the links, and each
/// must be answered within the time of one operation.
const READ_AT_ONCE: usize = 8;
const READ_AT_ONCE_SLOWLY: usize = 2;
/// From here on they are.
const SLOW_MS: u64 = 50;
/// Between two attempts to be served.
const AGAIN_MS: u64 = 200;

/// What a node must do for a client in the end.
pub(super) struct Probe {
    pub(super) node: usize,
    pub(super) db: u8,
    /// The player that asks.
    player: usize,
    attempts: u64,
    /// How long the next attempt waits.
    wait_ms: u64,
    /// The keys that it reads: first those that nobody else must, with how many these are. And which are
    /// next.
    keys: Vec<String>,
    own: usize,
    next_key: usize,
    /// Where the entries of its last attempt begin.
    first: usize,
    served: bool,
}

impl World<'_> {
    /// Leaves the core alone, and waits until all that must happen has happened; says how long that
    /// took.
    pub(super) fn end(&mut self) -> Result<u64, Failure> {
        self.quiet = true;
        self.on_tape(|tape, now_us| tape.quiet_us = Some(now_us));
        self.hosts.iter_mut().for_each(|host| host.drive.calm());
        let core = self.case.config.core.clone();
        for node in 0..self.hosts.len() {
            if !core.contains(&node) {
                self.end_life(node, node % 2 == 0);
                self.net.dark[node] = true;
            }
        }
        let (quiet_ms, settle_ms) = (self.net.now_us / 1000, self.case.settle_ms());
        let mut probes = self.probes(&core);
        let mut agreed = false;
        loop {
            self.advance(COMPARE_MS)?;
            let waited_ms = self.net.now_us / 1000 - quiet_ms;
            self.look_after_stuck(&core);
            let served = self.ask_again(&mut probes);
            // Twice in a row, for something may still have been under way.
            match (served && self.agrees(&core), agreed) {
                (true, true) => return Ok(waited_ms),
                (one, _) if waited_ms < settle_ms => agreed = one,
                _ => return Err(self.overdue(&probes).after(waited_ms)),
            }
        }
    }

    /// One for each node and database. The nodes share the keys of the strong database among them.
    fn probes(&self, core: &[usize]) -> Vec<Probe> {
        let strong_keys: Vec<String> =
            self.case.workload.keys(0).into_iter().take(READ_MAX).collect();
        let probe = |at: usize, db: Db| {
            let (node, number) = (core[at], db.number());
            // Each brings so much at a time that nodes which take little have enough to do.
            let own = |place: &usize| place % core.len() == at;
            let (own, others): (Vec<usize>, Vec<usize>) = (0..strong_keys.len()).partition(own);
            let keys = own.iter().chain(&others).map(|place| strong_keys[*place].clone());
            Probe {
                node,
                db: number,
                player: self.case.config.clients + Db::COUNT * node + usize::from(number),
                attempts: 0,
                wait_ms: 0,
                own: if db == Db::STRONG { own.len() } else { 0 },
                keys: if db == Db::STRONG { keys.collect() } else { Vec::new() },
                next_key: 0,
                first: 0,
                served: false,
            }
        };
        let each = |at| Db::ALL.into_iter().map(move |db| probe(at, db));
        (0..core.len()).flat_map(each).collect()
    }

    /// Asks where nothing was served yet. Whether everything that must be served is.
    fn ask_again(&mut self, probes: &mut [Probe]) -> bool {
        let at_once = self.read_at_once();
        for probe in probes.iter_mut().filter(|probe| !probe.served) {
            if !self.players[probe.player].is_done() {
                continue;
            }
            let asked = self.history.iter().skip(probe.first);
            let mut asked = asked.filter(|entry| entry.client == probe.player).peekable();
            if probe.attempts > 0 && asked.peek().is_some() && asked.all(is_served) {
                probe.next_key += at_once;
                probe.served = probe.next_key >= probe.own;
                probe.wait_ms = 0;
            }
            if !probe.served {
                probe.first = self.history.len();
                self.attempt(probe, at_once);
                probe.wait_ms = AGAIN_MS;
            }
        }
        let may_wait = |probe: &Probe| probe.served || !self.must_serve(probe);
        probes.iter().all(may_wait)
    }

    fn read_at_once(&self) -> usize {
        let slow = self.case.config.slowest_ms() > SLOW_MS;
        if slow { READ_AT_ONCE_SLOWLY } else { READ_AT_ONCE }
    }

    fn attempt(&mut self, probe: &mut Probe, at_once: usize) {
        let at_ms = self.net.now_us / 1000 + probe.wait_ms;
        let (node, db, client) = (probe.node, probe.db, probe.player);
        let (key, value) = (format!("probe{node}"), format!("probe{node}.{}", probe.attempts));
        let mut ops = vec![Op::Set { key, value }];
        let keys = probe.keys.iter().skip(probe.next_key).take(at_once);
        ops.extend(keys.map(|key| Op::Get { key: key.clone() }));
        probe.attempts += 1;
        // Fresh: an old connection may lead to an earlier life, and nobody told the client.
        let step = Step { at_ms, client, node, fresh: true, ops, db: Some(db), torn: None };
        self.players[client].steps.push(step);
        self.net.schedule(self.net.now_us, Event::Wake(client));
    }

    /// Whether a node is bound to serve a database. Databases 0 and 1 need a majority of members
    /// that have formed the cluster and lost nothing since.
    fn must_serve(&self, probe: &Probe) -> bool {
        probe.db == 2 || self.must_serve_majorities(probe.node)
    }

    fn must_serve_majorities(&self, node: usize) -> bool {
        let votes = self.hosts[node].node.as_ref().is_some_and(|node| node.votes());
        self.is_whole() || (votes && self.has_majority())
    }

    /// How long a client waits for a node. In the end, where a node takes few requests at a time, those of
    /// one database come after those of the others; and these may take long: where messages are slow, and
    /// where a node that needs a majority may have none and lets them wait out their whole time.
    pub(super) fn patience_ms(&self, node: usize) -> u64 {
        let config = &self.case.config;
        let few = config.limits.requests_max <= Db::COUNT;
        let slow = config.slowest_ms() > SLOW_MS || !self.must_serve_majorities(node);
        let waits = self.quiet && few && slow;
        config.patience_ms() * if waits { Db::COUNT as u64 } else { 1 }
    }

    /// In which databases the core's replicas are bound to become one: in the strong one somebody must
    /// be able to lead.
    fn must_agree(&self) -> &'static [Db] {
        let led = self.is_whole() || self.has_majority();
        if led && self.case.config.surveys() { &Db::ALL } else { &convergence::LEADERLESS }
    }

    /// Whether all members are left in the end.
    const fn is_whole(&self) -> bool {
        self.case.config.core.len() == self.hosts.len()
    }

    /// Whether members enough for a majority have formed the cluster and lost nothing since.
    fn has_majority(&self) -> bool {
        let votes = |node: &&usize| self.hosts[**node].node.as_ref().is_some_and(|n| n.votes());
        self.case.config.core.iter().filter(votes).count() >= self.quorum()
    }

    /// The operator reads what a cluster says that can't go on, and starts all nodes that have data
    /// cold.
    fn look_after_stuck(&mut self, core: &[usize]) {
        let votes = |host: &Host| host.node.as_ref().is_some_and(|node| node.votes());
        let voters = self.hosts.iter().filter(|host| votes(host)).count();
        if core.len() < self.hosts.len() || voters >= self.quorum() {
            self.stuck_since_us = None;
            return;
        }
        let since_us = *self.stuck_since_us.get_or_insert(self.net.now_us);
        let patience_ms = self.case.config.settle_ms() / 8;
        if self.net.now_us < since_us + patience_ms * 1000 {
            return;
        }
        self.stuck_since_us = None;
        for id in 0..self.hosts.len() {
            self.end_life(id, true);
            self.start_cold(id);
        }
    }

    pub(super) const fn quorum(&self) -> usize {
        self.case.config.nodes / 2 + 1
    }

    /// What has not happened.
    fn overdue(&self, probes: &[Probe]) -> Failure {
        let unserved = probes.iter().find(|probe| !probe.served && self.must_serve(probe));
        if let Some(difference) = convergence::difference(&self.replicas(), self.must_agree()) {
            return difference;
        }
        let Some(Probe { node, db, .. }) = unserved else {
            return Failure::new(Kind::Liveness, "convergence", "replicas do not come to rest");
        };
        let last = self.history.iter().rev().take(1000);
        let mut last = last.filter(|entry| entry.node == *node && entry.db == *db);
        let Some(entry) = last.find(|entry| !is_served(entry)) else {
            let detail = format!("n{node} did not answer in database {db} when all was quiet");
            return Failure::new(Kind::Liveness, "service", &detail);
        };
        let mut detail = format!("n{node} answered {:?} with {:?}", entry.op, entry.outcome);
        if let (0, Some(key)) = (db, entry.key()) {
            detail += &self.offices(key);
        }
        Failure::new(Kind::Liveness, "service", &detail)
    }

    /// Who leads the slot of a key, to whom, and what was promised.
    fn offices(&self, key: &str) -> String {
        let slot = Slot::of(key.as_bytes(), self.case.config.slots).0;
        let mut text = format!("; slot {slot}:");
        for (id, host) in self.hosts.iter().enumerate() {
            let Some(node) = &host.node else { continue };
            let leader =
                node.leader_of(slot).map_or_else(|| "nobody".to_owned(), |id| id.to_string());
            let votes = if node.votes() { "votes" } else { "does not vote" };
            let promised = node.promised(slot);
            text += &format!(" n{id} {votes}, promised {promised}, follows {leader};");
        }
        text
    }

    /// Whether digests and flush stamps of the core are equal: cheap, and asked often.
    fn agrees(&self, core: &[usize]) -> bool {
        let slots = self.case.config.slots;
        let dbs = self.must_agree();
        let mut images = core.iter().map(|node| {
            let store = self.hosts[*node].node.as_ref()?.store();
            let image = |db| (store.digest(db, 0, slots), store.flushed(db), store.live(db));
            Some(dbs.iter().map(|db| image(*db)).collect::<Vec<_>>())
        });
        let first = images.next().flatten();
        first.is_some() && images.all(|image| image == first)
    }

    /// What the nodes that are up hold, by node.
    pub(super) fn replicas(&self) -> Vec<(usize, Replica)> {
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter_map(|(id, host)| Some((id, Replica::of(host.node.as_ref()?.store()))))
            .collect()
    }

    pub(super) fn check(&mut self, settled: bool) -> Result<(), Failure> {
        let safety = |oracle, detail: &str| Err(Failure::new(Kind::Safety, oracle, detail));
        if let Some(failure) = &self.disk_failure {
            return safety("disk", failure);
        }
        if let Some(broken) = &self.broken {
            return safety("limits", broken);
        }
        if self.refused_select {
            return safety("replies", "a SELECT was refused");
        }
        (0..self.hosts.len()).for_each(|node| self.check_promises(node));
        self.growth.check()?;
        self.overcounted.take().map_or(Ok(()), Err)?;
        self.unheld.take().map_or(Ok(()), Err)?;
        let nodes = self.hosts.iter().enumerate();
        let voting = nodes.filter(|(_, host)| host.node.as_ref().is_some_and(|node| node.votes()));
        let observed = Observed {
            settled,
            nodes_keep_memory: !self.lost && self.case.config.core.len() == self.hosts.len(),
            voting: voting.map(|(id, _)| id).collect(),
            quorum: self.quorum(),
            lost: self.cold_lost,
            skew_us: self.case.skew_us(self.net.now_us),
            put_right: self.case.put_right(),
            now_us: self.net.now_us,
            grace_us: self.case.config.timing.skew_max.0 * 1000,
            history: std::mem::take(&mut self.history),
            replicas: self.replicas(),
            held: self.watches.take(),
            stops: self.case.keeps_serving().then(|| self.stops()),
        };
        if let Some(tape) = &mut self.net.tape {
            tape.evidence = Observed {
                settled,
                nodes_keep_memory: observed.nodes_keep_memory,
                quorum: observed.quorum,
                lost: observed.lost,
                skew_us: observed.skew_us,
                put_right: observed.put_right.clone(),
                ..Observed::default()
            };
        }
        let outcome = oracle::check(&observed).and_then(|undecided| {
            self.undecided = undecided;
            // Digests were equal; that the replicas are is what they stand for.
            let difference = convergence::difference(&observed.replicas, self.must_agree());
            difference.filter(|_| settled).map_or(Ok(()), Err)
        });
        self.history = observed.history;
        outcome
    }

    /// A tombstone that one node has removed, all have applied: each holds it or something newer, or
    /// knows by its floor that it may be gone too, or has removed it itself while it went by that of
    /// another. A node without a floor may have lost data.
    pub(super) fn check_removed(&mut self, id: usize) {
        for (db, key, version) in self.growth.take_removed() {
            let hlc = Version::from_bits(version).hlc();
            let lacks = self.hosts.iter().enumerate().position(|(at, host)| {
                let Some(node) = &host.node else { return false };
                let removed = self.growth.has_removed(at, db, &key, version);
                let held = node.store().get(db, &key).map_or(0, |held| held.version.to_bits());
                let flushed = node.store().flushed(db).to_bits();
                let lacks = held.max(flushed) < version && !removed;
                lacks && node.floor().is_some_and(|floor| floor < hlc)
            });
            if let Some(other) = lacks {
                let detail =
                    format!("n{id} removed the tombstone {version:x} before n{other} had it");
                self.growth.fail(db, &key, detail);
            }
        }
    }

    /// What a node that is up has promised, by slot.
    pub(super) fn promised(&self, id: usize) -> impl Iterator<Item = Ballot> {
        let node = self.hosts[id].node.iter();
        node.flat_map(|node| (0..self.case.config.slots).map(|slot| node.promised(slot)))
    }

    /// Notes what a node has promised that is about to end. Where it does not vote that is nothing yet:
    /// it has got it from others, or begins a cold start from it.
    pub(super) fn note_promised(&mut self, id: usize) {
        let votes = self.hosts[id].node.as_ref().is_some_and(|node| node.votes());
        if votes {
            let highest = self.promised(id).max().unwrap_or(Ballot::NONE);
            self.growth.note_promised(highest);
        }
    }

    /// A replica that has accepted a record has promised its ballot.
    pub(super) fn check_promises(&mut self, id: usize) {
        let Some(node) = &self.hosts[id].node else { return };
        let slots = self.case.config.slots;
        for record in node.store().records(Db::STRONG) {
            let promised = node.promised(Slot::of(record.key, slots).0);
            let ballot = record.version.ballot();
            if ballot > promised {
                let detail = format!("n{id} holds a record of {ballot} and promised {promised}");
                self.growth.fail(Db::STRONG, record.key, detail);
            }
        }
    }
}

fn is_served(entry: &Entry) -> bool {
    let failed = matches!(
        entry.outcome,
        Outcome::InDoubt | Outcome::Refused | Outcome::Unknown | Outcome::Wrong(_)
    );
    !failed
}
