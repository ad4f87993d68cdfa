//! The one place of the tools that reads a clock.

use std::time::{Duration, Instant};

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// From now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads clocks"
    )]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Nanoseconds from `earlier` to this moment; 0 where it is later.
    pub fn nanos_since(&self, earlier: Instant) -> i64 {
        let nanos = self.0.saturating_duration_since(earlier).as_nanos();
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

impl From<Stopwatch> for Instant {
    fn from(stopwatch: Stopwatch) -> Instant {
        stopwatch.0
    }
}
