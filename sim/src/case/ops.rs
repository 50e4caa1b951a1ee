//! What a client can ask.

use serde::{Deserialize, Serialize};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// INCR, DECR, INCRBY or DECRBY, whichever fits.
    Add {
        /// To which number.
        key: String,
        /// How much.
        by: i64,
    },
    /// APPEND.
    Append {
        /// To what.
        key: String,
        /// What.
        value: String,
    },
    /// SET of several keys of one slot between MULTI and EXEC, all to the same value.
    Both {
        /// Which.
        keys: Vec<String>,
        /// What.
        value: String,
    },
    /// COPY within a slot.
    Copy {
        /// What is copied.
        from: String,
        /// What the copy is to be called, unless something is called so.
        to: String,
    },
    /// How many keys there are.
    DbSize,
    /// Delete a key.
    Del {
        /// Which.
        key: String,
    },
    /// SET between MULTI and DISCARD, which writes nothing.
    Discard {
        /// Which key.
        key: String,
        /// What is not written.
        value: String,
    },
    /// EXISTS.
    Exists {
        /// Which keys.
        keys: Vec<String>,
    },
    /// PEXPIRE, or GETEX with PX.
    Expire {
        /// Which key.
        key: String,
        /// How long it has from now on.
        for_ms: u64,
        /// Whether to read it as well.
        get: bool,
    },
    /// EVAL of the script that extends a lock: PEXPIRE if the key holds this.
    Extend {
        /// Which key.
        key: String,
        /// What it must hold.
        value: String,
        /// How long it has from now on.
        for_ms: u64,
        /// By SCRIPT LOAD and EVALSHA instead.
        #[serde(default, skip_serializing_if = "is_false")]
        by_hash: bool,
    },
    /// Delete everything in all databases.
    FlushAll,
    /// Delete everything in the client's database.
    FlushDb,
    /// Read a key.
    Get {
        /// Which.
        key: String,
    },
    /// GET of several keys of one slot between MULTI and EXEC.
    GetBoth {
        /// Which.
        keys: Vec<String>,
    },
    /// Read a key and delete it.
    GetDel {
        /// Which.
        key: String,
    },
    /// Write a key and tell what it held.
    GetSet {
        /// Which.
        key: String,
        /// What.
        value: String,
    },
    /// Requests between MULTI and EXEC that are carried out one behind the other.
    InOrder {
        /// What is queued; no key is set twice.
        parts: Vec<Part>,
    },
    /// All keys that begin so.
    Keys {
        /// How they begin.
        prefix: String,
    },
    /// DEL of several keys.
    MDel {
        /// Which.
        keys: Vec<String>,
    },
    /// MGET.
    MGet {
        /// Which keys.
        keys: Vec<String>,
    },
    /// MSET, all to the same value.
    MSet {
        /// Which keys.
        keys: Vec<String>,
        /// What.
        value: String,
    },
    /// MSETNX of keys of one slot, all to the same value.
    MSetNx {
        /// Which keys.
        keys: Vec<String>,
        /// What.
        value: String,
    },
    /// PERSIST.
    Persist {
        /// Which key.
        key: String,
    },
    /// EVAL of the script that frees a lock: DEL if the key holds this.
    Release {
        /// Which key.
        key: String,
        /// What it must hold.
        value: String,
        /// By SCRIPT LOAD and EVALSHA instead.
        #[serde(default, skip_serializing_if = "is_false")]
        by_hash: bool,
    },
    /// RENAME within a slot.
    Rename {
        /// What it is called.
        from: String,
        /// What it is to be called.
        to: String,
    },
    /// RENAMENX within a slot.
    RenameNx {
        /// What it is called.
        from: String,
        /// What it is to be called, unless something is called so.
        to: String,
    },
    /// Take a checkpoint.
    Save,
    /// SCAN, on from where the client's last one on this connection has come to.
    Scan {
        /// Where that is, once it is sent.
        #[serde(default, skip_serializing_if = "is_start")]
        cursor: u64,
        /// How many records it looks at.
        count: u64,
        /// How the keys begin that it shows.
        prefix: String,
    },
    /// Write a key.
    Set {
        /// Which.
        key: String,
        /// What; no two writes of a case write the same.
        value: String,
    },
    /// Write a key for some time.
    SetFor {
        /// Which.
        key: String,
        /// What.
        value: String,
        /// How long.
        for_ms: u64,
    },
    /// Write a key if a condition holds.
    SetIf {
        /// Which.
        key: String,
        /// What.
        value: String,
        /// When.
        condition: Condition,
        /// Whether to tell what it held, instead of whether it was written.
        get: bool,
    },
    /// SETNX.
    SetNx {
        /// Which key.
        key: String,
        /// What to write.
        value: String,
    },
    /// WATCH and GET of a key, and SET of it between MULTI and EXEC.
    Swap {
        /// Which.
        key: String,
        /// What.
        value: String,
    },
    /// Requests on keys of one slot between MULTI and EXEC.
    Transact {
        /// Whether all keys are watched and read before.
        watched: bool,
        /// What is queued.
        parts: Vec<Part>,
    },
    /// PTTL.
    Ttl {
        /// Which key.
        key: String,
    },
    /// WATCH and UNWATCH of a key, and SET of it between MULTI and EXEC.
    Unwatched {
        /// Which.
        key: String,
        /// What.
        value: String,
    },
    /// WAIT.
    Wait {
        /// How many others are to hold what was written.
        replicas: u64,
        /// How long to wait for that.
        for_ms: u64,
    },
}

/// What is queued in [`Op::InOrder`] and [`Op::Transact`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// INCRBY.
    Add {
        /// To which number.
        key: String,
        /// How much.
        by: i64,
    },
    /// DEL.
    Del {
        /// Which key.
        key: String,
    },
    /// GET.
    Get {
        /// Which key.
        key: String,
    },
    /// SET.
    Set {
        /// Which key.
        key: String,
        /// What.
        value: String,
    },
}

impl Part {
    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Add { key, .. }
            | Self::Del { key }
            | Self::Get { key }
            | Self::Set { key, .. } => key,
        }
    }

    /// The same request by itself.
    #[must_use]
    pub fn alone(&self) -> Op {
        match self.clone() {
            Self::Add { key, by } => Op::Add { key, by },
            Self::Del { key } => Op::Del { key },
            Self::Get { key } => Op::Get { key },
            Self::Set { key, value } => Op::Set { key, value },
        }
    }
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn is_start(cursor: &u64) -> bool {
    *cursor == 0
}

/// What must hold for [`Op::SetIf`] to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// There is no value.
    Absent,
    /// There is no value, or another one than this.
    Different(String),
    /// There is a value, and it is this one.
    Equal(String),
    /// There is a value.
    Present,
}

impl Op {
    /// The key it is about, if it is about exactly one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.keys()[..] {
            [key] => Some(key),
            _ => None,
        }
    }

    /// The keys it is about.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Add { key, .. }
            | Self::Append { key, .. }
            | Self::Del { key }
            | Self::Discard { key, .. }
            | Self::Expire { key, .. }
            | Self::Extend { key, .. }
            | Self::Get { key }
            | Self::GetDel { key }
            | Self::GetSet { key, .. }
            | Self::Persist { key }
            | Self::Release { key, .. }
            | Self::Set { key, .. }
            | Self::SetFor { key, .. }
            | Self::SetIf { key, .. }
            | Self::SetNx { key, .. }
            | Self::Swap { key, .. }
            | Self::Ttl { key }
            | Self::Unwatched { key, .. } => vec![key],
            Self::Both { keys, .. }
            | Self::Exists { keys }
            | Self::GetBoth { keys }
            | Self::MDel { keys }
            | Self::MGet { keys }
            | Self::MSet { keys, .. }
            | Self::MSetNx { keys, .. } => keys.iter().map(String::as_str).collect(),
            Self::InOrder { parts } | Self::Transact { parts, .. } => {
                let mut keys: Vec<&str> = parts.iter().map(Part::key).collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
            Self::Copy { from, to } | Self::Rename { from, to } | Self::RenameNx { from, to } => {
                vec![from, to]
            }
            Self::DbSize
            | Self::FlushAll
            | Self::FlushDb
            | Self::Keys { .. }
            | Self::Save
            | Self::Scan { .. }
            | Self::Wait { .. } => Vec::new(),
        }
    }

    /// What it writes, if it is a SET, for ever or for some time.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Set { value, .. } | Self::SetFor { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The bytes that it may write.
    #[must_use]
    pub fn written(&self) -> Option<&str> {
        match self {
            Self::Append { value, .. }
            | Self::Both { value, .. }
            | Self::Discard { value, .. }
            | Self::GetSet { value, .. }
            | Self::MSet { value, .. }
            | Self::MSetNx { value, .. }
            | Self::Set { value, .. }
            | Self::SetFor { value, .. }
            | Self::SetIf { value, .. }
            | Self::SetNx { value, .. }
            | Self::Swap { value, .. }
            | Self::Unwatched { value, .. } => Some(value),
            Self::InOrder { parts } | Self::Transact { parts, .. } => {
                parts.iter().find_map(|part| match part {
                    Part::Set { value, .. } => Some(&value[..]),
                    Part::Add { .. } | Part::Del { .. } | Part::Get { .. } => None,
                })
            }
            Self::Add { .. }
            | Self::Copy { .. }
            | Self::DbSize
            | Self::Del { .. }
            | Self::Exists { .. }
            | Self::Expire { .. }
            | Self::Extend { .. }
            | Self::FlushAll
            | Self::FlushDb
            | Self::Get { .. }
            | Self::GetBoth { .. }
            | Self::GetDel { .. }
            | Self::Keys { .. }
            | Self::MDel { .. }
            | Self::MGet { .. }
            | Self::Persist { .. }
            | Self::Release { .. }
            | Self::Rename { .. }
            | Self::RenameNx { .. }
            | Self::Save
            | Self::Scan { .. }
            | Self::Ttl { .. }
            | Self::Wait { .. } => None,
        }
    }

    /// The same, to change them.
    pub(super) fn written_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Append { value, .. }
            | Self::Both { value, .. }
            | Self::Discard { value, .. }
            | Self::GetSet { value, .. }
            | Self::MSet { value, .. }
            | Self::MSetNx { value, .. }
            | Self::Set { value, .. }
            | Self::SetFor { value, .. }
            | Self::SetIf { value, .. }
            | Self::SetNx { value, .. }
            | Self::Swap { value, .. }
            | Self::Unwatched { value, .. } => Some(value),
            _ => None,
        }
    }

    /// What it compares with, if it does.
    #[must_use]
    pub fn operand(&self) -> Option<&str> {
        match self {
            Self::Extend { value: operand, .. }
            | Self::Release { value: operand, .. }
            | Self::SetIf {
                condition: Condition::Different(operand) | Condition::Equal(operand),
                ..
            } => Some(operand),
            _ => None,
        }
    }

    /// Runs its script by its hash, if it has one.
    pub(super) const fn run_by_hash(&mut self) {
        if let Self::Extend { by_hash, .. } | Self::Release { by_hash, .. } = self {
            *by_hash = true;
        }
    }

    /// Whether it runs a script by its hash.
    pub(crate) const fn runs_by_hash(&self) -> bool {
        matches!(self, Self::Extend { by_hash: true, .. } | Self::Release { by_hash: true, .. })
    }

    /// The same, to change it.
    pub(super) fn operand_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Extend { value: operand, .. }
            | Self::Release { value: operand, .. }
            | Self::SetIf {
                condition: Condition::Different(operand) | Condition::Equal(operand),
                ..
            } => Some(operand),
            _ => None,
        }
    }

    /// How the keys begin that it shows, if it looks at all of them.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        match self {
            Self::Keys { prefix } | Self::Scan { prefix, .. } => Some(prefix),
            _ => None,
        }
    }

    /// Whether it goes on where another one has come to.
    pub(crate) const fn is_scan(&self) -> bool {
        matches!(self, Self::Scan { .. })
    }

    /// Goes on from `at`, if it is a SCAN.
    pub(crate) const fn go_on(&mut self, at: u64) {
        if let Self::Scan { cursor, .. } = self {
            *cursor = at;
        }
    }

    /// Whether it never writes.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::DbSize
            | Self::Discard { .. }
            | Self::Exists { .. }
            | Self::Get { .. }
            | Self::GetBoth { .. }
            | Self::Keys { .. }
            | Self::MGet { .. }
            | Self::Scan { .. }
            | Self::Ttl { .. }
            | Self::Wait { .. } => true,
            Self::InOrder { parts } | Self::Transact { parts, .. } => {
                parts.iter().all(|part| matches!(part, Part::Get { .. }))
            }
            _ => false,
        }
    }

    /// Whether a key may be gone by it.
    #[must_use]
    pub fn deletes(&self) -> bool {
        match self {
            Self::Del { .. }
            | Self::Expire { .. }
            | Self::Extend { .. }
            | Self::FlushAll
            | Self::FlushDb
            | Self::GetDel { .. }
            | Self::MDel { .. }
            | Self::Release { .. }
            | Self::Rename { .. }
            | Self::RenameNx { .. }
            | Self::SetFor { .. } => true,
            Self::InOrder { parts } | Self::Transact { parts, .. } => {
                parts.iter().any(|part| matches!(part, Part::Del { .. }))
            }
            _ => false,
        }
    }
}
