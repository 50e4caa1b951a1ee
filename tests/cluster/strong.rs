//! The strong database of real nodes under kill -9, SIGSTOP and restarts: `quorate check` works all
//! nodes meanwhile and judges what its clients saw. In the end all nodes hold the same.
//!
//! `QUORATE_STRONG_SECONDS` says how long it goes on, `QUORATE_CRASH_SEED` chooses the moments.

use std::{
    collections::BTreeSet,
    env, fs,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use quorate::rng::Rng;

use super::common::{Nodes, Process, quorate, wait_until};

/// How long it goes on by itself.
const SECONDS: u64 = 8;
/// Between two faults.
const REST_MAX_MS: u64 = 900;
/// How long a node is down or stopped: sometimes longer than the others take to notice.
const FAULT_MAX_MS: u64 = 1500;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn pause(rng: &mut Rng, longest_ms: u64) {
    thread::sleep(Duration::from_millis(rng.below(longest_ms)));
}

/// One fault at a time, so that there is always a majority.
fn disturb(nodes: &mut Nodes, rng: &mut Rng) {
    let victim = rng.below(3) as usize;
    if rng.below(3) == 0 {
        nodes.process(victim).signal("STOP");
        pause(rng, FAULT_MAX_MS);
        nodes.process(victim).signal("CONT");
    } else {
        nodes.kill(victim);
        pause(rng, FAULT_MAX_MS);
        nodes.restart(victim);
    }
    pause(rng, REST_MAX_MS);
}

/// The keys in a history, as its lines of JSON spell them.
fn keys_of(history: &str) -> BTreeSet<String> {
    let key = |line: &str| Some(line.split_once("\"key\":\"")?.1.split_once('"')?.0.to_owned());
    history.lines().map(|line| key(line).expect("every line has a key")).collect()
}

#[test]
fn what_clients_see_is_linearizable_whatever_happens_to_a_node() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = number("QUORATE_CRASH_SEED").unwrap_or(since.as_nanos() as u64);
    eprintln!("QUORATE_CRASH_SEED={seed}");
    let mut rng = Rng::new(seed);
    let seconds = number("QUORATE_STRONG_SECONDS").unwrap_or(SECONDS);
    let mut nodes = Nodes::start(3);
    let file = nodes.data.path().join("history");
    let addresses: Vec<String> =
        nodes.ports.iter().map(|port| format!("localhost:{port}")).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(["check", &addresses.join(","), "--seconds", &seconds.to_string()]);
    command.arg("--history").arg(&file);
    let mut check = Process::spawn(command);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut faults = 0;
    while Instant::now() < end {
        disturb(&mut nodes, &mut rng);
        faults += 1;
    }
    let code = check.wait().code();
    wait_until("all that it says", || check.printed().contains("heard "));
    eprintln!("{faults} faults\n{}", check.printed());
    assert_eq!(code, Some(0), "{}{}", check.printed(), check.logged());
    assert!(!check.printed().contains("undecided"), "{}", check.printed());
    let history = fs::read_to_string(file).expect("the history");
    let answered = history.matches("\"type\":\"ok\"").count();
    assert!(answered > 200, "only {answered} operations in {faults} faults");

    // By the leaders' word and in every copy.
    let keys = keys_of(&history);
    assert!(keys.len() >= 6, "{keys:?}");
    let table = nodes.wait_for_agreement(&keys);
    for node in 0..3 {
        wait_until("copies that agree", || {
            let mut client = nodes.client(node);
            assert_eq!(client.ask("READONLY"), "OK");
            client.table(&keys) == table
        });
    }
}

#[test]
fn a_check_of_nobody_fails() {
    let [port] = super::common::free_ports(1)[..] else { unreachable!("one port") };
    let checked = quorate(&["check", &format!("localhost:{port}"), "--seconds", "1"]);
    assert_eq!(checked.code, Some(1), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stderr.contains("no node could be reached"), "{}", checked.stderr);
}
