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

    /// A deleted key that this node holds, though its floor covers that and it is not about to look for
    /// such. All records are looked at.
    #[must_use]
    pub fn leftover(&self) -> Option<(Db, Vec<u8>)> {
        if self.removal.is_under_way() || !self.replica.floors.is_sound() {
            return None;
        }
        let floor = self.replica.floors.floor();
        [Db::QUORUM, Db::EVENTUAL].into_iter().find_map(|db| {
            let mut records = self.replica.store.records(db);
            let dead =
                records.find(|record| record.value.is_none() && floor.covers(record.version));
            dead.map(|record| (db, record.key.to_vec()))
        })
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
