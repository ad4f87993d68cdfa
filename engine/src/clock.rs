//! The engine's clock. The only file of the library that reads one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tickwire_connectors::Nanos;

/// Nanoseconds since the Unix epoch that never step back: the wall clock is read once, and from
/// then on the monotonic clock is added to it. A jump of the wall clock moves nothing; a slow drift
/// against it is not corrected (NTP slews the monotonic clock too).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_ns: i64,
}

impl Clock {
    /// Reads the wall clock, once.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads clocks"
    )]
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let started_ns = i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX);
        Clock {
            started: Instant::now(),
            started_ns,
        }
    }

    /// The time now. A read of the vDSO, about 25 ns; no system call where the clock source is TSC.
    #[inline]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the file that reads clocks"
    )]
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// What the clock showed at `instant`.
    #[inline]
    pub fn at(&self, instant: Instant) -> Nanos {
        let elapsed = match instant.checked_duration_since(self.started) {
            Some(later) => i64::try_from(later.as_nanos()).unwrap_or(i64::MAX),
            None => {
                let earlier = self.started.saturating_duration_since(instant).as_nanos();
                i64::try_from(earlier).map_or(i64::MIN, |nanos| -nanos)
            }
        };
        Nanos(self.started_ns.saturating_add(elapsed))
    }
}
