//! The node's sockets: turmoil's streams behind the same face as the reactor's, and the chopper.
//!
//! Everything is asked with the host's waker and answers "now" or "not now". The chopper makes what
//! passes through as ragged as a real network's: a read gives at most a few bytes, a write takes at
//! most a few, and after some of either the link rests a while, so that frames and requests lie in
//! pieces across turns.
//!
//! Invariant: the id of a closed link goes to no other within the same turn.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use quorate::{node::LinkId, record::NodeId, turn::Transport};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use turmoil::net::TcpStream;

use super::{PORT, Shared, node_name};
use crate::{
    case::{Chop, FaultClass},
    chance::Chance,
    clients::now_us,
    trace::EventKind,
};

/// The most that one read gives where nothing is cut.
const READ_MAX: usize = 16 * 1024;
/// How long a link may rest.
const REST_US: u64 = 20_000;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// All sockets of one life of a node.
pub(super) struct Sockets {
    shared: Rc<Shared>,
    host: usize,
    /// Names this life's links for the chopper.
    next_number: u64,
    table: Vec<Option<Socket>>,
    /// Closed this turn; free in the next.
    closed: Vec<usize>,
    /// Attempts to connect, by member.
    dials: Vec<Option<Connecting>>,
    waker: Waker,
}

/// One open link.
struct Socket {
    stream: TcpStream,
    cuts: Chance,
    /// Nothing is read before this time.
    reads_at_us: u64,
    writes: Writes,
    /// The other side has sent its last byte.
    eof: bool,
    /// The node did not want its bytes when last asked.
    unwelcome: bool,
    failed: bool,
}

/// Whether a link takes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Open,
    /// It took less than was offered and rests until this time.
    Resting(u64),
    /// It waits until the other side has read.
    Waiting,
}

/// What a socket has to say.
#[derive(Debug)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    Closed,
    Eof,
    Writable,
}

impl Sockets {
    pub(super) fn new(shared: Rc<Shared>, host: usize, life: u64) -> Self {
        let nodes = shared.case.config.nodes;
        Self {
            shared,
            host,
            next_number: (host as u64) << 48 | life << 32,
            table: Vec::new(),
            closed: Vec::new(),
            dials: (0..nodes).map(|_| None).collect(),
            waker: Waker::noop().clone(),
        }
    }

    /// A round begins: whoever wakes this waker brings on the next.
    pub(super) fn begin(&mut self, context: &Context<'_>) {
        if !self.waker.will_wake(context.waker()) {
            self.waker = context.waker().clone();
        }
    }

    /// The turn is over: ids of links that it closed are free again.
    pub(super) fn end_turn(&mut self) {
        self.closed.clear();
    }

    /// Takes a stream in.
    pub(super) fn open(&mut self, stream: TcpStream, kind: EventKind) -> LinkId {
        let free = |index: &usize| {
            self.table.get(*index).is_none_or(Option::is_none) && !self.closed.contains(index)
        };
        let index = (0..).find(free).expect("there is always a number beyond");
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        self.table[index] = Some(Socket {
            stream,
            cuts: Chance::new(self.shared.case.seed, "cuts", self.next_number),
            reads_at_us: 0,
            writes: Writes::Open,
            eof: false,
            unwelcome: false,
            failed: false,
        });
        self.next_number += 1;
        let link = LinkId(index as u32);
        self.record(kind, link, &[]);
        link
    }

    /// The attempts to connect that have ended.
    pub(super) fn poll_dials(&mut self) -> Vec<(NodeId, io::Result<TcpStream>)> {
        let mut context = Context::from_waker(&self.waker);
        let mut ended = Vec::new();
        for (peer, dial) in self.dials.iter_mut().enumerate() {
            if let Some(connecting) = dial
                && let Poll::Ready(result) = connecting.as_mut().poll(&mut context)
            {
                *dial = None;
                ended.push((NodeId(peer as u16), result));
            }
        }
        ended
    }

    /// All open links.
    pub(super) fn links(&self) -> impl Iterator<Item = LinkId> + use<> {
        let open = self.table.iter().enumerate().filter(|(_, socket)| socket.is_some());
        let open: Vec<LinkId> = open.map(|(index, _)| LinkId(index as u32)).collect();
        open.into_iter()
    }

    /// What a link has to say; at most one read, and only if its bytes are welcome.
    pub(super) fn poll_input(&mut self, link: LinkId, welcome: bool) -> Vec<Input> {
        let now_us = now_us();
        let shared = Rc::clone(&self.shared);
        let mut context = Context::from_waker(&self.waker);
        let Some(Some(socket)) = self.table.get_mut(link.index()) else { return Vec::new() };
        let mut inputs = Vec::new();
        if socket.poll_writable(now_us, &mut context) {
            inputs.push(Input::Writable);
        }
        socket.unwelcome = !welcome;
        if welcome && !socket.eof && socket.reads_at_us <= now_us {
            inputs.extend(socket.poll_read(now_us, &shared, &mut context));
        }
        for input in &inputs {
            match input {
                Input::Bytes(bytes) => self.record(EventKind::Read, link, bytes),
                Input::Closed => {
                    self.record(EventKind::Closed, link, &[]);
                    self.remove(link);
                }
                Input::Eof => self.record(EventKind::Eof, link, &[]),
                Input::Writable => self.record(EventKind::Writable, link, &[]),
            }
        }
        inputs
    }

    /// Links that failed in this turn; they are gone now.
    pub(super) fn take_failed(&mut self) -> Vec<LinkId> {
        let failed = |link: &LinkId| {
            self.table.get(link.index()).is_some_and(|s| s.as_ref().is_some_and(|s| s.failed))
        };
        let failed: Vec<LinkId> = self.links().filter(failed).collect();
        for link in &failed {
            self.record(EventKind::Closed, *link, &[]);
            self.remove(*link);
        }
        failed
    }

    /// Whether this link's bytes were not welcome when it last had some to give.
    pub(super) fn is_unwelcome(&self, link: LinkId) -> bool {
        let socket = self.table.get(link.index()).and_then(Option::as_ref);
        socket.is_some_and(|socket| socket.unwelcome && !socket.eof)
    }

    /// When the next link has rested enough.
    pub(super) fn rested_at_us(&self) -> Option<u64> {
        let now_us = now_us();
        let rests = self.table.iter().flatten().flat_map(|socket| {
            let writes = match socket.writes {
                Writes::Resting(until) => Some(until),
                Writes::Open | Writes::Waiting => None,
            };
            [writes, Some(socket.reads_at_us).filter(|at| *at > now_us)]
        });
        rests.flatten().min()
    }

    pub(super) fn record(&self, kind: EventKind, link: LinkId, bytes: &[u8]) {
        self.shared.trace.borrow_mut().record(now_us(), self.host, kind, link.0, bytes);
    }

    fn remove(&mut self, link: LinkId) -> bool {
        let gone = self.table.get_mut(link.index()).and_then(Option::take).is_some();
        if gone {
            self.closed.push(link.index());
        }
        gone
    }
}

impl Socket {
    fn poll_writable(&mut self, now_us: u64, context: &mut Context<'_>) -> bool {
        let writable = match self.writes {
            Writes::Open => false,
            Writes::Resting(until) => until <= now_us,
            // An error counts as writable: the next write will find it.
            Writes::Waiting => pin!(self.stream.writable()).poll(context).is_ready(),
        };
        if writable {
            self.writes = Writes::Open;
        }
        writable
    }

    fn poll_read(
        &mut self,
        now_us: u64,
        shared: &Shared,
        context: &mut Context<'_>,
    ) -> Option<Input> {
        let chop = shared.case.config.chop;
        let limit =
            chop.map_or(READ_MAX, |chop| self.cuts.between(1, chop.read_max as u64) as usize);
        let mut bytes = vec![0; limit];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => None,
            Poll::Ready(Err(_)) => Some(Input::Closed),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.eof = true;
                Some(Input::Eof)
            }
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                bytes.truncate(count);
                if let Some(Chop { stall_percent, .. }) = chop
                    && count == limit
                {
                    shared.fire(FaultClass::CutRead);
                    if self.cuts.percent(stall_percent / 4) {
                        self.reads_at_us = now_us + self.cuts.between(1000, REST_US);
                    }
                }
                Some(Input::Bytes(bytes))
            }
        }
    }

    fn write(&mut self, bytes: &[u8], shared: &Shared, context: &mut Context<'_>) -> usize {
        if self.failed || self.writes != Writes::Open {
            return 0;
        }
        let mut offered = bytes.len();
        let mut rests = false;
        if let Some(Chop { write_max, stall_percent, .. }) = shared.case.config.chop {
            offered = offered.min(self.cuts.between(1, write_max as u64) as usize);
            rests = offered < bytes.len() && self.cuts.percent(stall_percent);
        }
        match Pin::new(&mut self.stream).poll_write(context, &bytes[..offered]) {
            Poll::Pending => {
                self.writes = Writes::Waiting;
                0
            }
            Poll::Ready(Err(_)) => {
                self.failed = true;
                0
            }
            Poll::Ready(Ok(taken)) => {
                if taken < bytes.len() {
                    shared.fire(FaultClass::CutWrite);
                    let rest = if rests { self.cuts.between(1000, REST_US) } else { 0 };
                    self.writes = Writes::Resting(now_us() + rest);
                }
                taken
            }
        }
    }
}

impl Transport for Sockets {
    fn dial(&mut self, peer: NodeId) {
        self.record(EventKind::Dial, LinkId(u32::from(peer.0)), &[]);
        let address = (node_name(peer.index()), PORT);
        self.dials[peer.index()] = Some(Box::pin(TcpStream::connect(address)));
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        let shared = Rc::clone(&self.shared);
        let mut context = Context::from_waker(&self.waker);
        let Some(Some(socket)) = self.table.get_mut(link.index()) else { return 0 };
        let taken = socket.write(bytes, &shared, &mut context);
        if taken > 0 {
            self.record(EventKind::Write, link, &bytes[..taken]);
        }
        taken
    }

    fn close(&mut self, link: LinkId) {
        if self.remove(link) {
            self.record(EventKind::Close, link, &[]);
        }
    }
}
