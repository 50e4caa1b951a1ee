//! Playing one case on one tier, whatever becomes of it.
//!
//! A panic while a case is played is a failure of that case, told like any other.

use std::{
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    str::FromStr,
};

use crate::{
    case::{Case, FaultClass},
    oracle::{Failure, Kind},
    report::{Reached, Report},
    tape::Tape,
    tier_a, tier_b,
    trace::Trace,
};

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The event heap: fast, and every fault.
    A,
    /// turmoil: what it can do of a case.
    B,
}

impl Tier {
    /// As much of a case as the tier can play.
    #[must_use]
    pub fn case(self, case: Case) -> Case {
        match self {
            Self::A => case,
            Self::B => case.for_turmoil(),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            other => Err(format!("{other} is no tier; there are a and b")),
        }
    }
}

thread_local! {
    static PANIC: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Makes panics of this process failures of the cases that they happen in. To be called once.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| PANIC.set(Some(failure_of(info)))));
}

/// Plays a case. `events` keeps the events of the trace, not only their hash.
#[must_use]
pub fn play(case: &Case, tier: Tier, events: bool) -> Report {
    catch(|| match tier {
        Tier::A => tier_a::run(case, events),
        Tier::B => tier_b::run(case),
    })
}

/// The report of a run; one that says so if it panics.
fn catch(run: impl FnOnce() -> Report) -> Report {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let unknown = || Failure::new(Kind::Harness, "panic", "without a word");
        Report {
            trace: Trace::default(),
            simulated_ms: 0,
            settled_ms: None,
            fired: [0; FaultClass::ALL.len()],
            reached: Reached::default(),
            history: Vec::new(),
            replicas: Vec::new(),
            failure: Some(PANIC.take().unwrap_or_else(unknown)),
        }
    })
}

/// Plays a case on tier A and keeps it on a tape.
#[must_use]
pub fn play_told(case: &Case) -> (Report, Tape) {
    let mut tape = Some(Box::new(Tape::new(case)));
    let mut report = catch(|| tier_a::tell(case, &mut tape));
    let mut tape = tape.map_or_else(|| Tape::new(case), |tape| *tape);
    if report.history.is_empty() {
        // After a panic this is all that is left of it.
        report.history = std::mem::take(&mut tape.history);
        report.simulated_ms = tape.end_us / 1000;
    }
    (report, tape)
}

/// Plays a case twice; two runs that differ are a failure of their own.
#[must_use]
pub fn play_twice(case: &Case, tier: Tier) -> Report {
    let mut report = play(case, tier, false);
    if report.failure.is_none() && play(case, tier, false).trace.hash() != report.trace.hash() {
        // Once more with all events, to name the first that differs.
        let (first, second) = (play(case, tier, true), play(case, tier, true));
        let difference = first.trace.first_difference(&second.trace);
        let difference = difference.unwrap_or_else(|| "but not these two".to_owned());
        report.failure = Some(Failure::new(Kind::Nondeterminism, "two runs differ", &difference));
    }
    report
}

/// A panic of a node is a failure of safety, one of ours is not.
fn failure_of(info: &PanicHookInfo<'_>) -> Failure {
    let ours = |file: &str| file.starts_with("sim/") || file.contains("/turmoil-");
    let ours = info.location().is_some_and(|at| ours(at.file()));
    let kind = if ours { Kind::Harness } else { Kind::Safety };
    Failure::new(kind, "panic", &info.to_string().replace('\n', " "))
}
