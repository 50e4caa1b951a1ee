//! What a node's turn sees of the network in memory.

use super::{Cluster, End};
use crate::{node::LinkId, record::NodeId, turn::Transport};

/// One node's view of the network during its turn.
pub(super) struct Wires<'a> {
    pub(super) cluster: &'a mut Cluster,
    pub(super) node: usize,
    pub(super) dials: Vec<NodeId>,
}

impl Transport for Wires<'_> {
    fn dial(&mut self, peer: NodeId) {
        self.dials.push(peer);
    }

    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        match self.cluster.pipes.get_mut(&End::Node(self.node, link)) {
            Some(pipe) => {
                pipe.bytes.extend(bytes);
                bytes.len()
            }
            None => 0,
        }
    }

    fn close(&mut self, link: LinkId) {
        let end = End::Node(self.node, link);
        let Some(pipe) = self.cluster.pipes.get_mut(&end) else { return };
        pipe.closed = true;
        let to = pipe.to;
        // What the other side still sends goes nowhere.
        self.cluster.pipes.remove(&to);
    }
}
