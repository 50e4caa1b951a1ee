//! The node's side of the strong database: what drives it, and where its words go.

use super::{
    LinkId, Node,
    inbound::Hangup,
    links::End,
    strong::{
        Ctx, Strong,
        request::{Origin, Outcome},
    },
};
use crate::{
    command::op::Answer,
    conn::Ticket,
    log::Batch,
    probe::{Hook, reached},
    proto::{peer::Frame, reply::ReplyWriter},
    record::NodeId,
    time::Now,
};

impl Node {
    /// The strong database and what it acts on.
    pub(super) const fn strong(&mut self, now: Now) -> (&mut Strong, Ctx<'_>) {
        let Self { strong, replica, peers, rng, .. } = self;
        (strong, Ctx { now, replica, peers, rng })
    }

    /// A question of a member for the strong database.
    pub(super) fn on_question(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        let (strong, mut ctx) = self.strong(now);
        strong.on_question(&mut ctx, from, frame)
    }

    /// A member's answer for the strong database.
    pub(super) fn on_reply(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        // What it holds of a key that a client asks about.
        if let Frame::Located { id, version, flags } = frame {
            self.on_located(from, id, version, flags);
            return Ok(());
        }
        let (strong, mut ctx) = self.strong(now);
        strong.on_reply(&mut ctx, from, frame)
    }

    /// A member says that it votes from now on.
    pub(super) fn on_formed(&mut self, now: Now, from: NodeId, birth: u64, votes: bool) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        (peer.birth, peer.formed) = (new_birth(birth), votes);
        let votes = votes && !self.strong.is_outlived(from, peer.receiver);
        let begins = votes && !std::mem::replace(&mut peer.votes, votes);
        if begins {
            let (strong, mut ctx) = self.strong(now);
            strong.on_session(&mut ctx, from, None);
            strong.on_live(&mut ctx, from);
        }
    }

    /// A member says with which births of data the cluster has formed.
    pub(super) fn on_formation(&mut self, now: Now, births: &[u8]) {
        let batch = self.replica.journal.gathering();
        let known = self.formation.is_lost();
        if let Some(births) = self.formation.learn(births, batch) {
            self.replica.journal.formed(births);
        } else if self.formation.is_lost() && !known {
            tracing::warn!("this node lost what it had when the cluster formed");
            self.begin_recovery(now);
        }
    }

    /// Gets from the others what this node may have lost, before it votes.
    pub(super) fn begin_recovery(&mut self, now: Now) {
        tracing::info!("recovering from the other members");
        let (strong, mut ctx) = self.strong(now);
        strong.begin_recovery(&mut ctx);
    }

    /// Once all is there again, in all databases, the log is told.
    fn maybe_rejoin(&mut self) {
        let needed = (self.members.len() - self.members.quorum() + 1).min(self.members.len() - 1);
        let walked = self.peers.iter().filter(|peer| peer.has_walked).count();
        if walked < needed || !self.strong.poll_recovered() {
            return;
        }
        tracing::info!("recovered from the other members");
        let batch = self.replica.journal.gathering();
        let births = self.formation.rejoin(batch);
        self.replica.journal.formed(births);
    }

    /// Forms the cluster if now is the time, in the first member.
    pub(super) fn maybe_form(&mut self) {
        let batch = self.replica.journal.gathering();
        let new = self.peers.iter().map(|peer| peer.birth.filter(|_| peer.live && !peer.formed));
        if let Some(births) = self.formation.decide(new, batch) {
            self.replica.journal.formed(births);
        }
    }

    /// The log has a batch.
    pub(super) fn on_batch(&mut self, now: Now, batch: Batch) {
        if self.formation.on_durable(batch) {
            reached(Hook::Formed);
            tracing::info!("the cluster has formed");
            self.begin_voting(now);
        }
        let journal = &self.replica.journal;
        self.peers.iter_mut().for_each(|peer| peer.pay(|batch| journal.is_durable(batch)));
        self.pay_parts(now);
        let (strong, mut ctx) = self.strong(now);
        strong.on_durable(&mut ctx, batch);
    }

    /// This node votes from now on, and says so to all.
    pub(super) fn begin_voting(&mut self, now: Now) {
        let (strong, mut ctx) = self.strong(now);
        strong.begin(&mut ctx);
        let births = self.formation.births().unwrap_or_default();
        let voting = Frame::Formed { birth: self.formation.birth_told(), formed: true };
        for peer in self.peers.iter_mut() {
            peer.ask(&Frame::Formation { births });
            peer.say(&voting);
        }
    }

    pub(super) fn tick(&mut self, now: Now) {
        let (strong, mut ctx) = self.strong(now);
        strong.tick(&mut ctx);
    }

    /// The inputs of a turn are over: asks what the requests among them need to know. Part of
    /// [`crate::turn::finish_turn`].
    pub fn end_inputs(&mut self, now: Now) {
        let (strong, mut ctx) = self.strong(now);
        strong.end_turn(&mut ctx);
        self.maybe_rejoin();
        self.run_waits(now);
        self.run_locates(now);
        self.deliver(now);
    }

    /// Gives out what is over, and moves what is to be asked and said into the links.
    pub(super) fn deliver(&mut self, now: Now) {
        loop {
            let (strong, mut ctx) = self.strong(now);
            let outcomes = strong.take_outcomes(&mut ctx);
            if outcomes.is_empty() {
                break;
            }
            for outcome in outcomes {
                let Outcome::Answered { origin, answer } = outcome else { continue };
                self.give(now, origin, answer);
            }
        }
        self.speak();
    }

    pub(super) fn give(&mut self, now: Now, origin: Origin, answer: Answer<'static>) {
        match origin {
            Origin::All { link, ticket } => self.flush_others(now, (link, ticket), &answer),
            Origin::Client { link, ticket } => {
                self.reply(link, ticket, |writer| answer.write(writer));
            }
            Origin::Erasure { .. } | Origin::Nobody => {}
            Origin::Part { gather, index } => {
                if let Some(joined) = self.gathers.on_part(gather, index, answer) {
                    self.reply(joined.link, joined.ticket, |writer| joined.write(writer));
                }
            }
            Origin::Peer { node, id } => {
                let (_, mut ctx) = self.strong(now);
                Strong::tell(&mut ctx, node, id, &answer);
            }
        }
    }

    /// Answers a client, if it is still there.
    pub(super) fn reply(&mut self, link: LinkId, ticket: Ticket, write: impl FnOnce(&mut ReplyWriter<'_>)) {
        let Some(End::Client { connection, .. }) = self.links.end_mut(link) else { return };
        let before = connection.buffered();
        if connection.reply(ticket, write) {
            self.buffered = self.buffered + connection.buffered() - before;
            if connection.can_resume() {
                self.resumable.push_back(link);
            }
            self.links.touch(link);
        }
    }

    /// Moves what is to be asked and said into the links.
    fn speak(&mut self) {
        for peer in self.peers.iter_mut() {
            if !peer.asks.is_empty()
                && let Some(link) = peer.link()
                && let Some(open) = self.links.peer_mut(link)
            {
                open.out.extend(&peer.asks);
                self.links.touch(link);
            }
            if !peer.says.is_empty()
                && let Some(link) = peer.inbound
                && let Some(open) = self.links.peer_mut(link)
            {
                open.out.extend(&peer.says);
                self.links.touch(link);
            }
            peer.asks.clear();
            peer.says.clear();
            if peer.live
                && peer.outbox.has_unsent()
                && let Some(link) = peer.link()
            {
                self.links.touch(link);
            }
        }
    }
}

/// The birth of a peer's data, if the cluster may still be formed with it.
pub(super) fn new_birth(told: u64) -> Option<u64> {
    (told != 0).then_some(told)
}
