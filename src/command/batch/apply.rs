//! What batches come to: each step sees what those before it did.

use std::{borrow::Cow, collections::BTreeMap, marker::PhantomData};

use super::{BATCH_LOOKED_AT_MAX, BATCH_RECORDS_MAX, Batch, How, Step, pairs};
use crate::{
    command::op::{ANSWER_SIZE_MAX, Answer, Effect, Held},
    probe::{Mutant, claims::absent_since, planted},
    record::{Db, Record, Version},
};

/// In the number of a watched version: the key was absent, and this was the last stamp given by then.
/// Numbers do not count up so far.
const ABSENT: u128 = 1 << 63;
const NO_SUCH_KEY: &str = "ERR no such key";

/// What a leader knows of its stamps.
#[derive(Clone, Copy)]
pub struct Stamps<'a> {
    /// The last one, whatever key it was for.
    pub last: Version,
    /// The highest number that a tombstone of a key may have had that it has dropped.
    pub dropped: &'a dyn Fn(&[u8]) -> u64,
}

/// What a batch comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// An [`Answer::List`] with one answer a step, or [`Answer::NilList`] if what is watched has
    /// changed.
    pub answer: Answer<'static>,
    /// What is to be written, each key once.
    pub written: Vec<Written>,
}

/// The last state that a batch gives a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which key.
    pub key: Box<[u8]>,
    /// As stamped for the last step that wrote it.
    pub version: Version,
    /// Unix milliseconds from which on it reads as absent.
    pub expires_at_ms: Option<u64>,
    /// `None` if it is deleted.
    pub value: Option<Vec<u8>>,
}

impl Written {
    /// As a record of the strong database.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        let Self { key, version, expires_at_ms, value } = self;
        let (version, expires_at_ms) = (*version, *expires_at_ms);
        Record { db: Db::STRONG, key, version, expires_at_ms, value: value.as_deref() }
    }
}

impl Batch<'_> {
    /// What the batch does to the records that `held` knows at `wall_ms`, by a leader of these `stamps`.
    /// Each write gets a version of `stamp`, which must rise.
    ///
    /// # Errors
    /// If it takes more than the limits of a batch. Nothing is to be written then.
    pub fn apply<'s>(
        &self,
        held: impl Fn(&[u8]) -> Option<Record<'s>>,
        wall_ms: u64,
        stamps: Stamps<'_>,
        stamp: impl FnMut() -> Version,
    ) -> Result<Applied, Answer<'static>> {
        let (changed, records) = (BTreeMap::new(), PhantomData);
        let mut view = View { held, wall_ms, stamps, stamp, changed, looked_at: 0, records };
        let counted = if planted(Mutant::WatchFirstOnly) { 1 } else { usize::MAX };
        let changed =
            self.watches().take(counted).any(|(key, watched)| view.has_changed(key, watched));
        if changed && !planted(Mutant::WatchIgnored) {
            return Ok(Applied { answer: Answer::NilList, written: Vec::new() });
        }
        self.watches().for_each(|(key, watched)| claim_absent(key, watched));
        let (mut answers, mut size) = (Vec::new(), 0);
        for step in self.steps() {
            let answer = view.step(&step);
            size += 4 + answer.size();
            if size >= ANSWER_SIZE_MAX {
                return Err(too_much("answer", ANSWER_SIZE_MAX));
            }
            if view.looked_at > BATCH_LOOKED_AT_MAX {
                return Err(too_much("look at", BATCH_LOOKED_AT_MAX));
            }
            answers.push(answer);
        }
        let written: Vec<Written> = view.changed.into_values().collect();
        let bytes = written.iter().map(|written| 4 + written.record().encoded_size());
        if bytes.sum::<usize>() > BATCH_RECORDS_MAX {
            return Err(too_much("write", BATCH_RECORDS_MAX));
        }
        Ok(Applied { answer: Answer::List(answers), written })
    }
}

fn too_much(what: &str, most: usize) -> Answer<'static> {
    let error =
        format!("ERR a batch of one slot can't {what} more than {most} bytes; nothing written");
    Answer::Error(error.into())
}

/// The records that are held, as the steps so far have changed them.
struct View<'s, 'd, H: Fn(&[u8]) -> Option<Record<'s>>, S> {
    held: H,
    wall_ms: u64,
    stamps: Stamps<'d>,
    stamp: S,
    changed: BTreeMap<Box<[u8]>, Written>,
    /// Bytes of values.
    looked_at: usize,
    /// What `held` hands out lives longer than the view.
    records: PhantomData<&'s [u8]>,
}

impl<'s, H: Fn(&[u8]) -> Option<Record<'s>>, S: FnMut() -> Version> View<'s, '_, H, S> {
    fn step(&mut self, step: &Step<'_>) -> Answer<'static> {
        match step {
            Step::Copy { from, to, how } => self.copy(from, to, *how),
            Step::Op(op) => {
                let wall_ms = self.wall_ms;
                let held = self.seen(op.key);
                let size = held.map_or(0, |held| held.value.len());
                let (effect, answer) = op.apply(held, wall_ms);
                let answer = answer.into_owned();
                self.looked_at += size;
                match effect {
                    Effect::Delete => self.write(op.key, None, None),
                    Effect::None => {}
                    Effect::Put { value, expires_at_ms } => {
                        self.write(op.key, Some(value.into_owned()), expires_at_ms);
                    }
                }
                answer
            }
            Step::SetAll { pairs: all } => {
                let asked = if planted(Mutant::MSetNxFirstOnly) { 1 } else { usize::MAX };
                let free = pairs(all).take(asked).all(|(key, _)| self.seen(key).is_none());
                if free {
                    pairs(all).for_each(|(key, value)| self.write(key, Some(value.into()), None));
                }
                Answer::Integer(i64::from(free))
            }
            Step::Watch { key } => {
                let bits = self.watched(key).to_bits().to_le_bytes();
                Answer::Bulk(Cow::Owned(bits.to_vec()))
            }
        }
    }

    fn copy(&mut self, from: &[u8], to: &[u8], how: How) -> Answer<'static> {
        let moves = matches!(how, How::Move | How::MoveUnlessTaken);
        let Some(Held { value, expires_at_ms, .. }) = self.seen(from) else {
            return if moves { Answer::Error(NO_SUCH_KEY.into()) } else { Answer::Integer(0) };
        };
        let taken = matches!(how, How::Copy | How::MoveUnlessTaken) && self.seen(to).is_some();
        if taken && !planted(Mutant::CopyOverwrites) {
            return Answer::Integer(0);
        }
        if from != to {
            let value = value.to_vec();
            self.looked_at += value.len();
            self.write(to, Some(value), expires_at_ms);
            if moves {
                self.write(from, None, None);
            }
        }
        if how == How::Move { Answer::Ok } else { Answer::Integer(1) }
    }

    /// What a reader sees of a key.
    fn seen(&self, key: &[u8]) -> Option<Held<'_>> {
        let record = match self.changed.get(key) {
            Some(written) if !planted(Mutant::BatchReadsBefore) => written.record(),
            _ => (self.held)(key)?,
        };
        Held::of(&record, self.wall_ms)
    }

    /// The version of what is held of a key, and whether that is a value.
    fn version(&self, key: &[u8]) -> Option<(Version, bool)> {
        match self.changed.get(key) {
            Some(Written { version, value, .. }) => Some((*version, value.is_some())),
            None => (self.held)(key).map(|record| (record.version, record.value.is_some())),
        }
    }

    /// What tells later whether a key is as it is now: the version of its value, or where the slot's
    /// stamps are while it has none.
    fn watched(&self, key: &[u8]) -> Version {
        match self.version(key) {
            Some((version, true)) => version,
            Some((version, false)) => absent(version.max(self.stamps.last)),
            None => absent(self.stamps.last),
        }
    }

    /// Whether a key is not as it was, or may have been another in between. A tombstone that was
    /// stamped before the key was watched may be dropped; one that was stamped since may have been
    /// too, and only the leader that dropped it knows.
    fn has_changed(&self, key: &[u8], watched: Version) -> bool {
        let held = self.version(key);
        if watched.to_bits() & ABSENT == 0 {
            return held != Some((watched, true));
        }
        let since = Version::from_bits(watched.to_bits() & !ABSENT);
        match held {
            Some((version, value)) => value || version > since,
            None if planted(Mutant::WatchForgetsDrops) => false,
            None if since.ballot() != self.stamps.last.ballot() => true,
            None => (self.stamps.dropped)(key) > since.seq(),
        }
    }

    fn write(&mut self, key: &[u8], value: Option<Vec<u8>>, expires_at_ms: Option<u64>) {
        let written = Written { key: key.into(), version: (self.stamp)(), expires_at_ms, value };
        self.changed.insert(key.into(), written);
    }
}

/// Something takes effect that watched this key, which was absent if this says so.
fn claim_absent(key: &[u8], watched: Version) {
    if watched.to_bits() & ABSENT != 0 {
        absent_since(Db::STRONG.number(), key, watched.to_bits() & !ABSENT);
    }
}

fn absent(since: Version) -> Version {
    Version::from_bits(since.to_bits() | ABSENT)
}
