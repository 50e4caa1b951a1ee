//! The host: what a connection belongs to, which carries out what it can't answer itself, and is
//! told what it does answer.

use std::hash::{Hash, Hasher};

use super::{Done, Request};
use crate::{command::Called, proto::Args, record::Db, time::Instant};

/// Whom a connection asks and tells.
pub trait Host {
    /// Carries out a request, or begins to.
    fn execute(&mut self, request: Request<'_>) -> Done;

    /// A request is about to be answered, by whomever.
    fn begin(&mut self, _called: Called, _args: Args<'_>, _db: Db) {}

    /// A request was answered; `failed` is the code of the error, if it was one.
    fn end(&mut self, _called: Called, _args: Args<'_>, _failed: Option<&'static str>) {}

    /// The answer to a request has to wait. What is returned is kept until that is over
    /// ([`super::Connection::name_and_ended`]).
    fn note(&mut self, _called: Called, _args: Args<'_>) -> Option<Note> {
        None
    }

    /// A request was refused for its form; it may not even name a command.
    fn refuse(&mut self, _called: Option<Called>, _code: Option<&'static str>) {}
}

impl<F: FnMut(Request<'_>) -> Done> Host for F {
    fn execute(&mut self, request: Request<'_>) -> Done {
        self(request)
    }
}

/// What is remembered of a request until its reply may leave.
#[derive(Clone, Debug)]
pub struct Note {
    /// What was asked.
    pub called: Called,
    /// When.
    pub since: Instant,
    /// Its words, as far as the host wants to show them later.
    pub words: Box<[u8]>,
    /// The code of the error that it was answered with.
    pub failed: Option<&'static str>,
}

/// It is told, and decides nothing.
impl Hash for Note {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
