//! The synthetic market in Deribit's words.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};

use super::channels::{self, Kind};
use super::frames::{self, Numbered, Step};
use super::rest;
use crate::control::Command;
use crate::fault::Act;
use crate::market::{Batch, Book, Instrument, Market, Side};
use crate::outbox::{ConnId, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::venue::stream::{Stream, Sub};
use crate::venue::{Common, Feed, HttpRequest, HttpResponse, earlier};

/// Trades of an instrument that REST remembers.
const TRADES_KEPT: usize = 1_000;

/// One channel.
#[derive(Debug)]
struct Channel {
    kind: Kind,
    stream: Stream,
    armed: bool,
    /// The book as its subscribers have it, at this id.
    shown: Book,
    shown_id: u64,
    /// Levels that have changed since.
    touched: BTreeSet<(Side, i64)>,
    /// Trades that have not been told.
    untold: Vec<Numbered>,
    /// Whether anything has changed since the last frame.
    changed: bool,
}

/// One instrument's channels.
#[derive(Debug, Default)]
struct Set {
    channels: Vec<Channel>,
    trade_seq: u64,
    trades: VecDeque<Numbered>,
    last_price: i64,
    direction: u8,
}

#[derive(Debug)]
pub(crate) struct DeribitFeed {
    venue: SimVenue,
    market: Market,
    by_name: HashMap<String, usize>,
    /// Indices with the instrument that shows their price.
    indices: HashMap<String, usize>,
    sets: Vec<Set>,
    timers: BinaryHeap<Reverse<(i64, usize, usize)>>,
    batch: Batch,
    steps: Vec<Step>,
}

impl DeribitFeed {
    pub(crate) fn new(venue: SimVenue, market: Market, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let by_name = market.instruments.iter().enumerate();
        let by_name = by_name
            .map(|(i, one)| (one.spec.symbol.clone(), i))
            .collect();
        let indices = market.instruments.iter().enumerate().rev();
        let indices = indices
            .map(|(i, one)| (frames::index_name(&one.spec), i))
            .collect();
        let sets = market.instruments.iter().map(|one| Set {
            trade_seq: rng.u64(1_000_000..90_000_000),
            last_price: one.spec.mid_ticks,
            ..Set::default()
        });
        let sets = sets.collect();
        Self {
            venue,
            market,
            by_name,
            indices,
            sets,
            timers: BinaryHeap::new(),
            batch: Batch::default(),
            steps: Vec::new(),
        }
    }

    fn find(&self, channel: &str) -> Option<(usize, Kind)> {
        let (kind, name) = channels::parse(channel)?;
        let index = match kind {
            Kind::Index => self.indices.get(name)?,
            _ => self.by_name.get(name)?,
        };
        Some((*index, kind))
    }

    fn channel(&mut self, name: &str) -> Option<&mut Channel> {
        let (index, _) = self.find(name)?;
        let mut channels = self.sets[index].channels.iter_mut();
        channels.find(|channel| channel.stream.name == name)
    }

    fn market_event(&mut self, cx: &mut Common, out: &mut Outbox) {
        self.market.step(&mut self.batch);
        Counters::add(&cx.counters.market_events, 1);
        let batch = &self.batch;
        let one = &self.market.instruments[batch.instrument];
        let (changes, trades) = (&batch.changes, &batch.trades);
        cx.exchange
            .on_market(batch.instrument, &one.book, changes, trades, batch.at_ns);
        let set = &mut self.sets[batch.instrument];
        let stamp_ns = batch.at_ns + cx.faults.skew_ns;
        let first = set.trades.len();
        for trade in &batch.trades {
            set.trade_seq += 1;
            // 0 plus, 1 zero-plus, 2 minus, 3 zero-minus.
            set.direction = match trade.price.cmp(&set.last_price) {
                std::cmp::Ordering::Greater => 0,
                std::cmp::Ordering::Less => 2,
                std::cmp::Ordering::Equal => set.direction | 1,
            };
            set.last_price = trade.price;
            set.trades.push_back(Numbered {
                trade: *trade,
                seq: set.trade_seq,
                direction: set.direction,
                at_ns: stamp_ns,
            });
        }
        for slot in 0..set.channels.len() {
            let channel = &mut set.channels[slot];
            if channel.stream.is_idle() {
                continue;
            }
            channel.changed = true;
            let news = set.trades.iter().skip(first);
            match channel.kind {
                Kind::Book(_) => {
                    let touched = batch.changes.iter().map(|one| (one.side, one.price));
                    channel.touched.extend(touched);
                }
                Kind::Trades(_) => channel.untold.extend(news),
                // Quotes are of the touch alone.
                Kind::Quote => channel.changed = batch.top_changed,
                _ => {}
            }
        }
        while set.trades.len() > TRADES_KEPT {
            set.trades.pop_front();
        }
        let (index, at_ns) = (batch.instrument, batch.at_ns);
        for slot in 0..self.sets[index].channels.len() {
            if self.sets[index].channels[slot].kind.period_ns().is_none() {
                self.push(at_ns, index, slot, cx, out);
            }
        }
    }

    /// Tells what has changed, if anything has.
    fn push(&mut self, at_ns: i64, index: usize, slot: usize, cx: &mut Common, out: &mut Outbox) {
        let venue = self.venue;
        let stamp_ns = at_ns + cx.faults.skew_ns;
        let one = &mut self.market.instruments[index];
        let channel = &mut self.sets[index].channels[slot];
        let Channel { kind, stream, .. } = channel;
        if stream.is_idle() {
            return;
        }
        let changed = std::mem::take(&mut channel.changed);
        match *kind {
            Kind::Book(_) => push_book(one, channel, &mut self.steps, at_ns, cx, out),
            Kind::Trades(_) => {
                let untold = std::mem::take(&mut channel.untold);
                if let Some(last) = untold.last() {
                    stream.emit(out, cx, at_ns, last.seq, |buf, name| {
                        frames::notification(buf, name, |json| frames::trades(json, one, &untold));
                    });
                }
            }
            Kind::Chart { interval_ns } => {
                let bar = *one.tape.bar(interval_ns, at_ns);
                if changed {
                    stream.emit(out, cx, at_ns, 0, |buf, name| {
                        frames::notification(buf, name, |json| {
                            frames::candle(json, &one.spec, &bar);
                        });
                    });
                }
                one.tape.roll_bar(interval_ns, at_ns);
            }
            _ if !changed => {}
            Kind::Grouped(depth, _) => stream.emit(out, cx, at_ns, one.last_id, |buf, name| {
                frames::notification(buf, name, |json| {
                    frames::grouped(json, one, depth, stamp_ns)
                });
            }),
            Kind::Quote => stream.emit(out, cx, at_ns, 0, |buf, name| {
                frames::notification(buf, name, |json| frames::quote(json, one, stamp_ns));
            }),
            Kind::Ticker(_) => stream.emit(out, cx, at_ns, 0, |buf, name| {
                frames::notification(buf, name, |json| frames::ticker(json, venue, one, stamp_ns));
            }),
            Kind::Index => stream.emit(out, cx, at_ns, 0, |buf, name| {
                let (_, of) = channels::parse(name).unwrap_or((Kind::Index, ""));
                frames::notification(buf, name, |json| frames::index(json, one, of, stamp_ns));
            }),
        }
    }

    fn push_timed(
        &mut self,
        at_ns: i64,
        (index, slot): (usize, usize),
        cx: &mut Common,
        out: &mut Outbox,
    ) {
        let channel = &mut self.sets[index].channels[slot];
        if channel.stream.is_idle() {
            channel.armed = false;
            return;
        }
        let kind = channel.kind;
        self.push(at_ns, index, slot, cx, out);
        self.arm(at_ns, kind, index, slot);
    }

    /// On the grid of the period, each instrument a little off.
    fn arm(&mut self, now: i64, kind: Kind, index: usize, slot: usize) {
        if let Some(period) = kind.period_ns() {
            let id = self.market.instruments[index].spec.id;
            let phase = i64::from(id) * 7_919_000 % period;
            let due = (now - phase).div_euclid(period) * period + period + phase;
            self.timers.push(Reverse((due, index, slot)));
        }
    }

    /// What a new subscriber gets at once.
    fn greet(
        &self,
        conn: ConnId,
        index: usize,
        slot: usize,
        now: i64,
        cx: &Common,
        out: &mut Outbox,
    ) {
        let one = &self.market.instruments[index];
        let channel = &self.sets[index].channels[slot];
        let stamp_ns = now + cx.faults.skew_ns;
        let (seq, venue) = (channel.shown_id, self.venue);
        match channel.kind {
            // As published, so that the next change follows on it.
            Kind::Book(_) => {
                let whole = whole(&channel.shown);
                channel
                    .stream
                    .emit_to(conn, out, cx, now, seq, |buf, name| {
                        frames::notification(buf, name, |json| {
                            frames::book(json, &one.spec, (None, seq), &whole, stamp_ns);
                        });
                    });
            }
            Kind::Grouped(depth, _) => {
                channel
                    .stream
                    .emit_to(conn, out, cx, now, one.last_id, |buf, name| {
                        frames::notification(buf, name, |json| {
                            frames::grouped(json, one, depth, stamp_ns);
                        });
                    });
            }
            Kind::Quote => channel.stream.emit_to(conn, out, cx, now, 0, |buf, name| {
                frames::notification(buf, name, |json| frames::quote(json, one, stamp_ns));
            }),
            Kind::Ticker(_) => channel.stream.emit_to(conn, out, cx, now, 0, |buf, name| {
                frames::notification(buf, name, |json| {
                    frames::ticker(json, venue, one, stamp_ns);
                });
            }),
            Kind::Trades(_) | Kind::Chart { .. } | Kind::Index => {}
        }
    }

    pub(super) fn last_trade(&self, index: usize) -> Option<Numbered> {
        self.sets[index].trades.back().copied()
    }
}

/// Every level of a book as new.
fn whole(book: &Book) -> Vec<Step> {
    let mut steps = Vec::new();
    for side in [Side::Bid, Side::Ask] {
        book.for_best(side, usize::MAX, |price, qty| {
            steps.push(Step {
                action: "new",
                side,
                price,
                qty,
            });
        });
    }
    steps
}

/// Tells the levels that have changed since the last message of this channel.
fn push_book(
    one: &Instrument,
    channel: &mut Channel,
    steps: &mut Vec<Step>,
    at_ns: i64,
    cx: &mut Common,
    out: &mut Outbox,
) {
    steps.clear();
    for (side, price) in std::mem::take(&mut channel.touched) {
        let (before, qty) = (channel.shown.qty(side, price), one.book.qty(side, price));
        let action = match (before, qty) {
            (before, qty) if before == qty => continue,
            (0, _) => "new",
            (_, 0) => "delete",
            _ => "change",
        };
        steps.push(Step {
            action,
            side,
            price,
            qty,
        });
    }
    if steps.is_empty() {
        return;
    }
    channel.shown.clone_from(&one.book);
    let prev = std::mem::replace(&mut channel.shown_id, one.last_id);
    let act = channel.stream.act(cx, at_ns, true);
    if let (Some(Act::Cross), (_, Some((price, qty)))) = (act, one.book.top()) {
        // A bid that is in no true book: above the best ask, as large as it.
        steps.insert(
            0,
            Step {
                action: "new",
                side: Side::Bid,
                price: price + 1,
                qty,
            },
        );
    }
    let (id, stamp_ns) = (one.last_id, at_ns + cx.faults.skew_ns);
    channel
        .stream
        .emit_as(act, out, cx, (at_ns, id), |buf, name| {
            frames::notification(buf, name, |json| {
                frames::book(json, &one.spec, (Some(prev), id), steps, stamp_ns);
            });
        });
}

impl Feed for DeribitFeed {
    fn knows(&self, topic: &str) -> bool {
        channels::is_silent(topic) || self.find(topic).is_some()
    }

    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, out: &mut Outbox) {
        let Some((index, kind)) = self.find(topic) else {
            return;
        };
        let one = &self.market.instruments[index];
        let set = &mut self.sets[index];
        let mut known = set.channels.iter();
        let slot = known.position(|channel| channel.stream.name == topic);
        let slot = slot.unwrap_or_else(|| {
            let stream = Stream::new(topic.to_owned(), kind.message());
            set.channels.push(Channel {
                kind,
                stream: stream.with_deltas(matches!(kind, Kind::Book(_))),
                armed: false,
                shown: Book::default(),
                shown_id: 0,
                touched: BTreeSet::new(),
                untold: Vec::new(),
                changed: false,
            });
            set.channels.len() - 1
        });
        let channel = &mut set.channels[slot];
        if channel.stream.is_idle() {
            channel.shown.clone_from(&one.book);
            channel.shown_id = one.last_id;
            channel.touched.clear();
            channel.untold.clear();
        }
        channel.stream.add(sub, &one.spec.symbol, cx);
        if !channel.armed {
            channel.armed = true;
            self.arm(now, kind, index, slot);
        }
        self.greet(sub.conn, index, slot, now, cx, out);
    }

    fn unsubscribe(&mut self, conn: ConnId, topic: &str) {
        if let Some(channel) = self.channel(topic) {
            channel.stream.remove(conn);
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
                    self.push_timed(due, (index, slot), cx, out);
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
        let call = request.path.strip_prefix("/api/v2/public/")?;
        let instrument = request.param("instrument_name");
        let found = instrument.and_then(|name| self.by_name.get(&name).copied());
        if let ("get_tradingview_chart_data", Some(index)) = (call, found) {
            let one = &mut self.market.instruments[index];
            let resolution = request.param("resolution").unwrap_or_default();
            let Some(interval_ns) = channels::resolution_ns(&resolution) else {
                return Some(rest::bad_param("resolution", now));
            };
            let bar = *one.tape.bar(interval_ns, now);
            return Some(rest::result(now, |json| {
                frames::chart(json, &one.spec, &bar)
            }));
        }
        let index_name = request.param("index_name").unwrap_or_default();
        let indexed = self.indices.get(&index_name).copied();
        let last = found.and_then(|index| self.last_trade(index));
        rest::answer(
            self.venue,
            &self.market,
            call,
            (found, indexed, last),
            request,
            now,
        )
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
                if let Some(channel) = self.channel(topic) {
                    channel.stream.stalled = *on;
                }
            }
            Command::SkipNextDelta { symbol } => {
                let Some(&index) = self.by_name.get(symbol) else {
                    return;
                };
                for channel in &mut self.sets[index].channels {
                    if matches!(channel.kind, Kind::Book(_)) && !channel.stream.is_idle() {
                        channel.stream.skip += 1;
                    }
                }
            }
            Command::Restart => self.market.reset_sequences(),
            _ => {}
        }
    }
}
