//! Chance as data: a generator seeded by the driver, so that one seed replays one life of a node.

use std::hash::{Hash, Hasher};

use rand::{Rng as _, SeedableRng, rngs::StdRng};

/// A node's source of chance: jitter of timers and nothing that correctness rests on.
#[derive(Debug)]
pub struct Rng {
    generator: StdRng,
    seed: u64,
    /// How many numbers were drawn.
    drawn: u64,
}

/// The library's generator can't be copied, so the copy draws again what was drawn. Only searches
/// copy nodes, and theirs have drawn little.
impl Clone for Rng {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.seed);
        for _ in 0..self.drawn {
            copy.bits();
        }
        copy
    }
}

/// Two generators are alike to whoever compares nodes: chance shifts timers, and nothing that
/// correctness rests on.
impl Hash for Rng {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Rng {
    /// The generator that `seed` names.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { generator: StdRng::seed_from_u64(seed), seed, drawn: 0 }
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias of the multiplication is below 2^-32
    /// for the small bounds that timers use.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// Sixty-four fresh bits.
    pub fn bits(&mut self) -> u64 {
        self.drawn += 1;
        self.generator.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn a_seed_names_its_sequence_and_bounds_hold() {
        let (mut a, mut b, mut c) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let from_a: Vec<u64> = (0..100).map(|_| a.below(10)).collect();
        let from_b: Vec<u64> = (0..100).map(|_| b.below(10)).collect();
        let from_c: Vec<u64> = (0..100).map(|_| c.below(10)).collect();
        assert_eq!(from_a, from_b);
        assert_ne!(from_a, from_c);
        assert!(from_a.iter().all(|n| *n < 10));
        assert!((0..10).all(|n| from_a.contains(&n)));
        assert_eq!(a.below(0), 0);
        assert_eq!(a.clone().bits(), a.bits());
    }
}
