//! How much the node is asked and how soon it answers: figures for people and dashboards, which
//! decide nothing.
//!
//! An operation on keys counts when it is begun. Its latency counts where the answer comes later, as
//! in the strong and the quorum database: from the turn that read the request to the turn that has
//! the answer, so with all that peers and disks take, and without the client's own way. Latencies are
//! those of the last ten to twenty seconds, in classes an eighth wide.
//!
//! What only the driver can see it measures by itself and hands in.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use super::{Node, info::line};
use crate::{
    conn::Ticket,
    limits::Limits,
    record::Db,
    time::{Instant, Millis},
};

/// How long latencies are gathered before those of so long ago are forgotten.
const WINDOW: Millis = Millis(10_000);
/// Classes of latencies that are exact: so many microseconds.
const EXACT: u64 = 16;
/// Classes between a power of two and the next.
const PARTS_BITS: u32 = 3;
/// Latencies from 2^36 microseconds on, 19 hours, share the last class.
const BITS_MAX: u32 = 36;
const CLASSES: usize = EXACT as usize + ((BITS_MAX - EXACT.ilog2()) << PARTS_BITS) as usize;

/// What the driver measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Measured {
    /// How often the log was synced.
    pub log_syncs: u64,
    /// How long that took, all together.
    pub log_sync_us: u64,
    /// How long the longest took.
    pub log_sync_us_max: u64,
    /// Memory of the process, if the system tells.
    pub resident_bytes: Option<u64>,
    /// Processor time of the process, in its own code and in the system's, if the system tells.
    pub processor_us: Option<(u64, u64)>,
}

/// Everything that is counted here.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// Operations begun, by database.
    begun: [u64; Db::COUNT],
    latencies: [Latencies; Db::COUNT],
    measured: Option<Measured>,
}

impl Load {
    /// An operation on keys of a database is begun.
    pub(super) fn on_begun(&mut self, db: Db) {
        if let Some(begun) = self.begun.get_mut(usize::from(db.number())) {
            *begun += 1;
        }
    }

    /// One that was begun is answered.
    pub(super) fn on_answered(&mut self, now: Instant, asked: &mut Asked, ticket: Ticket) {
        let Some((since, db)) = asked.on_answered(ticket) else { return };
        if let Some(latencies) = self.latencies.get_mut(usize::from(db.number())) {
            latencies.record(now, now.as_micros().saturating_sub(since.as_micros()));
        }
    }

    /// The lines of INFO.
    pub(super) fn write(&self, now: Instant, text: &mut String) {
        for (db, begun) in Db::ALL.into_iter().zip(self.begun) {
            line(text, format_args!("requests_{}:{begun}", db.name()));
        }
        for (db, latencies) in Db::ALL.into_iter().zip(&self.latencies) {
            if let Some(figures) = latencies.figures(now) {
                line(text, format_args!("latency_us_{}:{figures}", db.name()));
            }
        }
        let Some(measured) = self.measured else { return };
        line(text, format_args!("log_syncs:{}", measured.log_syncs));
        line(text, format_args!("log_sync_us:{}", measured.log_sync_us));
        line(text, format_args!("log_sync_us_max:{}", measured.log_sync_us_max));
    }

    /// The lines of INFO about memory. What the allocator has given out nobody counts; for clients that
    /// look for it, it is what the process has.
    pub(super) fn write_memory(&self, text: &mut String) {
        if let Some(bytes) = self.measured.and_then(|measured| measured.resident_bytes) {
            line(text, format_args!("used_memory:{bytes}"));
            line(text, format_args!("used_memory_rss:{bytes}"));
        }
    }
}

impl Load {
    /// Memory of the process, if the system tells.
    pub(super) fn resident(&self) -> Option<u64> {
        self.measured.and_then(|measured| measured.resident_bytes)
    }

    /// The lines of INFO about the processor. A node has no child processes.
    pub(super) fn write_processor(&self, text: &mut String) {
        let Some((user, system)) = self.measured.and_then(|measured| measured.processor_us) else {
            return;
        };
        let times = [("sys", system), ("user", user), ("sys_children", 0), ("user_children", 0)];
        for (name, micros) in times {
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            line(text, format_args!("used_cpu_{name}:{seconds}.{micros:06}"));
        }
    }

    /// Requests of a transaction, which have keys and are answered with one that was begun: as many
    /// more operations.
    pub(super) fn on_more(&mut self, now: Instant, (since, db): (Instant, Db), count: u64) {
        let at = usize::from(db.number());
        if let (Some(begun), Some(latencies)) = (self.begun.get_mut(at), self.latencies.get_mut(at))
        {
            *begun += count;
            let micros = now.as_micros().saturating_sub(since.as_micros());
            (0..count).for_each(|_| latencies.record(now, micros));
        }
    }
}

impl Node {
    /// The driver has measured.
    pub const fn handle_measured(&mut self, measured: Measured) {
        self.stats.load.measured = Some(measured);
    }
}

/// Operations of a client that are not answered yet, in the order of their tickets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    open: VecDeque<(Ticket, Option<(Instant, Db)>)>,
}

/// It is told, and decides nothing.
impl Hash for Asked {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Asked {
    /// An operation is begun.
    pub(super) fn on_begun(&mut self, now: Instant, ticket: Ticket, db: Db) {
        if self.open.len() >= Limits::DEFAULT.requests_open_max {
            // A connection has no more open: the oldest was answered by other ways.
            self.open.pop_front();
        }
        self.open.push_back((ticket, Some((now, db))));
    }

    fn on_answered(&mut self, ticket: Ticket) -> Option<(Instant, Db)> {
        let at = self.open.binary_search_by_key(&ticket, |asked| asked.0).ok()?;
        let asked = self.open.get_mut(at)?.1.take();
        while let Some((_, None)) = self.open.front() {
            self.open.pop_front();
        }
        asked
    }
}

/// Latencies of the last while.
#[derive(Clone, Debug, Default)]
struct Latencies {
    began: Instant,
    current: Counts,
    previous: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    /// Of each class; empty as long as there is none.
    classes: Vec<u32>,
    total: u64,
    max: u64,
}

impl Latencies {
    fn record(&mut self, now: Instant, micros: u64) {
        if now >= self.began + WINDOW {
            let current = std::mem::take(&mut self.current);
            // What nobody added to for so long is as good as forgotten.
            let recent = now < self.began + Millis(2 * WINDOW.0);
            self.previous = if recent { current } else { Counts::default() };
            self.began = now;
        }
        self.current.record(micros);
    }

    /// How many there were, and how long they took; `None` if there were none.
    fn figures(&self, now: Instant) -> Option<String> {
        let age = now.since(self.began);
        let current = (age < Millis(2 * WINDOW.0)).then_some(&self.current);
        let previous = (age < WINDOW).then_some(&self.previous);
        let counts: Vec<&Counts> = current.into_iter().chain(previous).collect();
        let total: u64 = counts.iter().map(|counts| counts.total).sum();
        if total == 0 {
            return None;
        }
        let max = counts.iter().map(|counts| counts.max).max().unwrap_or(0);
        let mut text = format!("count={total}");
        for (name, permille) in [("p50", 500), ("p99", 990), ("p999", 999)] {
            let micros = quantile(&counts, (total * permille).div_ceil(1000)).min(max);
            // Writing to a string can't fail.
            let _ = write!(text, ",{name}={micros}");
        }
        let _ = write!(text, ",max={max}");
        Some(text)
    }
}

impl Counts {
    fn record(&mut self, micros: u64) {
        if self.classes.is_empty() {
            self.classes = vec![0; CLASSES];
        }
        if let Some(count) = self.classes.get_mut(class(micros)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(micros);
    }
}

/// The most that the latency number `rank`, from 1, can be.
fn quantile(counts: &[&Counts], rank: u64) -> u64 {
    let mut seen = 0;
    for class in 0..CLASSES {
        let in_class = counts.iter().filter_map(|counts| counts.classes.get(class));
        seen += in_class.map(|count| u64::from(*count)).sum::<u64>();
        if seen >= rank {
            return highest(class);
        }
    }
    u64::MAX
}

fn class(micros: u64) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let bits = micros.ilog2();
    let part = (micros >> (bits - PARTS_BITS)) & ((1 << PARTS_BITS) - 1);
    let class = EXACT + u64::from((bits - EXACT.ilog2()) << PARTS_BITS) + part;
    (class as usize).min(CLASSES - 1)
}

/// The longest latency of a class.
const fn highest(class: usize) -> u64 {
    let class = class as u64;
    if class < EXACT {
        return class;
    }
    let (bits, part) = ((class - EXACT) >> PARTS_BITS, (class - EXACT) & ((1 << PARTS_BITS) - 1));
    let bits = bits as u32 + EXACT.ilog2();
    (1 << bits) + ((part + 1) << (bits - PARTS_BITS)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_an_eighth_wide_and_without_gaps() {
        for micros in (0..100_000).chain((20..36).flat_map(|bits| [(1 << bits) - 1, 1 << bits])) {
            let class = class(micros);
            let (low, high) =
                (class.checked_sub(1).map_or(0, |low| highest(low) + 1), highest(class));
            assert!(low <= micros && micros <= high, "{micros} is not in {low}..={high}");
            assert!(high - low <= low / 8, "{low}..={high} is too wide");
        }
        assert_eq!(class(u64::MAX), CLASSES - 1);
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn latencies_are_those_of_the_last_while() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.figures(at(100)), None);
        (1..=100).for_each(|n| latencies.record(at(100), n * 10));
        let figures = "count=100,p50=511,p99=1000,p999=1000,max=1000";
        assert_eq!(latencies.figures(at(105)).as_deref(), Some(figures));
        assert_eq!(latencies.figures(at(119)).as_deref(), Some(figures));
        assert_eq!(latencies.figures(at(120)), None, "nobody asked for longer than two windows");
        latencies.record(at(112), 5);
        let both = latencies.figures(at(112)).expect("both windows");
        assert!(both.starts_with("count=101,"), "{both}");
        latencies.record(at(123), 7);
        let figures = latencies.figures(at(123)).expect("both windows");
        assert_eq!(figures, "count=2,p50=5,p99=7,p999=7,max=7");
        latencies.record(at(200), 9);
        let figures = latencies.figures(at(200)).expect("one window");
        assert_eq!(figures, "count=1,p50=9,p99=9,p999=9,max=9");
    }

    #[test]
    fn answers_in_any_order_find_their_question() {
        let (mut load, mut asked) = (Load::default(), Asked::default());
        (1..=3).for_each(|n| asked.on_begun(at(n), Ticket(n), Db::STRONG));
        load.on_answered(at(4), &mut asked, Ticket(2));
        load.on_answered(at(4), &mut asked, Ticket(2));
        load.on_answered(at(4), &mut asked, Ticket(9));
        assert_eq!(asked.open.len(), 3, "the first is still open");
        load.on_answered(at(5), &mut asked, Ticket(1));
        assert_eq!(asked.open.len(), 1);
        let mut text = String::new();
        load.write(at(5), &mut text);
        assert!(text.contains("latency_us_strong:count=2,p50=2"), "{text}");
        assert!(!text.contains("latency_us_quorum") && !text.contains("log_syncs"), "{text}");
        load.measured = Some(Measured { log_syncs: 3, ..Measured::default() });
        load.on_begun(Db::QUORUM);
        text.clear();
        load.write(at(5), &mut text);
        load.write_memory(&mut text);
        assert!(!text.contains("used_memory"), "nobody has told: {text}");
        assert!(
            text.contains("requests_quorum:1\r\n") && text.contains("log_syncs:3\r\n"),
            "{text}"
        );
    }
}
