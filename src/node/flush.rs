//! FLUSHALL: the strong database first, because it may refuse; then the others.

use super::{LinkId, Node, gather::Join, strong::request::Origin};
use crate::{command::op::Answer, conn::Ticket, record::Db, time::Now};

impl Node {
    /// The strong database is empty, or not, for a FLUSHALL.
    pub(super) fn flush_others(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        strong: &Answer<'static>,
    ) {
        if *strong != Answer::Ok {
            return self.reply(link, ticket, |writer| strong.write(writer));
        }
        let databases = [Db::QUORUM, Db::EVENTUAL];
        let gather = self.gathers.begin(link, ticket, Join::AllOk, databases.len());
        for (index, db) in (0..).zip(databases) {
            let stamp = self.replica.flush(now, db);
            self.peers.iter_mut().for_each(|peer| peer.outbox.push_flush(db, stamp));
            match self.replica.journal.wait_for_all() {
                Some(batch) => self.gathers.owe(batch, gather, index),
                None => self.give(now, Origin::Part { gather, index }, Answer::Ok),
            }
        }
        self.after_writes(now);
    }

    /// The log has what answers waited for.
    pub(super) fn pay_parts(&mut self, now: Now) {
        let journal = &self.replica.journal;
        for (gather, index) in self.gathers.pay(|batch| journal.is_durable(batch)) {
            self.give(now, Origin::Part { gather, index }, Answer::Ok);
        }
    }
}
