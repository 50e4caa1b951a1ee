//! Made-up histories that it lets pass and that it refuses.

use super::*;

fn keys() -> Vec<String> {
    ["{p}a", "{p}b"].map(str::to_owned).to_vec()
}

fn entry(op: Op, (start_us, end_us): (u64, u64), outcome: Outcome) -> Entry {
    // Each of a client of its own.
    let client = start_us as usize;
    Entry { client, node: 0, db: 0, op, start_us, end_us: Some(end_us), outcome }
}

fn both(value: &str, span: (u64, u64), outcome: Outcome) -> Entry {
    entry(Op::Both { keys: keys(), value: value.to_owned() }, span, outcome)
}

fn read(held: [Option<&str>; 2], span: (u64, u64)) -> Entry {
    let held = held.map(|value| value.map(|value| value.as_bytes().to_vec()));
    entry(Op::GetBoth { keys: keys() }, span, Outcome::List(held.to_vec()))
}

fn rename(from: usize, span: (u64, u64), outcome: Outcome) -> Entry {
    let (from, to) = (keys().swap_remove(from), keys().swap_remove(1 - from));
    entry(Op::Rename { from, to }, span, outcome)
}

fn wrong(history: &[Entry]) -> bool {
    check(&Observed { history: history.to_vec(), ..Observed::default() }).is_err()
}

#[test]
fn half_of_what_was_acknowledged_is_seen() {
    let (one, two) = (both("v1", (1, 2), Outcome::Done), both("v2", (3, 6), Outcome::Done));
    let seen = |held, span| wrong(&[one.clone(), two.clone(), read(held, span)]);
    for held in [[Some("v1"); 2], [Some("v2"); 2]] {
        assert!(!seen(held, (4, 5)), "they overlap");
    }
    for held in [[Some("v1"), Some("v2")], [Some("v2"), Some("v1")], [Some("v2"), None]] {
        assert!(seen(held, (4, 5)));
    }
    assert!(seen([Some("v1"); 2], (7, 8)), "it is over");
    let own = |value| Entry { client: 3, ..read([Some(value); 2], (4, 6)) };
    assert!(!wrong(&[one.clone(), two.clone(), own("v2")]));
    assert!(wrong(&[one.clone(), two.clone(), own("v1")]), "it was asked behind that");
    let back = [read([Some("v2"); 2], (4, 5)), read([Some("v1"); 2], (6, 7))];
    assert!(wrong(&[vec![one, two], back.to_vec()].concat()));
}

#[test]
fn half_of_what_is_in_doubt_may_be_there_and_nothing_of_what_was_refused() {
    let one = both("v1", (1, 2), Outcome::Done);
    let half = read([Some("v2"), Some("v1")], (5, 6));
    let with = |outcome| wrong(&[one.clone(), both("v2", (3, 4), outcome), half.clone()]);
    assert!(!with(Outcome::InDoubt) && !with(Outcome::Unknown));
    assert!(with(Outcome::Refused) && with(Outcome::Done));
    let unseen: Vec<Entry> = (0..60)
        .map(|n| both(&format!("x{n}"), (3, 4), Outcome::InDoubt))
        .chain([one, half])
        .collect();
    assert!(wrong(&unseen), "many in doubt do not hide it");
}

#[test]
fn a_value_that_is_renamed_is_in_one_place() {
    let set =
        entry(Op::Set { key: "{p}a".to_owned(), value: "v1".to_owned() }, (1, 2), Outcome::Done);
    let after =
        |outcome, held| wrong(&[set.clone(), rename(0, (3, 4), outcome), read(held, (5, 6))]);
    assert!(!after(Outcome::Done, [None, Some("v1")]));
    for held in [[Some("v1"), None], [Some("v1"); 2], [None; 2]] {
        assert!(after(Outcome::Done, held));
        assert!(!after(Outcome::InDoubt, held), "nothing is said of it from then on");
    }
    assert!(after(Outcome::Missing, [Some("v1"), None]), "there was something to rename");
    assert!(!after(Outcome::Refused, [Some("v1"), None]));
    assert!(after(Outcome::Refused, [None, Some("v1")]));
}
fn part(kind: &str, index: usize, value: &str) -> Part {
    let key = keys().swap_remove(index);
    match kind {
        "add" => Part::Add { key, by: value.parse().expect("a number") },
        "del" => Part::Del { key },
        "get" => Part::Get { key },
        _ => Part::Set { key, value: value.to_owned() },
    }
}

fn run(watched: bool, parts: &[Part], span: (u64, u64), told: Option<&[&str]>) -> Entry {
    let value = |value: &&str| (!value.is_empty()).then(|| value.as_bytes().to_vec());
    let told = told.map(|told| Outcome::List(told.iter().map(value).collect()));
    let op = Op::Transact { watched, parts: parts.to_vec() };
    entry(op, span, told.unwrap_or(Outcome::InDoubt))
}

#[test]
fn a_transaction_sees_and_changes_both_at_one_moment() {
    let adds = |at, told: Option<&[&str]>| {
        run(false, &[part("add", 0, "1"), part("add", 1, "5")], (at, at + 5), told)
    };
    let look = |at, told: &[&str]| {
        run(false, &[part("get", 0, ""), part("get", 1, "")], (at, at + 1), Some(told))
    };
    let first = || adds(1, Some(&["1", "5"]));
    assert!(!wrong(&[first(), adds(3, Some(&["2", "10"])), look(9, &["2", "10"])]));
    assert!(wrong(&[first(), adds(3, Some(&["2", "5"]))]), "it was added to one only");
    assert!(wrong(&[first(), adds(3, Some(&["2", "10"])), look(5, &["2", "5"])]));
    // What is in doubt may have been done in part.
    for told in [["1", "5"], ["2", "10"], ["2", "5"], ["1", "10"]] {
        assert!(!wrong(&[first(), adds(7, None), look(20, &told)]));
    }
    assert!(wrong(&[first(), adds(7, None), look(20, &["3", "5"])]), "but not twice");
}

#[test]
fn a_transaction_sees_what_it_has_done_itself() {
    let parts = [part("get", 0, ""), part("set", 0, "v1"), part("get", 0, ""), part("del", 1, "")];
    let told = |told: &[&str]| wrong(&[run(false, &parts, (1, 2), Some(told))]);
    assert!(!told(&["", "OK", "v1", "0"]));
    assert!(told(&["", "OK", "", "0"]) && told(&["v1", "OK", "v1", "0"]));
    assert!(told(&["", "OK", "v1", "1"]));
    let doubt = run(false, &[part("set", 1, "v0")], (1, 2), None);
    let found = |told: &[&str]| wrong(&[doubt.clone(), run(false, &parts, (3, 4), Some(told))]);
    assert!(!found(&["", "OK", "v1", "1"]) && !found(&["", "OK", "v1", "0"]));
}

#[test]
fn what_is_watched_has_not_changed_when_the_transaction_takes_effect() {
    let one = || both("v1", (1, 2), Outcome::Done);
    let two = || both("v2", (3, 9), Outcome::Done);
    let parts = [part("set", 0, "v3"), part("get", 1, "")];
    let swap = |told: &[&str]| {
        let read = read([Some("v3"), Some("v2")], (20, 21));
        wrong(&[one(), two(), run(true, &parts, (4, 8), Some(told)), read])
    };
    assert!(swap(&["v1", "v1", "OK", "v1"]), "v2 was written over v3 then");
    assert!(!swap(&["v2", "v2", "OK", "v2"]));
    assert!(swap(&["v1", "v2", "OK", "v2"]), "one had changed");
    assert!(swap(&["v1", "v1", "OK", "v2"]), "both had");
    // Nothing was done, and what was read was read one after the other.
    let both_keys = [part("set", 0, "v3"), part("set", 1, "v3")];
    let failed = |told: &[&str], after: &str| {
        let read = read([Some(after); 2], (20, 21));
        wrong(&[one(), two(), run(true, &both_keys, (4, 8), Some(told)), read])
    };
    assert!(!failed(&["v1", "v2"], "v2") && failed(&["v1", "v2"], "v3"));
    assert!(failed(&["v1", "v0"], "v2"), "nobody wrote that");
}
