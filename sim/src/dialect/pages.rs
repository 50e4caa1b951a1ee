//! Replies to SCAN and KEYS: keys, and where to go on.

use super::{LIST_END, Reply, line, resp, text_list};
use crate::{
    case::{Dialect, Op},
    history::Outcome,
};

/// Takes the reply from the front of `bytes`. A node never refuses to look at its own copy.
pub(super) fn decode(dialect: Dialect, op: &Op, bytes: &[u8]) -> Option<(Outcome, usize)> {
    let goes_on = matches!(op, Op::Scan { .. });
    let (next, list, size) = match dialect {
        Dialect::Resp => of_resp(goes_on, bytes)?,
        Dialect::Text => of_text(goes_on, bytes)?,
    };
    let outcome = match (next, list) {
        (Ok(next), Reply::List(keys)) if keys.iter().all(Option::is_some) => {
            Outcome::Page { next, keys: keys.into_iter().flatten().collect() }
        }
        (Ok(_), other) => Outcome::Wrong(format!("{other:?}")),
        (Err(wrong), _) => Outcome::Wrong(wrong),
    };
    Some((outcome, size))
}

/// Where to go on or what stands there instead, the keys, and the size of all of it.
type Parts = (Result<u64, String>, Reply, usize);

fn of_resp(goes_on: bool, bytes: &[u8]) -> Option<Parts> {
    if !goes_on {
        return resp(bytes).map(|(list, size)| (Ok(0), list, size));
    }
    let (head, mut size) = line(bytes, b"\r\n")?;
    if head != "*2" {
        return Some((Err(head.to_owned()), Reply::Null, size));
    }
    let (cursor, more) = resp(&bytes[size..])?;
    size += more;
    let (list, more) = resp(&bytes[size..])?;
    let next = match cursor {
        Reply::Bulk(text) => number(&String::from_utf8_lossy(&text)),
        other => Err(format!("{other:?}")),
    };
    Some((next, list, size + more))
}

fn of_text(goes_on: bool, bytes: &[u8]) -> Option<Parts> {
    let (first, head) = line(bytes, b"\n")?;
    if first.starts_with("ERR ") {
        return Some((Err(first.to_owned()), Reply::Null, head));
    }
    let key = |line: &str| Some(line.as_bytes().to_vec());
    if !goes_on {
        return text_list(bytes, key).map(|(list, size)| (Ok(0), list, size));
    }
    let next = number(first);
    if next.is_err() {
        return Some((next, Reply::Null, head));
    }
    let (list, more) = text_list(&bytes[head..], key)?;
    let (end, last) = line(&bytes[head + more..], b"\n")?;
    let next = if end == LIST_END { next } else { Err(end.to_owned()) };
    Some((next, list, head + more + last))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::encode;

    fn scan(cursor: u64, prefix: &str) -> Op {
        Op::Scan { cursor, count: 7, prefix: prefix.to_owned() }
    }

    #[test]
    fn a_scan_goes_on_where_it_is_told_to() {
        let mut out = Vec::new();
        encode(Dialect::Text, &scan(5, ""), &mut out);
        encode(Dialect::Text, &scan(0, "hot"), &mut out);
        encode(Dialect::Text, &Op::Keys { prefix: String::new() }, &mut out);
        assert_eq!(out, b"SCAN 5 COUNT 7\nSCAN 0 COUNT 7 MATCH hot*\nKEYS *\n");
    }

    #[test]
    fn pages_in_both_dialects_come_whole_or_not_at_all() {
        let page = |next| Outcome::Page { next, keys: vec![b"a".to_vec(), b"b".to_vec()] };
        for (dialect, op, bytes, next) in [
            (
                Dialect::Resp,
                scan(0, ""),
                &b"*2\r\n$2\r\n77\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"[..],
                77,
            ),
            (Dialect::Text, scan(0, ""), b"77\na\nb\nEND\nEND\n", 77),
            (Dialect::Resp, Op::Keys { prefix: String::new() }, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", 0),
            (Dialect::Text, Op::Keys { prefix: String::new() }, b"a\nb\nEND\n", 0),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(decode(dialect, &op, &bytes[..cut]), None, "cut at {cut}");
            }
            assert_eq!(decode(dialect, &op, bytes), Some((page(next), bytes.len())));
        }
        let empty = Outcome::Page { next: 0, keys: Vec::new() };
        let reply = b"*2\r\n$1\r\n0\r\n*0\r\n";
        assert_eq!(decode(Dialect::Resp, &scan(0, ""), reply), Some((empty, reply.len())));
    }

    #[test]
    fn a_refusal_is_no_page() {
        for (dialect, bytes) in [
            (Dialect::Resp, &b"-ERR x\r\n"[..]),
            (Dialect::Text, b"ERR x\n"),
            (Dialect::Text, b"x\n"),
        ] {
            assert!(matches!(decode(dialect, &scan(0, ""), bytes), Some((Outcome::Wrong(_), _))));
        }
    }
}
