//! `quorate demo`: a cluster of three in one process, to try things out.
//!
//! Each node has a thread, a reactor and a data directory of its own and talks to the others through
//! sockets, as it would from another process; they share nothing. The directories are temporary,
//! unless the user names a place for them. All ports are taken before any node starts. A
//! signal stops all three, and so does the failure of one.

use std::path::{Path, PathBuf};
use std::{panic, thread};

use clap::Args;
use quorate::{
    config::{Config, Fsync},
    limits::Timing,
    os::{DataOptions, Reactor, Stopper, links_max},
};
use tracing::info_span;

use super::{Failure, listen, say};

/// Nodes of the demo: the fewest of which one may fail.
const NODES: u16 = 3;

const EXAMPLES: &str = "\
Examples:
  quorate demo                                  ports 9000-9002; Ctrl-C stops all three
  quorate demo --port 7000 --data ./demo-data   other ports; the data stays

In other terminals: nc localhost 9000, or quorate cli -p 9000, or quorate top.";

/// Settings of the demo.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Port of the first node; the others take the next two
    #[arg(long, default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1..=65533))]
    port: u16,

    /// Keep the nodes' data in this directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Demo {
    /// Serves three nodes until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let ports: Vec<u16> = (self.port..self.port + NODES).collect();
        let mut bound = Vec::new();
        for port in &ports {
            let others = ports.iter().filter(|other| *other != port);
            let peers: Vec<String> = others.map(|other| format!("localhost:{other}")).collect();
            let config = Config::new(*port, None, &peers)?;
            bound.push((listen(&config)?, config));
        }
        let links_max = links_max(u64::from(NODES));
        let mut temporary = None;
        let data = match self.data {
            Some(data) => data,
            None => {
                let made = tempfile::Builder::new().prefix("quorate-demo-").tempdir()?;
                temporary.insert(made).path().to_owned()
            }
        };
        let mut reactors = Vec::new();
        for (listeners, config) in bound {
            let port = listeners.port();
            let members = config.into_members(port);
            let name = members.name(members.me()).to_owned();
            let path = data.join(format!("quorate-{port}"));
            let options =
                DataOptions { path, fsync: Fsync::Always, repair: false, cold_start: false };
            let mut reactor = Reactor::new(
                listeners,
                members,
                links_max,
                Timing::DEFAULT,
                &options,
                &mut |_| {},
            )?;
            reactor.catch_signals()?;
            reactors.push((name, reactor));
        }
        let kept = if temporary.is_some() { None } else { Some(data.as_path()) };
        say(format_args!("{}", what_to_try(self.port, kept)));
        run_all(reactors)
    }
}

/// Runs each reactor on a thread of its own until all have ended.
fn run_all(reactors: Vec<(String, Reactor)>) -> Result<(), Failure> {
    let stoppers: Vec<Stopper> = reactors.iter().map(|(_, reactor)| reactor.stopper()).collect();
    let mut threads = Vec::new();
    for (name, reactor) in reactors {
        let stop_all = StopAll(stoppers.clone());
        let node = move || {
            let _stops_all_when_dropped = stop_all;
            let _names_the_node_in_logs = info_span!("node", %name).entered();
            reactor.run()
        };
        threads.push(thread::Builder::new().spawn(node)?);
    }
    let mut outcome = Ok(());
    for thread in threads {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome = Err(Failure::Node(error)),
            Err(panicked) => panic::resume_unwind(panicked),
        }
    }
    outcome
}

/// Stops every node once one has ended, for whatever reason: a demo of two would only confuse.
struct StopAll(Vec<Stopper>);

impl Drop for StopAll {
    fn drop(&mut self) {
        for stopper in &self.0 {
            stopper.stop();
        }
    }
}

fn what_to_try(first: u16, kept: Option<&Path>) -> String {
    let [second, third] = [first + 1, first + 2];
    let kept = match kept {
        Some(path) => format!("in {}", path.display()),
        None => "in a temporary directory".to_owned(),
    };
    format!(
        "Three nodes run on ports {first}, {second} and {third}; each keeps a copy of every key, \
         {kept}.\n\
         In other terminals, write at one and read at another:\n\
         \n\
         \x20   nc localhost {first}     then type: SET name john\n\
         \x20   nc localhost {second}     then type: GET name\n\
         \x20   nc localhost {third}     then type: DEL name\n\
         \n\
         What a node acknowledges a majority has. Ctrl-C stops all three.\n"
    )
}
