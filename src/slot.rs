//! Keys fall into slots: the unit of digests, repair and, later, of leadership.
//!
//! The slot of a key is CRC-16/XMODEM modulo the number of slots, over the key's hash tag if it has
//! one: the text between the first `{` and the first `}` after it, unless that is empty. This is
//! the rule of Redis Cluster's specification, so its clients' ideas of which keys belong together
//! hold here.

use crc::{CRC_16_XMODEM, Crc, Table};

/// Slots of a production cluster. Simulations draw fewer, so that slots are crowded.
pub const SLOTS: u32 = 16_384;

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
    use super::*;

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
