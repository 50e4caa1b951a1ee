//! Terms: who leads which slot as far as this node hears, and when it is time to stand.
//!
//! Every leader tells every peer what it leads, on its own link, so a claim lives as long as that
//! link. Of two claims the higher ballot counts. A slot that nobody claims has no leader; then its
//! members stand in an order of preference (rendezvous hashing, Thaler and Ravishankar 1996), each
//! a little later than the one before, so that as a rule only one does.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    record::{Ballot, NodeId},
    slot::SlotSet,
    time::{Instant, Millis},
};

/// How much later each next member stands, and the most by which chance shifts that.
pub(crate) const STEP: Millis = Millis(20);

/// What members claim to lead, and the slots that nobody does.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Terms {
    me: NodeId,
    members: usize,
    /// By slot and rank.
    order: Vec<NodeId>,
    /// By member.
    claims: Vec<Vec<(Ballot, SlotSet)>>,
    /// By slot.
    leaders: Vec<Option<NodeId>>,
    vacant: SlotSet,
    /// By slot: nobody stands before, plus what the rank adds.
    vacant_from: Vec<Instant>,
    /// By slot: until when a candidate was given time that has shown itself.
    candidate_until: Vec<Instant>,
    /// When the next slot is due for us.
    due_at: Option<Instant>,
}

impl Terms {
    /// Nobody leads anything; nobody is to stand before `from`.
    pub(crate) fn new(me: NodeId, members: usize, slots: u32, seed: u64, from: Instant) -> Self {
        let order = (0..slots).flat_map(|slot| order_of(slot, members, seed)).collect();
        Self {
            me,
            members,
            order,
            claims: vec![Vec::new(); members],
            leaders: vec![None; slots as usize],
            vacant: SlotSet::full(slots),
            vacant_from: vec![from; slots as usize],
            candidate_until: vec![Instant::ZERO; slots as usize],
            due_at: None,
        }
    }

    /// Who leads a slot, as far as we hear.
    pub(crate) fn leader(&self, slot: u32) -> Option<NodeId> {
        self.leaders.get(slot as usize).copied().flatten()
    }

    /// The slots without a leader.
    pub(crate) const fn vacant(&self) -> &SlotSet {
        &self.vacant
    }

    /// The member that is to lead a slot when all are there.
    pub(crate) fn preferred(&self, slot: u32) -> NodeId {
        self.order.get(slot as usize * self.members).copied().unwrap_or(self.me)
    }

    /// The first of these members in the order in which they are to lead a slot.
    pub(crate) fn first_of(&self, slot: u32, among: &[NodeId]) -> Option<NodeId> {
        let first = slot as usize * self.members;
        let order = self.order.get(first..first + self.members).unwrap_or_default();
        order.iter().copied().find(|node| among.contains(node))
    }

    /// What a member claims now, in place of what it claimed before.
    pub(crate) fn claim(&mut self, now: Instant, node: NodeId, claims: Vec<(Ballot, SlotSet)>) {
        if let Some(place) = self.claims.get_mut(node.index()) {
            *place = claims;
        }
        self.settle(now);
    }

    /// A member leads one slot more: the same as to claim all that it leads, but it costs no more
    /// than the slot.
    pub(crate) fn gain(&mut self, now: Instant, node: NodeId, ballot: Ballot, slot: u32) {
        let Some(claims) = self.claims.get_mut(node.index()) else { return };
        match claims.iter_mut().find(|(known, _)| *known == ballot) {
            Some((_, slots)) => {
                slots.insert(slot);
            }
            None => {
                let mut slots = SlotSet::new(self.leaders.len() as u32);
                slots.insert(slot);
                claims.push((ballot, slots));
            }
        }
        let all = self.claims.iter().enumerate();
        let all = all.flat_map(|(index, claims)| claims.iter().map(move |claim| (index, claim)));
        let of_slot = all.filter(|(_, (_, slots))| slots.contains(slot));
        let best = of_slot.max_by_key(|(_, (ballot, _))| *ballot);
        self.set_leader(now, slot, best.map(|(index, _)| NodeId(index as u16)));
    }

    /// A candidate goes on with these slots: it gets time before anybody else stands for them.
    pub(crate) fn give_time(&mut self, slots: impl IntoIterator<Item = u32>, until: Instant) {
        for slot in slots {
            self.hold_off([slot], until);
            if let Some(given) = self.candidate_until.get_mut(slot as usize) {
                *given = until;
            }
        }
    }

    /// Whether a candidate has time for this slot.
    pub(crate) fn has_candidate(&self, slot: u32, now: Instant) -> bool {
        self.candidate_until.get(slot as usize).is_some_and(|until| *until > now)
    }

    /// Nobody is to stand for these slots before that time.
    pub(crate) fn hold_off(&mut self, slots: impl IntoIterator<Item = u32>, until: Instant) {
        for slot in slots {
            if let Some(from) = self.vacant_from.get_mut(slot as usize) {
                *from = until.max(*from);
            }
        }
    }

    /// When there is something to stand for.
    pub(crate) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Finds out when there is something to stand for, apart from `busy` slots; `connected` says
    /// which members count.
    pub(crate) fn reschedule(
        &mut self,
        jitter: Millis,
        busy: impl Fn(u32) -> bool,
        connected: impl Fn(NodeId) -> bool,
    ) {
        let open = self.vacant.iter().filter(|slot| !busy(*slot));
        self.due_at = open.map(|slot| self.due(slot, jitter, &connected)).min();
    }

    /// The slots to stand for now.
    pub(crate) fn take_due(
        &self,
        now: Instant,
        jitter: Millis,
        busy: impl Fn(u32) -> bool,
        connected: impl Fn(NodeId) -> bool,
    ) -> SlotSet {
        let mut due = SlotSet::new(self.leaders.len() as u32);
        for slot in self.vacant.iter().filter(|slot| !busy(*slot)) {
            if self.due(slot, jitter, &connected) <= now {
                due.insert(slot);
            }
        }
        due
    }

    fn due(&self, slot: u32, jitter: Millis, connected: &impl Fn(NodeId) -> bool) -> Instant {
        let first = slot as usize * self.members;
        let order = self.order.get(first..first + self.members).unwrap_or_default();
        let before = order.iter().take_while(|node| **node != self.me);
        let rank = before.filter(|node| connected(**node)).count() as u64;
        let from = self.vacant_from.get(slot as usize).copied().unwrap_or_default();
        from + Millis(rank * STEP.0 + jitter.0)
    }

    /// Finds the leader of each slot among all claims.
    fn settle(&mut self, now: Instant) {
        let mut best: Vec<(Ballot, Option<NodeId>)> =
            vec![(Ballot::NONE, None); self.leaders.len()];
        for (index, claims) in self.claims.iter().enumerate() {
            for (ballot, slots) in claims {
                for slot in slots.iter() {
                    if let Some(best) = best.get_mut(slot as usize).filter(|b| b.0 < *ballot) {
                        *best = (*ballot, Some(NodeId(index as u16)));
                    }
                }
            }
        }
        for (slot, (_, leader)) in best.into_iter().enumerate() {
            self.set_leader(now, slot as u32, leader);
        }
    }

    fn set_leader(&mut self, now: Instant, slot: u32, leader: Option<NodeId>) {
        let Some(place) = self.leaders.get_mut(slot as usize) else { return };
        if place.is_some()
            && leader.is_none()
            && let Some(from) = self.vacant_from.get_mut(slot as usize)
        {
            *from = now.max(*from);
        }
        *place = leader;
        if leader.is_some() {
            self.vacant.remove(slot);
        } else {
            self.vacant.insert(slot);
        }
    }
}

/// All members in the order in which they are to lead a slot; the same on all nodes.
fn order_of(slot: u32, members: usize, seed: u64) -> Vec<NodeId> {
    let weight = |node: &NodeId| {
        let [a, b, c, d] = slot.to_le_bytes();
        let [e, f] = node.0.to_le_bytes();
        xxh3_64_with_seed(&[a, b, c, d, e, f], seed)
    };
    let mut nodes: Vec<NodeId> = (0..members).map(|index| NodeId(index as u16)).collect();
    nodes.sort_by_key(weight);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(slots: &[u32]) -> SlotSet {
        let mut set = SlotSet::new(8);
        slots.iter().for_each(|slot| {
            set.insert(*slot);
        });
        set
    }

    #[test]
    fn the_higher_ballot_counts_and_a_claim_ends_with_its_link() {
        let at = Instant::from_micros;
        let mut terms = Terms::new(NodeId(0), 3, 8, 1, at(0));
        let (low, high) = (Ballot::new(1, NodeId(1)), Ballot::new(2, NodeId(2)));
        terms.claim(at(1), NodeId(1), vec![(low, set(&[0, 1]))]);
        terms.claim(at(2), NodeId(2), vec![(high, set(&[1, 2]))]);
        assert_eq!(
            [0, 1, 2, 3].map(|slot| terms.leader(slot).map(|node| node.0)),
            [Some(1), Some(2), Some(2), None]
        );
        terms.gain(at(2), NodeId(0), low, 3);
        terms.gain(at(2), NodeId(0), low, 2);
        assert_eq!([2, 3].map(|slot| terms.leader(slot).map(|node| node.0)), [Some(2), Some(0)]);
        terms.claim(at(3), NodeId(0), Vec::new());
        terms.claim(at(3), NodeId(2), Vec::new());
        assert_eq!([1, 2].map(|slot| terms.leader(slot).map(|node| node.0)), [Some(1), None]);
        assert_eq!(terms.vacant().len(), 6);
    }

    #[test]
    fn members_stand_one_after_the_other_and_absent_ones_are_passed_over() {
        let mut terms = Terms::new(NodeId(0), 3, 8, 1, Instant::ZERO);
        let rank = (0..8).map(|slot| order_of(slot, 3, 1).iter().position(|n| n.0 == 0));
        let ranks: Vec<u64> = rank.map(|rank| rank.expect("a member") as u64).collect();
        let all = |_| true;
        for slot in 0..8 {
            let due = terms.due(slot, Millis(3), &all);
            assert_eq!(due, Instant::ZERO + Millis(3 + ranks[slot as usize] * STEP.0));
            assert_eq!(terms.due(slot, Millis(0), &|_| false), Instant::ZERO);
        }
        terms.reschedule(Millis(0), |_| false, all);
        assert_eq!(
            terms.due_at(),
            Some(Instant::ZERO + Millis(STEP.0 * ranks.iter().min().expect("8")))
        );
        terms.hold_off(0..7, Instant::ZERO + Millis(500));
        let due = terms.take_due(Instant::ZERO + Millis(100), Millis(0), |_| false, all);
        assert_eq!(due, set(&[7]));
        assert!(terms.take_due(Instant::ZERO + Millis(900), Millis(0), |_| true, all).is_empty());
        assert!((0..8).all(|slot| !terms.has_candidate(slot, Instant::ZERO)), "nobody stands");
        let until = Instant::ZERO + Millis(600);
        terms.give_time([7], until);
        let shown = |at| [6, 7].map(|slot| terms.has_candidate(slot, at));
        assert_eq!((shown(Instant::ZERO), shown(until)), ([false, true], [false, false]));
        let due = terms.take_due(Instant::ZERO + Millis(550), Millis(0), |_| false, |_| false);
        assert!(due.contains(6) && !due.contains(7), "others give it time too");
    }

    #[test]
    fn slots_are_spread_evenly() {
        let terms = Terms::new(NodeId(0), 3, 16_384, 7, Instant::ZERO);
        let mut counts = [0_i32; 3];
        (0..16_384).for_each(|slot| counts[terms.preferred(slot).index()] += 1);
        assert!(counts.iter().all(|count| (count - 5461).abs() < 300), "{counts:?}");
    }
}
