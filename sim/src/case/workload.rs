//! What clients ask in a case, and when.
//!
//! Made to disagree: few hot keys written on several nodes at once, deletions and re-creation of
//! the same keys, bursts around each fault so that streams are cut in the middle and outboxes
//! overflow, and nodes that nobody talks to after a while, so that nothing but the cluster itself
//! can bring them up to date.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Config, Fault};
use crate::chance::Chance;

/// Sizes of large values: a line of text must still have room for the request.
const LARGE: (usize, usize) = (10_000, 60_000);

/// Everything that clients ask, by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Ordered by time; a client takes its own ones one after the other.
    pub steps: Vec<Step>,
    /// The dialect of each client.
    pub dialects: Vec<Dialect>,
    /// The database of each client.
    pub databases: Vec<u8>,
}

/// Requests that one client sends to one node in one go, before it reads any reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, unless the client is still busy.
    pub at_ms: u64,
    /// Who.
    pub client: usize,
    /// To whom.
    pub node: usize,
    /// On a connection of its own, whose client side is closed right after the requests.
    pub fresh: bool,
    /// What; as many as the pipeline is deep.
    pub ops: Vec<Op>,
    /// Where the requests are torn, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Torn>,
}

/// The bytes of a step in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// How much of them the first part is, in thousandths.
    pub permille: u64,
    /// What becomes of the second.
    pub then: Then,
}

/// What follows the first part of torn requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The orderly end of the connection. Not in text: there the end of input ends a line, and half
    /// a request would be a whole one.
    Close,
    /// The disorderly end of the connection.
    Reset,
    /// The second part, after a while.
    Stall {
        /// How long.
        for_ms: u64,
    },
}

impl Torn {
    /// How many of `size` bytes the first part has: never none, never all.
    #[must_use]
    pub const fn cut(self, size: usize) -> usize {
        let inner = size.saturating_sub(2) as u64 * self.permille / 1000;
        1 + inner as usize
    }

    /// Whether the client leaves without the second part.
    #[must_use]
    pub const fn leaves(self) -> bool {
        match self.then {
            Then::Close | Then::Reset => true,
            Then::Stall { .. } => false,
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Delete a key.
    Del {
        /// Which.
        key: String,
    },
    /// Delete everything in the client's database.
    FlushDb,
    /// Read a key.
    Get {
        /// Which.
        key: String,
    },
    /// Take a checkpoint.
    Save,
    /// Write a key.
    Set {
        /// Which.
        key: String,
        /// What; no two writes of a case write the same.
        value: String,
    },
}

impl Op {
    /// The key it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Del { key } | Self::Get { key } | Self::Set { key, .. } => Some(key),
            Self::FlushDb | Self::Save => None,
        }
    }

    /// What it writes, if it is a SET.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Set { value, .. } => Some(value),
            Self::Del { .. } | Self::FlushDb | Self::Get { .. } | Self::Save => None,
        }
    }
}

/// How a client talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Arrays of bulk strings.
    Resp,
    /// Lines.
    Text,
}

/// The value of the write number `number` of `client`, at least `size` bytes long.
#[must_use]
pub fn value_of(client: usize, number: u64, size: usize) -> String {
    let name = format!("v{client}.{number}");
    let padding = size.saturating_sub(name.len() + 1);
    if padding == 0 {
        return name;
    }
    let mut chance = Chance::new(number, "padding", client as u64);
    let letter = |_| char::from(b'a' + chance.below(26) as u8);
    let letters: String = (0..padding.min(8)).map(letter).collect();
    let mut value = name + "-";
    let size = value.len() + padding;
    value += &letters.repeat(padding.div_ceil(letters.len()));
    value.truncate(size);
    value
}

impl Workload {
    pub(super) fn draw(seed: u64, config: &Config, faults: &[Fault]) -> Self {
        let style = Style::draw(seed, config);
        let mut steps = Vec::new();
        for client in 0..config.clients {
            let mut chance = Chance::new(seed, "client", client as u64);
            let home = chance.below(config.nodes as u64) as usize;
            let count = chance.between(10, 60);
            for number in 0..count {
                let id = (client as u64) << 32 | number;
                steps.push(style.step(seed, id, config, home));
            }
        }
        if style.storms {
            for (number, fault) in faults.iter().enumerate() {
                steps.extend(style.storm(seed, number as u64, config, fault));
            }
        }
        steps.sort_by_key(|step| step.at_ms);
        let per_client = |client| {
            let mut chance = Chance::new(seed, "dialect", client as u64);
            let dialect = chance.pick(&[Dialect::Resp, Dialect::Text]);
            let database = if style.one_database { style.database } else { chance.below(3) as u8 };
            (dialect, database)
        };
        let (dialects, databases) = (0..config.clients).map(per_client).unzip();
        let mut workload = Self { steps, dialects, databases };
        workload.break_torn_lines();
        workload
    }

    /// Makes torn requests of text clients end by a reset where they would end in order.
    pub(super) fn break_torn_lines(&mut self) {
        for step in &mut self.steps {
            if let Some(torn) = &mut step.torn
                && torn.then == Then::Close
                && self.dialects[step.client] == Dialect::Text
            {
                torn.then = Then::Reset;
            }
        }
    }

    /// Keeps so many requests, spread evenly.
    pub(super) fn thin_out(&mut self, operations: usize) {
        let (total, mut number) = (self.len(), 0);
        for step in &mut self.steps {
            step.ops.retain(|_| {
                number += 1;
                number * operations / total != (number - 1) * operations / total
            });
        }
        self.steps.retain(|step| !step.ops.is_empty());
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.iter().map(|step| step.ops.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Op) -> bool| {
            self.steps.iter().flat_map(|step| &step.ops).filter(|op| wanted(op)).count()
        };
        let sets = count(|op| matches!(op, Op::Set { .. }));
        let gets = count(|op| matches!(op, Op::Get { .. }));
        let dels = count(|op| matches!(op, Op::Del { .. }));
        let flushes = count(|op| matches!(op, Op::FlushDb));
        let saves = count(|op| matches!(op, Op::Save));
        write!(f, "{} requests in {} goes: {sets} SET, ", self.len(), self.steps.len())?;
        write!(f, "{gets} GET, {dels} DEL, {flushes} FLUSHDB, {saves} SAVE; ")?;
        write!(f, "databases {:?}", self.databases)?;
        let sizes = self.steps.iter().flat_map(|step| &step.ops).filter_map(Op::value);
        let largest = sizes.map(str::len).max().unwrap_or(0);
        let torn = self.steps.iter().filter(|step| step.torn.is_some()).count();
        write!(f, "; values up to {largest} B, {torn} goes torn")
    }
}

/// What the requests of one seed have in common.
struct Style {
    hot_keys: u64,
    cold_keys: u64,
    hot_percent: u64,
    /// Shares of SET and DEL; the rest reads.
    set_percent: u64,
    del_percent: u64,
    /// Flushes in ten thousand requests.
    flushes: u64,
    /// Checkpoints in ten thousand requests.
    saves: u64,
    sizes: &'static [u64],
    /// Values far above all sizes and most limits of the case.
    large_percent: u64,
    depths: &'static [u64],
    /// Clients go to other nodes than their own.
    roam_percent: u64,
    /// Goes on connections of their own.
    churn_percent: u64,
    /// Goes whose bytes leave in two parts, or only in part.
    torn_percent: u64,
    storms: bool,
    /// A node that nobody talks to after this time.
    quiet: Option<(usize, u64)>,
    one_database: bool,
    database: u8,
}

impl Style {
    fn draw(seed: u64, config: &Config) -> Self {
        let mut chance = Chance::new(seed, "workload", 0);
        let quiet_node = chance.below(config.nodes as u64) as usize;
        let quiet_from = chance.between(config.span_ms / 4, config.span_ms);
        // Where they don't go through the eye of a needle, which would take minutes.
        let roomy = config.window_bytes >= LARGE.1
            && config.chop.is_none_or(|chop| chop.read_max >= 200 && chop.write_max >= 500);
        Self {
            hot_keys: chance.between(1, 6),
            cold_keys: chance.between(5, 120),
            hot_percent: chance.pick(&[20, 60, 95]),
            set_percent: chance.pick(&[40, 60, 90]),
            del_percent: chance.pick(&[0, 10, 30]),
            flushes: chance.pick(&[0, 0, 0, 30]),
            saves: chance.pick(&[0, 0, 50, 300]),
            sizes: chance.pick(&[&[0][..], &[0, 0, 30, 200], &[0, 100, 1000, 3000]]),
            depths: chance.pick(&[&[1][..], &[1, 1, 4], &[1, 8, 16]]),
            roam_percent: chance.pick(&[0, 10, 50]),
            churn_percent: chance.pick(&[0, 0, 20]),
            storms: chance.percent(60),
            quiet: chance.percent(50).then_some((quiet_node, quiet_from)),
            one_database: chance.percent(60),
            database: chance.below(3) as u8,
            large_percent: if chance.percent(50) && roomy { 3 } else { 0 },
            torn_percent: chance.pick(&[0, 0, 10]),
        }
    }

    fn step(&self, seed: u64, id: u64, config: &Config, home: usize) -> Step {
        let mut chance = Chance::new(seed, "step", id);
        let client = (id >> 32) as usize;
        let at_ms = chance.between(200, config.span_ms);
        let nodes = config.nodes as u64;
        let mut node =
            if chance.percent(self.roam_percent) { chance.below(nodes) as usize } else { home };
        if self.quiet.is_some_and(|(quiet, from)| node == quiet && at_ms >= from) {
            node = (node + 1) % config.nodes;
        }
        let depth = chance.pick(self.depths);
        let ops = (0..depth).map(|nth| self.op(seed, client, id << 8 | nth)).collect();
        let fresh = chance.percent(self.churn_percent);
        let torn = chance.percent(self.torn_percent).then(|| {
            let permille = chance.between(0, 1000);
            let for_ms = chance.between(1, 2500);
            let then = chance.pick(&[Then::Close, Then::Reset, Then::Stall { for_ms }]);
            Torn { permille, then }
        });
        Step { at_ms, client, node, fresh, ops, torn }
    }

    fn op(&self, seed: u64, client: usize, number: u64) -> Op {
        let mut chance = Chance::new(seed, "op", number);
        let key = self.key(&mut chance);
        if chance.below(10_000) < self.flushes {
            return Op::FlushDb;
        }
        if chance.below(10_000) < self.saves {
            return Op::Save;
        }
        let dice = chance.below(100);
        if dice < self.set_percent {
            let size = if chance.percent(self.large_percent) {
                chance.between(LARGE.0 as u64, LARGE.1 as u64) as usize
            } else {
                chance.pick(self.sizes) as usize
            };
            let value = value_of(client, number & 0xffff_ffff_ffff, size);
            Op::Set { key, value }
        } else if dice < self.set_percent + self.del_percent {
            Op::Del { key }
        } else {
            Op::Get { key }
        }
    }

    fn key(&self, chance: &mut Chance) -> String {
        if chance.percent(self.hot_percent) {
            format!("hot{}", chance.below(self.hot_keys))
        } else {
            format!("cold{}", chance.below(self.cold_keys))
        }
    }

    /// Writes around a fault, on the nodes that it strikes and one more.
    fn storm(&self, seed: u64, number: u64, config: &Config, fault: &Fault) -> Vec<Step> {
        let mut chance = Chance::new(seed, "storm", number);
        let mut nodes = fault.kind.nodes();
        nodes.push(chance.below(config.nodes as u64) as usize);
        let mut goes = Vec::new();
        for go in 0..chance.between(2, 12) {
            let client = chance.below(config.clients as u64) as usize;
            let node = chance.pick(&nodes);
            let early = chance.below(60);
            let spread = if chance.percent(60) { 120 } else { fault.for_ms + 60 };
            let fault_at_ms = fault.at_ms().unwrap_or_else(|| chance.below(config.span_ms));
            let at_ms = fault_at_ms.saturating_sub(early) + chance.below(spread);
            let depth = chance.between(1, 12);
            // Above the numbers of all clients' own requests.
            let id = 1 << 47 | number << 16 | go << 8;
            let ops = (0..depth).map(|nth| self.op(seed, client, id | nth)).collect();
            let fresh = chance.percent(self.churn_percent);
            goes.push(Step { at_ms, client, node, fresh, ops, torn: None });
        }
        goes
    }
}
