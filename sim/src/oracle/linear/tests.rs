//! Made-up histories that it lets pass and that it refuses.

use super::*;
use crate::{
    case::Part,
    oracle::{Lost, Replica, doctor},
};

fn wrong(history: Vec<Entry>, held: &[Option<&str>]) -> Option<String> {
    wrong_in(0, history, held)
}

fn wrong_in(db: u8, mut history: Vec<Entry>, held: &[Option<&str>]) -> Option<String> {
    history.iter_mut().for_each(|entry| entry.db = db);
    let replica = |(node, value): (usize, &Option<&str>)| {
        let mut holds = Replica::default();
        let held = value.map(|value| doctor::holds("k", node as u128 + 1, Some(value)));
        for ((_, key), state) in held.into_iter().flat_map(|held| held.records) {
            holds.records.insert((db, key), state);
        }
        (node, holds)
    };
    let replicas: Vec<_> = held.iter().enumerate().map(replica).collect();
    let settled = !replicas.is_empty();
    let voting = (0..held.len()).collect();
    let quorum = held.len() / 2 + 1;
    let observed = Observed { history, replicas, settled, voting, quorum, ..Observed::default() };
    check(&observed).err().map(|failure| failure.detail)
}

fn read(value: &str, span: (u64, u64)) -> Entry {
    doctor::get("k", 0, span, Outcome::Value(value.as_bytes().to_vec()))
}

fn with(op: Op, span: (u64, u64), outcome: Outcome) -> Entry {
    let (start_us, end_us) = (span.0, Some(span.1));
    Entry { op, start_us, end_us, outcome, ..doctor::del("k", 0, span, 0) }
}

#[test]
fn a_refused_write_must_never_show() {
    let span = (10, Some(20));
    let refused = Entry { outcome: Outcome::Refused, ..doctor::set("k", "v1", 0, span) };
    assert!(wrong(vec![refused, read("v1", (30, 40))], &[]).is_some());
    let add = |span, outcome| with(Op::Add { key: "k".to_owned(), by: 1 }, span, outcome);
    let refused = add((1, 2), Outcome::Refused);
    assert_eq!(wrong(vec![refused.clone(), add((3, 4), Outcome::Count(1))], &[]), None);
    assert!(wrong(vec![refused, add((3, 4), Outcome::Count(2))], &[]).is_some());
    let doubt = add((1, 2), Outcome::InDoubt);
    assert_eq!(wrong(vec![doubt.clone(), add((3, 4), Outcome::Count(2))], &[]), None);
    assert!(wrong(vec![doubt, add((3, 4), Outcome::Count(3))], &[]).is_some());
}

#[test]
fn a_write_in_doubt_may_show_late_but_not_come_and_go() {
    let sure = doctor::set("k", "v1", 0, (1, Some(2)));
    let doubt = doctor::set("k", "v2", 0, (3, None));
    let late = vec![sure, doubt, read("v1", (10, 20)), read("v2", (30, 40))];
    assert_eq!(wrong(late.clone(), &[]), None);
    let gone = [late, vec![read("v1", (50, 60))]].concat();
    assert!(wrong(gone, &[]).is_some());
}

#[test]
fn a_cold_start_explains_that_a_new_write_is_lost() {
    let wrong_at = |end_us: u64, cold: bool, db| {
        let set = doctor::set("k", "v1", 0, (end_us - 1, Some(end_us)));
        let history = vec![Entry { db, ..set }];
        let mut lost = Lost::default();
        [5_500_000, 5_000_000, 5_900_000].into_iter().for_each(|us| lost.on_loss(us));
        if cold {
            lost.on_cold_start(6_000_000);
        }
        let replicas = vec![(0, Replica::default())];
        let (voting, quorum, settled) = (vec![0], 1, true);
        let observed =
            Observed { history, replicas, settled, voting, quorum, lost, ..Observed::default() };
        check(&observed).is_err()
    };
    for db in [0, 1] {
        assert!(!wrong_at(4_500_000, true, db));
        assert!(wrong_at(4_500_000, false, db), "nothing has started cold");
        assert!(wrong_at(3_000_000, true, db), "it was synced long ago");
        assert!(wrong_at(7_000_000, true, db), "it came after the cold start");
    }
}

#[test]
fn several_keys_are_one_operation_each() {
    let keys = || ["j", "k"].map(str::to_owned).to_vec();
    let list = |value: Option<&str>| {
        let values = vec![None, value.map(|value| value.as_bytes().to_vec())];
        with(Op::MGet { keys: keys() }, (10, 20), Outcome::List(values))
    };
    let sure = doctor::set("k", "v1", 0, (1, Some(2)));
    assert_eq!(wrong(vec![sure.clone(), list(Some("v1"))], &[]), None);
    assert!(wrong(vec![sure.clone(), list(None)], &[]).is_some());
    let dels = |count| with(Op::MDel { keys: keys() }, (10, 20), Outcome::Count(count));
    assert_eq!(wrong(vec![sure.clone(), dels(1)], &[]), None);
    assert!(wrong(vec![sure.clone(), dels(2)], &[]).is_some());
    assert!(wrong(vec![sure, dels(0)], &[]).is_some());
}

fn at_most_us(db: u8, skew_us: u64, mut history: Vec<Entry>) -> bool {
    history.iter_mut().for_each(|entry| entry.db = db);
    check(&Observed { history, skew_us, ..Observed::default() }).is_ok()
}

fn lacks(span: (u64, u64)) -> Entry {
    doctor::get("k", 0, span, Outcome::Missing)
}

#[test]
fn what_ends_is_gone_for_all_or_for_each_by_its_own_clock() {
    let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
    let fine = |db, reads: &[Entry]| at_most_us(db, 2000, [&[set()], reads].concat());
    for db in [0, 1] {
        assert!(fine(db, &[read("v1", (12_000, 17_000)), lacks((17_500, 19_000))]));
        assert!(fine(db, &[lacks((12_500, 13_000))]), "a clock may be ahead so far");
        assert!(!fine(db, &[lacks((12_500, 12_999))]));
    }
    let again = [lacks((13_000, 13_100)), read("v1", (14_000, 14_100))];
    assert!(fine(1, &again) && !fine(0, &again));
    assert!(!fine(0, &[read("v1", (18_001, 18_100))]), "a leader has found out by then");
    // What was written before stays away.
    let old = doctor::set("k", "v0", 0, (1000, Some(2000)));
    for db in [0, 1] {
        assert!(!fine(db, &[old.clone(), lacks((13_000, 13_100)), read("v0", (14_000, 14_100))]));
    }
    let gone = |count| doctor::del("k", 0, (13_000, 13_100), count);
    assert!(fine(1, &[gone(0), read("v1", (14_000, 14_100))]), "it deleted nothing");
    assert!(!fine(1, &[gone(1), read("v1", (14_000, 14_100))]));
    assert!(!fine(1, &[doctor::del("k", 0, (12_000, 12_900), 0)]), "it was there");
}

#[test]
fn of_several_keys_one_that_ends_may_be_deleted() {
    let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
    let keys = || ["j", "k"].map(str::to_owned).to_vec();
    let del = |count| with(Op::MDel { keys: keys() }, (13_000, 13_100), Outcome::Count(count));
    let read = || read("v1", (14_000, 14_100));
    let j = || Entry {
        op: Op::Set { key: "j".to_owned(), value: "v2".to_owned() },
        ..doctor::set("j", "", 0, (1, Some(2)))
    };
    let fine = |count| at_most_us(1, 2000, vec![j(), set(), del(count), read()]);
    assert!(fine(1), "it was j");
    assert!(!fine(2) && !fine(0));
    let mset = |outcome| with(Op::MSet { keys: keys(), value: "v3".to_owned() }, (5, 6), outcome);
    let seen = |outcome, value| {
        at_most_us(
            0,
            0,
            vec![
                j(),
                mset(outcome),
                doctor::get("j", 0, (10, 20), Outcome::Value(Vec::from(value))),
            ],
        )
    };
    assert!(seen(Outcome::Done, "v3") && !seen(Outcome::Done, "v2"));
    assert!(seen(Outcome::InDoubt, "v3") && seen(Outcome::InDoubt, "v2"));
    assert!(!seen(Outcome::Refused, "v3") && seen(Outcome::Refused, "v2"));
}

#[test]
fn terms_are_set_anew_and_taken_away() {
    let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
    let persist = |count| {
        let op = Op::Persist { key: "k".to_owned() };
        with(op, (12_000, 13_000), Outcome::Count(count))
    };
    let late = || read("v1", (90_000, 91_000));
    let fine = |entries: &[Entry]| at_most_us(0, 500, [&[set()], entries].concat());
    assert!(fine(&[persist(1), late()]) && !fine(&[persist(0), late()]));
    assert!(!fine(&[persist(1), lacks((90_000, 91_000))]), "for ever");
    let again = |get: bool| {
        let outcome = if get { Outcome::Value(b"v1".to_vec()) } else { Outcome::Count(1) };
        with(Op::Expire { key: "k".to_owned(), for_ms: 50, get }, (12_000, 13_000), outcome)
    };
    for get in [false, true] {
        assert!(fine(&[again(get), read("v1", (60_000, 61_000)), lacks((64_000, 65_000))]));
        assert!(!fine(&[again(get), lacks((60_000, 61_000))]), "too early");
        assert!(!fine(&[again(get), read("v1", (64_000, 65_000))]), "too late");
    }
}

#[test]
fn a_quorum_holds_what_has_ended_for_a_while() {
    let wrong = |now_us| {
        let set = doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
        let (history, replicas) = (vec![Entry { db: 1, ..set }], vec![(0, Replica::default())]);
        let (voting, quorum, settled) = (vec![0], 1, true);
        let (skew_us, grace_us) = (2000, 60_000);
        let observed = Observed {
            history,
            replicas,
            settled,
            voting,
            quorum,
            skew_us,
            grace_us,
            now_us,
            ..Observed::default()
        };
        check(&observed).is_err()
    };
    assert!(wrong(70_999) && !wrong(71_000));
}

#[test]
fn what_was_discarded_never_shows() {
    let discard = Op::Discard { key: "k".to_owned(), value: "v1".to_owned() };
    let discard = with(discard, (1, 2), Outcome::Done);
    assert_eq!(wrong(vec![discard.clone(), lacks((3, 4))], &[]), None);
    assert!(wrong(vec![discard, read("v1", (3, 4))], &[]).is_some());
}

#[test]
fn what_majorities_hold_must_be_a_next_value() {
    let history = vec![doctor::set("k", "v1", 0, (1, Some(2)))];
    assert_eq!(wrong(history.clone(), &[Some("v1"), Some("v1"), None]), None);
    let why = wrong(history.clone(), &[Some("v1"), None, None]);
    assert!(why.is_some_and(|why| why.contains("majority")));
    let doubt = doctor::set("k", "v2", 0, (3, None));
    let late = [history, vec![doubt]].concat();
    assert_eq!(wrong(late, &[Some("v1"), Some("v1"), Some("v2")]), None);
}

#[test]
fn the_quorum_database_is_read_forward_and_its_deletions_may_meet() {
    let set = |value, span: (u64, u64)| doctor::set("k", value, 0, (span.0, Some(span.1)));
    let stale = vec![set("v1", (1, 2)), set("v2", (3, 4)), read("v1", (10, 20))];
    assert!(wrong_in(1, stale.clone(), &[]).is_some());
    assert_eq!(wrong_in(2, stale.clone(), &[]), None, "the eventual one may lag");
    let flush = Entry { op: Op::FlushDb, ..doctor::del("k", 0, (5, 6), 1) };
    assert_eq!(wrong_in(1, [stale, vec![flush]].concat(), &[]), None);
    let del = |span, count| doctor::del("k", 0, span, count);
    let both = vec![set("v1", (1, 2)), del((3, 9), 1), del((4, 8), 1)];
    assert_eq!(wrong_in(1, both.clone(), &[]), None);
    assert!(wrong(both.clone(), &[]).is_some());
    assert!(wrong_in(1, [both, vec![read("v1", (10, 20))]].concat(), &[]).is_some());
    let lost = vec![set("v1", (1, 2)), del((3, 4), 0)];
    assert!(wrong_in(1, lost, &[]).is_some());
    let history = vec![set("v1", (1, 2))];
    assert!(wrong_in(1, history, &[Some("v1"), None, None]).is_some());
}

#[test]
fn many_writes_in_doubt_do_not_hide_a_stale_read() {
    let mut history: Vec<Entry> =
        (0..40).map(|n| doctor::set("k", &format!("x{n}"), 0, (n, None))).collect();
    history.push(doctor::set("k", "v1", 0, (100, Some(110))));
    history.push(doctor::set("k", "v2", 0, (120, Some(130))));
    history.push(read("v1", (140, 150)));
    assert!(wrong(history, &[]).is_some());
}

#[test]
fn a_lock_is_freed_and_extended_only_by_who_holds_it() {
    let (key, value) = (|| "k".to_owned(), |value: &str| value.to_owned());
    let set = || doctor::set("k", "v1", 0, (1000, Some(2000)));
    let free = |held: &str, count| {
        with(
            Op::Release { key: key(), value: value(held), by_hash: false },
            (3000, 4000),
            Outcome::Count(count),
        )
    };
    let fine = |entries: &[Entry]| at_most_us(0, 500, [&[set()], entries].concat());
    assert!(fine(&[free("v1", 1), lacks((5000, 6000))]) && !fine(&[free("v1", 0)]));
    assert!(fine(&[free("v2", 0), read("v1", (5000, 6000))]) && !fine(&[free("v2", 1)]));
    assert!(!fine(&[free("v2", 0), lacks((5000, 6000))]), "it was freed though another held it");
    let extend = |held: &str, count| {
        let op = Op::Extend { key: key(), value: value(held), for_ms: 50, by_hash: true };
        with(op, (3000, 4000), Outcome::Count(count))
    };
    assert!(fine(&[extend("v1", 1), read("v1", (50_000, 51_000)), lacks((56_000, 57_000))]));
    assert!(!fine(&[extend("v1", 1), lacks((50_000, 51_000))]), "too early");
    assert!(!fine(&[extend("v1", 1), read("v1", (56_000, 57_000))]), "too late");
    assert!(!fine(&[extend("v2", 0), lacks((56_000, 57_000))]), "nothing ends it");
    assert!(!fine(&[extend("v2", 1)]) && !fine(&[extend("v1", 0)]));
}

#[test]
fn what_is_left_of_a_time_is_told() {
    let left = |span, told| with(Op::Ttl { key: "k".to_owned() }, span, Outcome::Count(told));
    let set = || doctor::set_for(50, ("k", "v1"), 0, (10_000, Some(12_000)));
    let fine = |entries: &[Entry]| at_most_us(0, 2000, entries.to_vec());
    for (told, fits) in [(-2, false), (-1, false), (27, false), (28, true), (34, true), (35, false)]
    {
        assert_eq!(fine(&[set(), left((30_000, 30_000), told)]), fits, "{told}");
    }
    assert!(fine(&[left((1, 2), -2)]) && !fine(&[left((1, 2), -1)]) && !fine(&[left((1, 2), 5)]));
    let ever = || doctor::set("k", "v1", 0, (10_000, Some(12_000)));
    assert!(fine(&[ever(), left((30_000, 30_001), -1)]));
    assert!(!fine(&[ever(), left((30_000, 30_001), 30)]));
    // It may have been set late, but for no longer.
    let doubt = || Entry { end_us: None, outcome: Outcome::Unknown, ..set() };
    assert!(fine(&[doubt(), left((300_000, 300_001), 52)]));
    assert!(!fine(&[doubt(), left((300_000, 300_001), 53)]));
}

#[test]
fn requests_that_are_carried_out_in_order_are_asked_about_one_by_one() {
    let key = |key: &str| key.to_owned();
    let parts = vec![
        Part::Set { key: key("k"), value: "v1".to_owned() },
        Part::Get { key: key("j") },
        Part::Get { key: key("k") },
    ];
    let all = |each: [Outcome; 3]| {
        let op = Op::InOrder { parts: parts.clone() };
        with(op, (10, 20), Outcome::Each(each.to_vec()))
    };
    let v1 = || Outcome::Value(b"v1".to_vec());
    let told = |set, then| [set, Outcome::Missing, then];
    assert_eq!(wrong(vec![all(told(Outcome::Done, v1()))], &[]), None);
    assert!(
        wrong(vec![all(told(Outcome::Done, Outcome::Missing))], &[]).is_some(),
        "it came first"
    );
    assert!(wrong(vec![all(told(Outcome::Refused, v1()))], &[]).is_some());
    assert_eq!(wrong(vec![all(told(Outcome::InDoubt, v1()))], &[]), None);
    let after = |outcome, found: Entry| {
        wrong(vec![all(told(outcome, Outcome::Refused)), found], &[]).is_none()
    };
    assert!(after(Outcome::Done, read("v1", (30, 40))) && !after(Outcome::Done, lacks((30, 40))));
    assert!(after(Outcome::InDoubt, lacks((30, 40))));
}

#[test]
fn what_is_not_watched_any_more_is_set() {
    let op = Op::Unwatched { key: "k".to_owned(), value: "v1".to_owned() };
    let set = with(op, (1, 2), Outcome::Done);
    assert_eq!(wrong(vec![set.clone(), read("v1", (3, 4))], &[]), None);
    assert!(wrong(vec![set, lacks((3, 4))], &[]).is_some());
}

#[test]
fn all_databases_are_flushed_and_some_where_one_refused() {
    let set = |db| Entry { db, ..doctor::set("k", "v1", 0, (1, Some(2))) };
    let flush = |outcome| Entry { db: 2, ..with(Op::FlushAll, (5, 6), outcome) };
    let fine = |outcome, found: Entry| {
        let history = vec![set(0), flush(outcome), Entry { db: 0, ..found }];
        check(&Observed { history, ..Observed::default() }).is_ok()
    };
    let (there, gone) = (|| read("v1", (7, 8)), || lacks((7, 8)));
    assert!(fine(Outcome::Done, gone()) && !fine(Outcome::Done, there()));
    assert!(fine(Outcome::Refused, gone()) && fine(Outcome::Refused, there()));
}
