//! Commands about the node as a whole: who is connected, what was slow, what is set.
//!
//! What the tables alone can answer is a [`Fact`]; what the node must see to is an [`Ask`].

use super::{
    Called, ClientAsk, Command, CommandAsk, CommandError, ScriptAsk,
    op::Action,
    spec::Spec,
    sub::{Sub, SubName},
};
use crate::{
    proto::{Args, integer},
    time::Millis,
};

/// The longest that DEBUG SLEEP lets its client wait: a place among the replies is kept for it.
pub const SLEEP_MAX: Millis = Millis(60_000);
/// The words that CLIENT has for kinds of clients. There are normal ones only.
const CLIENT_TYPES: [&str; 5] = ["normal", "master", "replica", "slave", "pubsub"];
/// The only user.
const DEFAULT_USER: &[u8] = b"default";

/// What is always the same, or follows from the command table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// ACL CAT.
    AclCat(Option<&'a [u8]>),
    /// ACL GETUSER.
    AclGetUser(&'a [u8]),
    /// ACL LIST.
    AclList,
    /// ACL USERS.
    AclUsers,
    /// ACL WHOAMI.
    AclWhoAmI,
    /// Any CLUSTER.
    ClusterOff,
    /// FUNCTION FLUSH.
    FunctionFlush,
    /// FUNCTION LIST.
    FunctionList,
    /// MODULE LIST.
    ModuleList,
    /// CONFIG REWRITE.
    NoConfigFile,
    /// DEBUG PROTOCOL.
    Sample(&'a [u8]),
    /// SHUTDOWN ABORT, which nobody can say while a shutdown is under way.
    NoShutdown,
    /// ROLE.
    Role,
    /// HELP behind a command that has subcommands, by the command's name.
    SubHelp(&'static str),
}

/// What the node answers.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// CLIENT INFO.
    ClientInfo,
    /// CLIENT KILL.
    ClientKill(Kill<&'a [u8]>),
    /// CLIENT LIST.
    ClientList(List<'a>),
    /// CONFIG GET: one pattern at least.
    ConfigGet(Args<'a>),
    /// CONFIG RESETSTAT.
    ConfigResetStat,
    /// CONFIG SET: names and values in turn, one pair at least.
    ConfigSet(Args<'a>),
    /// LATENCY DOCTOR.
    LatencyDoctor,
    /// LATENCY HISTORY.
    LatencyHistory(&'a [u8]),
    /// LATENCY LATEST.
    LatencyLatest,
    /// LATENCY RESET: of these events; of all without.
    LatencyReset(Args<'a>),
    /// MEMORY DOCTOR.
    MemoryDoctor,
    /// MEMORY STATS.
    MemoryStats,
    /// MEMORY USAGE.
    MemoryUsage(&'a [u8]),
    /// MONITOR.
    Monitor,
    /// BGREWRITEAOF.
    Rewrite,
    /// SHUTDOWN.
    Shutdown,
    /// DEBUG SLEEP.
    Sleep(Millis),
    /// SLOWLOG GET: so many, all without.
    SlowLogGet(Option<usize>),
    /// SLOWLOG LEN.
    SlowLogLen,
    /// SLOWLOG RESET.
    SlowLogReset,
    /// WAITAOF.
    WaitAof {
        /// Whether this node must have what was written on its disk.
        local: bool,
        /// How many other nodes must.
        replicas: u64,
        /// How long to wait for them; without end, if there is none.
        timeout: Option<Millis>,
    },
}

/// Which connections CLIENT KILL closes: those that fit all that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kill<B> {
    /// The connection's number.
    pub id: Option<u64>,
    /// Where it comes from.
    pub from: Option<B>,
    /// Where it leads to.
    pub to: Option<B>,
    /// How old it must be at least.
    pub age: Option<Millis>,
    /// It is of a kind that no connection is of.
    pub nobody: bool,
    /// The connection that asks, too.
    pub me_too: bool,
    /// The old form, which is about one connection: OK, or an error.
    pub one: bool,
}

impl Kill<&[u8]> {
    /// The same in memory of its own.
    #[must_use]
    pub fn own(self) -> Kill<Box<[u8]>> {
        let Self { id, from, to, age, nobody, me_too, one } = self;
        Kill { id, from: from.map(Into::into), to: to.map(Into::into), age, nobody, me_too, one }
    }
}

/// Which connections CLIENT LIST shows.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Those of a kind that no connection is of.
    pub nobody: bool,
    /// Those with these numbers; all, if there are none.
    pub ids: Args<'a>,
}

/// A command that has subcommands.
pub(super) fn container<'a>(
    called: Called,
    sub: &'static Sub,
    args: Args<'a>,
) -> Result<Command<'a>, CommandError<'a>> {
    let operand = args.get(2).unwrap_or_default();
    let command = |ask, from| Ok(Command::Command { ask, names: args.from(from) });
    Ok(match sub.kind {
        SubName::AclCat if args.len() > 3 => return Err(form(sub, args)),
        SubName::AclCat => Command::Fact(Fact::AclCat(args.get(2))),
        SubName::AclGetUser => Command::Fact(Fact::AclGetUser(operand)),
        SubName::AclList => Command::Fact(Fact::AclList),
        SubName::AclUsers => Command::Fact(Fact::AclUsers),
        SubName::AclWhoAmI => Command::Fact(Fact::AclWhoAmI),
        SubName::ClientGetName => Command::Client(ClientAsk::GetName),
        SubName::ClientId => Command::Client(ClientAsk::Id),
        SubName::ClientInfo => Command::Ask(Ask::ClientInfo),
        SubName::ClientKill => Command::Ask(Ask::ClientKill(kill(args)?)),
        SubName::ClientList => Command::Ask(Ask::ClientList(list(args)?)),
        SubName::ClientNoEvict | SubName::ClientNoTouch => on_or_off(operand)?,
        SubName::ClientReply => Command::Client(reply(operand)?),
        SubName::ClientSetInfo => Command::Client(super::server::set_info(args)?),
        SubName::ClientSetName => {
            Command::Client(ClientAsk::SetName(super::server::checked_name(operand)?))
        }
        SubName::ClusterOff => Command::Fact(Fact::ClusterOff),
        SubName::CommandCount => return command(CommandAsk::Count, 2),
        SubName::CommandDocs => return command(CommandAsk::Docs, 2),
        SubName::CommandGetKeys => return command(CommandAsk::GetKeys, 2),
        SubName::CommandGetKeysAndFlags => return command(CommandAsk::GetKeysAndFlags, 2),
        SubName::CommandInfo => return command(CommandAsk::Info, 2),
        SubName::CommandList => return command(command_list(args)?, 4),
        SubName::ConfigGet => Command::Ask(Ask::ConfigGet(args.from(2))),
        SubName::ConfigResetStat => Command::Ask(Ask::ConfigResetStat),
        SubName::ConfigRewrite => Command::Fact(Fact::NoConfigFile),
        SubName::ConfigSet if !args.len().is_multiple_of(2) => return Err(CommandError::Syntax),
        SubName::ConfigSet => Command::Ask(Ask::ConfigSet(args.from(2))),
        SubName::DebugProtocol => Command::Fact(Fact::Sample(operand)),
        SubName::DebugSleep => Command::Ask(Ask::Sleep(sleep(operand)?)),
        SubName::FunctionFlush => Command::Fact(function_flush(sub, args)?),
        SubName::FunctionList => Command::Fact(function_list(args)?),
        SubName::Help => Command::Fact(Fact::SubHelp(called.spec.name)),
        SubName::LatencyDoctor => Command::Ask(Ask::LatencyDoctor),
        SubName::LatencyHistory => Command::Ask(Ask::LatencyHistory(operand)),
        SubName::LatencyLatest => Command::Ask(Ask::LatencyLatest),
        SubName::LatencyReset => Command::Ask(Ask::LatencyReset(args.from(2))),
        SubName::MemoryDoctor => Command::Ask(Ask::MemoryDoctor),
        SubName::MemoryStats => Command::Ask(Ask::MemoryStats),
        SubName::MemoryUsage => memory_usage(args)?,
        SubName::ModuleList => Command::Fact(Fact::ModuleList),
        SubName::ObjectEncoding => super::object(operand, Action::Encoding)?,
        SubName::ObjectFreq => super::object(operand, Action::Untracked { idle: false })?,
        SubName::ObjectIdleTime => super::object(operand, Action::Untracked { idle: true })?,
        SubName::ScriptExists => Command::Script(ScriptAsk::Exists { hashes: args.from(2) }),
        SubName::ScriptFlush => Command::Script(super::several::script_flush(args)?),
        SubName::ScriptLoad => Command::Script(ScriptAsk::Load { text: operand }),
        SubName::SlowLogGet => slow_log_get(sub, args)?,
        SubName::SlowLogLen => Command::Ask(Ask::SlowLogLen),
        SubName::SlowLogReset => Command::Ask(Ask::SlowLogReset),
    })
}

/// Why a subcommand with optional arguments does not take so many.
fn form<'a>(sub: &'static Sub, args: Args<'a>) -> CommandError<'a> {
    CommandError::SubcommandForm { sub, subcommand: args.get(1).unwrap_or_default() }
}

/// SHUTDOWN. However it is asked for, the log has all that was answered, and peers and clients get
/// what they are owed.
pub(super) fn shutdown(args: Args<'_>) -> Result<Command<'_>, CommandError<'_>> {
    let (mut save, mut no_save, mut others, mut abort) = (false, false, false, false);
    for option in args.from(1).iter() {
        match &option.to_ascii_lowercase()[..] {
            b"abort" => abort = true,
            b"force" | b"now" => others = true,
            b"nosave" => no_save = true,
            b"save" => save = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if (save && no_save) || (abort && (save || no_save || others)) {
        return Err(CommandError::Syntax);
    }
    Ok(if abort { Command::Fact(Fact::NoShutdown) } else { Command::Ask(Ask::Shutdown) })
}

/// WAITAOF.
pub(super) fn wait_aof(args: Args<'_>) -> Result<Command<'_>, CommandError<'_>> {
    let number = |at| integer(args.get(at).unwrap_or_default()).ok_or(CommandError::NotAnInteger);
    let (local, replicas) = (number(1)?, number(2)?);
    let timeout = super::timeout(args.get(3).unwrap_or_default())?;
    if !(0..=1).contains(&local) {
        return Err(CommandError::Fixed("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = u64::try_from(replicas);
    let replicas =
        replicas.map_err(|_| CommandError::Fixed("ERR value is out of range, must be positive"))?;
    Ok(Command::Ask(Ask::WaitAof { local: local == 1, replicas, timeout }))
}

/// FUNCTION FLUSH: test suites and tools send it before they begin.
fn function_flush<'a>(sub: &'static Sub, args: Args<'a>) -> Result<Fact<'a>, CommandError<'a>> {
    if args.len() > 3 {
        return Err(form(sub, args));
    }
    let mode = args.get(2).unwrap_or(b"sync");
    if !mode.eq_ignore_ascii_case(b"sync") && !mode.eq_ignore_ascii_case(b"async") {
        return Err(CommandError::Fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    Ok(Fact::FunctionFlush)
}

/// FUNCTION LIST.
fn function_list<'a>(args: Args<'a>) -> Result<Fact<'a>, CommandError<'a>> {
    let (mut code, mut named) = (false, false);
    let mut options = args.from(2).iter();
    while let Some(option) = options.next() {
        match &option.to_ascii_lowercase()[..] {
            b"withcode" if !code => code = true,
            b"libraryname" if !named => {
                let missing = CommandError::Fixed("ERR library name argument was not given");
                named = options.next().map(|_| true).ok_or(missing)?;
            }
            _ => return Err(CommandError::Naming { text: "Unknown argument", word: option }),
        }
    }
    Ok(Fact::FunctionList)
}

fn on_or_off<'a>(flag: &[u8]) -> Result<Command<'a>, CommandError<'a>> {
    let known = flag.eq_ignore_ascii_case(b"on") || flag.eq_ignore_ascii_case(b"off");
    if known { Ok(Command::Client(ClientAsk::Noted)) } else { Err(CommandError::Syntax) }
}

fn reply<'a>(mode: &[u8]) -> Result<ClientAsk<'a>, CommandError<'a>> {
    match &mode.to_ascii_lowercase()[..] {
        b"off" => Ok(ClientAsk::ReplyOff),
        b"on" => Ok(ClientAsk::ReplyOn),
        b"skip" => Ok(ClientAsk::ReplySkip),
        _ => Err(CommandError::Syntax),
    }
}

/// Whether a word is a kind of clients that there are none of.
fn is_nobody(kind: &[u8]) -> Result<bool, CommandError<'_>> {
    let known = CLIENT_TYPES.iter().any(|word| kind.eq_ignore_ascii_case(word.as_bytes()));
    if known {
        Ok(!kind.eq_ignore_ascii_case(b"normal"))
    } else {
        Err(CommandError::Quoting { text: "Unknown client type", word: kind })
    }
}

fn kill(args: Args<'_>) -> Result<Kill<&[u8]>, CommandError<'_>> {
    if args.len() == 3 {
        return Ok(Kill { from: args.get(2), me_too: true, one: true, ..Kill::default() });
    }
    let mut kill = Kill::default();
    let mut options = args.from(2).iter();
    while let Some(option) = options.next() {
        let operand = options.next().ok_or(CommandError::Syntax)?;
        let positive = |error| match integer(operand) {
            Some(number) if number > 0 => Ok(number as u64),
            Some(_) | None => Err(CommandError::Fixed(error)),
        };
        match &option.to_ascii_lowercase()[..] {
            b"addr" => kill.from = Some(operand),
            b"id" => kill.id = Some(positive("ERR client-id should be greater than 0")?),
            b"laddr" => kill.to = Some(operand),
            b"maxage" => {
                let seconds = positive("ERR maxage is not an integer or out of range")?;
                kill.age = Some(Millis(seconds.saturating_mul(1000)));
            }
            b"skipme" if operand.eq_ignore_ascii_case(b"yes") => kill.me_too = false,
            b"skipme" if operand.eq_ignore_ascii_case(b"no") => kill.me_too = true,
            b"type" => kill.nobody |= is_nobody(operand)?,
            b"user" if operand == DEFAULT_USER => {}
            b"user" => {
                return Err(CommandError::Quoting { text: "No such user", word: operand });
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(kill)
}

fn list(args: Args<'_>) -> Result<List<'_>, CommandError<'_>> {
    let all = List { nobody: false, ids: args.from(args.len()) };
    let Some(option) = args.get(2) else { return Ok(all) };
    match (option, args.get(3)) {
        (option, Some(kind)) if option.eq_ignore_ascii_case(b"type") && args.len() == 4 => {
            Ok(List { nobody: is_nobody(kind)?, ..all })
        }
        (option, Some(_)) if option.eq_ignore_ascii_case(b"id") => {
            let ids = args.from(3);
            if ids.iter().any(|id| integer(id).is_none_or(|id| id <= 0)) {
                return Err(CommandError::Fixed("ERR Invalid client ID"));
            }
            Ok(List { ids, ..all })
        }
        _ => Err(CommandError::Syntax),
    }
}

fn command_list(args: Args<'_>) -> Result<CommandAsk, CommandError<'_>> {
    let (by, kind) = (args.get(2), args.get(3));
    match (by, kind, args.len()) {
        (None, None, _) => Ok(CommandAsk::List),
        (Some(by), Some(kind), 5) if by.eq_ignore_ascii_case(b"filterby") => {
            match &kind.to_ascii_lowercase()[..] {
                b"aclcat" => Ok(CommandAsk::ListOfCategory),
                b"module" => Ok(CommandAsk::ListOfModule),
                b"pattern" => Ok(CommandAsk::ListMatching),
                _ => Err(CommandError::Syntax),
            }
        }
        _ => Err(CommandError::Syntax),
    }
}

fn sleep(seconds: &[u8]) -> Result<Millis, CommandError<'_>> {
    let number = str::from_utf8(seconds).ok().and_then(|text| text.parse::<f64>().ok());
    let number = number.filter(|number| *number >= 0.0).ok_or(CommandError::NotAFloat)?;
    let millis = Millis((number * 1000.0).min(u64::MAX as f64) as u64);
    if millis > SLEEP_MAX {
        return Err(CommandError::Fixed("ERR DEBUG SLEEP takes at most 60 seconds"));
    }
    Ok(millis)
}

fn memory_usage(args: Args<'_>) -> Result<Command<'_>, CommandError<'_>> {
    let key = super::checked_key(args.get(2).unwrap_or_default())?;
    match (args.get(3), args.get(4), args.len()) {
        (None, _, _) => {}
        (Some(option), Some(count), 5) if option.eq_ignore_ascii_case(b"samples") => {
            let count = integer(count).ok_or(CommandError::NotAnInteger)?;
            if count < 0 {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(Command::Ask(Ask::MemoryUsage(key)))
}

/// What SLOWLOG GET shows unless told otherwise, as in Redis.
const SLOW_LOG_COUNT: usize = 10;

fn slow_log_get<'a>(sub: &'static Sub, args: Args<'a>) -> Result<Command<'a>, CommandError<'a>> {
    if args.len() > 3 {
        return Err(form(sub, args));
    }
    let count = match args.get(2).map(integer) {
        None => Some(SLOW_LOG_COUNT),
        Some(Some(-1)) => None,
        Some(Some(count)) if count >= 0 => usize::try_from(count).ok(),
        Some(_) => {
            return Err(CommandError::Fixed("ERR count should be greater than or equal to -1"));
        }
    };
    Ok(Command::Ask(Ask::SlowLogGet(count)))
}

/// What of a request must not be shown to anybody else: its words from this one on.
#[must_use]
pub fn secret_from(spec: &Spec, args: Args<'_>) -> usize {
    match spec.name {
        "auth" => 1,
        "hello" => {
            let is_auth = |word: &[u8]| word.eq_ignore_ascii_case(b"auth");
            args.iter().position(is_auth).map_or(usize::MAX, |at| at + 1)
        }
        _ => usize::MAX,
    }
}
