//! What clients ask of the node as a whole: the part of a client's requests that is not about data.
//!
//! What needs no other connection is answered at once, the rest is taken down as an inquiry.

use super::{client::Executor, inquiry::About, memory::RECORD_COST};
use crate::{
    command::{Ask, parameters::Wrong},
    conn::{Done, Ticket, Wait},
    proto::{Args, reply::ReplyWriter},
    record::Db,
};

impl Executor<'_> {
    pub(super) fn ask(
        &mut self,
        db: Db,
        ticket: Ticket,
        ask: Ask<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Done {
        let style = reply.style();
        let about = match ask {
            Ask::ClientInfo => About::ClientInfo,
            Ask::ClientKill(kill) => About::ClientKill(kill.own()),
            Ask::ClientList(list) if list.nobody => About::ClientList(Some(Vec::new())),
            Ask::ClientList(list) => {
                let ids = list.ids.iter().filter_map(crate::proto::integer);
                let ids: Vec<u64> = ids.map(|id| id as u64).collect();
                About::ClientList(Some(ids).filter(|ids| !ids.is_empty()))
            }
            Ask::Monitor => About::Monitor(style),
            Ask::Shutdown => About::Shutdown,
            Ask::Sleep(span) => About::Sleep(span),
            Ask::WaitAof { local, replicas, timeout } => {
                let wrote = *self.ever;
                About::WaitAof { wrote, local, replicas, timeout }
            }
            Ask::MemoryDoctor => About::MemoryDoctor,
            Ask::MemoryStats => About::MemoryStats,
            Ask::MemoryUsage(key) => {
                self.usage(db, key, reply);
                return Done::Now(self.replica.journal.wait_for_key(db, key).map(Wait::Durable));
            }
            Ask::Rewrite => return Done::Now(self.rewrite(reply)),
            Ask::ConfigGet(patterns) => {
                self.observer.settings.show(patterns, reply);
                return Done::Now(None);
            }
            Ask::ConfigResetStat
            | Ask::ConfigSet(_)
            | Ask::LatencyDoctor
            | Ask::LatencyHistory(_)
            | Ask::LatencyLatest
            | Ask::LatencyReset(_)
            | Ask::SlowLogGet(_)
            | Ask::SlowLogLen
            | Ask::SlowLogReset => {
                self.observed(ask, reply);
                return Done::Now(None);
            }
        };
        self.inquire_alone(ticket, about)
    }

    /// What the observer knows by itself.
    fn observed(&mut self, ask: Ask<'_>, reply: &mut ReplyWriter<'_>) {
        let observer = &mut *self.observer;
        match ask {
            Ask::ConfigResetStat => {
                observer.reset();
                self.stats.reset();
                reply.ok();
            }
            Ask::ConfigSet(pairs) => match self.set_parameters(pairs) {
                Ok(()) => reply.ok(),
                Err(wrong) => reply.error(wrong),
            },
            Ask::LatencyDoctor => reply.lines(&observer.latency.diagnose(&observer.settings)),
            Ask::LatencyHistory(event) => observer.latency.show_history(event, reply),
            Ask::LatencyLatest => observer.latency.show_latest(reply),
            Ask::LatencyReset(events) => {
                let named = |name: &[u8]| events.is_empty() || events.iter().any(|e| e == name);
                reply.integer(observer.latency.reset(named) as i64);
            }
            Ask::SlowLogGet(count) => observer.slow.show(count, reply),
            Ask::SlowLogLen => reply.integer(observer.slow.len() as i64),
            Ask::SlowLogReset => {
                observer.slow.reset();
                reply.ok();
            }
            Ask::ClientInfo
            | Ask::ClientKill(_)
            | Ask::ClientList(_)
            | Ask::ConfigGet(_)
            | Ask::MemoryDoctor
            | Ask::MemoryStats
            | Ask::MemoryUsage(_)
            | Ask::Monitor
            | Ask::Rewrite
            | Ask::Shutdown
            | Ask::Sleep(_)
            | Ask::WaitAof { .. } => unreachable!("the observer was not asked"),
        }
    }

    fn set_parameters<'a>(&mut self, pairs: Args<'a>) -> Result<(), Wrong<'a>> {
        let observer = &mut *self.observer;
        observer.settings.set(pairs)?;
        observer.slow.trim(&observer.settings);
        Ok(())
    }

    /// MEMORY USAGE, of this node's copy.
    fn usage(&self, db: Db, key: &[u8], reply: &mut ReplyWriter<'_>) {
        let store = &self.replica.store;
        let shown = store.get(db, key).and_then(|record| record.visible(self.now.wall_ms));
        match store.encoded(db, key).filter(|_| shown.is_some()) {
            Some(bytes) => reply.integer((bytes.len() + RECORD_COST) as i64),
            None => reply.null(),
        }
    }

    /// BGREWRITEAOF: a checkpoint stands for the log before it.
    fn rewrite(&mut self, reply: &mut ReplyWriter<'_>) -> Option<Wait> {
        if self.checkpoint.is_idle() {
            self.checkpoint.want();
            reply.simple("Background append only file rewriting started");
        } else {
            reply.error("ERR Background append only file rewriting already in progress");
        }
        None
    }
}
