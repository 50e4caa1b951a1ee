//! What must be true of a run, told from what clients saw and from what the replicas hold at the
//! end.
//!
//! An oracle knows no driver. It reports the first thing that is untrue: which oracle, which key,
//! and why.

use std::{collections::BTreeMap, fmt};

use quorate::{record::Db, store::Store};

use crate::history::{Entry, Outcome};
use handover::Stops;

pub mod acknowledged;
pub mod audit;
pub mod convergence;
pub mod flushed;
pub mod growth;
pub mod handover;
pub mod held;
pub mod linear;
pub mod scan;
pub mod shown;
pub mod thin_air;
pub mod together;
pub mod waited;

/// The evidence.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// No node ever lost what was durable there, so nothing acknowledged may be lost.
    pub nodes_keep_memory: bool,
    /// The replicas had become one, so what they hold is the last word.
    pub settled: bool,
    /// What clients asked and were told, in the order of asking.
    pub history: Vec<Entry>,
    /// What each node that is up in the end holds, by node.
    pub replicas: Vec<(usize, Replica)>,
    /// The nodes among them that vote in the strong database.
    pub voting: Vec<usize>,
    /// How many nodes are a majority.
    pub quorum: usize,
    /// What the databases that need a majority may have forgotten.
    pub lost: Lost,
    /// Nodes that were told to stop; none in a run in which requests to others may fail for another
    /// reason.
    pub stops: Option<Stops>,
    /// Two clocks were never further apart, at whatever times one looks at them.
    pub skew_us: u64,
    /// The nodes whose clocks were put right, so that they told some time twice.
    pub put_right: Vec<usize>,
    /// When the replicas were looked at.
    pub now_us: u64,
    /// A value whose time is over by a node's clock is held there for so long at least.
    pub grace_us: u64,
    /// What a node held all the time while somebody went through its keys, by the entry of the history
    /// with which that ended; where the driver can tell.
    pub held: BTreeMap<usize, scan::Held>,
}

/// What the strong and the quorum database may have forgotten: nothing unless the cluster has started
/// cold, since both go on with what any disk has then. Then a write that a majority acknowledged
/// less than a second before the first disk lost something, or between that and the cold start; and
/// a delete, of which the last trace may have been new on the last node that had not heard of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// When the first disk lost something.
    first_us: Option<u64>,
    /// When the cluster last started cold.
    cold_us: Option<u64>,
}

impl Lost {
    /// What is acknowledged is synced so much later, at the latest.
    const TAIL_US: u64 = 1_100_000;

    /// A disk may have lost something that was written shortly before that time, or later.
    pub fn on_loss(&mut self, since_us: u64) {
        let first_us = self.first_us.get_or_insert(since_us);
        *first_us = since_us.min(*first_us);
    }

    /// The cluster has started cold.
    pub const fn on_cold_start(&mut self, now_us: u64) {
        self.cold_us = Some(now_us);
    }

    /// Whether what was done to a key may be forgotten.
    fn concerns(&self, entries: &[&Entry]) -> bool {
        let Some(cold_us) = self.cold_us else { return false };
        let from_us =
            self.first_us.map_or(cold_us, |first_us| first_us.saturating_sub(Self::TAIL_US));
        let may_go = |entry: &&&Entry| {
            let certain = !matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown);
            let end_us = entry.end_us.filter(|_| certain).unwrap_or(u64::MAX);
            !entry.op.is_read() && (entry.start_us <= cold_us && end_us >= from_us)
        };
        entries.iter().any(|entry| may_go(&entry) || entry.op.deletes())
    }
}

/// What one replica holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    /// The newest record of each key, tombstones included.
    pub records: BTreeMap<DbKey, State>,
    /// The flush stamp of each database.
    pub flushed: [u128; Db::COUNT],
}

/// A database's number and a key in it.
pub type DbKey = (u8, Vec<u8>);

/// A record but for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its place in the order of the key's records.
    pub version: u128,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// When it ends, if it does.
    pub expires_at_ms: Option<u64>,
}

/// Something is untrue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How bad it is.
    pub kind: Kind,
    /// Who says so.
    pub oracle: &'static str,
    /// About which key, if about one.
    pub key: Option<String>,
    /// Why.
    pub detail: String,
}

/// Kinds of failures; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The simulation itself is at fault.
    Harness,
    /// Something that must happen did not happen in time.
    Liveness,
    /// Two runs of one case differ.
    Nondeterminism,
    /// Something happened that must never happen.
    Safety,
}

/// Asks all oracles that need no waiting. How many histories none could decide on.
///
/// # Errors
/// The first thing that is untrue.
pub fn check(observed: &Observed) -> Result<u64, Failure> {
    for entry in &observed.history {
        if let Outcome::Wrong(reply) = &entry.outcome {
            let detail = format!("{:?} on n{} was answered {reply}", entry.op, entry.node);
            return Err(Failure::new(Kind::Safety, "replies", &detail));
        }
    }
    let undecided = linear::check(observed)? + together::check(observed)?;
    thin_air::check(observed)?;
    handover::check(observed)?;
    scan::check(observed)?;
    if observed.nodes_keep_memory {
        acknowledged::check(observed)?;
        flushed::check(observed)?;
        shown::check(observed)?;
    }
    Ok(undecided)
}

impl Observed {
    /// The time up to which a value's time must have been over by some clock for it to be gone now.
    const fn gone_until_us(&self) -> u64 {
        // A clock that jumps passes as much of that while in no time.
        self.now_us.saturating_sub(self.grace_us.saturating_sub(self.skew_us))
    }
}

impl Replica {
    /// All that `store` holds.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let mut records = BTreeMap::new();
        for db in Db::ALL {
            for record in store.records(db) {
                let state = State {
                    version: record.version.to_bits(),
                    value: record.value.map(<[u8]>::to_vec),
                    expires_at_ms: record.expires_at_ms,
                };
                records.insert((db.number(), record.key.to_vec()), state);
            }
        }
        Self { records, flushed: Db::ALL.map(|db| store.flushed(db).to_bits()) }
    }
}

impl Failure {
    /// A failure that is about no key.
    #[must_use]
    pub fn new(kind: Kind, oracle: &'static str, detail: &str) -> Self {
        Self { kind, oracle, key: None, detail: detail.to_owned() }
    }

    /// A broken promise about one key.
    #[must_use]
    pub fn of_key(oracle: &'static str, db: u8, key: &[u8], detail: String) -> Self {
        let key = format!("{} in database {db}", String::from_utf8_lossy(key));
        Self { kind: Kind::Safety, oracle, key: Some(key), detail }
    }

    /// Whether two failures are the same one: the same oracle, on the same key if it names one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.oracle == other.oracle && self.key == other.key
    }

    /// The key it is about, with its database.
    #[must_use]
    pub fn db_key(&self) -> Option<(u8, String)> {
        let (key, db) = self.key.as_ref()?.rsplit_once(" in database ")?;
        Some((db.parse().ok()?, key.to_owned()))
    }

    /// Adds how long was waited.
    #[must_use]
    pub fn after(mut self, waited_ms: u64) -> Self {
        self.detail = format!("{} (waited {waited_ms} ms)", self.detail);
        self
    }
}

impl Kind {
    /// What the process ends with.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Safety => 1,
            Self::Liveness => 2,
            Self::Nondeterminism => 3,
            Self::Harness => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} failure, oracle {}", self.kind, self.oracle)?;
        if let Some(key) = &self.key {
            write!(f, ", key {key}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// A value in few letters.
fn brief(value: Option<&[u8]>) -> String {
    match value {
        Some(value) => {
            let text = String::from_utf8_lossy(value);
            text.split('-').next().unwrap_or_default().to_owned()
        }
        None => "a tombstone".to_owned(),
    }
}

/// Evidence made up for the oracles' own tests.
#[cfg(test)]
mod doctor {
    use super::{Replica, State};
    use crate::{
        case::Op,
        history::{Entry, Outcome},
    };

    pub(super) fn set(key: &str, value: &str, node: usize, span: (u64, Option<u64>)) -> Entry {
        let op = Op::Set { key: key.to_owned(), value: value.to_owned() };
        let outcome = if span.1.is_some() { Outcome::Done } else { Outcome::Unknown };
        Entry { client: 0, node, db: 2, op, start_us: span.0, end_us: span.1, outcome }
    }

    pub(super) fn set_for(
        for_ms: u64,
        (key, value): (&str, &str),
        node: usize,
        span: (u64, Option<u64>),
    ) -> Entry {
        let op = Op::SetFor { key: key.to_owned(), value: value.to_owned(), for_ms };
        Entry { op, ..set(key, value, node, span) }
    }

    pub(super) fn get(key: &str, node: usize, span: (u64, u64), outcome: Outcome) -> Entry {
        let op = Op::Get { key: key.to_owned() };
        Entry { client: 1, node, db: 2, op, start_us: span.0, end_us: Some(span.1), outcome }
    }

    pub(super) fn del(key: &str, node: usize, span: (u64, u64), count: i64) -> Entry {
        let op = Op::Del { key: key.to_owned() };
        let outcome = Outcome::Count(count);
        Entry { client: 2, node, db: 2, op, start_us: span.0, end_us: Some(span.1), outcome }
    }

    pub(super) fn holds(key: &str, version: u128, value: Option<&str>) -> Replica {
        let value = value.map(|value| value.as_bytes().to_vec());
        let state = State { version, value, expires_at_ms: None };
        Replica { records: [((2, key.as_bytes().to_vec()), state)].into(), flushed: [0; 3] }
    }
}
