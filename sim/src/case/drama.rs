//! Faults that play together: a node does something that others may rest on, and just then those
//! that it rests upon itself go.
//!
//! What a majority has is safe, so a bug that shows less than that is seen only if the few that had
//! it are gone in the next moment while the others go on. Chance alone hardly ever does that. Each
//! drama is a family of such courses; chance fills in who and when.

use quorate::probe::Hook;

use super::{Config, Fault, FaultKind, Way, When};
use crate::chance::Chance;

/// When something happens around a node.
const MOMENTS: [Hook; 9] = [
    Hook::Committed,
    Hook::Elected,
    Hook::FastRead,
    Hook::FastRead,
    Hook::FastRead,
    Hook::FastReadUnclear,
    Hook::ForwardTaken,
    Hook::PromiseSent,
    Hook::Restamped,
];

/// A family of courses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drama {
    /// Around what one node does, some nodes go, each in its own way.
    Around,
    /// All but one node remember little, and lose it just after that one has shown something.
    Forgetful,
    /// One node and another one hear of writes long before the others, and go together.
    Lagging,
    /// Nodes stand still while the others go on, and wake up in the belief that nothing happened.
    Pauses,
    /// One node after the other is cut off, each for about as long as others need to replace it.
    Rotation,
}

impl Drama {
    /// The drama of `seed`, if it has one.
    pub(super) fn draw(seed: u64) -> Option<Self> {
        let mut chance = Chance::new(seed, "drama", 0);
        let dramas = [Self::Around, Self::Forgetful, Self::Lagging, Self::Pauses, Self::Rotation];
        chance.percent(35).then(|| chance.pick(&dramas))
    }

    /// How many nodes it needs.
    pub(super) fn nodes(self, seed: u64) -> usize {
        let mut chance = Chance::new(seed, "drama", 1);
        match self {
            Self::Around | Self::Pauses | Self::Rotation => chance.pick(&[3, 3, 5]),
            Self::Forgetful => 3,
            Self::Lagging => chance.pick(&[4, 5, 5]),
        }
    }

    /// Its faults, in order of time.
    pub(super) fn faults(self, seed: u64, config: &Config) -> Vec<Fault> {
        let mut stage = Stage {
            chance: Chance::new(seed, "drama", 2),
            nodes: config.nodes,
            config,
            faults: Vec::new(),
        };
        match self {
            Self::Around => stage.around(),
            Self::Forgetful => stage.forgetful(),
            Self::Lagging => stage.lagging(),
            Self::Pauses => stage.pauses(),
            Self::Rotation => stage.rotation(),
        }
        stage.faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
        stage.faults
    }
}

/// A drama being written.
struct Stage<'a> {
    chance: Chance,
    nodes: usize,
    config: &'a Config,
    faults: Vec<Fault>,
}

impl Stage<'_> {
    fn add(&mut self, when: When, for_ms: u64, kind: FaultKind) {
        self.faults.push(Fault { when, for_ms, kind });
    }

    fn node(&mut self) -> usize {
        self.chance.below(self.nodes as u64) as usize
    }

    /// Until the end, from the start on.
    fn always(&self) -> (When, u64) {
        let Config { start_ms, span_ms, .. } = *self.config;
        (When::At(start_ms), span_ms - start_ms)
    }

    fn on(&mut self, node: usize, hooks: &[Hook], nths: &[u64]) -> When {
        let hook = self.chance.pick(hooks).name().to_owned();
        When::OnNth { node, hook, nth: self.chance.pick(nths) }
    }

    /// Longer than the others need to go on without a node.
    fn long_ms(&mut self) -> u64 {
        let silence = self.config.timing.silence.0;
        self.chance.between(3 * silence, 8 * silence)
    }

    fn around(&mut self) {
        for node in 0..self.nodes {
            if self.chance.percent(50) {
                let by_ms = self.chance.pick(&[50, 300, 1000]);
                let (when, for_ms) = self.always();
                self.add(when, for_ms, FaultKind::SlowDisk { node, by_ms });
            }
        }
        // Who was away lacks what was written meanwhile.
        if self.chance.percent(50) {
            let node = self.node();
            let at_ms = self.chance.between(self.config.start_ms, self.config.span_ms);
            let for_ms = self.chance.between(100, 1500);
            self.add(When::At(at_ms), for_ms, FaultKind::Kill { node });
        }
        for _ in 0..self.chance.between(1, 3) {
            let witness = self.node();
            let when = self.on(witness, &MOMENTS, &[1, 2, 3, 5, 10, 20]);
            for node in 0..self.nodes {
                let for_ms = self.chance.pick(&[100, 300, 1000, 3000, 6000]);
                let kind = match self.chance.below(if node == witness { 4 } else { 6 }) {
                    0 => FaultKind::Kill { node },
                    1 => FaultKind::PowerLoss { node },
                    2 => FaultKind::Isolation { node, way: Way::Both },
                    3 if node != witness => FaultKind::PowerLoss { node },
                    _ => continue,
                };
                self.add(when.clone(), for_ms, kind);
            }
        }
    }

    fn forgetful(&mut self) {
        let witness = self.node();
        for node in (0..self.nodes).filter(|node| *node != witness) {
            let by_ms = self.chance.pick(&[200, 400, 800]);
            let (when, for_ms) = self.always();
            self.add(when, for_ms, FaultKind::SlowDisk { node, by_ms });
        }
        for _ in 0..2 {
            let hooks = [Hook::FastRead, Hook::FastRead, Hook::Committed];
            let when = self.on(witness, &hooks, &[1, 2, 3, 4, 6, 8, 12]);
            for node in (0..self.nodes).filter(|node| *node != witness) {
                let for_ms = self.chance.between(50, 200);
                self.add(when.clone(), for_ms, FaultKind::PowerLoss { node });
            }
            let (kill, for_ms) = (self.chance.percent(50), self.long_ms());
            let away = FaultKind::Isolation { node: witness, way: Way::Both };
            let kind = if kill { FaultKind::Kill { node: witness } } else { away };
            self.add(when, for_ms, kind);
        }
    }

    fn lagging(&mut self) {
        let (first, second) = (self.node(), self.chance.between(1, self.nodes as u64 - 1) as usize);
        let second = (first + second) % self.nodes;
        for other in (0..self.nodes).filter(|node| ![first, second].contains(node)) {
            let by_ms = self.chance.pick(&[100, 200, 500]);
            let (when, for_ms) = self.always();
            self.add(when, for_ms, FaultKind::SlowLink { a: first, b: other, by_ms });
        }
        for _ in 0..2 {
            let hooks = [Hook::FastRead, Hook::FastRead, Hook::FastRead, Hook::Forwarded];
            let when = self.on(second, &hooks, &[1, 2, 3, 4, 6, 8, 12]);
            for node in [first, second] {
                let (kill, for_ms) = (self.chance.percent(30), self.long_ms());
                let away = FaultKind::Isolation { node, way: Way::Both };
                let kind = if kill { FaultKind::Kill { node } } else { away };
                self.add(when.clone(), for_ms, kind);
            }
        }
    }

    fn pauses(&mut self) {
        let mut at_ms = self.config.start_ms;
        let sticky = self.node();
        while at_ms < self.config.span_ms {
            at_ms += self.chance.between(300, 3000);
            let node = if self.chance.percent(50) { sticky } else { self.node() };
            let for_ms = self.long_ms();
            self.add(When::At(at_ms), for_ms, FaultKind::Pause { node });
            at_ms += for_ms;
        }
    }

    fn rotation(&mut self) {
        let silence = self.config.timing.silence.0;
        let mut at_ms = self.config.start_ms + self.chance.between(0, 1000);
        let mut node = self.node();
        let step = self.chance.between(1, self.nodes as u64 - 1) as usize;
        while at_ms < self.config.span_ms {
            let for_ms = self.chance.between(silence, 4 * silence);
            let way = self.chance.pick(&[Way::Both, Way::Both, Way::In, Way::Out]);
            let kind = match self.chance.below(6) {
                0 => FaultKind::Kill { node },
                _ => FaultKind::Isolation { node, way },
            };
            self.add(When::At(at_ms), for_ms, kind);
            let gap = self.chance.between(0, silence);
            at_ms = (at_ms + for_ms + gap).saturating_sub(silence / 2);
            node = (node + step) % self.nodes;
        }
    }
}
