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
    history::{Entry, Outcome},
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
    let flushed = observed.history.iter().any(|entry| entry.db == 1 && entry.op == Op::FlushDb);
    // Which writes a flush outlives is for replicas to agree upon.
    let quorum = (!flushed).then_some(1);
    let several = |entry: &&Entry| matches!(entry.op, Op::Rename { .. } | Op::Transact { .. });
    for ((db, key), entries) in
        [0].into_iter().chain(quorum).flat_map(|db| by_key(db, &observed.history))
    {
        // What a key gets by RENAME or a transaction is for an oracle that sees both keys.
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
fn by_key(db: u8, history: &[Entry]) -> BTreeMap<(u8, &str), Vec<&Entry>> {
    let mut keys: BTreeMap<(u8, &str), Vec<&Entry>> = BTreeMap::new();
    for entry in history.iter().filter(|entry| entry.db == db) {
        for key in entry.op.keys() {
            keys.entry((db, key)).or_default().push(entry);
        }
    }
    let flushes = history.iter().filter(|entry| entry.db == db && entry.op == Op::FlushDb);
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
        // What it watched had changed: it has only read.
        (Op::Swap { .. }, Outcome::Found(_)) => StringsOp::Read,
        (other, _) => op_of(other, term)?,
    };
    let (start, end) = (entry.start_us, entry.end_us);
    // If it deleted this key. A value that it did not find may still be there for others.
    let may = matches!(entry.op, Op::MDel { .. }) && entry.db == 1 && ends;
    let end = end.filter(|_| !may || entry.outcome == Outcome::Count(entry.op.keys().len() as i64));
    let outcome = match &entry.outcome {
        Outcome::Refused | Outcome::Wrong(_) => return None,
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
        Op::Expire { .. } | Op::Persist { .. } | Op::SetNx { .. } => {
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
        | Op::SetIf { .. } => Some(StringsOutcome::Was(set)),
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
        Op::Both { value, .. } | Op::MSet { value, .. } | Op::Set { value, .. } => {
            set(value, If::Always, Tell::Whether)
        }
        Op::Del { .. } | Op::FlushDb | Op::MDel { .. } => StringsOp::Delete,
        Op::Exists { .. } => StringsOp::Exists,
        Op::Expire { get: true, .. } => StringsOp::Term { term, tell: Tell::Before },
        Op::Expire { .. } | Op::Persist { .. } => StringsOp::Term { term, tell: Tell::Whether },
        Op::Get { .. } | Op::GetBoth { .. } | Op::MGet { .. } => StringsOp::Read,
        Op::GetDel { .. } => StringsOp::ReadDelete,
        // Nobody wrote between what it found and what it wrote.
        Op::GetSet { value, .. } | Op::Swap { value, .. } => set(value, If::Always, Tell::Before),
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
        Op::DbSize
        | Op::Discard { .. }
        | Op::Keys { .. }
        | Op::Rename { .. }
        | Op::Save
        | Op::Scan { .. }
        | Op::Transact { .. } => return None,
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
        if let StringsOp::Set { condition: If::Equal(other) | If::Different(other), .. } =
            operation.op
        {
            known.insert(other);
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
    let first = operations.iter().filter_map(unseen).flatten().map(|term| term.over_from).min();
    let first = first.filter(|_| !operations.iter().any(named));
    for operation in operations.iter_mut().filter(|operation| unseen(operation).is_some()) {
        if let StringsOp::Set { value, term, .. } = &mut operation.op {
            *value = Text::UNSEEN;
            if let (Some(term), Some(over_from)) = (term, first) {
                *term = Term { name: u32::MAX, over_from };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Lost, Replica, doctor};

    fn wrong(history: Vec<Entry>, held: &[Option<&str>]) -> Option<String> {
        wrong_in(0, history, held)
    }

    fn wrong_in(db: u8, mut history: Vec<Entry>, held: &[Option<&str>]) -> Option<String> {
        history.iter_mut().for_each(|entry| entry.db = db);
        let replica = |(node, value): (usize, &Option<&str>)| {
            let mut holds = Replica::default();
            let held = value.map(|value| doctor::holds("k", node as u128 + 1, Some(value)));
            for ((_, key), state) in held.into_iter().flat_map(|held| held.records) {
                holds.records.insert((db, key), state);
            }
            (node, holds)
        };
        let replicas: Vec<_> = held.iter().enumerate().map(replica).collect();
        let settled = !replicas.is_empty();
        let voting = (0..held.len()).collect();
        let quorum = held.len() / 2 + 1;
        let observed =
            Observed { history, replicas, settled, voting, quorum, ..Observed::default() };
        check(&observed).err().map(|failure| failure.detail)
    }

    fn read(value: &str, span: (u64, u64)) -> Entry {
        doctor::get("k", 0, span, Outcome::Value(value.as_bytes().to_vec()))
    }

    fn with(op: Op, span: (u64, u64), outcome: Outcome) -> Entry {
        let (start_us, end_us) = (span.0, Some(span.1));
        Entry { op, start_us, end_us, outcome, ..doctor::del("k", 0, span, 0) }
    }

    #[test]
    fn a_refused_write_must_never_show() {
        let span = (10, Some(20));
        let refused = Entry { outcome: Outcome::Refused, ..doctor::set("k", "v1", 0, span) };
        assert!(wrong(vec![refused, read("v1", (30, 40))], &[]).is_some());
        let add = |span, outcome| with(Op::Add { key: "k".to_owned(), by: 1 }, span, outcome);
        let refused = add((1, 2), Outcome::Refused);
        assert_eq!(wrong(vec![refused.clone(), add((3, 4), Outcome::Count(1))], &[]), None);
        assert!(wrong(vec![refused, add((3, 4), Outcome::Count(2))], &[]).is_some());
        let doubt = add((1, 2), Outcome::InDoubt);
        assert_eq!(wrong(vec![doubt.clone(), add((3, 4), Outcome::Count(2))], &[]), None);
        assert!(wrong(vec![doubt, add((3, 4), Outcome::Count(3))], &[]).is_some());
    }

    #[test]
    fn a_write_in_doubt_may_show_late_but_not_come_and_go() {
        let sure = doctor::set("k", "v1", 0, (1, Some(2)));
        let doubt = doctor::set("k", "v2", 0, (3, None));
        let late = vec![sure, doubt, read("v1", (10, 20)), read("v2", (30, 40))];
        assert_eq!(wrong(late.clone(), &[]), None);
        let gone = [late, vec![read("v1", (50, 60))]].concat();
        assert!(wrong(gone, &[]).is_some());
    }

    #[test]
    fn a_cold_start_explains_that_a_new_write_is_lost() {
        let wrong_at = |end_us: u64, cold: bool, db| {
            let set = doctor::set("k", "v1", 0, (end_us - 1, Some(end_us)));
            let history = vec![Entry { db, ..set }];
            let mut lost = Lost::default();
            [5_500_000, 5_000_000, 5_900_000].map(|us| lost.on_loss(us));
            if cold {
                lost.on_cold_start(6_000_000);
            }
            let replicas = vec![(0, Replica::default())];
            let (voting, quorum, settled) = (vec![0], 1, true);
            let observed = Observed {
                history,
                replicas,
                settled,
                voting,
                quorum,
                lost,
                ..Observed::default()
            };
            check(&observed).is_err()
        };
        for db in [0, 1] {
            assert!(!wrong_at(4_500_000, true, db));
            assert!(wrong_at(4_500_000, false, db), "nothing has started cold");
            assert!(wrong_at(3_000_000, true, db), "it was synced long ago");
            assert!(wrong_at(7_000_000, true, db), "it came after the cold start");
        }
    }

    #[test]
    fn several_keys_are_one_operation_each() {
        let keys = || ["j", "k"].map(str::to_owned).to_vec();
        let list = |value: Option<&str>| {
            let values = vec![None, value.map(|value| value.as_bytes().to_vec())];
            with(Op::MGet { keys: keys() }, (10, 20), Outcome::List(values))
        };
        let sure = doctor::set("k", "v1", 0, (1, Some(2)));
        assert_eq!(wrong(vec![sure.clone(), list(Some("v1"))], &[]), None);
        assert!(wrong(vec![sure.clone(), list(None)], &[]).is_some());
        let dels = |count| with(Op::MDel { keys: keys() }, (10, 20), Outcome::Count(count));
        assert_eq!(wrong(vec![sure.clone(), dels(1)], &[]), None);
        assert!(wrong(vec![sure.clone(), dels(2)], &[]).is_some());
        assert!(wrong(vec![sure, dels(0)], &[]).is_some());
    }

    fn at_most_us(db: u8, skew_us: u64, mut history: Vec<Entry>) -> bool {
        history.iter_mut().for_each(|entry| entry.db = db);
        check(&Observed { history, skew_us, ..Observed::default() }).is_ok()
    }

    fn lacks(span: (u64, u64)) -> Entry {
        doctor::get("k", 0, span, Outcome::Missing)
    }

    #[test]
    fn what_ends_is_gone_for_all_or_for_each_by_its_own_clock() {
        let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
        let fine = |db, reads: &[Entry]| at_most_us(db, 2000, [&[set()], reads].concat());
        for db in [0, 1] {
            assert!(fine(db, &[read("v1", (12_000, 17_000)), lacks((17_500, 19_000))]));
            assert!(fine(db, &[lacks((12_500, 13_000))]), "a clock may be ahead so far");
            assert!(!fine(db, &[lacks((12_500, 12_999))]));
        }
        let again = [lacks((13_000, 13_100)), read("v1", (14_000, 14_100))];
        assert!(fine(1, &again) && !fine(0, &again));
        assert!(!fine(0, &[read("v1", (18_001, 18_100))]), "a leader has found out by then");
        // What was written before stays away.
        let old = doctor::set("k", "v0", 0, (1000, Some(2000)));
        for db in [0, 1] {
            assert!(!fine(
                db,
                &[old.clone(), lacks((13_000, 13_100)), read("v0", (14_000, 14_100))]
            ));
        }
        let gone = |count| doctor::del("k", 0, (13_000, 13_100), count);
        assert!(fine(1, &[gone(0), read("v1", (14_000, 14_100))]), "it deleted nothing");
        assert!(!fine(1, &[gone(1), read("v1", (14_000, 14_100))]));
        assert!(!fine(1, &[doctor::del("k", 0, (12_000, 12_900), 0)]), "it was there");
    }

    #[test]
    fn of_several_keys_one_that_ends_may_be_deleted() {
        let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
        let keys = || ["j", "k"].map(str::to_owned).to_vec();
        let del = |count| with(Op::MDel { keys: keys() }, (13_000, 13_100), Outcome::Count(count));
        let read = || read("v1", (14_000, 14_100));
        let j = || Entry {
            op: Op::Set { key: "j".to_owned(), value: "v2".to_owned() },
            ..doctor::set("j", "", 0, (1, Some(2)))
        };
        let fine = |count| at_most_us(1, 2000, vec![j(), set(), del(count), read()]);
        assert!(fine(1), "it was j");
        assert!(!fine(2) && !fine(0));
        let mset =
            |outcome| with(Op::MSet { keys: keys(), value: "v3".to_owned() }, (5, 6), outcome);
        let seen = |outcome, value| {
            at_most_us(
                0,
                0,
                vec![
                    j(),
                    mset(outcome),
                    doctor::get("j", 0, (10, 20), Outcome::Value(Vec::from(value))),
                ],
            )
        };
        assert!(seen(Outcome::Done, "v3") && !seen(Outcome::Done, "v2"));
        assert!(seen(Outcome::InDoubt, "v3") && seen(Outcome::InDoubt, "v2"));
        assert!(!seen(Outcome::Refused, "v3") && seen(Outcome::Refused, "v2"));
    }

    #[test]
    fn terms_are_set_anew_and_taken_away() {
        let set = || doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
        let persist = |count| {
            let op = Op::Persist { key: "k".to_owned() };
            with(op, (12_000, 13_000), Outcome::Count(count))
        };
        let late = || read("v1", (90_000, 91_000));
        let fine = |entries: &[Entry]| at_most_us(0, 500, [&[set()], entries].concat());
        assert!(fine(&[persist(1), late()]) && !fine(&[persist(0), late()]));
        assert!(!fine(&[persist(1), lacks((90_000, 91_000))]), "for ever");
        let again = |get: bool| {
            let outcome = if get { Outcome::Value(b"v1".to_vec()) } else { Outcome::Count(1) };
            with(Op::Expire { key: "k".to_owned(), for_ms: 50, get }, (12_000, 13_000), outcome)
        };
        for get in [false, true] {
            assert!(fine(&[again(get), read("v1", (60_000, 61_000)), lacks((64_000, 65_000))]));
            assert!(!fine(&[again(get), lacks((60_000, 61_000))]), "too early");
            assert!(!fine(&[again(get), read("v1", (64_000, 65_000))]), "too late");
        }
    }

    #[test]
    fn a_quorum_holds_what_has_ended_for_a_while() {
        let wrong = |now_us| {
            let set = doctor::set_for(5, ("k", "v1"), 0, (10_000, Some(11_000)));
            let (history, replicas) = (vec![Entry { db: 1, ..set }], vec![(0, Replica::default())]);
            let (voting, quorum, settled) = (vec![0], 1, true);
            let (skew_us, grace_us) = (2000, 60_000);
            let observed = Observed {
                history,
                replicas,
                settled,
                voting,
                quorum,
                skew_us,
                grace_us,
                now_us,
                ..Observed::default()
            };
            check(&observed).is_err()
        };
        assert!(wrong(70_999) && !wrong(71_000));
    }

    #[test]
    fn what_was_discarded_never_shows() {
        let discard = Op::Discard { key: "k".to_owned(), value: "v1".to_owned() };
        let discard = with(discard, (1, 2), Outcome::Done);
        assert_eq!(wrong(vec![discard.clone(), lacks((3, 4))], &[]), None);
        assert!(wrong(vec![discard, read("v1", (3, 4))], &[]).is_some());
    }

    #[test]
    fn what_majorities_hold_must_be_a_next_value() {
        let history = vec![doctor::set("k", "v1", 0, (1, Some(2)))];
        assert_eq!(wrong(history.clone(), &[Some("v1"), Some("v1"), None]), None);
        let why = wrong(history.clone(), &[Some("v1"), None, None]);
        assert!(why.is_some_and(|why| why.contains("majority")));
        let doubt = doctor::set("k", "v2", 0, (3, None));
        let late = [history, vec![doubt]].concat();
        assert_eq!(wrong(late, &[Some("v1"), Some("v1"), Some("v2")]), None);
    }

    #[test]
    fn the_quorum_database_is_read_forward_and_its_deletions_may_meet() {
        let set = |value, span: (u64, u64)| doctor::set("k", value, 0, (span.0, Some(span.1)));
        let stale = vec![set("v1", (1, 2)), set("v2", (3, 4)), read("v1", (10, 20))];
        assert!(wrong_in(1, stale.clone(), &[]).is_some());
        assert_eq!(wrong_in(2, stale.clone(), &[]), None, "the eventual one may lag");
        let flush = Entry { op: Op::FlushDb, ..doctor::del("k", 0, (5, 6), 1) };
        assert_eq!(wrong_in(1, [stale, vec![flush]].concat(), &[]), None);
        let del = |span, count| doctor::del("k", 0, span, count);
        let both = vec![set("v1", (1, 2)), del((3, 9), 1), del((4, 8), 1)];
        assert_eq!(wrong_in(1, both.clone(), &[]), None);
        assert!(wrong(both.clone(), &[]).is_some());
        assert!(wrong_in(1, [both, vec![read("v1", (10, 20))]].concat(), &[]).is_some());
        let lost = vec![set("v1", (1, 2)), del((3, 4), 0)];
        assert!(wrong_in(1, lost, &[]).is_some());
        let history = vec![set("v1", (1, 2))];
        assert!(wrong_in(1, history, &[Some("v1"), None, None]).is_some());
    }

    #[test]
    fn many_writes_in_doubt_do_not_hide_a_stale_read() {
        let mut history: Vec<Entry> =
            (0..40).map(|n| doctor::set("k", &format!("x{n}"), 0, (n, None))).collect();
        history.push(doctor::set("k", "v1", 0, (100, Some(110))));
        history.push(doctor::set("k", "v2", 0, (120, Some(130))));
        history.push(read("v1", (140, 150)));
        assert!(wrong(history, &[]).is_some());
    }
}
