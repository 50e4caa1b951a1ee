//! The table of open links: what stands at the other end of each, and which of them have something
//! to write.

use std::collections::VecDeque;

use super::{LinkId, load::Asked, visitors::Visit, wait::Wrote};
use crate::{
    buffer::OutBuf,
    conn::Connection,
    probe::{Mutant, planted},
    record::NodeId,
    time::{Instant, Now},
};

/// One open link.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Link {
    pub(crate) end: End,
    /// Stands in the list of links with output.
    dirty: bool,
}

/// Who is at the other end.
#[derive(Clone, Debug, Hash)]
pub(crate) enum End {
    /// A client; until its first byte it may still turn out to be a peer.
    Client {
        connection: Box<Connection>,
        fresh: bool,
        /// Stands in the list of clients whose replies wait for the disk.
        waits: bool,
        /// What WAIT is about.
        wrote: Wrote,
        visit: Visit,
        /// Operations that are not answered.
        asked: Asked,
    },
    /// A member, or somebody who says so.
    Peer(Box<PeerLink>),
}

/// A link between nodes.
#[derive(Clone, Debug, Hash)]
pub(crate) struct PeerLink {
    pub(crate) side: Side,
    /// The beginning of a frame that has not arrived whole.
    pub(crate) tail: Vec<u8>,
    pub(crate) out: OutBuf,
    /// What our wall clock showed when the link opened: before a hello of ours was sent.
    pub(crate) opened_ms: u64,
    /// When the other side last said anything.
    pub(crate) heard: Instant,
    /// The last write left some of `out` unwritten.
    backed_up: bool,
    /// A link that was backed up has taken more since the last look.
    progressed: bool,
    /// Closed once `out` is written; nothing more is read.
    pub(crate) closing: bool,
    /// How often stream and copies were moved into `out` this turn.
    pub(crate) refills: u8,
}

/// Which side opened a peer link, and whom it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The other side dialed; it has said who it is, and whether its stream has begun, or not.
    Accepted { from: Option<NodeId>, begun: bool },
    /// We dialed; live after its welcome.
    Dialed { to: NodeId, live: bool },
}

impl PeerLink {
    pub(crate) const fn new(side: Side, now: Now) -> Self {
        Self {
            side,
            tail: Vec::new(),
            out: OutBuf::new(),
            opened_ms: now.wall_ms,
            heard: now.mono,
            backed_up: false,
            progressed: false,
            closing: false,
            refills: 0,
        }
    }

    /// The first `count` bytes of the output are written.
    pub(crate) fn on_written(&mut self, count: usize) {
        self.progressed |= self.backed_up && count > 0;
        self.out.consume(count);
        self.backed_up = !self.out.is_empty();
    }

    /// When the other side last showed that it is there. That a link which was backed up takes more
    /// is a sign of life too: on a slow link an answer may stand behind more bytes than pass within
    /// the silence that ends a link. A write that no earlier one holds up is none; a dead peer's
    /// socket takes it just as well.
    pub(crate) fn last_sign(&mut self, now: Instant) -> Instant {
        let progressed = std::mem::take(&mut self.progressed);
        if progressed && !planted(Mutant::ProgressIsNoSign) {
            self.heard = now;
        }
        self.heard
    }

    /// Whether each side knows who the other is.
    pub(crate) const fn is_greeted(&self) -> bool {
        matches!(self.side, Side::Accepted { from: Some(_), .. } | Side::Dialed { live: true, .. })
    }

    /// Whether it is ours and carries our stream.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.side, Side::Dialed { live: true, .. })
    }
}

/// All open links, by id.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Links {
    table: Vec<Option<Link>>,
    dirty: VecDeque<LinkId>,
    open: usize,
}

impl Links {
    pub(crate) fn insert(&mut self, id: LinkId, end: End) {
        let index = id.index();
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        let place = self.table.get_mut(index).expect("the table was just grown");
        assert!(place.is_none(), "link {} opened twice", id.0);
        *place = Some(Link { end, dirty: false });
        self.open += 1;
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<End> {
        let link = self.table.get_mut(id.index())?.take()?;
        self.open -= 1;
        Some(link.end)
    }

    pub(crate) fn end(&self, id: LinkId) -> Option<&End> {
        self.table.get(id.index())?.as_ref().map(|link| &link.end)
    }

    pub(crate) fn end_mut(&mut self, id: LinkId) -> Option<&mut End> {
        self.table.get_mut(id.index())?.as_mut().map(|link| &mut link.end)
    }

    pub(crate) fn peer(&self, id: LinkId) -> Option<&PeerLink> {
        match self.end(id)? {
            End::Client { .. } => None,
            End::Peer(link) => Some(link),
        }
    }

    pub(crate) fn peer_mut(&mut self, id: LinkId) -> Option<&mut PeerLink> {
        match self.end_mut(id)? {
            End::Client { .. } => None,
            End::Peer(link) => Some(link),
        }
    }

    /// How many links are open.
    pub(crate) const fn len(&self) -> usize {
        self.open
    }

    /// All open links with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &End)> {
        let numbered = self.table.iter().enumerate();
        numbered.filter_map(|(index, link)| Some((LinkId(index as u32), &link.as_ref()?.end)))
    }

    /// This link has something to write.
    pub(crate) fn touch(&mut self, id: LinkId) {
        if let Some(Some(link)) = self.table.get_mut(id.index())
            && !link.dirty
        {
            link.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// A link with something to write, if there is one.
    pub(crate) fn pop_dirty(&mut self) -> Option<LinkId> {
        let id = self.dirty.pop_front()?;
        if let Some(Some(link)) = self.table.get_mut(id.index()) {
            link.dirty = false;
        }
        Some(id)
    }
}
