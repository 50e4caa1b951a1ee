//! What the command table says while a line is typed: completions, and what may follow.

use quorate::command::{
    spec::Spec,
    table::{TABLE, lookup},
};

/// Commands of the program itself, not of a node.
pub(super) const OWN: [&str; 5] = ["clear", "connect", "exit", "help", "quit"];

/// What could stand in place of the last word of `line`, and where that word begins.
pub(super) fn complete(line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = line.split_at(start);
    // Within quotes stands a value.
    if line.contains(['"', '\'']) {
        return (start, Vec::new());
    }
    let mut words = before.split_whitespace();
    let candidates = match words.next() {
        None => TABLE.iter().map(|spec| spec.title()).chain(OWN).map(str::to_owned).collect(),
        Some(first) if first.eq_ignore_ascii_case("help") => {
            TABLE.iter().map(|spec| spec.title().to_owned()).collect()
        }
        Some(first) => match lookup(first.as_bytes()) {
            Some(spec) => at_place(spec, words.count()),
            None => Vec::new(),
        },
    };
    (start, matching(candidates, word))
}

/// Those that begin with `word`, in the case in which it is typed; each once.
fn matching(candidates: Vec<String>, word: &str) -> Vec<String> {
    let lower = word.chars().any(char::is_lowercase);
    let begins = |candidate: &&String| {
        candidate.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    let in_case = |candidate: &String| {
        if lower { candidate.to_ascii_lowercase() } else { candidate.clone() }
    };
    let mut found: Vec<String> = candidates.iter().filter(begins).map(in_case).collect();
    found.sort();
    found.dedup();
    found
}

/// The words that a command takes as its argument number `place`.
fn at_place(spec: &Spec, place: usize) -> Vec<String> {
    let (fixed, optional) = parameters(spec);
    match fixed.get(place) {
        Some(parameter) if parameter.contains('|') || is_keyword(parameter) => {
            parameter.split('|').map(str::to_owned).collect()
        }
        Some(_) => Vec::new(),
        None => {
            // The options of a command that has many stand in its summary.
            let options = if optional.contains("[options]") { spec.summary } else { optional };
            let words = options.split(|c: char| !c.is_ascii_alphanumeric());
            words.filter(|word| is_keyword(word)).map(str::to_owned).collect()
        }
    }
}

fn is_keyword(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase())
}

/// The parameters that must be given, and the text about those that may.
fn parameters(spec: &Spec) -> (Vec<&str>, &str) {
    let usage = spec.usage.split_once(' ').map_or("", |(_, parameters)| parameters);
    let at = usage.find('[').unwrap_or(usage.len());
    let (fixed, optional) = usage.split_at(at);
    (fixed.split_whitespace().collect(), optional)
}

/// What is still to be typed behind `line`, as the usage of its command calls it.
pub(super) fn hint(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let spec = lookup(words.next()?.as_bytes())?;
    let (fixed, optional) = parameters(spec);
    let typed = words.count();
    let mut rest: Vec<&str> = fixed.iter().copied().skip(typed).collect();
    if typed <= fixed.len() && !optional.is_empty() {
        rest.push(optional);
    }
    if rest.is_empty() {
        return None;
    }
    let space = if line.ends_with(char::is_whitespace) { "" } else { " " };
    Some(format!("{space}{}", rest.join(" ")))
}

/// Whether a line holds a secret, which must not be kept.
pub(super) fn is_secret(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
    let says = |word: &str| words.iter().any(|other| other == word);
    match words.first().map(String::as_str) {
        Some("auth") => true,
        Some("hello") => says("auth"),
        Some("acl") => says("setuser"),
        Some("config") => says("set"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completions(line: &str) -> Vec<String> {
        complete(line).1
    }

    #[test]
    fn names_are_completed_in_the_case_that_is_typed() {
        assert_eq!(completions("GETS"), ["GETSET"]);
        assert_eq!(completions("getr"), ["getrange"]);
        assert_eq!(completions("help pex"), ["pexpire", "pexpireat", "pexpiretime"]);
        assert_eq!(complete("SET k v K"), (8, vec!["KEEPTTL".to_owned()]));
        assert!(completions("").len() > TABLE.len());
        assert!(completions("nope x").is_empty());
    }

    #[test]
    fn arguments_are_completed_where_the_table_names_them() {
        assert_eq!(completions("SELECT q"), ["quorum"]);
        assert_eq!(completions("object E"), ["ENCODING"]);
        assert_eq!(completions("CLIENT SETN"), ["SETNAME"]);
        assert_eq!(completions("SCAN 0 M"), ["MATCH"]);
        assert_eq!(completions("set k v ex"), ["ex", "exat"]);
        assert_eq!(completions("EXPIRE k 10 "), ["GT", "LT", "NX", "XX"]);
        assert!(completions("GET ").is_empty(), "keys are not known here");
        assert!(completions("SET k \"v E").is_empty(), "within quotes");
    }

    #[test]
    fn hints_say_what_follows() {
        let hinted = |line| hint(line);
        assert_eq!(hinted("get").as_deref(), Some(" key"));
        assert_eq!(hinted("SET ").as_deref(), Some("key value [options]"));
        assert_eq!(hinted("SET k").as_deref(), Some(" value [options]"));
        assert_eq!(hinted("SET k v").as_deref(), Some(" [options]"));
        assert_eq!(hinted("SET k v NX"), None);
        assert_eq!(hinted("nope"), None);
        assert_eq!(hinted(""), None);
        assert_eq!(hinted("DBSIZE"), None);
    }

    #[test]
    fn secrets_are_known() {
        for line in ["AUTH pw", " auth u p", "HELLO 3 AUTH u p", "config set requirepass x"] {
            assert!(is_secret(line), "{line}");
        }
        for line in ["GET auth", "HELLO 3", "CONFIG GET save", ""] {
            assert!(!is_secret(line), "{line}");
        }
    }
}
