//! The search for an order that explains a history, for any model.
//!
//! After J. M. Wing and C. Gong, "Testing and verifying concurrent objects", Journal of Parallel
//! and Distributed Computing 17, 1993, with the memory of G. Lowe, "Testing for linearizability",
//! Concurrency and Computation: Practice and Experience 29(4), 2017.
//!
//! The starts and ends of all operations stand in a list by time. Any operation whose start stands
//! before the first end in the list may be the next to take effect: nothing left ended before it.
//! One is tried; if its answer is the one the client saw, its start and end leave the list, and the
//! search goes on from the front. At an end, the operation it belongs to should have been taken
//! already, so the last choice is put back and the next one tried. Lowe's addition: the same *set*
//! of operations taken with the same state has the same future, whatever the order was, so each
//! such pair is visited once.
//!
//! Pending operations have a start but no end in the list: they may be taken at any time or left. Of
//! pending operations that ask for the same, the one that started first is taken first: whatever
//! another one could explain, it could. And one is taken only if the operation taken next notices it,
//! by its answer or by what it leaves behind: else the order would be as good without it.
//! An operation is not taken before the one that its client sent before it.
//! The search is over when no end is left. It loops rather than recurses, as histories may be long.
//!
//! What is not here: Lowe's just-in-time variants, and splitting a history at moments without open
//! operations. With few operations open at once the search is nearly linear anyway.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use xxhash_rust::xxh3::Xxh3Default;

use super::{
    Verdict, Violation,
    history::{History, Operation},
    model::Model,
};

/// How long a search may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Pairs of (operations taken, state) to visit. Bounds the memory, as every pair is kept, and
    /// the time, as every pair tries the operations that are open then.
    pub visits_max: usize,
}

impl Default for Budget {
    /// Ten thousand operations of eight clients took 20,000 to 40,000 visits when they were
    /// linearizable, and 200,000 when the last one was not.
    fn default() -> Self {
        Self { visits_max: 1_000_000 }
    }
}

/// Looks for an order that explains the history.
pub fn check<M: Model>(history: &History<M>, budget: &Budget) -> Verdict {
    check_with(history, budget, &Rules::ALL)
}

/// What makes the search right; the tests leave out one at a time to show that their histories
/// would tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A pending operation may take effect.
    pub(super) pending_acts: bool,
    /// An operation that ended is taken before one that started later.
    pub(super) real_time: bool,
    /// The same operations taken with another state are another future.
    pub(super) state_matters: bool,
}

impl Rules {
    pub(super) const ALL: Self = Self { pending_acts: true, real_time: true, state_matters: true };
}

pub(super) fn check_with<M: Model>(
    history: &History<M>,
    budget: &Budget,
    rules: &Rules,
) -> Verdict {
    let mut search = Search::new(history, rules);
    loop {
        if search.ends_left == 0 {
            return Verdict::Linearizable;
        }
        if search.visited.len() >= budget.visits_max {
            return Verdict::Unknown;
        }
        let entry = search.timeline.entries[search.cursor];
        match entry {
            Entry::Start(operation) if search.maybe_take(operation) => {}
            Entry::Start(_) => search.skip(),
            Entry::End(_) if !rules.real_time => search.skip(),
            Entry::End(operation) => {
                search.on_stuck(operation);
                if !search.put_back() {
                    return Verdict::Violation(search.violation());
                }
            }
            Entry::Tail => {
                if !search.put_back() {
                    return Verdict::Violation(search.violation());
                }
            }
        }
    }
}

/// An operation taken, and what was known before.
struct Choice<S> {
    index: usize,
    state: S,
    without_last: Option<S>,
}

struct Search<'a, M: Model> {
    history: &'a History<M>,
    rules: &'a Rules,
    timeline: Timeline,
    /// Of each pending operation, the one before it that asks for the same.
    twins: Vec<Option<usize>>,
    /// Of each operation that ended, the one that its client sent before it.
    earlier: Vec<Option<usize>>,
    /// The entry to look at next.
    cursor: usize,
    /// Completed operations not yet taken.
    ends_left: usize,
    /// The state after the operations taken.
    state: M::State,
    /// The operations taken.
    taken: Taken,
    /// The operations taken in order, each with the state it found.
    choices: Vec<Choice<M::State>>,
    /// The last operation taken is pending; the state without it.
    without_last: Option<M::State>,
    /// The hash of every pair that was visited: 128 bits, of which no two are ever the same.
    visited: HashSet<u128, BuildHasherDefault<Plain>>,
    /// The furthest that the search came.
    furthest: Option<Stuck<M>>,
}

/// A place where an operation could not be explained.
struct Stuck<M: Model> {
    taken: usize,
    operation: usize,
    state: M::State,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(history: &'a History<M>, rules: &'a Rules) -> Self {
        let timeline = Timeline::new(history);
        let operations = history.operations();
        Self {
            history,
            rules,
            twins: twins(operations),
            earlier: earlier(operations),
            cursor: timeline.first(),
            timeline,
            ends_left: operations.iter().filter(|operation| operation.end.is_some()).count(),
            state: M::initial(),
            taken: Taken::new(history),
            choices: Vec::new(),
            without_last: None,
            visited: HashSet::default(),
            furthest: None,
        }
    }

    /// Takes the operation next if its answer fits and that leads to a pair not yet visited.
    fn maybe_take(&mut self, index: usize) -> bool {
        let operation = &self.history.operations()[index];
        let (state, answer) = M::step(&self.state, &operation.op);
        if operation.outcome.as_ref().is_some_and(|seen| *seen != answer) {
            return false;
        }
        // A pending operation that changes nothing is as good left out.
        let pending = operation.end.is_none();
        if pending && (state == self.state || !self.rules.pending_acts) {
            return false;
        }
        let before = [self.twins[index], self.earlier[index]];
        if before.into_iter().flatten().any(|other| !self.taken.contains(other)) {
            return false;
        }
        if let Some(without) = &self.without_last
            && M::step(without, &operation.op) == (state.clone(), answer)
        {
            return false;
        }
        self.taken.flip(index);
        let without_last = pending.then(|| self.state.clone());
        if !self.visited.insert(self.name(&state, without_last.as_ref())) {
            self.taken.flip(index);
            return false;
        }
        self.timeline.unlink(index);
        self.choices.push(Choice {
            index,
            state: std::mem::replace(&mut self.state, state),
            without_last: std::mem::replace(&mut self.without_last, without_last),
        });
        self.ends_left -= usize::from(!pending);
        self.cursor = self.timeline.first();
        true
    }

    /// The operations taken and all that what follows depends on.
    fn name(&self, state: &M::State, without_last: Option<&M::State>) -> u128 {
        let mut hasher = Xxh3Default::new();
        if self.rules.state_matters {
            state.hash(&mut hasher);
        }
        without_last.hash(&mut hasher);
        hasher.write_u128(self.taken.hash);
        hasher.digest128()
    }

    fn skip(&mut self) {
        self.cursor = self.timeline.next[self.cursor];
    }

    /// Undoes the last choice and looks at what follows it; false when there is none.
    fn put_back(&mut self) -> bool {
        let Some(Choice { index, state, without_last }) = self.choices.pop() else { return false };
        (self.state, self.without_last) = (state, without_last);
        self.taken.flip(index);
        self.timeline.relink(index);
        self.ends_left += usize::from(self.history.operations()[index].end.is_some());
        self.cursor = self.timeline.next[self.timeline.start_of[index]];
        true
    }

    fn on_stuck(&mut self, operation: usize) {
        let taken = self.choices.len();
        if self.furthest.as_ref().is_none_or(|furthest| furthest.taken < taken) {
            self.furthest = Some(Stuck { taken, operation, state: self.state.clone() });
        }
    }

    fn violation(&self) -> Violation {
        let operations = self.history.operations();
        let Some(Stuck { taken, operation, state }) = &self.furthest else {
            let reason = "no order explains the answers, even without regard to time".to_owned();
            return Violation { operations: Vec::new(), reason };
        };
        let reason = format!(
            "no order explains all {} operations: the longest explains {taken}, with the state \
             {state:?} then, and cannot place {} before what started after it",
            operations.len(),
            operations[*operation],
        );
        Violation { operations: vec![*operation], reason }
    }
}

/// Of each pending operation, the last one that started before it and asks for the same.
fn twins<M: Model>(operations: &[Operation<M>]) -> Vec<Option<usize>> {
    let pending = operations.iter().enumerate().filter(|(_, operation)| operation.end.is_none());
    let mut pending: Vec<usize> = pending.map(|(index, _)| index).collect();
    pending.sort_by_key(|index| operations[*index].start);
    let mut twins = vec![None; operations.len()];
    for (place, index) in pending.iter().enumerate() {
        let same = |other: &&usize| operations[**other].op == operations[*index].op;
        twins[*index] = pending[..place].iter().rev().find(same).copied();
    }
    twins
}

/// Of each operation that ended, the last one of its client before it that did.
fn earlier<M: Model>(operations: &[Operation<M>]) -> Vec<Option<usize>> {
    let mut last = BTreeMap::new();
    let ended = |operation: &Operation<M>| operation.end.and(operation.client);
    let each = operations.iter().enumerate();
    each.map(|(index, operation)| ended(operation).and_then(|client| last.insert(client, index)))
        .collect()
}

/// What happens at a point of the timeline.
#[derive(Clone, Copy, Debug)]
enum Entry {
    End(usize),
    Start(usize),
    Tail,
}

/// The starts and ends of the operations not taken: a doubly linked list by time, in which the
/// entries keep their places, so that unlinking can be undone in reverse.
struct Timeline {
    /// Sorted by time, at equal times the starts first; the tail is last.
    entries: Vec<Entry>,
    /// The following entry of the list.
    next: Vec<usize>,
    /// The preceding entry of the list. The head shares the tail's place.
    previous: Vec<usize>,
    /// Where an operation starts.
    start_of: Vec<usize>,
    /// Where it ends, if it does.
    end_of: Vec<Option<usize>>,
}

impl Timeline {
    fn new<M: Model>(history: &History<M>) -> Self {
        let operations = history.operations();
        let mut events = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            events.push((operation.start, false, index));
            events.extend(operation.end.map(|end| (end, true, index)));
        }
        events.sort_unstable();
        let tail = events.len();
        let mut start_of = vec![tail; operations.len()];
        let mut end_of = vec![None; operations.len()];
        let mut entries = Vec::with_capacity(tail + 1);
        for (place, &(_, is_end, index)) in events.iter().enumerate() {
            if is_end {
                end_of[index] = Some(place);
                entries.push(Entry::End(index));
            } else {
                start_of[index] = place;
                entries.push(Entry::Start(index));
            }
        }
        entries.push(Entry::Tail);
        let ring = tail + 1;
        let next = (0..ring).map(|place| (place + 1) % ring).collect();
        let previous = (0..ring).map(|place| (place + tail) % ring).collect();
        Self { entries, next, previous, start_of, end_of }
    }

    /// The first entry: the list is a ring, closed by the tail.
    fn first(&self) -> usize {
        self.next[self.entries.len() - 1]
    }

    fn unlink(&mut self, operation: usize) {
        for place in [Some(self.start_of[operation]), self.end_of[operation]].into_iter().flatten()
        {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    /// Undoes the last [`unlink`](Self::unlink) that is not undone.
    fn relink(&mut self, operation: usize) {
        for place in [self.end_of[operation], Some(self.start_of[operation])].into_iter().flatten()
        {
            let (previous, next) = (self.previous[place], self.next[place]);
            self.next[previous] = place;
            self.previous[next] = place;
        }
    }
}

/// A set of operations.
struct Taken {
    taken: Vec<bool>,
    /// The names of those in it, one over the other.
    hash: u128,
}

impl Taken {
    fn new<M: Model>(history: &History<M>) -> Self {
        Self { taken: vec![false; history.operations().len()], hash: 0 }
    }

    fn flip(&mut self, operation: usize) {
        self.taken[operation] = !self.taken[operation];
        // Two rounds of SplitMix64 (Steele, Lea, Flood 2014).
        let high = mix(operation as u64);
        self.hash ^= u128::from(high) << 64 | u128::from(mix(high));
    }

    fn contains(&self, operation: usize) -> bool {
        self.taken[operation]
    }
}

const fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// Hashes are spread already.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}
