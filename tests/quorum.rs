//! The quorum database under random faults: what clients saw must be explained by one register a
//! key.
//!
//! A cluster in memory is nudged link by link and disk by disk while clients write and read, links
//! stall and break, nodes and clocks jump. Each key's history is then searched for an order that
//! respects time and explains every answer (Wing and Gong, 1993). A write in doubt may take effect
//! whenever or never; one that was refused may not. FLUSHDB deletes each key by itself.
//! `QUORUM_SEEDS` sets how many clusters are played.

use std::{collections::BTreeSet, env};

use quorate::{
    fuzzing::cluster::{Cluster, Setup},
    rng::Rng,
    time::Millis,
};

const KEYS: u64 = 2;
const CLIENTS: usize = 5;
const STEPS: u64 = 120;

/// What an operation did to its key, as far as its reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Read(u64),
    Write(u64),
}

/// An operation on one key: 0 is no value.
#[derive(Clone, Copy, Debug)]
struct Done {
    key: u64,
    act: Act,
    begun: u64,
    /// Never, if nobody can tell.
    ended: u64,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Del(u64),
    Flush,
    Get(u64),
    Set(u64, u64),
}

struct Client {
    node: usize,
    connection: usize,
    /// What it received and did not take for an answer yet.
    received: String,
    /// That it has selected the database is not confirmed.
    greets: bool,
    asked: Option<(Asked, u64)>,
}

struct Play {
    cluster: Cluster,
    rng: Rng,
    clients: Vec<Client>,
    down: BTreeSet<usize>,
    /// How many may still lose their data.
    losses: usize,
    clock: u64,
    value: u64,
    history: Vec<Done>,
    told: String,
}

impl Client {
    /// The next line that answers something, once it is whole.
    fn take_reply(&mut self, cluster: &mut Cluster) -> Option<String> {
        let received = cluster.take_received(self.connection);
        self.received += &String::from_utf8(received).expect("text");
        if self.greets
            && let Some(rest) = self.received.strip_prefix("OK\n")
        {
            (self.received, self.greets) = (rest.to_owned(), false);
        }
        let (line, rest) = self.received.split_once('\n')?;
        let (line, rest) = (line.to_owned(), rest.to_owned());
        self.received = rest;
        Some(line)
    }
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = if rng.below(4) == 0 { 5 } else { 3 };
        let mut setup = Setup { nodes, slots: 4, ..Setup::default() };
        if rng.below(2) == 0 {
            setup.limits.requests_size_max = 1;
        }
        if rng.below(4) == 0 {
            setup.limits.outbox_size_max = 200;
        }
        let mut cluster = Cluster::new(setup);
        cluster.advance(Millis(500));
        let mut play = Self {
            cluster,
            rng,
            clients: Vec::new(),
            down: BTreeSet::new(),
            losses: nodes / 2,
            clock: 0,
            value: 0,
            history: Vec::new(),
            told: String::new(),
        };
        for _ in 0..CLIENTS {
            let node = play.below(nodes);
            let client = play.connect(node);
            play.clients.push(client);
        }
        play
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    fn connect(&mut self, node: usize) -> Client {
        let connection = self.cluster.connect(node);
        self.cluster.send(connection, b"SELECT 1\n");
        Client { node, connection, received: String::new(), greets: true, asked: None }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        self.told += &format!("{:4} {what}\n", self.clock);
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.clock += 1;
            let nodes = self.cluster.len();
            match self.below(40) {
                0..=13 => self.ask(),
                14..=31 => {
                    for _ in 0..=self.below(12) {
                        let choice = self.below(1000);
                        self.cluster.nudge(choice);
                    }
                }
                32 => self.cluster.settle(),
                33 => {
                    let span = self.rng.below(300);
                    self.cluster.advance(Millis(span));
                }
                34 => {
                    let (a, b) = (self.below(nodes), self.below(nodes));
                    self.tell(format_args!("stall {a} {b}"));
                    self.cluster.stall(a, b);
                }
                35 => {
                    self.tell(format_args!("heal"));
                    self.cluster.heal();
                }
                36 => {
                    let (a, b) = (self.below(nodes), self.below(nodes));
                    self.tell(format_args!("cut {a} {b}"));
                    self.cluster.cut(a, b);
                }
                37 => {
                    let (node, stalls) = (self.below(nodes), self.below(2) == 0);
                    self.cluster.stall_disk(node, stalls);
                }
                38 => self.crash_or_restart(),
                _ => {
                    let (node, offset) = (self.below(nodes), self.below(40_000) as i64 - 20_000);
                    self.cluster.set_clock(node, offset);
                }
            }
            self.listen();
        }
        self.end();
    }

    fn crash_or_restart(&mut self) {
        let node = self.below(self.cluster.len());
        if self.down.remove(&node) {
            // Who comes back with nothing needs the others to get all back.
            if self.losses > 0 && self.below(3) == 0 {
                self.losses -= 1;
                self.tell(format_args!("start {node} with nothing"));
                self.cluster.start(node);
            } else {
                self.tell(format_args!("restart {node}"));
                self.cluster.restart(node);
            }
        } else {
            self.tell(format_args!("crash {node}"));
            self.cluster.crash(node);
            self.down.insert(node);
        }
    }

    /// A client that waits for nothing asks something.
    fn ask(&mut self) {
        let index = self.below(CLIENTS);
        if self.clients[index].asked.is_some() {
            return;
        }
        if self.cluster.is_closed(self.clients[index].connection) {
            let node = self.below(self.cluster.len());
            self.clients[index] = self.connect(node);
            return;
        }
        let key = self.rng.below(KEYS);
        let asked = match self.below(24) {
            0 => Asked::Flush,
            1..=3 => Asked::Del(key),
            4..=11 => {
                self.value += 1;
                Asked::Set(key, self.value)
            }
            _ => Asked::Get(key),
        };
        let line = match asked {
            Asked::Del(key) => format!("DEL k{key}\n"),
            Asked::Flush => "FLUSHDB\n".to_owned(),
            Asked::Get(key) => format!("GET k{key}\n"),
            Asked::Set(key, value) => format!("SET k{key} {value}\n"),
        };
        let Client { node, connection, .. } = self.clients[index];
        self.tell(format_args!("client {index} at {node}: {}", line.trim()));
        self.cluster.send(connection, line.as_bytes());
        self.clients[index].asked = Some((asked, self.clock));
    }

    /// Takes what was answered since, and gives up what will not be.
    fn listen(&mut self) {
        for index in 0..CLIENTS {
            let Some((asked, begun)) = self.clients[index].asked else { continue };
            let connection = self.clients[index].connection;
            if let Some(reply) = self.clients[index].take_reply(&mut self.cluster) {
                self.tell(format_args!("client {index}: {reply}"));
                self.clients[index].asked = None;
                self.note(asked, begun, &reply);
            } else if self.cluster.is_closed(connection) {
                self.clients[index].asked = None;
                self.note(asked, begun, "INDOUBT");
            }
        }
    }

    fn note(&mut self, asked: Asked, begun: u64, reply: &str) {
        let refused = reply.starts_with("NOREPLICAS") || reply.starts_with("ERR");
        let doubt = reply.starts_with("INDOUBT");
        let ended = if doubt { u64::MAX } else { self.clock };
        let mut push = |key, act| self.history.push(Done { key, act, begun, ended });
        match asked {
            _ if refused => {}
            Asked::Del(key) if reply == "0" => push(key, Act::Read(0)),
            Asked::Del(key) => push(key, Act::Write(0)),
            Asked::Flush => (0..KEYS).for_each(|key| push(key, Act::Write(0))),
            Asked::Get(_) if doubt => {}
            Asked::Get(key) => {
                let value = if reply == "Not Found" { "0" } else { reply };
                push(key, Act::Read(value.parse().expect("a value")));
            }
            Asked::Set(key, value) => push(key, Act::Write(value)),
        }
    }

    /// Everything works again, and every node is asked for every key.
    fn end(&mut self) {
        self.cluster.heal();
        for node in 0..self.cluster.len() {
            self.cluster.stall_disk(node, false);
            self.cluster.set_clock(node, 0);
            if self.down.remove(&node) {
                self.cluster.restart(node);
            }
        }
        self.clock += 1;
        self.cluster.advance(Millis(4000));
        self.listen();
        // A node may read its clients one by one, and a recovery may have to wait for walks.
        for _ in 0..CLIENTS {
            if self.clients.iter().any(|client| client.asked.is_some()) {
                self.cluster.advance(Millis(4000));
                self.listen();
            }
        }
        assert!(self.clients.iter().all(|client| client.asked.is_none()), "{}", self.told);
        for node in 0..self.cluster.len() {
            let mut client = self.connect(node);
            for key in 0..KEYS {
                self.clock += 1;
                let begun = self.clock;
                self.cluster.send(client.connection, format!("GET k{key}\n").as_bytes());
                self.cluster.advance(Millis(10));
                let reply = client.take_reply(&mut self.cluster);
                let Some(reply) = reply else { panic!("no answer at {node}\n{}", self.told) };
                self.tell(format_args!("at last at {node}: k{key} is {reply}"));
                self.clock += 1;
                self.note(Asked::Get(key), begun, &reply);
            }
        }
    }
}

/// Whether the operations on one key can have happened one after the other.
fn is_register(history: &[Done]) -> bool {
    assert!(history.len() <= 128, "fits the set");
    let all = history.iter().enumerate().filter(|(_, done)| done.ended < u64::MAX);
    let needed = all.fold(0, |set, (index, _)| set | 1_u128 << index);
    let (mut open, mut seen) = (vec![(0_u128, 0)], BTreeSet::new());
    while let Some((past, value)) = open.pop() {
        if past & needed == needed {
            return true;
        }
        if !seen.insert((past, value)) {
            continue;
        }
        let left = history.iter().enumerate().filter(|(index, _)| past >> index & 1 == 0);
        let first_end = left.clone().map(|(_, done)| done.ended).min().expect("some are left");
        for (index, done) in left.filter(|(_, done)| done.begun <= first_end) {
            match done.act {
                Act::Read(read) if read != value => {}
                Act::Read(_) => open.push((past | 1 << index, value)),
                Act::Write(written) => open.push((past | 1 << index, written)),
            }
        }
    }
    false
}

/// Plays a seed. What was wrong, if anything.
fn play(seed: u64) -> Result<usize, String> {
    let mut play = Play::new(seed);
    play.run();
    for key in 0..KEYS {
        let history: Vec<Done> =
            play.history.iter().copied().filter(|done| done.key == key).collect();
        if !is_register(&history) {
            return Err(format!("seed {seed}: k{key} is no register\n{}", play.told));
        }
    }
    Ok(play.history.len())
}

fn seeds(default: u64) -> u64 {
    env::var("QUORUM_SEEDS").map_or(default, |count| count.parse().expect("a number"))
}

#[test]
fn histories_are_those_of_registers() {
    let mut operations = 0;
    for seed in 0..seeds(150) {
        match play(seed) {
            Ok(count) => operations += count,
            Err(wrong) => panic!("{wrong}"),
        }
    }
    println!("{operations} operations");
}

#[test]
fn a_checker_that_knows_wrong_histories() {
    let done = |act, begun, ended| Done { key: 0, act, begun, ended };
    let (one, two) = (Act::Write(1), Act::Write(2));
    let old_after_new =
        [done(one, 1, 2), done(two, 3, 9), done(Act::Read(2), 4, 5), done(Act::Read(1), 6, 7)];
    assert!(!is_register(&old_after_new));
    assert!(is_register(&old_after_new[..3]));
    assert!(!is_register(&[done(one, 1, 2), done(Act::Read(0), 3, 4)]));
    assert!(is_register(&[done(one, 1, u64::MAX), done(Act::Read(0), 3, 4)]));
    assert!(is_register(&[done(one, 1, u64::MAX), done(Act::Read(1), 3, 4)]));
    assert!(!is_register(&[done(Act::Read(1), 1, 2), done(one, 3, 4)]));
}

/// Each planted bug must show in some history.
#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_show() {
    use quorate::probe::{Mutant, plant};
    let planted = [
        Mutant::QuorumReadNoWriteBack,
        Mutant::QuorumReadOne,
        Mutant::QuorumStampUnasked,
        Mutant::QuorumWriteOneAck,
    ];
    let mut survivors = Vec::new();
    for mutant in planted {
        plant(Some(mutant));
        match (0..seeds(3000)).find(|seed| play(*seed).is_err()) {
            Some(seed) => println!("{}: seed {seed}", mutant.name()),
            None => survivors.push(mutant.name()),
        }
    }
    plant(None);
    assert!(survivors.is_empty(), "{survivors:?} survive");
}
