//! DEBUG SLEEP: clients that want to be answered late. The node goes on meanwhile.

use super::{LinkId, Node};
use crate::{
    conn::Ticket,
    time::{Instant, Now},
};

/// Replies that are put off; one a connection, since it begins nothing else before.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Sleeps {
    open: Vec<(Instant, LinkId, Ticket)>,
}

impl Sleeps {
    pub(crate) fn begin(&mut self, until: Instant, (link, ticket): (LinkId, Ticket)) {
        self.open.push((until, link, ticket));
    }

    /// When the first is over.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.open.iter().map(|(until, ..)| *until).min()
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.retain(|(_, at, _)| *at != link);
    }
}

impl Node {
    /// Answers those whose time has come; all, if the node is stopping.
    pub(super) fn run_sleeps(&mut self, now: Now) {
        let stops = self.draining.is_some();
        let over = |(until, ..): &(Instant, LinkId, Ticket)| stops || *until <= now.mono;
        let over: Vec<_> = self.sleeps.open.extract_if(.., |sleep| over(sleep)).collect();
        for (_, link, ticket) in over {
            self.reply(link, ticket, |writer| writer.ok());
        }
    }
}
