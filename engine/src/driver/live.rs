//! The driver of every venue: an engine of its own, with the caller in the place of its strategy.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tickwire_connectors::channel::ALL_SYMBOLS;
use tickwire_connectors::order::{Balance, ClientOrderId, OrderRequest, OrderUpdate, Position};
use tickwire_connectors::trading::{Action, AmendRequest, Answer, OrderRef, Query, Reply, Ticket};
use tickwire_connectors::wide::{Notice, Ticker, WideBody};
use tickwire_connectors::{
    Body, Channel, Error, ErrorKind, Event, Instrument, Market, Nanos, Next, Outcome, StreamId,
    StreamState, Symbol, Venue, Wide,
};
use tickwire_orderbook::Side;

use super::capabilities::Capabilities;
use super::subscription::Subscription;
use super::{
    AccountHandler, AccountInfo, Driver, OrderBook, OrderBookHandler, TickerHandler, TimeReport,
    TradeHandler,
};
use crate::clock::Clock;
use crate::control::Commander;
use crate::handle::Handle;
use crate::registry::SubscribeError;
use crate::ring::{Consumer, Item};
use crate::strategy::Replica;

/// How long a waiting call sleeps between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Events handled by one [`Driver::poll`], so that it ends on a busy market.
const EVENTS_A_POLL: usize = 4_096;

/// Answers that nobody has taken: far beyond what can be asked before the next look.
const ANSWERS_MAX: usize = 1_024;

/// What a subscription is called with.
enum Handler {
    Ticker(TickerHandler),
    Book(usize, OrderBook, OrderBookHandler),
    Trades(TradeHandler),
}

struct Subscribed {
    stream: StreamId,
    alive: Arc<AtomicBool>,
    handler: Handler,
}

/// A stream that is open for subscriptions and waiting calls.
struct Open {
    symbol: String,
    channel: Channel,
    depth: bool,
    uses: Arc<AtomicUsize>,
    replica: Option<Box<Replica>>,
    ticker: Option<Ticker>,
    notice: Option<Notice>,
    /// As the last event says: what came before the state did, the reason of a refusal too, is known
    /// by then. The registry's state runs ahead of the ring.
    state: StreamState,
    /// When the last whole message of a book came; zero while a snapshot is half in.
    recv_ns: Nanos,
}

/// The driver of any venue. Made by [`open`](super::open).
#[expect(missing_debug_implementations, reason = "handlers have none")]
pub struct EngineDriver {
    handle: Option<Handle>,
    ring: Option<Consumer>,
    commander: Commander,
    clock: Clock,
    venue: Venue,
    market: Market,
    has_account: bool,
    capabilities: Capabilities,
    connected: bool,
    user: Option<StreamId>,
    user_state: StreamState,
    /// The end of the last account stream has not come yet: what comes before it is of that.
    user_ending: Option<StreamId>,
    user_notice: Option<Notice>,
    streams: HashMap<StreamId, Open>,
    subscribed: Vec<Subscribed>,
    on_account: Option<AccountHandler>,
    answers: VecDeque<Answer>,
}

impl EngineDriver {
    pub(super) fn new(
        mut handle: Handle,
        name: &str,
        (venue, market): (Venue, Market),
        has_account: bool,
        capabilities: Capabilities,
    ) -> EngineDriver {
        let strategy = handle.strategy(name).unwrap_or(crate::StrategyId(0));
        let ring = handle.take_pair(strategy).map(|pair| pair.0);
        EngineDriver {
            ring,
            commander: handle.commander(strategy),
            clock: handle.clock(),
            handle: Some(handle),
            venue,
            market,
            has_account,
            capabilities,
            connected: false,
            user: None,
            user_state: StreamState::Pending,
            user_ending: None,
            user_notice: None,
            streams: HashMap::new(),
            subscribed: Vec::new(),
            on_account: None,
            answers: VecDeque::new(),
        }
    }

    /// The engine beneath: counters, links, streams. `None` once it is closed.
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    fn check_open(&self) -> Result<(), Error> {
        match &self.handle {
            Some(handle) if handle.is_running() => Ok(()),
            _ => Err(Error::ours(
                ErrorKind::Disconnected,
                "the driver was closed",
            )),
        }
    }

    /// Opens a stream, or finds the one that is open.
    fn open_stream(
        &mut self,
        symbol: &str,
        channel: Channel,
        depth: bool,
    ) -> Result<StreamId, Error> {
        self.check_open()?;
        let id = self
            .commander
            .subscribe(self.venue, self.market, symbol, channel, depth)
            .map_err(refused)?;
        self.streams.entry(id).or_insert_with(|| Open {
            symbol: symbol.to_owned(),
            channel,
            depth,
            uses: Arc::default(),
            replica: depth.then(Box::default),
            ticker: None,
            notice: None,
            state: StreamState::Pending,
            recv_ns: Nanos::ZERO,
        });
        Ok(id)
    }

    fn subscribe(
        &mut self,
        symbol: &str,
        channel: Channel,
        depth: bool,
        handler: Handler,
    ) -> Result<Subscription, Error> {
        let stream = self.open_stream(symbol, channel, depth)?;
        let uses = self.streams.get(&stream).map(|open| Arc::clone(&open.uses));
        let commander = self.commander.clone();
        let (subscription, alive) = Subscription::new(stream, uses.unwrap_or_default(), commander);
        self.subscribed.push(Subscribed {
            stream,
            alive,
            handler,
        });
        Ok(subscription)
    }

    /// Waits until `done` gives something, handling what comes.
    fn wait<T>(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&mut EngineDriver) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let until = self.clock.now() + Nanos(i64::try_from(within.as_nanos()).unwrap_or(i64::MAX));
        loop {
            let handled = self.poll();
            if let Some(result) = done(self) {
                return result;
            }
            self.check_open()?;
            if self.clock.now() >= until {
                return Err(Error {
                    kind: ErrorKind::Timeout,
                    outcome: Outcome::Unknown,
                    next: Next::AfterResync,
                    code: None,
                    text: format!("no answer within {} ms", within.as_millis()),
                });
            }
            if handled == 0 {
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    fn ask(&mut self, action: Action) -> Result<Ticket, Error> {
        self.check_open()?;
        self.commander
            .ask_for_answer(self.venue, self.market, action)
            .map_err(refused)
    }

    /// Asks and waits for the answer. What never left because there was no room for it just then is
    /// asked for again while there is time.
    fn ask_and_wait(&mut self, action: Action, within: Duration) -> Result<Reply, Error> {
        let until = self.clock.now() + Nanos(i64::try_from(within.as_nanos()).unwrap_or(i64::MAX));
        loop {
            let ticket = self.ask(action)?;
            let left = Duration::from_nanos((until - self.clock.now()).0.max(0).unsigned_abs());
            let error = match self.wait(left, |driver| driver.take_answer(ticket)) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let Next::AfterMs(wait_ms) = error.next else {
                return Err(error);
            };
            let again = self.clock.now() + Nanos::from_millis(i64::from(wait_ms));
            if error.outcome != Outcome::NotSent || again >= until {
                return Err(error);
            }
            while self.clock.now() < again {
                self.poll();
                std::thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    fn take_answer(&mut self, ticket: Ticket) -> Option<Result<Reply, Error>> {
        self.collect_answers();
        let index = self
            .answers
            .iter()
            .position(|answer| answer.ticket == ticket)?;
        self.answers.remove(index).map(|answer| answer.result)
    }

    fn collect_answers(&mut self) {
        while let Some(answer) = self.commander.next_answer() {
            if self.answers.len() == ANSWERS_MAX {
                self.answers.pop_front();
            }
            self.answers.push_back(answer);
        }
    }

    fn order_of(reply: Reply) -> Option<OrderUpdate> {
        match reply {
            Reply::Order(order) => Some(*order),
            _ => None,
        }
    }

    /// A stream was refused, if it was.
    fn refusal_of(state: StreamState, notice: Option<&Notice>) -> Option<Error> {
        if state != StreamState::Refused {
            return None;
        }
        let kind = notice.map_or(ErrorKind::Other, |notice| notice.kind);
        let text = notice.map_or("the venue refused it", |notice| &notice.text);
        Some(Error::ours(kind, text))
    }

    fn hot(&mut self, event: &Event) {
        let id = event.stream();
        if self.user_ending == Some(id) {
            if event.state() == StreamState::Closed {
                self.user_ending = None;
            }
            return;
        }
        if self.user == Some(id) {
            self.user_state = event.state();
            return;
        }
        let Some(open) = self.streams.get_mut(&id) else {
            return;
        };
        open.state = event.state();
        let mut is_whole = false;
        if let Some(replica) = &mut open.replica {
            is_whole = replica.handle(event) == crate::strategy::Change::Batch;
            if replica.take_question(event.recv_ns()) {
                let _ = self.commander.republish(id);
            }
        }
        match event.body() {
            _ if is_whole => open.recv_ns = event.recv_ns(),
            Body::Level(delta) if delta.starts_snapshot() => open.recv_ns = Nanos::ZERO,
            _ => {}
        }
        let of_stream = self.subscribed.iter_mut().filter(|one| one.stream == id);
        for one in of_stream {
            if !one.alive.load(Ordering::Acquire) {
                continue;
            }
            match (&mut one.handler, event.body()) {
                (Handler::Trades(handler), Body::Trade(trade)) => handler(&trade),
                (Handler::Book(depth, book, handler), _) if is_whole && event.is_live() => {
                    if let Some(replica) = &open.replica {
                        fill_book(book, replica, *depth, event.recv_ns());
                        handler(book);
                    }
                }
                _ => {}
            }
        }
    }

    fn wide(&mut self, wide: &Wide) {
        if self.user_ending == Some(wide.stream) {
            return;
        }
        if self.user == Some(wide.stream) {
            if let WideBody::Notice(notice) = &wide.body {
                self.user_notice = Some(*notice);
            }
            if let Some(handler) = &mut self.on_account {
                handler(&wide.body);
            }
            return;
        }
        let Some(open) = self.streams.get_mut(&wide.stream) else {
            return;
        };
        match &wide.body {
            WideBody::Notice(notice) => open.notice = Some(*notice),
            WideBody::Ticker(ticker) => {
                open.ticker = Some(*ticker);
                for one in self.subscribed.iter_mut() {
                    if let Handler::Ticker(handler) = &mut one.handler
                        && one.stream == wide.stream
                        && one.alive.load(Ordering::Acquire)
                    {
                        handler(ticker);
                    }
                }
            }
            _ => {}
        }
    }

    /// Forgets subscriptions whose handle was dropped, and streams that nobody uses.
    fn forget_dropped(&mut self) {
        if self
            .subscribed
            .iter()
            .all(|one| one.alive.load(Ordering::Acquire))
        {
            return;
        }
        self.subscribed
            .retain(|one| one.alive.load(Ordering::Acquire));
        let subscribed = &self.subscribed;
        self.streams
            .retain(|id, _| subscribed.iter().any(|one| one.stream == *id));
    }

    /// Leaves the account's stream. What still comes of it is not the next one's.
    fn leave_user(&mut self) {
        self.user_state = StreamState::Pending;
        self.user_ending = self.user_ending.or(self.user);
        if let Some(user) = self.user.take() {
            let _ = self.commander.unsubscribe(user);
        }
    }

    /// Lets a stream go that a waiting call has opened, unless somebody else uses it.
    fn release_stream(&mut self, stream: StreamId) {
        let is_used = self.subscribed.iter().any(|one| one.stream == stream);
        if !is_used {
            self.streams.remove(&stream);
            let _ = self.commander.unsubscribe(stream);
        }
    }
}

fn fill_book(book: &mut OrderBook, replica: &Replica, depth: usize, recv_ns: Nanos) {
    book.bids.clear();
    book.bids.extend(replica.levels(Side::Bid).take(depth));
    book.asks.clear();
    book.asks.extend(replica.levels(Side::Ask).take(depth));
    (book.seq, book.recv_ns) = (replica.seq(), recv_ns);
}

fn named(symbol: &str) -> OrderBook {
    OrderBook {
        symbol: tickwire_connectors::instrument::symbol(symbol).unwrap_or_default(),
        ..OrderBook::default()
    }
}

fn refused(error: SubscribeError) -> Error {
    let kind = match error {
        SubscribeError::UnknownVenue { .. } | SubscribeError::BadSymbol(_) => ErrorKind::BadSymbol,
        SubscribeError::TooManyStreams | SubscribeError::Engine(_) => ErrorKind::Disconnected,
    };
    Error::ours(kind, error.to_string())
}

fn symbol_of(symbol: Option<&str>) -> Result<Option<Symbol>, Error> {
    let Some(text) = symbol else { return Ok(None) };
    match tickwire_connectors::instrument::symbol(text) {
        Some(symbol) => Ok(Some(symbol)),
        None => {
            let text = format!("{text:?} is no symbol: it is too long");
            Err(Error::ours(ErrorKind::BadSymbol, text))
        }
    }
}

/// An answer of another kind than was asked for: a fault of ours that must not look like the venue's.
fn odd(reply: &Reply) -> Error {
    let text = format!("an answer of another kind: {reply:?}");
    Error::ours(ErrorKind::BadResponse, text)
}

impl Driver for EngineDriver {
    fn name(&self) -> String {
        format!("{} {}", self.venue, self.market)
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn connect(&mut self, within: Duration) -> Result<(), Error> {
        self.check_open()?;
        if self.is_connected() {
            return Ok(());
        }
        if !self.connected {
            let open: Vec<_> = self
                .streams
                .values()
                .map(|open| (open.symbol.clone(), open.channel, open.depth))
                .collect();
            for (symbol, channel, depth) in open {
                self.open_stream(&symbol, channel, depth)?;
            }
        }
        self.connected = true;
        if !self.has_account {
            return Ok(());
        }
        if self.user_state == StreamState::Refused {
            // Asked anew, and not told of the last refusal.
            self.leave_user();
        }
        let (venue, market) = (self.venue, self.market);
        self.user_notice = None;
        let user = self
            .commander
            .subscribe(venue, market, ALL_SYMBOLS, Channel::User, false)
            .map_err(refused)?;
        self.user = Some(user);
        let connected = self.wait(within, |driver| {
            if driver.is_connected() {
                return Some(Ok(()));
            }
            EngineDriver::refusal_of(driver.user_state, driver.user_notice.as_ref()).map(Err)
        });
        connected.map_err(|error| match self.user_notice {
            // Why it took too long, where the venue has said so.
            Some(notice) if error.kind == ErrorKind::Timeout => Error {
                kind: notice.kind,
                outcome: Outcome::NotSent,
                code: notice.code,
                text: notice.text.to_string(),
                ..error
            },
            _ => error,
        })
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.leave_user();
        for stream in self.streams.keys() {
            let _ = self.commander.unsubscribe(*stream);
        }
    }

    fn close(&mut self) {
        self.disconnect();
        if let Some(handle) = self.handle.take()
            && let Err(error) = handle.stop()
        {
            tracing::error!(%error, "the driver's engine did not end cleanly");
        }
        self.subscribed.clear();
        self.streams.clear();
        self.ring = None;
    }

    fn is_connected(&self) -> bool {
        if !self.connected || self.handle.is_none() {
            return false;
        }
        self.user_state == StreamState::Live || !self.has_account
    }

    fn poll(&mut self) -> usize {
        self.forget_dropped();
        let Some(mut ring) = self.ring.take() else {
            return 0;
        };
        let mut handled = 0;
        while handled < EVENTS_A_POLL {
            match ring.pop() {
                Some(Item::Hot(event)) => self.hot(&event),
                Some(Item::Wide(wide)) => {
                    let wide = *wide;
                    self.wide(&wide);
                }
                None => break,
            }
            handled += 1;
        }
        self.ring = Some(ring);
        handled
    }

    fn server_time(&mut self, within: Duration) -> Result<Nanos, Error> {
        self.sync_time(within).map(|report| report.server_ns)
    }

    fn sync_time(&mut self, within: Duration) -> Result<TimeReport, Error> {
        match self.ask_and_wait(Action::Query(Query::ServerTime), within)? {
            Reply::Time {
                server_ns,
                offset_ns,
            } => Ok(TimeReport {
                server_ns,
                offset_ns,
            }),
            other => Err(odd(&other)),
        }
    }

    fn exchange_info(
        &mut self,
        symbol: Option<&str>,
        within: Duration,
    ) -> Result<Vec<Instrument>, Error> {
        let query = Query::Instruments(symbol_of(symbol)?);
        match self.ask_and_wait(Action::Query(query), within)? {
            Reply::Instruments(instruments) => Ok(instruments),
            other => Err(odd(&other)),
        }
    }

    fn ticker(&mut self, symbol: &str, within: Duration) -> Result<Ticker, Error> {
        let stream = self.open_stream(symbol, Channel::Ticker, false)?;
        let found = self.wait(within, |driver| {
            let open = driver.streams.get(&stream)?;
            match open.ticker {
                Some(ticker) => Some(Ok(ticker)),
                None => EngineDriver::refusal_of(open.state, open.notice.as_ref()).map(Err),
            }
        });
        self.release_stream(stream);
        found
    }

    fn orderbook(
        &mut self,
        symbol: &str,
        depth: usize,
        within: Duration,
    ) -> Result<OrderBook, Error> {
        let stream = self.open_stream(symbol, Channel::BOOK, true)?;
        let found = self.wait(within, |driver| {
            let open = driver.streams.get(&stream)?;
            if let Some(replica) = open.replica.as_ref().filter(|replica| replica.is_valid())
                && open.state == StreamState::Live
                && open.recv_ns > Nanos::ZERO
            {
                let mut book = named(symbol);
                fill_book(&mut book, replica, depth, open.recv_ns);
                return Some(Ok(book));
            }
            EngineDriver::refusal_of(open.state, open.notice.as_ref()).map(Err)
        });
        self.release_stream(stream);
        found
    }

    fn subscribe_ticker(
        &mut self,
        symbol: &str,
        handler: TickerHandler,
    ) -> Result<Subscription, Error> {
        self.subscribe(symbol, Channel::Ticker, false, Handler::Ticker(handler))
    }

    fn subscribe_orderbook(
        &mut self,
        symbol: &str,
        depth: usize,
        handler: OrderBookHandler,
    ) -> Result<Subscription, Error> {
        let handler = Handler::Book(depth, named(symbol), handler);
        self.subscribe(symbol, Channel::BOOK, true, handler)
    }

    fn subscribe_trades(
        &mut self,
        symbol: &str,
        handler: TradeHandler,
    ) -> Result<Subscription, Error> {
        self.subscribe(symbol, Channel::Trades, false, Handler::Trades(handler))
    }

    fn on_account(&mut self, handler: AccountHandler) {
        self.on_account = Some(handler);
    }

    fn account(&mut self, within: Duration) -> Result<AccountInfo, Error> {
        let balances = self.balances(within)?;
        let positions = if self.capabilities.positions {
            self.positions(within)?
        } else {
            Vec::new()
        };
        Ok(AccountInfo {
            balances,
            positions,
        })
    }

    fn balances(&mut self, within: Duration) -> Result<Vec<Balance>, Error> {
        match self.ask_and_wait(Action::Query(Query::Balances), within)? {
            Reply::Balances(balances) => Ok(balances),
            other => Err(odd(&other)),
        }
    }

    fn positions(&mut self, within: Duration) -> Result<Vec<Position>, Error> {
        match self.ask_and_wait(Action::Query(Query::Positions), within)? {
            Reply::Positions(positions) => Ok(positions),
            other => Err(odd(&other)),
        }
    }

    fn next_order_id(&self) -> ClientOrderId {
        self.commander.next_order_id()
    }

    fn place_order(
        &mut self,
        request: &OrderRequest,
        within: Duration,
    ) -> Result<OrderUpdate, Error> {
        let reply = self.ask_and_wait(Action::Place(*request), within)?;
        match reply {
            Reply::Order(order) => Ok(*order),
            other => Err(odd(&other)),
        }
    }

    fn cancel_order(
        &mut self,
        order: &OrderRef,
        within: Duration,
    ) -> Result<Option<OrderUpdate>, Error> {
        let reply = self.ask_and_wait(Action::Cancel(*order), within)?;
        Ok(EngineDriver::order_of(reply))
    }

    fn amend_order(
        &mut self,
        amend: &AmendRequest,
        within: Duration,
    ) -> Result<Option<OrderUpdate>, Error> {
        let reply = self.ask_and_wait(Action::Amend(*amend), within)?;
        Ok(EngineDriver::order_of(reply))
    }

    fn order(&mut self, order: &OrderRef, within: Duration) -> Result<OrderUpdate, Error> {
        match self.ask_and_wait(Action::Query(Query::Order(*order)), within)? {
            Reply::Order(order) => Ok(*order),
            other => Err(odd(&other)),
        }
    }

    fn open_orders(
        &mut self,
        symbol: Option<&str>,
        within: Duration,
    ) -> Result<Vec<OrderUpdate>, Error> {
        let query = Query::OpenOrders(symbol_of(symbol)?);
        match self.ask_and_wait(Action::Query(query), within)? {
            Reply::Orders(orders) => Ok(orders),
            other => Err(odd(&other)),
        }
    }

    fn cancel_all(&mut self, symbol: Option<&str>, within: Duration) -> Result<(), Error> {
        let symbol = symbol_of(symbol)?;
        self.ask_and_wait(Action::CancelAll(symbol), within)
            .map(|_| ())
    }

    fn kill(&mut self, within: Duration) -> Result<(), Error> {
        self.ask_and_wait(Action::Kill, within).map(|_| ())
    }

    fn release(&mut self, within: Duration) -> Result<(), Error> {
        self.ask_and_wait(Action::Release, within).map(|_| ())
    }

    fn submit(&mut self, action: Action) -> Result<Ticket, Error> {
        self.ask(action)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.collect_answers();
        self.answers.pop_front()
    }
}
