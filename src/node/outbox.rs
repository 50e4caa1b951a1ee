//! What one peer has yet to acknowledge: the replication buffer.
//!
//! The stream to a peer is a sequence of whole frames; a position in it is the count of bytes
//! before. Acknowledgements are cumulative. On a new connection of the same session `sent` goes
//! back to what the peer says it has applied, and everything after that is sent again. An outbox
//! over its limit gives up: it forgets its frames and takes no more until a new session begins.
//! Then the peer is Behind, and repair from the current table takes over.
//!
//! Invariant: `acked <= sent <= end`, and each of them stands between two frames.

use crate::{
    buffer::OutBuf,
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{FLUSH_SIZE, FRAME_HEAD, Frame, STREAM_OVERHEAD},
    record::{Db, Version},
};

/// The replication buffer of one peer.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Outbox {
    /// Frames from `acked` to `end`.
    frames: OutBuf,
    acked: u64,
    sent: u64,
    behind: bool,
    size_max: usize,
}

impl Outbox {
    /// An outbox before its first session: Behind, so that a peer is not saved for before it was
    /// ever seen.
    pub(crate) const fn new(size_max: usize) -> Self {
        Self { frames: OutBuf::new(), acked: 0, sent: 0, behind: true, size_max }
    }

    /// Appends a record's frame; `record` is its encoding. The position behind it, unless the
    /// outbox has given up.
    pub(crate) fn push_record(&mut self, record: &[u8]) -> Option<u64> {
        self.push(STREAM_OVERHEAD + record.len(), |pos| Frame::Record { pos, record })
    }

    /// Appends a frame of this size; it is told its position. The position behind it, unless the
    /// outbox has given up.
    pub(crate) fn push<'f>(
        &mut self,
        size: usize,
        frame: impl FnOnce(u64) -> Frame<'f>,
    ) -> Option<u64> {
        if !self.make_room(size) {
            return None;
        }
        frame(self.end()).encode(self.frames.tail());
        Some(self.end())
    }

    /// Appends a flush's frame. The position behind it, unless the outbox has given up.
    pub(crate) fn push_flush(&mut self, db: Db, version: Version) -> Option<u64> {
        self.push(FLUSH_SIZE, |pos| Frame::Flush { pos, db, version })
    }

    /// Whole frames that have not been sent yet, at most about `room` bytes of them but at least
    /// one; they count as sent.
    pub(crate) fn take_unsent(&mut self, room: usize) -> &[u8] {
        let from = (self.sent - self.acked) as usize;
        let unsent = self.frames.pending().get(from..).unwrap_or_default();
        let size = whole_frames(unsent, room);
        self.sent += size as u64;
        debug_assert!(self.sent <= self.end());
        &unsent[..size]
    }

    /// Everything before `pos` has arrived. False if that can't be: it was not sent yet, or
    /// acknowledged before, or ends within a frame.
    #[must_use]
    pub(crate) fn on_ack(&mut self, pos: u64) -> bool {
        if pos > self.sent || !self.is_between_frames(pos) {
            return false;
        }
        self.frames.consume((pos - self.acked) as usize);
        self.acked = pos;
        true
    }

    /// The same session goes on over a new connection, and the peer has applied everything before
    /// `pos`. False if that can't be. It is not acknowledged by that: the peer says so when it is
    /// durable there.
    #[must_use]
    pub(crate) fn resume(&mut self, pos: u64) -> bool {
        if self.behind || !self.is_between_frames(pos) {
            return false;
        }
        if self.sent > pos {
            reached(Hook::SessionResumed);
        }
        if !planted(Mutant::NoResend) {
            self.sent = pos;
        }
        true
    }

    /// A new session begins: empty, at position 0.
    pub(crate) fn reset(&mut self) {
        self.frames = OutBuf::new();
        (self.acked, self.sent, self.behind) = (0, 0, false);
    }

    /// Forgets everything until the next session.
    pub(crate) fn give_up(&mut self) {
        self.reset();
        self.behind = true;
    }

    /// Whether frames were forgotten, so that only a new session and repair can go on.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether there is something to send.
    pub(crate) const fn has_unsent(&self) -> bool {
        self.sent < self.end()
    }

    /// Everything before it has arrived.
    pub(crate) const fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether a frame of this size can be added that can as well come later: half of the space is
    /// for what can't, but a larger frame finds room when nothing else is there.
    pub(crate) const fn has_room(&self, size: usize) -> bool {
        let most = if self.frames.is_empty() { self.size_max } else { self.size_max / 2 };
        !self.behind && self.frames.len() + size <= most
    }

    /// Bytes that are not acknowledged.
    pub(crate) const fn len(&self) -> usize {
        self.frames.len()
    }

    fn is_between_frames(&self, pos: u64) -> bool {
        let Some(size) = pos.checked_sub(self.acked) else { return false };
        pos <= self.end() && whole_frames(self.frames.pending(), size as usize) as u64 == size
    }

    /// The position behind the last frame.
    pub(crate) const fn end(&self) -> u64 {
        self.acked + self.frames.len() as u64
    }

    fn make_room(&mut self, size: usize) -> bool {
        if !self.behind && self.frames.len() + size > self.size_max {
            if planted(Mutant::OutboxDropped) {
                // Nothing shows: not even a gap in the stream.
                let dropped = self.frames.len() - (self.sent - self.acked) as usize;
                let kept = self.frames.tail().len() - dropped;
                self.frames.tail().truncate(kept);
                return self.frames.len() + size <= self.size_max;
            }
            self.give_up();
        }
        !self.behind
    }
}

/// The size of the frames at the start of `frames` that together have `least` bytes or more, or of
/// all of them.
fn whole_frames(frames: &[u8], least: usize) -> usize {
    let mut size = 0;
    while size < least
        && let Some((head, _)) = frames.get(size..).and_then(|rest| rest.split_first_chunk())
    {
        size += FRAME_HEAD - 1 + u32::from_le_bytes(*head) as usize;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::peer::FrameStep;

    fn session(size_max: usize) -> Outbox {
        let mut outbox = Outbox::new(size_max);
        outbox.reset();
        outbox
    }

    fn positions(mut bytes: &[u8]) -> Vec<u64> {
        let mut positions = Vec::new();
        while let FrameStep::Complete { frame: Frame::Record { pos, .. }, consumed } =
            Frame::next(bytes, 1000)
        {
            positions.push(pos);
            bytes = &bytes[consumed..];
        }
        assert!(bytes.is_empty(), "only whole frames are taken");
        positions
    }

    #[test]
    fn what_can_wait_has_half_of_the_space_or_all_of_it_for_one_frame() {
        let mut outbox = session(100);
        assert!(outbox.has_room(100) && !outbox.has_room(101));
        outbox.push_record(b"1234567");
        let left = 50 - outbox.len();
        assert!(outbox.has_room(left) && !outbox.has_room(left + 1));
        outbox.give_up();
        assert!(!outbox.has_room(1), "nothing goes to who is Behind");
    }

    #[test]
    fn resends_exactly_what_was_not_acknowledged() {
        let mut outbox = session(1000);
        for _ in 0..4 {
            outbox.push_record(b"1234567");
        }
        assert_eq!(positions(outbox.take_unsent(25)), [0, 20]);
        assert_eq!(positions(outbox.take_unsent(1)), [40]);
        assert!(outbox.on_ack(20));
        assert!(!outbox.on_ack(0), "acknowledgements never go back");
        assert!(!outbox.on_ack(80), "not sent yet");
        assert!(!outbox.on_ack(39) && !outbox.resume(39), "within a frame");
        assert!(outbox.resume(40), "the peer had more than it could say");
        assert_eq!(positions(outbox.take_unsent(1000)), [40, 60]);
        assert!(!outbox.has_unsent());
        assert!(!outbox.resume(10) && !outbox.resume(100));
        assert!(outbox.on_ack(80));
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn over_its_limit_it_forgets_until_a_new_session() {
        let mut outbox = session(45);
        outbox.push_record(b"1234567");
        outbox.push_record(b"1234567");
        assert!(!outbox.is_behind());
        outbox.push_flush(Db::STRONG, Version::NONE);
        assert!(outbox.is_behind() && outbox.len() == 0);
        outbox.push_record(b"x");
        assert!(!outbox.has_unsent() && !outbox.resume(0));
        outbox.reset();
        outbox.push_record(b"x");
        assert_eq!(positions(outbox.take_unsent(1000)), [0]);
    }
}
