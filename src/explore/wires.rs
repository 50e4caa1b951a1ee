//! The links between nodes: two queues of pieces each, in order, and who still holds which end.
//!
//! A piece is what one turn of a node wrote on the link. A link never reorders, duplicates or loses
//! a piece in the middle; what can go wrong is that it ends, with all that is under way on it, and
//! that one side knows before the other.

use std::{collections::VecDeque, rc::Rc};

use crate::node::LinkId;

/// One side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    /// The one that dialed: it asks, and its stream runs on this link.
    Dialer,
    /// The one that answers.
    Accepter,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Accepter,
            Self::Accepter => Self::Dialer,
        }
    }
}

/// What one side has of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct End {
    pub(super) host: usize,
    pub(super) link: LinkId,
    /// It has not closed it, nor been told that the other side has.
    pub(super) open: bool,
    /// On the way to it.
    pub(super) pieces: VecDeque<Rc<[u8]>>,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    ends: [End; 2],
}

impl Wire {
    pub(super) const fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    const fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Whether something can arrive at a side: a piece, or word that the other side is gone.
    pub(super) fn can_arrive(&self, side: Side) -> bool {
        let end = self.end(side);
        end.open && (!end.pieces.is_empty() || !self.end(side.other()).open)
    }
}

/// All links, in order of who dialed whom and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wires {
    all: Vec<Rc<Wire>>,
}

impl Wires {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, index: usize) -> &Wire {
        &self.all[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Wire> {
        self.all.iter().map(Rc::as_ref)
    }

    /// A new link: where it stands now.
    pub(super) fn open(&mut self, dialer: (usize, LinkId), accepter: (usize, LinkId)) -> usize {
        let end = |(host, link)| End { host, link, open: true, pieces: VecDeque::new() };
        let wire = Wire { ends: [end(dialer), end(accepter)] };
        let names = |wire: &Wire| (wire.ends[0].host, wire.ends[1].host);
        let at = self.all.partition_point(|known| names(known) <= names(&wire));
        self.all.insert(at, Rc::new(wire));
        at
    }

    /// The end that a host calls by this name.
    pub(super) fn find(&self, host: usize, link: LinkId) -> Option<(usize, Side)> {
        let is_it = |wire: &Wire, side| {
            let end = wire.end(side);
            end.open && end.host == host && end.link == link
        };
        self.iter().enumerate().find_map(|(index, wire)| {
            let side = [Side::Dialer, Side::Accepter].into_iter().find(|side| is_it(wire, *side));
            side.map(|side| (index, side))
        })
    }

    /// A side writes a piece: it is under way, unless nobody is there any more.
    pub(super) fn send(&mut self, (index, from): (usize, Side), bytes: &[u8]) {
        let end = Rc::make_mut(&mut self.all[index]).end_mut(from.other());
        if end.open {
            end.pieces.push_back(bytes.into());
        }
    }

    /// The next piece to a side.
    pub(super) fn take(&mut self, index: usize, side: Side) -> Option<Rc<[u8]>> {
        Rc::make_mut(&mut self.all[index]).end_mut(side).pieces.pop_front()
    }

    /// A side has closed its end, or has been told that it is closed. What is under way to it is
    /// lost; what it had written may still arrive.
    pub(super) fn close(&mut self, index: usize, side: Side) {
        let end = Rc::make_mut(&mut self.all[index]).end_mut(side);
        end.open = false;
        end.pieces.clear();
    }

    /// Forgets links that nobody holds.
    pub(super) fn sweep(&mut self) {
        self.all.retain(|wire| wire.ends.iter().any(|end| end.open));
    }

    /// Whether a host has a link of this name.
    pub(super) fn has(&self, host: usize, link: LinkId) -> bool {
        self.find(host, link).is_some()
    }
}
