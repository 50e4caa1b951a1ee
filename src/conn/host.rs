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

    /// Whether anybody looks at what [`Host::begin`] is told.
    fn is_watched(&self) -> bool {
        false
    }

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
    pub words: Words,
    /// The code of the error that it was answered with.
    pub failed: Option<&'static str>,
}

/// Bytes that [`Words`] has room for in itself: most requests that are not about a large value.
const FEW: usize = 95;

/// Words of a request, packed as the host likes. Few bytes need no memory of their own, and many ask
/// for it once: there is a note for nearly every request.
#[derive(Clone, Debug)]
pub struct Words {
    few: [u8; FEW],
    size: u8,
    /// All of them, if they are more.
    many: Vec<u8>,
}

impl Words {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { few: [0; FEW], size: 0, many: Vec::new() }
    }

    /// None yet, with room for so many bytes.
    #[must_use]
    pub fn with_room(size: usize) -> Self {
        let many = if size > FEW { Vec::with_capacity(size) } else { Vec::new() };
        Self { few: [0; FEW], size: 0, many }
    }

    /// Adds bytes.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let from = usize::from(self.size);
        if self.many.capacity() == 0
            && let Some(room) = self.few.get_mut(from..from + bytes.len())
        {
            room.copy_from_slice(bytes);
            self.size += bytes.len() as u8;
            return;
        }
        if self.many.is_empty() {
            self.many.extend_from_slice(self.few.get(..from).unwrap_or_default());
        }
        self.many.extend_from_slice(bytes);
    }

    /// Their bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if self.many.capacity() == 0 {
            self.few.get(..usize::from(self.size)).unwrap_or_default()
        } else {
            &self.many
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::new()
    }
}

/// It is told, and decides nothing.
impl Hash for Note {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
