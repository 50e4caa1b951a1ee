//! Renewing kept cases: a change of the node's timing can let a planted bug survive the case that
//! killed it, though the bug is there still. A neighbour of the case then mostly kills it again.
//!
//! A good case does not hang by a thread: of its neighbours many kill too, so it outlives the next
//! change. [`strength`] counts them.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use quorate::probe::Mutant;

use crate::{
    batch::plant,
    case::{Case, When},
    chance::Chance,
    play::{Tier, play, play_twice},
    shrink::shrink,
};

/// Neighbours that a case's strength is counted on.
pub const NEIGHBOURS: u64 = 24;
/// A case this strong is taken at once.
const STRONG: u64 = 20;
/// Of the time for one bug, the share that goes to neighbours of its case, in percent; the rest goes
/// to seeds.
const VARYING: u32 = 60;

/// Finds a better case for each bug that survives its own, or for all that are named, and writes it
/// into `folder`. False if one has none.
///
/// # Errors
/// If a case can't be read or written.
pub fn renew(
    folder: &Path,
    named: &[Mutant],
    time: Duration,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut all = true;
    for mutant in Mutant::ALL {
        let path = folder.join(format!("{}.json", mutant.name()));
        if !path.is_file() || (!named.is_empty() && !named.contains(mutant)) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let kept = Case::from_json(&text).map_err(io::Error::other)?;
        let before = kills(&kept, *mutant).then(|| strength(&kept, *mutant));
        if named.is_empty() && before.is_some() {
            continue;
        }
        let found = search(&kept, *mutant, before.unwrap_or(0), time);
        let told = |strength: Option<u64>| match strength {
            Some(count) => format!("{count} of {NEIGHBOURS} neighbours kill"),
            None => "survives".to_owned(),
        };
        write!(out, "{}: {}", mutant.name(), told(before))?;
        all &= found.is_some() || before.is_some();
        match found {
            Some((case, strength)) => {
                std::fs::write(&path, case.to_json())?;
                writeln!(out, "; now {}", told(Some(strength)))?;
            }
            None => writeln!(out, "; found nothing better")?,
        }
    }
    Ok(all)
}

/// Whether a case passes as it is and fails with the bug planted.
fn kills(case: &Case, mutant: Mutant) -> bool {
    plant(Some(mutant));
    let dead = play(case, Tier::A, false).failure.is_some();
    plant(None);
    dead && play_twice(case, Tier::A).failure.is_none()
}

/// How many of [`NEIGHBOURS`] small shifts of a case kill the bug too.
#[must_use]
pub fn strength(case: &Case, mutant: Mutant) -> u64 {
    plant(Some(mutant));
    let dies = |number: &u64| play(&neighbour(case, *number, 2), Tier::A, false).failure.is_some();
    let count = (0..NEIGHBOURS).filter(dies).count() as u64;
    plant(None);
    count
}

/// The strongest case stronger than `least` that is found in some time.
fn search(kept: &Case, mutant: Mutant, least: u64, time: Duration) -> Option<(Case, u64)> {
    let started = Instant::now();
    let mut best: Option<(Case, u64)> = None;
    for number in 0.. {
        let spent = started.elapsed();
        if spent >= time || best.as_ref().is_some_and(|(_, strength)| *strength >= STRONG) {
            break;
        }
        let varies = spent < time * VARYING / 100 || best.is_some();
        let base = best.as_ref().map_or(kept, |(case, _)| case);
        let case = if varies {
            neighbour(base, number, 1 + number % 40)
        } else if let Some(case) = drawn(number, mutant) {
            case
        } else {
            continue;
        };
        if kills(&case, mutant) {
            let strength = strength(&case, mutant);
            if strength > best.as_ref().map_or(least, |(_, strength)| *strength) {
                best = Some((case, strength));
            }
        }
    }
    best
}

/// The case of a seed, made small, if it fails with the bug planted.
fn drawn(seed: u64, mutant: Mutant) -> Option<Case> {
    plant(Some(mutant));
    let case = Case::draw(seed);
    let failure = play(&case, Tier::A, false).failure;
    let small = failure.map(|failure| shrink(&case, Tier::A, &failure).0);
    plant(None);
    small
}

/// A case with its seed, and with its times shifted by so many percent at most. Large shifts may
/// give the nodes' parts to others, and other times to the network and the nodes.
fn neighbour(case: &Case, number: u64, percent: u64) -> Case {
    let mut chance = Chance::new(number, "neighbour", percent);
    let mut near = case.clone();
    let mut shifted = |value: u64, least: u64| {
        let by = (value * percent / 100).max(1);
        chance.between(value.saturating_sub(by), value + by).max(least)
    };
    for step in &mut near.workload.steps {
        step.at_ms = shifted(step.at_ms, case.config.start_ms);
    }
    near.workload.steps.sort_by_key(|step| step.at_ms);
    for fault in &mut near.faults {
        fault.for_ms = shifted(fault.for_ms, 1);
        match &mut fault.when {
            When::At(at_ms) => *at_ms = shifted(*at_ms, case.config.start_ms),
            When::OnNth { nth, .. } if percent > 5 => *nth = shifted(*nth, 1),
            When::OnNth { .. } => {}
        }
    }
    if percent > 5 {
        let (least, most) = near.config.latency_ms;
        near.config.latency_ms = (least, shifted(most, least.max(1)));
        let timing = &mut near.config.timing;
        for time in [&mut timing.repair, &mut timing.redial_min] {
            time.0 = shifted(time.0, 1);
        }
    }
    near.seed = case.seed.wrapping_add(chance.below(1 << 20));
    if percent > 10 {
        let first = chance.below(case.config.nodes as u64) as usize;
        near.turn_nodes(first);
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_sound_and_differ() {
        let case = Case::draw(3);
        for number in 0..20 {
            let near = neighbour(&case, number, 1 + number);
            assert_ne!(near, case);
            assert_eq!(near.config.core.len(), case.config.core.len());
            assert_eq!(near.workload.len(), case.workload.len());
            assert!(near.workload.steps.is_sorted_by_key(|step| step.at_ms));
            let start = case.config.start_ms;
            assert!(near.faults.iter().all(|fault| fault.at_ms().is_none_or(|at| at >= start)));
        }
        assert_eq!(neighbour(&case, 1, 2), neighbour(&case, 1, 2));
    }
}
