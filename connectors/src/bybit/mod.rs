//! Bybit v5: spot and linear.
//!
//! One [`Bybit`] serves one market, as one of its sockets does: "BTCUSDT" is a symbol of both, and no
//! message says of which. Written to the venue's pages as of 2026-07-24.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | answers of REST about instruments |
//! | `subscribe` | topics, requests, refusals |
//! | `own` | what the skeleton of market data asks of a venue |
//! | `links` | links and their heartbeat |
//! | `pair` | what two links of one stream make of each other |
//! | `watch` | probes |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `trade` | requests about orders and the account, signed |
//! | `private` | answers of the trade link, the account's own events |
//! | `account` | answers of REST about orders and the account |
//! | `codes` | error codes |
//! | `sync` | what is kept beside a stream: book, ticker |
//!
//! # Limits
//!
//! - No inverse, option or spread market. Positions in one-way mode only; open orders and positions of linear
//!   are listed where they settle in USDT, up to 50 and 200 at a time (what is not listed is looked up).
//!   No cancel on disconnect (DCP is for institutions).
//! - No `orderbook.full`, RPI books, liquidations or price limits.
//! - Of a pair of links the one that is mute while the other speaks is not found out: first arrival
//!   counts, and only a stream that is silent on both is probed.
//! - Block trades and RPI trades are among the trades and not marked.
//! - `contract_size` of linear is 1 base currency, as quantities are in base currency.

mod account;
pub(crate) mod catalog;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod own;
mod pair;
pub mod parse;
mod private;
mod rest;
pub mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod trade;
mod urls;
mod watch;

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::market_data::{Setup, Streams, connector};
use crate::trading::desk::Desk;

use own::Own;
use trade::Words;
pub use urls::BybitConfig;
use urls::Urls;

/// One market of Bybit as a sans-IO state machine; see [`Connector`](crate::Connector) for how to drive it.
#[derive(Debug)]
pub struct Bybit {
    streams: Streams<Own>,
}

impl Bybit {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a market that is not served and for a URL that can't be used.
    pub fn new(config: BybitConfig, seed: u64) -> Result<Bybit, Error> {
        let mut urls = Urls::new(&config.network, config.market)?;
        urls.silence_max_ns = config.silence_max_ns;
        let desk = config.trading.map(|trading| {
            let (urls, transport) = (urls.clone(), trading.transport);
            let (who, dcp_s) = (
                trading.credentials.clone(),
                trading.cancel_on_disconnect.after_s(),
            );
            let words = Words::new(config.market, urls, who, transport, dcp_s)?;
            Ok::<_, Error>(Box::new(Desk::new(words, &trading, config.instruments)))
        });
        let own = Own::new(config.market, urls, desk.transpose()?);
        let setup = Setup {
            market: config.market,
            fetch: config.instruments,
            upkeep: config.upkeep,
            link_topics_max: config.link_topics_max,
            governor: config.budget.unwrap_or_else(BybitConfig::new_budget),
            rng: fastrand::Rng::with_seed(seed),
        };
        Ok(Bybit {
            streams: Streams::new(own, setup),
        })
    }
}

connector!(Bybit);
