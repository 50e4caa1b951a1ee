//! The observer: what a node notices of its own work. Counts by command and by error, slow requests,
//! samples of latency, and what monitors are to be shown.
//!
//! A node has no clock but the time of its turns. So what is measured is how long a request was under
//! way: from the turn that took it up to the turn in which its reply may leave, whatever it waited for,
//! a majority, a leader, the disk. What is answered in the turn that takes it up took no time at
//! all by this clock, however much work it was; a turn's work is bounded by other means.
//!
//! Everything here is told and decides nothing, but for the settings; so it tells no states of a node
//! apart for a search.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{Hash, Hasher},
};

use super::{latency::Latency, monitor::Feed, slow::SlowLog};
use crate::{
    command::{Called, parameters::Settings},
    conn::Note,
    limits::Limits,
    time::{Instant, Now},
};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(crate) settings: Settings,
    pub(crate) slow: SlowLog,
    pub(crate) latency: Latency,
    pub(crate) feed: Feed,
    /// By number of the command.
    calls: Vec<Calls>,
    /// Errors by their code.
    errors: BTreeMap<&'static str, u64>,
    /// When the turn began, and when the disk was handed the batch that it is at work on.
    turn_at: Instant,
    handed_at: Option<Instant>,
}

impl Hash for Observer {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// What is counted of one command.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    calls: u64,
    micros: u64,
    rejected: u64,
    failed: u64,
}

/// Who asked something.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) address: String,
    pub(crate) name: Box<[u8]>,
}

impl Observer {
    pub(crate) fn new(limits: &Limits, synced: bool) -> Self {
        Self {
            settings: Settings::new(limits, synced),
            slow: SlowLog::default(),
            latency: Latency::default(),
            feed: Feed::default(),
            calls: vec![Calls::default(); Called::COUNT],
            errors: BTreeMap::new(),
            turn_at: Instant::ZERO,
            handed_at: None,
        }
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&mut self) {
        self.calls.fill(Calls::default());
        self.errors.clear();
    }

    /// A request was answered in the turn that took it up.
    pub(crate) fn count(&mut self, called: Called, failed: Option<&'static str>) {
        self.count_error(failed);
        if let Some(calls) = self.calls.get_mut(called.number()) {
            calls.calls += 1;
            calls.failed += u64::from(failed.is_some());
        }
    }

    /// A request of a transaction was answered with it, and was under way as long.
    pub(crate) fn count_queued(
        &mut self,
        (called, failed): (Called, Option<&'static str>),
        micros: u64,
    ) {
        self.count(called, failed);
        if let Some(calls) = self.calls.get_mut(called.number()) {
            calls.micros += micros;
        }
    }

    /// A request was refused.
    pub(crate) fn refuse(&mut self, called: Option<Called>, code: Option<&'static str>) {
        self.count_error(code);
        let calls = called.and_then(|called| self.calls.get_mut(called.number()));
        calls.into_iter().for_each(|calls| calls.rejected += 1);
    }

    /// The reply to a request may leave.
    pub(crate) fn end(&mut self, now: Now, note: Note, asker: impl FnOnce() -> Asker) {
        let micros = now.mono.as_micros().saturating_sub(note.since.as_micros());
        self.count(note.called, note.failed);
        if let Some(calls) = self.calls.get_mut(note.called.number()) {
            calls.micros += micros;
        }
        self.latency.note(now, "command", micros, &self.settings);
        self.slow.note(now, micros, &self.settings, &note.words, asker);
    }

    /// A turn ends: what the disk is handed it is handed now.
    pub(crate) const fn on_turn(&mut self, now: Now) {
        self.turn_at = now.mono;
    }

    /// The disk has a batch.
    pub(crate) const fn on_handed(&mut self) {
        self.handed_at = Some(self.turn_at);
    }

    /// A batch is durable.
    pub(crate) fn on_durable(&mut self, now: Now) {
        let Some(since) = self.handed_at.take() else { return };
        let micros = now.mono.as_micros().saturating_sub(since.as_micros());
        let event = if self.settings.synced { "aof-fsync-always" } else { "aof-write" };
        self.latency.note(now, event, micros, &self.settings);
    }

    /// INFO commandstats.
    pub(crate) fn write_calls(&self, text: &mut String) {
        for (number, calls) in self.calls.iter().enumerate() {
            let Calls { calls, micros, rejected, failed } = *calls;
            if calls + rejected == 0 {
                continue;
            }
            let name = Called::name_of(number);
            let each = micros as f64 / calls.max(1) as f64;
            // Writing to a string can't fail.
            let _ = write!(
                text,
                "cmdstat_{name}:calls={calls},usec={micros},usec_per_call={each:.2},\
                 rejected_calls={rejected},failed_calls={failed}\r\n"
            );
        }
    }

    /// INFO errorstats.
    pub(crate) fn write_errors(&self, text: &mut String) {
        for (code, count) in &self.errors {
            let _ = write!(text, "errorstat_{code}:count={count}\r\n");
        }
    }

    /// All errors together.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    fn count_error(&mut self, code: Option<&'static str>) {
        if let Some(code) = code {
            *self.errors.entry(code).or_default() += 1;
        }
    }
}
