//! A cluster in memory: real nodes, real turns, and a network that does what it is told.
//!
//! The third driver beside the reactor and the simulator, and the smallest: links are queues of
//! bytes, delivered in order, in pieces of a chosen size, when [`Cluster::settle`] or
//! [`Cluster::advance`] say so. It has no chance of its own, so a script or a fuzzer's choices
//! replay exactly. Faults are those that a script can name: a partition stalls bytes, a cut loses
//! those under way, a crash loses a node with all that is not on its disk.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
};

mod wires;

use wires::Wires;

use super::memory::Memory;
use crate::{
    limits::{Limits, Timing},
    members::Members,
    node::{Addresses, LinkId, Node, NodeConfig, Origin},
    record::NodeId,
    time::{Instant, Millis, Now},
    turn::finish_turn,
};

/// The wall clock when a cluster begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Most turns without time passing. A cluster that needs more is talking to itself for ever.
const TURNS_MAX: usize = 1_000_000;

/// One side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Client(usize),
    Node(usize, LinkId),
}

/// What one side has sent and the other not yet received.
#[derive(Debug)]
struct Pipe {
    to: End,
    bytes: VecDeque<u8>,
    /// The sender will send no more; told once the bytes are through.
    finished: bool,
    /// The link is gone; told once the bytes are through.
    closed: bool,
}

impl Pipe {
    const fn new(to: End) -> Self {
        Self { to, bytes: VecDeque::new(), finished: false, closed: false }
    }
}

/// A node's place: the node comes and goes, its name stays.
#[derive(Debug)]
struct Host {
    node: Option<Node>,
    disk: Memory,
    next_link: u32,
    incarnation: u64,
    wall_offset_ms: i64,
}

/// A client's side of its connection.
#[derive(Debug, Default)]
struct Client {
    received: Vec<u8>,
    closed: bool,
}

/// What the nodes of a cluster are told at birth, besides their names.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many nodes.
    pub nodes: usize,
    /// How many slots.
    pub slots: u32,
    /// Bounds.
    pub limits: Limits,
    /// Spans.
    pub timing: Timing,
    /// Most bytes delivered in one piece, and taken from a node at once.
    pub piece: usize,
    /// What is durable is on the disk itself, as nodes are told.
    pub synced: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let (limits, timing) = (Limits::DEFAULT, Timing::DEFAULT);
        Self { nodes: 3, slots: 16, limits, timing, piece: usize::MAX, synced: true }
    }
}

/// Nodes, clients and what is between them.
#[derive(Debug)]
pub struct Cluster {
    setup: Setup,
    names: Vec<String>,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    /// By the side that sends.
    pipes: BTreeMap<End, Pipe>,
    /// Pairs (from, to) between whom nothing moves.
    stalled: BTreeSet<(usize, usize)>,
    mono: Instant,
}

impl Cluster {
    /// A cluster whose nodes have just started.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let names = (0..setup.nodes).map(|n| format!("localhost:{}", 9000 + n)).collect();
        let host = |_| Host {
            node: None,
            disk: Memory::default(),
            next_link: 0,
            incarnation: 0,
            wall_offset_ms: 0,
        };
        let mut cluster = Self {
            setup,
            names,
            hosts: (0..setup.nodes).map(host).collect(),
            clients: Vec::new(),
            pipes: BTreeMap::new(),
            stalled: BTreeSet::new(),
            mono: Instant::ZERO,
        };
        for node in 0..setup.nodes {
            cluster.start(node);
        }
        cluster
    }

    /// The node at a place, unless it is down.
    #[must_use]
    pub fn node(&self, node: usize) -> Option<&Node> {
        self.hosts[node].node.as_ref()
    }

    /// How many places for nodes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no place for a node.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Starts a node that is down in a new life, with nothing on its disk.
    pub fn start(&mut self, node: usize) {
        self.hosts[node].disk.wipe();
        self.restart(node);
    }

    /// While a node's disk is stalled, nothing becomes durable there.
    pub fn stall_disk(&mut self, node: usize, stalled: bool) {
        self.hosts[node].disk.stalled = stalled;
    }

    /// A node's disk remembers how much is durable now.
    pub fn mark_disk(&mut self, node: usize) {
        self.hosts[node].disk.mark();
    }

    /// The disk of a node that is down loses what became durable since it was marked.
    pub fn lose_tail(&mut self, node: usize) {
        assert!(self.hosts[node].node.is_none(), "node {node} is up");
        self.hosts[node].disk.lose();
    }

    /// Starts a node that is down in a new life, with what is on its disk.
    pub fn restart(&mut self, node: usize) {
        self.restart_as(node, false);
    }

    /// The same on the word of an operator who wants a cold start.
    pub fn restart_cold(&mut self, node: usize) {
        self.restart_as(node, true);
    }

    fn restart_as(&mut self, node: usize, cold: bool) {
        let now = self.now(node);
        let peers: Vec<String> =
            self.names.iter().filter(|name| **name != self.names[node]).cloned().collect();
        let members = Members::form(&self.names[node], &peers).expect("names of a test cluster");
        let host = &mut self.hosts[node];
        assert!(host.node.is_none(), "node {node} is up");
        host.incarnation = (host.incarnation + 1).max(now.wall_ms);
        let config = NodeConfig {
            members,
            incarnation: host.incarnation,
            slots: self.setup.slots,
            limits: self.setup.limits,
            timing: self.setup.timing,
            synced: self.setup.synced,
            seed: node as u64,
        };
        let mut node = Node::new(config, now);
        host.disk.recover(&mut node, now, host.incarnation, cold);
        host.node = Some(node);
    }

    /// The next life of a node that is down knows of its earlier ones only what its wall clock
    /// says.
    pub fn forget_incarnation(&mut self, node: usize) {
        self.hosts[node].incarnation = 0;
    }

    /// A node ends with all that is not durable; its links break.
    pub fn crash(&mut self, node: usize) {
        self.hosts[node].node = None;
        self.hosts[node].disk.crash();
        let ends: Vec<End> = self.pipes.keys().copied().collect();
        for end in ends.into_iter().filter(|end| matches!(end, End::Node(at, _) if *at == node)) {
            self.cut_link(end);
        }
    }

    /// What a node has is safe from power failures from now on.
    pub fn sync(&mut self, node: usize) {
        self.hosts[node].disk.sync();
    }

    /// A node's power fails, and takes what was not synced.
    pub fn lose_power(&mut self, node: usize) {
        self.crash(node);
        self.hosts[node].disk.lose_power();
    }

    /// The disk of a node that is down is damaged, and repaired.
    pub fn damage(&mut self, node: usize) {
        self.hosts[node].disk.damage();
    }

    /// Nothing moves from one node to the other until [`Cluster::heal`]. The other way is not
    /// affected.
    pub fn stall(&mut self, from: usize, to: usize) {
        self.stalled.insert((from, to));
    }

    /// All partitions end.
    pub fn heal(&mut self) {
        self.stalled.clear();
    }

    /// Breaks all links between two nodes; bytes under way are lost.
    pub fn cut(&mut self, a: usize, b: usize) {
        let between = |end: &End, pipe: &Pipe| match (*end, pipe.to) {
            (End::Node(x, _), End::Node(y, _)) => (x, y) == (a, b) || (x, y) == (b, a),
            _ => false,
        };
        let ends = self.pipes.iter().filter(|(end, pipe)| between(end, pipe));
        let ends: Vec<End> = ends.map(|(end, _)| *end).collect();
        ends.into_iter().for_each(|end| self.cut_link(end));
    }

    /// Sets a node's wall clock off by so many milliseconds.
    pub fn set_clock(&mut self, node: usize, offset_ms: i64) {
        self.hosts[node].wall_offset_ms = offset_ms;
    }

    /// Tells a node to stop; it has when [`Node::is_drained`].
    pub fn shut_down(&mut self, node: usize) {
        let now = self.now(node);
        if let Some(at) = self.hosts[node].node.as_mut() {
            at.handle_shutdown(now);
        }
    }

    /// Connects a client to a node.
    pub fn connect(&mut self, node: usize) -> usize {
        let client = self.clients.len();
        self.clients.push(Client::default());
        let link = self.new_link(node);
        let (here, there) = (End::Client(client), End::Node(node, link));
        let now = self.now(node);
        match self.hosts[node].node.as_mut() {
            Some(at) => {
                at.handle_open(now, link, Origin::Accepted(addresses(client, node)));
                self.pipes.insert(here, Pipe::new(there));
                self.pipes.insert(there, Pipe::new(here));
                self.turn(node);
            }
            None => self.clients[client].closed = true,
        }
        client
    }

    /// A client sends bytes; they arrive when the cluster settles.
    pub fn send(&mut self, client: usize, bytes: &[u8]) {
        if let Some(pipe) = self.pipes.get_mut(&End::Client(client)) {
            pipe.bytes.extend(bytes);
        }
    }

    /// A client has sent its last byte and goes on reading.
    pub fn half_close(&mut self, client: usize) {
        if let Some(pipe) = self.pipes.get_mut(&End::Client(client)) {
            pipe.finished = true;
        }
    }

    /// What a client has received since it was last asked.
    pub fn take_received(&mut self, client: usize) -> Vec<u8> {
        std::mem::take(&mut self.clients[client].received)
    }

    /// How many bytes a client has received since it was last asked.
    #[must_use]
    pub fn peek_received(&self, client: usize) -> usize {
        self.clients[client].received.len()
    }

    /// Whether the node has closed the client's connection.
    #[must_use]
    pub fn is_closed(&self, client: usize) -> bool {
        self.clients[client].closed
    }

    /// Sends a request, lets the cluster settle, and returns what came back.
    pub fn ask(&mut self, client: usize, request: &[u8]) -> Vec<u8> {
        self.send(client, request);
        self.settle();
        self.take_received(client)
    }

    /// Lets everything happen that needs no time.
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !(self.deliver() | self.run_due() | self.run_disks()) {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Lets one thing happen that needs no time, chosen by number: a piece arrives on one link, or
    /// one disk finishes what it is at. Whether there was anything to happen there.
    pub fn nudge(&mut self, choice: usize) -> bool {
        let (links, hosts) = (self.pipes.len(), self.hosts.len());
        let choice = choice % (links + hosts);
        match self.pipes.keys().copied().nth(choice) {
            Some(end) => self.deliver_one(end),
            None => self.run_disk(choice - links),
        }
    }

    /// Lets time pass, timer by timer.
    pub fn advance(&mut self, span: Millis) {
        let end = self.mono + span;
        self.settle();
        for _ in 0..TURNS_MAX {
            let nodes = self.hosts.iter().filter_map(|host| host.node.as_ref());
            let next = nodes.filter_map(Node::poll_timeout).min();
            match next {
                Some(next) if next < end => self.mono = next.max(self.mono),
                Some(_) | None => break,
            }
            self.settle();
        }
        self.mono = end;
        self.settle();
    }

    /// Lets time pass until `done`, at most `span`. Whether it was.
    pub fn advance_until(&mut self, span: Millis, mut done: impl FnMut(&Self) -> bool) -> bool {
        self.settle();
        for _ in 0..span.0 / 10 {
            if done(self) {
                return true;
            }
            self.advance(Millis(10));
        }
        done(self)
    }

    /// Whether all nodes that are up hold the same records and flush stamps. Checks each store's
    /// invariants on the way.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let mut images = self.hosts.iter().filter_map(|host| host.node.as_ref()).map(image);
        let Some(first) = images.next() else { return true };
        images.all(|image| image == first)
    }

    fn now(&self, node: usize) -> Now {
        let wall_ms = EPOCH_MS + self.mono.as_micros() / 1000;
        Now {
            mono: self.mono,
            wall_ms: wall_ms.saturating_add_signed(self.hosts[node].wall_offset_ms),
        }
    }

    fn new_link(&mut self, node: usize) -> LinkId {
        let link = LinkId(self.hosts[node].next_link);
        self.hosts[node].next_link += 1;
        link
    }

    /// Delivers one piece on every link. Whether anything moved.
    pub fn deliver(&mut self) -> bool {
        let ends: Vec<End> = self.pipes.keys().copied().collect();
        let mut moved = false;
        for end in ends {
            moved |= self.deliver_one(end);
        }
        moved
    }

    fn deliver_one(&mut self, from: End) -> bool {
        let piece = self.setup.piece;
        let Some(pipe) = self.pipes.get_mut(&from) else { return false };
        let to = pipe.to;
        if let (End::Node(a, _), End::Node(b, _)) = (from, to)
            && self.stalled.contains(&(a, b))
        {
            return false;
        }
        if !pipe.bytes.is_empty() {
            let End::Node(node, link) = to else {
                let End::Client(client) = to else { return false };
                self.clients[client].received.extend(pipe.bytes.drain(..));
                return true;
            };
            let wanted = self.hosts[node].node.as_ref().is_some_and(|at| at.wants_read(link));
            if !wanted {
                return false;
            }
            let size = pipe.bytes.len().min(piece);
            let bytes: Vec<u8> = pipe.bytes.drain(..size).collect();
            let now = self.now(node);
            if let Some(at) = self.hosts[node].node.as_mut() {
                at.handle_bytes(now, link, &bytes);
            }
            self.turn(node);
            return true;
        }
        if std::mem::take(&mut pipe.finished) {
            if let End::Node(node, link) = to {
                let now = self.now(node);
                if let Some(at) = self.hosts[node].node.as_mut() {
                    at.handle_eof(now, link);
                }
                self.turn(node);
            }
            return true;
        }
        if pipe.closed {
            self.pipes.remove(&from);
            self.tell_closed(to);
            return true;
        }
        false
    }

    /// The other side of `end`'s link is gone.
    fn tell_closed(&mut self, end: End) {
        match end {
            End::Client(client) => self.clients[client].closed = true,
            End::Node(node, link) => {
                let now = self.now(node);
                if let Some(at) = self.hosts[node].node.as_mut() {
                    at.handle_close(now, link);
                    self.turn(node);
                }
            }
        }
        self.pipes.remove(&end);
    }

    /// Breaks a link both ways at once.
    fn cut_link(&mut self, end: End) {
        if let Some(pipe) = self.pipes.remove(&end) {
            self.pipes.remove(&pipe.to);
            self.tell_closed(end);
            self.tell_closed(pipe.to);
        }
    }

    /// Runs the timers that are due. Whether there was one.
    fn run_due(&mut self) -> bool {
        let mut ran = false;
        for node in 0..self.hosts.len() {
            let now = self.now(node);
            let Some(at) = self.hosts[node].node.as_mut() else { continue };
            if at.poll_timeout().is_some_and(|due| due <= now.mono) {
                at.handle_timeout(now);
                self.turn(node);
                ran = true;
            }
        }
        ran
    }

    /// Lets the disks finish what they are at. Whether that was anything.
    fn run_disks(&mut self) -> bool {
        let mut worked = false;
        for node in 0..self.hosts.len() {
            worked |= self.run_disk(node);
        }
        worked
    }

    fn run_disk(&mut self, node: usize) -> bool {
        let now = self.now(node);
        let Host { node: Some(at), disk, .. } = &mut self.hosts[node] else { return false };
        let worked = disk.work(at, now);
        if worked {
            self.turn(node);
        }
        worked
    }

    fn turn(&mut self, node: usize) {
        let now = self.now(node);
        let Some(mut at) = self.hosts[node].node.take() else { return };
        let mut disk = std::mem::take(&mut self.hosts[node].disk);
        let mut wires = Wires { cluster: self, node, dials: Vec::new() };
        if at.wants_to_stop() {
            at.handle_shutdown(now);
        }
        finish_turn(&mut at, now, &mut wires, &mut disk);
        let dials = wires.dials;
        self.hosts[node].node = Some(at);
        self.hosts[node].disk = disk;
        for peer in dials {
            self.dial(node, peer.index());
        }
    }

    /// Connects two nodes, or fails as a network would: at once if nobody listens, silently behind
    /// a partition.
    fn dial(&mut self, from: usize, to: usize) {
        if self.stalled.contains(&(from, to)) || self.stalled.contains(&(to, from)) {
            return;
        }
        let (now_from, now_to) = (self.now(from), self.now(to));
        if self.hosts[to].node.is_none() {
            if let Some(at) = self.hosts[from].node.as_mut() {
                at.handle_dial_failed(now_from, NodeId(to as u16));
            }
            return self.turn(from);
        }
        let (here, there) = (self.new_link(from), self.new_link(to));
        let (a, b) = (End::Node(from, here), End::Node(to, there));
        self.pipes.insert(a, Pipe::new(b));
        self.pipes.insert(b, Pipe::new(a));
        if let Some(at) = self.hosts[to].node.as_mut() {
            at.handle_open(now_to, there, Origin::Accepted(Addresses::UNKNOWN));
        }
        if let Some(at) = self.hosts[from].node.as_mut() {
            at.handle_open(now_from, here, Origin::Dialed(NodeId(to as u16)));
        }
        self.turn(to);
        self.turn(from);
    }
}

/// Where a client's connection leads from and to.
fn addresses(client: usize, node: usize) -> Addresses {
    let local = |port: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
    Addresses { from: local(40_000 + client % 20_000), to: local(9000 + node) }
}

/// Everything that replicas must agree on, in order.
fn image(node: &Node) -> Vec<Vec<u8>> {
    let store = node.store();
    store.check();
    let mut all = Vec::new();
    for db in crate::record::Db::ALL {
        all.push(store.flushed(db).to_bits().to_be_bytes().to_vec());
        let records = store.records(db).map(|record| {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            bytes
        });
        all.extend(records);
    }
    all.sort();
    all
}
