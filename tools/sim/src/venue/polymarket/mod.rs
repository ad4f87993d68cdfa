//! Polymarket's CLOB: sessions of the market and user channels, and REST.
//!
//! Rules from docs.polymarket.com (market-data/websocket, 2026-11); what the pages do not say is from
//! issues of the venue's own clients and from users (2025-11 to 2026-07).

mod feed;
mod frames;
mod rest;
mod settle;
mod trade;

use std::collections::BTreeSet;

use serde_json::Value;

pub(crate) use feed::{PolymarketFeed, complement};

use super::limit::{Charge, RestBudget};
use super::stream::Sub;
use super::{
    Accept, Common, Conns, Feed, HttpRequest, HttpResponse, PRIVATE_LINK, SessionTimers, Venue,
    earlier,
};
use crate::control::Command;
use crate::fault::Fault;
use crate::outbox::{ConnId, Item, Outbox};
use crate::spec::{SECOND_NS, UserKey};
use crate::stats::Counters;

/// Market events handled in one turn, so that sockets are served in between.
const TURN_EVENTS_MAX: usize = 512;

/// How often the venue looks for dead connections.
const IDLE_CHECK_NS: i64 = SECOND_NS;

/// Above this no book comes on subscribing, without a word (users, 2025-11).
const BOOKS_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Market,
    User,
}

#[derive(Debug)]
struct Session {
    kind: Kind,
    /// Whether it has said what it is for.
    begun: bool,
    /// The fault by which its next ping counts as one before a subscription.
    refuses_ping: Option<usize>,
    tokens: BTreeSet<String>,
    opened_ns: i64,
    /// Last ping from the client.
    alive_ns: i64,
    /// The account that it hears, and the key that it came with.
    seat: Option<(usize, String)>,
}

/// The venue.
#[derive(Debug)]
pub(crate) struct Polymarket {
    common: Common,
    feed: Box<dyn Feed>,
    sessions: Conns<Session>,
    timers: SessionTimers,
    budget: RestBudget,
    /// Who may listen on the user channel.
    key: Option<UserKey>,
    heartbeats: trade::Heartbeats,
    settling: settle::Settling,
}

impl Polymarket {
    pub(crate) fn new(common: Common, feed: Box<dyn Feed>, key: Option<UserKey>) -> Self {
        let (sessions, timers) = (Conns::new(), SessionTimers::default());
        Self {
            common,
            feed,
            sessions,
            timers,
            budget: RestBudget::default(),
            key,
            heartbeats: trade::Heartbeats::new(),
            settling: settle::Settling::new(),
        }
    }

    fn ping(&mut self, conn: ConnId, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        if let Some(record) = session.refuses_ping {
            self.common.faults.log.hit(record, now, 1);
        }
        if !session.begun || session.refuses_ping.is_some() {
            self.common.close(out, conn, 1008, "");
            return self.handle_closed(conn);
        }
        session.alive_ns = now;
        if !self.common.faults.mute_pongs {
            self.common
                .reply(out, conn, |buf| buf.extend_from_slice(b"PONG"));
        }
    }

    /// No ack and no error comes; only a repeated token draws a word.
    fn subscribe(&mut self, conn: ConnId, message: &Value, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.subscribes, 1);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return;
        };
        let is_first = !std::mem::replace(&mut session.begun, true);
        if is_first {
            session.alive_ns = now;
        }
        let fresh: Vec<String> = tokens(message)
            .filter(|token| self.feed.knows(token) && session.tokens.insert((*token).to_owned()))
            .map(str::to_owned)
            .collect();
        if fresh.is_empty() && tokens(message).any(|token| session.tokens.contains(token)) {
            let text = b"NO NEW ASSETS";
            return self
                .common
                .reply(out, conn, |buf| buf.extend_from_slice(text));
        }
        let wants = message.get("initial_dump").and_then(Value::as_bool);
        let shows = wants.unwrap_or(true) && session.tokens.len() <= BOOKS_MAX;
        for token in fresh {
            let sub = Sub {
                conn,
                wrapped: !shows,
            };
            self.feed.subscribe(sub, &token, now, &mut self.common, out);
        }
        self.feed.set_wrapped(conn, false);
    }

    fn unsubscribe(&mut self, conn: ConnId, message: &Value) {
        Counters::add(&self.common.counters.unsubscribes, 1);
        for token in tokens(message) {
            self.feed.unsubscribe(conn, token);
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.tokens.remove(token);
            }
        }
    }

    /// The user channel: keys in the message, and no word where they are wrong.
    fn log_in(&mut self, conn: ConnId, message: &Value, now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.subscribes, 1);
        let auth = |key: &str| message.get("auth")?.get(key)?.as_str();
        let account = auth("apiKey").and_then(|key| {
            let keys = &self.common.keys;
            let account = keys.check_secrets(key, auth("secret")?, auth("passphrase")?)?;
            Some((account, key.to_owned()))
        });
        let known = account.is_some()
            || self.key.as_ref().is_some_and(|key| {
                auth("apiKey") == Some(&*key.key)
                    && auth("secret") == Some(&*key.secret)
                    && auth("passphrase") == Some(&*key.passphrase)
            });
        if known {
            if let Some(session) = self.sessions.get_mut(&conn) {
                (session.begun, session.alive_ns) = (true, now);
                session.seat = account;
            }
        } else {
            Counters::add(&self.common.counters.rejects, 1);
            out.items.push(Item::Cut { conn });
            self.handle_closed(conn);
        }
    }

    /// A connection is kept by pings once it has begun. Returns when to look again, `None` if it was
    /// cut.
    fn check(&mut self, conn: ConnId, now: i64, out: &mut Outbox) -> Option<i64> {
        let session = self.sessions.get(&conn)?;
        let (idle_ns, life_ns) = (self.common.limits.idle_ns, self.common.limits.life_ns);
        let life_end = life_ns.map(|life| session.opened_ns + life);
        let is_idle = idle_ns.is_some_and(|idle| now - session.alive_ns >= idle);
        if life_end.is_some_and(|end| now >= end) || is_idle {
            Counters::add(&self.common.counters.cut, 1);
            out.items.push(Item::Cut { conn });
            self.handle_closed(conn);
            return None;
        }
        let idle_check = idle_ns.map(|idle| now + IDLE_CHECK_NS.min(idle.max(1)));
        earlier(idle_check, life_end)
    }
}

fn tokens(message: &Value) -> impl Iterator<Item = &str> {
    let list = message.get("assets_ids").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

impl Venue for Polymarket {
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
        let kind = match path {
            "/ws/market" => Kind::Market,
            "/ws/user" => Kind::User,
            _ => return Accept::Refuse(HttpResponse::json(404, Vec::new())),
        };
        let session = Session {
            kind,
            begun: false,
            refuses_ping: None,
            tokens: BTreeSet::new(),
            opened_ns: now,
            alive_ns: now,
            seat: None,
        };
        self.sessions.insert(conn, session);
        let due = self.check(conn, now, out);
        self.timers.arm(conn, due);
        Accept::Upgrade
    }

    fn handle_text(&mut self, conn: ConnId, text: &str, now: i64, out: &mut Outbox) {
        if text == "PING" {
            return self.ping(conn, now, out);
        }
        let message: Option<Value> = serde_json::from_str(text).ok();
        let kind = self.sessions.get(&conn).map(|session| session.kind);
        let word = |key: &str| message.as_ref()?.get(key)?.as_str();
        match (kind, word("type"), word("operation"), &message) {
            (Some(Kind::User), Some("user" | "USER"), _, Some(message)) => {
                self.log_in(conn, message, now, out);
            }
            (Some(Kind::Market), _, Some("unsubscribe"), Some(message)) => {
                self.unsubscribe(conn, message);
            }
            (Some(Kind::Market), Some("market" | "MARKET"), _, Some(message))
            | (Some(Kind::Market), _, Some("subscribe"), Some(message)) => {
                self.subscribe(conn, message, now, out);
            }
            // Silence is its answer to what it does not understand.
            _ => Counters::add(&self.common.counters.rejects, 1),
        }
    }

    fn handle_ping(&mut self, conn: ConnId, payload: &[u8], _now: i64, out: &mut Outbox) {
        Counters::add(&self.common.counters.pings_received, 1);
        // Control frames don't count as a sign of life.
        if self.sessions.contains_key(&conn) && !self.common.faults.mute_pongs {
            out.pong(conn, payload);
        }
    }

    fn handle_pong(&mut self, _conn: ConnId, _payload: &[u8], _now: i64, _out: &mut Outbox) {
        Counters::add(&self.common.counters.pongs_received, 1);
    }

    fn handle_closed(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.remove(&conn) {
            for token in &session.tokens {
                self.feed.unsubscribe(conn, token);
            }
        }
    }

    fn handle_http(&mut self, request: &HttpRequest<'_>, now: i64) -> HttpResponse {
        Counters::add(&self.common.counters.rest_requests, 1);
        let charge = self.budget.charge(1, &self.common.limits, now);
        if !matches!(charge, Charge::Granted { .. }) {
            Counters::add(&self.common.counters.rest_limited, 1);
            return HttpResponse::json(429, br#"{"error":"Too Many Requests"}"#.to_vec());
        }
        if trade::is_private(request) {
            return self.private_http(request, now);
        }
        let answer = self.feed.rest(request, now, &mut self.common);
        answer.unwrap_or_else(|| HttpResponse::json(404, br#"{"error":"Not Found"}"#.to_vec()))
    }

    fn handle_control(&mut self, command: &Command, now: i64, out: &mut Outbox) {
        match command {
            Command::RefuseUpgrades(status) => self.common.faults.refuse_upgrades = *status,
            Command::Settle { how, step_ns } => self.settling.set(*how, *step_ns),
            Command::MutePings(on) => self.common.faults.mute_pings = *on,
            Command::MutePongs(on) => self.common.faults.mute_pongs = *on,
            Command::SendUser(text) => {
                for (conn, session) in &self.sessions {
                    if session.kind == Kind::User && session.begun {
                        self.common
                            .reply(out, *conn, |buf| buf.extend_from_slice(text.as_bytes()));
                    }
                }
            }
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
        let beats = self.check_heartbeats(now);
        self.push_reports(now, out);
        let settles = self.settling.take_back(&mut self.common.exchange, now);
        self.common.push_late(now, out);
        let next = earlier(self.timers.next(), self.feed.next_deadline());
        let next = earlier(earlier(next, beats), settles);
        earlier(next, self.common.next_deadline())
    }

    fn announce_end(&mut self, _: ConnId, _: i64, _: i64, _: &mut Outbox) -> bool {
        false
    }

    fn turn_against(&mut self, conn: ConnId, fault: &Fault, record: usize, _now: i64) {
        if let (Fault::PingRefused { .. }, Some(session)) = (fault, self.sessions.get_mut(&conn)) {
            session.refuses_ping = Some(record);
        }
    }

    fn links(&self) -> Vec<(ConnId, Vec<String>)> {
        let sessions = self.sessions.iter();
        sessions
            .map(|(conn, s)| {
                let mut names: Vec<String> = s.tokens.iter().cloned().collect();
                if s.seat.is_some() {
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
