//! A setup: where a search begins, what may happen, and how often.

use crate::{
    check::cell::Asked,
    command::op::{Action, Condition, Expiry, Op, SetReply},
    limits::{Limits, Timing},
    time::Millis,
};

/// The key of all operations; there is one slot.
pub(super) const KEY: &str = "k";
/// Timers up to so far ahead may fire at any moment (a `Tick`); the later
/// ones only where a setup allows it.
pub(super) const NEAR: Millis = Millis(1_000);

/// What a client asks of the one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// DEL.
    Delete,
    /// GET.
    Get,
    /// INCR.
    Increment,
    /// SET.
    Set(&'static str),
    /// SETNX.
    SetAbsent(&'static str),
}

impl Act {
    /// The request, as a client sends it.
    pub(super) fn words(self) -> String {
        match self {
            Self::Delete => format!("DEL {KEY}"),
            Self::Get => format!("GET {KEY}"),
            Self::Increment => format!("INCR {KEY}"),
            Self::Set(value) => format!("SET {KEY} {value}"),
            Self::SetAbsent(value) => format!("SETNX {KEY} {value}"),
        }
    }

    /// The same for the checker.
    pub(super) fn asked(self) -> Asked {
        let set = |value: &'static str, condition, reply| Action::Set {
            value: value.as_bytes(),
            condition,
            reply,
            expiry: Expiry::Never,
        };
        let action = match self {
            Self::Delete => Action::Delete,
            Self::Get => Action::Get,
            Self::Increment => Action::Increment { by: 1 },
            Self::Set(value) => set(value, Condition::Always, SetReply::Outcome),
            Self::SetAbsent(value) => set(value, Condition::Absent, SetReply::Flag),
        };
        Asked::new(&Op::new(KEY.as_bytes(), action))
    }
}

/// A node, by the part that it has when the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It leads, or would lead if all were there.
    Leader,
    /// One of the others, by number.
    Other(u8),
}

/// An operation, and the node that a client of its own asks for it.
pub type Ask = (Role, Act);

/// Whether something happens as soon as it can, or when the search says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As soon as it can: fewer states.
    AtOnce,
    /// At any time, as a choice of its own.
    Free,
}

/// What a node that crashes loses, and how it begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// What the disk had not called durable: `--fsync always`, or a mere process crash.
    Undurable,
    /// With `--fsync everysec` a power failure that takes the last so many batches. The next life
    /// knows that something may be missing, not what.
    Batches(u8),
    /// The data directory.
    Everything,
}

/// Where a search begins, what may happen and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// By which tests and people call it.
    pub name: &'static str,
    /// How many nodes.
    pub nodes: usize,
    /// A leader is elected before the search begins; else nobody stands yet.
    pub led: bool,
    /// Carried out and settled before the search begins.
    pub before: &'static [Ask],
    /// Asked in the search, each once, at any time.
    pub asks: &'static [Ask],
    /// They are asked in the order in which they stand.
    pub in_order: bool,
    /// The highest ballot's counter.
    pub ballots: u64,
    /// Who may crash with what loss, in all so many times.
    pub crashers: &'static [(Role, Loss)],
    /// How often.
    pub crashes: u8,
    /// The links, by dialer and accepter, that may break with all that is under way on them.
    pub brittle: &'static [(Role, Role)],
    /// How often.
    pub breaks: u8,
    /// Whom its peers may take for dead while it still takes itself for connected.
    pub muters: &'static [Role],
    /// How often.
    pub mutes: u8,
    /// Links, by dialer and accepter, on which no question arrives: one way of a partition.
    pub stalled: &'static [(Role, Role)],
    /// Nodes whose link has ended connect again, unless one of their links is stalled.
    pub reconnects: bool,
    /// Whose timers fire, while they are near, at any time.
    pub tickers: &'static [Role],
    /// How often, of all together.
    pub ticks: u8,
    /// How often one fires that is far.
    pub lates: u8,
    /// The nodes whose disks complete when the search says so; those of the others do at once.
    pub slow_disks: &'static [Role],
    /// When answers on a link arrive.
    pub answers: Pace,
    /// Surveys count among the timers that are near.
    pub surveys: bool,
}

impl Setup {
    /// Nothing happens but requests and elections.
    pub const PLAIN: Self = Self {
        name: "plain",
        nodes: 3,
        led: true,
        before: &[],
        asks: &[],
        in_order: false,
        ballots: 2,
        crashers: &[],
        crashes: 0,
        brittle: &[],
        breaks: 0,
        muters: &[],
        mutes: 0,
        stalled: &[],
        reconnects: true,
        tickers: &[Role::Leader, Role::Other(0), Role::Other(1), Role::Other(2), Role::Other(3)],
        ticks: u8::MAX,
        lates: 0,
        slow_disks: &[],
        answers: Pace::AtOnce,
        surveys: false,
    };

    /// Small, so that a node is cheap to copy.
    pub(super) const fn limits() -> Limits {
        Limits { batch_keys_bits: 64, ..Limits::DEFAULT }
    }

    /// Nothing happens by itself: what is periodic is far, what is tried again is due at once.
    pub(super) const fn timing(&self) -> Timing {
        let heartbeat = if self.surveys { Millis(500) } else { Millis(20_000_000) };
        Timing {
            heartbeat,
            silence: Millis(10_000_000),
            dial: Millis(100_000_000_000),
            redial_min: Millis(0),
            redial_max: Millis(0),
            repair: Millis(if self.surveys { 5_000 } else { 40_000_000_000 }),
            request: Millis(30_000_000),
            ..Timing::DEFAULT
        }
    }
}
