//! Cases with less in them, for shrinking.
//!
//! Each function takes one thing away and leaves a case as sound as one that was drawn: what
//! remains is numbered without gaps, and nothing names what is gone. Whether the smaller case still
//! fails is for the caller to find out.

use super::{Case, Fault, FaultKind, When};

impl Case {
    /// The case without a node, if nothing in it names that node and it is not the only one.
    #[must_use]
    pub fn without_node(&self, gone: usize) -> Option<Self> {
        let waits = |when: &When| matches!(when, When::OnNth { node, .. } if *node == gone);
        let strikes = |fault: &Fault| fault.kind.nodes().contains(&gone) || waits(&fault.when);
        let named = self.faults.iter().any(strikes)
            || self.workload.steps.iter().any(|step| step.node == gone)
            || self.config.slow_link.is_some_and(|(a, b, _)| a == gone || b == gone);
        if named || self.config.nodes < 2 {
            return None;
        }
        let mut case = self.clone();
        case.config.nodes -= 1;
        case.config.clock_offsets_ms.remove(gone);
        case.config.clock_rates_ppm.remove(gone);
        case.config.core.retain(|node| *node != gone);
        case.rename_nodes(|node| if node > gone { node - 1 } else { node });
        (case.config.core.len() > case.config.nodes / 2).then_some(case)
    }

    /// The case without a client, all that it asks and all that befalls it; nothing if it is the
    /// only one.
    #[must_use]
    pub fn without_client(&self, gone: usize) -> Option<Self> {
        if self.config.clients < 2 {
            return None;
        }
        let mut case = self.clone();
        case.workload.steps.retain(|step| step.client != gone);
        case.faults.retain(
            |fault| !matches!(fault.kind, FaultKind::SlowReader { client } if client == gone),
        );
        case.rename_clients(|client| if client > gone { client - 1 } else { client });
        case.workload.dialects.remove(gone);
        case.workload.databases.remove(gone);
        case.config.clients -= 1;
        Some(case)
    }

    /// The case in which `kept` asks what `gone` asked too, in the dialect and database of
    /// `manners`, which is one of the two.
    #[must_use]
    pub fn with_clients_merged(&self, kept: usize, gone: usize, manners: usize) -> Option<Self> {
        let mut case = self.clone();
        let workload = &mut case.workload;
        workload.dialects[kept] = workload.dialects[manners];
        workload.databases[kept] = workload.databases[manners];
        case.rename_clients(|client| if client == gone { kept } else { client });
        case.workload.break_torn_lines();
        case.without_client(gone)
    }

    /// Leaves of each value its name.
    pub fn shorten_values(&mut self) {
        for op in self.workload.steps.iter_mut().flat_map(|step| &mut step.ops) {
            let shorten = |text: &mut String| {
                if let Some((name, _)) = text.split_once('-') {
                    *text = name.to_owned();
                }
            };
            op.written_mut().into_iter().for_each(shorten);
            op.operand_mut().into_iter().for_each(shorten);
        }
    }

    /// Gives the part of each node to the one that is `by` further on, round and round.
    pub fn turn_nodes(&mut self, by: usize) {
        let nodes = self.config.nodes;
        self.config.clock_offsets_ms.rotate_right(by);
        self.config.clock_rates_ppm.rotate_right(by);
        self.rename_nodes(|node| (node + by) % nodes);
    }

    fn rename_nodes(&mut self, name: impl Fn(usize) -> usize) {
        self.workload.steps.iter_mut().for_each(|step| step.node = name(step.node));
        self.config.core.iter_mut().for_each(|node| *node = name(*node));
        if let Some((a, b, _)) = &mut self.config.slow_link {
            (*a, *b) = (name(*a), name(*b));
        }
        for fault in &mut self.faults {
            if let When::OnNth { node, .. } = &mut fault.when {
                *node = name(*node);
            }
            fault.kind.nodes_mut().into_iter().for_each(|node| *node = name(*node));
        }
    }

    fn rename_clients(&mut self, name: impl Fn(usize) -> usize) {
        self.workload.steps.iter_mut().for_each(|step| step.client = name(step.client));
        for fault in &mut self.faults {
            if let FaultKind::SlowReader { client } = &mut fault.kind {
                *client = name(*client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Dialect, Op, Step};

    /// Three clients, each with a step whose key is its letter, and a slow reader among them.
    fn case(slow: usize) -> Case {
        let mut case = Case::draw(1);
        case.config.clients = 3;
        let step = |(client, key): (usize, &str)| Step {
            at_ms: 100 * client as u64,
            client,
            node: 0,
            fresh: false,
            ops: vec![Op::Get { key: key.to_owned() }],
            db: None,
            torn: None,
        };
        case.workload.steps = [(0, "a"), (1, "b"), (2, "c")].map(step).to_vec();
        case.workload.dialects = vec![Dialect::Resp, Dialect::Text, Dialect::Text];
        case.workload.databases = vec![0, 1, 2];
        let kind = FaultKind::SlowReader { client: slow };
        case.faults = vec![Fault { when: When::At(1), for_ms: 2, kind }];
        case
    }

    fn steps(of: &[(usize, &str)]) -> Vec<(usize, String)> {
        of.iter().map(|(client, key)| (*client, (*key).to_owned())).collect()
    }

    /// Client and key of each step, dialects and databases of the clients, faults.
    type Shape<'a> = (Vec<(usize, String)>, &'a [Dialect], &'a [u8], Vec<FaultKind>);

    fn shape(case: &Case) -> Shape<'_> {
        let key = |step: &'_ Step| step.ops[0].key().expect("all read a key").to_owned();
        let steps = case.workload.steps.iter().map(|step| (step.client, key(step)));
        let faults = case.faults.iter().map(|fault| fault.kind).collect();
        (steps.collect(), &case.workload.dialects, &case.workload.databases, faults)
    }

    #[test]
    fn a_client_goes_with_its_steps_and_faults_and_the_others_close_ranks() {
        let less = case(2).without_client(1).expect("two are left");
        let slow = vec![FaultKind::SlowReader { client: 1 }];
        let dialects = [Dialect::Resp, Dialect::Text];
        assert_eq!(shape(&less), (steps(&[(0, "a"), (1, "c")]), &dialects[..], &[0, 2][..], slow));
        let less = case(1).without_client(1).expect("two are left");
        assert_eq!((less.faults, less.config.clients), (Vec::new(), 2));
        let one = less.workload.clone();
        let last = Case { workload: one, ..case(0).without_client(2).expect("two are left") };
        assert_eq!(last.without_client(0).and_then(|case| case.without_client(0)), None);
    }

    #[test]
    fn a_client_takes_over_the_steps_and_faults_of_another() {
        let steps = steps(&[(0, "a"), (1, "b"), (0, "c")]);
        let slow = vec![FaultKind::SlowReader { client: 0 }];
        let merged = case(2).with_clients_merged(0, 2, 0).expect("two are left");
        let resp = [Dialect::Resp, Dialect::Text];
        assert_eq!(shape(&merged), (steps.clone(), &resp[..], &[0, 1][..], slow.clone()));
        let merged = case(2).with_clients_merged(0, 2, 2).expect("two are left");
        let text = [Dialect::Text, Dialect::Text];
        assert_eq!(shape(&merged), (steps, &text[..], &[2, 1][..], slow));
    }

    #[test]
    fn a_node_goes_only_if_nothing_names_it() {
        let mut case = case(0);
        case.config.nodes = 4;
        case.config.clock_offsets_ms = vec![10, 11, 12, 13];
        case.config.clock_rates_ppm = vec![0; 4];
        case.config.slow_link = Some((0, 3, 50));
        case.config.core = vec![0, 2, 3];
        let kind = FaultKind::OneWay { from: 3, to: 0 };
        let when = When::OnNth { node: 3, hook: "ack_sent".to_owned(), nth: 1 };
        case.faults.push(Fault { when, for_ms: 9, kind });
        case.workload.steps[1].node = 2;
        let less = case.without_node(1).expect("nobody talks to it");
        assert_eq!(less.config.clock_offsets_ms, [10, 12, 13]);
        assert_eq!((less.config.slow_link, less.config.core), (Some((0, 2, 50)), vec![0, 1, 2]));
        assert_eq!(less.faults[1].kind, FaultKind::OneWay { from: 2, to: 0 });
        assert!(matches!(less.faults[1].when, When::OnNth { node: 2, .. }));
        assert_eq!(less.workload.steps[1].node, 1);
        for named in [0, 2, 3] {
            assert_eq!(case.without_node(named), None);
        }
        // A core that is no majority of those that are left.
        case.workload.steps[1].node = 0;
        case.config.core = vec![2, 3];
        assert_eq!(case.without_node(2), None);
    }
}
