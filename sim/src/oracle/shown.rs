//! What a reader was shown stays: a node shows only what is durable there, so no restart takes it
//! back.
//!
//! A node's version of a key only grows, over all its lives, as far as readers can tell. Values are
//! unique, so a node that showed one value and then another never shows the first again. And a key
//! that was shown, or listed, and that nobody deletes is there in the end, unless it may have been written
//! for a time that is over. What a node has found to be over it shows again only if its clock was put right.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Observed, Replica, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome, apart},
};

const ORACLE: &str = "shown";

/// What may take away what was shown of a key.
#[derive(Debug, Default)]
struct Ends<'a> {
    deleted: bool,
    /// When a clock may say first that a value's time is over, of those that were written for a time.
    over_from_us: BTreeMap<&'a [u8], u64>,
}

impl Ends<'_> {
    /// Whether nothing may have gone by then.
    fn stays_until(&self, at_us: u64) -> bool {
        !self.deleted && self.over_from_us.values().all(|from_us| *from_us > at_us)
    }
}

/// Checks it. For runs in which no node lost what was durable.
///
/// # Errors
/// What was taken back.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let mut flushed: BTreeSet<u8> = BTreeSet::new();
    let mut ends: BTreeMap<(u8, &str), Ends<'_>> = BTreeMap::new();
    let mut reads: BTreeMap<(u8, &str, usize), Vec<&Entry>> = BTreeMap::new();
    let mut listed: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let parts = apart(&observed.history);
    for entry in parts.iter().map(AsRef::<Entry>::as_ref).filter(|entry| entry.db != 0) {
        match &entry.op {
            Op::Del { key } => ends.entry((entry.db, key)).or_default().deleted = true,
            Op::FlushDb => {
                flushed.insert(entry.db);
            }
            Op::Get { key } => reads.entry((entry.db, key, entry.node)).or_default().push(entry),
            Op::SetFor { key, value, .. } => {
                if let Some(from_us) = entry.over_from_us(observed.skew_us) {
                    let ends = ends.entry((entry.db, key)).or_default();
                    ends.over_from_us.insert(value.as_bytes(), from_us);
                }
            }
            _ => {}
        }
        if let Outcome::Page { keys, .. } = &entry.outcome {
            let keys = keys.iter().filter_map(|key| str::from_utf8(key).ok());
            listed.extend(keys.map(|key| ((entry.db, key), entry.node)));
        }
    }
    for ((db, key, node), reads) in reads {
        let ends = ends.entry((db, key)).or_default();
        ends.deleted |= flushed.contains(&db);
        let fail = |detail: String| Err(Failure::of_key(ORACLE, db, key.as_bytes(), detail));
        let put_right = observed.put_right.contains(&node);
        if let Some(taken) = taken_back(&reads, ends, put_right) {
            return fail(format!("n{node} {taken}"));
        }
        let shown = reads.iter().find_map(|read| value(read));
        if let (Some(shown), Some(holder)) = (shown, who_lacks(observed, ends, (db, key))) {
            let shown = brief(Some(shown));
            return fail(format!("n{holder} holds nothing; n{node} had shown {shown}"));
        }
    }
    for ((db, key), node) in listed {
        let ends = ends.entry((db, key)).or_default();
        ends.deleted |= flushed.contains(&db);
        if let Some(holder) = who_lacks(observed, ends, (db, key)) {
            let detail = format!("n{holder} holds nothing; n{node} had listed it");
            return Err(Failure::of_key(ORACLE, db, key.as_bytes(), detail));
        }
    }
    Ok(())
}

/// Who holds nothing in the end of a key that was there and must still be.
fn who_lacks(observed: &Observed, ends: &Ends<'_>, (db, key): (u8, &str)) -> Option<usize> {
    let stays = observed.settled && ends.stays_until(observed.gone_until_us());
    let lacks = |replica: &Replica| !replica.records.contains_key(&(db, key.as_bytes().to_vec()));
    let mut lacking = observed.replicas.iter().filter(|(_, replica)| stays && lacks(replica));
    lacking.next().map(|(holder, _)| *holder)
}

/// What is wrong with the reads of a key on one node.
fn taken_back(reads: &[&Entry], ends: &Ends<'_>, put_right: bool) -> Option<String> {
    for (index, last) in reads.iter().enumerate() {
        let before = || reads[..index].iter().filter(|read| read.precedes(last));
        match (&last.outcome, value(last)) {
            (Outcome::Missing, _) if ends.stays_until(end_us(last)) => {
                if let Some(shown) = before().find_map(|read| value(read)) {
                    let at_ms = last.start_us / 1000;
                    return Some(format!("showed {}, nothing at {at_ms} ms", brief(Some(shown))));
                }
            }
            (_, Some(again)) => {
                let first = before().find(|read| value(read) == Some(again));
                let over_from_us = ends.over_from_us.get(again).filter(|_| put_right);
                let other = before().find(|read| {
                    let other = value(read).is_some_and(|value| value != again);
                    // By a clock that was ahead then.
                    let early = over_from_us.is_some_and(|from_us| *from_us <= end_us(read));
                    (other || (read.outcome == Outcome::Missing && !early))
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

fn end_us(read: &Entry) -> u64 {
    read.end_us.unwrap_or(u64::MAX)
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
    use crate::oracle::doctor;

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

    #[test]
    fn a_key_that_was_listed_is_there_in_the_end() {
        let outcome = Outcome::Page { keys: vec![b"k".to_vec()], next: 0 };
        let get = doctor::get("k", 0, (50, 55), outcome);
        let listed = || Entry { op: Op::Keys { prefix: String::new() }, ..get.clone() };
        let why = told(&[], None, Some(listed()));
        assert!(why.is_some_and(|why| why.contains("had listed it")));
        assert_eq!(told(&[], Some("v1"), Some(listed())), None);
    }

    /// What is wrong if a node shows these to readers, 10 ms apart; `v1` was written for 15 ms at the
    /// beginning, and no clock is off.
    fn ending(outcomes: &[Option<&str>], put_right: bool, end: Option<&str>) -> Option<String> {
        let read = |(at, value): (usize, &Option<&str>)| {
            let outcome = value.map_or(Outcome::Missing, |v| Outcome::Value(v.as_bytes().to_vec()));
            let start_us = at as u64 * 10_000;
            doctor::get("k", 0, (start_us, start_us + 1000), outcome)
        };
        let set = doctor::set_for(15, ("k", "v1"), 1, (0, Some(500)));
        let replica = end.map_or_else(Replica::default, |end| doctor::holds("k", 9, Some(end)));
        let observed = Observed {
            history: [set].into_iter().chain(outcomes.iter().enumerate().map(read)).collect(),
            replicas: vec![(0, replica)],
            settled: true,
            put_right: if put_right { vec![0] } else { Vec::new() },
            now_us: 60_000,
            grace_us: 46_000,
            ..Observed::default()
        };
        check(&observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn a_value_whose_time_is_over_vanishes_for_good() {
        let (v1, v2) = (Some("v1"), Some("v2"));
        assert_eq!(ending(&[None, v1, None, v2], false, v2), None);
        let early = ending(&[v1, None, None], false, v1);
        assert!(early.is_some_and(|why| why.contains("showed v1, nothing at 10 ms")));
        let again = |put_right| ending(&[None, v1, None, v1], put_right, v1);
        assert!(again(false).is_some_and(|why| why.contains("then nothing, then v1")));
        assert_eq!(again(true), None, "its clock was ahead meanwhile");
        let early = ending(&[v1, None, v1], true, v1);
        assert!(early.is_some(), "by no clock it was over yet");
        let why = ending(&[v1], false, None);
        assert!(why.is_some_and(|why| why.contains("holds nothing")), "it goes after a while");
    }
}
