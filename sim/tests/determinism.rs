//! One seed is one run: in one process, in two, and played twice.

use std::process::{Command, Output};

use sim::{batch::play, case::Case, tier_b};

/// Seeds that together have all classes of faults; few, since these tests run without optimisation.
const SEEDS: [u64; 3] = [1, 2, 3];

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the binary runs")
}

#[test]
fn a_seed_gives_one_hash_in_one_process() {
    for seed in SEEDS {
        let report = play(seed, true);
        assert_eq!(report.failure, None, "seed {seed}");
        assert!(report.reached.answered > 0, "seed {seed} did nothing");
    }
    let (one, two) = (tier_b::run(&Case::draw(1)), tier_b::run(&Case::draw(2)));
    assert_ne!(one.trace.hash(), two.trace.hash());
}

#[test]
fn a_seed_gives_one_hash_in_two_processes() {
    let here = format!("hash {:016x}", tier_b::run(&Case::draw(1)).trace.hash());
    for _ in 0..2 {
        let output = run(&["--seed", "1"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains(&here), "{here} is not in {text}");
    }
}

#[test]
fn a_batch_counts_what_it_did() {
    let output = run(&["--seeds", "2", "--from", "4"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("2 seeds") && text.contains("0 failures"), "{text}");
}
