//! The candidate: from slots without a leader to slots that this node leads (PROTOCOL section 4).
//!
//! ```text
//!   canvass   would a majority promise?           no: try later, nobody is disturbed
//!   promise   to ourselves, durably
//!   prepare   ask all to promise the ballot       q promises of a slot: compare its digests
//!   pull      where a digest differs, versions    a key not the same everywhere: unsettled
//!   fetch     the newest record, where not ours
//!   win       slot by slot
//! ```
//!
//! One campaign is for many slots at once, under one ballot above all their promises: one message,
//! one log entry, one sync. What is asked of a member at a time is bounded.

use std::collections::{BTreeMap, BTreeSet};

use super::settle::Unsettled;
use crate::{
    log::Batch,
    probe::{Mutant, planted},
    record::{Ballot, Db, NodeId, Record, Version},
    slot::{Slot, SlotSet},
    store::{PageCursor, Store},
    time::Instant,
};

/// One attempt to lead some slots.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Campaign {
    pub(crate) id: u64,
    pub(crate) ballot: Ballot,
    /// Those still to be won.
    pub(crate) slots: SlotSet,
    pub(crate) stage: Stage,
    /// Given up then.
    pub(crate) until: Instant,
    /// Who would promise which slots.
    backing: Vec<(NodeId, SlotSet)>,
    /// Who refused which slots.
    refused: Vec<(NodeId, SlotSet)>,
    /// The slots somebody has promised.
    polls: BTreeMap<u32, Poll>,
}

/// How far a campaign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Asking whether others would promise.
    Canvassing,
    /// Our own promise must be durable.
    Promising(Batch),
    /// Asking for promises.
    Preparing,
}

/// The promises of one slot.
#[derive(Clone, Debug, Default, Hash)]
struct Poll {
    promises: Vec<Promise>,
    /// Records that are newer than ours: their version, who has them, and they themselves once
    /// they are here.
    newer: BTreeMap<Box<[u8]>, Newer>,
    fetching: bool,
}

#[derive(Clone, Debug, Hash)]
struct Promise {
    from: NodeId,
    /// What this member holds was copied and counts as evidence of nothing.
    copied: bool,
    listing: Listing,
}

/// What a member that promised has in the slot.
#[derive(Clone, Debug, Hash)]
enum Listing {
    /// The same as we.
    Same,
    /// Being pulled.
    Partial(BTreeMap<Box<[u8]>, Version>),
    /// Pulled.
    Whole(BTreeMap<Box<[u8]>, Version>),
}

#[derive(Clone, Debug, Hash)]
struct Newer {
    version: Version,
    from: NodeId,
    record: Option<Box<[u8]>>,
}

/// What a slot's poll needs next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Next {
    /// Records of one member.
    Fetch(Vec<(NodeId, Vec<Box<[u8]>>)>),
    /// Nothing that can be asked for now.
    Wait,
    /// Nothing any more; these keys are to be settled.
    Won(Unsettled),
}

impl Campaign {
    /// Whether it has asked for promises in any of these slots.
    pub(crate) fn stands_in(&self, slots: &SlotSet) -> bool {
        let mut shared = self.slots.clone();
        shared.intersect_with(slots);
        self.stage != Stage::Canvassing && !shared.is_empty()
    }

    /// Begins with the question who would promise; we would.
    pub(crate) fn new(id: u64, me: NodeId, slots: SlotSet, until: Instant) -> Self {
        Self {
            id,
            ballot: Ballot::NONE,
            backing: vec![(me, slots.clone())],
            refused: Vec::new(),
            slots,
            stage: Stage::Canvassing,
            until,
            polls: BTreeMap::new(),
        }
    }

    /// A member would promise these slots.
    pub(crate) fn on_backing(&mut self, from: NodeId, mut slots: SlotSet) {
        slots.intersect_with(&self.slots);
        if self.backing.iter().all(|(known, _)| *known != from) {
            self.backing.push((from, slots));
        }
    }

    /// The slots that a majority would promise.
    pub(crate) fn backed(&self, quorum: usize) -> SlotSet {
        let mut backed = self.slots.clone();
        for slot in self.slots.iter() {
            let count = self.backing.iter().filter(|(_, slots)| slots.contains(slot)).count();
            if count < quorum {
                backed.remove(slot);
            }
        }
        backed
    }

    /// How many have answered the question.
    pub(crate) const fn canvassed(&self) -> usize {
        self.backing.len()
    }

    /// Stands for these slots under a ballot, which our own log will have promised with `batch`.
    pub(crate) fn stand(&mut self, slots: SlotSet, ballot: Ballot, batch: Batch) {
        (self.slots, self.ballot) = (slots, ballot);
        self.stage = Stage::Promising(batch);
    }

    /// A member has promised these slots and refused all others; those that can't be won any more
    /// if only so many are in reach.
    pub(crate) fn on_refused(
        &mut self,
        from: NodeId,
        granted: &SlotSet,
        quorum: usize,
        reached: usize,
    ) -> SlotSet {
        let mut refused = self.slots.clone();
        refused.subtract(granted);
        self.refused.retain(|(known, _)| *known != from);
        let mut lost = refused.clone();
        self.refused.push((from, refused));
        for slot in self.slots.iter() {
            let count = self.refused.iter().filter(|(_, slots)| slots.contains(slot)).count();
            if reached >= quorum + count {
                lost.remove(slot);
            }
        }
        lost
    }

    /// A slot is won, or lost to a higher ballot.
    pub(crate) fn lose(&mut self, slot: u32) {
        self.slots.remove(slot);
        self.polls.remove(&slot);
    }

    /// A member promises a slot that is still to be won; whether its table must be pulled. With a
    /// majority of promises no more are taken.
    pub(crate) fn on_promise(
        &mut self,
        slot: u32,
        from: NodeId,
        copied: bool,
        same: bool,
        quorum: usize,
    ) -> bool {
        let poll = self.polls.entry(slot).or_default();
        let known = poll.promises.iter().any(|promise| promise.from == from);
        if known || poll.promises.len() >= quorum {
            return false;
        }
        let listing = if same { Listing::Same } else { Listing::Partial(BTreeMap::new()) };
        poll.promises.push(Promise { from, copied, listing });
        !same
    }

    /// A member's link is gone: what it had not shown whole counts for nothing, another may promise
    /// in its place.
    pub(crate) fn on_lost(&mut self, from: NodeId) {
        for poll in self.polls.values_mut() {
            poll.promises.retain(|promise| {
                promise.from != from || !matches!(promise.listing, Listing::Partial(_))
            });
            poll.newer.retain(|_, newer| newer.from != from || newer.record.is_some());
            poll.fetching = false;
        }
    }

    /// What a member promised in an earlier life counts no more.
    pub(crate) fn on_reborn(&mut self, member: NodeId) {
        for poll in self.polls.values_mut() {
            poll.promises.retain(|promise| promise.from != member);
        }
    }

    /// Part of what a member has in a slot; `last` says that there is no more.
    pub(crate) fn on_versions<'k>(
        &mut self,
        slot: u32,
        from: NodeId,
        entries: impl Iterator<Item = (Version, &'k [u8])>,
        last: bool,
    ) {
        let Some(poll) = self.polls.get_mut(&slot) else { return };
        let Some(promise) = poll.promises.iter_mut().find(|promise| promise.from == from) else {
            return;
        };
        let Listing::Partial(listed) = &mut promise.listing else { return };
        listed.extend(entries.map(|(version, key)| (Box::from(key), version)));
        if last {
            promise.listing = Listing::Whole(std::mem::take(listed));
        }
    }

    /// Records that were fetched.
    pub(crate) fn on_record(&mut self, slot: u32, from: NodeId, record: &Record<'_>, bytes: &[u8]) {
        let Some(poll) = self.polls.get_mut(&slot) else { return };
        if let Some(newer) = poll.newer.get_mut(record.key)
            && newer.from == from
            && newer.version == record.version
        {
            newer.record = Some(bytes.into());
        }
    }

    /// What a slot needs next; `store` is our own table, which stands still meanwhile.
    pub(crate) fn next(&mut self, slot: u32, quorum: usize, store: &Store) -> Next {
        let Some(poll) = self.polls.get_mut(&slot) else { return Next::Wait };
        let partial = |promise: &Promise| matches!(promise.listing, Listing::Partial(_));
        if poll.promises.len() < quorum || poll.promises.iter().any(partial) {
            return Next::Wait;
        }
        let copied = poll.promises.iter().any(|promise| promise.copied);
        let same = poll.promises.iter().all(|promise| matches!(promise.listing, Listing::Same));
        if same && !copied {
            return Next::Won(Unsettled::default());
        }
        let own = own_versions(store, slot);
        if !poll.fetching {
            poll.fetching = true;
            let wanted = poll.newest_elsewhere(&own);
            if !wanted.is_empty() {
                return Next::Fetch(wanted);
            }
        }
        if poll.newer.values().any(|newer| newer.record.is_none()) {
            return Next::Wait;
        }
        Next::Won(poll.unsettled(&own, copied))
    }
}

impl Poll {
    /// Finds the records newer than ours, and whom to ask for them.
    fn newest_elsewhere(
        &mut self,
        own: &BTreeMap<Box<[u8]>, Version>,
    ) -> Vec<(NodeId, Vec<Box<[u8]>>)> {
        if planted(Mutant::PromisesIgnored) {
            return Vec::new();
        }
        for promise in &self.promises {
            let Listing::Whole(listed) = &promise.listing else { continue };
            for (key, version) in listed {
                let ours = own.get(key).copied().unwrap_or(Version::NONE);
                let known = self.newer.get(key).map_or(ours, |newer| newer.version);
                if *version > known {
                    let newer = Newer { version: *version, from: promise.from, record: None };
                    self.newer.insert(key.clone(), newer);
                }
            }
        }
        let mut wanted: BTreeMap<NodeId, Vec<Box<[u8]>>> = BTreeMap::new();
        for (key, newer) in self.newer.iter().filter(|(_, newer)| newer.record.is_none()) {
            wanted.entry(newer.from).or_default().push(key.clone());
        }
        wanted.into_iter().collect()
    }

    /// The keys that are not the same at all who promised.
    fn unsettled(&mut self, own: &BTreeMap<Box<[u8]>, Version>, copied: bool) -> Unsettled {
        let copied = copied && !planted(Mutant::CopiesCountAsAccepted);
        let lists = self.promises.iter().map(|promise| match &promise.listing {
            Listing::Whole(listed) => listed,
            Listing::Partial(_) | Listing::Same => own,
        });
        let lists: Vec<_> = lists.collect();
        let keys: BTreeSet<&Box<[u8]>> = lists.iter().flat_map(|list| list.keys()).collect();
        let mut unsettled = BTreeMap::new();
        for key in keys {
            let mut versions = lists.iter().map(|list| list.get(key));
            let first = versions.next().flatten();
            if copied || versions.any(|version| version != first) {
                let newest = self.newer.get_mut(key).and_then(|newer| newer.record.take());
                unsettled.insert(key.clone(), newest);
            }
        }
        Unsettled::new(unsettled, copied)
    }
}

/// What we have in a slot.
fn own_versions(store: &Store, slot: u32) -> BTreeMap<Box<[u8]>, Version> {
    let mut versions = BTreeMap::new();
    store.page(Db::STRONG, Slot(slot), PageCursor::default(), |record| {
        versions.insert(record.key.into(), record.version);
        true
    });
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUORUM: usize = 2;
    const ME: NodeId = NodeId(0);
    const PEER: NodeId = NodeId(1);

    fn record(key: &'static [u8], ballot: u64, seq: u64) -> Record<'static> {
        let version = Version::accepted(Ballot::new(ballot, ME), seq);
        Record { db: Db::STRONG, key, version, expires_at_ms: None, value: Some(b"v") }
    }

    fn campaign(store: &Store) -> Campaign {
        let slots = SlotSet::full(store.slots());
        let mut campaign = Campaign::new(1, ME, slots.clone(), Instant::ZERO);
        campaign.on_backing(PEER, slots);
        campaign.stand(campaign.backed(QUORUM), Ballot::new(9, ME), Batch(1));
        campaign
    }

    #[test]
    fn only_what_a_majority_backs_is_stood_for() {
        let mut campaign = Campaign::new(1, ME, SlotSet::full(3), Instant::ZERO);
        let mut backed = SlotSet::new(3);
        backed.insert(1);
        campaign.on_backing(PEER, backed.clone());
        campaign.on_backing(PEER, SlotSet::full(3));
        assert_eq!(campaign.backed(QUORUM), backed);
        assert!(campaign.backed(3).is_empty());
    }

    #[test]
    fn it_stands_where_it_asks_for_promises() {
        let [mut first, mut second] = [SlotSet::new(3), SlotSet::new(3)];
        first.insert(0);
        second.insert(1);
        let mut campaign = Campaign::new(1, ME, SlotSet::full(3), Instant::ZERO);
        campaign.on_backing(PEER, first.clone());
        assert!(!campaign.stands_in(&first), "it only asks who would promise");
        campaign.stand(campaign.backed(QUORUM), Ballot::new(9, ME), Batch(1));
        assert!(campaign.stands_in(&first) && campaign.stands_in(&SlotSet::full(3)));
        assert!(!campaign.stands_in(&second));
    }

    #[test]
    fn equal_tables_are_won_at_once() {
        let store = Store::new(1, 0, 0);
        let mut campaign = campaign(&store);
        assert!(!campaign.on_promise(0, ME, false, true, QUORUM));
        assert_eq!(campaign.next(0, QUORUM, &store), Next::Wait);
        assert!(!campaign.on_promise(0, PEER, false, true, QUORUM));
        assert_eq!(campaign.next(0, QUORUM, &store), Next::Won(Unsettled::default()));
    }

    #[test]
    fn what_is_not_the_same_everywhere_is_unsettled_with_its_newest_record() {
        let mut store = Store::new(1, 0, 0);
        for own in [record(b"same", 1, 1), record(b"mine", 2, 2), record(b"old", 1, 3)] {
            store.merge(&own);
        }
        let mut campaign = campaign(&store);
        campaign.on_promise(0, ME, false, true, QUORUM);
        assert!(campaign.on_promise(0, PEER, false, false, QUORUM));
        let theirs = [record(b"same", 1, 1), record(b"old", 2, 1), record(b"theirs", 2, 7)];
        let entries = |from: usize, to: usize| {
            theirs[from..to].iter().map(|record| (record.version, record.key))
        };
        campaign.on_versions(0, PEER, entries(0, 1), false);
        assert_eq!(campaign.next(0, QUORUM, &store), Next::Wait);
        campaign.on_versions(0, PEER, entries(1, 3), true);
        let keys: Vec<Box<[u8]>> = vec![b"old"[..].into(), b"theirs"[..].into()];
        assert_eq!(campaign.next(0, QUORUM, &store), Next::Fetch(vec![(PEER, keys)]));
        for record in &theirs {
            assert_eq!(campaign.next(0, QUORUM, &store), Next::Wait);
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            campaign.on_record(0, PEER, record, &bytes);
        }
        let Next::Won(unsettled) = campaign.next(0, QUORUM, &store) else { panic!("all is here") };
        assert!(!unsettled.contains(b"same", true) && !unsettled.contains(b"none", false));
        assert!(unsettled.contains(b"mine", true) && unsettled.newest(b"mine").is_none());
        assert!(unsettled.newest(b"old").is_some() && unsettled.newest(b"theirs").is_some());
    }

    #[test]
    fn copies_are_evidence_of_nothing() {
        let mut store = Store::new(1, 0, 0);
        store.merge(&record(b"same", 1, 1));
        let mut campaign = campaign(&store);
        campaign.on_promise(0, ME, false, true, QUORUM);
        campaign.on_promise(0, PEER, true, true, QUORUM);
        let Next::Won(unsettled) = campaign.next(0, QUORUM, &store) else { panic!("all is here") };
        assert!(unsettled.contains(b"same", true) && unsettled.contains(b"none", false));
    }

    #[test]
    fn a_member_that_leaves_in_the_middle_is_replaced() {
        let store = Store::new(1, 0, 0);
        let mut campaign = campaign(&store);
        campaign.on_promise(0, ME, false, true, QUORUM);
        campaign.on_promise(0, PEER, false, false, QUORUM);
        campaign.on_lost(PEER);
        campaign.on_promise(0, NodeId(2), false, true, QUORUM);
        assert_eq!(campaign.next(0, QUORUM, &store), Next::Won(Unsettled::default()));
    }
}
