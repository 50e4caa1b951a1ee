//! Chains: tasks on one key are decided in the order in which they came.
//!
//! Clients pipeline: a GET behind a SET of the same connection must show it, though no reply came
//! in between. It is enough that a task looks at our copy, or is stamped, after those before it on
//! its key. A hash stands for the key: keys of one hash wait for each other, which costs little.

use hashbrown::{HashTable, hash_table::Entry};

use crate::node::flights::Number;

/// The last undecided task of each key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chains {
    last: HashTable<(u64, Number)>,
}

impl Chains {
    /// A task begins. The undecided one before it on its key, if there is one.
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

    /// A task is decided.
    pub(crate) fn end(&mut self, key_hash: u64, task: Number) {
        if let Ok(last) = self.last.find_entry(key_hash, |last| *last == (key_hash, task)) {
            last.remove();
        }
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
        assert_eq!(chains.begin(6, 3), None);
        chains.end(5, 1);
        assert_eq!(chains.begin(5, 4), Some(2));
        chains.end(5, 2);
        chains.end(5, 4);
        assert_eq!(chains.begin(5, 5), None);
    }
}
