//! `quorate restore FILE`: a fresh data directory from a backup, or a running cluster filled from
//! it.
//!
//! `--data DIR` copies: keys keep their versions, deleted keys stay deleted. DIR is for the first
//! node of a fresh cluster; the others start empty and get everything from it by repair. `--to`
//! writes each key as a client would, so what the cluster has of it already is overwritten, under a
//! new version.
//!
//! The backup is read to its end before anything is written anywhere: half a restore of a damaged
//! file would look like a whole one.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use quorate::{
    config::ConfigError,
    log::{Disk as _, Entry, OpenError, Verified},
    members::Members,
    os::{Directory, NodeError},
    record::{Db, Record},
};

use super::{
    Failure,
    backup_file::{BackupFile, NAME},
    pipeline::Pipeline,
    say,
};

/// Bytes copied at a time.
const CHUNK: usize = 1024 * 1024;
/// What the copy is called until it is whole; the start of a node removes what bears it.
const UNFINISHED: &str = "checkpoint.tmp";

const EXAMPLES: &str = "\
Examples:
  quorate restore monday.backup --data ./new-9000          a directory for a fresh cluster's first
  quorate 9000 --peers ... --data ./new-9000               node; the others start with no data
  quorate restore monday.backup --to localhost:9000        into a running cluster, as a client
  quorate restore monday.backup --to localhost:9000 --db 0,2

With --to what the cluster has under the same keys is overwritten. Deleted and expired keys of the
backup are left out.";

/// Which backup, and where to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Restore {
    /// A file that quorate backup made
    file: PathBuf,

    /// Make this data directory; it must be empty, or not there
    #[arg(long, value_name = "DIR", required_unless_present = "to", conflicts_with = "to")]
    data: Option<PathBuf>,

    /// Write to the running node at this address
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,

    /// With --to: only these databases
    #[arg(
        long,
        value_enum,
        value_name = "DB,...",
        value_delimiter = ',',
        requires = "to",
        conflicts_with = "data"
    )]
    db: Vec<DbFlag>,
}

/// [`Db`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DbFlag {
    #[value(name = "0", alias = "strong")]
    Strong,
    #[value(name = "1", alias = "quorum")]
    Quorum,
    #[value(name = "2", alias = "eventual")]
    Eventual,
}

impl DbFlag {
    const fn db(self) -> Db {
        match self {
            Self::Strong => Db::STRONG,
            Self::Quorum => Db::QUORUM,
            Self::Eventual => Db::EVENTUAL,
        }
    }
}

impl Restore {
    /// Restores to where the flags say.
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(data) = &self.data {
            return to_directory(&self.file, data);
        }
        let to = self.to.as_deref().unwrap_or_default();
        let members = Members::form(to, &[]).map_err(ConfigError::Members)?;
        let address = members.address(members.me());
        let wanted: Vec<Db> = if self.db.is_empty() {
            Db::ALL.to_vec()
        } else {
            self.db.iter().map(|flag| flag.db()).collect()
        };
        to_cluster(&self.file, address, &wanted)
    }
}

fn to_directory(file: &Path, data: &Path) -> Result<(), Failure> {
    let (mut backup, verified) = BackupFile::check(file)?;
    let failed = |error| NodeError::Data { path: data.to_owned(), error: OpenError::Disk(error) };
    let mut directory = Directory::own(data).map_err(failed)?;
    if let Some(name) = directory.names().map_err(failed)?.first() {
        let data = data.display();
        return Err(Failure::Refused(format!("{data} is not empty: there is {name} in it")));
    }
    copy(&mut backup, &mut directory)?;
    let Verified { records, tombstones, .. } = verified;
    let data = data.display();
    say(format_args!(
        "{data}: {records} records, {tombstones} of them tombstones\n\
         restore it so for each node of a fresh cluster, then start them, this one with --data {data}\n"
    ));
    Ok(())
}

fn copy(from: &mut BackupFile, to: &mut Directory) -> Result<(), Failure> {
    let source = from.open(NAME)?;
    let copy = to.create(UNFINISHED)?;
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = from.read(&source, offset, &mut chunk)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        to.write(&copy, offset, bytes)?;
        offset += read as u64;
    }
    to.sync(&copy)?;
    to.rename(UNFINISHED, NAME)?;
    to.sync_names()?;
    Ok(())
}

fn to_cluster(file: &Path, address: SocketAddr, wanted: &[Db]) -> Result<(), Failure> {
    let (mut backup, _) = BackupFile::check(file)?;
    let cant = |error| Failure::Remote(format!("can't connect to {address}: {error}"));
    let mut pipeline = Pipeline::connect(address).map_err(cant)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = since.as_millis() as u64;
    let (mut tombstones, mut expired) = (0_u64, 0_u64);
    let mut outcome = Ok(());
    backup.walk(&mut |entry| {
        let Entry::Record(record) = entry else { return };
        if outcome.is_err() || !wanted.contains(&record.db) {
            return;
        }
        let Record { db, key, expires_at_ms, value, .. } = record;
        match (value, record.visible(wall_ms)) {
            (_, Some(value)) => outcome = pipeline.set(db, key, value, expires_at_ms),
            (Some(_), None) => expired += 1,
            (None, None) => tombstones += 1,
        }
    })?;
    let outcome = outcome.and_then(|()| pipeline.finish());
    let (written, refused) = (pipeline.written, pipeline.refused);
    say(format_args!(
        "{address}: {written} records written; left out {tombstones} tombstones, {expired} expired\n"
    ));
    if let Err(error) = outcome {
        let unanswered = pipeline.unanswered();
        return Err(Failure::Remote(format!(
            "{address}: {error}; {unanswered} more may or may not be written: restore again"
        )));
    }
    if refused > 0 {
        let list = pipeline.refusals.join("\n");
        return Err(Failure::Remote(format!("{refused} records were refused:\n{list}")));
    }
    Ok(())
}
