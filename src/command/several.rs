//! Commands on two keys and more, and scripts: from arguments to commands.

use super::{
    Command, CommandError, Script, ScriptAsk, batch::How, checked_key, checked_value, lcs::LcsAsk,
    spec::Name,
};
use crate::{
    proto::{Args, integer},
    record::Db,
};

/// COPY.
pub(super) fn copy<'a>(
    args: Args<'a>,
    from: &'a [u8],
    to: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    let (mut how, mut other_db) = (How::Copy, false);
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            how = How::Replace;
        } else if option.eq_ignore_ascii_case(b"db") {
            let number = options.next().ok_or(CommandError::Syntax)?;
            let number = integer(number).ok_or(CommandError::NotAnInteger)?;
            u8::try_from(number).ok().and_then(Db::new).ok_or(CommandError::DbRange)?;
            other_db = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if other_db {
        return Err(CommandError::CopyDb);
    }
    let (from, to) = (checked_key(from)?, checked_key(to)?);
    if from == to {
        return Err(CommandError::SameKey);
    }
    Ok(Command::Copy { name: "COPY", from, to, how })
}

/// RENAME and RENAMENX.
pub(super) const fn rename<'a>(
    kind: Name,
    from: &'a [u8],
    to: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    let (name, how) = match kind {
        Name::RenameNx => ("RENAMENX", How::MoveUnlessTaken),
        _ => ("RENAME", How::Move),
    };
    match (checked_key(from), checked_key(to)) {
        (Ok(from), Ok(to)) => Ok(Command::Copy { name, from, to, how }),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// LCS.
pub(super) fn lcs<'a>(
    args: Args<'a>,
    first: &'a [u8],
    second: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    let (mut length, mut places, mut with_length, mut least) = (false, false, false, 0);
    let mut options = args.from(3).iter();
    while let Some(option) = options.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("idx") {
            places = true;
        } else if is("len") {
            length = true;
        } else if is("withmatchlen") {
            with_length = true;
        } else if is("minmatchlen") {
            let number = options.next().ok_or(CommandError::Syntax)?;
            let number = integer(number).ok_or(CommandError::NotAnInteger)?;
            least = usize::try_from(number).unwrap_or(0);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    checked_key(first)?;
    checked_key(second)?;
    let ask = match (length, places) {
        (true, true) => return Err(CommandError::LcsBoth),
        (true, false) => LcsAsk::Length,
        (false, true) => LcsAsk::Places { least, with_length },
        (false, false) => LcsAsk::Text,
    };
    Ok(Command::Lcs { keys: args.from(1).first(2), ask })
}

/// EVAL and EVALSHA.
pub(super) fn eval<'a>(
    args: Args<'a>,
    kind: Name,
    script: &'a [u8],
    count: &[u8],
) -> Result<Command<'a>, CommandError<'a>> {
    let script = if kind == Name::Eval { Script::Text(script) } else { Script::Hash(script) };
    let count = integer(count).ok_or(CommandError::NotAnInteger)?;
    let operands = args.from(3);
    if count > operands.len() as i64 {
        return Err(CommandError::KeysTooMany);
    }
    let count = usize::try_from(count).map_err(|_| CommandError::KeysNegative)?;
    let keys = operands.first(count);
    for key in keys.iter() {
        checked_key(key)?;
    }
    for value in operands.from(count).iter() {
        checked_value(value)?;
    }
    Ok(Command::Eval { script, keys, operands })
}

/// SCRIPT FLUSH.
pub(super) fn script_flush(args: Args<'_>) -> Result<ScriptAsk<'_>, CommandError<'_>> {
    let option = args.get(2).unwrap_or(b"sync");
    let known = option.eq_ignore_ascii_case(b"sync") || option.eq_ignore_ascii_case(b"async");
    if known && args.len() <= 3 { Ok(ScriptAsk::Flush) } else { Err(CommandError::ScriptFlush) }
}
