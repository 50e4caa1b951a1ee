//! A run on a page holds what happened in it, and nothing in it can break the page. What a browser
//! makes of it is for `tests/page/run`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use quorate::probe::Hook;
use serde_json::Value;
use sim::{
    case::{Case, Op},
    oracle::{DbKey, State},
    page::{self, Told},
    play::{Tier, play, play_told},
    report::Report,
    tape::{Change, Fate, Mark, Tape, What},
    trace::EventKind,
};

fn case(name: &str) -> Case {
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let text = fs::read_to_string(home.join(format!("{name}.json"))).expect("a kept case");
    Case::from_json(&text).expect("a case")
}

fn html(case: &Case, report: &Report, tape: &Tape) -> String {
    page::html(&Told { case, report, tape, again: "sim --seed 1" })
}

/// What stands between the tags of the element that holds the data.
fn element(page: &str) -> &str {
    let (_, after) = page.split_once("id=\"run\">").expect("an element for the data");
    after.split_once("</script>").expect("its end").0
}

fn data(page: &str) -> Value {
    serde_json::from_str(element(page)).expect("the data is JSON")
}

fn rows<'v>(data: &'v Value, table: &str) -> &'v Vec<Value> {
    data[table].as_array().expect("a table")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn a_told_run_is_the_run_that_is_not_told() {
    for seed in [1, 2] {
        let case = Case::draw(seed);
        let (told, _) = play_told(&case);
        let plain = play(&case, Tier::A, true);
        assert_eq!(told.trace.hash(), plain.trace.hash(), "seed {seed}");
        assert_eq!(told.history, plain.history, "seed {seed}");
    }
}

#[test]
fn the_page_of_a_run_is_the_same_twice() {
    let case = case("read_uncommitted");
    let ((first, tape), (second, again)) = (play_told(&case), play_told(&case));
    assert_eq!(html(&case, &first, &tape), html(&case, &second, &again));
    let told = |report, tape| page::shiviz(&Told { case: &case, report, tape, again: "" });
    assert_eq!(told(&first, &tape), told(&second, &again));
}

/// The trace is written by the driver, the tape by the net: they must tell of the same run.
#[test]
fn the_page_agrees_with_the_trace() {
    for seed in [1, 2, 3] {
        let case = Case::draw(seed);
        let (report, tape) = play_told(&case);
        let data = data(&html(&case, &report, &tape));
        let nodes = case.config.nodes as u64;
        let events = |kind| report.trace.events().iter().filter(move |event| event.kind == kind);
        // What nodes have read is the messages delivered to them, and the beginnings of others.
        let delivered = rows(&data, "messages").iter().filter(|row| number(&row[4]) == 0);
        let to_nodes = delivered.filter(|row| number(&row[1]) < nodes);
        let bytes: u64 = to_nodes.map(|row| number(&row[6])).sum();
        let read: u64 = events(EventKind::Read).map(|event| u64::from(event.size)).sum();
        assert!(read > 0 && bytes + number(&data["unfinished"]) == read, "seed {seed}: {read}");
        // A client writes what its requests say, each time as one message.
        let asked = rows(&data, "messages").iter().filter(|row| number(&row[0]) >= nodes);
        let asked: Vec<u64> = asked.map(|row| number(&row[6])).collect();
        let requests = events(EventKind::Request).map(|event| u64::from(event.size));
        let requests: Vec<u64> = requests.filter(|size| *size > 0).collect();
        assert_eq!(asked, requests, "seed {seed}");
        let count = |kind| events(kind).count();
        let ended = rows(&data, "ops").iter().filter(|row| row[4] != -1).count();
        assert_eq!(ended, count(EventKind::Reply), "seed {seed}");
        assert_eq!(rows(&data, "faults").len(), count(EventKind::FaultBegins), "seed {seed}");
        assert_eq!(rows(&data, "lives").len(), count(EventKind::Boot), "seed {seed}");
        assert_eq!(rows(&data, "ops").len(), report.history.len(), "seed {seed}");
    }
}

/// What the changes add up to is what the replicas hold in the end.
#[test]
fn changes_add_up_to_the_replicas() {
    let mut deleted = 0;
    for seed in 1..=6 {
        let case = Case::draw(seed);
        let (report, tape) = play_told(&case);
        let mut held: BTreeMap<usize, BTreeMap<DbKey, State>> = BTreeMap::new();
        for Change { node, key, state, .. } in &tape.changes {
            let held = held.entry(*node).or_default();
            match state {
                Some(state) => held.insert(key.clone(), state.clone()),
                None => held.remove(key),
            };
        }
        assert!(!report.replicas.is_empty(), "seed {seed}");
        deleted += tape.changes.iter().filter(|change| change.state.is_none()).count();
        for (node, replica) in &report.replicas {
            assert_eq!(held.get(node), Some(&replica.records), "seed {seed}, n{node}");
        }
    }
    assert!(deleted > 0, "some replica lets something go");
}

/// A process has ended before the next one of its node begins, and who holds something in the end
/// is alive.
#[test]
fn lives_follow_each_other() {
    for seed in [1, 2, 3] {
        let case = Case::draw(seed);
        let (report, tape) = play_told(&case);
        let mut alive = Vec::new();
        for node in 0..case.config.nodes {
            let lives: Vec<_> = tape.lives.iter().filter(|life| life.node == node).collect();
            for two in lives.windows(2) {
                assert!(two[0].to.is_some_and(|to| to <= two[1].from), "seed {seed}: {two:?}");
            }
            let last = lives.last().expect("every node lives");
            alive.extend(last.to.is_none().then_some(node));
        }
        let up: Vec<usize> = report.replicas.iter().map(|(node, _)| *node).collect();
        assert_eq!(alive, up, "seed {seed}");
    }
}

/// A take-over is told where a node says that it was elected, and of no slot of somebody else's.
#[test]
fn slots_are_won_by_who_was_elected() {
    let mut won = 0;
    for seed in [1, 2, 3] {
        let (_, tape) = play_told(&Case::draw(seed));
        for mark in &tape.marks {
            let What::Won(slots) = &mark.what else { continue };
            won += slots.len();
            let same = |other: &Mark| (other.at.at_us, other.node) == (mark.at.at_us, mark.node);
            let elected = |other: &Mark| matches!(other.what, What::Passed(Hook::Elected, _));
            assert!(tape.marks.iter().any(|m| same(m) && elected(m)), "seed {seed}: {mark:?}");
        }
    }
    assert!(won > 10, "{won} slots");
}

/// Where nothing cuts what is written, all that is read is whole messages.
#[test]
fn a_message_is_delivered_with_its_last_byte() {
    let case = case("fast_read_newest");
    assert!(case.config.chop.is_none());
    let (report, tape) = play_told(&case);
    assert!(report.reached.answered > 0);
    assert_eq!(tape.unfinished(), 0);
}

#[test]
fn every_kind_of_message_is_in_a_group_that_fits() {
    let (mut kinds, mut lost) = (BTreeSet::new(), 0);
    for seed in [2, 3, 5, 6] {
        let case = Case::draw(seed);
        let (report, tape) = play_told(&case);
        let data = data(&html(&case, &report, &tape));
        for row in rows(&data, "kinds") {
            let group = data["groups"][number(&row[1]) as usize].as_str().expect("a group");
            kinds.insert((row[0].as_str().expect("a kind").to_owned(), group.to_owned()));
        }
        let gone = tape.messages.iter().filter(|message| matches!(message.fate, Fate::Lost(_)));
        lost += gone.count();
        assert!(tape.messages.iter().all(|message| message.kind != "Broken"));
    }
    assert!(lost > 0, "none was lost on its way");
    let links: Vec<&str> =
        kinds.iter().filter(|(_, group)| group == "links").map(|(kind, _)| &kind[..]).collect();
    assert_eq!(links, ["Hello", "Ping", "Pong", "Welcome"], "{kinds:?}");
}

/// Keys and values are bytes of anybody.
#[test]
fn nothing_in_a_run_can_end_the_script_or_leave_it() {
    const EVIL: &str = "</script><script>alert(1)</script><!--\u{2028}\"\\";
    let mut case = case("read_uncommitted");
    for op in case.workload.steps.iter_mut().flat_map(|step| &mut step.ops) {
        if let Op::Get { key } | Op::Set { key, .. } | Op::SetNx { key, .. } = op {
            *key = EVIL.to_owned();
        }
        if let Op::Set { value, .. } = op {
            *value = EVIL.to_owned();
        }
    }
    let (report, tape) = play_told(&case);
    let page = html(&case, &report, &tape);
    assert_eq!(page.matches("</script").count(), 2, "one for the data, one for the scripts");
    assert_eq!(page.matches("<script").count(), 2);
    assert!(!page.contains("<!--"));
    assert!(!element(&page).contains(['<', '>', '&', '\u{2028}']));
    let data = data(&page);
    assert!(rows(&data, "keys").iter().any(|row| row[1] == EVIL), "the key itself is there");
}

/// A line of the text for ShiViz: its host, its clock, what happened.
fn line(text: &str) -> (String, Value, String) {
    let (host, rest) = text.split_once(' ').expect("a host");
    let (clock, rest) = rest.split_once("} ").expect("a clock");
    let (at, event) = rest.split_once(" ms ").expect("a time");
    assert!(at.parse::<f64>().is_ok(), "{text}");
    (host.to_owned(), serde_json::from_str(&format!("{clock}}}")).expect("JSON"), event.to_owned())
}

#[test]
fn the_clocks_of_shiviz_count_each_host_and_know_only_what_was_sent() {
    let case = Case::draw(1);
    let (report, tape) = play_told(&case);
    let text = page::shiviz(&Told { case: &case, report: &report, tape: &tape, again: "" });
    let mut lines = text.lines();
    assert_eq!((lines.next(), lines.next()), (Some(page::PARSER), Some("")));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut received, mut hosts) = (0, BTreeSet::new());
    for (host, clock, event) in lines.map(line) {
        let clock = clock.as_object().expect("an object").clone();
        let own = counts.entry(host.clone()).or_default();
        *own += 1;
        assert_eq!(number(&clock[&host]), *own, "{host}: {event}");
        for (other, count) in &clock {
            // Written in order, so nobody knows of an event that has not been told yet.
            let told = counts.get(other).copied().unwrap_or_default();
            assert!(number(count) <= told, "{host} knows {count} of {other}'s {told} events");
        }
        if let Some((_, from)) = event.strip_prefix("receives ").and_then(|e| e.rsplit_once(' ')) {
            assert!(clock.contains_key(from), "{host} has heard of {from}: {event}");
            received += 1;
        }
        hosts.insert(host);
    }
    assert!(received > 100 && hosts.iter().any(|host| host.starts_with('c')), "{hosts:?}");
}

#[test]
fn the_program_writes_both_and_says_where_it_can_not() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (page, log) = (folder.join("run.html"), folder.join("run.log"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        command.args(arguments).arg("--html").arg(&page).arg("--shiviz").arg(&log);
        command.output().expect("the binary runs")
    };
    for (refused, why) in [(&["--seed", "1", "--tier", "b"][..], "tier a"), (&[], "--seed")] {
        let output = run(refused);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(4) && words.contains(why), "{words}");
    }
    let output = run(&["--seed", "1"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs::read_to_string(&page).expect("a page");
    assert_eq!(data(&text)["seed"], 1);
    let log = fs::read_to_string(&log).expect("a log");
    assert!(log.starts_with(page::PARSER));
}

/// A case that fails only with its bug planted: the page says what is wrong and where it began.
#[cfg(feature = "mutants")]
#[test]
fn the_page_of_a_failed_run_names_the_promise_and_the_first_bad_event() -> Result<(), String> {
    use quorate::probe::{Mutant, plant};
    use sim::{history::Entry, page::first_bad};

    let told = |name: &str| {
        let case = case(name);
        plant(Mutant::named(name));
        let (report, tape) = play_told(&case);
        plant(None);
        (case, report, tape)
    };
    let (case, report, tape) = told("read_unconfirmed");
    let page = html(&case, &report, &tape);
    let data = data(&page);
    let failure = &data["failure"];
    // A stale leader says that there is nothing, long after a write was acknowledged.
    let seen = (&failure["oracle"], &failure["kind"], &failure["about"]);
    assert_eq!(seen, (&"linear".into(), &"Safety".into(), &"hot0 in database 0".into()));
    let op = &rows(&data, "ops")[number(&failure["op"]) as usize];
    let key = number(&failure["key"]) as usize;
    assert_eq!((&op[6], &op[7]), (&"GET hot0".into(), &"nothing".into()));
    assert_eq!((&op[4], &op[8][0]), (&failure["at"], &failure["key"]));
    assert_eq!(rows(&data, "keys")[key][1], "hot0");
    let bad = first_bad(&Told { case: &case, report: &report, tape: &tape, again: "" });
    let bad = bad.ok_or("no first bad event")?;
    let after = |entry: &&Entry| entry.start_us > bad.at_us && entry.key() == Some("hot0");
    assert!(report.history.iter().any(|entry| after(&entry)), "it is not simply the last one");
    // Seen in the end: it has been so since the last change of the key.
    let (case, report, tape) = told("leader_repairs_nothing");
    let failure = report.failure.clone().ok_or("no failure")?;
    let (db, key) = failure.db_key().ok_or("no key")?;
    let bad = first_bad(&Told { case: &case, report: &report, tape: &tape, again: "" });
    let bad = bad.ok_or("no first bad event")?;
    let key = (db, key.into_bytes());
    let last = tape.changes.iter().rfind(|change| change.key == key);
    let last = last.ok_or("no change")?;
    assert_eq!(failure.oracle, "convergence", "{failure}");
    assert_eq!((bad.at_us, bad.node), (last.at.at_us, Some(last.node)));
    assert!(bad.at_us + 1_000_000 < tape.end_us, "long before the end");
    // Seen by a driver: in a turn of some node. A panic: when the run ends.
    let seen = [("clock_reuse", "panic"), ("damage_as_tail", "disk"), ("fast_read_newest", "held")];
    for (name, oracle) in seen {
        let (case, report, tape) = told(name);
        let failure = report.failure.clone().ok_or(name)?;
        assert_eq!(failure.oracle, oracle, "{name}: {failure}");
        let bad = first_bad(&Told { case: &case, report: &report, tape: &tape, again: "" });
        let bad = bad.ok_or(name)?;
        assert_eq!(bad.node.is_some(), oracle != "panic", "{name}");
        assert_eq!(bad.why.contains("end of this turn"), oracle != "panic", "{name}");
        assert!(bad.at_us <= tape.end_us && !report.history.is_empty(), "{name}");
    }
    Ok(())
}
