//! Bybit v5 spot and linear: sessions of the public streams, and REST.
//!
//! Rules from docs v5/ws/connect ("wss-authentication"), v5/rate-limit and v5/websocket/public/*
//! (2026-07-24); wordings that the docs do not print are from live probes (2026-09).

mod feed;
mod frames;
mod push;
mod rest;
mod ticker;
mod topics;
mod trade;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use feed::BybitFeed;
pub(crate) use rest::{category as rest_category, envelope as rest_envelope, time as rest_time};

use super::limit::{Charge, RestBudget};
use super::stream::Sub;
use super::{
    Accept, Common, Conns, Feed, HttpRequest, HttpResponse, SessionTimers, Venue, earlier,
};
use crate::control::Command;
use crate::outbox::{ConnId, Item, Outbox};
use crate::spec::SECOND_NS;
use crate::stats::Counters;
use frames::Json;
use trade::links::{Login, Purpose};
use trade::{Dcp, Op, Rates};

/// Market events handled in one turn, so that sockets are served in between.
const TURN_EVENTS_MAX: usize = 512;

/// How often the venue looks for dead connections: the cut is not exact (docs "Connect").
const IDLE_CHECK_NS: i64 = 30 * SECOND_NS;

#[derive(Debug)]
struct Session {
    conn_id: String,
    opened_ns: i64,
    topics: BTreeSet<String>,
    /// Last ping from the client.
    alive_ns: i64,
    purpose: Purpose,
    login: Login,
}

/// One Bybit market.
#[derive(Debug)]
pub(crate) struct Bybit {
    common: Common,
    feed: Box<dyn Feed>,
    sessions: Conns<Session>,
    timers: SessionTimers,
    budget: RestBudget,
    rates: Rates,
    /// By account.
    dcp: BTreeMap<usize, Dcp>,
}

/// A parsed operation.
struct Operation {
    op: String,
    req_id: Option<String>,
    args: Vec<String>,
}

fn parse(text: &str) -> Result<Operation, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let args = value
        .get("args")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    Ok(Operation {
        op: text("op").unwrap_or_default(),
        req_id: text("req_id"),
        args: args
            .iter()
            .map(|v| v.as_str().unwrap_or_default().to_owned())
            .collect(),
    })
}

impl Bybit {
    pub(crate) fn new(common: Common, feed: Box<dyn Feed>) -> Self {
        let (sessions, timers) = (Conns::new(), SessionTimers::default());
        Self {
            common,
            feed,
            sessions,
            timers,
            budget: RestBudget::default(),
            rates: Rates::default(),
            dcp: BTreeMap::new(),
        }
    }

    /// `{"success":..,"ret_msg":..,"conn_id":..,["req_id":..,]"op":..}`: spot leaves `req_id` out
    /// where the request had none, linear always has it.
    fn reply(
        &mut self,
        conn: ConnId,
        success: bool,
        ret_msg: &str,
        req_id: Option<&str>,
        op: &str,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        let spot = self.common.venue.is_spot();
        self.common.reply(out, conn, |buf| {
            let quoted = |text: &str| Value::from(text).to_string();
            let mut json = Json(buf);
            json.raw("{\"success\":")
                .raw(if success { "true" } else { "false" });
            json.raw(",\"ret_msg\":").raw(&quoted(ret_msg));
            json.raw(",\"conn_id\":\"").raw(&session.conn_id).raw("\"");
            match req_id {
                Some(id) => {
                    json.raw(",\"req_id\":").raw(&quoted(id));
                }
                None if !spot => {
                    json.raw(",\"req_id\":\"\"");
                }
                None => {}
            }
            json.raw(",\"op\":").raw(&quoted(op)).raw("}");
        });
    }

    /// Why a subscribe request is refused as a whole, if it is: the first bad topic decides.
    fn objection(&self, session: &Session, args: &[String]) -> Option<String> {
        let limits = &self.common.limits;
        if limits.args_max.is_some_and(|max| args.len() > max) {
            return Some("args size >10".to_owned());
        }
        let held: usize = session.topics.iter().map(String::len).sum();
        if held + args.iter().map(String::len).sum::<usize>() > limits.args_chars_max {
            return Some(format!("args length >{}", limits.args_chars_max));
        }
        let mut seen = BTreeSet::new();
        for topic in args {
            if !self.feed.knows(topic) {
                return Some(format!("error:handler not found,topic:{topic}"));
            }
            if session.topics.contains(topic) || !seen.insert(topic) {
                return Some(format!("error:already subscribed,topic:{topic}"));
            }
        }
        None
    }

    fn subscribe(&mut self, conn: ConnId, operation: Operation, now: i64, out: &mut Outbox) {
        let Operation { op, req_id, args } = operation;
        let Some(session) = self.sessions.get(&conn) else {
            return;
        };
        if let Some(objection) = self.objection(session, &args) {
            Counters::add(&self.common.counters.rejects, 1);
            return self.reply(conn, false, &objection, req_id.as_deref(), &op, out);
        }
        Counters::add(&self.common.counters.subscribes, 1);
        let spot = self.common.venue.is_spot();
        let ret_msg = if spot { "subscribe" } else { "" };
        // Linear acks may come back with an empty id, and a snapshot may precede its ack (live
        // recordings and JKorf/Bybit.Net #200): both are left to chance, so that both are met.
        let empty_id = !spot && req_id.is_some() && self.common.rng.u8(0..4) == 0;
        let req_id = if empty_id {
            Some(String::new())
        } else {
            req_id
        };
        let ack_first = self.common.rng.bool();
        if ack_first {
            self.reply(conn, true, ret_msg, req_id.as_deref(), &op, out);
        }
        for topic in args {
            let sub = Sub {
                conn,
                wrapped: false,
            };
            self.feed.subscribe(sub, &topic, now, &mut self.common, out);
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.topics.insert(topic);
            }
        }
        if !ack_first {
            self.reply(conn, true, ret_msg, req_id.as_deref(), &op, out);
        }
    }

    fn unsubscribe(&mut self, conn: ConnId, operation: &Operation, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.unsubscribes, 1);
        for topic in &operation.args {
            self.feed.unsubscribe(conn, topic);
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.topics.remove(topic);
                // Until now data may have kept it alive.
                session.alive_ns = now;
            }
        }
        let ret_msg = if self.common.venue.is_spot() {
            &*operation.op
        } else {
            ""
        };
        self.reply(
            conn,
            true,
            ret_msg,
            operation.req_id.as_deref(),
            &operation.op,
            out,
        );
    }

    fn ping(&mut self, conn: ConnId, operation: &Operation, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.alive_ns = now;
        }
        if !self.common.faults.mute_pongs {
            self.reply(conn, true, "pong", operation.req_id.as_deref(), "ping", out);
        }
    }

    /// A connection is kept by a ping or by data, and as long as its life lasts where a test has
    /// given it one. Returns when to look again, `None` if it was cut.
    fn check(&mut self, conn: ConnId, now: i64, out: &mut Outbox) -> Option<i64> {
        let (idle_ns, life_ns) = (self.common.limits.idle_ns, self.common.limits.life_ns);
        let session = self.sessions.get(&conn)?;
        let life_end = life_ns.map(|life| session.opened_ns + life);
        // Subscribed topics bring data; silent ones are not told apart, as at the venue.
        let is_idle = |idle| session.topics.is_empty() && now - session.alive_ns >= idle;
        if life_end.is_some_and(|end| now >= end) || idle_ns.is_some_and(is_idle) {
            Counters::add(&self.common.counters.cut, 1);
            // Observed as code 1006: no close frame.
            out.items.push(Item::Cut { conn });
            self.handle_closed(conn);
            return None;
        }
        let idle_check = idle_ns.map(|idle| now + IDLE_CHECK_NS.min(idle.max(1)));
        earlier(idle_check, life_end)
    }
}

impl Venue for Bybit {
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
        let wanted = if self.common.venue.is_spot() {
            "/v5/public/spot"
        } else {
            "/v5/public/linear"
        };
        let Some(purpose) = Purpose::of(path, wanted) else {
            return Accept::Refuse(HttpResponse::json(404, Vec::new()));
        };
        let rng = &mut self.common.rng;
        let mut word = |n| (0..n).map(|_| rng.char('a'..='v')).collect::<String>();
        let conn_id = format!("{}-{}", word(20), word(5));
        let session = Session {
            conn_id,
            opened_ns: now,
            topics: BTreeSet::new(),
            alive_ns: now,
            purpose,
            login: Login::default(),
        };
        self.sessions.insert(conn, session);
        let due = self.check(conn, now, out);
        self.timers.arm(conn, due);
        Accept::Upgrade
    }

    fn handle_text(&mut self, conn: ConnId, text: &str, now: i64, out: &mut Outbox) {
        if self
            .sessions
            .get(&conn)
            .is_some_and(|s| s.purpose != Purpose::Public)
        {
            return self.private_text(conn, text, now, out);
        }
        match parse(text) {
            Ok(operation) => match operation.op.as_str() {
                "ping" => self.ping(conn, &operation, now, out),
                "subscribe" => self.subscribe(conn, operation, now, out),
                "unsubscribe" => self.unsubscribe(conn, &operation, now, out),
                _ => {
                    Counters::add(&self.common.counters.rejects, 1);
                    let (op, id) = (&operation.op, operation.req_id.as_deref());
                    self.reply(conn, false, "error:invalid op", id, op, out);
                }
            },
            // The socket stays open (probe, 2026-09).
            Err(error) => {
                Counters::add(&self.common.counters.rejects, 1);
                let msg = format!("Failed to decode incoming data:{error}");
                self.reply(conn, false, &msg, None, "", out);
            }
        }
    }

    fn handle_ping(&mut self, conn: ConnId, payload: &[u8], now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        session.alive_ns = now;
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
        }
    }

    fn handle_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        Counters::add(&self.common.counters.rest_requests, 1);
        if !matches!(
            self.budget.charge(1, &self.common.limits, now),
            Charge::Granted { .. }
        ) {
            Counters::add(&self.common.counters.rest_limited, 1);
            // docs v5/rate-limit: 403, "access too frequent".
            let body = br#"{"retCode":10006,"retMsg":"access too frequent"}"#.to_vec();
            return HttpResponse::json(403, body);
        }
        if let Some(op) = Op::of_rest(request.method, request.path) {
            return self.trade_http(op, request, now);
        }
        let answer = if request.method == "GET" {
            self.feed.rest(request, now, &mut self.common)
        } else {
            None
        };
        answer.unwrap_or_else(|| HttpResponse::json(404, b"404 page not found".to_vec()))
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
        let dcp = self.check_dcp(now);
        self.push_reports(now, out);
        self.common.push_late(now, out);
        let next = earlier(self.timers.next(), self.feed.next_deadline());
        earlier(earlier(next, dcp), self.common.next_deadline())
    }

    fn announce_end(&mut self, _: ConnId, _: i64, _: i64, _: &mut Outbox) -> bool {
        false
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
