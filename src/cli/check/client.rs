//! One client: asks, notes what it hears, and goes to the next node when one does not answer.
//!
//! Knows as much of RESP as the replies to its requests need.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use quorate::{
    check::{
        cell::{Asked, Told},
        keys::{Event, Fate},
    },
    command::op::{Action, Answer, SetReply},
    record::VALUE_SIZE_MAX,
    rng::Rng,
};

use super::workload::{Keys, Workload};

/// How long a node may take to answer: longer than nodes let an operation wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a node may take to accept a connection.
const DIAL: Duration = Duration::from_millis(500);
/// Once in so many operations a client goes to another node by itself.
const MOVE: u64 = 300;
/// The longest reply that makes sense here.
const LINE_MAX: u64 = 64 * 1024;
/// Errors that are answers of an operation, not refusals of it.
const ANSWERS: [&str; 2] = ["ERR value is not an integer", "ERR increment or decrement"];

/// A client and all that it saw.
pub(super) struct Client<'k> {
    process: u64,
    clients: u64,
    addresses: &'k [SocketAddr],
    /// The node it talks to, or tries to.
    at: usize,
    stream: Option<BufReader<TcpStream>>,
    keys: &'k Keys,
    workload: Workload<'k>,
    began: Instant,
    events: Vec<Event>,
}

impl<'k> Client<'k> {
    pub(super) fn new(
        number: u64,
        clients: u64,
        addresses: &'k [SocketAddr],
        keys: &'k Keys,
        seed: u64,
        began: Instant,
    ) -> Self {
        let rng = Rng::new(seed.wrapping_add(number));
        Self {
            process: number,
            clients,
            addresses,
            at: number as usize % addresses.len(),
            stream: None,
            keys,
            workload: Workload::new(keys, rng, number),
            began,
            events: Vec::new(),
        }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// One operation. Whether a node could be reached.
    pub(super) fn step(&mut self) -> bool {
        let Some(mut stream) = self.stream.take().or_else(|| self.connect()) else {
            self.move_on();
            return false;
        };
        let (place, asked) = self.workload.next();
        let start = self.now();
        let fate = match ask(&mut stream, &asked) {
            Ok(fate) => {
                self.stream = Some(stream);
                fate
            }
            Err(error) => Fate::Unknown(format!("no answer: {error}")),
        };
        let end = self.now();
        if let Fate::Ok(Told(Answer::Bulk(value))) = &fate {
            self.workload.saw(place, value);
        }
        let process = self.process;
        if matches!(fate, Fate::Unknown(_)) {
            self.keys.doubt(place);
            self.process += self.clients;
        }
        self.events.push(Event { process, asked, start, end, fate });
        if self.stream.is_none() || self.workload.seldom(MOVE) {
            self.move_on();
        }
        true
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn move_on(&mut self) {
        self.stream = None;
        self.at = (self.at + 1) % self.addresses.len();
    }

    fn connect(&self) -> Option<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.addresses[self.at], DIAL).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(BufReader::new(stream))
    }
}

fn ask(stream: &mut BufReader<TcpStream>, asked: &Asked) -> io::Result<Fate> {
    let words = asked.words();
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    stream.get_ref().write_all(&request)?;
    let action = asked.op().action;
    let conditional = matches!(action, Action::Set { reply: SetReply::Outcome, .. });
    read(stream, conditional)
}

/// Reads a reply. `conditional` says that nothing means that a condition did not hold.
fn read(stream: &mut impl io::BufRead, conditional: bool) -> io::Result<Fate> {
    let line = line(stream)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("a strange reply: {line}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(broken)?;
    let answer = match (kind, rest) {
        ("+", "OK") => Answer::Ok,
        ("-", text) if ANSWERS.iter().any(|known| text.starts_with(known)) => {
            Answer::Error(text.to_owned().into())
        }
        ("-", text) if text.starts_with("INDOUBT") => return Ok(Fate::Unknown(text.to_owned())),
        ("-", text) => return Ok(Fate::Failed(text.to_owned())),
        (":", number) => Answer::Integer(number.parse().map_err(|_| broken())?),
        ("$", "-1") if conditional => Answer::NotSet,
        ("$", "-1") => Answer::Nil,
        ("$", size) => {
            let size: u64 = size.parse().map_err(|_| broken())?;
            // More than a value can be would only fill memory.
            if size > VALUE_SIZE_MAX as u64 {
                return Err(broken());
            }
            let mut value = Vec::new();
            stream.take(size + 2).read_to_end(&mut value)?;
            let value = value.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
            if value.len() as u64 != size {
                return Err(broken());
            }
            Answer::Bulk(value.to_vec().into())
        }
        _ => return Err(broken()),
    };
    Ok(Fate::Ok(Told(answer)))
}

fn line(stream: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_fates() {
        let ok = |answer| Some(Fate::Ok(Told(answer)));
        let integer = "ERR value is not an integer or out of range";
        for (bytes, conditional, fate) in [
            ("+OK\r\n", false, ok(Answer::Ok)),
            (":-3\r\n", false, ok(Answer::Integer(-3))),
            ("$-1\r\n", false, ok(Answer::Nil)),
            ("$-1\r\n", true, ok(Answer::NotSet)),
            ("$3\r\na\r\n\r\n", false, ok(Answer::Bulk(b"a\r\n"[..].into()))),
            ("$3\r\na\r\n", false, None),
            (
                "-ERR value is not an integer or out of range\r\n",
                false,
                ok(Answer::Error(integer.into())),
            ),
            ("-NOREPLICAS no\r\n", false, Some(Fate::Failed("NOREPLICAS no".to_owned()))),
            ("-INDOUBT so\r\n", false, Some(Fate::Unknown("INDOUBT so".to_owned()))),
            ("+O", false, None),
            ("$5\r\nab", false, None),
            ("$99999999999\r\nab", false, None),
            ("\r\n", false, None),
        ] {
            assert_eq!(read(&mut bytes.as_bytes(), conditional).ok(), fate, "{bytes:?}");
        }
    }
}
