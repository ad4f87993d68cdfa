//! Types derived by serde, filled by serde_json or sonic-rs: what one writes with care. The topic is
//! cut from the front of the message and tells which type to fill; Polymarket has none, and one type
//! holds whatever comes.

use core::marker::PhantomData;

use rust_decimal::Decimal;
use serde::de::Deserialize;
use tickwire_connectors::{Nanos, Venue};

use super::market::{Head, Market};
use super::shapes::{
    Bare, BybitBook, BybitTrade, Combined, Depth, DeribitBookData, DeribitLevel, DeribitQuote,
    DeribitTrade, Notification, Number, PolymarketLevel, PolymarketObject, Ticker, Trade,
};
use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message, topic_of};

/// A parser of serde's.
pub trait Json {
    /// Reads a text.
    fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T>;
}

/// serde_json.
#[derive(Debug)]
pub struct SerdeJson;

impl Json for SerdeJson {
    #[inline]
    fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
        serde_json::from_slice(text).ok()
    }
}

/// sonic-rs.
#[derive(Debug)]
pub struct SonicRs;

impl Json for SonicRs {
    #[inline]
    fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
        sonic_rs::from_slice(text).ok()
    }
}

/// Typed structs by `J`.
#[derive(Debug)]
pub struct Typed<J> {
    venue: Venue,
    market: Market,
    json: PhantomData<J>,
}

/// By serde_json.
pub type SerdeTyped = Typed<SerdeJson>;

/// By sonic-rs.
pub type SonicTyped = Typed<SonicRs>;

/// Levels as pairs.
fn pairs(levels: Vec<[Number; 2]>) -> Vec<Pair> {
    levels
        .into_iter()
        .map(|[price, qty]| (price.0, qty.0))
        .collect()
}

fn deribit_pairs(levels: Vec<DeribitLevel<'_>>) -> Vec<Pair> {
    let pair = |(action, price, qty): DeribitLevel<'_>| match action {
        "delete" => (price.0, Decimal::ZERO),
        _ => (price.0, qty.0),
    };
    levels.into_iter().map(pair).collect()
}

fn polymarket_pairs(levels: Vec<PolymarketLevel>) -> Vec<Pair> {
    levels
        .into_iter()
        .map(|level| (level.price.0, level.size.0))
        .collect()
}

impl<J: Json> Typed<J> {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Typed<J> {
        Typed {
            venue: feed.venue,
            market: Market::new(feed, check),
            json: PhantomData,
        }
    }

    #[inline]
    fn read(&mut self, connector: usize, text: &[u8]) -> Option<()> {
        if self.venue == Venue::Polymarket {
            return self.polymarket(connector, text);
        }
        let topic = topic_of(self.venue, text)?;
        let (stream, kind) = self.market.find(connector, topic)?;
        match self.venue {
            Venue::Bybit => self.bybit(stream, kind, text),
            Venue::Deribit => self.deribit(stream, kind, text),
            _ => self.binance(stream, kind, text),
        }
    }

    #[inline]
    fn binance(&mut self, stream: usize, kind: Kind, text: &[u8]) -> Option<()> {
        match kind {
            Kind::Depth | Kind::Whole => {
                let Combined { data } = J::read::<Combined<Depth>>(text)?;
                let head = Head {
                    is_whole: false,
                    first: data.first,
                    last: data.last,
                    prev: data.prev,
                    time_ms: data.time_ms,
                };
                self.market
                    .book(stream, head, &pairs(data.bids), &pairs(data.asks));
            }
            Kind::Top => {
                let Combined { data } = J::read::<Combined<Ticker>>(text)?;
                let (bid, ask) = ((data.bid.0, data.bid_qty.0), (data.ask.0, data.ask_qty.0));
                self.market.top(stream, data.seq, data.time_ms, bid, ask);
            }
            Kind::Trade | Kind::AggTrade => {
                let Combined { data } = J::read::<Combined<Trade>>(text)?;
                let (price, qty) = (data.price.0, data.qty.0);
                let is_buy = !data.buyer_is_maker;
                self.market.trade(stream, data.time_ms, price, qty, is_buy);
            }
        }
        Some(())
    }

    #[inline]
    fn bybit(&mut self, stream: usize, kind: Kind, text: &[u8]) -> Option<()> {
        if matches!(kind, Kind::Trade | Kind::AggTrade) {
            let Combined { data } = J::read::<Combined<Vec<BybitTrade<'_>>>>(text)?;
            for trade in data {
                let (price, qty) = (trade.price.0, trade.qty.0);
                let is_buy = trade.side == "Buy";
                self.market.trade(stream, trade.time_ms, price, qty, is_buy);
            }
            return Some(());
        }
        let message: BybitBook<'_> = J::read(text)?;
        let head = Head {
            is_whole: message.kind == "snapshot",
            first: message.data.seq,
            last: message.data.seq,
            prev: None,
            time_ms: message.ts,
        };
        let (bids, asks) = (pairs(message.data.bids), pairs(message.data.asks));
        self.market.book(stream, head, &bids, &asks);
        Some(())
    }

    #[inline]
    fn deribit(&mut self, stream: usize, kind: Kind, text: &[u8]) -> Option<()> {
        match kind {
            Kind::Depth | Kind::Whole => {
                let message: Notification<DeribitBookData<'_>> = J::read(text)?;
                let data = message.params.data;
                let head = Head {
                    is_whole: data.kind == "snapshot",
                    first: data.seq,
                    last: data.seq,
                    prev: data.prev,
                    time_ms: data.time_ms,
                };
                let (bids, asks) = (deribit_pairs(data.bids), deribit_pairs(data.asks));
                self.market.book(stream, head, &bids, &asks);
            }
            Kind::Top => {
                let data = J::read::<Notification<DeribitQuote>>(text)?.params.data;
                let pair = |price: Option<Bare>, qty: Option<Bare>| match (price, qty) {
                    (Some(price), Some(qty)) => (price.0, qty.0),
                    _ => (Decimal::ZERO, Decimal::ZERO),
                };
                let (bid, ask) = (pair(data.bid, data.bid_qty), pair(data.ask, data.ask_qty));
                self.market.top(stream, 0, data.time_ms, bid, ask);
            }
            Kind::Trade | Kind::AggTrade => {
                let message: Notification<Vec<DeribitTrade<'_>>> = J::read(text)?;
                for trade in message.params.data {
                    let (price, qty) = (trade.price.0, trade.qty.0);
                    let is_buy = trade.side == "buy";
                    self.market.trade(stream, trade.time_ms, price, qty, is_buy);
                }
            }
        }
        Some(())
    }

    #[inline]
    fn polymarket(&mut self, connector: usize, text: &[u8]) -> Option<()> {
        if text.first() == Some(&b'[') {
            for object in J::read::<Vec<PolymarketObject<'_>>>(text)? {
                self.polymarket_object(connector, object)?;
            }
            return Some(());
        }
        self.polymarket_object(connector, J::read(text)?)
    }

    #[inline]
    fn polymarket_object(&mut self, connector: usize, object: PolymarketObject<'_>) -> Option<()> {
        let time_ms = object.timestamp?.parse().ok()?;
        match object.event_type {
            "price_change" => {
                for change in object.price_changes? {
                    let (stream, _) = self.market.find(connector, change.asset_id)?;
                    let pair = (change.price.0, change.size.0);
                    self.market.change(stream, change.side == "BUY", pair);
                }
                self.market.changed(time_ms);
            }
            "book" => {
                let (stream, _) = self.market.find(connector, object.asset_id?)?;
                let (bids, asks) = (
                    polymarket_pairs(object.bids?),
                    polymarket_pairs(object.asks?),
                );
                let head = Head::whole(time_ms);
                self.market.book(stream, head, &bids, &asks);
            }
            "last_trade_price" => {
                let (stream, _) = self.market.find(connector, object.asset_id?)?;
                let (price, qty) = (object.price?.0, object.size?.0);
                let is_buy = object.side? == "BUY";
                self.market.trade(stream, time_ms, price, qty, is_buy);
            }
            "tick_size_change" => {
                let (stream, _) = self.market.find(connector, object.asset_id?)?;
                self.market.forget(stream);
            }
            _ => {}
        }
        Some(())
    }
}

impl<J: Json> Way for Typed<J> {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        match call {
            // Whole books that are not timed.
            Call::Other(_, text) if self.venue == Venue::Polymarket => {
                self.read(connector, text);
            }
            _ => self.market.call(connector, call),
        }
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let read = self.read(message.connector, text);
        assert!(
            read.is_some(),
            "not read: {}",
            String::from_utf8_lossy(text)
        );
    }

    fn summary(&mut self) -> Summary {
        self.market.summary()
    }
}
