//! Time as data: the two clocks a node is told about, as integers.
//!
//! Nothing below `os` and `sim` can ask what time it is; it is handed a [`Now`]. The monotonic
//! clock orders timers and never goes back; the wall clock feeds version stamps and expiry, and may
//! jump either way.

use std::ops::Add;

/// A point on a node's monotonic clock, in microseconds since an origin of the driver's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const FAR: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis((self.0.saturating_sub(earlier.0)) / 1000)
    }
}

impl Add<Millis> for Instant {
    type Output = Self;

    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0.saturating_mul(1000)))
    }
}

/// The first of several instants, of which any may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earliest(Instant);

impl Earliest {
    /// Of none yet.
    pub const NONE: Self = Self(Instant::FAR);

    /// Of those so far and this one.
    #[inline]
    pub fn add(&mut self, at: Instant) {
        self.0 = self.0.min(at);
    }

    /// Of those so far and this one, if it is one.
    #[inline]
    pub fn maybe(&mut self, at: Option<Instant>) {
        self.add(at.unwrap_or(Instant::FAR));
    }

    /// It is now, if this is so.
    #[inline]
    pub fn now_if(&mut self, so: bool) {
        self.add(if so { Instant::ZERO } else { Instant::FAR });
    }

    /// The first of them all, if there was any.
    #[must_use]
    pub fn get(self) -> Option<Instant> {
        (self.0 != Instant::FAR).then_some(self.0)
    }
}

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// Both clocks of a node, read once a turn and handed to every input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// Orders timers; never goes back within one life of a node.
    pub mono: Instant,
    /// Milliseconds since the Unix epoch; may jump.
    pub wall_ms: u64,
}
