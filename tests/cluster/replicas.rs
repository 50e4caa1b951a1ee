//! Three nodes of which one is killed and comes back empty: all end with the same.

use std::{collections::BTreeSet, thread};

use super::common::{Client, Nodes, wait_until};

fn keys(name: &str, count: u32) -> BTreeSet<String> {
    (0..count).map(|n| format!("{name}{n}")).collect()
}

fn set_all(client: &mut Client, keys: &BTreeSet<String>, value: &str) {
    let requests: Vec<String> = keys.iter().map(|key| format!("SET {key} {value}\n")).collect();
    let replies = client.pipeline(&requests);
    let other = replies.iter().find(|reply| *reply != "OK");
    assert_eq!(other, None, "a SET was not acknowledged");
}

#[test]
fn a_killed_node_comes_back_empty_and_catches_up() {
    let mut nodes = Nodes::start(3);
    let sets = [keys("a", 100), keys("b", 100), keys("c", 100)];
    for (node, keys) in sets.iter().enumerate() {
        set_all(&mut nodes.client(node), keys, &format!("from{node}"));
    }
    let mut all: BTreeSet<String> = sets.iter().flatten().cloned().collect();
    let table = nodes.wait_for_agreement(&all);
    assert!(table.iter().all(|value| value.starts_with("from")), "a write is missing");

    nodes.kill(2);
    // What was on its way to a node that is gone is in doubt; the others notice at once that it is.
    for node in [0, 1] {
        let mut client = nodes.client(node);
        wait_until("a node that misses a member", || client.info("strong").contains("voters:2\r"));
    }
    let later = keys("later", 100);
    set_all(&mut nodes.client(0), &later, "1");
    set_all(&mut nodes.client(1), &sets[2], "again");
    assert_eq!(nodes.client(0).ask("DEL a0 a1 nothing"), "2");
    all.extend(later.iter().cloned());

    nodes.restart(2);
    let table = nodes.wait_for_agreement(&all);
    let value = |key: &str| {
        let at = all.iter().position(|known| known == key).expect("a known key");
        table[at].clone()
    };
    assert_eq!(value("a0"), "Not Found");
    assert_eq!(value("a2"), "from0");
    assert_eq!(value("b7"), "from1");
    assert_eq!(value("c7"), "again");
    assert_eq!(value("later99"), "1");
    let count = (all.len() - 2).to_string();
    let copies = || [0, 1, 2].map(|node| nodes.client(node).ask("DBSIZE"));
    wait_until("copies of one size", || copies().iter().all(|copy| *copy == count));

    // The one that came back is a member like any other.
    assert_eq!(nodes.client(2).ask("SET late riser"), "OK");
    nodes.wait_for_value("late", "riser");
}

#[test]
fn a_deletion_reaches_a_node_that_was_down() {
    let mut nodes = Nodes::start_eventual(2);
    assert_eq!(nodes.client(0).ask("SET gone 1"), "OK");
    nodes.wait_for_value("gone", "1");
    nodes.process(1).signal("STOP");
    assert_eq!(nodes.client(0).ask("DEL gone"), "1");
    nodes.process(1).signal("CONT");
    nodes.wait_for_value("gone", "Not Found");
    assert_eq!(nodes.client(1).ask("EXISTS gone"), "0");
}

#[test]
fn concurrent_clients_on_all_nodes_leave_one_state() {
    let nodes = Nodes::start(3);
    let shared = keys("shared", 50);
    thread::scope(|scope| {
        for client in 0..9 {
            let (nodes, shared) = (&nodes, &shared);
            scope.spawn(move || {
                let mut connection = nodes.client(client % 3);
                for round in 0..10 {
                    set_all(&mut connection, shared, &format!("{client}.{round}"));
                    if round % 4 == client % 4 {
                        connection.ask(&format!("DEL shared{client}"));
                    }
                }
                let own = keys(&format!("own{client}."), 100);
                set_all(&mut connection, &own, "1");
            });
        }
    });
    let mut all = shared.clone();
    (0..9).for_each(|client| all.extend(keys(&format!("own{client}."), 100)));
    let table = nodes.wait_for_agreement(&all);
    for (key, value) in all.iter().zip(&table) {
        let round = value.split_once('.').map(|(client, round)| (client.len(), round));
        let known = if key.starts_with("own") {
            value == "1"
        } else {
            value == "Not Found" || round.is_some_and(|(size, round)| size == 1 && round == "9")
        };
        assert!(known, "{key} ended as {value}");
    }
}

/// A node misses more than its peers keep for it: 100 values of a MiB, over the limit of 64 MiB.
/// They say that it is Behind, and repair brings what it lacks.
#[test]
fn a_node_that_missed_too_much_is_repaired() {
    let mut nodes = Nodes::start_eventual(2);
    let few = keys("few", 10);
    set_all(&mut nodes.client(0), &few, "x");
    nodes.wait_for_agreement(&few);
    nodes.process(1).signal("STOP");
    let big = keys("big", 100);
    let value = "v".repeat(1 << 20);
    let mut client = nodes.client(0);
    for key in &big {
        let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len());
        client.send(format!("{head}{value}\r\n").as_bytes());
        assert_eq!(client.line().expect("a reply").as_deref(), Some("+OK\r"));
    }
    set_all(&mut nodes.client(0), &few, "y");
    let info = client.info("replication");
    assert!(info.contains("behind=1"), "the stream alone would be enough:\n{info}");
    nodes.process(1).signal("CONT");
    nodes.client(1).wait_for("DBSIZE", "110");
    nodes.wait_for_agreement(&few);
    assert_eq!(nodes.client(1).table(&few), vec!["y"; 10]);
    let samples: BTreeSet<String> = big.iter().take(3).cloned().collect();
    assert!(nodes.client(1).table(&samples).iter().all(|held| *held == value));
}
