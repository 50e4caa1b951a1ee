//! The page's data: a run as JSON, in tables of short rows.
//!
//! Times are microseconds; -1 stands for "never". Keys and kinds of messages are named by their
//! places in a list. What a row holds is told where it is made, and read in `model.js`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Told, bad::first_bad, kinds, promise::promised};
use crate::{
    case::{Fault, FaultKind},
    history::{Entry, Outcome},
    oracle::DbKey,
    story::{asked, became, brief},
    tape::{Change, Fate, Message, Moment, What},
};
use quorate::{probe::Hook, record::Version, slot::Slot};

/// Letters of a request or value that are shown.
const LETTERS_MAX: usize = 100;

/// All that the page shows.
pub(super) fn of(told: &Told<'_>) -> Value {
    let (case, report, tape) = (told.case, told.report, told.tape);
    let names = Names::of(told);
    let config = &case.config;
    let settled_ms = report.settled_ms;
    json!({
        "seed": case.seed,
        "again": told.again,
        "case": case.to_string(),
        "hash": format!("{:016x}", report.trace.hash()),
        "nodes": config.nodes,
        "clients": config.clients,
        "slots": config.slots,
        "core": config.core,
        "end": tape.end_us,
        "quiet": tape.quiet_us.map_or(-1, |at| at as i64),
        "settled": settled_ms,
        "failure": failure(told, &names),
        "groups": kinds::GROUPS,
        "kinds": names.kinds.keys().map(|kind| (kind, kinds::group(kind))).collect::<Vec<_>>(),
        "keys": names.keys.keys().map(|key| key_row(key, config.slots)).collect::<Vec<_>>(),
        "ops": report.history.iter().map(|entry| op_row(entry, &names)).collect::<Vec<_>>(),
        "messages": tape.messages.iter().map(|one| message_row(one, &names)).collect::<Vec<_>>(),
        "unfinished": tape.unfinished(),
        "changes": change_rows(&tape.changes, &names),
        "offices": tape.offices.iter().map(|one| {
            let leader = one.leader.map_or(-1, |leader| leader.index() as i64);
            json!([one.at.at_us, one.node, one.slot, leader, one.promised.to_string()])
        }).collect::<Vec<_>>(),
        "lives": tape.lives.iter().map(|one| {
            json!([one.node, one.number, one.from.at_us, over(one.to)])
        }).collect::<Vec<_>>(),
        "faults": tape.faults.iter().map(|one| {
            let fault = &case.faults[one.index];
            let (nodes, client) = struck(fault, config.nodes);
            let class = fault.kind.class().name();
            json!([one.from.at_us, over(one.to), class, words(fault), nodes, client])
        }).collect::<Vec<_>>(),
        "marks": tape.marks.iter().map(|one| {
            let (kind, text) = mark(&one.what);
            json!([one.at.at_us, one.node, kind, text])
        }).collect::<Vec<_>>(),
    })
}

/// The lists that rows refer to.
struct Names {
    keys: BTreeMap<DbKey, usize>,
    kinds: BTreeMap<String, usize>,
}

impl Names {
    fn of(told: &Told<'_>) -> Self {
        let (history, tape) = (&told.report.history, told.tape);
        let of_ops = history.iter().flat_map(keys_of);
        let of_messages = tape.messages.iter().flat_map(|message| message.keys.iter().cloned());
        let of_changes = tape.changes.iter().map(|change| change.key.clone());
        let of_failure = told.report.failure.as_ref().and_then(|failure| failure.db_key());
        let of_failure = of_failure.map(|(db, key)| (db, key.into_bytes()));
        let keys = of_ops.chain(of_messages).chain(of_changes).chain(of_failure);
        Self {
            keys: numbered(keys),
            kinds: numbered(tape.messages.iter().map(|message| message.kind.clone())),
        }
    }

    fn keys<'k>(&self, keys: impl IntoIterator<Item = &'k DbKey>) -> Vec<usize> {
        keys.into_iter().filter_map(|key| self.keys.get(key).copied()).collect()
    }
}

fn numbered<T: Ord>(names: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut numbers: BTreeMap<T, usize> = names.map(|name| (name, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(number, place)| *place = number);
    numbers
}

fn keys_of(entry: &Entry) -> Vec<DbKey> {
    entry.op.keys().iter().map(|key| (entry.db, key.as_bytes().to_vec())).collect()
}

/// Database, key, slot.
fn key_row((db, key): &DbKey, slots: u32) -> Value {
    json!([db, String::from_utf8_lossy(key), Slot::of(key, slots).0])
}

/// Client, node, database, begin, end, outcome (0 ok, 1 failed, 2 unknown), request, reply, keys.
fn op_row(entry: &Entry, names: &Names) -> Value {
    let outcome = how_it_went(&entry.outcome);
    let end = entry.end_us.map_or(-1, |end| end as i64);
    let (request, reply) = (short(&asked(&entry.op)), short(&became(&entry.outcome)));
    let keys = names.keys(&keys_of(entry));
    let Entry { client, node, db, start_us, .. } = entry;
    json!([client, node, db, start_us, end, outcome, request, reply, keys])
}

/// 0 ok, 1 failed, 2 unknown; of several the worst.
fn how_it_went(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Count(_)
        | Outcome::Done
        | Outcome::List(_)
        | Outcome::Missing
        | Outcome::Page { .. }
        | Outcome::Value(_) => 0,
        Outcome::Found(_)
        | Outcome::NotNumber
        | Outcome::NotSet
        | Outcome::Refused
        | Outcome::Wrong(_) => 1,
        Outcome::Each(each) => each.iter().map(how_it_went).max().unwrap_or(0),
        Outcome::InDoubt | Outcome::Unknown => 2,
    }
}

/// From, to, sent, its end, fate (0 delivered, 1 lost, 2 under way), kind, size, keys, first entry of
/// its client's step, and how many.
fn message_row(message: &Message, names: &Names) -> Value {
    let (end, fate) = match message.fate {
        Fate::Delivered(at) => (at.at_us as i64, 0),
        Fate::Lost(at) => (at.at_us as i64, 1),
        Fate::UnderWay => (-1, 2),
    };
    let kind = names.kinds.get(&message.kind);
    let keys = names.keys(&message.keys);
    let Message { from, to, sent, size, entries, .. } = message;
    let step = (entries.start, entries.len());
    json!([from, to, sent.at_us, end, fate, kind, size, keys, step.0, step.1])
}

fn change_rows(changes: &[Change], names: &Names) -> Vec<Value> {
    let mut versions: BTreeMap<&DbKey, BTreeSet<u128>> = BTreeMap::new();
    for change in changes {
        let version = change.state.as_ref().map(|state| state.version);
        versions.entry(&change.key).or_default().extend(version);
    }
    let rows = changes.iter().map(|change| {
        let all = versions.get(&change.key);
        let version = change.state.as_ref().map(|state| state.version);
        let rank = all.zip(version).map_or(0, |(all, version)| all.range(..version).count());
        change_row(change, rank, names)
    });
    rows.collect()
}

/// When, node, key, and what it holds now: the version, the value's beginning, which is null for a
/// tombstone, when it ends, and how many older versions of the key there are; nothing of this if it
/// holds nothing.
fn change_row(change: &Change, rank: usize, names: &Names) -> Value {
    let key = names.keys.get(&change.key);
    let Some(state) = &change.state else { return json!([change.at.at_us, change.node, key]) };
    let version = Version::from_bits(state.version);
    let version = match change.key.0 {
        0 => format!("{}.{}", version.ballot(), version.seq()),
        _ => version.to_string(),
    };
    let value = state.value.as_deref().map(|value| short(&brief(value)));
    let expires = state.expires_at_ms;
    json!([change.at.at_us, change.node, key, version, value, expires, rank])
}

fn failure(told: &Told<'_>, names: &Names) -> Value {
    let (Some(failure), Some(bad)) = (&told.report.failure, first_bad(told)) else {
        return Value::Null;
    };
    let key = failure.db_key().map(|(db, key)| (db, key.into_bytes()));
    json!({
        "kind": format!("{:?}", failure.kind),
        "oracle": failure.oracle,
        "key": key.as_ref().and_then(|key| names.keys.get(key)),
        "about": failure.key,
        "promised": promised(failure),
        "seen": failure.detail,
        "why": bad.why,
        "at": bad.at_us,
        "op": bad.entry,
        "node": bad.node,
    })
}

/// A fault in words, and the hosts that it strikes.
pub(super) fn told_fault(fault: &Fault, nodes: usize) -> (String, Vec<usize>) {
    let (mut hosts, client) = struck(fault, nodes);
    hosts.extend(usize::try_from(client).ok().map(|client| nodes + client));
    (words(fault), hosts)
}

/// What a fault is, without its time.
fn words(fault: &Fault) -> String {
    let text = fault.to_string();
    text.split_once(": ").map_or(&text[..], |(_, words)| words).to_owned()
}

/// The nodes on whose lanes a fault is drawn, and the client's.
fn struck(fault: &Fault, nodes: usize) -> (Vec<usize>, i64) {
    match fault.kind {
        FaultKind::Blackout => ((0..nodes).collect(), -1),
        FaultKind::SlowReader { client } => (Vec::new(), client as i64),
        other => (other.nodes(), -1),
    }
}

pub(super) fn mark(what: &What) -> (&'static str, String) {
    match what {
        What::Passed(hook, count) => {
            let kind = if *hook == Hook::Committed { "commit" } else { "hook" };
            let times = if *count == 1 { String::new() } else { format!(", {count} times") };
            (kind, format!("{}{times}", hook.name().replace('_', " ")))
        }
        What::Votes(true) => ("vote", "votes in database 0".to_owned()),
        What::Votes(false) => ("vote", "votes no more in database 0".to_owned()),
        What::Won(slots) => {
            let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
            ("won", format!("leads slot {}", slots.join(", ")))
        }
    }
}

fn over(to: Option<Moment>) -> i64 {
    to.map_or(-1, |to| to.at_us as i64)
}

fn short(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(LETTERS_MAX).collect();
    if letters.next().is_some() { start + "…" } else { start }
}
