//! Convergence: once all is quiet, all replicas are one, byte for byte.

use std::fmt::Write as _;

use quorate::record::Db;

use super::{DbKey, Failure, Kind, Replica, State, brief};

/// The databases that become one without anybody who leads.
pub const LEADERLESS: [Db; 2] = [Db::QUORUM, Db::EVENTUAL];

/// Where replicas differ in these databases, each with the number of its node; nothing if they don't,
/// or if no node is up.
#[must_use]
pub fn difference(replicas: &[(usize, Replica)], dbs: &[Db]) -> Option<Failure> {
    let ((_, first), others) = replicas.split_first()?;
    let same =
        |other: &Replica| other.flushed == first.flushed && held(other, dbs).eq(held(first, dbs));
    let (_, other) = others.iter().find(|(_, other)| !same(other))?;
    let mut failure = Failure::new(Kind::Liveness, "convergence", "");
    let keys = held(first, dbs).chain(held(other, dbs)).map(|(key, _)| key);
    let differs = |key: &&_| {
        let held = |replica: &'_ Replica| replica.records.get(*key).cloned();
        replicas.iter().any(|(_, replica)| held(replica) != held(first))
    };
    let Some(key) = keys.clone().find(differs) else {
        failure.detail = "flush stamps differ:".to_owned();
        for (node, Replica { flushed, .. }) in replicas {
            // Writing to a string can't fail.
            let _ = write!(failure.detail, " n{node} {flushed:x?}");
        }
        return Some(failure);
    };
    let mut differing: Vec<_> = keys.filter(differs).collect();
    differing.sort();
    differing.dedup();
    failure.key = Some(format!("{} in database {}", String::from_utf8_lossy(&key.1), key.0));
    failure.detail = format!("{} keys differ; this one:", differing.len());
    for (index, (node, replica)) in replicas.iter().enumerate() {
        let separator = if index == 0 { "" } else { ";" };
        let _ = match replica.records.get(key) {
            Some(State { version, value, .. }) => {
                let value = brief(value.as_deref());
                write!(failure.detail, "{separator} n{node} holds {value} at {version:x}")
            }
            None => write!(failure.detail, "{separator} n{node} holds nothing"),
        };
    }
    Some(failure)
}

/// What counts of a replica.
fn held<'a>(
    replica: &'a Replica,
    dbs: &'a [Db],
) -> impl Iterator<Item = (&'a DbKey, &'a State)> + Clone {
    let counts = |number| dbs.iter().any(|db| db.number() == number);
    replica.records.iter().filter(move |((db, _), _)| counts(*db))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(version: u128, value: Option<&str>) -> Replica {
        let value = value.map(|value| value.as_bytes().to_vec());
        let state = State { version, value, expires_at_ms: None };
        Replica { records: [((1, b"k".to_vec()), state)].into(), flushed: [0; 3] }
    }

    #[test]
    fn equal_replicas_do_not_differ() {
        let one = replica(5, Some("v1"));
        assert_eq!(difference(&[(0, one.clone()), (1, one.clone()), (2, one)], &Db::ALL), None);
    }

    #[test]
    fn every_difference_is_seen() {
        let one = replica(5, Some("v1"));
        let flushed = Replica { flushed: [0, 1, 0], ..one.clone() };
        let others = [replica(6, Some("v1")), replica(5, Some("v2")), replica(5, None)];
        for other in others.into_iter().chain([Replica::default()]) {
            let failure = difference(&[(1, one.clone()), (2, one.clone()), (4, other)], &Db::ALL)
                .expect("they differ");
            assert_eq!(failure.key.as_deref(), Some("k in database 1"));
            let told = "1 keys differ; this one: n1 holds v1 at 5; n2 holds v1 at 5; n4 holds ";
            assert!(failure.detail.starts_with(told), "{}", failure.detail);
        }
        let failure = difference(&[(2, one), (3, flushed)], &Db::ALL).expect("they differ");
        assert_eq!(failure.detail, "flush stamps differ: n2 [0, 0, 0] n3 [0, 1, 0]");
    }
}
