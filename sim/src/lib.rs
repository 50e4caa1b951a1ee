//! Seeded simulations of quorate clusters.
//!
//! A seed draws a [`case`]: a cluster, what clients ask of it, and what goes wrong. A driver plays
//! the case and hands what happened to the [`oracle`]s. There is one driver so far, [`tier_b`] on
//! turmoil: the real turn of the real node over simulated sockets. Nothing but the seed decides
//! anything, which [`batch`] checks by playing seeds twice and comparing their [`trace`]s.
//!
//! What is not here yet: the driver with an event heap of its own, which can do what turmoil can't
//! (lost suffixes, half-open connections, pauses, disks), cases as files, and shrinking. They fit
//! behind [`case::Case`] and [`tier_b::Report`].

pub mod batch;
pub mod case;
pub mod chance;
pub mod check;
pub mod clients;
pub mod dialect;
pub mod history;
pub mod oracle;
pub mod tier_b;
pub mod trace;
