//! Replies on their way out, in the order of their requests.
//!
//! Owns the output, what of it must wait ([`Gate`]), and the places of replies that are not known
//! yet. While no place is open, replies are written straight into the output. A deferred reply
//! opens a place and has a [`Ticket`]; what is answered behind it gets a place too, already filled.
//! When the first place is filled its reply goes into the output, and what stood behind it follows,
//! up to the next open place. Filled places that touch become one, so that a place costs memory
//! only next to an open one.
//!
//! Invariants:
//! - The first place is open; the others may be filled.
//! - Tickets are numbers of places, which rise and are never given twice.

use std::{collections::VecDeque, mem, vec::Drain};

use super::{Done, Gate, Note, Ticket, Wait};
use crate::{
    buffer::OutBuf,
    probe::{Mutant, planted},
    proto::{
        Style,
        reply::{ReplyWriter, error_code},
    },
};

/// Places for which memory is kept when none is open: enough for a short pipeline, little enough
/// for 10,000 connections.
const PLACES_KEPT: usize = 64;

/// All replies of one connection that have not been taken.
#[derive(Clone, Debug, Hash)]
pub(super) struct Replies {
    output: OutBuf,
    /// Bytes of output taken so far.
    written: u64,
    /// What of the output must wait.
    gate: Gate,
    /// The number of the first place.
    first: u64,
    places: VecDeque<Place>,
    /// The reply that is written behind an open place, before it has a place of its own.
    fresh: OutBuf,
    /// Bytes in filled places.
    behind: usize,
    /// Memory of filled places.
    held: usize,
    /// How many places have a wait.
    waits: usize,
    /// Bytes that open places expect.
    expected: usize,
    /// Replies are left out.
    silent: bool,
    /// What became of the reply that was last asked for.
    last: Answered,
    /// Requests whose replies wait in the output or behind open places, in the order of their
    /// waits.
    noted: VecDeque<(Wait, Note)>,
    /// Requests whose replies need not wait any longer.
    ended: Vec<Note>,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Answered {
    /// The code of the error that it is.
    pub(super) failed: Option<&'static str>,
    pub(super) held: Held,
    /// Nothing else is to be begun before it is given.
    pub(super) alone: bool,
}

/// What a reply waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// For nothing of its own.
    #[default]
    No,
    /// It is known, and may not leave before this.
    Gate(Wait),
    /// It is not known; its place is the last one.
    Open,
}

/// A reply, or replies one behind another.
#[derive(Clone, Debug, Hash)]
struct Place {
    style: Style,
    /// Nothing while it is open.
    reply: Option<OutBuf>,
    /// Bytes that its reply is expected to have; none once that is known.
    expected: usize,
    /// What its first byte must wait for once it is in the output.
    wait: Option<Wait>,
    /// The client does not want it.
    silent: bool,
    /// What is remembered of its request, while it is open.
    note: Option<Note>,
}

impl Replies {
    pub(super) const fn new(first: Ticket) -> Self {
        Self {
            output: OutBuf::new(),
            written: 0,
            gate: Gate::new(),
            first: first.0,
            places: VecDeque::new(),
            fresh: OutBuf::new(),
            behind: 0,
            held: 0,
            waits: 0,
            expected: 0,
            silent: false,
            last: Answered { failed: None, held: Held::No, alone: false },
            noted: VecDeque::new(),
            ended: Vec::new(),
        }
    }

    /// A reply that is known and waits for nothing.
    pub(super) fn say(&mut self, style: Style, write: impl FnOnce(&mut ReplyWriter<'_>)) {
        self.answer(style, |mut reply| {
            write(&mut reply);
            Done::Now(None)
        });
    }

    /// OK.
    pub(super) fn ok(&mut self, style: Style) {
        self.say(style, |reply| reply.ok());
    }

    /// The next reply: it is written, or a place stays open for it, which has the number of
    /// [`Replies::next`].
    pub(super) fn answer(&mut self, style: Style, write: impl FnOnce(ReplyWriter<'_>) -> Done) {
        let direct = self.places.is_empty() && !self.silent;
        let start = self.end();
        let out = if direct { &mut self.output } else { &mut self.fresh };
        let before = out.len();
        let done = write(ReplyWriter::new(out, style));
        let reply = out.pending().get(before..).unwrap_or_default();
        let failed = error_code(reply, style);
        debug_assert!(
            reply.is_empty() || matches!(done, Done::Now(_)),
            "a deferred reply is written later"
        );
        let held = match done {
            Done::Now(Some(wait)) => Held::Gate(wait),
            Done::Now(None) => Held::No,
            Done::Alone(expected) | Done::Later(expected) => {
                self.open(style, expected);
                Held::Open
            }
        };
        if self.silent {
            self.fresh.clear();
        } else if let Held::Gate(wait) = held
            && direct
        {
            self.gate.hold(start, wait);
        } else if !direct && held != Held::Open {
            self.place_fresh(style, if let Held::Gate(wait) = held { Some(wait) } else { None });
        }
        self.last = Answered { failed, held, alone: matches!(done, Done::Alone(_)) };
    }

    /// What became of the reply that was last asked for.
    pub(super) const fn last(&self) -> Answered {
        self.last
    }

    /// From now on replies are left out, or are not.
    pub(super) const fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Remembers something of the request that was answered last, until its reply need not wait
    /// any longer.
    pub(super) fn remember(&mut self, note: Note) {
        match self.last.held {
            Held::No => self.ended.push(note),
            Held::Gate(wait) => self.noted.push_back((wait, note)),
            Held::Open => {
                if let Some(place) = self.places.back_mut() {
                    place.note = Some(note);
                }
            }
        }
    }

    /// What was remembered of requests whose replies need not wait any longer.
    pub(super) fn drain_ended(&mut self) -> Drain<'_, Note> {
        self.ended.drain(..)
    }

    /// Bytes that are no reply, behind those that are known.
    pub(super) fn interject(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
    }

    /// The ticket of the next reply, should it be deferred.
    pub(super) fn next(&self) -> Ticket {
        Ticket(self.first + self.places.len() as u64)
    }

    /// Fills an open place. Whether it was one.
    pub(super) fn fill(
        &mut self,
        ticket: Ticket,
        write: impl FnOnce(&mut ReplyWriter<'_>),
    ) -> bool {
        let Some(index) = ticket.0.checked_sub(self.first) else { return false };
        let Some(place) = self.places.get_mut(index as usize) else { return false };
        if place.reply.is_some() {
            return false;
        }
        self.expected -= mem::take(&mut place.expected);
        let (style, silent, note) = (place.style, place.silent, place.note.take());
        let mut reply = OutBuf::new();
        let direct = index == 0 && !silent;
        let out = if direct { &mut self.output } else { &mut reply };
        let before = out.len();
        write(&mut ReplyWriter::new(out, style));
        if let Some(mut note) = note {
            note.failed = error_code(out.pending().get(before..).unwrap_or_default(), style);
            self.ended.push(note);
        }
        if index == 0 {
            self.pop();
            self.follow();
            return true;
        }
        if silent {
            reply = OutBuf::new();
        }
        self.behind += reply.len();
        self.held += reply.capacity();
        if let Some(place) = self.places.get_mut(index as usize) {
            place.reply = Some(reply);
        }
        true
    }

    /// Whether a place of that number is open.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        let index = ticket.0.checked_sub(self.first);
        let place = index.and_then(|index| self.places.get(index as usize));
        place.is_some_and(|place| place.reply.is_none())
    }

    /// Bytes that may be written.
    pub(super) fn output(&self) -> &[u8] {
        let pending = self.output.pending();
        match self.gate.held_from() {
            Some(pos) => pending.get(..(pos - self.written) as usize).unwrap_or_default(),
            None => pending,
        }
    }

    /// Forgets `count` bytes of output that were written.
    pub(super) fn consume(&mut self, count: usize) {
        self.output.consume(count);
        self.written += count as u64;
    }

    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Whether anything waits for something else than the client.
    pub(super) fn is_held(&self) -> bool {
        self.gate.held_from().is_some() || self.has_open() || !self.noted.is_empty()
    }

    /// Whether a place is open.
    pub(super) fn has_open(&self) -> bool {
        !self.places.is_empty()
    }

    /// Places that are open, or filled behind an open one.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    /// Lets go of replies whose wait is over. Whether that was any of the output.
    pub(super) fn release(&mut self, is_over: impl Fn(Wait) -> bool) -> bool {
        while let Some((_, note)) = self.noted.pop_front_if(|(wait, _)| is_over(*wait)) {
            self.ended.push(note);
        }
        if self.waits > 0 {
            // Nobody would say so again when they are in the output.
            for place in &mut self.places {
                if place.wait.take_if(|wait| is_over(*wait)).is_some() {
                    self.waits -= 1;
                }
            }
        }
        self.gate.release(is_over)
    }

    /// Whether nothing is left to write, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.output.is_empty() && self.places.is_empty()
    }

    /// Bytes that are known and not taken, and those that are expected.
    pub(super) const fn size(&self) -> usize {
        self.output.len() + self.behind + self.expected
    }

    /// Memory held, in bytes.
    pub(super) fn memory(&self) -> usize {
        let places = self.places.capacity() * size_of::<Place>();
        let noted = self.noted.capacity() * size_of::<(Wait, Note)>();
        self.output.capacity() + self.fresh.capacity() + self.held + places + noted
    }

    /// A planted bug: the second reply of a pipeline goes out before the first. `last` is where the
    /// first one begins, `start` the second.
    pub(super) fn swap(&mut self, last: &mut Option<usize>, start: usize) {
        if planted(Mutant::RepliesSwapped)
            && self.places.is_empty()
            && let Some(first) = last.replace(start)
        {
            let from = self.output.tail().len() - self.output.len() + first;
            self.output.tail()[from..].rotate_left(start - first);
            *last = None;
        }
    }

    /// Checks the invariants at the head of this module, and the counts.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let replies = || self.places.iter().filter_map(|place| place.reply.as_ref());
        assert!(self.places.front().is_none_or(|first| first.reply.is_none()));
        assert_eq!(self.behind, replies().map(OutBuf::len).sum::<usize>());
        assert_eq!(self.held, replies().map(OutBuf::capacity).sum::<usize>());
        assert_eq!(self.expected, self.places.iter().map(|place| place.expected).sum::<usize>());
        assert_eq!(self.waits, self.places.iter().filter(|place| place.wait.is_some()).count());
        assert!(self.fresh.is_empty());
    }

    /// Where the output ends, counted from the first byte ever.
    const fn end(&self) -> u64 {
        self.written + self.output.len() as u64
    }

    fn open(&mut self, style: Style, expected: usize) {
        self.expected += expected;
        let silent = self.silent;
        self.places.push_back(Place {
            style,
            reply: None,
            expected,
            wait: None,
            silent,
            note: None,
        });
    }

    /// Gives the fresh reply a place behind all others, or a share of the last one.
    fn place_fresh(&mut self, style: Style, wait: Option<Wait>) {
        self.behind += self.fresh.len();
        if let Some(Place { reply: Some(last), wait: held, .. }) = self.places.back_mut()
            // What stands behind a wait waits too.
            && (wait.is_none() || *held == wait)
        {
            self.held -= last.capacity();
            last.extend(self.fresh.pending());
            self.held += last.capacity();
            self.fresh.clear();
        } else {
            let reply = mem::take(&mut self.fresh);
            self.held += reply.capacity();
            self.waits += usize::from(wait.is_some());
            let (reply, silent, note) = (Some(reply), false, None);
            self.places.push_back(Place { style, reply, expected: 0, wait, silent, note });
        }
    }

    /// Moves filled places into the output, up to the first open one.
    fn follow(&mut self) {
        while let Some(Place { reply: Some(reply), wait, .. }) = self.places.front() {
            if let Some(wait) = *wait {
                self.waits -= 1;
                self.gate.hold(self.written + self.output.len() as u64, wait);
            }
            self.output.extend(reply.pending());
            self.behind -= reply.len();
            self.held -= reply.capacity();
            self.pop();
        }
        if self.places.is_empty() {
            debug_assert_eq!((self.behind, self.held, self.waits), (0, 0, 0), "nothing is left");
            debug_assert_eq!(self.expected, 0, "nothing is expected");
            self.fresh = OutBuf::new();
            self.places.shrink_to(PLACES_KEPT);
        }
    }

    fn pop(&mut self) {
        self.places.pop_front();
        self.first += 1;
    }
}
