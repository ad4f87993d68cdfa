//! Deribit: JSON-RPC sessions and public calls (API v2.1.1; the support articles of 2026-11 for
//! limits). Its data come from one market; every kind of contract has a listener of its own here.

mod auth;
mod channels;
mod feed;
mod frames;
mod rest;
mod trade;

use std::collections::BTreeSet;

use serde_json::Value;

pub use auth::DERIBIT_ACCOUNT;
pub(crate) use feed::DeribitFeed;

use super::limit::{Charge, Credits, RestBudget};
use super::stream::Sub;
use super::{
    Accept, Common, Conns, Feed, HttpRequest, HttpResponse, SessionTimers, Venue, earlier,
};
use crate::control::Command;
use crate::fault::Fault;
use crate::outbox::{ConnId, Item, Outbox};
use crate::spec::SECOND_NS;
use crate::stats::Counters;
use auth::Accounts;
use frames::Json;
use trade::Seat;

/// Market events handled in one turn, so that sockets are served in between.
const TURN_EVENTS_MAX: usize = 512;

/// Connections of one address; one more gets HTTP 429 (connection management).
const CONNECTIONS_MAX: usize = 32;

/// Heartbeats come no faster (public/set_heartbeat).
const HEARTBEAT_MIN_S: i64 = 10;

/// Credits: what a subscribe costs, what its pool holds and how it refills; then the same of every
/// other request (rate limits).
const SUBSCRIBE_COST: i64 = 3_000;
const SUBSCRIBE_POOL: (i64, i64) = (30_000, 10_000);
const REQUEST_COST: i64 = 500;
const REQUEST_POOL: (i64, i64) = (50_000, 10_000);

#[derive(Debug)]
struct Session {
    opened_ns: i64,
    topics: BTreeSet<String>,
    /// Its last message.
    alive_ns: i64,
    /// Its login ends then.
    login_until: Option<i64>,
    seat: Seat,
    heartbeat: Option<Heartbeat>,
}

/// What was asked for by `set_heartbeat`.
#[derive(Clone, Copy, Debug)]
struct Heartbeat {
    interval_ns: i64,
    next_ns: i64,
    /// A `test_request` waits for its answer.
    asked: bool,
    /// Answers are not heard: the fault, and how long the session has from its next question on.
    deaf: Option<(usize, i64)>,
}

/// One market of Deribit.
#[derive(Debug)]
pub(crate) struct Deribit {
    common: Common,
    feed: Box<dyn Feed>,
    sessions: Conns<Session>,
    timers: SessionTimers,
    accounts: Accounts,
    subscribes: Credits,
    requests: Credits,
    /// Of the matching engine.
    orders: Credits,
    /// The newest time that it was told: a closed link tells none.
    clock_ns: i64,
    budget: RestBudget,
}

/// A request: its id as it was written, its method and parameters.
struct Call {
    id: Value,
    method: String,
    params: Value,
}

fn parse(text: &str) -> Option<Call> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let method = value.get("method")?.as_str()?.to_owned();
    let mut take = |key: &str| value.get_mut(key).map(Value::take).unwrap_or_default();
    Some(Call {
        id: take("id"),
        method,
        params: take("params"),
    })
}

/// An error with its code.
type Refusal = (i64, &'static str);

impl Deribit {
    pub(crate) fn new(common: Common, feed: Box<dyn Feed>) -> Self {
        let (rate, burst) = trade::rates(&common.limits);
        let orders = Credits::new((burst * REQUEST_COST, rate * REQUEST_COST));
        Self {
            common,
            feed,
            sessions: Conns::new(),
            timers: SessionTimers::default(),
            accounts: Accounts::default(),
            subscribes: Credits::new(SUBSCRIBE_POOL),
            requests: Credits::new(REQUEST_POOL),
            orders,
            clock_ns: 0,
            budget: RestBudget::default(),
        }
    }

    fn reply(
        &self,
        conn: ConnId,
        id: &Value,
        now: i64,
        out: &mut Outbox,
        write: impl FnOnce(&mut Json<'_>),
    ) {
        self.common.reply(out, conn, |buf| {
            let mut json = Json(buf);
            json.raw(r#"{"jsonrpc":"2.0","#);
            if !id.is_null() {
                json.raw(r#""id":"#).raw(&id.to_string()).raw(",");
            }
            write(&mut json);
            rest::write_tail(&mut json, now);
        });
    }

    fn refuse(
        &self,
        conn: ConnId,
        id: &Value,
        (code, message): Refusal,
        now: i64,
        out: &mut Outbox,
    ) {
        Counters::add(&self.common.counters.rejects, 1);
        self.reply(conn, id, now, out, |json| {
            rest::write_error(json, code, message, None);
        });
    }

    fn result(&self, conn: ConnId, id: &Value, result: &Value, now: i64, out: &mut Outbox) {
        self.reply(conn, id, now, out, |json| {
            json.raw(r#""result":"#).raw(&result.to_string());
        });
    }

    fn is_logged_in(&self, conn: ConnId, now: i64) -> bool {
        let session = self.sessions.get(&conn);
        let until = session.and_then(|session| session.login_until);
        until.is_some_and(|until| now < until)
    }

    /// Ends a session at once (10028: "the session is terminated").
    fn end(&mut self, conn: ConnId, out: &mut Outbox) {
        self.common.close(out, conn, 1008, "too_many_requests");
        self.handle_closed(conn);
    }

    fn subscribe(&mut self, conn: ConnId, call: &Call, now: i64, out: &mut Outbox) {
        let is_private = call.method.starts_with("private/");
        let logged_in = self.is_logged_in(conn, now);
        let channels = channels_of(&call.params);
        if is_private && !logged_in {
            return self.refuse(conn, &call.id, (13_009, "unauthorized"), now, out);
        }
        if !logged_in
            && channels
                .iter()
                .any(|channel| channels::is_raw(channel) && !channels::is_private(channel))
        {
            let why = "raw_subscriptions_not_available_for_unauthorized";
            return self.refuse(conn, &call.id, (13_778, why), now, out);
        }
        Counters::add(&self.common.counters.subscribes, 1);
        // What can't be had is silently left out.
        let mut taken: Vec<String> = Vec::new();
        for channel in channels {
            let allowed = is_private || !channels::is_private(&channel);
            if allowed && self.feed.knows(&channel) && !taken.contains(&channel) {
                taken.push(channel);
            }
        }
        // The answer is in no order, and the first data may come before it.
        self.common.rng.shuffle(&mut taken);
        let result = Value::from(taken.clone());
        let answer_first = self.common.rng.bool();
        if answer_first {
            self.result(conn, &call.id, &result, now, out);
        }
        for channel in taken {
            let known = self.sessions.get_mut(&conn);
            let is_new = known.is_some_and(|session| session.topics.insert(channel.clone()));
            if is_new {
                let sub = Sub {
                    conn,
                    wrapped: false,
                };
                self.feed
                    .subscribe(sub, &channel, now, &mut self.common, out);
            }
        }
        if !answer_first {
            self.result(conn, &call.id, &result, now, out);
        }
    }

    fn unsubscribe(&mut self, conn: ConnId, call: &Call, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.unsubscribes, 1);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        let channels = if call.method.ends_with("unsubscribe_all") {
            std::mem::take(&mut session.topics).into_iter().collect()
        } else {
            let mut channels = channels_of(&call.params);
            channels.retain(|channel| session.topics.remove(channel));
            channels
        };
        for channel in &channels {
            self.feed.unsubscribe(conn, channel);
        }
        let result = if call.method.ends_with("unsubscribe_all") {
            Value::from("ok")
        } else {
            Value::from(channels)
        };
        self.result(conn, &call.id, &result, now, out);
    }

    fn login(&mut self, conn: ConnId, call: &Call, now: i64, out: &mut Outbox) {
        let keys = &self.common.keys;
        let Some(account) = self.accounts.admits(&call.params, keys, now) else {
            return self.refuse(conn, &call.id, (13_004, "invalid_credentials"), now, out);
        };
        let login_ns = self.common.limits.login_ns;
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.login_until = Some(now.saturating_add(login_ns));
            session.seat.account = account;
        }
        let scope = call.params.get("scope").and_then(Value::as_str);
        let scope = scope.unwrap_or("connection mainaccount").to_owned();
        let token = self.accounts.token(account, &mut self.common.rng);
        let access: String = (0..32).map(|_| self.common.rng.alphanumeric()).collect();
        let result = serde_json::json!({
            "access_token": access,
            "enabled_features": [],
            "expires_in": login_ns / SECOND_NS,
            "refresh_token": token,
            "scope": scope,
            "token_type": "bearer",
        });
        self.result(conn, &call.id, &result, now, out);
    }

    fn set_heartbeat(&mut self, conn: ConnId, call: &Call, now: i64, out: &mut Outbox) {
        let interval_s = call.params.get("interval").and_then(Value::as_i64);
        let Some(interval_s @ HEARTBEAT_MIN_S..) = interval_s else {
            let why = "Invalid params";
            return self.refuse(conn, &call.id, (-32_602, why), now, out);
        };
        let interval_ns = interval_s.saturating_mul(SECOND_NS);
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.heartbeat = Some(Heartbeat {
                interval_ns,
                next_ns: now.saturating_add(interval_ns),
                asked: false,
                deaf: None,
            });
        }
        self.result(conn, &call.id, &Value::from("ok"), now, out);
        let due = self.check(conn, now, out);
        self.timers.arm(conn, due);
    }

    /// A public call for data, answered as over HTTP.
    fn call_feed(&mut self, conn: ConnId, call: &Call, now: i64, out: &mut Outbox) {
        let query = call.params.as_object().map_or_else(String::new, |params| {
            let pairs = params.iter().map(|(key, value)| match value.as_str() {
                Some(text) => format!("{key}={text}"),
                None => format!("{key}={value}"),
            });
            pairs.collect::<Vec<_>>().join("&")
        });
        let path = format!("/api/v2/{}", call.method);
        let request = HttpRequest {
            method: "GET",
            path: &path,
            query: &query,
            headers: &[],
            body: b"",
        };
        let Some(answer) = self.feed.rest(&request, now, &mut self.common) else {
            return self.refuse(conn, &call.id, (-32_601, "Method not found"), now, out);
        };
        // The same text with the request's id behind the version.
        let text = String::from_utf8_lossy(&answer.body);
        let text = text.trim_start_matches(r#"{"jsonrpc":"2.0","#);
        let id = &call.id;
        self.common.reply(out, conn, |buf| {
            let head = format!(r#"{{"jsonrpc":"2.0","id":{id},{text}"#);
            buf.extend_from_slice(head.as_bytes());
        });
    }

    /// Heartbeats, silence and the end of a life that a test has given it. Returns when to look again,
    /// `None` if it was cut.
    fn check(&mut self, conn: ConnId, now: i64, out: &mut Outbox) -> Option<i64> {
        let limits = &self.common.limits;
        let (idle_ns, life_ns) = (limits.idle_ns, limits.life_ns);
        let muted = self.common.faults.mute_pings;
        let session = self.sessions.get_mut(&conn)?;
        let life_end = life_ns.map(|life| session.opened_ns + life);
        let idle_end = idle_ns.map(|idle| session.alive_ns + idle);
        let mut dead = [life_end, idle_end]
            .into_iter()
            .flatten()
            .any(|end| now >= end);
        if let Some(beat) = &mut session.heartbeat
            && now >= beat.next_ns
        {
            dead |= beat.asked;
            if let (true, Some((record, _))) = (dead, beat.deaf) {
                self.common.faults.log.hit(record, now, 1);
            }
            let patience_ns = beat.deaf.map_or(beat.interval_ns, |(_, for_ns)| for_ns);
            beat.next_ns = now + patience_ns;
            beat.asked = !muted;
            if !dead && !muted {
                for kind in ["heartbeat", "test_request"] {
                    self.common.reply(out, conn, |buf| {
                        let text = format!(
                            r#"{{"jsonrpc":"2.0","method":"heartbeat","params":{{"type":"{kind}"}}}}"#
                        );
                        buf.extend_from_slice(text.as_bytes());
                    });
                }
            }
        }
        if dead {
            Counters::add(&self.common.counters.cut, 1);
            out.items.push(Item::Cut { conn });
            self.handle_closed(conn);
            return None;
        }
        let session = self.sessions.get(&conn)?;
        let beat = session.heartbeat.map(|beat| beat.next_ns);
        earlier(beat, earlier(life_end, idle_end))
    }
}

fn channels_of(params: &Value) -> Vec<String> {
    let channels = params.get("channels").and_then(Value::as_array);
    let channels = channels.map_or(&[][..], Vec::as_slice);
    let texts = channels.iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

impl Venue for Deribit {
    fn handle_open(
        &mut self,
        conn: ConnId,
        path: &str,
        _query: &str,
        now: i64,
        out: &mut Outbox,
    ) -> Accept {
        if let Some(status) = self.common.faults.refuse_upgrades {
            return Accept::Refuse(HttpResponse::json(status, Vec::new()));
        }
        if path != "/ws/api/v2" {
            return Accept::Refuse(HttpResponse::json(404, Vec::new()));
        }
        if self.sessions.len() >= CONNECTIONS_MAX {
            return Accept::Refuse(HttpResponse::json(429, Vec::new()));
        }
        let session = Session {
            opened_ns: now,
            topics: BTreeSet::new(),
            alive_ns: now,
            login_until: None,
            seat: Seat::default(),
            heartbeat: None,
        };
        self.sessions.insert(conn, session);
        let due = self.check(conn, now, out);
        self.timers.arm(conn, due);
        Accept::Upgrade
    }

    fn handle_text(&mut self, conn: ConnId, text: &str, now: i64, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.alive_ns = now;
        self.clock_ns = now;
        if text.len() > self.common.limits.args_chars_max {
            let why = (-32_600, "request entity too large");
            return self.refuse(conn, &Value::Null, why, now, out);
        }
        let Some(call) = parse(text) else {
            return self.refuse(conn, &Value::Null, (-32_700, "Parse error"), now, out);
        };
        let is_subscribe = call.method.ends_with("/subscribe");
        let (pool, cost) = if is_subscribe {
            (&mut self.subscribes, SUBSCRIBE_COST)
        } else if trade::is_order_entry(&call.method) {
            (&mut self.orders, REQUEST_COST)
        } else {
            (&mut self.requests, REQUEST_COST)
        };
        let has_credits = pool.take(cost, now);
        if !has_credits || is_subscribe && self.common.faults.take_empty_pool(now) {
            self.refuse(conn, &call.id, (10_028, "too_many_requests"), now, out);
            return self.end(conn, out);
        }
        match call.method.as_str() {
            "public/auth" => self.login(conn, &call, now, out),
            "public/set_heartbeat" => self.set_heartbeat(conn, &call, now, out),
            "public/disable_heartbeat" => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.heartbeat = None;
                }
                self.result(conn, &call.id, &Value::from("ok"), now, out);
            }
            "public/subscribe" | "private/subscribe" => self.subscribe(conn, &call, now, out),
            "public/unsubscribe"
            | "private/unsubscribe"
            | "public/unsubscribe_all"
            | "private/unsubscribe_all" => self.unsubscribe(conn, &call, now, out),
            "public/test" => {
                Counters::add(&self.common.counters.pongs_received, 1);
                if let Some(session) = self.sessions.get_mut(&conn)
                    && let Some(beat) = &mut session.heartbeat
                {
                    beat.asked &= beat.deaf.is_some();
                }
                self.call_feed(conn, &call, now, out);
            }
            method if method.starts_with("private/") && !self.is_logged_in(conn, now) => {
                self.refuse(conn, &call.id, (13_009, "unauthorized"), now, out);
            }
            "private/logout" => {
                // It does not fire cancel-on-disconnect.
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.seat = Seat::default();
                }
                self.common.close(out, conn, 1000, "logout");
                self.handle_closed(conn);
            }
            _ if self.private_call(conn, &call, now, out) => {}
            _ => self.call_feed(conn, &call, now, out),
        }
    }

    fn handle_ping(&mut self, conn: ConnId, payload: &[u8], _now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        if !self.common.faults.mute_pongs {
            out.pong(conn, payload);
        }
    }

    fn handle_pong(&mut self, _conn: ConnId, _payload: &[u8], _now: i64, _out: &mut Outbox) {
        Counters::add(&self.common.counters.pongs_received, 1);
    }

    fn handle_closed(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.remove(&conn) {
            for topic in &session.topics {
                self.feed.unsubscribe(conn, topic);
            }
            self.leave_seat(&session.seat);
        }
    }

    fn handle_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        Counters::add(&self.common.counters.rest_requests, 1);
        let charge = self.budget.charge(1, &self.common.limits, now);
        if !matches!(charge, Charge::Granted { .. }) {
            Counters::add(&self.common.counters.rest_limited, 1);
            return rest::error(10_028, "too_many_requests", None, now);
        }
        self.clock_ns = now;
        if let Some(answer) = self.private_http(request, now) {
            return answer;
        }
        let answer = if request.method == "GET" {
            self.feed.rest(request, now, &mut self.common)
        } else {
            None
        };
        answer.unwrap_or_else(|| rest::error(-32_601, "Method not found", None, now))
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
        self.clock_ns = now;
        while let Some(conn) = self.timers.pop_due(now) {
            let due = self.check(conn, now, out);
            self.timers.arm(conn, due);
        }
        self.feed.poll(now, TURN_EVENTS_MAX, &mut self.common, out);
        self.common.exchange.expire(now);
        self.push_reports(out);
        self.common.push_late(now, out);
        let next = earlier(self.timers.next(), self.feed.next_deadline());
        earlier(next, self.common.next_deadline())
    }

    fn announce_end(&mut self, _: ConnId, _: i64, _: i64, _: &mut Outbox) -> bool {
        false
    }

    fn turn_against(&mut self, conn: ConnId, fault: &Fault, record: usize, now: i64) {
        let session = self.sessions.get_mut(&conn);
        let beat = session.and_then(|session| session.heartbeat.as_mut());
        if let (Fault::DeafTest { for_ns, .. }, Some(beat)) = (fault, beat) {
            // It asks at once.
            (beat.next_ns, beat.asked) = (now, false);
            beat.deaf = Some((record, (*for_ns).max(0)));
            self.timers.arm(conn, Some(now));
        }
    }

    fn links(&self) -> Vec<(ConnId, Vec<String>)> {
        let conns = self.sessions.keys();
        conns.map(|conn| (*conn, self.link_names(*conn))).collect()
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }
}
