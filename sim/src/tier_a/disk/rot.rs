//! Bits that flip where nobody looks until the next start.

use quorate::log::Disk as _;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Drive;
use crate::chance::Chance;

impl Drive {
    /// Flips a bit that was synced long ago: in an older segment, a checkpoint, or a frame of the
    /// newest segment that a later one vouches for. Whether there was any.
    pub(in crate::tier_a) fn rot(&mut self, chance: &mut Chance) -> bool {
        let names = self.medium.names().unwrap_or_default();
        let newest = names.iter().filter(|name| name.starts_with("log-")).max();
        let cold = |name: &&String| name.starts_with("log-") || name.starts_with("checkpoint-");
        let cold: Vec<&String> = names.iter().filter(cold).collect();
        if cold.is_empty() {
            return false;
        }
        let name = cold[chance.below(cold.len() as u64) as usize];
        let mut bytes = self.medium.bytes(name).unwrap_or_default().to_vec();
        let size = if Some(name) == newest { vouched_for(&bytes) } else { bytes.len() };
        if size == 0 {
            return false;
        }
        let bit = chance.below(size as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.medium.put(name, &bytes);
        self.rotten = Some((name.clone(), bit));
        true
    }
}

/// How many bytes of a segment stand in frames that the mark of a whole frame covers, by the format
/// that [`quorate::log`] draws.
fn vouched_for(segment: &[u8]) -> usize {
    const HEADER_SIZE: usize = 40;
    let word = |at: usize| Some(u64::from_le_bytes(*segment.get(at..)?.first_chunk()?));
    let Some(seed) = word(HEADER_SIZE - 8) else { return 0 };
    let (mut frames, mut at) = (Vec::new(), HEADER_SIZE);
    while let (Some(checksum), Some(seq), Some(mark)) = (word(at), word(at + 12), word(at + 20)) {
        let Some(size) = segment.get(at + 8..).and_then(<[u8]>::first_chunk) else { break };
        let end = at + 28 + u32::from_le_bytes(*size) as usize;
        let Some(checked) = segment.get(at + 8..end) else { break };
        if xxh3_64_with_seed(checked, seed) != checksum {
            break;
        }
        frames.push((seq, mark, end));
        at = end;
    }
    let mark = frames.iter().map(|(_, mark, _)| *mark).max().unwrap_or(0);
    let covered = frames.iter().filter(|(seq, _, _)| *seq <= mark);
    covered.map(|(_, _, end)| *end).max().unwrap_or(0)
}
