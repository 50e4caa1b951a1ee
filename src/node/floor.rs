//! The floor: below it every deletion has reached everybody (PROTOCOL section 10, E6 and E7).
//!
//! A tombstone of databases 1 and 2 may go once nothing older of its key can turn up any more. Each
//! member tells in its row up to which stamp it has durably applied the stream of each origin, the
//! members' own included; an origin says in its promises that it will stamp nothing at or below one.
//! The least mark of all rows is the floor: what is at or below it was applied by all. A record
//! that it covers, of a key that is not held, was deleted, and is refused from any path.
//!
//! A floor counts for the lives whose promises went into it. A member that lost its data may stamp
//! below its earlier promises before it meets anybody; what a later life stamped is not covered.
//!
//! A floor once known is true for ever, for members that keep their data; so they take higher ones
//! from each other. A node that may lack something is Bare: it has no floor. It takes table and floor
//! of one member that has one, the donor, and is Sound again when all others have shown what they
//! hold too. Meanwhile it passes the donor's floor on. And in each life, even of a node that lost
//! nothing, promises begin only when all others have shown what they hold, and it has passed that
//! on: an earlier life may have sent stamps that its disk never had.
//!
//! Pure: it knows no node, no peers, no store.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
};

use crate::{
    log::Batch,
    probe::{Mutant, planted},
    record::{NodeId, Version},
};

/// A stamp that everything at or below is known of, and the lives that this was found out about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Floor {
    /// The hybrid logical clock.
    pub(crate) hlc: u64,
    /// By member: the life whose promise went into it. Without any it covers nothing.
    pub(crate) lives: Vec<u64>,
}

impl Floor {
    /// Whether all members have applied a record of this version, or a newer one of its key.
    pub(crate) fn covers(&self, version: Version) -> bool {
        let life = self.lives.get(version.node().index());
        version.hlc() <= self.hlc && life.is_some_and(|life| version.is_of_life_until(*life))
    }
}

/// Up to where one stream is applied: everything that its origin stamped at or below, in this life
/// or an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    /// The origin's life that promised to stamp nothing more there.
    pub(crate) life: u64,
    /// The hybrid logical clock.
    pub(crate) hlc: u64,
}

/// What a member tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Told {
    /// It begins to show us all that it holds.
    pub(crate) begins: bool,
    /// It has a floor of its own.
    pub(crate) sound: bool,
    /// Its clock, which no floor of any member is above.
    pub(crate) clock: u64,
    /// That, or the one by which it goes.
    pub(crate) floor: Floor,
}

/// What follows from what a member tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum News {
    /// It is the donor: it must be shown what we hold, to tell what of that is dead.
    Donor,
    /// Our floor has risen to its.
    Higher,
    /// Nothing.
    None,
}

/// What this node knows of all members' rows, and its own floor.
#[derive(Clone, Debug)]
pub(crate) struct Floors {
    me: NodeId,
    quorum: usize,
    stage: Stage,
    floor: Floor,
    rows: Vec<Row>,
    shows: Vec<Shows>,
    /// Marks that count once a batch is durable: at most one an origin and batch.
    pending: VecDeque<(Batch, NodeId, Mark)>,
}

/// How far floors have come does not tell states of a node apart for a search, which has no
/// tombstones that they could cover; that a node is whole again does.
impl Hash for Floors {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.stage).hash(state);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It may lack something that all members had applied.
    Bare(Option<Donor>),
    /// It has all that the floor says; `whole` once all others have shown it what they hold in this
    /// life.
    Sound { whole: bool },
}

/// Of whom a Bare node takes table and floor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Donor {
    from: NodeId,
    clock: u64,
    floor: Floor,
    /// It has shown us its table since it told its floor.
    shown: bool,
    /// And we have shown it ours since, and dropped what is dead.
    cleansed: bool,
}

impl Donor {
    const fn is_done(&self) -> bool {
        self.shown && self.cleansed
    }
}

/// How far one member is, in one life of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Row {
    life: u64,
    marks: Vec<Mark>,
}

/// What is known of a member's walk towards us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Shows {
    /// One is under way.
    began: bool,
    /// We could not take all of it.
    skipped: bool,
    /// The last one that ended showed us all, and we took it.
    complete: bool,
    /// One has, since this life began or the donor changed.
    done: bool,
    /// It said that it has a floor.
    sound: bool,
}

impl Floors {
    /// Nothing is known, so this node is Bare.
    pub(crate) fn new(me: NodeId, members: usize) -> Self {
        let row = || Row { life: 0, marks: vec![Mark::default(); members] };
        Self {
            me,
            quorum: members / 2 + 1,
            stage: Stage::Bare(None),
            floor: Floor::default(),
            rows: (0..members).map(|_| row()).collect(),
            shows: vec![Shows::default(); members],
            pending: VecDeque::new(),
        }
    }

    /// What the log says; the last word counts.
    pub(crate) fn recover(&mut self, floor: Floor) {
        let bare = floor.lives.is_empty();
        self.stage = if bare { Stage::Bare(None) } else { Stage::Sound { whole: false } };
        self.floor = floor;
        if planted(Mutant::FloorForgotten) {
            self.floor.hlc = 0;
        }
    }

    /// This start may lack what an earlier life had.
    pub(crate) fn lose(&mut self) {
        (self.stage, self.floor) = (Stage::Bare(None), Floor::default());
    }

    /// The floor, as the log is to have it; empty while Bare.
    pub(crate) const fn floor(&self) -> &Floor {
        &self.floor
    }

    /// The highest floor that this node knows to be true. One that goes by that of its donor passes it
    /// on, for the donor may be gone by now, and others may hold what it covers.
    pub(crate) fn known(&self) -> &Floor {
        match &self.stage {
            Stage::Bare(Some(donor))
                if donor.is_done() && !planted(Mutant::DonorFloorNotPassedOn) =>
            {
                &donor.floor
            }
            Stage::Bare(_) | Stage::Sound { .. } => &self.floor,
        }
    }

    /// Whether this node has a floor.
    pub(crate) const fn is_sound(&self) -> bool {
        matches!(self.stage, Stage::Sound { .. })
    }

    /// Whether this node has all that it may ever have stamped, so that it can promise.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Sound { whole: true })
    }

    /// Whether nothing that is held here was deleted below the floor of any member, so that others
    /// may be shown it.
    pub(crate) fn is_clean(&self) -> bool {
        match &self.stage {
            Stage::Bare(Some(donor)) => donor.is_done(),
            Stage::Bare(None) => !self.shows.iter().any(|shows| shows.sound),
            Stage::Sound { .. } => true,
        }
    }

    /// Whether a record of this version is dead if its key is not held here. What the donor shows
    /// is taken until it has shown all.
    pub(crate) fn refuses(&self, version: Version, from: NodeId) -> bool {
        match &self.stage {
            Stage::Bare(None) => false,
            Stage::Bare(Some(donor)) => {
                donor.floor.covers(version) && (donor.from != from || donor.shown)
            }
            Stage::Sound { .. } => self.floor.covers(version),
        }
    }

    /// Whether others may be told that a record of this version is dead, if its key is not held.
    pub(crate) fn is_dead(&self, version: Version) -> bool {
        self.is_sound() && self.floor.covers(version)
    }

    /// The donor that is waited for, if one is.
    pub(crate) fn awaited(&self) -> Option<NodeId> {
        match &self.stage {
            Stage::Bare(Some(donor)) if !donor.is_done() => Some(donor.from),
            Stage::Bare(_) | Stage::Sound { .. } => None,
        }
    }

    /// The stamp below which absent keys are known to be deleted.
    pub(crate) fn known_absent(&self) -> u64 {
        match &self.stage {
            Stage::Bare(Some(donor)) if donor.is_done() => donor.floor.hlc,
            Stage::Bare(_) => 0,
            Stage::Sound { .. } => self.floor.hlc,
        }
    }

    /// This node's life has this number.
    pub(crate) fn begin_life(&mut self, life: u64) {
        self.begin(self.me, life);
    }

    /// A member has begun a new life: what its earlier one had applied counts no more.
    pub(crate) fn on_life(&mut self, member: NodeId, life: u64) {
        if !planted(Mutant::FloorRowOutlived) {
            self.begin(member, life);
        }
        self.on_link_lost(member);
        if let Some(shows) = self.shows.get_mut(member.index()) {
            *shows = Shows::default();
        }
    }

    fn begin(&mut self, member: NodeId, life: u64) {
        if let Some(row) = self.rows.get_mut(member.index()) {
            row.life = life;
            row.marks.fill(Mark::default());
        }
    }

    /// The link on which a member showed us things is gone. If it was to be the donor and is not done,
    /// which it may never be, another takes its place; and what was refused from others meanwhile must
    /// be shown again.
    pub(crate) fn on_link_lost(&mut self, member: NodeId) {
        if let Some(shows) = self.shows.get_mut(member.index()) {
            shows.began = false;
        }
        if let Stage::Bare(Some(donor)) = &self.stage
            && donor.from == member
            && !donor.is_done()
            && !(donor.shown && planted(Mutant::DonorKept))
        {
            // Below a floor of nothing none is refused.
            if donor.floor.hlc > 0 {
                self.shows.iter_mut().for_each(|shows| (shows.began, shows.done) = (false, false));
            }
            self.stage = Stage::Bare(None);
        }
    }

    /// A member tells of itself; `ahead` if its clock is too far ahead to be followed.
    pub(crate) fn on_told(&mut self, from: NodeId, told: Told, ahead: bool) -> News {
        let members = self.rows.len();
        let Some(shows) = self.shows.get_mut(from.index()) else { return News::None };
        shows.sound = told.sound;
        if told.begins {
            (shows.began, shows.skipped) = (true, false);
        }
        if told.floor.lives.len() != members {
            return News::None;
        }
        match &mut self.stage {
            Stage::Sound { .. } if told.floor.hlc > self.floor.hlc => {
                self.floor = told.floor;
                News::Higher
            }
            Stage::Bare(None) if told.sound && told.begins && !ahead => {
                let Told { clock, floor, .. } = told;
                let donor = Donor { from, clock, floor, shown: false, cleansed: false };
                self.stage = Stage::Bare(Some(donor));
                News::Donor
            }
            Stage::Bare(_) | Stage::Sound { .. } => News::None,
        }
    }

    /// Something that a member showed could not be taken.
    pub(crate) fn on_skipped(&mut self, from: NodeId) {
        if let Some(shows) = self.shows.get_mut(from.index()) {
            shows.skipped = true;
        }
    }

    /// A member has shown us all that it held when it began to. Whether we could take all of it.
    pub(crate) fn on_shown(&mut self, from: NodeId) -> bool {
        let Some(shows) = self.shows.get_mut(from.index()) else { return false };
        let taken = !shows.skipped;
        shows.complete = shows.began && !shows.skipped;
        shows.done |= shows.complete;
        let complete = shows.complete;
        shows.began = false;
        if let Stage::Bare(Some(donor)) = &mut self.stage
            && donor.from == from
        {
            donor.shown |= complete;
        }
        taken
    }

    /// A member has been shown all that we held, in a walk that began after [`News::Donor`].
    pub(crate) fn on_cleansed(&mut self, by: NodeId) {
        if let Stage::Bare(Some(donor)) = &mut self.stage
            && donor.from == by
        {
            donor.cleansed = true;
        }
    }

    /// Whether this node has become whole just now. If it was Bare it has a floor from here on, and
    /// this is the clock below which it must not stamp any more.
    pub(crate) fn poll_whole(&mut self) -> Option<Option<u64>> {
        let mut others = self.shows.iter().enumerate();
        let done = others.all(|(index, shows)| shows.done || index == self.me.index());
        if !done || self.is_whole() || !self.is_clean() {
            return None;
        }
        let before = std::mem::replace(&mut self.stage, Stage::Sound { whole: true });
        match before {
            Stage::Sound { .. } => Some(None),
            Stage::Bare(Some(Donor { clock, floor, .. })) => {
                self.floor = floor;
                Some(Some(clock))
            }
            // Nobody has a floor, so nothing was ever removed that anybody remembers.
            Stage::Bare(None) => {
                self.floor = Floor { hlc: 0, lives: vec![0; self.rows.len()] };
                Some(Some(0))
            }
        }
    }

    /// Everything that an origin stamped up to a mark is applied here, and durable after a batch.
    pub(crate) fn on_mark(&mut self, origin: NodeId, mark: Mark, wait: Option<Batch>) {
        let shown = self.shows.get(origin.index()).is_some_and(|shows| shows.complete);
        if !shown && origin != self.me {
            return;
        }
        match wait {
            None => self.set(origin, mark),
            Some(batch) => {
                self.pending.retain(|(other, of, _)| (*other, *of) != (batch, origin));
                self.pending.push_back((batch, origin, mark));
            }
        }
    }

    /// The log has everything up to a batch.
    pub(crate) fn on_durable(&mut self, durable: Batch) {
        while let Some((_, origin, mark)) =
            self.pending.pop_front_if(|(batch, ..)| *batch <= durable)
        {
            self.set(origin, mark);
        }
    }

    fn set(&mut self, origin: NodeId, mark: Mark) {
        let row = self.rows.get_mut(self.me.index());
        if let Some(held) = row.and_then(|row| row.marks.get_mut(origin.index())) {
            *held = (*held).max_of(mark);
        }
    }

    /// How far this node is, by origin; nothing before it may count.
    pub(crate) fn row(&self) -> &[Mark] {
        let row = self.rows.get(self.me.index()).filter(|_| self.is_sound());
        row.map_or(&[], |row| &row.marks)
    }

    /// How far a member says that it is in this life.
    pub(crate) fn on_row(&mut self, from: NodeId, life: u64, marks: Vec<Mark>) {
        let members = self.rows.len();
        let row = self.rows.get_mut(from.index());
        if let Some(row) = row.filter(|row| row.life <= life && marks.len() == members) {
            *row = Row { life, marks };
        }
    }

    /// What the floor could be; `is_over` tells whether a member's life is.
    pub(crate) fn reach(&self, is_over: impl Fn(NodeId, u64) -> bool) -> Floor {
        let (members, nobody) = (self.rows.len(), Mark::default());
        let of_origin = |row: &Row, origin: usize| row.marks.get(origin).copied().unwrap_or(nobody);
        let mut least: Vec<u64> = Vec::with_capacity(members);
        for (index, row) in self.rows.iter().enumerate() {
            let over = is_over(NodeId(index as u16), row.life) && index != self.me.index();
            if over && !planted(Mutant::FloorRowOutlived) {
                return Floor::default();
            }
            let own = of_origin(row, self.me.index()).hlc;
            let all = row.marks.iter().map(|mark| mark.hlc).min().unwrap_or(0);
            least.push(if planted(Mutant::FloorOwnOrigin) { own } else { all });
        }
        least.sort_unstable();
        let from = if planted(Mutant::FloorMajority) { members - self.quorum } else { 0 };
        let life = |origin| self.rows.iter().map(|row| of_origin(row, origin).life).min();
        let lives = (0..members).map(|origin| life(origin).unwrap_or(0)).collect();
        Floor { hlc: least.get(from).copied().unwrap_or(0), lives }
    }

    /// The members whose rows the floor was found from, and the life that each tells of.
    pub(crate) fn lives_told(&self) -> impl Iterator<Item = (NodeId, u64)> {
        let others = self.rows.iter().enumerate().filter(|(index, _)| *index != self.me.index());
        others.map(|(index, row)| (NodeId(index as u16), row.life))
    }

    /// The member that has promised or applied least of late, by the newest that anybody is known to
    /// have of it and that it has of anybody. Nobody if all are level.
    pub(crate) fn slowest(&self) -> Option<NodeId> {
        let of_member = |(index, row): (usize, &Row)| {
            let promised = self.rows.iter().filter_map(|row| row.marks.get(index));
            let promised = promised.map(|mark| mark.hlc).max().unwrap_or(0);
            let applied = row.marks.iter().map(|mark| mark.hlc).max().unwrap_or(0);
            promised.min(applied)
        };
        let all: Vec<u64> = self.rows.iter().enumerate().map(of_member).collect();
        let (least, most) = (all.iter().min()?, all.iter().max()?);
        let slowest = all.iter().position(|hlc| hlc == least)?;
        (least < most).then_some(NodeId(slowest as u16))
    }

    /// Takes a floor that was found with [`Floors::reach`]. Whether it is higher than ours.
    pub(crate) fn raise(&mut self, reach: Floor) -> bool {
        let higher = self.is_sound() && reach.hlc > self.floor.hlc;
        if higher {
            self.floor = reach;
        }
        higher
    }
}

impl Mark {
    /// A later life's promise holds for what is below it too; within a life promises rise.
    fn max_of(self, other: Self) -> Self {
        if (other.life, other.hlc) > (self.life, self.hlc) { other } else { self }
    }
}

#[cfg(test)]
mod tests;
