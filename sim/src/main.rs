//! The command line: play one seed and tell what happened, or play many.
//!
//! Ends with 0 if all is well, 1 after a safety failure, 2 after a liveness failure, 3 if two runs
//! of a seed differ, and 4 if the simulation itself is at fault.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use mimalloc::MiMalloc;
use quorate::probe::Mutant;
use sim::{
    batch::{Batch, Source, plant, reproduction},
    case::{Case, Size},
    exhaustive::search,
    kept,
    mutants::hunt,
    oracle::Kind,
    page::{self, Told},
    play::{Tier, catch_panics, play, play_told},
    renew::renew,
    report::Report,
    shrink::shrink,
    story,
    tier_b::narrate,
};

/// A fifth of the time of a case went to the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Plays seeded simulations of a quorate cluster.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Play this seed and tell about it.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Play the case of this file.
    #[arg(long, conflicts_with_all = ["seed", "seeds"])]
    replay: Option<PathBuf>,
    /// With --seed or --replay: make a case that fails as small as possible.
    #[arg(long)]
    shrink: bool,
    /// With --seed or --replay: write the case to this file, after shrinking it if asked to.
    #[arg(long)]
    save: Option<PathBuf>,
    /// Plant each bug in turn and show how soon it is seen. Needs the feature `mutants`.
    #[arg(long, conflicts_with_all = ["seed", "replay"])]
    mutants: bool,
    /// With --mutants: write the table to this file too.
    #[arg(long, requires = "mutants")]
    table: Option<PathBuf>,
    /// Look for better cases for these planted bugs (with commas between), or for all that survive
    /// their own, and write them into tests/cases; --minutes for each, 1 if not said. Needs the
    /// feature `mutants`.
    #[arg(long, num_args = 0.., value_delimiter = ',', value_parser = mutant,
        conflicts_with_all = ["seed", "replay", "mutants"])]
    renew: Option<Vec<Mutant>>,
    /// With --seed or --replay: draw the run on a page of this name, for any browser. Tier A only.
    #[arg(long)]
    html: Option<PathBuf>,
    /// With --seed or --replay: write the run to this file for ShiViz. Tier A only.
    #[arg(long)]
    shiviz: Option<PathBuf>,
    /// With --seed or --replay: list all events between drivers, clients and nodes.
    #[arg(long)]
    events: bool,
    /// With --seed or --replay: show what the nodes log.
    #[arg(long)]
    logs: bool,
    /// Play so many seeds; each 100th one twice.
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
    /// Give each case so many nodes.
    #[arg(long, conflicts_with = "replay", value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: Option<u64>,
    /// Leave each case so many requests.
    #[arg(long, conflicts_with = "replay")]
    operations: Option<usize>,
    /// Play cases near the kept ones, instead of drawn ones; with --mutant, not near the case of
    /// that bug.
    #[arg(long, conflicts_with_all = ["replay", "mutants", "nodes", "operations"])]
    near: bool,
    /// How many threads play.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Go on with the other seeds after one has failed.
    #[arg(long)]
    keep_going: bool,
    /// Search exhaustively through what three real nodes can do, at small bounds.
    #[arg(long, conflicts_with_all = ["seed", "replay", "mutants"])]
    explore: bool,
    /// With --explore: at large bounds.
    #[arg(long, requires = "explore")]
    large: bool,
    /// With --explore: end each search after so many states.
    #[arg(long, requires = "explore")]
    states: Option<usize>,
    /// Plant this bug first; the run should fail. Needs the feature `mutants`.
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
}

impl Flags {
    const fn is_drawn(&self) -> bool {
        self.html.is_some() || self.shiviz.is_some()
    }

    /// Where cases come from; `kept` has the kept ones.
    fn source<'a>(&self, kept: &'a [Case]) -> Source<'a> {
        let nodes = self.nodes.map(|nodes| nodes as usize);
        let size = Size { nodes, operations: self.operations };
        if self.near { Source::Near(kept) } else { Source::Drawn(size) }
    }

    /// The kept cases, if any are asked for.
    fn kept(&self) -> Result<Vec<Case>, String> {
        if self.near { kept::all_but(self.mutant) } else { Ok(Vec::new()) }
    }
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
    let outcome = match case_of(&flags) {
        Ok(Some((case, again))) => tell(&flags, &case, &again, &mut out),
        Ok(None) if flags.mutants && !cfg!(feature = "mutants") => {
            eprintln!("sim: planted bugs are not built in; add --features mutants");
            return ExitCode::from(Kind::Harness.exit_code());
        }
        Ok(None) if flags.mutants => hunt_all(&flags, &mut out),
        Ok(None) if let Some(named) = &flags.renew => {
            let time = Duration::from_secs(60 * flags.minutes.unwrap_or(1));
            renew(&kept::folder(), named, time, &mut out).map(|good| u8::from(!good))
        }
        Ok(None) if flags.explore => {
            plant(flags.mutant);
            search(flags.large, flags.states, &mut out).map(|good| u8::from(!good))
        }
        Ok(None) => run_batch(&flags, &mut out),
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(Kind::Harness.exit_code());
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Or whoever read our output has gone.
            if error.kind() != io::ErrorKind::BrokenPipe {
                eprintln!("sim: {error}");
            }
            ExitCode::from(Kind::Harness.exit_code())
        }
    }
}

/// The heading of the part of the kill table that is not ours.
const SEARCHED: &str = "Shown by the exhaustive search";

/// The one case to play, if it is one, and the command that plays it again.
fn case_of(flags: &Flags) -> Result<Option<(Case, String)>, String> {
    if flags.is_drawn() && flags.tier == Tier::B {
        return Err("--html and --shiviz are for tier a: turmoil keeps its messages".to_owned());
    }
    let case = match (&flags.replay, flags.seed) {
        (Some(path), _) => {
            let again = format!(
                "cargo run --release -p sim -- --tier {} --replay {}",
                flags.tier,
                path.display()
            );
            (kept::read(path)?, again)
        }
        (None, Some(seed)) => {
            let kept = flags.kept()?;
            let source = flags.source(&kept);
            (source.case(seed), reproduction(flags.tier, seed, source))
        }
        (None, None) if flags.is_drawn() => {
            return Err("--html and --shiviz tell one run: add --seed or --replay".to_owned());
        }
        (None, None) => return Ok(None),
    };
    Ok(Some((flags.tier.case(case.0), case.1)))
}

fn tell(flags: &Flags, case: &Case, again: &str, out: &mut impl Write) -> io::Result<u8> {
    plant(flags.mutant);
    if flags.logs {
        let format = tracing_subscriber::fmt().without_time().with_writer(io::stderr);
        format.with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG).init();
    }
    writeln!(out, "{case}")?;
    let report = if flags.is_drawn() {
        draw(flags, case, again, out)?
    } else {
        play(case, flags.tier, true)
    };
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
    let Some(failure) = &report.failure else {
        writeln!(out, "  outcome   ok")?;
        return save(flags, case, out).map(|()| 0);
    };
    writeln!(out, "  FAILED    {}{again}", story::tell(case, &report, failure))?;
    let mut small = case.clone();
    if flags.shrink {
        let (smaller, runs) = shrink(case, flags.tier, failure);
        let report = play(&smaller, flags.tier, false);
        let failure = report.failure.as_ref().unwrap_or(failure);
        writeln!(out, "\nshrunk in {runs} runs to\n{}", story::tell(&smaller, &report, failure))?;
        small = smaller;
    }
    save(flags, &small, out)?;
    Ok(failure.kind.exit_code())
}

/// Plays a case and makes the pages of it that are asked for.
fn draw(flags: &Flags, case: &Case, again: &str, out: &mut impl Write) -> io::Result<Report> {
    let (report, tape) = play_told(case);
    let told = Told { case, report: &report, tape: &tape, again };
    if let Some(path) = &flags.html {
        fs::write(path, page::html(&told))?;
        writeln!(out, "  page      {}", path.display())?;
    }
    if let Some(path) = &flags.shiviz {
        fs::write(path, page::shiviz(&told))?;
        writeln!(out, "  shiviz    {}", path.display())?;
    }
    Ok(report)
}

fn save(flags: &Flags, case: &Case, out: &mut impl Write) -> io::Result<()> {
    if let Some(path) = &flags.save {
        fs::write(path, case.to_json())?;
        writeln!(out, "  saved     {}", path.display())?;
    }
    Ok(())
}

fn hunt_all(flags: &Flags, out: &mut impl Write) -> io::Result<u8> {
    let (code, mut table) = hunt(flags.tier, flags.from, flags.jobs, out)?;
    if let Some(path) = &flags.table {
        // What the search shows is printed by its test.
        let before = fs::read_to_string(path).unwrap_or_default();
        let searched = before.split("\n## ").find(|part| part.starts_with(SEARCHED));
        searched.into_iter().for_each(|part| table += &format!("\n## {}\n", part.trim_end()));
        fs::write(path, table)?;
    }
    Ok(code)
}

fn run_batch(flags: &Flags, out: &mut impl Write) -> io::Result<u8> {
    let kept = flags.kept().map_err(io::Error::other)?;
    let source = flags.source(&kept);
    let batch = Batch {
        tier: flags.tier,
        from: flags.from,
        count: if flags.minutes.is_some() { u64::MAX } else { flags.seeds },
        source,
        time: flags.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        jobs: flags.jobs,
        keep_going: flags.keep_going,
        mutant: flags.mutant,
    };
    let summary = batch.run(out)?;
    if let Some((seed, failure)) = summary.failures.first() {
        plant(flags.mutant);
        let (small, runs) = shrink(&flags.tier.case(source.case(*seed)), flags.tier, failure);
        let report = play(&small, flags.tier, false);
        let failure = report.failure.as_ref().unwrap_or(failure);
        let path = std::env::temp_dir().join(format!("case-{seed}.json"));
        fs::write(&path, small.to_json())?;
        writeln!(out, "seed {seed}, shrunk in {runs} runs to {}:", path.display())?;
        writeln!(out, "{}", story::tell(&small, &report, failure))?;
    }
    Ok(summary.exit_code())
}
