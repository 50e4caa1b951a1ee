//! Faults around a witness: a node does something that others may rest on, and just then those that
//! it rests upon itself go.
//!
//! What a majority has is safe, so a bug that shows less than that is seen only if the few that had
//! it are gone in the next moment, while the others go on. Chance alone hardly ever does that.

use quorate::probe::Hook;

use super::{Config, Fault, FaultKind, Way, When};
use crate::chance::Chance;

/// When it happens.
const MOMENTS: [Hook; 9] = [
    Hook::Committed,
    Hook::Elected,
    Hook::FastRead,
    Hook::FastRead,
    Hook::FastRead,
    Hook::FastReadUnclear,
    Hook::ForwardTaken,
    Hook::PromiseSent,
    Hook::Restamped,
];

/// The faults of `seed`.
pub(super) fn faults(seed: u64, config: &Config) -> Vec<Fault> {
    let mut chance = Chance::new(seed, "witness", 0);
    let nodes = config.nodes;
    let mut faults = Vec::new();
    // Slow disks remember little.
    for node in 0..nodes {
        if chance.percent(50) {
            continue;
        }
        let by_ms = chance.pick(&[50, 300, 1000]);
        let kind = FaultKind::SlowDisk { node, by_ms };
        faults.push(Fault { when: When::At(config.start_ms), for_ms: 8000, kind });
    }
    // Who was away lacks what was written meanwhile.
    if chance.percent(50) {
        let node = chance.below(nodes as u64) as usize;
        let at_ms = chance.between(config.start_ms, config.span_ms);
        let kind = FaultKind::Kill { node };
        faults.push(Fault { when: When::At(at_ms), for_ms: chance.between(100, 1500), kind });
    }
    for _ in 0..chance.between(1, 3) {
        let witness = chance.below(nodes as u64) as usize;
        let hook = chance.pick(&MOMENTS).name().to_owned();
        let when = When::OnNth { node: witness, hook, nth: chance.pick(&[1, 2, 3, 5, 10, 20]) };
        for node in 0..nodes {
            let for_ms = chance.pick(&[100, 300, 1000, 3000, 6000]);
            let kind = match chance.below(if node == witness { 4 } else { 6 }) {
                0 => FaultKind::Kill { node },
                1 => FaultKind::PowerLoss { node },
                2 => FaultKind::Isolation { node, way: Way::Both },
                3 if node != witness => FaultKind::PowerLoss { node },
                _ => continue,
            };
            faults.push(Fault { when: when.clone(), for_ms, kind });
        }
    }
    faults
}
