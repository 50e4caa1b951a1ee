//! Many seeds in a row: progress, counts, and the checks that only a batch can make.
//!
//! A batch fails when a seed fails, when two runs of one seed differ, or when a class of faults
//! that some case had never struck: faults that don't fire make a green that means nothing.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use crate::{
    case::{Case, FaultClass},
    oracle::{Failure, Kind},
    tier_b::{self, Reached, Report},
};

/// Each seed of so many is played twice.
const TWICE_EVERY: u64 = 10;
/// Progress is shown this often.
const PROGRESS: Duration = Duration::from_secs(2);

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Go on after a failure.
    pub keep_going: bool,
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
    /// What else was reached.
    pub reached: Reached,
    /// The longest that replicas took to become one, and which seed's.
    pub slowest: (u64, u64),
    /// What failed, by seed.
    pub failures: Vec<(u64, Failure)>,
}

/// The command that plays a seed again.
#[must_use]
pub fn reproduction(seed: u64) -> String {
    format!("cargo run --release -p sim -- --seed {seed}")
}

/// Plays a seed, twice if asked to.
#[must_use]
pub fn play(seed: u64, twice: bool) -> Report {
    let case = Case::draw(seed);
    let mut report = tier_b::run(&case);
    if twice && report.failure.is_none() {
        let again = tier_b::run(&case);
        if let Some(difference) = report.trace.first_difference(&again.trace) {
            let failure = Failure::new(Kind::Nondeterminism, "two runs differ", &difference);
            report.failure = Some(failure);
        }
    }
    report
}

impl Batch {
    /// Plays all seeds and shows progress on `out`.
    ///
    /// # Errors
    /// If `out` can't be written.
    pub fn run(&self, out: &mut impl Write, mut before: impl FnMut(u64)) -> io::Result<Summary> {
        let started = Instant::now();
        let mut shown = started;
        let mut summary = Summary::default();
        for seed in self.from..self.from.saturating_add(self.count) {
            before(seed);
            let report = play(seed, (seed - self.from).is_multiple_of(TWICE_EVERY));
            summary.add(seed, &Case::draw(seed), &report);
            if let Some(failure) = report.failure {
                writeln!(out, "seed {seed}: {failure}\n  {}", reproduction(seed))?;
                summary.failures.push((seed, failure));
                if !self.keep_going {
                    break;
                }
            }
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                writeln!(out, "{}", summary.line(started.elapsed()))?;
            }
        }
        writeln!(out, "{}", summary.line(started.elapsed()))?;
        for (class, (enabled, fired)) in
            FaultClass::ALL.iter().zip(summary.enabled.iter().zip(summary.fired))
        {
            writeln!(out, "  {:20} in {enabled:5} cases, {fired:8} times", class.name())?;
        }
        let Reached { answered, behind, copied } = summary.reached;
        writeln!(out, "  {answered} requests answered, {behind} streams overflowed")?;
        let (slowest_ms, seed) = summary.slowest;
        write!(out, "  {copied} records copied by repair; ")?;
        writeln!(out, "replicas became one within {slowest_ms} ms (seed {seed})")?;
        Ok(summary)
    }
}

impl Summary {
    /// A class of faults that was enabled and never struck.
    #[must_use]
    pub fn idle_class(&self) -> Option<FaultClass> {
        let counts = self.enabled.iter().zip(self.fired);
        let mut classes = FaultClass::ALL.iter().zip(counts);
        classes.find(|(_, (enabled, fired))| **enabled > 0 && *fired == 0).map(|(class, _)| *class)
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.failures.first() {
            Some((_, failure)) => failure.kind.exit_code(),
            None if self.idle_class().is_some() => Kind::Harness.exit_code(),
            None => 0,
        }
    }

    fn add(&mut self, seed: u64, case: &Case, report: &Report) {
        self.seeds += 1;
        self.simulated_ms += report.simulated_ms;
        for class in case.classes() {
            self.enabled[class as usize] += 1;
        }
        for (sum, fired) in self.fired.iter_mut().zip(report.fired) {
            *sum += fired;
        }
        self.reached.answered += report.reached.answered;
        self.reached.behind += report.reached.behind;
        self.reached.copied += report.reached.copied;
        self.slowest = self.slowest.max((report.settled_ms.unwrap_or(0), seed));
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let hours = self.simulated_ms as f64 / 3.6e6;
        format!(
            "{} seeds, {:.1} seeds/s, {hours:.2} simulated hours, {} failures",
            self.seeds,
            self.seeds as f64 / seconds,
            self.failures.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_never_struck_fails_the_batch() {
        let mut summary = Summary::default();
        assert_eq!(summary.exit_code(), 0);
        summary.enabled[FaultClass::Kill as usize] = 1;
        assert_eq!((summary.idle_class(), summary.exit_code()), (Some(FaultClass::Kill), 4));
        summary.fired[FaultClass::Kill as usize] = 1;
        assert_eq!(summary.exit_code(), 0);
        summary.failures.push((7, Failure::new(Kind::Liveness, "convergence", "")));
        assert_eq!(summary.exit_code(), 2);
    }
}
