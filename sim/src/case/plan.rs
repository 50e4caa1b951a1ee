//! Which faults a seed has.
//!
//! Each seed has some classes of faults and not others, and strikes either here and there or, in a
//! storm, the same victim again and again. Faults may overlap.

use quorate::probe::Hook;

use super::{Config, Fault, FaultClass, FaultKind, Way, When, brief, dark, drama::Drama, rolling};
use crate::chance::Chance;

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

/// The same in the strong database.
const STRONG_TRIGGERS: [Hook; 17] = [
    Hook::AcceptRefused,
    Hook::Canvassed,
    Hook::Committed,
    Hook::Committed,
    Hook::Elected,
    Hook::Elected,
    Hook::FastRead,
    Hook::FastReadUnclear,
    Hook::Formed,
    Hook::Forwarded,
    Hook::ForwardTaken,
    Hook::InDoubt,
    Hook::PrepareSent,
    Hook::PromiseSent,
    Hook::Restamped,
    Hook::SteppedDown,
    Hook::Unsettled,
];

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
    /// Nodes that sync once a second lose power, instead of all others.
    pub(super) dark: bool,
    /// One node after the other is told to stop, instead of all others.
    pub(super) rolling: bool,
    /// Faults that play together, instead of all others.
    pub(super) drama: Option<Drama>,
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
            (FaultClass::Isolation, 50),
            (FaultClass::Partition, 40),
            (FaultClass::OneWay, 25),
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
        if crashes && Chance::new(seed, "wipes", 0).percent(15) {
            classes.push(FaultClass::Wipe);
        }
        if crashes && Chance::new(seed, "cold restarts", 0).percent(5) {
            classes.push(FaultClass::ColdRestart);
        }
        if crashes && Chance::new(seed, "misdirected writes", 0).percent(20) {
            classes.push(FaultClass::MisdirectedWrite);
        }
        if crashes && Chance::new(seed, "stops", 0).percent(30) {
            classes.push(FaultClass::Stop);
        }
        let mut triggered_percent = chance.pick(&[0, 0, 40, 100]);
        let alone = chance.percent(6);
        if alone {
            classes = vec![FaultClass::PowerLoss, FaultClass::Partition];
            triggered_percent = 100;
        }
        let drawn = chance.pick(&[1, 2, 3, 5, 8]);
        let drawn = if brief::is_drawn(seed) { brief::faults(seed) } else { drawn };
        let count = if classes.is_empty() { 0 } else { drawn };
        let dark = !alone && dark::is_drawn(seed);
        let rolling = !alone && !dark && rolling::is_drawn(seed);
        let drama = Drama::draw(seed).filter(|_| !alone && !dark && !rolling);
        if drama.is_some() || dark || rolling {
            classes = vec![FaultClass::PowerLoss];
        }
        Self {
            classes,
            count,
            drama,
            dark,
            rolling,
            sticky: chance.percent(40),
            triggered_percent,
            alone,
        }
    }

    /// Whether its faults need no case that is made for them.
    pub(super) const fn is_plain(&self) -> bool {
        !self.alone && !self.dark && !self.rolling && self.drama.is_none()
    }

    /// Whether processes end.
    pub(super) fn crashes(&self) -> bool {
        let crashes = [
            FaultClass::Blackout,
            FaultClass::ColdRestart,
            FaultClass::Kill,
            // Who finds that a write went astray ends.
            FaultClass::MisdirectedWrite,
            FaultClass::PowerLoss,
            FaultClass::Stop,
            FaultClass::Wipe,
        ];
        let mut others = [FaultClass::DiskFull, FaultClass::SyncFails].into_iter();
        self.classes.iter().any(|class| crashes.contains(class))
            || others.any(|class| self.classes.contains(&class))
    }

    /// The faults themselves, in order of time. A node that is down can't crash, but several may be
    /// down at once: what they alone knew is lost, and the others must still become one.
    pub(super) fn faults(&self, seed: u64, config: &Config) -> Vec<Fault> {
        if let Some(drama) = self.drama {
            return drama.faults(seed, config);
        }
        if self.dark {
            return dark::faults(seed, config);
        }
        if self.rolling {
            return rolling::faults(seed, config);
        }
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
        let at_ms = chance.between(config.start_ms.max(300), config.span_ms);
        let victim = if self.sticky { 0 } else { number };
        let a = Chance::new(seed, "victim", victim).below(nodes);
        let b = ((a + chance.between(1, nodes.max(2) - 1)) % nodes) as usize;
        let a = a as usize;
        // Shorter than the silence that ends a link, somewhat longer, and, but in brief cases, long
        // enough for an outbox to overflow.
        let silence_ms = config.timing.silence.0;
        let for_ms = match chance.below(if brief::is_drawn(seed) { 4 } else { 5 }) {
            0 => chance.between(20, 500),
            1 => chance.between(500, 1500),
            2 | 3 => silence_ms + chance.between(50, silence_ms),
            4.. => chance.between(2500, 6000),
        };
        let kind = match chance.pick(classes) {
            FaultClass::BitRot => FaultKind::BitRot { node: a },
            FaultClass::Blackout => FaultKind::Blackout,
            FaultClass::ClockJump => {
                FaultKind::ClockJump { node: a, by_ms: clock_jump(&mut chance, config) }
            }
            FaultClass::ColdRestart => FaultKind::ColdRestart { node: a },
            FaultClass::DiskFull => FaultKind::DiskFull { node: a },
            FaultClass::HalfOpen => FaultKind::HalfOpen { node: a, other: b },
            FaultClass::Isolation => {
                let way = chance.pick(&[Way::Both, Way::Both, Way::In, Way::Out]);
                FaultKind::Isolation { node: a, way }
            }
            FaultClass::Kill => FaultKind::Kill { node: a },
            FaultClass::MisdirectedWrite => {
                let twin = Chance::new(seed, "twin", number).percent(50);
                FaultKind::Misdirected { node: a, twin }
            }
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
            FaultClass::Stop => FaultKind::Stop { node: a },
            FaultClass::SyncFails => FaultKind::SyncFails { node: a },
            FaultClass::Unreadable => FaultKind::Unreadable { node: a },
            FaultClass::Wipe => FaultKind::Wipe { node: a },
            FaultClass::CutRead | FaultClass::CutWrite | FaultClass::TornRequest => {
                unreachable!("not in a plan")
            }
        };
        let when = self.when(&mut chance, at_ms, kind, [a, b]);
        Fault { when, for_ms, kind }
    }

    /// At a time, or when a node has just done something.
    fn when(&self, chance: &mut Chance, at_ms: u64, kind: FaultKind, [a, b]: [usize; 2]) -> When {
        let trigger = chance.percent(self.triggered_percent);
        if trigger {
            // When something was read that is not durable, the power had better not fail.
            let held = matches!(kind, FaultKind::PowerLoss { .. }) && chance.percent(40);
            let eventual = held || chance.percent(35);
            let hook = match (held, eventual) {
                (true, _) => Hook::ReadHeld,
                (false, true) => chance.pick(&TRIGGERS),
                (false, false) => chance.pick(&STRONG_TRIGGERS),
            };
            let hook = hook.name().to_owned();
            // What one node does may hurt another.
            let node = if held || chance.percent(60) { a } else { b };
            When::OnNth { node, hook, nth: chance.pick(&[1, 1, 2, 5, 20]) }
        } else {
            When::At(at_ms)
        }
    }
}

/// Back and forth within what all nodes accept of each other, or too far ahead.
fn clock_jump(chance: &mut Chance, config: &Config) -> i64 {
    let skew_max = config.timing.skew_max.0;
    let reach = skew_max.min(4000) / 4;
    // What was refused for being ahead comes again only with a later comparison.
    let far = skew_max <= 10_000 && config.repairs() && chance.percent(50);
    let near = chance.between(0, 2 * reach) as i64 - reach as i64;
    if far { skew_max as i64 + 4000 } else { near }
}
