//! Writes that a peer is to be sent again, for its stream began anew or lost some on its way.

use std::collections::VecDeque;

use super::{Ctx, Leader, Write};
use crate::{
    node::flights::Number,
    probe::{Mutant, planted},
    proto::peer::STREAM_OVERHEAD,
    record::{Db, NodeId},
    slot::SlotSet,
};

/// What one peer is to be sent again, as its outbox has room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Again {
    /// They go first, in their order: see [`Leader::send_batches`].
    pub(super) batches: VecDeque<Number>,
    others: VecDeque<Number>,
}

impl Leader {
    /// A peer's session goes on over a new link from a position; or it begins anew, or the peer
    /// votes from now on, if there is none. It is to be sent again what it has not voted for.
    pub(crate) fn on_session(&mut self, ctx: &mut Ctx<'_>, peer: NodeId, resumed: Option<u64>) {
        let again = match resumed {
            Some(pos) => self.flights.on_resumed(peer, pos),
            None => self.flights.on_restarted(peer),
        };
        // What an earlier session had not come to is among it, unless this one goes on: then what
        // was sent before comes before that.
        let waiting = self.again.remove(&peer).filter(|_| resumed.is_some());
        let mut waiting = waiting.unwrap_or_default();
        for number in again.into_iter().rev() {
            self.queue(&mut waiting, number).push_front(number);
        }
        self.again.insert(peer, waiting);
        self.send_again(ctx);
    }

    /// A peer is sent this as its outbox has room, behind what else it is to be sent again.
    pub(super) fn send_later(&mut self, peer: NodeId, number: Number) {
        let mut waiting = self.again.remove(&peer).unwrap_or_default();
        self.queue(&mut waiting, number).push_back(number);
        self.again.insert(peer, waiting);
    }

    fn queue<'a>(&self, again: &'a mut Again, number: Number) -> &'a mut VecDeque<Number> {
        let batch = self.flights.get(number).is_some_and(|write| write.together.is_some());
        if batch { &mut again.batches } else { &mut again.others }
    }

    /// A peer holds, durably and accepted, what we held in these slots when the last stamp was `seq`.
    /// That is its vote, also for what it is to be sent again or has not acknowledged yet: it may
    /// never do so, for a tombstone that all hold is dropped and is not sent any more.
    pub(crate) fn on_held(&mut self, peer: NodeId, slots: &SlotSet, seq: u64) {
        if planted(Mutant::HeldNotCounted) {
            return;
        }
        let flights = &self.flights;
        let held = |write: &Write| slots.contains(write.slot) && write.version.seq() <= seq;
        let held = flights.numbers().filter(|number| flights.get(*number).is_some_and(held));
        let held: Vec<Number> = held.collect();
        for number in held {
            if let Some(write) = self.flights.on_vote(peer, number) {
                self.commit(number, write);
            }
        }
    }

    /// Whether batches are to be sent to a member again, before anything newer.
    pub(super) fn owes_batches(&self, member: NodeId) -> bool {
        self.again.get(&member).is_some_and(|waiting| !waiting.batches.is_empty())
    }

    /// Whether what is under way in these slots up to the stamp `seq` has a member's vote.
    pub(crate) fn has_voted(&self, member: NodeId, slots: &SlotSet, seq: u64) -> bool {
        let mut numbers = self.flights.numbers();
        numbers.all(|number| {
            let voted = self.flights.votes(number).is_some_and(|votes| votes.contains(member));
            let held = |write: &Write| slots.contains(write.slot) && write.version.seq() <= seq;
            voted || !self.flights.get(number).is_some_and(held)
        })
    }

    /// Sends peers what they are to have again, but no more at a time than leaves room for new
    /// writes: all that is under way may be more than an outbox takes, and one that overflows ends
    /// its session, so that all would have to be sent once more, for ever.
    pub(crate) fn send_again(&mut self, ctx: &mut Ctx<'_>) {
        if self.again.is_empty() {
            return;
        }
        let waiting: Vec<NodeId> = self.again.keys().copied().collect();
        for peer in waiting {
            let Some(to) = ctx.peers.get_mut(peer) else { continue };
            // Among the newest records of keys may be what is newer than a batch.
            if !self.send_batches(to) {
                continue;
            }
            let Some(Again { others: waiting, .. }) = self.again.get_mut(&to.id) else { continue };
            while let Some(number) = waiting.front().copied() {
                let key = self.flights.get(number).map(|write| &write.key);
                let record = key.and_then(|key| ctx.replica.store.encoded(Db::STRONG, key));
                let Some(record) = record else {
                    waiting.pop_front();
                    continue;
                };
                if !to.outbox.has_room(STREAM_OVERHEAD + record.len()) {
                    break;
                }
                waiting.pop_front();
                if let Some(end) = to.outbox.push_record(record) {
                    self.flights.sent(number, to.id, end);
                }
            }
        }
        self.again.retain(|_, waiting| *waiting != Again::default());
    }
}
