//! kill -9 at any moment loses no acknowledged write and invents none.
//!
//! Writers keep a ledger ([`super::ledger`]) while nodes are killed and started again on their
//! directories. Each writer stays with one node, so its later writes win over its earlier ones. The
//! moments of the kills come from a seed, which is printed with a failure; what a process was doing
//! at such a moment no seed repeats.
//!
//! `QUORATE_CRASH_SECONDS` says how long each of the tests goes on, `QUORATE_CRASH_SEED` which
//! moments are chosen.

use std::{
    collections::VecDeque,
    env,
    io::{self, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use quorate::rng::Rng;

use super::{
    common::{Client, Nodes, PATIENCE, quorate, wait_for, wait_until},
    ledger::{History, Place},
};

/// How long each test goes on by itself.
const SECONDS: u64 = 3;
/// Keys of a writer: few, so that they are written again and again.
const KEYS: usize = 40;
/// Requests in a pipeline at most.
const PIPELINE_MAX: u64 = 32;
/// Longest life of a node between two kills.
const LIFE_MAX_MS: u64 = 250;

/// A request without its reply.
struct Asked {
    key: usize,
    place: Place,
    deletes: bool,
}

/// One connection at a time to one node, in one database, and what it knows.
struct Writer {
    name: String,
    node: usize,
    db: usize,
    rng: Rng,
    /// The highest value sent; they count up over all keys.
    last: u64,
    histories: Vec<History>,
    acknowledged: u64,
}

impl Writer {
    fn new(number: usize, node: usize, seed: u64) -> Self {
        Self {
            name: format!("w{number}"),
            node,
            db: number % 3,
            rng: Rng::new(seed.wrapping_add(number as u64)),
            last: 0,
            histories: (0..KEYS).map(|_| History::new()).collect(),
            acknowledged: 0,
        }
    }

    fn key(&self, key: usize) -> String {
        format!("{}.{key}", self.name)
    }

    /// A value tells the key and the write that it comes from, and is as long as that says.
    fn value(&self, key: usize, number: u64) -> String {
        let size = if number.is_multiple_of(97) { 20_000 } else { number % 300 };
        format!("{}={number}:{}", self.key(key), "x".repeat(size as usize))
    }

    /// Writes until told to stop or the node is gone.
    fn run(&mut self, port: u16, stop: &AtomicBool) {
        let mut asked = VecDeque::new();
        // The node being killed is the point; what was sent is in the ledger already.
        let _ = self.write(port, stop, &mut asked);
    }

    fn write(
        &mut self,
        port: u16,
        stop: &AtomicBool,
        asked: &mut VecDeque<Asked>,
    ) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut replies = BufReader::new(stream.try_clone()?);
        stream.write_all(format!("SELECT {}\n", self.db).as_bytes())?;
        assert_eq!(line(&mut replies)?, "OK");
        while !stop.load(Ordering::Relaxed) {
            let depth = if self.rng.below(2) == 0 { 1 } else { self.rng.below(PIPELINE_MAX) };
            let batch: String = (0..depth).map(|_| self.request(asked)).collect();
            stream.write_all(batch.as_bytes())?;
            while let Some(Asked { key, place, deletes }) = asked.pop_front() {
                let reply = line(&mut replies)?;
                let history = &mut self.histories[key];
                match reply.as_str() {
                    "OK" if !deletes => history.acknowledge(place),
                    "1" if deletes => history.acknowledge(place),
                    "0" if deletes => {
                        let found = history.found_nothing(place);
                        found.unwrap_or_else(|violation| panic!("{}: {violation}", self.key(key)));
                    }
                    // Another node, on which this one depends, is being killed.
                    doubt if self.db == 0 && doubt.starts_with("INDOUBT ") => continue,
                    refusal if self.db == 0 && refusal.starts_with("NOREPLICAS ") => {
                        history.refuse(place);
                        continue;
                    }
                    other => panic!("{}: {other}", self.key(key)),
                }
                self.acknowledged += 1;
            }
        }
        Ok(())
    }

    fn request(&mut self, asked: &mut VecDeque<Asked>) -> String {
        let key = self.rng.below(KEYS as u64) as usize;
        let deletes = self.rng.below(6) == 0;
        self.last += 1;
        let value = if deletes { None } else { Some(self.last) };
        let place = self.histories[key].send(value);
        asked.push_back(Asked { key, place, deletes });
        match value {
            Some(value) => format!("SET {} {}\n", self.key(key), self.value(key, value)),
            None => format!("DEL {}\n", self.key(key)),
        }
    }

    /// What a node shows of all keys.
    fn table(&self, port: u16) -> Vec<String> {
        let mut client = Client::connect(port);
        assert_eq!(client.ask(&format!("SELECT {}", self.db)), "OK");
        let keys: Vec<String> = (0..KEYS).map(|key| self.key(key)).collect();
        wait_for("a table without refusals", || {
            let table = client.table(&keys);
            table.iter().all(|shown| !shown.starts_with("NOREPLICAS ")).then_some(table)
        })
    }

    /// Compares what a node shows with the ledger; how many keys have a value.
    fn check(&mut self, port: u16) -> usize {
        let table = self.table(port);
        for (key, shown) in table.iter().enumerate() {
            let read = (shown != "Not Found").then(|| {
                let number = shown.split_once('=').and_then(|(_, rest)| rest.split_once(':'));
                let number = number.and_then(|(number, _)| number.parse().ok());
                number.filter(|number| *shown == self.value(key, *number)).unwrap_or_else(|| {
                    panic!("{} reads as {shown:.60}, which was never sent", self.key(key))
                })
            });
            let judged = self.histories[key].read(read);
            judged.unwrap_or_else(|violation| panic!("{}: {violation}", self.key(key)));
        }
        table.iter().filter(|shown| *shown != "Not Found").count()
    }
}

fn line(from: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8(line).expect("plain replies are text")),
        Some(_) | None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What a test does to its nodes.
struct Plan {
    nodes: u16,
    writers: usize,
    flags: &'static [&'static str],
    /// All are killed at once, or one of them.
    all: bool,
    /// Checkpoints are taken all the time.
    saves: bool,
}

fn run(plan: &Plan) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = number("QUORATE_CRASH_SEED").unwrap_or(since.as_nanos() as u64);
    let end = number("QUORATE_CRASH_SECONDS").unwrap_or(SECONDS);
    let end = Instant::now() + Duration::from_secs(end);
    eprintln!("QUORATE_CRASH_SEED={seed}");
    let mut rng = Rng::new(seed);
    let mut nodes = Nodes::start_with(plan.nodes, plan.flags);
    let count = usize::from(plan.nodes);
    let mut writers: Vec<Writer> =
        (0..plan.writers).map(|number| Writer::new(number, number % count, seed)).collect();
    let mut kills = 0;
    while Instant::now() < end || kills < 3 {
        let victims =
            if plan.all { (0..count).collect() } else { vec![rng.below(count as u64) as usize] };
        live_and_die(&mut nodes, &mut writers, &victims, plan.saves, rng.below(LIFE_MAX_MS));
        kills += victims.len();
        for node in &victims {
            // The torn end of a log is no damage.
            let verified = quorate(&["verify".as_ref(), nodes.directory(*node).as_os_str()]);
            assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
            nodes.restart(*node);
        }
        for node in victims {
            let port = nodes.ports[node];
            writers.iter_mut().filter(|writer| writer.node == node).for_each(|writer| {
                writer.check(port);
            });
        }
    }
    check_all(&nodes, &mut writers);
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    eprintln!("{kills} kills, {acknowledged} acknowledged writes");
    assert!(acknowledged > 100, "only {acknowledged} writes in {kills} lives");
}

/// Writes on all nodes until some are killed, and then until the writers of the others have heard
/// of it.
fn live_and_die(
    nodes: &mut Nodes,
    writers: &mut [Writer],
    victims: &[usize],
    saves: bool,
    life_ms: u64,
) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in writers {
            let (port, stop) = (nodes.ports[writer.node], &stop);
            scope.spawn(move || writer.run(port, stop));
        }
        for victim in victims.iter().filter(|_| saves) {
            let (port, stop) = (nodes.ports[*victim], &stop);
            scope.spawn(move || save(port, stop));
        }
        thread::sleep(Duration::from_millis(life_ms));
        nodes.kill_all(victims);
        stop.store(true, Ordering::Relaxed);
    });
}

/// Takes checkpoints until told to stop or the node is gone.
fn save(port: u16, stop: &AtomicBool) {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let Ok(mut replies) = stream.try_clone().map(BufReader::new) else { return };
    let mut one = || -> io::Result<String> {
        stream.write_all(b"BGSAVE\nSAVE\n")?;
        line(&mut replies)?;
        line(&mut replies)
    };
    while !stop.load(Ordering::Relaxed) && one().is_ok() {}
}

/// All nodes show the same, the ledger agrees, and there is no key that nobody wrote.
fn check_all(nodes: &Nodes, writers: &mut [Writer]) {
    for writer in &*writers {
        wait_until("nodes that agree", || {
            let mut tables = nodes.ports.iter().map(|port| writer.table(*port));
            let first = tables.next();
            tables.all(|table| Some(&table) == first.as_ref())
        });
    }
    for port in &nodes.ports {
        let mut live = [0; 3];
        writers.iter_mut().for_each(|writer| live[writer.db] += writer.check(*port));
        let mut client = Client::connect(*port);
        for (db, live) in live.iter().enumerate() {
            assert_eq!(client.ask(&format!("SELECT {db}")), "OK");
            client.wait_for("DBSIZE", &live.to_string());
        }
    }
}

#[test]
fn a_lone_node_killed_again_and_again() {
    run(&Plan { nodes: 1, writers: 6, flags: &[], all: false, saves: false });
}

#[test]
fn one_of_three_killed_again_and_again() {
    run(&Plan { nodes: 3, writers: 9, flags: &[], all: false, saves: false });
}

#[test]
fn all_three_killed_at_once_again_and_again() {
    run(&Plan { nodes: 3, writers: 9, flags: &[], all: true, saves: false });
}

#[test]
fn killed_while_checkpoints_are_taken() {
    run(&Plan { nodes: 1, writers: 6, flags: &[], all: false, saves: true });
}

/// A write that the system took outlives the process; only a power failure could take it.
#[test]
fn synced_once_a_second_and_killed() {
    let flags = &["--fsync", "everysec"];
    run(&Plan { nodes: 1, writers: 6, flags, all: false, saves: true });
}
