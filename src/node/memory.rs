//! What memory is taken by: MEMORY STATS, and MEMORY DOCTOR, which judges the same figures.
//!
//! They have Redis' names where they mean the same. What nobody counts, such as the allocator's own
//! share, is left out: a figure that is made up is worse than none.

use super::{LinkId, Node, links::End};
use crate::{conn::Ticket, proto::reply::ReplyWriter, record::Db};

/// What a record takes besides its bytes: its place in a table, which is seven eighths full at most and
/// half full on average, and what the allocator adds.
pub(super) const RECORD_COST: usize = 40;

/// Below that there is nothing to judge, as Redis has it.
const LITTLE: u64 = 5 << 20;
/// What a client's buffers may take on average, and what a peer may be owed, as Redis has it.
const CLIENT_MAX: u64 = 200 << 10;
const PEER_MAX: u64 = 10 << 20;
/// Remembered deletions that are worth a word, if they are more than the keys.
const TOMBSTONES_MANY: u64 = 100_000;
/// What the process may have beyond what is accounted for: half as much again, and this at least.
const UNACCOUNTED_MIN: u64 = 100 << 20;

/// The figures.
#[derive(Clone, Debug, Default)]
struct Account {
    /// What the process has, if the system tells.
    resident: Option<u64>,
    /// What peers have not acknowledged, of all and of the one that owes most.
    peers: u64,
    peer_most: u64,
    /// Buffers of clients, and how many there are.
    buffers: u64,
    clients: u64,
    /// What waits for the disk.
    log: u64,
    /// Records by database.
    records: [u64; Db::COUNT],
    keys: u64,
    tombstones: u64,
    /// Keys, values and versions.
    dataset: u64,
}

impl Node {
    /// By how many bytes what is counted is off from what there is: buffers of clients, and operations
    /// when none is under way. It should be 0: what is counted too much would take room for ever.
    #[must_use]
    pub fn miscounted(&self) -> usize {
        let buffers = self.links.iter().map(|(_, end)| match end {
            End::Client { connection, .. } => connection.buffered(),
            End::Peer(_) => 0,
        });
        let buffers: usize = buffers.sum();
        self.strong.left_over() + self.quorum.left_over() + self.buffered.abs_diff(buffers)
    }

    /// MEMORY STATS.
    pub(super) fn tell_memory(&mut self, (link, ticket): (LinkId, Ticket)) {
        let account = self.account();
        self.reply(link, ticket, |reply| account.write(reply));
    }

    /// MEMORY DOCTOR.
    pub(super) fn judge_memory(&mut self, (link, ticket): (LinkId, Ticket)) {
        let text = self.account().judge();
        self.reply(link, ticket, |reply| reply.lines(&text));
    }

    fn account(&self) -> Account {
        let store = &self.replica.store;
        let owed = || self.peers.iter().map(|peer| peer.outbox.len() as u64);
        let sum = |count: fn(&crate::store::Store, Db) -> u64| {
            Db::ALL.into_iter().map(|db| count(store, db)).sum::<u64>()
        };
        Account {
            resident: self.stats.load.resident(),
            peers: owed().sum(),
            peer_most: owed().max().unwrap_or(0),
            buffers: self.buffered as u64,
            clients: self.client_count() as u64,
            log: self.replica.journal.gathered() as u64,
            records: Db::ALL.map(|db| store.live(db) + store.tombstones(db)),
            keys: sum(|store, db| store.live(db)),
            tombstones: sum(|store, db| store.tombstones(db)),
            dataset: sum(|store, db| store.bytes(db)),
        }
    }
}

impl Account {
    fn tables(&self) -> u64 {
        self.records.iter().sum::<u64>() * RECORD_COST as u64
    }

    fn overhead(&self) -> u64 {
        self.tables() + self.peers + self.buffers + self.log
    }

    fn write(&self, reply: &mut ReplyWriter<'_>) {
        let used = || Db::ALL.into_iter().zip(self.records).filter(|(_, records)| *records > 0);
        let each = (self.dataset + self.tables()).checked_div(self.keys).unwrap_or(0);
        let figures = [
            ("replication.backlog", self.peers),
            ("clients.normal", self.buffers),
            ("aof.buffer", self.log),
            ("overhead.total", self.overhead()),
            ("keys.count", self.keys),
            ("keys.bytes-per-key", each),
            ("dataset.bytes", self.dataset),
        ];
        let resident = self.resident.map(|bytes| ("total.allocated", bytes));
        reply.map(used().count() + figures.len() + usize::from(resident.is_some()));
        for (name, figure) in resident.into_iter().chain(figures) {
            reply.bulk(name.as_bytes());
            reply.integer(figure as i64);
        }
        for (db, records) in used() {
            reply.bulk(format!("db.{}", db.number()).as_bytes());
            reply.map(1);
            reply.bulk(b"overhead.hashtable.main");
            reply.integer((records * RECORD_COST as u64) as i64);
        }
    }

    fn judge(&self) -> String {
        let accounted = self.dataset + self.overhead();
        let mut text = String::new();
        if self.buffers / self.clients.max(1) > CLIENT_MAX {
            text += "Clients: their buffers take more than 200 KiB each on average; CLIENT LIST shows who \
                     does not read (obl) or sends much at once (qbuf).\n";
        }
        if self.peer_most > PEER_MAX {
            text += "Peers: one has more than 10 MiB to acknowledge; INFO replication shows which, and \
                     whether it is connected.\n";
        }
        if self.tombstones > TOMBSTONES_MANY && self.tombstones > self.keys {
            text += "Deletions: more are remembered than there are keys; as long as a node is down none is \
                     forgotten, see INFO replication.\n";
        }
        let unaccounted = self.resident.unwrap_or(0).saturating_sub(accounted);
        if unaccounted > UNACCOUNTED_MIN.max(accounted / 2) {
            text += "Process: it has much more memory than is accounted for. After a peak the allocator \
                     keeps some, and uses it again for new data.\n";
        }
        match text.is_empty() {
            true if accounted < LITTLE => "There is too little data to judge by.\n".to_owned(),
            true => "Nothing takes more memory than it should.\n".to_owned(),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{buffer::OutBuf, proto::Style};

    #[test]
    fn figures_are_a_map() {
        let mut out = OutBuf::new();
        let mut account = Account { dataset: 25, keys: 1, buffers: 7, ..Account::default() };
        account.records[0] = 1;
        account.write(&mut ReplyWriter::new(&mut out, Style::Resp3));
        let text = String::from_utf8_lossy(out.pending()).into_owned();
        let database = "$4\r\ndb.0\r\n%1\r\n$23\r\noverhead.hashtable.main\r\n:40\r\n";
        assert!(text.starts_with("%8\r\n$19\r\nreplication.backlog\r\n:0\r\n"), "{text}");
        assert!(text.contains("$14\r\noverhead.total\r\n:47\r\n"), "{text}");
        assert!(text.contains("$18\r\nkeys.bytes-per-key\r\n:65\r\n"), "{text}");
        assert!(text.ends_with(database), "{text}");
    }

    #[test]
    fn each_trouble_is_named_and_only_it() {
        let sound = Account { dataset: 100 << 20, keys: 1_000, clients: 10, ..Account::default() };
        let sound = Account { resident: Some(150 << 20), ..sound };
        assert_eq!(sound.judge(), "Nothing takes more memory than it should.\n");
        assert_eq!(Account::default().judge(), "There is too little data to judge by.\n");
        let check = |account: Account, word: &str| {
            let text = account.judge();
            assert!(text.starts_with(word) && text.lines().count() == 1, "{text}");
        };
        check(Account { buffers: 10 * CLIENT_MAX + 10, ..sound.clone() }, "Clients:");
        check(Account { peer_most: PEER_MAX + 1, peers: PEER_MAX + 1, ..sound.clone() }, "Peers:");
        check(Account { tombstones: TOMBSTONES_MANY + 1, ..sound.clone() }, "Deletions:");
        check(Account { resident: Some(250 << 20), ..sound.clone() }, "Process:");
        let fine = Account { buffers: 10 * CLIENT_MAX, peer_most: PEER_MAX, ..sound };
        assert_eq!(fine.judge(), "Nothing takes more memory than it should.\n");
    }
}
