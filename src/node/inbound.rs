//! What a peer says on the link that it dialed: its hello, its stream, its heartbeats and its
//! repair questions.
//!
//! A hello that doesn't fit is refused with a reason that names both values. The stream is taken
//! strictly in order: what does not go on at the cursor ends the link. Acknowledgements are
//! cumulative, one for all that arrived together.

use std::fmt;

use super::{
    LinkId, Node,
    consensus::new_birth,
    eventual::Refused,
    links::{End, PeerLink, Side},
    peers::Dialing,
    repair::{self, Unexpected, Wanted},
};
use crate::{
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{
        self, DROP_OVERHEAD, FILL_OVERHEAD, FLUSH_SIZE, FRAME_SIZE_MAX, Frame, FrameError,
        FrameStep, GREETING_SIZE_MAX, Hello, PROTOCOL, SLOT_CLEAN_SIZE, STREAM_OVERHEAD,
        SURVEY_OVERHEAD,
    },
    record::{Db, NodeId, Record, Version},
    time::Now,
};

/// What is said to whoever begins as nodes do and goes on otherwise.
const NO_NODE: &[u8] =
    b"-ERR Protocol error: a link that begins with a zero byte is one between nodes\r\n";

/// Why we end a link between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hangup {
    /// The stream jumped ahead of the cursor.
    Gap { cursor: u64, pos: u64 },
    /// Bytes that are no frame.
    Malformed(FrameError),
    /// A record or flush that can't be taken.
    Refused(Refused),
    /// A frame that has no business here.
    Unexpected,
}

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { cursor, pos } => write!(f, "stream goes on at {pos} instead of {cursor}"),
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Refused(Refused::Ahead(ms)) => {
                write!(f, "a stamp is {ms} ms ahead of our clock; check the clocks of both nodes")
            }
            Self::Refused(Refused::Malformed(error)) => write!(f, "{error}"),
            Self::Refused(Refused::Strong) => {
                write!(f, "a record of the strong database that no leader sent")
            }
            Self::Unexpected => write!(f, "a frame that has no business here"),
        }
    }
}

impl From<Unexpected> for Hangup {
    fn from(_: Unexpected) -> Self {
        Self::Unexpected
    }
}

impl From<Refused> for Hangup {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Node {
    /// Bytes on a link between nodes, whichever side dialed it.
    pub(super) fn hear(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        let Some(open) = self.links.peer_mut(link).filter(|open| !open.closing) else { return };
        open.heard = now.mono;
        let mut held = std::mem::take(&mut open.tail);
        let input = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let before = self.inbound_pos(link);
        let mut at = 0;
        loop {
            let Some(open) = self.links.peer(link).filter(|open| !open.closing) else { return };
            let limit = if open.is_greeted() { FRAME_SIZE_MAX } else { GREETING_SIZE_MAX };
            let outcome = match Frame::next(input.get(at..).unwrap_or_default(), limit) {
                FrameStep::Complete { frame, consumed } => {
                    at += consumed;
                    self.hear_frame(now, link, open.side, frame)
                }
                FrameStep::Incomplete { .. } => break,
                FrameStep::Broken(error) => Err(Hangup::Malformed(error)),
            };
            if let Err(reason) = outcome {
                return self.hang_up(now, link, reason);
            }
        }
        // Of a frame that takes many reads nothing is copied twice.
        if held.is_empty() {
            held = bytes.get(at..).unwrap_or_default().to_vec();
        } else {
            held.drain(..at);
        }
        if !held.is_empty() {
            reached(Hook::FrameHeld);
        }
        if let Some(open) = self.links.peer_mut(link) {
            open.tail = held;
        }
        if self.inbound_pos(link) != before {
            self.acknowledge(link);
        }
    }

    fn hear_frame(
        &mut self,
        now: Now,
        link: LinkId,
        side: Side,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        match (side, frame) {
            (Side::Accepted { from: None, .. }, Frame::Hello(hello)) => {
                self.on_hello(now, link, &hello);
                Ok(())
            }
            (Side::Accepted { from: None, .. }, _) => Err(Hangup::Unexpected),
            (Side::Accepted { from: Some(from), begun }, frame) => {
                self.on_inbound(now, link, from, begun, frame)
            }
            (Side::Dialed { to, live }, frame) => self.on_outbound(now, link, to, live, frame),
        }
    }

    fn on_inbound(
        &mut self,
        now: Now,
        link: LinkId,
        from: NodeId,
        begun: bool,
        frame: Frame<'_>,
    ) -> Result<(), Hangup> {
        match frame {
            // The stream's session and where it goes on: after a hello, before any of it.
            Frame::Begin { generation, pos } if !begun => {
                self.on_begin(link, from, generation, pos)
            }
            Frame::Record { .. }
            | Frame::Fill { .. }
            | Frame::Drop { .. }
            | Frame::SlotClean { .. }
            | Frame::Survey { .. }
            | Frame::Together { .. }
            | Frame::Flush { .. }
                if begun =>
            {
                self.on_stream(now, from, frame)
            }
            // A sign of life, answered so that the dialer hears one too. It may be old, so it says
            // nothing of our clock.
            Frame::Ping { asked_ms } => {
                self.say(link, Frame::Pong { asked_ms, wall_ms: now.wall_ms });
                Ok(())
            }
            // The peer makes sure that we have what it has: what differs, what we lack, and the
            // missing records.
            Frame::Compare { db, flushed, first, span, digests } if db != Db::STRONG => {
                if !planted(Mutant::FlushNotRepaired) {
                    self.replica.merge_flush(now, db, flushed)?;
                }
                self.on_compare(link, from, db, first, span, digests)
            }
            Frame::Offer { db, entries } if db != Db::STRONG => {
                let wanted = repair::wanted(&self.replica, now, from, db, entries);
                let Wanted { bits, dead, skipped } = wanted.ok_or(Hangup::Unexpected)?;
                if skipped {
                    self.replica.floors.on_skipped(from);
                }
                self.say(link, Frame::Want { bits: &bits, dead: &dead });
                Ok(())
            }
            Frame::Copy { record } => {
                reached(Hook::CopyTaken);
                Ok(repair::take_copy(&mut self.replica, now, from, record)?)
            }
            // How far it is with everybody's stamps, after all that came before.
            floor @ Frame::Floor { .. } if begun => self.on_floor(now, from, floor),
            // A client of the peer wants to know where a key is.
            Frame::Locate { id, db, key } => {
                self.on_locate(from, id, db, key);
                Ok(())
            }
            Frame::Formation { births } => {
                self.on_formation(now, births);
                Ok(())
            }
            question => self.on_question(now, from, question),
        }
    }

    /// A frame of the peer's stream.
    fn on_stream(&mut self, now: Now, from: NodeId, frame: Frame<'_>) -> Result<(), Hangup> {
        match frame {
            // What the peer stamped.
            Frame::Record { pos, record } => {
                self.in_order(from, pos)?;
                let skipped = planted(Mutant::AckSkipsRecord) && pos % 5 == 3;
                if !skipped {
                    self.on_record(now, from, record)?;
                }
                self.advance(from, STREAM_OVERHEAD + record.len());
                Ok(())
            }
            // What the peer leads: a record that it knows to be chosen, a tombstone that nobody
            // needs any longer.
            Frame::Fill { pos, ballot, record } => {
                self.in_order(from, pos)?;
                let decoded = strong_record(record)?;
                let (strong, mut ctx) = self.strong(now);
                strong.on_fill(&mut ctx, from, ballot, &decoded);
                self.advance(from, FILL_OVERHEAD + record.len());
                Ok(())
            }
            // What it stamped for a batch.
            Frame::Together { pos, records } => {
                self.in_order(from, pos)?;
                let decoded = peer::records(records)
                    .map(|record| strong_record(record.ok_or(Hangup::Unexpected)?));
                let decoded: Vec<Record<'_>> = decoded.collect::<Result<_, Hangup>>()?;
                let (strong, mut ctx) = self.strong(now);
                strong.on_together(&mut ctx, from, &decoded)?;
                self.advance(from, STREAM_OVERHEAD + records.len());
                Ok(())
            }
            Frame::Drop { pos, version, key } => {
                self.in_order(from, pos)?;
                let (strong, mut ctx) = self.strong(now);
                strong.on_drop(&mut ctx, key, version);
                self.advance(from, DROP_OVERHEAD + key.len());
                Ok(())
            }
            Frame::SlotClean { pos, ballot, slot, digest } => {
                self.in_order(from, pos)?;
                let (strong, mut ctx) = self.strong(now);
                strong.on_slot_clean(&mut ctx, slot, ballot, digest);
                self.advance(from, SLOT_CLEAN_SIZE);
                Ok(())
            }
            Frame::Survey { pos, id, slots, digests } => {
                self.in_order(from, pos)?;
                let size = SURVEY_OVERHEAD + slots.len() + digests.len();
                let (strong, mut ctx) = self.strong(now);
                strong.on_survey(&mut ctx, from, id, slots, digests)?;
                self.advance(from, size);
                Ok(())
            }
            Frame::Flush { pos, db, version } if db != Db::STRONG => {
                self.on_flush(now, from, pos, db, version)
            }
            _ => Err(Hangup::Unexpected),
        }
    }

    /// A record of the peer's stream: of the strong database if its leader sends it.
    fn on_record(&mut self, now: Now, from: NodeId, bytes: &[u8]) -> Result<(), Hangup> {
        let record = Record::decode(bytes).map_err(Refused::Malformed)?;
        if record.db == Db::STRONG {
            let (strong, mut ctx) = self.strong(now);
            strong.on_accept(&mut ctx, from, &record);
        } else {
            let taken = self.replica.merge(now, from, bytes);
            taken.inspect_err(|_| self.stats.ahead += 1)?;
        }
        Ok(())
    }

    fn on_hello(&mut self, now: Now, link: LinkId, hello: &Hello<'_>) {
        if let Some(reason) = self.objection(hello) {
            tracing::warn!("refused a node: {reason}");
            let incarnation = self.peers.get_mut(hello.from).map_or(0, |p| p.cursor.incarnation);
            self.say(link, Frame::Refuse { incarnation, reason: reason.as_bytes() });
            if let Some(open) = self.links.peer_mut(link) {
                open.closing = true;
            }
            return;
        }
        let Some(peer) = self.peers.get_mut(hello.from) else { return };
        peer.forget_acks();
        // Who votes from now on has more to show to one that recovers than it had before.
        let anew = hello.formed && !peer.voted && !self.strong.votes();
        let anew = anew && !planted(Mutant::ShownBeforeItVoted);
        (peer.birth, peer.formed) = (new_birth(hello.birth), hello.formed);
        (peer.voted, peer.waits) = (hello.formed, None);
        let reborn = hello.incarnation > peer.cursor.incarnation;
        peer.on_sign_of_life(now);
        if reborn || anew {
            self.on_reborn(hello.from, hello.incarnation);
        }
        self.replica.floors.on_link_lost(hello.from);
        let Some(peer) = self.peers.get_mut(hello.from) else { return };
        let older = peer.inbound.replace(link);
        let (generation, pos) = (peer.cursor.generation, peer.cursor.pos);
        // Our own link may still lead to the peer's earlier life, which will never answer.
        let outdated = match peer.dialing {
            Dialing::Connected { link } if peer.receiver != hello.incarnation => Some(link),
            Dialing::Connected { .. } | Dialing::Connecting { .. } | Dialing::Waiting { .. } => {
                None
            }
        };
        if let Some(older) = older {
            self.drop_link(older);
        }
        if let Some(outdated) =
            outdated.filter(|link| self.links.peer(*link).is_some_and(|open| open.is_live()))
        {
            reached(Hook::OutdatedClosed);
            self.close(now, outdated);
            if let Some(peer) = self.peers.get_mut(hello.from) {
                peer.on_sign_of_life(now);
            }
        }
        if let Some(End::Peer(open)) = self.links.end_mut(link) {
            open.side = Side::Accepted { from: Some(hello.from), begun: false };
        }
        if reborn {
            // What its earlier life led it leads no more.
            let (strong, mut ctx) = self.strong(now);
            strong.on_silent(&mut ctx, hello.from);
        }
        let incarnation = self.replica.incarnation();
        let (birth, formed) = (self.formation.birth_told(), self.strong.votes());
        let wall_ms = now.wall_ms;
        self.say(link, Frame::Welcome { incarnation, generation, pos, wall_ms, birth, formed });
        let (strong, mut ctx) = self.strong(now);
        strong.tell_known(&mut ctx, hello.from);
    }

    /// What is wrong with a hello, in words that name both values.
    fn objection(&mut self, hello: &Hello<'_>) -> Option<String> {
        let me = self.members.me();
        let names = || self.members.names().join(", ");
        if hello.protocol != PROTOCOL {
            let theirs = hello.protocol;
            return Some(format!("it speaks version {theirs} of the node protocol, we {PROTOCOL}"));
        }
        if hello.cluster != self.members.cluster_id() || hello.slots != self.slots {
            let theirs = String::from_utf8_lossy(hello.members).replace('\n', ", ");
            let theirs = theirs.escape_debug();
            return Some(format!(
                "its cluster is {:016x} ({theirs}; {} slots), ours is {:016x} ({}; {} slots)",
                hello.cluster,
                hello.slots,
                self.members.cluster_id(),
                names(),
                self.slots,
            ));
        }
        if hello.to != me {
            return Some(format!(
                "it dialed {}, this is {me} ({})",
                hello.to,
                self.members.name(me)
            ));
        }
        let Some(peer) = self.peers.get_mut(hello.from) else {
            return Some(format!("it calls itself {}, which is no peer of {me}", hello.from));
        };
        let (theirs, known) = (hello.incarnation, peer.cursor.incarnation);
        (theirs < known).then(|| {
            format!("incarnation {theirs} of {} is over: we have seen {known}", hello.from)
        })
    }

    fn on_begin(
        &mut self,
        link: LinkId,
        from: NodeId,
        generation: u64,
        pos: u64,
    ) -> Result<(), Hangup> {
        let peer = self.peers.get_mut(from).ok_or(Hangup::Unexpected)?;
        let cursor = &mut peer.cursor;
        if generation > cursor.generation && pos == 0 {
            (cursor.generation, cursor.pos) = (generation, 0);
        } else if (generation, pos) != (cursor.generation, cursor.pos) {
            return Err(Hangup::Gap { cursor: cursor.pos, pos });
        }
        if let Some(open) = self.links.peer_mut(link) {
            open.side = Side::Accepted { from: Some(from), begun: true };
        }
        // What was applied before the last link broke, and perhaps not acknowledged.
        if pos > 0 {
            self.acknowledge(link);
        }
        Ok(())
    }

    fn on_compare(
        &mut self,
        link: LinkId,
        from: NodeId,
        db: Db,
        first: u32,
        span: u32,
        digests: &[u8],
    ) -> Result<(), Hangup> {
        let bits = repair::differing(&self.replica.store, db, first, span, digests);
        let mut bits = bits.ok_or(Hangup::Unexpected)?;
        let flushed = self.replica.store.flushed(db);
        // The last question of a walk asks for nothing but whether we have it all.
        let ends = digests.is_empty();
        if ends && !self.on_walked(from) {
            peer::set_bit(&mut bits, 0);
        }
        let answer = Frame::Differ { db, flushed, bits: &bits };
        if ends {
            let wait = self.replica.journal.wait_for_all();
            let peer = self.peers.get_mut(from);
            peer.into_iter().for_each(|peer| peer.owe(wait, &answer));
        } else {
            self.say(link, answer);
        }
        Ok(())
    }

    fn on_flush(
        &mut self,
        now: Now,
        from: NodeId,
        pos: u64,
        db: Db,
        version: Version,
    ) -> Result<(), Hangup> {
        self.in_order(from, pos)?;
        reached(Hook::FlushTaken);
        let taken = self.replica.merge_flush(now, db, version);
        taken.inspect_err(|_| self.stats.ahead += 1)?;
        self.advance(from, FLUSH_SIZE);
        Ok(())
    }

    /// The frame at `pos` must be the next of its stream. Nothing is sent twice: a session goes on
    /// where its cursor stands.
    fn in_order(&mut self, from: NodeId, pos: u64) -> Result<(), Hangup> {
        let cursor = self.peers.get_mut(from).ok_or(Hangup::Unexpected)?.cursor.pos;
        if pos == cursor { Ok(()) } else { Err(Hangup::Gap { cursor, pos }) }
    }

    fn advance(&mut self, from: NodeId, size: usize) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.cursor.pos += size as u64;
        }
    }

    /// How far the stream on this link is applied, if it is a link with a stream to us.
    fn inbound_pos(&mut self, link: LinkId) -> Option<u64> {
        match self.links.peer(link)?.side {
            Side::Accepted { from: Some(from), begun: true } => {
                Some(self.peers.get_mut(from)?.cursor.pos)
            }
            Side::Accepted { .. } | Side::Dialed { .. } => None,
        }
    }

    /// Puts a frame into a link's output.
    pub(super) fn say(&mut self, link: LinkId, frame: Frame<'_>) {
        if let Some(open) = self.links.peer_mut(link) {
            frame.encode(open.out.tail());
            self.links.touch(link);
        }
    }

    fn hang_up(&mut self, now: Now, link: LinkId, reason: Hangup) {
        let who = match self.links.peer(link).map(|open| open.side) {
            Some(Side::Accepted { from: Some(id), .. } | Side::Dialed { to: id, .. }) => {
                self.members.name(id)
            }
            Some(Side::Accepted { from: None, .. }) | None => "a stranger",
        };
        tracing::warn!(from = who, "closed a node link: {reason}");
        match self.links.peer_mut(link) {
            // Perhaps a client of Redis that has lost its place.
            Some(PeerLink {
                side: Side::Accepted { from: None, .. }, out, tail, closing, ..
            }) => {
                out.extend(NO_NODE);
                *tail = Vec::new();
                *closing = true;
                self.links.touch(link);
            }
            Some(_) | None => self.close(now, link),
        }
    }
}

/// A record that must be of the strong database.
fn strong_record(bytes: &[u8]) -> Result<Record<'_>, Hangup> {
    let record = Record::decode(bytes).map_err(Refused::Malformed)?;
    if record.db == Db::STRONG { Ok(record) } else { Err(Hangup::Unexpected) }
}
