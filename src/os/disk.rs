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
//! The log thread has one batch at a time, and that is group commit: while it syncs the next one
//! gathers in the node. With [`Fsync::Always`] a batch is done when it is synced, with
//! [`Fsync::EverySec`] when the system has it; then the thread syncs once a second by itself.
//! Checkpoints have a thread of their own: writing one must not make the log wait.
//!
//! The first failure ends both threads and is told once; the node must end with it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracing::{debug, info};

use super::{directory::Directory, stop::Stopper};
use crate::{
    config::Fsync,
    log::{self, Appender, Batch, DiskError, Imager, Seq},
    node::{Append, ImagePart, Measured},
    turn::Storage,
};

/// Pieces of a checkpoint that may be under way: enough that the thread never waits for the loop.
const IMAGE_PARTS_MAX: usize = 8;
/// How many times as long as it works a checkpoint rests, to leave the disk to the log.
const IMAGE_PACE: u32 = 2;
/// How often `everysec` syncs.
const SYNC_EVERY: Duration = Duration::from_secs(1);

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
#[derive(Debug)]
pub(super) struct DiskThreads {
    log: Option<Sender<LogJob>>,
    image: Option<Sender<ImageJob>>,
    news: Receiver<Result<News, DiskError>>,
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

/// How often the log was synced, and how long that took: written by its thread, read by the loop.
#[derive(Debug, Default)]
pub(super) struct SyncTimes {
    count: AtomicU64,
    total_us: AtomicU64,
    max_us: AtomicU64,
}

impl SyncTimes {
    fn on_sync(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(micros, Ordering::Relaxed);
        self.max_us.fetch_max(micros, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum LogJob {
    Append { batch: Batch, entries: Vec<u8>, sync: bool, rotate: bool },
    Close,
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
enum News {
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
        let mut writer =
            LogThread::new(directory.clone(), appender, fsync, told.clone(), Arc::clone(&syncs));
        let log_thread = thread::Builder::new().name("log".to_owned());
        let panics = TellsPanics(told.clone());
        let log_thread = log_thread.spawn(move || {
            let _told_when_dropped = panics;
            writer.run(&log_jobs);
        })?;
        let mut disk = directory.clone();
        let image_thread = thread::Builder::new().name("checkpoint".to_owned());
        let panics = TellsPanics(told.clone());
        let image_thread = image_thread.spawn(move || {
            let _told_when_dropped = panics;
            if let Err(error) = run_image(&mut disk, owner, &image_jobs, &told) {
                told.send(Err(error));
            }
        })?;
        Ok(Self {
            log: Some(log),
            image: Some(image),
            news,
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
        measured.log_syncs = self.syncs.count.load(Ordering::Relaxed);
        measured.log_sync_us = self.syncs.total_us.load(Ordering::Relaxed);
        measured.log_sync_us_max = self.syncs.max_us.load(Ordering::Relaxed);
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
        if let Some(log) = self.log.take() {
            // If the thread has ended, it has said why.
            let _ = log.send(LogJob::Close);
        }
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

    fn append(&mut self, append: Append<'_>) {
        let Append { batch, entries, sync, rotate } = append;
        let entries = std::mem::replace(entries, std::mem::take(&mut self.spare));
        self.at_work = true;
        if let Some(log) = &self.log {
            let _ = log.send(LogJob::Append { batch, entries, sync, rotate });
        }
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
struct Told {
    tell: Sender<Result<News, DiskError>>,
    waker: Stopper,
}

impl Told {
    fn send(&self, news: Result<News, DiskError>) {
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

/// A batch that was large once must not keep its memory for ever.
const SPARE_SIZE_MAX: usize = 4 * 1024 * 1024;

/// The log thread's own.
struct LogThread {
    disk: Directory,
    appender: Appender<Directory>,
    fsync: Fsync,
    told: Told,
    /// When what was written must be synced, if it is not.
    sync_at: Option<Instant>,
    batches: u64,
    syncs: Arc<SyncTimes>,
}

impl LogThread {
    fn new(
        disk: Directory,
        appender: Appender<Directory>,
        fsync: Fsync,
        told: Told,
        syncs: Arc<SyncTimes>,
    ) -> Self {
        Self { disk, appender, fsync, told, sync_at: None, batches: 0, syncs }
    }

    fn run(&mut self, jobs: &Receiver<LogJob>) {
        if let Err(error) = self.work(jobs) {
            self.told.send(Err(error));
        }
        let syncs = self.syncs.count.load(Ordering::Relaxed);
        info!(
            batches = self.batches,
            bytes = self.appender.written(),
            syncs,
            mean_sync_us = self.syncs.total_us.load(Ordering::Relaxed) / syncs.max(1),
            "the log is closed"
        );
    }

    fn work(&mut self, jobs: &Receiver<LogJob>) -> Result<(), DiskError> {
        loop {
            let job = match self.sync_at {
                Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(LogJob::Append { batch, entries, sync, rotate }) => {
                    self.append(batch, entries, sync, rotate)?;
                }
                Ok(LogJob::Close) => return self.appender.close(&mut self.disk),
                Err(RecvTimeoutError::Timeout) => self.sync()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn append(
        &mut self,
        batch: Batch,
        mut entries: Vec<u8>,
        sync: bool,
        rotate: bool,
    ) -> Result<(), DiskError> {
        self.appender.append(&mut self.disk, &entries, rotate)?;
        self.batches += 1;
        let due = self.sync_at.is_some_and(|at| at <= Instant::now());
        if sync || rotate || due || self.fsync == Fsync::Always {
            self.sync()?;
        } else if self.sync_at.is_none() {
            self.sync_at = Some(Instant::now() + SYNC_EVERY);
        }
        entries.clear();
        entries.shrink_to(SPARE_SIZE_MAX);
        let segment = if rotate { self.appender.segment() } else { None };
        self.told.send(Ok(News::Durable { batch, spare: entries, segment }));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let before = Instant::now();
        self.appender.sync(&mut self.disk)?;
        self.sync_at = None;
        self.syncs.on_sync(before.elapsed());
        Ok(())
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
    use mio::{Events, Poll, Token};

    use super::*;

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
