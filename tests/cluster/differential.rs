//! The same random commands to a node and to Redis: every reply must be the same, byte for byte.
//!
//! What is not drawn, because it differs on purpose:
//! - OBJECT ENCODING tells of the value alone; Redis also of how it came to be (`raw` after APPEND).
//! - Bits and offsets beyond 16 MiB, our longest value; Redis' is 512 MiB.
//! - INCRBYFLOAT of large numbers: we add decimals exactly, Redis rounds to 64 binary digits.
//! - What is newer than the Redis that is installed: IFEQ and its kin, DELEX, DIGEST.
//! - DBSIZE, which counts keys whose time is over until the server finds out.
//! - PTTL and PEXPIRETIME of times that count from now, which no two servers begin at once.
//!
//! What is drawn and may differ stands in [`documented`] with its reason.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::Command,
};

use quorate::rng::Rng;

use super::common::{Nodes, Process, free_ports, installed, wait_until};

/// Commands of a run of `cargo test`; `QUORATE_DIFFERENTIAL` sets another number.
const COMMANDS: usize = 20_000;
/// Commands sent at once.
const PIPELINE: usize = 50;

const KEYS: [&str; 6] = ["a", "b", "c", "{a}x", "", "key with spaces"];
const VALUES: [&[u8]; 14] = [
    b"",
    b"a",
    b"10",
    b"-5",
    b"3.25",
    b"1e3",
    b" 5",
    b"007",
    b"hello world",
    b"\x00\xff\r\n",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"a longer value of more than forty-four bytes, as it happens",
];
const NUMBERS: [&str; 15] = [
    "0",
    "1",
    "-1",
    "2",
    "5",
    "-3",
    "100",
    "-100",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "+1",
];
const FRACTIONS: [&str; 9] =
    ["0.1", "-0.1", "-3", "5.0e0", "1.25", "abc", "", "nan", "0.00000000001"];
/// Seconds and milliseconds: long enough that a test does not see the end, or over.
/// None ends while a test runs: no two servers would say so at once.
const SPANS: [&str; 9] =
    ["90000", "100000", "0", "-1", "x", "9223372036854775807", "9223372036854775", "", "5000000"];
const MOMENTS: [&str; 6] = ["4102444800", "4102444800000", "1", "0", "-7", "y"];

pub(super) struct Drawing(pub(super) Rng);

impl Drawing {
    pub(super) fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.0.below(choices.len() as u64) as usize]
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        self.of(&KEYS).as_bytes().to_vec()
    }

    fn number(&mut self) -> Vec<u8> {
        self.of(&NUMBERS).as_bytes().to_vec()
    }

    pub(super) fn small(&mut self) -> Vec<u8> {
        (self.0.below(40) as i64 - 12).to_string().into_bytes()
    }

    pub(super) fn value(&mut self) -> Vec<u8> {
        self.of(&VALUES).to_vec()
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.0.below(100) < percent
    }

    /// A time option with its operand.
    fn time(&mut self) -> Vec<Vec<u8>> {
        let option = self.of(&["EX", "px", "EXAT", "PXAT"]);
        let absolute = option.ends_with("AT");
        let time = if absolute { self.of(&MOMENTS) } else { self.of(&SPANS) };
        vec![option.as_bytes().to_vec(), time.as_bytes().to_vec()]
    }

    fn set(&mut self) -> Vec<Vec<u8>> {
        let mut words = vec![b"SET".to_vec(), self.key(), self.value()];
        while self.chance(35) {
            match self.0.below(6) {
                0 => words.push(b"NX".to_vec()),
                1 => words.push(b"xx".to_vec()),
                2 => words.push(b"GET".to_vec()),
                3 => words.push(b"KEEPTTL".to_vec()),
                4 => words.extend(self.time()),
                _ => words.push(self.value()),
            }
        }
        words
    }

    fn expire(&mut self) -> Vec<Vec<u8>> {
        let name = self.of(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]);
        let time = if name.ends_with("AT") { self.of(&MOMENTS) } else { self.of(&SPANS) };
        let mut words = vec![name.into(), self.key(), time.into()];
        while self.chance(30) {
            words.push(self.of(&["NX", "XX", "GT", "lt", "maybe"]).into());
        }
        words
    }

    pub(super) fn several(&mut self) -> Vec<Vec<u8>> {
        let name = self.of(&["DEL", "UNLINK", "EXISTS", "TOUCH", "MGET", "MSET"]);
        let mut words = vec![name.into()];
        for _ in 0..1 + self.0.below(4) {
            words.push(self.key());
            if name == "MSET" {
                words.push(self.value());
            }
        }
        words
    }

    fn one_key(&mut self) -> Vec<Vec<u8>> {
        let name = self.of(&[
            "GET",
            "GETDEL",
            "STRLEN",
            "TYPE",
            "INCR",
            "DECR",
            "TTL",
            "EXPIRETIME",
            "PERSIST",
            "BITCOUNT",
        ]);
        vec![name.into(), self.key()]
    }

    fn command(&mut self) -> Vec<Vec<u8>> {
        let key = self.key();
        match self.0.below(19) {
            0 | 1 => self.one_key(),
            2 | 3 => self.set(),
            4 => self.expire(),
            5 => self.several(),
            6 => vec![self.of(&["INCRBY", "DECRBY"]).into(), key, self.number()],
            7 if self.chance(25) => {
                vec![b"SET".to_vec(), b"float".to_vec(), self.of(&FRACTIONS).into()]
            }
            7 => vec![b"INCRBYFLOAT".to_vec(), b"float".to_vec(), self.of(&FRACTIONS).into()],
            8 => vec![b"APPEND".to_vec(), key, self.value()],
            9 => vec![self.of(&["GETRANGE", "SUBSTR"]).into(), key, self.small(), self.small()],
            10 => vec![b"SETRANGE".to_vec(), key, self.small(), self.value()],
            11 => vec![b"SETBIT".to_vec(), key, self.small(), self.of(&["0", "1", "2"]).into()],
            12 => vec![b"GETBIT".to_vec(), key, self.small()],
            13 => {
                let unit = self.of(&["BIT", "byte", "bits"]);
                vec![b"BITCOUNT".to_vec(), key, self.small(), self.small(), unit.into()]
            }
            14 => vec![
                self.of(&["SETEX", "PSETEX"]).into(),
                key,
                self.of(&SPANS).into(),
                self.value(),
            ],
            15 => {
                let time = if self.chance(30) { vec![b"PERSIST".to_vec()] } else { self.time() };
                [vec![b"GETEX".to_vec(), key], time].concat()
            }
            16 => vec![self.of(&["SETNX", "GETSET"]).into(), key, self.value()],
            17 => vec![b"GETEX".to_vec(), key],
            _ => vec![self.of(&["PING", "ECHO", "NONSENSE"]).into()],
        }
    }

    /// A command, now and then with a word too many or too few.
    fn words(&mut self) -> Vec<Vec<u8>> {
        let mut words = self.command();
        if self.chance(2) {
            words.push(self.value());
        } else if self.chance(2) && words.len() > 1 {
            words.pop();
        }
        words
    }
}

/// One connection, and what it has received.
pub(super) struct Server {
    stream: BufReader<TcpStream>,
}

impl Server {
    pub(super) fn connect(port: u16) -> Self {
        Self::try_connect(port).expect("a server")
    }

    /// The same where the server may be gone.
    pub(super) fn try_connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(super::common::PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("an open connection");
    }

    /// The same where the server may be gone.
    pub(super) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The bytes of the next reply.
    pub(super) fn reply(&mut self) -> Vec<u8> {
        self.try_reply().expect("a reply")
    }

    /// The same where the server may be gone.
    pub(super) fn try_reply(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut missing = 1;
        while missing > 0 {
            missing -= 1;
            let start = bytes.len();
            if self.stream.read_until(b'\n', &mut bytes)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let head = String::from_utf8_lossy(&bytes[start..]).into_owned();
            let count: i64 = head.get(1..).unwrap_or_default().trim_end().parse().unwrap_or(-1);
            match bytes.get(start) {
                Some(b'$' | b'=') if count >= 0 => {
                    let mut body = vec![0; count as usize + 2];
                    self.stream.read_exact(&mut body)?;
                    bytes.extend(body);
                }
                Some(b'*' | b'~') => missing += count.max(0),
                Some(b'%') => missing += 2 * count.max(0),
                Some(_) | None => {}
            }
        }
        Ok(bytes)
    }
}

pub(super) fn request(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Errors that repeat a client's words.
const QUOTES: [&[u8]; 2] = [b"-ERR unknown command", b"-ERR Unsupported option"];

/// Why a reply may differ from that of Redis, if it may.
fn documented(words: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> Option<&'static str> {
    let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    let refused = ours.starts_with(b"-ERR");
    let number = |reply: &[u8]| {
        str::from_utf8(reply).ok()?.trim_start_matches(':').trim_end().parse::<i64>().ok()
    };
    match &name[..] {
        b"expiretime"
            if number(ours).zip(number(theirs)).is_some_and(|(a, b)| a.abs_diff(b) == 1) =>
        {
            Some("a span that two servers began a moment apart may be rounded differently")
        }
        b"bitcount" if refused && theirs == b":0\r\n" => {
            Some("arguments are checked even if there is no such key, as in Redis since 7.2")
        }
        b"nonsense" | b"expire" | b"expireat" | b"pexpire" | b"pexpireat"
            if refused && QUOTES.iter().any(|start| theirs.starts_with(start)) =>
        {
            Some("Redis shows words that are not text as they are, up to a zero")
        }
        b"getex" if refused && matches!(theirs, b"$-1\r\n" | b"_\r\n") => {
            Some("times are checked even if there is no such key")
        }
        _ => None,
    }
}

/// Requests about the server whose replies do not depend on what a server is.
const ABOUT_SERVER: &str = "\
CLUSTER
CLUSTER FOO
CLUSTER KEYSLOT a
CLUSTER INFO
CLUSTER HELP
CLIENT
CLIENT FOO
CLIENT GETNAME
CLIENT SETNAME {a}name
CLIENT GETNAME
CLIENT SETNAME a name
CLIENT KILL
CLIENT KILL a
CLIENT KILL ID x
CLIENT KILL ID 0
CLIENT KILL ID 999999
CLIENT KILL TYPE foo
CLIENT KILL TYPE pubsub
CLIENT KILL USER nobody
CLIENT KILL SKIPME maybe
CLIENT KILL ID 5 FOO
CLIENT KILL a b
CLIENT LIST TYPE foo
CLIENT LIST TYPE replica
CLIENT LIST ID x
CLIENT LIST ID 999999
CLIENT LIST FOO
CLIENT LIST TYPE
CLIENT REPLY maybe
CLIENT NO-EVICT maybe
CLIENT NO-EVICT on
SLOWLOG GET x
SLOWLOG GET -2
SLOWLOG Get 1 2
SLOWLOG FOO
SLOWLOG RESET
SLOWLOG LEN
SLOWLOG GET
LATENCY RESET
LATENCY LATEST
LATENCY HISTORY foo
LATENCY FOO
CONFIG SET foo bar
CONFIG SET databases 4
CONFIG SET slowlog-max-len x
CONFIG SET slowlog-max-len 10 slowlog-max-len 11
CONFIG SET slowlog-max-len
CONFIG SET slowlog-max-len 5 foo
CONFIG SET slowlog-max-len 7 slowlog-log-slower-than -1
CONFIG GET slowlog-max-len
CONFIG GET slowlog-log-slower-than
CONFIG SET latency-monitor-threshold 5
CONFIG GET latency-monitor-threshold
CONFIG SET latency-monitor-threshold 0
CONFIG REWRITE
CONFIG RESETSTAT
CONFIG GET
CONFIG FOO
ROLE
ROLE now
ACL WHOAMI
ACL LIST
ACL USERS
ACL CAT nope
ACL CAT read write
ACL GETUSER default
ACL GETUSER nobody
ACL FOO
DEBUG PROTOCOL string
DEBUG PROTOCOL integer
DEBUG PROTOCOL double
DEBUG PROTOCOL bignum
DEBUG PROTOCOL null
DEBUG PROTOCOL array
DEBUG PROTOCOL set
DEBUG PROTOCOL map
DEBUG PROTOCOL verbatim
DEBUG PROTOCOL true
DEBUG PROTOCOL FALSE
DEBUG PROTOCOL nothing
FUNCTION FLUSH
FUNCTION FLUSH async
FUNCTION FLUSH now
FUNCTION FLUSH sync now
FUNCTION LIST
FUNCTION LIST now
FUNCTION LIST LIBRARYNAME
FUNCTION
MODULE LIST
MODULE FOO
OBJECT FREQ a
OBJECT FREQ nope
OBJECT IDLETIME nope
OBJECT FOO a
OBJECT ENCODING
MEMORY USAGE nope
MEMORY FOO
MEMORY USAGE a SAMPLES x
MEMORY USAGE a FOO 1
SHUTDOWN ABORT
SHUTDOWN FOO
SHUTDOWN NOSAVE SAVE
COMMAND FOO
COMMAND LIST FOO
COMMAND LIST FILTERBY
COMMAND LIST FILTERBY MODULE foo
COMMAND GETKEYS GET a
COMMAND GETKEYS MSET a 1 b 2
COMMAND GETKEYS DEL a b c
COMMAND GETKEYS NOPE a
COMMAND GETKEYS GET a b
COMMAND GETKEYS ECHO a
COMMAND GETKEYS OBJECT ENCODING a
COMMAND GETKEYSANDFLAGS GET a
COMMAND GETKEYSANDFLAGS SET a 1
COMMAND GETKEYSANDFLAGS SET a 1 GET
COMMAND GETKEYSANDFLAGS SETNX a 1
COMMAND GETKEYSANDFLAGS SETEX a 1 v
COMMAND GETKEYSANDFLAGS GETSET a 1
COMMAND GETKEYSANDFLAGS GETDEL a
COMMAND GETKEYSANDFLAGS GETEX a
COMMAND GETKEYSANDFLAGS MGET a b
COMMAND GETKEYSANDFLAGS MSET a 1 b 2
COMMAND GETKEYSANDFLAGS INCR a
COMMAND GETKEYSANDFLAGS INCRBYFLOAT a 1
COMMAND GETKEYSANDFLAGS APPEND a b
COMMAND GETKEYSANDFLAGS STRLEN a
COMMAND GETKEYSANDFLAGS GETRANGE a 0 1
COMMAND GETKEYSANDFLAGS SETRANGE a 0 1
COMMAND GETKEYSANDFLAGS GETBIT a 0
COMMAND GETKEYSANDFLAGS SETBIT a 0 1
COMMAND GETKEYSANDFLAGS BITCOUNT a
COMMAND GETKEYSANDFLAGS DEL a b
COMMAND GETKEYSANDFLAGS EXISTS a b
COMMAND GETKEYSANDFLAGS TYPE a
COMMAND GETKEYSANDFLAGS EXPIRE a 1
COMMAND GETKEYSANDFLAGS TTL a
COMMAND GETKEYSANDFLAGS PERSIST a
INFO nonsense
CLIENT REPLY SKIP
PING
CLIENT REPLY OFF
PING
NONSENSE
GET a b
CLIENT REPLY ON
PING";

#[test]
fn answers_about_the_server_are_those_of_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    for version in ["2", "3"] {
        let mut servers = [Server::connect(nodes.ports[0]), Server::connect(port)];
        for server in &mut servers {
            server.send(&request(&[b"HELLO".to_vec(), version.into()]));
            server.reply();
            server.send(&request(&["SET".into(), "a".into(), "1".into()]));
            server.reply();
        }
        let mut differ = Vec::new();
        // The end of the list is about requests that nobody answers.
        let mut silence = 0;
        for line in ABOUT_SERVER.lines() {
            let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().into()).collect();
            servers.iter_mut().for_each(|server| server.send(&request(&words)));
            silence = match line {
                "CLIENT REPLY SKIP" => 2,
                "CLIENT REPLY OFF" => usize::MAX,
                "CLIENT REPLY ON" => 0,
                _ => silence,
            };
            if silence > 0 {
                silence -= 1;
                continue;
            }
            let [ours, theirs] = servers.each_mut().map(Server::reply);
            if ours != theirs {
                let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
                differ.push(format!("{line}\n    ours  {ours}\n    Redis {theirs}"));
            }
        }
        assert!(differ.is_empty(), "RESP{version}: replies differ:\n{}", differ.join("\n"));
    }
}

/// A node and a Redis, with nothing in them.
pub(super) fn both() -> (Nodes, u16, Process) {
    let nodes = Nodes::start(1);
    let port = free_ports(1)[0];
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
    redis.args(["--enable-debug-command", "local"]);
    redis.current_dir(nodes.data.path());
    let redis = Process::spawn(redis);
    wait_until("a Redis", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    (nodes, port, redis)
}

#[test]
fn replies_are_those_of_redis() {
    if !installed("redis-server") {
        return;
    }
    let count = std::env::var("QUORATE_DIFFERENTIAL").ok();
    let count = count.map_or(COMMANDS, |text| text.parse().expect("a number of commands"));
    let (nodes, port, _redis) = both();
    let (mut differ, mut asked, mut explained) = (Vec::new(), 0, 0);
    for (seed, version) in [(1, "2"), (2, "3")] {
        let mut servers = [Server::connect(nodes.ports[0]), Server::connect(port)];
        for server in &mut servers {
            server.send(&request(&[b"HELLO".to_vec(), version.into()]));
            server.reply();
        }
        let mut drawing = Drawing(Rng::new(seed));
        for _ in 0..count / 2 / PIPELINE {
            let commands: Vec<_> = (0..PIPELINE).map(|_| drawing.words()).collect();
            let bytes = commands.iter().flat_map(|words| request(words)).collect::<Vec<u8>>();
            servers.iter_mut().for_each(|server| server.send(&bytes));
            for words in &commands {
                asked += 1;
                let [ours, theirs] = servers.each_mut().map(Server::reply);
                if ours != theirs && documented(words, &ours, &theirs).is_some() {
                    explained += 1;
                } else if ours != theirs {
                    let words: Vec<String> =
                        words.iter().map(|w| w.escape_ascii().to_string()).collect();
                    let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
                    differ.push(format!("{words:?}\n    ours  {ours}\n    Redis {theirs}"));
                }
            }
        }
    }
    let shown = differ.iter().take(20).cloned().collect::<Vec<String>>().join("\n");
    assert!(differ.is_empty(), "{} of {asked} replies differ:\n{shown}", differ.len());
    println!("{asked} replies, {explained} of which differ for a documented reason");
    assert!(explained * 20 < asked, "differences are the exception");
}
