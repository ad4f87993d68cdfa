//! Venues as sans-IO state machines: connections, frames and requests in; frames and answers out;
//! `now` is an argument. What all venues share stands here, each one's protocol in its folder.

pub(crate) mod binance;
pub(crate) mod bybit;
pub(crate) mod deribit;
pub(crate) mod limit;
pub(crate) mod polymarket;
pub(crate) mod stream;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::control::Command;
use crate::exchange::{Exchange, Keys, What};
use crate::fault::{Ack, Fault, Faults};
use crate::market::Market;
use crate::outbox::{ConnId, Item, MsgKind, Outbox};
use crate::sent::SentWriter;
use crate::spec::{Limits, SimVenue};
use crate::stats::Counters;
use stream::Sub;

/// A REST request, as parsed from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// `GET`, `POST` ..
    pub method: &'a str,
    /// Path without the query.
    pub path: &'a str,
    /// Query without the question mark; empty if there is none.
    pub query: &'a str,
    /// Headers, in their order.
    pub headers: &'a [(String, String)],
    /// Body.
    pub body: &'a [u8],
}

impl HttpRequest<'_> {
    /// A header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A query parameter, percent-decoded.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| percent_decode(value))
    }
}

pub(crate) fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match byte {
            b'%' => {
                let rest = bytes.clone();
                if let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) {
                    out.push((high * 16 + low) as u8);
                } else {
                    // Not an escape: keep what was sent.
                    out.push(b'%');
                    bytes = rest;
                }
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A REST answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers besides the framing ones.
    pub headers: Vec<(&'static str, String)>,
    /// JSON body.
    pub body: Vec<u8>,
    /// When it goes out.
    pub delivery: Delivery,
}

impl HttpResponse {
    /// Lets a fault have its way with the answer to an order.
    pub(crate) fn delay(&mut self, ack: Ack, now: i64, error: impl FnOnce() -> Self) {
        match ack {
            Ack::Now => {}
            Ack::Lost => self.delivery = Delivery::Never,
            Ack::After(span_ns) => self.delivery = Delivery::At(now.saturating_add(span_ns)),
            Ack::Error(status) => {
                *self = error();
                self.status = status;
            }
        }
    }
}

/// The name under which a link with private data is listed, so that faults can mean it.
pub(crate) const PRIVATE_LINK: &str = "private.data";

/// When an answer to a request goes out: a fault may keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    #[default]
    Now,
    /// At this time, ns since 1970.
    At(i64),
    /// Never: the connection ends instead.
    Never,
}

impl HttpResponse {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            delivery: Delivery::Now,
        }
    }
}

/// The answer to a WebSocket upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Switch protocols.
    Upgrade,
    /// Refuse with this answer.
    Refuse(HttpResponse),
}

/// What sessions and feeds of every venue need.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) venue: SimVenue,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sent: SentWriter,
    pub(crate) rng: fastrand::Rng,
    pub(crate) faults: Faults,
    pub(crate) exchange: Exchange,
    pub(crate) keys: Keys,
    /// Texts that a fault keeps until their time.
    pub(crate) late: Vec<(i64, ConnId, Vec<u8>)>,
}

impl Common {
    /// Queues a close and counts it.
    pub(crate) fn close(&self, out: &mut Outbox, conn: ConnId, code: u16, reason: &'static str) {
        Counters::add(&self.counters.cut, 1);
        out.items.push(Item::Close { conn, code, reason });
    }

    /// Answers an order request, as a fault may want it.
    pub(crate) fn answer(
        &mut self,
        conn: ConnId,
        text: Vec<u8>,
        ack: Ack,
        now: i64,
        out: &mut Outbox,
    ) {
        match ack {
            Ack::Now | Ack::Error(_) => self.reply(out, conn, |buf| buf.extend_from_slice(&text)),
            Ack::After(span_ns) => self.late.push((now.saturating_add(span_ns), conn, text)),
            Ack::Lost => {}
        }
    }

    /// Sends the answers whose time has come.
    pub(crate) fn push_late(&mut self, now: i64, out: &mut Outbox) {
        if self.late.iter().any(|(at, ..)| *at <= now) {
            let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
                .into_iter()
                .partition(|(at, ..)| *at <= now);
            self.late = rest;
            for (_, conn, text) in due {
                self.reply(out, conn, |buf| buf.extend_from_slice(&text));
            }
        }
    }

    /// When the exchange or an answer that waits has something to do; now, if there is something to
    /// tell.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let late = self.late.iter().map(|(at, ..)| *at).min();
        earlier(self.exchange.next_deadline(), late)
    }

    /// A cancel of this order has come: a fault may let the market be faster.
    pub(crate) fn before_cancel(&mut self, id: u64, now: i64) {
        if self.faults.has_cancel_race() && self.exchange.fill_now(id, now) {
            self.faults.take_cancel_race(now);
        }
    }

    /// Lets faults mark the fills that are told twice.
    pub(crate) fn mark_duplicates(&mut self) {
        for report in self.exchange.reports_mut() {
            if matches!(report.what, What::Trade(_))
                && self.faults.take_duplicate_fill(report.at_ns)
            {
                report.twice = true;
            }
        }
    }

    /// Queues a control text and counts it.
    pub(crate) fn reply(&self, out: &mut Outbox, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        out.control(conn, write);
        self.counters.sent[MsgKind::Control as usize].fetch_add(1, Relaxed);
    }
}

/// Where a venue's data comes from: the synthetic market in this venue's words, or a recording.
pub(crate) trait Feed: Send + std::fmt::Debug {
    /// Whether a topic can be subscribed to.
    fn knows(&self, topic: &str) -> bool;
    /// Adds a subscriber. What the venue sends at once (Bybit's snapshots) goes to `out`.
    fn subscribe(&mut self, sub: Sub, topic: &str, now: i64, cx: &mut Common, out: &mut Outbox);
    /// Removes a subscriber.
    fn unsubscribe(&mut self, conn: ConnId, topic: &str);
    /// Changes how a connection's frames are wrapped (Binance's `combined`).
    fn set_wrapped(&mut self, conn: ConnId, wrapped: bool);
    /// Does what is due, at most `budget` market events of it.
    fn poll(&mut self, now: i64, budget: usize, cx: &mut Common, out: &mut Outbox);
    /// When something is due next.
    fn next_deadline(&self) -> Option<i64>;
    /// Answers a REST request for market data; `None`: no such path.
    fn rest(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
        cx: &mut Common,
    ) -> Option<HttpResponse>;
    /// Its synthetic market; a recording has none, and takes no orders.
    fn market(&self) -> Option<&Market> {
        None
    }
    /// Applies a control that concerns data.
    fn control(&mut self, command: &Command, now: i64);
}

/// A venue: sessions over a feed.
pub(crate) trait Venue: Send + std::fmt::Debug {
    /// A client asks for an upgrade on this path.
    fn handle_open(
        &mut self,
        conn: ConnId,
        path: &str,
        query: &str,
        now: i64,
        out: &mut Outbox,
    ) -> Accept;
    /// A text message came.
    fn handle_text(&mut self, conn: ConnId, text: &str, now: i64, out: &mut Outbox);
    /// A ping frame came.
    fn handle_ping(&mut self, conn: ConnId, payload: &[u8], now: i64, out: &mut Outbox);
    /// A pong frame came.
    fn handle_pong(&mut self, conn: ConnId, payload: &[u8], now: i64, out: &mut Outbox);
    /// The connection is gone.
    fn handle_closed(&mut self, conn: ConnId);
    /// A REST request came.
    fn handle_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse;
    /// A control was given.
    fn handle_control(&mut self, command: &Command, now: i64, out: &mut Outbox);
    /// Does what is due. Returns when to be called again: a time at or before `now` means that
    /// the turn's budget was used up and more waits.
    fn poll(&mut self, now: i64, out: &mut Outbox) -> Option<i64>;
    /// Tells a connection that it will end at `end_ns`, and ends it then. False: this venue gives no
    /// such notice, or has no such connection, and nothing happens.
    fn announce_end(&mut self, conn: ConnId, end_ns: i64, now: i64, out: &mut Outbox) -> bool;
    /// Takes in a fault of this session, which will act some time later and is then noted under
    /// `record`. Most venues have none.
    fn turn_against(&mut self, _conn: ConnId, _fault: &Fault, _record: usize, _now: i64) {}
    /// Its open connections with their streams, by age.
    fn links(&self) -> Vec<(ConnId, Vec<String>)>;
    /// The shared part.
    fn common(&self) -> &Common;
    /// The shared part, to change it.
    fn common_mut(&mut self) -> &mut Common;
}

/// One timer a connection: when its session must next be looked at. A session is looked at no
/// later than its due time; what moved meanwhile is found out then.
#[derive(Debug, Default)]
pub(crate) struct SessionTimers {
    heap: BinaryHeap<Reverse<(i64, ConnId)>>,
}

impl SessionTimers {
    pub(crate) fn arm(&mut self, conn: ConnId, due: Option<i64>) {
        if let Some(due) = due {
            self.heap.push(Reverse((due, conn)));
        }
    }

    pub(crate) fn next(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    pub(crate) fn pop_due(&mut self, now: i64) -> Option<ConnId> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, conn))| conn)
    }
}

/// Connections in a fixed order, so that nothing depends on a hash.
pub(crate) type Conns<S> = BTreeMap<ConnId, S>;

/// The earlier of two deadlines.
pub(crate) fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameters_are_decoded() {
        let request = HttpRequest {
            method: "GET",
            path: "/",
            query: "a=1&symbols=%5B%22BTCUSDT%22%5D&odd=%zz",
            headers: &[("X-Key".to_owned(), "k".to_owned())],
            body: b"",
        };
        assert_eq!(request.param("a").as_deref(), Some("1"));
        assert_eq!(request.param("symbols").as_deref(), Some(r#"["BTCUSDT"]"#));
        assert_eq!(request.param("odd").as_deref(), Some("%zz"));
        assert_eq!(request.param("none"), None);
        assert_eq!(
            (request.header("x-key"), request.header("x")),
            (Some("k"), None)
        );
    }
}
