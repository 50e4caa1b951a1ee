//! WAIT: how many other members hold, durably, what a connection has written.
//!
//! What the strong and the quorum database have acknowledged a majority holds, though not for each
//! write the same members: so of every such write that many others than this node hold it for
//! certain, less one since this node may be among them. What the eventual database acknowledged
//! stands in our stream to each peer; whoever has acknowledged the stream up to now holds it. So
//! does a peer with a session that began after the question, once a walk in that session has shown
//! it all that we have.
//!
//! WAITAOF asks the same of disks, and of this node too. With `--fsync always` what is acknowledged is
//! on a disk, here as on others that are started so. Whether this node holds what a majority has
//! acknowledged nobody knows, unless all must; then it does not count itself.

use super::{LinkId, Node, peers::Peers};
use crate::{
    conn::Ticket,
    log::Batch,
    probe::{Mutant, planted},
    record::{Db, NodeId},
    time::{Instant, Millis, Now},
};

/// Why WAITAOF counts nobody else.
const NOT_SYNCED: &str = "ERR WAITAOF can't count other nodes when --fsync is everysec: what they acknowledge need \
                          not be on their disks";

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
    wanted: Wanted,
    until: Option<Instant>,
    wrote: Wrote,
    marks: Vec<Mark>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// WAITAOF, and what it wants of this node.
    pub(super) local: Option<Local>,
    /// So many others.
    pub(super) replicas: u64,
}

/// What WAITAOF wants of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Local {
    /// It must have on its disk what was written.
    needed: bool,
    /// It has, once this batch is.
    batch: Option<Batch>,
    /// It holds all that was written: what a majority has acknowledged may be on others.
    holds: bool,
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
                let sent = planted(Mutant::WaitCountsSent);
                let acked = later || peer.outbox.acked() >= mark.end || sent;
                let whole = peer.is_whole() || planted(Mutant::WaitCountsUnshown);
                whole && (acked || !self.wrote.alone)
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

    /// Whether time can change a count.
    const fn can_grow(&self, count: u64, quorum: usize) -> bool {
        self.wrote.alone && (!self.wrote.majority || count < quorum as u64 - 1)
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
        (wanted, timeout): (Wanted, Option<Millis>),
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

    /// The same, for disks: what this node acknowledges while it lets the system take its time is
    /// on no disk for certain, so it has its own log synced, and can't tell of others.
    pub(super) fn begin_wait_aof(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        wrote: Wrote,
        (needed, replicas, timeout): (bool, u64, Option<Millis>),
    ) {
        let synced = self.observer.settings.synced;
        if replicas > 0 && !synced {
            return self.reply(link, ticket, |writer| writer.error(NOT_SYNCED));
        }
        if needed && !synced {
            self.replica.journal.force_sync();
        }
        let holds = !wrote.majority || self.members.quorum() == self.members.len();
        let batch = self.replica.journal.wait_for_all();
        let wanted = Wanted { local: Some(Local { needed, batch, holds }), replicas };
        self.begin_wait(now, (link, ticket), wrote, (wanted, timeout));
    }

    /// Answers those who need not wait any longer.
    pub(super) fn run_waits(&mut self, now: Now) {
        if self.waits.open.is_empty() {
            return;
        }
        let (peers, quorum, stops) = (&self.peers, self.members.quorum(), self.draining.is_some());
        let mut over = Vec::new();
        let (journal, synced) = (&self.replica.journal, self.observer.settings.synced);
        self.waits.open.retain(|waiting| {
            let Wanted { local, replicas } = waiting.wanted;
            let count = waiting.count(peers, quorum);
            let late = waiting.until.is_some_and(|until| until <= now.mono);
            let enough = count >= replicas || !waiting.can_grow(count, quorum);
            let durable =
                |batch: Option<Batch>| batch.is_none_or(|batch| journal.is_durable(batch));
            let here = local.map(|local| local.holds && durable(local.batch));
            let waits =
                local.is_some_and(|local| local.needed && local.holds) && here == Some(false);
            let ends = (enough && !waits) || late || stops;
            if ends {
                let count = if local.is_some() && !synced { 0 } else { count };
                over.push((waiting.link, waiting.ticket, here, count));
            }
            !ends
        });
        for (link, ticket, here, count) in over {
            self.reply(link, ticket, |writer| {
                if let Some(here) = here {
                    writer.array(2);
                    writer.integer(i64::from(here));
                }
                writer.integer(count as i64);
            });
        }
    }
}
