//! What a simulator is asked to be: venue-markets, their instruments, rates and limits.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::exchange::AccountSpec;

/// One second in nanoseconds.
pub(crate) const SECOND_NS: i64 = 1_000_000_000;

/// A venue-market that the simulator can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SimVenue {
    /// Binance spot.
    BinanceSpot,
    /// Binance USD-M futures.
    BinanceLinear,
    /// Binance COIN-M futures.
    BinanceInverse,
    /// Bybit v5 spot.
    BybitSpot,
    /// Bybit v5 linear perpetuals.
    BybitLinear,
    /// Deribit perpetuals settled in coin.
    DeribitInverse,
    /// Deribit perpetuals settled in USDC.
    DeribitLinear,
    /// Deribit options.
    DeribitOption,
    /// Deribit spot.
    DeribitSpot,
    /// Polymarket's CLOB: the book of each market's "Yes" token, and its "No" token mirrored.
    Polymarket,
}

impl SimVenue {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BinanceSpot,
        Self::BinanceLinear,
        Self::BinanceInverse,
        Self::BybitSpot,
        Self::BybitLinear,
        Self::DeribitInverse,
        Self::DeribitLinear,
        Self::DeribitOption,
        Self::DeribitSpot,
        Self::Polymarket,
    ];

    /// Whether it speaks Binance's protocol.
    #[must_use]
    pub const fn is_binance(self) -> bool {
        matches!(
            self,
            Self::BinanceSpot | Self::BinanceLinear | Self::BinanceInverse
        )
    }

    /// Whether it speaks Bybit's protocol.
    #[must_use]
    pub const fn is_bybit(self) -> bool {
        matches!(self, Self::BybitSpot | Self::BybitLinear)
    }

    /// Whether it speaks Deribit's protocol.
    #[must_use]
    pub const fn is_deribit(self) -> bool {
        matches!(
            self,
            Self::DeribitInverse | Self::DeribitLinear | Self::DeribitOption | Self::DeribitSpot
        )
    }

    /// Its name as one word, as scripts and command lines write it: "binance-spot".
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::BinanceSpot => "binance-spot",
            Self::BinanceLinear => "binance-linear",
            Self::BinanceInverse => "binance-inverse",
            Self::BybitSpot => "bybit-spot",
            Self::BybitLinear => "bybit-linear",
            Self::DeribitInverse => "deribit-inverse",
            Self::DeribitLinear => "deribit-linear",
            Self::DeribitOption => "deribit-option",
            Self::DeribitSpot => "deribit-spot",
            Self::Polymarket => "polymarket",
        }
    }

    /// Whether it is a spot market.
    #[must_use]
    pub const fn is_spot(self) -> bool {
        matches!(
            self,
            Self::BinanceSpot | Self::BybitSpot | Self::DeribitSpot
        )
    }
}

impl fmt::Display for SimVenue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BinanceSpot => "binance spot",
            Self::BinanceLinear => "binance linear",
            Self::BinanceInverse => "binance inverse",
            Self::BybitSpot => "bybit spot",
            Self::BybitLinear => "bybit linear",
            Self::DeribitInverse => "deribit inverse",
            Self::DeribitLinear => "deribit linear",
            Self::DeribitOption => "deribit option",
            Self::DeribitSpot => "deribit spot",
            Self::Polymarket => "polymarket",
        })
    }
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// At the pace of the recorder's clock.
    Recorded,
    /// So many times faster (below 1: slower).
    Times(f64),
    /// Without any wait.
    Max,
}

/// The venue's limits, as data, so that a test can shorten them. The defaults are the venue's own;
/// each is cited where it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pause between the server's WebSocket pings. `None`: the server sends none (Bybit).
    pub ping_interval_ns: Option<i64>,
    /// How long an unanswered server ping is tolerated.
    pub pong_timeout_ns: i64,
    /// Inbound frames (text, ping, pong) allowed in any second; one more and the link is cut.
    pub inbound_per_s_max: Option<usize>,
    /// Life of a connection from its upgrade. `None`: unlimited (Bybit, which states none).
    pub life_ns: Option<i64>,
    /// Cut after so long with neither a ping from the client nor data to it (Bybit), or without a message
    /// of the client (Deribit).
    pub idle_ns: Option<i64>,
    /// Streams a connection may hold (Binance).
    pub streams_max: usize,
    /// Elements of `args` in one subscribe request (Bybit spot).
    pub args_max: Option<usize>,
    /// Summed length of all subscribed topics of a connection, in characters (Bybit); length of one
    /// request (Deribit).
    pub args_chars_max: usize,
    /// How long a login holds (Deribit).
    pub login_ns: i64,
    /// REST budget of one window: request weight at Binance, requests elsewhere.
    pub rest_weight_max: u32,
    /// Length of the REST window; windows are aligned to the clock.
    pub rest_window_ns: i64,
    /// Requests past the budget, in one window, that are let off before a ban (Binance: 429, then
    /// 418; Bybit bans at once with 403).
    pub rest_ban_after: u32,
    /// First ban; each further one is twice as long.
    pub rest_ban_ns: i64,
    /// Orders that an account may place in each window: (length in ns, orders). Windows are aligned
    /// to the clock at Binance and roll at Bybit.
    pub order_limits: Vec<(i64, u32)>,
}

impl Limits {
    fn of(venue: SimVenue) -> Self {
        let minute = 60 * SECOND_NS;
        let binance = Self {
            // binance-spot-api-docs web-socket-streams.md (2026-07): ping every 20 s, pong in 1 min.
            ping_interval_ns: Some(20 * SECOND_NS),
            pong_timeout_ns: minute,
            // Same page: 5 incoming messages a second, PING, PONG and JSON all count.
            inbound_per_s_max: Some(5),
            // Same page: a connection lives 24 hours.
            life_ns: Some(24 * 60 * minute),
            idle_ns: None,
            streams_max: 1024,
            args_max: None,
            args_chars_max: usize::MAX,
            login_ns: 0,
            // rest-api.md (2026-07): REQUEST_WEIGHT 6000 a minute and IP.
            rest_weight_max: 6000,
            rest_window_ns: minute,
            rest_ban_after: 10,
            // rest-api.md: bans scale from 2 minutes to 3 days.
            rest_ban_ns: 2 * minute,
            // rest-api.md: ORDERS 50 in 10 s and 160,000 a day.
            order_limits: vec![(10 * SECOND_NS, 50), (24 * 60 * minute, 160_000)],
        };
        match venue {
            SimVenue::BinanceSpot => binance,
            // derivatives/usds-margined-futures "Connect": ping every 3 min, pong within 10 min,
            // 10 incoming messages a second; 2400 weight a minute.
            SimVenue::BinanceLinear | SimVenue::BinanceInverse => Self {
                ping_interval_ns: Some(3 * minute),
                pong_timeout_ns: 10 * minute,
                inbound_per_s_max: Some(10),
                rest_weight_max: 2400,
                // exchangeInfo: 300 in 10 s and 1200 a minute (COIN-M: a minute alone).
                order_limits: vec![(10 * SECOND_NS, 300), (minute, 1_200)],
                ..binance
            },
            SimVenue::BybitSpot | SimVenue::BybitLinear => Self {
                // The server sends no WebSocket pings (probe, 2026-09).
                ping_interval_ns: None,
                inbound_per_s_max: None,
                life_ns: None,
                // v5 "Connect": without ping and data the server cuts after 10 min.
                idle_ns: Some(10 * minute),
                streams_max: usize::MAX,
                // v5 "Connect": spot takes 10 args a request; 21,000 characters a connection.
                args_max: (venue == SimVenue::BybitSpot).then_some(10),
                args_chars_max: 21_000,
                // v5 "Rate limit": 600 requests in 5 s and IP, then 403 for at least 10 min.
                rest_weight_max: 600,
                rest_window_ns: 5 * SECOND_NS,
                rest_ban_after: 0,
                rest_ban_ns: 10 * minute,
                // v5 "Rate limit": order/create and so on, each 20/s for spot, 10/s for linear.
                order_limits: vec![(
                    SECOND_NS,
                    if venue == SimVenue::BybitSpot { 20 } else { 10 },
                )],
                ..binance
            },
            SimVenue::DeribitInverse
            | SimVenue::DeribitLinear
            | SimVenue::DeribitOption
            | SimVenue::DeribitSpot => Self {
                // Heartbeats are messages, and only where they are asked for.
                ping_interval_ns: None,
                inbound_per_s_max: None,
                life_ns: None,
                // private/enable_cancel_on_disconnect (2026-03): 10 minutes of inactivity.
                idle_ns: Some(10 * minute),
                streams_max: usize::MAX,
                // "Connection management" (2026-11): requests of at most 32 kB.
                args_chars_max: 32_000,
                // `expires_in` of the test network; the documentation's example says a year.
                login_ns: 900 * SECOND_NS,
                // "Rate limits" (2026-11), lowest tier: 5 order requests a second, 20 at once.
                order_limits: vec![(SECOND_NS, 5)],
                // The same page: 20 requests a second, 100 at once.
                rest_weight_max: 100,
                rest_window_ns: 5 * SECOND_NS,
                rest_ban_after: u32::MAX,
                ..binance
            },
            SimVenue::Polymarket => Self {
                // The heartbeat is the client's text PING (market-data/websocket/overview).
                ping_interval_ns: None,
                inbound_per_s_max: None,
                // No lifetime is stated.
                life_ns: None,
                // Without PINGs a connection dies after about a minute (users, 2026-07).
                idle_ns: Some(minute),
                streams_max: usize::MAX,
                // api-reference/rate-limits (2026-11): 1500 `/book` in 10 s.
                rest_weight_max: 1_500,
                rest_window_ns: 10 * SECOND_NS,
                rest_ban_after: u32::MAX,
                rest_ban_ns: 0,
                ..binance
            },
        }
    }
}

/// Who may listen on Polymarket's user channel. These are no secrets: the simulator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserKey {
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) passphrase: String,
}

/// Where a venue's data comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A seeded market.
    Synthetic,
    /// A recording.
    Recording { path: PathBuf, speed: Speed },
}

/// One venue-market of a simulator.
#[derive(Clone, Debug)]
#[must_use]
pub struct VenueSpec {
    pub(crate) venue: SimVenue,
    pub(crate) symbols: Vec<String>,
    pub(crate) instrument_count: usize,
    pub(crate) rate_per_s: f64,
    pub(crate) bursts: bool,
    pub(crate) levels: usize,
    pub(crate) history: usize,
    pub(crate) sent_ring: usize,
    pub(crate) limits: Limits,
    pub(crate) source: Source,
    pub(crate) legacy_paths: bool,
    pub(crate) vary_key_order: bool,
    pub(crate) port: u16,
    pub(crate) chunk_from: usize,
    pub(crate) keep_alive: bool,
    pub(crate) queue_max: usize,
    pub(crate) accounts: Vec<AccountSpec>,
    pub(crate) fees_ppm: Option<(i64, i64)>,
    pub(crate) user_key: Option<UserKey>,
}

impl VenueSpec {
    fn new(venue: SimVenue) -> Self {
        Self {
            venue,
            symbols: Vec::new(),
            instrument_count: 2,
            rate_per_s: 200.0,
            bursts: true,
            // Of Polymarket's 999 ticks some are used.
            levels: if matches!(venue, SimVenue::Polymarket) {
                60
            } else {
                1_200
            },
            // Changes an instrument remembers: some minutes at the default rate, about 1 MB.
            history: 1 << 15,
            sent_ring: 1 << 12,
            limits: Limits::of(venue),
            source: Source::Synthetic,
            legacy_paths: false,
            vary_key_order: false,
            port: 0,
            chunk_from: 64 << 10,
            keep_alive: true,
            // Some seconds of a busy feed; a reader that far behind is gone for a venue too.
            queue_max: 8 << 20,
            accounts: Vec::new(),
            fees_ppm: None,
            user_key: None,
        }
    }

    /// A venue of the given kind with its defaults: 2 instruments, 200 market events a second.
    pub fn of(venue: SimVenue) -> Self {
        Self::new(venue)
    }

    /// Binance spot.
    pub fn binance_spot() -> Self {
        Self::new(SimVenue::BinanceSpot)
    }

    /// Binance USD-M futures.
    pub fn binance_linear() -> Self {
        Self::new(SimVenue::BinanceLinear)
    }

    /// Binance COIN-M futures.
    pub fn binance_inverse() -> Self {
        Self::new(SimVenue::BinanceInverse)
    }

    /// Bybit v5 spot.
    pub fn bybit_spot() -> Self {
        Self::new(SimVenue::BybitSpot)
    }

    /// Bybit v5 linear perpetuals.
    pub fn bybit_linear() -> Self {
        Self::new(SimVenue::BybitLinear)
    }

    /// Deribit perpetuals settled in coin.
    pub fn deribit_inverse() -> Self {
        Self::new(SimVenue::DeribitInverse)
    }

    /// Deribit options.
    pub fn deribit_option() -> Self {
        Self::new(SimVenue::DeribitOption)
    }

    /// Polymarket.
    pub fn polymarket() -> Self {
        Self::new(SimVenue::Polymarket)
    }

    /// Lets the holder of this key listen on Polymarket's user channel. Without it nobody may.
    pub fn user_key(mut self, key: &str, secret: &str, passphrase: &str) -> Self {
        self.user_key = Some(UserKey {
            key: key.to_owned(),
            secret: secret.to_owned(),
            passphrase: passphrase.to_owned(),
        });
        self
    }

    /// Lists so many instruments, the best known first (BTC, ETH, SOL ..), then made-up ones.
    pub fn instruments(mut self, count: usize) -> Self {
        self.instrument_count = count;
        self.symbols.clear();
        self
    }

    /// Lists exactly these symbols, written as the venue's REST writes them ("BTCUSDT",
    /// "BTCUSD_PERP").
    pub fn symbols(mut self, symbols: &[&str]) -> Self {
        self.symbols = symbols.iter().map(|s| (*s).to_owned()).collect();
        self
    }

    /// Mean number of market events a second, over all instruments together. An event changes at
    /// least one level; with bursts on, the rate swings between 0.4 and 8 times around this mean.
    pub fn rate_msgs_s(mut self, rate: u32) -> Self {
        self.rate_per_s = f64::from(rate);
        self
    }

    /// Whether the rate bursts (the default) or is a plain Poisson process.
    pub fn bursts(mut self, on: bool) -> Self {
        self.bursts = on;
        self
    }

    /// Levels a side that the book is kept around. Default 1,200.
    pub fn levels(mut self, levels: usize) -> Self {
        self.levels = levels;
        self
    }

    /// Level changes that each instrument's truth remembers for `Truth::book_at`.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// Messages that each stream's send log remembers. Rounded up to a power of two.
    pub fn sent_ring(mut self, messages: usize) -> Self {
        self.sent_ring = messages;
        self
    }

    /// Changes the venue's limits, say to reach a time-out sooner.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Serves a recording (.jsonl or .jsonl.zst, one envelope a line) instead of a synthetic
    /// market.
    pub fn recording(mut self, path: impl AsRef<Path>, speed: Speed) -> Self {
        self.source = Source::Recording {
            path: path.as_ref().to_owned(),
            speed,
        };
        self
    }

    /// Accepts USD-M's un-routed `/ws` and `/stream` paths, which the venue retired 2026-04-23.
    pub fn legacy_paths(mut self, on: bool) -> Self {
        self.legacy_paths = on;
        self
    }

    /// Lets Bybit's `ts`/`type` key order vary from frame to frame. The venue's own note says
    /// that the order is not fixed; by default each market keeps the order of its real frames.
    pub fn vary_key_order(mut self, on: bool) -> Self {
        self.vary_key_order = on;
        self
    }

    /// Listens on this port instead of a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// REST bodies of at least so many bytes are sent chunked. Default 64 KiB.
    pub fn chunk_from(mut self, bytes: usize) -> Self {
        self.chunk_from = bytes;
        self
    }

    /// Whether a REST connection that the client wants to keep stays open after an answer; it does by
    /// default.
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Bytes that may wait for a slow reader before it is cut. Default 8 MiB.
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_max = bytes;
        self
    }

    /// Opens an account that may trade here. Without one every key is unknown.
    pub fn account(mut self, account: AccountSpec) -> Self {
        self.accounts.push(account);
        self
    }

    /// Opens the account "demo", with [`AccountSpec::demo`]'s keys and money.
    pub fn demo_account(self) -> Self {
        let account = AccountSpec::demo(self.venue);
        self.account(account)
    }

    /// Fees in millionths of the value instead of the venue's own for a new customer.
    pub fn fees_ppm(mut self, maker: i64, taker: i64) -> Self {
        self.fees_ppm = Some((maker, taker));
        self
    }

    /// The venue-market.
    #[must_use]
    pub const fn venue(&self) -> SimVenue {
        self.venue
    }
}
