//! Dialogues: bytes in, replies out, and the same replies however the input is cut and however
//! slowly they are read.
//!
//! [`check`] knows how to run a dialogue in all those ways; the tests only say what is said. The
//! store behind the connection is a map, and the client is a vector that grows by as much as it
//! reads at a time.

use std::collections::BTreeMap;

use proptest::prelude::prop;

use super::*;
use crate::{
    command::op::{Effect, Held},
    record::Version,
};

mod deferred;

const LIMITS: Limits = Limits {
    args_max: 8,
    line_size_max: 80,
    line_dropped_max: 1000,
    request_size_max: 3000,
    ..Limits::DEFAULT
};

/// A connection, a store behind it, and a client that keeps what it reads.
struct Pair {
    connection: Connection,
    workspace: Workspace,
    limits: Limits,
    /// How many bytes the client reads at a time; all there is, without.
    reads: Option<usize>,
    store: BTreeMap<(Db, Vec<u8>), Vec<u8>>,
    received: Vec<u8>,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self {
            connection: Connection::new(),
            workspace: Workspace::new(),
            limits,
            reads: None,
            store: BTreeMap::new(),
            received: Vec::new(),
        }
    }

    /// One input: bytes, the end of the input, or a chance to resume.
    fn input(&mut self, input: Input<'_>) {
        let Self { connection, workspace, limits, store, .. } = self;
        let mut execute = |request: Request<'_>| {
            let Request { db, command, mut reply, .. } = request;
            match command {
                Command::Op { op, .. } => {
                    let place = (db, op.key.to_vec());
                    let value = store.get(&place).cloned();
                    let held = |value| Held { value, expires_at_ms: None, version: Version::NONE };
                    let (effect, answer) = op.apply(value.as_deref().map(held), 0);
                    answer.write(&mut reply);
                    match effect {
                        Effect::Delete => drop(store.remove(&place)),
                        Effect::None => {}
                        Effect::Put { value, .. } => drop(store.insert(place, value.into_owned())),
                    }
                }
                Command::DbSize => reply.integer(store.len() as i64),
                other => reply.error(format_args!("ERR no {other:?} here")),
            }
            Done::Now(None)
        };
        match input {
            Input::Bytes(bytes) => {
                connection.handle_bytes(bytes, limits, workspace, &mut execute);
            }
            Input::Eof => connection.handle_eof(limits, workspace, &mut execute),
            Input::Resume => connection.resume(limits, workspace, &mut execute),
        }
        assert!(!connection.closing || connection.tail.is_empty());
    }

    /// The client reads until the connection has nothing more to say or do.
    fn drain(&mut self) {
        while !self.connection.output().is_empty() {
            let output = self.connection.output();
            let count = self.reads.unwrap_or(output.len()).min(output.len());
            self.received.extend(&output[..count]);
            self.connection.consume(count);
            self.input(Input::Resume);
        }
        assert!(!self.connection.is_paused());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.input(Input::Bytes(bytes));
        self.drain();
    }

    fn end(&mut self) -> String {
        self.input(Input::Eof);
        self.drain();
        assert!(self.connection.is_finished());
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

enum Input<'a> {
    Bytes(&'a [u8]),
    Eof,
    Resume,
}

/// Runs a dialogue whole, cut in two at every place, byte by byte, with hardly any room for output,
/// and with a client that sends all before it reads. Each time the replies must be `expected`.
#[track_caller]
fn check(input: &[u8], expected: &str) {
    let run = |limits: Limits, pieces: &[&[u8]], reads| {
        let mut pair = Pair { reads, ..Pair::new(limits) };
        pieces.iter().for_each(|piece| pair.send(piece));
        pair.end()
    };
    assert_eq!(run(LIMITS, &[input], None), expected);
    let tiny = Limits { output_pause: 3, ..LIMITS };
    for cut in 0..input.len() {
        let (start, end) = input.split_at(cut);
        assert_eq!(run(LIMITS, &[start, end], None), expected, "cut at {cut}");
        assert_eq!(run(tiny, &[start, end], Some(2)), expected, "paused, cut at {cut}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(LIMITS, &bytes, None), expected, "byte by byte");
    assert_eq!(run(tiny, &bytes, Some(1)), expected, "paused, byte by byte");
    let mut pair = Pair { reads: Some(1), ..Pair::new(tiny) };
    pair.input(Input::Bytes(input));
    assert_eq!(pair.end(), expected, "all sent before anything is read");
}

#[test]
fn people_and_clients_on_one_port() {
    check(b"SET a 1\nGET a", "OK\n1\n");
    check(b"SET a 'two words'\n\nGET a\nGET b\n", "OK\ntwo words\nNot Found\n");
    check(b"PING\r\nGET x\r\n", "+PONG\r\n$-1\r\n");
    check(
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\na\r\nb\0c\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        "+OK\r\n$6\r\na\r\nb\0c\r\n",
    );
    check(b"*1\r\n$4\r\nPING\r\nPING\n", "+PONG\r\n+PONG\r\n");
    check(b"PING\n*1\r\n$4\r\nPING\r\n", "PONG\n+PONG\r\n");
    check(b"ECHO OK\nPING x\nCOMMAND DOCS x\nACL USERS\n", "\"OK\"\nx\nEND\ndefault\nEND\n");
}

#[test]
fn the_protocol_can_be_pinned() {
    check(b"PROTO TEXT\r\nPING\r\n*1\r\n", "OK\nPONG\nERR unknown command '*1'; try HELP\n");
    check(b"PROTO RESP\nPING\n", "+OK\r\n+PONG\r\n");
    check(b"*2\r\n$5\r\nPROTO\r\n$4\r\nTEXT\r\nPING\n", "OK\nPONG\n");
}

#[test]
fn the_largest_family_of_commands() {
    check(
        b"INCR n\nINCRBY n 41\nGETSET n x\r\nINCR n\nAPPEND n yz\nSTRLEN n\nGETDEL n\nGET n\n",
        "1\n42\n$2\r\n42\r\nERR value is not an integer or out of range\n3\n3\nxyz\nNot Found\n",
    );
    check(
        b"SET a 1 NX\nSET a 2 NX\nSET a 2 NX\r\nSET a 3 IFEQ 2 GET\nSET a 3 ifeq 1\nGET a\n",
        "OK\nNot Set\n$-1\r\n1\nOK\n3\n",
    );
    check(
        b"READONLY\r\nREADWRITE\nREADONLY now\r\n",
        "+OK\r\nOK\n-ERR wrong number of arguments for 'readonly' command\r\n",
    );
}

#[test]
fn databases_are_apart() {
    check(b"SET a 1\nSELECT eventual\nGET a\nSELECT 0\nGET a\n", "OK\nOK\nNot Found\nOK\n1\n");
}

#[test]
fn quit_ends_the_dialogue() {
    check(b"SET a 1\nQUIT\nGET a\n", "OK\nOK\n");
    let mut pair = Pair::new(LIMITS);
    pair.input(Input::Bytes(b"QUIT\n"));
    assert!(!pair.connection.is_finished() && !pair.connection.wants_read());
    pair.drain();
    assert!(pair.connection.is_finished());
    pair.send(b"PING\n");
    assert_eq!(pair.received, b"OK\n");
}

#[test]
fn mistakes_in_a_line_keep_the_connection() {
    check(
        b"SET a \"b\nSET a \"b\r\nPING\n",
        "ERR Protocol error: unbalanced quotes in request; close each quote and put a space behind it; \
         \\\" is a quote within quotes\n-ERR Protocol error: unbalanced quotes in request\r\nPONG\n",
    );
    check(
        b"GET\r\nGET a b c d e f g h\nPING\n",
        "-ERR wrong number of arguments for 'get' command\r\n\
         ERR Protocol error: too many arguments; a request has at most 8\nPONG\n",
    );
    let long = "x".repeat(100);
    let error = "ERR Protocol error: too big inline request; a line has at most 80 bytes";
    let input = format!("{long}\nPING\n{long}\r\nPING\n{long}");
    check(input.as_bytes(), &format!("{error}\nPONG\n-{error}\r\nPONG\n{error}\n"));
    let input = format!("PROTO RESP\n{long}\nPING\n");
    check(input.as_bytes(), &format!("+OK\r\n-{error}\r\n+PONG\r\n"));
}

#[test]
fn a_stream_that_cannot_be_trusted_ends() {
    let ping = "*1\r\n$4\r\nPING\r\n";
    for (broken, error) in [
        ("*2\r\n$3\r\nGET\r\n:1\r\n", "expected '$', got ':'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1\r\n$-5\r\n", "invalid bulk length"),
        ("*1\r\n$5000\r\n", "invalid bulk length; a request has at most 3000 bytes"),
        ("Host: here\r\n", "this looks like an HTTP request"),
    ] {
        let input = format!("{ping}{broken}{ping}");
        let expected = format!("+PONG\r\n-ERR Protocol error: {error}\r\n");
        check(input.as_bytes(), &expected);
    }
    check(b"\x16\x03\x01\x00", "ERR Protocol error: TLS is not offered on this port\n");
    check(b"POST / HTTP/1.1\nSET a 1\n", "ERR Protocol error: this looks like an HTTP request\n");
}

#[test]
fn a_half_frame_at_the_end_is_dropped() {
    check(b"PING\n*2\r\n$3\r\nGET\r\n$1\r\n", "PONG\n");
    check(b"*0\r\n*-1\r\n*", "");
}

#[test]
fn an_error_in_an_unfinished_frame_is_said_at_once() {
    for cut in 0..10 {
        let (start, end) = b"*9\r\n$3\r\nx".split_at(cut);
        let mut pair = Pair::new(Limits::DEFAULT);
        pair.send(start);
        pair.send(end);
        pair.send(b"yzab");
        assert!(pair.connection.is_finished(), "cut at {cut}");
    }
}

#[test]
fn a_client_that_does_not_read_is_paused() {
    let mut pair = Pair::new(Limits { output_pause: 20, ..LIMITS });
    pair.input(Input::Bytes(&b"PING\n".repeat(100)));
    assert_eq!(pair.connection.output(), b"PONG\n".repeat(5));
    assert!(pair.connection.is_paused() && !pair.connection.wants_read());
    pair.connection.consume(14);
    assert!(!pair.connection.can_resume());
    pair.input(Input::Resume);
    assert_eq!(pair.connection.output().len(), 11);
    pair.connection.consume(1);
    assert!(pair.connection.can_resume());
    pair.input(Input::Resume);
    assert_eq!(pair.connection.output().len(), 25);
    pair.drain();
    assert!(pair.connection.wants_read());
    assert_eq!(pair.received.len(), 500 - 15);
}

#[test]
fn a_large_request_leaves_no_memory_behind() {
    let value = "v".repeat(1 << 20);
    let frame = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{value}\r\n", value.len());
    let mut pair = Pair::new(Limits::DEFAULT);
    for piece in frame.as_bytes().chunks(65_536) {
        pair.send(piece);
    }
    assert_eq!(pair.received.len(), (1 << 20) + 12);
    assert!(pair.connection.buffered() <= 2 * 32 * 1024);
}

#[test]
fn only_an_unfinished_request_is_copied() {
    let mut pair = Pair::new(Limits::DEFAULT);
    let pings = b"*1\r\n$4\r\nPING\r\n".repeat(10_000);
    for piece in pings.chunks(65_001) {
        pair.send(piece);
        assert!(pair.connection.tail.capacity() <= 64);
    }
    assert_eq!(pair.received.len(), 70_000);
}

proptest::proptest! {
    #[test]
    fn any_cut_gives_the_same_replies(
        parts in prop::collection::vec(prop::sample::select(vec![
            "PING\n", "PING\r\n", "SET a 'b c'\n", "GET a\n", "DBSIZE\n", "SELECT 1\n", "nonsense \"\n",
            "*1\r\n$4\r\nPING\r\n", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "*0\r\n", "*1\r\n$x", "\n", "\r",
            "PROTO TEXT\n", "PROTO RESP\n", "ECHO \"\\x00\"\n", "QUIT\n", "HELP get\n", "*", "$1\r\n", "\x16",
            "a long line that by itself is not over its limit but close to it, as it has to be",
        ]), 0..12),
        cuts in prop::collection::vec(0..1000_usize, 0..6),
        output_pause in 0..40_usize,
        reads in 1..9_usize,
    ) {
        let input = parts.concat().into_bytes();
        let mut whole = Pair::new(LIMITS);
        whole.send(&input);
        let expected = whole.end();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pair = Pair { reads: Some(reads), ..Pair::new(Limits { output_pause, ..LIMITS }) };
        let mut at = 0;
        for cut in cuts {
            pair.send(&input[at..cut]);
            at = cut;
        }
        pair.input(Input::Bytes(&input[at..]));
        assert_eq!(pair.end(), expected);
    }
}
