//! Many seeds in a row: progress, counts, and the checks that only a batch can make.
//!
//! A batch fails when a seed fails, when two runs of one seed differ, when a class of faults that
//! some case had never struck, or when a hook was never passed: what doesn't happen makes a green
//! that means nothing.

use std::{
    io::{self, Write},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use quorate::probe::{Hook, Mutant};

use crate::{
    case::{Case, Fault, FaultClass, FaultKind, Size},
    oracle::{Failure, Kind},
    play::{Tier, play, play_twice},
    report::Reached,
};

/// Each seed of so many is played twice.
const TWICE_EVERY: u64 = 100;
/// Progress is shown this often.
const PROGRESS: Duration = Duration::from_secs(5);
/// A batch of so many seeds must pass every hook, and see every class of faults that it has.
const LONG_FROM: u64 = 1000;
/// What a batch leads to hardly ever, and what shows it meanwhile: what a recovery finds on its own disk
/// alone (the exhaustive search, and a kept case), and a member that lacks more of one slot than its
/// outbox has room for (a script).
const NOT_YET: [Hook; 2] = [Hook::RecoveryRemoved, Hook::RepairPaused];

/// Where the case of a seed comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// It is drawn, in this size.
    Drawn(Size),
    /// It is near one of these.
    Near(&'a [Case]),
}

impl Source<'_> {
    /// The case of a seed.
    #[must_use]
    pub fn case(self, seed: u64) -> Case {
        match self {
            Self::Drawn(size) => Case::draw_sized(seed, size),
            Self::Near(kept) => Case::near(seed, kept),
        }
    }
}

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// On which tier.
    pub tier: Tier,
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// No new seed after this long.
    pub time: Option<Duration>,
    /// Where its cases come from.
    pub source: Source<'a>,
    /// How many threads play.
    pub jobs: usize,
    /// Go on after a failure.
    pub keep_going: bool,
    /// A bug to plant.
    pub mutant: Option<Mutant>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds played.
    pub seeds: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// How often faults struck.
    pub fired: [u64; FaultClass::ALL.len()],
    /// In how many cases each class was enabled.
    pub enabled: [u64; FaultClass::ALL.len()],
    /// In how many cases a fault of each class was to strike at a given time, and not at a hook.
    pub due: [u64; FaultClass::ALL.len()],
    /// What else was reached.
    pub reached: Reached,
    /// The longest that replicas took to become one, and which seed's.
    pub slowest: (u64, u64),
    /// What failed, by seed.
    pub failures: Vec<(u64, Failure)>,
}

/// The command that plays a seed again.
#[must_use]
pub fn reproduction(tier: Tier, seed: u64, source: Source<'_>) -> String {
    let flag = |name, count: Option<usize>| {
        count.map_or_else(String::new, |count| format!(" --{name} {count}"))
    };
    let more = match source {
        Source::Drawn(size) => flag("nodes", size.nodes) + &flag("operations", size.operations),
        Source::Near(_) => " --near".to_owned(),
    };
    format!("cargo run --release -p sim -- --tier {tier} --seed {seed}{more}")
}

/// Plants a bug for this thread, where the simulator was built with them.
pub fn plant(mutant: Option<Mutant>) {
    #[cfg(feature = "mutants")]
    quorate::probe::plant(mutant);
    #[cfg(not(feature = "mutants"))]
    assert!(mutant.is_none(), "planted bugs need the feature `mutants`");
}

/// What one seed adds to a summary.
struct Played {
    seed: u64,
    case: Case,
    simulated_ms: u64,
    settled_ms: u64,
    fired: [u64; FaultClass::ALL.len()],
    reached: Reached,
    failure: Option<Failure>,
}

impl Batch<'_> {
    /// Plays all seeds and shows progress on `out`.
    ///
    /// # Errors
    /// If `out` can't be written.
    pub fn run(&self, out: &mut impl Write) -> io::Result<Summary> {
        let started = Instant::now();
        let mut shown = started;
        let mut summary = Summary::default();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (results, played) = mpsc::sync_channel(64);
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let results = results.clone();
                let (next, stop) = (&next, &stop);
                scope.spawn(move || self.work(next, stop, &results));
            }
            drop(results);
            for played in played {
                summary.add(&played);
                if let Some(failure) = played.failure {
                    let again = reproduction(self.tier, played.seed, self.source);
                    writeln!(out, "seed {}: {failure}\n  {again}", played.seed)?;
                    summary.failures.push((played.seed, failure));
                    if !self.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                if shown.elapsed() >= PROGRESS {
                    shown = Instant::now();
                    writeln!(out, "{}", summary.line(started.elapsed()))?;
                }
                if self.time.is_some_and(|time| started.elapsed() >= time) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Ok::<(), io::Error>(())
        })?;
        summary.failures.sort_by_key(|(seed, _)| *seed);
        summary.tell(started.elapsed(), self.tier, out)?;
        Ok(summary)
    }

    fn work(&self, next: &AtomicU64, stop: &AtomicBool, results: &mpsc::SyncSender<Played>) {
        plant(self.mutant);
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return;
            }
            let seed = self.from.saturating_add(number);
            let case = self.tier.case(self.source.case(seed));
            let report = if number.is_multiple_of(TWICE_EVERY) {
                play_twice(&case, self.tier)
            } else {
                play(&case, self.tier, false)
            };
            let played = Played {
                seed,
                case,
                simulated_ms: report.simulated_ms,
                settled_ms: report.settled_ms.unwrap_or(0),
                fired: report.fired,
                reached: report.reached,
                failure: report.failure,
            };
            if results.send(played).is_err() {
                return;
            }
        }
    }
}

impl Summary {
    /// A class of faults that was to strike and never did. In a short batch only faults that have
    /// a time must strike: a node may never pass the hook that another one waits for, nor write and
    /// start again after a misdirected write.
    #[must_use]
    pub fn idle_class(&self) -> Option<FaultClass> {
        let expected = if self.seeds < LONG_FROM { &self.due } else { &self.enabled };
        let counts = expected.iter().zip(self.fired);
        let mut classes = FaultClass::ALL.iter().zip(counts);
        classes
            .find(|(_, (expected, fired))| **expected > 0 && *fired == 0)
            .map(|(class, _)| *class)
    }

    /// Hooks that a batch long enough should have passed, and did not.
    #[must_use]
    pub fn idle_hooks(&self) -> Vec<Hook> {
        if self.seeds < LONG_FROM || self.reached.hooks.is_empty() {
            return Vec::new();
        }
        let hooks = Hook::ALL.iter().zip(&self.reached.hooks);
        let idle = hooks.filter(|(hook, count)| **count == 0 && !NOT_YET.contains(hook));
        idle.map(|(hook, _)| *hook).collect()
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.failures.first() {
            Some((_, failure)) => failure.kind.exit_code(),
            None if self.idle_class().is_some() => Kind::Harness.exit_code(),
            None if !self.idle_hooks().is_empty() => Kind::Harness.exit_code(),
            None => 0,
        }
    }

    fn add(&mut self, played: &Played) {
        self.seeds += 1;
        self.simulated_ms += played.simulated_ms;
        for class in played.case.classes() {
            self.enabled[class as usize] += 1;
        }
        let strikes = |fault: &&Fault| {
            let waits = matches!(fault.kind, FaultKind::Misdirected { .. });
            fault.at_ms().is_some() && !waits
        };
        for fault in played.case.faults.iter().filter(strikes) {
            self.due[fault.kind.class() as usize] += 1;
        }
        for (sum, fired) in self.fired.iter_mut().zip(played.fired) {
            *sum += fired;
        }
        self.reached.add(&played.reached);
        self.slowest = self.slowest.max((played.settled_ms, played.seed));
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let hours = self.simulated_ms as f64 / 3.6e6;
        format!(
            "{} seeds, {:.1} seeds/s, {hours:.2} simulated hours ({:.0} simulated s/s), {} failures",
            self.seeds,
            self.seeds as f64 / seconds,
            self.simulated_ms as f64 / 1e3 / seconds,
            self.failures.len()
        )
    }

    fn tell(&self, elapsed: Duration, tier: Tier, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "tier {tier}: {}", self.line(elapsed))?;
        for (class, (enabled, fired)) in
            FaultClass::ALL.iter().zip(self.enabled.iter().zip(self.fired))
        {
            if *enabled > 0 {
                writeln!(out, "  {:20} in {enabled:6} cases, {fired:9} times", class.name())?;
            }
        }
        for (hook, count) in Hook::ALL.iter().zip(&self.reached.hooks) {
            writeln!(out, "  {:20} passed {count:12} times", hook.name())?;
        }
        let Reached { answered, behind, copied, undecided, .. } = self.reached;
        writeln!(out, "  {answered} requests answered, {behind} streams overflowed,")?;
        writeln!(out, "  {undecided} keys' histories undecided, for they are too long to search,")?;
        writeln!(out, "  {copied} records copied by repair; replicas became one within")?;
        writeln!(out, "  {} ms (seed {})", self.slowest.0, self.slowest.1)?;
        if let Some(class) = self.idle_class() {
            writeln!(out, "no case with {} had any: the batch proves nothing", class.name())?;
        }
        for hook in self.idle_hooks() {
            writeln!(out, "{} was never passed: the batch proves too little", hook.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_how_to_see_it_again() {
        let again = |size| reproduction(Tier::B, 7, Source::Drawn(size));
        assert!(again(Size::default()).ends_with("-- --tier b --seed 7"));
        let small = Size { nodes: Some(3), operations: Some(60) };
        assert!(again(small).ends_with("-- --tier b --seed 7 --nodes 3 --operations 60"));
        assert!(reproduction(Tier::A, 7, Source::Near(&[])).ends_with("--seed 7 --near"));
    }

    #[test]
    fn a_class_that_never_struck_fails_the_batch() {
        let mut summary = Summary::default();
        assert_eq!(summary.exit_code(), 0);
        summary.enabled[FaultClass::Kill as usize] = 1;
        assert_eq!((summary.idle_class(), summary.exit_code()), (None, 0));
        summary.due[FaultClass::Kill as usize] = 1;
        assert_eq!((summary.idle_class(), summary.exit_code()), (Some(FaultClass::Kill), 4));
        summary.fired[FaultClass::Kill as usize] = 1;
        assert_eq!(summary.exit_code(), 0);
        let mut long = Summary { seeds: LONG_FROM, ..Summary::default() };
        long.enabled[FaultClass::Pause as usize] = 1;
        assert_eq!(long.idle_class(), Some(FaultClass::Pause));
        summary.failures.push((7, Failure::new(Kind::Liveness, "convergence", "")));
        assert_eq!(summary.exit_code(), 2);
    }

    #[test]
    fn a_hook_that_was_never_passed_fails_a_long_batch() {
        let mut summary = Summary { seeds: LONG_FROM, ..Summary::default() };
        summary.reached.hooks = vec![1; Hook::ALL.len()];
        assert_eq!(summary.exit_code(), 0);
        summary.reached.hooks[Hook::Behind as usize] = 0;
        assert_eq!((summary.idle_hooks(), summary.exit_code()), (vec![Hook::Behind], 4));
        summary.seeds -= 1;
        assert_eq!(summary.exit_code(), 0);
    }
}
