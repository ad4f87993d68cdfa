//! Whether streams live and books are true: probes, streams asked for anew, links given up, and the
//! venue's own best bid and ask beside each book.
//!
//! Every stream of Binance is sent when something changes, and only then, so that a silence is always
//! probed by REST: a book or a best bid and ask by `/depth`, trades, tickers and candles by what the
//! last trade was. What a book is compared with is a strategy's stream where there is one, else one that
//! nobody sees.

use core::iter;

use tickwire_orderbook::{Level, Price, Scale};

use crate::agreement::{Agreement, Suspect, same_prices};
use crate::channel::{BookParams, Channel};
use crate::error::{Error, ErrorKind};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, Market};
use crate::liveness::{Action, Expectation, Liveness, Probe, Watch};
use crate::outbox::Outbox;
use crate::scan::ScanError;
use crate::stream::{Levels, Stream, Times};
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::upkeep::TopCheck;
use crate::wide::{Notice, WideBody};

use super::parse::Shape;
use super::rest::{Ended, aggregated_trades_call, day_call, depth_call};
use super::route::present;
use super::tape::Reader;
use super::{Bbo, Binance, Kind, Slot, Stage, parse, tape};

/// Levels a side of a probe: the fewest there are.
const PROBE_LEVELS: u16 = 5;

/// So many streams of one link that are mute at once say that the link is: asking for each anew would
/// take longer than making the link anew.
const MUTE_STREAMS_MAX: usize = 8;

/// What the venue tells of a symbol's best prices.
#[derive(Clone, Copy, Debug)]
struct Best {
    top: (Option<Level>, Option<Level>),
    scale: Scale,
}

/// What a probe tells of a stream, or what the stream itself has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Update id, or id of the last trade.
    id: u64,
    /// Best bid and ask.
    top: Option<(Option<Level>, Option<Level>)>,
    /// Price of the last trade.
    price: Option<Price>,
}

/// A book that is pushed so often within the time that a difference may last has had its chances to
/// agree.
const PUSHES_MIN: i64 = 50;

/// The names of the book streams of a symbol.
const BOOKS: [&str; 3] = ["depth@100ms", "depth@500ms", "depth"];

/// How long a book may differ: those that are pushed seldom need longer to agree once.
pub(super) fn lasting_ns(most: Nanos, channel: Channel) -> Nanos {
    let interval_ms = match channel {
        Channel::Book(BookParams { interval_ms, .. }) => interval_ms.unwrap_or(100),
        _ => 0,
    };
    most.max(Nanos::from_millis(i64::from(interval_ms) * PUSHES_MIN))
}

impl Slot {
    /// What the stream knows; after a silence since it was asked for, what the last probe told.
    fn known(&self) -> Option<Told> {
        let known = match &self.kind {
            Kind::Book(sync) => sync.last().map(|(id, top)| Told {
                id,
                top: Some((top.bid, top.ask)),
                price: None,
            }),
            Kind::Bbo(bbo) => bbo.last.map(|(bid, ask)| Told {
                id: bbo.seq,
                top: Some((present(bid), present(ask))),
                price: None,
            }),
            Kind::Trades | Kind::AggTrades => self.heard.then_some(Told {
                id: self.last_id,
                ..Told::default()
            }),
            Kind::Ticker | Kind::Kline(_) => self.last_price.map(|price| Told {
                price: Some(price),
                ..Told::default()
            }),
        };
        known.or(self.told)
    }

    /// Whether the venue has what did not come.
    fn is_behind(&self, market: Market, told: &Told, known: &Told) -> bool {
        match self.kind {
            // The ids of a spot symbol are its own and without holes.
            Kind::Book(_) if market == Market::Spot => told.id > known.id,
            // Ids of futures are shared between symbols, and the best bid and ask are not told when
            // the rest of the book changes: a higher id alone is no news.
            Kind::Book(_) | Kind::Bbo(_) => told.id > known.id && told.top != known.top,
            Kind::Trades | Kind::AggTrades => told.id > known.id,
            Kind::Ticker | Kind::Kline(_) => told.price != known.price,
        }
    }

    /// What asks the venue for its side: the call and its weight.
    pub(super) fn probe_call(&self, rules: &super::urls::MarketRules) -> (String, u32) {
        let name = &self.stream.instrument.venue_symbol;
        match self.kind {
            Kind::Book(_) | Kind::Bbo(_) => (
                depth_call(name, PROBE_LEVELS),
                rules.snapshot_weight(PROBE_LEVELS),
            ),
            Kind::AggTrades => (aggregated_trades_call(name), rules.aggregated_trades_weight),
            Kind::Trades | Kind::Ticker | Kind::Kline(_) => (day_call(name), rules.day_weight),
        }
    }

    /// Reads the answer.
    fn read_probe(
        &self,
        body: &[u8],
        shape: Shape,
        levels: &mut Levels,
        reader: &mut Reader,
    ) -> Result<Told, ScanError> {
        match self.kind {
            Kind::Book(_) | Kind::Bbo(_) => {
                let snapshot = parse::snapshot(body, shape, levels)?;
                Ok(Told {
                    id: snapshot.seq,
                    top: Some((levels.bids.first().copied(), levels.asks.first().copied())),
                    price: None,
                })
            }
            Kind::AggTrades => {
                let id = reader.read(body, tape::last_aggregated_trade)?;
                Ok(Told {
                    id,
                    ..Told::default()
                })
            }
            Kind::Trades | Kind::Ticker | Kind::Kline(_) => {
                let (id, price) = reader.read(body, tape::day)?;
                Ok(Told {
                    id,
                    price: Some(price),
                    top: None,
                })
            }
        }
    }

    /// A best bid and ask is silent while a book moves away from it: the venue is asked.
    fn suspect(&mut self) -> Action {
        if let Kind::Bbo(bbo) = &mut self.kind {
            bbo.suspected = true;
        }
        self.watch.handle_suspicion()
    }

    /// Whether it was suspected, and has not been heard since.
    fn take_suspicion(&mut self) -> bool {
        match &mut self.kind {
            Kind::Bbo(bbo) => core::mem::take(&mut bbo.suspected),
            _ => false,
        }
    }

    /// The stream is heard after a silence.
    #[cold]
    pub(super) fn end_silence(&self, now: Nanos, out: &mut Outbox) {
        if self.stream.is_live() {
            self.stream.remark(Reason::Heard, Times::ours(now), out);
        }
    }
}

impl Binance {
    /// Something of the slot's timers has changed.
    pub(super) fn rearm(&mut self, index: usize) {
        let slot = self.slots.get(index).and_then(Option::as_ref);
        if let Some(at) = slot.map(Slot::timer) {
            self.timers.arm(index, at);
        }
    }

    /// Runs what is due of each stream.
    pub(super) fn handle_slot_timers(&mut self, now: Nanos, out: &mut Outbox) {
        let mut fired = core::mem::take(&mut self.fired);
        fired.extend(iter::from_fn(|| self.timers.pop(now)));
        for index in fired.drain(..) {
            self.handle_slot_timer(now, index, out);
            self.rearm(index);
        }
        self.fired = fired;
        self.tell_news(now, out);
        self.pump(now, out);
    }

    fn handle_slot_timer(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Binance {
            slots, counters, ..
        } = self;
        let Some(Some(slot)) = slots.get_mut(index) else {
            return;
        };
        if matches!(slot.stage, Stage::Resolving { deadline, .. } if deadline <= now) {
            let text = "exchange info did not come in time, taking default scales";
            let error = Error::ours(ErrorKind::Timeout, text);
            self.activate_with_defaults(index, &error, now, out);
            return;
        }
        if let Slot {
            stream,
            kind: Kind::Book(sync),
            ..
        } = slot
        {
            sync.handle_timeout(stream, now, counters, out);
        }
        if slot.early.deadline() <= now {
            slot.lossy = true;
            slot.flush_trades(now, out);
        }
        let was = slot.watch.liveness();
        match slot.watch.handle_timeout(now) {
            Action::None => {}
            Action::Probe => self.probe(now, index, was, out),
            Action::Renew => self.renew(now, index, out),
            Action::Reconnect => self.give_up(now, index, out),
        }
        self.settle_difference(now, index, out);
        self.schedule_fetch(now, index, out);
    }

    /// A stream has been silent for long: asks the venue, after all who need a book.
    fn probe(&mut self, now: Nanos, index: usize, was: Liveness, out: &mut Outbox) {
        self.counters.probes += 1;
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if was == Liveness::Live {
            let times = Times::ours(now);
            slot.stream.remark(Reason::Quiet, times, out);
            if !slot.heard {
                // The venue acks unknown stream names too. (common experience, undocumented)
                let text = format!("nothing came on {} since it was acked", slot.topic);
                let error = Error::ours(ErrorKind::Timeout, text);
                let notice = WideBody::Notice(Notice::of(&error));
                slot.stream.publish_wide(notice, times, out);
            }
        }
        self.rest.probes.push_back((index, slot.serial));
    }

    /// A probe was answered, or was not.
    pub(super) fn end_probe(
        &mut self,
        now: Nanos,
        index: usize,
        serial: u32,
        ended: Ended<'_>,
        out: &mut Outbox,
    ) {
        let market = self.config.market;
        let Binance {
            slots,
            levels,
            reader,
            ..
        } = self;
        let slot = slots.get_mut(index).and_then(Option::as_mut);
        let Some(slot) = slot.filter(|slot| slot.serial == serial) else {
            return;
        };
        let told = match ended {
            Ended::Body(body) => {
                let shape = slot.shape(market);
                slot.read_probe(body, shape, levels, reader).ok()
            }
            Ended::Refused(error) if error.kind == ErrorKind::BadSymbol => {
                return self.refuse(index, &error, now, out);
            }
            _ => None,
        };
        let found = match (told, slot.known()) {
            (None, _) => Probe::Failed,
            (Some(told), Some(known)) if slot.is_behind(market, &told, &known) => Probe::Ahead,
            (Some(_), _) => Probe::Same,
        };
        if told.is_some() {
            slot.told = told;
        }
        slot.watch.handle_probe(now, found);
        let was_suspected = slot.take_suspicion();
        self.rearm(index);
        if was_suspected && found == Probe::Same {
            self.blame_books(now, index, out);
        }
    }

    /// The venue has news of a stream that did not come: nothing of it is believed until it is heard
    /// again, and it is asked for anew, it alone.
    fn renew(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        self.counters.mute += 1;
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let times = Times::ours(now);
        slot.stream
            .change(StreamState::Stale, Reason::Mute, None, times, out);
        // What it has missed will not come any more: only what the venue has beyond this counts.
        let told = slot.told;
        slot.forget();
        slot.told = told;
        let (serial, link) = (slot.serial, slot.carriers.first());
        if let Some(link) = link
            && self.mute_streams(link) >= MUTE_STREAMS_MAX
        {
            self.reconnect(link, "its streams are mute");
            return;
        }
        self.rest.renewals.push_back((index, serial));
    }

    fn mute_streams(&self, link: LinkId) -> usize {
        let slots = self.slots.iter().flatten();
        let of_link = slots.filter(|slot| slot.carriers.first() == Some(link));
        of_link
            .filter(|slot| slot.watch.liveness() == Liveness::Mute)
            .count()
    }

    /// Asks for streams anew, as far as the limits allow.
    pub(super) fn pump_renewals(&mut self, now: Nanos) {
        while let Some(&(index, serial)) = self.rest.renewals.front() {
            let slot = self.slots.get(index).and_then(Option::as_ref);
            // It has gone, was heard, or its link is made anew.
            let slot = slot
                .filter(|slot| slot.serial == serial && slot.watch.liveness() == Liveness::Mute);
            let Some(slot) = slot else {
                self.rest.renewals.pop_front();
                continue;
            };
            if let Err(at) = self.rest.governor.admit_renewal(now) {
                self.rest.pump_by(at);
                return;
            }
            self.rest.renewals.pop_front();
            for link in &mut self.links {
                if slot.carriers.carries(link.id) {
                    link.subscriptions.renew(&slot.topic);
                }
            }
        }
    }

    /// A stream stayed mute though it was asked for anew.
    fn give_up(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        slot.stream.remark(Reason::Dead, Times::ours(now), out);
        let Some(link) = slot.carriers.first() else {
            return;
        };
        let mut slots = self.slots.iter().flatten();
        let others_live = slots.any(|slot| {
            let of_link = slot.carriers.carries(link);
            of_link && slot.watch.liveness() <= Liveness::Quiet
        });
        if others_live {
            self.replace(now, link, "a stream stays mute");
        } else {
            self.reconnect(link, "its streams stay mute");
        }
    }

    /// A book has moved: compares it with what the venue tells of its best prices.
    #[inline]
    pub(super) fn compare_book(&mut self, now: Nanos, exch_ns: Nanos, index: usize) {
        let witness = self.slots.get(index).and_then(Option::as_ref);
        let bbo = witness.and_then(|slot| self.best_of(slot.witness?));
        self.compare(index, bbo, |agreement, agrees| {
            agreement.note_book_time(now, exch_ns);
            agreement.look_at_book(now, agrees);
        });
    }

    /// The venue has told its best prices: compares the books of the symbol.
    #[inline]
    pub(super) fn compare_bbo(&mut self, now: Nanos, index: usize) {
        let Some(best) = self.best_of(index) else {
            return;
        };
        let mut next = 0;
        while let Some(Some(Slot {
            kind: Kind::Bbo(bbo),
            ..
        })) = self.slots.get(index)
            && let Some(&book) = bbo.books.get(next)
        {
            next += 1;
            let exch_ns = bbo.exch_ns;
            self.compare(book, Some(best), |agreement, agrees| {
                agreement.note_bbo_time(now, exch_ns);
                agreement.look_at_bbo(now, agrees);
            });
        }
    }

    /// What a best bid and ask stream tells, where it is to be believed.
    #[inline]
    fn best_of(&self, index: usize) -> Option<Best> {
        let slot = self.slots.get(index)?.as_ref()?;
        match &slot.kind {
            Kind::Bbo(Bbo {
                last: Some((bid, ask)),
                ..
            }) if slot.stream.is_live() => Some(Best {
                top: (present(*bid), present(*ask)),
                scale: slot.stream.price_scale(),
            }),
            _ => None,
        }
    }

    #[inline]
    fn compare(
        &mut self,
        book: usize,
        best: Option<Best>,
        look: impl FnOnce(&mut Agreement, bool),
    ) {
        let Some(Some(slot)) = self.slots.get_mut(book) else {
            return;
        };
        let (Kind::Book(sync), Some(best), true) = (&slot.kind, best, slot.stream.is_live()) else {
            slot.agreement.reset();
            return;
        };
        let scale = slot.stream.price_scale();
        let agrees = same_prices(&sync.top(), scale, best.top, best.scale);
        look(&mut slot.agreement, agrees);
        if !agrees {
            self.timers.arm(book, slot.agreement.deadline());
        }
    }

    /// A book that has differed from the venue's own best prices for too long.
    fn settle_difference(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let Some(suspect) = slot.agreement.handle_timeout(now) else {
            return;
        };
        let silent_ns = now.since(slot.watch.heard_at());
        let (lasting_ns, witness) = (slot.agreement.lasting_ns(), slot.witness);
        match suspect {
            // The venue's best prices moved all the while, and of the book nothing came.
            Suspect::Book if silent_ns >= lasting_ns => {
                let action = slot.watch.handle_proof(now);
                self.counters.disagreements += 1;
                if action == Action::Renew {
                    self.renew(now, index, out);
                }
            }
            Suspect::Book => self.blame(now, index, out),
            // Of the two the venue's was silent: whether it has news, the venue must say.
            Suspect::Bbo => {
                let witness = witness.and_then(|witness| Some((witness, self.slot_mut(witness)?)));
                if let Some((witness, bbo)) = witness {
                    let was = bbo.watch.liveness();
                    if bbo.suspect() == Action::Probe {
                        self.probe(now, witness, was, out);
                    }
                }
            }
        }
    }

    /// The venue has confirmed a best bid and ask that a book has not shown for long: the book is
    /// wrong.
    fn blame_books(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Some(best) = self.best_of(index) else {
            return;
        };
        let books = match self.slots.get(index).and_then(Option::as_ref) {
            Some(Slot {
                kind: Kind::Bbo(bbo),
                ..
            }) => bbo.books.clone(),
            _ => return,
        };
        for book in books {
            let slot = self.slots.get(book).and_then(Option::as_ref);
            let differs = slot.is_some_and(|slot| match &slot.kind {
                Kind::Book(sync) => {
                    let scale = slot.stream.price_scale();
                    !same_prices(&sync.top(), scale, best.top, best.scale)
                }
                _ => false,
            });
            if differs {
                self.blame(now, book, out);
            }
        }
    }

    fn blame(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
        let Binance {
            slots, counters, ..
        } = self;
        let slot = slots.get_mut(index).and_then(Option::as_mut);
        if let Some(Slot {
            stream,
            kind: Kind::Book(sync),
            ..
        }) = slot
            && stream.is_live()
        {
            counters.disagreements += 1;
            let times = Times::ours(now);
            sync.invalidate(stream, Reason::Disagrees, times, counters, out);
        }
    }

    /// The streams of a symbol have changed: sees to it that each book has its witness, and that no
    /// hidden one is left without need.
    pub(super) fn settle_witness(&mut self, now: Nanos, of: &Instrument, out: &mut Outbox) {
        if self.config.upkeep.top_check == TopCheck::Never {
            return;
        }
        let symbol = of.venue_symbol.to_ascii_lowercase();
        let topic = format!("{symbol}@bookTicker");
        let names = BOOKS.map(|name| format!("{symbol}@{name}"));
        let books: Vec<usize> = names.iter().flat_map(|name| self.chain(name)).collect();
        let (hidden, seen): (Vec<usize>, Vec<usize>) =
            self.chain(&topic).partition(|&index| self.is_hidden(index));
        let mut witness = seen.first().or(hidden.first()).copied();
        let needed = !books.is_empty()
            && seen.is_empty()
            && self.config.upkeep.top_check == TopCheck::Always;
        if needed && hidden.is_empty() {
            witness = Some(self.add_hidden(now, *of, out));
        } else if !needed {
            for index in hidden {
                self.remove(index);
            }
            witness = seen.first().copied();
        }
        for &index in seen.iter().chain(witness.iter()) {
            if let Some(Kind::Bbo(bbo)) = self.slot_mut(index).map(|slot| &mut slot.kind) {
                bbo.books.clear();
                if witness == Some(index) {
                    bbo.books.extend_from_slice(&books);
                }
            }
        }
        for index in books {
            if let Some(slot) = self.slot_mut(index) {
                slot.witness = witness;
                slot.agreement.reset();
            }
        }
    }

    /// The streams of a topic.
    pub(super) fn chain(&self, topic: &str) -> impl Iterator<Item = usize> {
        let mut next = self.topics.find(topic.as_bytes());
        core::iter::from_fn(move || {
            let index = next?;
            next = self.slots.get(index).and_then(|slot| slot.as_ref()?.next);
            Some(index)
        })
    }

    fn is_hidden(&self, index: usize) -> bool {
        let slot = self.slots.get(index).and_then(Option::as_ref);
        slot.is_some_and(|slot| slot.stream.hidden)
    }

    fn add_hidden(&mut self, now: Nanos, of: Instrument, out: &mut Outbox) -> usize {
        // It says nothing, so that its number is never seen.
        let mut stream = Stream::new(StreamId::MAX, Channel::Bbo, of.venue_symbol, of, false);
        stream.hidden = true;
        let index = self.insert(stream);
        if let Some(slot) = self.slot_mut(index) {
            // The books tell when it is silent without need.
            slot.watch = Watch::new(Expectation::probed(Nanos::MAX));
        }
        self.activate(index, of, now, out);
        index
    }

    /// The venue has refused a hidden stream.
    pub(super) fn drop_witness(&mut self, index: usize) {
        self.remove(index);
        for slot in self.slots.iter_mut().flatten() {
            if slot.witness == Some(index) {
                slot.witness = None;
                slot.agreement.reset();
            }
        }
    }

    /// Takes a slot out for good.
    pub(super) fn remove(&mut self, index: usize) -> Option<Slot> {
        self.detach(index);
        let slot = self.slots.get_mut(index).and_then(Option::take)?;
        self.rest.waiting.retain(|one| *one != (index, slot.serial));
        self.timers.disarm(index);
        self.free.push(index);
        Some(slot)
    }

    /// Whether a change of this stream may change which stream is a witness of what.
    pub(super) fn is_about_tops(slot: &Slot) -> bool {
        let about = matches!(slot.kind, Kind::Book(_) | Kind::Bbo(_));
        about && slot.stage == Stage::Active && !slot.stream.hidden
    }
}
