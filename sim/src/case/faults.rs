//! What goes wrong in a case, and when.
//!
//! Each seed has some classes of faults and not others, and strikes either here and there or, in a
//! storm, the same victim again and again. Faults may overlap.

use std::fmt;

use super::Config;
use crate::chance::Chance;

/// One thing that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The process dies, and its connections end in order; it comes back empty.
    Kill {
        /// Whose.
        node: usize,
    },
    /// Messages get lost in one direction.
    OneWay {
        /// Whose messages.
        from: usize,
        /// Who gets none.
        to: usize,
    },
    /// Messages get lost in both directions.
    Partition {
        /// One side.
        a: usize,
        /// The other one.
        b: usize,
    },
    /// The machine goes dark, and its connections with it; it comes back empty.
    PowerLoss {
        /// Which.
        node: usize,
    },
}

/// Kinds of faults, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultClass {
    /// A read gave fewer bytes than there were.
    CutRead,
    /// A write took fewer bytes than were offered.
    CutWrite,
    /// [`FaultKind::Kill`].
    Kill,
    /// [`FaultKind::OneWay`].
    OneWay,
    /// [`FaultKind::Partition`].
    Partition,
    /// [`FaultKind::PowerLoss`].
    PowerLoss,
}

impl FaultClass {
    /// All classes, in order.
    pub const ALL: [Self; 6] =
        [Self::CutRead, Self::CutWrite, Self::Kill, Self::OneWay, Self::Partition, Self::PowerLoss];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CutRead => "cut reads",
            Self::CutWrite => "cut writes",
            Self::Kill => "kills",
            Self::OneWay => "one-way partitions",
            Self::Partition => "partitions",
            Self::PowerLoss => "power losses",
        }
    }
}

impl FaultKind {
    /// Whether a node forgets everything by it.
    #[must_use]
    pub const fn loses_memory(self) -> bool {
        match self {
            Self::Kill { .. } | Self::PowerLoss { .. } => true,
            Self::OneWay { .. } | Self::Partition { .. } => false,
        }
    }

    /// The nodes that it strikes.
    #[must_use]
    pub fn nodes(self) -> Vec<usize> {
        match self {
            Self::Kill { node } | Self::PowerLoss { node } => vec![node],
            Self::OneWay { from: a, to: b } | Self::Partition { a, b } => vec![a, b],
        }
    }

    /// Its class.
    #[must_use]
    pub const fn class(self) -> FaultClass {
        match self {
            Self::Kill { .. } => FaultClass::Kill,
            Self::OneWay { .. } => FaultClass::OneWay,
            Self::Partition { .. } => FaultClass::Partition,
            Self::PowerLoss { .. } => FaultClass::PowerLoss,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} ms: ", self.at_ms, self.at_ms + self.for_ms)?;
        match self.kind {
            FaultKind::Kill { node } => write!(f, "n{node} is killed"),
            FaultKind::OneWay { from, to } => write!(f, "n{from} can't reach n{to}"),
            FaultKind::Partition { a, b } => write!(f, "n{a} and n{b} are cut off from each other"),
            FaultKind::PowerLoss { node } => write!(f, "n{node} has no power"),
        }
    }
}

/// Which faults a seed has.
pub(super) struct Plan {
    classes: Vec<FaultClass>,
    count: u64,
    /// The same victim each time.
    sticky: bool,
}

impl Plan {
    /// The plan of `seed`. Half of the seeds lose no memory: only then must every acknowledged
    /// write survive.
    pub(super) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "faults", 0);
        let crashes = chance.percent(50);
        let mut classes = Vec::new();
        for (class, share) in [
            (FaultClass::Partition, 65),
            (FaultClass::OneWay, 40),
            (FaultClass::PowerLoss, if crashes { 75 } else { 0 }),
            (FaultClass::Kill, if crashes { 60 } else { 0 }),
        ] {
            if chance.percent(share) {
                classes.push(class);
            }
        }
        let count = if classes.is_empty() { 0 } else { chance.pick(&[1, 2, 3, 5, 8]) };
        Self { classes, count, sticky: chance.percent(40) }
    }

    /// Whether a node may forget everything.
    pub(super) fn loses_memory(&self) -> bool {
        self.classes.iter().any(|class| matches!(class, FaultClass::Kill | FaultClass::PowerLoss))
    }

    /// The faults themselves, in order of time. A node that is down can't crash, but several may be
    /// down at once: what they alone knew is lost, and the others must still become one.
    pub(super) fn faults(&self, seed: u64, config: &Config) -> Vec<Fault> {
        let mut faults: Vec<Fault> = (0..self.count).map(|n| self.fault(seed, n, config)).collect();
        faults.sort_by_key(|fault| fault.at_ms);
        let mut up_at_ms = vec![0; config.nodes];
        faults.retain(|fault| match fault.kind {
            FaultKind::Kill { node } | FaultKind::PowerLoss { node } => {
                let up = fault.at_ms > up_at_ms[node];
                up_at_ms[node] = up_at_ms[node].max(fault.at_ms + fault.for_ms);
                up
            }
            FaultKind::OneWay { .. } | FaultKind::Partition { .. } => true,
        });
        faults
    }

    fn fault(&self, seed: u64, number: u64, config: &Config) -> Fault {
        let mut chance = Chance::new(seed, "fault", number);
        let nodes = config.nodes as u64;
        let at_ms = chance.between(300, config.span_ms);
        let victim = if self.sticky { 0 } else { number };
        let a = Chance::new(seed, "victim", victim).below(nodes);
        let b = ((a + chance.between(1, nodes - 1)) % nodes) as usize;
        let a = a as usize;
        // Shorter than the silence that ends a link, about as long, and long enough for an outbox
        // to overflow.
        let for_ms = match chance.below(4) {
            0 => chance.between(20, 500),
            1 => chance.between(500, 2500),
            2 | 3 => chance.between(2500, 8000),
            4.. => unreachable!("below four"),
        };
        let kind = match chance.pick(&self.classes) {
            FaultClass::Kill => FaultKind::Kill { node: a },
            FaultClass::OneWay if chance.percent(50) => FaultKind::OneWay { from: a, to: b },
            FaultClass::OneWay => FaultKind::OneWay { from: b, to: a },
            FaultClass::Partition => FaultKind::Partition { a, b },
            FaultClass::PowerLoss => FaultKind::PowerLoss { node: a },
            FaultClass::CutRead | FaultClass::CutWrite => unreachable!("not in a plan"),
        };
        Fault { at_ms, for_ms, kind }
    }
}
