//! The lights go out: nodes that sync once a second lose power, one or some or all, and come back one
//! after the other; now and then a directory is gone, too.
//!
//! Who may have lost something does not vote before it has recovered; where too many may have, all
//! disks are merged. Both are at their weakest when somebody goes down in the midst of it, so faults
//! wait for just that.

use quorate::probe::Hook;

use super::{Config, Disks, Fault, FaultKind, Way, When};
use crate::chance::Chance;

/// Where something is half done.
const MOMENTS: [Hook; 6] = [
    Hook::ColdStartBegun,
    Hook::ColdStarted,
    Hook::Elected,
    Hook::Recovered,
    Hook::RecoveryBegun,
    Hook::RecoveryLearnt,
];

/// Whether the lights go out in the case of `seed`.
pub(super) fn is_drawn(seed: u64) -> bool {
    Chance::new(seed, "dark", 0).percent(7)
}

/// How many nodes it needs.
pub(super) fn nodes(seed: u64) -> usize {
    Chance::new(seed, "dark", 1).pick(&[1, 2, 2, 3, 3, 3, 3, 3, 4, 5])
}

/// Disks whose writes count before they are synced.
pub(super) fn disks(seed: u64) -> Disks {
    let mut chance = Chance::new(seed, "dark", 2);
    Disks {
        batch_us: chance.pick(&[(50, 200), (500, 5000)]),
        everysec: true,
        segment_size: chance.pick(&[4000, 64 << 20]),
    }
}

/// Its faults, in order of time.
pub(super) fn faults(seed: u64, config: &Config) -> Vec<Fault> {
    let chance = Chance::new(seed, "dark", 3);
    let mut night = Night { chance, config, at_ms: config.start_ms, faults: Vec::new() };
    night.at_ms += night.chance.between(0, 1500);
    while night.at_ms < config.span_ms {
        match night.chance.below(9) {
            0 => night.blackout(),
            1 | 2 => night.stagger(config.nodes),
            3 => night.stagger(config.nodes / 2 + 1),
            4..=6 => night.forget(),
            7 => night.tell(),
            _ => night.wipe(),
        }
        let rest = 4 * config.timing.silence.0;
        night.at_ms += night.chance.between(rest / 2, 2 * rest);
    }
    night.faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
    night.faults
}

struct Night<'a> {
    chance: Chance,
    config: &'a Config,
    at_ms: u64,
    faults: Vec<Fault>,
}

impl Night<'_> {
    fn add(&mut self, when: When, for_ms: u64, kind: FaultKind) {
        self.faults.push(Fault { when, for_ms, kind });
    }

    /// Some nodes, another order each time.
    fn victims(&mut self, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.config.nodes).collect();
        for left in (1..all.len()).rev() {
            all.swap(left, self.chance.below(left as u64 + 1) as usize);
        }
        all.truncate(count);
        all
    }

    fn blackout(&mut self) {
        let for_ms = self.chance.between(50, 2000);
        self.add(When::At(self.at_ms), for_ms, FaultKind::Blackout);
        self.at_ms += for_ms;
        self.interrupt();
    }

    /// Several lose power at about the same time, and come back when they like.
    fn stagger(&mut self, count: usize) {
        let mut longest = 0;
        for node in self.victims(count) {
            let at_ms = self.at_ms + self.chance.pick(&[0, 0, 5, 100]);
            let for_ms = self.chance.pick(&[50, 300, 1000, 3000]);
            longest = longest.max(for_ms);
            self.add(When::At(at_ms), for_ms, FaultKind::PowerLoss { node });
        }
        self.at_ms += longest;
        self.interrupt();
    }

    /// A minority loses power, and those that remember are cut off as soon as it is back.
    fn forget(&mut self) {
        let nodes = self.config.nodes;
        let few = nodes - (nodes / 2 + 1);
        let victims = self.victims(nodes);
        let for_ms = self.chance.between(20, 150);
        for node in victims.iter().copied().take(few) {
            self.add(When::At(self.at_ms), for_ms, FaultKind::PowerLoss { node });
        }
        let at_ms = self.at_ms + for_ms - self.chance.pick(&[0, 10]);
        let long_ms = self.chance.between(3, 8) * self.config.timing.silence.0;
        for node in victims.into_iter().skip(few).take(few) {
            let kind = match self.chance.below(3) {
                0 => FaultKind::Kill { node },
                _ => FaultKind::Isolation { node, way: Way::Both },
            };
            self.add(When::At(at_ms), long_ms, kind);
        }
        self.at_ms += for_ms + long_ms;
    }

    /// Of two that remember one forgets all and the other goes away; the rest is told to start cold,
    /// which may be less than knows of everything.
    fn tell(&mut self) {
        let mut victims = self.victims(self.config.nodes).into_iter();
        let (Some(first), away) = (victims.next(), victims.next()) else { return };
        let behind: Vec<usize> = victims.collect();
        let (since_ms, long_ms) =
            (2 * self.config.timing.silence.0, self.chance.between(1200, 3000));
        for node in &behind {
            let kind = FaultKind::Isolation { node: *node, way: Way::Both };
            self.add(When::At(self.at_ms), since_ms + long_ms, kind);
        }
        self.at_ms += since_ms + long_ms;
        self.add(When::At(self.at_ms - 20), 20, FaultKind::Wipe { node: first });
        if let Some(node) = away {
            self.add(When::At(self.at_ms), 2 * long_ms, FaultKind::Kill { node });
        }
        let at_ms = self.at_ms + self.chance.between(20, 500);
        for node in behind.into_iter().chain([first]) {
            self.add(When::At(at_ms), 20, FaultKind::ColdRestart { node });
        }
        self.at_ms = at_ms;
    }

    fn wipe(&mut self) {
        for node in self.victims(1) {
            let for_ms = self.chance.between(20, 1000);
            self.add(When::At(self.at_ms), for_ms, FaultKind::Wipe { node });
            self.at_ms += for_ms;
        }
        self.interrupt();
    }

    /// Perhaps somebody goes down just when something is half done.
    fn interrupt(&mut self) {
        if self.chance.percent(50) {
            return;
        }
        for node in self.victims(2) {
            let hook = self.chance.pick(&MOMENTS).name().to_owned();
            let when = When::OnNth { node, hook, nth: self.chance.pick(&[1, 1, 2, 3]) };
            let for_ms = self.chance.between(20, 800);
            let kind = match self.chance.below(2) {
                0 => FaultKind::Kill { node },
                _ => FaultKind::PowerLoss { node },
            };
            self.add(when, for_ms, kind);
        }
    }
}
