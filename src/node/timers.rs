//! What time asks of a node: dial, give up, show a sign of life, repair, close the silent and the
//! stalled.
//!
//! There are a handful of timers a peer and none a client, except for clients that don't read their
//! replies, so finding the next one is a walk over a short list.

use super::{
    Action, LinkId, Node,
    links::{End, Side},
    peers::Dialing,
    repair::Walk,
};
use crate::{
    probe::{Hook, reached},
    proto::peer::Frame,
    record::NodeId,
    time::{Earliest, Instant, Millis, Now},
};

/// How often readers that stall are looked at.
const WATCH: Millis = Millis(1000);

/// A client whose requests wait because it does not read its replies.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Watch {
    pub(crate) link: LinkId,
    /// What it had read in all when last looked at, and since when.
    pub(crate) written: u64,
    pub(crate) since: Instant,
    pub(crate) look_at: Instant,
}

impl Watch {
    pub(crate) fn new(now: Now, link: LinkId, written: u64) -> Self {
        Self { link, written, since: now.mono, look_at: now.mono + WATCH }
    }
}

/// What a peer's timers ask for.
enum Due {
    Nothing,
    Dial,
    GiveUp,
    Silent(LinkId),
    Talk(LinkId),
}

impl Node {
    pub(super) fn run_timers(&mut self, now: Now) {
        for id in self.members.peers() {
            self.run_peer_timers(now, id);
        }
        // While answers wait for a slow link we read no questions from it, so that link may be
        // quiet by our own doing.
        let (links, silence) = (&mut self.links, self.timing.silence);
        let silent = |link: &LinkId| {
            let sign = links.peer_mut(*link).map(|open| open.last_sign(now.mono));
            sign.is_some_and(|sign| sign + silence <= now.mono)
        };
        let silent: Vec<LinkId> = self.accepted.iter().copied().filter(silent).collect();
        for link in silent {
            tracing::debug!(link = link.0, "closed a silent node link");
            self.close(now, link);
        }
        self.run_watch(now);
        if self.draining.is_some_and(|until| until <= now.mono) {
            self.overdue = true;
        }
    }

    /// The next time that [`Node::run_timers`] has something to do. Asked after each turn.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let mut due = Earliest::NONE;
        for peer in self.peers.iter() {
            match peer.dialing {
                Dialing::Waiting { until } | Dialing::Connecting { until } => due.add(until),
                Dialing::Connected { link } => {
                    let heard = self.links.peer(link).map_or(Instant::ZERO, |link| link.heard);
                    due.add(heard + self.timing.silence);
                    due.add(peer.ping_at);
                    if peer.repair.is_idle() {
                        due.add(peer.repair_at);
                    }
                }
            }
        }
        for link in self.accepted.iter().filter_map(|link| self.links.peer(*link)) {
            due.add(link.heard + self.timing.silence);
        }
        self.watched.iter().for_each(|watched| due.add(watched.look_at));
        due.maybe(self.draining.filter(|_| !self.overdue));
        due.maybe(self.strong.next_timer());
        due.maybe(self.quorum.next_deadline());
        due.maybe(self.waits.next_timer());
        due.maybe(self.locates.next_timer());
        due.maybe(self.removal.next_timer());
        due.maybe(self.sleeps.next_timer());
        due.get()
    }

    fn run_peer_timers(&mut self, now: Now, id: NodeId) {
        let timing = self.timing;
        let Some(peer) = self.peers.get_mut(id) else { return };
        let due = match peer.dialing {
            Dialing::Waiting { until } if until <= now.mono => Due::Dial,
            Dialing::Connecting { until } if until <= now.mono => Due::GiveUp,
            Dialing::Waiting { .. } | Dialing::Connecting { .. } => Due::Nothing,
            Dialing::Connected { link } => {
                let sign = self.links.peer_mut(link).map(|open| open.last_sign(now.mono));
                match sign {
                    Some(sign) if sign + timing.silence > now.mono => Due::Talk(link),
                    Some(_) | None => Due::Silent(link),
                }
            }
        };
        match due {
            Due::Nothing => {}
            Due::Dial => {
                peer.dialing = Dialing::Connecting { until: now.mono + timing.dial };
                self.actions.push_back(Action::Dial(id));
            }
            Due::GiveUp => peer.on_unreachable(now, &timing, &mut self.rng),
            Due::Silent(link) => {
                reached(Hook::PeerSilent);
                tracing::info!(peer = %self.members.name(id), "a peer has gone silent");
                self.close(now, link);
            }
            Due::Talk(link) => self.talk(now, id, link),
        }
    }

    /// Heartbeat and periodic repair on a live link.
    fn talk(&mut self, now: Now, id: NodeId, link: LinkId) {
        let (Some(peer), Some(open)) = (self.peers.get_mut(id), self.links.peer_mut(link)) else {
            return;
        };
        if !matches!(open.side, Side::Dialed { live: true, .. }) {
            // No hello was answered yet; silence is the only timer that counts.
            peer.ping_at = now.mono + self.timing.heartbeat;
            peer.repair_at = peer.repair_at.max(peer.ping_at);
            return;
        }
        let walks = peer.repair.is_idle() && peer.repair_at <= now.mono;
        if peer.ping_at <= now.mono {
            peer.ping_at = now.mono + self.timing.heartbeat;
            Frame::Ping { asked_ms: now.wall_ms }.encode(open.out.tail());
            self.links.touch(link);
            self.look_at_floor(now);
            self.tell_floor(id, link, false);
        }
        if walks {
            self.start_repair(now, id, link);
        }
    }

    /// Begins a walk towards a peer on our live link to it.
    pub(super) fn start_repair(&mut self, now: Now, id: NodeId, link: LinkId) {
        let jitter = Millis(self.rng.below(self.timing.repair.0 / 4 + 1));
        self.tell_floor(id, link, true);
        let (Some(peer), Some(open)) = (self.peers.get_mut(id), self.links.peer_mut(link)) else {
            return;
        };
        peer.repair_at = now.mono + self.timing.repair + jitter;
        peer.repair.start(Walk {
            store: &self.replica.store,
            span: self.limits.repair_span,
            offer_size: self.limits.offer_size,
            out: open.out.tail(),
        });
        self.links.touch(link);
    }

    /// Closes clients that have taken nothing for too long while their requests wait.
    fn run_watch(&mut self, now: Now) {
        let mut stalled = Vec::new();
        let (links, patience) = (&self.links, self.limits.output_stall);
        self.watched.retain_mut(|watch| {
            let Some(End::Client { connection, .. }) = links.end(watch.link) else { return false };
            if watch.look_at > now.mono {
                return true;
            }
            watch.look_at = now.mono + WATCH.min(patience);
            if connection.written() != watch.written || connection.output().is_empty() {
                (watch.written, watch.since) = (connection.written(), now.mono);
            } else if watch.since + patience <= now.mono {
                stalled.push(watch.link);
            }
            connection.is_paused()
        });
        for link in stalled {
            tracing::warn!(link = link.0, "closed a client that does not read its replies");
            self.stats.stalled += 1;
            self.close(now, link);
        }
    }
}
