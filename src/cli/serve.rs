//! `quorate PORT`: one node, until it is told to stop.
//!
//! Prints four lines once the node can be reached: where it listens, who its peers are, where its
//! data is and what was recovered, and what to try. A recovery that takes long says how far it is.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use quorate::{
    config::{Config, Fsync},
    limits::Timing,
    members::Members,
    os::{DataOptions, Listeners, Reactor, Recovered, Recovering, links_max},
    time::Millis,
};

use super::{Failure, listen, say};

/// Settings of one node.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Port to listen on, on loopback; 0 lets the system pick one
    port: u16,

    /// The other nodes of the cluster; every node lists all others
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    peers: Vec<String>,

    /// Address by which the other nodes list this one [default: localhost:PORT]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,

    /// Directory for this node's data [default: ./quorate-PORT]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// When a write counts as durable, and is acknowledged
    #[arg(long, value_enum, default_value_t = FsyncFlag::Always)]
    fsync: FsyncFlag,

    /// Silence after which another node is suspected to be gone, in milliseconds, 100 to 60000; a
    /// heartbeat is sent five times as often
    #[arg(long, value_name = "MS", default_value_t = Timing::DEFAULT.silence.0)]
    #[arg(value_parser = clap::value_parser!(u64).range(SUSPECT_MS))]
    suspect_timeout: u64,

    /// If data is damaged, set the damaged files aside and go on with what is intact
    #[arg(long)]
    repair: bool,

    /// If too many nodes have lost writes for the cluster to recover: go on from what the disks of
    /// all nodes have. Say it to those that STATUS names; the last writes may be lost
    #[arg(long)]
    cold_start: bool,
}

/// Bounds of the suspect timeout.
const SUSPECT_MS: std::ops::RangeInclusive<u64> = Timing::SILENCE_MIN.0..=Timing::SILENCE_MAX.0;

/// [`Fsync`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FsyncFlag {
    /// Once the disk has it: survives a power failure
    Always,
    /// Once the system has it; the disk gets it within about a second
    Everysec,
}

impl FsyncFlag {
    const fn fsync(self) -> Fsync {
        match self {
            Self::Always => Fsync::Always,
            Self::Everysec => Fsync::EverySec,
        }
    }
}

impl Serve {
    /// Serves until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::new(self.port, self.advertise.as_deref(), &self.peers)?;
        let listeners = listen(&config)?;
        let members = config.into_members(listeners.port());
        let port = listeners.port();
        let options = DataOptions {
            path: self.data.unwrap_or_else(|| PathBuf::from(format!("./quorate-{port}"))),
            fsync: self.fsync.fsync(),
            repair: self.repair,
            cold_start: self.cold_start,
        };
        let timing = Timing::with_silence(Millis(self.suspect_timeout)).unwrap_or_default();
        let (before, after) = start_lines(&listeners, &members);
        let mut reactor =
            Reactor::new(listeners, members, links_max(1), timing, &options, &mut say_progress)?;
        reactor.catch_signals()?;
        let data = data_line(&options.path, options.fsync, reactor.recovered());
        say(format_args!("{before}{data}{after}"));
        Ok(reactor.run()?)
    }
}

fn say_progress(recovering: Recovering) {
    let Recovering { progress, took } = recovering;
    let percent = progress.bytes * 100 / progress.bytes_total.max(1);
    let rate = progress.records as f64 / took.as_secs_f64().max(0.001);
    let records = progress.records;
    say(format_args!("recovering {percent}%, {records} entries, {rate:.0} entries/s\n"));
}

/// Where the data is and what was found there.
fn data_line(path: &Path, fsync: Fsync, recovered: &Recovered) -> String {
    let Recovered { report, took } = recovered;
    let found = if report.fresh {
        "new".to_owned()
    } else {
        let lost = if report.lost() { ", with losses; its peers refill it" } else { "" };
        let (entries, bytes, ms) = (report.records, report.bytes, took.as_millis());
        format!("recovered {entries} entries, {bytes} bytes, in {ms} ms{lost}")
    };
    let promise = match fsync {
        Fsync::Always => "a reply to a write means that this node's disk has it",
        Fsync::EverySec => "a power failure may take the last second (--fsync everysec)",
    };
    format!("data       {}: {found}; {promise}\n", path.display())
}

/// What stands before and behind the line about the data.
fn start_lines(listeners: &Listeners, members: &Members) -> (String, String) {
    let port = listeners.port();
    let listening: Vec<String> = listeners.addresses().map(|at| at.to_string()).collect();
    let listening = listening.join(" and ");
    let me = members.me();
    let mut peers: Vec<String> =
        members.peers().map(|peer| format!("{peer} {}", members.name(peer))).collect();
    if peers.is_empty() {
        peers.push("none".to_owned());
    }
    let peers = peers.join(", ");
    let own_name = members.name(me);
    (
        format!(
            "listening  {listening}\n\
             peers      {peers}; this node is {me} {own_name}; {}\n",
            majority(members)
        ),
        format!("try        nc localhost {port}    then type: SET name john\n"),
    )
}

/// What a majority of the cluster is, and what that means for small ones.
fn majority(members: &Members) -> String {
    match (members.len(), members.quorum()) {
        (1, _) => "a majority is this node alone".to_owned(),
        (2, _) => "a majority of 2 is 2: while one node is away, databases 0 and 1 serve nobody"
            .to_owned(),
        (count, quorum) => format!("a majority is {quorum} of {count}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate::log::Report;

    use super::*;

    #[test]
    fn four_lines_say_what_there_is_to_know() {
        let listeners = Listeners::bind(0, None).expect("some port is free");
        let port = listeners.port();
        let (before, after) = start_lines(&listeners, &Members::single(port));
        let report = Report { records: 3, bytes: 99, ..Report::default() };
        let recovered = Recovered { report, took: Duration::from_millis(12) };
        let data = data_line(Path::new("./d"), Fsync::Always, &recovered);
        assert!(data.contains("./d: recovered 3 entries, 99 bytes, in 12 ms; a reply"), "{data}");
        let text = format!("{before}{data}{after}");
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains(&format!("127.0.0.1:{port}")));
        assert!(text.contains(&format!("peers      none; this node is n0 localhost:{port};")));

        let two = Members::form("localhost:1", &["localhost:2".to_owned()]).expect("valid");
        let text = start_lines(&listeners, &two).0;
        assert!(text.contains("; a majority of 2 is 2: while one node is away"), "{text}");
        let peers = ["localhost:2".to_owned(), "localhost:3".to_owned()];
        let members = Members::form("localhost:1", &peers).expect("valid");
        let text = start_lines(&listeners, &members).0;
        assert!(text.contains("; a majority is 2 of 3\n"), "{text}");
        assert!(text.contains("n1 localhost:2, n2 localhost:3; this node is n0 localhost:1;"));
    }
}
