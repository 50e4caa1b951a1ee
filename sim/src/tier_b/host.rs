//! One node as a turmoil host: the reactor's loop over simulated sockets.
//!
//! The host is a single future. Each round takes what the sockets have, lets time pass, ends the
//! turn, and goes on until nothing more can be done now; then it sleeps until a socket wakes it or
//! the node's next timeout.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use quorate::{
    fuzzing::Memory,
    node::{Addresses, LinkId, Node, Origin},
    time::{Instant, Now},
    turn::{Storage as _, finish_turn},
};
use tokio::time::{Sleep, sleep};
use turmoil::net::{TcpListener, TcpStream};

use super::{
    PORT, Shared,
    sockets::{Input, Sockets},
};
use crate::{
    birth::{EPOCH_MS, node_config},
    clients::now_us,
    trace::EventKind,
};

/// A node that still has something to do after so many rounds without time passing never ends.
const ROUNDS_MAX: usize = 1_000_000;
/// What is said of it then.
pub(super) const SPINS: &str = "a node goes round and round without time passing";

type Accepting = Pin<Box<dyn Future<Output = io::Result<(TcpStream, SocketAddr)>>>>;

/// One life of a node, from power to crash.
pub(super) async fn run(shared: Rc<Shared>, id: usize) -> turmoil::Result {
    let life = shared.lives[id].get() + 1;
    shared.lives[id].set(life);
    let listener = Rc::new(TcpListener::bind(("0.0.0.0", PORT)).await?);
    let clock_offset_ms = shared.case.config.clock_offsets_ms[id];
    let config = node_config(&shared.case, id, life);
    let incarnation = config.incarnation;
    let mut node = Node::new(config, now(clock_offset_ms));
    let disk = Rc::clone(&shared.disks[id]);
    disk.borrow_mut().crash();
    disk.borrow_mut().recover(&mut node, now(clock_offset_ms), incarnation, false);
    let node = Rc::new(RefCell::new(node));
    shared.nodes.borrow_mut()[id] = Some(Rc::clone(&node));
    let sockets = Sockets::new(shared, id, life);
    sockets.record(EventKind::Boot, LinkId(0), &life.to_le_bytes());
    let accepting = accept(&listener);
    let sleep = Box::pin(sleep(Duration::ZERO));
    let mut host = Host { node, disk, sockets, listener, accepting, sleep, clock_offset_ms };
    poll_fn(|context| host.poll(context)).await?;
    Ok(())
}

/// What a node says to a request that never was on any network; for looking at it when all is over.
pub(super) fn ask(node: &mut Node, now_ms: u64, request: &[u8]) -> String {
    let now = Now { mono: Instant::from_micros(now_ms * 1000), wall_ms: EPOCH_MS + now_ms };
    // Far from any link that a driver could have opened.
    let link = LinkId(1 << 16);
    node.handle_open(now, link, Origin::Accepted(Addresses::UNKNOWN));
    node.handle_bytes(now, link, request);
    String::from_utf8_lossy(node.output(link)).into_owned()
}

struct Host {
    node: Rc<RefCell<Node>>,
    /// Batches are durable a round later; what is, outlives the node.
    disk: Rc<RefCell<Memory>>,
    sockets: Sockets,
    listener: Rc<TcpListener>,
    accepting: Accepting,
    sleep: Pin<Box<Sleep>>,
    clock_offset_ms: i64,
}

impl Host {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let cell = Rc::clone(&self.node);
        let node = &mut *cell.borrow_mut();
        for _ in 0..ROUNDS_MAX {
            self.sockets.begin(context);
            let now = now(self.clock_offset_ms);
            let disk = Rc::clone(&self.disk);
            let disk = &mut *disk.borrow_mut();
            let mut busy = disk.work(node, now);
            busy |= self.take_inputs(context, node, now)?;
            node.handle_timeout(now);
            finish_turn(node, now, &mut self.sockets, disk);
            busy |= !disk.is_idle();
            for link in self.sockets.take_failed() {
                node.handle_close(now, link);
                busy = true;
            }
            self.sockets.end_turn();
            let welcome =
                |link: &LinkId| self.sockets.is_unwelcome(*link) && node.wants_read(*link);
            busy |= self.sockets.links().any(|link| welcome(&link));
            if !busy && self.falls_asleep(context, node) {
                return Poll::Pending;
            }
        }
        Poll::Ready(Err(io::Error::other(SPINS)))
    }

    /// Hands the node everything that happened outside. Whether anything did.
    fn take_inputs(
        &mut self,
        context: &mut Context<'_>,
        node: &mut Node,
        now: Now,
    ) -> io::Result<bool> {
        let mut busy = false;
        while let Poll::Ready(accepted) = self.accepting.as_mut().poll(context) {
            let link = self.sockets.open(accepted?.0, EventKind::OpenAccepted);
            self.accepting = accept(&self.listener);
            node.handle_open(now, link, Origin::Accepted(Addresses::UNKNOWN));
            busy = true;
        }
        for (peer, result) in self.sockets.poll_dials() {
            busy = true;
            if let Ok(stream) = result {
                let link = self.sockets.open(stream, EventKind::OpenDialed);
                node.handle_open(now, link, Origin::Dialed(peer));
            } else {
                self.sockets.record(EventKind::DialFailed, LinkId(u32::from(peer.0)), &[]);
                node.handle_dial_failed(now, peer);
            }
        }
        for link in self.sockets.links() {
            for input in self.sockets.poll_input(link, node.wants_read(link)) {
                busy = true;
                match input {
                    Input::Bytes(bytes) => node.handle_bytes(now, link, &bytes),
                    Input::Closed => node.handle_close(now, link),
                    Input::Eof => node.handle_eof(now, link),
                    Input::Writable => node.handle_writable(link),
                }
            }
        }
        Ok(busy)
    }

    /// Sets the alarm clock. False if it rings already.
    fn falls_asleep(&mut self, context: &mut Context<'_>, node: &Node) -> bool {
        let timeout_us = node.poll_timeout().map(Instant::as_micros);
        let Some(at_us) = timeout_us.into_iter().chain(self.sockets.rested_at_us()).min() else {
            return true;
        };
        let now_us = now_us();
        if at_us <= now_us {
            return false;
        }
        let until = tokio::time::Instant::now() + Duration::from_micros(at_us - now_us);
        self.sleep.as_mut().reset(until);
        self.sleep.as_mut().poll(context).is_pending()
    }
}

fn accept(listener: &Rc<TcpListener>) -> Accepting {
    let listener = Rc::clone(listener);
    Box::pin(async move { listener.accept().await })
}

/// Both clocks of a host. The wall clock is off by as much as the case says.
fn now(clock_offset_ms: i64) -> Now {
    let now_us = now_us();
    let wall_ms = (EPOCH_MS + now_us / 1000).saturating_add_signed(clock_offset_ms);
    Now { mono: Instant::from_micros(now_us), wall_ms }
}
