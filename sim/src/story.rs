//! A failure told for people: the case in words, what was asked of the key, what replicas hold.

use std::fmt::Write as _;

use crate::{
    case::{Case, Dialect, Op},
    dialect::encode,
    history::{Entry, Outcome},
    oracle::Failure,
    report::Report,
};

/// Requests of one key that are told; the last ones, if there are more.
const ENTRIES_MAX: usize = 100;

/// The story of a failed run.
#[must_use]
pub fn tell(case: &Case, report: &Report, failure: &Failure) -> String {
    let mut text = format!("{failure}\n{case}\n");
    let Some((db, key)) = failure.db_key() else { return text };
    // Of two keys of a slot what they have in common stands for both.
    let tag = format!("{{{key}}}");
    let named = |name: &&str| **name == key || name.starts_with(&tag);
    let of_key = |entry: &&Entry| entry.db == db && entry.op.keys().iter().any(named);
    let entries: Vec<&Entry> = report.history.iter().filter(of_key).collect();
    let left_out = entries.len().saturating_sub(ENTRIES_MAX);
    let _ =
        writeln!(text, "  requests of {key} in database {db} ({left_out} earlier ones left out)");
    for entry in entries.iter().skip(left_out) {
        let end = entry.end_us.map_or_else(|| "?".to_owned(), ms);
        let (what, outcome) = (asked(&entry.op), became(&entry.outcome));
        let (client, node) = (entry.client, entry.node);
        let start = ms(entry.start_us);
        let _ = writeln!(
            text,
            "    {start:>10} .. {end:>10} ms  c{client} on n{node}  {what} -> {outcome}"
        );
    }
    let _ = writeln!(text, "  replicas");
    for (node, replica) in &report.replicas {
        let held = replica.records.get(&(db, key.as_bytes().to_vec()));
        let held = held.map_or_else(
            || "nothing".to_owned(),
            |state| {
                let value = state.value.as_deref().map_or_else(|| "a tombstone".into(), brief);
                format!("{value} at {:x}", state.version)
            },
        );
        let _ = writeln!(text, "    n{node} holds {held}");
    }
    text
}

fn ms(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}

/// A request in a line.
pub(crate) fn asked(op: &Op) -> String {
    let mut bytes = Vec::new();
    encode(Dialect::Text, op, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<String> = text.split_whitespace().map(|word| brief(word.as_bytes())).collect();
    words.join(" ")
}

/// An outcome in a few words.
pub(crate) fn became(outcome: &Outcome) -> String {
    let value =
        |value: &Option<Vec<u8>>| value.as_deref().map_or_else(|| "nothing".to_owned(), brief);
    match outcome {
        Outcome::Count(count) => count.to_string(),
        Outcome::Done => "OK".to_owned(),
        Outcome::Each(each) => each.iter().map(became).collect::<Vec<_>>().join(", "),
        Outcome::Found(found) => format!("{}, and not set", value(found)),
        Outcome::InDoubt => "in doubt".to_owned(),
        Outcome::List(values) => values.iter().map(value).collect::<Vec<_>>().join(", "),
        Outcome::Missing => "nothing".to_owned(),
        Outcome::NotNumber => "no number".to_owned(),
        Outcome::NotSet => "not set".to_owned(),
        Outcome::Page { next, keys } => {
            let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
            format!("{}; on at {next}", keys.join(", "))
        }
        Outcome::Refused => "refused".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
        Outcome::Value(value) => brief(value),
        Outcome::Wrong(reply) => reply.clone(),
    }
}

/// A value without its padding.
pub(crate) fn brief(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.split_once('-') {
        Some((name, _)) if !name.is_empty() => name.to_owned(),
        _ => text.into_owned(),
    }
}
