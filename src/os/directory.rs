//! A data directory: the real [`Disk`], and the lock that keeps a second process out of it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::log::{Disk, DiskError};

/// Stands in each directory; whoever holds its lock owns the directory. It is never removed: a lock
/// on a removed file would keep nobody out.
const LOCK: &str = "lock";

/// The files of one data directory. Clones share its lock.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held until the last clone is gone, or the process.
    _lock: Option<Arc<File>>,
}

/// A file that is open, with its name for errors.
#[derive(Debug)]
pub struct OpenFile {
    name: String,
    file: File,
}

impl Directory {
    /// Opens a directory as its owner, and makes it if there is none.
    ///
    /// # Errors
    /// If another process owns it, or the system refuses.
    pub fn own(path: &Path) -> Result<Self, DiskError> {
        let mut directory = Self { path: path.to_owned(), _lock: None };
        fs::create_dir_all(path).map_err(|e| directory.error("make", "", &e))?;
        if let Some(parent) = path.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            sync_directory(parent).map_err(|e| directory.error("sync the parent of", "", &e))?;
        }
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(|e| directory.error("open", LOCK, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another process uses this data directory".to_owned();
                return Err(DiskError { reason, ..directory.error("lock", "", &no_error()) });
            }
            Err(TryLockError::Error(e)) => return Err(directory.error("lock", LOCK, &e)),
        }
        directory._lock = Some(Arc::new(lock));
        Ok(directory)
    }

    /// Opens a directory to look at, whoever owns it.
    ///
    /// # Errors
    /// If there is none.
    pub fn look(path: &Path) -> Result<Self, DiskError> {
        let directory = Self { path: path.to_owned(), _lock: None };
        fs::read_dir(path).map_err(|e| directory.error("read", "", &e))?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, action: &'static str, name: &str, error: &io::Error) -> DiskError {
        DiskError {
            action,
            file: self.path.join(name).display().to_string(),
            reason: error.to_string(),
            full: matches!(
                error.kind(),
                ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded | ErrorKind::StorageFull
            ),
        }
    }
}

fn no_error() -> io::Error {
    io::Error::from(ErrorKind::Other)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Disk for Directory {
    type File = OpenFile;

    fn names(&mut self) -> Result<Vec<String>, DiskError> {
        let entries = fs::read_dir(&self.path).map_err(|e| self.error("read", "", &e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| self.error("read", "", &e))?;
            // What has another kind of name is none of ours.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&mut self, name: &str) -> Result<OpenFile, DiskError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|e| self.error("make", name, &e))?;
        Ok(OpenFile { name: name.to_owned(), file })
    }

    fn open(&mut self, name: &str) -> Result<OpenFile, DiskError> {
        let path = self.path.join(name);
        // Who only looks may have no right to write.
        let owned = self._lock.is_some();
        let file = OpenOptions::new().read(true).write(owned).open(path);
        let file = file.map_err(|e| self.error("open", name, &e))?;
        Ok(OpenFile { name: name.to_owned(), file })
    }

    fn size(&mut self, file: &OpenFile) -> Result<u64, DiskError> {
        let metadata = file.file.metadata().map_err(|e| self.error("look at", &file.name, &e))?;
        Ok(metadata.len())
    }

    fn read(&mut self, file: &OpenFile, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read", &file.name, &e)),
            }
        }
        Ok(filled)
    }

    fn write(&mut self, file: &OpenFile, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        file.file.write_all_at(bytes, offset).map_err(|e| self.error("write", &file.name, &e))
    }

    fn truncate(&mut self, file: &OpenFile, size: u64) -> Result<(), DiskError> {
        file.file.set_len(size).map_err(|e| self.error("cut", &file.name, &e))
    }

    fn sync(&mut self, file: &OpenFile) -> Result<(), DiskError> {
        // The size counts as data here: fdatasync(2) writes what is needed to read the data back.
        file.file.sync_data().map_err(|e| self.error("sync", &file.name, &e))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.path.join(from), self.path.join(to))
            .map_err(|e| self.error("rename", from, &e))
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        fs::remove_file(self.path.join(name)).map_err(|e| self.error("remove", name, &e))
    }

    fn sync_names(&mut self) -> Result<(), DiskError> {
        sync_directory(&self.path).map_err(|e| self.error("sync", "", &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_kept_out_until_the_first_is_gone() {
        let parent = tempfile::tempdir().expect("a place for tests");
        let path = parent.path().join("data");
        let first = Directory::own(&path).expect("nobody has it");
        let error = Directory::own(&path).expect_err("it is taken").to_string();
        assert!(error.contains("another process uses this data directory"), "{error}");
        assert!(error.contains("data"), "{error}");
        drop(first.clone());
        Directory::own(&path).expect_err("one clone is still there");
        drop(first);
        Directory::own(&path).expect("nobody has it any more");
    }

    #[test]
    fn files_do_what_a_disk_promises() {
        let parent = tempfile::tempdir().expect("a place for tests");
        let mut disk = Directory::own(parent.path()).expect("nobody has it");
        let file = disk.create("b").expect("new");
        disk.create("b").expect_err("there is one");
        disk.write(&file, 0, b"hello").expect("room");
        disk.write(&file, 3, b"p!").expect("room");
        disk.sync(&file).expect("a disk");
        let mut bytes = [0; 9];
        assert_eq!(disk.read(&file, 1, &mut bytes).expect("a disk"), 4);
        assert_eq!(&bytes[..4], b"elp!");
        disk.truncate(&file, 2).expect("a disk");
        assert_eq!(disk.size(&file).expect("a disk"), 2);
        disk.create("a").expect("new");
        assert_eq!(disk.names().expect("a disk"), ["a", "b"]);
        disk.rename("b", "a").expect("a disk");
        disk.sync_names().expect("a disk");
        assert_eq!(disk.names().expect("a disk"), ["a"]);
        disk.remove("a").expect("a disk");
        let error = disk.open("a").expect_err("it is gone").to_string();
        assert!(error.starts_with("can't open ") && error.contains("No such file"), "{error}");
    }
}
