//! Clients that ask by WAIT how many nodes hold what they have just written.

use super::{Config, Op, Workload, drama::Drama};
use crate::chance::Chance;

/// So many in a hundred seeds have such clients.
const PERCENT: u64 = 15;
/// So many in a hundred of what writes in one go is followed by a WAIT.
const GOES_PERCENT: u64 = 50;

/// Adds them to what clients ask in a seed that has them.
pub(super) fn add(seed: u64, config: &Config, workload: &mut Workload) {
    let mut chance = Chance::new(seed, "waits", 0);
    let waits = chance.percent(PERCENT) || Drama::draw(seed).is_some_and(Drama::waits);
    if config.nodes < 2 || !waits {
        return;
    }
    for step in &mut workload.steps {
        let writes = step.ops.iter().any(|op| matches!(op, Op::Set { .. }));
        if writes && chance.percent(GOES_PERCENT) {
            let replicas = chance.between(1, config.nodes as u64 - 1);
            let for_ms = chance.pick(&[1, 20, 100, config.timing.request.0]);
            step.ops.push(Op::Wait { replicas, for_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Case, Op};

    #[test]
    fn who_waits_has_written_something_in_the_same_go() {
        let steps = (0..300).flat_map(|seed| Case::draw(seed).workload.steps);
        let waits = |op: &Op| matches!(op, Op::Wait { .. });
        let goes = steps.filter(|step| step.ops.iter().any(waits));
        let goes: Vec<_> = goes.map(|step| step.ops).collect();
        assert!(goes.len() > 100, "{}", goes.len());
        for ops in goes {
            assert!(ops.last().is_some_and(waits));
            assert!(ops.iter().any(|op| matches!(op, Op::Set { .. })));
        }
    }
}
