//! Why an operation can't be carried out, for the client: what is missing, and that nothing was
//! written.

use super::Strong;
use crate::{command::op::Answer, node::peers::Peers};

impl Strong {
    /// Why an operation can't be carried out; nothing of it was.
    pub(crate) fn refusal(&self, peers: &Peers) -> Answer<'static> {
        let why = if !self.votes() && self.recovery.is_none() {
            self.unformed(peers)
        } else if self.reaches_quorum(peers) {
            "no leader of this key's slot is in reach".to_owned()
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
