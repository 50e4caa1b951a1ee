//! The world of a search: real nodes, their disks, the links between them, and the clients. A value
//! that can be copied, stepped and compared.
//!
//! A node is shared by all worlds in which it is the same, so a step copies only the nodes that it
//! concerns. Each node has a clock of its own, which stands still except where the search has a
//! timer fire; so the times in a node are few.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    rc::Rc,
};

use xxhash_rust::xxh3::Xxh3Default;

use super::{
    disk::Disk,
    setup::{Act, KEY, Loss, Role, Setup},
    story::{Fate, Story},
    wires::{Side, Wires},
};
use crate::{
    members::Members,
    node::{Addresses, LinkId, Node, NodeConfig, Origin},
    record::{Ballot, Db, NodeId, Version},
    time::{Instant, Millis, Now},
    turn::{Transport, finish_turn},
};

/// The wall clock when a world begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Most turns of a node without anything from outside.
const TURNS_MAX: usize = 1_000;

/// A place for a node.
#[derive(Clone, Debug, Hash)]
pub(super) struct Host {
    pub(super) node: Option<Node>,
    disk: Disk,
    mono: Instant,
    life: u64,
    /// By host: it would like to be connected.
    wishes: Vec<bool>,
    /// The highest promise of this place that the disk has called durable.
    sworn: Ballot,
}

impl Host {
    pub(super) fn now(&self) -> Now {
        Now { mono: self.mono, wall_ms: EPOCH_MS + self.mono.as_micros() / 1000 }
    }

    /// Whether it would like to be connected to another.
    pub(super) fn wishes(&self, to: usize) -> bool {
        self.wishes[to]
    }

    /// When its next timer fires, if that is not now.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.node.as_ref()?.poll_timeout().filter(|due| *due > self.mono)
    }
}

/// How often what has happened that is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spent {
    pub(super) crashes: u8,
    pub(super) breaks: u8,
    pub(super) mutes: u8,
    pub(super) ticks: u8,
    pub(super) lates: u8,
}

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) setup: Rc<Setup>,
    /// What is asked, those before the search included.
    pub(super) acts: Rc<[Act]>,
    hosts: Vec<(u64, Rc<Host>)>,
    pub(super) wires: Wires,
    /// By operation: the link on which its answer is awaited.
    clients: Vec<Option<(usize, LinkId)>>,
    pub(super) story: Story,
    pub(super) spent: Spent,
    /// The hosts by their roles.
    roles: Rc<[usize]>,
    /// Every version that was seen on the way here, with a hash of its body. Not compared: it tells
    /// about the past.
    bodies: Rc<BTreeMap<Version, u64>>,
}

/// What a turn of a node gives to others.
#[derive(Debug, Default)]
struct Outlet {
    sent: Vec<(LinkId, Vec<u8>)>,
    closed: Vec<LinkId>,
    dialed: Vec<NodeId>,
}

impl Transport for Outlet {
    fn dial(&mut self, peer: NodeId) {
        self.dialed.push(peer);
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        match self.sent.iter_mut().find(|(known, _)| *known == link) {
            Some((_, piece)) => piece.extend_from_slice(bytes),
            None => self.sent.push((link, bytes.to_vec())),
        }
        bytes.len()
    }

    fn close(&mut self, link: LinkId) {
        self.closed.push(link);
    }
}

impl World {
    /// A world whose nodes have just started, with nothing on their disks.
    pub(super) fn new(setup: Setup) -> Result<Self, String> {
        let acts: Rc<[Act]> = setup.before.iter().chain(setup.asks).map(|(_, act)| *act).collect();
        let host = Host {
            node: None,
            disk: Disk::default(),
            mono: Instant::from_micros(1_000_000),
            life: 0,
            wishes: vec![false; setup.nodes],
            sworn: Ballot::NONE,
        };
        let mut world = Self {
            hosts: vec![(0, Rc::new(host)); setup.nodes],
            wires: Wires::default(),
            clients: vec![None; acts.len()],
            story: Story::new(acts.len()),
            spent: Spent::default(),
            roles: (0..setup.nodes).collect(),
            bodies: Rc::new(BTreeMap::new()),
            setup: Rc::new(setup),
            acts,
        };
        for at in 0..setup.nodes {
            world.start(at)?;
        }
        Ok(world)
    }

    pub(super) fn host(&self, at: usize) -> &Host {
        &self.hosts[at].1
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().map(|(_, host)| host.as_ref())
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node> {
        self.host(at).node.as_ref()
    }

    /// The host that has a role.
    pub(super) fn at(&self, role: Role) -> usize {
        match role {
            Role::Leader => self.roles[0],
            Role::Other(number) => self.roles[1 + usize::from(number)],
        }
    }

    /// This host leads; the others follow in order.
    pub(super) fn set_leader(&mut self, leader: usize) {
        let others = (0..self.hosts.len()).filter(|at| *at != leader);
        self.roles = [leader].into_iter().chain(others).collect();
    }

    /// A number that stands for everything that can matter from here on.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3Default::new();
        self.hosts.iter().for_each(|(hash, _)| hash.hash(&mut hasher));
        (&self.wires, &self.clients, &self.story, self.spent).hash(&mut hasher);
        hasher.finish()
    }

    /// A client of its own asks the host for an operation.
    pub(super) fn ask(&mut self, at: usize, index: usize) -> Result<(), String> {
        self.story.ask(index);
        let link = self.free_link(at);
        self.clients[index] = Some((at, link));
        let words = format!("{}\r\n", self.acts[index].words());
        self.input(at, |node, now| {
            node.handle_open(now, link, Origin::Accepted(Addresses::UNKNOWN));
            node.handle_bytes(now, link, words.as_bytes());
        })
    }

    /// The next thing arrives at one side of a link.
    pub(super) fn deliver(&mut self, wire: usize, side: Side) -> Result<(), String> {
        let end = self.wires.get(wire).end(side);
        let (host, link) = (end.host, end.link);
        match self.wires.take(wire, side) {
            Some(piece) => self.input(host, |node, now| node.handle_bytes(now, link, &piece)),
            None => self.close_end(wire, side),
        }
    }

    /// One side of a link is told that it is over.
    pub(super) fn close_end(&mut self, wire: usize, side: Side) -> Result<(), String> {
        let end = self.wires.get(wire).end(side);
        let (host, link, open) = (end.host, end.link, end.open);
        self.wires.close(wire, side);
        if open { self.input(host, |node, now| node.handle_close(now, link)) } else { Ok(()) }
    }

    /// A link breaks with all that is under way on it.
    pub(super) fn break_wire(&mut self, wire: usize) -> Result<(), String> {
        self.close_end(wire, Side::Accepter)?;
        self.close_end(wire, Side::Dialer)
    }

    /// The peers of a host take it for dead, which it does not know yet.
    pub(super) fn mute(&mut self, at: usize) -> Result<(), String> {
        for wire in 0..self.wires.len() {
            if self.wires.get(wire).end(Side::Dialer).host == at {
                self.close_end(wire, Side::Accepter)?;
            }
        }
        Ok(())
    }

    /// The clock of a host moves to its next timer.
    pub(super) fn fire(&mut self, at: usize) -> Result<(), String> {
        let Some(due) = self.host(at).next_timer() else { return Ok(()) };
        self.host_mut(at).mono = due;
        self.input(at, |node, now| node.handle_timeout(now))
    }

    /// Two hosts that want to be connected are, up to the dialer's first words.
    pub(super) fn connect(&mut self, a: usize, b: usize) -> Result<(), String> {
        for (from, to) in [(a, b), (b, a)] {
            if !self.host(from).wishes[to] {
                continue;
            }
            self.host_mut(from).wishes[to] = false;
            let (here, there) = (self.free_link(from), self.free_link(to));
            let wire = self.wires.open((from, here), (to, there));
            self.input(to, |node, now| {
                node.handle_open(now, there, Origin::Accepted(Addresses::UNKNOWN))
            })?;
            let dialed = Origin::Dialed(NodeId(to as u16));
            self.input(from, |node, now| node.handle_open(now, here, dialed))?;
            // Hello, and then Welcome.
            let place = |world: &Self| world.wires.find(from, here);
            debug_assert_eq!(place(self), Some((wire, Side::Dialer)));
            if let Some((wire, _)) = place(self) {
                self.deliver(wire, Side::Accepter)?;
            }
            if let Some((wire, _)) = place(self)
                && self.wires.get(wire).can_arrive(Side::Dialer)
            {
                self.deliver(wire, Side::Dialer)?;
            }
        }
        Ok(())
    }

    /// Time passes everywhere without anything happening.
    pub(super) fn wait(&mut self, span: Millis) -> Result<(), String> {
        for at in 0..self.hosts.len() {
            let host = self.host_mut(at);
            host.mono = host.mono + span;
            self.input(at, |node, now| node.handle_timeout(now))?;
        }
        Ok(())
    }

    /// A host's disk finishes what it is at.
    pub(super) fn work(&mut self, at: usize) -> Result<(), String> {
        let Some(batch) = self.host_mut(at).disk.work() else { return Ok(()) };
        self.input(at, |node, now| node.handle_durable(now, batch))
    }

    /// Whether a host's disk is at something.
    pub(super) fn is_working(&self, at: usize) -> bool {
        !crate::turn::Storage::is_idle(&self.host(at).disk)
    }

    /// A node ends, and all know at once.
    pub(super) fn crash(&mut self, at: usize, loss: Loss) -> Result<(), String> {
        let host = self.host_mut(at);
        host.node = None;
        host.disk.crash(loss);
        if loss != Loss::Undurable {
            host.sworn = Ballot::NONE;
        }
        host.wishes.fill(false);
        self.seal(at);
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.is_some_and(|(host, _)| host == at) {
                *client = None;
                self.story.lose(index);
            }
        }
        for wire in 0..self.wires.len() {
            for side in [Side::Dialer, Side::Accepter] {
                if self.wires.get(wire).end(side).host == at {
                    self.wires.close(wire, side);
                    self.close_end(wire, side.other())?;
                }
            }
        }
        self.wires.sweep();
        Ok(())
    }

    /// A host begins a new life with what is on its disk.
    pub(super) fn start(&mut self, at: usize) -> Result<(), String> {
        let name = |at: usize| format!("localhost:{}", 9000 + at);
        let peers: Vec<String> = (0..self.hosts.len()).filter(|n| *n != at).map(name).collect();
        let members = Members::form(&name(at), &peers).map_err(|why| why.to_string())?;
        let setup = Rc::clone(&self.setup);
        let host = self.host_mut(at);
        host.life += 1;
        let now = host.now();
        let config = NodeConfig {
            members,
            incarnation: host.life,
            slots: 1,
            limits: Setup::limits(),
            timing: setup.timing(),
            synced: true,
            // Another one in each life: request numbers begin with it.
            seed: host.life << 8 | at as u64,
        };
        let mut node = Node::new(config, now);
        host.disk.recover(&mut node, now, host.life);
        host.node = Some(node);
        let (promised, sworn) = (self.promised(at), self.host(at).sworn);
        if promised < sworn {
            return Err(format!(
                "I6: n{at} promised {sworn:?} durably, and after a restart {promised:?}"
            ));
        }
        self.input(at, |_, _| {})
    }

    /// What a host that is up has promised.
    pub(super) fn promised(&self, at: usize) -> Ballot {
        self.node(at).map_or(Ballot::NONE, |node| node.promised(0))
    }

    fn host_mut(&mut self, at: usize) -> &mut Host {
        Rc::make_mut(&mut self.hosts[at].1)
    }

    fn seal(&mut self, at: usize) {
        let mut hasher = Xxh3Default::new();
        self.host(at).hash(&mut hasher);
        self.hosts[at].0 = hasher.finish();
    }

    fn free_link(&self, host: usize) -> LinkId {
        let taken = |link| self.clients.contains(&Some((host, link))) || self.wires.has(host, link);
        let mut free = (0..).map(LinkId).filter(|link| !taken(*link));
        free.next().unwrap_or(LinkId(u32::MAX))
    }

    /// Something happens to a node, and all that follows from it at once.
    fn input(&mut self, at: usize, mut input: impl FnMut(&mut Node, Now)) -> Result<(), String> {
        let before = self.promised(at);
        let host = self.host_mut(at);
        let now = host.now();
        if let Some(node) = &mut host.node {
            input(node, now);
        }
        self.run(at)?;
        let after = self.promised(at);
        if self.node(at).is_some() && after < before {
            return Err(format!("I6: n{at} promised {before:?}, and now {after:?}"));
        }
        Ok(())
    }

    /// Turns of a node until nothing happens by itself.
    fn run(&mut self, at: usize) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let mut outlet = Outlet::default();
            let at_once = !self.setup.slow_disks.iter().any(|role| self.at(*role) == at);
            let host = self.host_mut(at);
            let now = host.now();
            let Host { node: Some(node), disk, .. } = host else { break };
            finish_turn(node, now, &mut outlet, disk);
            let worked = if at_once { disk.work() } else { None };
            if let Some(batch) = worked {
                node.handle_durable(now, batch);
            }
            let due = node.poll_timeout().is_some_and(|due| due <= now.mono);
            if worked.is_none() && due {
                node.handle_timeout(now);
            }
            if crate::turn::Storage::is_idle(disk) {
                host.sworn = host
                    .sworn
                    .max(host.node.as_ref().map_or(Ballot::NONE, |node| node.promised(0)));
            }
            let quiet = self.carry_out(at, outlet)?;
            if quiet && worked.is_none() && !due {
                self.note_bodies(at)?;
                self.seal(at);
                return Ok(());
            }
        }
        Err(format!("n{at} does not come to rest"))
    }

    /// What a turn gave goes its way. Whether that was nothing that the node must hear of.
    fn carry_out(&mut self, at: usize, outlet: Outlet) -> Result<bool, String> {
        for (link, piece) in outlet.sent {
            if let Some(index) = self.clients.iter().position(|c| *c == Some((at, link))) {
                self.story.hear(index, &piece)?;
            } else if let Some(end) = self.wires.find(at, link) {
                self.wires.send(end, &piece);
            }
        }
        for link in outlet.closed {
            if let Some((wire, side)) = self.wires.find(at, link) {
                self.wires.close(wire, side);
            }
        }
        for peer in outlet.dialed {
            self.host_mut(at).wishes[peer.index()] = true;
        }
        // Whoever was answered leaves.
        let over = |fate: &Fate| !matches!(fate, Fate::Asked { .. });
        let mut quiet = true;
        for index in 0..self.clients.len() {
            if let Some((host, link)) = self.clients[index]
                && host == at
                && over(&self.story.fates[index])
            {
                self.clients[index] = None;
                quiet = false;
                let host = self.host_mut(at);
                let now = host.now();
                if let Some(node) = &mut host.node {
                    node.handle_close(now, link);
                }
            }
        }
        Ok(quiet)
    }

    /// I1: a version names one body. Every version that this node shows is remembered.
    fn note_bodies(&mut self, at: usize) -> Result<(), String> {
        let Some(node) = self.node(at) else { return Ok(()) };
        let Some(record) = node.store().get(Db::STRONG, KEY.as_bytes()) else { return Ok(()) };
        let mut hasher = Xxh3Default::new();
        record.value.hash(&mut hasher);
        let (version, body) = (record.version, hasher.finish());
        match self.bodies.get(&version) {
            Some(known) if *known != body => Err(format!("I1: {version:?} has two bodies")),
            Some(_) => Ok(()),
            None => {
                Rc::make_mut(&mut self.bodies).insert(version, body);
                Ok(())
            }
        }
    }
}
