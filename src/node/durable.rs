//! What the node hands to the disk, and what it says once the disk has it.

use super::{
    LinkId, Node,
    checkpoint::ImagePart,
    links::{End, Side},
    peers::Cursor,
    strong::Why,
};
use crate::{
    conn::Wait,
    log::{Batch, Entry, Loss},
    probe::{
        Hook, Mutant,
        claims::{Word, say},
        planted, reached,
    },
    proto::peer::Frame,
    record::NodeId,
    time::Now,
};

/// A batch of entries for the log.
#[derive(Debug)]
pub struct Append<'a> {
    /// Its number, by which it will be called durable.
    pub batch: Batch,
    /// Its entries. Whoever takes them leaves the vector empty; the memory may be swapped. Without
    /// any only a new segment is wanted.
    pub entries: &'a mut Vec<u8>,
    /// It must reach the disk itself before it counts as durable, however little the user asks for.
    pub sync: bool,
    /// It must begin a new segment.
    pub rotate: bool,
}

/// What a start found on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found {
    /// The number of the life that begins, above all before it.
    pub incarnation: u64,
    /// The number of the first life of its data, which a node whose data was deleted has not.
    pub birth: u64,
    /// Bytes of the checkpoint.
    pub checkpoint_size: u64,
    /// Bytes of the log besides.
    pub log_size: u64,
    /// What was durable once and is perhaps not there any more.
    pub loss: Loss,
    /// An operator wants a cold start.
    pub cold: bool,
}

/// What a node with losses waits for before it is whole again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Refill {
    /// It has lost nothing, or has it again.
    #[default]
    Done,
    /// Each peer must show us all that it has.
    Walks,
    /// All have; that must be durable.
    Durable(Option<Batch>),
}

impl Node {
    /// Takes back what an earlier life wrote, entry by entry in its order, before anything else.
    /// None of it is refused, whatever its stamps say: it was taken before.
    pub fn recover(&mut self, entry: Entry<'_>) {
        self.strong.recover(&entry);
        if let Entry::Formed { births } = entry {
            self.formation.recover(births);
        }
        self.replica.recover(entry);
    }

    /// Begins the life that follows what was recovered.
    pub fn recovered(&mut self, now: Now, found: Found) {
        self.replica.begin_life(found.incarnation);
        let lost = found.loss != Loss::None;
        self.formation.set_birth(found.birth, found.loss);
        if lost {
            self.replica.floors.lose();
            self.replica.log_floor();
            self.refill = Refill::Walks;
            self.maybe_refilled();
        } else {
            self.sweep_leftovers();
        }
        self.checkpoint.recover(found.checkpoint_size, found.log_size);
        self.maybe_form();
        if self.formation.is_formed() {
            self.begin_voting(now);
        } else if self.formation.is_lost() {
            self.strong.set_waiting(match found.loss {
                _ if found.cold => Why::Told,
                Loss::None | Loss::Tail => Why::Tail,
                Loss::More => Why::Damaged,
            });
            self.begin_recovery(now);
        } else {
            self.strong.set_waiting(match found.loss {
                Loss::More if found.cold => Why::Told,
                Loss::More => Why::Damaged,
                Loss::None | Loss::Tail => Why::Empty,
            });
        }
    }

    /// A batch, and all before it, are durable: what waited for them may be said.
    pub fn handle_durable(&mut self, now: Now, batch: Batch) {
        let held = self.replica.journal.holds_peers();
        self.replica.journal.on_durable(batch);
        self.checkpoint.on_durable(batch);
        self.observer.on_durable(now);
        if held && !self.replica.journal.holds_peers() {
            let dialed = self.peers.iter().filter_map(|peer| peer.link());
            let links: Vec<LinkId> = dialed.chain(self.accepted.iter().copied()).collect();
            links.into_iter().for_each(|link| self.links.touch(link));
        }
        self.on_batch(now, batch);
        self.send_acks();
        self.release(now);
    }

    /// A checkpoint is complete.
    pub fn handle_saved(&mut self, now: Now) {
        self.checkpoint.on_saved(now);
        tracing::info!(bytes = self.checkpoint.last_size(), "a checkpoint is complete");
        self.release(now);
    }

    /// A peer has shown us all that it had when it began to. Whether we could take all of it: if not, it
    /// is as if it had shown nothing, and shows it again later.
    pub(super) fn on_walked(&mut self, from: NodeId) -> bool {
        let taken = self.replica.floors.on_shown(from);
        if taken {
            say(Word::Walked(from.0));
        } else {
            tracing::warn!(
                peer = %self.members.name(from),
                "left alone what is too far ahead of this node's clock; check the clocks of both nodes"
            );
        }
        if let Some(peer) = self.peers.get_mut(from)
            && (taken || planted(Mutant::WalkCountsSkipped))
        {
            peer.has_walked = true;
        }
        self.maybe_refilled();
        taken
    }

    fn maybe_refilled(&mut self) {
        if self.refill == Refill::Walks && self.peers.iter().all(|peer| peer.has_walked) {
            self.refill = Refill::Durable(self.replica.journal.wait_for_all());
        }
    }

    /// Whether what was lost is there again, durably, as far as any peer has it. True once.
    pub fn poll_recovered(&mut self) -> bool {
        let Refill::Durable(batch) = self.refill else { return false };
        if !self.strong.votes()
            || batch.is_some_and(|batch| !self.replica.journal.is_durable(batch))
        {
            return false;
        }
        tracing::info!("what was lost is there again, as far as any peer had it");
        self.refill = Refill::Done;
        true
    }

    /// A batch for the disk, which has none; nothing if there is nothing to log.
    pub fn poll_append(&mut self) -> Option<Append<'_>> {
        let logged = self.replica.journal.logged();
        if self.checkpoint.is_due(logged, self.limits.checkpoint_log_min) {
            self.checkpoint.want();
        }
        if self.replica.journal.gathered() == 0 && !self.checkpoint.wants_segment() {
            return None;
        }
        let rotate = self.checkpoint.on_batch(self.replica.journal.gathering(), logged);
        if rotate {
            reached(Hook::CheckpointBegun);
            tracing::info!("a checkpoint begins");
        }
        self.observer.on_handed();
        let (batch, entries, sync) = self.replica.journal.take();
        Some(Append { batch, entries, sync, rotate })
    }

    /// The next piece of a checkpoint for the disk, if it has `room`.
    pub fn poll_image(&mut self, room: bool) -> Option<ImagePart<'_>> {
        self.image_room = room;
        if !room || !self.checkpoint.has_part() {
            return None;
        }
        let bound = self.replica.journal.latest_bound();
        let unlogged = self.replica.journal.wait_for_all();
        let size = self.limits.checkpoint_slice;
        let (hlc, lives) = self.replica.floor_kept();
        let Self { strong, formation, checkpoint, replica, slice, .. } = self;
        let others = |out: &mut Vec<u8>| {
            if let Some(births) = formation.kept() {
                Entry::Formed { births }.encode(out);
            }
            Entry::Floor { hlc, lives: &lives }.encode(out);
            strong.log(out);
        };
        checkpoint.part(&replica.store, bound, unlogged, slice, size, others)
    }

    /// Whether a piece of a checkpoint could be written without waiting for anything.
    pub(super) const fn can_write_image(&self) -> bool {
        self.image_room && self.checkpoint.has_part()
    }

    /// Acknowledges what we have of a peer's stream, once it is durable.
    pub(super) fn acknowledge(&mut self, link: LinkId) {
        let Some(Side::Accepted { from: Some(from), .. }) = self.links.peer(link).map(|l| l.side)
        else {
            return;
        };
        let wait = self.replica.journal.wait_for_all();
        let wait = wait.filter(|_| !planted(Mutant::AcceptAckedEarly));
        if let Some(peer) = self.peers.get_mut(from) {
            peer.owe_ack(wait);
        }
        if wait.is_none() {
            self.send_acks();
        }
    }

    /// Says what acknowledgements are due.
    fn send_acks(&mut self) {
        for peer in self.peers.iter_mut() {
            let journal = &self.replica.journal;
            if let Some(ack) = peer.take_ack(|batch| journal.is_durable(batch)) {
                reached(Hook::AckSent);
                let Cursor { generation, pos, .. } = ack;
                peer.say(&Frame::Ack { generation, pos });
            }
        }
    }

    /// Lets go of replies whose wait is over.
    fn release(&mut self, now: Now) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let (journal, completed) = (&self.replica.journal, self.checkpoint.completed());
        let is_over = |wait: Wait| match wait {
            Wait::Durable(batch) => journal.is_durable(batch),
            Wait::Saved(count) => count <= completed,
        };
        let (links, watched, owing) = (&mut self.links, &mut self.watched, &mut self.owing);
        waiting.retain(|link| {
            let Some(End::Client { connection, waits, .. }) = links.end_mut(*link) else {
                return false;
            };
            let released = connection.release(is_over);
            owing.push(*link);
            *waits = connection.is_held();
            let still = *waits;
            if released {
                links.touch(*link);
                // A reader's patience counts from when it could read.
                watched.iter_mut().filter(|w| w.link == *link).for_each(|w| w.since = now.mono);
            }
            still
        });
        self.waiting = waiting;
    }
}
