//! Tier A: a case played on an event heap of our own, in one thread and no real time.
//!
//! The same node, the same connection code and the same [`quorate::turn::finish_turn`] as in
//! production, over a network that can do what turmoil can't: partitions that hold bytes back,
//! resets that lose what is under way, connections that only one side knows to be dead, nodes that
//! stand still, clocks that drift and jump, faults that strike when a node passes a hook.
//!
//! Beside the net each node has a disk, a second thing that takes what a turn hands over
//! and answers later by an event: the real log on a medium that forgets, tears, fills up and rots.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use quorate::{
    node::{Addresses, Node},
    probe::{Hook, claims::take_heard, take_reached},
    record::Db,
};

use crate::{
    case::{Case, FaultClass},
    history::Entry,
    oracle::{
        Failure, Kind, Lost,
        audit::{Answers, Births, Refusals, Surveys, Walks},
        growth::Growth,
        handover::Away,
        held::Majorities,
        scan::Watches,
    },
    report::{Reached, Report},
    tape::Tape,
    trace::{EventKind, Trace},
};

mod claims;
mod damage;
mod disk;
mod ending;
mod host;
mod net;
mod player;
mod stop;
mod weather;

use disk::Drive;
use host::Host;
use net::{Call, Caller, Event, Net, Owner};
use player::Player;
use stop::Phase;

/// Replicas are compared this often at the end.
const COMPARE_MS: u64 = 100;
/// A workload that has not ended so long after its last step hangs.
const HANG_MS: u64 = 60_000;
/// Events without time passing. A world that has more goes round and round.
const SPIN_MAX: u64 = 1_000_000;

/// Of so many turns of a node one is asked whether its buffers are what it counts.
const COUNTED_EVERY: u64 = 4;
/// Players that ask each node in the end whether it serves: one a database.
const PROBES: usize = Db::COUNT;

/// A case being played.
struct World<'c> {
    case: &'c Case,
    net: Net,
    hosts: Vec<Host>,
    players: Vec<Player>,
    history: Vec<Entry>,
    /// Histories that no oracle could decide on.
    undecided: u64,
    trace: Trace,
    growth: Growth,
    /// What nodes go by that a majority holds.
    majorities: Majorities,
    /// With which data nodes have voted.
    births: Births,
    surveys: Surveys,
    refusals: Refusals,
    answers: Answers,
    walks: Walks,
    /// The first time that none held it, or that a node said what was not so.
    unheld: Option<Failure>,
    /// What replicas hold while clients go through them.
    watches: Watches,
    /// How often each node passed each hook.
    passed: Vec<Vec<u64>>,
    fired: [u64; FaultClass::ALL.len()],
    faults_on: usize,
    /// How many faults keep each node down.
    down: Vec<u32>,
    /// When nodes that were told to stop could not serve.
    away: Vec<Away>,
    /// No fault begins any more.
    quiet: bool,
    refused_select: bool,
    /// The first bound that a node broke.
    broken: Option<String>,
    /// The first WAIT that counted too many.
    overcounted: Option<Failure>,
    /// The first thing that a disk did and should not have, or a start that was wrong about it.
    disk_failure: Option<String>,
    /// Some node lost what was durable there: its disk had rotten, or power failed before a second
    /// was over.
    lost: bool,
    /// What the databases that need a majority may have forgotten.
    cold_lost: Lost,
    /// No majority is to be had since then, with all nodes up.
    stuck_since_us: Option<u64>,
}

/// Plays a case. `events` keeps the trace's events, not only their hash.
#[must_use]
pub fn run(case: &Case, events: bool) -> Report {
    World::new(case, events, None).see()
}

/// Plays a case and keeps it on a tape, which is given back also if a node panics.
pub fn tell(case: &Case, tape: &mut Option<Box<Tape>>) -> Report {
    let mut world = World::new(case, true, tape.take());
    let seen = catch_unwind(AssertUnwindSafe(|| world.see()));
    let mut kept = world.net.tape.take();
    if let Some(kept) = &mut kept {
        kept.end_us = kept.end_us.max(world.net.now_us);
        kept.history = std::mem::take(&mut world.history);
    }
    *tape = kept;
    seen.unwrap_or_else(|panic| resume_unwind(panic))
}

impl<'c> World<'c> {
    fn new(case: &'c Case, events: bool, tape: Option<Box<Tape>>) -> Self {
        // What an earlier run on this thread left behind is none of ours.
        let _ = (take_reached(), take_heard());
        let config = &case.config;
        let host = |id: usize| {
            let everysec = config.disks.everysec;
            let (rate, offset) = (config.clock_rates_ppm[id], config.clock_offsets_ms[id]);
            Host::new(config.nodes, rate, offset, Drive::new(everysec))
        };
        let player = |id: usize| {
            let steps = case.workload.steps.iter().filter(|step| step.client == id).cloned();
            Player::new(steps.collect())
        };
        let mut world = Self {
            case,
            net: Net::new(case),
            hosts: (0..config.nodes).map(host).collect(),
            players: (0..config.clients + PROBES * config.nodes).map(player).collect(),
            history: Vec::new(),
            trace: if events { Trace::default() } else { Trace::hash_only() },
            growth: Growth::new(config.nodes),
            majorities: Majorities::default(),
            births: Births::default(),
            surveys: Surveys::default(),
            refusals: Refusals::default(),
            answers: Answers::default(),
            walks: Walks::default(),
            unheld: None,
            watches: Watches::default(),
            passed: vec![vec![0; Hook::ALL.len()]; config.nodes],
            fired: [0; FaultClass::ALL.len()],
            faults_on: 0,
            down: vec![0; config.nodes],
            away: Vec::new(),
            quiet: false,
            refused_select: false,
            undecided: 0,
            broken: None,
            overcounted: None,
            disk_failure: None,
            lost: false,
            cold_lost: Lost::default(),
            stuck_since_us: None,
        };
        world.net.tape = tape;
        (0..config.nodes).for_each(|node| world.start(node));
        for (index, fault) in case.faults.iter().enumerate() {
            if let Some(at_ms) = fault.at_ms() {
                world.net.schedule(at_ms * 1000, Event::Begin(index));
            }
        }
        (0..config.clients).for_each(|client| world.net.schedule(0, Event::Wake(client)));
        world
    }

    /// Plays it and judges what happened.
    fn see(&mut self) -> Report {
        let outcome = self.play();
        let failure = match &outcome {
            Ok(_) => self.check(true).err(),
            // Where something is also untrue, that comes first: it is the better clue.
            Err(late) if late.kind == Kind::Liveness => {
                Some(self.check(false).err().unwrap_or_else(|| late.clone()))
            }
            Err(failure) => Some(failure.clone()),
        };
        let settled_ms = outcome.ok();
        let is_looked_at = failure.is_some() || self.net.tape.is_some();
        self.fired[FaultClass::CutRead as usize] = self.net.cut_reads;
        self.fired[FaultClass::CutWrite as usize] = self.net.cut_writes;
        let mut hooks = vec![0; Hook::ALL.len()];
        for passed in &self.passed {
            hooks.iter_mut().zip(passed).for_each(|(sum, count)| *sum += count);
        }
        let answered = self.history.iter().filter(|entry| entry.end_us.is_some()).count() as u64;
        let (behind, copied) = (hooks[Hook::Behind as usize], hooks[Hook::CopyTaken as usize]);
        Report {
            replicas: if is_looked_at { self.replicas() } else { Vec::new() },
            trace: std::mem::take(&mut self.trace),
            simulated_ms: self.net.now_us / 1000,
            settled_ms,
            fired: self.fired,
            reached: Reached { behind, copied, answered, undecided: self.undecided, hooks },
            history: std::mem::take(&mut self.history),
            failure,
        }
    }

    /// Plays workload and faults, leaves the core alone, and waits until its replicas are one; says
    /// how long that took.
    fn play(&mut self) -> Result<u64, Failure> {
        let quiet_at_ms = self.case.quiet_at_ms();
        while !(self.faults_on == 0
            && self.net.now_us / 1000 >= quiet_at_ms
            && self.players.iter().all(Player::is_done))
        {
            if self.net.now_us / 1000 > quiet_at_ms + HANG_MS {
                return Err(Failure::new(Kind::Harness, "workload", "clients don't end"));
            }
            self.advance(COMPARE_MS)?;
        }
        self.end()
    }

    fn advance(&mut self, span_ms: u64) -> Result<(), Failure> {
        let until_us = self.net.now_us + span_ms * 1000;
        let (mut at_us, mut spins) = (0, 0);
        while let Some(event) = self.net.pop(until_us) {
            spins = if at_us == self.net.now_us { spins + 1 } else { 0 };
            at_us = self.net.now_us;
            if spins > SPIN_MAX {
                let detail = "events without end and without time passing";
                return Err(Failure::new(Kind::Liveness, "spin", detail));
            }
            self.handle(event);
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive(end, number, segment) => {
                if self.net.arrive(end, number, segment) {
                    self.pump(end);
                }
            }
            Event::Begin(index) => self.begin_fault(index),
            Event::Closed(node, life) => self.closed(node, life),
            Event::Disk(node, life) => self.disk_worked(node, life),
            Event::End(index) => self.end_fault(index),
            Event::GiveUp(client, token) => self.lose_patience(client, token),
            Event::Image(node, life) => self.image_worked(node, life),
            Event::Pump(end) => self.pump(end),
            Event::Refused(call) => match call.from {
                Caller::Client { client, session } => self.refused(client, session),
                Caller::Node { node, life, attempt } => {
                    self.dial_failed(node, life, attempt, call.to);
                }
            },
            Event::Respawn(node, life) => self.respawn(node, life),
            Event::Rest(client, token) => self.send_rest(client, token),
            Event::Room(end) => match self.net.ends[end].owner {
                Owner::Client { client, session } => self.room_for_client(client, session, end),
                Owner::Node { node, link } => self.room_for_node(node, link, end),
                Owner::Nobody => {}
            },
            Event::Syn(call) => self.accept(call),
            Event::SynAck(call, end) => self.answer(call, end),
            Event::Timer(node, due_us) => self.timer(node, due_us),
            Event::Wake(client) => self.wake_client(client),
        }
    }

    fn pump(&mut self, end: usize) {
        match self.net.ends[end].owner {
            Owner::Client { client, session } => self.pump_client(client, session, end),
            Owner::Node { node, link } => self.pump_node(node, link, end),
            Owner::Nobody => {}
        }
    }

    /// A connection attempt has come to its node.
    fn accept(&mut self, call: Call) {
        let (from, to) = (self.place(call.from), call.to);
        if self.net.dark[to] || self.net.is_blocked(from, to) || self.net.is_blocked(to, from) {
            return;
        }
        let latency_us = 100 + self.case.config.latency_ms.1 * 500;
        let at_us = self.net.now_us + latency_us;
        if self.hosts[to].node.is_none() || self.hosts[to].phase != Phase::Serving {
            return self.net.schedule(at_us, Event::Refused(call));
        }
        let (here, there) = self.net.connect(from, to);
        self.open(to, there, quorate::node::Origin::Accepted(Addresses::UNKNOWN));
        self.net.schedule(at_us, Event::SynAck(call, here));
    }

    /// A connection attempt was answered.
    fn answer(&mut self, call: Call, end: usize) {
        match call.from {
            Caller::Client { client, session } => self.connected(client, session, end),
            Caller::Node { node, life, attempt } => {
                if self.is_current(node, life, attempt, call.to) {
                    let peer = quorate::record::NodeId(call.to as u16);
                    self.open(node, end, quorate::node::Origin::Dialed(peer));
                } else {
                    self.net.close(end);
                }
            }
        }
        self.pump(end);
    }

    const fn place(&self, caller: Caller) -> usize {
        match caller {
            Caller::Client { client, .. } => self.case.config.nodes + client,
            Caller::Node { node, .. } => node,
        }
    }

    fn record(&mut self, host: usize, kind: EventKind, link: u32, bytes: &[u8]) {
        self.trace.record(self.net.now_us, host, kind, link, bytes);
    }

    /// Puts something on the tape, if there is one.
    fn on_tape(&mut self, put: impl FnOnce(&mut Tape, u64)) {
        if let Some(tape) = &mut self.net.tape {
            put(tape, self.net.now_us);
        }
    }

    /// Whether something has been seen to be wrong that no oracle has to be asked about.
    fn is_alarmed(&self) -> bool {
        self.broken.is_some()
            || self.overcounted.is_some()
            || self.unheld.is_some()
            || self.disk_failure.is_some()
            || self.growth.check().is_err()
    }

    /// Notes the first bound that a node breaks.
    fn bounds(&mut self, id: usize, node: &Node) {
        let limits = &self.case.config.limits;
        let (outbox, clients) = (node.outbox_size(), node.client_buffers());
        if outbox > limits.outbox_size_max || clients > limits.buffers_total {
            let detail = format!("n{id} holds {outbox} B for a peer, {clients} B for clients");
            self.broken.get_or_insert(detail);
        }
        // What is counted too much stays so.
        let all_turns = &mut self.hosts[id].all_turns;
        *all_turns += 1;
        let asked = all_turns.is_multiple_of(COUNTED_EVERY);
        let miscounted = if asked { node.miscounted() } else { 0 };
        if miscounted > 0 {
            let detail =
                format!("what n{id} counts of buffers and operations is {miscounted} B off");
            self.broken.get_or_insert(detail);
        }
    }
}
