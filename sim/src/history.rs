//! What clients asked and what they were told: the oracles' evidence.

use std::borrow::Cow;

use crate::case::{Op, Part};

/// One request and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who asked.
    pub client: usize,
    /// Which node.
    pub node: usize,
    /// In which database.
    pub db: u8,
    /// What.
    pub op: Op,
    /// When its first byte may have left.
    pub start_us: u64,
    /// When its reply had arrived.
    pub end_us: Option<u64>,
    /// The reply.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A number: of keys that were deleted or found, of bytes, or a sum.
    Count(i64),
    /// Done.
    Done,
    /// Of each request what became of it.
    Each(Vec<Self>),
    /// It held this, and nothing was written because it was written meanwhile.
    Found(Option<Vec<u8>>),
    /// The node does not know either: it may have been carried out or not, and may still be.
    InDoubt,
    /// These values, in the order of the keys.
    List(Vec<Option<Vec<u8>>>),
    /// There is no such key.
    Missing,
    /// What the key holds is no number.
    NotNumber,
    /// A condition did not hold, and nothing was written.
    NotSet,
    /// These keys, and where to go on; 0 at the end.
    Page {
        /// Where.
        next: u64,
        /// Which.
        keys: Vec<Vec<u8>>,
    },
    /// Refused for sure: the node's clock is too far ahead, or a majority is not in reach.
    Refused,
    /// It may have been carried out or not, and may still be.
    Unknown,
    /// It holds this.
    Value(Vec<u8>),
    /// The reply fits no such request.
    Wrong(String),
}

impl Entry {
    /// The key it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.op.key()
    }

    /// What it writes, if it is a SET, for ever or for some time.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.op.value()
    }

    /// Whether it has changed its key for sure.
    #[must_use]
    pub fn wrote(&self) -> bool {
        match (&self.op, &self.outcome) {
            (Op::Set { .. } | Op::SetFor { .. }, outcome) => *outcome == Outcome::Done,
            (Op::Del { .. }, outcome) => matches!(outcome, Outcome::Count(1..)),
            _ => false,
        }
    }

    /// When a clock may say first that the time is over for which it set its key, if it did; no two
    /// clocks are further apart than that.
    #[must_use]
    pub fn over_from_us(&self, skew_us: u64) -> Option<u64> {
        let Op::SetFor { for_ms, .. } = &self.op else { return None };
        let from_us = (self.start_us + for_ms * 1000).saturating_sub(skew_us).max(self.start_us);
        (self.outcome != Outcome::Refused).then_some(from_us)
    }

    /// Its requests, if it is several that are carried out one behind the other.
    fn in_order(&self) -> Vec<Self> {
        if self.op == Op::FlushAll {
            return [0, 1, 2].map(|db| self.flush(db)).to_vec();
        }
        let Op::InOrder { parts } = &self.op else { return Vec::new() };
        let outcome = |index: usize| match &self.outcome {
            Outcome::Each(each) => each.get(index).cloned().unwrap_or(Outcome::Unknown),
            other => other.clone(),
        };
        let one = |(index, part): (usize, &Part)| Self {
            op: part.alone(),
            outcome: outcome(index),
            ..*self
        };
        parts.iter().enumerate().map(one).collect()
    }

    /// What FLUSHALL does to a database: who says that one could not be flushed may have flushed another.
    fn flush(&self, db: u8) -> Self {
        let outcome = match &self.outcome {
            Outcome::Refused => Outcome::InDoubt,
            outcome => outcome.clone(),
        };
        Self { db, op: Op::FlushDb, outcome, ..*self }
    }

    /// What it did to each of its keys, as if that had been asked alone.
    fn apart(&self) -> Vec<Self> {
        let count = self.op.keys().len() as i64;
        let one = |(index, key): (usize, &String)| {
            let key = key.clone();
            let op = match &self.op {
                Op::Exists { .. } => Op::Exists { keys: vec![key] },
                Op::MDel { .. } => Op::Del { key },
                Op::MSet { value, .. } => Op::Set { key, value: value.clone() },
                _ => Op::Get { key },
            };
            let outcome = match (&self.op, &self.outcome) {
                (Op::MGet { .. }, Outcome::List(values)) => {
                    let value = values.get(index).cloned().flatten();
                    value.map_or(Outcome::Missing, Outcome::Value)
                }
                (_, Outcome::Count(of_all)) if *of_all == count => Outcome::Count(1),
                (Op::Exists { .. }, Outcome::Count(1..)) => Outcome::Unknown,
                // It was one of those or not.
                (_, Outcome::Count(1..)) => Outcome::InDoubt,
                (_, outcome) => outcome.clone(),
            };
            Self { op, outcome, ..*self }
        };
        match &self.op {
            Op::Exists { keys } | Op::MDel { keys } | Op::MGet { keys } | Op::MSet { keys, .. }
                if keys.len() > 1 =>
            {
                keys.iter().enumerate().map(one).collect()
            }
            _ => self.in_order(),
        }
    }

    /// Whether it was over before `other` began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.end_us.is_some_and(|end| end < other.start_us)
    }
}

/// The history with a request for each key where one was about several, for which no more is promised
/// than for those.
#[must_use]
pub fn apart(history: &[Entry]) -> Vec<Cow<'_, Entry>> {
    split(history, Entry::apart)
}

/// The history with an entry for each request that was carried out behind others of its EXEC, and for
/// each database that was flushed with others.
#[must_use]
pub fn in_order(history: &[Entry]) -> Vec<Cow<'_, Entry>> {
    split(history, Entry::in_order)
}

fn split(history: &[Entry], parts: impl Fn(&Entry) -> Vec<Entry>) -> Vec<Cow<'_, Entry>> {
    let mut all = Vec::with_capacity(history.len());
    for entry in history {
        let parts = parts(entry);
        if parts.is_empty() {
            all.push(Cow::Borrowed(entry));
        }
        all.extend(parts.into_iter().map(Cow::Owned));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_about_several_keys_come_apart() {
        let keys = || ["j", "k"].map(str::to_owned).to_vec();
        let told = |op: Op, outcome| {
            let (start_us, end_us) = (1, Some(2));
            let entry = Entry { client: 0, node: 0, db: 2, op, start_us, end_us, outcome };
            let parts = apart(std::slice::from_ref(&entry));
            let parts = parts.iter().map(|part| (part.key().map(str::to_owned), &part.outcome));
            parts.map(|(key, outcome)| (key.unwrap_or_default(), outcome.clone())).collect()
        };
        let both = |j: Outcome, k: Outcome| vec![("j".to_owned(), j), ("k".to_owned(), k)];
        let values = vec![None, Some(b"v".to_vec())];
        let read = told(Op::MGet { keys: keys() }, Outcome::List(values));
        assert_eq!(read, both(Outcome::Missing, Outcome::Value(b"v".to_vec())));
        let set = |outcome| told(Op::MSet { keys: keys(), value: "v".to_owned() }, outcome);
        assert_eq!(set(Outcome::Done), both(Outcome::Done, Outcome::Done));
        assert_eq!(set(Outcome::InDoubt), both(Outcome::InDoubt, Outcome::InDoubt));
        let del = |count| told(Op::MDel { keys: keys() }, Outcome::Count(count));
        assert_eq!(del(2), both(Outcome::Count(1), Outcome::Count(1)));
        assert_eq!(del(1), both(Outcome::InDoubt, Outcome::InDoubt));
        assert_eq!(del(0), both(Outcome::Count(0), Outcome::Count(0)));
        let exists = told(Op::Exists { keys: keys() }, Outcome::Count(1));
        assert_eq!(exists, both(Outcome::Unknown, Outcome::Unknown));
        let one: Vec<(String, Outcome)> = told(Op::Get { key: "k".to_owned() }, Outcome::Missing);
        assert_eq!(one, [("k".to_owned(), Outcome::Missing)]);
    }

    #[test]
    fn requests_of_an_exec_and_flushes_of_databases_come_apart() {
        let key = |key: &str| key.to_owned();
        let parts = vec![Part::Del { key: key("j") }, Part::Get { key: key("j") }];
        let told = |op: &Op, outcome: Outcome| -> Vec<(u8, Op, Outcome)> {
            let (op, start_us, end_us) = (op.clone(), 1, Some(2));
            let entry = Entry { client: 0, node: 0, db: 2, op, start_us, end_us, outcome };
            let history = [entry];
            assert_eq!(in_order(&history), apart(&history));
            let one = |entry: &Cow<'_, Entry>| (entry.db, entry.op.clone(), entry.outcome.clone());
            in_order(&history).iter().map(one).collect()
        };
        let op = Op::InOrder { parts };
        let (del, get) = (Op::Del { key: key("j") }, Op::Get { key: key("j") });
        let both = |first: Outcome, second: Outcome| {
            vec![(2, del.clone(), first), (2, get.clone(), second)]
        };
        let each = Outcome::Each(vec![Outcome::Refused, Outcome::Missing]);
        assert_eq!(told(&op, each), both(Outcome::Refused, Outcome::Missing));
        assert_eq!(told(&op, Outcome::Unknown), both(Outcome::Unknown, Outcome::Unknown));
        let flushed = |outcome: Outcome| [0, 1, 2].map(|db| (db, Op::FlushDb, outcome.clone()));
        assert_eq!(told(&Op::FlushAll, Outcome::Done), flushed(Outcome::Done));
        assert_eq!(told(&Op::FlushAll, Outcome::Refused), flushed(Outcome::InDoubt));
    }
}
