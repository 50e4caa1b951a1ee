//! One seed is one run: in one process, in two, played twice, and on every machine.
//!
//! `tests/golden/hashes.txt` holds the event hashes of some seeds: tier, seed, hash. A run whose
//! hash is another one means one of two things. Either the node, a driver or the drawing of cases
//! has been changed: every byte that a node sends and every time at which it does is in the hash, so
//! any change of behaviour shows here, also a wanted one. Then `UPDATE_GOLDEN=1 cargo test -p sim
//! --test determinism` records the hashes anew, and the commit says what has changed. Or nothing has
//! been changed: then something outside the seed decides (order of a map, address, clock, width of
//! an integer), and that is a bug. Debug and release builds must give the same hashes; `.ci/run`
//! compares both.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use sim::{
    case::Case,
    play::{Tier, play_twice},
    tier_a, tier_b,
};

/// Seeds that together have all classes of faults; few, since these tests run without optimisation.
const SEEDS: [u64; 3] = [1, 2, 3];

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs")
}

fn hash(tier: Tier, seed: u64) -> u64 {
    let case = tier.case(Case::draw(seed));
    match tier {
        Tier::A => tier_a::run(&case, false).trace.hash(),
        Tier::B => tier_b::run(&case).trace.hash(),
    }
}

#[test]
fn a_seed_gives_one_hash_in_one_process() {
    for tier in [Tier::A, Tier::B] {
        for seed in SEEDS {
            let report = play_twice(&tier.case(Case::draw(seed)), tier);
            assert_eq!(report.failure, None, "seed {seed}");
            assert!(report.reached.answered > 0, "seed {seed} did nothing");
        }
        assert_ne!(hash(tier, 1), hash(tier, 2));
    }
}

#[test]
fn a_seed_gives_one_hash_in_two_processes() {
    for tier in [Tier::A, Tier::B] {
        let here = format!("hash {:016x}", hash(tier, 1));
        for _ in 0..2 {
            let output = run(&["--tier", &tier.to_string(), "--seed", "1"]);
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{text}");
            assert!(text.contains(&here), "{here} is not in {text}");
        }
    }
}

/// What is recorded: a few seeds of each tier, since these tests run without optimisation too.
const GOLDEN: [(Tier, &[u64]); 2] =
    [(Tier::A, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), (Tier::B, &[1, 2, 3])];

fn golden_lines() -> String {
    let lines = GOLDEN.iter().flat_map(|(tier, seeds)| {
        seeds.iter().map(move |seed| format!("{tier} {seed} {:016x}\n", hash(*tier, *seed)))
    });
    lines.collect()
}

/// The recorded lines that are not found, each with what is.
fn differences(recorded: &str, found: &str) -> Vec<String> {
    let mut differing = Vec::new();
    let lines = recorded.lines().count().max(found.lines().count());
    for number in 0..lines {
        let line = |text: &str| text.lines().nth(number).unwrap_or("nothing").to_owned();
        let (recorded, found) = (line(recorded), line(found));
        if recorded != found {
            differing.push(format!("recorded: {recorded}; found: {found}"));
        }
    }
    differing
}

#[test]
fn seeds_give_the_recorded_hashes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/hashes.txt");
    let found = golden_lines();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).expect("a writable file of hashes");
    }
    let recorded = fs::read_to_string(&path).expect("the recorded hashes");
    let differing = differences(&recorded, &found);
    assert!(
        differing.is_empty(),
        "{}\nIf behaviour was meant to change, record it with UPDATE_GOLDEN=1; see the head of \
         this file.",
        differing.join("\n")
    );
}

#[test]
fn a_hash_that_differs_is_told() {
    let recorded = "a 0 00ff\na 1 01ff\n";
    assert_eq!(differences(recorded, recorded), [""; 0]);
    let told = ["recorded: a 1 01ff; found: a 1 01fe"];
    assert_eq!(differences(recorded, "a 0 00ff\na 1 01fe\n"), told);
    assert_eq!(differences(recorded, "a 0 00ff\n"), ["recorded: a 1 01ff; found: nothing"]);
}

#[test]
fn a_batch_counts_what_it_did() {
    let output = run(&["--seeds", "2", "--from", "4"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("2 seeds") && text.contains("0 failures"), "{text}");
}
