//! What is derived by serde for the venues' messages.

use core::fmt;

use rust_decimal::Decimal;
use serde::de::{self, Deserialize, Deserializer, Visitor};

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

/// Deribit's notification.
#[derive(serde::Deserialize)]
pub(crate) struct Notification<T> {
    pub(crate) params: Combined<T>,
}

/// Action, price, amount.
pub(crate) type DeribitLevel<'a> = (&'a str, Bare, Bare);

#[derive(serde::Deserialize)]
pub(crate) struct DeribitBookData<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(rename = "timestamp")]
    pub(crate) time_ms: u64,
    #[serde(rename = "prev_change_id")]
    pub(crate) prev: Option<u64>,
    #[serde(rename = "change_id")]
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) bids: Vec<DeribitLevel<'a>>,
    #[serde(borrow)]
    pub(crate) asks: Vec<DeribitLevel<'a>>,
}

#[derive(serde::Deserialize)]
pub(crate) struct DeribitQuote {
    #[serde(rename = "timestamp")]
    pub(crate) time_ms: u64,
    #[serde(rename = "best_bid_price")]
    pub(crate) bid: Option<Bare>,
    #[serde(rename = "best_bid_amount")]
    pub(crate) bid_qty: Option<Bare>,
    #[serde(rename = "best_ask_price")]
    pub(crate) ask: Option<Bare>,
    #[serde(rename = "best_ask_amount")]
    pub(crate) ask_qty: Option<Bare>,
}

#[derive(serde::Deserialize)]
pub(crate) struct DeribitTrade<'a> {
    #[serde(rename = "timestamp")]
    pub(crate) time_ms: u64,
    pub(crate) price: Bare,
    #[serde(rename = "amount")]
    pub(crate) qty: Bare,
    #[serde(rename = "direction")]
    pub(crate) side: &'a str,
}

/// Any of Polymarket's objects: what it is may stand behind all else.
#[derive(serde::Deserialize)]
pub(crate) struct PolymarketObject<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) timestamp: Option<&'a str>,
    pub(crate) asset_id: Option<&'a str>,
    #[serde(borrow)]
    pub(crate) price_changes: Option<Vec<PolymarketChange<'a>>>,
    pub(crate) bids: Option<Vec<PolymarketLevel>>,
    pub(crate) asks: Option<Vec<PolymarketLevel>>,
    pub(crate) price: Option<Number>,
    pub(crate) size: Option<Number>,
    pub(crate) side: Option<&'a str>,
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
pub(crate) struct Trade {
    #[serde(rename = "T")]
    pub(crate) time_ms: u64,
    #[serde(rename = "p")]
    pub(crate) price: Number,
    #[serde(rename = "q")]
    pub(crate) qty: Number,
    #[serde(rename = "m")]
    pub(crate) buyer_is_maker: bool,
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
pub(crate) struct BybitTrade<'a> {
    #[serde(rename = "T")]
    pub(crate) time_ms: u64,
    #[serde(rename = "p")]
    pub(crate) price: Number,
    #[serde(rename = "v")]
    pub(crate) qty: Number,
    #[serde(rename = "S")]
    pub(crate) side: &'a str,
}
