//! A run for people to look at: what nodes and clients said to each other, and what each node held
//! and led at which time.
//!
//! The trace is one number and the heads of events; this is the same run with its contents. It is
//! kept only when a run is to be told, and then beside everything else: it decides nothing, so a
//! run that is told has the same hash as one that is not. Hosts are numbered as in the trace: nodes
//! first, then clients.

use std::collections::BTreeSet;

use quorate::{node::Node, probe::Hook};

use crate::{
    case::Case,
    history::Entry,
    oracle::{DbKey, Observed},
};

mod subject;
mod view;
mod wire;

pub use view::{Change, Office};
pub use wire::{Fate, Message};

use view::View;
use wire::Wire;

/// Hooks that only accompany a message, which is on the tape itself.
const WITH_A_MESSAGE: [Hook; 9] = [
    Hook::AckSent,
    Hook::FarewellHeard,
    Hook::Forwarded,
    Hook::ForwardTaken,
    Hook::FrameHeld,
    Hook::OfferSent,
    Hook::PrepareSent,
    Hook::PromiseSent,
    Hook::QuorumFetched,
];

/// A place in a run: its time, and its place in the order of all that is on the tape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Simulated time.
    pub at_us: u64,
    /// Of two moments of one time, the one with the lower number came first.
    pub order: u64,
}

/// All that is kept of one run.
#[derive(Debug, Default)]
pub struct Tape {
    /// Numbers the moments.
    order: u64,
    /// How many hosts are nodes.
    nodes: usize,
    wire: Wire,
    views: Vec<View>,
    /// What was sent, in the order of sending.
    pub messages: Vec<Message>,
    /// From when to when processes lived.
    pub lives: Vec<Life>,
    /// From when to when faults were on.
    pub faults: Vec<Struck>,
    /// What nodes passed and won.
    pub marks: Vec<Mark>,
    /// Every change of what a node holds.
    pub changes: Vec<Change>,
    /// Every change of whom a node follows in a slot, and of what it promised there.
    pub offices: Vec<Office>,
    /// When clients asked and were answered: the entry of the history, and whether it is the answer.
    pub dealings: Vec<(Moment, usize, bool)>,
    /// When no fault began any more and the core was left alone.
    pub quiet_us: Option<u64>,
    /// When a driver itself saw that something is wrong, and in whose turn.
    pub alarm: Option<(u64, usize)>,
    /// What the oracles were told, without the history and the replicas.
    pub evidence: Observed,
    /// Where the run ended.
    pub end_us: u64,
    /// What clients asked, if the run ended in a panic and has no report of its own.
    pub history: Vec<Entry>,
}

/// The life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whose.
    pub node: usize,
    /// Its number, from 1.
    pub number: u64,
    /// When it began.
    pub from: Moment,
    /// When it ended, if it has.
    pub to: Option<Moment>,
}

/// A fault at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struck {
    /// Which of the case's.
    pub index: usize,
    /// When it began.
    pub from: Moment,
    /// When it ended, if it has.
    pub to: Option<Moment>,
}

/// Something that a node did by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Moment,
    /// Who.
    pub node: usize,
    /// What.
    pub what: What,
}

/// What a [`Mark`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A hook was passed so often in one turn.
    Passed(Hook, u32),
    /// The node votes in the strong database from now on, or no more.
    Votes(bool),
    /// Slots of the strong database were won, or lost.
    Won(Vec<u32>),
}

impl Tape {
    /// An empty tape for a case.
    #[must_use]
    pub fn new(case: &Case) -> Self {
        let nodes = case.config.nodes;
        let mut known: BTreeSet<DbKey> = BTreeSet::new();
        for db in 0..3 {
            let keys = case.workload.steps.iter().flat_map(|step| &step.ops);
            known.extend(keys.flat_map(|op| op.keys()).map(|key| (db, key.as_bytes().to_vec())));
            known.extend((0..nodes).map(|node| (db, format!("probe{node}").into_bytes())));
        }
        let keys = known.into_iter().filter(|(db, _)| *db == 0).map(|(_, key)| key);
        Self {
            nodes,
            wire: Wire::new(nodes, keys.collect()),
            views: vec![View::new(case.config.slots); nodes],
            ..Self::default()
        }
    }

    fn moment(&mut self, at_us: u64) -> Moment {
        self.order += 1;
        self.end_us = self.end_us.max(at_us);
        Moment { at_us, order: self.order }
    }

    /// A connection of two hosts: what goes to an end is a stream of its own.
    pub fn on_connect(&mut self, ends: (usize, usize), a: usize, b: usize) {
        self.wire.on_connect(ends, a, b);
    }

    /// A piece with this number in its stream is on the way to `end`.
    pub fn on_sent(&mut self, at_us: u64, end: usize, number: u64, bytes: &[u8]) {
        let at = self.moment(at_us);
        self.wire.on_sent(at, end, number, bytes, &mut self.messages);
    }

    /// The owner of `end` has read so many bytes.
    pub fn on_read(&mut self, at_us: u64, end: usize, size: usize) {
        let at = self.moment(at_us);
        self.wire.on_read(at, end, size, &mut self.messages);
    }

    /// Nothing up to this piece will ever be read at `end`.
    pub fn on_lost(&mut self, at_us: u64, end: usize, number: u64) {
        let at = self.moment(at_us);
        self.wire.on_lost(at, end, number, &mut self.messages);
    }

    /// Bytes that nodes have read of messages that were never read to their end.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.wire.unfinished()
    }

    /// A client asks; its entries in the history are these.
    pub fn on_asked(&mut self, at_us: u64, client: usize, entries: std::ops::Range<usize>) {
        for entry in entries.clone() {
            let at = self.moment(at_us);
            self.dealings.push((at, entry, false));
        }
        self.wire.on_asked(self.nodes + client, entries);
    }

    /// A client was answered.
    pub fn on_answered(&mut self, at_us: u64, entry: usize) {
        let at = self.moment(at_us);
        self.dealings.push((at, entry, true));
    }

    /// A process begins.
    pub fn on_born(&mut self, at_us: u64, node: usize, number: u64) {
        let from = self.moment(at_us);
        self.lives.push(Life { node, number, from, to: None });
    }

    /// A process ends, and with it what it held in memory.
    pub fn on_died(&mut self, at_us: u64, node: usize) {
        let at = self.moment(at_us);
        if let Some(life) = self.lives.iter_mut().rfind(|life| life.node == node) {
            life.to.get_or_insert(at);
        }
        self.views[node].forget(at, node, &mut self.offices);
    }

    /// A fault begins.
    pub fn on_fault(&mut self, at_us: u64, index: usize) {
        let from = self.moment(at_us);
        self.faults.push(Struck { index, from, to: None });
    }

    /// A fault ends.
    pub fn on_fault_over(&mut self, at_us: u64, index: usize) {
        let at = self.moment(at_us);
        let mut faults = self.faults.iter_mut();
        if let Some(fault) = faults.find(|fault| fault.index == index && fault.to.is_none()) {
            fault.to = Some(at);
        }
    }

    /// A node has passed a hook so often in its turn.
    pub fn on_passed(&mut self, at_us: u64, node: usize, hook: Hook, count: u32) {
        if !WITH_A_MESSAGE.contains(&hook) {
            let at = self.moment(at_us);
            self.marks.push(Mark { at, node, what: What::Passed(hook, count) });
        }
    }

    /// A turn of a node has ended: what has changed in it.
    pub fn on_turn(&mut self, at_us: u64, id: usize, node: &Node) {
        let at = self.moment(at_us);
        let view = &mut self.views[id];
        view.compare_store(at, id, node.store(), &mut self.changes);
        let won = view.compare_offices(at, id, node, &mut self.offices);
        let voted = view.votes_now(node.votes());
        let what = [(!won.is_empty()).then_some(What::Won(won)), voted.map(What::Votes)];
        self.marks.extend(what.into_iter().flatten().map(|what| Mark { at, node: id, what }));
    }

    /// A driver sees that something is wrong, in the turn of a node.
    pub fn on_alarm(&mut self, at_us: u64, node: usize) {
        self.alarm.get_or_insert((at_us, node));
    }
}
