//! Forming the cluster: once, before anything is served that needs a majority.
//!
//! A node that has lost its data looks like one that never had any. If the two could make up a
//! majority they would forget what was acknowledged. So nobody votes before all members were
//! connected and all were new; that is written down with the birth of each member's data. A member
//! whose data has another birth than was written down has lost what it had, and must recover.
//!
//! Only the first member decides that the cluster is formed, so that there are not two opinions;
//! the others learn it. It can't be decided twice, even if the first member loses its data: all
//! others would have to be new too, and whoever voted is not.

use crate::{
    log::Batch,
    members::Members,
    probe::{Mutant, planted},
    proto::peer,
    record::NodeId,
};

/// What this node knows of the cluster's forming.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Formation {
    me: NodeId,
    members: usize,
    /// Of this node's data.
    birth: u64,
    /// Some of this node's data is gone, and with it perhaps that the cluster had formed.
    damaged: bool,
    stage: Stage,
    /// Of all members' data, once it is decided.
    births: Vec<u8>,
    /// Members that it waits for, as was said last.
    missing: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The cluster has formed, and the log has it.
    Formed,
    /// The log is to have it.
    Logging(Batch),
    /// The cluster has formed with other data of this node than it has now.
    Lost,
    /// Nothing is known.
    New,
}

impl Formation {
    pub(crate) const fn new(members: &Members, birth: u64) -> Self {
        Self {
            me: members.me(),
            members: members.len(),
            birth,
            damaged: false,
            stage: Stage::New,
            births: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What peers are told: the birth of this node's data if the cluster may still be formed with
    /// it, else 0.
    pub(crate) fn birth_told(&self) -> u64 {
        if self.stage == Stage::New { self.birth } else { 0 }
    }

    /// This node's data was born then, and may since have lost something.
    pub(crate) fn set_birth(&mut self, birth: u64, lost: bool) {
        (self.birth, self.damaged) = (birth, lost);
        let ours = peer::births(&self.births).nth(self.me.index()).flatten();
        if self.is_formed() && (lost || ours != Some(birth)) {
            self.stage = Stage::Lost;
        }
    }

    /// The log says that the cluster has formed.
    pub(crate) fn recover(&mut self, births: &[u8]) {
        self.births = births.to_vec();
        self.stage = Stage::Formed;
    }

    /// Whether it is news that the cluster can't form because these members are not connected.
    pub(crate) fn waits_for(&mut self, missing: &[NodeId]) -> bool {
        let news = self.stage == Stage::New && !missing.is_empty() && self.missing != missing;
        if news {
            self.missing = missing.to_vec();
        }
        news
    }

    /// Whether the cluster has formed with this node.
    pub(crate) fn is_formed(&self) -> bool {
        self.stage == Stage::Formed
    }

    /// Whether this node has lost what it had when the cluster formed.
    pub(crate) fn is_lost(&self) -> bool {
        self.stage == Stage::Lost
    }

    /// The births of all members' data, once the log has them.
    pub(crate) fn births(&self) -> Option<&[u8]> {
        self.is_formed().then_some(&self.births)
    }

    /// All members are here; `births` are those of the others in order, none for one that is not
    /// connected or is not new. What is to be logged if that forms the cluster.
    pub(crate) fn decide(
        &mut self,
        births: impl Iterator<Item = Option<u64>>,
        batch: Batch,
    ) -> Option<&[u8]> {
        if self.stage != Stage::New || self.me != NodeId(0) {
            return None;
        }
        let others: Vec<u64> = births.collect::<Option<_>>()?;
        if others.len() + 1 < self.members {
            return None;
        }
        let mut all = Vec::new();
        [self.birth].iter().chain(&others).for_each(|birth| peer::push_birth(&mut all, *birth));
        self.births = all;
        self.stage = Stage::Logging(batch);
        Some(&self.births)
    }

    /// A member says with which births the cluster has formed. What is to be logged, if that is
    /// news and ours is among them.
    pub(crate) fn learn(&mut self, births: &[u8], batch: Batch) -> Option<&[u8]> {
        if self.stage != Stage::New {
            return None;
        }
        let ours = peer::births(births).nth(self.me.index()).flatten();
        self.births = births.to_vec();
        // What is gone may be that it had formed, and all that was promised and accepted since.
        let gone = self.damaged || ours != Some(self.birth);
        if gone && !planted(Mutant::VotesAtOnce) {
            self.stage = Stage::Lost;
            return None;
        }
        self.stage = Stage::Logging(batch);
        Some(&self.births)
    }

    /// This node has from the others what it had lost: it belongs to the cluster with the data that
    /// it has now. What is to be logged.
    pub(crate) fn rejoin(&mut self, batch: Batch) -> &[u8] {
        let births: Vec<u64> = peer::births(&self.births).flatten().collect();
        self.births.clear();
        for (index, birth) in births.into_iter().enumerate() {
            let ours = index == self.me.index();
            peer::push_birth(&mut self.births, if ours { self.birth } else { birth });
        }
        self.stage = Stage::Logging(batch);
        &self.births
    }

    /// The birth of this node's data.
    pub(crate) const fn birth(&self) -> u64 {
        self.birth
    }

    /// Whether this node may take part in a cold start: it neither votes nor is about to.
    pub(crate) fn may_start_cold(&self) -> bool {
        matches!(self.stage, Stage::Lost | Stage::New)
    }

    /// This node has merged what all members have, and votes if and when that counts. Until then
    /// its data counts for nothing: in a later life it has lost what it had. What is to be logged.
    pub(crate) fn renounce(&mut self, births: &[u8]) -> Vec<u8> {
        let mut renounced = Vec::new();
        for (index, birth) in peer::births(births).flatten().enumerate() {
            let ours = index == self.me.index();
            peer::push_birth(&mut renounced, if ours { 0 } else { birth });
        }
        self.births.clone_from(&renounced);
        self.stage = Stage::Lost;
        renounced
    }

    /// The cluster forms anew with the data that all members have merged. What is to be logged.
    pub(crate) fn start_cold(&mut self, births: &[u8], batch: Batch) -> &[u8] {
        self.births = births.to_vec();
        self.stage = Stage::Logging(batch);
        &self.births
    }

    /// The log has everything up to a batch. Whether that completes the forming.
    pub(crate) fn on_durable(&mut self, durable: Batch) -> bool {
        let complete = matches!(self.stage, Stage::Logging(batch) if batch <= durable);
        if complete {
            self.stage = Stage::Formed;
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: usize) -> Formation {
        let name = |n: usize| format!("localhost:{}", 9000 + n);
        let peers: Vec<String> = (0..3).filter(|n| *n != index).map(name).collect();
        let members = Members::form(&name(index), &peers).expect("valid");
        Formation::new(&members, 100 + index as u64)
    }

    #[test]
    fn the_first_member_decides_when_all_are_there_and_new() {
        let mut first = node(0);
        assert_eq!(first.decide([Some(101), None].into_iter(), Batch(1)), None);
        let births = first.decide([Some(101), Some(102)].into_iter(), Batch(1));
        let births = births.expect("all are there").to_vec();
        assert!(!first.is_formed() && first.births().is_none());
        assert!(first.on_durable(Batch(1)) && first.is_formed());
        let mut second = node(1);
        assert_eq!(second.decide([Some(100), Some(102)].into_iter(), Batch(1)), None);
        assert!(second.learn(&births, Batch(4)).is_some());
        assert!(!second.on_durable(Batch(3)) && second.on_durable(Batch(4)));
    }

    #[test]
    fn who_has_other_data_than_the_cluster_formed_with_has_lost_it() {
        let mut first = node(0);
        let births = first.decide([Some(101), Some(102)].into_iter(), Batch(1));
        let births = births.expect("all are there").to_vec();
        let mut wiped = node(1);
        wiped.set_birth(500, false);
        assert_eq!(wiped.learn(&births, Batch(1)), None);
        assert!(wiped.is_lost() && !wiped.is_formed());
        assert_eq!(wiped.decide([Some(1), Some(2)].into_iter(), Batch(1)), None);
    }

    #[test]
    fn who_lost_even_the_forming_has_lost_what_came_after_it() {
        let mut first = node(0);
        let births = first.decide([Some(101), Some(102)].into_iter(), Batch(1));
        let births = births.expect("all are there").to_vec();
        let mut damaged = node(1);
        damaged.set_birth(101, true);
        assert!(!damaged.is_lost(), "nothing says that the cluster has formed");
        assert_eq!(damaged.learn(&births, Batch(1)), None);
        assert!(damaged.is_lost() && !damaged.is_formed());
    }
}
