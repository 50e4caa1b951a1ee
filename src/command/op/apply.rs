//! What operations come to.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Action, Answer, Condition, Effect, Expiry, Held, Op, SetReply, bits,
    expiry::{self, End},
    number,
};
use crate::{proto::integer, record::VALUE_SIZE_MAX};

pub(super) const OVERFLOW: &str = "ERR increment or decrement would overflow";
pub(in crate::command) const TOO_LONG: &str =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
const NO_FREQUENCY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not \
    tracked. Please note that \
    when switching between policies at runtime LRU and LFU data will take some time to adjust.";
/// Redis says so of policies that are not about time; it is no policy here, so its words are ours.
const NO_IDLE_TIME: &str = "ERR idle time not tracked: nothing is ever evicted for its age";
/// The longest value that Redis holds beside its key.
const EMBEDDED_SIZE_MAX: usize = 44;

impl<'a> Op<'a> {
    /// What the operation does to what is held at `wall_ms`, and what it answers. `None` is an
    /// absent key. It writes exactly if the effect is not [`Effect::None`].
    #[must_use]
    pub fn apply<'h>(&self, held: Option<Held<'h>>, wall_ms: u64) -> (Effect<'a>, Answer<'h>) {
        match self.action {
            Action::Append { value } => append(held, value),
            Action::BitCount { range, unit } => (Effect::None, bits::count(held, range, unit)),
            Action::Delete => (delete(held), flag(held.is_some())),
            Action::DeleteIf { condition } => {
                let met = held.is_some() && condition.is_met(held);
                (if met { Effect::Delete } else { Effect::None }, flag(met))
            }
            Action::Digest => (Effect::None, digest(held)),
            Action::Encoding => (Effect::None, encoding(held)),
            Action::Exists => (Effect::None, flag(held.is_some())),
            Action::Expire { expiry, when } => expiry::expire(held, expiry, when, wall_ms),
            Action::Extend { value, by, add, ends } => {
                expiry::extend(held, value, by, (add, ends), wall_ms)
            }
            Action::Get => (Effect::None, shown(held)),
            Action::GetBit { offset } => (Effect::None, bits::get(held, offset)),
            Action::GetDelete => (delete(held), shown(held)),
            Action::GetExpire { expiry } => expiry::get_expire(held, expiry, wall_ms),
            Action::GetRange { start, end } => (Effect::None, bits::range(held, start, end)),
            Action::Increment { by } => number::increment(held, by),
            Action::IncrementHeld { .. } if held.is_none() => (Effect::None, Answer::Nil),
            Action::IncrementHeld { by } => number::increment(held, by),
            Action::IncrementFloat { by } => number::increment_float(held, by),
            Action::Persist => expiry::persist(held),
            Action::Set { value, condition, reply, expiry } => {
                set(held, value, (condition, reply), expiry, wall_ms)
            }
            Action::SetBit { offset, on } => bits::set(held, offset, on),
            Action::SetRange { offset, value } => bits::overwrite(held, offset, value),
            Action::Strlen => (Effect::None, size(held.map_or(0, |held| held.value.len()))),
            Action::Ttl { form } => (Effect::None, expiry::ttl(held, form, wall_ms)),
            Action::Type => {
                let name = if held.is_some() { "string" } else { "none" };
                (Effect::None, Answer::Status(Cow::Borrowed(name)))
            }
            Action::Untracked { .. } if held.is_none() => (Effect::None, Answer::Nil),
            Action::Untracked { idle } => {
                let error = if idle { NO_IDLE_TIME } else { NO_FREQUENCY };
                (Effect::None, Answer::Error(Cow::Borrowed(error)))
            }
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

fn set<'a, 'h>(
    held: Option<Held<'h>>,
    value: &'a [u8],
    (condition, reply): (Condition<'_>, SetReply),
    expiry: Expiry,
    wall_ms: u64,
) -> (Effect<'a>, Answer<'h>) {
    let met = condition.is_met(held);
    let answer = match reply {
        SetReply::Flag => flag(met),
        SetReply::Held => shown(held),
        SetReply::Outcome if met => Answer::Ok,
        SetReply::Outcome => Answer::NotSet,
    };
    let effect = match expiry.end(held, wall_ms) {
        _ if !met => Effect::None,
        End::Over => delete(held),
        End::Open(expires_at_ms) => Effect::Put { value: Cow::Borrowed(value), expires_at_ms },
    };
    (effect, answer)
}

fn digest<'h>(held: Option<Held<'_>>) -> Answer<'h> {
    held.map_or(Answer::Nil, |held| {
        Answer::Bulk(Cow::Owned(format!("{:016x}", xxh3_64(held.value)).into_bytes()))
    })
}

fn encoding<'h>(held: Option<Held<'_>>) -> Answer<'h> {
    let name = |held: Held<'_>| match held.value {
        value if integer(value).is_some() => "int",
        value if value.len() <= EMBEDDED_SIZE_MAX => "embstr",
        _ => "raw",
    };
    held.map_or(Answer::Nil, |held| Answer::Bulk(Cow::Borrowed(name(held).as_bytes())))
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
