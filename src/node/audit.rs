//! What a simulation asks a node after a turn: whether its parts agree, and what it holds how firmly.

use super::Node;
use crate::{
    record::{Db, NodeId},
    slot::Slot,
};

impl Node {
    /// What one part of this node says that another one does not bear out.
    #[must_use]
    pub fn audit(&self) -> Option<&'static str> {
        let floors = &self.replica.floors;
        if floors.known_absent() > floors.known().hlc {
            return Some("it goes by a floor that it does not tell others");
        }
        let linked = |donor| {
            let peer = self.peers.iter().find(|peer| peer.id == donor);
            peer.is_some_and(|peer| peer.inbound.is_some())
        };
        if floors.awaited().is_some_and(|donor| !linked(donor)) {
            return Some("it waits for the floor of a member that shows it nothing");
        }
        None
    }

    /// Whether this node knows of something that may be dead and below its floor, and is not about to look
    /// for it. What is dead later is not looked for at once.
    #[must_use]
    pub fn begins_with_leftovers(&self) -> bool {
        let (floors, store) = (&self.replica.floors, &self.replica.store);
        let mut dead = [Db::QUORUM, Db::EVENTUAL].into_iter().map(|db| store.oldest_dead(db));
        let known = dead.any(|oldest| oldest <= floors.floor().hlc);
        known && floors.is_sound() && !self.removal.is_under_way()
    }

    /// Whether what this node holds of a key of the strong database counts as a copy: it was brought by
    /// others after a loss, and no leader has said yet that it is accepted.
    #[must_use]
    pub fn counts_as_copy(&self, key: &[u8]) -> bool {
        let slots = self.replica.store.slots();
        self.strong.acceptor().copied().contains(Slot::of(key, slots).0)
    }

    /// Whether the last change of a key is on its way to the log.
    #[must_use]
    pub fn is_under_way(&self, db: Db, key: &[u8]) -> bool {
        self.replica.journal.has_under_way(db, key)
    }

    /// Of which session of a peer this node has applied how much: the peer's life, the session's
    /// generation, and a position in it.
    #[must_use]
    pub fn applied(&self, peer: NodeId) -> Option<(u64, u64, u64)> {
        let cursor = self.peers.iter().find(|other| other.id == peer)?.cursor;
        Some((cursor.incarnation, cursor.generation, cursor.pos))
    }

    /// Whether this node knows that what a member said before this life of its does not count.
    #[must_use]
    pub fn knows_to_be_outlived(&self, member: NodeId, life: u64) -> bool {
        life > 0 && self.strong.is_outlived(member, life - 1)
    }

    /// The birth of this node's data, if it says that no cluster has formed with that.
    #[must_use]
    pub fn new_birth(&self) -> Option<u64> {
        Some(self.formation.birth_told()).filter(|birth| *birth != 0)
    }

    /// The birth of this node's data.
    #[must_use]
    pub const fn birth(&self) -> u64 {
        self.formation.birth()
    }
}
