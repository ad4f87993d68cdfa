//! What is known of a token, by REST: which questions to ask, in what order, and how to read the
//! answers.
//!
//! `GET /book` of a token has its tick and least size beside its book, and says by its 404 that there
//! is none: the token is unknown, its market is settled, or too new (a new market may be without for
//! minutes). `POST /books` answers the same for many tokens, in one list without those that have none.

use std::collections::VecDeque;
use std::io::Write;

use simd_json::Tape;
use simd_json::prelude::*;
use simd_json::tape::Value;
use tickwire_orderbook::{Price, Qty, Scale};

use super::sync::Phase;
use super::urls::{self, Urls};
use super::{Polymarket, symbols, tape};
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::instrument::{Instrument, Market, Symbol, TradingStatus, symbol};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, Method, ReadOn, RequestId, Response};
use crate::wide::VenueNews;

/// With more tokens waiting than this, one question for many is cheaper.
const ONES_MAX: usize = 4;

/// Tokens in one question.
const MANY_MAX: usize = 100;

/// What a question for many weighs: a third of the requests for one are allowed
/// (api-reference/rate-limits).
const MANY_WEIGHT: u32 = 3;

/// Questions in flight at once.
const IN_FLIGHT_MAX: usize = 8;

/// How often a token is asked for before its defaults have to do.
const TRIES_MAX: u8 = 3;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// These tokens.
    Many(Vec<Symbol>),
    /// This token: if it is not in the answer, there is none.
    One(Symbol),
}

/// The questions that wait and those under way.
#[derive(Debug)]
pub(super) struct Rest {
    waiting: VecDeque<(Symbol, u8)>,
    in_flight: Vec<(RequestId, Ask, u8)>,
    /// What the venue may be asked.
    pub(super) governor: Governor,
    /// The governor admits nothing before.
    hold_until: Option<Nanos>,
    next_id: u32,
}

impl Rest {
    pub(super) fn new(governor: Governor) -> Rest {
        Rest {
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            governor,
            hold_until: None,
            next_id: 0,
        }
    }

    /// The instrument of this token is needed.
    pub(super) fn need(&mut self, token: Symbol) {
        let waits = self.waiting.iter().any(|(one, _)| *one == token);
        let asked = |(_, ask, _): &(RequestId, Ask, u8)| ask.has(&token);
        if !waits && !self.in_flight.iter().any(asked) {
            self.waiting.push_back((token, 0));
        }
    }

    #[inline]
    pub(super) fn has_request(&self) -> bool {
        !self.waiting.is_empty()
            && self.hold_until.is_none()
            && self.in_flight.len() < IN_FLIGHT_MAX
    }

    pub(super) fn next_request(
        &mut self,
        now: Nanos,
        urls: &Urls,
        body: &mut Vec<u8>,
    ) -> Option<HttpRequest> {
        if !self.has_request() {
            return None;
        }
        // What a question for many has left out is asked for alone.
        let fresh = self
            .waiting
            .iter()
            .take_while(|(_, tries)| *tries == 0)
            .count();
        let many = fresh > ONES_MAX;
        let weight = if many { MANY_WEIGHT } else { 1 };
        if let Err(until) = self.governor.admit_request(now, weight) {
            self.hold_until = Some(until);
            return None;
        }
        let prefix = &urls.rest_prefix;
        let (ask, tries, target) = if many {
            let tokens: Vec<Symbol> = self
                .waiting
                .drain(..fresh.min(MANY_MAX))
                .map(|(one, _)| one)
                .collect();
            for (index, token) in tokens.iter().enumerate() {
                let open = if index == 0 { "[" } else { "," };
                // Writing to a Vec can't fail.
                let _ = write!(body, r#"{open}{{"token_id":"{token}"}}"#);
            }
            body.push(b']');
            (Ask::Many(tokens), 0, format!("{prefix}/books"))
        } else {
            let (token, tries) = self.waiting.pop_front()?;
            (
                Ask::One(token),
                tries,
                format!("{prefix}/book?token_id={token}"),
            )
        };
        let id = self.next_id();
        self.in_flight.push((id, ask, tries));
        Some(HttpRequest {
            id,
            endpoint: urls.rest.clone(),
            method: if many { Method::Post } else { Method::Get },
            target,
            headers: match many {
                true => vec![("Content-Type".to_owned(), "application/json".to_owned())],
                false => Vec::new(),
            },
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
    pub(super) fn handle_failure(&mut self, ask: &Ask, tries: u8, error: &Error) {
        let again = tries + 1;
        match ask {
            Ask::One(_) if error.next == Next::Never || again >= TRIES_MAX => {}
            Ask::One(token) => self.waiting.push_back((*token, again)),
            Ask::Many(tokens) => self.ask_alone(tokens),
        }
    }

    /// Asks for each of these by itself.
    fn ask_alone(&mut self, tokens: &[Symbol]) {
        self.waiting.extend(tokens.iter().map(|token| (*token, 1)));
    }

    /// Tokens that another answer has told of need no question of their own.
    pub(super) fn drop_known(&mut self, known: impl Fn(&Symbol) -> bool) {
        self.waiting.retain(|(token, _)| !known(token));
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

impl Ask {
    fn has(&self, token: &Symbol) -> bool {
        match self {
            Ask::Many(tokens) => tokens.contains(token),
            Ask::One(one) => one == token,
        }
    }
}

impl Polymarket {
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
                if let Ask::Many(tokens) = &ask {
                    self.rest.ask_alone(tokens);
                }
                let symbols = &self.symbols;
                self.rest.drop_known(|token| symbols.find(token).is_some());
                no_book()
            }
            Err(error) => {
                self.counters.requests_failed += 1;
                self.rest.handle_failure(&ask, tries, &error);
                error
            }
        };
        for index in 0..self.entries.len() {
            self.settle(now, index, &ask, &error, out);
        }
    }

    /// Tells of bans, and of their end.
    pub(super) fn tell_news(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some(news) = self.rest.governor.poll_news(now) {
            self.counters.bans += u64::from(matches!(news, VenueNews::Banned { .. }));
            out.push_news(news);
        }
    }

    /// What an answer to `ask` means for one stream; `error` is why its token is not in it.
    fn settle(&mut self, now: Nanos, index: usize, ask: &Ask, error: &Error, out: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let default = entry.stream.instrument;
        let found = self.symbols.find(&default.venue_symbol).copied();
        match (entry.phase, found) {
            (Phase::Resolving { .. }, Some(instrument)) => self.start(now, index, instrument, out),
            (Phase::Resolving { .. }, None) if *ask == Ask::One(default.venue_symbol) => {
                if error.kind != ErrorKind::BadSymbol {
                    self.start(now, index, default, out);
                } else if let Some(entry) = self.remove(index) {
                    self.refuse(now, entry.stream, error, out);
                }
            }
            (Phase::Resolving { .. }, None) | (_, None) => {}
            (_, Some(instrument)) => {
                if !default.from_venue {
                    entry.handle_instrument(&instrument, now, out);
                }
            }
        }
    }
}

fn no_book() -> Error {
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
