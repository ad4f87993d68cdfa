//! Readers over simd-json for everything that is not hot, and the twin of the scanner.
//!
//! The twin takes what [`parse`] takes and refuses what it refuses, but for what only simd-json does:
//! it refuses text that is not UTF-8, lone surrogates in escapes and, in fields that nobody reads,
//! numbers beyond 64 bits; it takes bare fractions, and resolves escapes, where the scanner says
//! [`Escape`](ScanErrorKind::Escape).

use simd_json::prelude::*;
use simd_json::tape::Value;

use super::parse::{self, Fields, Frame, Kind, Number, Row, Run, Span, hash_of};
pub use crate::reader::Reader;
use crate::scan::{ONCE, Once, ScanError, ScanErrorKind};
use crate::time::Nanos;

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

/// The twin of [`parse::frame`]; the spans of `frame` are of its own text.
pub fn frame(message: &Value<'_, '_>, frame: &mut Frame) -> Result<(), ScanError> {
    frame.clear();
    match message.as_array() {
        Some(array) => array.iter().try_for_each(|one| object(&one, frame)),
        None => object(message, frame),
    }
}

/// Calls `act` for each object of a frame.
pub fn each(message: &Value<'_, '_>, mut act: impl FnMut(&Value<'_, '_>)) {
    match message.as_array() {
        Some(array) => array.iter().for_each(|one| act(&one)),
        None => act(message),
    }
}

fn object(object: &Value<'_, '_>, frame: &mut Frame) -> Result<(), ScanError> {
    let first_item = frame.items.len();
    let mut fields = Fields::default();
    let mut seen = Once::default();
    for (key, value) in &object.as_object().ok_or(expected("an object"))? {
        match key {
            "event_type" => {
                once(&mut seen, 0)?;
                fields.kind = Some(Kind::of(text(&value)?.as_bytes()));
            }
            "timestamp" | "time" => {
                once(&mut seen, 1)?;
                fields.exch_ns = timestamp(&value)?;
                fields.facts.stamp = optional_text(&value, &mut frame.text);
            }
            "bids" | "buys" => {
                once(&mut seen, 2)?;
                fields.bids = Some(rows(&value, &mut frame.rows)?);
            }
            "asks" | "sells" => {
                once(&mut seen, 3)?;
                fields.asks = Some(rows(&value, &mut frame.rows)?);
            }
            "price_changes" | "changes" => {
                once(&mut seen, 4)?;
                fields.has_changes = true;
                for entry in &value.as_array().ok_or(expected("an array"))? {
                    let (mut fields, mut seen) = (Fields::default(), Once::default());
                    for (key, value) in &entry.as_object().ok_or(expected("an object"))? {
                        shared(key, &value, &mut seen, &mut fields, &mut frame.text)?;
                    }
                    frame.items.push(fields.change().map_err(expected)?);
                }
            }
            "transaction_hash" => {
                once(&mut seen, 5)?;
                if !value.is_null() {
                    fields.transaction = hash_of(text(&value)?.as_bytes());
                }
            }
            "new_tick_size" => {
                once(&mut seen, 6)?;
                fields.new_tick = optional_number(&value)?;
            }
            "tick_size" => {
                once(&mut seen, 7)?;
                fields.facts.tick = optional_text(&value, &mut frame.text);
            }
            "hash" => {
                once(&mut seen, 8)?;
                fields.facts.hash = optional_text(&value, &mut frame.text);
            }
            "market" => {
                once(&mut seen, 9)?;
                fields.facts.market = optional_text(&value, &mut frame.text);
            }
            "last_trade_price" => {
                once(&mut seen, 10)?;
                fields.facts.last = optional_text(&value, &mut frame.text);
            }
            _ => shared(key, &value, &mut seen, &mut fields, &mut frame.text)?,
        }
    }
    fields.finish(first_item, frame).map_err(expected)
}

/// Keeps a text; gives where it is.
fn keep(text: &str, into: &mut Vec<u8>) -> Span {
    if into.is_empty() {
        // No span at the very start: that is the one of a change without an id of its own.
        into.push(b' ');
    }
    into.extend_from_slice(text.as_bytes());
    Span::before(into.len(), text.len())
}

fn optional_text(value: &Value<'_, '_>, into: &mut Vec<u8>) -> Span {
    let text = value.into_string();
    text.map_or_else(Span::default, |text| keep(text, into))
}

fn shared(
    key: &str,
    value: &Value<'_, '_>,
    seen: &mut Once,
    fields: &mut Fields,
    into: &mut Vec<u8>,
) -> Result<(), ScanError> {
    match key {
        "asset_id" => {
            once(seen, 16)?;
            fields.asset = Some(keep(text(value)?, into));
        }
        "price" => {
            once(seen, 17)?;
            fields.price = optional_number(value)?;
        }
        "size" => {
            once(seen, 18)?;
            fields.size = optional_number(value)?;
        }
        "side" => {
            once(seen, 19)?;
            let side = parse::side(text(value)?.as_bytes());
            fields.side = Some(side.ok_or(expected(parse::SIDE))?);
        }
        "best_bid" => {
            once(seen, 20)?;
            fields.best_bid = optional_number(value)?;
        }
        "best_ask" => {
            once(seen, 21)?;
            fields.best_ask = optional_number(value)?;
        }
        _ => {}
    }
    Ok(())
}

fn rows(value: &Value<'_, '_>, rows: &mut Vec<Row>) -> Result<Run, ScanError> {
    let start = rows.len();
    for level in &value.as_array().ok_or(expected("an array"))? {
        let (mut price, mut size) = (None, None);
        let mut seen = Once::default();
        for (key, value) in &level.as_object().ok_or(expected("an object"))? {
            match key {
                "price" => {
                    once(&mut seen, 0)?;
                    price = Some(number(&value)?);
                }
                "size" => {
                    once(&mut seen, 1)?;
                    size = Some(number(&value)?);
                }
                _ => {}
            }
        }
        let (Some(price), Some(size)) = (price, size) else {
            return Err(expected(parse::LEVEL));
        };
        rows.push(Row { price, size });
    }
    Ok(Run::new(start, rows.len()))
}

/// A number, quoted or bare.
pub(super) fn number(value: &Value<'_, '_>) -> Result<Number, ScanError> {
    let parsed = match (value.into_string(), value.as_u64(), value.as_f64()) {
        (Some(text), ..) => Number::parse(text.as_bytes()),
        (_, Some(whole), _) => Number::parse(whole.to_string().as_bytes()),
        // Shortest text that reads back as the same float: what the venue wrote, up to 15 digits.
        (_, _, Some(float)) => Number::parse(float.to_string().as_bytes()),
        _ => Err(ScanErrorKind::Expected("a decimal")),
    };
    parsed.map_err(|kind| ScanError { kind, at: 0 })
}

pub(super) fn optional_number(value: &Value<'_, '_>) -> Result<Option<Number>, ScanError> {
    if value.is_null() || value.into_string() == Some("") {
        return Ok(None);
    }
    number(value).map(Some)
}

fn timestamp(value: &Value<'_, '_>) -> Result<Nanos, ScanError> {
    if let Some(text) = value.into_string() {
        return Ok(parse::time(text.as_bytes()));
    }
    match (value.as_u64(), value.as_f64()) {
        _ if value.is_null() => Ok(Nanos::ZERO),
        (Some(ms), _) => Ok(parse::time(ms.to_string().as_bytes())),
        // As the scanner does with a number that is no whole count of milliseconds.
        (_, Some(_)) => Ok(Nanos::ZERO),
        _ if value.as_i64().is_some() => Ok(Nanos::ZERO),
        _ => Err(expected("a time")),
    }
}
