//! Readers over simd-json for everything that is not hot, and twins of the hot scanners.
//!
//! simd-json makes floats of numbers with a point, and 0.1 is no float: so every number of a message
//! becomes a string before it is parsed, with a mark that strings don't have, and is read from its
//! text.
//!
//! The twins in here take what [`parse`] takes and refuse what it refuses, but for
//! what only simd-json does: it refuses text that is not UTF-8 and lone surrogates in escapes, and it
//! resolves escapes where the scanner says [`Escape`](ScanErrorKind::Escape).

use arrayvec::ArrayString;
use simd_json::prelude::*;
use simd_json::tape::Value;
use simd_json::{Buffers, Tape};
use tickwire_orderbook::{
    Amount, DecimalError, Level, Price, Qty, Scale, json_mantissa_at, required_scale,
};

use super::parse::{
    self, BookMessage, Kind, TradeRow, action, aggressor, best_level, book_message, trade_id,
};
use super::subscribe::{self, interval_ms};
use crate::channel::Interval;
use crate::scan::{ONCE, Once, ScanError, ScanErrorKind};
use crate::stream::Levels;
use crate::time::Nanos;
use crate::wide::{Greeks, Kline, Ticker, cut};

/// simd-json with memory that is kept from message to message.
#[derive(Default)]
pub struct Reader {
    buffers: Buffers,
    tape: Option<Tape<'static>>,
    /// The message with its numbers as strings.
    text: Vec<u8>,
}

impl core::fmt::Debug for Reader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// With room for busy messages.
    pub fn new() -> Reader {
        Reader {
            text: Vec::with_capacity(1 << 16),
            ..Reader::default()
        }
    }

    /// Parses the message and gives it to `read`, every number as marked text; `None` where it is not
    /// JSON.
    pub fn read<T>(&mut self, payload: &[u8], read: impl FnOnce(Value<'_, '_>) -> T) -> Option<T> {
        quote_numbers(payload, &mut self.text);
        let mut tape = self.tape.take().unwrap_or_else(Tape::null).reset();
        let parsed = simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape);
        let result = parsed.ok().map(|()| read(tape.as_value()));
        self.tape = Some(tape.reset());
        result
    }
}

/// Stands before a number that became a string: DEL, which JSON allows in strings and nobody sends.
const MARK: char = '\x7f';

/// Copies JSON with each number as a marked string; `text` is cleared first.
fn quote_numbers(payload: &[u8], text: &mut Vec<u8>) {
    let (mut in_string, mut escaped, mut in_number) = (false, false, false);
    text.clear();
    for byte in payload {
        if in_string {
            (in_string, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
        } else {
            let starts = matches!(byte, b'0'..=b'9' | b'-');
            let goes_on = in_number && matches!(byte, b'+' | b'.' | b'e' | b'E');
            if in_number != (starts || goes_on) {
                text.push(b'"');
                in_number = !in_number;
                if in_number {
                    text.push(MARK as u8);
                }
            }
            in_string = *byte == b'"';
        }
        text.push(*byte);
    }
    if in_number {
        text.push(b'"');
    }
}

const fn expected(what: &'static str) -> ScanError {
    ScanError {
        kind: ScanErrorKind::Expected(what),
        at: 0,
    }
}

/// For a kind of stream that another reader reads.
pub(super) const NO_READER: ScanError = expected("a ticker, an index price or a candle");

fn once(seen: &mut Once, bit: u32) -> Result<(), ScanError> {
    if seen.first(bit) {
        Ok(())
    } else {
        Err(expected(ONCE))
    }
}

fn text<'input>(value: &Value<'_, 'input>) -> Result<&'input str, ScanError> {
    let text = value.into_string().filter(|text| !text.starts_with(MARK));
    text.ok_or(expected("a string"))
}

/// The text of a number.
fn number<'input>(value: &Value<'_, 'input>) -> Result<&'input str, ScanError> {
    let text = value.into_string().and_then(|text| text.strip_prefix(MARK));
    text.ok_or(expected("a number"))
}

fn i64_of(value: &Value<'_, '_>) -> Result<i64, ScanError> {
    number(value)?.parse().map_err(|_| expected("an integer"))
}

fn u64_of(value: &Value<'_, '_>) -> Result<u64, ScanError> {
    let number = number(value)?.parse();
    number.map_err(|_| expected("an unsigned integer"))
}

/// The text of a number, as the venue wrote it.
pub(super) fn number_text<'input>(value: &Value<'_, 'input>) -> Option<&'input str> {
    number(value).ok()
}

/// A whole number.
pub(super) fn integer(value: &Value<'_, '_>) -> Option<i64> {
    i64_of(value).ok()
}

/// The channel of a notification.
pub fn topic<'input>(message: &Value<'_, 'input>) -> Option<&'input str> {
    message.get("params")?.get("channel")?.into_string()
}

/// `params.data` of a notification.
fn data<'tape, 'input>(message: &Value<'tape, 'input>) -> Result<Value<'tape, 'input>, ScanError> {
    let (mut data, mut seen) = (None, Once::default());
    for (key, params) in &message.as_object().ok_or(expected("an object"))? {
        if key != "params" {
            continue;
        }
        once(&mut seen, 0)?;
        for (key, value) in &params.as_object().ok_or(expected("an object"))? {
            if key == "data" {
                once(&mut seen, 1)?;
                data = Some(value);
            }
        }
    }
    data.ok_or(expected(parse::DATA))
}

/// The twin of `parse::book`.
pub fn book(
    message: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<BookMessage, ScanError> {
    levels.clear();
    let (mut kind, mut time, mut seq, mut prev) = (Kind::Whole, 0, 0, None);
    let mut seen = Once::default();
    let data = data(message)?;
    for (key, value) in &data.as_object().ok_or(expected("an object"))? {
        match key {
            "bids" => {
                once(&mut seen, 0)?;
                side(&value, price_scale, qty_scale, &mut levels.bids)?;
            }
            "asks" => {
                once(&mut seen, 1)?;
                side(&value, price_scale, qty_scale, &mut levels.asks)?;
            }
            "change_id" => {
                once(&mut seen, 2)?;
                seq = u64_of(&value)?;
            }
            "prev_change_id" => {
                once(&mut seen, 3)?;
                if !value.is_null() {
                    prev = Some(u64_of(&value)?);
                }
            }
            "type" => {
                once(&mut seen, 4)?;
                let kind_of = Kind::of(text(&value)?.as_bytes());
                kind = kind_of.ok_or(expected(parse::KIND))?;
            }
            "timestamp" => {
                once(&mut seen, 5)?;
                time = i64_of(&value)?;
            }
            _ => {}
        }
    }
    book_message(&seen, kind, seq, prev, time).ok_or(expected(parse::BOOK))
}

/// The levels of an answer of `public/get_order_book`; `levels` is cleared first.
pub(super) fn levels(
    result: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<(), ScanError> {
    levels.clear();
    let get = |key| result.get(key).ok_or(expected("bids and asks"));
    side(&get("bids")?, price_scale, qty_scale, &mut levels.bids)?;
    side(&get("asks")?, price_scale, qty_scale, &mut levels.asks)
}

/// Its `change_id` and `timestamp`.
pub(super) fn book_head(result: &Value<'_, '_>) -> Option<(u64, Nanos)> {
    let seq = u64_of(&result.get("change_id")?).ok()?;
    let time = i64_of(&result.get("timestamp")?).ok()?;
    Some((seq, Nanos::from_millis(time)))
}

fn side(
    value: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Vec<Level>,
) -> Result<(), ScanError> {
    let array = value.as_array().ok_or(expected("an array"))?;
    for level in &array {
        let level = level.as_array().ok_or(expected(parse::LEVEL))?;
        let mut items = level.iter();
        let mut next = || items.next().ok_or(expected(parse::LEVEL));
        let mut price = next()?;
        let mut is_deleted = false;
        if let Ok(word) = text(&price) {
            is_deleted = action(word.as_bytes()).ok_or(expected(parse::ACTION))?;
            price = next()?;
        }
        let price = mantissa(&price, price_scale)?;
        let qty = mantissa(&next()?, qty_scale)?;
        let qty = if is_deleted { 0 } else { qty };
        levels.push(Level { price, qty });
    }
    Ok(())
}

fn mantissa(value: &Value<'_, '_>, scale: Scale) -> Result<i64, ScanError> {
    match json_mantissa_at(number(value)?.as_bytes(), scale) {
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

/// The twin of [`parse::quote`].
pub fn quote(
    message: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    levels: &mut Levels,
) -> Result<BookMessage, ScanError> {
    levels.clear();
    let (mut best, mut time) = ([None; 4], 0);
    let mut seen = Once::default();
    let data = data(message)?;
    for (key, value) in &data.as_object().ok_or(expected("an object"))? {
        let (bit, scale) = match key {
            "best_bid_price" => (0, price_scale),
            "best_bid_amount" => (1, qty_scale),
            "best_ask_price" => (2, price_scale),
            "best_ask_amount" => (3, qty_scale),
            "timestamp" => {
                once(&mut seen, 4)?;
                time = i64_of(&value)?;
                continue;
            }
            _ => continue,
        };
        once(&mut seen, bit)?;
        if !value.is_null() {
            best[bit as usize] = Some(mantissa(&value, scale)?);
        }
    }
    if !seen.all(4) {
        return Err(expected(parse::QUOTE));
    }
    let [bid, bid_qty, ask, ask_qty] = best;
    levels.bids.extend(best_level(bid, bid_qty));
    levels.asks.extend(best_level(ask, ask_qty));
    Ok(BookMessage {
        kind: Kind::Whole,
        seq: 0,
        prev: 0,
        exch_ns: Nanos::from_millis(time),
    })
}

/// The twin of [`parse::trades`].
pub fn trades(
    message: &Value<'_, '_>,
    price_scale: Scale,
    qty_scale: Scale,
    rows: &mut Vec<TradeRow>,
) -> Result<(), ScanError> {
    rows.clear();
    for row in &data(message)?.as_array().ok_or(expected("an array"))? {
        rows.push(trade(&row, price_scale, qty_scale)?);
    }
    Ok(())
}

fn trade(row: &Value<'_, '_>, price_scale: Scale, qty_scale: Scale) -> Result<TradeRow, ScanError> {
    let (mut time, mut price, mut qty, mut id) = (0, 0, 0, 0);
    let (mut seq, mut side) = (0, crate::event::Aggressor::Unknown);
    let mut seen = Once::default();
    for (key, value) in &row.as_object().ok_or(expected("an object"))? {
        match key {
            "timestamp" => {
                once(&mut seen, 0)?;
                time = i64_of(&value)?;
            }
            "price" => {
                once(&mut seen, 1)?;
                price = mantissa(&value, price_scale)?;
            }
            "amount" => {
                once(&mut seen, 2)?;
                qty = mantissa(&value, qty_scale)?;
            }
            "trade_seq" => {
                once(&mut seen, 3)?;
                seq = u64_of(&value)?;
            }
            "trade_id" => {
                once(&mut seen, 4)?;
                id = trade_id(text(&value)?.as_bytes());
            }
            "direction" => {
                once(&mut seen, 5)?;
                side = aggressor(text(&value)?.as_bytes());
            }
            _ => {}
        }
    }
    if !seen.all(5) || qty < 0 {
        return Err(expected(parse::TRADE));
    }
    Ok(TradeRow {
        price,
        qty,
        id,
        aggressor: side,
        seq,
        exch_ns: Nanos::from_millis(time),
    })
}

/// The smallest scales of price and quantity that hold every number of a book, quote or trade message.
pub fn scales(message: &Value<'_, '_>) -> Result<(Scale, Scale), ScanError> {
    let mut scales = (Scale::of(0), Scale::of(0));
    let mut widen = |price: &Value<'_, '_>, qty: &Value<'_, '_>| -> Result<(), ScanError> {
        let of = |value: &Value<'_, '_>| {
            if value.is_null() {
                return Ok(Scale::of(0));
            }
            required_scale(number(value)?.as_bytes()).map_err(decimal_error)
        };
        scales = (scales.0.max(of(price)?), scales.1.max(of(qty)?));
        Ok(())
    };
    let data = data(message)?;
    if let Some(rows) = data.as_array() {
        for row in &rows {
            if let (Some(price), Some(qty)) = (row.get("price"), row.get("amount")) {
                widen(&price, &qty)?;
            }
        }
        return Ok(scales);
    }
    for [price, qty] in [
        ["best_bid_price", "best_bid_amount"],
        ["best_ask_price", "best_ask_amount"],
    ] {
        if let (Some(price), Some(qty)) = (data.get(price), data.get(qty)) {
            widen(&price, &qty)?;
        }
    }
    for side in ["bids", "asks"] {
        let Some(levels) = data.get(side).and_then(|side| side.as_array()) else {
            continue;
        };
        for level in &levels {
            let level = level.as_array().ok_or(expected(parse::LEVEL))?;
            let len = level.len();
            // With an action before them, or without.
            let first = usize::from(len > 2);
            if let (Some(price), Some(qty)) = (level.get(first), level.get(first + 1)) {
                widen(&price, &qty)?;
            }
        }
    }
    Ok(scales)
}

/// A ticker, and what an option has beside.
pub type Shown = (Ticker, Option<Greeks>);

/// What a message that is not hot says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tick {
    /// The ticker of an instrument, or of an index, with its time; of an option its greeks, too.
    Ticker(Nanos, Shown),
    /// A candle.
    Candle(Kline),
}

/// Reads a `ticker.*` message.
pub fn ticker(message: &Value<'_, '_>) -> Result<Tick, ScanError> {
    let data = data(message)?;
    let (exch_ns, ticker) = ticker_row(&data)?;
    let greeks = match data.get("greeks") {
        Some(greeks) if !greeks.is_null() => Some(greeks_of(&data, &greeks)?),
        _ => None,
    };
    Ok(Tick::Ticker(exch_ns, (ticker, greeks)))
}

/// Volatilities come in percent; that of a side which has no price is 0.
fn greeks_of(data: &Value<'_, '_>, greeks: &Value<'_, '_>) -> Result<Greeks, ScanError> {
    let price = |key| field(data.get(key), Price::parse);
    let greek = |key| field(greeks.get(key), Price::parse);
    let volatility = |key| -> Result<Option<Price>, ScanError> {
        let Some(percent) = price(key)? else {
            return Ok(None);
        };
        let percent = percent.normalized();
        let scale = Scale::new(percent.scale().get() + 2);
        let scale = scale.ok_or(decimal_error(DecimalError::ExcessDigits))?;
        Ok(Some(Price::new(percent.mantissa(), scale)).filter(|fraction| !fraction.is_zero()))
    };
    Ok(Greeks {
        mark_iv: volatility("mark_iv")?,
        bid_iv: volatility("bid_iv")?,
        ask_iv: volatility("ask_iv")?,
        delta: greek("delta")?,
        gamma: greek("gamma")?,
        theta: greek("theta")?,
        vega: greek("vega")?,
        rho: greek("rho")?,
        underlying: price("underlying_price")?,
        interest_rate: price("interest_rate")?,
    })
}

/// Reads what `ticker.*` and `public/ticker` share. The statistics of a day are in an object of their
/// own; what an instrument has no value for is absent or `null`.
pub(super) fn ticker_row(data: &Value<'_, '_>) -> Result<(Nanos, Ticker), ScanError> {
    let stats = data.get("stats");
    let price = |key| field(data.get(key), Price::parse);
    let stat = |key| stats.as_ref().and_then(|stats| stats.get(key));
    let best = |price_key, qty_key| -> Result<Option<(Price, Qty)>, ScanError> {
        let price = price(price_key)?;
        let qty = field(data.get(qty_key), Qty::parse)?;
        Ok(price.zip(qty.filter(|qty| qty.mantissa() != 0)))
    };
    let time = data.get("timestamp").ok_or(expected("timestamp"))?;
    let ticker = Ticker {
        last: price("last_price")?,
        bid: best("best_bid_price", "best_bid_amount")?,
        ask: best("best_ask_price", "best_ask_amount")?,
        // The venue tells the change in percent alone.
        open: None,
        high: field(stat("high"), Price::parse)?,
        low: field(stat("low"), Price::parse)?,
        volume: field(stat("volume"), Amount::parse)?,
        turnover: match field(stat("volume_notional"), Amount::parse)? {
            None => field(stat("volume_usd"), Amount::parse)?,
            known => known,
        },
        mark: price("mark_price")?,
        index: price("index_price")?,
        open_interest: field(data.get("open_interest"), Amount::parse)?,
        // Funding is paid all the time: there is a rate and no next time.
        funding_rate: price("current_funding")?,
        next_funding_ns: None,
    };
    Ok((Nanos::from_millis(i64_of(&time)?), ticker))
}

/// Reads a `deribit_price_index.*` message: a ticker that has an index price and nothing else.
pub fn index(message: &Value<'_, '_>) -> Result<Tick, ScanError> {
    let data = data(message)?;
    let time = data.get("timestamp").ok_or(expected("timestamp"))?;
    let index = field(data.get("price"), Price::parse)?;
    let ticker = Ticker {
        index: Some(index.ok_or(expected("price"))?),
        ..Ticker::default()
    };
    Ok(Tick::Ticker(
        Nanos::from_millis(i64_of(&time)?),
        (ticker, None),
    ))
}

/// The price of an answer of `public/get_index_price`.
pub(super) fn index_price(result: &Value<'_, '_>) -> Option<Price> {
    Price::parse(number(&result.get("index_price")?).ok()?.as_bytes()).ok()
}

fn field<T>(
    value: Option<Value<'_, '_>>,
    parse: impl FnOnce(&[u8]) -> Result<T, DecimalError>,
) -> Result<Option<T>, ScanError> {
    match value {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => parse(number(&value)?.as_bytes())
            .map(Some)
            .map_err(decimal_error),
    }
}

/// Reads a `chart.trades.*` message. The venue does not say that a candle is complete: it is when the
/// next one begins.
pub fn kline(message: &Value<'_, '_>, interval: Interval) -> Result<Kline, ScanError> {
    let data = data(message)?;
    candle(interval, |key| data.get(key).ok_or(expected(key)))
}

/// The last candle of an answer of `public/get_tradingview_chart_data`; `None` where it has none.
pub(super) fn last_candle(result: &Value<'_, '_>, interval: Interval) -> Option<Kline> {
    let last = result.get("ticks")?.as_array()?.len().checked_sub(1)?;
    let get = |key| {
        let name = if key == "tick" { "ticks" } else { key };
        let column = result.get(name).ok_or(expected(key))?;
        column.get_idx(last).ok_or(expected(key))
    };
    candle(interval, get).ok()
}

fn candle<'tape, 'input>(
    interval: Interval,
    get: impl Fn(&'static str) -> Result<Value<'tape, 'input>, ScanError>,
) -> Result<Kline, ScanError>
where
    'input: 'tape,
{
    let price = |key| Price::parse(number(&get(key)?)?.as_bytes()).map_err(decimal_error);
    let amount = |key| Amount::parse(number(&get(key)?)?.as_bytes()).map_err(decimal_error);
    let start = i64_of(&get("tick")?)?;
    let length = interval_ms(interval).unwrap_or(0);
    Ok(Kline {
        interval,
        start_ns: Nanos::from_millis(start),
        end_ns: Nanos::from_millis(start.saturating_add(length - 1)),
        open: price("open")?,
        high: price("high")?,
        low: price("low")?,
        close: price("close")?,
        volume: amount("volume")?,
        turnover: amount("cost")?,
        trades: None,
        closed: false,
    })
}

/// Reads the last trade of an answer of `public/get_last_trades_by_instrument`: its `trade_seq`, 0
/// where there was none.
pub(super) fn last_trade(result: &Value<'_, '_>) -> Option<u64> {
    let trades = result.get("trades")?;
    match trades.get_idx(0) {
        None => trades.as_array().map(|_| 0),
        Some(trade) => u64_of(&trade.get("trade_seq")?).ok(),
    }
}

/// Which request an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    /// A request about topics.
    Request(u32),
    /// `public/auth`
    Login,
    /// `public/set_heartbeat`
    Heartbeat,
    /// `public/test`
    Test,
    /// None of ours, or a request that the venue could not read.
    Unknown,
}

/// A login as the venue granted it.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// How long it holds, in seconds.
    pub expires_in_s: i64,
    /// What it is renewed by.
    pub refresh_token: String,
}

impl core::fmt::Debug for Grant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Grant")
            .field("expires_in_s", &self.expires_in_s)
            .finish_non_exhaustive()
    }
}

/// What an answer or a heartbeat says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The topics that were really taken, of those that were asked for.
    Topics(u32, Vec<String>),
    /// The login is granted.
    Granted(Grant),
    /// Another request was done.
    Done(AnswerTo),
    /// A request was refused: the venue's code and words.
    Refused(AnswerTo, i64, ArrayString<200>),
    /// The venue is alive.
    Heartbeat,
    /// The venue wants a proof of life.
    TestRequest,
}

/// Reads a message without a channel.
pub fn answer(message: &Value<'_, '_>) -> Option<Answer> {
    let object = message.as_object()?;
    if let Some(method) = object.get("method") {
        let kind = object.get("params")?.get("type")?.into_string();
        return match (method.into_string()?, kind) {
            ("heartbeat", Some("test_request")) => Some(Answer::TestRequest),
            ("heartbeat", _) => Some(Answer::Heartbeat),
            _ => None,
        };
    }
    let id = object.get("id");
    let to = match id.as_ref().map(|id| (text(id), number(id))) {
        Some((Ok(subscribe::LOGIN_ID), _)) => AnswerTo::Login,
        Some((Ok(subscribe::HEARTBEAT_ID), _)) => AnswerTo::Heartbeat,
        Some((Ok(subscribe::TEST_ID), _)) => AnswerTo::Test,
        Some((_, Ok(id))) => id.parse().map_or(AnswerTo::Unknown, AnswerTo::Request),
        _ => AnswerTo::Unknown,
    };
    if let Some(error) = object.get("error") {
        let code = i64_of(&error.get("code")?).ok()?;
        return Some(Answer::Refused(to, code, cut(&words(&error))));
    }
    let result = object.get("result")?;
    match to {
        AnswerTo::Request(id) => {
            let topics = result.as_array()?;
            let topics = topics.iter().filter_map(|topic| topic.into_string());
            Some(Answer::Topics(id, topics.map(str::to_owned).collect()))
        }
        AnswerTo::Login => Some(Answer::Granted(Grant {
            expires_in_s: i64_of(&result.get("expires_in")?).ok()?,
            refresh_token: result.get("refresh_token")?.into_string()?.to_owned(),
        })),
        _ => Some(Answer::Done(to)),
    }
}

/// The words of an error: those of its `data`, where it says which parameter is wrong, are the better
/// ones.
pub(super) fn words(error: &Value<'_, '_>) -> String {
    let text = |value: Option<Value<'_, '_>>| {
        value.and_then(|value| value.into_string().map(str::to_owned))
    };
    let message = text(error.get("message")).unwrap_or_default();
    let data = error.get("data");
    let part = |key| text(data.as_ref().and_then(|data| data.get(key)));
    match (part("param"), part("reason")) {
        (Some(param), Some(reason)) => format!("{message} ({param}: {reason})"),
        (None, Some(reason)) => format!("{message} ({reason})"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_marked_strings_and_nothing_else_does() {
        let table = [
            (
                r#"{"a":1,"b":[-2.5e+3,0]}"#,
                r##"{"a":"#1","b":["#-2.5e+3","#0"]}"##,
            ),
            (r#"{"a 1":"2\"3","b":true}"#, r#"{"a 1":"2\"3","b":true}"#),
            (r#"["\\",1]"#, r##"["\\","#1"]"##),
            ("12", "\"#12\""),
            ("", ""),
        ];
        for (json, want) in table {
            let mut text = Vec::new();
            quote_numbers(json.as_bytes(), &mut text);
            let text = String::from_utf8(text).expect("as it was");
            assert_eq!(text.replace(MARK, "#"), want, "{json}");
        }
    }
}
