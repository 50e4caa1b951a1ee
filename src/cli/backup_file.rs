//! A backup as a disk: one file under the name that a checkpoint has in a directory.
//!
//! So a backup is read and checked by what reads and checks data directories. Nothing can be
//! changed through it.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use quorate::log::{self, Disk, DiskError, Entry, Owner, Verified};

use super::{Failure, verify::faults};

/// The name that [`log::backup`] gives.
pub(super) const NAME: &str = "checkpoint-0000000000000001";

/// One file.
#[derive(Debug)]
pub(super) struct BackupFile {
    path: PathBuf,
}

impl BackupFile {
    /// Opens a backup and reads it from end to end.
    pub(super) fn check(path: &Path) -> Result<(Self, Verified), Failure> {
        let mut backup = Self { path: path.to_owned() };
        let shown = path.display();
        match File::open(path).and_then(|file| file.metadata()) {
            Err(error) => return Err(Failure::Refused(format!("can't open {shown}: {error}"))),
            Ok(metadata) if !metadata.is_file() => {
                return Err(Failure::Refused(format!("{shown} is no backup: it is no file")));
            }
            Ok(_) => {}
        }
        let verified = backup.walk(&mut |_| {})?;
        let first = verified.findings.first();
        let nothing = verified.frames == 0 && first.is_none_or(|first| first.fault.is_damage());
        // Some node's checkpoint is whole only together with its log.
        if nothing || verified.owner != Some(Owner::NOBODY) {
            return Err(Failure::Refused(format!("{shown} is no backup made by quorate backup")));
        }
        if let Some(finding) = first {
            let (offset, fault) = (finding.offset, &finding.fault);
            let more = faults(&verified) - 1;
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            return Err(Failure::Refused(format!("{shown}, byte {offset}: {fault}{more}")));
        }
        Ok((backup, verified))
    }

    /// Shows every entry.
    pub(super) fn walk(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> Result<Verified, DiskError> {
        log::verify(self, visit)
    }

    fn error(&self, action: &'static str, error: &io::Error) -> DiskError {
        let file = self.path.display().to_string();
        DiskError { action, file, reason: error.to_string(), full: false }
    }

    fn refuse<T>(&self, action: &'static str) -> Result<T, DiskError> {
        Err(self.error(action, &ErrorKind::ReadOnlyFilesystem.into()))
    }
}

impl Disk for BackupFile {
    type File = File;

    fn names(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(vec![NAME.to_owned()])
    }

    fn create(&mut self, _name: &str) -> Result<File, DiskError> {
        self.refuse("make")
    }

    fn open(&mut self, _name: &str) -> Result<File, DiskError> {
        File::open(&self.path).map_err(|e| self.error("open", &e))
    }

    fn size(&mut self, file: &File) -> Result<u64, DiskError> {
        file.metadata().map(|metadata| metadata.len()).map_err(|e| self.error("look at", &e))
    }

    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read", &e)),
            }
        }
        Ok(filled)
    }

    fn write(&mut self, _file: &File, _offset: u64, _bytes: &[u8]) -> Result<(), DiskError> {
        self.refuse("write")
    }

    fn truncate(&mut self, _file: &File, _size: u64) -> Result<(), DiskError> {
        self.refuse("cut")
    }

    fn sync(&mut self, _file: &File) -> Result<(), DiskError> {
        self.refuse("sync")
    }

    fn rename(&mut self, _from: &str, _to: &str) -> Result<(), DiskError> {
        self.refuse("rename")
    }

    fn remove(&mut self, _name: &str) -> Result<(), DiskError> {
        self.refuse("remove")
    }

    fn sync_names(&mut self) -> Result<(), DiskError> {
        self.refuse("sync")
    }
}
