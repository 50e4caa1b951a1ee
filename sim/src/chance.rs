//! Chance without state: every number is a hash of what it is for.
//!
//! A draw is named by seed, domain, entity and a counter, so nothing that is drawn depends on how
//! much was drawn before it: deleting one fault from a case, or adding a client, shifts nothing
//! else.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What names a number: its entity, its counter and the domain. Room for the longest domain.
const NAME_SIZE_MAX: usize = 64;

/// The numbers of one entity of one domain, in order.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    domain: &'static str,
    entity: u64,
    counter: u64,
}

impl Chance {
    /// The numbers of `entity` (a client, a fault, a link) in `domain` (what they are for).
    #[must_use]
    pub const fn new(seed: u64, domain: &'static str, entity: u64) -> Self {
        Self { seed, domain, entity, counter: 0 }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let (numbers, end) = (16, 16 + self.domain.len());
        let mut name = [0; NAME_SIZE_MAX];
        name[..8].copy_from_slice(&self.entity.to_le_bytes());
        name[8..numbers].copy_from_slice(&self.counter.to_le_bytes());
        name[numbers..end].copy_from_slice(self.domain.as_bytes());
        self.counter += 1;
        xxh3_64_with_seed(&name[..end], self.seed)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below zero");
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `high` is below `low`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "nothing is between {low} and {high}");
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_number_depends_on_its_name_only() {
        let first = |seed, domain, entity| Chance::new(seed, domain, entity).bits();
        assert_eq!(first(1, "fault", 2), first(1, "fault", 2));
        assert_ne!(first(1, "fault", 2), first(2, "fault", 2));
        assert_ne!(first(1, "fault", 2), first(1, "client", 2));
        assert_ne!(first(1, "fault", 2), first(1, "fault", 3));
        let mut chance = Chance::new(1, "fault", 2);
        assert_ne!(chance.bits(), chance.bits());
    }

    #[test]
    fn numbers_keep_their_bounds_and_reach_them() {
        let mut chance = Chance::new(7, "bounds", 0);
        let drawn: Vec<u64> = (0..200).map(|_| chance.between(3, 6)).collect();
        assert!((3..=6).all(|number| drawn.contains(&number)));
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
    }
}
