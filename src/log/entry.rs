//! Entries: the facts that a log or a checkpoint holds, one after the other.
//!
//! ```text
//!  0  size  u32  bytes of the body
//!  4  kind  u8
//!  5  body       1 record    the record's bytes
//!                2 flush     database u8, stamp u128
//!                3 bound     hybrid logical clock u64
//! ```
//! Integers are little-endian. Records are merged by version, so their order means nothing; for all
//! others it does, and what is replayed is replayed in the order in which it was written.

use std::fmt;

use crate::record::{Db, RECORD_SIZE_MAX, Record, RecordError, Version};

const HEAD_SIZE: usize = 5;
const RECORD: u8 = 1;
const FLUSH: u8 = 2;
const BOUND: u8 = 3;

/// One fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// No stamp above this hybrid logical clock was given by the node before it wrote a higher
    /// bound.
    Bound {
        /// The highest stamp that may have been given.
        hlc: u64,
    },
    /// All records of a database at or below a stamp are dead.
    Flush {
        /// The database.
        db: Db,
        /// The stamp.
        stamp: Version,
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
            Self::Flush { db, stamp } => {
                head(out, 17, FLUSH);
                out.push(db.number());
                out.extend_from_slice(&stamp.to_bits().to_le_bytes());
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
        let entry = match *kind {
            RECORD => Self::Record(Record::decode(body).map_err(EntryError::Record)?),
            FLUSH => {
                let (db, stamp) = body.split_first().ok_or(EntryError::Short)?;
                let db = Db::new(*db).ok_or(EntryError::Database(*db))?;
                let stamp = <[u8; 16]>::try_from(stamp).map_err(|_| EntryError::Size(size))?;
                Self::Flush { db, stamp: Version::from_bits(u128::from_le_bytes(stamp)) }
            }
            BOUND => {
                let hlc = <[u8; 8]>::try_from(body).map_err(|_| EntryError::Size(size))?;
                Self::Bound { hlc: u64::from_le_bytes(hlc) }
            }
            other => return Err(EntryError::Kind(other)),
        };
        *bytes = rest;
        Ok(Some(entry))
    }
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
        let version = Version::stamp(9, NodeId(1), 2);
        let value = Some(&b"john"[..]);
        let record =
            Record { db: Db::EVENTUAL, key: b"name", version, expires_at_ms: Some(7), value };
        let entries = [
            Entry::Bound { hlc: u64::MAX },
            Entry::Record(record),
            Entry::Flush { db: Db::QUORUM, stamp: version },
            Entry::Record(Record { value: None, ..record }),
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
        one[4] = 9;
        assert_eq!(Entry::split_first(&mut &one[..]), Err(EntryError::Kind(9)));
    }
}
