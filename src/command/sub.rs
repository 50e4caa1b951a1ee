//! Subcommands: what CLIENT, CONFIG and their like take as their first argument.
//!
//! The second half of the command table: parsing, arity errors, `... HELP`, COMMAND DOCS and the
//! documents all read it. What is not in it is an unknown subcommand, as Redis says it.

use super::{
    CommandError,
    spec::Spec,
    table::{TABLE, lookup},
};
use crate::proto::Args;

/// One subcommand.
#[derive(Debug)]
pub struct Sub {
    /// Command and subcommand as Redis writes them: `client|id`.
    pub name: &'static str,
    /// As that of a command, both words counted.
    pub arity: i8,
    /// What it takes.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it parses to.
    pub(super) kind: SubName,
    /// Its place in the table.
    number: u16,
}

impl Sub {
    const fn new(
        name: &'static str,
        arity: i8,
        kind: SubName,
        usage: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { name, arity, usage, summary, kind, number: 0 }
    }

    /// Command and subcommand in small letters.
    #[must_use]
    pub fn words(&self) -> (&'static str, &'static str) {
        self.name.split_once('|').unwrap_or((self.name, ""))
    }

    const fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= arity } else { count == arity }
    }
}

/// A subcommand a line: name, arity, what it parses to, its arguments, what it does.
macro_rules! subs {
    ($($name:literal $arity:literal $kind:ident, $usage:literal $summary:literal)*) => {
        [$(Sub::new($name, $arity, SubName::$kind, $usage, $summary)),*]
    };
}

/// Subcommands by command, in the order of HELP.
pub static SUBS: [Sub; 68] = numbered(subs! {
    "acl|cat" -2 AclCat, "[category]" "Categories of commands, or the commands of one."
    "acl|getuser" 3 AclGetUser, "user" "What a user may do; there is the user default only."
    "acl|help" 2 Help, "" "This list."
    "acl|list" 2 AclList, "" "All users with what they may do."
    "acl|users" 2 AclUsers, "" "The names of all users."
    "acl|whoami" 2 AclWhoAmI, "" "The user of this connection."
    "client|getname" 2 ClientGetName, "" "What the connection is called."
    "client|help" 2 Help, "" "This list."
    "client|id" 2 ClientId, "" "The connection's number."
    "client|info" 2 ClientInfo, "" "What is known of the connection."
    "client|kill" -3 ClientKill, "addr | [ID n] [ADDR a] [LADDR a] [TYPE t] [USER u] [SKIPME yes|no] [MAXAGE s]"
        "Closes connections; how many."
    "client|list" -2 ClientList, "[TYPE t] [ID n ...]" "All connections to this node."
    "client|no-evict" 3 ClientNoEvict, "ON|OFF" "Nothing: no client is ever evicted."
    "client|no-touch" 3 ClientNoTouch, "ON|OFF" "Nothing: no access times are kept."
    "client|reply" 3 ClientReply, "ON|OFF|SKIP" "Whether requests are answered."
    "client|setinfo" 4 ClientSetInfo, "LIB-NAME|LIB-VER text" "Which library the client uses."
    "client|setname" 3 ClientSetName, "name" "Calls the connection so."
    "cluster|countkeysinslot" 3 ClusterOff, "slot" "An error: Redis' cluster mode is off."
    "cluster|getkeysinslot" 4 ClusterOff, "slot count" "An error: Redis' cluster mode is off."
    "cluster|help" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|info" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|keyslot" 3 ClusterOff, "key" "An error: Redis' cluster mode is off."
    "cluster|links" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|myid" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|nodes" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|shards" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "cluster|slots" 2 ClusterOff, "" "An error: Redis' cluster mode is off."
    "command|count" 2 CommandCount, "" "How many commands there are."
    "command|docs" -2 CommandDocs, "[command ...]" "What commands are for."
    "command|getkeys" -3 CommandGetKeys, "command [argument ...]" "The keys of a request."
    "command|getkeysandflags" -3 CommandGetKeysAndFlags, "command [argument ...]"
        "The keys of a request, and what it does with each."
    "command|help" 2 Help, "" "This list."
    "command|info" -2 CommandInfo, "[command ...]" "Arity, flags and keys of commands."
    "command|list" -2 CommandList, "[FILTERBY ACLCAT c|MODULE m|PATTERN p]" "Names of commands."
    "config|get" -3 ConfigGet, "pattern [pattern ...]" "Parameters whose names match."
    "config|help" 2 Help, "" "This list."
    "config|resetstat" 2 ConfigResetStat, "" "Counts what INFO counts from zero."
    "config|rewrite" 2 ConfigRewrite, "" "An error: there is no file that a node would write."
    "config|set" -4 ConfigSet, "name value [name value ...]" "Sets parameters until the node ends."
    "debug|help" 2 Help, "" "This list."
    "debug|protocol" 3 DebugProtocol, "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
        "An answer of that type, for those who write clients."
    "debug|sleep" 3 DebugSleep, "seconds" "Answers this client late; nobody else waits."
    "function|flush" -2 FunctionFlush, "[ASYNC|SYNC]" "Nothing: there are no functions to forget."
    "function|help" 2 Help, "" "This list."
    "function|list" -2 FunctionList, "[LIBRARYNAME pattern] [WITHCODE]" "No functions."
    "latency|doctor" 2 LatencyDoctor, "" "What was slow, in words."
    "latency|help" 2 Help, "" "This list."
    "latency|history" 3 LatencyHistory, "event" "When an event was slow, and how slow."
    "latency|latest" 2 LatencyLatest, "" "The last and the worst of each event."
    "latency|reset" -2 LatencyReset, "[event ...]" "Forgets events; how many."
    "memory|doctor" 2 MemoryDoctor, "" "What takes more memory than it should, in words."
    "memory|help" 2 Help, "" "This list."
    "memory|stats" 2 MemoryStats, "" "What this node's memory is taken by."
    "memory|usage" -3 MemoryUsage, "key [SAMPLES n]" "Bytes that this node's copy of a key takes."
    "module|help" 2 Help, "" "This list."
    "module|list" 2 ModuleList, "" "No modules."
    "object|encoding" 3 ObjectEncoding, "key" "How Redis would hold a value."
    "object|freq" 3 ObjectFreq, "key" "An error: no access frequencies are kept."
    "object|help" 2 Help, "" "This list."
    "object|idletime" 3 ObjectIdleTime, "key" "An error: no access times are kept."
    "script|exists" -3 ScriptExists, "sha1 [sha1 ...]" "Which scripts this node knows."
    "script|flush" -2 ScriptFlush, "[ASYNC|SYNC]" "Forgets all scripts."
    "script|help" 2 Help, "" "This list."
    "script|load" 3 ScriptLoad, "script" "Shows this node a lock script; its hash."
    "slowlog|get" -2 SlowLogGet, "[count]" "The last slow requests."
    "slowlog|help" 2 Help, "" "This list."
    "slowlog|len" 2 SlowLogLen, "" "How many slow requests are kept."
    "slowlog|reset" 2 SlowLogReset, "" "Forgets the slow requests."
});

const fn numbered<const COUNT: usize>(mut subs: [Sub; COUNT]) -> [Sub; COUNT] {
    let mut number = 0;
    while number < COUNT {
        subs[number].number = number as u16;
        number += 1;
    }
    subs
}

/// The subcommands apart from their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubName {
    AclCat,
    AclGetUser,
    AclList,
    AclUsers,
    AclWhoAmI,
    ClientGetName,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientNoEvict,
    ClientNoTouch,
    ClientReply,
    ClientSetInfo,
    ClientSetName,
    ClusterOff,
    CommandCount,
    CommandDocs,
    CommandGetKeys,
    CommandGetKeysAndFlags,
    CommandInfo,
    CommandList,
    ConfigGet,
    ConfigResetStat,
    ConfigRewrite,
    ConfigSet,
    DebugProtocol,
    DebugSleep,
    FunctionFlush,
    FunctionList,
    Help,
    LatencyDoctor,
    LatencyHistory,
    LatencyLatest,
    LatencyReset,
    MemoryDoctor,
    MemoryStats,
    MemoryUsage,
    ModuleList,
    ObjectEncoding,
    ObjectFreq,
    ObjectIdleTime,
    ScriptExists,
    ScriptFlush,
    ScriptLoad,
    SlowLogGet,
    SlowLogLen,
    SlowLogReset,
}

/// The subcommands of a command; none, if it takes none.
pub fn of(spec: &Spec) -> impl Iterator<Item = &'static Sub> + Clone {
    let name = spec.name;
    SUBS.iter().filter(move |sub| sub.words().0 == name)
}

/// A command as it is called: with its subcommand, if it takes one.
#[derive(Clone, Copy, Debug)]
pub struct Called {
    /// The command.
    pub spec: &'static Spec,
    /// Its subcommand.
    pub sub: Option<&'static Sub>,
}

impl Called {
    /// How many there are to be told apart.
    pub const COUNT: usize = TABLE.len() + SUBS.len();

    /// What a request calls.
    ///
    /// # Errors
    /// If there is no such command, or it does not take so many arguments.
    pub fn of(args: Args<'_>) -> Result<Self, CommandError<'_>> {
        let unknown = CommandError::UnknownCommand { args };
        let Some(spec) = args.get(0).and_then(lookup) else { return Err(unknown) };
        if !spec.takes(args.len()) {
            return Err(CommandError::Arity { spec });
        }
        let sub = match args.get(1) {
            Some(subcommand) if spec.is_container() => Some(find(spec, subcommand)?),
            Some(_) | None => None,
        };
        if let Some(sub) = sub.filter(|sub| !sub.takes(args.len())) {
            return Err(CommandError::SubcommandArity { sub });
        }
        Ok(Self { spec, sub })
    }

    /// As Redis writes it: `get`, `client|id`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.sub.map_or(self.spec.name, |sub| sub.name)
    }

    /// Its number among all, from 0 on.
    #[must_use]
    pub fn number(self) -> usize {
        match self.sub {
            Some(sub) => TABLE.len() + usize::from(sub.number),
            None => self.spec.number(),
        }
    }

    /// The name to a number.
    #[must_use]
    pub fn name_of(number: usize) -> &'static str {
        let sub = number.checked_sub(TABLE.len());
        let sub = sub.and_then(|at| SUBS.get(at)).map(|sub| sub.name);
        sub.or_else(|| TABLE.get(number).map(|spec| spec.name)).unwrap_or_default()
    }
}

fn find<'a>(spec: &'static Spec, subcommand: &'a [u8]) -> Result<&'static Sub, CommandError<'a>> {
    let is = |sub: &&Sub| subcommand.eq_ignore_ascii_case(sub.words().1.as_bytes());
    let command = spec.title();
    of(spec).find(is).ok_or(CommandError::UnknownSubcommand { command, subcommand })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_belongs_to_a_command_that_takes_one() {
        for (number, sub) in SUBS.iter().enumerate() {
            let (command, word) = sub.words();
            let spec = lookup(command.as_bytes()).expect("a command");
            assert!(spec.is_container() && !word.is_empty(), "{}", sub.name);
            assert!(sub.summary.ends_with('.'), "{}", sub.name);
            let called = Called { spec, sub: Some(sub) };
            assert_eq!((called.number(), called.name()), (TABLE.len() + number, sub.name));
            assert_eq!(Called::name_of(called.number()), sub.name);
        }
        for spec in TABLE.iter().filter(|spec| spec.is_container()) {
            assert!(of(spec).count() > 0, "{}", spec.name);
        }
        assert_eq!(Called::name_of(Called::COUNT), "");
    }
}
