//! STUB: being written.
use crate::{
    limits::{Limits, Timing},
    members::Members,
    record::NodeId,
    time::{Instant, Now},
};

/// A link's name, given by the driver: a small dense number, free for another link once the link is closed and the turn
/// is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// How a link came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody connected to us: a client, or a peer that will say so.
    Accepted,
    /// We connected to a member.
    Dialed(NodeId),
}

/// What the node asks of its driver besides bytes. Rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close this link.
    Close(LinkId),
    /// Connect to this member.
    Dial(NodeId),
}

/// What a node is told at birth.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster and this node's place in it.
    pub members: Members,
    /// This life of the node: higher than that of any earlier one.
    pub incarnation: u64,
    /// Slots of the cluster; the same on all members.
    pub slots: u32,
    /// Bounds.
    pub limits: Limits,
    /// Spans.
    pub timing: Timing,
    /// Seeds hash tables and jitter: random in production, against flooding; drawn from the case's seed in simulation.
    pub seed: u64,
}

/// The node.
pub struct Node {}

impl Node {
    /// A node with an empty store.
    #[must_use]
    pub fn new(_config: NodeConfig, _now: Now) -> Self {
        Self {}
    }
    /// A link opened.
    pub fn handle_open(&mut self, _now: Now, _link: LinkId, _origin: Origin) {}
    /// A dial ended in failure.
    pub fn handle_dial_failed(&mut self, _now: Now, _peer: NodeId) {}
    /// Bytes arrived.
    pub fn handle_bytes(&mut self, _now: Now, _link: LinkId, _bytes: &[u8]) {}
    /// The other side has sent its last byte; it may still read.
    pub fn handle_eof(&mut self, _now: Now, _link: LinkId) {}
    /// A link is gone both ways; nothing more can be read or written.
    pub fn handle_close(&mut self, _now: Now, _link: LinkId) {}
    /// A link that took fewer bytes than offered takes more again.
    pub fn handle_writable(&mut self, _link: LinkId) {}
    /// Time has passed: to be called when `poll_timeout` is due, harmless otherwise.
    pub fn handle_timeout(&mut self, _now: Now) {}
    /// Stop: no new work, answer what came in, give peers what they lack. The driver ends when `is_drained`.
    pub fn handle_shutdown(&mut self, _now: Now) {}
    /// Next link with output.
    pub fn poll_dirty(&mut self) -> Option<LinkId> {
        None
    }
    /// Next action.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    /// Bytes to write.
    pub fn output(&mut self, _link: LinkId) -> &[u8] {
        &[]
    }
    /// The first `count` bytes of the output are written.
    pub fn consume(&mut self, _link: LinkId, _count: usize) {}
    /// Whether bytes of this link are welcome now. False while its reader is slow; asked again after each turn.
    #[must_use]
    pub fn wants_read(&self, _link: LinkId) -> bool {
        true
    }
    /// When `handle_timeout` must be called at the latest; a past instant means at once, none means never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// After `handle_shutdown`: whether everything owed is delivered or the drain time is over.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        true
    }
}
