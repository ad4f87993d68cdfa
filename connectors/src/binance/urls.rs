//! Where Binance's markets are and what they allow, as data.
//!
//! Sources: binance-spot-api-docs web-socket-streams.md and rest-api.md (2026-07-21), and the
//! USDS-M pages of developers.binance.com ("Connect", "Order Book", "Important WebSocket Change
//! Notice", 2026-03). Where a line says `[NT]` the source is nautilus_trader's constants.

use tickwire_orderbook::sequence::SequenceRule;
use tickwire_orderbook::{Limits, Scale};

use crate::error::{Error, ErrorKind};
use crate::governor::{self, Governor};
use crate::instrument::Market;
use crate::liveness::Expectation;
use crate::network::{FetchInstruments, Network};
use crate::time::Nanos;
use crate::trading::Trading;
use crate::transmit::{AttemptLimit, Endpoint, SendLimit};
use crate::upkeep::{Expectations, Redundancy, TopCheck, Upkeep};

/// How links and books are looked after, where the configuration says nothing else.
const UPKEEP: Upkeep = Upkeep {
    redundancy: Redundancy::Single,
    // "A single connection is only valid for 24 hours" (web-socket-streams.md, 2026-07-21; USDS-M
    // "Connect"): before that, with time for a second try.
    link_age_max_ns: Some(Nanos::from_secs(23 * 3_600 + 1_800)),
    // Two hundred topics are asked for in a few seconds, and books are pushed every 100 ms.
    handover_max_ns: Nanos::from_secs(30),
    top_check: TopCheck::Always,
    // Books are pushed every 100 ms to 1 s, best prices at once: far beyond the lag between the two.
    top_differs_max_ns: Nanos::from_secs(5),
    // Every stream is sent when something changes, and only then, so that each is probed. A liquid
    // market is never quiet for so long; a thousand illiquid ones cost 500 of weight a minute once
    // their probes are ten minutes apart, a tenth of spot's limit. Trades, tickers and candles come
    // with trades, which are fewer than orders.
    expectations: Expectations {
        book: Expectation::probed(Nanos::from_secs(30)),
        bbo: Expectation::probed(Nanos::from_secs(30)),
        trades: Expectation::probed(Nanos::from_secs(60)),
        ticker: Expectation::probed(Nanos::from_secs(60)),
        kline: Expectation::probed(Nanos::from_secs(60)),
    },
};

/// Not all links are replaced at once, although all were made at once: each up to so much earlier.
pub(super) const LINK_AGE_JITTER_NS: Nanos = Nanos::from_secs(15 * 60);

/// Topics on one link, where the configuration says no other number.
pub(super) const LINK_TOPICS_MAX: u16 = 200;

/// How to connect to Binance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinanceConfig {
    /// Spot, linear (USD-M) or inverse (COIN-M).
    pub market: Market,
    /// Which of the venue's networks.
    pub network: Network,
    /// Whether to ask for instruments.
    pub instruments: FetchInstruments,
    /// Levels a side to ask for in a book snapshot. A side that comes back with exactly so many is
    /// taken to be cut there and gets a watermark; one with fewer is taken to be whole.
    pub snapshot_levels: u16,
    /// How much a book may hold.
    pub book_limits: Limits,
    /// Topics on one link, at least 1. The venue takes 1,024; a link with fewer loses less when it
    /// drops. 200 by default, as nautilus_trader has on futures.
    pub link_topics_max: u16,
    /// A link that brings no message for so long, nor an answer to the engine's ping, is dead
    /// ([`LinkSpec::silence_max_ns`](crate::LinkSpec)): by default three of the venue's own ping
    /// intervals on spot (20 s), two on futures (3 min), and a margin.
    pub silence_max_ns: Nanos,
    /// How links and books are kept true.
    pub upkeep: Upkeep,
    /// What may be asked of the venue. It counts by address and market: give the connectors of one market
    /// and address clones of one [`new_budget`](BinanceConfig::new_budget). By default a connector has
    /// its own.
    pub budget: Option<Governor>,
    /// How to trade; `None` for market data alone.
    pub trading: Option<Trading>,
}

impl BinanceConfig {
    /// A budget that the connectors of one market and address share; `None` for a market that is not
    /// Binance's.
    pub fn new_budget(&self) -> Option<Governor> {
        let rules = MarketRules::of(self.market)?;
        Some(Governor::new(rules.budget()))
    }

    /// On another network: [`Network::Testnet`], or a pair of WebSocket and REST roots.
    pub fn at(self, network: impl Into<Network>) -> BinanceConfig {
        BinanceConfig {
            network: network.into(),
            ..self
        }
    }

    /// With the account of these credentials.
    #[must_use]
    pub fn trading(self, trading: Trading) -> BinanceConfig {
        BinanceConfig {
            trading: Some(trading),
            ..self
        }
    }

    /// The spot market, with the deepest snapshot it has (5,000 levels, weight 250).
    pub fn spot() -> BinanceConfig {
        BinanceConfig::of(Market::Spot, 5_000)
    }

    /// USD-M futures, with the deepest snapshot they have (1,000 levels, weight 20).
    pub fn linear() -> BinanceConfig {
        BinanceConfig::of(Market::Linear, 1_000)
    }

    /// COIN-M futures, with the deepest snapshot they have (1,000 levels, weight 20).
    pub fn inverse() -> BinanceConfig {
        BinanceConfig::of(Market::Inverse, 1_000)
    }

    fn of(market: Market, snapshot_levels: u16) -> BinanceConfig {
        BinanceConfig {
            market,
            network: Network::Mainnet,
            instruments: FetchInstruments::Yes,
            snapshot_levels,
            book_limits: Limits::default(),
            link_topics_max: LINK_TOPICS_MAX,
            silence_max_ns: Nanos::from_secs(if matches!(market, Market::Spot) {
                65
            } else {
                370
            }),
            upkeep: UPKEEP,
            budget: None,
            trading: None,
        }
    }
}

/// Half of the 300 connection attempts in 5 minutes that Binance allows an address
/// (web-socket-streams.md, 2026-07-21): a second program on it, or the next version of this one during
/// a restart, has the other half.
pub(super) const ATTEMPT_LIMIT: AttemptLimit = AttemptLimit {
    attempts: 150,
    window_ns: Nanos::from_secs(300),
};

/// Which of the venue's URLs a topic is served on. USD-M split its stream URL in 2026-03: a topic
/// that is asked for on the other one is acked and silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Book data: depth and bookTicker.
    Public,
    /// Everything else: trades, klines, tickers.
    Market,
}

/// What differs between the markets.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarketRules {
    spot: bool,
    /// Path of the REST interface.
    pub(super) api: &'static str,
    /// How deltas join a snapshot and each other.
    pub(super) sequence: SequenceRule,
    /// Messages we may send on a link, control frames included. One below the venue's limit (5 a
    /// second on spot, 10 on futures), so that a late pong never breaks it.
    pub(super) send_limit: SendLimit,
    /// Request weight that we use a minute and IP: 4/5 of the venue's limit (6,000 spot, 2,400
    /// futures), since others on this address need some too.
    pub(super) weight_per_minute: u32,
    /// Weight of a request for a day's statistics of one symbol. (rest-api.md "24hr ticker price change
    /// statistics"; USDS-M and COIN-M pages of the same name)
    pub(super) day_weight: u32,
    /// Weight of a request for aggregated trades. (rest-api.md; USDS-M "Compressed/Aggregate Trades
    /// List")
    pub(super) aggregated_trades_weight: u32,
    /// Weight of an exchangeInfo request.
    pub(super) instruments_weight: u32,
    /// Scales where no instrument data are known. Eight decimals hold every price and step that
    /// Binance has listed; what does not fit leads to a fresh book at another scale.
    pub(super) price_scale: Scale,
    /// See `price_scale`.
    pub(super) qty_scale: Scale,
}

impl MarketRules {
    /// `None` for markets that are not Binance's, or not served here.
    pub(super) const fn of(market: Market) -> Option<MarketRules> {
        let spot = match market {
            Market::Spot => true,
            Market::Linear | Market::Inverse => false,
            Market::Option | Market::Prediction => return None,
        };
        Some(MarketRules {
            spot,
            api: match market {
                Market::Spot => "/api/v3",
                Market::Linear => "/fapi/v1",
                _ => "/dapi/v1",
            },
            sequence: if spot {
                SequenceRule::BINANCE_SPOT
            } else {
                SequenceRule::BINANCE_FUTURES
            },
            send_limit: SendLimit {
                messages: if spot { 4 } else { 9 },
                window_ns: Nanos::from_secs(1),
            },
            weight_per_minute: if spot { 4_800 } else { 1_920 },
            day_weight: if spot { 2 } else { 1 },
            aggregated_trades_weight: if spot { 4 } else { 20 },
            instruments_weight: if spot { 20 } else { 1 },
            price_scale: Scale::of(8),
            qty_scale: Scale::of(if matches!(market, Market::Inverse) {
                0
            } else {
                8
            }),
        })
    }

    /// What of the venue's limits we use.
    pub(super) const fn budget(&self) -> governor::Rules {
        governor::Rules {
            // "The limits on the API are based on the IPs" and on fixed minutes (rest-api.md).
            weight: governor::Window {
                max: self.weight_per_minute,
                span_ns: Nanos::from_secs(60),
            },
            // Each is two of the 4 or 9 messages that a link may send a second.
            renewals: governor::Window {
                max: 2,
                span_ns: Nanos::from_secs(1),
            },
            ban_ns: Nanos::from_secs(60),
            // "IP bans scale in duration, from 2 minutes to 3 days" (rest-api.md).
            ban_max_ns: Nanos::from_secs(3 * 24 * 3_600),
        }
    }

    /// Weight of a depth request. (rest-api.md; USDS-M "Order Book")
    pub(super) const fn snapshot_weight(&self, levels: u16) -> u32 {
        match (self.spot, levels) {
            (true, 0..=100) => 5,
            (true, 101..=500) => 25,
            (true, 501..=1000) => 50,
            (true, _) => 250,
            (false, 0..=50) => 2,
            (false, 51..=100) => 5,
            (false, 101..=500) => 10,
            (false, _) => 20,
        }
    }
}

/// The endpoints of one market on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Urls {
    rest: Endpoint,
    rest_base: String,
    stream: Endpoint,
    stream_base: String,
    routed: bool,
    /// The WebSocket API and its path; `None` where the market has none here.
    trade: Option<(Endpoint, String)>,
}

impl Urls {
    /// The endpoints, or why there are none.
    pub(super) fn new(config: &BinanceConfig, rules: &MarketRules) -> Result<Urls, Error> {
        let (ws_url, rest_url, routed) = match (&config.network, config.market) {
            (Network::Custom { ws_url, rest_url }, market) => {
                (ws_url.as_str(), rest_url.as_str(), market == Market::Linear)
            }
            (network, market) => known(network, market).ok_or_else(|| {
                let text = format!("binance has no {market} market on this network");
                Error::ours(ErrorKind::NotSupported, text)
            })?,
        };
        let read = |url: &str| {
            let parsed = Endpoint::parse(url);
            parsed.map_err(|bad| Error::ours(ErrorKind::BadRequest, bad.to_string()))
        };
        let (rest, rest_path) = read(rest_url)?;
        let (stream, stream_path) = read(ws_url)?;
        let trade = trade_url(&config.network, config.market);
        let trade = trade.as_deref().map(read).transpose()?;
        Ok(Urls {
            rest,
            rest_base: format!("{}{}", rest_path.trim_end_matches('/'), rules.api),
            stream,
            stream_base: stream_path.trim_end_matches('/').to_owned(),
            routed,
            trade,
        })
    }

    /// The WebSocket API: endpoint and path.
    pub(super) fn trade(&self) -> (Endpoint, String) {
        let none = || (self.stream.clone(), "/ws-api/v3".to_owned());
        self.trade.clone().unwrap_or_else(none)
    }

    /// The account's own events on USD-M.
    pub(super) fn private(&self, listen_key: &str) -> (Endpoint, String) {
        let base = &self.stream_base;
        let path = if self.routed {
            format!("{base}/private/ws?listenKey={listen_key}")
        } else {
            format!("{base}/ws/{listen_key}")
        };
        (self.stream.clone(), path)
    }

    /// Path and query of a REST request to the third version of the futures interface.
    pub(super) fn target_v3(&self, call: &str) -> String {
        let base = self.rest_base.strip_suffix("v1").unwrap_or(&self.rest_base);
        format!("{base}v3{call}")
    }

    /// Where REST requests go.
    pub(super) fn rest(&self) -> &Endpoint {
        &self.rest
    }

    /// Path and query of a REST request.
    pub(super) fn target(&self, call: &str) -> String {
        format!("{}{call}", self.rest_base)
    }

    /// The route that a topic belongs to, here: all are one where the URL is not split.
    pub(super) fn route(&self, route: Route) -> Route {
        if self.routed { route } else { Route::Public }
    }

    /// Where a route's links go. `/stream` frames name their stream, `/ws` frames don't.
    pub(super) fn stream(&self, route: Route) -> (Endpoint, String) {
        let part = match (self.routed, route) {
            (false, _) => "",
            (true, Route::Public) => "/public",
            (true, Route::Market) => "/market",
        };
        let path = format!("{}{part}/stream", self.stream_base);
        (self.stream.clone(), path)
    }
}

/// The WebSocket API's URL. (web-socket-api.md "General API information"; USDS-M "WebSocket API General
/// Info"; demo-mode/general-info.md)
fn trade_url(network: &Network, market: Market) -> Option<String> {
    let path = match market {
        Market::Spot => "/ws-api/v3",
        Market::Linear => "/ws-fapi/v1",
        _ => return None,
    };
    let root = match (network, market) {
        (Network::Custom { ws_url, .. }, _) => ws_url.trim_end_matches('/'),
        (Network::Mainnet, Market::Spot) => "wss://ws-api.binance.com:443",
        (Network::Testnet, Market::Spot) => "wss://ws-api.testnet.binance.vision",
        (Network::Demo, Market::Spot) => "wss://demo-ws-api.binance.com",
        (Network::Mainnet, _) => "wss://ws-fapi.binance.com",
        // [NT]
        (Network::Testnet, _) => "wss://testnet.binancefuture.com",
        (Network::Demo, _) => return None,
    };
    Some(format!("{root}{path}"))
}

/// Stream URL, REST URL and whether the stream URL is split by route.
fn known(network: &Network, market: Market) -> Option<(&'static str, &'static str, bool)> {
    Some(match (network, market) {
        (Network::Mainnet, Market::Spot) => (
            "wss://stream.binance.com:9443",
            "https://api.binance.com",
            false,
        ),
        (Network::Testnet, Market::Spot) => (
            "wss://stream.testnet.binance.vision",
            "https://testnet.binance.vision",
            false,
        ),
        // demo-mode/general-info.md, since 2026-01-29
        (Network::Demo, Market::Spot) => (
            "wss://demo-stream.binance.com",
            "https://demo-api.binance.com",
            false,
        ),
        // Un-routed URLs were retired here on 2026-04-23.
        (Network::Mainnet, Market::Linear) => (
            "wss://fstream.binance.com",
            "https://fapi.binance.com",
            true,
        ),
        // [NT]: not split on the test networks.
        (Network::Testnet, Market::Linear) => (
            "wss://fstream.binancefuture.com",
            "https://testnet.binancefuture.com",
            false,
        ),
        (Network::Demo, Market::Linear) => (
            "wss://demo-fstream.binance.com",
            "https://demo-fapi.binance.com",
            false,
        ),
        (Network::Mainnet, Market::Inverse) => (
            "wss://dstream.binance.com",
            "https://dapi.binance.com",
            false,
        ),
        (Network::Testnet, Market::Inverse) => (
            "wss://dstream.binancefuture.com",
            "https://testnet.binancefuture.com",
            false,
        ),
        _ => return None,
    })
}
