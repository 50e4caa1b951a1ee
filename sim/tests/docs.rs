//! What the documents say of the simulator is so: flags, oracles, faults, exit codes, and the places
//! in the source that they name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sim::{case::FaultClass, oracle::Kind};

/// Flags of other programs that the documents name.
const FOREIGN: &[&str] = &[
    "features",
    "fsync",
    "instr-profile",
    "no-default-features",
    "nocapture",
    "object",
    "release",
    "repair",
    "test",
    "workspace",
];

/// Folders by which the path of a file begins.
const FOLDERS: [&str; 5] = ["docs/", "fuzz/", "sim/", "src/", "tests/"];

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(home().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn guide() -> String {
    read("docs/simulator.md")
}

/// Names of long flags in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let names = words.filter_map(|word| word.strip_prefix("--"));
    let named = |name: &&str| name.starts_with(|c: char| c.is_ascii_lowercase());
    names.filter(named).map(str::to_owned).collect()
}

/// The first cells, without their quotes, of the table with such a head, and the rest of each line.
fn table<'t>(text: &'t str, head: &str) -> Vec<(&'t str, &'t str)> {
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = lines.take_while(|line| line.starts_with("| `"));
    rows.filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).collect()
}

#[test]
fn flags_are_those_of_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).arg("--help").output().expect("it runs");
    let mut known = flags(&String::from_utf8_lossy(&output.stdout));
    known.retain(|name| !["help", "version"].contains(&&name[..]));
    assert!(known.len() > 20, "{known:?}");
    let mut told = flags(&guide());
    told.retain(|name| !FOREIGN.contains(&&name[..]));
    assert_eq!(told, known, "in docs/simulator.md, and in sim --help");
    let evidence = flags(&read("docs/evidence.md"));
    let unknown = |name: &&String| !known.contains(*name) && !FOREIGN.contains(&&name[..]);
    assert_eq!(evidence.iter().find(unknown), None, "a flag in docs/evidence.md");
}

/// Sources below a folder, without their unit tests.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("a readable source");
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            found.push(code.to_owned());
        }
    }
}

/// The names by which failures name their oracle, as the source spells them.
fn oracles() -> BTreeSet<String> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let literal = |text: &str| {
        text.trim_start().strip_prefix('"')?.split_once('"').map(|(name, _)| name.to_owned())
    };
    let mut names = BTreeSet::new();
    for text in found {
        let constants = text.split("const ORACLE").skip(1);
        names.extend(constants.filter_map(|rest| literal(rest.split_once('=')?.1)));
        let failures = text.split("Failure::new(").skip(1);
        names.extend(failures.filter_map(|rest| literal(rest.split_once(',')?.1)));
        names.extend(text.split("safety(").skip(1).filter_map(literal));
    }
    names
}

#[test]
fn every_oracle_is_told_and_no_other() {
    let text = guide();
    let told = table(&text, "| oracle |").into_iter().map(|(name, _)| name.to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), oracles(), "in docs/simulator.md, in the source");
}

#[test]
fn every_fault_is_told_with_its_tiers() {
    let text = guide();
    let told: Vec<(&str, bool)> = table(&text, "| fault |")
        .into_iter()
        .map(|(name, rest)| (name, rest.trim_end().ends_with("| yes |")))
        .collect();
    let known = FaultClass::ALL.map(|class| (class.name(), class.in_turmoil()));
    assert_eq!(told, known);
}

#[test]
fn exit_codes_are_told() {
    let text = guide();
    for kind in [Kind::Harness, Kind::Liveness, Kind::Nondeterminism, Kind::Safety] {
        let row = format!("\n| {} | {kind:?}: ", kind.exit_code());
        assert!(text.contains(&row), "{row}");
    }
}

/// What stands between backquotes, outside of blocks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[test]
fn named_files_exist_and_have_what_is_named_with_them() {
    let (mut files, mut names) = (0, 0);
    for document in ["docs/simulator.md", "docs/evidence.md"] {
        // A point of a list is one line.
        let text = read(document).replace("\n  ", " ");
        for line in text.lines() {
            let begins = line.starts_with("- `");
            let mut inside = None;
            for word in quoted(line) {
                if FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(' ') {
                    assert!(home().join(word).exists(), "{document} names {word}");
                    files += 1;
                    inside = word.ends_with(".rs").then(|| read(word));
                    continue;
                }
                let name = word.split('(').next().unwrap_or_default();
                let name = name.rsplit("::").next().unwrap_or_default();
                let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if let (true, true, Some(source)) = (begins, is_name, &inside) {
                    assert!(source.contains(name), "{document}: {name} in {line}");
                    names += 1;
                }
            }
        }
    }
    assert!(files > 30 && names > 30, "{files} files, {names} names");
}
