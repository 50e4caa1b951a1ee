//! What the table says of a command.

use super::help;

/// The longest name: what fits an index key.
pub(super) const NAME_SIZE_MAX: usize = 16;

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
    pub(super) const fn new(
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
    Object,
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
    BitCount,
    Decr,
    DecrBy,
    DelEx,
    Digest,
    Expire,
    ExpireAt,
    ExpireTime,
    Get,
    GetBit,
    GetDel,
    GetEx,
    GetRange,
    GetSet,
    Incr,
    IncrBy,
    IncrByFloat,
    PExpire,
    PExpireAt,
    PExpireTime,
    PSetEx,
    PTtl,
    Persist,
    Set,
    SetBit,
    SetEx,
    SetNx,
    SetRange,
    Strlen,
    Ttl,
    Type,
    Version,
}
