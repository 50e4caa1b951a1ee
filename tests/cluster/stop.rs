//! The end of a process: what it has acknowledged is with its peer, what it has said is whole.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::common::{Client, Nodes, PATIENCE, wait_until};

/// Requests under way at a time.
const WINDOW: usize = 64;

/// Sends SETs of ever new keys until the node ends; how many were acknowledged.
fn load(client: &mut Client, name: &str, acknowledged: &AtomicUsize) -> usize {
    let mut sent = 0;
    let mut count = 0;
    loop {
        let batch: String =
            (sent..sent + WINDOW).map(|n| format!("SET {name}.{n} {n}\n")).collect();
        sent += WINDOW;
        let broken = io::Write::write_all(&mut client.stream(), batch.as_bytes()).is_err();
        for _ in 0..WINDOW {
            match client.line() {
                Ok(Some(reply)) => assert_eq!(reply, "OK"),
                // Closed, or reset because of requests that the node did not read any more.
                Ok(None) | Err(_) => return count,
            }
            count += 1;
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if broken {
            return count;
        }
    }
}

#[test]
fn sigterm_under_load_loses_no_acknowledged_write() {
    let mut nodes = Nodes::start(3);
    let total = AtomicUsize::new(0);
    let counts: Vec<usize> = thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|n| {
                let mut client = nodes.client(0);
                let total = &total;
                scope.spawn(move || load(&mut client, &format!("c{n}"), total))
            })
            .collect();
        wait_until("a running load", || total.load(Ordering::Relaxed) > 5000);
        nodes.process(0).signal("TERM");
        loads.into_iter().map(|load| load.join().expect("only whole replies")).collect()
    });
    let told = Instant::now();
    let status = nodes.process(0).wait();
    assert_eq!(status.code(), Some(0), "{}", nodes.process(0).logged());
    assert!(told.elapsed() < PATIENCE / 2, "it took {:?} to stop", told.elapsed());
    for (n, count) in counts.iter().enumerate() {
        let keys: Vec<String> = (0..*count).map(|at| format!("c{n}.{at}")).collect();
        let held = nodes.client(1).table(&keys);
        let missing = (0..*count).filter(|at| held[*at] != at.to_string()).count();
        assert_eq!(missing, 0, "of {count} acknowledged writes of client {n}");
    }
}

/// Sends SETs of the strong database until told to end; each must be carried out.
fn insist(client: &mut Client, name: &str, acknowledged: &AtomicUsize, ends: &AtomicBool) {
    let mut sent = 0;
    let started = Instant::now();
    while !ends.load(Ordering::Relaxed) && started.elapsed() < PATIENCE {
        let batch: String =
            (sent..sent + WINDOW).map(|n| format!("SET {name}.{} {n}\n", n % 500)).collect();
        sent += WINDOW;
        io::Write::write_all(&mut client.stream(), batch.as_bytes()).expect("the node is there");
        for _ in 0..WINDOW {
            assert_eq!(client.line().expect("a reply").as_deref(), Some("OK"));
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn sigterm_makes_no_request_to_another_node_fail() {
    let mut nodes = Nodes::start(3);
    let (total, ends) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for n in 0..4 {
            let mut client = nodes.client(1 + n % 2);
            let (total, ends) = (&total, &ends);
            scope.spawn(move || insist(&mut client, &format!("c{n}"), total, ends));
        }
        wait_until("a running load", || total.load(Ordering::Relaxed) > 3000);
        nodes.process(0).signal("TERM");
        let status = nodes.process(0).wait();
        let before = total.load(Ordering::Relaxed);
        wait_until("the others to go on", || total.load(Ordering::Relaxed) > before + 3000);
        ends.store(true, Ordering::Relaxed);
        assert_eq!(status.code(), Some(0), "{}", nodes.process(0).logged());
    });
}
