//! What a client measures.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::error::Error;
use super::heartbeat::HeartbeatConfig;
use super::subscriptions::Subscribed;
use crate::telemetry::Counter;

/// Hears of what happens, on the client's loop: it must not block. Every method does nothing unless it
/// is written.
#[expect(unused_variables, reason = "the names are for who writes them")]
pub trait Metrics: Send + Sync {
    /// A connection stands; connecting took so long.
    fn connected(&self, took: Duration) {}
    /// A connection was lost, or could not be made.
    fn lost(&self, error: &Error) {}
    /// A message came.
    fn received(&self, bytes: usize) {}
    /// A message was sent.
    fn sent(&self, bytes: usize) {}
    /// A heartbeat was answered.
    fn heartbeat(&self, round_trip: Duration) {}
    /// A request was answered.
    fn answered(&self, took: Duration) {}
    /// So many requests had no answer in time.
    fn timed_out(&self, requests: usize) {}
    /// The limiter holds a message back for so long.
    fn limited(&self, wait: Duration) {}
    /// Channels were subscribed again after a loss; it took so long.
    fn restored(&self, result: &Subscribed, took: Duration) {}
}

/// How a client's heartbeat is.
#[derive(Clone, Debug)]
pub struct HeartbeatHealth {
    /// When the last answer came, in nanoseconds since 1970; `None` before the first.
    pub last_heartbeat_at: Option<i64>,
    /// Heartbeats in a row without an answer.
    pub failures: u32,
    /// Whether it beats: there is a connection, and a heartbeat is configured.
    pub active: bool,
    /// What is configured.
    pub config: Option<HeartbeatConfig>,
    /// The last round trip.
    pub rtt: Option<Duration>,
}

/// Counts of a client since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateMetrics {
    /// Connections that stood.
    pub connects: u64,
    /// Connections lost and tries that failed.
    pub losses: u64,
    /// Messages received, of any kind.
    pub messages_in: u64,
    /// Messages sent, heartbeats and requests for channels too.
    pub messages_out: u64,
    /// Bytes of the messages received.
    pub bytes_in: u64,
    /// Bytes of the messages sent.
    pub bytes_out: u64,
    /// Requests that wait for their answers now.
    pub pending_requests: u64,
    /// Channels that are subscribed or asked for now.
    pub subscriptions: u64,
    /// Messages that wait for the limiter now.
    pub queued: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Answers that nobody waited for.
    pub unmatched: u64,
    /// Messages dropped because nobody received them in time.
    pub dropped: u64,
    /// Messages that were waiting to be sent when the connection was lost.
    pub unsent: u64,
    /// Lines that the recorder could not write in time.
    pub unrecorded: u64,
}

/// How long answers took, over the last hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyStats {
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The last one.
    pub last: Duration,
    /// All answers since the client was made.
    pub count: u64,
}

/// Samples kept for [`LatencyStats`].
const SAMPLES: usize = 100;

/// Written by the loop, read by anyone.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) connects: Counter,
    pub(crate) losses: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) pending: Counter,
    pub(crate) subscriptions: Counter,
    pub(crate) queued: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) unmatched: Counter,
    pub(crate) dropped: Counter,
    pub(crate) unsent: Counter,
    pub(crate) unrecorded: Counter,
    pub(crate) heartbeat_failures: Counter,
    pub(crate) heartbeat_active: Counter,
    heartbeat_at: AtomicI64,
    heartbeat_rtt: AtomicI64,
    latencies: [AtomicU64; SAMPLES],
    answers: Counter,
}

/// No time yet.
const NEVER: i64 = i64::MIN;

impl Stats {
    pub(crate) fn new() -> Stats {
        const fn zero() -> Counter {
            Counter::new()
        }
        Stats {
            connects: zero(),
            losses: zero(),
            messages_in: zero(),
            messages_out: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            pending: zero(),
            subscriptions: zero(),
            queued: zero(),
            timeouts: zero(),
            unmatched: zero(),
            dropped: zero(),
            unsent: zero(),
            unrecorded: zero(),
            heartbeat_failures: zero(),
            heartbeat_active: zero(),
            heartbeat_at: AtomicI64::new(NEVER),
            heartbeat_rtt: AtomicI64::new(NEVER),
            latencies: [const { AtomicU64::new(0) }; SAMPLES],
            answers: zero(),
        }
    }

    pub(crate) fn set_heartbeat(&self, health: super::heartbeat::Health) {
        self.heartbeat_failures.set(health.failures.into());
        self.heartbeat_active.set(health.is_active.into());
        let raw = |time: Option<tickwire_connectors::Nanos>| time.map_or(NEVER, |time| time.0);
        self.heartbeat_at
            .store(raw(health.last_at), Ordering::Relaxed);
        self.heartbeat_rtt.store(raw(health.rtt), Ordering::Relaxed);
    }

    pub(crate) fn heartbeat(&self, config: Option<&HeartbeatConfig>) -> HeartbeatHealth {
        let read = |cell: &AtomicI64| match cell.load(Ordering::Relaxed) {
            NEVER => None,
            time => Some(time),
        };
        HeartbeatHealth {
            last_heartbeat_at: read(&self.heartbeat_at),
            failures: u32::try_from(self.heartbeat_failures.value()).unwrap_or(u32::MAX),
            active: self.heartbeat_active.value() == 1,
            config: config.cloned(),
            rtt: read(&self.heartbeat_rtt).map(|rtt| Duration::from_nanos(rtt.max(0) as u64)),
        }
    }

    pub(crate) fn answered(&self, took_ns: i64) {
        let index = self.answers.value() as usize % SAMPLES;
        self.latencies[index].store(took_ns.max(0) as u64, Ordering::Relaxed);
        self.answers.bump();
    }

    pub(crate) fn latency(&self) -> LatencyStats {
        let count = self.answers.value();
        let held = usize::try_from(count).unwrap_or(SAMPLES).min(SAMPLES);
        if held == 0 {
            return LatencyStats::default();
        }
        let read = |index: usize| self.latencies[index].load(Ordering::Relaxed);
        let mut samples: Vec<u64> = (0..held).map(read).collect();
        samples.sort_unstable();
        let at = |percent: usize| Duration::from_nanos(samples[percent * (held - 1) / 100]);
        LatencyStats {
            p50: at(50),
            p99: at(99),
            last: Duration::from_nanos(read((count as usize - 1) % SAMPLES)),
            count,
        }
    }

    pub(crate) fn snapshot(&self) -> StateMetrics {
        StateMetrics {
            connects: self.connects.value(),
            losses: self.losses.value(),
            messages_in: self.messages_in.value(),
            messages_out: self.messages_out.value(),
            bytes_in: self.bytes_in.value(),
            bytes_out: self.bytes_out.value(),
            pending_requests: self.pending.value(),
            subscriptions: self.subscriptions.value(),
            queued: self.queued.value(),
            timeouts: self.timeouts.value(),
            unmatched: self.unmatched.value(),
            dropped: self.dropped.value(),
            unsent: self.unsent.value(),
            unrecorded: self.unrecorded.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_hundred() {
        let stats = Stats::new();
        assert_eq!(stats.latency(), LatencyStats::default());
        stats.answered(5_000);
        let one = stats.latency();
        assert_eq!(
            (one.p50.as_nanos(), one.p99.as_nanos(), one.count),
            (5_000, 5_000, 1)
        );
        for took in 0..200 {
            stats.answered(took);
        }
        let many = stats.latency();
        assert_eq!((many.p50.as_nanos(), many.p99.as_nanos()), (149, 198));
        assert_eq!((many.last.as_nanos(), many.count), (199, 201));
    }
}
