//! Audit: what a node says of itself and goes by is so, and its parts agree, after each of its turns.
//!
//! - A node says that no cluster has formed with its data only if it has never voted with that.
//! - What a peer has acknowledged it has applied, in the session that they have.
//! - Of a member that has recovered so many know that its earlier lives are over that any majority has one
//!   of them. What it has recovered in databases 1 and 2 the others began to show it as voters.
//! - What KEYS tells of is in the log, and who is asked about a key says what it holds.
//! - What a leader had no room for when it asked what members hold, it begins with the next time.
//! - Who leads a slot sends a request for it back only behind another one that was.
//! - No read is begun anew once one that came after it was answered.
//! - What a link says first a node reads, however much it has to do.
//! - By a floor that a node goes by it lets others go too; it waits for the floor of nobody that shows it
//!   nothing; a life that begins with something dead below its floor looks for it.
//! - Rules that the lines of a node state themselves hold there ([`quorate::probe::claims::must`]).

use std::collections::{BTreeMap, BTreeSet};

use quorate::probe::claims::{Claim, Says, Surveyed};

use super::{Failure, Kind};

const ORACLE: &str = "audit";

/// The nodes that have voted, and the birth of the data with which each did.
#[derive(Debug, Default)]
pub struct Births(BTreeSet<(usize, u64)>);

/// The slots from which on the last survey of each node, in its present life, had no room.
#[derive(Debug, Default)]
pub struct Surveys(BTreeMap<usize, u32>);

/// Whose requests for which slots each node has refused, in any life.
#[derive(Debug, Default)]
pub struct Refusals(BTreeSet<(usize, u16, u32)>);

/// The last number of a request that was answered, by node, by whether it was with that as the leader, and by
/// slot.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<(usize, bool, u32), u64>);

/// Whether each node voted when it began to show another all that it has: for the other, itself, and the
/// walk under way or the last that was whole.
#[derive(Debug, Default)]
pub struct Walks {
    begun: BTreeMap<(usize, u16), bool>,
    whole: BTreeMap<(usize, u16), bool>,
}

/// How far somebody is in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// The life of who sends.
    pub life: u64,
    /// Which of that life's sessions.
    pub generation: u64,
    /// A position in it.
    pub pos: u64,
}

impl Surveys {
    /// A node's life is over.
    pub fn forget(&mut self, node: usize) {
        self.0.remove(&node);
    }

    /// A leader asks what members hold.
    ///
    /// # Errors
    /// If it does not begin with what it left out the last time, and leads still.
    pub fn note(&mut self, node: usize, surveyed: &Surveyed) -> Result<(), Failure> {
        let Surveyed { slots, left_out } = surveyed;
        let before = self.0.remove(&node);
        self.0.extend(left_out.map(|slot| (node, slot)));
        match before.filter(|slot| slots.contains(slot) && slots.first() != Some(slot)) {
            None => Ok(()),
            Some(slot) => wrong(
                node,
                &format!("asks last about slot {slot}, for which it had no room before"),
            ),
        }
    }
}

impl Answers {
    /// A node's life is over.
    pub fn forget(&mut self, node: usize) {
        self.0.retain(|(other, ..), _| *other != node);
    }

    /// A request was answered.
    pub fn note(&mut self, node: usize, at_leader: bool, slot: u32, number: u64) {
        let last = self.0.entry((node, at_leader, slot)).or_default();
        *last = number.max(*last);
    }

    /// A read is begun anew.
    ///
    /// # Errors
    /// If one that came later was answered.
    pub fn judge(
        &self,
        node: usize,
        at_leader: bool,
        slot: u32,
        number: u64,
    ) -> Result<(), Failure> {
        match self.0.get(&(node, at_leader, slot)).filter(|last| **last > number) {
            None => Ok(()),
            Some(last) => {
                let detail =
                    format!("begins read {number} of slot {slot} anew, and has answered {last}");
                wrong(node, &detail)
            }
        }
    }
}

impl Walks {
    /// A node's life is over: what it was shown counts for that life.
    pub fn forget(&mut self, node: usize) {
        self.begun.retain(|(other, _), _| *other != node);
        self.whole.retain(|(other, _), _| *other != node);
    }

    /// A peer begins to show a node all that it has, and votes or not.
    pub fn on_begun(&mut self, node: usize, peer: u16, votes: bool) {
        self.begun.insert((node, peer), votes);
    }

    /// It has shown it.
    pub fn on_walked(&mut self, node: usize, peer: u16) {
        let votes = self.begun.get(&(node, peer)).copied().unwrap_or_default();
        self.whole.insert((node, peer), votes);
    }

    /// A node has again what it may have lost, by what this peer has shown it.
    ///
    /// # Errors
    /// If that did not vote when it began to show it.
    pub fn judge(&self, node: usize, peer: u16) -> Result<(), Failure> {
        if self.whole.get(&(node, peer)).is_some_and(|votes| *votes) {
            return Ok(());
        }
        wrong(node, &format!("has recovered by what n{peer} has not shown it whole since it votes"))
    }
}

impl Refusals {
    /// A node refuses a peer's request for a slot.
    pub fn note(&mut self, node: usize, peer: u16, slot: u32) {
        self.0.insert((node, peer, slot));
    }

    /// It does so though it leads the slot: only where an earlier one was refused may a later one not
    /// overtake that.
    ///
    /// # Errors
    /// If it has never refused it any.
    pub fn judge(&self, node: usize, peer: u16, slot: u32) -> Result<(), Failure> {
        if self.0.contains(&(node, peer, slot)) {
            return Ok(());
        }
        wrong(
            node,
            &format!("leads slot {slot}, and sends back the first request for it of n{peer}"),
        )
    }
}

impl Births {
    /// A node votes with data of this birth.
    pub fn on_voting(&mut self, node: usize, birth: u64) {
        self.0.insert((node, birth));
    }

    /// A node says that no cluster has formed with its data, of this birth.
    ///
    /// # Errors
    /// If it has voted with that.
    pub fn on_new(&self, node: usize, birth: u64) -> Result<(), Failure> {
        if !self.0.contains(&(node, birth)) {
            return Ok(());
        }
        wrong(node, &format!("calls its data {birth:x} new, with which it has voted"))
    }
}

/// What one part of a node says and another does not bear out, if there is something.
///
/// # Errors
/// If there is.
pub fn parts(node: usize, torn: Option<&'static str>) -> Result<(), Failure> {
    torn.map_or(Ok(()), |torn| wrong(node, &format!("is at odds with itself: {torn}")))
}

/// A client is told of a version of a key that may be on its way to the log.
///
/// # Errors
/// If it is.
pub fn told(node: usize, claim: &Claim, is_under_way: bool) -> Result<(), Failure> {
    if !is_under_way {
        return Ok(());
    }
    let detail = format!("n{node} tells of {:x} before its log has it", claim.version);
    Err(Failure::of_key(ORACLE, claim.db, &claim.key, detail))
}

/// Something that a node says of a key to another one: that it holds a version which it does not, if it is
/// that.
///
/// # Errors
/// If it is.
pub fn shown(node: usize, claim: &Claim) -> Result<(), Failure> {
    let Says::Unlike(said) = claim.says else { return Ok(()) };
    let detail = format!("n{node} says that it holds {said:x}, and holds {:x}", claim.version);
    Err(Failure::of_key(ORACLE, claim.db, &claim.key, detail))
}

/// A member has recovered, and of so many others each knows that its earlier lives are over or cannot tell:
/// it is down, or has lost something itself.
///
/// # Errors
/// If these are fewer than it takes for any majority to have one of them.
pub fn outlived(node: usize, know: usize, needed: usize) -> Result<(), Failure> {
    if know >= needed {
        return Ok(());
    }
    let detail =
        format!("has recovered; {know} of {needed} others count no more what it said before");
    wrong(node, &detail)
}

/// What a node takes to be acknowledged, and how far the one is from whom it has that; nowhere if it has
/// begun another life since and knows of no session.
///
/// # Errors
/// If that one is not so far.
pub fn acknowledged(
    (node, sent): (usize, Session),
    (by, applied): (usize, Session),
) -> Result<(), Failure> {
    if applied >= sent || applied == Session::default() {
        return Ok(());
    }
    let detail = format!("takes {sent:?} for acknowledged by n{by}, which has applied {applied:?}");
    wrong(node, &detail)
}

fn wrong(node: usize, detail: &str) -> Result<(), Failure> {
    Err(Failure::new(Kind::Safety, ORACLE, &format!("n{node} {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_with_which_somebody_voted_is_not_new_again() {
        let mut births = Births::default();
        assert_eq!(births.on_new(0, 7), Ok(()));
        births.on_voting(0, 7);
        assert_eq!(births.on_new(0, 8), Ok(()), "an empty disk");
        assert_eq!(births.on_new(1, 7), Ok(()), "of another node");
        assert!(births.on_new(0, 7).is_err_and(|failure| failure.detail.contains("n0 calls")));
    }

    #[test]
    fn what_was_left_out_comes_first_the_next_time() {
        let survey = |slots: &[u32], left_out| Surveyed { slots: slots.to_vec(), left_out };
        let mut surveys = Surveys::default();
        for good in [
            survey(&[0, 1, 2, 3], Some(2)),
            survey(&[2, 3, 0, 1], Some(0)),
            survey(&[1, 2, 3], None),
            survey(&[0, 1, 2, 3], Some(2)),
        ] {
            assert_eq!(surveys.note(1, &good), Ok(()));
        }
        assert_eq!(surveys.note(0, &survey(&[0, 1, 2, 3], None)), Ok(()), "another leader");
        let again = surveys.note(1, &survey(&[0, 1, 2, 3], Some(2)));
        assert!(again.is_err_and(|failure| failure.detail.contains("slot 2")));
        surveys.forget(1);
        assert_eq!(surveys.note(1, &survey(&[0, 1, 2, 3], None)), Ok(()), "another life");
    }

    #[test]
    fn only_behind_a_refusal_another_is_due() {
        let mut refusals = Refusals::default();
        refusals.note(1, 2, 7);
        assert_eq!(refusals.judge(1, 2, 7), Ok(()));
        for (node, peer, slot) in [(0, 2, 7), (1, 0, 7), (1, 2, 8)] {
            let judged = refusals.judge(node, peer, slot);
            assert!(judged.is_err_and(|failure| failure.detail.contains("first request")));
        }
        assert_eq!(outlived(1, 2, 2), Ok(()));
        assert!(outlived(1, 1, 2).is_err_and(|failure| failure.detail.contains("1 of 2")));
    }

    #[test]
    fn a_read_is_begun_anew_only_before_later_ones_are_answered() {
        let mut answers = Answers::default();
        answers.note(0, true, 3, 7);
        answers.note(0, true, 3, 5);
        for good in [(0, true, 3, 8), (0, true, 4, 1), (0, false, 3, 1), (1, true, 3, 1)] {
            assert_eq!(answers.judge(good.0, good.1, good.2, good.3), Ok(()));
        }
        let judged = answers.judge(0, true, 3, 6);
        assert!(judged.is_err_and(|failure| failure.detail.contains("has answered 7")));
        answers.forget(0);
        assert_eq!(answers.judge(0, true, 3, 6), Ok(()), "another life");
    }

    #[test]
    fn what_counts_for_a_recovery_was_shown_by_a_voter() {
        let mut walks = Walks::default();
        walks.on_begun(0, 1, false);
        walks.on_walked(0, 1);
        walks.on_begun(0, 1, true);
        let judged = walks.judge(0, 1);
        assert!(
            judged.is_err_and(|failure| failure.detail.contains("whole since it votes")),
            "not whole"
        );
        walks.on_walked(0, 1);
        assert_eq!(walks.judge(0, 1), Ok(()));
        assert!(walks.judge(0, 2).is_err() && walks.judge(1, 1).is_err());
        walks.forget(0);
        assert!(walks.judge(0, 1).is_err(), "another life");
    }

    #[test]
    fn who_acknowledged_is_so_far_in_the_same_session() {
        let at = |life, generation, pos| Session { life, generation, pos };
        let judge = |sent, applied| acknowledged((0, sent), (1, applied));
        for good in [at(1, 2, 30), at(1, 2, 31), at(1, 3, 0), at(2, 0, 0), at(0, 0, 0)] {
            assert_eq!(judge(at(1, 2, 30), good), Ok(()));
        }
        for bad in [at(1, 2, 29), at(1, 1, 40), at(0, 9, 40)] {
            assert!(
                judge(at(1, 2, 30), bad).is_err_and(|failure| failure.detail.contains("by n1"))
            );
        }
    }

    #[test]
    fn what_else_is_not_so_is_told() {
        let claim = Claim { db: 2, key: b"k".to_vec(), version: 26, says: Says::Told };
        assert_eq!(told(1, &claim, false), Ok(()));
        assert!(told(1, &claim, true).is_err_and(|failure| failure.detail.contains("tells of 1a")));
        assert_eq!(shown(1, &claim), Ok(()));
        let unlike = shown(1, &Claim { says: Says::Unlike(27), ..claim });
        assert!(unlike.is_err_and(|failure| failure.detail.contains("1b, and holds 1a")));
        assert_eq!(parts(1, None), Ok(()));
        assert!(parts(1, Some("x")).is_err_and(|failure| failure.detail.ends_with("itself: x")));
    }
}
