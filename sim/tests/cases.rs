//! Cases that once found something, kept: all must pass.
//!
//! A case is named after the bug that it found or kills; with that bug planted again it fails (see
//! `sim --mutant NAME --replay FILE`).

use std::{fs, path::PathBuf};

use quorate::probe::Mutant;
use sim::{
    case::Case,
    mutants::strangers,
    play::{Tier, play_twice},
};

#[test]
fn kept_cases_pass() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let entries = fs::read_dir(&folder).expect("the folder of cases");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases");
    for path in paths {
        let text = fs::read_to_string(&path).expect("a readable case");
        let case = Case::from_json(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let report = play_twice(&case, Tier::A);
        assert_eq!(report.failure, None, "{}", path.display());
    }
}

#[test]
fn each_planted_bug_has_a_line_in_the_kill_table_and_a_kept_case() {
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(home.join("KILLS.md")).expect("the kill table");
    let open = open(&table);
    let strangers = strangers(&table);
    let unknown: Vec<&String> = strangers.iter().filter(|name| !open.contains(name)).collect();
    assert_eq!(unknown, [""; 0], "see the head of KILLS.md");
    assert!(!table.contains("SURVIVED"), "a planted bug survives");
    let by_script = by_script(&table);
    let of_cases =
        |mutant: &&Mutant| !open.iter().chain(&by_script).any(|other| other == mutant.name());
    for mutant in Mutant::ALL.iter().filter(of_cases) {
        let path = home.join(format!("../tests/cases/{}.json", mutant.name()));
        assert!(path.is_file(), "{} has no kept case", mutant.name());
    }
}

/// The planted bugs that have no kept case yet, as the kill table names them under "Open".
fn open(table: &str) -> Vec<String> {
    let part = table.split("\n## Open\n").nth(1).unwrap_or_default();
    part.lines().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect()
}

/// The planted bugs that a script kills, as their lines in the kill table say: see `tests/scripts.rs`
/// of quorate.
fn by_script(table: &str) -> Vec<String> {
    let lines = table.lines().filter(|line| line.contains("`tests/scripts/"));
    let names = lines.filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    names.map(str::to_owned).collect()
}

/// The kept cases are not empty shells: each fails with the bug planted that it is named after.
#[cfg(feature = "mutants")]
#[test]
fn kept_cases_kill_the_bugs_that_they_are_named_after() -> Result<(), String> {
    use quorate::probe::plant;
    use sim::play::{catch_panics, play};

    catch_panics();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let mut survivors = Vec::new();
    let table = include_str!("../KILLS.md");
    let open = open(table);
    println!("{} planted bugs, of which {} are open", Mutant::ALL.len(), open.len());
    let by_script = by_script(table);
    let of_cases =
        |mutant: &&Mutant| !open.iter().chain(&by_script).any(|other| other == mutant.name());
    for mutant in Mutant::ALL.iter().filter(of_cases) {
        let path = folder.join(format!("{}.json", mutant.name()));
        let text = fs::read_to_string(&path).expect("each planted bug has a case");
        let case = Case::from_json(&text).expect("a case");
        plant(Some(*mutant));
        let report = play(&case, Tier::A, false);
        plant(None);
        if report.failure.is_none() {
            survivors.push(mutant.name());
        }
    }
    // Returned, not asserted: panics are caught here, and their words with them.
    if survivors.is_empty() { Ok(()) } else { Err(format!("survive their cases: {survivors:?}")) }
}
