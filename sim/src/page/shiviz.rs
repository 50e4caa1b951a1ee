//! A run as text for ShiViz (Beschastnikh et al., "Debugging distributed systems", 2016): a line for
//! each event, with the vector clock of its host.
//!
//! Its first line is the expression that ShiViz reads the others by; the second one, which would part
//! several runs, is empty. Messages between nodes, and between nodes and clients, are what orders
//! events of different hosts. Pings and their answers are left out: there are many, and little is to
//! be seen in them.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Told, data};
use crate::{
    story::{asked, became},
    tape::{Fate, Message, Moment},
};

/// How ShiViz reads a line.
pub const PARSER: &str = r"(?<host>\S+) (?<clock>\{.*?\}) (?<at>\S+ ms) (?<event>.*)";

/// What happens at one host.
enum Event<'a> {
    /// Something that only its host knows of.
    Own(usize, String),
    Receive(usize, &'a Message),
    Send(usize, &'a Message),
}

type Clock = BTreeMap<usize, u64>;

/// The text.
#[must_use]
pub fn shiviz(told: &Told<'_>) -> String {
    let nodes = told.case.config.nodes;
    let mut text = format!("{PARSER}\n\n");
    let mut clocks: BTreeMap<usize, Clock> = BTreeMap::new();
    let mut sent: BTreeMap<usize, Clock> = BTreeMap::new();
    for (at, event) in events(told) {
        let (host, words) = match &event {
            Event::Own(host, words) => (*host, words.clone()),
            Event::Receive(_, message) => {
                (message.to, format!("receives {}", about(message, message.from, nodes, "from")))
            }
            Event::Send(_, message) => {
                (message.from, format!("sends {}", about(message, message.to, nodes, "to")))
            }
        };
        let clock = clocks.entry(host).or_default();
        *clock.entry(host).or_default() += 1;
        match event {
            Event::Own(..) => {}
            Event::Receive(number, _) => {
                for (other, count) in sent.remove(&number).unwrap_or_default() {
                    let known = clock.entry(other).or_default();
                    *known = count.max(*known);
                }
            }
            Event::Send(number, _) => {
                sent.insert(number, clock.clone());
            }
        }
        let entries: Vec<String> = clock
            .iter()
            .map(|(host, count)| format!("\"{}\":{count}", name(*host, nodes)))
            .collect();
        let (clock, ms, us) = (entries.join(","), at.at_us / 1000, at.at_us % 1000);
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "{} {{{clock}}} {ms}.{us:03} ms {words}", name(host, nodes));
    }
    text
}

/// Everything that happened, in order.
fn events<'a>(told: &Told<'a>) -> Vec<(Moment, Event<'a>)> {
    let (tape, history) = (told.tape, &told.report.history);
    let nodes = told.case.config.nodes;
    let mut events = Vec::new();
    for (number, message) in tape.messages.iter().enumerate() {
        if ["Ping", "Pong"].contains(&&message.kind[..]) {
            continue;
        }
        events.push((message.sent, Event::Send(number, message)));
        if let Fate::Delivered(at) = message.fate {
            events.push((at, Event::Receive(number, message)));
        }
    }
    let mut own = |at: Option<Moment>, host: usize, words: String| {
        events.extend(at.map(|at| (at, Event::Own(host, words))));
    };
    for life in &tape.lives {
        own(Some(life.from), life.node, format!("begins life {}", life.number));
        own(life.to, life.node, format!("ends life {}", life.number));
    }
    for fault in &tape.faults {
        let (words, hosts) = data::told_fault(&told.case.faults[fault.index], nodes);
        for host in hosts {
            own(Some(fault.from), host, format!("fault begins: {words}"));
            own(fault.to, host, format!("fault ends: {words}"));
        }
    }
    for mark in &tape.marks {
        own(Some(mark.at), mark.node, data::mark(&mark.what).1);
    }
    for (at, entry, answer) in &tape.dealings {
        let Some(entry) = history.get(*entry) else { continue };
        let (request, reply) = (asked(&entry.op), became(&entry.outcome));
        let words = if *answer {
            format!("is told {reply} by {request}")
        } else {
            format!("asks {request}")
        };
        own(Some(*at), nodes + entry.client, words);
    }
    events.sort_by_key(|(at, _)| *at);
    events
}

fn about(message: &Message, other: usize, nodes: usize, way: &str) -> String {
    let keys: Vec<_> = message.keys.iter().map(|(_, key)| String::from_utf8_lossy(key)).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(" of {}", keys.join(", ")) };
    format!("{}{keys} {way} {}", message.kind, name(other, nodes))
}

fn name(host: usize, nodes: usize) -> String {
    if host < nodes { format!("n{host}") } else { format!("c{}", host - nodes) }
}
