//! Commands on strings: from arguments to operations.

use super::{
    CommandError, checked_key, checked_value,
    op::{Action, Condition, SetReply},
    table::{KeyName, Spec},
};
use crate::proto::{Args, integer};

/// What a command does to its key, the first of its arguments.
pub(super) fn action<'a>(
    spec: &'static Spec,
    name: KeyName,
    args: Args<'a>,
) -> Result<Action<'a>, CommandError<'a>> {
    Ok(match (name, args.get(2)) {
        (KeyName::Append, Some(value)) => Action::Append { value: checked_value(value)? },
        (KeyName::Decr, _) => Action::Increment { by: -1 },
        (KeyName::DecrBy, Some(by)) => {
            let by = number(by)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
            Action::Increment { by }
        }
        (KeyName::Get, _) => Action::Get,
        (KeyName::GetDel, _) => Action::GetDelete,
        (KeyName::GetSet, Some(value)) => {
            let value = checked_value(value)?;
            Action::Set { value, condition: Condition::Always, reply: SetReply::Held }
        }
        (KeyName::Incr, _) => Action::Increment { by: 1 },
        (KeyName::IncrBy, Some(by)) => Action::Increment { by: number(by)? },
        (KeyName::Set, Some(value)) => set(args, value)?,
        (KeyName::SetNx, Some(value)) => {
            let value = checked_value(value)?;
            Action::Set { value, condition: Condition::Absent, reply: SetReply::Flag }
        }
        (KeyName::Strlen, _) => Action::Strlen,
        (KeyName::Version, _) => Action::Version,
        // The table's arity already refused these.
        (
            KeyName::Append
            | KeyName::DecrBy
            | KeyName::GetSet
            | KeyName::IncrBy
            | KeyName::Set
            | KeyName::SetNx,
            None,
        ) => return Err(CommandError::Arity { spec }),
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

/// SET with its options, in any order. One condition at most; the same twice is one.
fn set<'a>(args: Args<'a>, value: &'a [u8]) -> Result<Action<'a>, CommandError<'a>> {
    let mut condition = Condition::Always;
    let mut reply = SetReply::Outcome;
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        let mut operand = || options.next().ok_or(CommandError::SetSyntax);
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let wanted = if is("get") {
            reply = SetReply::Held;
            continue;
        } else if is("ifeq") {
            Condition::Equal(checked_value(operand()?)?)
        } else if is("ifne") {
            Condition::Different(checked_value(operand()?)?)
        } else if is("nx") {
            Condition::Absent
        } else if is("xx") {
            Condition::Present
        } else {
            return Err(CommandError::SetSyntax);
        };
        if condition != Condition::Always && condition != wanted {
            return Err(CommandError::SetSyntax);
        }
        condition = wanted;
    }
    Ok(Action::Set { value: checked_value(value)?, condition, reply })
}

fn number<'a>(text: &[u8]) -> Result<i64, CommandError<'a>> {
    integer(text).ok_or(CommandError::NotAnInteger)
}
