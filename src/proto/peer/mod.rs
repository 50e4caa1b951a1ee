//! What nodes say to each other: length-prefixed frames on links that begin with a hello.
//!
//! ```text
//!  0  size   u32  of what follows, kind included
//!  4  kind   u8
//!  5  body   by kind; integers little-endian
//! ```
//! A dialed link begins with [`PEER_BYTE`], which no client sends first, and a [`Hello`], whose
//! body begins with [`MAGIC`]. A link is used one way: the dialer sends its stream, heartbeats and
//! questions; the other side only answers. An answer says what it answers: by the question's id, or
//! by ballot and slot. Bytes are read in place; nothing is allocated for
//! a size that has merely been declared.

#![deny(clippy::indexing_slicing)]

use std::fmt;

use crate::record::{Ballot, Db, KEY_SIZE_MAX, NodeId, RECORD_SIZE_MAX, Version};

mod codec;
mod fields;
mod lists;

pub use lists::{
    births, bit, confirms, digests, keys, leads, lives, marks, offers, push_birth, push_confirm,
    push_digest, push_key, push_lead, push_life, push_mark, push_offer, push_record, push_state,
    records, set_bit, states,
};

/// The version of this protocol. Nodes of different versions refuse each other.
pub const PROTOCOL: u16 = 7;
/// First bytes of a hello's body.
pub const MAGIC: [u8; 8] = *b"quorate\x01";
/// First byte of a link between nodes: what follows is a frame, where a client sends text or `*`.
pub const PEER_BYTE: u8 = 0;
/// Bytes of a frame before its body.
pub const FRAME_HEAD: usize = 5;
/// The longest frame: the records of a batch, or one record or offer of one long key, with their
/// heads. Whoever puts a list together ends it before.
pub const FRAME_SIZE_MAX: usize = RECORD_SIZE_MAX + 2 * KEY_SIZE_MAX + 1024;
/// The longest frame before both sides have been introduced: a hello with its list of members.
pub const GREETING_SIZE_MAX: usize = 16 * 1024;
/// Bytes of a stream frame besides its record.
pub const STREAM_OVERHEAD: usize = FRAME_HEAD + 8;
/// Bytes of a survey's stream frame besides its slots and digests.
pub const SURVEY_OVERHEAD: usize = STREAM_OVERHEAD + 10;
/// Bytes of a flush's stream frame.
pub const FLUSH_SIZE: usize = STREAM_OVERHEAD + 17;
/// Bytes of a drop's stream frame besides its key.
pub const DROP_OVERHEAD: usize = STREAM_OVERHEAD + 16;
/// Bytes of a fill's stream frame besides its record.
pub const FILL_OVERHEAD: usize = STREAM_OVERHEAD + 8;
/// Bytes of the stream frame that calls a slot clean.
pub const SLOT_CLEAN_SIZE: usize = STREAM_OVERHEAD + 28;

/// Flag of a located record: the key was deleted.
pub const TOMBSTONE: u8 = 1;
/// Flag of a located record: it was copied, and so counts for no majority yet.
pub const COPIED: u8 = 2;
/// Flag of a located record: the node does not vote, so it counts for no majority yet.
pub const SILENT: u8 = 4;

/// Who dials, whom it means to reach, and what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// [`PROTOCOL`] of the dialer.
    pub protocol: u16,
    /// The hash of the dialer's list of members.
    pub cluster: u64,
    /// Slots of the dialer's cluster.
    pub slots: u32,
    /// The dialer.
    pub from: NodeId,
    /// Whom it dialed.
    pub to: NodeId,
    /// The dialer's life.
    pub incarnation: u64,
    /// When the dialer's data directory began its first life.
    pub birth: u64,
    /// Whether the dialer holds the cluster's formation.
    pub formed: bool,
    /// The dialer's list of members, one a line, so that a mismatch can be explained.
    pub members: &'a [u8],
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Everything of the stream up to `pos` is applied here.
    Ack {
        /// Of the dialer's session.
        generation: u64,
        /// Bytes of the stream.
        pos: u64,
    },
    /// What came of a `Forward`.
    Answer {
        /// As asked.
        id: u64,
        /// Opaque here.
        answer: &'a [u8],
    },
    /// Which versions are held of the keys of a `Query`.
    Answers {
        /// As asked.
        id: u64,
        /// As asked.
        db: Db,
        /// Keys that are not held were deleted, if they had a stamp at or below it; 0 if nothing is
        /// known of that.
        floor: u64,
        /// See [`states`]; one a key, in the order of the question.
        entries: &'a [u8],
    },
    /// For which slots of a `Canvass` the sender would promise a higher ballot.
    Backing {
        /// As asked.
        id: u64,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
    },
    /// The stream of this session begins, or goes on, at `pos`.
    Begin {
        /// Of the dialer's session; a new one is higher.
        generation: u64,
        /// Bytes of the stream; 0 in a new session.
        pos: u64,
    },
    /// Would you promise a ballot of mine in these slots? Binds nobody: who would not get enough
    /// promises shall not disturb a leader by asking for them.
    Canvass {
        /// As in the answer.
        id: u64,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
    },
    /// The first member asks all others to take part in a cold start: first, without births, to stay
    /// without a vote; once all do, to merge what all disks have.
    ColdStart {
        /// Names the attempt.
        nonce: u64,
        /// See [`births`]; of the data of all members.
        births: &'a [u8],
    },
    /// The sender does not vote, and will not by anything said before; or it has merged, durably.
    ColdStarting {
        /// As asked.
        nonce: u64,
        /// When the sender's data directory began its first life.
        birth: u64,
        /// Whether it has merged.
        merged: bool,
    },
    /// Digests of the slots from `first` on, each over `span` slots: 16 bytes apiece.
    Compare {
        /// Of the slots.
        db: Db,
        /// The sender's flush stamp.
        flushed: Version,
        /// Slot.
        first: u32,
        /// Slots a digest.
        span: u32,
        /// Little-endian u128s.
        digests: &'a [u8],
    },
    /// Does nobody hold a higher ballot in these slots?
    Confirm {
        /// As in the answer.
        id: u64,
        /// See [`confirms`].
        entries: &'a [u8],
    },
    /// Which entries of a `Confirm` are refused: a bit each, lowest first.
    Confirmed {
        /// As asked.
        id: u64,
        /// See [`bit`]; a set bit refuses.
        bits: &'a [u8],
    },
    /// A record outside the stream, wanted by repair.
    Copy {
        /// A [`crate::record::Record`].
        record: &'a [u8],
    },
    /// Which digests of a `Compare` differ here: a bit each, lowest first. If there were none, whether
    /// something was left alone that the walk has shown.
    Differ {
        /// As asked.
        db: Db,
        /// The answering side's flush stamp.
        flushed: Version,
        /// See [`bit`].
        bits: &'a [u8],
    },
    /// In the stream: the record of a key in database 0 goes away if it is exactly this one.
    Drop {
        /// Where in the stream this frame begins.
        pos: u64,
        /// Of a tombstone that all members hold.
        version: Version,
        /// Its key.
        key: &'a [u8],
    },
    /// No `Forward` is taken any more, and no answer is to come; said in return, none is sent any more.
    Farewell,
    /// Which records of a slot are wanted, as long as the ballot is the highest promised.
    Fetch {
        /// The sender's.
        ballot: Ballot,
        /// Of all keys.
        slot: u32,
        /// See [`keys`].
        keys: &'a [u8],
    },
    /// In the stream: a record that was chosen under a lower ballot, for whom it has not reached.
    Fill {
        /// Where in the stream this frame begins.
        pos: u64,
        /// Of the sender, in the record's slot.
        ballot: Ballot,
        /// A [`crate::record::Record`] of database 0.
        record: &'a [u8],
    },
    /// How far the sender is with everybody's stamps, after its stream up to here.
    Floor {
        /// A walk begins that shows all that the sender holds.
        begins: bool,
        /// The sender lacks nothing of what is at or below `hlc`; if not, it passes on what it was told.
        sound: bool,
        /// No floor of any member is above it, by the sender's word.
        clock: u64,
        /// The sender stamps nothing more at or below it, and all that any life of it has stamped
        /// there was shown or sent to the receiver; 0 if it can't say.
        promised: u64,
        /// Everything at or below it has been applied by all members.
        hlc: u64,
        /// See [`lives`]; those that `hlc` holds for, one a member; none if the sender knows of no floor.
        lives: &'a [u8],
        /// See [`marks`]; up to where the sender has applied each member's stream, one a member or
        /// none.
        row: &'a [u8],
    },
    /// A flush of a database, in the stream.
    Flush {
        /// Where in the stream this frame begins.
        pos: u64,
        /// What is flushed.
        db: Db,
        /// Records at or below it are dead.
        version: Version,
    },
    /// The sender flushes database 0 and asks the leader of these slots to remove their keys.
    FlushSlots {
        /// As in the answers.
        id: u64,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
    },
    /// A flush outside the stream: records at or below it are dead.
    Flushed {
        /// What was flushed.
        db: Db,
        /// Its newest flush stamp that the sender knows.
        version: Version,
    },
    /// All members have been seen with a data directory each: the cluster is formed of these.
    Formation {
        /// See [`births`]; one a member, in the order of their ids.
        births: &'a [u8],
    },
    /// Whether the sender holds the cluster's formation; at once after the welcome or the begin,
    /// and when it changes.
    Formed {
        /// When the sender's data directory began its first life.
        birth: u64,
        /// Whether it knows all births.
        formed: bool,
    },
    /// An operation for the leader, as the sender believes, of its slot.
    Forward {
        /// As in the answer.
        id: u64,
        /// Opaque here.
        op: &'a [u8],
    },
    /// Which records are held of the keys of a `QueryFull`.
    FullAnswers {
        /// As asked.
        id: u64,
        /// As asked.
        db: Db,
        /// See [`records`]; one a key, in the order of the question, empty if none is held.
        records: &'a [u8],
    },
    /// A member's lives before this one are over, and it may have forgotten what they acknowledged.
    Known {
        /// Which.
        member: NodeId,
        /// The first that counts.
        incarnation: u64,
    },
    /// What does the receiver have, though it does not vote? For a cold start.
    Gather {
        /// As in the answer, a `State`.
        nonce: u64,
    },
    /// Opens a link.
    Hello(Hello<'a>),
    /// Which slots the sender leads, all of them: what it said before counts no more.
    Lead {
        /// See [`leads`].
        entries: &'a [u8],
    },
    /// What does the receiver hold of a key?
    Locate {
        /// As in the answer.
        id: u64,
        /// Of the key.
        db: Db,
        /// Which.
        key: &'a [u8],
    },
    /// What the sender holds of the key of a `Locate`.
    Located {
        /// As asked.
        id: u64,
        /// None if nothing.
        version: Version,
        /// Of [`TOMBSTONE`], [`COPIED`] and [`SILENT`].
        flags: u8,
    },
    /// A ballot comes too late.
    Nack {
        /// The one refused.
        ballot: Ballot,
        /// The highest promised in that slot; at least as high.
        promised: Ballot,
        /// Of those that the refused message was about.
        slot: u32,
    },
    /// Versions and keys that the sender holds: see [`offers`].
    Offer {
        /// Of all entries.
        db: Db,
        /// See [`push_offer`].
        entries: &'a [u8],
    },
    /// A sign of life, and the question what time it is.
    Ping {
        /// The sender's wall clock, in Unix milliseconds.
        asked_ms: u64,
    },
    /// The answer to a ping.
    Pong {
        /// As the ping said.
        asked_ms: u64,
        /// The answering side's wall clock, in Unix milliseconds, read after the ping had come.
        wall_ms: u64,
    },
    /// The sender stands with a ballot in these slots and asks for promises.
    Prepare {
        /// As in the answer.
        id: u64,
        /// The sender's.
        ballot: Ballot,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
    },
    /// In which slots the sender takes nothing below the ballot any more, and what it holds there.
    Promise {
        /// As asked.
        id: u64,
        /// As asked.
        ballot: Ballot,
        /// The highest promised in any of the slots asked about.
        highest: Ballot,
        /// A [`crate::slot::SlotSet`]: where the ballot is promised.
        granted: &'a [u8],
        /// A [`crate::slot::SlotSet`]: where some of what is held was copied, not accepted.
        copied: &'a [u8],
        /// See [`digests`]; one a granted slot, ascending.
        digests: &'a [u8],
    },
    /// Which versions are held in a slot, as long as the ballot is the highest promised?
    Pull {
        /// The sender's.
        ballot: Ballot,
        /// One that is granted.
        slot: u32,
        /// Where to go on; zeros at first.
        cursor: (u64, u64),
    },
    /// Which versions are held of these keys?
    Query {
        /// As in the answer.
        id: u64,
        /// Of all keys.
        db: Db,
        /// See [`keys`].
        keys: &'a [u8],
    },
    /// Which records are held of these keys?
    QueryFull {
        /// As in the answer.
        id: u64,
        /// Of all keys.
        db: Db,
        /// See [`keys`].
        keys: &'a [u8],
    },
    /// A record of the sender's own stamp, in the stream.
    Record {
        /// Where in the stream this frame begins.
        pos: u64,
        /// A [`crate::record::Record`].
        record: &'a [u8],
    },
    /// The records of a `Fetch` that are held.
    Records {
        /// As asked.
        ballot: Ballot,
        /// As asked.
        slot: u32,
        /// See [`records`].
        records: &'a [u8],
    },
    /// The sender may have lost data and asks what the receiver knows.
    Recover {
        /// As in the answer.
        nonce: u64,
    },
    /// The hello is not accepted, and why. `incarnation` is the highest known of the dialer.
    Refuse {
        /// 0 if none is known.
        incarnation: u64,
        /// Text for the log.
        reason: &'a [u8],
    },
    /// In the stream: whoever promised the ballot and holds just this has all of it accepted.
    SlotClean {
        /// Where in the stream this frame begins.
        pos: u64,
        /// The sender's.
        ballot: Ballot,
        /// In database 0.
        slot: u32,
        /// Of the sender's records in it.
        digest: u128,
    },
    /// How far the sender is with a `FlushSlots`; there may be several, and any of them may be empty.
    SlotsFlushed {
        /// As asked.
        id: u64,
        /// A [`crate::slot::SlotSet`]: what was in them is gone.
        done: &'a [u8],
        /// A [`crate::slot::SlotSet`]: the sender does not lead them, or not any more.
        failed: &'a [u8],
    },
    /// What the sender has promised and holds of the slots from `first` on.
    State {
        /// As asked.
        nonce: u64,
        /// Slot.
        first: u32,
        /// Little-endian u64s, one a slot.
        ballots: &'a [u8],
        /// As many: see [`digests`].
        digests: &'a [u8],
    },
    /// In the stream: what the sender holds just now of slots that it leads.
    Survey {
        /// Where in the stream this frame begins.
        pos: u64,
        /// The sender's, for the answer.
        id: u64,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
        /// Of each of them in order: see [`digests`].
        digests: &'a [u8],
    },
    /// Which slots of a `Survey` are the same here.
    Surveyed {
        /// As asked.
        id: u64,
        /// A [`crate::slot::SlotSet`].
        same: &'a [u8],
        /// Slots of the survey in which nothing counts as accepted here; a
        /// [`crate::slot::SlotSet`].
        copied: &'a [u8],
    },
    /// The sender leads these slots and would rather that the receiver did.
    Transfer {
        /// The sender's.
        ballot: Ballot,
        /// A [`crate::slot::SlotSet`].
        slots: &'a [u8],
    },
    /// In the stream: records of one slot under one ballot, all of which are taken or none.
    Together {
        /// Where in the stream this frame begins.
        pos: u64,
        /// See [`records`]; of database 0, one at least.
        records: &'a [u8],
    },
    /// A page of the versions that a `Pull` asks for.
    Versions {
        /// As asked.
        ballot: Ballot,
        /// As asked.
        slot: u32,
        /// Where it was to go on, as asked.
        from: (u64, u64),
        /// Where to go on; nowhere at the slot's end.
        next: Option<(u64, u64)>,
        /// See [`offers`].
        entries: &'a [u8],
    },
    /// The sender does not vote.
    Waiting {
        /// Why, in a number of the strong database.
        why: u8,
    },
    /// Which entries of an `Offer` are wanted, and which are dead, for their keys were deleted: a
    /// bit each, lowest first.
    Want {
        /// See [`bit`].
        bits: &'a [u8],
        /// See [`bit`].
        dead: &'a [u8],
    },
    /// The hello is accepted; the last session known and how far it was applied.
    Welcome {
        /// Of the answering side.
        incarnation: u64,
        /// Of the dialer's session that it knows; 0 if none.
        generation: u64,
        /// Bytes of that session's stream that it has applied.
        pos: u64,
        /// Its wall clock, in Unix milliseconds, read after the hello had come.
        wall_ms: u64,
        /// When the answering side's data directory began its first life.
        birth: u64,
        /// Whether the answering side holds the cluster's formation.
        formed: bool,
    },
}

/// What the bytes at the front of a buffer are.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameStep<'a> {
    /// A frame of `consumed` bytes.
    Complete {
        /// Borrows the buffer.
        frame: Frame<'a>,
        /// Size of the frame.
        consumed: usize,
    },
    /// No use to look again before there are `need` bytes.
    Incomplete {
        /// More than there are.
        need: usize,
    },
    /// Nothing that a node sends.
    Broken(FrameError),
}

/// What is wrong with bytes that should be a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The body does not fit its kind.
    Body {
        /// The frame's kind.
        kind: u8,
    },
    /// No frame is of this kind.
    Kind(u8),
    /// The declared size is over the limit.
    Size {
        /// As declared.
        size: usize,
        /// As set by the reader.
        limit: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { kind } => write!(f, "body of a frame of kind {kind} is malformed"),
            Self::Kind(kind) => write!(f, "frame kind {kind} is unknown"),
            Self::Size { size, limit } => write!(f, "frame of {size} bytes is over {limit}"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests;
