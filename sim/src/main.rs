//! The command line: play one seed and tell what happened, or play many.
//!
//! Ends with 0 if all is well, 1 after a safety failure, 2 after a liveness failure, 3 if two runs
//! of a seed differ, and 4 if the simulation itself is at fault.

use std::{
    io::{self, Write},
    panic::PanicHookInfo,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use clap::Parser;
use sim::{
    batch::{Batch, play, reproduction},
    case::Case,
    oracle::Kind,
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
    /// The first of the seeds.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Go on with the other seeds after one has failed.
    #[arg(long)]
    keep_going: bool,
    /// Plant this bug first; the run should fail.
    #[cfg(feature = "mutants")]
    #[arg(long, value_parser = mutant)]
    mutant: Option<quorate::probe::Mutant>,
}

#[cfg(feature = "mutants")]
fn mutant(name: &str) -> Result<quorate::probe::Mutant, String> {
    use quorate::probe::Mutant;
    let names = || Mutant::ALL.iter().map(|mutant| mutant.name()).collect::<Vec<_>>().join(", ");
    Mutant::named(name).ok_or_else(|| format!("the planted bugs are {}", names()))
}

/// The seed being played, for the panic hook.
static SEED: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    let flags = Flags::parse();
    // Not the default hook: a panic must end with the line that reproduces it, even where panics
    // abort.
    std::panic::set_hook(Box::new(on_panic));
    #[cfg(feature = "mutants")]
    quorate::probe::plant(flags.mutant);
    let mut out = io::stdout().lock();
    let outcome = match flags.seed {
        Some(seed) => tell(seed, flags.events, &mut out),
        None => run_batch(&flags, &mut out),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever read our output has gone.
        Err(_) => ExitCode::from(Kind::Harness.exit_code()),
    }
}

fn tell(seed: u64, events: bool, out: &mut impl Write) -> io::Result<u8> {
    SEED.store(seed, Ordering::Relaxed);
    writeln!(out, "{}", Case::draw(seed))?;
    let report = play(seed, false);
    if events {
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
            writeln!(out, "  FAILED    {failure}\n{}", reproduction(seed))?;
            Ok(failure.kind.exit_code())
        }
        None => {
            writeln!(out, "  outcome   ok")?;
            Ok(0)
        }
    }
}

fn run_batch(flags: &Flags, out: &mut impl Write) -> io::Result<u8> {
    let Flags { seeds: count, from, keep_going, .. } = *flags;
    let summary =
        Batch { from, count, keep_going }.run(out, |seed| SEED.store(seed, Ordering::Relaxed))?;
    if let Some(class) = summary.idle_class() {
        writeln!(out, "no case with {} had any: the batch proves nothing", class.name())?;
    }
    Ok(summary.exit_code())
}

/// A panic of a node is a failure of safety, one of ours is not.
fn on_panic(info: &PanicHookInfo<'_>) {
    let ours = info
        .location()
        .is_some_and(|at| at.file().starts_with("sim/") || at.file().contains("/turmoil-"));
    let kind = if ours { Kind::Harness } else { Kind::Safety };
    eprintln!("{kind:?} failure, oracle panic: {info}");
    eprintln!("{}", reproduction(SEED.load(Ordering::Relaxed)));
    std::process::exit(i32::from(kind.exit_code()));
}
