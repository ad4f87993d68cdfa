//! The synthetic market in Binance's words: which frames each market event and each push period
//! brings to which streams.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::frames;
use super::names::{self, Kind};
use super::push::{Diff, Timed, next_due, push_diff};
use super::rest;
use crate::control::Command;
use crate::market::{Batch, Market};
use crate::outbox::{ConnId, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::truth::lock;
use crate::venue::stream::{Stream, Sub};
use crate::venue::{Common, Feed, HttpRequest, HttpResponse, earlier};

/// Ids that an old snapshot lies before the oldest buffered event: more than one event spans.
const OLDER_BY: u64 = 1_000;

/// The streams of one instrument.
#[derive(Debug)]
struct Streams {
    top: Stream,
    trade: Stream,
    agg: Stream,
    agg_id: u64,
    agg_last: Option<rest::AggTrade>,
    timed: Vec<Timed>,
}

#[derive(Debug)]
pub(crate) struct BinanceFeed {
    venue: SimVenue,
    pub(super) market: Market,
    by_name: HashMap<String, usize>,
    streams: Vec<Streams>,
    /// (due, instrument, timed stream).
    timers: BinaryHeap<Reverse<(i64, usize, usize)>>,
    batch: Batch,
}

impl BinanceFeed {
    pub(crate) fn new(venue: SimVenue, market: Market) -> Self {
        let by_name = market.instruments.iter().enumerate();
        let by_name = by_name
            .map(|(i, one)| (one.spec.symbol_lower.clone(), i))
            .collect();
        let streams = market.instruments.iter().map(|one| {
            let name = |kind: &str| format!("{}@{kind}", one.spec.symbol_lower);
            Streams {
                top: Stream::new(name("bookTicker"), Kind::BookTicker.message()),
                trade: Stream::new(name("trade"), Kind::Trade.message()),
                agg: Stream::new(name("aggTrade"), Kind::AggTrade.message()),
                agg_id: one.tape.day.first_id / 2,
                agg_last: None,
                timed: Vec::new(),
            }
        });
        let streams = streams.collect();
        let (timers, batch) = (BinaryHeap::new(), Batch::default());
        Self {
            venue,
            market,
            by_name,
            streams,
            timers,
            batch,
        }
    }

    fn find(&self, topic: &str) -> Option<(usize, Kind)> {
        let (symbol, kind) = names::parse(self.venue, topic)?;
        Some((*self.by_name.get(symbol)?, kind))
    }

    /// The stream of a topic, if it has one yet.
    fn stream(&mut self, topic: &str) -> Option<&mut Stream> {
        let (index, kind) = self.find(topic)?;
        let set = &mut self.streams[index];
        match kind {
            Kind::BookTicker => Some(&mut set.top),
            Kind::Trade => Some(&mut set.trade),
            Kind::AggTrade => Some(&mut set.agg),
            _ => set
                .timed
                .iter_mut()
                .find(|t| t.stream.name == topic)
                .map(|t| &mut t.stream),
        }
    }

    /// Subscribes to a periodic stream: makes it if need be and arms its timer.
    fn subscribe_timed(
        &mut self,
        (index, kind): (usize, Kind),
        topic: &str,
        sub: Sub,
        now: i64,
        cx: &mut Common,
    ) {
        let one = &mut self.market.instruments[index];
        let set = &mut self.streams[index].timed;
        let slot = set
            .iter()
            .position(|t| t.stream.name == topic)
            .unwrap_or_else(|| {
                let stream = Stream::new(topic.to_owned(), kind.message())
                    .with_deltas(matches!(kind, Kind::Depth(_)));
                let diff = Diff {
                    dirty: Vec::new(),
                    first_id: 0,
                    last_u: one.last_id,
                };
                set.push(Timed {
                    kind,
                    stream,
                    armed: false,
                    since_id: 0,
                    diff,
                });
                set.len() - 1
            });
        let timed = &mut set[slot];
        timed.stream.add(sub, &one.spec.symbol, cx);
        if !timed.armed {
            timed.armed = true;
            timed.since_id = one.last_id;
            // What happened without subscribers is not part of the first event.
            timed.diff = Diff {
                dirty: Vec::new(),
                first_id: 0,
                last_u: one.last_id,
            };
            let due = next_due(self.venue, kind, one, now);
            self.timers.push(Reverse((due, index, slot)));
        }
    }

    /// The next market event and the real-time frames that it brings.
    fn market_event(&mut self, cx: &mut Common, out: &mut Outbox) {
        self.market.step(&mut self.batch);
        Counters::add(&cx.counters.market_events, 1);
        let (batch, venue) = (&self.batch, self.venue);
        let stamp_ns = batch.at_ns + cx.faults.skew_ns;
        let one = &self.market.instruments[batch.instrument];
        let (changes, trades) = (&batch.changes, &batch.trades);
        cx.exchange
            .on_market(batch.instrument, &one.book, changes, trades, batch.at_ns);
        let set = &mut self.streams[batch.instrument];
        for timed in &mut set.timed {
            if timed.armed && matches!(timed.kind, Kind::Depth(_)) {
                if let (true, Some(first)) = (timed.diff.dirty.is_empty(), batch.changes.first()) {
                    timed.diff.first_id = first.id;
                }
                timed
                    .diff
                    .dirty
                    .extend(batch.changes.iter().map(|c| (c.side, c.price)));
            }
        }
        for trade in &batch.trades {
            set.trade.emit(out, cx, batch.at_ns, trade.id, |buf, _| {
                frames::trade(buf, venue, &one.spec, trade, stamp_ns);
            });
        }
        for joined in batch.trades.chunk_by(|a, b| a.price == b.price) {
            set.agg_id += 1;
            let id = set.agg_id;
            if let (Some(first), Some(last)) = (joined.first(), joined.last()) {
                set.agg_last = Some(rest::AggTrade {
                    id,
                    first: *first,
                    last: *last,
                    qty: joined.iter().map(|trade| trade.qty).sum(),
                    at_ns: stamp_ns,
                });
            }
            set.agg.emit(out, cx, batch.at_ns, id, |buf, _| {
                frames::agg_trade(buf, venue, &one.spec, id, joined, stamp_ns);
            });
        }
        if batch.top_changed {
            set.top.emit(out, cx, batch.at_ns, one.last_id, |buf, _| {
                frames::book_ticker(buf, venue, one, stamp_ns);
            });
        }
    }

    fn agg_trades(&self, request: &HttpRequest<'_>) -> Option<HttpResponse> {
        if rest::call(self.venue, request.path) != Some("aggTrades") {
            return None;
        }
        let symbol = request.param("symbol")?;
        let &index = self.by_name.get(&symbol.to_ascii_lowercase())?;
        let (one, set) = (&self.market.instruments[index], &self.streams[index]);
        Some(rest::agg_trades(
            self.venue,
            &one.spec,
            set.agg_last.as_ref(),
        ))
    }

    /// A depth answer from before everything that a subscriber may have buffered, if a fault wants
    /// one.
    fn old_depth(
        &self,
        request: &HttpRequest<'_>,
        at: rest::Now,
        cx: &mut Common,
    ) -> Option<HttpResponse> {
        if rest::call(self.venue, request.path) != Some("depth") {
            return None;
        }
        let symbol = request.param("symbol")?;
        let &index = self.by_name.get(&symbol.to_ascii_lowercase())?;
        let one = &self.market.instruments[index];
        if !cx.faults.take_snapshot(&one.spec.symbol, at.clock_ns) {
            return None;
        }
        let timed = self.streams[index].timed.iter();
        let armed = timed.filter(|t| t.armed && matches!(t.kind, Kind::Depth(_)));
        let since = armed.map(|t| t.since_id).fold(one.last_id, u64::min);
        let id = since.saturating_sub(OLDER_BY).max(1);
        let book = lock(&one.history).book_before(id);
        Some(rest::depth(self.venue, one, (id, &book), request, at))
    }

    /// A periodic stream's turn.
    fn push_timed(
        &mut self,
        at_ns: i64,
        index: usize,
        slot: usize,
        cx: &mut Common,
        out: &mut Outbox,
    ) {
        let (venue, stamp_ns) = (self.venue, at_ns + cx.faults.skew_ns);
        let one = &mut self.market.instruments[index];
        let timed = &mut self.streams[index].timed[slot];
        if timed.stream.is_idle() {
            timed.armed = false;
            return;
        }
        match timed.kind {
            Kind::Depth(_) => push_diff(venue, one, timed, at_ns, cx, out),
            Kind::Kline {
                interval,
                interval_ns,
            } => {
                let bar = *one.tape.bar(interval_ns, at_ns);
                let closed = at_ns >= bar.end_ns();
                timed.stream.emit(out, cx, at_ns, 0, |buf, _| {
                    frames::kline(buf, &one.spec, &bar, interval, closed, stamp_ns);
                });
                one.tape.roll_bar(interval_ns, at_ns);
            }
            kind => {
                // Of these only the partial book is numbered.
                let seq = if matches!(kind, Kind::Partial { .. }) {
                    one.last_id
                } else {
                    0
                };
                timed.stream.emit(out, cx, at_ns, seq, |buf, _| {
                    frames::periodic(buf, venue, kind, one, stamp_ns);
                });
            }
        }
        let due = next_due(venue, timed.kind, one, at_ns);
        self.timers.push(Reverse((due, index, slot)));
    }
}

impl Feed for BinanceFeed {
    fn knows(&self, topic: &str) -> bool {
        self.find(topic).is_some()
    }

    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, _out: &mut Outbox) {
        let Some((index, kind)) = self.find(topic) else {
            return;
        };
        let symbol = &self.market.instruments[index].spec.symbol;
        let set = &mut self.streams[index];
        match kind {
            Kind::BookTicker => set.top.add(sub, symbol, cx),
            Kind::Trade => set.trade.add(sub, symbol, cx),
            Kind::AggTrade => set.agg.add(sub, symbol, cx),
            _ => self.subscribe_timed((index, kind), topic, sub, now, cx),
        }
    }

    fn unsubscribe(&mut self, conn: ConnId, topic: &str) {
        if let Some(stream) = self.stream(topic) {
            stream.remove(conn);
        }
    }

    fn set_wrapped(&mut self, conn: ConnId, wrapped: bool) {
        for set in &mut self.streams {
            [&mut set.top, &mut set.trade, &mut set.agg]
                .into_iter()
                .chain(set.timed.iter_mut().map(|t| &mut t.stream))
                .for_each(|stream| stream.set_wrapped(conn, wrapped));
        }
    }

    fn poll(&mut self, now: i64, budget: usize, cx: &mut Common, out: &mut Outbox) {
        if self.market.is_paused() {
            return;
        }
        for _ in 0..budget {
            let timer = self.timers.peek().map(|Reverse((due, ..))| *due);
            let market = self.market.next_ns();
            match (timer, market) {
                // Periods first on a tie: a change belongs to the period that starts with it.
                (Some(due), next) if due <= now && next.is_none_or(|at| due <= at) => {
                    let Some(Reverse((due, index, slot))) = self.timers.pop() else {
                        return;
                    };
                    self.push_timed(due, index, slot, cx, out);
                }
                (_, Some(at)) if at <= now => self.market_event(cx, out),
                _ => return,
            }
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        if self.market.is_paused() {
            return None;
        }
        earlier(
            self.timers.peek().map(|Reverse((due, ..))| *due),
            self.market.next_ns(),
        )
    }

    fn rest(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
        cx: &mut Common,
    ) -> Option<HttpResponse> {
        let reached = self.next_deadline().map_or(now, |next| next.min(now));
        let at = rest::Now {
            clock_ns: now + cx.faults.skew_ns,
            engine_ns: reached + cx.faults.skew_ns,
        };
        let old = self.old_depth(request, at, cx);
        let old = old.or_else(|| self.agg_trades(request));
        old.or_else(|| rest::answer(self.venue, &self.market, request, at))
    }

    fn market(&self) -> Option<&Market> {
        Some(&self.market)
    }

    fn control(&mut self, command: &Command, now: i64) {
        match command {
            Command::Pause => self.market.pause(now),
            Command::Resume => {
                let pause_ns = self.market.resume(now);
                let timers = std::mem::take(&mut self.timers).into_iter();
                self.timers = timers
                    .map(|Reverse((due, i, s))| Reverse((due + pause_ns, i, s)))
                    .collect();
            }
            Command::SetRate(rate) => self.market.set_rate(*rate, now),
            Command::StallStream { topic, on } => {
                if let Some(stream) = self.stream(topic) {
                    stream.stalled = *on;
                }
            }
            Command::SkipNextDelta { symbol } => {
                let Some(&index) = self.by_name.get(&symbol.to_ascii_lowercase()) else {
                    return;
                };
                for timed in &mut self.streams[index].timed {
                    if matches!(timed.kind, Kind::Depth(_)) && timed.armed {
                        timed.stream.skip += 1;
                    }
                }
            }
            Command::Restart => {
                self.market.reset_sequences();
                for (set, one) in self.streams.iter_mut().zip(&self.market.instruments) {
                    for timed in &mut set.timed {
                        timed.diff = Diff {
                            dirty: Vec::new(),
                            first_id: 0,
                            last_u: one.last_id,
                        };
                        timed.since_id = one.last_id;
                    }
                }
            }
            _ => {}
        }
    }
}
