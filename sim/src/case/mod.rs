//! A case: everything that happens in one simulation, as plain data.
//!
//! A seed draws a case, and a driver plays it; a driver adds no decision of its own except the fine
//! grain that the case leaves open (latency of one message, place of one cut), which it takes from
//! the same seed. Nothing in here knows of a driver, so one case can be played by several.
//!
//! Swarm: a seed also draws which classes of faults it has at all, since a simulation in which
//! everything happens a little finds less than one in which few things happen a lot (Groce et al.,
//! "Swarm testing", 2012).

use std::fmt;

use serde::{Deserialize, Serialize};

mod bounds;
mod brief;
mod config;
mod dark;
mod drama;
mod faults;
mod mixed;
mod near;
mod ops;
mod plan;
mod rolling;
mod scans;
mod sizes;
mod smaller;
mod style;
mod waits;
mod workload;

pub use config::{Chop, Config, Disks};
pub use faults::{Fault, FaultClass, FaultKind, Way, When};
pub use ops::{Condition, Op, Part};
pub use workload::{Dialect, Step, Then, Torn, Workload, value_of};

/// The format of cases and what they mean to a driver. What a seed draws may change without it; then
/// the golden hashes change.
pub const VERSION: u32 = 1;

/// One simulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// [`VERSION`].
    pub version: u32,
    /// What it was drawn from, and what the driver takes its fine grain from.
    pub seed: u64,
    /// Cluster, network and clocks.
    pub config: Config,
    /// What clients ask, and when.
    pub workload: Workload,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// What all cases of a batch have in common, instead of what their seeds would draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many nodes.
    pub nodes: Option<usize>,
    /// How many requests, if the seed has as many.
    pub operations: Option<usize>,
}

impl Case {
    /// How far apart any two clocks may be until `end_us`, at whatever times one looks at them.
    #[must_use]
    pub fn skew_us(&self, end_us: u64) -> u64 {
        let (mut least_us, mut most_us) = (i64::MAX, i64::MIN);
        for node in 0..self.config.nodes {
            let jumps = self.faults.iter().filter_map(|fault| match fault.kind {
                FaultKind::ClockJump { node: at, by_ms } if at == node => Some(by_ms),
                _ => None,
            });
            let drift_us = self.config.clock_rates_ppm[node] * (end_us / 1_000_000) as i64;
            let offset_us = self.config.clock_offsets_ms[node] * 1000;
            for jump_ms in jumps.chain([0]) {
                let at_us = offset_us + jump_ms * 1000;
                least_us = least_us.min(at_us + drift_us.min(0));
                most_us = most_us.max(at_us + drift_us.max(0));
            }
        }
        // Clocks tell whole milliseconds.
        most_us.saturating_sub(least_us).max(0) as u64 + 2000
    }

    /// The nodes whose clocks are put right in the course of it, and tell some time twice.
    #[must_use]
    pub fn put_right(&self) -> Vec<usize> {
        let nodes = self.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::ClockJump { node, .. } => Some(node),
            _ => None,
        });
        nodes.collect()
    }

    /// The case of `seed`.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::draw_sized(seed, Size::default())
    }

    /// The case of `seed` in another size.
    #[must_use]
    pub fn draw_sized(seed: u64, size: Size) -> Self {
        let faults = plan::Plan::draw(seed);
        let mut config = Config::draw(seed, &faults, size.nodes);
        if faults.rolling {
            rolling::adapt(seed, &mut config);
        }
        let faults = faults.faults(seed, &config);
        let mut workload = Workload::draw(seed, &config, &faults);
        scans::add(seed, &mut config, &mut workload);
        waits::add(seed, &config, &mut workload);
        if let Some(operations) = size.operations {
            workload.thin_out(operations);
        }
        Self { version: VERSION, seed, config, workload, faults }
    }

    /// The case of a file's text.
    ///
    /// # Errors
    /// What is wrong with the text, or that it is of another version.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let case: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if case.version != VERSION {
            return Err(format!(
                "the case is of version {}, this simulator of {VERSION}",
                case.version
            ));
        }
        Ok(case)
    }

    /// The text of the case's file.
    ///
    /// # Panics
    /// Never: a case is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a case is plain data") + "\n"
    }

    /// As much of it as turmoil can play.
    #[must_use]
    pub fn for_turmoil(mut self) -> Self {
        self.faults.retain(|fault| fault.kind.class().in_turmoil() && fault.at_ms().is_some());
        // A connection that is dropped there ends in order, and with it a line.
        for step in &mut self.workload.steps {
            let text = self.workload.dialects[step.client] == Dialect::Text;
            step.torn = step.torn.filter(|torn| !(text && torn.leaves()));
        }
        self
    }

    /// How long after the last fault and write all replicas must have become one: what the cluster
    /// needs to find out, and what the network needs to carry all that was written once more.
    #[must_use]
    pub fn settle_ms(&self) -> u64 {
        let ops = self.workload.steps.iter().flat_map(|step| &step.ops);
        let size = |op: &Op| op.written().map_or(0, str::len) * op.keys().len() + 100;
        let values = ops.map(|op| size(op) as u64);
        let window = self.config.window_bytes as u64;
        // A window full each way there and back.
        self.config.settle_ms() + values.sum::<u64>() * 2 * self.config.slowest_ms() / window
    }

    /// When the last fault is over and the last operation sent.
    #[must_use]
    pub fn quiet_at_ms(&self) -> u64 {
        let faults = self.faults.iter().filter_map(|fault| Some(fault.at_ms()? + fault.for_ms));
        let steps = self.workload.steps.iter().map(|step| step.at_ms);
        faults.chain(steps).max().unwrap_or(0)
    }

    /// The classes of faults that this case has.
    #[must_use]
    pub fn classes(&self) -> Vec<FaultClass> {
        let mut classes: Vec<FaultClass> =
            self.faults.iter().map(|fault| fault.kind.class()).collect();
        if self.config.chop.is_some() {
            classes.extend([FaultClass::CutRead, FaultClass::CutWrite]);
        }
        if self.workload.steps.iter().any(|step| step.torn.is_some()) {
            classes.push(FaultClass::TornRequest);
        }
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, config, workload, faults, .. } = self;
        writeln!(f, "seed {seed} (cases of version {})", self.version)?;
        writeln!(f, "  cluster   {config}")?;
        writeln!(f, "  workload  {workload}")?;
        if faults.is_empty() {
            return write!(f, "  faults    none");
        }
        for (index, fault) in faults.iter().enumerate() {
            let head = if index == 0 { "  faults    " } else { "            " };
            let end = if index + 1 == faults.len() { "" } else { "\n" };
            write!(f, "{head}{fault}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_one_case_and_seeds_differ() {
        assert_eq!(Case::draw(5), Case::draw(5));
        assert_ne!(Case::draw(5), Case::draw(6));
    }

    #[test]
    fn a_case_survives_its_file() {
        for seed in 0..20 {
            let case = Case::draw(seed);
            assert_eq!(Case::from_json(&case.to_json()), Ok(case.clone()));
            let other = Case { version: VERSION + 1, ..case };
            assert!(Case::from_json(&other.to_json()).is_err_and(|why| why.contains("version")));
        }
        assert!(Case::from_json("{").is_err());
    }

    #[test]
    fn cases_keep_to_their_bounds() {
        for seed in 0..300 {
            let case = Case::draw(seed);
            let config = &case.config;
            assert!((1..=7).contains(&config.nodes) && (2..=64).contains(&config.slots));
            let spread =
                config.clock_offsets_ms.iter().max().zip(config.clock_offsets_ms.iter().min());
            let spread = spread.map_or(0, |(max, min)| max - min) as u64;
            assert!(spread < config.timing.skew_max.0, "no clock may be refused");
            for step in &case.workload.steps {
                assert!(step.node < config.nodes && step.client < config.clients);
                assert!(!step.ops.is_empty());
                let closes = step.torn.is_some_and(|torn| torn.then == Then::Close);
                assert!(!closes || case.workload.dialects[step.client] == Dialect::Resp);
            }
            for fault in &case.faults {
                assert!(fault.kind.nodes().iter().all(|node| *node < config.nodes));
            }
            assert!(case.quiet_at_ms() < 60_000);
        }
    }

    #[test]
    fn extremes_are_drawn() {
        let cases: Vec<Case> = (0..900).map(Case::draw).collect();
        for nodes in 1..=7 {
            assert!(cases.iter().any(|case| case.config.nodes == nodes), "{nodes} nodes");
        }
        let largest = |case: &Case| {
            let ops = case.workload.steps.iter().flat_map(|step| &step.ops);
            ops.filter_map(Op::value).map(str::len).max().unwrap_or(0)
        };
        let large = cases.iter().filter(|case| largest(case) > 40_000).count();
        assert!((15..=180).contains(&large), "{large} of 900 cases have large values");
    }

    #[test]
    fn a_size_is_kept_to() {
        for seed in 0..50 {
            let size = Size { nodes: Some(3), operations: Some(60) };
            let case = Case::draw_sized(seed, size);
            let whole = Case::draw_sized(seed, Size { operations: None, ..size });
            assert_eq!(case.config.nodes, 3);
            assert_eq!(case.workload.len(), whole.workload.len().min(60));
        }
    }

    #[test]
    fn where_processes_end_replicas_are_compared() {
        let ends = |fault: &Fault| {
            fault.kind.is_crash() || matches!(fault.kind, FaultKind::Misdirected { .. })
        };
        let (mut ended, mut never) = (0, 0);
        for case in (0..1500).map(Case::draw) {
            let repairs = case.config.repairs();
            let whole = !case.faults.iter().any(ends);
            assert!(repairs || whole, "{case}");
            ended += u32::from(!whole);
            never += u32::from(!repairs);
        }
        assert!(ended > 100 && never > 100, "{ended} with an end, {never} without comparisons");
    }

    #[test]
    fn torn_bytes_have_two_parts() {
        for (permille, size, first) in [(0, 2, 1), (1000, 2, 1), (0, 9, 1), (1000, 9, 8)] {
            assert_eq!(Torn { permille, then: Then::Reset }.cut(size), first);
        }
    }

    #[test]
    fn every_class_of_faults_is_drawn() {
        let mut classes: Vec<FaultClass> = (0..400).flat_map(|s| Case::draw(s).classes()).collect();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes, FaultClass::ALL);
    }
}
