//! Which tombstones a leader has dropped lately: a key that is absent without a trace may have been
//! written and deleted since somebody watched it.

use std::collections::{BTreeMap, VecDeque};

/// Keys that are remembered: as many as are deleted in a busy moment, a quarter of a megabyte. Of all
/// before only the highest number is.
const KEPT: usize = 4096;

/// The numbers of dropped tombstones. They rise whatever the slot, as all that a leader gives.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Dropped {
    /// By the key's hash.
    numbers: BTreeMap<u64, u64>,
    /// In the order in which they were dropped.
    order: VecDeque<(u64, u64)>,
    /// The highest that is forgotten.
    forgotten: u64,
}

impl Dropped {
    /// A tombstone of this number is dropped.
    pub(super) fn add(&mut self, key_hash: u64, number: u64) {
        if self.order.len() == KEPT
            && let Some((hash, number)) = self.order.pop_front()
        {
            self.forgotten = self.forgotten.max(number);
            if self.numbers.get(&hash) == Some(&number) {
                self.numbers.remove(&hash);
            }
        }
        self.order.push_back((key_hash, number));
        let newest = self.numbers.entry(key_hash).or_default();
        *newest = number.max(*newest);
    }

    /// The highest number that a dropped tombstone of this key may have had.
    pub(super) fn number(&self, key_hash: u64) -> u64 {
        self.numbers.get(&key_hash).copied().unwrap_or_default().max(self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_told_apart_and_all_before_are_not() {
        let mut dropped = Dropped::default();
        dropped.add(1, 10);
        dropped.add(2, 20);
        dropped.add(1, 30);
        assert_eq!([1, 2, 3].map(|key| dropped.number(key)), [30, 20, 0]);
        (0..KEPT as u64 - 2).for_each(|key| dropped.add(100 + key, 40));
        // The first is forgotten, the newer one of its key is not.
        assert_eq!([1, 2, 3].map(|key| dropped.number(key)), [30, 20, 10]);
        dropped.add(4, 50);
        assert_eq!([1, 2, 3, 4].map(|key| dropped.number(key)), [30, 20, 20, 50]);
        (0..3).for_each(|key| dropped.add(5 + key, 60));
        assert_eq!([1, 2, 3].map(|key| dropped.number(key)), [40, 40, 40]);
        assert!(dropped.numbers.len() <= KEPT && dropped.order.len() == KEPT);
    }
}
