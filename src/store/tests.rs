//! The store against a map that does the same by brute force.

use std::collections::BTreeMap;

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
    Remove(Owned),
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
    prop_oneof![3 => step(), 1 => record().prop_map(Step::Remove)]
}

fn apply(store: &mut Store, step: &Step) {
    match step {
        Step::Merge(record) => {
            store.merge(&record.record());
        }
        Step::Flush(db, hlc) => {
            store.flush(*db, Version::stamp(*hlc, NodeId(9), 1));
        }
        Step::Remove(record) => {
            store.remove(record.db, &record.key, record.version);
        }
    }
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
                Step::Remove(record) => {
                    let key = (record.db, record.key.clone());
                    if map.get(&key).is_some_and(|held| held.version == record.version) {
                        map.remove(&key);
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
