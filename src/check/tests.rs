//! Tests of the checkers: what they share.
//!
//! Histories are made in two ways. *Honest* ones come from a simulated key: each operation gets a
//! moment between its start and its end, and the answers are those of the operations one by one at
//! their moments. So they are linearizable by construction. *Perturbed* ones are honest ones with
//! one to three lies about answers or times; whether they are still linearizable is for the
//! checkers to say. Times are small numbers, so that operations often touch.

mod cases;
mod cross;

use std::mem::discriminant;

use super::{
    History, Model, Operation, Register, Value,
    model::{Counter, CounterOp, CounterOutcome, RegisterOp, RegisterOutcome},
};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A model that histories can be made of.
trait Sample: Model {
    /// An operation; the number is different for each operation of a history.
    fn pick(rng: &mut Rng, number: u64) -> Self::Op;

    /// Changes an answer.
    fn lie(rng: &mut Rng, outcome: &mut Self::Outcome);
}

impl Sample for Register {
    fn pick(rng: &mut Rng, number: u64) -> RegisterOp {
        if rng.below(5) < 3 { RegisterOp::Read } else { RegisterOp::Write(Value(number)) }
    }

    fn lie(rng: &mut Rng, outcome: &mut RegisterOutcome) {
        match outcome {
            RegisterOutcome::Deleted { existed } => *existed = !*existed,
            RegisterOutcome::Found(found) => {
                *found = if rng.chance(4) { None } else { Some(Value(rng.below(7))) };
            }
            RegisterOutcome::Written => {}
        }
    }
}

/// The register with deletes among its operations.
#[derive(Clone, Debug)]
struct Deleting;

impl Model for Deleting {
    type State = <Register as Model>::State;
    type Op = RegisterOp;
    type Outcome = RegisterOutcome;

    fn initial() -> Self::State {
        Register::initial()
    }

    fn step(state: &Self::State, op: &Self::Op) -> (Self::State, Self::Outcome) {
        Register::step(state, op)
    }
}

impl Sample for Deleting {
    fn pick(rng: &mut Rng, number: u64) -> RegisterOp {
        if rng.chance(5) { RegisterOp::Delete } else { Register::pick(rng, number) }
    }

    fn lie(rng: &mut Rng, outcome: &mut RegisterOutcome) {
        Register::lie(rng, outcome);
    }
}

/// The same history, of the plain register.
fn plain(operations: Vec<Operation<Deleting>>) -> History<Register> {
    let plain = |Operation { start, end, op, outcome, client }| Operation {
        start,
        end,
        op,
        outcome,
        client,
    };
    history(operations.into_iter().map(plain).collect())
}

impl Sample for Counter {
    fn pick(rng: &mut Rng, _number: u64) -> CounterOp {
        let to = rng.below(3).cast_signed();
        match rng.below(7) {
            0..=1 => CounterOp::Add(1 + to),
            2 => CounterOp::CompareAndSet { from: Some(rng.below(3).cast_signed()), to },
            3 => CounterOp::set_if_absent(to),
            4 => CounterOp::Delete,
            5 => CounterOp::Write(to),
            _ => CounterOp::Read,
        }
    }

    fn lie(rng: &mut Rng, outcome: &mut CounterOutcome) {
        match outcome {
            CounterOutcome::Changed(changed) => *changed = !*changed,
            CounterOutcome::Number(number) => *number = Some(rng.below(5).cast_signed()),
            CounterOutcome::Written => {}
        }
    }
}

fn history<M: Model>(operations: Vec<Operation<M>>) -> History<M> {
    let mut history = History::new();
    operations.into_iter().for_each(|operation| history.push(operation));
    history
}

/// An operation before it is answered.
struct Draft<M: Model> {
    operation: Operation<M>,
    /// When it takes effect, and a number to order those of the same time; `None` is never.
    moment: Option<(u64, u64)>,
}

/// An honest history. One operation in `pending_one_in` stays pending; its process goes on as a
/// new one would.
fn honest<M: Sample>(
    rng: &mut Rng,
    count: u64,
    processes: u64,
    pending_one_in: u64,
) -> Vec<Operation<M>> {
    let mut clocks: Vec<u64> = (0..processes).map(|_| rng.below(4)).collect();
    let mut drafts: Vec<Draft<M>> = Vec::new();
    // Long operations make nearly every order possible, short ones nearly none: some of each.
    let length = 1 + rng.below(4);
    for number in 0..count {
        let clock = &mut clocks[usize::try_from(rng.below(processes)).unwrap()];
        let start = *clock + rng.below(3);
        let pending = rng.chance(pending_one_in);
        let reach = if pending { 12 } else { length };
        let point = start + rng.below(reach);
        let end = (!pending).then(|| point + rng.below(length));
        let moment = (!pending || rng.chance(2)).then(|| (point, rng.next()));
        *clock = end.unwrap_or(start) + 1;
        let op = M::pick(rng, number);
        drafts.push(Draft {
            operation: Operation { start, end, op, outcome: None, client: None },
            moment,
        });
    }
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.retain(|&index| drafts[index].moment.is_some());
    order.sort_by_key(|&index| drafts[index].moment);
    let mut state = M::initial();
    for index in order {
        let operation = &mut drafts[index].operation;
        let (next, answer) = M::step(&state, &operation.op);
        state = next;
        if operation.end.is_some() && !rng.chance(16) {
            operation.outcome = Some(answer);
        }
    }
    drafts.into_iter().map(|draft| draft.operation).collect()
}

/// Tells one to three lies.
fn perturb<M: Sample>(rng: &mut Rng, operations: &mut [Operation<M>]) {
    let size = operations.len() as u64;
    for _ in 0..=rng.below(3) {
        let a = usize::try_from(rng.below(size)).unwrap();
        let b = usize::try_from(rng.below(size)).unwrap();
        match rng.below(8) {
            0 => {
                let times = (operations[a].start, operations[a].end);
                (operations[a].start, operations[a].end) = (operations[b].start, operations[b].end);
                (operations[b].start, operations[b].end) = times;
            }
            1 => {
                let operation = &mut operations[a];
                let (earlier, later) =
                    if rng.chance(2) { (0, rng.below(8)) } else { (rng.below(8), 0) };
                let earlier = earlier.min(operation.start);
                operation.start = operation.start - earlier + later;
                operation.end = operation.end.map(|end| end - earlier + later);
            }
            2 => operations[a].end = Some(operations[a].start),
            3..=5 => {
                if let (Some(of_a), Some(of_b)) = (&operations[a].outcome, &operations[b].outcome)
                    && discriminant(of_a) == discriminant(of_b)
                {
                    operations[a].outcome = Some(of_b.clone());
                }
            }
            _ => {
                if let Some(outcome) = &mut operations[a].outcome {
                    M::lie(rng, outcome);
                }
            }
        }
    }
}

/// A small history, honest when [`is_honest`] says so, else perturbed.
fn small<M: Sample>(seed: u64) -> Vec<Operation<M>> {
    let mut rng = Rng(seed);
    let (count, processes) = (4 + rng.below(5), 2 + rng.below(3));
    let mut operations = honest(&mut rng, count, processes, 7);
    if !is_honest(seed) {
        perturb(&mut rng, &mut operations);
    }
    operations
}

/// One seed in four makes an honest history.
fn is_honest(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

/// The definition, word by word: tries every order of the operations that time allows, with and
/// without each pending one. No memory, no list, so a third opinion.
fn explainable<M: Model>(
    operations: &[Operation<M>],
    state: &M::State,
    taken: &mut [bool],
) -> bool {
    let left = |index: usize, taken: &[bool]| operations[index].end.is_some() && !taken[index];
    if !(0..operations.len()).any(|index| left(index, taken)) {
        return true;
    }
    for index in 0..operations.len() {
        let operation = &operations[index];
        let too_early = (0..operations.len())
            .any(|other| left(other, taken) && operations[other].end < Some(operation.start));
        if taken[index] || too_early {
            continue;
        }
        let (next, answer) = M::step(state, &operation.op);
        if operation.outcome.as_ref().is_some_and(|seen| *seen != answer) {
            continue;
        }
        taken[index] = true;
        let found = explainable(operations, &next, taken);
        taken[index] = false;
        if found {
            return true;
        }
    }
    false
}

fn is_linearizable<M: Model>(history: &History<M>) -> bool {
    let operations = history.operations();
    explainable(operations, &M::initial(), &mut vec![false; operations.len()])
}
