//! Seeded simulations of quorate clusters.
//!
//! A seed draws a [`case`]: a cluster, what clients ask of it, and what goes wrong. A driver plays
//! the case and hands what happened to the [`oracle`]s. There are two: [`tier_a`] on an event heap
//! of our own, fast and able to do every fault, and [`tier_b`] on turmoil, which shares no network
//! code with the first. Both end the turns of the real node in the real
//! [`quorate::turn::finish_turn`]. Nothing but the seed decides anything, which [`batch`] checks by
//! playing seeds twice and comparing the hashes of their [`trace`]s.
//!
//! Oracles are checked too: [`mutants`] plants bugs in the nodes and tells which oracle sees each, and
//! how soon. A small case that kills it is [`kept`]; [`renew`] finds another when the node's timing has
//! changed so that it no longer does. [`exhaustive`] tries all orders of events at small bounds.
//!
//! [`check`] holds the checkers of linearizability. A run that is to be looked at is kept on a
//! [`tape`], of which a [`page`] is made.
//!
//! `docs/simulator.md` tells how to use all that and how to add to it, and what no workload does yet;
//! `docs/evidence.md` what was checked with it.

pub mod batch;
pub mod birth;
pub mod case;
pub mod chance;
pub mod clients;
pub mod dialect;
pub mod exhaustive;
pub mod history;
pub mod kept;
pub mod mutants;
pub mod oracle;
pub mod page;
pub mod play;
pub mod renew;
pub mod report;
pub mod shrink;
pub mod story;
pub mod tape;
pub mod tier_a;
pub mod tier_b;
pub mod trace;

pub use quorate::check;
