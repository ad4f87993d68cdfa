//! The synthetic market in Bybit's words.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::frames::{self, Order};
use super::push::{Topic, next_due, push_book, write_ticker};
use super::rest;
use super::ticker::View;
use super::topics::{self, Kind};
use super::view::{BookView, Delta, next_number, snapshot};
use crate::control::Command;
use crate::market::{Batch, Book, Market, Trade};
use crate::outbox::{ConnId, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::truth::lock;
use crate::venue::stream::{Stream, Sub};
use crate::venue::{Common, Feed, HttpRequest, HttpResponse, earlier};

/// One instrument's topics. Trades are sent in real time, the rest by timers.
#[derive(Debug)]
struct Topics {
    trade: Stream,
    timed: Vec<Topic>,
    /// Time of the newest book change.
    engine_ns: i64,
    direction: &'static str,
    last_price: i64,
    /// The newest trade and its time.
    newest: Option<(Trade, i64)>,
    /// `u` of every depth that has been served, kept while no one listens.
    numbers: Vec<(usize, u64)>,
}

#[derive(Debug)]
pub(crate) struct BybitFeed {
    venue: SimVenue,
    market: Market,
    by_name: HashMap<String, usize>,
    topics: Vec<Topics>,
    timers: BinaryHeap<Reverse<(i64, usize, usize)>>,
    batch: Batch,
    rng: fastrand::Rng,
    vary_key_order: bool,
    directions: Vec<&'static str>,
    delta: Delta,
}

impl BybitFeed {
    pub(crate) fn new(
        venue: SimVenue,
        market: Market,
        seed: u64,
        vary_key_order: bool,
        now: i64,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let by_name = market.instruments.iter().enumerate();
        let by_name = by_name
            .map(|(i, one)| (one.spec.symbol.clone(), i))
            .collect();
        let topics = market.instruments.iter().map(|one| Topics {
            trade: Stream::new(
                format!("publicTrade.{}", one.spec.symbol),
                Kind::Trade.message(),
            ),
            timed: Vec::new(),
            engine_ns: now,
            direction: "ZeroPlusTick",
            newest: None,
            last_price: one.spec.mid_ticks,
            numbers: [1usize, 50, 200, 1_000]
                .map(|depth| (depth, rng.u64(1_000_000..60_000_000)))
                .to_vec(),
        });
        let topics = topics.collect();
        Self {
            venue,
            market,
            by_name,
            topics,
            timers: BinaryHeap::new(),
            batch: Batch::default(),
            rng,
            vary_key_order,
            directions: Vec::new(),
            delta: Delta::default(),
        }
    }

    fn order(&mut self) -> Order {
        let spot = self.venue.is_spot() ^ (self.vary_key_order && self.rng.bool());
        if spot {
            Order::TsFirst
        } else {
            Order::TypeFirst
        }
    }

    fn find(&self, topic: &str) -> Option<(usize, Kind)> {
        let (kind, symbol) = topics::parse(topic)?;
        Some((*self.by_name.get(symbol)?, kind))
    }

    fn stream(&mut self, topic: &str) -> Option<&mut Stream> {
        let (index, kind) = self.find(topic)?;
        let set = &mut self.topics[index];
        match kind {
            Kind::Trade => Some(&mut set.trade),
            _ => set
                .timed
                .iter_mut()
                .find(|t| t.stream.name == topic)
                .map(|t| &mut t.stream),
        }
    }

    fn subscribe_timed(
        &mut self,
        (index, kind): (usize, Kind),
        topic: &str,
        sub: Sub,
        now: i64,
        (cx, out): (&mut Common, &mut Outbox),
    ) {
        let order = self.order();
        let one = &mut self.market.instruments[index];
        let set = &mut self.topics[index];
        let slot = set
            .timed
            .iter()
            .position(|t| t.stream.name == topic)
            .unwrap_or_else(|| {
                let stream = Stream::new(topic.to_owned(), kind.message())
                    .with_deltas(matches!(kind, Kind::Book(depth) if depth > 1));
                let (view, ticker) = (BookView::default(), View::default());
                set.timed.push(Topic {
                    kind,
                    stream,
                    armed: false,
                    since: (0, 0),
                    view,
                    ticker,
                });
                set.timed.len() - 1
            });
        let timed = &mut set.timed[slot];
        timed.stream.add(sub, &one.spec.symbol, cx);
        if !timed.armed {
            timed.armed = true;
            if let Kind::Book(depth) = kind {
                timed.view.u = next_number(&mut set.numbers, depth);
                timed.view.reload(one, depth);
                timed.view.id = timed.view.seen_id;
                timed.view.sent_ns = now;
                timed.since = (timed.view.u, timed.view.id);
                lock(&one.history).publish(depth, timed.view.u, timed.view.id);
            }
            timed.ticker = View::of(one, set.direction);
            let due = next_due(self.venue, kind, one, now);
            self.timers.push(Reverse((due, index, slot)));
        }
        let stamp_ns = now + cx.faults.skew_ns;
        // Whoever comes gets the view as published, so that the next delta follows on it.
        match kind {
            // The service has restarted and not spoken yet: its first message is the snapshot.
            Kind::Book(_) if timed.view.id == 0 => {}
            Kind::Book(_) => {
                let view = &timed.view;
                timed
                    .stream
                    .emit_to(sub.conn, out, cx, now, view.u, |buf, name| {
                        let frame = snapshot(name, view, now, set.engine_ns);
                        frames::book(buf, order, &one.spec, &frame.shifted(stamp_ns - now));
                    });
            }
            Kind::Ticker => {
                let (view, cs) = (timed.ticker, one.last_id);
                timed
                    .stream
                    .emit_to(sub.conn, out, cx, now, 0, |buf, name| {
                        let views = (None, &view);
                        write_ticker(buf, self.venue, &one.spec, name, views, cs, stamp_ns);
                    });
            }
            Kind::Kline {
                interval,
                interval_ns,
            } => {
                let bar = *one.tape.bar(interval_ns, now);
                timed
                    .stream
                    .emit_to(sub.conn, out, cx, now, 0, |buf, name| {
                        frames::kline(buf, &one.spec, name, interval, &bar, false, stamp_ns);
                    });
            }
            Kind::Trade | Kind::Liquidation => {}
        }
    }

    /// The newest trade or candle, whatever number is asked for.
    fn newest(&mut self, request: &HttpRequest<'_>, now: i64) -> Option<HttpResponse> {
        let call = request.path.strip_prefix("/v5/market/")?;
        if request.param("category").as_deref() != Some(rest::category(self.venue)) {
            return None;
        }
        let &index = self.by_name.get(&*request.param("symbol")?)?;
        let one = &mut self.market.instruments[index];
        match call {
            "recent-trade" => {
                let newest = self.topics[index].newest;
                Some(rest::recent_trade(self.venue, &one.spec, newest, now))
            }
            "kline" => {
                let interval_ns = topics::interval_ns(&request.param("interval")?)?;
                let bar = *one.tape.bar(interval_ns, now);
                Some(rest::kline(self.venue, &one.spec, &bar, now))
            }
            _ => None,
        }
    }

    fn market_event(&mut self, cx: &mut Common, out: &mut Outbox) {
        let order = self.order();
        self.market.step(&mut self.batch);
        Counters::add(&cx.counters.market_events, 1);
        let batch = &self.batch;
        let one = &self.market.instruments[batch.instrument];
        let (changes, trades) = (&batch.changes, &batch.trades);
        cx.exchange
            .on_market(batch.instrument, &one.book, changes, trades, batch.at_ns);
        let set = &mut self.topics[batch.instrument];
        set.engine_ns = batch.at_ns;
        if batch.trades.is_empty() {
            return;
        }
        self.directions.clear();
        for trade in &batch.trades {
            set.direction = match trade.price.cmp(&set.last_price) {
                std::cmp::Ordering::Greater => "PlusTick",
                std::cmp::Ordering::Less => "MinusTick",
                std::cmp::Ordering::Equal => match set.direction {
                    "PlusTick" | "ZeroPlusTick" => "ZeroPlusTick",
                    _ => "ZeroMinusTick",
                },
            };
            set.last_price = trade.price;
            self.directions.push(set.direction);
        }
        let stamp_ns = batch.at_ns + cx.faults.skew_ns;
        set.newest = batch.trades.last().map(|trade| (*trade, stamp_ns));
        // The log's number is the cross sequence of the last trade in the frame.
        let seq = batch.trades.last().map_or(0, |t| t.update_id);
        set.trade.emit(out, cx, batch.at_ns, seq, |buf, name| {
            let (trades, dirs) = (&batch.trades, &self.directions);
            frames::trades(buf, order, &one.spec, name, trades, dirs, stamp_ns);
        });
    }

    fn push_timed(
        &mut self,
        at_ns: i64,
        index: usize,
        slot: usize,
        cx: &mut Common,
        out: &mut Outbox,
    ) {
        let (order, venue) = (self.order(), self.venue);
        let stamp_ns = at_ns + cx.faults.skew_ns;
        let one = &mut self.market.instruments[index];
        let set = &mut self.topics[index];
        let timed = &mut set.timed[slot];
        if timed.stream.is_idle() {
            timed.armed = false;
            return;
        }
        match timed.kind {
            Kind::Book(depth) => {
                let numbers = &mut set.numbers;
                let times = (at_ns, set.engine_ns);
                push_book(
                    one,
                    timed,
                    numbers,
                    depth,
                    order,
                    times,
                    &mut self.delta,
                    cx,
                    out,
                );
            }
            Kind::Ticker => {
                let mut view = View::of(one, set.direction);
                if venue.is_spot() {
                    view = view.spot();
                }
                if view != timed.ticker {
                    let before = std::mem::replace(&mut timed.ticker, view);
                    timed.stream.emit(out, cx, at_ns, 0, |buf, name| {
                        let views = (Some(&before), &view);
                        write_ticker(buf, venue, &one.spec, name, views, one.last_id, stamp_ns);
                    });
                }
            }
            Kind::Kline {
                interval,
                interval_ns,
            } => {
                let bar = *one.tape.bar(interval_ns, at_ns);
                let closed = at_ns >= bar.end_ns();
                timed.stream.emit(out, cx, at_ns, 0, |buf, name| {
                    frames::kline(buf, &one.spec, name, interval, &bar, closed, stamp_ns);
                });
                one.tape.roll_bar(interval_ns, at_ns);
            }
            Kind::Trade | Kind::Liquidation => {}
        }
        let due = next_due(venue, timed.kind, one, at_ns);
        self.timers.push(Reverse((due, index, slot)));
    }

    /// `u` of a depth and the cross sequence, for REST.
    pub(super) fn book_numbers(&self, index: usize, depth: usize) -> (u64, i64) {
        let set = &self.topics[index];
        let number = set
            .numbers
            .iter()
            .find(|(d, _)| *d == depth)
            .map_or(1, |&(_, u)| u);
        (number, set.engine_ns)
    }

    /// `u`, id and book from before the 1000-level topic was subscribed to.
    pub(super) fn old_book(&self, index: usize) -> (u64, u64, Book) {
        let one = &self.market.instruments[index];
        let topics = self.topics[index].timed.iter();
        let mut topics = topics.filter(|t| t.armed && t.kind == Kind::Book(1_000));
        let now = (self.book_numbers(index, 1_000).0, one.last_id);
        let (u, id) = topics.next().map_or(now, |topic| topic.since);
        let (u, id) = (u.saturating_sub(10).max(1), id.saturating_sub(1_000).max(1));
        (u, id, lock(&one.history).book_before(id))
    }

    /// Every armed order book topic starts over at `u` 1 with a snapshot.
    fn service_reset(&mut self) {
        for set in &mut self.topics {
            set.numbers.iter_mut().for_each(|(_, u)| *u = 0);
            for timed in &mut set.timed {
                // Market id 0 is no book's: the next push is a snapshot.
                timed.view.u = 0;
                timed.view.id = 0;
                timed.since = (0, 0);
            }
        }
    }
}

impl Feed for BybitFeed {
    fn knows(&self, topic: &str) -> bool {
        match self.find(topic) {
            Some((_, Kind::Liquidation)) => !self.venue.is_spot(),
            found => found.is_some(),
        }
    }

    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, out: &mut Outbox) {
        let Some((index, kind)) = self.find(topic) else {
            return;
        };
        match kind {
            Kind::Liquidation => {}
            Kind::Trade => {
                let symbol = &self.market.instruments[index].spec.symbol;
                self.topics[index].trade.add(sub, symbol, cx);
            }
            _ => self.subscribe_timed((index, kind), topic, sub, now, (cx, out)),
        }
    }

    fn unsubscribe(&mut self, conn: ConnId, topic: &str) {
        if let Some(stream) = self.stream(topic) {
            stream.remove(conn);
        }
    }

    fn set_wrapped(&mut self, _conn: ConnId, _wrapped: bool) {}

    fn poll(&mut self, now: i64, budget: usize, cx: &mut Common, out: &mut Outbox) {
        if self.market.is_paused() {
            return;
        }
        for _ in 0..budget {
            let timer = self.timers.peek().map(|Reverse((due, ..))| *due);
            let market = self.market.next_ns();
            match (timer, market) {
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
        let now = now + cx.faults.skew_ns;
        let newest = self.newest(request, now);
        newest.or_else(|| rest::answer(self.venue, &self.market, self, request, now, cx))
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
                let Some(&index) = self.by_name.get(symbol) else {
                    return;
                };
                for timed in &mut self.topics[index].timed {
                    if matches!(timed.kind, Kind::Book(depth) if depth > 1) && timed.armed {
                        timed.stream.skip += 1;
                    }
                }
            }
            Command::Restart => {
                self.market.reset_sequences();
                self.service_reset();
            }
            Command::ServiceReset => self.service_reset(),
            _ => {}
        }
    }
}
