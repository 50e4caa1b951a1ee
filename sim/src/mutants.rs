//! The kill table: each planted bug, and how soon which oracle sees it.
//!
//! An oracle that has never failed proves nothing by passing. A bug that survives is a failure of
//! the simulator: of its oracles, its faults or its workload.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use quorate::probe::Mutant;

use crate::{
    batch::plant,
    case::Case,
    oracle::Kind,
    play::{Tier, play},
    shrink::shrink,
};

/// How long a bug may survive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays seeds from `from` on against each planted bug until one fails, and tells about each on
/// `out`. What the process ends with.
///
/// # Errors
/// If `out` can't be written.
pub fn hunt(tier: Tier, from: u64, out: &mut impl Write) -> io::Result<u8> {
    let mut survivors = 0;
    writeln!(out, "| planted bug | seeds | seconds | oracle | shrunk to |\n|---|---|---|---|---|")?;
    for mutant in Mutant::ALL {
        plant(Some(*mutant));
        let started = Instant::now();
        let mut killed = None;
        let mut seeds = 0;
        while killed.is_none() && started.elapsed() < PATIENCE {
            let case = tier.case(Case::draw(from + seeds));
            seeds += 1;
            killed = play(&case, tier, false).failure.map(|failure| (case, failure));
        }
        let seconds = started.elapsed().as_secs_f64();
        let name = mutant.name();
        match killed {
            Some((case, failure)) => {
                let (small, _) = shrink(&case, tier, &failure);
                let (faults, requests) = (small.faults.len(), small.workload.len());
                let shrunk =
                    format!("{} nodes, {requests} requests, {faults} faults", small.config.nodes);
                let oracle = failure.oracle;
                writeln!(out, "| {name} | {seeds} | {seconds:.2} | {oracle} | {shrunk} |")?;
            }
            None => {
                survivors += 1;
                writeln!(out, "| {name} | {seeds} | {seconds:.2} | SURVIVED | |")?;
            }
        }
    }
    plant(None);
    writeln!(out, "{} planted bugs, {survivors} survivors", Mutant::ALL.len())?;
    Ok(if survivors == 0 { 0 } else { Kind::Harness.exit_code() })
}
