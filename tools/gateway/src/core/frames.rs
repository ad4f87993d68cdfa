//! Frames of clients: requests to their methods, subscriptions to the hub.

use serde::Serialize;
use serde_json::{Value, json};
use tickwire::Nanos;

use super::conn::Cursor;
use super::{Close, Core};
use crate::auth::Identity;
use crate::feed::{FeedError, Part};
use crate::hub::ChannelId;
use crate::market::{MarketKey, OpenError};
use crate::protocol::{
    Call, Channel, ChannelAt, ClientFrame, Code, ErrorBody, MarketPart, OrdersSnapshot, Position,
    ProjectSnapshot, RequestFrame, Scope, SessionStatus, Subscribed, SystemSnapshot, UserSnapshot,
    response,
};

/// The pong of `{"type":"ping"}`.
const PONG: &str = r#"{"type":"pong"}"#;

/// Sessions in the snapshot of a project.
const SESSIONS_SHOWN: usize = 100;

/// What a method gives: its result, or that the answer comes later.
pub(super) enum Answer {
    Now(Value),
    Later,
}

pub(super) type Outcome = Result<Answer, ErrorBody>;

/// The result of a method as its answer.
pub(super) fn answer(result: &impl Serialize) -> Outcome {
    serde_json::to_value(result)
        .map(Answer::Now)
        .map_err(|error| ErrorBody::new(Code::InternalError, error.to_string()))
}

impl Core {
    /// A text frame came.
    pub(crate) fn text(&mut self, index: usize, text: &str, now: Nanos) {
        self.now = now;
        let limits = self.config.limits.clone();
        let Some(conn) = self.conn_mut(index) else {
            return;
        };
        if conn.closing.is_some() {
            return;
        }
        conn.heard_at = now;
        let allowance = conn.take_frame(&limits, now);
        self.telemetry.frames_in += 1;
        let frame = ClientFrame::parse(text);
        if let Err(wait) = allowance {
            self.telemetry.rate_limited += 1;
            let wait_ms = wait.as_millis().unsigned_abs() + 1;
            let error = ErrorBody::new(Code::RateLimited, "too many frames").after_ms(wait_ms);
            let id = match &frame {
                Ok(ClientFrame::Request(request)) => Some(request.id.to_string()),
                Ok(ClientFrame::Subscribe(frame) | ClientFrame::Unsubscribe(frame)) => {
                    frame.id.as_ref().map(|id| id.to_string())
                }
                Ok(ClientFrame::Ping) => None,
                Err(error) => error.id.clone(),
            };
            self.reply(index, response(id.as_deref(), Err(&error)));
            return;
        }
        match frame {
            Ok(frame) => {
                if let Some(conn) = self.conn_mut(index) {
                    conn.bad_in_row = 0;
                }
                self.frame(index, frame);
            }
            Err(fault) => self.bad_frame(index, fault.id.as_deref(), &fault.error),
        }
    }

    /// A binary frame came.
    pub(crate) fn binary(&mut self, index: usize, now: Nanos) {
        self.heard(index, now);
        let error = ErrorBody::new(Code::ParseError, "frames are JSON text");
        self.bad_frame(index, None, &error);
    }

    fn bad_frame(&mut self, index: usize, id: Option<&str>, error: &ErrorBody) {
        self.telemetry.bad_frames += 1;
        self.reply(index, response(id, Err(error)));
        let bad_frames_max = self.config.limits.bad_frames_max;
        let Some(conn) = self.conn_mut(index) else {
            return;
        };
        conn.bad_in_row += 1;
        if conn.bad_in_row >= bad_frames_max {
            self.close(index, Close::BadProtocol);
        }
    }

    fn frame(&mut self, index: usize, frame: ClientFrame) {
        match frame {
            ClientFrame::Ping => self.reply(index, PONG.to_owned()),
            ClientFrame::Request(request) => self.request(index, request),
            ClientFrame::Subscribe(frame) => {
                let results: Vec<Subscribed> = frame
                    .channels
                    .into_iter()
                    .map(|channel| self.subscribe(index, channel))
                    .collect();
                // Without an id, what went wrong is told all the same: with no id to match.
                if let Some(id) = frame.id {
                    let result = json!({ "channels": results });
                    self.reply(index, response(Some(&*id), Ok(&result)));
                } else {
                    for result in results {
                        if let Some(error) = result.error {
                            let error = error.with(json!({ "channel": result.channel }));
                            self.reply(index, response(None, Err(&error)));
                        }
                    }
                }
            }
            ClientFrame::Unsubscribe(frame) => {
                let mut results = Vec::new();
                for channel in frame.channels {
                    let (name, _) = channel.parts();
                    results.push(json!({ "channel": name.clone() }));
                    if let Ok(channel) = name.parse::<Channel>()
                        && let Some(id) = self.hub.find(&channel.to_string())
                    {
                        self.unsubscribe(index, id);
                    }
                }
                if let Some(id) = frame.id {
                    let result = json!({ "channels": results });
                    self.reply(index, response(Some(&*id), Ok(&result)));
                }
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, index: usize, channel: ChannelId) {
        self.hub.detach(channel, index);
        if let Some(conn) = self.conn_mut(index) {
            conn.cursors.remove(&channel);
        }
    }

    fn request(&mut self, index: usize, request: RequestFrame) {
        let requests_max = self.config.limits.requests_max;
        let id = request.id.into_string();
        let Some(conn) = self.conn_mut(index) else {
            return;
        };
        let refused = if conn.in_flight.contains(&id) {
            Some(ErrorBody::new(
                Code::DuplicateId,
                format!("{id:?} is under way"),
            ))
        } else if conn.in_flight.len() >= requests_max {
            let words = format!("{requests_max} requests are under way");
            Some(ErrorBody::new(Code::LimitExceeded, words))
        } else {
            None
        };
        if let Some(error) = refused {
            return self.reply(index, response(Some(&id), Err(&error)));
        }
        let identity = conn.identity.clone();
        let started = self.telemetry.start();
        let outcome = Call::parse(&request.method, request.params).and_then(|call| {
            let scope = call.scope();
            if !identity.may(scope) {
                let words = format!("{} needs the scope {}", call.method(), scope.as_str());
                return Err(ErrorBody::new(Code::Forbidden, words));
            }
            self.call(index, &id, &identity, call)
        });
        match outcome {
            Ok(Answer::Now(result)) => self.reply(index, response(Some(&id), Ok(&result))),
            Ok(Answer::Later) => {
                if let Some(conn) = self.conn_mut(index) {
                    conn.in_flight.insert(id);
                }
            }
            Err(error) => {
                self.telemetry.error(error.code);
                self.reply(index, response(Some(&id), Err(&error)));
            }
        }
        self.telemetry.answered(started);
    }

    /// Answers a request that was under way.
    pub(super) fn late(&mut self, index: usize, id: &str, outcome: Result<&Value, &ErrorBody>) {
        if let Some(conn) = self.conn_mut(index) {
            conn.in_flight.remove(id);
        }
        self.reply(index, response(Some(id), outcome));
    }

    fn call(&mut self, index: usize, id: &str, identity: &Identity, call: Call) -> Outcome {
        match call {
            Call::SessionsCreate(params) => self.sessions_create(identity, params),
            Call::SessionsList(params) => self.sessions_list(identity, &params),
            Call::SessionsGet(params) => self.sessions_get(identity, &params),
            Call::SessionsArchive(params) => self.sessions_archive(identity, &params),
            Call::MessagesSend(params) => self.messages_send(identity, params),
            Call::MessagesCancel(params) => self.messages_cancel(identity, &params),
            Call::MessagesRetry(params) => self.messages_retry(identity, &params),
            Call::AgentsList(params) => self.agents_list(identity, &params),
            Call::AgentsGet(params) => self.agents_get(&params),
            Call::ToolsList(params) => self.tools_list(identity, &params),
            Call::ToolsApprove(params) => self.tools_approve(identity, &params),
            Call::ToolsReject(params) => self.tools_reject(identity, &params),
            Call::TodosGet(params) => self.todos_get(identity, &params),
            Call::TodosUpdate(params) => self.todos_update(identity, params),
            Call::MarketsList(params) => self.markets_list(&params),
            Call::BooksGet(params) => self.books_get(index, id, &params),
            Call::OrdersList(params) => self.orders_list(identity, &params),
            Call::OrdersCancel(params) => self.orders_cancel(identity, &params),
            Call::OrdersCancelAll(params) => self.orders_cancel_all(identity, &params),
            Call::PositionsList(params) => self.positions_list(identity, &params),
            Call::SystemKill(params) => self.system_kill(&params),
            Call::SystemResume(params) => self.system_resume(&params),
            Call::SystemStats(_) => self.system_stats(),
            Call::AuthRefresh(params) => self.auth_refresh(index, identity, &params.token),
        }
    }

    fn auth_refresh(&mut self, index: usize, old: &Identity, token: &str) -> Outcome {
        let identity = self.auth.token(token, self.now)?;
        if identity.user != old.user {
            let words = "the token is another user's";
            return Err(ErrorBody::new(Code::AuthInvalid, words));
        }
        let result = crate::protocol::Refreshed {
            expires_at: identity.expires.map(Nanos::as_millis),
            scopes: identity.scope_names(),
        };
        // What the new token does not cover is not told any more.
        let held: Vec<ChannelId> = self
            .conn(index)
            .map(|conn| conn.cursors.keys().copied().collect())
            .unwrap_or_default();
        for id in held {
            let channel = self.channels.get(&id).map(|shown| shown.channel.clone());
            if channel.is_some_and(|channel| self.may_see(&identity, &channel).is_err()) {
                self.unsubscribe(index, id);
            }
        }
        if let Some(conn) = self.conn_mut(index) {
            conn.identity = identity;
        }
        answer(&result)
    }

    /// Whether a channel may be seen.
    fn may_see(&self, identity: &Identity, channel: &Channel) -> Result<(), ErrorBody> {
        let forbidden = |words: &str| Err(ErrorBody::new(Code::Forbidden, words));
        if !identity.may(Scope::Read) {
            return forbidden("channels need the scope read");
        }
        match channel {
            Channel::Session(id) => self.run(identity, id).map(|_| ()),
            Channel::Project(project) | Channel::Orders(project) => {
                if identity.may_on(project) {
                    Ok(())
                } else {
                    forbidden("the token does not cover this project")
                }
            }
            Channel::User(user) if *user != identity.user => forbidden("another user's channel"),
            _ => Ok(()),
        }
    }

    /// Subscribes one channel: the position, the snapshot and what follows are joined here, where nothing
    /// else happens in between.
    fn subscribe(&mut self, index: usize, channel: ChannelAt) -> Subscribed {
        let (name, since) = channel.parts();
        let mut subscribed = Subscribed {
            channel: name,
            epoch: None,
            offset: None,
            recovered: None,
            snapshot: None,
            error: None,
        };
        match self.attach(index, &subscribed.channel, since.as_ref()) {
            Ok((at, snapshot)) => {
                subscribed.epoch = Some(at.epoch);
                subscribed.offset = Some(at.offset);
                subscribed.recovered = Some(snapshot.is_none());
                subscribed.snapshot = snapshot;
            }
            Err(error) => {
                self.telemetry.error(error.code);
                subscribed.error = Some(error);
            }
        }
        subscribed
    }

    fn attach(
        &mut self,
        index: usize,
        name: &str,
        since: Option<&Position>,
    ) -> Result<(Position, Option<Value>), ErrorBody> {
        let channel: Channel = name.parse().map_err(|error: crate::protocol::BadChannel| {
            ErrorBody::field("channels", error.to_string())
        })?;
        let identity = self
            .conn(index)
            .map(|conn| conn.identity.clone())
            .ok_or_else(|| ErrorBody::new(Code::Cancelled, "the connection is gone"))?;
        self.may_see(&identity, &channel)?;
        let canonical = channel.to_string();
        let channels_max = self.config.limits.channels_max;
        let is_held = |core: &Core, id: Option<ChannelId>| {
            let held = core.conn(index).map(|conn| &conn.cursors);
            id.is_some_and(|id| held.is_some_and(|held| held.contains_key(&id)))
        };
        let held = self.conn(index).map_or(0, |conn| conn.cursors.len());
        if held >= channels_max && !is_held(self, self.hub.find(&canonical)) {
            let words = format!("{channels_max} channels a connection");
            return Err(ErrorBody::new(Code::LimitExceeded, words));
        }
        let id = self.open_channel(&channel)?;
        let head = self
            .hub
            .position(id)
            .ok_or_else(|| ErrorBody::new(Code::InternalError, "the channel did not open"))?;
        if since.is_some_and(|since| since.epoch == head.epoch && since.offset > head.offset) {
            let words = "the offset is beyond the channel's last event";
            return Err(ErrorBody::new(Code::UnrecoverablePosition, words)
                .with(json!({ "epoch": head.epoch, "offset": head.offset })));
        }
        let recovered = since.filter(|since| self.hub.recovers(id, since)).cloned();
        let (at, snapshot) = match recovered {
            Some(since) => (since, None),
            None => {
                let snapshot = self.snapshot(&identity, &channel, id)?;
                (head, Some(snapshot))
            }
        };
        self.hub.attach(id, index);
        let is_control = channel.is_control();
        if let Some(conn) = self.conn_mut(index) {
            // A channel that is subscribed again goes on from the new position alone.
            conn.control.retain(|other| *other != id);
            conn.data.retain(|other| *other != id);
            let cursor = Cursor {
                sent: at.offset,
                is_control,
                waits: false,
            };
            conn.cursors.insert(id, cursor);
            conn.wake(id);
        }
        self.mark_ready(index);
        Ok((at, snapshot))
    }

    fn open_channel(&mut self, channel: &Channel) -> Result<ChannelId, ErrorBody> {
        let Channel::Market {
            venue,
            market,
            symbol,
            part,
        } = channel
        else {
            return Ok(self.channel(channel));
        };
        let key = MarketKey {
            venue: venue.clone(),
            market: market.clone(),
            symbol: symbol.clone(),
        };
        let (part, depth) = match part {
            MarketPart::Book(depth) => (Part::Book, *depth),
            MarketPart::Trades => (Part::Trades, 0),
            MarketPart::Ticker => (Part::Ticker, 0),
        };
        let stream = self.open_stream(&key, part)?;
        let id = self.channel(channel);
        self.markets.show(stream, id, depth);
        if let Some(shown) = self.channels.get_mut(&id) {
            shown.stream = Some(stream);
        }
        Ok(id)
    }

    pub(super) fn open_stream(
        &mut self,
        key: &MarketKey,
        part: Part,
    ) -> Result<tickwire::StreamId, ErrorBody> {
        let now = self.now;
        self.markets
            .open(key, part, now)
            .map_err(|error| match error {
                OpenError::Feed(FeedError::Unknown(words)) => ErrorBody::new(Code::NotFound, words),
                OpenError::Feed(FeedError::Busy(words)) => {
                    ErrorBody::new(Code::Busy, words).after_ms(100)
                }
                OpenError::TooMany => {
                    ErrorBody::new(Code::LimitExceeded, "too many streams are open")
                }
            })
    }

    /// The state at the head of a channel.
    fn snapshot(
        &mut self,
        identity: &Identity,
        channel: &Channel,
        id: ChannelId,
    ) -> Result<Value, ErrorBody> {
        let stream = self.channels.get(&id).and_then(|shown| shown.stream);
        let value = match channel {
            Channel::Session(session) => {
                let detail = self.session_detail(session, 50)?;
                serde_json::to_value(detail)
            }
            Channel::Project(project) => {
                let runs = self.runs.values().rev();
                let active = runs.filter(|run| {
                    run.session.project_id == *project
                        && run.session.status == SessionStatus::Active
                });
                serde_json::to_value(ProjectSnapshot {
                    sessions: active
                        .take(SESSIONS_SHOWN)
                        .map(|run| run.session.clone())
                        .collect(),
                    pending_approvals: self.pending(|call| call.project_id == *project),
                })
            }
            Channel::User(_) => serde_json::to_value(UserSnapshot {
                pending_approvals: self.pending(|call| identity.may_on(&call.project_id)),
            }),
            Channel::Orders(project) => serde_json::to_value(OrdersSnapshot {
                orders: self.orders_of(project),
                positions: self.positions_of(project),
            }),
            Channel::Venue(venue) => serde_json::to_value(self.venues.get(venue)),
            Channel::System => serde_json::to_value(SystemSnapshot {
                halted: self.halted.clone(),
                agents: self.agents(),
            }),
            Channel::Market { part, .. } => match (part, stream) {
                (MarketPart::Book(_), Some(stream)) => {
                    serde_json::to_value(self.markets.snapshot(stream, id))
                }
                (MarketPart::Trades, Some(stream)) => {
                    serde_json::to_value(self.markets.trades(stream))
                }
                (MarketPart::Ticker, Some(stream)) => {
                    serde_json::to_value(self.markets.ticker(stream))
                }
                (_, None) => Ok(Value::Null),
            },
        };
        value.map_err(|error| ErrorBody::new(Code::InternalError, error.to_string()))
    }
}
