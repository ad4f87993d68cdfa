//! Market data of a venue of topics: what is the same wherever streams are asked for by name on links that
//! are made and lost.
//!
//! A venue brings its [`Dialect`]: names, words, readers, and how its links live. [`Streams`] has the rest,
//! made of parts that know one thing each:
//!
//! | file | knows |
//! |---|---|
//! | `entry` | the course of one stream: phases, breaks, waits, silence |
//! | `table` | which stream is where, and its timers |
//! | `routes` | from topics to streams |
//! | `link` | the course of one link |
//! | `handover` | who carries a stream, and how it goes on where a link ends |
//! | `questions` | instrument data |
//! | `watch` | silent streams: probes, and what follows |
//! | `companions` | books held against best prices |
//! | `messages` | from a message to its streams, where each names its topic |
//! | `inputs` | what the engine tells of market data |
//! | `account` | the account's desk beside it: the connector as the engine sees it |

mod account;
mod companions;
mod dialect;
mod entry;
mod handover;
mod inputs;
mod link;
mod messages;
mod questions;
mod routes;
mod symbols;
mod table;
#[cfg(test)]
mod tests {
    pub(crate) mod transcript;
}
mod watch;

pub(crate) use account::{Trader, connector};
pub(crate) use dialect::{Dialect, Shows, Topical};
pub(crate) use entry::{Context, Entry, First, Kept, Phase, levels_of};
#[cfg(test)]
pub(crate) use entry::{RESYNC_HEALTHY, SNAPSHOT_TIMEOUT};
pub(crate) use handover::{LAG_KEPT_NS, LAG_NS, free_link};
pub(crate) use link::{Life, Link, LinkOutput};
pub(crate) use questions::{Ask, Bulk};
pub(crate) use routes::{Routes, Topic};
pub(crate) use symbols::Symbols;
pub(crate) use table::Table;
#[cfg(test)]
pub(crate) use tests::transcript;

use crate::channel::Channel;
use crate::connector::Counters;
use crate::error::Error;
use crate::event::{Reason, StreamId, StreamState};
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol};
use crate::network::FetchInstruments;
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::Upkeep;
use crate::wide::{Notice, WideBody};

use questions::Questions;
use watch::Probes;

/// A stream is subscribed to with default scales when its instrument is not known by then.
const INSTRUMENT_WAIT: Nanos = Nanos::from_secs(3);

/// What a connector's config says of its streams.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) market: Market,
    pub(crate) fetch: FetchInstruments,
    pub(crate) upkeep: Upkeep,
    pub(crate) link_topics_max: u16,
    pub(crate) governor: Governor,
    /// All chance comes from here.
    pub(crate) rng: fastrand::Rng,
}

/// The streams of one market of a venue, with their links and all that keeps them true.
#[derive(Debug)]
pub(crate) struct Streams<D: Dialect> {
    pub(crate) market: Market,
    /// What is the venue's.
    pub(crate) own: D,
    fetch: FetchInstruments,
    upkeep: Upkeep,
    pub(crate) rng: fastrand::Rng,
    pub(crate) table: Table<D::Kept>,
    pub(crate) routes: Routes,
    pub(crate) links: Vec<Link<D::Life>>,
    /// Links that were let go and whose end has not been told.
    pub(crate) closing: Vec<LinkId>,
    link_topics_max: u16,
    pub(crate) rest: Questions,
    probes: Probes,
    /// What companions would say.
    unseen: Outbox,
    pub(crate) symbols: Symbols,
    pub(crate) counters: Counters,
    /// The earliest timer of links and requests.
    pub(crate) next_timeout: Option<Nanos>,
}

impl<D: Dialect> Streams<D> {
    /// Nothing subscribed, nothing connected.
    pub(crate) fn new(own: D, setup: Setup) -> Streams<D> {
        Streams {
            market: setup.market,
            own,
            fetch: setup.fetch,
            upkeep: setup.upkeep,
            rng: setup.rng,
            table: Table::new(),
            routes: Routes::default(),
            links: Vec::new(),
            closing: Vec::new(),
            link_topics_max: setup.link_topics_max,
            rest: Questions::new(D::BULK, setup.governor),
            probes: Probes::default(),
            unseen: Outbox::new(),
            symbols: Symbols::default(),
            counters: Counters::default(),
            next_timeout: None,
        }
    }

    /// Finds the earliest timer of links and requests. Called where they change, so that reading it is
    /// cheap.
    pub(crate) fn rearm(&mut self) {
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let others = [
            self.rest.poll_timeout(),
            self.probes.poll_timeout(),
            self.own.poll_timeout(),
        ];
        let next = links.chain(others.into_iter().flatten()).min();
        self.next_timeout = next.filter(|at| *at < Nanos::MAX);
    }

    /// Whether each timer is known where it is looked for: for tests, after each input.
    #[cfg(test)]
    pub(crate) fn check_timers(&mut self) {
        let before = self.next_timeout;
        self.rearm();
        assert_eq!(before, self.next_timeout, "the timer was kept up to date");
        let entries = self.table.iter().map(|(_, entry)| entry.deadline());
        let first = entries.min().unwrap_or(Nanos::MAX);
        let next = self.table.timers.next();
        assert!(next <= first, "no timer of a stream is forgotten");
    }

    /// The instrument of a symbol, as well as it is known.
    pub(crate) fn instrument(&self, asked: &Symbol) -> Instrument {
        let known = self.symbols.find(asked).copied();
        let known = known.or_else(|| D::instrument_by_rule(self.market, asked).ok());
        known.unwrap_or_else(|| D::unknown(self.market, *asked))
    }

    /// Begins a stream: its instrument is asked for, where it is not known.
    fn subscribe(
        &mut self,
        now: Nanos,
        id: StreamId,
        asked: Symbol,
        channel: Channel,
        depth: bool,
        out: &mut Outbox,
    ) {
        if self.table.slot_of(id).is_some() {
            // The number is taken: the engine gives out each once.
            return;
        }
        let found = self.symbols.find(&asked).copied();
        let instrument = match found {
            Some(instrument) => Ok(instrument),
            None => D::instrument_by_rule(self.market, &asked),
        };
        let checked = instrument.and_then(|instrument| {
            let topic = self.own.topic(channel, &instrument.venue_symbol);
            topic.map(|_| instrument)
        });
        let instrument = match checked {
            Ok(instrument) => instrument,
            Err(error) => {
                let instrument = D::unknown(self.market, asked);
                let stream = Stream::new(id, channel, asked, instrument, depth);
                self.refuse(now, stream, &error, out);
                return;
            }
        };
        let stream = Stream::new(id, channel, asked, instrument, depth);
        let until = now + INSTRUMENT_WAIT;
        let entry = self.make_entry(stream, Phase::Resolving { until });
        let slot = self.table.insert(entry);
        let is_listed = D::is_listed(&instrument.venue_symbol);
        if found.is_some() || !is_listed || self.fetch == FetchInstruments::No {
            self.start(now, slot, instrument, out);
        } else {
            self.rest.need(instrument.venue_symbol);
        }
    }

    fn make_entry(&mut self, stream: Stream, phase: Phase) -> Box<Entry<D::Kept>> {
        let symbol = &stream.instrument.venue_symbol;
        let own = self
            .own
            .keep(self.market, stream.channel, symbol, &self.upkeep);
        self.table.make(stream, own, phase, &self.upkeep)
    }

    pub(crate) fn refuse(
        &mut self,
        now: Nanos,
        mut stream: Stream,
        error: &Error,
        out: &mut Outbox,
    ) {
        self.counters.refused += 1;
        let times = Times::ours(now);
        stream.publish_wide(WideBody::Notice(Notice::of(error)), times, out);
        stream.change(StreamState::Refused, Reason::Refused, None, times, out);
    }

    /// Asks the venue for a stream whose instrument is known, or as well known as it will be.
    fn start(&mut self, now: Nanos, slot: usize, instrument: Instrument, out: &mut Outbox) {
        let Some(mut entry) = self.table.take(slot) else {
            return;
        };
        let (channel, symbol) = (entry.stream.channel, instrument.venue_symbol);
        let topic = match self.own.topic(channel, &symbol) {
            Ok(topic) => topic,
            Err(error) => {
                self.table.forget(slot, entry.stream.id);
                return self.refuse(now, entry.stream, &error, out);
            }
        };
        entry.stream.instrument = instrument;
        entry.topic = topic;
        entry.phase = Phase::Waiting { until: None };
        let is_known = self.routes.find(topic.as_bytes()).is_some();
        let peers = match D::shows(&topic) {
            Shows::Best(symbol) => D::book_topics(symbol),
            Shows::Book(symbol) => D::best_topic(symbol).into_iter().collect(),
            Shows::Other => Vec::new(),
        };
        let route = self.routes.add(&topic, &peers, slot);
        entry.route = Some(route);
        if !is_known {
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
        let carriers = self.routes.carriers(route);
        if let (true, Some(leader)) = (carriers.is_pair(), carriers.first()) {
            D::Kept::begin_pair(&mut entry, leader);
        }
        for carrier in carriers.iter() {
            if self.link(carrier.link).is_some_and(Link::is_up) {
                entry.handle_link_up(carrier.link);
            }
        }
        let other = self.routes.entry(route, 0).filter(|_| is_known);
        let other = other.and_then(|other| self.table.get(other));
        let sink = entry.sink(&mut self.unseen, out);
        let mut context = Context::new(now, &mut self.rng, &mut self.counters, sink);
        match other {
            Some(other) => entry.join(other, &mut context),
            None => entry.publish_instrument(now, context.out),
        }
        let mut links = carriers.iter();
        if links.any(|carrier| carrier.acked) {
            entry.watch.start(now);
        }
        let hidden = entry.hidden;
        self.table.put(slot, entry);
        if !hidden {
            self.settle_companion(now, &symbol, None, out);
        }
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
    fn remove(&mut self, slot: usize) -> Option<Box<Entry<D::Kept>>> {
        let entry = self.table.take(slot)?;
        self.detach(slot, &entry.topic);
        self.table.forget(slot, entry.stream.id);
        Some(entry)
    }

    fn unsubscribe(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(slot) = self.table.slot_of(id) else {
            return;
        };
        let Some(mut entry) = self.leave(now, slot, out) else {
            return;
        };
        let (closed, reason) = (StreamState::Closed, Reason::Unsubscribed);
        let times = Times::ours(now);
        entry.stream.change(closed, reason, None, times, out);
    }

    /// Ends the entry of a strategy's stream, and its companion's where no other needs that.
    fn leave(&mut self, now: Nanos, slot: usize, out: &mut Outbox) -> Option<Box<Entry<D::Kept>>> {
        let symbol = self.table.get(slot)?.stream.instrument.venue_symbol;
        // A companion joins the best prices before their last stream goes, so that they need not be
        // asked for.
        self.settle_companion(now, &symbol, Some(slot), out);
        self.remove(slot)
    }

    /// The venue refused a topic for good.
    pub(crate) fn handle_refused(
        &mut self,
        now: Nanos,
        link: LinkId,
        topic: &str,
        error: &Error,
        out: &mut Outbox,
    ) {
        if self.is_well_without(now, link, topic, out) {
            return;
        }
        for slot in self.routes.entries(topic).collect::<Vec<_>>() {
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

    /// Asks for an entry's topic anew, where the governor admits it.
    fn renew(&mut self, now: Nanos, slot: usize, out: &mut Outbox) {
        let admitted = match D::RENEWAL_IS_ADMITTED {
            true => self.rest.governor.admit_renewal(now),
            false => Ok(()),
        };
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        if let Err(until) = admitted {
            entry.phase = Phase::Backoff { until };
            self.table.timers.arm(slot, until);
            return;
        }
        let (topic, Some(route)) = (entry.topic, entry.route) else {
            return;
        };
        for carrier in self.routes.carriers(route).iter() {
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
