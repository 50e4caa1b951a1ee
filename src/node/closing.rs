//! Links that end, at our wish or not, and what ends with them.

use super::{
    Action, LinkId, Node,
    links::{End, Side},
};
use crate::{
    probe::{Mutant, planted},
    time::Now,
};

impl Node {
    /// Closes a link at our wish.
    pub(super) fn close(&mut self, now: Now, link: LinkId) {
        self.forget(now, link);
        self.actions.push_back(Action::Close(link));
    }

    /// Closes a link that nothing else depends on any more.
    pub(super) fn drop_link(&mut self, link: LinkId) {
        self.forget_inquiries(link);
        if let Some(End::Client { connection, .. }) = self.links.remove(link) {
            self.buffered -= connection.buffered();
        }
        self.accepted.retain(|accepted| *accepted != link);
        self.watched.retain(|watched| watched.link != link);
        self.actions.push_back(Action::Close(link));
    }

    /// Forgets a link and tells the peer behind it, if any.
    pub(super) fn forget(&mut self, now: Now, link: LinkId) {
        self.forget_inquiries(link);
        match self.links.remove(link) {
            Some(End::Client { connection, .. }) => {
                if !planted(Mutant::BuffersKept) {
                    self.buffered -= connection.buffered();
                }
                self.watched.retain(|watched| watched.link != link);
            }
            Some(End::Peer(gone)) => {
                self.accepted.retain(|accepted| *accepted != link);
                self.on_peer_link_gone(now, link, gone.side);
            }
            None => {}
        }
    }

    fn on_peer_link_gone(&mut self, now: Now, link: LinkId, side: Side) {
        match side {
            Side::Accepted { from: Some(from), .. } => {
                if let Some(peer) = self.peers.get_mut(from).filter(|p| p.inbound == Some(link)) {
                    peer.inbound = None;
                    self.replica.floors.on_link_lost(from);
                    let (strong, mut ctx) = self.strong(now);
                    strong.on_silent(&mut ctx, from);
                }
            }
            Side::Accepted { from: None, .. } => {}
            Side::Dialed { to, live } => {
                let Some(peer) = self.peers.get_mut(to).filter(|peer| peer.link() == Some(link))
                else {
                    return;
                };
                if live {
                    peer.on_link_lost(now, &self.timing, &mut self.rng);
                    tracing::info!(peer = %self.members.name(to), "lost the link to a peer");
                } else {
                    peer.on_unreachable(now, &self.timing, &mut self.rng);
                }
                let (strong, mut ctx) = self.strong(now);
                strong.on_lost(&mut ctx, to);
                let (quorum, mut ctx) = self.quorum(now);
                quorum.on_lost(&mut ctx, to);
            }
        }
    }
}
