//! Where Polymarket is, and what it allows: endpoints, limits and deadlines as data, each with the
//! page and date it comes from.
//!
//! Pages are those of docs.polymarket.com as read in 2026-11.

use std::sync::Arc;

use super::wallet::Wallet;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind};
use crate::governor::{self, Governor, Window};
use crate::liveness::Expectation;
use crate::network::{FetchInstruments, Network};
use crate::subscriptions::Rules;
use crate::time::Nanos;
use crate::trading::Trading;
use crate::transmit::{AttemptLimit, Endpoint, LinkSpec};
use crate::upkeep::{Expectations, Redundancy, TopCheck, Upkeep};

/// How to connect to Polymarket.
#[derive(Clone, Debug)]
pub struct PolymarketConfig {
    /// Which network: [`Network::Mainnet`], or a pair of WebSocket and REST roots. The venue has no
    /// public test network with a book.
    pub network: Network,
    /// Whether to ask for what is known of a token before it is subscribed to: its tick and least
    /// size, and that it exists at all.
    pub instruments: FetchInstruments,
    /// Tokens on one link, 1 to [`ASSETS_PER_LINK_LIMIT`]: further ones go on further links. By
    /// default [`ASSETS_PER_LINK_DEFAULT`].
    pub assets_per_link_max: u16,
    /// Time between two `PING`s, 1 to 30 seconds; 10 by default (market-data/websocket/overview).
    pub ping_interval_ns: Nanos,
    /// A link of [`STALL_ASSETS_MIN`] tokens or more that brings no data for so long is made anew,
    /// though its pongs come: the venue's silent stall. 60 seconds by default.
    pub stall_max_ns: Nanos,
    /// A link that brings no message for so long (a pong is one here), nor an answer to the engine's
    /// own ping, is dead ([`LinkSpec::silence_max_ns`](crate::LinkSpec)).
    pub silence_max_ns: Nanos,
    /// Each n-th `book` of a token is held against its own `hash`, beginning with the first of each
    /// connection; a hash that is not met, where the one before was, breaks the book. 0 for none, 1 for
    /// each, by default [`BOOK_HASH_EVERY_DEFAULT`].
    pub book_hash_every: u32,
    /// Whose orders and trades the user channel tells: key, secret and passphrase. `None` where only
    /// market data is wanted, or [`trading`](PolymarketConfig::trading) says who.
    pub credentials: Option<Credentials>,
    /// An account to trade with, whose events are told once they are reconciled by REST. Its credentials
    /// need passphrase and address as well. Orders go by REST whatever the transport.
    pub trading: Option<Trading>,
    /// What signs orders. Without it orders can be looked at and cancelled, but not placed.
    pub wallet: Option<Arc<dyn Wallet>>,
    /// Whether the venue is sent heartbeats while an account trades: when they stop, it cancels **every**
    /// order of the account, also those of other programs. By default it is.
    pub dead_man: bool,
    /// How links and books are looked after.
    pub upkeep: Upkeep,
    /// What is left of the venue's limits on this address; by default a connector has its own.
    pub budget: Option<Governor>,
}

impl PolymarketConfig {
    /// A budget that the connectors of one address share.
    pub fn new_budget() -> Governor {
        Governor::new(BUDGET)
    }

    /// On another network: a pair of WebSocket and REST roots.
    pub fn at(self, network: impl Into<Network>) -> PolymarketConfig {
        PolymarketConfig {
            network: network.into(),
            ..self
        }
    }

    /// The main network.
    pub fn new() -> PolymarketConfig {
        PolymarketConfig {
            network: Network::Mainnet,
            instruments: FetchInstruments::Yes,
            assets_per_link_max: ASSETS_PER_LINK_DEFAULT,
            ping_interval_ns: PING_INTERVAL,
            stall_max_ns: STALL_MAX,
            silence_max_ns: SILENCE_MAX,
            book_hash_every: BOOK_HASH_EVERY_DEFAULT,
            credentials: None,
            trading: None,
            wallet: None,
            dead_man: true,
            upkeep: UPKEEP,
            budget: None,
        }
    }

    /// Refuses values with which no link would live.
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |kind, text: String| Err(Error::ours(kind, text));
        if self.upkeep.redundancy == Redundancy::Pair {
            let text = "Polymarket numbers neither updates nor trades: of two links nobody could tell \
                        which has missed what, so pairs are not supported; set Redundancy::Single";
            return refuse(ErrorKind::NotSupported, text.to_owned());
        }
        if !(1..=ASSETS_PER_LINK_LIMIT).contains(&self.assets_per_link_max) {
            let (got, most) = (self.assets_per_link_max, ASSETS_PER_LINK_LIMIT);
            let text = format!("assets_per_link_max is {got}: set it to 1 to {most}");
            return refuse(ErrorKind::BadRequest, text);
        }
        if !(PING_INTERVAL_MIN..=PING_INTERVAL_MAX).contains(&self.ping_interval_ns) {
            let got = self.ping_interval_ns;
            let text = format!("ping_interval_ns is {got}: set it to 1 to 30 seconds");
            return refuse(ErrorKind::BadRequest, text);
        }
        Ok(())
    }
}

impl Default for PolymarketConfig {
    fn default() -> PolymarketConfig {
        PolymarketConfig::new()
    }
}

/// Above about 500 tokens on a connection no first book comes, without a word (not documented;
/// observed by several users, 2025-11 to 2026-07).
pub const ASSETS_PER_LINK_LIMIT: u16 = 500;

/// What other clients settled on, well below [`ASSETS_PER_LINK_LIMIT`].
pub const ASSETS_PER_LINK_DEFAULT: u16 = 200;

/// A hash of a book of 80 levels takes about as long as reading it, and a book comes with most trades:
/// the first one of a connection shows what there is to see, the rest is for what comes to pass later.
pub const BOOK_HASH_EVERY_DEFAULT: u32 = 16;

/// With fewer tokens a minute without data may be a quiet market: then each is probed by itself.
pub const STALL_ASSETS_MIN: usize = 10;

const UPKEEP: Upkeep = Upkeep {
    redundancy: Redundancy::Single,
    // The silent stall comes after 14 to 63 minutes, 30 on average (Polymarket/real-time-data-client
    // issues 25, 26 and 35; 2025-12 to 2026-07): what is younger has most likely not stalled.
    link_age_max_ns: Some(Nanos::from_secs(600)),
    handover_max_ns: Nanos::from_secs(60),
    // The best prices come with each change: there is nothing to subscribe to for it.
    top_check: TopCheck::Always,
    // Told in the same message as the change: seconds without one agreement are no race.
    top_differs_max_ns: Nanos::from_secs(5),
    expectations: Expectations {
        // Most markets change less than once a minute.
        book: Expectation::probed(Nanos::from_secs(60)),
        trades: Expectation::probed(Nanos::from_secs(300)),
        ..Expectations::NONE
    },
};

/// What of the venue's limits one address uses.
const BUDGET: governor::Rules = governor::Rules {
    // `/book` 1500 and `/books` 500 in 10 seconds (api-reference/rate-limits): what goes beyond is
    // delayed by the venue, which looks like a time-out, so that ours stays well below.
    weight: Window {
        max: 200,
        span_ns: Nanos::from_secs(10),
    },
    // Two messages each on the stream, of which the venue states no limit.
    renewals: Window {
        max: 20,
        span_ns: Nanos::from_secs(1),
    },
    ban_ns: BAN_WAIT,
    ban_max_ns: Nanos::from_secs(3_600),
};

/// The endpoints, read once.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    pub(super) ws: Endpoint,
    pub(super) ws_path: String,
    user_path: String,
    pub(super) rest: Endpoint,
    /// Goes before each path of the API; mostly empty.
    pub(super) rest_prefix: String,
    pub(super) silence_max_ns: Nanos,
    pub(super) ping_interval_ns: Nanos,
    pub(super) stall_max_ns: Nanos,
}

impl Urls {
    pub(super) fn new(config: &PolymarketConfig) -> Result<Urls, Error> {
        let (ws, rest) = match &config.network {
            Network::Mainnet => (
                "wss://ws-subscriptions-clob.polymarket.com",
                "https://clob.polymarket.com",
            ),
            Network::Testnet | Network::Demo => {
                let text = "Polymarket has no public test network: use Network::Mainnet, or a pair \
                            of URLs";
                return Err(Error::ours(ErrorKind::NotSupported, text));
            }
            Network::Custom { ws_url, rest_url } => (ws_url.as_str(), rest_url.as_str()),
        };
        let (ws, ws_path) = split(ws, "wss", "ws")?;
        let (rest, prefix) = split(rest, "https", "http")?;
        let root = ws_path.trim_end_matches('/');
        Ok(Urls {
            ws,
            ws_path: format!("{root}/ws/market"),
            user_path: format!("{root}/ws/user"),
            rest,
            rest_prefix: prefix.trim_end_matches('/').to_owned(),
            silence_max_ns: config.silence_max_ns,
            ping_interval_ns: config.ping_interval_ns,
            stall_max_ns: config.stall_max_ns,
        })
    }

    /// The link of the user channel.
    pub(super) fn user_link(&self) -> LinkSpec {
        LinkSpec {
            path: self.user_path.clone(),
            ..self.link()
        }
    }

    /// A link as Polymarket wants it. It states no limit on the messages that a client sends.
    pub(super) fn link(&self) -> LinkSpec {
        LinkSpec {
            attempt_limit: Some(ATTEMPT_LIMIT),
            silence_max_ns: Some(self.silence_max_ns),
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..LinkSpec::new(self.ws.clone(), self.ws_path.clone())
        }
    }
}

fn split(url: &str, secure: &str, plain: &str) -> Result<(Endpoint, String), Error> {
    let scheme = url.split("://").next().unwrap_or_default();
    if scheme != secure && scheme != plain {
        let text = format!("bad URL {url:?}: write {secure}://host/path");
        return Err(Error::ours(ErrorKind::BadRequest, text));
    }
    Endpoint::parse(url).map_err(|bad| Error::ours(ErrorKind::BadRequest, bad.to_string()))
}

/// The rules on requests: all tokens of a link fit one. The venue acks nothing, so that a request
/// counts as taken once it is sent, and whether it was shows in the books that come.
pub(super) const RULES: Rules = Rules {
    topics_max: ASSETS_PER_LINK_LIMIT as usize,
    bytes_max: 64 << 10,
    in_flight_max: 1,
    ack_timeout_ns: Nanos::MAX,
    tries_max: 1,
};

/// "PING every 10 seconds" (market-data/websocket/overview; the 50 seconds of older examples are
/// dated).
const PING_INTERVAL: Nanos = Nanos::from_secs(10);

const PING_INTERVAL_MIN: Nanos = Nanos::from_secs(1);

/// Without a ping the connection dies after about a minute: two have to fit.
const PING_INTERVAL_MAX: Nanos = Nanos::from_secs(30);

/// A pong takes a round trip; a link that needs this long for one is dead.
pub(super) const PONG_TIMEOUT: Nanos = Nanos::from_secs(10);

/// 30 to 60 seconds is what users of the venue's own clients came to (Polymarket/rs-clob-client-v2
/// issues 60 and 99).
const STALL_MAX: Nanos = Nanos::from_secs(60);

/// Nothing at all, not even a pong, for two of our longest ping intervals: the engine cuts the link
/// should the connector have failed to.
const SILENCE_MAX: Nanos = Nanos::from_secs(60);

/// The venue states no number: one connection a second on average is modest, with room for the
/// links of some thousand tokens at a start.
const ATTEMPT_LIMIT: AttemptLimit = AttemptLimit {
    attempts: 60,
    window_ns: Nanos::from_secs(60),
};

/// The largest messages are the books of all tokens of a link in one array: 200 of 10 kB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Levels of a side: one a tick, of which there are at most 10,000 between 0 and 1.
pub(super) const LEVELS_MAX: usize = 10_000;

/// The venue delays requests beyond its limits instead of refusing them.
pub(super) const REST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// A book of 10 kB for each token that is asked for at once.
pub(super) const REST_BODY_BYTES_MAX: usize = 8 << 20;

/// One book: a level a tick on both sides is 400 kB, far more than any has.
pub(super) const PROBE_BODY_BYTES_MAX: usize = 1 << 20;

/// HTTP 403 of the guard before the venue. It names no time.
pub(super) const BAN_WAIT: Nanos = Nanos::from_secs(60);

/// HTTP 429 without `Retry-After`, and 425 and 503 while the matching engine restarts: "retry with
/// backoff, 1 to 2 seconds" (trading/matching-engine).
pub(super) const RATE_LIMIT_WAIT: Nanos = Nanos::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(ws_url: &str, rest_url: &str) -> Result<Urls, Error> {
        Urls::new(&PolymarketConfig::new().at((ws_url, rest_url)))
    }

    #[test]
    fn endpoints_are_the_venues_or_a_users_own() {
        let urls = Urls::new(&PolymarketConfig::new()).expect("good URLs");
        assert_eq!(urls.ws.host, "ws-subscriptions-clob.polymarket.com");
        assert_eq!((urls.ws_path.as_str(), urls.ws.tls), ("/ws/market", true));
        assert_eq!(urls.rest.host, "clob.polymarket.com");
        let urls = custom("ws://[::1]:9/p/", "http://h:1/x/").expect("good URLs");
        assert_eq!(urls.ws_path, "/p/ws/market");
        assert_eq!(urls.rest_prefix, "/x");
        for (ws_url, rest_url) in [("https://a", "https://a"), ("wss://a", "wss://a"), ("", "")] {
            assert!(custom(ws_url, rest_url).is_err());
        }
    }

    #[test]
    fn what_can_not_be_is_refused_before_anything_is_opened() {
        let good = PolymarketConfig::new();
        assert_eq!(good.check(), Ok(()));
        let pair = Upkeep {
            redundancy: Redundancy::Pair,
            ..good.upkeep
        };
        let secs = Nanos::from_secs;
        let table = [
            PolymarketConfig {
                upkeep: pair,
                ..good.clone()
            },
            PolymarketConfig {
                assets_per_link_max: 0,
                ..good.clone()
            },
            PolymarketConfig {
                assets_per_link_max: 501,
                ..good.clone()
            },
            PolymarketConfig {
                ping_interval_ns: secs(0),
                ..good.clone()
            },
            PolymarketConfig {
                ping_interval_ns: secs(31),
                ..good.clone()
            },
        ];
        for config in table {
            assert!(config.check().is_err(), "{config:?}");
        }
        for network in [Network::Testnet, Network::Demo] {
            assert!(Urls::new(&good.clone().at(network)).is_err());
        }
    }
}
