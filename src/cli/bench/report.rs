//! What a benchmark found, for people and as JSON.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

use super::tally::Tally;

/// What is told of latencies.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Somebody who was measured.
pub(super) struct Measured {
    pub(super) name: String,
    /// How its keys got their first values.
    pub(super) fill: Option<Tally>,
    pub(super) rounds: Vec<Tally>,
}

impl Measured {
    fn all(&self) -> Tally {
        let mut all = Tally::new();
        self.rounds.iter().for_each(|round| all.follow(round));
        all
    }

    pub(super) fn done(&self) -> u64 {
        self.rounds.iter().map(Tally::done).sum()
    }

    /// Something that went wrong, if anything did.
    pub(super) fn first_error(&self) -> Option<String> {
        let tallies = self.fill.iter().chain(&self.rounds);
        tallies.flat_map(|tally| tally.errors.keys()).next().cloned()
    }

    fn rates(&self) -> Spread {
        Spread::of(self.rounds.iter().map(Tally::rate).collect())
    }

    /// This one's rates and latencies in terms of another's, who was measured in the same rounds.
    fn against(&self, other: &Self) -> Ratio {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let rates = pairs.map(|(own, other)| own.rate() / other.rate()).collect();
        let (own, other) = (self.all(), other.all());
        let (own, other) = (latencies(&own), latencies(&other));
        let quantile =
            |at| own.value_at_quantile(at) as f64 / other.value_at_quantile(at).max(1) as f64;
        Ratio { rates: Spread::of(rates), p50: quantile(0.5), p99: quantile(0.99) }
    }
}

/// Of reads and writes together.
fn latencies(tally: &Tally) -> Histogram<u64> {
    let mut all = tally.reads.clone();
    all.add(&tally.writes).expect("both have the same bounds");
    all
}

/// How several rounds differ.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let (last, middle) = (values.len().saturating_sub(1), values.len() / 2);
        let median =
            if values.len() % 2 == 1 { at(middle) } else { (at(middle) + at(last / 2)) / 2.0 };
        Self { least: at(0), median, most: at(last) }
    }
}

struct Ratio {
    rates: Spread,
    p50: f64,
    p99: f64,
}

/// The text about all, the last of whom the others are compared with if there are several.
pub(super) fn text(measured: &[Measured]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for one in measured {
        let (all, rates) = (one.all(), one.rates());
        let _ = write!(text, "{:26} {:.0} ops/s", one.name, rates.median);
        if one.rounds.len() > 1 {
            let _ = write!(text, " (rounds: {:.0} to {:.0})", rates.least, rates.most);
        }
        text.push('\n');
        for (name, histogram) in [("reads", &all.reads), ("writes", &all.writes)] {
            if !histogram.is_empty() {
                let _ = writeln!(text, "  {}", latency_line(name, histogram));
            }
        }
        let _ = writeln!(
            text,
            "  misses {}, errors {}, longest time without a success {} ms",
            all.misses,
            all.failed(),
            all.pause.as_millis()
        );
        if all.unsent > 0 {
            let _ =
                writeln!(text, "  NOT SENT {} requests that were due: behind the rate", all.unsent);
        }
        let fill = one.fill.iter().flat_map(|fill| &fill.errors);
        let fill = fill.map(|(why, times)| ("error while filling", why, times));
        let errors = all.errors.iter().map(|(why, times)| ("error", why, times));
        for (when, why, times) in fill.chain(errors) {
            let _ = writeln!(text, "  {when}: {times} x {why}");
        }
    }
    if let Some((base, others)) = measured.split_last() {
        for one in others {
            let Ratio { rates, p50, p99 } = one.against(base);
            let _ = writeln!(
                text,
                "{} / {}: {:.2} of its ops/s (rounds: {:.2} to {:.2}), p50 x {p50:.2}, p99 x {p99:.2}",
                one.name, base.name, rates.median, rates.least, rates.most
            );
        }
    }
    text
}

fn latency_line(name: &str, histogram: &Histogram<u64>) -> String {
    let mut line = format!("{name:6} {:>9}", histogram.len());
    for (quantile, at) in QUANTILES {
        let _ = write!(line, "  {quantile} {:.2}", milliseconds(histogram.value_at_quantile(at)));
    }
    let _ = write!(line, "  max {:.2} ms", milliseconds(histogram.max()));
    line
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

/// The same for programs.
pub(super) fn json(measured: &[Measured]) -> Json {
    let base = measured.last();
    let one = |one: &Measured| {
        let (all, rates) = (one.all(), one.rates());
        let mut told = json!({
            "name": one.name,
            "ops_per_second": {
                "median": rates.median, "least": rates.least, "most": rates.most,
                "rounds": one.rounds.iter().map(Tally::rate).collect::<Vec<f64>>(),
            },
            "reads": latency_json(&all.reads),
            "writes": latency_json(&all.writes),
            "misses": all.misses,
            "errors": all.errors,
            "fill_errors": one.fill.as_ref().map(|fill| &fill.errors),
            "not_sent": all.unsent,
            "longest_pause_ms": all.pause.as_millis() as u64,
        });
        if let Some(base) = base.filter(|base| base.name != one.name) {
            let Ratio { rates, p50, p99 } = one.against(base);
            told["ratio"] = json!({
                "to": base.name,
                "ops": { "median": rates.median, "least": rates.least, "most": rates.most },
                "p50": p50,
                "p99": p99,
            });
        }
        told
    };
    measured.iter().map(one).collect()
}

fn latency_json(histogram: &Histogram<u64>) -> Json {
    if histogram.is_empty() {
        return json!({ "count": 0 });
    }
    let mut told = json!({ "count": histogram.len(), "max_ms": milliseconds(histogram.max()) });
    for (quantile, at) in QUANTILES {
        told[format!("{quantile}_ms")] = milliseconds(histogram.value_at_quantile(at)).into();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::plan::Kind;

    fn round(reads: u64, took_us: u64) -> Tally {
        let mut tally = Tally::new();
        (0..reads).for_each(|_| tally.succeed(Kind::Read, Duration::from_micros(took_us)));
        tally.elapsed = Duration::from_secs(1);
        tally
    }

    fn two() -> Vec<Measured> {
        let mut first = round(100, 2000);
        first.fail("NOREPLICAS no");
        first.unsent = 5;
        let rounds = vec![first, round(300, 2000), round(200, 2000)];
        let slow = Measured { name: "strong".to_owned(), fill: None, rounds };
        let rounds = vec![round(200, 1000), round(400, 1000), round(1000, 1000)];
        vec![slow, Measured { name: "other:1".to_owned(), fill: Some(round(1, 1)), rounds }]
    }

    #[test]
    fn people_see_rates_latencies_errors_and_ratios() {
        let text = text(&two());
        for part in [
            "200 ops/s (rounds: 100 to 300)",
            "reads        600  p50 2.00",
            "  error: 1 x NOREPLICAS no\n",
            "errors 1,",
            "NOT SENT 5 requests",
            "400 ops/s (rounds: 200 to 1000)",
            "strong / other:1: 0.50 of its ops/s (rounds: 0.20 to 0.75), p50 x 2.00, p99 x 2.00",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
        assert!(!text.contains("writes"), "{text}");
    }

    #[test]
    fn programs_see_the_same() {
        let told = json(&two());
        assert_eq!(told[0]["ops_per_second"]["median"], 200.0);
        assert_eq!(told[0]["errors"]["NOREPLICAS no"], 1);
        assert_eq!(told[0]["not_sent"], 5);
        assert_eq!(told[0]["ratio"]["ops"]["median"], 0.5);
        assert_eq!(told[1]["reads"]["p99_ms"], 1.0);
        assert!(told[1].get("ratio").is_none());
    }

    #[test]
    fn a_median_is_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.to_vec()).median;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
