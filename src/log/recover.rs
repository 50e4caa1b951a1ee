//! Recovery: from the files that the last life left to a log that goes on.
//!
//! ```text
//!   identity   mine? then a new incarnation           another's: refuse
//!   survey     checkpoint, then log, shown in order   damage: refuse, or repair
//!   settle     cut the torn end off; write what no mark covers again, and sync it
//! ```
//!
//! A start that is interrupted at any point leaves what the next one can begin from.

use std::fmt;

use super::{
    append::Appender,
    disk::{Disk, DiskError},
    entry::Entry,
    frame::Seq,
    header::{HEADER_SIZE, Header, Kind, Owner, UNFINISHED},
    identity::{Habit, Home, IDENTITY, Identity, Loss, UNFINISHED_IDENTITY},
    image::{Imager, sweep},
    survey::{Cut, Fault, Files, Finding, Progress, Survey},
    walk::{Step, Walk},
};
use crate::probe::{Mutant, planted};

/// Entries are gathered up to this size while they are salvaged.
const SALVAGE_SIZE: usize = 64 * 1024;

/// What to do on damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    Normal,
    /// Set damaged files aside and go on with what is intact.
    Repair {
        /// They are renamed to `<name>.damaged-<suffix>`.
        suffix: String,
    },
}

/// A directory that is open.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    /// This life's number, above all before it.
    pub incarnation: u64,
    /// That of the directory's first life; of this one, if nobody can tell any more.
    pub birth: u64,
    /// Writes on behind what was replayed.
    pub appender: Appender<D>,
    /// The frame that comes next.
    pub next: Seq,
    /// How it went.
    pub report: Report,
}

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// There was nothing: no data and no identity.
    pub fresh: bool,
    /// What the node lost that it may have vouched for, in this start or in one before since
    /// [`super::recovered`] was last called.
    pub loss: Loss,
    /// The last life ended with a clean shutdown.
    pub clean: bool,
    /// The start of the checkpoint, if there is one.
    pub checkpoint: Option<Seq>,
    /// Segments of the log.
    pub segments: u64,
    /// Frames read.
    pub frames: u64,
    /// Entries shown.
    pub records: u64,
    /// Bytes of frames read.
    pub bytes: u64,
    /// The end of the log that a power failure or a kill tore off.
    pub cut: Option<Cut>,
    /// Bytes written again because no mark covers them.
    pub rewritten: u64,
    /// What a repair did.
    pub salvaged: Option<Salvaged>,
}

impl Report {
    /// Whether the node lost something that it may have vouched for.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.loss != Loss::None
    }
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The damage.
    pub findings: Vec<Finding>,
    /// Findings beyond the bound of that list.
    pub findings_more: u64,
    /// The files that were set aside, under their new names.
    pub aside: Vec<String>,
    /// Entries that were intact.
    pub records: u64,
    /// Bytes of the checkpoint that they went into.
    pub bytes: u64,
}

/// Why a directory can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Data is damaged. A repair helps.
    Damage(Vec<Finding>),
    /// The disk fails.
    Disk(DiskError),
    /// A cold start is wanted, and there is nothing to start from.
    Empty,
    /// The files are not this node's, or not of this format. A repair does not help.
    Refused(Finding),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(findings) => {
                for finding in findings.iter().take(3) {
                    writeln!(f, "{finding}")?;
                }
                if findings.len() > 3 {
                    writeln!(f, "and {} more", findings.len() - 3)?;
                }
                write!(
                    f,
                    "start with --repair to keep what is intact and get the rest from the peers, \
                     restore a backup, or delete the directory and let the peers refill it"
                )
            }
            Self::Disk(error) => error.fmt(f),
            Self::Empty => write!(
                f,
                "it is empty, so there is nothing to start from; is it the right one? A node whose \
                 data is gone for good is started without --cold-start"
            ),
            Self::Refused(finding) => finding.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Opens a directory: shows everything in it to `replay`, in order, and says where to go on.
///
/// # Errors
/// If it is damaged, or another node's, or the disk fails. What was shown until then means nothing.
pub fn open<D: Disk>(
    disk: &mut D,
    home: &Home,
    wall_ms: u64,
    mode: &Mode,
    replay: &mut dyn FnMut(Entry<'_>),
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened<D>, OpenError> {
    open_with(disk, (home, &Habit::default()), wall_ms, mode, replay, progress)
}

/// The same, for a life of this habit. If the last one may have vouched for what the machine then
/// forgot, the directory has lost data.
///
/// # Errors
/// As [`open`].
pub fn open_with<D: Disk>(
    disk: &mut D,
    (home, habit): (&Home, &Habit),
    wall_ms: u64,
    mode: &Mode,
    replay: &mut dyn FnMut(Entry<'_>),
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened<D>, OpenError> {
    let names = disk.names()?;
    let found = identify(disk, home, &names)?;
    if habit.cold && matches!(found, Found::Fresh) {
        return Err(OpenError::Empty);
    }
    if let (Found::Broken(finding), Mode::Normal) = (&found, mode) {
        return Err(OpenError::Damage(vec![finding.clone()]));
    }
    let mut identity = next_life(&found, home, habit, wall_ms);
    let Identity { incarnation, birth, begun, .. } = identity;
    for name in [UNFINISHED, UNFINISHED_IDENTITY] {
        if names.iter().any(|held| held == name) {
            disk.remove(name)?;
        }
    }
    let salvaged = match mode {
        Mode::Normal => None,
        Mode::Repair { suffix } => repair(disk, &found, &mut identity, suffix)?,
    };
    let names = disk.names()?;
    let mut files = Files::of(&names, false);
    let segments = files.segments.len() as u64;
    let checkpoint = files.checkpoints.last().map(|checkpoint| checkpoint.first);
    let mut visit = |_: &mut D, entry: Entry<'_>| -> Result<(), DiskError> {
        replay(entry);
        Ok(())
    };
    let survey = Survey::run(disk, home.owner(), &mut files, &mut visit, progress)?;
    if let Some(refusal) = survey.refusal() {
        return Err(OpenError::Refused(refusal.clone()));
    }
    if !survey.findings.is_empty() {
        return Err(OpenError::Damage(survey.findings));
    }
    let ours = survey.end > begun || planted(Mutant::OldCleanMarkCounts);
    let clean = survey.clean && ours;
    if let Found::Mine(last) = &found {
        let lost = habit.cold || (!clean && last.habit.may_have_lost(habit));
        identity.loss = identity.loss.max(if lost { Loss::Tail } else { Loss::None });
    }
    identity.begun = survey.next;
    identity.store(disk)?;
    let rewritten = settle(disk, home.owner(), &survey)?;
    sweep(disk, survey.start)?;
    disk.sync_names()?;
    let report = Report {
        fresh: matches!(found, Found::Fresh),
        loss: identity.loss,
        clean,
        checkpoint,
        segments,
        frames: survey.frames,
        records: survey.entries,
        bytes: survey.bytes,
        cut: survey.cut.filter(|cut| cut.bytes > 0),
        rewritten,
        salvaged,
    };
    let appender = Appender::new(home.owner(), survey.next.previous());
    Ok(Opened { incarnation, birth, appender, next: survey.next, report })
}

/// Whose directory it is.
enum Found {
    /// Nobody can tell, because of damage.
    Broken(Finding),
    Fresh,
    Mine(Identity),
    /// A backup that was copied here; it becomes ours.
    Restored,
}

/// Who lives here from now on.
fn next_life(found: &Found, home: &Home, habit: &Habit, wall_ms: u64) -> Identity {
    let (home, habit) = (home.clone(), habit.clone());
    match found {
        Found::Mine(last) => {
            let incarnation = wall_ms.max(last.incarnation.saturating_add(1));
            let Identity { birth, loss, begun, .. } = *last;
            Identity { home, incarnation, birth, loss, begun, habit }
        }
        // What is damaged may have forgotten what it promised: it must not pass for what it was.
        Found::Broken(_) | Found::Fresh | Found::Restored => {
            let incarnation = wall_ms.max(1);
            let broken = matches!(found, Found::Broken(_));
            let loss = if broken { Loss::More } else { Loss::None };
            let begun = Seq(u64::MAX);
            Identity { home, incarnation, birth: incarnation, loss, begun, habit }
        }
    }
}

fn identify<D: Disk>(disk: &mut D, home: &Home, names: &[String]) -> Result<Found, OpenError> {
    let finding = |fault| Finding { file: IDENTITY.to_owned(), offset: 0, seq: Seq(0), fault };
    let refuse = |fault: Fault| {
        let finding = finding(fault);
        if finding.fault.is_damage() {
            Ok(Found::Broken(finding))
        } else {
            Err(OpenError::Refused(finding))
        }
    };
    if names.iter().any(|name| name == IDENTITY) {
        return match Identity::load(disk)? {
            Ok(identity) => match identity.refusal(home) {
                Some(fault) => refuse(fault),
                None => Ok(Found::Mine(identity)),
            },
            Err(fault) => refuse(fault),
        };
    }
    let files = Files::<D::File>::of(names, true);
    if files.checkpoints.is_empty() && files.segments.is_empty() {
        return Ok(Found::Fresh);
    }
    let mut restored = files.segments.is_empty();
    for source in &files.checkpoints {
        let file = disk.open(&Kind::Checkpoint.name(source.first))?;
        let size = disk.size(&file)?;
        let mut walk = Walk::new(Kind::Checkpoint, file, size, 0, Seq(1));
        let header = Header::decode(Kind::Checkpoint, walk.bytes(disk, 0, HEADER_SIZE)?);
        restored &= header.is_some_and(|header| header.owner == Owner::NOBODY);
    }
    if restored { Ok(Found::Restored) } else { refuse(Fault::NoIdentity) }
}

/// Cuts off what is torn, and makes what was replayed last.
fn settle<D: Disk>(disk: &mut D, owner: Owner, survey: &Survey) -> Result<u64, DiskError> {
    let Some(last) = survey.last else { return Ok(0) };
    let name = Kind::Segment.name(last);
    if survey.end <= last {
        // It has no frame. Its name is free for the frame that comes next.
        disk.remove(&name)?;
        return Ok(0);
    }
    let file = disk.open(&name)?;
    if let Some(cut) = &survey.cut {
        disk.truncate(&file, cut.offset)?;
        disk.sync(&file)?;
    }
    if survey.mark >= survey.end.previous() || planted(Mutant::TailNotRewritten) {
        return Ok(0);
    }
    rewrite(disk, owner, last, file, survey.mark)
}

/// Writes all frames above the mark again, in place, and syncs them.
///
/// If the last life's sync failed, the system may show from its cache what the disk does not have,
/// and a sync now would succeed without writing it, because the failure was told once and the pages
/// pass for clean. What this life has replayed it will vouch for, so it must last.
fn rewrite<D: Disk>(
    disk: &mut D,
    owner: Owner,
    first: Seq,
    file: D::File,
    mark: Seq,
) -> Result<u64, DiskError> {
    let size = disk.size(&file)?;
    let mut walk = Walk::new(Kind::Segment, file, size, 0, first);
    // An older version may have written it, with another header and so under another seed.
    let header = Header::decode(Kind::Segment, walk.bytes(disk, 0, HEADER_SIZE)?);
    let header = header.unwrap_or_else(|| Header::new(Kind::Segment, owner, first));
    walk.set_seed(header.seed());
    walk.go(HEADER_SIZE as u64, first);
    let mut rewritten = 0;
    if mark < first {
        disk.write(walk.file(), 0, &header.encode())?;
        rewritten += HEADER_SIZE as u64;
    }
    while let Step::Frame(head) = walk.step(disk)? {
        if head.seq > mark {
            disk.write(walk.file(), walk.frame_at(), walk.frame())?;
            rewritten += walk.frame().len() as u64;
        }
    }
    disk.sync(walk.file())?;
    Ok(rewritten)
}

/// Copies everything intact into a new checkpoint and sets damaged files aside. Does nothing
/// without damage.
///
/// That data was lost is on disk before the first file is touched. A repair that is interrupted
/// leaves damage, or a checkpoint that has everything already; a second repair finishes it.
fn repair<D: Disk>(
    disk: &mut D,
    found: &Found,
    identity: &mut Identity,
    suffix: &str,
) -> Result<Option<Salvaged>, OpenError> {
    let owner = identity.home.owner();
    let names = disk.names()?;
    let mut files = Files::of(&names, false);
    let nothing = &mut |_: &mut D, _: Entry<'_>| Ok(());
    let survey = Survey::run(disk, owner, &mut files, nothing, &mut |_| {})?;
    if let Some(refusal) = survey.refusal() {
        return Err(OpenError::Refused(refusal.clone()));
    }
    let mut findings = survey.findings;
    if findings.is_empty() {
        if let Found::Broken(finding) = found {
            let aside = set_aside(disk, std::slice::from_ref(finding), suffix)?;
            let findings = vec![finding.clone()];
            return Ok(Some(Salvaged { findings, aside, ..Salvaged::default() }));
        }
        return Ok(None);
    }
    identity.loss = Loss::More;
    identity.store(disk)?;
    // The newest checkpoint may have lost entries that an older one still has.
    let all = findings.iter().any(|finding| finding.file.starts_with("checkpoint"));
    let mut files = Files::of(&names, all);
    let (records, bytes, next) = salvage(disk, owner, &mut files)?;
    if let Found::Broken(finding) = found {
        findings.insert(0, finding.clone());
    }
    let aside = set_aside(disk, &findings, suffix)?;
    for name in disk.names()? {
        let ours = Kind::of(&name).is_some();
        if ours && name != Kind::Checkpoint.name(next) {
            disk.remove(&name)?;
        }
    }
    disk.sync_names()?;
    let findings_more = survey.findings_more;
    Ok(Some(Salvaged { findings, findings_more, aside, records, bytes }))
}

/// Writes the new checkpoint: its entries, its bytes, its start.
fn salvage<D: Disk>(
    disk: &mut D,
    owner: Owner,
    files: &mut Files<D::File>,
) -> Result<(u64, u64, Seq), DiskError> {
    // The start is known only at the end, and the header comes first; so walk twice.
    let nothing = &mut |_: &mut D, _: Entry<'_>| Ok(());
    let next = Survey::run(disk, owner, files, nothing, &mut |_| {})?.next;
    // No damaged checkpoint may be written over.
    let newest = files.checkpoints.last().map_or(Seq(0), |checkpoint| checkpoint.first);
    let next = next.max(newest.next());
    let mut imager = Imager::begin(disk, owner, next)?;
    let mut gathered = Vec::new();
    let visit = &mut |disk: &mut D, entry: Entry<'_>| {
        entry.encode(&mut gathered);
        if gathered.len() < SALVAGE_SIZE {
            return Ok(());
        }
        imager.write(disk, &gathered)?;
        gathered.clear();
        Ok(())
    };
    Survey::run(disk, owner, files, visit, &mut |_| {})?;
    imager.write(disk, &gathered)?;
    let saved = imager.complete(disk)?;
    Ok((saved.records, saved.bytes, next))
}

fn set_aside<D: Disk>(
    disk: &mut D,
    findings: &[Finding],
    suffix: &str,
) -> Result<Vec<String>, DiskError> {
    let names = disk.names()?;
    let mut aside = Vec::new();
    for finding in findings {
        // What is only missing something has nothing wrong in it.
        let damaged = !matches!(finding.fault, Fault::Gap { .. } | Fault::NoIdentity);
        let name = &finding.file;
        let to = format!("{name}.damaged-{suffix}");
        if damaged && names.contains(name) && !aside.contains(&to) {
            disk.rename(name, &to)?;
            aside.push(to);
        }
    }
    disk.sync_names()?;
    Ok(aside)
}
