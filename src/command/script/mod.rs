//! Scripts: what clients send as Lua to take, extend and free locks, and what Django's cache counts
//! with, recognised by its shape.
//!
//! There is no Lua here. The scripts of the common libraries come to one operation on one key
//! each, and that is what is carried out, in one order with all others. A script is recognised if
//! its tokens are those of a known one ([`shape`]); comments, spaces, quotes, semicolons and the
//! names of local variables may differ. What is not known for certain is refused: a script that is
//! nearly a known one may do something else.

#![deny(clippy::indexing_slicing)]

use super::op::{Action, Condition, Expiry, SetReply, When};
use crate::{
    probe::{Mutant, planted},
    proto::{Args, integer},
};

mod sha1;
mod shape;

pub use sha1::{HASH_SIZE, Hash, hash, hash_of_hex};
pub use shape::shape;

/// What a script does to its one key; to a lock, if the lock's value is the first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Sets the lock for so many milliseconds, if there is none.
    Acquire,
    /// Lets the lock end so much later, or after so much if the third argument is not 0; not if it
    /// has no end.
    Add,
    /// Lets the lock end after so many milliseconds or seconds.
    Expire {
        /// Milliseconds of a unit.
        unit: i64,
    },
    /// Adds the first argument to the number that the key holds.
    Count {
        /// Answers nil if there is no key, instead of counting from 0.
        held: bool,
    },
    /// Frees the lock.
    Release,
    /// Sets the lock anew for so many milliseconds.
    Renew,
}

/// Why a script that is known can't be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has not one key, or lacks arguments.
    Arguments,
    /// A number that is none.
    Number,
}

impl Unfit {
    /// What clients are told.
    #[must_use]
    pub const fn error(self) -> &'static str {
        match self {
            Self::Arguments => {
                "ERR this script takes one key, then the lock's value or a number, and a time if it sets one"
            }
            Self::Number => "ERR value is not an integer or out of range",
        }
    }
}

/// What clients are told of a script that is not recognised.
pub const NO_LUA: &str = "ERR there is no Lua engine here: only the scripts of common lock libraries \
    are known (compare a key with a value, then DEL, PEXPIRE or SET it), and the one that \
    django-redis counts with; this is none of them";
/// What clients are told when there is no room for another script.
pub const FULL: &str = "ERR too many scripts are known; SCRIPT FLUSH forgets them";
/// What clients are told of a hash that is not known; they send the script then.
pub const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

impl Shape {
    /// What a script of this shape does to its key.
    ///
    /// # Errors
    /// If its arguments are not as they must be.
    pub fn action<'a>(self, keys: Args<'a>, operands: Args<'a>) -> Result<Action<'a>, Unfit> {
        let arguments = operands.from(keys.len());
        let (Some(value), 1) = (arguments.get(0), keys.len()) else {
            return Err(Unfit::Arguments);
        };
        let time = || {
            let time = integer(arguments.get(1).ok_or(Unfit::Arguments)?);
            time.ok_or(Unfit::Number)
        };
        let set = |condition, time: i64| {
            let expiry = if time > 0 { Expiry::In(time) } else { return Err(Unfit::Number) };
            Ok(Action::Set { value, condition, reply: SetReply::Flag, expiry })
        };
        match self {
            Self::Acquire => set(Condition::Absent, time()?),
            Self::Add => {
                let add = arguments.get(2).ok_or(Unfit::Arguments)? == b"0";
                Ok(Action::Extend { value, by: time()?, add, ends: true })
            }
            Self::Expire { unit } => {
                let by = time()?.checked_mul(unit).ok_or(Unfit::Number)?;
                if planted(Mutant::ScriptExtendsAny) {
                    return Ok(Action::Expire { expiry: Expiry::In(by), when: When::default() });
                }
                Ok(Action::Extend { value, by, add: false, ends: false })
            }
            Self::Count { held } => {
                let by = integer(value).ok_or(Unfit::Number)?;
                Ok(if held { Action::IncrementHeld { by } } else { Action::Increment { by } })
            }
            Self::Release if planted(Mutant::ScriptReleasesAny) => Ok(Action::Delete),
            Self::Release => Ok(Action::DeleteIf { condition: Condition::Equal(value) }),
            Self::Renew => set(Condition::Equal(value), time()?),
        }
    }
}

#[cfg(test)]
mod tests;
