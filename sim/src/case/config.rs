//! What a case is played on: the cluster, its bounds and timing, the network and the clocks.

use std::fmt;

use quorate::{
    limits::{Limits, Timing},
    time::Millis,
};

use serde::{Deserialize, Serialize};

use super::{bounds, brief, dark, plan::Plan, rolling, style};
use crate::chance::Chance;

/// Regimes of latency, each the least and the most that a message takes; the quick ones more often, for
/// slow messages make long cases.
const LATENCIES_MS: [(u64, u64); 6] = [(0, 10), (0, 10), (1, 50), (1, 50), (5, 100), (20, 200)];

/// How many nodes, the usual numbers more often: few nodes find the same in less time, which grows with
/// the pairs.
const NODES: [usize; 16] = [1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6, 7];

/// A pause between comparisons that no case lives to see: then the streams alone have to bring
/// every write home.
const NEVER: Millis = Millis(24 * 3600 * 1000);

/// An outbox of this size has room for any record alone, and for digests of so many slots that surveys
/// come to all of them in turn. Smaller ones are drawn only where no client uses the strong database.
const SURVEYED_FROM: usize = 4 << 10;

/// Nodes don't tell each other more often that they are there.
const HEARTBEAT_MIN_MS: u64 = 50;

/// Windows of links that are narrow.
const NARROW_BYTES: usize = 1000;

/// The cluster, its bounds and timing, the network and the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// How many nodes.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// How many slots each database has.
    pub slots: u32,
    /// Operations and faults begin within this span.
    pub span_ms: u64,
    /// And not before this time.
    #[serde(default = "start_ms")]
    pub start_ms: u64,
    /// The grain of the network's time.
    pub tick_ms: u64,
    /// The least and the most that a message takes.
    pub latency_ms: (u64, u64),
    /// One pair of nodes that is further apart, and how far.
    pub slow_link: Option<(usize, usize, u64)>,
    /// Whether hosts run in another order each tick.
    pub shuffle: bool,
    /// Messages under way on one connection and direction before a writer waits.
    pub window: usize,
    /// How reads and writes are cut, if at all.
    pub chop: Option<Chop>,
    /// What each node's wall clock is off by.
    pub clock_offsets_ms: Vec<i64>,
    /// How much faster than time each node's clocks run, in parts per million.
    pub clock_rates_ppm: Vec<i64>,
    /// Bytes under way on one connection and direction before a writer waits; where the driver
    /// counts bytes.
    pub window_bytes: usize,
    /// The nodes that must go on alone in the end: a majority at least. The others never come back.
    pub core: Vec<usize>,
    /// How disks are.
    #[serde(default)]
    pub disks: Disks,
    /// Bounds of the nodes.
    #[serde(with = "bounds::LimitsShape")]
    pub limits: Limits,
    /// Timing of the nodes.
    #[serde(with = "bounds::TimingShape")]
    pub timing: Timing,
}

// Cases that were written before clusters had to form do not have it.
const fn start_ms() -> u64 {
    200
}

/// How the disks of all nodes are, and how nodes use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disks {
    /// The least and the most that a batch takes, in microseconds.
    pub batch_us: (u64, u64),
    /// A write counts as durable when the system has it.
    pub everysec: bool,
    /// Bytes after which the log begins a new segment.
    pub segment_size: u64,
}

impl Default for Disks {
    fn default() -> Self {
        Self { batch_us: (50, 200), everysec: false, segment_size: 64 << 20 }
    }
}

impl Disks {
    const SLOW: Self = Self { batch_us: (5000, 100_000), everysec: false, segment_size: 64 << 20 };

    fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "disks", 0);
        Self {
            batch_us: chance.pick(&[(50, 200), (500, 5000), (5000, 100_000), (5000, 100_000)]),
            everysec: chance.percent(15),
            segment_size: chance.pick(&[300, 4000, 64 << 10, 64 << 20]),
        }
    }
}

/// How a transport cuts what passes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chop {
    /// The most bytes of one read.
    pub read_max: usize,
    /// The most bytes of one write.
    pub write_max: usize,
    /// So many writes in a hundred are cut short and not taken up before the next round.
    pub stall_percent: u64,
    /// So many reads and writes in a hundred are not cut; where the driver counts bytes.
    #[serde(default)]
    pub whole_percent: u64,
}

impl Chop {
    fn draw(seed: u64, nodes: usize, chance: &mut Chance) -> Option<Self> {
        // What comes in few pieces takes less time to play.
        let whole: &[u64] = if nodes > 3 { &[90] } else { &[0, 60, 90, 90] };
        chance.percent(30).then(|| Self {
            read_max: chance.pick(&[7, 40, 40, 200, 200, 1000, 1000]),
            write_max: chance.pick(&[40, 100, 500, 2000]),
            stall_percent: chance.pick(&[0, 5, 20]),
            whole_percent: Chance::new(seed, "whole", 0).pick(whole),
        })
    }
}

impl Config {
    /// The configuration of `seed`. Where processes end, comparing replicas from time to time is what
    /// passes on writes whose sender died before all had them; elsewhere a case may do without.
    pub(super) fn draw(seed: u64, plan: &Plan, nodes: Option<usize>) -> Self {
        let mut chance = Chance::new(seed, "config", 0);
        let (drawn, brief) = (chance.pick(&NODES), brief::is_drawn(seed));
        let drawn = match plan.drama {
            Some(drama) => drama.nodes(seed),
            None if plan.alone => chance.pick(&[1, 1, 2]),
            None if plan.dark => dark::nodes(seed),
            None if plan.rolling => rolling::nodes(seed),
            None if brief => brief::nodes(seed),
            None => drawn,
        };
        let nodes = nodes.unwrap_or(drawn);
        let (clients, slots) = (chance.between(2, 6) as usize, chance.pick(&[2, 2, 4, 4, 16, 64]));
        let latency_ms = chance.pick(&LATENCIES_MS);
        let core = draw_core(seed, nodes);
        // What reached only some of the core before the others went must be passed on.
        let loses_nodes = plan.crashes() || core.len() < nodes;
        let slow_link = (chance.percent(20) && nodes > 1).then(|| {
            let slow = chance.pick(&[20, 50, 100, 300]);
            (0, chance.between(1, nodes as u64 - 1) as usize, slow)
        });
        let slowest_ms = latency_ms.1 + slow_link.map_or(0, |(_, _, slow)| slow);
        let timing = draw_timing(seed, nodes, loses_nodes, slowest_ms);
        let disks = match plan.drama {
            Some(drama) => drama.disks(),
            None if plan.alone => Disks::SLOW,
            None if plan.dark => dark::disks(seed),
            None => Disks::draw(seed),
        };
        // As a rule the cluster forms and elects its leaders before anything goes wrong.
        let formed_ms = 8 * slowest_ms + 4 * disks.batch_us.1 / 1000 + 400;
        let start_ms = if chance.percent(85) { formed_ms } else { 200 };
        let span_ms = chance.between(1, 7) * 1000;
        let span_ms = start_ms + if brief { brief::span_ms(seed) } else { span_ms };
        let skew = timing.skew_max.0.min(4000) / 3;
        let offset = |chance: &mut Chance| chance.between(0, skew) as i64 - (skew / 2) as i64;
        let skewed = chance.percent(60);
        // Through the eye of a needle an operation takes many ways there and back. In the end every
        // database has to serve, whichever the clients use.
        let quick = slowest_ms <= 50;
        let (tight, limits) = (chance.percent(12) && quick, draw_limits(seed, latency_ms.1));
        let windows: &[usize] =
            if quick { &[200, 2000, 64 << 10, 64 << 10] } else { &[4000, 64 << 10] };
        let mut config = Self {
            nodes,
            clients,
            slots,
            span_ms,
            start_ms,
            tick_ms: 10,
            latency_ms,
            slow_link,
            shuffle: chance.percent(50),
            window: chance.pick(&[64, 128, 1024]),
            chop: Chop::draw(seed, nodes, &mut chance),
            clock_offsets_ms: (0..nodes)
                .map(|_| if skewed { offset(&mut chance) } else { 0 })
                .collect(),
            clock_rates_ppm: draw_rates(seed, nodes),
            window_bytes: if tight { 200 } else { chance.pick(windows) },
            core,
            disks,
            limits: if tight { tight_limits(limits) } else { limits },
            timing,
        };
        config.adapt(seed, plan);
        config
    }

    /// Where one thing that was drawn asks for another.
    fn adapt(&mut self, seed: u64, plan: &Plan) {
        if self.window_bytes < NARROW_BYTES {
            self.limits = narrow_limits(self.limits);
        }
        if let Some(clock) = plan.drama.and_then(|drama| drama.clock(seed, self.nodes))
            && let Some(offset_ms) = self.clock_offsets_ms.get_mut(clock.node)
        {
            *offset_ms = clock.by_ms;
            self.timing.skew_max = Millis(clock.skew_max_ms);
        }
    }

    /// How long a link that fell silent may still keep a node busy with it, at the most.
    #[must_use]
    pub const fn reconnect_ms(&self) -> u64 {
        let Timing { silence, dial, redial_max, .. } = self.timing;
        silence.0 + dial.0 + redial_max.0
    }

    /// Whether nodes compare themselves from time to time.
    #[must_use]
    pub fn repairs(&self) -> bool {
        self.timing.repair != NEVER
    }

    /// Whether leaders of the strong database find out what members hold, each slot in its turn. Only then
    /// is a write found that one who had lost the slot without knowing it has for itself.
    #[must_use]
    pub fn surveys(&self) -> bool {
        self.repairs() && self.limits.outbox_size_max >= SURVEYED_FROM
    }

    /// The longest that a message takes.
    #[must_use]
    pub fn slowest_ms(&self) -> u64 {
        self.slow_link.map_or(0, |(_, _, latency)| latency) + self.latency_ms.1
    }

    /// How long a client waits for all replies of a step, connecting included.
    #[must_use]
    pub fn patience_ms(&self) -> u64 {
        self.timing.request.0 + 2 * self.slowest_ms() + 500
    }

    /// How long the strong database may be without leaders after the last fault. Candidates may
    /// have had bad luck before, and then take their time.
    #[must_use]
    pub fn election_ms(&self) -> u64 {
        let Timing { silence, request, .. } = self.timing;
        30 * silence.0 + request.0 + 20 * self.slowest_ms()
    }

    /// How long after the last fault and write all replicas must have become one. Generous: in a
    /// round each node reconnects to each other one and compares; a write may need to be passed on
    /// by a node that got it so itself.
    #[must_use]
    pub fn settle_ms(&self) -> u64 {
        let slowest = self.slowest_ms();
        let repair = if self.timing.repair == NEVER { 0 } else { self.timing.repair.0 };
        // Each page of a walk may wait for a batch to be durable, at worst.
        let disk_ms = 2 * self.disks.batch_us.1 / 1000;
        let walk = 4 * (slowest + self.tick_ms + disk_ms) * (u64::from(self.slots) + 10);
        // A stamp from too far ahead is taken when time has caught up.
        3 * (self.reconnect_ms() + repair * 5 / 4 + walk) + self.election_ms() + 10_000
    }
}

/// How often nodes tell each other that they are there, if they may lack a sign of life for so long. Each
/// pair does it, and with many nodes that would be most of what is played.
fn heartbeat_ms(seed: u64, nodes: usize, lacks_ms: u64) -> u64 {
    let often: &[u64] = match nodes {
        ..3 => &[3, 5, 10],
        3 => &[3, 3, 5],
        4.. => &[3],
    };
    (lacks_ms / Chance::new(seed, "heartbeat", 0).pick(often)).max(HEARTBEAT_MIN_MS)
}

fn draw_timing(seed: u64, nodes: usize, loses_nodes: bool, slowest_ms: u64) -> Timing {
    let mut chance = Chance::new(seed, "timing", 0);
    let brief = brief::is_drawn(seed);
    let repairs = loses_nodes || chance.percent(50);
    // Twice the longest way there and back, a slow link included, so that only a fault looks like
    // one.
    let lacks_ms = 4 * slowest_ms + chance.pick(&[200, 400, 1200]);
    let heartbeat = heartbeat_ms(seed, nodes, lacks_ms);
    let silence = 2 * heartbeat + lacks_ms;
    // An operation that a follower forwards takes twice there and back, and two disks.
    let least = 300 + 6 * slowest_ms;
    let redials = if brief { (300, 800) } else { (500, 2000) };
    let compares = if brief { (700, 2000) } else { (1000, 4000) };
    let (redial_max, repair) =
        (chance.between(redials.0, redials.1), chance.between(compares.0, compares.1));
    Timing {
        heartbeat: Millis(heartbeat),
        silence: Millis(silence),
        dial: Millis(chance.between(4 * slowest_ms.max(100), 4 * slowest_ms.max(100) + 1000)),
        // Each refused attempt to connect leaks a socket of the simulated network, so pauses are
        // generous.
        redial_min: Millis(chance.between(25, 200)),
        redial_max: Millis(redial_max),
        repair: if repairs { Millis(repair) } else { NEVER },
        // More than a message can be old that a partition held back: its sender's clock is as old.
        skew_max: Millis(chance.pick(&[6000, 60_000])),
        request: Millis(least + chance.pick(&[200, 500, 2000])),
        drain: Millis(2000),
    }
}

/// Crystals are off by tens of parts per million; worse ones find more.
fn draw_rates(seed: u64, nodes: usize) -> Vec<i64> {
    let mut chance = Chance::new(seed, "rates", 0);
    let drifts = chance.percent(40);
    let mut rate = || if drifts { chance.between(0, 4000) as i64 - 2000 } else { 0 };
    (0..nodes).map(|_| rate()).collect()
}

fn draw_core(seed: u64, nodes: usize) -> Vec<usize> {
    let mut chance = Chance::new(seed, "core", 0);
    let mut core: Vec<usize> = (0..nodes).collect();
    if chance.percent(30) {
        let least = nodes / 2 + 1;
        while core.len() > least && chance.percent(70) {
            core.remove(chance.below(core.len() as u64) as usize);
        }
    }
    core
}

/// Nodes that have much to say to each other through narrow links, and soon stop listening.
const fn tight_limits(limits: Limits) -> Limits {
    Limits { output_pause: 64, outbox_size_max: 1 << 20, link_output: 256 << 10, ..limits }
}

/// Through the narrowest links a leader that asked about each slot by itself would say nothing else any
/// more, and what one that takes few requests refuses comes again and again.
const fn narrow_limits(limits: Limits) -> Limits {
    Limits { repair_span: 256, requests_max: Limits::DEFAULT.requests_max, ..limits }
}

fn draw_limits(seed: u64, latency_max_ms: u64) -> Limits {
    let mut chance = Chance::new(seed, "limits", 0);
    let many = Limits::DEFAULT.requests_max;
    let requests_max = Chance::new(seed, "requests", 0).pick(&[many, many, many, many, 3, 1]);
    // Mostly there is room; else what a few large values take.
    let room = Limits::DEFAULT.requests_size_max;
    let requests_size_max =
        Chance::new(seed, "request bytes", 0).pick(&[room, room, room, room, room, room, 2000]);
    // A page of one record costs each record a way there and back.
    let pages: &[usize] = if latency_max_ms > 50 { &[200, 64 << 10] } else { &[1, 200, 64 << 10] };
    let outboxes: &[usize] = if style::uses_strong(seed) {
        &[4 << 10, 16 << 10, 64 << 10, 1 << 20]
    } else {
        &[300, 1000, 4000, 64 << 10, 1 << 20]
    };
    Limits {
        output_pause: chance.pick(&[64, 4096, 1 << 20]),
        outbox_size_max: chance.pick(outboxes),
        link_output: chance.pick(&[50, 1000, 256 << 10]),
        offer_size: chance.pick(pages),
        repair_span: chance.pick(&[1, 4, 256]),
        log_gathered_max: chance.pick(&[1, 1000, 64 << 20, 64 << 20]),
        checkpoint_log_min: chance.pick(&[1000, 10_000, 64 << 10, 64 << 20]),
        checkpoint_slice: chance.pick(&[1, 300, 32 << 10]),
        requests_max,
        requests_size_max,
        ..Limits::DEFAULT
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, slots, clients, span_ms, latency_ms: (least, most), .. } = self;
        write!(f, "{nodes} nodes, {slots} slots, {clients} clients, {span_ms} ms; ")?;
        write!(f, "latency {least}-{most} ms")?;
        if let Some((a, b, latency)) = self.slow_link {
            write!(f, " (n{a}-n{b} {latency} ms)")?;
        }
        match self.chop {
            Some(Chop { read_max, write_max, stall_percent, whole_percent }) => {
                write!(
                    f,
                    ", reads cut at {read_max}, writes at {write_max} (stalls {stall_percent} %, \
                     whole {whole_percent} %)"
                )?;
            }
            None => write!(f, ", nothing cut")?,
        }
        write!(f, ", window {}, clocks off by {:?} ms", self.window, self.clock_offsets_ms)?;
        let Limits { outbox_size_max, link_output, offer_size, repair_span, .. } = self.limits;
        write!(
            f,
            "\n            outbox {outbox_size_max} B, link {link_output} B, offer {offer_size} B, "
        )?;
        write!(f, "span {repair_span}; ")?;
        let Limits { requests_max, requests_size_max, .. } = self.limits;
        if requests_max < Limits::DEFAULT.requests_max {
            write!(f, "operations {requests_max} at a time, ")?;
        }
        if requests_size_max < Limits::DEFAULT.requests_size_max {
            write!(f, "operations {requests_size_max} B in all, ")?;
        }
        write!(f, "silence {} ms, ", self.timing.silence.0)?;
        write!(f, "requests {} ms, from {} ms on, ", self.timing.request.0, self.start_ms)?;
        let Disks { batch_us: (fast, slow), everysec, segment_size } = self.disks;
        let fsync = if everysec { "everysec" } else { "always" };
        write!(f, "disks {fast}-{slow} us, fsync {fsync}, segments {segment_size} B, ")?;
        write!(f, "checkpoints every {} B, ", self.limits.checkpoint_log_min)?;
        if self.timing.repair == NEVER {
            write!(f, "no periodic repair")
        } else {
            write!(f, "repair every {} ms", self.timing.repair.0)
        }
    }
}
