//! The interval check of a register whose written values are all different.
//!
//! After P. B. Gibbons and E. Korach, "Testing shared memories", SIAM Journal on Computing 26(4),
//! 1997. With unique values each read names its write. A write and its reads are a *cluster*; in
//! any order that explains the answers, a cluster stands together, its write first. So only two
//! questions are left: can each write stand before its own reads, and can the clusters be lined up?
//!
//! For the second question two times of a cluster matter: `f`, when its first operation ended, and
//! `s`, when its last one started. Cluster A has to come before B exactly when `f(A) < s(B)`.
//!
//! ```text
//! forward zone, f < s:   |--a1--|      |--a2--|    A's value is held from f to s at least
//!                               f......s
//! backward zone, s <= f: |----a1----|              A's value needs one moment from s to f
//!                             s.....f
//!                             |----a2----|
//! ```
//!
//! Two clusters that each have to come before the other are a violation. If no two do, no longer
//! circle exists (in a circle, take the cluster with the least `f` and the predecessor of its
//! predecessor: they already are such a pair), so the clusters can be lined up. In terms of zones a
//! pair is at odds when two forward zones overlap, or a forward zone encloses a backward one.
//! Sorting the forward zones makes that O(n log n).
//!
//! What is not in the paper:
//! - *Absent* is the first cluster, before all writes: its `f` is before all time.
//! - *Pending writes* end at infinity. When a read returned the value, the write took effect and
//!   the reads bound it; when none did, a zone that never ends is at odds with nothing, which is
//!   the same as a write that never took effect.
//! - *Pending reads* say nothing and are dropped, as are reads that told nothing.
//! - *Deletes* make absent a value that is written more than once, and then a read of absent
//!   doesn't name its writer (with repeated values the problem is NP-complete). A delete is taken
//!   as a write of a tombstone that nobody reads; a read of absent that ended before any delete
//!   started is of the first cluster; other reads of absent, and what deletes say that they found,
//!   are left out. Leaving out is sound: a violation found stays one. It is not complete, so the
//!   answer tells the [`Coverage`], and [`super::register`] lets the search decide the rest.

use std::collections::HashMap;

use super::{
    Violation,
    history::{History, Operation},
    model::{Register, RegisterOp, RegisterOutcome, Value},
};

/// How much of the history an answer without a violation speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it: the history is linearizable.
    Everything,
    /// All but the answers that depend on which delete they follow.
    Values,
}

/// Looks for a violation.
///
/// # Panics
///
/// When two writes write the same value, which only a bug in the workload can cause.
pub fn check(history: &History<Register>) -> Result<Coverage, Violation> {
    check_with(history, &Rules::ALL)
}

/// The conditions that a history is held against. All are needed; the tests leave out one at a time
/// to show that their histories would tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Absent comes before every write.
    pub(super) absent_first: bool,
    /// No forward zone encloses a backward one.
    pub(super) no_enclosure: bool,
    /// No two forward zones overlap.
    pub(super) no_overlap: bool,
    /// A read doesn't end before its write starts.
    pub(super) write_first: bool,
}

impl Rules {
    pub(super) const ALL: Self =
        Self { absent_first: true, no_enclosure: true, no_overlap: true, write_first: true };
}

pub(super) fn check_with(
    history: &History<Register>,
    rules: &Rules,
) -> Result<Coverage, Violation> {
    let operations = history.operations();
    let mut clusters = Clusters::of_writes(operations);
    let coverage = clusters.add_reads(operations, rules)?;
    if rules.absent_first {
        clusters.check_absent_first(operations)?;
    }
    clusters.check_pairs(operations, rules)?;
    Ok(coverage)
}

/// A time, and the operation that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: u64,
    operation: usize,
}

/// A write or delete with the reads of it.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// The write or delete.
    source: usize,
    /// `f`: the end of the operation that ended first.
    first_end: Mark,
    /// `s`: the start of the operation that started last.
    last_start: Mark,
}

impl Cluster {
    fn new(operations: &[Operation<Register>], source: usize) -> Self {
        let operation = &operations[source];
        Self {
            source,
            first_end: Mark { time: operation.end.unwrap_or(u64::MAX), operation: source },
            last_start: Mark { time: operation.start, operation: source },
        }
    }

    fn add_read(&mut self, read: usize, start: u64, end: u64) {
        if end < self.first_end.time {
            self.first_end = Mark { time: end, operation: read };
        }
        if start > self.last_start.time {
            self.last_start = Mark { time: start, operation: read };
        }
    }

    fn is_forward(&self) -> bool {
        self.first_end.time < self.last_start.time
    }

    /// Whether every order has this cluster before the other.
    fn precedes(&self, other: &Self) -> bool {
        self.first_end.time < other.last_start.time
    }
}

struct Clusters {
    /// One for each write and delete.
    all: Vec<Cluster>,
    /// Where in `all` a value is.
    by_value: HashMap<Value, usize>,
    /// The start of the last read that certainly saw the key before all writes.
    absent: Option<Mark>,
    /// The start of the first delete, when there is one.
    first_delete: Option<u64>,
}

impl Clusters {
    fn of_writes(operations: &[Operation<Register>]) -> Self {
        let mut clusters =
            Self { all: Vec::new(), by_value: HashMap::new(), absent: None, first_delete: None };
        for (index, operation) in operations.iter().enumerate() {
            match operation.op {
                RegisterOp::Delete => {
                    let first = clusters.first_delete.unwrap_or(u64::MAX);
                    clusters.first_delete = Some(first.min(operation.start));
                }
                RegisterOp::Read => continue,
                RegisterOp::Write(value) => {
                    let earlier = clusters.by_value.insert(value, clusters.all.len());
                    assert!(earlier.is_none(), "{value} is written twice");
                }
            }
            clusters.all.push(Cluster::new(operations, index));
        }
        clusters
    }

    /// Adds each read to the cluster it names.
    fn add_reads(
        &mut self,
        operations: &[Operation<Register>],
        rules: &Rules,
    ) -> Result<Coverage, Violation> {
        let mut coverage = Coverage::Everything;
        for (index, operation) in operations.iter().enumerate() {
            let (Some(end), Some(outcome)) = (operation.end, operation.outcome) else { continue };
            match outcome {
                RegisterOutcome::Deleted { .. } => coverage = Coverage::Values,
                RegisterOutcome::Found(None) => {
                    if self.first_delete.is_some_and(|delete| delete <= end) {
                        coverage = Coverage::Values;
                    } else if self.absent.is_none_or(|last| last.time < operation.start) {
                        self.absent = Some(Mark { time: operation.start, operation: index });
                    }
                }
                RegisterOutcome::Found(Some(value)) => {
                    let Some(&cluster) = self.by_value.get(&value) else {
                        return Err(never_written(operations, index, value));
                    };
                    let cluster = &mut self.all[cluster];
                    if rules.write_first && end < operations[cluster.source].start {
                        return Err(read_too_early(operations, index, cluster.source));
                    }
                    cluster.add_read(index, operation.start, end);
                }
                RegisterOutcome::Written => {}
            }
        }
        Ok(coverage)
    }

    /// No write is over before the last read of the first absence starts.
    fn check_absent_first(&self, operations: &[Operation<Register>]) -> Result<(), Violation> {
        let Some(absent) = self.absent else { return Ok(()) };
        let Some(first) = self.all.iter().min_by_key(|cluster| cluster.first_end.time) else {
            return Ok(());
        };
        if first.first_end.time < absent.time {
            return Err(absent_too_late(operations, first, absent.operation));
        }
        Ok(())
    }

    /// No two clusters each have to come before the other.
    fn check_pairs(
        &self,
        operations: &[Operation<Register>],
        rules: &Rules,
    ) -> Result<(), Violation> {
        let (mut forward, backward): (Vec<&Cluster>, Vec<&Cluster>) =
            self.all.iter().partition(|cluster| cluster.is_forward());
        forward.sort_by_key(|cluster| cluster.first_end.time);
        if rules.no_overlap
            && let Some(pair) = forward.windows(2).find(|pair| pair[1].precedes(pair[0]))
        {
            return Err(at_odds(operations, pair[0], pair[1]));
        }
        // Without overlaps the forward zones are sorted by their ends too, so of those that begin
        // before the backward zone does, only the last can reach beyond its end.
        for inner in backward.iter().filter(|_| rules.no_enclosure) {
            let before = forward.partition_point(|outer| outer.precedes(inner));
            if let Some(outer) = forward[..before].last().filter(|outer| inner.precedes(outer)) {
                return Err(at_odds(operations, outer, inner));
            }
        }
        Ok(())
    }
}

fn never_written(operations: &[Operation<Register>], read: usize, value: Value) -> Violation {
    let reason = format!("{} returned {value}, which nobody wrote", operations[read]);
    Violation { operations: vec![read], reason }
}

fn read_too_early(operations: &[Operation<Register>], read: usize, write: usize) -> Violation {
    let (a, b) = (&operations[read], &operations[write]);
    let reason = format!("{a} ended before the write of what it returned began, {b}");
    Violation { operations: vec![read, write], reason }
}

fn absent_too_late(operations: &[Operation<Register>], first: &Cluster, read: usize) -> Violation {
    let (write, proof) = (first.source, first.first_end.operation);
    let (a, b) = (&operations[write], &operations[read]);
    if write == proof {
        let reason = format!("{a} ended before {b} started, yet that found nothing");
        return Violation { operations: vec![write, read], reason };
    }
    let p = &operations[proof];
    let reason =
        format!("{a} was seen by {p}, which ended before {b} started, yet that found nothing");
    Violation { operations: vec![write, proof, read], reason }
}

/// Two clusters, each of which has to come before the other.
fn at_odds(operations: &[Operation<Register>], a: &Cluster, b: &Cluster) -> Violation {
    let name = |cluster: &Cluster| operations[cluster.source].op;
    let because = |first: &Cluster, second: &Cluster| {
        let (x, y) = (first.first_end.operation, second.last_start.operation);
        format!("{} ended before {} started", operations[x], operations[y])
    };
    let reason = format!(
        "\"{a}\" and the reads of it come before \"{b}\" and the reads of it, as {}; yet \"{b}\" \
         comes before \"{a}\", as {}",
        because(a, b),
        because(b, a),
        a = name(a),
        b = name(b),
    );
    let mut involved = vec![a.source, b.source];
    for mark in [a.first_end, b.last_start, b.first_end, a.last_start] {
        if !involved.contains(&mark.operation) {
            involved.push(mark.operation);
        }
    }
    Violation { operations: involved, reason }
}
