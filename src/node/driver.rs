//! What a node and its driver call things: links, wishes, and what a node is told at birth.

use super::Addresses;
use crate::{
    limits::{Limits, Timing},
    members::Members,
    record::NodeId,
};

/// A link's name, given by the driver: a small dense number, free for another link once the link is
/// closed and the turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

impl LinkId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a link came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Somebody connected to us: a client, or a peer that will say so.
    Accepted(Addresses),
    /// We connected to a member.
    Dialed(NodeId),
}

/// What the node asks of its driver besides bytes. Rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Close this link.
    Close(LinkId),
    /// Connect to this member.
    Dial(NodeId),
}

/// What a node is told at birth.
#[derive(Clone, Debug, Hash)]
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
    /// Whether what the driver calls durable is on the disk itself, not with the system only.
    pub synced: bool,
    /// Seeds hash tables and jitter: random in production, against flooding; drawn from the case's
    /// seed in simulation.
    pub seed: u64,
}
