//! The checkers against each other, and against the definition, on many small histories; and what
//! a flaw in a checker would look like there.

use std::time::Instant;

use super::{Counter, Deleting, Rng, history, honest, is_honest, is_linearizable, plain, small};
use crate::check::{
    Budget, History, Operation, Register, Value, Verdict, interval,
    model::{RegisterOp, RegisterOutcome},
    register, search,
};

const HISTORIES: u64 = 10_000;

fn found<M: crate::check::Model>(history: &History<M>) -> bool {
    match search::check(history, &Budget::default()) {
        Verdict::Linearizable => true,
        Verdict::Unknown => panic!("a small history within the budget"),
        Verdict::Violation(_) => false,
    }
}

#[test]
fn intervals_and_search_agree() {
    let (mut good, mut bad, mut pending) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let history: History<Register> = history(small(seed));
        let by_interval = match interval::check(&history) {
            Ok(coverage) => {
                assert_eq!(coverage, interval::Coverage::Everything);
                true
            }
            Err(_) => false,
        };
        assert_eq!(by_interval, found(&history), "seed {seed}: {history:#?}");
        assert_eq!(by_interval, is_linearizable(&history), "seed {seed}: {history:#?}");
        assert!(by_interval || !is_honest(seed), "seed {seed} is honest: {history:#?}");
        *(if by_interval { &mut good } else { &mut bad }) += 1;
        pending += u64::from(history.operations().iter().any(|operation| operation.end.is_none()));
    }
    println!("{good} linearizable, {bad} not; {pending} with pending operations");
    assert!(good > 1_000 && bad > 1_000 && pending > 1_000);
}

#[test]
fn deletes_are_decided_by_both_together() {
    let (mut good, mut bad, mut early, mut searched) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let history = plain(small::<Deleting>(seed));
        let truth = is_linearizable(&history);
        assert_eq!(truth, found(&history), "seed {seed}: {history:#?}");
        let verdict = register(&history, &Budget::default());
        assert_eq!(truth, verdict == Verdict::Linearizable, "seed {seed}: {history:#?}");
        match interval::check(&history) {
            Ok(interval::Coverage::Everything) => assert!(truth, "seed {seed}: {history:#?}"),
            Ok(interval::Coverage::Values) => searched += 1,
            Err(_) => {
                assert!(!truth, "seed {seed}: {history:#?}");
                early += 1;
            }
        }
        assert!(truth || !is_honest(seed), "seed {seed} is honest: {history:#?}");
        *(if truth { &mut good } else { &mut bad }) += 1;
    }
    println!("{good} linearizable, {bad} not; {early} refused by intervals, {searched} searched");
    assert!(good > 1_000 && bad > 1_000 && early > 500 && searched > 1_000);
}

#[test]
fn the_search_agrees_with_the_definition_on_counters() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..HISTORIES {
        let history: History<Counter> = history(small(seed));
        let truth = is_linearizable(&history);
        assert_eq!(truth, found(&history), "seed {seed}: {history:#?}");
        assert!(truth || !is_honest(seed), "seed {seed} is honest: {history:#?}");
        *(if truth { &mut good } else { &mut bad }) += 1;
    }
    println!("{good} linearizable, {bad} not");
    assert!(good > 1_000 && bad > 1_000);
}

/// Every condition of the checkers is left out once. Were the histories too tame to tell, then the
/// agreement above would prove nothing about that condition.
#[test]
fn the_histories_tell_every_planted_flaw() {
    let intervals = [
        ("nothing", interval::Rules::ALL),
        ("absent first", interval::Rules { absent_first: false, ..interval::Rules::ALL }),
        ("no enclosure", interval::Rules { no_enclosure: false, ..interval::Rules::ALL }),
        ("no overlap", interval::Rules { no_overlap: false, ..interval::Rules::ALL }),
        ("write first", interval::Rules { write_first: false, ..interval::Rules::ALL }),
    ];
    let searches = [
        ("nothing", search::Rules::ALL),
        ("pending acts", search::Rules { pending_acts: false, ..search::Rules::ALL }),
        ("real time", search::Rules { real_time: false, ..search::Rules::ALL }),
        ("state matters", search::Rules { state_matters: false, ..search::Rules::ALL }),
    ];
    let mut wrong = vec![0; intervals.len() + searches.len()];
    for seed in 0..HISTORIES {
        let history: History<Register> = history(small(seed));
        let truth = is_linearizable(&history);
        let by_interval =
            intervals.iter().map(|(_, rules)| interval::check_with(&history, rules).is_ok());
        let by_search = searches.iter().map(|(_, rules)| {
            search::check_with(&history, &Budget::default(), rules) == Verdict::Linearizable
        });
        for (wrong, verdict) in wrong.iter_mut().zip(by_interval.chain(by_search)) {
            *wrong += u64::from(verdict != truth);
        }
    }
    let names = intervals.iter().map(|(name, _)| ("intervals", *name));
    let names = names.chain(searches.iter().map(|(name, _)| ("search", *name)));
    for ((checker, name), wrong) in names.zip(wrong) {
        println!("{checker} without {name}: {wrong} of {HISTORIES} verdicts wrong");
        assert_eq!(name == "nothing", wrong == 0, "{checker} without {name}: {wrong} wrong");
        assert!(name == "nothing" || wrong >= 50, "{checker} without {name}: {wrong} wrong");
    }
}

/// Prints times, and asserts none.
#[test]
fn long_histories() {
    let mut rng = Rng(1);
    let mut operations = honest::<Register>(&mut rng, 10_000, 8, 500);
    let good = history(operations.clone());
    let started = Instant::now();
    assert_eq!(interval::check(&good), Ok(interval::Coverage::Everything));
    println!("intervals: {} operations in {:?}", operations.len(), started.elapsed());
    let started = Instant::now();
    assert_eq!(search::check(&good, &Budget::default()), Verdict::Linearizable);
    println!("search: {} operations in {:?}", operations.len(), started.elapsed());

    let read = operations
        .iter_mut()
        .skip(5_000)
        .find(|operation| matches!(operation.outcome, Some(RegisterOutcome::Found(Some(_)))))
        .unwrap();
    assert_eq!(read.op, RegisterOp::Read);
    read.outcome = Some(RegisterOutcome::Found(Some(Value(20_000))));
    let bad = history(operations);
    assert!(interval::check(&bad).is_err());

    let mut operations = honest::<Deleting>(&mut rng, 10_000, 8, 1_000_000);
    let started = Instant::now();
    let verdict = register(&plain(operations.clone()), &Budget::default());
    println!("search with deletes: 10000 operations in {:?}", started.elapsed());
    assert_eq!(verdict, Verdict::Linearizable);

    // A lost write at the very end, which a delete could explain if one came late enough: the
    // search has to go through all it can reach.
    let last = operations.iter().filter_map(|operation| operation.end).max().unwrap();
    let (write, written) = (RegisterOp::Write(Value(20_000)), RegisterOutcome::Written);
    for (start, op, outcome) in
        [(last + 1, write, written), (last + 3, RegisterOp::Read, RegisterOutcome::Found(None))]
    {
        let (end, outcome) = (Some(start + 1), Some(outcome));
        operations.push(Operation { start, end, op, outcome, client: None });
    }
    let started = Instant::now();
    let verdict = register(&plain(operations), &Budget::default());
    println!("the same with a lost write in {:?}", started.elapsed());
    let Verdict::Violation(violation) = verdict else { panic!("a lost write") };
    assert_eq!(violation.operations, [10_001], "{violation}");
}
