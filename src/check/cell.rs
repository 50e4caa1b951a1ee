//! A key of the strong database: every operation of [`crate::command::op`] on one value.
//!
//! What an operation does is told by [`Op::apply`], the function that nodes use too: a mistake in it
//! is for its own tests to find. Expiry and VERSION are left out, as time and ballots are no part of
//! the state.

use std::fmt::{self, Display};

use super::model::Model;
use crate::{
    command::op::{Action, Answer, Condition, Effect, Held, Op, SetReply},
    record::Version,
};

/// A value, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell;

/// An operation with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked(Box<[u8]>);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told(pub Answer<'static>);

impl Asked {
    /// Keeps an operation.
    #[must_use]
    pub fn new(op: &Op<'_>) -> Self {
        let mut bytes = Vec::with_capacity(op.size());
        op.encode(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    /// The operation.
    #[must_use]
    pub fn op(&self) -> Op<'_> {
        Op::decode(&self.0).expect("encoded by ourselves")
    }

    /// The request's words, as a client sends them.
    #[must_use]
    pub fn words(&self) -> Vec<Vec<u8>> {
        let Op { key, action } = self.op();
        let number;
        let (name, rest): (&str, Vec<&[u8]>) = match action {
            Action::Append { value } => ("APPEND", vec![value]),
            Action::Delete => ("DEL", Vec::new()),
            Action::Exists => ("EXISTS", Vec::new()),
            Action::Get => ("GET", Vec::new()),
            Action::GetDelete => ("GETDEL", Vec::new()),
            Action::Increment { by } => {
                number = by.to_string();
                ("INCRBY", vec![number.as_bytes()])
            }
            Action::Set { value, condition: Condition::Absent, reply: SetReply::Flag, .. } => {
                ("SETNX", vec![value])
            }
            Action::Set { value, condition, reply, .. } => {
                let mut words = vec![value];
                match condition {
                    Condition::Absent => words.push(b"NX"),
                    Condition::Always => {}
                    Condition::Different(operand) => words.extend([&b"IFNE"[..], operand]),
                    Condition::Equal(operand) => words.extend([&b"IFEQ"[..], operand]),
                    Condition::Present => words.push(b"XX"),
                    Condition::DigestDifferent(_) | Condition::DigestEqual(_) => {
                        unreachable!("no workload has digests")
                    }
                }
                if reply == SetReply::Held {
                    words.push(b"GET");
                }
                ("SET", words)
            }
            Action::Strlen => ("STRLEN", Vec::new()),
            Action::Version => ("VERSION", Vec::new()),
            // No workload has them yet.
            other => unreachable!("{other:?} is not checked"),
        };
        let words = [name.as_bytes(), key].into_iter().chain(rest);
        words.map(<[u8]>::to_vec).collect()
    }
}

impl Model for Cell {
    type State = Option<Vec<u8>>;
    type Op = Asked;
    type Outcome = Told;

    fn initial() -> Self::State {
        None
    }

    fn step(state: &Self::State, asked: &Self::Op) -> (Self::State, Self::Outcome) {
        let held = |value| Held { value, expires_at_ms: None, version: Version::NONE };
        let (effect, answer) = asked.op().apply(state.as_deref().map(held), 0);
        let after = match effect {
            Effect::Delete => None,
            Effect::None => state.clone(),
            Effect::Put { value, .. } => Some(value.into_owned()),
        };
        (after, Told(answer.into_owned()))
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().iter().enumerate().filter(|(index, _)| *index != 1) {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", word.escape_ascii())?;
        }
        Ok(())
    }
}

impl Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Answer::Bulk(value) => value.escape_ascii().fmt(f),
            Answer::Error(text) | Answer::Status(text) | Answer::Text(text) => f.write_str(text),
            Answer::Integer(number) => number.fmt(f),
            Answer::List(answers) => {
                answers.iter().try_for_each(|answer| write!(f, "[{}]", Self(answer.clone())))
            }
            Answer::Nil => f.write_str("nothing"),
            Answer::NilList => f.write_str("no list"),
            Answer::NotSet => f.write_str("not set"),
            Answer::Ok => f.write_str("OK"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Budget, History, Operation, Verdict, search};
    use crate::command::op::Expiry;

    const OK: Answer<'static> = Answer::Ok;

    fn set(value: &'static [u8], condition: Condition<'static>) -> Action<'static> {
        Action::Set { value, condition, reply: SetReply::Outcome, expiry: Expiry::Never }
    }

    fn bulk(value: &'static [u8]) -> Answer<'static> {
        Answer::Bulk(value.into())
    }

    /// What clients were told, each operation with its start and end; `None` is in doubt.
    fn verdict(seen: &[(u64, u64, Action<'static>, Option<Answer<'static>>)]) -> Verdict {
        let mut history = History::<Cell>::new();
        for (start, end, action, answer) in seen {
            history.push(Operation {
                start: *start,
                end: answer.is_some().then_some(*end),
                op: Asked::new(&Op::new(b"k", *action)),
                outcome: answer.clone().map(Told),
                client: None,
            });
        }
        search::check(&history, &Budget::default())
    }

    fn is_good(seen: &[(u64, u64, Action<'static>, Option<Answer<'static>>)]) -> bool {
        match verdict(seen) {
            Verdict::Linearizable => true,
            Verdict::Unknown => panic!("a short history"),
            Verdict::Violation(_) => false,
        }
    }

    #[test]
    fn what_one_copy_would_have_answered_is_linearizable() {
        let always = Condition::Always;
        assert!(is_good(&[
            (0, 1, set(b"a", always), Some(OK)),
            (2, 3, set(b"b", Condition::Absent), Some(Answer::NotSet)),
            (2, 5, set(b"c", Condition::Equal(b"a")), Some(OK)),
            (4, 6, Action::Get, Some(bulk(b"a"))),
            (6, 7, Action::Append { value: b"d" }, Some(Answer::Integer(2))),
            (8, 9, Action::GetDelete, Some(bulk(b"cd"))),
            (10, 11, Action::Increment { by: 2 }, Some(Answer::Integer(2))),
        ]));
        // In doubt: it may take effect late, or never.
        for answer in [bulk(b"x"), bulk(b"y")] {
            assert!(is_good(&[
                (0, 1, set(b"x", always), Some(OK)),
                (2, 3, set(b"y", always), None),
                (4, 5, Action::Get, Some(bulk(b"x"))),
                (6, 7, Action::Get, Some(answer)),
            ]));
        }
    }

    /// Each is a promise broken in one way.
    #[test]
    fn planted_violations_are_found() {
        let always = Condition::Always;
        let lost_write =
            [(0, 1, set(b"a", always), Some(OK)), (2, 3, Action::Get, Some(Answer::Nil))];
        let stale_read = [
            (0, 1, set(b"a", always), Some(OK)),
            (2, 3, set(b"b", always), Some(OK)),
            (4, 5, Action::Get, Some(bulk(b"a"))),
        ];
        let back_in_time = [
            (0, 1, set(b"a", always), Some(OK)),
            (2, 9, set(b"b", always), None),
            (3, 4, Action::Get, Some(bulk(b"b"))),
            (5, 6, Action::Get, Some(bulk(b"a"))),
        ];
        let counted_twice = [
            (0, 1, Action::Increment { by: 1 }, Some(Answer::Integer(1))),
            (2, 3, Action::Increment { by: 1 }, None),
            (4, 5, Action::Get, Some(bulk(b"3"))),
        ];
        let two_winners = [
            (0, 5, set(b"a", Condition::Absent), Some(OK)),
            (1, 6, set(b"b", Condition::Absent), Some(OK)),
        ];
        let dirty_condition = [
            (0, 1, set(b"a", always), Some(OK)),
            (2, 3, set(b"c", Condition::Equal(b"b")), Some(OK)),
        ];
        let from_nowhere = [(0, 1, Action::Get, Some(bulk(b"z")))];
        for (name, seen) in [
            ("a lost write", &lost_write[..]),
            ("a stale read", &stale_read),
            ("back in time", &back_in_time),
            ("counted twice", &counted_twice),
            ("two winners", &two_winners),
            ("a condition that did not hold", &dirty_condition),
            ("from nowhere", &from_nowhere),
        ] {
            assert!(!is_good(seen), "{name} was not found");
        }
    }

    #[test]
    fn words_are_what_the_parser_takes() {
        let action = Action::Set {
            value: b"v",
            condition: Condition::Equal(b"w"),
            reply: SetReply::Held,
            expiry: Expiry::Never,
        };
        let asked = Asked::new(&Op::new(b"key", action));
        assert_eq!(asked.to_string(), "SET v IFEQ w GET");
        assert_eq!(asked.words().concat(), b"SETkeyvIFEQwGET");
        assert_eq!(
            Asked::new(&Op::new(b"k", Action::Increment { by: -2 })).to_string(),
            "INCRBY -2"
        );
    }
}
