//! Requests as lines that end with CRLF, as telnet and health checks send them: how they are split into
//! words, and what they are answered, is as in Redis.
//!
//! Not drawn, because it differs on purpose: NUL, vertical tab and form feed, which are data here and an
//! end or a space in Redis; a lone LF, which asks for plain text; and what follows unbalanced quotes, for
//! Redis closes the connection there.

use quorate::rng::Rng;

use super::{
    common::installed,
    differential::{Drawing, Server, both},
};

/// Lines of a run, and so many sent at once.
const LINES: usize = 12_000;
const PIPELINE: usize = 40;

/// What stands between quotes, or without.
const BARE: [&str; 8] = ["a", "b", "10", "-1", "a\\n", "\\x41", "k:1", "\u{e9}"];
const DOUBLE: [&str; 12] =
    ["a", "b", " ", "\\n", "\\r", "\\t", "\\a", "\\\"", "\\\\", "\\x41\\xfF", "\\xg1", "'"];
const SINGLE: [&str; 7] = ["a", "b", " ", "\\'", "\\n", "\"", "\\x41"];

/// A word as a line has it.
fn word(drawing: &mut Drawing) -> String {
    let (quote, parts): (&str, &[&str]) = match drawing.0.below(4) {
        0 => ("\"", &DOUBLE),
        1 => ("'", &SINGLE),
        _ => ("", &BARE),
    };
    let least = u64::from(quote.is_empty());
    let count = least + drawing.0.below(3);
    let inside: String = (0..count).map(|_| drawing.of(parts)).collect();
    // A quote may begin within a word; what stands in front of it belongs to the word.
    let front = if drawing.chance(15) { drawing.of(&BARE) } else { "" };
    format!("{front}{quote}{inside}{quote}")
}

fn line(drawing: &mut Drawing) -> String {
    let name = drawing.of(&["ECHO", "set", "GET", "Append", "STRLEN", "DEL", "EXISTS", "NONSENSE"]);
    let count = match name {
        "set" | "Append" => 2,
        _ => 1,
    };
    let count = if drawing.chance(5) { drawing.0.below(4) } else { count };
    let mut line = drawing.of(&["", " ", "\t"]).to_owned() + name;
    for _ in 0..count {
        line += drawing.of(&[" ", "  ", "\t", " \t "]);
        line += &word(drawing);
    }
    line + drawing.of(&["", " "])
}

#[test]
fn lines_are_split_and_answered_as_by_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    let mut servers = [Server::connect(nodes.ports[0]), Server::connect(port)];
    let mut drawing = Drawing(Rng::new(17));
    let (mut differ, mut values) = (Vec::new(), 0);
    for _ in 0..LINES / PIPELINE {
        let lines: Vec<String> = (0..PIPELINE).map(|_| line(&mut drawing)).collect();
        // Empty ones have no answer.
        let text: String = lines.iter().map(|line| format!("{line}\r\n\r\n")).collect();
        servers.iter_mut().for_each(|server| server.send(text.as_bytes()));
        for line in &lines {
            let [ours, theirs] = servers.each_mut().map(Server::reply);
            values += usize::from(theirs.starts_with(b"$"));
            // It repeats the words as they are, which may be no text.
            let unknown = theirs.starts_with(b"-ERR unknown command");
            if ours != theirs && !(unknown && ours.starts_with(b"-ERR unknown command")) {
                let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
                differ.push(format!("{line:?}\n    ours  {ours}\n    Redis {theirs}"));
            }
        }
    }
    let shown = differ.iter().take(20).cloned().collect::<Vec<String>>().join("\n");
    assert!(differ.is_empty(), "{} replies differ:\n{shown}", differ.len());
    assert!(values * 5 > LINES, "only {values} answers show values");
}

/// What is no request: the same words, and then the end.
#[test]
fn broken_requests_end_a_connection_as_in_redis() {
    if !installed("redis-server") {
        return;
    }
    let (nodes, port, _redis) = both();
    let broken = [
        "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n",
        "*1\r\nfoo\r\n",
        "*x\r\n",
        "*1\r\n$-10\r\n",
        "*1\r\n$2000000000\r\n",
        "*1\r\n$blabla\r\n",
        "*1\r\n:5\r\n",
        "*1\r\n\r\n",
    ];
    for bytes in broken {
        let replies = [nodes.ports[0], port].map(|port| {
            let mut server = Server::connect(port);
            server.send(b"PING\r\n");
            server.send(bytes.as_bytes());
            let replies = [server.reply(), server.reply()];
            (replies, server.try_reply().is_err())
        });
        let [(ours, ended), (theirs, ended_there)] = replies;
        let [ours, theirs] = [ours, theirs].map(|replies| {
            let text = String::from_utf8_lossy(&replies.concat()).into_owned();
            // Where our limits are lower we say what they are.
            text.replace("; a request has at most 33554432 bytes", "")
        });
        assert_eq!((ours, ended), (theirs, ended_there), "{bytes:?}");
    }
}
