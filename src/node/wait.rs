//! WAIT: how many other members hold, durably, what a connection has written.
//!
//! What the strong and the quorum database have acknowledged a majority holds, though not for each
//! write the same members: so of every such write that many others than this node hold it for
//! certain, less one since this node may be among them. What the eventual database acknowledged
//! stands in our stream to each peer; whoever has acknowledged the stream up to now holds it. So
//! does a peer with a session that began after the question, once a walk in that session has shown
//! it all that we have.

use super::{LinkId, Node, peers::Peers};
use crate::{
    conn::Ticket,
    record::{Db, NodeId},
    time::{Instant, Millis, Now},
};

/// To which databases a connection has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wrote {
    /// One whose acknowledgement speaks for a majority.
    majority: bool,
    /// One whose acknowledgement speaks for this node alone.
    alone: bool,
}

impl Wrote {
    /// The connection writes to a database.
    pub(crate) fn note(&mut self, db: Db) {
        if db == Db::EVENTUAL { self.alone = true } else { self.majority = true }
    }
}

/// Connections that wait; each has as many places as it may have requests open.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Waits {
    open: Vec<Waiting>,
}

impl Waits {
    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.open.len()
    }
}

#[derive(Clone, Debug, Hash)]
struct Waiting {
    link: LinkId,
    ticket: Ticket,
    wanted: u64,
    until: Option<Instant>,
    wrote: Wrote,
    marks: Vec<Mark>,
}

/// How far a peer's stream was when the question came.
#[derive(Clone, Copy, Debug, Hash)]
struct Mark {
    peer: NodeId,
    generation: u64,
    end: u64,
}

impl Waiting {
    /// How many others hold all of it.
    fn count(&self, peers: &Peers, quorum: usize) -> u64 {
        let has = |mark: &&Mark| {
            let peer = peers.iter().find(|peer| peer.id == mark.peer);
            peer.is_some_and(|peer| {
                let later = peer.generation > mark.generation;
                let acked = later || peer.outbox.acked() >= mark.end;
                peer.is_whole() && (acked || !self.wrote.alone)
            })
        };
        let streams = self.marks.iter().filter(has).count();
        let sure = quorum - 1;
        let count = match (self.wrote.majority, self.wrote.alone) {
            (true, false) => sure,
            (true, true) => sure.min(streams),
            (false, _) => streams,
        };
        count as u64
    }

    /// Whether time can change the count.
    const fn can_grow(&self) -> bool {
        self.wrote.alone
    }
}

impl Waits {
    /// When [`Node::run_waits`] has something to do at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.open.iter().filter_map(|waiting| waiting.until).min()
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.retain(|waiting| waiting.link != link);
    }
}

impl Node {
    /// A connection asks for so many.
    pub(super) fn begin_wait(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        wrote: Wrote,
        (wanted, timeout): (u64, Option<Millis>),
    ) {
        let marks = self.peers.iter().map(|peer| {
            let (generation, end) = (peer.generation, peer.outbox.end());
            Mark { peer: peer.id, generation, end }
        });
        let marks = marks.collect();
        let until = timeout.map(|timeout| now.mono + timeout);
        self.waits.open.push(Waiting { link, ticket, wanted, until, wrote, marks });
        self.run_waits(now);
    }

    /// Answers those who need not wait any longer.
    pub(super) fn run_waits(&mut self, now: Now) {
        if self.waits.open.is_empty() {
            return;
        }
        let (peers, quorum, stops) = (&self.peers, self.members.quorum(), self.draining.is_some());
        let mut over = Vec::new();
        self.waits.open.retain(|waiting| {
            let count = waiting.count(peers, quorum);
            let late = waiting.until.is_some_and(|until| until <= now.mono);
            let ends = count >= waiting.wanted || late || stops || !waiting.can_grow();
            if ends {
                over.push((waiting.link, waiting.ticket, count));
            }
            !ends
        });
        for (link, ticket, count) in over {
            self.reply(link, ticket, |writer| writer.integer(count as i64));
        }
    }
}
