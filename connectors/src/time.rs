//! Time as an argument: connectors never read a clock.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A point in time or a span, in nanoseconds. A point counts from the Unix epoch; within one engine
/// points never step back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    /// The epoch, and the "venue did not say" value of `exch_ns`.
    pub const ZERO: Nanos = Nanos(0);
    /// Later than any real time.
    pub const MAX: Nanos = Nanos(i64::MAX);

    /// A span of microseconds.
    pub const fn from_micros(micros: i64) -> Nanos {
        Nanos(micros.saturating_mul(1_000))
    }

    /// A span, or a venue's time stamp, in milliseconds. Saturates: the number may come from a peer.
    pub const fn from_millis(millis: i64) -> Nanos {
        Nanos(millis.saturating_mul(1_000_000))
    }

    /// A span of seconds.
    pub const fn from_secs(secs: i64) -> Nanos {
        Nanos(secs.saturating_mul(1_000_000_000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The span from `earlier` to here; negative where `earlier` is later.
    pub const fn since(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;

    fn add(self, span: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(span.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, span: Nanos) {
        *self = *self + span;
    }
}

impl Sub for Nanos {
    type Output = Nanos;

    fn sub(self, other: Nanos) -> Nanos {
        self.since(other)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}
