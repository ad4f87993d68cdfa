//! One account at one market, as the desk has heard of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tickwire::connectors::order::{
    Balance, ClientOrderId, Fill as Trade, OrderRequest, OrderStatus, OrderUpdate, Position,
    Settlement, Size, VenueOrderId,
};
use tickwire::connectors::trading::desk::unit_value;
use tickwire::connectors::trading::risk::{Exposure, Market as Shown, Risk};
use tickwire::connectors::trading::{
    Action, Answer, OrderId, OrderRef, Query, Reply, RiskLimits, Ticket, filters,
};
use tickwire::connectors::wide::{Asked, Refusal as Refused};
use tickwire::connectors::{ErrorKind, Outcome, Wide, WideBody};
use tickwire::driver::Capabilities;
use tickwire::{
    Amount, Body, Event, Market, Nanos, StreamId, StreamInfo, StreamState, Symbol, Venue, VenueNews,
};

use crate::core::side_of;
use crate::desk::{DeskEvent, Filter, Refusal};
use crate::protocol::{Fill, MarketOf, Mode, Order, PositionOf, VenueStatus};

/// Orders that are remembered after they ended.
const ENDED_KEPT: usize = 200;

/// Between two questions after the same order.
const ASK_AGAIN: Nanos = Nanos::from_secs(5);

/// An instrument that may be traded.
#[derive(Debug)]
pub(super) struct Watched {
    stream: StreamId,
    info: Arc<StreamInfo>,
    shown: Shown,
}

impl Watched {
    pub(super) const fn new(stream: StreamId, info: Arc<StreamInfo>) -> Watched {
        Watched {
            stream,
            info,
            shown: Shown::Stale,
        }
    }

    /// Its best prices, where they are to be believed this very moment.
    fn shown(&self) -> Shown {
        match self.info.state() {
            StreamState::Live => self.shown,
            _ => Shown::Stale,
        }
    }

    fn is(&self, symbol: &str) -> bool {
        let instrument = self.info.instrument();
        *self.info.asked == *symbol
            || *self.info.key.symbol == *symbol
            || instrument.is_some_and(|of| *of.key.symbol == *symbol || *of.venue_symbol == *symbol)
    }

    /// As the account's events name it.
    fn unified(&self) -> Symbol {
        let instrument = self.info.instrument();
        instrument.map_or(self.info.asked, |instrument| instrument.key.symbol)
    }
}

/// An order that stands, or of which nothing was heard yet.
#[derive(Debug)]
struct Known {
    update: OrderUpdate,
    order: Order,
}

/// An order that went out before a restart.
#[derive(Debug)]
struct Recalled {
    order: Order,
    named: OrderRef,
    course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// To be asked after.
    AskAt(Nanos),
    /// Asked after.
    Asked(Ticket),
    /// The venue does not know it.
    NotFound,
}

/// A question after an order.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: ClientOrderId,
    pub(super) query: Query,
}

/// The account.
#[derive(Debug)]
pub(super) struct Account {
    project: String,
    venue: Venue,
    market: Market,
    capabilities: Capabilities,
    risk: RiskLimits,
    user: StreamId,
    info: Arc<StreamInfo>,
    is_live: bool,
    /// The last words on why the account is not live.
    notice: Option<String>,
    watched: Vec<Watched>,
    /// By our id, or the venue's where an order has none of ours.
    open: BTreeMap<String, Known>,
    ended: VecDeque<Order>,
    recalled: BTreeMap<ClientOrderId, Recalled>,
    positions: BTreeMap<Symbol, Position>,
    balances: BTreeMap<String, Balance>,
    /// A trade whose order is likely to be told next.
    trade: Option<(String, Fill, Trade)>,
    told: Option<(VenueStatus, Option<String>)>,
}

impl Account {
    pub(super) fn new(
        (project, venue, market): (String, Venue, Market),
        (capabilities, risk): (Capabilities, RiskLimits),
        (user, info): (StreamId, Arc<StreamInfo>),
        watched: Vec<Watched>,
    ) -> Account {
        Account {
            project,
            venue,
            market,
            capabilities,
            // How often orders leave is counted where they leave.
            risk: RiskLimits {
                orders_per_second_max: None,
                ..risk
            },
            user,
            info,
            is_live: false,
            notice: None,
            watched,
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            recalled: BTreeMap::new(),
            positions: BTreeMap::new(),
            balances: BTreeMap::new(),
            trade: None,
            told: None,
        }
    }

    pub(super) const fn place(&self) -> (Venue, Market) {
        (self.venue, self.market)
    }

    pub(super) fn is_at(&self, venue: Venue, market: Market) -> bool {
        (self.venue, self.market) == (venue, market)
    }

    pub(super) fn is_of(&self, order: &Order) -> bool {
        order.venue == self.venue.as_str() && order.market == self.market.as_str()
    }

    /// Logged in and reconciled, also this very moment.
    fn is_live(&self) -> bool {
        self.is_live && self.info.state() == StreamState::Live
    }

    /// Whether something is about to be heard.
    pub(super) fn waits(&self) -> bool {
        !self.is_live || !self.open.is_empty() || !self.recalled.is_empty()
    }

    // What is known.

    pub(super) fn markets(&self) -> impl Iterator<Item = MarketOf> {
        self.watched.iter().map(|watched| {
            let instrument = watched.info.instrument();
            MarketOf {
                venue: self.venue.to_string(),
                market: self.market.to_string(),
                symbol: watched.unified().to_string(),
                venue_symbol: instrument.map(|of| of.venue_symbol.to_string()),
                price_step: instrument
                    .and_then(|of| of.tick_size)
                    .map(|tick| tick.plain().to_string()),
                qty_step: instrument
                    .and_then(|of| of.lot_size)
                    .map(|lot| lot.plain().to_string()),
            }
        })
    }

    /// Those that may still trade.
    pub(super) fn open_orders(&self) -> impl Iterator<Item = &Order> {
        let recalled = self.recalled.values().map(|recalled| &recalled.order);
        recalled.chain(self.open.values().map(|known| &known.order))
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = Order> {
        self.ended.iter().chain(self.open_orders()).cloned()
    }

    /// Contracts, and currencies under their own names.
    pub(super) fn positions(&self) -> Vec<PositionOf> {
        let row = |symbol: &str, qty: Amount, price_mean| PositionOf {
            venue: self.venue.to_string(),
            market: self.market.to_string(),
            symbol: symbol.to_owned(),
            mode: Mode::Live,
            qty: qty.to_string(),
            price_mean,
        };
        let contracts = self.positions.values().map(|position| {
            let mean = position.price_mean.map(|price| price.plain().to_string());
            row(&position.instrument.symbol, position.qty, mean)
        });
        let currencies = self.balances.values();
        let currencies = currencies.map(|held| row(&held.currency, held.total, None));
        contracts.chain(currencies).collect()
    }

    pub(super) fn knows(&self, id: &ClientOrderId) -> bool {
        self.open.contains_key(id.as_str())
            || self.recalled.contains_key(id)
            || self
                .ended
                .iter()
                .any(|order| *order.client_order_id == **id)
    }

    /// How the engine is to be told of an open order.
    pub(super) fn named(&self, id: &str) -> Option<OrderRef> {
        if let Some(Known { update, .. }) = self.open.get(id) {
            let symbol = update.instrument.symbol;
            let id = match update.client_order_id.is_empty() {
                true => OrderId::Venue(update.venue_order_id),
                false => OrderId::Client(update.client_order_id),
            };
            return Some(OrderRef { symbol, id });
        }
        let id = ClientOrderId::from(id).ok()?;
        self.recalled.get(&id).map(|recalled| recalled.named)
    }

    /// What cancels the open orders that are meant, and how many they are.
    pub(super) fn cancels(&self, filter: Filter<'_>) -> (usize, Vec<Action>) {
        // The filter may write a symbol as the venue does.
        let wanted = filter.symbol.map(|symbol| {
            let watched = self.watched.iter().find(|watched| watched.is(symbol));
            watched.map_or_else(|| symbol.to_owned(), |of| of.unified().to_string())
        });
        let filter = Filter {
            symbol: wanted.as_deref(),
            ..filter
        };
        let fits = |order: &Order| filter.takes(&order.venue, &order.market, &order.symbol);
        let open = self.open.values().filter(|known| fits(&known.order));
        let mut symbols: Vec<Symbol> = open.map(|known| known.update.instrument.symbol).collect();
        let recalled: Vec<&Recalled> = self
            .recalled
            .values()
            .filter(|recalled| fits(&recalled.order))
            .collect();
        let count = symbols.len() + recalled.len();
        symbols.sort_unstable();
        symbols.dedup();
        let of_symbols = symbols
            .into_iter()
            .map(|symbol| Action::CancelAll(Some(symbol)));
        // The engine may not know those yet.
        let one_by_one = recalled
            .iter()
            .map(|recalled| Action::Cancel(recalled.named));
        (count, of_symbols.chain(one_by_one).collect())
    }

    // Whether an order may go.

    pub(super) fn check(&self, order: &OrderRequest, now: Nanos) -> Result<(), Refusal> {
        let risk = |words: String| Refusal::Risk(words);
        if !self.capabilities.orders {
            return Err(risk(format!(
                "{} {} takes no orders",
                self.venue, self.market
            )));
        }
        if order.reduce_only && !self.capabilities.reduce_only {
            // It would go out as a plain order, past the person who is to be asked.
            return Err(risk("this market has no reduce-only orders".to_owned()));
        }
        if matches!(order.size, Size::Quote(_)) && !self.capabilities.quote_qty {
            return Err(risk("this market takes base quantities only".to_owned()));
        }
        let symbol = &order.instrument.symbol;
        let watched = self.watched.iter().find(|watched| watched.is(symbol));
        let watched = watched.ok_or_else(|| risk(format!("this desk does not trade {symbol}")))?;
        if !self.is_live() {
            let words = "the account is not logged in and reconciled";
            return Err(Refusal::VenueDown(words.to_owned()));
        }
        let shown = watched.shown();
        let Shown::Live { .. } = shown else {
            let words = format!("the book of {symbol} is not to be believed");
            return Err(Refusal::VenueDown(words));
        };
        let instrument = watched.info.instrument().ok_or_else(|| {
            Refusal::VenueDown(format!("what the venue says of {symbol} is not known yet"))
        })?;
        filters::check(&instrument, order, shown.against(order.side))
            .map_err(|bad| risk(bad.to_string()))?;
        let unified = instrument.key.symbol;
        let held = self.positions.get(&unified);
        let mut open_qty = Amount::ZERO;
        for known in self.open.values() {
            let told = &known.update;
            if told.instrument.symbol == unified && told.side == order.side {
                let left = told.qty.and_then(|qty| qty.checked_sub(told.filled));
                let left = left
                    .and_then(|left| Amount::new(i128::from(left.mantissa()), left.scale().get()));
                open_qty = left
                    .and_then(|left| open_qty.checked_add(left))
                    .unwrap_or(open_qty);
            }
        }
        let exposure = Exposure {
            // On spot the engine alone counts what this run has bought and sold.
            position: held.map_or(Amount::ZERO, |held| held.qty),
            open_qty,
            open_orders: self.open_orders().count(),
            market: shown,
            unit_value: unit_value(&instrument),
        };
        Risk::new(self.risk.clone())
            .admit(now, order, &exposure)
            .map_err(|no| risk(no.to_string()))
    }

    /// An order was given to the engine: until something is heard of it, nothing is known.
    pub(super) fn sent(&mut self, request: &OrderRequest, now: Nanos) {
        let watched = self
            .watched
            .iter()
            .find(|watched| watched.is(&request.instrument.symbol));
        let mut instrument = request.instrument;
        instrument.symbol = watched.map_or(instrument.symbol, Watched::unified);
        let update = OrderUpdate {
            instrument,
            client_order_id: request.client_order_id,
            venue_order_id: VenueOrderId::new(),
            side: request.side,
            order_type: request.order_type,
            time_in_force: Some(request.time_in_force),
            price: request.price,
            stop: request.stop,
            qty: match request.size {
                Size::Base(qty) => Some(qty),
                Size::Quote(_) => None,
            },
            filled: tickwire::Qty::new(0, tickwire::Scale::of(0)),
            price_mean: None,
            status: OrderStatus::Unknown,
            exch_ns: Nanos::ZERO,
        };
        let order = self.told(&update, now);
        self.open
            .insert(request.client_order_id.to_string(), Known { update, order });
    }

    // What is heard.

    pub(super) fn hot(&mut self, event: &Event) {
        if event.stream() == self.user {
            self.is_live = event.is_live();
            return;
        }
        let mut watched = self.watched.iter_mut();
        let Some(watched) = watched.find(|watched| watched.stream == event.stream()) else {
            return;
        };
        match event.body() {
            Body::Bbo(bbo) if event.is_live() => {
                watched.shown = Shown::Live {
                    bid: bbo.bid().map(|(price, _)| price),
                    ask: bbo.ask().map(|(price, _)| price),
                };
            }
            _ if !event.is_live() => watched.shown = Shown::Stale,
            _ => {}
        }
    }

    pub(super) fn wide(&mut self, wide: &Wide, events: &mut VecDeque<DeskEvent>) {
        if wide.stream != self.user {
            return;
        }
        let of_order = match &wide.body {
            WideBody::Order(update) => Some(id_of(update)),
            _ => None,
        };
        if self.trade.as_ref().map(|(id, ..)| id) != of_order.as_ref() {
            self.tell_trade(events);
        }
        match &wide.body {
            WideBody::Order(update) => self.order(update, wide.recv_ns, events),
            WideBody::Fill(trade) => {
                let id = match trade.client_order_id.is_empty() {
                    true => trade.venue_order_id.to_string(),
                    false => trade.client_order_id.to_string(),
                };
                self.trade = Some((id, fill_of(trade, wide.recv_ns), *trade));
            }
            WideBody::Balance(balance) => {
                let name = balance.currency.to_string();
                if balance.total.is_zero() {
                    self.balances.remove(&name);
                } else {
                    self.balances.insert(name, *balance);
                }
            }
            WideBody::Position(position) => {
                let symbol = position.instrument.symbol;
                if position.qty.is_zero() {
                    self.positions.remove(&symbol);
                } else {
                    self.positions.insert(symbol, *position);
                }
            }
            WideBody::Refusal(refusal) => self.refusal(refusal, wide.recv_ns, events),
            WideBody::Notice(notice) => self.notice = Some(notice.text.to_string()),
            WideBody::Venue(VenueNews::Banned { status, .. }) => {
                self.notice = Some(format!("the venue refuses our requests ({status})"));
            }
            _ => {}
        }
    }

    /// The order as the protocol tells it.
    fn told(&self, update: &OrderUpdate, now: Nanos) -> Order {
        let at = match update.exch_ns {
            Nanos::ZERO => now,
            at => at,
        };
        Order {
            project_id: self.project.clone(),
            mode: Mode::Live,
            client_order_id: update.client_order_id.to_string(),
            venue_order_id: (!update.venue_order_id.is_empty())
                .then(|| update.venue_order_id.to_string()),
            venue: self.venue.to_string(),
            market: self.market.to_string(),
            symbol: update.instrument.symbol.to_string(),
            side: side_of(update.side),
            kind: update.order_type.as_str().to_owned(),
            price: update.price.map(|price| price.plain().to_string()),
            qty: update.qty.map(|qty| qty.plain().to_string()),
            filled: update.filled.plain().to_string(),
            price_mean: update.price_mean.map(|price| price.plain().to_string()),
            status: update.status.as_str().to_owned(),
            reason: None,
            updated_at: at.as_millis(),
        }
    }

    fn order(&mut self, update: &OrderUpdate, now: Nanos, events: &mut VecDeque<DeskEvent>) {
        let id = id_of(update);
        let fill = match self.trade.take() {
            Some((of, fill, _)) if of == id => Some(fill),
            other => {
                self.trade = other;
                None
            }
        };
        self.recalled.remove(&update.client_order_id);
        let order = self.told(update, now);
        let before = self.open.remove(&id);
        let is_news = fill.is_some()
            || match &before {
                Some(known) => known.update != *update,
                None => !self.ended.contains(&order),
            };
        if update.status.is_final() {
            self.end(order.clone());
        } else {
            let (update, order) = (*update, order.clone());
            self.open.insert(id, Known { update, order });
        }
        if is_news {
            events.push_back(DeskEvent::Order { order, fill });
        }
    }

    fn end(&mut self, order: Order) {
        self.ended.retain(|old| key(old) != key(&order));
        self.ended.push_back(order);
        if self.ended.len() > ENDED_KEPT {
            self.ended.pop_front();
        }
    }

    fn known_mut(&mut self, id: &str) -> Option<&mut Order> {
        match self.open.get_mut(id) {
            Some(known) => Some(&mut known.order),
            None => self.ended.iter_mut().find(|order| key(order) == id),
        }
    }

    /// Tells a trade that changed nothing else of its order.
    fn tell_trade(&mut self, events: &mut VecDeque<DeskEvent>) {
        let Some((id, fill, trade)) = self.trade.take() else {
            return;
        };
        let known = self.known_mut(&id).map(|order| order.clone());
        let order = known.unwrap_or_else(|| self.stranger(&trade));
        let fill = Some(fill);
        events.push_back(DeskEvent::Order { order, fill });
    }

    /// An order of which only a trade was heard.
    fn stranger(&self, trade: &Trade) -> Order {
        Order {
            project_id: self.project.clone(),
            mode: Mode::Live,
            client_order_id: trade.client_order_id.to_string(),
            venue_order_id: Some(trade.venue_order_id.to_string()),
            venue: self.venue.to_string(),
            market: self.market.to_string(),
            symbol: trade.instrument.symbol.to_string(),
            side: side_of(trade.side),
            kind: "limit".to_owned(),
            price: None,
            qty: None,
            filled: trade.qty.plain().to_string(),
            price_mean: Some(trade.price.plain().to_string()),
            status: OrderStatus::Unknown.as_str().to_owned(),
            reason: None,
            updated_at: trade.exch_ns.as_millis(),
        }
    }

    /// A command did not do what was asked: its order says why.
    fn refusal(&mut self, refusal: &Refused, now: Nanos, events: &mut VecDeque<DeskEvent>) {
        let words = &refusal.notice.text;
        let why = match (refusal.asked, refusal.outcome) {
            (Asked::Place, Outcome::NotSent) => format!("not sent: {words}"),
            (Asked::Place, Outcome::Unknown) => format!("no answer: {words}"),
            (Asked::Place, Outcome::Rejected) => words.to_string(),
            (_, Outcome::Unknown) => format!("no answer to the cancel: {words}"),
            _ => format!("not cancelled: {words}"),
        };
        let ids: Vec<String> = match refusal.asked {
            Asked::CancelAll => self.open.keys().cloned().collect(),
            _ if refusal.client_order_id.is_empty() => vec![refusal.venue_order_id.to_string()],
            _ => vec![refusal.client_order_id.to_string()],
        };
        for id in ids {
            let is_over = (refusal.asked, refusal.outcome) == (Asked::Place, Outcome::NotSent);
            if is_over && let Some(Known { mut order, .. }) = self.open.remove(&id) {
                order.status = OrderStatus::Rejected.as_str().to_owned();
                order.updated_at = now.as_millis();
                self.end(order);
            }
            let is_ended = !self.open.contains_key(&id);
            if is_ended && refusal.asked != Asked::Place {
                // A cancel that came too late: the order's end was told.
                continue;
            }
            if let Some(order) = self.known_mut(&id) {
                order.reason = Some(why.clone());
                let (order, fill) = (order.clone(), None);
                events.push_back(DeskEvent::Order { order, fill });
            }
        }
    }

    /// What was heard in a turn is all in.
    pub(super) fn settle(&mut self, events: &mut VecDeque<DeskEvent>) {
        self.tell_trade(events);
        let stale = self.watched.iter().find(|watched| {
            let shown = watched.shown();
            !matches!(shown, Shown::Live { .. })
        });
        let now = match (self.is_live(), stale) {
            (false, _) => {
                let unready = "the account is not logged in and reconciled";
                let why = self.notice.as_deref().unwrap_or(unready);
                (VenueStatus::Down, Some(format!("{}: {why}", self.market)))
            }
            (true, Some(stale)) => {
                let symbol = stale.unified();
                let why = format!("the book of {symbol} is not to be believed");
                (VenueStatus::Degraded, Some(why))
            }
            (true, None) => (VenueStatus::Up, None),
        };
        if self.is_live() {
            self.notice = None;
        }
        if self.told.as_ref() != Some(&now) {
            self.told = Some(now.clone());
            events.push_back(DeskEvent::Venue {
                venue: self.venue.to_string(),
                part: self.market.to_string(),
                state: now.0,
                reason: now.1,
            });
        }
    }

    // Orders from before a restart.

    pub(super) fn recall(&mut self, order: &Order, now: Nanos) {
        let (Ok(id), Ok(symbol)) = (
            ClientOrderId::from(&order.client_order_id),
            Symbol::from(&order.symbol),
        ) else {
            return;
        };
        if self.knows(&id) {
            return;
        }
        let recalled = Recalled {
            order: Order {
                status: OrderStatus::Unknown.as_str().to_owned(),
                ..order.clone()
            },
            named: OrderRef {
                symbol,
                id: OrderId::Client(id),
            },
            course: Course::AskAt(now),
        };
        self.recalled.insert(id, recalled);
    }

    /// The next order to ask after, once the account is live: those that stand were told by then.
    pub(super) fn next_question(&mut self, now: Nanos) -> Option<Question> {
        if !self.is_live() {
            return None;
        }
        let due = |recalled: &&mut Recalled| match recalled.course {
            Course::AskAt(at) => at <= now,
            _ => false,
        };
        let recalled = self.recalled.values_mut().find(due)?;
        // Until it has left, and where it does not.
        recalled.course = Course::AskAt(now + ASK_AGAIN);
        let OrderId::Client(id) = recalled.named.id else {
            return None;
        };
        Some(Question {
            id,
            query: Query::Order(recalled.named),
        })
    }

    pub(super) fn question_left(&mut self, id: &ClientOrderId, ticket: Ticket) {
        if let Some(recalled) = self.recalled.get_mut(id) {
            recalled.course = Course::Asked(ticket);
        }
    }

    pub(super) fn answered(
        &mut self,
        answer: Answer,
        now: Nanos,
        events: &mut VecDeque<DeskEvent>,
    ) {
        let of_answer = |recalled: &&mut Recalled| recalled.course == Course::Asked(answer.ticket);
        let recalled = self.recalled.values_mut().find(of_answer);
        match answer.result {
            Ok(Reply::Order(mut update)) => {
                if let Some(Recalled { named, .. }) = recalled
                    && let OrderId::Client(id) = named.id
                {
                    // Some venues leave our id out of what they say of an order.
                    update.client_order_id = id;
                }
                self.order(&update, now, events);
            }
            Err(error) if error.kind == ErrorKind::OrderNotFound => {
                if let Some(recalled) = recalled {
                    let words = "the venue does not know it: it never arrived, or is forgotten";
                    recalled.course = Course::NotFound;
                    recalled.order.reason = Some(words.to_owned());
                    let (order, fill) = (recalled.order.clone(), None);
                    events.push_back(DeskEvent::Order { order, fill });
                }
            }
            Ok(_) | Err(_) => {
                if let Some(recalled) = recalled {
                    recalled.course = Course::AskAt(now + ASK_AGAIN);
                }
            }
        }
    }
}

/// By what an order is found: our id, or the venue's.
fn key(order: &Order) -> &str {
    match (order.client_order_id.as_str(), &order.venue_order_id) {
        ("", Some(id)) => id,
        (id, _) => id,
    }
}

fn id_of(update: &OrderUpdate) -> String {
    match update.client_order_id.is_empty() {
        true => update.venue_order_id.to_string(),
        false => update.client_order_id.to_string(),
    }
}

fn fill_of(trade: &Trade, now: Nanos) -> Fill {
    let at = match trade.exch_ns {
        Nanos::ZERO => now,
        at => at,
    };
    Fill {
        trade_id: trade.trade_id.to_string(),
        client_order_id: trade.client_order_id.to_string(),
        price: trade.price.plain().to_string(),
        qty: trade.qty.plain().to_string(),
        fee: trade.fee.map(|fee| fee.to_string()),
        fee_currency: (!trade.fee_currency.is_empty()).then(|| trade.fee_currency.to_string()),
        liquidity: trade.liquidity.as_str().to_owned(),
        settlement: match trade.settlement {
            Settlement::Final => None,
            other => Some(other.as_str().to_owned()),
        },
        at: at.as_millis(),
    }
}
