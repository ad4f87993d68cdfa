//! Bybit v5: spot and linear.
//!
//! One [`Bybit`] serves one market, as one of its sockets does: "BTCUSDT" is a symbol of both, and no
//! message says of which. Written to the venue's pages as of 2026-07-24.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | instrument data |
//! | `subscribe` | topics, requests, refusals |
//! | `links` | links and their heartbeat, hand-over |
//! | `pair` | what two links of one stream make of each other |
//! | `watch` | liveness, probes, companions, agreement |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `trade` | requests about orders and the account, signed |
//! | `private` | answers of the trade link, the account's own events |
//! | `account` | answers of REST about orders and the account |
//! | `codes` | error codes |
//! | `sync` | what is kept beside a stream: book, ticker, resync |
//!
//! # Limits
//!
//! - No inverse, option or spread market. Positions in one-way mode only; open orders and positions of linear
//!   are listed where they settle in USDT, up to 50 and 200 at a time (what is not listed is looked up).
//!   No cancel on disconnect (DCP is for institutions).
//! - No `orderbook.full`, RPI books, liquidations or price limits.
//! - Of a pair of links the one that is mute while the other speaks is not found out: first arrival
//!   counts, and only a stream that is silent on both is probed.
//! - Block trades and RPI trades are among the trades and not marked.
//! - `contract_size` of linear is 1 base currency, as quantities are in base currency.

mod account;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod pair;
pub mod parse;
mod private;
mod rest;
pub mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod trade;
mod urls;
mod watch;

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;
use tickwire_orderbook::{Price, Side};

use crate::channel::{ALL_SYMBOLS, Channel};
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind, Next};
use crate::event::{Reason, StreamId, StreamState};
use crate::governor::Governor;
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::timers::Timers;
use crate::trading::desk::{self, Desk, Sight};
use crate::trading::dialect::Names;
use crate::trading::risk;
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};
use crate::upkeep::Upkeep;
use crate::wide::{Notice, WideBody};

use links::{Link, LinkOutput};

use rest::Rest;
use route::{Routes, Scratch, handle_data};
use symbols::Symbols;
use sync::{Context, Entry, Feed, Phase};
use tape::AnswerOp;
use trade::Words;
pub use urls::BybitConfig;
use urls::Urls;
use watch::Probes;

/// One market of Bybit as a sans-IO state machine; see [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Bybit {
    market: Market,
    urls: Urls,
    fetch: FetchInstruments,
    upkeep: Upkeep,
    rng: fastrand::Rng,
    /// The entries of streams, by number.
    ids: FxHashMap<StreamId, usize>,
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<usize>,
    next_serial: u32,
    timers: Timers,
    routes: Routes,
    links: Vec<Link>,
    /// Links that were let go and whose end has not been told.
    closing: Vec<LinkId>,
    link_topics_max: u16,
    rest: Rest,
    probes: Probes,
    /// What companions would say.
    unseen: Outbox,
    symbols: Symbols,
    scratch: Scratch,
    counters: Counters,
    /// The earliest timer of links and requests.
    next_timeout: Option<Nanos>,
    /// The account, where there are credentials.
    desk: Option<Box<Desk<Words>>>,
}

/// Where the events of an entry go.
fn sink<'a>(entry: &Entry, unseen: &'a mut Outbox, out: &'a mut Outbox) -> &'a mut Outbox {
    if entry.hidden {
        unseen.clear();
        unseen
    } else {
        out
    }
}

impl Bybit {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a market that is not served and for a URL that can't be used.
    pub fn new(config: BybitConfig, seed: u64) -> Result<Bybit, Error> {
        let mut urls = Urls::new(&config.network, config.market)?;
        urls.silence_max_ns = config.silence_max_ns;
        let budget = config.budget.unwrap_or_else(BybitConfig::new_budget);
        let desk = config.trading.map(|trading| {
            let (urls, transport) = (urls.clone(), trading.transport);
            let words = Words::new(config.market, urls, trading.credentials.clone(), transport)?;
            Ok::<_, Error>(Box::new(Desk::new(words, &trading, config.instruments)))
        });
        let desk = desk.transpose()?;
        Ok(Bybit {
            market: config.market,
            urls,
            fetch: config.instruments,
            upkeep: config.upkeep,
            rng: fastrand::Rng::with_seed(seed),
            ids: FxHashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            next_serial: 0,
            timers: Timers::new(),
            routes: Routes::default(),
            links: Vec::new(),
            closing: Vec::new(),
            link_topics_max: config.link_topics_max,
            rest: Rest::new(config.market, budget),
            probes: Probes::default(),
            unseen: Outbox::new(),
            symbols: Symbols::default(),
            scratch: Scratch::new(),
            counters: Counters::default(),
            next_timeout: None,
            desk,
        })
    }

    /// Finds the earliest timer of links and requests. Called where they change, so that reading it is
    /// cheap.
    fn rearm(&mut self) {
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let requests = [self.rest.poll_timeout(), self.probes.poll_timeout()];
        let next = links.chain(requests.into_iter().flatten()).min();
        self.next_timeout = next.filter(|at| *at < Nanos::MAX);
    }

    fn entry_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.entries.get_mut(slot)?.as_deref_mut()
    }

    fn slot_of(&self, id: StreamId) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    // Streams: from the wish to the subscription, and to the end.

    fn subscribe(
        &mut self,
        now: Nanos,
        id: StreamId,
        asked: Symbol,
        channel: Channel,
        depth: bool,
        out: &mut Outbox,
    ) {
        if self.ids.contains_key(&id) || self.is_of_desk(id) {
            // The number is taken: the engine gives out each once.
            return;
        }
        if channel == Channel::User && self.desk.is_some() {
            self.subscribe_user(now, id, asked, out);
            return;
        }
        let found = self.symbols.find(&asked).copied();
        let instrument = match found {
            Some(instrument) => Ok(instrument),
            None => symbols::default_instrument(self.market, &asked),
        };
        let checked = instrument.and_then(|instrument| {
            subscribe::topic(channel, &instrument.venue_symbol).map(|_| instrument)
        });
        let instrument = match checked {
            Ok(instrument) => instrument,
            Err(error) => {
                let instrument = self.unknown(asked);
                let stream = Stream::new(id, channel, asked, instrument, depth);
                self.refuse(now, stream, &error, out);
                return;
            }
        };
        let stream = Stream::new(id, channel, asked, instrument, depth);
        let until = now + urls::INSTRUMENT_WAIT;
        let entry = self.make_entry(stream, Phase::Resolving { until });
        let slot = self.insert(entry);
        self.ids.insert(id, slot);
        if found.is_some() || self.fetch == FetchInstruments::No {
            self.start(now, slot, instrument, out);
        } else {
            self.rest.need(instrument.venue_symbol);
        }
    }

    /// A stream of the account's own events.
    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        let is_all = asked.as_str() == ALL_SYMBOLS;
        let known = self.symbols.find(&asked).copied();
        let by_rule = known.or_else(|| symbols::default_instrument(self.market, &asked).ok());
        let instrument = by_rule.unwrap_or_else(|| self.unknown(asked));
        let only = (!is_all).then_some(instrument.key.symbol);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        let mut used: Vec<LinkId> = self.links.iter().map(|link| link.id).collect();
        used.extend(&self.closing);
        let free = |taken: &[LinkId]| {
            let mut ids = (0..=u16::MAX).map(LinkId);
            let free = ids.find(|id| !used.contains(id) && !taken.contains(id));
            free.unwrap_or(LinkId(u16::MAX))
        };
        self.with_desk(|desk, _| desk.subscribe(now, stream, only, free, out));
    }

    /// Does something with the desk, where there is one.
    fn with_desk<T>(&mut self, act: impl FnOnce(&mut Desk<Words>, &View<'_>) -> T) -> Option<T> {
        let desk = self.desk.as_mut()?;
        let view = View {
            market: self.market,
            symbols: &self.symbols,
            entries: &self.entries,
            governor: &self.rest.governor,
        };
        Some(act(desk, &view))
    }

    fn is_of_desk(&self, stream: StreamId) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has(stream))
    }

    fn make_entry(&mut self, stream: Stream, phase: Phase) -> Box<Entry> {
        let feed = Feed::new(self.market, stream.channel);
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        Box::new(Entry::new(stream, feed, phase, &self.upkeep, serial))
    }

    fn insert(&mut self, entry: Box<Entry>) -> usize {
        let slot = self.free.pop().unwrap_or(self.entries.len());
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        self.put(slot, entry);
        slot
    }

    /// An instrument for the events of a stream that never comes to be.
    fn unknown(&self, asked: Symbol) -> Instrument {
        let key = InstrumentKey {
            venue: Venue::Bybit,
            market: self.market,
            symbol: asked,
        };
        let (price_scale, qty_scale) = symbols::default_scales(self.market);
        Instrument::with_defaults(key, asked, price_scale, qty_scale)
    }

    fn refuse(&mut self, now: Nanos, mut stream: Stream, error: &Error, out: &mut Outbox) {
        self.counters.refused += 1;
        let times = Times::ours(now);
        stream.publish_wide(WideBody::Notice(Notice::of(error)), times, out);
        stream.change(StreamState::Refused, Reason::Refused, None, times, out);
    }

    /// Asks the venue for a stream whose instrument is known, or as well known as it will be.
    fn start(&mut self, now: Nanos, slot: usize, instrument: Instrument, out: &mut Outbox) {
        let Some(mut entry) = self.take(slot) else {
            return;
        };
        let topic = match subscribe::topic(entry.stream.channel, &instrument.venue_symbol) {
            Ok(topic) => topic,
            Err(error) => {
                self.forget(slot, entry.stream.id);
                return self.refuse(now, entry.stream, &error, out);
            }
        };
        entry.stream.instrument = instrument;
        entry.topic = topic;
        entry.phase = Phase::Waiting { until: None };
        let known = self.routes.find(topic.as_bytes());
        let route = self.routes.add(&topic, slot);
        entry.route = Some(route);
        if known.is_none() {
            let (link, mate) = self.links_for(&topic);
            for link in [Some(link), mate].into_iter().flatten() {
                if let Some(route) = self.routes.get_mut(route) {
                    route.carriers.add(link);
                }
                if let Some(link) = self.link_mut(link) {
                    link.add(&topic);
                }
            }
        }
        let carriers = self.routes.get(route).map(|route| route.carriers.clone());
        let carriers = carriers.unwrap_or_default();
        if let (true, Some(leader)) = (carriers.is_pair(), carriers.first()) {
            entry.begin_pair(leader);
        }
        for carrier in carriers.iter() {
            if self.link(carrier.link).is_some_and(Link::is_up) {
                entry.handle_link_up(carrier.link);
            }
        }
        let other = self.routes.entry(route, 0).filter(|_| known.is_some());
        let other = other.and_then(|other| self.entries.get(other)?.as_deref());
        let sink = sink(&entry, &mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, sink);
        match other {
            Some(other) => entry.join(other, &mut context),
            None => entry.publish_instrument(now, context.out),
        }
        let mut links = carriers.iter();
        if links.any(|carrier| carrier.acked) {
            entry.watch.start(now);
        }
        let (symbol, hidden) = (instrument.venue_symbol, entry.hidden);
        self.put(slot, entry);
        if !hidden {
            self.settle_companion(now, &symbol, None, out);
        }
    }

    fn take(&mut self, slot: usize) -> Option<Box<Entry>> {
        self.entries.get_mut(slot)?.take()
    }

    fn put(&mut self, slot: usize, entry: Box<Entry>) {
        self.timers.arm(slot, entry.deadline());
        if let Some(place) = self.entries.get_mut(slot) {
            *place = Some(entry);
        }
    }

    /// The number of an entry that was taken is free again.
    fn forget(&mut self, slot: usize, id: StreamId) {
        if self.slot_of(id) == Some(slot) {
            self.ids.remove(&id);
        }
        self.timers.disarm(slot);
        self.free.push(slot);
    }

    /// Takes a stream off its topic, and the topic off its links where no other stream wants it.
    fn detach(&mut self, slot: usize, topic: &str) {
        let carriers = self.routes.remove(topic, slot);
        for carrier in carriers.unwrap_or_default().iter() {
            if let Some(link) = self.link_mut(carrier.link) {
                link.remove(topic);
            }
        }
    }

    /// Ends an entry, whatever it waits for.
    fn remove(&mut self, slot: usize) -> Option<Box<Entry>> {
        let entry = self.take(slot)?;
        self.detach(slot, &entry.topic);
        self.forget(slot, entry.stream.id);
        Some(entry)
    }

    fn unsubscribe(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(slot) = self.slot_of(id) else {
            return;
        };
        let Some(mut entry) = self.leave(now, slot, out) else {
            return;
        };
        let (closed, reason) = (StreamState::Closed, Reason::Unsubscribed);
        entry
            .stream
            .change(closed, reason, None, Times::ours(now), out);
    }

    /// Ends the entry of a strategy's stream, and its companion's where no other needs that.
    fn leave(&mut self, now: Nanos, slot: usize, out: &mut Outbox) -> Option<Box<Entry>> {
        let symbol = self.entry_mut(slot)?.stream.instrument.venue_symbol;
        // A companion joins level 1 before its last stream goes, so that it need not be fetched.
        self.settle_companion(now, &symbol, Some(slot), out);
        self.remove(slot)
    }

    /// The venue refused a topic for good.
    fn handle_refused(
        &mut self,
        now: Nanos,
        link: LinkId,
        topic: &str,
        error: &Error,
        out: &mut Outbox,
    ) {
        let route = self.routes.find(topic.as_bytes());
        if let Some(route) = route.and_then(|route| self.routes.get_mut(route))
            && route.carriers.is_safe_without(link)
        {
            // It is well where it is.
            route.carriers.remove(link);
            let other = route.carriers.first();
            if let Some(link) = self.link_mut(link) {
                link.remove(topic);
            }
            if let (Some(route), Some(other)) = (self.routes.find(topic.as_bytes()), other) {
                self.each_entry(route, out, |entry, _| {
                    entry.lose_link(link, other);
                    entry.end_pair();
                });
            }
            return;
        }
        for slot in self.routes.entries(topic) {
            let Some(entry) = self.leave(now, slot, out) else {
                continue;
            };
            if entry.hidden {
                self.counters.refused += 1;
            } else {
                self.refuse(now, entry.stream, error, out);
            }
        }
    }

    // Messages.

    fn handle_routed(
        &mut self,
        now: Nanos,
        link: LinkId,
        route: usize,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        let Some(known) = self.routes.get(route) else {
            return;
        };
        if !known.carriers.carries(link) {
            // The topic has moved; its old link may still send it until it is closed.
            self.counters.unrouted += 1;
            return;
        }
        let is_pair = known.carriers.is_pair();
        let has_peers = !known.peers.is_empty();
        let healable = is_pair && known.carriers.is_safe_without(link);
        let mut in_step = false;
        let mut number = 0;
        while let Some(slot) = self.routes.entry(route, number) {
            number += 1;
            let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            let out = sink(entry, &mut self.unseen, out);
            if entry.watch.hear(now) {
                entry.handle_heard(now, out);
            }
            let mut context = Context {
                link,
                healable,
                ..Context::new(now, &mut self.rng, &mut self.counters, out)
            };
            handle_data(entry, payload, &mut self.scratch, &mut context);
            in_step |= context.in_step;
            self.timers.arm(slot, entry.deadline());
        }
        if is_pair && in_step {
            self.note_in_step(now, route, link, out);
        }
        if has_peers {
            self.compare(now, route);
        }
    }

    /// A message without a topic.
    fn handle_answer(&mut self, now: Nanos, id: LinkId, payload: &mut [u8], out: &mut Outbox) {
        let answer = self
            .scratch
            .reader
            .read(payload, |message| tape::answer(&message));
        let Some(answer) = answer.flatten() else {
            self.counters.malformed += 1;
            return;
        };
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if answer.op == AnswerOp::Pong {
            link.handle_pong();
            self.rearm();
            return;
        }
        let outcome = link.handle_answer(&answer);
        for topic in &outcome.had {
            self.handle_topic_acked(now, id, topic, out);
        }
        let kind = if outcome.unknown {
            ErrorKind::BadSymbol
        } else {
            ErrorKind::Other
        };
        let error = Error::venue(kind, Next::Never, None, answer.text.as_str());
        for topic in &outcome.refused {
            self.handle_refused(now, id, topic, &error, out);
        }
        self.rearm();
    }

    /// A timer of an entry.
    fn handle_entry_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let events = sink(entry, &mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, events);
        entry.handle_pair_timeout(&mut context);
        match entry.phase {
            Phase::Resolving { until } if until <= now => {
                let default = entry.stream.instrument;
                self.start(now, slot, default, out);
            }
            Phase::Waiting { until: Some(until) } if until <= now => {
                let times = Times::ours(now);
                entry.break_off(Reason::SnapshotFailed, None, times, &mut context);
            }
            Phase::Backoff { until } if until <= now => self.renew(now, slot, out),
            _ => {}
        }
    }

    /// Asks for an entry's topic anew, if the governor admits it.
    fn renew(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let admitted = self.rest.governor.admit_renewal(now);
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        if let Err(until) = admitted {
            entry.phase = Phase::Backoff { until };
            self.timers.arm(slot, until);
            return;
        }
        let (topic, route) = (entry.topic, entry.route);
        let Some(route) = route else {
            return;
        };
        let carriers = self.routes.get(route).map(|route| route.carriers.clone());
        for carrier in carriers.unwrap_or_default().iter() {
            if let Some(link) = self.link_mut(carrier.link) {
                link.renew(&topic);
            }
        }
        // While the topic is let go, nothing comes for any of its streams.
        self.each_entry(route, out, |entry, out| {
            let (resync, reason) = (StreamState::Resync, Reason::Requested);
            if entry.stream.is_live() {
                let times = Times::ours(now);
                entry.stream.change(resync, reason, None, times, out);
            }
            entry.wait_anew();
        });
    }
}

/// What the desk may see of the connector.
struct View<'a> {
    market: Market,
    symbols: &'a Symbols,
    entries: &'a [Option<Box<Entry>>],
    governor: &'a Governor,
}

impl Names for View<'_> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let asked = crate::instrument::symbol(symbol)?;
        let known = self.symbols.find(&asked).copied();
        known.or_else(|| symbols::default_instrument(self.market, &asked).ok())
    }
}

impl Sight for View<'_> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let mut seen = risk::Market::Unwatched;
        for entry in self.entries.iter().flatten() {
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
            let book = keeper.view(stream).book;
            let best = |side| {
                let level = book.best(side)?;
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

impl Connector for Bybit {
    fn venue(&self) -> Venue {
        Venue::Bybit
    }

    fn market(&self) -> Market {
        self.market
    }

    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let id = command.stream();
        if self.is_of_desk(id) {
            self.with_desk(|desk, _| match command {
                Command::Unsubscribe { .. } => desk.unsubscribe(now, id, out),
                Command::Republish { .. } => desk.republish(now, id, out),
                _ => {}
            });
            return;
        }
        let slot = self.slot_of(id);
        let entry = slot.and_then(|slot| self.entries.get_mut(slot)?.as_mut());
        match (command, entry) {
            (
                Command::Subscribe {
                    symbol,
                    channel,
                    depth,
                    ..
                },
                _,
            ) => self.subscribe(now, id, symbol, channel, depth, out),
            (Command::Unsubscribe { .. }, _) => self.unsubscribe(now, id, out),
            (Command::SetDepth { depth, .. }, Some(entry)) => {
                let on = depth && !entry.stream.depth;
                entry.stream.depth = depth;
                if on {
                    entry.republish(now, out);
                }
            }
            (Command::Republish { .. }, Some(entry)) => entry.republish(now, out),
            (Command::Resync { .. }, Some(entry)) => {
                // What has no snapshot has nothing to fetch. What is Pending or Stale gets one with its
                // link, and to say that it is on its way would be too early.
                let fetched = !matches!(entry.feed, Feed::Trades | Feed::Kline(_));
                let state = entry.stream.state();
                if fetched && matches!(state, StreamState::Live | StreamState::Resync) {
                    let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
                    entry.break_off_now(Reason::Requested, &mut context);
                }
            }
            (_, None) => {}
        }
        if let Some(slot) = slot
            && let Some(entry) = self.entries.get(slot).and_then(Option::as_ref)
        {
            self.timers.arm(slot, entry.deadline());
        }
        self.rearm();
    }

    fn handle_action(&mut self, now: Nanos, ticket: Ticket, action: &Action, out: &mut Outbox) {
        let did = self.with_desk(|desk, view| desk.handle_action(now, ticket, action, view, out));
        if did.is_none() {
            let text = "this connector was made without credentials";
            let error = Error::ours(ErrorKind::Authentication, text);
            out.push_answer(Answer {
                ticket,
                result: Err(error),
            });
        }
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if let Some(desk) = self.desk.as_mut().filter(|desk| desk.has_link(link)) {
            match change {
                LinkChange::Up { .. } => desk.handle_up(now, link, out),
                LinkChange::Down { .. } => desk.handle_down(now, link, out),
            }
            return;
        }
        match change {
            LinkChange::Up { .. } => self.handle_link_up(now, link, out),
            LinkChange::Down { .. } => {
                if self.link(link).is_none() {
                    // The end of one that was let go.
                    self.closing.retain(|closing| *closing != link);
                }
                self.handle_link_down(now, link, out);
            }
        }
        self.rearm();
    }

    fn handle_refusal(
        &mut self,
        now: Nanos,
        _: LinkId,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        if matches!(status, 403 | 429) {
            // The address is banned, for REST as well.
            self.rest.governor.note_ban(now, status, retry_after_ns);
            self.tell_news(now, out);
            self.rearm();
        }
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
        if self.desk.as_ref().is_some_and(|desk| desk.has_link(link)) {
            self.with_desk(|desk, view| {
                desk.handle_message(now, link, payload, (view.governor, view), out);
            });
            return;
        }
        if !self.link(link).is_some_and(Link::is_up) {
            // The last words of one that was cut or let go.
            self.counters.unrouted += 1;
            return;
        }
        match route::topic(payload) {
            Ok(Some(topic)) => match self.routes.find(topic) {
                Some(route) => self.handle_routed(now, link, route, payload, out),
                None => self.counters.unrouted += 1,
            },
            Ok(None) => self.handle_answer(now, link, payload, out),
            Err(error) if error.kind == ScanErrorKind::Escape => {
                self.scratch.copy(payload);
                let Scratch { reader, bytes, .. } = &mut self.scratch;
                let routes = &self.routes;
                let topic = reader.read(bytes, |message| {
                    tape::topic(&message).map(|topic| routes.find(topic.as_bytes()))
                });
                match topic {
                    None => self.counters.malformed += 1,
                    Some(None) => self.handle_answer(now, link, payload, out),
                    Some(Some(None)) => self.counters.unrouted += 1,
                    Some(Some(Some(route))) => self.handle_routed(now, link, route, payload, out),
                }
            }
            // Nobody can tell whose it was.
            Err(_) => self.counters.malformed += 1,
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
            self.with_desk(|desk, view| {
                desk.handle_response(now, id, response, view.governor, view, out);
            });
            self.tell_news(now, out);
        } else if let Some(probe) = self.probes.finish(id) {
            self.handle_probe_answer(now, probe, response, out);
        } else {
            let result = rest::read_response(self.market, now, response);
            self.handle_instrument_answer(now, id, result, out);
        }
        self.rearm();
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        if desk::is_request(id) {
            self.with_desk(|desk, _| desk.handle_instruments(id, &instruments, out));
            for instrument in instruments.unwrap_or_default() {
                self.symbols.insert(instrument);
            }
            return;
        }
        self.handle_instrument_answer(now, id, instruments, out);
        self.rearm();
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.rest.handle_timeout(now);
        self.probes.handle_timeout(now);
        self.tell_news(now, out);
        self.handle_link_timeouts(now, out);
        if self
            .desk
            .as_ref()
            .is_some_and(|desk| desk.deadline() <= now)
        {
            self.with_desk(|desk, view| desk.handle_timeout(now, view, out));
        }
        while let Some(slot) = self.timers.pop(now) {
            self.handle_entry_timeout(now, slot, out);
            self.handle_watch_timeout(now, slot, out);
            if let Some(entry) = self.entries.get(slot).and_then(Option::as_ref) {
                // Later than now: nothing can keep the loop here.
                self.timers.arm(slot, entry.deadline().max(now + Nanos(1)));
            }
        }
        self.rearm();
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        let desk = self
            .desk
            .as_ref()
            .map_or(Nanos::MAX, |desk| desk.deadline());
        let entries = self.timers.next().min(desk);
        let next = self.next_timeout.map_or(entries, |next| next.min(entries));
        (next < Nanos::MAX).then_some(next)
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        // Orders go before everything else.
        if let Some(desk) = &mut self.desk
            && let Some(transmit) = desk.poll_transmit(now, &self.rest.governor, body)
        {
            self.counters.requests += u64::from(matches!(transmit, Transmit::Http(_)));
            return Some(transmit);
        }
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            let todo = match link.poll(now, &self.urls, body) {
                LinkOutput::Nothing => {
                    index += 1;
                    continue;
                }
                LinkOutput::Do(todo) => Some(todo),
                LinkOutput::Forget(todo) => {
                    let link = self.links.remove(index);
                    if todo.is_some() {
                        self.closing.push(link.id);
                    }
                    todo
                }
            };
            if todo.is_some() {
                self.rearm();
                return todo;
            }
        }
        let waits = self.rest.has_request() || self.has_probe();
        let request = match self.rest.next_request(now, &self.urls) {
            Some(request) => Some(request),
            None => self.next_probe(now),
        };
        if waits {
            // It may have been the last for a while.
            self.rearm();
        }
        let request = request?;
        self.counters.requests += 1;
        Some(Transmit::Http(Box::new(request)))
    }

    #[inline]
    fn has_transmit(&self) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_transmit())
            || self.links.iter().any(Link::has_transmit)
            || self.rest.has_request()
            || self.has_probe()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let entry = self.entries.get(self.slot_of(stream)?)?.as_ref()?;
        Some(entry.keeper()?.view(&entry.stream))
    }

    fn instrument_reader(&self) -> InstrumentReader {
        rest::read_instruments
    }

    fn symbol_rule(&self) -> SymbolRule {
        |market, asked| symbols::venue_symbol(market, asked).unwrap_or(*asked)
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
