//! A line becomes words, quoted as nodes and redis-cli have it.

use quorate::{
    limits::Limits,
    proto::{Dialect, Progress, Step, Workspace, next_request},
};

/// Long enough for any value.
const LINE_SIZE_MAX: usize = 64 * 1024 * 1024;

/// The words of a line; none if it is empty.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let limits = Limits { line_size_max: LINE_SIZE_MAX, ..Limits::DEFAULT };
    let mut workspace = Workspace::new();
    let progress = &mut Progress::default();
    match next_request(line, Dialect::Text, true, &limits, &mut workspace, progress) {
        Step::Complete { args, .. } => Ok(args.iter().map(<[u8]>::to_vec).collect()),
        Step::Skip { .. } | Step::Incomplete { .. } => Ok(Vec::new()),
        Step::Broken { error, .. } | Step::Reject { error, .. } => Err(error.to_string()),
        Step::Overlong => Err(format!("a line of more than {LINE_SIZE_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_redis_cli_does() {
        for (line, words) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("get a", &[&b"get"[..], b"a"]),
            ("  SET  a \"two words\" ", &[b"SET", b"a", b"two words"]),
            (r#"SET a "\x00\xff\n\"\\" "#, &[b"SET", b"a", b"\x00\xff\n\"\\"]),
            (r"SET a 'it\'s \n'", &[b"SET", b"a", b"it's \\n"]),
            ("SET a ''", &[b"SET", b"a", b""]),
            ("*1", &[b"*1"]),
        ] {
            let split = split(line.as_bytes()).expect(line);
            assert!(split.iter().map(Vec::as_slice).eq(words.iter().copied()), "{line}: {split:?}");
        }
        for line in ["SET a \"b", "SET a 'b", "SET a \"b\"c"] {
            let error = split(line.as_bytes()).expect_err(line);
            assert!(error.contains("quote"), "{error}");
        }
    }
}
