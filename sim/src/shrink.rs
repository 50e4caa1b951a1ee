//! Shrinking: the smallest case that still fails in the same way.
//!
//! Whole clients are taken away first, then faults, then requests, then what makes the cluster
//! complicated; each step is kept only if the same oracle still fails on the same key. Randomness
//! without state makes that work: taking one thing away shifts nothing else.

use crate::{
    case::{Case, Step},
    oracle::Failure,
    play::{Tier, play},
};

/// Runs that a shrinking may take.
const RUNS_MAX: u32 = 3000;

/// The smallest case found that fails as `failure` does, and how many runs it took.
#[must_use]
pub fn shrink(case: &Case, tier: Tier, failure: &Failure) -> (Case, u32) {
    shrink_by(case, |case| {
        play(case, tier, false).failure.is_some_and(|other| other.is_like(failure))
    })
}

/// The smallest case found of which `fails` is still true, and how often it was asked.
#[must_use]
pub fn shrink_by(case: &Case, fails: impl Fn(&Case) -> bool) -> (Case, u32) {
    let mut shrinker = Shrinker { best: case.clone(), fails, runs: 0 };
    loop {
        let before = shrinker.best.clone();
        shrinker.drop_clients();
        shrinker.drop_faults();
        shrinker.drop_steps();
        shrinker.drop_ops();
        shrinker.merge_clients();
        shrinker.simplify();
        shrinker.drop_nodes();
        if shrinker.best == before || shrinker.runs >= RUNS_MAX {
            return (shrinker.best, shrinker.runs);
        }
    }
}

/// A case being made smaller.
struct Shrinker<F> {
    best: Case,
    fails: F,
    runs: u32,
}

impl<F: Fn(&Case) -> bool> Shrinker<F> {
    /// Keeps `case` if it fails in the same way.
    fn consider(&mut self, case: Case) -> bool {
        if self.runs >= RUNS_MAX || case == self.best {
            return false;
        }
        self.runs += 1;
        let same = (self.fails)(&case);
        if same {
            self.best = case;
        }
        same
    }

    /// Takes away clients with all that they ask; those that ask nothing more go here too.
    fn drop_clients(&mut self) {
        let mut client = self.best.config.clients;
        while client > 0 {
            client -= 1;
            if let Some(case) = self.best.without_client(client) {
                self.consider(case);
            }
        }
    }

    /// Lets one client ask what two did.
    fn merge_clients(&mut self) {
        let mut gone = self.best.config.clients;
        while gone > 1 {
            gone -= 1;
            let pairs = (0..gone).flat_map(|kept| [(kept, kept), (kept, gone)]);
            for (kept, manners) in pairs {
                let merged = self.best.with_clients_merged(kept, gone, manners);
                if merged.is_some_and(|case| self.consider(case)) {
                    break;
                }
            }
        }
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
        let simpler: [fn(&mut Case); 9] = [
            |case| case.config.chop = None,
            |case| case.config.slow_link = None,
            |case| case.config.core = (0..case.config.nodes).collect(),
            |case| case.config.latency_ms = (0, 10),
            |case| case.config.clock_offsets_ms.fill(0),
            |case| case.config.clock_rates_ppm.fill(0),
            |case| case.workload.steps.iter_mut().for_each(|step: &mut Step| step.fresh = false),
            |case| case.workload.steps.iter_mut().for_each(|step: &mut Step| step.torn = None),
            Case::shorten_values,
        ];
        for change in simpler {
            let mut case = self.best.clone();
            change(&mut case);
            self.consider(case);
        }
    }

    /// Takes away nodes that nothing names.
    fn drop_nodes(&mut self) {
        for node in (0..self.best.config.nodes).rev() {
            if let Some(case) = self.best.without_node(node) {
                self.consider(case);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Dialect, Op};

    /// A seed's case with clients of both dialects that write and delete.
    fn case() -> Case {
        let wanted = |case: &Case| {
            let both = [Dialect::Resp, Dialect::Text].map(|d| case.workload.dialects.contains(&d));
            both == [true, true]
                && case.config.clients > 3
                && deletes(case)
                && sets(case).count() > 1
        };
        (0..).map(Case::draw).find(wanted).expect("there is one")
    }

    fn deletes(case: &Case) -> bool {
        let mut ops = case.workload.steps.iter().flat_map(|step| &step.ops);
        ops.any(|op| matches!(op, Op::Del { .. }))
    }

    /// The clients of all writes.
    fn sets(case: &Case) -> impl Iterator<Item = usize> {
        let is_set = |op: &&Op| matches!(op, Op::Set { .. });
        let of_step = move |step: &Step| vec![step.client; step.ops.iter().filter(is_set).count()];
        case.workload.steps.iter().flat_map(of_step)
    }

    #[test]
    fn what_two_clients_did_one_does() {
        let (small, _) = shrink_by(&case(), |case| deletes(case) && sets(case).count() > 0);
        assert_eq!((small.config.clients, small.workload.len()), (1, 2));
        assert_eq!((small.workload.dialects.len(), small.workload.databases.len()), (1, 1));
        assert!(small.faults.is_empty() && small.config.nodes <= 2, "a node for each request");
    }

    #[test]
    fn clients_that_must_differ_stay_apart() {
        let dialects = |case: &Case| {
            let mut found: Vec<bool> =
                sets(case).map(|client| case.workload.dialects[client] == Dialect::Text).collect();
            found.sort_unstable();
            found.dedup();
            found.len()
        };
        let (small, _) = shrink_by(&case(), |case| dialects(case) == 2);
        assert_eq!((small.config.clients, small.workload.len()), (2, 2));
    }

    #[test]
    fn what_does_not_fail_is_left_alone() {
        let case = case();
        assert_eq!(shrink_by(&case, |_| false).0, case);
    }
}
