//! Counters with one writer.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::ring::RingStats;

/// A number that one thread counts up and any thread reads.
///
/// An addition is a load and a store, both Relaxed: a plain `add` in the machine's words, without
/// the lock prefix of `fetch_add`. That is exact only while **one thread alone writes it**; with a
/// second writer additions get lost (nothing worse). It wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// At zero.
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// Counts `count` more. For the one writing thread.
    #[inline]
    pub fn add(&self, count: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(count);
        self.0.store(value, Ordering::Relaxed);
    }

    /// Counts one more. For the one writing thread.
    #[inline]
    pub fn bump(&self) {
        self.add(1);
    }

    /// Takes over a number that is counted elsewhere. For the one writing thread.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Keeps the larger of its value and `value`. For the one writing thread.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.0.load(Ordering::Relaxed) {
            self.set(value);
        }
    }

    /// The number now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes a block of counters and the plain struct that a reader takes of it.
macro_rules! counters {
    (
        $(#[$doc:meta])*
        $block:ident, $snapshot:ident {
            $( $(#[$field_doc:meta])* $field:ident, )+
        }
    ) => {
        $(#[$doc])*
        ///
        /// Aligned to a pair of cache lines of its own, so that blocks of two writers never share one.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $block {
            $( $(#[$field_doc])* pub $field: Counter, )+
        }

        #[doc = concat!("What [`", stringify!($block), "`] said at one moment.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $snapshot {
            $( $(#[$field_doc])* pub $field: u64, )+
        }

        impl $block {
            /// The numbers now, each as of its own load.
            pub fn snapshot(&self) -> $snapshot {
                $snapshot { $( $field: self.$field.value(), )+ }
            }
        }

        impl $snapshot {
            /// The names, in the order of the fields.
            pub const LABELS: &'static [&'static str] = &[$( stringify!($field), )+];

            /// Names and numbers, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$( (stringify!($field), self.$field), )+].into_iter()
            }

            /// What was counted since `earlier`. A highest value has no meaning in it.
            #[must_use]
            pub const fn since(&self, earlier: &$snapshot) -> $snapshot {
                $snapshot { $( $field: self.$field.wrapping_sub(earlier.$field), )+ }
            }
        }
    };
}

counters! {
    /// Counters of a loop.
    LoopCounters, LoopSnapshot {
        /// Turns of the loop.
        turns,
        /// Turns that found nothing to do.
        turns_idle,
        /// Messages given to connectors.
        messages,
        /// Whole WebSocket messages and control frames.
        frames,
        /// Bytes read from sockets.
        bytes_in,
        /// Bytes written to sockets.
        bytes_out,
        /// Events from connectors.
        events,
        /// Events that found their strategy's ring full.
        ring_full,
        /// Texts of connectors that found their link down or its queue full.
        texts_dropped,
        /// Commands taken from strategies.
        commands,
        /// Timers fired.
        timers,
        /// HTTP responses given to connectors.
        responses,
        /// Connection attempts, of links and HTTP alike.
        attempts,
        /// Connection attempts that had to wait for their host's budget, or because the host had
        /// asked to be left alone.
        attempts_held,
        /// Times that a link reached its byte or time budget of a turn.
        budget_reached,
        /// System calls: polls.
        syscalls_poll,
        /// System calls: reads.
        syscalls_recv,
        /// System calls: reads that found nothing.
        syscalls_recv_empty,
        /// System calls: writes.
        syscalls_send,
        /// Acknowledgements sent behind the messages: two system calls each (`Acks::WhenIdle`).
        acks,
    }
}

counters! {
    /// Counters of a link over all its connections.
    LinkCounters, LinkSnapshot {
        /// Connections begun.
        attempts,
        /// Connections that got as far as WebSocket.
        connects,
        /// TLS handshakes made in full.
        tls_full,
        /// TLS handshakes that resumed a session: half the work.
        tls_resumed,
        /// Connections and attempts that ended.
        disconnects,
        /// Messages received.
        messages,
        /// Whole WebSocket messages and control frames received.
        frames,
        /// Bytes read.
        bytes_in,
        /// Bytes written.
        bytes_out,
        /// Times that it reached its byte budget of a turn.
        budget_reached,
    }
}

counters! {
    /// Counters of a ring to a strategy.
    RingCounters, RingSnapshot {
        /// Hot events put into the ring.
        hot,
        /// Wide events put into the ring.
        wide,
        /// Hot events that went to the overflow table.
        diverted,
        /// Tops of book lost.
        lost_bbo,
        /// Trades lost.
        lost_trades,
        /// Level deltas lost.
        lost_levels,
        /// Wide events lost.
        lost_wide,
        /// State changes merged away.
        states_merged,
    }
}

impl RingCounters {
    /// Shows what a producer has counted. For the one writing thread.
    pub fn publish(&self, stats: &RingStats) {
        self.hot.set(stats.hot);
        self.wide.set(stats.wide);
        self.diverted.set(stats.diverted);
        self.lost_bbo.set(stats.lost.bbo);
        self.lost_trades.set(stats.lost.trades);
        self.lost_levels.set(stats.lost.levels);
        self.lost_wide.set(stats.lost.wide);
        self.states_merged.set(stats.states_merged);
    }
}
