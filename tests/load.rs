//! More asked for than a node holds at a time: the rest waits, with its client or its node, and is
//! answered in the end; or its client is closed.

use quorate::{
    fuzzing::cluster::{Cluster, Setup},
    limits::Limits,
    record::NodeId,
    slot::Slot,
    time::Millis,
};

const SLOTS: u32 = 16;

fn cluster(limits: Limits, piece: usize) -> Cluster {
    let mut cluster = Cluster::new(Setup { limits, piece, slots: SLOTS, ..Setup::default() });
    cluster.advance(Millis(1000));
    cluster
}

fn under_way(cluster: &Cluster, node: usize) -> (usize, usize) {
    cluster.node(node).expect("it is up").under_way()
}

/// A key whose slot is led by a node.
fn key_of(cluster: &Cluster, leader: u16) -> String {
    let node = cluster.node(0).expect("it is up");
    let mut keys = (0..1000).map(|n| format!("k{n}"));
    let led =
        keys.find(|key| node.leader_of(Slot::of(key.as_bytes(), SLOTS).0) == Some(NodeId(leader)));
    led.expect("each node leads something")
}

#[test]
fn a_client_is_not_read_while_too_many_operations_are_under_way() {
    let limits = Limits { requests_max: 10, ..Limits::DEFAULT };
    let mut cluster = cluster(limits, 64);
    cluster.stall_disk(1, true);
    cluster.stall_disk(2, true);
    let client = cluster.connect(0);
    let requests: String = (0..100).map(|n| format!("SET key{n} {n}\n")).collect();
    cluster.send(client, requests.as_bytes());
    cluster.settle();
    let (count, _) = under_way(&cluster, 0);
    // What the last piece brought may be over it.
    assert!((11..=16).contains(&count), "{count} operations");
    assert_eq!(cluster.take_received(client), b"");
    cluster.stall_disk(1, false);
    cluster.stall_disk(2, false);
    cluster.advance(Millis(100));
    assert_eq!(cluster.take_received(client), b"OK\n".repeat(100));
    assert_eq!(under_way(&cluster, 0), (0, 0));
}

/// All requests of both clients are read at once, so only the leader itself can hold them back.
#[test]
fn a_leader_holds_a_bounded_number_of_bytes_for_its_own_clients_and_for_others() {
    const VALUE: usize = 10_000;
    let limits = Limits { requests_size_max: 3 * VALUE, ..Limits::DEFAULT };
    let mut cluster = cluster(limits, usize::MAX);
    let key = key_of(&cluster, 0);
    let writer = cluster.connect(0);
    let set = format!("SET {key} {}\n", "v".repeat(VALUE));
    assert_eq!(cluster.ask(writer, set.as_bytes()), b"OK\n");
    let clients = [cluster.connect(0), cluster.connect(1)];
    // Nobody confirms to the leader that it leads.
    cluster.stall(1, 0);
    cluster.stall(2, 0);
    let gets = format!("GET {key}\n").repeat(50);
    cluster.send(clients[0], gets.as_bytes());
    cluster.settle();
    let (count, size) = under_way(&cluster, 0);
    assert_eq!(count, 50);
    assert!(size <= 4 * VALUE + 50 * 100, "{size} bytes");
    cluster.heal();
    cluster.send(clients[1], gets.as_bytes());
    cluster.advance(Millis(2000));
    for client in clients {
        let received = cluster.take_received(client);
        assert_eq!(received.len(), 50 * (VALUE + 1), "{}", received.escape_ascii());
    }
    assert_eq!(under_way(&cluster, 0), (0, 0));
}

#[test]
fn who_has_more_replies_than_all_buffers_together_may_hold_is_closed() {
    const VALUE: usize = 10_000;
    let limits = Limits { buffers_total: 40 * VALUE, output_pause: 1 << 30, ..Limits::DEFAULT };
    let mut cluster = cluster(limits, usize::MAX);
    let (big, other) = (key_of(&cluster, 0), key_of(&cluster, 1));
    let client = cluster.connect(0);
    let set = format!("SET {big} {}\n", "v".repeat(VALUE));
    assert_eq!(cluster.ask(client, set.as_bytes()), b"OK\n");
    cluster.stall_disk(1, true);
    cluster.stall_disk(2, true);
    // No reply passes the first one.
    cluster.send(client, format!("SET {other} 1\n").as_bytes());
    cluster.send(client, format!("GET {big}\n").repeat(10).as_bytes());
    cluster.settle();
    assert!(!cluster.is_closed(client));
    cluster.send(client, format!("GET {big}\n").repeat(40).as_bytes());
    cluster.settle();
    assert!(cluster.is_closed(client));
    assert_eq!(cluster.node(0).expect("it is up").client_buffers(), 0);
}
