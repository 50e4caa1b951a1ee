//! Keys that a new leader must settle before it shows them.
//!
//! Of a key whose record is not the same at all members that promised, a new leader does not know
//! whether that record was chosen. It stamps the newest under its own ballot before it answers a
//! read ([`Unsettled::take`]); a write needs no such step, for it takes the place of the record
//! anyway. Stamping anew, instead of sending the old version again, is what keeps rival leftovers
//! of earlier ballots from coming back (PROTOCOL section 4, CE-OLDVER).

use std::collections::BTreeMap;

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
