//! Scripts of locks, as the documentation of SET has them.

use quorate::command::script::hash;

use super::{line, resp, words};
use crate::case::Dialect;

/// What scripts begin with, and what follows if the key holds the first argument.
const IF_HELD: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then return ";
pub(super) const RELEASE: &str = "redis.call('del', KEYS[1])";
pub(super) const EXTEND: &str = "redis.call('pexpire', KEYS[1], ARGV[2])";

/// EVAL of a script that does `then` if its key holds its first argument; or SCRIPT LOAD, and EVALSHA
/// right behind it.
pub(super) fn encode(
    dialect: Dialect,
    (then, by_hash): (&str, bool),
    rest: &[&str],
    out: &mut Vec<u8>,
) {
    let script = format!("{IF_HELD}{then} else return 0 end");
    let quoted = format!("\"{script}\"");
    let word = if dialect == Dialect::Text { &quoted } else { &script };
    if by_hash {
        let hash = hash(script.as_bytes());
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        words(dialect, &["SCRIPT", "LOAD", word], out);
        words(dialect, &[&["EVALSHA", &digits, "1"], rest].concat(), out);
    } else {
        words(dialect, &[&["EVAL", word, "1"], rest].concat(), out);
    }
}

/// The size of the reply to SCRIPT LOAD. Whether that was right shows by what EVALSHA is told.
pub(super) fn shown(dialect: Dialect, bytes: &[u8]) -> Option<usize> {
    match dialect {
        Dialect::Resp => resp(bytes).map(|(_, size)| size),
        Dialect::Text => line(bytes, b"\n").map(|(_, size)| size),
    }
}

#[cfg(test)]
mod tests {
    use quorate::command::script::{Shape, shape};

    use super::*;
    use crate::{
        case::Op,
        dialect::{decode, encode},
        history::Outcome,
    };

    fn free(by_hash: bool) -> Op {
        Op::Release { key: "k".to_owned(), value: "v1".to_owned(), by_hash }
    }

    #[test]
    fn they_are_one_word_and_the_node_knows_them() {
        let (mut text, mut resp) = (Vec::new(), Vec::new());
        encode(Dialect::Text, &free(false), &mut text);
        encode(Dialect::Resp, &free(false), &mut resp);
        let script = format!("{IF_HELD}{RELEASE} else return 0 end");
        assert_eq!(text, format!("EVAL \"{script}\" 1 k v1\n").into_bytes());
        let size = script.len();
        let wanted = format!(
            "*5\r\n$4\r\nEVAL\r\n${size}\r\n{script}\r\n$1\r\n1\r\n$1\r\nk\r\n$2\r\nv1\r\n"
        );
        assert_eq!(resp, wanted.into_bytes());
        assert_eq!(shape(script.as_bytes()), Some(Shape::Release));
        let script = format!("{IF_HELD}{EXTEND} else return 0 end");
        assert_eq!(shape(script.as_bytes()), Some(Shape::Expire { unit: 1 }));
    }

    #[test]
    fn one_that_is_run_by_its_hash_is_shown_before_and_has_one_outcome() {
        let mut text = Vec::new();
        encode(Dialect::Text, &free(true), &mut text);
        let text = String::from_utf8(text).expect("text");
        let mut lines = text.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("SCRIPT LOAD \"if redis.call")));
        // As `sha1sum` has it.
        let sum = "e9f69f2beb755be68b5e456ee2ce9aadfbc4ebf4";
        assert_eq!(lines.next(), Some(&format!("EVALSHA {sum} 1 k v1")[..]));
        let (resp, text) = (format!("$40\r\n{sum}\r\n:1\r\n"), format!("{sum}\n1\n"));
        for (dialect, bytes) in [(Dialect::Resp, resp), (Dialect::Text, text)] {
            let whole = bytes.len();
            assert_eq!(
                decode(dialect, &free(true), bytes.as_bytes()),
                Some((Outcome::Count(1), whole))
            );
            for cut in 0..whole {
                assert_eq!(decode(dialect, &free(true), &bytes.as_bytes()[..cut]), None);
            }
        }
    }
}
