//! The node's side of the strong database: what drives it, and where its words go.

use super::{
    LinkId, Node, Quorum,
    gather::Joined,
    inbound::Hangup,
    links::End,
    peers::Peer,
    strong::{
        Ctx, Strong, Why,
        request::{Origin, Outcome},
    },
    timers::Watch,
    votes::Votes,
};
use crate::{
    command::op::Answer,
    conn::Ticket,
    log::Batch,
    probe::{
        Hook, Mutant,
        claims::{Word, say},
        planted, reached,
    },
    proto::{peer::Frame, reply::ReplyWriter},
    record::{Db, NodeId},
    time::Now,
};

/// A client that was given more than it may hold.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Laden {
    link: LinkId,
    /// More than all clients together may hold.
    over: bool,
}

impl Node {
    /// The strong database and what it acts on.
    pub(super) const fn strong(&mut self, now: Now) -> (&mut Strong, Ctx<'_>) {
        let Self { strong, replica, peers, rng, .. } = self;
        (strong, Ctx { now, replica, peers, rng })
    }

    /// The quorum database and what it acts on.
    pub(super) const fn quorum(&mut self, now: Now) -> (&mut Quorum, Ctx<'_>) {
        let Self { quorum, replica, peers, rng, .. } = self;
        (quorum, Ctx { now, replica, peers, rng })
    }

    /// Whether so many operations are under way that no client may ask for more.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_crowded() || self.chores.load().1 > self.limits.requests_size_max
    }

    /// Whether so many operations are under way that none are begun for chores either.
    pub(super) fn is_crowded(&self) -> bool {
        let (count, size) = self.under_way();
        count > self.limits.requests_max || size > self.limits.requests_size_max
    }

    /// A question of a member for the strong or the quorum database.
    pub(super) fn on_question(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        let (quorum, mut ctx) = self.quorum(now);
        match frame {
            // A coordinator wants to know what we have.
            Frame::Query { id, db: Db::QUORUM, keys } => quorum.on_query(&mut ctx, from, id, keys),
            // A coordinator wants to have what we have.
            Frame::QueryFull { id, db: Db::QUORUM, keys } => {
                quorum.on_query_full(&mut ctx, from, id, keys)
            }
            // A reader knows of a flush that we do not know.
            Frame::Flushed { db: Db::QUORUM, version } => {
                Quorum::on_flushed(&mut ctx, version);
                Ok(())
            }
            // It does not vote, and why.
            Frame::Waiting { why } => {
                let why = Why::of(why).ok_or(Hangup::Unexpected)?;
                if let Some(peer) = self.peers.get_mut(from) {
                    peer.waits = Some(why);
                }
                Ok(())
            }
            // Nobody votes: the first member wants to go on from all disks.
            Frame::ColdStart { nonce, births } => {
                self.on_cold_start(now, from, nonce, births);
                Ok(())
            }
            question => {
                let (strong, mut ctx) = self.strong(now);
                strong.on_question(&mut ctx, from, question)?;
                self.discard_outlived(now);
                Ok(())
            }
        }
    }

    /// A member's answer for the strong or the quorum database.
    pub(super) fn on_reply(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        let (quorum, mut ctx) = self.quorum(now);
        match frame {
            // What it has of what we asked about.
            Frame::Answers { id, db: Db::QUORUM, floor, entries } => {
                quorum.on_answers(&mut ctx, from, id, (floor, entries)).ok_or(Hangup::Unexpected)
            }
            // A record that we lack.
            Frame::FullAnswers { id, db: Db::QUORUM, records } => {
                quorum.on_full_answers(&mut ctx, from, id, records)
            }
            // What it holds of a key that a client asks about.
            Frame::Located { id, version, flags } => {
                self.on_located(from, id, version, flags);
                Ok(())
            }
            // It stops, and takes no more requests.
            Frame::Farewell => {
                let (strong, mut ctx) = self.strong(now);
                strong.on_farewell(&mut ctx, from);
                Ok(())
            }
            // Why it has no record that we asked for.
            Frame::Flushed { db: Db::QUORUM, version } => {
                Quorum::on_flushed(&mut ctx, version);
                Ok(())
            }
            reply => {
                let (strong, mut ctx) = self.strong(now);
                strong.on_reply(&mut ctx, from, reply)?;
                self.discard_outlived(now);
                Ok(())
            }
        }
    }

    /// Members have forgotten what they said: the quorum database must not count it.
    fn discard_outlived(&mut self, now: Now) {
        for member in self.strong.take_outlived().iter() {
            let (quorum, mut ctx) = self.quorum(now);
            quorum.discard(&mut ctx, member);
        }
    }

    /// A member says that it votes from now on.
    pub(super) fn on_formed(&mut self, now: Now, from: NodeId, birth: u64, votes: bool) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        (peer.birth, peer.formed) = (new_birth(birth), votes);
        peer.waits = peer.waits.filter(|_| !votes);
        let votes = votes && !self.strong.is_outlived(from, peer.receiver);
        let begins = votes && !std::mem::replace(&mut peer.votes, votes);
        if begins {
            let (strong, mut ctx) = self.strong(now);
            strong.on_session(&mut ctx, from, None);
            strong.on_live(&mut ctx, from);
            let (quorum, mut ctx) = self.quorum(now);
            quorum.on_live(&mut ctx, from, false);
        }
    }

    /// A member says with which births of data the cluster has formed.
    pub(super) fn on_formation(&mut self, now: Now, births: &[u8]) {
        let batch = self.replica.journal.gathering();
        if self.strong.is_ready() && self.formation.may_start_cold() {
            let births = self.strong.cold_births();
            self.replica.journal.formed(self.formation.start_cold(births, batch));
            return;
        }
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

    /// Members that vote by now did not yet when they introduced themselves: what they have shown
    /// since may be less than what they vouch for. They are to begin again, as members that vote.
    fn have_shown_again(&mut self, now: Now) {
        if !self.formation.is_lost() || self.strong.is_ready() {
            return;
        }
        let same_life = |peer: &&Peer| peer.receiver == peer.cursor.incarnation;
        let outdated = self.peers.iter().filter(same_life).filter(|p| p.votes && !p.voted);
        let outdated: Vec<LinkId> = outdated.filter_map(|peer| peer.inbound).collect();
        outdated.into_iter().for_each(|link| self.close(now, link));
    }

    /// Once all is there again, in all databases, the log is told.
    fn maybe_rejoin(&mut self) {
        if !self.strong.is_recovered() {
            return;
        }
        let needed = (self.members.len() - self.members.quorum() + 1).min(self.members.len() - 1);
        // Of what a majority has acknowledged in the quorum database one of them has shown us all,
        // if each voted and knew before that our earlier word counts no more.
        let counts = |id| self.strong.is_known_to(id);
        let walked = self.peers.iter().filter(|p| p.has_walked && p.voted && counts(p.id));
        let walked: Votes = walked.map(|peer| peer.id).collect();
        // And what was deleted for good must not be shown again.
        let clean = self.replica.floors.is_clean();
        if walked.count() < needed || !clean || !self.strong.poll_recovered() {
            return;
        }
        walked.iter().for_each(|peer| say(Word::RecoveredFrom(peer.0)));
        tracing::info!("recovered from the other members");
        let batch = self.replica.journal.gathering();
        let births = self.formation.rejoin(batch);
        self.replica.journal.formed(births);
    }

    /// The first member wants a cold start.
    pub(super) fn on_cold_start(&mut self, now: Now, from: NodeId, nonce: u64, births: &[u8]) {
        if self.formation.may_start_cold() {
            let birth = self.formation.birth();
            let (strong, mut ctx) = self.strong(now);
            strong.on_cold_start(&mut ctx, from, (nonce, births), birth);
        }
    }

    /// Goes on with a cold start, or begins one in the first member if now is the time.
    fn maybe_start_cold(&mut self, now: Now) {
        if !self.formation.may_start_cold() {
            return;
        }
        let birth = self.formation.birth();
        let (strong, mut ctx) = self.strong(now);
        if let Some(births) = strong.lead_cold_start(&mut ctx, birth) {
            let batch = self.replica.journal.gathering();
            self.replica.journal.formed(self.formation.start_cold(&births, batch));
        }
        // Of the other databases all must have shown all that they have, too.
        let walked = self.peers.iter().filter(|peer| peer.has_walked).count();
        let some = planted(Mutant::ColdStartOfSome);
        let others = if some { self.members.quorum() - 1 } else { self.members.len() - 1 };
        if self.strong.has_merged() && walked >= others {
            let batch = self.replica.journal.gathering();
            let births = self.formation.renounce(self.strong.cold_births());
            self.replica.journal.formed(births);
            self.strong.on_merged(batch);
        }
    }

    /// Tells the log, as often as it changes, what keeps the cluster from going on.
    fn say_what_is_in_the_way(&mut self, now: Now) {
        if let Some(obstacle) = self.strong.new_obstacle(&self.peers, now.mono) {
            tracing::warn!("{obstacle}");
        }
    }

    /// Forms the cluster if now is the time, in the first member.
    pub(super) fn maybe_form(&mut self) {
        self.say_who_is_missing();
        let batch = self.replica.journal.gathering();
        let new = self.peers.iter().map(|peer| peer.birth.filter(|_| peer.live && !peer.formed));
        if let Some(births) = self.formation.decide(new, batch) {
            self.replica.journal.formed(births);
        }
    }

    /// Tells the log, as often as it changes, whom a cluster that has not formed waits for.
    fn say_who_is_missing(&mut self) {
        let missing = self.peers.iter().filter(|peer| !peer.live).map(|peer| peer.id);
        let missing: Vec<NodeId> = missing.collect();
        if self.formation.waits_for(&missing) {
            let names: Vec<&str> = missing.iter().map(|id| self.members.name(*id)).collect();
            tracing::info!("the cluster has not formed: waiting for {}", names.join(", "));
        }
    }

    /// The log has a batch.
    pub(super) fn on_batch(&mut self, now: Now, batch: Batch) {
        if self.formation.on_durable(batch) {
            reached(Hook::Formed);
            tracing::info!("the cluster has formed");
            self.begin_voting(now);
        }
        self.replica.floors.on_durable(batch);
        if self.members.len() == 1 {
            // There are no heartbeats.
            self.look_at_floor(now);
        }
        let journal = &self.replica.journal;
        self.peers.iter_mut().for_each(|peer| peer.pay(|batch| journal.is_durable(batch)));
        self.pay_parts(now);
        let birth = self.formation.birth();
        let (strong, mut ctx) = self.strong(now);
        strong.on_durable(&mut ctx, batch, birth);
        let (quorum, mut ctx) = self.quorum(now);
        quorum.on_durable(&mut ctx, batch);
    }

    /// This node votes from now on, and says so to all.
    pub(super) fn begin_voting(&mut self, now: Now) {
        let (strong, mut ctx) = self.strong(now);
        if strong.begin(&mut ctx) {
            reached(Hook::ColdStarted);
            self.stats.cold_starts += 1;
            tracing::warn!(
                "the cluster has started cold: acknowledged writes that no disk had are lost, and \
                 deletes that no disk had may be undone"
            );
        }
        let (quorum, mut ctx) = self.quorum(now);
        quorum.begin(&mut ctx);
        let births = self.formation.births().unwrap_or_default();
        let voting = Frame::Formed { birth: self.formation.birth_told(), formed: true };
        for peer in self.peers.iter_mut() {
            peer.ask(&Frame::Formation { births });
            peer.say(&voting);
        }
    }

    pub(super) fn tick(&mut self, now: Now) {
        self.say_what_is_in_the_way(now);
        let (strong, mut ctx) = self.strong(now);
        strong.tick(&mut ctx);
        if self.quorum.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
            let refusal = self.strong.refusal(&self.peers, "no majority answered in time");
            let (quorum, mut ctx) = self.quorum(now);
            quorum.expire(&mut ctx, &refusal);
        }
    }

    /// The inputs of a turn are over: asks what the requests among them need to know. Part of
    /// [`crate::turn::finish_turn`].
    pub fn end_inputs(&mut self, now: Now) {
        self.observer.on_turn(now);
        let (strong, mut ctx) = self.strong(now);
        strong.end_turn(&mut ctx);
        let (quorum, mut ctx) = self.quorum(now);
        quorum.end_turn(&mut ctx);
        self.maybe_whole(now);
        self.have_shown_again(now);
        self.maybe_rejoin();
        self.maybe_start_cold(now);
        self.run_waits(now);
        self.run_locates(now);
        self.run_sleeps(now);
        self.expect_ends(now);
        self.deliver(now);
    }

    /// Gives out what is over, and moves what is to be asked and said into the links.
    fn deliver(&mut self, now: Now) {
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
        let (strong, mut ctx) = self.strong(now);
        strong.part(&mut ctx);
        for (origin, answer) in self.quorum.take_outcomes() {
            self.give(now, origin, answer);
        }
        self.look_after_laden(now);
        while let Some(link) = self.owing.pop() {
            self.note_ended(now, link);
        }
        self.speak(now);
    }

    pub(super) fn give(&mut self, now: Now, origin: Origin, answer: Answer<'static>) {
        match origin {
            Origin::All { link, ticket } => self.flush_others(now, (link, ticket), &answer),
            Origin::Client { link, ticket } => {
                self.time(now, link, ticket);
                self.reply(link, ticket, |writer| answer.write(writer));
            }
            Origin::Erasure { .. } | Origin::Nobody => {}
            Origin::Move { number } => self.on_move(now, number, answer),
            Origin::Part { gather, index } => {
                if let Some(joined) = self.gathers.on_part(gather, index, answer) {
                    self.time(now, joined.link, joined.ticket);
                    if let Some(counts) = joined.counts() {
                        self.stats.count_each(now.mono, &mut self.observer, &counts);
                    }
                    self.give_joined(&joined);
                }
            }
            Origin::Peer { node, id } => {
                let (_, mut ctx) = self.strong(now);
                Strong::tell(&mut ctx, node, id, &answer);
            }
        }
    }

    /// The whole answer to a request of several operations; its connection remembers what is watched.
    fn give_joined(&mut self, joined: &Joined) {
        if let Some(watched) = joined.watched()
            && let Some(End::Client { connection, .. }) = self.links.end_mut(joined.link)
            && connection.awaits(joined.ticket)
        {
            let before = connection.buffered();
            connection.on_watched(watched);
            self.buffered = self.buffered + connection.buffered() - before;
        }
        self.reply(joined.link, joined.ticket, |writer| joined.write(writer));
    }

    /// Notes how long a client waited for its answer.
    pub(super) fn time(&mut self, now: Now, link: LinkId, ticket: Ticket) {
        if let Some(End::Client { asked, .. }) = self.links.end_mut(link) {
            self.stats.load.on_answered(now.mono, asked, ticket);
        }
    }

    /// Answers a client, if it is still there.
    pub(super) fn reply(
        &mut self,
        link: LinkId,
        ticket: Ticket,
        write: impl FnOnce(&mut ReplyWriter<'_>),
    ) {
        let Some(End::Client { connection, .. }) = self.links.end_mut(link) else { return };
        let before = connection.buffered();
        if !connection.reply(ticket, &self.limits, write) {
            return;
        }
        let after = connection.buffered();
        self.buffered = self.buffered + after - before;
        let over = self.buffered > self.limits.buffers_total && after > before;
        if over || connection.is_paused() {
            // Looked at later: somebody may be about to say more to this client.
            self.laden.push(Laden { link, over });
        }
        if connection.can_resume() {
            self.resumable.push_back(link);
        }
        self.links.touch(link);
        if self.owing.last() != Some(&link) {
            self.owing.push(link);
        }
    }

    /// Sees to clients that were given more than they take.
    fn look_after_laden(&mut self, now: Now) {
        for Laden { link, over } in std::mem::take(&mut self.laden) {
            let Some(End::Client { connection, .. }) = self.links.end(link) else { continue };
            let (paused, written) = (connection.is_paused(), connection.written());
            if over && self.buffered > self.limits.buffers_total {
                tracing::warn!(link = link.0, "closed a client: all buffers together are full");
                self.close(now, link);
            } else if paused && self.watched.iter().all(|watched| watched.link != link) {
                self.watched.push(Watch::new(now, link, written));
            }
        }
    }

    /// Moves what is to be asked and said into the links, and has streams that have grown written.
    /// A stream that has gone Behind is given up; its session ends with its link.
    fn speak(&mut self, now: Now) {
        let mut behind = Vec::new();
        for peer in self.peers.iter_mut() {
            let grown = !peer.asks.is_empty() || peer.outbox.has_unsent();
            if (grown || peer.outbox.is_behind())
                && let Some(link) = peer.link().filter(|_| peer.live)
                && let Some(open) = self.links.peer_mut(link)
            {
                open.out.extend(&peer.asks);
                if peer.outbox.is_behind() {
                    behind.push((peer.id, link));
                } else {
                    self.links.touch(link);
                }
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
        }
        for (id, link) in behind {
            tracing::warn!(peer = %self.members.name(id), "a peer is Behind: repair takes over");
            reached(Hook::Behind);
            self.stats.behind += 1;
            self.close(now, link);
        }
    }
}

/// The birth of a peer's data, if the cluster may still be formed with it.
pub(super) fn new_birth(told: u64) -> Option<u64> {
    (told != 0).then_some(told)
}
