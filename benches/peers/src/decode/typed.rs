//! Types derived by serde, filled by serde_json or sonic-rs: what one writes with care. The topic is
//! cut from the front of the message and tells which type to fill.

use core::fmt;
use core::marker::PhantomData;

use rust_decimal::Decimal;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::market::{Head, Market};
use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message, topic_of};
use tickwire_connectors::Nanos;

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

/// A quoted decimal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) Decimal);

impl<'de> Deserialize<'de> for Number {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quoted decimal")
            }

            #[inline]
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                Decimal::from_str_exact(text).map(Number).map_err(E::custom)
            }
        }
        from.deserialize_str(Quoted)
    }
}

/// A decimal without quotes, as Deribit writes them: both parsers read a double, and the decimal is made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare(pub(crate) Decimal);

impl<'de> Deserialize<'de> for Bare {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bare, D::Error> {
        struct Double;
        impl Visitor<'_> for Double {
            type Value = Bare;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            #[inline]
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Bare, E> {
                Decimal::try_from(value).map(Bare).map_err(E::custom)
            }

            #[inline]
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bare, E> {
                Ok(Bare(Decimal::from(value)))
            }
        }
        from.deserialize_any(Double)
    }
}

#[derive(serde::Deserialize)]
pub(crate) struct DeribitBook<'a> {
    #[serde(borrow)]
    pub(crate) params: DeribitParams<'a>,
}

#[derive(serde::Deserialize)]
pub(crate) struct DeribitParams<'a> {
    #[serde(borrow)]
    pub(crate) data: DeribitBookData<'a>,
}

/// Action, price, amount.
pub(crate) type DeribitLevel<'a> = (&'a str, Bare, Bare);

#[derive(serde::Deserialize)]
pub(crate) struct DeribitBookData<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(rename = "change_id")]
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) bids: Vec<DeribitLevel<'a>>,
    #[serde(borrow)]
    pub(crate) asks: Vec<DeribitLevel<'a>>,
}

#[derive(serde::Deserialize)]
pub(crate) struct PolymarketBook {
    pub(crate) bids: Vec<PolymarketLevel>,
    pub(crate) asks: Vec<PolymarketLevel>,
}

#[derive(serde::Deserialize)]
pub(crate) struct PolymarketLevel {
    pub(crate) price: Number,
    pub(crate) size: Number,
}

#[derive(serde::Deserialize)]
pub(crate) struct PolymarketChanges<'a> {
    #[serde(borrow)]
    pub(crate) price_changes: Vec<PolymarketChange<'a>>,
    pub(crate) timestamp: &'a str,
}

#[derive(serde::Deserialize)]
pub(crate) struct PolymarketChange<'a> {
    pub(crate) asset_id: &'a str,
    pub(crate) price: Number,
    pub(crate) size: Number,
    pub(crate) side: &'a str,
}

#[derive(serde::Deserialize)]
pub(crate) struct Combined<T> {
    pub(crate) data: T,
}

#[derive(serde::Deserialize)]
pub(crate) struct Depth {
    #[serde(rename = "E")]
    pub(crate) time_ms: u64,
    #[serde(rename = "U")]
    pub(crate) first: u64,
    #[serde(rename = "u")]
    pub(crate) last: u64,
    #[serde(rename = "pu")]
    pub(crate) prev: Option<u64>,
    #[serde(rename = "b")]
    pub(crate) bids: Vec<[Number; 2]>,
    #[serde(rename = "a")]
    pub(crate) asks: Vec<[Number; 2]>,
}

#[derive(serde::Deserialize)]
pub(crate) struct Ticker {
    #[serde(rename = "u")]
    pub(crate) seq: u64,
    #[serde(rename = "T", default)]
    pub(crate) time_ms: u64,
    #[serde(rename = "b")]
    pub(crate) bid: Number,
    #[serde(rename = "B")]
    pub(crate) bid_qty: Number,
    #[serde(rename = "a")]
    pub(crate) ask: Number,
    #[serde(rename = "A")]
    pub(crate) ask_qty: Number,
}

#[derive(serde::Deserialize)]
struct Trade {
    #[serde(rename = "T")]
    time_ms: u64,
    #[serde(rename = "p")]
    price: Number,
    #[serde(rename = "q")]
    qty: Number,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

#[derive(serde::Deserialize)]
pub(crate) struct BybitBook<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) ts: u64,
    pub(crate) data: BybitBookData,
}

#[derive(serde::Deserialize)]
pub(crate) struct BybitBookData {
    #[serde(rename = "b")]
    pub(crate) bids: Vec<[Number; 2]>,
    #[serde(rename = "a")]
    pub(crate) asks: Vec<[Number; 2]>,
    #[serde(rename = "u")]
    pub(crate) seq: u64,
}

#[derive(serde::Deserialize)]
struct BybitTrade<'a> {
    #[serde(rename = "T")]
    time_ms: u64,
    #[serde(rename = "p")]
    price: Number,
    #[serde(rename = "v")]
    qty: Number,
    #[serde(rename = "S")]
    side: &'a str,
}

/// Typed structs by `J`.
#[derive(Debug)]
pub struct Typed<J> {
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

impl<J: Json> Typed<J> {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> Typed<J> {
        Typed {
            market: Market::new(feed, check),
            json: PhantomData,
        }
    }

    #[inline]
    fn read(&mut self, connector: usize, text: &[u8]) -> Option<()> {
        let topic = topic_of(text)?;
        let is_bybit = !topic.contains('@');
        let (stream, kind) = self.market.find(connector, topic)?;
        match kind {
            Kind::Depth | Kind::Top if is_bybit => {
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
            }
            Kind::Depth => {
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
            Kind::Trade | Kind::AggTrade if is_bybit => {
                let Combined { data } = J::read::<Combined<Vec<BybitTrade<'_>>>>(text)?;
                for trade in data {
                    let (price, qty) = (trade.price.0, trade.qty.0);
                    let is_buy = trade.side == "Buy";
                    self.market.trade(stream, trade.time_ms, price, qty, is_buy);
                }
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
}

impl<J: Json> Way for Typed<J> {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        self.market.call(connector, call);
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
