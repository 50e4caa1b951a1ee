//! One socket: what we know of its readiness, and reading and writing by that.
//!
//! Edge-triggered events say a thing once, so it is kept here until the socket itself says
//! otherwise. This type knows nothing of other sockets and calls nobody.
//!
//! Invariants: `unread` is false once `ended`; registered for WRITABLE from the connect or the
//! first short write until a write succeeds in full.

use std::io::{self, Read as _, Write as _};

use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use crate::record::NodeId;

/// How many times a scratch full of unread bytes is thrown away when a socket closes.
const DISCARDS_MAX: usize = 16;

pub(super) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    /// The system may hold bytes, or an end of stream, that we haven't seen.
    pub(super) unread: bool,
    /// An end of stream or an error lies behind the unread bytes.
    hung_up: bool,
    /// The end of the stream has been read.
    ended: bool,
    /// The last write fell short and the node waits to hear of room.
    short: bool,
    /// Registered for WRITABLE too.
    wants_room: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Over; only its place is still taken.
    Closed,
    /// A write failed.
    Dead,
    /// A connect is under way.
    Dialing(NodeId),
    /// Bytes flow.
    Open,
}

/// What one read brought.
#[derive(Debug)]
pub(super) enum Got {
    /// This many bytes.
    Bytes(usize),
    /// The end of the stream, told once.
    End,
    /// The socket is gone both ways.
    Failed(io::Error),
    /// Nothing for now.
    Nothing,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream, state: State, interest: Interest) -> Self {
        let wants_room = interest.is_writable();
        Self {
            stream,
            state,
            unread: false,
            hung_up: false,
            ended: false,
            short: false,
            wants_room,
        }
    }

    /// Notes what an event says of the reading side. True if there is now something unread and
    /// wasn't before.
    pub(super) fn on_readable(&mut self, event: &Event) -> bool {
        let hung_up = is_gone(event) || event.is_read_closed();
        if self.ended || !(hung_up || event.is_readable()) {
            return false;
        }
        self.hung_up |= hung_up;
        !std::mem::replace(&mut self.unread, true)
    }

    /// Notes what an event says of the writing side. True if the node waits to hear it.
    pub(super) fn on_writable(&mut self, event: &Event) -> bool {
        let told = self.short && (event.is_writable() || is_gone(event));
        self.short &= !told;
        told
    }

    /// Whether an event says that nothing can be read or written any more. While there may be
    /// unread bytes, it is for a read to find that out.
    pub(super) fn is_over(&self, event: &Event) -> bool {
        self.ended && is_gone(event)
    }

    /// Whether a connect has ended and how; `None` if it hasn't. mio's documentation of `connect`
    /// describes the steps.
    pub(super) fn connected(&self) -> Option<io::Result<()>> {
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Some(Err(error)),
        }
        let ends = self.stream.peer_addr().and_then(|there| Ok((self.stream.local_addr()?, there)));
        match ends {
            // A connect to a port on which nobody listens, from that same port, which the system
            // may have picked, meets itself, and would keep the member from ever listening there.
            Ok((here, there)) if here == there => {
                Some(Err(io::Error::other("nobody listens there but ourselves")))
            }
            Ok(_) => Some(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Got {
        match retry(|| self.stream.read(scratch)) {
            Ok(0) => {
                self.unread = false;
                self.ended = true;
                Got::End
            }
            Ok(count) => {
                // A short read has emptied the socket: what comes next makes a new edge. Only an
                // end of stream may already be there, its edge spent.
                self.unread = count == scratch.len() || self.hung_up;
                Got::Bytes(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unread = false;
                Got::Nothing
            }
            Err(error) => Got::Failed(error),
        }
    }

    /// Writes until all is taken or the socket is full, and says how much was taken. Listens for
    /// room exactly while that is less than all; a system call is spent on it only when that
    /// changes.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        registry: &Registry,
        token: Token,
    ) -> (usize, io::Result<()>) {
        let mut taken = 0;
        while taken < bytes.len() {
            match retry(|| self.stream.write(&bytes[taken..])) {
                Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return (taken, Err(error)),
            }
        }
        self.short = taken < bytes.len();
        if self.wants_room == self.short {
            return (taken, Ok(()));
        }
        self.wants_room = self.short;
        let interest = if self.short { BOTH } else { Interest::READABLE };
        (taken, registry.reregister(&mut self.stream, token, interest))
    }

    /// Throws away what is unread: closing over unread bytes makes the system answer with a reset,
    /// which can overtake and destroy our last words. Bounded, so a sender who never pauses gets
    /// its reset.
    pub(super) fn discard_unread(&mut self, scratch: &mut [u8]) {
        if self.ended {
            return;
        }
        for _ in 0..DISCARDS_MAX {
            match retry(|| self.stream.read(scratch)) {
                Ok(count) if count == scratch.len() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn is_gone(event: &Event) -> bool {
    event.is_error() || event.is_write_closed()
}

/// Repeats a system call that a signal interrupted.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
