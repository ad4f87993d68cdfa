//! Plays a recording to subscribers and answers REST from it, consistently with the position.
//!
//! Playing starts once the first client has subscribed and then no more subscriptions come for
//! [`SETTLE_NS`], or when every recorded topic has a subscriber. A recorded depth answer is a
//! gate: if the symbol's depth is subscribed and nobody has asked for the snapshot yet, playing
//! waits there for up to [`GATE_NS`], because in the recording the question came at that point. So
//! a client that begins at the recording's start synchronises at any speed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::book::{Levels, ReplayBook};
use super::recording::{BookPart, Entry, Recording};
use crate::control::Command;
use crate::num::{ms, push_i64, push_u64};
use crate::outbox::{ConnId, MsgKind, Outbox};
use crate::spec::{SECOND_NS, SimVenue, Speed};
use crate::stats::Counters;
use crate::venue::stream::{Stream, Sub};
use crate::venue::{Common, Feed, HttpRequest, HttpResponse, binance, bybit};

/// Quiet time after a subscription before playing starts.
const SETTLE_NS: i64 = SECOND_NS / 4;
/// How long a recorded depth answer waits to be asked for.
const GATE_NS: i64 = 3 * SECOND_NS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has subscribed.
    Idle,
    /// Waits for more subscriptions until this time.
    Settling(i64),
    /// Recorder's time `recv_ns` is played at `now_ns`.
    Playing { now_ns: i64, recv_ns: i64 },
}

#[derive(Debug)]
pub(crate) struct ReplayFeed {
    venue: SimVenue,
    recording: Recording,
    speed: Speed,
    state: State,
    /// Next entry to play.
    at: usize,
    /// Per topic: one stream for each name that it was subscribed by.
    streams: Vec<Vec<Stream>>,
    /// Binance: by symbol. Bybit: by topic name.
    books: BTreeMap<String, ReplayBook>,
    /// Symbols whose snapshot has been asked for.
    asked: BTreeSet<String>,
    gate_until: Option<i64>,
    /// Newest played frame of each topic.
    last_frame: Vec<Option<usize>>,
    paused_at: Option<i64>,
}

fn stream(name: &str, kind: MsgKind) -> Stream {
    Stream::new(name.to_owned(), kind).with_deltas(kind == MsgKind::Depth)
}

impl ReplayFeed {
    pub(crate) fn new(venue: SimVenue, recording: Recording, speed: Speed) -> Self {
        let topics = &recording.topics;
        let streams = topics
            .iter()
            .map(|t| vec![stream(&t.name, t.kind)])
            .collect();
        let last_frame = vec![None; topics.len()];
        Self {
            venue,
            recording,
            speed,
            state: State::Idle,
            at: 0,
            streams,
            books: BTreeMap::new(),
            asked: BTreeSet::new(),
            gate_until: None,
            last_frame,
            paused_at: None,
        }
    }

    fn is_subscribed(&self, topic: usize) -> bool {
        self.streams[topic].iter().any(|stream| !stream.is_idle())
    }

    /// When an entry recorded at `at_ns` is due.
    fn due(&self, at_ns: i64) -> Option<i64> {
        let State::Playing { now_ns, recv_ns } = self.state else {
            return None;
        };
        let offset = (at_ns - recv_ns).max(0);
        Some(match self.speed {
            Speed::Recorded => now_ns + offset,
            Speed::Times(factor) if factor > 0.0 => now_ns + (offset as f64 / factor) as i64,
            Speed::Times(_) | Speed::Max => now_ns,
        })
    }

    fn first_frame_ns(&self) -> i64 {
        self.recording.frames.first().map_or(0, |frame| frame.at_ns)
    }

    /// Plays one entry if it is due. False: nothing more is due now.
    fn step(&mut self, now: i64, cx: &mut Common, out: &mut Outbox) -> bool {
        match self.recording.entries.get(self.at) {
            None => false,
            Some(Entry::Frame(index)) => {
                let index = *index;
                let due = self.due(self.recording.frames[index].at_ns);
                if due.is_none_or(|due| due > now) {
                    return false;
                }
                self.at += 1;
                self.play(index, due.unwrap_or(now), cx, out);
                true
            }
            Some(Entry::Rest(index)) => {
                let index = *index;
                if self.holds(index, now) {
                    return false;
                }
                self.at += 1;
                self.pass_rest(index);
                true
            }
        }
    }

    fn play(&mut self, index: usize, due: i64, cx: &mut Common, out: &mut Outbox) {
        let frame = &self.recording.frames[index];
        let topic = &self.recording.topics[frame.topic];
        self.last_frame[frame.topic] = Some(index);
        let key = if self.venue.is_binance() {
            &topic.symbol
        } else {
            &topic.name
        };
        match &frame.book {
            Some(BookPart::Snapshot(levels)) => {
                self.books
                    .entry(key.clone())
                    .or_default()
                    .load(levels, (frame.seq, frame.engine_ms));
            }
            Some(BookPart::Delta(levels)) => {
                // Before its snapshot a book is unknown, and changes to it mean nothing.
                let book = self
                    .books
                    .get_mut(key)
                    .filter(|b| b.id > 0 && frame.seq > b.id);
                if let Some(book) = book {
                    book.apply(levels, (frame.seq, frame.engine_ms));
                }
            }
            None => {}
        }
        let text = &self.recording.text.as_bytes()[frame.data.clone()];
        for stream in &mut self.streams[frame.topic] {
            stream.emit(out, cx, due, frame.seq, |buf, _| {
                buf.extend_from_slice(text)
            });
        }
        Counters::add(&cx.counters.market_events, 1);
    }

    /// Whether playing must wait at this recorded answer, and since when it does.
    fn holds(&mut self, index: usize, now: i64) -> bool {
        let rest = &self.recording.rests[index];
        let (Some(symbol), Some(_)) = (&rest.symbol, &rest.depth) else {
            return false;
        };
        let wanted = self
            .recording
            .topics
            .iter()
            .enumerate()
            .any(|(topic, one)| {
                one.symbol == *symbol && one.kind == MsgKind::Depth && self.is_subscribed(topic)
            });
        let waits = wanted && !self.asked.contains(symbol);
        match (waits, self.gate_until) {
            (true, None) => {
                self.gate_until = Some(now + GATE_NS);
                true
            }
            (true, Some(until)) if now < until => true,
            (_, Some(until)) => {
                // The time spent here is no part of the recording.
                let since = until - GATE_NS;
                self.gate_until = None;
                if let State::Playing { now_ns, .. } = &mut self.state {
                    *now_ns += (now - since).max(0);
                }
                false
            }
            (false, None) => false,
        }
    }

    /// A recorded depth answer becomes the base of the symbol's book, with what was already played
    /// and is newer on top.
    fn pass_rest(&mut self, index: usize) {
        let rest = &self.recording.rests[index];
        let (Some(symbol), Some((numbers, levels))) = (&rest.symbol, &rest.depth) else {
            return;
        };
        let book = self.books.entry(symbol.clone()).or_default();
        if book.id >= numbers.0 {
            return;
        }
        book.load(levels, *numbers);
        for entry in &self.recording.entries[..self.at] {
            let Entry::Frame(frame) = entry else { continue };
            let frame = &self.recording.frames[*frame];
            if self.recording.topics[frame.topic].symbol != *symbol || frame.seq <= book.id {
                continue;
            }
            if let Some(BookPart::Delta(levels)) = &frame.book {
                book.apply(levels, (frame.seq, frame.engine_ms));
            }
        }
    }

    /// The depth answer for this position: the recorded one while it lies ahead, afterwards the
    /// rebuilt book.
    fn depth(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        let Some(symbol) = request.param("symbol") else {
            return binance::rest_error(400, -1102, "Mandatory parameter 'symbol' was not sent.");
        };
        let limit = match binance::depth_limit(self.venue, request.param("limit").as_deref()) {
            Ok(limit) => limit,
            Err(response) => return response,
        };
        let known = self
            .recording
            .topics
            .iter()
            .any(|topic| topic.symbol == symbol);
        if !known
            && !self
                .recording
                .rests
                .iter()
                .any(|r| r.symbol.as_ref() == Some(&symbol))
        {
            return binance::rest_error(400, -1121, "Invalid symbol.");
        }
        self.asked.insert(symbol.clone());
        if let Some(book) = self.books.get(&symbol).filter(|book| book.id > 0) {
            return HttpResponse::json(200, self.depth_body(&symbol, book, limit, now));
        }
        let ahead = self
            .recording
            .rests
            .iter()
            .find(|rest| rest.depth.is_some() && rest.symbol.as_ref() == Some(&symbol));
        match ahead.and_then(|rest| rest.depth.as_ref().map(|depth| (rest, depth))) {
            Some((rest, (_, Levels { bids, asks })))
                if bids.len() <= limit && asks.len() <= limit =>
            {
                let body = self.recording.text.as_bytes()[rest.body.clone()].to_vec();
                HttpResponse::json(200, body)
            }
            Some((_, (numbers, levels))) => {
                let mut book = ReplayBook::default();
                book.load(levels, *numbers);
                HttpResponse::json(200, self.depth_body(&symbol, &book, limit, now))
            }
            None => binance::rest_error(503, -1001, "The recording has no snapshot of this."),
        }
    }

    fn depth_body(&self, symbol: &str, book: &ReplayBook, limit: usize, now: i64) -> Vec<u8> {
        let mut body = b"{\"lastUpdateId\":".to_vec();
        push_u64(&mut body, book.id);
        if !self.venue.is_spot() {
            body.extend_from_slice(b",\"E\":");
            push_i64(&mut body, ms(now));
            // Later than no update that is played from here on, as those have their recorded times.
            body.extend_from_slice(b",\"T\":");
            push_i64(&mut body, book.engine_ms);
        }
        if self.venue == SimVenue::BinanceInverse {
            let pair = symbol.split('_').next().unwrap_or(symbol);
            let text = format!(",\"symbol\":\"{symbol}\",\"pair\":\"{pair}\"");
            body.extend_from_slice(text.as_bytes());
        }
        body.extend_from_slice(b",\"bids\":");
        book.write_bids(&mut body, limit);
        body.extend_from_slice(b",\"asks\":");
        book.write_asks(&mut body, limit);
        body.push(b'}');
        body
    }

    /// A recorded list of instruments, cut down to the symbols that were asked for.
    fn instruments(&self, call: &str, request: &HttpRequest<'_>) -> Option<HttpResponse> {
        let rest = self.recording.rests.iter().find(|rest| rest.call == call)?;
        let body = &self.recording.text[rest.body.clone()];
        let wanted: Option<Vec<String>> = match (request.param("symbol"), request.param("symbols"))
        {
            (Some(symbol), _) => Some(vec![symbol]),
            (None, Some(list)) => serde_json::from_str(&list).ok(),
            (None, None) => None,
        };
        let Some(wanted) = wanted else {
            return Some(HttpResponse::json(200, body.as_bytes().to_vec()));
        };
        let mut value: Value = serde_json::from_str(body).ok()?;
        let path = if call == "exchangeInfo" {
            "/symbols"
        } else {
            "/result/list"
        };
        let list = value.pointer_mut(path).and_then(Value::as_array_mut)?;
        let symbol = |one: &Value| one.get("symbol").and_then(Value::as_str).map(str::to_owned);
        list.retain(|one| symbol(one).is_some_and(|symbol| wanted.contains(&symbol)));
        Some(HttpResponse::json(200, value.to_string().into_bytes()))
    }

    fn binance_rest(&mut self, request: &HttpRequest<'_>, now: i64) -> Option<HttpResponse> {
        match binance::rest_call(self.venue, request.path)? {
            "ping" => Some(HttpResponse::json(200, b"{}".to_vec())),
            "time" => Some(binance::rest_time(now)),
            "depth" => Some(self.depth(request, now)),
            "exchangeInfo" => Some(self.instruments("exchangeInfo", request).unwrap_or_else(
                || {
                    let body = format!(
                        "{{\"timezone\":\"UTC\",\"serverTime\":{},\"rateLimits\":[],\
                     \"exchangeFilters\":[],\"symbols\":[]}}",
                        ms(now)
                    );
                    HttpResponse::json(200, body.into_bytes())
                },
            )),
            _ => None,
        }
    }

    fn bybit_rest(&mut self, request: &HttpRequest<'_>, now: i64) -> Option<HttpResponse> {
        match request.path.strip_prefix("/v5/market/")? {
            "time" => Some(bybit::rest_time(now)),
            "instruments-info" => {
                if request.param("category").as_deref() != Some(bybit::rest_category(self.venue)) {
                    let msg = "params error: Category is invalid";
                    return Some(bybit::rest_envelope(10_001, msg, b"{}", now));
                }
                Some(
                    self.instruments("instruments-info", request)
                        .unwrap_or_else(|| bybit::rest_envelope(0, "OK", b"{\"list\":[]}", now)),
                )
            }
            _ => None,
        }
    }

    /// A Bybit client that comes after the topic's snapshot gets one made of the rebuilt book, with
    /// the numbers of the newest frame.
    fn late_snapshot(&self, topic: usize, buf: &mut Vec<u8>) -> Option<()> {
        let name = &self.recording.topics[topic].name;
        let book = self.books.get(name).filter(|book| book.id > 0)?;
        let frame = &self.recording.frames[self.last_frame[topic]?];
        let last: Value = serde_json::from_str(&self.recording.text[frame.whole.clone()]).ok()?;
        let symbol = &self.recording.topics[topic].symbol;
        let number = |path: &str| last.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let head = format!(
            "{{\"topic\":\"{name}\",\"type\":\"snapshot\",\"ts\":{},\"data\":{{\"s\":\"{symbol}\",\
             \"b\":",
            number("/ts")
        );
        buf.extend_from_slice(head.as_bytes());
        book.write_bids(buf, usize::MAX);
        buf.extend_from_slice(b",\"a\":");
        book.write_asks(buf, usize::MAX);
        let (seq, cts) = (number("/data/seq"), number("/cts"));
        let tail = format!(",\"u\":{},\"seq\":{seq}}},\"cts\":{cts}}}", book.id);
        buf.extend_from_slice(tail.as_bytes());
        Some(())
    }
}

impl Feed for ReplayFeed {
    fn knows(&self, topic: &str) -> bool {
        // A recorded client may have asked for liquidations that never came.
        self.recording.find(topic).is_some()
            || (!self.venue.is_binance() && topic.starts_with("allLiquidation."))
    }

    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, out: &mut Outbox) {
        let Some(index) = self.recording.find(topic) else {
            return;
        };
        let info = &self.recording.topics[index];
        let streams = &mut self.streams[index];
        let slot = streams
            .iter()
            .position(|s| s.name == topic)
            .unwrap_or_else(|| {
                streams.push(stream(topic, info.kind));
                streams.len() - 1
            });
        streams[slot].add(sub, &info.symbol, cx);
        if !self.venue.is_binance() && info.kind == MsgKind::Depth {
            let mut snapshot = Vec::new();
            if self.late_snapshot(index, &mut snapshot).is_some() {
                self.streams[index][slot].emit_to(sub.conn, out, cx, now, 0, |buf, _| {
                    buf.extend_from_slice(&snapshot);
                });
            }
        }
        if !matches!(self.state, State::Playing { .. }) {
            let all = (0..self.streams.len()).all(|topic| self.is_subscribed(topic));
            self.state = State::Settling(if all { now } else { now + SETTLE_NS });
        }
    }

    fn unsubscribe(&mut self, conn: ConnId, topic: &str) {
        if let Some(index) = self.recording.find(topic) {
            let streams = self.streams[index].iter_mut().filter(|s| s.name == topic);
            streams.for_each(|stream| stream.remove(conn));
        }
    }

    fn set_wrapped(&mut self, conn: ConnId, wrapped: bool) {
        self.streams
            .iter_mut()
            .flatten()
            .for_each(|s| s.set_wrapped(conn, wrapped));
    }

    fn poll(&mut self, now: i64, budget: usize, cx: &mut Common, out: &mut Outbox) {
        if self.paused_at.is_some() {
            return;
        }
        if let State::Settling(until) = self.state {
            if until > now {
                return;
            }
            self.state = State::Playing {
                now_ns: now,
                recv_ns: self.first_frame_ns(),
            };
        }
        if matches!(self.state, State::Playing { .. }) {
            for _ in 0..budget {
                if !self.step(now, cx, out) {
                    return;
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        match (self.paused_at, self.state) {
            (Some(_), _) | (_, State::Idle) => None,
            (None, State::Settling(until)) => Some(until),
            (None, State::Playing { now_ns, .. }) => match self.recording.entries.get(self.at)? {
                Entry::Frame(index) => self.due(self.recording.frames[*index].at_ns),
                Entry::Rest(_) => Some(self.gate_until.unwrap_or(now_ns)),
            },
        }
    }

    fn rest(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
        _cx: &mut Common,
    ) -> Option<HttpResponse> {
        if self.venue.is_binance() {
            self.binance_rest(request, now)
        } else {
            self.bybit_rest(request, now)
        }
    }

    fn control(&mut self, command: &Command, now: i64) {
        match command {
            Command::Pause => {
                self.paused_at.get_or_insert(now);
            }
            Command::Resume => {
                let pause_ns = self.paused_at.take().map_or(0, |since| now - since);
                match &mut self.state {
                    State::Playing { now_ns, .. } | State::Settling(now_ns) => *now_ns += pause_ns,
                    State::Idle => {}
                }
                self.gate_until = self.gate_until.map(|until| until + pause_ns);
            }
            Command::StallStream { topic, on } => {
                let streams = self
                    .streams
                    .iter_mut()
                    .flatten()
                    .filter(|s| s.name == *topic);
                streams.for_each(|stream| stream.stalled = *on);
            }
            Command::SkipNextDelta { symbol } => {
                for (topic, streams) in self.recording.topics.iter().zip(&mut self.streams) {
                    if topic.symbol == *symbol && topic.kind == MsgKind::Depth {
                        streams.iter_mut().for_each(|stream| stream.skip += 1);
                    }
                }
            }
            // From the start again, for whoever subscribes next.
            Command::Restart => {
                (self.state, self.at, self.gate_until) = (State::Idle, 0, None);
                self.books.clear();
                self.asked.clear();
                self.last_frame.iter_mut().for_each(|last| *last = None);
            }
            _ => {}
        }
    }
}
