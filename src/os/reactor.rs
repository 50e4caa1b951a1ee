//! The reactor: one thread that hands a node its inputs, carries out its outputs and sleeps in
//! between.
//!
//! A turn: sleep until something is ready -> read the clocks once -> tell the node what the disk has
//! done, of failures and of events -> accept -> read every ready link once -> timers ->
//! [`finish_turn`] -> free the places of closed links. Every step is bounded, so no client can keep
//! others from being served; what remains is continued next turn without sleeping.
//!
//! It never spins: it sleeps without a timeout when nothing is due, also while the node wants
//! nothing read.
//!
//! Stopping: SIGTERM, SIGINT or a [`Stopper`] close the listeners and tell the node to shut down;
//! turns go on until the node has delivered what it owes; then the log is closed. A second signal
//! ends at once. A disk that fails ends the reactor with its error: what memory says may not be
//! durable any more.

use std::io;
use std::time::Duration;

use mio::{Events, Poll, Token};
use tracing::{debug, info};

use super::{
    clock::{self, Clock},
    data::{self, DataOptions, NodeError, Recovered, Recovering},
    disk::{DiskThreads, Done},
    listener::Listeners,
    memory,
    sockets::{Change, Read, Sockets},
    stop::{StopSignals, Stopper},
};
use crate::{
    config::Fsync,
    limits::{Limits, Timing},
    members::Members,
    node::{Measured, Node, NodeConfig, Origin},
    slot::SLOTS,
    time::{Instant, Millis, Now},
    turn::finish_turn,
};

/// Events taken from the system at a time: room for every link of a busy node, 16 KiB.
const EVENTS_MAX: usize = 1024;
/// A turn that takes longer is told to the log: nobody is served meanwhile.
const SLOW_TURN: Millis = Millis(50);
/// Connections accepted in a turn: enough to take a burst, little enough that others need not wait
/// for it.
const ACCEPTS_MAX: usize = 64;
/// How often the node is told what only its driver can measure: asking the system takes 30
/// microseconds.
const MEASURE_EVERY: Millis = Millis(250);

// Tokens of sockets count up from zero, these down from the top.
const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
const LISTENERS: Token = Token(usize::MAX - 2);
/// Below this many from the top there are no tokens but those of sockets.
const RESERVED_TOKENS: usize = 16;

/// A node together with its sockets, clocks and signals.
pub struct Reactor {
    poll: Poll,
    clock: Clock,
    node: Node,
    sockets: Sockets,
    disk: DiskThreads,
    recovered: Recovered,
    /// None once stopping.
    listeners: Option<Listeners>,
    links_max: usize,
    signals: Option<StopSignals>,
    /// Whether a signal has come; the next one is the second.
    signalled: bool,
    stopper: Stopper,
    phase: Phase,
    measure_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Told to stop; the node still owes something.
    Draining,
    /// Told by a second signal.
    Forced,
    /// The normal state.
    Serving,
}

impl Reactor {
    /// A node of `members` that serves `listeners`, holds at most `links_max` links at a time,
    /// suspects others by `timing` and keeps its data where `options` say. It has recovered when
    /// this returns; `say` is told how far that is now and then.
    ///
    /// # Errors
    /// If the data can't be used, or the system can't give what a reactor needs: an event queue, a
    /// wake-up, threads, randomness.
    pub fn new(
        mut listeners: Listeners,
        members: Members,
        links_max: usize,
        timing: Timing,
        options: &DataOptions,
        say: &mut dyn FnMut(Recovering),
    ) -> Result<Self, NodeError> {
        let poll = Poll::new()?;
        let clock = Clock::start();
        let now = clock.now();
        let stopper = Stopper::new(poll.registry(), WAKER)?;
        listeners.register(poll.registry(), LISTENERS)?;
        let sockets = Sockets::new(poll.registry().try_clone()?, &members);
        let config = NodeConfig {
            members: members.clone(),
            incarnation: 0,
            slots: SLOTS,
            limits: Limits::DEFAULT,
            timing,
            synced: options.fsync == Fsync::Always,
            seed: clock::seed()?,
        };
        let mut node = Node::new(config, now);
        let opened = data::open(options, &members, SLOTS, now, &mut node, say)?;
        let disk = DiskThreads::start(&opened.directory, opened.appender, options.fsync, &stopper)?;
        Ok(Self {
            poll,
            clock,
            node,
            sockets,
            disk,
            recovered: opened.recovered,
            listeners: Some(listeners),
            links_max,
            signals: None,
            signalled: false,
            stopper,
            phase: Phase::Serving,
            measure_at: now.mono,
        })
    }

    /// Makes SIGTERM and SIGINT stop this reactor instead of the process. Each reactor of a process
    /// does this for itself.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        self.signals = Some(StopSignals::catch(self.poll.registry(), SIGNALS)?);
        Ok(())
    }

    /// Something to stop this reactor with, from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What the start found in its data directory.
    #[must_use]
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Serves until told to stop and nothing is owed any more.
    ///
    /// # Errors
    /// If the disk or the event queue fails.
    pub fn run(mut self) -> Result<(), NodeError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        // A new node may already want something done; no event would tell.
        self.turn(self.clock.now(), &events)?;
        loop {
            let timeout = self.sleep_time();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                // Interrupted, there are no events; the signal comes as one.
                Ok(()) | Err(_) => {}
            }
            let now = self.clock.now();
            self.turn(now, &events)?;
            match self.phase {
                Phase::Draining if self.node.is_drained() => break,
                Phase::Forced => break,
                Phase::Draining | Phase::Serving => {}
            }
        }
        let owed = if self.phase == Phase::Forced { ", owing something" } else { "" };
        self.disk.close()?;
        info!("stopped{owed}");
        Ok(())
    }

    fn turn(&mut self, now: Now, events: &Events) -> Result<(), NodeError> {
        while let Some(done) = self.disk.poll()? {
            match done {
                Done::Durable(batch) => self.node.handle_durable(now, batch),
                Done::Saved => self.node.handle_saved(now),
                Done::Written => {}
            }
        }
        self.measure(now);
        self.tell_news(now);
        for event in events {
            match event.token() {
                WAKER if self.stopper.is_asked() => self.stop(now),
                WAKER => {}
                SIGNALS => self.take_signals(now),
                Token(token) if token > usize::MAX - RESERVED_TOKENS => {
                    if let Some(listeners) = &mut self.listeners {
                        listeners.on_event(LISTENERS.0 - token);
                    }
                }
                _ => {
                    let change = self.sockets.on_event(event);
                    self.tell_change(now, change);
                }
            }
        }
        self.accept(now);
        self.read_ready(now);
        if self.node.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.node.handle_timeout(now);
        }
        if self.node.wants_to_stop() {
            self.stop(now);
        }
        finish_turn(&mut self.node, now, &mut self.sockets, &mut self.disk);
        self.sockets.reap();
        let took = self.clock.mono().since(now.mono);
        if took > SLOW_TURN {
            debug!("a turn took {} ms", took.0);
        }
        Ok(())
    }

    /// Measures what the node cannot, now and then. It wakes nobody for that.
    fn measure(&mut self, now: Now) {
        if now.mono >= self.measure_at {
            let mut measured = Measured {
                resident_bytes: memory::resident_bytes(),
                processor_us: memory::processor_us(),
                ..Measured::default()
            };
            self.disk.measure(&mut measured);
            self.node.handle_measured(measured);
            self.measure_at = now.mono + MEASURE_EVERY;
        }
    }

    /// Tells the node of failures that its own commands of the last turn met.
    fn tell_news(&mut self, now: Now) {
        while let Some(link) = self.sockets.pop_dead() {
            self.node.handle_close(now, link);
        }
        while let Some(peer) = self.sockets.pop_failed_dial() {
            self.node.handle_dial_failed(now, peer);
        }
    }

    fn tell_change(&mut self, now: Now, change: Change) {
        match change {
            Change::DialFailed(peer) => self.node.handle_dial_failed(now, peer),
            Change::Gone(link) => self.node.handle_close(now, link),
            Change::None => {}
            Change::Opened(link, peer) => self.node.handle_open(now, link, Origin::Dialed(peer)),
            Change::Writable(link) => self.node.handle_writable(link),
        }
    }

    fn accept(&mut self, now: Now) {
        let Some(listeners) = &mut self.listeners else { return };
        if listeners.due_at().is_none() {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            let links = self.sockets.len();
            if links >= self.links_max {
                listeners.pause(now.mono, format_args!("{links} are open, the most allowed"));
                return;
            }
            let Some(stream) = listeners.accept(now.mono) else { return };
            match self.sockets.open(stream) {
                Ok((link, addresses)) => {
                    self.node.handle_open(now, link, Origin::Accepted(addresses));
                }
                // Gone already, or the event queue is full. The connection is closed with its
                // socket.
                Err(error) => debug!("can't take a connection: {error}"),
            }
        }
    }

    /// Reads every ready link that the node wants read, once.
    fn read_ready(&mut self, now: Now) {
        if self.sockets.ready_len() == 0 {
            return;
        }
        for at in 0..self.sockets.ready_len() {
            let link = self.sockets.ready(at);
            if !self.node.wants_read(link) {
                continue;
            }
            match self.sockets.read(link) {
                Read::Bytes(bytes) => self.node.handle_bytes(now, link, bytes),
                Read::End => self.node.handle_eof(now, link),
                Read::Gone => self.node.handle_close(now, link),
                Read::Nothing => {}
            }
        }
        self.sockets.settle();
    }

    fn take_signals(&mut self, now: Now) {
        if self.signals.as_mut().map_or(0, StopSignals::take) == 0 {
            return;
        }
        if self.signalled {
            self.phase = Phase::Forced;
        } else {
            self.signalled = true;
            self.stop(now);
        }
    }

    fn stop(&mut self, now: Now) {
        if self.phase == Phase::Serving {
            info!("stopping");
            self.phase = Phase::Draining;
            // Closes them: who connects now is refused and may try another node.
            self.listeners = None;
            self.node.handle_shutdown(now);
        }
    }

    /// How long to sleep; `None` is until an event.
    fn sleep_time(&self) -> Option<Duration> {
        let unread = self.sockets.all_ready().iter().any(|link| self.node.wants_read(*link));
        if unread || self.sockets.has_news() {
            return Some(Duration::ZERO);
        }
        let accept_at = self.listeners.as_ref().and_then(Listeners::due_at);
        let due = earliest(self.node.poll_timeout(), accept_at)?;
        let left = due.as_micros().saturating_sub(self.clock.mono().as_micros());
        // The system sleeps in whole milliseconds; rounded down it would spin through the last one.
        Some(Duration::from_millis(left.div_ceil(1000)))
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpStream, thread};

    use super::*;

    #[test]
    fn stops_when_told_and_lets_go_of_port_and_clients() {
        let listeners = Listeners::bind(0, None).expect("some port is free");
        let port = listeners.port();
        let data = tempfile::tempdir().expect("a place for tests");
        let path = data.path().to_owned();
        let options = DataOptions { path, fsync: Fsync::Always, repair: false, cold_start: false };
        let members = Members::single(port);
        let reactor = Reactor::new(listeners, members, 100, Timing::DEFAULT, &options, &mut |_| {});
        let reactor = reactor.expect("it starts");
        let stopper = reactor.stopper();
        let thread = thread::spawn(move || reactor.run());
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stopper.stop();
        stopper.stop();
        thread.join().expect("it doesn't panic").expect("it ends well");
        // An end or a reset, depending on whether the connection was accepted before the stop.
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens any more");
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let (soon, late) = (Some(Instant::from_micros(1)), Some(Instant::from_micros(2)));
        assert_eq!(earliest(soon, late), soon);
        assert_eq!(earliest(late, soon), soon);
        assert_eq!(earliest(None, late), late);
        assert_eq!(earliest(soon, None), soon);
        assert_eq!(earliest(None, None), None);
    }
}
