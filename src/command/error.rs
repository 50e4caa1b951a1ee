//! Errors of requests that are no command: Redis' exact words for clients, words with advice for
//! people.

use std::fmt;

use super::{Called, op, spec::Spec, sub::Sub, table::lookup};
use crate::{
    proto::Args,
    record::{Db, KEY_SIZE_MAX, VALUE_SIZE_MAX},
};

/// Bytes of a client's own words that an error repeats, as in Redis.
const QUOTED_SIZE_MAX: usize = 128;

/// Why a request is no command. Nothing was done.
#[derive(Clone, Copy, Debug)]
pub enum CommandError<'a> {
    /// Not a number of arguments that the command takes.
    Arity {
        /// The command.
        spec: &'static Spec,
    },
    /// What needs no more words than its own.
    Fixed(&'static str),
    /// Something that there is not, by a client's own word.
    Quoting {
        /// What is said in front of it.
        text: &'static str,
        /// What it is.
        word: &'a [u8],
    },
    /// CLIENT SETINFO of something else than Redis knows.
    ClientAttribute {
        /// What it is.
        attribute: &'a [u8],
    },
    /// A connection's name with spaces or the like.
    ClientName,
    /// COPY to another database.
    CopyDb,
    /// The same in CLIENT SETINFO.
    ClientText {
        /// What it should be.
        attribute: &'a [u8],
    },
    /// Not a place that SCAN gave.
    CursorInvalid,
    /// SELECT of a number without database.
    DbRange,
    /// DECRBY of the one number that has no negative.
    DecrementOverflow,
    /// A condition on a hash that is none.
    DigestInvalid,
    /// An end that no time of day can be, or none where one is needed.
    ExpireTime {
        /// The command.
        spec: &'static Spec,
    },
    /// Options of EXPIRE that exclude each other: NX and any other.
    ExpireNx,
    /// Options of EXPIRE that exclude each other: GT and LT.
    ExpireGtLt,
    /// An option that there is not, by the client's own word and without quotes.
    Naming {
        /// What is said in front of it.
        text: &'static str,
        /// What it is.
        word: &'a [u8],
    },
    /// An option that HELLO does not have, or half of one.
    HelloOption {
        /// What it is.
        option: &'a [u8],
    },
    /// SELECT of something that is neither number nor name.
    InvalidDb,
    /// A key over [`KEY_SIZE_MAX`].
    KeySize {
        /// Its size.
        size: usize,
    },
    /// A bit that is neither 0 nor 1.
    NotABit,
    /// Not a place where a bit can be.
    NotABitOffset,
    /// Fewer keys than none.
    KeysNegative,
    /// More keys than arguments.
    KeysTooMany,
    /// LCS that asks for two things at once.
    LcsBoth,
    /// Not a number with a fraction where one is wanted.
    NotAFloat,
    /// COPY of a key to itself.
    SameKey,
    /// SCRIPT FLUSH with an option that it does not have.
    ScriptFlush,
    /// A place in front of the first byte.
    OffsetRange,
    /// Not a number where one is wanted.
    NotAnInteger,
    /// HELLO with something that is no number.
    ProtocolNumber,
    /// HELLO with a version of RESP that there is not.
    ProtocolVersion,
    /// SET with something behind its value that is no option, or options that exclude each other.
    SetSyntax,
    /// Not a number of arguments that the subcommand takes.
    SubcommandArity {
        /// The subcommand.
        sub: &'static Sub,
    },
    /// More arguments than the subcommand takes, which Redis finds out when it carries it out.
    SubcommandForm {
        /// The subcommand.
        sub: &'static Sub,
        /// As the client wrote it.
        subcommand: &'a [u8],
    },
    /// An option that the command does not have.
    Syntax,
    /// A span of time that is no number.
    TimeoutInvalid,
    /// A span of time below zero.
    TimeoutNegative,
    /// A value that would be over [`VALUE_SIZE_MAX`] after a write in its middle.
    TooLong,
    /// No such command.
    UnknownCommand {
        /// The whole request.
        args: Args<'a>,
    },
    /// No such subcommand.
    UnknownSubcommand {
        /// The command in capital letters.
        command: &'static str,
        /// What was asked for.
        subcommand: &'a [u8],
    },
    /// A value over [`VALUE_SIZE_MAX`].
    ValueSize {
        /// Its size.
        size: usize,
    },
}

impl<'a> CommandError<'a> {
    /// The command that does not take so many arguments, if that is what is wrong.
    #[must_use]
    pub fn called(self) -> Option<Called> {
        match self {
            Self::Arity { spec } => Some(Called { spec, sub: None }),
            Self::SubcommandArity { sub } => {
                let spec = lookup(sub.words().0.as_bytes())?;
                Some(Called { spec, sub: Some(sub) })
            }
            _ => None,
        }
    }

    /// The words of commands on several keys, and scripts.
    const fn of_several(&self) -> &'static str {
        match self {
            Self::KeysNegative => "ERR Number of keys can't be negative",
            Self::KeysTooMany => "ERR Number of keys can't be greater than number of args",
            Self::LcsBoth => "ERR If you want both the length and indexes, please just use IDX.",
            Self::SameKey => "ERR source and destination objects are the same",
            _ => "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
        }
    }

    /// The error in words with advice.
    #[must_use]
    pub const fn for_people(self) -> ForPeople<'a> {
        ForPeople(self)
    }
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Arity { spec } => write_arity(f, spec),
            Self::ClientAttribute { attribute } => {
                write!(f, "ERR Unrecognized option '{}'", lossy(attribute, QUOTED_SIZE_MAX))
            }
            Self::ClientName => f.write_str(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ),
            Self::CopyDb => f.write_str("ERR COPY to another database is not offered"),
            Self::ClientText { attribute } => write_client_text(f, attribute),
            Self::CursorInvalid => f.write_str("ERR invalid cursor"),
            Self::DbRange => f.write_str("ERR DB index is out of range"),
            Self::DecrementOverflow => f.write_str("ERR decrement would overflow"),
            Self::DigestInvalid => f.write_str("ERR must be exactly 16 hexadecimal characters"),
            Self::ExpireTime { spec } => {
                write!(f, "ERR invalid expire time in '{}' command", spec.name)
            }
            Self::ExpireNx => {
                f.write_str("ERR NX and XX, GT or LT options at the same time are not compatible")
            }
            Self::ExpireGtLt => {
                f.write_str("ERR GT and LT options at the same time are not compatible")
            }
            Self::Naming { text, word } => {
                write!(f, "ERR {text} {}", lossy(word, QUOTED_SIZE_MAX))
            }
            Self::NotABit => f.write_str("ERR bit is not an integer or out of range"),
            Self::NotABitOffset => f.write_str("ERR bit offset is not an integer or out of range"),
            Self::KeysNegative
            | Self::KeysTooMany
            | Self::LcsBoth
            | Self::SameKey
            | Self::ScriptFlush => f.write_str(self.of_several()),
            Self::NotAFloat => f.write_str(op::NOT_A_FLOAT),
            Self::OffsetRange => f.write_str("ERR offset is out of range"),
            Self::TooLong => f.write_str(op::TOO_LONG),
            Self::HelloOption { option } => {
                write!(f, "ERR Syntax error in HELLO option '{}'", lossy(option, QUOTED_SIZE_MAX))
            }
            Self::InvalidDb => f.write_str("ERR invalid DB index"),
            Self::KeySize { size } => {
                write!(f, "ERR key of {size} bytes is over the limit of {KEY_SIZE_MAX}")
            }
            Self::NotAnInteger => f.write_str(op::NOT_AN_INTEGER),
            Self::ProtocolNumber => {
                f.write_str("ERR Protocol version is not an integer or out of range")
            }
            Self::ProtocolVersion => f.write_str("NOPROTO unsupported protocol version"),
            Self::SetSyntax | Self::Syntax => f.write_str("ERR syntax error"),
            Self::SubcommandForm { sub, subcommand } => write_form(f, sub, subcommand),
            Self::SubcommandArity { sub } => {
                write!(f, "ERR wrong number of arguments for '{}' command", sub.name)
            }
            Self::Fixed(text) => f.write_str(text),
            Self::Quoting { text, word } => {
                write!(f, "ERR {text} '{}'", lossy(word, QUOTED_SIZE_MAX))
            }
            Self::TimeoutInvalid => f.write_str("ERR timeout is not an integer or out of range"),
            Self::TimeoutNegative => f.write_str("ERR timeout is negative"),
            Self::UnknownCommand { args } => write_unknown(f, args),
            Self::UnknownSubcommand { command, subcommand } => {
                let subcommand = lossy(subcommand, QUOTED_SIZE_MAX);
                write!(f, "ERR unknown subcommand '{subcommand}'. Try {command} HELP.")
            }
            Self::ValueSize { size } => {
                write!(f, "ERR value of {size} bytes is over the limit of {VALUE_SIZE_MAX}")
            }
        }
    }
}

impl std::error::Error for CommandError<'_> {}

/// A [`CommandError`] in words for people. The code and what clients match on stay the same.
#[derive(Clone, Copy, Debug)]
pub struct ForPeople<'a>(CommandError<'a>);

impl fmt::Display for ForPeople<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.0;
        match error {
            CommandError::Arity { spec } => write!(f, "{error}; usage: {}", spec.usage),
            CommandError::DbRange | CommandError::InvalidDb => {
                write!(f, "{error}; databases are")?;
                for db in Db::ALL {
                    let before = if db == Db::STRONG { "" } else { "," };
                    write!(f, "{before} {} ({})", db.number(), db.name())?;
                }
                Ok(())
            }
            CommandError::SetSyntax => {
                let usage = "SET takes one value: put it in quotes if it has spaces";
                write!(
                    f,
                    "{error}; {usage}; behind it one of NX, XX, IFEQ v, IFNE v, then GET, EX seconds"
                )
            }
            CommandError::Syntax => write!(f, "{error}; try HELP"),
            CommandError::UnknownCommand { args } => {
                let name = lossy(args.get(0).unwrap_or_default(), QUOTED_SIZE_MAX);
                write!(f, "ERR unknown command '{name}'; try HELP")
            }
            CommandError::UnknownSubcommand { subcommand, .. } => {
                let subcommand = lossy(subcommand, QUOTED_SIZE_MAX);
                write!(f, "ERR unknown subcommand '{subcommand}'; try HELP")
            }
            CommandError::SubcommandArity { sub } => {
                let (command, word) = sub.words();
                let (command, word) = (command.to_ascii_uppercase(), word.to_ascii_uppercase());
                let space = if sub.usage.is_empty() { "" } else { " " };
                write!(f, "{error}; usage: {command} {word}{space}{}", sub.usage)
            }
            CommandError::ClientAttribute { .. }
            | CommandError::ClientName
            | CommandError::CopyDb
            | CommandError::ClientText { .. }
            | CommandError::CursorInvalid
            | CommandError::DecrementOverflow
            | CommandError::DigestInvalid
            | CommandError::ExpireGtLt
            | CommandError::ExpireNx
            | CommandError::Naming { .. }
            | CommandError::ExpireTime { .. }
            | CommandError::NotABit
            | CommandError::NotABitOffset
            | CommandError::NotAFloat
            | CommandError::OffsetRange
            | CommandError::ProtocolNumber
            | CommandError::ProtocolVersion
            | CommandError::TooLong
            | CommandError::Fixed(_)
            | CommandError::HelloOption { .. }
            | CommandError::KeySize { .. }
            | CommandError::KeysNegative
            | CommandError::KeysTooMany
            | CommandError::LcsBoth
            | CommandError::NotAnInteger
            | CommandError::Quoting { .. }
            | CommandError::SameKey
            | CommandError::ScriptFlush
            | CommandError::SubcommandForm { .. }
            | CommandError::TimeoutInvalid
            | CommandError::TimeoutNegative
            | CommandError::ValueSize { .. } => error.fmt(f),
        }
    }
}

fn write_form(f: &mut fmt::Formatter<'_>, sub: &Sub, subcommand: &[u8]) -> fmt::Result {
    let (command, word) = (sub.words().0.to_ascii_uppercase(), lossy(subcommand, QUOTED_SIZE_MAX));
    let text = "ERR unknown subcommand or wrong number of arguments for";
    write!(f, "{text} '{word}'. Try {command} HELP.")
}

/// EXEC breaks its transaction off and says so.
fn write_arity(f: &mut fmt::Formatter<'_>, spec: &Spec) -> fmt::Result {
    if spec.name == "exec" {
        f.write_str("EXECABORT Transaction discarded because of: ")?;
    } else {
        f.write_str("ERR ")?;
    }
    write!(f, "wrong number of arguments for '{}' command", spec.name)
}

fn write_client_text(f: &mut fmt::Formatter<'_>, attribute: &[u8]) -> fmt::Result {
    let attribute = lossy(attribute, QUOTED_SIZE_MAX).to_string().to_lowercase();
    write!(f, "ERR {attribute} cannot contain spaces, newlines or special characters.")
}

/// The words of an unknown command, as far as Redis repeats them.
fn write_unknown(f: &mut fmt::Formatter<'_>, args: Args<'_>) -> fmt::Result {
    let name = lossy(args.get(0).unwrap_or_default(), QUOTED_SIZE_MAX);
    write!(f, "ERR unknown command '{name}', with args beginning with: ")?;
    let mut room = QUOTED_SIZE_MAX;
    for arg in args.from(1).iter() {
        if room == 0 {
            break;
        }
        write!(f, "'{}' ", lossy(arg, room))?;
        room = room.saturating_sub(arg.len().min(room) + 3);
    }
    Ok(())
}

/// At most `size_max` of a client's bytes as text.
fn lossy(bytes: &[u8], size_max: usize) -> impl fmt::Display {
    String::from_utf8_lossy(bytes.get(..size_max).unwrap_or(bytes))
}
