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
    log::{Batch, Loss},
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
    /// What of this node's data may be gone. The forming is always synced, so that is no part of what
    /// was behind the last sync.
    loss: Loss,
    stage: Stage,
    /// Of all members' data, once it is decided.
    births: Vec<u8>,
    /// The log has those, or is about to.
    kept: bool,
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
            loss: Loss::None,
            stage: Stage::New,
            births: Vec::new(),
            kept: false,
            missing: Vec::new(),
        }
    }

    /// What peers are told: the birth of this node's data if the cluster may still be formed with
    /// it, else 0.
    pub(crate) fn birth_told(&self) -> u64 {
        if self.is_new() { self.birth } else { 0 }
    }

    /// Whether the cluster may still be formed with this node's data. Of several members one whose
    /// data was damaged may have forgotten that it has.
    fn is_new(&self) -> bool {
        let forgets = self.loss == Loss::More && self.members > 1;
        self.stage == Stage::New && (!forgets || planted(Mutant::DamagedCountsAsNew))
    }

    /// This node's data was born then, and may since have lost something.
    pub(crate) fn set_birth(&mut self, birth: u64, loss: Loss) {
        (self.birth, self.loss) = (birth, loss);
        let ours = peer::births(&self.births).nth(self.me.index()).flatten();
        if self.is_formed() && (loss != Loss::None || ours != Some(birth)) {
            self.stage = Stage::Lost;
        }
    }

    /// The log says that the cluster has formed.
    pub(crate) fn recover(&mut self, births: &[u8]) {
        self.keep(births.to_vec(), Stage::Formed);
    }

    /// The log has it, or is about to.
    fn keep(&mut self, births: Vec<u8>, stage: Stage) -> &[u8] {
        (self.births, self.stage, self.kept) = (births, stage, true);
        &self.births
    }

    /// What a checkpoint has to say of it in place of the log; also where this node has lost what it
    /// had, lest it seem new in its next life.
    pub(crate) fn kept(&self) -> Option<&[u8]> {
        let forgets = self.is_lost() && planted(Mutant::ImageForgetsForming);
        (self.kept && !forgets).then_some(&self.births)
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
        if !self.is_new() || self.me != NodeId(0) {
            return None;
        }
        let others: Vec<u64> = births.collect::<Option<_>>()?;
        if others.len() + 1 < self.members {
            return None;
        }
        let mut all = Vec::new();
        [self.birth].iter().chain(&others).for_each(|birth| peer::push_birth(&mut all, *birth));
        Some(self.keep(all, Stage::Logging(batch)))
    }

    /// A member says with which births the cluster has formed. What is to be logged, if that is
    /// news and ours is among them.
    pub(crate) fn learn(&mut self, births: &[u8], batch: Batch) -> Option<&[u8]> {
        if self.stage != Stage::New {
            return None;
        }
        let ours = peer::births(births).nth(self.me.index()).flatten();
        // What is gone may be that it had formed, and all that was promised and accepted since.
        let gone = self.loss != Loss::None || ours != Some(self.birth);
        if gone && !planted(Mutant::VotesAtOnce) {
            (self.births, self.stage) = (births.to_vec(), Stage::Lost);
            return None;
        }
        Some(self.keep(births.to_vec(), Stage::Logging(batch)))
    }

    /// This node has from the others what it had lost: it belongs to the cluster with the data that
    /// it has now. What is to be logged.
    pub(crate) fn rejoin(&mut self, batch: Batch) -> &[u8] {
        let births = self.with_ours(&self.births, self.birth);
        self.keep(births, Stage::Logging(batch))
    }

    /// The births of the others, and another one of ours.
    fn with_ours(&self, births: &[u8], ours: u64) -> Vec<u8> {
        let mut all = Vec::new();
        for (index, birth) in peer::births(births).flatten().enumerate() {
            peer::push_birth(&mut all, if index == self.me.index() { ours } else { birth });
        }
        all
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
    pub(crate) fn renounce(&mut self, births: &[u8]) -> &[u8] {
        let renounced = self.with_ours(births, 0);
        self.keep(renounced, Stage::Lost)
    }

    /// The cluster forms anew with the data that all members have merged. What is to be logged.
    pub(crate) fn start_cold(&mut self, births: &[u8], batch: Batch) -> &[u8] {
        self.keep(births.to_vec(), Stage::Logging(batch))
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
        wiped.set_birth(500, Loss::None);
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
        damaged.set_birth(101, Loss::Tail);
        assert!(!damaged.is_lost(), "nothing says that the cluster has formed");
        assert_eq!(damaged.learn(&births, Batch(1)), None);
        assert!(damaged.is_lost() && !damaged.is_formed());
    }
    #[test]
    fn a_member_of_several_that_was_damaged_is_not_new() {
        let mut first = node(0);
        first.set_birth(100, Loss::Tail);
        let births = || [Some(101), Some(102)].into_iter();
        assert!(first.birth_told() == 100 && first.decide(births(), Batch(1)).is_some());
        let mut damaged = node(0);
        damaged.set_birth(100, Loss::More);
        assert_eq!((damaged.birth_told(), damaged.decide(births(), Batch(1))), (0, None));
        let mut alone = Formation::new(&Members::form("localhost:9000", &[]).expect("valid"), 100);
        alone.set_birth(100, Loss::More);
        assert!(alone.decide([].into_iter(), Batch(1)).is_some(), "there is nobody to ask");
    }

    #[test]
    fn a_checkpoint_says_what_the_log_said_and_not_what_it_never_did() {
        let mut first = node(0);
        assert_eq!(first.kept(), None);
        let births = first.decide([Some(101), Some(102)].into_iter(), Batch(1));
        let births = births.expect("all are there").to_vec();
        assert_eq!(first.kept(), Some(&births[..]));
        let mut lossy = node(1);
        lossy.recover(&births);
        lossy.set_birth(101, Loss::Tail);
        assert!(
            lossy.is_lost() && lossy.kept() == Some(&births[..]),
            "it goes on being no new one"
        );
        // What an empty one was told it does not keep: its next life has no data either.
        let mut wiped = node(1);
        wiped.set_birth(500, Loss::None);
        assert_eq!(wiped.learn(&births, Batch(1)), None);
        assert!(wiped.is_lost() && wiped.kept().is_none());
        let rejoined = wiped.rejoin(Batch(2)).to_vec();
        assert_eq!(wiped.kept(), Some(&rejoined[..]));
        let renounced = lossy.renounce(&births).to_vec();
        assert!(renounced != births && lossy.kept() == Some(&renounced[..]));
    }
}
