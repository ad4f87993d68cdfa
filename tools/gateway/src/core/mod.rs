//! The gateway without its sockets: frames and time in, frames and close codes out.
//!
//! ```text
//! open, text, closed, tick, turn  ->  Core  ->  settle (store, then dispatch)  ->  next
//! ```
//!
//! Nothing is read with [`Core::next`] before [`Core::settle`] has written what it tells of.

mod answers;
mod approvals;
mod conn;
mod frames;
mod sessions;
mod telemetry;
mod trading;

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::{Map, Value};
use tickwire::operator::{ReplyId, RunId};
use tickwire::{Nanos, StreamId};
use tungstenite::Utf8Bytes;

use crate::auth::{Auth, Grant, Identity, NoRandomness, Secret, TicketError, TokenRecord};
use crate::config::Config;
use crate::crew::Crew;
use crate::desk::Desk;
use crate::feed::Feed;
use crate::hub::{self, ChannelId, Hub, Keep, Next};
use crate::ids::Ids;
use crate::market::Markets;
use crate::protocol::{
    Channel, Connected, EventData, Mode, PROTOCOL, Position, Session, Todo, VenueEvent, VenueStatus,
};
use crate::store::{Store, StoreError, Write};
use answers::Answering;
use approvals::Held;
pub(crate) use approvals::side_of;
pub use conn::Close;
use conn::Conn;
pub(crate) use telemetry::Telemetry;

/// A stored channel that nobody reads leaves memory after this time.
const CHANNEL_IDLE: Nanos = Nanos::from_secs(60);

/// What is to be sent on a connection next.
#[derive(Debug, PartialEq)]
pub(crate) enum Out {
    Text(Utf8Bytes),
    Ping,
    Close(Close),
}

/// The desks.
pub struct Desks {
    /// For sessions in mode live, each with the accounts of other projects; without one there are none.
    pub live: Vec<Box<dyn Desk>>,
    /// For sessions in mode paper.
    pub paper: Box<dyn Desk>,
    /// For sessions in mode replay; without one there are none.
    pub replay: Option<Box<dyn Desk>>,
}

impl std::fmt::Debug for Desks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desks")
            .field("live", &self.live.len())
            .finish_non_exhaustive()
    }
}

impl Desks {
    /// For paper trading alone.
    pub fn paper(desk: impl Desk + 'static) -> Desks {
        Desks {
            live: Vec::new(),
            paper: Box::new(desk),
            replay: None,
        }
    }

    /// Adds a desk whose market is a recording: [`PaperDesk::replaying`](crate::PaperDesk::replaying) over the
    /// feed of an engine that is given one.
    #[must_use]
    pub fn replay(mut self, desk: impl Desk + 'static) -> Desks {
        self.replay = Some(Box::new(desk));
        self
    }

    /// Adds a desk for live orders.
    #[must_use]
    pub fn live(mut self, desk: impl Desk + 'static) -> Desks {
        self.live.push(Box::new(desk));
        self
    }

    /// The desk on which a project's sessions of a mode trade.
    fn of(&mut self, mode: Mode, project: &str) -> Option<&mut dyn Desk> {
        let desk = match mode {
            Mode::Live => self.live.iter_mut().find(|desk| desk.serves(project))?,
            Mode::Paper => &mut self.paper,
            Mode::Replay => self.replay.as_mut()?,
        };
        Some(desk.as_mut())
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Box<dyn Desk>> {
        let replay = self.replay.iter_mut();
        self.live.iter_mut().chain([&mut self.paper]).chain(replay)
    }

    fn each(&self) -> impl Iterator<Item = &dyn Desk> {
        let live = self.live.iter().map(Box::as_ref);
        let replay = self.replay.iter().map(Box::as_ref);
        live.chain([self.paper.as_ref()]).chain(replay)
    }
}

/// A run of a strategy, with what belongs to it.
#[derive(Debug)]
struct Run {
    session: Session,
    /// Who created it: approvals are told to this user too.
    creator: String,
    params: Map<String, Value>,
    todos: Vec<Todo>,
    todo_version: u64,
    run: RunId,
    /// The number of the next message.
    next_message: u64,
    answering: Option<Answering>,
}

/// The part of a run that is stored.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct RunRecord {
    session: Session,
    creator: String,
    params: Map<String, Value>,
    todos: Vec<Todo>,
    todo_version: u64,
}

/// A `books.get` that waits for its book.
#[derive(Debug)]
struct BookWanted {
    conn: usize,
    id: String,
    stream: StreamId,
    depth: usize,
    asked_at: Nanos,
}

/// The whole gateway.
#[derive(Debug)]
pub(crate) struct Core {
    config: Config,
    pub(crate) auth: Auth,
    store: Store,
    hub: Hub,
    /// Channels of the hub by their number.
    channels: HashMap<ChannelId, Shown>,
    markets: Markets,
    desks: Desks,
    crew: Crew,
    ids: Ids,
    boot: String,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    ready: VecDeque<usize>,
    /// By id; those that are archived too.
    runs: BTreeMap<String, Run>,
    by_reply: HashMap<ReplyId, String>,
    last_number: u64,
    calls: HashMap<String, Held>,
    /// Calls by the client order id, the oldest first in `recent`.
    by_order: HashMap<String, String>,
    recent: VecDeque<String>,
    /// Approved and stored; to be sent.
    to_dispatch: VecDeque<String>,
    books_wanted: Vec<BookWanted>,
    venues: BTreeMap<String, VenueEvent>,
    /// What each desk says of each part of a venue.
    venue_parts: BTreeMap<String, VenueParts>,
    halted: Option<String>,
    now: Nanos,
    swept_at: Nanos,
    fatal: Option<StoreError>,
    pub(crate) telemetry: Telemetry,
}

/// How the parts of a venue are and why, by the desk's number and the part's name.
type VenueParts = BTreeMap<(usize, String), (VenueStatus, Option<String>)>;

#[derive(Debug)]
struct Shown {
    channel: Channel,
    stream: Option<StreamId>,
    used_at: Nanos,
}

impl Core {
    pub(crate) fn new(
        config: Config,
        desks: Desks,
        crew: Crew,
        feed: Box<dyn Feed>,
        now: Nanos,
    ) -> Result<Core, StoreError> {
        let store = Store::open(config.store.as_deref())?;
        let tokens: Vec<(String, TokenRecord)> = store.entities("token")?;
        let limits = &config.limits;
        let keep = Keep {
            events_max: limits.log_events_max,
            bytes_max: limits.log_bytes_max,
            merge_after: limits.merge_after,
        };
        let streams_max = limits.streams_max;
        let mut ids = Ids::new(config.seed ^ now.0 as u64);
        let boot = ids.draw("boot", now);
        let mut core = Core {
            auth: Auth::load(tokens.into_iter().map(|(_, record)| record)),
            halted: store.entity("switch", "halted")?.flatten(),
            config,
            store,
            hub: Hub::new(keep),
            channels: HashMap::new(),
            markets: Markets::new(feed, streams_max),
            desks,
            crew,
            ids,
            boot,
            conns: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            runs: BTreeMap::new(),
            by_reply: HashMap::new(),
            last_number: 0,
            calls: HashMap::new(),
            by_order: HashMap::new(),
            recent: VecDeque::new(),
            to_dispatch: VecDeque::new(),
            books_wanted: Vec::new(),
            venues: BTreeMap::new(),
            venue_parts: BTreeMap::new(),
            now,
            swept_at: now,
            fatal: None,
            telemetry: Telemetry::default(),
        };
        if let Some(reason) = core.halted.clone() {
            for desk in core.desks.all() {
                desk.kill(&reason, now);
            }
        }
        core.restore()?;
        core.settle()?;
        Ok(core)
    }

    // Tokens.

    /// Makes a token and stores what is to be kept of it.
    pub(crate) fn issue(&mut self, grant: Grant) -> Result<Secret, NoRandomness> {
        let (secret, record) = self.auth.issue(grant)?;
        self.store.put_entity("token", &record.id, &record);
        Ok(secret)
    }

    pub(crate) fn ticket(
        &mut self,
        token: &Secret,
        now: Nanos,
    ) -> Option<Result<Secret, TicketError>> {
        let identity = self.auth.token(token.expose(), now).ok()?;
        Some(self.auth.ticket(identity, now))
    }

    /// Revokes a token and closes whoever came by it.
    pub(crate) fn revoke(&mut self, token: &str) {
        if let Some(record) = self.auth.revoke(token) {
            self.store.put_entity("token", &record.id, &record);
        }
        for conn in 0..self.conns.len() {
            if self
                .conn(conn)
                .is_some_and(|conn| conn.identity.token == token)
            {
                self.close(conn, Close::Revoked);
            }
        }
    }

    // Connections.

    /// Whether one more connection of this user may come.
    pub(crate) fn has_room(&self, user: &str) -> bool {
        let limits = &self.config.limits;
        let open = self.conns.iter().flatten();
        let (mut all, mut own) = (0, 0);
        for conn in open {
            all += 1;
            own += usize::from(conn.identity.user == user);
        }
        all < limits.connections_max && own < limits.connections_per_user_max
    }

    /// A connection is upgraded.
    pub(crate) fn open(&mut self, identity: Identity, now: Nanos) -> usize {
        self.now = now;
        let name = self.ids.draw("conn", now);
        let limits = &self.config.limits;
        // Spread, or a thousand that came at once are pinged at once for ever.
        let spread = self.ids.chance().i64(0..=limits.ping.0.max(1));
        let ping_at = now + Nanos(spread);
        let connected = EventData::Connected(Connected {
            connection_id: name.clone(),
            user_id: identity.user.clone(),
            scopes: identity.scope_names(),
            protocol: PROTOCOL,
            server_time: now.as_millis(),
            ping_ms: limits.ping.as_millis().unsigned_abs(),
            expires_at: identity.expires.map(Nanos::as_millis),
            boot_id: self.boot.clone(),
        });
        let mut conn = Conn::new(name, identity, limits, ping_at, now);
        let system = self.channel(&Channel::System);
        if let Some(at) = self.hub.position(system) {
            let (event, offset) = (connected.name(), at.offset);
            conn.push_reply(hub::event_frame(
                "system", event, &connected, &at.epoch, offset,
            ));
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.conns.push(None);
                self.conns.len() - 1
            }
        };
        if let Some(slot) = self.conns.get_mut(index) {
            *slot = Some(conn);
        }
        self.telemetry.opened += 1;
        self.mark_ready(index);
        index
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self, index: usize) {
        let Some(conn) = self.conns.get_mut(index).and_then(Option::take) else {
            return;
        };
        for channel in conn.cursors.keys() {
            self.hub.detach(*channel, index);
        }
        self.books_wanted.retain(|wanted| wanted.conn != index);
        self.free.push(index);
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    fn conn(&self, index: usize) -> Option<&Conn> {
        self.conns.get(index)?.as_ref()
    }

    fn conn_mut(&mut self, index: usize) -> Option<&mut Conn> {
        self.conns.get_mut(index)?.as_mut()
    }

    /// Something was heard of a connection: a pong.
    pub(crate) fn heard(&mut self, index: usize, now: Nanos) {
        if let Some(conn) = self.conn_mut(index) {
            conn.heard_at = now;
        }
    }

    /// The socket of a connection takes nothing just now, or takes again.
    pub(crate) fn set_blocked(&mut self, index: usize, is_blocked: bool, now: Nanos) {
        if let Some(conn) = self.conn_mut(index) {
            conn.blocked_since = match (is_blocked, conn.blocked_since) {
                (false, _) => None,
                (true, None) => Some(now),
                (true, since) => since,
            };
        }
    }

    /// Ends a connection: what waits is dropped, and only the close frame goes out.
    pub(crate) fn close(&mut self, index: usize, why: Close) {
        let Some(conn) = self.conn_mut(index) else {
            return;
        };
        if conn.closing.is_some() {
            return;
        }
        conn.closing = Some(why);
        conn.drop_all();
        let name = conn.name.clone();
        let channels: Vec<ChannelId> = conn.cursors.drain().map(|(channel, _)| channel).collect();
        for channel in channels {
            self.hub.detach(channel, index);
        }
        self.telemetry.closed(why);
        tracing::info!(connection = name, code = why.code(), "closing a connection");
        self.mark_ready(index);
    }

    fn mark_ready(&mut self, index: usize) {
        if let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut)
            && !conn.is_ready
            && conn.has_work()
        {
            conn.is_ready = true;
            self.ready.push_back(index);
        }
    }

    /// More is to be sent than fits a turn.
    pub(crate) fn not_done(&mut self, index: usize) {
        self.mark_ready(index);
    }

    /// How many connections have something to send.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The next connection that has something to send.
    pub(crate) fn next_ready(&mut self) -> Option<usize> {
        while let Some(index) = self.ready.pop_front() {
            if let Some(conn) = self.conn_mut(index) {
                conn.is_ready = false;
                return Some(index);
            }
        }
        None
    }

    /// What is to be sent on a connection next: answers, then the control lane, then the data lane.
    pub(crate) fn next(&mut self, index: usize) -> Option<Out> {
        let conn = self.conns.get_mut(index)?.as_mut()?;
        if let Some(why) = conn.closing {
            let is_told = std::mem::replace(&mut conn.close_told, true);
            return (!is_told).then_some(Out::Close(why));
        }
        if std::mem::take(&mut conn.ping_due) {
            return Some(Out::Ping);
        }
        if let Some(text) = conn.pop_reply() {
            return Some(Out::Text(text));
        }
        loop {
            let conn = self.conns.get_mut(index)?.as_mut()?;
            let lane = if conn.control.is_empty() {
                &mut conn.data
            } else {
                &mut conn.control
            };
            let channel = lane.pop_front()?;
            let Some(cursor) = conn.cursors.get_mut(&channel) else {
                continue;
            };
            cursor.waits = false;
            let shown = self.channels.get(&channel);
            let stream = shown.and_then(|shown| shown.stream);
            let markets = &mut self.markets;
            let state = || {
                let book = markets.snapshot(stream?, channel)?;
                Some(EventData::BookSnapshot(book))
            };
            match self.hub.next(channel, cursor.sent, state) {
                Next::Frame { frame, offset } => {
                    cursor.sent = offset;
                    // Behind the others of its lane; it leaves the lane where nothing more is there.
                    conn.wake(channel);
                    return Some(Out::Text(frame));
                }
                Next::Done => {}
                Next::Behind => {
                    self.close(index, Close::Slow);
                    return self.next(index);
                }
            }
        }
    }

    fn reply(&mut self, index: usize, text: String) {
        let queue_bytes_max = self.config.limits.queue_bytes_max;
        let Some(conn) = self.conn_mut(index) else {
            return;
        };
        if conn.closing.is_some() {
            return;
        }
        conn.push_reply(text.into());
        if conn.reply_bytes() > queue_bytes_max {
            self.close(index, Close::Slow);
        } else {
            self.mark_ready(index);
        }
    }

    // Channels.

    /// The number of a channel; it is opened, with what the store has of it.
    fn channel(&mut self, channel: &Channel) -> ChannelId {
        let name = channel.to_string();
        let now = self.now;
        if let Some(id) = self.hub.find(&name) {
            if let Some(shown) = self.channels.get_mut(&id) {
                shown.used_at = now;
            }
            return id;
        }
        let (mut at, mut kept) = (None, Vec::new());
        if channel.is_stored() {
            // What waits in the batch belongs to what is read here.
            let read = self.store.commit().and_then(|()| {
                let head = self.store.head(&name)?;
                let events = self
                    .store
                    .events(&name, self.config.limits.log_events_max)?;
                Ok((head, events))
            });
            match read {
                Ok((head, events)) => {
                    at = head.map(|(epoch, offset)| Position { epoch, offset });
                    kept = events;
                }
                Err(error) => self.fatal = Some(error),
            }
        }
        let at = at.unwrap_or_else(|| {
            let epoch = self.ids.draw("e", now);
            if channel.is_stored() {
                self.store.put(Write::Head {
                    channel: name,
                    epoch: epoch.clone(),
                });
            }
            Position { epoch, offset: 0 }
        });
        let id = self
            .hub
            .open(channel, at, kept.into_iter().map(Utf8Bytes::from));
        let shown = Shown {
            channel: channel.clone(),
            stream: None,
            used_at: now,
        };
        self.channels.insert(id, shown);
        id
    }

    /// Tells an event on a channel.
    fn tell(&mut self, channel: &Channel, data: &EventData) {
        let id = self.channel(channel);
        self.publish(id, data);
        if channel.is_stored()
            && let Some(Position { epoch, offset }) = self.hub.position(id)
            && let Some(frame) = self.hub.newest(id)
        {
            self.store.put(Write::Event {
                channel: channel.to_string(),
                epoch,
                offset,
                frame: frame.as_bytes().to_vec(),
                forget: offset.saturating_sub(self.config.limits.log_events_max as u64),
            });
        }
    }

    fn publish(&mut self, id: ChannelId, data: &EventData) {
        self.hub.publish(id, data);
        for &reader in self.hub.readers(id) {
            if let Some(conn) = self.conns.get_mut(reader).and_then(Option::as_mut) {
                conn.wake(id);
                if !conn.is_ready {
                    conn.is_ready = true;
                    self.ready.push_back(reader);
                }
            }
        }
    }

    // Time and turns.

    /// Whether market data or orders are watched: then the rings are looked at often.
    pub(crate) fn is_watching(&self) -> bool {
        self.markets.len() > 0 || self.desks.each().any(|desk| desk.is_watched())
    }

    /// Takes what strategies, desks and the feed have. Gives whether there may be more at once.
    pub(crate) fn turn(&mut self, now: Nanos) -> bool {
        self.now = now;
        let more = self.hear_crew();
        self.hear_desks();
        let mut news = Vec::new();
        self.markets
            .turn(now, &mut |channel, data| news.push((channel, data)));
        for (channel, data) in news {
            self.publish(channel, &data);
        }
        self.answer_books();
        more
    }

    /// Looks after what time changes: pings, dead and slow clients, tokens, approvals. A few times a second.
    pub(crate) fn tick(&mut self, now: Nanos) {
        self.now = now;
        self.expire_calls();
        for index in 0..self.conns.len() {
            self.look_after(index);
        }
        if now.since(self.swept_at) >= Nanos::from_secs(1) && self.store.is_clean() {
            self.swept_at = now;
            self.sweep();
        }
    }

    fn look_after(&mut self, index: usize) {
        let (now, limits) = (self.now, &self.config.limits);
        let (ping, silence, stall) = (limits.ping, limits.silence, limits.stall);
        let queue_bytes_max = limits.queue_bytes_max as u64;
        let Some(conn) = self.conns.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if conn.closing.is_some() {
            return;
        }
        let behind = || {
            let lag =
                |(id, cursor): (&ChannelId, &conn::Cursor)| self.hub.lag_bytes(*id, cursor.sent);
            conn.cursors.iter().map(lag).sum::<u64>() > queue_bytes_max
        };
        let why = if conn.identity.is_expired(now) {
            Some(Close::TokenExpired)
        } else if conn
            .blocked_since
            .is_some_and(|since| now.since(since) >= stall)
            || behind()
        {
            Some(Close::Slow)
        } else if now.since(conn.heard_at) >= silence {
            Some(Close::NoPong)
        } else {
            None
        };
        if now >= conn.ping_at {
            conn.ping_at = now + ping;
            conn.ping_due = true;
        }
        match why {
            Some(why) => self.close(index, why),
            None => self.mark_ready(index),
        }
    }

    /// Only while nothing waits to be stored: what leaves memory is read from there again.
    fn sweep(&mut self) {
        let (now, hub) = (self.now, &self.hub);
        let closed = self
            .markets
            .sweep(now, |channel| !hub.readers(channel).is_empty());
        let idle = self.channels.iter().filter(|(id, shown)| {
            shown.channel.is_stored()
                && self.hub.readers(**id).is_empty()
                && now.since(shown.used_at) >= CHANNEL_IDLE
        });
        let idle: Vec<ChannelId> = idle.map(|(id, _)| *id).collect();
        for id in closed.into_iter().chain(idle) {
            self.hub.close(id);
            self.channels.remove(&id);
        }
    }

    /// Writes what happened, then sends the orders that were let out by it, until nothing is left.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            self.save_answers();
            self.store.commit()?;
            if let Some(error) = self.fatal.take() {
                return Err(error);
            }
            if self.to_dispatch.is_empty() {
                return Ok(());
            }
            let calls: Vec<String> = self.to_dispatch.drain(..).collect();
            let calls: Vec<String> = { calls.into_iter() }
                .filter(|call| self.let_out(call))
                .collect();
            // Whoever starts anew after this knows that they may have reached the venue.
            self.store.commit()?;
            for call in calls {
                self.dispatch(&call);
            }
        }
    }
}

#[cfg(test)]
mod tests;
