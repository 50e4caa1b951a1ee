//! Keys fall into slots: the unit of digests, repair and leadership. [`SlotSet`] names many at once.
//!
//! The slot of a key is CRC-16/XMODEM modulo the number of slots, over the key's hash tag if it has
//! one: the text between the first `{` and the first `}` after it, unless that is empty. This is
//! the rule of Redis Cluster's specification, so its clients' ideas of which keys belong together
//! hold here.

use crc::{CRC_16_XMODEM, Crc, Table};

/// Slots of a production cluster. Simulations draw fewer, so that slots are crowded.
pub const SLOTS: u32 = 16_384;

/// The most slots a cluster can have: as many as the checksum tells apart.
pub const SLOTS_MAX: u32 = 1 << 16;
/// The longest [`SlotSet::to_bytes`] of a cluster.
pub const SLOT_SET_SIZE_MAX: usize = SLOTS_MAX as usize / 8;

const CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// A slot's number, below the cluster's number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot that `key` falls into when there are `slots` of them.
    ///
    /// # Panics
    /// If `slots` is 0.
    #[must_use]
    #[inline]
    pub fn of(key: &[u8], slots: u32) -> Self {
        Self(u32::from(CRC.checksum(hash_tag(key))) % slots)
    }

    /// The slot as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of slots, as many bits as there are slots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotSet {
    /// Slot 0 is the lowest bit of the first word. Bits from `slots` on are zero.
    words: Vec<u64>,
    slots: u32,
}

impl SlotSet {
    /// None of `slots` slots.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { words: vec![0; slots.div_ceil(u64::BITS) as usize], slots }
    }

    /// All of `slots` slots.
    #[must_use]
    pub fn full(slots: u32) -> Self {
        let mut words = vec![u64::MAX; slots.div_ceil(u64::BITS) as usize];
        let used = slots % u64::BITS;
        if let Some(last) = words.last_mut().filter(|_| used > 0) {
            *last = (1 << used) - 1;
        }
        Self { words, slots }
    }

    /// How many slots there are, in the set or not.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Adds a slot. Whether it was missing.
    ///
    /// # Panics
    /// If there is no such slot: compare a number that comes from a peer before.
    pub fn insert(&mut self, slot: u32) -> bool {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        let (word, mask) = self.place(slot).expect("below the number of slots");
        let missing = *word & mask == 0;
        *word |= mask;
        missing
    }

    /// Takes a slot out. Whether it was there.
    pub fn remove(&mut self, slot: u32) -> bool {
        let Some((word, mask)) = self.place(slot) else { return false };
        let held = *word & mask != 0;
        *word &= !mask;
        held
    }

    /// Whether the slot is in the set; one that does not exist is not.
    #[must_use]
    #[inline]
    pub fn contains(&self, slot: u32) -> bool {
        let word = self.words.get((slot / u64::BITS) as usize);
        word.is_some_and(|word| word >> (slot % u64::BITS) & 1 == 1)
    }

    /// How many slots are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no slot is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The slots in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).step_by(u64::BITS as usize).zip(&self.words).flat_map(|(first, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let at = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(first + at)
            })
        })
    }

    /// Adds all slots of `other`.
    pub fn union_with(&mut self, other: &Self) {
        self.combine(other, |own, theirs| own | theirs);
    }

    /// Takes all slots of `other` out.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |own, theirs| own & !theirs);
    }

    /// Takes all slots out that are not in `other`.
    pub fn intersect_with(&mut self, other: &Self) {
        self.combine(other, |own, theirs| own & theirs);
    }

    /// Appends the set's bits to `out`, slot 0 the lowest of the first byte, without the zero bytes
    /// at the end.
    pub fn to_bytes(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        let used = out.iter().skip(start).rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        out.truncate(start + used);
    }

    /// The set of [`SlotSet::to_bytes`]; none if the bytes name a slot that does not exist.
    #[must_use]
    pub fn from_bytes(slots: u32, bytes: &[u8]) -> Option<Self> {
        let size = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut set = Self::new(slots);
        let mut pieces = bytes.get(..size)?.chunks(8);
        for word in &mut set.words {
            let Some(piece) = pieces.next() else { break };
            let mut whole = [0; 8];
            whole.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            *word = u64::from_le_bytes(whole);
        }
        let last = set.words.last().copied().unwrap_or_default();
        let used = slots % u64::BITS;
        let over = used != 0 && last >> used != 0;
        (pieces.next().is_none() && !over).then_some(set)
    }

    fn place(&mut self, slot: u32) -> Option<(&mut u64, u64)> {
        let word = self.words.get_mut((slot / u64::BITS) as usize)?;
        Some((word, 1 << (slot % u64::BITS)))
    }

    fn combine(&mut self, other: &Self, rule: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.slots, other.slots, "sets of one cluster");
        for (own, theirs) in self.words.iter_mut().zip(&other.words) {
            *own = rule(*own, *theirs);
        }
    }
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        Some(0) | None => key,
        Some(close) => &inside[..close],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn set(slots: u32, of: &BTreeSet<u32>) -> SlotSet {
        let mut set = SlotSet::new(slots);
        of.iter().for_each(|slot| assert!(set.insert(*slot) && !set.insert(*slot)));
        set
    }

    fn members(set: &SlotSet) -> BTreeSet<u32> {
        let listed: Vec<u32> = set.iter().collect();
        assert!(listed.is_sorted());
        assert_eq!((listed.len(), listed.is_empty()), (set.len(), set.is_empty()));
        listed.into_iter().collect()
    }

    /// A number of slots, and two sets of them.
    fn sets() -> impl Strategy<Value = (u32, BTreeSet<u32>, BTreeSet<u32>)> {
        (1..200_u32).prop_flat_map(|slots| {
            let some = || proptest::collection::btree_set(0..slots, 0..40);
            (proptest::prelude::Just(slots), some(), some())
        })
    }

    proptest! {
        #[test]
        fn slot_sets_agree_with_plain_ones((slots, a, b) in sets(), taken in any::<u32>()) {
            let (left, right) = (set(slots, &a), set(slots, &b));
            prop_assert_eq!(members(&left), a.clone());
            for slot in 0..slots + 70 {
                prop_assert_eq!(left.contains(slot), a.contains(&slot));
            }
            let after = |change: fn(&mut SlotSet, &SlotSet)| {
                let mut changed = left.clone();
                change(&mut changed, &right);
                members(&changed)
            };
            prop_assert_eq!(after(SlotSet::union_with), &a | &b);
            prop_assert_eq!(after(SlotSet::subtract), &a - &b);
            prop_assert_eq!(after(SlotSet::intersect_with), &a & &b);
            let (mut smaller, mut plain, taken) = (left, a, taken % (slots + 70));
            prop_assert_eq!(smaller.remove(taken), plain.remove(&taken));
            prop_assert_eq!(members(&smaller), plain);
        }

        #[test]
        fn slot_sets_read_back((slots, a, _) in sets(), zeros in 0..20_usize) {
            let set = set(slots, &a);
            let mut bytes = vec![0];
            set.to_bytes(&mut bytes);
            let mut bytes = bytes.split_off(1);
            prop_assert_eq!(bytes.len(), a.last().map_or(0, |last| *last as usize / 8 + 1));
            prop_assert_eq!(SlotSet::from_bytes(slots, &bytes), Some(set.clone()));
            if let Some(last) = a.last() {
                prop_assert_eq!(SlotSet::from_bytes(*last, &bytes), None);
                prop_assert!(SlotSet::from_bytes(last + 1, &bytes).is_some());
            }
            bytes.resize(bytes.len() + zeros, 0);
            prop_assert_eq!(SlotSet::from_bytes(slots, &bytes), Some(set));
        }
    }

    #[test]
    fn full_sets_hold_every_slot_and_no_other() {
        for slots in [0, 1, 63, 64, 65, 128, SLOTS] {
            let full = SlotSet::full(slots);
            assert_eq!(members(&full), (0..slots).collect());
            let mut bytes = Vec::new();
            full.to_bytes(&mut bytes);
            assert_eq!(SlotSet::from_bytes(slots, &bytes), Some(full));
        }
        assert_eq!(SlotSet::from_bytes(64, &[0, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(SlotSet::from_bytes(0, &[1]), None);
    }

    #[test]
    fn agrees_with_redis_cluster() {
        // Values from `CLUSTER KEYSLOT` of redis-server 7.0 and from the check value of the cluster
        // specification.
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        assert_eq!(Slot::of(b"foo", SLOTS), Slot(12_182));
        assert_eq!(Slot::of(b"somekey", SLOTS), Slot(11_058));
        assert_eq!(Slot::of(b"", SLOTS), Slot(0));
    }

    #[test]
    fn hash_tags_keep_keys_together() {
        assert_eq!(hash_tag(b"{user1000}.following"), b"user1000");
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
    }
}
