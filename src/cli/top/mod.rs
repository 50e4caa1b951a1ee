//! `quorate top`: all nodes of a cluster at a glance, again and again.
//!
//! One node is enough to find the others. Each is asked on a connection of its own at the same time,
//! so that one that hangs does not hold up what is shown of the rest.

mod sample;
mod view;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    Failure,
    login::Login,
    resp::{Connection, Credentials, Target},
};
use sample::Sample;
use view::Seen;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  quorate top                          all nodes of the cluster of localhost:9000, until Ctrl-C
  quorate top localhost:9001 -i 5      found by another node, every 5 seconds
  quorate top --once                   once, after a second
  quorate top --json                   an object a line, for programs
  quorate top -a PASSWORD              a cluster that wants one; QUORATE_PASSWORD may hold it

ops/s and syncs count from one look to the next. Latencies are those of the last 10 to 20 seconds,
from when a node has read a request to when it has the answer. Lag is what a node has not
acknowledged to the one that it owes most. Memory is that of the node's process. What a node does
not tell is shown as -. Exit code 1 if no node answers.";

/// Which cluster, and how often.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Top {
    /// Nodes of the cluster; those they name are added
    #[arg(value_name = "HOST:PORT,...", value_delimiter = ',', default_value = "localhost:9000")]
    nodes: Vec<String>,

    /// Seconds from one look to the next [default: 2, or 1 with --once]
    #[arg(short, long)]
    interval: Option<f64>,

    /// Look once
    #[arg(long)]
    once: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    login: Login,
}

/// One node, and what it told.
struct Node {
    target: Target,
    credentials: Credentials,
    connection: Option<Connection>,
    now: Result<Sample, String>,
    before: Option<Sample>,
}

impl Top {
    /// Looks until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let interval = self.interval.unwrap_or(if self.once { 1.0 } else { 2.0 });
        if !(0.05..=3600.0).contains(&interval) {
            return Err(Failure::Refused("the interval must be 0.05 to 3600 seconds".to_owned()));
        }
        let interval = Duration::from_secs_f64(interval);
        let credentials = self.login.credentials();
        let mut nodes = BTreeMap::new();
        for name in &self.nodes {
            let target = Target::parse(name).map_err(Failure::Refused)?;
            nodes.insert(target.to_string(), Node::new(target, credentials.clone()));
        }
        look(&mut nodes);
        loop {
            let begun = Instant::now();
            let found = meet(&mut nodes, &credentials);
            if nodes.values().all(|node| node.now.is_err()) {
                return Err(no_answer(&nodes));
            }
            // Rates need two looks, and who was just found had none.
            if found {
                look(&mut nodes);
            }
            thread::sleep(interval.saturating_sub(begun.elapsed()));
            look(&mut nodes);
            if !self.show(&nodes) || self.once {
                break;
            }
        }
        if nodes.values().all(|node| node.now.is_err()) {
            return Err(no_answer(&nodes));
        }
        Ok(())
    }

    /// Whether anybody looks.
    fn show(&self, nodes: &BTreeMap<String, Node>) -> bool {
        let seen: Vec<Seen<'_>> = nodes.iter().map(|(name, node)| node.seen(name)).collect();
        let mut out = io::stdout().lock();
        let live = out.is_terminal() && !self.once && !self.json;
        let text = if self.json {
            format!("{}\n", view::json(&seen))
        } else if live {
            // Over the last one, and nothing of that left behind the ends of lines or below.
            let text = view::text(&seen).replace('\n', "\x1b[K\n");
            format!("\x1b[H{text}\x1b[J")
        } else {
            format!("{}\n", view::text(&seen).trim_end())
        };
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }
}

fn no_answer(nodes: &BTreeMap<String, Node>) -> Failure {
    let why = nodes.iter().find_map(|(name, node)| {
        node.now.as_ref().err().map(|error| format!("no node answers: {name}: {error}"))
    });
    Failure::Remote(why.unwrap_or_default())
}

/// Asks all nodes at once.
fn look(nodes: &mut BTreeMap<String, Node>) {
    thread::scope(|scope| {
        nodes.values_mut().for_each(|node| {
            scope.spawn(|| node.look());
        });
    });
}

/// Calls nodes what they call themselves, and takes in those that they name. Whether there were any.
fn meet(nodes: &mut BTreeMap<String, Node>, credentials: &Credentials) -> bool {
    *nodes = std::mem::take(nodes)
        .into_iter()
        .map(|(name, node)| {
            let own = node.now.as_ref().ok().and_then(Sample::name).map(str::to_owned);
            (own.unwrap_or(name), node)
        })
        .collect();
    let samples = nodes.values().filter_map(|node| node.now.as_ref().ok());
    let named = samples.flat_map(Sample::members).map(|member| member.name.clone());
    let named: Vec<String> = named.collect();
    let before = nodes.len();
    for name in named {
        if let Ok(target) = Target::parse(&name) {
            nodes.entry(name).or_insert_with(|| Node::new(target, credentials.clone()));
        }
    }
    nodes.len() > before
}

impl Node {
    fn new(target: Target, credentials: Credentials) -> Self {
        let now = Err("not asked yet".to_owned());
        Self { target, credentials, connection: None, now, before: None }
    }

    fn look(&mut self) {
        let sample = self.sample();
        if sample.is_err() {
            self.connection = None;
        }
        let sample = sample.map_err(|error| error.to_string());
        if let Ok(before) = std::mem::replace(&mut self.now, sample) {
            self.before = Some(before);
        }
    }

    fn sample(&mut self) -> io::Result<Sample> {
        let connection = match self.connection.take() {
            Some(connection) => self.connection.insert(connection),
            None => {
                let (target, credentials) = (&self.target, &self.credentials);
                let mut open = Connection::open(target, credentials, true, Some(PATIENCE))?;
                if let Some(refusal) = open.refusal.take() {
                    let error = format!("the password was not taken: {refusal}");
                    return Err(io::Error::other(error));
                }
                self.connection.insert(open)
            }
        };
        Sample::take(connection)
    }

    fn seen<'a>(&'a self, name: &'a str) -> Seen<'a> {
        let now = self.now.as_ref().map_err(String::as_str);
        Seen { name, now, before: self.before.as_ref() }
    }
}
