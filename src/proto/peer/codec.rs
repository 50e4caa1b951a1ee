//! Frames to bytes and back.

use super::{
    FRAME_HEAD, Frame, FrameError, FrameStep,
    fields::{Body, Fields},
};
use crate::record::NodeId;

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
    pub(super) const ANSWER: u8 = 15;
    pub(super) const ANSWERS: u8 = 16;
    pub(super) const BACKING: u8 = 17;
    pub(super) const CANVASS: u8 = 18;
    pub(super) const CONFIRM: u8 = 19;
    pub(super) const CONFIRMED: u8 = 20;
    pub(super) const DROP: u8 = 21;
    pub(super) const FETCH: u8 = 22;
    pub(super) const FILL: u8 = 23;
    pub(super) const FORMATION: u8 = 24;
    pub(super) const FORMED: u8 = 25;
    pub(super) const FORWARD: u8 = 26;
    pub(super) const FULL_ANSWERS: u8 = 27;
    pub(super) const LEAD: u8 = 28;
    pub(super) const NACK: u8 = 29;
    pub(super) const PREPARE: u8 = 30;
    pub(super) const PROMISE: u8 = 31;
    pub(super) const PULL: u8 = 32;
    pub(super) const QUERY: u8 = 33;
    pub(super) const QUERY_FULL: u8 = 34;
    pub(super) const RECORDS: u8 = 35;
    pub(super) const SLOT_CLEAN: u8 = 36;
    pub(super) const TRANSFER: u8 = 37;
    pub(super) const VERSIONS: u8 = 38;
    pub(super) const SURVEY: u8 = 39;
    pub(super) const SURVEYED: u8 = 40;
    pub(super) const KNOWN: u8 = 41;
    pub(super) const RECOVER: u8 = 42;
    pub(super) const STATE: u8 = 43;
    pub(super) const FLUSHED: u8 = 44;
    pub(super) const FLUSH_SLOTS: u8 = 45;
    pub(super) const SLOTS_FLUSHED: u8 = 46;
    pub(super) const LOCATE: u8 = 47;
    pub(super) const LOCATED: u8 = 48;
    pub(super) const FLOOR: u8 = 49;
    pub(super) const COLD_START: u8 = 50;
    pub(super) const COLD_STARTING: u8 = 51;
    pub(super) const GATHER: u8 = 52;
    pub(super) const WAITING: u8 = 53;
    pub(super) const TOGETHER: u8 = 54;
    pub(super) const FAREWELL: u8 = 55;
}

impl<'a> Frame<'a> {
    /// Appends the frame's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.encode_body(Body::of(out));
        let size = (out.len() - start - 4) as u32;
        if let Some(head) = out.get_mut(start..start + 4) {
            head.copy_from_slice(&size.to_le_bytes());
        }
    }

    fn encode_body(&self, body: Body<'_>) {
        let body = body.u8(self.kind());
        let _written = match *self {
            Self::Ack { generation, pos } | Self::Begin { generation, pos } => {
                body.u64(generation).u64(pos)
            }
            Self::Answer { id, answer } => body.u64(id).bytes(answer),
            Self::Backing { id, slots } | Self::Canvass { id, slots } => body.u64(id).bytes(slots),
            Self::Compare { db, flushed, first, span, digests } => {
                body.db(db).version(flushed).u32(first).u32(span).bytes(digests)
            }
            Self::Confirm { id, entries } => body.u64(id).bytes(entries),
            Self::Confirmed { id, bits } => body.u64(id).bytes(bits),
            Self::Copy { record } => body.bytes(record),
            Self::Differ { db, flushed, bits } => body.db(db).version(flushed).bytes(bits),
            Self::Drop { pos, version, key } => body.u64(pos).version(version).bytes(key),
            Self::Farewell => body,
            Self::Fetch { ballot, slot, keys } => body.ballot(ballot).u32(slot).bytes(keys),
            Self::Fill { pos, ballot, record } => body.u64(pos).ballot(ballot).bytes(record),
            Self::Flush { pos, db, version } => body.u64(pos).db(db).version(version),
            Self::Formation { births } => body.bytes(births),
            Self::Formed { birth, formed } => body.u64(birth).flag(formed),
            Self::Forward { id, op } => body.u64(id).bytes(op),
            Self::FullAnswers { id, db, records } => body.u64(id).db(db).bytes(records),
            Self::Gather { nonce } | Self::Recover { nonce } => body.u64(nonce),
            Self::Hello(hello) => body.hello(&hello),
            Self::Known { member, incarnation } => body.u16(member.0).u64(incarnation),
            Self::Lead { entries } => body.bytes(entries),
            Self::Nack { ballot, promised, slot } => body.ballot(ballot).ballot(promised).u32(slot),
            Self::Offer { db, entries } => body.db(db).bytes(entries),
            Self::Ping { asked_ms } => body.u64(asked_ms),
            Self::Pong { asked_ms, wall_ms } => body.u64(asked_ms).u64(wall_ms),
            Self::Prepare { id, ballot, slots } => body.u64(id).ballot(ballot).bytes(slots),
            Self::Promise { id, ballot, highest, granted, copied, digests } => body
                .u64(id)
                .ballot(ballot)
                .ballot(highest)
                .sized(granted)
                .sized(copied)
                .bytes(digests),
            Self::Pull { ballot, slot, cursor } => body.ballot(ballot).u32(slot).pair(cursor),
            Self::Query { id, db, keys } | Self::QueryFull { id, db, keys } => {
                body.u64(id).db(db).bytes(keys)
            }
            Self::Record { pos, record } => body.u64(pos).bytes(record),
            Self::Records { ballot, slot, records } => body.ballot(ballot).u32(slot).bytes(records),
            Self::Refuse { incarnation, reason } => body.u64(incarnation).bytes(reason),
            Self::SlotClean { pos, ballot, slot, digest } => {
                body.u64(pos).ballot(ballot).u32(slot).u128(digest)
            }
            Self::State { nonce, first, ballots, digests } => {
                body.u64(nonce).u32(first).sized(ballots).bytes(digests)
            }
            Self::Survey { pos, id, slots, digests } => {
                body.u64(pos).u64(id).sized(slots).bytes(digests)
            }
            Self::Surveyed { id, same, copied } => body.u64(id).sized(same).bytes(copied),
            Self::Transfer { ballot, slots } => body.ballot(ballot).bytes(slots),
            Self::Versions { ballot, slot, from, next, entries } => {
                body.ballot(ballot).u32(slot).pair(from).maybe_pair(next).bytes(entries)
            }
            Self::Want { bits, dead } => body.sized(bits).bytes(dead),
            Self::Welcome { incarnation, generation, pos, wall_ms, birth, formed } => {
                let body = body.u64(incarnation).u64(generation).u64(pos).u64(wall_ms);
                body.u64(birth).flag(formed)
            }
            other => other.encode_more(body),
        };
    }

    /// What databases 1 and 2, clients' rare questions, cold starts and batches add.
    fn encode_more<'v>(self, body: Body<'v>) -> Body<'v> {
        match self {
            Self::Answers { id, db, floor, entries } => {
                body.u64(id).db(db).u64(floor).bytes(entries)
            }
            Self::ColdStart { nonce, births } => body.u64(nonce).bytes(births),
            Self::ColdStarting { nonce, birth, merged } => body.u64(nonce).u64(birth).flag(merged),
            Self::Waiting { why } => body.u8(why),
            Self::Together { pos, records } => body.u64(pos).bytes(records),
            Self::Floor { begins, sound, clock, promised, hlc, lives, row } => {
                let body = body.flag(begins).flag(sound).u64(clock).u64(promised).u64(hlc);
                body.sized(lives).bytes(row)
            }
            Self::FlushSlots { id, slots } => body.u64(id).bytes(slots),
            Self::Flushed { db, version } => body.db(db).version(version),
            Self::Locate { id, db, key } => body.u64(id).db(db).bytes(key),
            Self::Located { id, version, flags } => body.u64(id).version(version).u8(flags),
            Self::SlotsFlushed { id, done, failed } => body.u64(id).sized(done).bytes(failed),
            other => unreachable!("{other:?} is encoded with the others"),
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Ack { .. } => kind::ACK,
            Self::Answer { .. } => kind::ANSWER,
            Self::Answers { .. } => kind::ANSWERS,
            Self::Backing { .. } => kind::BACKING,
            Self::Begin { .. } => kind::BEGIN,
            Self::Canvass { .. } => kind::CANVASS,
            Self::Compare { .. } => kind::COMPARE,
            Self::Confirm { .. } => kind::CONFIRM,
            Self::Confirmed { .. } => kind::CONFIRMED,
            Self::Copy { .. } => kind::COPY,
            Self::Differ { .. } => kind::DIFFER,
            Self::Drop { .. } => kind::DROP,
            Self::Farewell => kind::FAREWELL,
            Self::Fetch { .. } => kind::FETCH,
            Self::Fill { .. } => kind::FILL,
            Self::Floor { .. } => kind::FLOOR,
            Self::Flush { .. } => kind::FLUSH,
            Self::FlushSlots { .. } => kind::FLUSH_SLOTS,
            Self::Flushed { .. } => kind::FLUSHED,
            Self::Formation { .. } => kind::FORMATION,
            Self::Formed { .. } => kind::FORMED,
            Self::Forward { .. } => kind::FORWARD,
            Self::FullAnswers { .. } => kind::FULL_ANSWERS,
            Self::Hello(_) => kind::HELLO,
            Self::Known { .. } => kind::KNOWN,
            Self::Lead { .. } => kind::LEAD,
            Self::Locate { .. } => kind::LOCATE,
            Self::Located { .. } => kind::LOCATED,
            Self::ColdStart { .. } => kind::COLD_START,
            Self::ColdStarting { .. } => kind::COLD_STARTING,
            Self::Gather { .. } => kind::GATHER,
            Self::Waiting { .. } => kind::WAITING,
            Self::Nack { .. } => kind::NACK,
            Self::Offer { .. } => kind::OFFER,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Prepare { .. } => kind::PREPARE,
            Self::Promise { .. } => kind::PROMISE,
            Self::Pull { .. } => kind::PULL,
            Self::Query { .. } => kind::QUERY,
            Self::QueryFull { .. } => kind::QUERY_FULL,
            Self::Record { .. } => kind::RECORD,
            Self::Records { .. } => kind::RECORDS,
            Self::Recover { .. } => kind::RECOVER,
            Self::Refuse { .. } => kind::REFUSE,
            Self::SlotClean { .. } => kind::SLOT_CLEAN,
            Self::SlotsFlushed { .. } => kind::SLOTS_FLUSHED,
            Self::State { .. } => kind::STATE,
            Self::Survey { .. } => kind::SURVEY,
            Self::Surveyed { .. } => kind::SURVEYED,
            Self::Together { .. } => kind::TOGETHER,
            Self::Transfer { .. } => kind::TRANSFER,
            Self::Versions { .. } => kind::VERSIONS,
            Self::Want { .. } => kind::WANT,
            Self::Welcome { .. } => kind::WELCOME,
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
        let mut fields = Fields::of(rest);
        let frame = match kind {
            kind::ACK..=kind::WELCOME => Self::decode_fields(kind, &mut fields),
            kind::ANSWER..=kind::FLOOR => Self::decode_strong_fields(kind, &mut fields),
            kind::COLD_START..=kind::FAREWELL => Self::decode_late_fields(kind, &mut fields),
            other => return Err(FrameError::Kind(other)),
        };
        frame.filter(|_| fields.is_empty()).ok_or(FrameError::Body { kind })
    }

    fn decode_fields(kind: u8, f: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
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
            kind::WANT => Self::Want { bits: f.sized()?, dead: f.rest() },
            kind::WELCOME => Self::Welcome {
                incarnation: f.u64()?,
                generation: f.u64()?,
                pos: f.u64()?,
                wall_ms: f.u64()?,
                birth: f.u64()?,
                formed: f.flag()?,
            },
            _ => return None,
        })
    }

    /// What cold starts, batches and orderly stops add.
    fn decode_late_fields(kind: u8, f: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            kind::COLD_START => Self::ColdStart { nonce: f.u64()?, births: f.rest() },
            kind::COLD_STARTING => {
                Self::ColdStarting { nonce: f.u64()?, birth: f.u64()?, merged: f.flag()? }
            }
            kind::FAREWELL => Self::Farewell,
            kind::GATHER => Self::Gather { nonce: f.u64()? },
            kind::TOGETHER => Self::Together { pos: f.u64()?, records: f.rest() },
            _ => Self::Waiting { why: f.u8()? },
        })
    }

    /// What database 0 adds.
    fn decode_strong_fields(kind: u8, f: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            kind::ANSWER => Self::Answer { id: f.u64()?, answer: f.rest() },
            kind::BACKING => Self::Backing { id: f.u64()?, slots: f.rest() },
            kind::CANVASS => Self::Canvass { id: f.u64()?, slots: f.rest() },
            kind::CONFIRM => Self::Confirm { id: f.u64()?, entries: f.rest() },
            kind::CONFIRMED => Self::Confirmed { id: f.u64()?, bits: f.rest() },
            kind::DROP => Self::Drop { pos: f.u64()?, version: f.version()?, key: f.rest() },
            kind::FETCH => Self::Fetch { ballot: f.ballot()?, slot: f.u32()?, keys: f.rest() },
            kind::FILL => Self::Fill { pos: f.u64()?, ballot: f.ballot()?, record: f.rest() },
            kind::FLUSH_SLOTS => Self::FlushSlots { id: f.u64()?, slots: f.rest() },
            kind::FLUSHED => Self::Flushed { db: f.db()?, version: f.version()? },
            kind::FORMATION => Self::Formation { births: f.rest() },
            kind::FORMED => Self::Formed { birth: f.u64()?, formed: f.flag()? },
            kind::FORWARD => Self::Forward { id: f.u64()?, op: f.rest() },
            kind::FULL_ANSWERS => {
                Self::FullAnswers { id: f.u64()?, db: f.db()?, records: f.rest() }
            }
            kind::LEAD => Self::Lead { entries: f.rest() },
            kind::LOCATE => Self::Locate { id: f.u64()?, db: f.db()?, key: f.rest() },
            kind::LOCATED => Self::Located { id: f.u64()?, version: f.version()?, flags: f.u8()? },
            kind::NACK => Self::Nack { ballot: f.ballot()?, promised: f.ballot()?, slot: f.u32()? },
            kind::PREPARE => Self::Prepare { id: f.u64()?, ballot: f.ballot()?, slots: f.rest() },
            kind::PROMISE => Self::Promise {
                id: f.u64()?,
                ballot: f.ballot()?,
                highest: f.ballot()?,
                granted: f.sized()?,
                copied: f.sized()?,
                digests: f.rest(),
            },
            kind::PULL => Self::Pull { ballot: f.ballot()?, slot: f.u32()?, cursor: f.pair()? },
            kind::QUERY => Self::Query { id: f.u64()?, db: f.db()?, keys: f.rest() },
            kind::QUERY_FULL => Self::QueryFull { id: f.u64()?, db: f.db()?, keys: f.rest() },
            kind::RECORDS => {
                Self::Records { ballot: f.ballot()?, slot: f.u32()?, records: f.rest() }
            }
            kind::SLOT_CLEAN => Self::SlotClean {
                pos: f.u64()?,
                ballot: f.ballot()?,
                slot: f.u32()?,
                digest: f.u128()?,
            },
            kind::KNOWN => Self::Known { member: NodeId(f.u16()?), incarnation: f.u64()? },
            kind::RECOVER => Self::Recover { nonce: f.u64()? },
            kind::SLOTS_FLUSHED => {
                Self::SlotsFlushed { id: f.u64()?, done: f.sized()?, failed: f.rest() }
            }
            kind::STATE => Self::State {
                nonce: f.u64()?,
                first: f.u32()?,
                ballots: f.sized()?,
                digests: f.rest(),
            },
            kind::SURVEY => {
                Self::Survey { pos: f.u64()?, id: f.u64()?, slots: f.sized()?, digests: f.rest() }
            }
            kind::SURVEYED => Self::Surveyed { id: f.u64()?, same: f.sized()?, copied: f.rest() },
            kind::TRANSFER => Self::Transfer { ballot: f.ballot()?, slots: f.rest() },
            kind::VERSIONS => Self::Versions {
                ballot: f.ballot()?,
                slot: f.u32()?,
                from: f.pair()?,
                next: f.maybe_pair()?,
                entries: f.rest(),
            },
            other => return Self::decode_more(other, f),
        })
    }

    /// What databases 1 and 2 add.
    fn decode_more(kind: u8, f: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            kind::ANSWERS => {
                Self::Answers { id: f.u64()?, db: f.db()?, floor: f.u64()?, entries: f.rest() }
            }
            kind::FLOOR => Self::Floor {
                begins: f.flag()?,
                sound: f.flag()?,
                clock: f.u64()?,
                promised: f.u64()?,
                hlc: f.u64()?,
                lives: f.sized()?,
                row: f.rest(),
            },
            _ => return None,
        })
    }
}
