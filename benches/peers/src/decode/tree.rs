//! Trees: `serde_json::Value`, and simd-json's tape with buffers that are used again.

use rust_decimal::Decimal;
use simd_json::prelude::{ValueAsScalar, ValueIntoString};
use simd_json::{Buffers, Tape, tape};
use tickwire_connectors::Nanos;

use super::market::{Head, Market};
use super::{Pair, Summary, Way};
use crate::feed::{Call, Feed, Kind, Message};

/// A node of a tree.
trait Node<'a>: Copy {
    fn get(self, key: &str) -> Option<Self>;
    fn text(self) -> Option<&'a str>;
    fn number(self) -> Option<u64>;
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

#[inline]
fn levels<'a>(node: impl Node<'a>, into: &mut Vec<Pair>) -> Option<()> {
    into.clear();
    for level in node.items()? {
        let mut fields = level.items()?;
        into.push((decimal(fields.next()?)?, decimal(fields.next()?)?));
    }
    Some(())
}

/// Levels of one message, used again.
type Levels = (Vec<Pair>, Vec<Pair>);

#[inline]
fn walk<'a>(
    root: impl Node<'a>,
    connector: usize,
    market: &mut Market,
    (bids, asks): &mut Levels,
) -> Option<()> {
    let data = root.get("data")?;
    if let Some(topic) = root.get("topic") {
        let (stream, kind) = market.find(connector, topic.text()?)?;
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
        levels(data.get("b")?, bids)?;
        levels(data.get("a")?, asks)?;
        market.book(stream, head, bids, asks);
        return Some(());
    }
    let (stream, kind) = market.find(connector, root.get("stream")?.text()?)?;
    match kind {
        Kind::Depth => {
            let head = Head {
                is_whole: false,
                first: data.get("U")?.number()?,
                last: data.get("u")?.number()?,
                prev: data.get("pu").and_then(Node::number),
                time_ms: data.get("E")?.number()?,
            };
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

/// `serde_json::Value`.
#[derive(Debug)]
pub struct ValueTree {
    market: Market,
    levels: Levels,
}

impl ValueTree {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> ValueTree {
        ValueTree {
            market: Market::new(feed, check),
            levels: Levels::default(),
        }
    }
}

impl Way for ValueTree {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        self.market.call(connector, call);
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let root: Option<serde_json::Value> = serde_json::from_slice(text).ok();
        let walked = root
            .as_ref()
            .and_then(|root| walk(root, message.connector, &mut self.market, &mut self.levels));
        assert!(
            walked.is_some(),
            "not read: {}",
            String::from_utf8_lossy(text)
        );
    }

    fn summary(&mut self) -> Summary {
        self.market.summary()
    }
}

/// simd-json's tape.
#[expect(missing_debug_implementations, reason = "the tape's buffers have none")]
pub struct SimdTape {
    market: Market,
    levels: Levels,
    buffers: Buffers,
    tape: Option<Tape<'static>>,
}

impl SimdTape {
    /// For a recording; `check` has it take down what it says.
    pub fn new(feed: &Feed, check: bool) -> SimdTape {
        SimdTape {
            market: Market::new(feed, check),
            levels: Levels::default(),
            buffers: Buffers::new(1 << 16),
            tape: Some(Tape::null()),
        }
    }
}

impl Way for SimdTape {
    fn call(&mut self, connector: usize, _: Nanos, call: &Call) {
        self.market.call(connector, call);
    }

    #[inline]
    fn take(&mut self, message: &Message, text: &mut [u8]) {
        let empty = self.tape.take().unwrap_or_else(Tape::null);
        let mut tape = empty.reset();
        let filled = simd_json::fill_tape(text, &mut self.buffers, &mut tape);
        assert!(filled.is_ok(), "not read: {filled:?}");
        let (market, levels) = (&mut self.market, &mut self.levels);
        let walked = walk(tape.as_value(), message.connector, market, levels);
        assert!(walked.is_some(), "a message of another layout");
        self.tape = Some(tape.reset());
    }

    fn summary(&mut self) -> Summary {
        self.market.summary()
    }
}
