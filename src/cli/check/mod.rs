//! `quorate check HOST:PORT,...`: is a running cluster's strong database linearizable?
//!
//! Clients spread over the nodes do all kinds of operations on a few keys under a prefix of their
//! own, and note when they asked and what they heard. Whatever happens to the nodes meanwhile, what
//! was heard must be what a single copy would have said ([`quorate::check`]). A key is used for a
//! while, then another takes its place: so each history stays short enough to be judged.

mod client;
mod history;
mod workload;

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use quorate::{
    check::{
        Budget,
        keys::{self, Event, Fate, Judgement},
    },
    config::ConfigError,
    members::Members,
};

use super::{Failure, say};
use client::Client;
use workload::Keys;

const EXAMPLES: &str = "\
Examples:
  quorate check localhost:9000,localhost:9001,localhost:9002
  quorate check localhost:9000,localhost:9001 --seconds 60 --history seen.jsonl

Kill, stop and restart nodes meanwhile. Exit code 0: what clients saw is what one copy would have
shown; 1: it is not, or nobody answered. It writes keys named check:... into database 0 and leaves
them there.";

/// How long a client that reaches nobody waits between its attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Whom to ask, and how much.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// Nodes of one cluster
    #[arg(value_name = "HOST:PORT,...", value_delimiter = ',', required = true)]
    nodes: Vec<String>,

    /// How long the clients go on
    #[arg(long, default_value_t = 10)]
    seconds: u64,

    /// Clients at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    clients: u64,

    /// Keys in use at a time
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    keys: u64,

    /// Write everything that was asked and heard to this file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

impl Check {
    /// Runs the clients and judges what they saw.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (first, others) = self.nodes.split_first().expect("at least one is required");
        let members = Members::form(first, others).map_err(ConfigError::Members)?;
        let addresses: Vec<SocketAddr> =
            members.peers().chain([members.me()]).map(|node| members.address(node)).collect();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = since.as_nanos() as u64 ^ u64::from(process::id());
        let keys = Keys::new(format!("check:{seed:x}"), self.keys);
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds);
        let events = self.ask(&addresses, &keys, seed, (began, until));
        let took = began.elapsed();
        if let Some(path) = &self.history {
            let failed =
                |error| Failure::Refused(format!("can't write {}: {error}", path.display()));
            let mut file = BufWriter::new(File::create(path).map_err(failed)?);
            events.iter().try_for_each(|event| history::write(event, &mut file)).map_err(failed)?;
            file.flush().map_err(failed)?;
        }
        let judgement = keys::judge(&events, &Budget::default());
        say(format_args!("{}", summary(&events, &judgement, self.clients, took)));
        verdict(&events, &judgement)
    }

    /// What all clients saw, in no order.
    fn ask(
        &self,
        addresses: &[SocketAddr],
        keys: &Keys,
        seed: u64,
        (began, until): (Instant, Instant),
    ) -> Vec<Event> {
        thread::scope(|scope| {
            let client = |number| {
                let mut client = Client::new(number, self.clients, addresses, keys, seed, began);
                scope.spawn(move || {
                    while Instant::now() < until {
                        if !client.step() {
                            thread::sleep(PAUSE);
                        }
                    }
                    client.into_events()
                })
            };
            let threads: Vec<_> = (0..self.clients).map(client).collect();
            let events = threads.into_iter().map(|thread| thread.join().expect("no client panics"));
            events.flatten().collect()
        })
    }
}

fn count(events: &[Event], which: impl Fn(&Fate) -> bool) -> usize {
    events.iter().filter(|event| which(&event.fate)).count()
}

fn summary(events: &[Event], judgement: &Judgement, clients: u64, took: Duration) -> String {
    let mut text = String::new();
    let known = count(events, |fate| matches!(fate, Fate::Ok(_)));
    let failed = count(events, |fate| matches!(fate, Fate::Failed(_)));
    let unknown = count(events, |fate| matches!(fate, Fate::Unknown(_)));
    let longest = events.iter().map(|event| event.end - event.start).max().unwrap_or(0) / 1_000_000;
    let keys = judgement.keys;
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "asked       {} operations by {clients} clients on {keys} keys in {:.1} s\n\
         heard       {known} answers, {failed} refusals, {unknown} in doubt; the longest took \
         {longest} ms",
        events.len(),
        took.as_secs_f64(),
    );
    for key in &judgement.undecided {
        let _ = writeln!(text, "undecided   {}: too many ways to explain it", key.escape_ascii());
    }
    for (key, violation) in &judgement.violations {
        let _ = writeln!(text, "violation   {}: {violation}", key.escape_ascii());
    }
    text
}

fn verdict(events: &[Event], judgement: &Judgement) -> Result<(), Failure> {
    if !judgement.violations.is_empty() {
        let count = judgement.violations.len();
        return Err(Failure::Remote(format!(
            "NOT linearizable: {count} of {} keys show what no single copy would have",
            judgement.keys
        )));
    }
    if count(events, |fate| matches!(fate, Fate::Ok(_))) == 0 {
        let why = events.iter().find_map(|event| match &event.fate {
            Fate::Failed(why) | Fate::Unknown(why) => Some(why.as_str()),
            Fate::Ok(_) => None,
        });
        let why = why.unwrap_or("no node could be reached");
        return Err(Failure::Remote(format!("nothing was answered: {why}")));
    }
    say(format_args!("result      linearizable\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate::{
        check::{
            cell::{Asked, Told},
            keys::judge,
        },
        command::op::{Action, Answer, Op},
    };

    use super::*;

    fn read(start: u64, fate: Fate) -> Event {
        let asked = Asked::new(&Op::new(b"k", Action::Get));
        Event { process: 0, asked, start, end: start + 1, fate }
    }

    #[test]
    fn a_violation_or_silence_is_a_failure() {
        let told = |answer| Fate::Ok(Told(answer));
        for (fates, word) in [
            (vec![told(Answer::Nil)], None),
            (vec![told(Answer::Bulk(b"x"[..].into()))], Some("NOT linearizable")),
            (vec![Fate::Failed("NOREPLICAS no".to_owned())], Some("NOREPLICAS no")),
            (vec![], Some("no node")),
        ] {
            let events: Vec<Event> = fates.into_iter().map(|fate| read(1, fate)).collect();
            let judgement = judge(&events, &Budget::default());
            let failure = verdict(&events, &judgement).err().map(|failure| failure.to_string());
            match (&failure, word) {
                (Some(failure), Some(word)) => assert!(failure.contains(word), "{failure}"),
                (failure, word) => assert_eq!(failure.as_deref(), word),
            }
        }
    }
}
