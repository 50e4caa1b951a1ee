//! The search: all worlds that can be reached, nearest first, so that a way to a bad one is a
//! shortest one.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    hash::{BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use super::{
    choice::Choice,
    setup::{NEAR, Setup},
    wires::Side,
    world::World,
};
use crate::time::Millis;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Different worlds that were reached.
    pub states: usize,
    /// Steps that were tried.
    pub steps: usize,
    /// How many steps the furthest world is away.
    pub depth: usize,
    /// Worlds in which every operation was asked and answered.
    pub told: usize,
    /// Nothing is left to be searched.
    pub complete: bool,
    /// What is wrong, and a shortest way there.
    pub violation: Option<Violation>,
}

/// A way to a world that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong there.
    pub reason: String,
    /// What happened, in order.
    pub steps: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {:2}. {step}", number + 1)?;
        }
        Ok(())
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are kept");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Searches all that can happen, up to so many states.
#[must_use]
pub fn explore(setup: &Setup, states_max: usize) -> Found {
    let mut found =
        Found { states: 1, steps: 0, depth: 0, told: 0, complete: false, violation: None };
    let first = match guarded(|| begin(setup)) {
        Ok(first) => first,
        Err(reason) => {
            found.violation = Some(Violation { reason, steps: Vec::new() });
            return found;
        }
    };
    let mut seen: HashSet<u64, BuildHasherDefault<Plain>> = HashSet::default();
    seen.insert(first.fingerprint());
    // By state: the one before it, and the choice between.
    let mut ways: Vec<(usize, Choice)> = vec![(0, Choice::Tick(0))];
    let mut open: VecDeque<(usize, usize, World)> = VecDeque::new();
    open.push_back((0, 0, first.clone()));
    while let Some((at, depth, world)) = open.pop_front() {
        for choice in world.choices() {
            found.steps += 1;
            let mut next = world.clone();
            let outcome = guarded(|| {
                next.apply(choice)?;
                next.judge(&world)
            });
            if let Err(reason) = outcome {
                let mut way = vec![choice];
                let mut state = at;
                while state != 0 {
                    way.push(ways[state].1);
                    state = ways[state].0;
                }
                way.reverse();
                found.violation = Some(Violation { reason, steps: narrate(&first, &way) });
                return found;
            }
            if !next.is_within() || !seen.insert(next.fingerprint()) {
                continue;
            }
            found.depth = found.depth.max(depth + 1);
            found.told += usize::from(next.is_told());
            ways.push((at, choice));
            open.push_back((ways.len() - 1, depth + 1, next));
            found.states += 1;
            if found.states >= states_max {
                return found;
            }
        }
    }
    found.complete = true;
    found
}

/// A panic is what a node says when it finds itself in a state that must not be.
fn guarded<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a node panicked: {}", text.unwrap_or_default()))
    })
}

/// The way in words.
fn narrate(first: &World, way: &[Choice]) -> Vec<String> {
    let mut world = first.clone();
    let mut steps = Vec::new();
    for choice in way {
        steps.push(world.describe(*choice));
        if guarded(|| world.apply(*choice)).is_err() {
            break;
        }
    }
    steps
}

/// The world in which the search begins: the cluster has formed, the first operations are settled.
fn begin(setup: &Setup) -> Result<World, String> {
    // Nothing is in the way before the search begins.
    let free = Setup { stalled: &[], reconnects: true, ..*setup };
    let mut world = World::new(free)?;
    settle(&mut world)?;
    let votes = |world: &World, at| world.node(at).is_some_and(|node| node.votes());
    if !(0..setup.nodes).all(|at| votes(&world, at)) {
        return Err("the cluster does not form".to_owned());
    }
    if setup.led {
        elect(&mut world)?;
    }
    for (index, (role, _)) in setup.before.iter().enumerate() {
        let at = world.at(*role);
        world.ask(at, index)?;
        settle(&mut world)?;
    }
    world.setup = Rc::new(*setup);
    Ok(world)
}

/// Lets time pass until somebody leads.
fn elect(world: &mut World) -> Result<(), String> {
    for _ in 0..100 {
        settle(world)?;
        let leads = |at: &usize| world.node(*at).is_some_and(|node| node.slots_led() > 0);
        if let Some(leader) = (0..world.setup.nodes).find(leads) {
            world.set_leader(leader);
            // Who has promised lets the candidate have its time before it stands itself.
            world.wait(Millis(world.setup.timing().silence.0 / 5 + 1))?;
            return settle(world);
        }
        let near = |at: &usize| {
            let host = world.host(*at);
            host.next_timer().filter(|due| *due <= host.now().mono + NEAR)
        };
        let first = (0..world.setup.nodes).filter(|at| near(at).is_some()).min_by_key(near);
        let Some(first) = first else { break };
        world.fire(first)?;
    }
    Err("nobody is elected".to_owned())
}

/// Lets everything happen that needs no time and breaks nothing.
fn settle(world: &mut World) -> Result<(), String> {
    for _ in 0..10_000 {
        let calm = |choice: &Choice| match choice {
            Choice::Connect(..) | Choice::Deliver(_, Side::Accepter | Side::Dialer) => true,
            Choice::Durable(_) => true,
            Choice::Ask(_)
            | Choice::Break(_)
            | Choice::Crash(..)
            | Choice::DeliverOnly(_)
            | Choice::Late(_)
            | Choice::Mute(_)
            | Choice::Start(_)
            | Choice::Tick(_) => false,
        };
        let Some(choice) = world.choices().into_iter().find(calm) else { return Ok(()) };
        world.apply(choice)?;
    }
    Err("the cluster does not come to rest".to_owned())
}
