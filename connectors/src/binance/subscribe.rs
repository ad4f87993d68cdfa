//! Topics of channels, subscribe requests and their answers, and which link serves what.

use core::fmt::Write as _;

use crate::agreement::Agreement;
use crate::channel::{BookParams, Channel, Interval};
use crate::error::{Error, ErrorKind, Next};
use crate::event::{Reason, StreamId, StreamState};
use crate::instrument::{Instrument, InstrumentKey, Market, Symbol, Venue};
use crate::liveness::Watch;
use crate::outbox::Outbox;
use crate::stream::{Stream, Times};
use crate::subscriptions::{Op, Overdue, Rules, Subscriptions};
use crate::time::Nanos;
use crate::transmit::{LinkId, LinkSpec, Transmit};
use crate::wide::{Notice, WideBody};

use super::sync::{BookRules, BookSync};
use super::tape::Answer;
use super::urls::{ATTEMPT_LIMIT, LINK_TOPICS_MAX, Route};
use super::{Bbo, Binance, Kind, Slot, Stage, symbols, witness};
use crate::network::FetchInstruments;

/// How requests are made. `topics_max` and `bytes_max` keep a request below 4 KiB: longer ones have
/// been answered with "Payload too long" (seen in practice, not documented).
const RULES: Rules = Rules {
    topics_max: LINK_TOPICS_MAX as usize,
    bytes_max: 3_000,
    in_flight_max: 4,
    ack_timeout_ns: Nanos::from_secs(5),
    tries_max: 3,
};

/// The largest frame: a second of changes of a busy book is some 100 KB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Exchange info is waited for this long; then the venue's defaults must do.
const RESOLVE_NS: Nanos = Nanos::from_secs(3);

/// One link of the connector.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) route: Route,
    pub(super) subscriptions: Subscriptions,
    epoch: u16,
    up: bool,
    /// Let go; its number is free again once the engine has said that it is down.
    closing: bool,
    /// A new connection was asked for already.
    reconnecting: bool,
}

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
        if self.ids.contains_key(&id) {
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

    pub(super) fn insert(&mut self, stream: Stream) -> usize {
        let (id, hidden) = (stream.id, stream.hidden);
        let expectation = self.config.upkeep.expectations.of(stream.channel);
        let most = self.config.upkeep.top_differs_max_ns;
        let lasting_ns = witness::lasting_ns(most, stream.channel);
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
        };
        self.next_serial = self.next_serial.wrapping_add(1);
        let slot = Slot {
            stream,
            serial: self.next_serial,
            topic: Box::default(),
            link: None,
            next: None,
            stage: Stage::Active,
            heard: false,
            explained: false,
            watch: Watch::new(expectation),
            agreement: Agreement::new(lasting_ns),
            witness: None,
            told: None,
            last_price: None,
            kind,
        };
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
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
        let head = self.topics.find(name.as_bytes());
        let shared = head.and_then(|head| self.slot_mut(head)?.link);
        let link = shared.unwrap_or_else(|| self.link_for(route, &name));
        let up = self.link(link).filter(|link| link.up);
        let epoch = up.map(|link| link.epoch);
        let acked = up.is_some_and(|link| link.subscriptions.has(&name));
        let previous_head = self.topics.insert(&name, index);
        if let Some(slot) = self.slot_mut(index) {
            slot.link = Some(link);
            slot.next = previous_head;
            if let Some(epoch) = epoch {
                slot.stream.set_epoch(epoch);
            }
            if acked {
                slot.watch.start(now);
            }
            let about_tops = Binance::is_about_tops(slot);
            self.rearm(index);
            if about_tops {
                self.settle_witness(now, &instrument, out);
            }
        }
    }

    /// The link that is to carry a topic; opened where none has room.
    fn link_for(&mut self, route: Route, topic: &str) -> LinkId {
        let route = self.urls.route(route);
        let most = usize::from(self.config.link_topics_max);
        let room = self
            .links
            .iter_mut()
            .find(|link| link.route == route && !link.closing && link.subscriptions.len() < most);
        if let Some(link) = room {
            link.subscriptions.want(topic);
            return link.id;
        }
        let id = (0..=u16::MAX)
            .map(LinkId)
            .find(|id| self.links.iter().all(|link| link.id != *id));
        // 65,536 links of 200 topics are more than there are stream numbers for.
        let id = id.unwrap_or(LinkId(u16::MAX));
        let mut subscriptions = Subscriptions::new(RULES);
        subscriptions.want(topic);
        self.links.push(Link {
            id,
            route,
            subscriptions,
            epoch: 0,
            up: false,
            closing: false,
            reconnecting: false,
        });
        let (endpoint, path) = self.urls.stream(route);
        let spec = Box::new(LinkSpec {
            send_limit: Some(self.rules.send_limit),
            attempt_limit: Some(ATTEMPT_LIMIT),
            silence_max_ns: Some(self.config.silence_max_ns),
            message_bytes_max: MESSAGE_BYTES_MAX,
            ..LinkSpec::new(endpoint, path)
        });
        self.control.push_back(Transmit::Open { link: id, spec });
        id
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
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
        let Some(link_id) = slot.link.take() else {
            return;
        };
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
        if self.topics.find(topic.as_bytes()).is_some() {
            return;
        }
        let Some(link) = self.link_mut(link_id) else {
            return;
        };
        link.subscriptions.unwant(&topic);
        let wanted = self
            .slots
            .iter()
            .flatten()
            .any(|slot| slot.link == Some(link_id));
        if !wanted {
            if let Some(link) = self.link_mut(link_id) {
                link.closing = true;
                link.subscriptions.handle_down();
            }
            self.control.push_back(Transmit::Close { link: link_id });
        }
    }

    pub(super) fn handle_link_up(&mut self, id: LinkId, epoch: u16) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if link.closing {
            return;
        }
        link.epoch = epoch;
        link.up = true;
        link.reconnecting = false;
        link.subscriptions.handle_up();
        for slot in self
            .slots
            .iter_mut()
            .flatten()
            .filter(|slot| slot.link == Some(id))
        {
            slot.stream.set_epoch(epoch);
            slot.start_over();
        }
    }

    pub(super) fn handle_link_down(&mut self, now: Nanos, id: LinkId, out: &mut Outbox) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if link.closing {
            self.links.retain(|link| link.id != id);
            return;
        }
        link.up = false;
        link.subscriptions.handle_down();
        let times = Times::ours(now);
        for slot in self
            .slots
            .iter_mut()
            .flatten()
            .filter(|slot| slot.link == Some(id))
        {
            slot.stream
                .change(StreamState::Stale, Reason::LinkDown, None, times, out);
            slot.start_over();
        }
    }

    /// Asks for a new connection, once.
    pub(super) fn reconnect(&mut self, id: LinkId, why: &'static str) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        if link.up && !link.reconnecting && !link.closing {
            link.reconnecting = true;
            self.control
                .push_back(Transmit::Reconnect { link: id, why });
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
                self.watch_topics(&acked, now);
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

    /// Requests without an ack.
    pub(super) fn handle_overdue_acks(&mut self, now: Nanos) {
        let mut mute = Vec::new();
        for link in &mut self.links {
            let due = link
                .subscriptions
                .poll_timeout()
                .is_some_and(|at| at <= now);
            if due && link.subscriptions.handle_timeout(now) == Overdue::LinkIsMute {
                mute.push(link.id);
            }
        }
        for id in mute {
            self.reconnect(id, "no answer to subscribe requests");
        }
    }
}
