//! Commands about connections and the server: from arguments to commands.

use super::{ClientAsk, Command, CommandAsk, CommandError};
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

/// CLIENT.
pub(super) fn client<'a>(
    args: Args<'a>,
    subcommand: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    let is = |name: &str| subcommand.eq_ignore_ascii_case(name.as_bytes());
    let takes = |count: usize, name| {
        if args.len() == count { Ok(()) } else { Err(CommandError::SubcommandArity { name }) }
    };
    let on_or_off = |name| match args.get(2) {
        Some(flag) if flag.eq_ignore_ascii_case(b"on") || flag.eq_ignore_ascii_case(b"off") => {
            takes(3, name)
        }
        Some(_) => Err(CommandError::Syntax),
        None => takes(3, name),
    };
    let ask = if is("getname") {
        takes(2, "client|getname")?;
        ClientAsk::GetName
    } else if is("id") {
        takes(2, "client|id")?;
        ClientAsk::Id
    } else if is("info") {
        takes(2, "client|info")?;
        ClientAsk::Info
    } else if is("no-evict") {
        on_or_off("client|no-evict")?;
        ClientAsk::Noted
    } else if is("no-touch") {
        on_or_off("client|no-touch")?;
        ClientAsk::Noted
    } else if is("setinfo") {
        takes(4, "client|setinfo")?;
        let attribute = args.get(2).unwrap_or_default();
        if !attribute.eq_ignore_ascii_case(b"lib-name")
            && !attribute.eq_ignore_ascii_case(b"lib-ver")
        {
            return Err(CommandError::ClientAttribute { attribute });
        }
        ClientAsk::Noted
    } else if is("setname") {
        takes(3, "client|setname")?;
        ClientAsk::SetName(checked_name(args.get(2).unwrap_or_default())?)
    } else {
        return Err(CommandError::UnknownSubcommand { command: "CLIENT", subcommand });
    };
    Ok(Command::Client(ask))
}

/// COMMAND.
pub(super) fn command<'a>(
    args: Args<'a>,
    subcommand: Option<&'a [u8]>,
) -> Result<Command<'a>, CommandError<'a>> {
    let Some(subcommand) = subcommand else {
        return Ok(Command::Command { ask: CommandAsk::Info, names: args.from(2) });
    };
    let is = |name: &str| subcommand.eq_ignore_ascii_case(name.as_bytes());
    let ask = if is("count") {
        CommandAsk::Count
    } else if is("docs") {
        CommandAsk::Docs
    } else if is("info") {
        CommandAsk::Info
    } else if is("list") {
        CommandAsk::List
    } else {
        return Err(CommandError::UnknownSubcommand { command: "COMMAND", subcommand });
    };
    match ask {
        CommandAsk::Count if args.len() > 2 => {
            Err(CommandError::SubcommandArity { name: "command|count" })
        }
        CommandAsk::List if args.len() > 2 => Err(CommandError::Syntax),
        CommandAsk::Count | CommandAsk::Docs | CommandAsk::Info | CommandAsk::List => {
            Ok(Command::Command { ask, names: args.from(2) })
        }
    }
}

/// CONFIG.
pub(super) fn config<'a>(
    args: Args<'a>,
    subcommand: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    if !subcommand.eq_ignore_ascii_case(b"get") {
        return Err(CommandError::UnknownSubcommand { command: "CONFIG", subcommand });
    }
    if args.len() < 3 {
        return Err(CommandError::SubcommandArity { name: "config|get" });
    }
    Ok(Command::ConfigGet { patterns: args.from(2) })
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

fn checked_name(name: &[u8]) -> Result<&[u8], CommandError<'_>> {
    let printable = name.iter().all(|byte| (b'!'..=b'~').contains(byte));
    let fits = printable && name.len() <= NAME_SIZE_MAX;
    if fits { Ok(name) } else { Err(CommandError::ClientName) }
}
