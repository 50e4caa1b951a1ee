//! Bytes on their way out: appended at the end, consumed from the front, never moved while a writer
//! is at work.
//!
//! The space of consumed bytes is won back in bulk, when they are the larger half, so that each
//! byte is moved at most once on average. A drained buffer that once grew large gives its memory
//! back: an idle connection costs little.

/// What a drained buffer may keep allocated: enough for a pipeline of small replies, little enough
/// for 10,000 of them.
const KEPT_WHEN_DRAINED: usize = 32 * 1024;

/// A byte queue.
#[derive(Clone, Debug, Default, Hash)]
pub struct OutBuf {
    bytes: Vec<u8>,
    /// Everything before this is consumed. At most `bytes.len()`.
    head: usize,
}

impl OutBuf {
    /// An empty queue, which allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), head: 0 }
    }

    /// Bytes appended and not yet consumed.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// How many bytes are pending.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Whether nothing is pending.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `more`.
    pub fn extend(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// Appends one byte.
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// The queue's end as a vector to append to. Shrinking it is a bug.
    pub(crate) const fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Forgets the first `count` pending bytes.
    ///
    /// # Panics
    /// If fewer are pending.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed {count} of {} pending bytes", self.len());
        self.head += count;
        if self.head == self.bytes.len() {
            self.clear();
        } else if self.head > self.bytes.len() / 2 {
            self.bytes.copy_within(self.head.., 0);
            self.bytes.truncate(self.bytes.len() - self.head);
            self.head = 0;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_WHEN_DRAINED);
        self.head = 0;
    }

    /// Memory held, in bytes.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_through_partial_consumption() {
        let mut queue = OutBuf::new();
        let mut expected = std::collections::VecDeque::new();
        for round in 0..200_usize {
            let chunk: Vec<u8> = (0..round % 17).map(|n| (round * 31 + n) as u8).collect();
            queue.extend(&chunk);
            expected.extend(chunk);
            let take = (round * 7 % 13).min(queue.len());
            assert_eq!(&queue.pending()[..take], expected.drain(..take).collect::<Vec<u8>>());
            queue.consume(take);
            assert_eq!(queue.len(), expected.len());
        }
        assert_eq!(queue.pending(), expected.into_iter().collect::<Vec<u8>>());
    }

    #[test]
    fn gives_memory_back_when_drained() {
        let mut queue = OutBuf::new();
        queue.extend(&vec![1; 1 << 20]);
        queue.consume(1 << 20);
        assert!(queue.capacity() <= KEPT_WHEN_DRAINED);
    }

    #[test]
    #[should_panic(expected = "consumed 3 of 2")]
    fn consuming_too_much_is_a_bug() {
        let mut queue = OutBuf::new();
        queue.extend(b"ab");
        queue.consume(3);
    }
}
