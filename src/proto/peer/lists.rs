//! What fills the variable part of a frame: lists, read entry by entry, and bits.
//!
//! Each list is written by a `push` of one entry after the other, and read by an iterator that
//! yields `None` in place of an entry that is malformed, and nothing after it.

use super::fields::{Body, Fields};
use crate::record::{Ballot, Version};

/// The bit of a [`states`] entry that says accepted.
const ACCEPTED: u8 = 1;

/// Appends one entry of [`births`].
pub fn push_birth(births: &mut Vec<u8>, birth: u64) {
    Body::of(births).u64(birth);
}

/// When the data directories of the members began their first lives, in the order of their ids.
pub fn births(births: &[u8]) -> impl Iterator<Item = Option<u64>> {
    list(births, Fields::u64)
}

/// Appends one entry of [`confirms`].
pub fn push_confirm(entries: &mut Vec<u8>, slot: u32, ballot: Ballot) {
    Body::of(entries).u32(slot).ballot(ballot);
}

/// Slots, and the ballots under which their leaders ask.
pub fn confirms(entries: &[u8]) -> impl Iterator<Item = Option<(u32, Ballot)>> {
    list(entries, |fields| Some((fields.u32()?, fields.ballot()?)))
}

/// Appends one entry of [`digests`].
pub fn push_digest(digests: &mut Vec<u8>, digest: u128) {
    Body::of(digests).u128(digest);
}

/// Digests, 16 bytes apiece.
pub fn digests(digests: &[u8]) -> impl Iterator<Item = Option<u128>> {
    list(digests, Fields::u128)
}

/// Appends one entry of [`keys`].
pub fn push_key(keys: &mut Vec<u8>, key: &[u8]) {
    Body::of(keys).sized(key);
}

/// Keys, each with its size in 16 bits before it.
pub fn keys(keys: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    list(keys, Fields::sized)
}

/// Appends one entry of [`leads`].
pub fn push_lead(entries: &mut Vec<u8>, ballot: Ballot, slots: &[u8]) {
    Body::of(entries).ballot(ballot).sized(slots);
}

/// Ballots, and the slots led under each: the bytes of a [`crate::slot::SlotSet`], with their size
/// in 16 bits before them.
pub fn leads(entries: &[u8]) -> impl Iterator<Item = Option<(Ballot, &[u8])>> {
    list(entries, |fields| Some((fields.ballot()?, fields.sized()?)))
}

/// Appends one entry of [`lives`].
pub fn push_life(lives: &mut Vec<u8>, life: u64) {
    Body::of(lives).u64(life);
}

/// Lives of the members, in the order of their ids.
pub fn lives(lives: &[u8]) -> impl Iterator<Item = Option<u64>> {
    list(lives, Fields::u64)
}

/// Appends one entry of [`marks`].
pub fn push_mark(marks: &mut Vec<u8>, life: u64, hlc: u64) {
    Body::of(marks).pair((life, hlc));
}

/// Lives, and hybrid logical clocks that they promised, in the order of the members' ids.
pub fn marks(marks: &[u8]) -> impl Iterator<Item = Option<(u64, u64)>> {
    list(marks, Fields::pair)
}

/// Appends one entry of [`offers`]: version, key size, key.
pub fn push_offer(entries: &mut Vec<u8>, version: Version, key: &[u8]) {
    Body::of(entries).version(version).sized(key);
}

/// Versions, and the keys that they are held of.
pub fn offers(entries: &[u8]) -> impl Iterator<Item = Option<(Version, &[u8])>> {
    list(entries, |fields| Some((fields.version()?, fields.sized()?)))
}

/// Appends one entry of [`records`]: the bytes of a record, or none where no record is held.
pub fn push_record(records: &mut Vec<u8>, record: &[u8]) {
    Body::of(records).u32(record.len() as u32).bytes(record);
}

/// The bytes of records, each with its size in 32 bits before it; empty where none is held.
pub fn records(records: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    list(records, |fields| {
        let size = fields.u32()?;
        fields.bytes(size as usize)
    })
}

/// Appends one entry of [`states`].
pub fn push_state(entries: &mut Vec<u8>, version: Version, accepted: bool) {
    Body::of(entries).version(version).u8(if accepted { ACCEPTED } else { 0 });
}

/// Versions held, and whether each counts as accepted.
pub fn states(entries: &[u8]) -> impl Iterator<Item = Option<(Version, bool)>> {
    list(entries, |fields| {
        let (version, flags) = (fields.version()?, fields.u8()?);
        (flags & !ACCEPTED == 0).then_some((version, flags & ACCEPTED != 0))
    })
}

/// Whether bit `index` is set.
#[must_use]
pub fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Sets bit `index`, growing `bits` as needed.
pub fn set_bit(bits: &mut Vec<u8>, index: usize) {
    if bits.len() <= index / 8 {
        bits.resize(index / 8 + 1, 0);
    }
    if let Some(byte) = bits.get_mut(index / 8) {
        *byte |= 1 << (index % 8);
    }
}

fn list<'a, T>(
    entries: &'a [u8],
    read: impl Fn(&mut Fields<'a>) -> Option<T>,
) -> impl Iterator<Item = Option<T>> {
    let mut fields = Fields::of(entries);
    std::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let entry = read(&mut fields);
        if entry.is_none() {
            fields.rest();
        }
        Some(entry)
    })
}
