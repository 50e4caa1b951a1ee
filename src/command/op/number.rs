//! Values that are numbers.
//!
//! INCRBYFLOAT adds decimals exactly as long as both have at most 17 digits behind the point and
//! the sum at most 20 in front of it, and rounds to doubles beyond that. Redis adds in 80-bit
//! floating point and shows 17 digits, which comes to the same for what people write.

use std::borrow::Cow;

use super::{Answer, Effect, Held, NOT_AN_INTEGER, apply::OVERFLOW};
use crate::proto::integer;

pub(in crate::command) const NOT_A_FLOAT: &str = "ERR value is not a valid float";
const NAN_OR_INFINITY: &str = "ERR increment would produce NaN or Infinity";
/// Digits behind the point that are kept.
const SCALE: u32 = 17;
/// The longest text that is read as a number.
const TEXT_SIZE_MAX: usize = 256;

/// INCR, DECR and the like.
pub(super) fn increment<'a, 'h>(held: Option<Held<'_>>, by: i64) -> (Effect<'a>, Answer<'h>) {
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

/// INCRBYFLOAT.
pub(super) fn increment_float<'a, 'h>(
    held: Option<Held<'_>>,
    by: &[u8],
) -> (Effect<'a>, Answer<'h>) {
    let refused = |error| (Effect::None, Answer::Error(Cow::Borrowed(error)));
    let before = held.map_or(&b"0"[..], |held| held.value);
    let (Some(value), Some(step)) = (float(before), float(by)) else {
        return refused(NOT_A_FLOAT);
    };
    let exact = decimal(before).zip(decimal(by)).and_then(|(a, b)| a.checked_add(b));
    let text = match exact {
        Some(sum) => show(sum),
        None if (value + step).is_finite() => (value + step).to_string(),
        None => return refused(NAN_OR_INFINITY),
    };
    let expires_at_ms = held.and_then(|held| held.expires_at_ms);
    let answer = Answer::Bulk(Cow::Owned(text.clone().into_bytes()));
    (Effect::Put { value: Cow::Owned(text.into_bytes()), expires_at_ms }, answer)
}

/// A number as INCRBYFLOAT takes it; infinity is one, though no sum may be.
#[must_use]
pub fn float(text: &[u8]) -> Option<f64> {
    if text.len() > TEXT_SIZE_MAX {
        return None;
    }
    let number: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

/// A number in units of 10^-17, if that is exact and there is room for it.
fn decimal(text: &[u8]) -> Option<i128> {
    let text = str::from_utf8(text).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, mantissa.get(1..)?),
        b'+' => (false, mantissa.get(1..)?),
        _ => (false, mantissa),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    let mut number: i128 = 0;
    for digit in whole.bytes().chain(part.bytes()) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    let shift =
        (SCALE as i32).checked_add(exponent)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let number = if number == 0 {
        0
    } else {
        number.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?
    };
    Some(if negative { -number } else { number })
}

fn show(number: i128) -> String {
    let unit = 10_u128.pow(SCALE);
    let (whole, part) = (number.unsigned_abs() / unit, number.unsigned_abs() % unit);
    let sign = if number < 0 { "-" } else { "" };
    let text = format!("{sign}{whole}.{part:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
