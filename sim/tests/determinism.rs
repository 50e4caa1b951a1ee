//! One seed is one run: in one process, in two, and played twice.

use std::process::{Command, Output};

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

#[test]
fn a_batch_counts_what_it_did() {
    let output = run(&["--seeds", "2", "--from", "4"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("2 seeds") && text.contains("0 failures"), "{text}");
}
