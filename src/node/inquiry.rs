//! What clients ask about the node and the cluster: taken down while a connection's requests are
//! carried out, and answered right after, from all that the node knows.

use super::{
    LinkId, Node,
    chores::Job,
    monitor::MONITORS_MAX,
    wait::{Wanted, Wrote},
};
use crate::{
    command::admin::Kill,
    conn::Ticket,
    proto::Style,
    record::Db,
    time::{Millis, Now},
};

/// A question, and the place of its answer.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inquiry {
    pub(crate) link: LinkId,
    pub(crate) ticket: Ticket,
    pub(crate) about: About,
}

/// What is asked.
#[derive(Clone, Debug, Hash)]
pub(crate) enum About {
    /// What takes several turns.
    Job(Job),
    /// REPLICAS.
    Replicas { db: Db, key: Box<[u8]> },
    /// CLIENT INFO.
    ClientInfo,
    /// CLIENT KILL.
    ClientKill(Kill<Box<[u8]>>),
    /// CLIENT LIST: of those with these numbers; of all without.
    ClientList(Option<Vec<u64>>),
    /// MEMORY DOCTOR.
    MemoryDoctor,
    /// MEMORY STATS.
    MemoryStats,
    /// MONITOR, to be shown in this style.
    Monitor(Style),
    /// SHUTDOWN.
    Shutdown,
    /// DEBUG SLEEP.
    Sleep(Millis),
    /// STATUS.
    Status,
    /// WAIT, on a connection that wrote to these databases.
    Wait { wrote: Wrote, replicas: u64, timeout: Option<Millis> },
    /// WAITAOF, on a connection that wrote to these databases.
    WaitAof { wrote: Wrote, local: bool, replicas: u64, timeout: Option<Millis> },
}

impl Node {
    /// Answers what was asked, or begins to.
    pub(super) fn inquire(&mut self, now: Now) {
        for Inquiry { link, ticket, about } in std::mem::take(&mut self.inquiries) {
            let place = (link, ticket);
            match about {
                About::ClientInfo => self.tell_clients(now, place, |at, _| at == link),
                About::ClientKill(kill) => self.kill_clients(now, place, &kill),
                About::ClientList(None) => self.tell_clients(now, place, |_, _| true),
                About::ClientList(Some(ids)) => {
                    self.tell_clients(now, place, |_, client| ids.contains(&client.id()));
                }
                About::Job(job) => self.chores.begin(place, job),
                About::MemoryDoctor => self.judge_memory(place),
                About::MemoryStats => self.tell_memory(place),
                About::Monitor(style) => {
                    if self.observer.feed.add(link, style) {
                        self.reply(link, ticket, |writer| writer.ok());
                    } else {
                        self.reply(link, ticket, |writer| {
                            writer.error(format_args!(
                                "ERR there are {MONITORS_MAX} monitors already, the most at a time"
                            ));
                        });
                    }
                }
                About::Shutdown => {
                    // As of Redis there is no answer but the end of the connection.
                    self.reply(link, ticket, |_| {});
                    self.shut_client(link);
                    self.stops = true;
                }
                About::Sleep(span) => self.sleeps.begin(now.mono + span, place),
                About::Replicas { db, key } => self.begin_locate(now, (link, ticket), db, &key),
                About::Status => {
                    let text = self.status(now);
                    self.reply(link, ticket, |writer| writer.lines(&text));
                }
                About::Wait { wrote, replicas, timeout } => {
                    let wanted = Wanted { local: None, replicas };
                    self.begin_wait(now, place, wrote, (wanted, timeout));
                }
                About::WaitAof { wrote, local, replicas, timeout } => {
                    self.begin_wait_aof(now, place, wrote, (local, replicas, timeout));
                }
            }
        }
    }

    /// A connection is gone, and nobody waits for its answers.
    pub(super) fn forget_inquiries(&mut self, link: LinkId) {
        self.waits.forget(link);
        self.locates.forget(link);
        self.chores.forget(link);
        self.sleeps.forget(link);
        self.observer.feed.forget(link);
    }
}
