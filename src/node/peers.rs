//! The other members: for each its streams, its repair, and the state of our dialing.
//!
//! Between two members there are two links, one dialed by each; a link carries the dialer's stream.
//! A session is one unbroken stream: it outlives connections, and ends when either side starts anew
//! or the outbox goes Behind. It is named by the sender's incarnation, the receiver's, and a
//! generation that the sender counts.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
};

use super::{
    LinkId,
    outbox::Outbox,
    repair::{Repair, Unexpected, Walk},
    strong::Why,
};
use crate::{
    limits::{Limits, Timing},
    log::Batch,
    members::Members,
    probe::{Mutant, planted},
    proto::peer::Frame,
    record::{Db, NodeId},
    rng::Rng,
    time::{Instant, Millis, Now},
};

/// The bytes that a peer was last told of floors. They follow from the rest, so for a search they
/// tell nothing apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastTold(pub(crate) Vec<u8>);

impl Hash for LastTold {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// One other member.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    pub(crate) id: NodeId,
    pub(crate) dialing: Dialing,
    /// Failed attempts since its last sign of life.
    attempts: u32,
    /// What our stream to it still owes.
    pub(crate) outbox: Outbox,
    /// Our stream to it: its incarnation, and which session of ours it is.
    pub(crate) receiver: u64,
    pub(crate) generation: u64,
    pub(crate) repair: Repair,
    /// The last session of ours in which a walk showed it all that we have.
    walked: u64,
    /// And all that we have from others since this life of ours began.
    caught_up: u64,
    /// What it was last told of the floor, on our present link to it.
    pub(crate) floor_told: LastTold,
    pub(crate) ping_at: Instant,
    pub(crate) repair_at: Instant,
    /// Its link to us, once it has introduced itself.
    pub(crate) inbound: Option<LinkId>,
    /// How far we have applied its stream.
    pub(crate) cursor: Cursor,
    /// The birth of its data, once it has said so, and whether it then voted.
    pub(crate) birth: Option<u64>,
    pub(crate) formed: bool,
    /// Why it does not vote, as it has said on its present link to us.
    pub(crate) waits: Option<Why>,
    /// What is to be asked on our link to it, and said on its link to us.
    pub(crate) asks: Vec<u8>,
    pub(crate) says: Vec<u8>,
    /// What may be said once a batch is durable.
    owed: VecDeque<(Batch, Vec<u8>)>,
    /// Our link to it is live.
    pub(crate) live: bool,
    /// It votes in the strong database.
    pub(crate) votes: bool,
    /// It takes no more requests on our link to it.
    pub(crate) leaving: bool,
    /// How far it is with our own stop, on its link to us.
    pub(crate) parting: Parting,
    /// By slot: requests that it refused on our link to it, and that we refused on its link to us.
    pub(crate) refusals_seen: BTreeMap<u32, u32>,
    pub(crate) refusals_sent: BTreeMap<u32, u32>,
    /// Acknowledgements that wait for a batch to be durable; at most as many as there are batches
    /// that are not.
    acks: VecDeque<(Option<Batch>, Cursor)>,
    /// It voted when it introduced itself on its link to us.
    pub(crate) voted: bool,
    /// It has shown us all that it had, in a walk that began in this life of ours.
    pub(crate) has_walked: bool,
    /// When last asked, its wall clock said that ours was too far ahead.
    pub(crate) finds_us_ahead: bool,
}

/// How far a member is with our stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Parting {
    /// It sends us no more requests.
    Done,
    /// We have not told it.
    Not,
    /// It was told that we take no more requests.
    Told,
}

/// Where we are with reaching a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dialing {
    /// Not connected; to be dialed at this time.
    Waiting { until: Instant },
    /// The driver is connecting; given up at this time.
    Connecting { until: Instant },
    /// Connected; it may have welcomed us or not yet.
    Connected { link: LinkId },
}

/// The last position of an inbound stream that was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cursor {
    pub(crate) incarnation: u64,
    pub(crate) generation: u64,
    pub(crate) pos: u64,
}

impl Peer {
    fn new(id: NodeId, limits: &Limits, now: Now) -> Self {
        Self {
            id,
            dialing: Dialing::Waiting { until: now.mono },
            attempts: 0,
            outbox: Outbox::new(limits.outbox_size_max),
            receiver: 0,
            generation: 0,
            repair: Repair::default(),
            walked: 0,
            caught_up: 0,
            floor_told: LastTold::default(),
            ping_at: now.mono,
            repair_at: now.mono,
            inbound: None,
            cursor: Cursor::default(),
            birth: None,
            formed: false,
            waits: None,
            asks: Vec::new(),
            says: Vec::new(),
            owed: VecDeque::new(),
            live: false,
            votes: false,
            leaving: false,
            parting: Parting::Not,
            refusals_seen: BTreeMap::new(),
            refusals_sent: BTreeMap::new(),
            acks: VecDeque::new(),
            voted: false,
            has_walked: false,
            finds_us_ahead: false,
        }
    }

    /// Our link to it, if there is one.
    pub(crate) const fn link(&self) -> Option<LinkId> {
        match self.dialing {
            Dialing::Connected { link } => Some(link),
            Dialing::Connecting { .. } | Dialing::Waiting { .. } => None,
        }
    }

    /// Starts a session with a peer of this incarnation: an empty stream, and a walk for all that
    /// came before.
    pub(crate) fn begin_session(&mut self, receiver: u64) {
        self.receiver = receiver;
        self.generation += 1;
        self.outbox.reset();
        if !planted(Mutant::BehindFlagLost) {
            self.repair.need();
        }
    }

    /// An answer to a walk's digests. True when the walk is complete.
    pub(crate) fn on_differ(
        &mut self,
        walk: Walk<'_>,
        db: Db,
        bits: &[u8],
    ) -> Result<bool, Unexpected> {
        let complete = self.repair.on_differ(walk, db, bits)?;
        if complete {
            (self.walked, self.caught_up) = (self.generation, self.generation);
        }
        Ok(complete)
    }

    /// We have got from others what it may not have: it is to be shown all that we have, from now
    /// on.
    pub(crate) fn show_anew(&mut self, now: Now) {
        self.caught_up = 0;
        self.repair.need_anew();
        self.repair_at = now.mono;
    }

    /// Whether it has all that our stream to it goes on from, and all that earlier lives of ours
    /// have stamped.
    pub(crate) const fn is_caught_up(&self) -> bool {
        self.generation > 0 && self.caught_up == self.generation && !self.outbox.is_behind()
    }

    /// Whether it has all that went before the present session.
    pub(crate) const fn is_whole(&self) -> bool {
        self.generation > 0 && self.walked == self.generation && !self.outbox.is_behind()
    }

    /// An attempt to get a link to it has failed: whatever its clock said is out of date.
    pub(crate) fn on_unreachable(&mut self, now: Now, timing: &Timing, rng: &mut Rng) {
        self.finds_us_ahead = false;
        self.on_link_lost(now, timing, rng);
    }

    /// Our link to it is gone. The next attempt waits longer after each failure, with jitter so that
    /// restarting nodes don't dial in step. What its clock said stands until that attempt has ended:
    /// who finds us ahead ends each link at the first stamp.
    pub(crate) fn on_link_lost(&mut self, now: Now, timing: &Timing, rng: &mut Rng) {
        let longest = timing.redial_max.0;
        let pause = timing.redial_min.0.checked_shl(self.attempts).unwrap_or(longest).min(longest);
        let pause = Millis(pause / 2 + rng.below(pause / 2 + 1));
        self.attempts = (self.attempts + 1).min(16);
        self.dialing = Dialing::Waiting { until: now.mono + pause };
        self.on_link_gone();
    }

    /// Our link to it is gone: what was asked there will not be answered.
    pub(crate) fn on_link_gone(&mut self) {
        self.repair.on_close();
        (self.live, self.votes) = (false, false);
        self.refusals_seen.clear();
        self.leaving = false;
        self.floor_told = LastTold::default();
        self.asks.clear();
    }

    /// It is there: dial without waiting any longer.
    pub(crate) fn on_sign_of_life(&mut self, now: Now) {
        if let Dialing::Waiting { until } = &mut self.dialing {
            *until = (*until).min(now.mono);
        }
    }

    /// What it has sent so far is to be acknowledged after a batch.
    pub(crate) fn owe_ack(&mut self, wait: Option<Batch>) {
        match self.acks.back_mut() {
            Some((batch, cursor)) if *batch == wait => *cursor = self.cursor,
            Some(_) | None => self.acks.push_back((wait, self.cursor)),
        }
    }

    /// The last acknowledgement that need not wait any longer.
    pub(crate) fn take_ack(&mut self, is_durable: impl Fn(Batch) -> bool) -> Option<Cursor> {
        let mut last = None;
        while let Some((wait, cursor)) = self.acks.front()
            && wait.is_none_or(&is_durable)
        {
            last = Some(*cursor);
            self.acks.pop_front();
        }
        last
    }

    /// It goes on over another link, or anew: what is owed on this one is void.
    pub(crate) fn forget_acks(&mut self) {
        if !planted(Mutant::OldSessionAccepted) {
            self.acks.clear();
        }
        self.owed.clear();
        self.says.clear();
        self.refusals_sent.clear();
        self.parting = Parting::Not;
    }

    /// Asks it something, if our link to it is live.
    pub(crate) fn ask(&mut self, question: &Frame<'_>) {
        if self.live {
            question.encode(&mut self.asks);
        }
    }

    /// Says something on its link to us, if there is one.
    pub(crate) fn say(&mut self, answer: &Frame<'_>) {
        if self.inbound.is_some() {
            answer.encode(&mut self.says);
        }
    }

    /// Says something once a batch is durable.
    pub(crate) fn owe(&mut self, wait: Option<Batch>, answer: &Frame<'_>) {
        let Some(batch) = wait else { return self.say(answer) };
        if self.inbound.is_none() {
            return;
        }
        match self.owed.back_mut() {
            Some((last, bytes)) if *last == batch => answer.encode(bytes),
            Some(_) | None => {
                let mut bytes = Vec::new();
                answer.encode(&mut bytes);
                self.owed.push_back((batch, bytes));
            }
        }
    }

    /// Says what need not wait any longer.
    pub(crate) fn pay(&mut self, is_durable: impl Fn(Batch) -> bool) {
        while let Some((_, bytes)) = self.owed.pop_front_if(|(batch, _)| is_durable(*batch)) {
            self.says.extend_from_slice(&bytes);
        }
    }

    /// Whether its vote can be had.
    pub(crate) const fn votes_in_reach(&self) -> bool {
        self.live && self.votes
    }

    /// It answers on our link: the next failure is a first one again.
    pub(crate) const fn on_answer(&mut self) {
        self.attempts = 0;
    }

    /// Its wall clock, which it read after ours had shown `asked_ms`: in the turn that took the
    /// question in. However long question and answer were under way, that makes us seem back, never
    /// ahead.
    pub(crate) fn on_clock(&mut self, asked_ms: u64, wall_ms: u64, skew_max: Millis) {
        self.finds_us_ahead = asked_ms.saturating_sub(wall_ms) > skew_max.0;
    }
}

/// All other members, in order of their ids.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peers {
    all: Vec<Peer>,
    me: NodeId,
    quorum: usize,
}

impl Peers {
    pub(crate) fn new(members: &Members, limits: &Limits, now: Now) -> Self {
        let all = members.peers().map(|id| Peer::new(id, limits, now)).collect();
        Self { all, me: members.me(), quorum: members.quorum() }
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        let index = match id.cmp(&self.me) {
            std::cmp::Ordering::Less => id.index(),
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => id.index() - 1,
        };
        self.all.get_mut(index)
    }

    /// Peers whose votes can be had.
    pub(crate) fn voters(&self) -> usize {
        self.all.iter().filter(|peer| peer.votes_in_reach()).count()
    }

    /// Whether our link to this peer is live, and it takes requests on it.
    pub(crate) fn takes_requests(&self, id: NodeId) -> bool {
        self.all.iter().any(|peer| peer.id == id && peer.live && !peer.leaving)
    }

    /// Whether nobody sends us requests any more, as far as links to us are open.
    pub(crate) fn have_parted(&self) -> bool {
        let mut linked = self.all.iter().filter(|peer| peer.inbound.is_some());
        linked.all(|peer| peer.parting == Parting::Done)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.all.iter_mut()
    }

    /// Whether so many members find our clock too far ahead that our stamps would find no takers: a
    /// majority of the cluster, or all others where that is fewer.
    pub(crate) fn find_us_ahead(&self) -> bool {
        let needed = self.quorum.min(self.all.len());
        needed > 0 && self.all.iter().filter(|peer| peer.finds_us_ahead).count() >= needed
    }
}
