//! FLUSHDB of the strong database, at the node that was asked for it.
//!
//! Every key has to be removed by the leader of its slot, so this node asks the leader of each slot
//! ([`super::erase`]), itself among them, and asks again where leaders change. It is over when all
//! slots are empty, each at some time since the flush was asked for; a key written meanwhile may
//! survive or not. Whoever asks while a flush is under way waits for the next one, which serves all
//! of them: so there is one at a time.
//!
//! It takes as long as there is progress. When there was none for as long as an operation may take,
//! it is in doubt: some keys are gone. If no leader was ever asked, nothing is.

use std::collections::BTreeMap;

use super::{
    Ctx, Strong,
    refusal::NO_LEADER,
    request::{IN_DOUBT, Origin},
    route::Route,
};
use crate::{
    command::op::Answer,
    probe::{Hook, reached},
    proto::peer::Frame,
    record::NodeId,
    slot::SlotSet,
    time::{Instant, Millis},
};

/// How soon leaders are looked for again, for slots that have none.
const RETRY: Millis = Millis(20);

/// The flushes that clients of this node want.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Flushes {
    run: Option<Run>,
    /// For whom the next one is.
    waiting: Vec<Origin>,
    last_id: u64,
}

/// A flush under way.
#[derive(Clone, Debug, Hash)]
struct Run {
    id: u64,
    origins: Vec<Origin>,
    /// Slots that are not known to be empty.
    left: SlotSet,
    /// By leader: what it was asked to empty.
    asked: BTreeMap<NodeId, SlotSet>,
    /// Some leader was asked.
    begun: bool,
    /// Then it is over, unless something happens before.
    until: Instant,
    retry_at: Option<Instant>,
}

/// What a leader says of the slots that it was asked to empty.
#[derive(Clone, Debug, Hash)]
pub(super) struct Told {
    pub(super) id: u64,
    pub(super) done: SlotSet,
    pub(super) failed: SlotSet,
}

impl Flushes {
    /// Whether the next one can begin.
    pub(super) fn is_due(&self) -> bool {
        self.run.is_none() && !self.waiting.is_empty()
    }

    /// When there is something to do.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        Some(run.retry_at.map_or(run.until, |at| at.min(run.until)))
    }
}

impl Strong {
    /// A client wants the database empty.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, origin: Origin) {
        match &mut self.flushes.run {
            Some(run) if !run.begun => run.origins.push(origin),
            Some(_) => self.flushes.waiting.push(origin),
            None => {
                self.flushes.waiting.push(origin);
                self.begin_flush(ctx);
            }
        }
    }

    fn begin_flush(&mut self, ctx: &mut Ctx<'_>) {
        if self.flushes.waiting.is_empty() {
            return;
        }
        self.flushes.last_id += 1;
        self.flushes.run = Some(Run {
            id: self.flushes.last_id,
            origins: std::mem::take(&mut self.flushes.waiting),
            left: SlotSet::full(self.slots),
            asked: BTreeMap::new(),
            begun: false,
            until: ctx.now.mono + self.timing.request,
            retry_at: None,
        });
        self.ask_leaders(ctx);
    }

    /// Asks the leaders of all slots that nobody was asked for.
    fn ask_leaders(&mut self, ctx: &mut Ctx<'_>) {
        let Some(run) = &self.flushes.run else { return };
        let mut open = run.left.clone();
        run.asked.values().for_each(|asked| open.subtract(asked));
        let mut leaders: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
        let mut vacant = false;
        for slot in open.iter() {
            let leader = match self.route(ctx.peers, slot) {
                Route::Here(_) => self.me,
                Route::There(leader) => leader,
                Route::Nowhere => {
                    vacant = true;
                    continue;
                }
            };
            leaders.entry(leader).or_insert_with(|| SlotSet::new(self.slots)).insert(slot);
        }
        let Some(run) = &mut self.flushes.run else { return };
        run.retry_at = vacant.then_some(ctx.now.mono + RETRY);
        run.begun |= !leaders.is_empty();
        let id = run.id;
        for (leader, slots) in &leaders {
            match run.asked.get_mut(leader) {
                Some(asked) => asked.union_with(slots),
                None => {
                    run.asked.insert(*leader, slots.clone());
                }
            }
        }
        for (leader, slots) in leaders {
            if leader == self.me {
                self.erase(leader, id, &slots);
            } else if let Some(to) = ctx.peers.get_mut(leader) {
                let mut bytes = Vec::new();
                slots.to_bytes(&mut bytes);
                to.ask(&Frame::FlushSlots { id, slots: &bytes });
            }
        }
    }

    /// A leader, or this node, says how far it is.
    pub(super) fn on_slots_flushed(&mut self, ctx: &Ctx<'_>, from: NodeId, told: &Told) {
        let run = self.flushes.run.as_mut().filter(|run| run.id == told.id);
        let Some(run) = run else { return };
        let Some(asked) = run.asked.get_mut(&from) else { return };
        let mut done = told.done.clone();
        done.intersect_with(asked);
        asked.subtract(&done);
        asked.subtract(&told.failed);
        run.left.subtract(&done);
        if !told.failed.is_empty() {
            run.retry_at = Some(ctx.now.mono + RETRY);
        } else {
            run.until = ctx.now.mono + self.timing.request;
        }
        if run.left.is_empty() {
            reached(Hook::Flushed);
            self.end_flush(&Answer::Ok);
        }
    }

    /// A leader will not answer any more.
    pub(super) fn on_flusher_lost(&mut self, now: Instant, peer: NodeId) {
        if let Some(run) = &mut self.flushes.run
            && run.asked.remove(&peer).is_some()
        {
            run.retry_at = Some(now);
        }
    }

    /// Time has passed.
    pub(super) fn run_flush(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        if let Some(run) = &self.flushes.run
            && run.until <= now
        {
            let answer = if run.begun { IN_DOUBT } else { self.refusal(ctx.peers, NO_LEADER) };
            self.erasures.forget(self.me);
            self.end_flush(&answer);
        }
        if self.flushes.run.is_none() {
            self.begin_flush(ctx);
        }
        let retry_at = self.flushes.run.as_ref().and_then(|run| run.retry_at);
        if retry_at.is_some_and(|at| at <= now) {
            self.ask_leaders(ctx);
        }
    }

    fn end_flush(&mut self, answer: &Answer<'static>) {
        let origins = self.flushes.run.take().map(|run| run.origins).unwrap_or_default();
        origins.into_iter().for_each(|origin| self.answer(origin, answer.clone()));
    }
}
