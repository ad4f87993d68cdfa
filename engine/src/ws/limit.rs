//! A rate limiter: a token bucket, what a message costs, and what the venue says about it. The client
//! asks it before each message; it can also be used alone, and shared by clients of one account.

use std::fmt;
use std::sync::{Arc, Mutex};

use tickwire_connectors::Nanos;

use super::json::Envelope;
use crate::registry::lock;

/// What a message costs, in tokens.
pub type Cost = fn(&str) -> u32;

/// What happens to a message that there are no tokens for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEmpty {
    /// It waits in its lane until there are.
    #[default]
    Wait,
    /// It is refused with [`Error::RateLimited`](super::Error::RateLimited).
    Deny,
}

/// Who goes first when messages wait: less risk before more, and both before questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Cancels.
    Cancel,
    /// Orders and their changes.
    Order,
    /// Everything else.
    Query,
}

impl Lane {
    /// The lanes, the first first.
    pub const ALL: [Lane; 3] = [Lane::Cancel, Lane::Order, Lane::Query];

    /// The lane of a method by its name, as venues write them: `private/cancel_all`, `order.place`,
    /// `private/buy`.
    pub fn of(method: &str) -> Lane {
        let method = method.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| method.contains(word));
        if says(&["get_", "status", "subscribe", "query"]) {
            Lane::Query
        } else if says(&["cancel"]) {
            Lane::Cancel
        } else if says(&["order", "buy", "sell", "edit", "amend", "close_position"]) {
            Lane::Order
        } else {
            Lane::Query
        }
    }
}

/// A bucket of tokens. It is full at first.
#[derive(Clone, Copy)]
pub struct LimitConfig {
    /// The most tokens that it holds: the largest burst. At least 1.
    pub tokens: u32,
    /// Tokens that come back in each `refill_interval`, at least 1. They come evenly.
    pub refill_rate: u32,
    /// In milliseconds, at least 1.
    pub refill_interval: u64,
    /// What a message costs.
    pub request_cost: Cost,
    /// What happens when there are too few.
    pub on_empty: OnEmpty,
}

impl LimitConfig {
    /// A bucket in which each message costs 1.
    pub fn new(tokens: u32, refill_rate: u32, refill_interval: u64) -> LimitConfig {
        LimitConfig {
            tokens,
            refill_rate,
            refill_interval,
            request_cost: simple_cost,
            on_empty: OnEmpty::Wait,
        }
    }

    /// Deribit's credits: 50,000 at most, 10,000 back a second, of a sub-account over all its
    /// connections (support article "rate limits", read 2026-11). Out of credits, Deribit ends the
    /// session: share one limiter among an account's clients.
    pub fn deribit() -> LimitConfig {
        LimitConfig {
            request_cost: deribit_cost,
            ..LimitConfig::new(50_000, 10_000, 1_000)
        }
    }

    /// Binance's WebSocket API: request weight of 6,000 a minute of an address (rate limits of the
    /// spot WebSocket API, 2026-07-21).
    pub fn binance() -> LimitConfig {
        LimitConfig {
            request_cost: binance_cost,
            ..LimitConfig::new(6_000, 6_000, 60_000)
        }
    }

    /// Denies instead of waiting.
    pub fn deny(mut self) -> LimitConfig {
        self.on_empty = OnEmpty::Deny;
        self
    }
}

impl fmt::Debug for LimitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitConfig")
            .field("tokens", &self.tokens)
            .field("refill_rate", &self.refill_rate)
            .field("refill_interval", &self.refill_interval)
            .field("on_empty", &self.on_empty)
            .finish_non_exhaustive()
    }
}

/// Every message costs 1.
pub fn simple_cost(_: &str) -> u32 {
    1
}

/// Deribit's credits: 500 an ordinary request. A subscribe costs 3,000 of a pool of its own of 30,000,
/// an order is one of about 5 a second with a burst of 20 at the matching engine (support article
/// "rate limits", read 2026-11). One bucket of 50,000 stands for the three pools, so that a subscribe
/// counts 5,000 and an order 2,500: never more than each allows.
pub fn deribit_cost(message: &str) -> u32 {
    let method = Envelope::read(message).and_then(|envelope| envelope.method());
    let Some(method) = method else { return 500 };
    let orders = [
        "/buy",
        "/sell",
        "/edit",
        "/cancel",
        "/close_position",
        "/mass_quote",
    ];
    if method.ends_with("subscribe") || method.ends_with("unsubscribe_all") {
        5_000
    } else if orders.iter().any(|order| method.contains(order)) {
        2_500
    } else {
        500
    }
}

/// Request weights of Binance's spot WebSocket API (its request pages, 2026-07-21); a method that is not
/// listed here costs 1, and the count that Binance sends with each answer corrects the rest.
pub fn binance_cost(message: &str) -> u32 {
    let Some(envelope) = Envelope::read(message) else {
        return 1;
    };
    let params = envelope.object("params");
    let limit = params.as_ref().and_then(|params| params.number("limit"));
    let has_symbol = params.as_ref().is_some_and(|params| params.has("symbol"));
    match envelope.method().as_deref() {
        Some("depth") => match limit.unwrap_or(100) {
            ..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        Some("klines" | "uiKlines" | "avgPrice") => 2,
        Some("trades.recent" | "trades.historical") => 25,
        Some("exchangeInfo" | "account.status" | "myTrades" | "allOrders") => 20,
        Some("openOrders.status") if has_symbol => 6,
        Some("openOrders.status" | "ticker.24hr") if !has_symbol => 80,
        Some("ticker.24hr" | "order.status") => 4,
        _ => 1,
    }
}

/// What a venue says about our rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// Come back after this time, and not before.
    RetryAfter(Nanos),
    /// So many tokens are left.
    Remaining(u32),
    /// So many are used up.
    Used(u32),
    /// We went over the limit: nothing is left.
    Exceeded,
}

impl Feedback {
    /// What an HTTP answer's headers say: `Retry-After` (in seconds), `X-MBX-USED-WEIGHT-1M`,
    /// `X-Bapi-Limit-Status`, `X-RateLimit-Remaining`.
    pub fn of_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> impl Iterator<Item = Feedback> {
        headers.into_iter().filter_map(|(name, value)| {
            let number = || value.trim().parse::<u32>().ok();
            match name.to_ascii_lowercase().as_str() {
                "retry-after" => {
                    let seconds = i64::from(number()?);
                    Some(Feedback::RetryAfter(Nanos::from_secs(seconds)))
                }
                "x-mbx-used-weight-1m" => number().map(Feedback::Used),
                "x-bapi-limit-status" | "x-ratelimit-remaining" => {
                    number().map(Feedback::Remaining)
                }
                _ => None,
            }
        })
    }
}

/// How a limiter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitStatus {
    /// Whole tokens that are there.
    pub tokens: u32,
    /// The most that can be.
    pub capacity: u32,
    /// Nothing goes before this time, by the venue's word.
    pub held_until: Nanos,
    /// Messages let through so far.
    pub taken: u64,
    /// Messages that were told to wait or were denied.
    pub refused: u64,
}

/// A token bucket. Clones are one bucket: give clones to all clients of an account, on one loop (the
/// bucket's time is the loop's).
#[derive(Clone)]
pub struct Limiter {
    config: LimitConfig,
    bucket: Arc<Mutex<Bucket>>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter").field(&self.config).finish()
    }
}

/// The level is kept in the time that it takes to refill it, which is exact.
struct Bucket {
    /// Nanoseconds a token.
    token_ns: i64,
    full_ns: i64,
    /// May be below zero: what is larger than the bucket is let through when the bucket is full.
    level_ns: i64,
    at: Nanos,
    held_until: Nanos,
    taken: u64,
    refused: u64,
}

impl Limiter {
    /// A full bucket. Zeroes in `config` count as 1.
    pub fn new(config: LimitConfig) -> Limiter {
        let interval_ns = i64::try_from(config.refill_interval.max(1))
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        // Rounded up: rather a little slower than the venue allows than a little faster.
        let rate = i64::from(config.refill_rate.max(1));
        let token_ns = (interval_ns / rate + i64::from(interval_ns % rate != 0)).max(1);
        let full_ns = token_ns.saturating_mul(i64::from(config.tokens.max(1)));
        Limiter {
            config,
            bucket: Arc::new(Mutex::new(Bucket {
                token_ns,
                full_ns,
                level_ns: full_ns,
                at: Nanos::ZERO,
                held_until: Nanos::ZERO,
                taken: 0,
                refused: 0,
            })),
        }
    }

    /// What happens when there are too few tokens.
    pub fn on_empty(&self) -> OnEmpty {
        self.config.on_empty
    }

    /// What a message costs.
    pub fn cost(&self, message: &str) -> u32 {
        (self.config.request_cost)(message)
    }

    /// Takes the right to send something that costs `cost` now, or tells how long until there is room.
    ///
    /// # Errors
    /// With the time to wait; nothing was taken.
    pub fn take(&self, now: Nanos, cost: u32) -> Result<(), Nanos> {
        let mut bucket = lock(&self.bucket);
        bucket.refill(now);
        let wait = bucket.wait(now, cost);
        if wait.0 > 0 {
            bucket.refused += 1;
            return Err(wait);
        }
        bucket.spend(cost);
        Ok(())
    }

    /// How long until [`take`](Limiter::take) says yes; zero for now.
    pub fn wait(&self, now: Nanos, cost: u32) -> Nanos {
        let mut bucket = lock(&self.bucket);
        bucket.refill(now);
        bucket.wait(now, cost)
    }

    /// Counts something that goes out whether there are tokens or not: a heartbeat's answer, without
    /// which the venue ends the connection. The next pay for it.
    pub fn spend(&self, now: Nanos, cost: u32) {
        let mut bucket = lock(&self.bucket);
        bucket.refill(now);
        bucket.spend(cost);
    }

    /// Takes the venue's word.
    pub fn observe(&self, now: Nanos, feedback: Feedback) {
        let mut bucket = lock(&self.bucket);
        bucket.refill(now);
        let left = |bucket: &Bucket, tokens: u32| bucket.token_ns.saturating_mul(tokens.into());
        let level = match feedback {
            Feedback::RetryAfter(wait) => {
                bucket.held_until = bucket.held_until.max(now + wait);
                return;
            }
            Feedback::Remaining(tokens) => left(&bucket, tokens),
            Feedback::Used(tokens) => bucket.full_ns - left(&bucket, tokens),
            Feedback::Exceeded => 0,
        };
        // The venue may know of others who spend; it never gives us more than we count.
        bucket.level_ns = bucket.level_ns.min(level);
    }

    /// How it stands now.
    pub fn status(&self, now: Nanos) -> LimitStatus {
        let mut bucket = lock(&self.bucket);
        bucket.refill(now);
        LimitStatus {
            tokens: u32::try_from(bucket.level_ns / bucket.token_ns).unwrap_or(0),
            capacity: self.config.tokens.max(1),
            held_until: bucket.held_until,
            taken: bucket.taken,
            refused: bucket.refused,
        }
    }
}

impl Bucket {
    fn refill(&mut self, now: Nanos) {
        // Two threads read the clock before the one that is first takes the lock.
        let passed = (now - self.at).0.max(0);
        self.at = self.at.max(now);
        self.level_ns = self.level_ns.saturating_add(passed).min(self.full_ns);
    }

    fn wait(&self, now: Nanos, cost: u32) -> Nanos {
        let needed = self.token_ns.saturating_mul(cost.into()).min(self.full_ns);
        let held = (self.held_until - now).0;
        Nanos((needed - self.level_ns).max(held).max(0))
    }

    fn spend(&mut self, cost: u32) {
        self.taken += 1;
        let spent = self.token_ns.saturating_mul(cost.into());
        self.level_ns = self.level_ns.saturating_sub(spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> Nanos {
        Nanos(1_000_000_000_000_000_000 + ms * MS)
    }

    #[test]
    fn no_time_lets_more_through_than_a_burst_and_the_refill() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (tokens, rate) = (rng.u32(1..50), rng.u32(1..20));
            let limiter = Limiter::new(LimitConfig::new(tokens, rate, 100));
            let (mut spent, mut now) = (Vec::new(), 0);
            for _ in 0..2_000 {
                now += rng.i64(0..30);
                let cost = rng.u32(1..=tokens);
                let wait = limiter.wait(at(now), cost);
                match limiter.take(at(now), cost) {
                    Ok(()) => {
                        assert_eq!(wait, Nanos::ZERO);
                        spent.push((now, cost));
                    }
                    Err(told) => assert!(told == wait && told.0 > 0),
                }
            }
            for (index, (from, _)) in spent.iter().enumerate().step_by(97) {
                let mut sum = 0;
                for (to, cost) in &spent[index..] {
                    sum += u64::from(*cost);
                    let refilled = u64::from(rate) * (to - from) as u64 / 100 + 1;
                    assert!(
                        sum <= u64::from(tokens) + refilled,
                        "{sum} from {from} to {to}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_wait_that_it_tells_is_enough_and_not_too_long() {
        let limiter = Limiter::new(LimitConfig::new(10, 10, 1_000));
        assert_eq!(limiter.take(at(0), 10), Ok(()));
        assert_eq!(limiter.take(at(0), 3), Err(Nanos(300 * MS)));
        assert_eq!(limiter.take(at(299), 3), Err(Nanos(MS)));
        assert_eq!(limiter.take(at(300), 3), Ok(()));
    }

    #[test]
    fn what_is_larger_than_the_bucket_goes_when_it_is_full() {
        let limiter = Limiter::new(LimitConfig::new(10, 10, 1_000));
        assert_eq!(limiter.take(at(0), 30), Ok(()));
        // 20 tokens of debt, then 1.
        assert_eq!(limiter.take(at(0), 1), Err(Nanos(2_100 * MS)));
    }

    #[test]
    fn the_venues_word_holds() {
        let table = [
            (vec![Feedback::Exceeded], 100),
            (vec![Feedback::Remaining(0)], 100),
            (vec![Feedback::Remaining(1)], 0),
            (vec![Feedback::Used(10)], 100),
            (vec![Feedback::Used(9)], 0),
            (vec![Feedback::RetryAfter(Nanos(700 * MS))], 700),
            (
                vec![Feedback::RetryAfter(Nanos(700 * MS)), Feedback::Exceeded],
                700,
            ),
            // It never gives us more than we count.
            (vec![Feedback::Exceeded, Feedback::Remaining(10)], 100),
        ];
        for (said, wait_ms) in table {
            let limiter = Limiter::new(LimitConfig::new(10, 10, 1_000));
            for one in &said {
                limiter.observe(at(0), *one);
            }
            assert_eq!(limiter.wait(at(0), 1), Nanos(wait_ms * MS), "{said:?}");
        }
    }

    #[test]
    fn headers_are_read_in_any_case() {
        let headers = [
            ("RETRY-AFTER", "7"),
            ("x-mbx-used-weight-1m", "5990"),
            ("X-Bapi-Limit-Status", "3"),
            ("X-RateLimit-Remaining", "x"),
            ("Date", "1"),
        ];
        let said: Vec<Feedback> = Feedback::of_headers(headers).collect();
        let expected = [
            Feedback::RetryAfter(Nanos::from_secs(7)),
            Feedback::Used(5_990),
            Feedback::Remaining(3),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn costs_and_lanes_are_those_of_the_methods() {
        #[rustfmt::skip]
        let table = [
            (r#"{"method":"public/get_order_book"}"#, 500, 1, Lane::Query),
            (r#"{"method":"private/buy"}"#, 2_500, 1, Lane::Order),
            (r#"{"method":"private/cancel_all"}"#, 2_500, 1, Lane::Cancel),
            (r#"{"method":"private/subscribe"}"#, 5_000, 1, Lane::Query),
            (r#"{"method":"depth","params":{"limit":5000}}"#, 500, 250, Lane::Query),
            (r#"{"method":"depth"}"#, 500, 5, Lane::Query),
            (r#"{"method":"klines"}"#, 500, 2, Lane::Query),
            (r#"{"method":"openOrders.status"}"#, 500, 80, Lane::Query),
            (r#"{"method":"openOrders.status","params":{"symbol":"X"}}"#, 500, 6, Lane::Query),
            (r#"{"method":"order.place"}"#, 500, 1, Lane::Order),
            (r#"{"method":"order.cancel"}"#, 500, 1, Lane::Cancel),
            (r#"{"op":"order.amend"}"#, 500, 1, Lane::Order),
            ("PING", 500, 1, Lane::Query),
        ];
        for (message, deribit, binance, lane) in table {
            assert_eq!(deribit_cost(message), deribit, "{message}");
            assert_eq!(binance_cost(message), binance, "{message}");
            assert_eq!(simple_cost(message), 1);
            let method = Envelope::read(message).and_then(|envelope| envelope.method());
            assert_eq!(
                Lane::of(method.as_deref().unwrap_or_default()),
                lane,
                "{message}"
            );
        }
    }
}
