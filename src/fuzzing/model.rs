//! Operations, partitions, cuts and restarts on a cluster in memory, against a map.
//!
//! It is about the eventual database, and that all replicas end alike; of the strong one
//! simulations tell more.
//! Time passes between operations and all clocks are right, so a later write wins over an earlier
//! one wherever they were accepted, and a plain map says what every replica must hold in the end. A
//! crash while all replicas agree loses nothing; another one may lose what only that node had: then
//! any state since the last agreement, or none, may survive.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Cluster, Setup};
use crate::{
    limits::{Limits, Timing},
    record::Db,
    time::Millis,
};

/// Operations of one run: enough for every fault to meet every other.
const STEPS_MAX: usize = 200;
/// Within this time a healed cluster agrees: several repair rounds and the longest pause before
/// dialing.
const PATIENCE: Millis = Millis(120_000);

type Key = u8;
type Value = Option<u16>;

/// What a key may hold.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// The state that the last operation left.
    latest: Value,
    /// States that a crash may have brought back.
    others: BTreeSet<Value>,
    /// States since the last agreement.
    recent: BTreeSet<Value>,
    /// Every state there ever was.
    ever: BTreeSet<Value>,
}

impl Expected {
    fn write(&mut self, value: Value) {
        self.recent.insert(self.latest);
        self.ever.insert(value);
        self.latest = value;
    }

    /// A node was lost that may have been the only one with any state since the last agreement, or
    /// with any at all.
    fn lose(&mut self) {
        self.others.extend(&self.recent);
        self.others.insert(None);
    }

    fn agree(&mut self, value: Value) {
        self.latest = value;
        self.others.clear();
        self.recent.clear();
    }

    fn allows(&self, value: Value) -> bool {
        value == self.latest || self.others.contains(&value)
    }
}

struct Model {
    cluster: Cluster,
    clients: Vec<Option<usize>>,
    keys: BTreeMap<Key, Expected>,
    next_value: u16,
}

/// Runs the operations that `data` spells and checks that every replica ends as the map.
///
/// # Panics
/// If one does not.
pub fn model(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut draw = || bytes.next().unwrap_or(0);
    let limits = Limits {
        outbox_size_max: 64 + usize::from(draw()) * 8,
        link_output: 1 + usize::from(draw()),
        offer_size: 1 + usize::from(draw()),
        repair_span: 1 + u32::from(draw() % 5),
        ..Limits::DEFAULT
    };
    let setup = Setup {
        nodes: 2 + usize::from(draw() % 3),
        slots: 1 + u32::from(draw() % 16),
        limits,
        timing: Timing::DEFAULT,
        piece: 1 + usize::from(draw()),
        synced: true,
    };
    let mut model = Model {
        cluster: Cluster::new(setup),
        clients: vec![None; setup.nodes],
        keys: BTreeMap::new(),
        next_value: 0,
    };
    model.cluster.advance(Millis(100));
    let rest: Vec<u8> = bytes.collect();
    for step in rest.as_chunks::<3>().0.iter().take(STEPS_MAX) {
        model.step(*step);
    }
    model.end();
}

impl Model {
    fn step(&mut self, [what, place, key]: [u8; 3]) {
        // Later operations get later stamps.
        self.cluster.advance(Millis(2));
        let nodes = self.cluster.len();
        let (node, other) = (usize::from(place) % nodes, usize::from(place / 16) % nodes);
        let key = key % 24;
        match what % 17 {
            0..=4 => self.set(node, key),
            5..=6 => self.delete(node, key),
            7..=8 => self.get(node, key),
            9 => self.cluster.stall(node, other),
            10 => self.cluster.heal(),
            11 => self.cluster.cut(node, other),
            12 => self.crash(node),
            13 => self.restart(node),
            14 => self.cluster.advance(Millis(u64::from(place) * 20)),
            15 => self.flush(node, key),
            _ => self.bounce(node),
        }
    }

    fn set(&mut self, node: usize, key: Key) {
        self.next_value += 1;
        let value = self.next_value;
        if let Some(reply) = self.ask(node, &format!("SET k{key} {value}\n")) {
            assert_eq!(reply, "OK\n");
            self.keys.entry(key).or_default().write(Some(value));
        }
    }

    fn delete(&mut self, node: usize, key: Key) {
        match self.ask(node, &format!("DEL k{key}\n")).as_deref() {
            Some("1\n") => self.keys.entry(key).or_default().write(None),
            Some(reply) => assert_eq!(reply, "0\n"),
            None => {}
        }
    }

    fn get(&mut self, node: usize, key: Key) {
        let Some(reply) = self.ask(node, &format!("GET k{key}\n")) else { return };
        let value = parse(&reply);
        let ever = self.keys.get(&key).is_some_and(|expected| expected.ever.contains(&value));
        assert!(value.is_none() || ever, "k{key} holds {value:?} from thin air");
    }

    fn flush(&mut self, node: usize, seldom: u8) {
        if seldom < 20 {
            return self.get(node, seldom);
        }
        if self.ask(node, "FLUSHDB\n").is_some() {
            self.keys.values_mut().for_each(|expected| expected.write(None));
        }
    }

    fn crash(&mut self, node: usize) {
        if self.cluster.node(node).is_some() {
            if self.cluster.agrees() && self.all_up() {
                self.learn();
            } else {
                self.keys.values_mut().for_each(Expected::lose);
            }
            self.cluster.crash(node);
            self.clients[node] = None;
        }
    }

    /// A node's process ends and starts again on its disk: nothing is lost.
    fn bounce(&mut self, node: usize) {
        if self.cluster.node(node).is_some() {
            self.cluster.crash(node);
            self.cluster.restart(node);
            self.clients[node] = None;
            // Its first stamps are ahead of the clock by as much as its bound was.
            self.cluster.advance(Millis(300));
        }
    }

    fn restart(&mut self, node: usize) {
        if self.cluster.node(node).is_none() {
            self.cluster.start(node);
        }
    }

    /// All replicas hold the same: nothing older can come back.
    fn learn(&mut self) {
        let Some(node) = self.cluster.node(0) else { return };
        for (key, expected) in &mut self.keys {
            let held = node.store().get(Db::EVENTUAL, format!("k{key}").as_bytes());
            let value = held.and_then(|held| held.value).map(<[u8]>::to_vec);
            let value = value.and_then(|value| String::from_utf8(value).ok());
            let value = value.and_then(|value| value.parse().ok());
            assert!(expected.allows(value), "k{key} holds {value:?}, expected {expected:?}");
            expected.agree(value);
        }
    }

    fn end(&mut self) {
        self.cluster.heal();
        for node in 0..self.cluster.len() {
            self.restart(node);
        }
        let agreed = self.cluster.advance_until(PATIENCE, Cluster::agrees);
        assert!(agreed, "replicas differ after {PATIENCE:?} without faults");
        self.learn();
        // What the stores hold is what clients see.
        for node in 0..self.cluster.len() {
            for (key, latest) in self.keys.clone().iter().map(|(key, e)| (*key, e.latest)) {
                let reply = self.ask(node, &format!("GET k{key}\n")).expect("all nodes are up");
                assert_eq!(parse(&reply), latest, "k{key} on node {node}");
            }
        }
    }

    fn all_up(&self) -> bool {
        (0..self.cluster.len()).all(|node| self.cluster.node(node).is_some())
    }

    fn ask(&mut self, node: usize, request: &str) -> Option<String> {
        self.cluster.node(node)?;
        let cluster = &mut self.cluster;
        let client = *self.clients[node].get_or_insert_with(|| {
            let client = cluster.connect(node);
            assert_eq!(cluster.ask(client, b"SELECT eventual\n"), b"OK\n");
            client
        });
        let reply = self.cluster.ask(client, request.as_bytes());
        Some(String::from_utf8(reply).expect("replies are text"))
    }
}

fn parse(reply: &str) -> Value {
    match reply {
        "Not Found\n" => None,
        value => Some(value.trim_end().parse().expect("values are numbers")),
    }
}
