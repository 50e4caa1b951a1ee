//! A node's data at its start: the directory is opened, and the node shown all that is in it.

use std::{
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::directory::Directory;
use crate::{
    config::Fsync,
    log::{
        self, Appender, Disk as _, DiskError, Entry, Habit, Home, Mode, OpenError, Opened,
        Progress, Report,
    },
    members::Members,
    node::{Found, Node},
    time::Now,
};

/// How often a long recovery says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A longer name of a boot is cut.
const BOOT_SIZE_MAX: usize = 64;

/// Where a node keeps its data, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOptions {
    /// The directory; made if there is none.
    pub path: PathBuf,
    /// When a write counts as durable.
    pub fsync: Fsync,
    /// Set damaged files aside and go on with what is intact.
    pub repair: bool,
    /// Take part in a cold start: don't vote before one, or before a recovery.
    pub cold_start: bool,
}

/// What a start found in its directory, for people.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// How it went.
    pub report: Report,
    /// How long it took.
    pub took: Duration,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug)]
pub struct Recovering {
    /// Bytes and entries read.
    pub progress: Progress,
    /// How long it has taken so far.
    pub took: Duration,
}

/// A directory that is open, and its log.
pub(super) struct Data {
    pub(super) directory: Directory,
    pub(super) appender: Appender<Directory>,
    pub(super) recovered: Recovered,
}

/// Why a node can't start, or why it ended.
#[derive(Debug)]
pub enum NodeError {
    /// The data directory can't be used.
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// The disk failed while the node ran.
    Disk(DiskError),
    /// The system failed in another way.
    System(io::Error),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { path, error } => write!(f, "data directory {}: {error}", path.display()),
            Self::Disk(error) => write!(f, "the disk failed: {error}"),
            Self::System(error) => write!(f, "the system failed: {error}"),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<io::Error> for NodeError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<DiskError> for NodeError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Opens the directory and recovers `node` from it; `say` is told how far it is now and then.
pub(super) fn open(
    options: &DataOptions,
    members: &Members,
    slots: u32,
    now: Now,
    node: &mut Node,
    say: &mut dyn FnMut(Recovering),
) -> Result<Data, NodeError> {
    let failed = |error| NodeError::Data { path: options.path.clone(), error };
    let mut directory = Directory::own(&options.path).map_err(|e| failed(OpenError::Disk(e)))?;
    let home = Home {
        cluster: members.cluster_id(),
        node: members.me(),
        slots,
        members: members.names().to_vec(),
    };
    let mode = if options.repair {
        Mode::Repair { suffix: now.wall_ms.to_string() }
    } else {
        Mode::Normal
    };
    let started = Instant::now();
    let mut said = started;
    let mut replay = |entry: Entry<'_>| node.recover(entry);
    let mut progress = |progress: Progress| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            say(Recovering { progress, took: started.elapsed() });
        }
    };
    let (lax, cold) = (options.fsync == Fsync::EverySec, options.cold_start);
    let habit = Habit { lax, boot: boot_id(), cold };
    let who = (&home, &habit);
    let opened =
        log::open_with(&mut directory, who, now.wall_ms, &mode, &mut replay, &mut progress);
    let Opened { incarnation, birth, appender, report, .. } = opened.map_err(failed)?;
    tell(&report);
    let checkpoint_size = checkpoint_size(&mut directory).map_err(|e| failed(e.into()))?;
    let log_size = report.bytes.saturating_sub(checkpoint_size);
    let loss = report.loss;
    let found = Found { incarnation, birth, checkpoint_size, log_size, loss, cold };
    node.recovered(now, found);
    Ok(Data { directory, appender, recovered: Recovered { report, took: started.elapsed() } })
}

/// The name that Linux gives each boot of the machine; empty where there is none.
fn boot_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().chars().filter(|c| c.is_ascii_graphic()).take(BOOT_SIZE_MAX).collect()
}

/// How large the checkpoint is that the next one must be worth replacing; 0 if there is none.
fn checkpoint_size(directory: &mut Directory) -> Result<u64, DiskError> {
    let names = directory.names()?;
    let name = names.iter().rfind(|name| {
        let digits = name.strip_prefix("checkpoint-").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let Some(name) = name else { return Ok(0) };
    let file = directory.open(name)?;
    directory.size(&file)
}

fn tell(report: &Report) {
    if let Some(cut) = &report.cut {
        warn!(?cut, "cut off the end of the log, which no reply had vouched for");
    }
    if let Some(salvaged) = &report.salvaged {
        for finding in &salvaged.findings {
            warn!("damage: {finding}");
        }
        warn!(aside = ?salvaged.aside, records = salvaged.records, "repaired what was damaged");
    }
    if report.lost() {
        warn!("this node has lost data; it gets from its peers what they have of it");
    }
    info!(records = report.records, bytes = report.bytes, clean = report.clean, "recovered");
}
