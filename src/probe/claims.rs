//! Claims: what a node goes by or says, told at the very line where it does, to a simulation that can
//! look at all nodes and judge whether it is true.
//!
//! Without the feature `hooks` each claim is an empty function.

/// Whether anybody hears them: what only they need is else not looked for.
pub const HEARD: bool = cfg!(feature = "hooks");

/// From here on a node goes by a majority's holding this version of a key of a database, or something
/// newer.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn held_by_majority(_db: u8, _key: &[u8], _version: u128) {}

/// From here on a node goes by these members' holding that, a bit each.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn held_by(_members: u64, _db: u8, _key: &[u8], _version: u128) {}

/// From here on a node goes by these members' having accepted that, and not a copy of it.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn accepted_by(_members: u64, _db: u8, _key: &[u8], _version: u128) {}

/// A node goes by this key's not having been written since this version was stamped.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn absent_since(_db: u8, _key: &[u8], _version: u128) {}

/// A node takes out this version of a key of a database, which all others hold or have taken out.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn taken_out(_db: u8, _key: &[u8], _version: u128) {}

/// A node goes by this member's having applied, durably, its session of this generation up to there.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn acknowledged(_by: u16, _generation: u64, _pos: u64) {}

/// This must hold here. Without anybody to hear it is not looked at.
#[cfg(not(feature = "hooks"))]
#[inline]
pub fn must(_holds: impl FnOnce() -> bool, _rule: &'static str) {}

/// A node sends a peer's request for a slot back, though it leads that and takes others.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn turned_away(_peer: u16, _slot: u32) {}

/// A node tells a peer that nothing was done for a request of its for a slot.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn refused(_peer: u16, _slot: u32) {}

/// A request was answered: its number among those of its slot that went to a leader, or to this one.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn answered(_at_leader: bool, _slot: u32, _number: u64) {}

/// A read is begun anew, for none that came later was answered; its number as there.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn begun_again(_at_leader: bool, _slot: u32, _number: u64) {}

/// A peer begins to show all that it has.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn walk_begun(_from: u16) {}

/// It has shown it.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn walked(_from: u16) {}

/// A member has again what it may have lost, for this peer has shown all that a voter has.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn recovered_from(_peer: u16) {}

/// A leader asks members about these slots, in this order, and has no room for those from one on.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn surveyed(_slots: &[u32], _left_out: Option<u32>) {}

/// A node says that it holds one version of a key, and holds another.
#[cfg(not(feature = "hooks"))]
#[inline]
pub const fn shows(_db: u8, _key: &[u8], _said: u128, _held: u128) {}

/// What a search has found, until who asked is told of it.
#[cfg(not(feature = "hooks"))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found(());

#[cfg(not(feature = "hooks"))]
impl Found {
    /// This version of a key of a database.
    #[inline]
    pub const fn push(&mut self, _db: u8, _key: &[u8], _version: u128) {}

    /// Who asked is told of all that.
    #[inline]
    pub const fn told(&self) {}
}

/// Which keys something touches, by their hashes: exactly, where a node itself need not know so well.
#[cfg(not(feature = "hooks"))]
#[derive(Clone, Debug, Default)]
pub struct Touched(());

#[cfg(not(feature = "hooks"))]
impl Touched {
    /// This one, too.
    #[inline]
    pub const fn push(&mut self, _hash: u64) {}

    /// None any more.
    #[inline]
    pub const fn clear(&mut self) {}

    /// Whether this one; never, for nobody asks.
    #[inline]
    #[must_use]
    pub const fn has(&self, _hash: u64) -> bool {
        false
    }
}

#[cfg(feature = "hooks")]
pub use hooks::{
    Acknowledged, Claim, Found, Heard, Says, Surveyed, Touched, Word, absent_since, accepted_by,
    acknowledged, answered, begun_again, held_by, held_by_majority, must, recovered_from, refused,
    shows, surveyed, take_heard, taken_out, turned_away, walk_begun, walked,
};

#[cfg(feature = "hooks")]
mod hooks {
    use std::cell::{Cell, RefCell};

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

    thread_local! {
        /// Nothing as long as nobody takes it: then it would only become more.
        static HEARD: RefCell<Option<Heard>> = const { RefCell::new(None) };
        /// Whether there is anything in it: in most turns there is not.
        static ANY: Cell<bool> = const { Cell::new(false) };
    }

    fn hear(hear: impl FnOnce(&mut Heard)) {
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

    /// From here on a node goes by a majority's holding this version of a key of a database, or
    /// something newer.
    pub fn held_by_majority(db: u8, key: &[u8], version: u128) {
        claim(Says::HeldByMajority, db, key, version);
    }

    /// From here on a node goes by these members' holding that, a bit each.
    pub fn held_by(members: u64, db: u8, key: &[u8], version: u128) {
        claim(Says::HeldBy(members), db, key, version);
    }

    /// From here on a node goes by these members' having accepted that, and not a copy of it.
    pub fn accepted_by(members: u64, db: u8, key: &[u8], version: u128) {
        claim(Says::AcceptedBy(members), db, key, version);
    }

    /// A node goes by this key's not having been written since this version was stamped.
    pub fn absent_since(db: u8, key: &[u8], version: u128) {
        claim(Says::AbsentSince, db, key, version);
    }

    /// A node takes out this version of a key of a database, which all others hold or have taken out.
    pub fn taken_out(db: u8, key: &[u8], version: u128) {
        claim(Says::TakenOut, db, key, version);
    }

    fn claim(says: Says, db: u8, key: &[u8], version: u128) {
        hear(|heard| heard.claims.push(Claim { db, key: key.to_vec(), version, says }));
    }

    /// A node goes by this member's having applied, durably, its session of this generation up to there.
    pub fn acknowledged(by: u16, generation: u64, pos: u64) {
        hear(|heard| heard.acknowledged.push(Acknowledged { by, generation, pos }));
    }

    fn word(word: Word) {
        hear(|heard| heard.words.push(word));
    }

    /// This must hold here.
    pub fn must(holds: impl FnOnce() -> bool, rule: &'static str) {
        if !holds() {
            word(Word::Broken(rule));
        }
    }

    /// A node sends a peer's request for a slot back, though it leads that and takes others.
    pub fn turned_away(peer: u16, slot: u32) {
        word(Word::TurnedAway { peer, slot });
    }

    /// A node tells a peer that nothing was done for a request of its for a slot.
    pub fn refused(peer: u16, slot: u32) {
        word(Word::Refused { peer, slot });
    }

    /// A request was answered: its number among those of its slot that went to a leader, or to this one.
    pub fn answered(at_leader: bool, slot: u32, number: u64) {
        word(Word::Answered { at_leader, slot, number });
    }

    /// A read is begun anew, for none that came later was answered; its number as there.
    pub fn begun_again(at_leader: bool, slot: u32, number: u64) {
        word(Word::BegunAgain { at_leader, slot, number });
    }

    /// A peer begins to show all that it has.
    pub fn walk_begun(from: u16) {
        word(Word::WalkBegun(from));
    }

    /// It has shown it.
    pub fn walked(from: u16) {
        word(Word::Walked(from));
    }

    /// A member has again what it may have lost, for this peer has shown all that a voter has.
    pub fn recovered_from(peer: u16) {
        word(Word::RecoveredFrom(peer));
    }

    /// A leader asks members about these slots, in this order, and has no room for those from one on.
    pub fn surveyed(slots: &[u32], left_out: Option<u32>) {
        hear(|heard| heard.surveyed.push(Surveyed { slots: slots.to_vec(), left_out }));
    }

    /// A node says that it holds one version of a key, and holds another.
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
        pub fn push(&mut self, db: u8, key: &[u8], version: u128) {
            self.0.push((db, key.into(), version));
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
            self.0.push(hash);
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
}
