//! One client as a state machine: link changes, messages, commands and time go in; frames and link
//! requests come out, and messages and answers go to the program. No socket, no thread, no clock.

mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use tickwire_connectors::transmit::{DownReason, Endpoint, LinkLoss, LinkSpec, RetryRule};
use tickwire_connectors::{Nanos, transmit};

use super::config::{Config, nanos};
use super::dialect::Dialect;
use super::error::{Class, Error};
use super::heartbeat::{Beat, Heartbeat, HeartbeatType};
use super::json::RequestKey;
use super::limit::Feedback;
use super::message::Message;
use super::pending::Pending;
use super::record::Recorder;
use super::shared::{Delivery, Shared, State};
use super::subscriptions::{Restored, Subscribed, Subscriptions};
use super::ticket::Resolver;
use crate::wire::ws::OpCode;
use send::Lanes;

pub(crate) use send::Outgoing;

/// Ids of our own requests begin here: above what programs count to, and below 2^53, up to which every
/// JSON reader is exact.
const FIRST_ID: u64 = 9_000_000_000_000_000;

/// Messages that may wait for the socket. A socket that takes nothing is cut after ten seconds; who
/// sends more than this in that time loses the connection, and is told so.
const LINK_QUEUE_MAX: usize = 16_384;

/// What a client is, checked.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) endpoint: Endpoint,
    pub(crate) path: String,
    pub(crate) dialect: Option<Arc<dyn Dialect>>,
}

impl Settings {
    /// The link as the engine is to keep it.
    pub(crate) fn link(&self) -> LinkSpec {
        let config = &self.config;
        LinkSpec {
            headers: config.headers.clone(),
            message_bytes_max: config.message_bytes_max,
            protocol: config.protocol.clone(),
            connect_timeout_ns: Some(nanos(config.timeout)),
            check_utf8: true,
            queue_max: LINK_QUEUE_MAX,
            retry: Some(RetryRule {
                first_ns: nanos(config.retry_delay),
                max_ns: nanos(config.max_backoff),
                jitter: config.jitter,
                failures_max: config.retry_count,
            }),
            ..LinkSpec::new(self.endpoint.clone(), self.path.clone())
        }
    }
}

/// What the program wants.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Outgoing),
    Subscribe(Vec<String>, Resolver<Subscribed>),
    Unsubscribe(Vec<String>, Resolver<Subscribed>),
    Reconnect,
    Close,
}

/// What is to be done with the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Open,
    Close,
    Reconnect(&'static str),
    Frame(OpCode, transmit::Lane, Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// The link is being made, or waits.
    Down,
    /// The login is out.
    LoggingIn {
        key: RequestKey,
        deadline: Nanos,
    },
    Up,
    /// Nothing more happens by itself.
    Ended,
}

pub(crate) struct Session {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    delivery: Delivery,
    phase: Phase,
    /// Whether the engine keeps a link for us.
    has_link: bool,
    /// The program has closed it, or let it go: it never comes back.
    is_closed: bool,
    /// A new link is to be opened when the old one is gone.
    reopens: bool,
    /// Why we have cut the link ourselves.
    cut_why: Option<Error>,
    connections: u64,
    heartbeat: Option<Heartbeat>,
    pending: Pending,
    subscriptions: Option<Subscriptions>,
    lanes: Lanes,
    /// When the last message came that is not a heartbeat's.
    last_message: Nanos,
    recorder: Option<Recorder>,
    outputs: VecDeque<Output>,
}

impl Session {
    pub(crate) fn new(
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        recorder: Option<Recorder>,
        seed: u64,
    ) -> Session {
        let config = &settings.config;
        let heartbeat = config.heartbeat_config.clone();
        let pace = (
            nanos(config.subscribe_interval),
            nanos(config.request_timeout),
        );
        let dialect = settings.dialect.clone();
        Session {
            delivery: Delivery::new(config.handler.clone()),
            phase: Phase::Down,
            has_link: true,
            is_closed: false,
            reopens: false,
            cut_why: None,
            connections: 0,
            heartbeat: heartbeat.map(|config| Heartbeat::new(config, seed)),
            pending: Pending::default(),
            subscriptions: dialect.map(|dialect| Subscriptions::new(dialect, FIRST_ID, pace)),
            lanes: Lanes::default(),
            last_message: Nanos::ZERO,
            recorder,
            outputs: VecDeque::from([Output::Open]),
            settings,
            shared,
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed && !self.has_link
    }

    pub(crate) fn handle_command(&mut self, now: Nanos, command: Command) {
        match command {
            Command::Send(message) => self.enqueue(now, message),
            Command::Subscribe(channels, caller) => {
                self.subscriptions_if_up(caller, |subscriptions, caller| {
                    subscriptions.subscribe(channels, caller);
                });
            }
            Command::Unsubscribe(channels, caller) => {
                self.subscriptions_if_up(caller, |subscriptions, caller| {
                    subscriptions.unsubscribe(channels, caller);
                });
            }
            Command::Reconnect => self.reconnect(),
            Command::Close => self.close(),
        }
        self.pump(now);
    }

    /// The link stands, connecting took so long.
    pub(crate) fn handle_up(&mut self, now: Nanos, took: Nanos) {
        if self.phase == Phase::Ended {
            return;
        }
        self.connections += 1;
        self.last_message = now;
        self.shared.stats.connects.bump();
        if let Some(metrics) = &self.settings.config.metrics {
            metrics.connected(super::duration(took));
        }
        tracing::info!(
            target: "tickwire::ws",
            host = %self.settings.endpoint.host,
            connection = self.connections,
            took_ms = took.0 / 1_000_000,
            "connected"
        );
        self.record(|recorder| recorder.connected(now));
        let rests = self
            .settings
            .dialect
            .as_ref()
            .is_some_and(|dialect| dialect.rests_until_subscribed());
        if !rests {
            self.start_heartbeat(now);
        }
        match self.settings.config.login.clone() {
            Some(login) => self.log_in(now, &login(now.0.div_euclid(1_000_000))),
            None => self.ready(now),
        }
        self.pump(now);
    }

    /// A connection has ended, or could not be made.
    pub(crate) fn handle_loss(&mut self, now: Nanos, loss: LinkLoss<'_>) {
        self.has_link = loss.retry_in_ns.is_some();
        let error = self
            .cut_why
            .take()
            .unwrap_or_else(|| self.error_of(loss.reason));
        if let (DownReason::Refused { headers, .. }, Some(limiter)) =
            (loss.reason, &self.settings.config.limiter)
        {
            let headers = headers.iter().map(|(name, value)| (&**name, &**value));
            for feedback in Feedback::of_headers(headers) {
                limiter.observe(now, feedback);
            }
        }
        if loss.was_up {
            self.forget_connection();
        }
        if !matches!(loss.reason, DownReason::Closed) {
            self.shared.stats.losses.bump();
            if let Some(metrics) = &self.settings.config.metrics {
                metrics.lost(&error);
            }
            tracing::warn!(target: "tickwire::ws", host = %self.settings.endpoint.host, %error, "lost");
        }
        if self.reopens && !self.has_link {
            self.reopens = false;
            self.open();
        } else if self.phase != Phase::Ended && !self.reopens {
            self.after_loss(loss, error);
        }
        self.publish();
    }

    pub(crate) fn handle_timeout(&mut self, now: Nanos) {
        let timeout = nanos(self.settings.config.request_timeout);
        let late = self.pending.handle_timeout(now, timeout);
        if late > 0 {
            self.shared.stats.timeouts.add(late as u64);
            tracing::warn!(target: "tickwire::ws", requests = late, "timed out");
            if let Some(metrics) = &self.settings.config.metrics {
                metrics.timed_out(late);
            }
        }
        if matches!(self.phase, Phase::LoggingIn { deadline, .. } if deadline <= now) {
            self.cut(
                Error::Timeout(super::duration(timeout)),
                "the login has no answer",
            );
        }
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.handle_timeout(now);
        }
        if self.silence_deadline() <= now {
            let silence = self.settings.config.inbound_silence.unwrap_or(0);
            let error = Error::Mute(std::time::Duration::from_millis(silence));
            self.cut(error, "no message comes");
        }
        self.beat(now);
        self.pump(now);
    }

    /// When [`handle_timeout`](Session::handle_timeout) is wanted.
    pub(crate) fn deadline(&mut self) -> Nanos {
        let mut next = self.pending.deadline().min(self.silence_deadline());
        if let Some(heartbeat) = &self.heartbeat {
            next = next.min(heartbeat.deadline());
        }
        match &self.phase {
            Phase::LoggingIn { deadline, .. } if self.cut_why.is_none() => {
                next = next.min(*deadline);
            }
            Phase::Up => {
                if let Some(subscriptions) = &self.subscriptions {
                    next = next.min(subscriptions.deadline());
                }
                next = next.min(self.lanes.ready_at());
            }
            Phase::LoggingIn { .. } | Phase::Down | Phase::Ended => {}
        }
        next
    }

    /// The loop ends.
    pub(crate) fn handle_stop(&mut self) {
        self.forget_connection();
        if self.phase != Phase::Ended {
            self.end(Error::LoopEnded);
        }
    }

    fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::LoggingIn { .. } | Phase::Up)
    }

    fn error_of(&self, reason: &DownReason) -> Error {
        let fatal = &self.settings.config.fatal_close_codes;
        Error::of(reason, |code, text| {
            let dialect = self.settings.dialect.as_ref();
            let known = dialect.and_then(|dialect| dialect.close_class(code, text));
            known.unwrap_or(match code {
                Some(code) if fatal.contains(&code) => Class::Fatal,
                _ => Class::Recoverable,
            })
        })
    }

    fn after_loss(&mut self, loss: LinkLoss<'_>, error: Error) {
        self.phase = Phase::Down;
        if matches!(error, Error::Protocol(_) | Error::MessageTooLarge { .. }) {
            self.give(Message::ProtocolError(error.clone()));
        }
        match loss.retry_in_ns {
            None if self.is_closed => self.end(Error::Closed),
            None if !error.is_recoverable() => self.end(error),
            None => {
                let attempts = self.settings.config.retry_count.max(1);
                let last = Box::new(error);
                self.end(Error::GaveUp { attempts, last });
            }
            Some(_) if !error.is_recoverable() => self.end(error),
            Some(_) if loss.was_up && !self.settings.config.reconnect_on_error => self.end(error),
            Some(wait) => {
                self.shared.set_state(State::Connecting);
                if loss.was_up {
                    let retry_in = super::duration(wait);
                    self.give(Message::Disconnected { error, retry_in });
                }
            }
        }
    }

    /// Nothing of a connection outlives it: who waits is told, and nothing waits to be sent.
    fn forget_connection(&mut self) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.stop();
        }
        self.pending.fail_all(&Error::Disconnected);
        let unsent = self.lanes.clear();
        (0..unsent).for_each(|_| self.shared.sent());
        self.shared.stats.unsent.add(unsent as u64);
        let keeps = self.settings.config.restore_subscriptions && !self.is_closed;
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.handle_loss(keeps);
        }
        if self.is_connected() {
            self.phase = Phase::Down;
        }
    }

    /// Stops. The link, where there is still one, is let go.
    fn end(&mut self, error: Error) {
        self.forget_connection();
        self.phase = Phase::Ended;
        if self.has_link {
            self.outputs.push_back(Output::Close);
        }
        self.give(Message::Closed(error.clone()));
        self.shared.set_end(error);
        self.publish();
    }

    fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.reopens = false;
        if self.phase != Phase::Ended {
            self.end(Error::Closed);
        }
    }

    /// A new connection at once, whatever there was; also after the client has given up.
    fn reconnect(&mut self) {
        if self.is_closed {
            return;
        }
        self.shared.set_state(State::Connecting);
        if self.has_link {
            self.reopens = true;
            self.outputs.push_back(Output::Close);
        } else {
            self.open();
        }
    }

    fn open(&mut self) {
        self.phase = Phase::Down;
        self.has_link = true;
        self.outputs.push_back(Output::Open);
    }

    /// Cuts the connection, which the engine makes anew.
    fn cut(&mut self, error: Error, why: &'static str) {
        if self.is_connected() && self.cut_why.is_none() {
            self.cut_why = Some(error);
            self.outputs.push_back(Output::Reconnect(why));
        }
    }

    /// The connection can be used.
    fn ready(&mut self, now: Nanos) {
        self.phase = Phase::Up;
        self.shared.set_state(State::Connected);
        if self.connections > 1 {
            let connection = self.connections;
            self.give(Message::Reconnected { connection });
        }
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.restore(now);
        }
    }

    fn start_heartbeat(&mut self, now: Nanos) {
        if let Some(heartbeat) = &mut self.heartbeat
            && !heartbeat.health().is_active
        {
            heartbeat.start(now);
        }
    }

    fn beat(&mut self, now: Nanos) {
        let Some(heartbeat) = &mut self.heartbeat else {
            return;
        };
        match heartbeat.handle_timeout(now) {
            Some(Beat::Ping(payload)) => self.put(now, OpCode::Ping, payload.to_vec()),
            Some(Beat::Text) => self.send_heartbeat_text(now),
            Some(Beat::Dead(missed)) => {
                self.cut(Error::HeartbeatMissed(missed), "heartbeats have no answer");
            }
            None => {}
        }
    }

    fn send_heartbeat_text(&mut self, now: Nanos) {
        let Some(heartbeat) = &self.heartbeat else {
            return;
        };
        let text = match heartbeat.config().kind {
            HeartbeatType::Custom => heartbeat.config().message.clone().unwrap_or_default(),
            _ => super::heartbeat::DERIBIT_TEST.to_owned(),
        };
        self.put_own(now, text);
    }

    fn beaten(&mut self, round_trip: Nanos) {
        if let Some(metrics) = &self.settings.config.metrics {
            metrics.heartbeat(super::duration(round_trip));
        }
        tracing::trace!(target: "tickwire::ws", rtt_us = round_trip.0 / 1_000, "heartbeat answered");
    }

    fn silence_deadline(&self) -> Nanos {
        match self.settings.config.inbound_silence {
            Some(silence) if self.is_connected() && self.cut_why.is_none() => {
                self.last_message + nanos(silence)
            }
            _ => Nanos::MAX,
        }
    }

    fn tell_restored(&mut self, restored: Restored) {
        let Restored { result, took } = restored;
        if let Some(metrics) = &self.settings.config.metrics {
            metrics.restored(&result, super::duration(took));
        }
        tracing::info!(
            target: "tickwire::ws",
            accepted = result.accepted.len(),
            refused = result.refused.len(),
            unanswered = result.unanswered.len(),
            "restored"
        );
        self.give(Message::Restored(result));
    }

    fn give(&mut self, message: Message) {
        self.delivery.give(&self.shared, message);
    }

    fn record(&mut self, write: impl FnOnce(&mut Recorder) -> bool) {
        if let Some(recorder) = &mut self.recorder
            && !write(recorder)
        {
            self.shared.stats.unrecorded.bump();
        }
    }

    /// What other threads read.
    fn publish(&mut self) {
        let stats = &self.shared.stats;
        stats.pending.set(self.pending.len() as u64);
        stats.queued.set(self.lanes.len() as u64);
        if let Some(subscriptions) = &self.subscriptions {
            stats.subscriptions.set(subscriptions.len() as u64);
        }
        if let Some(heartbeat) = &self.heartbeat {
            stats.set_heartbeat(heartbeat.health());
        }
    }
}
