//! Frames to bytes and back.

use super::{
    FRAME_HEAD, Frame, FrameError, FrameStep, MAGIC,
    fields::{Body, Fields},
};

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
                Body::of(out).kind(kind::ACK).u64(generation).u64(pos);
            }
            Self::Begin { generation, pos } => {
                Body::of(out).kind(kind::BEGIN).u64(generation).u64(pos);
            }
            Self::Compare { db, flushed, first, span, digests } => {
                let body = Body::of(out).kind(kind::COMPARE).db(db).version(flushed);
                body.u32(first).u32(span).bytes(digests);
            }
            Self::Copy { record } => {
                Body::of(out).kind(kind::COPY).bytes(record);
            }
            Self::Differ { db, flushed, bits } => {
                Body::of(out).kind(kind::DIFFER).db(db).version(flushed).bytes(bits);
            }
            Self::Flush { pos, db, version } => {
                Body::of(out).kind(kind::FLUSH).u64(pos).db(db).version(version);
            }
            Self::Hello(hello) => {
                let body = Body::of(out).kind(kind::HELLO).bytes(&MAGIC).u16(hello.protocol);
                let body = body.u64(hello.cluster).u32(hello.slots).u16(hello.from.0);
                body.u16(hello.to.0).u64(hello.incarnation).bytes(hello.members);
            }
            Self::Offer { db, entries } => {
                Body::of(out).kind(kind::OFFER).db(db).bytes(entries);
            }
            Self::Ping { wall_ms } => {
                Body::of(out).kind(kind::PING).u64(wall_ms);
            }
            Self::Pong { wall_ms } => {
                Body::of(out).kind(kind::PONG).u64(wall_ms);
            }
            Self::Record { pos, record } => {
                Body::of(out).kind(kind::RECORD).u64(pos).bytes(record);
            }
            Self::Refuse { incarnation, reason } => {
                Body::of(out).kind(kind::REFUSE).u64(incarnation).bytes(reason);
            }
            Self::Want { bits } => {
                Body::of(out).kind(kind::WANT).bytes(bits);
            }
            Self::Welcome { incarnation, generation, pos } => {
                Body::of(out).kind(kind::WELCOME).u64(incarnation).u64(generation).u64(pos);
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
        let mut fields = Fields::of(rest);
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
            kind::PING => Self::Ping { wall_ms: f.u64()? },
            kind::PONG => Self::Pong { wall_ms: f.u64()? },
            kind::RECORD => Self::Record { pos: f.u64()?, record: f.rest() },
            kind::REFUSE => Self::Refuse { incarnation: f.u64()?, reason: f.rest() },
            kind::WANT => Self::Want { bits: f.rest() },
            kind::WELCOME => {
                Self::Welcome { incarnation: f.u64()?, generation: f.u64()?, pos: f.u64()? }
            }
            _ => return None,
        };
        f.is_empty().then_some(frame)
    }
}
