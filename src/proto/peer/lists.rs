//! What fills the variable part of a frame: lists, read entry by entry, and bits.

use super::fields::Fields;
use crate::record::Version;

/// Appends one entry of an offer: version, key size, key.
pub fn push_offer(entries: &mut Vec<u8>, version: Version, key: &[u8]) {
    entries.extend_from_slice(&version.to_bits().to_le_bytes());
    entries.extend_from_slice(&(key.len() as u16).to_le_bytes());
    entries.extend_from_slice(key);
}

/// The entries of an offer; `None` in place of one that is malformed, and nothing after it.
pub fn offers(entries: &[u8]) -> impl Iterator<Item = Option<(Version, &[u8])>> {
    let mut fields = Fields::of(entries);
    std::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let entry = fields.offer();
        if entry.is_none() {
            fields.rest();
        }
        Some(entry)
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
