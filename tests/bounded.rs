//! Requests on many keys and on all keys: done bit by bit, answered once and in order, while others
//! are served.

use quorate::{
    fuzzing::cluster::{Cluster, Setup},
    time::Millis,
};

const MANY: usize = 3000;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Setup { slots: 64, ..Setup::default() });
    cluster.advance(Millis(1000));
    cluster
}

fn frame(words: impl IntoIterator<Item = String>) -> Vec<u8> {
    let words: Vec<String> = words.into_iter().collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

fn command(name: &str, keys: impl Iterator<Item = usize>) -> Vec<u8> {
    frame(std::iter::once(name.to_owned()).chain(keys.map(key)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn commands_on_many_keys_answer_once_and_in_order_in_every_database() {
    for db in 0..3 {
        let mut cluster = cluster();
        let client = cluster.connect(1);
        let pairs = (0..MANY).flat_map(|n| [key(n), format!("v{n}")]);
        let set = frame(std::iter::once("MSET".to_owned()).chain(pairs));
        let mut all = frame(["SELECT".to_owned(), db.to_string()]);
        // One behind another, without waiting.
        all.extend(frame(["SET", "key:7", "before"].map(str::to_owned)));
        all.extend(set);
        all.extend(frame(["SET", "key:8", "behind"].map(str::to_owned)));
        all.extend(command("EXISTS", 0..MANY + 10));
        all.extend(command("MGET", 0..MANY));
        all.extend(command("DEL", 5..MANY));
        all.extend(frame(["GET", "key:4"].map(str::to_owned)));
        all.extend(frame(["KEYS", "key:*"].map(str::to_owned)));
        cluster.send(client, &all);
        cluster.advance(Millis(2000));
        let got = text(&cluster.take_received(client));
        let values = (0..MANY).map(|n| if n == 8 { "behind".to_owned() } else { format!("v{n}") });
        let values: String =
            values.map(|value| format!("${}\r\n{value}\r\n", value.len())).collect();
        let head = format!("+OK\r\n+OK\r\n+OK\r\n+OK\r\n:{MANY}\r\n*{MANY}\r\n{values}");
        let rest = got.strip_prefix(&head).unwrap_or_else(|| panic!("database {db}: {got:.300}"));
        let rest = rest.strip_prefix(&format!(":{}\r\n$2\r\nv4\r\n", MANY - 5));
        let rest = rest.expect("what was deleted, and what was left");
        let mut keys: Vec<&str> = rest.split("\r\n").filter(|line| line.starts_with('k')).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["key:0", "key:1", "key:2", "key:3", "key:4"], "{rest}");
        assert!(cluster.advance_until(Millis(5000), Cluster::agrees));
    }
}

/// The work of a turn is bounded, so a client that asks for much waits while others don't: they are
/// answered between its slices.
#[test]
fn others_are_served_while_much_is_done_for_one() {
    let mut cluster = Cluster::new(Setup { nodes: 1, slots: 64, ..Setup::default() });
    cluster.advance(Millis(1000));
    let (greedy, modest) = (cluster.connect(0), cluster.connect(0));
    for client in [greedy, modest] {
        assert_eq!(text(&cluster.ask(client, b"SELECT 2\r\n")), "+OK\r\n");
    }
    let pairs = (0..MANY).flat_map(|n| [key(n), "v".to_owned()]);
    cluster.ask(greedy, &frame(std::iter::once("MSET".to_owned()).chain(pairs)));
    let request = command("MGET", 0..MANY);
    cluster.send(greedy, &request);
    cluster.send(modest, b"PING\r\n");
    // The request arrives, and the other client's; then no time passes and no timer runs.
    let mut answered = Vec::new();
    for choice in 0.. {
        cluster.nudge(choice);
        if cluster.peek_received(modest) > 0 {
            answered.push("modest");
            break;
        }
        assert!(choice < 1000);
    }
    assert_eq!(cluster.peek_received(greedy), 0, "not within one turn");
    cluster.settle();
    assert!(cluster.peek_received(greedy) > MANY * 7);
    assert_eq!(answered, ["modest"]);
}

/// More keys than a turn stamps tombstones over, then more tombstones than a turn looks at: while a
/// member is away none of them is dropped.
#[test]
fn a_flush_of_many_keys_and_then_of_many_tombstones_takes_several_turns() {
    let mut cluster = cluster();
    cluster.crash(2);
    cluster.advance(Millis(3000));
    let client = cluster.connect(0);
    let pairs = (0..MANY).flat_map(|n| [key(n), "v".to_owned()]);
    let set = frame(std::iter::once("MSET".to_owned()).chain(pairs));
    for request in [&set[..], b"FLUSHDB\r\n", b"FLUSHDB\r\n"] {
        cluster.send(client, request);
        cluster.advance(Millis(2000));
        assert_eq!(text(&cluster.take_received(client)), "+OK\r\n");
    }
    assert_eq!(text(&cluster.ask(client, b"DBSIZE\r\n")), ":0\r\n");
}

#[test]
fn a_client_that_leaves_takes_its_chores_along() {
    let mut cluster = cluster();
    let (leaves, stays) = (cluster.connect(0), cluster.connect(0));
    cluster.ask(leaves, b"SELECT 1\r\n");
    let pairs = (0..MANY).flat_map(|n| [key(n), "v".to_owned()]);
    cluster.send(leaves, &frame(std::iter::once("MSET".to_owned()).chain(pairs)));
    cluster.nudge(0);
    let killed = cluster.ask(stays, b"CLIENT KILL TYPE normal\r\n");
    assert_eq!(text(&killed), ":1\r\n");
    cluster.advance(Millis(100));
    assert_eq!(text(&cluster.ask(stays, b"PING\r\n")), "+PONG\r\n");
    assert!(cluster.is_closed(leaves));
    cluster.shut_down(0);
    assert!(cluster.advance_until(Millis(3000), |cluster| {
        cluster.node(0).is_some_and(quorate::node::Node::is_drained)
    }));
}
