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

/// The version of this protocol. Nodes of different versions refuse each other.
pub const PROTOCOL: u16 = 2;
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
    /// A sign of life, and the question what time it is.
    Ping {
        /// The sender's wall clock, in Unix milliseconds.
        asked_ms: u64,
    },
    /// The answer to a ping.
    Pong {
        /// As the ping said.
        asked_ms: u64,
        /// The answering side's wall clock, in Unix milliseconds, read after the ping had come.
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
        /// Its wall clock, in Unix milliseconds, read after the hello had come.
        wall_ms: u64,
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

mod kind {
    pub(super) const ACK: u8 = 1;
    pub(super) const BEGIN: u8 = 2;
    pub(super) const COMPARE: u8 = 3;
    pub(super) const COPY: u8 = 4;
    pub(super) const DIFFER: u8 = 5;
    pub(super) const FLUSH: u8 = 6;
    pub(super) const HELLO: u8 = 7;
    pub(super) const OFFER: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
    pub(super) const RECORD: u8 = 11;
    pub(super) const REFUSE: u8 = 12;
    pub(super) const WANT: u8 = 13;
    pub(super) const WELCOME: u8 = 14;
}

impl<'a> Frame<'a> {
    /// Appends the frame's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.encode_body(out);
        let size = (out.len() - start - 4) as u32;
        if let Some(head) = out.get_mut(start..start + 4) {
            head.copy_from_slice(&size.to_le_bytes());
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ack { generation, pos } => {
                Body(out).kind(kind::ACK).u64(generation).u64(pos);
            }
            Self::Begin { generation, pos } => {
                Body(out).kind(kind::BEGIN).u64(generation).u64(pos);
            }
            Self::Compare { db, flushed, first, span, digests } => {
                let body = Body(out).kind(kind::COMPARE).db(db).version(flushed);
                body.u32(first).u32(span).bytes(digests);
            }
            Self::Copy { record } => {
                Body(out).kind(kind::COPY).bytes(record);
            }
            Self::Differ { db, flushed, bits } => {
                Body(out).kind(kind::DIFFER).db(db).version(flushed).bytes(bits);
            }
            Self::Flush { pos, db, version } => {
                Body(out).kind(kind::FLUSH).u64(pos).db(db).version(version);
            }
            Self::Hello(hello) => {
                let body = Body(out).kind(kind::HELLO).bytes(&MAGIC).u16(hello.protocol);
                let body = body.u64(hello.cluster).u32(hello.slots).u16(hello.from.0);
                body.u16(hello.to.0).u64(hello.incarnation).bytes(hello.members);
            }
            Self::Offer { db, entries } => {
                Body(out).kind(kind::OFFER).db(db).bytes(entries);
            }
            Self::Ping { asked_ms } => {
                Body(out).kind(kind::PING).u64(asked_ms);
            }
            Self::Pong { asked_ms, wall_ms } => {
                Body(out).kind(kind::PONG).u64(asked_ms).u64(wall_ms);
            }
            Self::Record { pos, record } => {
                Body(out).kind(kind::RECORD).u64(pos).bytes(record);
            }
            Self::Refuse { incarnation, reason } => {
                Body(out).kind(kind::REFUSE).u64(incarnation).bytes(reason);
            }
            Self::Want { bits } => {
                Body(out).kind(kind::WANT).bytes(bits);
            }
            Self::Welcome { incarnation, generation, pos, wall_ms } => {
                let body = Body(out).kind(kind::WELCOME).u64(incarnation).u64(generation);
                body.u64(pos).u64(wall_ms);
            }
        }
    }

    /// Reads the frame at the front of `buf`; `limit` is the longest acceptable one.
    #[must_use]
    pub fn next(buf: &'a [u8], limit: usize) -> FrameStep<'a> {
        let Some((size, rest)) = buf.split_first_chunk::<4>() else {
            return FrameStep::Incomplete { need: FRAME_HEAD };
        };
        let size = u32::from_le_bytes(*size) as usize;
        if size > limit {
            return FrameStep::Broken(FrameError::Size { size, limit });
        }
        let Some(body) = rest.get(..size) else {
            return FrameStep::Incomplete { need: 4 + size };
        };
        match Self::decode(body) {
            Ok(frame) => FrameStep::Complete { frame, consumed: 4 + size },
            Err(error) => FrameStep::Broken(error),
        }
    }

    fn decode(body: &'a [u8]) -> Result<Self, FrameError> {
        let Some((&kind, rest)) = body.split_first() else {
            return Err(FrameError::Kind(0));
        };
        if !(kind::ACK..=kind::WELCOME).contains(&kind) {
            return Err(FrameError::Kind(kind));
        }
        let mut fields = Fields(rest);
        Self::decode_fields(kind, &mut fields).ok_or(FrameError::Body { kind })
    }

    fn decode_fields(kind: u8, f: &mut Fields<'a>) -> Option<Self> {
        let frame = match kind {
            kind::ACK => Self::Ack { generation: f.u64()?, pos: f.u64()? },
            kind::BEGIN => Self::Begin { generation: f.u64()?, pos: f.u64()? },
            kind::COMPARE => Self::Compare {
                db: f.db()?,
                flushed: f.version()?,
                first: f.u32()?,
                span: f.u32()?,
                digests: f.rest(),
            },
            kind::COPY => Self::Copy { record: f.rest() },
            kind::DIFFER => Self::Differ { db: f.db()?, flushed: f.version()?, bits: f.rest() },
            kind::FLUSH => Self::Flush { pos: f.u64()?, db: f.db()?, version: f.version()? },
            kind::HELLO => Self::Hello(f.hello()?),
            kind::OFFER => Self::Offer { db: f.db()?, entries: f.rest() },
            kind::PING => Self::Ping { asked_ms: f.u64()? },
            kind::PONG => Self::Pong { asked_ms: f.u64()?, wall_ms: f.u64()? },
            kind::RECORD => Self::Record { pos: f.u64()?, record: f.rest() },
            kind::REFUSE => Self::Refuse { incarnation: f.u64()?, reason: f.rest() },
            kind::WANT => Self::Want { bits: f.rest() },
            kind::WELCOME => Self::Welcome {
                incarnation: f.u64()?,
                generation: f.u64()?,
                pos: f.u64()?,
                wall_ms: f.u64()?,
            },
            _ => return None,
        };
        f.0.is_empty().then_some(frame)
    }
}

/// Appends one entry of an offer: version, key size, key.
pub fn push_offer(entries: &mut Vec<u8>, version: Version, key: &[u8]) {
    entries.extend_from_slice(&version.to_bits().to_le_bytes());
    entries.extend_from_slice(&(key.len() as u16).to_le_bytes());
    entries.extend_from_slice(key);
}

/// The entries of an offer; `None` in place of one that is malformed, and nothing after it.
pub fn offers(entries: &[u8]) -> impl Iterator<Item = Option<(Version, &[u8])>> {
    let mut fields = Fields(entries);
    std::iter::from_fn(move || {
        if fields.0.is_empty() {
            return None;
        }
        let entry = fields.offer();
        if entry.is_none() {
            fields.0 = &[];
        }
        Some(entry)
    })
}

/// Whether bit `index` is set.
#[must_use]
pub fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Sets bit `index`, growing `bits` as needed.
pub fn set_bit(bits: &mut Vec<u8>, index: usize) {
    if bits.len() <= index / 8 {
        bits.resize(index / 8 + 1, 0);
    }
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}

/// Writes a body field by field.
struct Body<'v>(&'v mut Vec<u8>);

impl Body<'_> {
    fn bytes(self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn kind(self, kind: u8) -> Self {
        self.bytes(&[kind])
    }
    fn db(self, db: Db) -> Self {
        self.bytes(&[db.number()])
    }
    fn u16(self, n: u16) -> Self {
        self.bytes(&n.to_le_bytes())
    }
    fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_le_bytes())
    }
    fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }
    fn version(self, version: Version) -> Self {
        self.bytes(&version.to_bits().to_le_bytes())
    }
}

/// Reads a body field by field.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
    fn db(&mut self) -> Option<Db> {
        Db::new(self.take::<1>()?[0])
    }
    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
    fn version(&mut self) -> Option<Version> {
        self.take().map(|bits| Version::from_bits(u128::from_le_bytes(bits)))
    }
    fn hello(&mut self) -> Option<Hello<'a>> {
        if self.take::<8>()? != MAGIC {
            return None;
        }
        Some(Hello {
            protocol: self.u16()?,
            cluster: self.u64()?,
            slots: self.u32()?,
            from: NodeId(self.u16()?),
            to: NodeId(self.u16()?),
            incarnation: self.u64()?,
            members: self.rest(),
        })
    }
    fn offer(&mut self) -> Option<(Version, &'a [u8])> {
        let version = self.version()?;
        let size = usize::from(self.u16()?);
        let (key, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some((version, key))
    }
}

#[cfg(test)]
mod tests;
