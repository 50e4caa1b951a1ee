//! Listeners: the node's port on every loopback address, and the pace of accepting.
//!
//! It owns the listening sockets. IPv4 loopback is mandatory; IPv6 loopback is left out where the machine has none. If
//! another program holds our port there, that is an error all the same: `localhost` would lead some clients to it.
//!
//! When the system is out of descriptors or memory, accepting pauses for a moment: connections wait in the backlog, and
//! the loop neither spins nor fills the log. What a connection may do is not decided here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};
use tracing::{debug, warn};

use crate::time::{Instant, Millis};

/// How long accepting rests after a failure that the next attempt would meet too.
const PAUSE: Millis = Millis(100);
/// Least time between two complaints about such failures.
const COMPLAINT_PAUSE: Millis = Millis(1000);

/// The sockets that a node listens on, all on one port.
#[derive(Debug)]
pub struct Listeners {
    listeners: Vec<Listener>,
    port: u16,
    paused_until: Option<Instant>,
    complained_at: Option<Instant>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// Whether connections may be waiting: edge-triggered, so remembered until `accept` finds none.
    ready: bool,
}

impl Listeners {
    /// Listens on `port` of 127.0.0.1, of `advertised` if that is another address, and of `[::1]` where there is one.
    /// Port 0 lets the system pick.
    ///
    /// # Errors
    /// If an address can't be listened on; `AddrInUse` if another program has the port.
    pub fn bind(port: u16, advertised: Option<IpAddr>) -> io::Result<Self> {
        let first = Listener::bind(Ipv4Addr::LOCALHOST.into(), port)?;
        let port = first.address.port();
        let mut listeners = vec![first];
        if let Some(ip) = advertised.filter(|ip| *ip != IpAddr::V4(Ipv4Addr::LOCALHOST)) {
            listeners.push(Listener::bind(ip, port)?);
        }
        match Listener::bind(Ipv6Addr::LOCALHOST.into(), port) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => debug!("not listening on [::1]:{port}: {error}"),
        }
        Ok(Self { listeners, port, paused_until: None, complained_at: None })
    }

    /// The port, also if the system picked it.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Every address listened on.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(|listener| listener.address)
    }

    /// Registers every socket, the first with token `first`, each further one with a token lower by one.
    pub(super) fn register(&mut self, registry: &Registry, first: Token) -> io::Result<()> {
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            let token = Token(first.0 - at);
            registry.register(&mut listener.socket, token, Interest::READABLE)?;
        }
        Ok(())
    }

    pub(super) fn on_event(&mut self, at: usize) {
        if let Some(listener) = self.listeners.get_mut(at) {
            listener.ready = true;
        }
    }

    /// The next connection, if one waits and accepting doesn't rest.
    pub(super) fn accept(&mut self, now: Instant) -> Option<TcpStream> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        while let Some(listener) = self.listeners.iter_mut().find(|listener| listener.ready) {
            match listener.socket.accept() {
                Ok((stream, _)) => return Some(stream),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => listener.ready = false,
                    // The next attempt is about another connection.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    // Out of descriptors or memory.
                    _ => {
                        self.pause(now, format_args!("{error}"));
                        return None;
                    }
                },
            }
        }
        None
    }

    /// Lets connections wait in the backlog for a moment.
    pub(super) fn pause(&mut self, now: Instant, reason: std::fmt::Arguments<'_>) {
        self.paused_until = Some(now + PAUSE);
        if self.complained_at.is_none_or(|at| now >= at + COMPLAINT_PAUSE) {
            self.complained_at = Some(now);
            warn!("connections have to wait: {reason}");
        }
    }

    /// When [`Listeners::accept`] has something to do without another event.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let waiting = self.listeners.iter().any(|listener| listener.ready);
        waiting.then(|| self.paused_until.unwrap_or(Instant::ZERO))
    }
}

impl Listener {
    fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        let socket = TcpListener::bind(SocketAddr::new(ip, port))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, ready: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_share_one_port_that_is_then_taken() {
        let listeners = Listeners::bind(0, None).expect("some port is free");
        assert_ne!(listeners.port(), 0);
        assert!(listeners.addresses().all(|address| address.port() == listeners.port()));
        let again = Listeners::bind(listeners.port(), None).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(again, Err(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_pause_lets_connections_wait_and_ends() {
        let mut listeners = Listeners::bind(0, None).expect("some port is free");
        let address = listeners.addresses().next().expect("IPv4 loopback");
        let _client = std::net::TcpStream::connect(address).expect("the backlog takes it");
        assert_eq!(listeners.due_at(), None);
        listeners.on_event(0);
        assert_eq!(listeners.due_at(), Some(Instant::ZERO));
        let now = Instant::from_micros(5);
        listeners.pause(now, format_args!("a test wants it"));
        assert_eq!(listeners.due_at(), Some(now + PAUSE));
        assert!(listeners.accept(now).is_none());
        assert!(listeners.accept(now + PAUSE).is_some());
        assert!(listeners.accept(now + PAUSE).is_none());
        assert_eq!(listeners.due_at(), None);
    }
}
