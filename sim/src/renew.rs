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
    case::Case,
    kept,
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
        let kept = kept::read(&path).map_err(io::Error::other)?;
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
    let dies = |number: &u64| play(&case.shifted(*number, 2), Tier::A, false).failure.is_some();
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
            base.shifted(number, 1 + number % 40)
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
