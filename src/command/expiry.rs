//! Times as arguments: the options of SET and GETEX, and EXPIRE and the like.

use super::{
    CommandError,
    op::{Action, Expiry, TimeForm, When},
    spec::{KeyName, Spec},
};
use crate::proto::{Args, integer};

/// The latest end, in Unix milliseconds, and so the longest span with room for any time of day in
/// front of it: what a 64-bit number can say, less the first ten thousand years.
const SPAN_MAX: i64 = i64::MAX - 315_569_520_000_000;

/// What an option of SET or GETEX says about time: its syntax is checked before its number.
#[derive(Clone, Copy)]
pub(super) enum Timed<'a> {
    Fixed(Expiry),
    Number { text: &'a [u8], scale: i64, absolute: bool },
}

impl<'a> Timed<'a> {
    /// Takes the place of an earlier option, which it may only if it is of the same kind, as in
    /// Redis.
    pub(super) fn replace(self, earlier: &mut Option<Self>) -> Result<(), ()> {
        let same = match (&*earlier, self) {
            (None, _) => true,
            (Some(Self::Fixed(a)), Self::Fixed(b)) => *a == b,
            (
                Some(Self::Number { scale: a, absolute: c, .. }),
                Self::Number { scale: b, absolute: d, .. },
            ) => (*a, *c) == (b, d),
            (Some(_), _) => false,
        };
        *earlier = Some(self);
        if same { Ok(()) } else { Err(()) }
    }

    pub(super) fn expiry(self, spec: &'static Spec) -> Result<Expiry, CommandError<'a>> {
        match self {
            Self::Fixed(expiry) => Ok(expiry),
            Self::Number { text, scale, absolute } => positive(spec, text, scale, absolute),
        }
    }
}

/// What an option of SET or GETEX that has a time says, if it is one.
pub(super) fn timed<'a>(
    option: &[u8],
    mut operand: impl FnMut() -> Result<&'a [u8], CommandError<'a>>,
) -> Result<Option<Timed<'a>>, CommandError<'a>> {
    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
    let (scale, absolute) = if is("ex") {
        (1000, false)
    } else if is("px") {
        (1, false)
    } else if is("exat") {
        (1000, true)
    } else if is("pxat") {
        (1, true)
    } else {
        return Ok(None);
    };
    Ok(Some(Timed::Number { text: operand()?, scale, absolute }))
}

/// A time that must be above zero.
pub(super) fn positive<'a>(
    spec: &'static Spec,
    text: &[u8],
    scale: i64,
    absolute: bool,
) -> Result<Expiry, CommandError<'a>> {
    let expiry = any(spec, text, scale, absolute)?;
    match expiry {
        Expiry::At(time) | Expiry::In(time) if time <= 0 => Err(CommandError::ExpireTime { spec }),
        Expiry::At(_) | Expiry::In(_) | Expiry::Keep | Expiry::Never => Ok(expiry),
    }
}

fn any<'a>(
    spec: &'static Spec,
    text: &[u8],
    scale: i64,
    absolute: bool,
) -> Result<Expiry, CommandError<'a>> {
    let number = integer(text).ok_or(CommandError::NotAnInteger)?;
    let time = number.checked_mul(scale).filter(|time| absolute || *time <= SPAN_MAX);
    let time = time.ok_or(CommandError::ExpireTime { spec })?;
    Ok(if absolute { Expiry::At(time) } else { Expiry::In(time) })
}

/// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT.
pub(super) fn expire<'a>(
    spec: &'static Spec,
    name: KeyName,
    args: Args<'a>,
    time: &[u8],
) -> Result<Action<'a>, CommandError<'a>> {
    let (scale, absolute) = match name {
        KeyName::Expire => (1000, false),
        KeyName::PExpire => (1, false),
        KeyName::ExpireAt => (1000, true),
        _ => (1, true),
    };
    let mut when = When::default();
    for option in args.from(3).iter() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let flag = if is("nx") {
            &mut when.never
        } else if is("xx") {
            &mut when.ends
        } else if is("gt") {
            &mut when.later
        } else if is("lt") {
            &mut when.earlier
        } else {
            return Err(CommandError::Naming { text: "Unsupported option", word: option });
        };
        *flag = true;
    }
    if when.never && (when.ends || when.later || when.earlier) {
        return Err(CommandError::ExpireNx);
    }
    if when.later && when.earlier {
        return Err(CommandError::ExpireGtLt);
    }
    Ok(Action::Expire { expiry: any(spec, time, scale, absolute)?, when })
}

/// GETEX.
pub(super) fn get_ex<'a>(
    spec: &'static Spec,
    args: Args<'a>,
) -> Result<Action<'a>, CommandError<'a>> {
    let mut wanted = None;
    let mut options = args.from(2).iter();
    while let Some(option) = options.next() {
        let timed = if option.eq_ignore_ascii_case(b"persist") {
            Timed::Fixed(Expiry::Never)
        } else {
            let operand = || options.next().ok_or(CommandError::Syntax);
            timed(option, operand)?.ok_or(CommandError::Syntax)?
        };
        timed.replace(&mut wanted).map_err(|()| CommandError::Syntax)?;
    }
    match wanted {
        None => Ok(Action::Get),
        Some(timed) => Ok(Action::GetExpire { expiry: timed.expiry(spec)? }),
    }
}

/// TTL and the like.
pub(super) const fn ttl<'a>(name: KeyName) -> Action<'a> {
    let millis = matches!(name, KeyName::PExpireTime | KeyName::PTtl);
    let absolute = matches!(name, KeyName::ExpireTime | KeyName::PExpireTime);
    Action::Ttl { form: TimeForm { millis, absolute } }
}
