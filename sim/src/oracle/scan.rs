//! SCAN, KEYS and DBSIZE speak of one node's copy, and miss nothing in it.
//!
//! An iteration of SCAN goes from cursor 0 to cursor 0, on one connection and so in one life of the
//! node. A key that the node held all the time, from before the first request was sent until after
//! the last reply had come, is shown once at least; one that nobody had asked to be written is not.
//! KEYS is an iteration in one request, and shows no key twice. DBSIZE counts no fewer keys than
//! were there all the time, and no more than were ever written.
//!
//! What a node held all the time is told by its replica, where the driver can look into it
//! ([`Watches`]), in all databases. Besides, as long as no node loses what was durable, these must be
//! there unless somebody deletes or flushes them: in databases 1 and 2 what the node acknowledged
//! itself, since it stamps its writes into its own copy, and what it has shown of that copy; in
//! database 0 what was acknowledged where the node is alone. Elsewhere a majority has it, of which the
//! node need not be one, and what a node shows of its copy may be a leftover that goes again.

use std::collections::{BTreeMap, BTreeSet};

use quorate::{
    record::{Db, Version},
    store::Store,
};

use super::{Failure, Observed};
use crate::{
    case::Op,
    history::{Entry, Outcome},
};

const ORACLE: &str = "scan";

/// What a node held all the time of an iteration, by key: whether it was written meanwhile.
pub type Held = BTreeMap<Vec<u8>, bool>;

/// Looks at replicas while somebody goes through them.
#[derive(Debug, Default)]
pub struct Watches {
    open: Vec<Watch>,
    /// By the last entry of each iteration.
    done: BTreeMap<usize, Held>,
}

#[derive(Debug)]
struct Watch {
    /// The entry that began it; a SCAN goes on with others.
    begun: usize,
    goes_on: bool,
    client: usize,
    node: usize,
    db: Db,
    digest: u128,
    held: BTreeMap<Vec<u8>, (Version, bool)>,
}

impl Watches {
    /// A client is about to send what is the entry `index` of the history.
    pub fn on_asked(&mut self, index: usize, entry: &Entry, store: Option<&Store>) {
        let goes_on = match entry.op {
            Op::Scan { cursor: 0, .. } => true,
            Op::DbSize | Op::Keys { .. } => false,
            _ => return,
        };
        self.open.retain(|watch| !(watch.client == entry.client && watch.goes_on && goes_on));
        let (Some(store), Some(db)) = (store, Db::ALL.get(usize::from(entry.db))) else { return };
        // What has an end is not counted on.
        let lasting = store
            .records(*db)
            .filter(|record| record.value.is_some() && record.expires_at_ms.is_none());
        let held = lasting.map(|record| (record.key.to_vec(), (record.version, false))).collect();
        let digest = store.digest(*db, 0, store.slots());
        let (begun, client, node, db) = (index, entry.client, entry.node, *db);
        self.open.push(Watch { begun, goes_on, client, node, db, digest, held });
    }

    /// A turn of a node is over.
    pub fn sample(&mut self, node: usize, store: &Store) {
        for watch in self.open.iter_mut().filter(|watch| watch.node == node) {
            let digest = store.digest(watch.db, 0, store.slots());
            if digest == watch.digest {
                continue;
            }
            watch.digest = digest;
            watch.held.retain(|key, (version, written)| {
                let record = store.get(watch.db, key);
                let record = record.filter(|record| record.value.is_some());
                let Some(record) = record.filter(|r| r.expires_at_ms.is_none()) else {
                    return false;
                };
                *written |= record.version != *version;
                *version = record.version;
                true
            });
        }
    }

    /// The reply to the entry `index` has come.
    pub fn on_answered(&mut self, index: usize, entry: &Entry) {
        let ends = match (&entry.op, &entry.outcome) {
            (Op::Scan { .. } | Op::Keys { .. }, Outcome::Page { next: 0, .. }) => true,
            (Op::DbSize, Outcome::Count(_)) => true,
            _ => return,
        };
        let goes_on = matches!(entry.op, Op::Scan { .. });
        let at = self.open.iter().position(|watch| {
            let begun = watch.begun == index || (goes_on && watch.goes_on);
            watch.client == entry.client && watch.node == entry.node && begun
        });
        if let Some(at) = at.filter(|_| ends) {
            let held = self.open.swap_remove(at).held;
            let held = held.into_iter().map(|(key, (_, written))| (key, written));
            self.done.insert(index, held.collect());
        }
    }

    /// A client's connection is over, and with it where it had come to.
    pub fn on_hung_up(&mut self, client: usize) {
        self.open.retain(|watch| watch.client != client);
    }

    /// A node's life is over.
    pub fn on_died(&mut self, node: usize) {
        self.open.retain(|watch| watch.node != node);
    }

    /// What nodes held all the time, by the last entry of each iteration.
    pub fn take(&mut self) -> BTreeMap<usize, Held> {
        std::mem::take(&mut self.done)
    }
}

/// Checks it.
///
/// # Errors
/// What was left out, or shown without having been there.
pub fn check(observed: &Observed) -> Result<(), Failure> {
    let iterations = iterations(&observed.history);
    let sizes = observed.history.iter().enumerate().filter(|(_, entry)| entry.op == Op::DbSize);
    let sizes: Vec<(usize, &Entry)> = sizes.collect();
    if iterations.is_empty() && sizes.is_empty() {
        return Ok(());
    }
    let known = Known::of(observed);
    for iteration in &iterations {
        known.check(observed, iteration)?;
    }
    for (index, entry) in sizes {
        let (Outcome::Count(count), Some(end_us)) = (&entry.outcome, entry.end_us) else {
            continue;
        };
        let there = known.owed(observed, (index, index)).len() as i64;
        let most = known.written_until(entry.db, end_us);
        if !(there..=most).contains(count) {
            let detail = format!(
                "n{} counted {count} keys in database {} for c{}; {there} were there all the time, \
                 and {most} had been written",
                entry.node, entry.db, entry.client
            );
            return Err(Failure::new(super::Kind::Safety, ORACLE, &detail));
        }
    }
    Ok(())
}

/// The entries of each iteration that came to its end, and of each that did not as far as it came.
fn iterations(history: &[Entry]) -> Vec<(Vec<usize>, bool)> {
    let mut found = Vec::new();
    let mut open: BTreeMap<usize, (u64, Vec<usize>)> = BTreeMap::new();
    for (index, entry) in history.iter().enumerate() {
        match (&entry.op, &entry.outcome) {
            (Op::Keys { .. }, Outcome::Page { .. }) => found.push((vec![index], true)),
            (Op::Scan { cursor, .. }, outcome) => {
                let begun = open.remove(&entry.client);
                let goes_on = begun.as_ref().is_some_and(|(next, entries)| {
                    let same = |last: &usize| history[*last].node == entry.node;
                    *cursor != 0 && next == cursor && entries.last().is_some_and(same)
                });
                let mut entries = Vec::new();
                match begun {
                    Some((_, before)) if goes_on => entries = before,
                    broken_off => found.extend(broken_off.map(|(_, before)| (before, false))),
                }
                let is_known = *cursor == 0 || goes_on;
                entries.push(index);
                match outcome {
                    Outcome::Page { next: 0, .. } => found.push((entries, is_known)),
                    Outcome::Page { next, .. } if is_known => {
                        open.insert(entry.client, (*next, entries));
                    }
                    _ => found.push((entries, false)),
                }
            }
            _ => {}
        }
    }
    found.extend(open.into_values().map(|(_, entries)| (entries, false)));
    found
}

/// What the history tells of keys.
struct Known<'h> {
    /// When somebody first asked for it to be written.
    written_us: BTreeMap<(u8, &'h [u8]), u64>,
    /// When somebody first asked for what may take it away.
    gone_us: BTreeMap<(u8, &'h [u8]), u64>,
    flushed_us: BTreeMap<u8, u64>,
    /// When a node is known to have it in its own copy, if nothing takes it away.
    there_us: BTreeMap<(u8, usize), BTreeMap<&'h [u8], u64>>,
}

impl<'h> Known<'h> {
    fn of(observed: &'h Observed) -> Self {
        let mut known = Self {
            written_us: BTreeMap::new(),
            gone_us: BTreeMap::new(),
            flushed_us: BTreeMap::new(),
            there_us: BTreeMap::new(),
        };
        let flushes = observed.history.iter().filter(|entry| entry.op == Op::FlushAll);
        for (entry, db) in flushes.flat_map(|entry| [0, 1, 2].map(|db| (entry, db))) {
            known.flushed_us.entry(db).or_insert(entry.start_us);
        }
        for entry in observed.history.iter().filter(|entry| entry.outcome != Outcome::Refused) {
            if entry.op == Op::FlushDb {
                let us = known.flushed_us.entry(entry.db).or_insert(entry.start_us);
                *us = entry.start_us.min(*us);
            }
            let keys = entry.op.keys();
            let keys = keys.into_iter().filter(|_| !entry.op.is_read());
            for key in keys.map(|key| (entry.db, key.as_bytes())) {
                if entry.op.deletes() {
                    known.gone_us.entry(key).or_insert(entry.start_us);
                }
                if !matches!(entry.op, Op::Del { .. } | Op::GetDel { .. } | Op::MDel { .. }) {
                    known.written_us.entry(key).or_insert(entry.start_us);
                }
            }
            known.learn(observed, entry);
        }
        known
    }

    /// What a reply tells of the copy of its node.
    fn learn(&mut self, observed: &Observed, entry: &'h Entry) {
        let Some(end_us) = entry.end_us else { return };
        let alone = observed.quorum == 1;
        let keys: Vec<&[u8]> = match (&entry.op, &entry.outcome) {
            (Op::Set { key, .. }, Outcome::Done) if entry.db != 0 || alone => vec![key.as_bytes()],
            (Op::Get { key }, Outcome::Value(_)) if entry.db == 2 => vec![key.as_bytes()],
            (Op::Keys { .. } | Op::Scan { .. }, Outcome::Page { keys, .. }) if entry.db != 0 => {
                keys.iter().map(Vec::as_slice).collect()
            }
            _ => return,
        };
        let there = self.there_us.entry((entry.db, entry.node)).or_default();
        for key in keys {
            there.entry(key).and_modify(|us| *us = end_us.min(*us)).or_insert(end_us);
        }
    }

    /// Whether anything may have taken a key away before a time.
    fn may_go(&self, db: u8, key: &[u8], until_us: u64) -> bool {
        let gone = self.gone_us.get(&(db, key)).into_iter().chain(self.flushed_us.get(&db));
        gone.min().is_some_and(|us| *us <= until_us)
    }

    fn written_until(&self, db: u8, until_us: u64) -> i64 {
        let of_db = self.written_us.range((db, &[][..])..).take_while(|((of, _), _)| *of == db);
        of_db.filter(|(_, us)| **us <= until_us).count() as i64
    }

    /// The keys that must be shown between the entries `first` and `last`.
    fn owed(&self, observed: &'h Observed, (first, last): (usize, usize)) -> BTreeSet<&'h [u8]> {
        let (first, end) = (&observed.history[first], &observed.history[last]);
        let (db, node, until_us) = (end.db, end.node, end.end_us.unwrap_or(u64::MAX));
        let held = observed.held.get(&last).into_iter().flatten();
        // Where it was written, it may have been gone between two looks.
        let held = held.filter(|(key, written)| !**written || !self.may_go(db, key, until_us));
        let mut owed: BTreeSet<&[u8]> = held.map(|(key, _)| key.as_slice()).collect();
        if observed.nodes_keep_memory {
            let there = self.there_us.get(&(db, node)).into_iter().flatten();
            let there = there.filter(|(_, us)| **us < first.start_us).map(|(key, _)| *key);
            owed.extend(there.filter(|key| !self.may_go(db, key, until_us)));
        }
        owed
    }

    fn check(&self, observed: &Observed, iteration: &(Vec<usize>, bool)) -> Result<(), Failure> {
        let (entries, whole) = iteration;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let mut shown: BTreeSet<&[u8]> = BTreeSet::new();
        let of = |key: &[u8], entry: &Entry, wrong: &str| {
            let detail = format!("n{} {wrong} c{}", entry.node, entry.client);
            Err(Failure::of_key(ORACLE, entry.db, key, detail))
        };
        for entry in entries.iter().map(|index| &observed.history[*index]) {
            let Outcome::Page { keys, .. } = &entry.outcome else { continue };
            for key in keys {
                let asked = |us: &u64| entry.end_us.is_some_and(|end_us| *us <= end_us);
                if !self.written_us.get(&(entry.db, key)).is_some_and(asked) {
                    return of(key, entry, "showed what nobody had written to");
                }
                if !key.starts_with(entry.op.prefix().unwrap_or_default().as_bytes()) {
                    return of(key, entry, "showed what was not asked for to");
                }
                if !shown.insert(key) && matches!(entry.op, Op::Keys { .. }) {
                    return of(key, entry, "showed it twice to");
                }
            }
        }
        let wanted = |key: &[u8]| {
            let mut prefixes = entries.iter().filter_map(|at| observed.history[*at].op.prefix());
            prefixes.all(|prefix| key.starts_with(prefix.as_bytes()))
        };
        let owed = if *whole { self.owed(observed, (*first, *last)) } else { BTreeSet::new() };
        let missing = owed.into_iter().find(|key| !shown.contains(key) && wanted(key));
        let Some(key) = missing else { return Ok(()) };
        let (begin, end) = (&observed.history[*first], &observed.history[*last]);
        let detail = format!(
            "n{} held it all the time and did not show it to c{}, who went through all keys from {} \
             to {} ms in {} requests",
            end.node,
            end.client,
            begin.start_us / 1000,
            end.end_us.unwrap_or_default() / 1000,
            entries.len()
        );
        Err(Failure::of_key(ORACLE, end.db, key, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::doctor;

    fn page(cursor: u64, next: u64, keys: &[&str], span: (u64, u64)) -> Entry {
        let op = Op::Scan { cursor, count: 2, prefix: String::new() };
        let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
        doctor::get("", 0, span, Outcome::Page { next, keys }).asking(op)
    }

    impl Entry {
        fn asking(self, op: Op) -> Self {
            Self { op, ..self }
        }
    }

    /// Two keys that n0 has acknowledged, one of n1, and what came of going through n0.
    fn told(pages: Vec<Entry>, more: Vec<Entry>) -> Option<String> {
        let mut history = vec![
            doctor::set("a", "v1", 0, (1, Some(5))),
            doctor::set("b", "v2", 0, (1, Some(5))),
            doctor::set("c", "v3", 1, (1, Some(5))),
        ];
        history.extend(more);
        history.extend(pages);
        judge(history, BTreeMap::new())
    }

    fn judge(history: Vec<Entry>, held: BTreeMap<usize, Held>) -> Option<String> {
        let nodes_keep_memory = held.is_empty();
        let observed =
            Observed { history, held, nodes_keep_memory, quorum: 2, ..Observed::default() };
        check(&observed).err().map(|failure| failure.to_string())
    }

    #[test]
    fn all_that_is_there_in_two_pages_is_fine() {
        assert_eq!(told(vec![page(0, 0, &["b", "a"], (10, 20))], vec![]), None);
        let pages = vec![page(0, 9, &["a"], (10, 20)), page(9, 0, &["a", "b", "c"], (30, 40))];
        assert_eq!(told(pages, vec![]), None);
    }

    #[test]
    fn a_key_that_is_left_out_is_missed() {
        let pages = vec![page(0, 9, &["a"], (10, 20)), page(9, 0, &["c"], (30, 40))];
        let why = told(pages.clone(), vec![]);
        assert!(why.is_some_and(|why| why.contains("key b in database 2")));
        // Deleted at a time that may matter, or flushed, or only written meanwhile.
        let del = doctor::del("b", 1, (35, 60), 1);
        assert_eq!(told(pages.clone(), vec![del]), None);
        let flush = doctor::set("", "", 1, (2, Some(4))).asking(Op::FlushDb);
        assert_eq!(told(pages.clone(), vec![flush]), None);
        let late = doctor::set("d", "v4", 0, (6, Some(11)));
        let all = vec![page(0, 9, &["a", "b"], (10, 20)), page(9, 0, &[], (30, 40))];
        assert_eq!(told(all, vec![late]), None);
    }

    #[test]
    fn an_iteration_that_was_broken_off_proves_nothing() {
        let pages = vec![page(0, 9, &["a"], (10, 20)), page(0, 0, &["a", "b"], (30, 40))];
        assert_eq!(told(pages, vec![]), None);
        assert_eq!(told(vec![page(7, 0, &["a"], (10, 20))], vec![]), None);
    }

    #[test]
    fn what_nobody_wrote_is_not_shown() {
        let why = told(vec![page(0, 3, &["x"], (10, 20))], vec![]);
        assert!(why.is_some_and(|why| why.contains("nobody had written")));
        let late = doctor::set("x", "v4", 0, (21, Some(25)));
        let why = told(vec![page(0, 3, &["x"], (10, 20))], vec![late]);
        assert!(why.is_some_and(|why| why.contains("nobody had written")));
    }

    #[test]
    fn what_was_shown_once_is_shown_again() {
        let pages = vec![page(0, 0, &["a", "b", "c"], (10, 20)), page(0, 0, &["a", "b"], (30, 40))];
        assert!(told(pages, vec![]).is_some_and(|why| why.contains("key c")));
    }

    #[test]
    fn keys_shows_each_key_once_and_dbsize_counts_them() {
        let keys =
            |keys: &[&str]| page(0, 0, keys, (10, 20)).asking(Op::Keys { prefix: String::new() });
        assert_eq!(told(vec![keys(&["a", "b"])], vec![]), None);
        assert!(told(vec![keys(&["a"])], vec![]).is_some_and(|why| why.contains("key b")));
        let why = told(vec![keys(&["a", "b", "a"])], vec![]);
        assert!(why.is_some_and(|why| why.contains("twice")));
        let size = |count| {
            let entry = doctor::get("", 0, (10, 20), Outcome::Count(count)).asking(Op::DbSize);
            told(vec![entry], vec![])
        };
        assert_eq!((size(2), size(3)), (None, None));
        assert!(size(1).is_some() && size(4).is_some());
    }

    #[test]
    fn only_what_was_asked_for_is_owed_and_shown() {
        let of = |prefix: &str, keys: &[&str]| {
            page(0, 0, keys, (10, 20)).asking(Op::Keys { prefix: prefix.to_owned() })
        };
        assert_eq!(told(vec![of("a", &["a"])], vec![]), None);
        let why = told(vec![of("a", &["a", "b"])], vec![]);
        assert!(why.is_some_and(|why| why.contains("not asked for")));
    }

    /// What the replica itself tells counts in the strong database, and when nodes have lost data.
    #[test]
    fn what_the_replica_held_all_the_time_is_owed() {
        let strong = |entry: Entry| Entry { db: 0, ..entry };
        let history = |keys: &[&str]| {
            let set = strong(doctor::set("k", "v1", 1, (1, Some(5))));
            vec![set, strong(page(0, 0, keys, (10, 20)))]
        };
        let held = |written| BTreeMap::from([(1, Held::from([(b"k".to_vec(), written)]))]);
        assert_eq!(judge(history(&[]), BTreeMap::new()), None);
        assert_eq!(judge(history(&["k"]), held(false)), None);
        assert!(judge(history(&[]), held(false)).is_some());
        assert!(judge(history(&[]), held(true)).is_some());
        let mut gone = history(&[]);
        gone.push(strong(doctor::del("k", 1, (12, 14), 1)));
        assert_eq!(judge(gone.clone(), held(true)), None);
        assert!(judge(gone, held(false)).is_some());
    }
}
