//! REST requests: book snapshots and exchange info, within the venue's weight limit, and what to do
//! with their answers.

use std::collections::VecDeque;

use crate::error::{Error, ErrorKind, Next, Outcome};
use crate::event::{Reason, StreamState};
use crate::governor::Governor;
use crate::outbox::Outbox;
use crate::scan::ScanError;
use crate::stream::Times;
use crate::time::Nanos;
use crate::transmit::{HttpFailure, HttpRequest, Method, ReadOn, RequestId, Response};
use crate::wide::{Notice, VenueNews, WideBody};

use super::parse::{Data, Snapshot};
use super::symbols::refusal;
use super::sync::Fetch;
use super::tape::{Reader, rest_error};
use super::urls::Urls;
use super::{Binance, Kind, Slot, parse, symbols, tape};

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

/// Probes under way at once: there is no hurry.
const PROBES_IN_FLIGHT_MAX: usize = 4;

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
    /// Whether the venue has news of a silent stream.
    Probe {
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
    sent_at: Nanos,
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ended<'a> {
    /// With the data.
    Body(&'a mut [u8]),
    /// The venue said no.
    Refused(Error),
    /// The venue refuses us for a while, as the governor knows.
    Blocked(Error),
    /// The venue or the way to it failed; the words say how.
    Failed(String),
}

/// The requests of one connector.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) governor: Governor,
    next_id: u32,
    in_flight: Vec<InFlight>,
    /// Streams that wait for their turn to ask for a snapshot, by slot and serial.
    pub(super) waiting: VecDeque<(usize, u32)>,
    /// Silent streams that wait for their turn to be probed.
    pub(super) probes: VecDeque<(usize, u32)>,
    /// Mute streams that wait for their turn to be asked for anew.
    pub(super) renewals: VecDeque<(usize, u32)>,
    ready: VecDeque<HttpRequest>,
    /// When those that wait are to be looked at again; [`Nanos::MAX`] for never.
    pump_at: Nanos,
    /// Whether exchange info is among what waits.
    instruments_wait: bool,
}

impl Rest {
    pub(super) fn new(governor: Governor) -> Rest {
        Rest {
            governor,
            next_id: 0,
            in_flight: Vec::new(),
            waiting: VecDeque::new(),
            probes: VecDeque::new(),
            renewals: VecDeque::new(),
            ready: VecDeque::new(),
            pump_at: Nanos::MAX,
            instruments_wait: false,
        }
    }

    /// Puts a request into the queue; the governor has admitted it.
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
            sent_at: now,
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

    /// Exchange info can't be asked for before `at`.
    pub(super) fn put_off_instruments(&mut self, at: Nanos) {
        self.instruments_wait = true;
        self.pump_by(at);
    }

    /// Those that wait may go on at `at`.
    pub(super) fn pump_by(&mut self, at: Nanos) {
        self.pump_at = self.pump_at.min(at);
    }

    /// The next request to send.
    pub(super) fn poll(&mut self) -> Option<HttpRequest> {
        self.ready.pop_front()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many snapshots are under way.
    fn snapshots_in_flight(&self) -> usize {
        let is_snapshot = |request: &&InFlight| matches!(request.purpose, Purpose::Snapshot { .. });
        self.in_flight.iter().filter(is_snapshot).count()
    }

    fn probes_in_flight(&self) -> usize {
        let is_probe = |request: &&InFlight| matches!(request.purpose, Purpose::Probe { .. });
        self.in_flight.iter().filter(is_probe).count()
    }

    pub(super) fn instruments_in_flight(&self) -> bool {
        let mut requests = self.in_flight.iter();
        requests.any(|request| request.purpose == Purpose::Instruments)
    }

    /// What a request was for, and when it was made; `None` where it is not waited for any more.
    pub(super) fn finish(&mut self, id: RequestId) -> Option<(Purpose, Nanos)> {
        let index = self.in_flight.iter().position(|request| request.id == id)?;
        let request = self.in_flight.remove(index);
        Some((request.purpose, request.sent_at))
    }

    /// A request that has waited too long.
    pub(super) fn next_overdue(&mut self, now: Nanos) -> Option<(RequestId, Purpose)> {
        let index = self
            .in_flight
            .iter()
            .position(|request| request.sent_at + OVERDUE_NS <= now)?;
        let request = self.in_flight.remove(index);
        Some((request.id, request.purpose))
    }

    /// When the oldest request is overdue, those that wait may go, or a ban has ended.
    pub(super) fn deadline(&self) -> Nanos {
        let sent = self.in_flight.iter().map(|request| request.sent_at);
        let overdue = sent.min().map_or(Nanos::MAX, |at| at + OVERDUE_NS);
        overdue.min(self.pump_at).min(self.governor.deadline())
    }

    /// Reads the status and the headers of an answer to a request of `sent_at`.
    pub(super) fn read<'a>(
        &mut self,
        now: Nanos,
        sent_at: Nanos,
        response: Response<'a>,
        reader: &mut Reader,
    ) -> Ended<'a> {
        let number = |name: &str| response.header(name)?.trim().parse::<i64>().ok();
        if let Some(used) = number("x-mbx-used-weight-1m").or_else(|| number("x-mbx-used-weight"))
            // What was asked for in another minute was counted in that.
            && minute(sent_at) == minute(now)
        {
            let used = u32::try_from(used.max(0)).unwrap_or(u32::MAX);
            self.governor.note_used(now, used);
        }
        if response.status == 200 {
            self.governor.note_success();
            return Ended::Body(response.body);
        }
        let told = reader.read(response.body, |root| Ok(rest_error(root)));
        let told = told.ok().flatten();
        if matches!(response.status, 429 | 418 | 403) {
            let pause = number("retry-after").filter(|wait| *wait >= 0);
            let pause = pause.map(|wait| Nanos::from_secs(wait.min(i64::from(u32::MAX))));
            self.governor.note_ban(now, response.status, pause);
            let text = told.map_or_else(String::new, |(_, text)| text);
            return Ended::Blocked(refusal(-1003, format!("HTTP {}: {text}", response.status)));
        }
        if (400..500).contains(&response.status) {
            self.governor.note_success();
        } else {
            self.governor.note_failure(now);
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

/// The venue's windows are fixed minutes, not rolling ones. (web-socket-api.md)
const fn minute(now: Nanos) -> i64 {
    now.0.div_euclid(60_000_000_000)
}

/// The request of a book snapshot.
pub(super) fn depth_call(venue_symbol: &str, levels: u16) -> String {
    format!(
        "/depth?symbol={}&limit={levels}",
        percent_encoded(venue_symbol)
    )
}

/// The request of the newest aggregated trade.
pub(super) fn aggregated_trades_call(venue_symbol: &str) -> String {
    format!(
        "/aggTrades?symbol={}&limit=1",
        percent_encoded(venue_symbol)
    )
}

/// The request of a day's statistics, which name the last trade.
pub(super) fn day_call(venue_symbol: &str) -> String {
    format!("/ticker/24hr?symbol={}", percent_encoded(venue_symbol))
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
        let Some((purpose, sent_at)) = self.rest.finish(id) else {
            return;
        };
        let ended = match response {
            Ok(response) => self.rest.read(now, sent_at, response, &mut self.reader),
            Err(failure) => {
                self.rest.governor.note_failure(now);
                Ended::Failed(failure.to_string())
            }
        };
        self.end_request(now, id, purpose, ended, out);
    }

    pub(super) fn handle_overdue_requests(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some((id, purpose)) = self.rest.next_overdue(now) {
            self.rest.governor.note_failure(now);
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
        self.tell_news(now, out);
        match purpose {
            Purpose::Snapshot { slot, serial } => {
                self.end_snapshot(now, id, slot, serial, ended, out);
            }
            Purpose::Probe { slot, serial } => self.end_probe(now, slot, serial, ended, out),
            Purpose::Instruments => {
                let read = match ended {
                    Ended::Body(body) => symbols::read(self.config.market, body),
                    Ended::Refused(error) | Ended::Blocked(error) => Err(error),
                    Ended::Failed(text) => Err(unavailable(text)),
                };
                self.resolve(now, read, out);
            }
        }
        self.pump(now, out);
    }

    /// Tells of bans, and of their end.
    pub(super) fn tell_news(&mut self, now: Nanos, out: &mut Outbox) {
        while let Some(news) = self.rest.governor.poll_news(now) {
            if let VenueNews::Banned { .. } = news {
                self.counters.bans += 1;
            } else {
                let slots = self.slots.iter_mut().flatten();
                slots.for_each(|slot| slot.explained = false);
            }
            out.push_news(news);
        }
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
                Ok(()) => return self.schedule_fetch(now, index, out),
                Err(error) => error,
            },
            Ended::Refused(error) if error.kind == ErrorKind::BadSymbol => {
                return self.refuse(index, &error, now, out);
            }
            Ended::Blocked(error) => return self.put_back(now, index, &error, out),
            Ended::Refused(error) => error,
            Ended::Failed(text) => unavailable(text),
        };
        self.fail_snapshot(now, index, &error, out);
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

    /// The venue bans us: the stream is the first to ask when that is over.
    fn put_back(&mut self, now: Nanos, index: usize, error: &Error, out: &mut Outbox) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        slot.say_why(error, now, out);
        if let Kind::Book(sync) = &mut slot.kind {
            sync.set_fetch(Fetch::Waiting);
            self.rest.waiting.push_front((index, slot.serial));
        }
    }

    /// A snapshot could not be had. Where the book is Live (a refresh), it stays so, without a word.
    fn fail_snapshot(&mut self, now: Nanos, index: usize, error: &Error, out: &mut Outbox) {
        let Binance { slots, rng, .. } = self;
        let Some(slot) = slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        slot.say_why(error, now, out);
        if let Kind::Book(sync) = &mut slot.kind {
            sync.retry(now, rng);
        }
        self.schedule_fetch(now, index, out);
    }

    /// Queues a snapshot that is due, or sets the timer for it.
    pub(super) fn schedule_fetch(&mut self, now: Nanos, index: usize, out: &mut Outbox) {
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
            self.pump(now, out);
        } else if let Fetch::Due(at) = sync.fetch() {
            self.timers.arm(index, at);
        }
    }

    /// Makes requests for those whose turn it is, as far as the limits allow: first for books, then
    /// for what may wait.
    pub(super) fn pump(&mut self, now: Nanos, out: &mut Outbox) {
        if self.rest.pump_at <= now {
            self.rest.pump_at = Nanos::MAX;
            self.resolve_due |= core::mem::take(&mut self.rest.instruments_wait);
        }
        self.pump_renewals(now);
        self.pump_snapshots(now, out);
        if self.rest.waiting.is_empty() {
            self.pump_probes(now);
        }
    }

    fn pump_snapshots(&mut self, now: Nanos, out: &mut Outbox) {
        let levels = self.config.snapshot_levels;
        let weight = self.rules.snapshot_weight(levels);
        while self.rest.snapshots_in_flight() < SNAPSHOTS_IN_FLIGHT_MAX {
            let Some(&(index, serial)) = self.rest.waiting.front() else {
                break;
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
            if let Err(at) = self.rest.governor.admit_request(now, weight) {
                self.rest.pump_by(at);
                self.explain_ban(now, out);
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

    fn pump_probes(&mut self, now: Nanos) {
        while self.rest.probes_in_flight() < PROBES_IN_FLIGHT_MAX {
            let Some(&(index, serial)) = self.rest.probes.front() else {
                return;
            };
            let slot = self.slots.get(index).and_then(Option::as_ref);
            let slot = slot.filter(|slot| slot.serial == serial);
            // It has gone, or was heard while it waited.
            let Some(slot) = slot.filter(|slot| slot.watch.is_probing()) else {
                self.rest.probes.pop_front();
                continue;
            };
            let (call, weight) = slot.probe_call(&self.rules);
            if let Err(at) = self.rest.governor.admit_idle_request(now, weight) {
                self.rest.pump_by(at);
                return;
            }
            self.rest.probes.pop_front();
            let purpose = Purpose::Probe {
                slot: index,
                serial,
            };
            self.rest.push(now, &self.urls, &call, purpose);
        }
    }

    /// Streams that wait for their book through a ban say why, once.
    fn explain_ban(&mut self, now: Nanos, out: &mut Outbox) {
        let until = self.rest.governor.banned_until();
        if now >= until {
            return;
        }
        // Another that shares the budget may have been told.
        self.tell_news(now, out);
        let seconds = (until - now).0 / 1_000_000_000;
        for &(index, serial) in &self.rest.waiting {
            let slot = self.slots.get_mut(index).and_then(Option::as_mut);
            let slot = slot.filter(|slot| slot.serial == serial && slot.may_explain());
            if let Some(slot) = slot {
                let text = format!("the venue refuses requests for another {seconds} s");
                slot.say_why(&refusal(-1003, text), now, out);
            }
        }
    }
}

impl Slot {
    fn may_explain(&self) -> bool {
        !self.stream.is_live() && !self.explained
    }

    /// A book that is not Live says why it could not be fetched: in its state, and in words where it
    /// has not said so since it was last Live.
    fn say_why(&mut self, error: &Error, now: Nanos, out: &mut Outbox) {
        if self.stream.is_live() {
            return;
        }
        let times = Times::ours(now);
        let failed = Reason::SnapshotFailed;
        self.stream
            .change(StreamState::Resync, failed, None, times, out);
        if error.kind != ErrorKind::RateLimited || !self.explained {
            let notice = WideBody::Notice(Notice::of(error));
            self.stream.publish_wide(notice, times, out);
        }
        self.explained |= error.kind == ErrorKind::RateLimited;
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
