//! The log of a running node, which two threads write: its own, and the loop.
//!
//! The log thread has one batch at a time, and that is group commit: while it syncs the next one
//! gathers in the node. With [`Fsync::Always`] a batch is done when it is synced, with
//! [`Fsync::EverySec`] when the system has it; then the thread syncs once a second by itself.
//!
//! To hand a small batch to another thread, and to be told, takes longer than to let the system have
//! it. So under `everysec` the loop writes such a batch itself, unless the thread is at work: the
//! loop never waits for a sync.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tracing::info;

use super::{
    directory::Directory,
    disk::{News, Told},
};
use crate::{
    config::Fsync,
    log::{Appender, Batch, DiskError},
    node::{Append, Measured},
};

/// How often `everysec` syncs.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A larger batch is worth another thread: the loop gathers the next one meanwhile.
const AT_ONCE_SIZE_MAX: usize = 16 * 1024;
/// A batch that was large once must not keep its memory for ever.
const SPARE_SIZE_MAX: usize = 4 * 1024 * 1024;

/// What the log thread is asked.
#[derive(Debug)]
pub(super) enum LogJob {
    Append {
        batch: Batch,
        entries: Vec<u8>,
        sync: bool,
        rotate: bool,
    },
    Close,
    /// The loop has written something that must be synced in time.
    Written,
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

    pub(super) fn measure(&self, measured: &mut Measured) {
        measured.log_syncs = self.count.load(Ordering::Relaxed);
        measured.log_sync_us = self.total_us.load(Ordering::Relaxed);
        measured.log_sync_us_max = self.max_us.load(Ordering::Relaxed);
    }
}

/// What became of a batch that the loop would write itself.
pub(super) enum AtOnce {
    /// It is written. The thread must be told if nothing else was unsynced.
    Written { first: bool },
    /// It is for the thread.
    NotNow,
}

/// The log, which one thread at a time writes.
pub(super) struct LogWriter {
    disk: Directory,
    appender: Appender<Directory>,
    fsync: Fsync,
    /// When what was written must be synced, if it is not.
    sync_at: Option<Instant>,
    batches: u64,
    syncs: Arc<SyncTimes>,
}

impl LogWriter {
    pub(super) fn new(
        disk: Directory,
        appender: Appender<Directory>,
        fsync: Fsync,
        syncs: Arc<SyncTimes>,
    ) -> Self {
        Self { disk, appender, fsync, sync_at: None, batches: 0, syncs }
    }

    /// Writes a batch if that takes no sync and little time.
    pub(super) fn write_at_once(&mut self, append: &mut Append<'_>) -> Result<AtOnce, DiskError> {
        let Append { entries, sync, rotate, .. } = append;
        let is_small = entries.len() <= AT_ONCE_SIZE_MAX;
        if self.fsync == Fsync::Always || *sync || *rotate || !is_small || self.appender.is_full() {
            return Ok(AtOnce::NotNow);
        }
        self.appender.append(&mut self.disk, entries, false)?;
        self.batches += 1;
        entries.clear();
        let first = self.sync_at.is_none();
        if first {
            self.sync_at = Some(Instant::now() + SYNC_EVERY);
        }
        Ok(AtOnce::Written { first })
    }

    fn append(&mut self, entries: &[u8], sync: bool, rotate: bool) -> Result<(), DiskError> {
        self.appender.append(&mut self.disk, entries, rotate)?;
        self.batches += 1;
        let due = self.sync_at.is_some_and(|at| at <= Instant::now());
        if sync || rotate || due || self.fsync == Fsync::Always {
            self.sync()?;
        } else if self.sync_at.is_none() {
            self.sync_at = Some(Instant::now() + SYNC_EVERY);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let before = Instant::now();
        self.appender.sync(&mut self.disk)?;
        self.sync_at = None;
        self.syncs.on_sync(before.elapsed());
        Ok(())
    }

    fn say_closed(&self) {
        let syncs = self.syncs.count.load(Ordering::Relaxed);
        info!(
            batches = self.batches,
            bytes = self.appender.written(),
            syncs,
            mean_sync_us = self.syncs.total_us.load(Ordering::Relaxed) / syncs.max(1),
            "the log is closed"
        );
    }
}

/// Has the log for itself. A thread that panicked while it had it has told the loop, and the node
/// ends.
pub(super) fn lock(writer: &Mutex<LogWriter>) -> MutexGuard<'_, LogWriter> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log thread: does its jobs until the loop ends.
pub(super) fn run(writer: &Mutex<LogWriter>, jobs: &Receiver<LogJob>, told: &Told) {
    if let Err(error) = work(writer, jobs, told) {
        told.send(Err(error));
    }
    lock(writer).say_closed();
}

fn work(writer: &Mutex<LogWriter>, jobs: &Receiver<LogJob>, told: &Told) -> Result<(), DiskError> {
    loop {
        let sync_at = lock(writer).sync_at;
        let job = match sync_at {
            Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(LogJob::Append { batch, mut entries, sync, rotate }) => {
                let mut held = lock(writer);
                held.append(&entries, sync, rotate)?;
                let segment = if rotate { held.appender.segment() } else { None };
                drop(held);
                entries.clear();
                entries.shrink_to(SPARE_SIZE_MAX);
                told.send(Ok(News::Durable { batch, spare: entries, segment }));
            }
            Ok(LogJob::Written) => {}
            Ok(LogJob::Close) => {
                let mut held = lock(writer);
                let LogWriter { disk, appender, .. } = &mut *held;
                return appender.close(disk);
            }
            Err(RecvTimeoutError::Timeout) => lock(writer).sync()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
