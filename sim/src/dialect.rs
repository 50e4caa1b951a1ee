//! Requests and replies as a client sees them, in both dialects.

use crate::{
    case::{Dialect, Op, Step},
    history::Outcome,
};

/// How a node begins that refuses to write because of its clock.
const CLOCK_ERROR: &str = "ERR the clock of this node is ahead";

/// What a node says that is writing a checkpoint already.
const SAVE_ERROR: &str = "Background save already in progress";

/// Appends a request's bytes.
pub fn encode(dialect: Dialect, op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Del { key } => words(dialect, &["DEL", key], out),
        Op::FlushDb => words(dialect, &["FLUSHDB"], out),
        Op::Get { key } => words(dialect, &["GET", key], out),
        Op::Save => words(dialect, &["SAVE"], out),
        Op::Set { key, value } => words(dialect, &["SET", key, value], out),
    }
}

/// The bytes of a step's requests, and how many of the requests leave whole before the client does.
#[must_use]
pub fn encode_step(dialect: Dialect, step: &Step) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(step.ops.len());
    for op in &step.ops {
        encode(dialect, op, &mut bytes);
        ends.push(bytes.len());
    }
    let leaves_at = step.torn.filter(|torn| torn.leaves()).map(|torn| torn.cut(bytes.len()));
    let whole = ends.iter().filter(|end| leaves_at.is_none_or(|cut| **end <= cut)).count();
    (bytes, whole)
}

/// Appends the request that chooses a database.
pub fn encode_select(dialect: Dialect, db: u8, out: &mut Vec<u8>) {
    words(dialect, &["SELECT", &db.to_string()], out);
}

/// Takes the reply to `op` from the front of `bytes`: the reply and its size, or nothing if it
/// isn't there yet.
#[must_use]
pub fn decode(dialect: Dialect, op: &Op, bytes: &[u8]) -> Option<(Outcome, usize)> {
    let (reply, size) = match dialect {
        Dialect::Resp => resp(bytes)?,
        Dialect::Text => text(op, bytes)?,
    };
    let outcome = match (op, reply) {
        (Op::Del { .. }, Reply::Integer(count @ 0..=1)) => Outcome::Count(count),
        (Op::Get { .. }, Reply::Bulk(value)) => Outcome::Value(value),
        (Op::Get { .. }, Reply::Null) => Outcome::Missing,
        (Op::FlushDb | Op::Save | Op::Set { .. }, Reply::Ok) => Outcome::Done,
        (Op::Save, Reply::Other(error)) if error.contains(SAVE_ERROR) => Outcome::Refused,
        (Op::Del { .. } | Op::FlushDb | Op::Set { .. }, Reply::Other(error))
            if error.trim_start_matches('-').starts_with(CLOCK_ERROR) =>
        {
            Outcome::Refused
        }
        (_, Reply::Other(line)) => Outcome::Wrong(line),
        (_, other) => Outcome::Wrong(format!("{other:?}")),
    };
    Some((outcome, size))
}

/// Takes the reply to SELECT: whether it was accepted, and its size.
#[must_use]
pub fn decode_select(dialect: Dialect, bytes: &[u8]) -> Option<(bool, usize)> {
    let (outcome, size) = decode(dialect, &Op::FlushDb, bytes)?;
    Some((outcome == Outcome::Done, size))
}

#[derive(Debug)]
enum Reply {
    Bulk(Vec<u8>),
    Integer(i64),
    Null,
    Ok,
    Other(String),
}

fn words(dialect: Dialect, words: &[&str], out: &mut Vec<u8>) {
    match dialect {
        Dialect::Resp => {
            out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        Dialect::Text => {
            out.extend_from_slice(words.join(" ").as_bytes());
            out.push(b'\n');
        }
    }
}

/// A line and its size with its end.
fn line<'a>(bytes: &'a [u8], end: &[u8]) -> Option<(&'a str, usize)> {
    let size = bytes.windows(end.len()).position(|window| window == end)?;
    Some((
        std::str::from_utf8(&bytes[..size]).unwrap_or("bytes that are no text"),
        size + end.len(),
    ))
}

fn resp(bytes: &[u8]) -> Option<(Reply, usize)> {
    let (head, size) = line(bytes, b"\r\n")?;
    let number = head.get(1..).and_then(|rest| rest.parse::<i64>().ok());
    let reply = match (head.as_bytes().first(), number) {
        (Some(b'+'), _) if head == "+OK" => Reply::Ok,
        (Some(b':'), Some(number)) => Reply::Integer(number),
        (Some(b'$'), Some(-1)) => Reply::Null,
        (Some(b'$'), Some(length @ 0..)) => {
            let end = size + length as usize;
            let ends_well = bytes.get(end..end + 2)? == b"\r\n";
            let value = bytes[size..end].to_vec();
            let reply = if ends_well { Reply::Bulk(value) } else { Reply::Other(head.to_owned()) };
            return Some((reply, end + 2));
        }
        _ => Reply::Other(head.to_owned()),
    };
    Some((reply, size))
}

/// Text replies look alike; what was asked tells them apart.
fn text(op: &Op, bytes: &[u8]) -> Option<(Reply, usize)> {
    let (line, size) = line(bytes, b"\n")?;
    let reply = match op {
        _ if line.starts_with("ERR") => Reply::Other(line.to_owned()),
        Op::Del { .. } => {
            line.parse().map_or_else(|_| Reply::Other(line.to_owned()), Reply::Integer)
        }
        Op::Get { .. } if line == "Not Found" => Reply::Null,
        Op::Get { .. } => Reply::Bulk(line.as_bytes().to_vec()),
        Op::FlushDb | Op::Save | Op::Set { .. } if line == "OK" => Reply::Ok,
        Op::FlushDb | Op::Save | Op::Set { .. } => Reply::Other(line.to_owned()),
    };
    Some((reply, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Then, Torn};

    fn get() -> Op {
        Op::Get { key: "k".to_owned() }
    }

    #[test]
    fn requests_in_both_dialects() {
        let set = Op::Set { key: "k".to_owned(), value: "v1".to_owned() };
        let (mut text, mut resp) = (Vec::new(), Vec::new());
        encode(Dialect::Text, &set, &mut text);
        encode(Dialect::Resp, &set, &mut resp);
        assert_eq!(text, b"SET k v1\n");
        assert_eq!(resp, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv1\r\n");
    }

    #[test]
    fn torn_requests_are_counted_without_the_torn_one() {
        let step = |torn| {
            let ops = vec![get(), get(), get()];
            Step { at_ms: 0, client: 0, node: 0, fresh: false, ops, torn }
        };
        let whole =
            |permille, then| encode_step(Dialect::Text, &step(Some(Torn { permille, then }))).1;
        assert_eq!(encode_step(Dialect::Text, &step(None)), (b"GET k\n".repeat(3), 3));
        assert_eq!(whole(500, Then::Stall { for_ms: 1 }), 3);
        assert_eq!([0, 300, 500, 1000].map(|permille| whole(permille, Then::Reset)), [0, 0, 1, 2]);
    }

    #[test]
    fn replies_come_whole_or_not_at_all() {
        let value = Outcome::Value(b"v\r\n1".to_vec());
        let bytes = b"$4\r\nv\r\n1\r\nrest";
        for cut in 0..10 {
            assert_eq!(decode(Dialect::Resp, &get(), &bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode(Dialect::Resp, &get(), bytes), Some((value, 10)));
        assert_eq!(decode(Dialect::Resp, &get(), b"$-1\r\n"), Some((Outcome::Missing, 5)));
        assert_eq!(decode(Dialect::Text, &get(), b"Not Found\n"), Some((Outcome::Missing, 10)));
        assert_eq!(decode(Dialect::Text, &get(), b"Not Found"), None);
    }

    #[test]
    fn replies_that_fit_no_request_are_wrong() {
        for (dialect, bytes) in [
            (Dialect::Resp, &b":1\r\n"[..]),
            (Dialect::Resp, b"-ERR x\r\n"),
            (Dialect::Text, b"ERR x\n"),
        ] {
            assert!(matches!(decode(dialect, &get(), bytes), Some((Outcome::Wrong(_), _))));
        }
    }
}
