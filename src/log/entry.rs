//! Entries: the facts that a log or a checkpoint holds, one after the other.
//!
//! ```text
//!  0  size  u32  bytes of the body
//!  4  kind  u8
//!  5  body       1 record    the record's bytes
//!                2 flush     database u8, stamp u128
//!                3 bound     hybrid logical clock u64
//!                4 promise   ballot u64, slots
//!                5 drop      database u8, version u128, key
//!                6 copied    0 or 1 u8, slots
//!                7 formed    births u64 each
//!                8 known     member u16, incarnation u64
//!                9 floor     hybrid logical clock u64, lives u64 each
//! ```
//! Integers are little-endian; slots are the bytes of a [`crate::slot::SlotSet`]. Format 1 had the
//! first three kinds. Records are merged by version, so among themselves their order means nothing;
//! for all others it does, and what is replayed is replayed in the order in which it was written: a
//! record, its tombstone and the tombstone's drop in another order would bring the record back.
//!
//! Whether slots exist depends on the cluster, which an entry does not know: whoever replays it
//! looks.

use std::fmt;

use crate::{
    members::MEMBERS_MAX,
    record::{Ballot, Db, KEY_SIZE_MAX, NodeId, RECORD_SIZE_MAX, Record, RecordError, Version},
    slot::SLOT_SET_SIZE_MAX,
};

const HEAD_SIZE: usize = 5;
const RECORD: u8 = 1;
const FLUSH: u8 = 2;
const BOUND: u8 = 3;
const PROMISE: u8 = 4;
const DROP: u8 = 5;
const COPIED: u8 = 6;
const FORMED: u8 = 7;
const KNOWN: u8 = 8;
const FLOOR: u8 = 9;
const BALLOT_SIZE: usize = 8;
const BIRTH_SIZE: usize = 8;
const LIFE_SIZE: usize = 8;
const KNOWN_SIZE: usize = 10;
const VERSION_SIZE: usize = 16;

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// No stamp above this hybrid logical clock was given by the node before it wrote a higher
    /// bound.
    Bound {
        /// The highest stamp that may have been given.
        hlc: u64,
    },
    /// Whether what is held in these slots was copied, and so counts as accepted no more, or was
    /// found to be all accepted.
    Copied {
        /// A [`crate::slot::SlotSet`], of at most [`SLOT_SET_SIZE_MAX`] bytes.
        slots: &'a [u8],
        /// Copied; otherwise accepted.
        set: bool,
    },
    /// A record is there no more, if it is exactly this one: [`crate::store::Store::remove`].
    Drop {
        /// The database.
        db: Db,
        /// At most [`KEY_SIZE_MAX`] bytes.
        key: &'a [u8],
        /// The record's.
        version: Version,
    },
    /// Everything stamped at or below by these lives has been applied by all members, as the last
    /// such entry says. Without lives: this replica may lack some of it.
    Floor {
        /// The hybrid logical clock.
        hlc: u64,
        /// A u64 for each member, in the order of their ids; at most [`MEMBERS_MAX`].
        lives: &'a [u8],
    },
    /// All records of a database at or below a stamp are dead.
    Flush {
        /// The database.
        db: Db,
        /// The stamp.
        stamp: Version,
    },
    /// The cluster is formed, of members whose data directories were born then.
    Formed {
        /// A u64 for each member, in the order of their ids; at most [`MEMBERS_MAX`].
        births: &'a [u8],
    },
    /// A member's lives before this one are over, and it may have forgotten what they acknowledged.
    Known {
        /// Which.
        member: NodeId,
        /// The first that counts.
        incarnation: u64,
    },
    /// Nothing below this ballot is taken in these slots any more.
    Promise {
        /// A higher promise of before still holds.
        ballot: Ballot,
        /// A [`crate::slot::SlotSet`], of at most [`SLOT_SET_SIZE_MAX`] bytes.
        slots: &'a [u8],
    },
    /// One key's state at one version.
    Record(Record<'a>),
}

impl<'a> Entry<'a> {
    /// Appends the entry's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bound { hlc } => {
                head(out, 8, BOUND);
                out.extend_from_slice(&hlc.to_le_bytes());
            }
            Self::Copied { slots, set } => {
                debug_assert!(slots.len() <= SLOT_SET_SIZE_MAX);
                head(out, 1 + slots.len(), COPIED);
                out.push(u8::from(*set));
                out.extend_from_slice(slots);
            }
            Self::Drop { db, key, version } => {
                debug_assert!(key.len() <= KEY_SIZE_MAX);
                head(out, 1 + VERSION_SIZE + key.len(), DROP);
                out.push(db.number());
                out.extend_from_slice(&version.to_bits().to_le_bytes());
                out.extend_from_slice(key);
            }
            Self::Floor { hlc, lives } => {
                debug_assert!(lives.len() <= MEMBERS_MAX * LIFE_SIZE);
                head(out, 8 + lives.len(), FLOOR);
                out.extend_from_slice(&hlc.to_le_bytes());
                out.extend_from_slice(lives);
            }
            Self::Flush { db, stamp } => {
                head(out, 1 + VERSION_SIZE, FLUSH);
                out.push(db.number());
                out.extend_from_slice(&stamp.to_bits().to_le_bytes());
            }
            Self::Formed { births } => {
                debug_assert!(births.len() <= MEMBERS_MAX * BIRTH_SIZE);
                head(out, births.len(), FORMED);
                out.extend_from_slice(births);
            }
            Self::Known { member, incarnation } => {
                head(out, KNOWN_SIZE, KNOWN);
                out.extend_from_slice(&member.0.to_le_bytes());
                out.extend_from_slice(&incarnation.to_le_bytes());
            }
            Self::Promise { ballot, slots } => {
                debug_assert!(slots.len() <= SLOT_SET_SIZE_MAX);
                head(out, BALLOT_SIZE + slots.len(), PROMISE);
                out.extend_from_slice(&ballot.to_bits().to_le_bytes());
                out.extend_from_slice(slots);
            }
            Self::Record(record) => {
                head(out, record.encoded_size(), RECORD);
                record.encode(out);
            }
        }
    }

    /// Appends the entry of a record that is encoded already.
    pub fn encode_record(record: &[u8], out: &mut Vec<u8>) {
        head(out, record.len(), RECORD);
        out.extend_from_slice(record);
    }

    /// Takes the first entry off `bytes`; none at their end.
    ///
    /// # Errors
    /// Says what is wrong with bytes that no [`Entry::encode`] writes.
    pub fn split_first(bytes: &mut &'a [u8]) -> Result<Option<Self>, EntryError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let ([s0, s1, s2, s3, kind], rest) =
            bytes.split_first_chunk::<HEAD_SIZE>().ok_or(EntryError::Short)?;
        let size = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
        if size > RECORD_SIZE_MAX {
            return Err(EntryError::Size(size));
        }
        let (body, rest) = rest.split_at_checked(size).ok_or(EntryError::Short)?;
        let entry = Self::decode(*kind, body)?;
        *bytes = rest;
        Ok(Some(entry))
    }

    /// Whether it says what this replica has promised or knows of itself and its cluster, which is
    /// no part of the data: another cluster must not inherit it.
    #[must_use]
    pub const fn is_of_replica(&self) -> bool {
        match self {
            Self::Copied { .. }
            | Self::Floor { .. }
            | Self::Formed { .. }
            | Self::Known { .. }
            | Self::Promise { .. } => true,
            Self::Bound { .. } | Self::Drop { .. } | Self::Flush { .. } | Self::Record(_) => false,
        }
    }

    fn decode(kind: u8, body: &'a [u8]) -> Result<Self, EntryError> {
        let impossible = EntryError::Size(body.len());
        match kind {
            RECORD => Record::decode(body).map(Self::Record).map_err(EntryError::Record),
            FLUSH => {
                let (db, stamp, rest) = db_and_version(body)?;
                if rest.is_empty() { Ok(Self::Flush { db, stamp }) } else { Err(impossible) }
            }
            BOUND => {
                let hlc = <[u8; 8]>::try_from(body).map_err(|_| impossible)?;
                Ok(Self::Bound { hlc: u64::from_le_bytes(hlc) })
            }
            PROMISE => {
                let (ballot, slots) =
                    body.split_first_chunk::<BALLOT_SIZE>().ok_or(EntryError::Short)?;
                let ballot = Ballot::from_bits(u64::from_le_bytes(*ballot));
                let fits = slots.len() <= SLOT_SET_SIZE_MAX;
                if fits { Ok(Self::Promise { ballot, slots }) } else { Err(impossible) }
            }
            DROP => {
                let (db, version, key) = db_and_version(body)?;
                let fits = key.len() <= KEY_SIZE_MAX;
                if fits { Ok(Self::Drop { db, key, version }) } else { Err(impossible) }
            }
            COPIED => {
                let (set, slots) = body.split_first().ok_or(EntryError::Short)?;
                if slots.len() > SLOT_SET_SIZE_MAX {
                    return Err(impossible);
                }
                match set {
                    0 | 1 => Ok(Self::Copied { slots, set: *set == 1 }),
                    other => Err(EntryError::Flag(*other)),
                }
            }
            FORMED => {
                let fits = body.len() <= MEMBERS_MAX * BIRTH_SIZE;
                let whole = fits && body.len().is_multiple_of(BIRTH_SIZE);
                if whole { Ok(Self::Formed { births: body }) } else { Err(impossible) }
            }
            KNOWN => {
                let (member, rest) = body.split_first_chunk::<2>().ok_or(EntryError::Short)?;
                let incarnation = <[u8; 8]>::try_from(rest).map_err(|_| impossible)?;
                let member = NodeId(u16::from_le_bytes(*member));
                Ok(Self::Known { member, incarnation: u64::from_le_bytes(incarnation) })
            }
            FLOOR => {
                let (hlc, lives) = body.split_first_chunk::<8>().ok_or(EntryError::Short)?;
                let fits = lives.len() <= MEMBERS_MAX * LIFE_SIZE;
                let whole = fits && lives.len().is_multiple_of(LIFE_SIZE);
                let hlc = u64::from_le_bytes(*hlc);
                if whole { Ok(Self::Floor { hlc, lives }) } else { Err(impossible) }
            }
            other => Err(EntryError::Kind(other)),
        }
    }
}

fn db_and_version(body: &[u8]) -> Result<(Db, Version, &[u8]), EntryError> {
    let (db, rest) = body.split_first().ok_or(EntryError::Short)?;
    let db = Db::new(*db).ok_or(EntryError::Database(*db))?;
    let (version, rest) = rest.split_first_chunk::<VERSION_SIZE>().ok_or(EntryError::Short)?;
    Ok((db, Version::from_bits(u128::from_le_bytes(*version)), rest))
}

fn head(out: &mut Vec<u8>, size: usize, kind: u8) {
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.push(kind);
}

/// What is wrong with bytes that should be an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// There is no such database.
    Database(u8),
    /// Neither yes nor no.
    Flag(u8),
    /// There is no such kind, in this version of the format.
    Kind(u8),
    /// The record in it is malformed.
    Record(RecordError),
    /// It ends too early.
    Short,
    /// No entry of its kind has this size.
    Size(usize),
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(number) => write!(f, "entry about database {number}, which is none"),
            Self::Flag(flag) => write!(f, "entry with a {flag} where only 0 or 1 can be"),
            Self::Kind(kind) => write!(f, "entry of the unknown kind {kind}"),
            Self::Record(error) => error.fmt(f),
            Self::Short => write!(f, "entry ends too early"),
            Self::Size(size) => write!(f, "entry of the impossible size {size}"),
        }
    }
}

impl std::error::Error for EntryError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NodeId;

    #[test]
    fn entries_come_back_in_order_and_cut_ones_are_refused() {
        let ballot = Ballot::new(7, NodeId(2));
        let version = Version::stamp(9, NodeId(1), 2);
        let value = Some(&b"john"[..]);
        let record =
            Record { db: Db::EVENTUAL, key: b"name", version, expires_at_ms: Some(7), value };
        let entries = [
            Entry::Bound { hlc: u64::MAX },
            Entry::Record(record),
            Entry::Flush { db: Db::QUORUM, stamp: version },
            Entry::Record(Record { value: None, ..record }),
            Entry::Promise { ballot, slots: &[1, 0, 0x80] },
            Entry::Promise { ballot: Ballot::NONE, slots: &[] },
            Entry::Drop { db: Db::STRONG, key: b"name", version: Version::accepted(ballot, 3) },
            Entry::Drop { db: Db::EVENTUAL, key: b"", version },
            Entry::Copied { slots: &[0xff; SLOT_SET_SIZE_MAX], set: true },
            Entry::Copied { slots: &[], set: false },
            Entry::Formed { births: &[7; 3 * BIRTH_SIZE] },
            Entry::Known { member: NodeId(2), incarnation: 7 },
            Entry::Floor { hlc: 9, lives: &[7; 3 * LIFE_SIZE] },
            Entry::Floor { hlc: 0, lives: &[] },
            Entry::Formed { births: &[] },
        ];
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        let mut rest = &bytes[..];
        for entry in entries {
            assert_eq!(Entry::split_first(&mut rest), Ok(Some(entry)));
        }
        assert_eq!(Entry::split_first(&mut rest), Ok(None));

        let mut one = Vec::new();
        entries[1].encode(&mut one);
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        let mut same = Vec::new();
        Entry::encode_record(&encoded, &mut same);
        assert_eq!(one, same);
        for cut in 1..one.len() {
            assert!(Entry::split_first(&mut &one[..cut]).is_err(), "cut at {cut}");
        }
        one[4] = 10;
        assert_eq!(Entry::split_first(&mut &one[..]), Err(EntryError::Kind(10)));
        for entry in entries {
            let mut whole = Vec::new();
            entry.encode(&mut whole);
            for cut in 1..whole.len() {
                assert!(Entry::split_first(&mut &whole[..cut]).is_err(), "{entry:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_no_entry_says_is_refused() {
        let refused = |kind: u8, body: &[u8]| {
            let mut bytes = Vec::new();
            head(&mut bytes, body.len(), kind);
            bytes.extend_from_slice(body);
            Entry::split_first(&mut &bytes[..]).map(|_| ()).unwrap_err()
        };
        let short = EntryError::Short;
        let size = EntryError::Size;
        assert_eq!(refused(BOUND, &[0; 7]), size(7));
        assert_eq!(refused(FLUSH, &[0; 18]), size(18));
        assert_eq!(refused(FLUSH, &[0; 16]), short);
        assert_eq!(refused(FLUSH, &[3; 17]), EntryError::Database(3));
        assert_eq!(refused(PROMISE, &[0; 7]), short);
        let over = BALLOT_SIZE + SLOT_SET_SIZE_MAX + 1;
        assert_eq!(refused(PROMISE, &vec![0; over]), size(over));
        assert_eq!(refused(DROP, &[0; 16]), short);
        assert_eq!(refused(DROP, &[3; 20]), EntryError::Database(3));
        let over = 1 + VERSION_SIZE + KEY_SIZE_MAX + 1;
        assert_eq!(refused(DROP, &vec![0; over]), size(over));
        assert_eq!(refused(COPIED, &[]), short);
        assert_eq!(refused(COPIED, &[2, 1]), EntryError::Flag(2));
        let over = 1 + SLOT_SET_SIZE_MAX + 1;
        assert_eq!(refused(COPIED, &vec![0; over]), size(over));
        assert_eq!(refused(FORMED, &[0; 9]), size(9));
        let over = (MEMBERS_MAX + 1) * BIRTH_SIZE;
        assert_eq!(refused(FORMED, &vec![0; over]), size(over));
        assert_eq!(refused(0, &[]), EntryError::Kind(0));
        assert_eq!(refused(KNOWN, &[0]), short);
        assert_eq!(refused(KNOWN, &[0; 11]), size(11));
        assert_eq!(refused(FLOOR, &[0; 7]), short);
        assert_eq!(refused(FLOOR, &[0; 17]), size(17));
        let over = 8 + (MEMBERS_MAX + 1) * LIFE_SIZE;
        assert_eq!(refused(FLOOR, &vec![0; over]), size(over));
        assert_eq!(refused(10, &[]), EntryError::Kind(10));
    }
}
