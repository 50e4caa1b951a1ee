//! Looks at all keys of this node's copy: SCAN, KEYS, RANDOMKEY.
//!
//! SCAN walks slot by slot. Its cursor is a number that says slot, place in the slot's table, and a
//! few bits of how the table was laid out; when that has changed the slot begins again, so that a
//! key that is there all the time is shown once at least, whatever is written meanwhile.
//!
//! KEYS does the same by itself, over several turns. It shows a key that is there all the time just
//! once, and one that comes or goes meanwhile or not.

use crate::{
    buffer::OutBuf,
    command::glob,
    probe::{Mutant, claims::Found, planted},
    proto::{Style, reply::ReplyWriter},
    record::{Db, Record},
    rng::Rng,
    slot::Slot,
    store::{PageCursor, Store},
};

/// Records that one SCAN looks at, whatever COUNT says: one or two milliseconds of work.
const SCANNED_MAX: u64 = 2048;
/// Records that a KEYS or RANDOMKEY looks at a turn: less than a millisecond of work.
const SEARCHED_PER_TURN: usize = 4096;
/// Bytes of keys that a KEYS may find: what one client may make the node hold for one answer.
const FOUND_SIZE_MAX: usize = 64 * 1024 * 1024;

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
        let moved = layout_bits(layout) != self.cursor >> PLACE_BITS & 0xffff;
        if place == 0 || (moved && !planted(Mutant::ScanSkips)) {
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

/// A walk of one database, some records a turn.
#[derive(Clone, Debug, Hash)]
struct Walk {
    db: Db,
    /// Slots that were walked, counted from the one where the walk began.
    done: u32,
    from: u32,
    page: PageCursor,
}

impl Walk {
    fn new(db: Db, from: u32) -> Self {
        Self { db, done: 0, from, page: PageCursor::default() }
    }

    /// The slot that is walked; nothing when all were.
    const fn slot(&self, store: &Store) -> Option<Slot> {
        let slots = store.slots();
        if self.done < slots { Some(Slot((self.from + self.done) % slots)) } else { None }
    }

    /// Shows `visit` some records of the slot that is walked, as long as it returns true. Whether
    /// the slot is done.
    fn step(&mut self, store: &Store, visit: impl FnMut(Record<'_>) -> bool) -> bool {
        let Some(slot) = self.slot(store) else { return true };
        match store.page(self.db, slot, self.page, visit) {
            Some(rest) => self.page = rest,
            None => {
                self.done += 1;
                self.page = PageCursor::default();
                return true;
            }
        }
        false
    }

    /// Whether the slot that is walked must begin again, for its table has moved its records.
    fn is_outdated(&self, store: &Store) -> bool {
        let begun = self.page != PageCursor::default();
        begun && self.slot(store).is_some_and(|slot| !self.page.is_of(store.layout(self.db, slot)))
    }
}

/// A KEYS under way. Its answer is written as it is found, so that the end of it is no work.
#[derive(Clone, Debug, Hash)]
pub(crate) struct KeySearch {
    walk: Walk,
    pattern: Box<[u8]>,
    style: Style,
    /// What was found: how many keys, and their part of the answer.
    count: usize,
    found: OutBuf,
    /// The same before the slot that is walked.
    before_slot: (usize, usize),
    too_much: bool,
    claims: Found,
}

impl KeySearch {
    pub(crate) fn new(db: Db, pattern: &[u8], style: Style) -> Self {
        let (found, pattern) = (OutBuf::new(), pattern.into());
        let (count, before_slot) = (0, (0, 0));
        let walk = Walk::new(db, 0);
        let claims = Found::default();
        Self { walk, pattern, style, count, found, before_slot, too_much: false, claims }
    }

    /// Bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        self.found.len()
    }

    /// Looks at some more records. Whether it is through.
    pub(crate) fn step(&mut self, store: &Store, wall_ms: u64) -> bool {
        let mut left = SEARCHED_PER_TURN;
        if self.walk.is_outdated(store) {
            let (count, size) = self.before_slot;
            self.count = count;
            self.found.tail().truncate(size);
        }
        while left > 0 && self.walk.slot(store).is_some() {
            let Self { walk, pattern, style, count, found, claims, .. } = self;
            let db = walk.db.number();
            let slot_done = walk.step(store, |record| {
                left -= 1;
                if record.visible(wall_ms).is_some() && glob::matches(pattern, record.key) {
                    *count += 1;
                    ReplyWriter::new(found, *style).bulk(record.key);
                    claims.push(db, record.key, record.version.to_bits());
                }
                left > 0
            });
            if slot_done {
                self.before_slot = (self.count, self.found.len());
            }
            if self.found.len() > FOUND_SIZE_MAX {
                self.too_much = true;
                return true;
            }
        }
        self.walk.slot(store).is_none()
    }

    /// Writes the answer.
    pub(crate) fn write(&self, reply: &mut ReplyWriter<'_>) {
        if self.too_much {
            return reply.error(format_args!(
                "ERR KEYS answers with {FOUND_SIZE_MAX} bytes at most, and more match; use SCAN"
            ));
        }
        self.claims.told();
        reply.array_of(self.count, self.found.pending());
    }
}

/// A RANDOMKEY under way: some key of the first slot from a random one on that has any.
#[derive(Clone, Debug, Hash)]
pub(crate) struct RandomSearch {
    walk: Walk,
    /// Records to pass over in the slot that is walked, if it has so many that are visible.
    skip: u64,
    rng: Rng,
    /// Visible ones that were passed over.
    passed: u64,
    chosen: Option<Vec<u8>>,
}

impl RandomSearch {
    pub(crate) fn new(store: &Store, db: Db, rng: &mut Rng) -> Self {
        let from = rng.below(u64::from(store.slots())) as u32;
        let mut search = Self {
            walk: Walk::new(db, from),
            skip: 0,
            rng: Rng::new(rng.bits()),
            passed: 0,
            chosen: None,
        };
        search.begin_slot(store);
        search
    }

    fn begin_slot(&mut self, store: &Store) {
        let slot = self.walk.slot(store);
        let len = slot.map_or(0, |slot| store.slot_len(self.walk.db, slot));
        (self.skip, self.passed) = (self.rng.below(len.max(1) as u64), 0);
    }

    /// Looks at some more records. Whether a key is chosen, or known that there is none.
    pub(crate) fn step(&mut self, store: &Store, wall_ms: u64) -> bool {
        if store.live(self.walk.db) == 0 {
            self.chosen = None;
            return true;
        }
        let mut left = SEARCHED_PER_TURN;
        while left > 0 {
            if self.walk.slot(store).is_none() {
                return true;
            }
            let Self { walk, skip, passed, chosen, .. } = self;
            let slot_done = walk.step(store, |record| {
                left -= 1;
                if record.visible(wall_ms).is_some() {
                    *chosen = Some(record.key.to_vec());
                    *passed += 1;
                }
                left > 0 && *passed <= *skip
            });
            let enough = self.passed > self.skip;
            if (slot_done || enough) && self.chosen.is_some() {
                return true;
            }
            if slot_done {
                self.begin_slot(store);
            }
        }
        false
    }

    /// Writes the answer.
    pub(crate) fn write(&self, reply: &mut ReplyWriter<'_>) {
        match &self.chosen {
            Some(key) => reply.bulk(key),
            None => reply.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NodeId, Version};

    const DB: Db = Db::EVENTUAL;

    fn put(store: &mut Store, key: usize, value: Option<&[u8]>) {
        let key = format!("k{key}");
        let held = store.get(DB, key.as_bytes()).map_or(0, |held| held.version.hlc());
        let version = Version::stamp(held + 1, NodeId(0), 1);
        store.merge(&Record { db: DB, key: key.as_bytes(), version, expires_at_ms: None, value });
    }

    #[test]
    fn keys_shows_what_is_there_all_the_time_once_though_tables_grow() {
        let mut store = Store::new(4, 1, 2);
        (0..20_000).for_each(|key| put(&mut store, key, Some(b"v")));
        let mut search = KeySearch::new(DB, b"k*", Style::Plain);
        let (mut turns, mut next) = (0, 20_000);
        while !search.step(&store, 0) {
            turns += 1;
            (0..500).for_each(|more| put(&mut store, next + more, Some(b"v")));
            next += 500;
        }
        assert!(turns >= 20_000 / SEARCHED_PER_TURN, "bounded slices: {turns}");
        let text = String::from_utf8_lossy(search.found.pending());
        let mut found: Vec<&str> = text.lines().collect();
        let count = found.len();
        assert_eq!(count, search.count);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), count, "no key twice");
        for key in 0..20_000 {
            assert!(found.binary_search(&&*format!("k{key}")).is_ok());
        }
    }

    #[test]
    fn a_random_key_is_found_among_many_deleted_ones_in_bounded_slices() {
        let mut store = Store::new(4, 1, 2);
        (0..50_000).for_each(|key| put(&mut store, key, None));
        let mut rng = Rng::new(1);
        let mut nothing = RandomSearch::new(&store, DB, &mut rng);
        assert!(nothing.step(&store, 0) && nothing.chosen.is_none(), "known without a look");
        put(&mut store, 77, Some(b"v"));
        let mut turns = Vec::new();
        for _ in 0..20 {
            let mut search = RandomSearch::new(&store, DB, &mut rng);
            let mut count = 1;
            while !search.step(&store, 0) {
                count += 1;
            }
            assert_eq!(search.chosen.as_deref(), Some(&b"k77"[..]));
            turns.push(count);
        }
        assert!(turns.iter().any(|turns| *turns > 1), "{turns:?}");
    }
}
