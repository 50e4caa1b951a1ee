//! Commands: what a request's arguments ask for.
//!
//! Owns the way from [`Args`] to a [`Command`] whose parts are named and checked: sizes, numbers,
//! options. The table of all commands is in [`table`], its text for people in [`help`]. What is
//! done to one key is an operation ([`op`]). A command borrows its arguments, and parsing one
//! allocates nothing. It refuses to carry anything out: [`crate::conn`] answers what concerns a
//! connection alone, the node the rest.
//!
//! Errors have Redis' exact words for clients ([`CommandError`]'s `Display`) and words with advice
//! for people ([`CommandError::for_people`]). Options that a command does not know are errors,
//! never ignored.

pub mod about;
pub mod admin;
pub mod batch;
pub mod facts;
pub mod glob;
pub mod help;
pub mod lcs;
pub mod op;
pub mod parameters;
pub mod script;
pub mod spec;
pub mod sub;
pub mod table;
pub mod traits;

mod error;
mod expiry;
mod server;
mod several;
mod strings;

pub use self::{
    admin::{Ask, Fact},
    error::{CommandError, ForPeople},
    sub::Called,
};
use self::{
    batch::How,
    lcs::LcsAsk,
    op::{Action, Op},
    spec::Name,
};
use crate::{
    proto::{Args, Dialect, integer},
    record::{Db, KEY_SIZE_MAX, VALUE_SIZE_MAX},
    time::Millis,
};

/// A request understood.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// What concerns the node as a whole.
    Ask(Ask<'a>),
    /// AUTH.
    Auth {
        /// Without it, the one that everybody is.
        user: Option<&'a [u8]>,
    },
    /// CLIENT.
    Client(ClientAsk<'a>),
    /// COMMAND: about the table, in a form for clients.
    Command {
        /// What of it.
        ask: CommandAsk,
        /// Of these commands; of all, if there are none.
        names: Args<'a>,
    },
    /// COPY, RENAME, RENAMENX.
    Copy {
        /// The command in capital letters.
        name: &'static str,
        /// The name that the value has; of a right size.
        from: &'a [u8],
        /// The name that it gets; of a right size.
        to: &'a [u8],
        /// Which of them.
        how: How,
    },
    /// DBSIZE.
    DbSize,
    /// DEL or UNLINK.
    Del {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// DISCARD.
    Discard,
    /// ECHO.
    Echo {
        /// What to say.
        message: &'a [u8],
    },
    /// EVAL or EVALSHA.
    Eval {
        /// What to carry out.
        script: Script<'a>,
        /// KEYS.
        keys: Args<'a>,
        /// KEYS and behind them ARGV.
        operands: Args<'a>,
    },
    /// EXEC.
    Exec,
    /// EXISTS.
    Exists {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// What is always the same.
    Fact(Fact<'a>),
    /// FLUSHALL.
    FlushAll,
    /// FLUSHDB.
    FlushDb,
    /// HELLO.
    Hello {
        /// 2 or 3; as before, without.
        version: Option<u8>,
        /// Whom the client says it is.
        user: Option<&'a [u8]>,
        /// What the connection is called from now on.
        name: Option<&'a [u8]>,
    },
    /// HELP.
    Help {
        /// The command to explain; all of them without.
        topic: Option<&'a [u8]>,
    },
    /// INFO.
    Info {
        /// The sections to show; the usual ones, if there are none.
        sections: Args<'a>,
    },
    /// KEYS.
    Keys {
        /// See [`glob`].
        pattern: &'a [u8],
    },
    /// LASTSAVE.
    LastSave,
    /// LCS.
    Lcs {
        /// The two keys; each of a right size.
        keys: Args<'a>,
        /// What to tell.
        ask: LcsAsk,
    },
    /// MGET.
    MGet {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// MSET.
    MSet {
        /// Keys and values in turn, one pair at least; each of a right size.
        pairs: Args<'a>,
    },
    /// MSETNX.
    MSetNx {
        /// Keys and values in turn, one pair at least; each of a right size.
        pairs: Args<'a>,
    },
    /// MULTI.
    Multi,
    /// What concerns one key: GET, SET, INCR and the like.
    Op {
        /// The command in capital letters.
        name: &'static str,
        /// Its key, values and operands are of a right size.
        op: Op<'a>,
    },
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
    /// RANDOMKEY.
    RandomKey,
    /// READONLY or READWRITE.
    ReadOnly {
        /// Whether this node's copy may answer the connection's reads from now on.
        on: bool,
    },
    /// REPLICAS.
    Replicas {
        /// Of a right size.
        key: &'a [u8],
    },
    /// RESET.
    Reset,
    /// SAVE or BGSAVE.
    Save {
        /// Whether the reply does not wait for the checkpoint.
        background: bool,
    },
    /// SCAN.
    Scan {
        /// Where to go on: 0, or as the last reply said.
        cursor: u64,
        /// Keys that don't match are left out. See [`glob`].
        pattern: Option<&'a [u8]>,
        /// About how many records to look at; one at least.
        count: u64,
        /// Whether keys of a type are wanted that nothing has.
        nothing: bool,
    },
    /// SCRIPT.
    Script(ScriptAsk<'a>),
    /// SELECT.
    Select {
        /// The database for what follows.
        db: Db,
    },
    /// STATUS.
    Status,
    /// TIME.
    Time,
    /// UNWATCH.
    Unwatch,
    /// WATCH.
    Watch {
        /// One at least; each of a right size.
        keys: Args<'a>,
    },
    /// WAIT.
    Wait {
        /// How many other nodes must have what this connection has written.
        replicas: u64,
        /// How long to wait for them; without end, if there is none.
        timeout: Option<Millis>,
    },
}

/// What CLIENT asks or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAsk<'a> {
    /// GETNAME.
    GetName,
    /// ID.
    Id,
    /// SETINFO LIB-NAME.
    Library(&'a [u8]),
    /// SETINFO LIB-VER.
    LibraryVersion(&'a [u8]),
    /// NO-EVICT, NO-TOUCH: nothing that changes anything.
    Noted,
    /// REPLY OFF.
    ReplyOff,
    /// REPLY ON.
    ReplyOn,
    /// REPLY SKIP.
    ReplySkip,
    /// SETNAME.
    SetName(&'a [u8]),
}

/// Which script EVAL or EVALSHA names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script<'a> {
    /// The one of this hash, in hexadecimal digits.
    Hash(&'a [u8]),
    /// This one.
    Text(&'a [u8]),
}

/// What SCRIPT asks or says.
#[derive(Clone, Copy, Debug)]
pub enum ScriptAsk<'a> {
    /// EXISTS.
    Exists {
        /// Hashes in hexadecimal digits, one at least.
        hashes: Args<'a>,
    },
    /// FLUSH.
    Flush,
    /// LOAD.
    Load {
        /// The script.
        text: &'a [u8],
    },
}

/// What COMMAND asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandAsk {
    /// How many there are.
    Count,
    /// What they are for.
    Docs,
    /// The keys of a request.
    GetKeys,
    /// The keys of a request, and what it does with them.
    GetKeysAndFlags,
    /// Arity, flags and keys.
    Info,
    /// What they are called.
    List,
    /// What those that match a pattern are called.
    ListMatching,
    /// What those of a category are called.
    ListOfCategory,
    /// What those of a module are called.
    ListOfModule,
}

impl<'a> Command<'a> {
    /// Understands a request.
    ///
    /// # Errors
    /// If there is no such command, or it does not take such arguments.
    pub fn parse(args: Args<'a>) -> Result<Self, CommandError<'a>> {
        Self::of(Called::of(args)?, args)
    }

    /// Understands the arguments of a command that is known.
    ///
    /// # Errors
    /// If it does not take such arguments.
    pub fn of(called: Called, args: Args<'a>) -> Result<Self, CommandError<'a>> {
        if let Some(sub) = called.sub {
            return admin::container(called, sub, args);
        }
        let spec = called.spec;
        let (first, second) = (args.get(1), args.get(2));
        Ok(match (spec.kind, first, second) {
            (Name::Auth, Some(first), second) => server::auth(args, first, second)?,
            (Name::Command, None, _) => {
                Self::Command { ask: CommandAsk::Info, names: args.from(2) }
            }
            (Name::BgRewriteAof, _, _) => Self::Ask(Ask::Rewrite),
            (Name::BgSave, option, None) => bg_save(option)?,
            (Name::Copy, Some(from), Some(to)) => several::copy(args, from, to)?,
            (Name::DbSize, _, _) => Self::DbSize,
            (Name::Discard, _, _) => Self::Discard,
            (Name::Eval | Name::EvalSha, Some(script), Some(count)) => {
                several::eval(args, spec.kind, script, count)?
            }
            (Name::Exec, _, _) => Self::Exec,
            (Name::Del, _, _) => Self::Del { keys: keys(args)? },
            (Name::Echo, Some(message), _) => Self::Echo { message },
            (Name::Exists, _, _) => Self::Exists { keys: keys(args)? },
            (Name::FlushAll, option, None) => flush(option, Self::FlushAll)?,
            (Name::FlushDb, option, None) => flush(option, Self::FlushDb)?,
            (Name::Hello, _, _) => server::hello(args)?,
            (Name::Help, topic, None) => Self::Help { topic },
            (Name::Info, _, _) => Self::Info { sections: args.from(1) },
            (Name::Key(name), Some(key), _) => {
                let action = strings::action(spec, name, args)?;
                Self::Op { name: spec.title(), op: Op::new(checked_key(key)?, action) }
            }
            (Name::Keys, Some(pattern), _) => Self::Keys { pattern },
            (Name::LastSave, _, _) => Self::LastSave,
            (Name::Lcs, Some(first), Some(second)) => several::lcs(args, first, second)?,
            (Name::MGet, _, _) => Self::MGet { keys: keys(args)? },
            (Name::MSetNx, _, _) => Self::MSetNx { pairs: strings::pairs(spec, args)? },
            (Name::Multi, _, _) => Self::Multi,
            (Name::MSet, _, _) => Self::MSet { pairs: strings::pairs(spec, args)? },
            (Name::Monitor, _, _) => Self::Ask(Ask::Monitor),
            (Name::Ping, message, None) => Self::Ping { message },
            (Name::Proto, Some(name), _) => proto(name)?,
            (Name::Quit, _, _) => Self::Quit,
            (Name::RandomKey, _, _) => Self::RandomKey,
            (Name::ReadOnly, _, _) => Self::ReadOnly { on: true },
            (Name::ReadWrite, _, _) => Self::ReadOnly { on: false },
            (Name::Rename | Name::RenameNx, Some(from), Some(to)) => {
                several::rename(spec.kind, from, to)?
            }
            (Name::Replicas, Some(key), _) => Self::Replicas { key: checked_key(key)? },
            (Name::Reset, _, _) => Self::Reset,
            (Name::Role, _, _) => Self::Fact(Fact::Role),
            (Name::Save, _, _) => Self::Save { background: false },
            (Name::Scan, Some(cursor), _) => server::scan(args, cursor)?,
            (Name::Select, Some(name), _) => Self::Select { db: database(name)? },
            (Name::Shutdown, _, _) => admin::shutdown(args)?,
            (Name::Status, _, _) => Self::Status,
            (Name::Time, _, _) => Self::Time,
            (Name::Unwatch, _, _) => Self::Unwatch,
            (Name::Watch, _, _) => Self::Watch { keys: keys(args)? },
            (Name::Wait, Some(replicas), Some(timeout)) => wait(replicas, timeout)?,
            (Name::WaitAof, _, _) => admin::wait_aof(args)?,
            (Name::BgSave | Name::FlushAll | Name::FlushDb, _, Some(_)) => {
                return Err(CommandError::Syntax);
            }
            // Redis checks the most that PING takes by hand, with the words for its arity. The
            // table's arity already refused the others.
            (_, _, _) => return Err(CommandError::Arity { spec }),
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

/// A subcommand of OBJECT.
fn object<'a>(key: &'a [u8], action: Action<'a>) -> Result<Command<'a>, CommandError<'a>> {
    Ok(Command::Op { name: "OBJECT", op: Op::new(checked_key(key)?, action) })
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

const fn checked_value(value: &[u8]) -> Result<&[u8], CommandError<'_>> {
    if value.len() > VALUE_SIZE_MAX {
        return Err(CommandError::ValueSize { size: value.len() });
    }
    Ok(value)
}

fn flush<'a>(
    option: Option<&'a [u8]>,
    command: Command<'a>,
) -> Result<Command<'a>, CommandError<'a>> {
    match option {
        Some(option)
            if !option.eq_ignore_ascii_case(b"async") && !option.eq_ignore_ascii_case(b"sync") =>
        {
            Err(CommandError::Syntax)
        }
        Some(_) | None => Ok(command),
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

fn wait<'a>(replicas: &[u8], timeout: &[u8]) -> Result<Command<'a>, CommandError<'a>> {
    let replicas = integer(replicas).ok_or(CommandError::NotAnInteger)?;
    // As in Redis, fewer than none are there at once.
    let replicas = u64::try_from(replicas).unwrap_or(0);
    self::timeout(timeout).map(|timeout| Command::Wait { replicas, timeout })
}

/// A span of milliseconds; 0 is without end.
fn timeout<'a>(text: &[u8]) -> Result<Option<Millis>, CommandError<'a>> {
    let timeout = integer(text).ok_or(CommandError::TimeoutInvalid)?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::TimeoutNegative)?;
    Ok((timeout > 0).then_some(Millis(timeout)))
}

#[cfg(test)]
mod tests;
