//! Many keys at once: events as clients recorded them, sorted by key and judged.

use std::collections::BTreeMap;

use super::{
    Verdict, Violation,
    cell::{Asked, Cell, Told},
    history::{History, Operation},
    search::{self, Budget},
};

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It certainly had no effect and never will have; the reason.
    Failed(String),
    /// It was answered.
    Ok(Told),
    /// It may take effect, now or later, or never; the reason.
    Unknown(String),
}

/// One operation of one client.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who asked. After an operation whose fate is unknown a client goes on as another process.
    pub process: u64,
    /// What was asked.
    pub asked: Asked,
    /// When it was sent, on the clock of all clients.
    pub start: u64,
    /// When its fate was known, or given up.
    pub end: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What the keys' histories come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// How many keys there are.
    pub keys: usize,
    /// Keys for which the budget did not suffice.
    pub undecided: Vec<Vec<u8>>,
    /// Keys whose clients were told what no single copy would have told.
    pub violations: Vec<(Vec<u8>, Violation)>,
}

/// Judges each key by itself, which is enough: linearizability is local.
#[must_use]
pub fn judge<'e>(events: impl IntoIterator<Item = &'e Event>, budget: &Budget) -> Judgement {
    let mut keys: BTreeMap<Vec<u8>, History<Cell>> = BTreeMap::new();
    for event in events {
        let (end, outcome) = match &event.fate {
            Fate::Failed(_) => continue,
            Fate::Ok(told) => (Some(event.end), Some(told.clone())),
            Fate::Unknown(_) => (None, None),
        };
        let history = keys.entry(event.asked.op().key.to_vec()).or_default();
        let (start, op) = (event.start, event.asked.clone());
        history.push(Operation { start, end, op, outcome, client: None });
    }
    let mut judgement = Judgement { keys: keys.len(), ..Judgement::default() };
    for (key, history) in keys {
        match search::check(&history, budget) {
            Verdict::Linearizable => {}
            Verdict::Unknown => judgement.undecided.push(key),
            Verdict::Violation(violation) => judgement.violations.push((key, violation)),
        }
    }
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::op::{Action, Answer, Condition, Expiry, Op, SetReply};

    fn event(key: &[u8], start: u64, action: Action<'_>, fate: Fate) -> Event {
        let asked = Asked::new(&Op::new(key, action));
        Event { process: 0, asked, start, end: start + 1, fate }
    }

    #[test]
    fn each_key_is_judged_by_itself_and_failures_count_as_nothing() {
        let write = Action::Set {
            value: b"v",
            condition: Condition::Always,
            reply: SetReply::Outcome,
            expiry: Expiry::Never,
        };
        let seen = |value: &'static [u8]| Fate::Ok(Told(Answer::Bulk(value.into())));
        let refused = || Fate::Failed("NOREPLICAS".to_owned());
        let doubt = || Fate::Unknown("INDOUBT".to_owned());
        let events = [
            event(b"good", 0, write, Fate::Ok(Told(Answer::Ok))),
            event(b"good", 2, Action::Get, seen(b"v")),
            event(b"doubt", 0, write, doubt()),
            event(b"doubt", 2, Action::Get, seen(b"v")),
            event(b"undead", 0, write, refused()),
            event(b"undead", 2, Action::Get, seen(b"v")),
        ];
        let judgement = judge(&events, &Budget::default());
        assert_eq!((judgement.keys, judgement.undecided.len()), (3, 0));
        let bad: Vec<&[u8]> = judgement.violations.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(bad, [b"undead"], "what was refused was seen");
        let none = judge(&events, &Budget { visits_max: 0 });
        assert!(none.violations.is_empty() && none.undecided.len() == 3);
    }
}
