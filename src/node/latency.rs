//! Latency: when something took longer than the threshold, by event.
//!
//! Events are `command` (a request was under way for so long) and what the disk does: `aof-fsync-always`
//! or, when the system may take its time with what it was given, `aof-write`.

use std::collections::{BTreeMap, VecDeque};

use crate::{command::parameters::Settings, proto::reply::ReplyWriter, time::Now};

/// Samples of an event that are kept, one a second at most, as in Redis.
const SAMPLES_MAX: usize = 160;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latency {
    events: BTreeMap<&'static str, Event>,
}

#[derive(Clone, Debug, Default)]
struct Event {
    /// Unix seconds, and the worst of each in milliseconds.
    samples: VecDeque<(u64, u64)>,
    worst_ms: u64,
}

impl Latency {
    /// Something took so long.
    pub(crate) fn note(&mut self, now: Now, event: &'static str, micros: u64, settings: &Settings) {
        let (millis, threshold) = (micros / 1000, settings.latency_threshold.0);
        if threshold == 0 || millis < threshold {
            return;
        }
        let Event { samples, worst_ms } = self.events.entry(event).or_default();
        *worst_ms = (*worst_ms).max(millis);
        let second = now.wall_ms / 1000;
        match samples.back_mut().filter(|(last, _)| *last == second) {
            Some((_, worst)) => *worst = (*worst).max(millis),
            None => samples.push_back((second, millis)),
        }
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// LATENCY LATEST.
    pub(crate) fn show_latest(&self, reply: &mut ReplyWriter<'_>) {
        reply.array(self.events.len());
        for (name, event) in &self.events {
            let (at, last) = event.samples.back().copied().unwrap_or_default();
            reply.array(4);
            reply.bulk(name.as_bytes());
            [at, last, event.worst_ms].into_iter().for_each(|value| reply.integer(value as i64));
        }
    }

    /// LATENCY HISTORY.
    pub(crate) fn show_history(&self, event: &[u8], reply: &mut ReplyWriter<'_>) {
        let known = self.events.iter().find(|(name, _)| event == name.as_bytes());
        let samples = known.map(|(_, event)| &event.samples);
        reply.array(samples.map_or(0, VecDeque::len));
        for (at, millis) in samples.into_iter().flatten() {
            reply.array(2);
            reply.integer(*at as i64);
            reply.integer(*millis as i64);
        }
    }

    /// LATENCY RESET: forgets what is `named`; how many events that were.
    pub(crate) fn reset(&mut self, named: impl Fn(&[u8]) -> bool) -> usize {
        let before = self.events.len();
        self.events.retain(|name, _| !named(name.as_bytes()));
        before - self.events.len()
    }

    /// LATENCY DOCTOR: the same in words.
    pub(crate) fn diagnose(&self, settings: &Settings) -> String {
        if settings.latency_threshold.0 == 0 {
            return "Nothing is sampled: CONFIG SET latency-monitor-threshold MILLISECONDS\n"
                .to_owned();
        }
        if self.events.is_empty() {
            return format!("Nothing took {} ms or longer.\n", settings.latency_threshold.0);
        }
        let mut text = String::new();
        for (name, Event { samples, worst_ms }) in &self.events {
            let sum: u64 = samples.iter().map(|(_, millis)| millis).sum();
            let (count, mean) = (samples.len(), sum / samples.len().max(1) as u64);
            let advice = match *name {
                "command" => {
                    "see SLOWLOG GET for which, and STATUS for whether a majority is there"
                }
                _ => "the disk is slow; every acknowledged write waits for it",
            };
            text += &format!(
                "{name}: {count} seconds had one, {mean} ms on average, {worst_ms} ms at worst; {advice}\n"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        time::{Instant, Millis},
    };

    #[test]
    fn keeps_the_worst_of_each_second_and_no_more_seconds_than_that() {
        let mut latency = Latency::default();
        let mut settings = Settings::new(&Limits::DEFAULT, true);
        let at = |second: u64| Now { mono: Instant::ZERO, wall_ms: second * 1000 };
        latency.note(at(1), "command", 9_000_000, &settings);
        assert!(latency.events.is_empty(), "turned off");
        settings.latency_threshold = Millis(5);
        for micros in [4_999, 5_000, 7_000, 6_000] {
            latency.note(at(1), "command", micros, &settings);
        }
        assert_eq!(latency.events["command"].samples, [(1, 7)]);
        (2..1000).for_each(|second| latency.note(at(second), "command", 6_000, &settings));
        assert_eq!(latency.events["command"].samples.len(), SAMPLES_MAX);
        assert_eq!(latency.events["command"].worst_ms, 7);
        assert_eq!((latency.reset(|name| name == b"fsync"), latency.reset(|_| true)), (0, 1));
    }
}
