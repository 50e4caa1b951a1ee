//! Clients: each plays its part of the workload, and never waits for ever.
//!
//! A client has one connection at a time. It sends a step's requests, reads the replies, and gives
//! up on a connection that fails or stays silent too long; replies that are missing then are
//! unknown outcomes. A fresh step has a connection of its own, whose client side is closed at once.

use std::ops::Range;

use super::{
    World,
    net::{Call, Caller, EndId, Event, Owner, Segment},
};
use crate::{
    case::{Dialect, FaultClass, Op, Step, Then, Torn},
    dialect,
    history::{Entry, Outcome},
    oracle::{Lost, waited},
    trace::EventKind,
};

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
    /// The second part of torn requests, until it is due; it may never be.
    rest: Vec<u8>,
    /// Where its last SCAN on this connection has come to.
    cursor: u64,
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

impl Playing {
    /// Whether the client leaves before it has sent all.
    fn leaves(&self) -> bool {
        self.step.torn.is_some_and(Torn::leaves)
    }
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
        let patience_us = self.patience_ms(step.node) * 1000;
        let player = &mut self.players[id];
        let reuse = player.end.is_some() && player.node == step.node && !step.fresh;
        let to = step.node;
        player.playing = Some(Playing { step, first: None, answered: 0 });
        if reuse {
            self.net.schedule(self.net.now_us + patience_us, Event::GiveUp(id, self.token(id)));
            return self.ask(id);
        }
        self.hang_up(id);
        self.net.schedule(self.net.now_us + patience_us, Event::GiveUp(id, self.token(id)));
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
        let (dialect, db) = self.manners(id);
        if db != 0 {
            let player = &mut self.players[id];
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
        let (dialect, db) = self.manners(id);
        let token = self.token(id);
        let player = &mut self.players[id];
        let Some(playing) = &mut player.playing else { return };
        playing.first = Some(self.history.len());
        playing.step.ops.iter_mut().for_each(|op| op.go_on(player.cursor));
        let (mut bytes, whole) = dialect::encode_step(dialect, &playing.step);
        if let Some(torn) = playing.step.torn {
            player.rest = bytes.split_off(torn.cut(bytes.len()));
            match torn.then {
                Then::Close => player.rest.clear(),
                Then::Reset => {}
                Then::Stall { for_ms } => {
                    self.net.schedule(self.net.now_us + for_ms * 1000, Event::Rest(id, token));
                }
            }
            self.fired[FaultClass::TornRequest as usize] += 1;
        }
        player.unsent.extend(bytes);
        // Of what leaves only in part nobody may ever see anything, so it is no entry.
        playing.step.ops.truncate(whole);
        let first = self.history.len();
        for op in &playing.step.ops {
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
        let asked = first..self.history.len();
        let store = self.hosts[playing.step.node].node.as_ref().map(|node| node.store());
        for index in asked.clone() {
            self.watches.on_asked(index, &self.history[index], store);
        }
        self.on_tape(|tape, now_us| tape.on_asked(now_us, id, asked));
        self.write(id);
    }

    /// Sends the second part of torn requests.
    pub(super) fn send_rest(&mut self, id: usize, token: u64) {
        if self.players[id].playing.is_some() && self.token(id) == token {
            let player = &mut self.players[id];
            player.unsent.append(&mut player.rest);
            self.write(id);
        }
    }

    fn write(&mut self, id: usize) {
        let player = &mut self.players[id];
        let Some(end) = player.end else { return };
        if player.unsent.is_empty() {
            return;
        }
        let taken = self.net.send(end, &player.unsent);
        let sent: Vec<u8> = player.unsent.drain(..taken).collect();
        let first_done = player.unsent.is_empty();
        let done = first_done && player.rest.is_empty();
        let fresh = player.playing.as_ref().is_some_and(|playing| playing.step.fresh);
        let leaves = player.playing.as_ref().is_some_and(Playing::leaves);
        let host = self.case.config.nodes + id;
        self.record(host, EventKind::Request, end as u32, &sent);
        if first_done && leaves {
            self.give_up(id);
        } else if done && fresh {
            self.net.transmit(end, Segment::Fin);
        }
    }

    /// How a client speaks now, and to which database. Those that are there only in the end are in no
    /// workload.
    fn manners(&self, id: usize) -> (Dialect, u8) {
        let workload = &self.case.workload;
        let dialect = workload.dialects.get(id).copied().unwrap_or(Dialect::Resp);
        let database = workload.databases.get(id).copied().unwrap_or(0);
        let step = self.players[id].playing.as_ref().map(|playing| &playing.step);
        (dialect, step.and_then(|step| step.db).unwrap_or(database))
    }

    fn take_replies(&mut self, id: usize) {
        let (dialect, _) = self.manners(id);
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
            let answered = first + playing.answered;
            let entry = &mut self.history[answered];
            (entry.end_us, entry.outcome) = (Some(self.net.now_us), outcome);
            if let Outcome::Page { next, .. } = &entry.outcome {
                player.cursor = if op.is_scan() { *next } else { player.cursor };
            }
            self.watches.on_answered(answered, entry);
            playing.answered += 1;
            self.judge_wait(first..answered + 1);
            self.record(host, EventKind::Reply, 0, &reply);
            self.on_tape(|tape, now_us| tape.on_answered(now_us, answered));
        }
        let player = &mut self.players[id];
        if player.playing.as_ref().is_some_and(Playing::leaves) {
            return;
        }
        let step = player.playing.take().map(|playing| playing.step);
        if step.is_some_and(|step| step.fresh) {
            self.hang_up(id);
        }
        self.net.schedule(self.net.now_us, Event::Wake(id));
    }

    /// Judges the last of these replies, if it is one to WAIT.
    fn judge_wait(&mut self, go: Range<usize>) {
        let go = &self.history[go];
        let is_wait = go.last().is_some_and(|last| matches!(last.op, Op::Wait { .. }));
        // What a node has lost it may have been counted for.
        let keeps = !self.lost && self.cold_lost == Lost::default();
        if is_wait && keeps && self.overcounted.is_none() {
            let stores = self.hosts.iter().map(|host| host.node.as_ref().map(|node| node.store()));
            self.overcounted = waited::check(go, &stores.collect::<Vec<_>>()).err();
        }
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
        let torn = !(player.unsent.is_empty() && player.rest.is_empty());
        player.unsent.clear();
        player.rest.clear();
        (player.greetings, player.cursor) = (0, 0);
        self.watches.on_hung_up(id);
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
