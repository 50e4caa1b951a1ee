//! The network and its time: a heap of events, and connections as pairs of ends.
//!
//! A connection delivers bytes in order, in the pieces in which they were written, each after a
//! latency of its own. A partition does not lose bytes, it holds them back, as TCP does that sends
//! again until it gets through. What is lost is lost with its connection: a reset drops what is
//! under way; an end can be void, so that all sent to it vanishes without an answer. A writer that
//! the other side does not read is told to wait when the window is full.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use slab::Slab;

use crate::{
    case::{Case, Chop},
    tape::Tape,
};

/// One side of a connection.
pub(super) type EndId = usize;

/// What happens at some time.
#[derive(Debug)]
pub(super) enum Event {
    /// A piece comes to an end.
    Arrive(EndId, u64, Segment),
    /// A fault begins.
    Begin(usize),
    /// A life of a node that stops in order has closed its log.
    Closed(usize, u64),
    /// A batch of a life of a node has reached the disk.
    Disk(usize, u64),
    /// A fault ends.
    End(usize),
    /// A client has waited long enough for a step.
    GiveUp(usize, u64),
    /// A piece of a checkpoint of a life of a node has reached the disk.
    Image(usize, u64),
    /// There may be bytes to read.
    Pump(EndId),
    /// A connection attempt was refused.
    Refused(Call),
    /// A node whose life of this number has ended by itself is started again.
    Respawn(usize, u64),
    /// A client may send the second part of torn requests.
    Rest(usize, u64),
    /// A writer that had to wait may go on.
    Room(EndId),
    /// A connection attempt comes to its node.
    Syn(Call),
    /// And its answer comes back.
    SynAck(Call, EndId),
    /// A node's timeout.
    Timer(usize, u64),
    /// A client may have a step to play.
    Wake(usize),
}

/// An attempt to connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) from: Caller,
    pub(super) to: usize,
}

/// Who connects, and which of its attempts it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    Client { client: usize, session: u64 },
    Node { node: usize, life: u64, attempt: u64 },
}

/// What travels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Bytes(Vec<u8>),
    /// The sender will send no more.
    Fin,
    /// The connection is gone.
    Reset,
}

/// Whose an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Client {
        client: usize,
        session: u64,
    },
    Node {
        node: usize,
        link: u32,
    },
    /// Not yet handed over.
    Nobody,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) owner: Owner,
    /// The host it is on: nodes first, then clients.
    place: usize,
    pub(super) other: EndId,
    /// Nothing is read or written here any more.
    pub(super) closed: bool,
    /// What comes here vanishes, and nobody is told.
    void: bool,
    /// Something was read here.
    pub(super) heard: bool,
    /// Arrived and not read.
    pub(super) inbox: VecDeque<u8>,
    /// The other side's end has arrived, behind the inbox.
    pub(super) fin: bool,
    /// On the way here or held back.
    flight: usize,
    arrives_us: u64,
    held: Vec<(u64, Segment)>,
    /// How many segments were sent here and how many were delivered, and those that came before
    /// their turn.
    sent: u64,
    delivered: u64,
    early: BTreeMap<u64, Segment>,
    /// Its last write fell short.
    pub(super) short: bool,
    /// Nothing is read before this time.
    pub(super) rests_until_us: u64,
    draws: u64,
}

/// Heap, clock and connections.
#[derive(Debug)]
pub(super) struct Net {
    /// When, in which order of scheduling, and where among `events`: small, since a heap moves its
    /// entries a lot.
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Slab<Event>,
    next: u64,
    pub(super) now_us: u64,
    pub(super) ends: Vec<End>,
    seed: u64,
    latency_us: (u64, u64),
    window: usize,
    pub(super) chop: Option<Chop>,
    /// From host to host: how many faults hold messages back, and how much longer they take.
    blocked: Vec<Vec<u32>>,
    slower_us: Vec<Vec<u64>>,
    /// Hosts without power.
    pub(super) dark: Vec<bool>,
    pub(super) cut_writes: u64,
    pub(super) cut_reads: u64,
    /// What is said, for a run that is to be told.
    pub(super) tape: Option<Box<Tape>>,
}

impl Net {
    pub(super) fn new(case: &Case) -> Self {
        let config = &case.config;
        let hosts = config.nodes + config.clients + super::PROBES * config.nodes;
        let mut slower_us = vec![vec![0; hosts]; hosts];
        if let Some((a, b, by_ms)) = config.slow_link {
            (slower_us[a][b], slower_us[b][a]) = (by_ms * 1000, by_ms * 1000);
        }
        Self {
            heap: BinaryHeap::new(),
            events: Slab::new(),
            next: 0,
            now_us: 0,
            ends: Vec::new(),
            seed: case.seed,
            latency_us: (config.latency_ms.0 * 1000 + 50, config.latency_ms.1 * 1000),
            window: config.window_bytes,
            chop: config.chop,
            blocked: vec![vec![0; hosts]; hosts],
            slower_us,
            dark: vec![false; hosts],
            cut_writes: 0,
            cut_reads: 0,
            tape: None,
        }
    }

    pub(super) fn schedule(&mut self, at_us: u64, event: Event) {
        self.next += 1;
        let place = self.events.insert(event);
        self.heap.push(Reverse((at_us.max(self.now_us), self.next, place)));
    }

    /// The next event not after `until_us`; time moves to it, or to `until_us`.
    pub(super) fn pop(&mut self, until_us: u64) -> Option<Event> {
        match self.heap.peek() {
            Some(Reverse((at_us, _, _))) if *at_us <= until_us => {
                let Reverse((at_us, _, place)) = self.heap.pop()?;
                self.now_us = at_us;
                Some(self.events.remove(place))
            }
            _ => {
                self.now_us = until_us;
                None
            }
        }
    }

    /// A connection between two hosts: the end on `a`, the end on `b`.
    pub(super) fn connect(&mut self, a: usize, b: usize) -> (EndId, EndId) {
        let first = self.ends.len();
        for (place, other) in [(a, first + 1), (b, first)] {
            self.ends.push(End {
                owner: Owner::Nobody,
                place,
                other,
                closed: false,
                void: false,
                heard: false,
                inbox: VecDeque::new(),
                fin: false,
                flight: 0,
                arrives_us: 0,
                held: Vec::new(),
                sent: 0,
                delivered: 0,
                early: BTreeMap::new(),
                short: false,
                rests_until_us: 0,
                draws: 0,
            });
        }
        if let Some(tape) = &mut self.tape {
            tape.on_connect((first, first + 1), a, b);
        }
        (first, first + 1)
    }

    /// A number below `bound` that belongs to an end.
    pub(super) fn draw(&mut self, end: EndId, bound: u64) -> u64 {
        let draws = &mut self.ends[end].draws;
        *draws += 1;
        // SplitMix64 (Steele, Lea, Flood 2014) over the name of the number.
        let mut bits = self.seed ^ (end as u64).rotate_left(32) ^ *draws;
        bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * u128::from(bound)) >> 64) as u64
    }

    pub(super) fn latency_us(&mut self, from: EndId) -> u64 {
        let (least, most) = self.latency_us;
        let (a, b) = (self.ends[from].place, self.ends[self.ends[from].other].place);
        let slower = self.slower_us[a][b];
        least + slower + self.draw(from, most.saturating_sub(least) + 1)
    }

    /// Whether messages from one host to another are held back.
    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from][to] > 0
    }

    pub(super) fn block(&mut self, from: usize, to: usize) {
        self.blocked[from][to] += 1;
    }

    /// One fault less holds messages back; if it was the last, they go on.
    pub(super) fn unblock(&mut self, from: usize, to: usize) {
        self.blocked[from][to] -= 1;
        if self.is_blocked(from, to) {
            return;
        }
        for end in 0..self.ends.len() {
            if self.ends[end].place == to && self.ends[self.ends[end].other].place == from {
                let mut held = std::mem::take(&mut self.ends[end].held);
                held.sort_by_key(|(number, _)| *number);
                for (number, segment) in held {
                    self.travel(end, number, segment);
                }
            }
        }
    }

    pub(super) fn slow_down(&mut self, a: usize, b: usize, by_us: i64) {
        for (from, to) in [(a, b), (b, a)] {
            let slower = &mut self.slower_us[from][to];
            *slower = slower.saturating_add_signed(by_us);
        }
    }

    /// How the next read or write of an end is cut, if it is.
    pub(super) fn cut(&mut self, end: EndId) -> Option<Chop> {
        let chop = self.chop?;
        let whole = chop.whole_percent > 0 && self.draw(end, 100) < chop.whole_percent;
        (!whole).then_some(chop)
    }

    /// Takes as many of `bytes` as the window has room for, and as the chopper lets through.
    pub(super) fn send(&mut self, from: EndId, bytes: &[u8]) -> usize {
        if self.ends[from].closed {
            return 0;
        }
        let to = &self.ends[self.ends[from].other];
        let passes = !to.void && !self.is_blocked(self.ends[from].place, to.place);
        if self.ends[from].short && !passes {
            return 0;
        }
        let room = self.window.saturating_sub(to.flight + to.inbox.len());
        let most = self.cut(from).map_or(usize::MAX, |chop| chop.write_max);
        let taken = bytes.len().min(room).min(most);
        if taken < bytes.len() {
            self.ends[from].short = true;
            if taken < room {
                // Cut by the chopper, not by the window: there is room again in a moment. Unless nothing
                // comes through: room is a sign of life, so it comes when the other side has read.
                self.cut_writes += 1;
                let rest_us = 1 + self.draw(from, 2000);
                if passes {
                    self.schedule(self.now_us + rest_us, Event::Room(from));
                }
            }
        }
        if taken > 0 {
            self.transmit(from, Segment::Bytes(bytes[..taken].to_vec()));
        }
        taken
    }

    pub(super) fn transmit(&mut self, from: EndId, segment: Segment) {
        let to = self.ends[from].other;
        if let Segment::Bytes(bytes) = &segment {
            self.ends[to].flight += bytes.len();
        }
        self.ends[to].sent += 1;
        let number = self.ends[to].sent;
        if let (Some(tape), Segment::Bytes(bytes)) = (&mut self.tape, &segment) {
            tape.on_sent(self.now_us, to, number, bytes);
        }
        if self.is_blocked(self.ends[from].place, self.ends[to].place) {
            self.ends[to].held.push((number, segment));
        } else {
            self.travel(to, number, segment);
        }
    }

    fn travel(&mut self, to: EndId, number: u64, segment: Segment) {
        let latency_us = self.latency_us(self.ends[to].other);
        let at_us = (self.now_us + latency_us).max(self.ends[to].arrives_us + 1);
        self.ends[to].arrives_us = at_us;
        self.schedule(at_us, Event::Arrive(to, number, segment));
    }

    /// A piece has come to its end. Whether the end's owner must look.
    pub(super) fn arrive(&mut self, end: EndId, number: u64, segment: Segment) -> bool {
        let (place, other) = (self.ends[end].place, self.ends[end].other);
        if self.is_blocked(self.ends[other].place, place) {
            self.ends[end].held.push((number, segment));
            return false;
        }
        // What vanishes is never confirmed, so the sender's window stays full of it.
        if self.ends[end].void || self.dark[place] {
            self.lose(end, number);
            return false;
        }
        // A segment that a partition held back may come after a later one; nobody sees that.
        if number != self.ends[end].delivered + 1 {
            self.ends[end].early.insert(number, segment);
            return false;
        }
        self.ends[end].delivered += 1;
        let mut news = self.deliver(end, segment);
        while let Some(segment) = {
            let here = &mut self.ends[end];
            here.early.remove(&(here.delivered + 1))
        } {
            self.ends[end].delivered += 1;
            news |= self.deliver(end, segment);
        }
        news
    }

    /// The next segment in order. Whether the end's owner must look.
    fn deliver(&mut self, end: EndId, segment: Segment) -> bool {
        let other = self.ends[end].other;
        let here = &mut self.ends[end];
        if let Segment::Bytes(bytes) = &segment {
            here.flight -= bytes.len();
        }
        if here.closed {
            let number = here.delivered;
            self.lose(end, number);
            // Nobody knows this connection here.
            if segment != Segment::Reset && !self.ends[other].closed {
                self.transmit(end, Segment::Reset);
            }
            return false;
        }
        match segment {
            Segment::Bytes(bytes) => here.inbox.extend(bytes),
            Segment::Fin => here.fin = true,
            Segment::Reset => here.closed = true,
        }
        true
    }

    /// Takes at most `most` bytes that have arrived.
    pub(super) fn read(&mut self, end: EndId, most: usize) -> Vec<u8> {
        let inbox = &mut self.ends[end].inbox;
        let size = inbox.len().min(most);
        let (front, back) = inbox.as_slices();
        let in_front = size.min(front.len());
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&front[..in_front]);
        bytes.extend_from_slice(&back[..size - in_front]);
        inbox.drain(..size);
        self.ends[end].heard = true;
        if let Some(tape) = &mut self.tape {
            tape.on_read(self.now_us, end, size);
        }
        if !self.ends[end].inbox.is_empty() {
            self.cut_reads += 1;
        }
        let other = self.ends[end].other;
        if self.ends[other].short {
            let latency_us = self.latency_us(end);
            self.schedule(self.now_us + latency_us, Event::Room(other));
        }
        bytes
    }

    /// The owner closes its end; bytes already sent still arrive, and the other side is told.
    pub(super) fn close(&mut self, end: EndId) {
        if !std::mem::replace(&mut self.ends[end].closed, true) {
            self.lose(end, self.ends[end].delivered);
            self.transmit(end, Segment::Fin);
        }
    }

    /// The end goes without a word; if `void`, there will be none later either.
    pub(super) fn vanish(&mut self, end: EndId, void: bool) {
        self.ends[end].closed = true;
        self.ends[end].void |= void;
        self.lose(end, self.ends[end].delivered);
    }

    /// Nothing up to this piece will be read at this end, if it has not been.
    fn lose(&mut self, end: EndId, number: u64) {
        if let Some(tape) = &mut self.tape {
            tape.on_lost(self.now_us, end, number);
        }
    }
}
