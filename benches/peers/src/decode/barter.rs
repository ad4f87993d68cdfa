//! barter-data: its own input types by serde_json, its transformers and its books.
//!
//! It subscribes to raw streams, so that of Binance's combined frames it is given what stands in
//! `data`. It has a connection for each kind of stream and need not find out what a message brings.
//! Of Bybit's depths it knows 1 and 50: the topics of others are written as 50 beforehand.

use core::hint::black_box;

use barter_data::books::OrderBook;
use barter_data::event::MarketEvent;
use barter_data::exchange::Connector as _;
use barter_data::exchange::binance::book::l1::BinanceOrderBookL1;
use barter_data::exchange::binance::book::l2::BinanceOrderBookL2Snapshot;
use barter_data::exchange::binance::futures::BinanceFuturesUsd;
use barter_data::exchange::binance::futures::l2::BinanceFuturesUsdOrderBooksL2Transformer;
use barter_data::exchange::binance::spot::BinanceSpot;
use barter_data::exchange::binance::spot::l2::BinanceSpotOrderBooksL2Transformer;
use barter_data::exchange::binance::trade::BinanceTrade;
use barter_data::exchange::bybit::book::BybitOrderBookMessage;
use barter_data::exchange::bybit::book::l2::BybitOrderBooksL2Transformer;
use barter_data::exchange::bybit::spot::BybitSpot;
use barter_data::exchange::bybit::trade::BybitTrade;
use barter_data::subscription::Map;
use barter_data::subscription::book::{OrderBookEvent, OrderBookL1, OrderBooksL1, OrderBooksL2};
use barter_data::subscription::trade::{PublicTrade, PublicTrades};
use barter_data::transformer::ExchangeTransformer;
use barter_data::transformer::stateless::StatelessTransformer;
use barter_integration::Transformer;
use barter_integration::subscription::SubscriptionId;
use futures_executor::block_on;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use tickwire_connectors::{Market, Venue};
use tokio::sync::mpsc::unbounded_channel;

use super::market::snapshot_of;
use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message, Step, Topic, topic_of};

enum Books {
    Spot(BinanceSpotOrderBooksL2Transformer<usize>),
    Futures(BinanceFuturesUsdOrderBooksL2Transformer<usize>),
    Bybit(BybitOrderBooksL2Transformer<usize>),
}

type Trades<Exchange, Input> = StatelessTransformer<Exchange, usize, PublicTrades, Input>;
type Tops<Exchange, Input> = StatelessTransformer<Exchange, usize, OrderBooksL1, Input>;

/// What one connector's streams are read by. The exchange is but a mark in the events.
struct Side {
    books: Books,
    binance_tops: Tops<BinanceSpot, BinanceOrderBookL1>,
    binance_trades: Trades<BinanceSpot, BinanceTrade>,
    bybit_tops: Tops<BybitSpot, BybitOrderBookMessage>,
    bybit_trades: Trades<BybitSpot, BybitTrade>,
}

/// barter-data.
#[expect(
    missing_debug_implementations,
    reason = "not all of its parts have one"
)]
pub struct Barter {
    venue: Venue,
    sides: Vec<Side>,
    keys: Vec<String>,
    books: Vec<OrderBook>,
    tops: Vec<[Option<Pair>; 2]>,
    summary: Option<Summary>,
}

/// Whether it can take the recording, or why not.
pub fn refusal(feed: &Feed) -> Option<&'static str> {
    match feed.venue {
        Venue::Deribit => return Some("barter-data has no Deribit"),
        Venue::Polymarket => return Some("barter-data has no Polymarket"),
        _ => {}
    }
    let inverse = feed.plans.iter().any(|plan| plan.market == Market::Inverse);
    if inverse && feed.venue == Venue::Binance {
        return Some("barter-data has no COIN-M");
    }
    if feed
        .messages
        .iter()
        .any(|message| message.kind == Kind::AggTrade)
    {
        return Some("barter-data has no aggTrade");
    }
    None
}

fn init<E, K, T>(map: &[(SubscriptionId, usize)], snapshots: &[MarketEvent<usize, K::Event>]) -> T
where
    K: barter_data::subscription::SubscriptionKind,
    T: ExchangeTransformer<E, usize, K>,
{
    let map: Map<usize> = map.iter().cloned().collect();
    let (sender, _) = unbounded_channel();
    match block_on(T::init(map, snapshots, sender)) {
        Ok(transformer) => transformer,
        Err(error) => panic!("barter-data: {error}"),
    }
}

impl Barter {
    /// For a recording; `check` has it take down what it says.
    ///
    /// # Panics
    /// Where a book of the recording has no snapshot.
    pub fn new(feed: &Feed, check: bool) -> Barter {
        let mut keys: Vec<String> = Vec::new();
        let mut maps: Vec<[Vec<(SubscriptionId, usize)>; 3]> = Vec::new();
        maps.resize_with(feed.plans.len(), Default::default);
        let mut snapshots: Vec<Vec<MarketEvent<usize, OrderBookEvent>>> = Vec::new();
        snapshots.resize_with(feed.plans.len(), Default::default);
        for Topic {
            connector,
            key,
            kind,
            ..
        } in &feed.topics
        {
            let symbol = key.split(' ').nth(1).unwrap_or_default().to_owned();
            let (place, channel) = match (kind, feed.venue) {
                (Kind::Depth, Venue::Bybit) => (0, "orderbook.50"),
                (Kind::Depth, _) => (0, "@depth@100ms"),
                (Kind::Top, Venue::Bybit) => (1, "orderbook.1"),
                (Kind::Top, _) => (1, "@bookTicker"),
                (_, Venue::Bybit) => (2, "publicTrade"),
                _ => (2, "@trade"),
            };
            let id = SubscriptionId::from(format!("{channel}|{symbol}"));
            maps[*connector][place].push((id, keys.len()));
            if place == 0
                && feed.venue == Venue::Binance
                && let Some(snapshot) = first_snapshot(feed, *connector, &symbol)
            {
                let event = (BinanceSpot::ID, keys.len(), snapshot);
                snapshots[*connector].push(MarketEvent::from(event));
            }
            keys.push(key.clone());
        }
        let mut books = vec![OrderBook::default(); keys.len()];
        for snapshot in snapshots.iter().flatten() {
            books[snapshot.instrument].update(&snapshot.kind);
        }
        let sides = feed.plans.iter().zip(&maps).zip(&snapshots);
        let sides = sides.map(|((plan, [depth, tops, trades]), snapshots)| Side {
            books: match (feed.venue, plan.market) {
                (Venue::Bybit, _) => {
                    Books::Bybit(init::<BybitSpot, OrderBooksL2, _>(depth, snapshots))
                }
                (_, Market::Spot) => {
                    Books::Spot(init::<BinanceSpot, OrderBooksL2, _>(depth, snapshots))
                }
                _ => Books::Futures(init::<BinanceFuturesUsd, OrderBooksL2, _>(depth, snapshots)),
            },
            binance_tops: init::<BinanceSpot, OrderBooksL1, _>(tops, &[]),
            binance_trades: init::<BinanceSpot, PublicTrades, _>(trades, &[]),
            bybit_tops: init::<BybitSpot, OrderBooksL1, _>(tops, &[]),
            bybit_trades: init::<BybitSpot, PublicTrades, _>(trades, &[]),
        });
        Barter {
            venue: feed.venue,
            sides: sides.collect(),
            tops: vec![[None, None]; keys.len()],
            keys,
            books,
            summary: check.then(Summary::default),
        }
    }

    #[inline]
    fn book(
        &mut self,
        events: Vec<Result<MarketEvent<usize, OrderBookEvent>, impl core::fmt::Debug>>,
    ) {
        for event in events {
            let event = match event {
                Ok(event) => event,
                Err(error) => panic!("barter-data: {error:?}"),
            };
            let index = event.instrument;
            let book = &mut self.books[index];
            book.update(&event.kind);
            let pair = |level: &barter_data::books::Level| (level.price, level.amount);
            let top = [book.bids().best().map(pair), book.asks().best().map(pair)];
            if top != self.tops[index] {
                self.tops[index] = top;
                black_box((event.time_exchange, index, top));
            }
        }
    }

    #[inline]
    fn top(&mut self, events: Vec<Result<MarketEvent<usize, OrderBookL1>, impl core::fmt::Debug>>) {
        for event in events {
            let Ok(event) = black_box(event) else {
                panic!("barter-data refuses a best bid and ask");
            };
            if let Some(summary) = &mut self.summary {
                let pair = |level: barter_data::books::Level| (level.price, level.amount);
                let top = [event.kind.best_bid.map(pair), event.kind.best_ask.map(pair)];
                summary.top(&self.keys[event.instrument], top);
            }
        }
    }

    #[inline]
    fn trade(
        &mut self,
        events: Vec<Result<MarketEvent<usize, PublicTrade>, impl core::fmt::Debug>>,
    ) {
        for event in events {
            let Ok(event) = black_box(event) else {
                panic!("barter-data refuses a trade");
            };
            if let Some(summary) = &mut self.summary {
                let decimal = |value: f64| {
                    let exact = Decimal::from_f64_retain(value).unwrap_or_default();
                    exact.round_dp(8)
                };
                if event.kind.amount > 0.0 {
                    summary.trade(decimal(event.kind.price), decimal(event.kind.amount));
                }
            }
        }
    }
}

/// The first snapshot of a symbol: deltas before it are outdated to barter-data.
fn first_snapshot(feed: &Feed, of: usize, symbol: &str) -> Option<BinanceOrderBookL2Snapshot> {
    feed.steps.iter().find_map(|step| {
        let Step::Call(connector, _, call) = step else {
            return None;
        };
        let (named, ..) = snapshot_of(call)?;
        let fits = *connector == of && named.is_none_or(|named| named == symbol);
        match call {
            Call::Answer(_, Ok(body), _) if fits => serde_json::from_slice(body).ok(),
            _ => None,
        }
    })
}

#[inline]
fn read<T: DeserializeOwned>(text: &[u8]) -> T {
    match serde_json::from_slice(text) {
        Ok(input) => input,
        Err(error) => panic!("barter-data: {error}: {}", String::from_utf8_lossy(text)),
    }
}

impl Way for Barter {
    fn text(&self, message: &Message) -> Vec<u8> {
        let text = String::from_utf8_lossy(&message.text);
        if self.venue == Venue::Bybit {
            let topic = topic_of(self.venue, &message.text).unwrap_or_default();
            let Some((_, symbol)) = topic
                .rsplit_once('.')
                .filter(|_| message.kind == Kind::Depth)
            else {
                return message.text.clone();
            };
            return text
                .replacen(topic, &format!("orderbook.50.{symbol}"), 1)
                .into_bytes();
        }
        let data = text.split_once("\"data\":").map_or("", |(_, data)| data);
        data.strip_suffix('}').unwrap_or(data).as_bytes().to_vec()
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let side = &mut self.sides[message.connector];
        match (message.kind, self.venue) {
            (Kind::Depth, _) => {
                let events = match &mut side.books {
                    Books::Spot(books) => books.transform(read(text)),
                    Books::Futures(books) => books.transform(read(text)),
                    Books::Bybit(books) => books.transform(read(text)),
                };
                self.book(events);
            }
            (Kind::Top, Venue::Bybit) => {
                let events = side.bybit_tops.transform(read(text));
                self.top(events);
            }
            (Kind::Top, _) => {
                let events = side.binance_tops.transform(read(text));
                self.top(events);
            }
            (_, Venue::Bybit) => {
                let events = side.bybit_trades.transform(read(text));
                self.trade(events);
            }
            _ => {
                let events = side.binance_trades.transform(read(text));
                self.trade(events);
            }
        }
    }

    fn summary(&mut self) -> Summary {
        let mut summary = self.summary.take().unwrap_or_default();
        for (key, book) in self.keys.iter().zip(&self.books) {
            let pair = |level: &barter_data::books::Level| (level.price, level.amount);
            let (bids, asks) = (book.bids().levels(), book.asks().levels());
            if !bids.is_empty() || !asks.is_empty() {
                summary.book(key, bids.iter().map(pair), asks.iter().map(pair));
            }
        }
        summary
    }
}
