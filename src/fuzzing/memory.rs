//! A disk in memory: takes batches, calls them durable when it is told to work, and remembers them
//! for the node's next life.

use crate::{
    log::{Batch, Entry, Loss},
    node::{Append, Found, ImagePart, Node},
    time::Now,
    turn::{Appended, Storage},
};

/// Entries that are durable, and a batch that is not yet.
#[derive(Debug, Default)]
pub struct Memory {
    durable: Vec<u8>,
    /// The first life that was shown what is durable; 0 before it.
    birth: u64,
    at_work: Option<(Batch, Vec<u8>, bool)>,
    /// How much of it survives a power failure.
    synced: usize,
    /// How much was durable when it was marked.
    marked: usize,
    loss: Loss,
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
        if let Some((batch, entries, sync)) = self.at_work.take() {
            self.durable.extend(entries);
            if sync {
                self.sync();
            }
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

    /// From now on all that is durable survives a power failure.
    pub fn sync(&mut self) {
        self.synced = self.durable.len();
    }

    /// The power fails, and takes what was not synced: as if writes counted as durable before that.
    pub fn lose_power(&mut self) {
        self.crash();
        self.durable.truncate(self.synced);
        self.loss = self.loss.max(Loss::Tail);
    }

    /// Damage takes anything.
    pub fn damage(&mut self) {
        self.loss = Loss::More;
    }

    /// Remembers how much is durable now.
    pub const fn mark(&mut self) {
        self.marked = self.durable.len();
    }

    /// Forgets all that became durable since the mark, and says so to the next life.
    pub fn lose(&mut self) {
        self.durable.truncate(self.marked);
        self.loss = Loss::More;
    }

    /// Forgets everything.
    pub fn wipe(&mut self) {
        *self = Self::default();
    }

    /// Shows a node all that is durable, and begins its life of this number; `cold` if an operator
    /// wants a cold start.
    ///
    /// # Panics
    /// If the node logged what is no entry.
    pub fn recover(&mut self, node: &mut Node, now: Now, incarnation: u64, cold: bool) {
        let mut rest = &self.durable[..];
        while let Some(entry) = Entry::split_first(&mut rest).expect("entries were logged") {
            node.recover(entry);
        }
        if self.birth == 0 {
            self.birth = incarnation;
        }
        if cold {
            self.loss = self.loss.max(Loss::Tail);
        }
        let (birth, loss) = (self.birth, self.loss);
        node.recovered(now, Found { incarnation, birth, loss, cold, ..Found::default() });
    }
}

impl Storage for Memory {
    fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }

    fn append(&mut self, append: Append<'_>) -> Appended {
        assert!(self.at_work.is_none(), "one batch at a time");
        self.at_work = Some((append.batch, std::mem::take(append.entries), append.sync));
        Appended::UnderWay
    }

    fn has_image_room(&self) -> bool {
        !self.saving
    }

    fn write_image(&mut self, part: ImagePart<'_>) {
        self.saving |= part == ImagePart::End;
    }

    fn set_recovered(&mut self) {
        self.loss = Loss::None;
    }
}
