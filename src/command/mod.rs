//! Commands: what a request's arguments ask for.
//!
//! Owns the way from [`Args`] to a [`Command`] whose parts are named and checked: sizes, numbers,
//! options. The table of all commands is in [`table`], its text for people in [`help`]. A command
//! borrows its arguments, and parsing one allocates nothing. It refuses to carry anything out:
//! [`crate::conn`] answers what concerns a connection alone, the node the rest.
//!
//! Errors have Redis' exact words for clients ([`CommandError`]'s `Display`) and words with advice
//! for people ([`CommandError::for_people`]). Options that a command does not know are errors,
//! never ignored.

pub mod help;
pub mod op;
pub mod table;

use std::fmt;

use self::table::{Name, Spec};
use crate::{
    proto::{Args, Dialect, integer},
    record::{Db, KEY_SIZE_MAX, VALUE_SIZE_MAX},
};

/// Bytes of a client's own words that an error repeats, as in Redis.
const QUOTED_SIZE_MAX: usize = 128;

/// A request understood.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// COMMAND and any of its subcommands: about the table, in a form that only clients read.
    Command,
    /// CONFIG GET.
    ConfigGet,
    /// DBSIZE.
    DbSize,
    /// DEL or UNLINK.
    Del {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// ECHO.
    Echo {
        /// What to say.
        message: &'a [u8],
    },
    /// EXISTS.
    Exists {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// FLUSHDB.
    FlushDb,
    /// GET.
    Get {
        /// Of a right size.
        key: &'a [u8],
    },
    /// HELP.
    Help {
        /// The command to explain; all of them without.
        topic: Option<&'a [u8]>,
    },
    /// INFO.
    Info {
        /// The section to show; all of them without.
        section: Option<&'a [u8]>,
    },
    /// LASTSAVE.
    LastSave,
    /// PING.
    Ping {
        /// What to say instead of PONG.
        message: Option<&'a [u8]>,
    },
    /// PROTO.
    Proto {
        /// What the connection's requests are from now on.
        dialect: Dialect,
    },
    /// QUIT.
    Quit,
    /// SAVE or BGSAVE.
    Save {
        /// Whether the reply does not wait for the checkpoint.
        background: bool,
    },
    /// SELECT.
    Select {
        /// The database for what follows.
        db: Db,
    },
    /// SET.
    Set {
        /// Of a right size.
        key: &'a [u8],
        /// Of a right size.
        value: &'a [u8],
    },
}

impl<'a> Command<'a> {
    /// Understands a request.
    ///
    /// # Errors
    /// If there is no such command, or it does not take such arguments.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError<'a>> {
        let unknown = CommandError::UnknownCommand { args };
        let Some(spec) = args.get(0).and_then(table::lookup) else { return Err(unknown) };
        if !spec.takes(args.len()) {
            return Err(CommandError::Arity { spec });
        }
        let (first, second) = (args.get(1), args.get(2));
        Ok(match (spec.kind, first, second) {
            (Name::Command, _, _) => Self::Command,
            (Name::Config, Some(subcommand), _) => config(args, subcommand)?,
            (Name::BgSave, option, None) => bg_save(option)?,
            (Name::DbSize, _, _) => Self::DbSize,
            (Name::Del, _, _) => Self::Del { keys: keys(args)? },
            (Name::Echo, Some(message), _) => Self::Echo { message },
            (Name::Exists, _, _) => Self::Exists { keys: keys(args)? },
            (Name::FlushDb, option, None) => flush_db(option)?,
            (Name::Get, Some(key), _) => Self::Get { key: checked_key(key)? },
            (Name::Help, topic, None) => Self::Help { topic },
            (Name::Info, section, None) => Self::Info { section },
            (Name::LastSave, _, _) => Self::LastSave,
            (Name::Ping, message, None) => Self::Ping { message },
            (Name::Proto, Some(name), _) => proto(name)?,
            (Name::Quit, _, _) => Self::Quit,
            (Name::Save, _, _) => Self::Save { background: false },
            (Name::Select, Some(name), _) => Self::Select { db: database(name)? },
            (Name::Set, Some(key), Some(value)) => set(args, key, value)?,
            // Redis checks the most that PING takes by hand, with the words for its arity.
            (Name::Help | Name::Ping, _, Some(_)) => return Err(CommandError::Arity { spec }),
            (Name::BgSave | Name::FlushDb | Name::Info, _, Some(_)) => {
                return Err(CommandError::Syntax);
            }
            // The table's arity already refused these.
            (Name::Config | Name::Echo | Name::Get | Name::Proto | Name::Select, None, _)
            | (Name::Set, _, _) => return Err(CommandError::Arity { spec }),
        })
    }
}

/// Redis can put a save off until its rewriting of the log is done; here there is nothing to wait
/// for.
const fn bg_save<'a>(option: Option<&'a [u8]>) -> Result<Command<'a>, CommandError<'a>> {
    match option {
        Some(option) if !option.eq_ignore_ascii_case(b"schedule") => Err(CommandError::Syntax),
        Some(_) | None => Ok(Command::Save { background: true }),
    }
}

fn config<'a>(args: Args<'a>, subcommand: &'a [u8]) -> Result<Command<'a>, CommandError<'a>> {
    if !subcommand.eq_ignore_ascii_case(b"get") {
        return Err(CommandError::UnknownSubcommand { command: "CONFIG", subcommand });
    }
    if args.len() < 3 {
        return Err(CommandError::SubcommandArity { name: "config|get" });
    }
    Ok(Command::ConfigGet)
}

fn keys(args: Args<'_>) -> Result<Args<'_>, CommandError<'_>> {
    let keys = args.from(1);
    for key in keys.iter() {
        checked_key(key)?;
    }
    Ok(keys)
}

const fn checked_key(key: &[u8]) -> Result<&[u8], CommandError<'_>> {
    if key.len() > KEY_SIZE_MAX {
        return Err(CommandError::KeySize { size: key.len() });
    }
    Ok(key)
}

fn flush_db(option: Option<&[u8]>) -> Result<Command<'_>, CommandError<'_>> {
    match option {
        Some(option)
            if !option.eq_ignore_ascii_case(b"async") && !option.eq_ignore_ascii_case(b"sync") =>
        {
            Err(CommandError::Syntax)
        }
        Some(_) | None => Ok(Command::FlushDb),
    }
}

fn proto(name: &[u8]) -> Result<Command<'_>, CommandError<'_>> {
    if name.eq_ignore_ascii_case(b"text") {
        Ok(Command::Proto { dialect: Dialect::Text })
    } else if name.eq_ignore_ascii_case(b"resp") {
        Ok(Command::Proto { dialect: Dialect::Resp })
    } else {
        Err(CommandError::Syntax)
    }
}

fn database(name: &[u8]) -> Result<Db, CommandError<'_>> {
    let named = |db: &Db| name.eq_ignore_ascii_case(db.name().as_bytes());
    if let Some(db) = Db::ALL.into_iter().find(named) {
        return Ok(db);
    }
    let number = integer(name).ok_or(CommandError::InvalidDb)?;
    u8::try_from(number).ok().and_then(Db::new).ok_or(CommandError::DbRange)
}

fn set<'a>(
    args: Args<'a>,
    key: &'a [u8],
    value: &'a [u8],
) -> Result<Command<'a>, CommandError<'a>> {
    if args.len() > 3 {
        return Err(CommandError::SetSyntax);
    }
    let key = checked_key(key)?;
    if value.len() > VALUE_SIZE_MAX {
        return Err(CommandError::ValueSize { size: value.len() });
    }
    Ok(Command::Set { key, value })
}

/// Why a request is no command. Nothing was done.
#[derive(Clone, Copy, Debug)]
pub enum CommandError<'a> {
    /// Not a number of arguments that the command takes.
    Arity {
        /// The command.
        spec: &'static Spec,
    },
    /// SELECT of a number without database.
    DbRange,
    /// SELECT of something that is neither number nor name.
    InvalidDb,
    /// A key over [`KEY_SIZE_MAX`].
    KeySize {
        /// Its size.
        size: usize,
    },
    /// SET with more than a key and a value.
    SetSyntax,
    /// Not a number of arguments that the subcommand takes.
    SubcommandArity {
        /// Command and subcommand as Redis writes them.
        name: &'static str,
    },
    /// An option that the command does not have.
    Syntax,
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
    /// The error in words with advice.
    #[must_use]
    pub const fn for_people(self) -> ForPeople<'a> {
        ForPeople(self)
    }
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Arity { spec } => {
                write!(f, "ERR wrong number of arguments for '{}' command", spec.name)
            }
            Self::DbRange => f.write_str("ERR DB index is out of range"),
            Self::InvalidDb => f.write_str("ERR invalid DB index"),
            Self::KeySize { size } => {
                write!(f, "ERR key of {size} bytes is over the limit of {KEY_SIZE_MAX}")
            }
            Self::SetSyntax | Self::Syntax => f.write_str("ERR syntax error"),
            Self::SubcommandArity { name } => {
                write!(f, "ERR wrong number of arguments for '{name}' command")
            }
            Self::UnknownCommand { args } => {
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
                write!(f, "{error}; SET takes one value: put it in quotes if it has spaces")
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
            CommandError::KeySize { .. }
            | CommandError::SubcommandArity { .. }
            | CommandError::ValueSize { .. } => error.fmt(f),
        }
    }
}

/// At most `size_max` of a client's bytes as text.
fn lossy(bytes: &[u8], size_max: usize) -> impl fmt::Display {
    String::from_utf8_lossy(bytes.get(..size_max).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        proto::{Progress, Step, Workspace, next_request},
    };

    /// What a line parses to: the command, or the error for clients and the error for people.
    fn parse(line: &str) -> Result<String, (String, String)> {
        let line = format!("{line}\n");
        let (mut workspace, mut progress) = (Workspace::new(), Progress::default());
        let limits = Limits { line_size_max: usize::MAX, ..Limits::DEFAULT };
        let step = next_request(
            line.as_bytes(),
            Dialect::Detect,
            false,
            &limits,
            &mut workspace,
            &mut progress,
        );
        let Step::Complete { args, .. } = step else { panic!("{step:?}") };
        match Command::parse(args) {
            Ok(command) => Ok(format!("{command:?}")),
            Err(error) => Err((error.to_string(), error.for_people().to_string())),
        }
    }

    #[track_caller]
    fn check_error(line: &str, clients: &str, people: &str) {
        assert_eq!(parse(line), Err((clients.to_owned(), people.to_owned())));
    }

    #[test]
    fn commands() {
        let cases = [
            ("get a", "Get { key: [97] }"),
            ("SeT a b", "Set { key: [97], value: [98] }"),
            ("DEL a b c", "Del { keys: [a, b, c] }"),
            ("UNLINK a", "Del { keys: [a] }"),
            ("EXISTS a a", "Exists { keys: [a, a] }"),
            ("PING", "Ping { message: None }"),
            ("PING a", "Ping { message: Some([97]) }"),
            ("QUIT now", "Quit"),
            ("SELECT 2", "Select { db: Db(2) }"),
            ("SELECT Quorum", "Select { db: Db(1) }"),
            ("COMMAND DOCS x", "Command"),
            ("CONFIG get save", "ConfigGet"),
            ("INFO", "Info { section: None }"),
            ("FLUSHDB", "FlushDb"),
            ("FLUSHDB aSync", "FlushDb"),
            ("SAVE", "Save { background: false }"),
            ("BGSAVE", "Save { background: true }"),
            ("BGSAVE schedule", "Save { background: true }"),
            ("LASTSAVE", "LastSave"),
            ("PROTO text", "Proto { dialect: Text }"),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn errors_in_both_wordings() {
        let arity = "ERR wrong number of arguments for";
        check_error(
            "GET",
            &format!("{arity} 'get' command"),
            &format!("{arity} 'get' command; usage: GET key"),
        );
        check_error(
            "PING a b",
            &format!("{arity} 'ping' command"),
            &format!("{arity} 'ping' command; usage: PING [message]"),
        );
        let subcommand = format!("{arity} 'config|get' command");
        check_error("CONFIG GET", &subcommand, &subcommand);
        check_error(
            "SET k two words",
            "ERR syntax error",
            "ERR syntax error; SET takes one value: put it in quotes if it has spaces",
        );
        check_error("FLUSHDB now", "ERR syntax error", "ERR syntax error; try HELP");
        check_error(
            "CONFIG frob",
            "ERR unknown subcommand 'frob'. Try CONFIG HELP.",
            "ERR unknown subcommand 'frob'; try HELP",
        );
        let databases = "databases are 0 (strong), 1 (quorum), 2 (eventual)";
        for (line, words) in [
            ("SELECT weak", "ERR invalid DB index"),
            ("SELECT 01", "ERR invalid DB index"),
            ("SELECT 3", "ERR DB index is out of range"),
            ("SELECT -1", "ERR DB index is out of range"),
            ("SELECT 258", "ERR DB index is out of range"),
        ] {
            check_error(line, words, &format!("{words}; {databases}"));
        }
    }

    #[test]
    fn unknown_commands_are_repeated_as_in_redis() {
        let words = "', with args beginning with: ";
        let people = "ERR unknown command 'FOO'; try HELP";
        check_error("FOO", &format!("ERR unknown command 'FOO{words}"), people);
        check_error("FOO a \"b c\"", &format!("ERR unknown command 'FOO{words}'a' 'b c' "), people);
        // The first argument leaves room for 128 - 103 bytes of the second and none for the third.
        let (a, b) = ("a".repeat(100), "b".repeat(100));
        let clients = format!("ERR unknown command 'FOO{words}'{a}' '{}' ", "b".repeat(25));
        check_error(&format!("FOO {a} {b} c"), &clients, people);
        let long = "x".repeat(200);
        let clients = format!("ERR unknown command '{}{words}", "x".repeat(128));
        assert_eq!(parse(&long).map_err(|error| error.0), Err(clients));
    }

    #[test]
    fn sizes_have_limits_and_errors_say_both_numbers() {
        let key = "k".repeat(KEY_SIZE_MAX);
        assert!(parse(&format!("GET {key}")).is_ok());
        let words = "ERR key of 65536 bytes is over the limit of 65535";
        check_error(&format!("GET {key}k"), words, words);
        check_error(&format!("DEL a {key}k"), words, words);
        check_error(&format!("SET {key}k v"), words, words);
        let value = "v".repeat(VALUE_SIZE_MAX);
        assert!(parse(&format!("SET k {value}")).is_ok());
        let words = "ERR value of 16777217 bytes is over the limit of 16777216";
        check_error(&format!("SET k {value}v"), words, words);
    }
}
