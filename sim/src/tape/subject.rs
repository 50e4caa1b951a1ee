//! Which keys a frame between nodes is about.
//!
//! Most frames name them. An answer names the question by its number, and an acknowledgement a
//! place in the stream, so what was asked and sent is kept until then. What is forwarded to a leader
//! is a request in the form in which nodes keep it; in it the names of known keys are looked for.

use std::collections::{BTreeMap, VecDeque};

use quorate::{
    proto::peer::{Frame, keys, offers, records},
    record::{Db, Record},
};

use crate::oracle::DbKey;

/// What was asked by whom of whom, and not answered yet: a question's number counts per kind.
type Asked = BTreeMap<(usize, usize, char, u64), Vec<DbKey>>;

/// Where frames begin in a stream, and the keys that they are about.
type Owed = VecDeque<(u64, Vec<DbKey>)>;

#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// Longest first, so that a key is not taken for a shorter one that it begins with.
    known: Vec<Vec<u8>>,
    asked: Asked,
    /// What streams carry that is not acknowledged, by sender and receiver.
    owed: BTreeMap<(usize, usize), Owed>,
}

impl Subjects {
    pub(super) fn new(mut known: Vec<Vec<u8>>) -> Self {
        known.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        Self { known, ..Self::default() }
    }

    /// The keys that a frame is about, each once.
    pub(super) fn of(&mut self, from: usize, to: usize, frame: &Frame<'_>) -> Vec<DbKey> {
        let mut keys = self.named(from, to, frame);
        if let Frame::Drop { pos, .. }
        | Frame::Fill { pos, .. }
        | Frame::Record { pos, .. }
        | Frame::Together { pos, .. } = frame
        {
            self.owed.entry((from, to)).or_default().push_back((*pos, keys.clone()));
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn named(&mut self, from: usize, to: usize, frame: &Frame<'_>) -> Vec<DbKey> {
        match *frame {
            Frame::Ack { pos, .. } => self.acknowledged(to, from, pos),
            Frame::Answer { id, .. } => self.answered((to, from, 'f', id)),
            Frame::Answers { id, .. } => self.answered((to, from, 'q', id)),
            Frame::Begin { pos: 0, .. } => {
                self.owed.remove(&(from, to));
                Vec::new()
            }
            Frame::Copy { record } | Frame::Fill { record, .. } | Frame::Record { record, .. } => {
                of_record(record).into_iter().collect()
            }
            Frame::Drop { key, .. } => vec![of(Db::STRONG, key)],
            Frame::Fetch { keys: list, .. } => {
                keys(list).flatten().map(|key| of(Db::STRONG, key)).collect()
            }
            Frame::Forward { id, op } => {
                let found = self.known_in(op);
                self.asks((from, to, 'f', id), found)
            }
            Frame::FullAnswers { id, .. } => self.answered((to, from, 'u', id)),
            Frame::Locate { id, db, key } => self.asks((from, to, 'l', id), vec![of(db, key)]),
            Frame::Located { id, .. } => self.answered((to, from, 'l', id)),
            Frame::Offer { db, entries } => {
                offers(entries).flatten().map(|(_, key)| of(db, key)).collect()
            }
            Frame::Query { id, db, keys: list } => {
                let found = keys(list).flatten().map(|key| of(db, key)).collect();
                self.asks((from, to, 'q', id), found)
            }
            Frame::QueryFull { id, db, keys: list } => {
                let found = keys(list).flatten().map(|key| of(db, key)).collect();
                self.asks((from, to, 'u', id), found)
            }
            Frame::Records { records: list, .. } | Frame::Together { records: list, .. } => {
                records(list).flatten().filter_map(of_record).collect()
            }
            Frame::Versions { entries, .. } => {
                offers(entries).flatten().map(|(_, key)| of(Db::STRONG, key)).collect()
            }
            // All others are about slots, members or the link itself.
            _ => Vec::new(),
        }
    }

    fn asks(&mut self, question: (usize, usize, char, u64), keys: Vec<DbKey>) -> Vec<DbKey> {
        self.asked.insert(question, keys.clone());
        keys
    }

    fn answered(&self, question: (usize, usize, char, u64)) -> Vec<DbKey> {
        // Kept, for a question may be answered more than once.
        self.asked.get(&question).cloned().unwrap_or_default()
    }

    fn acknowledged(&mut self, sender: usize, receiver: usize, pos: u64) -> Vec<DbKey> {
        let Some(owed) = self.owed.get_mut(&(sender, receiver)) else { return Vec::new() };
        let mut keys = Vec::new();
        while let Some((_, some)) = owed.pop_front_if(|(begins, _)| *begins < pos) {
            keys.extend(some);
        }
        keys
    }

    fn known_in(&self, op: &[u8]) -> Vec<DbKey> {
        let mut rest = op.to_vec();
        let mut found = Vec::new();
        for key in self.known.iter().filter(|key| !key.is_empty()) {
            let size = key.len();
            while let Some(at) = rest.windows(size).position(|window| window == &key[..]) {
                rest[at..at + size].fill(0);
                found.push(of(Db::STRONG, key));
            }
        }
        found
    }
}

fn of(db: Db, key: &[u8]) -> DbKey {
    (db.number(), key.to_vec())
}

fn of_record(bytes: &[u8]) -> Option<DbKey> {
    Record::decode(bytes).ok().map(|record| of(record.db, record.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_acknowledgements_are_about_what_they_answer() {
        let mut subjects = Subjects::new(vec![b"k1".to_vec(), b"k10".to_vec()]);
        let k10 = vec![of(Db::STRONG, b"k10")];
        let op = b"\x02\x00k10\x01\x00v";
        assert_eq!(subjects.of(0, 1, &Frame::Forward { id: 4, op }), k10);
        assert_eq!(subjects.of(1, 0, &Frame::Answer { id: 4, answer: b"" }), k10);
        assert_eq!(subjects.of(0, 1, &Frame::Answer { id: 4, answer: b"" }), []);
        let drop = |pos, key| Frame::Drop { pos, version: quorate::record::Version::NONE, key };
        assert_eq!(subjects.of(0, 1, &drop(5, b"k1")), [of(Db::STRONG, b"k1")]);
        assert_eq!(subjects.of(0, 1, &drop(9, b"k10")), k10);
        let ack = |pos| Frame::Ack { generation: 1, pos };
        assert_eq!(subjects.of(1, 0, &ack(9)), [of(Db::STRONG, b"k1")]);
        assert_eq!(subjects.of(1, 0, &ack(12)), k10);
        assert_eq!(subjects.of(1, 0, &ack(12)), []);
    }
}
