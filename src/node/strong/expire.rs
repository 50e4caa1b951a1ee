//! Expiry that nobody asks for: a leader looks for values whose time is over, and deletes them.
//!
//! A value past its time reads as absent at once ([`super::leader`] commits a tombstone before it
//! says so); this only gives back the memory of keys that nobody reads. A leader walks the slots it
//! leads a bounded piece at a time, faster where it finds much, and not at all while nothing that
//! it holds has an end. Only leaders expire: a member with another clock must not decide.

use super::{Ctx, Strong, request::Origin};
use crate::{
    probe::{Hook, reached},
    record::Db,
    slot::Slot,
    store::PageCursor,
    time::{Instant, Millis},
};

/// Between two pieces.
const PAUSE: Millis = Millis(100);
/// The same after a piece of which a quarter was expired.
const HASTE: Millis = Millis(1);
/// Records of a piece that are looked at: a tenth of a millisecond of work.
const LOOKED_AT: usize = 1024;
/// Records of a piece that are deleted.
const DELETED: usize = 128;
/// Slots of a piece, for those without records cost something too.
const SLOTS: u32 = 4096;

/// Where the walk is.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Expiries {
    next_at: Option<Instant>,
    slot: u32,
    page: PageCursor,
}

impl Expiries {
    /// When there is a piece to walk.
    pub(crate) const fn next_timer(&self) -> Option<Instant> {
        self.next_at
    }
}

impl Strong {
    /// Begins to walk if there may be something to find.
    pub(super) fn expect_expiries(&mut self, ctx: &Ctx<'_>) {
        let some = ctx.replica.store.expiring(Db::STRONG) > 0 && !self.led().is_empty();
        if some && self.expiries.next_at.is_none() {
            self.expiries.next_at = Some(ctx.now.mono + PAUSE);
        }
    }

    /// Walks a piece when it is time.
    pub(super) fn expire_some(&mut self, ctx: &mut Ctx<'_>) {
        if !self.has_room() || self.expiries.next_at.is_none_or(|at| at > ctx.now.mono) {
            return;
        }
        if ctx.replica.store.expiring(Db::STRONG) == 0 || self.led().is_empty() {
            self.expiries.next_at = None;
            return;
        }
        let (mut looked_at, mut deleted) = (0, 0);
        for _ in 0..SLOTS.min(self.slots) {
            let slot = self.expiries.slot % self.slots;
            let rest = if self.led().contains(slot) && !self.is_leaving(slot) {
                self.expire_slot(ctx, slot, &mut looked_at, &mut deleted)
            } else {
                None
            };
            if let Some(rest) = rest {
                self.expiries.page = rest;
                break;
            }
            (self.expiries.slot, self.expiries.page) = (slot + 1, PageCursor::default());
        }
        let pause = if deleted * 4 > looked_at { HASTE } else { PAUSE };
        self.expiries.next_at = Some(ctx.now.mono + pause);
    }

    /// Deletes what is expired in a slot; where to go on, unless it is done.
    fn expire_slot(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: u32,
        looked_at: &mut usize,
        deleted: &mut usize,
    ) -> Option<PageCursor> {
        let (wall_ms, mut found) = (ctx.now.wall_ms, Vec::new());
        let rest = ctx.replica.store.page(Db::STRONG, Slot(slot), self.expiries.page, |record| {
            *looked_at += 1;
            if record.value.is_some() && record.visible(wall_ms).is_none() {
                found.push(Box::<[u8]>::from(record.key));
            }
            *looked_at < LOOKED_AT && *deleted + found.len() < DELETED
        });
        let ballot = self.acceptor.promised(slot);
        for key in found {
            // What is under way may be a new value; what is not settled may be an old one.
            if self.leader.is_in_flight(&key) || self.leader.is_key_unsettled(slot, &key) {
                continue;
            }
            reached(Hook::ExpiredByLeader);
            *deleted += 1;
            self.leader.erase(ctx, ballot, (slot, &key), (Origin::Nobody, Instant::ZERO));
        }
        rest
    }
}
