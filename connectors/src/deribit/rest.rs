//! Instrument data by REST: which questions to ask, in what order, and how to read the answers.
//!
//! **Symbol by symbol or all at once.** A few symbols are asked for one by one (`get_instrument`):
//! answers of 1 kB. From [`ONES_MAX`] waiting symbols on, the whole list is asked for instead
//! (`get_instruments`, megabytes for options, read on the helper thread), once: the venue allows it
//! every 10 seconds and five times in a burst (rate limits). What is not in it is asked for symbol by
//! symbol; so the list is a prefetch, and only the question for one symbol decides that the venue does
//! not know it.

use std::collections::VecDeque;

use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale, required_scale};

use super::subscribe::code_error;
use super::symbols::Name;
use super::sync::Phase;
use super::tape::{self, Reader};
use super::urls::{self, Urls};
use super::{Deribit, sink, symbols};
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
        let call = match ask {
            Ask::List => {
                let kind = urls::kind(self.market).unwrap_or_default();
                format!("get_instruments?currency=any&kind={kind}&expired=false")
            }
            Ask::One(symbol) => format!("get_instrument?instrument_name={symbol}"),
        };
        let prefix = &urls.rest_prefix;
        Some(HttpRequest {
            id,
            endpoint: urls.rest.clone(),
            method: Method::Get,
            target: format!("{prefix}/api/v2/public/{call}"),
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
                let pause = match next {
                    Next::AfterMs(ms) => Some(Nanos::from_millis(i64::from(ms))),
                    _ => None,
                };
                self.governor.note_ban(now, 429, pause);
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

impl Deribit {
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
                let text = "Deribit does not know the symbol";
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
        from_venue: true,
    })
}
