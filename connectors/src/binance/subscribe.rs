//! Topics of channels, subscribe requests and their answers.

use core::fmt::Write as _;

use crate::agreement::Agreement;
use crate::carriers::Carriers;
use crate::channel::{ALL_SYMBOLS, BookParams, Channel, Interval};
use crate::error::{Error, ErrorKind, Next};
use crate::event::{Reason, StreamId, StreamState};
use crate::in_order::InOrder;
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::scan::Templates;
use crate::stream::{Stream, Times};
use crate::subscriptions::Op;
use crate::time::Nanos;
use crate::trading::desk::Seat;
use crate::transmit::LinkId;
use crate::wide::{Notice, WideBody};

use super::sync::{BookRules, BookSync};
use super::tape::Answer;
use super::urls::Route;
use super::{Bbo, Binance, Kind, Slot, Stage, symbols, watch};
use crate::network::FetchInstruments;

/// Exchange info is waited for this long; then the venue's defaults must do.
const RESOLVE_NS: Nanos = Nanos::from_secs(3);

/// The topic of a channel, and the route that serves it.
pub(super) fn topic(
    market: Market,
    channel: Channel,
    venue_symbol: &str,
) -> Result<(String, Route), Error> {
    let futures = market != Market::Spot;
    let refuse = |what: &str| {
        let text = format!("binance {market} has no {channel}: {what}");
        Err(Error::ours(ErrorKind::NotSupported, text))
    };
    let (name, route) = match channel {
        Channel::Bbo => ("bookTicker".to_owned(), Route::Public),
        Channel::Book(BookParams {
            levels: Some(_), ..
        }) => {
            return refuse("leave out the number of levels, the book is kept whole");
        }
        Channel::Book(BookParams { interval_ms, .. }) => {
            let name = match (futures, interval_ms) {
                (_, None | Some(100)) => "depth@100ms",
                (false, Some(1000)) | (true, Some(250)) => "depth",
                (true, Some(500)) => "depth@500ms",
                (false, _) => return refuse("the interval is 100 or 1000 ms"),
                (true, _) => return refuse("the interval is 100, 250 or 500 ms"),
            };
            (name.to_owned(), Route::Public)
        }
        // On futures undocumented, and served all the same (fixtures of 2024-08).
        Channel::Trades => ("trade".to_owned(), Route::Market),
        Channel::AggTrades => ("aggTrade".to_owned(), Route::Market),
        Channel::Ticker => ("ticker".to_owned(), Route::Market),
        Channel::Kline(Interval::Sec1) if futures => return refuse("the shortest candle is 1m"),
        Channel::Kline(interval) => (format!("kline_{}", interval.as_str()), Route::Market),
        Channel::User => return refuse("give the connector credentials (BinanceConfig::trading)"),
    };
    Ok((
        format!("{}@{name}", venue_symbol.to_ascii_lowercase()),
        route,
    ))
}

/// Writes a subscribe or unsubscribe request. Topics hold no character that JSON escapes.
pub(super) fn write_request<'a>(
    op: Op,
    topics: impl Iterator<Item = &'a str>,
    id: u32,
    body: &mut Vec<u8>,
) {
    let mut text = String::with_capacity(4_096);
    let method = match op {
        Op::Subscribe => "SUBSCRIBE",
        Op::Unsubscribe => "UNSUBSCRIBE",
    };
    // Writing to a String can't fail.
    let _ = write!(text, "{{\"method\":\"{method}\",\"params\":[");
    for (index, topic) in topics.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{topic}\"");
    }
    let _ = write!(text, "],\"id\":{id}}}");
    body.extend_from_slice(text.as_bytes());
}

impl Binance {
    pub(super) fn subscribe(
        &mut self,
        now: Nanos,
        id: StreamId,
        asked: Symbol,
        channel: Channel,
        depth: bool,
        out: &mut Outbox,
    ) {
        if self.ids.contains_key(&id) || self.is_of_desk(id) {
            return;
        }
        if channel == Channel::User && self.desk.is_some() {
            self.subscribe_user(now, id, asked, out);
            return;
        }
        let by_rule = symbols::by_rule(self.config.market, &asked);
        let unknown = || {
            Instrument::with_defaults(
                InstrumentKey {
                    venue: Venue::Binance,
                    market: self.config.market,
                    symbol: asked,
                },
                asked,
                self.rules.price_scale,
                self.rules.qty_scale,
            )
        };
        let stream = Stream::new(id, channel, asked, by_rule.unwrap_or_else(unknown), depth);
        let index = self.insert(stream);
        let Some(by_rule) = by_rule else {
            let text = format!(
                "{asked:?} is not a symbol of binance {}",
                self.config.market
            );
            self.refuse(index, &Error::ours(ErrorKind::BadSymbol, text), now, out);
            return;
        };
        if let Err(error) = topic(self.config.market, channel, &by_rule.venue_symbol) {
            self.refuse(index, &error, now, out);
            return;
        }
        let known = self
            .catalog
            .find(&asked)
            .or_else(|| self.catalog.find(&by_rule.venue_symbol));
        match (known.copied(), self.config.instruments) {
            (Some(instrument), _) => self.activate(index, instrument, now, out),
            (None, FetchInstruments::No) => self.activate(index, by_rule, now, out),
            (None, FetchInstruments::Yes) => {
                let deadline = now + RESOLVE_NS;
                if let Some(slot) = self.slot_mut(index) {
                    slot.stage = Stage::Resolving {
                        deadline,
                        asked: false,
                        alone: false,
                    };
                }
                self.resolve_due = true;
                self.timers.arm(index, deadline);
            }
        }
    }

    /// A stream of the account's own events.
    fn subscribe_user(&mut self, now: Nanos, id: StreamId, asked: Symbol, out: &mut Outbox) {
        let market = self.config.market;
        let is_all = asked.as_str() == ALL_SYMBOLS;
        let known = self.catalog.find(&asked).copied();
        let by_rule = known.or_else(|| symbols::by_rule(market, &asked));
        let instrument = by_rule.unwrap_or_else(|| {
            let key = InstrumentKey {
                venue: Venue::Binance,
                market,
                symbol: asked,
            };
            Instrument::with_defaults(key, asked, self.rules.price_scale, self.rules.qty_scale)
        });
        let only = (!is_all).then_some(instrument.key.symbol);
        let stream = Stream::new(id, Channel::User, asked, instrument, false);
        let links: Vec<LinkId> = self.links.iter().map(|link| link.id).collect();
        let free = |taken: &[LinkId]| {
            let mut ids = (0..=u16::MAX).map(LinkId);
            let free = ids.find(|id| !links.contains(id) && !taken.contains(id));
            free.unwrap_or(LinkId(u16::MAX))
        };
        self.with_desk(|desk, _, _| desk.subscribe(now, stream, only, free, out));
    }

    pub(super) fn insert(&mut self, stream: Stream) -> usize {
        let (id, hidden) = (stream.id, stream.hidden);
        let expectation = self.config.upkeep.expectations.of(stream.channel);
        let most = self.config.upkeep.top_differs_max_ns;
        let lasting_ns = watch::lasting_ns(most, stream.channel);
        let kind = match stream.channel {
            Channel::Book(_) => Kind::Book(Box::new(BookSync::new(BookRules {
                sequence: self.rules.sequence,
                limits: self.config.book_limits,
                snapshot_levels: self.config.snapshot_levels,
            }))),
            Channel::Bbo => Kind::Bbo(Bbo::default()),
            Channel::Trades => Kind::Trades,
            Channel::AggTrades => Kind::AggTrades,
            Channel::Ticker => Kind::Ticker,
            Channel::Kline(interval) => Kind::Kline(interval),
            // Refused before it comes here, by its topic.
            Channel::User => Kind::Trades,
        };
        self.next_serial = self.next_serial.wrapping_add(1);
        let templates = match stream.channel {
            Channel::Bbo | Channel::Trades | Channel::AggTrades => Templates::new(),
            _ => Templates::default(),
        };
        let slot = Slot {
            stream,
            serial: self.next_serial,
            topic: Box::default(),
            carriers: Carriers::new(),
            catching_up: false,
            early: InOrder::default(),
            lossy: false,
            known_run: 0,
            news_at: Nanos::ZERO,
            last_id: 0,
            templates,
            next: None,
            stage: Stage::Active,
            heard: false,
            explained: false,
            watch: Watch::new(expectation),
            agreement: Agreement::new(lasting_ns),
            witness: None,
            told: None,
            last_price: None,
            last_ns: Nanos::ZERO,
            kind,
        };
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
            self.fired.reserve(self.slots.len());
        }
        self.slots[index] = Some(slot);
        if !hidden {
            self.ids.insert(id, index);
        }
        index
    }

    /// The stream's instrument is known: it can be asked for.
    pub(super) fn activate(
        &mut self,
        index: usize,
        instrument: Instrument,
        now: Nanos,
        out: &mut Outbox,
    ) {
        let market = self.config.market;
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        slot.stage = Stage::Active;
        slot.stream.instrument = instrument;
        let times = Times::ours(now);
        let (name, route) = match topic(market, slot.stream.channel, &instrument.venue_symbol) {
            Ok(topic) => topic,
            Err(error) => {
                self.refuse(index, &error, now, out);
                return;
            }
        };
        slot.stream
            .publish_wide(WideBody::Instrument(instrument), times, out);
        slot.topic = name.as_str().into();
        self.carry(index, route, &name);
        let previous_head = self.topics.insert(&name, index);
        if let Some(slot) = self.slot_mut(index) {
            slot.next = previous_head;
            if slot.carriers.iter().any(|carrier| carrier.acked) {
                slot.watch.start(now);
            }
            let about_tops = Binance::is_about_tops(slot);
            self.rearm(index);
            if about_tops {
                self.settle_witness(now, &instrument, out);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, now: Nanos, id: StreamId, out: &mut Outbox) {
        let Some(index) = self.ids.remove(&id) else {
            return;
        };
        let Some(mut slot) = self.remove(index) else {
            return;
        };
        // Nothing follows a refusal.
        if slot.stage != Stage::Ended {
            let times = Times::ours(now);
            slot.stream
                .change(StreamState::Closed, Reason::Unsubscribed, None, times, out);
        }
        if Binance::is_about_tops(&slot) {
            self.settle_witness(now, &slot.stream.instrument, out);
        }
    }

    /// Refuses a stream for good, in words and by its state.
    pub(super) fn refuse(&mut self, index: usize, error: &Error, now: Nanos, out: &mut Outbox) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        if slot.stream.hidden {
            // The books are as good as before, without a witness.
            self.drop_witness(index);
            return;
        }
        let about_tops = Binance::is_about_tops(slot);
        self.counters.refused += 1;
        self.detach(index);
        let times = Times::ours(now);
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        slot.stage = Stage::Ended;
        slot.witness = None;
        slot.watch.stop();
        if let Kind::Book(sync) = &mut slot.kind {
            sync.reset();
        }
        slot.stream
            .publish_wide(WideBody::Notice(Notice::of(error)), times, out);
        slot.stream
            .change(StreamState::Refused, Reason::Refused, None, times, out);
        let instrument = slot.stream.instrument;
        if about_tops {
            self.settle_witness(now, &instrument, out);
        }
    }

    /// Takes a stream off its topic, and the topic off its link where no other stream wants it.
    pub(super) fn detach(&mut self, index: usize) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let carriers = core::mem::take(&mut slot.carriers);
        if carriers.is_empty() {
            return;
        }
        let (topic, next) = (core::mem::take(&mut slot.topic), slot.next.take());
        if self.topics.find(topic.as_bytes()) == Some(index) {
            self.topics.replace(&topic, index, next);
        } else {
            for other in self.slots.iter_mut().flatten() {
                if other.next == Some(index) {
                    other.next = next;
                }
            }
        }
        let is_left = self.topics.find(topic.as_bytes()).is_some();
        for carrier in carriers.iter().filter(|_| !is_left) {
            if let Some(link) = self.link_mut(carrier.link) {
                link.subscriptions.unwant(&topic);
            }
            self.close_if_idle(carrier.link);
        }
    }

    /// An ack or an error. One without an id belongs to the request that has waited longest.
    pub(super) fn handle_answer(
        &mut self,
        now: Nanos,
        id: LinkId,
        answer: Answer,
        out: &mut Outbox,
    ) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        let oldest = link.subscriptions.oldest().map(|request| request.id);
        let (request, error) = match answer {
            Answer::Ack { id } => (id.or(oldest), None),
            Answer::Error { id, code, text } => (id.or(oldest), Some((code, text))),
        };
        let Some(request) = request else { return };
        match error {
            None => {
                let acked: Vec<Box<str>> = link
                    .subscriptions
                    .topics_of(request)
                    .map(Into::into)
                    .collect();
                link.subscriptions.handle_ack(request);
                self.note_acks(now, id, &acked);
            }
            Some((code, text)) => {
                let mut refused: Vec<Box<str>> = Vec::new();
                let note = |topic: &str| refused.push(topic.into());
                link.subscriptions.handle_refusal(request, None, note);
                let error = Error::venue(ErrorKind::BadRequest, Next::Never, code, text);
                for topic in refused {
                    while let Some(index) = self.topics.find(topic.as_bytes()) {
                        self.refuse(index, &error, now, out);
                    }
                }
            }
        }
    }
}
