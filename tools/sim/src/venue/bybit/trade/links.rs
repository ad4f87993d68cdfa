//! The private and the trade link: login, topics, order requests, and what is told about orders.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Bybit;
use super::{ApiError, Call, Fields, Op, bad, check_time, words};
use crate::exchange::{Report, What};
use crate::fault::Ack;
use crate::json::{Obj, list};
use crate::num::ms;
use crate::outbox::{ConnId, Outbox};
use crate::spec::SECOND_NS;
use crate::stats::Counters;
use crate::venue::bybit::rest::category;
use crate::venue::{HttpRequest, HttpResponse, PRIVATE_LINK, earlier};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Purpose {
    Public,
    Private,
    Trade,
}

impl Purpose {
    pub(in super::super) fn of(path: &str, public: &str) -> Option<Self> {
        match path {
            "/v5/private" => Some(Self::Private),
            "/v5/trade" => Some(Self::Trade),
            path if path == public => Some(Self::Public),
            _ => None,
        }
    }
}

/// Request ids that a trade link remembers to refuse their second use.
const REQUEST_IDS_MAX: usize = 10_000;

/// What a link for orders has besides its heartbeat.
#[derive(Debug, Default)]
pub(in super::super) struct Login {
    pub(in super::super) account: Option<usize>,
    request_ids: BTreeSet<String>,
}

/// Topics of the private link; each also with its category behind a point.
const TOPICS: [&str; 4] = ["order", "execution", "position", "wallet"];

fn knows(topic: &str, venue_category: &str) -> bool {
    match topic.split_once('.') {
        None => TOPICS.contains(&topic),
        Some(("execution", "fast")) => true,
        Some(("dcp", product)) => ["spot", "future", "option"].contains(&product),
        Some((kind @ ("order" | "execution" | "position"), of)) => {
            of == venue_category
                || of == "linear"
                || of == "spot"
                || (kind == "execution" && of == "fast")
        }
        Some(_) => topic.starts_with("execution.fast."),
    }
}

impl Bybit {
    /// A text on a private or trade link.
    pub(in super::super) fn private_text(
        &mut self,
        conn: ConnId,
        text: &str,
        now: i64,
        out: &mut Outbox,
    ) {
        let Some(purpose) = self.sessions.get(&conn).map(|session| session.purpose) else {
            return;
        };
        let trade = purpose == Purpose::Trade;
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            Counters::add(&self.common.counters.rejects, 1);
            return self.tell(conn, trade, ("", ""), &Err(bad("invalid JSON")), now, out);
        };
        let op = value["op"].as_str().unwrap_or_default();
        let id = value[if trade { "reqId" } else { "req_id" }]
            .as_str()
            .unwrap_or_default();
        match op {
            "ping" => self.private_ping(conn, trade, id, now, out),
            "auth" => {
                let done = self.login(conn, trade, &value, now);
                self.tell(conn, trade, (op, id), &done, now, out);
            }
            "subscribe" | "unsubscribe" if !trade => {
                let done = self.private_topics(conn, op, &value);
                self.tell(conn, trade, (op, id), &done, now, out);
            }
            _ if trade => self.trade_request(conn, (op, id), &value, now, out),
            _ => {
                let done = Err(ApiError(10_404, "error:invalid op".to_owned()));
                self.tell(conn, trade, (op, id), &done, now, out);
            }
        }
    }

    /// The answer to an operation that is no order: the private link's shape, or the trade link's.
    fn tell(
        &mut self,
        conn: ConnId,
        trade: bool,
        (op, id): (&str, &str),
        done: &Result<(), ApiError>,
        now: i64,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        if done.is_err() {
            Counters::add(&self.common.counters.rejects, 1);
        }
        let answer = if trade {
            let (code, msg) = match done {
                Ok(()) => (0, "OK"),
                Err(ApiError(code, msg)) => (*code, msg.as_str()),
            };
            let object = if id.is_empty() {
                Obj::new()
            } else {
                Obj::new().str("reqId", id)
            };
            let object = object.int("retCode", code).str("retMsg", msg).str("op", op);
            object.str("connId", &session.conn_id).end()
        } else {
            let msg = done.as_ref().map_or_else(|error| error.1.as_str(), |()| "");
            let object = Obj::new().bool("success", done.is_ok()).str("ret_msg", msg);
            let object = object.str("op", op).str("conn_id", &session.conn_id);
            if id.is_empty() {
                object.end()
            } else {
                object.str("req_id", id).end()
            }
        };
        self.common.answer(conn, answer, Ack::Now, now, out);
    }

    fn private_ping(&mut self, conn: ConnId, trade: bool, id: &str, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        let server_ms = ms(now + self.common.faults.skew_ns);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.alive_ns = now;
        let args = list([crate::json::quoted(&server_ms.to_string()).into_bytes()]);
        let answer = if trade {
            let object = if id.is_empty() {
                Obj::new()
            } else {
                Obj::new().str("reqId", id)
            };
            let object = object
                .int("retCode", 0)
                .str("retMsg", "OK")
                .str("op", "pong");
            object
                .raw("data", &args)
                .str("connId", &session.conn_id)
                .end()
        } else {
            let object = Obj::new()
                .str("req_id", id)
                .str("op", "pong")
                .raw("args", &args);
            object.str("conn_id", &session.conn_id).end()
        };
        if !self.common.faults.mute_pongs {
            self.common.answer(conn, answer, Ack::Now, now, out);
        }
    }

    /// `{"op":"auth","args":[key, expires in ms, HMAC of "GET/realtime" + expires]}`.
    fn login(
        &mut self,
        conn: ConnId,
        trade: bool,
        value: &Value,
        now: i64,
    ) -> Result<(), ApiError> {
        let args = &value["args"];
        let (Some(key), Some(expires), Some(sign)) = (
            args[0].as_str(),
            args[1].as_i64().or_else(|| args[1].as_str()?.parse().ok()),
            args[2].as_str(),
        ) else {
            return Err(ApiError(10_001, "Param error".to_owned()));
        };
        let keys = &self.common.keys;
        if keys.account(key).is_none() {
            return Err(ApiError(10_003, "Invalid apikey".to_owned()));
        }
        if expires <= ms(now + self.common.faults.skew_ns) {
            return Err(ApiError(10_004, "Params Error: request expired".to_owned()));
        }
        let payload = format!("GET/realtime{expires}");
        let account = keys.check(key, payload.as_bytes(), sign);
        let account = account.map_err(|_| ApiError(10_004, "Invalid sign".to_owned()))?;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(());
        };
        if trade && session.login.account.is_some() {
            return Err(ApiError(20_001, "Repeat auth".to_owned()));
        }
        session.login.account = Some(account);
        Ok(())
    }

    fn private_topics(&mut self, conn: ConnId, op: &str, value: &Value) -> Result<(), ApiError> {
        let counters = &self.common.counters;
        let category = category(self.common.venue);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(());
        };
        let Some(account) = session.login.account else {
            return Err(ApiError(10_005, "Request not authorized".to_owned()));
        };
        let topics = value["args"].as_array().map_or(&[][..], Vec::as_slice);
        let topics: Vec<&str> = topics.iter().filter_map(Value::as_str).collect();
        if op == "unsubscribe" {
            Counters::add(&counters.unsubscribes, 1);
            topics.iter().for_each(|topic| {
                session.topics.remove(*topic);
            });
            return Ok(());
        }
        if let Some(topic) = topics.iter().find(|topic| !knows(topic, category)) {
            return Err(ApiError(
                10_001,
                format!("error:handler not found,topic:{topic}"),
            ));
        }
        if let Some(topic) = topics.iter().find(|topic| session.topics.contains(**topic)) {
            return Err(ApiError(
                10_001,
                format!("error:already subscribed,topic:{topic}"),
            ));
        }
        Counters::add(&counters.subscribes, 1);
        for topic in topics {
            session.topics.insert(topic.to_owned());
            if topic.starts_with("dcp.")
                && let Some(dcp) = self.dcp.get_mut(&account)
            {
                (dcp.armed, dcp.gone_ns) = (true, None);
            }
        }
        Ok(())
    }

    /// `order.create`, `order.amend`, `order.cancel` over the trade link.
    fn trade_request(
        &mut self,
        conn: ConnId,
        (op, id): (&str, &str),
        value: &Value,
        now: i64,
        out: &mut Outbox,
    ) {
        let mut ack = Ack::Now;
        let mut rate = None;
        let done = self
            .trade_checked(conn, (op, id), value, now)
            .and_then(|(op, account)| {
                let charged = self.rates.charge((account, op), &self.common, now);
                rate = Some(charged);
                if charged.over {
                    return Err(ApiError(10_006, "Too many visits!".to_owned()));
                }
                let fields = Fields(value["args"][0].clone());
                let data = self.run(op, &fields, account, now)?;
                ack = self.common.faults.take_ack(true, now);
                match ack {
                    Ack::Error(_) => Err(ApiError(10_016, "Internal server error.".to_owned())),
                    _ => Ok(data),
                }
            });
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        let (code, msg, data) = match done {
            Ok(data) => (0, "OK".to_owned(), data),
            Err(ApiError(code, msg)) => {
                Counters::add(&self.common.counters.rejects, 1);
                (code, msg, b"{}".to_vec())
            }
        };
        let mut header = Obj::new();
        if let Some(rate) = rate {
            header = rate
                .headers()
                .into_iter()
                .fold(header, |header, (k, v)| header.str(k, &v));
        }
        let header = header
            .str(
                "Traceid",
                &format!("{:032x}", u128::from(conn.0) << 64 | now as u128),
            )
            .str("Timenow", &ms(now + self.common.faults.skew_ns).to_string());
        let object = if id.is_empty() {
            Obj::new()
        } else {
            Obj::new().str("reqId", id)
        };
        let answer = object
            .int("retCode", code)
            .str("retMsg", &msg)
            .str("op", op)
            .raw("data", &data)
            .raw("retExtInfo", b"{}")
            .raw("header", &header.end())
            .str("connId", &session.conn_id)
            .end();
        self.common.answer(conn, answer, ack, now, out);
    }

    /// Whether a request of the trade link may be done at all: (what, for whom).
    fn trade_checked(
        &mut self,
        conn: ConnId,
        (op, id): (&str, &str),
        value: &Value,
        now: i64,
    ) -> Result<(Op, usize), ApiError> {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Err(bad("no session"));
        };
        session.alive_ns = now;
        let Some(account) = session.login.account else {
            return Err(ApiError(10_005, "Request not authorized".to_owned()));
        };
        let Some(op) = Op::of_ws(op) else {
            return Err(ApiError(10_404, "op type is not found".to_owned()));
        };
        if id.len() > 36 {
            return Err(bad("reqId is too long"));
        }
        if !id.is_empty() && !session.login.request_ids.insert(id.to_owned()) {
            return Err(ApiError(20_006, "Duplicate reqId".to_owned()));
        }
        if session.login.request_ids.len() > REQUEST_IDS_MAX {
            session.login.request_ids.clear();
        }
        let stamp = value["header"]["X-BAPI-TIMESTAMP"].as_str();
        let stamp = stamp.ok_or_else(|| bad("X-BAPI-TIMESTAMP is required"))?;
        let window = value["header"]["X-BAPI-RECV-WINDOW"].as_str();
        check_time(stamp, window, ms(now + self.common.faults.skew_ns))?;
        if value["args"].as_array().map_or(0, Vec::len) != 1 {
            return Err(bad("args must have one element"));
        }
        Ok((op, account))
    }

    /// Does a call of this account.
    fn run(
        &mut self,
        op: Op,
        fields: &Fields,
        account: usize,
        now: i64,
    ) -> Result<Vec<u8>, ApiError> {
        let Some(market) = self.feed.market() else {
            return Err(ApiError(10_016, "A recording takes no orders.".to_owned()));
        };
        let (cx, dcp) = (&mut self.common, &mut self.dcp);
        Call {
            cx,
            market,
            dcp,
            fields,
            account,
            now,
        }
        .run(op)
    }

    /// A trading call over REST.
    pub(in super::super) fn trade_http(
        &mut self,
        op: Op,
        request: &HttpRequest<'_>,
        now: i64,
    ) -> HttpResponse {
        let body = String::from_utf8_lossy(request.body);
        let is_get = request.method == "GET";
        let payload = if is_get { request.query } else { &*body };
        let header = |name: &str| request.header(name).map(str::to_owned);
        let mut rate = None;
        let done = super::authorise(&self.common, header, payload, now).and_then(|account| {
            let charged = self.rates.charge((account, op), &self.common, now);
            rate = Some(charged);
            if charged.over {
                return Err(ApiError(10_006, "Too many visits!".to_owned()));
            }
            let fields = if is_get {
                Fields::of_query(request.query)
            } else {
                let value = serde_json::from_str(&body).map_err(|_| bad("invalid JSON"))?;
                Fields(value)
            };
            self.run(op, &fields, account, now)
        });
        let server_ns = now + self.common.faults.skew_ns;
        let mut response = match &done {
            Ok(result) => super::super::rest::envelope(0, "OK", result, server_ns),
            Err(ApiError(code, msg)) => {
                Counters::add(&self.common.counters.rejects, 1);
                super::super::rest::envelope(*code, msg, b"{}", server_ns)
            }
        };
        if done.is_ok() {
            let ack = self.common.faults.take_ack(op.is_order_entry(), now);
            response.delay(ack, now, || HttpResponse::json(503, Vec::new()));
        }
        if let Some(rate) = rate {
            response.headers.extend(rate.headers());
        }
        response
    }

    /// Tells the owners of orders what happened to them.
    pub(in super::super) fn push_reports(&mut self, now: i64, out: &mut Outbox) {
        if !self.common.exchange.has_reports() {
            return;
        }
        self.common.mark_duplicates();
        for report in self.common.exchange.take_reports() {
            let frames = self.frames(&report, now);
            let category = category(self.common.venue);
            for (conn, session) in &self.sessions {
                if session.login.account != Some(report.order.account) {
                    continue;
                }
                for (topic, times, frame) in &frames {
                    let plain = session.topics.contains(*topic);
                    let full = format!("{topic}.{category}");
                    if plain || session.topics.contains(&full) {
                        let topic = if plain { topic } else { &*full };
                        let id = format!("{}_{}", report.id, report.order.id);
                        let text = Obj::new()
                            .str("id", &id)
                            .str("topic", topic)
                            .int(
                                "creationTime",
                                ms(report.at_ns + self.common.faults.skew_ns),
                            )
                            .raw("data", frame)
                            .end();
                        for _ in 0..*times {
                            self.common
                                .reply(out, *conn, |buf| buf.extend_from_slice(&text));
                        }
                    }
                }
            }
        }
    }

    /// What a report brings to which topic, how often.
    fn frames(&self, report: &Report, now: i64) -> Vec<(&'static str, usize, Vec<u8>)> {
        let (venue, exchange) = (self.common.venue, &self.common.exchange);
        let order = &report.order;
        let mut frames = Vec::new();
        if let What::Trade(fill) = &report.what {
            let times = 1 + usize::from(report.twice);
            let event = words::execution_event(venue, exchange, fill, order);
            frames.push(("execution", times, list([event])));
            let event = words::fast_event(venue, exchange, fill, order);
            frames.push(("execution.fast", times, list([event])));
            if !venue.is_spot() {
                let place = (order.account, order.instrument);
                let event = words::position(venue, exchange, place, true, now);
                frames.push(("position", 1, list([event])));
            }
        }
        frames.push((
            "order",
            1,
            list(words::order_events(venue, exchange, report)),
        ));
        let moves = venue.is_spot() || matches!(report.what, What::Trade(_));
        if let Some(market) = self.feed.market().filter(|_| moves) {
            let coins = exchange.listings[order.instrument].assets();
            let event = words::wallet(exchange, market, order.account, &coins);
            frames.push(("wallet", 1, list([event])));
        }
        frames
    }

    /// Looks after cancel-on-disconnect; returns when to look again.
    pub(in super::super) fn check_dcp(&mut self, now: i64) -> Option<i64> {
        let mut next = None;
        let sessions = &self.sessions;
        for (account, dcp) in self.dcp.iter_mut().filter(|(_, dcp)| dcp.armed) {
            let held = sessions.values().any(|session| {
                session.login.account == Some(*account)
                    && session.topics.iter().any(|topic| topic.starts_with("dcp."))
            });
            if held {
                dcp.gone_ns = None;
                continue;
            }
            let since = *dcp.gone_ns.get_or_insert(now);
            let due = since + dcp.window_ns.max(SECOND_NS);
            if now >= due {
                (dcp.armed, dcp.gone_ns) = (false, None);
                let end = (crate::exchange::End::DeadMan, "");
                self.common.exchange.cancel_all(*account, None, end, now);
            } else {
                next = earlier(next, Some(due));
            }
        }
        next
    }

    pub(in super::super) fn link_names(&self, conn: ConnId) -> Vec<String> {
        let Some(session) = self.sessions.get(&conn) else {
            return Vec::new();
        };
        let mut names: Vec<String> = session.topics.iter().cloned().collect();
        if session.purpose == Purpose::Private && session.login.account.is_some() {
            names.push(PRIVATE_LINK.to_owned());
        }
        names
    }
}
