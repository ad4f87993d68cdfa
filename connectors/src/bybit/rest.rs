//! Instrument data by REST: which questions to ask, in what order, and how to read the answers.
//!
//! **Symbol by symbol or all at once.** A few symbols are asked for one by one: answers of 1 kB. From
//! [`ONES_MAX`] waiting symbols on, the whole list is asked for instead (`limit=1000`, 0.7 MB, read
//! on the helper thread); what is not in it is asked for symbol by symbol. So `nextPageCursor` need
//! not be followed: the list is a prefetch, and only the question for one symbol decides that the
//! venue does not know it. (Linear had 800 symbols on 2026-08-09; spot does not page.)

use std::collections::VecDeque;

use simd_json::Tape;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale, required_scale};

use super::sync::Phase;
use super::urls::{self, Urls};
use super::{Bybit, sink, symbols};
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::instrument::{
    Currency, Instrument, InstrumentKey, Market, Symbol, TradingStatus, Venue, symbol,
};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, Method, ReadOn, RequestId, Response};
use crate::wide::VenueNews;

/// With more symbols waiting than this, the whole list is cheaper.
const ONES_MAX: usize = 4;

/// Questions in flight at once.
const IN_FLIGHT_MAX: usize = 8;

/// How often a symbol is asked for before its defaults have to do.
const TRIES_MAX: u8 = 3;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// All instruments of the market.
    List,
    /// The instrument with this symbol of the venue.
    One(Symbol),
}

/// The questions that wait and those under way.
#[derive(Debug)]
pub(super) struct Rest {
    market: Market,
    waiting: VecDeque<(Symbol, u8)>,
    in_flight: Vec<(RequestId, Ask, u8)>,
    /// The list is asked for once.
    list_asked: bool,
    /// What the venue may be asked.
    pub(super) governor: Governor,
    /// The governor admits nothing before.
    hold_until: Option<Nanos>,
    next_id: u32,
}

impl Rest {
    pub(super) fn new(market: Market, governor: Governor) -> Rest {
        Rest {
            market,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            list_asked: false,
            governor,
            hold_until: None,
            next_id: 0,
        }
    }

    /// The instrument of this symbol is needed.
    pub(super) fn need(&mut self, symbol: Symbol) {
        let waits = self.waiting.iter().any(|(one, _)| *one == symbol);
        let asked = |(_, ask, _): &(RequestId, Ask, u8)| *ask == Ask::One(symbol);
        if !waits && !self.in_flight.iter().any(asked) {
            self.waiting.push_back((symbol, 0));
        }
    }

    fn list_in_flight(&self) -> bool {
        self.in_flight.iter().any(|(_, ask, _)| *ask == Ask::List)
    }

    #[inline]
    pub(super) fn has_request(&self) -> bool {
        !self.waiting.is_empty()
            && self.hold_until.is_none()
            && self.in_flight.len() < IN_FLIGHT_MAX
            && !self.list_in_flight()
    }

    pub(super) fn next_request(&mut self, now: Nanos, urls: &Urls) -> Option<HttpRequest> {
        if !self.has_request() {
            return None;
        }
        if let Err(until) = self.governor.admit_request(now, 1) {
            self.hold_until = Some(until);
            return None;
        }
        let (ask, tries) = if self.waiting.len() > ONES_MAX && !self.list_asked {
            self.list_asked = true;
            (Ask::List, 0)
        } else {
            let (symbol, tries) = self.waiting.pop_front()?;
            (Ask::One(symbol), tries)
        };
        let id = self.next_id();
        self.in_flight.push((id, ask, tries));
        let category = self.market.as_str();
        let filter = match ask {
            Ask::List => "limit=1000".to_owned(),
            Ask::One(symbol) => format!("symbol={symbol}"),
        };
        let prefix = &urls.rest_prefix;
        Some(HttpRequest {
            id,
            endpoint: urls.rest.clone(),
            method: Method::Get,
            target: format!("{prefix}/v5/market/instruments-info?category={category}&{filter}"),
            headers: Vec::new(),
            timeout_ns: urls::REST_TIMEOUT,
            body_bytes_max: urls::REST_BODY_BYTES_MAX,
            read_on: ReadOn::Helper,
        })
    }

    /// A number for a request.
    pub(super) fn next_id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// What an answer says of the venue's mood.
    pub(super) fn note<T>(&self, now: Nanos, result: &Result<T, Error>) {
        let Err(error) = result else {
            return self.governor.note_success();
        };
        match (error.kind, error.next) {
            (ErrorKind::RateLimited, next) => {
                let status = if error.code == Some(403) { 403 } else { 429 };
                let pause = match next {
                    Next::AfterMs(ms) => Some(Nanos::from_millis(i64::from(ms))),
                    _ => None,
                };
                self.governor.note_ban(now, status, pause);
            }
            (ErrorKind::VenueUnavailable | ErrorKind::BadResponse, _) => {
                self.governor.note_failure(now);
            }
            // It answered what it was asked.
            _ => self.governor.note_success(),
        }
    }

    /// A question is answered; `None` where it is not one of ours.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<(Ask, u8)> {
        let index = self.in_flight.iter().position(|(one, _, _)| *one == id)?;
        let (_, ask, tries) = self.in_flight.remove(index);
        Some((ask, tries))
    }

    /// A question failed: it is asked again where that can help, when the governor admits it.
    pub(super) fn handle_failure(&mut self, ask: Ask, tries: u8, error: &Error) {
        match ask {
            _ if error.next == Next::Never => {}
            Ask::List => self.list_asked = false,
            Ask::One(symbol) if tries + 1 < TRIES_MAX => {
                self.waiting.push_back((symbol, tries + 1));
            }
            Ask::One(_) => {}
        }
    }

    /// Symbols that the list has answered need no question of their own.
    pub(super) fn drop_known(&mut self, known: impl Fn(&Symbol) -> bool) {
        self.waiting.retain(|(symbol, _)| !known(symbol));
    }

    pub(super) fn handle_timeout(&mut self, now: Nanos) {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        let news = Some(self.governor.deadline()).filter(|at| *at < Nanos::MAX);
        self.hold_until.into_iter().chain(news).min()
    }
}

impl Bybit {
    /// An answer, read, or that there will be none.
    pub(super) fn handle_instrument_answer(
        &mut self,
        now: Nanos,
        id: RequestId,
        result: Result<Vec<Instrument>, Error>,
        out: &mut Outbox,
    ) {
        let Some((ask, tries)) = self.rest.finish(id) else {
            return;
        };
        self.rest.note(now, &result);
        self.tell_news(now, out);
        let error = match result {
            Ok(instruments) => {
                for instrument in instruments {
                    self.symbols.insert(instrument);
                }
                let symbols = &self.symbols;
                self.rest
                    .drop_known(|symbol| symbols.find(symbol).is_some());
                let text = "Bybit does not know the symbol";
                Error::venue(ErrorKind::BadSymbol, Next::Never, None, text)
            }
            Err(error) => {
                self.counters.requests_failed += 1;
                self.rest.handle_failure(ask, tries, &error);
                error
            }
        };
        for index in 0..self.entries.len() {
            self.settle(now, index, ask, &error, out);
        }
    }

    /// Tells of bans, and of their end.
    pub(super) fn tell_news(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some(news) = self.rest.governor.poll_news(now) {
            self.counters.bans += u64::from(matches!(news, VenueNews::Banned { .. }));
            out.push_news(news);
        }
    }

    /// What an answer to `ask` means for one stream; `error` is why its symbol is not in it.
    fn settle(&mut self, now: Nanos, index: usize, ask: Ask, error: &Error, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let stream = &entry.stream;
        let default = stream.instrument;
        let found = self.symbols.find(&stream.asked);
        let found = found.or_else(|| self.symbols.find(&default.venue_symbol));
        match (entry.phase, found.copied()) {
            (Phase::Resolving { .. }, Some(instrument)) => self.start(now, index, instrument, out),
            (Phase::Resolving { .. }, None) if ask == Ask::One(default.venue_symbol) => {
                if error.kind != ErrorKind::BadSymbol {
                    self.start(now, index, default, out);
                } else if let Some(entry) = self.remove(index) {
                    self.refuse(now, entry.stream, error, out);
                }
            }
            (Phase::Resolving { .. }, None) => {}
            (_, Some(instrument)) => {
                let same = instrument.venue_symbol == default.venue_symbol;
                if same && !default.from_venue {
                    let out = sink(entry, &mut self.unseen, out);
                    entry.handle_instrument(&instrument, now, out);
                }
            }
            (_, None) => {}
        }
    }
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
    })
}
