//! STUB: being written.
use crate::record::NodeId;
/// The members of a cluster, in order, and which of them is this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    names: Vec<String>,
    me: NodeId,
}
impl Members {
    /// This node.
    #[must_use]
    pub const fn me(&self) -> NodeId {
        self.me
    }
    /// All members' names (`host:port`), sorted; the index is the node id.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}
