//! What one node held and led when it was last looked at: after each of its turns.

use std::collections::BTreeMap;

use quorate::{
    node::Node,
    record::{Ballot, Db, NodeId},
    store::Store,
};

use super::Moment;
use crate::oracle::{DbKey, State};

/// One key has changed on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Moment,
    /// Where.
    pub node: usize,
    /// Which key.
    pub key: DbKey,
    /// What it holds now; nothing if it is gone.
    pub state: Option<State>,
}

/// One slot of the strong database has changed on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Office {
    /// When.
    pub at: Moment,
    /// Where.
    pub node: usize,
    /// Which slot.
    pub slot: u32,
    /// Whom the node follows there.
    pub leader: Option<NodeId>,
    /// What it has promised there.
    pub promised: Ballot,
}

#[derive(Clone, Debug)]
pub(super) struct View {
    digests: [u128; Db::COUNT],
    held: BTreeMap<DbKey, u128>,
    offices: Vec<(Option<NodeId>, Ballot)>,
    votes: bool,
}

impl View {
    pub(super) fn new(slots: u32) -> Self {
        let offices = vec![(None, Ballot::NONE); slots as usize];
        Self { digests: [0; Db::COUNT], held: BTreeMap::new(), offices, votes: false }
    }

    /// The process has ended. What its disk has shows in the next life's first turn, as changes
    /// against what it held in this one.
    pub(super) fn forget(&mut self, at: Moment, node: usize, offices: &mut Vec<Office>) {
        self.votes = false;
        for (slot, office) in self.offices.iter_mut().enumerate() {
            if office.0.take().is_some() {
                let promised = office.1;
                offices.push(Office { at, node, slot: slot as u32, leader: None, promised });
            }
        }
    }

    pub(super) fn compare_store(
        &mut self,
        at: Moment,
        node: usize,
        store: &Store,
        changes: &mut Vec<Change>,
    ) {
        let digests = Db::ALL.map(|db| store.digest(db, 0, store.slots()));
        if digests == self.digests {
            return;
        }
        self.digests = digests;
        let mut gone = std::mem::take(&mut self.held);
        for record in Db::ALL.into_iter().flat_map(|db| store.records(db)) {
            let key = (record.db.number(), record.key.to_vec());
            let version = record.version.to_bits();
            if gone.remove(&key) != Some(version) {
                let value = record.value.map(<[u8]>::to_vec);
                let state = State { version, value, expires_at_ms: record.expires_at_ms };
                changes.push(Change { at, node, key: key.clone(), state: Some(state) });
            }
            self.held.insert(key, version);
        }
        changes.extend(gone.into_keys().map(|key| Change { at, node, key, state: None }));
    }

    /// Which slots the node leads that it did not lead before.
    pub(super) fn compare_offices(
        &mut self,
        at: Moment,
        id: usize,
        node: &Node,
        offices: &mut Vec<Office>,
    ) -> Vec<u32> {
        let mut won = Vec::new();
        for (slot, before) in self.offices.iter_mut().enumerate() {
            let slot = slot as u32;
            let now = (node.leader_of(slot), node.promised(slot));
            if now == *before {
                continue;
            }
            let leads =
                |office: (Option<NodeId>, Ballot)| office.0.is_some_and(|l| l.index() == id);
            if leads(now) && !(leads(*before) && before.1 == now.1) {
                won.push(slot);
            }
            *before = now;
            offices.push(Office { at, node: id, slot, leader: now.0, promised: now.1 });
        }
        won
    }

    /// Whether the node votes, if that has changed.
    pub(super) fn votes_now(&mut self, votes: bool) -> Option<bool> {
        (std::mem::replace(&mut self.votes, votes) != votes).then_some(votes)
    }
}
