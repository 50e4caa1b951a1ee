//! Clients that look at all keys of a node while others write: one goes through them page by page,
//! another one adds keys meanwhile, so that tables grow under it.

use super::{Config, Dialect, Op, Step, Workload, dark, drama::Drama, value_of};
use crate::chance::Chance;

/// So many in a hundred seeds have such clients, of those that play no drama.
const PERCENT: u64 = 15;
/// So many in a hundred goes ask for KEYS, and for DBSIZE; the rest goes on with SCAN.
const KEYS_PERCENT: u64 = 8;
const SIZES_PERCENT: u64 = 8;
/// The least that a page of what nodes list to each other has.
const PAGE_MIN: usize = 1000;
/// It may take so much longer than what others ask.
const LATER_MS: u64 = 4000;

/// Adds them to what clients ask in a seed that has them.
pub(super) fn add(seed: u64, config: &mut Config, workload: &mut Workload) {
    let mut chance = Chance::new(seed, "scans", 0);
    if !chance.percent(PERCENT) || Drama::draw(seed).is_some() || dark::is_drawn(seed) {
        return;
    }
    // Many keys are in one slot then, and a candidate goes through them while all wait for it.
    config.limits.offer_size = config.limits.offer_size.max(PAGE_MIN);
    let db = chance.pick(&workload.databases);
    let (reader, writer) = (config.clients, config.clients + 1);
    let last_ms = config.start_ms.max(config.span_ms * 2 / 3);
    let begin_ms = chance.between(config.start_ms, last_ms);
    let mut at_ms = begin_ms;
    for round in 0..chance.between(1, 4) {
        at_ms = scan(seed, reader, round, config, at_ms, &mut workload.steps);
    }
    write(seed, writer, config, (begin_ms, at_ms), &mut workload.steps);
    for _ in [reader, writer] {
        workload.databases.push(db);
        workload.dialects.push(chance.pick(&[Dialect::Resp, Dialect::Text]));
    }
    config.clients += 2;
    workload.steps.sort_by_key(|step| step.at_ms);
}

fn step(at_ms: u64, client: usize, node: usize, ops: Vec<Op>) -> Step {
    Step { at_ms, client, node, fresh: false, ops, db: None, torn: None }
}

/// Goes that follow each other on one node. When they are over.
fn scan(
    seed: u64,
    client: usize,
    round: u64,
    config: &Config,
    mut at_ms: u64,
    steps: &mut Vec<Step>,
) -> u64 {
    let mut chance = Chance::new(seed, "scan", round);
    let node = chance.below(config.nodes as u64) as usize;
    let prefix = chance.pick(&["", "", "", "hot", "cold", "{set"]);
    let count = chance.pick(&[1, 3, 10, 30]);
    // There and back, so that the client keeps up.
    let gap_ms = 2 * config.latency_ms.1 + chance.pick(&[2, 10, 50]);
    for _ in 0..chance.between(10, 60) {
        // Where messages are slow this would take minutes.
        if at_ms > config.span_ms + LATER_MS {
            break;
        }
        let prefix = prefix.to_owned();
        let dice = chance.below(100);
        let op = if dice < KEYS_PERCENT {
            Op::Keys { prefix }
        } else if dice < KEYS_PERCENT + SIZES_PERCENT {
            Op::DbSize
        } else {
            Op::Scan { cursor: 0, count, prefix }
        };
        steps.push(step(at_ms, client, node, vec![op]));
        at_ms += gap_ms;
    }
    at_ms
}

/// New keys, in one slot or in all; some of them go again.
fn write(
    seed: u64,
    client: usize,
    config: &Config,
    (from_ms, to_ms): (u64, u64),
    steps: &mut Vec<Step>,
) {
    let mut chance = Chance::new(seed, "scanned", 0);
    let in_one_slot = chance.percent(50);
    let key = |number: u64| match in_one_slot {
        true => format!("{{set}}{number}"),
        false => format!("{{set{number}}}"),
    };
    let del_percent = chance.pick(&[0, 0, 15]);
    let depths = chance.pick(&[&[1][..], &[1, 4], &[1, 16]]);
    let home = chance.below(config.nodes as u64) as usize;
    let mut number = 0;
    for _ in 0..chance.between(5, 30) {
        let at_ms = chance.between(from_ms, to_ms);
        let node =
            if chance.percent(50) { home } else { chance.below(config.nodes as u64) as usize };
        let ops = (0..chance.pick(depths)).map(|_| {
            number += 1;
            match chance.percent(del_percent) {
                true => Op::Del { key: key(chance.below(number)) },
                false => Op::Set { key: key(number), value: value_of(client, number, 0) },
            }
        });
        let ops = ops.collect();
        steps.push(step(at_ms, client, node, ops));
    }
}
