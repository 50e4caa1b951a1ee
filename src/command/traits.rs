//! What Redis says of a command besides its arguments: flags, categories, and what it does with its
//! keys. Clients and proxies read it, ACL CAT and COMMAND show it.

use super::{
    Called,
    spec::{KeyName, Name, Spec},
    sub::{Sub, SubName},
};
use crate::proto::Args;

/// Categories as Redis has them, without those of types that there are not.
pub const CATEGORIES: [&str; 12] = [
    "keyspace",
    "read",
    "write",
    "string",
    "bitmap",
    "admin",
    "fast",
    "slow",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// What a command does with a key, in Redis' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Shows or changes nothing but whether it is there and the like.
    Look,
    /// Shows the value.
    Read,
    /// Sets a value whatever was there.
    Overwrite,
    /// Sets a value if there was none.
    Insert,
    /// Adds to what is there, showing none of it.
    Append,
    /// Changes what is there, showing none of it.
    Change,
    /// Shows and changes.
    Update,
    /// Shows and deletes.
    Take,
    /// Deletes.
    Delete,
}

impl Access {
    /// The flags of COMMAND GETKEYSANDFLAGS.
    #[must_use]
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Append => &["RW", "insert"],
            Self::Change => &["RW", "update"],
            Self::Delete => &["RM", "delete"],
            Self::Insert => &["OW", "insert"],
            Self::Look => &["RO"],
            Self::Overwrite => &["OW", "update"],
            Self::Read => &["RO", "access"],
            Self::Take => &["RW", "access", "delete"],
            Self::Update => &["RW", "access", "update"],
        }
    }

    const fn writes(self) -> bool {
        !matches!(self, Self::Look | Self::Read)
    }
}

impl Spec {
    /// What it does with its keys; nothing if it has none.
    #[must_use]
    pub const fn access(&self) -> Option<Access> {
        Some(match self.kind {
            Name::Key(name) => name.access(),
            Name::Del => Access::Delete,
            Name::Exists | Name::Replicas => Access::Look,
            Name::MGet => Access::Read,
            Name::Lcs => Access::Read,
            Name::Copy | Name::MSet => Access::Overwrite,
            Name::MSetNx => Access::Insert,
            Name::Rename | Name::RenameNx => Access::Take,
            _ => return None,
        })
    }

    /// Flags in Redis' words.
    #[must_use]
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        let writes = matches!(self.kind, Name::FlushAll | Name::FlushDb);
        let reads = matches!(self.kind, Name::DbSize | Name::Keys | Name::RandomKey | Name::Scan);
        match self.access() {
            Some(access) if access.writes() => flags.push("write"),
            Some(_) => flags.push("readonly"),
            None if writes => flags.push("write"),
            None if reads => flags.push("readonly"),
            None => {}
        }
        if self.grows() {
            flags.push("denyoom");
        }
        if self.is_admin() {
            flags.push("admin");
        }
        if self.access().is_none() && !writes && !reads && !self.is_container() {
            flags.extend(["loading", "stale"]);
        }
        if self.is_fast() {
            flags.push("fast");
        }
        flags
    }

    /// Categories, each with its sign in front.
    #[must_use]
    pub fn categories(&self) -> Vec<&'static str> {
        let flags = self.flags();
        let mut categories = Vec::new();
        match self.kind {
            Name::Key(KeyName::BitCount | KeyName::GetBit | KeyName::SetBit) => {
                categories.push("@bitmap");
            }
            Name::Key(name) if name.is_of_keys() => categories.push("@keyspace"),
            Name::Key(_) | Name::Lcs | Name::MGet | Name::MSet | Name::MSetNx => {
                categories.push("@string");
            }
            Name::Discard | Name::Exec | Name::Multi | Name::Unwatch | Name::Watch => {
                categories.push("@transaction");
            }
            Name::Eval | Name::EvalSha | Name::Script => categories.push("@scripting"),
            Name::Copy
            | Name::Rename
            | Name::RenameNx
            | Name::DbSize
            | Name::Del
            | Name::Exists
            | Name::FlushAll
            | Name::FlushDb
            | Name::Keys
            | Name::RandomKey
            | Name::Replicas
            | Name::Scan => categories.push("@keyspace"),
            _ if self.is_about_connection() => categories.push("@connection"),
            _ => {}
        }
        if flags.contains(&"readonly") {
            categories.push("@read");
        }
        if flags.contains(&"write") {
            categories.push("@write");
        }
        if self.is_admin() {
            categories.push("@admin");
        }
        let all_keys = matches!(self.kind, Name::FlushAll | Name::FlushDb | Name::Keys);
        if self.is_admin() || all_keys || self.kind == Name::Info {
            categories.push("@dangerous");
        }
        categories.push(if self.is_fast() { "@fast" } else { "@slow" });
        categories
    }

    /// Whether it belongs to a category, which is named without its sign and in any case.
    #[must_use]
    pub fn is_of(&self, category: &[u8]) -> bool {
        let own = self.categories();
        own.iter().any(|name| category.eq_ignore_ascii_case(&name.as_bytes()[1..]))
    }

    const fn is_about_connection(&self) -> bool {
        matches!(
            self.kind,
            Name::Auth
                | Name::Command
                | Name::Echo
                | Name::Hello
                | Name::Ping
                | Name::Proto
                | Name::Quit
                | Name::ReadOnly
                | Name::ReadWrite
                | Name::Reset
                | Name::Select
                | Name::Wait
                | Name::WaitAof
        )
    }

    /// Whether it is for those who run the node.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        matches!(
            self.kind,
            Name::Acl
                | Name::BgRewriteAof
                | Name::BgSave
                | Name::Config
                | Name::Debug
                | Name::LastSave
                | Name::Latency
                | Name::Module
                | Name::Monitor
                | Name::Role
                | Name::Save
                | Name::Shutdown
                | Name::SlowLog
        )
    }

    const fn grows(&self) -> bool {
        match self.kind {
            Name::Key(name) => name.grows(),
            Name::Copy | Name::MSet | Name::MSetNx => true,
            _ => false,
        }
    }

    const fn is_fast(&self) -> bool {
        match self.kind {
            Name::Key(
                KeyName::BitCount
                | KeyName::GetRange
                | KeyName::PSetEx
                | KeyName::Set
                | KeyName::SetBit
                | KeyName::SetEx
                | KeyName::SetRange,
            ) => false,
            Name::Del => matches!(self.name.as_bytes(), b"unlink"),
            Name::Key(_)
            | Name::Auth
            | Name::DbSize
            | Name::Discard
            | Name::Echo
            | Name::Exists
            | Name::Hello
            | Name::LastSave
            | Name::MGet
            | Name::Multi
            | Name::Ping
            | Name::Proto
            | Name::Quit
            | Name::ReadOnly
            | Name::ReadWrite
            | Name::RenameNx
            | Name::Reset
            | Name::Role
            | Name::Select
            | Name::Time
            | Name::Unwatch
            | Name::Watch => true,
            _ => false,
        }
    }
}

impl KeyName {
    const fn access(self) -> Access {
        match self {
            Self::Append => Access::Append,
            Self::SetNx => Access::Insert,
            Self::PSetEx | Self::SetEx => Access::Overwrite,
            Self::Digest | Self::Strlen | Self::Type | Self::Version => Access::Look,
            Self::BitCount
            | Self::ExpireTime
            | Self::Get
            | Self::GetBit
            | Self::GetRange
            | Self::PExpireTime
            | Self::PTtl
            | Self::Ttl => Access::Read,
            Self::Expire
            | Self::ExpireAt
            | Self::PExpire
            | Self::PExpireAt
            | Self::Persist
            | Self::SetRange => Access::Change,
            Self::DelEx => Access::Delete,
            Self::GetDel => Access::Take,
            Self::Decr
            | Self::DecrBy
            | Self::GetEx
            | Self::GetSet
            | Self::Incr
            | Self::IncrBy
            | Self::IncrByFloat
            | Self::Set
            | Self::SetBit => Access::Update,
        }
    }

    /// Whether it may make a value longer.
    const fn grows(self) -> bool {
        self.access().writes()
            && !self.is_of_keys()
            && !matches!(self, Self::DelEx | Self::GetDel | Self::GetEx)
    }

    /// Whether it is about the key more than about its value.
    const fn is_of_keys(self) -> bool {
        matches!(
            self,
            Self::Expire
                | Self::ExpireAt
                | Self::ExpireTime
                | Self::PExpire
                | Self::PExpireAt
                | Self::PExpireTime
                | Self::PTtl
                | Self::Persist
                | Self::Ttl
                | Self::Type
                | Self::Version
        )
    }
}

impl Called {
    /// Where its keys are among its arguments, as [`Spec::keys`] says it, and what it does with
    /// them; nothing if it has none.
    #[must_use]
    pub fn keys(self) -> Option<([i64; 3], Access)> {
        match (self.sub.map(Sub::kind), self.spec.access()) {
            (Some(SubName::ObjectEncoding | SubName::ObjectFreq | SubName::ObjectIdleTime), _)
            | (Some(SubName::MemoryUsage), _) => Some(([2, 2, 1], Access::Look)),
            (_, Some(access)) => Some((self.spec.keys(), access)),
            (_, None) => None,
        }
    }
}

impl Called {
    /// What a request does with its keys, whose command may do `access`: SET shows what it
    /// overwrites only if it is asked to.
    #[must_use]
    pub fn access(self, request: Args<'_>, access: Access) -> Access {
        let is_get = |word: &[u8]| word.eq_ignore_ascii_case(b"get");
        let plain =
            self.spec.kind == Name::Key(KeyName::Set) && !request.from(3).iter().any(is_get);
        if plain { Access::Overwrite } else { access }
    }
}

impl Sub {
    pub(super) const fn kind(&self) -> SubName {
        self.kind
    }
}
