//! Instrument data by REST: which questions to ask and in what order, and what the answers mean for the
//! streams that wait for them.
//!
//! **Symbol by symbol or many at once.** A few symbols are asked for one by one: answers of 1 kB. From
//! [`ONES_MAX`] waiting symbols on, one question for many is cheaper ([`Bulk`]). What is not in its answer
//! is asked for by itself: so it is a prefetch, and only the question for one symbol decides that the
//! venue does not know it.

use std::collections::VecDeque;

use super::Streams;
use super::dialect::Dialect;
use super::entry::Phase;
use crate::error::{Error, ErrorKind, Next};
use crate::governor::Governor;
use crate::instrument::{Instrument, Symbol};
use crate::outbox::Outbox;
use crate::time::Nanos;
use crate::transmit::{HttpRequest, Method, ReadOn, RequestId};
use crate::wide::VenueNews;

/// With more symbols waiting than this, one question for many is cheaper.
const ONES_MAX: usize = 4;

/// Questions in flight at once.
const IN_FLIGHT_MAX: usize = 8;

/// How often a symbol is asked for before its defaults have to do.
const TRIES_MAX: u8 = 3;

/// An answer takes a round trip, and some megabytes at most.
const REST_TIMEOUT: Nanos = Nanos::from_secs(10);

/// How a venue answers for many instruments at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// For all of the market; it is asked once.
    All,
    /// For those that are named, up to so many, at this weight.
    Named { most: usize, weight: u32 },
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// All instruments of the market.
    All,
    /// Those with these symbols of the venue.
    Named(Vec<Symbol>),
    /// The one with this symbol of the venue: if it is not in the answer, there is none.
    One(Symbol),
}

impl Ask {
    fn names(&self, symbol: &Symbol) -> bool {
        match self {
            Ask::All => false,
            Ask::Named(symbols) => symbols.contains(symbol),
            Ask::One(one) => one == symbol,
        }
    }
}

/// The questions that wait and those under way, and what the venue may be asked at all.
#[derive(Debug)]
pub(crate) struct Questions {
    bulk: Bulk,
    waiting: VecDeque<(Symbol, u8)>,
    in_flight: Vec<(RequestId, Ask, u8)>,
    /// All instruments are asked for once.
    all_asked: bool,
    /// What the venue may be asked.
    pub(crate) governor: Governor,
    /// The governor admits nothing before.
    hold_until: Option<Nanos>,
    next_id: u32,
}

impl Questions {
    pub(crate) fn new(bulk: Bulk, governor: Governor) -> Questions {
        Questions {
            bulk,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            all_asked: false,
            governor,
            hold_until: None,
            next_id: 0,
        }
    }

    /// The instrument of this symbol is needed.
    pub(crate) fn need(&mut self, symbol: Symbol) {
        let waits = self.waiting.iter().any(|(one, _)| *one == symbol);
        let mut asked = self.in_flight.iter();
        if !waits && !asked.any(|(_, ask, _)| ask.names(&symbol)) {
            self.waiting.push_back((symbol, 0));
        }
    }

    #[inline]
    pub(crate) fn has_request(&self) -> bool {
        !self.waiting.is_empty()
            && self.hold_until.is_none()
            && self.in_flight.len() < IN_FLIGHT_MAX
            && !self.in_flight.iter().any(|(_, ask, _)| *ask == Ask::All)
    }

    /// How many of those that wait one question is to ask for; what such a question has left out is
    /// asked for alone.
    fn batch(&self) -> usize {
        let count = match self.bulk {
            Bulk::All if self.all_asked => 0,
            Bulk::All => self.waiting.len(),
            Bulk::Named { .. } => {
                let fresh = self.waiting.iter();
                fresh.take_while(|(_, tries)| *tries == 0).count()
            }
        };
        if count > ONES_MAX { count } else { 1 }
    }

    /// The next question, where the governor admits it.
    pub(super) fn next(&mut self, now: Nanos) -> Option<(RequestId, Ask)> {
        if !self.has_request() {
            return None;
        }
        let batch = self.batch();
        let weight = match self.bulk {
            Bulk::Named { weight, .. } if batch > 1 => weight,
            _ => 1,
        };
        if let Err(until) = self.governor.admit_request(now, weight) {
            self.hold_until = Some(until);
            return None;
        }
        let (ask, tries) = match self.bulk {
            _ if batch == 1 => {
                let (symbol, tries) = self.waiting.pop_front()?;
                (Ask::One(symbol), tries)
            }
            Bulk::All => {
                self.all_asked = true;
                (Ask::All, 0)
            }
            Bulk::Named { most, .. } => {
                let named = self.waiting.drain(..batch.min(most));
                (Ask::Named(named.map(|(one, _)| one).collect()), 0)
            }
        };
        let id = self.next_id();
        self.in_flight.push((id, ask.clone(), tries));
        Some((id, ask))
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
    fn finish(&mut self, id: RequestId) -> Option<(Ask, u8)> {
        let index = self.in_flight.iter().position(|(one, _, _)| *one == id)?;
        let (_, ask, tries) = self.in_flight.remove(index);
        Some((ask, tries))
    }

    /// A question failed: it is asked again where that can help, when the governor admits it.
    fn handle_failure(&mut self, ask: &Ask, tries: u8, error: &Error) {
        let again = error.next != Next::Never;
        match ask {
            Ask::All if again => self.all_asked = false,
            Ask::Named(symbols) => self.ask_alone(symbols),
            Ask::One(symbol) if again && tries + 1 < TRIES_MAX => {
                self.waiting.push_back((*symbol, tries + 1));
            }
            Ask::All | Ask::One(_) => {}
        }
    }

    /// Asks for each of these by itself.
    fn ask_alone(&mut self, symbols: &[Symbol]) {
        self.waiting
            .extend(symbols.iter().map(|symbol| (*symbol, 1)));
    }

    /// What an answer for many has told of needs no question of its own; what it has left out does.
    fn settle(&mut self, ask: &Ask, is_known: impl Fn(&Symbol) -> bool) {
        if let Ask::Named(symbols) = ask {
            self.ask_alone(symbols);
        }
        self.waiting.retain(|(symbol, _)| !is_known(symbol));
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

impl<D: Dialect> Streams<D> {
    pub(super) fn next_question(&mut self, now: Nanos, body: &mut Vec<u8>) -> Option<HttpRequest> {
        let (id, ask) = self.rest.next(now)?;
        let path = self.own.write_question(&ask, body);
        let mut request = self.request(id, &path, ReadOn::Helper, D::INSTRUMENT_BYTES_MAX);
        if !body.is_empty() {
            request.method = Method::Post;
            let json = ("Content-Type".to_owned(), "application/json".to_owned());
            request.headers.push(json);
        }
        Some(request)
    }

    pub(super) fn request(
        &self,
        id: RequestId,
        path: &str,
        read_on: ReadOn,
        body_bytes_max: usize,
    ) -> HttpRequest {
        let (endpoint, prefix) = self.own.rest();
        HttpRequest {
            id,
            endpoint: endpoint.clone(),
            method: Method::Get,
            target: format!("{prefix}{path}"),
            headers: Vec::new(),
            timeout_ns: REST_TIMEOUT,
            body_bytes_max,
            read_on,
        }
    }

    /// An answer about instruments, read, or that there will be none.
    pub(super) fn handle_answer_to_question(
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
                    .settle(&ask, |symbol| symbols.find(symbol).is_some());
                D::not_listed()
            }
            Err(error) => {
                self.counters.requests_failed += 1;
                self.rest.handle_failure(&ask, tries, &error);
                error
            }
        };
        for slot in 0..self.table.len() {
            self.settle(now, slot, &ask, &error, out);
        }
    }

    /// Tells of bans, and of their end.
    pub(crate) fn tell_news(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some(news) = self.rest.governor.poll_news(now) {
            self.counters.bans += u64::from(matches!(news, VenueNews::Banned { .. }));
            out.push_news(news);
        }
    }

    /// What an answer to `ask` means for one stream; `error` is why its symbol is not in it.
    fn settle(&mut self, now: Nanos, slot: usize, ask: &Ask, error: &Error, out: &mut Outbox) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let default = entry.stream.instrument;
        let found = self.symbols.find(&entry.stream.asked);
        let found = found.or_else(|| self.symbols.find(&default.venue_symbol));
        match (entry.phase, found.copied()) {
            (Phase::Resolving { .. }, Some(instrument)) => self.start(now, slot, instrument, out),
            (Phase::Resolving { .. }, None) if *ask == Ask::One(default.venue_symbol) => {
                if error.kind != ErrorKind::BadSymbol {
                    self.start(now, slot, default, out);
                } else if let Some(entry) = self.remove(slot) {
                    self.refuse(now, entry.stream, error, out);
                }
            }
            (Phase::Resolving { .. }, None) | (_, None) => {}
            (_, Some(instrument)) => {
                let same = instrument.venue_symbol == default.venue_symbol;
                if same && !default.from_venue {
                    let out = entry.sink(&mut self.unseen, out);
                    entry.handle_instrument(&instrument, now, out);
                }
            }
        }
    }
}
