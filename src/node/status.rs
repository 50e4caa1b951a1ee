//! STATUS: the cluster as this node sees it, for people; and the same figures for INFO.

use std::fmt::Write as _;

use super::{Node, formation::Formation, peers::Peer, strong::Strong};
use crate::{
    record::NodeId,
    slot::SlotSet,
    time::{Millis, Now},
};

/// A member is suspected when it has missed so many heartbeats.
const MISSED: u64 = 2;

/// What a node is in the strong database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The cluster has not formed yet.
    Unformed,
    /// It gets from the others what it may have lost.
    Recovering,
    /// It counts for majorities.
    Voting,
}

impl Part {
    /// This node's.
    pub(crate) fn own(strong: &Strong, formation: &Formation) -> Self {
        if strong.votes() {
            Self::Voting
        } else if strong.is_recovering() || formation.is_lost() {
            Self::Recovering
        } else {
            Self::Unformed
        }
    }

    /// That of a member that our link leads to.
    fn of(peer: &Peer, formation: &Formation) -> Self {
        if peer.votes {
            Self::Voting
        } else if formation.is_formed() || formation.is_lost() {
            Self::Recovering
        } else {
            Self::Unformed
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Unformed => "not formed",
            Self::Voting => "voting",
        }
    }
}

/// How many slots each member leads, and how many nobody does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slots {
    pub(crate) led: Vec<usize>,
    pub(crate) vacant: usize,
}

impl Slots {
    pub(crate) fn count(strong: &Strong, members: usize, slots: u32) -> Self {
        let mut count = Self { led: vec![0; members], vacant: 0 };
        for slot in SlotSet::full(slots).iter() {
            let leader = strong.leader_of(slot);
            match leader.and_then(|leader| count.led.get_mut(leader.index())) {
                Some(led) => *led += 1,
                None => count.vacant += 1,
            }
        }
        count
    }

    pub(crate) fn led_by(&self, member: NodeId) -> usize {
        self.led.get(member.index()).copied().unwrap_or_default()
    }
}

impl Node {
    /// The text of STATUS.
    pub(super) fn status(&self, now: Now) -> String {
        let (members, me) = (&self.members, self.members.me());
        let (needed, count) = (members.quorum(), members.len());
        let own = Part::own(&self.strong, &self.formation);
        let reached = self.peers.voters() + usize::from(own == Part::Voting);
        let reach = if reached >= needed { "reached" } else { "not reached" };
        let slots = Slots::count(&self.strong, count, self.slots);
        let (under_way, size) = self.under_way();
        let mut text = String::new();
        // Writing to a string can't fail.
        let mut line = |words: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{words}");
        };
        line(format_args!("node       {me} {}, {}", members.name(me), own.name()));
        line(format_args!("majority   {reach}: {reached} of {count} vote, {needed} needed"));
        if let Some(obstacle) = self.strong.obstacle(&self.peers) {
            line(format_args!("stuck      {obstacle}"));
        }
        if self.stats.cold_starts > 0 {
            line(format_args!("cold start since this node started: the last writes may be lost"));
        }
        line(format_args!(
            "slots      {}, {} without a leader; highest ballot {}",
            self.slots,
            slots.vacant,
            self.strong.highest()
        ));
        line(format_args!(
            "under way  {under_way} operations of {size} bytes, {} of them wait for a leader",
            self.strong.parked()
        ));
        for (index, name) in members.names().iter().enumerate() {
            let member = NodeId(index as u16);
            let leads = slots.led_by(member);
            match self.peers.iter().find(|peer| peer.id == member) {
                Some(peer) => {
                    let state = self.state(now, peer);
                    let (lag, behind) = lag(peer);
                    line(format_args!(
                        "member     {member} {name}: {state}, leads {leads}, lacks {lag} bytes{behind}"
                    ));
                }
                None => {
                    let part = own.name();
                    line(format_args!(
                        "member     {member} {name}: this node, {part}, leads {leads}"
                    ));
                }
            }
        }
        text
    }

    fn state(&self, now: Now, peer: &Peer) -> String {
        let link = peer.link().filter(|_| peer.live).and_then(|link| self.links.peer(link));
        let Some(link) = link else { return "unreachable".to_owned() };
        let silence = Millis(self.timing.heartbeat.0 * MISSED);
        let up = if link.heard + silence <= now.mono { "suspect" } else { "up" };
        format!("{up}, {}", Part::of(peer, &self.formation).name())
    }
}

/// Bytes that a peer has not acknowledged, and whether it misses more than that.
fn lag(peer: &Peer) -> (usize, &'static str) {
    let behind = if peer.outbox.is_behind() { ", is Behind" } else { "" };
    (peer.outbox.len(), behind)
}
