//! Requests and replies as a client sees them, in both dialects.

use crate::{
    case::{Condition, Dialect, Op, Part, Step},
    history::Outcome,
};

mod pages;
mod scripts;
mod together;

/// How a node begins that refuses to write because of its clock.
const CLOCK_ERROR: &str = "ERR the clock of this node is ahead";

/// How a node begins that refuses to write above what has come from a clock too far ahead.
const KEY_AHEAD: &str = "ERR this key was stamped";

/// What a node says that is writing a checkpoint already.
const SAVE_ERROR: &str = "Background save already in progress";

/// How a node begins that can't tell what became of a write.
const IN_DOUBT: &str = "INDOUBT ";

/// How a node begins that refuses because it reaches no majority or no leader.
const NO_REPLICAS: &str = "NOREPLICAS ";

/// What a node says to INCR of what is no number.
const NOT_NUMBER: &str = "ERR value is not an integer";

/// More than so many others no node can count.
const NODES_MAX: i64 = 8;

/// What a node says to RENAME of nothing.
const NO_SUCH_KEY: &str = "ERR no such key";

/// What stands in text for an absent value, a write that was not made, and the end of a list.
const NOT_FOUND: &str = "Not Found";
const NOT_SET: &str = "Not Set";
const LIST_END: &str = "END";

/// Appends a request's bytes.
pub fn encode(dialect: Dialect, op: &Op, out: &mut Vec<u8>) {
    let several = |name, keys: &[String], out: &mut Vec<u8>| {
        let keys = keys.iter().map(String::as_str);
        let all: Vec<&str> = [name].into_iter().chain(keys).collect();
        words(dialect, &all, out);
    };
    match op {
        Op::Add { key, by: 1 } => words(dialect, &["INCR", key], out),
        Op::Add { key, by: -1 } => words(dialect, &["DECR", key], out),
        Op::Add { key, by: by @ 0.. } => words(dialect, &["INCRBY", key, &by.to_string()], out),
        Op::Add { key, by } => words(dialect, &["DECRBY", key, &(-by).to_string()], out),
        Op::Append { key, value } => words(dialect, &["APPEND", key, value], out),
        Op::Copy { from, to } => words(dialect, &["COPY", from, to], out),
        Op::DbSize => words(dialect, &["DBSIZE"], out),
        Op::Del { key } => words(dialect, &["DEL", key], out),
        Op::Exists { keys } => several("EXISTS", keys, out),
        Op::Expire { key, for_ms, get } => {
            let for_ms = for_ms.to_string();
            let all = [&["GETEX", key, "PX", &for_ms][..], &["PEXPIRE", key, &for_ms]];
            words(dialect, all[usize::from(!get)], out);
        }
        Op::Extend { key, value, for_ms, by_hash } => {
            let rest = [&key[..], value, &for_ms.to_string()];
            scripts::encode(dialect, (scripts::EXTEND, *by_hash), &rest, out);
        }
        Op::FlushAll => words(dialect, &["FLUSHALL"], out),
        Op::FlushDb => words(dialect, &["FLUSHDB"], out),
        Op::Get { key } => words(dialect, &["GET", key], out),
        Op::GetDel { key } => words(dialect, &["GETDEL", key], out),
        Op::GetSet { key, value } => words(dialect, &["GETSET", key, value], out),
        Op::Keys { prefix } => words(dialect, &["KEYS", &format!("{prefix}*")], out),
        Op::MDel { keys } => several("DEL", keys, out),
        Op::MGet { keys } => several("MGET", keys, out),
        Op::MSet { keys, value } => set_all(dialect, "MSET", (keys, value), out),
        Op::MSetNx { keys, value } => set_all(dialect, "MSETNX", (keys, value), out),
        Op::Persist { key } => words(dialect, &["PERSIST", key], out),
        Op::Release { key, value, by_hash } => {
            scripts::encode(dialect, (scripts::RELEASE, *by_hash), &[key, value], out);
        }
        Op::Rename { from, to } => words(dialect, &["RENAME", from, to], out),
        Op::RenameNx { from, to } => words(dialect, &["RENAMENX", from, to], out),
        Op::Save => words(dialect, &["SAVE"], out),
        Op::Scan { cursor, count, prefix } => {
            let (cursor, count) = (cursor.to_string(), count.to_string());
            let pattern = format!("{prefix}*");
            let all = ["SCAN", &cursor, "COUNT", &count, "MATCH", &pattern];
            words(dialect, if prefix.is_empty() { &all[..4] } else { &all }, out);
        }
        Op::Set { key, value } => words(dialect, &["SET", key, value], out),
        Op::SetFor { key, value, for_ms } => {
            words(dialect, &["SET", key, value, "PX", &for_ms.to_string()], out);
        }
        Op::SetIf { key, value, condition, get } => {
            set_if(dialect, (key, value), condition, *get, out);
        }
        Op::SetNx { key, value } => words(dialect, &["SETNX", key, value], out),
        Op::Ttl { key } => words(dialect, &["PTTL", key], out),
        Op::Wait { replicas, for_ms } => {
            words(dialect, &["WAIT", &replicas.to_string(), &for_ms.to_string()], out);
        }
        Op::Both { .. }
        | Op::Discard { .. }
        | Op::GetBoth { .. }
        | Op::InOrder { .. }
        | Op::Swap { .. }
        | Op::Transact { .. }
        | Op::Unwatched { .. } => encode_transaction(dialect, op, out),
    }
}

fn set_all(dialect: Dialect, name: &str, (keys, value): (&[String], &str), out: &mut Vec<u8>) {
    let pairs = keys.iter().flat_map(|key| [&key[..], value]);
    let all: Vec<&str> = [name].into_iter().chain(pairs).collect();
    words(dialect, &all, out);
}

fn set_if(
    dialect: Dialect,
    (key, value): (&str, &str),
    condition: &Condition,
    get: bool,
    out: &mut Vec<u8>,
) {
    let mut all = vec!["SET", key, value];
    match condition {
        Condition::Absent => all.push("NX"),
        Condition::Different(other) => all.extend(["IFNE", other]),
        Condition::Equal(other) => all.extend(["IFEQ", other]),
        Condition::Present => all.push("XX"),
    }
    all.extend(get.then_some("GET"));
    words(dialect, &all, out);
}

fn encode_transaction(dialect: Dialect, op: &Op, out: &mut Vec<u8>) {
    match op {
        Op::Both { keys, value } => {
            let sets: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, value]).collect();
            transaction(dialect, &sets, out);
        }
        Op::Discard { key, value } => {
            words(dialect, &["MULTI"], out);
            words(dialect, &["SET", key, value], out);
            words(dialect, &["DISCARD"], out);
        }
        Op::Swap { key, value } => {
            words(dialect, &["WATCH", key], out);
            words(dialect, &["GET", key], out);
            transaction(dialect, &[vec!["SET", key, value]], out);
        }
        Op::Transact { watched, parts } => {
            if *watched {
                let keys = op.keys();
                words(dialect, &[&["WATCH"], &keys[..]].concat(), out);
                keys.into_iter().for_each(|key| words(dialect, &["GET", key], out));
            }
            queued(dialect, parts, out);
        }
        Op::InOrder { parts } => queued(dialect, parts, out),
        Op::Unwatched { key, value } => {
            words(dialect, &["WATCH", key], out);
            words(dialect, &["UNWATCH"], out);
            transaction(dialect, &[vec!["SET", key, value]], out);
        }
        _ => {
            let gets: Vec<Vec<&str>> = op.keys().into_iter().map(|key| vec!["GET", key]).collect();
            transaction(dialect, &gets, out);
        }
    }
}

fn queued(dialect: Dialect, parts: &[Part], out: &mut Vec<u8>) {
    words(dialect, &["MULTI"], out);
    parts.iter().for_each(|part| encode_part(dialect, part, out));
    words(dialect, &["EXEC"], out);
}

fn encode_part(dialect: Dialect, part: &Part, out: &mut Vec<u8>) {
    match part {
        Part::Add { key, by } => words(dialect, &["INCRBY", key, &by.to_string()], out),
        Part::Del { key } => words(dialect, &["DEL", key], out),
        Part::Get { key } => words(dialect, &["GET", key], out),
        Part::Set { key, value } => words(dialect, &["SET", key, value], out),
    }
}

fn transaction(dialect: Dialect, requests: &[Vec<&str>], out: &mut Vec<u8>) {
    words(dialect, &["MULTI"], out);
    requests.iter().for_each(|request| words(dialect, request, out));
    words(dialect, &["EXEC"], out);
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
    if let Op::Both { .. }
    | Op::Discard { .. }
    | Op::GetBoth { .. }
    | Op::InOrder { .. }
    | Op::Swap { .. }
    | Op::Transact { .. }
    | Op::Unwatched { .. } = op
    {
        return together::decode(dialect, op, bytes);
    }
    if op.prefix().is_some() {
        return pages::decode(dialect, op, bytes);
    }
    let shown = if op.runs_by_hash() { scripts::shown(dialect, bytes)? } else { 0 };
    let bytes = &bytes[shown..];
    let (reply, size) = match dialect {
        Dialect::Resp => resp(bytes)?,
        Dialect::Text => text(op, bytes)?,
    };
    Some((outcome(op, reply), shown + size))
}

fn outcome(op: &Op, reply: Reply) -> Outcome {
    let reply = match reply {
        Reply::Other(line) => {
            return error(op, line.trim_start_matches('-')).unwrap_or(Outcome::Wrong(line));
        }
        reply => reply,
    };
    let sum = matches!(op, Op::Add { .. } | Op::Append { .. } | Op::DbSize | Op::Ttl { .. });
    let most = match op {
        Op::Copy { .. } | Op::MSetNx { .. } | Op::RenameNx { .. } => 1,
        Op::Wait { .. } => NODES_MAX,
        _ => op.keys().len() as i64,
    };
    match (Kind::of(op), reply) {
        (Kind::Integer, Reply::Integer(count)) if sum || (0..=most).contains(&count) => {
            Outcome::Count(count)
        }
        (Kind::List, Reply::List(values)) if values.len() == op.keys().len() => {
            Outcome::List(values)
        }
        (Kind::Outcome, Reply::Ok) => Outcome::Done,
        (Kind::Outcome, Reply::Null) if matches!(op, Op::SetIf { .. }) => Outcome::NotSet,
        (Kind::Value, Reply::Bulk(value)) => Outcome::Value(value),
        (Kind::Value, Reply::Null) => Outcome::Missing,
        (_, other) => Outcome::Wrong(format!("{other:?}")),
    }
}

/// What an error says about a request; nothing if it is none that the request may have.
fn error(op: &Op, line: &str) -> Option<Outcome> {
    if *op == Op::DbSize {
        return None;
    }
    let batch = matches!(op, Op::GetBoth { .. } | Op::InOrder { .. } | Op::Transact { .. });
    let alone = op.is_read() && (op.key().is_some() || batch);
    let refused = match op {
        Op::Save => line.contains(SAVE_ERROR),
        _ if line.starts_with(NO_REPLICAS) => true,
        // Who reads from a majority may have to write back what it found.
        _ => line.starts_with(KEY_AHEAD) || (!op.is_read() && line.starts_with(CLOCK_ERROR)),
    };
    if refused {
        return Some(Outcome::Refused);
    }
    if line.starts_with(IN_DOUBT) && !alone {
        return Some(Outcome::InDoubt);
    }
    if matches!(op, Op::Rename { .. } | Op::RenameNx { .. }) && line == NO_SUCH_KEY {
        return Some(Outcome::Missing);
    }
    (matches!(op, Op::Add { .. }) && line.starts_with(NOT_NUMBER)).then_some(Outcome::NotNumber)
}

/// Takes the reply to SELECT: whether it was accepted, and its size.
#[must_use]
pub fn decode_select(dialect: Dialect, bytes: &[u8]) -> Option<(bool, usize)> {
    let (outcome, size) = decode(dialect, &Op::FlushDb, bytes)?;
    Some((outcome == Outcome::Done, size))
}

/// What kind of reply a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    List,
    Outcome,
    Value,
}

impl Kind {
    const fn of(op: &Op) -> Self {
        match op {
            Op::Add { .. }
            | Op::Append { .. }
            | Op::Copy { .. }
            | Op::DbSize
            | Op::Del { .. }
            | Op::Exists { .. }
            | Op::Expire { get: false, .. }
            | Op::Extend { .. }
            | Op::MDel { .. }
            | Op::MSetNx { .. }
            | Op::Persist { .. }
            | Op::Release { .. }
            | Op::RenameNx { .. }
            | Op::SetNx { .. }
            | Op::Ttl { .. }
            | Op::Wait { .. } => Self::Integer,
            Op::GetBoth { .. }
            | Op::InOrder { .. }
            | Op::Keys { .. }
            | Op::MGet { .. }
            | Op::Scan { .. }
            | Op::Transact { .. } => Self::List,
            Op::Both { .. }
            | Op::Discard { .. }
            | Op::FlushAll
            | Op::FlushDb
            | Op::MSet { .. }
            | Op::Rename { .. }
            | Op::Save
            | Op::Set { .. }
            | Op::SetFor { .. }
            | Op::SetIf { get: false, .. }
            | Op::Unwatched { .. } => Self::Outcome,
            Op::Expire { .. }
            | Op::Get { .. }
            | Op::GetDel { .. }
            | Op::GetSet { .. }
            | Op::SetIf { .. }
            | Op::Swap { .. } => Self::Value,
        }
    }
}

#[derive(Debug)]
enum Reply {
    Bulk(Vec<u8>),
    Integer(i64),
    List(Vec<Option<Vec<u8>>>),
    Null,
    Ok,
    Other(String),
}

fn words(dialect: Dialect, words: &[&str], out: &mut Vec<u8>) {
    match dialect {
        Dialect::Resp => {
            head(b'*', words.len(), out);
            for word in words {
                head(b'$', word.len(), out);
                out.extend_from_slice(word.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        Dialect::Text => {
            out.extend_from_slice(words.join(" ").as_bytes());
            out.push(b'\n');
        }
    }
}

/// How many words come, or bytes.
fn head(mark: u8, count: usize, out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(count.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
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
        (Some(b'*'), Some(count @ 0..)) => return resp_list(bytes, size, count as usize),
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

fn resp_list(bytes: &[u8], head: usize, count: usize) -> Option<(Reply, usize)> {
    let (mut values, mut at) = (Vec::new(), head);
    for _ in 0..count {
        let (reply, size) = resp(&bytes[at..])?;
        at += size;
        values.push(match reply {
            Reply::Bulk(value) => Some(value),
            Reply::Null => None,
            other => return Some((Reply::Other(format!("{other:?}")), at)),
        });
    }
    Some((Reply::List(values), at))
}

/// Text replies look alike; what was asked tells them apart.
fn text(op: &Op, bytes: &[u8]) -> Option<(Reply, usize)> {
    let (first, size) = line(bytes, b"\n")?;
    let other = || Reply::Other(first.to_owned());
    let value = |line: &str| (line != NOT_FOUND).then(|| line.as_bytes().to_vec());
    let reply = match Kind::of(op) {
        _ if ["ERR ", IN_DOUBT, NO_REPLICAS].iter().any(|code| first.starts_with(code)) => other(),
        Kind::Integer => first.parse().map_or_else(|_| other(), Reply::Integer),
        Kind::List => return text_list(bytes, value),
        Kind::Outcome if first == "OK" => Reply::Ok,
        Kind::Outcome if first == NOT_SET => Reply::Null,
        Kind::Outcome => other(),
        Kind::Value => value(first).map_or(Reply::Null, Reply::Bulk),
    };
    Some((reply, size))
}

fn text_list(bytes: &[u8], value: impl Fn(&str) -> Option<Vec<u8>>) -> Option<(Reply, usize)> {
    let (mut values, mut at) = (Vec::new(), 0);
    loop {
        let (next, size) = line(&bytes[at..], b"\n")?;
        at += size;
        if next == LIST_END {
            return Some((Reply::List(values), at));
        }
        values.push(value(next));
    }
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
            Step { at_ms: 0, client: 0, node: 0, fresh: false, ops, db: None, torn }
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
    fn errors_of_the_strong_database_tell_what_is_certain() {
        let set = Op::Set { key: "k".to_owned(), value: "v1".to_owned() };
        let told = |op: &Op, reply: &str| {
            let resp = decode(Dialect::Resp, op, format!("-{reply}\r\n").as_bytes());
            let text = decode(Dialect::Text, op, format!("{reply}\n").as_bytes());
            // What neither understands is repeated in its own style.
            let kind = |reply: &Option<(Outcome, usize)>| {
                reply.as_ref().map(|reply| std::mem::discriminant(&reply.0))
            };
            assert_eq!(kind(&resp), kind(&text));
            resp.expect("whole").0
        };
        assert_eq!(told(&set, "INDOUBT the write may"), Outcome::InDoubt);
        assert_eq!(told(&set, "NOREPLICAS need 2"), Outcome::Refused);
        assert_eq!(told(&get(), "NOREPLICAS need 2"), Outcome::Refused);
        assert!(matches!(told(&get(), "INDOUBT the write may"), Outcome::Wrong(_)));
        let add = Op::Add { key: "k".to_owned(), by: 1 };
        assert_eq!(told(&add, "ERR value is not an integer or"), Outcome::NotNumber);
        assert!(matches!(told(&set, "ERR value is not an integer"), Outcome::Wrong(_)));
    }

    #[test]
    fn lists_in_both_dialects() {
        let op = Op::MGet { keys: ["j", "k"].map(str::to_owned).to_vec() };
        let list = Some(Outcome::List(vec![None, Some(b"v1".to_vec())]));
        let resp = b"*2\r\n$-1\r\n$2\r\nv1\r\n";
        for cut in 0..resp.len() {
            assert_eq!(decode(Dialect::Resp, &op, &resp[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode(Dialect::Resp, &op, resp), list.clone().zip(Some(resp.len())));
        let text = b"Not Found\nv1\nEND\n";
        assert_eq!(decode(Dialect::Text, &op, text), list.zip(Some(text.len())));
        assert_eq!(decode(Dialect::Text, &op, &text[..15]), None);
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
