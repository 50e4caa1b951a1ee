//! Replies: the same answer as exact RESP2 or RESP3 for clients, or as plain lines for people and
//! shell scripts.
//!
//! | reply    | RESP                  | plain                                          |
//! |----------|-----------------------|------------------------------------------------|
//! | done     | `+OK`                 | `OK`                                           |
//! | value    | `$5`, bytes           | the bytes as a line, quoted where that misleads |
//! | absent   | `$-1`, in RESP3 `_`   | `Not Found`, `Not Set`                         |
//! | number   | `:5`                  | `5`                                            |
//! | list     | `*2`, elements        | a line for each, then `END`                    |
//! | map      | `*4`, in RESP3 `%2`   | a line for each key and value, then `END`      |
//! | text     | `$90`, bytes          | the lines, then `END`                          |
//! | error    | `-ERR ...`            | `ERR ...`                                      |
//!
//! Plain lines can be told apart: a value that is not one printable line, or that reads like
//! another reply, is quoted so that [`super::text`] reads the same bytes back. An error is always
//! one line. Nothing here allocates but the output itself.

#![deny(clippy::indexing_slicing)]

use std::fmt::{self, Display, Write};

use super::Style;
use crate::buffer::OutBuf;

/// Replies that are a word and no value.
const REPLY_WORDS: [&[u8]; 6] = [b"END", b"Not Found", b"Not Set", b"OK", b"PONG", b"QUEUED"];
/// The first word of every error. [`ReplyWriter::error`] writes no other.
const ERROR_CODES: [&[u8]; 15] = [
    b"CROSSSLOT",
    b"ERR",
    b"EXECABORT",
    b"INDOUBT",
    b"LOADING",
    b"NOAUTH",
    b"NOPERM",
    b"NOPROTO",
    b"NOREPLICAS",
    b"NOSCRIPT",
    b"OOM",
    b"READONLY",
    b"TRYAGAIN",
    b"WRONGPASS",
    b"WRONGTYPE",
];
/// How deep lists nest: COMMAND DOCS does not need more.
const DEPTH_MAX: usize = 6;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends replies in one style to an output.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    out: &'a mut OutBuf,
    style: Style,
    /// Elements that each open plain list still waits for before its `END`, and how many are open.
    missing: [usize; DEPTH_MAX],
    depth: usize,
}

impl<'a> ReplyWriter<'a> {
    /// A writer to `out`.
    pub const fn new(out: &'a mut OutBuf, style: Style) -> Self {
        Self { out, style, missing: [0; DEPTH_MAX], depth: 0 }
    }

    /// The style of the replies.
    #[must_use]
    pub const fn style(&self) -> Style {
        self.style
    }

    /// The command was carried out.
    pub fn ok(&mut self) {
        self.simple("OK");
    }

    /// A word or line of our own, without control characters.
    pub fn simple(&mut self, line: &str) {
        debug_assert!(!line.chars().any(char::is_control), "a simple reply is one line");
        match self.style {
            Style::Plain => self.plain_line(line.as_bytes()),
            Style::Resp | Style::Resp3 => {
                self.out.push(b'+');
                self.out.extend(line.as_bytes());
                self.out.extend(b"\r\n");
            }
        }
    }

    /// A value.
    pub fn bulk(&mut self, value: &[u8]) {
        match self.style {
            Style::Plain if is_plain(value) => self.plain_line(value),
            Style::Plain => {
                quote(value, self.out.tail());
                self.plain_line(b"");
            }
            Style::Resp | Style::Resp3 => {
                self.header(b'$', value.len() as u64);
                self.out.extend(value);
                self.out.extend(b"\r\n");
            }
        }
    }

    /// There is no value.
    pub fn null(&mut self) {
        self.absent(b"Not Found");
    }

    /// A condition failed and nothing was written; for clients the same as [`ReplyWriter::null`].
    pub fn not_set(&mut self) {
        self.absent(b"Not Set");
    }

    /// There is no list; for people the same as [`ReplyWriter::not_set`].
    pub fn null_list(&mut self) {
        if self.style == Style::Resp {
            self.out.extend(b"*-1\r\n");
        } else {
            self.not_set();
        }
    }

    /// A number.
    pub fn integer(&mut self, value: i64) {
        if self.style != Style::Plain {
            self.out.push(b':');
        }
        if value < 0 {
            self.out.push(b'-');
        }
        self.out.extend(Decimal::of(value.unsigned_abs()).digits());
        match self.style {
            Style::Plain => self.plain_line(b""),
            Style::Resp | Style::Resp3 => self.out.extend(b"\r\n"),
        }
    }

    /// An error: a text that starts with its code, such as `ERR`. Line ends in it become spaces.
    pub fn error(&mut self, error: impl Display) {
        if self.style != Style::Plain {
            self.out.push(b'-');
        }
        let out = self.out.tail();
        let start = out.len();
        let written = write!(OneLine(out), "{error}");
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        debug_assert!(
            out.get(start..).is_some_and(starts_with_code),
            "an error starts with a code"
        );
        match self.style {
            Style::Plain => self.plain_line(b""),
            Style::Resp | Style::Resp3 => self.out.extend(b"\r\n"),
        }
    }

    /// An error, and for people what they can do about it.
    pub fn error_with_hint(&mut self, error: impl Display, hint: impl Display) {
        match self.style {
            Style::Plain => self.error(format_args!("{error}; {hint}")),
            Style::Resp | Style::Resp3 => self.error(error),
        }
    }

    /// A list of `count` elements, which the caller writes next.
    pub fn array(&mut self, count: usize) {
        self.list(b'*', count, count);
    }

    /// A list of `count` elements that were written in this style before.
    pub fn array_of(&mut self, count: usize, elements: &[u8]) {
        match self.style {
            Style::Plain => {
                self.out.extend(elements);
                self.plain_line(b"END");
            }
            Style::Resp | Style::Resp3 => {
                self.header(b'*', count as u64);
                self.out.extend(elements);
            }
        }
    }

    /// A whole reply in this style, or several.
    pub fn written(&mut self, replies: &[u8]) {
        debug_assert!(self.style != Style::Plain, "plain lists count their lines");
        self.out.extend(replies);
    }

    /// A map of `count` keys with their values, which the caller writes next, in turn.
    pub fn map(&mut self, count: usize) {
        self.list(b'%', count, 2 * count);
    }

    /// A set of `count` elements, which the caller writes next.
    pub fn set(&mut self, count: usize) {
        self.list(b'~', count, count);
    }

    fn list(&mut self, sigil: u8, count: usize, elements: usize) {
        match self.style {
            Style::Plain if elements == 0 => self.plain_line(b"END"),
            Style::Plain => {
                if let Some(missing) = self.missing.get_mut(self.depth) {
                    *missing = elements;
                    self.depth += 1;
                } else {
                    debug_assert!(false, "lists nest too deep");
                }
            }
            Style::Resp => self.header(b'*', elements as u64),
            Style::Resp3 => self.header(sigil, count as u64),
        }
    }

    /// A text of several lines, with LF or CRLF between them.
    pub fn lines(&mut self, text: &str) {
        match self.style {
            Style::Plain => {
                for line in text.lines() {
                    self.out.extend(line.as_bytes());
                    self.out.push(b'\n');
                }
                self.plain_line(b"END");
            }
            Style::Resp => self.bulk(text.as_bytes()),
            Style::Resp3 => {
                // A verbatim string says what it is.
                self.header(b'=', text.len() as u64 + 4);
                self.out.extend(b"txt:");
                self.out.extend(text.as_bytes());
                self.out.extend(b"\r\n");
            }
        }
    }

    fn absent(&mut self, word: &[u8]) {
        match self.style {
            Style::Plain => self.plain_line(word),
            Style::Resp => self.out.extend(b"$-1\r\n"),
            Style::Resp3 => self.out.extend(b"_\r\n"),
        }
    }

    fn header(&mut self, sigil: u8, count: u64) {
        self.out.push(sigil);
        self.out.extend(Decimal::of(count).digits());
        self.out.extend(b"\r\n");
    }

    /// Appends the rest of a line and its end; after the last line of a list, `END`.
    fn plain_line(&mut self, rest: &[u8]) {
        self.out.extend(rest);
        self.out.push(b'\n');
        while let Some(missing) = self.depth.checked_sub(1).and_then(|at| self.missing.get_mut(at))
        {
            *missing -= 1;
            if *missing > 0 {
                break;
            }
            // The list that ends here is an element of the one around it.
            self.out.extend(b"END\n");
            self.depth -= 1;
        }
    }
}

/// A number's digits.
struct Decimal {
    bytes: [u8; 20],
    start: usize,
}

impl Decimal {
    fn of(mut value: u64) -> Self {
        let mut decimal = Self { bytes: [b'0'; 20], start: 20 };
        for digit in decimal.bytes.iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
            decimal.start -= 1;
            if value == 0 {
                break;
            }
        }
        decimal
    }

    fn digits(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// Writes text without line ends and other control characters.
struct OneLine<'a>(&'a mut Vec<u8>);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let printable = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
        self.0.extend(text.bytes().map(printable));
        Ok(())
    }
}

/// Whether a value can stand on a line as it is.
fn is_plain(value: &[u8]) -> bool {
    match value.first() {
        None | Some(b'"') => false,
        Some(_) => is_printable(value) && !REPLY_WORDS.contains(&value) && !starts_with_code(value),
    }
}

fn is_printable(value: &[u8]) -> bool {
    if value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return true;
    }
    str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// The code of a reply that is an error.
pub(crate) fn error_code(reply: &[u8], style: Style) -> Option<&'static str> {
    let line = match style {
        Style::Plain => reply,
        Style::Resp | Style::Resp3 => reply.strip_prefix(b"-")?,
    };
    let code = ERROR_CODES.iter().find(|code| {
        let rest = line.strip_prefix(**code);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\n' | b'\r')))
    })?;
    str::from_utf8(code).ok()
}

/// Whether a line begins as an error does.
pub(crate) fn starts_with_code(line: &[u8]) -> bool {
    ERROR_CODES.iter().any(|code| {
        line.strip_prefix(*code).is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
    })
}

/// Appends `value` between quotes, readable where it is text.
fn quote(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in value.utf8_chunks() {
        for char in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let bytes = char.encode_utf8(&mut utf8).as_bytes();
            match char {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                control if control.is_control() => escape(bytes, out),
                _ => out.extend_from_slice(bytes),
            }
        }
        escape(chunk.invalid(), out);
    }
    out.push(b'"');
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| HEX_DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    for byte in bytes {
        out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};

    use super::*;
    use crate::{
        limits::Limits,
        proto::{Dialect, Progress, Step, Workspace, next_request},
    };

    fn written(style: Style, write: impl FnOnce(&mut ReplyWriter<'_>)) -> String {
        let mut out = OutBuf::new();
        write(&mut ReplyWriter::new(&mut out, style));
        String::from_utf8(out.pending().to_vec()).expect("the tests write text")
    }

    fn check(write: impl Fn(&mut ReplyWriter<'_>), resp: &str, plain: &str) {
        assert_eq!(written(Style::Resp, &write), resp);
        assert_eq!(written(Style::Plain, &write), plain);
    }

    #[test]
    fn each_kind_in_both_styles() {
        check(|reply| reply.ok(), "+OK\r\n", "OK\n");
        check(|reply| reply.bulk(b"john"), "$4\r\njohn\r\n", "john\n");
        check(|reply| reply.null(), "$-1\r\n", "Not Found\n");
        check(|reply| reply.not_set(), "$-1\r\n", "Not Set\n");
        check(|reply| reply.integer(0), ":0\r\n", "0\n");
        check(|reply| reply.integer(-907), ":-907\r\n", "-907\n");
        check(|reply| reply.error("ERR a\r\nb"), "-ERR a  b\r\n", "ERR a  b\n");
        check(|reply| reply.error_with_hint("ERR a", "do b"), "-ERR a\r\n", "ERR a; do b\n");
        check(|reply| reply.array(0), "*0\r\n", "END\n");
        check(
            |reply| {
                reply.array(3);
                reply.bulk(b"END");
                reply.null();
                reply.integer(1);
                reply.ok();
            },
            "*3\r\n$3\r\nEND\r\n$-1\r\n:1\r\n+OK\r\n",
            "\"END\"\nNot Found\n1\nEND\nOK\n",
        );
        check(|reply| reply.lines("a\r\n\r\nb\n"), "$7\r\na\r\n\r\nb\n\r\n", "a\n\nb\nEND\n");
    }

    #[test]
    fn integers_up_to_the_bounds() {
        for value in [i64::MIN, -10, -1, 9, 10, 99, 100, i64::MAX] {
            let expected = format!("{value}\n");
            assert_eq!(written(Style::Plain, |reply| reply.integer(value)), expected);
        }
        assert_eq!(Decimal::of(u64::MAX).digits(), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn values_that_mislead_are_quoted() {
        let plain: &[&str] = &[
            "john",
            "two words",
            "it's",
            "ok",
            "ERRATIC",
            "12",
            "größer",
            " ",
            "say \"hi\"",
            "a\\n",
        ];
        for value in plain {
            let line = written(Style::Plain, |reply| reply.bulk(value.as_bytes()));
            assert_eq!(line, format!("{value}\n"));
        }
        let quoted: &[(&[u8], &str)] = &[
            (b"", r#""""#),
            (b"OK", r#""OK""#),
            (b"Not Found", r#""Not Found""#),
            (b"END", r#""END""#),
            (b"ERR no", r#""ERR no""#),
            (b"NOREPLICAS", r#""NOREPLICAS""#),
            (b"\"a\"", r#""\"a\"""#),
            (b"a\nb\\", r#""a\nb\\""#),
            ("grün\r\n\t\u{85}".as_bytes(), r#""grün\r\n\t\xc2\x85""#),
            (b"\x00\xff1", r#""\x00\xff1""#),
        ];
        for (value, expected) in quoted {
            let line = written(Style::Plain, |reply| reply.bulk(value));
            assert_eq!(line, format!("{expected}\n"));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_reads_back(
            value in prop::collection::vec(
                proptest::prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\'xnr \n\r09af"[..])],
                0..60,
            ),
        ) {
            let mut out = OutBuf::new();
            quote(&value, out.tail());
            assert!(!out.pending().iter().any(u8::is_ascii_control));
            out.push(b'\n');
            let mut workspace = Workspace::new();
            let progress = &mut Progress::default();
            let limits = Limits::DEFAULT;
            let step = next_request(
                out.pending(), Dialect::Detect, false, &limits, &mut workspace, progress,
            );
            let Step::Complete { args, .. } = step else { panic!("{step:?}") };
            assert_eq!((args.len(), args.get(0)), (1, Some(&value[..])));
        }

        #[test]
        fn a_plain_value_is_one_line(value in prop::collection::vec(any::<u8>(), 0..30)) {
            let mut out = OutBuf::new();
            ReplyWriter::new(&mut out, Style::Plain).bulk(&value);
            let line = str::from_utf8(out.pending()).expect("a plain reply is text");
            assert!(line.strip_suffix('\n').is_some_and(|line| !line.contains(char::is_control)));
        }
    }
}
