//! The lock scripts that this node was shown, by their hashes. They are forgotten when it stops:
//! clients send a script again when its hash is not known.

use std::collections::BTreeMap;

use crate::command::script::{self, Hash, Shape};

/// Scripts by hash.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Scripts {
    known: BTreeMap<Hash, Shape>,
}

impl Scripts {
    /// Learns a script; its shape and hash.
    ///
    /// # Errors
    /// What the client is told if it is none of those that are known, or there is no room.
    pub(crate) fn learn(
        &mut self,
        text: &[u8],
        most: usize,
    ) -> Result<(Shape, Hash), &'static str> {
        let shape = script::shape(text).ok_or(script::NO_LUA)?;
        let hash = script::hash(text);
        if self.known.len() >= most && !self.known.contains_key(&hash) {
            return Err(script::FULL);
        }
        self.known.insert(hash, shape);
        Ok((shape, hash))
    }

    /// The script of this hash, in hexadecimal digits.
    pub(crate) fn of(&self, digits: &[u8]) -> Option<Shape> {
        self.known.get(&script::hash_of_hex(digits)?).copied()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}
