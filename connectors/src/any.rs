//! The built-in venues as one enum: a `match` and no dyn call a message; a user's own venue comes in
//! as a boxed [`Connector`].

use crate::binance::Binance;
use crate::bybit::Bybit;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::deribit::Deribit;
use crate::error::Error;
use crate::event::StreamId;
use crate::instrument::{Instrument, Market, Venue};
use crate::outbox::Outbox;
use crate::polymarket::Polymarket;
use crate::time::Nanos;
use crate::trading::{Action, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, LinkLoss, RequestId, Response, Transmit};

/// Any venue.
#[expect(
    missing_debug_implementations,
    reason = "a user's connector need not have one"
)]
pub enum AnyConnector {
    /// Binance spot, USD-M or COIN-M.
    Binance(Box<Binance>),
    /// Bybit spot or linear.
    Bybit(Box<Bybit>),
    /// One market of Deribit.
    Deribit(Box<Deribit>),
    /// Polymarket.
    Polymarket(Box<Polymarket>),
    /// A user's own.
    Custom(Box<dyn Connector>),
}

macro_rules! each {
    ($self:ident, $venue:ident => $call:expr) => {
        match $self {
            AnyConnector::Binance($venue) => $call,
            AnyConnector::Bybit($venue) => $call,
            AnyConnector::Deribit($venue) => $call,
            AnyConnector::Polymarket($venue) => $call,
            AnyConnector::Custom($venue) => $call,
        }
    };
}

impl Connector for AnyConnector {
    fn venue(&self) -> Venue {
        each!(self, venue => venue.venue())
    }

    fn market(&self) -> Market {
        each!(self, venue => venue.market())
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        each!(self, venue => venue.handle_command(now, command, out))
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        each!(self, venue => venue.handle_action(now, ticket, action, out))
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        each!(self, venue => venue.handle_link(now, link, change, out))
    }

    fn handle_refusal(
        &mut self,
        now: Nanos,
        link: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        each!(self, venue => venue.handle_refusal(now, link, status, retry_after_ns, out))
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        each!(self, venue => venue.handle_message(now, link, payload, out))
    }

    #[inline]
    fn handle_binary(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        each!(self, venue => venue.handle_binary(now, link, payload, out))
    }

    fn handle_pong(&mut self, now: Nanos, link: LinkId, payload: &[u8], out: &mut Outbox) {
        each!(self, venue => venue.handle_pong(now, link, payload, out))
    }

    fn handle_loss(&mut self, now: Nanos, link: LinkId, loss: LinkLoss<'_>, out: &mut Outbox) {
        each!(self, venue => venue.handle_loss(now, link, loss, out))
    }

    fn handle_nudge(&mut self, now: Nanos, out: &mut Outbox) {
        each!(self, venue => venue.handle_nudge(now, out))
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        each!(self, venue => venue.handle_response(now, id, response, out))
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        each!(self, venue => venue.handle_instruments(now, id, instruments, out))
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        each!(self, venue => venue.handle_timeout(now, out))
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        each!(self, venue => venue.poll_timeout())
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        each!(self, venue => venue.poll_transmit(now, body))
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        each!(self, venue => venue.has_transmit())
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        each!(self, venue => venue.book(stream))
    }

    fn instrument_reader(&self) -> InstrumentReader {
        each!(self, venue => venue.instrument_reader())
    }

    fn symbol_rule(&self) -> SymbolRule {
        each!(self, venue => venue.symbol_rule())
    }

    fn counters(&self) -> Counters {
        each!(self, venue => venue.counters())
    }
}
