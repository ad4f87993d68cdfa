//! What strategies ask: checked, counted, and put into the queue, or refused before it leaves.

use tickwire_orderbook::{Amount, Qty, Scale, Side};

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::instrument::{self, Instrument, Symbol, Venue};
use crate::order::{ClientOrderId, OrderRequest, VenueOrderId};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::wide::{Asked, Refusal, WideBody};

use super::{Desk, Fan, For, Job, Names, not_sent};
use crate::stream::Times;
use crate::trading::action::{Action, AmendRequest, OrderId, OrderRef, Query, Reply, Ticket};
use crate::trading::dialect::{Dialect, Target, Way};
use crate::trading::filters;
use crate::trading::limits::Sending;
use crate::trading::risk::{Exposure, Market};
use crate::trading::tracker::{Added, Tracked};

/// What the connector's own streams show of an instrument.
pub trait Sight: Names {
    /// The instrument's market by our own book or best prices.
    fn market(&self, instrument: &Instrument) -> Market;
}

/// What one unit of a quantity is worth at any price: an inverse contract its size in quote currency.
/// Deribit counts those in quote currency itself (private/buy, `amount`).
pub fn unit_value(instrument: &Instrument) -> Option<Qty> {
    match (instrument.key.venue, instrument.key.market) {
        (Venue::Deribit, instrument::Market::Inverse) => Some(Qty::new(1, Scale::of(0))),
        (_, instrument::Market::Inverse) => instrument.contract_size,
        _ => None,
    }
}

impl<D: Dialect> Desk<D> {
    /// Does what was asked, or refuses it.
    pub fn handle_action(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        action: &Action,
        sight: &dyn Sight,
        out: &mut Outbox,
    ) {
        let result = match action {
            Action::Place(request) => self.place(now, ticket, request, sight, out),
            Action::Cancel(order) => self.cancel(now, ticket, order, sight, out),
            Action::Amend(amend) => self.amend(now, ticket, amend, sight),
            Action::CancelAll(symbol) => self.cancel_all(now, ticket, symbol.as_ref(), sight, out),
            Action::Query(query) => self.query(now, ticket, query, sight),
            Action::Kill => {
                self.risk.set_killed(true);
                self.cancel_all(now, ticket, None, sight, out)
            }
            Action::Release => {
                self.risk.set_killed(false);
                self.answer(ticket, Ok(Reply::Done), out);
                Ok(())
            }
        };
        if let Err(error) = result {
            self.refuse(now, ticket, action, error, out);
        }
    }

    /// Tells who asked that it did not go, and why.
    pub(super) fn refuse(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        action: &Action,
        error: Error,
        out: &mut Outbox,
    ) {
        let (asked, id, symbol) = match action {
            Action::Place(request) => {
                let id = OrderId::Client(request.client_order_id);
                (Asked::Place, Some(id), Some(request.instrument.symbol))
            }
            Action::Cancel(order) => (Asked::Cancel, Some(order.id), Some(order.symbol)),
            Action::Amend(amend) => (Asked::Amend, Some(amend.order.id), Some(amend.order.symbol)),
            Action::CancelAll(symbol) => (Asked::CancelAll, None, *symbol),
            Action::Kill => (Asked::CancelAll, None, None),
            Action::Query(_) | Action::Release => {
                self.answer(ticket, Err(error), out);
                return;
            }
        };
        self.tell_refusal(now, ticket, (asked, id, symbol), error, out);
    }

    /// As an event for strategies, and as an answer for who waits.
    pub(super) fn tell_refusal(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        (asked, id, symbol): (Asked, Option<OrderId>, Option<Symbol>),
        error: Error,
        out: &mut Outbox,
    ) {
        let (client, venue) = match id {
            Some(OrderId::Client(id)) => (id, VenueOrderId::new()),
            Some(OrderId::Venue(id)) => (ClientOrderId::new(), id),
            None => Default::default(),
        };
        let refusal = Refusal::of(ticket, asked, (client, venue), &error);
        let body = WideBody::Refusal(refusal);
        self.publish(symbol.as_ref(), body, Times::ours(now), out);
        self.answer(ticket, Err(error), out);
    }

    /// What every request about orders needs.
    fn check_ready(&self, job: &Job) -> Result<(), Error> {
        if self.streams.is_empty() {
            let text = "open a stream of the account's events first (Channel::User)";
            return Err(Error::ours(ErrorKind::BadRequest, text));
        }
        if self.pending.len() >= super::PENDING_MAX {
            return Err(not_sent(
                ErrorKind::RateLimited,
                1_000,
                "too many requests wait for answers",
            ));
        }
        let way = self.dialect.way(job);
        if way == Way::None {
            let why = self.dialect.why_not(job);
            return Err(Error::ours(ErrorKind::NotSupported, why));
        }
        // Nothing new while what happens to it would not be heard.
        let is_new = matches!(job, Job::Place(..) | Job::Amend { .. });
        if !self.can_send(way) || (is_new && !self.is_whole()) {
            let text = "the account's links are not up, logged in and reconciled";
            return Err(not_sent(ErrorKind::Disconnected, 500, text));
        }
        Ok(())
    }

    fn admit(&mut self, now: Nanos, what: Sending) -> Result<(), Error> {
        self.limits.admit(now, what).map_err(|at| {
            let wait_ms = u32::try_from((at - now).as_millis() + 1).unwrap_or(u32::MAX);
            not_sent(
                ErrorKind::RateLimited,
                wait_ms,
                "the venue's limit on orders is used up",
            )
        })
    }

    fn instrument(&self, asked: &Symbol, names: &dyn Names) -> Result<Instrument, Error> {
        let unknown = || {
            let text = format!("{asked:?} is not an instrument of this market");
            Error::ours(ErrorKind::BadSymbol, text)
        };
        names.instrument(asked).ok_or_else(unknown)
    }

    fn place(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        request: &OrderRequest,
        sight: &dyn Sight,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let id = OrderId::Client(request.client_order_id);
        if let Some(known) = self.tracker.find(&id) {
            // Sent before: the same key never makes a second order. What it is now is told once more.
            let (order, is_heard_of) = (known.update(), known.status().is_some());
            if is_heard_of {
                self.publish_order(&order, now, out);
            }
            self.answer(ticket, Ok(Reply::Order(Box::new(order))), out);
            return Ok(());
        }
        let instrument = self.instrument(&request.instrument.symbol, sight)?;
        let request = OrderRequest {
            instrument: instrument.key,
            ..*request
        };
        let job = Job::Place(request, instrument.venue_symbol);
        self.check_ready(&job)?;
        self.check_known(now, &instrument)?;
        let market = sight.market(&instrument);
        filters::check(&instrument, &request, market.against(request.side))?;
        let exposure = self.exposure(&instrument, request.side, market);
        self.risk
            .admit(now, &request, &exposure)
            .map_err(|no| no.at(now))?;
        self.admit(now, Sending::Order)?;
        self.holding(&instrument);
        if self.tracker.add(now, &request) == Added::New {
            self.push(now, job, For::Asker(ticket));
        }
        Ok(())
    }

    /// Nothing is sent of which the venue's filters are not known: they are asked for.
    fn check_known(&mut self, now: Nanos, instrument: &Instrument) -> Result<(), Error> {
        if instrument.from_venue || !self.fetches {
            return Ok(());
        }
        let job = Job::Instruments(Some(instrument.venue_symbol));
        if self.pending.iter().all(|pending| pending.job != job) {
            self.push(now, job, For::Upkeep);
        }
        let text = "what the venue says of the instrument is being fetched";
        Err(not_sent(ErrorKind::VenueUnavailable, 100, text))
    }

    /// What the account has at stake in an instrument.
    fn exposure(&self, instrument: &Instrument, side: Side, market: Market) -> Exposure {
        let symbol = instrument.key.symbol;
        let held = self.holdings.iter().find(|held| held.symbol == symbol);
        let mut open_qty = Amount::ZERO;
        // Where no limit asks for it, orders that stand are not walked.
        let open = self.risk.counts_positions().then(|| self.tracker.open());
        for order in open.into_iter().flatten() {
            let told = order.told();
            if told.instrument.symbol != symbol || told.side != side {
                continue;
            }
            let left = order
                .left()
                .and_then(|left| Amount::new(i128::from(left.mantissa()), left.scale().get()));
            open_qty = left
                .and_then(|left| open_qty.checked_add(left))
                .unwrap_or(open_qty);
        }
        Exposure {
            position: held.map_or(Amount::ZERO, |held| held.net),
            open_qty,
            open_orders: self.tracker.open_count(),
            market,
            unit_value: unit_value(instrument),
        }
    }

    /// All that is known of an order, in the venue's writing.
    fn target(&self, order: &OrderRef, names: &dyn Names) -> Result<Target, Error> {
        let known = self.tracker.find(&order.id);
        let told = known.map(Tracked::update);
        let asked = told.map_or(order.symbol, |known| known.instrument.symbol);
        let instrument = self.instrument(&asked, names)?;
        let mut target = Target {
            symbol: instrument.venue_symbol,
            client: ClientOrderId::new(),
            venue: VenueOrderId::new(),
            waits: known.is_some_and(Tracked::waits),
        };
        match order.id {
            OrderId::Client(id) => target.client = id,
            OrderId::Venue(id) => target.venue = id,
        }
        if let Some(told) = told {
            (target.client, target.venue) = (told.client_order_id, told.venue_order_id);
        }
        Ok(target)
    }

    fn cancel(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        order: &OrderRef,
        names: &dyn Names,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        if let Some(known) = self
            .tracker
            .find(&order.id)
            .filter(|known| known.is_final())
        {
            let text = format!("the order has ended: {}", known.update().status.as_str());
            return Err(Error::ours(ErrorKind::OrderNotFound, text));
        }
        let job = Job::Cancel(self.target(order, names)?);
        self.check_ready(&job)?;
        self.admit(now, Sending::Cancel)?;
        self.push(now, job, For::Asker(ticket));
        if let Some(changed) = self.tracker.cancel_sent(&order.id) {
            self.publish_order(&changed, now, out);
        }
        Ok(())
    }

    fn amend(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        amend: &AmendRequest,
        sight: &dyn Sight,
    ) -> Result<(), Error> {
        let Some(known) = self.tracker.find(&amend.order.id) else {
            let text = "only an order that this connection knows can be changed";
            return Err(Error::ours(ErrorKind::OrderNotFound, text));
        };
        let (side, told, is_final) = (known.update().side, known.update(), known.is_final());
        if is_final {
            let text = format!("the order has ended: {}", told.status.as_str());
            return Err(Error::ours(ErrorKind::OrderNotFound, text));
        }
        if known.waits() {
            let text = "a stop that has not triggered is not changed: cancel it and place another";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        let target = self.target(&amend.order, sight)?;
        let AmendRequest { price, qty, .. } = *amend;
        let job = Job::Amend {
            target,
            side,
            price,
            qty,
            standing: (told.price, told.qty),
            order_type: told.order_type,
        };
        self.check_ready(&job)?;
        let instrument = self.instrument(&told.instrument.symbol, sight)?;
        filters::check_amend(&instrument, side, price, qty)?;
        let exposure = self.exposure(&instrument, side, sight.market(&instrument));
        // The order's own rest is part of what stands.
        let added = qty
            .and_then(|qty| qty.checked_sub(told.qty?))
            .filter(|more| more.mantissa() > 0);
        self.risk
            .admit_amend(now, (side, price, added), &exposure)
            .map_err(|no| no.at(now))?;
        self.admit(now, Sending::Order)?;
        self.push(now, job, For::Asker(ticket));
        self.tracker.amend_sent(&amend.order.id);
        Ok(())
    }

    fn cancel_all(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        symbol: Option<&Symbol>,
        names: &dyn Names,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut symbols: Vec<Symbol> = match symbol {
            Some(symbol) => vec![self.instrument(symbol, names)?.venue_symbol],
            None => {
                let open = self.tracker.open();
                open.map(|order| self.venue_symbol(&order.update().instrument.symbol))
                    .collect()
            }
        };
        symbols.sort_unstable();
        symbols.dedup();
        let Some(first) = symbols.first() else {
            self.answer(ticket, Ok(Reply::Done), out);
            return Ok(());
        };
        let all_of = |symbol| Job::CancelAll { symbol, part: 0 };
        self.check_ready(&all_of(*first))?;
        // What is still on its way may arrive behind the cancel of all: each has one of its own.
        let under_way: Vec<Target> = self
            .pending
            .iter()
            .filter_map(|pending| match &pending.job {
                Job::Place(request, of) if symbols.contains(of) => Some(Target {
                    symbol: *of,
                    client: request.client_order_id,
                    venue: VenueOrderId::new(),
                    waits: request.stop.is_some(),
                }),
                _ => None,
            })
            .collect();
        let left = symbols.len() + under_way.len();
        for _ in 0..left {
            self.admit(now, Sending::Cancel)?;
        }
        self.fans.push(Fan {
            ticket,
            left,
            error: None,
        });
        let all = symbols.into_iter().map(all_of);
        for job in all.chain(under_way.into_iter().map(Job::Cancel)) {
            self.push(now, job, For::Part(ticket));
        }
        let unified = match symbol {
            Some(symbol) => Some(self.instrument(symbol, names)?.key.symbol),
            None => None,
        };
        self.mark_canceling(now, unified.as_ref(), out);
        Ok(())
    }

    fn query(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        query: &Query,
        names: &dyn Names,
    ) -> Result<(), Error> {
        let job = match query {
            Query::Order(order) => Job::Lookup(self.target(order, names)?),
            Query::OpenOrders(symbol) => {
                let only = match symbol {
                    Some(symbol) => Some(self.instrument(symbol, names)?.venue_symbol),
                    None => None,
                };
                Job::OpenOrders(only, self.first_page())
            }
            Query::Balances => Job::Balances,
            Query::Positions if self.rules.has_positions => Job::Positions(self.first_page()),
            Query::Positions => {
                let text = "a spot market has no positions";
                return Err(Error::ours(ErrorKind::NotSupported, text));
            }
            Query::ServerTime => Job::ServerTime,
            Query::Instruments(symbol) => Job::Instruments(match symbol {
                Some(symbol) => Some(self.instrument(symbol, names)?.venue_symbol),
                None => None,
            }),
        };
        let is_open_to_all = matches!(job, Job::ServerTime | Job::Instruments(_));
        if !is_open_to_all {
            self.check_ready(&job)?;
        }
        self.push(now, job, For::Asker(ticket));
        Ok(())
    }

    /// A part of a command is done.
    pub(super) fn part_done(
        &mut self,
        now: Nanos,
        ticket: Ticket,
        error: Option<Error>,
        out: &mut Outbox,
    ) {
        let Some(index) = self.fans.iter().position(|fan| fan.ticket == ticket) else {
            return;
        };
        let fan = &mut self.fans[index];
        fan.left -= 1;
        if let Some(error) = error {
            // Nothing to cancel is what was wanted; of several the one of unknown outcome says most.
            let is_worse = fan.error.is_none() || error.outcome == Outcome::Unknown;
            if is_worse && error.kind != ErrorKind::OrderNotFound {
                fan.error = Some(error);
            }
        }
        if fan.left > 0 {
            return;
        }
        let fan = self.fans.remove(index);
        match fan.error {
            None => self.answer(ticket, Ok(Reply::Done), out),
            Some(error) => {
                let error = Error {
                    next: Next::Now,
                    ..error
                };
                self.tell_refusal(now, ticket, (Asked::CancelAll, None, None), error, out);
            }
        }
    }
}
