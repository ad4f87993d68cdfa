//! Trees: `serde_json::Value`, and simd-json's tape with buffers that are used again.

use rust_decimal::Decimal;
use simd_json::prelude::{ValueAsScalar, ValueIntoString};
use simd_json::{Buffers, Tape, tape};
use tickwire_connectors::{Nanos, Venue};

use super::market::{Head, Market};
use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message};

/// A node of a tree.
trait Node<'a>: Copy {
    fn get(self, key: &str) -> Option<Self>;
    fn text(self) -> Option<&'a str>;
    fn number(self) -> Option<u64>;
    fn float(self) -> Option<f64>;
    fn truth(self) -> Option<bool>;
    fn items(self) -> Option<impl Iterator<Item = Self>>;
}

impl<'a> Node<'a> for &'a serde_json::Value {
    #[inline]
    fn get(self, key: &str) -> Option<Self> {
        serde_json::Value::get(self, key)
    }

    #[inline]
    fn text(self) -> Option<&'a str> {
        self.as_str()
    }

    #[inline]
    fn number(self) -> Option<u64> {
        self.as_u64()
    }

    #[inline]
    fn float(self) -> Option<f64> {
        self.as_f64()
    }

    #[inline]
    fn truth(self) -> Option<bool> {
        self.as_bool()
    }

    #[inline]
    fn items(self) -> Option<impl Iterator<Item = Self>> {
        Some(self.as_array()?.iter())
    }
}

impl<'a> Node<'a> for tape::Value<'a, 'a> {
    #[inline]
    fn get(self, key: &str) -> Option<Self> {
        self.as_object()?.get(key)
    }

    #[inline]
    fn text(self) -> Option<&'a str> {
        ValueIntoString::into_string(self)
    }

    #[inline]
    fn number(self) -> Option<u64> {
        ValueAsScalar::as_u64(&self)
    }

    #[inline]
    fn float(self) -> Option<f64> {
        ValueAsScalar::as_f64(&self)
    }

    #[inline]
    fn truth(self) -> Option<bool> {
        ValueAsScalar::as_bool(&self)
    }

    #[inline]
    fn items(self) -> Option<impl Iterator<Item = Self>> {
        Some(self.as_array()?.iter())
    }
}

#[inline]
fn decimal<'a>(node: impl Node<'a>) -> Option<Decimal> {
    Decimal::from_str_exact(node.text()?).ok()
}

/// A number without quotes, as Deribit writes them: both trees hold a double or an integer.
#[inline]
fn bare<'a>(node: impl Node<'a>) -> Option<Decimal> {
    match node.number() {
        Some(number) => Some(Decimal::from(number)),
        None => Decimal::try_from(node.float()?).ok(),
    }
}

#[inline]
fn levels<'a>(node: impl Node<'a>, into: &mut Vec<Pair>) -> Option<()> {
    into.clear();
    for level in node.items()? {
        let mut fields = level.items()?;
        into.push((decimal(fields.next()?)?, decimal(fields.next()?)?));
    }
    Some(())
}

/// Levels with what is done to them.
#[inline]
fn deribit_levels<'a>(node: impl Node<'a>, into: &mut Vec<Pair>) -> Option<()> {
    into.clear();
    for level in node.items()? {
        let mut fields = level.items()?;
        let is_deleted = fields.next()?.text()? == "delete";
        let (price, qty) = (bare(fields.next()?)?, bare(fields.next()?)?);
        into.push((price, if is_deleted { Decimal::ZERO } else { qty }));
    }
    Some(())
}

/// Levels as objects.
#[inline]
fn polymarket_levels<'a>(node: impl Node<'a>, into: &mut Vec<Pair>) -> Option<()> {
    into.clear();
    for level in node.items()? {
        into.push((decimal(level.get("price")?)?, decimal(level.get("size")?)?));
    }
    Some(())
}

/// Levels of one message, used again.
type Levels = (Vec<Pair>, Vec<Pair>);

/// What messages are walked for.
#[derive(Debug)]
struct Walk {
    venue: Venue,
    market: Market,
    levels: Levels,
}

impl Walk {
    fn new(feed: &Feed, check: bool) -> Walk {
        Walk {
            venue: feed.venue,
            market: Market::new(feed, check),
            levels: Levels::default(),
        }
    }

    #[inline]
    fn take<'a>(&mut self, connector: usize, root: impl Node<'a>) -> Option<()> {
        match self.venue {
            Venue::Bybit => self.bybit(connector, root),
            Venue::Deribit => self.deribit(connector, root.get("params")?),
            Venue::Polymarket => match root.items() {
                Some(mut objects) => objects.try_for_each(|one| self.polymarket(connector, one)),
                None => self.polymarket(connector, root),
            },
            _ => self.binance(connector, root),
        }
    }

    #[inline]
    fn bybit<'a>(&mut self, connector: usize, root: impl Node<'a>) -> Option<()> {
        let data = root.get("data")?;
        let market = &mut self.market;
        let (stream, kind) = market.find(connector, root.get("topic")?.text()?)?;
        if matches!(kind, Kind::Trade | Kind::AggTrade) {
            for trade in data.items()? {
                let (price, qty) = (decimal(trade.get("p")?)?, decimal(trade.get("v")?)?);
                let is_buy = trade.get("S")?.text()? == "Buy";
                market.trade(stream, trade.get("T")?.number()?, price, qty, is_buy);
            }
            return Some(());
        }
        let seq = data.get("u")?.number()?;
        let head = Head {
            is_whole: root.get("type")?.text()? == "snapshot",
            first: seq,
            last: seq,
            prev: None,
            time_ms: root.get("ts")?.number()?,
        };
        let (bids, asks) = &mut self.levels;
        levels(data.get("b")?, bids)?;
        levels(data.get("a")?, asks)?;
        market.book(stream, head, bids, asks);
        Some(())
    }

    #[inline]
    fn binance<'a>(&mut self, connector: usize, root: impl Node<'a>) -> Option<()> {
        let data = root.get("data")?;
        let market = &mut self.market;
        let (stream, kind) = market.find(connector, root.get("stream")?.text()?)?;
        match kind {
            Kind::Depth | Kind::Whole => {
                let head = Head {
                    is_whole: false,
                    first: data.get("U")?.number()?,
                    last: data.get("u")?.number()?,
                    prev: data.get("pu").and_then(Node::number),
                    time_ms: data.get("E")?.number()?,
                };
                let (bids, asks) = &mut self.levels;
                levels(data.get("b")?, bids)?;
                levels(data.get("a")?, asks)?;
                market.book(stream, head, bids, asks);
            }
            Kind::Top => {
                let bid = (decimal(data.get("b")?)?, decimal(data.get("B")?)?);
                let ask = (decimal(data.get("a")?)?, decimal(data.get("A")?)?);
                let time_ms = data.get("T").and_then(Node::number).unwrap_or(0);
                market.top(stream, data.get("u")?.number()?, time_ms, bid, ask);
            }
            Kind::Trade | Kind::AggTrade => {
                let (price, qty) = (decimal(data.get("p")?)?, decimal(data.get("q")?)?);
                let is_buy = !data.get("m")?.truth()?;
                market.trade(stream, data.get("T")?.number()?, price, qty, is_buy);
            }
        }
        Some(())
    }

    #[inline]
    fn deribit<'a>(&mut self, connector: usize, params: impl Node<'a>) -> Option<()> {
        let data = params.get("data")?;
        let market = &mut self.market;
        let (stream, kind) = market.find(connector, params.get("channel")?.text()?)?;
        match kind {
            Kind::Depth | Kind::Whole => {
                let seq = data.get("change_id")?.number()?;
                let head = Head {
                    is_whole: data.get("type")?.text()? == "snapshot",
                    first: seq,
                    last: seq,
                    prev: data.get("prev_change_id").and_then(Node::number),
                    time_ms: data.get("timestamp")?.number()?,
                };
                let (bids, asks) = &mut self.levels;
                deribit_levels(data.get("bids")?, bids)?;
                deribit_levels(data.get("asks")?, asks)?;
                market.book(stream, head, bids, asks);
            }
            Kind::Top => {
                let zero = (Decimal::ZERO, Decimal::ZERO);
                let side = |price, qty| Some((bare(data.get(price)?)?, bare(data.get(qty)?)?));
                let bid = side("best_bid_price", "best_bid_amount").unwrap_or(zero);
                let ask = side("best_ask_price", "best_ask_amount").unwrap_or(zero);
                market.top(stream, 0, data.get("timestamp")?.number()?, bid, ask);
            }
            Kind::Trade | Kind::AggTrade => {
                for trade in data.items()? {
                    let (price, qty) = (bare(trade.get("price")?)?, bare(trade.get("amount")?)?);
                    let is_buy = trade.get("direction")?.text()? == "buy";
                    let time_ms = trade.get("timestamp")?.number()?;
                    market.trade(stream, time_ms, price, qty, is_buy);
                }
            }
        }
        Some(())
    }

    #[inline]
    fn polymarket<'a>(&mut self, connector: usize, object: impl Node<'a>) -> Option<()> {
        let market = &mut self.market;
        let time_ms = object.get("timestamp")?.text()?.parse().ok()?;
        match object.get("event_type")?.text()? {
            "price_change" => {
                for change in object.get("price_changes")?.items()? {
                    let (stream, _) = market.find(connector, change.get("asset_id")?.text()?)?;
                    let pair = (
                        decimal(change.get("price")?)?,
                        decimal(change.get("size")?)?,
                    );
                    market.change(stream, change.get("side")?.text()? == "BUY", pair);
                }
                market.changed(time_ms);
            }
            "book" => {
                let (stream, _) = market.find(connector, object.get("asset_id")?.text()?)?;
                let (bids, asks) = &mut self.levels;
                polymarket_levels(object.get("bids")?, bids)?;
                polymarket_levels(object.get("asks")?, asks)?;
                market.book(stream, Head::whole(time_ms), bids, asks);
            }
            "last_trade_price" => {
                let (stream, _) = market.find(connector, object.get("asset_id")?.text()?)?;
                let (price, qty) = (
                    decimal(object.get("price")?)?,
                    decimal(object.get("size")?)?,
                );
                let is_buy = object.get("side")?.text()? == "BUY";
                market.trade(stream, time_ms, price, qty, is_buy);
            }
            "tick_size_change" => {
                let (stream, _) = market.find(connector, object.get("asset_id")?.text()?)?;
                market.forget(stream);
            }
            _ => {}
        }
        Some(())
    }

    /// Set-up; at Polymarket whole books that are not timed.
    fn call(&mut self, connector: usize, call: &Call) {
        match call {
            Call::Other(_, text) if self.venue == Venue::Polymarket => {
                let root: Option<serde_json::Value> = serde_json::from_slice(text).ok();
                root.as_ref().and_then(|root| self.take(connector, root));
            }
            _ => self.market.call(connector, call),
        }
    }
}

/// `serde_json::Value`.
#[derive(Debug)]
pub struct ValueTree {
    walk: Walk,
}

impl ValueTree {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> ValueTree {
        ValueTree {
            walk: Walk::new(feed, check),
        }
    }
}

impl Way for ValueTree {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        self.walk.call(connector, call);
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let root: Option<serde_json::Value> = serde_json::from_slice(text).ok();
        let walked = root
            .as_ref()
            .and_then(|root| self.walk.take(message.connector, root));
        assert!(
            walked.is_some(),
            "not read: {}",
            String::from_utf8_lossy(text)
        );
    }

    fn summary(&mut self) -> Summary {
        self.walk.market.summary()
    }
}

/// simd-json's tape.
#[expect(missing_debug_implementations, reason = "the tape's buffers have none")]
pub struct SimdTape {
    walk: Walk,
    buffers: Buffers,
    tape: Option<Tape<'static>>,
}

impl SimdTape {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> SimdTape {
        SimdTape {
            walk: Walk::new(feed, check),
            buffers: Buffers::new(1 << 16),
            tape: Some(Tape::null()),
        }
    }
}

impl Way for SimdTape {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        self.walk.call(connector, call);
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let empty = self.tape.take().unwrap_or_else(Tape::null);
        let mut tape = empty.reset();
        let filled = simd_json::fill_tape(text, &mut self.buffers, &mut tape);
        assert!(filled.is_ok(), "not read: {filled:?}");
        let walked = self.walk.take(message.connector, tape.as_value());
        assert!(walked.is_some(), "a message of another layout");
        self.tape = Some(tape.reset());
    }

    fn summary(&mut self) -> Summary {
        self.walk.market.summary()
    }
}
