//! What happened, as one number: a hash that rolls over every event between the drivers and the
//! nodes.
//!
//! Two runs of one case must give the same number, in one process or in two; else a decision came
//! from outside the seed. The events' heads are kept beside it, so that the first one that differs
//! can be named.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// All events of one run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: Vec<Event>,
    /// Keeps no events.
    hash_only: bool,
}

/// One thing that went into a node or client, or came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Simulated time.
    pub at_us: u64,
    /// Which host: nodes first, then clients.
    pub host: u16,
    /// What.
    pub kind: EventKind,
    /// On which link, or about which member.
    pub link: u32,
    /// How many bytes.
    pub size: u32,
    /// The hash of all events up to this one, its bytes included.
    pub hash: u64,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum EventKind {
    Boot = 1,
    Close,
    Closed,
    Dial,
    DialFailed,
    DiskDone,
    DiskFailed,
    Eof,
    FaultBegins,
    FaultEnds,
    OpenAccepted,
    OpenDialed,
    Read,
    Reply,
    Request,
    Writable,
    Write,
}

impl Trace {
    /// A trace that keeps the hash alone, for speed.
    #[must_use]
    pub fn hash_only() -> Self {
        Self { hash_only: true, ..Self::default() }
    }

    /// Appends an event.
    pub fn record(&mut self, at_us: u64, host: usize, kind: EventKind, link: u32, bytes: &[u8]) {
        let host = host as u16;
        let mut head = [0; 15];
        head[..8].copy_from_slice(&at_us.to_le_bytes());
        head[8..10].copy_from_slice(&host.to_le_bytes());
        head[10] = kind as u8;
        head[11..].copy_from_slice(&link.to_le_bytes());
        self.hash = xxh3_64_with_seed(bytes, xxh3_64_with_seed(&head, self.hash));
        if self.hash_only {
            return;
        }
        let size = bytes.len() as u32;
        self.events.push(Event { at_us, host, kind, link, size, hash: self.hash });
    }

    /// The hash of everything so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// All events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Where two runs part, in words; nothing if they don't.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        if self.hash == other.hash && self.events.len() == other.events.len() {
            return None;
        }
        let same = self.events.iter().zip(&other.events).take_while(|(a, b)| a == b).count();
        let show = |trace: &Self| {
            trace.events.get(same).map_or_else(|| "the end".to_owned(), ToString::to_string)
        };
        Some(format!("event {same}: first {}; then {}", show(self), show(other)))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_us, host, kind, link, size, .. } = self;
        write!(f, "{:>10.3} ms host {host} {kind:?} link {link}, {size} bytes", *at_us as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_counts() {
        let hash = |at, host, kind, link, bytes: &[u8]| {
            let mut trace = Trace::default();
            trace.record(at, host, kind, link, bytes);
            trace
        };
        let base = hash(1, 2, EventKind::Read, 3, b"x");
        assert_eq!(base.first_difference(&hash(1, 2, EventKind::Read, 3, b"x")), None);
        for other in [
            hash(2, 2, EventKind::Read, 3, b"x"),
            hash(1, 3, EventKind::Read, 3, b"x"),
            hash(1, 2, EventKind::Write, 3, b"x"),
            hash(1, 2, EventKind::Read, 4, b"x"),
            hash(1, 2, EventKind::Read, 3, b"y"),
            Trace::default(),
        ] {
            let difference = base.first_difference(&other).expect("they differ");
            assert!(difference.starts_with("event 0: first      0.001 ms host 2 Read link 3"));
        }
    }
}
