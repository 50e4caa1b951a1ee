//! The command line: play one seed and tell what happened, or play many.
//!
//! Ends with 0 if all is well, 1 after a safety failure, 2 after a liveness failure, 3 if two runs
//! of a seed differ, and 4 if the simulation itself is at fault.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use quorate::probe::Mutant;
use sim::{
    batch::{Batch, plant, reproduction},
    case::Case,
    oracle::Kind,
    play::{Tier, catch_panics, play},
    tier_b::narrate,
};

/// Plays seeded simulations of a quorate cluster.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Play this seed and tell about it.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// With --seed: list all events between drivers, clients and nodes.
    #[arg(long, requires = "seed")]
    events: bool,
    /// Play so many seeds; each tenth one twice.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Play seeds for so many minutes instead.
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// The first of the seeds.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The driver: a is our event heap, b is turmoil.
    #[arg(long, default_value_t = Tier::A)]
    tier: Tier,
    /// How many threads play.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Go on with the other seeds after one has failed.
    #[arg(long)]
    keep_going: bool,
    /// Plant this bug first; the run should fail. Needs the feature `mutants`.
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
}

fn mutant(name: &str) -> Result<Mutant, String> {
    if !cfg!(feature = "mutants") {
        return Err("build with --features mutants".to_owned());
    }
    let names = || Mutant::ALL.iter().map(|mutant| mutant.name()).collect::<Vec<_>>().join(", ");
    Mutant::named(name).ok_or_else(|| format!("the planted bugs are {}", names()))
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    catch_panics();
    let mut out = io::stdout().lock();
    let outcome = match flags.seed {
        Some(seed) => tell(&flags, seed, &mut out),
        None => run_batch(&flags, &mut out),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever read our output has gone.
        Err(_) => ExitCode::from(Kind::Harness.exit_code()),
    }
}

fn tell(flags: &Flags, seed: u64, out: &mut impl Write) -> io::Result<u8> {
    plant(flags.mutant);
    let case = flags.tier.case(Case::draw(seed));
    writeln!(out, "{case}")?;
    let report = play(&case, flags.tier, true);
    if flags.events {
        for line in narrate(&report.trace) {
            writeln!(out, "{line}")?;
        }
    }
    let count = report.trace.events().len();
    writeln!(out, "  events    {count}, hash {:016x}", report.trace.hash())?;
    let answered = report.reached.answered;
    write!(out, "  ended     after {} ms, {answered} requests answered", report.simulated_ms)?;
    match report.settled_ms {
        Some(settled_ms) => writeln!(out, ", replicas one within {settled_ms} ms of quiet")?,
        None => writeln!(out)?,
    }
    match report.failure {
        Some(failure) => {
            writeln!(out, "  FAILED    {failure}\n{}", reproduction(flags.tier, seed))?;
            Ok(failure.kind.exit_code())
        }
        None => {
            writeln!(out, "  outcome   ok")?;
            Ok(0)
        }
    }
}

fn run_batch(flags: &Flags, out: &mut impl Write) -> io::Result<u8> {
    let batch = Batch {
        tier: flags.tier,
        from: flags.from,
        count: if flags.minutes.is_some() { u64::MAX } else { flags.seeds },
        time: flags.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        jobs: flags.jobs,
        keep_going: flags.keep_going,
        mutant: flags.mutant,
    };
    Ok(batch.run(out)?.exit_code())
}
