//! How many orders a venue takes: its own limits, counted as strictly as it may count them, and set
//! right by what it says of its own count. Cancels keep a reserve where both are counted as one.

use std::collections::VecDeque;

use crate::governor::Window;
use crate::time::Nanos;

/// One of a venue's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimit {
    /// How many in which time.
    pub window: Window,
    /// What counts.
    pub counts: Counts,
    /// Of [`Counts::Both`]: how many of them new orders leave to cancels.
    pub reserve: u32,
}

/// What counts towards a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// New orders and amends.
    Orders,
    /// Cancels.
    Cancels,
    /// Both together.
    Both,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// A new order or an amend.
    Order,
    /// A cancel.
    Cancel,
}

/// Up to this many are counted each by its own time, so that no window of the venue, wherever it begins,
/// holds more than it may. Limits of days are larger, and are counted in windows from the epoch.
const EXACT_MAX: u32 = 4_096;

#[derive(Debug)]
struct Meter {
    limit: OrderLimit,
    /// Exact: when each of the last was sent.
    sent: VecDeque<Nanos>,
    /// By windows: the number of the window and the count in it.
    window: i64,
    used: u32,
}

impl Meter {
    fn new(limit: OrderLimit) -> Meter {
        Meter {
            limit,
            sent: VecDeque::new(),
            window: 0,
            used: 0,
        }
    }

    fn counts(&self, what: Sending) -> bool {
        match (self.limit.counts, what) {
            (Counts::Both, _) => true,
            (Counts::Orders, Sending::Order) => true,
            (Counts::Cancels, Sending::Cancel) => true,
            (Counts::Orders | Counts::Cancels, _) => false,
        }
    }

    const fn is_exact(&self) -> bool {
        self.limit.window.max <= EXACT_MAX
    }

    /// Forgets what is too long ago; gives how many count now.
    fn settle(&mut self, now: Nanos) -> u32 {
        let span = self.limit.window.span_ns;
        if self.is_exact() {
            while self.sent.front().is_some_and(|at| *at + span <= now) {
                self.sent.pop_front();
            }
            return u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        }
        let number = now.0.div_euclid(span.0.max(1));
        if self.window != number {
            (self.window, self.used) = (number, 0);
        }
        self.used
    }

    /// When one more is allowed, where it is not now.
    fn closed_until(&mut self, now: Nanos, what: Sending) -> Option<Nanos> {
        let reserve = match (self.limit.counts, what) {
            (Counts::Both, Sending::Order) => self.limit.reserve,
            _ => 0,
        };
        let most = self.limit.window.max.saturating_sub(reserve);
        let used = self.settle(now);
        if used < most {
            return None;
        }
        let span = self.limit.window.span_ns;
        if self.is_exact() {
            let index = (used - most) as usize;
            return self
                .sent
                .get(index)
                .map(|at| *at + span)
                .or(Some(now + span));
        }
        Some(Nanos((self.window + 1).saturating_mul(span.0)))
    }

    fn take(&mut self, now: Nanos) {
        if self.is_exact() {
            self.sent.push_back(now);
        } else {
            self.used = self.used.saturating_add(1);
        }
    }

    /// The venue counts `used` in its present window: at least as many were sent, when nobody knows.
    fn note_used(&mut self, now: Nanos, used: u32) {
        let ours = self.settle(now);
        let most = self.limit.window.max;
        for _ in ours..used.min(most) {
            self.take(now);
        }
    }
}

/// A venue's limits on orders at work.
#[derive(Debug)]
pub struct OrderLimits {
    meters: Vec<Meter>,
    /// The venue refused us until then.
    closed_until: Nanos,
}

impl OrderLimits {
    /// None used yet.
    pub fn new(limits: &[OrderLimit]) -> OrderLimits {
        OrderLimits {
            meters: limits.iter().copied().map(Meter::new).collect(),
            closed_until: Nanos::ZERO,
        }
    }

    /// Counts one in, or says when it may go.
    pub fn admit(&mut self, now: Nanos, what: Sending) -> Result<(), Nanos> {
        let mut until = self.closed_until;
        for meter in self.meters.iter_mut().filter(|meter| meter.counts(what)) {
            until = until.max(meter.closed_until(now, what).unwrap_or(Nanos::ZERO));
        }
        if until > now {
            return Err(until);
        }
        for meter in self.meters.iter_mut().filter(|meter| meter.counts(what)) {
            meter.take(now);
        }
        Ok(())
    }

    /// The venue says how many it has counted towards the `index`-th limit.
    pub fn note_used(&mut self, now: Nanos, index: usize, used: u32) {
        if let Some(meter) = self.meters.get_mut(index) {
            meter.note_used(now, used);
        }
    }

    /// The venue says what the `index`-th limit really is.
    pub fn note_limit(&mut self, index: usize, window: Window) {
        if let Some(meter) = self.meters.get_mut(index) {
            meter.limit.window = window;
        }
    }

    /// The venue refuses orders until `until`.
    pub fn note_closed(&mut self, until: Nanos) {
        self.closed_until = self.closed_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max: u32, span_ms: i64, counts: Counts, reserve: u32) -> OrderLimit {
        OrderLimit {
            window: Window {
                max,
                span_ns: Nanos::from_millis(span_ms),
            },
            counts,
            reserve,
        }
    }

    fn ms(ms: i64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn no_window_holds_more_than_the_venue_takes() {
        let mut limits = OrderLimits::new(&[limit(2, 1_000, Counts::Orders, 0)]);
        assert_eq!(limits.admit(ms(900), Sending::Order), Ok(()));
        assert_eq!(limits.admit(ms(1_500), Sending::Order), Ok(()));
        // A window of the venue that began at 1,000 would have room; one that began at 900 has none.
        assert_eq!(limits.admit(ms(1_600), Sending::Order), Err(ms(1_900)));
        assert_eq!(
            limits.admit(ms(1_600), Sending::Cancel),
            Ok(()),
            "not counted"
        );
        assert_eq!(limits.admit(ms(1_900), Sending::Order), Ok(()));
    }

    #[test]
    fn cancels_keep_a_reserve() {
        let mut limits = OrderLimits::new(&[limit(5, 1_000, Counts::Both, 2)]);
        for at in 0..3 {
            assert_eq!(limits.admit(ms(at), Sending::Order), Ok(()));
        }
        assert_eq!(limits.admit(ms(3), Sending::Order), Err(ms(1_000)));
        for at in 4..6 {
            assert_eq!(limits.admit(ms(at), Sending::Cancel), Ok(()));
        }
        assert_eq!(limits.admit(ms(6), Sending::Cancel), Err(ms(1_000)));
        // Orders wait until three of the five have gone.
        assert_eq!(limits.admit(ms(7), Sending::Order), Err(ms(1_002)));
    }

    #[test]
    fn the_venues_own_count_wins_where_it_is_higher() {
        let mut limits = OrderLimits::new(&[
            limit(5, 1_000, Counts::Orders, 0),
            limit(160_000, 86_400_000, Counts::Orders, 0),
        ]);
        limits.note_used(ms(10), 0, 4);
        assert_eq!(limits.admit(ms(10), Sending::Order), Ok(()));
        assert_eq!(limits.admit(ms(10), Sending::Order), Err(ms(1_010)));
        limits.note_used(ms(11), 0, 1);
        assert!(
            limits.admit(ms(11), Sending::Order).is_err(),
            "a lower count frees nothing"
        );
        limits.note_used(ms(2_000), 1, 160_000);
        assert_eq!(limits.admit(ms(2_000), Sending::Order), Err(ms(86_400_000)));
    }

    #[test]
    fn a_refusal_closes_for_all() {
        let mut limits = OrderLimits::new(&[]);
        limits.note_closed(ms(50));
        limits.note_closed(ms(40));
        assert_eq!(limits.admit(ms(49), Sending::Cancel), Err(ms(50)));
        assert_eq!(limits.admit(ms(50), Sending::Order), Ok(()));
    }
}
