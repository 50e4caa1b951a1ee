//! The survey: walks checkpoint and log once, shows every entry, and says what it found.
//!
//! Recovery, repair and `verify` are this one walk; they differ in what they do with the findings.
//! Whether a bad frame is damage or the torn end of the log is decided here and nowhere else:
//!
//! ```text
//!   frame  1   2   3   4   x   6   7      bad frame 5 in the last segment
//!   mark   0   0   2   2       2   4   -> no mark reaches 5: never vouched for; cut before it
//!   mark   0   0   2   2       2   5   -> frame 7 says 5 was synced: damage
//! ```
//!
//! In any other segment each bad frame is damage, because the next segment's name is a mark.

use std::fmt;

use super::{
    disk::{Disk, DiskError},
    entry::{Entry, EntryError},
    frame::{FrameHead, LAST, Seq},
    header::{FORMAT, FORMAT_OLDEST, HEADER_SIZE, Header, Kind, Owner, seeds},
    walk::{Search, Step, Walk},
};
use crate::probe::{Mutant, planted};

/// Findings beyond this many are only counted: a file of noise has as many as it has bytes.
const FINDINGS_MAX: usize = 100;
/// Progress is told each time this many bytes were read.
const PROGRESS_STEP: u64 = 1024 * 1024;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which file.
    pub file: String,
    /// How many bytes into it.
    pub offset: u64,
    /// Which frame should be there.
    pub seq: Seq,
    /// What it is.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, seq, fault } = self;
        if *seq == Seq(0) {
            write!(f, "{file}: {fault}")
        } else {
            write!(f, "{file}, byte {offset}, frame {seq}: {fault}")
        }
    }
}

/// What can be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "found is what the file says, ours what the node is")]
pub enum Fault {
    /// The bytes are not the frame that was written there.
    Bad,
    /// The file belongs to another cluster.
    Cluster { found: String, ours: String },
    /// A frame is whole, but what it holds is no entry.
    Entry(EntryError),
    /// The file was written in another format.
    Format { found: u16, known: u16 },
    /// The segment does not begin where the one before it ends.
    Gap { expected: Seq },
    /// The identity is unreadable.
    Identity,
    /// There are files, but no word on whose they are.
    NoIdentity,
    /// The file belongs to another node.
    Node { found: String, ours: String },
    /// The file was another one before somebody renamed it.
    Renamed { found: Seq },
    /// The cluster had another number of slots.
    Slots { found: u32, ours: u32 },
    /// So much looks like a frame that the search for the next one was given up.
    TooMuch,
    /// The checkpoint does not end as a complete one does.
    Unended,
}

impl Fault {
    /// Whether a repair can do something about it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Bad
            | Self::Gap { .. }
            | Self::Identity
            | Self::NoIdentity
            | Self::Renamed { .. }
            | Self::TooMuch
            | Self::Unended => true,
            Self::Cluster { .. }
            | Self::Entry(_)
            | Self::Format { .. }
            | Self::Node { .. }
            | Self::Slots { .. } => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad => write!(f, "damaged: not the bytes that were written"),
            Self::Cluster { found, ours } => write!(f, "of cluster {found}; this is {ours}"),
            Self::Entry(error) => write!(f, "intact, but {error}; a newer version wrote it?"),
            Self::Format { found, known } => {
                let known = format!("formats {FORMAT_OLDEST} to {known}");
                write!(f, "in format {found}; this version of quorate reads {known}")
            }
            Self::Gap { expected } => write!(f, "the log is missing from frame {expected} on"),
            Self::Identity => write!(f, "damaged: not what was written"),
            Self::NoIdentity => write!(f, "missing, and it says whose the other files are"),
            Self::Node { found, ours } => write!(f, "of node {found}; this is {ours}"),
            Self::Renamed { found } => write!(f, "the file of frame {found} under a wrong name"),
            Self::Slots { found, ours } => {
                write!(f, "of a cluster with {found} slots; this one has {ours}")
            }
            Self::TooMuch => write!(f, "damaged, and too much behind it looks like a frame"),
            Self::Unended => write!(f, "damaged: the end of the checkpoint is missing"),
        }
    }
}

/// The end of the log that was never vouched for, and is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// In which file.
    pub file: String,
    /// What stays of it.
    pub offset: u64,
    /// What is cut off.
    pub bytes: u64,
    /// The first frame that is gone.
    pub seq: Seq,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Of these many.
    pub bytes_total: u64,
    /// Entries shown.
    pub records: u64,
}

/// Where a survey shows entries. It has the disk, to write them elsewhere on it.
pub(super) type Visit<'a, D> = dyn FnMut(&mut D, Entry<'_>) -> Result<(), DiskError> + 'a;

/// What is to be walked.
#[derive(Debug)]
pub(super) struct Files<F> {
    /// Entries that the newest checkpoint covers are shown too.
    pub(super) all: bool,
    pub(super) checkpoints: Vec<Source<F>>,
    pub(super) segments: Vec<Source<F>>,
}

#[derive(Debug)]
pub(super) struct Source<F> {
    pub(super) first: Seq,
    /// Opened already, so that it may lose its name.
    pub(super) file: Option<F>,
}

impl<F> Files<F> {
    /// The newest checkpoint and the segments behind it; or everything there is.
    pub(super) fn of(names: &[String], all: bool) -> Self {
        let of = |wanted, from: Seq| {
            let ours = names.iter().filter_map(|name| Kind::of(name));
            let firsts = ours.filter(|(kind, first)| *kind == wanted && *first >= from);
            let mut firsts: Vec<Seq> = firsts.map(|(_, first)| first).collect();
            firsts.sort_unstable();
            firsts
        };
        let source = |first| Source { first, file: None };
        let mut checkpoints = of(Kind::Checkpoint, Seq(0));
        let mut segments = of(Kind::Segment, Seq(0));
        if !all {
            checkpoints = checkpoints.split_off(checkpoints.len().saturating_sub(1));
            let start = checkpoints.last().copied().unwrap_or(Seq(1));
            let needed = segments.partition_point(|first| *first <= start).saturating_sub(1);
            segments = segments.split_off(needed);
        }
        let checkpoints = checkpoints.into_iter().map(source).collect();
        let segments = segments.into_iter().map(source).collect();
        Self { all, checkpoints, segments }
    }
}

/// What a survey found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) findings: Vec<Finding>,
    pub(super) findings_more: u64,
    pub(super) cut: Option<Cut>,
    /// Where the checkpoint ends and the log begins to count; 1 without a checkpoint.
    pub(super) start: Seq,
    /// The frame that comes next.
    pub(super) next: Seq,
    /// The frame after the last in the log, which may lack frames that the checkpoint covers.
    pub(super) end: Seq,
    /// The highest frame known to be synced.
    pub(super) mark: Seq,
    /// The last segment.
    pub(super) last: Option<Seq>,
    pub(super) clean: bool,
    pub(super) frames: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Survey {
    /// Walks `files` of `owner`. Frames that the newest checkpoint covers are checked but not
    /// shown, unless all files are to be salvaged.
    pub(super) fn run<D: Disk>(
        disk: &mut D,
        owner: Owner,
        files: &mut Files<D::File>,
        visit: &mut Visit<'_, D>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, DiskError> {
        let start = files.checkpoints.last().map_or(Seq(1), |checkpoint| checkpoint.first);
        let shown_from = if files.all { Seq(0) } else { start };
        let found = Self { start, next: start, ..Self::default() };
        let told = Progress::default();
        let mut surveyor = Surveyor { disk, owner, shown_from, visit, progress, told, found };
        surveyor.measure(files)?;
        for source in &mut files.checkpoints {
            surveyor.checkpoint(source)?;
        }
        let firsts: Vec<Seq> = files.segments.iter().map(|source| source.first).collect();
        for (index, source) in files.segments.iter_mut().enumerate() {
            surveyor.segment(source, index == 0, firsts.get(index + 1).copied())?;
        }
        surveyor.tell(true);
        let mut found = surveyor.found;
        found.end = found.next;
        found.next = found.next.max(start);
        Ok(found)
    }

    /// The first finding that only another binary or another directory can do something about.
    pub(super) fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| !finding.fault.is_damage())
    }
}

/// Up to where a frame says that the log is synced. The end of a clean shutdown names itself before
/// it is synced, and that sync may have failed.
fn vouched(head: &FrameHead) -> Seq {
    if head.is_clean_end() && !planted(Mutant::CleanMarkKept) {
        head.seq.previous()
    } else {
        head.mark
    }
}

struct Surveyor<'a, 'b, D: Disk> {
    disk: &'a mut D,
    owner: Owner,
    /// Entries of earlier log frames are not shown.
    shown_from: Seq,
    visit: &'a mut Visit<'b, D>,
    progress: &'a mut dyn FnMut(Progress),
    told: Progress,
    found: Survey,
}

impl<D: Disk> Surveyor<'_, '_, D> {
    /// Opens what is not open yet only to learn its size: thousands of segments must not need
    /// thousands of open files.
    fn measure(&mut self, files: &Files<D::File>) -> Result<(), DiskError> {
        let sources = [(Kind::Checkpoint, &files.checkpoints), (Kind::Segment, &files.segments)];
        for (kind, sources) in sources {
            for source in sources {
                let size = match &source.file {
                    Some(file) => self.disk.size(file)?,
                    None => {
                        let file = self.disk.open(&kind.name(source.first))?;
                        self.disk.size(&file)?
                    }
                };
                self.told.bytes_total = self.told.bytes_total.saturating_add(size);
            }
        }
        Ok(())
    }

    /// Begins to walk a file. The walk stands before the first frame, or at the very start if the
    /// header is bad; there is none if the file is not ours to read.
    fn begin(
        &mut self,
        kind: Kind,
        source: &mut Source<D::File>,
        next: Seq,
    ) -> Result<Option<Walk<D::File>>, DiskError> {
        let first = source.first;
        let file = match source.file.take() {
            Some(file) => file,
            None => self.disk.open(&kind.name(first))?,
        };
        let size = self.disk.size(&file)?;
        let mut walk = Walk::new(kind, file, size, 0, next);
        let bytes = walk.bytes(self.disk, 0, HEADER_SIZE)?;
        let Some(header) = Header::decode(kind, bytes) else {
            self.guess_seed(kind, first, &mut walk, true)?;
            return Ok(Some(walk));
        };
        if let Some(fault) = self.refusal(&header) {
            self.find(kind, first, 0, Seq(0), fault);
            return Ok(None);
        }
        if header.first != first {
            // Somebody renamed it; or the header of another file landed in this one, and all frames
            // stand behind it.
            self.find(kind, first, 0, next, Fault::Renamed { found: header.first });
            let own = self.guess_seed(kind, first, &mut walk, false)?;
            walk.go(HEADER_SIZE as u64, next);
            return Ok(own.then_some(walk));
        }
        walk.set_seed(header.seed());
        walk.go(HEADER_SIZE as u64, next);
        Ok(Some(walk))
    }

    /// Takes the seed under which the first frame is whole, if one is: of those that the file may have
    /// by its name, or what is left of its header.
    fn guess_seed(
        &mut self,
        kind: Kind,
        first: Seq,
        walk: &mut Walk<D::File>,
        stored: bool,
    ) -> Result<bool, DiskError> {
        let bytes = walk.bytes(self.disk, 0, HEADER_SIZE)?;
        let seeds = seeds(kind, self.owner, first, if stored { bytes } else { &[] });
        let (next, mut found) = (walk.next(), false);
        for seed in seeds.iter().copied().chain(seeds.first().copied()) {
            walk.set_seed(seed);
            walk.go(HEADER_SIZE as u64, next);
            found = matches!(walk.step(self.disk)?, Step::Frame(_));
            if found {
                break;
            }
        }
        walk.go(0, next);
        Ok(found)
    }

    fn refusal(&self, header: &Header) -> Option<Fault> {
        let (found, ours) = (header.owner, self.owner);
        if !(FORMAT_OLDEST..=FORMAT).contains(&header.version) {
            return Some(Fault::Format { found: header.version, known: FORMAT });
        }
        if found == ours || (header.kind == Kind::Checkpoint && found == Owner::NOBODY) {
            return None;
        }
        if found.cluster != ours.cluster {
            let [found, ours] = [found, ours].map(|owner| format!("{:016x}", owner.cluster));
            return Some(Fault::Cluster { found, ours });
        }
        if found.node != ours.node {
            let [found, ours] = [found, ours].map(|owner| owner.node.to_string());
            return Some(Fault::Node { found, ours });
        }
        Some(Fault::Slots { found: found.slots, ours: ours.slots })
    }

    fn checkpoint(&mut self, source: &mut Source<D::File>) -> Result<(), DiskError> {
        let (kind, first) = (Kind::Checkpoint, source.first);
        let Some(mut walk) = self.begin(kind, source, Seq(1))? else { return Ok(()) };
        let (mut entries, mut ended) = (0, false);
        loop {
            match walk.step(self.disk)? {
                Step::Frame(head) if head.mark == Seq(LAST) => {
                    let counts = [head.seq.0 - 1, entries].map(u64::to_le_bytes).concat();
                    ended = walk.payload() == counts && walk.at() == walk.size();
                    self.pass(&walk, &head);
                }
                Step::Frame(head) => {
                    ended = false;
                    self.pass(&walk, &head);
                    entries += self.show(kind, first, &walk, &head)?;
                }
                Step::End => break,
                Step::Bad => {
                    ended = true;
                    self.find(kind, first, walk.at(), walk.next(), Fault::Bad);
                    if !self.resume(kind, first, &mut walk)? {
                        break;
                    }
                }
            }
        }
        if !ended {
            self.find(kind, first, walk.at(), walk.next(), Fault::Unended);
        }
        Ok(())
    }

    fn segment(
        &mut self,
        source: &mut Source<D::File>,
        is_first: bool,
        until: Option<Seq>,
    ) -> Result<(), DiskError> {
        let (kind, first) = (Kind::Segment, source.first);
        let expected = if is_first { self.found.start.min(first) } else { self.found.next };
        let missing = is_first && first > self.found.start;
        if missing || first != expected {
            let expected = if is_first { self.found.start } else { expected };
            self.find(kind, first, 0, first, Fault::Gap { expected });
        }
        self.found.last = Some(first);
        self.found.next = first;
        self.found.mark = self.found.mark.max(first.previous());
        self.found.clean = false;
        let Some(mut walk) = self.begin(kind, source, first)? else { return Ok(()) };
        // What stands behind the frame at which the next segment begins was cut off once. If that
        // did not last, it is no damage now.
        while until.is_none_or(|until| walk.next() < until) {
            match walk.step(self.disk)? {
                Step::Frame(head) => {
                    self.pass(&walk, &head);
                    self.found.mark = self.found.mark.max(vouched(&head));
                    self.found.next = head.seq.next();
                    self.found.clean = head.is_clean_end();
                    if head.seq >= self.shown_from {
                        self.show(kind, first, &walk, &head)?;
                    }
                }
                Step::End => return Ok(()),
                Step::Bad => {
                    self.found.clean = false;
                    let (offset, seq) = (walk.at(), walk.next());
                    if until.is_none() && !self.was_whole(&mut walk)? {
                        let bytes = walk.size().saturating_sub(offset);
                        self.found.cut = Some(Cut { file: kind.name(first), offset, bytes, seq });
                        return Ok(());
                    }
                    self.find(kind, first, offset, seq, Fault::Bad);
                    if !self.resume(kind, first, &mut walk)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the bad frame before which the walk stands was synced once: the marks before it and
    /// behind it tell.
    fn was_whole(&mut self, walk: &mut Walk<D::File>) -> Result<bool, DiskError> {
        let (at, seq) = (walk.at(), walk.next());
        if planted(Mutant::DamageAsTail) {
            return Ok(false);
        }
        let mut whole = planted(Mutant::TailAsDamage) || seq <= self.found.mark;
        while !whole {
            // A later frame may have landed here; the search would go by its length.
            let astray = walk.astray(self.disk)?.filter(|_| !planted(Mutant::AstrayMarkIgnored));
            if astray.is_some_and(|head| seq <= head.mark) {
                whole = true;
                break;
            }
            match walk.search(self.disk)? {
                Search::Nothing => break,
                Search::TooMuch => whole = true,
                Search::Found => {
                    while let Step::Frame(head) = walk.step(self.disk)? {
                        whole |= seq <= head.mark;
                    }
                }
            }
        }
        walk.go(at, seq);
        Ok(whole)
    }

    /// Goes on behind damage, if anything is left there.
    fn resume(
        &mut self,
        kind: Kind,
        first: Seq,
        walk: &mut Walk<D::File>,
    ) -> Result<bool, DiskError> {
        let found = walk.search_on(self.disk)?;
        if found == Search::TooMuch {
            self.find(kind, first, walk.at(), walk.next(), Fault::TooMuch);
        }
        Ok(found == Search::Found)
    }

    fn pass(&mut self, walk: &Walk<D::File>, head: &FrameHead) {
        debug_assert_eq!(walk.frame().len(), head.frame_size());
        self.found.frames += 1;
        self.found.bytes = self.found.bytes.saturating_add(head.frame_size() as u64);
        self.tell(false);
    }

    fn tell(&mut self, done: bool) {
        let bytes = if done { self.told.bytes_total } else { self.found.bytes };
        if done || bytes.saturating_sub(self.told.bytes) >= PROGRESS_STEP {
            self.told.bytes = bytes;
            self.told.records = self.found.entries;
            (self.progress)(self.told);
        }
    }

    /// Shows the entries of the frame that was just stepped over, and counts them.
    fn show(
        &mut self,
        kind: Kind,
        first: Seq,
        walk: &Walk<D::File>,
        head: &FrameHead,
    ) -> Result<u64, DiskError> {
        let mut payload = walk.payload();
        let mut shown = 0;
        loop {
            match Entry::split_first(&mut payload) {
                Ok(Some(entry)) => {
                    (self.visit)(self.disk, entry)?;
                    shown += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    self.find(kind, first, walk.frame_at(), head.seq, Fault::Entry(error));
                    break;
                }
            }
        }
        self.found.entries += shown;
        Ok(shown)
    }

    fn find(&mut self, kind: Kind, first: Seq, offset: u64, seq: Seq, fault: Fault) {
        if self.found.findings.len() < FINDINGS_MAX {
            let finding = Finding { file: kind.name(first), offset, seq, fault };
            self.found.findings.push(finding);
        } else {
            self.found.findings_more += 1;
        }
    }
}
