//! Deribit: inverse and linear futures, options and spot: market data, orders and the account.
//!
//! One [`Deribit`] serves one market, so that a symbol means one thing; all markets share one address.
//! Written to API v2.1.1 (mid-2025), its method pages of 2026-03-26, the support articles of 2026-11 and
//! the release notes of 2026-01-13.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | answers of REST about instruments |
//! | `login` | `public/auth` |
//! | `subscribe` | topics, requests, refusals |
//! | `own` | what the skeleton of market data asks of a venue |
//! | `links` | links, their login and proofs of life |
//! | `watch` | probes |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `sync` | what is kept beside a stream: book, ticker |
//! | `trade` | requests about orders and the account |
//! | `private` | answers, and the account's own events |
//! | `account` | answers by HTTP |
//! | `codes` | error codes as data |
//!
//! # Limits
//!
//! - No combos.
//! - No grouping by price: books are whole, or of 1, 10 or 20 single levels.
//! - [`Redundancy::Pair`] is refused.
//! - Block and combo trades are among the trades and not marked.

mod account;
pub(crate) mod catalog;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod login;
mod own;
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

use crate::error::{Error, ErrorKind};
use crate::market_data::{Setup, Streams, connector};
use crate::trading::desk::Desk;
use crate::upkeep::Redundancy;

use login::LoginWriter;
use own::Own;
use trade::Words;
use urls::Urls;
pub use urls::{DeribitConfig, Login};

/// One market of Deribit as a sans-IO state machine; see [`Connector`](crate::Connector) for how to drive
/// it.
#[derive(Debug)]
pub struct Deribit {
    streams: Streams<Own>,
}

impl Deribit {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a market that is not served, for a URL or credentials that can't be used, and for pairs
    /// of links.
    pub fn new(config: DeribitConfig, seed: u64) -> Result<Deribit, Error> {
        let mut urls = Urls::new(&config.network, config.market)?;
        urls.silence_max_ns = config.silence_max_ns;
        if config.upkeep.redundancy == Redundancy::Pair {
            let text = "Deribit does not promise that two links number a book alike: use Redundancy::Single";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut login_of =
            |credentials| LoginWriter::new(credentials, config.login, config.market, rng.fork());
        let login = config.credentials.map(&mut login_of);
        let desk = config.trading.map(|trading| {
            let login = login_of(trading.credentials.clone())?;
            let words = Words::new(urls.clone(), login, &trading);
            Ok::<_, Error>(Box::new(Desk::new(words, &trading, config.instruments)))
        });
        let own = Own::new(config.market, urls, login.transpose()?, desk.transpose()?);
        let setup = Setup {
            market: config.market,
            fetch: config.instruments,
            upkeep: config.upkeep,
            link_topics_max: config.link_topics_max,
            governor: config.budget.unwrap_or_else(DeribitConfig::new_budget),
            rng,
        };
        Ok(Deribit {
            streams: Streams::new(own, setup),
        })
    }
}

connector!(Deribit);
