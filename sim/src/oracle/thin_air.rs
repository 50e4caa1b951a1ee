//! Thin air: nothing is ever seen that nobody wrote. The strong database has an oracle of its own.
//!
//! Every value read, and every record held at the end, stems from a request that was sent for that
//! key before. Values are unique, so a value that turns up under another key is seen too.

use std::collections::BTreeMap;

use super::{DbKey, Failure, Observed, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome},
};

const ORACLE: &str = "thin air";

/// Checks it.
///
/// # Errors
/// What came from nowhere.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let asked = Asked::of(&observed.history);
    for entry in observed.history.iter().filter(|entry| entry.db != 0) {
        check_reply(&asked, entry)?;
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
        }
    }
    Ok(())
}

fn check_reply(asked: &Asked<'_>, entry: &Entry) -> Result<(), Failure> {
    let (Some(key), Some(end_us)) = (entry.key(), entry.end_us) else { return Ok(()) };
    let of_key = asked.of_key(entry.db, key.as_bytes());
    let wrong = match &entry.outcome {
        Outcome::Value(value) => {
            let from = of_key.and_then(|key| key.sets.get(value.as_slice()));
            from.is_none_or(|start_us| *start_us >= end_us)
                .then(|| format!("read {}, which nobody had written", brief(Some(value))))
        }
        Outcome::Count(1..) => {
            let first = of_key.and_then(|key| key.sets.values().min());
            first
                .is_none_or(|start_us| *start_us >= end_us)
                .then(|| "found a value before anybody wrote one".to_owned())
        }
        Outcome::Count(_)
        | Outcome::Done
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
    /// Values and when they were first sent.
    sets: BTreeMap<&'a [u8], u64>,
    first_del_us: Option<u64>,
}

impl<'a> Asked<'a> {
    fn of(history: &'a [Entry]) -> Self {
        let mut asked: BTreeMap<_, OfKey<'a>> = BTreeMap::new();
        for entry in history {
            let Some(key) = entry.key() else { continue };
            let of_key = asked.entry((entry.db, key.as_bytes().to_vec())).or_default();
            match &entry.op {
                Op::Del { .. } => {
                    of_key.first_del_us.get_or_insert(entry.start_us);
                }
                Op::Set { value, .. } => {
                    of_key.sets.entry(value.as_bytes()).or_insert(entry.start_us);
                }
                _ => {}
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
}
