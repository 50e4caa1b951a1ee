//! Faults that play together: a node does something that others may rest on, and just then those
//! that it rests upon itself go.
//!
//! What a majority has is safe, so a bug that shows less than that is seen only if the few that had
//! it are gone in the next moment while the others go on. Chance alone hardly ever does that. Each
//! drama is a family of such courses; chance fills in who and when.

use quorate::probe::Hook;

use super::{Config, Fault, FaultKind, Way, When, config::Disks};
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
    /// The clock of a node is far ahead while nobody can tell it, and clients ask how many have what they
    /// wrote.
    Ahead,
    /// Around what one node does, some nodes go, each in its own way.
    Around,
    /// One node lags while the others delete, and is there again when another one goes.
    Burials,
    /// The node whose clock is slow loses its data, and its clock more, while only one of the others has
    /// what it had.
    Clocks,
    /// A leader drops a tombstone, and of the others one loses it before its disk has it, and one hears
    /// that late.
    Drops,
    /// The clock of one node is fast, and values end.
    Ends,
    /// All but one node remember little, and lose it just after that one has shown something.
    Forgetful,
    /// One node and another one hear of writes long before the others, and go together.
    Lagging,
    /// Clients of the quorum database write here and read there, while links fail one by one.
    Needles,
    /// Nodes stand still while the others go on, and wake up in the belief that nothing happened.
    Pauses,
    /// A leader is away just long enough to be replaced, and then meets only one of the two others,
    /// which may have restarted or lost its disk meanwhile.
    Returns,
    /// One node after the other is cut off, each for about as long as others need to replace it.
    Rotation,
    /// Writes of log frames land on earlier ones of their size; and nodes that stopped in order lose power
    /// soon after they have started again.
    Strays,
    /// A node loses its disk and has it filled by some of the others, while links between those fail.
    Wipes,
}

impl Drama {
    /// The drama of `seed`, if it has one.
    pub(super) fn draw(seed: u64) -> Option<Self> {
        let mut narrow = Chance::new(seed, "narrow drama", 0);
        if narrow.percent(7) {
            let dramas = [Self::Ahead, Self::Clocks, Self::Drops, Self::Ends, Self::Strays];
            return Some(narrow.pick(&dramas));
        }
        let mut chance = Chance::new(seed, "drama", 0);
        let dramas = [
            Self::Around,
            Self::Burials,
            Self::Forgetful,
            Self::Lagging,
            Self::Needles,
            Self::Pauses,
            Self::Returns,
            Self::Rotation,
            Self::Wipes,
        ];
        chance.percent(22).then(|| chance.pick(&dramas))
    }

    /// The database that it is about.
    pub(super) const fn database(self) -> u8 {
        match self {
            Self::Clocks | Self::Needles => 1,
            Self::Ahead | Self::Strays => 2,
            Self::Around
            | Self::Burials
            | Self::Drops
            | Self::Ends
            | Self::Forgetful
            | Self::Lagging
            | Self::Pauses
            | Self::Returns
            | Self::Rotation
            | Self::Wipes => 0,
        }
    }

    /// How many nodes it needs.
    pub(super) fn nodes(self, seed: u64) -> usize {
        let mut chance = Chance::new(seed, "drama", 1);
        match self {
            Self::Around | Self::Pauses | Self::Rotation => chance.pick(&[3, 3, 3, 3, 5]),
            Self::Burials | Self::Clocks | Self::Drops | Self::Forgetful | Self::Returns => 3,
            Self::Ahead | Self::Ends => chance.pick(&[2, 2, 3]),
            Self::Strays => chance.pick(&[1, 2, 3]),
            Self::Needles => chance.pick(&[3, 3, 3, 5]),
            Self::Lagging => chance.pick(&[4, 4, 5]),
            Self::Wipes => chance.pick(&[3, 3, 3, 3, 3, 5]),
        }
    }

    /// What is logged shortly before the power fails is gone in those that are about it.
    pub(super) fn disks(self) -> Disks {
        Disks { everysec: matches!(self, Self::Drops | Self::Strays), ..Disks::default() }
    }

    /// By how much the clock of which node is off from the start on, and how much is too much.
    pub(super) fn clock(self, seed: u64, nodes: usize) -> Option<Clock> {
        let by_ms = match self {
            // A value that has ended by a clock far ahead stays elsewhere for as long as clocks may differ.
            Self::Ahead => 0,
            Self::Clocks => -5000,
            Self::Ends => 3000,
            _ => return None,
        };
        let node = Chance::new(seed, "clock", 0).below(nodes as u64) as usize;
        Some(Clock { node, by_ms, skew_max_ms: 6000 })
    }

    /// Whether many values are to end.
    pub(super) const fn ends(self) -> bool {
        matches!(self, Self::Ends)
    }

    /// Whether its clients ask by WAIT who has what they wrote.
    pub(super) const fn waits(self) -> bool {
        matches!(self, Self::Ahead)
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
            Self::Ahead => stage.ahead(),
            Self::Around => stage.around(),
            Self::Burials => stage.burials(),
            Self::Clocks => stage.clocks(seed),
            Self::Drops => stage.drops(),
            Self::Ends => {}
            Self::Forgetful => stage.forgetful(),
            Self::Lagging => stage.lagging(),
            Self::Needles => stage.needles(),
            Self::Pauses => stage.pauses(),
            Self::Returns => stage.returns(),
            Self::Rotation => stage.rotation(),
            Self::Strays => stage.strays(),
            Self::Wipes => stage.wipes(),
        }
        stage.faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
        stage.faults
    }
}

/// A node's clock from the start on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) node: usize,
    pub(super) by_ms: i64,
    /// What is further ahead of a node's clock is not taken.
    pub(super) skew_max_ms: u64,
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
        self.chance.between(2 * silence, 6 * silence)
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

    /// Three nodes in any order.
    fn three(&mut self) -> (usize, usize, usize) {
        let (a, turn) = (self.node(), self.chance.between(1, 2) as usize);
        (a, (a + turn) % 3, (a + 3 - turn) % 3)
    }

    fn burials(&mut self) {
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let (a, _, c) = self.three();
            at_ms += self.chance.between(100, 1000);
            let away_ms = self.long_ms() / 2;
            let away = FaultKind::Isolation { node: c, way: Way::Both };
            self.add(When::At(at_ms), away_ms, away);
            // About when the other one is back.
            let (early, late) = (self.chance.below(200), self.chance.below(200));
            let gone_at_ms = (at_ms + away_ms + late).saturating_sub(early);
            let for_ms = self.long_ms();
            let gone = FaultKind::Isolation { node: a, way: Way::Both };
            self.add(When::At(gone_at_ms), for_ms, gone);
            at_ms = gone_at_ms + for_ms;
        }
    }

    fn needles(&mut self) {
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let a = self.node();
            let turn = self.chance.between(1, self.nodes as u64 - 1) as usize;
            let b = (a + turn) % self.nodes;
            let c = (0..self.nodes).find(|node| ![a, b].contains(node)).unwrap_or(b);
            at_ms += self.chance.between(50, 800);
            let for_ms = self.chance.between(100, 2500);
            if self.nodes > 3 && self.chance.percent(60) {
                // Only one other node hears of what it writes, and shows it.
                for far in (0..self.nodes).filter(|node| ![a, b].contains(node)) {
                    let by_ms = self.chance.between(100, 900);
                    self.add(When::At(at_ms), for_ms, FaultKind::SlowLink { a, b: far, by_ms });
                }
                at_ms += for_ms;
                continue;
            }
            let kind = match self.chance.below(4) {
                0 => FaultKind::Isolation { node: a, way: Way::Both },
                1 => FaultKind::OneWay { from: a, to: b },
                2 => FaultKind::SlowLink { a, b, by_ms: self.chance.between(20, 400) },
                _ => FaultKind::Partition { a, b },
            };
            self.add(When::At(at_ms), for_ms, kind);
            if self.chance.percent(50) {
                // Who has it all goes when the two others meet.
                let from_ms = at_ms + self.chance.below(for_ms + 1);
                let gone = FaultKind::Isolation { node: c, way: Way::Both };
                let gone_ms = self.chance.between(100, 2500);
                self.add(When::At(from_ms), gone_ms, gone);
            }
            at_ms += for_ms;
        }
    }

    fn returns(&mut self) {
        let silence = self.config.timing.silence.0;
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let (a, b, c) = self.three();
            at_ms += self.chance.between(100, 1500);
            // Others elect after one silence; who hears nobody gives up after two.
            let away_ms = silence + self.chance.between(0, silence);
            let away = match self.chance.below(3) {
                0 => FaultKind::Isolation { node: a, way: Way::Both },
                _ => FaultKind::Pause { node: a },
            };
            self.add(When::At(at_ms), away_ms, away);
            let apart_ms = away_ms + self.long_ms();
            self.add(When::At(at_ms), apart_ms, FaultKind::Partition { a, b: c });
            let struck_ms = self.chance.between(20, 200);
            let early_ms = self.chance.between(0, silence / 2);
            let struck_at_ms = (at_ms + away_ms).saturating_sub(early_ms);
            match self.chance.below(4) {
                0 => self.add(When::At(struck_at_ms), struck_ms, FaultKind::Kill { node: b }),
                1 => self.add(When::At(struck_at_ms), struck_ms, FaultKind::PowerLoss { node: b }),
                2 => self.add(When::At(struck_at_ms), struck_ms, FaultKind::Wipe { node: b }),
                _ => {}
            }
            at_ms += apart_ms;
            if self.chance.percent(50) {
                let (for_ms, away) =
                    (self.long_ms(), FaultKind::Isolation { node: c, way: Way::Both });
                self.add(When::At(at_ms), for_ms, away);
                at_ms += for_ms;
            }
        }
    }

    fn wipes(&mut self) {
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let victim = self.node();
            let step = self.chance.between(1, self.nodes as u64 - 1) as usize;
            let other = (victim + step) % self.nodes;
            at_ms += self.chance.between(200, 1500);
            let (before_ms, for_ms) = (self.chance.below(600), self.long_ms());
            let kind = match self.chance.below(4) {
                0 => {
                    FaultKind::SlowLink { a: victim, b: other, by_ms: self.chance.between(50, 800) }
                }
                1 => FaultKind::Isolation { node: other, way: Way::Both },
                _ => FaultKind::Partition { a: victim, b: other },
            };
            self.add(When::At(at_ms), for_ms, kind);
            let wiped_ms = self.chance.between(20, 300);
            self.add(When::At(at_ms + before_ms), wiped_ms, FaultKind::Wipe { node: victim });
            if self.chance.percent(60) {
                let third = (0..self.nodes).find(|node| ![victim, other].contains(node));
                let node = self.chance.pick(&[other, third.unwrap_or(other)]);
                let late_ms = self.chance.between(50, 800);
                let gone_ms = self.long_ms();
                let gone = FaultKind::Isolation { node, way: Way::Both };
                self.add(When::At(at_ms + before_ms + wiped_ms + late_ms), gone_ms, gone);
            }
            at_ms += for_ms;
        }
    }

    fn ahead(&mut self) {
        // What was refused for being ahead comes again only with a later comparison.
        if !self.config.repairs() {
            return;
        }
        let by_ms = self.config.timing.skew_max.0 as i64 + 4000;
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let node = self.node();
            let turn = self.chance.between(1, self.nodes as u64 - 1) as usize;
            let from = (node + turn) % self.nodes;
            let for_ms = self.chance.between(200, 1500);
            self.add(When::At(at_ms), for_ms, FaultKind::OneWay { from, to: node });
            let jump_ms = self.chance.between(50, 500);
            let jumps_at_ms = at_ms + self.chance.below(for_ms);
            self.add(When::At(jumps_at_ms), jump_ms, FaultKind::ClockJump { node, by_ms });
            at_ms += for_ms + self.chance.between(200, 1500);
        }
    }

    fn clocks(&mut self, seed: u64) {
        let Some(Clock { node, by_ms, skew_max_ms }) = Drama::Clocks.clock(seed, self.nodes) else {
            return;
        };
        let turn = self.chance.between(1, 2) as usize;
        let (cut, other) = ((node + turn) % 3, (node + 3 - turn) % 3);
        // A life that begins is known by its clock, so one must be longer than the clock goes back.
        let (back_ms, ahead_ms) =
            (self.chance.between(1500, 3000), skew_max_ms - by_ms.unsigned_abs());
        let most_ms = self.config.span_ms.max(back_ms + 1000);
        let at_ms = self.chance.between(back_ms + 500, most_ms);
        // Who stamps nothing meanwhile is believed afterwards.
        let cut_ms = at_ms.saturating_sub(back_ms - ahead_ms + 500).max(self.config.start_ms);
        let after_ms = self.chance.between(50, 1500);
        let apart = FaultKind::Partition { a: cut, b: other };
        self.add(When::At(cut_ms), at_ms + 4000 - cut_ms, apart);
        let apart = FaultKind::Partition { a: cut, b: node };
        self.add(When::At(cut_ms), (at_ms + after_ms).saturating_sub(cut_ms), apart);
        let jump = FaultKind::ClockJump { node, by_ms: -(back_ms as i64) };
        self.add(When::At(at_ms), 5000, jump);
        let wiped_ms = self.chance.between(20, 100);
        self.add(When::At(at_ms + 10), wiped_ms, FaultKind::Wipe { node });
    }

    fn drops(&mut self) {
        for leader in 0..self.nodes {
            let when = self.on(leader, &[Hook::TombstoneDropped], &[1, 1, 2, 3]);
            let turn = self.chance.between(1, 2) as usize;
            let (victim, late) = ((leader + turn) % 3, (leader + 3 - turn) % 3);
            let (down_ms, slower_ms) = (self.chance.between(20, 200), self.chance.between(20, 200));
            self.add(when.clone(), down_ms, FaultKind::PowerLoss { node: victim });
            let slow = FaultKind::SlowLink { a: victim, b: leader, by_ms: slower_ms };
            self.add(when.clone(), 3000, slow);
            // About when who was down has been told what the other one holds.
            let late_ms = down_ms + slower_ms * self.chance.between(2, 10);
            self.add(when, late_ms, FaultKind::OneWay { from: leader, to: late });
        }
    }

    fn strays(&mut self) {
        let mut at_ms = self.config.start_ms;
        while at_ms < self.config.span_ms {
            let (node, for_ms) = (self.node(), self.chance.between(1000, 3000));
            if self.chance.percent(30) {
                let (stop_ms, then_ms) =
                    (self.chance.between(20, 100), self.chance.between(200, 900));
                self.add(When::At(at_ms), stop_ms, FaultKind::Stop { node });
                let dark_ms = self.chance.between(20, 200);
                self.add(When::At(at_ms + then_ms), dark_ms, FaultKind::PowerLoss { node });
            } else {
                self.add(When::At(at_ms), for_ms, FaultKind::Misdirected { node, twin: true });
            }
            at_ms += for_ms + self.chance.between(0, 1000);
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
