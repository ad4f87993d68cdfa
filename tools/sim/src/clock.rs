//! The one file that reads the machine's clock and sleeps; everything else is given the time.

#![expect(
    clippy::disallowed_methods,
    reason = "the shell's clock lives here, and only here"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock nanoseconds that move with the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) base: Instant,
    pub(crate) base_ns: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // A clock before 1970 would be the machine's fault; zero keeps the simulator going.
        let age = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            base: Instant::now(),
            base_ns: age.as_nanos() as i64,
        }
    }

    /// Nanoseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.base_ns + self.base.elapsed().as_nanos() as i64
    }
}

/// Sleeps with the resolution of the kernel's timers rather than the poll's milliseconds.
pub(crate) fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}
