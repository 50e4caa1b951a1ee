//! What nodes go by and say in a turn, held against what all nodes hold.

use quorate::{
    node::Node,
    probe::claims::{Acknowledged, Claim, Heard, Says, Word, take_heard},
    record::{Db, NodeId},
    store::Store,
};

use super::{World, host::Host, net::EndId};
use crate::oracle::{
    Failure,
    audit::{self, Session},
    held::Voters,
};

impl World<'_> {
    /// Whether a majority holds what a node says or said that it does; and whether a voter still holds the
    /// values that it has held, if it is looked at.
    pub(super) fn look_at_claims(&mut self, id: usize, looked: bool) {
        let heard = take_heard();
        let host = &mut self.hosts[id];
        let votes = host.node.as_ref().is_some_and(|node| node.votes());
        let begins_to_vote = votes && !std::mem::replace(&mut host.voted, votes);
        host.voted = votes;
        if begins_to_vote {
            host.votes_since_us = self.net.now_us;
        }
        let judged = self.audit(id, begins_to_vote);
        self.note_unheld(judged);
        if let Some(heard) = &heard {
            let judged = self.audit_words(id, heard);
            self.note_unheld(judged);
        }
        let claims = heard.map(|heard| heard.claims).unwrap_or_default();
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

    /// Whether a node's parts agree with each other.
    fn audit(&mut self, id: usize, begins_to_vote: bool) -> Result<(), Failure> {
        let fresh = std::mem::take(&mut self.hosts[id].fresh);
        let Some(node) = &self.hosts[id].node else { return Ok(()) };
        if begins_to_vote {
            self.births.on_voting(id, node.birth());
        }
        // A node alone that was damaged may be formed anew.
        if let Some(birth) = node.new_birth().filter(|_| self.hosts.len() > 1) {
            self.births.on_new(id, birth)?;
        }
        if fresh && node.begins_with_leftovers() {
            audit::parts(id, Some("it does not look for what is dead and below its floor"))?;
        }
        audit::parts(id, node.audit())
    }

    /// Whether what a node says and does agrees with what it and others hold.
    fn audit_words(&mut self, id: usize, heard: &Heard) -> Result<(), Failure> {
        heard.words.iter().try_for_each(|word| self.word(id, *word))?;
        heard.surveyed.iter().try_for_each(|surveyed| self.surveys.note(id, surveyed))?;
        let mut acknowledged = heard.acknowledged.iter();
        acknowledged.try_for_each(|acknowledged| self.acknowledged(id, *acknowledged))?;
        let Some(node) = &self.hosts[id].node else { return Ok(()) };
        heard.claims.iter().try_for_each(|claim| match claim.says {
            Says::Told => audit::told(id, claim, is_under_way(node, claim)),
            _ => audit::shown(id, claim),
        })
    }

    /// A node does not want to read what has arrived on a link: what comes first there it always wants.
    pub(super) fn audit_unread(&mut self, id: usize, end: EndId) {
        if !self.net.ends[end].heard {
            self.note_unheld(audit::parts(id, Some("what a link says first is not read")));
        }
    }

    fn word(&mut self, id: usize, word: Word) -> Result<(), Failure> {
        match word {
            Word::Broken(rule) => audit::parts(id, Some(rule)),
            Word::Refused { peer, slot } => {
                self.refusals.note(id, peer, slot);
                Ok(())
            }
            Word::Answered { at_leader, slot, number } => {
                self.answers.note(id, at_leader, slot, number);
                Ok(())
            }
            Word::BegunAgain { at_leader, slot, number } => {
                self.answers.judge(id, at_leader, slot, number)
            }
            Word::WalkBegun(peer) => {
                let other = self.hosts.get(usize::from(peer)).and_then(|host| host.node.as_ref());
                let votes = other.is_some_and(|other| other.votes());
                self.walks.on_begun(id, peer, votes);
                Ok(())
            }
            Word::Walked(peer) => {
                self.walks.on_walked(id, peer);
                Ok(())
            }
            Word::RecoveredFrom(peer) => self.walks.judge(id, peer),
            Word::TurnedAway { peer, slot } => self.refusals.judge(id, peer, slot),
        }
    }

    /// A member has recovered: those from whom it has what it holds know that.
    pub(super) fn look_at_recovery(&mut self, id: usize) {
        let Some(node) = &self.hosts[id].node else { return };
        let (member, life) = (NodeId(id as u16), node.incarnation());
        let knows = |host: &Host| {
            let knows = host.node.as_ref().map(|node| node.knows_to_be_outlived(member, life));
            host.has_lost || knows != Some(false)
        };
        let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != id);
        let know = others.filter(|(_, host)| knows(host)).count();
        let members = self.hosts.len();
        let needed = (members - self.quorum() + 1).min(members - 1);
        self.note_unheld(audit::outlived(id, know, needed));
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
