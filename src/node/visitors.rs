//! Visitors: which clients are connected, and sending them away. CLIENT LIST, INFO and KILL.

use std::{
    fmt::Write as _,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{LinkId, Node, links::End};
use crate::{
    command::admin::Kill,
    conn::{Connection, Ticket},
    time::{Instant, Now},
};

/// The two ends of an accepted connection, as far as the driver knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it leads to.
    pub to: SocketAddr,
}

impl Addresses {
    /// Nothing is known, as of connections that a simulation makes up.
    pub const UNKNOWN: Self = Self { from: NOWHERE, to: NOWHERE };
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What is known of a client besides its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) addresses: Addresses,
    pub(crate) since: Instant,
    /// When it last said anything.
    pub(crate) heard: Instant,
}

/// It is told, and decides nothing.
impl Hash for Visit {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Visit {
    pub(crate) const fn new(addresses: Addresses, now: Now) -> Self {
        Self { addresses, since: now.mono, heard: now.mono }
    }
}

impl Node {
    /// CLIENT INFO and LIST: a line for each of these connections, all if there are none.
    pub(super) fn tell_clients(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        wanted: impl Fn(LinkId, &Connection) -> bool,
    ) {
        let mut text = String::new();
        for (at, end) in self.links.iter() {
            let End::Client { connection, visit, fresh, .. } = end else { continue };
            // What has said nothing yet may be a member.
            if *fresh || !wanted(at, connection) {
                continue;
            }
            let monitor = self.observer.feed.is_monitor(at);
            line(&mut text, now, connection, visit, monitor);
        }
        self.reply(link, ticket, |writer| writer.lines(&text));
    }

    /// CLIENT KILL.
    pub(super) fn kill_clients(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        kill: &Kill<Box<[u8]>>,
    ) {
        let is = |address: SocketAddr, wanted: &Option<Box<[u8]>>| {
            wanted.as_ref().is_none_or(|wanted| **wanted == *address.to_string().as_bytes())
        };
        let mut found = Vec::new();
        for (at, end) in self.links.iter() {
            let End::Client { connection, visit, fresh: false, .. } = end else { continue };
            let old = kill.age.is_none_or(|age| visit.since + age <= now.mono);
            let numbered = kill.id.is_none_or(|id| id == connection.id());
            let addressed =
                is(visit.addresses.from, &kill.from) && is(visit.addresses.to, &kill.to);
            let spared = at == link && !kill.me_too;
            if old && numbered && addressed && !spared && !kill.nobody {
                found.push(at);
            }
        }
        match found.len() {
            0 if kill.one => {
                self.reply(link, ticket, |writer| writer.error("ERR No such client"));
            }
            _ if kill.one => self.reply(link, ticket, |writer| writer.ok()),
            count => self.reply(link, ticket, |writer| writer.integer(count as i64)),
        }
        for at in found {
            if at == link {
                // It is told before it goes.
                self.shut_client(at);
            } else {
                self.close(now, at);
            }
        }
    }

    /// Takes no more requests of a client, and closes it when it has all replies.
    pub(super) fn shut_client(&mut self, link: LinkId) {
        if let Some(End::Client { connection, .. }) = self.links.end_mut(link) {
            let before = connection.buffered();
            connection.shut();
            self.buffered = self.buffered + connection.buffered() - before;
            self.links.touch(link);
        }
    }
}

fn line(text: &mut String, now: Now, connection: &Connection, visit: &Visit, monitor: bool) {
    let Visit { addresses: Addresses { from, to }, since, heard } = visit;
    let seconds = |since: Instant| now.mono.since(since).0 / 1000;
    let (age, idle) = (seconds(*since), seconds(*heard));
    let name = String::from_utf8_lossy(connection.name());
    let [library, version] = connection.library().each_ref().map(|t| String::from_utf8_lossy(t));
    let (flags, db, resp) = (if monitor { "O" } else { "N" }, connection.db(), connection.resp());
    let (unparsed, unwritten) = (connection.unparsed(), connection.unwritten());
    let memory = connection.buffered();
    let last = connection.last().map_or("NULL", |called| called.name());
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "id={} addr={from} laddr={to} name={name} age={age} idle={idle} flags={flags} db={} sub=0 \
         psub=0 ssub=0 multi=-1 qbuf={unparsed} obl={unwritten} oll=0 omem=0 tot-mem={memory} events=r \
         cmd={last} user=default resp={resp} lib-name={library} lib-ver={version}",
        connection.id(),
        db.number(),
    );
}
