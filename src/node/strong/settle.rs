//! Keys that a new leader must settle before it shows them.
//!
//! Of a key whose record is not the same at all members that promised, a new leader does not know
//! whether that record was chosen. It stamps the newest under its own ballot before it answers a
//! read; a write needs no such step, for it takes the place of the record
//! anyway. Stamping anew, instead of sending the old version again, is what keeps rival leftovers
//! of earlier ballots from coming back (PROTOCOL section 4, CE-OLDVER).

use std::collections::{BTreeMap, BTreeSet};

use crate::slot::SlotSet;

/// The keys of one slot that are not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unsettled {
    /// With the bytes of the newest record, where that is not our own.
    keys: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    /// Absent keys are not settled either: a member that promised has only copies in this slot.
    absent: bool,
    /// Absent keys that were settled since.
    settled: BTreeMap<Box<[u8]>, ()>,
}

impl Unsettled {
    /// All keys of the slot that any promise shows, and whether absent ones are in doubt too.
    pub(crate) const fn new(keys: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>, absent: bool) -> Self {
        Self { keys, absent, settled: BTreeMap::new() }
    }

    /// Whether the slot is settled, so that this can be forgotten.
    pub(crate) fn is_done(&self) -> bool {
        self.keys.is_empty() && !self.absent
    }

    /// Whether a key is to be settled before it is shown; `held` says whether there is a record of
    /// it in our table.
    pub(crate) fn contains(&self, key: &[u8], held: bool) -> bool {
        self.keys.contains_key(key) || (self.absent && !held && !self.settled.contains_key(key))
    }

    /// The newest record of a key, where that is not our own.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&[u8]> {
        self.keys.get(key)?.as_deref()
    }

    /// A key is stamped under our ballot.
    pub(crate) fn on_stamped(&mut self, key: &[u8]) {
        if self.keys.remove(key).is_none() && self.absent {
            self.settled.insert(key.into(), ());
        }
    }

    /// The keys that are not settled.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(AsRef::as_ref)
    }

    /// Some key that is not settled.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.keys().next()
    }
}

/// The slots of a leader that are not settled.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct UnsettledSlots {
    slots: BTreeMap<u32, Unsettled>,
    /// Those that have keys to settle. While a member is down there may be many that have none, and after
    /// each turn it is asked for the next key.
    with_keys: BTreeSet<u32>,
}

impl UnsettledSlots {
    pub(crate) fn insert(&mut self, slot: u32, unsettled: Unsettled) {
        self.slots.insert(slot, unsettled);
        self.note(slot);
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Unsettled> {
        self.slots.get(&slot)
    }

    /// A key of a slot is stamped under our ballot.
    pub(crate) fn on_stamped(&mut self, slot: u32, key: &[u8]) {
        let Some(unsettled) = self.slots.get_mut(&slot) else { return };
        unsettled.on_stamped(key);
        if unsettled.is_done() {
            self.slots.remove(&slot);
        }
        self.note(slot);
    }

    /// No member holds a key of the slot that we don't: absent keys are settled.
    pub(crate) fn settle_absent(&mut self, slot: u32) {
        if !self.with_keys.contains(&slot) {
            self.slots.remove(&slot);
        }
    }

    /// These are led no more.
    pub(crate) fn on_lost(&mut self, lost: &SlotSet) {
        self.slots.retain(|slot, _| !lost.contains(*slot));
        self.with_keys.retain(|slot| !lost.contains(*slot));
    }

    /// Some key that is still to be settled.
    pub(crate) fn next(&self) -> Option<(u32, &[u8])> {
        let slot = *self.with_keys.first()?;
        Some((slot, self.get(slot)?.first()?))
    }

    fn note(&mut self, slot: u32) {
        if self.get(slot).and_then(Unsettled::first).is_some() {
            self.with_keys.insert(slot);
        } else {
            self.with_keys.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_with_keys_come_one_after_the_other() {
        let keys = |keys: &[&[u8]]| keys.iter().map(|key| ((*key).into(), None)).collect();
        let mut slots = UnsettledSlots::default();
        slots.insert(1, Unsettled::new(BTreeMap::new(), true));
        slots.insert(2, Unsettled::new(keys(&[b"a", b"b"]), true));
        slots.insert(3, Unsettled::new(keys(&[b"c"]), false));
        slots.insert(4, Unsettled::new(keys(&[b"d"]), false));
        for (slot, key) in [(2, b"a"), (2, b"b"), (3, b"c")] {
            assert_eq!(slots.next(), Some((slot, &key[..])));
            slots.settle_absent(slot);
            slots.on_stamped(slot, key);
        }
        assert!(slots.get(3).is_none() && slots.get(2).is_some(), "absent keys are in doubt in 2");
        let mut lost = SlotSet::new(5);
        lost.insert(4);
        slots.on_lost(&lost);
        assert_eq!(slots.next(), None);
        slots.settle_absent(2);
        assert!(slots.get(2).is_none() && slots.get(4).is_none() && slots.get(1).is_some());
    }
}
