//! What clients ask about the node and the cluster: taken down while a connection's requests are
//! carried out, and answered right after, from all that the node knows.

use super::{LinkId, Node, wait::Wrote};
use crate::{
    conn::Ticket,
    record::Db,
    time::{Millis, Now},
};

/// A question, and the place of its answer.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inquiry {
    pub(crate) link: LinkId,
    pub(crate) ticket: Ticket,
    pub(crate) about: About,
}

/// What is asked.
#[derive(Clone, Debug, Hash)]
pub(crate) enum About {
    /// REPLICAS.
    Replicas { db: Db, key: Box<[u8]> },
    /// STATUS.
    Status,
    /// WAIT, on a connection that wrote to these databases.
    Wait { wrote: Wrote, replicas: u64, timeout: Option<Millis> },
}

impl Node {
    /// Answers what was asked, or begins to.
    pub(super) fn inquire(&mut self, now: Now) {
        for Inquiry { link, ticket, about } in std::mem::take(&mut self.inquiries) {
            match about {
                About::Replicas { db, key } => self.begin_locate(now, (link, ticket), db, &key),
                About::Status => {
                    let text = self.status(now);
                    self.reply(link, ticket, |writer| writer.lines(&text));
                }
                About::Wait { wrote, replicas, timeout } => {
                    self.begin_wait(now, (link, ticket), wrote, (replicas, timeout));
                }
            }
        }
    }

    /// A connection is gone, and nobody waits for its answers.
    pub(super) fn forget_inquiries(&mut self, link: LinkId) {
        self.waits.forget(link);
        self.locates.forget(link);
    }
}
