//! What a log segment or a checkpoint is called, and the header that it begins with.
//!
//! ```text
//!  0  magic     8 bytes  "quoralog" or "quorachk"
//!  8  version   u16      of the format; the header has this shape in all versions
//! 10  node      u16
//! 12  slots     u32
//! 16  cluster   u64      zero, like node and slots, in a backup, which is nobody's yet
//! 24  first     u64      the first frame, or the first log frame that a checkpoint lacks
//! 32  checksum  u64      xxh3 of the above, and the seed of the checksums of all frames
//! 40  frames
//! ```
//! Integers are little-endian. The header follows from the file's name and its owner, so even below
//! a broken one the frames can be told from noise.

use xxhash_rust::xxh3::xxh3_64;

use super::frame::Seq;
use crate::record::NodeId;

pub(super) const HEADER_SIZE: usize = 40;
/// The format that is written. Those from [`FORMAT_OLDEST`] on are read.
///
/// 1: records, flushes and bounds.
/// 2: promises, drops, copied slots, the formation; the identity has a birth.
pub(super) const FORMAT: u16 = 2;
/// The oldest format that is read.
pub(super) const FORMAT_OLDEST: u16 = 1;
/// A checkpoint before it is complete.
pub(super) const UNFINISHED: &str = "checkpoint.tmp";
const CHECKED: usize = 32;

/// Whose files these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's id.
    pub cluster: u64,
    /// The node.
    pub node: NodeId,
    /// How many slots the cluster has.
    pub slots: u32,
}

impl Owner {
    /// Stands in a backup: whoever opens it first owns it.
    pub const NOBODY: Self = Self { cluster: 0, node: NodeId(0), slots: 0 };
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    Segment,
}

impl Kind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Checkpoint => *b"quorachk",
            Self::Segment => *b"quoralog",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint-",
            Self::Segment => "log-",
        }
    }

    pub(super) fn name(self, first: Seq) -> String {
        format!("{}{:016x}", self.prefix(), first.0)
    }

    /// The kind of a file and its place, if it is one of ours by name.
    pub(super) fn of(name: &str) -> Option<(Self, Seq)> {
        [Self::Checkpoint, Self::Segment].into_iter().find_map(|kind| {
            let digits = name.strip_prefix(kind.prefix())?;
            let first = Seq(u64::from_str_radix(digits, 16).ok()?);
            (first > Seq(0) && kind.name(first) == name).then_some((kind, first))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) version: u16,
    pub(super) owner: Owner,
    pub(super) first: Seq,
}

impl Header {
    pub(super) const fn new(kind: Kind, owner: Owner, first: Seq) -> Self {
        Self { kind, version: FORMAT, owner, first }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_SIZE);
        out.extend_from_slice(&self.kind.magic());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.owner.node.0.to_le_bytes());
        out.extend_from_slice(&self.owner.slots.to_le_bytes());
        out.extend_from_slice(&self.owner.cluster.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        debug_assert_eq!(out.len(), CHECKED);
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// Reads a header of `kind`; none if it is damaged.
    pub(super) fn decode(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let (checked, rest) = bytes.split_first_chunk::<CHECKED>()?;
        if stored_seed(rest)? != xxh3_64(checked) {
            return None;
        }
        let rest = checked.strip_prefix(&kind.magic())?;
        let (version, rest) = rest.split_first_chunk()?;
        let (node, rest) = rest.split_first_chunk()?;
        let (slots, rest) = rest.split_first_chunk()?;
        let (cluster, rest) = rest.split_first_chunk()?;
        let (first, _) = rest.split_first_chunk()?;
        let owner = Owner {
            cluster: u64::from_le_bytes(*cluster),
            node: NodeId(u16::from_le_bytes(*node)),
            slots: u32::from_le_bytes(*slots),
        };
        let version = u16::from_le_bytes(*version);
        Some(Self { kind, version, owner, first: Seq(u64::from_le_bytes(*first)) })
    }

    /// What the checksums of the file's frames begin with.
    pub(super) fn seed(&self) -> u64 {
        let bytes = self.encode();
        bytes.get(CHECKED..).and_then(stored_seed).unwrap_or_default()
    }
}

/// The seed that stands at the end of a header.
fn stored_seed(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The seeds that the frames of a file with a broken header may have: that of the header's own
/// checksum, which may be whole, and those of the headers that could have stood there.
pub(super) fn seeds(kind: Kind, owner: Owner, first: Seq, bytes: &[u8]) -> Vec<u64> {
    let owners = [owner, Owner::NOBODY].into_iter();
    let headers = owners.flat_map(|owner| {
        let newest_first = (FORMAT_OLDEST..=FORMAT).rev();
        newest_first.map(move |version| Header { kind, version, owner, first })
    });
    let stored = bytes.get(CHECKED..).and_then(stored_seed);
    headers.map(|header| header.seed()).chain(stored).collect()
}
