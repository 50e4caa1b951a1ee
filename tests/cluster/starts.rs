//! How a cluster starts: a majority that has data, quickly and by itself; members enough of which
//! have lost theirs, only at an operator's word.
//!
//! For figures: `QUORATE_START_ROUNDS=20 cargo test --release --test cluster starts -- --nocapture`

use std::{env, fs, time::Instant};

use super::common::{Client, Nodes, wait_until};

/// Keys, so many that every node leads some of them.
const KEYS: usize = 50;

fn write_all(client: &mut Client) {
    for key in 0..KEYS {
        assert_eq!(client.ask(&format!("SET k{key} {key}")), "OK");
    }
}

#[test]
fn a_majority_of_a_formed_cluster_serves_without_the_others() {
    let rounds = env::var("QUORATE_START_ROUNDS").map_or(1, |n| n.parse().expect("a number"));
    let mut nodes = Nodes::start(3);
    write_all(&mut nodes.client(0));
    let mut times = Vec::new();
    for _ in 0..rounds {
        nodes.kill_all(&[0, 1, 2]);
        let from = Instant::now();
        nodes.restart_all(&[0, 1]);
        let mut client = nodes.client(0);
        wait_until("writes of all slots", || {
            (0..KEYS).all(|key| client.ask(&format!("SET k{key} {key}")) == "OK")
        });
        times.push(from.elapsed().as_millis());
        nodes.restart(2);
        nodes.wait_for_value("k1", "1");
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("two of three started: {KEYS} writes of all slots done after {times:?} ms");
    eprintln!("two of three started: median {median} ms, worst {worst} ms");
}

#[test]
fn where_a_majority_lost_its_data_nothing_is_served_before_an_operator_says_so() {
    let mut nodes = Nodes::start(3);
    write_all(&mut nodes.client(1));
    let mut left = nodes.client(0);
    assert_eq!(left.ask("READONLY"), "OK");
    for key in 0..KEYS {
        // Its own copy, not what the leader says.
        left.wait_for(&format!("GET k{key}"), &key.to_string());
    }
    nodes.kill_all(&[0, 1, 2]);
    for node in [1, 2] {
        fs::remove_dir_all(nodes.directory(node)).expect("it was there");
    }
    nodes.restart_all(&[0, 1, 2]);
    let mut client = nodes.client(0);
    wait_until("advice", || client.ask("GET k1").contains("--cold-start"));
    for node in 0..3 {
        let refused = nodes.client(node).ask("SET k1 other");
        assert!(refused.starts_with("NOREPLICAS"), "{refused}");
    }

    nodes.kill(0);
    nodes.add_flag("--cold-start");
    nodes.restart(0);
    let mut client = nodes.client(2);
    for key in 0..KEYS {
        client.wait_for(&format!("GET k{key}"), &key.to_string());
    }
    assert_eq!(nodes.client(1).ask("SET k1 other"), "OK");
    let info = nodes.client(0).info("strong");
    assert!(info.contains("cold_starts:1\r\n"), "{info}");
}
