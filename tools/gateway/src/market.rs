//! Market data as channels: one stream of the engine a market and kind, shared by all who look at it. What
//! comes within a turn of the gateway's thread becomes one event a channel.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tickwire::ring::Item;
use tickwire::{
    Body, Book, Change, Event, LevelDelta, Nanos, Price, Qty, Replica, Side, StreamId, Trade, Wide,
    WideBody,
};

use crate::feed::{Feed, FeedError, Part};
use crate::hub::ChannelId;
use crate::protocol::{
    BookDelta, BookOf, BookState, EventData, TickerEvent, TradeEvent, TradesSnapshot,
};

/// Trades in a snapshot.
const TRADES_KEPT: usize = 50;

/// Events taken from the ring in a turn: the clients are looked after in between.
const EVENTS_A_TURN: usize = 20_000;

/// A stream that nobody looks at is kept open for so long: a page that is loaded anew finds it.
const IDLE: Nanos = Nanos::from_secs(5);

type Levels = Vec<(String, String)>;

/// A market's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MarketKey {
    pub(crate) venue: String,
    pub(crate) market: String,
    pub(crate) symbol: String,
}

#[derive(Debug)]
struct Screen {
    channel: ChannelId,
    /// Levels a side; 0 is all.
    depth: usize,
    /// Of a screen with a depth: the mantissas that were last shown.
    shown: [Vec<(i64, i64)>; 2],
    /// Whether it shows a book, rather than that there is none to be believed.
    is_live: bool,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    key: MarketKey,
    part: Part,
    replica: Replica,
    /// The replica is at the end of a message.
    is_whole: bool,
    /// A snapshot came: deltas can't tell it.
    is_fresh: bool,
    touched: [BTreeSet<i64>; 2],
    exch_ns: Nanos,
    recv_ns: Nanos,
    /// The last state that was told of, while the book is not live.
    told: Option<BookState>,
    trades: VecDeque<TradeEvent>,
    ticker: Option<TickerEvent>,
    screens: Vec<Screen>,
    idle_since: Option<Nanos>,
}

/// All streams that are open.
pub(crate) struct Markets {
    feed: Box<dyn Feed>,
    streams: HashMap<StreamId, Stream>,
    by_key: HashMap<(MarketKey, Part), StreamId>,
    streams_max: usize,
    pub(crate) events: u64,
}

impl std::fmt::Debug for Markets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Markets")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// A stream could not be opened.
#[derive(Debug, PartialEq)]
pub(crate) enum OpenError {
    Feed(FeedError),
    TooMany,
}

impl Markets {
    pub(crate) fn new(feed: Box<dyn Feed>, streams_max: usize) -> Markets {
        Markets {
            feed,
            streams: HashMap::new(),
            by_key: HashMap::new(),
            streams_max,
            events: 0,
        }
    }

    /// Streams that are open.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Opens a market's stream, or finds it open.
    pub(crate) fn open(
        &mut self,
        key: &MarketKey,
        part: Part,
        now: Nanos,
    ) -> Result<StreamId, OpenError> {
        if let Some(id) = self.by_key.get(&(key.clone(), part)) {
            return Ok(*id);
        }
        if self.streams.len() >= self.streams_max {
            return Err(OpenError::TooMany);
        }
        let id = self
            .feed
            .open(&key.venue, &key.market, &key.symbol, part)
            .map_err(OpenError::Feed)?;
        let stream = Stream {
            id,
            key: key.clone(),
            part,
            replica: Replica::default(),
            is_whole: false,
            is_fresh: true,
            touched: Default::default(),
            exch_ns: Nanos::ZERO,
            recv_ns: Nanos::ZERO,
            told: None,
            trades: VecDeque::new(),
            ticker: None,
            screens: Vec::new(),
            idle_since: Some(now),
        };
        self.streams.insert(id, stream);
        self.by_key.insert((key.clone(), part), id);
        Ok(id)
    }

    /// Shows a stream on a channel.
    pub(crate) fn show(&mut self, stream: StreamId, channel: ChannelId, depth: u32) {
        if let Some(stream) = self.streams.get_mut(&stream)
            && !stream
                .screens
                .iter()
                .any(|screen| screen.channel == channel)
        {
            stream.screens.push(Screen {
                channel,
                depth: depth as usize,
                shown: Default::default(),
                is_live: false,
            });
        }
    }

    /// Takes what the feed has, and gives what it means for the channels.
    pub(crate) fn turn(&mut self, now: Nanos, publish: &mut dyn FnMut(ChannelId, EventData)) {
        let mut changed = BTreeSet::new();
        for _ in 0..EVENTS_A_TURN {
            let stream = match self.feed.next() {
                None => break,
                Some(Item::Hot(event)) => {
                    let id = event.stream();
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.hot(&event, publish);
                    }
                    id
                }
                Some(Item::Wide(wide)) => {
                    let id = wide.stream;
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.wide(wide, publish);
                    }
                    id
                }
            };
            self.events += 1;
            changed.insert(stream);
        }
        for id in changed {
            if let Some(stream) = self.streams.get_mut(&id) {
                if stream.replica.take_question(now) {
                    self.feed.again(id);
                }
                stream.tell_book(publish);
            }
        }
    }

    /// Closes streams that nobody has looked at for a while; gives the channels that are closed with them.
    pub(crate) fn sweep(
        &mut self,
        now: Nanos,
        is_read: impl Fn(ChannelId) -> bool,
    ) -> Vec<ChannelId> {
        let mut closed = Vec::new();
        let mut gone = Vec::new();
        for stream in self.streams.values_mut() {
            if stream.screens.iter().any(|screen| is_read(screen.channel)) {
                stream.idle_since = None;
                continue;
            }
            let since = *stream.idle_since.get_or_insert(now);
            if now.since(since) >= IDLE {
                closed.extend(stream.screens.iter().map(|screen| screen.channel));
                gone.push((stream.id, (stream.key.clone(), stream.part)));
            }
        }
        for (id, key) in gone {
            self.streams.remove(&id);
            self.by_key.remove(&key);
            self.feed.close(id);
        }
        closed
    }

    /// The state at the head of a book's channel. Where that can't be told (half of a message is in, or
    /// there is no book to be believed), the channel's next event is a whole book.
    pub(crate) fn snapshot(&mut self, stream: StreamId, channel: ChannelId) -> Option<BookOf> {
        let stream = self.streams.get_mut(&stream)?;
        let place = stream
            .screens
            .iter()
            .position(|screen| screen.channel == channel)?;
        let book = stream.screen_book(stream.screens.get(place)?);
        if !book.live {
            stream.screens.get_mut(place)?.is_live = false;
        }
        Some(book)
    }

    pub(crate) fn trades(&self, stream: StreamId) -> TradesSnapshot {
        let trades = self.streams.get(&stream).map(|stream| &stream.trades);
        TradesSnapshot {
            trades: trades.map_or_else(Vec::new, |trades| trades.iter().cloned().collect()),
        }
    }

    pub(crate) fn ticker(&self, stream: StreamId) -> Option<TickerEvent> {
        self.streams.get(&stream)?.ticker.clone()
    }

    /// The book as it is, where it is whole and continuous with the venue.
    pub(crate) fn book(&self, stream: StreamId, depth: usize) -> Option<BookOf> {
        let stream = self.streams.get(&stream)?;
        stream.is_believed().then(|| stream.book(depth, true))
    }
}

impl Stream {
    fn is_believed(&self) -> bool {
        self.replica.is_valid() && self.is_whole
    }

    fn hot(&mut self, event: &Event, publish: &mut dyn FnMut(ChannelId, EventData)) {
        match (event.body(), self.part) {
            (Body::Trade(trade), Part::Trades) => self.trade(&trade, publish),
            (body, Part::Book) => {
                if let Body::Level(delta) = &body {
                    self.level(delta);
                }
                let was_valid = self.replica.is_valid();
                let change = self.replica.handle(event);
                if let Body::Level(_) = body {
                    self.is_whole = change == Change::Batch;
                }
                if let Body::State(state) = body
                    && !state.is_live()
                {
                    self.tell_state(state.state().as_str(), state.reason().as_str(), publish);
                } else if was_valid && !self.replica.is_valid() {
                    self.tell_state("resync", "lost", publish);
                }
            }
            _ => {}
        }
    }

    fn level(&mut self, delta: &LevelDelta) {
        if delta.starts_snapshot() {
            self.is_fresh = true;
        }
        (self.exch_ns, self.recv_ns) = (delta.exch_ns(), delta.recv_ns());
        let [bids, asks] = &mut self.touched;
        match delta.side() {
            Side::Bid => bids.insert(delta.level().price),
            Side::Ask => asks.insert(delta.level().price),
        };
    }

    fn tell_state(
        &mut self,
        state: &str,
        reason: &str,
        publish: &mut dyn FnMut(ChannelId, EventData),
    ) {
        self.is_fresh = true;
        self.touched = Default::default();
        let told = BookState {
            state: state.to_owned(),
            reason: reason.to_owned(),
        };
        if self.told.as_ref() == Some(&told) {
            return;
        }
        self.told = Some(told.clone());
        for screen in &mut self.screens {
            screen.is_live = false;
            publish(screen.channel, EventData::BookState(told.clone()));
        }
    }

    /// Tells of what changed since it was last told, where the book is whole.
    fn tell_book(&mut self, publish: &mut dyn FnMut(ChannelId, EventData)) {
        if self.part != Part::Book || !self.is_believed() {
            return;
        }
        self.told = None;
        let touched = std::mem::take(&mut self.touched);
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let mut screens = std::mem::take(&mut self.screens);
        for screen in &mut screens {
            if is_fresh || !screen.is_live {
                screen.is_live = true;
                screen.shown = self.top(screen.depth);
                publish(
                    screen.channel,
                    EventData::BookSnapshot(self.screen_book(screen)),
                );
                continue;
            }
            let [bids, asks] = if screen.depth == 0 {
                self.quantities(&touched)
            } else {
                let now = self.top(screen.depth);
                let levels = self.differences(&screen.shown, &now);
                screen.shown = now;
                levels
            };
            if !bids.is_empty() || !asks.is_empty() {
                let delta = BookDelta {
                    // The channel's own numbers, filled in where the event is numbered.
                    from: 0,
                    to: 0,
                    seq_venue: self.replica.seq(),
                    ts_venue: self.exch_ns.0,
                    ts_recv: self.recv_ns.0,
                    bids,
                    asks,
                };
                publish(screen.channel, EventData::BookDelta(delta));
            }
        }
        self.screens = screens;
    }

    /// The mantissas of the best levels; of none where all are shown (they need no comparison).
    fn top(&self, depth: usize) -> [Vec<(i64, i64)>; 2] {
        [Side::Bid, Side::Ask].map(|side| {
            let levels = self.replica.book().levels(side).take(depth);
            levels.map(|level| (level.price, level.qty)).collect()
        })
    }

    fn quantities(&self, touched: &[BTreeSet<i64>; 2]) -> [Levels; 2] {
        let book = self.replica.book();
        let [bids, asks] = touched;
        [(Side::Bid, bids), (Side::Ask, asks)].map(|(side, prices)| {
            let level = |price: &i64| self.text(*price, book.qty_at(side, *price).unwrap_or(0));
            prices.iter().map(level).collect()
        })
    }

    /// What leads from one top to another.
    fn differences(&self, old: &[Vec<(i64, i64)>; 2], new: &[Vec<(i64, i64)>; 2]) -> [Levels; 2] {
        let [old_bids, old_asks] = old;
        let [new_bids, new_asks] = new;
        [(old_bids, new_bids), (old_asks, new_asks)].map(|(old, new)| {
            let was: HashMap<i64, i64> = old.iter().copied().collect();
            let is: HashMap<i64, i64> = new.iter().copied().collect();
            let gone = old.iter().filter(|(price, _)| !is.contains_key(price));
            let gone = gone.map(|(price, _)| self.text(*price, 0));
            let set = new
                .iter()
                .filter(|(price, qty)| was.get(price) != Some(qty));
            gone.chain(set.map(|(price, qty)| self.text(*price, *qty)))
                .collect()
        })
    }

    fn text(&self, price: i64, qty: i64) -> (String, String) {
        let price = Price::new(price, self.replica.price_scale());
        let qty = Qty::new(qty, self.replica.qty_scale());
        (price.to_string(), qty.to_string())
    }

    /// The book as a screen shows it: that is the state at the head of its channel.
    fn screen_book(&self, screen: &Screen) -> BookOf {
        let is_shown = screen.is_live && self.is_believed() && self.is_told();
        self.book(screen.depth, is_shown)
    }

    /// Whether all changes were told.
    fn is_told(&self) -> bool {
        let [bids, asks] = &self.touched;
        !self.is_fresh && bids.is_empty() && asks.is_empty()
    }

    fn book(&self, depth: usize, is_live: bool) -> BookOf {
        let depth = if depth == 0 { usize::MAX } else { depth };
        let side = |side| -> Levels {
            let book: &Book = self.replica.book();
            let levels = book.levels(side).take(if is_live { depth } else { 0 });
            levels
                .map(|level| self.text(level.price, level.qty))
                .collect()
        };
        BookOf {
            venue: self.key.venue.clone(),
            market: self.key.market.clone(),
            symbol: self.key.symbol.clone(),
            live: is_live,
            seq_venue: self.replica.seq(),
            ts_venue: self.exch_ns.0,
            ts_recv: self.recv_ns.0,
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        }
    }

    fn trade(&mut self, trade: &Trade, publish: &mut dyn FnMut(ChannelId, EventData)) {
        let event = TradeEvent {
            id: trade.id().to_string(),
            price: trade.price().to_string(),
            qty: trade.qty().to_string(),
            aggressor: trade.aggressor().as_str().to_owned(),
            ts_venue: trade.exch_ns().0,
            ts_recv: trade.recv_ns().0,
        };
        for screen in &self.screens {
            publish(screen.channel, EventData::Trade(event.clone()));
        }
        self.trades.push_back(event);
        if self.trades.len() > TRADES_KEPT {
            self.trades.pop_front();
        }
    }

    fn wide(&mut self, wide: &Wide, publish: &mut dyn FnMut(ChannelId, EventData)) {
        let (WideBody::Ticker(ticker), Part::Ticker) = (&wide.body, self.part) else {
            return;
        };
        let price = |price: Option<Price>| price.map(|price| price.to_string());
        let level = |level: Option<(Price, Qty)>| {
            level.map(|(price, qty)| (price.to_string(), qty.to_string()))
        };
        let event = TickerEvent {
            last: price(ticker.last),
            bid: level(ticker.bid),
            ask: level(ticker.ask),
            high: price(ticker.high),
            low: price(ticker.low),
            volume: ticker.volume.map(|volume| volume.plain().to_string()),
            mark: price(ticker.mark),
            funding_rate: price(ticker.funding_rate),
            ts_venue: wide.exch_ns.0,
            ts_recv: wide.recv_ns.0,
        };
        for screen in &self.screens {
            publish(screen.channel, EventData::Ticker(event.clone()));
        }
        self.ticker = Some(event);
    }
}
