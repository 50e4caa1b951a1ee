//! Messages out of bytes: what is written to a connection in any pieces, read in any others, and
//! lost with it.
//!
//! A message between nodes is a frame. It is sent when its last byte leaves and delivered when its
//! last byte is read: only then can it have made a difference. What a client writes in one go is
//! one message, and so is what a node writes back to it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use quorate::proto::peer::{FRAME_SIZE_MAX, Frame, FrameStep};

use super::{Moment, subject::Subjects};
use crate::oracle::DbKey;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The host that sent it.
    pub from: usize,
    /// The host that it is for.
    pub to: usize,
    /// When its last byte left.
    pub sent: Moment,
    /// How many bytes it has.
    pub size: usize,
    /// The kind of its frame, or `Request` or `Reply`.
    pub kind: String,
    /// The keys that it is about, as far as it says so.
    pub keys: Vec<DbKey>,
    /// The entries of the history that it belongs to, if a client sent it or is sent it.
    pub entries: Range<usize>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its last byte was read.
    Delivered(Moment),
    /// Its connection was gone when it came, or before it was read.
    Lost(Moment),
    /// The run ended before it came.
    UnderWay,
}

/// What is written to one end.
#[derive(Debug)]
struct Stream {
    from: usize,
    to: usize,
    /// Begins with the byte that says that a node dials.
    greets: bool,
    /// What a client has asked on it last.
    entries: Range<usize>,
    /// Of a frame that has not left as a whole.
    partial: Vec<u8>,
    sent: u64,
    read: u64,
    /// Where the messages end that were not read yet, and with which piece.
    due: VecDeque<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    end: u64,
    piece: u64,
    message: usize,
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Wire {
    nodes: usize,
    /// By the end that they go to.
    streams: Vec<Stream>,
    subjects: Subjects,
    /// What each client has asked last.
    asked: BTreeMap<usize, Range<usize>>,
    /// Read by nodes of messages whose end was not.
    read: u64,
    delivered: u64,
}

impl Wire {
    pub(super) fn new(nodes: usize, keys: Vec<Vec<u8>>) -> Self {
        Self { nodes, subjects: Subjects::new(keys), ..Self::default() }
    }

    /// The first of the ends is that of the host that dials.
    pub(super) fn on_connect(&mut self, ends: (usize, usize), a: usize, b: usize) {
        // So they begin with an even number, and the other end of one has the last bit flipped.
        assert_eq!((self.streams.len(), ends.1), (ends.0, ends.0 + 1), "ends come in pairs");
        let between_nodes = a < self.nodes && b < self.nodes;
        for (from, to, greets) in [(b, a, false), (a, b, between_nodes)] {
            let (partial, due) = (Vec::new(), VecDeque::new());
            let (sent, read, entries) = (0, 0, 0..0);
            self.streams.push(Stream { from, to, greets, entries, partial, sent, read, due });
        }
    }

    pub(super) fn on_asked(&mut self, host: usize, entries: Range<usize>) {
        self.asked.insert(host, entries);
    }

    pub(super) fn on_sent(
        &mut self,
        at: Moment,
        end: usize,
        piece: u64,
        bytes: &[u8],
        messages: &mut Vec<Message>,
    ) {
        let (from, to) = (self.streams[end].from, self.streams[end].to);
        let client = from.max(to);
        if client == from {
            self.streams[end].entries = self.asked.get(&client).cloned().unwrap_or(0..0);
        }
        // A reply belongs to what was asked on its connection, even if the client has gone on since.
        let asked = if client == from { end } else { end ^ 1 };
        let entries = self.streams[asked].entries.clone();
        let stream = &mut self.streams[end];
        stream.partial.extend_from_slice(bytes);
        let mut whole: Vec<(usize, String, Vec<DbKey>)> = Vec::new();
        let mut taken = 0;
        if client >= self.nodes {
            let kind = if from == client { "Request" } else { "Reply" };
            taken = stream.partial.len();
            whole.push((taken, kind.to_owned(), Vec::new()));
        }
        while client < self.nodes {
            let lead = usize::from(stream.greets);
            let rest = stream.partial.get(taken + lead..).unwrap_or_default();
            let (size, kind, keys) = match Frame::next(rest, FRAME_SIZE_MAX) {
                FrameStep::Complete { frame, consumed } => {
                    let keys = self.subjects.of(from, to, &frame);
                    (consumed, name(&frame), keys)
                }
                FrameStep::Incomplete { .. } => break,
                FrameStep::Broken(_) => (rest.len(), "Broken".to_owned(), Vec::new()),
            };
            stream.greets = false;
            whole.push((lead + size, kind, keys));
            taken += lead + size;
        }
        stream.partial.drain(..taken);
        for (size, kind, keys) in whole {
            stream.sent += size as u64;
            stream.due.push_back(Due { end: stream.sent, piece, message: messages.len() });
            let (fate, entries) = (Fate::UnderWay, entries.clone());
            messages.push(Message { from, to, sent: at, size, kind, keys, entries, fate });
        }
    }

    pub(super) fn on_read(
        &mut self,
        at: Moment,
        end: usize,
        size: usize,
        messages: &mut [Message],
    ) {
        let stream = &mut self.streams[end];
        stream.read += size as u64;
        let by_node = stream.to < self.nodes;
        self.read += if by_node { size as u64 } else { 0 };
        while let Some(due) = stream.due.front().copied().filter(|due| due.end <= stream.read) {
            stream.due.pop_front();
            let message = &mut messages[due.message];
            message.fate = Fate::Delivered(at);
            self.delivered += if by_node { message.size as u64 } else { 0 };
        }
    }

    pub(super) fn on_lost(&mut self, at: Moment, end: usize, piece: u64, messages: &mut [Message]) {
        let due = &mut self.streams[end].due;
        while let Some(lost) = due.pop_front_if(|due| due.piece <= piece) {
            messages[lost.message].fate = Fate::Lost(at);
        }
    }

    pub(super) const fn unfinished(&self) -> u64 {
        self.read - self.delivered
    }
}

/// The name of a frame's kind.
fn name(frame: &Frame<'_>) -> String {
    /// Takes the first word alone, for a frame may be long.
    struct Word(String);

    impl std::fmt::Write for Word {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            self.0.push_str(word);
            if word.len() == text.len() { Ok(()) } else { Err(std::fmt::Error) }
        }
    }
    let mut word = Word(String::new());
    // Ends early with an error, as it should.
    let _ = std::fmt::write(&mut word, format_args!("{frame:?}"));
    word.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment { at_us: 7, order: 1 };

    fn ping(asked_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::Ping { asked_ms }.encode(&mut bytes);
        bytes
    }

    #[test]
    fn frames_are_found_in_pieces_and_delivered_with_their_last_byte() {
        let mut wire = Wire::new(2, Vec::new());
        let mut messages = Vec::new();
        wire.on_connect((0, 1), 0, 1);
        let bytes = [vec![0], ping(1), ping(2)].concat();
        let (first, second) = bytes.split_at(ping(1).len() + 3);
        wire.on_sent(AT, 1, 1, first, &mut messages);
        assert_eq!(messages.len(), 1);
        wire.on_sent(AT, 1, 2, second, &mut messages);
        let told = |m: &Message| (m.from, m.to, m.kind.clone(), m.size);
        assert_eq!(told(&messages[0]), (0, 1, "Ping".to_owned(), ping(1).len() + 1));
        assert_eq!(told(&messages[1]), (0, 1, "Ping".to_owned(), ping(2).len()));
        wire.on_read(AT, 1, ping(1).len(), &mut messages);
        assert_eq!(messages[0].fate, Fate::UnderWay);
        assert_eq!(wire.unfinished(), ping(1).len() as u64);
        wire.on_read(AT, 1, 1, &mut messages);
        assert_eq!((messages[0].fate, wire.unfinished()), (Fate::Delivered(AT), 0));
        wire.on_read(AT, 1, 1, &mut messages);
        assert_eq!((messages[1].fate, wire.unfinished()), (Fate::UnderWay, 1));
        wire.on_lost(AT, 1, 1, &mut messages);
        assert_eq!(messages[1].fate, Fate::UnderWay, "it ends in the second piece");
        wire.on_lost(AT, 1, 2, &mut messages);
        assert_eq!(messages[1].fate, Fate::Lost(AT));
    }

    #[test]
    fn what_a_client_writes_belongs_to_what_it_asked() {
        let mut wire = Wire::new(1, Vec::new());
        let mut messages = Vec::new();
        wire.on_connect((0, 1), 3, 0);
        wire.on_asked(3, 5..7);
        wire.on_sent(AT, 1, 1, b"GET k", &mut messages);
        wire.on_asked(3, 7..9);
        wire.on_sent(AT, 0, 1, b"Not Found", &mut messages);
        let told = |m: &Message| (m.from, m.to, m.kind.clone(), m.entries.clone());
        assert_eq!(told(&messages[0]), (3, 0, "Request".to_owned(), 5..7));
        assert_eq!(told(&messages[1]), (0, 3, "Reply".to_owned(), 5..7));
    }
}
