//! One node's place: the node comes and goes, its clocks run on, its links have ends in the net.

use quorate::{
    node::{LinkId, Node, Origin},
    probe::take_reached,
    record::NodeId,
    time::{Instant, Now},
    turn::{Transport, finish_turn},
};

use super::{
    World,
    disk::Drive,
    net::{Call, Caller, EndId, Event, Net, Owner},
    stop::Phase,
};
use crate::{birth::EPOCH_MS, trace::EventKind};

/// Where nothing is cut, a read gives at most this.
const READ_MAX: usize = 16 * 1024;

/// A clock's rate is told in parts of this. Months of microseconds times it are below 2^64.
const MILLION: u64 = 1_000_000;

/// How long a link may rest after a read.
const REST_US: u64 = 2000;

/// One node's place.
#[derive(Debug)]
pub(super) struct Host {
    /// Boxed, since each turn takes it out and puts it back.
    pub(super) node: Option<Box<Node>>,
    pub(super) life: u64,
    /// The ends of its links, by link.
    links: Vec<Option<EndId>>,
    free: Vec<u32>,
    /// Closed this turn; free in the next.
    freed: Vec<u32>,
    /// Attempts to connect, by member; only the last of each counts.
    attempts: Vec<u64>,
    timer_us: Option<u64>,
    pub(super) paused: bool,
    pub(super) phase: Phase,
    /// It was told to stop while it stood still.
    pub(super) signalled: bool,
    /// Its next start is one with the word to start cold.
    pub(super) told: bool,
    rate_ppm: i64,
    pub(super) offset_ms: i64,
    pub(super) base_offset_ms: i64,
    pub(super) drive: Drive,
    /// Counted for chance: how often its disk was asked for something, and how often it was struck.
    pub(super) batches: u64,
    /// Links with something to read that the node did not want, and their ends in the net.
    pub(super) unwelcome: Vec<(LinkId, usize)>,
    /// Turns that might have logged at once.
    pub(super) turns: u64,
    pub(super) all_turns: u64,
    pub(super) crashes: u64,
    /// It may lack what it had, and has not got it from the others yet.
    pub(super) lacks: bool,
    /// Its life has had no turn yet.
    pub(super) fresh: bool,
    /// It may have lacked something, at some time.
    pub(super) has_lost: bool,
    /// It voted after its last turn.
    pub(super) voted: bool,
    /// Since when it votes, if it does.
    pub(super) votes_since_us: u64,
    /// Since when it stands still, if it does.
    pub(super) paused_us: u64,
    /// When it last went on.
    pub(super) resumed_us: u64,
    /// Until when its last life did anything.
    pub(super) died_us: u64,
}

impl Host {
    pub(super) fn new(nodes: usize, rate_ppm: i64, offset_ms: i64, drive: Drive) -> Self {
        Self {
            node: None,
            life: 0,
            links: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            attempts: vec![0; nodes],
            timer_us: None,
            paused: false,
            phase: Phase::Serving,
            signalled: false,
            told: false,
            rate_ppm,
            offset_ms,
            base_offset_ms: offset_ms,
            drive,
            batches: 0,
            turns: 0,
            all_turns: 0,
            unwelcome: Vec::new(),
            crashes: 0,
            lacks: false,
            fresh: true,
            has_lost: false,
            voted: false,
            votes_since_us: 0,
            paused_us: 0,
            resumed_us: 0,
            died_us: 0,
        }
    }

    /// It may lack something from now on.
    pub(super) const fn lose(&mut self) {
        (self.lacks, self.has_lost) = (true, true);
    }

    fn now(&self, now_us: u64) -> Now {
        let mono_us = self.mono_us(now_us);
        let wall_ms = (EPOCH_MS + mono_us / 1000).saturating_add_signed(self.offset_ms);
        Now { mono: Instant::from_micros(mono_us), wall_ms }
    }

    /// The node's own clock when it is `now_us`.
    fn mono_us(&self, now_us: u64) -> u64 {
        now_us * MILLION.saturating_add_signed(self.rate_ppm) / MILLION
    }

    /// When the node's own clock will show `mono_us` or more.
    fn when_us(&self, mono_us: u64) -> u64 {
        (mono_us * MILLION).div_ceil(MILLION.saturating_add_signed(self.rate_ppm))
    }

    /// Whether it takes nothing in: it stands still, or only closes its log.
    pub(super) fn is_still(&self) -> bool {
        self.paused || self.phase == Phase::Closing
    }

    fn add_link(&mut self, end: EndId) -> LinkId {
        let link = self.free.pop().unwrap_or(self.links.len() as u32);
        if self.links.len() <= link as usize {
            self.links.resize(link as usize + 1, None);
        }
        self.links[link as usize] = Some(end);
        LinkId(link)
    }

    fn remove_link(&mut self, link: LinkId) -> Option<EndId> {
        remove_link(&mut self.links, &mut self.freed, link)
    }

    /// The ends of all its links.
    pub(super) fn ends(&self) -> Vec<EndId> {
        self.links.iter().flatten().copied().collect()
    }
}

impl World<'_> {
    /// A new life begins, with what is on its disk; or it fails to, and tries again later.
    pub(super) fn start(&mut self, id: usize) {
        self.start_as(id, false);
    }

    /// The same on the word of an operator who wants a cold start.
    pub(super) fn start_cold(&mut self, id: usize) {
        self.start_as(id, true);
    }

    fn start_as(&mut self, id: usize, cold: bool) {
        let host = &mut self.hosts[id];
        assert!(host.node.is_none(), "a node lives once at a time");
        host.life += 1;
        host.links.clear();
        host.free.clear();
        host.freed.clear();
        host.timer_us = None;
        (host.voted, host.fresh) = (false, true);
        let Some(node) = self.recover(id, cold) else { return };
        self.hosts[id].node = Some(node);
        self.back(id);
        self.growth.forget(id);
        self.majorities.look_away(id);
        self.surveys.forget(id);
        self.answers.forget(id);
        self.walks.forget(id);
        let life = self.hosts[id].life;
        self.record(id, EventKind::Boot, 0, &life.to_le_bytes());
        self.on_tape(|tape, now_us| tape.on_born(now_us, id, life));
        self.turn(id);
    }

    /// The node ends with all it holds. Its peers are told, or not.
    pub(super) fn end_life(&mut self, id: usize, told: bool) {
        self.note_promised(id);
        let Some(node) = self.hosts[id].node.take() else { return };
        self.hosts[id].drive.ended(node.incarnation());
        let host = &mut self.hosts[id];
        host.died_us = if host.paused { host.paused_us } else { self.net.now_us };
        self.watches.on_died(id);
        self.on_tape(|tape, now_us| tape.on_died(now_us, id));
        let mut chance = self.disk_chance(id);
        let closes = self.hosts[id].phase == Phase::Closing;
        self.hosts[id].drive.end_process(closes, &mut chance);
        let host = &mut self.hosts[id];
        (host.paused, host.phase, host.signalled) = (false, Phase::Serving, false);
        for end in self.hosts[id].ends() {
            if told {
                self.net.close(end);
            } else {
                self.net.vanish(end, false);
            }
        }
    }

    pub(super) fn now(&self, id: usize) -> Now {
        self.hosts[id].now(self.net.now_us)
    }

    /// Hands a link to a node.
    pub(super) fn open(&mut self, id: usize, end: EndId, origin: Origin) {
        let now = self.now(id);
        let host = &mut self.hosts[id];
        let link = host.add_link(end);
        self.net.ends[end].owner = Owner::Node { node: id, link: link.0 };
        if let Some(node) = host.node.as_mut() {
            node.handle_open(now, link, origin);
        }
        let kind = match origin {
            Origin::Accepted(_) => EventKind::OpenAccepted,
            Origin::Dialed(_) => EventKind::OpenDialed,
        };
        self.record(id, kind, link.0, &[]);
        self.turn(id);
    }

    /// Lets a node read what has come to one of its ends, and hear of the end's end.
    pub(super) fn pump_node(&mut self, id: usize, link: u32, end: EndId) {
        let link = LinkId(link);
        while !self.hosts[id].is_still()
            && self.hosts[id].links.get(link.index()) == Some(&Some(end))
        {
            let now = self.now(id);
            let Some(node) = self.hosts[id].node.as_mut() else { return };
            if self.net.ends[end].closed {
                self.hosts[id].remove_link(link);
                let Some(node) = self.hosts[id].node.as_mut() else { return };
                node.handle_close(now, link);
                self.record(id, EventKind::Closed, link.0, &[]);
                return self.turn(id);
            }
            if self.net.ends[end].inbox.is_empty() {
                if std::mem::take(&mut self.net.ends[end].fin) {
                    node.handle_eof(now, link);
                    self.record(id, EventKind::Eof, link.0, &[]);
                    self.turn(id);
                }
                return;
            }
            if !node.wants_read(link) {
                self.audit_unread(id, end);
                let unwelcome = &mut self.hosts[id].unwelcome;
                if !unwelcome.contains(&(link, end)) {
                    unwelcome.push((link, end));
                }
                return;
            }
            if self.net.ends[end].rests_until_us > self.net.now_us {
                return;
            }
            let most = self.net.cut(end).map_or(READ_MAX, |chop| chop.read_max);
            let bytes = self.net.read(end, most);
            node.handle_bytes(now, link, &bytes);
            self.record(id, EventKind::Read, link.0, &bytes);
            self.turn(id);
            if let Some(chop) = self.net.chop
                && self.net.draw(end, 100) < chop.stall_percent
            {
                let until_us = self.net.now_us + 1 + self.net.draw(end, REST_US);
                self.net.ends[end].rests_until_us = until_us;
                return self.net.schedule(until_us, Event::Pump(end));
            }
        }
    }

    pub(super) fn room_for_node(&mut self, id: usize, link: u32, end: EndId) {
        if self.hosts[id].is_still() || !std::mem::take(&mut self.net.ends[end].short) {
            return;
        }
        if let Some(node) = self.hosts[id].node.as_mut() {
            node.handle_writable(LinkId(link));
            self.record(id, EventKind::Writable, link, &[]);
            self.turn(id);
        }
    }

    pub(super) fn timer(&mut self, id: usize, due_us: u64) {
        if self.hosts[id].timer_us != Some(due_us) || self.hosts[id].is_still() {
            return;
        }
        self.hosts[id].timer_us = None;
        let now = self.now(id);
        if let Some(node) = self.hosts[id].node.as_mut() {
            node.handle_timeout(now);
            self.turn(id);
        }
    }

    /// After a pause: all that came meanwhile.
    pub(super) fn wake_node(&mut self, id: usize) {
        self.hosts[id].paused = false;
        self.hosts[id].resumed_us = self.net.now_us;
        // In any order, as a reactor would hear of them.
        let mut ends = self.hosts[id].ends();
        let mut chance = self.disk_chance(id);
        for left in (1..ends.len()).rev() {
            ends.swap(left, chance.below(left as u64 + 1) as usize);
        }
        for end in ends {
            self.net.schedule(self.net.now_us, Event::Room(end));
            self.net.schedule(self.net.now_us, Event::Pump(end));
        }
        let (life, (job, part)) = (self.hosts[id].life, self.hosts[id].drive.is_busy());
        if job {
            self.net.schedule(self.net.now_us, Event::Disk(id, life));
        }
        if part {
            self.net.schedule(self.net.now_us, Event::Image(id, life));
        }
        self.hosts[id].timer_us = None;
        if self.wake_to_stop(id) {
            self.turn(id);
        }
    }

    pub(super) fn dial_failed(&mut self, id: usize, life: u64, attempt: u64, peer: usize) {
        let now = self.now(id);
        let host = &mut self.hosts[id];
        let waits = host.life == life && host.attempts[peer] == attempt;
        if waits && host.phase != Phase::Closing {
            if let Some(node) = host.node.as_mut() {
                node.handle_dial_failed(now, NodeId(peer as u16));
            }
            self.record(id, EventKind::DialFailed, peer as u32, &[]);
            self.turn(id);
        }
    }

    /// Whether an attempt of a node is still the one that counts.
    pub(super) fn is_current(&self, id: usize, life: u64, attempt: u64, peer: usize) -> bool {
        let host = &self.hosts[id];
        let lives = host.node.is_some() && host.phase != Phase::Closing;
        lives && host.life == life && host.attempts[peer] == attempt
    }

    fn dial(&mut self, id: usize, peer: usize) {
        let host = &mut self.hosts[id];
        host.attempts[peer] += 1;
        let from = Caller::Node { node: id, life: host.life, attempt: host.attempts[peer] };
        // A connection attempt takes as long as a message; there is no end yet to draw it from.
        let latency_us = 100 + self.case.config.latency_ms.1 * 500;
        if !self.net.is_blocked(id, peer) {
            let at_us = self.net.now_us + latency_us;
            self.net.schedule(at_us, Event::Syn(Call { from, to: peer }));
        }
    }

    /// Ends a node's turn, and sees to what follows from it.
    pub(super) fn turn(&mut self, id: usize) {
        let Some(mut node) = self.hosts[id].node.take() else { return };
        let now = self.now(id);
        let at_once = self.may_log_at_once(id);
        let Host { links, freed, drive, .. } = &mut self.hosts[id];
        drive.at_once_us = at_once.then_some(self.net.now_us);
        let mut wires = Wires { links, freed, net: &mut self.net, dials: Vec::new() };
        finish_turn(&mut node, now, &mut wires, drive);
        let dials = wires.dials;
        self.use_disk(id);
        let host = &mut self.hosts[id];
        host.lacks &= !node.votes();
        let freed = std::mem::take(&mut host.freed);
        host.free.extend(freed);
        // A link that rests, or that is being read, is looked at again anyway.
        let (links, net) = (&host.links, &mut self.net);
        host.unwelcome.retain(|(link, end)| {
            if links.get(link.index()) != Some(&Some(*end)) {
                return false;
            }
            let waits = net.ends[*end].inbox.is_empty() || !node.wants_read(*link);
            if !waits {
                net.schedule(net.now_us, Event::Pump(*end));
            }
            waits
        });
        let due_us = node.poll_timeout().map(|due| host.when_us(due.as_micros()));
        let due_us = due_us.map(|due_us| due_us.max(self.net.now_us));
        if due_us != host.timer_us {
            host.timer_us = due_us;
            if let Some(due_us) = due_us {
                self.net.schedule(due_us, Event::Timer(id, due_us));
            }
        }
        dials.into_iter().for_each(|peer| self.dial(id, peer.index()));
        self.bounds(id, &node);
        let floor = node.floor();
        self.growth.note_floor(id, floor, node.is_durable());
        self.growth.note_flushes(id, node.store(), node.is_durable());
        self.growth.note_recovery(id, !node.votes());
        self.watches.sample(id, node.store());
        let looked = self.growth.sample(id, self.hosts[id].life, node.store(), floor);
        self.on_tape(|tape, now_us| tape.on_turn(now_us, id, &node));
        self.hosts[id].node = Some(node);
        if looked {
            self.check_promises(id);
            self.check_removed(id);
        }
        for (hook, count) in take_reached() {
            self.on_tape(|tape, now_us| tape.on_passed(now_us, id, hook, count));
            (0..count).for_each(|_| self.pass(id, hook));
        }
        self.look_at_claims(id, looked);
        self.maybe_close(id);
        if self.net.tape.is_some() && self.is_alarmed() {
            self.on_tape(|tape, now_us| tape.on_alarm(now_us, id));
        }
    }
}

/// Takes a link out of those that are open; its number is free in the next turn.
fn remove_link(links: &mut [Option<EndId>], freed: &mut Vec<u32>, link: LinkId) -> Option<EndId> {
    let end = links.get_mut(link.index())?.take()?;
    freed.push(link.0);
    Some(end)
}

/// A node's view of the net during its turn.
struct Wires<'a> {
    links: &'a mut [Option<EndId>],
    freed: &'a mut Vec<u32>,
    net: &'a mut Net,
    dials: Vec<NodeId>,
}

impl Transport for Wires<'_> {
    fn dial(&mut self, peer: NodeId) {
        self.dials.push(peer);
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        match self.links.get(link.index()) {
            Some(Some(end)) => self.net.send(*end, bytes),
            Some(None) | None => 0,
        }
    }

    fn close(&mut self, link: LinkId) {
        if let Some(end) = remove_link(self.links, self.freed, link) {
            self.net.close(end);
        }
    }
}
