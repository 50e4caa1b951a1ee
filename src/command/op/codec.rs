//! The bytes of operations, for a node that carries them out for another.
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

#![deny(clippy::indexing_slicing)]

use super::{Action, Condition, Op, SetReply};
use crate::record::{KEY_SIZE_MAX, VALUE_SIZE_MAX};

/// The longest encoded operation, in bytes: a SET with an operand.
pub const OP_SIZE_MAX: usize = HEAD_SIZE + KEY_SIZE_MAX + 5 + 2 * VALUE_SIZE_MAX;

const HEAD_SIZE: usize = 3;

pub(super) const APPEND: u8 = 1;
pub(super) const DELETE: u8 = 2;
pub(super) const EXISTS: u8 = 3;
pub(super) const GET: u8 = 4;
pub(super) const GET_DELETE: u8 = 5;
pub(super) const INCREMENT: u8 = 6;
pub(super) const SET: u8 = 7;
pub(super) const STRLEN: u8 = 8;
pub(super) const VERSION: u8 = 9;

pub(super) const REPLY_SHIFT: u8 = 4;
pub(super) const CONDITION_MASK: u8 = 0b1111;

impl<'a> Op<'a> {
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

impl Condition<'_> {
    const fn kind(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::Absent => 1,
            Self::Present => 2,
            Self::Equal(_) => 3,
            Self::Different(_) => 4,
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
