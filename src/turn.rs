//! The turn: how a driver and the node meet, and the one place with ordering rules.
//!
//! A driver hands the node its inputs (`handle_*`), then calls [`finish_turn`], then sleeps until a
//! socket is ready or [`Node::poll_timeout`] is due. The mio reactor and the simulators all do just
//! that, so an ordering bug in here shows in simulation. Nothing else takes the node's output.

use crate::node::{Action, LinkId, Node};
use crate::record::NodeId;

/// A driver's sockets, seen from the node.
///
/// The driver gives each link its [`LinkId`] when it opens and tells the node
/// ([`Node::handle_open`]). It does not give the id of a closed link to another one within the same
/// turn.
pub trait Transport {
    /// Starts to connect to a member; any earlier attempt for it that has not ended is dropped.
    /// Ends in [`Node::handle_open`] with [`crate::node::Origin::Dialed`], in
    /// [`Node::handle_dial_failed`], or never.
    fn dial(&mut self, peer: NodeId);

    /// Hands over as many of `bytes` as the link takes now and says how many. After a short count
    /// the driver calls [`Node::handle_writable`] as soon as the link takes more. A link that has
    /// failed takes nothing; the driver then calls [`Node::handle_close`] after the turn.
    fn send(&mut self, link: LinkId, bytes: &[u8]) -> usize;

    /// Closes a link at the node's wish. [`Node::handle_close`] is not called for it.
    fn close(&mut self, link: LinkId);
}

/// Carries out what the node decided this turn.
///
/// The order is the rule: what must be durable first (the log's place is here, before anything
/// leaves), then bytes, then closes and dials, so that a closing link's last words are out before
/// it goes.
pub fn finish_turn<T: Transport + ?Sized>(node: &mut Node, transport: &mut T) {
    while let Some(link) = node.poll_dirty() {
        write_out(node, transport, link);
    }
    while let Some(action) = node.poll_action() {
        match action {
            Action::Close(link) => transport.close(link),
            Action::Dial(peer) => transport.dial(peer),
        }
    }
}

/// Writes until the link is drained or takes no more.
fn write_out<T: Transport + ?Sized>(node: &mut Node, transport: &mut T, link: LinkId) {
    loop {
        let bytes = node.output(link);
        if bytes.is_empty() {
            return;
        }
        let offered = bytes.len();
        let taken = transport.send(link, bytes);
        assert!(taken <= offered, "a transport took {taken} of {offered} bytes");
        node.consume(link, taken);
        if taken < offered {
            return;
        }
    }
}
