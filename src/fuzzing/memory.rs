//! A disk in memory: takes batches, calls them durable when it is told to work, and remembers them
//! for the node's next life.

use crate::{
    log::{Batch, Entry},
    node::{Append, Found, ImagePart, Node},
    time::Now,
    turn::Storage,
};

/// Entries that are durable, and a batch that is not yet.
#[derive(Debug, Default)]
pub struct Memory {
    durable: Vec<u8>,
    /// The first life that was shown what is durable; 0 before it.
    birth: u64,
    at_work: Option<(Batch, Vec<u8>)>,
    /// How much was durable when it was marked.
    marked: usize,
    /// What was durable once is gone, and the next life is told.
    lost: bool,
    saving: bool,
    /// While set, nothing becomes durable.
    pub stalled: bool,
}

impl Memory {
    /// Finishes what it is at and tells the node. Whether there was anything.
    pub fn work(&mut self, node: &mut Node, now: Now) -> bool {
        if self.stalled {
            return false;
        }
        if let Some((batch, entries)) = self.at_work.take() {
            self.durable.extend(entries);
            node.handle_durable(now, batch);
            return true;
        }
        if std::mem::take(&mut self.saving) {
            node.handle_saved(now);
            return true;
        }
        false
    }

    /// The process ends: what is not durable is gone.
    pub fn crash(&mut self) {
        (self.at_work, self.saving) = (None, false);
    }

    /// Remembers how much is durable now.
    pub const fn mark(&mut self) {
        self.marked = self.durable.len();
    }

    /// Forgets all that became durable since the mark, and says so to the next life.
    pub fn lose(&mut self) {
        self.durable.truncate(self.marked);
        self.lost = true;
    }

    /// Forgets everything.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }

    /// Shows a node all that is durable, and begins its life of this number.
    ///
    /// # Panics
    /// If the node logged what is no entry.
    pub fn recover(&mut self, node: &mut Node, now: Now, incarnation: u64) {
        let mut rest = &self.durable[..];
        while let Some(entry) = Entry::split_first(&mut rest).expect("entries were logged") {
            node.recover(entry);
        }
        if self.birth == 0 {
            self.birth = incarnation;
        }
        let (birth, lost) = (self.birth, self.lost);
        node.recovered(now, Found { incarnation, birth, lost, ..Found::default() });
    }
}

impl Storage for Memory {
    fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }

    fn append(&mut self, append: Append<'_>) {
        assert!(self.at_work.is_none(), "one batch at a time");
        self.at_work = Some((append.batch, std::mem::take(append.entries)));
    }

    fn has_image_room(&self) -> bool {
        !self.saving
    }

    fn write_image(&mut self, part: ImagePart<'_>) {
        self.saving |= part == ImagePart::End;
    }

    fn set_recovered(&mut self) {
        self.lost = false;
    }
}
