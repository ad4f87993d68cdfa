//! Messages in: whose each is.

use tickwire_connectors::Nanos;

use super::super::config::nanos;
use super::super::error::Error;
use super::super::heartbeat::{DERIBIT_TEST_ID, HeartbeatType};
use super::super::json::{Envelope, Json, RequestKey, Shape, shape};
use super::super::message::{Message, Request};
use super::super::record::Direction;
use super::super::subscriptions::Subscribed;
use super::super::ticket::Resolver;
use super::{Phase, Session, Subscriptions};

impl Session {
    pub(crate) fn handle_text(&mut self, now: Nanos, payload: &[u8]) {
        self.count_in(payload.len());
        let Ok(text) = std::str::from_utf8(payload) else {
            // The link has checked it. If it ever did not, the text still goes nowhere.
            let error = Error::Protocol("text message is not UTF-8".to_owned());
            return self.cut(error, "text that is not UTF-8");
        };
        if self.settings.config.debug {
            tracing::debug!(target: "tickwire::ws", %text, "received");
        }
        let shape = shape(text);
        let is_json = !matches!(shape, Shape::Text);
        self.record(|recorder| recorder.text(now, Direction::Received, text, is_json));
        if !self.is_heartbeats(now, text) {
            match shape {
                Shape::Text => self.deliver(now, Message::Text(text.to_owned())),
                Shape::Array => self.deliver(now, Message::Json(Json::of(text.to_owned()))),
                Shape::Object(envelope) => self.route(now, text, &envelope),
            }
        }
        self.pump(now);
    }

    pub(crate) fn handle_binary(&mut self, now: Nanos, payload: &[u8]) {
        self.count_in(payload.len());
        self.record(|recorder| recorder.binary(now, Direction::Received, payload));
        self.deliver(now, Message::Binary(payload.to_vec()));
        self.pump(now);
    }

    pub(crate) fn handle_pong(&mut self, now: Nanos, payload: &[u8]) {
        let answered = self
            .heartbeat
            .as_mut()
            .and_then(|heartbeat| heartbeat.handle_pong(now, payload));
        if let Some(round_trip) = answered {
            self.beaten(round_trip);
        }
        self.publish();
    }

    fn count_in(&mut self, bytes: usize) {
        self.shared.stats.messages_in.bump();
        self.shared.stats.bytes_in.add(bytes as u64);
        if let Some(metrics) = &self.settings.config.metrics {
            metrics.received(bytes);
        }
    }

    /// Whether a text is the answer to our own heartbeat and nobody else's business.
    fn is_heartbeats(&mut self, now: Nanos, text: &str) -> bool {
        let Some(heartbeat) = &mut self.heartbeat else {
            return false;
        };
        let Some(round_trip) = heartbeat.handle_text(now, text) else {
            return false;
        };
        let keeps = heartbeat.keeps_answer();
        self.beaten(round_trip);
        keeps
    }

    fn route(&mut self, now: Nanos, text: &str, message: &Envelope<'_>) {
        let dialect = self.settings.dialect.clone();
        if let (Some(limiter), Some(dialect)) = (&self.settings.config.limiter, &dialect)
            && let Some(feedback) = dialect.feedback(message)
        {
            limiter.observe(now, feedback);
        }
        let is_deribit = self
            .heartbeat
            .as_ref()
            .is_some_and(|heartbeat| heartbeat.config().kind == HeartbeatType::Deribit);
        let method = message.text("method");
        if is_deribit && method.as_deref() == Some("heartbeat") {
            let params = message.object("params");
            if params.and_then(|params| params.text("type")).as_deref() == Some("test_request") {
                self.send_heartbeat_text(now);
            }
            return;
        }
        let keys = dialect
            .as_ref()
            .map_or(&["id"][..], |dialect| dialect.id_keys());
        let id = message.id(keys);
        let is_answer =
            message.has("result") || message.has("error") || message.raw("result").is_some();
        match (id, method) {
            (Some(id), Some(method)) if !is_answer => {
                let raw = keys.iter().find_map(|key| message.raw(key));
                let request = Request {
                    id: raw.unwrap_or(id.as_str()).to_owned(),
                    method,
                    json: Json::of(text.to_owned()),
                };
                self.deliver(now, Message::Request(request));
            }
            (id, _) => self.answer(now, text, message, id, is_answer, is_deribit),
        }
    }

    fn answer(
        &mut self,
        now: Nanos,
        text: &str,
        message: &Envelope<'_>,
        id: Option<RequestKey>,
        is_answer: bool,
        is_deribit: bool,
    ) {
        if is_deribit
            && id.as_ref().is_some_and(|id| id.as_str() == DERIBIT_TEST_ID)
            && let Some(heartbeat) = &mut self.heartbeat
        {
            if let Some(round_trip) = heartbeat.handle_test_answer(now) {
                self.beaten(round_trip);
            }
            return;
        }
        if let (Phase::LoggingIn { key, .. }, Some(id)) = (&self.phase, &id)
            && key == id
        {
            self.last_message = now;
            return self.logged_in(now, message);
        }
        if let Some(subscriptions) = &mut self.subscriptions
            && subscriptions.is_answer(id.as_ref().map(RequestKey::as_str), message)
        {
            self.last_message = now;
            subscriptions.handle_answer(now, message);
            return;
        }
        let json = Json::of(text.to_owned());
        match id {
            Some(id) if self.pending.has(&id) => {
                self.last_message = now;
                if let Some((waiter, took)) = self.pending.take(now, &id) {
                    if let Some(metrics) = &self.settings.config.metrics {
                        metrics.answered(super::super::duration(took));
                    }
                    // Before the caller goes on: it may ask.
                    self.shared.stats.answered(took.0);
                    self.publish();
                    waiter.resolve(Ok(json));
                }
            }
            Some(_) if is_answer => {
                self.shared.stats.unmatched.bump();
                self.deliver(now, Message::Unmatched(json));
            }
            _ => self.deliver(now, Message::Json(json)),
        }
    }

    fn deliver(&mut self, now: Nanos, message: Message) {
        self.last_message = now;
        self.give(message);
    }

    /// Sends the login; waits for its answer where it has an id.
    pub(super) fn log_in(&mut self, now: Nanos, text: &str) {
        let dialect = self.settings.dialect.as_ref();
        let keys = dialect.map_or(&["id"][..], |dialect| dialect.id_keys());
        let key = Envelope::read(text).and_then(|login| login.id(keys));
        self.put_own(now, text.to_owned());
        match key {
            Some(key) => {
                let deadline = now + nanos(self.settings.config.request_timeout);
                self.phase = Phase::LoggingIn { key, deadline };
            }
            None => self.ready(now),
        }
    }

    fn logged_in(&mut self, now: Nanos, answer: &Envelope<'_>) {
        let refused = match &self.settings.dialect {
            Some(dialect) => dialect.login_error(answer),
            None => answer
                .has("error")
                .then(|| answer.raw("error").unwrap_or_default().to_owned()),
        };
        match refused {
            None => self.ready(now),
            Some(why) if why.to_ascii_lowercase().contains("expire") => {
                self.end(Error::TokenExpired(why));
            }
            Some(why) => self.end(Error::InvalidCredentials(why)),
        }
    }

    pub(super) fn subscriptions_if_up(
        &mut self,
        caller: Resolver<Subscribed>,
        ask: impl FnOnce(&mut Subscriptions, Resolver<Subscribed>),
    ) {
        match &mut self.subscriptions {
            _ if self.phase != Phase::Up => caller.resolve(Err(Error::Disconnected)),
            None => caller.resolve(Err(Error::NoDialect)),
            Some(subscriptions) => ask(subscriptions, caller),
        }
    }
}
