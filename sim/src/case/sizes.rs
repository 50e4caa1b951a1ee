//! How many requests a case has.
//!
//! Most of what a bug needs is a few requests at the right moment. Of small cases more are played in the
//! same time, and up to a point that finds more: with 60 requests at most planted bugs died more often in
//! the same time than without a bound, and than with 20. Some cases are large all the same, for what only
//! shows then.

use super::{brief, dark, drama::Drama, rolling};
use crate::chance::Chance;

/// The most requests of the case of a seed.
pub(super) fn requests_max(seed: u64) -> usize {
    let mut chance = Chance::new(seed, "size", 0);
    let sizes: &[usize] = if rolling::is_drawn(seed) {
        &[100, 100, 200, 200, 1000]
    } else if dark::is_drawn(seed) {
        &[20, 40, 100, 1000]
    } else if Drama::draw(seed).is_some() {
        &[30, 30, 60, 60, 60, 60, 100, 1000]
    } else if brief::is_drawn(seed) {
        &[10, 20, 30, 60]
    } else {
        &[30, 60, 60, 60, 100, 1000]
    };
    chance.pick(sizes)
}
