//! Flights: writes on their way to a majority.
//!
//! A write is sent to each peer in its stream, and so a position in each stream stands for it: the
//! peer's cumulative acknowledgement of that position is its vote. Our own vote is that the log has
//! the batch in which the write went. Votes arrive in order, so each peer costs a queue and a vote
//! one look at its front.
//!
//! An acknowledgement counts only for what was sent on the link that it came by: of a link that is
//! gone we may have missed that a write was refused. What was applied there is sent again
//! ([`Flights::on_resumed`]).

use std::collections::VecDeque;

use super::votes::Votes;
use crate::{log::Batch, record::NodeId};

/// A write's number; they rise.
pub(crate) type Number = u64;

/// What flies, and is told so if a majority has voted for it.
pub(crate) trait Fly {
    fn on_majority(&self, votes: Votes);
}

/// Writes in flight, each with something of the owner's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flights<T> {
    me: NodeId,
    quorum: usize,
    /// The number of the first in `open`.
    first: Number,
    /// In order of their numbers; a place is empty once its write needs no votes any more.
    open: VecDeque<Option<Flight<T>>>,
    /// By peer: positions in its stream, rising.
    streams: Vec<VecDeque<(u64, Number)>>,
    own: VecDeque<(Batch, Number)>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight<T> {
    votes: Votes,
    item: T,
}

impl<T: Fly> Flights<T> {
    /// No writes yet, among `members` of whom `quorum` are a majority.
    pub(crate) fn new(me: NodeId, members: usize, quorum: usize) -> Self {
        Self {
            me,
            quorum,
            first: 1,
            open: VecDeque::new(),
            streams: (0..members).map(|_| VecDeque::new()).collect(),
            own: VecDeque::new(),
            count: 0,
        }
    }

    /// How many writes want votes.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// How many numbers are kept count of: all from the oldest write that wants votes.
    pub(crate) fn span(&self) -> usize {
        self.open.len()
    }

    /// A write sets out; our own vote is the batch in which it is logged.
    pub(crate) fn launch(&mut self, item: T, batch: Batch) -> Number {
        let number = self.open(item);
        self.logged(number, batch);
        number
    }

    /// Something that will want votes.
    pub(crate) fn open(&mut self, item: T) -> Number {
        let number = self.first + self.open.len() as Number;
        self.open.push_back(Some(Flight { votes: Votes::default(), item }));
        self.count += 1;
        number
    }

    /// Our own vote is that the log has this batch.
    pub(crate) fn logged(&mut self, number: Number, batch: Batch) {
        self.own.push_back((batch, number));
    }

    /// It stands in a peer's stream, which had this position behind it.
    pub(crate) fn sent(&mut self, number: Number, peer: NodeId, end: u64) {
        if let Some(stream) = self.streams.get_mut(peer.index()) {
            stream.push_back((end, number));
        }
    }

    /// Whether a write still wants votes.
    pub(crate) fn is_open(&self, number: Number) -> bool {
        let index = number.checked_sub(self.first);
        index.is_some_and(|index| matches!(self.open.get(index as usize), Some(Some(_))))
    }

    /// A write that still wants votes.
    pub(crate) fn get_mut(&mut self, number: Number) -> Option<&mut T> {
        let index = number.checked_sub(self.first)?;
        self.open.get_mut(index as usize)?.as_mut().map(|flight| &mut flight.item)
    }

    /// One that still wants votes.
    pub(crate) fn get(&self, number: Number) -> Option<&T> {
        let index = number.checked_sub(self.first)?;
        self.open.get(index as usize)?.as_ref().map(|flight| &flight.item)
    }

    /// Who has voted for one that still wants votes.
    pub(crate) fn votes(&self, number: Number) -> Option<Votes> {
        let index = number.checked_sub(self.first)?;
        self.open.get(index as usize)?.as_ref().map(|flight| flight.votes)
    }

    /// One does not want votes any more.
    pub(crate) fn take(&mut self, number: Number) -> Option<T> {
        let index = number.checked_sub(self.first)?;
        let flight = self.open.get_mut(index as usize)?.take()?;
        self.count -= 1;
        self.trim();
        Some(flight.item)
    }

    /// A member has what one stands for, durably. Hands it out if a majority has now.
    pub(crate) fn on_vote(&mut self, by: NodeId, number: Number) -> Option<T> {
        let mut decided = None;
        self.vote(by, number, &mut |_, item| decided = Some(item));
        self.trim();
        decided
    }

    /// A peer has everything durably up to a position. Hands out what a majority has now.
    pub(crate) fn on_ack(&mut self, peer: NodeId, pos: u64, mut done: impl FnMut(Number, T)) {
        while let Some(stream) = self.streams.get_mut(peer.index())
            && let Some((end, number)) = stream.front().copied()
            && end <= pos
        {
            stream.pop_front();
            self.vote(peer, number, &mut done);
        }
        self.trim();
    }

    /// The log has everything up to a batch. Hands out what a majority has now.
    pub(crate) fn on_durable(&mut self, batch: Batch, mut done: impl FnMut(Number, T)) {
        while let Some((last, number)) = self.own.front().copied()
            && last <= batch
        {
            self.own.pop_front();
            self.vote(self.me, number, &mut done);
        }
        self.trim();
    }

    /// A peer goes on with its session on a new link, at a position. Which writes must be sent
    /// again.
    pub(crate) fn on_resumed(&mut self, peer: NodeId, pos: u64) -> Vec<Number> {
        let mut again = Vec::new();
        while let Some(stream) = self.streams.get_mut(peer.index())
            && let Some((end, number)) = stream.front().copied()
            && end <= pos
        {
            stream.pop_front();
            if self.get_mut(number).is_some() {
                again.push(number);
            }
        }
        again
    }

    /// A peer's stream begins anew, or it votes from now on. Which writes must be sent again: all
    /// that it has not voted for.
    pub(crate) fn on_restarted(&mut self, peer: NodeId) -> Vec<Number> {
        if let Some(stream) = self.streams.get_mut(peer.index()) {
            stream.clear();
        }
        let numbered = self.open.iter().enumerate();
        let lacking = numbered.filter(|(_, flight)| {
            flight.as_ref().is_some_and(|flight| !flight.votes.contains(peer))
        });
        lacking.map(|(index, _)| self.first + index as Number).collect()
    }

    /// What a peer voted for in an earlier life does not count any longer.
    pub(crate) fn retract(&mut self, peer: NodeId) {
        self.open.iter_mut().flatten().for_each(|flight| flight.votes.retract(peer));
    }

    /// Gives up writes; they are handed out.
    pub(crate) fn give_up(
        &mut self,
        mut which: impl FnMut(&T) -> bool,
        mut done: impl FnMut(Number, T),
    ) {
        for (number, place) in (self.first..).zip(self.open.iter_mut()) {
            if place.as_ref().is_some_and(|flight| which(&flight.item))
                && let Some(flight) = place.take()
            {
                self.count -= 1;
                done(number, flight.item);
            }
        }
        self.trim();
    }

    /// The oldest that wants votes.
    pub(crate) fn oldest(&self) -> Option<Number> {
        (!self.open.is_empty()).then_some(self.first)
    }

    /// The numbers of all that want votes, oldest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Number> {
        let numbered = self.open.iter().enumerate();
        numbered.filter(|(_, place)| place.is_some()).map(|(index, _)| self.first + index as Number)
    }

    /// All writes that want votes, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.open.iter().flatten().map(|flight| &flight.item)
    }

    /// All writes that want votes, oldest first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.open.iter_mut().flatten().map(|flight| &mut flight.item)
    }

    fn vote(&mut self, by: NodeId, number: Number, done: &mut impl FnMut(Number, T)) {
        let Some(index) = number.checked_sub(self.first) else { return };
        let Some(place) = self.open.get_mut(index as usize) else { return };
        let Some(flight) = place else { return };
        flight.votes.add(by);
        if flight.votes.count() >= self.quorum
            && let Some(flight) = place.take()
        {
            self.count -= 1;
            flight.item.on_majority(flight.votes);
            done(number, flight.item);
        }
    }

    fn trim(&mut self) {
        while matches!(self.open.front(), Some(None)) {
            self.open.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Fly for char {
        fn on_majority(&self, votes: Votes) {
            assert!(votes.count() >= 2, "{self}");
        }
    }

    const ME: NodeId = NodeId(0);
    const PEER: NodeId = NodeId(1);

    fn acked(flights: &mut Flights<char>, peer: NodeId, pos: u64) -> String {
        let mut done = String::new();
        flights.on_ack(peer, pos, |_, item| done.push(item));
        done
    }

    #[test]
    fn a_majority_of_durable_copies_completes_a_write() {
        let mut flights = Flights::new(ME, 3, 2);
        let a = flights.launch('a', Batch(1));
        flights.sent(a, PEER, 10);
        let b = flights.launch('b', Batch(1));
        flights.sent(b, PEER, 20);
        flights.sent(b, NodeId(2), 5);
        assert_eq!(acked(&mut flights, PEER, 10), "");
        assert_eq!(acked(&mut flights, NodeId(2), 5), "");
        let mut done = String::new();
        flights.on_durable(Batch(1), |_, item| done.push(item));
        assert_eq!((done.as_str(), flights.len()), ("ab", 0));
        assert_eq!(acked(&mut flights, PEER, 20), "", "nobody waits for it");
        assert_eq!(flights.launch('c', Batch(2)), 3);
    }

    #[test]
    fn what_a_lost_link_carried_is_sent_again() {
        let mut flights = Flights::new(ME, 3, 3);
        for (item, end) in [('a', 10), ('b', 20), ('c', 30)] {
            let number = flights.launch(item, Batch(1));
            flights.sent(number, PEER, end);
        }
        acked(&mut flights, PEER, 10);
        assert_eq!(flights.on_resumed(PEER, 20), [2]);
        assert_eq!(acked(&mut flights, PEER, 20), "", "applied there, perhaps as a refusal");
        assert_eq!(flights.on_restarted(PEER), [2, 3]);
        flights.retract(PEER);
        assert_eq!(flights.on_restarted(PEER), [1, 2, 3]);
        let mut lost = String::new();
        flights.give_up(|item| *item != 'b', |_, item| lost.push(item));
        assert_eq!((lost.as_str(), flights.len()), ("ac", 1));
        assert_eq!(flights.get_mut(2).copied(), Some('b'));
    }
}
