//! Operations: what is done to one key, and what that comes to.
//!
//! An [`Op`] says what a client wants of a key; [`Op::apply`] says what it does to what is held
//! ([`Effect`]) and what the client hears ([`Answer`]). It is pure, so it does not matter where it
//! is called: operations and answers have bytes of their own and travel between nodes. It refuses
//! to know versions' order, databases and waiting: who may carry an operation out, and when its
//! answer may be said, is decided above.
//!
//! ```text
//!  0  kind      u8
//!  1  key size  u16
//!  3  key
//!     by kind: nothing; the value; how much to add, i64; or for a SET
//!     how       u8   bits 0-3 condition, bits 4-5 reply, the others zero
//!     size      u32  of the operand, only if the condition has one
//!     operand, then value
//! ```
//! Integers are little-endian. What follows the last field is the value, up to the end.
//!
//! An operation whose effect is [`Effect::None`] is a read of what is held, whatever its name: a
//! SET whose condition fails shows the state of its key as a GET does.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::{
    proto::integer,
    record::{KEY_SIZE_MAX, Record, VALUE_SIZE_MAX, Version},
};

mod answer;

pub use answer::{ANSWER_SIZE_MAX, Answer};

/// The longest encoded operation, in bytes: a SET with an operand.
pub const OP_SIZE_MAX: usize = HEAD_SIZE + KEY_SIZE_MAX + 5 + 2 * VALUE_SIZE_MAX;

const HEAD_SIZE: usize = 3;

const APPEND: u8 = 1;
const DELETE: u8 = 2;
const EXISTS: u8 = 3;
const GET: u8 = 4;
const GET_DELETE: u8 = 5;
const INCREMENT: u8 = 6;
const SET: u8 = 7;
const STRLEN: u8 = 8;
const VERSION: u8 = 9;

const REPLY_SHIFT: u8 = 4;
const CONDITION_MASK: u8 = 0b1111;

pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const OVERFLOW: &str = "ERR increment or decrement would overflow";
const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

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

    /// What the operation does to what is held, and what it answers. `None` is an absent key. It
    /// writes exactly if the effect is not [`Effect::None`].
    #[must_use]
    pub fn apply<'h>(&self, held: Option<Held<'h>>) -> (Effect<'a>, Answer<'h>) {
        match self.action {
            Action::Append { value } => append(held, value),
            Action::Delete => (delete(held), flag(held.is_some())),
            Action::Exists => (Effect::None, flag(held.is_some())),
            Action::Get => (Effect::None, shown(held)),
            Action::GetDelete => (delete(held), shown(held)),
            Action::Increment { by } => increment(held, by),
            Action::Set { value, condition, reply } => {
                let met = condition.is_met(held);
                let answer = match reply {
                    SetReply::Flag => flag(met),
                    SetReply::Held => shown(held),
                    SetReply::Outcome if met => Answer::Ok,
                    SetReply::Outcome => Answer::NotSet,
                };
                let put = || Effect::Put { value: Cow::Borrowed(value), expires_at_ms: None };
                (if met { put() } else { Effect::None }, answer)
            }
            Action::Strlen => (Effect::None, size(held.map_or(0, |held| held.value.len()))),
            Action::Version => {
                let digits = |held: Held<'_>| format!("{:032x}", held.version.to_bits());
                let answer = held.map_or(Answer::Nil, |held| {
                    Answer::Bulk(Cow::Owned(digits(held).into_bytes()))
                });
                (Effect::None, answer)
            }
        }
    }

    /// How many bytes [`Op::encode`] writes.
    #[must_use]
    pub const fn size(&self) -> usize {
        let body = match self.action {
            Action::Append { value } => value.len(),
            Action::Increment { .. } => 8,
            Action::Set { value, condition, .. } => match condition.operand() {
                Some(operand) => 1 + 4 + operand.len() + value.len(),
                None => 1 + value.len(),
            },
            Action::Delete
            | Action::Exists
            | Action::Get
            | Action::GetDelete
            | Action::Strlen
            | Action::Version => 0,
        };
        HEAD_SIZE + self.key.len() + body
    }

    /// Appends the operation's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.key.len() <= KEY_SIZE_MAX);
        out.push(self.action.kind());
        out.extend_from_slice(&(self.key.len() as u16).to_le_bytes());
        out.extend_from_slice(self.key);
        match self.action {
            Action::Append { value } => out.extend_from_slice(value),
            Action::Increment { by } => out.extend_from_slice(&by.to_le_bytes()),
            Action::Set { value, condition, reply } => {
                debug_assert!(value.len() <= VALUE_SIZE_MAX);
                out.push(condition.kind() | reply.kind() << REPLY_SHIFT);
                if let Some(operand) = condition.operand() {
                    debug_assert!(operand.len() <= VALUE_SIZE_MAX);
                    out.extend_from_slice(&(operand.len() as u32).to_le_bytes());
                    out.extend_from_slice(operand);
                }
                out.extend_from_slice(value);
            }
            Action::Delete
            | Action::Exists
            | Action::Get
            | Action::GetDelete
            | Action::Strlen
            | Action::Version => {}
        }
    }

    /// Reads the operation that fills `bytes` exactly. `None` if no [`Op::encode`] writes them.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let ([kind, k0, k1], rest) = bytes.split_first_chunk::<HEAD_SIZE>()?;
        let (key, body) = rest.split_at_checked(usize::from(u16::from_le_bytes([*k0, *k1])))?;
        let bare = |action| body.is_empty().then_some(action);
        let action = match *kind {
            APPEND => Action::Append { value: within_limit(body)? },
            DELETE => bare(Action::Delete)?,
            EXISTS => bare(Action::Exists)?,
            GET => bare(Action::Get)?,
            GET_DELETE => bare(Action::GetDelete)?,
            INCREMENT => Action::Increment { by: i64::from_le_bytes(body.try_into().ok()?) },
            SET => decode_set(body)?,
            STRLEN => bare(Action::Strlen)?,
            VERSION => bare(Action::Version)?,
            _ => return None,
        };
        Some(Self { key, action })
    }
}

impl Action<'_> {
    const fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => APPEND,
            Self::Delete => DELETE,
            Self::Exists => EXISTS,
            Self::Get => GET,
            Self::GetDelete => GET_DELETE,
            Self::Increment { .. } => INCREMENT,
            Self::Set { .. } => SET,
            Self::Strlen => STRLEN,
            Self::Version => VERSION,
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

    const fn kind(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::Absent => 1,
            Self::Present => 2,
            Self::Equal(_) => 3,
            Self::Different(_) => 4,
        }
    }

    const fn operand(self) -> Option<&'a [u8]> {
        match self {
            Self::Different(operand) | Self::Equal(operand) => Some(operand),
            Self::Absent | Self::Always | Self::Present => None,
        }
    }
}

impl SetReply {
    const fn kind(self) -> u8 {
        match self {
            Self::Outcome => 0,
            Self::Held => 1,
            Self::Flag => 2,
        }
    }

    const fn of_kind(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Outcome),
            1 => Some(Self::Held),
            2 => Some(Self::Flag),
            _ => None,
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

fn append<'a, 'h>(held: Option<Held<'_>>, value: &'a [u8]) -> (Effect<'a>, Answer<'h>) {
    let Some(held) = held else {
        let put = Effect::Put { value: Cow::Borrowed(value), expires_at_ms: None };
        return (put, size(value.len()));
    };
    let sum = held.value.len() + value.len();
    if sum > VALUE_SIZE_MAX {
        return (Effect::None, Answer::Error(Cow::Borrowed(TOO_LONG)));
    }
    let value = Cow::Owned([held.value, value].concat());
    (Effect::Put { value, expires_at_ms: held.expires_at_ms }, size(sum))
}

const fn delete<'a>(held: Option<Held<'_>>) -> Effect<'a> {
    if held.is_some() { Effect::Delete } else { Effect::None }
}

fn increment<'a, 'h>(held: Option<Held<'_>>, by: i64) -> (Effect<'a>, Answer<'h>) {
    let refused = |error| (Effect::None, Answer::Error(Cow::Borrowed(error)));
    let Some(before) = held.map_or(Some(0), |held| integer(held.value)) else {
        return refused(NOT_AN_INTEGER);
    };
    let Some(sum) = before.checked_add(by) else {
        return refused(OVERFLOW);
    };
    let value = Cow::Owned(sum.to_string().into_bytes());
    let expires_at_ms = held.and_then(|held| held.expires_at_ms);
    (Effect::Put { value, expires_at_ms }, Answer::Integer(sum))
}

const fn shown(held: Option<Held<'_>>) -> Answer<'_> {
    match held {
        Some(held) => Answer::Bulk(Cow::Borrowed(held.value)),
        None => Answer::Nil,
    }
}

const fn flag<'h>(is: bool) -> Answer<'h> {
    Answer::Integer(is as i64)
}

const fn size<'h>(size: usize) -> Answer<'h> {
    Answer::Integer(size as i64)
}

fn within_limit(value: &[u8]) -> Option<&[u8]> {
    (value.len() <= VALUE_SIZE_MAX).then_some(value)
}

fn decode_set(body: &[u8]) -> Option<Action<'_>> {
    let (how, rest) = body.split_first()?;
    let reply = SetReply::of_kind(how >> REPLY_SHIFT)?;
    let (condition, value) = match how & CONDITION_MASK {
        0 => (Condition::Always, rest),
        1 => (Condition::Absent, rest),
        2 => (Condition::Present, rest),
        kind @ (3 | 4) => {
            let (size, rest) = rest.split_first_chunk::<4>()?;
            let (operand, value) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
            let operand = within_limit(operand)?;
            let equal = kind == 3;
            (if equal { Condition::Equal(operand) } else { Condition::Different(operand) }, value)
        }
        _ => return None,
    };
    Some(Action::Set { value: within_limit(value)?, condition, reply })
}

#[cfg(test)]
mod tests;
