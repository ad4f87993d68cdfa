//! What the engine tells and asks, as far as it is the same at every venue of topics.

use tickwire_orderbook::{Price, Side};

use super::Streams;
use super::dialect::Dialect;
use super::entry::{Context, Kept, Phase};
use super::link::{Link, LinkOutput};
use super::symbols::Symbols;
use super::table::Table;
use crate::command::Command;
use crate::connector::BookView;
use crate::event::{Reason, StreamId, StreamState};
use crate::governor::Governor;
use crate::instrument::{Instrument, Market};
use crate::outbox::Outbox;
use crate::stream::Times;
use crate::time::Nanos;
use crate::trading::desk::Sight;
use crate::trading::dialect::Names;
use crate::trading::risk;
use crate::transmit::{HttpFailure, LinkChange, LinkId, RequestId, Response, Transmit};

impl<D: Dialect> Streams<D> {
    pub(crate) fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let id = command.stream();
        let slot = self.table.slot_of(id);
        let entry = slot.and_then(|slot| self.table.get_mut(slot));
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
                // What has no state has nothing to fetch. What is Pending or Stale gets it with its link,
                // and to say that it is on its way would be too early.
                let state = entry.stream.state();
                let is_there = matches!(state, StreamState::Live | StreamState::Resync);
                if is_there && entry.own.is_fetched() {
                    let mut context = Context::new(now, &mut self.rng, &mut self.counters, out);
                    entry.break_off_now(Reason::Requested, &mut context);
                }
            }
            (_, None) => {}
        }
        if let Some(slot) = slot {
            self.table.arm(slot);
        }
        self.rearm();
    }

    pub(crate) fn handle_link(
        &mut self,
        now: Nanos,
        link: LinkId,
        change: &LinkChange,
        out: &mut Outbox,
    ) {
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

    /// The venue answered a link's upgrade with this HTTP status.
    pub(crate) fn handle_refusal(
        &mut self,
        now: Nanos,
        status: u16,
        retry_after_ns: Option<Nanos>,
        out: &mut Outbox,
    ) {
        if D::BANS.contains(&status) {
            // The address is banned, for REST as well.
            self.rest.governor.note_ban(now, status, retry_after_ns);
            self.tell_news(now, out);
            self.rearm();
        }
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        if let Some(probed) = self.probes.finish(id) {
            self.handle_probe_answer(now, probed, response, out);
        } else {
            let result = D::read_instruments(self.market, now, response);
            self.handle_instruments(now, id, result, out);
        }
        self.rearm();
    }

    pub(crate) fn handle_timeout(&mut self, now: Nanos, out: &mut Outbox) {
        self.rest.handle_timeout(now);
        self.probes.handle_timeout(now);
        self.tell_news(now, out);
        self.handle_link_timeouts(now, out);
        while let Some(slot) = self.table.timers.pop(now) {
            self.handle_entry_timeout(now, slot, out);
            self.handle_watch_timeout(now, slot, out);
            self.table.arm_later(now, slot);
        }
        self.rearm();
    }

    /// A timer of an entry.
    fn handle_entry_timeout(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let events = entry.sink(&mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, events);
        D::Kept::handle_timeout(entry, &mut context);
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

    #[inline]
    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        let entries = self.table.timers.next();
        let next = self.next_timeout.map_or(entries, |next| next.min(entries));
        (next < Nanos::MAX).then_some(next)
    }

    #[inline]
    pub(crate) fn has_transmit(&self) -> bool {
        self.links.iter().any(Link::has_transmit)
            || self.rest.has_request()
            || self.probes.has_request()
    }

    pub(crate) fn poll_transmit(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        if !self.has_transmit() {
            return None;
        }
        let todo = self.poll_links(now, body);
        let todo = todo.or_else(|| self.poll_requests(now, body));
        // It may have been the last for a while.
        self.rearm();
        todo
    }

    fn poll_links(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            match link.poll(now, &mut self.own, &self.rest.governor, body) {
                LinkOutput::Nothing => index += 1,
                LinkOutput::Do(todo) => return Some(todo),
                LinkOutput::Asked(todo, topics) => {
                    self.handle_asked(now, &topics);
                    return Some(todo);
                }
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

    /// These topics have been asked for, and nothing more will be said of that.
    fn handle_asked(&mut self, now: Nanos, topics: &[String]) {
        for topic in topics {
            for slot in self.routes.entries(topic) {
                if let Some(entry) = self.table.get_mut(*slot) {
                    entry.await_first(now);
                    self.table.arm(*slot);
                }
            }
        }
    }

    fn poll_requests(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let request = self.next_question(now, body);
        let request = request.or_else(|| self.next_probe(now))?;
        self.counters.requests += 1;
        Some(Transmit::Http(Box::new(request)))
    }

    pub(crate) fn book(&self, stream: StreamId) -> Option<BookView<'_>> {
        let entry = self.table.get(self.table.slot_of(stream)?)?;
        Some(entry.keeper()?.view(&entry.stream))
    }

    /// The venue's own beside what a desk may see of the streams.
    pub(crate) fn split(&mut self) -> (&mut D, View<'_, D>) {
        let view = View {
            market: self.market,
            symbols: &self.symbols,
            table: &self.table,
            governor: &self.rest.governor,
        };
        (&mut self.own, view)
    }
}

/// What a desk may see of the streams.
pub(crate) struct View<'a, D: Dialect> {
    market: Market,
    symbols: &'a Symbols,
    table: &'a Table<D::Kept>,
    pub(crate) governor: &'a Governor,
}

impl<D: Dialect> Names for View<'_, D> {
    fn instrument(&self, symbol: &str) -> Option<Instrument> {
        let asked = crate::instrument::symbol(symbol)?;
        let known = self.symbols.find(&asked).copied();
        known.or_else(|| D::instrument_by_rule(self.market, &asked).ok())
    }
}

impl<D: Dialect> Sight for View<'_, D> {
    fn market(&self, instrument: &Instrument) -> risk::Market {
        let mut seen = risk::Market::Unwatched;
        for (_, entry) in self.table.iter() {
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
