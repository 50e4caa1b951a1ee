//! What the table says of a command.

use super::help;
pub use super::traits::Access;

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
    /// Its name in capital letters.
    title: &'static str,
    /// How it is typed.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Where HELP shows it.
    pub group: Group,
    /// What it parses to.
    pub(super) kind: Name,
    /// Its place in the table.
    number: u16,
}

/// Says to each command its place.
pub(super) const fn numbered<const COUNT: usize>(mut specs: [Spec; COUNT]) -> [Spec; COUNT] {
    let mut number = 0;
    while number < COUNT {
        specs[number].number = number as u16;
        number += 1;
    }
    specs
}

const fn first_word(text: &'static str) -> &'static str {
    let mut end = 0;
    while end < text.len() && text.as_bytes()[end] != b' ' {
        end += 1;
    }
    text.split_at(end).0
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
        Self { name, arity, title: first_word(usage), usage, summary, group, kind, number: 0 }
    }

    /// The name in capital letters.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// Whether `count` arguments, the name included, are a right number.
    #[must_use]
    pub const fn takes(&self, count: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= arity } else { count == arity }
    }

    /// Where its keys are among its arguments: the first, the last (from the end if negative) and
    /// the step from one to the next; all zero if it has none.
    #[must_use]
    pub const fn keys(&self) -> [i64; 3] {
        match self.kind {
            Name::Key(_) | Name::Replicas => [1, 1, 1],
            Name::Del | Name::Exists | Name::MGet | Name::Watch => [1, -1, 1],
            Name::MSet | Name::MSetNx => [1, -1, 2],
            Name::Copy | Name::Lcs | Name::Rename | Name::RenameNx => [1, 2, 1],
            _ => [0, 0, 0],
        }
    }

    /// Its place in the table.
    pub(super) fn number(&self) -> usize {
        usize::from(self.number)
    }

    /// Whether its first argument is a subcommand.
    #[must_use]
    pub const fn is_container(&self) -> bool {
        matches!(
            self.kind,
            Name::Acl
                | Name::Client
                | Name::Cluster
                | Name::Command
                | Name::Config
                | Name::Debug
                | Name::Function
                | Name::Latency
                | Name::Memory
                | Name::Module
                | Name::Object
                | Name::Script
                | Name::SlowLog
        )
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
    Acl,
    Auth,
    BgRewriteAof,
    BgSave,
    Client,
    Cluster,
    Command,
    Config,
    Copy,
    DbSize,
    Debug,
    Del,
    Discard,
    Echo,
    Eval,
    EvalSha,
    Exec,
    Exists,
    FlushAll,
    FlushDb,
    Function,
    Hello,
    Help,
    Info,
    /// On one key.
    Key(KeyName),
    Keys,
    LastSave,
    Latency,
    Lcs,
    MGet,
    MSet,
    MSetNx,
    Memory,
    Module,
    Monitor,
    Multi,
    Object,
    Ping,
    Proto,
    Quit,
    RandomKey,
    ReadOnly,
    ReadWrite,
    Rename,
    RenameNx,
    Replicas,
    Reset,
    Role,
    Save,
    Scan,
    Script,
    Select,
    Shutdown,
    SlowLog,
    Status,
    Time,
    Unwatch,
    Wait,
    WaitAof,
    Watch,
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
