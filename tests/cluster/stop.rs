//! The end of a process: what it has acknowledged is with its peer, what it has said is whole.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
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
