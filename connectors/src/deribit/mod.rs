//! Deribit: inverse and linear futures, options and spot: market data, orders and the account.
//!
//! One [`Deribit`] serves one market, so that a symbol means one thing; all markets share one address.
//! Written to API v2.1.1 (mid-2025), its method pages of 2026-03-26, the support articles of 2026-11 and
//! the release notes of 2026-01-13.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | unified symbols and the venue's |
//! | `rest` | instrument data |
//! | `login` | `public/auth` |
//! | `subscribe` | topics, requests, refusals |
//! | `links` | links, their login and proofs of life, hand-over |
//! | `watch` | liveness, probes, companions, agreement |
//! | [`route`] | from a message to its streams |
//! | [`parse`] | scanners of the hot messages |
//! | [`tape`] | simd-json for the rest, and the twins of the scanners |
//! | `sync` | what is kept beside a stream: book, ticker, resync |
//! | `trade` | requests about orders and the account |
//! | `private` | answers, and the account's own events |
//! | `account` | answers by HTTP |
//! | `codes` | error codes as data |
//! | `view` | what the account's desk sees of the connector |
//!
//! # Limits
//!
//! - No combos.
//! - No grouping by price: books are whole, or of 1, 10 or 20 single levels.
//! - An option's ticker has prices, no greeks and no implied volatility.
//! - [`Redundancy::Pair`] is refused.
//! - An instrument's tick is that of its lowest prices; those of `tick_size_steps` only widen its scale.
//! - Block and combo trades are among the trades and not marked.

mod account;
mod codes;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod links;
mod login;
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
mod view;
mod watch;

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

use crate::channel::Channel;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader, SymbolRule};
use crate::error::{Error, ErrorKind};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::scan::ScanErrorKind;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::timers::Timers;
use crate::trading::desk;
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{DownReason, HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};
use crate::upkeep::{Redundancy, Upkeep};
use crate::wide::{Notice, WideBody};

use links::{Desk, Link, LinkOutput};
use login::LoginWriter;
use rest::Rest;
use route::{Routes, Scratch, handle_data};
use symbols::Symbols;
use sync::{Context, Entry, Feed, Phase};
use trade::Words;
use urls::Urls;
pub use urls::{DeribitConfig, Login};
use watch::Probes;

/// One market of Deribit as a sans-IO state machine; see [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Deribit {
    market: Market,
    urls: Urls,
    fetch: FetchInstruments,
    upkeep: Upkeep,
    /// Where links log in.
    login: Option<LoginWriter>,
    /// The account, where there is one.
    desk: Option<Box<desk::Desk<Words>>>,
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

impl Deribit {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a market that is not served, for a URL or credentials that can't be used, and for pairs
    /// of links.
    pub fn new(config: DeribitConfig, seed: u64) -> Result<Deribit, Error> {
        let mut urls = Urls::new(&config.network, config.market)?;
        urls.silence_max_ns = config.silence_max_ns;
        if config.upkeep.redundancy == Redundancy::Pair {
            let text = "Deribit does not promise that two links number a book alike: use Redundancy::Single";
            return Err(Error::ours(ErrorKind::NotSupported, text));
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut login_of =
            |credentials| LoginWriter::new(credentials, config.login, config.market, rng.fork());
        let login = config.credentials.map(&mut login_of);
        let desk = config.trading.map(|trading| {
            let login = login_of(trading.credentials.clone())?;
            let words = Words::new(urls.clone(), login, &trading);
            Ok::<_, Error>(Box::new(desk::Desk::new(
                words,
                &trading,
                config.instruments,
            )))
        });
        let budget = config.budget.unwrap_or_else(DeribitConfig::new_budget);
        Ok(Deribit {
            market: config.market,
            urls,
            fetch: config.instruments,
            upkeep: config.upkeep,
            login: login.transpose()?,
            desk: desk.transpose()?,
            rng,
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
            return self.subscribe_user(now, id, asked, out);
        }
        let found = self.symbols.find(&asked).copied();
        let instrument = match found {
            Some(instrument) => Ok(instrument),
            None => symbols::default_instrument(self.market, &asked),
        };
        let checked = instrument.and_then(|instrument| {
            let logged_in = self.login.is_some();
            subscribe::topic(channel, &instrument.venue_symbol, logged_in).map(|_| instrument)
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
        let is_index = symbols::is_index(&instrument.venue_symbol);
        if found.is_some() || is_index || self.fetch == FetchInstruments::No {
            self.start(now, slot, instrument, out);
        } else {
            self.rest.need(instrument.venue_symbol);
        }
    }

    fn make_entry(&mut self, stream: Stream, phase: Phase) -> Box<Entry> {
        let feed = Feed::new(stream.channel, &stream.instrument.venue_symbol);
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
            venue: Venue::Deribit,
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
        let (channel, symbol) = (entry.stream.channel, &instrument.venue_symbol);
        let topic = match subscribe::topic(channel, symbol, self.login.is_some()) {
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
            let link = self.link_for();
            if let Some(route) = self.routes.get_mut(route) {
                route.carriers.add(link);
            }
            if let Some(link) = self.link_mut(link) {
                link.add(&topic);
            }
        }
        let carriers = self.routes.get(route).map(|route| route.carriers.clone());
        let carriers = carriers.unwrap_or_default();
        if let (true, Some(leader)) = (carriers.is_pair(), carriers.first()) {
            entry.begin_pair(leader);
        }
        let mut links = carriers.iter();
        if links.any(|carrier| self.link(carrier.link).is_some_and(Link::is_up)) {
            entry.handle_link_up();
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
        // A companion joins the quotes before their last stream goes, so that they need not be asked for.
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
            if let Some(link) = self.link_mut(link) {
                link.remove(topic);
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

    fn poll_links(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let mut desk = Desk {
            urls: &self.urls,
            governor: &self.rest.governor,
            login: self.login.as_mut(),
        };
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            match link.poll(now, &mut desk, body) {
                LinkOutput::Nothing => index += 1,
                LinkOutput::Do(todo) => return Some(todo),
                LinkOutput::Forget(todo) => {
                    let link = self.links.remove(index);
                    if todo.is_some() {
                        self.closing.push(link.id);
                        return todo;
                    }
                }
            }
        }
        None
    }

    fn poll_requests(&mut self, now: Nanos) -> Option<Transmit> {
        let request = match self.rest.next_request(now, &self.urls) {
            Some(request) => Some(request),
            None => self.next_probe(now),
        }?;
        self.counters.requests += 1;
        Some(Transmit::Http(Box::new(request)))
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
    fn handle_answer(&mut self, now: Nanos, id: LinkId, payload: &[u8], out: &mut Outbox) {
        let reader = &mut self.scratch.reader;
        let answer = reader.read(payload, |message| tape::answer(&message));
        let Some(answer) = answer.flatten() else {
            self.counters.malformed += 1;
            return;
        };
        let Some(link) = self.link_mut(id) else {
            return;
        };
        let outcome = link.handle_answer(now, &answer);
        if outcome.throttled {
            self.rest.governor.note_ban(now, 429, None);
            self.tell_news(now, out);
        }
        for topic in &outcome.had {
            self.handle_topic_acked(now, id, topic, out);
        }
        if let Some(error) = &outcome.error {
            for topic in &outcome.refused {
                self.handle_refused(now, id, topic, error, out);
            }
            if outcome.login_refused {
                self.handle_login_refused(now, id, error, out);
            }
        }
        self.rearm();
    }

    /// Nothing that waits for this login can come.
    fn handle_login_refused(&mut self, now: Nanos, id: LinkId, error: &Error, out: &mut Outbox) {
        for route in self.routes_on(id) {
            let topic = self.routes.get(route).map(|route| route.topic);
            if let Some(topic) = topic {
                self.handle_refused(now, id, &topic, error, out);
            }
        }
    }

    /// A timer of an entry.
    fn handle_entry_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let events = sink(entry, &mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, events);
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

    /// Asks for an entry's topic anew. Its requests wait for their credits, and go with those of others.
    fn renew(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
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

impl Connector for Deribit {
    fn venue(&self) -> Venue {
        Venue::Deribit
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
                // What has no book has nothing to fetch. What is Pending or Stale gets one with its
                // link, and to say that it is on its way would be too early.
                let fetched = entry.keeper().is_some();
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
            return match change {
                LinkChange::Up { .. } => desk.handle_up(now, link, out),
                LinkChange::Down { .. } => desk.handle_down(now, link, out),
            };
        }
        match change {
            LinkChange::Up { .. } => self.handle_link_up(now, link, out),
            LinkChange::Down { reason } => {
                if self.link(link).is_none() {
                    // The end of one that was let go.
                    self.closing.retain(|closing| *closing != link);
                }
                if let DownReason::Refused { status: 429, .. } = reason {
                    // The address has too many connections, and each REST request is one more.
                    self.rest.governor.note_ban(now, 429, None);
                    self.tell_news(now, out);
                }
                self.handle_link_down(now, link, out);
            }
        }
        self.rearm();
    }

    #[inline]
    fn handle_message(&mut self, now: Nanos, link: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
        if self.is_desk_link(link) {
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
                let Scratch { reader, .. } = &mut self.scratch;
                let routes = &self.routes;
                let topic = reader.read(payload, |message| {
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
            let result = rest::read_response(self.market, response);
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
        if self.desk_deadline() <= now {
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
        let entries = self.timers.next().min(self.desk_deadline());
        let next = self.next_timeout.map_or(entries, |next| next.min(entries));
        (next < Nanos::MAX).then_some(next)
    }

    fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        if !self.has_transmit() {
            return None;
        }
        // Orders go before everything else.
        if let Some(desk) = &mut self.desk
            && let Some(transmit) = desk.poll_transmit(now, &self.rest.governor, body)
        {
            self.counters.requests += u64::from(matches!(transmit, Transmit::Http(_)));
            return Some(transmit);
        }
        let todo = self.poll_links(now, body);
        let todo = todo.or_else(|| self.poll_requests(now));
        // It may have been the last for a while.
        self.rearm();
        todo
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
