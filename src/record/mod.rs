//! The record: one key's state at one version, and the rule by which replicas agree.
//!
//! A replica's table is a set of records merged by highest version. Versions are totally ordered
//! and unique, so merging is commutative, associative and idempotent, and it does not matter in
//! which order, how often or by which path a record arrives. A deletion is a record too, a
//! tombstone.
//!
//! There is ONE shape of a record's bytes, for memory, replication stream, repair, and whatever is
//! stored later:
//! ```text
//!  0       flags       u8   bit 0 tombstone, bit 1 expires, bits 4-5 database, the others zero
//!  1       key size    u16  bytes
//!  3       value size  u32  bytes, 0 for a tombstone
//!  7       expires at  u64  Unix milliseconds, only if bit 1 is set
//!  7 or 15 version     u128
//!  23 / 31 key, then value
//! ```
//! Integers are little-endian. Version and key stand side by side because digests hash the two
//! together.

use std::fmt;

use crate::probe::{Mutant, planted};

mod version;

pub use version::{Ballot, NodeId, Version};

/// The longest key, in bytes: what the record's 16-bit size can say. Redis allows 512 MiB, nobody
/// uses it.
pub const KEY_SIZE_MAX: usize = u16::MAX as usize;
/// The longest value, in bytes: a node holds it whole in memory several times while it travels.
pub const VALUE_SIZE_MAX: usize = 16 * 1024 * 1024;
/// The longest encoded record, in bytes.
pub const RECORD_SIZE_MAX: usize = HEAD_SIZE + EXPIRY_SIZE + KEY_SIZE_MAX + VALUE_SIZE_MAX;

const HEAD_SIZE: usize = 23;
const EXPIRY_SIZE: usize = 8;
const TOMBSTONE: u8 = 1;
const EXPIRES: u8 = 1 << 1;
const DB_SHIFT: u8 = 4;
const DB_MASK: u8 = 0b11 << DB_SHIFT;

/// One of the databases, each a key space of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Db(u8);

impl Db {
    /// How many databases there are.
    pub const COUNT: usize = 3;
    /// Database 0, where a connection starts.
    pub const STRONG: Self = Self(0);
    /// Database 1.
    pub const QUORUM: Self = Self(1);
    /// Database 2.
    pub const EVENTUAL: Self = Self(2);
    /// All databases in order.
    pub const ALL: [Self; Self::COUNT] = [Self::STRONG, Self::QUORUM, Self::EVENTUAL];

    /// The database of a number, if there is one.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The database's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The database as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The database's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "strong",
            1 => "quorum",
            _ => "eventual",
        }
    }
}

/// One key's state at one version, borrowed from wherever its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The database that the key belongs to.
    pub db: Db,
    /// At most [`KEY_SIZE_MAX`] bytes.
    pub key: &'a [u8],
    /// Its place in the order of the key's records.
    pub version: Version,
    /// Unix milliseconds from which on the record reads as absent.
    pub expires_at_ms: Option<u64>,
    /// `None` is a tombstone. At most [`VALUE_SIZE_MAX`] bytes.
    pub value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Which of two states of one key every replica keeps: the newer. This is the whole of conflict
    /// resolution.
    #[must_use]
    pub fn wins_over(&self, held: Version) -> bool {
        self.version > held || planted(Mutant::MergeByArrival)
    }

    /// The value that a reader sees at `wall_ms`: none for a tombstone or an expired record.
    #[must_use]
    pub fn visible(&self, wall_ms: u64) -> Option<&'a [u8]> {
        match self.expires_at_ms {
            Some(deadline) if deadline <= wall_ms => None,
            _ => self.value,
        }
    }

    /// How many bytes [`Record::encode`] writes.
    #[must_use]
    pub const fn encoded_size(&self) -> usize {
        let expiry = if self.expires_at_ms.is_some() { EXPIRY_SIZE } else { 0 };
        let value = match self.value {
            Some(value) => value.len(),
            None => 0,
        };
        HEAD_SIZE + expiry + self.key.len() + value
    }

    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(self.key.len() <= KEY_SIZE_MAX);
        let value = self.value.unwrap_or_default();
        debug_assert!(value.len() <= VALUE_SIZE_MAX);
        let mut flags = self.db.0 << DB_SHIFT;
        if self.value.is_none() {
            flags |= TOMBSTONE;
        }
        if self.expires_at_ms.is_some() {
            flags |= EXPIRES;
        }
        let mut head = [0; 7];
        head[0] = flags;
        head[1..3].copy_from_slice(&(self.key.len() as u16).to_le_bytes());
        head[3..7].copy_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(&head);
        if let Some(deadline) = self.expires_at_ms {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        out.extend_from_slice(&self.version.to_bits().to_le_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(value);
    }

    /// Reads the record that fills `bytes` exactly.
    ///
    /// # Errors
    /// Says what is wrong with bytes that no [`Record::encode`] writes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let parts = Parts::of(bytes).ok_or(RecordError::Short)?;
        let (flags, rest) = (parts.flags, parts.body);
        if flags & !(TOMBSTONE | EXPIRES | DB_MASK) != 0 {
            return Err(RecordError::Flags(flags));
        }
        let db = Db::new((flags & DB_MASK) >> DB_SHIFT).ok_or(RecordError::Flags(flags))?;
        if parts.value_size > VALUE_SIZE_MAX {
            return Err(RecordError::ValueSize(parts.value_size));
        }
        if rest.len() != parts.key_size + parts.value_size {
            return Err(RecordError::Size);
        }
        let (key, value) = rest.split_at(parts.key_size);
        let tombstone = flags & TOMBSTONE != 0;
        if tombstone && !value.is_empty() {
            return Err(RecordError::Size);
        }
        if parts.version == Version::NONE {
            return Err(RecordError::NoVersion);
        }
        let value = if tombstone { None } else { Some(value) };
        Ok(Self { db, key, version: parts.version, expires_at_ms: parts.expires_at_ms, value })
    }
}

/// A record's bytes taken apart without judging them.
struct Parts<'a> {
    flags: u8,
    key_size: usize,
    value_size: usize,
    expires_at_ms: Option<u64>,
    version: Version,
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    #[inline]
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<7>()?;
        let [flags, k0, k1, v0, v1, v2, v3] = *head;
        let (expires_at_ms, rest) = if flags & EXPIRES == 0 {
            (None, rest)
        } else {
            let (deadline, rest) = rest.split_first_chunk::<8>()?;
            (Some(u64::from_le_bytes(*deadline)), rest)
        };
        let (version, body) = rest.split_first_chunk::<16>()?;
        Some(Self {
            flags,
            key_size: usize::from(u16::from_le_bytes([k0, k1])),
            value_size: u32::from_le_bytes([v0, v1, v2, v3]) as usize,
            expires_at_ms,
            version: Version::from_bits(u128::from_le_bytes(*version)),
            body,
        })
    }
}

/// What is wrong with bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Flag bits of a later format, or a database that does not exist.
    Flags(u8),
    /// The version is zero, which no node stamps.
    NoVersion,
    /// Ends within its head.
    Short,
    /// The sizes in the head and the bytes there are disagree.
    Size,
    /// A value over [`VALUE_SIZE_MAX`].
    ValueSize(usize),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) => write!(f, "record flags {flags:#04x} are unknown"),
            Self::NoVersion => write!(f, "record has no version"),
            Self::Short => write!(f, "record ends within its head"),
            Self::Size => write!(f, "record sizes disagree with its bytes"),
            Self::ValueSize(size) => write!(f, "record value of {size} bytes is over the limit"),
        }
    }
}

impl std::error::Error for RecordError {}

/// A record at rest: the one shape, owned, known to be well formed because only [`Blob::of`] makes
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(Box<[u8]>);

impl Blob {
    pub(crate) fn of(record: &Record<'_>) -> Self {
        let mut bytes = Vec::with_capacity(record.encoded_size());
        record.encode(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    /// Becomes `record`, in the memory it has if the size is the same.
    pub(crate) fn replace(&mut self, record: &Record<'_>) {
        if record.encoded_size() != self.0.len() {
            *self = Self::of(record);
            return;
        }
        let mut bytes = std::mem::take(&mut self.0).into_vec();
        bytes.clear();
        record.encode(&mut bytes);
        self.0 = bytes.into_boxed_slice();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        let parts = self.parts();
        parts.body.get(..parts.key_size).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn version(&self) -> Version {
        self.parts().version
    }

    #[inline]
    pub(crate) fn record(&self) -> Record<'_> {
        let parts = self.parts();
        let (key, value) = parts.body.split_at(parts.key_size);
        Record {
            db: Db((parts.flags & DB_MASK) >> DB_SHIFT),
            key,
            version: parts.version,
            expires_at_ms: parts.expires_at_ms,
            value: if parts.flags & TOMBSTONE == 0 { Some(value) } else { None },
        }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.0.first().is_some_and(|flags| flags & TOMBSTONE != 0)
    }

    pub(crate) fn expires(&self) -> bool {
        self.0.first().is_some_and(|flags| flags & EXPIRES != 0)
    }

    /// Version and key, side by side.
    pub(crate) fn version_and_key(&self) -> &[u8] {
        let parts = self.parts();
        let end = self.0.len() - parts.value_size;
        self.0.get(end - parts.key_size - 16..end).unwrap_or_default()
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        Parts::of(&self.0).expect("a blob holds an encoded record")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Record<'a> {
        let version = Version::stamp(77 << 16, NodeId(3), 0x1234);
        Record { db: Db::QUORUM, key, version, expires_at_ms: None, value }
    }

    #[test]
    fn blob_shows_what_it_was_made_of() {
        for expires_at_ms in [None, Some(99)] {
            for value in [None, Some(&b""[..]), Some(b"john")] {
                let made = Record { expires_at_ms, ..record(b"name", value) };
                let mut blob = Blob::of(&made);
                assert_eq!(blob.record(), made);
                assert_eq!(blob.key(), b"name");
                assert_eq!(Record::decode(blob.bytes()), Ok(made));
                let side = [&made.version.to_bits().to_le_bytes()[..], b"name"].concat();
                assert_eq!(blob.version_and_key(), side);
                let other = record(b"name", Some(b"jane"));
                blob.replace(&other);
                assert_eq!(blob.record(), other);
            }
        }
    }

    #[test]
    fn decode_refuses_what_encode_never_writes() {
        let mut good = Vec::new();
        record(b"k", Some(b"v")).encode(&mut good);
        for cut in 0..good.len() {
            assert!(Record::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        let change = |at: usize, to: u8| {
            let mut bad = good.clone();
            bad[at] = to;
            Record::decode(&bad).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(0, 0x80), RecordError::Flags(0x80));
        assert_eq!(change(0, 0x30), RecordError::Flags(0x30));
        assert_eq!(change(0, TOMBSTONE), RecordError::Size);
        assert_eq!(change(1, 9), RecordError::Size);
        assert_eq!(change(6, 0xff), RecordError::ValueSize(0xff00_0001));
        let mut bare = good.clone();
        bare[7..23].fill(0);
        assert_eq!(Record::decode(&bare), Err(RecordError::NoVersion));
    }

    #[test]
    fn expiry_hides_the_value_from_its_deadline_on() {
        let made = Record { expires_at_ms: Some(100), ..record(b"k", Some(b"v")) };
        assert_eq!(made.visible(99), Some(&b"v"[..]));
        assert_eq!(made.visible(100), None);
    }
}
