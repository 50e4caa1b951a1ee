//! Histories written by hand, one for each way to go wrong, and for what looks wrong but is not.

use crate::check::{
    Budget, History, Operation, Register, Value, Verdict, Violation, interval,
    model::{Counter, CounterOp, CounterOutcome, RegisterOp, RegisterOutcome},
    register, search,
};

fn add(
    history: &mut History<Register>,
    start: u64,
    end: Option<u64>,
    op: RegisterOp,
    outcome: Option<RegisterOutcome>,
) {
    history.push(Operation { start, end, op, outcome, client: None });
}

/// A history from lines: `start end operation [answer]`, where an end of `?` is pending:
/// `write 1`, `read 1`, `read absent`, `delete`, `delete yes`, `delete no`.
fn parse(text: &str) -> History<Register> {
    let mut history = History::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = (words[0].parse().unwrap(), words[1].parse().ok());
        let value = |word: &str| Value(word.parse().unwrap());
        let (op, outcome) = match words[2..] {
            ["delete"] => (RegisterOp::Delete, None),
            ["delete", existed] => {
                let existed = existed == "yes";
                (RegisterOp::Delete, Some(RegisterOutcome::Deleted { existed }))
            }
            ["read"] => (RegisterOp::Read, None),
            ["read", "absent"] => (RegisterOp::Read, Some(RegisterOutcome::Found(None))),
            ["read", word] => (RegisterOp::Read, Some(RegisterOutcome::Found(Some(value(word))))),
            ["write", word] => {
                (RegisterOp::Write(value(word)), end.map(|_| RegisterOutcome::Written))
            }
            _ => panic!("what is {line}?"),
        };
        add(&mut history, start, end, op, outcome);
    }
    history
}

/// Both checkers accept the history.
#[track_caller]
fn good(text: &str) {
    let history = parse(text);
    assert!(interval::check(&history).is_ok(), "{:?}", interval::check(&history));
    assert_eq!(search::check(&history, &Budget::default()), Verdict::Linearizable);
    assert_eq!(register(&history, &Budget::default()), Verdict::Linearizable);
}

/// Both checkers refuse the history; the interval check for this reason, about these operations.
#[track_caller]
fn bad(text: &str, reason: &str, operations: &[usize]) {
    let history = parse(text);
    let violation = interval::check(&history).unwrap_err();
    assert_eq!(violation, Violation { operations: operations.to_vec(), reason: reason.to_owned() });
    assert_eq!(register(&history, &Budget::default()), Verdict::Violation(violation));
    assert!(refused_by_search(&history));
}

fn refused_by_search(history: &History<Register>) -> bool {
    matches!(search::check(history, &Budget::default()), Verdict::Violation(_))
}

/// Only the search can refuse the history, as it turns on a delete.
#[track_caller]
fn bad_for_search(text: &str) {
    let history = parse(text);
    assert_eq!(interval::check(&history), Ok(interval::Coverage::Values));
    assert!(matches!(register(&history, &Budget::default()), Verdict::Violation(_)));
}

#[test]
fn nothing_and_one_client_alone() {
    good("");
    good("0 1 read absent\n 2 3 write 1\n 4 5 read 1\n 6 7 write 2\n 8 9 read 2");
}

#[test]
fn a_stale_read() {
    bad(
        "0 1 write 1\n 2 3 write 2\n 4 5 read 1",
        "\"write v1\" and the reads of it come before \"write v2\" and the reads of it, as \
         \"write v1 -> ok\" (0..1) ended before \"write v2 -> ok\" (2..3) started; yet \
         \"write v2\" comes before \"write v1\", as \"write v2 -> ok\" (2..3) ended before \
         \"read -> v1\" (4..5) started",
        &[0, 1, 2],
    );
    good("0 1 write 1\n 2 4 write 2\n 4 5 read 1");
}

#[test]
fn a_read_of_what_nobody_wrote() {
    bad("0 1 write 1\n 2 3 read 7", "\"read -> v7\" (2..3) returned v7, which nobody wrote", &[1]);
}

#[test]
fn new_then_old_between_two_reads() {
    bad(
        "0 1 write 1\n 2 9 write 2\n 3 4 read 2\n 5 6 read 1",
        "\"write v1\" and the reads of it come before \"write v2\" and the reads of it, as \
         \"write v1 -> ok\" (0..1) ended before \"read -> v2\" (3..4) started; yet \"write v2\" \
         comes before \"write v1\", as \"read -> v2\" (3..4) ended before \"read -> v1\" (5..6) \
         started",
        &[0, 1, 2, 3],
    );
    good("0 1 write 1\n 2 9 write 2\n 3 5 read 2\n 5 6 read 1");
}

#[test]
fn a_read_before_its_write_began() {
    bad(
        "0 1 read 1\n 2 3 write 1",
        "\"read -> v1\" (0..1) ended before the write of what it returned began, \
         \"write v1 -> ok\" (2..3)",
        &[0, 1],
    );
    good("0 2 read 1\n 2 3 write 1");
}

#[test]
fn a_lost_write() {
    bad(
        "0 1 write 1\n 2 3 read absent",
        "\"write v1 -> ok\" (0..1) ended before \"read -> absent\" (2..3) started, yet that found \
         nothing",
        &[0, 1],
    );
    bad(
        "0 ? write 1\n 1 2 read 1\n 3 4 read absent",
        "\"write v1\" (0.., pending) was seen by \"read -> v1\" (1..2), which ended before \
         \"read -> absent\" (3..4) started, yet that found nothing",
        &[0, 1, 2],
    );
    good("0 2 write 1\n 2 3 read absent");
}

#[test]
fn a_pending_write_takes_effect_late_or_never() {
    good("0 ? write 1\n 1 2 write 2\n 3 4 read 2\n 50 60 read 1");
    good("0 ? write 1\n 1 2 write 2\n 3 4 read 2\n 50 60 read 2");
    good("0 ? write 1\n 5 6 read absent\n 7 ? read");
    // But not twice.
    let text = "0 ? write 1\n 1 2 read 1\n 3 4 write 2\n 5 6 read 2\n 7 8 read 1";
    assert!(interval::check(&parse(text)).is_err());
    assert!(refused_by_search(&parse(text)));
}

#[test]
fn deletes_that_the_intervals_decide() {
    good("0 1 read absent\n 2 3 write 1\n 4 5 delete\n 6 7 write 2\n 8 9 read 2");
    let text = "0 1 write 1\n 2 3 delete\n 4 5 read 1";
    assert!(interval::check(&parse(text)).is_err());
    assert!(refused_by_search(&parse(text)));
}

#[test]
fn deletes_that_only_the_search_decides() {
    good("0 1 write 1\n 2 3 delete yes\n 4 5 read absent\n 6 7 delete no");
    good("0 ? delete\n 1 2 write 1\n 3 4 read 1\n 5 6 read absent");
    bad_for_search("0 1 write 1\n 2 3 delete no");
    bad_for_search("0 1 delete yes");
    bad_for_search("0 1 delete\n 2 3 write 1\n 4 5 read absent");
    // Deleted, written, and gone without another delete.
    bad_for_search("0 1 write 1\n 2 3 delete yes\n 4 5 write 2\n 6 7 read 2\n 8 9 read absent");
}

fn counted(operations: &[(u64, u64, CounterOp, CounterOutcome)]) -> Verdict {
    let mut history: History<Counter> = History::new();
    for &(start, end, op, outcome) in operations {
        let (end, outcome) = (Some(end), Some(outcome));
        history.push(Operation { start, end, op, outcome, client: None });
    }
    search::check(&history, &Budget::default())
}

#[test]
fn what_one_client_sends_without_waiting_takes_effect_in_that_order() {
    let seen = |first: Option<usize>, second: Option<usize>, pending: bool| {
        let mut history: History<Register> = History::new();
        let (read, found) = (RegisterOp::Read, RegisterOutcome::Found(Some(Value(1))));
        let write = RegisterOp::Write(Value(1));
        for (op, outcome, client) in
            [(read, found, first), (write, RegisterOutcome::Written, second)]
        {
            let end = (op == read || !pending).then_some(5);
            let outcome = end.map(|_| outcome);
            history.push(Operation { start: 0, end, op, outcome, client });
        }
        search::check(&history, &Budget::default())
    };
    assert_eq!(seen(None, None, false), Verdict::Linearizable);
    assert_eq!(seen(Some(1), Some(2), false), Verdict::Linearizable);
    let Verdict::Violation(violation) = seen(Some(1), Some(1), false) else {
        panic!("the read found what was written behind it")
    };
    assert_eq!(violation.operations, [0]);
    // Of what nobody heard of nobody knows whose it was: a retry may have come late.
    assert_eq!(seen(Some(1), Some(1), true), Verdict::Linearizable);
}

#[test]
fn a_lost_update_and_two_winners() {
    let number = |number| CounterOutcome::Number(Some(number));
    let add = CounterOp::Add(1);
    let both = [(0, 5, add, number(1)), (0, 5, add, number(2))];
    assert_eq!(counted(&both), Verdict::Linearizable);
    let Verdict::Violation(violation) = counted(&[(0, 5, add, number(1)), (0, 6, add, number(1))])
    else {
        panic!("both additions saw 0")
    };
    assert_eq!(violation.operations, [1]);
    assert_eq!(
        violation.to_string(),
        "no order explains all 2 operations: the longest explains 1, with the state Some(1) then, \
         and cannot place \"add 1 -> 1\" (0..6) before what started after it"
    );
    let claim = |to| CounterOp::set_if_absent(to);
    let won = CounterOutcome::Changed(true);
    let two_winners = counted(&[(0, 5, claim(1), won), (0, 5, claim(2), won)]);
    assert!(matches!(two_winners, Verdict::Violation(_)));
}

#[test]
fn a_spent_budget_is_no_verdict() {
    let history = parse("0 9 write 1\n 0 9 write 2\n 0 9 write 3\n 10 11 read 7");
    assert!(refused_by_search(&history));
    assert_eq!(search::check(&history, &Budget { visits_max: 5 }), Verdict::Unknown);
}

#[test]
#[should_panic(expected = "v1 is written twice")]
fn values_must_be_unique() {
    let _ = interval::check(&parse("0 1 write 1\n 2 3 write 1"));
}
