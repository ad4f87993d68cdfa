//! Where Bybit is, and what it allows: endpoints, limits and deadlines as data, each with the page
//! and date it comes from.
//!
//! Pages are those of bybit-exchange.github.io/docs/v5 as of 2026-07-24 (docs repository @072c197d).

use crate::error::{Error, ErrorKind};
use crate::governor::{self, Governor, Window};
use crate::instrument::Market;
use crate::liveness::Expectation;
use crate::network::{FetchInstruments, Network};
use crate::subscriptions::Rules;
use crate::time::Nanos;
use crate::trading::Trading;
use crate::transmit::{AttemptLimit, Endpoint, LinkSpec};
use crate::upkeep::{Expectations, Redundancy, TopCheck, Upkeep};

/// Which part of Bybit to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BybitConfig {
    /// [`Market::Spot`] or [`Market::Linear`].
    pub market: Market,
    /// Which network.
    pub network: Network,
    /// Whether to ask for instrument data.
    pub instruments: FetchInstruments,
    /// Topics on one link, at least 1, beside the venue's limit on the length of their names. A
    /// link with fewer loses less when it drops. No limit by default.
    pub link_topics_max: u16,
    /// A link that brings no message for so long (a pong is one here), nor an answer to the engine's
    /// own ping, is dead ([`LinkSpec::silence_max_ns`](crate::LinkSpec)): by default two of our pings
    /// and a pong's deadline, should the heartbeat have failed to see it.
    pub silence_max_ns: Nanos,
    /// How links and books are looked after.
    pub upkeep: Upkeep,
    /// What is left of the venue's limits on this address. Bybit counts its markets as one: give all
    /// of an address clones of one [`BybitConfig::new_budget`]. By default a connector has its own.
    pub budget: Option<Governor>,
    /// How to trade; `None` for market data alone.
    pub trading: Option<Trading>,
}

impl BybitConfig {
    /// A budget that the connectors of one address share.
    pub fn new_budget() -> Governor {
        Governor::new(BUDGET)
    }

    /// On another network: [`Network::Testnet`], or a pair of WebSocket and REST roots.
    pub fn at(self, network: impl Into<Network>) -> BybitConfig {
        BybitConfig {
            network: network.into(),
            ..self
        }
    }

    /// With the account of these credentials.
    #[must_use]
    pub fn trading(self, trading: Trading) -> BybitConfig {
        BybitConfig {
            trading: Some(trading),
            ..self
        }
    }

    /// Spot on the main network.
    pub fn spot() -> BybitConfig {
        BybitConfig {
            market: Market::Spot,
            network: Network::Mainnet,
            instruments: FetchInstruments::Yes,
            link_topics_max: u16::MAX,
            silence_max_ns: SILENCE_MAX,
            upkeep: UPKEEP,
            budget: None,
            trading: None,
        }
    }

    /// Linear contracts on the main network.
    pub fn linear() -> BybitConfig {
        BybitConfig {
            market: Market::Linear,
            ..BybitConfig::spot()
        }
    }
}

/// Bybit states no lifetime of a public connection (ws/connect, 2026-07-24), so none is replaced for
/// its age.
const UPKEEP: Upkeep = Upkeep {
    redundancy: Redundancy::Single,
    link_age_max_ns: None,
    // A topic shows itself in step with its next message; the quietest are handed over at their ack.
    handover_max_ns: Nanos::from_secs(60),
    top_check: TopCheck::Always,
    // The slowest book is pushed every 200 ms and level 1 every 10: five seconds without a single
    // moment of agreement are 25 pushes of the slowest.
    top_differs_max_ns: Nanos::from_secs(5),
    expectations: Expectations {
        // Pushed with each change; a liquid book changes many times a second, one without orders may
        // not change for hours.
        book: Expectation::probed(Nanos::from_secs(15)),
        // Sent again after 3 seconds without a change (websocket/public/orderbook): silence of three
        // such times is proof.
        bbo: Expectation::repeated(Nanos::from_secs(10)),
        // Most instruments trade less than once a minute.
        trades: Expectation::probed(Nanos::from_secs(60)),
        // Linear ones move with the mark price about once a second; spot ones with each trade.
        ticker: Expectation::probed(Nanos::from_secs(30)),
        // "Push frequency: 1-60s" (websocket/public/kline).
        kline: Expectation::probed(Nanos::from_secs(75)),
    },
};

/// What of the venue's limits one address uses.
const BUDGET: governor::Rules = governor::Rules {
    // The venue allows 600 requests in 5 seconds (rate-limit, 2026-07-24) in a window of its own,
    // which two of ours may share, and others on this address need some, too.
    weight: Window {
        max: 200,
        span_ns: Nanos::from_secs(5),
    },
    // Two requests each on the stream, which answers some hundred a second.
    renewals: Window {
        max: 20,
        span_ns: Nanos::from_secs(1),
    },
    ban_ns: BAN_WAIT,
    // Longer than any pause that the pages name.
    ban_max_ns: Nanos::from_secs(3_600),
};

/// The endpoints of one market, read once.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    pub(super) ws: Endpoint,
    pub(super) ws_path: String,
    pub(super) rest: Endpoint,
    /// Goes before each path of the API; mostly empty.
    pub(super) rest_prefix: String,
    pub(super) silence_max_ns: Nanos,
    /// Host of the account's links.
    account: Endpoint,
    account_prefix: String,
}

impl Urls {
    pub(super) fn new(network: &Network, market: Market) -> Result<Urls, Error> {
        let category = category(market)?;
        let (ws, rest) = match network {
            Network::Mainnet => (
                format!("wss://stream.bybit.com/v5/public/{category}"),
                "https://api.bybit.com".to_owned(),
            ),
            Network::Testnet => (
                format!("wss://stream-testnet.bybit.com/v5/public/{category}"),
                "https://api-testnet.bybit.com".to_owned(),
            ),
            // Paper orders stand beside the real network's public streams (guide).
            Network::Demo => (
                format!("wss://stream.bybit.com/v5/public/{category}"),
                "https://api-demo.bybit.com".to_owned(),
            ),
            Network::Custom { ws_url, rest_url } => {
                let root = ws_url.trim_end_matches('/');
                (format!("{root}/v5/public/{category}"), rest_url.clone())
            }
        };
        let (ws, ws_path) = split(&ws, "wss", "ws")?;
        let (rest, prefix) = split(&rest, "https", "http")?;
        let account = match network {
            Network::Mainnet => "wss://stream.bybit.com",
            Network::Testnet => "wss://stream-testnet.bybit.com",
            Network::Demo => "wss://stream-demo.bybit.com",
            Network::Custom { ws_url, .. } => ws_url,
        };
        let (account, account_path) = split(account, "wss", "ws")?;
        let rest_prefix = prefix.trim_end_matches('/').to_owned();
        Ok(Urls {
            ws,
            ws_path,
            rest,
            rest_prefix,
            silence_max_ns: SILENCE_MAX,
            account,
            account_prefix: account_path.trim_end_matches('/').to_owned(),
        })
    }

    /// A link of the account.
    pub(super) fn account_link(&self, path: &str) -> LinkSpec {
        LinkSpec {
            attempt_limit: Some(ATTEMPT_LIMIT),
            silence_max_ns: Some(self.silence_max_ns),
            ..LinkSpec::new(
                self.account.clone(),
                format!("{}{path}", self.account_prefix),
            )
        }
    }

    /// A link as Bybit wants it. It states no limit on the messages that a client sends on a public
    /// stream; one request in flight at a time paces ours.
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

/// The market as Bybit writes it, where this connector serves it.
pub(super) fn category(market: Market) -> Result<&'static str, Error> {
    match market {
        Market::Spot => Ok("spot"),
        Market::Linear => Ok("linear"),
        other => Err(Error::ours(
            ErrorKind::NotSupported,
            format!("Bybit {other} is not supported: use spot or linear"),
        )),
    }
}

/// Most characters of all `args` on one public connection. The venue allows 21,000
/// (ws/connect, 2026-07-24) and does not say whether quotes and commas count: ours do, and a
/// twentieth is left free.
pub(super) const ARGS_CHARS_MAX: usize = 20_000;

/// The quotes and the comma that each topic brings along.
pub(super) const ARG_EXTRA_CHARS: usize = 3;

/// The rules on requests. Spot takes at most 10 args in one, "args size >10" otherwise (ws/connect,
/// 2026-07-24); linear states no number. Since one bad topic costs the whole request, linear ones
/// are kept small as well. Linear acks come with an empty `req_id`, so one request is in flight.
pub(super) const fn rules(market: Market) -> Rules {
    Rules {
        topics_max: match market {
            Market::Spot => 10,
            _ => 50,
        },
        bytes_max: 4_000,
        in_flight_max: 1,
        ack_timeout_ns: Nanos::from_secs(5),
        tries_max: 3,
    }
}

/// The client pings this often (ws/connect, 2026-07-24: "we recommend sending a ping every 20
/// seconds").
pub(super) const PING_INTERVAL: Nanos = Nanos::from_secs(20);

/// A pong takes a round trip; a link that needs this long for one is dead.
pub(super) const PONG_TIMEOUT: Nanos = Nanos::from_secs(10);

/// Nothing at all, not even a pong, for two pings and a pong's deadline: the engine cuts the link
/// should the connector have failed to.
const SILENCE_MAX: Nanos = Nanos::from_secs(50);

/// Half of the 500 connections in 5 minutes that Bybit allows an address a domain (rate-limit, 2026-07-24): a
/// second program on this address, or the next version of this one during a restart, has the other
/// half.
const ATTEMPT_LIMIT: AttemptLimit = AttemptLimit {
    attempts: 250,
    window_ns: Nanos::from_secs(300),
};

/// The largest messages are snapshots of 1000 levels a side (about 80 kB) and 1024 trades in one
/// (about 220 kB).
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// Messages in a row with a number that the book has seen, before continuity counts as lost.
pub(super) const STALE_RUN_MAX: u32 = 16;

/// An answer on one symbol is small, on all of linear 0.7 MB (2026-08).
pub(super) const REST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// `instruments-info` of 1000 symbols takes 0.9 MB (2026-08).
pub(super) const REST_BODY_BYTES_MAX: usize = 8 << 20;

/// 50 levels a side take 3 kB, one trade, ticker or candle 1 kB.
pub(super) const PROBE_BODY_BYTES_MAX: usize = 1 << 16;

/// HTTP 403 "access too frequent": "wait at least 10 minutes" (rate-limit, 2026-07-24). Half a
/// minute more, as going on too early prolongs it.
pub(super) const BAN_WAIT: Nanos = Nanos::from_secs(630);

/// HTTP 429 and retCode 10006 without a reset time.
pub(super) const RATE_LIMIT_WAIT: Nanos = Nanos::from_secs(5);

/// The longest that a reset time in a header is believed.
pub(super) const RATE_RESET_MAX: Nanos = Nanos::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_and_market_has_its_own_path() {
        let table = [
            (
                Network::Mainnet,
                Market::Spot,
                "stream.bybit.com",
                "/v5/public/spot",
            ),
            (
                Network::Testnet,
                Market::Linear,
                "stream-testnet.bybit.com",
                "/v5/public/linear",
            ),
        ];
        for (network, market, host, path) in table {
            let urls = Urls::new(&network, market).expect("a good URL");
            assert_eq!((urls.ws.host.as_str(), urls.ws_path.as_str()), (host, path));
            assert_eq!(
                (urls.ws.port, urls.ws.tls, urls.rest_prefix.as_str()),
                (443, true, "")
            );
        }
    }

    #[test]
    fn markets_that_are_not_served_and_bad_urls_are_refused() {
        for market in [Market::Inverse, Market::Option, Market::Prediction] {
            let refused = Urls::new(&Network::Mainnet, market).map(|_| ());
            assert_eq!(
                refused.map_err(|error| error.kind),
                Err(ErrorKind::NotSupported)
            );
        }
        let custom = |ws_url: &str, rest_url: &str| Network::Custom {
            ws_url: ws_url.to_owned(),
            rest_url: rest_url.to_owned(),
        };
        for (ws_url, rest_url) in [
            ("https://a/", "https://a"),
            ("wss://a/", "wss://a"),
            ("", "https://a"),
        ] {
            assert!(Urls::new(&custom(ws_url, rest_url), Market::Spot).is_err());
        }
        let urls = Urls::new(&custom("ws://[::1]:9/p", "http://h:1/x/"), Market::Spot);
        assert_eq!(urls.map(|urls| urls.rest_prefix), Ok("/x".to_owned()));
    }
}
