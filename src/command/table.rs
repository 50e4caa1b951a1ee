//! The command table: what a command is called, how many arguments it takes, and what it is for.
//!
//! The one list of commands. Lookup, arity errors and HELP all read it, so that no command can be
//! run that HELP does not know. It stands in the order in which HELP shows it; lookup goes through
//! an index that the compiler sorts. Names are at most 16 bytes, compared as one integer.

use super::help;

/// Commands in the order of HELP.
pub static TABLE: [Spec; 37] = [
    Spec::new("get", 2, Name::Key(KeyName::Get), Group::Data, "GET key", "The value of a key."),
    Spec::new(
        "set",
        -3,
        Name::Key(KeyName::Set),
        Group::Data,
        "SET key value [NX|XX|IFEQ v|IFNE v] [GET]",
        "Sets a key to a value, if what it holds is as asked.",
    ),
    Spec::new(
        "setnx",
        3,
        Name::Key(KeyName::SetNx),
        Group::Data,
        "SETNX key value",
        "Sets a key that there is not; 1 if it did, else 0.",
    ),
    Spec::new(
        "getset",
        3,
        Name::Key(KeyName::GetSet),
        Group::Data,
        "GETSET key value",
        "Sets a key and answers what it held before.",
    ),
    Spec::new(
        "getdel",
        2,
        Name::Key(KeyName::GetDel),
        Group::Data,
        "GETDEL key",
        "Removes a key and answers what it held.",
    ),
    Spec::new("mget", -2, Name::MGet, Group::Data, "MGET key [key ...]", "The values of keys."),
    Spec::new(
        "mset",
        -3,
        Name::MSet,
        Group::Data,
        "MSET key value [key value ...]",
        "Sets keys, one after another.",
    ),
    Spec::new(
        "incr",
        2,
        Name::Key(KeyName::Incr),
        Group::Data,
        "INCR key",
        "Adds 1 to a number; the sum.",
    ),
    Spec::new(
        "decr",
        2,
        Name::Key(KeyName::Decr),
        Group::Data,
        "DECR key",
        "Takes 1 from a number.",
    ),
    Spec::new(
        "incrby",
        3,
        Name::Key(KeyName::IncrBy),
        Group::Data,
        "INCRBY key number",
        "Adds a number.",
    ),
    Spec::new(
        "decrby",
        3,
        Name::Key(KeyName::DecrBy),
        Group::Data,
        "DECRBY key number",
        "Takes away a number.",
    ),
    Spec::new(
        "append",
        3,
        Name::Key(KeyName::Append),
        Group::Data,
        "APPEND key value",
        "Puts more behind a value; how long it is then.",
    ),
    Spec::new(
        "strlen",
        2,
        Name::Key(KeyName::Strlen),
        Group::Data,
        "STRLEN key",
        "How long a value is.",
    ),
    Spec::new(
        "del",
        -2,
        Name::Del,
        Group::Data,
        "DEL key [key ...]",
        "Removes keys; how many there were.",
    ),
    Spec::new("unlink", -2, Name::Del, Group::Data, "UNLINK key [key ...]", "The same as DEL."),
    Spec::new(
        "exists",
        -2,
        Name::Exists,
        Group::Data,
        "EXISTS key [key ...]",
        "How many of the keys there are.",
    ),
    Spec::new(
        "version",
        2,
        Name::Key(KeyName::Version),
        Group::Data,
        "VERSION key",
        "A key's version, which rises with every write.",
    ),
    Spec::new(
        "replicas",
        2,
        Name::Replicas,
        Group::Data,
        "REPLICAS key",
        "Which node holds which version of a key.",
    ),
    Spec::new("dbsize", 1, Name::DbSize, Group::Data, "DBSIZE", "How many keys the database has."),
    Spec::new(
        "flushdb",
        -1,
        Name::FlushDb,
        Group::Data,
        "FLUSHDB [ASYNC|SYNC]",
        "Removes all keys of the database.",
    ),
    Spec::new(
        "flushall",
        -1,
        Name::FlushAll,
        Group::Data,
        "FLUSHALL [ASYNC|SYNC]",
        "Removes all keys of all databases.",
    ),
    Spec::new(
        "select",
        2,
        Name::Select,
        Group::Connection,
        "SELECT 0|1|2|strong|quorum|eventual",
        "Chooses the database, and with it the consistency.",
    ),
    Spec::new(
        "readonly",
        1,
        Name::ReadOnly,
        Group::Connection,
        "READONLY",
        "Lets this node's copy answer strong reads from now on.",
    ),
    Spec::new(
        "readwrite",
        1,
        Name::ReadWrite,
        Group::Connection,
        "READWRITE",
        "Takes READONLY back.",
    ),
    Spec::new(
        "wait",
        3,
        Name::Wait,
        Group::Connection,
        "WAIT replicas milliseconds",
        "Waits until so many nodes have what was written.",
    ),
    Spec::new(
        "ping",
        -1,
        Name::Ping,
        Group::Connection,
        "PING [message]",
        "Answers PONG, or the message.",
    ),
    Spec::new("echo", 2, Name::Echo, Group::Connection, "ECHO message", "Answers the message."),
    Spec::new(
        "proto",
        2,
        Name::Proto,
        Group::Connection,
        "PROTO TEXT|RESP",
        "Sets the protocol, instead of detecting it per request.",
    ),
    Spec::new("quit", -1, Name::Quit, Group::Connection, "QUIT", "Closes the connection."),
    Spec::new(
        "help",
        -1,
        Name::Help,
        Group::Server,
        "HELP [command]",
        "This list, or one command.",
    ),
    Spec::new(
        "status",
        1,
        Name::Status,
        Group::Server,
        "STATUS",
        "How this node and its peers are.",
    ),
    Spec::new("info", -1, Name::Info, Group::Server, "INFO [section]", "Facts about this node."),
    Spec::new(
        "bgsave",
        -1,
        Name::BgSave,
        Group::Server,
        "BGSAVE",
        "Starts a checkpoint of all data.",
    ),
    Spec::new(
        "save",
        1,
        Name::Save,
        Group::Server,
        "SAVE",
        "The same, answered when it is complete.",
    ),
    Spec::new(
        "lastsave",
        1,
        Name::LastSave,
        Group::Server,
        "LASTSAVE",
        "When the last checkpoint was completed, in Unix seconds.",
    ),
    Spec::new(
        "config",
        -2,
        Name::Config,
        Group::Server,
        "CONFIG GET pattern",
        "For clients that ask; no parameters yet.",
    ),
    Spec::new(
        "command",
        -1,
        Name::Command,
        Group::Server,
        "COMMAND",
        "For clients that ask; an empty list.",
    ),
];

/// The longest name: what fits an index key.
const NAME_SIZE_MAX: usize = 16;

/// Names as integers, sorted, with their places in [`TABLE`].
static INDEX: [(u128, usize); TABLE.len()] = index();

/// One command.
#[derive(Debug)]
pub struct Spec {
    /// In small letters, as Redis' errors show it.
    pub name: &'static str,
    /// Redis' convention: the number of arguments with the name; negative if it is the least
    /// number.
    pub arity: i8,
    /// How it is typed.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Where HELP shows it.
    pub group: Group,
    /// What it parses to.
    pub(super) kind: Name,
}

impl Spec {
    const fn new(
        name: &'static str,
        arity: i8,
        kind: Name,
        group: Group,
        usage: &'static str,
        summary: &'static str,
    ) -> Self {
        assert!(name.len() <= NAME_SIZE_MAX);
        assert!(usage.len() <= help::USAGE_WIDTH);
        Self { name, arity, usage, summary, group, kind }
    }

    /// The name in capital letters.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.usage.split_once(' ').map_or(self.usage, |(title, _)| title)
    }

    /// Whether `count` arguments, the name included, are a right number.
    #[must_use]
    pub const fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= arity } else { count == arity }
    }
}

/// Commands that HELP shows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// About the connection that gives them.
    Connection,
    /// About keys and their values.
    Data,
    /// About the node.
    Server,
}

/// The commands apart from their arguments; an alias has the name of the command it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    BgSave,
    Command,
    Config,
    DbSize,
    Del,
    Echo,
    Exists,
    FlushAll,
    FlushDb,
    Help,
    Info,
    /// On one key.
    Key(KeyName),
    LastSave,
    MGet,
    MSet,
    Ping,
    Proto,
    Quit,
    ReadOnly,
    ReadWrite,
    Replicas,
    Save,
    Select,
    Status,
    Wait,
}

/// The commands on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    Append,
    Decr,
    DecrBy,
    Get,
    GetDel,
    GetSet,
    Incr,
    IncrBy,
    Set,
    SetNx,
    Strlen,
    Version,
}

/// The command of that name in any case.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_SIZE_MAX {
        return None;
    }
    let packed = pack(name);
    let at = INDEX.binary_search_by_key(&packed, |entry| entry.0).ok()?;
    let spec = TABLE.get(INDEX.get(at)?.1)?;
    // NULs in front of a name don't change its integer.
    (spec.name.len() == name.len()).then_some(spec)
}

const fn pack(mut name: &[u8]) -> u128 {
    let mut packed = 0;
    while let [first, rest @ ..] = name {
        packed = packed << 8 | first.to_ascii_lowercase() as u128;
        name = rest;
    }
    packed
}

/// Insertion sort, at compile time.
const fn index() -> [(u128, usize); TABLE.len()] {
    let mut index = [(0, 0); TABLE.len()];
    let mut filled = 0;
    while filled < TABLE.len() {
        let entry = (pack(TABLE[filled].name.as_bytes()), filled);
        let mut at = filled;
        while at > 0 && index[at - 1].0 > entry.0 {
            index[at] = index[at - 1];
            at -= 1;
        }
        assert!(at == 0 || index[at - 1].0 != entry.0, "two commands of one name");
        index[at] = entry;
        filled += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for spec in &TABLE {
            let found = lookup(spec.name.to_ascii_uppercase().as_bytes());
            assert!(found.is_some_and(|found| std::ptr::eq(found, spec)), "{}", spec.name);
            assert_eq!(spec.name, spec.name.to_ascii_lowercase());
            assert_eq!(spec.title(), spec.name.to_ascii_uppercase());
        }
    }

    #[test]
    fn nothing_else_is_found() {
        let names: [&[u8]; 7] =
            [b"", b"ge", b"gett", b"\0get", b"get\0", b"g\xc5t", b"getgetgetgetgetget"];
        for name in names {
            assert!(lookup(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn arity_is_redis_convention() {
        let takes = |name: &[u8], count| lookup(name).map(|spec| spec.takes(count));
        assert_eq!(takes(b"get", 1), Some(false));
        assert_eq!(takes(b"get", 2), Some(true));
        assert_eq!(takes(b"get", 3), Some(false));
        assert_eq!(takes(b"del", 1), Some(false));
        assert_eq!(takes(b"del", 900), Some(true));
    }
}
