//! Repair: bringing a peer up to our current table, whatever it missed.
//!
//! One direction at a time: we make sure that the peer has everything that we have; it does the
//! same towards us. A walk compares digests of spans of slots, then of single slots where a span
//! differs, then offers the versions and keys of a differing slot page by page and copies the
//! records that the peer asks for. One question is under way at a time and every message is
//! bounded, so a walk of any size costs a bounded buffer. The answering side keeps no state.
//!
//! Merging is idempotent, so a walk may race with the stream, with writes and with other walks;
//! whatever a walk misses by racing was written after it began and is in the stream. A broken link
//! ends the walk; it starts over on the next link. A walk is complete when the peer has answered a
//! last empty comparison, hence has read all copies before it; if it could not take some, for their
//! stamps are too far ahead of its clock, it says so there, and that walk shows nothing. This is the
//! anti-entropy of Demers et al., "Epidemic algorithms for replicated database maintenance", 1987,
//! push variant.

use std::collections::VecDeque;

use super::eventual::{Refused, Replica};
use crate::{
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Db, NodeId, Version},
    slot::Slot,
    store::{PageCursor, Store},
    time::Now,
};

/// The databases that peers repair among each other. In the strong one only the leader of a slot
/// may, for a copy that nobody ordered could bring back what was overwritten.
const REPAIRED: [Db; 2] = [Db::QUORUM, Db::EVENTUAL];

/// The walk towards one peer.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Repair {
    /// The peer may lack something: the next link begins with a walk.
    needed: bool,
    stage: Stage,
    /// Position in [`REPAIRED`].
    db: usize,
    /// Spans of the database that differ, by their first slot.
    spans: VecDeque<u32>,
    /// Slots of the span that differ.
    slots: VecDeque<u32>,
    /// How many records walks have copied, for INFO.
    copied: u64,
    /// The walk under way began too early to tell what it is wanted for: another must follow.
    stale: bool,
}

/// An entry of an offer that the peer knows to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) db: Db,
    pub(crate) key: Box<[u8]>,
    pub(crate) version: Version,
}

/// What a walk waits for or does next.
#[derive(Clone, Debug, Default, Hash)]
enum Stage {
    /// No walk.
    #[default]
    Idle,
    /// The answer to the digests of all spans of the database.
    Spans,
    /// The answer to the digests of the slots of one span.
    Slots { first: u32 },
    /// Which of the offered entries are wanted.
    Offered { slot: u32, entries: Vec<u8>, next: Option<PageCursor> },
    /// The wanted entries from `at` on are to be copied, as far as the link has room.
    Copying { slot: u32, entries: Vec<u8>, wanted: Vec<u8>, at: usize, next: Option<PageCursor> },
    /// The answer that shows that everything before has been read.
    Ending,
}

/// An answer that fits no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unexpected;

/// What a walk needs besides its own state.
pub(crate) struct Walk<'a> {
    pub(crate) store: &'a Store,
    /// Slots per digest of the first level, and digests per message of the second.
    pub(crate) span: u32,
    /// Bytes per offer.
    pub(crate) offer_size: usize,
    /// Where questions and copies go.
    pub(crate) out: &'a mut Vec<u8>,
}

impl Repair {
    /// The peer may lack something.
    pub(crate) const fn need(&mut self) {
        self.needed = true;
    }

    /// A walk is needed that begins from now on.
    pub(crate) fn need_anew(&mut self) {
        (self.needed, self.stale) = (true, !self.is_idle());
    }

    /// Whether the peer may lack something that no stream carries.
    pub(crate) const fn is_needed(&self) -> bool {
        self.needed
    }

    /// Whether no walk is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Whether wanted records wait for room in the link's output.
    pub(crate) const fn is_copying(&self) -> bool {
        matches!(self.stage, Stage::Copying { .. })
    }

    /// Records copied by all walks so far.
    pub(crate) const fn copied(&self) -> u64 {
        self.copied
    }

    /// The link is gone and with it all answers.
    pub(crate) fn on_close(&mut self) {
        if !self.is_idle() {
            reached(Hook::WalkCut);
        }
        (self.stage, self.stale) = (Stage::Idle, false);
    }

    /// Begins a walk on a link that has just opened or has no walk under way.
    pub(crate) fn start(&mut self, mut walk: Walk<'_>) {
        (self.needed, self.stale) = (true, false);
        self.db = 0;
        self.compare_spans(&mut walk);
    }

    /// The answer to digests. True when the walk is complete, has shown all that it must, and the peer
    /// has taken it.
    pub(crate) fn on_differ(
        &mut self,
        mut walk: Walk<'_>,
        db: Db,
        bits: &[u8],
    ) -> Result<bool, Unexpected> {
        if Some(&db) != REPAIRED.get(self.db) {
            return Err(Unexpected);
        }
        let slots = walk.store.slots();
        match self.stage {
            Stage::Spans => {
                let spans = (0..slots).step_by(walk.span as usize).enumerate();
                let differ = spans.filter(|(index, _)| peer::bit(bits, *index));
                self.spans = differ.map(|(_, first)| first).collect();
                self.next_span(&mut walk);
            }
            Stage::Slots { first } => {
                let end = slots.min(first + walk.span);
                let differ = (first..end).enumerate().filter(|(index, _)| peer::bit(bits, *index));
                self.slots = differ.map(|(_, slot)| slot).collect();
                if planted(Mutant::RepairSkipsSlot) {
                    self.slots.pop_back();
                }
                self.next_slot(&mut walk);
            }
            Stage::Ending => {
                reached(Hook::WalkCompleted);
                self.stage = Stage::Idle;
                self.needed = std::mem::take(&mut self.stale);
                let taken = !peer::bit(bits, 0) || planted(Mutant::WaitCountsSkipped);
                return Ok(taken && !self.needed);
            }
            Stage::Idle | Stage::Offered { .. } | Stage::Copying { .. } => return Err(Unexpected),
        }
        Ok(false)
    }

    /// The answer to an offer: which entries are wanted, and which the peer knows to be deleted.
    pub(crate) fn on_want(
        &mut self,
        mut walk: Walk<'_>,
        bits: &[u8],
        dead: &[u8],
    ) -> Result<Vec<Dead>, Unexpected> {
        let Stage::Offered { slot, entries, next } = std::mem::take(&mut self.stage) else {
            return Err(Unexpected);
        };
        let db = self.database();
        let offered = peer::offers(&entries).flatten().enumerate();
        let dead = offered.filter(|(index, _)| peer::bit(dead, *index));
        let dead = dead.map(|(_, (version, key))| Dead { db, key: key.into(), version }).collect();
        self.stage = Stage::Copying { slot, entries, wanted: bits.to_vec(), at: 0, next };
        self.copy(&mut walk, 1);
        Ok(dead)
    }

    /// Goes on copying while the output holds less than `room` bytes. At least one record, so that
    /// it always goes on.
    pub(crate) fn fill(&mut self, mut walk: Walk<'_>, room: usize) {
        if matches!(self.stage, Stage::Copying { .. }) {
            self.copy(&mut walk, room);
        }
    }

    fn copy(&mut self, walk: &mut Walk<'_>, room: usize) {
        let Stage::Copying { slot, entries, wanted, mut at, next } =
            std::mem::take(&mut self.stage)
        else {
            return;
        };
        let db = self.database();
        let mut full = false;
        for (_, key) in peer::offers(&entries).flatten().skip(at) {
            full = walk.out.len() >= room && at > 0;
            if full {
                break;
            }
            if peer::bit(&wanted, at)
                && let Some(record) = walk.store.encoded(db, key)
            {
                Frame::Copy { record }.encode(walk.out);
                self.copied += 1;
            }
            at += 1;
        }
        if full {
            self.stage = Stage::Copying { slot, entries, wanted, at, next };
            return;
        }
        if !next.is_some_and(|cursor| self.offer(walk, slot, cursor)) {
            self.next_slot(walk);
        }
    }

    fn database(&self) -> Db {
        REPAIRED.get(self.db).copied().unwrap_or(Db::EVENTUAL)
    }

    fn compare_spans(&mut self, walk: &mut Walk<'_>) {
        let slots = walk.store.slots();
        compare(walk, self.database(), 0, slots, walk.span);
        self.stage = Stage::Spans;
    }

    fn next_span(&mut self, walk: &mut Walk<'_>) {
        if let Some(first) = self.spans.pop_front() {
            let end = walk.store.slots().min(first + walk.span);
            compare(walk, self.database(), first, end, 1);
            self.stage = Stage::Slots { first };
        } else if self.db + 1 < REPAIRED.len() {
            self.db += 1;
            self.compare_spans(walk);
        } else {
            compare(walk, self.database(), 0, 0, 1);
            self.stage = Stage::Ending;
        }
    }

    fn next_slot(&mut self, walk: &mut Walk<'_>) {
        while let Some(slot) = self.slots.pop_front() {
            if self.offer(walk, slot, PageCursor::default()) {
                return;
            }
        }
        self.next_span(walk);
    }

    /// Offers the next page of a slot. False if there is none.
    fn offer(&mut self, walk: &mut Walk<'_>, slot: u32, cursor: PageCursor) -> bool {
        let mut entries = Vec::new();
        let next = walk.store.page(self.database(), Slot(slot), cursor, |record| {
            peer::push_offer(&mut entries, record.version, record.key);
            entries.len() < walk.offer_size
        });
        if entries.is_empty() {
            return false;
        }
        reached(Hook::OfferSent);
        Frame::Offer { db: self.database(), entries: &entries }.encode(walk.out);
        self.stage = Stage::Offered { slot, entries, next };
        true
    }
}

/// Asks which digests of the slots from `first` to `end`, `span` slots each, differ.
fn compare(walk: &mut Walk<'_>, db: Db, first: u32, end: u32, span: u32) {
    let mut digests = Vec::new();
    for from in (first..end).step_by(span as usize) {
        let digest = walk.store.digest(db, from, span.min(end - from));
        digests.extend_from_slice(&digest.to_le_bytes());
    }
    let flushed = walk.store.flushed(db);
    Frame::Compare { db, flushed, first, span, digests: &digests }.encode(walk.out);
}

/// Answers digests: which of them are not ours. Nothing if the question makes no sense.
pub(crate) fn differing(
    store: &Store,
    db: Db,
    first: u32,
    span: u32,
    digests: &[u8],
) -> Option<Vec<u8>> {
    let (theirs, rest) = digests.as_chunks::<16>();
    let slots = store.slots();
    let past_the_end =
        theirs.len() as u64 > u64::from(slots.checked_sub(first)?.div_ceil(span.max(1)));
    if !rest.is_empty() || span == 0 || past_the_end {
        return None;
    }
    let mut bits = Vec::new();
    for (index, theirs) in theirs.iter().enumerate() {
        let from = first + index as u32 * span;
        if store.digest(db, from, span.min(slots - from)) != u128::from_le_bytes(*theirs) {
            peer::set_bit(&mut bits, index);
        }
    }
    Some(bits)
}

/// The answer to an offer.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Which entries we lack, and which are dead: a bit each.
    pub(crate) bits: Vec<u8>,
    pub(crate) dead: Vec<u8>,
    /// Some that we lack are from too far ahead.
    pub(crate) skipped: bool,
}

/// Answers an offer. Nothing if it is malformed.
pub(crate) fn wanted(
    replica: &Replica,
    now: Now,
    from: NodeId,
    db: Db,
    entries: &[u8],
) -> Option<Wanted> {
    let mut answer = Wanted::default();
    for (index, entry) in peer::offers(entries).enumerate() {
        let (version, key) = entry?;
        if replica.is_dead(db, key, version) {
            peer::set_bit(&mut answer.dead, index);
        } else if replica.lacks(from, db, key, version) {
            if replica.is_too_far_ahead(now, version) {
                answer.skipped = true;
            } else {
                peer::set_bit(&mut answer.bits, index);
            }
        }
    }
    Some(answer)
}

/// Takes a copied record. One from too far ahead is left for a later walk, and the log says so.
pub(crate) fn take_copy(
    replica: &mut Replica,
    now: Now,
    from: NodeId,
    record: &[u8],
) -> Result<(), Refused> {
    match replica.merge(now, from, record) {
        Err(Refused::Ahead(ahead_ms)) => {
            replica.floors.on_skipped(from);
            tracing::warn!(%from, ahead_ms, "left a copy alone: its stamp is too far ahead");
            Ok(())
        }
        taken => taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn walk<'a>(store: &'a Store, out: &'a mut Vec<u8>) -> Walk<'a> {
        Walk { store, span: 1, offer_size: 1000, out }
    }

    /// A store with some records, and a walk that has just offered them.
    fn offered() -> (Store, Repair) {
        let mut store = Store::new(1, 1, 2);
        for key in 0..4 {
            let version = Version::stamp(u64::from(key) + 1, NodeId(0), 1);
            let (db, value) = (Db::QUORUM, Some(&b"value"[..]));
            let record = Record { db, key: &[key], version, expires_at_ms: None, value };
            assert!(store.merge(&record));
        }
        let mut repair = Repair::default();
        let mut out = Vec::new();
        repair.start(walk(&store, &mut out));
        // The only span differs, and the only slot of it.
        for _ in 0..2 {
            assert_eq!(repair.on_differ(walk(&store, &mut out), Db::QUORUM, &[1]), Ok(false));
        }
        (store, repair)
    }

    #[test]
    fn the_first_copy_goes_out_at_once_and_the_others_as_there_is_room() {
        let (store, mut repair) = offered();
        // Something else is still on its way out.
        let mut out = vec![0; 100];
        assert_eq!(repair.on_want(walk(&store, &mut out), &[0b1011], &[]), Ok(Vec::new()));
        assert_eq!(repair.copied(), 1);
        repair.fill(walk(&store, &mut out), 100);
        assert_eq!((repair.copied(), repair.is_copying()), (1, true));
        let mut out = Vec::new();
        repair.fill(walk(&store, &mut out), 100);
        assert_eq!((repair.copied(), repair.is_copying()), (3, false));
        // The next database, then the last question.
        assert_eq!(repair.on_differ(walk(&store, &mut out), Db::EVENTUAL, &[]), Ok(false));
        assert_eq!(repair.on_differ(walk(&store, &mut out), Db::EVENTUAL, &[]), Ok(true));
        assert!(!repair.is_needed());
    }

    #[test]
    fn a_walk_of_which_something_was_left_alone_shows_nothing() {
        let store = Store::new(1, 1, 2);
        let (mut repair, mut out) = (Repair::default(), Vec::new());
        for (left_alone, shown) in [(&[1][..], false), (&[], true)] {
            repair.start(walk(&store, &mut out));
            for db in REPAIRED {
                assert_eq!(repair.on_differ(walk(&store, &mut out), db, &[]), Ok(false));
            }
            let ended = repair.on_differ(walk(&store, &mut out), Db::EVENTUAL, left_alone);
            assert_eq!((ended, repair.is_idle()), (Ok(shown), true));
        }
    }

    #[test]
    fn a_walk_ends_with_its_link_and_must_begin_anew() {
        let (store, mut repair) = offered();
        assert!(!repair.is_idle());
        repair.on_close();
        assert!(repair.is_idle() && repair.is_needed());
        let answer = repair.on_want(walk(&store, &mut Vec::new()), &[1], &[]);
        assert_eq!(answer, Err(Unexpected), "nothing was asked on the new link");
    }
}
