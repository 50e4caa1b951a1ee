//! A disk for a search: it takes batches, and a crash leaves of them what the search wants.

use super::setup::Loss;
use crate::{
    log::{self, Batch, Entry},
    node::{Append, Found, ImagePart, Node},
    time::Now,
    turn::{Appended, Storage},
};

/// What was logged, and how much of it is safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    /// Entries that were called durable.
    entries: Vec<u8>,
    /// Where in them each batch begins.
    batches: Vec<usize>,
    at_work: Option<(Batch, Vec<u8>)>,
    /// The first life that was shown what is here; 0 before it.
    birth: u64,
    /// The next life is to know that something may be missing.
    lost: bool,
}

impl Disk {
    /// Finishes the batch that it is at.
    pub(super) fn work(&mut self) -> Option<Batch> {
        let (batch, entries) = self.at_work.take()?;
        self.batches.push(self.entries.len());
        self.entries.extend(entries);
        Some(batch)
    }

    /// The node ends.
    pub(super) fn crash(&mut self, loss: Loss) {
        self.at_work = None;
        match loss {
            Loss::Undurable => {}
            Loss::Batches(count) => {
                let kept = self.batches.len().saturating_sub(usize::from(count));
                self.entries.truncate(self.batches.get(kept).copied().unwrap_or(usize::MAX));
                self.batches.truncate(kept);
                self.lost = true;
            }
            Loss::Everything => *self = Self::default(),
        }
    }

    /// Shows a new life what there is.
    pub(super) fn recover(&mut self, node: &mut Node, now: Now, incarnation: u64) {
        let mut rest = &self.entries[..];
        while let Some(entry) = Entry::split_first(&mut rest).expect("entries were logged") {
            node.recover(entry);
        }
        if self.birth == 0 {
            self.birth = incarnation;
        }
        let loss = if self.lost { log::Loss::Tail } else { log::Loss::None };
        let found = Found { incarnation, birth: self.birth, loss, ..Found::default() };
        node.recovered(now, found);
    }
}

impl Storage for Disk {
    fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }

    fn append(&mut self, append: Append<'_>) -> Appended {
        assert!(self.at_work.is_none(), "one batch at a time");
        self.at_work = Some((append.batch, std::mem::take(append.entries)));
        Appended::UnderWay
    }

    fn has_image_room(&self) -> bool {
        true
    }

    fn write_image(&mut self, _: ImagePart<'_>) {}

    fn set_recovered(&mut self) {
        self.lost = false;
    }
}
