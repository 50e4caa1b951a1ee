//! Batches at the leader: several keys of a slot are read and written at one moment.
//!
//! What a batch reads is settled first, as for any read. Then its steps are applied one after the
//! other, and what they write is stamped together: one frame to each member, one entry of the log,
//! one vote. A record that the batch has read and that is not committed rides along, so that
//! whoever has the batch has what it was computed from.
//!
//! A member must never hold something newer than a batch and not the batch: a majority of such
//! members could show a follower one key of a batch as it was after it, and another as before. The
//! stream's order sees to that, but for what is sent again after a new session or a lost link.
//! Hence the rule of [`Leader::send_batches`]: batches that a member is to be sent again go to it, as
//! they were, before anything that is newer.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use super::{Body, Leader, Read, TOMBSTONE, Write};
use crate::{
    command::{
        batch::{Batch, Stamps, Written},
        op::Answer,
    },
    node::{
        flights::Number,
        peers::Peer,
        strong::{
            Ctx,
            request::{Origin, Outcome, Request},
        },
    },
    probe::{Hook, Mutant, claims::must, planted, reached},
    proto::peer::{self, Frame, STREAM_OVERHEAD},
    record::{Ballot, Db, Version},
    time::Instant,
};

/// What of a batch in flight is besides its first key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Together {
    /// Of the other keys that it writes.
    pub(super) hashes: Box<[u64]>,
    /// As they were sent: see [`peer::records`].
    records: Box<[u8]>,
}

impl Together {
    /// Bytes that it holds while it is in flight.
    pub(super) const fn size(&self) -> usize {
        self.records.len()
    }
}

impl Leader {
    /// Carries out a batch on keys of a slot that we lead under `ballot`.
    pub(in crate::node::strong) fn execute_batch(
        &mut self,
        ctx: &mut Ctx<'_>,
        ballot: Ballot,
        (batch, bytes): (&Batch<'_>, &[u8]),
        waiting: (Origin, u32, Instant),
    ) {
        let (origin, slot, deadline) = waiting;
        let keys: BTreeSet<&[u8]> = batch.keys().collect();
        for key in &keys {
            self.make_certain(ctx, ballot, slot, key);
        }
        let dropped = |key: &[u8]| self.dropped.number(xxh3_64(key));
        let stamps = Stamps { last: Version::accepted(ballot, self.seq), dropped: &dropped };
        let (store, mut seq) = (&ctx.replica.store, self.seq);
        let stamp = || {
            seq += 1;
            Version::accepted(ballot, seq)
        };
        let held = |key: &[u8]| store.get(Db::STRONG, key);
        let applied = batch.apply(held, ctx.now.wall_ms, stamps, stamp);
        self.seq = seq;
        let applied = match applied {
            Ok(applied) => applied,
            Err(answer) => return self.outcomes.push(Outcome::Answered { origin, answer }),
        };
        if applied.answer == Answer::NilList {
            reached(Hook::WatchFailed);
        }
        if applied.written.is_empty() {
            let after = keys.iter().filter_map(|key| self.heads.last(xxh3_64(key))).collect();
            let request = Request::of_work(origin, bytes.into(), slot, deadline);
            let read = Read::new(request, applied.answer, self.seq, after);
            return self.reads.add(read, ballot);
        }
        let written: BTreeSet<&[u8]> = applied.written.iter().map(|w| &w.key[..]).collect();
        let riders = keys.difference(&written).filter(|key| self.is_in_flight(key));
        let riders: Vec<&[u8]> = riders.copied().collect();
        let waiting = (origin, applied.answer, deadline);
        self.stamp_together(ctx, slot, (&applied.written, &riders), waiting);
    }

    /// Sees to it that what our table has of a key is what the key holds, at this moment.
    fn make_certain(&mut self, ctx: &mut Ctx<'_>, ballot: Ballot, slot: u32, key: &[u8]) {
        if self.is_unsettled(ctx, slot, key) {
            self.settle(ctx, ballot, slot, key);
        }
        let held = ctx.replica.store.get(Db::STRONG, key);
        let wall_ms = ctx.now.wall_ms;
        if held.is_some_and(|held| held.value.is_some() && held.visible(wall_ms).is_none()) {
            reached(Hook::ExpiredByLeader);
            let nobody = (Origin::Nobody, Answer::Ok, Instant::ZERO);
            self.stamp(ctx, ballot, slot, key, TOMBSTONE, nobody);
        }
    }

    /// Puts what a batch writes into the table, the log and all streams, with what rides along.
    fn stamp_together(
        &mut self,
        ctx: &mut Ctx<'_>,
        slot: u32,
        (written, riders): (&[Written], &[&[u8]]),
        waiting: (Origin, Answer<'static>, Instant),
    ) {
        if let ([written], []) = (written, riders) {
            let Written { key, version, expires_at_ms, value } = written;
            let body = Body { value: value.as_deref(), expires_at_ms: *expires_at_ms };
            self.stamp_as(ctx, (*version, slot), key, body, waiting);
            return;
        }
        reached(Hook::StampedTogether);
        let mut records = Vec::new();
        for record in riders.iter().filter_map(|key| ctx.replica.store.encoded(Db::STRONG, key)) {
            peer::push_record(&mut records, record);
        }
        for (index, written) in written.iter().enumerate() {
            if written.value.is_none() {
                self.tombstones.push((slot, written.key.clone(), written.version));
            }
            let record = written.record();
            let encoded = match index {
                0 => ctx.replica.accept(&record),
                _ => ctx.replica.accept_another(&record),
            };
            peer::push_record(&mut records, encoded.expect("a new stamp is above all others"));
        }
        let Some((Written { key, version, .. }, others)) = written.split_first() else { return };
        let hashes = others.iter().map(|written| xxh3_64(&written.key)).collect();
        let together = Together { hashes, records: records.into() };
        let (origin, answer, deadline) = waiting;
        self.on_asked_for(slot, origin, *version);
        self.answers += answer.size() + together.size();
        self.batches += 1;
        let hashes: Vec<u64> = written.iter().map(|written| xxh3_64(&written.key)).collect();
        let (key, key_hash, version) = (key.clone(), xxh3_64(key), *version);
        let records = together.records.clone();
        let together = Some(Box::new(together));
        let write = Write { slot, key_hash, key, version, origin, answer, deadline, together };
        let number = self.flights.launch(write, ctx.replica.journal.gathering());
        for peer in ctx.peers.iter_mut() {
            if !self.send_batches(peer) {
                self.send_later(peer.id, number);
            } else if let Some(end) = push_together(peer, &records) {
                self.flights.sent(number, peer.id, end);
            }
        }
        hashes.into_iter().for_each(|hash| {
            self.heads.begin(hash, number);
        });
    }

    /// Sends a member the batches that it is to be sent again, before it gets what may be newer.
    /// Whether it has got all: if its outbox has no room for them, the rest comes later, and
    /// whatever is newer with it. A session that overflows ends, and all would begin anew, for ever.
    pub(in crate::node::strong) fn send_batches(&mut self, to: &mut Peer) -> bool {
        if self.batches == 0 {
            return true;
        }
        let Some(waiting) = self.again.get_mut(&to.id) else { return true };
        while let Some(number) = waiting.batches.front().copied() {
            if let Some(Write { together: Some(together), .. }) = self.flights.get(number) {
                let outbox = &to.outbox;
                // Where nothing else is one finds room now or never; and who is Behind begins anew.
                let fits = outbox.has_room(STREAM_OVERHEAD + together.records.len())
                    || outbox.len() == 0
                    || outbox.is_behind();
                if !fits && !planted(Mutant::BatchesCrowdOut) {
                    return planted(Mutant::BatchesOvertaken);
                }
                reached(Hook::TogetherAgain);
                let behind = outbox.is_behind() || outbox.len() == 0;
                let pushed = push_together(to, &together.records);
                let fits = behind || !to.outbox.is_behind();
                must(|| fits, "nobody becomes Behind by a batch that is sent again");
                if let Some(end) = pushed {
                    self.flights.sent(number, to.id, end);
                }
            }
            waiting.batches.pop_front();
        }
        true
    }

    /// A write is no longer in flight, however it ended.
    pub(super) fn forget(&mut self, number: Number, write: &Write) {
        self.heads.end(write.key_hash, number);
        self.answers -= write.answer.size();
        if let Some(together) = &write.together {
            together.hashes.iter().for_each(|hash| self.heads.end(*hash, number));
            self.answers -= together.size();
            self.batches -= 1;
        }
    }
}

/// Puts records that belong together into a member's stream; the position that stands for them.
fn push_together(to: &mut Peer, records: &[u8]) -> Option<u64> {
    if planted(Mutant::BatchSentApart) {
        let records = peer::records(records).flatten();
        let ends: Vec<_> = records.map(|record| to.outbox.push_record(record)).collect();
        return ends.first().copied().flatten();
    }
    to.outbox.push(STREAM_OVERHEAD + records.len(), |pos| Frame::Together { pos, records })
}
