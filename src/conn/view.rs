//! What others may know of a connection, and say to its client without being asked.

use std::{
    hash::{Hash, Hasher},
    vec::Drain,
};

use super::{Connection, Note};
use crate::{command::Called, record::Db};

/// What was last asked. It is told, and decides nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last(pub(super) Option<Called>);

impl Hash for Last {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Connection {
    /// Its number among all of the node.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// As the client calls it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Which library the client uses, and which version of it.
    #[must_use]
    pub const fn library(&self) -> &[Box<[u8]>; 2] {
        &self.library
    }

    /// The database that is selected.
    #[must_use]
    pub const fn db(&self) -> Db {
        self.db
    }

    /// The version of RESP that is spoken.
    #[must_use]
    pub const fn resp(&self) -> u8 {
        if self.resp3 { 3 } else { 2 }
    }

    /// What was last asked.
    #[must_use]
    pub const fn last(&self) -> Option<Called> {
        self.last.0
    }

    /// Bytes that were read and are not carried out.
    #[must_use]
    pub fn unparsed(&self) -> usize {
        self.tail.len()
    }

    /// Bytes of replies that were not taken.
    #[must_use]
    pub const fn unwritten(&self) -> usize {
        self.replies.size()
    }

    /// Requests that are over since this was last asked, of those that were put off or held up.
    /// And the connection's name, by which they will be told.
    pub fn name_and_ended(&mut self) -> (&[u8], Drain<'_, Note>) {
        (&self.name, self.replies.drain_ended())
    }

    /// Says something that is no reply, between replies.
    pub fn interject(&mut self, bytes: &[u8]) {
        if !self.closing {
            self.replies.interject(bytes);
        }
    }
}
