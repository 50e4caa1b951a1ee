//! Why an operation can't be carried out, for the client: what is missing, and that nothing was
//! written.

use super::Strong;
use crate::{command::op::Answer, node::peers::Peers};

/// Why, if a majority is in reach.
pub(super) const NO_LEADER: &str = "no leader of this key's slot is in reach";

impl Strong {
    /// Why an operation can't be carried out; nothing of it was. `else_why` if a majority is in
    /// reach.
    pub(crate) fn refusal(&self, peers: &Peers, else_why: &str) -> Answer<'static> {
        let why = if let Some(obstacle) = self.obstacle(peers) {
            obstacle
        } else if self.is_recovering() {
            "this node is getting back what it lost".to_owned()
        } else if !self.votes() {
            self.unformed(peers)
        } else if self.reaches_quorum(peers) {
            else_why.to_owned()
        } else {
            let (need, of, reached) = (self.quorum, self.members, peers.voters() + 1);
            format!("need {need} of {of} nodes, reached {reached}")
        };
        Answer::Error(format!("NOREPLICAS {why}; nothing written").into())
    }

    /// Whom a cluster that has not formed waits for.
    fn unformed(&self, peers: &Peers) -> String {
        let missing = peers.iter().filter(|peer| !peer.live);
        let missing = missing.filter_map(|peer| self.names.get(peer.id.index()));
        let missing: Vec<&str> = missing.map(AsRef::as_ref).collect();
        if missing.is_empty() {
            return "cluster not formed: waiting until all members see each other".to_owned();
        }
        format!("cluster not formed: waiting for {}", missing.join(", "))
    }
}
