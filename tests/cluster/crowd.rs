//! Many clients, and none: a thousand at once, and what an idle node costs.

use std::{thread, time::Duration};

use super::common::{Client, Nodes};

const CLIENTS: usize = 1000;

#[test]
fn a_thousand_clients_at_once() {
    // This process needs a descriptor for each; many systems give 1,024 unless asked.
    let limit = rlimit::increase_nofile_limit(4096).expect("the limit can be read");
    assert!(limit > CLIENTS as u64 + 100, "only {limit} files may be open");
    let nodes = Nodes::start(1);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| nodes.client(0)).collect();
    // Every second one is active, first one after another, then all at once; the others idle.
    for client in clients.iter_mut().step_by(2) {
        assert_eq!(client.ask("PING"), "PONG");
    }
    for round in 0..3 {
        for (at, client) in clients.iter().enumerate().step_by(2) {
            client.send(format!("SET k{at} {round}\nGET k{at}\n").as_bytes());
        }
        for client in clients.iter_mut().step_by(2) {
            assert_eq!(client.line().expect("a reply").as_deref(), Some("OK"));
            assert_eq!(client.line().expect("a reply"), Some(round.to_string()));
        }
    }
    // Those that idled are still served.
    for client in &clients {
        client.send(b"PING\n");
    }
    for client in &mut clients {
        assert_eq!(client.line().expect("a reply").as_deref(), Some("PONG"));
    }
}

/// Not a benchmark: it only tells an idle node from one that spins.
#[test]
fn an_idle_node_does_nothing() {
    let mut single = Nodes::start(1);
    let _idle: Vec<Client> = (0..20).map(|_| single.client(0)).collect();
    assert_eq!(single.client(0).ask("PING"), "PONG");
    // Here time is what is measured, not a stand-in for a condition.
    thread::sleep(Duration::from_secs(1));
    let before = single.process(0).cpu_ticks();
    thread::sleep(Duration::from_secs(2));
    let used = single.process(0).cpu_ticks() - before;
    assert!(used < 10, "an idle node used {used} ticks of 200");
}
