//! What this node answers to members about the quorum database, and what their answers do.
//!
//! What an answer shows must be durable here. A replica that does not vote answers nothing.

use super::{Quorum, Shown, clock, decide::clock_behind, held, task::Task};
use crate::{
    node::{eventual::Refused, inbound::Hangup, strong::Ctx},
    probe::{Hook, Mutant, planted, reached},
    proto::peer::{self, Frame},
    record::{Db, NodeId, Record, Version},
};

impl Quorum {
    /// A member wants to know what we have of some keys. Without keys it is about a flush: then our
    /// clock is told, and our flush stamp.
    pub(crate) fn on_query(
        &self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        keys: &[u8],
    ) -> Result<(), Hangup> {
        if !self.votes {
            return Ok(());
        }
        let (mut entries, mut wait) = (Vec::new(), None);
        let mut show = |shown: Shown| peer::push_state(&mut entries, shown.version, shown.record);
        for key in peer::keys(keys) {
            let key = key.ok_or(Hangup::Unexpected)?;
            show(held(ctx.replica, key));
            wait = wait.max(ctx.replica.journal.wait_for_key(Db::QUORUM, key));
        }
        if keys.is_empty() {
            show(clock(ctx, self.me));
            let version = ctx.replica.store.flushed(Db::QUORUM);
            show(Shown { version, record: false, floor: 0 });
            wait = ctx.replica.journal.wait_for_all();
        }
        let floor = ctx.replica.floors.known_absent();
        let wait = wait.filter(|_| !planted(Mutant::UndurableShown));
        if let Some(peer) = ctx.peers.get_mut(from) {
            peer.owe(wait, &Frame::Answers { id, db: Db::QUORUM, floor, entries: &entries });
        }
        Ok(())
    }

    /// A member wants our records. Where we have none a flush may be why: it is told before.
    pub(crate) fn on_query_full(
        &self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        keys: &[u8],
    ) -> Result<(), Hangup> {
        if !self.votes {
            return Ok(());
        }
        let (db, mut records) = (Db::QUORUM, Vec::new());
        for key in peer::keys(keys) {
            let record = ctx.replica.store.encoded(db, key.ok_or(Hangup::Unexpected)?);
            peer::push_record(&mut records, record.unwrap_or_default());
        }
        let version = ctx.replica.store.flushed(db);
        let wait = ctx.replica.journal.wait_for_all();
        if let Some(peer) = ctx.peers.get_mut(from) {
            if version > Version::NONE {
                peer.owe(wait, &Frame::Flushed { db, version });
            }
            peer.owe(wait, &Frame::FullAnswers { id, db, records: &records });
        }
        Ok(())
    }

    /// Members say what they have of the keys of a question.
    pub(crate) fn on_answers(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        (floor, entries): (u64, &[u8]),
    ) -> Option<()> {
        let shown = peer::states(entries).map(|entry| {
            let (version, record) = entry?;
            Some(Shown { version, record, floor })
        });
        let shown: Vec<Shown> = shown.collect::<Option<_>>()?;
        let Some(tasks) = self.questions.on_answer(from, id) else { return Some(()) };
        let flush = tasks
            .first()
            .and_then(|first| self.tasks.get(*first))
            .filter(|task| Task::is_flush(task));
        if let (Some(task), [number], [clock, flushed]) = (flush, &*tasks, &*shown) {
            let shown = if task.is_asking() { *clock } else { *flushed };
            let shown = Shown { floor: 0, ..shown };
            self.on_shown(ctx, from, *number, shown);
            self.try_flush(ctx);
            return Some(());
        }
        for (number, shown) in tasks.into_iter().zip(shown) {
            self.on_shown(ctx, from, number, shown);
        }
        self.try_flush(ctx);
        Some(())
    }

    /// A member sends the record that a task asked it for.
    pub(crate) fn on_full_answers(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: NodeId,
        id: u64,
        records: &[u8],
    ) -> Result<(), Hangup> {
        let bytes = peer::records(records).next().flatten().ok_or(Hangup::Unexpected)?;
        let Some(task) = self.tasks.get_mut(id) else { return Ok(()) };
        let key = task.key().to_vec();
        let Some(asking) = task.asking() else { return Ok(()) };
        let Some((_, version)) = asking.fetching.filter(|(node, _)| *node == from) else {
            return Ok(());
        };
        asking.fetching = None;
        if !bytes.is_empty() {
            let record = Record::decode(bytes).map_err(Refused::Malformed)?;
            if record.db != Db::QUORUM || record.key != key {
                return Err(Hangup::Unexpected);
            }
            if let Err(refusal) = ctx.replica.merge(ctx.now, from, bytes) {
                let next = self.finish(id, clock_behind(refusal));
                self.settle(ctx, next);
                return Ok(());
            }
        }
        if held(ctx.replica, &key).reaches(version) {
            self.settle(ctx, Some(id));
        } else {
            self.restart(ctx, id);
        }
        Ok(())
    }

    /// A member knows of a flush. One that our clock does not let us take is left alone.
    pub(crate) fn on_flushed(ctx: &mut Ctx<'_>, version: Version) {
        if ctx.replica.merge_flush(ctx.now, Db::QUORUM, version).is_err() {
            tracing::warn!("left a flush alone: its stamp is too far ahead");
        } else {
            reached(Hook::FlushTaken);
        }
    }
}
