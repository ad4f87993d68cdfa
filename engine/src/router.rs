//! From a connector's outbox to the strategies: which stream feeds whom.

use std::sync::Arc;

use tickwire_connectors::event::Stamp;
use tickwire_connectors::order::ClientOrderId;
use tickwire_connectors::outbox::Item;
use tickwire_connectors::trading::Answer;
use tickwire_connectors::{
    Body, Channel, Event, EventKind, Nanos, Outbox, Reason, StreamId, StreamState, Symbol,
    VenueNews, Wide, WideBody,
};
use tickwire_orderbook::Scale;

use crate::asker::Asker;
use crate::control::StrategyId;
use crate::credit::{Credits, Held, SLOTS_AN_ORDER};
use crate::registry::StreamInfo;
use crate::ring::Producer;
use crate::strategy::Runner;
use crate::telemetry::RingCounters;

/// Where a strategy's events go.
pub(crate) enum Sink {
    /// To its thread.
    Ring(Producer, Arc<RingCounters>),
    /// To the strategy itself, here and now.
    Inline(Box<Runner>),
    /// The strategy has ended.
    Gone,
}

/// A set of strategies, one bit each.
type Mask = u64;

const fn bit(strategy: StrategyId) -> Mask {
    1 << strategy.index()
}

struct Entry {
    info: Arc<StreamInfo>,
    /// Who gets the stream's events.
    routes: Mask,
    /// Who gets its levels too.
    depth: Mask,
    /// The last state change, for who joins later.
    state: Option<Event>,
}

/// What the connector must be told when a strategy joins or leaves a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Open the stream.
    Open,
    /// Close the stream.
    Close,
    /// Publish levels from now on, or no longer.
    Depth(bool),
}

/// How a strategy reads its ring.
#[derive(Clone, Copy, Debug, Default)]
struct Reader {
    taken: u64,
    since: Nanos,
    /// Something waited for it at the last look.
    waits: bool,
    /// It has read nothing for so long that its orders were cancelled.
    is_dead: bool,
}

/// A strategy with orders that reads nothing for so long, while something waits for it, is dead: nobody
/// looks after its orders.
const DEAD_AFTER: Nanos = Nanos::from_secs(5);

/// Routes events by stream.
#[derive(Default)]
pub(crate) struct Router {
    entries: Vec<Option<Entry>>,
    sinks: Vec<Sink>,
    /// By strategy: whom answers go to.
    askers: Vec<Arc<Asker>>,
    credits: Credits,
    /// By strategy: how far it has read, and since when it has read nothing more.
    readers: Vec<Reader>,
    /// Events that found the ring full of a strategy that has ended since.
    diverted: u64,
    now: Nanos,
}

impl Router {
    pub(crate) fn add_sink(&mut self, sink: Sink, asker: Arc<Asker>) {
        self.sinks.push(sink);
        self.askers.push(asker);
        self.readers.push(Reader::default());
    }

    /// Gives an answer to who asked.
    pub(crate) fn answer(&self, answer: Answer) {
        if let Some(asker) = self.askers.get(usize::from(answer.ticket.asker())) {
            asker.answer(answer);
        }
    }

    /// A strategy places an order: holds the room for what will be told of it. The error says why it
    /// can't be.
    pub(crate) fn accept_order(
        &mut self,
        strategy: StrategyId,
        venue: usize,
        id: ClientOrderId,
        symbol: Symbol,
    ) -> Result<(), &'static str> {
        if self.credits.holds(&id) {
            // Sent again: the room is held.
            return Ok(());
        }
        if self.user_stream(strategy, venue).is_none() {
            return Err("open a stream of the account's events first (Channel::User)");
        }
        if let Some(Sink::Ring(producer, _)) = self.sinks.get_mut(strategy.index())
            && !producer.has_account_room(SLOTS_AN_ORDER)
        {
            return Err("the strategy's ring has no room for what would be told of the order");
        }
        self.credits.take(
            id,
            Held {
                strategy,
                venue,
                symbol,
            },
        );
        self.keep_room(strategy);
        Ok(())
    }

    fn keep_room(&mut self, strategy: StrategyId) {
        let slots = self.credits.reserved(strategy);
        if let Some(Sink::Ring(producer, _)) = self.sinks.get_mut(strategy.index()) {
            producer.reserve_account(slots);
        }
    }

    /// A stream of the account's events at a venue that feeds a strategy.
    pub(crate) fn user_stream(
        &self,
        strategy: StrategyId,
        venue: usize,
    ) -> Option<&Arc<StreamInfo>> {
        let mut entries = self.entries.iter().flatten();
        let found = entries.find(|entry| {
            entry.info.venue_index == venue
                && entry.info.key.channel == Channel::User
                && entry.routes & bit(strategy) != 0
        })?;
        Some(&found.info)
    }

    /// The orders that a strategy has under way.
    pub(crate) fn orders_of(&self, strategy: StrategyId) -> Vec<(ClientOrderId, Held)> {
        self.credits.orders_of(strategy)
    }

    /// Strategies that have orders and have stopped reading; each is given once.
    pub(crate) fn take_dead(&mut self, now: Nanos) -> Vec<StrategyId> {
        let mut dead = Vec::new();
        for (index, sink) in self.sinks.iter().enumerate() {
            let Sink::Ring(producer, _) = sink else {
                continue;
            };
            let strategy = StrategyId(index as u8);
            let reader = &mut self.readers[index];
            if self.credits.count(strategy) == 0 {
                *reader = Reader::default();
                continue;
            }
            let (taken, waiting) = producer.progress();
            // The last look may be long ago: what was not there then has not waited since.
            if taken != reader.taken || waiting == 0 || !reader.waits {
                *reader = Reader {
                    taken,
                    since: now,
                    waits: waiting > 0,
                    is_dead: false,
                };
            } else if !reader.is_dead && now - reader.since >= DEAD_AFTER {
                reader.is_dead = true;
                dead.push(strategy);
            }
        }
        dead
    }

    /// Starts the inline strategies; the others start on their threads.
    pub(crate) fn start(&mut self, now: Nanos) {
        for sink in &mut self.sinks {
            if let Sink::Inline(runner) = sink {
                runner.start(now);
            }
        }
    }

    /// Ends the inline strategies; the others end when they have drained their rings.
    pub(crate) fn stop(self, now: Nanos) {
        for sink in self.sinks {
            if let Sink::Inline(mut runner) = sink {
                runner.stop(now);
            }
        }
    }

    /// Strategies that have ended since the last call: nobody reads their rings any more.
    pub(crate) fn take_gone(&mut self) -> Vec<StrategyId> {
        let mut gone = Vec::new();
        for (index, sink) in self.sinks.iter_mut().enumerate() {
            let ended = match sink {
                Sink::Ring(producer, _) => producer.consumer_gone(),
                Sink::Inline(runner) => runner.is_stopping(),
                Sink::Gone => false,
            };
            if ended {
                match core::mem::replace(sink, Sink::Gone) {
                    Sink::Inline(mut runner) => runner.stop(self.now),
                    Sink::Ring(producer, counters) => {
                        counters.publish(producer.stats());
                        self.diverted += producer.stats().diverted;
                    }
                    Sink::Gone => {}
                }
                gone.push(StrategyId(index as u8));
            }
        }
        gone
    }

    /// Shows other threads what the rings count; gives the events that found their strategy's ring
    /// full.
    pub(crate) fn publish(&self) -> u64 {
        let rings = self.sinks.iter().map(|sink| match sink {
            Sink::Ring(producer, counters) => {
                counters.publish(producer.stats());
                producer.stats().diverted
            }
            Sink::Inline(_) | Sink::Gone => 0,
        });
        self.diverted + rings.sum::<u64>()
    }

    /// Whether events wait for room in some ring.
    #[cfg(feature = "testing")]
    pub(crate) fn is_dirty(&self) -> bool {
        let mut sinks = self.sinks.iter();
        sinks.any(|sink| matches!(sink, Sink::Ring(producer, _) if producer.is_dirty()))
    }

    /// What a strategy's ring has carried and lost.
    #[cfg(feature = "testing")]
    pub(crate) fn ring_stats(&self, strategy: usize) -> Option<crate::ring::RingStats> {
        match self.sinks.get(strategy)? {
            Sink::Ring(producer, _) => Some(*producer.stats()),
            Sink::Inline(_) | Sink::Gone => None,
        }
    }

    /// Whether the strategy has ended.
    pub(crate) fn is_gone(&self, strategy: StrategyId) -> bool {
        matches!(self.sinks.get(strategy.index()), Some(Sink::Gone) | None)
    }

    /// The streams that feed a strategy.
    pub(crate) fn streams_of(&self, strategy: StrategyId) -> Vec<StreamId> {
        let entries = self.entries.iter().flatten();
        let fed = entries.filter(|entry| entry.routes & bit(strategy) != 0);
        fed.map(|entry| entry.info.id).collect()
    }

    /// A stream that some strategy has opened.
    pub(crate) fn info(&self, stream: StreamId) -> Option<&Arc<StreamInfo>> {
        self.entries
            .get(stream.index())?
            .as_ref()
            .map(|entry| &entry.info)
    }

    /// A strategy joins a stream. Where others have it open, the newcomer is told its state here.
    pub(crate) fn join(
        &mut self,
        strategy: StrategyId,
        info: Arc<StreamInfo>,
        depth: bool,
    ) -> Effect {
        let index = info.id.index();
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        for sink in &mut self.sinks {
            if let Sink::Ring(producer, _) = sink {
                producer.reserve_streams(index + 1);
            }
        }
        let entry = self.entries[index].get_or_insert(Entry {
            info,
            routes: 0,
            depth: 0,
            state: None,
        });
        let (first, first_depth) = (entry.routes == 0, entry.depth == 0);
        entry.routes |= bit(strategy);
        if depth {
            entry.depth |= bit(strategy);
        }
        let state = entry.state;
        if first {
            return Effect::Open;
        }
        if let Some(state) = state {
            self.give(strategy.index(), &state);
        }
        if depth && first_depth {
            Effect::Depth(true)
        } else {
            Effect::None
        }
    }

    /// What closing a stream for one strategy means; [`Router::leave`] does it.
    pub(crate) fn leaving(&self, strategy: StrategyId, stream: StreamId) -> Effect {
        match self.entries.get(stream.index()).and_then(Option::as_ref) {
            Some(entry) if entry.routes & bit(strategy) == 0 => Effect::None,
            Some(entry) if entry.routes == bit(strategy) => Effect::Close,
            Some(entry) if entry.depth == bit(strategy) => Effect::Depth(false),
            _ => Effect::None,
        }
    }

    /// A strategy leaves a stream; where the connector has not said so to all, it is told here.
    pub(crate) fn leave(&mut self, strategy: StrategyId, stream: StreamId, now: Nanos) {
        let Some(entry) = self
            .entries
            .get_mut(stream.index())
            .and_then(Option::as_mut)
        else {
            return;
        };
        if entry.routes & bit(strategy) == 0 {
            return;
        }
        entry.routes &= !bit(strategy);
        entry.depth &= !bit(strategy);
        let closed = entry
            .state
            .is_some_and(|event| event.state() == StreamState::Closed);
        let last = entry.state;
        if entry.routes == 0 {
            // Who opens the stream again must not be told how it ended.
            entry.state = None;
        }
        if entry.routes == 0 && closed {
            return;
        }
        let stamp = last.map_or_else(
            || Stamp {
                stream,
                source: entry.info.key.channel.source(),
                epoch: 0,
                state: StreamState::Closed,
                price_scale: Scale::of(0),
                qty_scale: Scale::of(0),
                seq: 0,
                exch_ns: Nanos::ZERO,
                recv_ns: now,
            },
            |event| Stamp {
                state: StreamState::Closed,
                recv_ns: now,
                ..event.stamp()
            },
        );
        let event = Event::state_change(&stamp, Reason::Unsubscribed, None);
        if entry.routes == 0
            && let Body::State(change) = event.body()
        {
            entry.info.set_state(&change);
        }
        self.give(strategy.index(), &event);
    }

    /// Gives the events of one call to who wants them; `only` narrows that to one strategy.
    #[inline]
    pub(crate) fn route(&mut self, out: &Outbox, only: Option<StrategyId>) {
        let only = only.map_or(Mask::MAX, bit);
        if out.has_wide() {
            for item in out.iter() {
                match item {
                    Item::Hot(event) => self.hot(event, only),
                    Item::Wide(wide) => self.wide(wide, only),
                }
            }
            return;
        }
        for event in out.hot() {
            self.hot(event, only);
        }
    }

    #[inline]
    fn hot(&mut self, event: &Event, only: Mask) {
        let Some(Some(entry)) = self.entries.get_mut(event.stream().index()) else {
            return;
        };
        let mut to = entry.routes & only;
        match event.kind() {
            EventKind::Level => to &= entry.depth,
            EventKind::State => {
                entry.state = Some(*event);
                if let Body::State(change) = event.body() {
                    entry.info.set_state(&change);
                }
            }
            _ => {}
        }
        while to != 0 {
            let index = to.trailing_zeros() as usize;
            to &= to - 1;
            self.give(index, event);
        }
    }

    #[inline]
    fn give(&mut self, index: usize, event: &Event) {
        match self.sinks.get_mut(index) {
            Some(Sink::Ring(producer, _)) => producer.push(*event),
            Some(Sink::Inline(runner)) => runner.hot(event),
            Some(Sink::Gone) | None => {}
        }
    }

    fn wide(&mut self, wide: &Wide, only: Mask) {
        let Some(Some(entry)) = self.entries.get_mut(wide.stream.index()) else {
            return;
        };
        if let WideBody::Instrument(instrument) = &wide.body {
            entry.info.set_instrument(*instrument);
        }
        let is_account = matches!(
            wide.body,
            WideBody::Order(_)
                | WideBody::Fill(_)
                | WideBody::Balance(_)
                | WideBody::Position(_)
                | WideBody::Refusal(_)
        );
        let mut to = entry.routes & only;
        while to != 0 {
            let index = to.trailing_zeros() as usize;
            to &= to - 1;
            match self.sinks.get_mut(index) {
                Some(Sink::Ring(producer, _)) if is_account => producer.push_account(wide),
                Some(Sink::Ring(producer, _)) => producer.push_wide(wide),
                Some(Sink::Inline(runner)) => runner.wide(wide),
                Some(Sink::Gone) | None => {}
            }
        }
        // Behind the event itself: the room that was held is for it, too.
        if is_account && let Some(strategy) = self.credits.note(&wide.body) {
            self.keep_room(strategy);
        }
    }

    /// Tells one strategy, on its stream of the account's events.
    pub(crate) fn tell_account(&mut self, strategy: StrategyId, venue: usize, body: WideBody) {
        let Some(info) = self.user_stream(strategy, venue) else {
            return;
        };
        let wide = Wide {
            stream: info.id,
            source: info.key.channel.source(),
            epoch: info.epoch(),
            state: info.state(),
            seq: 0,
            exch_ns: Nanos::ZERO,
            recv_ns: self.now,
            body,
        };
        self.wide(&wide, bit(strategy));
    }

    /// Tells each strategy that has a stream of the venue what concerns all of it.
    #[cold]
    pub(crate) fn venue_news(&mut self, venue_index: usize, news: &VenueNews) {
        let mut told: Mask = 0;
        for index in 0..self.entries.len() {
            let Some(entry) = self.entries[index].as_ref() else {
                continue;
            };
            let to = entry.routes & !told;
            if entry.info.venue_index != venue_index || to == 0 {
                continue;
            }
            told |= to;
            let wide = Wide {
                stream: entry.info.id,
                source: entry.info.key.channel.source(),
                epoch: entry.info.epoch(),
                state: entry.info.state(),
                seq: 0,
                exch_ns: Nanos::ZERO,
                recv_ns: self.now,
                body: WideBody::Venue(*news),
            };
            self.wide(&wide, to);
        }
    }

    /// A turn begins: inline strategies see its time.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Nanos) {
        self.now = now;
        for sink in &mut self.sinks {
            if let Sink::Inline(runner) = sink {
                runner.context().set_now(now);
            }
        }
    }

    /// Delivers what waited for room in a ring, and fires the timers of inline strategies.
    #[inline]
    pub(crate) fn turn(&mut self, now: Nanos) {
        for sink in &mut self.sinks {
            match sink {
                Sink::Ring(producer, _) => {
                    if producer.is_dirty() {
                        producer.flush();
                    }
                }
                Sink::Inline(runner) => {
                    if runner.next_timer().is_some_and(|at| at <= now) {
                        runner.timers(now);
                    }
                }
                Sink::Gone => {}
            }
        }
    }

    /// When the next timer of an inline strategy is due.
    pub(crate) fn next_timer(&self) -> Option<Nanos> {
        self.sinks
            .iter()
            .filter_map(|sink| match sink {
                Sink::Inline(runner) => runner.next_timer(),
                Sink::Ring(..) | Sink::Gone => None,
            })
            .min()
    }
}
