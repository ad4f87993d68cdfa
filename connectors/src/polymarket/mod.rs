//! Polymarket's CLOB: prediction markets, market data and orders.
//!
//! An instrument is one outcome token; its symbol is the token's id, up to 78 digits as text. One topic a
//! token brings its book, its changes and its trades. The venue sends no acks, no sequence numbers and
//! no trade ids; what makes its books trustworthy all the same stands in `sync`, `links` and `watch`.
//! Written to the venue's pages as read in 2026-11.
//!
//! | file | holds |
//! |---|---|
//! | `urls` | endpoints, limits and deadlines as data |
//! | `symbols` | tokens |
//! | `rest` | instrument data |
//! | `subscribe` | channels, requests |
//! | `links` | links and their heartbeat, hand-over, the silent stall |
//! | `watch` | liveness, probes, agreement |
//! | `route` | from a frame to its streams |
//! | [`parse`] | the scanner of the market channel |
//! | [`tape`] | simd-json for the rest, and the twin of the scanner |
//! | [`listing`] | which token is which outcome of which question |
//! | `hash` | the venue's hash of a book |
//! | `news` | markets that are resolved |
//! | `user` | the account's orders and trades, told by the user channel alone |
//! | `desk` | the account's desk beside the market data |
//! | `trade` | requests about orders and the account, signed |
//! | [`wallet`] | orders that the account's wallet signs |
//! | `account` | what the venue says of the account |
//! | `codes` | its errors |
//! | `sync` | what is kept beside a stream: book, resync |
//!
//! # Limits
//!
//! - Orders are placed where the user brings what signs them ([`Wallet`]); the chain itself is never
//!   asked, so that what tokens an account holds is known of this run's trades alone. Standing orders are
//!   the first page of the venue's list.
//! - No pairs of links: without numbers nobody could tell which link has missed what.
//! - No best bid/ask stream: the venue tells best prices without sizes. The top of a book is published.
//! - The venue's own `hash` of a book is checked where the message has what it is made of; that of a
//!   change is not a book's.
//! - A lost change is found by the best prices that come with later ones, or by a probe; one deep in the
//!   book of a token that goes on trading is found with the next `book`.

mod account;
mod codes;
mod desk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod differential;
mod hash;
mod links;
pub mod listing;
mod news;
pub mod parse;
mod rest;
mod route;
mod subscribe;
mod symbols;
mod sync;
pub mod tape;
mod trade;
mod urls;
mod user;
pub mod wallet;
mod watch;

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

use crate::channel::Channel;
use crate::command::Command;
use crate::connector::{BookView, Connector, Counters, InstrumentReader};
use crate::error::{Error, ErrorKind};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, Market, Symbol, Venue};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::timers::Timers;
use crate::trading::desk::{Desk, is_request};
use crate::trading::{Action, Answer, Ticket};
use crate::transmit::{DownReason, HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};
use crate::upkeep::Upkeep;
use crate::wide::{Notice, WideBody};

use hash::HashCheck;
use links::{Link, LinkOutput};

use rest::Rest;
use route::{Routes, Scratch};
use symbols::Symbols;
use sync::{Context, Entry, Feed, Phase};
use trade::Words;
use urls::Urls;
pub use urls::{
    ASSETS_PER_LINK_DEFAULT, ASSETS_PER_LINK_LIMIT, BOOK_HASH_EVERY_DEFAULT, PolymarketConfig,
    STALL_ASSETS_MIN,
};
use user::User;
pub use wallet::{SignedOrder, UnsignedOrder, Wallet};
use watch::Probes;

/// Polymarket as a sans-IO state machine; see [`Connector`] for how to drive it.
#[derive(Debug)]
pub struct Polymarket {
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
    assets_per_link_max: u16,
    book_hash_every: u32,
    user: User,
    /// In place of `user` where the account trades.
    desk: Option<Box<Desk<Words>>>,
    rest: Rest,
    probes: Probes,
    symbols: Symbols,
    /// Out while a message is handled.
    scratch: Option<Box<Scratch>>,
    counters: Counters,
    /// The earliest timer of links and requests.
    next_timeout: Option<Nanos>,
}

impl Polymarket {
    /// Nothing subscribed, nothing connected. All chance (the jitter of resyncs) comes from `seed`.
    /// Fails for a config with which no link would live, and for a URL that can't be used.
    pub fn new(config: PolymarketConfig, seed: u64) -> Result<Polymarket, Error> {
        config.check()?;
        let urls = Urls::new(&config)?;
        let budget = config.budget.unwrap_or_else(PolymarketConfig::new_budget);
        let desk = config.trading.map(|trading| {
            let keys = trading.credentials.clone();
            let words = Words::new(urls.clone(), keys, config.wallet, config.dead_man)?;
            Ok::<_, Error>(Box::new(Desk::new(words, &trading, config.instruments)))
        });
        let desk = desk.transpose()?;
        Ok(Polymarket {
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
            assets_per_link_max: config.assets_per_link_max,
            book_hash_every: config.book_hash_every,
            user: User::new(config.credentials),
            desk,
            rest: Rest::new(budget),
            probes: Probes::default(),
            symbols: Symbols::default(),
            scratch: Some(Box::new(Scratch::new())),
            counters: Counters::default(),
            next_timeout: None,
        })
    }

    /// Finds the earliest timer of links and requests. Called where they change, so that reading it is
    /// cheap.
    fn rearm(&mut self) {
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let requests = [
            self.rest.poll_timeout(),
            self.probes.poll_timeout(),
            self.user.poll_timeout(),
        ];
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
        if channel == Channel::User {
            return self.subscribe_user(now, id, asked, out);
        }
        let found = self.symbols.find(&asked).copied();
        let instrument = match found {
            Some(instrument) => Ok(instrument),
            None => symbols::default_instrument(&asked),
        };
        let checked =
            instrument.and_then(|instrument| subscribe::check(channel).map(|()| instrument));
        let instrument = match checked {
            Ok(instrument) => instrument,
            Err(error) => {
                let instrument = symbols::instrument(asked);
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

    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        if self.desk.is_some() {
            return self.subscribe_desk(now, id, asked, out);
        }
        if self.user.has(id) {
            return;
        }
        let instrument = symbols::instrument(asked);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        match self.user.check(&asked) {
            Ok(()) => {
                let link = self.free_link_id();
                self.user.add(now, stream, link, out);
            }
            Err(error) => self.refuse(now, stream, &error, out),
        }
    }

    fn make_entry(&mut self, stream: Stream, phase: Phase) -> Box<Entry> {
        let feed = Feed::new(stream.channel);
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let mut entry = Entry::new(stream, feed, phase, &self.upkeep, serial);
        entry.hashes = HashCheck::new(self.book_hash_every);
        Box::new(entry)
    }

    fn insert(&mut self, entry: Box<Entry>) -> usize {
        let slot = self.free.pop().unwrap_or(self.entries.len());
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        self.put(slot, entry);
        slot
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
        let topic = instrument.venue_symbol;
        entry.stream.instrument = instrument;
        entry.topic = topic;
        entry.phase = Phase::Waiting { until: None };
        let known = self.routes.find(topic.as_bytes());
        let route = self.routes.add(&topic, slot);
        entry.route = Some(route);
        if known.is_none() {
            let link = self.link_for_topic();
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
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
        match other {
            Some(other) => entry.join(other, &mut context),
            None => entry.publish_instrument(now, context.out),
        }
        let mut links = carriers.iter();
        if links.any(|carrier| carrier.acked) {
            entry.watch.start(now);
        }
        self.put(slot, entry);
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
            return self.user.remove(now, id, out);
        };
        let Some(mut entry) = self.remove(slot) else {
            return;
        };
        let (closed, reason) = (StreamState::Closed, Reason::Unsubscribed);
        entry
            .stream
            .change(closed, reason, None, Times::ours(now), out);
    }

    /// A message of the user channel.
    fn handle_user_message(&mut self, now: Nanos, payload: &mut [u8], out: &mut Outbox) {
        if payload == subscribe::PONG {
            self.user.handle_pong(now, out);
            return self.rearm();
        }
        if !matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')) {
            return;
        }
        let Some(mut scratch) = self.scratch.take() else {
            return;
        };
        let read = scratch.reader.read(payload, |message| {
            self.user.handle_message(now, &message, out)
        });
        self.counters.malformed += read.unwrap_or(1);
        self.scratch = Some(scratch);
    }

    // Timers.

    /// A timer of an entry.
    fn handle_entry_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
        match entry.phase {
            Phase::Resolving { until } if until <= now => {
                let default = entry.stream.instrument;
                self.start(now, slot, default, out);
            }
            Phase::Waiting { until: Some(until) } if until <= now => {
                let times = Times::ours(now);
                entry.break_off(Reason::SnapshotFailed, times, &mut context);
            }
            Phase::Backoff { until } if until <= now => self.renew(now, slot, out),
            _ => {}
        }
    }

    /// These tokens have been asked for.
    fn handle_asked(&mut self, now: Nanos, topics: &[String]) {
        for topic in topics {
            let Some(route) = self.routes.find(topic.as_bytes()) else {
                continue;
            };
            let mut number = 0;
            while let Some(slot) = self.routes.entry(route, number) {
                number += 1;
                if let Some(entry) = self.entries.get_mut(slot).and_then(Option::as_mut) {
                    entry.handle_asked(now);
                    self.timers.arm(slot, entry.deadline());
                }
            }
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
        // While the token is let go, nothing comes for any of its streams.
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

impl Connector for Polymarket {
    fn venue(&self) -> Venue {
        Venue::Polymarket
    }

    fn market(&self) -> Market {
        Market::Prediction
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
                // Trades have nothing to fetch. What is Pending or Stale gets its book with its link, and
                // to say that it is on its way would be too early.
                let fetched = matches!(entry.feed, Feed::Book(_));
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
            let text = "this connector was made without PolymarketConfig::trading";
            let result = Err(Error::ours(ErrorKind::Authentication, text));
            out.push_answer(Answer { ticket, result });
        }
    }

    fn handle_link(&mut self, now: Nanos, link: LinkId, change: LinkChange, out: &mut Outbox) {
        if let Some(desk) = self.desk.as_mut().filter(|desk| desk.has_link(link)) {
            return match change {
                LinkChange::Up { .. } => desk.handle_up(now, link, out),
                LinkChange::Down { .. } => desk.handle_down(now, link, out),
            };
        }
        if self.user.link() == Some(link) {
            match change {
                LinkChange::Up { .. } => self.user.handle_up(),
                LinkChange::Down { .. } => self.user.handle_down(now, out),
            }
            return self.rearm();
        }
        match change {
            LinkChange::Up { .. } => self.handle_link_up(now, link, out),
            LinkChange::Down { reason } => {
                if self.link(link).is_none() {
                    // The end of one that was let go.
                    self.closing.retain(|closing| *closing != link);
                }
                if let DownReason::Refused { status: 403, .. } = reason {
                    // The address is banned, for REST as well.
                    self.rest.governor.note_ban(now, 403, None);
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
        if self.is_link_of_desk(link) {
            self.with_desk(|desk, view| {
                desk.handle_message(now, link, payload, (view.governor, view), out);
            });
            return;
        }
        if self.user.link() == Some(link) {
            return self.handle_user_message(now, payload, out);
        }
        if !self.link(link).is_some_and(Link::is_up) {
            // The last words of one that was cut or let go.
            self.counters.unrouted += 1;
            return;
        }
        match payload.trim_ascii_start().first() {
            Some(b'{' | b'[') => self.handle_frame(now, link, payload, out),
            _ => {
                // "NO NEW ASSETS" and whatever else is no JSON says nothing that the books don't.
                if payload == subscribe::PONG
                    && let Some(link) = self.link_mut(link)
                {
                    link.handle_pong();
                    self.rearm();
                }
            }
        }
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if is_request(id) {
            self.with_desk(|desk, view| {
                desk.handle_response(now, id, response, view.governor, view, out);
            });
            self.tell_news(now, out);
        } else if let Some(probe) = self.probes.finish(id) {
            self.handle_probe_answer(now, probe, response, out);
        } else {
            let result = rest::read_response(Market::Prediction, response);
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
        if is_request(id) {
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
        self.user.handle_timeout(now, &self.urls, out);
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
                LinkOutput::Asked(todo, topics) => {
                    self.handle_asked(now, &topics);
                    Some(todo)
                }
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
        if self.user.has_transmit() {
            let todo = self.user.poll(now, &self.urls, body, &mut self.closing);
            self.rearm();
            if todo.is_some() {
                return todo;
            }
        }
        let waits = self.rest.has_request() || self.has_probe();
        let request = match self.rest.next_request(now, &self.urls, body) {
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
            || self.user.has_transmit()
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

    fn counters(&self) -> Counters {
        self.counters
    }
}
