//! From a frame to its stream. The usual combined frame, `{"stream":..,"data":..}`, takes one look-up
//! and no second pass; everything else (the keys in the other order, raw frames, acks, notices) goes
//! the longer way.

use arrayvec::ArrayVec;
use rustc_hash::{FxHashMap, FxHashSet};
use tickwire_orderbook::Level;

use crate::event::{Event, Reason, StreamState};
use crate::names::Names;
use crate::outbox::Outbox;
use crate::scan::{Quick, Scan, ScanError, ScanErrorKind};
use crate::stream::{CROWD, Times};
use crate::swar::Common;
use crate::time::Nanos;
use crate::transmit::LinkId;
use crate::wide::WideBody;

use super::pair::Via;
use super::parse::{self, BookTicker, Data, Trade, TradeKind};
use super::sync::{Arrival, Fetch};
use super::tape::Volumes;
use super::{Bbo, Binance, Kind, Slot, tape};

/// The topic of the notice that the venue will shut down, and its event.
const SHUTDOWN: &[u8] = b"serverShutdown";

/// Which stream a topic belongs to. Streams that share a topic are chained by their `next`.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// Topic to the first stream of its chain.
    exact: Names,
    /// Topic without its speed to the topics that have one: recordings name other speeds.
    by_plain: FxHashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    /// Topics that were let go, whose last frames may be on their way: they are not for a stream of
    /// another speed. At most each topic that was ever asked for.
    gone: FxHashSet<Box<[u8]>>,
}

impl Topics {
    /// The first stream of a topic.
    #[inline]
    pub(super) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.exact.find(topic)
    }

    /// The first stream of the same topic at any speed.
    fn find_plain(&self, topic: &[u8]) -> Option<usize> {
        self.find(self.by_plain.get(plain(topic))?.first()?)
    }

    /// The first stream of a topic that a frame names: this one, or the same at the speed that there
    /// is.
    fn find_named(&self, topic: &[u8]) -> Option<usize> {
        let found = self.find(topic);
        if found.is_none() && !self.gone.contains(topic) {
            return self.find_plain(topic);
        }
        found
    }

    /// Puts a stream in front of the topic's chain; gives the one that was there.
    pub(super) fn insert(&mut self, topic: &str, index: usize) -> Option<usize> {
        let topic = topic.as_bytes();
        let previous = self.exact.insert(topic, index);
        if previous.is_none() {
            let names = self.by_plain.entry(plain(topic).into()).or_default();
            names.push(topic.into());
            self.gone.remove(topic);
        }
        previous
    }

    /// Replaces the first stream of the topic's chain; with none the topic is gone.
    pub(super) fn replace(&mut self, topic: &str, index: usize, next: Option<usize>) {
        let topic = topic.as_bytes();
        debug_assert_eq!(self.find(topic), Some(index), "only the first is replaced");
        if let Some(next) = next {
            self.exact.insert(topic, next);
            return;
        }
        self.exact.remove(topic);
        self.gone.insert(topic.into());
        if let Some(names) = self.by_plain.get_mut(plain(topic)) {
            names.retain(|name| **name != *topic);
            if names.is_empty() {
                self.by_plain.remove(plain(topic));
            }
        }
    }
}

/// `btcusdt@depth@100ms` without its speed.
fn plain(topic: &[u8]) -> &[u8] {
    const DEPTH: &[u8] = b"@depth@";
    let at = topic
        .windows(DEPTH.len())
        .position(|window| window == DEPTH);
    at.and_then(|at| topic.get(..at + DEPTH.len() - 1))
        .unwrap_or(topic)
}

/// The topic and the data of a combined frame whose stream comes first; anything else is `None`.
#[inline]
fn combined(payload: &[u8]) -> Option<(&[u8], Data<'_>)> {
    let mut quick = Quick::<Common>::new(payload);
    quick.pass(b"{\"stream\":\"").ok()?;
    let topic = quick.rest_of_string().ok()?;
    quick.pass(b",\"data\":").ok()?;
    let data = Data {
        scan: quick.scan(),
        wrapped: true,
    };
    Some((topic, data))
}

/// What a walk over a frame's top level finds, as far as it comes.
#[derive(Debug, Default)]
struct Seen<'a> {
    topic: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    symbol: Option<&'a [u8]>,
    interval: Option<&'a [u8]>,
    /// `result`, `error` or `code`.
    answer: bool,
    /// How many of the keys of a best bid and ask are there.
    bbo_keys: u8,
    error: Option<ScanError>,
}

impl<'a> Seen<'a> {
    fn of(payload: &'a [u8]) -> Seen<'a> {
        let mut seen = Seen::default();
        let mut scan = Scan::new(payload);
        seen.error = seen.walk(payload, &mut scan).err();
        seen
    }

    fn walk(&mut self, payload: &'a [u8], scan: &mut Scan<'a>) -> Result<(), ScanError> {
        scan.enter_object()?;
        let mut first = true;
        while let Some(key) = scan.next_key(&mut first)? {
            let quoted = scan.peek()? == b'"';
            match key {
                b"stream" if quoted && self.topic.is_none() => self.topic = Some(scan.string()?),
                b"data" if self.data.is_none() => {
                    let start = scan.position();
                    scan.skip_value()?;
                    self.data = payload.get(start..scan.position());
                }
                b"stream" | b"data" => {
                    return Err(parse::missing(scan.position(), "each wrapper key once"));
                }
                b"e" if quoted => self.event = Some(scan.string()?),
                b"s" if quoted => self.symbol = Some(scan.string()?),
                b"k" if scan.peek()? == b'{' => self.interval = interval(scan)?,
                b"result" | b"error" | b"code" => {
                    self.answer = true;
                    scan.skip_value()?;
                }
                b"u" | b"b" | b"B" | b"a" | b"A" => {
                    self.bbo_keys = self.bbo_keys.saturating_add(1);
                    scan.skip_value()?;
                }
                _ => scan.skip_value()?,
            }
        }
        scan.finish()
    }

    fn is_shutdown(&self) -> bool {
        let topic = self.topic.and_then(|topic| topic.strip_prefix(b"!"));
        self.event == Some(SHUTDOWN) || topic == Some(SHUTDOWN)
    }

    /// The first stream that the frame is for.
    fn stream(&self, topics: &Topics) -> Option<usize> {
        if let Some(topic) = self.topic {
            return topics.find_named(topic);
        }
        // A raw bookTicker of spot has no `e`.
        let event = self
            .event
            .or((self.bbo_keys == 5).then_some(b"bookTicker"))?;
        let name = topic_of(event, self.symbol?, self.interval)?;
        topics.find(&name).or_else(|| topics.find_plain(&name))
    }
}

/// `i` of a raw candle.
fn interval<'a>(scan: &mut Scan<'a>) -> Result<Option<&'a [u8]>, ScanError> {
    let (mut first, mut found) = (true, None);
    scan.enter_object()?;
    while let Some(key) = scan.next_key(&mut first)? {
        if key == b"i" && scan.peek()? == b'"' {
            found = Some(scan.string()?);
        } else {
            scan.skip_value()?;
        }
    }
    Ok(found)
}

/// The topic (without a speed) of a raw frame.
fn topic_of(event: &[u8], symbol: &[u8], interval: Option<&[u8]>) -> Option<ArrayVec<u8, 128>> {
    let suffix: &[u8] = match event {
        b"depthUpdate" => b"@depth",
        b"bookTicker" => b"@bookTicker",
        b"trade" => b"@trade",
        b"aggTrade" => b"@aggTrade",
        b"24hrTicker" => b"@ticker",
        b"kline" => b"@kline_",
        _ => return None,
    };
    let mut name = ArrayVec::new();
    name.try_extend_from_slice(symbol).ok()?;
    name.make_ascii_lowercase();
    name.try_extend_from_slice(suffix).ok()?;
    if event == b"kline" {
        name.try_extend_from_slice(interval?).ok()?;
    }
    Some(name)
}

/// The data object of a frame of any shape.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn data_of(payload: &[u8]) -> Result<Data<'_>, ScanError> {
    if let Some((_, data)) = combined(payload) {
        return Ok(data);
    }
    let seen = Seen::of(payload);
    match (seen.error, seen.topic, seen.data) {
        (Some(error), ..) => Err(error),
        (None, Some(_), Some(data)) => Ok(Data::bare(data)),
        (None, Some(_), None) => Err(parse::missing(0, "data")),
        (None, None, _) => Ok(Data::bare(payload)),
    }
}

impl Binance {
    #[inline]
    pub(super) fn route(&mut self, now: Nanos, link: LinkId, payload: &[u8], out: &mut Outbox) {
        self.counters.messages += 1;
        if let Some((topic, data)) = combined(payload)
            && let Some(index) = self.topics.find_named(topic)
        {
            self.deliver(now, link, index, data, payload, out);
            return;
        }
        self.route_other(now, link, payload, out);
    }

    fn route_other(&mut self, now: Nanos, link: LinkId, payload: &[u8], out: &mut Outbox) {
        let seen = Seen::of(payload);
        if matches!(seen.error, Some(error) if error.kind == ScanErrorKind::Escape) {
            self.route_escaped(now, link, payload, out);
        } else if seen.error.is_some() {
            self.counters.malformed += 1;
            if let Some(index) = seen.stream(&self.topics) {
                self.break_book(now, link, index, out);
            }
        } else if seen.is_shutdown() {
            self.replace(now, link, "the venue is shutting down");
        } else if let Some(index) = seen.stream(&self.topics) {
            let bytes = if seen.topic.is_some() {
                seen.data
            } else {
                Some(payload)
            };
            match bytes {
                Some(bytes) => self.deliver(now, link, index, Data::bare(bytes), payload, out),
                None => self.counters.malformed += 1,
            }
        } else if seen.answer {
            match self.reader.read(payload, tape::answer) {
                Ok(answer) => self.handle_answer(now, link, answer, out),
                Err(_) => self.counters.malformed += 1,
            }
        } else {
            self.counters.unrouted += 1;
        }
    }

    /// A frame with an escape where its stream is told.
    #[cold]
    fn route_escaped(&mut self, now: Nanos, link: LinkId, payload: &[u8], out: &mut Outbox) {
        let Ok(head) = self.reader.read(payload, tape::head) else {
            self.counters.malformed += 1;
            return;
        };
        let seen = Seen {
            topic: head.topic.as_deref().map(str::as_bytes),
            event: head.event.as_deref().map(str::as_bytes),
            symbol: head.symbol.as_deref().map(str::as_bytes),
            bbo_keys: if head.event.is_none() { 5 } else { 0 },
            ..Seen::default()
        };
        match seen.stream(&self.topics) {
            Some(index) => self.deliver(now, link, index, Data::escaped(), payload, out),
            None => self.counters.unrouted += 1,
        }
    }

    /// Gives a message to each stream of a topic.
    #[inline]
    fn deliver(
        &mut self,
        now: Nanos,
        link: LinkId,
        first: usize,
        data: Data<'_>,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        let mut next = Some(first);
        while let Some(index) = next {
            let Some(slot) = self.slot_mut(index) else {
                return;
            };
            next = slot.next;
            if !slot.carriers.carries(link) {
                // It was let go there, and the venue has not heard yet.
                self.counters.unrouted += 1;
                continue;
            }
            let via = Via {
                link,
                paired: slot.carriers.is_pair(),
            };
            let mut read = self.handle_data(now, index, via, data, payload, out);
            if matches!(read, Err(error) if error.kind.is_scale())
                && self.rescale(now, index, data, out)
            {
                read = self.handle_data(now, index, via, data, payload, out);
            }
            match read {
                Ok(Arrival::Early) => {}
                Ok(_) if via.paired => self.note_in_step(now, index, link, out),
                Ok(_) => {}
                Err(_) => {
                    self.counters.malformed += 1;
                    self.break_book(now, link, index, out);
                }
            }
        }
    }

    #[inline]
    fn handle_data(
        &mut self,
        now: Nanos,
        index: usize,
        via: Via,
        data: Data<'_>,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<Arrival, ScanError> {
        let market = self.config.market;
        let Binance {
            slots,
            levels,
            scratch,
            reader,
            counters,
            timers,
            ..
        } = self;
        let is_crowded = slots.len() >= CROWD;
        let Some(slot) = slots.get_mut(index).and_then(Option::as_mut) else {
            return Ok(Arrival::Early);
        };
        if is_crowded {
            slot.prefetch();
        }
        slot.heard = true;
        if slot.watch.hear(now) {
            slot.end_silence(now, out);
            timers.arm(index, slot.timer());
        }
        let shape = slot.shape(market);
        match &mut slot.kind {
            Kind::Book(sync) => {
                let delta =
                    parse::depth(data, shape, &mut slot.stream.looks, levels).or_else(|error| {
                        only_escape(error)?;
                        reader.read(payload, |root| {
                            tape::depth(&tape::data(root)?, shape, levels)
                        })
                    })?;
                let arrival = sync.handle_delta(
                    &mut slot.stream,
                    &delta,
                    via,
                    levels,
                    scratch,
                    now,
                    counters,
                    out,
                );
                let waits = sync.fetch() != Fetch::No;
                if via.paired {
                    timers.arm(index, sync.ahead_deadline());
                }
                if slot.witness.is_some() {
                    self.compare_book(now, delta.exch_ns, index);
                }
                if waits {
                    self.schedule_fetch(now, index, out);
                }
                return Ok(arrival);
            }
            Kind::Bbo(_) => {
                if best_bid_and_ask(slot, data, via, reader, payload, shape, now, out)? {
                    self.compare_bbo(now, index);
                    return Ok(Arrival::News);
                }
            }
            Kind::Trades | Kind::AggTrades => {
                let kind = match slot.kind {
                    Kind::Trades => TradeKind::Single,
                    _ => TradeKind::Aggregated,
                };
                let arrival = trade(slot, data, kind, via, reader, payload, shape, now, out)?;
                if via.paired {
                    timers.arm(index, slot.early.deadline());
                }
                if arrival != Arrival::Known {
                    return Ok(arrival);
                }
            }
            Kind::Ticker | Kind::Kline(_) => {
                let volumes = slot.volumes(market);
                if wide(slot, volumes, via, reader, payload, now, out)? {
                    return Ok(Arrival::News);
                }
            }
        }
        if via.paired {
            counters.duplicates += 1;
        } else {
            counters.stale += 1;
        }
        Ok(Arrival::Known)
    }

    /// Finds the scales at which a message (or a snapshot) can be read, takes them and says so. False
    /// where there are none.
    #[cold]
    pub(super) fn rescale(
        &mut self,
        now: Nanos,
        index: usize,
        data: Data<'_>,
        out: &mut Outbox,
    ) -> bool {
        let market = self.config.market;
        let Binance {
            slots, counters, ..
        } = self;
        let Some(slot) = slots.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let Some((price, qty)) = parse::rescaled(data, slot.shape(market)) else {
            return false;
        };
        let times = Times::ours(now);
        if let Kind::Book(sync) = &mut slot.kind {
            sync.rescale(&mut slot.stream, (price, qty), times, counters, out);
        }
        slot.stream.instrument.price_scale = price;
        slot.stream.instrument.qty_scale = qty;
        let instrument = WideBody::Instrument(slot.stream.instrument);
        slot.stream.publish_wide(instrument, times, out);
        true
    }

    /// A message of these streams could not be read: they may have missed a change. Books start anew;
    /// the rest is whole again with its next message.
    #[cold]
    fn break_book(&mut self, now: Nanos, link: LinkId, first: usize, out: &mut Outbox) {
        let Binance {
            slots, counters, ..
        } = self;
        let mut next = Some(first);
        while let Some(slot) = next.and_then(|index| slots.get_mut(index)?.as_mut()) {
            next = slot.next;
            let carries = slot.carriers.carries(link);
            let other_has_it = slot.carriers.is_safe_without(link);
            let (times, stream) = (Times::ours(now), &mut slot.stream);
            match &mut slot.kind {
                _ if !carries => {}
                // The numbers of what comes next will tell whether the other link has brought it.
                Kind::Book(_) if other_has_it => {}
                Kind::Book(sync) => {
                    sync.invalidate(stream, Reason::Malformed, times, counters, out);
                }
                _ if stream.is_live() => {
                    counters.resyncs += 1;
                    stream.change(StreamState::Resync, Reason::Malformed, None, times, out);
                }
                _ => {}
            }
        }
    }
}

fn only_escape(error: ScanError) -> Result<(), ScanError> {
    if error.kind == ScanErrorKind::Escape {
        Ok(())
    } else {
        Err(error)
    }
}

/// Two links are apart by less; what is older than that is of a clock that was set back, and old numbers
/// so long after the last new one are of a counter that was.
pub(super) const LAG_MAX_NS: Nanos = Nanos::from_secs(10);

/// So many messages in a row with old numbers mean that the venue's counter went back.
const STALE_RUN_MAX: u32 = 1_000;

impl Bbo {
    /// Whether the message is not older than the last: `u` never goes back on a connection.
    #[inline]
    fn is_news(&mut self, ticker: &BookTicker, via: Via, now: Nanos) -> bool {
        let is_copy = via.paired && ticker.seq == self.seq && self.last.is_some();
        let is_restart = self.stale_run >= STALE_RUN_MAX || now.since(self.news_at) >= LAG_MAX_NS;
        if is_copy || (ticker.seq < self.seq && !is_restart) {
            self.stale_run += u32::from(!is_copy);
            return false;
        }
        self.seq = ticker.seq;
        self.news_at = now;
        self.stale_run = 0;
        self.suspected = false;
        self.last = Some((ticker.bid, ticker.ask));
        true
    }
}

/// False where the message is older than the last.
#[inline]
#[expect(clippy::too_many_arguments, reason = "a message with its context")]
fn best_bid_and_ask(
    slot: &mut Slot,
    data: Data<'_>,
    via: Via,
    reader: &mut tape::Reader,
    payload: &[u8],
    shape: parse::Shape,
    now: Nanos,
    out: &mut Outbox,
) -> Result<bool, ScanError> {
    let ticker = parse::book_ticker(data, shape, &mut slot.templates).or_else(|error| {
        only_escape(error)?;
        reader.read(payload, |root| tape::book_ticker(&tape::data(root)?, shape))
    })?;
    let Kind::Bbo(bbo) = &mut slot.kind else {
        return Ok(false);
    };
    if !bbo.is_news(&ticker, via, now) {
        return Ok(false);
    }
    bbo.exch_ns = ticker.exch_ns;
    let times = Times {
        exch_ns: ticker.exch_ns,
        recv_ns: now,
    };
    slot.stream.set_seq(ticker.seq);
    slot.go_live(times, out);
    if slot.stream.hidden {
        return Ok(true);
    }
    let (bid, ask) = (present(ticker.bid), present(ticker.ask));
    out.push(Event::bbo(&slot.stream.stamp(times), bid, ask));
    Ok(true)
}

/// False where a pair's other link has brought it.
fn wide(
    slot: &mut Slot,
    volumes: Volumes,
    via: Via,
    reader: &mut tape::Reader,
    payload: &[u8],
    now: Nanos,
    out: &mut Outbox,
) -> Result<bool, ScanError> {
    let (body, price, exch_ns) = reader.read(payload, |root| {
        let data = tape::data(root)?;
        Ok(match slot.kind {
            Kind::Kline(interval) => {
                let (kline, exch_ns) = tape::kline(&data, interval, volumes)?;
                (WideBody::Kline(kline), Some(kline.close), exch_ns)
            }
            _ => {
                let (ticker, exch_ns) = tape::ticker(&data, volumes)?;
                (WideBody::Ticker(ticker), ticker.last, exch_ns)
            }
        })
    })?;
    let times = Times {
        exch_ns,
        recv_ns: now,
    };
    if via.paired || slot.catching_up {
        let late_ns = slot.last_ns - exch_ns;
        if late_ns >= Nanos::ZERO && late_ns < LAG_MAX_NS {
            return Ok(false);
        }
        slot.catching_up &= via.paired;
    }
    slot.last_ns = exch_ns;
    slot.last_price = price;
    slot.go_live(times, out);
    slot.stream.publish_wide(body, times, out);
    Ok(true)
}

/// A side without orders has a quantity of zero.
#[inline]
pub(super) fn present(level: Level) -> Option<Level> {
    (level.qty > 0).then_some(level)
}

#[inline]
#[expect(clippy::too_many_arguments, reason = "a message with its context")]
fn trade(
    slot: &mut Slot,
    data: Data<'_>,
    kind: TradeKind,
    via: Via,
    reader: &mut tape::Reader,
    payload: &[u8],
    shape: parse::Shape,
    now: Nanos,
    out: &mut Outbox,
) -> Result<Arrival, ScanError> {
    let trade = parse::trade(data, kind, shape, &mut slot.templates).or_else(|error| {
        only_escape(error)?;
        reader.read(payload, |root| tape::trade(&tape::data(root)?, kind, shape))
    })?;
    let times = Times {
        exch_ns: trade.exch_ns,
        recv_ns: now,
    };
    let last = slot.last_id;
    if last != 0 && (via.paired || slot.catching_up) {
        if trade.id <= last && slot.early.take_skipped(trade.id) {
            slot.publish_trade(trade, times, out);
            return Ok(Arrival::Early);
        } else if trade.id <= last {
            slot.known_run += 1;
            if slot.known_run < STALE_RUN_MAX && now.since(slot.news_at) < LAG_MAX_NS {
                return Ok(Arrival::Known);
            }
            slot.early.clear();
            slot.last_id = 0;
        } else if trade.id > last.wrapping_add(1) && slot.carriers.is_safe_without(via.link) {
            // What lies between may come on the other link.
            slot.early.push(now, trade.id, via.link, (trade, times));
            slot.take_early(out);
            return Ok(Arrival::Early);
        }
        slot.catching_up &= via.paired;
    }
    slot.publish_trade(trade, times, out);
    slot.take_early(out);
    // Numbers are without holes: where this one follows, no other link has more.
    Ok(if trade.id == last.wrapping_add(1) {
        Arrival::News
    } else {
        Arrival::Early
    })
}

impl Slot {
    fn publish_trade(&mut self, trade: Trade, times: Times, out: &mut Outbox) {
        let due = self.last_id.wrapping_add(1);
        if core::mem::take(&mut self.lossy) && self.last_id != 0 && trade.id > due {
            let (resync, gap) = (StreamState::Resync, Some((due, trade.id)));
            self.stream.change(resync, Reason::Gap, gap, times, out);
        }
        self.known_run = 0;
        self.news_at = times.recv_ns;
        self.last_id = self.last_id.max(trade.id);
        self.stream.set_seq(trade.id);
        self.go_live(times, out);
        // Futures send a trade of nothing for some liquidations ("X":"NA"): it moved nothing.
        if trade.qty > 0 {
            let stamp = self.stream.stamp(times);
            out.push(Event::trade(
                &stamp,
                trade.price,
                trade.qty,
                u128::from(trade.id),
                trade.aggressor,
            ));
        }
    }

    /// Publishes what has waited for the trade before it.
    fn take_early(&mut self, out: &mut Outbox) {
        while let Some((_, (trade, times))) = self.early.next(self.last_id) {
            self.publish_trade(trade, times, out);
        }
    }

    /// Publishes all that has waited: what is missing does not come any more, which is told.
    pub(super) fn flush_trades(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some((_, (trade, times))) = self.early.pop() {
            let recv_ns = now;
            self.publish_trade(trade, Times { recv_ns, ..times }, out);
        }
    }
}

impl Slot {
    #[inline]
    pub(super) fn go_live(&mut self, times: Times, out: &mut Outbox) {
        if !self.stream.is_live() {
            self.stream
                .change(StreamState::Live, Reason::Synced, None, times, out);
        }
    }
}
