//! Rolling restarts: one node after the other is told to stop and started again, while clients go on.
//!
//! As a rule nothing else goes wrong, and the cluster is one that an operator would call sound: then
//! clients of the other nodes must not notice. In other cases something else goes wrong meanwhile.

use quorate::{
    limits::{Limits, Timing},
    probe::Hook,
    time::Millis,
};

use super::{Case, Config, Disks, Fault, FaultClass, FaultKind, Way, When};
use crate::chance::Chance;

/// Where a stop is half done, and where what follows from it is.
const MOMENTS: [Hook; 5] =
    [Hook::TransferSent, Hook::TransferSent, Hook::SteppedDown, Hook::PrepareSent, Hook::Elected];
/// The slowest message of a cluster in which nobody may notice, and the slowest batch of its disks.
const SLOWEST_MS: u64 = 50;
const BATCH_US: u64 = 5000;
/// Its links take at least so much at a time, and their ends read and write so much.
const WINDOW_MIN: usize = 64 << 10;
const PIECE_MIN: usize = 200;
/// A page of what nodes list to each other has room for more than one record: else who takes over
/// needs a way there and back for each, and others lose their patience.
const PAGE_MIN: usize = 200;

/// Whether the case of `seed` is one of these.
pub(super) fn is_drawn(seed: u64) -> bool {
    Chance::new(seed, "rolling", 0).percent(3)
}

/// Whether nothing else goes wrong in it.
pub(super) fn is_pure(seed: u64) -> bool {
    is_drawn(seed) && Chance::new(seed, "rolling", 1).percent(60)
}

/// How many nodes it needs.
pub(super) fn nodes(seed: u64) -> usize {
    Chance::new(seed, "rolling", 2).pick(&[3, 3, 3, 3, 3, 4, 5])
}

/// Makes the cluster one that such a case can be played on.
pub(super) fn adapt(seed: u64, config: &mut Config) {
    let mut chance = Chance::new(seed, "rolling", 3);
    config.disks = Disks {
        batch_us: chance.pick(&[(50, 200), (50, 200), (500, BATCH_US)]),
        everysec: chance.percent(50),
        segment_size: chance.pick(&[300, 4000, 64 << 20]),
    };
    config.start_ms = config.start_ms.max(2 * config.join_ms());
    if is_pure(seed) {
        make_sound(config, &mut chance);
    }
    let ends = faults(seed, config).into_iter();
    let ends = ends.filter_map(|fault| Some(fault.at_ms()? + fault.for_ms));
    config.span_ms = ends.max().unwrap_or(config.span_ms) + 500;
}

fn make_sound(config: &mut Config, chance: &mut Chance) {
    let before_ms = config.slowest_ms();
    config.slow_link = None;
    config.latency_ms = chance.pick(&[(0, 10), (0, 10), (1, SLOWEST_MS)]);
    config.core = (0..config.nodes).collect();
    config.window_bytes = WINDOW_MIN;
    config.chop = config.chop.filter(|chop| chop.read_max.min(chop.write_max) >= PIECE_MIN);
    let Limits { output_pause, outbox_size_max, link_output, log_gathered_max, offer_size, .. } =
        config.limits;
    config.limits = Limits {
        output_pause: output_pause.max(4096),
        outbox_size_max: outbox_size_max.max(1 << 20),
        link_output: link_output.max(1000),
        offer_size: offer_size.max(PAGE_MIN),
        log_gathered_max: log_gathered_max.max(64 << 20),
        requests_max: Limits::DEFAULT.requests_max,
        ..config.limits
    };
    // Four ways, as where timing is drawn.
    let shorter_ms = 4 * before_ms.saturating_sub(config.slowest_ms());
    let longer_ms = 4 * config.slowest_ms().saturating_sub(before_ms);
    let silence = Millis(config.timing.silence.0 - shorter_ms + longer_ms);
    config.timing.silence = silence;
    config.timing.request = Millis(config.outlast_ms());
}

/// Its faults, in order of time.
pub(super) fn faults(seed: u64, config: &Config) -> Vec<Fault> {
    let chance = Chance::new(seed, "rolling", 4);
    let mut tour = Tour { chance, config, faults: Vec::new() };
    let order = tour.order();
    let mut at_ms = config.start_ms + tour.chance.below(500);
    let more = tour.below(3);
    for node in order.iter().cycle().take(config.nodes + more).copied() {
        let silence = config.timing.silence.0;
        let for_ms = match tour.chance.below(3) {
            0 => tour.chance.between(20, 300),
            1 => tour.chance.between(300, 1500),
            _ => tour.chance.between(silence, 2 * silence),
        };
        tour.add(When::At(at_ms), for_ms, FaultKind::Stop { node });
        if is_pure(seed) {
            at_ms += for_ms + config.rest_ms() + tour.chance.below(300);
        } else {
            tour.disturb(node, at_ms, for_ms);
            at_ms += for_ms + tour.chance.below(2 * config.rest_ms());
        }
    }
    tour.faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
    tour.faults
}

struct Tour<'a> {
    chance: Chance,
    config: &'a Config,
    faults: Vec<Fault>,
}

impl Tour<'_> {
    fn add(&mut self, when: When, for_ms: u64, kind: FaultKind) {
        self.faults.push(Fault { when, for_ms, kind });
    }

    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u64) as usize
    }

    /// All nodes, in any order.
    fn order(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.config.nodes).collect();
        for left in (1..order.len()).rev() {
            order.swap(left, self.below(left + 1));
        }
        order
    }

    /// Something else goes wrong around a stop.
    fn disturb(&mut self, node: usize, at_ms: u64, for_ms: u64) {
        let other = (node + 1 + self.below(self.config.nodes.max(2) - 1)) % self.config.nodes;
        let soon_ms = at_ms + self.chance.below(150);
        let short_ms = self.chance.between(20, 1500);
        let back_ms = at_ms + for_ms + self.chance.below(1200);
        match self.chance.below(10) {
            // What it has acknowledged since it is back may be gone, what it had before is not.
            0 => self.add(When::At(back_ms), short_ms, FaultKind::PowerLoss { node }),
            1 => {
                let at_ms = at_ms + for_ms + self.chance.below(200);
                self.add(When::At(at_ms), short_ms, FaultKind::PowerLoss { node });
            }
            2 => self.add(When::At(soon_ms), for_ms, FaultKind::PowerLoss { node }),
            3 => self.add(When::At(soon_ms), short_ms, FaultKind::Kill { node: other }),
            4 => {
                let kind = FaultKind::Isolation { node: other, way: Way::Both };
                self.add(When::At(soon_ms), short_ms, kind);
            }
            5 => self.add(When::At(soon_ms), short_ms, FaultKind::Partition { a: node, b: other }),
            6 => self.add(When::At(soon_ms), short_ms, FaultKind::Pause { node }),
            7 => self.add(When::At(soon_ms), for_ms, FaultKind::Stop { node }),
            8 => {
                let early_ms = at_ms.saturating_sub(20);
                self.add(When::At(early_ms), 40, FaultKind::SyncFails { node });
            }
            _ => {
                let struck = self.chance.pick(&[node, other]);
                let hook = self.chance.pick(&MOMENTS).name().to_owned();
                let when = When::OnNth { node, hook, nth: self.chance.pick(&[1, 2, 3]) };
                let kind = match self.chance.below(3) {
                    0 => FaultKind::Kill { node: struck },
                    1 => FaultKind::PowerLoss { node: struck },
                    _ => FaultKind::Isolation { node: struck, way: Way::Both },
                };
                self.add(when, short_ms, kind);
            }
        }
    }
}

impl Config {
    /// How long a node that starts may need until it is connected with all others, and votes.
    #[must_use]
    pub fn join_ms(&self) -> u64 {
        12 * self.slowest_ms() + 6 * self.disks.batch_us.1 / 1000 + 400
    }

    /// How long a node serves again before the next one stops.
    fn rest_ms(&self) -> u64 {
        self.join_ms() + 2 * self.timing.silence.0
    }

    /// An operation that is given so much time outlasts a stop, even if those that are to take over
    /// have to find out by themselves.
    fn outlast_ms(&self) -> u64 {
        3 * self.timing.silence.0 + 12 * self.slowest_ms() + 500
    }

    /// Whether nothing about the cluster makes operations fail by itself.
    fn is_sound(&self) -> bool {
        let Limits {
            output_pause, outbox_size_max, link_output, log_gathered_max, offer_size, ..
        } = self.limits;
        let Timing { request, .. } = self.timing;
        let roomy =
            self.chop.is_none_or(|chop| chop.read_max >= PIECE_MIN && chop.write_max >= PIECE_MIN);
        self.nodes >= 3
            && self.core.len() == self.nodes
            && self.slowest_ms() <= SLOWEST_MS
            && self.disks.batch_us.1 <= BATCH_US
            && self.window_bytes >= WINDOW_MIN
            && roomy
            && (output_pause >= 4096 && link_output >= 1000 && offer_size >= PAGE_MIN)
            && (outbox_size_max >= 1 << 20 && log_gathered_max >= 64 << 20)
            && self.limits.requests_max == Limits::DEFAULT.requests_max
            && request.0 >= self.outlast_ms()
    }
}

impl Case {
    /// Whether nothing goes wrong but that nodes are told to stop, one after the other, each when the
    /// one before serves again: then no request to another node may fail in the strong database.
    #[must_use]
    pub fn keeps_serving(&self) -> bool {
        let mut free_ms = 2 * self.config.join_ms();
        let one_by_one = self.faults.iter().all(|fault| {
            let stops = matches!(fault.kind, FaultKind::Stop { .. });
            let rested = fault.at_ms().filter(|at_ms| stops && *at_ms >= free_ms);
            let Some(at_ms) = rested else { return false };
            free_ms = at_ms + fault.for_ms + self.config.rest_ms();
            true
        });
        let torn = self.classes().contains(&FaultClass::TornRequest);
        one_by_one && !self.faults.is_empty() && !torn && self.config.is_sound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_nodes_are_told_to_stop_one_by_one() {
        let mut kept = 0;
        for seed in (0..4000).filter(|seed| is_drawn(*seed)) {
            let case = Case::draw(seed);
            let stops = case.faults.iter().filter_map(|fault| match fault.kind {
                FaultKind::Stop { node } => Some(node),
                _ => None,
            });
            let mut stops: Vec<usize> = stops.collect();
            stops.sort_unstable();
            stops.dedup();
            if case.keeps_serving() {
                kept += 1;
                assert_eq!(stops.len(), case.config.nodes, "{case}");
            }
        }
        assert!(kept > 40, "{kept} of 4000 cases");
    }

    #[test]
    fn who_stops_too_early_or_not_alone_promises_nothing() {
        let drawn = (0..2000).map(Case::draw).find(Case::keeps_serving);
        let case = drawn.expect("some are drawn");
        let mut early = case.clone();
        early.faults[1].when = When::At(early.faults[0].at_ms().expect("a time") + 100);
        assert!(!early.keeps_serving());
        let mut others = case.clone();
        let (when, kind) = (When::At(9000), FaultKind::Reset { a: 0, b: 1 });
        others.faults.push(Fault { when, for_ms: 1, kind });
        assert!(!others.keeps_serving());
        let mut hasty = case;
        hasty.config.timing.request = Millis(300);
        assert!(!hasty.keeps_serving());
    }
}
