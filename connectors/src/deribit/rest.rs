//! Instrument data by REST: the words of questions, and how to read the answers.
//!
//! Instruments come one by one (`get_instrument`), answers of 1 kB, or all at once (`get_instruments`,
//! megabytes for options, read on the helper thread): the venue allows that every 10 seconds and five times
//! in a burst (rate limits).

use simd_json::prelude::*;
use simd_json::tape::{Array, Value};
use tickwire_orderbook::{Price, Qty, Scale, required_scale};

use super::subscribe::code_error;
use super::symbols::Name;
use super::tape::{self, Reader};
use super::{symbols, urls};
use crate::error::{Error, ErrorKind, Next};
use crate::instrument::{
    Currency, Instrument, InstrumentKey, Market, TICK_STEPS_MAX, TickStep, TradingStatus, Venue,
    symbol,
};
use crate::market_data::Ask;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, Response};

/// The path of a question about instruments.
pub(super) fn question(market: Market, ask: &Ask) -> String {
    match ask {
        Ask::One(symbol) => format!("/api/v2/public/get_instrument?instrument_name={symbol}"),
        _ => {
            let kind = urls::kind(market).unwrap_or_default();
            format!("/api/v2/public/get_instruments?currency=any&kind={kind}&expired=false")
        }
    }
}

/// Why a symbol that was asked for is not in the answer.
pub(super) fn not_listed() -> Error {
    let text = "Deribit does not know the symbol";
    Error::venue(ErrorKind::BadSymbol, Next::Never, None, text)
}

/// What an HTTP answer says, where it is read on the loop.
pub(super) fn read_response(
    market: Market,
    response: Result<Response<'_>, HttpFailure>,
) -> Result<Vec<Instrument>, Error> {
    body_of(response).and_then(|body| read_instruments(market, body))
}

/// The body of an answer. Errors come with status 400 and say more in their bodies.
pub(super) fn body_of(response: Result<Response<'_>, HttpFailure>) -> Result<&mut [u8], Error> {
    let response = response.map_err(|failure| Error {
        next: Next::AfterMs(millis(urls::RETRY_WAIT)),
        ..Error::ours(ErrorKind::VenueUnavailable, failure.to_string())
    })?;
    match response.status {
        200 | 400 => Ok(response.body),
        status => Err(status_error(status)),
    }
}

pub(super) fn millis(span: Nanos) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// 429 says that the address has too many connections (connection management); each HTTP request in
/// flight is one.
fn status_error(status: u16) -> Error {
    let (kind, wait) = match status {
        429 => (ErrorKind::RateLimited, urls::CREDITS_WAIT),
        403 => (ErrorKind::Permission, urls::RETRY_WAIT),
        _ => (ErrorKind::VenueUnavailable, urls::RETRY_WAIT),
    };
    let text = format!("Deribit answered with HTTP {status}");
    let next = Next::AfterMs(millis(wait));
    Error::venue(kind, next, Some(i64::from(status)), text)
}

fn unreadable(what: &str) -> Error {
    let next = Next::AfterMs(millis(urls::RETRY_WAIT));
    Error::venue(
        ErrorKind::BadResponse,
        next,
        None,
        format!("Deribit: {what}"),
    )
}

/// Gives the `result` of an answer to `read`, numbers as [`Reader`] gives them.
pub(super) fn read_result<T>(
    reader: &mut Reader,
    body: &[u8],
    read: impl FnOnce(&Value<'_, '_>) -> T,
) -> Result<T, Error> {
    let read = reader.read(body, |answer| {
        if let Some(error) = answer.get("error") {
            let code = error.get("code").and_then(|code| tape::integer(&code));
            let code = code.ok_or_else(|| unreadable("an error without a code"))?;
            return Err(not_known(&error).unwrap_or_else(|| code_error(code, &tape::words(&error))));
        }
        let result = answer.get("result");
        let result = result.ok_or_else(|| unreadable("the answer has no result"))?;
        Ok(read(&result))
    });
    read.unwrap_or_else(|| Err(unreadable("the answer is not JSON")))
}

/// A symbol of the wrong shape is refused as a bad parameter: -32602 with its name.
fn not_known(error: &Value<'_, '_>) -> Option<Error> {
    let param = error.get("data")?.get("param")?.into_string()?;
    (param == "instrument_name").then(|| {
        let words = format!("Deribit: {}", tape::words(error));
        Error::venue(ErrorKind::BadSymbol, Next::Never, Some(-32_602), words)
    })
}

/// Reads an answer of `public/get_instruments` or `public/get_instrument`. Instruments that can't be
/// read are left out; so are those that are not of this market.
pub(super) fn read_instruments(market: Market, body: &mut [u8]) -> Result<Vec<Instrument>, Error> {
    read_result(&mut Reader::default(), body, |result| {
        match result.as_array() {
            Some(list) => list
                .iter()
                .filter_map(|row| read_instrument(market, &row))
                .collect(),
            None => read_instrument(market, result).into_iter().collect(),
        }
    })
}

/// `[{"above_price":0.005,"tick_size":0.0005}]`, lowest first. Of more bands than we hold the highest
/// are left out: there the filters are laxer than the venue's.
fn read_tick_steps(steps: &Array<'_, '_>) -> Option<[Option<TickStep>; TICK_STEPS_MAX]> {
    let price = |step: &Value<'_, '_>, key: &str| {
        Price::parse(tape::number_text(&step.get(key)?)?.as_bytes()).ok()
    };
    let read = steps.iter().map(|step| {
        Some(TickStep {
            above: price(&step, "above_price")?,
            tick: price(&step, "tick_size")?,
        })
    });
    let mut read: Vec<TickStep> = read.collect::<Option<_>>()?;
    read.sort_by_key(|step| step.above);
    let mut steps = [None; TICK_STEPS_MAX];
    for (place, step) in steps.iter_mut().zip(read) {
        *place = Some(step);
    }
    Some(steps)
}

/// The time that the venue gives perpetuals as their end: in the year 3000. What ends later than in
/// 2200 does not end.
const NEVER_ENDS_MS: i64 = 7_258_118_400_000;

fn read_instrument(market: Market, row: &Value<'_, '_>) -> Option<Instrument> {
    let text = |key: &str| row.get(key).and_then(|value| value.into_string());
    let number = |key: &str| row.get(key).and_then(|value| tape::number_text(&value));
    let venue_symbol = symbol(text("instrument_name").filter(|text| symbols::is_plain(text))?)?;
    let name = Name::of_venue(&venue_symbol).filter(|name| name.market() == market)?;
    let tick = number("tick_size")?;
    let (least, contract) = (number("min_trade_amount")?, number("contract_size"));
    let scale = |text: &str| required_scale(text.as_bytes()).ok();
    // From some price on an option's tick is another.
    let steps = row.get("tick_size_steps");
    let steps = steps.as_ref().and_then(|steps| steps.as_array());
    let price_scale = steps.iter().flat_map(|steps| steps.iter()).try_fold(
        scale(tick)?,
        |finest: Scale, step| {
            let tick = step.get("tick_size")?;
            Some(finest.max(scale(tape::number_text(&tick)?)?))
        },
    )?;
    let tick_steps = steps
        .as_ref()
        .map_or(Some(Default::default()), read_tick_steps);
    let qty = |text: &str| Qty::parse(text.as_bytes()).ok();
    let contract_qty = contract.and_then(qty);
    // Amounts are multiples of the contract, but an option's go down to its least amount.
    let lot = [qty(least), contract_qty];
    let currency = |text: &str| Currency::from(text).ok();
    let expiry_ms = row.get("expiration_timestamp");
    let expiry_ms = expiry_ms.and_then(|expiry| tape::integer(&expiry));
    let is_active = row.get("is_active").and_then(|active| active.as_bool());
    Some(Instrument {
        key: InstrumentKey {
            venue: Venue::Deribit,
            market,
            symbol: name.unified()?,
        },
        venue_symbol,
        base: currency(name.base)?,
        quote: currency(name.quote)?,
        settle: currency(name.settle().unwrap_or_default())?,
        price_scale,
        qty_scale: scale(least)?.max(contract.and_then(scale).unwrap_or(Scale::of(0))),
        tick_size: Price::parse(tick.as_bytes()).ok(),
        lot_size: lot.into_iter().flatten().min(),
        qty_min: qty(least),
        qty_max: None,
        notional_min: None,
        contract_size: contract_qty.filter(|_| market != Market::Spot),
        expiry_ns: expiry_ms
            .filter(|ms| (1..NEVER_ENDS_MS).contains(ms))
            .map(Nanos::from_millis),
        // The words since 2026-01-13 (release notes), and those before.
        status: match (text("state"), is_active) {
            (Some("open" | "started"), _) | (None, Some(true)) => TradingStatus::Trading,
            (Some("locked" | "settlement" | "halted" | "created" | "inactive"), _) => {
                TradingStatus::Halted
            }
            (
                Some(
                    "delivered" | "archivized" | "settled" | "closed" | "deactivated"
                    | "terminated",
                ),
                _,
            )
            | (None, Some(false)) => TradingStatus::Closed,
            _ => TradingStatus::Unknown,
        },
        tick_steps: tick_steps?,
        from_venue: true,
    })
}
