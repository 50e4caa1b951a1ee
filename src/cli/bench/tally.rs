//! What was counted and measured.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::plan::Kind;

/// Latencies are kept in microseconds, up to this; a longer one counts as this.
const LATENCY_MAX_US: u64 = 120_000_000;
/// Digits that are kept of each.
const DIGITS: u8 = 3;
/// Kinds of errors that are told apart; the rest is counted together.
const KINDS_MAX: usize = 16;
const OTHERS: &str = "others";
/// Characters of an error that tell its kind.
const KIND_SIZE_MAX: usize = 100;

/// Everything about one measurement. Two of the same can be put together.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) reads: Histogram<u64>,
    pub(super) writes: Histogram<u64>,
    /// Reads that found no key.
    pub(super) misses: u64,
    /// What did not succeed, by what was said of it.
    pub(super) errors: BTreeMap<String, u64>,
    /// Requests that were due and never sent, because no connection was free.
    pub(super) unsent: u64,
    pub(super) elapsed: Duration,
    /// The longest time without any success.
    pub(super) pause: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS);
        let empty = empty.expect("these bounds make a histogram");
        Self {
            reads: empty.clone(),
            writes: empty,
            misses: 0,
            errors: BTreeMap::new(),
            unsent: 0,
            elapsed: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }

    pub(super) fn succeed(&mut self, kind: Kind, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match kind {
            Kind::Read => self.reads.saturating_record(took),
            Kind::Write => self.writes.saturating_record(took),
        }
    }

    pub(super) fn fail(&mut self, why: &str) {
        self.fail_times(why, 1);
    }

    pub(super) fn fail_times(&mut self, why: &str, times: u64) {
        if times == 0 {
            return;
        }
        let why: String = why.chars().take(KIND_SIZE_MAX).collect();
        let known = self.errors.contains_key(&why) || self.errors.len() < KINDS_MAX;
        *self.errors.entry(if known { why } else { OTHERS.to_owned() }).or_insert(0) += times;
    }

    /// Takes in what was counted at another time.
    pub(super) fn follow(&mut self, other: &Self) {
        self.elapsed += other.elapsed;
        self.pause = self.pause.max(other.pause);
        self.reads.add(&other.reads).expect("all have the same bounds");
        self.writes.add(&other.writes).expect("all have the same bounds");
        self.misses += other.misses;
        self.unsent += other.unsent;
        other.errors.iter().for_each(|(why, times)| self.fail_times(why, *times));
    }

    /// Requests that succeeded.
    pub(super) fn done(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Successes a second.
    pub(super) fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.done() as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_never_lost_however_many_kinds_there_are() {
        let mut tally = Tally::new();
        for kind in 0..100 {
            tally.fail(&format!("ERR {kind}"));
            tally.fail(&"long ".repeat(100));
        }
        assert_eq!(tally.failed(), 200);
        assert_eq!(tally.errors.len(), KINDS_MAX + 1);
        let mut all = Tally::new();
        all.fail("ERR 0");
        all.follow(&tally);
        assert_eq!((all.failed(), all.errors["ERR 0"]), (201, 2));
    }

    #[test]
    fn rates_are_of_successes() {
        let mut one = Tally::new();
        one.succeed(Kind::Read, Duration::from_micros(100));
        one.succeed(Kind::Write, Duration::from_secs(9_999));
        one.fail("ERR");
        one.elapsed = Duration::from_secs(2);
        let mut all = one.clone();
        all.follow(&one);
        assert!((all.rate() - 1.0).abs() < 1e-9);
        assert_eq!((all.done(), all.failed()), (4, 2));
        assert_eq!(all.reads.value_at_quantile(0.5), 100);
        assert!(all.writes.max() >= LATENCY_MAX_US, "the longest is kept");
    }
}
