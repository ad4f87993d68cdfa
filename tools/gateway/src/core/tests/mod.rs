//! The whole gateway without sockets, in virtual time.

mod approvals;
mod books;
mod contract;
mod frames;
mod sync;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tickwire::connectors::InstrumentKey;
use tickwire::connectors::event::Stamp;
use tickwire::connectors::order::{ClientOrderId, OrderRequest, OrderType, Size, TimeInForce};
use tickwire::operator::{Instruction, OperatedBy, ReplyId, line};
use tickwire::ring::Item;
use tickwire::{
    Event, Level, Market, Nanos, Price, Qty, Reason, Scale, Side, Source, StreamId, StreamState,
    Venue,
};

use super::*;
use crate::auth::Grant;
use crate::config::ApprovalPolicy;
use crate::crew::AgentCard;
use crate::feed::{FeedError, Part};
use crate::paper::PaperDesk;
use crate::protocol::{Approval, Scope};

pub(super) const START: Nanos = Nanos::from_secs(1_700_000_000);

/// A feed that says what a test tells it to.
#[derive(Clone, Debug, Default)]
pub(super) struct Script(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    events: VecDeque<Event>,
    opened: Vec<(String, Part)>,
}

impl Feed for Script {
    fn open(
        &mut self,
        venue: &str,
        _: &str,
        symbol: &str,
        part: Part,
    ) -> Result<StreamId, FeedError> {
        if venue == "nowhere" {
            return Err(FeedError::Unknown("no venue \"nowhere\"".to_owned()));
        }
        let mut lines = self.0.lock().expect("one thread");
        lines.opened.push((symbol.to_owned(), part));
        Ok(StreamId::new(lines.opened.len() as u32).expect("few"))
    }
    fn close(&mut self, _: StreamId) {}
    fn again(&mut self, _: StreamId) {}
    fn next(&mut self) -> Option<Item<'_>> {
        self.0
            .lock()
            .expect("one thread")
            .events
            .pop_front()
            .map(Item::Hot)
    }
}

pub(super) fn stamp(stream: u32, seq: u64) -> Stamp {
    Stamp {
        stream: StreamId::new(stream).expect("few"),
        source: Source::Book,
        epoch: 1,
        state: StreamState::Live,
        price_scale: Scale::of(1),
        qty_scale: Scale::of(2),
        seq,
        exch_ns: Nanos::ZERO,
        recv_ns: Nanos(seq as i64),
    }
}

impl Script {
    pub(super) fn push(&self, event: Event) {
        self.0.lock().expect("one thread").events.push_back(event);
    }

    /// A message of levels (side, price in tenths, quantity in hundredths); a whole book if `is_whole`.
    pub(super) fn levels(
        &self,
        stream: u32,
        seq: u64,
        is_whole: bool,
        levels: &[(Side, i64, i64)],
    ) {
        for (place, &(side, price, qty)) in levels.iter().enumerate() {
            let level = Level { price, qty };
            let ends = place + 1 == levels.len();
            self.push(Event::level(
                &stamp(stream, seq),
                side,
                level,
                is_whole && place == 0,
                ends,
            ));
        }
    }

    pub(super) fn stale(&self, stream: u32) {
        let stamp = Stamp {
            state: StreamState::Stale,
            ..stamp(stream, 0)
        };
        self.push(Event::state_change(&stamp, Reason::LinkDown, None));
    }

    pub(super) fn trade(&self, stream: u32, id: u64) {
        let stamp = Stamp {
            source: Source::Trades,
            ..stamp(stream, id)
        };
        self.push(Event::trade(
            &stamp,
            1_000,
            100,
            u128::from(id),
            tickwire::Aggressor::Buy,
        ));
    }
}

pub(super) fn key() -> InstrumentKey {
    InstrumentKey {
        venue: Venue::Binance,
        market: Market::Spot,
        symbol: tickwire::connectors::instrument::symbol("BTCUSDT").expect("short"),
    }
}

/// Buys 1.50 at 100.0, unless changed.
pub(super) fn order() -> OrderRequest {
    OrderRequest {
        instrument: key(),
        side: Side::Bid,
        order_type: OrderType::Limit,
        size: Size::Base(Qty::new(150, Scale::of(2))),
        price: Some(Price::new(1_000, Scale::of(1))),
        stop: None,
        time_in_force: TimeInForce::Gtc,
        reduce_only: false,
        client_order_id: ClientOrderId::new(),
    }
}

/// A gateway with one strategy that does what the test says.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Nanos,
    /// The strategy's end.
    pub(super) strategy: OperatedBy,
    /// The desk's market.
    pub(super) market: Script,
    pub(super) feed: Script,
    next_id: u64,
}

pub(super) fn config() -> Config {
    Config {
        approvals: ApprovalPolicy {
            paper: Approval::Required,
            ..ApprovalPolicy::default()
        },
        ..Config::default()
    }
}

impl World {
    pub(super) fn new() -> World {
        World::with(config())
    }

    pub(super) fn with(config: Config) -> World {
        World::at(config, START)
    }

    pub(super) fn at(config: Config, now: Nanos) -> World {
        let (operator, strategy) = line(|| {});
        let card = AgentCard::new("default", "does as it is told").at(["binance"]);
        let idle = AgentCard::new("idle", "does nothing");
        let crew = Crew::new().with(card, operator).with(idle, line(|| {}).0);
        let (market, feed) = (Script::default(), Script::default());
        market.levels(
            1,
            1,
            true,
            &[(Side::Bid, 999, 500), (Side::Ask, 1_000, 500)],
        );
        let desk = |market: &Script| PaperDesk::new(market.clone(), [key()]).expect("a desk");
        let desks = Desks::paper(desk(&market));
        let core = Core::new(config, desks, crew, Box::new(feed.clone()), now).expect("a store");
        let mut world = World {
            core,
            now,
            strategy,
            market,
            feed,
            next_id: 0,
        };
        world.turn();
        world
    }

    /// Stops and starts anew with the same store.
    pub(super) fn restarted(self, config: Config) -> World {
        let now = self.now + Nanos::from_secs(1);
        drop(self.core);
        World::at(config, now)
    }

    pub(super) fn connect(&mut self) -> usize {
        self.connect_as(Grant::all("ann"))
    }

    pub(super) fn connect_as(&mut self, grant: Grant) -> usize {
        let token = self.core.issue(grant).expect("randomness");
        let identity = self
            .core
            .auth
            .token(token.expose(), self.now)
            .expect("good");
        let conn = self.core.open(identity, self.now);
        let hello = self.read(conn);
        assert_eq!(
            hello.first().map(|frame| &frame["event"]),
            Some(&json!("connected"))
        );
        conn
    }

    pub(super) fn turn(&mut self) {
        self.core.turn(self.now);
        self.core.settle().expect("the store");
    }

    pub(super) fn pass(&mut self, span: Nanos) {
        self.now += span;
        self.turn();
        self.core.tick(self.now);
        self.core.settle().expect("the store");
    }

    /// Everything that waits for a connection, as JSON; pings left out.
    pub(super) fn read(&mut self, conn: usize) -> Vec<Value> {
        self.turn();
        let mut frames = Vec::new();
        while let Some(out) = self.core.next(conn) {
            match out {
                Out::Text(text) => frames.push(serde_json::from_str(&text).expect("JSON")),
                Out::Ping => {}
                Out::Close(why) => frames.push(json!({ "closed": why.code() })),
            }
        }
        frames
    }

    pub(super) fn say(&mut self, conn: usize, text: &str) {
        // Slower than the allowance: this is not about that.
        self.now += Nanos::from_millis(25);
        self.core.text(conn, text, self.now);
    }

    /// Asks and gives the answer; events stay behind it in `others`.
    pub(super) fn ask(&mut self, conn: usize, method: &str, params: Value) -> Result<Value, Value> {
        self.ask_all(conn, method, params).0
    }

    pub(super) fn ask_all(
        &mut self,
        conn: usize,
        method: &str,
        params: Value,
    ) -> (Result<Value, Value>, Vec<Value>) {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let frame = json!({ "type": "request", "id": id, "method": method, "params": params });
        self.say(conn, &frame.to_string());
        let (mut answers, others): (Vec<Value>, Vec<Value>) = self
            .read(conn)
            .into_iter()
            .partition(|frame| frame["id"] == json!(id));
        assert_eq!(answers.len(), 1, "{method}: {answers:?} {others:?}");
        let answer = answers.pop().unwrap_or_default();
        let outcome = match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        };
        (outcome, others)
    }

    /// Subscribes one channel; gives its part of the answer.
    pub(super) fn subscribe(&mut self, conn: usize, channel: &Value) -> Value {
        let frame = json!({ "type": "subscribe", "id": "s", "channels": [channel] });
        self.say(conn, &frame.to_string());
        let frames = self.read(conn);
        let answer = frames
            .iter()
            .find(|frame| frame["id"] == "s")
            .expect("an answer");
        let subscribed = answer["result"]["channels"][0].clone();
        assert!(
            subscribed.get("error").is_some() || subscribed["offset"].is_u64(),
            "{subscribed}"
        );
        subscribed
    }

    pub(super) fn session(&mut self, conn: usize) -> String {
        let session = self.ask(conn, "sessions.create", json!({ "projectId": "p1" }));
        session.expect("a session")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Sends a message and gives under which number it is to be answered.
    pub(super) fn send(&mut self, conn: usize, session: &str) -> (ReplyId, Value) {
        let params = json!({ "sessionId": session, "content": "buy" });
        let sent = self.ask(conn, "messages.send", params).expect("sent");
        (self.asked(), sent)
    }

    /// The number of the newest message that the strategy was given.
    pub(super) fn asked(&mut self) -> ReplyId {
        let instructions = std::iter::from_fn(|| self.strategy.next());
        let replies = instructions.filter_map(|instruction| match instruction {
            Instruction::Message { reply, .. } => Some(reply),
            _ => None,
        });
        replies.last().expect("a message")
    }

    /// What the strategy was told, in debug words.
    pub(super) fn told(&mut self) -> Vec<Instruction> {
        std::iter::from_fn(|| self.strategy.next()).collect()
    }

    /// A session whose strategy has asked for `request`, and that waits for a person: its id, the call.
    pub(super) fn pending(&mut self, conn: usize, request: OrderRequest) -> (String, Value) {
        let session = self.session(conn);
        let call = self.pending_in(conn, &session, request);
        (session, call)
    }

    pub(super) fn pending_in(
        &mut self,
        conn: usize,
        session: &str,
        request: OrderRequest,
    ) -> Value {
        let (reply, _) = self.send(conn, session);
        self.strategy.answer(reply).order(request).expect("heard");
        self.turn();
        let got = self.ask(conn, "sessions.get", json!({ "sessionId": session }));
        got.expect("the session")["pendingApprovals"][0].clone()
    }
}

/// A store in a folder that goes with the test.
pub(super) struct Folder(PathBuf, tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        Folder(folder.path().join("gateway.redb"), folder)
    }

    pub(super) fn config(&self) -> Config {
        let path: &Path = &self.0;
        assert!(self.1.path().is_dir());
        Config {
            store: Some(path.to_owned()),
            ..config()
        }
    }
}

pub(super) fn events(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame["event"].as_str())
        .collect()
}

pub(super) fn code(outcome: &Result<Value, Value>) -> String {
    match outcome {
        Ok(result) => panic!("no error: {result}"),
        Err(error) => error["code"].as_str().expect("a code").to_owned(),
    }
}

pub(super) fn approve(session: &str, call: &Value) -> Value {
    json!({ "sessionId": session, "toolCallId": call["id"], "digest": call["digest"] })
}

pub(super) fn reader(user: &str) -> Grant {
    Grant::all(user).scopes([Scope::Read])
}
