//! Claims: what a node goes by or says, told at the very line where it does, to a simulation that can
//! look at all nodes and judge whether it is true.
//!
//! Without the feature `hooks` nobody hears them, and nothing is done for them.

/// Whether anybody hears them: what only they need is else not looked for.
pub const HEARD: bool = cfg!(feature = "hooks");

/// What a node goes by or says of a version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The database's number.
    pub db: u8,
    /// A key in it.
    pub key: Vec<u8>,
    /// Of what was written to it.
    pub version: u128,
    /// What of that version.
    pub says: Says,
}

/// What a claim says of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The key has not been written since it was stamped.
    AbsentSince,
    /// These members have accepted it, and what they hold is no copy; a bit each.
    AcceptedBy(u64),
    /// These members hold it or something newer; a bit each.
    HeldBy(u64),
    /// A majority holds it or something newer.
    HeldByMajority,
    /// The node takes it out.
    TakenOut,
    /// A client is told that it is there.
    Told,
    /// It is held, and the node says that it holds this one.
    Unlike(u128),
}

/// A member has acknowledged what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which.
    pub by: u16,
    /// Of which session.
    pub generation: u64,
    /// Up to which position in it.
    pub pos: u64,
}

/// What a node does or hears, but for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// This must hold, and does not.
    Broken(&'static str),
    /// A request was answered: its number among those of its slot that went to a leader, or to this
    /// one.
    Answered {
        /// To this one.
        at_leader: bool,
        /// For which slot.
        slot: u32,
        /// They rise.
        number: u64,
    },
    /// A read is begun anew, for none that came later was answered.
    BegunAgain {
        /// It was with this leader.
        at_leader: bool,
        /// For which slot.
        slot: u32,
        /// As there.
        number: u64,
    },
    /// It has again what it may have lost, for this peer has shown all that a voter has.
    RecoveredFrom(u16),
    /// It tells a peer that nothing was done for a request of its for a slot.
    Refused {
        /// Whom.
        peer: u16,
        /// Which.
        slot: u32,
    },
    /// A peer begins to show it all that it has.
    WalkBegun(u16),
    /// It has shown it.
    Walked(u16),
    /// It is about to do so, though it leads the slot and takes others.
    TurnedAway {
        /// Whose request.
        peer: u16,
        /// For which.
        slot: u32,
    },
}

/// A leader asks members what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Of all slots that it leads, in this order.
    pub slots: Vec<u32>,
    /// From this one on somebody is not asked about all: there is no room.
    pub left_out: Option<u32>,
}

/// All that nodes have claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Of versions of keys, in their order.
    pub claims: Vec<Claim>,
    /// Of members' acknowledgements.
    pub acknowledged: Vec<Acknowledged>,
    /// Of questions to all members.
    pub surveyed: Vec<Surveyed>,
    /// Of what else they do.
    pub words: Vec<Word>,
}

/// From here on a node goes by a majority's holding this version of a key of a database, or
/// something newer.
#[inline]
pub fn held_by_majority(db: u8, key: &[u8], version: u128) {
    claim(Says::HeldByMajority, db, key, version);
}

/// From here on a node goes by these members' holding that, a bit each.
#[inline]
pub fn held_by(members: u64, db: u8, key: &[u8], version: u128) {
    claim(Says::HeldBy(members), db, key, version);
}

/// From here on a node goes by these members' having accepted that, and not a copy of it.
#[inline]
pub fn accepted_by(members: u64, db: u8, key: &[u8], version: u128) {
    claim(Says::AcceptedBy(members), db, key, version);
}

/// A node goes by this key's not having been written since this version was stamped.
#[inline]
pub fn absent_since(db: u8, key: &[u8], version: u128) {
    claim(Says::AbsentSince, db, key, version);
}

/// A node takes out this version of a key of a database, which all others hold or have taken out.
#[inline]
pub fn taken_out(db: u8, key: &[u8], version: u128) {
    claim(Says::TakenOut, db, key, version);
}

#[inline]
fn claim(says: Says, db: u8, key: &[u8], version: u128) {
    hear(|heard| heard.claims.push(Claim { db, key: key.to_vec(), version, says }));
}

/// A node goes by this member's having applied, durably, its session of this generation up to there.
#[inline]
pub fn acknowledged(by: u16, generation: u64, pos: u64) {
    hear(|heard| heard.acknowledged.push(Acknowledged { by, generation, pos }));
}

/// A node does or hears this.
#[inline]
pub fn say(word: Word) {
    hear(|heard| heard.words.push(word));
}

/// This must hold here. Without anybody to hear it is not looked at.
#[inline]
pub fn must(holds: impl FnOnce() -> bool, rule: &'static str) {
    if HEARD && !holds() {
        say(Word::Broken(rule));
    }
}

/// A leader asks members about these slots, in this order, and has no room for those from one on.
#[inline]
pub fn surveyed(slots: &[u32], left_out: Option<u32>) {
    hear(|heard| heard.surveyed.push(Surveyed { slots: slots.to_vec(), left_out }));
}

/// A node says that it holds one version of a key, and holds another.
#[inline]
pub fn shows(db: u8, key: &[u8], said: u128, held: u128) {
    if said != held {
        claim(Says::Unlike(said), db, key, held);
    }
}

/// What a search has found, until who asked is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found(Vec<(u8, Box<[u8]>, u128)>);

impl Found {
    /// This version of a key of a database.
    #[inline]
    pub fn push(&mut self, db: u8, key: &[u8], version: u128) {
        if HEARD {
            self.0.push((db, key.into(), version));
        }
    }

    /// Who asked is told of all that.
    pub fn told(&self) {
        self.0.iter().for_each(|(db, key, version)| claim(Says::Told, *db, key, *version));
    }
}

/// Which keys something touches, by their hashes: exactly, where a node itself need not know so well.
#[derive(Clone, Debug, Default)]
pub struct Touched(Vec<u64>);

impl Touched {
    /// This one, too.
    pub fn push(&mut self, hash: u64) {
        if HEARD {
            self.0.push(hash);
        }
    }

    /// None any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether this one.
    #[must_use]
    pub fn has(&self, hash: u64) -> bool {
        self.0.contains(&hash)
    }
}

#[cfg(feature = "hooks")]
pub use hooks::take_heard;

/// Tells it to whoever hears.
#[cfg(feature = "hooks")]
fn hear(hear: impl FnOnce(&mut Heard)) {
    hooks::hear(hear);
}

#[cfg(not(feature = "hooks"))]
#[inline]
fn hear(_hear: impl FnOnce(&mut Heard)) {}

#[cfg(feature = "hooks")]
mod hooks {
    use std::cell::{Cell, RefCell};

    use super::Heard;

    thread_local! {
        /// Nothing as long as nobody takes it: then it would only become more.
        static HEARD: RefCell<Option<Heard>> = const { RefCell::new(None) };
        /// Whether there is anything in it: in most turns there is not.
        static ANY: Cell<bool> = const { Cell::new(false) };
    }

    /// Tells it to whoever hears.
    pub(super) fn hear(hear: impl FnOnce(&mut Heard)) {
        HEARD.with_borrow_mut(|heard| {
            if let Some(heard) = heard {
                hear(heard);
                ANY.set(true);
            }
        });
    }

    /// What nodes on this thread have claimed since the last call, if there is something; nothing at the
    /// first.
    #[must_use]
    pub fn take_heard() -> Option<Heard> {
        if ANY.take() {
            return HEARD.replace(Some(Heard::default()));
        }
        HEARD.with_borrow_mut(|heard| {
            heard.get_or_insert_default();
        });
        None
    }
}
