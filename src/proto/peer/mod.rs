//! What nodes say to each other: length-prefixed frames on links that begin with a hello.
//!
//! ```text
//!  0  size   u32  of what follows, kind included
//!  4  kind   u8
//!  5  body   by kind; integers little-endian
//! ```
//! A dialed link begins with [`PEER_BYTE`], which no client sends first, and a [`Hello`], whose
//! body begins with [`MAGIC`]. A link is used one way: the dialer sends its stream, heartbeats and
//! repair questions; the other side only answers. Bytes are read in place; nothing is allocated for
//! a size that has merely been declared.

#![deny(clippy::indexing_slicing)]

use std::fmt;

use crate::record::{Db, KEY_SIZE_MAX, NodeId, RECORD_SIZE_MAX, Version};

mod codec;
mod fields;
mod lists;

pub use lists::{bit, offers, push_offer, set_bit};

/// The version of this protocol. Nodes of different versions refuse each other.
pub const PROTOCOL: u16 = 1;
/// First bytes of a hello's body.
pub const MAGIC: [u8; 8] = *b"quorate\x01";
/// First byte of a link between nodes: what follows is a frame, where a client sends text or `*`.
pub const PEER_BYTE: u8 = 0;
/// Bytes of a frame before its body.
pub const FRAME_HEAD: usize = 5;
/// The longest frame: a record or an offer of one long key, with their heads.
pub const FRAME_SIZE_MAX: usize = RECORD_SIZE_MAX + KEY_SIZE_MAX + 1024;
/// The longest frame before both sides have been introduced: a hello with its list of members.
pub const GREETING_SIZE_MAX: usize = 16 * 1024;
/// Bytes of a stream frame besides its record.
pub const STREAM_OVERHEAD: usize = FRAME_HEAD + 8;
/// Bytes of a flush's stream frame.
pub const FLUSH_SIZE: usize = STREAM_OVERHEAD + 17;

/// Who dials, whom it means to reach, and what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// [`PROTOCOL`] of the dialer.
    pub protocol: u16,
    /// The hash of the dialer's list of members.
    pub cluster: u64,
    /// Slots of the dialer's cluster.
    pub slots: u32,
    /// The dialer.
    pub from: NodeId,
    /// Whom it dialed.
    pub to: NodeId,
    /// The dialer's life.
    pub incarnation: u64,
    /// The dialer's list of members, one a line, so that a mismatch can be explained.
    pub members: &'a [u8],
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Everything of the stream up to `pos` is applied here.
    Ack {
        /// Of the dialer's session.
        generation: u64,
        /// Bytes of the stream.
        pos: u64,
    },
    /// The stream of this session begins, or goes on, at `pos`.
    Begin {
        /// Of the dialer's session; a new one is higher.
        generation: u64,
        /// Bytes of the stream; 0 in a new session.
        pos: u64,
    },
    /// Digests of the slots from `first` on, each over `span` slots: 16 bytes apiece.
    Compare {
        /// Of the slots.
        db: Db,
        /// The sender's flush stamp.
        flushed: Version,
        /// Slot.
        first: u32,
        /// Slots a digest.
        span: u32,
        /// Little-endian u128s.
        digests: &'a [u8],
    },
    /// A record outside the stream, wanted by repair.
    Copy {
        /// A [`crate::record::Record`].
        record: &'a [u8],
    },
    /// Which digests of a `Compare` differ here: a bit each, lowest first.
    Differ {
        /// As asked.
        db: Db,
        /// The answering side's flush stamp.
        flushed: Version,
        /// See [`bit`].
        bits: &'a [u8],
    },
    /// A flush of a database, in the stream.
    Flush {
        /// Where in the stream this frame begins.
        pos: u64,
        /// What is flushed.
        db: Db,
        /// Records at or below it are dead.
        version: Version,
    },
    /// Opens a link.
    Hello(Hello<'a>),
    /// Versions and keys that the sender holds: see [`offers`].
    Offer {
        /// Of all entries.
        db: Db,
        /// See [`push_offer`].
        entries: &'a [u8],
    },
    /// A sign of life with the sender's wall clock.
    Ping {
        /// Unix milliseconds.
        wall_ms: u64,
    },
    /// The answer to a ping.
    Pong {
        /// Unix milliseconds.
        wall_ms: u64,
    },
    /// A record of the sender's own stamp, in the stream.
    Record {
        /// Where in the stream this frame begins.
        pos: u64,
        /// A [`crate::record::Record`].
        record: &'a [u8],
    },
    /// The hello is not accepted, and why. `incarnation` is the highest known of the dialer.
    Refuse {
        /// 0 if none is known.
        incarnation: u64,
        /// Text for the log.
        reason: &'a [u8],
    },
    /// Which entries of an `Offer` are wanted: a bit each, lowest first.
    Want {
        /// See [`bit`].
        bits: &'a [u8],
    },
    /// The hello is accepted; the last session known and how far it was applied.
    Welcome {
        /// Of the answering side.
        incarnation: u64,
        /// Of the dialer's session that it knows; 0 if none.
        generation: u64,
        /// Bytes of that session's stream that it has applied.
        pos: u64,
    },
}

/// What the bytes at the front of a buffer are.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameStep<'a> {
    /// A frame of `consumed` bytes.
    Complete {
        /// Borrows the buffer.
        frame: Frame<'a>,
        /// Size of the frame.
        consumed: usize,
    },
    /// No use to look again before there are `need` bytes.
    Incomplete {
        /// More than there are.
        need: usize,
    },
    /// Nothing that a node sends.
    Broken(FrameError),
}

/// What is wrong with bytes that should be a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The body does not fit its kind.
    Body {
        /// The frame's kind.
        kind: u8,
    },
    /// No frame is of this kind.
    Kind(u8),
    /// The declared size is over the limit.
    Size {
        /// As declared.
        size: usize,
        /// As set by the reader.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { kind } => write!(f, "body of a frame of kind {kind} is malformed"),
            Self::Kind(kind) => write!(f, "frame kind {kind} is unknown"),
            Self::Size { size, limit } => write!(f, "frame of {size} bytes is over {limit}"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests;
