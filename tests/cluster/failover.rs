//! How long strong writes stand still when one of three nodes is killed or stopped.
//!
//! Clients on the two other nodes write keys of all slots, one after another, without a pause. What
//! is measured is the longest time that one of them spent without a success: it soon meets a key
//! whose leader is gone, and then waits until that slot is led again.
//!
//! A test asks only that it ends. For figures:
//! `QUORATE_FAILOVER_ROUNDS=20 cargo test --release --test cluster failover -- --nocapture`

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::common::{Client, Nodes, PATIENCE, wait_until};

/// Clients of each node that stays.
const CLIENTS: usize = 2;
/// Keys, so many that every node leads some of them.
const KEYS: usize = 500;
/// Writes in a row that must succeed before the next round.
const SETTLED: usize = 50;

/// The longest time between two successes of one client, until told to stop.
fn write(mut client: Client, name: usize, stop: &AtomicBool) -> (Duration, usize) {
    let (mut last, mut longest, mut refused) = (Instant::now(), Duration::ZERO, 0);
    let mut n = name * 7;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        if client.ask(&format!("SET f{} {n}", n % KEYS)) == "OK" {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        } else {
            refused += 1;
        }
    }
    (longest.max(last.elapsed()), refused)
}

/// One fault under load: the longest gap of any client, and how many writes failed.
fn round(nodes: &mut Nodes, victim: usize, strike: fn(&mut Nodes, usize)) -> (Duration, usize) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2 * CLIENTS)
            .map(|name| {
                let client = nodes.client((victim + 1 + name % 2) % 3);
                let stop = &stop;
                scope.spawn(move || write(client, name, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        strike(nodes, victim);
        thread::sleep(Duration::from_millis(2500));
        stop.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().map(|client| client.join().expect("a client"));
        seen.fold((Duration::ZERO, 0), |(longest, all), (gap, refused)| {
            (longest.max(gap), all + refused)
        })
    })
}

/// Waits until each node carries out writes of all kinds of keys.
fn settle(nodes: &Nodes) {
    for node in 0..3 {
        let mut client = nodes.client(node);
        wait_until("writes that succeed", || {
            (0..SETTLED).all(|n| client.ask(&format!("SET f{n} settled")) == "OK")
        });
    }
}

fn measure(what: &str, strike: fn(&mut Nodes, usize), mend: fn(&mut Nodes, usize)) {
    let rounds = env::var("QUORATE_FAILOVER_ROUNDS").map_or(1, |n| n.parse().expect("a number"));
    let mut nodes = Nodes::start(3);
    let (mut gaps, mut refused) = (Vec::new(), 0);
    for n in 0..rounds {
        settle(&nodes);
        let (gap, failed) = round(&mut nodes, n % 3, strike);
        mend(&mut nodes, n % 3);
        gaps.push(gap.as_millis());
        refused += failed;
    }
    eprintln!("{what}: longest time of a client without a success in each round, ms: {gaps:?}");
    gaps.sort_unstable();
    let (middle, last) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    eprintln!("{what}: median {middle} ms, worst {last} ms; {refused} writes refused or in doubt");
    assert!(last < PATIENCE.as_millis() / 2, "{what}: no writes for {last} ms");
}

#[test]
fn one_of_three_killed() {
    measure("kill -9", Nodes::kill, Nodes::restart);
}

#[test]
fn one_of_three_stopped() {
    let stop: fn(&mut Nodes, usize) = |nodes, victim| nodes.process(victim).signal("STOP");
    measure("SIGSTOP", stop, |nodes, victim| nodes.process(victim).signal("CONT"));
}
