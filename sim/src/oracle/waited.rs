//! WAIT counts only nodes that hold what was written.
//!
//! Judged when the reply comes, for what the client has written on that connection in the same go and
//! was told to be done. A node that is up lacks it if what it holds of the key is older; one that is
//! down may have it on its disk, and counts as if it had. So does one that has flushed it since.

use quorate::{
    record::{Db, Version},
    store::Store,
};

use super::{Failure, brief};
use crate::{
    case::Op,
    history::{Entry, Outcome},
};

const ORACLE: &str = "waited";

/// Judges the reply to the last of these requests of one go, if that is a WAIT; `stores` has what each
/// node holds, if it is up.
///
/// # Errors
/// Which write the others do not hold.
pub fn check(go: &[Entry], stores: &[Option<&Store>]) -> Result<(), Failure> {
    let Some((last, before)) = go.split_last() else { return Ok(()) };
    let (Op::Wait { .. }, Outcome::Count(count)) = (&last.op, &last.outcome) else {
        return Ok(());
    };
    let Some(db) = Db::ALL.get(usize::from(last.db)).copied() else { return Ok(()) };
    for entry in before.iter().filter(|entry| entry.outcome == Outcome::Done) {
        let Op::Set { key, value } = &entry.op else { continue };
        let Some(version) = version_of(db, key, value, stores) else { continue };
        let others = stores.iter().enumerate().filter(|(node, _)| *node != last.node);
        let holders = others.filter(|(_, store)| store.is_none_or(|s| has(s, db, key, version)));
        let holders = holders.count() as i64;
        if holders < *count {
            let (node, value) = (last.node, brief(Some(value.as_bytes())));
            let detail =
                format!("n{node} said that {count} others hold {value}; {holders} can at most");
            return Err(Failure::of_key(ORACLE, db.number(), key.as_bytes(), detail));
        }
    }
    Ok(())
}

/// The first version that a value has, if anybody still holds it: one that is to end at another time, or
/// that another leader stamps anew, gets a newer one.
fn version_of(db: Db, key: &str, value: &str, stores: &[Option<&Store>]) -> Option<Version> {
    let held = stores.iter().flatten().filter_map(|store| store.get(db, key.as_bytes()));
    let held = held.filter(|record| record.value == Some(value.as_bytes()));
    held.map(|record| record.version).min()
}

fn has(store: &Store, db: Db, key: &str, version: Version) -> bool {
    let held = store.get(db, key.as_bytes()).map_or(Version::NONE, |record| record.version);
    held.max(store.flushed(db)) >= version
}

#[cfg(test)]
mod tests {
    use quorate::record::Record;

    use super::{super::doctor::set, *};

    fn store(value: Option<&[u8]>, version: u128) -> Store {
        let mut store = Store::new(1, 0, 0);
        let version = Version::from_bits(version);
        let record = Record { db: Db::EVENTUAL, key: b"k", version, expires_at_ms: None, value };
        if version != Version::NONE {
            store.merge(&record);
        }
        store
    }

    fn told(count: i64, stores: &[Option<&Store>]) -> Result<(), Failure> {
        let set = set("k", "v1", 0, (0, Some(1)));
        let op = Op::Wait { replicas: 1, for_ms: 1 };
        let wait = Entry { op, outcome: Outcome::Count(count), ..set.clone() };
        check(&[set, wait], stores)
    }

    #[test]
    fn only_those_count_that_hold_it_or_something_newer_or_are_down() {
        let (asked, older) = (store(Some(b"v1"), 5), store(Some(b"v0"), 4));
        let (newer, deleted) = (store(Some(b"v2"), 6), store(None, 7));
        let nothing = store(None, 0);
        for other in [&asked, &newer, &deleted] {
            assert_eq!(told(1, &[Some(&asked), Some(other)]), Ok(()));
            assert!(told(2, &[Some(&asked), Some(other)]).is_err(), "not itself");
        }
        assert_eq!(told(1, &[Some(&asked), None]), Ok(()));
        let again = store(Some(b"v1"), 8);
        assert_eq!(told(1, &[Some(&again), Some(&asked)]), Ok(()), "stamped anew here");
        for other in [&older, &nothing] {
            assert_eq!(told(0, &[Some(&asked), Some(other)]), Ok(()));
            let failure = told(1, &[Some(&asked), Some(other)]).expect_err("it lacks the write");
            assert_eq!(failure.key.as_deref(), Some("k in database 2"));
        }
    }

    #[test]
    fn what_nobody_holds_any_more_and_what_was_refused_says_nothing() {
        let (newer, nothing) = (store(Some(b"v2"), 6), store(None, 0));
        assert_eq!(told(1, &[Some(&newer), Some(&nothing)]), Ok(()));
        let refused = Entry { outcome: Outcome::Refused, ..set("k", "v1", 0, (0, Some(1))) };
        let op = Op::Wait { replicas: 1, for_ms: 1 };
        let wait = Entry { op, outcome: Outcome::Count(1), ..refused.clone() };
        let asked = store(Some(b"v1"), 5);
        assert_eq!(check(&[refused, wait], &[Some(&asked), Some(&nothing)]), Ok(()));
    }
}
