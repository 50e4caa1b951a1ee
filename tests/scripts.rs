//! Golden scripts: what a cluster does, told as commands and what they print.
//!
//! Each file under `tests/scripts` is a cluster in memory and a list of blocks: commands, a line
//! `---`, and the output they must print. `UPDATE_SCRIPTS=1 cargo test --test scripts` writes the
//! output anew; review the difference.
//!
//! Commands: `cluster key=value...` (first; `down=N` leaves a node out), `cN REQUEST` (a text client on
//! node N), `tell N REQUEST` (the same, but nothing arrives yet), `rounds N` (so many times one piece on every
//! link), `replies N` (what that client has received since), `send N BYTES` (a fresh connection
//! with escapes, its reply and whether it was closed), `leader KEY`, `crash N`, `forget N`
//! (its incarnation), `start N` (with nothing on its disk), `restart N` (with what is durable
//! there), `sync N` and `outage N` (a power failure, which leaves it what was synced; from its next start
//! on it knows), `damage N` (its data, repaired at its next start), `cold N` (restarts it with
//! --cold-start), `disk N stalls`, `disk N works`, `disk N loses` (while the node is down: what became
//! durable since `disk N marks`), `stop N`, `stall A B`, `partition A B`, `heal`, `cut A
//! B`, `clock N MS`, `advance MS`, `converge MS`, `table [DB]` (each key's value on each node), `info N WORD`
//! (INFO lines that contain the word), `drained N`, `led N` (how many slots it leads), `outbox N`
//! (whether anything waits for a peer).

use std::{env, fmt::Write as _, fs, path::PathBuf};

use quorate::{
    fuzzing::cluster::{Cluster, Setup},
    record::Db,
    slot::Slot,
    time::Millis,
};

struct Script {
    cluster: Cluster,
    clients: Vec<Option<usize>>,
}

impl Script {
    fn new(line: &str) -> Self {
        let mut setup = Setup::default();
        let mut down = None;
        let words = line.strip_prefix("cluster").expect("a script begins with its cluster");
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').expect("key=value");
            let number: usize = value.parse().expect("a number");
            match key {
                "nodes" => setup.nodes = number,
                "slots" => setup.slots = number as u32,
                "piece" => setup.piece = number,
                "outbox" => setup.limits.outbox_size_max = number,
                "offer" => setup.limits.offer_size = number,
                "span" => setup.limits.repair_span = number as u32,
                "open" => setup.limits.requests_open_max = number,
                "output" => setup.limits.output_pause = number,
                "clients" => setup.limits.clients_max = number,
                "line" => setup.limits.line_size_max = number,
                "buffers" => setup.limits.buffers_total = number,
                "repair" => setup.timing.repair = Millis(number as u64),
                "skew" => setup.timing.skew_max = Millis(number as u64),
                "down" => down = Some(number),
                other => panic!("no setting {other}"),
            }
        }
        let mut cluster = Cluster::new(setup);
        down.into_iter().for_each(|node| cluster.crash(node));
        cluster.advance(Millis(100));
        Self { cluster, clients: vec![None; setup.nodes] }
    }

    fn run(&mut self, line: &str) -> String {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(node) = word.strip_prefix('c').and_then(|node| node.parse().ok()) {
            return self.ask(node, rest);
        }
        let numbers: Vec<i64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| *numbers.get(index).expect("a number") as usize;
        match word {
            "tell" => {
                self.tell(at(0), rest.split_once(' ').map_or("", |(_, request)| request));
                return String::new();
            }
            "rounds" => {
                (0..at(0)).for_each(|_| {
                    self.cluster.deliver();
                });
                return String::new();
            }
            "send" => return self.send(at(0), rest.split_once(' ').map_or("", |(_, b)| b)),
            "replies" => return self.replies(at(0)),
            "leader" => return self.leader(rest.as_bytes()),
            "table" => return self.table(numbers.first().map_or(0, |db| *db as u8)),
            "info" => return self.info(at(0), rest.split_once(' ').map_or("", |(_, w)| w)),
            "crash" => {
                self.cluster.crash(at(0));
                self.clients[at(0)] = None;
            }
            "forget" => self.cluster.forget_incarnation(at(0)),
            "start" => self.cluster.start(at(0)),
            "restart" => self.cluster.restart(at(0)),
            "cold" => self.cluster.restart_cold(at(0)),
            "sync" => self.cluster.sync(at(0)),
            "damage" => self.cluster.damage(at(0)),
            "outage" => {
                self.cluster.lose_power(at(0));
                self.clients[at(0)] = None;
            }
            "disk" if rest.ends_with("marks") => self.cluster.mark_disk(at(0)),
            "disk" if rest.ends_with("loses") => self.cluster.lose_tail(at(0)),
            "disk" => self.cluster.stall_disk(at(0), rest.ends_with("stalls")),
            "stop" => self.cluster.shut_down(at(0)),
            "stall" => self.cluster.stall(at(0), at(1)),
            "partition" => {
                self.cluster.stall(at(0), at(1));
                self.cluster.stall(at(1), at(0));
            }
            "heal" => self.cluster.heal(),
            "cut" => self.cluster.cut(at(0), at(1)),
            "clock" => self.cluster.set_clock(at(0), numbers[1]),
            "advance" => self.cluster.advance(Millis(at(0) as u64)),
            "converge" => {
                let done = self.cluster.advance_until(Millis(at(0) as u64), Cluster::agrees);
                return if done { "all agree\n" } else { "replicas differ\n" }.to_owned();
            }
            "led" => {
                let node = self.cluster.node(at(0)).expect("the node is up");
                return format!("{}\n", node.slots_led());
            }
            "drained" | "outbox" => {
                let node = self.cluster.node(at(0)).expect("the node is up");
                let yes =
                    if word == "drained" { node.is_drained() } else { node.outbox_size() > 0 };
                return format!("{yes}\n");
            }
            other => panic!("no command {other}"),
        }
        self.cluster.settle();
        String::new()
    }

    /// A line from the node's own text client.
    fn ask(&mut self, node: usize, request: &str) -> String {
        self.tell(node, request);
        self.cluster.settle();
        self.replies(node)
    }

    /// A line from the node's own text client, on its way.
    fn tell(&mut self, node: usize, request: &str) {
        let client = match self.clients[node] {
            Some(client) if !self.cluster.is_closed(client) => client,
            Some(_) | None => self.cluster.connect(node),
        };
        self.clients[node] = Some(client);
        self.cluster.send(client, format!("{request}\n").as_bytes());
    }

    /// What the node's own text client has received and not shown yet.
    fn replies(&mut self, node: usize) -> String {
        let Some(client) = self.clients[node] else { return "(not connected)\n".to_owned() };
        let reply = self.cluster.take_received(client);
        let mut shown = String::from_utf8_lossy(&reply).into_owned();
        if self.cluster.is_closed(client) {
            shown.push_str("(closed)\n");
        }
        shown
    }

    /// Who leads a key's slot, as each node hears.
    fn leader(&self, key: &[u8]) -> String {
        let mut shown = "leader:".to_owned();
        for node in (0..self.cluster.len()).map(|n| self.cluster.node(n)) {
            let leader =
                match node.map(|node| node.leader_of(Slot::of(key, node.store().slots()).0)) {
                    None => "(down)".to_owned(),
                    Some(None) => "-".to_owned(),
                    Some(Some(leader)) => leader.to_string(),
                };
            write!(shown, " {leader}").expect("writing to a string");
        }
        shown + "\n"
    }

    /// Raw bytes on a connection of their own.
    fn send(&mut self, node: usize, bytes: &str) -> String {
        let client = self.cluster.connect(node);
        let reply = self.cluster.ask(client, &unescape(bytes));
        let mut shown = match reply.as_slice() {
            [] => "(nothing)\n".to_owned(),
            reply => format!("{}\n", reply.escape_ascii()),
        };
        if self.cluster.is_closed(client) {
            shown.push_str("(closed)\n");
        }
        shown
    }

    fn table(&self, db: u8) -> String {
        let db = Db::new(db).expect("a database");
        let nodes: Vec<_> = (0..self.cluster.len()).map(|n| self.cluster.node(n)).collect();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for node in nodes.iter().flatten() {
            keys.extend(node.store().records(db).map(|record| record.key.to_vec()));
        }
        keys.sort();
        keys.dedup();
        let mut shown = String::new();
        for key in keys {
            write!(shown, "{}:", key.escape_ascii()).expect("writing to a string");
            for node in &nodes {
                let cell = match node.map(|node| node.store().get(db, &key)) {
                    None => "(down)".to_owned(),
                    Some(None) => "-".to_owned(),
                    Some(Some(record)) => record.value.map_or_else(
                        || "(deleted)".to_owned(),
                        |value| value.escape_ascii().to_string(),
                    ),
                };
                write!(shown, " {cell}").expect("writing to a string");
            }
            shown.push('\n');
        }
        shown
    }

    fn info(&mut self, node: usize, word: &str) -> String {
        let client = self.cluster.connect(node);
        let reply = self.cluster.ask(client, b"INFO\n");
        let text = String::from_utf8(reply).expect("INFO is text");
        text.lines().filter(|line| line.contains(word)).flat_map(|line| [line, "\n"]).collect()
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        match chars.next().expect("an escape") {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
            }
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    bytes
}

/// Runs a script and returns it with the output that it printed.
fn replay(text: &str) -> String {
    let mut script: Option<Script> = None;
    let mut printed = String::new();
    let mut expectations = false;
    let mut output = String::new();
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            if expectations {
                printed.push_str("---\n");
                printed.push_str(&output);
                output.clear();
                expectations = false;
            }
            printed.push('\n');
        } else if line == "---" {
            expectations = true;
        } else if !expectations {
            printed.push_str(line);
            printed.push('\n');
            if line.starts_with('#') {
                continue;
            }
            match &mut script {
                None => script = Some(Script::new(line)),
                Some(script) => output.push_str(&script.run(line)),
            }
        }
    }
    printed.trim_end().to_owned() + "\n"
}

#[test]
fn scripts_print_what_they_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(&folder).expect("the folder of scripts");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts");
    let mut wrong = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a readable script");
        let printed = replay(&text);
        if env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(path, &printed).expect("a writable script");
        } else if printed != text {
            wrong.push(format!("== {}\n{printed}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "scripts that print something else:\n{}", wrong.join("\n"));
    println!("{} scripts", paths.len());
}

/// Planted bugs for which a script is the better witness: it tells another story with them.
#[cfg(feature = "mutants")]
#[test]
fn scripts_kill_the_bugs_that_the_kill_table_says() {
    use quorate::probe::{Mutant, plant};

    let table = include_str!("../sim/KILLS.md");
    let kills = [
        (Mutant::BatchSentApart, "batches_apart.txt"),
        (Mutant::CanvassIgnoresTransfer, "handover_canvass.txt"),
        (Mutant::DamagedCountsAsNew, "damaged_not_new.txt"),
        (Mutant::ExpiredAboveFloor, "expired.txt"),
        (Mutant::FloorIgnored, "tombstones_lost.txt"),
        (Mutant::FloorRowOutlived, "tombstones_wiped.txt"),
        (Mutant::ReadBegunAgain, "strong_pipeline_lost.txt"),
        (Mutant::SurveysBeginAlike, "strong_survey_turns.txt"),
        (Mutant::WatchForgetsDrops, "watch_dropped.txt"),
    ];
    for (mutant, name) in kills {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
        let text = fs::read_to_string(&path).expect("a readable script");
        plant(Some(mutant));
        let printed = replay(&text);
        plant(None);
        assert_ne!(printed, text, "{} survives {name}", mutant.name());
        let line = table.lines().find(|line| line.starts_with(&format!("| {} |", mutant.name())));
        assert!(line.is_some_and(|line| line.contains(name)), "{} in the table", mutant.name());
    }
}
