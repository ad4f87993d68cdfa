//! Binance: spot, USD-M ("linear") and COIN-M ("inverse") market data.
//!
//! | file | what it holds |
//! |---|---|
//! | `urls` | endpoints, test networks, limits, as data |
//! | `subscribe` | topics of channels, subscribe requests and acks, links |
//! | `links` | which stream is on which link; links lost and replaced |
//! | `route` | from a frame to its stream |
//! | `parse` | scanners of hot messages |
//! | `tape` | everything else, by simd-json; oracle of `parse` |
//! | `sync` | how a book is kept in step |
//! | `pair` | what two links of one book make of each other |
//! | `rest` | snapshots and exchange info within the weight limit |
//! | `watch` | whether streams live and books are true |
//! | `trade` | requests about orders and the account, signed |
//! | `private` | answers of the WebSocket API, the account's own events |
//! | `account` | answers of REST about orders and the account |
//! | `codes` | error codes |
//! | `symbols` | unified and venue symbols, instruments |
//!
//! What the venue does is cited where it is used, by page and date.

mod account;
mod algo;
pub(crate) mod catalog;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod pair;
mod parse;
mod private;
mod rest;
mod route;
mod subscribe;
mod symbols;
mod sync;
mod tape;
mod trade;
mod urls;
mod watch;

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

pub use urls::BinanceConfig;

use crate::agreement::Agreement;
use crate::carriers::Carriers;
use crate::channel::Interval;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Reason, StreamId};
use crate::governor::Governor;
use crate::in_order::InOrder;
use crate::instrument::{Instrument, Market, Venue};
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::scan::Templates;
use crate::stream::{Levels, Stream, Times};
use crate::time::Nanos;
use crate::timers::Timers;
use crate::trading::desk::{self, Desk, Seat, Sight};
use crate::trading::dialect::Names;
use crate::trading::risk;
use crate::trading::{Action, Ticket};
use crate::transmit::{HttpFailure, Lane, LinkChange, LinkId, RequestId, Response, Transmit};

use links::Link;
use parse::{Shape, Trade};
use rest::Rest;
use route::Topics;
use symbols::Catalog;
use sync::{BookSync, Fetch};
use tape::{Reader, Volumes};
use tickwire_orderbook::{Level, Price, Side, prefetch};
use trade::Words;
use urls::{MarketRules, Urls};
use watch::Told;

/// One market of Binance as a sans-IO state machine. See [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Binance {
    config: BinanceConfig,
    rules: MarketRules,
    urls: Urls,
    rng: fastrand::Rng,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    ids: FxHashMap<StreamId, usize>,
    next_serial: u32,
    topics: Topics,
    links: Vec<Link>,
    rest: Rest,
    catalog: Catalog,
    /// Streams wait for exchange info that was not asked for yet.
    resolve_due: bool,
    /// Links to open, close and make anew.
    control: VecDeque<Transmit>,
    /// By the slots' numbers.
    timers: Timers,
    /// Slots whose timers fire now.
    fired: Vec<usize>,
    levels: Levels,
    scratch: Levels,
    reader: Reader,
    counters: Counters,
    /// The account, where there are credentials.
    desk: Option<Box<Desk<Words>>>,
}

/// One stream with what is Binance's about it.
#[derive(Debug)]
struct Slot {
    stream: Stream,
    /// Tells it from an earlier stream in the same slot.
    serial: u32,
    /// Empty until it is known.
    topic: Box<str>,
    carriers: Carriers,
    /// Of two links one was dropped, and the other may still bring what that one brought before.
    catching_up: bool,
    /// Of trades that two links carry: those that came before what lies between.
    early: InOrder<(Trade, Times)>,
    /// Of trades: a link was let go that may have had more than came. A number that is missing next is
    /// told.
    lossy: bool,
    /// Of trades: messages in a row that were known.
    known_run: u32,
    /// Of trades: when the last new one came.
    news_at: Nanos,
    /// The highest number of a trade.
    last_id: u64,
    /// Of trades and best prices: what the last messages looked like.
    templates: Templates,
    /// The next stream of the same topic ("BTC/USDT" and "BTCUSDT" are asked for apart).
    next: Option<usize>,
    stage: Stage,
    /// Whether anything came on this connection.
    heard: bool,
    /// Whether it has said that this ban keeps its book from it.
    explained: bool,
    watch: Watch,
    /// Of a book: its difference from the venue's own best prices.
    agreement: Agreement,
    /// Of a book: the best bid and ask stream that it is compared with.
    witness: Option<usize>,
    /// What the last probe told of a stream that has not been heard.
    told: Option<Told>,
    /// Of a ticker or a candle.
    last_price: Option<Price>,
    /// Of a ticker or a candle: the venue's time of the newest.
    last_ns: Nanos,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its instrument is not known yet.
    Resolving {
        /// The defaults are taken then.
        deadline: Nanos,
        /// Whether the exchange info under way is about it, too.
        asked: bool,
        /// Ask for it alone: a request for several was refused without saying which is at fault.
        alone: bool,
    },
    /// It has a topic.
    Active,
    /// It was refused.
    Ended,
}

#[derive(Debug)]
enum Kind {
    Book(Box<BookSync>),
    Bbo(Bbo),
    Trades,
    AggTrades,
    Ticker,
    Kline(Interval),
}

/// The last of a best bid and ask stream.
#[derive(Clone, Debug, Default)]
struct Bbo {
    seq: u64,
    /// The venue's time of the last message; spot tells none.
    exch_ns: Nanos,
    stale_run: u32,
    /// When the last new one came.
    news_at: Nanos,
    last: Option<(Level, Level)>,
    /// The venue is being asked whether it is right.
    suspected: bool,
    /// The books that are compared with it.
    books: Vec<usize>,
}

impl Bbo {
    /// The connection changed.
    fn reset(&mut self) {
        let books = core::mem::take(&mut self.books);
        *self = Bbo {
            books,
            ..Bbo::default()
        };
    }
}

impl Slot {
    /// Asks for all that a message of it needs, where there are so many that it is far away.
    #[inline]
    fn prefetch(&self) {
        prefetch(&self.kind);
        prefetch(&self.watch);
        prefetch(&self.heard);
        prefetch(&self.templates);
        self.stream.prefetch();
        self.templates.prefetch();
        if let Kind::Book(sync) = &self.kind {
            prefetch(&**sync);
            prefetch(&self.agreement);
            sync.keeper.book().prefetch();
        }
    }

    #[inline]
    fn shape(&self, market: Market) -> Shape {
        Shape {
            market,
            price: self.stream.price_scale(),
            qty: self.stream.qty_scale(),
        }
    }

    fn volumes(&self, market: Market) -> Volumes {
        match market {
            Market::Inverse => Volumes::Contracts(self.stream.instrument.contract_size),
            _ => Volumes::Quote,
        }
    }

    /// The connection changed: nothing of the last one counts.
    fn start_over(&mut self) {
        self.watch.stop();
        self.forget();
    }

    /// Forgets what came.
    fn forget(&mut self) {
        self.heard = false;
        self.agreement.reset();
        self.told = None;
        self.last_price = None;
        self.last_id = 0;
        self.last_ns = Nanos::ZERO;
        self.catching_up = false;
        self.early.clear();
        self.lossy = false;
        self.known_run = 0;
        match &mut self.kind {
            Kind::Book(sync) => sync.reset(),
            Kind::Bbo(bbo) => bbo.reset(),
            _ => {}
        }
    }

    /// The earliest of its timers.
    fn timer(&self) -> Nanos {
        let stage = match self.stage {
            Stage::Resolving { deadline, .. } => deadline,
            _ => Nanos::MAX,
        };
        let fetch = match &self.kind {
            Kind::Book(sync) => match sync.fetch() {
                Fetch::Due(at) => at.min(sync.ahead_deadline()),
                _ => sync.ahead_deadline(),
            },
            _ => Nanos::MAX,
        };
        stage
            .min(fetch)
            .min(self.watch.deadline())
            .min(self.agreement.deadline())
            .min(self.early.deadline())
    }
}

impl Binance {
    /// A connector that does nothing until the first command. `seed` decides every bit of chance.
    /// The error names what of `config` can't be.
    pub fn new(config: BinanceConfig, seed: u64) -> Result<Binance, Error> {
        let rules = MarketRules::of(config.market).ok_or_else(|| {
            let text = format!("binance {} is not supported", config.market);
            Error::ours(ErrorKind::NotSupported, text)
        })?;
        let urls = Urls::new(&config, &rules)?;
        let budget = config.budget.clone();
        let governor = budget.unwrap_or_else(|| Governor::new(rules.budget()));
        let desk = config.trading.as_ref().map(|trading| {
            let credentials = trading.credentials.clone();
            let words = Words::new(config.market, urls.clone(), credentials, trading.transport)?;
            Ok::<_, Error>(Box::new(Desk::new(words, trading, config.instruments)))
        });
        let desk = desk.transpose()?;
        Ok(Binance {
            rules,
            urls,
            rng: fastrand::Rng::with_seed(seed),
            slots: Vec::new(),
            free: Vec::new(),
            ids: FxHashMap::default(),
            next_serial: 0,
            topics: Topics::default(),
            links: Vec::new(),
            rest: Rest::new(governor),
            catalog: Catalog::default(),
            resolve_due: false,
            control: VecDeque::new(),
            timers: Timers::new(),
            fired: Vec::new(),
            levels: Levels::new(),
            scratch: Levels::default(),
            reader: Reader::new(),
            counters: Counters::default(),
            desk,
            config,
        })
    }

    #[inline]
    fn slot_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)?.as_mut()
    }

    fn set_depth(&mut self, now: Nanos, id: StreamId, depth: bool, out: &mut Outbox) {
        let index = self.ids.get(&id).copied();
        let Some(slot) = index.and_then(|index| self.slot_mut(index)) else {
            return;
        };
        let added = depth && !slot.stream.depth;
        slot.stream.depth = depth;
        if added {
            // Deltas need a book to apply to.
            self.republish(now, id, out);
        }
    }

    fn republish(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let index = self.ids.get(&id).copied();
        let Some(slot) = index.and_then(|index| self.slot_mut(index)) else {
            return;
        };
        match &mut slot.kind {
            Kind::Book(sync) => sync.republish(&slot.stream, now, out),
            Kind::Bbo(Bbo {
                last: Some((bid, ask)),
                ..
            }) if slot.stream.is_live() => {
                let stamp = slot.stream.stamp(Times::ours(now));
                out.push(Event::bbo(
                    &stamp,
                    route::present(*bid),
                    route::present(*ask),
                ));
            }
            _ => {}
        }
    }

    fn resync(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Binance {
            ids,
            slots,
            counters,
            ..
        } = self;
        let slot = ids
            .get(&id)
            .and_then(|index| slots.get_mut(*index)?.as_mut());
        let Some(Slot {
            stream,
            stage: Stage::Active,
            kind: Kind::Book(sync),
            ..
        }) = slot
        else {
            return;
        };
        // A book without its link is Stale already, which says more.
        if stream.is_live() {
            sync.invalidate(stream, Reason::Requested, Times::ours(now), counters, out);
        }
    }
}

/// What the desk may see of the connector.
struct View<'a> {
    market: Market,
    catalog: &'a Catalog,
    slots: &'a [Option<Slot>],
}

impl Names for View<'_> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let known = self.catalog.find(symbol).copied();
        known.or_else(|| symbols::by_rule(self.market, symbol))
    }
}

impl Sight for View<'_> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let of_it = |slot: &&Slot| {
            slot.stream.instrument.venue_symbol == instrument.venue_symbol && !slot.stream.hidden
        };
        let mut seen = risk::Market::Unwatched;
        for slot in self.slots.iter().flatten().filter(of_it) {
            let price = |price| Price::new(price, slot.stream.price_scale());
            let top = match &slot.kind {
                Kind::Book(sync) => {
                    let book = sync.view(&slot.stream).book;
                    (book.best(Side::Bid), book.best(Side::Ask))
                }
                Kind::Bbo(Bbo { last, .. }) => {
                    let (bid, ask) = last.unzip();
                    (bid.and_then(route::present), ask.and_then(route::present))
                }
                _ => continue,
            };
            if slot.stream.is_live() {
                return risk::Market::Live {
                    bid: top.0.map(|level| price(level.price)),
                    ask: top.1.map(|level| price(level.price)),
                };
            }
            seen = risk::Market::Stale;
        }
        seen
    }
}

impl Seat for Binance {
    type Orders = Words;

    #[inline]
    fn desk(&self) -> Option<&Desk<Words>> {
        self.desk.as_deref()
    }

    fn with_desk<T>(
        &mut self,
        act: impl FnOnce(&mut Desk<Words>, &Governor, &dyn Sight) -> T,
    ) -> Option<T> {
        let sight = View {
            market: self.config.market,
            catalog: &self.catalog,
            slots: &self.slots,
        };
        Some(act(self.desk.as_mut()?, &self.rest.governor, &sight))
    }
}

impl Connector for Binance {
    fn venue(&self) -> Venue {
        Venue::Binance
    }

    fn market(&self) -> Market {
        self.config.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        if self.command_desk(now, &command, out) {
            return;
        }
        match command {
            Command::Subscribe {
                stream,
                symbol,
                channel,
                depth,
            } => {
                self.subscribe(now, stream, symbol, channel, depth, out);
            }
            Command::Unsubscribe { stream } => self.unsubscribe(now, stream, out),
            Command::SetDepth { stream, depth } => self.set_depth(now, stream, depth, out),
            Command::Republish { stream } => self.republish(now, stream, out),
            Command::Resync { stream } => self.resync(now, stream, out),
        }
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        self.act_at_desk(now, ticket, action, out);
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if self.link_desk(now, link, &change, out) {
            return;
        }
        match change {
            LinkChange::Up { .. } => self.handle_link_up(now, link, out),
            LinkChange::Down { .. } => self.handle_link_down(now, link, out),
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
        // The limits count an address, whichever way it comes (web-socket-streams.md "Limits", 2026-07).
        if matches!(status, 418 | 429) {
            self.rest.governor.note_ban(now, status, retry_after_ns);
            self.tell_news(now, out);
        }
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        if !self.message_desk(now, link, payload, out) {
            self.route(now, link, payload, out);
        }
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if desk::is_request(id) {
            self.respond_desk(now, id, response, out);
            self.tell_news(now, out);
            return;
        }
        self.answer(now, id, response, out);
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        if desk::is_request(id) {
            let instruments = self.instruments_desk(id, instruments, out);
            self.catalog.merge(instruments);
            return;
        }
        if self.rest.finish(id).is_some() {
            self.counters.requests_failed += u64::from(instruments.is_err());
            self.rest.governor.note_success();
            self.resolve(now, instruments, out);
        }
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.handle_link_timers(now, out);
        self.handle_overdue_requests(now, out);
        self.handle_slot_timers(now, out);
        self.timeout_desk(now, out);
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        let next = self.rest.deadline().min(self.timers.next());
        let next = next.min(self.link_deadline());
        let next = next.min(self.desk_deadline());
        (next != Nanos::MAX).then_some(next)
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        // Orders go before everything else.
        if let Some(transmit) = self.poll_desk(now, body) {
            self.counters.requests += u64::from(matches!(transmit, Transmit::Http(_)));
            return Some(transmit);
        }
        if core::mem::take(&mut self.resolve_due) {
            self.ask_instruments(now);
        }
        if let Some(transmit) = self.control.pop_front() {
            return Some(transmit);
        }
        if let Some(request) = self.rest.poll() {
            self.counters.requests += 1;
            return Some(Transmit::Http(Box::new(request)));
        }
        for link in &mut self.links {
            if let Some(request) = link.subscriptions.next_request(now) {
                let topics = link.subscriptions.topics_of(request.id);
                subscribe::write_request(request.op, topics, request.id, body);
                let lane = Lane::Normal;
                return Some(Transmit::Text {
                    link: link.id,
                    lane,
                });
            }
        }
        None
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.desk_has_transmit()
            || self.resolve_due
            || !self.control.is_empty()
            || self.rest.has_ready()
            || self
                .links
                .iter()
                .any(|link| link.subscriptions.has_request())
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let slot = self.slots.get(*self.ids.get(&stream)?)?.as_ref()?;
        match &slot.kind {
            Kind::Book(sync) => Some(sync.view(&slot.stream)),
            _ => None,
        }
    }

    fn instrument_reader(&self) -> InstrumentReader {
        symbols::read
    }

    fn symbol_rule(&self) -> SymbolRule {
        |market, asked| {
            let by_rule = symbols::by_rule(market, asked);
            by_rule.map_or(*asked, |instrument| instrument.venue_symbol)
        }
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
