//! Tier B: a case played on turmoil, the reactor's kind of driver over simulated sockets.
//!
//! What turmoil can't do is left to the other driver; what it does in its own way is handled here
//! (measured on 0.7.2):
//! - A stream that a partition has cut stays silent for ever. Nodes have to notice and reconnect,
//!   which is the point.
//! - A connection attempt across a partition is refused at once, and leaks a socket; so pauses
//!   between attempts are generous. `fail_rate` undoes one-way partitions and is never used.
//! - A crash sends the ends of all streams. A power loss therefore cuts the host off first and
//!   heals after it is back.
//! - One write is one segment is one read; `sockets` cuts both.
//! - A panic in a spawned task is swallowed; every host here is one task, whose panic ends the run.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, SystemTime},
};

use quorate::{fuzzing::Memory, node::Node, record::Db};

use crate::{
    birth::EPOCH_MS,
    case::{Case, FaultClass},
    chance::Chance,
    clients::Client,
    history::Entry,
    oracle::{
        self, Failure, Kind, Lost, Observed, Replica,
        convergence::{LEADERLESS, difference},
    },
    report::{Reached, Report},
    trace::{Event, EventKind, Trace},
};

mod host;
mod sockets;
mod weather;

/// Where nodes listen.
pub const PORT: u16 = 9000;
/// Replicas are compared this often at the end.
const COMPARE_MS: u64 = 100;
/// A workload that has not ended so long after its last step hangs.
const HANG_MS: u64 = 30_000;

/// What hosts, clients and the simulation share. It outlives crashes of hosts.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) case: Rc<Case>,
    pub(crate) trace: Rc<RefCell<Trace>>,
    /// The running nodes.
    pub(crate) nodes: RefCell<Vec<Option<Rc<RefCell<Node>>>>>,
    /// How often each node was started.
    pub(crate) lives: Vec<Cell<u64>>,
    pub(crate) disks: Vec<Rc<RefCell<Memory>>>,
    pub(crate) fired: RefCell<[u64; FaultClass::ALL.len()]>,
}

impl Shared {
    /// A fault begins or ends.
    pub(crate) fn record(&self, now_ms: u64, kind: EventKind, fault: usize) {
        self.trace.borrow_mut().record(now_ms * 1000, 0, kind, fault as u32, &[]);
    }

    /// A fault has struck.
    pub(crate) fn fire(&self, class: FaultClass) {
        self.fired.borrow_mut()[class as usize] += 1;
    }
}

/// The name of a node's host.
#[must_use]
pub fn node_name(node: usize) -> String {
    format!("n{node}")
}

/// The name of a client's host.
#[must_use]
pub fn client_name(client: usize) -> String {
    format!("c{client}")
}

/// Plays a case.
#[must_use]
pub fn run(case: &Case) -> Report {
    let case = Rc::new(case.clone());
    let nodes = case.config.nodes;
    let trace = Rc::new(RefCell::new(Trace::default()));
    let history = Rc::new(RefCell::new(Vec::new()));
    let torn = Rc::new(Cell::new(0));
    let shared = Rc::new(Shared {
        case: Rc::clone(&case),
        trace: Rc::clone(&trace),
        nodes: RefCell::new(vec![None; nodes]),
        lives: vec![Cell::new(0); nodes],
        disks: (0..nodes).map(|_| Rc::default()).collect(),
        fired: RefCell::default(),
    });
    let mut sim = build(&case);
    for node in 0..nodes {
        let shared = Rc::clone(&shared);
        sim.host(node_name(node), move || host::run(Rc::clone(&shared), node));
    }
    for id in 0..case.config.clients {
        let (history, trace, torn) = (Rc::clone(&history), Rc::clone(&trace), Rc::clone(&torn));
        let client = Client { id, case: Rc::clone(&case), history, trace, torn };
        sim.client(client_name(id), async move {
            client.run().await;
            Ok(())
        });
    }
    if let Some((a, b, slow_ms)) = case.config.slow_link {
        sim.set_link_latency(node_name(a), node_name(b), Duration::from_millis(slow_ms));
    }
    let mut run = Run { sim, shared, weather: weather::Weather::new(&case) };
    let outcome = run.play();
    let simulated_ms = run.now_ms();
    let mut reached = run.reached(&history.borrow());
    let observed = run.observe(history.borrow().clone(), outcome.is_ok());
    // Hosts end here, while the simulation can still tell them so.
    drop(run.sim);
    let (settled_ms, failure) = match outcome {
        Ok(settled_ms) => {
            let checked = run.shared.check(&observed);
            reached.undecided = checked.as_ref().copied().unwrap_or(0);
            (Some(settled_ms), checked.err())
        }
        // Where something is also untrue, that comes first: it is the better clue.
        Err(late) if late.kind == Kind::Liveness => {
            (None, Some(run.shared.check(&observed).err().unwrap_or(late)))
        }
        Err(failure) => (None, Some(failure)),
    };
    let mut fired = *run.shared.fired.borrow();
    fired[FaultClass::TornRequest as usize] = torn.get();
    let trace = trace.borrow().clone();
    Report {
        trace,
        simulated_ms,
        settled_ms,
        fired,
        reached,
        replicas: observed.replicas,
        history: observed.history,
        failure,
    }
}

fn build(case: &Case) -> turmoil::Sim<'static> {
    let config = &case.config;
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(Chance::new(case.seed, "turmoil", 0).bits())
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
        .simulation_duration(Duration::from_secs(24 * 3600))
        .tick_duration(Duration::from_millis(config.tick_ms))
        .min_message_latency(Duration::from_millis(config.latency_ms.0))
        .max_message_latency(Duration::from_millis(config.latency_ms.1))
        .tcp_capacity(config.window);
    if config.shuffle {
        builder.enable_random_order();
    }
    builder.build()
}

/// A case being played.
struct Run {
    sim: turmoil::Sim<'static>,
    shared: Rc<Shared>,
    weather: weather::Weather,
}

impl Run {
    /// Plays workload and faults, then waits until all replicas are one; says how long that took.
    fn play(&mut self) -> Result<u64, Failure> {
        let case = Rc::clone(&self.shared.case);
        let quiet_at_ms = case.quiet_at_ms();
        loop {
            let now_ms = self.now_ms();
            self.weather.advance(&mut self.sim, &self.shared, now_ms);
            let clients_done = self.step()?;
            if clients_done && self.weather.is_over() {
                break;
            }
            if now_ms > quiet_at_ms + HANG_MS {
                return Err(Failure::new(Kind::Harness, "workload", "clients don't end"));
            }
        }
        let quiet_ms = self.now_ms();
        let mut agreed = false;
        let mut compare_at = quiet_ms + 2 * case.config.latency_ms.1;
        loop {
            self.step()?;
            let now_ms = self.now_ms();
            if now_ms < compare_at {
                continue;
            }
            compare_at = now_ms + COMPARE_MS;
            let dbs: &[Db] = if case.config.surveys() { &Db::ALL } else { &LEADERLESS };
            let difference = difference(&self.replicas(), dbs);
            match difference {
                // Twice in a row, for something may still have been under way.
                None if agreed => return Ok(now_ms - quiet_ms),
                None => agreed = true,
                Some(_) if now_ms < quiet_ms + case.config.settle_ms() => agreed = false,
                Some(difference) => return Err(difference.after(now_ms - quiet_ms)),
            }
        }
    }

    fn step(&mut self) -> Result<bool, Failure> {
        self.sim.step().map_err(|error| match error.to_string() {
            error if error == host::SPINS => Failure::new(Kind::Liveness, "spin", &error),
            error => Failure::new(Kind::Safety, "panic", &error),
        })
    }

    fn now_ms(&self) -> u64 {
        self.sim.elapsed().as_millis() as u64
    }

    fn replicas(&self) -> Vec<(usize, Replica)> {
        let nodes = self.shared.nodes.borrow();
        let up = nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.as_ref()?)));
        up.map(|(id, node)| (id, Replica::of(node.borrow().store()))).collect()
    }

    fn observe(&self, history: Vec<Entry>, settled: bool) -> Observed {
        let nodes = self.shared.nodes.borrow();
        let votes = |node: &usize| nodes[*node].as_ref().is_some_and(|node| node.borrow().votes());
        Observed {
            nodes_keep_memory: true,
            settled,
            history,
            stops: None,
            replicas: self.replicas(),
            voting: (0..nodes.len()).filter(votes).collect(),
            quorum: nodes.len() / 2 + 1,
            lost: Lost::default(),
            skew_us: self.shared.case.skew_us(self.now_ms() * 1000),
            // Clocks don't jump there.
            put_right: Vec::new(),
            now_us: self.now_ms() * 1000,
            grace_us: self.shared.case.config.timing.skew_max.0 * 1000,
            ..Observed::default()
        }
    }

    /// Asks the nodes themselves what they got to.
    fn reached(&self, history: &[Entry]) -> Reached {
        let answered = history.iter().filter(|entry| entry.end_us.is_some()).count() as u64;
        let mut reached = Reached { answered, ..Reached::default() };
        for node in self.shared.nodes.borrow().iter().flatten() {
            let info = host::ask(&mut node.borrow_mut(), self.now_ms(), b"INFO Replication\r\n");
            for field in info.split(['\r', '\n', ',']) {
                let number =
                    |name| field.strip_prefix(name).and_then(|text| text.parse::<u64>().ok());
                reached.behind += number("peers_went_behind:").unwrap_or(0);
                reached.copied += number("copied=").unwrap_or(0);
            }
        }
        reached
    }
}

impl Shared {
    fn check(&self, observed: &Observed) -> Result<u64, Failure> {
        for (number, node) in self.nodes.borrow().iter().enumerate() {
            let Some(node) = node else { continue };
            let node = node.borrow();
            let checked = catch_unwind(AssertUnwindSafe(|| node.store().check()));
            if checked.is_err() {
                let detail = format!("the store of n{number} breaks an invariant of its own");
                return Err(Failure::new(Kind::Safety, "store", &detail));
            }
        }
        oracle::check(observed)
    }
}

/// Everything that happened in a run, for people.
pub fn narrate(trace: &Trace) -> impl Iterator<Item = String> {
    trace.events().iter().map(Event::to_string)
}
