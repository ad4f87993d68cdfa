//! Deribit: inverse and linear futures, options and spot, public market data; logged in where there are
//! credentials.
//!
//! One [`Deribit`] serves one market, so that a symbol means one thing; all markets share one address.
//! Written to API v2.1.1 (mid-2025), its method pages of 2026-03-26, the support articles of 2026-11 and
//! the release notes of 2026-01-13.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | instrument data |
//! | `login` | `public/auth` |
//! | `subscribe` | topics, requests, refusals |
//! | `own` | what the skeleton of market data asks of a venue |
//! | `links` | links, their login and proofs of life, hand-over |
//! | `watch` | liveness, probes, companions, agreement |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `sync` | what is kept beside a stream: book, ticker, resync |
//!
//! # Limits
//!
//! - No orders and no private streams; no combos.
//! - No grouping by price: books are whole, or of 1, 10 or 20 single levels.
//! - An option's ticker has prices, no greeks and no implied volatility.
//! - [`Redundancy::Pair`] is refused.
//! - An instrument's tick is that of its lowest prices; those of `tick_size_steps` only widen its scale.
//! - Block and combo trades are among the trades and not marked.

#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod login;
mod own;
pub mod parse;
mod rest;
pub mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod urls;
mod watch;

#[cfg(test)]
mod tests;

use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind};
use crate::event::StreamId;
use crate::instrument::{Instrument, Market, Venue};
use crate::market_data::{Setup, Streams};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};
use crate::upkeep::Redundancy;

use login::LoginWriter;
use own::Own;
use urls::Urls;
pub use urls::{DeribitConfig, Login};

/// One market of Deribit as a sans-IO state machine; see [`Connector`] for how to drive it.
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
        let login = config.credentials.map(|credentials| {
            LoginWriter::new(credentials, config.login, config.market, rng.fork())
        });
        let own = Own::new(config.market, urls, login.transpose()?);
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

impl Connector for Deribit {
    fn venue(&self) -> Venue {
        Venue::Deribit
    }

    fn market(&self) -> Market {
        self.streams.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        self.streams.handle_command(now, command, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        self.streams.handle_link(now, link, &change, out);
    }

    fn handle_refusal(
        &mut self,
        now: Nanos,
        _: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        self.streams
            .handle_refusal(now, status, retry_after_ns, out);
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.streams.handle_message(now, link, payload, out);
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        self.streams.handle_response(now, id, response, out);
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        self.streams.handle_instruments(now, id, instruments, out);
        self.streams.rearm();
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.streams.handle_timeout(now, out);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        self.streams.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        self.streams.poll_transmit(now, body)
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.streams.has_transmit()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        self.streams.book(stream)
    }

    fn instrument_reader(&self) -> InstrumentReader {
        rest::read_instruments
    }

    fn symbol_rule(&self) -> SymbolRule {
        |market, asked| symbols::venue_symbol(market, asked).unwrap_or(*asked)
    }

    fn counters(&self) -> Counters {
        self.streams.counters
    }
}
