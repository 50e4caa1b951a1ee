//! Requests that take the place of others: for some time instead of for ever, about several keys instead
//! of one, in a transaction instead of alone. What is drawn for the others stays as it is.

use super::{Op, Part};
use crate::chance::Chance;

/// A line of text has room for two values of this size.
const VALUE_SIZE_MAX: usize = 30_000;

/// How often, in a hundred requests.
pub(super) struct Mixed {
    /// SET for a time, in databases 1 and 2.
    terms_percent: u64,
    /// PEXPIRE, GETEX and PERSIST instead of GET, in database 0 where values end.
    again_percent: u64,
    /// About several keys, in databases 1 and 2.
    several_percent: u64,
    /// MSET instead of MGET, in database 0.
    msets_percent: u64,
    /// Transactions that read and write.
    transact_percent: u64,
    /// Of those, on keys that are watched and read before, and on numbers.
    watched_percent: u64,
    numbers_percent: u64,
    discards_percent: u64,
}

impl Mixed {
    pub(super) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "mixed share", 0);
        Self {
            terms_percent: chance.pick(&[0, 0, 5, 30, 80]),
            again_percent: chance.pick(&[0, 10, 30]),
            several_percent: chance.pick(&[0, 0, 10, 40]),
            msets_percent: chance.pick(&[0, 30, 60]),
            transact_percent: chance.pick(&[0, 0, 0, 20, 60]),
            watched_percent: chance.pick(&[0, 30, 60]),
            numbers_percent: chance.pick(&[0, 50, 100]),
            discards_percent: chance.pick(&[0, 0, 2]),
        }
    }

    /// What is asked of database 0; `ends` if values end there.
    pub(super) fn strong(&self, chance: &mut Chance, op: Op, ends: bool) -> Op {
        let transact = chance.percent(self.transact_percent);
        let dice = chance.below(100);
        match op {
            Op::FlushDb | Op::Save => op,
            Op::Set { key, value } if dice < self.discards_percent => Op::Discard { key, value },
            op if transact => self.transaction(chance, &op),
            Op::Get { key } if ends && dice < self.again_percent => match chance.below(4) {
                0 | 1 => Op::Persist { key },
                kind => {
                    let for_ms = chance.pick(&[1, 30, 300, 2000]);
                    Op::Expire { key, for_ms, get: kind == 2 }
                }
            },
            // Sums are no place for other values.
            Op::MGet { keys } if dice < self.msets_percent && keys[0].starts_with("hot") => {
                let value = format!("m{:x}", chance.bits());
                Op::MSet { keys, value }
            }
            op => op,
        }
    }

    /// A transaction on the two keys of a pair; what it sets is what `op` would have, or a new value.
    fn transaction(&self, chance: &mut Chance, op: &Op) -> Op {
        let numbers = chance.percent(self.numbers_percent);
        let (tag, pair) = (if numbers { "sum" } else { "mix" }, chance.below(2));
        let value = match op.written().and_then(|value| value.split('-').next()) {
            Some(value) => value.to_owned(),
            None => format!("t{:x}", chance.bits()),
        };
        let watched = chance.percent(self.watched_percent);
        let count = chance.pick(&[1, 2, 2, 3]);
        let mut part = || {
            let key = format!("{{{tag}{pair}}}{}", chance.pick(&["a", "b"]));
            match (chance.below(10), numbers) {
                (0, _) => Part::Del { key },
                (1..=4, _) => Part::Get { key },
                (_, true) => Part::Add { key, by: chance.pick(&[1, 1, -1, 1 << 20, -(1 << 30)]) },
                (_, false) => Part::Set { key, value: value.clone() },
            }
        };
        let mut parts: Vec<Part> = std::iter::repeat_with(&mut part).take(count).collect();
        if watched && parts.iter().all(|part| matches!(part, Part::Get { .. })) {
            let key = parts.remove(0).key().to_owned();
            parts.push(Part::Del { key });
        }
        Op::Transact { watched, parts }
    }

    /// What is asked of databases 1 and 2; of another key as well, if of several.
    pub(super) fn others(&self, chance: &mut Chance, op: Op, other: String) -> Op {
        let several = chance.percent(self.several_percent)
            && op.key().is_some_and(|key| key != other)
            && op.written().is_none_or(|value| value.len() < VALUE_SIZE_MAX);
        let dice = chance.below(100);
        match op {
            Op::Del { key } if several => Op::MDel { keys: vec![key, other] },
            Op::Exists { mut keys } if several => {
                keys.push(other);
                Op::Exists { keys }
            }
            Op::Get { key } if several => Op::MGet { keys: vec![other, key] },
            Op::Set { key, value } if several => Op::MSet { keys: vec![other, key], value },
            Op::Set { key, value } if dice < self.terms_percent => {
                Op::SetFor { key, value, for_ms: chance.pick(&[1, 30, 300, 2000]) }
            }
            Op::Set { key, value } if chance.percent(self.discards_percent) => {
                Op::Discard { key, value }
            }
            op => op,
        }
    }
}
