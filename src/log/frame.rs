//! Frames: one batch of entries, with the checksum that says whether it is whole.
//!
//! ```text
//!  0  checksum  u64  xxh3 of all that follows, seeded with the header's checksum
//!  8  size      u32  bytes of the payload
//! 12  seq       u64  one more than that of the frame before it
//! 20  mark      u64  log: the highest seq known synced when this frame was written
//!                    checkpoint: 0; all bits set in the last frame
//! 28  payload
//! ```
//! Integers are little-endian. The seed keeps frames of other files from passing. A log frame
//! without payload whose mark is its own seq is the end of a clean shutdown: nothing before it can
//! be missing, it alone may. The payload of a checkpoint's last frame says how many frames and
//! entries came before (two u64).

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The largest payload, in bytes. A reader holds a frame whole in memory, and a writer its batch;
/// the largest record must fit several times over.
pub const PAYLOAD_SIZE_MAX: usize = 128 * 1024 * 1024;

pub(super) const FRAME_HEAD_SIZE: usize = 28;
/// The mark of a checkpoint's last frame.
pub(super) const LAST: u64 = u64::MAX;
const CHECKSUM_SIZE: usize = 8;

/// A frame's number in the log. The first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) checksum: u64,
    pub(super) size: usize,
    pub(super) seq: Seq,
    pub(super) mark: Seq,
}

impl FrameHead {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (mark, _) = rest.split_first_chunk()?;
        Some(Self {
            checksum: u64::from_le_bytes(*checksum),
            size: u32::from_le_bytes(*size) as usize,
            seq: Seq(u64::from_le_bytes(*seq)),
            mark: Seq(u64::from_le_bytes(*mark)),
        })
    }

    /// Bytes of head and payload.
    pub(super) const fn frame_size(&self) -> usize {
        FRAME_HEAD_SIZE + self.size
    }

    /// Whether `frame` is what was written under this head.
    pub(super) fn is_intact(&self, frame: &[u8], seed: u64) -> bool {
        let checked = frame.get(CHECKSUM_SIZE..).unwrap_or_default();
        xxh3_64_with_seed(checked, seed) == self.checksum
    }

    /// Whether it ends a clean shutdown.
    pub(super) fn is_clean_end(&self) -> bool {
        self.size == 0 && self.mark == self.seq
    }
}

/// Makes `out` one frame.
///
/// # Panics
/// If the payload is over [`PAYLOAD_SIZE_MAX`].
pub(super) fn encode_frame(seed: u64, seq: Seq, mark: Seq, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= PAYLOAD_SIZE_MAX, "batches are bounded where they are gathered");
    out.clear();
    out.extend_from_slice(&[0; CHECKSUM_SIZE]);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&seq.0.to_le_bytes());
    out.extend_from_slice(&mark.0.to_le_bytes());
    out.extend_from_slice(payload);
    let checksum = xxh3_64_with_seed(out.get(CHECKSUM_SIZE..).unwrap_or_default(), seed);
    if let Some(place) = out.first_chunk_mut() {
        *place = checksum.to_le_bytes();
    }
}
