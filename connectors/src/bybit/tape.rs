//! Readers over simd-json for everything that is not hot, and twins of the hot scanners.
//!
//! The twins in here take what [`parse`] takes and refuse what it refuses, but for
//! what only simd-json does: it refuses text that is not UTF-8, lone surrogates in escapes and, in
//! fields that nobody reads, numbers beyond 64 bits; it takes `-0` for an unsigned number; and it
//! resolves escapes where the scanner says [`Escape`](ScanErrorKind::Escape).

use arrayvec::ArrayString;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{
    Amount, DecimalError, Level, Price, Qty, Scale, mantissa_at, required_scale,
};

use super::parse::{self, BookMessage, Kind, TradeRow, aggressor, trade_id};
use super::sync::LastWord;
use crate::channel::Interval;
pub use crate::reader::Reader;
use crate::scan::{ONCE, Once, ScanError, ScanErrorKind};
use crate::stream::Levels;
use crate::time::Nanos;
use crate::wide::{Kline, Ticker, cut};

const fn expected(what: &'static str) -> ScanError {
    ScanError {
        kind: ScanErrorKind::Expected(what),
        at: 0,
    }
}

fn once(seen: &mut Once, bit: u32) -> Result<(), ScanError> {
    if seen.first(bit) {
        Ok(())
    } else {
        Err(expected(ONCE))
    }
}

fn text<'input>(value: &Value<'_, 'input>) -> Result<&'input str, ScanError> {
    value.into_string().ok_or(expected("a string"))
}

fn i64_of(value: &Value<'_, '_>) -> Result<i64, ScanError> {
    value.as_i64().ok_or(expected("an integer"))
}

fn u64_of(value: &Value<'_, '_>) -> Result<u64, ScanError> {
    value.as_u64().ok_or(expected("an unsigned integer"))
}

/// The topic of a message.
pub fn topic<'input>(message: &Value<'_, 'input>) -> Option<&'input str> {
    message.get("topic")?.into_string()
}

/// The twin of `parse::book`.
pub fn book(
    message: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<BookMessage, ScanError> {
    levels.clear();
    let (mut kind, mut ts, mut cts, mut numbers) = (None, None, None, None);
    let mut seen = Once::default();
    let object = message.as_object().ok_or(expected("an object"))?;
    for (key, value) in &object {
        match key {
            "type" => {
                once(&mut seen, 0)?;
                let kind_of = Kind::of(text(&value)?.as_bytes());
                kind = Some(kind_of.ok_or(expected(parse::KIND))?);
            }
            "ts" => {
                once(&mut seen, 1)?;
                ts = Some(i64_of(&value)?);
            }
            "cts" => {
                once(&mut seen, 2)?;
                cts = Some(i64_of(&value)?);
            }
            "data" => {
                once(&mut seen, 3)?;
                numbers = Some(book_data(&value, price_scale, qty_scale, levels)?);
            }
            _ => {}
        }
    }
    match (kind, numbers) {
        (Some(kind), Some((seq, cross))) => Ok(BookMessage {
            kind,
            seq,
            cross,
            exch_ns: Nanos::from_millis(cts.or(ts).unwrap_or(0)),
        }),
        _ => Err(expected(parse::BOOK)),
    }
}

/// The levels of an answer of `/v5/market/orderbook`; `levels` is cleared first.
pub(super) fn levels(
    result: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<(), ScanError> {
    levels.clear();
    let get = |key| result.get(key).ok_or(expected("b and a"));
    side(&get("b")?, price_scale, qty_scale, &mut levels.bids)?;
    side(&get("a")?, price_scale, qty_scale, &mut levels.asks)
}

fn book_data(
    data: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<(u64, u64), ScanError> {
    let (mut seq, mut cross) = (None, 0);
    let mut seen = Once::default();
    let object = data.as_object().ok_or(expected("an object"))?;
    for (key, value) in &object {
        match key {
            "b" => {
                once(&mut seen, 0)?;
                side(&value, price_scale, qty_scale, &mut levels.bids)?;
            }
            "a" => {
                once(&mut seen, 1)?;
                side(&value, price_scale, qty_scale, &mut levels.asks)?;
            }
            "u" => {
                once(&mut seen, 2)?;
                seq = Some(u64_of(&value)?);
            }
            "seq" => {
                once(&mut seen, 3)?;
                cross = u64_of(&value)?;
            }
            _ => {}
        }
    }
    let seq = seq.filter(|_| seen.all(3));
    let seq = seq.ok_or(expected(parse::BOOK))?;
    Ok((seq, cross))
}

fn side(
    value: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Vec<Level>,
) -> Result<(), ScanError> {
    let array = value.as_array().ok_or(expected("an array"))?;
    for pair in &array {
        let pair = pair.as_array().ok_or(expected("a level"))?;
        let mut items = pair.iter();
        let (Some(price), Some(qty)) = (items.next(), items.next()) else {
            return Err(expected("a level"));
        };
        levels.push(Level {
            price: mantissa(&price, price_scale)?,
            qty: mantissa(&qty, qty_scale)?,
        });
    }
    Ok(())
}

fn mantissa(value: &Value<'_, '_>, scale: Scale) -> Result<i64, ScanError> {
    match mantissa_at(text(value)?.as_bytes(), scale) {
        // The scanner's range is symmetric.
        Ok(i64::MIN) => Err(decimal_error(DecimalError::Overflow)),
        other => other.map_err(decimal_error),
    }
}

const fn decimal_error(error: DecimalError) -> ScanError {
    let kind = match error {
        DecimalError::ExcessDigits => ScanErrorKind::ExcessDigits,
        DecimalError::Overflow => ScanErrorKind::Overflow,
        DecimalError::Empty | DecimalError::Malformed { .. } => {
            ScanErrorKind::Expected("a decimal")
        }
    };
    ScanError { kind, at: 0 }
}

/// The twin of `parse::trades`.
pub fn trades(
    message: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    rows: &mut Vec<TradeRow>,
) -> Result<(), ScanError> {
    rows.clear();
    let mut seen = Once::default();
    let object = message.as_object().ok_or(expected("an object"))?;
    for (key, value) in &object {
        if key == "data" {
            once(&mut seen, 0)?;
            for row in &value.as_array().ok_or(expected("an array"))? {
                rows.push(trade(&row, price_scale, qty_scale)?);
            }
        }
    }
    if seen.first(0) {
        return Err(expected(parse::TRADES));
    }
    Ok(())
}

fn trade(row: &Value<'_, '_>, price_scale: Scale, qty_scale: Scale) -> Result<TradeRow, ScanError> {
    let (mut time, mut price, mut qty, mut id, mut side) = (None, None, None, None, None);
    let mut seq = 0;
    let mut seen = Once::default();
    for (key, value) in &row.as_object().ok_or(expected("an object"))? {
        match key {
            "T" => {
                once(&mut seen, 0)?;
                time = Some(i64_of(&value)?);
            }
            "p" => {
                once(&mut seen, 1)?;
                price = Some(mantissa(&value, price_scale)?);
            }
            "v" => {
                once(&mut seen, 2)?;
                qty = Some(mantissa(&value, qty_scale)?);
            }
            "S" => {
                once(&mut seen, 3)?;
                side = Some(aggressor(text(&value)?.as_bytes()));
            }
            "i" => {
                once(&mut seen, 4)?;
                id = Some(trade_id(text(&value)?.as_bytes()));
            }
            "seq" => {
                once(&mut seen, 5)?;
                seq = u64_of(&value)?;
            }
            _ => {}
        }
    }
    match (time, price, qty, id, side) {
        (Some(time), Some(price), Some(qty @ 0..), Some(id), Some(aggressor)) => Ok(TradeRow {
            price,
            qty,
            id,
            aggressor,
            seq,
            exch_ns: Nanos::from_millis(time),
        }),
        _ => Err(expected(parse::TRADE)),
    }
}

/// The smallest scales of price and quantity that hold every number of a book or trade message.
pub fn scales(message: &Value<'_, '_>) -> Result<(Scale, Scale), ScanError> {
    let mut scales = (Scale::of(0), Scale::of(0));
    let mut widen = |price: &Value<'_, '_>, qty: &Value<'_, '_>| -> Result<(), ScanError> {
        let of =
            |value: &Value<'_, '_>| required_scale(text(value)?.as_bytes()).map_err(decimal_error);
        scales = (scales.0.max(of(price)?), scales.1.max(of(qty)?));
        Ok(())
    };
    let data = message.get("data").ok_or(expected("data"))?;
    if let Some(rows) = data.as_array() {
        for row in &rows {
            if let (Some(price), Some(qty)) = (row.get("p"), row.get("v")) {
                widen(&price, &qty)?;
            }
        }
        return Ok(scales);
    }
    for side in ["b", "a"] {
        let Some(levels) = data.get(side).and_then(|side| side.as_array()) else {
            continue;
        };
        for level in &levels {
            if let (Some(price), Some(qty)) = (level.get_idx(0), level.get_idx(1)) {
                widen(&price, &qty)?;
            }
        }
    }
    Ok(scales)
}

/// What every message with a topic says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whole or change.
    pub kind: Kind,
    /// `cs`, the cross sequence, 0 where there is none.
    pub seq: u64,
    /// `ts`
    pub exch_ns: Nanos,
}

fn head(message: &Value<'_, '_>) -> Result<Head, ScanError> {
    let kind = message.get("type").ok_or(expected(parse::KIND))?;
    let ts = message.get("ts").map_or(Ok(0), |ts| i64_of(&ts))?;
    Ok(Head {
        kind: Kind::of(text(&kind)?.as_bytes()).ok_or(expected(parse::KIND))?,
        seq: message.get("cs").and_then(|cs| cs.as_u64()).unwrap_or(0),
        exch_ns: Nanos::from_millis(ts),
    })
}

/// A ticker as its messages add up: linear sends the whole once and then what changes, field by
/// field, so that price and size of a side come apart (websocket/public/ticker, 2026-07-24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickerState {
    ticker: Ticker,
    bid_price: Option<Price>,
    bid_qty: Option<Qty>,
    ask_price: Option<Price>,
    ask_qty: Option<Qty>,
}

impl TickerState {
    /// The ticker.
    pub fn ticker(&self) -> Ticker {
        Ticker {
            bid: self.bid_price.zip(self.bid_qty),
            ask: self.ask_price.zip(self.ask_qty),
            ..self.ticker
        }
    }
}

/// Reads a `tickers.*` message over `base`, which a snapshot replaces and a delta changes: a field
/// that is absent stays, one that is `""` has no value (any more).
pub fn ticker(
    message: &Value<'_, '_>,
    base: &TickerState,
) -> Result<(Head, TickerState), ScanError> {
    let head = head(message)?;
    let mut state = match head.kind {
        Kind::Snapshot => TickerState::default(),
        Kind::Delta => *base,
    };
    let data = message.get("data").ok_or(expected("data"))?;
    read_ticker(&data, &mut state)?;
    Ok((head, state))
}

/// Reads a row of an answer of `/v5/market/tickers`.
pub(super) fn ticker_row(row: &Value<'_, '_>) -> Result<TickerState, ScanError> {
    let mut state = TickerState::default();
    read_ticker(row, &mut state)?;
    Ok(state)
}

/// Reads a row of an answer of `/v5/market/kline`: start, open, high, low, close, volume, turnover.
pub(super) fn candle_row(row: &Value<'_, '_>) -> Option<LastWord> {
    let word = |index: usize| row.get_idx(index)?.into_string();
    Some(LastWord::Candle(
        Nanos::from_millis(word(0)?.parse().ok()?),
        Price::parse(word(4)?.as_bytes()).ok()?,
        Amount::parse(word(5)?.as_bytes()).ok()?,
    ))
}

fn read_ticker(data: &Value<'_, '_>, state: &mut TickerState) -> Result<(), ScanError> {
    for (key, value) in &data.as_object().ok_or(expected("an object"))? {
        let ticker = &mut state.ticker;
        match key {
            "lastPrice" => ticker.last = field(&value, Price::parse)?,
            "prevPrice24h" => ticker.open = field(&value, Price::parse)?,
            "highPrice24h" => ticker.high = field(&value, Price::parse)?,
            "lowPrice24h" => ticker.low = field(&value, Price::parse)?,
            "volume24h" => ticker.volume = field(&value, Amount::parse)?,
            "turnover24h" => ticker.turnover = field(&value, Amount::parse)?,
            "markPrice" => ticker.mark = field(&value, Price::parse)?,
            "indexPrice" => ticker.index = field(&value, Price::parse)?,
            "openInterest" => ticker.open_interest = field(&value, Amount::parse)?,
            "fundingRate" => ticker.funding_rate = field(&value, Price::parse)?,
            "nextFundingTime" => ticker.next_funding_ns = field(&value, millis)?,
            "bid1Price" => state.bid_price = field(&value, Price::parse)?,
            "bid1Size" => state.bid_qty = field(&value, Qty::parse)?,
            "ask1Price" => state.ask_price = field(&value, Price::parse)?,
            "ask1Size" => state.ask_qty = field(&value, Qty::parse)?,
            _ => {}
        }
    }
    Ok(())
}

/// Empty strings stand where a number is expected.
fn field<T>(
    value: &Value<'_, '_>,
    parse: impl FnOnce(&[u8]) -> Result<T, DecimalError>,
) -> Result<Option<T>, ScanError> {
    let text = text(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse(text.as_bytes()).map(Some).map_err(decimal_error)
}

fn millis(text: &[u8]) -> Result<Nanos, DecimalError> {
    mantissa_at(text, Scale::of(0)).map(Nanos::from_millis)
}

/// Reads a `kline.*` message; `candles` is cleared first and then holds each with its time.
pub fn klines(
    message: &Value<'_, '_>,
    interval: Interval,
    candles: &mut Vec<(Nanos, Kline)>,
) -> Result<(), ScanError> {
    candles.clear();
    let data = message.get("data").and_then(|data| data.as_array());
    for row in &data.ok_or(expected("an array in data"))? {
        let get = |key| row.get(key).ok_or(expected(key));
        let price = |key| {
            let value = get(key)?;
            Price::parse(text(&value)?.as_bytes()).map_err(decimal_error)
        };
        let amount = |key| {
            let value = get(key)?;
            Amount::parse(text(&value)?.as_bytes()).map_err(decimal_error)
        };
        let time = |key| i64_of(&get(key)?).map(Nanos::from_millis);
        let kline = Kline {
            interval,
            start_ns: time("start")?,
            end_ns: time("end")?,
            open: price("open")?,
            high: price("high")?,
            low: price("low")?,
            close: price("close")?,
            volume: amount("volume")?,
            turnover: amount("turnover")?,
            trades: None,
            closed: get("confirm")?.as_bool().ok_or(expected("a bool"))?,
        };
        candles.push((time("timestamp")?, kline));
    }
    Ok(())
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerOp {
    /// A subscribe request.
    Subscribe,
    /// An unsubscribe request.
    Unsubscribe,
    /// A ping.
    Pong,
    /// The answer does not say, or says what we never asked.
    Unknown,
}

/// An ack, a refusal or a pong (ws/connect, 2026-07-24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it is about.
    pub op: AnswerOp,
    /// Whether the venue agreed.
    pub success: bool,
    /// `req_id`, where it is there, not empty, and one of ours.
    pub id: Option<u32>,
    /// `ret_msg`, cut.
    pub text: ArrayString<200>,
}

/// Reads a message without a topic. A pong is `"op":"pong"`, or (spot, linear) the ping's own `op`
/// sent back; linear acks have an empty `req_id`, spot ones none where none was sent.
pub fn answer(message: &Value<'_, '_>) -> Option<Answer> {
    let object = message.as_object()?;
    let get = |key| {
        object
            .get(key)
            .and_then(|value: Value<'_, '_>| value.into_string())
    };
    let op = match get("op") {
        Some("subscribe") => AnswerOp::Subscribe,
        Some("unsubscribe") => AnswerOp::Unsubscribe,
        Some("ping" | "pong") => AnswerOp::Pong,
        _ => AnswerOp::Unknown,
    };
    let success = object.get("success").and_then(|value| value.as_bool());
    if success.is_none() && op != AnswerOp::Pong {
        return None;
    }
    Some(Answer {
        op,
        success: success.unwrap_or(true),
        id: get("req_id").and_then(|id| id.parse().ok()),
        text: cut(get("ret_msg").unwrap_or_default()),
    })
}
