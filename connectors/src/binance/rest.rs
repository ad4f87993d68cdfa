//! REST requests: book snapshots and exchange info, within the venue's weight limit, and what to do
//! with their answers.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::event::{Reason, StreamState};
use crate::outbox::Outbox;
use crate::scan::ScanError;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, Method, ReadOn, RequestId, Response};
use crate::wide::{Notice, WideBody};

use super::parse::{Data, Snapshot};
use super::symbols::refusal;
use super::sync::Fetch;
use super::tape::{Reader, rest_error};
use super::urls::{MarketRules, Urls};
use super::{Binance, Kind, parse, symbols, tape};

/// The engine gives up on a request after this.
const TIMEOUT_NS: Nanos = Nanos::from_secs(10);

/// We no longer wait for a request's end after this: the engine's own deadline and a margin.
const OVERDUE_NS: Nanos = Nanos::from_secs(15);

/// A snapshot of 5,000 levels a side is 0.4 MB; room for longer numbers.
const SNAPSHOT_BYTES_MAX: usize = 4 << 20;

/// The whole of spot is above 10 MB.
const INSTRUMENTS_BYTES_MAX: usize = 64 << 20;

/// Snapshots under way at once: each is parsed on the loop, and a burst of them must not hold up
/// the other books.
pub(super) const SNAPSHOTS_IN_FLIGHT_MAX: usize = 8;

/// The pause after a 429, 418 or 403 that doesn't say for how long: the limits are by the minute.
const BLOCKED_NS: Nanos = Nanos::from_secs(60);

/// The longest pause that we take a venue's word for: bans last up to 3 days. (rest-api.md)
const BLOCKED_MAX_S: i64 = 3 * 24 * 3_600;

const MINUTE_NS: i64 = 60_000_000_000;

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The book of a stream; `serial` tells it from a later one in the same slot.
    Snapshot {
        /// Index of the stream.
        slot: usize,
        /// Its serial number.
        serial: u32,
    },
    /// Exchange info.
    Instruments,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: RequestId,
    purpose: Purpose,
    deadline: Nanos,
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ended<'a> {
    /// With the data.
    Body(&'a mut [u8]),
    /// The venue said no.
    Refused(Error),
    /// The venue said not before [`Rest::blocked_until`].
    Blocked(Error),
    /// The venue or the way to it failed; the words say how.
    Failed(String),
}

/// The requests of one connector.
#[derive(Debug)]
pub(super) struct Rest {
    next_id: u32,
    in_flight: Vec<InFlight>,
    /// Streams that wait for their turn to ask for a snapshot, by slot and serial.
    pub(super) waiting: VecDeque<(usize, u32)>,
    ready: VecDeque<HttpRequest>,
    /// The minute that `used` belongs to: the venue's windows are fixed, not rolling.
    minute: i64,
    used: u32,
    weight_max: u32,
    blocked_until: Nanos,
}

impl Rest {
    pub(super) fn new(rules: &MarketRules) -> Rest {
        Rest {
            next_id: 0,
            in_flight: Vec::new(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            minute: 0,
            used: 0,
            weight_max: rules.weight_per_minute,
            blocked_until: Nanos::ZERO,
        }
    }

    /// Counts a request's weight in, or says when to ask again.
    pub(super) fn admit(&mut self, now: Nanos, weight: u32) -> Result<(), Nanos> {
        if now < self.blocked_until {
            return Err(self.blocked_until);
        }
        let minute = now.0.div_euclid(MINUTE_NS);
        if minute != self.minute {
            self.minute = minute;
            self.used = 0;
        }
        // A request heavier than the whole budget still goes, alone.
        if self.used > 0 && self.used.saturating_add(weight) > self.weight_max {
            return Err(Nanos(minute.saturating_add(1).saturating_mul(MINUTE_NS)));
        }
        self.used = self.used.saturating_add(weight);
        Ok(())
    }

    /// When the venue takes requests again.
    pub(super) const fn blocked_until(&self) -> Nanos {
        self.blocked_until
    }

    /// Puts a request into the queue; the caller has been admitted.
    pub(super) fn push(
        &mut self,
        now: Nanos,
        urls: &Urls,
        call: &str,
        purpose: Purpose,
    ) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let instruments = purpose == Purpose::Instruments;
        self.in_flight.push(InFlight {
            id,
            purpose,
            deadline: now + OVERDUE_NS,
        });
        self.ready.push_back(HttpRequest {
            id,
            endpoint: urls.rest().clone(),
            method: Method::Get,
            target: urls.target(call),
            headers: Vec::new(),
            timeout_ns: TIMEOUT_NS,
            body_bytes_max: if instruments {
                INSTRUMENTS_BYTES_MAX
            } else {
                SNAPSHOT_BYTES_MAX
            },
            read_on: if instruments {
                ReadOn::Helper
            } else {
                ReadOn::Loop
            },
        });
        id
    }

    /// The next request to send.
    pub(super) fn poll(&mut self) -> Option<HttpRequest> {
        self.ready.pop_front()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many snapshots are under way.
    pub(super) fn snapshots_in_flight(&self) -> usize {
        let snapshots = self.in_flight.iter();
        snapshots
            .filter(|request| request.purpose != Purpose::Instruments)
            .count()
    }

    pub(super) fn instruments_in_flight(&self) -> bool {
        let mut requests = self.in_flight.iter();
        requests.any(|request| request.purpose == Purpose::Instruments)
    }

    /// What a request was for; `None` where it is not waited for any more.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<Purpose> {
        let index = self.in_flight.iter().position(|request| request.id == id)?;
        Some(self.in_flight.remove(index).purpose)
    }

    /// A request that has waited too long.
    pub(super) fn next_overdue(&mut self, now: Nanos) -> Option<(RequestId, Purpose)> {
        let index = self
            .in_flight
            .iter()
            .position(|request| request.deadline <= now)?;
        let request = self.in_flight.remove(index);
        Some((request.id, request.purpose))
    }

    /// When the oldest request is overdue.
    pub(super) fn poll_timeout(&self) -> Option<Nanos> {
        self.in_flight.iter().map(|request| request.deadline).min()
    }

    /// Reads the status and the headers of an answer.
    pub(super) fn read<'a>(
        &mut self,
        now: Nanos,
        response: Response<'a>,
        reader: &mut Reader,
    ) -> Ended<'a> {
        let number = |name: &str| response.header(name)?.trim().parse::<i64>().ok();
        if let Some(used) = number("x-mbx-used-weight-1m").or_else(|| number("x-mbx-used-weight")) {
            let used = u32::try_from(used.max(0)).unwrap_or(u32::MAX);
            self.used = self.used.max(used);
        }
        if response.status == 200 {
            return Ended::Body(response.body);
        }
        let told = reader.read(response.body, |root| Ok(rest_error(root)));
        let told = told.ok().flatten();
        if matches!(response.status, 429 | 418 | 403) {
            let wait = number("retry-after").filter(|wait| *wait >= 0);
            let wait = wait.map_or(BLOCKED_NS, |wait| Nanos::from_secs(wait.min(BLOCKED_MAX_S)));
            self.blocked_until = self.blocked_until.max(now + wait);
            let text = told.map_or_else(String::new, |(_, text)| text);
            let text = format!(
                "HTTP {}, paused for {} s: {text}",
                response.status,
                wait.0 / 1_000_000_000
            );
            return Ended::Blocked(refusal(-1003, text));
        }
        match told {
            Some((code, text)) if (400..500).contains(&response.status) => {
                Ended::Refused(refusal(code, text))
            }
            Some((_, text)) => Ended::Failed(format!("HTTP {}: {text}", response.status)),
            None => Ended::Failed(format!("HTTP {}", response.status)),
        }
    }
}

/// The request of a book snapshot.
pub(super) fn depth_call(venue_symbol: &str, levels: u16) -> String {
    format!(
        "/depth?symbol={}&limit={levels}",
        percent_encoded(venue_symbol)
    )
}

/// The request of exchange info: on spot of these symbols, or of all where there are none.
pub(super) fn instruments_call(symbols: &[&str]) -> String {
    if symbols.is_empty() {
        return "/exchangeInfo".to_owned();
    }
    let list = format!("[\"{}\"]", symbols.join("\",\""));
    format!("/exchangeInfo?symbols={}", percent_encoded(&list))
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Binance {
    /// The answer to a request, or that there is none.
    pub(super) fn answer(
        &mut self,
        now: Nanos,
        id: RequestId,
        response: Result<Response<'_>, HttpFailure>,
        out: &mut Outbox,
    ) {
        let Some(purpose) = self.rest.finish(id) else {
            return;
        };
        let ended = match response {
            Ok(response) => self.rest.read(now, response, &mut self.reader),
            Err(failure) => Ended::Failed(failure.to_string()),
        };
        self.end_request(now, id, purpose, ended, out);
    }

    pub(super) fn handle_overdue_requests(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some((id, purpose)) = self.rest.next_overdue(now) {
            let ended = Ended::Failed("no answer in time".to_owned());
            self.end_request(now, id, purpose, ended, out);
        }
    }

    fn end_request(
        &mut self,
        now: Nanos,
        id: RequestId,
        purpose: Purpose,
        ended: Ended<'_>,
        out: &mut Outbox,
    ) {
        self.counters.requests_failed += u64::from(!matches!(ended, Ended::Body(_)));
        match purpose {
            Purpose::Snapshot { slot, serial } => {
                self.end_snapshot(now, id, slot, serial, ended, out);
            }
            Purpose::Instruments => {
                let read = match ended {
                    Ended::Body(body) => symbols::read(self.config.market, body),
                    Ended::Refused(error) | Ended::Blocked(error) => Err(error),
                    Ended::Failed(text) => Err(unavailable(text)),
                };
                self.resolve(now, read, out);
            }
        }
        self.pump(now);
    }

    fn end_snapshot(
        &mut self,
        now: Nanos,
        id: RequestId,
        index: usize,
        serial: u32,
        ended: Ended<'_>,
        out: &mut Outbox,
    ) {
        let waits = self.slot_mut(index).is_some_and(|slot| match &slot.kind {
            Kind::Book(sync) => slot.serial == serial && sync.fetch() == Fetch::InFlight(id),
            _ => false,
        });
        if !waits {
            return;
        }
        let error = match ended {
            Ended::Body(body) => match self.load(now, index, body, out) {
                Ok(()) => return self.schedule_fetch(now, index),
                Err(error) => error,
            },
            Ended::Refused(error) if error.kind == ErrorKind::BadSymbol => {
                return self.refuse(index, &error, now, out);
            }
            Ended::Blocked(error) => {
                let at = self.rest.blocked_until();
                self.fail_snapshot(now, index, &error, Some(at), out);
                return;
            }
            Ended::Refused(error) => error,
            Ended::Failed(text) => unavailable(text),
        };
        self.fail_snapshot(now, index, &error, None, out);
    }

    /// Reads a snapshot and gives it to its book, at wider scales where it needs them: books keep
    /// levels from before a tick size was made coarser.
    fn load(
        &mut self,
        now: Nanos,
        index: usize,
        body: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let mut read = self.read_snapshot(index, body);
        if matches!(read, Err(error) if error.kind.is_scale())
            && self.rescale(now, index, Data::bare(body), out)
        {
            read = self.read_snapshot(index, body);
        }
        let Ok(snapshot) = read else {
            let text = "the snapshot could not be read".to_owned();
            let next = Next::AfterMs(1_000);
            return Err(Error::venue(ErrorKind::BadResponse, next, None, text));
        };
        let Binance {
            slots,
            levels,
            scratch,
            rng,
            counters,
            ..
        } = self;
        if let Some(slot) = slots.get_mut(index).and_then(Option::as_mut)
            && let Kind::Book(sync) = &mut slot.kind
            // Otherwise the new scales have cost what was held, too: the next delta starts anew.
            && matches!(sync.fetch(), Fetch::InFlight(_))
        {
            let stream = &mut slot.stream;
            sync.handle_snapshot(stream, snapshot, levels, scratch, now, rng, counters, out);
        }
        Ok(())
    }

    /// Reads a snapshot into `levels`, at the stream's scales.
    fn read_snapshot(&mut self, index: usize, body: &[u8]) -> Result<Snapshot, ScanError> {
        let market = self.config.market;
        let Binance {
            slots,
            levels,
            reader,
            ..
        } = self;
        let slot = slots.get(index).and_then(Option::as_ref);
        let shape = slot.map(|slot| slot.shape(market));
        let shape = shape.ok_or_else(|| parse::missing(0, "a stream"))?;
        let snapshot = parse::snapshot(body, shape, levels).or_else(|error| {
            if error.kind.is_scale() {
                return Err(error);
            }
            reader.read(body, |root| tape::snapshot(root, shape, levels))
        })?;
        let mut all = levels.bids.iter().chain(&levels.asks);
        if all.any(|level| level.qty < 0) {
            return Err(parse::missing(0, "a quantity of zero or more"));
        }
        Ok(snapshot)
    }

    /// A snapshot could not be had. Where the book is Live (a refresh), it stays so, without a word.
    fn fail_snapshot(
        &mut self,
        now: Nanos,
        index: usize,
        error: &Error,
        not_before: Option<Nanos>,
        out: &mut Outbox,
    ) {
        let Binance { slots, rng, .. } = self;
        let Some(slot) = slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let times = Times::ours(now);
        if !slot.stream.is_live() {
            let failed = Reason::SnapshotFailed;
            slot.stream
                .change(StreamState::Resync, failed, None, times, out);
            let notice = WideBody::Notice(Notice::of(error));
            slot.stream.publish_wide(notice, times, out);
        }
        if let Kind::Book(sync) = &mut slot.kind {
            sync.retry(now, rng);
            if let (Fetch::Due(at), Some(not_before)) = (sync.fetch(), not_before) {
                sync.set_fetch(Fetch::Due(at.max(not_before)));
            }
        }
        self.schedule_fetch(now, index);
    }

    /// Queues a snapshot that is due, or sets the timer for it.
    pub(super) fn schedule_fetch(&mut self, now: Nanos, index: usize) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        let serial = slot.serial;
        let Kind::Book(sync) = &mut slot.kind else {
            return;
        };
        if sync.take_due(now) {
            // It may wait already, from before its book broke.
            if !self.rest.waiting.contains(&(index, serial)) {
                self.rest.waiting.push_back((index, serial));
            }
            self.pump(now);
        } else if let Fetch::Due(at) = sync.fetch() {
            self.arm(at);
        }
    }

    /// Makes requests for the snapshots whose turn it is, as far as the limits allow.
    pub(super) fn pump(&mut self, now: Nanos) {
        let levels = self.config.snapshot_levels;
        let weight = self.rules.snapshot_weight(levels);
        while self.rest.snapshots_in_flight() < SNAPSHOTS_IN_FLIGHT_MAX {
            let Some(&(index, serial)) = self.rest.waiting.front() else {
                return;
            };
            let slot = self.slots.get_mut(index).and_then(Option::as_mut);
            let slot = slot.filter(|slot| slot.serial == serial);
            let Some((stream, sync)) = slot.and_then(|slot| match &mut slot.kind {
                Kind::Book(sync) if sync.fetch() == Fetch::Waiting => Some((&slot.stream, sync)),
                _ => None,
            }) else {
                // It has gone, or was reset while it waited.
                self.rest.waiting.pop_front();
                continue;
            };
            if let Err(at) = self.rest.admit(now, weight) {
                self.arm(at);
                return;
            }
            self.rest.waiting.pop_front();
            let call = depth_call(&stream.instrument.venue_symbol, levels);
            let purpose = Purpose::Snapshot {
                slot: index,
                serial,
            };
            sync.set_fetch(Fetch::InFlight(
                self.rest.push(now, &self.urls, &call, purpose),
            ));
        }
    }
}

fn unavailable(text: String) -> Error {
    Error {
        kind: ErrorKind::VenueUnavailable,
        outcome: Outcome::Unknown,
        next: Next::AfterMs(1_000),
        code: None,
        text,
    }
}
