//! What nodes go by and say in a turn, held against what all nodes hold.

use quorate::{
    node::Node,
    probe::claims::{Acknowledged, Claim, Says, take_acknowledged, take_claims, take_surveyed},
    record::{Db, NodeId},
    store::Store,
};

use super::{World, host::Host};
use crate::oracle::{
    Failure,
    audit::{self, Session},
    held::Voters,
};

impl World<'_> {
    /// Whether a majority holds what a node says or said that it does; and whether a voter still holds the
    /// values that it has held, if it is looked at.
    pub(super) fn look_at_claims(&mut self, id: usize, looked: bool) {
        let claims = take_claims();
        let host = &mut self.hosts[id];
        let votes = host.node.as_ref().is_some_and(|node| node.votes());
        let begins_to_vote = votes && !std::mem::replace(&mut host.voted, votes);
        host.voted = votes;
        if begins_to_vote {
            host.votes_since_us = self.net.now_us;
        }
        self.audit(id, &claims, looked);
        self.judge_claims(id, claims, begins_to_vote);
        if !votes {
            self.majorities.look_away(id);
        } else if looked && let Some(node) = &self.hosts[id].node {
            let judged = self.majorities.look(id, node.store());
            self.note_unheld(judged);
        }
    }

    fn judge_claims(&mut self, id: usize, claims: Vec<Claim>, begins_to_vote: bool) {
        if claims.is_empty() && !begins_to_vote {
            return;
        }
        let mut majorities = std::mem::take(&mut self.majorities);
        let stores = self.stores(Node::votes);
        let lacking_max = self.hosts.len() - self.quorum();
        let voters = Voters { stores: &stores, lacking_max, copies: 0 };
        let mut claims = claims.into_iter();
        let judged = claims.try_for_each(|claim| {
            let copies = self.copies(id, &claim);
            majorities.on_claim(id, claim, Voters { copies, ..voters })
        });
        let voting = || if begins_to_vote { majorities.on_voting(voters) } else { Ok(()) };
        let judged = judged.and_then(|()| voting());
        self.note_unheld(judged);
        self.majorities = majorities;
    }

    /// Who holds a copy of what a reader calls accepted, of those that have voted long enough not to have been
    /// asked in an earlier life.
    fn copies(&self, reader: usize, claim: &Claim) -> u64 {
        // A question lasts for one heartbeat by the reader's clock.
        let asked_us = 2000 * self.case.config.timing.heartbeat.0;
        let since_us = self.net.now_us.saturating_sub(asked_us);
        let paused = self.hosts[reader].resumed_us > since_us;
        if !matches!(claim.says, Says::AcceptedBy(_)) || paused {
            return 0;
        }
        let copied = |host: &Host| {
            let node = host.node.as_ref();
            host.votes_since_us < since_us
                && node.is_some_and(|node| node.counts_as_copy(&claim.key))
        };
        let hosts = self.hosts.iter().enumerate();
        hosts.filter(|(_, host)| copied(host)).fold(0, |copies, (node, _)| copies | 1 << node)
    }

    /// Whether a node's parts agree with each other, and with what it says.
    fn audit(&mut self, id: usize, claims: &[Claim], looked: bool) {
        let (acknowledged, surveyed) = (take_acknowledged(), take_surveyed());
        let looked = std::mem::take(&mut self.hosts[id].fresh) || looked;
        let Some(node) = &self.hosts[id].node else { return };
        let voted = node.votes().then(|| node.birth());
        let members = self.hosts.len();
        let judged = self.births.note(id, voted, node.new_birth().filter(|_| members > 1));
        let judged = judged.and_then(|()| audit::parts(id, node.audit()));
        let mut surveyed = surveyed.iter();
        let judged = judged.and_then(|()| surveyed.try_for_each(|s| self.surveys.note(id, s)));
        let mut shown = claims.iter();
        let judged = judged.and_then(|()| shown.try_for_each(|claim| audit::shown(id, claim)));
        let judged = judged.and_then(|()| {
            let leftover = if looked { node.leftover() } else { None };
            audit::leftover(id, leftover)
        });
        let judged = judged.and_then(|()| {
            let mut told = claims.iter().filter(|claim| claim.says == Says::Told);
            told.try_for_each(|claim| audit::told(id, claim, is_under_way(node, claim)))
        });
        let judged = judged.and_then(|()| {
            acknowledged
                .into_iter()
                .try_for_each(|acknowledged| self.acknowledged(id, acknowledged))
        });
        self.note_unheld(judged);
    }

    /// Whether who has acknowledged something has applied it; one that is down, or has lost something,
    /// cannot tell.
    fn acknowledged(&self, id: usize, acknowledged: Acknowledged) -> Result<(), Failure> {
        let Acknowledged { by, generation, pos } = acknowledged;
        let other = self.hosts.get(usize::from(by)).filter(|host| !host.has_lost);
        let other = other.and_then(|host| host.node.as_ref());
        let node = self.hosts[id].node.as_ref();
        let (Some(node), Some(other)) = (node, other) else { return Ok(()) };
        let sent = Session { life: node.incarnation(), generation, pos };
        let Some((life, generation, pos)) = other.applied(NodeId(id as u16)) else { return Ok(()) };
        audit::acknowledged((id, sent), (usize::from(by), Session { life, generation, pos }))
    }

    pub(super) fn note_unheld(&mut self, judged: Result<(), Failure>) {
        if let Err(failure) = judged {
            self.unheld.get_or_insert(failure);
        }
    }

    /// What those nodes hold that are up and are wanted.
    pub(super) fn stores(&self, wanted: fn(&Node) -> bool) -> Vec<(usize, &Store)> {
        let hosts = self.hosts.iter().enumerate();
        let nodes = hosts.filter_map(|(id, host)| Some((id, host.node.as_deref()?)));
        nodes.filter(|(_, node)| wanted(node)).map(|(id, node)| (id, node.store())).collect()
    }
}

/// Whether that version of a key is on its way to a node's log.
fn is_under_way(node: &Node, claim: &Claim) -> bool {
    let Some(db) = Db::ALL.get(usize::from(claim.db)).copied() else { return false };
    let held = node.store().get(db, &claim.key);
    let same = held.is_some_and(|held| held.version.to_bits() == claim.version);
    same && node.is_under_way(db, &claim.key)
}
