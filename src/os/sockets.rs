//! Sockets: every connection of a node, and the node's [`Transport`].
//!
//! A link's id is its place in a slab and its mio token. It never calls the node: it tells the
//! reactor what to tell it.
//!
//! Refused: buffers of its own beyond one scratch for reading; bytes the socket doesn't take stay
//! with the node.
//!
//! Invariants:
//! - A place freed in a turn is free only after [`Sockets::reap`], so no event or command of that
//!   turn can mean another link.
//! - `ready` holds exactly the open links with something unread, each once.

use std::io;
use std::net::SocketAddr;

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};
use slab::Slab;
use tracing::debug;

use super::socket::{BOTH, Got, Socket, State};
use crate::{
    members::Members,
    node::{Addresses, LinkId},
    record::NodeId,
    turn::Transport,
};

/// What is read of one link in one turn at most: enough for hundreds of pipelined requests, little
/// enough that others need not wait long.
const SCRATCH_SIZE: usize = 64 * 1024;
/// All sockets of a reactor but its listeners.
pub(super) struct Sockets {
    registry: Registry,
    /// Where each member is.
    addresses: Vec<SocketAddr>,
    slab: Slab<Socket>,
    /// The dial under way for each member.
    dialing: Vec<Option<LinkId>>,
    /// Open links with unread bytes, in the order in which they are served.
    ready: Vec<LinkId>,
    /// Links whose write failed; the node doesn't know yet.
    dead: Vec<LinkId>,
    /// Members whose dial failed at once; the node doesn't know yet.
    failed_dials: Vec<NodeId>,
    /// Links that are over for the node too; their places are freed at the end of the turn.
    closed: Vec<LinkId>,
    scratch: Box<[u8]>,
}

/// What an event means to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A dial failed.
    DialFailed(NodeId),
    /// A link is gone both ways.
    Gone(LinkId),
    /// Nothing, or unread bytes.
    None,
    /// A dial succeeded.
    Opened(LinkId, NodeId),
    /// A link that took too little takes more.
    Writable(LinkId),
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// The end of the stream, told once.
    End,
    /// An error: the link is gone both ways.
    Gone,
    /// Nothing for now.
    Nothing,
}

impl Sockets {
    pub(super) fn new(registry: Registry, members: &Members) -> Self {
        let ids = (0..=u16::MAX).map(NodeId).take(members.len());
        Self {
            registry,
            addresses: ids.map(|id| members.address(id)).collect(),
            slab: Slab::new(),
            dialing: vec![None; members.len()],
            ready: Vec::new(),
            dead: Vec::new(),
            failed_dials: Vec::new(),
            closed: Vec::new(),
            scratch: vec![0; SCRATCH_SIZE].into_boxed_slice(),
        }
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Takes in an accepted connection.
    pub(super) fn open(&mut self, stream: TcpStream) -> io::Result<(LinkId, Addresses)> {
        stream.set_nodelay(true)?;
        let addresses = Addresses { from: stream.peer_addr()?, to: stream.local_addr()? };
        let link = self.insert(stream, State::Open, Interest::READABLE)?;
        Ok((link, addresses))
    }

    /// Notes what an event says and tells what the node must hear of it.
    pub(super) fn on_event(&mut self, event: &Event) -> Change {
        let Some(link) = link_of(event.token()) else { return Change::None };
        let Some(socket) = self.slab.get_mut(key(link)) else { return Change::None };
        match socket.state {
            State::Closed | State::Dead => Change::None,
            State::Dialing(peer) => self.on_dial_event(link, peer, event),
            State::Open => self.on_open_event(link, event),
        }
    }

    fn on_open_event(&mut self, link: LinkId, event: &Event) -> Change {
        let socket = &mut self.slab[key(link)];
        if socket.is_over(event) {
            self.retire(link);
            return Change::Gone(link);
        }
        if socket.on_readable(event) {
            self.ready.push(link);
        }
        if socket.on_writable(event) {
            return Change::Writable(link);
        }
        Change::None
    }

    fn on_dial_event(&mut self, link: LinkId, peer: NodeId, event: &Event) -> Change {
        let socket = &mut self.slab[key(link)];
        let Some(outcome) = socket.connected() else { return Change::None };
        self.dialing[peer.index()] = None;
        if let Err(error) = outcome {
            debug!("can't reach {peer}: {error}");
            self.retire(link);
            return Change::DialFailed(peer);
        }
        socket.state = State::Open;
        // The event that says "connected" may say more, and won't come again.
        let change = self.on_open_event(link, event);
        debug_assert_eq!(change, Change::None, "a new link is neither short nor ended");
        Change::Opened(link, peer)
    }

    /// How many links have something unread.
    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// One of the links with something unread. They stay in place until [`Sockets::settle`].
    pub(super) fn ready(&self, at: usize) -> LinkId {
        self.ready[at]
    }

    /// All links with something unread.
    pub(super) fn all_ready(&self) -> &[LinkId] {
        &self.ready
    }

    /// Reads once from an open link.
    pub(super) fn read(&mut self, link: LinkId) -> Read<'_> {
        let socket = &mut self.slab[key(link)];
        debug_assert_eq!(socket.state, State::Open);
        match socket.read(&mut self.scratch) {
            Got::Bytes(count) => Read::Bytes(&self.scratch[..count]),
            Got::End => Read::End,
            Got::Failed(error) => {
                debug!("link {} failed: {error}", link.0);
                self.retire(link);
                Read::Gone
            }
            Got::Nothing => Read::Nothing,
        }
    }

    /// Ends a pass over the ready links: those that have nothing unread are ready no more.
    pub(super) fn settle(&mut self) {
        let slab = &self.slab;
        self.ready.retain(|link| {
            let socket = slab.get(key(*link));
            socket.is_some_and(|socket| socket.state == State::Open && socket.unread)
        });
    }

    /// A link whose write failed and that the node must hear of; it is closed with this.
    pub(super) fn pop_dead(&mut self) -> Option<LinkId> {
        let link = self.dead.pop()?;
        self.retire(link);
        Some(link)
    }

    /// A member whose dial failed at once.
    pub(super) fn pop_failed_dial(&mut self) -> Option<NodeId> {
        self.failed_dials.pop()
    }

    /// Whether the node must hear of something that no event will tell.
    pub(super) fn has_news(&self) -> bool {
        !self.dead.is_empty() || !self.failed_dials.is_empty()
    }

    /// Ends a turn: frees the places of closed links.
    pub(super) fn reap(&mut self) {
        if self.closed.is_empty() && self.dead.is_empty() {
            return;
        }
        for link in self.closed.drain(..) {
            let mut socket = self.slab.remove(key(link));
            if let Err(error) = self.registry.deregister(&mut socket.stream) {
                // It ends with the socket, on the next line, in any case.
                debug!("can't deregister link {}: {error}", link.0);
            }
        }
        self.settle();
    }

    fn insert(
        &mut self,
        mut stream: TcpStream,
        state: State,
        interest: Interest,
    ) -> io::Result<LinkId> {
        let place = self.slab.vacant_entry();
        let token = Token(place.key());
        let link = link_of(token).ok_or_else(|| io::Error::other("too many links"))?;
        self.registry.register(&mut stream, token, interest)?;
        place.insert(Socket::new(stream, state, interest));
        Ok(link)
    }

    fn connect(&mut self, peer: NodeId) -> io::Result<LinkId> {
        let stream = TcpStream::connect(self.addresses[peer.index()])?;
        stream.set_nodelay(true)?;
        self.insert(stream, State::Dialing(peer), BOTH)
    }

    /// Marks a link as over; its place is freed at the end of the turn.
    fn retire(&mut self, link: LinkId) {
        let socket = &mut self.slab[key(link)];
        assert_ne!(socket.state, State::Closed, "a link closes once");
        socket.state = State::Closed;
        socket.unread = false;
        self.closed.push(link);
    }
}

impl Transport for Sockets {
    fn dial(&mut self, peer: NodeId) {
        if let Some(earlier) = self.dialing[peer.index()].take() {
            self.retire(earlier);
        }
        self.failed_dials.retain(|failed| *failed != peer);
        match self.connect(peer) {
            Ok(link) => self.dialing[peer.index()] = Some(link),
            Err(error) => {
                debug!("can't reach {peer}: {error}");
                self.failed_dials.push(peer);
            }
        }
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        let Some(socket) = self.slab.get_mut(key(link)) else { return 0 };
        if socket.state != State::Open {
            return 0;
        }
        let (taken, outcome) = socket.send(bytes, &self.registry, Token(key(link)));
        if let Err(error) = outcome {
            debug!("link {} failed: {error}", link.0);
            socket.state = State::Dead;
            self.dead.push(link);
        }
        taken
    }

    fn close(&mut self, link: LinkId) {
        let Some(socket) = self.slab.get_mut(key(link)) else { return };
        match socket.state {
            State::Closed => return,
            State::Dead => self.dead.retain(|dead| *dead != link),
            State::Dialing(peer) => self.dialing[peer.index()] = None,
            State::Open => socket.discard_unread(&mut self.scratch),
        }
        self.retire(link);
    }
}

const fn key(link: LinkId) -> usize {
    link.0 as usize
}

fn link_of(token: Token) -> Option<LinkId> {
    u32::try_from(token.0).ok().map(LinkId)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Shutdown, TcpListener, TcpStream as StdStream},
        time::Duration,
    };

    use mio::{Events, Poll};

    use super::*;

    const PEER: NodeId = NodeId(1);

    /// Sockets of a node with one peer, and the place where that peer listens or may listen.
    struct Bench {
        poll: Poll,
        events: Events,
        sockets: Sockets,
        peer: SocketAddr,
    }

    impl Bench {
        fn new() -> (Self, TcpListener) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
            let peer = listener.local_addr().expect("it is bound");
            // Port 1 sorts first, so the peer is n1.
            let members = Members::form("localhost:1", &[peer.to_string()]).expect("valid");
            let poll = Poll::new().expect("the system has one");
            let registry = poll.registry().try_clone().expect("it can be shared");
            let sockets = Sockets::new(registry, &members);
            (Self { poll, events: Events::with_capacity(8), sockets, peer }, listener)
        }

        /// What the events say up to the first that means something to the node, or until bytes are
        /// ready.
        fn wait(&mut self) -> Change {
            for _ in 0..100 {
                let timeout = Some(Duration::from_millis(100));
                self.poll.poll(&mut self.events, timeout).expect("polling works");
                for event in &self.events {
                    let change = self.sockets.on_event(event);
                    if change != Change::None {
                        return change;
                    }
                }
                if self.sockets.ready_len() > 0 {
                    return Change::None;
                }
            }
            panic!("nothing happened for ten seconds");
        }

        fn dial(&mut self, listener: &TcpListener) -> (LinkId, StdStream) {
            self.sockets.dial(PEER);
            let (far, _) = listener.accept().expect("the dial arrives");
            let Change::Opened(link, PEER) = self.wait() else { panic!("the dial succeeds") };
            (link, far)
        }
    }

    #[test]
    fn bytes_then_the_end_then_never_again() {
        let (mut bench, listener) = Bench::new();
        let (link, mut far) = bench.dial(&listener);
        assert_eq!(bench.sockets.send(link, b"ping"), 4);
        let mut got = [0; 4];
        far.read_exact(&mut got).expect("it arrives");
        assert_eq!(&got, b"ping");

        far.write_all(b"pong").expect("it leaves");
        far.shutdown(Shutdown::Write).expect("it can");
        // Both may come in one event; the short read must not hide the end behind it.
        let mut read = Vec::new();
        loop {
            assert_eq!(bench.wait(), Change::None);
            assert_eq!(bench.sockets.ready(0), link);
            let end = match bench.sockets.read(link) {
                Read::Bytes(bytes) => {
                    read.extend_from_slice(bytes);
                    false
                }
                Read::Nothing => false,
                other => other == Read::End,
            };
            bench.sockets.settle();
            if end {
                break;
            }
        }
        assert_eq!(read, b"pong");
        assert_eq!(bench.sockets.ready_len(), 0);
        assert_eq!(bench.sockets.send(link, b"late"), 4, "a half-closed link still takes bytes");
    }

    #[test]
    fn a_full_socket_says_when_it_takes_more() {
        let (mut bench, listener) = Bench::new();
        let (link, mut far) = bench.dial(&listener);
        let block = vec![7; 1 << 20];
        let mut sent = 0;
        loop {
            let taken = bench.sockets.send(link, &block);
            sent += taken;
            if taken < block.len() {
                break;
            }
        }
        let mut left = sent;
        let mut sink = vec![0; 1 << 20];
        while left > 0 {
            left -= far.read(&mut sink).expect("bytes are there");
        }
        assert_eq!(bench.wait(), Change::Writable(link));
        assert_eq!(bench.sockets.send(link, b"more"), 4);
    }

    #[test]
    fn a_place_is_not_reused_in_the_turn_that_frees_it() {
        let (mut bench, listener) = Bench::new();
        let (first, _far) = bench.dial(&listener);
        bench.sockets.close(first);
        bench.sockets.close(first);
        let (second, _far) = bench.dial(&listener);
        assert_ne!(first, second);
        bench.sockets.reap();
        assert_eq!(bench.sockets.len(), 1);
        let (third, _far) = bench.dial(&listener);
        assert_eq!(third, first);
    }

    #[test]
    fn a_failed_write_is_told_once_unless_the_node_closes_first() {
        let (mut bench, listener) = Bench::new();
        for told in [true, false] {
            let (link, far) = bench.dial(&listener);
            bench.sockets.slab[key(link)]
                .stream
                .shutdown(Shutdown::Write)
                .expect("it is connected");
            assert_eq!(bench.sockets.send(link, b"x"), 0);
            assert_eq!(bench.sockets.send(link, b"x"), 0, "a dead link takes nothing");
            assert!(bench.sockets.has_news());
            if !told {
                bench.sockets.close(link);
            }
            bench.sockets.reap();
            assert_eq!(bench.sockets.pop_dead(), told.then_some(link));
            assert_eq!(bench.sockets.pop_dead(), None);
            bench.sockets.reap();
            assert_eq!(bench.sockets.len(), 0);
            drop(far);
        }
    }

    #[test]
    fn a_reset_after_the_end_is_noticed() {
        let (mut bench, listener) = Bench::new();
        let (link, far) = bench.dial(&listener);
        // Closing over unread bytes makes a reset; shutting down first makes an end before it.
        bench.sockets.send(link, b"unread");
        far.peek(&mut [0]).expect("it arrives");
        far.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(bench.wait(), Change::None);
        assert_eq!(bench.sockets.read(link), Read::End);
        bench.sockets.settle();
        drop(far);
        assert_eq!(bench.wait(), Change::Gone(link));
        bench.sockets.reap();
        assert_eq!(bench.sockets.len(), 0);
    }

    #[test]
    fn a_dial_fails_or_is_replaced_by_the_next() {
        let (mut bench, listener) = Bench::new();
        bench.sockets.dial(PEER);
        bench.sockets.dial(PEER);
        bench.sockets.reap();
        assert_eq!(bench.sockets.len(), 1);
        let Change::Opened(_, PEER) = bench.wait() else { panic!("the second dial succeeds") };
        drop(listener);
        assert!(StdStream::connect(bench.peer).is_err());
        bench.sockets.dial(PEER);
        let failed = bench.sockets.pop_failed_dial();
        let mut failed = failed.map_or(Change::None, Change::DialFailed);
        // The link of the earlier dial was never accepted and may break first.
        while failed == Change::None {
            failed = bench.wait();
        }
        assert_eq!(failed, Change::DialFailed(PEER));
    }
}
