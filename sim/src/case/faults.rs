//! What goes wrong in a case, and when.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When it begins.
    pub when: When,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub kind: FaultKind,
}

/// When a fault begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// At this time, in milliseconds.
    At(u64),
    /// When a node passes a hook for the `nth` time, counting from 1.
    OnNth {
        /// Which.
        node: usize,
        /// [`quorate::probe::Hook::name`].
        hook: String,
        /// Which time.
        nth: u64,
    },
}

impl Fault {
    /// When it begins, if time decides that.
    #[must_use]
    pub const fn at_ms(&self) -> Option<u64> {
        match self.when {
            When::At(at_ms) => Some(at_ms),
            When::OnNth { .. } => None,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A bit flips in a file that was synced long ago. The next start finds out.
    BitRot {
        /// On whose disk.
        node: usize,
    },
    /// All machines go dark at once.
    Blackout,
    /// A wall clock jumps, and is put right in the end.
    ClockJump {
        /// Whose.
        node: usize,
        /// How far.
        by_ms: i64,
    },
    /// The process dies, and an operator starts it again with the word to start cold.
    ColdRestart {
        /// Whose.
        node: usize,
    },
    /// There is no room left on a disk.
    DiskFull {
        /// Whose.
        node: usize,
    },
    /// The connections between two nodes die on one side, and the other side is not told.
    HalfOpen {
        /// Who notices.
        node: usize,
        /// Who doesn't.
        other: usize,
    },
    /// A node and all others are cut off from each other; clients reach it.
    Isolation {
        /// Which.
        node: usize,
        /// Which way.
        way: Way,
    },
    /// The process dies, and its connections end in order; it comes back empty.
    Kill {
        /// Whose.
        node: usize,
    },
    /// The next write of a segment or a checkpoint lands somewhere else on the disk. In the end the
    /// process is started again, and finds out.
    Misdirected {
        /// On whose disk.
        node: usize,
        /// Rather one that is as long as an earlier one of its file, and on that; then the process ends at
        /// once.
        #[serde(default)]
        twin: bool,
    },
    /// Messages get stuck in one direction.
    OneWay {
        /// Whose messages.
        from: usize,
        /// Who gets none.
        to: usize,
    },
    /// Messages get stuck in both directions.
    Partition {
        /// One side.
        a: usize,
        /// The other one.
        b: usize,
    },
    /// A process stands still while the world goes on.
    Pause {
        /// Which.
        node: usize,
    },
    /// The machine goes dark, and its connections with it. What its disk had not synced is kept, lost or torn.
    PowerLoss {
        /// Which.
        node: usize,
    },
    /// The connections between two nodes break, with all that is under way on them.
    Reset {
        /// One side.
        a: usize,
        /// The other one.
        b: usize,
    },
    /// A disk takes longer.
    SlowDisk {
        /// Whose.
        node: usize,
        /// How much longer for each batch.
        by_ms: u64,
    },
    /// Messages between two nodes take longer.
    SlowLink {
        /// One side.
        a: usize,
        /// The other one.
        b: usize,
        /// How much longer.
        by_ms: u64,
    },
    /// A client stops reading its replies.
    SlowReader {
        /// Which.
        client: usize,
    },
    /// The process is told to stop, and does so in order; it is started again in the end.
    Stop {
        /// Which.
        node: usize,
    },
    /// The next sync of a disk fails, and what it should have written is not there after a power
    /// failure.
    SyncFails {
        /// Whose.
        node: usize,
    },
    /// A disk can't be read.
    Unreadable {
        /// Whose.
        node: usize,
    },
    /// The machine goes dark and comes back with an empty disk. If another node has not yet
    /// recovered from a loss, it is only a power failure.
    Wipe {
        /// Whose.
        node: usize,
    },
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// In and out.
    Both,
    /// What the others send does not arrive.
    In,
    /// What it sends does not arrive.
    Out,
}

impl Way {
    /// Whether what the node sends is held back, and whether what it is sent is.
    #[must_use]
    pub const fn blocks(self) -> (bool, bool) {
        match self {
            Self::Both => (true, true),
            Self::In => (false, true),
            Self::Out => (true, false),
        }
    }
}

/// Kinds of faults, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultClass {
    /// [`FaultKind::BitRot`].
    BitRot,
    /// [`FaultKind::Blackout`].
    Blackout,
    /// [`FaultKind::ClockJump`].
    ClockJump,
    /// [`FaultKind::ColdRestart`].
    ColdRestart,
    /// A read gave fewer bytes than there were.
    CutRead,
    /// A write took fewer bytes than were offered.
    CutWrite,
    /// [`FaultKind::DiskFull`].
    DiskFull,
    /// [`FaultKind::HalfOpen`].
    HalfOpen,
    /// [`FaultKind::Isolation`].
    Isolation,
    /// [`FaultKind::Kill`].
    Kill,
    /// [`FaultKind::Misdirected`].
    MisdirectedWrite,
    /// [`FaultKind::OneWay`].
    OneWay,
    /// [`FaultKind::Partition`].
    Partition,
    /// [`FaultKind::Pause`].
    Pause,
    /// [`FaultKind::PowerLoss`].
    PowerLoss,
    /// [`FaultKind::Reset`].
    Reset,
    /// [`FaultKind::SlowDisk`].
    SlowDisk,
    /// [`FaultKind::SlowLink`].
    SlowLink,
    /// [`FaultKind::SlowReader`].
    SlowReader,
    /// [`FaultKind::Stop`].
    Stop,
    /// [`FaultKind::SyncFails`].
    SyncFails,
    /// A client sent its requests in two parts, or only in part: [`super::Torn`].
    TornRequest,
    /// [`FaultKind::Unreadable`].
    Unreadable,
    /// [`FaultKind::Wipe`].
    Wipe,
}

impl FaultClass {
    /// All classes, in order.
    pub const ALL: [Self; 24] = [
        Self::BitRot,
        Self::Blackout,
        Self::ClockJump,
        Self::ColdRestart,
        Self::CutRead,
        Self::CutWrite,
        Self::DiskFull,
        Self::HalfOpen,
        Self::Isolation,
        Self::Kill,
        Self::MisdirectedWrite,
        Self::OneWay,
        Self::Partition,
        Self::Pause,
        Self::PowerLoss,
        Self::Reset,
        Self::SlowDisk,
        Self::SlowLink,
        Self::SlowReader,
        Self::Stop,
        Self::SyncFails,
        Self::TornRequest,
        Self::Unreadable,
        Self::Wipe,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BitRot => "bits rotten",
            Self::Blackout => "blackouts",
            Self::ClockJump => "clock jumps",
            Self::ColdRestart => "cold restarts",
            Self::CutRead => "cut reads",
            Self::CutWrite => "cut writes",
            Self::DiskFull => "full disks",
            Self::HalfOpen => "half-open links",
            Self::Isolation => "isolations",
            Self::Kill => "kills",
            Self::MisdirectedWrite => "misdirected writes",
            Self::OneWay => "one-way partitions",
            Self::Partition => "partitions",
            Self::Pause => "pauses",
            Self::PowerLoss => "power losses",
            Self::Reset => "resets",
            Self::SlowDisk => "slow disks",
            Self::SlowLink => "slow links",
            Self::SlowReader => "slow readers",
            Self::Stop => "stops",
            Self::SyncFails => "failed syncs",
            Self::TornRequest => "torn requests",
            Self::Unreadable => "unreadable disks",
            Self::Wipe => "wiped disks",
        }
    }

    /// Whether it takes two nodes.
    pub(super) const fn takes_two(self) -> bool {
        match self {
            Self::HalfOpen
            | Self::Isolation
            | Self::OneWay
            | Self::Partition
            | Self::Reset
            | Self::SlowLink => true,
            Self::BitRot
            | Self::Blackout
            | Self::ClockJump
            | Self::ColdRestart
            | Self::CutRead
            | Self::CutWrite
            | Self::DiskFull
            | Self::Kill
            | Self::MisdirectedWrite
            | Self::Pause
            | Self::PowerLoss
            | Self::SlowDisk
            | Self::SlowReader
            | Self::Stop
            | Self::SyncFails
            | Self::TornRequest
            | Self::Unreadable
            | Self::Wipe => false,
        }
    }

    /// Whether turmoil can do it.
    #[must_use]
    pub const fn in_turmoil(self) -> bool {
        match self {
            Self::CutRead
            | Self::CutWrite
            | Self::Isolation
            | Self::Kill
            | Self::OneWay
            | Self::Partition
            | Self::PowerLoss
            | Self::TornRequest => true,
            Self::BitRot
            | Self::Blackout
            | Self::ClockJump
            | Self::ColdRestart
            | Self::DiskFull
            | Self::HalfOpen
            | Self::MisdirectedWrite
            | Self::Pause
            | Self::Reset
            | Self::SlowDisk
            | Self::SlowLink
            | Self::SlowReader
            | Self::Stop
            | Self::SyncFails
            | Self::Unreadable
            | Self::Wipe => false,
        }
    }
}

impl FaultKind {
    /// Whether a process ends by it.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        matches!(
            self,
            Self::Blackout
                | Self::ColdRestart { .. }
                | Self::Kill { .. }
                | Self::PowerLoss { .. }
                | Self::Stop { .. }
                | Self::Wipe { .. }
        )
    }

    /// The nodes that it strikes, apart from a blackout, which strikes all.
    #[must_use]
    pub fn nodes(self) -> Vec<usize> {
        match self {
            Self::Blackout | Self::SlowReader { .. } => Vec::new(),
            Self::BitRot { node }
            | Self::ClockJump { node, .. }
            | Self::ColdRestart { node }
            | Self::DiskFull { node }
            | Self::Isolation { node, .. }
            | Self::Kill { node }
            | Self::Misdirected { node, .. }
            | Self::Pause { node }
            | Self::PowerLoss { node }
            | Self::SlowDisk { node, .. }
            | Self::Stop { node }
            | Self::SyncFails { node }
            | Self::Unreadable { node }
            | Self::Wipe { node } => vec![node],
            Self::HalfOpen { node: a, other: b }
            | Self::OneWay { from: a, to: b }
            | Self::Partition { a, b }
            | Self::Reset { a, b }
            | Self::SlowLink { a, b, .. } => vec![a, b],
        }
    }

    /// The same, to give them other numbers.
    pub(super) fn nodes_mut(&mut self) -> Vec<&mut usize> {
        match self {
            Self::Blackout | Self::SlowReader { .. } => Vec::new(),
            Self::BitRot { node }
            | Self::ClockJump { node, .. }
            | Self::ColdRestart { node }
            | Self::DiskFull { node }
            | Self::Isolation { node, .. }
            | Self::Kill { node }
            | Self::Misdirected { node, .. }
            | Self::Pause { node }
            | Self::PowerLoss { node }
            | Self::SlowDisk { node, .. }
            | Self::Stop { node }
            | Self::SyncFails { node }
            | Self::Unreadable { node }
            | Self::Wipe { node } => vec![node],
            Self::HalfOpen { node: a, other: b }
            | Self::OneWay { from: a, to: b }
            | Self::Partition { a, b }
            | Self::Reset { a, b }
            | Self::SlowLink { a, b, .. } => vec![a, b],
        }
    }

    /// Its class.
    #[must_use]
    pub const fn class(self) -> FaultClass {
        match self {
            Self::BitRot { .. } => FaultClass::BitRot,
            Self::Blackout => FaultClass::Blackout,
            Self::ClockJump { .. } => FaultClass::ClockJump,
            Self::ColdRestart { .. } => FaultClass::ColdRestart,
            Self::DiskFull { .. } => FaultClass::DiskFull,
            Self::HalfOpen { .. } => FaultClass::HalfOpen,
            Self::Isolation { .. } => FaultClass::Isolation,
            Self::Kill { .. } => FaultClass::Kill,
            Self::Misdirected { .. } => FaultClass::MisdirectedWrite,
            Self::OneWay { .. } => FaultClass::OneWay,
            Self::Partition { .. } => FaultClass::Partition,
            Self::Pause { .. } => FaultClass::Pause,
            Self::PowerLoss { .. } => FaultClass::PowerLoss,
            Self::Reset { .. } => FaultClass::Reset,
            Self::SlowDisk { .. } => FaultClass::SlowDisk,
            Self::SlowLink { .. } => FaultClass::SlowLink,
            Self::SlowReader { .. } => FaultClass::SlowReader,
            Self::Stop { .. } => FaultClass::Stop,
            Self::SyncFails { .. } => FaultClass::SyncFails,
            Self::Unreadable { .. } => FaultClass::Unreadable,
            Self::Wipe { .. } => FaultClass::Wipe,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::At(at_ms) => write!(f, "{at_ms} to {} ms: ", at_ms + self.for_ms)?,
            When::OnNth { node, hook, nth } => {
                write!(f, "for {} ms when n{node} passes {hook} for time {nth}: ", self.for_ms)?;
            }
        }
        match self.kind {
            FaultKind::BitRot { node } => write!(f, "a bit flips on the disk of n{node}"),
            FaultKind::Blackout => write!(f, "no node has power"),
            FaultKind::ClockJump { node, by_ms } => {
                write!(f, "the wall clock of n{node} jumps by {by_ms} ms")
            }
            FaultKind::ColdRestart { node } => write!(f, "n{node} is restarted to start cold"),
            FaultKind::DiskFull { node } => write!(f, "the disk of n{node} is full"),
            FaultKind::HalfOpen { node, other } => {
                write!(f, "links of n{node} and n{other} end without n{other} being told")
            }
            FaultKind::Isolation { node, way: Way::Both } => {
                write!(f, "n{node} and all other nodes are cut off from each other")
            }
            FaultKind::Isolation { node, way: Way::In } => write!(f, "no node can reach n{node}"),
            FaultKind::Isolation { node, way: Way::Out } => write!(f, "n{node} can reach no node"),
            FaultKind::Kill { node } => write!(f, "n{node} is killed"),
            FaultKind::Misdirected { node, twin: false } => {
                write!(f, "the next write of n{node} lands somewhere else on its disk")
            }
            FaultKind::Misdirected { node, twin: true } => {
                write!(f, "a write of n{node} lands on an earlier one of its size")
            }
            FaultKind::OneWay { from, to } => write!(f, "n{from} can't reach n{to}"),
            FaultKind::Partition { a, b } => write!(f, "n{a} and n{b} are cut off from each other"),
            FaultKind::Pause { node } => write!(f, "n{node} stands still"),
            FaultKind::PowerLoss { node } => write!(f, "n{node} has no power"),
            FaultKind::Reset { a, b } => write!(f, "links of n{a} and n{b} break"),
            FaultKind::SlowDisk { node, by_ms } => {
                write!(f, "the disk of n{node} takes {by_ms} ms longer")
            }
            FaultKind::SlowLink { a, b, by_ms } => {
                write!(f, "messages between n{a} and n{b} take {by_ms} ms longer")
            }
            FaultKind::SlowReader { client } => write!(f, "c{client} does not read"),
            FaultKind::Stop { node } => write!(f, "n{node} is told to stop"),
            FaultKind::SyncFails { node } => write!(f, "the next sync of n{node} fails"),
            FaultKind::Unreadable { node } => write!(f, "the disk of n{node} can't be read"),
            FaultKind::Wipe { node } => write!(f, "n{node} has no power and gets an empty disk"),
        }
    }
}
