//! REPLICAS: which member holds which version of a key, asked of all of them.
//!
//! Each answers with what it has durably. Who is not connected, or does not answer in time, is shown
//! as unreachable.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{LinkId, Node};
use crate::{
    conn::Ticket,
    log::Batch,
    proto::peer::{COPIED, Frame, SILENT, TOMBSTONE},
    record::{Db, NodeId, Version},
    slot::Slot,
    time::{Instant, Millis, Now},
};

/// How long members have for their answers.
const PATIENCE: Millis = Millis(1000);

/// Questions under way; each has a place among its connection's open requests.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Locates {
    open: BTreeMap<u64, Locate>,
    last_id: u64,
}

#[derive(Clone, Debug, Hash)]
struct Locate {
    link: LinkId,
    ticket: Ticket,
    db: Db,
    slot: u32,
    until: Instant,
    /// Until then our own answer is not durable.
    wait: Option<Batch>,
    /// Members that were asked and have not answered.
    missing: usize,
    held: BTreeMap<NodeId, Holding>,
}

/// What a member holds of a key.
#[derive(Clone, Copy, Debug, Hash)]
struct Holding {
    version: Version,
    flags: u8,
}

impl Locates {
    /// When [`Node::run_locates`] has something to do at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.open.values().map(|locate| locate.until).min()
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.retain(|_, locate| locate.link != link);
    }
}

impl Node {
    /// A connection asks where a key is.
    pub(super) fn begin_locate(
        &mut self,
        now: Now,
        (link, ticket): (LinkId, Ticket),
        db: Db,
        key: &[u8],
    ) {
        self.locates.last_id += 1;
        let (id, me, slot) = (self.locates.last_id, self.members.me(), Slot::of(key, self.slots).0);
        let own = self.holding(db, key);
        let mut missing = 0;
        for peer in self.peers.iter_mut().filter(|peer| peer.live) {
            peer.ask(&Frame::Locate { id, db, key });
            missing += 1;
        }
        let wait = self.replica.journal.wait_for_key(db, key);
        let (until, held) = (now.mono + PATIENCE, BTreeMap::from([(me, own)]));
        let locate = Locate { link, ticket, db, slot, until, wait, missing, held };
        self.locates.open.insert(id, locate);
        self.run_locates(now);
    }

    /// A member asks what we hold of a key.
    pub(super) fn on_locate(&mut self, from: NodeId, id: u64, db: Db, key: &[u8]) {
        let Holding { version, flags } = self.holding(db, key);
        let wait = self.replica.journal.wait_for_key(db, key);
        if let Some(peer) = self.peers.get_mut(from) {
            peer.owe(wait, &Frame::Located { id, version, flags });
        }
    }

    /// A member says what it holds of a key.
    pub(super) fn on_located(&mut self, from: NodeId, id: u64, version: Version, flags: u8) {
        let Some(locate) = self.locates.open.get_mut(&id) else { return };
        if locate.held.insert(from, Holding { version, flags }).is_none() {
            locate.missing = locate.missing.saturating_sub(1);
        }
    }

    /// Answers those who need not wait any longer.
    pub(super) fn run_locates(&mut self, now: Now) {
        if self.locates.open.is_empty() {
            return;
        }
        let journal = &self.replica.journal;
        let stops = self.draining.is_some();
        let over = self.locates.open.extract_if(.., |_, locate| {
            let durable = locate.wait.is_none_or(|batch| journal.is_durable(batch));
            durable && (locate.missing == 0 || locate.until <= now.mono || stops)
        });
        let over: Vec<Locate> = over.map(|(_, locate)| locate).collect();
        for locate in over {
            let text = self.show(&locate);
            self.reply(locate.link, locate.ticket, |writer| writer.lines(&text));
        }
    }

    fn holding(&self, db: Db, key: &[u8]) -> Holding {
        let record = self.replica.store.get(db, key);
        let version = record.map_or(Version::NONE, |record| record.version);
        let mut flags = 0;
        if record.is_some_and(|record| record.value.is_none()) {
            flags |= TOMBSTONE;
        }
        if db == Db::STRONG && !self.strong.votes() {
            flags |= SILENT;
        } else if db == Db::STRONG && self.strong.is_copy(Slot::of(key, self.slots).0) {
            flags |= COPIED;
        }
        Holding { version, flags }
    }

    fn show(&self, locate: &Locate) -> String {
        let mut text = String::new();
        for (index, name) in self.members.names().iter().enumerate() {
            let member = NodeId(index as u16);
            let leads =
                locate.db == Db::STRONG && self.strong.leader_of(locate.slot) == Some(member);
            let leads = if leads { ", leads" } else { "" };
            let holding = locate.held.get(&member).copied();
            let what = holding
                .map_or_else(|| "unreachable".to_owned(), |holding| describe(locate.db, holding));
            // Writing to a string can't fail.
            let _ = writeln!(text, "{member} {name}: {what}{leads}");
        }
        text
    }
}

fn describe(db: Db, holding: Holding) -> String {
    let Holding { version, flags } = holding;
    let counts = if flags & SILENT != 0 {
        ", does not vote"
    } else if flags & COPIED != 0 {
        ", copied"
    } else if db == Db::STRONG && version != Version::NONE {
        ", accepted"
    } else {
        ""
    };
    if version == Version::NONE {
        return format!("absent{counts}");
    }
    let deleted = if flags & TOMBSTONE != 0 { ", deleted" } else { "" };
    // As VERSION shows it.
    format!("version {:032x}{deleted}{counts}", version.to_bits())
}
