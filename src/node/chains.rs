//! Chains: the last operation under way of each key, for those that must come after it.
//!
//! Clients pipeline: a GET behind a SET of the same connection must show it, though no reply came
//! in between. In the quorum database it is enough that a task looks at our copy, or is stamped,
//! after those before it on its key; a leader answers a read once the write that it shows is
//! committed. A hash stands for the key: keys of one hash wait for each other, which costs little.

use std::hash::{Hash, Hasher};

use hashbrown::{HashTable, hash_table::Entry};

use crate::node::flights::Number;

/// The last operation under way of each key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chains {
    last: HashTable<(u64, Number)>,
}

impl Chains {
    /// An operation begins. The one under way before it on its key, if there is one.
    pub(crate) fn begin(&mut self, key_hash: u64, task: Number) -> Option<Number> {
        let hash = |(hash, _): &(u64, Number)| *hash;
        match self.last.entry(key_hash, |(hash, _)| *hash == key_hash, hash) {
            Entry::Occupied(mut last) => Some(std::mem::replace(&mut last.get_mut().1, task)),
            Entry::Vacant(free) => {
                free.insert((key_hash, task));
                None
            }
        }
    }

    /// The last operation under way of a key.
    pub(crate) fn last(&self, key_hash: u64) -> Option<Number> {
        self.last.find(key_hash, |(hash, _)| *hash == key_hash).map(|(_, number)| *number)
    }

    /// An operation is over.
    pub(crate) fn end(&mut self, key_hash: u64, task: Number) {
        if let Ok(last) = self.last.find_entry(key_hash, |last| *last == (key_hash, task)) {
            last.remove();
        }
    }
}

/// In no order: where an entry stands in the table says nothing.
impl Hash for Chains {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let sum = |sum: u64, (hash, number): &(u64, Number)| {
            sum.wrapping_add(hash.wrapping_mul(2 * number + 1))
        };
        self.last.iter().fold(0, sum).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_the_one_before_it() {
        let mut chains = Chains::default();
        assert_eq!(chains.begin(5, 1), None);
        assert_eq!(chains.begin(5, 2), Some(1));
        assert_eq!((chains.last(5), chains.last(6)), (Some(2), None));
        assert_eq!(chains.begin(6, 3), None);
        chains.end(5, 1);
        assert_eq!(chains.begin(5, 4), Some(2));
        chains.end(5, 2);
        chains.end(5, 4);
        assert_eq!(chains.begin(5, 5), None);
    }
}
