//! How long to wait before the next try to connect.

use fastrand::Rng;
use tickwire_connectors::Nanos;
use tickwire_connectors::transmit::RetryRule;

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
    /// Longest first wait after a refusal that does not heal by itself
    /// ([`DownReason::is_lasting`](tickwire_connectors::transmit::DownReason::is_lasting)), at least
    /// half of which is waited in any case. It doubles to ten minutes.
    pub refused_ns: Nanos,
}

/// The longest wait after a refusal that does not heal by itself. Bybit asks for ten minutes after
/// its 403 (rate-limit, 2026-07-24); somebody who has set the rights right should not wait longer.
pub(crate) const REFUSED_WAIT_MAX: Nanos = Nanos::from_secs(600);

impl Default for BackoffConfig {
    /// 100 ms to 30 s. Binance allows 300 connection attempts in 5 minutes from an address
    /// (web-socket-streams.md, 2026-07-21): at the longest wait a link makes about 20 of them.
    fn default() -> BackoffConfig {
        BackoffConfig {
            first_ns: Nanos::from_millis(100),
            max_ns: Nanos::from_secs(30),
            proven_ns: Nanos::from_secs(10),
            refused_ns: Nanos::from_secs(30),
        }
    }
}

/// How a connection was lost, as far as the wait before the next is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// How long the link had been up, `None` where it never was.
    pub(crate) up_for: Option<Nanos>,
    /// What the venue asked for.
    pub(crate) at_least: Nanos,
    /// It does not heal by itself.
    pub(crate) is_lasting: bool,
}

/// The state of one link's backoff.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    /// The link's own rule, which may give it up.
    rule: Option<RetryRule>,
    failures: u32,
    /// Tries in a row that did not come up.
    failed_tries: u32,
    /// Refusals that do not heal by themselves, among the failures.
    refusals: u32,
    rng: Rng,
}

impl Backoff {
    pub(crate) fn new(config: BackoffConfig, rule: Option<RetryRule>, seed: u64) -> Backoff {
        Backoff {
            config,
            rule,
            failures: 0,
            failed_tries: 0,
            refusals: 0,
            rng: Rng::with_seed(seed),
        }
    }

    /// How long to wait after a failure; `None` where the link's own rule gives it up.
    pub(crate) fn next(&mut self, loss: Loss) -> Option<Nanos> {
        let config = self.config;
        if loss.up_for.is_some_and(|up_for| up_for >= config.proven_ns) {
            (self.failures, self.refusals) = (0, 0);
        }
        self.failed_tries = match loss.up_for {
            Some(_) => 0,
            None => self.failed_tries.saturating_add(1),
        };
        let wait = if let Some(rule) = self.rule {
            if self.failed_tries >= rule.failures_max.max(1) {
                return None;
            }
            let ceiling = doubled(rule.first_ns, self.failures, rule.max_ns);
            if rule.jitter {
                self.rng.i64(0..=ceiling)
            } else {
                ceiling
            }
        } else if loss.is_lasting {
            let ceiling = doubled(config.refused_ns, self.refusals, REFUSED_WAIT_MAX);
            self.refusals = self.refusals.saturating_add(1);
            self.rng.i64(ceiling / 2..=ceiling)
        } else {
            let ceiling = doubled(config.first_ns, self.failures, config.max_ns);
            self.rng.i64(0..=ceiling)
        };
        self.failures = self.failures.saturating_add(1);
        Some(Nanos(wait) + loss.at_least)
    }

    /// Whether the next try is the first, or the first since the link has proven itself.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.failures <= 1
    }

    /// A wait that keeps links apart which are let go at the same time.
    pub(crate) fn spread(&mut self) -> Nanos {
        Nanos(self.rng.i64(0..=self.config.first_ns.0.max(0)))
    }
}

/// `first * 2^times`, at most `max`.
fn doubled(first: Nanos, times: u32, max: Nanos) -> i64 {
    let first = first.0.max(0);
    first
        .checked_shl(times.min(40))
        .filter(|wait| *wait >= first && *wait <= max.0)
        .unwrap_or(max.0)
        .max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig {
        first_ns: Nanos(100),
        max_ns: Nanos(10_000),
        proven_ns: Nanos(1_000_000),
        refused_ns: Nanos::from_secs(30),
    };

    const LOSS: Loss = Loss {
        up_for: None,
        at_least: Nanos::ZERO,
        is_lasting: false,
    };

    #[test]
    fn waits_stay_below_a_ceiling_that_doubles_to_the_maximum() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(CONFIG, None, seed);
            for failure in 0..200u32 {
                let ceiling = 100i64
                    .checked_shl(failure.min(30))
                    .unwrap_or(i64::MAX)
                    .min(10_000);
                let wait = backoff.next(LOSS).expect("never given up");
                assert!(
                    (0..=ceiling).contains(&wait.0),
                    "failure {failure}: {wait} > {ceiling}"
                );
                assert_eq!(backoff.is_fresh(), failure == 0);
            }
        }
    }

    #[test]
    fn only_a_proven_link_starts_over_and_the_venue_may_ask_for_more() {
        let mut backoff = Backoff::new(CONFIG, None, 1);
        for _ in 0..9 {
            backoff.next(Loss {
                up_for: Some(Nanos(999_999)),
                ..LOSS
            });
        }
        assert_eq!(backoff.failures, 9);
        let wait = backoff.next(Loss {
            up_for: Some(Nanos(1_000_000)),
            at_least: Nanos(7_000),
            ..LOSS
        });
        let wait = wait.expect("never given up");
        assert!((7_000..=7_100).contains(&wait.0), "{wait}");
    }

    #[test]
    fn what_does_not_heal_by_itself_waits_much_longer() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(CONFIG, None, seed);
            for ceiling_s in [30, 60, 120, 240, 480, 600, 600] {
                let wait = backoff.next(Loss {
                    is_lasting: true,
                    ..LOSS
                });
                let wait = wait.expect("never given up");
                let ceiling = ceiling_s * 1_000_000_000;
                assert!((ceiling / 2..=ceiling).contains(&wait.0), "{wait}");
            }
            // Another kind of failure in between is as quick as its own count allows.
            assert!(backoff.next(LOSS).is_some_and(|wait| wait.0 <= 10_000));
        }
    }

    #[test]
    fn a_rule_of_the_link_gives_up_after_its_failures_and_starts_over_once_up() {
        let rule = RetryRule {
            first_ns: Nanos(1_000),
            max_ns: Nanos(3_000),
            jitter: false,
            failures_max: 4,
        };
        let lost = Loss {
            up_for: Some(Nanos(1)),
            ..LOSS
        };
        let proven = Loss {
            up_for: Some(Nanos(1_000_000)),
            ..LOSS
        };
        let mut backoff = Backoff::new(CONFIG, Some(rule), 1);
        let table = [
            (LOSS, Some(1_000)),
            (LOSS, Some(2_000)),
            (LOSS, Some(3_000)),
            // It came up: failures are counted anew, but only a proven link waits a first wait again.
            (lost, Some(3_000)),
            (LOSS, Some(3_000)),
            (proven, Some(1_000)),
            (LOSS, Some(2_000)),
            (LOSS, Some(3_000)),
            (LOSS, Some(3_000)),
            (LOSS, None),
        ];
        for (index, (loss, wait)) in table.into_iter().enumerate() {
            assert_eq!(backoff.next(loss), wait.map(Nanos), "loss {index}");
        }
        // With jitter the same waits are ceilings.
        for seed in 0..100 {
            let jitter = RetryRule {
                jitter: true,
                ..rule
            };
            let mut backoff = Backoff::new(CONFIG, Some(jitter), seed);
            for ceiling in [1_000, 2_000, 3_000] {
                let wait = backoff.next(LOSS).expect("not yet given up");
                assert!((0..=ceiling).contains(&wait.0), "{wait}");
            }
        }
    }
}
