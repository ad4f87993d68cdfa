//! Limits: inbound frames of a connection, and the REST budget of a caller.

use std::collections::VecDeque;

use crate::spec::{Limits, SECOND_NS};

/// At most so many frames in any one second.
#[derive(Debug, Default)]
pub(crate) struct InboundLimit {
    times: VecDeque<i64>,
}

impl InboundLimit {
    /// Counts a frame. False: the limit is passed.
    pub(crate) fn admit(&mut self, max: Option<usize>, now: i64) -> bool {
        let Some(max) = max else { return true };
        while self.times.front().is_some_and(|&at| now - at >= SECOND_NS) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.len() <= max
    }
}

/// A pool of credits that refills steadily.
#[derive(Debug)]
pub(crate) struct Credits {
    pool: i64,
    refill_per_s: i64,
    left: i64,
    at_ns: i64,
}

impl Credits {
    /// A full pool of so many credits, with so many more a second.
    pub(crate) fn new((pool, refill_per_s): (i64, i64)) -> Self {
        Self {
            pool,
            refill_per_s,
            left: pool,
            at_ns: 0,
        }
    }

    /// Takes credits. False: there are not so many, and none is taken.
    pub(crate) fn take(&mut self, cost: i64, now: i64) -> bool {
        // Whole credits only; what is left of the time counts next time.
        let ns_each = SECOND_NS / self.refill_per_s.max(1);
        let new = (now - self.at_ns).max(0) / ns_each.max(1);
        self.at_ns += new * ns_each;
        self.left = self.pool.min(self.left.saturating_add(new));
        let enough = self.left >= cost;
        self.left -= if enough { cost } else { 0 };
        enough
    }
}

/// The verdict on a REST request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Within the budget; so much is used of the window.
    Granted { used: u32 },
    /// Over the budget.
    Limited { used: u32, retry_after_s: i64 },
    /// Went on after being told: banned.
    Banned { retry_after_s: i64 },
}

/// A budget in windows that are aligned to the clock. All callers are on loopback, so one budget
/// stands for the one IP.
#[derive(Debug, Default)]
pub(crate) struct RestBudget {
    window: i64,
    used: u32,
    refused: u32,
    banned_until: i64,
    bans: u32,
}

impl RestBudget {
    pub(crate) fn charge(&mut self, weight: u32, limits: &Limits, now: i64) -> Charge {
        let window = now.div_euclid(limits.rest_window_ns.max(1));
        if window != self.window {
            (self.window, self.used, self.refused) = (window, 0, 0);
        }
        let seconds = |ns: i64| (ns + SECOND_NS - 1) / SECOND_NS;
        if now < self.banned_until {
            return Charge::Banned {
                retry_after_s: seconds(self.banned_until - now),
            };
        }
        self.used = self.used.saturating_add(weight);
        if self.used <= limits.rest_weight_max {
            return Charge::Granted { used: self.used };
        }
        self.refused += 1;
        if self.refused > limits.rest_ban_after {
            let ban_ns = limits.rest_ban_ns << self.bans.min(10);
            self.bans += 1;
            self.banned_until = now + ban_ns;
            return Charge::Banned {
                retry_after_s: seconds(ban_ns),
            };
        }
        let left = (window + 1) * limits.rest_window_ns - now;
        Charge::Limited {
            used: self.used,
            retry_after_s: seconds(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::VenueSpec;

    #[test]
    fn sixth_frame_within_a_second_is_too_many() {
        let mut limit = InboundLimit::default();
        assert!((0..5).all(|i| limit.admit(Some(5), i * 100_000_000)));
        assert!(
            limit.admit(Some(5), SECOND_NS),
            "the first one has left the second"
        );
        assert!(!limit.admit(Some(5), SECOND_NS + 1));
        assert!(limit.admit(None, SECOND_NS + 2));
    }

    #[test]
    fn a_pool_gives_what_it_has_and_refills() {
        let mut credits = Credits::new((30_000, 10_000));
        let now = 1_000 * SECOND_NS;
        assert!((0..10).all(|_| credits.take(3_000, now)));
        assert!(!credits.take(3_000, now + SECOND_NS / 4));
        assert!(credits.take(3_000, now + SECOND_NS / 3));
        assert!((0..10).all(|_| credits.take(3_000, now + 100 * SECOND_NS)));
        assert!(!credits.take(3_000, now + 100 * SECOND_NS));
    }

    #[test]
    fn budget_limits_then_bans_then_forgives() {
        let spec =
            VenueSpec::binance_spot().limits(|l| (l.rest_weight_max, l.rest_ban_after) = (10, 1));
        let minute = 60 * SECOND_NS;
        let mut budget = RestBudget::default();
        let mut at = |now| budget.charge(5, &spec.limits, now);
        assert_eq!(at(minute), Charge::Granted { used: 5 });
        assert_eq!(at(minute), Charge::Granted { used: 10 });
        assert_eq!(
            at(minute + SECOND_NS),
            Charge::Limited {
                used: 15,
                retry_after_s: 59
            }
        );
        assert_eq!(
            at(minute + SECOND_NS),
            Charge::Banned { retry_after_s: 120 }
        );
        assert_eq!(at(2 * minute), Charge::Banned { retry_after_s: 61 });
        assert_eq!(at(4 * minute), Charge::Granted { used: 5 });
    }
}
