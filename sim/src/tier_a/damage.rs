//! What harms a disk without anybody being told: bits that flip, and writes that go astray. And what
//! the next start must make of it.

use std::collections::BTreeMap;

use quorate::log::{
    self, Disk as _, Home, Mode,
    memory::{MemoryDisk, Stray},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Drive;
use crate::chance::Chance;

const HEADER_SIZE: usize = 40;
const SECTOR_SIZE: u64 = 512;
/// Of so many first writes after a sync a fault waits for one that has a twin.
const TWINS_SOUGHT: u32 = 4;
const SEGMENT: &str = "log-";
const CHECKPOINT: &str = "checkpoint-";

/// A frame of a segment, by the format that [`quorate::log`] draws.
#[derive(Clone, Copy)]
struct Frame {
    start: usize,
    end: usize,
    seq: u64,
    mark: u64,
}

impl Drive {
    /// Flips a bit that was synced long ago: in an older segment, a checkpoint, or a frame of the
    /// newest segment that a later one vouches for. Whether there was any.
    pub(super) fn rot(&mut self, chance: &mut Chance) -> bool {
        let names = data(&self.medium);
        let newest = newest_segment(&names);
        if names.is_empty() {
            return false;
        }
        let name = &names[chance.below(names.len() as u64) as usize];
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

    /// The next write of a segment or a checkpoint goes astray: most often to where one of the last
    /// frames stands. If it is for a twin, one that is as long as an earlier frame lands on that, if there
    /// is one soon.
    pub(super) fn misdirect(&mut self, chance: &mut Chance, twin: bool) {
        let names = data(&self.medium);
        let Some(newest) = newest_segment(&names) else { return };
        let any = &names[chance.below(names.len() as u64) as usize];
        let name = if chance.percent(60) { newest } else { any };
        let bytes = self.medium.bytes(name).unwrap_or_default();
        let frames = if name.starts_with(SEGMENT) { frames(bytes) } else { Vec::new() };
        let recent = frames.len().saturating_sub(if chance.percent(60) { 3 } else { 1000 });
        let sectors = (bytes.len() as u64).div_ceil(SECTOR_SIZE).max(1);
        let sector = chance.below(sectors) * SECTOR_SIZE;
        let frame = match &frames[recent..] {
            [] => None,
            frames => Some(frames[chance.below(frames.len() as u64) as usize].start as u64),
        };
        let offset = if chance.percent(70) { frame.unwrap_or(sector) } else { sector };
        let twins = if twin { TWINS_SOUGHT } else { 0 };
        self.medium.misdirect(Some(Stray { file: name.clone(), offset, twins }));
    }

    /// Whether it is harmed, and no start has found out yet.
    pub(super) fn is_harmed(&self) -> bool {
        self.rotten.is_some() || self.medium.is_astray()
    }

    /// The same, or it will be with its next write.
    pub(super) fn may_be_harmed(&self) -> bool {
        self.is_harmed() || self.medium.is_misdirected()
    }

    /// The same if it were not harmed; nothing if it isn't.
    fn sound(&self) -> Option<MemoryDisk> {
        let mut medium = self.medium.clone();
        medium.set_trouble(None);
        if let Some((name, bit)) = &self.rotten {
            let mut bytes = medium.bytes(name)?.to_vec();
            *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
            medium.put(name, &bytes);
            return Some(medium);
        }
        medium.mend().then_some(medium)
    }

    /// How many entries a start would find if it were not harmed; nothing if it isn't.
    pub(super) fn healthy(&self, home: &Home, wall_ms: u64) -> Option<u64> {
        let mut medium = self.sound()?;
        let mode = Mode::Normal;
        let opened = log::open(&mut medium, home, wall_ms, &mode, &mut |_| {}, &mut |_| {});
        Some(opened.ok()?.report.records)
    }

    /// The fault atlas: what a write that went astray has spoilt must be such that it can be told
    /// from a tail that was never synced. If a start can't find out, there was no such write. Whether
    /// one must find out now.
    pub(super) fn settle_astray(&mut self) -> bool {
        if !self.medium.is_astray() {
            return false;
        }
        let tells = self.sound().is_some_and(|sound| must_tell(&sound, &self.medium));
        if !tells {
            self.medium.mend();
        }
        tells
    }
}

/// The names of segments and checkpoints.
fn data(medium: &MemoryDisk) -> Vec<String> {
    let mut names = medium.clone().names().unwrap_or_default();
    names.retain(|name| name.starts_with(SEGMENT) || name.starts_with(CHECKPOINT));
    names
}

fn newest_segment(names: &[String]) -> Option<&String> {
    names.iter().filter(|name| name.starts_with(SEGMENT)).max()
}

/// The seed of a segment's checksums.
fn seed(segment: &[u8]) -> Option<u64> {
    word(segment, HEADER_SIZE - 8)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The whole frame that begins at a place of a file with this seed.
fn frame_at(segment: &[u8], seed: u64, start: usize) -> Option<Frame> {
    let (checksum, seq) = (word(segment, start)?, word(segment, start + 12)?);
    let mark = word(segment, start + 20)?;
    let size = segment.get(start + 8..)?.first_chunk()?;
    let end = start + 28 + u32::from_le_bytes(*size) as usize;
    let checked = segment.get(start + 8..end)?;
    (xxh3_64_with_seed(checked, seed) == checksum).then_some(Frame { start, end, seq, mark })
}

/// The frames of a segment, up to the first that is not whole.
fn frames(segment: &[u8]) -> Vec<Frame> {
    let Some(seed) = seed(segment) else { return Vec::new() };
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = HEADER_SIZE;
    while let Some(frame) = frame_at(segment, seed, at) {
        at = frame.end;
        frames.push(frame);
    }
    frames
}

/// How many bytes of a segment stand in frames that the mark of a whole frame covers.
fn vouched_for(segment: &[u8]) -> usize {
    let frames = frames(segment);
    let mark = frames.iter().map(|frame| frame.mark).max().unwrap_or(0);
    let covered = frames.iter().filter(|frame| frame.seq <= mark);
    covered.map(|frame| frame.end).max().unwrap_or(0)
}

/// Whether a start with `spoilt` must find out that it should be `sound`: for what is spoilt is read
/// at all, and was synced once as far as what is left can tell.
fn must_tell(sound: &MemoryDisk, spoilt: &MemoryDisk) -> bool {
    let names = data(spoilt);
    let checkpoint = names.iter().filter(|name| name.starts_with(CHECKPOINT)).max();
    let start = checkpoint.and_then(|name| name.strip_prefix(CHECKPOINT)).unwrap_or("");
    let mut files: BTreeMap<&str, &String> = BTreeMap::new();
    for name in &names {
        files.extend(name.strip_prefix(SEGMENT).map(|first| (first, name)));
    }
    let needed = files.range(..=start).next_back().map_or("", |(first, _)| *first);
    let newest = newest_segment(&names);
    let bytes = |name: &String| {
        (sound.bytes(name).unwrap_or_default(), spoilt.bytes(name).unwrap_or_default())
    };
    let is_spoilt = |name: &&String| bytes(name).0 != bytes(name).1;
    if checkpoint.filter(is_spoilt).is_some() {
        return true;
    }
    files.range(needed..).any(|(_, name)| {
        let (sound, spoilt) = bytes(name);
        tells_of_itself(sound, spoilt, Some(*name) != newest)
    })
}

/// The same of one segment, if a mark outside of it vouches for all of it or none does.
fn tells_of_itself(sound: &[u8], spoilt: &[u8], vouched: bool) -> bool {
    let frames = frames(sound);
    let whole = |frame: &&Frame| {
        let start = if frame.start == HEADER_SIZE { 0 } else { frame.start };
        sound.get(start..frame.end) == spoilt.get(start..frame.end)
    };
    let Some(first) = frames.iter().find(|frame| !whole(frame)) else { return false };
    let left = frames.iter().filter(whole).map(|frame| frame.mark);
    // What landed there may be a whole frame, and tell of those before it.
    let seed = seed(sound).unwrap_or_default();
    let landed = frames.iter().filter_map(|frame| frame_at(spoilt, seed, frame.start));
    let landed = landed.map(|frame| frame.mark);
    vouched || left.chain(landed).any(|mark| mark >= first.seq)
}
