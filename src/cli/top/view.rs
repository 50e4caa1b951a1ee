//! One moment of a cluster: a row for each node, and what is wrong with any.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::sample::{LEVELS, Sample};

/// What is known of one node.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    /// Why it tells nothing now, or what it tells.
    pub(super) now: Result<&'a Sample, &'a str>,
    /// What it told the last time.
    pub(super) before: Option<&'a Sample>,
}

impl Seen<'_> {
    fn sample(&self) -> Option<&Sample> {
        self.now.ok()
    }

    /// Operations a second in a database.
    fn rate(&self, db: usize) -> Option<f64> {
        self.sample()?.rate(self.before?, &format!("requests_{}", LEVELS[db]))
    }

    /// How long a sync took since the last time, on average, in milliseconds.
    fn sync_ms(&self) -> Option<f64> {
        let (now, before) = (self.sample()?, self.before?);
        let count = now.risen(before, "log_syncs")?;
        let total_us = now.risen(before, "log_sync_us")?;
        (count > 0).then(|| total_us as f64 / count as f64 / 1000.0)
    }

    /// Of the database that has the figure, in milliseconds: the strong one first.
    fn latency_ms(&self, part: &str) -> [Option<f64>; 2] {
        let of = |db: usize| {
            let micros = self.sample()?.part(&format!("latency_us_{}", LEVELS[db]), part)?;
            Some(micros as f64 / 1000.0)
        };
        [of(0), of(1)]
    }
}

/// What others say of a node: how many bytes it has not acknowledged to them, whether it is Behind,
/// and how many of them do not count on it.
fn of_others(all: &[Seen<'_>], name: &str) -> (Option<u64>, bool, usize) {
    let members = all.iter().filter_map(Seen::sample).flat_map(Sample::members);
    let told: Vec<_> =
        members.filter(|member| member.name == name && member.lacks.is_some()).collect();
    let lag = told.iter().filter_map(|member| member.lacks).max();
    let suspected = told.iter().filter(|member| member.is_suspect()).count();
    (lag, told.iter().any(|member| member.behind), suspected)
}

/// The table, a line each.
pub(super) fn text(all: &[Seen<'_>]) -> String {
    let mut text = format!(
        "{:22} {:11} {:>8} {:>8} {:>8} {:>13} {:>13} {:>8} {:>7} {:>9} {:>8} {:>6} {:>8}\n",
        "node",
        "state",
        LEVELS[0],
        LEVELS[1],
        LEVELS[2],
        "strong ms",
        "quorum ms",
        "sync ms",
        "syncs/s",
        "lag",
        "memory",
        "leads",
        "keys"
    );
    let _ = writeln!(
        text,
        "{:22} {:11} {:>8} {:>8} {:>8} {:>13} {:>13}",
        "", "", "ops/s", "ops/s", "ops/s", "p50/p99", "p50/p99"
    );
    for seen in all {
        text.push_str(&row(all, seen));
    }
    let mut total = [None; LEVELS.len()];
    for (db, total) in total.iter_mut().enumerate() {
        *total = all.iter().filter_map(|seen| seen.rate(db)).reduce(|a, b| a + b);
    }
    let _ = writeln!(
        text,
        "{:34} {:>8} {:>8} {:>8}",
        "all",
        whole(total[0]),
        whole(total[1]),
        whole(total[2])
    );
    for problem in problems(all) {
        let _ = writeln!(text, "! {problem}");
    }
    text
}

fn row(all: &[Seen<'_>], seen: &Seen<'_>) -> String {
    let Ok(sample) = seen.now else { return format!("{:22} no answer\n", seen.name) };
    let (lag, behind, _) = of_others(all, seen.name);
    let ([strong_p50, quorum_p50], [strong_p99, quorum_p99]) =
        (seen.latency_ms("p50"), seen.latency_ms("p99"));
    let lag = if behind { "Behind".to_owned() } else { bytes(lag) };
    let rates = [0, 1, 2].map(|db| whole(seen.rate(db)));
    format!(
        "{:22} {:11} {:>8} {:>8} {:>8} {:>13} {:>13} {:>8} {:>7} {lag:>9} {:>8} {:>6} {:>8}\n",
        seen.name,
        sample.state().unwrap_or("-"),
        rates[0],
        rates[1],
        rates[2],
        pair(strong_p50, strong_p99),
        pair(quorum_p50, quorum_p99),
        fine(seen.sync_ms()),
        whole(seen.before.and_then(|before| sample.rate(before, "log_syncs"))),
        bytes(sample.number("used_memory_rss")),
        sample.number("slots_led").map_or_else(dash, |led| led.to_string()),
        sample.keys(),
    )
}

/// What somebody should look at.
fn problems(all: &[Seen<'_>]) -> Vec<String> {
    let mut problems = Vec::new();
    for seen in all {
        if let Err(error) = seen.now {
            problems.push(format!("{}: {error}", seen.name));
        }
        let (_, _, suspected) = of_others(all, seen.name);
        if suspected > 0 {
            problems.push(format!("{}: {suspected} other nodes do not count on it", seen.name));
        }
        if let Some(stuck) = seen.sample().and_then(Sample::stuck) {
            problems.push(format!("{}: {stuck}", seen.name));
        }
        if seen.sample().is_some_and(|sample| sample.number("majority_reached") == Some(0)) {
            problems.push(format!("{}: no majority in reach", seen.name));
        }
    }
    problems
}

fn dash() -> String {
    "-".to_owned()
}

fn whole(number: Option<f64>) -> String {
    number.map_or_else(dash, |number| format!("{number:.0}"))
}

fn fine(number: Option<f64>) -> String {
    number.map_or_else(dash, |number| format!("{number:.2}"))
}

fn pair(first: Option<f64>, second: Option<f64>) -> String {
    match (first, second) {
        (None, None) => dash(),
        (first, second) => format!("{}/{}", fine(first), fine(second)),
    }
}

fn bytes(count: Option<u64>) -> String {
    let Some(count) = count else { return dash() };
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// The same for programs.
pub(super) fn json(all: &[Seen<'_>]) -> Json {
    let node = |seen: &Seen<'_>| {
        let (lag, behind, suspected) = of_others(all, seen.name);
        let sample = match seen.now {
            Ok(sample) => sample,
            Err(error) => {
                return json!({ "node": seen.name, "error": error, "suspected_by": suspected });
            }
        };
        let by_level = |figure: &dyn Fn(usize) -> Json| {
            LEVELS.iter().enumerate().map(|(db, name)| ((*name).to_owned(), figure(db))).collect()
        };
        let latency = |db: usize| {
            let part = |part| sample.part(&format!("latency_us_{}", LEVELS[db]), part);
            part("count").map_or(Json::Null, |count| {
                json!({ "count": count, "p50": part("p50"), "p99": part("p99"), "max": part("max") })
            })
        };
        let ops: Json = Json::Object(by_level(&|db| json!(seen.rate(db))));
        let latencies: Json = Json::Object(by_level(&latency));
        json!({
            "node": seen.name,
            "state": sample.state(),
            "ops_per_second": ops,
            "latency_us": latencies,
            "sync_ms": seen.sync_ms(),
            "syncs_per_second": seen.before.and_then(|before| sample.rate(before, "log_syncs")),
            "lag_bytes": lag,
            "behind": behind,
            "suspected_by": suspected,
            "resident_bytes": sample.number("used_memory_rss"),
            "slots_led": sample.number("slots_led"),
            "keys": sample.keys(),
            "stuck": sample.stuck(),
        })
    };
    json!({ "nodes": all.iter().map(node).collect::<Vec<Json>>(), "problems": problems(all) })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{super::sample::tests::sample, *};

    fn seen(look: impl Fn(&[Seen<'_>])) {
        let now = Instant::now();
        let (before, after) = (sample(now, 100, 1), sample(now + Duration::from_secs(2), 500, 1));
        look(&[
            Seen { name: "localhost:9000", now: Ok(&after), before: Some(&before) },
            Seen { name: "localhost:9001", now: Err("refused"), before: None },
        ]);
    }

    #[test]
    fn people_see_a_row_for_each_node_and_what_is_wrong() {
        seen(|all| {
            let text = text(all);
            let row: Vec<&str> = text
                .lines()
                .find(|line| line.starts_with("localhost:9000"))
                .expect("a row")
                .split_whitespace()
                .collect();
            let expected = [
                "localhost:9000",
                "voting",
                "200",
                "0",
                "0",
                "0.40/2.50",
                "-",
                "1.50",
                "200",
                "-",
                "50.0",
                "MiB",
                "10000",
                "10",
            ];
            assert_eq!(row, expected, "{text}");
            for line in [
                "localhost:9001         no answer\n",
                "! localhost:9001: refused\n",
                "! localhost:9001: 1 other nodes do not count on it\n",
                "! localhost:9000: something is in the way\n",
            ] {
                assert!(text.contains(line), "no {line:?} in:\n{text}");
            }
        });
    }

    #[test]
    fn programs_see_the_same() {
        seen(|all| {
            let told = json(all);
            let first = &told["nodes"][0];
            assert_eq!(first["ops_per_second"]["strong"], 200.0);
            assert_eq!(first["latency_us"]["strong"]["p99"], 2500);
            assert!(first["latency_us"]["quorum"].is_null() && first["lag_bytes"].is_null());
            assert_eq!((&first["sync_ms"], &first["keys"]), (&1.5.into(), &10.into()));
            assert_eq!(told["nodes"][1]["error"], "refused");
            assert_eq!(told["nodes"][1]["suspected_by"], 1);
            assert_eq!(told["problems"].as_array().map(Vec::len), Some(3));
        });
    }
}
