//! Real processes on real sockets: the binary as a user starts it, several at once.
//!
//! Everything waits by condition with a bound; no test sleeps to let others get ready. A process is
//! ended by its id when its guard is dropped. Tools that are not installed are skipped with a line
//! that says so; what they show is also shown without them.

mod common;
mod copies;
mod crash;
mod crowd;
mod damage;
mod demo;
mod differential;
mod directory;
mod failover;
mod hostile;
mod ledger;
mod lines;
mod program;
mod redis_crate;
mod replicas;
mod script;
mod server;
mod starts;
mod stop;
mod strong;
mod tools;
mod transactions;
