//! What operations come to.

use std::borrow::Cow;

use super::{Action, Answer, Effect, Held, NOT_AN_INTEGER, Op, SetReply};
use crate::{proto::integer, record::VALUE_SIZE_MAX};

pub(super) const OVERFLOW: &str = "ERR increment or decrement would overflow";
pub(super) const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

impl<'a> Op<'a> {
    /// What the operation does to what is held, and what it answers. `None` is an absent key. It
    /// writes exactly if the effect is not [`Effect::None`].
    #[must_use]
    pub fn apply<'h>(&self, held: Option<Held<'h>>) -> (Effect<'a>, Answer<'h>) {
        match self.action {
            Action::Append { value } => append(held, value),
            Action::Delete => (delete(held), flag(held.is_some())),
            Action::Exists => (Effect::None, flag(held.is_some())),
            Action::Get => (Effect::None, shown(held)),
            Action::GetDelete => (delete(held), shown(held)),
            Action::Increment { by } => increment(held, by),
            Action::Set { value, condition, reply } => {
                let met = condition.is_met(held);
                let answer = match reply {
                    SetReply::Flag => flag(met),
                    SetReply::Held => shown(held),
                    SetReply::Outcome if met => Answer::Ok,
                    SetReply::Outcome => Answer::NotSet,
                };
                let put = || Effect::Put { value: Cow::Borrowed(value), expires_at_ms: None };
                (if met { put() } else { Effect::None }, answer)
            }
            Action::Strlen => (Effect::None, size(held.map_or(0, |held| held.value.len()))),
            Action::Version => {
                let digits = |held: Held<'_>| format!("{:032x}", held.version.to_bits());
                let answer = held.map_or(Answer::Nil, |held| {
                    Answer::Bulk(Cow::Owned(digits(held).into_bytes()))
                });
                (Effect::None, answer)
            }
        }
    }
}

fn append<'a, 'h>(held: Option<Held<'_>>, value: &'a [u8]) -> (Effect<'a>, Answer<'h>) {
    let Some(held) = held else {
        let put = Effect::Put { value: Cow::Borrowed(value), expires_at_ms: None };
        return (put, size(value.len()));
    };
    let sum = held.value.len() + value.len();
    if sum > VALUE_SIZE_MAX {
        return (Effect::None, Answer::Error(Cow::Borrowed(TOO_LONG)));
    }
    let value = Cow::Owned([held.value, value].concat());
    (Effect::Put { value, expires_at_ms: held.expires_at_ms }, size(sum))
}

const fn delete<'a>(held: Option<Held<'_>>) -> Effect<'a> {
    if held.is_some() { Effect::Delete } else { Effect::None }
}

fn increment<'a, 'h>(held: Option<Held<'_>>, by: i64) -> (Effect<'a>, Answer<'h>) {
    let refused = |error| (Effect::None, Answer::Error(Cow::Borrowed(error)));
    let Some(before) = held.map_or(Some(0), |held| integer(held.value)) else {
        return refused(NOT_AN_INTEGER);
    };
    let Some(sum) = before.checked_add(by) else {
        return refused(OVERFLOW);
    };
    let value = Cow::Owned(sum.to_string().into_bytes());
    let expires_at_ms = held.and_then(|held| held.expires_at_ms);
    (Effect::Put { value, expires_at_ms }, Answer::Integer(sum))
}

const fn shown(held: Option<Held<'_>>) -> Answer<'_> {
    match held {
        Some(held) => Answer::Bulk(Cow::Borrowed(held.value)),
        None => Answer::Nil,
    }
}

const fn flag<'h>(is: bool) -> Answer<'h> {
    Answer::Integer(is as i64)
}

const fn size<'h>(size: usize) -> Answer<'h> {
    Answer::Integer(size as i64)
}
