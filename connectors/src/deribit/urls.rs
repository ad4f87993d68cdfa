//! Where Deribit is, and what it allows: endpoints, limits and deadlines as data, each with the page
//! and date it comes from.
//!
//! "API" is docs.deribit.com, API v2.1.1 (mid-2025, and its method pages of 2026-03-26); "rate limits"
//! and "connection management" are articles of support.deribit.com (25944617523357 and
//! 25944603459613, 2026-11).

use crate::credentials::Credentials;
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

/// Which part of Deribit to connect to.
#[derive(Clone, Debug)]
pub struct DeribitConfig {
    /// [`Market::Spot`], [`Market::Linear`], [`Market::Inverse`] or [`Market::Option`].
    pub market: Market,
    /// Which network. Keys of the test network are of no use on the real one, and the other way round.
    pub network: Network,
    /// With them each link logs in before it subscribes, and what has no wish for an interval comes with
    /// each change (`raw`) instead of every 100 ms: Deribit gives that to nobody else.
    pub credentials: Option<Credentials>,
    /// How to log in.
    pub login: Login,
    /// Whether to ask for instrument data.
    pub instruments: FetchInstruments,
    /// Topics on one link, at least 1. A link with fewer loses less when it drops. Deribit states no
    /// limit; ours is none by default.
    pub link_topics_max: u16,
    /// A link that brings no message for so long (a heartbeat is one here), nor an answer to the engine's
    /// own ping, is dead ([`LinkSpec::silence_max_ns`](crate::LinkSpec)).
    pub silence_max_ns: Nanos,
    /// How links and books are looked after. [`Redundancy::Pair`] is refused: nothing promises that two
    /// connections number a book's changes alike.
    pub upkeep: Upkeep,
    /// The account to trade on.
    pub trading: Option<Trading>,
    /// What is left of the venue's limits on this address, or this account where links log in. Give all
    /// connectors of one clones of one [`DeribitConfig::new_budget`]. By default a connector has its own.
    pub budget: Option<Governor>,
}

/// How a link logs in (`public/auth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// By a signature over time and nonce: the secret is never sent. Needs a clock that is right within
    /// a minute.
    #[default]
    Signature,
    /// By id and secret.
    Secret,
}

impl DeribitConfig {
    /// A budget that the connectors of one address or account share.
    pub fn new_budget() -> Governor {
        Governor::new(BUDGET)
    }

    /// On another network: [`Network::Testnet`], or a pair of WebSocket and REST roots.
    pub fn at(self, network: impl Into<Network>) -> DeribitConfig {
        DeribitConfig {
            network: network.into(),
            ..self
        }
    }

    /// Logged in: raw books and trades.
    pub fn with_credentials(self, credentials: Credentials) -> DeribitConfig {
        DeribitConfig {
            credentials: Some(credentials),
            ..self
        }
    }

    /// With an account.
    pub fn trading(self, trading: Trading) -> DeribitConfig {
        DeribitConfig {
            trading: Some(trading),
            ..self
        }
    }

    /// One market on the main network.
    pub fn new(market: Market) -> DeribitConfig {
        DeribitConfig {
            market,
            network: Network::Mainnet,
            credentials: None,
            trading: None,
            login: Login::default(),
            instruments: FetchInstruments::Yes,
            link_topics_max: u16::MAX,
            silence_max_ns: SILENCE_MAX,
            upkeep: UPKEEP,
            budget: None,
        }
    }

    /// Perpetuals and futures settled in coin, on the main network.
    pub fn inverse() -> DeribitConfig {
        DeribitConfig::new(Market::Inverse)
    }

    /// Perpetuals and futures settled in USDC, on the main network.
    pub fn linear() -> DeribitConfig {
        DeribitConfig::new(Market::Linear)
    }

    /// Options, on the main network.
    pub fn option() -> DeribitConfig {
        DeribitConfig::new(Market::Option)
    }

    /// Spot on the main network.
    pub fn spot() -> DeribitConfig {
        DeribitConfig::new(Market::Spot)
    }
}

/// Deribit states no lifetime of a connection that is not idle (connection management), so none is
/// replaced for its age.
const UPKEEP: Upkeep = Upkeep {
    redundancy: Redundancy::Single,
    link_age_max_ns: None,
    // A topic shows itself in step with its next message; the quietest are handed over at their ack.
    handover_max_ns: Nanos::from_secs(60),
    top_check: TopCheck::Always,
    // Books come every 100 ms and quotes with each change: five seconds without a single moment of
    // agreement are 50 pushes of the slower, and five of the slowest, `agg2`.
    top_differs_max_ns: Nanos::from_secs(5),
    expectations: Expectations {
        // Pushed with each change: a perpetual's many times a second, an option's perhaps not for hours.
        book: Expectation::probed(Nanos::from_secs(20)),
        bbo: Expectation::probed(Nanos::from_secs(20)),
        // Most instruments trade less than once a minute.
        trades: Expectation::probed(Nanos::from_secs(60)),
        // Moves with the mark price, about once a second.
        ticker: Expectation::probed(Nanos::from_secs(30)),
        // Pushed with each trade.
        kline: Expectation::probed(Nanos::from_secs(120)),
    },
};

/// What of the venue's limits one address or account uses: half, as others on it need some, too.
const BUDGET: governor::Rules = governor::Rules {
    // 500 credits a request of a pool that refills by 10,000 a second: 20 (rate limits).
    weight: Window {
        max: 10,
        span_ns: Nanos::from_secs(1),
    },
    // Subscribe requests. Each takes 3,000 credits of a pool of 30,000 that refills by 10,000 a second
    // (rate limits): 3.3. Who has none is cut off (10028), so all of ours go through here, and two
    // windows that meet take 6 of the 10 that a full pool holds.
    renewals: Window {
        max: 3,
        span_ns: Nanos::from_secs(1),
    },
    ban_ns: CREDITS_WAIT,
    // Longer than any pause that the pages name.
    ban_max_ns: Nanos::from_secs(600),
};

/// The endpoints, read once.
#[derive(Clone, Debug)]
pub(super) struct Urls {
    ws: Endpoint,
    ws_path: String,
    pub(super) rest: Endpoint,
    /// Goes before each path of the API; mostly empty.
    pub(super) rest_prefix: String,
    pub(super) silence_max_ns: Nanos,
}

impl Urls {
    pub(super) fn new(network: &Network, market: Market) -> Result<Urls, Error> {
        kind(market)?;
        let (ws, rest) = match network {
            Network::Mainnet => ("wss://www.deribit.com", "https://www.deribit.com"),
            // Deribit has no demo network beside its test network.
            Network::Testnet | Network::Demo => {
                ("wss://test.deribit.com", "https://test.deribit.com")
            }
            Network::Custom { ws_url, rest_url } => (ws_url.as_str(), rest_url.as_str()),
        };
        let ws = format!("{}/ws/api/v2", ws.trim_end_matches('/'));
        let (ws, ws_path) = split(&ws, "wss", "ws")?;
        let (rest, prefix) = split(rest, "https", "http")?;
        let rest_prefix = prefix.trim_end_matches('/').to_owned();
        Ok(Urls {
            ws,
            ws_path,
            rest,
            rest_prefix,
            silence_max_ns: SILENCE_MAX,
        })
    }

    /// A link as Deribit wants it. What it counts is credits, which the connector keeps count of.
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

/// The market as `public/get_instruments` writes it, where this connector serves it.
pub(super) fn kind(market: Market) -> Result<&'static str, Error> {
    match market {
        Market::Spot => Ok("spot"),
        Market::Linear | Market::Inverse => Ok("future"),
        Market::Option => Ok("option"),
        Market::Prediction => Err(Error::ours(
            ErrorKind::NotSupported,
            "Deribit prediction is not supported: use spot, linear, inverse or option",
        )),
    }
}

/// The rules on requests: 32 kB in one (connection management), quotes, commas and the envelope
/// included. Few and large, as credits are counted by request.
pub(super) const RULES: Rules = Rules {
    topics_max: 500,
    bytes_max: 24_000,
    in_flight_max: 4,
    ack_timeout_ns: Nanos::from_secs(5),
    tries_max: 3,
};

/// How often the venue is to send a heartbeat; 10 is the least (public/set_heartbeat), 30 is usual.
pub(super) const HEARTBEAT_S: i64 = 30;

/// The answer to `set_heartbeat` or `auth` takes a round trip; a link that needs this long is dead.
pub(super) const ANSWER_TIMEOUT: Nanos = Nanos::from_secs(10);

/// No heartbeat, no data and no answer to the engine's ping.
const SILENCE_MAX: Nanos = Nanos::from_secs(40);

/// A login is renewed when this share of its time has passed, in percent.
pub(super) const LOGIN_USED_PERCENT: i64 = 80;

/// The longest that a login is left alone (`expires_in` was seen from 900 seconds to a year), so that no
/// timer is further off than a day.
pub(super) const LOGIN_AGE_MAX_S: i64 = 86_400;

/// The shortest, should a venue grant nothing to speak of.
pub(super) const LOGIN_AGE_MIN_S: i64 = 30;

/// Deribit limits the connections that an address has, 32, not how often it connects. One a second keeps
/// those that are still being taken down from counting.
const ATTEMPT_LIMIT: AttemptLimit = AttemptLimit {
    attempts: 60,
    window_ns: Nanos::from_secs(60),
};

/// The largest messages are snapshots of a whole perpetual's book: some thousand levels, 40 bytes each;
/// 2 MiB hold 25,000 a side.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// Messages in a row with a number that the book has seen, before continuity counts as lost.
pub(super) const STALE_RUN_MAX: u32 = 16;

/// An answer on one instrument is small, that on all options some megabytes.
pub(super) const REST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// `get_instruments` of all options: some 5,000 of 700 bytes.
pub(super) const REST_BODY_BYTES_MAX: usize = 16 << 20;

/// 20 levels a side, or a day's candles of three minutes.
pub(super) const PROBE_BODY_BYTES_MAX: usize = 1 << 16;

/// Until the pool of subscribe credits is full again (rate limits: 30,000 at 10,000 a second).
pub(super) const CREDITS_WAIT: Nanos = Nanos::from_secs(3);

/// What the venue could not just now is tried again after this.
pub(super) const RETRY_WAIT: Nanos = Nanos::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_host() {
        let table = [
            (Network::Mainnet, Market::Spot, "www.deribit.com"),
            (Network::Testnet, Market::Option, "test.deribit.com"),
        ];
        for (network, market, host) in table {
            let urls = Urls::new(&network, market).expect("a good URL");
            assert_eq!(
                (urls.ws.host.as_str(), urls.ws_path.as_str()),
                (host, "/ws/api/v2")
            );
            assert_eq!(
                (urls.rest.host.as_str(), urls.rest_prefix.as_str()),
                (host, "")
            );
            assert_eq!((urls.ws.port, urls.ws.tls), (443, true));
        }
    }

    #[test]
    fn markets_that_are_not_served_and_bad_urls_are_refused() {
        let refused = Urls::new(&Network::Mainnet, Market::Prediction).map(|_| ());
        let kind = refused.map_err(|error| error.kind);
        assert_eq!(kind, Err(ErrorKind::NotSupported));
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
        let urls = urls.map(|urls| (urls.ws_path, urls.rest_prefix));
        assert_eq!(urls, Ok(("/p/ws/api/v2".to_owned(), "/x".to_owned())));
    }

    #[test]
    fn the_largest_request_fits_the_venues_limit() {
        let most = RULES.bytes_max + RULES.topics_max * r#""","#.len();
        let envelope = r#"{"jsonrpc":"2.0","id":4294967295,"method":"public/unsubscribe","params":{"channels":[]}}"#;
        assert!(most + envelope.len() <= 32_000);
    }
}
