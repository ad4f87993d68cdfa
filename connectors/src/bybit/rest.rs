//! Instrument data by REST: the words of questions, and how to read the answers.
//!
//! Instruments come one by one, answers of 1 kB, or all at once: `limit=1000`, 0.7 MB, read on the helper
//! thread. `nextPageCursor` need not be followed, as what is not in the list is asked for by itself.
//! (Linear had 800 symbols on 2026-08-09; spot does not page.)

use simd_json::Tape;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale, required_scale};

use super::{symbols, urls};
use crate::error::{Error, ErrorKind, Next};
use crate::instrument::{
    Currency, Instrument, InstrumentKey, Market, TradingStatus, Venue, symbol,
};
use crate::market_data::Ask;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, Response};

/// The path of a question about instruments.
pub(super) fn question(market: Market, ask: &Ask) -> String {
    let category = market.as_str();
    let filter = match ask {
        Ask::One(symbol) => format!("symbol={symbol}"),
        _ => "limit=1000".to_owned(),
    };
    format!("/v5/market/instruments-info?category={category}&{filter}")
}

/// Why a symbol that was asked for is not in the answer.
pub(super) fn not_listed() -> Error {
    let text = "Bybit does not know the symbol";
    Error::venue(ErrorKind::BadSymbol, Next::Never, None, text)
}

/// What an HTTP answer says, where it is read on the loop.
pub(super) fn read_response(
    market: Market,
    now: Nanos,
    response: Result<Response<'_>, HttpFailure>,
) -> Result<Vec<Instrument>, Error> {
    body_of(now, response).and_then(|body| {
        let reset = body.reset;
        read_instruments(market, body.bytes).map_err(|error| limited_until(error, reset))
    })
}

/// The body of an answer, and how long the venue wants us to wait where it refuses.
pub(super) struct Body<'a> {
    bytes: &'a mut [u8],
    reset: Option<Nanos>,
}

/// The body of an answer with status 200.
pub(super) fn body_of(
    now: Nanos,
    response: Result<Response<'_>, HttpFailure>,
) -> Result<Body<'_>, Error> {
    let response = response.map_err(|failure| Error {
        next: Next::AfterMs(millis(urls::RATE_LIMIT_WAIT)),
        ..Error::ours(ErrorKind::VenueUnavailable, failure.to_string())
    })?;
    if response.status != 200 {
        return Err(status_error(response.status));
    }
    let reset = reset_wait(now, &response);
    Ok(Body {
        bytes: response.body,
        reset,
    })
}

fn limited_until(mut error: Error, reset: Option<Nanos>) -> Error {
    if let (ErrorKind::RateLimited, Some(wait)) = (error.kind, reset) {
        error.next = Next::AfterMs(millis(wait));
    }
    error
}

/// Gives the `result` of an answer to `read`.
pub(super) fn read_result<T>(
    body: Body<'_>,
    read: impl FnOnce(&Value<'_, '_>) -> T,
) -> Result<T, Error> {
    let reset = body.reset;
    let tape = tape_of(body.bytes)?;
    let result = result_of(tape.as_value()).map_err(|error| limited_until(error, reset))?;
    Ok(read(&result))
}

/// `X-Bapi-Limit-Reset-Timestamp` is when the window ends, in ms (rate-limit, 2026-07-24). What is
/// longer than the longest window is not believed.
fn reset_wait(now: Nanos, response: &Response<'_>) -> Option<Nanos> {
    let text = response.header("X-Bapi-Limit-Reset-Timestamp")?;
    let reset = Nanos::from_millis(text.trim().parse().ok()?);
    let wait = reset.since(now);
    (wait > Nanos::ZERO && wait <= urls::RATE_RESET_MAX).then_some(wait)
}

fn millis(span: Nanos) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// An HTTP status that is not 200 (rate-limit and error, 2026-07-24).
fn status_error(status: u16) -> Error {
    let (kind, wait) = match status {
        // "access too frequent", but also what a blocked region gets: waiting is right for both.
        403 => (ErrorKind::RateLimited, urls::BAN_WAIT),
        429 => (ErrorKind::RateLimited, urls::RATE_LIMIT_WAIT),
        _ => (ErrorKind::VenueUnavailable, urls::RATE_LIMIT_WAIT),
    };
    let text = format!("Bybit answered with HTTP {status}");
    Error::venue(
        kind,
        Next::AfterMs(millis(wait)),
        Some(i64::from(status)),
        text,
    )
}

/// A `retCode` that is not 0 (error, 2026-07-24).
fn code_error(code: i64, words: &str) -> Error {
    let wait = |span| Next::AfterMs(millis(span));
    let (kind, next) = match code {
        403 => (ErrorKind::RateLimited, wait(urls::BAN_WAIT)),
        429 | 10006 | 10018 | 10429 => (ErrorKind::RateLimited, wait(urls::RATE_LIMIT_WAIT)),
        10000 | 10016 | 10019 => (ErrorKind::VenueUnavailable, wait(urls::RATE_LIMIT_WAIT)),
        10001 if words.to_ascii_lowercase().contains("symbol") => {
            (ErrorKind::BadSymbol, Next::Never)
        }
        10001 => (ErrorKind::BadRequest, Next::Never),
        10005 | 10009 | 10010 => (ErrorKind::Permission, Next::Never),
        _ => (ErrorKind::Other, Next::Never),
    };
    Error::venue(kind, next, Some(code), format!("Bybit: {words}"))
}

fn unreadable(what: &str) -> Error {
    let next = Next::AfterMs(millis(urls::RATE_LIMIT_WAIT));
    Error::venue(ErrorKind::BadResponse, next, None, format!("Bybit: {what}"))
}

/// Reads an answer of `/v5/market/instruments-info` (market/instrument, 2026-07-24). Instruments that
/// can't be read are left out; so are those that are not of this market.
pub(super) fn read_instruments(market: Market, body: &mut [u8]) -> Result<Vec<Instrument>, Error> {
    let tape = tape_of(body)?;
    let result = result_of(tape.as_value())?;
    let list = result.get("list").and_then(|list| list.into_array());
    let list = list.ok_or_else(|| unreadable("the answer has no list"))?;
    Ok(list
        .iter()
        .filter_map(|row| read_instrument(market, &row))
        .collect())
}

fn tape_of(body: &mut [u8]) -> Result<Tape<'_>, Error> {
    // The plain text of a 403, where the status has been lost on the way.
    if body.windows(19).any(|part| part == b"access too frequent") {
        return Err(status_error(403));
    }
    simd_json::to_tape(body).map_err(|_| unreadable("the answer is not JSON"))
}

/// What is inside the envelope of every answer, where it says that all is well.
fn result_of<'tape, 'input>(answer: Value<'tape, 'input>) -> Result<Value<'tape, 'input>, Error> {
    let code = answer.get("retCode").and_then(|code| code.as_i64());
    let code = code.ok_or_else(|| unreadable("the answer has no retCode"))?;
    if code != 0 {
        let words = answer.get("retMsg").and_then(|words| words.into_string());
        return Err(code_error(code, words.unwrap_or_default()));
    }
    answer
        .get("result")
        .ok_or_else(|| unreadable("the answer has no result"))
}

fn read_instrument(market: Market, row: &Value<'_, '_>) -> Option<Instrument> {
    let text = |key: &str| row.get(key).and_then(|value| value.into_string());
    let inner = |object: &str, key: &str| row.get(object)?.get(key)?.into_string();
    let contract = text("contractType");
    let linear = contract.is_some_and(|kind| kind.starts_with("Linear"));
    if linear != (market == Market::Linear) || linear != contract.is_some() {
        return None;
    }
    let (base, quote) = (text("baseCoin")?, text("quoteCoin")?);
    let settle = text("settleCoin").unwrap_or_default();
    let expiry_ms = text("deliveryTime").and_then(|ms| ms.parse().ok());
    let expiry_ms = expiry_ms.filter(|_| contract != Some("LinearPerpetual"));
    let tick = inner("priceFilter", "tickSize")?;
    // Spot's basePrecision is a step like qtyStep, not a count of digits.
    let step =
        inner("lotSizeFilter", "qtyStep").or_else(|| inner("lotSizeFilter", "basePrecision"))?;
    let lot = |key: &str| Qty::parse(inner("lotSizeFilter", key)?.as_bytes()).ok();
    let notional = inner("lotSizeFilter", "minNotionalValue")
        .or_else(|| inner("lotSizeFilter", "minOrderAmt"));
    let key = InstrumentKey {
        venue: Venue::Bybit,
        market,
        symbol: symbols::unified(market, base, quote, settle, expiry_ms.unwrap_or(0))?,
    };
    let currency = |text: &str| Currency::from(text).ok();
    Some(Instrument {
        key,
        venue_symbol: symbol(text("symbol").filter(|text| symbols::is_plain(text))?)?,
        base: currency(base)?,
        quote: currency(quote)?,
        settle: currency(settle)?,
        price_scale: required_scale(tick.as_bytes()).ok()?,
        qty_scale: required_scale(step.as_bytes()).ok()?,
        tick_size: Price::parse(tick.as_bytes()).ok(),
        lot_size: Qty::parse(step.as_bytes()).ok(),
        qty_min: lot("minOrderQty"),
        qty_max: lot("maxOrderQty"),
        notional_min: notional.and_then(|text| Price::parse(text.as_bytes()).ok()),
        contract_size: linear.then_some(Qty::new(1, Scale::of(0))),
        expiry_ns: expiry_ms.filter(|ms| *ms > 0).map(Nanos::from_millis),
        status: match text("status") {
            Some("Trading") => TradingStatus::Trading,
            Some("PreLaunch" | "Delivering") => TradingStatus::Halted,
            Some("Closed") => TradingStatus::Closed,
            _ => TradingStatus::Unknown,
        },
        from_venue: true,
        tick_steps: Default::default(),
    })
}
