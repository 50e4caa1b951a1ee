//! Faults of the network and of machines, brought on and ended in time.
//!
//! Faults overlap, so what is blocked is worked out anew from all faults that are on, and only
//! differences are told to turmoil, each direction by itself.

use super::{Shared, client_name, node_name};
use crate::{
    case::{Case, Fault, FaultKind},
    trace::EventKind,
};

/// The faults of a case at work.
pub(super) struct Weather {
    faults: Vec<Fault>,
    stages: Vec<Stage>,
    hosts: Vec<String>,
    nodes: usize,
    /// Messages from the first to the second host get lost.
    blocked: Vec<Vec<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ahead,
    On,
    Over,
}

impl Weather {
    pub(super) fn new(case: &Case) -> Self {
        let nodes = (0..case.config.nodes).map(node_name);
        let hosts: Vec<String> = nodes.chain((0..case.config.clients).map(client_name)).collect();
        Self {
            stages: vec![Stage::Ahead; case.faults.len()],
            faults: case.faults.clone(),
            nodes: case.config.nodes,
            blocked: vec![vec![false; hosts.len()]; hosts.len()],
            hosts,
        }
    }

    /// Whether all faults have come and gone.
    pub(super) fn is_over(&self) -> bool {
        self.stages.iter().all(|stage| *stage == Stage::Over)
    }

    /// Begins and ends what is due.
    pub(super) fn advance(&mut self, sim: &mut turmoil::Sim<'_>, shared: &Shared, now_ms: u64) {
        for index in 0..self.faults.len() {
            let Some(fault) = self.faults.get(index).cloned() else { continue };
            let Some(stage) = self.stages.get_mut(index) else { continue };
            let Some(at_ms) = fault.at_ms() else { continue };
            if *stage == Stage::Ahead && at_ms <= now_ms {
                *stage = Stage::On;
                shared.record(now_ms, EventKind::FaultBegins, index);
                shared.fire(fault.kind.class());
                // A machine without power says nothing any more, so it is cut off first.
                self.block(sim);
                if let FaultKind::Kill { node } | FaultKind::PowerLoss { node } = fault.kind {
                    sim.crash(node_name(node));
                    shared.nodes.borrow_mut()[node] = None;
                }
            } else if *stage == Stage::On && at_ms + fault.for_ms <= now_ms {
                *stage = Stage::Over;
                shared.record(now_ms, EventKind::FaultEnds, index);
                if let FaultKind::Kill { node } | FaultKind::PowerLoss { node } = fault.kind {
                    sim.bounce(node_name(node));
                }
                self.block(sim);
            }
        }
    }

    /// Makes the network what the faults that are on make of it.
    fn block(&mut self, sim: &turmoil::Sim<'_>) {
        let count = self.hosts.len();
        let mut wanted = vec![vec![false; count]; count];
        for (fault, stage) in self.faults.iter().zip(&self.stages) {
            if *stage != Stage::On {
                continue;
            }
            match fault.kind {
                // What turmoil can't do is not in its cases; see `Case::for_turmoil`.
                FaultKind::BitRot { .. }
                | FaultKind::Blackout
                | FaultKind::ClockJump { .. }
                | FaultKind::ColdRestart { .. }
                | FaultKind::DiskFull { .. }
                | FaultKind::HalfOpen { .. }
                | FaultKind::Kill { .. }
                | FaultKind::Misdirected { .. }
                | FaultKind::Pause { .. }
                | FaultKind::Reset { .. }
                | FaultKind::SlowDisk { .. }
                | FaultKind::SlowLink { .. }
                | FaultKind::SlowReader { .. }
                | FaultKind::Stop { .. }
                | FaultKind::SyncFails { .. }
                | FaultKind::Unreadable { .. }
                | FaultKind::Wipe { .. } => {}
                FaultKind::Isolation { node, way } => {
                    let (out, into) = way.blocks();
                    for other in (0..self.nodes).filter(|other| *other != node) {
                        wanted[node][other] |= out;
                        wanted[other][node] |= into;
                    }
                }
                FaultKind::OneWay { from, to } => wanted[from][to] = true,
                FaultKind::Partition { a, b } => (wanted[a][b], wanted[b][a]) = (true, true),
                FaultKind::PowerLoss { node } => {
                    for other in (0..count).filter(|other| *other != node) {
                        (wanted[node][other], wanted[other][node]) = (true, true);
                    }
                }
            }
        }
        for (from, row) in wanted.iter().enumerate() {
            for (to, wanted) in row.iter().enumerate() {
                let (a, b) = (self.hosts[from].as_str(), self.hosts[to].as_str());
                match (self.blocked[from][to], *wanted) {
                    (false, true) => sim.partition_oneway(a, b),
                    (true, false) => sim.repair_oneway(a, b),
                    (false, false) | (true, true) => {}
                }
            }
        }
        self.blocked = wanted;
    }
}
