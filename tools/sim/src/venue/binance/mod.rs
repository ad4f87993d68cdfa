//! Binance spot, USD-M and COIN-M: sessions of the market streams, and REST with its weights.
//!
//! Rules, with their pages: paths, requests, limits and heartbeat from binance-spot-api-docs
//! web-socket-streams.md (2026-07-21); REST from rest-api.md; USD-M's routed paths from the
//! Important-WebSocket-Change-Notice (2026-03). How the venue words its cuts is not documented:
//! close code 1008 is this simulator's choice.

mod feed;
mod frames;
mod names;
mod push;
mod requests;
mod rest;
mod trade;

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

pub(crate) use feed::BinanceFeed;
pub(crate) use rest::{call as rest_call, depth_limit, error as rest_error, time as rest_time};

use super::limit::{Charge, InboundLimit, RestBudget};
use super::stream::Sub;
use super::{
    Accept, Common, Conns, Feed, HttpRequest, HttpResponse, PRIVATE_LINK, SessionTimers, Venue,
    earlier,
};
use crate::control::Command;
use crate::exchange::Unauthorised;
use crate::json::Obj;
use crate::num::{ms, push_i64};
use crate::outbox::{ConnId, Item, Outbox};
use crate::spec::SimVenue;
use crate::stats::Counters;
use requests::{Request, RequestId};
use trade::listen::{ListenKeys, Listener};
use trade::ws::ApiSession;
use trade::{ApiError, Call, Op, OrderCounts, Params};

/// Market events handled in one turn, so that sockets are served in between.
const TURN_EVENTS_MAX: usize = 512;

/// Server pings whose pong may still come; older ones are forgotten.
const PINGS_OPEN_MAX: usize = 8;

/// USD-M's split of the streams by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// Every stream.
    All,
    /// bookTicker and depth.
    Public,
    /// Everything else.
    Market,
}

#[derive(Debug)]
struct Session {
    opened_ns: i64,
    route: Route,
    combined: bool,
    streams: Vec<String>,
    inbound: InboundLimit,
    next_ping_ns: Option<i64>,
    /// When it ends, once that was announced.
    end_ns: Option<i64>,
    /// Payload (its time in ms) and time of pings without a pong, oldest first.
    open_pings: VecDeque<(i64, i64)>,
    /// A connection of the WebSocket API, not of the market streams.
    api: Option<ApiSession>,
    /// A connection that hears an account of USD-M.
    listener: Option<Listener>,
}

/// One Binance market.
#[derive(Debug)]
pub(crate) struct Binance {
    common: Common,
    feed: Box<dyn Feed>,
    sessions: Conns<Session>,
    timers: SessionTimers,
    budget: RestBudget,
    counts: OrderCounts,
    listen_keys: ListenKeys,
    countdowns: BTreeMap<(usize, usize), i64>,
    legacy_paths: bool,
}

impl Binance {
    pub(crate) fn new(common: Common, feed: Box<dyn Feed>, legacy_paths: bool) -> Self {
        Self {
            common,
            feed,
            sessions: Conns::new(),
            timers: SessionTimers::default(),
            budget: RestBudget::default(),
            counts: OrderCounts::default(),
            listen_keys: ListenKeys::default(),
            countdowns: BTreeMap::new(),
            legacy_paths,
        }
    }

    /// Splits a path into its route and whether frames are wrapped, and the streams in the path.
    fn route<'a>(&self, path: &'a str) -> Option<(Route, bool, &'a str)> {
        let venue = self.common.venue;
        let (route, rest) = if let Some(rest) = path.strip_prefix("/public/") {
            (Route::Public, rest)
        } else if let Some(rest) = path.strip_prefix("/market/") {
            (Route::Market, rest)
        } else {
            // Un-routed USD-M paths were retired 2026-04-23.
            if venue == SimVenue::BinanceLinear && !self.legacy_paths {
                return None;
            }
            (Route::All, path.strip_prefix('/')?)
        };
        if venue.is_spot() && route != Route::All {
            return None;
        }
        match rest.split_once('/').unwrap_or((rest, "")) {
            ("stream", "") => Some((route, true, "")),
            ("ws", streams) => Some((route, false, streams)),
            _ => None,
        }
    }

    fn subscribe(&mut self, conn: ConnId, name: String, now: i64, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        if session.streams.contains(&name) {
            return;
        }
        let public = names::parse(self.common.venue, &name).map(|(_, k)| k.is_public_route());
        let routed = match (session.route, public) {
            (Route::All, _) | (_, None) => true,
            (route, Some(public)) => (route == Route::Public) == public,
        };
        let sub = Sub {
            conn,
            wrapped: session.combined,
        };
        // An unknown or mis-routed name is listed and stays silent: an ack is not data.
        if routed && self.feed.knows(&name) {
            self.feed.subscribe(sub, &name, now, &mut self.common, out);
        }
        session.streams.push(name);
    }

    /// Handles a parsed request.
    fn request(
        &mut self,
        conn: ConnId,
        id: &RequestId,
        request: Request,
        now: i64,
        out: &mut Outbox,
    ) {
        let mut result = "null".to_owned();
        match request {
            Request::Subscribe(names) => {
                let held = self.sessions.get(&conn).map_or(0, |s| s.streams.len());
                if held + names.len() > self.common.limits.streams_max {
                    self.common.close(out, conn, 1008, "Too many streams");
                    return self.handle_closed(conn);
                }
                // The ack goes out first here; the venue promises no order, and data follows on
                // its own time.
                Counters::add(&self.common.counters.subscribes, 1);
                for name in names {
                    self.subscribe(conn, name, now, out);
                }
            }
            Request::Unsubscribe(names) => {
                Counters::add(&self.common.counters.unsubscribes, 1);
                for name in &names {
                    self.feed.unsubscribe(conn, name);
                    if let Some(session) = self.sessions.get_mut(&conn) {
                        session.streams.retain(|held| held != name);
                    }
                }
            }
            Request::List => {
                let held = self.sessions.get(&conn).map(|s| s.streams.clone());
                result = Value::from(held.unwrap_or_default()).to_string();
            }
            Request::SetCombined(on) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.combined = on;
                }
                self.feed.set_wrapped(conn, on);
            }
            Request::GetCombined => {
                result = self
                    .sessions
                    .get(&conn)
                    .is_some_and(|s| s.combined)
                    .to_string();
            }
        }
        self.common
            .reply(out, conn, |buf| requests::result(buf, &result, id));
    }

    /// Counts an inbound frame. False: over the limit, and the connection is cut.
    fn admit(&mut self, conn: ConnId, now: i64, out: &mut Outbox) -> bool {
        let max = self.common.limits.inbound_per_s_max;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return false;
        };
        let admitted = session.inbound.admit(max, now);
        if !admitted {
            self.common.close(out, conn, 1008, "Too many requests");
            self.handle_closed(conn);
        }
        admitted
    }

    /// Looks after one session's timers; returns when to look again, `None` if it was cut.
    fn check(&mut self, conn: ConnId, now: i64, out: &mut Outbox) -> Option<i64> {
        let limits = &self.common.limits;
        let session = self.sessions.get_mut(&conn)?;
        let life_end = limits.life_ns.map(|life| session.opened_ns + life);
        let pong_due = |s: &Session| {
            s.open_pings
                .front()
                .map(|&(_, at)| at + limits.pong_timeout_ns)
        };
        let announced = session.end_ns;
        if announced.is_some_and(|end| now >= end) {
            Counters::add(&self.common.counters.cut, 1);
            out.items.push(Item::Cut { conn });
            self.handle_closed(conn);
            return None;
        }
        let reason = if life_end.is_some_and(|end| now >= end) {
            Some("Connection lived 24 hours")
        } else if pong_due(session).is_some_and(|due| now >= due) {
            Some("Pong timeout")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.common.close(out, conn, 1008, reason);
            self.handle_closed(conn);
            return None;
        }
        if let (Some(due), Some(interval)) = (session.next_ping_ns, limits.ping_interval_ns)
            && now >= due
        {
            session.next_ping_ns = Some(due + interval);
            if !self.common.faults.mute_pings {
                let mut payload = Vec::new();
                push_i64(&mut payload, ms(now));
                out.ping(conn, &payload);
                Counters::add(&self.common.counters.pings_sent, 1);
                session.open_pings.push_back((ms(now), now));
                // Never forget the oldest: its age is what the time-out looks at.
                if session.open_pings.len() > PINGS_OPEN_MAX {
                    session.open_pings.remove(1);
                }
            }
        }
        let end = earlier(life_end, announced);
        earlier(earlier(session.next_ping_ns, pong_due(session)), end)
    }

    /// The weight check that stands before every call, over REST or WebSocket.
    fn charge(&mut self, weight: u32, now: i64) -> Result<u32, HttpResponse> {
        let counters = &self.common.counters;
        match self.budget.charge(weight, &self.common.limits, now) {
            Charge::Granted { used } => Ok(used),
            Charge::Limited {
                used,
                retry_after_s,
            } => {
                Counters::add(&counters.rest_limited, 1);
                let limit = self.common.limits.rest_weight_max;
                let msg = format!(
                    "Too much request weight used; current limit is {limit} request weight per 1 \
                     MINUTE. Please use WebSocket Streams for live updates to avoid polling the \
                     API."
                );
                let mut response = rest::error(429, -1003, &msg);
                response
                    .headers
                    .push(("Retry-After", retry_after_s.to_string()));
                response
                    .headers
                    .push(("X-MBX-USED-WEIGHT-1M", used.to_string()));
                Err(response)
            }
            Charge::Banned { retry_after_s } => {
                Counters::add(&counters.rest_banned, 1);
                let until = ms(now) + retry_after_s * 1_000;
                let msg = format!(
                    "Way too much request weight used; IP banned until {until}. Please use \
                     WebSocket Streams for live updates to avoid bans."
                );
                let mut response = rest::error(418, -1003, &msg);
                response
                    .headers
                    .push(("Retry-After", retry_after_s.to_string()));
                Err(response)
            }
        }
    }
}

impl Binance {
    /// Spends request weight; the refusal as an error of the WebSocket API.
    fn spend(&mut self, weight: u32, now: i64) -> Result<u32, ApiError> {
        self.charge(weight, now).map_err(|response| {
            let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let msg = told["msg"].as_str().unwrap_or_default();
            let mut error = ApiError::new(response.status, -1003, msg);
            let header = response
                .headers
                .iter()
                .find(|(name, _)| *name == "Retry-After");
            let seconds = header.and_then(|(_, value)| value.parse::<i64>().ok());
            let until = ms(now) + seconds.unwrap_or(0) * 1_000;
            error.data = Some(
                Obj::new()
                    .int("serverTime", ms(now))
                    .int("retryAfter", until)
                    .end(),
            );
            error
        })
    }

    /// Does a trading call of this account.
    fn run(
        &mut self,
        op: Op,
        params: &Params,
        account: usize,
        now: i64,
    ) -> Result<Vec<u8>, ApiError> {
        let Some(market) = self.feed.market() else {
            return Err(ApiError::bad(-2010, "Market is closed."));
        };
        let mut call = Call {
            cx: &mut self.common,
            counts: &mut self.counts,
            countdowns: &mut self.countdowns,
            market,
            params,
            account,
            now,
        };
        call.run(op)
    }

    /// A trading call over REST.
    fn trade_http(&mut self, op: Op, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        let (params, signed) = Params::of_rest(request);
        let venue = self.common.venue;
        let free = op.is_free_on_success();
        let weight = if free { 0 } else { op.weight(venue, &params) };
        let mut used = match self.charge(weight, now) {
            Ok(used) => used,
            Err(response) => return response,
        };
        let who = (request.header("X-MBX-APIKEY"), signed.as_str());
        // Since 2026-01-15 what is signed over REST must be percent-encoded.
        let account = if signed.is_ascii() {
            trade::authorise(&self.common, &params, who, now)
        } else {
            Err(Unauthorised::BadSignature.into())
        };
        let result = account
            .clone()
            .and_then(|account| self.run(op, &params, account, now));
        let mut response = match result {
            Ok(body) => {
                let mut response = HttpResponse::json(200, body);
                let ack = self.common.faults.take_ack(op.is_order_entry(), now);
                response.delay(ack, now, || {
                    rest::error(
                        503,
                        -1000,
                        "Unknown error, please check your request or try again later.",
                    )
                });
                response
            }
            Err(error) => {
                Counters::add(&self.common.counters.rejects, 1);
                if free && let Ok(after) = self.charge(op.weight(venue, &params), now) {
                    used = after;
                }
                let mut object = Obj::new().int("code", error.code).str("msg", &error.msg);
                let limited = error.status == 429;
                if let Some(data) = error.data.as_ref().filter(|_| !limited) {
                    object = object.raw("data", data);
                }
                let mut response = HttpResponse::json(error.status, object.end());
                if let Some(data) = error.data.filter(|_| limited) {
                    let told: Value = serde_json::from_slice(&data).unwrap_or_default();
                    let until = told["retryAfter"].as_i64().unwrap_or(0);
                    let seconds = (until - ms(now)).max(0) / 1_000;
                    response.headers.push(("Retry-After", seconds.to_string()));
                }
                response
            }
        };
        response
            .headers
            .push(("X-MBX-USED-WEIGHT", used.to_string()));
        response
            .headers
            .push(("X-MBX-USED-WEIGHT-1M", used.to_string()));
        if let (Ok(account), true) = (account, op.places()) {
            let counts = self.counts.headers(account, &self.common.limits, now);
            response.headers.extend(counts);
        }
        response
    }
}

impl Venue for Binance {
    fn handle_open(
        &mut self,
        conn: ConnId,
        path: &str,
        query: &str,
        now: i64,
        out: &mut Outbox,
    ) -> Accept {
        if let Some(status) = self.common.faults.refuse_upgrades {
            return Accept::Refuse(rest::error(status, -1001, "Internal error."));
        }
        let api = match self.common.venue {
            SimVenue::BinanceSpot => path == "/ws-api/v3",
            SimVenue::BinanceLinear => path == "/ws-fapi/v1",
            _ => false,
        };
        let asked = HttpRequest {
            method: "GET",
            path,
            query,
            headers: &[],
            body: b"",
        };
        let listener = self.listen_keys.listener(&asked, now);
        let route = if api || listener.is_some() {
            Some((Route::All, false, ""))
        } else {
            self.route(path)
        };
        let Some((route, combined, in_path)) = route else {
            return Accept::Refuse(rest::error(404, -1000, "Not found."));
        };
        let request = HttpRequest {
            method: "GET",
            path,
            query,
            headers: &[],
            body: b"",
        };
        let names: Vec<String> = if combined {
            let list = request.param("streams").unwrap_or_default();
            list.split('/')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        } else {
            in_path
                .split('/')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        };
        if names.len() > self.common.limits.streams_max {
            return Accept::Refuse(rest::error(400, -1130, "Too many streams."));
        }
        let session = Session {
            opened_ns: now,
            route,
            combined,
            streams: Vec::new(),
            inbound: InboundLimit::default(),
            next_ping_ns: self
                .common
                .limits
                .ping_interval_ns
                .map(|interval| now + interval),
            end_ns: None,
            open_pings: VecDeque::new(),
            api: api.then(|| ApiSession::new(query, now)),
            listener,
        };
        self.sessions.insert(conn, session);
        for name in names {
            self.subscribe(conn, name, now, out);
        }
        let due = self.check(conn, now, out);
        self.timers.arm(conn, due);
        Accept::Upgrade
    }

    fn handle_text(&mut self, conn: ConnId, text: &str, now: i64, out: &mut Outbox) {
        if self
            .sessions
            .get(&conn)
            .is_some_and(|session| session.api.is_some())
        {
            return self.api_text(conn, text, now, out);
        }
        if !self.admit(conn, now, out) {
            return;
        }
        match requests::parse(text) {
            Ok((id, request)) => self.request(conn, &id, request, now, out),
            Err(refusal) => {
                Counters::add(&self.common.counters.rejects, 1);
                self.common
                    .reply(out, conn, |buf| requests::refusal(buf, &refusal));
            }
        }
    }

    fn handle_ping(&mut self, conn: ConnId, payload: &[u8], now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        if self.admit(conn, now, out) && !self.common.faults.mute_pongs {
            out.pong(conn, payload);
        }
    }

    fn handle_pong(&mut self, conn: ConnId, payload: &[u8], now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pongs_received, 1);
        if !self.admit(conn, now, out) {
            return;
        }
        // Only the payload of an open ping counts; an unsolicited pong keeps nothing alive.
        let answered = std::str::from_utf8(payload)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        if let (Some(answered), Some(session)) = (answered, self.sessions.get_mut(&conn)) {
            let open = session
                .open_pings
                .iter()
                .position(|&(payload, _)| payload == answered);
            session
                .open_pings
                .drain(..open.map_or(0, |index| index + 1));
        }
    }

    fn handle_closed(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.remove(&conn) {
            for name in &session.streams {
                self.feed.unsubscribe(conn, name);
            }
        }
    }

    fn handle_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        Counters::add(&self.common.counters.rest_requests, 1);
        if self.common.venue == SimVenue::BinanceLinear && request.path == "/fapi/v1/listenKey" {
            return match self.charge(1, now) {
                Ok(_) => match self.listen_key(request, now) {
                    Ok(body) => HttpResponse::json(200, body),
                    Err(error) => rest::error(error.status, error.code as i32, &error.msg),
                },
                Err(response) => response,
            };
        }
        if let Some(op) = Op::of_rest(self.common.venue, request.method, request.path) {
            return self.trade_http(op, request, now);
        }
        let weight = rest::weight(self.common.venue, request);
        let used = match self.charge(weight, now) {
            Ok(used) => used,
            Err(response) => return response,
        };
        let answer = if request.method == "GET" {
            self.feed.rest(request, now, &mut self.common)
        } else {
            None
        };
        let mut response = answer.unwrap_or_else(|| rest::error(404, -1000, "Not found."));
        response
            .headers
            .push(("X-MBX-USED-WEIGHT", used.to_string()));
        response
            .headers
            .push(("X-MBX-USED-WEIGHT-1M", used.to_string()));
        response
    }

    fn handle_control(&mut self, command: &Command, now: i64, out: &mut Outbox) {
        match command {
            Command::RefuseUpgrades(status) => self.common.faults.refuse_upgrades = *status,
            Command::MutePings(on) => self.common.faults.mute_pings = *on,
            Command::MutePongs(on) => self.common.faults.mute_pongs = *on,
            _ => {}
        }
        self.feed.control(command, now);
        if matches!(command, Command::CutConnections | Command::Restart) {
            for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
                Counters::add(&self.common.counters.cut, 1);
                out.items.push(Item::Cut { conn });
                self.handle_closed(conn);
            }
        }
    }

    fn poll(&mut self, now: i64, out: &mut Outbox) -> Option<i64> {
        while let Some(conn) = self.timers.pop_due(now) {
            let due = self.check(conn, now, out);
            self.timers.arm(conn, due);
        }
        self.feed.poll(now, TURN_EVENTS_MAX, &mut self.common, out);
        self.common.exchange.expire(now);
        self.expire_listen_keys(now, out);
        let private = self.check_countdowns(now);
        self.push_reports(out);
        self.common.push_late(now, out);
        let next = earlier(self.timers.next(), self.feed.next_deadline());
        earlier(earlier(next, private), self.common.next_deadline())
    }

    fn announce_end(&mut self, conn: ConnId, end_ns: i64, now: i64, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return false;
        };
        session.end_ns = Some(end_ns);
        let (combined, stamp_ns) = (session.combined, now + self.common.faults.skew_ns);
        self.common
            .reply(out, conn, |buf| frames::shutdown(buf, combined, stamp_ns));
        self.timers.arm(conn, Some(end_ns));
        true
    }

    fn links(&self) -> Vec<(ConnId, Vec<String>)> {
        let sessions = self.sessions.iter();
        sessions
            .map(|(conn, s)| {
                let mut names = s
                    .api
                    .as_ref()
                    .map_or_else(|| s.streams.clone(), ApiSession::links);
                if self.is_listening(*conn) {
                    names.push(PRIVATE_LINK.to_owned());
                }
                (*conn, names)
            })
            .collect()
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
