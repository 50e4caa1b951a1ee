//! What clients ask in a case, and when.
//!
//! Made to disagree: few hot keys written on several nodes at once, deletions and re-creation of
//! the same keys, bursts around each fault so that streams are cut in the middle and outboxes
//! overflow, and nodes that nobody talks to after a while, so that nothing but the cluster itself
//! can bring them up to date.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    Config, Fault, Op, sizes,
    style::{Draft, Style},
};
use crate::chance::Chance;

/// So many scripts in a hundred are shown and then run by their hashes.
const BY_HASH_PERCENT: u64 = 30;

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
    /// In which database, if not in the client's; then it is fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db: Option<u8>,
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
        let databases: Vec<u8> =
            (0..config.clients).map(|client| style.database(seed, client)).collect();
        let mut drafts = Vec::new();
        for (client, database) in databases.iter().copied().enumerate() {
            let mut chance = Chance::new(seed, "client", client as u64);
            let home = chance.below(config.nodes as u64) as usize;
            let count = style.goes(seed, client, database);
            for number in 0..count {
                let id = (client as u64) << 32 | number;
                drafts.push(style.step(seed, id, config, (home, database)));
            }
        }
        if style.storms {
            for (number, fault) in faults.iter().enumerate() {
                drafts.extend(style.storm(seed, number as u64, config, fault));
            }
        }
        drafts.sort_by_key(|draft| draft.step.at_ms);
        let total = drafts.iter().map(|draft| draft.asks.len()).sum::<usize>();
        let mut thinned = Thinned::new(sizes::requests_max(seed).min(total), total);
        drafts.iter_mut().for_each(|draft| draft.asks.retain(|_| thinned.keeps()));
        drafts.retain(|draft| !draft.asks.is_empty());
        let fill = |draft: Draft| {
            let database = databases[draft.step.client];
            style.fill(seed, draft, database)
        };
        let steps = drafts.into_iter().map(fill).collect();
        let dialect = |client| {
            let mut chance = Chance::new(seed, "dialect", client as u64);
            chance.pick(&[Dialect::Resp, Dialect::Text])
        };
        let dialects = (0..config.clients).map(dialect).collect();
        let mut workload = Self { steps, dialects, databases };
        workload.break_torn_lines();
        workload.choose_operands(seed);
        workload
    }

    /// What a condition compares with: what was last written to its key, or shortly before.
    fn choose_operands(&mut self, seed: u64) {
        let mut written: BTreeMap<(u8, String), Vec<String>> = BTreeMap::new();
        let mut number = 0;
        for step in &mut self.steps {
            let db = self.databases[step.client];
            for op in &mut step.ops {
                number += 1;
                let Some(key) = op.key().map(str::to_owned) else { continue };
                let known = written.entry((db, key)).or_default();
                if let (Some(operand), [.., _]) = (op.operand_mut(), &known[..]) {
                    let mut chance = Chance::new(seed, "operand", number);
                    let back = chance.pick(&[1, 1, 1, 2, 3]).min(known.len());
                    known[known.len() - back].clone_into(operand);
                }
                if Chance::new(seed, "by hash", number).percent(BY_HASH_PERCENT) {
                    op.run_by_hash();
                }
                known.extend(op.written().map(str::to_owned));
            }
        }
    }

    /// All keys of a database that anybody asks about.
    #[must_use]
    pub fn keys(&self, db: u8) -> BTreeSet<String> {
        let steps = self.steps.iter();
        let steps = steps.filter(|step| step.db.unwrap_or(self.databases[step.client]) == db);
        let ops = steps.flat_map(|step| &step.ops);
        ops.flat_map(|op| op.keys().into_iter().map(str::to_owned)).collect()
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
        let mut thinned = Thinned::new(operations, self.len());
        self.steps.iter_mut().for_each(|step| step.ops.retain(|_| thinned.keeps()));
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

/// Keeps some of a row, spread evenly.
struct Thinned {
    kept: usize,
    total: usize,
    number: usize,
}

impl Thinned {
    const fn new(kept: usize, total: usize) -> Self {
        Self { kept, total, number: 0 }
    }

    /// Whether the next one is among them.
    const fn keeps(&mut self) -> bool {
        self.number += 1;
        self.number * self.kept / self.total != (self.number - 1) * self.kept / self.total
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Op) -> bool| {
            self.steps.iter().flat_map(|step| &step.ops).filter(|op| wanted(op)).count()
        };
        let sets = count(|op| matches!(op, Op::Set { .. }));
        let reads = count(Op::is_read);
        let dels = count(|op| matches!(op, Op::Del { .. } | Op::MDel { .. }));
        let adds = count(|op| matches!(op, Op::Add { .. }));
        let flushes = count(|op| matches!(op, Op::FlushAll | Op::FlushDb));
        let saves = count(|op| matches!(op, Op::Save));
        let batch = |op: &Op| {
            matches!(
                op,
                Op::Both { .. }
                    | Op::Copy { .. }
                    | Op::InOrder { .. }
                    | Op::MSetNx { .. }
                    | Op::Rename { .. }
                    | Op::RenameNx { .. }
                    | Op::Swap { .. }
                    | Op::Transact { .. }
                    | Op::Unwatched { .. }
            ) && !op.is_read()
        };
        let batches = count(batch);
        let others = self.len() - sets - reads - dels - adds - flushes - saves - batches;
        write!(f, "{} requests in {} goes: {sets} SET, ", self.len(), self.steps.len())?;
        write!(f, "{reads} reads, {dels} DEL, {adds} INCR, {others} other writes, ")?;
        write!(f, "{batches} batches, {flushes} FLUSHDB, {saves} SAVE; ")?;
        write!(f, "databases {:?}", self.databases)?;
        let sizes = self.steps.iter().flat_map(|step| &step.ops).filter_map(Op::written);
        let largest = sizes.map(str::len).max().unwrap_or(0);
        let torn = self.steps.iter().filter(|step| step.torn.is_some()).count();
        write!(f, "; values up to {largest} B, {torn} goes torn")
    }
}
