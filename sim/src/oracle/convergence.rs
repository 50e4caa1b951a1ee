//! Convergence: once all is quiet, all replicas are one, byte for byte.

use std::fmt::Write as _;

use super::{Failure, Kind, Replica, State, brief};

/// Where replicas differ; nothing if they don't.
///
/// # Panics
/// If there are no replicas.
#[must_use]
pub fn difference(replicas: &[Replica]) -> Option<Failure> {
    let (first, others) = replicas.split_first().expect("a cluster has nodes");
    let other = others.iter().find(|other| *other != first)?;
    let mut failure = Failure::new(Kind::Liveness, "convergence", "");
    let keys = first.records.keys().chain(other.records.keys());
    let differs = |key: &&_| {
        let held = |replica: &'_ Replica| replica.records.get(*key).cloned();
        replicas.iter().any(|replica| held(replica) != held(first))
    };
    let Some(key) = keys.clone().find(differs) else {
        let stamps: Vec<_> = replicas.iter().map(|replica| replica.flushed).collect();
        failure.detail = format!("flush stamps differ: {stamps:x?}");
        return Some(failure);
    };
    let mut differing: Vec<_> = keys.filter(differs).collect();
    differing.sort();
    differing.dedup();
    failure.key = Some(format!("{} in database {}", String::from_utf8_lossy(&key.1), key.0));
    failure.detail = format!("{} keys differ; this one:", differing.len());
    for (node, replica) in replicas.iter().enumerate() {
        let separator = if node == 0 { "" } else { ";" };
        // Writing to a string can't fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(version: u128, value: Option<&str>) -> Replica {
        let value = value.map(|value| value.as_bytes().to_vec());
        let state = State { version, value, expires_at_ms: None };
        Replica { records: [((0, b"k".to_vec()), state)].into(), flushed: [0; 3] }
    }

    #[test]
    fn equal_replicas_do_not_differ() {
        let one = replica(5, Some("v1"));
        assert_eq!(difference(&[one.clone(), one.clone(), one]), None);
    }

    #[test]
    fn every_difference_is_seen() {
        let one = replica(5, Some("v1"));
        let flushed = Replica { flushed: [0, 1, 0], ..one.clone() };
        let others = [replica(6, Some("v1")), replica(5, Some("v2")), replica(5, None)];
        for other in others.into_iter().chain([Replica::default()]) {
            let failure = difference(&[one.clone(), one.clone(), other]).expect("they differ");
            assert_eq!(failure.key.as_deref(), Some("k in database 0"));
            assert!(failure.detail.starts_with("1 keys differ; this one: n0 holds v1 at 5;"));
        }
        let failure = difference(&[one, flushed]).expect("they differ");
        assert!(failure.detail.starts_with("flush stamps differ"));
    }
}
