//! How the nodes of a case are born: the same in every tier.

use quorate::{members::Members, node::NodeConfig};

use crate::{case::Case, chance::Chance};

/// When simulations begin: Unix milliseconds.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// What node `id` of a case is told when its life number `life` begins, counting from 1.
///
/// # Panics
/// Never: the names it makes are well formed.
#[must_use]
pub fn node_config(case: &Case, id: usize, life: u64) -> NodeConfig {
    let config = &case.config;
    // Names sort as the nodes are numbered, so a node's id is its number here. The names' addresses
    // are never dialed.
    let name = |node: usize| format!("localhost:{}", 9000 + node);
    let peers: Vec<String> = (0..config.nodes).filter(|node| *node != id).map(name).collect();
    NodeConfig {
        members: Members::form(&name(id), &peers).expect("the names are well formed"),
        incarnation: EPOCH_MS + life,
        slots: config.slots,
        limits: config.limits,
        timing: config.timing,
        synced: true,
        seed: Chance::new(case.seed, "node", (id as u64) << 32 | life).bits(),
    }
}
