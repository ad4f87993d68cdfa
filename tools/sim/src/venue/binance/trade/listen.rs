//! Listen keys of USD-M: who may hear an account's events on `/private`, and for how long
//! (derivatives/usds-margined-futures "User Data Streams"; the routed paths of 2026-03).

use std::collections::BTreeMap;

use super::super::Binance;
use super::{ApiError, futures};
use crate::exchange::{End, Unauthorised};
use crate::json::Obj;
use crate::num::ms;
use crate::outbox::{ConnId, Outbox};
use crate::spec::SECOND_NS;
use crate::venue::{HttpRequest, earlier};

/// A key lives for an hour unless it is kept alive.
const LIFE_NS: i64 = 3_600 * SECOND_NS;

/// Keys by account, with their end.
#[derive(Debug, Default)]
pub(in super::super) struct ListenKeys(BTreeMap<usize, (String, i64)>);

/// A connection that hears an account.
#[derive(Clone, Debug)]
pub(in super::super) struct Listener {
    account: usize,
    key: String,
    /// Names of the events that it wants; empty: all.
    events: Vec<String>,
    /// Events come wrapped, under the key as the stream's name.
    wrapped: bool,
}

impl ListenKeys {
    /// The listener that a path asks for: `/private/ws?listenKey=..&events=A/B`, `/private/stream?..`.
    pub(in super::super) fn listener(
        &self,
        request: &HttpRequest<'_>,
        now: i64,
    ) -> Option<Listener> {
        let wrapped = match request.path {
            "/private/ws" => false,
            "/private/stream" => true,
            _ => return None,
        };
        let key = request.param("listenKey")?;
        let known = self
            .0
            .iter()
            .find(|(_, (known, end))| *known == key && now < *end);
        let account = *known?.0;
        let events = request.param("events").unwrap_or_default();
        let events = events
            .split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Some(Listener {
            account,
            key,
            events,
            wrapped,
        })
    }

    pub(in super::super) fn next_deadline(&self) -> Option<i64> {
        self.0.values().map(|(_, end)| *end).min()
    }
}

impl Binance {
    /// `listenKey` over REST: it takes the API key alone, without a signature.
    pub(in super::super) fn listen_key(
        &mut self,
        request: &HttpRequest<'_>,
        now: i64,
    ) -> Result<Vec<u8>, ApiError> {
        let key = request.header("X-MBX-APIKEY");
        let key = key.ok_or_else(|| ApiError::new(401, -2014, "API-key format invalid."))?;
        self.listen_key_of(key, request.method, now)
    }

    /// What `POST`, `PUT` and `DELETE` do to the listen key of an API key's account.
    pub(in super::super) fn listen_key_of(
        &mut self,
        key: &str,
        method: &str,
        now: i64,
    ) -> Result<Vec<u8>, ApiError> {
        let account = self
            .common
            .keys
            .account(key)
            .ok_or(Unauthorised::UnknownKey)?;
        let rng = &mut self.common.rng;
        let keys = &mut self.listen_keys.0;
        match method {
            "POST" => {
                let fresh = || ((0..64).map(|_| rng.alphanumeric()).collect(), 0);
                let (key, end) = keys.entry(account).or_insert_with(fresh);
                *end = now + LIFE_NS;
                Ok(Obj::new().str("listenKey", key).end())
            }
            "PUT" => match keys.get_mut(&account) {
                Some((key, end)) => {
                    *end = now + LIFE_NS;
                    Ok(Obj::new().str("listenKey", key).end())
                }
                None => Err(ApiError::bad(-1125, "This listenKey does not exist.")),
            },
            _ => {
                keys.remove(&account);
                Ok(b"{}".to_vec())
            }
        }
    }

    /// Ends the keys whose time is over, and tells who listens.
    pub(in super::super) fn expire_listen_keys(&mut self, now: i64, out: &mut Outbox) {
        while let Some((account, (key, _))) =
            self.listen_keys.0.iter().find(|(_, (_, end))| *end <= now)
        {
            let (account, key) = (*account, key.clone());
            self.listen_keys.0.remove(&account);
            let at_ms = ms(now + self.common.faults.skew_ns);
            let event = Obj::new().str("e", "listenKeyExpired").int("E", at_ms);
            let event = event.str("listenKey", &key).end();
            self.tell_listeners(account, "listenKeyExpired", &event, out);
            for session in self.sessions.values_mut() {
                session.listener.take_if(|listener| listener.key == key);
            }
        }
    }

    fn tell_listeners(&mut self, account: usize, name: &str, event: &[u8], out: &mut Outbox) {
        for (conn, session) in &self.sessions {
            let Some(listener) = &session.listener else {
                continue;
            };
            let wanted =
                listener.events.is_empty() || listener.events.iter().any(|one| one == name);
            if listener.account != account || !(wanted || name == "listenKeyExpired") {
                continue;
            }
            let wrapped = Obj::new()
                .str("stream", &listener.key)
                .raw("data", event)
                .end();
            let text: &[u8] = if listener.wrapped { &wrapped } else { event };
            self.common
                .reply(out, *conn, |buf| buf.extend_from_slice(text));
        }
    }

    /// Tells the owners of USD-M orders what happened to them.
    pub(in super::super) fn push_futures(
        &mut self,
        report: &crate::exchange::Report,
        out: &mut Outbox,
    ) {
        let skew_ns = self.common.faults.skew_ns;
        for (name, event) in futures::events(&self.common.exchange, report, skew_ns) {
            self.tell_listeners(report.order.account, name, &event, out);
        }
    }

    /// Cancels what a countdown has reached; returns when to look again.
    pub(in super::super) fn check_countdowns(&mut self, now: i64) -> Option<i64> {
        let exchange = &mut self.common.exchange;
        self.countdowns.retain(|(account, instrument), due| {
            if *due <= now {
                exchange.cancel_all(*account, Some(*instrument), (End::DeadMan, ""), now);
            }
            *due > now
        });
        let countdown = self.countdowns.values().copied().min();
        earlier(countdown, self.listen_keys.next_deadline())
    }

    pub(in super::super) fn is_listening(&self, conn: ConnId) -> bool {
        self.sessions
            .get(&conn)
            .is_some_and(|session| session.listener.is_some())
    }
}
