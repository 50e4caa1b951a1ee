//! Stopping: the two ways to ask a reactor to end, a signal and a [`Stopper`].
//!
//! Both only leave a mark and wake the loop; what stopping means is for the reactor to say.

use std::fmt;
use std::io;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use mio::{Interest, Registry, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use tracing::{error, info};

/// Asks one reactor to stop, from any thread. Clones ask the same reactor.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

struct Shared {
    asked: AtomicBool,
    waker: Waker,
}

impl Stopper {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let waker = Waker::new(registry, token)?;
        Ok(Self(Arc::new(Shared { asked: AtomicBool::new(false), waker })))
    }

    /// Asks the reactor to stop as SIGTERM does. Asking again changes nothing.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the loop's sleep.
    pub(super) fn wake(&self) {
        if let Err(error) = self.0.waker.wake() {
            error!("can't wake a node: {error}");
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopper").field(&self.is_asked()).finish()
    }
}

/// SIGTERM and SIGINT as an event source. Each reactor of a process has its own and sees every
/// signal.
pub(super) struct StopSignals(Signals);

impl StopSignals {
    pub(super) fn catch(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self(signals))
    }

    /// How many signals came since the last call; several of one kind may count as one.
    pub(super) fn take(&mut self) -> usize {
        self.0.pending().inspect(|signal| info!("got {}", name_of(*signal))).count()
    }
}

const fn name_of(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "a signal",
    }
}
