//! Reading a directory that somebody else may be writing: `verify` and the two halves of `backup`.
//!
//! Everything is opened before the first byte is read, because a file that a checkpoint replaces
//! loses its name and not its bytes. If one is gone before it could be opened, the listing is
//! stale, and it all starts over. What the writer appends meanwhile is not seen.

use super::{
    disk::{Disk, DiskError},
    entry::Entry,
    frame::Seq,
    header::{HEADER_SIZE, Header, Kind, Owner},
    identity::{Home, IDENTITY, Identity, Loss},
    image::{Imager, Saved},
    survey::{Cut, Fault, Files, Finding, Survey},
    walk::Walk,
};
use crate::record::Version;

/// How often a listing may be stale. Checkpoints take seconds, opening takes microseconds.
const TRIES: usize = 8;
/// Entries of a backup are gathered up to this size.
const PART_SIZE: usize = 64 * 1024;

/// What is in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is, if the identity can be read.
    pub home: Option<Home>,
    /// Whose the files are, by the identity or by themselves; [`Owner::NOBODY`] if that of a backup.
    pub owner: Option<Owner>,
    /// The last life's number, or 0.
    pub incarnation: u64,
    /// The first life's number, or 0.
    pub birth: u64,
    /// A repair said so, and the node has not yet recovered.
    pub lost: bool,
    /// The start of the checkpoint, if there is one.
    pub checkpoint: Option<Seq>,
    /// Segments of the log.
    pub segments: u64,
    /// The last frame of the log.
    pub last: Seq,
    /// The last frame known to be synced.
    pub synced: Seq,
    /// The log ends with a clean shutdown.
    pub clean: bool,
    /// Whole frames.
    pub frames: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    /// Records that count, tombstones included; a key may have several.
    pub records: u64,
    /// How many of these are tombstones.
    pub tombstones: u64,
    /// Flushes that count.
    pub flushes: u64,
    /// Bounds that count.
    pub bounds: u64,
    /// Records taken out again that count.
    pub drops: u64,
    /// Promises that count.
    pub promises: u64,
    /// How often slots were marked as copied, or as accepted again.
    pub copied: u64,
    /// Up to where deletions had reached all members when it was last said.
    pub floor: Option<u64>,
    /// The members' births, in order, once the cluster is formed.
    pub births: Option<Vec<u64>>,
    /// The lowest and the highest version of all records.
    pub versions: Option<(Version, Version)>,
    /// What the next start would cut off.
    pub cut: Option<Cut>,
    /// Everything that should not be.
    pub findings: Vec<Finding>,
    /// Findings beyond the bound of that list.
    pub findings_more: u64,
}

impl Verified {
    fn count(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Bound { .. } => self.bounds += 1,
            Entry::Copied { .. } => self.copied += 1,
            Entry::Drop { .. } => self.drops += 1,
            Entry::Flush { .. } => self.flushes += 1,
            Entry::Formed { births } => {
                let (births, _) = births.as_chunks::<8>();
                self.births = Some(births.iter().map(|birth| u64::from_le_bytes(*birth)).collect());
            }
            // Which lives of other members are over is of no use to anybody who reads this.
            Entry::Known { .. } => {}
            Entry::Floor { hlc, lives } => self.floor = (!lives.is_empty()).then_some(*hlc),
            Entry::Promise { .. } => self.promises += 1,
            Entry::Record(record) => {
                self.records += 1;
                self.tombstones += u64::from(record.value.is_none());
                let version = record.version;
                let (low, high) = self.versions.unwrap_or((version, version));
                self.versions = Some((low.min(version), high.max(version)));
            }
        }
    }
}

/// Walks a directory without changing it, shows every entry that counts, and collects all that is
/// wrong.
///
/// # Errors
/// If the disk fails.
pub fn verify<D: Disk>(
    disk: &mut D,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<Verified, DiskError> {
    let mut verified = Verified::default();
    let mut findings = Vec::new();
    let identified = disk.names()?.iter().any(|name| name == IDENTITY);
    if identified {
        match Identity::load(disk)? {
            Ok(Identity { home, incarnation, birth, loss, .. }) => {
                (verified.incarnation, verified.birth) = (incarnation, birth);
                verified.lost = loss != Loss::None;
                verified.home = Some(home);
            }
            Err(fault) => {
                let file = IDENTITY.to_owned();
                findings.push(Finding { file, offset: 0, seq: Seq(0), fault });
            }
        }
    }
    let mut files = open_all(disk)?;
    verified.checkpoint = files.checkpoints.last().map(|checkpoint| checkpoint.first);
    verified.segments = files.segments.len() as u64;
    let owner = match &verified.home {
        Some(home) => home.owner(),
        None => any_owner(disk, &files)?,
    };
    verified.owner = Some(owner);
    let any = verified.checkpoint.is_some() || verified.segments > 0;
    if any && !identified && (owner != Owner::NOBODY || verified.segments > 0) {
        let (file, fault) = (IDENTITY.to_owned(), Fault::NoIdentity);
        findings.push(Finding { file, offset: 0, seq: Seq(0), fault });
    }
    let mut show = |_: &mut D, entry: Entry<'_>| -> Result<(), DiskError> {
        verified.count(&entry);
        visit(entry);
        Ok(())
    };
    let survey = Survey::run(disk, owner, &mut files, &mut show, &mut |_| {})?;
    findings.extend(survey.findings);
    verified.findings = findings;
    verified.findings_more = survey.findings_more;
    verified.last = survey.next.previous();
    verified.synced = survey.mark;
    verified.clean = survey.clean;
    verified.frames = survey.frames;
    verified.bytes = survey.bytes;
    verified.cut = survey.cut.filter(|cut| cut.bytes > 0);
    Ok(verified)
}

/// Writes a backup: one checkpoint that belongs to nobody, which a node without data adopts. What
/// is of one replica is left out.
///
/// # Errors
/// If the disk has data already, or fails.
pub fn backup<'a, D: Disk>(
    disk: &mut D,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Result<Saved, DiskError> {
    if let Some(name) = disk.names()?.into_iter().find(|name| is_data(name)) {
        let (action, reason) = ("write a backup beside", "there is data already".to_owned());
        return Err(DiskError { action, file: name, reason, full: false });
    }
    let mut imager = Imager::begin(disk, Owner::NOBODY, Seq(1))?;
    let mut gathered = Vec::new();
    for entry in entries.filter(|entry| !entry.is_of_replica()) {
        entry.encode(&mut gathered);
        if gathered.len() >= PART_SIZE {
            imager.write(disk, &gathered)?;
            gathered.clear();
        }
    }
    imager.write(disk, &gathered)?;
    imager.finish(disk)
}

fn is_data(name: &str) -> bool {
    name == IDENTITY || Kind::of(name).is_some()
}

fn open_all<D: Disk>(disk: &mut D) -> Result<Files<D::File>, DiskError> {
    let mut tries = 1;
    loop {
        let names = disk.names()?;
        let mut files = Files::of(&names, false);
        match open_each(disk, &mut files)? {
            None => return Ok(files),
            Some((name, error)) => {
                let vanished = !disk.names()?.contains(&name);
                if !vanished || tries == TRIES {
                    return Err(error);
                }
            }
        }
        tries += 1;
    }
}

/// Opens all files, up to the first that can't be opened.
fn open_each<D: Disk>(
    disk: &mut D,
    files: &mut Files<D::File>,
) -> Result<Option<(String, DiskError)>, DiskError> {
    let checkpoints = files.checkpoints.iter_mut().map(|source| (Kind::Checkpoint, source));
    let segments = files.segments.iter_mut().map(|source| (Kind::Segment, source));
    for (kind, source) in checkpoints.chain(segments) {
        let name = kind.name(source.first);
        match disk.open(&name) {
            Ok(file) => source.file = Some(file),
            Err(error) => return Ok(Some((name, error))),
        }
    }
    Ok(None)
}

/// The owner that the headers name, where no identity does.
fn any_owner<D: Disk>(disk: &mut D, files: &Files<D::File>) -> Result<Owner, DiskError> {
    let segments = files.segments.iter().map(|source| (Kind::Segment, source));
    let checkpoints = files.checkpoints.iter().map(|source| (Kind::Checkpoint, source));
    for (kind, source) in segments.chain(checkpoints) {
        let file = disk.open(&kind.name(source.first))?;
        let size = disk.size(&file)?;
        let mut walk = Walk::new(kind, file, size, 0, source.first);
        if let Some(header) = Header::decode(kind, walk.bytes(disk, 0, HEADER_SIZE)?) {
            return Ok(header.owner);
        }
    }
    Ok(Owner::NOBODY)
}
