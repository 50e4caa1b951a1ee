//! RESP2 requests: arrays of bulk strings.
//!
//! ```text
//! *2\r\n      count, at most `args_max`; zero and less is a request to skip
//! $3\r\n      length
//! GET\r\n     that many bytes of anything, and CRLF
//! $4\r\n
//! name\r\n
//! ```
//! Numbers are those that Redis accepts, and so are most words of complaint. Stricter than Redis:
//! the line ends are checked, and the whole request has a limit, tested with each declared length
//! together with the least that the elements after it can take. Nested arrays and other types are
//! refused: no request has them.
//!
//! An unfinished array is walked element by element as its bytes arrive, and once more for its
//! arguments when it is whole: the arguments of many connections' unfinished arrays are not kept.

#![deny(clippy::indexing_slicing)]

use super::{Args, Progress, RequestError, Span, Step, Style, Workspace, integer};
use crate::limits::Limits;

/// The shortest element: `$0\r\n\r\n`.
const ELEMENT_SIZE_MIN: usize = 6;
/// Bytes within which a number's line must end; the longest valid one has 21.
const NUMBER_LINE_MAX: usize = 32;

/// Takes the frame at the start of `buf`, which starts with `*`.
pub(super) fn next_frame<'a>(
    buf: &'a [u8],
    limits: &Limits,
    workspace: &'a mut Workspace,
    resumed: Progress,
    progress: &mut Progress,
) -> Step<'a> {
    let broken = |error| Step::Broken { error, style: Style::Resp };
    if resumed.missing > 0 {
        match walk(buf, resumed, limits, |_| {}) {
            Walk::Broken(error) => return broken(error),
            Walk::Done { .. } => {}
            Walk::More { reached, need } => {
                *progress = reached;
                return Step::Incomplete { need };
            }
        }
    }
    let start = match number_line(buf, 1) {
        Number::Incomplete => return Step::Incomplete { need: buf.len() + 1 },
        Number::Invalid => return broken(RequestError::MultibulkLength),
        Number::Overlong => return broken(RequestError::MultibulkHeader),
        Number::Valid { value, next } => match usize::try_from(value) {
            Err(_) | Ok(0) => return Step::Skip { consumed: next },
            Ok(count) if count > limits.args_max => {
                return broken(RequestError::MultibulkCount { max: limits.args_max });
            }
            Ok(count) => Progress { pos: next, missing: count },
        },
    };
    match walk(buf, start, limits, |span| workspace.spans.push(span)) {
        Walk::Broken(error) => broken(error),
        Walk::Done { end } => {
            let args = Args { buf, spans: &workspace.spans };
            Step::Complete { args, consumed: end, style: Style::Resp }
        }
        Walk::More { reached, need } => {
            *progress = reached;
            Step::Incomplete { need }
        }
    }
}

/// How far a walk over an array's elements came.
enum Walk {
    Broken(RequestError),
    Done { end: usize },
    More { reached: Progress, need: usize },
}

/// Walks over the elements from `from` on and hands each argument's place to `keep`.
#[inline]
fn walk(buf: &[u8], from: Progress, limits: &Limits, mut keep: impl FnMut(Span)) -> Walk {
    let Progress { mut pos, mut missing } = from;
    while missing > 0 {
        let more = |need| Walk::More { reached: Progress { pos, missing }, need };
        match buf.get(pos) {
            Some(b'$') => {}
            Some(&other) => return Walk::Broken(RequestError::BulkSigil(other)),
            None => return more(pos + 1),
        }
        let (size, start) = match number_line(buf, pos + 1) {
            Number::Incomplete => return more(buf.len() + 1),
            Number::Invalid => return Walk::Broken(RequestError::BulkLength),
            Number::Overlong => return Walk::Broken(RequestError::BulkHeader),
            Number::Valid { value, next } => match usize::try_from(value) {
                Err(_) => return Walk::Broken(RequestError::BulkLength),
                Ok(size) => (size, next),
            },
        };
        let after = (missing - 1) * ELEMENT_SIZE_MIN;
        let least = start.saturating_add(size).saturating_add(2 + after);
        if least > limits.request_size_max {
            return Walk::Broken(RequestError::RequestSize { max: limits.request_size_max });
        }
        let end = start + size;
        match buf.get(end..end + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Walk::Broken(RequestError::BulkEnd),
            None => return more(end + 2),
        }
        keep(Span { start, end });
        pos = end + 2;
        missing -= 1;
    }
    Walk::Done { end: pos }
}

/// What the line at some place says.
enum Number {
    Incomplete,
    Invalid,
    Overlong,
    Valid { value: i64, next: usize },
}

/// Reads the number and the CRLF at `at`. Nearly all numbers have one digit or two.
#[inline]
fn number_line(buf: &[u8], at: usize) -> Number {
    match buf.get(at..).unwrap_or_default() {
        [ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Number::Valid { value: i64::from(ones - b'0'), next: at + 3 }
        }
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            let value = i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            Number::Valid { value, next: at + 4 }
        }
        line => long_number_line(line, at),
    }
}

fn long_number_line(line: &[u8], at: usize) -> Number {
    let line = line.get(..NUMBER_LINE_MAX).unwrap_or(line);
    let Some(size) = line.iter().position(|&byte| byte == b'\r') else {
        return if line.len() < NUMBER_LINE_MAX { Number::Incomplete } else { Number::Overlong };
    };
    let (digits, end) = line.split_at(size);
    match (end, integer(digits)) {
        ([_], _) if line.len() < NUMBER_LINE_MAX => Number::Incomplete,
        ([_, b'\n', ..], Some(value)) => Number::Valid { value, next: at + size + 2 },
        _ => Number::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};

    use super::*;
    use crate::proto::{Dialect, next_request};

    fn encode(args: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            frame.extend(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend(arg);
            frame.extend(b"\r\n");
        }
        frame
    }

    /// What one step says, in a form to compare.
    fn step(buf: &[u8], limits: &Limits) -> String {
        let mut workspace = Workspace::new();
        let progress = &mut Progress::default();
        match next_request(buf, Dialect::Detect, false, limits, &mut workspace, progress) {
            Step::Broken { error, style: Style::Resp } => error.to_string(),
            Step::Complete { args, consumed, style: Style::Resp } => format!("{args:?} {consumed}"),
            Step::Incomplete { need } => format!("need {need}"),
            Step::Skip { consumed } => format!("skip {consumed}"),
            other => panic!("no frame gives {other:?}"),
        }
    }

    /// Feeds `buf` byte by byte, as a connection does; what the first decided step says, and after
    /// how many bytes.
    fn dribble(buf: &[u8], limits: &Limits) -> (String, usize) {
        let mut progress = Progress::default();
        let (mut need, mut attempts) = (1, 0);
        for have in 1..=buf.len() {
            if have < need {
                continue;
            }
            attempts += 1;
            let mut workspace = Workspace::new();
            let dialect = Dialect::Detect;
            let have = buf.split_at(have).0;
            match next_request(have, dialect, false, limits, &mut workspace, &mut progress) {
                Step::Incomplete { need: more } => need = more,
                _ => return (step(have, limits), attempts),
            }
        }
        (format!("need {need}"), attempts)
    }

    #[test]
    fn dialogue() {
        let cases: &[(&str, &str)] = &[
            ("*1\r\n$4\r\nPING\r\n", "[PING] 14"),
            ("*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n+more", "[GET, 0123456789] 30"),
            ("*1\r\n$0\r\n\r\n", "[] 10"),
            ("*0\r\nx", "skip 4"),
            ("*-1\r\n", "skip 5"),
            ("*", "need 2"),
            ("*1\r", "need 4"),
            ("*1\r\n", "need 5"),
            ("*1\r\n$100\r\nab", "need 112"),
            ("*x\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*01\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*+1\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*1\rx", "ERR Protocol error: invalid multibulk length"),
            ("*9223372036854775808\r\n", "ERR Protocol error: invalid multibulk length"),
            ("*11111111111111111111111111111111", "ERR Protocol error: too big mbulk count string"),
            (
                "*1\r\n$11111111111111111111111111111111",
                "ERR Protocol error: too big bulk count string",
            ),
            ("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
            ("*1\r\n$ 1\r\n", "ERR Protocol error: invalid bulk length"),
            ("*1\r\n$1x\r\n", "ERR Protocol error: invalid bulk length"),
            ("*1\r\n*1\r\n", "ERR Protocol error: expected '$', got '*'"),
            ("*1\r\n\n", "ERR Protocol error: expected '$', got ' '"),
            ("*1\r\n$1\r\nabc", "ERR Protocol error: expected CRLF after a bulk string"),
            (
                "*5\r\n",
                "ERR Protocol error: invalid multibulk length; a request has at most 4 arguments",
            ),
            ("*1\r\n$91\r\n", "need 102"),
            (
                "*1\r\n$999\r\n",
                "ERR Protocol error: invalid bulk length; a request has at most 102 bytes",
            ),
            (
                "*2\r\n$91\r\n",
                "ERR Protocol error: invalid bulk length; a request has at most 102 bytes",
            ),
            (
                "*1\r\n$9223372036854775807\r\n",
                "ERR Protocol error: invalid bulk length; a request has at most 102 bytes",
            ),
        ];
        let limits = Limits { args_max: 4, request_size_max: 102, ..Limits::DEFAULT };
        for (input, expected) in cases {
            let limits = if input.contains("100") { &Limits::DEFAULT } else { &limits };
            assert_eq!(step(input.as_bytes(), limits), *expected, "{input:?}");
            assert_eq!(dribble(input.as_bytes(), limits).0, *expected, "{input:?} byte by byte");
        }
    }

    #[test]
    fn slow_senders_cause_no_reparsing_of_values() {
        let frame = encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; 100_000]]);
        let (said, attempts) = dribble(&frame, &Limits::DEFAULT);
        assert!(said.ends_with(&format!("v] {}", frame.len())));
        assert!(attempts < 40, "{attempts} attempts");
    }

    #[test]
    fn slow_senders_of_many_arguments_cost_linear_time() {
        let frame = encode(&vec![b"key".to_vec(); 60_000]);
        let (said, attempts) = dribble(&frame, &Limits::DEFAULT);
        assert!(said.ends_with(&format!(" {}", frame.len())));
        // Many attempts, but each starts where the last one stopped: reparsing would take minutes.
        assert!(attempts > 100_000);
    }

    proptest::proptest! {
        #[test]
        fn arguments_survive_encoding_at_any_cut(
            args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
            cuts in prop::collection::vec(0..4000_usize, 0..8),
        ) {
            let frame = encode(&args);
            let mut lengths: Vec<usize> = cuts.into_iter().map(|cut| cut % frame.len()).collect();
            lengths.sort_unstable();
            let mut progress = Progress::default();
            let mut workspace = Workspace::new();
            let limits = Limits::DEFAULT;
            for have in lengths {
                let have = frame.split_at(have).0;
                let step = next_request(
                    have, Dialect::Detect, false, &limits, &mut workspace, &mut progress,
                );
                assert!(matches!(step, Step::Incomplete { need } if need <= frame.len()));
            }
            let step = next_request(
                &frame, Dialect::Resp, true, &limits, &mut workspace, &mut progress,
            );
            let Step::Complete { args: parsed, consumed, .. } = step else { panic!("{step:?}") };
            assert_eq!(consumed, frame.len());
            assert!(parsed.iter().eq(args.iter().map(Vec::as_slice)));
            assert_eq!(parsed.from(1).get(0), args.get(1).map(Vec::as_slice));
            assert_eq!(progress, Progress::default());
        }
    }
}
