//! Values that are written for a time, and readers that do not find them any more.

use crate::{
    case::Op,
    check::{
        Operation,
        strings::{Strings, StringsOp, StringsOutcome, Term},
    },
    history::{Entry, Outcome},
};

/// For how long an entry sets its key, if it does; `index` is its place, which no other has.
pub(super) fn term(entry: &Entry, index: usize, skew_us: u64) -> Option<Term> {
    let for_us = for_ms(&entry.op)? * 1000;
    let over_from = (entry.start_us + for_us).saturating_sub(skew_us).max(entry.start_us);
    let certain = !matches!(entry.outcome, Outcome::InDoubt | Outcome::Unknown);
    let end_us = entry.end_us.filter(|_| certain);
    let over_by = end_us.map_or(u64::MAX, |end_us| end_us + for_us + skew_us);
    Some(Term { name: index as u32, over_from, over_by, most: for_us + skew_us })
}

const fn for_ms(op: &Op) -> Option<u64> {
    match op {
        Op::Expire { for_ms, .. } | Op::Extend { for_ms, .. } | Op::SetFor { for_ms, .. } => {
            Some(*for_ms)
        }
        _ => None,
    }
}

/// What was set for a time is gone once, when a clock says so: a leader's, whichever that is then.
pub(super) fn end_of_term(entry: &Entry, term: Term, skew_us: u64) -> Option<Operation<Strings>> {
    let Term { name, over_from: start, .. } = term;
    let for_ms = for_ms(&entry.op)?;
    let end = match entry.outcome {
        Outcome::Count(0) | Outcome::Missing | Outcome::Refused | Outcome::Wrong(_) => return None,
        Outcome::Count(_) | Outcome::Done | Outcome::Value(_) => {
            entry.end_us.map(|end_us| end_us + for_ms * 1000 + skew_us)
        }
        _ => None,
    };
    Some(Operation { start, end, op: StringsOp::Expire(name), outcome: None, client: None })
}

/// What a reader of the quorum database does that finds nothing, and a DEL that finds nothing to
/// delete: it goes by the clock of its node.
pub(super) fn by_own_clock(key: &str, entry: &Entry) -> Option<Operation<Strings>> {
    let nothing = match (&entry.op, &entry.outcome) {
        (Op::Get { .. }, Outcome::Missing) => true,
        (Op::Del { .. } | Op::Exists { .. } | Op::MDel { .. }, Outcome::Count(count)) => {
            *count == 0
        }
        (Op::MGet { keys }, Outcome::List(values)) => {
            let index = keys.iter().position(|other| other == key)?;
            values.get(index)?.is_none()
        }
        _ => false,
    };
    let (start, end) = (entry.start_us, entry.end_us);
    let op = StringsOp::Lacks(end.unwrap_or(u64::MAX));
    let outcome = Some(StringsOutcome::Found(None));
    nothing.then_some(Operation { start, end, op, outcome, client: None })
}
