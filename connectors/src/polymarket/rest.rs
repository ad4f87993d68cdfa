//! What is known of a token, by REST: the words of questions, and how to read the answers.
//!
//! `GET /book` of a token has its tick and least size beside its book, and says by its 404 that there
//! is none: the token is unknown, its market is settled, or too new (a new market may be without for
//! minutes). `POST /books` answers the same for many tokens, in one list without those that have none.

use std::io::Write;

use simd_json::Tape;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale};

use super::{symbols, tape, urls};
use crate::error::{Error, ErrorKind, Next};
use crate::instrument::{Instrument, Market, TradingStatus, symbol};
use crate::market_data::{Ask, Bulk};
use crate::time::Nanos;
use crate::transmit::{HttpFailure, Response};

/// A question for many tokens weighs more: a third of the requests for one are allowed
/// (api-reference/rate-limits).
pub(super) const BULK: Bulk = Bulk::Named {
    most: 100,
    weight: 3,
};

/// The path of a question about tokens; those of a question for many stand in the body.
pub(super) fn write_question(ask: &Ask, body: &mut Vec<u8>) -> String {
    let tokens = match ask {
        Ask::One(token) => return format!("/book?token_id={token}"),
        Ask::Named(tokens) => tokens.as_slice(),
        Ask::All => &[],
    };
    for (index, token) in tokens.iter().enumerate() {
        let open = if index == 0 { "[" } else { "," };
        // Writing to a Vec can't fail.
        let _ = write!(body, r#"{open}{{"token_id":"{token}"}}"#);
    }
    body.push(b']');
    "/books".to_owned()
}

pub(super) fn no_book() -> Error {
    let text = "Polymarket has no book for the token: it is unknown, its market is settled, or so new \
                that its book comes in some minutes";
    Error::venue(ErrorKind::BadSymbol, Next::Never, Some(404), text)
}

/// What an HTTP answer says, where it is read on the loop.
pub(super) fn read_response(
    market: Market,
    response: Result<Response<'_>, HttpFailure>,
) -> Result<Vec<Instrument>, Error> {
    body_of(response).and_then(|body| read_instruments(market, body))
}

/// The body of an answer with status 200.
pub(super) fn body_of(response: Result<Response<'_>, HttpFailure>) -> Result<&mut [u8], Error> {
    let response = response.map_err(|failure| Error {
        next: Next::AfterMs(millis(urls::RATE_LIMIT_WAIT)),
        ..Error::ours(ErrorKind::VenueUnavailable, failure.to_string())
    })?;
    if response.status != 200 {
        let wait = response.header("Retry-After");
        let wait = wait
            .and_then(|text| text.trim().parse().ok())
            .map(Nanos::from_secs);
        return Err(status_error(response.status, wait));
    }
    Ok(response.body)
}

fn millis(span: Nanos) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// An HTTP status that is not 200 (api-reference/rate-limits and trading/matching-engine, 2026-11).
fn status_error(status: u16, wait: Option<Nanos>) -> Error {
    let (kind, default) = match status {
        404 => return no_book(),
        400 => (ErrorKind::BadRequest, urls::RATE_LIMIT_WAIT),
        403 => (ErrorKind::RateLimited, urls::BAN_WAIT),
        429 => (ErrorKind::RateLimited, urls::RATE_LIMIT_WAIT),
        // 425: the matching engine restarts.
        _ => (ErrorKind::VenueUnavailable, urls::RATE_LIMIT_WAIT),
    };
    let next = match kind {
        ErrorKind::BadRequest => Next::Never,
        _ => Next::AfterMs(millis(wait.unwrap_or(default))),
    };
    let text = format!("Polymarket answered with HTTP {status}");
    Error::venue(kind, next, Some(i64::from(status)), text)
}

/// Reads the answer of `/book`, one book, or of `/books`, a list of them.
pub(super) fn read_instruments(_: Market, body: &mut [u8]) -> Result<Vec<Instrument>, Error> {
    let tape = tape_of(body)?;
    let answer = tape.as_value();
    refused(&answer)?;
    let mut found = Vec::new();
    tape::each(&answer, |book| found.extend(read_instrument(book)));
    Ok(found)
}

/// Gives the one book of an answer to `read`.
pub(super) fn read_book<T>(
    body: &mut [u8],
    read: impl FnOnce(&Value<'_, '_>) -> T,
) -> Result<T, Error> {
    let tape = tape_of(body)?;
    let answer = tape.as_value();
    refused(&answer)?;
    Ok(read(&answer))
}

fn tape_of(body: &mut [u8]) -> Result<Tape<'_>, Error> {
    simd_json::to_tape(body).map_err(|_| unreadable("the answer is not JSON"))
}

fn unreadable(text: &str) -> Error {
    let next = Next::AfterMs(millis(urls::RATE_LIMIT_WAIT));
    Error::venue(ErrorKind::BadResponse, next, None, text)
}

/// `{"error":"text"}` with whatever status.
fn refused(answer: &Value<'_, '_>) -> Result<(), Error> {
    match answer.get("error").and_then(|error| error.into_string()) {
        Some(text) => Err(Error::venue(
            ErrorKind::Other,
            Next::Never,
            None,
            format!("Polymarket: {text}"),
        )),
        None => Ok(()),
    }
}

fn read_instrument(book: &Value<'_, '_>) -> Option<Instrument> {
    let token = book.get("asset_id")?.into_string()?;
    let token = symbol(token).filter(|token| symbols::is_token(token))?;
    let number = |key: &str| tape::optional_number(&book.get(key)?).ok().flatten();
    let tick = number("tick_size");
    let least = number("min_order_size");
    let default = symbols::instrument(token);
    let scale = |decimals: u8| Scale::new(decimals);
    let tick_scale = tick.and_then(|tick| scale(tick.decimals));
    Some(Instrument {
        price_scale: default
            .price_scale
            .max(tick_scale.unwrap_or(default.price_scale)),
        tick_size: tick.and_then(|tick| Some(Price::new(tick.mantissa, scale(tick.decimals)?))),
        // "Sizes have two decimals" at every tick (the venue's own client, roundingConfig, 2026-07).
        lot_size: Some(Qty::new(1, Scale::of(2))),
        qty_min: least.and_then(|least| Some(Qty::new(least.mantissa, scale(least.decimals)?))),
        status: TradingStatus::Trading,
        from_venue: true,
        ..default
    })
}
