//! What the gateway counts and measures of itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;
use tickwire::{Clock, Nanos};

use super::Close;
use crate::protocol::{Code, Percentiles};

/// Counters since the start, and how long things took.
#[derive(Debug)]
pub(crate) struct Telemetry {
    clock: Clock,
    pub(super) opened: u64,
    pub(super) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) bytes_out: u64,
    pub(super) bad_frames: u64,
    pub(super) rate_limited: u64,
    pub(crate) refused_upgrades: u64,
    pub(crate) refused_connections: u64,
    pub(crate) handshakes_timed_out: u64,
    closes: BTreeMap<u16, u64>,
    errors: BTreeMap<&'static str, u64>,
    turns: Histogram<u64>,
    requests: Histogram<u64>,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        // 1 ns to a minute in two digits: what is longer counts as a minute.
        let histogram = || {
            Histogram::new_with_bounds(1, 60_000_000_000, 2)
                .unwrap_or_else(|_| unreachable!("the bounds are constants that the library takes"))
        };
        Telemetry {
            clock: Clock::start(),
            opened: 0,
            frames_in: 0,
            frames_out: 0,
            bytes_out: 0,
            bad_frames: 0,
            rate_limited: 0,
            refused_upgrades: 0,
            refused_connections: 0,
            handshakes_timed_out: 0,
            closes: BTreeMap::new(),
            errors: BTreeMap::new(),
            turns: histogram(),
            requests: histogram(),
        }
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p99_ns: histogram.value_at_quantile(0.99),
        p999_ns: histogram.value_at_quantile(0.999),
        max_ns: histogram.max(),
    }
}

impl Telemetry {
    pub(super) fn closed(&mut self, why: Close) {
        *self.closes.entry(why.code()).or_default() += 1;
    }

    pub(super) fn error(&mut self, code: Code) {
        let word = serde_json::to_value(code).ok();
        let known = Code::ALL.iter().position(|other| *other == code);
        if let (Some(_), Some(word)) = (known, word.as_ref().and_then(|word| word.as_str())) {
            *self.errors.entry(code_name(word)).or_default() += 1;
        }
    }

    /// The time before a request is looked at; for measuring alone.
    pub(super) fn start(&self) -> Nanos {
        self.clock.now()
    }

    pub(super) fn answered(&mut self, started: Nanos) {
        let took = self.clock.now().since(started);
        self.requests
            .saturating_record(took.0.max(1).unsigned_abs());
    }

    /// A turn of the gateway's thread took so long.
    pub(crate) fn turned(&mut self, took: Nanos) {
        self.turns.saturating_record(took.0.max(1).unsigned_abs());
    }

    pub(super) fn turn(&self) -> Percentiles {
        percentiles(&self.turns)
    }

    pub(super) fn request(&self) -> Percentiles {
        percentiles(&self.requests)
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters: BTreeMap<String, u64> = [
            ("connectionsOpened", self.opened),
            ("framesIn", self.frames_in),
            ("framesOut", self.frames_out),
            ("bytesOut", self.bytes_out),
            ("badFrames", self.bad_frames),
            ("rateLimited", self.rate_limited),
            ("upgradesRefused", self.refused_upgrades),
            ("connectionsRefused", self.refused_connections),
            ("handshakesTimedOut", self.handshakes_timed_out),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        for why in Close::ALL {
            let count = self.closes.get(&why.code()).copied().unwrap_or_default();
            counters.insert(format!("closed{}", why.code()), count);
        }
        counters
    }

    /// Prometheus text: the counters, the errors by code, and percentiles.
    pub(super) fn prometheus(&self, gauges: &[(&str, u64)]) -> String {
        let mut text = String::new();
        for (name, count) in self.counters() {
            let name = snake(&name);
            let _ = writeln!(text, "# TYPE tickwire_gateway_{name}_total counter");
            let _ = writeln!(text, "tickwire_gateway_{name}_total {count}");
        }
        let _ = writeln!(text, "# TYPE tickwire_gateway_errors_total counter");
        for (code, count) in &self.errors {
            let _ = writeln!(
                text,
                "tickwire_gateway_errors_total{{code=\"{code}\"}} {count}"
            );
        }
        for (name, value) in gauges {
            let _ = writeln!(text, "# TYPE tickwire_gateway_{name} gauge");
            let _ = writeln!(text, "tickwire_gateway_{name} {value}");
        }
        for (name, histogram) in [("turn", &self.turns), ("request", &self.requests)] {
            let name = format!("tickwire_gateway_{name}_ns");
            let _ = writeln!(text, "# TYPE {name} summary");
            for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
                let value = histogram.value_at_quantile(quantile);
                let _ = writeln!(text, "{name}{{quantile=\"{quantile}\"}} {value}");
            }
            let _ = writeln!(text, "{name}_count {}", histogram.len());
        }
        text
    }
}

/// The code's word, for as long as the program runs.
fn code_name(word: &str) -> &'static str {
    const NAMES: [&str; 22] = [
        "VALIDATION_ERROR",
        "PARSE_ERROR",
        "METHOD_NOT_FOUND",
        "AUTH_REQUIRED",
        "AUTH_INVALID",
        "TOKEN_EXPIRED",
        "FORBIDDEN",
        "NOT_FOUND",
        "CONFLICT",
        "DUPLICATE_ID",
        "LIMIT_EXCEEDED",
        "RATE_LIMITED",
        "BUSY",
        "TIMEOUT",
        "UNRECOVERABLE_POSITION",
        "NOT_PENDING",
        "APPROVAL_EXPIRED",
        "RISK_REJECTED",
        "VENUE_DOWN",
        "TRADING_HALTED",
        "CANCELLED",
        "INTERNAL_ERROR",
    ];
    NAMES
        .into_iter()
        .find(|name| *name == word)
        .unwrap_or("INTERNAL_ERROR")
}

fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
