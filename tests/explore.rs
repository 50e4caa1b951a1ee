//! The exhaustive search: real nodes do nothing that they must not, in any order of events; and with
//! a bug planted some order shows it.
//!
//! `cargo test --test explore -- --nocapture` tells how many states each setup has. `cargo run
//! --release -p sim -- --explore` searches to the end what is cut here.

use quorate::explore::{Found, explore, setups};

/// A search ends after so many states: those that are larger are cut, so that all together are some
/// hundred thousand and take less than a minute.
const STATES_MAX: usize = 10_000;
/// More than any setup has whose space is searched whole: one that has more has changed.
const WHOLE_MAX: usize = 60_000;

/// Setups whose whole space is searched.
const COMPLETE: &[&str] = &[
    "data lost",
    "drop",
    "fast read",
    "fast read of nothing",
    "forwarded",
    "old confirmation",
    "own write",
    "power failure",
    "slow disk",
    "stale read",
    "takeover",
];

#[test]
fn no_order_of_events_breaks_an_invariant() {
    let mut states = 0;
    for setup in setups::SMALL {
        let whole = COMPLETE.contains(&setup.name);
        let found = explore(setup, if whole { WHOLE_MAX } else { STATES_MAX });
        let Found { states: count, steps, depth, complete, violation, .. } = found;
        println!(
            "{:28} {count:6} states, {steps:6} steps, {depth:2} deep, {}",
            setup.name,
            if complete { "complete" } else { "cut" },
        );
        if let Some(violation) = violation {
            panic!("{}: {violation}", setup.name);
        }
        assert!(complete || !whole, "{} is cut", setup.name);
        states += count;
    }
    println!("{states} states in all");
    assert!(states >= 100_000, "only {states} states");
}

#[cfg(feature = "mutants")]
mod planted {
    use super::{explore, setups};
    use quorate::probe::{Mutant, plant};

    /// Each planted bug, and where it shows.
    const SHOWN: &[(Mutant, &str)] = &[
        (Mutant::AcceptIgnoresPromised, "old leader returns"),
        (Mutant::DroppedEarly, "drop"),
        (Mutant::FailedConditionUnconfirmed, "own write"),
        (Mutant::FastAbsentIsTombstone, "fast read of nothing"),
        (Mutant::FastReadNewest, "slow disk"),
        (Mutant::NoIncarnationCheck, "acknowledged and forgotten"),
        (Mutant::NoRestamp, "takeover"),
        (Mutant::OldConfirmation, "old confirmation"),
        (Mutant::OldSessionAccepted, "old session"),
        (Mutant::PromiseNotDurable, "leader restarts"),
        (Mutant::PromisesIgnored, "takeover"),
        (Mutant::QuorumOffByOne, "takeover"),
        (Mutant::ReadUncommitted, "slow disk"),
        (Mutant::ReadUnconfirmed, "stale read"),
        (Mutant::RecoversFromFew, "power failure"),
        (Mutant::RecoveryDropsPromise, "promise lost"),
        (Mutant::RecoveryKeepsDisk, "drop and power failure"),
        (Mutant::RecoveryKeepsDropped, "drop and power failure"),
        (Mutant::SeqReused, "leader restarts"),
        (Mutant::UndurableShown, "slow disk"),
        (Mutant::UnknownRetried, "forwarded"),
        (Mutant::VotesAtOnce, "data lost"),
    ];
    /// The most that any of them takes is 99,965.
    const STATES_MAX: usize = 150_000;

    #[test]
    fn planted_bugs_show() {
        let mut survivors = Vec::new();
        for (mutant, name) in SHOWN {
            let setup = setups::named(name).expect("a setup of that name");
            plant(Some(*mutant));
            let found = explore(setup, STATES_MAX);
            plant(None);
            match found.violation {
                Some(violation) => println!(
                    "{:30} {name}: {} states, {} steps: {}",
                    mutant.name(),
                    found.states,
                    violation.steps.len(),
                    violation.reason,
                ),
                None => survivors.push(mutant.name()),
            }
        }
        assert_eq!(survivors, [""; 0], "these do not show");
    }
}
