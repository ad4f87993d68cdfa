//! Everything that is not hot, and hot messages with escapes, by simd-json. For hot messages it
//! gives what [`parse`](super::parse) gives, which makes it the oracle of the tests.

use core::fmt;

use simd_json::prelude::{ValueAsScalar as _, ValueIntoString as _};
use simd_json::tape::{Object, Value};
use simd_json::{Buffers, Tape};
use tickwire_orderbook::{Amount, DecimalError, Level, Price, Qty, Scale, mantissa_at};

use crate::channel::Interval;
use crate::scan::{ScanError, ScanErrorKind};
use crate::stream::Levels;
use crate::time::Nanos;
use crate::wide::{Kline, Ticker};

use super::parse::{
    BookTicker, Delta, Shape, Snapshot, Trade, TradeKind, book_ticker_of, delta, millis, missing,
    trade_of,
};

/// A JSON value of a tape.
pub(super) type Json<'tape, 'input> = Value<'tape, 'input>;

/// A parser that keeps its memory.
pub(super) struct Reader {
    buffers: Buffers,
    tape: Option<Tape<'static>>,
    text: Vec<u8>,
}

impl Reader {
    /// Room for a usual message.
    pub(super) fn new() -> Reader {
        Reader {
            buffers: Buffers::new(4_096),
            tape: None,
            text: Vec::with_capacity(4_096),
        }
    }

    /// Parses a copy of `bytes` and gives it to `read`.
    pub(super) fn read<T>(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce(Json<'_, '_>) -> Result<T, ScanError>,
    ) -> Result<T, ScanError> {
        self.text.clear();
        self.text.extend_from_slice(bytes);
        let tape = self
            .tape
            .take()
            .unwrap_or_else(|| Tape(Vec::with_capacity(256)));
        let mut tape = tape.reset();
        let parsed = simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) => read(tape.as_value()),
            Err(error) => Err(missing(error.index(), "JSON")),
        };
        self.tape = Some(tape.reset());
        result
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

fn wrong(what: &'static str) -> ScanError {
    missing(0, what)
}

fn object<'tape, 'input>(value: Json<'tape, 'input>) -> Result<Object<'tape, 'input>, ScanError> {
    value.as_object().ok_or_else(|| wrong("an object"))
}

/// The data object of a frame: the frame itself, or what its wrapper holds.
pub(super) fn data<'tape, 'input>(
    root: Json<'tape, 'input>,
) -> Result<Object<'tape, 'input>, ScanError> {
    let root = object(root)?;
    let (mut streams, mut found, mut datas) = (0, None, 0);
    for (key, value) in root.iter() {
        if key == "stream" {
            streams += 1;
            string(value)?;
        }
        if key == "data" {
            datas += 1;
            found = Some(value);
        }
    }
    match (streams, datas, found) {
        (0, _, _) => Ok(root),
        (1, 1, Some(value)) => object(value),
        _ => Err(wrong("each wrapper key once")),
    }
}

/// What tells which stream a frame belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The wrapper's stream name.
    pub(super) topic: Option<String>,
    /// `e` of the data object.
    pub(super) event: Option<String>,
    /// `s` of the data object.
    pub(super) symbol: Option<String>,
}

/// Reads a frame's head by the slow way: for those with escapes in it.
pub(super) fn head(root: Json<'_, '_>) -> Result<Head, ScanError> {
    let data = data(root)?;
    let text = |object: &Object<'_, '_>, key: &str| {
        object
            .get(key)
            .and_then(|value| value.as_str().map(str::to_owned))
    };
    Ok(Head {
        topic: text(&object(root)?, "stream"),
        event: text(&data, "e"),
        symbol: text(&data, "s"),
    })
}

fn number(value: Json<'_, '_>) -> Result<u64, ScanError> {
    value.as_u64().ok_or_else(|| wrong("an unsigned integer"))
}

fn string<'input>(value: Json<'_, 'input>) -> Result<&'input str, ScanError> {
    value.into_string().ok_or_else(|| wrong("a string"))
}

fn named(value: Json<'_, '_>, name: &'static str) -> Result<(), ScanError> {
    if string(value)? == name {
        Ok(())
    } else {
        Err(wrong(name))
    }
}

fn decimal(value: Json<'_, '_>, scale: Scale) -> Result<i64, ScanError> {
    let text = string(value)?;
    mantissa_at(text.as_bytes(), scale).map_err(|error| ScanError {
        kind: match error {
            DecimalError::ExcessDigits => ScanErrorKind::ExcessDigits,
            DecimalError::Overflow => ScanErrorKind::Overflow,
            _ => ScanErrorKind::Expected("a decimal"),
        },
        at: 0,
    })
}

fn levels(value: Json<'_, '_>, shape: Shape, out: &mut Vec<Level>) -> Result<(), ScanError> {
    out.clear();
    let list = value.as_array().ok_or_else(|| wrong("an array"))?;
    for level in list.iter() {
        let level = level.as_array().ok_or_else(|| wrong("a level"))?;
        let mut pair = level.iter();
        let (Some(price), Some(qty)) = (pair.next(), pair.next()) else {
            return Err(wrong("a price and a quantity"));
        };
        out.push(Level {
            price: decimal(price, shape.price)?,
            qty: decimal(qty, shape.qty)?,
        });
    }
    Ok(())
}

/// See [`parse::depth`](super::parse::depth).
pub(super) fn depth(
    data: &Object<'_, '_>,
    shape: Shape,
    out: &mut Levels,
) -> Result<Delta, ScanError> {
    out.clear();
    let (mut first, mut last, mut prev) = (None, None, None);
    let (mut event_ms, mut trade_ms, mut sides) = (None, None, 0u8);
    for (key, value) in data.iter() {
        match key {
            "e" => named(value, "depthUpdate")?,
            "E" => event_ms = Some(number(value)?),
            "T" => trade_ms = Some(number(value)?),
            "U" => first = Some(number(value)?),
            "u" => last = Some(number(value)?),
            "pu" => {
                let prev_id = value.as_i64().ok_or_else(|| wrong("an integer"))?;
                prev = Some(u64::try_from(prev_id).unwrap_or(0));
            }
            "b" => {
                levels(value, shape, &mut out.bids)?;
                sides |= 1;
            }
            "a" => {
                levels(value, shape, &mut out.asks)?;
                sides |= 2;
            }
            _ => {}
        }
    }
    delta(shape.market, first, last, prev, event_ms, trade_ms)
        .filter(|_| sides == 3)
        .ok_or_else(|| wrong("the keys of a depthUpdate"))
}

/// See [`parse::book_ticker`](super::parse::book_ticker).
pub(super) fn book_ticker(data: &Object<'_, '_>, shape: Shape) -> Result<BookTicker, ScanError> {
    let (mut seq, mut trade_ms) = (None, None);
    let (mut bid, mut bid_qty, mut ask, mut ask_qty) = (None, None, None, None);
    for (key, value) in data.iter() {
        match key {
            "e" => named(value, "bookTicker")?,
            "u" => seq = Some(number(value)?),
            "b" => bid = Some(decimal(value, shape.price)?),
            "B" => bid_qty = Some(decimal(value, shape.qty)?),
            "a" => ask = Some(decimal(value, shape.price)?),
            "A" => ask_qty = Some(decimal(value, shape.qty)?),
            "T" => trade_ms = Some(number(value)?),
            _ => {}
        }
    }
    book_ticker_of(seq, (bid, bid_qty), (ask, ask_qty), trade_ms)
        .ok_or_else(|| wrong("the keys of a bookTicker"))
}

/// See [`parse::trade`](super::parse::trade).
pub(super) fn trade(
    data: &Object<'_, '_>,
    kind: TradeKind,
    shape: Shape,
) -> Result<Trade, ScanError> {
    let (mut id, mut price, mut qty, mut maker, mut time) = (None, None, None, None, None);
    for (key, value) in data.iter() {
        match (key, kind) {
            ("e", TradeKind::Single) => named(value, "trade")?,
            ("e", TradeKind::Aggregated) => named(value, "aggTrade")?,
            ("t", TradeKind::Single) | ("a", TradeKind::Aggregated) => id = Some(number(value)?),
            ("p", _) => price = Some(decimal(value, shape.price)?),
            ("q", _) => qty = Some(decimal(value, shape.qty)?),
            ("T", _) => time = Some(number(value)?),
            ("m", _) => maker = Some(value.as_bool().ok_or_else(|| wrong("a boolean"))?),
            _ => {}
        }
    }
    trade_of(id, price, qty, maker, time).ok_or_else(|| wrong("the keys of a trade"))
}

/// See [`parse::snapshot`](super::parse::snapshot).
pub(super) fn snapshot(
    root: Json<'_, '_>,
    shape: Shape,
    out: &mut Levels,
) -> Result<Snapshot, ScanError> {
    out.clear();
    let (mut seq, mut trade_ms, mut sides) = (None, None, 0u8);
    for (key, value) in object(root)?.iter() {
        match key {
            "lastUpdateId" => seq = Some(number(value)?),
            "T" => trade_ms = Some(number(value)?),
            "bids" => {
                levels(value, shape, &mut out.bids)?;
                sides |= 1;
            }
            "asks" => {
                levels(value, shape, &mut out.asks)?;
                sides |= 2;
            }
            _ => {}
        }
    }
    let seq = seq.filter(|_| sides == 3);
    Ok(Snapshot {
        seq: seq.ok_or_else(|| wrong("the keys of a snapshot"))?,
        exch_ns: trade_ms.map_or(Nanos::ZERO, millis),
    })
}

fn field<'tape, 'input>(
    object: &Object<'tape, 'input>,
    key: &'static str,
) -> Result<Json<'tape, 'input>, ScanError> {
    object.get(key).ok_or_else(|| wrong(key))
}

fn parsed<T>(
    object: &Object<'_, '_>,
    key: &'static str,
    parse: fn(&[u8]) -> Result<T, DecimalError>,
) -> Result<T, ScanError> {
    parse(string(field(object, key)?)?.as_bytes()).map_err(|_| wrong("a decimal"))
}

fn optional<T>(
    object: &Object<'_, '_>,
    key: &'static str,
    parse: fn(&[u8]) -> Result<T, DecimalError>,
) -> Result<Option<T>, ScanError> {
    match object.get(key) {
        Some(value) => {
            let text = string(value)?.as_bytes();
            parse(text).map(Some).map_err(|_| wrong("a decimal"))
        }
        None => Ok(None),
    }
}

/// How volumes are told: COIN-M's `v` counts contracts and its `q` base currency, everyone else's
/// `v` base and `q` quote currency. (COIN-M "Kline Streams", "Individual Symbol Ticker Streams")
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volumes {
    /// `q` is the turnover.
    Quote,
    /// The turnover is the contracts times this many units of quote currency, where that is known.
    Contracts(Option<Qty>),
}

impl Volumes {
    fn turnover(self, volume: Amount, q: Option<Amount>) -> Option<Amount> {
        match self {
            Volumes::Quote => q,
            Volumes::Contracts(size) => {
                let size = Amount::from(size?);
                let mantissa = volume.mantissa().checked_mul(size.mantissa())?;
                Amount::new(mantissa, volume.scale().checked_add(size.scale())?)
            }
        }
    }
}

/// `24hrTicker`, with the time of the event. Futures send no best bid and ask in it.
pub(super) fn ticker(
    data: &Object<'_, '_>,
    volumes: Volumes,
) -> Result<(Ticker, Nanos), ScanError> {
    named(field(data, "e")?, "24hrTicker")?;
    let bid = optional(data, "b", Price::parse)?;
    let ask = optional(data, "a", Price::parse)?;
    let volume = parsed(data, "v", Amount::parse)?;
    let quote = optional(data, "q", Amount::parse)?;
    let ticker = Ticker {
        last: Some(parsed(data, "c", Price::parse)?),
        bid: bid.zip(optional(data, "B", Qty::parse)?),
        ask: ask.zip(optional(data, "A", Qty::parse)?),
        open: Some(parsed(data, "o", Price::parse)?),
        high: Some(parsed(data, "h", Price::parse)?),
        low: Some(parsed(data, "l", Price::parse)?),
        volume: Some(volume),
        turnover: volumes.turnover(volume, quote),
        ..Ticker::default()
    };
    Ok((ticker, millis(number(field(data, "E")?)?)))
}

/// `kline`, with the time of the event. Where the turnover is not known it is zero.
pub(super) fn kline(
    data: &Object<'_, '_>,
    interval: Interval,
    volumes: Volumes,
) -> Result<(Kline, Nanos), ScanError> {
    named(field(data, "e")?, "kline")?;
    let candle = object(field(data, "k")?)?;
    named(field(&candle, "i")?, interval.as_str())?;
    let volume = parsed(&candle, "v", Amount::parse)?;
    let quote = parsed(&candle, "q", Amount::parse)?;
    let kline = Kline {
        interval,
        start_ns: millis(number(field(&candle, "t")?)?),
        end_ns: millis(number(field(&candle, "T")?)?),
        open: parsed(&candle, "o", Price::parse)?,
        high: parsed(&candle, "h", Price::parse)?,
        low: parsed(&candle, "l", Price::parse)?,
        close: parsed(&candle, "c", Price::parse)?,
        volume,
        turnover: volumes
            .turnover(volume, Some(quote))
            .unwrap_or(Amount::ZERO),
        trades: Some(number(field(&candle, "n")?)?),
        closed: field(&candle, "x")?
            .as_bool()
            .ok_or_else(|| wrong("a boolean"))?,
    };
    Ok((kline, millis(number(field(data, "E")?)?)))
}

/// The last trade's number and price in a day's statistics. COIN-M answers with a list.
pub(super) fn day(root: Json<'_, '_>) -> Result<(u64, Price), ScanError> {
    let root = match root.as_array() {
        Some(list) => list.iter().next().ok_or_else(|| wrong("a symbol"))?,
        None => root,
    };
    let day = object(root)?;
    // A market without a trade has an id of -1.
    let id = field(&day, "lastId")?.as_i64();
    let id = id.ok_or_else(|| wrong("an integer"))?;
    let price = parsed(&day, "lastPrice", Price::parse)?;
    Ok((u64::try_from(id).unwrap_or(0), price))
}

/// The number of the newest of a list of aggregated trades.
pub(super) fn last_aggregated_trade(root: Json<'_, '_>) -> Result<u64, ScanError> {
    let list = root.as_array().ok_or_else(|| wrong("an array"))?;
    let newest = list.iter().last();
    newest.map_or(Ok(0), |newest| number(field(&object(newest)?, "a")?))
}

/// The answer to a subscribe or unsubscribe request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `{"result":null,"id":1}`
    Ack {
        /// The request.
        id: Option<u32>,
    },
    /// `{"code":2,"msg":"..","id":1}` or `{"error":{"code":2,"msg":".."},"id":1}`; the id may be
    /// missing. (web-socket-streams.md, 2026-07-21)
    Error {
        /// The request.
        id: Option<u32>,
        /// The venue's code.
        code: Option<i64>,
        /// The venue's words.
        text: String,
    },
}

/// Reads an ack or an error.
pub(super) fn answer(root: Json<'_, '_>) -> Result<Answer, ScanError> {
    let root = object(root)?;
    let id = root.get("id").and_then(|id| match id.as_str() {
        Some(text) => text.parse().ok(),
        None => id.as_u32(),
    });
    let nested = root.get("error").and_then(|error| error.as_object());
    if nested.is_some() || root.get("code").is_some() {
        let (code, text) = venue_error(&nested.unwrap_or(root));
        return Ok(Answer::Error { id, code, text });
    }
    if root.get("result").is_some() {
        return Ok(Answer::Ack { id });
    }
    Err(wrong("an ack or an error"))
}

fn venue_error(object: &Object<'_, '_>) -> (Option<i64>, String) {
    let code = object.get("code").and_then(|code| code.as_i64());
    let text = object
        .get("msg")
        .and_then(|text| text.as_str().map(str::to_owned));
    (code, text.unwrap_or_default())
}

/// A REST error body `{"code":-1121,"msg":"Invalid symbol."}`; `None` where it is something else
/// (a gateway's page).
pub(super) fn rest_error(root: Json<'_, '_>) -> Option<(i64, String)> {
    let (code, text) = venue_error(&root.as_object()?);
    Some((code?, text))
}
