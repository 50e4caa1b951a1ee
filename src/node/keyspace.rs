//! Looks at all keys of this node's copy: SCAN, KEYS, RANDOMKEY.
//!
//! SCAN walks slot by slot. Its cursor is a number that says slot, place in the slot's table, and a
//! few bits of how the table was laid out; when that has changed the slot begins again, so that a
//! key that is there all the time is shown once at least, whatever is written meanwhile.

use crate::{
    command::glob,
    proto::reply::ReplyWriter,
    record::Db,
    rng::Rng,
    slot::Slot,
    store::{PageCursor, Store},
};

/// Records that one SCAN looks at, whatever COUNT says: some milliseconds of work.
const SCANNED_MAX: u64 = 10_000;
/// Keys up to which a database is small enough for KEYS: some tens of milliseconds of work.
const KEYS_MAX: u64 = 100_000;

const PLACE_BITS: u32 = 32;
const LAYOUT_BITS: u32 = 16;

/// One SCAN.
pub(super) struct Scan<'a> {
    pub(super) cursor: u64,
    pub(super) pattern: Option<&'a [u8]>,
    pub(super) count: u64,
    pub(super) nothing: bool,
}

impl Scan<'_> {
    pub(super) fn run(&self, store: &Store, db: Db, wall_ms: u64, reply: &mut ReplyWriter<'_>) {
        let most = self.count.min(SCANNED_MAX);
        let (mut slot, mut page) = self.place(store, db);
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut next = 0;
        while slot < store.slots() {
            let rest = store.page(db, Slot(slot), page, |record| {
                seen += 1;
                let fits = self.pattern.is_none_or(|pattern| glob::matches(pattern, record.key));
                if fits && !self.nothing && record.visible(wall_ms).is_some() {
                    found.push(record.key.to_vec());
                }
                seen < most
            });
            if let Some(rest) = rest {
                next = cursor(slot, rest);
                break;
            }
            (slot, page) = (slot + 1, PageCursor::default());
            if seen >= most && slot < store.slots() {
                next = cursor(slot, page);
                break;
            }
        }
        reply.array(2);
        reply.bulk(next.to_string().as_bytes());
        reply.array(found.len());
        found.iter().for_each(|key| reply.bulk(key));
    }

    /// Where the cursor points to, if the table there is still laid out as it was; else the slot
    /// begins again.
    fn place(&self, store: &Store, db: Db) -> (u32, PageCursor) {
        let slot = (self.cursor >> (PLACE_BITS + LAYOUT_BITS)) as u32;
        let place = self.cursor & ((1 << PLACE_BITS) - 1);
        let layout = store.layout(db, Slot(slot));
        if place == 0 || layout_bits(layout) != self.cursor >> PLACE_BITS & 0xffff {
            return (slot, PageCursor::default());
        }
        (slot, PageCursor::from_pair((layout, place)))
    }
}

/// The cursor that goes on here; 0 is the beginning only.
fn cursor(slot: u32, page: PageCursor) -> u64 {
    let (layout, place) = page.to_pair();
    u64::from(slot) << (PLACE_BITS + LAYOUT_BITS) | layout_bits(layout) << PLACE_BITS | place
}

/// Sixteen bits of a layout: both its size and its moves change them.
const fn layout_bits(layout: u64) -> u64 {
    (layout ^ layout >> 16 ^ layout >> 32) & 0xffff
}

/// KEYS.
pub(super) fn keys(
    store: &Store,
    db: Db,
    pattern: &[u8],
    wall_ms: u64,
    reply: &mut ReplyWriter<'_>,
) {
    let held = store.live(db) + store.tombstones(db);
    if held > KEYS_MAX {
        return reply.error(format_args!(
            "ERR KEYS looks at all keys at once and is refused above {KEYS_MAX}; there are {held}, use SCAN"
        ));
    }
    let mut found = Vec::new();
    for slot in 0..store.slots() {
        store.page(db, Slot(slot), PageCursor::default(), |record| {
            if record.visible(wall_ms).is_some() && glob::matches(pattern, record.key) {
                found.push(record.key.to_vec());
            }
            true
        });
    }
    reply.array(found.len());
    found.iter().for_each(|key| reply.bulk(key));
}

/// RANDOMKEY: some key of the first slot from a random one on that has any.
pub(super) fn random_key(
    store: &Store,
    db: Db,
    rng: &mut Rng,
    wall_ms: u64,
    reply: &mut ReplyWriter<'_>,
) {
    let slots = u64::from(store.slots());
    let from = rng.below(slots);
    for slot in (0..slots).map(|step| Slot(((from + step) % slots) as u32)) {
        let skip = rng.below(store.slot_len(db, slot).max(1) as u64);
        let (mut seen, mut chosen) = (0, None);
        store.page(db, slot, PageCursor::default(), |record| {
            if record.visible(wall_ms).is_some() {
                chosen = Some(record.key.to_vec());
            }
            seen += 1;
            chosen.is_none() || seen <= skip
        });
        if let Some(key) = chosen {
            return reply.bulk(&key);
        }
    }
    reply.null();
}
