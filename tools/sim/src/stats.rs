//! Counters that any thread may read while the simulator runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::outbox::MsgKind;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The live counters of one venue-market.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
            pub(crate) sent: [AtomicU64; MsgKind::ALL.len()],
        }

        /// A reading of one venue-market's counters.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            sent: [u64; MsgKind::ALL.len()],
        }

        impl Counters {
            pub(crate) fn read(&self) -> Stats {
                Stats {
                    $($name: self.$name.load(Relaxed),)*
                    sent: std::array::from_fn(|i| self.sent[i].load(Relaxed)),
                }
            }
        }

        impl Stats {
            /// The sum of two readings.
            #[must_use]
            pub fn plus(&self, other: &Self) -> Self {
                Self {
                    $($name: self.$name + other.$name,)*
                    sent: std::array::from_fn(|i| self.sent[i] + other.sent[i]),
                }
            }
        }
    };
}

counters! {
    /// TCP connections accepted.
    accepted,
    /// TLS or HTTP handshakes that failed.
    handshakes_failed,
    /// WebSocket upgrades granted.
    upgrades,
    /// WebSocket upgrades refused.
    upgrades_refused,
    /// WebSocket connections that ended, for whatever reason.
    closed,
    /// Connections that the venue cut (time-out, limit, control).
    cut,
    /// Connections cut because their reader was too slow.
    cut_slow,
    /// Subscribe requests acknowledged.
    subscribes,
    /// Unsubscribe requests acknowledged.
    unsubscribes,
    /// Requests refused with an error.
    rejects,
    /// WebSocket ping frames sent.
    pings_sent,
    /// Ping frames or ping operations received.
    pings_received,
    /// Pong frames received.
    pongs_received,
    /// REST requests answered, whatever the status.
    rest_requests,
    /// REST answers 429 (Binance) or 403 (Bybit) for going over the limit.
    rest_limited,
    /// REST answers 418.
    rest_banned,
    /// Market events generated or recorded frames played.
    market_events,
    /// Payload bytes queued to WebSocket connections.
    bytes_queued,
    /// Frames held back on purpose by a control.
    withheld,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}

impl Stats {
    /// Text frames of this kind handed to connections.
    #[must_use]
    pub fn sent(&self, kind: MsgKind) -> u64 {
        self.sent[kind as usize]
    }

    /// Text frames of all kinds.
    #[must_use]
    pub fn sent_total(&self) -> u64 {
        self.sent.iter().sum()
    }
}
