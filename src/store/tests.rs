//! The store against a map that does the same by brute force.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::record::NodeId;

const SLOTS: u32 = 4;

fn store() -> Store {
    Store::new(SLOTS, 11, 22)
}

#[derive(Clone, Debug)]
struct Owned {
    db: Db,
    key: Vec<u8>,
    version: Version,
    value: Option<Vec<u8>>,
}

impl Owned {
    fn record(&self) -> Record<'_> {
        let value = self.value.as_deref();
        Record { db: self.db, key: &self.key, version: self.version, expires_at_ms: None, value }
    }
}

/// Records as they occur: few keys, and one body per version, since a version names its body.
fn record() -> impl Strategy<Value = Owned> {
    (0..3_u8, 0..12_u8, 1..40_u64, 0..3_u16).prop_map(|(db, key, hlc, node)| {
        let version = Version::stamp(hlc, NodeId(node), 1);
        let body = xxh3_64_with_seed(&[key, hlc as u8, node as u8], 0);
        let value =
            (!body.is_multiple_of(3)).then(|| body.to_le_bytes()[..(body % 8) as usize].to_vec());
        Owned { db: Db::new(db).expect("below 3"), key: vec![b'k', key], version, value }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Merge(Owned),
    Flush(Db, u64),
    /// Of the held version if it is exact, otherwise of one beside it.
    Remove {
        db: Db,
        key: Vec<u8>,
        exact: bool,
    },
}

/// What replicas may do in any order.
fn step() -> impl Strategy<Value = Step> {
    let flush = (0..3_u8, 1..30_u64);
    prop_oneof![
        12 => record().prop_map(Step::Merge),
        1 => flush.prop_map(|(db, hlc)| Step::Flush(Db::new(db).expect("below 3"), hlc)),
    ]
}

fn step_or_removal() -> impl Strategy<Value = Step> {
    let removal = (record(), any::<bool>());
    let removal = removal.prop_map(|(of, exact)| Step::Remove { db: of.db, key: of.key, exact });
    prop_oneof![2 => step(), 1 => removal]
}

fn apply(store: &mut Store, step: &Step) {
    match step {
        Step::Merge(record) => {
            store.merge(&record.record());
        }
        Step::Flush(db, hlc) => {
            store.flush(*db, Version::stamp(*hlc, NodeId(9), 1));
        }
        Step::Remove { db, key, exact } => {
            let Some(held) = store.get(*db, key) else { return };
            let version = beside(held.version, *exact);
            assert_eq!(store.remove(*db, key, version), *exact);
        }
    }
}

fn beside(version: Version, exact: bool) -> Version {
    if exact { version } else { Version::from_bits(version.to_bits() ^ 1) }
}

/// Everything that replicas compare and users read.
/// A record taken apart.
type Row = (Db, Vec<u8>, Version, Option<Vec<u8>>);

fn image(store: &Store) -> Vec<Row> {
    let mut all = Vec::new();
    for db in Db::ALL {
        let records = store.records(db);
        all.extend(records.map(|r| (db, r.key.to_vec(), r.version, r.value.map(<[u8]>::to_vec))));
    }
    all.sort();
    all
}

proptest! {
    #[test]
    fn merging_commutes_associates_and_repeats(
        steps in proptest::collection::vec(step(), 0..60),
        order in any::<u64>(),
        repeat in any::<proptest::sample::Index>(),
    ) {
        let mut straight = store();
        steps.iter().for_each(|step| apply(&mut straight, step));
        straight.check();

        let mut shuffled = steps.clone();
        shuffled.sort_by_key(|step| xxh3_64_with_seed(format!("{step:?}").as_bytes(), order));
        if !steps.is_empty() {
            shuffled.extend_from_within(..repeat.index(steps.len()));
        }
        let mut other = store();
        shuffled.iter().for_each(|step| apply(&mut other, step));
        other.check();

        prop_assert_eq!(image(&straight), image(&other));
        for db in Db::ALL {
            prop_assert_eq!(straight.digest(db, 0, SLOTS), other.digest(db, 0, SLOTS));
        }
        // Two halves merged apart and then into each other are the same again.
        let (left, right) = steps.split_at(steps.len() / 2);
        let (mut a, mut b) = (store(), store());
        left.iter().for_each(|step| apply(&mut a, step));
        right.iter().for_each(|step| apply(&mut b, step));
        for db in Db::ALL {
            a.flush(db, b.flushed(db));
            b.records(db).for_each(|record| { a.merge(&record); });
        }
        prop_assert_eq!(image(&straight), image(&a));
    }

    #[test]
    fn agrees_with_a_plain_map(steps in proptest::collection::vec(step_or_removal(), 0..80)) {
        let mut store = store();
        let mut map: BTreeMap<(Db, Vec<u8>), Owned> = BTreeMap::new();
        let mut flushed = [Version::NONE; Db::COUNT];
        for step in &steps {
            apply(&mut store, step);
            match step {
                Step::Merge(record) => {
                    let key = (record.db, record.key.clone());
                    let held = map.get(&key).map_or(Version::NONE, |held| held.version);
                    if record.version > held && record.version > flushed[record.db.index()] {
                        map.insert(key, record.clone());
                    }
                }
                Step::Flush(db, hlc) => {
                    let stamp = Version::stamp(*hlc, NodeId(9), 1);
                    flushed[db.index()] = flushed[db.index()].max(stamp);
                    map.retain(|(of, _), held| of != db || held.version > stamp);
                }
                Step::Remove { db, key, exact } => {
                    if *exact {
                        map.remove(&(*db, key.clone()));
                    }
                }
            }
        }
        store.check();
        for ((db, key), held) in &map {
            prop_assert_eq!(store.get(*db, key), Some(held.record()));
        }
        for db in Db::ALL {
            let live = map.iter().filter(|((of, _), held)| *of == db && held.value.is_some());
            prop_assert_eq!(store.live(db), live.count() as u64);
            let lengths = (0..SLOTS).map(|slot| store.slot_len(db, Slot(slot)));
            let held = map.keys().filter(|(of, _)| *of == db).count();
            prop_assert_eq!(lengths.sum::<usize>(), held);
        }
        prop_assert_eq!(image(&store).len(), map.len());
    }

    #[test]
    fn pages_show_every_record_once_when_nothing_changes(
        keys in proptest::collection::btree_set(any::<u16>(), 0..300),
        page in 1..20_usize,
        seed in Just(5_u64),
    ) {
        let mut store = Store::new(2, seed, seed);
        for key in &keys {
            let version = Version::stamp(u64::from(*key) + 1, NodeId(0), 1);
            let key = key.to_le_bytes();
            store.merge(&Record { db: Db::STRONG, key: &key, version, expires_at_ms: None, value: None });
        }
        let mut seen = Vec::new();
        for slot in 0..2 {
            let mut cursor = Some(PageCursor::default());
            while let Some(from) = cursor {
                let from = PageCursor::from_pair(from.to_pair());
                let mut left = page;
                cursor = store.page(Db::STRONG, Slot(slot), from, |record| {
                    seen.push(u16::from_le_bytes(record.key.try_into().expect("two bytes")));
                    left -= 1;
                    left > 0
                });
            }
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, keys.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn digests_tell_tombstones_and_versions_apart() {
    let version = |hlc| Version::stamp(hlc, NodeId(0), 1);
    let record = |hlc, value| Record {
        db: Db::STRONG,
        key: b"k",
        version: version(hlc),
        expires_at_ms: None,
        value,
    };
    let mut a = store();
    assert_eq!(a.digest(Db::STRONG, 0, SLOTS), 0);
    a.merge(&record(1, Some(b"v")));
    let first = a.digest(Db::STRONG, 0, SLOTS);
    a.merge(&record(2, None));
    let deleted = a.digest(Db::STRONG, 0, SLOTS);
    assert!(first != 0 && deleted != 0 && first != deleted);
    assert_eq!((a.live(Db::STRONG), a.tombstones(Db::STRONG)), (0, 1));
    assert_eq!(a.digest(Db::QUORUM, 0, SLOTS), 0);
}

/// The keys of a table of one slot, bucket by bucket.
fn buckets(store: &Store) -> Vec<Option<u32>> {
    let table = &store.databases[0].tables[0];
    let number = |blob: &Blob| u32::from_le_bytes(blob.key().try_into().expect("four bytes"));
    (0..table.num_buckets()).map(|at| table.get_bucket(at).map(number)).collect()
}

/// A removal amid many full buckets leaves a mark that takes up room. A table full of marks is put
/// in order again without growing, and a walk under way must not miss what that moves.
#[test]
fn pages_miss_nothing_that_a_table_moves_without_growing() {
    // Of 32 buckets 28 may be full, and 14 of them after such a clearing.
    const FULL: u32 = 28;
    const GOING: usize = 15;
    const GROUP: usize = 16;
    let version = |hlc| Version::stamp(hlc, NodeId(0), 1);
    let mut moved = [0, 0];
    for seed in 0..600 {
        let by_flush = seed % 2 == 1;
        let mut store = Store::new(1, 5, seed);
        let put = |store: &mut Store, key: u32, hlc| {
            let key = &key.to_le_bytes();
            let (db, version) = (Db::STRONG, version(hlc));
            store.merge(&Record { db, key, version, expires_at_ms: None, value: None })
        };
        (0..FULL).for_each(|key| assert!(put(&mut store, key, 1)));
        let before = buckets(&store);
        assert_eq!(before.len(), 32);
        let mut runs = before.split(Option::is_none);
        let Some(run) = runs.find(|run| run.len() >= GROUP) else { continue };
        let going: BTreeSet<u32> = run.iter().flatten().copied().take(GOING).collect();
        let stay: Vec<u32> = (0..FULL).filter(|key| !going.contains(key)).collect();
        // The same once more, now that it is known what a flush is to spare.
        let mut store = Store::new(1, 5, seed);
        for key in 0..FULL {
            put(&mut store, key, if going.contains(&key) { 1 } else { 2 });
        }
        assert_eq!(buckets(&store), before);

        let mut seen = BTreeSet::new();
        let mut left = 10;
        let middle = store.page(Db::STRONG, Slot(0), PageCursor::default(), |record| {
            seen.insert(u32::from_le_bytes(record.key.try_into().expect("four bytes")));
            left -= 1;
            left > 0
        });
        if by_flush {
            assert!(store.flush(Db::STRONG, version(1)));
        } else {
            let removed = |key: &u32| store.remove(Db::STRONG, &key.to_le_bytes(), version(1));
            assert!(going.iter().all(removed));
        }
        put(&mut store, FULL, 2);
        let after = buckets(&store);
        let place = |all: &[Option<u32>], key| all.iter().position(|held| *held == Some(key));
        let same = stay.iter().all(|key| place(&before, *key) == place(&after, *key));
        moved[usize::from(by_flush)] += u32::from(before.len() == after.len() && !same);
        let end = store.page(Db::STRONG, Slot(0), middle.expect("not the end"), |record| {
            seen.insert(u32::from_le_bytes(record.key.try_into().expect("four bytes")));
            true
        });
        assert_eq!(end, None);
        assert!(stay.iter().all(|key| seen.contains(key)), "a walk missed a record, seed {seed}");
        store.check();
    }
    assert!(moved.iter().all(|tables| *tables > 20), "{moved:?} tables moved records in place");
}

#[test]
fn removal_takes_exactly_one_version_and_remembers_nothing() {
    let version = |hlc| Version::stamp(hlc, NodeId(0), 1);
    let tombstone = |hlc| Record {
        db: Db::STRONG,
        key: b"k",
        version: version(hlc),
        expires_at_ms: None,
        value: None,
    };
    let mut store = store();
    store.merge(&tombstone(5));
    let slot = Slot::of(b"k", SLOTS);
    assert!(
        !store.remove(Db::STRONG, b"k", version(4)) && !store.remove(Db::STRONG, b"k", version(6))
    );
    assert!(
        !store.remove(Db::QUORUM, b"k", version(5)) && !store.remove(Db::STRONG, b"j", version(5))
    );
    assert_eq!((store.slot_len(Db::STRONG, slot), store.tombstones(Db::STRONG)), (1, 1));
    assert!(store.remove(Db::STRONG, b"k", version(5)));
    assert!(!store.remove(Db::STRONG, b"k", version(5)));
    assert_eq!((store.slot_len(Db::STRONG, slot), store.tombstones(Db::STRONG)), (0, 0));
    assert_eq!(store.digest(Db::STRONG, 0, SLOTS), 0);
    assert!(store.merge(&tombstone(3)), "an older one is kept again");
    store.check();
    assert_eq!(store.slot_len(Db::STRONG, Slot(SLOTS)), 0);
}

#[test]
fn cursors_from_elsewhere_begin_or_end_a_walk() {
    let mut store = Store::new(1, 5, 6);
    let version = Version::stamp(1, NodeId(0), 1);
    let record = Record { db: Db::STRONG, key: b"k", version, expires_at_ms: None, value: None };
    store.merge(&record);
    let seen = |pair| {
        let mut seen = 0;
        let from = PageCursor::from_pair(pair);
        let end = store.page(Db::STRONG, Slot(0), from, |_| {
            seen += 1;
            true
        });
        assert_eq!(end, None);
        seen
    };
    assert_eq!([seen((0, 0)), seen((u64::MAX, u64::MAX)), seen((7, 1))], [1, 1, 1]);
    let layout = store.databases[0].tables[0].num_buckets() as u64;
    assert_eq!([seen((layout, 0)), seen((layout, u64::MAX))], [1, 0]);
}
