//! Batches: operations on keys of one slot that take effect together, and their bytes.
//!
//! ```text
//!  0  0        u8   no operation begins like that
//!  1  watches  u32  bytes of what follows: each version u128, key size u16, key
//!     steps         each size u32, kind u8, body
//! ```
//! Integers are little-endian. What a batch comes to is in [`Batch::apply`], which is as pure as
//! that of an operation: it gets the records that are held and says which are to be written. It
//! refuses to know slots, leaders and waiting. A batch is checked as a whole when it is decoded;
//! afterwards it is walked without doubts.

#![deny(clippy::indexing_slicing)]

use super::op::{Answer, Op};
use crate::record::{KEY_SIZE_MAX, RECORD_SIZE_MAX, VALUE_SIZE_MAX, Version};

mod apply;

pub use apply::{Applied, Stamps, Written};

/// Bytes of records that one batch may write: all of them travel in one frame, and the largest value
/// must find room beside the tombstone of the name that it had before.
pub const BATCH_RECORDS_MAX: usize = RECORD_SIZE_MAX + KEY_SIZE_MAX + 1024;
/// Bytes of an encoded batch: it travels in one frame, too.
pub const BATCH_SIZE_MAX: usize = RECORD_SIZE_MAX;
/// Bytes of values that one batch may look at: some dozen milliseconds of work, for which everybody
/// else waits.
pub const BATCH_LOOKED_AT_MAX: usize = 16 * VALUE_SIZE_MAX;

/// The first byte of a batch.
const BATCH: u8 = 0;
const OP: u8 = 1;
const COPY: u8 = 2;
const SET_ALL: u8 = 3;
const WATCH: u8 = 4;

/// Something for the leader of a slot to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work<'a> {
    /// All of it or nothing.
    Batch(Batch<'a>),
    /// On one key.
    One(Op<'a>),
}

/// Steps that take effect together, if what is watched is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    watches: &'a [u8],
    steps: &'a [u8],
}

/// One step of a batch; each has one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// COPY, RENAME, RENAMENX: gives a value and its end another name.
    Copy {
        /// The name that it has.
        from: &'a [u8],
        /// The name that it gets.
        to: &'a [u8],
        /// Which of them.
        how: How,
    },
    /// An operation on one key.
    Op(Op<'a>),
    /// MSETNX: 1 if none of the keys was there and all are set, else 0.
    SetAll {
        /// See [`push_pair`].
        pairs: &'a [u8],
    },
    /// WATCH: the version of what is held of a key, a tombstone's too, as 16 bytes.
    Watch {
        /// Which.
        key: &'a [u8],
    },
}

/// How a value gets another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// COPY: unless the name is taken. 1 if it did, else 0.
    Copy,
    /// RENAME: the old name is gone.
    Move,
    /// RENAMENX: the same, unless the name is taken. 1 if it did, else 0.
    MoveUnlessTaken,
    /// COPY with REPLACE.
    Replace,
}

impl How {
    const ALL: [Self; 4] = [Self::Copy, Self::Move, Self::MoveUnlessTaken, Self::Replace];

    const fn kind(self) -> u8 {
        match self {
            Self::Copy => 0,
            Self::Move => 1,
            Self::MoveUnlessTaken => 2,
            Self::Replace => 3,
        }
    }
}

impl<'a> Work<'a> {
    /// Reads the work that fills `bytes` exactly. `None` if they are none.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&BATCH, rest)) => Batch::decode(rest).map(Self::Batch),
            Some(_) | None => Op::decode(bytes).map(Self::One),
        }
    }

    /// Whether it never writes.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::Batch(batch) => batch.steps().all(|step| step.is_read()),
            Self::One(op) => op.is_read(),
        }
    }
}

/// A batch being put together.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// A batch without steps, which takes effect if all these keys have these versions.
    #[must_use]
    pub fn new<'k>(watches: impl Iterator<Item = (&'k [u8], Version)>) -> Self {
        let mut bytes = vec![BATCH, 0, 0, 0, 0];
        for (key, version) in watches {
            bytes.extend_from_slice(&version.to_bits().to_le_bytes());
            push_key(&mut bytes, key);
        }
        let size = (bytes.len() - 5) as u32;
        if let Some(place) = bytes.get_mut(1..5) {
            place.copy_from_slice(&size.to_le_bytes());
        }
        Self { bytes }
    }

    /// Adds a step.
    pub fn push(&mut self, step: &Step<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        match step {
            Step::Copy { from, to, how } => {
                self.bytes.extend_from_slice(&[COPY, how.kind()]);
                push_key(&mut self.bytes, from);
                push_key(&mut self.bytes, to);
            }
            Step::Op(op) => {
                self.bytes.push(OP);
                op.encode(&mut self.bytes);
            }
            Step::SetAll { pairs } => {
                self.bytes.push(SET_ALL);
                self.bytes.extend_from_slice(pairs);
            }
            Step::Watch { key } => {
                self.bytes.push(WATCH);
                push_key(&mut self.bytes, key);
            }
        }
        let size = (self.bytes.len() - start - 4) as u32;
        if let Some(place) = self.bytes.get_mut(start..start + 4) {
            place.copy_from_slice(&size.to_le_bytes());
        }
    }

    /// How many bytes it has so far.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The batch's bytes, for [`Work::decode`].
    #[must_use]
    pub fn finish(self) -> Box<[u8]> {
        self.bytes.into_boxed_slice()
    }
}

impl<'a> Batch<'a> {
    /// What is behind the first byte.
    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (watches, steps) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let (mut left, mut more) = (watches, steps);
        while !left.is_empty() {
            next_watch(&mut left)?;
        }
        while !more.is_empty() {
            next_step(&mut more)?;
        }
        Some(Self { watches, steps })
    }

    /// Keys, and the versions that they must have.
    pub fn watches(&self) -> impl Iterator<Item = (&'a [u8], Version)> + use<'a> {
        let mut rest = self.watches;
        std::iter::from_fn(move || next_watch(&mut rest))
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let mut rest = self.steps;
        std::iter::from_fn(move || next_step(&mut rest))
    }

    /// All keys that it is about, some of them several times.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let watched = self.watches().map(|(key, _)| key);
        watched.chain(self.steps().flat_map(Step::keys))
    }
}

impl<'a> Step<'a> {
    /// Whether it never writes.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self {
            Self::Copy { .. } | Self::SetAll { .. } => false,
            Self::Op(op) => op.is_read(),
            Self::Watch { .. } => true,
        }
    }

    /// The keys that it is about.
    pub fn keys(self) -> impl Iterator<Item = &'a [u8]> {
        let (one, other, pairs) = match self {
            Self::Copy { from, to, .. } => (Some(from), Some(to), None),
            Self::Op(op) => (Some(op.key), None, None),
            Self::SetAll { pairs: all } => (None, None, Some(pairs(all).map(|(key, _)| key))),
            Self::Watch { key } => (Some(key), None, None),
        };
        one.into_iter().chain(other).chain(pairs.into_iter().flatten())
    }
}

/// Appends a key and its value to the pairs of [`Step::SetAll`].
pub fn push_pair(pairs: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    push_key(pairs, key);
    pairs.extend_from_slice(&(value.len() as u32).to_le_bytes());
    pairs.extend_from_slice(value);
}

fn pairs(pairs: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = pairs;
    std::iter::from_fn(move || next_pair(&mut rest))
}

fn push_key(out: &mut Vec<u8>, key: &[u8]) {
    debug_assert!(key.len() <= KEY_SIZE_MAX);
    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
    out.extend_from_slice(key);
}

fn next_key<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (size, rest) = bytes.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*size)))?;
    *bytes = rest;
    Some(key)
}

fn next_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
    *bytes = rest;
    Some(body)
}

fn next_pair<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (key, value) = (next_key(bytes)?, next_sized(bytes)?);
    (value.len() <= VALUE_SIZE_MAX).then_some((key, value))
}

fn next_watch<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], Version)> {
    let (version, rest) = bytes.split_first_chunk::<16>()?;
    *bytes = rest;
    Some((next_key(bytes)?, Version::from_bits(u128::from_le_bytes(*version))))
}

fn next_step<'a>(bytes: &mut &'a [u8]) -> Option<Step<'a>> {
    let (kind, mut body) = next_sized(bytes)?.split_first()?;
    let step = match *kind {
        COPY => {
            let (how, rest) = body.split_first()?;
            body = rest;
            let how = How::ALL.into_iter().find(|known| known.kind() == *how)?;
            Step::Copy { from: next_key(&mut body)?, to: next_key(&mut body)?, how }
        }
        OP => Step::Op(Op::decode(std::mem::take(&mut body))?),
        SET_ALL => {
            let pairs = body;
            while !body.is_empty() {
                next_pair(&mut body)?;
            }
            Step::SetAll { pairs }
        }
        WATCH => Step::Watch { key: next_key(&mut body)? },
        _ => return None,
    };
    body.is_empty().then_some(step)
}

/// The version that a [`Step::Watch`] has answered.
#[must_use]
pub fn watched(answer: &Answer<'_>) -> Option<Version> {
    let Answer::Bulk(bytes) = answer else { return None };
    let bits = <[u8; 16]>::try_from(bytes.as_ref()).ok()?;
    Some(Version::from_bits(u128::from_le_bytes(bits)))
}

#[cfg(test)]
mod tests;
