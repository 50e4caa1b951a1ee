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

    /// Where its keys are among its arguments: the first, the last (from the end if negative) and
    /// the step from one to the next; all zero if it has none.
    #[must_use]
    pub const fn keys(&self) -> [i64; 3] {
        match self.kind {
            Name::Key(_) | Name::Replicas => [1, 1, 1],
            Name::Del | Name::Exists | Name::MGet | Name::Watch => [1, -1, 1],
            Name::MSet | Name::MSetNx => [1, -1, 2],
            Name::Copy | Name::Lcs | Name::Rename | Name::RenameNx => [1, 2, 1],
            Name::Object => [2, 2, 1],
            _ => [0, 0, 0],
        }
    }

    /// What Redis says of such a command: whether it writes, whether it takes no time worth
    /// mentioning.
    #[must_use]
    pub const fn flags(&self) -> &'static [&'static str] {
        match self.kind {
            Name::Key(name) if name.is_read() => &["readonly", "fast"],
            Name::Key(_) => &["write", "denyoom", "fast"],
            Name::Copy | Name::MSet | Name::MSetNx => &["write", "denyoom"],
            Name::Del | Name::FlushAll | Name::FlushDb | Name::Rename => &["write"],
            Name::RenameNx => &["write", "fast"],
            // Which keys there are stands in the request.
            Name::Eval | Name::EvalSha => &["noscript", "stale", "skip_monitor", "movablekeys"],
            Name::DbSize
            | Name::Exists
            | Name::Keys
            | Name::Lcs
            | Name::MGet
            | Name::Object
            | Name::RandomKey
            | Name::Replicas
            | Name::Scan => &["readonly"],
            Name::BgSave | Name::Config | Name::LastSave | Name::Save => &["admin"],
            _ => &["fast", "loading", "stale"],
        }
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
    Auth,
    BgSave,
    Client,
    Command,
    Config,
    Copy,
    DbSize,
    Del,
    Discard,
    Echo,
    Eval,
    EvalSha,
    Exec,
    Exists,
    FlushAll,
    FlushDb,
    Hello,
    Help,
    Info,
    /// On one key.
    Key(KeyName),
    Keys,
    LastSave,
    Lcs,
    MGet,
    MSet,
    MSetNx,
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
    Save,
    Scan,
    Script,
    Select,
    Status,
    Time,
    Unwatch,
    Wait,
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

impl KeyName {
    const fn is_read(self) -> bool {
        matches!(
            self,
            Self::BitCount
                | Self::Digest
                | Self::ExpireTime
                | Self::Get
                | Self::GetBit
                | Self::GetRange
                | Self::PExpireTime
                | Self::PTtl
                | Self::Strlen
                | Self::Ttl
                | Self::Type
                | Self::Version
        )
    }
}
