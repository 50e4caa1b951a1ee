//! The client protocols: bytes in, one borrowed request at a time; replies out.
//!
//! Owns what both dialects share: the request's arguments, the memory they need, and the choice of
//! the dialect. A request that starts with `*` is a RESP2 array ([`resp`]), anything else is a line
//! of text ([`text`]). Replies are written by [`reply`], for machines or for people.
//!
//! Parsing borrows, allocates nothing once its [`Workspace`] is warm, does not recurse, and looks
//! at each byte of an unfinished request at most twice however it is cut ([`Progress`]). What a
//! step says depends on the bytes alone, never on how they were cut. It refuses to know commands,
//! databases and connections; declared sizes are checked against [`Limits`] before a byte is kept
//! for them. `consumed` is never zero and never more than there is.

#![deny(clippy::indexing_slicing)]

pub mod peer;
pub mod reply;
pub mod resp;
pub mod text;

mod stored;

pub use stored::Stored;

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::limits::Limits;

/// Arguments that a workspace keeps room for between requests.
const SPANS_KEPT: usize = 1024;
/// Unescaped bytes that a workspace keeps room for between requests.
const UNESCAPED_KEPT: usize = 64 * 1024;

/// Finds the first request in `buf`, which is not empty and starts where a request starts.
///
/// `eof` says that nothing will follow, which ends a text line. After [`Step::Incomplete`] the
/// caller comes back with the same bytes, more behind them, and the same `progress`; after any
/// other step `progress` is as new.
pub fn next_request<'a>(
    buf: &'a [u8],
    dialect: Dialect,
    eof: bool,
    limits: &Limits,
    workspace: &'a mut Workspace,
    progress: &mut Progress,
) -> Step<'a> {
    workspace.clear();
    let resumed = std::mem::take(progress);
    match (buf.first(), dialect) {
        (None, _) => Step::Incomplete { need: 1 },
        (Some(b'*'), Dialect::Detect | Dialect::Resp) => {
            resp::next_frame(buf, limits, workspace, resumed, progress)
        }
        (Some(&text::TLS_HANDSHAKE), Dialect::Detect) => {
            Step::Broken { error: RequestError::Tls, style: Style::Plain }
        }
        (Some(_), _) => {
            text::next_line(buf, dialect, eof, limits, workspace, resumed.pos, progress)
        }
    }
}

/// How a connection's requests are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// By the first byte of each; a line's terminator decides the style of its reply.
    #[default]
    Detect,
    /// As Redis does: `*` starts an array, anything else is an inline command, and all replies are
    /// RESP.
    Resp,
    /// Every request is a line, even one that starts with `*`, and all replies are plain.
    Text,
}

/// For whom a reply is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// People and shell scripts: lines without framing.
    Plain,
    /// Clients that speak RESP2.
    Resp,
    /// Clients that have said HELLO 3.
    Resp3,
}

impl Style {
    /// The style that answers a line ended by CRLF (`crlf`) or by anything else.
    #[must_use]
    pub const fn of_line(dialect: Dialect, crlf: bool) -> Self {
        match dialect {
            Dialect::Detect if crlf => Self::Resp,
            Dialect::Detect | Dialect::Text => Self::Plain,
            Dialect::Resp => Self::Resp,
        }
    }
}

/// What the start of a buffer turned out to be.
#[derive(Debug)]
pub enum Step<'a> {
    /// The stream can't be trusted from here on: one error, then close.
    Broken {
        /// What is wrong.
        error: RequestError,
        /// How to say so.
        style: Style,
    },
    /// A request of at least one argument.
    Complete {
        /// The command's name and its arguments.
        args: Args<'a>,
        /// Bytes that it took.
        consumed: usize,
        /// How to answer.
        style: Style,
    },
    /// Nothing new can be said before the buffer holds `need` bytes.
    Incomplete {
        /// More than the buffer holds now.
        need: usize,
    },
    /// A line over its limit: to be dropped up to its LF, which then shows in which style to
    /// answer.
    Overlong,
    /// One line is no request; the next may be.
    Reject {
        /// What is wrong.
        error: RequestError,
        /// Bytes that it took.
        consumed: usize,
        /// How to say so.
        style: Style,
    },
    /// Nothing to answer: an empty line, or an array without elements.
    Skip {
        /// Bytes that it took.
        consumed: usize,
    },
}

/// What is known of an unfinished request, so that no byte is looked at again for each byte that
/// arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Of a line: bytes without LF. Of an array: bytes found well formed, up to the start of an
    /// element.
    pos: usize,
    /// Elements of an array from `pos` on; zero for a line, and for an array whose count is not
    /// known.
    missing: usize,
}

/// A request's arguments, borrowed from the input, or from a [`Workspace`] if they had to be
/// unescaped.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    /// Each lies within `buf`.
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many arguments there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`, if there is one.
    #[must_use]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| span.of(self.buf))
    }

    /// The arguments in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        self.spans.iter().map(move |span| span.of(self.buf))
    }

    /// The arguments two by two; a last one without a second is left out.
    pub fn pairs(self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let pairs = self.spans.as_chunks::<2>().0.iter();
        pairs.map(move |[first, second]| (first.of(self.buf), second.of(self.buf)))
    }

    /// The arguments without the first `count`.
    #[must_use]
    pub fn from(self, count: usize) -> Self {
        Self { spans: self.spans.get(count..).unwrap_or_default(), ..self }
    }

    /// The first `count` arguments, or all if there are fewer.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        let count = count.min(self.spans.len());
        Self { spans: self.spans.get(..count).unwrap_or_default(), ..self }
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Escaped)).finish()
    }
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

/// Where an argument's bytes are.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of(self, buf: &[u8]) -> &[u8] {
        let bytes = buf.get(self.start..self.end);
        debug_assert!(bytes.is_some(), "an argument lies within its buffer");
        bytes.unwrap_or_default()
    }
}

/// Memory for one request's arguments, used again for the next request of any connection.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    spans: Vec<Span>,
    unescaped: Vec<u8>,
}

/// Nothing in it outlives a request.
impl Hash for Workspace {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Workspace {
    /// An empty workspace, which allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { spans: Vec::new(), unescaped: Vec::new() }
    }

    /// Forgets the last request, and gives memory back if that was a huge one.
    fn clear(&mut self) {
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        self.unescaped.clear();
        self.unescaped.shrink_to(UNESCAPED_KEPT);
    }
}

/// What is wrong with bytes that should be a request. The words are Redis' where it has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// A line of more than `max` words.
    ArgumentCount {
        /// [`Limits::args_max`].
        max: usize,
    },
    /// The bytes behind a bulk string are not CRLF.
    BulkEnd,
    /// The line with a bulk string's length does not end.
    BulkHeader,
    /// A bulk string's length is negative or no number.
    BulkLength,
    /// An element of a request is not a bulk string but starts with this byte.
    BulkSigil(u8),
    /// What browsers send when a web page makes them talk to this port.
    Http,
    /// A line of more than `max` bytes.
    LineSize {
        /// [`Limits::line_size_max`].
        max: usize,
    },
    /// More than `max` elements.
    MultibulkCount {
        /// [`Limits::args_max`].
        max: usize,
    },
    /// The line with an array's count does not end.
    MultibulkHeader,
    /// An array's count is no number.
    MultibulkLength,
    /// A quote is not closed, or closed within a word.
    Quotes,
    /// The declared sizes make a request of more than `max` bytes.
    RequestSize {
        /// [`Limits::request_size_max`].
        max: usize,
    },
    /// A TLS handshake.
    Tls,
}

impl RequestError {
    /// What a person may do about it.
    #[must_use]
    pub const fn hint(self) -> Option<&'static str> {
        match self {
            Self::Quotes => {
                Some("close each quote and put a space behind it; \\\" is a quote within quotes")
            }
            Self::ArgumentCount { .. }
            | Self::BulkEnd
            | Self::BulkHeader
            | Self::BulkLength
            | Self::BulkSigil(_)
            | Self::Http
            | Self::LineSize { .. }
            | Self::MultibulkCount { .. }
            | Self::MultibulkHeader
            | Self::MultibulkLength
            | Self::RequestSize { .. }
            | Self::Tls => None,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match *self {
            Self::ArgumentCount { max } => {
                write!(f, "too many arguments; a request has at most {max}")
            }
            Self::BulkEnd => f.write_str("expected CRLF after a bulk string"),
            Self::BulkHeader => f.write_str("too big bulk count string"),
            Self::BulkLength => f.write_str("invalid bulk length"),
            // As Redis shows an end of a line in an error.
            Self::BulkSigil(b'\r' | b'\n') => f.write_str("expected '$', got ' '"),
            Self::BulkSigil(got) => write!(f, "expected '$', got '{}'", got.escape_ascii()),
            Self::Http => f.write_str("this looks like an HTTP request"),
            Self::LineSize { max } => {
                write!(f, "too big inline request; a line has at most {max} bytes")
            }
            Self::MultibulkCount { max } => {
                write!(f, "invalid multibulk length; a request has at most {max} arguments")
            }
            Self::MultibulkHeader => f.write_str("too big mbulk count string"),
            Self::MultibulkLength => f.write_str("invalid multibulk length"),
            Self::Quotes => f.write_str("unbalanced quotes in request"),
            Self::RequestSize { max } => {
                write!(f, "invalid bulk length; a request has at most {max} bytes")
            }
            Self::Tls => f.write_str("TLS is not offered on this port"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Reads an integer as strictly as Redis reads one in its protocol: no plus, no spaces, no leading
/// zero.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Gathered below zero, where there is one number more.
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};

    use super::*;

    #[test]
    fn integers_are_strict() {
        let bounds = [i64::MIN, i64::MIN + 1, -10, -1, 0, 1, 9, 10, i64::MAX];
        for value in bounds {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        let refused = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
        ];
        for text in refused {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_huge_request_does_not_stay_in_memory() {
        let mut workspace = Workspace::new();
        let line = [b"a ".repeat(20_000), b"\n".to_vec()].concat();
        let step = next_request(
            &line,
            Dialect::Detect,
            false,
            &Limits::DEFAULT,
            &mut workspace,
            &mut Progress::default(),
        );
        assert!(matches!(step, Step::Complete { args, .. } if args.len() == 20_000));
        workspace.clear();
        assert!(workspace.spans.capacity() <= SPANS_KEPT);
    }

    #[test]
    fn tls_is_told_apart_only_where_the_dialect_is_open() {
        let hello = b"\x16\x03\x01\n";
        let mut workspace = Workspace::new();
        let mut step = |dialect| {
            let limits = Limits::DEFAULT;
            let progress = &mut Progress::default();
            match next_request(hello, dialect, false, &limits, &mut workspace, progress) {
                Step::Broken { error, .. } => Some(error),
                _ => None,
            }
        };
        assert_eq!(step(Dialect::Detect), Some(RequestError::Tls));
        assert_eq!(step(Dialect::Resp), None);
        assert_eq!(step(Dialect::Text), None);
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_taken_apart_without_panic(
            bytes in prop::collection::vec(
                proptest::prop_oneof![any::<u8>(), prop::sample::select(&b"**$$0123-\r\n\r\n \"'\\xPOSt"[..])],
                0..300,
            ),
            dialect in prop::sample::select(vec![Dialect::Detect, Dialect::Resp, Dialect::Text]),
            eof: bool,
            small: bool,
        ) {
            let mut limits = Limits::DEFAULT;
            if small {
                (limits.args_max, limits.line_size_max, limits.request_size_max) = (3, 20, 60);
            }
            let mut workspace = Workspace::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let progress = &mut Progress::default();
                let consumed = match next_request(rest, dialect, eof, &limits, &mut workspace, progress) {
                    Step::Complete { args, consumed, .. } => {
                        assert!(!args.is_empty() && args.len() <= limits.args_max);
                        consumed
                    }
                    Step::Reject { consumed, .. } | Step::Skip { consumed } => consumed,
                    Step::Incomplete { need } => {
                        assert!(need > rest.len());
                        break;
                    }
                    Step::Overlong => {
                        assert!(rest.len() > limits.line_size_max);
                        break;
                    }
                    Step::Broken { .. } => break,
                };
                assert!(consumed > 0 && consumed <= rest.len());
                rest = rest.split_at(consumed).1;
            }
        }
    }
}
