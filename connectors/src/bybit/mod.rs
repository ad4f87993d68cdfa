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

use crate::channel::{ALL_SYMBOLS, Channel};
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind};
use crate::event::StreamId;
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::market_data::{Dialect, Setup, Streams, View, free_link};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::trading::desk::{self, Desk};
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

use own::Own;
use trade::Words;
pub use urls::BybitConfig;
use urls::Urls;

/// One market of Bybit as a sans-IO state machine; see [`Connector`] for how to drive it.
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
            let words = Words::new(config.market, urls, trading.credentials.clone(), transport)?;
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

    fn desk(&self) -> Option<&Desk<Words>> {
        self.streams.own.desk.as_deref()
    }

    /// Does something with the desk, where there is one.
    fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<Words>, &View<'_, Own>) -> T,
    ) -> Option<T> {
        let (own, view) = self.streams.split();
        Some(act(own.desk.as_mut()?, &view))
    }

    fn is_of_desk(&self, stream: StreamId) -> bool {
        self.desk().is_some_and(|desk| desk.has(stream))
    }

    fn is_link_of_desk(&self, link: LinkId) -> bool {
        self.streams.own.has_link(link)
    }

    /// A stream of the account's own events.
    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        let streams = &mut self.streams;
        if streams.table.slot_of(id).is_some() {
            return;
        }
        let instrument = streams.instrument(&asked);
        let is_all = asked.as_str() == ALL_SYMBOLS;
        let only = (!is_all).then_some(instrument.key.symbol);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        let taken = streams.links_taken();
        let free = |more: &[LinkId]| free_link(|id| taken.contains(&id) || more.contains(&id));
        self.with_desk(|desk, _| desk.subscribe(now, stream, only, free, out));
    }
}

impl Connector for Bybit {
    fn venue(&self) -> Venue {
        Venue::Bybit
    }

    fn market(&self) -> Market {
        self.streams.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let id = command.stream();
        if self.is_of_desk(id) {
            self.with_desk(|desk, _| match command {
                Command::Unsubscribe { .. } => desk.unsubscribe(now, id, out),
                Command::Republish { .. } => desk.republish(now, id, out),
                _ => {}
            });
            return;
        }
        match command {
            Command::Subscribe {
                symbol,
                channel: Channel::User,
                ..
            } if self.desk().is_some() => self.subscribe_user(now, id, symbol, out),
            _ => self.streams.handle_command(now, command, out),
        }
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        let did = self.with_desk(|desk, view| desk.handle_action(now, ticket, action, view, out));
        if did.is_none() {
            let text = "this connector was made without credentials";
            let error = Error::ours(ErrorKind::Authentication, text);
            out.push_answer(Answer {
                ticket,
                result: Err(error),
            });
        }
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if !self.is_link_of_desk(link) {
            return self.streams.handle_link(now, link, &change, out);
        }
        self.with_desk(|desk, _| match change {
            LinkChange::Up { .. } => desk.handle_up(now, link, out),
            LinkChange::Down { .. } => desk.handle_down(now, link, out),
        });
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
        if !self.is_link_of_desk(link) {
            return self.streams.handle_message(now, link, payload, out);
        }
        self.streams.counters.messages += 1;
        self.with_desk(|desk, view| {
            desk.handle_message(now, link, payload, (view.governor, view), out);
        });
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if !desk::is_request(id) {
            return self.streams.handle_response(now, id, response, out);
        }
        self.with_desk(|desk, view| {
            desk.handle_response(now, id, response, view.governor, view, out);
        });
        self.streams.tell_news(now, out);
        self.streams.rearm();
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        if !desk::is_request(id) {
            self.streams.handle_instruments(now, id, instruments, out);
            return self.streams.rearm();
        }
        self.with_desk(|desk, _| desk.handle_instruments(id, &instruments, out));
        for instrument in instruments.unwrap_or_default() {
            self.streams.symbols.insert(instrument);
        }
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        if self.desk().is_some_and(|desk| desk.deadline() <= now) {
            self.with_desk(|desk, view| desk.handle_timeout(now, view, out));
        }
        self.streams.handle_timeout(now, out);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        let desk = self.desk().map(|desk| desk.deadline());
        let desk = desk.filter(|at| *at < Nanos::MAX);
        desk.into_iter().chain(self.streams.poll_timeout()).min()
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        // Orders go before everything else.
        let first = self.with_desk(|desk, view| desk.poll_transmit(now, view.governor, body));
        let Some(transmit) = first.flatten() else {
            return self.streams.poll_transmit(now, body);
        };
        self.streams.counters.requests += u64::from(matches!(transmit, Transmit::Http(_)));
        Some(transmit)
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.desk().is_some_and(Desk::has_transmit) || self.streams.has_transmit()
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
