//! Cases near a given one: what once found something, a little or quite different.
//!
//! A kept case has brought a cluster, in few steps, to where something is half done and something
//! else goes wrong. Most of what can go wrong there too is near: other faults at that moment, other
//! requests around it, other times. So fuzzers keep inputs that led somewhere new and change them
//! (Zalewski, "Technical whitepaper for afl-fuzz", 2014).

use quorate::time::Millis;

use super::{Case, When, Workload, plan::Plan, style};
use crate::chance::Chance;

/// By how many percent times may be shifted.
const PERCENTS: [u64; 4] = [2, 10, 10, 40];
/// Whether there are other faults, and whether other requests.
const CHANGES: [(bool, bool); 6] =
    [(false, false), (true, false), (true, false), (false, true), (false, true), (true, true)];
/// Of its faults, so many in a hundred stay where others come.
const FAULTS_STAY_PERCENT: u64 = 75;
/// How many requests come at the most, and how many clients with them.
const REQUESTS_MAX: [usize; 4] = [5, 20, 20, 100];
const CLIENTS_MAX: u64 = 3;
/// Requests that come have at least so much time.
const SPAN_MIN_MS: u64 = 500;
/// An outbox that a survey of the strong database has room in.
const OUTBOX_MIN: usize = 4 << 10;

impl Case {
    /// The case of `seed` near one of `kept`, which are not none.
    ///
    /// # Panics
    /// If `kept` are none.
    #[must_use]
    pub fn near(seed: u64, kept: &[Self]) -> Self {
        let mut chance = Chance::new(seed, "near", 0);
        let parent = &kept[chance.below(kept.len() as u64) as usize];
        let mut case = parent.shifted(seed, chance.pick(&PERCENTS));
        case.seed = seed;
        // How long nodes wait was drawn for messages that take no longer.
        let latency_ms = &mut case.config.latency_ms;
        latency_ms.1 = latency_ms.1.min(parent.config.latency_ms.1);
        let (faults, requests) = chance.pick(&CHANGES);
        if faults {
            case.change_faults(&mut chance);
        }
        if requests {
            case.change_requests(&mut chance);
        }
        case
    }

    /// The case with another seed, and with its times shifted by so many percent at most. Large
    /// shifts may give the nodes' parts to others, and other times to the network and the nodes.
    #[must_use]
    pub fn shifted(&self, number: u64, percent: u64) -> Self {
        let mut chance = Chance::new(number, "neighbour", percent);
        let mut near = self.clone();
        let mut shifted = |value: u64, least: u64| {
            let by = (value * percent / 100).max(1);
            chance.between(value.saturating_sub(by), value + by).max(least)
        };
        for step in &mut near.workload.steps {
            step.at_ms = shifted(step.at_ms, self.config.start_ms);
        }
        near.workload.steps.sort_by_key(|step| step.at_ms);
        for fault in &mut near.faults {
            fault.for_ms = shifted(fault.for_ms, 1);
            match &mut fault.when {
                When::At(at_ms) => *at_ms = shifted(*at_ms, self.config.start_ms),
                When::OnNth { nth, .. } if percent > 5 => *nth = shifted(*nth, 1),
                When::OnNth { .. } => {}
            }
        }
        if percent > 5 {
            let (least, most) = near.config.latency_ms;
            near.config.latency_ms = (least, shifted(most, least.max(1)));
            let (timing, repairs) = (&mut near.config.timing, self.config.repairs());
            timing.redial_min.0 = shifted(timing.redial_min.0, 1);
            // Never stays never.
            timing.repair.0 = if repairs { shifted(timing.repair.0, 1) } else { timing.repair.0 };
        }
        near.seed = self.seed.wrapping_add(chance.below(1 << 20));
        if percent > 10 {
            let first = chance.below(self.config.nodes as u64) as usize;
            near.turn_nodes(first);
        }
        near
    }

    /// Takes some faults away, and puts in those that a seed would have that plays nothing special.
    fn change_faults(&mut self, chance: &mut Chance) {
        self.faults.retain(|_| chance.percent(FAULTS_STAY_PERCENT));
        let (seed, plan) = loop {
            let seed = chance.bits();
            let plan = Plan::draw(seed);
            if plan.is_plain() {
                break (seed, plan);
            }
        };
        self.make_room();
        let mut drawn = plan.faults(seed, &self.config);
        drawn.truncate(chance.between(1, 3) as usize);
        self.faults.extend(drawn);
        self.faults.sort_by_key(|fault| fault.at_ms().unwrap_or(0));
        // As where a case is drawn: what only some got before a process ended must be passed on.
        if plan.crashes() && !self.config.repairs() {
            self.config.timing.repair = Millis(chance.between(1000, 4000));
        }
    }

    /// Adds clients and what they ask, or lets them ask instead of others.
    fn change_requests(&mut self, chance: &mut Chance) {
        self.make_room();
        let seed = chance.bits();
        if style::uses_strong(seed) {
            let outbox = &mut self.config.limits.outbox_size_max;
            *outbox = OUTBOX_MIN.max(*outbox);
        }
        let (before, added) = (self.config.clients, chance.between(1, CLIENTS_MAX) as usize);
        self.config.clients = added;
        let mut drawn = Workload::draw(seed, &self.config, &self.faults);
        drawn.thin_out(chance.pick(&REQUESTS_MAX).min(drawn.len()));
        self.config.clients += before;
        if chance.percent(30) {
            self.workload.steps.clear();
        }
        for step in &mut drawn.steps {
            step.client += before;
            for op in &mut step.ops {
                // No two writes of a case have one value.
                op.written_mut().into_iter().for_each(|value| value.replace_range(..1, "w"));
                op.operand_mut().into_iter().for_each(|value| value.replace_range(..1, "w"));
            }
        }
        self.workload.dialects.extend(drawn.dialects);
        self.workload.databases.extend(drawn.databases);
        self.workload.steps.extend(drawn.steps);
        self.workload.steps.sort_by_key(|step| step.at_ms);
    }

    /// Shrinking may have left no time in which anything can be asked or go wrong.
    fn make_room(&mut self) {
        let least_ms = self.config.start_ms + SPAN_MIN_MS;
        self.config.span_ms = self.config.span_ms.max(least_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shifted_cases_are_sound_and_differ() {
        let case = Case::draw(3);
        for number in 0..20 {
            let near = case.shifted(number, 1 + number);
            assert_ne!(near, case);
            assert_eq!(near.config.core.len(), case.config.core.len());
            assert_eq!(near.workload.len(), case.workload.len());
            assert!(near.workload.steps.is_sorted_by_key(|step| step.at_ms));
            let start = case.config.start_ms;
            assert!(near.faults.iter().all(|fault| fault.at_ms().is_none_or(|at| at >= start)));
        }
        assert_eq!(case.shifted(1, 2), case.shifted(1, 2));
    }

    #[test]
    fn near_cases_are_sound_and_have_other_faults_and_requests() {
        let kept: Vec<Case> = (0..30).map(Case::draw).collect();
        let (mut more_faults, mut fewer, mut more, mut others) = (0, 0, 0, 0);
        for seed in 0..300 {
            let case = Case::near(seed, &kept);
            assert_eq!(case, Case::near(seed, &kept));
            let workload = &case.workload;
            assert!(workload.dialects.len() == case.config.clients);
            assert!(workload.databases.len() == case.config.clients);
            let known = |step: &super::super::Step| {
                step.client < case.config.clients && step.node < case.config.nodes
            };
            assert!(workload.steps.iter().all(known));
            assert!(workload.steps.is_sorted_by_key(|step| step.at_ms));
            let nodes = case.faults.iter().flat_map(|fault| fault.kind.nodes());
            assert!(nodes.into_iter().all(|node| node < case.config.nodes));
            let written = workload.steps.iter().flat_map(|step| &step.ops);
            let written: Vec<&str> = written.filter_map(super::super::Op::value).collect();
            let distinct: BTreeSet<&str> = written.iter().copied().collect();
            assert_eq!(written.len(), distinct.len(), "seed {seed} writes a value twice");
            let parent = &kept[Chance::new(seed, "near", 0).below(30) as usize];
            more_faults += usize::from(case.faults.len() > parent.faults.len());
            fewer += usize::from(case.faults.len() < parent.faults.len());
            more += usize::from(workload.len() > parent.workload.len());
            others += usize::from(workload.len() < parent.workload.len());
        }
        for count in [more_faults, fewer, more, others] {
            assert!(count > 20, "{more_faults} {fewer} {more} {others}");
        }
    }
}
