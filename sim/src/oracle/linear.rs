//! The strong database is linearizable, key by key (PROTOCOL I2), and what its replicas hold in the
//! end is a legal next value (I3). So is the quorum database (E5), except that its DEL does not tell
//! whether there was a key: two at once may both say that they deleted it.
//!
//! A value that was written for a time is gone from the strong database at one moment, when a leader's
//! clock says so. In the quorum database each reader goes by the clock of its node: from the first
//! moment on at which any clock may say that the time is over, one may find it and another not.
//!
//! A write that was answered INDOUBT or not at all may take effect once at any later time, or never.
//! One that was refused has no place in the history: what it would have written is then a value that
//! nobody wrote, and an INCR of it one too many.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Observed, State};
use crate::{
    case::{Condition, Op},
    check::{
        Budget, History, Operation, Verdict, Violation,
        search::check as search,
        strings::{If, Strings, StringsOp, StringsOutcome, Tell, Term, Text},
    },
    history::{Entry, Outcome, in_order},
};

mod terms;

use terms::{by_own_clock, end_of_term, term};

const ORACLE: &str = "linear";
const ORACLE_HELD: &str = "chosen";

/// A flush may remove a key that is written while it goes on once more, where a slot changes leaders.
pub(super) const FLUSH_REMOVES_MAX: usize = 3;

/// A search that takes longer decides nothing.
const BUDGET: Budget = Budget { visits_max: 30_000 };

/// Checks it. How many keys could not be decided.
///
/// # Errors
/// The first key that is not linearizable.
pub fn check(observed: &Observed) -> Result<u64, Failure> {
    let mut undecided = 0;
    let history = in_order(&observed.history);
    let history: Vec<&Entry> = history.iter().map(AsRef::as_ref).collect();
    let flushed = history.iter().any(|entry| entry.db == 1 && entry.op == Op::FlushDb);
    // Which writes a flush outlives is for replicas to agree upon.
    let quorum = (!flushed).then_some(1);
    let several = |entry: &&Entry| {
        matches!(
            entry.op,
            Op::Copy { .. }
                | Op::MSetNx { .. }
                | Op::Rename { .. }
                | Op::RenameNx { .. }
                | Op::Transact { .. }
        )
    };
    for ((db, key), entries) in [0].into_iter().chain(quorum).flat_map(|db| by_key(db, &history)) {
        // What depends on two keys is for an oracle that sees both.
        if observed.lost.concerns(&entries) || entries.iter().any(several) {
            continue;
        }
        let operations = operations(key, &entries, observed.skew_us);
        match verdict(operations.clone()) {
            Verdict::Linearizable => {}
            Verdict::Unknown => {
                undecided += 1;
                continue;
            }
            Verdict::Violation(violation) => {
                let detail = told(&operations, &violation);
                return Err(Failure::of_key(ORACLE, db, key.as_bytes(), detail));
            }
        }
        if observed.settled {
            check_held(observed, (db, key), &operations)?;
        }
    }
    Ok(undecided)
}

/// Of every majority of replicas that vote, the newest record must be what a read could find now.
fn check_held(
    observed: &Observed,
    (db, key): (u8, &str),
    operations: &[Operation<Strings>],
) -> Result<(), Failure> {
    let name = (db, key.as_bytes().to_vec());
    let voting = observed.replicas.iter().filter(|(node, _)| observed.voting.contains(node));
    let held: Vec<Option<&State>> = voting.map(|(_, replica)| replica.records.get(&name)).collect();
    let mut newest: BTreeSet<Option<Text>> = BTreeSet::new();
    for members in 0_u32..1 << held.len() {
        if members.count_ones() as usize != observed.quorum {
            continue;
        }
        let states = held.iter().enumerate().filter(|(index, _)| members & 1 << index != 0);
        let state = states.filter_map(|(_, state)| *state).max_by_key(|state| state.version);
        if db == 0 && state.is_some_and(|state| state.expires_at_ms.is_some()) {
            // Who reads it may find it or not.
            continue;
        }
        newest.insert(state.and_then(|state| state.value.as_deref()).map(Text::of));
    }
    let at = operations.iter().filter_map(|operation| operation.end.max(Some(operation.start)));
    let at = at.max().unwrap_or(0) + 1;
    for found in newest {
        let mut operations = operations.to_vec();
        // As if somebody had read it.
        let outcome = Some(StringsOutcome::Found(found));
        let op = match found {
            // It is gone only when its time has been over for a while.
            None if db == 1 => StringsOp::Lacks(observed.gone_until_us()),
            _ => StringsOp::Read,
        };
        let (end, client) = (Some(at), None);
        operations.push(Operation { start: at, end, op, outcome, client });
        if let Verdict::Violation(violation) = verdict(operations.clone()) {
            let told = told(&operations, &violation);
            let detail = format!("what a majority holds is no next value: {told}");
            return Err(Failure::of_key(ORACLE_HELD, db, key.as_bytes(), detail));
        }
    }
    Ok(())
}

/// Where the longest order that explains anything ends; the requests themselves are told elsewhere.
fn told(operations: &[Operation<Strings>], violation: &Violation) -> String {
    let count = operations.len();
    let stuck = violation.operations.first().and_then(|index| operations.get(*index));
    let Some(Operation { start, .. }) = stuck else {
        return format!("no order explains all {count} requests");
    };
    let (ms, us) = (start / 1000, start % 1000);
    format!("no order explains all {count} requests; it ends before the one of {ms}.{us:03} ms")
}

fn verdict(mut operations: Vec<Operation<Strings>>) -> Verdict {
    merge_unseen(&mut operations);
    let mut history = History::new();
    operations.into_iter().for_each(|operation| history.push(operation));
    search(&history, &BUDGET)
}

/// What was asked in a database, by key.
fn by_key<'h>(db: u8, history: &[&'h Entry]) -> BTreeMap<(u8, &'h str), Vec<&'h Entry>> {
    let mut keys: BTreeMap<(u8, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in history.iter().copied().filter(|entry| entry.db == db) {
        for key in entry.op.keys() {
            keys.entry((db, key)).or_default().push(entry);
        }
    }
    let flushes = history.iter().copied().filter(|entry| entry.db == db && entry.op == Op::FlushDb);
    for flush in flushes {
        keys.values_mut().for_each(|entries| entries.push(flush));
    }
    keys
}

fn operations(key: &str, entries: &[&Entry], skew_us: u64) -> Vec<Operation<Strings>> {
    let times = |entry: &Entry| if entry.op == Op::FlushDb { FLUSH_REMOVES_MAX } else { 1 };
    let terms = entries.iter().enumerate().map(|(index, entry)| term(entry, index, skew_us));
    let terms: Vec<Option<Term>> = terms.collect();
    let ends = terms.iter().any(Option::is_some);
    let mut operations = Vec::new();
    for (entry, term) in entries.iter().zip(&terms) {
        let operation = operation(key, entry, *term, ends);
        operations
            .extend(operation.into_iter().flat_map(|one| std::iter::repeat_n(one, times(entry))));
    }
    // In the quorum database none is gone for all at one moment.
    let strong = entries.iter().zip(terms).filter(|(entry, _)| entry.db == 0);
    operations.extend(strong.filter_map(|(entry, term)| end_of_term(entry, term?, skew_us)));
    operations
}

/// What an entry did to a key, if it did or may have done anything; `ends` if the key was written for
/// a time by any.
fn operation(
    key: &str,
    entry: &Entry,
    term: Option<Term>,
    ends: bool,
) -> Option<Operation<Strings>> {
    if let (1, Some(operation)) = (entry.db, by_own_clock(key, entry)) {
        return Some(operation);
    }
    let op = match (&entry.op, &entry.outcome) {
        (Op::Ttl { .. }, Outcome::Count(told)) => {
            let span = (entry.start_us, entry.end_us.unwrap_or(u64::MAX));
            StringsOp::Left { told: *told, span }
        }
        // What it watched had changed: it has only read.
        (Op::Swap { .. }, Outcome::Found(_)) => StringsOp::Read,
        (other, _) => op_of(other, term)?,
    };
    let (start, end) = (entry.start_us, entry.end_us);
    // If it deleted this key. A value that it did not find may still be there for others.
    let may = matches!(entry.op, Op::MDel { .. }) && entry.db == 1 && ends;
    let end = end.filter(|_| !may || entry.outcome == Outcome::Count(entry.op.keys().len() as i64));
    let outcome = match &entry.outcome {
        Outcome::Each(_) | Outcome::Refused | Outcome::Wrong(_) => return None,
        Outcome::InDoubt | Outcome::Unknown => {
            let pending = Operation { start, end: None, op, outcome: None, client: None };
            return (!entry.op.is_read()).then_some(pending);
        }
        // It writes, whatever there was.
        Outcome::Count(1..) if entry.db == 1 && op == StringsOp::Delete => None,
        Outcome::Count(count) => count_of(&entry.op, *count),
        Outcome::Done => was(&entry.op, true),
        Outcome::List(values) => {
            let index = entry.op.keys().iter().position(|other| *other == key)?;
            Some(StringsOutcome::Found(values.get(index)?.as_deref().map(Text::of)))
        }
        Outcome::Found(value) => Some(StringsOutcome::Found(value.as_deref().map(Text::of))),
        Outcome::Missing => Some(StringsOutcome::Found(None)),
        Outcome::NotNumber => Some(StringsOutcome::NotNumber),
        Outcome::NotSet => was(&entry.op, false),
        Outcome::Page { .. } => return None,
        Outcome::Value(value) => Some(StringsOutcome::Found(Some(Text::of(value)))),
    };
    // A flush stands for several removals.
    let client = (entry.db == 0 && entry.op != Op::FlushDb).then_some(entry.client);
    Some(Operation { start, end, op, outcome, client })
}

/// What a count tells about one of the keys that it counts.
fn count_of(op: &Op, count: i64) -> Option<StringsOutcome> {
    let keys = op.keys().len() as i64;
    match op {
        Op::Ttl { .. } => Some(StringsOutcome::Was(true)),
        Op::Expire { .. } | Op::Extend { .. } | Op::Persist { .. } | Op::SetNx { .. } => {
            Some(StringsOutcome::Was(count == 1))
        }
        Op::Exists { .. } | Op::MDel { .. } if count == 0 => Some(StringsOutcome::Count(0)),
        Op::Exists { .. } | Op::MDel { .. } if count == keys => Some(StringsOutcome::Count(1)),
        Op::Exists { .. } | Op::MDel { .. } => None,
        _ => Some(StringsOutcome::Count(count)),
    }
}

const fn was(op: &Op, set: bool) -> Option<StringsOutcome> {
    match op {
        Op::Both { .. }
        | Op::MSet { .. }
        | Op::Set { .. }
        | Op::SetFor { .. }
        | Op::SetIf { .. }
        | Op::Unwatched { .. } => Some(StringsOutcome::Was(set)),
        _ => None,
    }
}

fn op_of(op: &Op, term: Option<Term>) -> Option<StringsOp> {
    let set = |value: &str, condition, tell| StringsOp::Set {
        value: Text::of(value.as_bytes()),
        condition,
        tell,
        term: None,
    };
    Some(match op {
        Op::Add { by, .. } => StringsOp::Add(*by),
        Op::Append { value, .. } => StringsOp::Append(Text::of(value.as_bytes())),
        Op::Both { value, .. }
        | Op::MSet { value, .. }
        | Op::Set { value, .. }
        | Op::Unwatched { value, .. } => set(value, If::Always, Tell::Whether),
        Op::Del { .. } | Op::FlushDb | Op::MDel { .. } => StringsOp::Delete,
        Op::Exists { .. } => StringsOp::Exists,
        Op::Expire { get: true, .. } => StringsOp::Term { term, tell: Tell::Before },
        Op::Expire { .. } | Op::Persist { .. } => StringsOp::Term { term, tell: Tell::Whether },
        Op::Extend { value, .. } => StringsOp::Extend { value: Text::of(value.as_bytes()), term },
        Op::Get { .. } | Op::GetBoth { .. } | Op::MGet { .. } => StringsOp::Read,
        Op::GetDel { .. } => StringsOp::ReadDelete,
        // Nobody wrote between what it found and what it wrote.
        Op::GetSet { value, .. } | Op::Swap { value, .. } => set(value, If::Always, Tell::Before),
        Op::Release { value, .. } => StringsOp::DeleteIf(Text::of(value.as_bytes())),
        Op::SetFor { value, .. } => StringsOp::Set {
            value: Text::of(value.as_bytes()),
            condition: If::Always,
            tell: Tell::Whether,
            term,
        },
        Op::SetIf { value, condition, get, .. } => {
            let condition = match condition {
                Condition::Absent => If::Absent,
                Condition::Different(other) => If::Different(Text::of(other.as_bytes())),
                Condition::Equal(other) => If::Equal(Text::of(other.as_bytes())),
                Condition::Present => If::Present,
            };
            set(value, condition, if *get { Tell::Before } else { Tell::Whether })
        }
        Op::SetNx { value, .. } => set(value, If::Absent, Tell::Whether),
        Op::Copy { .. }
        | Op::DbSize
        | Op::Discard { .. }
        | Op::FlushAll
        | Op::InOrder { .. }
        | Op::Keys { .. }
        | Op::MSetNx { .. }
        | Op::Rename { .. }
        | Op::RenameNx { .. }
        | Op::Save
        | Op::Scan { .. }
        | Op::Transact { .. }
        | Op::Ttl { .. }
        | Op::Wait { .. } => return None,
    })
}

/// Values that may have been written and that nobody has seen, nor asked for, are as good as one
/// another: with one name for all of them the search has less to try.
fn merge_unseen(operations: &mut [Operation<Strings>]) {
    if operations.iter().any(|operation| matches!(operation.op, StringsOp::Append(_))) {
        return;
    }
    let mut known: BTreeSet<Text> = BTreeSet::new();
    for operation in operations.iter() {
        if let Some(StringsOutcome::Found(Some(found))) = operation.outcome {
            known.insert(found);
        }
        match operation.op {
            StringsOp::DeleteIf(other)
            | StringsOp::Extend { value: other, .. }
            | StringsOp::Set { condition: If::Equal(other) | If::Different(other), .. } => {
                known.insert(other);
            }
            _ => {}
        }
    }
    let unseen = |operation: &Operation<Strings>| match operation.op {
        StringsOp::Set { value, term, .. } if operation.end.is_none() => {
            (!known.contains(&value)).then_some(term)
        }
        _ => None,
    };
    // So are their ends, where nothing else tells of them: as if all might be over with the first.
    let named = |operation: &Operation<Strings>| matches!(operation.op, StringsOp::Expire(_));
    let terms = || operations.iter().filter_map(unseen).flatten();
    let first = terms().map(|term| term.over_from).min();
    let first = first.filter(|_| !operations.iter().any(named));
    let most = terms().map(|term| term.most).max().unwrap_or(0);
    for operation in operations.iter_mut().filter(|operation| unseen(operation).is_some()) {
        if let StringsOp::Set { value, term, .. } = &mut operation.op {
            *value = Text::UNSEEN;
            if let (Some(term), Some(over_from)) = (term, first) {
                *term = Term { name: u32::MAX, over_from, over_by: u64::MAX, most };
            }
        }
    }
}

#[cfg(test)]
mod tests;
