//! Commands on strings: from arguments to operations.

use super::{
    CommandError, checked_key, checked_value,
    expiry::{self, Timed},
    op::{Action, BIT_OFFSET_MAX, Condition, Expiry, SetReply, Unit, float},
    spec::{KeyName, Spec},
};
use crate::{
    proto::{Args, integer},
    record::VALUE_SIZE_MAX,
};

/// What a command does to its key, the first of its arguments.
pub(super) fn action<'a>(
    spec: &'static Spec,
    name: KeyName,
    args: Args<'a>,
) -> Result<Action<'a>, CommandError<'a>> {
    // The table's arity has seen to it that those are there which a command needs.
    let (second, third) = (args.get(2).unwrap_or_default(), args.get(3).unwrap_or_default());
    Ok(match name {
        KeyName::Append => Action::Append { value: checked_value(second)? },
        KeyName::BitCount => bit_count(args)?,
        KeyName::Decr => Action::Increment { by: -1 },
        KeyName::DecrBy => {
            let by = number(second)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
            Action::Increment { by }
        }
        KeyName::DelEx => del_ex(spec, args)?,
        KeyName::Digest => Action::Digest,
        KeyName::Expire | KeyName::ExpireAt | KeyName::PExpire | KeyName::PExpireAt => {
            expiry::expire(spec, name, args, second)?
        }
        KeyName::ExpireTime | KeyName::PExpireTime | KeyName::PTtl | KeyName::Ttl => {
            expiry::ttl(name)
        }
        KeyName::Get => Action::Get,
        KeyName::GetBit => Action::GetBit { offset: bit_offset(second)? },
        KeyName::GetDel => Action::GetDelete,
        KeyName::GetEx => expiry::get_ex(spec, args)?,
        KeyName::GetRange => Action::GetRange { start: number(second)?, end: number(third)? },
        KeyName::GetSet => plain(second, Condition::Always, SetReply::Held)?,
        KeyName::Incr => Action::Increment { by: 1 },
        KeyName::IncrBy => Action::Increment { by: number(second)? },
        KeyName::IncrByFloat => {
            float(second).ok_or(CommandError::NotAFloat)?;
            Action::IncrementFloat { by: second }
        }
        KeyName::PSetEx | KeyName::SetEx => {
            let scale = if name == KeyName::SetEx { 1000 } else { 1 };
            let expiry = expiry::positive(spec, second, scale, false)?;
            let (condition, reply) = (Condition::Always, SetReply::Outcome);
            Action::Set { value: checked_value(third)?, condition, reply, expiry }
        }
        KeyName::Persist => Action::Persist,
        KeyName::Set => set(spec, args, second)?,
        KeyName::SetBit => {
            let offset = bit_offset(second)?;
            match integer(third) {
                Some(bit @ (0 | 1)) => Action::SetBit { offset, on: bit == 1 },
                Some(_) | None => return Err(CommandError::NotABit),
            }
        }
        KeyName::SetNx => plain(second, Condition::Absent, SetReply::Flag)?,
        KeyName::SetRange => set_range(second, third)?,
        KeyName::Strlen => Action::Strlen,
        KeyName::Type => Action::Type,
        KeyName::Version => Action::Version,
    })
}

/// The keys and values of MSET.
pub(super) fn pairs<'a>(spec: &'static Spec, args: Args<'a>) -> Result<Args<'a>, CommandError<'a>> {
    let pairs = args.from(1);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::Arity { spec });
    }
    for (key, value) in pairs.pairs() {
        checked_key(key)?;
        checked_value(value)?;
    }
    Ok(pairs)
}

fn plain<'a>(
    value: &'a [u8],
    condition: Condition<'a>,
    reply: SetReply,
) -> Result<Action<'a>, CommandError<'a>> {
    let value = checked_value(value)?;
    Ok(Action::Set { value, condition, reply, expiry: Expiry::Never })
}

/// SET with its options, in any order. One condition at most, the same twice is one; one time at
/// most.
fn set<'a>(
    spec: &'static Spec,
    args: Args<'a>,
    value: &'a [u8],
) -> Result<Action<'a>, CommandError<'a>> {
    let (mut condition, mut reply, mut end) = (Condition::Always, SetReply::Outcome, None);
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        let mut operand = || options.next().ok_or(CommandError::SetSyntax);
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let wanted = if is("get") {
            reply = SetReply::Held;
            continue;
        } else if is("keepttl") {
            let keep = Timed::Fixed(Expiry::Keep);
            keep.replace(&mut end).map_err(|()| CommandError::SetSyntax)?;
            continue;
        } else if let Some(timed) = expiry::timed(option, &mut operand)? {
            timed.replace(&mut end).map_err(|()| CommandError::SetSyntax)?;
            continue;
        } else if is("nx") {
            Condition::Absent
        } else if is("xx") {
            Condition::Present
        } else {
            compared(option, operand)?.ok_or(CommandError::SetSyntax)?
        };
        if condition != Condition::Always && condition != wanted {
            return Err(CommandError::SetSyntax);
        }
        condition = wanted;
    }
    let expiry = end.unwrap_or(Timed::Fixed(Expiry::Never)).expiry(spec)?;
    Ok(Action::Set { value: checked_value(value)?, condition, reply, expiry })
}

/// A condition on the value that is held, if the option is one.
fn compared<'a>(
    option: &[u8],
    mut operand: impl FnMut() -> Result<&'a [u8], CommandError<'a>>,
) -> Result<Option<Condition<'a>>, CommandError<'a>> {
    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
    Ok(Some(if is("ifeq") {
        Condition::Equal(checked_value(operand()?)?)
    } else if is("ifne") {
        Condition::Different(checked_value(operand()?)?)
    } else if is("ifdeq") {
        Condition::DigestEqual(hash(operand()?)?)
    } else if is("ifdne") {
        Condition::DigestDifferent(hash(operand()?)?)
    } else {
        return Ok(None);
    }))
}

/// DELEX.
fn del_ex<'a>(spec: &'static Spec, args: Args<'a>) -> Result<Action<'a>, CommandError<'a>> {
    let Some(option) = args.get(2) else { return Ok(Action::Delete) };
    if args.len() != 4 {
        return Err(CommandError::Arity { spec });
    }
    let condition = compared(option, || args.get(3).ok_or(CommandError::Syntax))?;
    Ok(Action::DeleteIf { condition: condition.ok_or(CommandError::Syntax)? })
}

/// As DIGEST shows it.
fn hash<'a>(text: &[u8]) -> Result<u64, CommandError<'a>> {
    let digits = str::from_utf8(text)
        .ok()
        .filter(|text| text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let hash = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    hash.ok_or(CommandError::DigestInvalid)
}

/// BITCOUNT.
fn bit_count(args: Args<'_>) -> Result<Action<'_>, CommandError<'_>> {
    let (start, end, unit) = (args.get(2), args.get(3), args.get(4));
    let unit = match unit {
        None => Unit::Byte,
        Some(unit) if unit.eq_ignore_ascii_case(b"byte") => Unit::Byte,
        Some(unit) if unit.eq_ignore_ascii_case(b"bit") => Unit::Bit,
        Some(_) => return Err(CommandError::Syntax),
    };
    match (start, end, args.len()) {
        (None, _, _) => Ok(Action::BitCount { range: None, unit }),
        (Some(start), Some(end), 4 | 5) => {
            Ok(Action::BitCount { range: Some((number(start)?, number(end)?)), unit })
        }
        (Some(_), _, _) => Err(CommandError::Syntax),
    }
}

/// SETRANGE.
fn set_range<'a>(offset: &[u8], value: &'a [u8]) -> Result<Action<'a>, CommandError<'a>> {
    let offset = u64::try_from(number(offset)?).map_err(|_| CommandError::OffsetRange)?;
    let value = checked_value(value)?;
    let fits = offset <= (VALUE_SIZE_MAX - value.len()) as u64 || value.is_empty();
    match u32::try_from(offset) {
        Ok(offset) if fits => Ok(Action::SetRange { offset, value }),
        Ok(_) | Err(_) => Err(CommandError::TooLong),
    }
}

fn bit_offset<'a>(text: &[u8]) -> Result<u32, CommandError<'a>> {
    let offset = integer(text).and_then(|offset| u32::try_from(offset).ok());
    offset.filter(|offset| *offset <= BIT_OFFSET_MAX).ok_or(CommandError::NotABitOffset)
}

fn number<'a>(text: &[u8]) -> Result<i64, CommandError<'a>> {
    integer(text).ok_or(CommandError::NotAnInteger)
}
