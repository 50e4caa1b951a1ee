//! Walking the frames of one file, a frame in memory at a time.
//!
//! A walk goes from frame to frame and stops at the first that is not whole and the next in number.
//! From there it can search on for one that is whole. A search may be led on by bytes that look
//! like heads of large frames, so what it checksums has a budget; an honest file never comes near
//! it, because its intact frames don't overlap and noise hardly ever has a plausible number.

use super::{
    disk::{Disk, DiskError},
    frame::{FRAME_HEAD_SIZE, FrameHead, LAST, PAYLOAD_SIZE_MAX, Seq},
    header::Kind,
};
use crate::probe::{Mutant, planted};

/// How much is read at once: enough that a system call costs nothing beside the checksum.
const CHUNK: usize = 256 * 1024;
/// What a search may checksum beyond twice the size of the file.
const BUDGET_MIN: u64 = 1024 * 1024;

/// A place in a file of frames.
#[derive(Debug)]
pub(super) struct Walk<F> {
    kind: Kind,
    file: F,
    /// The file's size when the walk began. What is appended later is not seen.
    size: u64,
    seed: u64,
    /// Where the next frame begins.
    at: u64,
    /// The number that it must have.
    next: Seq,
    /// The bytes of the file from `base` on.
    window: Vec<u8>,
    base: u64,
    /// The last frame that was stepped over.
    frame: (u64, usize),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes that are not the next frame; the walk stays before them.
    Bad,
    /// The file ends behind a whole frame.
    End,
    /// A frame; the walk is behind it.
    Frame(FrameHead),
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// The next step is a frame.
    Found,
    /// There is no frame in the rest of the file.
    Nothing,
    /// Too much looked like a frame.
    TooMuch,
}

impl<F> Walk<F> {
    /// A walk over `file` from `at`, where frame `next` should stand.
    pub(super) const fn new(kind: Kind, file: F, size: u64, at: u64, next: Seq) -> Self {
        let window = Vec::new();
        Self { kind, file, size, seed: 0, at, next, window, base: 0, frame: (0, 0) }
    }

    pub(super) const fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn next(&self) -> Seq {
        self.next
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    pub(super) const fn file(&self) -> &F {
        &self.file
    }

    /// Goes to a place where frame `next` should stand.
    pub(super) const fn go(&mut self, at: u64, next: Seq) {
        self.at = at;
        self.next = next;
    }

    /// Where the frame that was last stepped over begins.
    pub(super) const fn frame_at(&self) -> u64 {
        self.frame.0
    }

    /// The frame that was last stepped over, head and all.
    pub(super) fn frame(&self) -> &[u8] {
        let (at, size) = self.frame;
        let start = at.saturating_sub(self.base) as usize;
        self.window.get(start..start.saturating_add(size)).unwrap_or_default()
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.frame().get(FRAME_HEAD_SIZE..).unwrap_or_default()
    }

    /// The bytes from `at` on, or fewer at the file's end.
    pub(super) fn bytes<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        at: u64,
        len: usize,
    ) -> Result<&[u8], DiskError> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let skip = usize::try_from(at.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        let held = self.window.len().saturating_sub(skip);
        if held >= len && at >= self.base {
            return Ok(self.window.get(skip..skip.saturating_add(len)).unwrap_or_default());
        }
        if at >= self.base && skip <= self.window.len() {
            self.window.drain(..skip);
        } else {
            self.window.clear();
        }
        self.base = at;
        let mut filled = self.window.len();
        self.window.resize(len.max(CHUNK).min(left), 0);
        while let Some(space) = self.window.get_mut(filled..).filter(|space| !space.is_empty()) {
            let read = disk.read(&self.file, at.saturating_add(filled as u64), space)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        self.window.truncate(filled);
        Ok(self.window.get(..len).unwrap_or(&self.window))
    }

    /// Steps over the next frame.
    pub(super) fn step<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Step, DiskError> {
        if self.at >= self.size {
            return Ok(Step::End);
        }
        let at = self.at;
        match self.head(disk, at)? {
            Some(head) if self.is_next(&head) && self.is_intact(disk, at, &head)? => {
                self.frame = (at, head.frame_size());
                self.at = at.saturating_add(head.frame_size() as u64);
                self.next = head.seq.next();
                Ok(Step::Frame(head))
            }
            _ => Ok(Step::Bad),
        }
    }

    /// A whole frame that landed in a wrong place of its own file has another number.
    fn is_next(&self, head: &FrameHead) -> bool {
        head.seq == self.next || planted(Mutant::FrameNumberIgnored)
    }

    /// A whole frame that stands where another should, with a later number: it was meant for a place
    /// further on.
    pub(super) fn astray<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
    ) -> Result<Option<FrameHead>, DiskError> {
        let at = self.at;
        let head = self.head(disk, at)?.filter(|head| head.seq > self.next);
        let intact = match &head {
            Some(head) => self.is_intact(disk, at, head)?,
            None => false,
        };
        Ok(head.filter(|_| intact))
    }

    /// Goes to the next whole frame, from a place where the next frame is bad.
    pub(super) fn search<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<Search, DiskError> {
        let mut budget = self.size.saturating_mul(2).saturating_add(BUDGET_MIN);
        let (start, from) = (self.at, self.next);
        // If only its payload is bad, the frame's own length leads over it, and whatever looks like
        // a frame within a client's value is not met.
        if let Some(head) = self.head(disk, start)? {
            let behind = start.saturating_add(head.frame_size() as u64);
            if let Some(found) = self.try_at(disk, behind, from, &mut budget)? {
                return Ok(found);
            }
        }
        let mut at = start;
        while at < self.size {
            if let Some(found) = self.try_at(disk, at, from, &mut budget)? {
                return Ok(found);
            }
            at += 1;
        }
        Ok(Search::Nothing)
    }

    /// The same, to go on from there. A write that landed in a wrong place may be a whole frame, with
    /// frames of lower numbers behind it: it is left out if nothing follows from it.
    pub(super) fn search_on<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
    ) -> Result<Search, DiskError> {
        let from = self.next;
        let found = self.search(disk)?;
        let (at, seq) = (self.at, self.next);
        if found != Search::Found || seq == from || self.leads_on(disk)? {
            return Ok(found);
        }
        self.go(self.at, from);
        if self.search(disk)? == Search::Found && self.next < seq {
            return Ok(Search::Found);
        }
        self.go(at, seq);
        Ok(Search::Found)
    }

    /// Whether the whole frame before which the walk stands has its successor behind it. If not, the
    /// walk is behind it.
    fn leads_on<D: Disk<File = F>>(&mut self, disk: &mut D) -> Result<bool, DiskError> {
        let (at, seq) = (self.at, self.next);
        if !matches!(self.step(disk)?, Step::Frame(_)) {
            return Ok(false);
        }
        let end = self.at;
        let leads_on = matches!(self.step(disk)?, Step::Frame(_));
        self.go(if leads_on { at } else { end }, seq);
        Ok(leads_on)
    }

    /// Whether a frame stands at `at` whose number is `from` or later.
    fn try_at<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        at: u64,
        from: Seq,
        budget: &mut u64,
    ) -> Result<Option<Search>, DiskError> {
        // The file has no room for the frames in between otherwise.
        let room = self.size / FRAME_HEAD_SIZE as u64;
        let Some(head) = self.head(disk, at)? else { return Ok(None) };
        if head.seq < from || head.seq.0.saturating_sub(from.0) > room {
            return Ok(None);
        }
        match budget.checked_sub(head.frame_size() as u64) {
            Some(left) => *budget = left,
            None => return Ok(Some(Search::TooMuch)),
        }
        if !self.is_intact(disk, at, &head)? {
            return Ok(None);
        }
        self.go(at, head.seq);
        Ok(Some(Search::Found))
    }

    /// The head at `at`, if a frame under it could stand there.
    fn head<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        at: u64,
    ) -> Result<Option<FrameHead>, DiskError> {
        let left = self.size.saturating_sub(at);
        let Some(head) = FrameHead::decode(self.bytes(disk, at, FRAME_HEAD_SIZE)?) else {
            return Ok(None);
        };
        let marked = match self.kind {
            Kind::Checkpoint => head.mark == Seq(0) || head.mark == Seq(LAST),
            Kind::Segment => head.mark <= head.seq,
        };
        let fits = head.size <= PAYLOAD_SIZE_MAX && head.frame_size() as u64 <= left;
        Ok((marked && fits).then_some(head))
    }

    fn is_intact<D: Disk<File = F>>(
        &mut self,
        disk: &mut D,
        at: u64,
        head: &FrameHead,
    ) -> Result<bool, DiskError> {
        let seed = self.seed;
        let frame = self.bytes(disk, at, head.frame_size())?;
        Ok(frame.len() == head.frame_size() && head.is_intact(frame, seed))
    }
}
