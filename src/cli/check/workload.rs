//! What clients ask: every operation of the strong database, on few keys that all of them share.
//!
//! Even keys hold text, odd keys hold numbers, so that INCR mostly finds one. Values of writes are
//! told apart by client and count; conditions name the value that the client saw last, so that they
//! hold often enough.

use std::sync::atomic::{AtomicU64, Ordering};

use quorate::{
    check::cell::Asked,
    command::op::{Action, Condition, Expiry, Op, SetReply},
    rng::Rng,
};

/// Operations on a key before another takes its place.
const LIFE: u64 = 400;
/// As many operations does one count whose fate is unknown: each makes a history harder to judge.
const UNKNOWN: u64 = 40;

/// The keys in use, shared by all clients.
pub(super) struct Keys {
    prefix: String,
    /// By key: operations so far, over all that have stood in its place.
    counts: Vec<AtomicU64>,
}

impl Keys {
    pub(super) fn new(prefix: String, count: u64) -> Self {
        Self { prefix, counts: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The key at a place now.
    fn name(&self, place: usize) -> String {
        let count = self.counts[place].fetch_add(1, Ordering::Relaxed);
        format!("{}:{place}:{}", self.prefix, count / LIFE)
    }

    /// An operation on the key at this place is in doubt.
    pub(super) fn doubt(&self, place: usize) {
        self.counts[place].fetch_add(UNKNOWN, Ordering::Relaxed);
    }
}

/// One client's choices.
pub(super) struct Workload<'k> {
    keys: &'k Keys,
    rng: Rng,
    client: u64,
    writes: u64,
    /// By place: the last value this client saw or wrote.
    seen: Vec<Vec<u8>>,
}

impl<'k> Workload<'k> {
    pub(super) fn new(keys: &'k Keys, rng: Rng, client: u64) -> Self {
        Self { keys, rng, client, writes: 0, seen: vec![Vec::new(); keys.counts.len()] }
    }

    /// The next operation, and the place of its key.
    pub(super) fn next(&mut self) -> (usize, Asked) {
        let place = self.rng.below(self.keys.counts.len() as u64) as usize;
        let key = self.keys.name(place);
        let asked =
            if place.is_multiple_of(2) { self.text(place, &key) } else { self.number(place, &key) };
        (place, asked)
    }

    /// A value of the key at this place was seen.
    pub(super) fn saw(&mut self, place: usize, value: &[u8]) {
        self.seen[place] = value.to_vec();
    }

    /// Whether to do something that happens once in so many times.
    pub(super) fn seldom(&mut self, times: u64) -> bool {
        self.rng.below(times) == 0
    }

    fn text(&mut self, place: usize, key: &str) -> Asked {
        self.writes += 1;
        let value = format!("{}.{}", self.client, self.writes).into_bytes();
        let seen = self.seen[place].clone();
        let action = match self.rng.below(24) {
            0..=6 => Action::Get,
            7 => Action::Strlen,
            8 => Action::Exists,
            9 | 10 => Action::Delete,
            11 => Action::GetDelete,
            12 => Action::Append { value: b"+" },
            choice => self.set(choice - 13, &value, &seen),
        };
        Asked::new(&Op::new(key.as_bytes(), action))
    }

    fn number(&mut self, place: usize, key: &str) -> Asked {
        self.writes += 1;
        let value = (self.client * 1_000_000_000 + self.writes * 1000).to_string().into_bytes();
        let seen = self.seen[place].clone();
        let action = match self.rng.below(24) {
            0..=5 => Action::Get,
            6..=11 => Action::Increment { by: 1 },
            12 => Action::Increment { by: -3 },
            13 => Action::Delete,
            14 => Action::Exists,
            choice => self.set(choice - 15, &value, &seen),
        };
        Asked::new(&Op::new(key.as_bytes(), action))
    }

    fn set<'v>(&mut self, choice: u64, value: &'v [u8], seen: &'v [u8]) -> Action<'v> {
        let condition = match choice {
            0..=2 => Condition::Always,
            3 | 4 => Condition::Absent,
            5 => Condition::Present,
            6 => Condition::Different(seen),
            _ => Condition::Equal(seen),
        };
        let reply = match self.rng.below(4) {
            0 if condition == Condition::Absent => SetReply::Flag,
            1 => SetReply::Held,
            _ => SetReply::Outcome,
        };
        Action::Set { value, condition, reply, expiry: Expiry::Never }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_asked_and_keys_do_not_live_for_ever() {
        let keys = Keys::new("check".to_owned(), 2);
        let mut workload = Workload::new(&keys, Rng::new(7), 3);
        let (mut kinds, mut names) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..5 * LIFE {
            let (place, asked) = workload.next();
            let words = asked.words();
            let value = words.get(2).cloned().unwrap_or_default();
            kinds.insert(words.first().cloned());
            names.insert(words.get(1).cloned());
            workload.saw(place, &value);
        }
        assert_eq!(kinds.len(), 9, "{kinds:?}");
        assert!((5..=7).contains(&names.len()), "{names:?}");
        keys.doubt(0);
    }
}
