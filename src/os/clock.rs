//! Clocks and chance of the operating system, as the integers that a node is handed.
//!
//! It owns the origin of the monotonic clock: the start of the reactor. Nothing else in the library asks what time it
//! is, and nothing else asks for randomness.

use std::io;
use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use rand::{TryRng as _, rngs::SysRng};

use crate::time::{Instant, Now};

/// Both clocks of one reactor.
#[derive(Debug)]
pub(super) struct Clock {
    origin: StdInstant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { origin: StdInstant::now() }
    }

    /// What a node is told: read once a turn.
    pub(super) fn now(&self) -> Now {
        Now { mono: self.mono(), wall_ms: wall_ms() }
    }

    /// The monotonic clock alone, to find out how long to sleep.
    pub(super) fn mono(&self) -> Instant {
        // 64 bits of microseconds last for 584,000 years.
        Instant::from_micros(self.origin.elapsed().as_micros() as u64)
    }
}

/// Sixty-four bits that nobody outside can guess.
pub(super) fn seed() -> io::Result<u64> {
    SysRng.try_next_u64().map_err(io::Error::other)
}

/// A wall clock before 1970 is a broken one; it reads as 1970.
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_seeds_differ() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(second.mono >= first.mono);
        assert!(first.wall_ms > 1_700_000_000_000, "milliseconds, not seconds");
        assert_ne!(seed().expect("the system has randomness"), seed().expect("and more of it"));
    }
}
