//! One node's disk: the real log and checkpoints on a medium that forgets, tears, fills up and rots.
//!
//! A job of the log or a piece of a checkpoint takes some time; what it does to the medium is done
//! at the end of that time, all at once, or in part if the node ends before. Whether the process
//! ends or the power makes the difference: the system's cache survives the first, of the second
//! every sector that was not synced is kept, lost or torn on its own.

use std::collections::VecDeque;

use quorate::{
    log::{
        self, Appender, Batch, Disk as _, DiskError, Entry, Habit, Home, Imager, Loss, Mode,
        OpenError, Seq,
        memory::{Fate, MemoryDisk, Trouble},
    },
    node::{Append, Found, ImagePart, Node, NodeConfig},
    record::Db,
    turn::{Appended, Storage},
};

use super::{World, net::Event};
use crate::{birth::node_config, case::FaultClass, chance::Chance, trace::EventKind};

/// Pieces of a checkpoint under way at a time.
const PARTS_MAX: usize = 4;
/// With `everysec`, how long something may stay unsynced, if more is written then.
const SYNC_EVERY_US: u64 = 1_000_000;

/// How many of the turns of a node under `everysec` may write the log themselves.
const AT_ONCE_PERCENT: u64 = 70;
/// How long until a process that ended by itself is started again.
const RESPAWN_US: u64 = 300_000;

/// The disk; it outlives the lives of its node.
#[derive(Debug, Default)]
pub(super) struct Drive {
    pub(super) medium: MemoryDisk,
    appender: Option<Appender<MemoryDisk>>,
    imager: Option<Imager<MemoryDisk>>,
    /// The first frame of the newest segment that was asked for.
    segment: Option<Seq>,
    job: Option<Job>,
    parts: VecDeque<Part>,
    /// Now, if what a turn logs may be written in that turn, as a loop does under `everysec`.
    pub(super) at_once_us: Option<u64>,
    /// That failed; and whether a fault was on then.
    failed: Option<DiskError>,
    excused: bool,
    /// Asked for since the driver last looked: a job, a piece.
    pub(super) asked: (bool, bool),
    everysec: bool,
    synced_us: u64,
    /// Since when something is not synced.
    dirty_us: Option<u64>,
    /// How often the machine was without power: each time between is another boot.
    outages: u64,
    /// Faults make it slower by so much.
    pub(super) slower_us: u64,
    /// Faults that are on: it is full, it can't be read.
    pub(super) full: u32,
    pub(super) unreadable: u32,
    /// The last start that was wrong about what it found.
    wrong: Option<&'static str>,
    /// Something counts as durable that is not synced; and power has failed since.
    unsynced: bool,
    forgets: bool,
    /// What the last start said was lost.
    loss: Loss,
    /// The last life ended in order, and no start has seen it since.
    closed: bool,
    /// The next sync was told to fail.
    sync_fails: bool,
    /// It is a new one, and no start has seen it since.
    wiped: bool,
    /// The highest number of a life that has ended.
    ended: u64,
    /// What lives up to this number have stamped may be forgotten.
    forgotten: u64,
    /// A bit of it was flipped, and no start has read it since: in which file, and which.
    pub(super) rotten: Option<(String, usize)>,
}

#[derive(Debug)]
struct Job {
    batch: Batch,
    entries: Vec<u8>,
    sync: bool,
    rotate: bool,
}

#[derive(Debug)]
enum Part {
    Begin,
    Entries(Vec<u8>),
    End,
    Recovered,
}

impl Drive {
    pub(super) fn new(everysec: bool) -> Self {
        Self { everysec, ..Self::default() }
    }

    /// Opens it for a new life, and shows all that is there.
    pub(super) fn open(
        &mut self,
        home: &Home,
        wall_ms: u64,
        mode: &Mode,
        segment_size: u64,
        cold: bool,
        replay: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Found, OpenError> {
        // Whoever repairs has been told.
        let tells = *mode == Mode::Normal && self.settle_astray();
        let healthy = self.healthy(home, wall_ms);
        self.plan_trouble();
        let closed = std::mem::take(&mut self.closed) && !cold && *mode == Mode::Normal;
        // Where there is nothing, nobody starts cold.
        let cold = cold && !self.medium.names()?.is_empty();
        let habit = Habit { lax: self.everysec, boot: self.outages.to_string(), cold };
        let (medium, who) = (&mut self.medium, (home, &habit));
        let opened = log::open_with(medium, who, wall_ms, mode, replay, &mut |_| {})?;
        let less = healthy.is_some_and(|records| records > opened.report.records);
        if *mode == Mode::Normal && (less || tells) {
            self.wrong = Some("did not say that its data is damaged");
        }
        let loss = opened.report.loss;
        // What rotted may be the mark of it.
        let sound = self.rotten.is_none();
        if closed && sound && (loss > self.loss || !opened.report.clean) {
            self.wrong = Some("had stopped in order and says that it may have lost something");
        }
        if std::mem::take(&mut self.forgets) && loss == Loss::None {
            self.wrong = Some("does not say that it may have lost what was not synced");
        }
        (self.loss, self.unsynced) = (loss, false);
        let mut appender = opened.appender;
        appender.set_segment_size(segment_size);
        self.appender = Some(appender);
        let (incarnation, birth, report) = (opened.incarnation, opened.birth, opened.report);
        let (checkpoint_size, log_size) = (0, report.bytes);
        Ok(Found { incarnation, birth, checkpoint_size, log_size, loss: report.loss, cold })
    }

    /// Does the log's job: writes it, and syncs it unless it is for the system alone. Says which
    /// batch is durable now.
    pub(super) fn work(&mut self, now_us: u64) -> Result<Option<Batch>, DiskError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.catch_up(now_us);
        let due = self.is_due(now_us);
        let (Some(job), Some(appender)) = (self.job.take(), &mut self.appender) else {
            return Ok(None);
        };
        appender.append(&mut self.medium, &job.entries, job.rotate)?;
        if !self.everysec || job.sync || job.rotate || due {
            appender.sync(&mut self.medium)?;
            (self.synced_us, self.dirty_us) = (now_us, None);
            self.unsynced = false;
        } else {
            self.dirty_us.get_or_insert(now_us);
            self.unsynced = true;
        }
        if job.rotate {
            self.segment = appender.segment();
        }
        Ok(Some(job.batch))
    }

    /// Whether `everysec` syncs with the next batch.
    const fn is_due(&self, now_us: u64) -> bool {
        now_us >= self.synced_us + SYNC_EVERY_US
    }

    /// When the system is given a batch of the turn that is being ended, if at once.
    fn takes_at_once(&self, append: &Append<'_>) -> Option<u64> {
        let full = self.appender.as_ref().is_none_or(Appender::is_full);
        let now_us = self.at_once_us.filter(|now_us| self.everysec && !self.is_due(*now_us))?;
        (!append.sync && !append.rotate && !full).then_some(now_us)
    }

    /// Does the next piece of a checkpoint. Whether the checkpoint is complete with it.
    pub(super) fn work_image(&mut self) -> Result<bool, DiskError> {
        let worked = self.work_part();
        if worked.is_err() {
            self.parts.clear();
        }
        worked
    }

    fn work_part(&mut self) -> Result<bool, DiskError> {
        let Some(owner) = self.appender.as_ref().map(Appender::owner) else { return Ok(false) };
        match self.parts.pop_front() {
            Some(Part::Begin) => {
                let start = self.segment.expect("a checkpoint begins after its segment");
                self.imager = Some(Imager::begin(&mut self.medium, owner, start)?);
            }
            Some(Part::Entries(entries)) => {
                let imager = self.imager.as_mut().expect("a checkpoint has begun");
                imager.write(&mut self.medium, &entries)?;
            }
            Some(Part::End) => {
                let imager = self.imager.take().expect("a checkpoint has begun");
                imager.finish(&mut self.medium)?;
                return Ok(true);
            }
            Some(Part::Recovered) => log::recovered(&mut self.medium)?,
            None => {}
        }
        Ok(false)
    }

    /// Whether there is a job, or one has failed that the node was not told of, and a piece of a
    /// checkpoint.
    pub(super) fn is_busy(&self) -> (bool, bool) {
        (self.job.is_some() || self.failed.is_some(), !self.parts.is_empty())
    }

    /// The process ends in the middle of what it was doing.
    pub(super) fn end_process(&mut self, closes: bool, chance: &mut Chance) {
        let at = self.medium.changes() + 1 + chance.below(6);
        self.medium.set_trouble(Some(Trouble::Crash(at)));
        // How far either came is all that counts.
        if closes && chance.percent(50) {
            let _ = self.close(0);
        } else if chance.percent(50) {
            let _ = self.work(0);
        }
        while chance.percent(50) && !self.parts.is_empty() && self.work_image().is_ok() {}
        self.medium.set_trouble(None);
        self.medium.misdirect(None);
        (self.job, self.appender, self.imager, self.segment) = (None, None, None, None);
        (self.failed, self.excused) = (None, false);
        self.parts.clear();
        self.asked = (false, false);
    }

    /// Ends the log as a clean stop does, after what was asked for before. A checkpoint that is under
    /// way is left unfinished.
    pub(super) fn close(&mut self, now_us: u64) -> Result<(), DiskError> {
        self.work(now_us)?;
        while !self.parts.is_empty() {
            self.work_image()?;
        }
        if let Some(appender) = &mut self.appender {
            let last = appender.last();
            let closed = appender.close(&mut self.medium);
            // All may be synced though the mark of it is not.
            self.unsynced &= appender.synced() < last;
            closed?;
            (self.closed, self.synced_us) = (true, now_us);
        }
        Ok(())
    }

    /// Whether the last life ended in order.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// What a process that sits idle has synced by itself meanwhile: nothing stays unsynced longer.
    pub(super) fn catch_up(&mut self, now_us: u64) {
        let due = self.dirty_us.is_some_and(|since_us| now_us >= since_us + SYNC_EVERY_US);
        if let Some(appender) = self.appender.as_mut().filter(|_| due && !self.sync_fails)
            && appender.sync(&mut self.medium).is_ok()
        {
            (self.dirty_us, self.unsynced) = (None, false);
        }
    }

    /// The power fails, after the process has ended.
    pub(super) fn lose_power(&mut self, chance: &mut Chance) {
        (self.outages, self.dirty_us) = (self.outages + 1, None);
        self.forgets |= std::mem::take(&mut self.unsynced);
        let fates: &[Fate] = match chance.below(4) {
            0 => &[Fate::Lost],
            1 => &[Fate::Kept],
            _ => &[Fate::Kept, Fate::Lost, Fate::TornAfter, Fate::TornBefore],
        };
        let mut names = Chance::new(chance.bits(), "names", 0);
        let mut fate = || chance.pick(fates);
        self.medium.lose_power(&mut fate, &mut |count| names.below(count as u64 + 1) as usize);
    }

    /// A life is over.
    pub(super) fn ended(&mut self, incarnation: u64) {
        self.ended = self.ended.max(incarnation);
    }

    /// Another one takes its place, with nothing on it.
    pub(super) fn wipe(&mut self) {
        (self.medium, self.rotten, self.wiped) = (MemoryDisk::default(), None, true);
        (self.closed, self.unsynced, self.forgets) = (false, false, false);
        self.plan_trouble();
    }

    /// The next sync fails, and what it should have written is lost with the next power failure.
    pub(super) fn fail_next_sync(&mut self) {
        self.medium.set_trouble(Some(Trouble::SyncFails(self.medium.changes())));
        self.sync_fails = true;
    }

    /// Sets the trouble that the faults ask for.
    pub(super) fn plan_trouble(&mut self) {
        let trouble = match (self.full, self.unreadable) {
            (0, 0) => None,
            (_, 1..) => Some(Trouble::ReadFails),
            (1.., 0) => Some(Trouble::Full(self.medium.changes())),
        };
        self.medium.set_trouble(trouble);
    }

    /// Forgets a failure that was asked for and has not struck.
    pub(super) fn calm(&mut self) {
        self.sync_fails = false;
        self.medium.misdirect(None);
        self.plan_trouble();
    }

    /// Whether some fault makes the disk fail.
    pub(super) const fn is_troubled(&self) -> bool {
        self.full > 0 || self.unreadable > 0
    }

    /// Whether a failure of this disk is one that was asked for.
    fn may_fail(&mut self) -> bool {
        let excused = std::mem::take(&mut self.excused);
        excused || std::mem::take(&mut self.sync_fails) || self.is_troubled()
    }
}

impl World<'_> {
    /// A node as its disk has it; nothing if it can't start now.
    pub(super) fn recover(&mut self, id: usize, cold: bool) -> Option<Box<Node>> {
        let now = self.now(id);
        let config = node_config(self.case, id, 0);
        let home = Home {
            cluster: config.members.cluster_id(),
            node: config.members.me(),
            slots: config.slots,
            members: config.members.names().to_vec(),
        };
        let seed = Chance::new(config.seed, "life", self.hosts[id].life).bits();
        let segment_size = self.case.config.disks.segment_size;
        let mut mode = Mode::Normal;
        loop {
            let mut node = Box::new(Node::new(NodeConfig { seed, ..config.clone() }, now));
            let drive = &mut self.hosts[id].drive;
            let was_closed = drive.is_closed();
            let mut replay = |entry: Entry<'_>| node.recover(entry);
            match drive.open(&home, now.wall_ms, &mode, segment_size, cold, &mut replay) {
                Ok(found) => {
                    // All that counts has been read.
                    drive.rotten = None;
                    let astray = drive.medium.is_astray();
                    self.fired[FaultClass::MisdirectedWrite as usize] += u64::from(astray);
                    drive.medium.forget_astray();
                    if was_closed {
                        drive.synced_us = self.net.now_us;
                    }
                    let wiped = std::mem::take(&mut drive.wiped);
                    if let Some(wrong) = drive.wrong.take() {
                        self.disk_failure.get_or_insert_with(|| format!("n{id} {wrong}"));
                    }
                    node.recovered(now, found);
                    // What rotted or is gone may have been the bound. The number of the life keeps
                    // versions apart even so.
                    if found.loss != Loss::None || wiped {
                        self.growth.note_loss(id);
                    }
                    if mode != Mode::Normal || found.loss == Loss::More || wiped {
                        self.hosts[id].drive.forgotten = self.hosts[id].drive.ended;
                    }
                    self.check_stamps(id, node.clock());
                    return Some(node);
                }
                Err(OpenError::Damage(_)) if drive.is_harmed() && mode == Mode::Normal => {
                    // The operator reads what it says, and repairs.
                    self.note_damage(id);
                    if self.hosts.len() == 1 {
                        // There is no other copy, however old it is. If even that the cluster had
                        // formed is gone, it forms anew, which is a cold start by another name.
                        self.cold_lost.on_loss(0);
                        self.cold_lost.on_cold_start(self.net.now_us);
                        self.growth.note_ballots_lost();
                    }
                    mode = Mode::Repair { suffix: self.hosts[id].life.to_string() };
                    self.record(id, EventKind::DiskFailed, 1, &[]);
                }
                Err(OpenError::Disk(_)) if drive.is_troubled() => {
                    self.record(id, EventKind::DiskFailed, 2, &[]);
                    self.try_again(id);
                    return None;
                }
                Err(error) => {
                    let detail = format!("n{id} can't start: {error}");
                    self.disk_failure.get_or_insert(detail);
                    return None;
                }
            }
        }
    }

    /// A life begins above all stamps that others may have seen of the lives of its node since it
    /// last lost data. What those before have stamped is told apart by the numbers of the lives.
    fn check_stamps(&mut self, id: usize, clock: u64) {
        let forgotten = self.hosts[id].drive.forgotten;
        for other in self.hosts.iter().filter_map(|host| host.node.as_ref()) {
            let stamped = Db::ALL.into_iter().filter(|db| *db != Db::STRONG);
            let records = stamped.flat_map(|db| other.store().records(db));
            let mut own = records.map(|record| record.version).filter(|version| {
                version.node().index() == id && !version.is_of_life_until(forgotten)
            });
            if let Some(version) = own.find(|version| version.hlc() > clock) {
                let other = other.members().me();
                let detail = format!("n{id} begins a life below its stamp {version} on {other}");
                self.disk_failure.get_or_insert(detail);
            }
        }
    }

    /// Chance for what a disk does next.
    pub(super) fn disk_chance(&mut self, id: usize) -> Chance {
        self.hosts[id].crashes += 1;
        Chance::new(self.case.seed, "disk", (id as u64) << 32 | self.hosts[id].crashes)
    }

    /// Sees to it that what a turn asked of the disk is done in time.
    pub(super) fn use_disk(&mut self, id: usize) {
        let (job, part) = std::mem::take(&mut self.hosts[id].drive.asked);
        let life = self.hosts[id].life;
        if job {
            let at_us = self.net.now_us + self.disk_time(id);
            self.net.schedule(at_us, Event::Disk(id, life));
        }
        if part {
            let at_us = self.net.now_us + self.disk_time(id);
            self.net.schedule(at_us, Event::Image(id, life));
        }
    }

    /// Whether the disk would take what this turn logs before the turn ends. One that faults have
    /// made slow never does; of a sound one it depends on what its thread is at.
    pub(super) fn may_log_at_once(&mut self, id: usize) -> bool {
        let host = &mut self.hosts[id];
        if !host.drive.everysec || host.drive.slower_us > 0 {
            return false;
        }
        host.turns += 1;
        let entity = (id as u64) << 32 | host.turns;
        Chance::new(self.case.seed, "disk at once", entity).percent(AT_ONCE_PERCENT)
    }

    pub(super) fn disk_time(&mut self, id: usize) -> u64 {
        let (fast, slow) = self.case.config.disks.batch_us;
        let host = &mut self.hosts[id];
        host.batches += 1;
        let entity = (id as u64) << 32 | host.batches;
        let drawn = Chance::new(self.case.seed, "disk time", entity).between(fast, slow);
        drawn + host.drive.slower_us
    }

    pub(super) fn disk_worked(&mut self, id: usize, life: u64) {
        if !self.is_running(id, life) {
            return;
        }
        match self.hosts[id].drive.work(self.net.now_us) {
            Ok(batch) => {
                let now = self.now(id);
                if let (Some(batch), Some(node)) = (batch, self.hosts[id].node.as_mut()) {
                    node.handle_durable(now, batch);
                }
                self.record(id, EventKind::DiskDone, 0, &[]);
                self.turn(id);
                // What was written behind it would tell of it, so this is the time to start again.
                if self.hosts[id].drive.medium.take_twin() {
                    self.look_for_damage(id);
                }
            }
            Err(error) => self.disk_failed(id, &error),
        }
    }

    pub(super) fn image_worked(&mut self, id: usize, life: u64) {
        if !self.is_running(id, life) {
            return;
        }
        match self.hosts[id].drive.work_image() {
            Ok(saved) => {
                let now = self.now(id);
                if let (true, Some(node)) = (saved, self.hosts[id].node.as_mut()) {
                    node.handle_saved(now);
                }
                let more = self.hosts[id].drive.is_busy().1;
                self.hosts[id].drive.asked.1 |= more;
                self.record(id, EventKind::DiskDone, 1, &[]);
                self.turn(id);
            }
            Err(error) => self.disk_failed(id, &error),
        }
    }

    /// A paused process does nothing; what it has asked for is seen to when it goes on.
    fn is_running(&self, id: usize, life: u64) -> bool {
        let host = &self.hosts[id];
        host.node.is_some() && host.life == life && !host.is_still()
    }

    /// The process ends with the error, and is started again by whatever watches over it.
    pub(super) fn disk_failed(&mut self, id: usize, error: &DiskError) {
        self.record(id, EventKind::DiskFailed, 0, &[]);
        if !self.hosts[id].drive.may_fail() {
            let detail = format!("the disk of n{id} failed for no reason: {error}");
            self.disk_failure.get_or_insert(detail);
        }
        self.end_life(id, true);
        self.try_again(id);
    }

    pub(super) fn try_again(&mut self, id: usize) {
        let at_us = self.net.now_us + RESPAWN_US;
        self.net.schedule(at_us, Event::Respawn(id, self.hosts[id].life));
    }

    pub(super) fn respawn(&mut self, id: usize, life: u64) {
        let host = &self.hosts[id];
        let gone = self.net.dark[id] && self.quiet;
        if host.node.is_none() && host.life == life && self.down[id] == 0 && !gone {
            self.start(id);
        }
    }
}

impl Storage for Drive {
    fn is_idle(&self) -> bool {
        self.job.is_none() && self.failed.is_none()
    }

    fn append(&mut self, append: Append<'_>) -> Appended {
        let at_once_us = self.takes_at_once(&append);
        let Append { batch, entries, sync, rotate } = append;
        let entries = std::mem::take(entries);
        self.job = Some(Job { batch, entries, sync, rotate });
        if let Some(now_us) = at_once_us {
            match self.work(now_us) {
                Ok(_) => return Appended::Durable,
                Err(error) => (self.failed, self.excused) = (Some(error), self.may_fail()),
            }
        }
        self.asked.0 = true;
        Appended::UnderWay
    }

    fn has_image_room(&self) -> bool {
        self.parts.len() < PARTS_MAX
    }

    fn write_image(&mut self, part: ImagePart<'_>) {
        self.asked.1 |= self.parts.is_empty();
        self.parts.push_back(match part {
            ImagePart::Begin => Part::Begin,
            ImagePart::Entries(entries) => Part::Entries(entries.to_vec()),
            ImagePart::End => Part::End,
        });
    }

    fn set_recovered(&mut self) {
        self.asked.1 |= self.parts.is_empty();
        self.parts.push_back(Part::Recovered);
    }
}
