//! Removing what is dead in databases 1 and 2 (PROTOCOL section 10, E6): what the node tells and
//! hears of the floor ([`super::floor`]), and the sweep that takes out what it covers.
//!
//! Dead is a tombstone, and a value whose time is over: that counts as a tombstone, but only once it
//! is over by every clock that is taken for sane. A member whose clock is behind ours may show it
//! still, and what goes too early nobody gives back.
//!
//! With each heartbeat a peer is told what is new: up to where we promise to stamp nothing more, our
//! floor, and our row. The frame stands behind all that our stream has sent, and a promise is made
//! only where a walk has shown all that came before the stream; so whoever hears it has applied all
//! of it. Each walk begins with such a frame, which tells the peer that one begins.
//!
//! The floor is raised only when there is something to be removed for it, and not too often, since
//! each time it goes to the log; the sweep is done in slices.

use std::hash::{Hash, Hasher};

use super::{
    LinkId, Node,
    floor::{Floor, Mark, News, Told},
    inbound::Hangup,
    links::Side,
    peers::Cursor,
    repair::Dead,
};
use crate::{
    probe::{
        Hook, Mutant,
        claims::{Word, must, say, taken_out},
        planted, reached,
    },
    proto::peer::{self, Frame},
    record::{Db, NodeId, Record, Version},
    store::{PageCursor, Search},
    time::{Instant, Millis, Now},
};

/// The databases in which tombstones go by the floor. In the strong one its leaders drop them.
const SWEPT: [Db; 2] = [Db::QUORUM, Db::EVENTUAL];
/// Records looked at a slice: some tens of microseconds of work.
const LOOKED_AT_PER_SLICE: usize = 1024;
/// The floor is raised at most once in so many heartbeats: each time slots are walked for it.
const HEARTBEATS: u64 = 2;
/// How often values whose time is over are looked for, while there are any that end.
const LOOK: Millis = Millis(1000);

/// The sweep, and when the next may begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removal {
    at: Option<Place>,
    next: Instant,
    /// When to look for values whose time is over.
    look_at: Option<Instant>,
    /// The floor that could be, by what was last heard.
    reach: u64,
    removed: Removed,
}

/// What was removed in this life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removed {
    pub(crate) tombstones: u64,
    /// Values whose time was over.
    pub(crate) expired: u64,
}

/// Where the sweep goes on: position in [`SWEPT`], slot, and place in the slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Place {
    db: usize,
    slot: u32,
    cursor: PageCursor,
}

/// See [`super::floor`]: for a search this tells nothing apart.
impl Hash for Removal {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

impl Removal {
    /// Whether there is something to be looked at.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.at.is_some()
    }

    /// The floor that could be.
    pub(crate) const fn reach(&self) -> u64 {
        self.reach
    }

    /// What was removed in this life.
    pub(crate) const fn removed(&self) -> Removed {
        self.removed
    }

    /// When values whose time is over are looked for.
    pub(crate) const fn next_timer(&self) -> Option<Instant> {
        self.look_at
    }

    fn begin(&mut self) {
        self.at = Some(Place::default());
    }
}

impl Node {
    /// A member has begun a new life: what its earlier one was shown, or showed us, counts no more,
    /// and nothing more of it is taken.
    pub(super) fn on_reborn(&mut self, from: NodeId, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        peer.has_walked = false;
        peer.cursor = Cursor { incarnation, generation: 0, pos: 0 };
        self.replica.floors.on_life(from, incarnation);
    }

    /// A member welcomes us in a life that we have not heard of: its earlier one may still be on its
    /// way to us on a link that it opened.
    pub(super) fn on_welcomed_anew(&mut self, now: Now, from: NodeId, incarnation: u64) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        if incarnation <= peer.cursor.incarnation {
            return;
        }
        let outdated = peer.inbound.take();
        peer.forget_acks();
        self.on_reborn(from, incarnation);
        if let Some(outdated) = outdated {
            self.drop_link(outdated);
        }
        let (strong, mut ctx) = self.strong(now);
        strong.on_silent(&mut ctx, from);
    }

    /// Tells a peer how far we are, if there is news, or if a walk begins.
    pub(super) fn tell_floor(&mut self, id: NodeId, link: LinkId, begins: bool) {
        let (Some(peer), Some(open)) = (self.peers.get_mut(id), self.links.peer_mut(link)) else {
            return;
        };
        if !matches!(open.side, Side::Dialed { live: true, .. }) {
            return;
        }
        let floors = &self.replica.floors;
        let promises = floors.is_whole() && peer.is_caught_up() && !peer.outbox.has_unsent();
        let promised = if promises { self.replica.promise() } else { 0 };
        let (hlc, lives) = self.replica.floor_told();
        let mut row = Vec::with_capacity(lives.len() * 2);
        let floors = &self.replica.floors;
        for mark in floors.row() {
            peer::push_mark(&mut row, mark.life, mark.hlc);
        }
        let clock = if begins { self.replica.clock() } else { 0 };
        let (lives, row) = (&lives[..], &row[..]);
        let mut bytes = Vec::with_capacity(64 + lives.len() + row.len());
        let sound = floors.is_sound();
        Frame::Floor { begins, sound, clock, promised, hlc, lives, row }.encode(&mut bytes);
        if begins || peer.floor_told.0 != bytes {
            open.out.extend(&bytes);
            self.links.touch(link);
            peer.floor_told.0 = bytes;
        }
    }

    /// A peer tells how far it is.
    pub(super) fn on_floor(
        &mut self,
        now: Now,
        from: NodeId,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        let Frame::Floor { begins, sound, clock, promised, hlc, lives, row } = frame else {
            return Err(Hangup::Unexpected);
        };
        let lives: Option<Vec<u64>> = peer::lives(lives).collect();
        let row: Option<Vec<(u64, u64)>> = peer::marks(row).collect();
        let (Some(lives), Some(row)) = (lives, row) else { return Err(Hangup::Unexpected) };
        let ahead = self.replica.is_ahead(now, clock.max(hlc));
        let told = Told { begins, sound, clock, floor: Floor { hlc, lives } };
        let Some(peer) = self.peers.get_mut(from) else { return Err(Hangup::Unexpected) };
        if begins {
            say(Word::WalkBegun(from.0));
        }
        let life = peer.cursor.incarnation;
        match self.replica.floors.on_told(from, told, ahead) {
            News::Donor => {
                reached(Hook::FloorDonorFound);
                peer.repair.need_anew();
                peer.repair_at = now.mono;
            }
            News::Higher => {
                self.replica.log_floor();
                self.removal.begin();
            }
            News::None => {}
        }
        if !row.is_empty() {
            let marks = row.into_iter().map(|(life, hlc)| Mark { life, hlc }).collect();
            self.replica.floors.on_row(from, life, marks);
        }
        if promised > 0 && !self.replica.is_ahead(now, promised) {
            let wait = self.replica.journal.wait_for_all();
            self.replica.floors.on_mark(from, Mark { life, hlc: promised }, wait);
        }
        Ok(())
    }

    /// A peer that has a floor says that these were deleted. A node that has one too will find out by
    /// itself; one that may lack something has no other way to know.
    pub(super) fn drop_dead(&mut self, link: LinkId, dead: &[Dead]) {
        self.links.touch(link);
        if self.replica.floors.is_sound() {
            return;
        }
        for Dead { db, key, version } in dead {
            reached(Hook::DeadDropped);
            self.replica.remove(*db, key, *version);
        }
    }

    /// A peer has been shown all that we held when the walk began.
    pub(super) fn on_walk_complete(&mut self, to: NodeId) {
        tracing::debug!(peer = %self.members.name(to), "a repair walk is complete");
        self.replica.floors.on_cleansed(to);
    }

    /// Once all members have shown us what they hold this node can promise: but first it shows them
    /// what it has got that way.
    pub(super) fn maybe_whole(&mut self, now: Now) {
        let Some(joined) = self.replica.floors.poll_whole() else { return };
        if let Some(clock) = joined {
            reached(Hook::FloorTaken);
            self.replica.raise_clock(clock);
            self.replica.log_floor();
        }
        self.removal.begin();
        for peer in self.peers.iter_mut() {
            peer.show_anew(now);
        }
    }

    /// An earlier life may have ended between its log's having a floor and its having taken out what
    /// that covers. The floor may never rise again, if a member is gone.
    pub(super) fn sweep_leftovers(&mut self) {
        let floor = self.replica.floors.floor().hlc;
        let mut due = |db: Db| self.replica.store.has_dead_until(db, floor);
        if SWEPT.into_iter().any(&mut due) && !planted(Mutant::LeftoversNotSwept) {
            self.removal.begin();
        }
    }

    /// Notes how far we are ourselves, and raises the floor if that lets something be removed.
    pub(super) fn look_at_floor(&mut self, now: Now) {
        if self.replica.floors.is_whole() {
            let (life, hlc) = (self.replica.incarnation(), self.replica.promise());
            let wait = self.replica.journal.wait_for_all();
            self.replica.floors.on_mark(self.members.me(), Mark { life, hlc }, wait);
        }
        let strong = &self.strong;
        let reach = self.replica.floors.reach(|member, life| strong.is_outlived(member, life));
        self.removal.reach = reach.hlc;
        let higher = reach.hlc > self.replica.floors.floor().hlc;
        if !higher || now.mono < self.removal.next {
            return;
        }
        let mut due = |db: Db| self.replica.store.has_dead_until(db, reach.hlc);
        if SWEPT.into_iter().any(&mut due) && self.replica.floors.raise(reach) {
            reached(Hook::FloorRaised);
            let lives = || self.replica.floors.lives_told();
            must(
                || lives().all(|(member, life)| !self.strong.is_outlived(member, life)),
                "no floor is found by what a life that is over had applied",
            );
            self.replica.log_floor();
            self.removal.begin();
            let alone = self.members.len() == 1;
            let pause = if alone { 0 } else { HEARTBEATS * self.timing.heartbeat.0 };
            self.removal.next = now.mono + Millis(pause);
        }
    }

    /// Begins to look for values whose time is over, now and then while there are any that end.
    pub(super) fn expect_ends(&mut self, now: Now) {
        let store = &self.replica.store;
        let some = SWEPT.into_iter().any(|db| store.expiring(db) > 0);
        if some && self.removal.look_at.is_none() {
            self.removal.look_at = Some(now.mono + LOOK);
        }
    }

    /// Looks whether any value's time is over.
    pub(super) fn look_for_ends(&mut self, now: Now) {
        if self.removal.look_at.is_none_or(|at| at > now.mono) {
            return;
        }
        self.removal.look_at = None;
        self.expect_ends(now);
        let (over_ms, store) = (self.over_ms(now), &self.replica.store);
        if SWEPT.into_iter().any(|db| store.earliest_end(db) <= over_ms) {
            self.removal.begin();
        }
        if self.members.len() == 1 {
            // There are no heartbeats.
            self.look_at_floor(now);
        }
    }

    /// What ended then is over by every clock that is no further off than stamps may be.
    fn over_ms(&self, now: Now) -> u64 {
        let skew_max = if planted(Mutant::ExpiredAtOnce) { 0 } else { self.timing.skew_max.0 };
        now.wall_ms.saturating_sub(skew_max)
    }

    /// Whether what is dead could be looked for without waiting for anything.
    pub(super) fn can_sweep(&self) -> bool {
        self.removal.is_under_way() && !self.is_log_full()
    }

    /// Removes some of what is dead and covered by the floor.
    pub(super) fn sweep(&mut self, now: Now) {
        if !self.can_sweep() {
            return;
        }
        let (floor, over_ms) = (self.replica.floors.floor().clone(), self.over_ms(now));
        let (mut budget, mut found) = (LOOKED_AT_PER_SLICE, Vec::new());
        while budget > 0
            && let Some(Place { db: position, slot, cursor }) = self.removal.at
        {
            let Some(db) = SWEPT.get(position).copied() else {
                self.removal.at = None;
                break;
            };
            let search = Search { db, hlc: floor.hlc, over_ms };
            let store = &mut self.replica.store;
            let begun = cursor != PageCursor::default();
            let next = store.next_with_dead(&search, slot);
            let Some(slot) = Some(slot).filter(|_| begun).or(next) else {
                self.removal.at = Some(Place { db: position + 1, ..Place::default() });
                continue;
            };
            let due = |record: &Record<'_>| {
                let early = record.value.is_some() && planted(Mutant::ExpiredAboveFloor);
                floor.covers(record.version) || early
            };
            let next = store.find_dead(&search, (slot, cursor), &mut budget, due, &mut found);
            self.removal.at = Some(match next {
                Some(cursor) => Place { db: position, slot, cursor },
                None => Place { db: position, slot: slot + 1, cursor: PageCursor::default() },
            });
            for (key, version) in found.drain(..) {
                self.remove_dead(db, &key, version);
            }
        }
    }

    fn remove_dead(&mut self, db: Db, key: &[u8], version: Version) {
        taken_out(db.number(), key, version.to_bits());
        let held = self.replica.store.get(db, key);
        let removed = &mut self.removal.removed;
        if held.is_some_and(|record| record.value.is_some()) {
            reached(Hook::ExpiredRemoved);
            removed.expired += 1;
        } else {
            reached(Hook::TombstoneRemoved);
            removed.tombstones += 1;
        }
        self.replica.remove(db, key, version);
    }
}
