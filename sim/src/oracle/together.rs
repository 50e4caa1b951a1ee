//! What happens at one moment is seen at one moment: batches on two keys of a slot.
//!
//! Two keys whose names begin alike, up to a brace that closes, are one object here: both are
//! written together, read together, or one gets the other's name; and what clients saw of that must
//! be linearizable (PROTOCOL, "Batches"). A batch in doubt may take effect in part, so it is two
//! writes in doubt. A renaming in doubt may too, and what it leaves depends on what it found; so
//! nothing is said of a pair from the first such one on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Failure, Observed};
use crate::{
    case::Op,
    check::{Budget, History, Model, Operation, Verdict, search::check as search, strings::Text},
    history::{Entry, Outcome},
};

const ORACLE: &str = "together";

/// A search that takes longer decides nothing.
const BUDGET: Budget = Budget { visits_max: 100_000 };

/// Checks it. How many pairs could not be decided.
///
/// # Errors
/// The first pair that was seen in a state that it was never in.
pub fn check(observed: &Observed) -> Result<u64, Failure> {
    let mut undecided = 0;
    for (tag, entries) in by_tag(&observed.history) {
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
fn by_tag(history: &[Entry]) -> BTreeMap<&str, Vec<&Entry>> {
    let mut pairs: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let strong = || history.iter().filter(|entry| entry.db == 0);
    for entry in strong() {
        let keys = entry.op.keys();
        let tag = keys.first().and_then(|key| key.strip_prefix('{')?.split_once('}'));
        if let Some((tag, _)) = tag {
            pairs.entry(tag).or_default().push(entry);
        }
    }
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
    let uncertain = |entry: &&&Entry| {
        matches!(entry.op, Op::Rename { .. })
            && matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown)
    };
    let until = entries.iter().filter(uncertain).map(|entry| entry.start_us).min();
    let until = until.unwrap_or(u64::MAX);
    let mut operations = Vec::new();
    for entry in entries.iter().filter(|entry| entry.start_us < until) {
        if !matches!(entry.outcome, Outcome::Refused | Outcome::Wrong(_)) {
            push(entry, until, &mut operations);
        }
    }
    let moves = entries.iter().any(|entry| matches!(entry.op, Op::Rename { .. }));
    if !moves {
        forget_unseen(&mut operations);
    }
    operations
}

/// Adds what an entry did; if that was not over by then, it may have done it.
fn push(entry: &Entry, until: u64, operations: &mut Vec<Operation<Two>>) {
    let certain = !matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown);
    let end = entry.end_us.filter(|end| certain && *end < until);
    let start = entry.start_us;
    let mut add = |op, outcome: Option<Saw>| {
        let outcome = outcome.filter(|_| end.is_some());
        operations.push(Operation { start, end, op, outcome, client: None });
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
        // Each key by itself, whenever its turn comes.
        (Op::FlushDb, _) => {
            add(Did::Clear(0), Some(Saw::Done));
            add(Did::Clear(1), Some(Saw::Done));
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
        (Op::Set { key, value }, _) => {
            add(Did::Set(place(key), Text::of(value.as_bytes())), Some(Saw::Done));
        }
        (Op::Rename { from, .. }, outcome) => {
            add(Did::Move(place(from)), Some(Saw::Moved(*outcome == Outcome::Done)));
        }
        _ => {}
    }
}

/// What may have been written and nobody has seen explains nothing: without it there is less to try.
fn forget_unseen(operations: &mut Vec<Operation<Two>>) {
    let seen = operations.iter().filter_map(|operation| match operation.outcome {
        Some(Saw::Both(held)) => Some(held),
        _ => None,
    });
    let seen: BTreeSet<Text> = seen.flatten().flatten().collect();
    operations.retain(|operation| match operation.op {
        Did::Set(_, value) => operation.end.is_some() || seen.contains(&value),
        Did::Clear(_) | Did::Move(_) | Did::Read | Did::SetBoth(_) => true,
    });
}

/// Two keys.
#[derive(Clone, Copy, Debug)]
struct Two;

/// What was done to them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Did {
    Clear(usize),
    /// The value of one is that of the other from now on.
    Move(usize),
    Read,
    Set(usize, Text),
    SetBoth(Text),
}

/// What was seen of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Saw {
    Both([Option<Text>; 2]),
    Done,
    Moved(bool),
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
            Did::Move(from) => {
                let moved = next[from].is_some();
                if moved {
                    next[1 - from] = next[from].take();
                }
                (next, Saw::Moved(moved))
            }
            Did::Clear(place) => {
                next[place] = None;
                (next, Saw::Done)
            }
            Did::Read => (next, Saw::Both(next)),
            Did::Set(place, value) => {
                next[place] = Some(value);
                (next, Saw::Done)
            }
            Did::SetBoth(value) => ([Some(value); 2], Saw::Done),
        }
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "delete one",
            Self::Move(_) => "rename",
            Self::Read => "read both",
            Self::Set(..) => "write one",
            Self::SetBoth(_) => "write both",
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        ["{p}a", "{p}b"].map(str::to_owned).to_vec()
    }

    fn entry(op: Op, (start_us, end_us): (u64, u64), outcome: Outcome) -> Entry {
        Entry { client: 0, node: 0, db: 0, op, start_us, end_us: Some(end_us), outcome }
    }

    fn both(value: &str, span: (u64, u64), outcome: Outcome) -> Entry {
        entry(Op::Both { keys: keys(), value: value.to_owned() }, span, outcome)
    }

    fn read(held: [Option<&str>; 2], span: (u64, u64)) -> Entry {
        let held = held.map(|value| value.map(|value| value.as_bytes().to_vec()));
        entry(Op::GetBoth { keys: keys() }, span, Outcome::List(held.to_vec()))
    }

    fn rename(from: usize, span: (u64, u64), outcome: Outcome) -> Entry {
        let (from, to) = (keys().swap_remove(from), keys().swap_remove(1 - from));
        entry(Op::Rename { from, to }, span, outcome)
    }

    fn wrong(history: &[Entry]) -> bool {
        check(&Observed { history: history.to_vec(), ..Observed::default() }).is_err()
    }

    #[test]
    fn half_of_what_was_acknowledged_is_seen() {
        let (one, two) = (both("v1", (1, 2), Outcome::Done), both("v2", (3, 6), Outcome::Done));
        let seen = |held, span| wrong(&[one.clone(), two.clone(), read(held, span)]);
        for held in [[Some("v1"); 2], [Some("v2"); 2]] {
            assert!(!seen(held, (4, 5)), "they overlap");
        }
        for held in [[Some("v1"), Some("v2")], [Some("v2"), Some("v1")], [Some("v2"), None]] {
            assert!(seen(held, (4, 5)));
        }
        assert!(seen([Some("v1"); 2], (7, 8)), "it is over");
        let back = [read([Some("v2"); 2], (4, 5)), read([Some("v1"); 2], (6, 7))];
        assert!(wrong(&[vec![one, two], back.to_vec()].concat()));
    }

    #[test]
    fn half_of_what_is_in_doubt_may_be_there_and_nothing_of_what_was_refused() {
        let one = both("v1", (1, 2), Outcome::Done);
        let half = read([Some("v2"), Some("v1")], (5, 6));
        let with = |outcome| wrong(&[one.clone(), both("v2", (3, 4), outcome), half.clone()]);
        assert!(!with(Outcome::InDoubt) && !with(Outcome::Unknown));
        assert!(with(Outcome::Refused) && with(Outcome::Done));
        let unseen: Vec<Entry> = (0..60)
            .map(|n| both(&format!("x{n}"), (3, 4), Outcome::InDoubt))
            .chain([one, half])
            .collect();
        assert!(wrong(&unseen), "many in doubt do not hide it");
    }

    #[test]
    fn a_value_that_is_renamed_is_in_one_place() {
        let set = entry(
            Op::Set { key: "{p}a".to_owned(), value: "v1".to_owned() },
            (1, 2),
            Outcome::Done,
        );
        let after =
            |outcome, held| wrong(&[set.clone(), rename(0, (3, 4), outcome), read(held, (5, 6))]);
        assert!(!after(Outcome::Done, [None, Some("v1")]));
        for held in [[Some("v1"), None], [Some("v1"); 2], [None; 2]] {
            assert!(after(Outcome::Done, held));
            assert!(!after(Outcome::InDoubt, held), "nothing is said of it from then on");
        }
        assert!(after(Outcome::Missing, [Some("v1"), None]), "there was something to rename");
        assert!(!after(Outcome::Refused, [Some("v1"), None]));
        assert!(after(Outcome::Refused, [None, Some("v1")]));
    }
}
