//! What happens at one moment is seen at one moment: batches on two keys of a slot.
//!
//! Two keys whose names begin alike, up to a brace that closes, are one object here: both are
//! written together, or only if neither is there, read together, or one gets the other's name or its
//! value, or a transaction reads and writes them; and what clients saw of that must be linearizable
//! (PROTOCOL, "Batches"). What was read of watched keys was so still when the transaction took effect;
//! if it did not, nothing is said of two reads together. A batch in doubt may take effect in part, so
//! each of its writes is in doubt, and what was watched says nothing. A renaming in doubt may too, and
//! what it leaves depends on what it found; so nothing is said of a pair from the first such one on.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Failure, Observed, linear::FLUSH_REMOVES_MAX};
use crate::{
    case::{Op, Part},
    check::{Budget, History, Model, Operation, Verdict, search::check as search, strings::Text},
    history::{Entry, Outcome, in_order},
};

const ORACLE: &str = "together";

/// A search that takes longer decides nothing.
const BUDGET: Budget = Budget { visits_max: 30_000 };

/// Checks it. How many pairs could not be decided.
///
/// # Errors
/// The first pair that was seen in a state that it was never in.
pub fn check(observed: &Observed) -> Result<u64, Failure> {
    let mut undecided = 0;
    let history = in_order(&observed.history);
    for (tag, entries) in by_tag(&history) {
        if observed.lost.concerns(&entries) {
            continue;
        }
        let mut history = History::<Two>::new();
        operations(&entries).into_iter().for_each(|operation| history.push(operation));
        match search(&history, &BUDGET) {
            Verdict::Linearizable => {}
            Verdict::Unknown => undecided += 1,
            Verdict::Violation(violation) => {
                let last = violation.operations.first();
                let last = last.and_then(|index| history.operations().get(*index));
                let told = last.map_or_else(String::new, ToString::to_string);
                let detail = format!("no order explains what was seen of both keys: {told}");
                return Err(Failure::of_key(ORACLE, 0, tag.as_bytes(), detail));
            }
        }
    }
    Ok(undecided)
}

/// What was asked about both keys of each pair, by what their names have in common.
fn by_tag<'h>(history: &'h [Cow<'h, Entry>]) -> BTreeMap<&'h str, Vec<&'h Entry>> {
    let mut pairs: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let strong = || history.iter().map(AsRef::as_ref).filter(|entry: &&Entry| entry.db == 0);
    for entry in strong() {
        let keys = entry.op.keys();
        let tag = keys.first().and_then(|key| key.strip_prefix('{')?.split_once('}'));
        if let Some((tag, _)) = tag {
            pairs.entry(tag).or_default().push(entry);
        }
    }
    // Others use such names too, for keys that have no partner.
    pairs.retain(|_, entries| entries.iter().any(|entry| entry.op.keys().len() > 1));
    for entry in strong().filter(|entry| entry.op == Op::FlushDb) {
        pairs.values_mut().for_each(|entries| entries.push(entry));
    }
    pairs
}

/// Which of the two keys.
fn place(key: &str) -> usize {
    usize::from(key.ends_with('b'))
}

fn operations(entries: &[&Entry]) -> Vec<Operation<Two>> {
    let moves = |entry: &&Entry| {
        matches!(entry.op, Op::Copy { .. } | Op::Rename { .. } | Op::RenameNx { .. })
    };
    let uncertain = |entry: &&&Entry| {
        moves(entry) && matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown)
    };
    let until = entries.iter().filter(uncertain).map(|entry| entry.start_us).min();
    let until = until.unwrap_or(u64::MAX);
    let mut operations = Vec::new();
    for entry in entries.iter().filter(|entry| entry.start_us < until) {
        if !matches!(entry.outcome, Outcome::Refused | Outcome::Wrong(_)) {
            push(entry, until, &mut operations);
        }
    }
    if !entries.iter().any(moves) {
        forget_unseen(&mut operations);
    }
    operations
}

/// Adds what an entry did; if that was not over by then, it may have done it.
fn push(entry: &Entry, until: u64, operations: &mut Vec<Operation<Two>>) {
    let certain = !matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown);
    let end = entry.end_us.filter(|end| certain && *end < until);
    let start = entry.start_us;
    // Of two that are about both keys a client's first takes effect first.
    let client = (entry.op.keys().len() == 2).then_some(entry.client);
    let mut add = |op, outcome: Option<Saw>| {
        let outcome = outcome.filter(|_| end.is_some());
        // Two reads that stand for a transaction took no effect together.
        let whole = !matches!(&op, Did::Run(steps) if steps.len() == 1);
        let client = client.filter(|_| whole);
        operations.push(Operation { start, end, op, outcome, client });
    };
    match (&entry.op, &entry.outcome) {
        (Op::Both { value, .. }, _) => {
            let value = Text::of(value.as_bytes());
            if certain {
                add(Did::SetBoth(value), Some(Saw::Done));
            } else {
                add(Did::Set(0, value), None);
                add(Did::Set(1, value), None);
            }
        }
        (Op::Del { key }, Outcome::Count(count)) => {
            let delete = Did::Run(vec![Step::Delete(place(key))]);
            add(delete, Some(Saw::Told(vec![Some(Text::spelling(*count))])));
        }
        (Op::Del { key }, _) => add(Did::Clear(place(key)), None),
        // Each key by itself, whenever its turn comes.
        (Op::FlushDb, _) => {
            for place in [0, 1].repeat(FLUSH_REMOVES_MAX) {
                add(Did::Clear(place), Some(Saw::Done));
            }
        }
        (Op::Get { key }, Outcome::Missing | Outcome::Value(_)) => {
            let found = match &entry.outcome {
                Outcome::Value(value) => Some(Text::of(value)),
                _ => None,
            };
            add(Did::Run(vec![Step::Read(place(key))]), Some(Saw::Told(vec![found])));
        }
        (Op::GetBoth { keys }, Outcome::List(values)) => {
            let mut held = [None; 2];
            for (key, value) in keys.iter().zip(values) {
                held[place(key)] = value.as_deref().map(Text::of);
            }
            if end.is_some() {
                add(Did::Read, Some(Saw::Both(held)));
            }
        }
        (Op::MSetNx { value, .. }, outcome) => {
            let value = Text::of(value.as_bytes());
            match outcome {
                Outcome::Count(count) => add(Did::SetFree(value), Some(Saw::Was(*count == 1))),
                _ => [0, 1].into_iter().for_each(|place| add(Did::SetOneFree(place, value), None)),
            }
        }
        (Op::Transact { watched, parts }, outcome) => {
            transact(entry, (*watched, parts), outcome, &mut add);
        }
        (Op::Set { key, value }, _) => {
            add(Did::Set(place(key), Text::of(value.as_bytes())), Some(Saw::Done));
        }
        (op, outcome) => {
            if let Some((op, saw)) = moved(op, outcome) {
                add(op, Some(saw));
            }
        }
    }
}

/// What COPY, RENAME or RENAMENX did, and what was told of it.
fn moved(op: &Op, outcome: &Outcome) -> Option<(Did, Saw)> {
    let was = match outcome {
        Outcome::Count(count) => Saw::Was(*count == 1),
        outcome => Saw::Moved(*outcome == Outcome::Done),
    };
    Some(match op {
        Op::Copy { from, .. } => (Did::Copy(place(from)), was),
        Op::Rename { from, .. } => (Did::Move(place(from)), was),
        Op::RenameNx { from, .. } => (Did::MoveFree(place(from)), was),
        _ => return None,
    })
}

/// Adds what a transaction did or may have done.
fn transact(
    entry: &Entry,
    (watched, parts): (bool, &[Part]),
    outcome: &Outcome,
    mut add: impl FnMut(Did, Option<Saw>),
) {
    let keys = entry.op.keys();
    let reads: Vec<Step> = keys.iter().map(|key| Step::Read(place(key))).collect();
    let steps: Vec<Step> = parts.iter().map(Step::of).collect();
    let told = |value: &Option<Vec<u8>>| value.as_deref().map(Text::of);
    match outcome {
        Outcome::List(values) if watched && values.len() == keys.len() => {
            for (read, value) in reads.into_iter().zip(values) {
                add(Did::Run(vec![read]), Some(Saw::Told(vec![told(value)])));
            }
        }
        Outcome::List(values) => {
            let all = if watched { [reads, steps].concat() } else { steps };
            add(Did::Run(all), Some(Saw::Told(values.iter().map(told).collect())));
        }
        Outcome::Done => add(Did::Run(steps), None),
        _ => steps.into_iter().filter_map(Step::alone).for_each(|write| add(write, None)),
    }
}

/// What may have been written and nobody has seen explains nothing: without it there is less to try.
/// Unless a deletion or a condition tells that there was something: then all of it has one name.
fn forget_unseen(operations: &mut Vec<Operation<Two>>) {
    let seen = operations.iter().flat_map(|operation| match &operation.outcome {
        Some(Saw::Both(held)) => &held[..],
        Some(Saw::Told(told)) => told,
        _ => &[],
    });
    let seen: BTreeSet<Text> = seen.flatten().copied().collect();
    let told = |operation: &Operation<Two>| match &operation.op {
        Did::Run(steps) => steps.iter().any(|step| matches!(step, Step::Delete(_))),
        Did::SetFree(_) => true,
        _ => false,
    };
    let told = operations.iter().any(told);
    let unseen = |operation: &Operation<Two>| match operation.op {
        Did::Set(_, value) | Did::SetOneFree(_, value) => {
            operation.end.is_none() && !seen.contains(&value)
        }
        _ => false,
    };
    operations.retain(|operation| told || !unseen(operation));
    for operation in operations.iter_mut().filter(|operation| unseen(operation)) {
        if let Did::Set(_, value) | Did::SetOneFree(_, value) = &mut operation.op {
            *value = Text::UNSEEN;
        }
    }
}

/// Two keys.
#[derive(Clone, Copy, Debug)]
struct Two;

/// What was done to them.
#[derive(Clone, Debug, PartialEq)]
enum Did {
    Add(usize, i64),
    Clear(usize),
    /// The other has the value of one, too, if it had none.
    Copy(usize),
    /// The value of one is that of the other from now on.
    Move(usize),
    /// The same, if the other had none.
    MoveFree(usize),
    Read,
    Run(Vec<Step>),
    Set(usize, Text),
    SetBoth(Text),
    /// If neither has a value.
    SetFree(Text),
    /// One, if it has no value.
    SetOneFree(usize, Text),
}

/// A part of a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Add(usize, i64),
    Delete(usize),
    Read(usize),
    Set(usize, Text),
}

impl Step {
    fn of(part: &Part) -> Self {
        let place = place(part.key());
        match part {
            Part::Add { by, .. } => Self::Add(place, *by),
            Part::Del { .. } => Self::Delete(place),
            Part::Get { .. } => Self::Read(place),
            Part::Set { value, .. } => Self::Set(place, Text::of(value.as_bytes())),
        }
    }

    /// The same by itself, if it writes.
    const fn alone(self) -> Option<Did> {
        Some(match self {
            Self::Add(place, by) => Did::Add(place, by),
            Self::Delete(place) => Did::Clear(place),
            Self::Set(place, value) => Did::Set(place, value),
            Self::Read(_) => return None,
        })
    }

    /// Takes effect; what is told of it.
    fn take(self, held: &mut [Option<Text>; 2]) -> Option<Text> {
        match self {
            Self::Add(place, by) => {
                let before = held[place].map_or(Some(0), Text::number)?;
                held[place] = Some(Text::spelling(before.wrapping_add(by)));
                held[place]
            }
            Self::Delete(place) => Some(Text::spelling(i64::from(held[place].take().is_some()))),
            Self::Read(place) => held[place],
            Self::Set(place, value) => {
                held[place] = Some(value);
                Some(Text::OK)
            }
        }
    }
}

/// What was seen of it.
#[derive(Clone, Debug, PartialEq)]
enum Saw {
    Both([Option<Text>; 2]),
    Done,
    Moved(bool),
    /// Of each step.
    Told(Vec<Option<Text>>),
    /// Whether anything was done.
    Was(bool),
}

impl Model for Two {
    type State = [Option<Text>; 2];
    type Op = Did;
    type Outcome = Saw;

    fn initial() -> Self::State {
        [None; 2]
    }

    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome) {
        let mut next = *state;
        match *op {
            Did::Add(place, by) => {
                Step::Add(place, by).take(&mut next);
                (next, Saw::Done)
            }
            Did::Move(from) => {
                let moved = next[from].is_some();
                if moved {
                    next[1 - from] = next[from].take();
                }
                (next, Saw::Moved(moved))
            }
            Did::Copy(from) => {
                let copies = next[from].is_some() && next[1 - from].is_none();
                if copies {
                    next[1 - from] = next[from];
                }
                (next, Saw::Was(copies))
            }
            Did::MoveFree(from) if next[from].is_none() => (next, Saw::Moved(false)),
            Did::MoveFree(from) => {
                let free = next[1 - from].is_none();
                if free {
                    next[1 - from] = next[from].take();
                }
                (next, Saw::Was(free))
            }
            Did::Clear(place) => {
                next[place] = None;
                (next, Saw::Done)
            }
            Did::Read => (next, Saw::Both(next)),
            Did::Run(ref steps) => {
                let told = steps.iter().map(|step| step.take(&mut next)).collect();
                (next, Saw::Told(told))
            }
            Did::Set(place, value) => {
                next[place] = Some(value);
                (next, Saw::Done)
            }
            Did::SetBoth(value) => ([Some(value); 2], Saw::Done),
            Did::SetFree(value) => {
                let free = next == [None; 2];
                (if free { [Some(value); 2] } else { next }, Saw::Was(free))
            }
            Did::SetOneFree(place, value) => {
                next[place].get_or_insert(value);
                (next, Saw::Done)
            }
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add(..) => "add to one",
            Self::Clear(_) => "delete one",
            Self::Copy(_) => "copy",
            Self::Move(_) => "rename",
            Self::MoveFree(_) => "rename, unless the name is taken",
            Self::Read => "read both",
            Self::Run(_) => "a transaction",
            Self::Set(..) => "write one",
            Self::SetBoth(_) => "write both",
            Self::SetFree(_) => "write both, unless one is there",
            Self::SetOneFree(..) => "write one, unless it is there",
        })
    }
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both([a, b]) if a == b => f.write_str("the same"),
            Self::Both(_) => f.write_str("not the same"),
            Self::Done => f.write_str("done"),
            Self::Moved(true) => f.write_str("renamed"),
            Self::Moved(false) => f.write_str("nothing to rename"),
            Self::Told(_) => f.write_str("told"),
            Self::Was(true) => f.write_str("done"),
            Self::Was(false) => f.write_str("not done"),
        }
    }
}

#[cfg(test)]
mod tests;
