//! Parts of values: ranges of bytes, and single bits.
//!
//! Bit 0 is the highest of the first byte, as in Redis.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::{Answer, Effect, Held, apply::TOO_LONG};
use crate::record::VALUE_SIZE_MAX;

/// The last bit that a value can have.
pub const BIT_OFFSET_MAX: u32 = (VALUE_SIZE_MAX * 8 - 1) as u32;

/// What the places of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Places are bits.
    Bit,
    /// Places are bytes.
    Byte,
}

/// GETRANGE.
pub(super) fn range(held: Option<Held<'_>>, start: i64, end: i64) -> Answer<'_> {
    let value = held.map_or(&[][..], |held| held.value);
    let part = span(start, end, value.len()).and_then(|(first, last)| value.get(first..=last));
    Answer::Bulk(Cow::Borrowed(part.unwrap_or_default()))
}

/// SETRANGE.
pub(super) fn overwrite<'a, 'h>(
    held: Option<Held<'_>>,
    offset: u32,
    part: &[u8],
) -> (Effect<'a>, Answer<'h>) {
    let value = held.map_or(&[][..], |held| held.value);
    if part.is_empty() {
        return (Effect::None, Answer::Integer(value.len() as i64));
    }
    let offset = offset as usize;
    let size = value.len().max(offset + part.len());
    if size > VALUE_SIZE_MAX {
        return (Effect::None, Answer::Error(Cow::Borrowed(TOO_LONG)));
    }
    let mut after = value.to_vec();
    after.resize(size, 0);
    if let Some(place) = after.get_mut(offset..offset + part.len()) {
        place.copy_from_slice(part);
    }
    let expires_at_ms = held.and_then(|held| held.expires_at_ms);
    (Effect::Put { value: Cow::Owned(after), expires_at_ms }, Answer::Integer(size as i64))
}

/// GETBIT.
pub(super) fn get<'h>(held: Option<Held<'_>>, offset: u32) -> Answer<'h> {
    Answer::Integer(held.map_or(0, |held| i64::from(bit(held.value, u64::from(offset)))))
}

/// SETBIT.
pub(super) fn set<'a, 'h>(
    held: Option<Held<'_>>,
    offset: u32,
    on: bool,
) -> (Effect<'a>, Answer<'h>) {
    let value = held.map_or(&[][..], |held| held.value);
    let before = Answer::Integer(i64::from(bit(value, u64::from(offset))));
    let at = (offset / 8) as usize;
    let mut after = value.to_vec();
    after.resize(value.len().max(at + 1), 0);
    if let Some(byte) = after.get_mut(at) {
        let mask = mask(u64::from(offset));
        *byte = if on { *byte | mask } else { *byte & !mask };
    }
    let expires_at_ms = held.and_then(|held| held.expires_at_ms);
    (Effect::Put { value: Cow::Owned(after), expires_at_ms }, before)
}

/// BITCOUNT.
pub(super) fn count<'h>(
    held: Option<Held<'_>>,
    range: Option<(i64, i64)>,
    unit: Unit,
) -> Answer<'h> {
    let value = held.map_or(&[][..], |held| held.value);
    let places = value.len() * if unit == Unit::Bit { 8 } else { 1 };
    let span = match range {
        Some((start, end)) => span(start, end, places),
        None => places.checked_sub(1).map(|last| (0, last)),
    };
    let Some((first, last)) = span else { return Answer::Integer(0) };
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.count_ones())).sum::<i64>();
    let sum = match unit {
        Unit::Byte => value.get(first..=last).map_or(0, ones),
        Unit::Bit => {
            // Whole bytes between, bit by bit at the ends.
            let (whole, end) = (first.div_ceil(8), (last + 1) / 8);
            if whole <= end {
                let edge = |from: usize, to: usize| {
                    (from..to).map(|at| i64::from(bit(value, at as u64))).sum::<i64>()
                };
                value.get(whole..end).map_or(0, ones)
                    + edge(first, whole * 8)
                    + edge(end * 8, last + 1)
            } else {
                (first..=last).map(|at| i64::from(bit(value, at as u64))).sum()
            }
        }
    };
    Answer::Integer(sum)
}

fn bit(value: &[u8], offset: u64) -> bool {
    value.get((offset / 8) as usize).is_some_and(|byte| byte & mask(offset) != 0)
}

const fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// The first and the last place of a range of Redis' kind in so many places; none if it is empty.
fn span(start: i64, end: i64, places: usize) -> Option<(usize, usize)> {
    let places = places as i64;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let at = |place: i64| if place < 0 { places.saturating_add(place).max(0) } else { place };
    let (first, last) = (at(start), at(end).min(places - 1));
    (first <= last).then_some((first as usize, last as usize))
}
