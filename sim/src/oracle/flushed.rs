//! What was flushed stays flushed: a write that a FLUSHDB on the same node followed is dead for
//! ever, whatever restarts.
//!
//! A node stamps a flush above all that it has stamped and seen. So once it is acknowledged, no
//! reader on that node is shown the value of a write that it had acknowledged before, and in the
//! end no replica holds it.

use std::collections::BTreeMap;

use super::{Failure, Observed, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome, apart},
};

const ORACLE: &str = "flushed";

/// Checks it. For runs in which no node lost what was durable.
///
/// # Errors
/// What came back.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let parts = apart(&observed.history);
    let history = || parts.iter().map(AsRef::<Entry>::as_ref);
    let flushes = |entry: &&Entry| entry.op == Op::FlushDb && entry.outcome == Outcome::Done;
    for flush in history().filter(flushes) {
        let here = |entry: &&Entry| entry.db == flush.db && entry.node == flush.node;
        // In the strong database one in doubt may take effect later.
        let certain = |entry: &&Entry| entry.db != 0 || entry.wrote();
        let dead = history().filter(here).filter(certain).filter(|entry| entry.precedes(flush));
        let dead = dead.filter_map(|entry| Some((entry.value()?.as_bytes(), entry.key()?)));
        let dead: BTreeMap<&[u8], &str> = dead.collect();
        let fail = |key: &str, detail| Failure::of_key(ORACLE, flush.db, key.as_bytes(), detail);
        for read in history().filter(here).filter(|entry| flush.precedes(entry)) {
            let Outcome::Value(value) = &read.outcome else { continue };
            if let Some(key) = dead.get(&value[..]) {
                let (value, node) = (brief(Some(value)), flush.node);
                return Err(fail(key, format!("n{node} showed {value}, which it had flushed")));
            }
        }
        let mut holders = Vec::new();
        for (node, replica) in observed.replicas.iter().filter(|_| observed.settled) {
            let held = replica.records.iter().filter(|((db, _), _)| *db == flush.db);
            let values = held.filter_map(|(_, state)| state.value.as_deref());
            holders.extend(values.filter_map(|v| Some((node, v, dead.get(v)?))).next());
        }
        // In the strong database a member that missed it is brought up when its leader comes to it;
        // where it never does, that is no majority.
        let some = if flush.db == 0 { observed.quorum.max(1) } else { 1 };
        if let Some((node, value, key)) = holders.first().filter(|_| holders.len() >= some) {
            let value = brief(Some(value));
            let detail = format!("n{node} holds {value}, which n{} had flushed", flush.node);
            return Err(fail(key, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Replica, doctor};

    fn told(read: Option<&str>, held: Option<&str>) -> Option<String> {
        let replica = held.map_or_else(Replica::default, |held| doctor::holds("k", 9, Some(held)));
        told_of(None, read, vec![(0, replica)])
    }

    /// Of the strong database if it has a `quorum`, else of the eventual one.
    fn told_of(
        quorum: Option<usize>,
        read: Option<&str>,
        replicas: Vec<(usize, Replica)>,
    ) -> Option<String> {
        let flush = Entry { op: Op::FlushDb, ..doctor::set("k", "x", 0, (20, Some(25))) };
        let mut history = vec![
            doctor::set("k", "v1", 0, (10, Some(15))),
            doctor::set("k", "v2", 1, (11, Some(16))),
            Entry { outcome: Outcome::Done, ..flush },
        ];
        let value = read.map(|read| Outcome::Value(read.as_bytes().to_vec()));
        history.extend(value.map(|value| doctor::get("k", 0, (30, 35), value)));
        if quorum.is_some() {
            history.iter_mut().for_each(|entry| entry.db = 0);
        }
        let observed = Observed {
            history,
            replicas,
            nodes_keep_memory: true,
            settled: true,
            quorum: quorum.unwrap_or_default(),
            ..Observed::default()
        };
        check(&observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn a_write_on_another_node_may_outlive_a_flush() {
        assert_eq!(told(None, None), None);
        assert_eq!(told(Some("v2"), Some("v2")), None);
    }

    #[test]
    fn a_minority_may_have_missed_a_flush_of_the_strong_database() {
        let holding = |count: usize| {
            let mut replicas = vec![(9, Replica::default())];
            for node in 0..count {
                let held = doctor::holds("k", 9, Some("v1"));
                let records = held.records.into_iter().map(|((_, key), state)| ((0, key), state));
                let records = records.collect();
                replicas.push((node, Replica { records, ..Replica::default() }));
            }
            told_of(Some(2), None, replicas)
        };
        assert_eq!(holding(1), None);
        assert!(holding(2).is_some_and(|why| why.contains("n0 holds v1")));
    }

    #[test]
    fn what_comes_back_is_seen() {
        assert!(told(Some("v1"), None).is_some_and(|why| why.contains("showed v1")));
        assert!(told(None, Some("v1")).is_some_and(|why| why.contains("n0 holds v1")));
    }
}
