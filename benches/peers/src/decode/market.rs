//! What those who bring only a parser do with what they have parsed: maps of decimals by price, the
//! venue's sequence rule, an event for each new best bid and ask and each trade.

use core::hint::black_box;
use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use super::{Pair, Summary};
use crate::feed::{Call, Feed, Kind};

/// Numbers and time of a book message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Whole book instead of a change.
    pub is_whole: bool,
    /// First update in it.
    pub first: u64,
    /// Last update in it.
    pub last: u64,
    /// Last update of the message before it, where the venue says so.
    pub prev: Option<u64>,
    /// The venue's time.
    pub time_ms: u64,
}

impl Head {
    /// That of a whole book without a number.
    pub const fn whole(time_ms: u64) -> Head {
        Head {
            is_whole: true,
            first: 0,
            last: 0,
            prev: None,
            time_ms,
        }
    }
}

/// What a user's code is told.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "read by nobody, as a benchmark's events are")]
enum Event {
    Top {
        stream: usize,
        seq: u64,
        time_ms: u64,
        top: [Option<Pair>; 2],
    },
    Trade {
        stream: usize,
        price: Decimal,
        qty: Decimal,
        is_buy: bool,
        time_ms: u64,
    },
}

#[derive(Debug)]
struct Stream {
    key: String,
    kind: Kind,
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    is_live: bool,
    is_joined: bool,
    last: u64,
    held: Vec<(Head, Vec<Pair>, Vec<Pair>)>,
    top: [Option<Pair>; 2],
}

impl Stream {
    #[inline]
    fn best(&self) -> [Option<Pair>; 2] {
        let pair = |(price, qty): (&Decimal, &Decimal)| (*price, *qty);
        [
            self.bids.last_key_value().map(pair),
            self.asks.first_key_value().map(pair),
        ]
    }
}

/// All streams of a recording.
#[derive(Debug)]
pub struct Market {
    /// By connector: the streams by the venue's names.
    topics: Vec<HashMap<String, usize>>,
    streams: Vec<Stream>,
    /// Those that the message under way has changed.
    touched: Vec<usize>,
    events: Vec<Event>,
    summary: Option<Summary>,
    gaps: u64,
}

impl Market {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Market {
        let mut topics: Vec<HashMap<String, usize>> = vec![HashMap::new(); feed.plans.len()];
        let mut streams = Vec::new();
        for topic in &feed.topics {
            topics[topic.connector].insert(topic.name.clone(), streams.len());
            streams.push(Stream {
                key: topic.key.clone(),
                kind: topic.kind,
                bids: BTreeMap::new(),
                asks: BTreeMap::new(),
                is_live: false,
                is_joined: false,
                last: 0,
                held: Vec::new(),
                top: [None, None],
            });
        }
        Market {
            topics,
            streams,
            touched: Vec::with_capacity(16),
            events: Vec::with_capacity(64),
            summary: check.then(Summary::default),
            gaps: 0,
        }
    }

    /// The stream of a topic, and what it brings.
    #[inline]
    pub fn find(&self, connector: usize, topic: &str) -> Option<(usize, Kind)> {
        let index = *self.topics.get(connector)?.get(topic)?;
        Some((index, self.streams.get(index)?.kind))
    }

    /// A snapshot by REST.
    pub fn call(&mut self, connector: usize, call: &Call) {
        let Some((symbol, last, bids, asks)) = snapshot_of(call) else {
            return;
        };
        for index in 0..self.streams.len() {
            let stream = &self.streams[index];
            let key = &stream.key;
            let is_its = stream.kind == Kind::Depth
                && key.starts_with(&format!("{connector} "))
                && symbol
                    .as_ref()
                    .is_none_or(|symbol| key.contains(&format!(" {symbol} ")));
            if is_its && !stream.is_live {
                let head = Head {
                    is_whole: true,
                    last,
                    ..Head::default()
                };
                self.book(index, head, &bids, &asks);
                self.events.clear();
            }
        }
    }

    /// A book message.
    #[inline]
    pub fn book(&mut self, index: usize, head: Head, bids: &[Pair], asks: &[Pair]) {
        let stream = &mut self.streams[index];
        if head.is_whole {
            stream.bids = bids.iter().copied().collect();
            stream.asks = asks.iter().copied().collect();
            stream.is_live = true;
            stream.is_joined = head.time_ms > 0;
            stream.last = head.last;
            for (head, bids, asks) in std::mem::take(&mut stream.held) {
                self.book(index, head, &bids, &asks);
            }
        } else if !stream.is_live {
            stream.held.push((head, bids.to_vec(), asks.to_vec()));
            return;
        } else if head.last <= stream.last {
            return;
        } else {
            let follows = match head.prev {
                Some(prev) if stream.is_joined => prev == stream.last,
                Some(prev) => prev <= stream.last,
                None => head.first <= stream.last + 1,
            };
            if !follows {
                self.gaps += 1;
                return;
            }
            stream.is_joined = true;
            stream.last = head.last;
            for (side, levels) in [(&mut stream.bids, bids), (&mut stream.asks, asks)] {
                for (price, qty) in levels {
                    if qty.is_zero() {
                        side.remove(price);
                    } else {
                        side.insert(*price, *qty);
                    }
                }
            }
        }
        let stream = &mut self.streams[index];
        let top = stream.best();
        if stream.kind == Kind::Top {
            stream.top = top;
            self.say_top(index, head.last, head.time_ms, top);
        } else if top != stream.top {
            stream.top = top;
            let (seq, time_ms) = (head.last, head.time_ms);
            self.events.push(Event::Top {
                stream: index,
                seq,
                time_ms,
                top,
            });
        }
        self.publish();
    }

    /// A level's new total, in a book of a venue that numbers nothing.
    #[inline]
    pub fn change(&mut self, index: usize, is_bid: bool, (price, qty): Pair) {
        let stream = &mut self.streams[index];
        if !stream.is_live {
            return;
        }
        let side = if is_bid {
            &mut stream.bids
        } else {
            &mut stream.asks
        };
        if qty.is_zero() {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
        if !self.touched.contains(&index) {
            self.touched.push(index);
        }
    }

    /// All that a message has for [`Market::change`]. That books have not crossed is all that tells
    /// whether something is missing.
    #[inline]
    pub fn changed(&mut self, time_ms: u64) {
        for at in 0..self.touched.len() {
            let stream = self.touched[at];
            let top = self.streams[stream].best();
            if let [Some((bid, _)), Some((ask, _))] = top
                && bid >= ask
            {
                self.forget(stream);
            } else if top != self.streams[stream].top {
                self.streams[stream].top = top;
                self.events.push(Event::Top {
                    stream,
                    seq: 0,
                    time_ms,
                    top,
                });
            }
        }
        self.touched.clear();
        self.publish();
    }

    /// A book is not to be believed until it comes as a whole.
    pub fn forget(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        stream.is_live = false;
        stream.bids.clear();
        stream.asks.clear();
        stream.top = [None, None];
    }

    /// A best bid and ask.
    #[inline]
    pub fn top(&mut self, index: usize, seq: u64, time_ms: u64, bid: Pair, ask: Pair) {
        let stream = &mut self.streams[index];
        if seq < stream.last {
            return;
        }
        stream.last = seq;
        let some = |side: Pair| (!side.1.is_zero()).then_some(side);
        self.say_top(index, seq, time_ms, [some(bid), some(ask)]);
        self.publish();
    }

    fn say_top(&mut self, index: usize, seq: u64, time_ms: u64, top: [Option<Pair>; 2]) {
        self.events.push(Event::Top {
            stream: index,
            seq,
            time_ms,
            top,
        });
        if let Some(summary) = &mut self.summary {
            summary.top(&self.streams[index].key, top);
        }
    }

    /// A trade.
    #[inline]
    pub fn trade(&mut self, stream: usize, time_ms: u64, price: Decimal, qty: Decimal, buy: bool) {
        if qty.is_zero() {
            return;
        }
        self.events.push(Event::Trade {
            stream,
            price,
            qty,
            is_buy: buy,
            time_ms,
        });
        if let Some(summary) = &mut self.summary {
            summary.trade(price, qty);
        }
        self.publish();
    }

    #[inline]
    fn publish(&mut self) {
        black_box(&self.events);
        self.events.clear();
    }

    /// What it came to.
    ///
    /// # Panics
    /// Where messages were missing.
    pub fn summary(&mut self) -> Summary {
        assert_eq!(self.gaps, 0, "gaps that tickwire has not found");
        let mut summary = self.summary.take().unwrap_or_default();
        for stream in &self.streams {
            let is_empty = stream.bids.is_empty() && stream.asks.is_empty();
            if stream.kind == Kind::Depth && stream.is_live && !is_empty {
                let pair = |(price, qty): (&Decimal, &Decimal)| (*price, *qty);
                let bids = stream.bids.iter().rev().map(pair);
                summary.book(&stream.key, bids, stream.asks.iter().map(pair));
            }
        }
        summary
    }
}

/// Symbol, last update, bids and asks of an answer that is a Binance snapshot.
#[expect(clippy::type_complexity, reason = "told above")]
pub fn snapshot_of(call: &Call) -> Option<(Option<String>, u64, Vec<Pair>, Vec<Pair>)> {
    let Call::Answer(_, Ok(body), target) = call else {
        return None;
    };
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let last = body.get("lastUpdateId")?.as_u64()?;
    let side = |key| {
        let levels = body.get(key)?.as_array()?.iter();
        let decimal = |text: &serde_json::Value| text.as_str()?.parse::<Decimal>().ok();
        let level = |level: &serde_json::Value| Some((decimal(&level[0])?, decimal(&level[1])?));
        levels.map(level).collect::<Option<Vec<Pair>>>()
    };
    let (_, query) = target.split_once("symbol=").unzip();
    let symbol = query.and_then(|query| query.split('&').next());
    Some((
        symbol.map(str::to_owned),
        last,
        side("bids")?,
        side("asks")?,
    ))
}
