//! Requests that a client sends in two parts, or only in part.

use sim::{
    case::{Case, Dialect, Op, Size, Step, Then, Torn},
    history::Outcome,
    play::{Tier, play},
};

/// One node, one client: a SET that is torn, and later a GET of its key.
fn case(dialect: Dialect, torn: Torn) -> Case {
    let mut case = Case::draw_sized(4, Size { nodes: Some(1), operations: None });
    case.faults.clear();
    case.config.clients = 1;
    case.workload.dialects = vec![dialect];
    case.workload.databases = vec![1];
    let set = Op::Set { key: "k".to_owned(), value: "v0.1-abcdefgh".to_owned() };
    let step = |at_ms, op, torn| Step {
        at_ms,
        client: 0,
        node: 0,
        fresh: false,
        ops: vec![op],
        db: None,
        torn,
    };
    let get = Op::Get { key: "k".to_owned() };
    case.workload.steps = vec![step(500, set, Some(torn)), step(5000, get, None)];
    case
}

#[test]
fn half_a_request_has_no_effect() {
    for permille in [0, 300, 800, 1000] {
        for (dialect, then) in [
            (Dialect::Resp, Then::Close),
            (Dialect::Resp, Then::Reset),
            (Dialect::Text, Then::Reset),
        ] {
            let case = case(dialect, Torn { permille, then });
            let report = play(&case, Tier::A, false);
            assert_eq!(report.failure, None, "{dialect:?} {then:?} at {permille}");
            let outcomes: Vec<&Outcome> = report.history.iter().map(|e| &e.outcome).collect();
            // Besides it only the writes that the node has to take in the end, one in each database.
            assert_eq!(
                outcomes,
                [&Outcome::Missing, &Outcome::Done, &Outcome::Done, &Outcome::Done]
            );
        }
    }
}

#[test]
fn the_second_half_of_a_request_makes_it_whole() {
    for tier in [Tier::A, Tier::B] {
        for dialect in [Dialect::Resp, Dialect::Text] {
            let torn = Torn { permille: 700, then: Then::Stall { for_ms: 400 } };
            let report = play(&case(dialect, torn), tier, false);
            assert_eq!(report.failure, None, "{dialect:?} in tier {tier}");
            let set = &report.history[0];
            assert_eq!(set.outcome, Outcome::Done);
            assert!(set.end_us > Some(set.start_us + 400_000), "it took no notice of the pause");
            assert_eq!(report.history[1].outcome, Outcome::Value(b"v0.1-abcdefgh".to_vec()));
        }
    }
}

/// What the checks above rest on: had half a request an effect, it would be seen. The end of input
/// ends a line, so this one is a request that nobody is known to have sent.
#[test]
fn an_effect_of_half_a_request_is_seen() {
    let case = case(Dialect::Text, Torn { permille: 800, then: Then::Close });
    let failure = play(&case, Tier::A, false).failure.expect("a value from nowhere");
    assert_eq!((failure.oracle, failure.key.as_deref()), ("linear", Some("k in database 1")));
}
