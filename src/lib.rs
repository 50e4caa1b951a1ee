//! quorate, a replicated key-value store. This page is its architecture.
//!
//! # The idea
//!
//! Bytes move forward only: read, parse, step the node, hand the log its bytes, write what may be
//! said, sleep. The [`node`] decides
//! everything and touches nothing: it has no socket, clock, file, thread or chance of its own. A
//! driver hands it bytes and the time, and takes bytes and wishes from it. There are four drivers:
//! the mio reactor in [`os`] for production, two simulated networks in the crate `sim` (an event
//! heap of our own, and turmoil's), and [`fuzzing::cluster`] in memory for scripts and fuzzers. All
//! of them end each turn in [`turn::finish_turn`], which holds the only rules of order.
//!
//! ```text
//!            +------------------------- one turn --------------------------+
//!            |                                                             |
//!   sockets -+-> handle_open/bytes/eof/close/writable --+                  |
//!   clock  --+-> handle_timeout ------------------------+-> Node           |
//!   disk   --+-> handle_durable, handle_saved ----------+    |             |
//!            |                                               |             |
//!            |        finish_turn:  poll_append, poll_image  -> append ----+-> disk
//!            |                      poll_dirty, output, consume  -> send --+-> sockets
//!            |                      poll_action  -> close, dial -----------+-> sockets
//!            |                                                             |
//!            +---- sleep until a socket is ready or poll_timeout is due ---+
//! ```
//!
//! # The way of one SET
//!
//! The reactor reads into its one shared buffer. [`node::Node::handle_bytes`] passes the bytes to
//! the client's [`conn::Connection`], which parses them where they are ([`proto`]; only an
//! unfinished tail is copied) and finds the command in the table ([`command`]). The node stamps the
//! write with its hybrid logical clock and puts it into the [`store`]: one encoding ([`record`]),
//! which is at once the record in memory, what each peer's outbox receives and what the [`log`]
//! gets. The reply goes into the connection's output and waits there until the log has the record.
//! At the end of the turn all outputs that need not wait are written, one write a link. A peer
//! takes the record from its stream through the same merge, and acknowledges all that arrived
//! together once.
//!
//! # What holds replicas together
//!
//! A replica's table is a set of records merged by highest version; that is commutative,
//! associative and idempotent. So the stream (each node sends its own stamps to each other node, in
//! order, again from the last acknowledgement after a reconnect) and repair (compare digests of
//! slots, offer versions, copy what is missing) may overlap in any way. A level, one for each
//! database, only decides who may stamp a version and how many durable copies a reply waits for: in
//! the strong database the leader of the key's slot and a majority, in the quorum database any node
//! and a majority, in the eventual one any node and itself.
//!
//! A transaction on keys of one slot is a batch ([`command::batch`]): the leader of the slot applies its
//! steps one after the other, stamps what they write together, and sends it in one frame, so that
//! every member has all of it or nothing.
//!
//! A deletion is a record too, a tombstone, and has to be remembered as long as anything older may
//! turn up: in the strong database until all members hold just it, in the others until the floor
//! covers it, a stamp below which all members have durably applied everything that anybody stamped.
//! What the floor covers and is not held was deleted, and is refused from any path. A value of those
//! databases whose time is over is dead like a tombstone, and goes in the same way.
//!
//! # What survives
//!
//! Everything that changes goes to the log, one batch a turn, and while the disk works on one batch
//! the next gathers; a small one that need not be synced is written at the end of the turn itself,
//! which takes less time than to tell another thread. What shows a change (a reply, an
//! acknowledgement to a peer, a read of a key that the batch touches) leaves when the batch is
//! durable; the loop itself never waits. Streams to peers do not wait either: a record may be
//! durable on another node first. A start replays the newest checkpoint and the log behind it, and
//! begins a life with a number and a clock above all before it.
//!
//! # Rooms, in reading order
//!
//! | room | what it owns |
//! |---|---|
//! | [`time`], [`rng`], [`buffer`] | time and chance as arguments; bytes on their way out |
//! | [`probe`] | points that simulations count, what nodes go by, bugs that are planted; empty in production |
//! | [`slot`], [`record`] | which slot a key falls into; one key's state at one version, its bytes, who wins |
//! | [`limits`], [`members`] | every bound with its reason; who belongs to the cluster and what they are called |
//! | [`proto`] | requests, replies, and frames between nodes: borrowed, incremental, not recursive |
//! | [`command`] | the table of commands; arguments become a command or an error; what operations and batches come to |
//! | [`store`] | tables and digests, slot by slot |
//! | [`log`] | log, checkpoints, recovery: files on a disk that is handed in |
//! | [`conn`] | one client: dialect, unfinished input, output, patience |
//! | [`node`] | the only dispatcher; clients, streams, sessions, repair, timers |
//! | [`turn`] | what a driver is, and in which order a turn ends |
//! | [`config`], [`os`] | flags; the reactor, the only room that touches the operating system |
//! | [`fuzzing`] | a cluster in memory and the bodies of the fuzz targets |
//! | [`check`] | is what clients saw linearizable? |
//! | [`explore`] | an exhaustive search through what a few real nodes can do |
//!
//! A room uses only rooms above it in this table (`tests/tidy.rs` holds that). The binary and its
//! subcommands stand outside, on top of all.
//!
//! # Invariants
//!
//! - I1: a version names one body; it is stamped once, by one life of one node.
//! - I2: a replica's version of a key never goes down while the node lives; what was shown of it never
//!   goes down at all, unless its disk is lost.
//! - I3: the stamps of a node rise along its stream; a stream is applied in order, each frame once.
//! - I4: when no fault is left and no client writes, all replicas become identical, and an
//!   acknowledged write that any living node holds is present or superseded on all.
//! - I5: replies keep the order of the requests of their connection.
//! - I6: every buffer has a limit in [`limits`]; a link that would exceed it waits, is repaired or
//!   is closed.
//! - I7: no reply or acknowledgement leaves before what it shows is durable, as `--fsync` says.
//! - I8: a life's stamps are above those of all earlier lives that a peer may have seen.
//! - I9: data that was durable once is read back, or its damage is reported; never less in silence.
//! - I10: a tombstone that is gone from databases 1 and 2, or a value that is gone because its time
//!   was over, was at or below the floor, which never goes down while the disk is kept; a deleted key
//!   does not come back without a write.
//! - I11: records that a leader has stamped together are taken together, in memory, in a stream and in
//!   the log; and while they are under way no member is sent anything newer of their keys before
//!   them.
//! - I12: a turn's work is bounded, whatever one client asks for; what takes more is done over several
//!   turns, and everybody else is served in between. A transaction is done at one moment, and bounded
//!   by what may be queued for it.
//!
//! Deliberately absent so far: TLS and passwords. Until peers authenticate, a node listens on loopback
//! only.

pub mod time;

pub mod rng;

pub mod buffer;

pub mod probe;

pub mod slot;

pub mod record;

pub mod limits;

pub mod members;

pub mod proto;

pub mod command;

pub mod store;

pub mod log;

pub mod conn;

pub mod node;

pub mod turn;

pub mod config;

pub mod os;

pub mod fuzzing;

pub mod check;

pub mod explore;
