//! The first bad event of a failed run: the earliest thing without which nothing would be wrong.
//!
//! An oracle judges the whole run. If it is one of histories, the same oracle is asked about what had
//! been seen by then, reply after reply: the first reply with which it fails is the first bad event.
//! Some failures are seen by the driver, in a turn. What is left shows only in the end, when the
//! replicas are compared or somebody has waited long enough; if it is about a key, it has been so
//! since the last change of that key on any node.

use super::Told;
use crate::{
    history::{Entry, Outcome},
    oracle::{self, Failure, Kind, Observed, handover},
    tape::Change,
};

/// The first bad event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// When it happened.
    pub at_us: u64,
    /// The entry of the history whose reply it is.
    pub entry: Option<usize>,
    /// The node in whose turn it happened.
    pub node: Option<usize>,
    /// How it was found.
    pub why: &'static str,
}

/// Finds it; nothing if the run did not fail.
#[must_use]
pub fn first_bad(told: &Told<'_>) -> Option<Bad> {
    let (failure, tape) = (told.report.failure.as_ref()?, told.tape);
    let history = &told.report.history;
    let by_driver = ["audit", "disk", "growth", "held", "limits"].contains(&failure.oracle);
    if let (true, Some((at_us, node))) = (by_driver, tape.alarm) {
        let why = "The simulator saw it at the end of this turn.";
        return Some(Bad { at_us, entry: None, node: Some(node), why });
    }
    if failure.kind == Kind::Safety
        && let Some(entry) = first_reply(&tape.evidence, history, failure)
    {
        let at_us = history[entry].end_us.unwrap_or(tape.end_us);
        let why = "With this reply what was seen can't be explained any more; without it, it can.";
        return Some(Bad { at_us, entry: Some(entry), node: None, why });
    }
    let failed = history.iter().position(|entry| failure.detail.contains(&handover::told(entry)));
    if let ("handover", Some(entry)) = (failure.oracle, failed) {
        let at_us = history[entry].end_us.unwrap_or(tape.end_us);
        let why = "This request failed.";
        return Some(Bad { at_us, entry: Some(entry), node: None, why });
    }
    let key = failure.db_key().map(|(db, key)| (db, key.into_bytes()));
    let last = tape.changes.iter().rfind(|change| Some(&change.key) == key.as_ref());
    if let Some(Change { at, node, .. }) = last {
        let why = "It shows only in the end; since this turn all nodes have held of the key what they \
                   hold then.";
        return Some(Bad { at_us: at.at_us, entry: None, node: Some(*node), why });
    }
    let why = match (failure.oracle, failure.kind) {
        ("panic", _) => "The run ends with it.",
        (_, Kind::Liveness) => "It had not happened when the time for it was over.",
        _ => "It shows only in what the replicas hold in the end.",
    };
    let unserved = history.iter().rposition(|entry| failure.detail.contains(&told_as(entry)));
    let entry = unserved.filter(|_| failure.oracle == "service");
    Some(Bad { at_us: tape.end_us, entry, node: None, why })
}

/// How the oracle of service names an entry.
fn told_as(entry: &Entry) -> String {
    format!("n{} answered {:?} with {:?}", entry.node, entry.op, entry.outcome)
}

/// The first reply with which the failure is there.
fn first_reply(evidence: &Observed, history: &[Entry], failure: &Failure) -> Option<usize> {
    let fails = |until_us: u64| {
        let history = history.iter().filter(|entry| entry.start_us <= until_us);
        let history = history.map(|entry| seen_by(entry, until_us)).collect();
        let observed = Observed { settled: false, history, ..evidence.clone() };
        oracle::check(&observed).is_err_and(|other| other.is_like(failure))
    };
    let mut ends: Vec<u64> = history.iter().filter_map(|entry| entry.end_us).collect();
    ends.sort_unstable();
    ends.dedup();
    // What fails goes on to fail, whatever comes after.
    let first = *ends.get(ends.partition_point(|end| !fails(*end)))?;
    let key = failure.db_key();
    let concerned = |entry: &Entry| {
        let names = |key: &str| entry.op.keys().iter().any(|name| name.contains(key));
        key.as_ref().is_none_or(|(db, key)| entry.db == *db && names(key))
    };
    let ended = |entry: &Entry| entry.end_us == Some(first);
    let found = history.iter().position(|entry| ended(entry) && concerned(entry));
    found.or_else(|| history.iter().position(ended))
}

/// An entry as it was known by then.
fn seen_by(entry: &Entry, until_us: u64) -> Entry {
    let known = entry.end_us.is_some_and(|end_us| end_us <= until_us);
    let unknown = || Entry { end_us: None, outcome: Outcome::Unknown, ..entry.clone() };
    if known { entry.clone() } else { unknown() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Op;

    fn entry(op: Op, start_us: u64, end_us: u64, outcome: Outcome) -> Entry {
        Entry { client: 0, node: 0, db: 0, op, start_us, end_us: Some(end_us), outcome }
    }

    #[test]
    fn the_first_reply_that_breaks_a_history_is_found() {
        let set = |value: &str| Op::Set { key: "k".to_owned(), value: value.to_owned() };
        let get = || Op::Get { key: "k".to_owned() };
        let history = [
            entry(set("v1"), 10, 20, Outcome::Done),
            entry(get(), 30, 40, Outcome::Value(b"v1".to_vec())),
            entry(get(), 50, 90, Outcome::Missing),
            entry(get(), 60, 70, Outcome::Value(b"v1".to_vec())),
            entry(get(), 95, 99, Outcome::Missing),
        ];
        let evidence = Observed::default();
        let whole = Observed { history: history.to_vec(), ..Observed::default() };
        let failure = oracle::check(&whole).expect_err("a read of nothing after v1");
        assert_eq!(failure.oracle, "linear");
        assert_eq!(first_reply(&evidence, &history, &failure), Some(2));
        assert_eq!(first_reply(&evidence, &history[..2], &failure), None);
    }
}
