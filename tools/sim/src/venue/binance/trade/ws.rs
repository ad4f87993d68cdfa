//! The WebSocket API: requests with an id, answers with a status, session logon and the user data
//! subscription (web-socket-api.md, user-data-stream.md; 2026-07).

use serde_json::Value;

use super::super::{Binance, rest};
use super::{ApiError, Op, Params, authorise, check_time, events, weight_limit};
use crate::exchange::Unauthorised;
use crate::fault::Ack;
use crate::json::{Obj, list};
use crate::num::ms;
use crate::outbox::{ConnId, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use crate::venue::{HttpRequest, PRIVATE_LINK};

/// Subscriptions over a connection's life.
const SUBSCRIPTIONS_MAX: u64 = 65_535;

/// What a connection of the WebSocket API has besides its heartbeat.
#[derive(Debug, Default)]
pub(in super::super) struct ApiSession {
    connected_ns: i64,
    /// Account, key and time of the logon.
    logon: Option<(usize, String, i64)>,
    /// (subscription id, account).
    subscriptions: Vec<(u64, usize)>,
    subscribed: u64,
    hide_limits: bool,
}

impl ApiSession {
    pub(in super::super) fn new(query: &str, now: i64) -> Self {
        Self {
            connected_ns: now,
            hide_limits: query
                .split('&')
                .any(|pair| pair == "returnRateLimits=false"),
            ..Self::default()
        }
    }

    pub(in super::super) fn links(&self) -> Vec<String> {
        let private = !self.subscriptions.is_empty();
        private
            .then(|| PRIVATE_LINK.to_owned())
            .into_iter()
            .collect()
    }
}

/// A request of the WebSocket API.
struct Request {
    /// JSON of the id, echoed as it came.
    id: String,
    method: String,
    params: Params,
    signed: String,
}

fn parse(text: &str) -> Result<Request, (String, ApiError)> {
    let value: Value = serde_json::from_str(text).map_err(|_| {
        (
            "null".to_owned(),
            ApiError::bad(-1135, "Invalid JSON Request"),
        )
    })?;
    let id = value
        .get("id")
        .map_or_else(|| "null".to_owned(), Value::to_string);
    let Some(method) = value.get("method").and_then(Value::as_str) else {
        return Err((id, ApiError::missing("method")));
    };
    let (params, signed) = Params::of_ws(value.get("params"));
    Ok(Request {
        id,
        method: method.to_owned(),
        params,
        signed,
    })
}

/// What is to be answered.
struct Reply {
    result: Result<Vec<u8>, ApiError>,
    /// Elements of `rateLimits`.
    limits: Vec<Vec<u8>>,
    ack: Ack,
}

impl Binance {
    /// A text on a connection of the WebSocket API.
    pub(in super::super) fn api_text(
        &mut self,
        conn: ConnId,
        text: &str,
        now: i64,
        out: &mut Outbox,
    ) {
        let (id, hide, reply) = match parse(text) {
            Ok(request) => {
                let hide = request.params.get("returnRateLimits") == Some("false");
                let reply = self.api_reply(conn, &request, now);
                (request.id, hide, reply)
            }
            Err((id, error)) => {
                let (limits, ack) = (Vec::new(), Ack::Now);
                (
                    id,
                    false,
                    Reply {
                        result: Err(error),
                        limits,
                        ack,
                    },
                )
            }
        };
        if reply.result.is_err() {
            Counters::add(&self.common.counters.rejects, 1);
        }
        let session = self
            .sessions
            .get(&conn)
            .and_then(|session| session.api.as_ref());
        let hide = hide || session.is_some_and(|api| api.hide_limits);
        let status = reply
            .result
            .as_ref()
            .map_or_else(|error| error.status, |_| 200);
        let mut answer = Obj::new()
            .raw("id", id.as_bytes())
            .int("status", i64::from(status));
        answer = match &reply.result {
            Ok(result) => answer.raw("result", result),
            Err(error) => {
                let mut told = Obj::new().int("code", error.code).str("msg", &error.msg);
                if let Some(data) = &error.data {
                    told = told.raw("data", data);
                }
                answer.raw("error", &told.end())
            }
        };
        if !hide && !reply.limits.is_empty() {
            answer = answer.raw("rateLimits", &list(reply.limits));
        }
        self.common.answer(conn, answer.end(), reply.ack, now, out);
    }

    fn api_reply(&mut self, conn: ConnId, request: &Request, now: i64) -> Reply {
        let op = Op::of_ws(self.common.venue, &request.method);
        let weight = match op {
            Some(op) if op.is_free_on_success() => 0,
            Some(op) => op.weight(self.common.venue, &request.params),
            None => self.api_weight(request),
        };
        let used = match self.spend(weight, now) {
            Ok(used) => used,
            Err(error) => {
                let limits = Vec::new();
                return Reply {
                    result: Err(error),
                    limits,
                    ack: Ack::Now,
                };
            }
        };
        let mut limits = Vec::new();
        let mut ack = Ack::Now;
        let result = match op {
            Some(op) => {
                let who = self.api_account(conn, request, now);
                let result = who.and_then(|account| {
                    let result = self.run(op, &request.params, account, now);
                    if op.places() {
                        limits = self.counts.limits(account, &self.common.limits, now);
                    }
                    result
                });
                match result {
                    Ok(result) => {
                        ack = self.common.faults.take_ack(op.is_order_entry(), now);
                        self.api_late(ack).map_or(Ok(result), Err)
                    }
                    Err(error) => {
                        if op.is_free_on_success() {
                            // What fails costs its weight.
                            let weight = op.weight(self.common.venue, &request.params);
                            let _ = self.spend(weight, now);
                        }
                        Err(error)
                    }
                }
            }
            None => self.api_session(conn, request, now),
        };
        limits.push(weight_limit(&self.common, used));
        Reply {
            result,
            limits,
            ack,
        }
    }

    /// The error that stands in for an answer by a fault: the outcome is unknown to the client.
    fn api_late(&self, ack: Ack) -> Option<ApiError> {
        let Ack::Error(status) = ack else { return None };
        let msg = "Timeout waiting for response from backend server. Send status unknown; \
                   execution status unknown.";
        Some(ApiError::new(status, -1007, msg))
    }

    fn api_weight(&self, request: &Request) -> u32 {
        match request.method.as_str() {
            "depth" | "exchangeInfo" | "ticker.book" => {
                let query = request.params.query();
                let venue = self.common.venue;
                let path = market_path(venue, &request.method);
                rest::weight(venue, &market_data(&path, &query))
            }
            "session.logon"
            | "session.status"
            | "session.logout"
            | "userDataStream.subscribe"
            | "userDataStream.unsubscribe"
            | "userDataStream.subscribe.signature" => 2,
            _ => 1,
        }
    }

    /// Whose request it is: signed by itself, or of a session that has logged on.
    fn api_account(&self, conn: ConnId, request: &Request, now: i64) -> Result<usize, ApiError> {
        let session = self
            .sessions
            .get(&conn)
            .and_then(|session| session.api.as_ref());
        let params = &request.params;
        match session.and_then(|api| api.logon.as_ref()) {
            Some((account, ..)) if params.get("apiKey").is_none() => {
                check_time(params, ms(now + self.common.faults.skew_ns))?;
                Ok(*account)
            }
            _ => authorise(
                &self.common,
                params,
                (params.get("apiKey"), &request.signed),
                now,
            ),
        }
    }

    /// The calls that concern the session, and market data.
    fn api_session(
        &mut self,
        conn: ConnId,
        request: &Request,
        now: i64,
    ) -> Result<Vec<u8>, ApiError> {
        match request.method.as_str() {
            "ping" => Ok(b"{}".to_vec()),
            "time" | "depth" | "exchangeInfo" | "ticker.book" => {
                let query = request.params.query();
                let path = market_path(self.common.venue, &request.method);
                let asked = market_data(&path, &query);
                let answer = self.feed.rest(&asked, now, &mut self.common);
                let answer = answer.ok_or_else(|| unknown_method(&request.method))?;
                if answer.status == 200 {
                    return Ok(answer.body);
                }
                let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let msg = told["msg"].as_str().unwrap_or_default();
                let code = told["code"].as_i64().unwrap_or(-1000);
                Err(ApiError::new(answer.status, code, msg))
            }
            "session.logon" => self.logon(conn, request, now),
            "session.status" => Ok(self.session_status(conn, now)),
            "session.logout" => {
                if let Some(api) = self.api(conn) {
                    api.logon = None;
                }
                Ok(self.session_status(conn, now))
            }
            "userDataStream.start" | "userDataStream.ping" | "userDataStream.stop"
                if !self.common.venue.is_spot() =>
            {
                let logon = self.api(conn).and_then(|api| api.logon.as_ref());
                let logon = logon.map(|(_, key, _)| key.clone());
                let key = request.params.get("apiKey").map(str::to_owned).or(logon);
                let key = key.ok_or_else(|| ApiError::missing("apiKey"))?;
                let method = match request.method.as_str() {
                    "userDataStream.start" => "POST",
                    "userDataStream.ping" => "PUT",
                    _ => "DELETE",
                };
                self.listen_key_of(&key, method, now)
            }
            "userDataStream.subscribe" if self.common.venue.is_spot() => {
                let logon = self.api(conn).and_then(|api| api.logon.as_ref());
                let account = logon.map(|(account, ..)| *account);
                let account = account.ok_or_else(|| {
                    let msg = "This request requires an authenticated session; log on first.";
                    ApiError::new(401, -2015, msg)
                })?;
                self.subscribe_user(conn, account)
            }
            "userDataStream.subscribe.signature" if self.common.venue.is_spot() => {
                let params = &request.params;
                let who = (params.get("apiKey"), request.signed.as_str());
                let account = authorise(&self.common, params, who, now)?;
                self.subscribe_user(conn, account)
            }
            "userDataStream.unsubscribe" => {
                let wanted = request.params.number("subscriptionId")?;
                if let Some(api) = self.api(conn) {
                    let keeps = |id: u64| wanted.is_some_and(|wanted| wanted as u64 != id);
                    api.subscriptions.retain(|(id, _)| keeps(*id));
                }
                Ok(b"{}".to_vec())
            }
            other => Err(unknown_method(other)),
        }
    }

    fn api(&mut self, conn: ConnId) -> Option<&mut ApiSession> {
        self.sessions
            .get_mut(&conn)
            .and_then(|session| session.api.as_mut())
    }

    fn logon(&mut self, conn: ConnId, request: &Request, now: i64) -> Result<Vec<u8>, ApiError> {
        let params = &request.params;
        let key = params.need("apiKey")?;
        let signature = params.need("signature")?;
        check_time(params, ms(now + self.common.faults.skew_ns))?;
        let keys = &self.common.keys;
        keys.account(key).ok_or(Unauthorised::UnknownKey)?;
        if !keys.is_ed25519(key) {
            return Err(Unauthorised::WrongKind.into());
        }
        let account = keys.check(key, request.signed.as_bytes(), signature)?;
        let key = key.to_owned();
        if let Some(api) = self.api(conn) {
            api.logon = Some((account, key, now));
        }
        Ok(self.session_status(conn, now))
    }

    fn session_status(&mut self, conn: ConnId, now: i64) -> Vec<u8> {
        let server_ns = now + self.common.faults.skew_ns;
        let Some(api) = self.api(conn) else {
            return b"{}".to_vec();
        };
        let object = Obj::new();
        let object = match &api.logon {
            Some((_, key, since_ns)) => object
                .str("apiKey", key)
                .int("authorizedSince", ms(*since_ns)),
            None => object
                .raw("apiKey", b"null")
                .raw("authorizedSince", b"null"),
        };
        object
            .int("connectedSince", ms(api.connected_ns))
            .bool("returnRateLimits", !api.hide_limits)
            .int("serverTime", ms(server_ns))
            .bool("userDataStream", !api.subscriptions.is_empty())
            .end()
    }

    fn subscribe_user(&mut self, conn: ConnId, account: usize) -> Result<Vec<u8>, ApiError> {
        let api = self
            .api(conn)
            .ok_or_else(|| ApiError::bad(-1000, "No such session."))?;
        if api.subscriptions.iter().any(|(_, known)| *known == account) {
            let msg = "User Data Stream subscription already active.";
            return Err(ApiError::bad(-2035, msg));
        }
        if api.subscribed >= SUBSCRIPTIONS_MAX {
            return Err(ApiError::bad(
                -1034,
                "Too many subscriptions on this connection.",
            ));
        }
        let id = api.subscribed;
        api.subscribed += 1;
        api.subscriptions.push((id, account));
        Ok(Obj::new().id("subscriptionId", id).end())
    }

    /// Tells the owners of orders what happened to them.
    pub(in super::super) fn push_reports(&mut self, out: &mut Outbox) {
        if !self.common.exchange.has_reports() {
            return;
        }
        self.common.mark_duplicates();
        for report in self.common.exchange.take_reports() {
            if report.order.left() == 0 && report.order.filled > 0 {
                let (account, at_ns) = (report.order.account, report.at_ns);
                self.counts.filled(account, &self.common.limits, at_ns);
            }
            if !self.common.venue.is_spot() {
                self.push_futures(&report, out);
                continue;
            }
            let mut told = None;
            for (conn, session) in &self.sessions {
                let Some(api) = &session.api else { continue };
                for (id, account) in &api.subscriptions {
                    if *account != report.order.account {
                        continue;
                    }
                    for event in told.get_or_insert_with(|| events(&self.common, &report)) {
                        let frame = Obj::new()
                            .id("subscriptionId", *id)
                            .raw("event", event)
                            .end();
                        self.common
                            .reply(out, *conn, |buf| buf.extend_from_slice(&frame));
                    }
                }
            }
        }
    }
}

fn unknown_method(method: &str) -> ApiError {
    let method: String = method.chars().take(64).collect();
    ApiError::bad(-1020, format!("The method '{method}' is not supported."))
}

/// The REST path that answers a call for market data.
fn market_path(venue: SimVenue, method: &str) -> String {
    let base = if venue.is_spot() {
        "/api/v3"
    } else {
        "/fapi/v1"
    };
    let call = if method == "ticker.book" {
        "ticker/bookTicker"
    } else {
        method
    };
    format!("{base}/{call}")
}

fn market_data<'a>(path: &'a str, query: &'a str) -> HttpRequest<'a> {
    HttpRequest {
        method: "GET",
        path,
        query,
        headers: &[],
        body: b"",
    }
}
