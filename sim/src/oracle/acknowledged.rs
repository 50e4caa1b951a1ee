//! Acknowledged writes last, as long as no node loses its memory.
//!
//! A node stamps each of its writes above all that it has seen, and the highest version wins
//! everywhere. So of two writes on one node, the second one sent after the first was acknowledged,
//! the first can neither be the last word on its key nor be read on that node any more once the
//! second is acknowledged; and a key that was written and that nobody deletes is there. What was
//! written for a time may be gone once a clock may say that the time is over, and not before. Databases
//! that were ever flushed are left out: which writes a flush outlives is for replicas to agree
//! upon.

use std::collections::{BTreeMap, BTreeSet};

use super::{DbKey, Failure, Observed, State, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome, apart},
};

const ORACLE: &str = "acknowledged";

/// Checks it.
///
/// # Errors
/// What was lost.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let parts = apart(&observed.history);
    let flushes = parts.iter().filter(|entry| entry.op == Op::FlushDb);
    let flushed: BTreeSet<u8> = flushes.map(|entry| entry.db).collect();
    let mut keys: BTreeMap<DbKey, Vec<&Entry>> = BTreeMap::new();
    let history = parts.iter().map(AsRef::<Entry>::as_ref).filter(|entry| entry.db != 0);
    for entry in history.filter(|entry| !flushed.contains(&entry.db)) {
        if let Some(key) = entry.key() {
            keys.entry((entry.db, key.as_bytes().to_vec())).or_default().push(entry);
        }
    }
    for (key, entries) in &keys {
        let fail = |detail: String| Err(Failure::of_key(ORACLE, key.0, &key.1, detail));
        let settled = observed.replicas.iter().filter(|_| observed.settled);
        for (node, replica) in settled {
            if let Some(lost) = lost(entries, replica.records.get(key), observed) {
                return fail(format!("n{node} {lost}"));
            }
        }
        for read in entries.iter().filter(|entry| matches!(entry.op, Op::Get { .. })) {
            if let Some(stale) = stale(entries, read, observed.skew_us) {
                return fail(format!("c{} on n{} {stale}", read.client, read.node));
            }
        }
    }
    Ok(())
}

/// What is wrong with the last word on a key.
fn lost(entries: &[&Entry], held: Option<&State>, observed: &Observed) -> Option<String> {
    let deleted = entries.iter().any(|entry| matches!(entry.op, Op::Del { .. }));
    let until_us = observed.gone_until_us();
    let ended = |entry: &Entry| {
        entry.over_from_us(observed.skew_us).is_some_and(|from_us| from_us <= until_us)
    };
    let written = entries.iter().find(|entry| entry.wrote());
    let nothing = |write: &&Entry| format!("holds nothing; {} was acknowledged", name(write));
    // A tombstone that all replicas had may be gone, and so may be a value whose time was over.
    let value = held.and_then(|held| held.value.as_ref());
    let goes = deleted || entries.iter().any(|entry| ended(entry));
    if held.is_none() && (!goes || written.is_none()) {
        return written.map(nothing);
    }
    if held.is_some() && value.is_none() && !deleted {
        return Some("holds a tombstone; nobody deleted the key".to_owned());
    }
    // The last word must be that of a request that nothing on its own node came after.
    let authors = entries.iter().filter(|entry| match (&entry.op, value) {
        (Op::Set { value: set, .. } | Op::SetFor { value: set, .. }, Some(value)) => {
            set.as_bytes() == value.as_slice()
        }
        (Op::Del { .. }, None) => {
            entry.wrote() || matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown)
        }
        (Op::SetFor { .. }, None) => held.is_none() && ended(entry),
        _ => false,
    });
    let mut authors = authors.peekable();
    if held.is_none() && authors.peek().is_none() {
        return written.map(nothing);
    }
    let mut overruled = None;
    for author in authors {
        let later = entries
            .iter()
            .find(|later| later.node == author.node && later.wrote() && author.precedes(later));
        match later {
            Some(later) => overruled = Some((author, later)),
            None => return None,
        }
    }
    let (author, later) = overruled?;
    let (author, later) = (name(author), name(later));
    Some(format!("holds the outcome of {author}, but {later} came after it on the same node"))
}

/// What is wrong with a read.
fn stale(entries: &[&Entry], read: &Entry, skew_us: u64) -> Option<String> {
    let before: Vec<&&Entry> = entries
        .iter()
        .filter(|entry| entry.node == read.node && entry.wrote() && entry.precedes(read))
        .collect();
    match &read.outcome {
        Outcome::Missing => {
            let by_then = |at_us| read.end_us.is_none_or(|end_us| at_us <= end_us);
            let ends = |entry: &Entry| match (&entry.op, &entry.outcome) {
                (Op::Del { .. }, Outcome::Count(0) | Outcome::Refused) => false,
                (Op::Del { .. }, _) => by_then(entry.start_us),
                _ => entry.over_from_us(skew_us).is_some_and(by_then),
            };
            // Of what ended by then, nothing may be left of which a later write there took the place.
            let overruled = |entry: &Entry| {
                let mut later = before.iter().filter(|later| later.node == entry.node);
                later.any(|later| entry.precedes(later))
            };
            if entries.iter().any(|entry| ends(entry) && !overruled(entry)) {
                return None;
            }
            let write = before.first()?;
            Some(format!("found nothing after {} there", name(write)))
        }
        Outcome::Value(value) => {
            let author = entries.iter().find(|entry| {
                entry.value().is_some_and(|set| set.as_bytes() == value.as_slice())
            })?;
            let later =
                before.iter().find(|later| later.node == author.node && author.precedes(later))?;
            Some(format!("read {} after {} there", brief(Some(value)), name(later)))
        }
        Outcome::Count(_)
        | Outcome::Done
        | Outcome::Each(_)
        | Outcome::Found(_)
        | Outcome::InDoubt
        | Outcome::List(_)
        | Outcome::NotNumber
        | Outcome::NotSet
        | Outcome::Page { .. }
        | Outcome::Refused
        | Outcome::Unknown
        | Outcome::Wrong(_) => None,
    }
}

fn name(entry: &Entry) -> String {
    let (client, node, start_us) = (entry.client, entry.node, entry.start_us);
    let what = match entry.value() {
        Some(value) => format!("SET {}", brief(Some(value.as_bytes()))),
        None => "DEL".to_owned(),
    };
    format!("{what} (c{client} on n{node} at {} ms)", start_us / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Replica, doctor};

    fn detail(history: Vec<Entry>, replica: Replica) -> Option<String> {
        let replicas = vec![(4, replica)];
        let observed = Observed {
            history,
            replicas,
            nodes_keep_memory: true,
            settled: true,
            ..Observed::default()
        };
        check(&observed).err().map(|failure| failure.detail)
    }

    fn done(value: &str, node: usize, at: u64) -> Entry {
        doctor::set("k", value, node, (at, Some(at + 5)))
    }

    #[test]
    fn either_of_two_concurrent_writes_may_win() {
        for winner in ["v1", "v2"] {
            let history = vec![done("v1", 0, 10), done("v2", 1, 20)];
            assert_eq!(detail(history, doctor::holds("k", 1, Some(winner))), None);
        }
        let history = vec![done("v1", 0, 10), doctor::set("k", "v2", 0, (20, None))];
        assert_eq!(detail(history, doctor::holds("k", 1, Some("v1"))), None);
    }

    #[test]
    fn a_lost_write_is_seen() {
        let lost = detail(vec![done("v1", 0, 10)], Replica::default());
        assert!(lost.is_some_and(|lost| lost.contains("n4 holds nothing; SET v1")));
        let lost = detail(vec![done("v1", 0, 10)], doctor::holds("k", 1, None));
        assert!(lost.is_some_and(|lost| lost.contains("nobody deleted")));
    }

    #[test]
    fn an_overruled_write_is_seen() {
        let history = vec![done("v1", 0, 10), done("v2", 0, 20)];
        let lost = detail(history, doctor::holds("k", 1, Some("v1")));
        assert!(lost.is_some_and(|lost| lost.contains("SET v2")));
        let history = vec![done("v1", 0, 5), doctor::del("k", 0, (10, 15), 1), done("v2", 0, 20)];
        assert!(detail(history.clone(), doctor::holds("k", 1, None)).is_some());
        assert_eq!(detail(history, doctor::holds("k", 1, Some("v2"))), None);
    }

    #[test]
    fn a_removed_tombstone_speaks_for_a_deletion_that_nothing_came_after() {
        let gone = |del| detail(vec![done("v1", 0, 10), del], Replica::default());
        assert_eq!(gone(doctor::del("k", 0, (20, 25), 1)), None);
        assert!(gone(doctor::del("k", 0, (20, 25), 0)).is_some_and(|why| why.contains("nothing")));
        assert!(gone(doctor::del("k", 0, (2, 5), 1)).is_some_and(|why| why.contains("SET v1")));
    }

    #[test]
    fn a_node_that_goes_back_is_seen() {
        let read = |outcome| doctor::get("k", 0, (40, 50), outcome);
        let seen = |outcome| {
            let history = vec![done("v1", 0, 10), done("v2", 0, 20), read(outcome)];
            detail(history, doctor::holds("k", 2, Some("v2")))
        };
        assert_eq!(seen(Outcome::Value(b"v2".to_vec())), None);
        assert!(seen(Outcome::Value(b"v1".to_vec())).is_some_and(|why| why.contains("read v1")));
        assert!(seen(Outcome::Missing).is_some_and(|why| why.contains("found nothing")));
    }

    /// What is wrong if a node writes for a time and reads later, and holds that in the end.
    fn ended(at_us: u64, then: Outcome, held: Replica, extra: Option<Entry>) -> Option<String> {
        let set = doctor::set_for(50, ("k", "v1"), 0, (10_000, Some(12_000)));
        let read = doctor::get("k", 0, (at_us - 1000, at_us), then);
        let observed = Observed {
            history: [set, read].into_iter().chain(extra).collect(),
            replicas: vec![(4, held)],
            nodes_keep_memory: true,
            settled: true,
            skew_us: 5000,
            now_us: 300_000,
            grace_us: 100_000,
            ..Observed::default()
        };
        check(&observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn what_was_written_for_a_time_is_there_until_a_clock_may_say_that_it_is_over() {
        let held = || doctor::holds("k", 9, Some("v1"));
        assert_eq!(ended(55_000, Outcome::Missing, held(), None), None);
        let why = ended(54_999, Outcome::Missing, held(), None);
        assert!(why.is_some_and(|why| why.contains("found nothing after SET v1")));
        // Something came after it there, and nothing ends that.
        let set = || doctor::set("k", "v2", 0, (20_000, Some(21_000)));
        let why = ended(90_000, Outcome::Missing, doctor::holds("k", 9, Some("v2")), Some(set()));
        assert!(why.is_some_and(|why| why.contains("found nothing")));
        let elsewhere = Entry { node: 1, ..set() };
        assert_eq!(ended(90_000, Outcome::Missing, held(), Some(elsewhere)), None);
    }

    #[test]
    fn what_has_ended_goes_after_a_while() {
        let gone = |now_us, extra: Option<Entry>| {
            let set = doctor::set_for(50, ("k", "v1"), 0, (10_000, Some(12_000)));
            let observed = Observed {
                history: [set].into_iter().chain(extra).collect(),
                replicas: vec![(4, Replica::default())],
                nodes_keep_memory: true,
                settled: true,
                skew_us: 5000,
                now_us,
                grace_us: 100_000,
                ..Observed::default()
            };
            check(&observed).err().map(|failure| failure.detail)
        };
        assert_eq!(gone(150_000, None), None);
        assert!(gone(149_999, None).is_some_and(|why| why.contains("holds nothing; SET v1")));
        let later = doctor::set("k", "v2", 0, (20_000, Some(21_000)));
        assert!(gone(150_000, Some(later)).is_some_and(|why| why.contains("SET v2")));
        let earlier = doctor::set("k", "v0", 0, (1000, Some(2000)));
        assert_eq!(gone(150_000, Some(earlier)), None);
    }

    #[test]
    fn of_several_keys_each_is_there() {
        let keys = || ["j", "k"].map(str::to_owned).to_vec();
        let with =
            |op, at, outcome| Entry { op, outcome, ..doctor::set("k", "x", 0, (at, Some(at + 5))) };
        let set = || with(Op::MSet { keys: keys(), value: "v1".to_owned() }, 10, Outcome::Done);
        let lost = detail(vec![set()], doctor::holds("k", 1, Some("v1")));
        assert!(lost.is_some_and(|lost| lost.contains("holds nothing")), "j is gone");
        let read = |values: [Option<&str>; 2]| {
            let values = values.map(|value| value.map(|value| value.as_bytes().to_vec()));
            let read = with(Op::MGet { keys: keys() }, 30, Outcome::List(values.to_vec()));
            let observed = Observed { history: vec![set(), read], ..Observed::default() };
            check(&observed).err().map(|failure| failure.detail)
        };
        assert_eq!(read([Some("v1"); 2]), None);
        assert!(read([Some("v1"), None]).is_some_and(|why| why.contains("found nothing")));
        let del = |count| with(Op::MDel { keys: keys() }, 20, Outcome::Count(count));
        for (count, fine) in [(2, true), (1, true), (0, false)] {
            assert_eq!(detail(vec![set(), del(count)], Replica::default()).is_none(), fine);
        }
    }

    #[test]
    fn flushed_databases_are_left_out() {
        let flush = Entry { op: Op::FlushDb, ..done("x", 0, 30) };
        assert_eq!(detail(vec![done("v1", 0, 10), flush], Replica::default()), None);
    }
}
