//! What goes wrong in a case, and when.
//!
//! Each seed has some classes of faults and not others, and strikes either here and there or, in a
//! storm, the same victim again and again. Faults may overlap.

use std::fmt;

use super::Config;
use crate::chance::Chance;
use quorate::probe::Hook;
use serde::{Deserialize, Serialize};

/// Hooks at which faults may strike: where something is half done.
const TRIGGERS: [Hook; 10] = [
    Hook::AckSent,
    Hook::CheckpointBegun,
    Hook::CopyTaken,
    Hook::FrameHeld,
    Hook::OfferSent,
    Hook::ReadHeld,
    Hook::SessionBegun,
    Hook::SessionResumed,
    Hook::TombstoneStamped,
    Hook::WalkCompleted,
];

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
        /// [`Hook::name`].
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
    /// The process dies, and its connections end in order; it comes back empty.
    Kill {
        /// Whose.
        node: usize,
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
    /// A read gave fewer bytes than there were.
    CutRead,
    /// A write took fewer bytes than were offered.
    CutWrite,
    /// [`FaultKind::DiskFull`].
    DiskFull,
    /// [`FaultKind::HalfOpen`].
    HalfOpen,
    /// [`FaultKind::Kill`].
    Kill,
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
    /// [`FaultKind::SyncFails`].
    SyncFails,
    /// A client sent its requests in two parts, or only in part: [`super::Torn`].
    TornRequest,
    /// [`FaultKind::Unreadable`].
    Unreadable,
}

impl FaultClass {
    /// All classes, in order.
    pub const ALL: [Self; 19] = [
        Self::BitRot,
        Self::Blackout,
        Self::ClockJump,
        Self::CutRead,
        Self::CutWrite,
        Self::DiskFull,
        Self::HalfOpen,
        Self::Kill,
        Self::OneWay,
        Self::Partition,
        Self::Pause,
        Self::PowerLoss,
        Self::Reset,
        Self::SlowDisk,
        Self::SlowLink,
        Self::SlowReader,
        Self::SyncFails,
        Self::TornRequest,
        Self::Unreadable,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BitRot => "bits rotten",
            Self::Blackout => "blackouts",
            Self::ClockJump => "clock jumps",
            Self::CutRead => "cut reads",
            Self::CutWrite => "cut writes",
            Self::DiskFull => "full disks",
            Self::HalfOpen => "half-open links",
            Self::Kill => "kills",
            Self::OneWay => "one-way partitions",
            Self::Partition => "partitions",
            Self::Pause => "pauses",
            Self::PowerLoss => "power losses",
            Self::Reset => "resets",
            Self::SlowDisk => "slow disks",
            Self::SlowLink => "slow links",
            Self::SlowReader => "slow readers",
            Self::SyncFails => "failed syncs",
            Self::TornRequest => "torn requests",
            Self::Unreadable => "unreadable disks",
        }
    }

    /// Whether it takes two nodes.
    const fn takes_two(self) -> bool {
        match self {
            Self::HalfOpen | Self::OneWay | Self::Partition | Self::Reset | Self::SlowLink => true,
            Self::BitRot
            | Self::Blackout
            | Self::ClockJump
            | Self::CutRead
            | Self::CutWrite
            | Self::DiskFull
            | Self::Kill
            | Self::Pause
            | Self::PowerLoss
            | Self::SlowDisk
            | Self::SlowReader
            | Self::SyncFails
            | Self::TornRequest
            | Self::Unreadable => false,
        }
    }

    /// Whether turmoil can do it.
    #[must_use]
    pub const fn in_turmoil(self) -> bool {
        match self {
            Self::CutRead
            | Self::CutWrite
            | Self::Kill
            | Self::OneWay
            | Self::Partition
            | Self::PowerLoss
            | Self::TornRequest => true,
            Self::BitRot
            | Self::Blackout
            | Self::ClockJump
            | Self::DiskFull
            | Self::HalfOpen
            | Self::Pause
            | Self::Reset
            | Self::SlowDisk
            | Self::SlowLink
            | Self::SlowReader
            | Self::SyncFails
            | Self::Unreadable => false,
        }
    }
}

impl FaultKind {
    /// Whether a process ends by it.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::Blackout | Self::Kill { .. } | Self::PowerLoss { .. })
    }

    /// The nodes that it strikes, apart from a blackout, which strikes all.
    #[must_use]
    pub fn nodes(self) -> Vec<usize> {
        match self {
            Self::Blackout | Self::SlowReader { .. } => Vec::new(),
            Self::BitRot { node }
            | Self::ClockJump { node, .. }
            | Self::DiskFull { node }
            | Self::Kill { node }
            | Self::Pause { node }
            | Self::PowerLoss { node }
            | Self::SlowDisk { node, .. }
            | Self::SyncFails { node }
            | Self::Unreadable { node } => vec![node],
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
            | Self::DiskFull { node }
            | Self::Kill { node }
            | Self::Pause { node }
            | Self::PowerLoss { node }
            | Self::SlowDisk { node, .. }
            | Self::SyncFails { node }
            | Self::Unreadable { node } => vec![node],
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
            Self::DiskFull { .. } => FaultClass::DiskFull,
            Self::HalfOpen { .. } => FaultClass::HalfOpen,
            Self::Kill { .. } => FaultClass::Kill,
            Self::OneWay { .. } => FaultClass::OneWay,
            Self::Partition { .. } => FaultClass::Partition,
            Self::Pause { .. } => FaultClass::Pause,
            Self::PowerLoss { .. } => FaultClass::PowerLoss,
            Self::Reset { .. } => FaultClass::Reset,
            Self::SlowDisk { .. } => FaultClass::SlowDisk,
            Self::SlowLink { .. } => FaultClass::SlowLink,
            Self::SlowReader { .. } => FaultClass::SlowReader,
            Self::SyncFails { .. } => FaultClass::SyncFails,
            Self::Unreadable { .. } => FaultClass::Unreadable,
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
            FaultKind::DiskFull { node } => write!(f, "the disk of n{node} is full"),
            FaultKind::HalfOpen { node, other } => {
                write!(f, "links of n{node} and n{other} end without n{other} being told")
            }
            FaultKind::Kill { node } => write!(f, "n{node} is killed"),
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
            FaultKind::SyncFails { node } => write!(f, "the next sync of n{node} fails"),
            FaultKind::Unreadable { node } => write!(f, "the disk of n{node} can't be read"),
        }
    }
}

/// Which faults a seed has.
pub(super) struct Plan {
    classes: Vec<FaultClass>,
    count: u64,
    /// The same victim each time.
    sticky: bool,
    /// So many in a hundred begin at a hook instead of a time.
    triggered_percent: u64,
    /// Power fails just when something was shown, on a slow disk, with hardly anybody else to
    /// remember it.
    pub(super) alone: bool,
}

impl Plan {
    /// The plan of `seed`.
    pub(super) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "faults", 0);
        let crashes = chance.percent(60);
        let lossy = |share| if crashes { share } else { 0 };
        // Without a start after it, nobody finds out about most of what goes wrong with a disk.
        let disks = crashes && chance.percent(60);
        let disk = |share| if disks { share } else { 0 };
        let mut classes = Vec::new();
        for (class, share) in [
            (FaultClass::Partition, 55),
            (FaultClass::OneWay, 30),
            (FaultClass::PowerLoss, lossy(75)),
            (FaultClass::Kill, lossy(60)),
            (FaultClass::Blackout, lossy(10)),
            (FaultClass::SlowDisk, 20),
            (FaultClass::SyncFails, disk(50)),
            (FaultClass::DiskFull, disk(30)),
            (FaultClass::Unreadable, disk(30)),
            (FaultClass::BitRot, disk(25)),
            (FaultClass::Reset, 40),
            (FaultClass::HalfOpen, 25),
            (FaultClass::Pause, 25),
            (FaultClass::SlowLink, 15),
            (FaultClass::SlowReader, 15),
            (FaultClass::ClockJump, 20),
        ] {
            if chance.percent(share) {
                classes.push(class);
            }
        }
        let mut triggered_percent = chance.pick(&[0, 0, 40, 100]);
        let alone = chance.percent(6);
        if alone {
            classes = vec![FaultClass::PowerLoss, FaultClass::Partition];
            triggered_percent = 100;
        }
        let count = if classes.is_empty() { 0 } else { chance.pick(&[1, 2, 3, 5, 8]) };
        Self { classes, count, sticky: chance.percent(40), triggered_percent, alone }
    }

    /// Whether processes end.
    pub(super) fn crashes(&self) -> bool {
        let crashes = [FaultClass::Blackout, FaultClass::Kill, FaultClass::PowerLoss];
        let mut others = [FaultClass::DiskFull, FaultClass::SyncFails].into_iter();
        self.classes.iter().any(|class| crashes.contains(class))
            || others.any(|class| self.classes.contains(&class))
    }

    /// The faults themselves, in order of time. A node that is down can't crash, but several may be
    /// down at once: what they alone knew is lost, and the others must still become one.
    pub(super) fn faults(&self, seed: u64, config: &Config) -> Vec<Fault> {
        let mut classes = self.classes.clone();
        classes.retain(|class| config.nodes > 1 || !class.takes_two());
        if classes.is_empty() {
            return Vec::new();
        }
        let mut faults: Vec<Fault> =
            (0..self.count).map(|n| self.fault(seed, n, config, &classes)).collect();
        faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
        let mut up_at_ms = vec![0; config.nodes];
        faults.retain(|fault| {
            let Some(at_ms) = fault.at_ms().filter(|_| fault.kind.is_crash()) else {
                return true;
            };
            let struck = match fault.kind {
                FaultKind::Blackout => (0..config.nodes).collect(),
                other => other.nodes(),
            };
            let up = struck.iter().all(|node| at_ms > up_at_ms[*node]);
            for node in struck {
                up_at_ms[node] = up_at_ms[node].max(at_ms + fault.for_ms);
            }
            up
        });
        faults
    }

    fn fault(&self, seed: u64, number: u64, config: &Config, classes: &[FaultClass]) -> Fault {
        let mut chance = Chance::new(seed, "fault", number);
        let nodes = config.nodes as u64;
        let at_ms = chance.between(300, config.span_ms);
        let victim = if self.sticky { 0 } else { number };
        let a = Chance::new(seed, "victim", victim).below(nodes);
        let b = ((a + chance.between(1, nodes.max(2) - 1)) % nodes) as usize;
        let a = a as usize;
        // Shorter than the silence that ends a link, about as long, and long enough for an outbox
        // to overflow.
        let for_ms = match chance.below(4) {
            0 => chance.between(20, 500),
            1 => chance.between(500, 2500),
            2 | 3 => chance.between(2500, 8000),
            4.. => unreachable!("below four"),
        };
        let kind = match chance.pick(classes) {
            FaultClass::BitRot => FaultKind::BitRot { node: a },
            FaultClass::Blackout => FaultKind::Blackout,
            FaultClass::ClockJump => {
                // Back and forth within what all nodes accept of each other, or too far ahead.
                let skew_max = config.timing.skew_max.0;
                let reach = skew_max.min(4000) / 4;
                // What was refused for being ahead comes again only with a later comparison.
                let far = skew_max <= 10_000 && config.repairs() && chance.percent(50);
                let near = chance.between(0, 2 * reach) as i64 - reach as i64;
                let by_ms = if far { skew_max as i64 + 4000 } else { near };
                FaultKind::ClockJump { node: a, by_ms }
            }
            FaultClass::DiskFull => FaultKind::DiskFull { node: a },
            FaultClass::HalfOpen => FaultKind::HalfOpen { node: a, other: b },
            FaultClass::Kill => FaultKind::Kill { node: a },
            FaultClass::OneWay if chance.percent(50) => FaultKind::OneWay { from: a, to: b },
            FaultClass::OneWay => FaultKind::OneWay { from: b, to: a },
            FaultClass::Partition => FaultKind::Partition { a, b },
            FaultClass::Pause => FaultKind::Pause { node: a },
            FaultClass::PowerLoss => FaultKind::PowerLoss { node: a },
            FaultClass::Reset => FaultKind::Reset { a, b },
            FaultClass::SlowDisk => {
                FaultKind::SlowDisk { node: a, by_ms: chance.pick(&[5, 50, 500, 3000]) }
            }
            FaultClass::SlowLink => FaultKind::SlowLink { a, b, by_ms: chance.between(50, 400) },
            FaultClass::SlowReader => {
                FaultKind::SlowReader { client: chance.below(config.clients as u64) as usize }
            }
            FaultClass::SyncFails => FaultKind::SyncFails { node: a },
            FaultClass::Unreadable => FaultKind::Unreadable { node: a },
            FaultClass::CutRead | FaultClass::CutWrite | FaultClass::TornRequest => {
                unreachable!("not in a plan")
            }
        };
        let trigger = chance.percent(self.triggered_percent);
        let when = if trigger {
            // When something was read that is not durable, the power had better not fail.
            let held = matches!(kind, FaultKind::PowerLoss { .. }) && chance.percent(70);
            let hook = if held { Hook::ReadHeld } else { chance.pick(&TRIGGERS) };
            let hook = hook.name().to_owned();
            When::OnNth { node: a, hook, nth: chance.pick(&[1, 1, 2, 5, 20]) }
        } else {
            When::At(at_ms)
        };
        Fault { when, for_ms, kind }
    }
}
