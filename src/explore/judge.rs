//! What must hold in every world (PROTOCOL section 14).

use std::collections::BTreeSet;

use super::{setup::KEY, story::Fate, world::World};
use crate::{
    node::Node,
    record::{Db, NodeId, Version},
};

impl World {
    /// What is wrong here, given how the world was one step before.
    pub(super) fn judge(&self, before: &Self) -> Result<(), String> {
        let answered = self.story != before.story;
        if answered && !self.story.is_legal(&self.acts, None) {
            return Err(format!("I2: not linearizable: {}", self.story.tell(&self.acts)));
        }
        self.judge_tables()?;
        self.judge_leaders()?;
        self.judge_majorities(before, answered)
    }

    /// The ballots are within the bound.
    pub(super) fn is_within(&self) -> bool {
        let bound = self.setup.ballots;
        (0..self.setup.nodes).all(|at| self.promised(at).counter() <= bound)
    }

    /// I6: what a voter holds is of no higher ballot than it has promised.
    fn judge_tables(&self) -> Result<(), String> {
        for (at, node) in self.voters() {
            let (held, promised) = (held(node).0, node.promised(0));
            if held.ballot() > promised {
                return Err(format!("I6: n{at} holds {held:?} and has promised {promised:?}"));
            }
        }
        Ok(())
    }

    /// I8: a ballot is led by the node that it names. And a majority has promised it: nobody who
    /// votes has forgotten that.
    fn judge_leaders(&self) -> Result<(), String> {
        for (at, node) in self.voters() {
            let ballot = node.promised(0);
            let forgotten = self.voters().filter(|(_, voter)| voter.promised(0) < ballot).count();
            if node.slots_led() > 0 && self.setup.nodes - forgotten < self.quorum() {
                return Err(format!(
                    "I6: n{at} leads under {ballot:?}, which no majority promised"
                ));
            }
            if node.slots_led() > 0 && ballot.node() != NodeId(at as u16) {
                return Err(format!("I8: n{at} leads, and its promise is {ballot:?}"));
            }
        }
        Ok(())
    }

    /// I3: whatever majority of the voters is asked, the newest of their records is a value that a
    /// reader may be shown.
    fn judge_majorities(&self, before: &Self, answered: bool) -> Result<(), String> {
        // Values that could be shown before need no second look, unless clients know more.
        let known = if answered { BTreeSet::new() } else { before.shown() };
        for value in self.shown().difference(&known) {
            if !self.story.is_legal(&self.acts, Some(*value)) {
                let value =
                    value.map_or("nothing".into(), |value| value.escape_ascii().to_string());
                let told = self.story.tell(&self.acts);
                return Err(format!("I3: a majority of voters would show {value} after: {told}"));
            }
        }
        Ok(())
    }

    /// The values that the majorities of voters would show.
    fn shown(&self) -> BTreeSet<Option<&[u8]>> {
        let quorum = self.quorum();
        let voters: Vec<(usize, &Node)> = self.voters().collect();
        let mut shown: BTreeSet<Option<&[u8]>> = BTreeSet::new();
        for chosen in 0_u32..1 << voters.len() {
            if chosen.count_ones() as usize != quorum {
                continue;
            }
            let asked = voters.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1);
            let newest = asked.map(|(_, (_, node))| held(node)).max_by_key(|(version, _)| *version);
            shown.insert(newest.and_then(|(_, value)| value));
        }
        shown
    }

    fn quorum(&self) -> usize {
        self.setup.nodes / 2 + 1
    }

    fn voters(&self) -> impl Iterator<Item = (usize, &Node)> {
        let up = self.hosts().enumerate().filter_map(|(at, host)| Some((at, host.node.as_ref()?)));
        up.filter(|(_, node)| node.votes())
    }

    /// Whether all has been asked and answered.
    pub(super) fn is_told(&self) -> bool {
        let over = |fate: &Fate| !matches!(fate, Fate::Asked { .. } | Fate::Unasked);
        self.story.fates.iter().all(over)
    }
}

/// The version and value of the key at a node.
fn held(node: &Node) -> (Version, Option<&[u8]>) {
    let record = node.store().get(Db::STRONG, KEY.as_bytes());
    record.map_or((Version::NONE, None), |record| (record.version, record.value))
}
