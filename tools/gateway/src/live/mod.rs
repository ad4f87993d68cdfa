//! A desk whose orders go to the venue, over the engine's own account commands.
//!
//! It is a strategy's pair of rings that is read on the gateway's thread: what it asks for goes into the
//! engine's command queue, what becomes of it comes by the ring. Nothing here waits for a venue, and the
//! engine's loop does no more for it than for any strategy. What the engine checks before an order leaves
//! (filters, limits, a book to be believed) is checked here as well, so that a person who decides is told.

mod account;

use std::collections::{HashMap, VecDeque};

use serde_json::json;
use tickwire::connectors::channel::ALL_SYMBOLS;
use tickwire::connectors::order::OrderRequest;
use tickwire::connectors::trading::{Action, OrderRef, RiskLimits, Ticket, Transport};
use tickwire::driver::{Capabilities, DriverConfig};
use tickwire::ring::{Consumer, Item};
use tickwire::{Channel, Commander, Market, Nanos, StreamId, SubscribeError, Venue};

use crate::desk::{Desk, DeskEvent, Filter, Refusal};
use crate::feed::FeedError;
use crate::protocol::{MarketOf, Order, PositionOf};
use account::{Account, Watched};

/// Events of the ring looked at in a turn.
const EVENTS_A_TURN: usize = 20_000;

/// What a live desk trades at one market of one venue, as the engine was built for it.
#[derive(Clone, Debug)]
pub struct LiveMarket {
    /// Venue.
    pub venue: Venue,
    /// Market.
    pub market: Market,
    /// How its orders travel: what it can do depends on it.
    pub transport: Transport,
    /// The limits that the engine was given.
    pub risk: RiskLimits,
    /// The instruments that may be traded, unified or as the venue writes them.
    pub symbols: Vec<String>,
}

impl LiveMarket {
    /// Of the configuration by which the engine was built
    /// ([`DriverConfig::venue_setup`](tickwire::driver::DriverConfig::venue_setup)).
    pub fn of(
        config: &DriverConfig,
        symbols: impl IntoIterator<Item = impl Into<String>>,
    ) -> LiveMarket {
        LiveMarket {
            venue: config.venue,
            market: config.market,
            transport: config.transport,
            risk: config.risk.clone(),
            symbols: symbols.into_iter().map(Into::into).collect(),
        }
    }
}

/// The live desk of one project: its account at one or more markets.
///
/// **Stop the engine before the gateway.** A desk that is dropped while its engine runs is a strategy that has
/// ended: the engine cancels its orders. With the engine stopped first, orders stay as they stand (but where
/// the venue cancels them when it loses us), and the next gateway of the same store finds them again.
pub struct LiveDesk {
    project: String,
    ring: Consumer,
    commander: Commander,
    accounts: Vec<Account>,
    /// Which account a stream belongs to.
    by_stream: HashMap<StreamId, usize>,
    /// Orders that were asked after.
    asked: HashMap<Ticket, usize>,
    events: VecDeque<DeskEvent>,
    halted: Option<String>,
    /// Switches that the engine has not taken yet, by account.
    switches: VecDeque<(usize, Action)>,
    sent: u64,
}

impl std::fmt::Debug for LiveDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveDesk")
            .field("project", &self.project)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

fn refused(error: SubscribeError) -> FeedError {
    match error {
        SubscribeError::Engine(_) => FeedError::Busy(error.to_string()),
        _ => FeedError::Unknown(error.to_string()),
    }
}

impl LiveDesk {
    /// The desk of `project`, over a pair of rings of its own
    /// ([`Handle::take_pair`](tickwire::Handle::take_pair)) of the engine that holds the accounts.
    ///
    /// # Errors
    /// Where the engine was built without one of the markets, or takes no commands.
    pub fn new(
        project: impl Into<String>,
        (ring, commander): (Consumer, Commander),
        markets: impl IntoIterator<Item = LiveMarket>,
    ) -> Result<LiveDesk, FeedError> {
        let project = project.into();
        let mut accounts = Vec::new();
        let mut by_stream = HashMap::new();
        for of in markets {
            let (venue, market) = (of.venue, of.market);
            let open = |symbol: &str, channel| -> Result<_, FeedError> {
                let stream = commander
                    .subscribe(venue, market, symbol, channel, false)
                    .map_err(refused)?;
                let info = commander.stream(stream);
                let gone = || FeedError::Busy("the engine does not know its own stream".to_owned());
                Ok((stream, info.ok_or_else(gone)?))
            };
            let (user, info) = open(ALL_SYMBOLS, Channel::User)?;
            let mut streams = vec![user];
            let mut watched = Vec::new();
            for symbol in &of.symbols {
                let (stream, info) = open(symbol, Channel::BOOK)?;
                streams.push(stream);
                watched.push(Watched::new(stream, info));
            }
            by_stream.extend(streams.into_iter().map(|stream| (stream, accounts.len())));
            let capabilities = Capabilities::of(venue, market, of.transport);
            accounts.push(Account::new(
                (project.clone(), venue, market),
                (capabilities, of.risk),
                (user, info),
                watched,
            ));
        }
        Ok(LiveDesk {
            project,
            ring,
            commander,
            accounts,
            by_stream,
            asked: HashMap::new(),
            events: VecDeque::new(),
            halted: None,
            switches: VecDeque::new(),
            sent: 0,
        })
    }

    fn account(&self, venue: Venue, market: Market) -> Option<usize> {
        let mut accounts = self.accounts.iter();
        accounts.position(|account| account.is_at(venue, market))
    }

    fn act(&self, index: usize, action: Action) -> Result<(), Refusal> {
        let account = self.accounts.get(index).ok_or(Refusal::NoOrder)?;
        let (venue, market) = account.place();
        let acted = self.commander.act(venue, market, action);
        acted
            .map(|_| ())
            .map_err(|error| Refusal::VenueDown(error.to_string()))
    }

    fn hear(&mut self, now: Nanos) {
        for _ in 0..EVENTS_A_TURN {
            let stream = match self.ring.pop() {
                None => break,
                Some(Item::Hot(event)) => {
                    let account = self.by_stream.get(&event.stream());
                    if let Some(account) = account.and_then(|at| self.accounts.get_mut(*at)) {
                        account.hot(&event);
                    }
                    continue;
                }
                Some(Item::Wide(wide)) => *wide,
            };
            let account = self.by_stream.get(&stream.stream);
            if let Some(account) = account.and_then(|at| self.accounts.get_mut(*at)) {
                account.wide(&stream, &mut self.events);
            }
        }
        self.hear_answers(now);
        for account in &mut self.accounts {
            account.settle(&mut self.events);
        }
        self.ask_after(now);
        // The switch is not to be lost where the engine's queue is full: it is thrown again.
        while let Some((index, action)) = self.switches.front().copied() {
            if self.act(index, action).is_err() {
                break;
            }
            self.switches.pop_front();
        }
    }

    fn hear_answers(&mut self, now: Nanos) {
        while let Some(answer) = self.commander.next_answer() {
            let index = self.asked.remove(&answer.ticket);
            if let Some(account) = index.and_then(|index| self.accounts.get_mut(index)) {
                account.answered(answer, now, &mut self.events);
            }
        }
    }

    /// Asks after orders that went out before a restart.
    fn ask_after(&mut self, now: Nanos) {
        for (index, account) in self.accounts.iter_mut().enumerate() {
            let (venue, market) = account.place();
            while let Some(query) = account.next_question(now) {
                let asked =
                    self.commander
                        .ask_for_answer(venue, market, Action::Query(query.query));
                if let Ok(ticket) = asked {
                    self.asked.insert(ticket, index);
                    account.question_left(&query.id, ticket);
                }
            }
        }
    }

    fn throw(&mut self, action: Action) {
        self.switches.clear();
        for index in 0..self.accounts.len() {
            if self.act(index, action).is_err() {
                self.switches.push_back((index, action));
            }
        }
    }
}

impl Desk for LiveDesk {
    fn serves(&self, project: &str) -> bool {
        project == self.project
    }

    fn is_watched(&self) -> bool {
        self.accounts.iter().any(Account::waits)
    }

    fn markets(&self) -> Vec<MarketOf> {
        self.accounts.iter().flat_map(Account::markets).collect()
    }

    fn orders(&self, project: &str) -> Vec<Order> {
        let accounts = self.accounts.iter().filter(|_| self.serves(project));
        accounts.flat_map(Account::orders).collect()
    }

    fn positions(&self, project: &str) -> Vec<PositionOf> {
        let accounts = self.accounts.iter().filter(|_| self.serves(project));
        accounts.flat_map(Account::positions).collect()
    }

    fn check(&self, project: &str, order: &OrderRequest, now: Nanos) -> Result<(), Refusal> {
        if let Some(reason) = &self.halted {
            // The engine's own switch is on, which takes nothing new at all.
            return Err(Refusal::Halted(reason.clone()));
        }
        let instrument = order.instrument;
        let account = self
            .account(instrument.venue, instrument.market)
            .and_then(|index| self.accounts.get(index))
            .filter(|_| self.serves(project));
        let account = account.ok_or_else(|| {
            let (venue, market) = (instrument.venue, instrument.market);
            Refusal::Risk(format!("there is no account at {venue} {market}"))
        })?;
        account.check(order, now)
    }

    fn dispatch(&mut self, project: &str, order: &OrderRequest, now: Nanos) -> Result<(), Refusal> {
        let instrument = order.instrument;
        let index = self.account(instrument.venue, instrument.market);
        let known = index.and_then(|index| self.accounts.get(index));
        if known.is_some_and(|account| account.knows(&order.client_order_id)) {
            return Ok(());
        }
        self.check(project, order, now)?;
        let index = index.ok_or(Refusal::NoOrder)?;
        self.act(index, Action::Place(*order))?;
        self.sent += 1;
        if let Some(account) = self.accounts.get_mut(index) {
            account.sent(order, now);
        }
        Ok(())
    }

    fn cancel(&mut self, project: &str, client_order_id: &str, _: Nanos) -> Result<(), Refusal> {
        if !self.serves(project) {
            return Err(Refusal::NoOrder);
        }
        let named = self
            .accounts
            .iter()
            .enumerate()
            .find_map(|(index, account)| Some((index, account.named(client_order_id)?)));
        let (index, order): (usize, OrderRef) = named.ok_or(Refusal::NoOrder)?;
        self.act(index, Action::Cancel(order))
    }

    fn cancel_all(&mut self, project: &str, filter: Filter<'_>, _: Nanos) -> Result<u32, Refusal> {
        let mut count = 0;
        for (index, account) in self.accounts.iter().enumerate() {
            if !self.serves(project) {
                break;
            }
            let (meant, cancels) = account.cancels(filter);
            for action in cancels {
                self.act(index, action)?;
            }
            count += meant;
        }
        Ok(count as u32)
    }

    fn kill(&mut self, reason: &str, _: Nanos) -> u32 {
        self.halted = Some(reason.to_owned());
        self.throw(Action::Kill);
        let open = self.accounts.iter().map(|one| one.open_orders().count());
        open.sum::<usize>() as u32
    }

    fn resume(&mut self, _: Nanos) {
        self.halted = None;
        self.throw(Action::Release);
    }

    fn recall(&mut self, order: &Order, now: Nanos) {
        let mut accounts = self.accounts.iter_mut();
        let account = accounts.find(|account| account.is_of(order));
        if let Some(account) = account.filter(|_| order.project_id == self.project) {
            account.recall(order, now);
        }
    }

    fn poll(&mut self, now: Nanos) -> Option<DeskEvent> {
        if self.events.is_empty() {
            self.hear(now);
        }
        self.events.pop_front()
    }

    fn stats(&self) -> serde_json::Value {
        let open = self.accounts.iter().map(|one| one.open_orders().count());
        json!({ "desk": "live", "open": open.sum::<usize>(), "sent": self.sent })
    }
}
