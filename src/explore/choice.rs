//! What can happen next in a world.

use std::fmt;

use super::{
    setup::{Loss, NEAR, Pace, Role, Setup},
    story::Fate,
    wires::{Side, Wire},
    world::World,
};
use crate::proto::peer::{FRAME_SIZE_MAX, Frame, FrameStep};

/// One thing that can happen. Everything that follows from it by itself belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A client asks for the operation of this number.
    Ask(usize),
    /// A link breaks with all that is under way on it.
    Break(usize),
    /// Two hosts connect.
    Connect(usize, usize),
    /// A node ends.
    Crash(usize, Loss),
    /// The next piece arrives at a side of a link, or word that it is over.
    Deliver(usize, Side),
    /// A question arrives, and the link breaks before the answer does.
    DeliverOnly(usize),
    /// A host's disk completes what it is at.
    Durable(usize),
    /// A timer fires that is far.
    Late(usize),
    /// The peers of a host take it for dead.
    Mute(usize),
    /// A node begins its next life.
    Start(usize),
    /// A timer fires that is near.
    Tick(usize),
}

impl World {
    /// All that can happen.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        let (setup, spent) = (&*self.setup, self.spent);
        self.add_asks(setup, &mut choices);
        for (index, wire) in self.wires.iter().enumerate() {
            let sides = [Side::Accepter, Side::Dialer];
            let ends = (wire.end(Side::Dialer).host, wire.end(Side::Accepter).host);
            let stalled = self.is_in(setup.stalled, ends);
            let arrives = sides
                .into_iter()
                .filter(|side| wire.can_arrive(*side) && !(stalled && *side == Side::Accepter));
            choices.extend(arrives.map(|side| Choice::Deliver(index, side)));
            let breaks = spent.breaks < setup.breaks && self.is_in(setup.brittle, ends);
            if breaks {
                if wire.end(Side::Accepter).open && wire.end(Side::Dialer).open {
                    choices.push(Choice::Break(index));
                }
                let asked = !wire.end(Side::Accepter).pieces.is_empty();
                if asked && setup.answers == Pace::AtOnce {
                    choices.push(Choice::DeliverOnly(index));
                }
            }
        }
        for (at, host) in self.hosts().enumerate() {
            if host.node.is_none() {
                choices.push(Choice::Start(at));
                continue;
            }
            if self.is_working(at) {
                choices.push(Choice::Durable(at));
            }
            for to in at + 1..setup.nodes {
                let wished = host.wishes(to) || self.host(to).wishes(at);
                let apart =
                    self.is_in(setup.stalled, (at, to)) || self.is_in(setup.stalled, (to, at));
                if wished && self.node(to).is_some() && setup.reconnects && !apart {
                    choices.push(Choice::Connect(at, to));
                }
            }
            if let Some(due) = host.next_timer() {
                let near = due <= host.now().mono + NEAR;
                let mut tickers = setup.tickers.iter().take(setup.nodes);
                if near && spent.ticks < setup.ticks && tickers.any(|role| self.at(*role) == at) {
                    choices.push(Choice::Tick(at));
                } else if !near && spent.lates < setup.lates {
                    choices.push(Choice::Late(at));
                }
            }
        }
        if spent.crashes < setup.crashes {
            let up = setup.crashers.iter().map(|(role, loss)| (self.at(*role), *loss));
            let up = up.filter(|(at, _)| self.node(*at).is_some());
            choices.extend(up.map(|(at, loss)| Choice::Crash(at, loss)));
        }
        if spent.mutes < setup.mutes {
            let muters = setup.muters.iter().map(|role| self.at(*role));
            let heard = |at: &usize| {
                self.wires
                    .iter()
                    .any(|w| w.end(Side::Dialer).host == *at && w.end(Side::Accepter).open)
            };
            choices.extend(muters.filter(heard).map(Choice::Mute));
        }
        choices
    }

    fn is_in(&self, links: &[(Role, Role)], ends: (usize, usize)) -> bool {
        links.iter().any(|(from, to)| (self.at(*from), self.at(*to)) == ends)
    }

    fn add_asks(&self, setup: &Setup, choices: &mut Vec<Choice>) {
        let first = setup.before.len();
        for (index, (role, _)) in setup.asks.iter().enumerate() {
            let index = first + index;
            if self.story.fates[index] != Fate::Unasked {
                continue;
            }
            if self.node(self.at(*role)).is_some() {
                choices.push(Choice::Ask(index));
            }
            if setup.in_order {
                break;
            }
        }
    }

    /// The world after a choice; or what of the protocol it broke.
    pub(super) fn apply(&mut self, choice: Choice) -> Result<(), String> {
        match choice {
            Choice::Ask(index) => {
                let setup = &self.setup;
                let (role, _) = setup.before.iter().chain(setup.asks).nth(index).expect("listed");
                self.ask(self.at(*role), index)?;
            }
            Choice::Break(wire) => {
                self.spent.breaks += 1;
                self.break_wire(wire)?;
            }
            Choice::Connect(a, b) => self.connect(a, b)?,
            Choice::Crash(at, loss) => {
                self.spent.crashes += 1;
                self.crash(at, loss)?;
            }
            Choice::Deliver(wire, side) => self.deliver(wire, side)?,
            Choice::DeliverOnly(wire) => {
                self.spent.breaks += 1;
                self.deliver(wire, Side::Accepter)?;
                self.break_wire(wire)?;
            }
            Choice::Durable(at) => self.work(at)?,
            Choice::Late(at) => {
                self.spent.lates += 1;
                self.fire(at)?;
            }
            Choice::Mute(at) => {
                self.spent.mutes += 1;
                self.mute(at)?;
            }
            Choice::Start(at) => self.start(at)?,
            Choice::Tick(at) => {
                // Without a bound they need not be told apart.
                if self.setup.ticks < u8::MAX {
                    self.spent.ticks += 1;
                }
                self.fire(at)?;
            }
        }
        self.hear_at_once()?;
        self.wires.sweep();
        Ok(())
    }

    /// What is no choice arrives: answers, unless they are to be choices; and what concerns the
    /// other databases alone.
    fn hear_at_once(&mut self) -> Result<(), String> {
        let answers = self.setup.answers == Pace::AtOnce;
        let other = |wire: &Wire, side| wire.end(side).pieces.front().is_some_and(|p| is_other(p));
        let at_once = |wire: &Wire| {
            if (answers && !wire.end(Side::Dialer).pieces.is_empty()) || other(wire, Side::Dialer) {
                Some(Side::Dialer)
            } else {
                other(wire, Side::Accepter).then_some(Side::Accepter)
            }
        };
        loop {
            let wires = self.wires.iter().enumerate();
            let next = wires.filter_map(|(index, wire)| Some((index, at_once(wire)?))).next();
            let Some((wire, side)) = next else { return Ok(()) };
            self.deliver(wire, side)?;
        }
    }

    /// A choice in words.
    pub(super) fn describe(&self, choice: Choice) -> String {
        let ends = |wire: usize| {
            let wire = self.wires.get(wire);
            format!("n{} -> n{}", wire.end(Side::Dialer).host, wire.end(Side::Accepter).host)
        };
        match choice {
            Choice::Ask(index) => {
                let setup = &self.setup;
                let (role, act) = setup.before.iter().chain(setup.asks).nth(index).expect("listed");
                format!("a client asks n{}: {}", self.at(*role), act.words())
            }
            Choice::Break(wire) => format!("the link {} breaks", ends(wire)),
            Choice::Connect(a, b) => format!("n{a} and n{b} connect"),
            Choice::Crash(at, loss) => format!("n{at} crashes, losing {loss:?}"),
            Choice::Deliver(wire, side) => {
                let end = self.wires.get(wire).end(side);
                let what =
                    end.pieces.front().map_or_else(|| "the end of it".to_owned(), |p| frames(p));
                format!("on the link {} n{} receives {what}", ends(wire), end.host)
            }
            Choice::DeliverOnly(wire) => {
                let end = self.wires.get(wire).end(Side::Accepter);
                let what = end.pieces.front().map_or(String::new(), |p| frames(p));
                format!("on the link {} n{} receives {what}; the link breaks", ends(wire), end.host)
            }
            Choice::Durable(at) => format!("the disk of n{at} completes a batch"),
            Choice::Late(at) => format!("a far timer of n{at} fires"),
            Choice::Mute(at) => format!("the others take n{at} for dead"),
            Choice::Start(at) => format!("n{at} starts again"),
            Choice::Tick(at) => format!("a timer of n{at} fires"),
        }
    }
}

/// Whether a piece is of heartbeats and repair of the other databases alone.
fn is_other(mut bytes: &[u8]) -> bool {
    while let FrameStep::Complete { frame, consumed } = Frame::next(bytes, FRAME_SIZE_MAX) {
        let other = matches!(
            frame,
            Frame::Compare { .. }
                | Frame::Differ { .. }
                | Frame::Floor { .. }
                | Frame::Ping { .. }
                | Frame::Pong { .. }
        );
        if !other {
            return false;
        }
        bytes = &bytes[consumed..];
    }
    bytes.is_empty()
}

/// The names of the frames of a piece.
fn frames(mut bytes: &[u8]) -> String {
    struct Name<'a>(&'a Frame<'a>);
    impl fmt::Display for Name<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let text = format!("{:?}", self.0);
            f.write_str(text.split([' ', '(']).next().unwrap_or_default())
        }
    }
    let mut names = Vec::new();
    while let FrameStep::Complete { frame, consumed } = Frame::next(bytes, FRAME_SIZE_MAX) {
        names.push(Name(&frame).to_string());
        bytes = &bytes[consumed..];
    }
    names.join(", ")
}
