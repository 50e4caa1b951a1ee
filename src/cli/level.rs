//! Consistency levels by name, for flags.

use clap::ValueEnum;
use quorate::record::Db;

/// A level, which is a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Database 0: linearizable
    Strong,
    /// Database 1: a majority, the newest version wins
    Quorum,
    /// Database 2: one node, the newest version wins
    Eventual,
}

impl Level {
    pub(super) const fn db(self) -> Db {
        match self {
            Self::Strong => Db::STRONG,
            Self::Quorum => Db::QUORUM,
            Self::Eventual => Db::EVENTUAL,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Quorum => "quorum",
            Self::Eventual => "eventual",
        }
    }
}
