//! A disk that is slower than its clients: what they ask meanwhile stays with them, and no batch
//! grows far over its limit.

use std::collections::BTreeMap;

use quorate::{
    limits::{Limits, Timing},
    log::Batch,
    members::Members,
    node::{Addresses, Append, ImagePart, LinkId, Node, NodeConfig, Origin},
    record::NodeId,
    time::{Instant, Now},
    turn::{Appended, Storage, Transport, finish_turn},
};

const NOW: Now = Now { mono: Instant::ZERO, wall_ms: 1_700_000_000_000 };
const CLIENTS: u32 = 20;
const GATHERED_MAX: usize = 1000;
/// Bytes of the values that clients write; of each record there are some more in the log.
const VALUE: usize = 400;
const RECORD_MAX: usize = VALUE + 100;

/// Takes all that the node says, by link.
#[derive(Default)]
struct Wires(BTreeMap<u32, Vec<u8>>);

impl Transport for Wires {
    fn dial(&mut self, _peer: NodeId) {}

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        self.0.entry(link.0).or_default().extend(bytes);
        bytes.len()
    }

    fn close(&mut self, _link: LinkId) {}
}

/// Has a batch until it is told that it is done.
#[derive(Default)]
struct SlowDisk {
    at_work: Option<Batch>,
    sizes: Vec<usize>,
}

impl Storage for SlowDisk {
    fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }

    fn append(&mut self, append: Append<'_>) -> Appended {
        self.at_work = Some(append.batch);
        self.sizes.push(append.entries.len());
        append.entries.clear();
        Appended::UnderWay
    }

    fn has_image_room(&self) -> bool {
        false
    }

    fn write_image(&mut self, _part: ImagePart<'_>) {}

    fn set_recovered(&mut self) {}
}

struct Bench {
    node: Node,
    wires: Wires,
    disk: SlowDisk,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { output_pause: 50, log_gathered_max: GATHERED_MAX, ..Limits::DEFAULT };
        let (members, timing) = (Members::single(9000), Timing::DEFAULT);
        let config =
            NodeConfig { members, incarnation: 1, slots: 8, limits, timing, synced: true, seed: 1 };
        let node = Node::new(config, NOW);
        let mut bench = Self { node, wires: Wires::default(), disk: SlowDisk::default() };
        for client in 0..=CLIENTS {
            bench.node.handle_open(NOW, LinkId(client), Origin::Accepted(Addresses::UNKNOWN));
        }
        bench
    }

    fn send(&mut self, client: u32, request: &str) {
        let link = LinkId(client);
        assert!(self.node.wants_read(link), "client {client} may not ask now");
        self.node.handle_bytes(NOW, link, request.as_bytes());
        self.turn();
    }

    fn turn(&mut self) {
        finish_turn(&mut self.node, NOW, &mut self.wires, &mut self.disk);
    }

    /// Lets the node do all that needs neither time nor the disk.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if self.node.poll_timeout().is_none_or(|due| due > NOW.mono) {
                return;
            }
            self.node.handle_timeout(NOW);
            self.turn();
        }
        panic!("the node does not come to rest");
    }

    fn work(&mut self) {
        if let Some(batch) = self.disk.at_work.take() {
            self.node.handle_durable(NOW, batch);
            self.turn();
        }
    }
}

#[test]
fn clients_that_wait_go_on_only_as_the_disk_takes_what_they_write() {
    let value = "v".repeat(VALUE);
    let mut bench = Bench::new();
    for client in 0..=CLIENTS {
        bench.send(client, "SELECT 2\n");
    }
    bench.send(CLIENTS, &format!("SET large {value}\n"));
    bench.work();
    bench.send(CLIENTS, "SET first 1\n");
    // Each reads more than is let out at a time, takes that, and could write next.
    for client in 0..CLIENTS {
        bench.send(client, &format!("GET large\nSET k{client} {value}\n"));
    }
    bench.send(CLIENTS, &format!("SET filler {}\n", "f".repeat(GATHERED_MAX)));
    bench.settle();
    assert!(!bench.node.wants_read(LinkId(CLIENTS)), "the log is full");
    while !bench.disk.is_idle() {
        bench.work();
        bench.settle();
    }
    let (sizes, most) = (&bench.disk.sizes, GATHERED_MAX + RECORD_MAX);
    assert!(sizes.iter().all(|size| *size < most), "batches of {sizes:?} bytes");
    for client in 0..CLIENTS {
        assert!(bench.wires.0[&client].ends_with(b"\nOK\n"), "client {client} has no answer");
    }
}
