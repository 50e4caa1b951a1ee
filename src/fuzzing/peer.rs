//! Frames between nodes: what is read can be written again, and nothing that a peer says hurts a
//! node.

use super::memory::Memory;
use crate::{
    limits::{Limits, Timing},
    members::Members,
    node::{Addresses, LinkId, Node, NodeConfig, Origin},
    proto::peer::{self, FRAME_SIZE_MAX, Frame, FrameStep, Hello, PEER_BYTE, PROTOCOL},
    record::NodeId,
    time::{Instant, Now},
    turn::{Transport, finish_turn},
};

/// Runs the body on one input: its first byte chooses how the rest is used.
///
/// # Panics
/// If a frame reads back as another, or the node's store breaks an invariant.
pub fn peer(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    round_trip(rest);
    let (mut node, mut disk) = (node(), Memory::default());
    let now = Now { mono: Instant::ZERO, wall_ms: 1_000 };
    let link = LinkId(0);
    let dialed = mode & 1 == 1;
    node.handle_open(
        now,
        link,
        if dialed { Origin::Dialed(NodeId(1)) } else { Origin::Accepted(Addresses::UNKNOWN) },
    );
    let mut input = Vec::new();
    if !dialed {
        input.push(PEER_BYTE);
    }
    if mode & 2 == 2 {
        greet(&node, dialed, &mut input);
    }
    input.extend_from_slice(rest);
    for piece in input.chunks(usize::from(mode >> 2) + 1) {
        node.handle_bytes(now, link, piece);
        finish_turn(&mut node, now, &mut Void, &mut disk);
        disk.work(&mut node, now);
        finish_turn(&mut node, now, &mut Void, &mut disk);
        assert!(node.wants_read(link) || node.poll_dirty().is_none());
    }
    node.store().check();
}

fn round_trip(mut bytes: &[u8]) {
    while let FrameStep::Complete { frame, consumed } = Frame::next(bytes, FRAME_SIZE_MAX) {
        let mut again = Vec::new();
        frame.encode(&mut again);
        assert_eq!(again, bytes[..consumed]);
        list_round_trip(frame);
        bytes = &bytes[consumed..];
    }
}

/// What a list's iterator yields before the first malformed entry is how the list begins.
fn list_round_trip(frame: Frame<'_>) {
    let mut again = Vec::new();
    let out = &mut again;
    let list = match frame {
        Frame::Answers { entries, .. } => {
            let read = peer::states(entries).flatten();
            read.for_each(|(version, accepted)| peer::push_state(out, version, accepted));
            entries
        }
        Frame::Compare { digests, .. } | Frame::Promise { digests, .. } => {
            peer::digests(digests).flatten().for_each(|digest| peer::push_digest(out, digest));
            digests
        }
        Frame::Confirm { entries, .. } => {
            let read = peer::confirms(entries).flatten();
            read.for_each(|(slot, ballot)| peer::push_confirm(out, slot, ballot));
            entries
        }
        Frame::Fetch { keys, .. } | Frame::Query { keys, .. } | Frame::QueryFull { keys, .. } => {
            peer::keys(keys).flatten().for_each(|key| peer::push_key(out, key));
            keys
        }
        Frame::Floor { row, .. } => {
            let read = peer::marks(row).flatten();
            read.for_each(|(life, hlc)| peer::push_mark(out, life, hlc));
            row
        }
        Frame::ColdStart { births, .. } | Frame::Formation { births } => {
            peer::births(births).flatten().for_each(|birth| peer::push_birth(out, birth));
            births
        }
        Frame::FullAnswers { records, .. } | Frame::Records { records, .. } => {
            peer::records(records).flatten().for_each(|record| peer::push_record(out, record));
            records
        }
        Frame::Lead { entries } => {
            let read = peer::leads(entries).flatten();
            read.for_each(|(ballot, slots)| peer::push_lead(out, ballot, slots));
            entries
        }
        Frame::Offer { entries, .. } | Frame::Versions { entries, .. } => {
            let read = peer::offers(entries).flatten();
            read.for_each(|(version, key)| peer::push_offer(out, version, key));
            entries
        }
        _ => &[],
    };
    assert!(list.starts_with(&again));
}

fn node() -> Node {
    let members = Members::form("localhost:9000", &["localhost:9001".to_owned()]);
    let members = members.expect("two names");
    let (limits, timing) = (Limits::DEFAULT, Timing::DEFAULT);
    let config =
        NodeConfig { members, incarnation: 5, slots: 8, limits, timing, synced: true, seed: 3 };
    Node::new(config, Now::default())
}

/// What a well-behaved peer says first.
fn greet(node: &Node, dialed: bool, input: &mut Vec<u8>) {
    if dialed {
        let (incarnation, generation, pos, wall_ms) = (9, 0, 0, 1_000);
        let (birth, formed) = (8, true);
        let welcome = Frame::Welcome { incarnation, generation, pos, wall_ms, birth, formed };
        return welcome.encode(input);
    }
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: node.members().cluster_id(),
        slots: 8,
        from: NodeId(1),
        to: NodeId(0),
        incarnation: 9,
        birth: 8,
        formed: true,
        members: b"",
    };
    Frame::Hello(hello).encode(input);
    Frame::Begin { generation: 1, pos: 0 }.encode(input);
}

/// Takes everything and keeps nothing.
struct Void;

impl Transport for Void {
    fn dial(&mut self, _peer: NodeId) {}

    fn send(&mut self, _link: LinkId, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn close(&mut self, _link: LinkId) {}
}
