//! The repository checks itself: sizes, one-way dependencies, and what may not be named below the
//! turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Lines a file may have, its tests included.
const FILE_LINES_MAX: usize = 600;
/// Lines a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// The rooms of the library, lowest first: a room may use those of a lower number, and itself.
const ROOMS: &[(&str, u8)] = &[
    ("time", 0),
    ("rng", 0),
    ("buffer", 0),
    ("probe", 0),
    ("slot", 0),
    ("record", 1),
    ("limits", 2),
    ("members", 2),
    ("proto", 3),
    ("command", 4),
    ("store", 4),
    ("log", 4),
    ("conn", 5),
    ("node", 6),
    ("turn", 7),
    ("config", 8),
    ("os", 9),
    ("fuzzing", 9),
    ("check", 9),
    ("explore", 10),
];

/// What may not stand below the turn, and what to use instead.
const AMBIENT: &[(&str, &str)] = &[
    ("std::fs", "bytes handed in by the driver"),
    ("std::thread", "the one thread of the driver"),
    ("std::env", "a field of the config"),
    ("std::process", "an action for the driver"),
    ("std::io", "bytes handed in and out"),
    ("std::time", "crate::time, handed in"),
    ("std::collections::HashMap", "a BTreeMap, or hashbrown's HashTable with an explicit seed"),
    ("std::collections::HashSet", "a BTreeSet"),
    ("RandomState", "an explicit seed"),
    ("TcpStream", "a LinkId"),
    ("mio::", "crate::turn::Transport"),
    ("SysRng", "a seed in the config"),
    ("SystemTime", "crate::time::Now"),
    ("println!", "tracing"),
    ("eprintln!", "tracing"),
];

/// What may stand nowhere, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("todo!(", "write it"),
    ("unimplemented!(", "write it"),
    ("dbg!(", "tracing"),
    ("FIXME", "fix it"),
    ("XXX", "say what is meant"),
    ("#[ignore", "a bounded test"),
    ("#[allow(", "#[expect(lint, reason = ...)]"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(under: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        if path.file_name().is_some_and(|name| name == "target") {
            return;
        }
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a readable folder") {
                walk(&entry.expect("a readable entry").path(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    under.iter().for_each(|folder| walk(&root().join(folder), &mut found));
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a readable source");
        let path = path.strip_prefix(root()).expect("below the root").to_owned();
        (path, text)
    };
    found.into_iter().map(read).collect()
}

fn all_sources() -> Vec<(PathBuf, String)> {
    sources(&["src", "sim", "tests", "fuzz"])
}

/// The part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\n").next().unwrap_or(text)
}

fn room_of(path: &Path) -> Option<(&'static str, u8)> {
    let name = path.components().nth(1)?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    ROOMS.iter().copied().find(|(room, _)| *room == name)
}

fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    let mut complaints = Vec::new();
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{}: {lines} lines", path.display()));
        }
        for (line, length) in long_functions(&text) {
            complaints.push(format!("{}:{line}: function of {length} lines", path.display()));
        }
    }
    report(&complaints);
}

/// Functions over the limit: where they begin and how long they are. Relies on rustfmt: a function
/// ends at the closing brace with its own indentation.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let mut open: Option<(usize, usize)> = None;
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match open {
            Some((at, start)) => {
                if line.trim_end() == format!("{}}}", " ".repeat(at)) {
                    let length = index - start + 1;
                    if length > FUNCTION_LINES_MAX {
                        long.push((start + 1, length));
                    }
                    open = None;
                }
            }
            None => {
                let words: Vec<&str> = line.split_whitespace().collect();
                let is_function = words.contains(&"fn") && !line.trim_start().starts_with("//");
                let one_line = line.trim_end().ends_with('}') || line.trim_end().ends_with(';');
                if is_function && !one_line {
                    open = Some((indent, index));
                }
            }
        }
    }
    long
}

#[test]
fn dependencies_point_one_way() {
    let mut complaints = Vec::new();
    for (path, text) in sources(&["src"]) {
        let Some((room, level)) = room_of(&path) else { continue };
        for (used, theirs) in uses(without_tests(&text)) {
            if used != room && theirs >= level {
                complaints.push(format!("{}: {room} uses {used}", path.display()));
            }
        }
    }
    report(&complaints);
}

/// The rooms that a text names after `crate::`, grouped imports included.
fn uses(text: &str) -> BTreeSet<(&'static str, u8)> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let names: Vec<String> = match after.strip_prefix('{') {
            Some(group) => top_level_names(group),
            None => vec![leading_name(after)],
        };
        found.extend(ROOMS.iter().filter(|(room, _)| names.iter().any(|name| name == room)));
    }
    found
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// First path segments of the items of a braced import.
fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ if depth == 0 => names.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    names.iter().map(|name| leading_name(name.trim())).collect()
}

#[test]
fn every_room_has_its_place() {
    let mut complaints = Vec::new();
    for (path, _) in sources(&["src"]) {
        let name = path.components().nth(1).expect("below src").as_os_str().to_string_lossy();
        let outside = ["lib.rs", "main.rs", "cli"].contains(&name.as_ref());
        if !outside && room_of(&path).is_none() {
            complaints.push(format!("{}: no place in ROOMS", path.display()));
        }
    }
    report(&complaints);
}

#[test]
fn below_the_turn_nothing_ambient() {
    let mut complaints = Vec::new();
    for (path, text) in sources(&["src"]) {
        let Some((_, level)) = room_of(&path) else { continue };
        if level > 7 {
            continue;
        }
        for (number, line) in without_tests(&text).lines().enumerate() {
            for (word, instead) in AMBIENT {
                if line.contains(word) && !line.trim_start().starts_with("//") {
                    let at = format!("{}:{}", path.display(), number + 1);
                    complaints.push(format!("{at}: {word}; use {instead}"));
                }
            }
        }
    }
    report(&complaints);
}

#[test]
fn nothing_unfinished_or_banned() {
    let mut complaints = Vec::new();
    for (path, text) in all_sources() {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (word, instead) in BANNED {
                if line.contains(word) {
                    let at = format!("{}:{}", path.display(), number + 1);
                    complaints.push(format!("{at}: {word} (instead: {instead})"));
                }
            }
            if line.chars().count() > 120 {
                complaints.push(format!("{}:{}: line too long", path.display(), number + 1));
            }
        }
    }
    report(&complaints);
}

#[test]
fn every_file_says_what_it_is() {
    let mut complaints = Vec::new();
    for (path, text) in all_sources() {
        if !text.starts_with("//!") {
            complaints.push(format!("{}: no //! at its head", path.display()));
        }
    }
    report(&complaints);
}

#[test]
fn no_file_is_dead() {
    let texts: BTreeMap<PathBuf, String> = all_sources().into_iter().collect();
    let mut complaints = Vec::new();
    for path in texts.keys() {
        let stem = path.file_stem().expect("a file").to_string_lossy();
        let folder = path.parent().expect("in a folder");
        let entry = ["lib", "main"].contains(&stem.as_ref())
            || folder.ends_with("tests")
            || folder.ends_with("fuzz_targets")
            || folder.ends_with("bin");
        let name = if stem == "mod" {
            folder.file_name().expect("a folder").to_string_lossy()
        } else {
            stem.clone()
        };
        let declared = |text: &String| text.contains(&format!("mod {name};"));
        if !entry && !texts.values().any(declared) {
            complaints.push(format!("{}: no `mod {name};` anywhere", path.display()));
        }
    }
    report(&complaints);
}

/// The checks above, checked: each finds its planted offence.
#[test]
fn the_checks_can_fail() {
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX);
    let long = format!("fn f() {{\n{body}}}\n");
    assert_eq!(long_functions(&long), [(1, FUNCTION_LINES_MAX + 2)]);
    assert_eq!(long_functions("fn f() {\n}\n"), []);
    let used =
        uses("use crate::{\n    node::{Node, LinkId},\n    turn,\n};\nlet x = crate::slot::Slot;");
    assert_eq!(used, BTreeSet::from([("node", 6), ("turn", 7), ("slot", 0)]));
    assert_eq!(uses("//! [`crate::turn`]\n"), BTreeSet::new());
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests;"), "a");
}
