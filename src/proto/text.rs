//! Requests as lines of text: what people type, and what Redis calls inline commands.
//!
//! Owns the line and its quoting. A line ends with LF or CRLF, or with the input; which of them it
//! is decides how the reply is rendered. Words stand between spaces, tabs and CRs. `"..."` takes
//! `\n \r \t \b \a \\ \" \xHH`, `'...'` takes `\'`; a closing quote ends its word. Every other
//! byte, NUL included, is data: no byte is unsayable, and [`super::reply`] writes what this reads.
//!
//! A line without quotes is borrowed; one with quotes is unescaped into the workspace. The end of
//! an unfinished line is looked for in new bytes only. Lines that a browser would send are refused
//! for good: a web page that makes somebody's browser post to this port must not get a command
//! through.

#![deny(clippy::indexing_slicing)]

use memchr::{memchr, memchr2};

use super::{Args, Dialect, Progress, RequestError, Span, Step, Style, Workspace};
use crate::limits::Limits;

/// The first byte of a TLS connection.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// Takes the line at the start of `buf`, the first `scanned` bytes of which hold no LF.
pub(super) fn next_line<'a>(
    buf: &'a [u8],
    dialect: Dialect,
    eof: bool,
    limits: &Limits,
    workspace: &'a mut Workspace,
    scanned: usize,
    progress: &mut Progress,
) -> Step<'a> {
    // The LF of a line within the limit can't be further away, whatever else the buffer holds.
    let reach = buf.get(..=limits.line_size_max).unwrap_or(buf);
    let end = memchr(b'\n', reach.get(scanned..).unwrap_or_default()).map(|at| scanned + at);
    let (line, consumed) = match end {
        Some(end) => (buf.get(..end).unwrap_or_default(), end + 1),
        None if buf.len() > limits.line_size_max => return overlong(buf, dialect),
        None if eof => (buf, buf.len()),
        None => {
            progress.pos = buf.len();
            return Step::Incomplete { need: buf.len() + 1 };
        }
    };
    let stripped = line.strip_suffix(b"\r");
    let style = Style::of_line(dialect, stripped.is_some() && end.is_some());
    let line = stripped.unwrap_or(line);
    if is_http(line) {
        return Step::Broken { error: RequestError::Http, style };
    }
    let unescaped = memchr2(b'"', b'\'', line).is_some();
    let split = if unescaped {
        split_quoted(line, limits.args_max, workspace)
    } else {
        split_words(line, limits.args_max, &mut workspace.spans)
    };
    match split {
        Err(error) => Step::Reject { error, consumed, style },
        Ok(()) if workspace.spans.is_empty() => Step::Skip { consumed },
        Ok(()) => {
            let buf = if unescaped { &workspace.unescaped } else { line };
            let args = Args { buf, spans: &workspace.spans };
            Step::Complete { args, consumed, style }
        }
    }
}

fn overlong<'a>(buf: &[u8], dialect: Dialect) -> Step<'a> {
    if is_http(buf) {
        let style = Style::of_line(dialect, false);
        return Step::Broken { error: RequestError::Http, style };
    }
    Step::Overlong
}

fn is_http(line: &[u8]) -> bool {
    line.first_chunk::<5>().is_some_and(|start| {
        start.eq_ignore_ascii_case(b"POST ") || start.eq_ignore_ascii_case(b"Host:")
    })
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn split_words(line: &[u8], max: usize, spans: &mut Vec<Span>) -> Result<(), RequestError> {
    let mut start = None;
    let ends = line.iter().copied().chain([b' ']).enumerate();
    for (at, byte) in ends {
        match (start, is_space(byte)) {
            (None, false) if spans.len() == max => {
                return Err(RequestError::ArgumentCount { max });
            }
            (None, false) => start = Some(at),
            (Some(from), true) => {
                spans.push(Span { start: from, end: at });
                start = None;
            }
            (None, true) | (Some(_), false) => {}
        }
    }
    Ok(())
}

fn split_quoted(line: &[u8], max: usize, workspace: &mut Workspace) -> Result<(), RequestError> {
    let Workspace { spans, unescaped } = workspace;
    let mut rest = line;
    loop {
        while let [first, after @ ..] = rest
            && is_space(*first)
        {
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        if spans.len() == max {
            return Err(RequestError::ArgumentCount { max });
        }
        let start = unescaped.len();
        rest = take_word(rest, unescaped).ok_or(RequestError::Quotes)?;
        spans.push(Span { start, end: unescaped.len() });
    }
}

/// Appends the word at the start of `rest` to `out` and returns what follows; `None` if its quotes
/// are unbalanced.
fn take_word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return Some(rest),
            [b'"', rest @ ..] => return take_double_quoted(rest, out).filter(|rest| at_end(rest)),
            [b'\'', rest @ ..] => return take_single_quoted(rest, out).filter(|rest| at_end(rest)),
            [byte, ..] if is_space(*byte) => return Some(rest),
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        }
    }
}

fn at_end(rest: &[u8]) -> bool {
    rest.first().is_none_or(|&byte| is_space(byte))
}

fn take_double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'x', high, low, rest @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), rest)
            }
            [b'\\', escaped, rest @ ..] => (unescape(*escaped), rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        out.push(byte);
        rest = after;
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'\'', rest @ ..] => return Some(rest),
            [b'\\', b'\'', rest @ ..] => (b'\'', rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        out.push(byte);
        rest = after;
    }
}

/// The byte that a letter behind a backslash stands for; any other byte stands for itself.
const fn unescape(letter: u8) -> u8 {
    match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        letter => letter.to_ascii_lowercase().wrapping_sub(b'a' - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::next_request;

    const SMALL: Limits = Limits { args_max: 4, line_size_max: 64, ..Limits::DEFAULT };

    /// What one step says, in a form to compare.
    fn step_in(buf: &[u8], dialect: Dialect, eof: bool) -> String {
        let mut workspace = Workspace::new();
        let progress = &mut Progress::default();
        match next_request(buf, dialect, eof, &SMALL, &mut workspace, progress) {
            Step::Broken { error, style } => format!("close {style:?}: {error}"),
            Step::Complete { args, consumed, style } => format!("{style:?} {args:?} {consumed}"),
            Step::Incomplete { need } => format!("need {need}"),
            Step::Overlong => "overlong".to_owned(),
            Step::Reject { error, consumed, style } => format!("{style:?} {error} {consumed}"),
            Step::Skip { consumed } => format!("skip {consumed}"),
        }
    }

    fn step(buf: &str) -> String {
        step_in(buf.as_bytes(), Dialect::Detect, false)
    }

    #[test]
    fn terminator_decides_the_style() {
        assert_eq!(step("GET a\nGET b\n"), "Plain [GET, a] 6");
        assert_eq!(step("GET a\r\n"), "Resp [GET, a] 7");
        assert_eq!(step("GET a"), "need 6");
        assert_eq!(step("GET a\r"), "need 7");
        assert_eq!(step_in(b"GET a", Dialect::Detect, true), "Plain [GET, a] 5");
        assert_eq!(step_in(b"GET a\r", Dialect::Detect, true), "Plain [GET, a] 6");
        assert_eq!(step_in(b"GET a\n", Dialect::Resp, false), "Resp [GET, a] 6");
        assert_eq!(step_in(b"GET a\r\n", Dialect::Text, false), "Plain [GET, a] 7");
        assert_eq!(step_in(b"*1\r\n", Dialect::Text, false), "Plain [*1] 4");
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(step(" \tSET  a\tb \n"), "Plain [SET, a, b] 12");
        assert_eq!(step("\n"), "skip 1");
        assert_eq!(step("  \r\n"), "skip 4");
        assert_eq!(step("SET \"a b\" 'c\\'d\\n'\n"), "Plain [SET, a b, c\\'d\\\\n] 19");
        assert_eq!(step("\"\\x41\\xfg\\a\\q\\\\\"\n"), "Plain [Axfg\\x07q\\\\] 17");
        assert_eq!(step("a\"b c\" ''\n"), "Plain [ab c, ] 10");
        assert_eq!(step("a\0b\x01 \u{b}\n"), "Plain [a\\x00b\\x01, \\x0b] 7");
        for unbalanced in ["\"a\n", "'a\n", "\"a\"b\n", "'a'b\n", "\"a\\\"\n", "it's\n"] {
            let said = format!(
                "Plain ERR Protocol error: unbalanced quotes in request {}",
                unbalanced.len()
            );
            assert_eq!(step(unbalanced), said);
        }
    }

    #[test]
    fn limits() {
        let many = " ERR Protocol error: too many arguments; a request has at most 4 10";
        assert_eq!(step("a b c d e\n"), format!("Plain{many}"));
        assert_eq!(step("'' b c d \n"), "Plain [, b, c, d] 10");
        assert_eq!(step("'a b' c d e f\r\n").split(' ').next(), Some("Resp"));
        let full = "a".repeat(64);
        assert_eq!(step(&format!("{full}\n")), format!("Plain [{full}] 65"));
        assert_eq!(step(&full), "need 65");
        assert_eq!(step(&format!("{full}a\n")), "overlong");
        assert_eq!(step_in(format!("{full}a").as_bytes(), Dialect::Detect, true), "overlong");
    }

    #[test]
    fn http_is_refused() {
        let said = "close Resp: ERR Protocol error: this looks like an HTTP request";
        assert_eq!(step("POST / HTTP/1.1\r\n"), said);
        assert_eq!(step("host: localhost\r\n"), said);
        let long = format!("POST /{}", "a".repeat(100));
        assert!(step(&long).starts_with("close"));
        assert_eq!(step("POSTS a\n"), "Plain [POSTS, a] 8");
    }

    #[test]
    fn an_unfinished_line_is_not_scanned_again() {
        let mut workspace = Workspace::new();
        let mut progress = Progress::default();
        let mut line = Vec::new();
        for _ in 0..60 {
            line.push(b'a');
            next_request(&line, Dialect::Detect, false, &SMALL, &mut workspace, &mut progress);
            assert_eq!(progress.pos, line.len());
        }
        line.push(b'\n');
        let step =
            next_request(&line, Dialect::Detect, false, &SMALL, &mut workspace, &mut progress);
        assert!(matches!(step, Step::Complete { consumed: 61, .. }));
        assert_eq!(progress, Progress::default());
    }
}
