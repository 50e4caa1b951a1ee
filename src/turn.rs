//! The turn: how a driver and the node meet, and the one place with ordering rules.
//!
//! A driver hands the node its inputs (`handle_*`), then calls [`finish_turn`], then sleeps until a
//! socket is ready or [`Node::poll_timeout`] is due. The mio reactor and the simulators all do just
//! that, so an ordering bug in here shows in simulation. Nothing else takes the node's output.

use crate::node::{Action, Append, ImagePart, LinkId, Node};
use crate::record::NodeId;
use crate::time::Now;

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

/// A driver's disk, seen from the node. Nothing here waits: the disk says by an input when it is
/// done. If it fails, the driver ends the node and the process with it, for nothing in memory may be
/// trusted to be durable any more.
pub trait Storage {
    /// Whether the disk has no batch, so that it would take one.
    fn is_idle(&self) -> bool;

    /// Takes a batch for the log. If that is still under way, it ends in [`Node::handle_durable`].
    fn append(&mut self, append: Append<'_>) -> Appended;

    /// Whether the disk takes another piece of a checkpoint now.
    fn has_image_room(&self) -> bool;

    /// Takes a piece of a checkpoint; the last one ends in [`Node::handle_saved`].
    fn write_image(&mut self, part: ImagePart<'_>);

    /// The node has again what its disk had lost.
    fn set_recovered(&mut self);
}

/// What became of a batch that a disk was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what waits for a batch that is durable must be told"]
pub enum Appended {
    /// It is durable already.
    Durable,
    /// The driver will say.
    UnderWay,
}

/// Carries out what the node decided this turn.
///
/// The order is the rule: first the disk gets what is to be durable, one batch at a time, so that
/// it works while the next one gathers, and if it is done at once, that is an input of this turn;
/// then a piece of a checkpoint, and word that what was lost is
/// there again; then bytes leave, those only that need not wait for the disk; then closes and dials,
/// so that a closing link's last words are out before it goes.
pub fn finish_turn<T, S>(node: &mut Node, now: Now, transport: &mut T, storage: &mut S)
where
    T: Transport + ?Sized,
    S: Storage + ?Sized,
{
    node.end_inputs(now);
    while storage.is_idle()
        && let Some(append) = node.poll_append()
    {
        let batch = append.batch;
        if storage.append(append) == Appended::Durable {
            node.handle_durable(now, batch);
            node.end_inputs(now);
        }
    }
    if let Some(part) = node.poll_image(storage.has_image_room()) {
        storage.write_image(part);
    }
    if node.poll_recovered() {
        storage.set_recovered();
    }
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
