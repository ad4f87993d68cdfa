//! Everything that a venue or the way to it is made to do wrong: one row of [`Fault`] each, with
//! what a client may see and what it should do about it.
//!
//! Faults on messages and sessions act in the world (`state.rs`, `crate::inject`); faults on bytes
//! leave it as a [`ShellFault`] and act in whatever carries the bytes ([`LinkFilter`]).

mod link;
mod log;
mod plan;
mod script;
mod state;
mod text;
mod units;

pub use link::{DoorFault, LinkFault, LinkFilter, ShellFault};
pub use log::{FaultLog, FaultRecord};
pub use plan::{FaultPlan, FaultRates};
pub use script::{FaultScript, Planned};
pub(crate) use state::{Ack, Act, Faults, Frame, Refusal};

use crate::outbox::ConnId;

/// Which frames a fault on messages hits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One-shot faults: the next depth delta, whosever it is. Stalls: every stream.
    Any,
    /// One-shot faults: the next depth delta of this symbol. Stalls: all streams of it.
    Symbol(String),
    /// The stream of this name on the wire ("btcusdt@trade", "orderbook.50.BTCUSDT"); one-shot
    /// faults hit its next frame, whatever it carries.
    Stream(String),
}

/// Which open WebSocket connections a fault on links hits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Links {
    /// All of the venue.
    All,
    /// The one that has been open the longest.
    Oldest,
    /// The one that was opened last.
    Newest,
    /// Those that hold a subscription to this stream.
    Holding(String),
}

/// Where in a connection's bytes a byte fault acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Among the WebSocket frames, inside TLS: the client decrypts a part of a frame.
    #[default]
    Frames,
    /// Among the TLS records: the client cannot even decrypt what came.
    Wire,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BadCertificate {
    /// Signed by the trusted authority, for another host name.
    WrongName,
    /// Right name, signed by an authority that nobody trusts.
    UnknownAuthority,
    /// Right name and authority, and expired for years.
    Expired,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $kind:ident = $name:literal $({ $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })?,)*) => {
        /// A fault. Each row says what a client may observe, and what a good one does.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $kind $({ $($(#[$fdoc])* $field: $type,)* })?,)*
        }

        /// The kinds of [`Fault`], to count and to set rates by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FaultKind {
            $(#[doc = concat!("`", $name, "`: see [`Fault::", stringify!($kind), "`].")] $kind,)*
        }

        impl Fault {
            /// Which kind it is.
            #[must_use]
            pub const fn kind(&self) -> FaultKind {
                match self {
                    $(Self::$kind { .. } => FaultKind::$kind,)*
                }
            }
        }

        impl FaultKind {
            /// All of them, in the order of [`Fault`].
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The word that a script uses.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

faults! {
    /// Connections end without a close frame.
    /// *Seen*: end of stream, code 1006. *Do*: reconnect with backoff, mark the books stale,
    /// resynchronise.
    Drop = "cut" {
        /// Whose.
        links: Links,
    },
    /// Frames are withheld while the connection, its pings and other streams live on.
    /// *Seen*: silence on a stream that acks and pongs; a gap once it speaks again (Bybit: also no
    /// snapshot on subscribing). *Do*: time out per stream, not per connection; resynchronise.
    Stall = "stall" {
        /// Which streams.
        target: Target,
        /// For how long.
        for_ns: i64,
    },
    /// The server keeps the TCP connection and neither reads, answers nor sends on it any more.
    /// It never heals. *Seen*: nothing at all, no error. *Do*: time out on missing pings, pongs or
    /// data and reconnect.
    HalfOpen = "half-open" {
        /// Whose.
        links: Links,
    },
    /// One delta is withheld.
    /// *Seen*: `U`, `pu` or `u` does not follow. *Do*: drop the book, resynchronise.
    Gap = "gap" {
        /// Of which stream.
        target: Target,
    },
    /// One frame comes twice, byte for byte.
    /// *Seen*: a sequence number for the second time. *Do*: ignore the second.
    Duplicate = "duplicate" {
        /// Of which stream.
        target: Target,
    },
    /// One frame comes after its successor.
    /// *Seen*: a gap, then an older number. *Do*: as for a gap; never apply backwards.
    Reorder = "reorder" {
        /// Of which stream.
        target: Target,
    },
    /// Bytes come in morsels.
    /// *Seen*: frames (or TLS records) in many pieces, data that grows old; in the end perhaps a
    /// cut, as for any reader that lags. *Do*: keep partial frames; notice the age of the data.
    Trickle = "trickle" {
        /// Whose.
        links: Links,
        /// Bytes of one morsel.
        bytes: usize,
        /// Pause between morsels.
        every_ns: i64,
        /// For how long; then what has waited comes at once.
        for_ns: i64,
        /// Among frames or TLS records.
        layer: Layer,
    },
    /// The next frame (or TLS record) is cut off in its middle and the connection ends.
    /// *Seen*: end of stream or a reset inside a frame. *Do*: drop the partial frame, reconnect.
    CutMidFrame = "cut-mid-frame" {
        /// Whose.
        links: Links,
        /// Bytes that still come; half of it if not given.
        keep_bytes: Option<usize>,
        /// End by a TCP reset instead of an orderly FIN.
        reset: bool,
        /// A WebSocket frame or a TLS record.
        layer: Layer,
    },
    /// Upgrades are refused with an HTTP status.
    /// *Seen*: 401, 403, 429, 503 .. instead of 101. *Do*: back off, `Retry-After` at least; 401 and
    /// 403 do not heal by themselves: tell the user.
    RefuseUpgrade = "refuse-upgrade" {
        /// HTTP status.
        status: u16,
        /// Value of `Retry-After`, if it is sent.
        retry_after_s: Option<u32>,
        /// How many upgrades.
        times: u32,
    },
    /// New TLS handshakes get a certificate that must not be trusted. Open links live on.
    /// *Seen*: the client's own verification error. *Do*: refuse, never fall back; retry slowly.
    Certificate = "certificate" {
        /// What is wrong with it.
        fault: BadCertificate,
        /// For how long.
        for_ns: i64,
    },
    /// REST depth answers are older than every delta that a subscriber may have buffered.
    /// *Seen*: Binance `lastUpdateId` below the first buffered `U`; Bybit `u` and `seq` from before
    /// the subscription. *Do*: ask again, with a pause and within the weight limit.
    OldSnapshot = "old-snapshot" {
        /// Of which symbol; of any if not given.
        symbol: Option<String>,
        /// How many answers.
        times: u32,
    },
    /// REST requests are refused with a status, whatever their budget.
    /// *Seen*: Binance 429 and 418 with `Retry-After`, Bybit 403 or 429; 5xx. *Do*: stop asking until
    /// then, on all connections of the address.
    RestStatus = "rest" {
        /// HTTP status.
        status: u16,
        /// Value of `Retry-After`, if it is sent.
        retry_after_s: Option<u32>,
        /// How many requests.
        times: u32,
    },
    /// One byte of a frame is damaged, so that it is no longer JSON; the frame's true content is
    /// lost. *Seen*: a parse error (or bytes that are not UTF-8). *Do*: count it, treat as a gap.
    Corrupt = "corrupt" {
        /// Of which stream.
        target: Target,
        /// Make it invalid UTF-8 instead of invalid JSON.
        utf8: bool,
    },
    /// One frame is padded with spaces (legal JSON) to a length beyond any buffer.
    /// *Seen*: a frame header with that length. *Do*: refuse with code 1009 without buffering it
    /// all, reconnect.
    Oversized = "oversized" {
        /// Of which stream.
        target: Target,
        /// Length of the padded payload; at most [`Fault::OVERSIZED_MAX`].
        bytes: usize,
    },
    /// A frame header that announces 2^62 bytes; what follows counts as its payload.
    /// *Seen*: just that. *Do*: refuse with code 1009 at the header, reconnect.
    HugeHeader = "huge-header" {
        /// Whose.
        links: Links,
    },
    /// A delta with correct numbers brings a bid above the best ask, which is not in the true book.
    /// *Seen*: a crossed book, which nothing later is meant to mend. *Do*: not publish it; resynchronise.
    Crossed = "crossed" {
        /// Of which depth stream.
        target: Target,
    },
    /// The venue's clock is off: event times and REST times are shifted (candle bounds are not).
    /// *Seen*: events from the future or of great age. *Do*: measure the offset, flag it; no
    /// decision by comparing the venue's clock with ours.
    ClockSkew = "skew" {
        /// Shift of the venue's clock; negative: it is behind.
        by_ns: i64,
        /// For how long.
        for_ns: i64,
    },
    /// The venue restarts: connections are cut, sequence numbers start over.
    /// *Seen*: end of stream, then smaller numbers than before. *Do*: forget all numbers at a
    /// reconnect.
    Restart = "restart",
    /// Bybit: the book service restarts behind live connections (no effect at Binance).
    /// *Seen*: a snapshot with `u` 1. *Do*: replace the book by it.
    ServiceReset = "service-reset",
    /// The venue's process is killed: every connection, REST too, is reset, new ones are refused
    /// for a time, then it is back. *Seen*: connection reset, then connection refused. *Do*:
    /// reconnect with backoff and jitter, resynchronise.
    Kill = "kill" {
        /// How long nobody listens.
        down_ns: i64,
        /// Sequence numbers start over; else they go on.
        reset: bool,
    },
    /// Binance says that connections will end (`serverShutdown`), and cuts them some time later; new
    /// ones are taken all the while (no effect at Bybit, which announces nothing).
    /// *Seen*: the event, data as before, then end of stream. *Do*: open a second connection at
    /// once, go over to it stream by stream, and let go of the first: nothing is missed.
    ServerShutdown = "server-shutdown" {
        /// Whose.
        links: Links,
        /// From the event to the cut.
        for_ns: i64,
    },
    /// One delta is withheld from the connection that has held its stream the longest; any other
    /// gets it.
    /// *Seen*: a gap on one link, and on no other. *Do*: go on from the other; with one link alone,
    /// as for a gap.
    Miss = "miss" {
        /// Of which stream.
        target: Target,
    },
    /// An order request is done and its answer never comes: nothing on a WebSocket link, the end of
    /// the connection over REST.
    /// *Seen*: silence, and perhaps the order's events. *Do*: the outcome is unknown; look it up by
    /// client id, never send it again under another one.
    AckLost = "ack-lost" {
        /// How many answers.
        times: u32,
    },
    /// An order's events come before the answer to its request.
    /// *Seen*: a fill of an order that was not acknowledged yet. *Do*: know one's own client id.
    FillFirst = "fill-first" {
        /// How much later the answer comes.
        by_ns: i64,
        /// How many answers.
        times: u32,
    },
    /// A fill is told twice, byte for byte.
    /// *Seen*: the same trade (or execution) id again. *Do*: count it once.
    DuplicateFill = "duplicate-fill" {
        /// How many fills.
        times: u32,
    },
    /// A cancel comes too late: the order was filled at its own price just before.
    /// *Seen*: the cancel refused as unknown, and a fill. *Do*: believe the fill.
    CancelRace = "cancel-race" {
        /// How many cancels of orders in the book.
        times: u32,
    },
    /// An order request is done and answered with an error of the server.
    /// *Seen*: 5xx (Bybit: 10016). *Do*: the outcome is unknown, as for a lost answer.
    AcceptedError = "accepted-5xx" {
        /// HTTP status, 500 to 599.
        status: u16,
        /// How many answers.
        times: u32,
    },
    /// An order request is done at once and answered late.
    /// *Seen*: as for a lost answer, until it comes. *Do*: take it then, whatever was found out
    /// meanwhile.
    SlowAck = "slow-ack" {
        /// How late.
        for_ns: i64,
        /// How many answers.
        times: u32,
    },
    /// Connections that carry private data end without a close frame; market data lives on.
    /// *Seen*: end of stream; what happened meanwhile is told by nobody. *Do*: reconnect, subscribe,
    /// and reconcile orders, fills and balances over REST before trusting the state again.
    CutPrivate = "cut-private",
    /// Connections stay open, answer pings and take requests, and bring no data any more; new ones
    /// do. It never heals: Polymarket's silent stall, at any venue.
    /// *Seen*: acks and pongs, and not one message. *Do*: judge each stream by its own data, ask the
    /// venue another way, and reconnect where asking anew brings nothing.
    Mute = "mute" {
        /// Whose.
        links: Links,
    },
    /// Deribit asks for proof of life, does not hear the answer, and ends the session (no effect where
    /// no heartbeats were asked for).
    /// *Seen*: a `test_request`, and after it end of stream. *Do*: answer all the same; reconnect.
    DeafTest = "deaf-test" {
        /// Whose.
        links: Links,
        /// From the question to the end.
        for_ns: i64,
    },
    /// Deribit: the pool of subscribe credits is empty. The next requests to subscribe are answered
    /// with error 10028, and their sessions end (no effect elsewhere).
    /// *Seen*: the error, then close code 1008. *Do*: ask for nothing until the pool is full again.
    NoCredits = "no-credits" {
        /// How many requests.
        times: u32,
    },
    /// Polymarket: the next PING is taken for one before a subscription (no effect elsewhere).
    /// *Seen*: close code 1008. *Do*: reconnect, subscribe, and only then ping.
    PingRefused = "ping-refused" {
        /// Whose.
        links: Links,
    },
}

impl FaultKind {
    /// Those that act on orders and on what is told about them. Where nobody trades they wait for
    /// ever.
    pub const ORDERS: &[Self] = &[
        Self::AckLost,
        Self::FillFirst,
        Self::DuplicateFill,
        Self::CancelRace,
        Self::AcceptedError,
        Self::SlowAck,
        Self::CutPrivate,
    ];

    /// Whether it is one of [`FaultKind::ORDERS`].
    #[must_use]
    pub fn is_about_orders(self) -> bool {
        Self::ORDERS.contains(&self)
    }
}

impl Fault {
    /// Longest padding of [`Fault::Oversized`]: what a test machine can hold a few times.
    pub const OVERSIZED_MAX: usize = 64 << 20;
}

impl Target {
    /// Whether it means a stream, by the stream's name and symbol.
    pub(crate) fn covers(&self, name: &str, symbol: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Symbol(wanted) => wanted.eq_ignore_ascii_case(symbol),
            Self::Stream(wanted) => wanted == name,
        }
    }
}

impl Links {
    /// The chosen ones of these: (connection, its streams), by age.
    pub(crate) fn pick(&self, open: Vec<(ConnId, Vec<String>)>) -> Vec<ConnId> {
        let mut ids = open.iter().map(|(conn, _)| *conn);
        match self {
            Self::All => ids.collect(),
            Self::Oldest => ids.take(1).collect(),
            Self::Newest => ids.next_back().into_iter().collect(),
            Self::Holding(name) => {
                let holding = open.iter().filter(|(_, names)| names.contains(name));
                holding.map(|(conn, _)| *conn).collect()
            }
        }
    }
}
