//! The connector as the engine sees it: market data, and the account's desk beside it where there is one.
//! What the engine tells of a stream, a link or a request of the desk's goes to the desk.

use tickwire_orderbook::{Price, Side};

use super::Streams;
use super::dialect::Dialect;
use super::handover::free_link;
use super::symbols::Symbols;
use super::table::Table;
use crate::channel::{ALL_SYMBOLS, Channel};
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::Error;
use crate::event::StreamId;
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::outbox::Outbox;
use crate::stream::Stream;
use crate::time::Nanos;
use crate::trading::desk::{self, Desk, Seat, Sight};
use crate::trading::dialect::Names;
use crate::trading::{Action, Ticket, dialect, risk};
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

/// A venue where accounts trade.
pub(crate) trait Trader: Dialect {
    /// The venue's words about orders.
    type Orders: dialect::Dialect;

    /// The account, where there is one.
    fn desk(&self) -> Option<&Desk<Self::Orders>>;

    fn desk_mut(&mut self) -> Option<&mut Desk<Self::Orders>>;
}

impl<D: Trader> Seat for Streams<D> {
    type Orders = D::Orders;

    #[inline]
    fn desk(&self) -> Option<&Desk<D::Orders>> {
        self.own.desk()
    }

    fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<D::Orders>, &Governor, &dyn Sight) -> T,
    ) -> Option<T> {
        let sight = View::<D> {
            market: self.market,
            symbols: &self.symbols,
            table: &self.table,
        };
        Some(act(self.own.desk_mut()?, &self.rest.governor, &sight))
    }
}

impl<D: Trader> Streams<D> {
    /// A stream of the account's own events.
    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        if self.table.slot_of(id).is_some() {
            // The number is taken: the engine gives out each once.
            return;
        }
        let instrument = self.instrument(&asked);
        let is_all = asked.as_str() == ALL_SYMBOLS;
        let only = (!is_all).then_some(instrument.key.symbol);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        if let (Some(_), Err(error)) = (only, D::instrument_by_rule(self.market, &asked)) {
            return self.refuse(now, stream, &error, out);
        }
        let taken = self.links_taken();
        let free = |more: &[LinkId]| free_link(|id| taken.contains(&id) || more.contains(&id));
        self.with_desk(|desk, _, _| desk.subscribe(now, stream, only, free, out));
    }
}

impl<D: Trader> Connector for Streams<D>
where
    Streams<D>: Send,
{
    fn venue(&self) -> Venue {
        D::VENUE
    }

    fn market(&self) -> Market {
        self.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        if self.command_desk(now, &command, out) {
            return;
        }
        let id = command.stream();
        match command {
            Command::Subscribe {
                symbol,
                channel: Channel::User,
                ..
            } if self.desk().is_some() => self.subscribe_user(now, id, symbol, out),
            _ => self.handle_wish(now, command, out),
        }
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        self.act_at_desk(now, ticket, action, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if !self.link_desk(now, link, &change, out) {
            self.handle_link_change(now, link, &change, out);
        }
    }

    fn handle_refusal(
        &mut self,
        now: Nanos,
        _: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        if D::BANS.contains(&status) {
            // The address is banned, for REST as well.
            self.rest.governor.note_ban(now, status, retry_after_ns);
            self.tell_news(now, out);
            self.rearm();
        }
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
        if !self.message_desk(now, link, payload, out) {
            D::handle_message(self, now, link, payload, out);
        }
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if !desk::is_request(id) {
            return self.handle_answer_to_request(now, id, response, out);
        }
        self.respond_desk(now, id, response, out);
        self.tell_news(now, out);
        self.rearm();
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        if !desk::is_request(id) {
            self.handle_answer_to_question(now, id, instruments, out);
            return self.rearm();
        }
        for instrument in self.instruments_desk(id, instruments, out) {
            self.symbols.insert(instrument);
        }
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.handle_earlier_timeouts(now, out);
        self.timeout_desk(now, out);
        self.handle_stream_timeouts(now, out);
        self.rearm();
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        let next = self.table.timers.next().min(self.desk_deadline());
        let next = self.next_timeout.map_or(next, |other| next.min(other));
        (next < Nanos::MAX).then_some(next)
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        // Orders go before everything else.
        let Some(transmit) = self.poll_desk(now, body) else {
            return self.poll_streams(now, body);
        };
        self.counters.requests += u64::from(matches!(transmit, Transmit::Http(_)));
        Some(transmit)
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.desk_has_transmit() || self.wants_transmit()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let entry = self.table.get(self.table.slot_of(stream)?)?;
        Some(entry.keeper()?.view(&entry.stream))
    }

    fn instrument_reader(&self) -> InstrumentReader {
        D::INSTRUMENT_READER
    }

    fn symbol_rule(&self) -> SymbolRule {
        |market, asked| {
            let by_rule = D::instrument_by_rule(market, asked);
            by_rule.map_or(*asked, |instrument| instrument.venue_symbol)
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// What a desk may see of the streams.
struct View<'a, D: Dialect> {
    market: Market,
    symbols: &'a Symbols,
    table: &'a Table<D::Kept>,
}

impl<D: Dialect> Names for View<'_, D> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let asked = crate::instrument::symbol(symbol)?;
        let known = self.symbols.find(&asked).copied();
        known.or_else(|| D::instrument_by_rule(self.market, &asked).ok())
    }
}

impl<D: Dialect> Sight for View<'_, D> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let mut seen = risk::Market::Unwatched;
        for (_, entry) in self.table.iter() {
            let stream = &entry.stream;
            if entry.hidden || stream.instrument.venue_symbol != instrument.venue_symbol {
                continue;
            }
            let Some(keeper) = entry.keeper() else {
                continue;
            };
            if !stream.is_live() {
                seen = risk::Market::Stale;
                continue;
            }
            let best = |side| {
                let level = keeper.book().best(side)?;
                Some(Price::new(level.price, stream.price_scale()))
            };
            return risk::Market::Live {
                bid: best(Side::Bid),
                ask: best(Side::Ask),
            };
        }
        seen
    }
}

/// Makes a connector of a struct that holds a venue's streams: hands each call on to them.
macro_rules! connector {
    ($venue:ident) => {
        impl $crate::connector::Connector for $venue {
            fn venue(&self) -> $crate::Venue {
                self.streams.venue()
            }

            fn market(&self) -> $crate::Market {
                self.streams.market()
            }

            fn handle_command(
                &mut self,
                now: $crate::Nanos,
                command: $crate::Command,
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_command(now, command, out);
            }

            fn handle_action(
                &mut self,
                now: $crate::Nanos,
                ticket: $crate::trading::Ticket,
                action: &$crate::trading::Action,
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_action(now, ticket, action, out);
            }

            fn handle_link(
                &mut self,
                now: $crate::Nanos,
                link: $crate::LinkId,
                change: $crate::LinkChange,
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_link(now, link, change, out);
            }

            fn handle_refusal(
                &mut self,
                now: $crate::Nanos,
                link: $crate::LinkId,
                status: u16,
                retry_after_ns: Option<$crate::Nanos>,
                out: &mut $crate::Outbox,
            ) {
                self.streams
                    .handle_refusal(now, link, status, retry_after_ns, out);
            }

            #[inline]
            fn handle_message(
                &mut self,
                now: $crate::Nanos,
                link: $crate::LinkId,
                payload: &mut [u8],
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_message(now, link, payload, out);
            }

            fn handle_response(
                &mut self,
                now: $crate::Nanos,
                id: $crate::RequestId,
                response: Result<$crate::transmit::Response<'_>, $crate::transmit::HttpFailure>,
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_response(now, id, response, out);
            }

            fn handle_instruments(
                &mut self,
                now: $crate::Nanos,
                id: $crate::RequestId,
                instruments: Result<Vec<$crate::Instrument>, $crate::Error>,
                out: &mut $crate::Outbox,
            ) {
                self.streams.handle_instruments(now, id, instruments, out);
            }

            fn handle_timeout(&mut self, now: $crate::Nanos, out: &mut $crate::Outbox) {
                self.streams.handle_timeout(now, out);
            }

            #[inline]
            fn poll_timeout(&self) -> Option<$crate::Nanos> {
                self.streams.poll_timeout()
            }

            fn poll_transmit(
                &mut self,
                now: $crate::Nanos,
                body: &mut Vec<u8>,
            ) -> Option<$crate::Transmit> {
                self.streams.poll_transmit(now, body)
            }

            #[inline]
            fn has_transmit(&self) -> bool {
                self.streams.has_transmit()
            }

            fn book(&self, stream: $crate::StreamId) -> Option<$crate::BookView<'_>> {
                self.streams.book(stream)
            }

            fn instrument_reader(&self) -> $crate::connector::InstrumentReader {
                self.streams.instrument_reader()
            }

            fn symbol_rule(&self) -> $crate::connector::SymbolRule {
                self.streams.symbol_rule()
            }

            fn counters(&self) -> $crate::connector::Counters {
                self.streams.counters()
            }
        }
    };
}

pub(crate) use connector;
