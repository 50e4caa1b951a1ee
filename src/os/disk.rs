//! The disk of a running node: two threads that write, so that the loop never waits.
//!
//! ```text
//!   loop                      log thread                       image thread
//!    | append(batch) ----------> write, sync                     |
//!    | (gathers the next batch)     |                            |
//!    | <---- done + wake ----------'                             |
//!    | write_image(part) ------------------------------------> write
//!    | <---- done + wake ---------------------------------------'
//! ```
//!
//! What the log thread does, and when the loop writes the log itself, stands in
//! [`super::log_thread`]. Checkpoints have a thread of their own: writing one must not make the log
//! wait.
//!
//! The first failure ends both threads and is told once; the node must end with it.

use std::{
    io,
    sync::{
        Arc, Mutex, TryLockError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use tracing::debug;

use super::{
    directory::Directory,
    log_thread::{self, AtOnce, LogJob, LogWriter, SyncTimes},
    stop::Stopper,
};
use crate::{
    config::Fsync,
    log::{self, Appender, Batch, DiskError, Imager, Seq},
    node::{Append, ImagePart, Measured},
    turn::{Appended, Storage},
};

/// Pieces of a checkpoint that may be under way: enough that the thread never waits for the loop.
const IMAGE_PARTS_MAX: usize = 8;
/// How many times as long as it works a checkpoint rests, to leave the disk to the log.
const IMAGE_PACE: u32 = 2;

/// What a disk has done.
#[derive(Debug)]
pub(super) enum Done {
    /// A batch and all before it are durable.
    Durable(Batch),
    /// A checkpoint is complete.
    Saved,
    /// Some piece of one is written; there is room for another.
    Written,
}

/// Both threads, seen from the loop.
pub(super) struct DiskThreads {
    log: Option<Sender<LogJob>>,
    writer: Arc<Mutex<LogWriter>>,
    image: Option<Sender<ImageJob>>,
    news: Receiver<Result<News, DiskError>>,
    told: Told,
    threads: Vec<JoinHandle<()>>,
    at_work: bool,
    /// Memory for the next batch.
    spare: Vec<u8>,
    /// The first frame of the newest segment that was asked for.
    segment: Option<Seq>,
    /// Pieces of a checkpoint under way.
    parts: usize,
    syncs: Arc<SyncTimes>,
}

#[derive(Debug)]
enum ImageJob {
    Begin(Seq),
    Entries(Vec<u8>),
    End,
    /// Not about a checkpoint, but nobody waits for it either.
    Recovered,
}

/// What a thread tells the loop.
#[derive(Debug)]
pub(super) enum News {
    Durable { batch: Batch, spare: Vec<u8>, segment: Option<Seq> },
    Saved,
    Written,
}

impl DiskThreads {
    /// Starts both threads. They wake the loop through `waker`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(
        directory: &Directory,
        appender: Appender<Directory>,
        fsync: Fsync,
        waker: &Stopper,
    ) -> io::Result<Self> {
        let (log, log_jobs) = mpsc::channel();
        let (image, image_jobs) = mpsc::channel();
        let (tell, news) = mpsc::channel();
        let told = Told { tell, waker: waker.clone() };
        let owner = appender.owner();
        let syncs = Arc::new(SyncTimes::default());
        let writer = LogWriter::new(directory.clone(), appender, fsync, Arc::clone(&syncs));
        let writer = Arc::new(Mutex::new(writer));
        let log_thread = thread::Builder::new().name("log".to_owned());
        let panics = TellsPanics(told.clone());
        let (theirs, tells) = (Arc::clone(&writer), told.clone());
        let log_thread = log_thread.spawn(move || {
            let _told_when_dropped = panics;
            log_thread::run(&theirs, &log_jobs, &tells);
        })?;
        let mut disk = directory.clone();
        let image_thread = thread::Builder::new().name("checkpoint".to_owned());
        let panics = TellsPanics(told.clone());
        let tells = told.clone();
        let image_thread = image_thread.spawn(move || {
            let _told_when_dropped = panics;
            if let Err(error) = run_image(&mut disk, owner, &image_jobs, &tells) {
                tells.send(Err(error));
            }
        })?;
        Ok(Self {
            log: Some(log),
            writer,
            image: Some(image),
            news,
            told,
            threads: vec![log_thread, image_thread],
            at_work: false,
            spare: Vec::new(),
            segment: None,
            parts: 0,
            syncs,
        })
    }

    /// What it has measured so far.
    pub(super) fn measure(&self, measured: &mut Measured) {
        self.syncs.measure(measured);
    }

    /// Something that the disk has done since.
    ///
    /// # Errors
    /// If it failed.
    pub(super) fn poll(&mut self) -> Result<Option<Done>, DiskError> {
        let Ok(news) = self.news.try_recv() else { return Ok(None) };
        Ok(Some(match news? {
            News::Durable { batch, spare, segment } => {
                self.at_work = false;
                self.spare = spare;
                self.segment = segment.or(self.segment);
                Done::Durable(batch)
            }
            News::Saved => {
                self.parts -= 1;
                Done::Saved
            }
            News::Written => {
                self.parts -= 1;
                Done::Written
            }
        }))
    }

    /// Ends the log as a clean stop does and waits for both threads. A checkpoint that is under way
    /// is left unfinished.
    ///
    /// # Errors
    /// If the disk fails at the last moment.
    pub(super) fn close(mut self) -> Result<(), DiskError> {
        self.ask_log(LogJob::Close);
        self.log = None;
        self.image = None;
        for thread in self.threads.drain(..) {
            if let Err(panicked) = thread.join() {
                std::panic::resume_unwind(panicked);
            }
        }
        while let Ok(news) = self.news.try_recv() {
            news?;
        }
        Ok(())
    }

    /// Writes a batch here and now, if that may be done.
    fn write_at_once(&self, append: &mut Append<'_>) -> Result<AtOnce, DiskError> {
        match self.writer.try_lock() {
            Ok(mut writer) => writer.write_at_once(append),
            // What a panic has to say comes from its thread.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => Ok(AtOnce::NotNow),
        }
    }

    fn ask_log(&self, job: LogJob) {
        if let Some(log) = &self.log {
            // If the thread has ended, it has said why.
            let _ = log.send(job);
        }
    }

    fn send_image(&mut self, job: ImageJob) {
        self.parts += 1;
        if let Some(image) = &self.image {
            let _ = image.send(job);
        }
    }
}

impl Storage for DiskThreads {
    fn is_idle(&self) -> bool {
        !self.at_work
    }

    fn append(&mut self, mut append: Append<'_>) -> Appended {
        match self.write_at_once(&mut append) {
            Ok(AtOnce::Written { first }) => {
                if first {
                    self.ask_log(LogJob::Written);
                }
                return Appended::Durable;
            }
            Ok(AtOnce::NotNow) => {}
            Err(error) => {
                self.at_work = true;
                self.told.send(Err(error));
                return Appended::UnderWay;
            }
        }
        let Append { batch, entries, sync, rotate } = append;
        let entries = std::mem::replace(entries, std::mem::take(&mut self.spare));
        self.at_work = true;
        self.ask_log(LogJob::Append { batch, entries, sync, rotate });
        Appended::UnderWay
    }

    fn has_image_room(&self) -> bool {
        self.parts < IMAGE_PARTS_MAX
    }

    fn write_image(&mut self, part: ImagePart<'_>) {
        match part {
            ImagePart::Begin => {
                let start = self.segment.expect("a checkpoint begins after its segment");
                self.send_image(ImageJob::Begin(start));
            }
            ImagePart::Entries(entries) => self.send_image(ImageJob::Entries(entries.to_vec())),
            ImagePart::End => self.send_image(ImageJob::End),
        }
    }

    fn set_recovered(&mut self) {
        self.send_image(ImageJob::Recovered);
    }
}

/// How a thread tells the loop.
#[derive(Clone, Debug)]
pub(super) struct Told {
    tell: Sender<Result<News, DiskError>>,
    waker: Stopper,
}

impl Told {
    pub(super) fn send(&self, news: Result<News, DiskError>) {
        // The loop may have ended already.
        if self.tell.send(news).is_ok() {
            self.waker.wake();
        }
    }
}

/// A thread that panics would leave the loop waiting for ever.
struct TellsPanics(Told);

impl Drop for TellsPanics {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send(Err(DiskError {
                action: "go on writing to",
                file: "the data directory".to_owned(),
                reason: "a bug ended the thread that does; its message stands above".to_owned(),
                full: false,
            }));
        }
    }
}

/// Writes checkpoints until the loop ends.
fn run_image(
    disk: &mut Directory,
    owner: log::Owner,
    jobs: &Receiver<ImageJob>,
    told: &Told,
) -> Result<(), DiskError> {
    let mut imager = None;
    while let Ok(job) = jobs.recv() {
        let started = Instant::now();
        match job {
            ImageJob::Begin(start) => imager = Some(Imager::begin(disk, owner, start)?),
            ImageJob::Entries(entries) => {
                if let Some(imager) = &mut imager {
                    imager.write(disk, &entries)?;
                }
            }
            ImageJob::Recovered => log::recovered(disk)?,
            ImageJob::End => {
                if let Some(imager) = imager.take() {
                    let saved = imager.finish(disk)?;
                    debug!(bytes = saved.bytes, entries = saved.records, "a checkpoint lasts");
                }
                told.send(Ok(News::Saved));
                continue;
            }
        }
        // The log waits for the same disk, and for the same processor if there is only one.
        thread::sleep(started.elapsed() * IMAGE_PACE);
        told.send(Ok(News::Written));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::{
        log::{Entry, Home, Mode, Opened},
        record::NodeId,
    };

    fn open(path: &std::path::Path) -> (Directory, Opened<Directory>, u64) {
        let mut directory = Directory::own(path).expect("it is ours");
        let members = vec!["a:1".to_owned()];
        let home = Home { cluster: 1, node: NodeId(0), slots: 8, members };
        let mut found = 0;
        let mut replay =
            |entry: Entry<'_>| found += u64::from(matches!(entry, Entry::Known { .. }));
        let opened = log::open(&mut directory, &home, 0, &Mode::Normal, &mut replay, &mut |_| {});
        (directory, opened.expect("it opens"), found)
    }

    /// Waits until the thread has done a batch.
    fn wait_for(disk: &mut DiskThreads, events: &mut (Poll, Events)) {
        for _ in 0..200 {
            if matches!(disk.poll().expect("the disk is sound"), Some(Done::Durable(_))) {
                return;
            }
            let step = Duration::from_millis(100);
            events.0.poll(&mut events.1, Some(step)).expect("an event queue");
        }
        panic!("the batch was not done within 20 s");
    }

    #[test]
    fn the_loop_writes_what_is_small_and_needs_no_sync() {
        let place = tempfile::tempdir().expect("a place for tests");
        let (directory, opened, _) = open(place.path());
        let poll = Poll::new().expect("an event queue");
        let waker = Stopper::new(poll.registry(), Token(0)).expect("a waker");
        let mut events = (poll, Events::with_capacity(1));
        let start = DiskThreads::start(&directory, opened.appender, Fsync::EverySec, &waker);
        let mut disk = start.expect("two threads");
        let mut entry = Vec::new();
        Entry::Known { member: NodeId(0), incarnation: 1 }.encode(&mut entry);
        let mut batch = 0;
        let mut append = |disk: &mut DiskThreads, times: usize, sync: bool, rotate: bool| {
            batch += 1;
            let mut entries = entry.repeat(times);
            let append = Append { batch: Batch(batch), entries: &mut entries, sync, rotate };
            let appended = disk.append(append);
            assert!(entries.is_empty(), "the disk has them");
            appended
        };
        let large = 20_000;
        for (times, sync, rotate) in [(1, false, false), (1, true, false), (1, false, true)] {
            // The first begins a segment.
            assert_eq!(append(&mut disk, times, sync, rotate), Appended::UnderWay);
            assert!(!disk.is_idle());
            wait_for(&mut disk, &mut events);
        }
        assert_eq!(append(&mut disk, 1, false, false), Appended::Durable);
        assert!(disk.is_idle(), "and it has no news");
        assert_eq!(append(&mut disk, large, false, false), Appended::UnderWay);
        wait_for(&mut disk, &mut events);
        // As while it syncs.
        let writer = Arc::clone(&disk.writer);
        let held = log_thread::lock(&writer);
        assert_eq!(append(&mut disk, 1, false, false), Appended::UnderWay);
        drop(held);
        wait_for(&mut disk, &mut events);
        disk.close().expect("the disk is sound");
        drop((directory, writer));
        assert_eq!(open(place.path()).2, 3 + 1 + large as u64 + 1, "all of them, each once");
    }

    #[test]
    fn a_thread_that_panics_ends_the_node() {
        let mut poll = Poll::new().expect("an event queue");
        let waker = Stopper::new(poll.registry(), Token(0)).expect("a waker");
        let (tell, news) = mpsc::channel();
        // Its end would take the event with it.
        let panics = TellsPanics(Told { tell, waker: waker.clone() });
        let thread = thread::spawn(move || {
            let _told_when_dropped = panics;
            panic!("a bug, as this test wants it");
        });
        thread.join().expect_err("it panicked");
        let error = news.recv().expect("it was told").expect_err("as an error");
        assert!(error.to_string().starts_with("can't go on writing to the data"), "{error}");
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(20))).expect("an event queue");
        assert!(!events.is_empty(), "the loop was woken");
    }
}
