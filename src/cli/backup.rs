//! `quorate backup DIR FILE`: one node's data in one file, while the node runs or not.
//!
//! Reads checkpoint and log as they are on the disk, up to some frame of the log: the copy is the
//! state of the node at that moment, whatever it writes meanwhile. Everything is merged in memory,
//! so the file has each key once, with its version; deleted keys are in it as tombstones.
//!
//! FILE appears complete or not at all: it is written in a hidden directory beside it, synced, and
//! renamed. It never replaces another file.

use std::{
    fs::File,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::{Path, PathBuf},
};

use clap::Args;
use quorate::{
    log::{self, Disk as _, Entry, Saved, Verified},
    os::Directory,
    record::{Db, Version},
    slot::SLOTS,
    store::Store,
};
use tempfile::TempPath;

use super::{
    Failure, say,
    verify::{check_is_data, faults, look},
};

const EXAMPLES: &str = "\
Examples:
  quorate backup ./quorate-9000 monday.backup         the node may run
  quorate restore monday.backup --data ./new-9000     a fresh cluster from it

The copy is what this one node has. It takes as much memory as the node's data.";

/// What to copy, and where to.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Backup {
    /// The data directory of a node
    dir: PathBuf,
    /// The file to write; there must be none of that name
    file: PathBuf,
}

impl Backup {
    /// Writes the file.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (shown, file) = (self.dir.display().to_string(), self.file.display());
        if self.file.symlink_metadata().is_ok() {
            return Err(Failure::Refused(format!("{file} exists; choose another name")));
        }
        let mut gathered = Gathered::new();
        let mut directory = look(&self.dir)?;
        let verified = log::verify(&mut directory, &mut |entry| gathered.take(entry))?;
        check_is_data(&shown, &verified)?;
        if faults(&verified) > 0 {
            return Err(Failure::Refused(format!(
                "{shown} is not intact, a copy would hide that; see quorate verify {shown}"
            )));
        }
        let saved = gathered.write(&self.file)?;
        let store = &gathered.store;
        let tombstones: u64 = Db::ALL.iter().map(|db| store.tombstones(*db)).sum();
        let records = tombstones + Db::ALL.iter().map(|db| store.live(*db)).sum::<u64>();
        say(format_args!(
            "{file}: {records} records, {tombstones} of them tombstones, {} bytes; {}\n",
            saved.bytes,
            moment(&verified)
        ));
        Ok(())
    }
}

/// Which state of which node was copied.
fn moment(verified: &Verified) -> String {
    let frame = format!("the state after frame {}", verified.last);
    let lost = if verified.lost { ", which lacks what a repair has lost" } else { "" };
    match &verified.home {
        Some(home) => {
            let name = home.members.get(home.node.index()).map_or("unknown", String::as_str);
            format!("{frame} of {} {name}{lost}", home.node)
        }
        None => frame,
    }
}

/// What a node would hold after a start.
struct Gathered {
    store: Store,
    bound: u64,
}

impl Gathered {
    fn new() -> Self {
        // Nobody who knows the keys can aim at one bucket of these tables.
        let seed = RandomState::new().build_hasher().finish();
        Self { store: Store::new(SLOTS, 0, seed), bound: 0 }
    }

    fn take(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Bound { hlc } => self.bound = self.bound.max(hlc),
            Entry::Drop { db, key, version } => {
                self.store.remove(db, key, version);
            }
            Entry::Flush { db, stamp } => {
                self.store.flush(db, stamp);
            }
            Entry::Record(record) => {
                self.store.merge(&record);
            }
            // Of this replica alone; the cluster that the backup ends up in makes its own.
            Entry::Copied { .. }
            | Entry::Floor { .. }
            | Entry::Formed { .. }
            | Entry::Known { .. }
            | Entry::Promise { .. } => {}
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let flushed = Db::ALL.into_iter().map(|db| (db, self.store.flushed(db)));
        let flushes = flushed.filter(|(_, stamp)| *stamp > Version::NONE);
        let flushes = flushes.map(|(db, stamp)| Entry::Flush { db, stamp });
        let records = Db::ALL.into_iter().flat_map(|db| self.store.records(db));
        let bound = [Entry::Bound { hlc: self.bound }];
        bound.into_iter().chain(flushes).chain(records.map(Entry::Record))
    }

    fn write(&self, file: &Path) -> Result<Saved, Failure> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let cant = |error: &dyn std::fmt::Display| {
            Failure::Refused(format!("can't write {}: {error}", file.display()))
        };
        let beside = tempfile::Builder::new().prefix(".quorate-backup-").tempdir_in(parent);
        let beside = beside.map_err(|error| cant(&error))?;
        let mut directory = Directory::own(beside.path())?;
        let saved = log::backup(&mut directory, self.entries())?;
        let names = directory.names()?;
        let name = names.first().ok_or_else(|| cant(&"it vanished while it was written"))?;
        let written = TempPath::try_from_path(beside.path().join(name))?;
        written.persist_noclobber(file).map_err(|error| cant(&error))?;
        File::open(parent)?.sync_all()?;
        Ok(saved)
    }
}
