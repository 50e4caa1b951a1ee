//! Shrinking: the smallest case that still fails in the same way.
//!
//! Faults are taken away first, then requests, then what makes the cluster complicated; each step
//! is kept only if the same oracle still fails on the same key. Randomness without state makes that
//! work: taking one thing away shifts nothing else.

use crate::{
    case::{Case, Step},
    oracle::Failure,
    play::{Tier, play},
};

/// Runs that a shrinking may take.
const RUNS_MAX: u32 = 3000;

/// A case being made smaller.
struct Shrinker {
    best: Case,
    tier: Tier,
    failure: Failure,
    runs: u32,
}

/// The smallest case found that fails as `failure` does, and how many runs it took.
#[must_use]
pub fn shrink(case: &Case, tier: Tier, failure: &Failure) -> (Case, u32) {
    let mut shrinker = Shrinker { best: case.clone(), tier, failure: failure.clone(), runs: 0 };
    loop {
        let before = shrinker.best.clone();
        shrinker.drop_faults();
        shrinker.drop_steps();
        shrinker.drop_ops();
        shrinker.simplify();
        if shrinker.best == before || shrinker.runs >= RUNS_MAX {
            return (shrinker.best, shrinker.runs);
        }
    }
}

impl Shrinker {
    /// Keeps `case` if it fails in the same way.
    fn consider(&mut self, case: Case) -> bool {
        if self.runs >= RUNS_MAX || case == self.best {
            return false;
        }
        self.runs += 1;
        let same = play(&case, self.tier, false)
            .failure
            .is_some_and(|failure| failure.is_like(&self.failure));
        if same {
            self.best = case;
        }
        same
    }

    fn drop_faults(&mut self) {
        let mut index = 0;
        while index < self.best.faults.len() {
            let mut case = self.best.clone();
            case.faults.remove(index);
            if self.consider(case) {
                continue;
            }
            // Shorter will do as well as gone.
            let mut case = self.best.clone();
            case.faults[index].for_ms /= 2;
            if case.faults[index].for_ms < 20 || !self.consider(case) {
                index += 1;
            }
        }
    }

    /// Takes away ever smaller runs of steps.
    fn drop_steps(&mut self) {
        let mut size = self.best.workload.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.workload.steps.len() {
                let mut case = self.best.clone();
                let to = (from + size).min(case.workload.steps.len());
                case.workload.steps.drain(from..to);
                if !self.consider(case) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn drop_ops(&mut self) {
        for step in 0..self.best.workload.steps.len() {
            let mut op = 0;
            while op < self.best.workload.steps[step].ops.len() {
                let mut case = self.best.clone();
                let ops = &mut case.workload.steps[step].ops;
                ops.remove(op);
                if ops.is_empty() || !self.consider(case) {
                    op += 1;
                }
            }
        }
    }

    fn simplify(&mut self) {
        let simpler: [fn(&mut Case); 7] = [
            |case| case.config.chop = None,
            |case| case.config.slow_link = None,
            |case| case.config.core = (0..case.config.nodes).collect(),
            |case| case.config.latency_ms = (0, 10),
            |case| case.config.clock_offsets_ms.fill(0),
            |case| case.config.clock_rates_ppm.fill(0),
            |case| case.workload.steps.iter_mut().for_each(|step: &mut Step| step.fresh = false),
        ];
        for change in simpler {
            let mut case = self.best.clone();
            change(&mut case);
            self.consider(case);
        }
        while self.best.config.nodes > 2 {
            let Some(case) = without_last_node(&self.best) else { return };
            if !self.consider(case) {
                return;
            }
        }
    }
}

/// The case without its last node, if nothing in it names that node.
fn without_last_node(case: &Case) -> Option<Case> {
    let last = case.config.nodes - 1;
    let named = case.faults.iter().any(|fault| fault.kind.nodes().contains(&last))
        || case.workload.steps.iter().any(|step| step.node == last)
        || case.config.slow_link.is_some_and(|(a, b, _)| a == last || b == last);
    if named {
        return None;
    }
    let mut case = case.clone();
    case.config.nodes = last;
    case.config.clock_offsets_ms.pop();
    case.config.clock_rates_ppm.pop();
    case.config.core.retain(|node| *node != last);
    (case.config.core.len() > last / 2).then_some(case)
}
