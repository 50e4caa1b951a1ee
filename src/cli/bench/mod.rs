//! `quorate bench`: how much a cluster does, how fast, and next to somebody else.
//!
//! Who is measured takes turns: round one of each, then round two of each, so that what the machine
//! does meanwhile hits all alike. In the same round all are asked the same. Errors are counted by
//! what they say and never among the successes.

mod load;
mod plan;
mod replies;
mod report;
mod tally;

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use clap::Args;

use super::{
    Failure,
    level::Level,
    login::Login,
    resp::{Connection, Credentials, Target},
    say,
};
use load::{End, Pressure};
use plan::Plan;
use report::Measured;
use tally::Tally;

/// Requests of a connection on their way while keys get their first values.
const FILL_PIPELINE: usize = 16;
/// How long somebody may take to say whether the password is right.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of a value.
const SIZE_MAX: usize = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  quorate bench localhost:9000,localhost:9001,localhost:9002
  quorate bench --level strong,quorum,eventual --reads 90 --clients 20
  quorate bench --against localhost:6379 --rounds 5    a Redis beside it, turn by turn
  quorate bench --rate 2000 --seconds 20               2000 requests a second, come what may
  quorate bench -a PASSWORD                            QUORATE_PASSWORD may hold it
  quorate bench --zipf --keys 1000000 --value-size 100-4000 --pipeline 16 --json

Without --rate the loop is closed: each client asks again when it has its answer, so a node that
stalls is asked less meanwhile, and the percentiles tell less of the stall than users would see
(coordinated omission). With --rate the loop is open: requests are due at fixed times, latency
counts from then (to about 0.1 ms), and those never sent are reported.

It writes keys named bench:... and leaves them there. Exit code 1 if nothing succeeded with one of
those measured.";

/// Whom to measure, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Nodes of one cluster; clients are spread over them
    #[arg(value_name = "HOST:PORT,...", value_delimiter = ',', default_value = "localhost:9000")]
    nodes: Vec<String>,

    /// Levels to measure: strong, quorum, eventual
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "strong",
        value_name = "LEVEL,..."
    )]
    #[arg(hide_possible_values = true)]
    level: Vec<Level>,

    /// Measure this too: nodes of another cluster, or any server that speaks Redis' protocol
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    against: Vec<String>,

    /// Database of --against
    #[arg(long, value_name = "DB", default_value_t = 0, requires = "against")]
    against_db: u16,

    /// Password of --against, which gets no other
    #[arg(long, value_name = "PASSWORD", requires = "against")]
    against_password: Option<String>,

    #[command(flatten)]
    login: Login,

    /// Connections
    #[arg(short, long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    clients: u64,

    /// Requests of a connection that may wait for answers
    #[arg(short = 'P', long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pipeline: u64,

    /// How long a round is
    #[arg(short, long, default_value_t = 5.0, value_parser = positive)]
    seconds: f64,

    /// Requests of a round, instead of --seconds
    #[arg(short = 'N', long, conflicts_with_all = ["seconds", "rate"])]
    requests: Option<u64>,

    /// Rounds [default: 1, or 3 if several are measured]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,

    /// Requests a second of all clients together: an open loop
    #[arg(short, long, value_parser = positive)]
    rate: Option<f64>,

    /// How many of 100 requests read
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0, value_parser = percent)]
    reads: f64,

    /// What the others do
    #[arg(long, value_enum, default_value_t = plan::Write::Set)]
    write: plan::Write,

    /// Different keys
    #[arg(short, long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    keys: u64,

    /// Some keys are asked for more than others, by Zipf's law; without it all alike
    #[arg(long, value_name = "EXPONENT", num_args = 0..=1, default_missing_value = "0.99")]
    #[arg(require_equals = true, value_parser = positive)]
    zipf: Option<f64>,

    /// Bytes of a value, or least-most
    #[arg(short = 'd', long, default_value = "64", value_parser = sizes)]
    value_size: (usize, usize),

    /// How keys begin
    #[arg(long, default_value = "bench:")]
    prefix: String,

    /// What is asked is drawn from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Don't write all keys before the first round
    #[arg(long)]
    no_fill: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Somebody to be measured.
struct Subject {
    name: String,
    addresses: Vec<SocketAddr>,
    db: u16,
    credentials: Credentials,
}

impl Bench {
    /// Measures, and prints what it found.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let subjects = self.subjects()?;
        let plan = Plan {
            reads: self.reads,
            write: self.write,
            keys: self.keys,
            skew: self.zipf,
            sizes: self.value_size,
            prefix: self.prefix.clone(),
            seed: self.seed,
        };
        let rounds = self.rounds.unwrap_or(if subjects.len() > 1 { 3 } else { 1 });
        if !self.json {
            say(format_args!("{}\n", self.what(rounds)));
        }
        let mut measured: Vec<Measured> = Vec::new();
        for subject in &subjects {
            let fill = if self.no_fill { None } else { Some(self.fill(&plan, subject)?) };
            measured.push(Measured { name: subject.name.clone(), fill, rounds: Vec::new() });
        }
        for round in 1..=rounds {
            for (subject, measured) in subjects.iter().zip(&mut measured) {
                let name = format!("round {round} of {rounds}, {}", subject.name);
                let tally = measure(&plan, self.pressure(), round, subject, &name)?;
                measured.rounds.push(tally);
            }
        }
        if self.json {
            say(format_args!("{:#}\n", report::json(&measured)));
        } else {
            say(format_args!("{}", report::text(&measured)));
        }
        match measured.iter().find(|one| one.done() == 0) {
            None => Ok(()),
            Some(one) => {
                let why = one.first_error().unwrap_or_else(|| "nobody answered".to_owned());
                Err(Failure::Remote(format!("nothing succeeded with {}: {why}", one.name)))
            }
        }
    }

    fn subjects(&self) -> Result<Vec<Subject>, Failure> {
        let credentials = self.login.credentials();
        let addresses = resolve(&self.nodes, &credentials)?;
        let mut levels = self.level.clone();
        levels.dedup();
        let own = |level: &Level| Subject {
            name: level.name().to_owned(),
            addresses: addresses.clone(),
            db: level.db().number().into(),
            credentials: credentials.clone(),
        };
        let mut subjects: Vec<Subject> = levels.iter().map(own).collect();
        if !self.against.is_empty() {
            let credentials = Credentials { user: None, password: self.against_password.clone() };
            let addresses = resolve(&self.against, &credentials)?;
            let name = self.against.join(",");
            subjects.push(Subject { name, addresses, db: self.against_db, credentials });
        }
        Ok(subjects)
    }

    fn pressure(&self) -> Pressure {
        let end = match self.requests {
            Some(count) => End::Requests(count),
            None => End::After(Duration::from_secs_f64(self.seconds)),
        };
        let pipeline = self.pipeline as usize;
        Pressure { clients: self.clients, pipeline, rate: self.rate, end }
    }

    fn fill(&self, plan: &Plan, subject: &Subject) -> Result<Tally, Failure> {
        let pipeline = FILL_PIPELINE.max(self.pipeline as usize);
        let pressure = Pressure { clients: self.clients, pipeline, rate: None, end: End::Filled };
        measure(plan, pressure, 0, subject, &format!("filling {}", subject.name))
    }

    /// What is about to happen.
    fn what(&self, rounds: u64) -> String {
        let keys = match self.zipf {
            Some(skew) => format!("by Zipf's law, exponent {skew}"),
            None => "all alike".to_owned(),
        };
        let sizes = match self.value_size {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        let loops = match self.rate {
            Some(rate) => format!("open loop, {rate} requests a second"),
            None => "closed loop".to_owned(),
        };
        let length = match self.requests {
            Some(count) => format!("{count} requests"),
            None => format!("{} s", self.seconds),
        };
        format!(
            "{} clients on {} nodes, pipeline {}; {}% reads; {} keys, {keys}; values of {sizes} \
             bytes; seed {}; {loops}; rounds: {rounds}, each {length}",
            self.clients,
            self.nodes.len(),
            self.pipeline,
            self.reads,
            self.keys,
            self.seed
        )
    }
}

/// One round of one, with a line on the terminal that tells how far it is.
fn measure(
    plan: &Plan,
    pressure: Pressure,
    round: u64,
    subject: &Subject,
    name: &str,
) -> Result<Tally, Failure> {
    let shows = io::stderr().is_terminal();
    let mut look = |tally: &Tally, elapsed: Duration| {
        if shows {
            let seconds = elapsed.as_secs_f64().max(0.001);
            let (rate, failed) = (tally.done() as f64 / seconds, tally.failed());
            // Nobody may look any more; the measurement goes on.
            let _ = write!(
                io::stderr(),
                "\r\x1b[K{name}: {seconds:.1} s, {rate:.0} ops/s, {failed} errors"
            );
        }
    };
    let target = load::Goal {
        addresses: &subject.addresses,
        credentials: &subject.credentials,
        db: subject.db,
    };
    let tally = load::run(plan, pressure, round, target, &mut look)?;
    if shows {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    Ok(tally)
}

/// Where each can be reached. A password that one does not take is found out now, not by every connection.
fn resolve(nodes: &[String], credentials: &Credentials) -> Result<Vec<SocketAddr>, Failure> {
    let resolve = |node: &String| {
        let target = Target::parse(node).map_err(Failure::Refused)?;
        let failed = |error| Failure::Remote(format!("can't talk to {target}: {error}"));
        let address = target.dial().and_then(|stream| stream.peer_addr()).map_err(failed)?;
        if credentials.password.is_some() {
            let open = Connection::open(&target, credentials, false, Some(PATIENCE));
            if let Some(refusal) = open.map_err(failed)?.refusal {
                let error = format!("{target} did not take the password: {refusal}");
                return Err(Failure::Remote(error));
            }
        }
        Ok(address)
    };
    nodes.iter().map(resolve).collect()
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "it is not a number above 0".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "it is not a number from 0 to 100".to_owned())
}

fn sizes(text: &str) -> Result<(usize, usize), String> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (least.parse(), most.parse()) {
        (Ok(least), Ok(most)) if least <= most && most <= SIZE_MAX => Ok((least, most)),
        _ => Err(format!("it is not a size up to {SIZE_MAX}, nor two as 16-1024")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_checked() {
        assert_eq!(sizes("64"), Ok((64, 64)));
        assert_eq!(sizes("0-1048576"), Ok((0, 1_048_576)));
        for text in ["", "-", "9-8", "x", "1048577", "1-2-3"] {
            assert!(sizes(text).is_err(), "{text:?}");
        }
        assert_eq!(percent("0"), Ok(0.0));
        assert!(percent("101").is_err() && percent("NaN").is_err());
        assert!(positive("0").is_err() && positive("inf").is_err() && positive("0.5").is_ok());
    }
}
