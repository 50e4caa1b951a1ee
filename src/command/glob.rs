//! Patterns of keys, as KEYS, SCAN and CONFIG GET have them.
//!
//! `*` stands for any bytes, `?` for one, `[abc]`, `[a-z]` and `[^a]` for one of a set, `\\` takes the
//! meaning from what follows. The time is at most that of the pattern's size times the text's.

#![deny(clippy::indexing_slicing)]

/// Whether all of `text` is what `pattern` stands for.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Behind the last star, and the text that it has not swallowed yet.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            star = Some((rest, text));
            pattern = rest;
        } else if let Some((byte, after)) = text.split_first()
            && let Some(rest) = one(pattern, *byte)
        {
            (pattern, text) = (rest, after);
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else if let Some((rest, [_, after @ ..])) = star {
            star = Some((rest, after));
            (pattern, text) = (rest, after);
        } else {
            return false;
        }
    }
}

/// What is left of the pattern behind one byte, if it stands for it.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => set(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// The same for a set, whose opening bracket has been read. Without the closing one it ends with
/// the pattern.
fn set(mut pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let negative = pattern.first() == Some(&b'^');
    if negative {
        pattern = pattern.get(1..).unwrap_or_default();
    }
    let mut found = false;
    loop {
        match pattern {
            [] => break,
            [b']', rest @ ..] => {
                pattern = rest;
                break;
            }
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                pattern = rest;
            }
            [low, b'-', high, rest @ ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                pattern = rest;
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                pattern = rest;
            }
        }
    }
    (found != negative).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: [(&str, &str, bool); 26] = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("**", "a", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hell", false),
            ("*a*b", "xaybzab", true),
            ("*a*b", "xaybzac", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[a", "a", true),
            ("[", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("a\\", "a\\", true),
            ("[]", "a", false),
            ("[^]", "a", true),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let text = vec![b'a'; 20_000];
        let pattern = [b"*a".repeat(200), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &text));
    }
}
