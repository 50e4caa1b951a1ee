//! Thin air: nothing is ever seen that nobody wrote. The strong database has an oracle of its own.
//!
//! Every value read, and every record held at the end, stems from a request that was sent for that
//! key before, and was not refused. Values are unique, so a value that turns up under another key is
//! seen too. One that was written for a time is held for a time, and not read any more once the time is
//! over by all clocks.

use std::collections::BTreeMap;

use super::{DbKey, Failure, Observed, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome, apart},
};

const ORACLE: &str = "thin air";

/// Checks it.
///
/// # Errors
/// What came from nowhere.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let parts = apart(&observed.history);
    let history: Vec<&Entry> = parts.iter().map(AsRef::as_ref).collect();
    let asked = Asked::of(&history);
    for entry in history.iter().filter(|entry| entry.db != 0) {
        check_reply(&asked, entry, observed.skew_us)?;
    }
    for (node, replica) in &observed.replicas {
        for ((db, key), state) in replica.records.iter().filter(|((db, _), _)| *db != 0) {
            let of_key = asked.of_key(*db, key);
            let stems = match &state.value {
                Some(value) => of_key.is_some_and(|key| key.sets.contains_key(value.as_slice())),
                None => of_key.is_some_and(|key| key.first_del_us.is_some()),
            };
            if !stems {
                let held = brief(state.value.as_deref());
                let detail = format!("n{node} holds {held}, which nobody wrote");
                return Err(Failure::of_key(ORACLE, *db, key, detail));
            }
            let set = state.value.as_ref().and_then(|value| of_key?.sets.get(value.as_slice()));
            if set.is_some_and(|set| set.for_ms.is_some() != state.expires_at_ms.is_some()) {
                let held = brief(state.value.as_deref());
                let detail = format!("n{node} holds {held} not for the time that was asked for");
                return Err(Failure::of_key(ORACLE, *db, key, detail));
            }
        }
    }
    Ok(())
}

fn check_reply(asked: &Asked<'_>, entry: &Entry, skew_us: u64) -> Result<(), Failure> {
    let (Some(key), Some(end_us)) = (entry.key(), entry.end_us) else { return Ok(()) };
    let of_key = asked.of_key(entry.db, key.as_bytes());
    let wrong = match &entry.outcome {
        Outcome::Value(value) => {
            let set = of_key.and_then(|key| key.sets.get(value.as_slice()));
            if set.is_none_or(|set| set.start_us >= end_us) {
                Some(format!("read {}, which nobody had written", brief(Some(value))))
            } else if set.is_some_and(|set| set.is_over(entry.start_us, skew_us)) {
                let at_ms = entry.start_us / 1000;
                Some(format!("read {} at {at_ms} ms, when its time was over", brief(Some(value))))
            } else {
                None
            }
        }
        Outcome::Count(1..) => {
            let first = of_key.and_then(|key| key.sets.values().map(|set| set.start_us).min());
            first
                .is_none_or(|start_us| start_us >= end_us)
                .then(|| "found a value before anybody wrote one".to_owned())
        }
        Outcome::Count(_)
        | Outcome::Done
        | Outcome::Each(_)
        | Outcome::Found(_)
        | Outcome::InDoubt
        | Outcome::List(_)
        | Outcome::Missing
        | Outcome::NotNumber
        | Outcome::NotSet
        | Outcome::Page { .. }
        | Outcome::Refused
        | Outcome::Unknown
        | Outcome::Wrong(_) => None,
    };
    match wrong {
        Some(wrong) => {
            let detail = format!("c{} on n{} {wrong}", entry.client, entry.node);
            Err(Failure::of_key(ORACLE, entry.db, key.as_bytes(), detail))
        }
        None => Ok(()),
    }
}

/// All that was asked to be written.
struct Asked<'a>(BTreeMap<DbKey, OfKey<'a>>);

#[derive(Default)]
struct OfKey<'a> {
    /// By value.
    sets: BTreeMap<&'a [u8], Sent>,
    first_del_us: Option<u64>,
}

/// A value that was sent to be written.
struct Sent {
    start_us: u64,
    /// It had been written by then: it was acknowledged, or somebody had read it.
    by_us: Option<u64>,
    /// For how long.
    for_ms: Option<u64>,
}

impl Sent {
    /// Whether its time was over by then by all clocks.
    fn is_over(&self, at_us: u64, skew_us: u64) -> bool {
        let last_us = self.by_us.zip(self.for_ms).map(|(by, for_ms)| by + for_ms * 1000 + skew_us);
        last_us.is_some_and(|last_us| last_us < at_us)
    }
}

impl<'a> Asked<'a> {
    fn of(history: &[&'a Entry]) -> Self {
        let mut asked: BTreeMap<_, OfKey<'a>> = BTreeMap::new();
        for entry in history {
            let (Some(key), false) = (entry.key(), entry.outcome == Outcome::Refused) else {
                continue;
            };
            let of_key = asked.entry((entry.db, key.as_bytes().to_vec())).or_default();
            let (start_us, by_us) = (entry.start_us, entry.end_us);
            let mut set = |value: &'a str, for_ms| {
                let sent = Sent { start_us, by_us, for_ms };
                of_key.sets.entry(value.as_bytes()).or_insert(sent);
            };
            match &entry.op {
                Op::Del { .. } => {
                    of_key.first_del_us.get_or_insert(entry.start_us);
                }
                Op::Set { value, .. } => set(value, None),
                Op::SetFor { value, for_ms, .. } => set(value, Some(*for_ms)),
                _ => {}
            }
        }
        for entry in history {
            let (Some(key), Outcome::Value(value)) = (entry.key(), &entry.outcome) else {
                continue;
            };
            let of_key = asked.get_mut(&(entry.db, key.as_bytes().to_vec()));
            if let Some(set) = of_key.and_then(|of_key| of_key.sets.get_mut(value.as_slice())) {
                set.by_us = [set.by_us, entry.end_us].into_iter().flatten().min();
            }
        }
        Self(asked)
    }

    fn of_key(&self, db: u8, key: &[u8]) -> Option<&OfKey<'a>> {
        self.0.get(&(db, key.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Replica, doctor};

    fn key_of(observed: &Observed) -> Option<String> {
        check(observed).err().map(|failure| failure.detail)
    }

    #[test]
    fn what_was_written_may_be_seen() {
        let history = vec![
            doctor::set("k", "v1", 0, (10, Some(20))),
            doctor::get("k", 1, (30, 40), Outcome::Value(b"v1".to_vec())),
            doctor::del("k", 1, (50, 60), 1),
        ];
        let replicas =
            vec![(0, doctor::holds("k", 7, None)), (1, doctor::holds("k", 5, Some("v1")))];
        let observed = Observed { history, replicas, ..Observed::default() };
        assert_eq!(key_of(&observed), None);
    }

    #[test]
    fn a_value_from_nowhere_or_from_the_future_is_seen() {
        let set = doctor::set("k", "v1", 0, (10, None));
        let read = |key, value: &str, span| {
            let entry = doctor::get(key, 0, span, Outcome::Value(value.as_bytes().to_vec()));
            Observed { history: vec![set.clone(), entry], ..Observed::default() }
        };
        assert_eq!(key_of(&read("k", "v1", (0, 11))), None);
        for wrong in [read("k", "v2", (30, 40)), read("j", "v1", (30, 40)), read("k", "v1", (0, 5))]
        {
            assert!(key_of(&wrong).is_some_and(|detail| detail.contains("nobody had written")));
        }
    }

    #[test]
    fn a_record_from_nowhere_is_seen() {
        let history = vec![doctor::set("k", "v1", 0, (10, Some(20)))];
        for replica in [
            doctor::holds("k", 1, Some("v2")),
            doctor::holds("j", 1, Some("v1")),
            doctor::holds("k", 1, None),
        ] {
            let replicas = vec![(1, Replica::default()), (3, replica)];
            let observed = Observed { history: history.clone(), replicas, ..Observed::default() };
            assert!(key_of(&observed).is_some_and(|detail| detail.starts_with("n3 holds")));
        }
    }

    #[test]
    fn a_deletion_of_nothing_is_seen() {
        let history = vec![doctor::del("k", 0, (5, 6), 1), doctor::set("k", "v1", 0, (10, None))];
        let observed = Observed { history, ..Observed::default() };
        assert!(key_of(&observed).is_some_and(|detail| detail.contains("before anybody wrote")));
    }
    #[test]
    fn a_value_is_not_read_when_its_time_is_over_by_all_clocks() {
        let read = |at: u64, end: Option<u64>, seen: Option<u64>| {
            let value = || Outcome::Value(b"v1".to_vec());
            let set = doctor::set_for(5, ("k", "v1"), 0, (10_000, end));
            let seen = seen.map(|seen| doctor::get("k", 1, (seen - 10, seen), value()));
            let read = doctor::get("k", 2, (at, at + 10), value());
            let history = [set].into_iter().chain(seen).chain([read]).collect();
            key_of(&Observed { history, skew_us: 2000, ..Observed::default() })
        };
        assert_eq!(read(18_000, Some(11_000), None), None);
        let why = read(18_001, Some(11_000), None);
        assert!(why.is_some_and(|why| why.contains("its time was over")));
        assert_eq!(read(90_000, None, None), None, "it may have been written late");
        assert!(read(90_000, None, Some(20_000)).is_some(), "it was there by then");
        assert_eq!(read(26_999, None, Some(20_000)), None);
    }

    #[test]
    fn a_value_is_held_for_a_time_if_that_was_asked_for() {
        let wrong = |set: Entry, expires_at_ms| {
            let mut replica = doctor::holds("k", 1, Some("v1"));
            replica.records.values_mut().for_each(|state| state.expires_at_ms = expires_at_ms);
            let observed = Observed {
                history: vec![set],
                replicas: vec![(0, replica)],
                ..Observed::default()
            };
            key_of(&observed).is_some()
        };
        let span = (10, Some(20));
        let set_for = || doctor::set_for(5, ("k", "v1"), 0, span);
        assert!(!wrong(set_for(), Some(7)) && wrong(set_for(), None));
        let set = || doctor::set("k", "v1", 0, span);
        assert!(!wrong(set(), None) && wrong(set(), Some(7)));
    }

    #[test]
    fn what_was_refused_is_never_seen() {
        let set = doctor::set("k", "v1", 0, (10, Some(20)));
        let refused = Entry { outcome: Outcome::Refused, ..set };
        let read = doctor::get("k", 0, (30, 40), Outcome::Value(b"v1".to_vec()));
        let observed = Observed { history: vec![refused, read], ..Observed::default() };
        assert!(key_of(&observed).is_some());
    }
}
