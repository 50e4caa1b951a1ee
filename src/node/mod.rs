//! The node: everything quorate decides, without a socket, file, clock or thread of its own.
//!
//! A driver first shows a new node what an earlier life left (`recover`, `recovered`). Then it calls
//! four kinds of methods, and nobody else calls any:
//! - inputs, `handle_*`: something happened. They never fail; bad bytes become an error reply or a
//!   closed link.
//! - outputs, `poll_append`, `poll_image`, `poll_recovered`, `poll_dirty`, `output`, `consume`,
//!   `poll_action`: taken by [`crate::turn::finish_turn`] alone.
//! - questions, `wants_read`, `poll_timeout`, `wants_to_stop`, `is_drained`: asked between turns.
//! - views, `store`, `members`, `under_way`, `leader_of`: for oracles and tests.
//!
//! This file owns the fields and does nothing but dispatch. What a client says is answered in
//! `client`; what a peer says on its own link in `inbound`, on ours in `outbound`; what time asks
//! for in `timers`; what the disk is given and says in `durable`. `outbox`, `repair`, `eventual`,
//! `floor`, `journal`, `checkpoint` and `links` are leaves: they know nothing of the node.
//!
//! Invariants: outputs at rest change only by inputs; the same inputs in the same order give the
//! same outputs; no map here has an iteration order of its own.

use std::collections::VecDeque;

use crate::{
    conn::{Connection, Ticket},
    limits::{Limits, Timing},
    members::Members,
    probe::{Mutant, planted},
    proto::{
        Workspace,
        peer::{self, Frame, Hello},
    },
    record::{Ballot, NodeId},
    rng::Rng,
    store::Store,
    time::{Instant, Now},
};

mod asks;
mod audit;
mod chains;
mod checkpoint;
mod chores;
mod client;
mod closing;
mod consensus;
mod driver;
mod durable;
mod eventual;
mod exec;
mod flights;
mod floor;
mod flush;
mod formation;
mod gather;
mod here;
mod inbound;
mod info;
mod inquiry;
mod journal;
mod keyspace;
mod latency;
mod links;
mod load;
mod locate;
mod memory;
mod monitor;
mod moves;
mod observer;
mod outbound;
mod outbox;
mod peers;
mod quorum;
mod removal;
mod repair;
mod scripts;
mod sleeps;
mod slow;
mod status;
mod strong;
mod timers;
mod visitors;
mod votes;
mod wait;

use checkpoint::Checkpoint;
pub use checkpoint::ImagePart;
use chores::Chores;
use client::Input;
use consensus::Laden;
pub use driver::{Action, LinkId, NodeConfig, Origin};
use durable::Refill;
pub use durable::{Append, Found};
use eventual::Replica;
use formation::Formation;
use gather::Gathers;
use info::Stats;
use inquiry::Inquiry;
use links::{End, Links, PeerLink, Side};
use load::Asked;
pub use load::Measured;
use locate::Locates;
use moves::Moves;
use observer::Observer;
use peers::{Dialing, Peers};
use quorum::Quorum;
use removal::Removal;
use scripts::Scripts;
use sleeps::Sleeps;
use strong::Strong;
use timers::Watch;
pub use visitors::Addresses;
use visitors::Visit;
use wait::{Waits, Wrote};

/// How often stream and copies may be moved into one link's output a turn, so that a peer that has
/// much to catch up on does not hold up everybody else.
const REFILLS_PER_TURN: u8 = 4;

/// One member of a cluster. See the module for how to drive it.
#[derive(Clone, Debug, Hash)]
pub struct Node {
    members: Members,
    slots: u32,
    limits: Limits,
    timing: Timing,
    replica: Replica,
    peers: Peers,
    strong: Strong,
    quorum: Quorum,
    formation: Formation,
    gathers: Gathers,
    moves: Moves,
    scripts: Scripts,
    /// What clients asked about the node this turn.
    inquiries: Vec<Inquiry>,
    waits: Waits,
    locates: Locates,
    chores: Chores,
    sleeps: Sleeps,
    observer: Observer,
    /// Clients some of whose requests may be over since this was last noted.
    owing: Vec<LinkId>,
    links: Links,
    /// Links between nodes that the other side dialed.
    accepted: Vec<LinkId>,
    /// Clients that don't read their replies, and since when.
    watched: Vec<Watch>,
    /// Clients whose replies wait for the disk.
    waiting: Vec<LinkId>,
    checkpoint: Checkpoint,
    removal: Removal,
    refill: Refill,
    /// The bytes of the last piece of a checkpoint.
    slice: Vec<u8>,
    /// The disk took or would take another piece when last asked.
    image_room: bool,
    /// Links between nodes that could go on without any new input.
    runnable: VecDeque<LinkId>,
    /// Clients that have taken enough of their replies for their requests to go on.
    resumable: VecDeque<LinkId>,
    actions: VecDeque<Action>,
    workspace: Workspace,
    stats: Stats,
    rng: Rng,
    /// Bytes in the buffers of all clients.
    buffered: usize,
    /// Clients that were given more this turn than they may hold.
    laden: Vec<Laden>,
    /// Set when stopping: the end of patience.
    draining: Option<Instant>,
    /// Stopping, and patience has ended.
    overdue: bool,
    /// A client wants the node to stop.
    stops: bool,
}

impl Node {
    /// A node with an empty store, which will dial its peers at its first timeout.
    #[must_use]
    pub fn new(config: NodeConfig, now: Now) -> Self {
        let NodeConfig { members, incarnation, slots, limits, timing, synced, seed } = config;
        let mut rng = Rng::new(seed);
        let store = Store::new(slots, members.cluster_id(), rng.bits());
        Self {
            replica: Replica::new(
                store,
                (members.me(), members.len()),
                incarnation,
                timing.skew_max,
                limits.batch_keys_bits,
            ),
            peers: Peers::new(&members, &limits, now),
            strong: Strong::new(&members, slots, limits, timing, now, rng.bits()),
            quorum: Quorum::new(&members, limits, timing),
            formation: Formation::new(&members, incarnation),
            gathers: Gathers::default(),
            moves: Moves::default(),
            scripts: Scripts::default(),
            inquiries: Vec::new(),
            waits: Waits::default(),
            locates: Locates::default(),
            chores: Chores::default(),
            sleeps: Sleeps::default(),
            observer: Observer::new(&limits, synced),
            owing: Vec::new(),
            links: Links::default(),
            accepted: Vec::new(),
            watched: Vec::new(),
            waiting: Vec::new(),
            checkpoint: Checkpoint::new(now),
            removal: Removal::default(),
            refill: Refill::Done,
            slice: Vec::new(),
            image_room: true,
            runnable: VecDeque::new(),
            resumable: VecDeque::new(),
            actions: VecDeque::new(),
            workspace: Workspace::default(),
            stats: Stats::new(now),
            rng,
            buffered: 0,
            laden: Vec::new(),
            draining: None,
            overdue: false,
            stops: false,
            members,
            slots,
            limits,
            timing,
        }
    }

    /// A link opened.
    pub fn handle_open(&mut self, now: Now, link: LinkId, origin: Origin) {
        match origin {
            Origin::Accepted(addresses) => self.open_client(now, link, addresses),
            Origin::Dialed(peer) => self.open_dialed(now, link, peer),
        }
    }

    /// A dial that the node asked for has failed.
    pub fn handle_dial_failed(&mut self, now: Now, peer: NodeId) {
        if let Some(peer) = self.peers.get_mut(peer)
            && matches!(peer.dialing, Dialing::Connecting { .. })
        {
            peer.on_unreachable(now, &self.timing, &mut self.rng);
        }
    }

    /// Bytes arrived.
    pub fn handle_bytes(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        match self.links.end_mut(link) {
            Some(End::Client { fresh: true, .. }) if !bytes.is_empty() => {
                self.meet(now, link, bytes);
            }
            Some(End::Client { .. }) => self.run_client(now, link, Input::Bytes(bytes)),
            Some(End::Peer(_)) => self.hear(now, link, bytes),
            None => {}
        }
    }

    /// The other side has sent its last byte; it may still read.
    pub fn handle_eof(&mut self, now: Now, link: LinkId) {
        match self.links.end(link) {
            Some(End::Client { .. }) => self.run_client(now, link, Input::Eof),
            Some(End::Peer(_)) => self.close(now, link),
            None => {}
        }
    }

    /// A link is gone both ways; nothing more can be read or written.
    pub fn handle_close(&mut self, now: Now, link: LinkId) {
        self.forget(now, link);
    }

    /// A link that took fewer bytes than offered takes more again.
    pub fn handle_writable(&mut self, link: LinkId) {
        self.links.touch(link);
    }

    /// Time has passed: to be called when `poll_timeout` is due, harmless otherwise.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..self.runnable.len() {
            let Some(link) = self.runnable.pop_front() else { break };
            self.links.touch(link);
        }
        for _ in 0..self.resumable.len() {
            // All of them together could make a batch that no log takes. They wait for the disk.
            if self.is_log_full() || self.is_loaded() {
                break;
            }
            let Some(link) = self.resumable.pop_front() else { break };
            self.run_client(now, link, Input::Resume);
        }
        self.run_timers(now);
        self.look_for_ends(now);
        self.sweep(now);
        self.replica.store.free_some();
        self.do_chores(now);
        self.tick(now);
    }

    /// Stop: no new work, answer what came in, give connected peers what they lack. The driver ends
    /// when `is_drained`.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.stops = false;
        self.draining = Some(now.mono + self.timing.drain);
        let (strong, mut ctx) = self.strong(now);
        strong.leave(&mut ctx);
        let clients = self.links.iter().filter(|(_, end)| matches!(end, End::Client { .. }));
        let clients: Vec<LinkId> = clients.map(|(link, _)| link).collect();
        for link in clients {
            self.run_client(now, link, Input::Shutdown);
        }
    }

    /// The next link with output; each once a turn.
    pub fn poll_dirty(&mut self) -> Option<LinkId> {
        let link = self.links.pop_dirty()?;
        if let Some(peer) = self.links.peer_mut(link) {
            peer.refills = 0;
        }
        Some(link)
    }

    /// The next thing to do, after all bytes are out.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes for this link to write now.
    pub fn output(&mut self, link: LinkId) -> &[u8] {
        let held = self.replica.journal.holds_peers();
        if !held {
            self.refill(link);
        }
        match self.links.end(link) {
            Some(End::Client { connection, .. }) => connection.output(),
            Some(End::Peer(_)) if held => &[],
            Some(End::Peer(peer)) => peer.out.pending(),
            None => &[],
        }
    }

    /// The first `count` bytes of the link's output are written.
    pub fn consume(&mut self, link: LinkId, count: usize) {
        let finished = match self.links.end_mut(link) {
            Some(End::Client { connection, .. }) => {
                let (before, waited) = (connection.buffered(), !connection.can_resume());
                connection.consume(count);
                self.buffered -= before - connection.buffered();
                if waited && connection.can_resume() {
                    self.resumable.push_back(link);
                }
                connection.is_finished()
            }
            Some(End::Peer(peer)) => {
                peer.on_written(count);
                peer.closing && peer.out.is_empty()
            }
            None => false,
        };
        if finished {
            self.drop_link(link);
        }
    }

    /// Whether bytes of this link are welcome now. False while its reader is slow; asked again
    /// after each turn.
    #[must_use]
    pub fn wants_read(&self, link: LinkId) -> bool {
        let full = self.is_log_full();
        match self.links.end(link) {
            // It may join us to the member that all that is under way waits for.
            Some(End::Client { fresh: true, .. }) if !planted(Mutant::HelloNotRead) => true,
            Some(End::Client { connection, .. }) => {
                connection.wants_read() && !full && !self.is_loaded()
            }
            // Questions wait while our answers do. Answers never wait, or two nodes that both have
            // much to say would wait for each other: what they lead us to say is bounded, since one
            // question at a time is under way.
            Some(End::Peer(peer)) => {
                let answers =
                    matches!(peer.side, Side::Dialed { .. }) && !planted(Mutant::AnswersNotRead);
                answers || (peer.out.len() < self.limits.output_pause && !full)
            }
            None => false,
        }
    }

    /// When `handle_timeout` must be called at the latest; a past instant means at once, none means
    /// never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let can_resume = !self.resumable.is_empty() && !self.is_log_full() && !self.is_loaded();
        let can_go_on = !self.runnable.is_empty() || can_resume || self.can_write_image();
        let can_go_on = can_go_on || self.can_sweep() || self.replica.store.has_buried();
        let can_go_on = can_go_on || self.can_do_chores();
        if can_go_on { Some(Instant::ZERO) } else { self.next_timer() }
    }

    /// After `handle_shutdown`: whether all replies and all streams to connected peers are
    /// delivered, or the time for that is over.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        if self.draining.is_none() || self.overdue {
            return self.draining.is_some();
        }
        let owed = |end: &End| match end {
            End::Client { connection, .. } => {
                !connection.output().is_empty() || connection.is_held()
            }
            End::Peer(_) => false,
        };
        let clients_owed = self.links.iter().any(|(_, end)| owed(end));
        let peers_owed = self.peers.iter().filter(|peer| peer.link().is_some());
        let mut peers_owed =
            peers_owed.map(|peer| peer.outbox.len() > 0 || peer.repair.is_needed());
        let owed = clients_owed || peers_owed.any(|owed| owed) || !self.replica.journal.is_idle();
        !owed && self.strong.has_left(&self.peers)
    }

    /// Whether a client wants this node to stop: then it is to be shut down.
    #[must_use]
    pub const fn wants_to_stop(&self) -> bool {
        self.stops
    }

    /// What this replica holds.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.replica.store
    }

    /// The number of this life.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.replica.incarnation()
    }

    /// The highest stamp given, seen or recovered.
    #[must_use]
    pub const fn clock(&self) -> u64 {
        self.replica.clock()
    }

    /// Up to which stamp this node knows that deletions have reached all members; nothing if it may
    /// lack something itself, as after a loss of data.
    #[must_use]
    pub fn floor(&self) -> Option<u64> {
        self.replica.floors.is_sound().then(|| self.replica.floors.floor().hlc)
    }

    /// Whether the log has everything.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.replica.journal.is_idle()
    }

    /// What this node has promised for a slot of the strong database.
    #[must_use]
    pub fn promised(&self, slot: u32) -> Ballot {
        self.strong.acceptor().promised(slot)
    }

    /// Who leads a slot of the strong database, as far as this node hears.
    #[must_use]
    pub fn leader_of(&self, slot: u32) -> Option<NodeId> {
        self.strong.leader_of(slot)
    }

    /// Whether this node votes in the strong database: the cluster has formed, and this node has
    /// what it had then.
    #[must_use]
    pub const fn votes(&self) -> bool {
        self.strong.votes()
    }

    /// The cluster and this node's place in it.
    #[must_use]
    pub const fn members(&self) -> &Members {
        &self.members
    }

    /// How many slots of the strong database this node leads.
    #[must_use]
    pub fn slots_led(&self) -> usize {
        self.strong.led().len()
    }

    /// Bytes held for peers that have not acknowledged them, the largest of all.
    #[must_use]
    pub fn outbox_size(&self) -> usize {
        self.peers.iter().map(|peer| peer.outbox.len()).max().unwrap_or(0)
    }

    /// Operations under way in the strong and the quorum database, and bytes that they hold.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        let (strong, quorum) = (self.strong.load(), self.quorum.load());
        (strong.0 + quorum.0, strong.1 + quorum.1)
    }

    /// Bytes in the buffers of all clients.
    #[must_use]
    pub const fn client_buffers(&self) -> usize {
        self.buffered
    }

    /// Whether the disk is slower than what we are asked to write: nobody may ask for more.
    const fn is_log_full(&self) -> bool {
        self.replica.journal.gathered() > self.limits.log_gathered_max
    }

    fn open_client(&mut self, now: Now, link: LinkId, addresses: Addresses) {
        // A late answer to a link that is gone must not find another connection under its id.
        let first = Ticket(self.stats.connections << 32);
        let connection = Box::new(Connection::numbered(self.stats.connections + 1, first));
        let (wrote, visit) = (Wrote::default(), Visit::new(addresses, now));
        let asked = Asked::default();
        let end = End::Client { connection, fresh: true, waits: false, wrote, visit, asked };
        self.links.insert(link, end);
        self.stats.connections += 1;
        // A peer shows itself only by its first bytes, so peers need a reserve beyond the clients'
        // limit.
        let reserve = 4 * self.members.len();
        if self.draining.is_some()
            || self.links.len() > self.observer.settings.clients_max + reserve
        {
            self.turn_away(link);
        }
    }

    fn open_dialed(&mut self, now: Now, link: LinkId, to: NodeId) {
        let Some(peer) = self.peers.get_mut(to) else {
            return self.actions.push_back(Action::Close(link));
        };
        let stale = peer.link();
        peer.on_link_gone();
        peer.dialing = Dialing::Connected { link };
        let mut opened = PeerLink::new(Side::Dialed { to, live: false }, now);
        opened.out.push(peer::PEER_BYTE);
        let members = self.members.names().join("\n");
        let hello = Hello {
            protocol: peer::PROTOCOL,
            cluster: self.members.cluster_id(),
            slots: self.slots,
            from: self.members.me(),
            to,
            incarnation: self.replica.incarnation(),
            birth: self.formation.birth_told(),
            formed: self.strong.votes(),
            members: members.as_bytes(),
        };
        Frame::Hello(hello).encode(opened.out.tail());
        self.links.insert(link, End::Peer(Box::new(opened)));
        self.links.touch(link);
        if let Some(stale) = stale.filter(|stale| *stale != link) {
            self.drop_link(stale);
        }
    }

    /// A client's first bytes: the moment to tell it from a peer, and to count it.
    fn meet(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        if let Some((&peer::PEER_BYTE, rest)) = bytes.split_first() {
            if self.accepted.len() >= 4 * self.members.len() {
                tracing::warn!("closed a node link: too many of them are open");
                return self.close(now, link);
            }
            let peer = PeerLink::new(Side::Accepted { from: None, begun: false }, now);
            self.links.remove(link);
            self.links.insert(link, End::Peer(Box::new(peer)));
            self.accepted.push(link);
            return self.hear(now, link, rest);
        }
        if let Some(End::Client { fresh, .. }) = self.links.end_mut(link) {
            *fresh = false;
        }
        if self.client_count() > self.observer.settings.clients_max {
            return self.turn_away(link);
        }
        self.run_client(now, link, Input::Bytes(bytes));
    }
}
