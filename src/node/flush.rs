//! FLUSHALL: the strong database first, because it may refuse; then the others.

use super::{LinkId, Node, gather::Join, strong::request::Origin};
use crate::{
    command::op::Answer,
    conn::Ticket,
    probe::{Mutant, planted},
    record::Db,
    time::Now,
};

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
        // The strong one is a part too: when another fails not everything has.
        let gather = self.gathers.begin(link, ticket, Join::AllOk, Db::COUNT);
        let part = |db: Db| Origin::Part { gather, index: db.index() as u32 };
        self.give(now, part(Db::STRONG), Answer::Ok);
        if planted(Mutant::FlushAllOfTwo) {
            self.give(now, part(Db::QUORUM), Answer::Ok);
        } else {
            let (quorum, mut ctx) = self.quorum(now);
            quorum.flush(&mut ctx, part(Db::QUORUM));
        }
        let stamp = self.replica.flush(now, Db::EVENTUAL);
        for peer in self.peers.iter_mut() {
            peer.outbox.push_flush(Db::EVENTUAL, stamp);
        }
        match self.replica.journal.wait_for_all() {
            Some(batch) => self.gathers.owe(batch, gather, Db::EVENTUAL.index() as u32),
            None => self.give(now, part(Db::EVENTUAL), Answer::Ok),
        }
    }

    /// The log has what answers waited for.
    pub(super) fn pay_parts(&mut self, now: Now) {
        let journal = &self.replica.journal;
        for (gather, index) in self.gathers.pay(|batch| journal.is_durable(batch)) {
            self.give(now, Origin::Part { gather, index }, Answer::Ok);
        }
    }
}
