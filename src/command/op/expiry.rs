//! When a value's time is over, and what a client is told of that.
//!
//! Times are Unix milliseconds. A span counts from when the operation is carried out, by the clock
//! of the node that stamps: the same that later finds the value expired.

use std::borrow::Cow;

use super::{Answer, Effect, Held};
use crate::probe::{Mutant, planted};

/// When a value's time is to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this time, in Unix milliseconds.
    At(i64),
    /// After so many milliseconds.
    In(i64),
    /// When it was to be before.
    Keep,
    /// Never.
    Never,
}

/// In which case EXPIRE sets a new time. Without any option, in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// NX: the key has no end.
    pub never: bool,
    /// XX: it has one.
    pub ends: bool,
    /// GT: the new end is later; no end is the latest.
    pub later: bool,
    /// LT: it is earlier.
    pub earlier: bool,
}

/// How TTL and the like tell a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeForm {
    /// In milliseconds, not in seconds.
    pub millis: bool,
    /// As a Unix time, not as what is left.
    pub absolute: bool,
}

/// What becomes of a value's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has been: the key is gone.
    Over,
    /// It is to come, or never.
    Open(Option<u64>),
}

impl Expiry {
    /// The end in Unix milliseconds, if the operation is carried out at `wall_ms` on what is held.
    pub(super) fn end(self, held: Option<Held<'_>>, wall_ms: u64) -> End {
        let at = match self {
            Self::At(at) => at,
            Self::In(span) => i64::try_from(wall_ms).unwrap_or(i64::MAX).saturating_add(span),
            Self::Keep => return End::Open(held.and_then(|held| held.expires_at_ms)),
            Self::Never => return End::Open(None),
        };
        match u64::try_from(at) {
            Ok(at) if at > wall_ms => End::Open(Some(at)),
            Ok(_) | Err(_) => End::Over,
        }
    }
}

impl Expiry {
    /// The end of a new value where nothing that is held counts, if it is to come.
    #[must_use]
    pub fn unheld(self, wall_ms: u64) -> Option<Option<u64>> {
        match self.end(None, wall_ms) {
            End::Over => None,
            End::Open(end) => Some(end),
        }
    }
}

impl When {
    /// Whether an end may follow on another. Of two that are over the later is none the better.
    fn is_met(self, before: Option<u64>, after: End) -> bool {
        let after = match after {
            End::Over => 0,
            End::Open(after) => after.unwrap_or(u64::MAX),
        };
        let last = before.unwrap_or(u64::MAX);
        !(self.never && before.is_some()
            || self.ends && before.is_none()
            || self.later && after <= last
            || self.earlier && after >= last)
    }
}

/// EXPIRE and the like.
pub(super) fn expire<'a, 'h>(
    held: Option<Held<'_>>,
    expiry: Expiry,
    when: When,
    wall_ms: u64,
) -> (Effect<'a>, Answer<'h>) {
    let Some(known) = held else { return (Effect::None, Answer::Integer(0)) };
    let end = expiry.end(held, wall_ms);
    if !when.is_met(known.expires_at_ms, end) {
        return (Effect::None, Answer::Integer(0));
    }
    (with_end(known, end), Answer::Integer(1))
}

/// What lock scripts do: `add` counts from the end that there is, `ends` wants one.
pub(super) fn extend<'a, 'h>(
    held: Option<Held<'_>>,
    value: &[u8],
    by: i64,
    (add, ends): (bool, bool),
    wall_ms: u64,
) -> (Effect<'a>, Answer<'h>) {
    let unmet = (Effect::None, Answer::Integer(0));
    let Some(known) = held.filter(|held| held.value == value) else { return unmet };
    let expiry = match known.expires_at_ms {
        None if ends => return unmet,
        Some(end) if add => Expiry::At(i64::try_from(end).unwrap_or(i64::MAX).saturating_add(by)),
        Some(_) | None => Expiry::In(by),
    };
    (with_end(known, expiry.end(held, wall_ms)), Answer::Integer(1))
}

/// GETEX.
pub(super) fn get_expire<'a, 'h>(
    held: Option<Held<'h>>,
    expiry: Expiry,
    wall_ms: u64,
) -> (Effect<'a>, Answer<'h>) {
    let Some(known) = held else { return (Effect::None, Answer::Nil) };
    let answer = Answer::Bulk(Cow::Borrowed(known.value));
    let end = expiry.end(held, wall_ms);
    if end == End::Open(known.expires_at_ms) {
        return (Effect::None, answer);
    }
    (with_end(known, end), answer)
}

/// PERSIST.
pub(super) fn persist<'a, 'h>(held: Option<Held<'_>>) -> (Effect<'a>, Answer<'h>) {
    match held {
        Some(known) if known.expires_at_ms.is_some() => {
            (with_end(known, End::Open(None)), Answer::Integer(1))
        }
        Some(_) | None => (Effect::None, Answer::Integer(0)),
    }
}

/// TTL and the like.
pub(super) fn ttl<'h>(held: Option<Held<'_>>, form: TimeForm, wall_ms: u64) -> Answer<'h> {
    let Some(held) = held else { return Answer::Integer(-2) };
    let Some(end) = held.expires_at_ms else { return Answer::Integer(-1) };
    let time = if form.absolute { end } else { end.saturating_sub(wall_ms) };
    // Seconds are rounded, as in Redis.
    let time = if form.millis && !planted(Mutant::TtlInSeconds) {
        time
    } else {
        time.saturating_add(500) / 1000
    };
    Answer::Integer(i64::try_from(time).unwrap_or(i64::MAX))
}

/// The effect has a copy of the value, for the store that holds it is about to be written.
fn with_end<'a>(held: Held<'_>, end: End) -> Effect<'a> {
    match end {
        End::Over => Effect::Delete,
        End::Open(expires_at_ms) => {
            Effect::Put { value: Cow::Owned(held.value.to_vec()), expires_at_ms }
        }
    }
}
