//! How many orders an account has placed in each window: new orders count, filled ones do not
//! (rest-api.md "Unfilled order count", 2026-07).

use std::collections::BTreeMap;

use crate::json::{Obj, list};
use crate::spec::{Limits, SECOND_NS};

/// Counts by account and window, each with the window's number.
#[derive(Debug, Default)]
pub(in super::super) struct OrderCounts(BTreeMap<(usize, usize), (i64, u32)>);

/// An order limit that is reached.
pub(in super::super) struct TooMany {
    pub(in super::super) limit: u32,
    pub(in super::super) window_ns: i64,
    pub(in super::super) retry_after_s: i64,
}

impl OrderCounts {
    fn slot(&mut self, account: usize, index: usize, window_ns: i64, now: i64) -> &mut u32 {
        let window = now.div_euclid(window_ns.max(1));
        let slot = self.0.entry((account, index)).or_insert((window, 0));
        if slot.0 != window {
            *slot = (window, 0);
        }
        &mut slot.1
    }

    /// Counts so many orders to come, or says which limit they would pass.
    pub(in super::super) fn admit(
        &mut self,
        account: usize,
        limits: &Limits,
        now: i64,
    ) -> Result<(), TooMany> {
        for (index, (window_ns, limit)) in limits.order_limits.iter().enumerate() {
            if *self.slot(account, index, *window_ns, now) >= *limit {
                let left_ns = window_ns - now.rem_euclid(*window_ns);
                return Err(TooMany {
                    limit: *limit,
                    window_ns: *window_ns,
                    retry_after_s: (left_ns + SECOND_NS - 1) / SECOND_NS,
                });
            }
        }
        for (index, (window_ns, _)) in limits.order_limits.iter().enumerate() {
            *self.slot(account, index, *window_ns, now) += 1;
        }
        Ok(())
    }

    /// An order was filled: it counts no more.
    pub(in super::super) fn filled(&mut self, account: usize, limits: &Limits, now: i64) {
        for (index, (window_ns, _)) in limits.order_limits.iter().enumerate() {
            let slot = self.slot(account, index, *window_ns, now);
            *slot = slot.saturating_sub(1);
        }
    }

    /// Headers of an answer to an order: `X-MBX-ORDER-COUNT-10S` and so on.
    pub(in super::super) fn headers(
        &mut self,
        account: usize,
        limits: &Limits,
        now: i64,
    ) -> Vec<(&'static str, String)> {
        let windows = limits.order_limits.iter().enumerate();
        let headers = windows.filter_map(|(index, (window_ns, _))| {
            let name = match window_ns / SECOND_NS {
                10 => "X-MBX-ORDER-COUNT-10S",
                60 => "X-MBX-ORDER-COUNT-1M",
                86_400 => "X-MBX-ORDER-COUNT-1D",
                _ => return None,
            };
            Some((name, self.slot(account, index, *window_ns, now).to_string()))
        });
        headers.collect()
    }

    /// Elements of `rateLimits`.
    pub(in super::super) fn limits(
        &mut self,
        account: usize,
        limits: &Limits,
        now: i64,
    ) -> Vec<Vec<u8>> {
        let windows = limits.order_limits.iter().enumerate();
        let all = windows.map(|(index, (window_ns, limit))| {
            let count = *self.slot(account, index, *window_ns, now);
            one_limit("ORDERS", *window_ns, *limit, count)
        });
        all.collect()
    }

    /// The answer to `rateLimit/order`.
    pub(in super::super) fn answer(
        &mut self,
        account: usize,
        limits: &Limits,
        now: i64,
    ) -> Vec<u8> {
        list(self.limits(account, limits, now))
    }
}

/// The length of a window in the venue's words: (name of the unit, how many).
pub(in super::super) const fn interval(window_ns: i64) -> (&'static str, i64) {
    match window_ns / SECOND_NS {
        seconds if seconds % 86_400 == 0 => ("DAY", seconds / 86_400),
        seconds if seconds % 60 == 0 => ("MINUTE", seconds / 60),
        seconds => ("SECOND", seconds),
    }
}

pub(in super::super) fn one_limit(kind: &str, window_ns: i64, limit: u32, count: u32) -> Vec<u8> {
    let (unit, number) = interval(window_ns);
    Obj::new()
        .str("rateLimitType", kind)
        .str("interval", unit)
        .int("intervalNum", number)
        .int("limit", i64::from(limit))
        .int("count", i64::from(count))
        .end()
}
