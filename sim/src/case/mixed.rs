//! Requests that take the place of others: for some time instead of for ever, about several keys instead
//! of one, in a transaction instead of alone. What is drawn for the others stays as it is.

use quorate::slot::Slot;

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
    /// Scripts instead of GET, in database 0.
    scripts_percent: u64,
    /// PTTL instead of GET, in database 0.
    ttls_percent: u64,
    /// EXEC of requests one behind the other.
    ordered_percent: u64,
    /// KEYS instead of GET, in databases 1 and 2.
    searches_percent: u64,
    /// How many slots a database has.
    slots: u32,
}

impl Mixed {
    pub(super) fn draw(seed: u64, slots: u32) -> Self {
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
            scripts_percent: chance.pick(&[0, 0, 20, 50]),
            ttls_percent: chance.pick(&[0, 0, 10, 30]),
            ordered_percent: chance.pick(&[0, 0, 10, 30]),
            searches_percent: chance.pick(&[0, 0, 0, 0, 10, 30]),
            slots,
        }
    }

    /// What is asked of database 0; `ends` if values end there.
    pub(super) fn strong(&self, chance: &mut Chance, op: Op, ends: bool) -> Op {
        let transact = chance.percent(self.transact_percent);
        let dice = chance.below(100);
        match op {
            Op::FlushAll | Op::FlushDb | Op::Save => op,
            Op::Set { key, value } if dice < self.discards_percent => Op::Discard { key, value },
            op if transact => self.transaction(chance, &op),
            Op::Get { key } if key.starts_with("hot") && chance.percent(self.scripts_percent) => {
                // What it must hold is chosen when all writes are known.
                let value = "none".to_owned();
                match chance.percent(50) {
                    true => Op::Release { key, value, by_hash: false },
                    false => {
                        let for_ms = chance.pick(&[1, 30, 300, 2000]);
                        Op::Extend { key, value, for_ms, by_hash: false }
                    }
                }
            }
            Op::Get { key } if chance.percent(self.ttls_percent) => Op::Ttl { key },
            op if alone(&op) && chance.percent(self.ordered_percent) => {
                let other = (0..10).map(|number| format!("hot{number}")).find(|other| {
                    let slot = |key: &str| Slot::of(key.as_bytes(), self.slots);
                    op.key().is_some_and(|key| slot(key) != slot(other))
                });
                match other {
                    Some(other) => in_order(chance, op, other),
                    None => op,
                }
            }
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
        let ordered = op.key().is_some_and(|key| key != other) && part(&op).is_some();
        match op {
            op if ordered && chance.percent(self.ordered_percent) => in_order(chance, op, other),
            Op::Del { key } if several => Op::MDel { keys: vec![key, other] },
            Op::Exists { mut keys } if several => {
                keys.push(other);
                Op::Exists { keys }
            }
            Op::Get { .. } if chance.percent(self.searches_percent) => {
                Op::Keys { prefix: String::new() }
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

/// Whether it is a request that may be queued and whose key is of no pair.
fn alone(op: &Op) -> bool {
    part(op).is_some() && op.key().is_some_and(|key| !key.starts_with('{'))
}

/// The same request between MULTI and EXEC; what it sets is the value's name.
fn part(op: &Op) -> Option<Part> {
    Some(match op.clone() {
        Op::Del { key } => Part::Del { key },
        Op::Get { key } => Part::Get { key },
        Op::Set { key, value } => {
            let value = value.split('-').next().unwrap_or_default().to_owned();
            Part::Set { key, value }
        }
        _ => return None,
    })
}

/// EXEC of a request and others, of another key or of one of both.
fn in_order(chance: &mut Chance, op: Op, other: String) -> Op {
    let (Some(first), Some(key)) = (part(&op), op.key().map(str::to_owned)) else { return op };
    let value = match &first {
        Part::Set { value, .. } => value.clone(),
        _ => format!("o{:x}", chance.bits()),
    };
    let second = match chance.below(4) {
        0 => Part::Del { key: other.clone() },
        1 => Part::Get { key: other.clone() },
        _ => Part::Set { key: other.clone(), value },
    };
    let mut parts = vec![first, second];
    if chance.percent(50) {
        parts.reverse();
    }
    let key = if chance.percent(50) { key } else { other };
    match chance.below(6) {
        0 => parts.push(Part::Del { key }),
        1..=3 => parts.push(Part::Get { key }),
        _ => {}
    }
    Op::InOrder { parts }
}
