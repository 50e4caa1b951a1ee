//! A reply: what RESP2 and RESP3 can say, read from a stream.
//!
//! Whoever answers is not trusted: lines, strings and nesting have limits, and nothing is reserved
//! for what was only announced.

use std::io::{self, BufRead, Read as _};

/// A longer line is no reply.
const LINE_SIZE_MAX: u64 = 64 * 1024;
/// Redis' own limit of a string, so that its replies can be read too.
pub(in crate::cli) const BULK_SIZE_MAX: u64 = 512 * 1024 * 1024;
/// Aggregates within aggregates: COMMAND and COMMAND DOCS of Redis need less than ten.
const DEPTH_MAX: usize = 32;
/// Elements of one aggregate.
const ELEMENTS_MAX: u64 = 16 * 1024 * 1024;

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Value {
    Array(Vec<Self>),
    /// An integer of any size, in digits.
    BigNumber(String),
    Boolean(bool),
    Bulk(Vec<u8>),
    /// As it was written: every digit is shown.
    Double(String),
    Error(String),
    Integer(i64),
    Map(Vec<(Self, Self)>),
    Null,
    /// Not the answer to a request.
    Push(Vec<Self>),
    Set(Vec<Self>),
    Simple(String),
    /// Text for people, without the three letters that say how it is written.
    Verbatim(Vec<u8>),
}

impl Value {
    /// Reads the next value.
    ///
    /// # Errors
    /// If the stream fails or ends, or what it says is no RESP.
    pub(in crate::cli) fn read(stream: &mut impl BufRead) -> io::Result<Self> {
        read(stream, DEPTH_MAX)
    }

    /// The text of an error reply.
    pub(in crate::cli) fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// A string, whatever kind of one.
    pub(in crate::cli) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim(bytes) => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// What a map, or a flat list in its place, holds under a name.
    pub(in crate::cli) fn field(&self, name: &str) -> Option<&Self> {
        let is = |key: &Self| key.text() == Some(name.as_bytes());
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| is(key)).map(|(_, value)| value),
            Self::Array(elements) => elements.chunks_exact(2).find_map(|pair| match pair {
                [key, value] if is(key) => Some(value),
                _ => None,
            }),
            _ => None,
        }
    }
}

fn read(stream: &mut impl BufRead, depth: usize) -> io::Result<Value> {
    let line = read_line(stream)?;
    let (kind, rest) = line.split_first().ok_or_else(|| broken("an empty line"))?;
    Ok(match kind {
        b'+' => Value::Simple(text(rest)),
        b'-' => Value::Error(text(rest)),
        b':' => Value::Integer(number(rest)?),
        b'_' => Value::Null,
        b',' => Value::Double(text(rest)),
        b'(' => Value::BigNumber(text(rest)),
        b'#' => Value::Boolean(match rest {
            b"t" => true,
            b"f" => false,
            _ => return Err(broken("a boolean that is none")),
        }),
        b'$' => match read_bulk(stream, rest)? {
            Some(bytes) => Value::Bulk(bytes),
            None => Value::Null,
        },
        b'!' => match read_bulk(stream, rest)? {
            Some(bytes) => Value::Error(text(&bytes)),
            None => Value::Null,
        },
        b'=' => match read_bulk(stream, rest)? {
            // "txt:", "mkd:".
            Some(bytes) => Value::Verbatim(bytes.get(4..).unwrap_or_default().to_vec()),
            None => Value::Null,
        },
        b'*' | b'~' | b'>' | b'%' | b'|' => return read_aggregate(stream, *kind, rest, depth),
        _ => return Err(broken("no RESP")),
    })
}

fn read_aggregate(
    stream: &mut impl BufRead,
    kind: u8,
    count: &[u8],
    depth: usize,
) -> io::Result<Value> {
    let depth = depth.checked_sub(1).ok_or_else(|| broken("too many lists within lists"))?;
    let count = number(count)?;
    // RESP2's way to say that there is no list.
    if count == -1 {
        return Ok(Value::Null);
    }
    let count = u64::try_from(count).ok().filter(|count| *count <= ELEMENTS_MAX);
    let count = count.ok_or_else(|| broken("a list of an impossible length"))?;
    if matches!(kind, b'%' | b'|') {
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((read(stream, depth)?, read(stream, depth)?));
        }
        // Attributes stand before the value that they are about, and change nothing of it.
        return if kind == b'|' { read(stream, depth) } else { Ok(Value::Map(pairs)) };
    }
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(read(stream, depth)?);
    }
    Ok(match kind {
        b'~' => Value::Set(elements),
        b'>' => Value::Push(elements),
        _ => Value::Array(elements),
    })
}

fn read_bulk(stream: &mut impl BufRead, size: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let size = number(size)?;
    if size == -1 {
        return Ok(None);
    }
    let size = u64::try_from(size).ok().filter(|size| *size <= BULK_SIZE_MAX);
    let size = size.ok_or_else(|| broken("a string of an impossible length"))?;
    let mut bytes = Vec::new();
    stream.take(size + 2).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size + 2 {
        return Err(closed());
    }
    if !bytes.ends_with(b"\r\n") {
        return Err(broken("a string that does not end where it says"));
    }
    bytes.truncate(bytes.len() - 2);
    Ok(Some(bytes))
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(LINE_SIZE_MAX).read_until(b'\n', &mut line)?;
    if line.strip_suffix(b"\r\n").is_some() {
        line.truncate(line.len() - 2);
        return Ok(line);
    }
    Err(if line.len() as u64 == LINE_SIZE_MAX { broken("a line without an end") } else { closed() })
}

fn number(digits: &[u8]) -> io::Result<i64> {
    let parsed = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| broken("a number that is none"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the reply is {what}"))
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed the connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        let cases: &[(&str, Value)] = &[
            ("+OK\r\n", Value::Simple("OK".to_owned())),
            ("-ERR no\r\n", Value::Error("ERR no".to_owned())),
            (":-7\r\n", Value::Integer(-7)),
            ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Value::Null),
            ("*-1\r\n", Value::Null),
            ("_\r\n", Value::Null),
            (",3.10\r\n", Value::Double("3.10".to_owned())),
            ("#t\r\n", Value::Boolean(true)),
            ("#f\r\n", Value::Boolean(false)),
            ("(12345678901234567890\r\n", Value::BigNumber("12345678901234567890".to_owned())),
            ("=5\r\ntxt:a\r\n", Value::Verbatim(b"a".to_vec())),
            ("!5\r\nERR b\r\n", Value::Error("ERR b".to_owned())),
            ("*2\r\n:1\r\n*0\r\n", Value::Array(vec![Value::Integer(1), Value::Array(vec![])])),
            ("%1\r\n+a\r\n:1\r\n", {
                Value::Map(vec![(Value::Simple("a".to_owned()), Value::Integer(1))])
            }),
            ("~1\r\n:1\r\n", Value::Set(vec![Value::Integer(1)])),
            (">1\r\n:1\r\n", Value::Push(vec![Value::Integer(1)])),
            ("|1\r\n+ttl\r\n:9\r\n:1\r\n", Value::Integer(1)),
        ];
        for (bytes, expected) in cases {
            let mut stream = bytes.as_bytes();
            assert_eq!(Value::read(&mut stream).expect(bytes), *expected, "{bytes:?}");
            assert!(stream.is_empty(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
        let long = "+".to_owned() + &"a".repeat(LINE_SIZE_MAX as usize);
        for bytes in [
            "",
            "\r\n",
            "+OK\n",
            "+OK",
            ":x\r\n",
            "$5\r\nab\r\n",
            "$2\r\nabcd",
            "$-2\r\n",
            "$99999999999\r\n",
            "*99999999999\r\n",
            "*2\r\n:1\r\n",
            "#x\r\n",
            "HTTP/1.1 400\r\n",
            &deep,
            &long,
        ] {
            assert!(Value::read(&mut bytes.as_bytes()).is_err(), "{bytes:.40?}");
        }
    }

    #[test]
    fn fields_are_found_in_maps_and_flat_lists() {
        let pair = (bulk("proto"), Value::Integer(3));
        let flat = Value::Array(vec![bulk("a"), bulk("b"), pair.0.clone(), pair.1.clone()]);
        for value in [Value::Map(vec![pair]), flat] {
            assert_eq!(value.field("proto"), Some(&Value::Integer(3)));
            assert_eq!(value.field("b"), None);
        }
    }
}
