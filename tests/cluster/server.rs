//! Commands about the server, on real sockets: addresses, monitors, the end of a node, and what one
//! greedy client may cost the others.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use super::common::{Client, Nodes, wait_until};

/// What a monitor may leave unread, as the node has it, and what the system's buffers hold besides.
const UNREAD: usize = 1 << 20;
const SYSTEM_BUFFERS: usize = 16 << 20;

#[test]
fn a_client_is_known_by_its_address_and_can_be_sent_away() {
    let nodes = Nodes::start(1);
    let (mut asks, watched) = (nodes.client(0), nodes.client(0));
    let address = watched.stream().local_addr().expect("it is connected");
    watched.send(b"PING\n");
    asks.wait_for("CLIENT LIST ID 999999", "END");
    wait_until("a client that is listed", || {
        asks.send(b"CLIENT LIST\n");
        let mut listed = false;
        loop {
            let line = asks.line().expect("a reply").expect("a line");
            listed |= line.contains(&format!(" addr={address} ")) && line.contains(" cmd=ping ");
            if line == "END" {
                return listed;
            }
        }
    });
    assert_eq!(asks.ask(&format!("CLIENT KILL ADDR {address}")), "1");
    assert_eq!(watched.finish(), b"PONG\n");
    assert_eq!(asks.ask(&format!("CLIENT KILL {address}")), "ERR No such client");
}

/// The requests of a transaction show when EXEC has them carried out, in front of it, and no others.
#[test]
fn a_monitor_sees_a_transaction_when_it_is_carried_out() {
    let nodes = Nodes::start(1);
    let (mut reads, mut asks) = (nodes.client(0), nodes.client(0));
    asks.wait_for("SET n 1", "OK");
    assert_eq!(reads.ask("MONITOR"), "OK");
    asks.send(b"MULTI\nSET n 5\nINCR n\nEXEC\nMULTI\nSET n 7\nDISCARD\n");
    asks.send(b"MULTI\nINCR n\nNONSENSE\nEXEC\nGET n\n");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|words| words != "\"GET\" \"n\"") {
        let line = reads.line().expect("in time").expect("it is not closed");
        seen.push(line.split_once("] ").expect("an address in front").1.to_owned());
    }
    let expected = [
        "\"MULTI\"",
        "\"SET\" \"n\" \"5\"",
        "\"INCR\" \"n\"",
        "\"EXEC\"",
        "\"MULTI\"",
        "\"DISCARD\"",
        "\"MULTI\"",
        "\"EXEC\"",
        "\"GET\" \"n\"",
    ];
    assert_eq!(seen, expected);
}

/// A monitor that reads sees everything; one that does not is closed before it costs much.
#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let mut nodes = Nodes::start_eventual(1);
    let (mut reads, mut sleeps) = (nodes.client(0), nodes.client(0));
    assert_eq!(reads.ask("MONITOR"), "OK");
    assert_eq!(sleeps.ask("MONITOR"), "OK");
    let mut asks = nodes.client(0);
    let before = nodes.process(0).memory_peak();
    let value = "x".repeat(900);
    let mut sent = 0;
    while sent < 2 * (UNREAD + SYSTEM_BUFFERS) {
        let batch: Vec<String> = (0..100).map(|n| format!("SET k{n} {value}\n")).collect();
        sent += batch.iter().map(String::len).sum::<usize>();
        assert!(asks.pipeline(&batch).iter().all(|reply| reply == "OK"));
        for line in &batch {
            let seen = loop {
                let seen = reads.line().expect("in time").expect("it is not closed");
                if seen.contains("\"SET\"") {
                    break seen;
                }
            };
            let key = line.split(' ').nth(1).expect("a key");
            assert!(seen.contains(&format!("\"SET\" \"{key}\" \"{value}\"")), "{seen}");
        }
    }
    let mut rest = Vec::new();
    // An end or a reset, depending on what was under way.
    let _ = sleeps.stream().read_to_end(&mut rest);
    assert!(rest.len() < UNREAD + SYSTEM_BUFFERS, "closed: {} bytes", rest.len());
    assert!(asks.info("stats").contains("stalled_connections:1\r"));
    let grown = nodes.process(0).memory_peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes more");
}

/// What dashboards look for, in the section where Redis has it and in no other.
#[test]
fn info_tells_of_the_processor_by_itself() {
    let nodes = Nodes::start(1);
    let mut client = nodes.client(0);
    wait_until("the driver's figures", || client.info("cpu").contains("used_cpu_user:"));
    let told = client.info("cpu");
    let seconds = told.split("used_cpu_user:").nth(1).and_then(|rest| rest.lines().next());
    assert!(seconds.and_then(|text| text.parse::<f64>().ok()).is_some_and(|s| s < 60.0), "{told}");
    assert!(!told.contains("used_memory") && !told.contains("cmdstat_"), "{told}");
    let all = client.info("everything");
    let fields = ["used_cpu_sys:", "used_memory:", "master_repl_offset:", "cmdstat_info:"];
    assert!(fields.iter().all(|field| all.matches(field).count() == 1), "{all}");
}

#[test]
fn shutdown_ends_a_node_as_a_signal_does() {
    let mut nodes = Nodes::start(3);
    let mut client = nodes.client(0);
    assert_eq!(client.ask("SET k v"), "OK");
    assert_eq!(client.ask("SHUTDOWN ABORT"), "ERR No shutdown in progress.");
    client.send(b"SHUTDOWN\n");
    let status = nodes.process(0).wait();
    assert_eq!(status.code(), Some(0), "{}", nodes.process(0).logged());
    assert_eq!(client.finish(), b"");
    nodes.take(0);
    nodes.client(1).wait_for("GET k", "v");
    nodes.restart(0);
    nodes.client(0).wait_for("GET k", "v");
}

/// The longest that a client with small requests waits while another asks for all keys, deletes
/// thousands at once and the like. The bound is generous: in one piece each of these would take
/// hundreds of milliseconds in a test build.
#[test]
fn one_greedy_client_does_not_stop_the_others() {
    const KEYS: usize = 100_000;
    const BOUND: Duration = Duration::from_millis(250);
    let nodes = Nodes::start_eventual(1);
    let mut greedy = nodes.client(0);
    for first in (0..KEYS).step_by(5000) {
        let pairs: String = (first..first + 5000).map(|n| format!(" k{n} v")).collect();
        assert_eq!(greedy.ask(&format!("MSET{pairs}")), "OK");
    }
    let many: String = (0..5000).map(|n| format!(" k{n}")).collect();
    let requests =
        [format!("EXISTS{many}"), format!("DEL{many}"), "KEYS *".to_owned(), "FLUSHALL".to_owned()];
    for request in requests {
        let done = std::sync::atomic::AtomicBool::new(false);
        let worst = std::thread::scope(|scope| {
            let modest = scope.spawn(|| {
                let (mut client, mut worst) = (nodes.client(0), Duration::ZERO);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let asked = Instant::now();
                    assert_eq!(client.ask("ECHO here"), "here");
                    worst = worst.max(asked.elapsed());
                }
                worst
            });
            greedy.send(format!("{request}\nPING\n").as_bytes());
            while greedy.line().expect("in time").expect("a line") != "PONG" {}
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            modest.join().expect("it is answered")
        });
        let name = request.split(' ').next().expect("a word");
        println!("{name}: the longest wait was {worst:?}");
        assert!(worst < BOUND, "{name} made another client wait {worst:?}");
    }
    let mut client = Client::connect(nodes.ports[0]);
    assert_eq!(client.ask("DBSIZE"), "0");
}
