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

fn unless(value: &str, span: (u64, u64), outcome: Outcome) -> Entry {
    entry(Op::MSetNx { keys: keys(), value: value.to_owned() }, span, outcome)
}

fn set(index: usize, value: &str, span: (u64, u64)) -> Entry {
    let op = Op::Set { key: keys().swap_remove(index), value: value.to_owned() };
    entry(op, span, Outcome::Done)
}

#[test]
fn both_are_set_if_neither_is_there() {
    let first = |count| unless("v1", (3, 4), Outcome::Count(count));
    assert!(!wrong(&[first(1), read([Some("v1"); 2], (5, 6))]));
    assert!(wrong(&[first(0)]), "nothing was there");
    for index in [0, 1] {
        let before = || set(index, "v0", (1, 2));
        assert!(wrong(&[before(), first(1)]), "one of them was");
        assert!(!wrong(&[before(), first(0)]));
        let half = if index == 0 { [Some("v0"), Some("v1")] } else { [Some("v1"), Some("v0")] };
        assert!(wrong(&[before(), first(0), read(half, (5, 6))]));
    }
    let again = unless("v2", (5, 6), Outcome::Count(1));
    assert!(wrong(&[first(1), again.clone()]));
    let deleted =
        |index: usize| entry(Op::Del { key: keys().swap_remove(index) }, (4, 5), Outcome::Count(1));
    assert!(wrong(&[deleted(0), read([None; 2], (8, 9))]));
    assert!(wrong(&[first(1), deleted(0), again.clone()]));
    assert!(!wrong(&[first(1), deleted(0), deleted(1), again]));
}

#[test]
fn half_of_both_in_doubt_may_be_there_and_overwrites_nothing() {
    let doubt = || unless("v1", (1, 2), Outcome::InDoubt);
    for held in [[None; 2], [Some("v1"), None], [None, Some("v1")], [Some("v1"); 2]] {
        assert!(!wrong(&[doubt(), read(held, (5, 6))]));
    }
    let over = read([Some("v1"), None], (7, 8));
    assert!(wrong(&[set(0, "v0", (0, 0)), doubt(), over]), "one was there all the time");
    // It may be why another one came to nothing, though nobody has seen it.
    let other = |outcome| unless("v2", (3, 4), outcome);
    assert!(!wrong(&[doubt(), other(Outcome::Count(0))]));
    assert!(wrong(&[unless("v1", (1, 2), Outcome::Refused), other(Outcome::Count(0))]));
}

#[test]
fn a_name_that_is_taken_stays_what_it_is() {
    let [from, to] = [0, 1].map(|index| keys().swap_remove(index));
    let copy = |count| {
        let op = Op::Copy { from: from.clone(), to: to.clone() };
        entry(op, (3, 4), Outcome::Count(count))
    };
    let rename = |outcome| {
        let op = Op::RenameNx { from: from.clone(), to: to.clone() };
        entry(op, (3, 4), outcome)
    };
    let (a, b) = (|| set(0, "v1", (1, 2)), || set(1, "v2", (1, 2)));
    let then = |held| read(held, (5, 6));
    let (v1, v2) = (Some("v1"), Some("v2"));
    assert!(!wrong(&[a(), copy(1), then([v1, v1])]) && wrong(&[a(), copy(1), then([None, v1])]));
    assert!(wrong(&[copy(1)]) && !wrong(&[copy(0)]) && wrong(&[a(), copy(0)]));
    assert!(!wrong(&[a(), b(), copy(0), then([v1, v2])]) && wrong(&[a(), b(), copy(1)]));
    let (done, not) = (|| rename(Outcome::Count(1)), || rename(Outcome::Count(0)));
    assert!(!wrong(&[a(), done(), then([None, v1])]) && wrong(&[a(), done(), then([v1, v1])]));
    assert!(!wrong(&[a(), b(), not(), then([v1, v2])]) && wrong(&[a(), b(), done()]));
    assert!(wrong(&[a(), not()]) && wrong(&[not()]) && wrong(&[a(), rename(Outcome::Missing)]));
    assert!(!wrong(&[rename(Outcome::Missing)]));
    let doubt = [a(), rename(Outcome::InDoubt), then([v1, v1])];
    assert!(!wrong(&doubt), "nothing is said of it from then on");
}
