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

use crate::record::{Record, Version};

mod answer;
mod apply;
mod codec;

pub use answer::{ANSWER_SIZE_MAX, Answer};
pub use codec::OP_SIZE_MAX;

pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// What is done to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// At most [`KEY_SIZE_MAX`] bytes.
    pub key: &'a [u8],
    /// What is done to it.
    pub action: Action<'a>,
}

/// What can be done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// APPEND: puts bytes behind the value; how long it is then.
    Append {
        /// At most [`VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
    },
    /// DEL: 1 if the key was there, else 0.
    Delete,
    /// EXISTS: 1 if the key is there, else 0.
    Exists,
    /// GET.
    Get,
    /// GETDEL: deletes the key and answers what it held.
    GetDelete,
    /// INCR, DECR and the like: adds to a number, 0 if there is none; the sum.
    Increment {
        /// May be negative.
        by: i64,
    },
    /// SET, SETNX, GETSET.
    Set {
        /// At most [`VALUE_SIZE_MAX`] bytes.
        value: &'a [u8],
        /// When to.
        condition: Condition<'a>,
        /// What the answer tells.
        reply: SetReply,
    },
    /// STRLEN: the size of the value, 0 if there is none.
    Strlen,
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
    /// At most [`VALUE_SIZE_MAX`] bytes.
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
        /// At most [`VALUE_SIZE_MAX`] bytes.
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
        matches!(self.action, Action::Exists | Action::Get | Action::Strlen | Action::Version)
    }

    /// Whether its answer is, or may be, a value that is held.
    #[must_use]
    pub const fn shows_value(&self) -> bool {
        matches!(
            self.action,
            Action::Get | Action::GetDelete | Action::Set { reply: SetReply::Held, .. }
        )
    }

    /// Whether it reads before it writes: what it writes, whether it does, or what it answers to a
    /// write depends on what is held. Not so a plain SET, and not DEL, whose count is by the way.
    #[must_use]
    pub const fn is_conditional(&self) -> bool {
        match self.action {
            Action::Append { .. } | Action::GetDelete | Action::Increment { .. } => true,
            Action::Set { condition: Condition::Always, reply: SetReply::Outcome, .. } => false,
            Action::Set { .. } => true,
            Action::Delete | Action::Exists | Action::Get | Action::Strlen | Action::Version => {
                false
            }
        }
    }
}

impl<'a> Condition<'a> {
    /// Whether a SET may write over what is held.
    #[must_use]
    pub fn is_met(self, held: Option<Held<'_>>) -> bool {
        match self {
            Self::Absent => held.is_none(),
            Self::Always => true,
            Self::Different(operand) => held.is_none_or(|held| held.value != operand),
            Self::Equal(operand) => held.is_some_and(|held| held.value == operand),
            Self::Present => held.is_some(),
        }
    }

    pub(super) const fn operand(self) -> Option<&'a [u8]> {
        match self {
            Self::Different(operand) | Self::Equal(operand) => Some(operand),
            Self::Absent | Self::Always | Self::Present => None,
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
