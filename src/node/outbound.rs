//! What a peer answers on the link that we dialed: welcome or refusal, acknowledgements,
//! heartbeats, repair answers; and how our stream and our copies get into that link's output.

use super::{
    LinkId, Node, REFILLS_PER_TURN, consensus::new_birth, inbound::Hangup, links::Side,
    repair::Walk,
};
use crate::{
    probe::{Hook, Mutant, claims::acknowledged, planted, reached},
    proto::peer::Frame,
    record::NodeId,
    time::Now,
};

impl Node {
    pub(super) fn on_outbound(
        &mut self,
        now: Now,
        link: LinkId,
        to: NodeId,
        live: bool,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        match frame {
            // The peer knows us; now both know which session goes on and where.
            Frame::Welcome { incarnation, generation, pos, wall_ms, birth, formed } if !live => {
                let asked_ms = self.links.peer(link).map_or(0, |open| open.opened_ms);
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.on_clock(asked_ms, wall_ms, self.timing.skew_max);
                    (peer.birth, peer.formed) = (new_birth(birth), formed);
                }
                self.on_welcome(now, link, to, incarnation, generation, pos)
            }
            Frame::Refuse { incarnation, reason } if !live => {
                self.on_refuse(now, link, to, incarnation, reason);
                Ok(())
            }
            Frame::Ack { generation, pos } if live => self.on_ack(to, generation, pos),
            Frame::Pong { asked_ms, wall_ms } if live => {
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.on_answer();
                    peer.on_clock(asked_ms, wall_ms, self.timing.skew_max);
                }
                Ok(())
            }
            Frame::Differ { db, flushed, bits } if live => {
                if !planted(Mutant::FlushNotRepaired) {
                    self.replica.merge_flush(now, db, flushed)?;
                }
                let (peer, walk) = self.walk(to, link).ok_or(Hangup::Unexpected)?;
                if peer.on_differ(walk, db, bits)? {
                    self.on_walk_complete(to);
                }
                self.links.touch(link);
                Ok(())
            }
            Frame::Want { bits, dead } if live => {
                let (peer, walk) = self.walk(to, link).ok_or(Hangup::Unexpected)?;
                let dead = peer.repair.on_want(walk, bits, dead)?;
                self.drop_dead(link, &dead);
                Ok(())
            }
            // It votes from now on.
            Frame::Formed { birth, formed } if live => {
                self.on_formed(now, to, birth, formed);
                Ok(())
            }
            reply if live => self.on_reply(now, to, reply),
            _ => Err(Hangup::Unexpected),
        }
    }

    /// All before `pos` has arrived; keep no more of it.
    fn on_ack(&mut self, to: NodeId, generation: u64, pos: u64) -> Result<(), Hangup> {
        let peer = self.peers.get_mut(to).ok_or(Hangup::Unexpected)?;
        if peer.outbox.is_behind() {
            // Forgotten since the last frame was read: this link is about to be closed.
            return Ok(());
        }
        let ours = generation == peer.generation || planted(Mutant::OldSessionAccepted);
        if !ours || !peer.outbox.on_ack(pos) {
            return Err(Hangup::Unexpected);
        }
        peer.on_answer();
        acknowledged(to.0, peer.generation, pos);
        // What is refused is refused on the same link, before it is acknowledged there.
        if peer.votes {
            self.strong.on_ack(to, pos);
            self.quorum.on_ack(to, pos);
        }
        Ok(())
    }

    /// Goes on with the session that the peer remembers, or begins a new one with a walk.
    fn on_welcome(
        &mut self,
        now: Now,
        link: LinkId,
        to: NodeId,
        incarnation: u64,
        generation: u64,
        pos: u64,
    ) -> Result<(), Hangup> {
        self.on_welcomed_anew(now, to, incarnation);
        let peer = self.peers.get_mut(to).ok_or(Hangup::Unexpected)?;
        let same = peer.receiver == incarnation && peer.generation == generation;
        let resumed = if same && peer.outbox.resume(pos) {
            Some(pos)
        } else {
            reached(Hook::SessionBegun);
            peer.begin_session(incarnation);
            None
        };
        let pos = resumed.unwrap_or(0);
        let votes = peer.formed && !self.strong.is_outlived(to, incarnation);
        (peer.live, peer.votes) = (true, votes);
        let (generation, walk_needed) = (peer.generation, peer.repair.is_needed());
        peer.ping_at = now.mono;
        if let Some(open) = self.links.peer_mut(link) {
            open.side = Side::Dialed { to, live: true };
        }
        self.say(link, Frame::Begin { generation, pos });
        let (strong, mut ctx) = self.strong(now);
        strong.on_welcome(&mut ctx, to, incarnation);
        tracing::info!(peer = %self.members.name(to), resumed = pos > 0, "connected to a peer");
        if walk_needed {
            self.start_repair(now, to, link);
        }
        self.maybe_form();
        if let (Some(births), Some(peer)) = (self.formation.births(), self.peers.get_mut(to)) {
            peer.ask(&Frame::Formation { births });
        }
        let (strong, mut ctx) = self.strong(now);
        strong.on_session(&mut ctx, to, resumed);
        strong.on_live(&mut ctx, to);
        let (quorum, mut ctx) = self.quorum(now);
        quorum.on_live(&mut ctx, to, resumed.is_some());
        Ok(())
    }

    fn on_refuse(&mut self, now: Now, link: LinkId, to: NodeId, incarnation: u64, reason: &[u8]) {
        let reason = String::from_utf8_lossy(reason);
        let reason = reason.escape_debug();
        tracing::warn!(peer = %self.members.name(to), "a peer refused us: {reason}");
        self.close(now, link);
        if incarnation > self.replica.incarnation() {
            // Our clock went back between two lives. Streams of this life must not pass for those
            // of the earlier one.
            self.replica.outlive(incarnation);
            let links = self.peers.iter().filter_map(super::peers::Peer::link);
            let links: Vec<LinkId> = links.collect();
            links.into_iter().for_each(|link| self.close(now, link));
            self.peers.iter_mut().for_each(|peer| peer.outbox.give_up());
        }
    }

    /// Moves stream and copies into a link's output once it is empty.
    pub(super) fn refill(&mut self, link: LinkId) {
        let room = self.limits.link_output;
        let Some(open) = self.links.peer_mut(link) else { return };
        let Side::Dialed { to, live: true } = open.side else { return };
        if !open.out.is_empty() {
            return;
        }
        let Some(peer) = self.peers.get_mut(to) else { return };
        if open.refills == REFILLS_PER_TURN {
            if peer.outbox.has_unsent() || peer.repair.is_copying() {
                self.runnable.push_back(link);
            }
            return;
        }
        open.refills += 1;
        open.out.extend(peer.outbox.take_unsent(room));
        let (span, offer_size) = (self.limits.repair_span, self.limits.offer_size);
        let out = open.out.tail();
        peer.repair.fill(Walk { store: &self.replica.store, span, offer_size, out }, 2 * room);
    }

    /// A peer and what its walk needs.
    fn walk(&mut self, to: NodeId, link: LinkId) -> Option<(&mut super::peers::Peer, Walk<'_>)> {
        let (span, offer_size) = (self.limits.repair_span, self.limits.offer_size);
        let out = self.links.peer_mut(link)?.out.tail();
        let peer = self.peers.get_mut(to)?;
        Some((peer, Walk { store: &self.replica.store, span, offer_size, out }))
    }
}
