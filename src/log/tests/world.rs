//! A scripted life on a disk, with the oracle of what must come back: every entry that was synced,
//! then perhaps more of what was appended, in order and without gaps, and nothing else.

use super::{
    super::{
        Appender, Imager, Mode, OpenError, Seq,
        memory::{Fate, MemoryDisk, Stray},
    },
    Replayed, entry, replay,
};

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A frame of so many entries.
    Append(u64),
    /// The same in a new segment.
    Rotate(u64),
    Sync,
    /// Begin a checkpoint of everything so far.
    Image,
    /// Write half of it.
    Part,
    /// Write the rest and finish.
    Save,
    Close,
    Reopen,
}

pub(super) const SCRIPTS: [&[Step]; 4] = {
    use Step::{Append, Close, Image, Part, Reopen, Rotate, Save, Sync};
    [
        // Group commit, a rotation, a clean shutdown, and on.
        &[
            Append(1),
            Sync,
            Append(3),
            Append(2),
            Sync,
            Rotate(1),
            Append(1),
            Sync,
            Close,
            Reopen,
            Append(2),
            Sync,
            Append(1),
        ],
        // A checkpoint with the log going on, and one behind a restart.
        &[
            Append(2),
            Sync,
            Rotate(1),
            Image,
            Append(1),
            Part,
            Sync,
            Append(3),
            Save,
            Append(1),
            Sync,
            Reopen,
            Append(1),
            Image,
            Part,
            Rotate(2),
            Save,
            Append(1),
            Close,
            Reopen,
            Append(1),
        ],
        // Every second: appends and rotations far from syncs, a checkpoint of what is not synced.
        &[
            Append(3),
            Append(3),
            Rotate(3),
            Append(3),
            Image,
            Part,
            Save,
            Append(3),
            Rotate(1),
            Append(1),
            Reopen,
            Append(3),
            Append(1),
            Sync,
            Append(1),
        ],
        // Restarts with nothing in between, checkpoints of the same place.
        &[
            Reopen,
            Append(1),
            Reopen,
            Reopen,
            Image,
            Save,
            Image,
            Save,
            Reopen,
            Rotate(1),
            Close,
            Reopen,
            Close,
        ],
    ]
};

#[derive(Default)]
pub(super) struct World {
    pub(super) disk: MemoryDisk,
    /// Entries by number and life, in the order in which they were appended.
    pub(super) entries: Replayed,
    /// So many of them must come back.
    pub(super) synced: usize,
    appender: Option<Appender<MemoryDisk>>,
    /// Up to which frame there are how many entries.
    frames: Vec<(Seq, usize)>,
    /// So many entries came back in the last start.
    replayed: usize,
    imager: Option<(Imager<MemoryDisk>, Vec<Vec<u8>>, usize)>,
    life: u64,
    segment_size: u64,
}

impl World {
    /// Plays a script on `disk` until it ends or the disk fails.
    pub(super) fn play(disk: MemoryDisk, script: &[Step], segment_size: u64) -> Self {
        let mut world = Self { disk, segment_size, ..Self::default() };
        let mut going = world.step(Step::Reopen);
        for step in script {
            going = going && world.step(*step);
        }
        world
    }

    /// The same, but from the step of this number on the next write lands elsewhere.
    pub(super) fn play_astray(
        script: &[Step],
        segment_size: u64,
        (nth, (file, offset)): (usize, &(String, u64)),
    ) -> Self {
        let mut world = Self { segment_size, ..Self::default() };
        let mut going = world.step(Step::Reopen);
        for (index, step) in script.iter().enumerate() {
            if index == nth {
                let stray = Stray { file: file.clone(), offset: *offset, twins: 0 };
                world.disk.misdirect(Some(stray));
            }
            going = going && world.step(*step);
        }
        world
    }

    /// Whether the disk did not fail.
    fn step(&mut self, step: Step) -> bool {
        let Self { disk, appender, imager, .. } = self;
        let done = match (step, appender.as_mut()) {
            (Step::Reopen, _) => return self.reopen(),
            (_, None) => return false,
            (Step::Append(count), Some(_)) => return self.append(count, false),
            (Step::Rotate(count), Some(_)) => return self.append(count, true),
            (Step::Sync, Some(appender)) => appender.sync(disk),
            (Step::Close, Some(appender)) => appender.close(disk),
            (Step::Image, Some(appender)) => {
                let parts = self.entries.iter().map(|(number, life)| entry(*number, *life));
                let (parts, count) = (parts.collect(), self.entries.len());
                Imager::begin(disk, appender.owner(), appender.last().next())
                    .map(|begun| *imager = Some((begun, parts, count)))
            }
            (Step::Part, Some(_)) => {
                let (imager, parts, _) = imager.as_mut().expect("a checkpoint was begun");
                let half = parts.len() / 2;
                parts.drain(..half).try_for_each(|part| imager.write(disk, &part))
            }
            (Step::Save, Some(_)) => {
                let (mut imager, parts, count) = imager.take().expect("a checkpoint was begun");
                parts
                    .iter()
                    .try_for_each(|part| imager.write(disk, part))
                    .and_then(|()| imager.finish(disk))
                    .map(|_| self.synced = self.synced.max(count))
            }
        };
        self.learn();
        done.is_ok()
    }

    fn append(&mut self, count: u64, rotate: bool) -> bool {
        let mut payload = Vec::new();
        for _ in 0..count {
            let number = self.entries.len() as u64 + 1;
            self.entries.push((number, self.life));
            payload.extend(entry(number, self.life));
        }
        let appender = self.appender.as_mut().expect("open");
        self.frames.push((appender.last().next(), self.entries.len()));
        let done = appender.append(&mut self.disk, &payload, rotate);
        self.learn();
        done.is_ok()
    }

    fn learn(&mut self) {
        let synced = self.appender.as_ref().map(Appender::synced).unwrap_or_default();
        self.synced = self.synced.max(self.count_up_to(synced));
    }

    /// How many entries the log has up to a frame of the last life.
    pub(super) fn count_up_to(&self, seq: Seq) -> usize {
        let counted = self.frames.iter().rfind(|(written, _)| *written <= seq);
        counted.map_or(self.replayed, |(_, count)| *count)
    }

    fn reopen(&mut self) -> bool {
        (self.appender, self.imager) = (None, None);
        let mut disk = std::mem::take(&mut self.disk);
        let opened = replay(&mut disk, &Mode::Normal);
        self.disk = disk;
        match opened {
            Ok((opened, shown)) => {
                self.expect(&shown);
                self.synced = shown.len();
                self.replayed = shown.len();
                self.entries = shown;
                self.life += 1;
                self.frames.clear();
                let mut appender = opened.appender;
                appender.set_segment_size(self.segment_size);
                self.appender = Some(appender);
                true
            }
            Err(OpenError::Disk(_)) => false,
            Err(error) => panic!("a mere crash is no damage: {error}"),
        }
    }

    /// Checks what came back.
    pub(super) fn expect(&self, shown: &Replayed) {
        let so_many = self.synced..=self.entries.len();
        assert!(so_many.contains(&shown.len()), "{} came back of {so_many:?}", shown.len());
        assert_eq!(*shown, self.entries[..shown.len()]);
    }
}

/// What a crash leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The process died, the system lives.
    Kill,
    /// Everything that is not synced has one fate, and so many changes of names survive.
    All(Fate, usize),
    /// One dirty thing has the first fate, all others the second; all names survive.
    One(usize, Fate, Fate),
    /// All by chance.
    Seeded(u64),
}

impl Loss {
    /// The few to be used where crashes multiply.
    pub(super) const FEW: [Self; 4] = [
        Self::Kill,
        Self::All(Fate::Lost, 0),
        Self::All(Fate::TornAfter, usize::MAX),
        Self::Seeded(1),
    ];

    /// All that can befall a disk in this state, in small scope.
    pub(super) fn all(disk: &MemoryDisk) -> Vec<Self> {
        let (mut things, mut names) = (0, 0);
        let mut fate = || {
            things += 1;
            Fate::Kept
        };
        disk.clone().lose_power(&mut fate, &mut |count| {
            names = count;
            count
        });
        let fates = [Fate::Kept, Fate::Lost, Fate::TornAfter, Fate::TornBefore];
        let mut all = vec![Self::Kill];
        for kept in 0..=names {
            all.extend(fates.map(|fate| Self::All(fate, kept)));
        }
        for thing in 0..things {
            all.extend([Fate::Lost, Fate::TornAfter].map(|one| Self::One(thing, one, Fate::Kept)));
            all.push(Self::One(thing, Fate::Kept, Fate::Lost));
        }
        all.extend((0..4).map(Self::Seeded));
        all
    }

    pub(super) fn befall(self, disk: &mut MemoryDisk) {
        let mut thing = 0;
        let mut chance = 0;
        let mut fate: Box<dyn FnMut() -> Fate> = match self {
            Self::Kill => return disk.set_trouble(None),
            Self::All(fate, _) => Box::new(move || fate),
            Self::One(one, first, others) => Box::new(move || {
                thing += 1;
                if thing == one + 1 { first } else { others }
            }),
            Self::Seeded(seed) => {
                let mut rng = crate::rng::Rng::new(seed);
                chance = rng.bits() as usize;
                Box::new(move || match rng.below(4) {
                    0 => Fate::Kept,
                    1 => Fate::TornAfter,
                    2 => Fate::TornBefore,
                    _ => Fate::Lost,
                })
            }
        };
        let mut names = |count: usize| match self {
            Self::All(_, kept) => kept.min(count),
            Self::Seeded(_) => chance % (count + 1),
            Self::Kill | Self::One(..) => count,
        };
        disk.lose_power(&mut fate, &mut names);
    }
}
