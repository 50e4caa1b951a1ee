//! The command table: what a command is called, how many arguments it takes, and what it is for.
//!
//! The one list of commands. Lookup, arity errors and HELP all read it, so that no command can be
//! run that HELP does not know. It stands in the order in which HELP shows it; lookup goes through
//! an index that the compiler sorts. Names are at most 16 bytes, compared as one integer.

use super::spec::{
    Group::{Connection, Data, Server},
    KeyName, NAME_SIZE_MAX, Name, Spec, numbered,
};

/// A command a line: name, arity, what it parses to, where HELP shows it, how it is typed, what it
/// does.
macro_rules! specs {
    ($($name:literal $arity:literal $kind:expr, $group:expr, $usage:literal $summary:literal)*) => {
        [$(Spec::new($name, $arity, $kind, $group, $usage, $summary)),*]
    };
}

/// Commands in the order of HELP.
pub static TABLE: [Spec; 95] = numbered(specs! {
    "get" 2 Name::Key(KeyName::Get), Data, "GET key"
        "The value of a key."
    "set" -3 Name::Key(KeyName::Set), Data, "SET key value [options]"
        "Sets a key: NX XX IFEQ IFNE IFDEQ IFDNE, GET, EX PX EXAT PXAT KEEPTTL."
    "setnx" 3 Name::Key(KeyName::SetNx), Data, "SETNX key value"
        "Sets a key that there is not; 1 if it did, else 0."
    "setex" 4 Name::Key(KeyName::SetEx), Data, "SETEX key seconds value"
        "Sets a key for so long."
    "psetex" 4 Name::Key(KeyName::PSetEx), Data, "PSETEX key milliseconds value"
        "The same in milliseconds."
    "getset" 3 Name::Key(KeyName::GetSet), Data, "GETSET key value"
        "Sets a key and answers what it held before."
    "getdel" 2 Name::Key(KeyName::GetDel), Data, "GETDEL key"
        "Removes a key and answers what it held."
    "getex" -2 Name::Key(KeyName::GetEx), Data, "GETEX key [EX|PX|EXAT|PXAT t|PERSIST]"
        "The value of a key, which ends at another time from now on."
    "delex" -2 Name::Key(KeyName::DelEx), Data, "DELEX key [IFEQ|IFNE v|IFDEQ|IFDNE h]"
        "Removes a key if its value is as asked; 1 if it did, else 0."
    "digest" 2 Name::Key(KeyName::Digest), Data, "DIGEST key"
        "The XXH3 hash of a value, as IFDEQ takes it."
    "mget" -2 Name::MGet, Data, "MGET key [key ...]"
        "The values of keys."
    "mset" -3 Name::MSet, Data, "MSET key value [key value ...]"
        "Sets keys, one after another."
    "msetnx" -3 Name::MSetNx, Data, "MSETNX key value [key value ...]"
        "Sets keys of one slot together if none is there; 1 if it did."
    "incr" 2 Name::Key(KeyName::Incr), Data, "INCR key"
        "Adds 1 to a number; the sum."
    "decr" 2 Name::Key(KeyName::Decr), Data, "DECR key"
        "Takes 1 from a number."
    "incrby" 3 Name::Key(KeyName::IncrBy), Data, "INCRBY key number"
        "Adds a number."
    "decrby" 3 Name::Key(KeyName::DecrBy), Data, "DECRBY key number"
        "Takes away a number."
    "incrbyfloat" 3 Name::Key(KeyName::IncrByFloat), Data, "INCRBYFLOAT key number"
        "Adds a number that may have a fraction."
    "append" 3 Name::Key(KeyName::Append), Data, "APPEND key value"
        "Puts more behind a value; how long it is then."
    "strlen" 2 Name::Key(KeyName::Strlen), Data, "STRLEN key"
        "How long a value is."
    "getrange" 4 Name::Key(KeyName::GetRange), Data, "GETRANGE key start end"
        "Part of a value, both ends included; -1 is the last byte."
    "substr" 4 Name::Key(KeyName::GetRange), Data, "SUBSTR key start end"
        "The same as GETRANGE."
    "setrange" 4 Name::Key(KeyName::SetRange), Data, "SETRANGE key offset value"
        "Overwrites part of a value; how long it is then."
    "getbit" 3 Name::Key(KeyName::GetBit), Data, "GETBIT key offset"
        "One bit of a value."
    "setbit" 4 Name::Key(KeyName::SetBit), Data, "SETBIT key offset 0|1"
        "Sets one bit; what it was before."
    "bitcount" -2 Name::Key(KeyName::BitCount), Data, "BITCOUNT key [start end [BYTE|BIT]]"
        "How many bits are set."
    "lcs" -3 Name::Lcs, Data, "LCS key key [LEN|IDX] [MINMATCHLEN n] ..."
        "What two values have in common, in order."
    "rename" 3 Name::Rename, Data, "RENAME key newkey"
        "Gives a key another name."
    "renamenx" 3 Name::RenameNx, Data, "RENAMENX key newkey"
        "The same in one slot, if the name is free; 1 if it did, else 0."
    "copy" -3 Name::Copy, Data, "COPY source destination [REPLACE]"
        "Copies a key within a slot; 1 if it did, else 0."
    "del" -2 Name::Del, Data, "DEL key [key ...]"
        "Removes keys; how many there were."
    "unlink" -2 Name::Del, Data, "UNLINK key [key ...]"
        "The same as DEL."
    "exists" -2 Name::Exists, Data, "EXISTS key [key ...]"
        "How many of the keys there are."
    "touch" -2 Name::Exists, Data, "TOUCH key [key ...]"
        "The same as EXISTS."
    "type" 2 Name::Key(KeyName::Type), Data, "TYPE key"
        "string, or none."
    "object" -2 Name::Object, Data, "OBJECT ENCODING key"
        "How Redis would hold a value."
    "expire" -3 Name::Key(KeyName::Expire), Data, "EXPIRE key seconds [NX|XX|GT|LT]"
        "Lets a key end after so long; 1 if it will, else 0."
    "pexpire" -3 Name::Key(KeyName::PExpire), Data, "PEXPIRE key milliseconds [NX|XX|GT|LT]"
        "The same in milliseconds."
    "expireat" -3 Name::Key(KeyName::ExpireAt), Data, "EXPIREAT key time [NX|XX|GT|LT]"
        "Lets a key end at a Unix time."
    "pexpireat" -3 Name::Key(KeyName::PExpireAt), Data, "PEXPIREAT key time [NX|XX|GT|LT]"
        "The same in milliseconds."
    "ttl" 2 Name::Key(KeyName::Ttl), Data, "TTL key"
        "Seconds until a key ends; -1 never, -2 no key."
    "pttl" 2 Name::Key(KeyName::PTtl), Data, "PTTL key"
        "The same in milliseconds."
    "expiretime" 2 Name::Key(KeyName::ExpireTime), Data, "EXPIRETIME key"
        "When a key ends, in Unix seconds; -1 never, -2 no key."
    "pexpiretime" 2 Name::Key(KeyName::PExpireTime), Data, "PEXPIRETIME key"
        "The same in milliseconds."
    "persist" 2 Name::Key(KeyName::Persist), Data, "PERSIST key"
        "Lets a key have no end; 1 if it had one, else 0."
    "version" 2 Name::Key(KeyName::Version), Data, "VERSION key"
        "A key's version, which rises with every write."
    "replicas" 2 Name::Replicas, Data, "REPLICAS key"
        "Which node holds which version of a key."
    "keys" 2 Name::Keys, Data, "KEYS pattern"
        "All keys of this node's copy that match."
    "scan" -2 Name::Scan, Data, "SCAN cursor [MATCH p] [COUNT n] [TYPE t]"
        "Some keys of this node's copy, and where to go on."
    "randomkey" 1 Name::RandomKey, Data, "RANDOMKEY"
        "Some key of this node's copy."
    "dbsize" 1 Name::DbSize, Data, "DBSIZE"
        "How many keys the database has."
    "flushdb" -1 Name::FlushDb, Data, "FLUSHDB [ASYNC|SYNC]"
        "Removes all keys of the database."
    "flushall" -1 Name::FlushAll, Data, "FLUSHALL [ASYNC|SYNC]"
        "Removes all keys of all databases."
    "multi" 1 Name::Multi, Data, "MULTI"
        "What follows is queued until EXEC."
    "exec" 1 Name::Exec, Data, "EXEC"
        "Does what is queued: at one moment if all keys are of one slot."
    "discard" 1 Name::Discard, Data, "DISCARD"
        "Forgets what is queued."
    "watch" -2 Name::Watch, Data, "WATCH key [key ...]"
        "EXEC does nothing if one of the keys is written meanwhile."
    "unwatch" 1 Name::Unwatch, Data, "UNWATCH"
        "Watches nothing any more."
    "eval" -3 Name::Eval, Data, "EVAL script numkeys [key ...] [arg ...]"
        "Carries out a script that takes, extends or frees a lock, or counts."
    "evalsha" -3 Name::EvalSha, Data, "EVALSHA sha1 numkeys [key ...] [arg ...]"
        "The same for a script that this node was shown."
    "script" -2 Name::Script, Data, "SCRIPT LOAD|EXISTS|FLUSH ..."
        "Shows this node a script, or asks which ones it knows."
    "function" -2 Name::Function, Data, "FUNCTION LIST|FLUSH"
        "There are no functions."
    "hello" -1 Name::Hello, Connection, "HELLO [2|3] [AUTH user pass] [SETNAME n]"
        "Chooses the version of RESP."
    "auth" -2 Name::Auth, Connection, "AUTH [user] password"
        "There are no passwords yet."
    "client" -2 Name::Client, Connection, "CLIENT LIST|KILL|INFO|ID|SETNAME|REPLY|..."
        "About this connection and the others."
    "reset" 1 Name::Reset, Connection, "RESET"
        "Makes the connection as new."
    "select" 2 Name::Select, Connection, "SELECT 0|1|2|strong|quorum|eventual"
        "Chooses the database, and with it the consistency."
    "readonly" 1 Name::ReadOnly, Connection, "READONLY"
        "Lets this node's copy answer strong reads from now on."
    "readwrite" 1 Name::ReadWrite, Connection, "READWRITE"
        "Takes READONLY back."
    "wait" 3 Name::Wait, Connection, "WAIT replicas milliseconds"
        "Waits until so many nodes have what was written."
    "ping" -1 Name::Ping, Connection, "PING [message]"
        "Answers PONG, or the message."
    "echo" 2 Name::Echo, Connection, "ECHO message"
        "Answers the message."
    "proto" 2 Name::Proto, Connection, "PROTO TEXT|RESP"
        "Sets the protocol, instead of detecting it per request."
    "quit" -1 Name::Quit, Connection, "QUIT"
        "Closes the connection."
    "help" -1 Name::Help, Server, "HELP [command]"
        "This list, or one command."
    "status" 1 Name::Status, Server, "STATUS"
        "How this node and its peers are."
    "info" -1 Name::Info, Server, "INFO [section]"
        "Facts about this node."
    "bgsave" -1 Name::BgSave, Server, "BGSAVE"
        "Starts a checkpoint of all data."
    "save" 1 Name::Save, Server, "SAVE"
        "The same, answered when it is complete."
    "lastsave" 1 Name::LastSave, Server, "LASTSAVE"
        "When the last checkpoint was completed, in Unix seconds."
    "config" -2 Name::Config, Server, "CONFIG GET pattern | SET name value ..."
        "Parameters as Redis calls them."
    "command" -1 Name::Command, Server, "COMMAND [LIST|INFO|DOCS|GETKEYS|...]"
        "The commands, in a form for clients."
    "time" 1 Name::Time, Server, "TIME"
        "Unix seconds and microseconds by this node's clock."
    "role" 1 Name::Role, Server, "ROLE"
        "master: every node takes writes."
    "slowlog" -2 Name::SlowLog, Server, "SLOWLOG GET|LEN|RESET [count]"
        "Requests that took long, from their arrival to their reply."
    "latency" -2 Name::Latency, Server, "LATENCY LATEST|HISTORY|RESET|DOCTOR"
        "Samples of what took longer than latency-monitor-threshold."
    "monitor" 1 Name::Monitor, Server, "MONITOR"
        "Shows every request that this node carries out, until RESET or QUIT."
    "memory" -2 Name::Memory, Server, "MEMORY USAGE key"
        "Bytes that this node's copy of a key takes."
    "bgrewriteaof" 1 Name::BgRewriteAof, Server, "BGREWRITEAOF"
        "The same as BGSAVE: a checkpoint is what shortens the log."
    "shutdown" -1 Name::Shutdown, Server, "SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE]"
        "Answers what came in, gives peers what they lack, and ends the node."
    "acl" -2 Name::Acl, Server, "ACL WHOAMI|LIST|USERS|CAT|GETUSER"
        "There is one user, default, who may do everything."
    "cluster" -2 Name::Cluster, Server, "CLUSTER INFO|NODES|SLOTS|..."
        "An error, as of a Redis whose cluster mode is off."
    "module" -2 Name::Module, Server, "MODULE LIST"
        "There are no modules."
    "debug" -2 Name::Debug, Server, "DEBUG SLEEP seconds | PROTOCOL type"
        "A late answer, or one of each type of RESP: for tests of clients."
    "waitaof" 4 Name::WaitAof, Connection, "WAITAOF local replicas milliseconds"
        "Waits until what was written is on disks."
});

/// Names as integers, sorted, with their places in [`TABLE`].
static INDEX: [(u128, usize); TABLE.len()] = index();

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
