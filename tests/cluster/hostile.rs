//! Nodes that don't belong together, strangers that talk nonsense, readers that don't read: the
//! node says what is wrong where it can, and goes on.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use quorate::proto::peer::{Frame, Hello, PEER_BYTE, PROTOCOL};
use quorate::record::NodeId;

use super::common::{Client, Nodes, Process, answers, free_ports, serve_args, wait_until};

#[test]
fn a_node_with_other_peers_is_refused_and_told_why() {
    let ports = free_ports(3);
    let [a, b, c] = ports[..] else { unreachable!("three ports") };
    let data = tempfile::tempdir().expect("a place for tests");
    let first = Process::start(&serve_args(a, &[b], data.path()));
    let second = Process::start(&serve_args(b, &[a, c], data.path()));
    wait_until("both nodes answer", || answers(a) && answers(b));
    let ours = format!("localhost:{a}, localhost:{b}");
    let theirs = format!("localhost:{a}, localhost:{b}, localhost:{c}");
    for (process, own, other) in [(&first, &ours, &theirs), (&second, &theirs, &ours)] {
        wait_until("a line that names both clusters", || {
            let log = process.logged();
            let refused = |line: &&str| {
                line.contains("refused")
                    && line.contains(&format!("({own}; "))
                    && line.contains(&format!("({other}; "))
            };
            log.lines().find(refused).is_some()
        });
    }
    for (port, request, reply) in [(a, "SET k 1", "OK"), (b, "GET k", "Not Found")] {
        let mut client = Client::connect(port);
        assert_eq!(client.ask("SELECT eventual"), "OK");
        assert_eq!(client.ask(request), reply);
    }
    let refused = Client::connect(a).ask("GET k");
    assert!(
        refused.contains(&format!("cluster not formed: waiting for localhost:{b}")),
        "{refused}"
    );
}

fn send_and_leave(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node listens");
    // The node may have closed already.
    let _ = stream.write_all(bytes);
}

fn hello(cluster: u64, from: u16, members: &[u8]) -> Vec<u8> {
    let (from, to) = (NodeId(from), NodeId(0));
    let hello = Hello {
        protocol: PROTOCOL,
        cluster,
        slots: 16_384,
        from,
        to,
        incarnation: 9,
        birth: 8,
        formed: false,
        members,
    };
    let mut bytes = vec![PEER_BYTE];
    Frame::Hello(hello).encode(&mut bytes);
    bytes
}

#[test]
fn nonsense_does_no_harm() {
    let mut nodes = Nodes::start(2);
    assert_eq!(nodes.client(0).ask("SET k 1"), "OK");
    let port = nodes.ports[0];
    let mut state = 1_u32;
    let garbage: Vec<u8> = (0..200_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let frames: [&[u8]; 12] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf",
        b"*3\r\n$3\r\nSET\r\n$1\r\n",
        b"*1000000000\r\n$",
        b"*1\r\n$-1\r\n",
        b"*2\r\n*1\r\n$3\r\nGET\r\n",
        b"SET k \"open",
        b"\x16\x03\x01\x02\x00",
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k 2\r\n",
        b"\0",
        b"\0\xff\xff\xff\xff\xff\xff",
        b"\0\x09\0\0\0\x09\0\0\0\0\0\0\0\0",
        b"\0quorate\x01",
    ];
    for bytes in frames {
        send_and_leave(port, bytes);
    }
    for start in 0..50 {
        send_and_leave(port, &garbage[start * 1000..]);
        send_and_leave(port, &[b"\0", &garbage[start * 1000..]].concat());
    }
    send_and_leave(port, &hello(7, 500, b""));
    assert_eq!(nodes.client(0).ask("GET k"), "1");
    nodes.wait_for_value("k", "1");
    assert!(nodes.process(0).is_running());
    wait_until("a line about the false hello", || {
        // As long as many strangers are on the line another is sent away.
        send_and_leave(port, &hello(7, 1, b"evil:1\nevil:2\x1b[31m"));
        nodes.process(0).logged().lines().any(|line| {
            line.contains("refused a node") && line.contains("0000000000000007 (evil:1, evil:2")
        })
    });
    assert!(!nodes.process(0).logged().contains('\x1b'), "the log repeats control characters");
    assert_eq!(nodes.client(0).ask("SET k 2"), "OK");
    nodes.wait_for_value("k", "2");
}

/// A client that is gone with a reset in the middle of its requests, its replies unread.
#[test]
fn resets_in_the_middle_of_requests_do_no_harm() {
    let nodes = Nodes::start(1);
    for round in 0..50 {
        let client = nodes.client(0);
        client.send("PING\n".repeat(100).as_bytes());
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab");
        if round % 2 == 0 {
            // A reply that is there and was not read makes the close a reset.
            client.stream().peek(&mut [0]).expect("a reply");
        }
    }
    assert_eq!(nodes.client(0).ask("GET k"), "Not Found");
    nodes.client(0).wait_for("PING", "PONG");
}

/// Ten clients ask for gigabytes and read nothing.
#[test]
fn slow_readers_hold_up_nobody_and_fill_nothing() {
    let mut nodes = Nodes::start(1);
    let value = "v".repeat(100 * 1024);
    let mut other = nodes.client(0);
    let head = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", value.len());
    other.send(format!("{head}{value}\r\n").as_bytes());
    assert_eq!(other.line().expect("a reply").as_deref(), Some("+OK\r"));
    let mut other = nodes.client(0);
    assert_eq!(other.ask("PING"), "PONG");
    let before = nodes.process(0).memory_peak();
    let greedy: Vec<Client> = (0..10).map(|_| nodes.client(0)).collect();
    for client in &greedy {
        fill(client, &b"GET big\n".repeat(10_000));
        let asked = Instant::now();
        assert_eq!(other.ask("PING"), "PONG");
        assert!(asked.elapsed() < Duration::from_secs(5), "others wait for a slow reader");
        let growth = nodes.process(0).memory_peak().saturating_sub(before);
        assert!(growth < 100 << 20, "slow readers made the node grow by {growth} bytes");
    }
    // Who then reads gets what it asked for.
    let mut client = greedy.into_iter().next().expect("there are ten");
    for _ in 0..50 {
        assert_eq!(client.line().expect("a reply").as_deref(), Some(value.as_str()));
    }
    assert!(nodes.process(0).is_running());
}

/// Sends until the node takes no more.
fn fill(client: &Client, bytes: &[u8]) {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    for _ in 0..100 {
        match stream.write_all(bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("the node closed a slow reader at once: {error}"),
        }
    }
    panic!("the node took requests for 100 GB of replies");
}
