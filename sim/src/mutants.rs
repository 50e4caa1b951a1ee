//! The kill table: each planted bug, and how soon which oracle sees it.
//!
//! An oracle that has never failed proves nothing by passing. A bug that survives is a failure of
//! the simulator: of its oracles, its faults or its workload. Some show only in one narrow course of
//! things that seeds hardly ever draw: those have a case written by hand. The table that is kept, `sim/KILLS.md`,
//! is what one run of [`hunt`] found; each bug has a line in it and a kept case that kills it.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    time::{Duration, Instant},
};

use quorate::probe::Mutant;

mod words;

pub use self::words::what;
use crate::{
    batch::plant,
    case::Case,
    oracle::{Failure, Kind},
    play::{Tier, play},
    shrink::shrink,
};

/// How long a bug may survive.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands above the kept table.
const HEAD: &str = "\
# Planted bugs and what kills them

Written by `cargo run --release -p sim --features mutants -- --mutants --table sim/KILLS.md`: seeds from 0 on are played
with one bug planted, until an oracle fails. Seconds are those of one core of an ordinary machine; the rest is the same
everywhere. Each kept case passes, and fails with its bug planted; both are tested.

Bugs that show only in one narrow course of things, and that no seed found within a minute, have cases
written \"by hand\": the course was thought out, its times, nodes and chance were searched for, and what
came of it was shrunk like any other.

";

/// How one bug died.
struct Kill {
    failure: Failure,
    small: Case,
}

/// What came of the hunt for one bug.
struct Hunted {
    mutant: Mutant,
    /// Played until one failed; none if only the kept case does.
    seeds: Option<u64>,
    seconds: f64,
    kill: Option<Kill>,
}

/// Plays seeds from `from` on against each planted bug until one fails, and tells about each on
/// `out`: what the process ends with, and the table to keep.
///
/// # Errors
/// If `out` can't be written.
pub fn hunt(tier: Tier, from: u64, out: &mut impl Write) -> io::Result<(u8, String)> {
    let mut survivors = 0;
    let (mut table, columns) = (HEAD.to_owned(), columns());
    table += &columns;
    write!(out, "{columns}")?;
    for mutant in Mutant::ALL {
        let hunted = Hunted::of(*mutant, tier, from);
        survivors += usize::from(hunted.kill.is_none());
        let line = hunted.line();
        write!(out, "{line}")?;
        table += &line;
    }
    plant(None);
    let sum = format!("{} planted bugs, {survivors} survivors", Mutant::ALL.len());
    writeln!(out, "{sum}")?;
    let _ = writeln!(table, "\n{sum}.");
    Ok((if survivors == 0 { 0 } else { Kind::Harness.exit_code() }, table))
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
    "| planted bug | what it does | seeds | seconds | oracle | shrunk to | kept case |\n\
     |---|---|---|---|---|---|---|\n"
        .to_owned()
}

impl Hunted {
    fn of(mutant: Mutant, tier: Tier, from: u64) -> Self {
        plant(Some(mutant));
        let started = Instant::now();
        let (mut killed, mut seeds) = (None, 0);
        while killed.is_none() && started.elapsed() < PATIENCE {
            let case = tier.case(Case::draw(from + seeds));
            seeds += 1;
            killed = play(&case, tier, false).failure.map(|failure| (case, failure));
        }
        let seconds = started.elapsed().as_secs_f64();
        let kill =
            killed.map(|(case, failure)| Kill { small: shrink(&case, tier, &failure).0, failure });
        match kill {
            Some(_) => Self { mutant, seeds: Some(seeds), seconds, kill },
            None => Self { mutant, seeds: None, seconds, kill: by_hand(mutant, tier) },
        }
    }

    fn line(&self) -> String {
        let Self { mutant, seeds, seconds, kill } = self;
        let (oracle, shrunk) = match kill {
            Some(Kill { failure, small }) => {
                let (nodes, clients) = (small.config.nodes, small.config.clients);
                let (requests, faults) = (small.workload.len(), small.faults.len());
                let cluster = format!("{nodes} nodes, {clients} clients");
                (failure.oracle, format!("{cluster}, {requests} requests, {faults} faults"))
            }
            None => ("SURVIVED", String::new()),
        };
        let (name, what) = (mutant.name(), what(*mutant));
        let case = format!("`tests/cases/{name}.json`");
        let (seeds, seconds) = match seeds {
            Some(seeds) => (seeds.to_string(), format!("{seconds:.2}")),
            None => ("by hand".to_owned(), "-".to_owned()),
        };
        format!("| {name} | {what} | {seeds} | {seconds} | {oracle} | {shrunk} | {case} |\n")
    }
}

/// What the kept case of a bug shows.
fn by_hand(mutant: Mutant, tier: Tier) -> Option<Kill> {
    let path = format!("{}/../tests/cases/{}.json", env!("CARGO_MANIFEST_DIR"), mutant.name());
    let small = Case::from_json(&fs::read_to_string(path).ok()?).ok()?;
    let failure = play(&small, tier, false).failure?;
    Some(Kill { failure, small })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_without_a_line_and_lines_without_a_bug_are_strangers() {
        let line = |mutant: &Mutant| {
            Hunted { mutant: *mutant, seeds: Some(1), seconds: 0.5, kill: None }.line()
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
