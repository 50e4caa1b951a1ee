//! What a reader was shown stays: a node shows only what is durable there, so no restart takes it
//! back.
//!
//! A node's version of a key only grows, over all its lives, as far as readers can tell. Values are
//! unique, so a node that showed one value and then another never shows the first again. And a key
//! that was shown and that nobody deletes is there in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Observed, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome},
};

const ORACLE: &str = "shown";

/// Checks it. For runs in which no node lost what was durable.
///
/// # Errors
/// What was taken back.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let mut removed: BTreeSet<(u8, Option<&str>)> = BTreeSet::new();
    let mut reads: BTreeMap<(u8, &str, usize), Vec<&Entry>> = BTreeMap::new();
    for entry in observed.history.iter().filter(|entry| entry.db != 0) {
        match &entry.op {
            Op::Del { key } => {
                removed.insert((entry.db, Some(key)));
            }
            Op::FlushDb => {
                removed.insert((entry.db, None));
            }
            Op::Get { key } => reads.entry((entry.db, key, entry.node)).or_default().push(entry),
            _ => {}
        }
    }
    for ((db, key, node), reads) in reads {
        let stays = !removed.contains(&(db, Some(key))) && !removed.contains(&(db, None));
        let fail = |detail: String| Err(Failure::of_key(ORACLE, db, key.as_bytes(), detail));
        if let Some(taken) = taken_back(&reads, stays) {
            return fail(format!("n{node} {taken}"));
        }
        let shown = reads.iter().find_map(|read| value(read));
        let (Some(shown), true, true) = (shown, stays, observed.settled) else { continue };
        for (holder, replica) in &observed.replicas {
            if !replica.records.contains_key(&(db, key.as_bytes().to_vec())) {
                let shown = brief(Some(shown));
                return fail(format!("n{holder} holds nothing; n{node} had shown {shown}"));
            }
        }
    }
    Ok(())
}

/// What is wrong with the reads of a key on one node.
fn taken_back(reads: &[&Entry], stays: bool) -> Option<String> {
    for (index, last) in reads.iter().enumerate() {
        let before = || reads[..index].iter().filter(|read| read.precedes(last));
        match (&last.outcome, value(last)) {
            (Outcome::Missing, _) if stays => {
                if let Some(shown) = before().find_map(|read| value(read)) {
                    let at_ms = last.start_us / 1000;
                    return Some(format!("showed {}, nothing at {at_ms} ms", brief(Some(shown))));
                }
            }
            (_, Some(again)) => {
                let first = before().find(|read| value(read) == Some(again));
                let other = before().find(|read| {
                    let other = value(read).is_some_and(|value| value != again);
                    (other || read.outcome == Outcome::Missing)
                        && first.is_some_and(|first| first.precedes(read))
                });
                if let Some(other) = other {
                    let other =
                        value(other).map_or_else(|| "nothing".to_owned(), |v| brief(Some(v)));
                    let again = brief(Some(again));
                    return Some(format!("showed {again}, then {other}, then {again}"));
                }
            }
            (_, None) => {}
        }
    }
    None
}

fn value(read: &Entry) -> Option<&[u8]> {
    match &read.outcome {
        Outcome::Value(value) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Replica, doctor};

    fn told(outcomes: &[Option<&str>], end: Option<&str>, extra: Option<Entry>) -> Option<String> {
        let read = |(at, value): (usize, &Option<&str>)| {
            let outcome = value.map_or(Outcome::Missing, |v| Outcome::Value(v.as_bytes().to_vec()));
            doctor::get("k", 0, (at as u64 * 10, at as u64 * 10 + 5), outcome)
        };
        let history = outcomes.iter().enumerate().map(read).chain(extra).collect();
        let replica = end.map_or_else(Replica::default, |end| doctor::holds("k", 9, Some(end)));
        let replicas = vec![(0, replica)];
        let observed = Observed {
            history,
            replicas,
            nodes_keep_memory: true,
            settled: true,
            ..Observed::default()
        };
        check(&observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn values_that_follow_each_other_are_fine() {
        assert_eq!(told(&[None, Some("v1"), Some("v1"), Some("v2")], Some("v2"), None), None);
    }

    #[test]
    fn a_value_that_comes_back_was_taken_back_before() {
        let why = told(&[Some("v1"), Some("v2"), Some("v1")], Some("v1"), None);
        assert!(why.is_some_and(|why| why.contains("showed v1, then v2, then v1")));
    }

    #[test]
    fn a_value_that_was_deleted_stays_away() {
        let del = doctor::del("k", 1, (2, 6), 1);
        let why = told(&[Some("v1"), None, Some("v1")], Some("v1"), Some(del));
        assert!(why.is_some_and(|why| why.contains("showed v1, then nothing, then v1")));
    }

    #[test]
    fn a_value_that_vanishes_was_taken_back_unless_it_was_deleted() {
        let reads = [Some("v1"), None];
        let why = told(&reads, Some("v1"), None);
        assert!(why.is_some_and(|why| why.contains("showed v1, nothing")));
        let why = told(&reads[..1], None, None);
        assert!(why.is_some_and(|why| why.contains("holds nothing")));
        let del = doctor::del("k", 1, (2, 6), 1);
        assert_eq!(told(&reads, None, Some(del)), None);
    }
}
