//! The bytes of operations, for a node that carries them out for another.
//!
//! ```text
//!  0  kind      u8
//!  1  key size  u16
//!  3  key
//!     by kind: nothing, numbers, flags; how, if there is a condition, a reply or an expiry; a value
//!     how       u8   bits 0-3 condition, bits 4-5 reply, bits 6-7 expiry
//!     expiry    i64  only At and In
//!     operand   of the condition, if it has one: a hash u64, or its size u32 and its bytes
//! ```
//! Integers are little-endian. What follows the last field is the value, up to the end.

#![deny(clippy::indexing_slicing)]

use super::{Action, BIT_OFFSET_MAX, Condition, Expiry, Op, SetReply, TimeForm, Unit, When, float};
use crate::record::{KEY_SIZE_MAX, VALUE_SIZE_MAX};

/// The longest encoded operation, in bytes: a SET with an operand.
pub const OP_SIZE_MAX: usize = HEAD_SIZE + KEY_SIZE_MAX + 13 + 2 * VALUE_SIZE_MAX;

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
pub(super) const BIT_COUNT: u8 = 10;
pub(super) const DELETE_IF: u8 = 11;
pub(super) const DIGEST: u8 = 12;
pub(super) const ENCODING: u8 = 13;
pub(super) const EXPIRE: u8 = 14;
pub(super) const GET_BIT: u8 = 15;
pub(super) const GET_EXPIRE: u8 = 16;
pub(super) const GET_RANGE: u8 = 17;
pub(super) const INCREMENT_FLOAT: u8 = 18;
pub(super) const PERSIST: u8 = 19;
pub(super) const SET_BIT: u8 = 20;
pub(super) const SET_RANGE: u8 = 21;
pub(super) const TTL: u8 = 22;
pub(super) const TYPE: u8 = 23;
pub(super) const EXTEND: u8 = 24;
pub(super) const UNTRACKED: u8 = 25;
pub(super) const INCREMENT_HELD: u8 = 26;

const REPLY_SHIFT: u8 = 4;
const EXPIRY_SHIFT: u8 = 6;
pub(super) const CONDITION_MASK: u8 = 0b1111;
const REPLY_MASK: u8 = 0b11;

impl<'a> Op<'a> {
    /// How many bytes [`Op::encode`] writes.
    #[must_use]
    pub const fn size(&self) -> usize {
        let body = match self.action {
            Action::Append { value } | Action::IncrementFloat { by: value } => value.len(),
            Action::BitCount { range: Some(_), .. } => 17,
            Action::BitCount { range: None, .. }
            | Action::Ttl { .. }
            | Action::Untracked { .. } => 1,
            Action::DeleteIf { condition } => 1 + condition.size(),
            Action::Expire { expiry, .. } => 2 + expiry.size(),
            Action::Extend { value, .. } => 9 + value.len(),
            Action::GetBit { .. } => 4,
            Action::GetExpire { expiry } => 1 + expiry.size(),
            Action::GetRange { .. } => 16,
            Action::Increment { .. } | Action::IncrementHeld { .. } => 8,
            Action::Set { value, condition, expiry, .. } => {
                1 + expiry.size() + condition.size() + value.len()
            }
            Action::SetBit { .. } => 5,
            Action::SetRange { value, .. } => 4 + value.len(),
            Action::Delete
            | Action::Digest
            | Action::Encoding
            | Action::Exists
            | Action::Get
            | Action::GetDelete
            | Action::Persist
            | Action::Strlen
            | Action::Type
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
            Action::Append { value } | Action::IncrementFloat { by: value } => {
                out.extend_from_slice(value);
            }
            Action::BitCount { range, unit } => {
                out.push(u8::from(unit == Unit::Bit));
                for place in range.into_iter().flat_map(|(start, end)| [start, end]) {
                    out.extend_from_slice(&place.to_le_bytes());
                }
            }
            Action::DeleteIf { condition } => {
                encode_how(out, condition, SetReply::Flag, Expiry::Never);
            }
            Action::Expire { expiry, when } => {
                encode_how(out, Condition::Always, SetReply::Flag, expiry);
                let flags = [when.never, when.ends, when.later, when.earlier];
                out.push(flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(flag)));
            }
            Action::Extend { value, by, add, ends } => {
                out.push(u8::from(add) | u8::from(ends) << 1);
                out.extend_from_slice(&by.to_le_bytes());
                out.extend_from_slice(value);
            }
            Action::GetBit { offset } => out.extend_from_slice(&offset.to_le_bytes()),
            Action::GetExpire { expiry } => {
                encode_how(out, Condition::Always, SetReply::Held, expiry);
            }
            Action::GetRange { start, end } => {
                out.extend_from_slice(&start.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
            Action::Increment { by } | Action::IncrementHeld { by } => {
                out.extend_from_slice(&by.to_le_bytes());
            }
            Action::Set { value, condition, reply, expiry } => {
                debug_assert!(value.len() <= VALUE_SIZE_MAX);
                encode_how(out, condition, reply, expiry);
                out.extend_from_slice(value);
            }
            Action::SetBit { offset, on } => {
                out.extend_from_slice(&offset.to_le_bytes());
                out.push(u8::from(on));
            }
            Action::SetRange { offset, value } => {
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(value);
            }
            Action::Ttl { form } => {
                out.push(u8::from(form.millis) | u8::from(form.absolute) << 1);
            }
            Action::Untracked { idle } => out.push(u8::from(idle)),
            Action::Delete
            | Action::Digest
            | Action::Encoding
            | Action::Exists
            | Action::Get
            | Action::GetDelete
            | Action::Persist
            | Action::Strlen
            | Action::Type
            | Action::Version => {}
        }
    }

    /// Reads the operation that fills `bytes` exactly. `None` if no [`Op::encode`] writes them.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let ([kind, k0, k1], rest) = bytes.split_first_chunk::<HEAD_SIZE>()?;
        let (key, mut body) = rest.split_at_checked(usize::from(u16::from_le_bytes([*k0, *k1])))?;
        let action = decode_action(*kind, &mut body)?;
        body.is_empty().then_some(Self { key, action })
    }
}

fn decode_action<'a>(kind: u8, body: &mut &'a [u8]) -> Option<Action<'a>> {
    Some(match kind {
        APPEND => Action::Append { value: rest(body)? },
        BIT_COUNT => {
            let unit = if bits(body, 1)? == 1 { Unit::Bit } else { Unit::Byte };
            let range = if body.is_empty() { None } else { Some((long(body)?, long(body)?)) };
            Action::BitCount { range, unit }
        }
        DELETE => Action::Delete,
        DELETE_IF => {
            let (condition, SetReply::Flag, Expiry::Never) = decode_how(body)? else { return None };
            Action::DeleteIf { condition }
        }
        DIGEST => Action::Digest,
        ENCODING => Action::Encoding,
        EXISTS => Action::Exists,
        EXPIRE => {
            let how = decode_how(body)?;
            let (Condition::Always, SetReply::Flag, expiry @ (Expiry::At(_) | Expiry::In(_))) = how
            else {
                return None;
            };
            let flags = bits(body, 0b1111)?;
            let [never, ends, later, earlier] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
            Action::Expire { expiry, when: When { never, ends, later, earlier } }
        }
        EXTEND => {
            let flags = bits(body, 0b11)?;
            let (by, add, ends) = (long(body)?, flags & 1 != 0, flags & 2 != 0);
            Action::Extend { value: rest(body)?, by, add, ends }
        }
        GET => Action::Get,
        GET_BIT => Action::GetBit { offset: bit_offset(body)? },
        GET_DELETE => Action::GetDelete,
        GET_EXPIRE => {
            let (Condition::Always, SetReply::Held, expiry) = decode_how(body)? else {
                return None;
            };
            (expiry != Expiry::Keep).then_some(Action::GetExpire { expiry })?
        }
        GET_RANGE => Action::GetRange { start: long(body)?, end: long(body)? },
        INCREMENT => Action::Increment { by: long(body)? },
        INCREMENT_HELD => Action::IncrementHeld { by: long(body)? },
        INCREMENT_FLOAT => {
            let by = rest(body)?;
            float(by).map(|_| Action::IncrementFloat { by })?
        }
        PERSIST => Action::Persist,
        SET => {
            let (condition, reply, expiry) = decode_how(body)?;
            Action::Set { value: rest(body)?, condition, reply, expiry }
        }
        SET_BIT => Action::SetBit { offset: bit_offset(body)?, on: bits(body, 1)? == 1 },
        SET_RANGE => {
            let offset = u32::from_le_bytes(*chunk(body)?);
            Action::SetRange { offset, value: rest(body)? }
        }
        STRLEN => Action::Strlen,
        TTL => {
            let flags = bits(body, 0b11)?;
            Action::Ttl { form: TimeForm { millis: flags & 1 != 0, absolute: flags & 2 != 0 } }
        }
        TYPE => Action::Type,
        UNTRACKED => Action::Untracked { idle: bits(body, 1)? == 1 },
        VERSION => Action::Version,
        _ => return None,
    })
}

impl Action<'_> {
    const fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => APPEND,
            Self::BitCount { .. } => BIT_COUNT,
            Self::Delete => DELETE,
            Self::DeleteIf { .. } => DELETE_IF,
            Self::Digest => DIGEST,
            Self::Encoding => ENCODING,
            Self::Exists => EXISTS,
            Self::Expire { .. } => EXPIRE,
            Self::Extend { .. } => EXTEND,
            Self::Get => GET,
            Self::GetBit { .. } => GET_BIT,
            Self::GetDelete => GET_DELETE,
            Self::GetExpire { .. } => GET_EXPIRE,
            Self::GetRange { .. } => GET_RANGE,
            Self::Increment { .. } => INCREMENT,
            Self::IncrementHeld { .. } => INCREMENT_HELD,
            Self::IncrementFloat { .. } => INCREMENT_FLOAT,
            Self::Persist => PERSIST,
            Self::Set { .. } => SET,
            Self::SetBit { .. } => SET_BIT,
            Self::SetRange { .. } => SET_RANGE,
            Self::Strlen => STRLEN,
            Self::Ttl { .. } => TTL,
            Self::Type => TYPE,
            Self::Untracked { .. } => UNTRACKED,
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
            Self::DigestEqual(_) => 5,
            Self::DigestDifferent(_) => 6,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Absent | Self::Always | Self::Present => 0,
            Self::Different(operand) | Self::Equal(operand) => 4 + operand.len(),
            Self::DigestDifferent(_) | Self::DigestEqual(_) => 8,
        }
    }
}

impl Expiry {
    const fn kind(self) -> u8 {
        match self {
            Self::Never => 0,
            Self::Keep => 1,
            Self::At(_) => 2,
            Self::In(_) => 3,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::At(_) | Self::In(_) => 8,
            Self::Keep | Self::Never => 0,
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

fn encode_how(out: &mut Vec<u8>, condition: Condition<'_>, reply: SetReply, expiry: Expiry) {
    out.push(condition.kind() | reply.kind() << REPLY_SHIFT | expiry.kind() << EXPIRY_SHIFT);
    if let Expiry::At(time) | Expiry::In(time) = expiry {
        out.extend_from_slice(&time.to_le_bytes());
    }
    match condition {
        Condition::Different(operand) | Condition::Equal(operand) => {
            debug_assert!(operand.len() <= VALUE_SIZE_MAX);
            out.extend_from_slice(&(operand.len() as u32).to_le_bytes());
            out.extend_from_slice(operand);
        }
        Condition::DigestDifferent(hash) | Condition::DigestEqual(hash) => {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        Condition::Absent | Condition::Always | Condition::Present => {}
    }
}

fn decode_how<'a>(body: &mut &'a [u8]) -> Option<(Condition<'a>, SetReply, Expiry)> {
    let [how] = *chunk(body)?;
    let reply = SetReply::of_kind(how >> REPLY_SHIFT & REPLY_MASK)?;
    let expiry = match how >> EXPIRY_SHIFT {
        0 => Expiry::Never,
        1 => Expiry::Keep,
        2 => Expiry::At(long(body)?),
        _ => Expiry::In(long(body)?),
    };
    let condition = match how & CONDITION_MASK {
        0 => Condition::Always,
        1 => Condition::Absent,
        2 => Condition::Present,
        3 => Condition::Equal(operand(body)?),
        4 => Condition::Different(operand(body)?),
        5 => Condition::DigestEqual(u64::from_le_bytes(*chunk(body)?)),
        6 => Condition::DigestDifferent(u64::from_le_bytes(*chunk(body)?)),
        _ => return None,
    };
    Some((condition, reply, expiry))
}

fn operand<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = u32::from_le_bytes(*chunk(body)?) as usize;
    let (operand, rest) = body.split_at_checked(size)?;
    *body = rest;
    (operand.len() <= VALUE_SIZE_MAX).then_some(operand)
}

/// All that is left, as a value.
fn rest<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let rest = std::mem::take(body);
    (rest.len() <= VALUE_SIZE_MAX).then_some(rest)
}

fn chunk<'a, const N: usize>(body: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(chunk)
}

/// A byte without bits besides these.
fn bits(body: &mut &[u8], allowed: u8) -> Option<u8> {
    let [byte] = *chunk(body)?;
    (byte & !allowed == 0).then_some(byte)
}

fn long(body: &mut &[u8]) -> Option<i64> {
    chunk(body).copied().map(i64::from_le_bytes)
}

fn bit_offset(body: &mut &[u8]) -> Option<u32> {
    let offset = u32::from_le_bytes(*chunk(body)?);
    (offset <= BIT_OFFSET_MAX).then_some(offset)
}
