//! Operations: what is done to one key, and what that comes to.
//!
//! An [`Op`] says what a client wants of a key; [`Op::apply`] says what it does to what is held
//! ([`Effect`]) and what the client hears ([`Answer`]). It is pure, so it does not matter where it
//! is called: operations and answers have bytes of their own and travel between nodes. It refuses
//! to know versions' order, databases and waiting: who may carry an operation out, and when its
//! answer may be said, is decided above.
//!
//! An operation whose effect is [`Effect::None`] is a read of what is held, whatever its name: a
//! SET whose condition fails shows the state of its key as a GET does.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::record::{Record, Version};

mod answer;
mod apply;
mod bits;
mod codec;
mod expiry;
mod number;

pub use answer::{ANSWER_SIZE_MAX, Answer};
pub(super) use apply::TOO_LONG;
pub use bits::{BIT_OFFSET_MAX, Unit};
pub use codec::OP_SIZE_MAX;
pub use expiry::{Expiry, TimeForm, When};
pub(super) use number::NOT_A_FLOAT;
pub use number::float;

pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// What is done to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// At most [`crate::record::KEY_SIZE_MAX`] bytes.
    pub key: &'a [u8],
    /// What is done to it.
    pub action: Action<'a>,
}

/// What can be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// APPEND: puts bytes behind the value; how long it is then.
    Append {
        /// At most [`crate::record::VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
    },
    /// BITCOUNT: how many bits of the value are set.
    BitCount {
        /// The first and the last place that counts, from the end if negative; all without.
        range: Option<(i64, i64)>,
        /// What places are.
        unit: Unit,
    },
    /// DEL: 1 if the key was there, else 0.
    Delete,
    /// DELEX: 1 if the key was there and its value as asked, and is deleted, else 0.
    DeleteIf {
        /// Not [`Condition::Absent`].
        condition: Condition<'a>,
    },
    /// DIGEST: the XXH3 hash of the value as 16 hexadecimal digits.
    Digest,
    /// OBJECT ENCODING: how Redis would hold the value.
    Encoding,
    /// EXISTS: 1 if the key is there, else 0.
    Exists,
    /// EXPIRE and the like: 1 if the key has a new end, else 0. A time that is over deletes it.
    Expire {
        /// [`Expiry::At`] or [`Expiry::In`].
        expiry: Expiry,
        /// In which case.
        when: When,
    },
    /// Of lock scripts: lets the key end at another time if it has this value; 1 if so, else 0. A
    /// time that is over deletes it.
    Extend {
        /// At most [`crate::record::VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
        /// In milliseconds.
        by: i64,
        /// So much later than it would end, instead of so much later than now.
        add: bool,
        /// Not if it has no end.
        ends: bool,
    },
    /// GET.
    Get,
    /// GETBIT.
    GetBit {
        /// At most [`BIT_OFFSET_MAX`].
        offset: u32,
    },
    /// GETDEL: deletes the key and answers what it held.
    GetDelete,
    /// GETEX with an option: GET, and the key has another end.
    GetExpire {
        /// Not [`Expiry::Keep`].
        expiry: Expiry,
    },
    /// GETRANGE.
    GetRange {
        /// The first byte, from the end if negative.
        start: i64,
        /// The last byte, from the end if negative.
        end: i64,
    },
    /// INCR, DECR and the like: adds to a number, 0 if there is none; the sum.
    Increment {
        /// May be negative.
        by: i64,
    },
    /// INCRBYFLOAT: adds to a decimal number; the sum.
    IncrementFloat {
        /// A number as [`float`] reads it.
        by: &'a [u8],
    },
    /// Of a script: adds to a number if there is one; the sum.
    IncrementHeld {
        /// May be negative.
        by: i64,
    },
    /// PERSIST: 1 if the key had an end and now has none, else 0.
    Persist,
    /// SET, SETNX, SETEX, GETSET.
    Set {
        /// At most [`crate::record::VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
        /// When to.
        condition: Condition<'a>,
        /// What the answer tells.
        reply: SetReply,
        /// When its time is over. If that has been, the key is deleted.
        expiry: Expiry,
    },
    /// SETBIT: the bit that was there.
    SetBit {
        /// At most [`BIT_OFFSET_MAX`].
        offset: u32,
        /// Whether it is set or cleared.
        on: bool,
    },
    /// SETRANGE: overwrites from a byte on; how long the value is then.
    SetRange {
        /// Zeros fill what is missing in front.
        offset: u32,
        /// With the offset at most [`crate::record::VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
    },
    /// STRLEN: the size of the value, 0 if there is none.
    Strlen,
    /// TTL and the like: -2 if there is no key, -1 if it has no end.
    Ttl {
        /// What the number says.
        form: TimeForm,
    },
    /// TYPE: `string`, or `none`.
    Type,
    /// OBJECT IDLETIME and FREQ: an error if there is a key, for neither is kept.
    Untracked {
        /// Which of the two.
        idle: bool,
    },
    /// VERSION: the key's version as 32 hexadecimal digits, which have the order of the versions.
    Version,
}

/// What must hold for a SET to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// NX: there is no value.
    Absent,
    /// Nothing.
    Always,
    /// IFNE: there is no value, or another one than this.
    Different(&'a [u8]),
    /// IFDNE: there is no value, or one with another XXH3 hash.
    DigestDifferent(u64),
    /// IFDEQ: there is a value, and it has this XXH3 hash.
    DigestEqual(u64),
    /// IFEQ: there is a value, and it is this one.
    Equal(&'a [u8]),
    /// XX: there is a value.
    Present,
}

/// What a SET answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetReply {
    /// SETNX: 1 if it wrote, else 0.
    Flag,
    /// GET: the value that was there before, whether or not it wrote.
    Held,
    /// OK if it wrote.
    Outcome,
}

/// What a reader sees of a key: a value that is neither deleted nor expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// At most [`crate::record::VALUE_SIZE_MAX`] bytes.
    pub value: &'a [u8],
    /// Unix milliseconds from which on it reads as absent.
    pub expires_at_ms: Option<u64>,
    /// Of the record that holds it.
    pub version: Version,
}

/// What an operation changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The key becomes absent. It was there.
    Delete,
    /// Nothing: what is held stays, and the answer shows its state.
    None,
    /// The key has a new value.
    Put {
        /// At most [`crate::record::VALUE_SIZE_MAX`] bytes.
        value: Cow<'a, [u8]>,
        /// Unix milliseconds from which on it reads as absent.
        expires_at_ms: Option<u64>,
    },
}

impl<'a> Op<'a> {
    /// An operation.
    #[must_use]
    pub const fn new(key: &'a [u8], action: Action<'a>) -> Self {
        Self { key, action }
    }

    /// Whether it never writes.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        match self.action {
            Action::BitCount { .. }
            | Action::Digest
            | Action::Encoding
            | Action::Exists
            | Action::Get
            | Action::GetBit { .. }
            | Action::GetRange { .. }
            | Action::Strlen
            | Action::Ttl { .. }
            | Action::Type
            | Action::Untracked { .. }
            | Action::Version => true,
            Action::Append { .. }
            | Action::Delete
            | Action::DeleteIf { .. }
            | Action::Expire { .. }
            | Action::Extend { .. }
            | Action::GetDelete
            | Action::GetExpire { .. }
            | Action::Increment { .. }
            | Action::IncrementFloat { .. }
            | Action::IncrementHeld { .. }
            | Action::Persist
            | Action::Set { .. }
            | Action::SetBit { .. }
            | Action::SetRange { .. } => false,
        }
    }

    /// Whether its answer is, or may be, a value that is held.
    #[must_use]
    pub const fn shows_value(&self) -> bool {
        matches!(
            self.action,
            Action::Get
                | Action::GetDelete
                | Action::GetExpire { .. }
                | Action::GetRange { .. }
                | Action::Set { reply: SetReply::Held, .. }
        )
    }

    /// Whether it reads before it writes: what it writes, whether it does, or what it answers to a
    /// write depends on what is held. Not so a plain SET, and not DEL, whose count is by the way.
    #[must_use]
    pub const fn is_conditional(&self) -> bool {
        match self.action {
            Action::Set {
                condition: Condition::Always,
                reply: SetReply::Outcome,
                expiry: Expiry::At(_) | Expiry::In(_) | Expiry::Never,
                ..
            }
            | Action::Delete => false,
            _ => !self.is_read(),
        }
    }
}

impl Condition<'_> {
    /// Whether a SET may write over what is held.
    #[must_use]
    pub fn is_met(self, held: Option<Held<'_>>) -> bool {
        match self {
            Self::Absent => held.is_none(),
            Self::Always => true,
            Self::Different(operand) => held.is_none_or(|held| held.value != operand),
            Self::DigestDifferent(hash) => held.is_none_or(|held| xxh3_64(held.value) != hash),
            Self::DigestEqual(hash) => held.is_some_and(|held| xxh3_64(held.value) == hash),
            Self::Equal(operand) => held.is_some_and(|held| held.value == operand),
            Self::Present => held.is_some(),
        }
    }
}

impl<'a> Held<'a> {
    /// What a reader sees of a record at `wall_ms`.
    #[must_use]
    pub fn of(record: &Record<'a>, wall_ms: u64) -> Option<Self> {
        let value = record.visible(wall_ms)?;
        Some(Self { value, expires_at_ms: record.expires_at_ms, version: record.version })
    }
}

impl Effect<'_> {
    /// Whether anything is written.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests;
