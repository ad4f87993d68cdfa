//! A strategy that does as the plan says, and hands all that it hears to the model.

use tickwire::connectors::order::{
    Balance, ClientOrderId, Fill, OrderRequest, OrderType, OrderUpdate, Position, Size, Stop,
    TimeInForce, TriggerBy,
};
use tickwire::connectors::trading::{Action, AmendRequest, OrderId, OrderRef, Query};
use tickwire::connectors::wide::{Notice, Refusal};
use tickwire::connectors::{Instrument, InstrumentKey};
use tickwire::{
    Bbo, Context, Market, Nanos, Price, Qty, Side, Source, StateChange, Strategy, StreamId, Symbol,
    TimerId, Venue, Wide,
};

use super::model::{Placed, Shared, qty_of};
use super::plan::{Deed, Kind, Order, Place, Resize};

/// The value of an order of size 1, in quote currency: above what any venue here asks for.
const VALUE_MIN: f64 = 12.0;

/// What the trader sees of one instrument.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    stream: Option<StreamId>,
    bid: Option<Price>,
    ask: Option<Price>,
}

/// The trader of one account.
pub(super) struct Trader {
    pub(super) desk: usize,
    pub(super) board: Shared,
    pub(super) venue: (Venue, Market),
    /// As the plan lists them.
    pub(super) symbols: Vec<String>,
    /// When what is done, from the start.
    pub(super) deeds: Vec<(i64, Deed)>,
    seen: Vec<Seen>,
}

impl Trader {
    pub(super) fn new(
        desk: usize,
        board: Shared,
        venue: (Venue, Market),
        symbols: &[String],
        deeds: Vec<(i64, Deed)>,
    ) -> Trader {
        Trader {
            desk,
            board,
            venue,
            symbols: symbols.to_vec(),
            deeds,
            seen: vec![Seen::default(); symbols.len()],
        }
    }

    fn instrument(&self, index: usize) -> Option<Instrument> {
        self.board.lock().accounts[self.desk].instruments[index]
    }

    /// The `nth` order that may stand, newest first; of any where none does.
    fn standing(&self, nth: usize) -> Option<Placed> {
        let board = self.board.lock();
        let account = &board.accounts[self.desk];
        let newest = account.ids.iter().rev();
        let all: Vec<&Placed> = newest.filter_map(|id| account.orders.get(id)).collect();
        let standing: Vec<&Placed> = all.iter().copied().filter(|one| one.may_stand()).collect();
        let from = if standing.is_empty() { all } else { standing };
        let index = nth.checked_rem(from.len())?;
        from.get(index).copied().cloned()
    }

    fn price(&self, index: usize, side: Side, place: Place) -> Option<Price> {
        let tick = self.instrument(index)?.tick_size?;
        let seen = self.seen[index];
        let (from, ticks) = match place {
            Place::Behind(ticks) => match side {
                Side::Bid => (seen.bid?, -ticks),
                Side::Ask => (seen.ask?, ticks),
            },
            Place::Across(ticks) => match side {
                Side::Bid => (seen.ask?, ticks),
                Side::Ask => (seen.bid?, -ticks),
            },
        };
        let price = from.checked_add(Price::new(tick.mantissa() * ticks, tick.scale()))?;
        (price.mantissa() > 0).then_some(price)
    }

    /// A quantity of `size` times about the smallest order.
    fn qty(&self, index: usize, size: i64) -> Option<Qty> {
        let instrument = self.instrument(index)?;
        let lot = instrument.lot_size?;
        let near = self.seen[index].bid?.to_f64();
        // Contracts in dollars and options have no value that must be reached.
        let least = match self.venue.1 {
            Market::Inverse | Market::Option => 1,
            _ => (VALUE_MIN / (near * lot.to_f64())).ceil() as i64,
        };
        let least = instrument.qty_min.map_or(least, |min| {
            least.max((min.to_f64() / lot.to_f64()).ceil() as i64)
        });
        let lots = least.max(1).checked_mul(size)?;
        Some(Qty::new(lot.mantissa().checked_mul(lots)?, lot.scale()))
    }

    fn request(&self, order: &Order, id: ClientOrderId) -> Option<OrderRequest> {
        let Order {
            symbol, side, kind, ..
        } = *order;
        let instrument = self.instrument(symbol)?;
        let price = self.price(symbol, side, order.place)?;
        let qty = self.qty(symbol, order.size)?;
        let (order_type, time_in_force) = match kind {
            Kind::Limit => (OrderType::Limit, TimeInForce::Gtc),
            Kind::PostOnly => (OrderType::LimitMaker, TimeInForce::Gtc),
            Kind::Ioc => (OrderType::Limit, TimeInForce::Ioc),
            Kind::Fok => (OrderType::Limit, TimeInForce::Fok),
            Kind::Market | Kind::MarketByValue | Kind::StopMarket => {
                (OrderType::Market, TimeInForce::Ioc)
            }
            Kind::StopLimit => (OrderType::Limit, TimeInForce::Gtc),
        };
        let is_stop = matches!(kind, Kind::StopMarket | Kind::StopLimit);
        let by = TriggerBy::Last;
        let value = Qty::new(VALUE_MIN as i64 * order.size, tickwire::Scale::of(0));
        Some(OrderRequest {
            instrument: instrument.key,
            side,
            order_type,
            size: match kind {
                Kind::MarketByValue => Size::Quote(value),
                _ => Size::Base(qty),
            },
            price: (order_type != OrderType::Market).then_some(price),
            stop: is_stop.then_some(Stop { price, by }),
            time_in_force,
            reduce_only: order.reduce_only,
            client_order_id: id,
        })
    }

    fn place(&mut self, request: &OrderRequest, context: &mut Context) {
        self.board.lock().placed(self.desk, request);
        self.tell(context.place(request).map(|_| ()), context);
    }

    fn cancel(&mut self, placed: &OrderRequest, context: &mut Context) {
        let (venue, market) = self.venue;
        let order = reference(placed);
        self.tell(context.cancel(venue, market, order).map(|_| ()), context);
    }

    fn ask(&mut self, action: Action, context: &mut Context) {
        let (venue, market) = self.venue;
        self.tell(context.act(venue, market, action).map(|_| ()), context);
    }

    /// A command that does not even reach the loop is a fault of the engine here: there is room.
    fn tell(&self, done: Result<(), tickwire::SubscribeError>, context: &Context) {
        if let Err(error) = done {
            let what = format!("a command was not taken: {error}");
            let mut board = self.board.lock();
            board.complain(context.now().0, Some(self.desk), what);
        }
    }

    fn act(&mut self, deed: Deed, context: &mut Context) {
        let (_, market) = self.venue;
        match deed {
            Deed::Place(order) => {
                let id = context.next_order_id();
                if let Some(request) = self.request(&order, id) {
                    self.place(&request, context);
                    if order.and_cancel {
                        self.cancel(&request, context);
                    }
                }
            }
            Deed::Cancel { nth } => {
                if let Some(placed) = self.standing(nth) {
                    self.cancel(&placed.request, context);
                }
            }
            Deed::Amend { nth, place, resize } => self.amend(nth, place, resize, context),
            Deed::CancelAll { symbol } => {
                let symbol = symbol.and_then(|index| Symbol::from(&self.symbols[index]).ok());
                self.ask(Action::CancelAll(symbol), context);
            }
            Deed::Again { nth } => {
                let board = self.board.lock();
                let account = &board.accounts[self.desk];
                let newest = account.ids.iter().rev().nth(nth);
                let found = newest.and_then(|id| account.orders.get(id)).cloned();
                drop(board);
                if let Some(placed) = found {
                    self.place(&placed.request, context);
                }
            }
            Deed::Look { nth } => {
                if let Some(placed) = self.standing(nth) {
                    let order = reference(&placed.request);
                    self.ask(Action::Query(Query::Order(order)), context);
                }
            }
            Deed::List => {
                for query in [Query::OpenOrders(None), Query::Balances] {
                    self.ask(Action::Query(query), context);
                }
                if market != Market::Spot {
                    self.ask(Action::Query(Query::Positions), context);
                }
            }
            Deed::Kill => {
                self.ask(Action::Kill, context);
                self.board.lock().accounts[self.desk].is_killed = true;
            }
            Deed::Release => {
                self.ask(Action::Release, context);
                self.board.lock().accounts[self.desk].is_killed = false;
            }
        }
    }

    fn amend(
        &mut self,
        nth: usize,
        place: Option<Place>,
        resize: Option<Resize>,
        context: &mut Context,
    ) {
        let Some(placed) = self.standing(nth) else {
            return;
        };
        let request = placed.request;
        let index = (0..self.symbols.len()).find(|index| {
            let known = self.instrument(*index);
            known.is_some_and(|one| one.key == request.instrument)
        });
        let (Some(index), Some(qty)) = (index, qty_of(&request)) else {
            return;
        };
        let Some(lot) = self.instrument(index).and_then(|one| one.lot_size) else {
            return;
        };
        let qty = placed.told.and_then(|told| told.qty).unwrap_or(qty);
        let lots = (qty.to_f64() / lot.to_f64()).round() as i64;
        let lots = match resize {
            Some(Resize::Half) => lots / 2,
            _ => lots * 2,
        };
        let amend = AmendRequest {
            order: reference(&request),
            price: place.and_then(|place| self.price(index, request.side, place)),
            qty: resize.map(|_| Qty::new(lot.mantissa() * lots, lot.scale())),
        };
        self.ask(Action::Amend(amend), context);
    }
}

fn reference(request: &OrderRequest) -> OrderRef {
    let InstrumentKey { symbol, .. } = request.instrument;
    OrderRef {
        symbol,
        id: OrderId::Client(request.client_order_id),
    }
}

impl Strategy for Trader {
    fn on_start(&mut self, context: &mut Context) {
        for (index, (at_ns, _)) in self.deeds.iter().enumerate() {
            context.set_timer(index as TimerId, Nanos(*at_ns));
        }
    }

    fn on_timer(&mut self, context: &mut Context, timer: TimerId) {
        if let Some((_, deed)) = self.deeds.get(timer as usize).copied() {
            let (now, desk) = (context.now().0, self.desk);
            self.board.lock().note(now, || format!("{desk}: {deed}"));
            self.act(deed, context);
        }
    }

    fn on_instrument(&mut self, _: &mut Context, event: &Wide, instrument: &Instrument) {
        let mut symbols = self.symbols.iter();
        let found = symbols.position(|symbol| *symbol == *instrument.venue_symbol);
        if let Some(index) = found {
            self.seen[index].stream = Some(event.stream);
            self.board.lock().accounts[self.desk].instruments[index] = Some(*instrument);
        }
    }

    fn on_bbo(&mut self, _: &mut Context, bbo: &Bbo) {
        let mut seen = self.seen.iter_mut();
        if let Some(seen) = seen.find(|seen| seen.stream == Some(bbo.stream())) {
            seen.bid = bbo.bid().map(|(price, _)| price);
            seen.ask = bbo.ask().map(|(price, _)| price);
        }
    }

    fn on_state(&mut self, context: &mut Context, change: &StateChange) {
        if change.source() == Source::Account {
            let (now, desk) = (context.now().0, self.desk);
            let mut board = self.board.lock();
            board.note(now, || {
                let (state, reason) = (change.state().as_str(), change.reason());
                format!("{desk}: the account is {state} ({reason:?})")
            });
            board.state(now, desk, change.is_live());
        }
    }

    fn on_notice(&mut self, context: &mut Context, _: &Wide, notice: &Notice) {
        let (now, desk, text) = (context.now().0, self.desk, notice.text);
        self.board.lock().note(now, || format!("{desk}: {text}"));
    }

    fn on_order(&mut self, context: &mut Context, _: &Wide, order: &OrderUpdate) {
        self.board.lock().order(context.now().0, self.desk, order);
    }

    fn on_fill(&mut self, context: &mut Context, _: &Wide, fill: &Fill) {
        self.board.lock().fill(context.now().0, self.desk, fill);
    }

    fn on_balance(&mut self, context: &mut Context, _: &Wide, balance: &Balance) {
        let now = context.now().0;
        self.board.lock().balance(now, self.desk, balance);
    }

    fn on_position(&mut self, context: &mut Context, _: &Wide, position: &Position) {
        let now = context.now().0;
        self.board.lock().position(now, self.desk, position);
    }

    fn on_refusal(&mut self, context: &mut Context, _: &Wide, refusal: &Refusal) {
        let now = context.now().0;
        self.board.lock().refusal(now, self.desk, refusal);
    }
}
