//! A disk in memory that keeps no more than POSIX promises, for simulations, fuzzers and tests.
//!
//! Every file has two images: what the system shows, and what the medium has. A write changes the
//! first and makes its sectors dirty; a sync carries dirty sectors over. What a power failure
//! leaves is drawn sector by sector: lost, kept or torn, and the file's size on its own. Names are
//! a journal: any prefix of what happened since names were last synced may survive. A sync that
//! fails leaves sectors clean that the medium never got: they can be read until the power fails. A
//! write may go astray: it lands in another place, and its own keeps what it had.
//!
//! ```text
//!   write   cache  [a][b][C][D]   medium  [a][b][ ][ ]   dirty {2, 3}
//!   sync           [a][b][C][D]           [a][b][C][D]   dirty {}
//!   failed sync    [a][b][C][D]           [a][b][ ][ ]   dirty {}
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::disk::{Disk, DiskError};

/// Bytes that a disk writes as one, or tears.
pub const SECTOR_SIZE: usize = 512;

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: BTreeMap<u64, Inode>,
    /// Names as the system shows them.
    names: BTreeMap<String, u64>,
    /// Names as the medium has them.
    named: BTreeMap<String, u64>,
    journal: Vec<Rename>,
    next_file: u64,
    changes: u64,
    trouble: Option<Trouble>,
    /// Where a write of a segment or a checkpoint lands instead.
    stray: Option<Stray>,
    /// What a write that went astray has spoilt: what should stand where in which file.
    astray: Vec<(u64, usize, Vec<u8>)>,
    /// One has just landed on a twin.
    on_twin: bool,
}

/// An open file; it can be read after it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFile(u64);

/// What shall go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The change of this number is made in part, and everything after it fails.
    Crash(u64),
    /// From the change of this number on there is no room: a write is made in part, no file can be
    /// made.
    Full(u64),
    /// Nothing can be read.
    ReadFails,
    /// The first sync of a file from the change of this number on fails, and everything after it
    /// does not.
    SyncFails(u64),
}

/// Where a write lands that goes astray: so many bytes from the start of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The file's name.
    pub file: String,
    /// Bytes from its start.
    pub offset: u64,
    /// Of so many writes that are the first after a sync it waits for one that is as long as an earlier one
    /// of its file which was synced together with a later one, and lands on that.
    pub twins: u32,
}

/// A write of a file, and how often the file had been synced before it.
#[derive(Clone, Copy, Debug)]
struct Written {
    offset: usize,
    len: usize,
    syncs: u64,
}

/// So many of the last writes of a file are known.
const WRITES_KNOWN: usize = 16;

/// What a power failure does to one sector, or to a file's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As if it had been synced.
    Kept,
    /// As if it had not been written.
    Lost,
    /// The first half is new, the rest is old.
    TornAfter,
    /// The first half is old, the rest is new.
    TornBefore,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: BTreeSet<usize>,
    resized: bool,
    syncs: u64,
    /// The last of its writes.
    writes: VecDeque<Written>,
}

/// A name points to another file, or to none.
type Rename = Vec<(String, Option<u64>)>;

impl MemoryDisk {
    /// How many changes were made: everything but reading and opening.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Plans trouble, or ends it.
    pub const fn set_trouble(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
    }

    /// A write of a segment or a checkpoint lands in another place, if that is there by then. Or it does
    /// not, after all.
    pub fn misdirect(&mut self, to: Option<Stray>) {
        self.stray = to;
    }

    /// Whether a write is to go astray.
    #[must_use]
    pub const fn is_misdirected(&self) -> bool {
        self.stray.is_some()
    }

    /// Whether a write has gone astray since that was last forgotten.
    #[must_use]
    pub const fn is_astray(&self) -> bool {
        !self.astray.is_empty()
    }

    /// Whether a write has landed on an earlier one of its length since the last call.
    pub const fn take_twin(&mut self) -> bool {
        std::mem::replace(&mut self.on_twin, false)
    }

    /// What went astray stays so.
    pub fn forget_astray(&mut self) {
        self.astray.clear();
    }

    /// Makes it as if no write had gone astray. Whether one had.
    pub fn mend(&mut self) -> bool {
        let mended = self.is_astray();
        for (file, offset, bytes) in std::mem::take(&mut self.astray) {
            if let Some(inode) = self.files.get_mut(&file) {
                inode.mend(offset, &bytes);
            }
        }
        mended
    }

    /// Writes `bytes` where they do not belong. Whether there is such a place: nothing grows by it
    /// but the file itself.
    fn lead_astray(&mut self, file: MemoryFile, offset: usize, bytes: &[u8]) -> bool {
        let named = |id: u64| self.names.iter().find(|(_, held)| **held == id);
        let is_data = named(file.0).is_some_and(|(name, _)| !name.starts_with("identity"));
        let Some(stray) = self.stray.as_mut().filter(|_| is_data) else { return false };
        let inode = self.files.get(&file.0);
        let twin = inode.and_then(|inode| inode.twin(bytes.len()));
        if stray.twins > 0 && twin.is_none() {
            stray.twins -= u32::from(inode.is_some_and(Inode::is_synced));
            return false;
        }
        let Some(Stray { file: name, offset: to, twins }) = self.stray.take() else { return false };
        let place = self.names.get(&name).copied().map(|id| (id, to));
        let twin = twin.filter(|_| twins > 0).map(|offset| (file.0, offset as u64));
        let Some((id, to)) = twin.or(place) else { return false };
        let Some(inode) = self.files.get_mut(&id) else { return false };
        let to = usize::try_from(to).unwrap_or(usize::MAX);
        let size = inode.cache.len();
        let own = id == file.0;
        if to >= size || (own && (to == offset || offset < size)) {
            return false;
        }
        let landed = if own { bytes } else { bytes.get(..size - to).unwrap_or(bytes) };
        let before = inode.cache.get(to..size.min(to + landed.len())).unwrap_or_default();
        self.astray = vec![(id, to, before.to_vec()), (file.0, offset, bytes.to_vec())];
        inode.write(to, landed);
        self.on_twin = twin.is_some();
        true
    }

    /// The power fails: `fate` is asked about every dirty sector and size, `names_kept` how many of
    /// so many changes of names survive.
    pub fn lose_power(
        &mut self,
        fate: &mut dyn FnMut() -> Fate,
        names_kept: &mut dyn FnMut(usize) -> usize,
    ) {
        self.trouble = None;
        let kept = names_kept(self.journal.len());
        for change in self.journal.drain(..).take(kept) {
            apply(&mut self.named, &change);
        }
        self.names.clone_from(&self.named);
        let held: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| held.contains(file));
        self.files.values_mut().for_each(|inode| inode.lose_power(fate));
    }

    /// The bytes of a file as the system shows them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).and_then(|file| self.files.get(file)).map(|inode| &inode.cache[..])
    }

    /// Puts a file there, durably, or changes it behind the system's back.
    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        let file = self.named.get(name).copied().unwrap_or_else(|| self.fresh());
        self.names.insert(name.to_owned(), file);
        self.named.insert(name.to_owned(), file);
        let inode = Inode { cache: bytes.to_vec(), medium: bytes.to_vec(), ..Inode::default() };
        self.files.insert(file, inode);
    }

    const fn fresh(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    fn change(&mut self, action: &'static str, file: &str) -> Result<(), DiskError> {
        self.changes += 1;
        match self.trouble {
            Some(Trouble::Crash(at)) if self.changes >= at => Err(failure(action, file, "crash")),
            Some(Trouble::Full(at)) if self.changes >= at && action == "create" => {
                Err(DiskError { full: true, ..failure(action, file, "no space left") })
            }
            _ => Ok(()),
        }
    }

    fn rename_all(&mut self, change: Rename) {
        apply(&mut self.names, &change);
        self.journal.push(change);
    }

    fn inode(&mut self, file: MemoryFile) -> Result<&mut Inode, DiskError> {
        let name = || failure("use", &file.0.to_string(), "it was lost in a power failure");
        self.files.get_mut(&file.0).ok_or_else(name)
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.writes.push_back(Written { offset, len: bytes.len(), syncs: self.syncs });
        if self.writes.len() > WRITES_KNOWN {
            self.writes.pop_front();
        }
        if self.cache.len() < end {
            self.mark_dirty(self.cache.len(), end);
            self.cache.resize(end, 0);
        }
        if let Some(place) = self.cache.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.mark_dirty(offset, end);
    }

    /// Whether nothing was written since the last sync.
    fn is_synced(&self) -> bool {
        self.writes.back().is_none_or(|last| last.syncs < self.syncs)
    }

    /// Where an earlier write of this length stands that was synced together with a later one, and nothing
    /// was written since.
    fn twin(&self, len: usize) -> Option<usize> {
        let last = self.writes.back().filter(|_| self.is_synced())?;
        let mut together = self.writes.iter().filter(|write| write.syncs == last.syncs);
        let twin = together.find(|write| write.len == len && write.offset < last.offset)?;
        Some(twin.offset)
    }

    /// Changes what both the system and the medium have.
    fn mend(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        for image in [&mut self.cache, &mut self.medium] {
            image.resize(image.len().max(end), 0);
            if let Some(place) = image.get_mut(offset..end) {
                place.copy_from_slice(bytes);
            }
        }
    }

    fn truncate(&mut self, size: usize) {
        self.mark_dirty(size, self.cache.len().max(size));
        self.cache.resize(size, 0);
        self.resized = true;
    }

    fn mark_dirty(&mut self, start: usize, end: usize) {
        self.resized = true;
        self.dirty.extend(start / SECTOR_SIZE..end.div_ceil(SECTOR_SIZE));
    }

    fn sync(&mut self) {
        self.syncs += 1;
        self.settle(&mut || Fate::Kept);
    }

    fn lose_power(&mut self, fate: &mut dyn FnMut() -> Fate) {
        self.settle(fate);
        self.cache.clone_from(&self.medium);
    }

    fn settle(&mut self, fate: &mut dyn FnMut() -> Fate) {
        if std::mem::take(&mut self.resized) && fate() == Fate::Kept {
            self.medium.resize(self.cache.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let (start, half) = (sector * SECTOR_SIZE, sector * SECTOR_SIZE + SECTOR_SIZE / 2);
            let end = start + SECTOR_SIZE;
            let (from, to) = match fate() {
                Fate::Kept => (start, end),
                Fate::Lost => continue,
                Fate::TornAfter => (start, half),
                Fate::TornBefore => (half, end),
            };
            let to = to.min(self.medium.len()).min(self.cache.len());
            if let (Some(into), Some(new)) =
                (self.medium.get_mut(from..to), self.cache.get(from..to))
            {
                into.copy_from_slice(new);
            }
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn names(&mut self) -> Result<Vec<String>, DiskError> {
        Ok(self.names.keys().cloned().collect())
    }

    fn create(&mut self, name: &str) -> Result<MemoryFile, DiskError> {
        self.change("create", name)?;
        if self.names.contains_key(name) {
            return Err(failure("create", name, "it exists"));
        }
        let file = self.fresh();
        self.files.insert(file, Inode::default());
        self.rename_all(vec![(name.to_owned(), Some(file))]);
        Ok(MemoryFile(file))
    }

    fn open(&mut self, name: &str) -> Result<MemoryFile, DiskError> {
        let file = self.names.get(name).copied().map(MemoryFile);
        file.ok_or_else(|| failure("open", name, "there is none"))
    }

    fn size(&mut self, file: &MemoryFile) -> Result<u64, DiskError> {
        Ok(self.inode(*file)?.cache.len() as u64)
    }

    fn read(
        &mut self,
        file: &MemoryFile,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, DiskError> {
        if self.trouble == Some(Trouble::ReadFails) {
            return Err(failure("read", &file.0.to_string(), "input/output error"));
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.inode(*file)?.cache.get(offset..).unwrap_or_default();
        let size = bytes.len().min(into.len());
        into.iter_mut().zip(bytes).for_each(|(into, byte)| *into = *byte);
        Ok(size)
    }

    fn write(&mut self, file: &MemoryFile, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let before = self.changes;
        let changed = self.change("write", &file.0.to_string());
        let full = matches!(self.trouble, Some(Trouble::Full(at)) if self.changes >= at);
        let stopped = matches!(self.trouble, Some(Trouble::Crash(at)) if before >= at);
        let part = if full || changed.is_err() { bytes.len() / 2 } else { bytes.len() };
        if !stopped {
            if part == bytes.len() && self.lead_astray(*file, offset as usize, bytes) {
                return changed;
            }
            let part = bytes.get(..part).unwrap_or_default();
            self.inode(*file)?.write(offset as usize, part);
        }
        changed?;
        if full {
            let error = failure("write", &file.0.to_string(), "no space left");
            return Err(DiskError { full: true, ..error });
        }
        Ok(())
    }

    fn truncate(&mut self, file: &MemoryFile, size: u64) -> Result<(), DiskError> {
        self.change("truncate", &file.0.to_string())?;
        self.inode(*file)?.truncate(size as usize);
        Ok(())
    }

    fn sync(&mut self, file: &MemoryFile) -> Result<(), DiskError> {
        self.change("sync", &file.0.to_string())?;
        if matches!(self.trouble, Some(Trouble::SyncFails(at)) if self.changes >= at) {
            self.trouble = None;
            let inode = self.inode(*file)?;
            inode.dirty.clear();
            inode.resized = false;
            return Err(failure("sync", &file.0.to_string(), "input/output error"));
        }
        self.inode(*file)?.sync();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.change("rename", from)?;
        let file = self.names.get(from).copied();
        let file = file.ok_or_else(|| failure("rename", from, "there is none"))?;
        self.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.change("remove", name)?;
        if !self.names.contains_key(name) {
            return Err(failure("remove", name, "there is none"));
        }
        self.rename_all(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), DiskError> {
        self.change("sync the names in", "the directory")?;
        for change in self.journal.drain(..) {
            apply(&mut self.named, &change);
        }
        Ok(())
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Rename) {
    for (name, file) in change {
        match file {
            Some(file) => names.insert(name.clone(), *file),
            None => names.remove(name),
        };
    }
}

fn failure(action: &'static str, file: &str, reason: &str) -> DiskError {
    DiskError { action, file: file.to_owned(), reason: reason.to_owned(), full: false }
}
