//! How long to wait before the next try to connect.

use fastrand::Rng;
use tickwire_connectors::Nanos;

/// Exponential backoff with full jitter: the n-th wait is uniform in `0 ..= min(first * 2^n, max)`,
/// so that many links cut at once do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Longest first wait.
    pub first_ns: Nanos,
    /// Longest wait of all.
    pub max_ns: Nanos,
    /// A link that stayed up for so long has proven itself: the next wait is a first one again. (Not
    /// on connect: a venue that accepts and drops at once would be hammered.)
    pub proven_ns: Nanos,
}

impl Default for BackoffConfig {
    /// 100 ms to 30 s. Binance allows 300 connection attempts in 5 minutes from an address
    /// (web-socket-streams.md, 2026-07-21): at the longest wait a link makes about 20 of them.
    fn default() -> BackoffConfig {
        BackoffConfig {
            first_ns: Nanos::from_millis(100),
            max_ns: Nanos::from_secs(30),
            proven_ns: Nanos::from_secs(10),
        }
    }
}

/// The state of one link's backoff.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    pub(crate) fn new(config: BackoffConfig, seed: u64) -> Backoff {
        Backoff {
            config,
            failures: 0,
            rng: Rng::with_seed(seed),
        }
    }

    /// How long to wait after a failure. `up_for` is how long the link had been up, `None` where it
    /// never was; `at_least` is what the venue asked for.
    pub(crate) fn next(&mut self, up_for: Option<Nanos>, at_least: Nanos) -> Nanos {
        if up_for.is_some_and(|up_for| up_for >= self.config.proven_ns) {
            self.failures = 0;
        }
        let doubled = self
            .config
            .first_ns
            .0
            .max(0)
            .checked_shl(self.failures.min(40));
        let ceiling = doubled
            .filter(|wait| *wait >= self.config.first_ns.0 && *wait <= self.config.max_ns.0)
            .unwrap_or(self.config.max_ns.0)
            .max(0);
        self.failures = self.failures.saturating_add(1);
        Nanos(self.rng.i64(0..=ceiling)) + at_least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig {
        first_ns: Nanos(100),
        max_ns: Nanos(10_000),
        proven_ns: Nanos(1_000_000),
    };

    #[test]
    fn waits_stay_below_a_ceiling_that_doubles_to_the_maximum() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(CONFIG, seed);
            for failure in 0..200u32 {
                let ceiling = 100i64
                    .checked_shl(failure.min(30))
                    .unwrap_or(i64::MAX)
                    .min(10_000);
                let wait = backoff.next(None, Nanos::ZERO);
                assert!(
                    (0..=ceiling).contains(&wait.0),
                    "failure {failure}: {wait} > {ceiling}"
                );
            }
        }
    }

    #[test]
    fn only_a_proven_link_starts_over_and_the_venue_may_ask_for_more() {
        let mut backoff = Backoff::new(CONFIG, 1);
        for _ in 0..9 {
            backoff.next(Some(Nanos(999_999)), Nanos::ZERO);
        }
        assert_eq!(backoff.failures, 9);
        let wait = backoff.next(Some(Nanos(1_000_000)), Nanos(7_000));
        assert!((7_000..=7_100).contains(&wait.0), "{wait}");
    }
}
