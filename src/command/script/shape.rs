//! The shapes of known scripts.
//!
//! A script is brought to a normal form: its tokens with one space between them, local names by the
//! order in which they appear, strings in small letters, without semicolons and comments, and
//! `redis.pcall` as `redis.call`. The forms of all known scripts stand in [`KNOWN`].

use super::Shape;

/// Tokens of a script: the longest known one has fewer than a hundred.
const TOKENS_MAX: usize = 200;

/// Words of Lua, of its library and of Redis that the known scripts use. All others are names of
/// local variables.
const WORDS: [&str; 19] = [
    "and", "ARGV", "call", "do", "else", "elseif", "end", "false", "for", "if", "in", "ipairs",
    "KEYS", "local", "nil", "not", "or", "redis", "return",
];
const THEN: &str = "then";

/// Signs of two characters first, so that they are not read as two.
const SIGNS: [&str; 17] =
    ["==", "~=", "<=", ">=", "..", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "#"];

/// Normal forms, and what they come to.
const KNOWN: [(&str, Shape); 18] = [
    // Compare and delete, as in the documentation of SET.
    ("if get == ARGV1 then return del else return 0 end", Shape::Release),
    ("if get == ARGV1 then return del end return 0", Shape::Release),
    ("if ( get == ARGV1 ) then return del else return 0 end", Shape::Release),
    ("if get == ARGV1 then del return 1 else return 0 end", Shape::Release),
    ("if get == ARGV1 then del return 1 end return 0", Shape::Release),
    // redis-py.
    ("local v1 = get if not v1 or v1 ~= ARGV1 then return 0 end del return 1", Shape::Release),
    // node-redlock 4 and 5.
    (
        "local v1 = 0 for v2 , v3 in ipairs ( KEYS ) do if redis.call ( 'get' , v3 ) == ARGV1 then \
         redis.call ( 'del' , v3 ) v1 = v1 + 1 end end return v1",
        Shape::Release,
    ),
    // Compare and set a time.
    ("if get == ARGV1 then return pexpire else return 0 end", Shape::Expire { unit: 1 }),
    ("if get == ARGV1 then return pexpire end return 0", Shape::Expire { unit: 1 }),
    ("if ( get == ARGV1 ) then return pexpire else return 0 end", Shape::Expire { unit: 1 }),
    ("if get == ARGV1 then return expire else return 0 end", Shape::Expire { unit: 1000 }),
    // redis-py.
    (
        "local v1 = get if not v1 or v1 ~= ARGV1 then return 0 end pexpire return 1",
        Shape::Expire { unit: 1 },
    ),
    (
        "local v1 = get if not v1 or v1 ~= ARGV1 then return 0 end local v2 = pttl if not v2 then \
         v2 = 0 end if v2 < 0 then return 0 end local v3 = ARGV2 if ARGV3 == '0' then \
         v3 = ARGV2 + v2 end redis.call ( 'pexpire' , KEYS1 , v3 ) return 1",
        Shape::Add,
    ),
    // node-redlock 4 and 5.
    (
        "for v1 , v2 in ipairs ( KEYS ) do if redis.call ( 'get' , v2 ) ~= ARGV1 then return 0 end end \
         for v1 , v2 in ipairs ( KEYS ) do redis.call ( 'set' , v2 , ARGV1 , 'px' , ARGV2 ) end \
         return # KEYS",
        Shape::Renew,
    ),
    (
        "for v1 , v2 in ipairs ( KEYS ) do if redis.call ( 'exists' , v2 ) == 1 then return 0 end end \
         for v1 , v2 in ipairs ( KEYS ) do redis.call ( 'set' , v2 , ARGV1 , 'px' , ARGV2 ) end \
         return # KEYS",
        Shape::Acquire,
    ),
    // django-redis, the second one for keys that need not be there.
    (
        "local v1 = redis.call ( 'exists' , KEYS1 ) if ( v1 == 1 ) then return incrby else return \
         false end",
        Shape::Count { held: true },
    ),
    ("return incrby", Shape::Count { held: false }),
    // rslock.
    (
        "if get ~= ARGV1 then return 0 else if redis.call ( 'set' , KEYS1 , ARGV1 , 'px' , ARGV2 ) ~= \
         nil then return 1 else return 0 end end",
        Shape::Renew,
    ),
];

/// Calls on the one key with the arguments that all scripts give them; so the forms stay readable.
const CALLS: [(&str, &str); 6] = [
    ("redis.call ( 'get' , KEYS1 )", "get"),
    ("redis.call ( 'del' , KEYS1 )", "del"),
    ("redis.call ( 'pttl' , KEYS1 )", "pttl"),
    ("redis.call ( 'pexpire' , KEYS1 , ARGV2 )", "pexpire"),
    ("redis.call ( 'expire' , KEYS1 , ARGV2 )", "expire"),
    ("redis.call ( 'incrby' , KEYS1 , ARGV1 )", "incrby"),
];

/// What a script comes to, if it is known.
#[must_use]
pub fn shape(script: &[u8]) -> Option<Shape> {
    let form = normal_form(str::from_utf8(script).ok()?)?;
    KNOWN.into_iter().find(|(known, _)| *known == form).map(|(_, shape)| shape)
}

/// A script's tokens in the form in which they are compared.
pub(super) fn normal_form(script: &str) -> Option<String> {
    let (mut form, mut names) = (String::new(), Vec::<&str>::new());
    let mut rest = script;
    for _ in 0..TOKENS_MAX {
        rest = skip(rest)?;
        if rest.is_empty() {
            return Some(fold(&form));
        }
        if !form.is_empty() {
            form.push(' ');
        }
        rest = token(rest, &mut form, &mut names)?;
    }
    None
}

/// Appends the first token; what follows it.
fn token<'s>(text: &'s str, form: &mut String, names: &mut Vec<&'s str>) -> Option<&'s str> {
    let first = text.chars().next()?;
    if let '"' | '\'' = first {
        let (inner, rest) = text.get(1..)?.split_once(first)?;
        // An escape could hide the end of the string, a quote could look like one.
        if inner.contains(['\\', '\n', '\'', '"']) {
            return None;
        }
        form.push('\'');
        form.push_str(&inner.to_ascii_lowercase());
        form.push('\'');
        return Some(rest);
    }
    if first.is_ascii_alphanumeric() || first == '_' {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        if first.is_ascii_digit() {
            // Only plain numbers; a point or an exponent would follow them.
            let plain = word.bytes().all(|digit| digit.is_ascii_digit()) && !rest.starts_with('.');
            form.push_str(plain.then_some(word)?);
        } else if word == THEN || WORDS.contains(&word) {
            form.push_str(word);
        } else if word == "pcall" {
            form.push_str("call");
        } else {
            let known = names.iter().position(|name| *name == word);
            let index = known.unwrap_or_else(|| {
                names.push(word);
                names.len() - 1
            });
            form.push('v');
            form.push_str(&(index + 1).to_string());
        }
        return Some(rest);
    }
    let sign = SIGNS.into_iter().find(|sign| text.starts_with(sign))?;
    form.push_str(sign);
    text.strip_prefix(sign)
}

/// What follows spaces, semicolons and comments. Nothing if a comment does not end.
fn skip(mut text: &str) -> Option<&str> {
    loop {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ';');
        let Some(comment) = rest.strip_prefix("--") else { return Some(rest) };
        if comment.starts_with("[=") {
            // It goes on for lines, and how far is more than we care to know.
            return None;
        }
        text = if let Some(long) = comment.strip_prefix("[[") {
            long.split_once("]]")?.1
        } else {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        };
    }
}

/// Writes what stands for itself in one word.
fn fold(form: &str) -> String {
    let mut form = form.replace("redis . call (", "redis.call (");
    for (list, places) in [("KEYS", 1..=1), ("ARGV", 1..=3)] {
        for place in places {
            form = form.replace(&format!("{list} [ {place} ]"), &format!("{list}{place}"));
        }
    }
    for (call, word) in CALLS {
        form = form.replace(call, word);
    }
    form
}
