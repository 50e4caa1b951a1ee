//! Transactions: what a connection has queued since MULTI, and what it watches.
//!
//! Owns nothing but what was said: whether the versions still hold, and what the requests come to,
//! is for the owner. What makes a transaction worthless is remembered until it ends: a request that
//! was no command, one that is not offered here, one that found no room. So is a WATCH that was not
//! carried out, for what follows it would be carried out unwatched.

use crate::{
    command::{Ask, Command, CommandError},
    limits::Limits,
    probe::{Mutant, planted},
    proto::{Args, Stored},
    record::{Db, Version},
};

/// What is to be carried out together.
#[derive(Clone, Debug, Default, Hash)]
pub struct Transaction {
    /// In order; each is a command, though its options may turn out to be wrong.
    pub requests: Stored,
    /// Keys, and the versions that they must have.
    pub watched: Vec<Watched>,
}

/// A key and its version when it was watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched {
    /// In the strong database.
    pub key: Box<[u8]>,
    /// A tombstone's too; none if there was nothing.
    pub version: Version,
}

/// Where a connection is with its transaction.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Multi {
    /// Between MULTI and EXEC.
    open: bool,
    /// It will not be carried out.
    broken: bool,
    /// A WATCH is not answered; there is one at a time.
    asked: bool,
    /// Its answer comes too late.
    outdated: bool,
    transaction: Transaction,
}

/// Why a request is not queued. It breaks the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// As Redis has it, it is never part of a transaction.
    Forbidden,
    /// There are too many, or too many bytes.
    Full,
    /// It can't be part of a transaction.
    NotOffered,
    /// It selects another database, and a transaction is of one.
    OtherDb,
}

impl Multi {
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// MULTI.
    pub(super) const fn open(&mut self) {
        self.open = true;
    }

    /// A request that can't be carried out came in between.
    pub(super) const fn spoil(&mut self) {
        self.broken |= self.open;
    }

    /// A request to be carried out with the others.
    pub(super) fn queue(
        &mut self,
        args: Args<'_>,
        command: Option<&Command<'_>>,
        db: Db,
        limits: &Limits,
    ) -> Result<(), NotQueued> {
        let requests = &mut self.transaction.requests;
        let size = requests.size() + args.iter().map(<[u8]>::len).sum::<usize>();
        let fits = requests.len() < limits.queue_max && size <= limits.queue_size_max;
        let outcome = match command.map_or(Ok(()), |command| may_queue(command, db)) {
            Ok(()) if fits => {
                requests.push(args);
                Ok(())
            }
            Ok(()) => Err(NotQueued::Full),
            refused => refused,
        };
        self.broken |= outcome.is_err();
        outcome
    }

    /// EXEC: the transaction, unless it is broken. All is over with it.
    pub(super) fn take(&mut self) -> Option<Transaction> {
        debug_assert!(!self.asked, "EXEC waits for what it watches");
        let Self { broken, transaction, .. } = std::mem::take(self);
        (!broken).then_some(transaction)
    }

    /// DISCARD, RESET, and what ends a transaction by mistake.
    pub(super) fn clear(&mut self) {
        let asked = self.asked;
        *self = Self { asked, outdated: asked, ..Self::default() };
    }

    /// UNWATCH.
    pub(super) fn unwatch(&mut self) {
        if !planted(Mutant::UnwatchIgnored) {
            self.transaction.watched = Vec::new();
        }
        self.broken = false;
    }

    /// Whether so many more keys can be watched.
    pub(super) const fn may_watch(&self, count: usize, limits: &Limits) -> bool {
        self.transaction.watched.len() + count <= limits.watched_max
    }

    /// What is to be carried out, unless it will not be.
    pub(super) fn requests(&self) -> Option<&Stored> {
        (self.open && !self.broken).then_some(&self.transaction.requests)
    }

    /// A WATCH waits for its answer.
    pub(super) const fn on_asked(&mut self) {
        self.asked = true;
    }

    /// What a WATCH came to: nothing if it was not carried out.
    pub(super) fn on_watched(&mut self, watched: Option<Vec<Watched>>) {
        self.asked = false;
        match watched {
            _ if std::mem::take(&mut self.outdated) => {}
            Some(more) => self.transaction.watched.extend(more),
            None => self.broken = true,
        }
    }

    /// A WATCH was refused.
    pub(super) const fn on_refused(&mut self) {
        self.broken = true;
    }

    /// Whether a WATCH is not answered yet.
    pub(super) const fn is_asking(&self) -> bool {
        self.asked
    }

    /// Memory held, in bytes.
    pub(super) fn memory(&self) -> usize {
        let Transaction { requests, watched } = &self.transaction;
        let keys = watched.iter().map(|watched| watched.key.len()).sum::<usize>();
        requests.memory() + watched.capacity() * size_of::<Watched>() + keys
    }
}

/// Whether a request that is none is found out when it is queued; others are when it is their turn.
pub(super) fn is_early(error: &CommandError<'_>, count: usize) -> bool {
    match error {
        CommandError::Arity { spec } => !spec.takes(count),
        CommandError::SubcommandArity { .. }
        | CommandError::UnknownCommand { .. }
        | CommandError::UnknownSubcommand { .. } => true,
        _ => false,
    }
}

/// Whether a command is carried out at once between MULTI and EXEC, too.
pub(super) const fn is_immediate(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Discard
            | Command::Exec
            | Command::Multi
            | Command::Quit
            | Command::Reset
            | Command::Watch { .. }
    )
}

/// Whether a command can be part of a transaction: what is about keys by name, and what can be
/// answered from nothing.
fn may_queue(command: &Command<'_>, selected: Db) -> Result<(), NotQueued> {
    match command {
        Command::Copy { .. }
        | Command::Del { .. }
        | Command::Echo { .. }
        | Command::Eval { .. }
        | Command::Exists { .. }
        | Command::Lcs { .. }
        | Command::MGet { .. }
        | Command::MSet { .. }
        | Command::MSetNx { .. }
        | Command::Op { .. }
        | Command::Ping { .. }
        | Command::Time
        | Command::Unwatch => Ok(()),
        Command::Select { db } if *db == selected => Ok(()),
        Command::Select { .. } => Err(NotQueued::OtherDb),
        Command::Ask(Ask::Shutdown) | Command::Save { background: false } => {
            Err(NotQueued::Forbidden)
        }
        _ => Err(NotQueued::NotOffered),
    }
}
