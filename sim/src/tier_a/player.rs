//! Clients: each plays its part of the workload, and never waits for ever.
//!
//! A client has one connection at a time. It sends a step's requests, reads the replies, and gives
//! up on a connection that fails or stays silent too long; replies that are missing then are
//! unknown outcomes. A fresh step has a connection of its own, whose client side is closed at once.

use super::{
    World,
    net::{Call, Caller, EndId, Event, Owner, Segment},
};
use crate::{
    case::Step,
    dialect,
    history::{Entry, Outcome},
    trace::EventKind,
};

/// How long a client waits for all replies of a step, connecting included.
const PATIENCE_US: u64 = 3_000_000;
/// A step that is this late is left out.
const LATE_MS: u64 = 2000;

/// One client.
#[derive(Debug, Default)]
pub(super) struct Player {
    /// Its steps, in order of time, and which comes next.
    pub(super) steps: Vec<Step>,
    next: usize,
    session: u64,
    end: Option<EndId>,
    node: usize,
    connecting: bool,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// Replies to SELECT that are due before any other.
    greetings: usize,
    playing: Option<Playing>,
    pub(super) mute: bool,
}

#[derive(Debug)]
struct Playing {
    step: Step,
    /// Where its requests begin in the history; none before they are sent.
    first: Option<usize>,
    answered: usize,
}

impl Player {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps, ..Self::default() }
    }

    /// Its side of its connection, if it has one.
    pub(super) const fn end(&self) -> Option<EndId> {
        self.end
    }

    pub(super) const fn is_done(&self) -> bool {
        self.playing.is_none() && self.next >= self.steps.len()
    }
}

impl World<'_> {
    /// Plays the next step if it is time.
    pub(super) fn wake_client(&mut self, id: usize) {
        let now_ms = self.net.now_us / 1000;
        let player = &mut self.players[id];
        if player.playing.is_some() {
            return;
        }
        while player.steps.get(player.next).is_some_and(|step| now_ms > step.at_ms + LATE_MS) {
            player.next += 1;
        }
        let Some(step) = player.steps.get(player.next).cloned() else { return };
        if step.at_ms > now_ms {
            return self.net.schedule(step.at_ms * 1000, Event::Wake(id));
        }
        player.next += 1;
        let reuse = player.end.is_some() && player.node == step.node && !step.fresh;
        let to = step.node;
        player.playing = Some(Playing { step, first: None, answered: 0 });
        if reuse {
            self.net.schedule(self.net.now_us + PATIENCE_US, Event::GiveUp(id, self.token(id)));
            return self.ask(id);
        }
        self.hang_up(id);
        self.net.schedule(self.net.now_us + PATIENCE_US, Event::GiveUp(id, self.token(id)));
        let player = &mut self.players[id];
        (player.node, player.connecting) = (to, true);
        let from = Caller::Client { client: id, session: player.session };
        let at_us = self.net.now_us + 100 + self.case.config.latency_ms.1 * 500;
        self.net.schedule(at_us, Event::Syn(Call { from, to }));
    }

    pub(super) fn connected(&mut self, id: usize, session: u64, end: EndId) {
        let player = &mut self.players[id];
        if player.session != session || !player.connecting {
            return self.net.close(end);
        }
        player.connecting = false;
        player.end = Some(end);
        self.net.ends[end].owner = Owner::Client { client: id, session };
        let db = self.case.workload.databases[id];
        if db != 0 {
            let dialect = self.case.workload.dialects[id];
            dialect::encode_select(dialect, db, &mut player.unsent);
            player.greetings = 1;
        }
        self.ask(id);
    }

    pub(super) fn refused(&mut self, id: usize, session: u64) {
        if self.players[id].session == session && self.players[id].connecting {
            self.give_up(id);
        }
    }

    /// The step takes too long.
    pub(super) fn lose_patience(&mut self, id: usize, token: u64) {
        if self.players[id].playing.is_some() && self.token(id) == token {
            self.give_up(id);
        }
    }

    /// Reads what has come and takes the replies from it.
    pub(super) fn pump_client(&mut self, id: usize, session: u64, end: EndId) {
        let player = &self.players[id];
        if player.session != session || player.end != Some(end) || player.mute {
            return;
        }
        let bytes = self.net.read(end, usize::MAX);
        self.players[id].received.extend(bytes);
        self.take_replies(id);
        let over = self.net.ends[end].closed || self.net.ends[end].fin;
        let player = &self.players[id];
        if over && player.end == Some(end) {
            self.give_up(id);
        }
    }

    pub(super) fn room_for_client(&mut self, id: usize, session: u64, end: EndId) {
        if self.players[id].session == session && self.players[id].end == Some(end) {
            self.net.ends[end].short = false;
            self.write(id);
        }
    }

    /// Names a step of a client for its timeout.
    fn token(&self, id: usize) -> u64 {
        self.players[id].next as u64
    }

    fn ask(&mut self, id: usize) {
        let dialect = self.case.workload.dialects[id];
        let db = self.case.workload.databases[id];
        let player = &mut self.players[id];
        let Some(playing) = &mut player.playing else { return };
        playing.first = Some(self.history.len());
        for op in &playing.step.ops {
            dialect::encode(dialect, op, &mut player.unsent);
            self.history.push(Entry {
                client: id,
                node: playing.step.node,
                db,
                op: op.clone(),
                start_us: self.net.now_us,
                end_us: None,
                outcome: Outcome::Unknown,
            });
        }
        self.write(id);
    }

    fn write(&mut self, id: usize) {
        let player = &mut self.players[id];
        let Some(end) = player.end else { return };
        if player.unsent.is_empty() {
            return;
        }
        let taken = self.net.send(end, &player.unsent);
        let sent: Vec<u8> = player.unsent.drain(..taken).collect();
        let done = player.unsent.is_empty();
        let fresh = player.playing.as_ref().is_some_and(|playing| playing.step.fresh);
        let host = self.case.config.nodes + id;
        self.record(host, EventKind::Request, end as u32, &sent);
        if done && fresh {
            self.net.transmit(end, Segment::Fin);
        }
    }

    fn take_replies(&mut self, id: usize) {
        let dialect = self.case.workload.dialects[id];
        let host = self.case.config.nodes + id;
        loop {
            let player = &mut self.players[id];
            if player.greetings > 0 {
                let Some((accepted, size)) = dialect::decode_select(dialect, &player.received)
                else {
                    return;
                };
                player.received.drain(..size);
                player.greetings -= 1;
                self.refused_select |= !accepted;
                continue;
            }
            let Some(playing) = &mut player.playing else { return };
            let Some(first) = playing.first else { return };
            let Some(op) = playing.step.ops.get(playing.answered) else { break };
            let Some((outcome, size)) = dialect::decode(dialect, op, &player.received) else {
                return;
            };
            let reply: Vec<u8> = player.received.drain(..size).collect();
            let entry = &mut self.history[first + playing.answered];
            (entry.end_us, entry.outcome) = (Some(self.net.now_us), outcome);
            playing.answered += 1;
            self.record(host, EventKind::Reply, 0, &reply);
        }
        let player = &mut self.players[id];
        let step = player.playing.take().map(|playing| playing.step);
        if step.is_some_and(|step| step.fresh) {
            self.hang_up(id);
        }
        self.net.schedule(self.net.now_us, Event::Wake(id));
    }

    fn give_up(&mut self, id: usize) {
        self.players[id].playing = None;
        self.hang_up(id);
        self.net.schedule(self.net.now_us, Event::Wake(id));
    }

    fn hang_up(&mut self, id: usize) {
        let player = &mut self.players[id];
        player.session += 1;
        player.connecting = false;
        player.received.clear();
        let torn = !player.unsent.is_empty();
        player.unsent.clear();
        player.greetings = 0;
        if let Some(end) = player.end.take() {
            if torn {
                // An orderly end would make a request of the half of one: the end of input ends a
                // line.
                self.net.transmit(end, Segment::Reset);
            }
            self.net.close(end);
        }
    }
}
