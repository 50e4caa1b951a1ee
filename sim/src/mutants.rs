//! The kill table: each planted bug, and how soon which oracle sees it.
//!
//! An oracle that has never failed proves nothing by passing. A bug that survives is a failure of
//! the simulator: of its oracles, its faults or its workload. Some show only in one narrow course of
//! things that seeds hardly ever draw: those have a case written by hand. The table that is kept,
//! `sim/KILLS.md`, is what one run of [`hunt`] found; each bug has a line in it and a kept case that kills it.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use quorate::probe::Mutant;

mod words;

pub use self::words::what;
use crate::{
    batch::plant,
    case::Case,
    kept,
    oracle::{Failure, Kind},
    play::{Tier, play},
    renew::{NEIGHBOURS, strength},
};

/// How long a bug may survive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands above the kept table.
const HEAD: &str = "\
# Planted bugs and what kills them

Written by `cargo run --release -p sim --features mutants -- --mutants --jobs 2 --table sim/KILLS.md`: numbers from 0
on are played with one bug planted until an oracle fails, for 60 seconds at most; of each number first the case that is
drawn from it, then the one near a kept case of something else, never near the bug's own. So `52` is killed by
`--seed 52`, and `near 52` by `--seed 52 --near --mutant` with its name. Seconds are those of one core, with the other
at work too; the rest is the same everywhere, near ones as long as no other cases are kept.

Each bug has a kept case that passes, and fails with its bug planted; or a script, where it shows in one narrow course
of things; the tests play them. Of bugs that no seed showed in time the case was
made by hand: the course was thought out, its times, nodes and chance were searched for. The last column tells how many
of 24 neighbours of the case (its times shifted by 2 % at most, and other chance) kill the bug too: a case with few is
the next that a change of timing makes useless, and `--renew` finds another.

";

/// Bugs that a script kills, for they show in one narrow course of things.
const SCRIPTS: [(Mutant, &str); 9] = [
    (Mutant::BatchSentApart, "scripts/batches_apart.txt"),
    (Mutant::CanvassIgnoresTransfer, "scripts/handover_canvass.txt"),
    (Mutant::DamagedCountsAsNew, "scripts/damaged_not_new.txt"),
    (Mutant::ExpiredAboveFloor, "scripts/expired.txt"),
    (Mutant::FloorIgnored, "scripts/tombstones_lost.txt"),
    (Mutant::FloorRowOutlived, "scripts/tombstones_wiped.txt"),
    (Mutant::ReadBegunAgain, "scripts/strong_pipeline_lost.txt"),
    (Mutant::SurveysBeginAlike, "scripts/strong_survey_turns.txt"),
    (Mutant::WatchForgetsDrops, "scripts/watch_dropped.txt"),
];

/// How one bug died, or did not.
struct Hunted {
    mutant: Mutant,
    /// Numbers that were played, of each the drawn case and the near one. The last failed, if one did.
    numbers: u64,
    seconds: f64,
    /// What killed it in time.
    killed: Option<(By, Failure)>,
    kept: Option<Kept>,
}

/// Where a case comes from that kills a bug in time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Drawn,
    /// It is near the kept case of something else.
    Near,
}

/// What the kept case of a bug shows.
struct Kept {
    failure: Failure,
    case: Case,
    strength: u64,
}

/// Plays seeds from `from` on against each planted bug until one fails, and tells about each on
/// `out`: what the process ends with, and the table to keep.
///
/// # Errors
/// If the kept cases can't be read, or `out` can't be written.
pub fn hunt(tier: Tier, from: u64, jobs: usize, out: &mut impl Write) -> io::Result<(u8, String)> {
    let (next, (sender, found)) = (AtomicUsize::new(0), mpsc::channel());
    let mut all = Vec::new();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hunted = kept::all_but(Some(*mutant))
                        .map(|others| Hunted::of(*mutant, tier, from, &others));
                    if sender.send(hunted).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for hunted in found {
            let hunted = hunted.map_err(io::Error::other)?;
            write!(out, "{}", hunted.line())?;
            all.push(hunted);
        }
        Ok::<_, io::Error>(())
    })?;
    all.sort_by_key(|hunted| hunted.mutant.name());
    let survivors: Vec<&Hunted> = all.iter().filter(|hunted| !hunted.is_dead()).collect();
    let mut table = HEAD.to_owned() + &columns();
    all.iter().filter(|hunted| hunted.is_dead()).for_each(|hunted| table += &hunted.line());
    let sum = sum(&all);
    writeln!(out, "{sum}")?;
    let _ = writeln!(table, "\n{sum}.");
    if !survivors.is_empty() {
        table += "\n## Open\n\nNo case or script shows these yet; drawn and near cases were played for a minute.\n\n";
        survivors.iter().for_each(|hunted| {
            let _ = writeln!(table, "- {}", hunted.mutant.name());
        });
    }
    Ok((if survivors.is_empty() { 0 } else { Kind::Harness.exit_code() }, table))
}

/// How many died of what.
fn sum(all: &[Hunted]) -> String {
    let by = |by| all.iter().filter(|hunted| hunted.by() == Some(by)).count();
    let (drawn, near) = (by(By::Drawn), by(By::Near));
    let open = all.iter().filter(|hunted| !hunted.is_dead()).count();
    format!(
        "{} planted bugs: {} that a minute shows, {drawn} by a drawn case and {near} by one near \
         others; {} that only their case or script shows; {open} open",
        all.len(),
        drawn + near,
        all.len() - drawn - near - open,
    )
}

/// Bugs without a line in a table, and lines of bugs that there are not.
#[must_use]
pub fn strangers(table: &str) -> Vec<String> {
    let named = |line: &str| {
        let cell = line.strip_prefix("| ")?.split(" |").next()?;
        (cell != "planted bug").then(|| cell.to_owned())
    };
    let lines: Vec<String> = table.lines().filter_map(named).collect();
    let missing = Mutant::ALL.iter().map(|mutant| mutant.name());
    let missing = missing.filter(|name| !lines.iter().any(|line| line == name));
    let unknown = lines.iter().filter(|line| Mutant::named(line).is_none());
    missing.map(str::to_owned).chain(unknown.cloned()).collect()
}

fn columns() -> String {
    "| planted bug | what it does | number | seconds | oracle | kept case | its oracle | strength |\n\
     |---|---|---|---|---|---|---|---|\n"
        .to_owned()
}

impl Hunted {
    /// `others` are the kept cases of other bugs.
    fn of(mutant: Mutant, tier: Tier, from: u64, others: &[Case]) -> Self {
        plant(Some(mutant));
        let started = Instant::now();
        let (mut killed, mut numbers) = (None, 0);
        while killed.is_none() && started.elapsed() < PATIENCE {
            let fails = |case| play(&tier.case(case), tier, false).failure;
            let drawn = fails(Case::draw(from + numbers)).map(|failure| (By::Drawn, failure));
            killed = drawn.or_else(|| {
                let failure = fails(Case::near(from + numbers, others))?;
                Some((By::Near, failure))
            });
            numbers += 1;
        }
        let seconds = started.elapsed().as_secs_f64();
        let kept = own_case(mutant);
        plant(None);
        Self { mutant, numbers, seconds, killed, kept }
    }

    fn by(&self) -> Option<By> {
        self.killed.as_ref().map(|(by, _)| *by)
    }

    fn is_dead(&self) -> bool {
        self.kept.is_some() || script(self.mutant).is_some()
    }

    fn line(&self) -> String {
        let Self { mutant, numbers, seconds, killed, kept } = self;
        let (number, oracle) = match killed {
            Some((By::Drawn, failure)) => (format!("{}", numbers - 1), failure.oracle),
            Some((By::Near, failure)) => (format!("near {}", numbers - 1), failure.oracle),
            None => (format!("none of {numbers}"), "-"),
        };
        let (name, what) = (mutant.name(), what(*mutant));
        // A script was written where it is the better witness.
        let last = match (kept, script(*mutant)) {
            (_, Some(script)) => format!("`tests/{script}` | its own | -"),
            (Some(Kept { failure, case, strength }), None) => {
                let (nodes, requests) = (case.config.nodes, case.workload.len());
                let shape =
                    format!("{nodes} nodes, {requests} requests, {} faults", case.faults.len());
                let file = format!("[{shape}](../tests/cases/{name}.json)");
                format!("{file} | {} | {strength} of {NEIGHBOURS}", failure.oracle)
            }
            (None, None) => "SURVIVED | - | -".to_owned(),
        };
        format!("| {name} | {what} | {number} | {seconds:.1} | {oracle} | {last} |\n")
    }
}

/// The file that shows a bug without a kept case.
fn script(mutant: Mutant) -> Option<&'static str> {
    SCRIPTS.iter().find(|(other, _)| *other == mutant).map(|(_, script)| *script)
}

/// What the kept case of a bug shows, with the bug planted.
fn own_case(mutant: Mutant) -> Option<Kept> {
    let case = kept::read(&kept::folder().join(format!("{}.json", mutant.name()))).ok()?;
    let failure = play(&case, Tier::A, false).failure?;
    let strength = strength(&case, mutant);
    Some(Kept { failure, case, strength })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_without_a_line_and_lines_without_a_bug_are_strangers() {
        let line = |mutant: &Mutant| {
            let (numbers, seconds) = (1, 0.5);
            Hunted { mutant: *mutant, numbers, seconds, killed: None, kept: None }.line()
        };
        let whole = columns() + &Mutant::ALL.iter().map(line).collect::<String>();
        assert_eq!(strangers(&whole), [""; 0]);
        assert_eq!(
            strangers(&whole.replace("| no_resend |", "| no_such |")),
            ["no_resend", "no_such"]
        );
        assert_eq!(strangers("").len(), Mutant::ALL.len());
    }
}
