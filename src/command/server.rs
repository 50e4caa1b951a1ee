//! Commands about connections and the server: from arguments to commands.

use super::{ClientAsk, Command, CommandError};
use crate::proto::{Args, integer};

/// Bytes of a connection's name: as long as a host's full name with some more.
const NAME_SIZE_MAX: usize = 512;
/// What SCAN looks at unless told otherwise, as in Redis.
const SCAN_COUNT: u64 = 10;

/// AUTH.
pub(super) fn auth<'a>(
    args: Args<'a>,
    first: &'a [u8],
    second: Option<&'a [u8]>,
) -> Result<Command<'a>, CommandError<'a>> {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    Ok(Command::Auth { user: second.map(|_| first) })
}

/// HELLO.
pub(super) fn hello(args: Args<'_>) -> Result<Command<'_>, CommandError<'_>> {
    let version = match args.get(1) {
        None => None,
        Some(text) => match integer(text) {
            Some(version @ (2 | 3)) => Some(version as u8),
            Some(_) => return Err(CommandError::ProtocolVersion),
            None => return Err(CommandError::ProtocolNumber),
        },
    };
    let (mut user, mut name) = (None, None);
    let mut options = args.from(2).iter();
    while let Some(option) = options.next() {
        let wrong = CommandError::HelloOption { option };
        if option.eq_ignore_ascii_case(b"auth") {
            user = Some(options.next().ok_or(wrong)?);
            options.next().ok_or(wrong)?;
        } else if option.eq_ignore_ascii_case(b"setname") {
            name = Some(checked_name(options.next().ok_or(wrong)?)?);
        } else {
            return Err(wrong);
        }
    }
    Ok(Command::Hello { version, user, name })
}

/// CLIENT SETINFO.
pub(super) fn set_info(args: Args<'_>) -> Result<ClientAsk<'_>, CommandError<'_>> {
    let attribute = args.get(2).unwrap_or_default();
    let text = args.get(3).unwrap_or_default();
    let is_name = attribute.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !attribute.eq_ignore_ascii_case(b"lib-ver") {
        return Err(CommandError::ClientAttribute { attribute });
    }
    if checked_name(text).is_err() {
        return Err(CommandError::ClientText { attribute });
    }
    Ok(if is_name { ClientAsk::Library(text) } else { ClientAsk::LibraryVersion(text) })
}

/// SCAN.
pub(super) fn scan<'a>(args: Args<'a>, cursor: &[u8]) -> Result<Command<'a>, CommandError<'a>> {
    let cursor = str::from_utf8(cursor).ok().and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or(CommandError::CursorInvalid)?;
    let (mut pattern, mut count, mut nothing) = (None, SCAN_COUNT, false);
    let mut options = args.from(2).iter();
    while let Some(option) = options.next() {
        let operand = options.next().ok_or(CommandError::Syntax)?;
        if option.eq_ignore_ascii_case(b"match") {
            pattern = Some(operand);
        } else if option.eq_ignore_ascii_case(b"count") {
            let number = integer(operand).ok_or(CommandError::NotAnInteger)?;
            count = u64::try_from(number).ok().filter(|n| *n > 0).ok_or(CommandError::Syntax)?;
        } else if option.eq_ignore_ascii_case(b"type") {
            nothing = !operand.eq_ignore_ascii_case(b"string");
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(Command::Scan { cursor, pattern, count, nothing })
}

pub(super) fn checked_name(name: &[u8]) -> Result<&[u8], CommandError<'_>> {
    let printable = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    let fits = printable && name.len() <= NAME_SIZE_MAX;
    if fits { Ok(name) } else { Err(CommandError::ClientName) }
}
