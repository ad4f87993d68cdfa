//! Polymarket's CLOB: prediction markets, market data and orders.
//!
//! An instrument is one outcome token; its symbol is the token's id, up to 78 digits as text. One topic a
//! token brings its book, its changes and its trades. The venue sends no acks, no sequence numbers and
//! no trade ids; what makes its books trustworthy all the same stands in `sync`, `links` and `watch`.
//! Written to the venue's pages as read in 2026-11.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | tokens |
//! | `rest` | instrument data |
//! | `subscribe` | channels, requests |
//! | `own` | what the skeleton of market data asks of a venue |
//! | `links` | links and their heartbeat, the silent stall |
//! | `watch` | probes |
//! | `route` | from a frame to its streams |
//! | [`parse`] | the scanner of the market channel |
//! | [`tape`] | simd-json for the rest, and the twin of the scanner |
//! | [`listing`] | which token is which outcome of which question |
//! | `hash` | the venue's hash of a book |
//! | `news` | markets that are resolved |
//! | `user` | the account's orders and trades, told by the user channel alone |
//! | `trade` | requests about orders and the account, signed |
//! | [`wallet`] | orders that the account's wallet signs |
//! | `account` | what the venue says of the account |
//! | `codes` | its errors |
//! | `sync` | what is kept beside a stream: book |
//!
//! # Limits
//!
//! - Orders are placed where the user brings what signs them ([`Wallet`]); the chain itself is never
//!   asked, so that what tokens an account holds is known of this run's trades alone. Standing orders are
//!   the first page of the venue's list.
//! - No pairs of links: without numbers nobody could tell which link has missed what.
//! - No best bid/ask stream: the venue tells best prices without sizes. The top of a book is published.
//! - The venue's own `hash` of a book is checked where the message has what it is made of; that of a
//!   change is not a book's.
//! - A lost change is found by the best prices that come with later ones, or by a probe; one deep in the
//!   book of a token that goes on trading is found with the next `book`.

mod account;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod hash;
mod links;
pub mod listing;
mod news;
mod own;
pub mod parse;
mod rest;
mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod trade;
mod urls;
mod user;
pub mod wallet;
mod watch;

#[cfg(test)]
mod tests;

use crate::channel::Channel;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::Error;
use crate::event::StreamId;
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::market_data::{Dialect, Setup, Streams, free_link};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::trading::desk::Desk;
use crate::trading::{Action, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

use own::Own;
use route::Scratch;
use trade::Words;
use urls::Urls;
pub use urls::{
    ASSETS_PER_LINK_DEFAULT, ASSETS_PER_LINK_LIMIT, BOOK_HASH_EVERY_DEFAULT, PolymarketConfig,
    STALL_ASSETS_MIN,
};
use user::User;
pub use wallet::{SignedOrder, UnsignedOrder, Wallet};

/// Polymarket as a sans-IO state machine; see [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Polymarket {
    streams: Streams<Own>,
}

impl Polymarket {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a config with which no link would live, and for a URL that can't be used.
    pub fn new(config: PolymarketConfig, seed: u64) -> Result<Polymarket, Error> {
        config.check()?;
        let urls = Urls::new(&config)?;
        let desk = config.trading.map(|trading| {
            let keys = trading.credentials.clone();
            let words = Words::new(urls.clone(), keys, config.wallet, config.dead_man)?;
            Ok::<_, Error>(Box::new(Desk::new(words, &trading, config.instruments)))
        });
        let own = Own {
            urls,
            book_hash_every: config.book_hash_every,
            user: User::new(config.credentials),
            desk: desk.transpose()?,
            scratch: Some(Box::new(Scratch::new())),
        };
        let setup = Setup {
            market: Market::Prediction,
            fetch: config.instruments,
            upkeep: config.upkeep,
            link_topics_max: config.assets_per_link_max,
            governor: config.budget.unwrap_or_else(PolymarketConfig::new_budget),
            rng: fastrand::Rng::with_seed(seed),
        };
        Ok(Polymarket {
            streams: Streams::new(own, setup),
        })
    }

    // The user channel alone, where no account trades.

    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        let streams = &mut self.streams;
        if streams.table.slot_of(id).is_some() || streams.own.user.has(id) {
            return;
        }
        let instrument = symbols::instrument(asked);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        match streams.own.user.check(&asked) {
            Ok(()) => {
                let taken = streams.links_taken();
                let link = free_link(|id| taken.contains(&id) || streams.own.has_link(id));
                streams.own.user.add(now, stream, link, out);
            }
            Err(error) => streams.refuse(now, stream, &error, out),
        }
        streams.rearm();
    }

    fn is_link_of_user(&self, link: LinkId) -> bool {
        self.streams.own.user.link() == Some(link)
    }

    /// A message of the user channel.
    fn handle_user_message(&mut self, now: Nanos, payload: &mut [u8], out: &mut Outbox) {
        let streams = &mut self.streams;
        streams.counters.messages += 1;
        let Own { user, scratch, .. } = &mut streams.own;
        if payload == subscribe::PONG {
            user.handle_pong(now, out);
            return streams.rearm();
        }
        if !matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return;
        }
        let Some(scratch) = scratch else {
            return;
        };
        let reader = &mut scratch.reader;
        let read = reader.read(payload, |message| user.handle_message(now, &message, out));
        streams.counters.malformed += read.unwrap_or(1);
    }
}

impl Connector for Polymarket {
    fn venue(&self) -> Venue {
        self.streams.venue()
    }

    fn market(&self) -> Market {
        self.streams.market()
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let id = command.stream();
        let own = &mut self.streams.own;
        match command {
            Command::Subscribe {
                symbol,
                channel: Channel::User,
                ..
            } if own.desk.is_none() => self.subscribe_user(now, id, symbol, out),
            Command::Unsubscribe { .. } if own.user.has(id) => {
                own.user.remove(now, id, out);
                self.streams.rearm();
            }
            _ => self.streams.handle_command(now, command, out),
        }
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        self.streams.handle_action(now, ticket, action, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if !self.is_link_of_user(link) {
            return self.streams.handle_link(now, link, change, out);
        }
        match change {
            LinkChange::Up { .. } => self.streams.own.user.handle_up(),
            LinkChange::Down { .. } => self.streams.own.user.handle_down(now, out),
        }
        self.streams.rearm();
    }

    fn handle_refusal(
        &mut self,
        now: Nanos,
        link: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        self.streams
            .handle_refusal(now, link, status, retry_after_ns, out);
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        if self.is_link_of_user(link) {
            return self.handle_user_message(now, payload, out);
        }
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
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        let Own { user, urls, .. } = &mut self.streams.own;
        user.handle_timeout(now, urls, out);
        self.streams.handle_timeout(now, out);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        self.streams.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let Streams { own, closing, .. } = &mut self.streams;
        if own.user.has_transmit() {
            let todo = own.user.poll(now, &own.urls, body, closing);
            self.streams.rearm();
            if todo.is_some() {
                return todo;
            }
        }
        self.streams.poll_transmit(now, body)
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.streams.own.user.has_transmit() || self.streams.has_transmit()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        self.streams.book(stream)
    }

    fn instrument_reader(&self) -> InstrumentReader {
        self.streams.instrument_reader()
    }

    fn symbol_rule(&self) -> SymbolRule {
        self.streams.symbol_rule()
    }

    fn counters(&self) -> Counters {
        self.streams.counters()
    }
}
