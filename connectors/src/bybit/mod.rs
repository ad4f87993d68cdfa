//! Bybit v5: spot and linear, public market data.
//!
//! One [`Bybit`] serves one market, as one of its sockets does: "BTCUSDT" is a symbol of both, and no
//! message says of which. Written to the venue's pages as of 2026-07-24.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | instrument data |
//! | `subscribe` | topics, requests, acks, refusals; links and their heartbeat |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `sync` | what is kept beside a stream: book, ticker, resync |
//!
//! # Limits
//!
//! - No orders and no private streams; no inverse, option or spread market.
//! - No `orderbook.full`, RPI books, liquidations or price limits.
//! - Block trades and RPI trades are among the trades and not marked.
//! - `contract_size` of linear is 1 base currency, as quantities are in base currency.

#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
pub mod parse;
mod rest;
pub mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod urls;

#[cfg(test)]
mod tests;

use crate::channel::Channel;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind, Next};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};
use crate::wide::{Notice, WideBody};

use rest::Rest;
use route::{Routes, Scratch, handle_data};
use subscribe::{Link, LinkOutput};
use symbols::Symbols;
use sync::{Context, Entry, Feed, Phase};
use tape::AnswerOp;
pub use urls::BybitConfig;
use urls::Urls;

/// One market of Bybit as a sans-IO state machine; see [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Bybit {
    market: Market,
    urls: Urls,
    fetch: FetchInstruments,
    rng: fastrand::Rng,
    /// By the number of the stream.
    entries: Vec<Option<Box<Entry>>>,
    routes: Routes,
    links: Vec<Link>,
    next_link: u16,
    link_topics_max: u16,
    rest: Rest,
    symbols: Symbols,
    scratch: Scratch,
    counters: Counters,
    next_timeout: Option<Nanos>,
}

impl Bybit {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a market that is not served and for a URL that can't be used.
    pub fn new(config: BybitConfig, seed: u64) -> Result<Bybit, Error> {
        let mut urls = Urls::new(&config.network, config.market)?;
        urls.silence_max_ns = config.silence_max_ns;
        let budget = config.budget.unwrap_or_else(BybitConfig::new_budget);
        Ok(Bybit {
            market: config.market,
            urls,
            fetch: config.instruments,
            rng: fastrand::Rng::with_seed(seed),
            entries: Vec::new(),
            routes: Routes::default(),
            links: Vec::new(),
            next_link: 0,
            link_topics_max: config.link_topics_max,
            rest: Rest::new(config.market, budget),
            symbols: Symbols::default(),
            scratch: Scratch::new(),
            counters: Counters::default(),
            next_timeout: None,
        })
    }

    /// Finds the earliest timer. Called where timers change, so that reading it is cheap.
    fn rearm(&mut self) {
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let entries = self.entries.iter().flatten();
        let entries = entries.filter_map(|entry| entry.poll_timeout());
        self.next_timeout = links.chain(entries).chain(self.rest.poll_timeout()).min();
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
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
        if self.entries.len() <= id.index() {
            self.entries.resize_with(id.index() + 1, || None);
        }
        if self.entries.get(id.index()).is_some_and(Option::is_some) {
            // The number is taken: the engine gives out each once.
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
        let entry = Entry::new(
            stream,
            Feed::new(self.market, channel),
            Phase::Resolving { until },
        );
        if let Some(slot) = self.entries.get_mut(id.index()) {
            *slot = Some(Box::new(entry));
        }
        if found.is_some() || self.fetch == FetchInstruments::No {
            self.start(now, id, instrument, out);
        } else {
            self.rest.need(instrument.venue_symbol);
        }
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
    fn start(&mut self, now: Nanos, id: StreamId, instrument: Instrument, out: &mut Outbox) {
        let Some(mut entry) = self.take(id) else {
            return;
        };
        let topic = match subscribe::topic(entry.stream.channel, &instrument.venue_symbol) {
            Ok(topic) => topic,
            Err(error) => return self.refuse(now, entry.stream, &error, out),
        };
        entry.stream.instrument = instrument;
        entry.topic = topic;
        entry.phase = Phase::Waiting { until: None };
        let known = self.routes.find(topic.as_bytes());
        let link = known.and_then(|route| self.routes.link(route));
        let link = link.unwrap_or_else(|| self.link_for(&topic));
        entry.link = Some(link);
        let is_new = known.is_none();
        if let Some(link) = self.link_mut(link) {
            entry.stream.set_epoch(link.epoch);
            if is_new {
                link.add(&topic);
            }
        }
        let other = known.and_then(|route| self.routes.stream(route, 0));
        let other = other.and_then(|other| self.entries.get(other.index())?.as_deref());
        let mut context = Context {
            now,
            rng: &mut self.rng,
            counters: &mut self.counters,
            out,
        };
        match other {
            Some(other) => entry.join(other, &mut context),
            None => entry.publish_instrument(now, context.out),
        }
        self.routes.add(&topic, link, id);
        if let Some(slot) = self.entries.get_mut(id.index()) {
            *slot = Some(entry);
        }
    }

    fn take(&mut self, id: StreamId) -> Option<Box<Entry>> {
        self.entries.get_mut(id.index())?.take()
    }

    /// The first link with room, or a further one.
    fn link_for(&mut self, topic: &str) -> LinkId {
        let most = usize::from(self.link_topics_max);
        let room = |link: &&Link| link.has_room(topic, most);
        if let Some(link) = self.links.iter().find(room) {
            return link.id;
        }
        // Numbers are not used again soon: what is still said of a closed link concerns no other.
        while self.links.iter().any(|link| link.id.0 == self.next_link) {
            self.next_link = self.next_link.wrapping_add(1);
        }
        let id = LinkId(self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        self.links.push(Link::new(id, self.market));
        id
    }

    /// Takes a stream off its topic, and the topic off its link where no other stream wants it.
    fn detach(&mut self, id: StreamId, topic: &str) {
        if let Some(link) = self.routes.remove(topic, id)
            && let Some(link) = self.link_mut(link)
        {
            link.remove(topic);
        }
    }

    fn unsubscribe(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(mut entry) = self.take(id) else {
            return;
        };
        self.detach(id, &entry.topic);
        let (closed, reason) = (StreamState::Closed, Reason::Unsubscribed);
        entry
            .stream
            .change(closed, reason, None, Times::ours(now), out);
    }

    /// The venue refused a topic for good.
    fn handle_refused(&mut self, now: Nanos, topic: &str, error: &Error, out: &mut Outbox) {
        for id in self.routes.streams(topic) {
            if let Some(entry) = self.take(id) {
                self.detach(id, topic);
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
        if self.routes.link(route) != Some(link) {
            // The topic has moved; its old link may still send it until it is closed.
            self.counters.unrouted += 1;
            return;
        }
        let mut number = 0;
        while let Some(id) = self.routes.stream(route, number) {
            number += 1;
            let Some(entry) = self.entries.get_mut(id.index()).and_then(Option::as_mut) else {
                continue;
            };
            let before = entry.phase;
            let mut context = Context {
                now,
                rng: &mut self.rng,
                counters: &mut self.counters,
                out,
            };
            handle_data(entry, payload, &mut self.scratch, &mut context);
            if entry.phase != before {
                self.rearm();
            }
        }
    }

    /// A message without a topic.
    fn handle_answer(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        let answer = self
            .scratch
            .reader
            .read(payload, |message| tape::answer(&message));
        let Some(answer) = answer.flatten() else {
            self.counters.malformed += 1;
            return;
        };
        let Some(link) = self.link_mut(link) else {
            return;
        };
        if answer.op == AnswerOp::Pong {
            link.handle_pong();
            self.rearm();
            return;
        }
        let outcome = link.handle_answer(&answer);
        for topic in &outcome.had {
            for id in self.routes.streams(topic) {
                let entry = self.entries.get_mut(id.index()).and_then(Option::as_mut);
                if let Some(entry) = entry {
                    entry.handle_ack(now, out);
                }
            }
        }
        let kind = if outcome.unknown {
            ErrorKind::BadSymbol
        } else {
            ErrorKind::Other
        };
        let error = Error::venue(kind, Next::Never, None, answer.text.as_str());
        for topic in &outcome.refused {
            self.handle_refused(now, topic, &error, out);
        }
        self.rearm();
    }

    /// Everything on a link is stale.
    fn handle_link_lost(&mut self, now: Nanos, link: LinkId, out: &mut Outbox) {
        for entry in self.entries.iter_mut().flatten() {
            if entry.link == Some(link) {
                entry.handle_link_down(now, out);
            }
        }
    }

    /// A timer of a stream.
    fn handle_entry_timeout(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if entry.poll_timeout().is_none_or(|until| until > now) {
            return;
        }
        match entry.phase {
            Phase::Resolving { .. } => {
                let (id, default) = (entry.stream.id, entry.stream.instrument);
                self.start(now, id, default, out);
            }
            Phase::Waiting { .. } => {
                let mut context = Context {
                    now,
                    rng: &mut self.rng,
                    counters: &mut self.counters,
                    out,
                };
                let times = Times::ours(now);
                entry.break_off(Reason::SnapshotFailed, None, times, &mut context);
            }
            Phase::Backoff { .. } => {
                let (topic, link) = (entry.topic, entry.link);
                if let Some(link) = link.and_then(|link| self.link_mut(link)) {
                    link.renew(&topic);
                }
                // While the topic is let go, nothing comes for any of its streams.
                for id in self.routes.streams(&topic) {
                    let entry = self.entries.get_mut(id.index()).and_then(Option::as_mut);
                    if let Some(entry) = entry {
                        let (resync, reason) = (StreamState::Resync, Reason::Requested);
                        if entry.stream.is_live() {
                            let times = Times::ours(now);
                            entry.stream.change(resync, reason, None, times, out);
                        }
                        entry.wait_anew();
                    }
                }
            }
            Phase::Live => {}
        }
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
        let entry = self.entries.get_mut(id.index()).and_then(Option::as_mut);
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
                    let mut context = Context {
                        now,
                        rng: &mut self.rng,
                        counters: &mut self.counters,
                        out,
                    };
                    entry.break_off_now(Reason::Requested, &mut context);
                }
            }
            (_, None) => {}
        }
        self.rearm();
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        let Some(known) = self.link_mut(link) else {
            // One that was closed.
            return;
        };
        match change {
            LinkChange::Up { epoch } => {
                known.handle_up(now, epoch);
                for entry in self.entries.iter_mut().flatten() {
                    if entry.link == Some(link) {
                        entry.handle_link_up(epoch);
                    }
                }
            }
            LinkChange::Down { .. } => {
                known.handle_down();
                self.handle_link_lost(now, link, out);
            }
        }
        self.rearm();
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
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
        let result = rest::read_response(self.market, now, response);
        self.handle_instrument_answer(now, id, result, out);
        self.rearm();
    }

    fn handle_instruments(
        &mut self,
        now: Nanos,
        id: RequestId,
        instruments: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        self.handle_instrument_answer(now, id, instruments, out);
        self.rearm();
    }

    fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.rest.handle_timeout(now);
        self.tell_news(now, out);
        for index in 0..self.links.len() {
            let Some(link) = self.links.get_mut(index) else {
                continue;
            };
            if link.handle_timeout(now) {
                let link = link.id;
                self.handle_link_lost(now, link, out);
            }
        }
        for index in 0..self.entries.len() {
            self.handle_entry_timeout(now, index, out);
        }
        self.rearm();
    }

    #[inline]
    fn poll_timeout(&self) -> Option<Nanos> {
        self.next_timeout
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            let todo = match link.poll(now, &self.urls, body) {
                LinkOutput::Nothing => {
                    index += 1;
                    continue;
                }
                LinkOutput::Do(todo) => Some(todo),
                LinkOutput::Forget(todo) => {
                    self.links.remove(index);
                    todo
                }
            };
            if todo.is_some() {
                self.rearm();
                return todo;
            }
        }
        let waits = self.rest.has_request();
        let request = self.rest.next_request(now, &self.urls);
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
        self.links.iter().any(Link::has_transmit) || self.rest.has_request()
    }

    fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let entry = self.entries.get(stream.index())?.as_ref()?;
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
