//! Finds the ends of replies in what has arrived so far, and what they say as far as a benchmark
//! wants to know.

use memchr::memchr;

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The text of an error.
    Error(String),
    /// A value, a number, OK.
    Done,
    /// There is no such key.
    Nothing,
}

/// The first reply in `bytes` and its size; `None` if it has not arrived as a whole.
///
/// # Errors
/// If this is no reply to anything that a benchmark asks.
pub(super) fn next(bytes: &[u8]) -> Result<Option<(Said, usize)>, ()> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(())?;
    let (kind, rest) = line.split_first().ok_or(())?;
    let said = match kind {
        b'+' | b':' => Said::Done,
        b'-' => Said::Error(String::from_utf8_lossy(rest).into_owned()),
        b'_' => Said::Nothing,
        b'$' if rest == b"-1" => Said::Nothing,
        b'$' => {
            let size: usize = str::from_utf8(rest).ok().and_then(|n| n.parse().ok()).ok_or(())?;
            let whole = end.checked_add(size).and_then(|at| at.checked_add(3)).ok_or(())?;
            return Ok((bytes.len() >= whole).then_some((Said::Done, whole)));
        }
        _ => return Err(()),
    };
    Ok(Some((said, end + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_however_they_are_cut() {
        let stream = b"+OK\r\n$3\r\na\r\n\r\n:12\r\n$-1\r\n_\r\n-ERR no\r\n$0\r\n\r\n";
        let expected = [
            Said::Done,
            Said::Done,
            Said::Done,
            Said::Nothing,
            Said::Nothing,
            Said::Error("ERR no".to_owned()),
            Said::Done,
        ];
        for step in 1..stream.len() {
            let (mut held, mut said) = (Vec::new(), Vec::new());
            for piece in stream.chunks(step) {
                held.extend_from_slice(piece);
                while let Some((reply, size)) = next(&held).expect("replies") {
                    said.push(reply);
                    held.drain(..size);
                }
            }
            assert_eq!(said, expected, "cut every {step} bytes");
            assert!(held.is_empty());
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in
            ["\r\n", "OK\n", "HTTP/1.1 400\r\n", "$x\r\n", "*1\r\n", "$99999999999999999999\r\n"]
        {
            assert_eq!(next(bytes.as_bytes()), Err(()), "{bytes:?}");
        }
    }
}
