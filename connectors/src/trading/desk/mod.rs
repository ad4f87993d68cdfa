//! The account at one venue, as a sans-IO machine: links, requests, orders, and what is told of them.
//!
//! It is a part of the venue's connector and is driven by it: what the connector is called with and does
//! not know is the desk's. It never assumes the fate of a request: one without an answer is
//! [`Outcome::Unknown`](crate::Outcome), its order is looked up by our own id until the venue has said
//! what it is.

mod ask;
mod hear;
mod links;
mod seat;

use std::collections::VecDeque;

use tickwire_orderbook::Amount;

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::event::{Reason, StreamId, StreamState};
use crate::governor::Governor;
use crate::instrument::{Instrument, Symbol};
use crate::network::FetchInstruments;
use crate::order::{Balance, OrderStatus, OrderUpdate, Position};
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::transmit::{Lane, LinkId, RequestId, Transmit};
use crate::wide::{Notice, WideBody};

use super::Trading;
use super::action::{Answer, OrderId, Reply, Ticket};
use super::dialect::{Dialect, Job, Names, Role, Rules, Said, Way};
use super::limits::{OrderLimits, Sending};
use super::pages::Page;
use super::reconcile::{Need, Reconcile};
use super::risk::Risk;
use super::time_sync::TimeSync;
use super::tracker::{Tracked, Tracker};

pub use ask::{Sight, unit_value};
use links::DeskLink;
pub(crate) use seat::Seat;

/// An answer over a link that takes longer does not come: Binance's matching gives up after 10 s and says
/// so, but an order of unknown fate should be looked up sooner.
const ANSWER_MAX_NS: Nanos = Nanos::from_secs(5);

/// An HTTP answer: the engine gives up after 10 s.
const RESPONSE_MAX_NS: Nanos = Nanos::from_secs(15);

/// The clock is asked for again so often: quartz drifts some 100 ms in an hour at worst.
const TIME_SYNC_NS: Nanos = Nanos::from_secs(600);

/// The wait before the clock is asked for again after a failure.
const TIME_RETRY_NS: Nanos = Nanos::from_millis(500);

/// While the kill switch is on, what stands is cancelled so often: within every venue's limits, and at
/// once for who watches.
const SWEEP_EVERY_NS: Nanos = Nanos::from_secs(1);

/// Requests of one account that may wait for answers: far beyond what any venue takes in a second.
const PENDING_MAX: usize = 4_096;

/// Pages of one list: at Bybit's 50 orders a page more than any venue lets stand.
const PAGES_MAX: u32 = 400;

/// HTTP requests of the desk are numbered from here, those of market data from 0.
const REQUEST_BASE: u32 = 1 << 31;

/// Why a request was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// A strategy or a tool asked.
    Asker(Ticket),
    /// Nobody asked: it is one of ours.
    Upkeep,
    /// To reconcile.
    Need(Need),
    /// A part of a command that takes several requests.
    Part(Ticket),
}

/// A request under way.
#[derive(Debug)]
struct Pending {
    key: u32,
    job: Job,
    purpose: For,
    way: Way,
    /// `None` while it waits to be written.
    sent_at: Option<Nanos>,
    /// It is given up then.
    deadline: Nanos,
    /// Of a list in pages: what those before this one told.
    listed: Listed,
}

/// What the pages of a list have told so far.
#[derive(Debug, Default)]
struct Listed {
    orders: Vec<OrderUpdate>,
    positions: Vec<Position>,
}

impl Listed {
    /// An order may be on two pages, where the list has moved between the questions: the newer word counts.
    fn add_orders(&mut self, orders: Vec<OrderUpdate>) {
        let is_again = |held: &OrderUpdate| {
            let mut again = orders.iter();
            again.any(|order| order.venue_order_id == held.venue_order_id)
        };
        self.orders.retain(|held| !is_again(held));
        self.orders.extend(orders);
    }
}

/// A command that takes several requests.
#[derive(Debug)]
struct Fan {
    ticket: Ticket,
    left: usize,
    error: Option<Error>,
}

/// A stream of the account's events that somebody opened.
#[derive(Debug)]
struct UserStream {
    stream: Stream,
    /// Only what concerns this instrument (unified); `None` for all.
    only: Option<Symbol>,
}

/// What is held of an instrument.
#[derive(Clone, Copy, Debug)]
struct Holding {
    symbol: Symbol,
    venue_symbol: Symbol,
    /// Net; on spot what this run has bought and sold.
    net: Amount,
    told: Option<Position>,
}

/// The account at one venue.
#[derive(Debug)]
pub struct Desk<D> {
    dialect: D,
    rules: Rules,
    /// Whether the venue is asked for its instruments.
    fetches: bool,
    links: Vec<DeskLink>,
    /// The engine was asked for the links.
    opened: bool,
    streams: Vec<UserStream>,
    tracker: Tracker,
    risk: Risk,
    limits: OrderLimits,
    time: TimeSync,
    time_asked: bool,
    time_at: Nanos,
    listen_key: String,
    listen_key_at: Nanos,
    /// When the account is next shown that we live; [`Nanos::MAX`] for never.
    dead_man_at: Nanos,
    reconcile: Reconcile,
    /// When the private stream was first there, by the venue's clock: trades from before are not ours to
    /// tell.
    born: Nanos,
    /// The private stream was whole until then, by the venue's clock.
    whole_until: Nanos,
    balances: Vec<Balance>,
    /// Currencies and instruments that the stream told of while a question for all of them was under way.
    fresher: (Vec<usize>, Vec<usize>),
    holdings: Vec<Holding>,
    pending: Vec<Pending>,
    fans: Vec<Fan>,
    urgent: VecDeque<u32>,
    normal: VecDeque<u32>,
    /// Requests about orders whose place has no answer yet: by HTTP they would overtake it.
    behind: VecDeque<u32>,
    /// Requests that wait for room in the venue's budget, and when there is some.
    held: VecDeque<u32>,
    held_until: Nanos,
    /// While the kill switch is on: when orders were last cancelled, and when those that stand are next.
    swept_at: Nanos,
    sweep_at: Nanos,
    control: VecDeque<Transmit>,
    next_key: u32,
    said: Vec<Said>,
}

impl<D: Dialect> Desk<D> {
    /// A desk that does nothing until somebody opens a stream of the account's events.
    pub fn new(dialect: D, trading: &Trading, instruments: FetchInstruments) -> Desk<D> {
        let rules = dialect.rules();
        Desk {
            limits: OrderLimits::new(rules.limits),
            rules,
            dialect,
            fetches: instruments == FetchInstruments::Yes,
            links: Vec::new(),
            opened: false,
            streams: Vec::new(),
            tracker: Tracker::new(),
            risk: Risk::new(trading.risk.clone()),
            time: TimeSync::default(),
            time_asked: false,
            time_at: Nanos::MAX,
            listen_key: String::new(),
            listen_key_at: Nanos::MAX,
            dead_man_at: Nanos::MAX,
            reconcile: Reconcile::default(),
            born: Nanos::ZERO,
            whole_until: Nanos::ZERO,
            balances: Vec::new(),
            fresher: (Vec::new(), Vec::new()),
            holdings: Vec::new(),
            pending: Vec::new(),
            fans: Vec::new(),
            urgent: VecDeque::new(),
            normal: VecDeque::new(),
            behind: VecDeque::new(),
            held: VecDeque::new(),
            held_until: Nanos::MAX,
            swept_at: Nanos::ZERO,
            sweep_at: Nanos::MAX,
            control: VecDeque::new(),
            next_key: 1,
            said: Vec::with_capacity(8),
        }
    }

    /// Opens a stream of the account's events: the first one brings the links up.
    pub fn subscribe(
        &mut self,
        now: Nanos,
        stream: Stream,
        only: Option<Symbol>,
        free_link: impl FnMut(&[LinkId]) -> LinkId,
        out: &mut Outbox,
    ) {
        let is_first = self.streams.is_empty();
        self.streams.push(UserStream { stream, only });
        if is_first {
            self.open(now, free_link);
        } else if self.is_whole() {
            let index = self.streams.len() - 1;
            self.show(index, now, out);
        }
    }

    /// Whether a stream is one of the desk's.
    pub fn has(&self, id: StreamId) -> bool {
        self.streams.iter().any(|user| user.stream.id == id)
    }

    /// Ends a stream; with the last the links go.
    pub fn unsubscribe(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(index) = self.streams.iter().position(|user| user.stream.id == id) else {
            return;
        };
        let mut user = self.streams.remove(index);
        let times = Times::ours(now);
        user.stream
            .change(StreamState::Closed, Reason::Unsubscribed, None, times, out);
        if self.streams.is_empty() {
            self.close(now, out);
        }
    }

    /// Tells a stream again what there is: for a strategy that joins late.
    pub fn republish(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let index = self.streams.iter().position(|user| user.stream.id == id);
        if let Some(index) = index.filter(|_| self.is_whole()) {
            self.show(index, now, out);
        }
    }

    /// Whether the account's events are Live: every link is logged in and all is reconciled.
    fn is_whole(&self) -> bool {
        self.is_up() && !self.reconcile.is_running() && !self.links.is_empty()
    }

    /// Says that a stream is Live and what the account has: orders that stand, balances, positions.
    fn show(&mut self, index: usize, now: Nanos, out: &mut Outbox) {
        let times = Times::ours(now);
        let Some(UserStream { stream, only }) = self.streams.get_mut(index) else {
            return;
        };
        let wants = |symbol: &Symbol| only.is_none_or(|only| only == *symbol);
        stream.change(StreamState::Live, Reason::Synced, None, times, out);
        for order in self.tracker.open().map(|order| order.update()) {
            if wants(&order.instrument.symbol) {
                stream.publish_wide(WideBody::Order(order), times, out);
            }
        }
        for balance in &self.balances {
            stream.publish_wide(WideBody::Balance(*balance), times, out);
        }
        for position in self.holdings.iter().filter_map(|held| held.told) {
            if wants(&position.instrument.symbol) {
                stream.publish_wide(WideBody::Position(position), times, out);
            }
        }
    }

    /// Publishes on every stream that wants it.
    fn publish(&self, symbol: Option<&Symbol>, body: WideBody, times: Times, out: &mut Outbox) {
        for UserStream { stream, only } in &self.streams {
            let wants = match (only, symbol) {
                (Some(only), Some(symbol)) => only == symbol,
                _ => true,
            };
            if wants {
                stream.publish_wide(body, times, out);
            }
        }
    }

    fn publish_order(&self, order: &OrderUpdate, now: Nanos, out: &mut Outbox) {
        let times = Times {
            exch_ns: order.exch_ns,
            recv_ns: now,
        };
        let symbol = &order.instrument.symbol;
        self.publish(Some(symbol), WideBody::Order(*order), times, out);
    }

    fn notice(&self, symbol: Option<&Symbol>, error: &Error, now: Nanos, out: &mut Outbox) {
        let notice = WideBody::Notice(Notice::of(error));
        self.publish(symbol, notice, Times::ours(now), out);
    }

    /// Gives an answer to who waits for one.
    fn answer(&self, ticket: Ticket, result: Result<Reply, Error>, out: &mut Outbox) {
        if ticket.is_awaited() {
            out.push_answer(Answer { ticket, result });
        }
    }

    /// The first page of a list that is to be asked for next.
    const fn first_page(&self) -> Page {
        Page::first(self.next_key)
    }

    /// Puts a request into its queue.
    fn push(&mut self, now: Nanos, job: Job, purpose: For) -> u32 {
        let is_behind = self.is_behind_place(&job);
        let way = match self.dialect.way(&job) {
            // Of one lane they arrive in order: a cancel must not overtake what it cancels.
            Way::Link(role, _) if is_behind => Way::Link(role, Lane::Normal),
            way => way,
        };
        let key = self.next_key;
        // Never 0, and below the half where HTTP requests are numbered.
        self.next_key = (key + 1) % REQUEST_BASE + u32::from(key + 1 == REQUEST_BASE);
        self.pending.push(Pending {
            key,
            job,
            purpose,
            way,
            sent_at: None,
            deadline: now + wait(way),
            listed: Listed::default(),
        });
        if is_urgent(&job) && !is_behind {
            self.urgent.push_back(key);
        } else {
            self.normal.push_back(key);
        }
        key
    }

    /// The next thing to do for the desk.
    pub fn poll_transmit(
        &mut self,
        now: Nanos,
        governor: &Governor,
        body: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop_front() {
            return Some(transmit);
        }
        loop {
            let queue = if self.urgent.is_empty() {
                &mut self.normal
            } else {
                &mut self.urgent
            };
            let key = queue.pop_front()?;
            let Some(index) = self.pending.iter().position(|one| one.key == key) else {
                continue;
            };
            let waits = self.pending[index].way == Way::Http
                && self.is_behind_place(&self.pending[index].job);
            if waits {
                self.behind.push_back(key);
                continue;
            }
            let pending = &mut self.pending[index];
            let call = super::dialect::Call {
                key,
                job: &pending.job,
                at: self.time.venue_now(now),
            };
            match pending.way {
                Way::Link(role, lane) => {
                    let link = self.links.iter().find(|link| link.role == role);
                    let Some(id) = link.filter(|link| link.is_up()).and_then(|link| link.id) else {
                        // It is answered as not sent when its time is looked at next.
                        pending.deadline = now;
                        continue;
                    };
                    (pending.sent_at, pending.deadline) = (Some(now), now + ANSWER_MAX_NS);
                    if !self.dialect.is_answered(&pending.job) {
                        pending.deadline = now;
                    }
                    self.dialect.write_text(&call, body);
                    return Some(Transmit::Text { link: id, lane });
                }
                Way::Http => {
                    // Cancels go whatever the budget says, unless we are banned.
                    let weight = self.dialect.weight(&pending.job);
                    if let Err(at) = governor.admit_request(now, weight)
                        && (!is_urgent(&pending.job) || governor.banned_until() > now)
                    {
                        if is_of_the_moment(&pending.job) {
                            pending.deadline = now;
                        } else {
                            self.held.push_back(key);
                            self.held_until = at;
                        }
                        continue;
                    }
                    (pending.sent_at, pending.deadline) = (Some(now), now + RESPONSE_MAX_NS);
                    self.dialect.prepare(&call);
                    let mut request = self.dialect.write_request(&call, body);
                    request.id = RequestId(REQUEST_BASE | key);
                    return Some(Transmit::Http(Box::new(request)));
                }
                Way::None => pending.deadline = now,
            }
        }
    }

    /// Whether [`poll_transmit`](Desk::poll_transmit) has something.
    #[inline]
    pub fn has_transmit(&self) -> bool {
        !self.control.is_empty() || !self.urgent.is_empty() || !self.normal.is_empty()
    }

    /// When [`handle_timeout`](Desk::handle_timeout) is to be called; [`Nanos::MAX`] for never.
    pub fn deadline(&self) -> Nanos {
        if self.streams.is_empty() && self.pending.is_empty() {
            return Nanos::MAX;
        }
        let answers = self.pending.iter().map(|one| one.deadline).min();
        let links = self.links.iter();
        let heartbeats = links.map(|link| link.heartbeat_at.min(link.login_at)).min();
        let lookups = if self.time.synced_at().is_some() {
            self.tracker.lookup_deadline()
        } else {
            Nanos::MAX
        };
        answers
            .unwrap_or(Nanos::MAX)
            .min(heartbeats.unwrap_or(Nanos::MAX))
            .min(self.time_at)
            .min(self.listen_key_at)
            .min(self.dead_man_at)
            .min(self.held_until)
            .min(self.reconcile.deadline(self.tracker.is_in_doubt()))
            .min(self.sweep_at)
            .min(lookups)
    }

    /// The time of [`deadline`](Desk::deadline) has come.
    pub fn handle_timeout(&mut self, now: Nanos, names: &dyn Names, out: &mut Outbox) {
        self.give_up(now, names, out);
        if self.held_until <= now {
            self.held_until = Nanos::MAX;
            self.normal.append(&mut self.held);
        }
        if self.streams.is_empty() {
            return;
        }
        if self.time_at <= now {
            self.time_at = Nanos::MAX;
            self.ask_time(now);
        }
        if self.listen_key_at <= now {
            self.listen_key_at = Nanos::MAX;
            let job = if self.listen_key.is_empty() {
                Job::ListenKey
            } else {
                Job::KeepListenKey
            };
            self.push(now, job, For::Upkeep);
        }
        self.beat(now);
        if self.dead_man_at <= now {
            self.push(now, Job::DeadMan, For::Upkeep);
            let span = self.dialect.dead_man_ns();
            self.dead_man_at = span.map_or(Nanos::MAX, |span| now + span);
        }
        self.renew_logins(now);
        self.go_on(now, out);
    }

    /// Has balances asked for, unless they are about to be.
    fn ask_balances(&mut self, now: Nanos) {
        let waits = |one: &Pending| one.job == Job::Balances && one.sent_at.is_none();
        if !self.pending.iter().any(waits) {
            self.push(now, Job::Balances, For::Upkeep);
        }
    }

    /// Asks for what is due: look-ups and what reconciles. Says Live, where that was the last.
    fn go_on(&mut self, now: Nanos, out: &mut Outbox) {
        if self.time.synced_at().is_none() {
            return;
        }
        while let Some(order) = self.tracker.next_lookup(now) {
            let id = OrderId::Venue(order.venue_order_id);
            let known = self.tracker.find(&OrderId::Client(order.client_order_id));
            let known = known.or_else(|| self.tracker.find(&id));
            let target = super::dialect::Target {
                symbol: self.venue_symbol(&order.instrument.symbol),
                client: order.client_order_id,
                venue: order.venue_order_id,
                waits: known.is_some_and(Tracked::waits),
            };
            self.push(now, Job::Lookup(target), For::Upkeep);
        }
        while let Some(need) = self.reconcile.poll(now, self.tracker.is_in_doubt()) {
            let job = match need {
                Need::OpenOrders => Job::OpenOrders(None, self.first_page()),
                Need::Fills(symbol) => Job::Fills {
                    symbol,
                    since: self.whole_until.max(self.born) - links::OVERLAP_NS,
                    page: 0,
                },
                Need::Balances => Job::Balances,
                Need::Positions => Job::Positions(self.first_page()),
            };
            match need {
                Need::Balances => self.fresher.0.clear(),
                Need::Positions => self.fresher.1.clear(),
                _ => {}
            }
            self.push(now, job, For::Need(need));
        }
        if self.is_up() && !self.tracker.is_in_doubt() && self.reconcile.finish() {
            for index in 0..self.streams.len() {
                self.show(index, now, out);
            }
        }
        self.sweep(now, out);
    }

    /// While the kill switch is on, cancels what stands, again and again: a cancel may have been lost, and
    /// an order may have been on its way when the switch was thrown.
    fn sweep(&mut self, now: Nanos, out: &mut Outbox) {
        self.sweep_at = Nanos::MAX;
        if !self.risk.is_killed() || !self.is_whole() {
            return;
        }
        let stands = |order: &&Tracked| {
            matches!(
                order.status(),
                Some(OrderStatus::Untriggered | OrderStatus::New | OrderStatus::PartiallyFilled)
            )
        };
        let mut symbols: Vec<Symbol> = self
            .tracker
            .open()
            .filter(stands)
            .map(|order| order.update().instrument.symbol)
            .collect();
        symbols.sort_unstable();
        symbols.dedup();
        if symbols.is_empty() {
            return;
        }
        let due = self.swept_at + SWEEP_EVERY_NS;
        if now < due {
            self.sweep_at = due;
            return;
        }
        (self.swept_at, self.sweep_at) = (now, now + SWEEP_EVERY_NS);
        for symbol in symbols {
            if self.limits.admit(now, Sending::Cancel).is_ok() {
                let job = Job::CancelAll {
                    symbol: self.venue_symbol(&symbol),
                    part: 0,
                };
                self.push(now, job, For::Upkeep);
                self.mark_canceling(now, Some(&symbol), out);
            }
        }
    }

    /// Every order (of an instrument) that has not ended is being cancelled.
    fn mark_canceling(&mut self, now: Nanos, symbol: Option<&Symbol>, out: &mut Outbox) {
        let open = self.tracker.open().map(Tracked::update);
        let ids: Vec<OrderId> = open
            .filter(|order| symbol.is_none_or(|only| *only == order.instrument.symbol))
            .map(|order| match order.client_order_id.is_empty() {
                true => OrderId::Venue(order.venue_order_id),
                false => OrderId::Client(order.client_order_id),
            })
            .collect();
        for id in ids {
            if let Some(changed) = self.tracker.cancel_sent(&id) {
                self.publish_order(&changed, now, out);
            }
        }
    }

    /// Whether the job is about an order whose place has no answer yet.
    fn is_behind_place(&self, job: &Job) -> bool {
        let (Job::Cancel(target) | Job::Amend { target, .. }) = job else {
            return false;
        };
        self.pending.iter().any(|pending| match &pending.job {
            Job::Place(request, _) => request.client_order_id == target.client,
            _ => false,
        })
    }

    /// The venue's writing of a unified symbol, as far as the desk has met it.
    fn venue_symbol(&self, unified: &Symbol) -> Symbol {
        let held = self.holdings.iter().find(|held| held.symbol == *unified);
        held.map_or(*unified, |held| held.venue_symbol)
    }

    /// The desk's note of an instrument; made where it is new.
    fn holding(&mut self, instrument: &Instrument) -> &mut Holding {
        let unified = instrument.key.symbol;
        let found = self.holdings.iter().position(|held| held.symbol == unified);
        let index = found.unwrap_or(self.holdings.len());
        if found.is_none() {
            self.holdings.push(Holding {
                symbol: unified,
                venue_symbol: instrument.venue_symbol,
                net: Amount::ZERO,
                told: None,
            });
        }
        &mut self.holdings[index]
    }

    /// How orders fared, for tests and tools.
    pub const fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The venue's clock as the desk knows it.
    pub const fn time(&self) -> &TimeSync {
        &self.time
    }
}

/// Whether an HTTP request is a desk's.
pub const fn is_request(id: RequestId) -> bool {
    id.0 & REQUEST_BASE != 0
}

/// How long an answer may take.
const fn wait(way: Way) -> Nanos {
    match way {
        Way::Http | Way::None => RESPONSE_MAX_NS,
        Way::Link(..) => ANSWER_MAX_NS,
    }
}

/// Goes first.
const fn is_urgent(job: &Job) -> bool {
    matches!(
        job,
        Job::Cancel(_) | Job::CancelAll { .. } | Job::Heartbeat(_) | Job::DeadMan
    ) || job.prelude_of().is_some()
}

/// What is not to go later than it was asked for: prices move.
const fn is_of_the_moment(job: &Job) -> bool {
    matches!(
        job,
        Job::Place(..) | Job::Amend { .. } | Job::Cancel(_) | Job::CancelAll { .. }
    )
}

/// The request did not leave.
fn not_sent(kind: ErrorKind, after_ms: u32, text: &str) -> Error {
    Error {
        next: Next::AfterMs(after_ms),
        ..Error::ours(kind, text)
    }
}

/// The request left and nothing came back.
fn unknown(kind: ErrorKind, text: &str) -> Error {
    Error {
        kind,
        outcome: Outcome::Unknown,
        next: Next::AfterResync,
        code: None,
        text: text.to_owned(),
    }
}
