//! Random inputs in random order against both connectors: links that come and go, acks that are late,
//! lost, doubled or refusals, deltas that are dropped, doubled, cut off or too fine for the scale,
//! HTTP answers that are late, old, doubled, failed or refused, commands and timers at any time.
//!
//! Beside each connector runs a plain venue that knows what every book was at every number, and a
//! strategy that believes nothing but the events. After each input all of it must agree; and when the
//! venue behaves again, every stream must become Live again.

mod venue;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::prelude::*;
use serde_json::{Value, json};
use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::outbox::Item;
use tickwire_connectors::transmit::{DownReason, HttpFailure, HttpRequest, ReadOn, Response};
use tickwire_connectors::wide::WideBody;
use tickwire_connectors::{
    Body, Channel, Command, Connector, FetchInstruments, LinkChange, LinkId, Nanos, Outbox,
    StreamId, StreamState, Transmit,
};
use tickwire_orderbook::{Price, Qty, Scale, Side};

/// Prices and quantities of the venue count in this many decimals: finer than any default scale.
const DIGITS: Scale = Scale::of(12);
const ONE: i64 = 1_000_000_000_000;

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "XRPUSDT"];

/// Snapshot weight of the venue, and what a minute may cost.
const SNAPSHOT_WEIGHT: u32 = 250;
const WEIGHT_PER_MINUTE: u32 = 6_000;

/// What one input may cause at most, in events and in requests.
const EVENTS_MAX: usize = 5_000;
const REQUESTS_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VenueKind {
    Binance,
    Bybit,
}

/// What happens to a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Dropped,
    Doubled,
    CutOff,
    TooFine,
    Restart,
}

/// What becomes of a subscribe or unsubscribe request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckFault {
    None,
    Lost,
    Doubled,
    /// The venue never saw the request.
    Unheard,
    Refused,
}

/// What becomes of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HttpFault {
    None,
    /// The snapshot is that of some time ago.
    Old,
    Doubled,
    Failed,
    Status(u16),
    Garbage,
    Never,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Subscribe {
        symbol: usize,
        channel: usize,
        depth: bool,
    },
    Unsubscribe(usize),
    SetDepth(usize, bool),
    Republish(usize),
    Resync(usize),
    Up(usize),
    Down(usize),
    Answer(usize, AckFault),
    Tick(usize, Fault),
    Http(usize, HttpFault),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let ack = prop_oneof![
        8 => Just(AckFault::None),
        1 => Just(AckFault::Lost),
        1 => Just(AckFault::Doubled),
        1 => Just(AckFault::Unheard),
        1 => Just(AckFault::Refused),
    ];
    let fault = prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::Dropped),
        1 => Just(Fault::Doubled),
        1 => Just(Fault::CutOff),
        1 => Just(Fault::TooFine),
        1 => Just(Fault::Restart),
    ];
    let http = prop_oneof![
        10 => Just(HttpFault::None),
        2 => Just(HttpFault::Old),
        1 => Just(HttpFault::Doubled),
        1 => Just(HttpFault::Failed),
        1 => prop_oneof![Just(429u16), Just(418), Just(500), Just(400)].prop_map(HttpFault::Status),
        1 => Just(HttpFault::Garbage),
        1 => Just(HttpFault::Never),
    ];
    let wait = prop_oneof![
        6 => 1u64..300,
        2 => 300u64..6_000,
        1 => 6_000u64..120_000,
    ];
    prop_oneof![
        4 => (0..SYMBOLS.len(), 0usize..4, any::<bool>())
            .prop_map(|(symbol, channel, depth)| Op::Subscribe { symbol, channel, depth }),
        1 => (0usize..8).prop_map(Op::Unsubscribe),
        1 => (0usize..8, any::<bool>()).prop_map(|(stream, depth)| Op::SetDepth(stream, depth)),
        1 => (0usize..8).prop_map(Op::Republish),
        1 => (0usize..8).prop_map(Op::Resync),
        5 => (0usize..3).prop_map(Op::Up),
        1 => (0usize..3).prop_map(Op::Down),
        8 => (0usize..4, ack).prop_map(|(number, fault)| Op::Answer(number, fault)),
        20 => (0..SYMBOLS.len(), fault).prop_map(|(symbol, fault)| Op::Tick(symbol, fault)),
        6 => (0usize..4, http).prop_map(|(number, fault)| Op::Http(number, fault)),
        5 => wait.prop_map(Op::Wait),
    ]
}

type Side64 = BTreeMap<i64, i64>;

/// A book as the venue has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Truth {
    seq: u64,
    bids: Side64,
    asks: Side64,
}

impl Truth {
    fn new() -> Truth {
        let level = |price: i64| (price * ONE, ONE);
        Truth {
            seq: 100,
            bids: (90..100).map(level).collect(),
            asks: (101..111).map(level).collect(),
        }
    }

    /// The next change: (first id, bids, asks).
    fn step(&mut self, rng: &mut fastrand::Rng, fine: bool) -> (u64, Side64, Side64) {
        let first = self.seq + 1;
        self.seq += rng.u64(1..=3);
        let (mut bids, mut asks) = (Side64::new(), Side64::new());
        for _ in 0..rng.usize(0..=3) {
            let price = rng.i64(90..=110) * ONE + if fine { rng.i64(1..9) } else { 0 };
            let qty = if rng.u8(..3) == 0 {
                0
            } else {
                rng.i64(1..9) * ONE / 4
            };
            // What a side gets, the other loses: a book is never crossed.
            if rng.bool() {
                for (&ask, _) in self.asks.range(..=price) {
                    asks.insert(ask, 0);
                }
                bids.insert(price, qty);
            } else {
                for (&bid, _) in self.bids.range(price..) {
                    bids.insert(bid, 0);
                }
                asks.insert(price, qty);
            }
            set(&mut self.bids, &bids);
            set(&mut self.asks, &asks);
        }
        (first, bids, asks)
    }
}

fn set(side: &mut Side64, changes: &Side64) {
    for (&price, &qty) in changes {
        if qty == 0 {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
    }
}

fn text(value: i64) -> String {
    Price::new(value, DIGITS).plain().as_str().to_owned()
}

fn rows(side: &Side64) -> Value {
    side.iter()
        .map(|(&price, &qty)| json!([text(price), text(qty)]))
        .collect()
}

/// A link on the venue's side.
#[derive(Debug, Default)]
struct VenueLink {
    open: bool,
    up: bool,
    epoch: u16,
    topics: BTreeSet<String>,
    requests: VecDeque<(Value, bool, Vec<String>)>,
}

/// The best level of a side.
type Best = Option<(Price, Qty)>;

/// What a strategy knows of a stream, from its events alone.
#[derive(Debug)]
struct Seen {
    symbol: usize,
    channel: Channel,
    depth: bool,
    state: StreamState,
    instrument: bool,
    open: bool,
    /// It was let go: its number may be given out again.
    gone: bool,
    top: Option<(Best, Best)>,
    /// A replica of the book, and whether a batch is open.
    replica: Option<(Side64, Side64)>,
    batch: bool,
}

struct World {
    kind: VenueKind,
    connector: Box<dyn Connector>,
    now: Nanos,
    rng: fastrand::Rng,
    out: Outbox,
    truths: Vec<Truth>,
    /// The book at each number; after a restart a number comes again.
    history: Vec<HashMap<u64, Vec<Truth>>>,
    past: Vec<VecDeque<Truth>>,
    links: BTreeMap<u16, VenueLink>,
    http: Vec<HttpRequest>,
    seen: Vec<Seen>,
    weights: HashMap<i64, u32>,
    trades: u64,
}

impl World {
    fn new(kind: VenueKind, instruments: bool, seed: u64) -> World {
        let instruments = if instruments {
            FetchInstruments::Yes
        } else {
            FetchInstruments::No
        };
        let connector: Box<dyn Connector> = match kind {
            VenueKind::Binance => {
                let config = BinanceConfig {
                    instruments,
                    ..BinanceConfig::spot()
                };
                Box::new(Binance::new(config, seed).expect("a good config"))
            }
            VenueKind::Bybit => {
                let config = BybitConfig {
                    instruments,
                    ..BybitConfig::spot()
                };
                Box::new(Bybit::new(config, seed).expect("a good config"))
            }
        };
        let truths = vec![Truth::new(); SYMBOLS.len()];
        World {
            kind,
            connector,
            now: Nanos::from_secs(1_700_000_040),
            rng: fastrand::Rng::with_seed(seed),
            out: Outbox::new(),
            history: truths
                .iter()
                .map(|truth| HashMap::from([(truth.seq, vec![truth.clone()])]))
                .collect(),
            past: truths
                .iter()
                .map(|truth| VecDeque::from([truth.clone()]))
                .collect(),
            truths,
            links: BTreeMap::new(),
            http: Vec::new(),
            seen: Vec::new(),
            weights: HashMap::new(),
            trades: 0,
        }
    }

    // The strategy's side.

    fn channel(&self, number: usize) -> Channel {
        match number {
            0 => Channel::Bbo,
            1 => Channel::Trades,
            _ => Channel::BOOK,
        }
    }

    fn stream(&self, number: usize) -> Option<(usize, StreamId)> {
        // The newest few, so that each is met often.
        let index = self.seen.len().checked_sub(number + 1)?;
        Some((index, StreamId::new(index as u32)?))
    }

    fn command(&mut self, command: Command) {
        self.connector
            .handle_command(self.now, command, &mut self.out);
        self.settle();
    }

    /// Does what the connector asks for and checks what it said.
    fn settle(&mut self) {
        self.events();
        let mut body = Vec::new();
        let mut cuts = Vec::new();
        let mut count = 0;
        while let Some(todo) = self.connector.poll_transmit(self.now, &mut body) {
            count += 1;
            assert!(count <= REQUESTS_MAX, "a storm of requests: {todo:?}");
            match todo {
                Transmit::Open { link, .. } => {
                    let link = self.links.entry(link.0).or_default();
                    assert!(!link.open, "a link is opened twice");
                    link.open = true;
                }
                Transmit::Close { link } => cuts.push((link, true)),
                Transmit::Reconnect { link, .. } => cuts.push((link, false)),
                Transmit::Text { link, .. } => self.request(link, &body),
                Transmit::Http(request) => {
                    if request.target.contains("/depth?") {
                        let minute = self.now.0.div_euclid(60_000_000_000);
                        let used = self.weights.entry(minute).or_default();
                        *used += SNAPSHOT_WEIGHT;
                        assert!(
                            *used <= WEIGHT_PER_MINUTE,
                            "more snapshots than a minute may have"
                        );
                    }
                    self.http.push(*request);
                    assert!(self.http.len() <= 2_000, "requests pile up");
                }
            }
            body.clear();
        }
        assert!(!self.connector.has_transmit(), "all of it was taken");
        for (link, closed) in cuts {
            self.down(link.0, closed);
        }
    }

    fn request(&mut self, link: LinkId, body: &[u8]) {
        let text = std::str::from_utf8(body).expect("UTF-8");
        let request: Value = serde_json::from_str(text).expect("JSON");
        let Some(link) = self.links.get_mut(&link.0).filter(|link| link.up) else {
            return;
        };
        let (id, method, args) = match self.kind {
            VenueKind::Binance => (&request["id"], &request["method"], &request["params"]),
            VenueKind::Bybit => (&request["req_id"], &request["op"], &request["args"]),
        };
        let method = method.as_str().expect("a method").to_ascii_lowercase();
        let topics: Vec<String> = args
            .as_array()
            .map(|args| {
                args.iter()
                    .map(|arg| arg.as_str().expect("a topic").to_owned())
                    .collect()
            })
            .unwrap_or_default();
        assert!(
            method == "ping" || !topics.is_empty(),
            "a request for nothing"
        );
        if self.kind == VenueKind::Bybit {
            assert!(topics.len() <= 10, "args size >10");
        }
        link.requests
            .push_back((id.clone(), method == "subscribe", topics));
    }

    fn up(&mut self, number: usize) {
        let mut waiting = self
            .links
            .iter_mut()
            .filter(|(_, link)| link.open && !link.up);
        let Some((&id, link)) = waiting.nth(number) else {
            return;
        };
        link.up = true;
        link.epoch += 1;
        let change = LinkChange::Up { epoch: link.epoch };
        self.connector
            .handle_link(self.now, LinkId(id), change, &mut self.out);
        self.settle();
    }

    fn down(&mut self, id: u16, closed: bool) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.open) else {
            return;
        };
        let was_up = std::mem::take(&mut link.up);
        link.open = !closed;
        link.topics.clear();
        link.requests.clear();
        if was_up || closed {
            let reason = if closed {
                DownReason::Closed
            } else {
                DownReason::Cut("a test")
            };
            self.connector.handle_link(
                self.now,
                LinkId(id),
                LinkChange::Down { reason },
                &mut self.out,
            );
            self.settle();
        }
    }

    fn message(&mut self, link: u16, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        self.connector
            .handle_message(self.now, LinkId(link), &mut bytes, &mut self.out);
        self.settle();
    }

    // The venue's side.

    fn wait(&mut self, millis: u64) {
        let end = self.now + Nanos::from_millis(millis as i64);
        let mut fired = 0;
        while let Some(at) = self.connector.poll_timeout().filter(|at| *at <= end) {
            fired += 1;
            assert!(fired <= 10_000, "a storm of timers");
            self.now = self.now.max(at);
            self.connector.handle_timeout(self.now, &mut self.out);
            self.settle();
            let next = self.connector.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that has run is gone"
            );
        }
        self.now = end;
    }

    // What must hold.

    fn events(&mut self) {
        let out = std::mem::take(&mut self.out);
        assert!(out.iter().count() <= EVENTS_MAX, "too many events");
        for item in out.iter() {
            let (id, state) = match item {
                Item::Hot(event) => (event.stream(), event.state()),
                Item::Wide(wide) => (wide.stream, wide.state),
            };
            let seen = &mut self.seen[id.index()];
            assert!(
                seen.open,
                "{id}: nothing follows Closed or Refused: {item:?}"
            );
            match item {
                Item::Hot(event) => match event.body() {
                    Body::State(change) => {
                        assert_ne!(
                            seen.state, state,
                            "{id}: a state that is no news: {change:?}"
                        );
                        seen.state = state;
                        seen.replica = None;
                        seen.open = !matches!(state, StreamState::Closed | StreamState::Refused);
                        assert!(!seen.batch, "{id}: a state inside a batch");
                        seen.top = None;
                    }
                    Body::Bbo(bbo) => {
                        assert!(!seen.batch, "{id}: a top inside a batch");
                        seen.top = Some((bbo.bid(), bbo.ask()));
                        let level = |(price, qty): (&i64, &i64)| {
                            (Price::new(*price, DIGITS), Qty::new(*qty, DIGITS))
                        };
                        let truths = &self.history[seen.symbol][&event.seq()];
                        let is_so = truths.iter().any(|truth| {
                            bbo.bid() == truth.bids.last_key_value().map(level)
                                && bbo.ask() == truth.asks.first_key_value().map(level)
                        });
                        assert!(is_so, "{id}: a top that never was: {bbo:?}, {truths:?}");
                    }
                    Body::Level(level) => {
                        assert!(seen.depth, "{id}: levels that nobody asked for");
                        if level.starts_snapshot() {
                            seen.replica = Some(Default::default());
                        }
                        let (bids, asks) = seen.replica.as_mut().expect("a snapshot goes first");
                        let side = if level.side() == Side::Bid {
                            bids
                        } else {
                            asks
                        };
                        let price = level.price().rescale(DIGITS).expect("fits").mantissa();
                        let qty = level.qty().rescale(DIGITS).expect("fits").mantissa();
                        set(side, &Side64::from([(price, qty)]));
                        seen.batch = !level.ends_batch();
                    }
                    Body::Trade(_) => {}
                    Body::Lost(_) => panic!("connectors lose nothing"),
                },
                Item::Wide(wide) => {
                    seen.instrument |= matches!(wide.body, WideBody::Instrument(_));
                }
            }
            assert_eq!(
                seen.state, state,
                "{id}: an event has the stream's state: {item:?}"
            );
            if let Item::Hot(event) = item
                && !matches!(event.body(), Body::State(_))
            {
                assert_eq!(
                    state,
                    StreamState::Live,
                    "{id}: a price while not Live: {event:?}"
                );
                assert!(seen.instrument, "{id}: the instrument goes first");
            }
        }
        self.out = out;
        self.out.clear();
        for index in 0..self.seen.len() {
            self.check(index);
        }
    }

    fn check(&self, index: usize) {
        let seen = &self.seen[index];
        assert!(!seen.batch, "a batch ends with its message");
        let id = StreamId::new(index as u32).expect("small");
        let Some(view) = self.connector.book(id) else {
            return;
        };
        if seen.open {
            assert_eq!(
                view.state, seen.state,
                "{id}: the book says what the events said"
            );
        }
        if view.state != StreamState::Live {
            return;
        }
        let side = |side: Side| -> Side64 {
            let level = |level: tickwire_orderbook::Level| {
                let price = Price::new(level.price, view.price_scale).rescale(DIGITS);
                let qty = Qty::new(level.qty, view.qty_scale).rescale(DIGITS);
                (
                    price.expect("fits").mantissa(),
                    qty.expect("fits").mantissa(),
                )
            };
            view.book.levels(side).map(level).collect()
        };
        let (bids, asks) = (side(Side::Bid), side(Side::Ask));
        if seen.channel == Channel::BOOK {
            let truths = self.history[seen.symbol].get(&view.seq);
            let truths = truths.unwrap_or_else(|| panic!("{id}: no number {}", view.seq));
            let is_so = truths
                .iter()
                .any(|truth| (&truth.bids, &truth.asks) == (&bids, &asks));
            assert!(
                is_so,
                "{id}: a book that never was at {}: {bids:?} {asks:?}, {truths:?}",
                view.seq
            );
            if seen.depth {
                assert_eq!(
                    seen.replica.as_ref(),
                    Some(&(bids, asks)),
                    "{id}: the replica at {}",
                    view.seq
                );
            }
        }
        let level = |level: tickwire_orderbook::Level| {
            (
                Price::new(level.price, view.price_scale),
                Qty::new(level.qty, view.qty_scale),
            )
        };
        let top = view.book.top();
        let top = (top.bid.map(level), top.ask.map(level));
        assert_eq!(seen.top, Some(top), "{id}: the last top is the book's");
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Subscribe {
                symbol: index,
                channel,
                depth,
            } => {
                let channel = self.channel(channel);
                let gone = self
                    .seen
                    .iter()
                    .position(|seen| seen.gone && seen.channel == channel);
                let number = gone.filter(|_| self.rng.bool()).unwrap_or(self.seen.len());
                let stream = StreamId::new(number as u32).expect("small");
                let seen = Seen {
                    symbol: index,
                    channel,
                    depth,
                    state: StreamState::Pending,
                    instrument: false,
                    open: true,
                    top: None,
                    gone: false,
                    replica: None,
                    batch: false,
                };
                match self.seen.get_mut(number) {
                    Some(old) => *old = seen,
                    None => self.seen.push(seen),
                }
                let name = if self.rng.bool() {
                    SYMBOLS[index].to_owned()
                } else {
                    SYMBOLS[index].replace("USDT", "/USDT")
                };
                let symbol = symbol(&name).expect("short");
                self.command(Command::Subscribe {
                    stream,
                    symbol,
                    channel,
                    depth,
                });
            }
            Op::Unsubscribe(number) => {
                if let Some((index, stream)) = self.stream(number) {
                    let was_open = self.seen[index].open;
                    self.command(Command::Unsubscribe { stream });
                    assert!(!self.seen[index].open, "{stream} is closed");
                    self.seen[index].gone = true;
                    let closed = self.seen[index].state == StreamState::Closed;
                    assert!(closed || !was_open, "{stream}: Closed is said");
                    assert!(self.connector.book(stream).is_none(), "its book is gone");
                }
            }
            Op::SetDepth(number, depth) => {
                if let Some((index, stream)) = self.stream(number) {
                    self.seen[index].depth = depth;
                    self.command(Command::SetDepth { stream, depth });
                }
            }
            Op::Republish(number) => {
                if let Some((_, stream)) = self.stream(number) {
                    self.command(Command::Republish { stream });
                }
            }
            Op::Resync(number) => {
                if let Some((_, stream)) = self.stream(number) {
                    self.command(Command::Resync { stream });
                }
            }
            Op::Up(number) => self.up(number),
            Op::Down(number) => {
                if let Some((&id, _)) = self.links.iter().filter(|(_, link)| link.up).nth(number) {
                    self.down(id, false);
                }
            }
            Op::Answer(number, fault) => self.answer(number, fault),
            Op::Tick(symbol, fault) => self.tick(symbol, fault),
            Op::Http(number, fault) => self.http(number, fault),
            Op::Wait(millis) => self.wait(millis),
        }
    }

    /// From here on the venue behaves: all that is wanted must become Live.
    fn heal(&mut self) {
        for _ in 0..1_500 {
            self.up(0);
            while self.links.values().any(|link| !link.requests.is_empty()) {
                self.answer(0, AckFault::None);
            }
            while !self.http.is_empty() {
                self.http(0, HttpFault::None);
            }
            for symbol in 0..SYMBOLS.len() {
                self.tick(symbol, Fault::None);
            }
            self.wait(100);
            let mut open = self.seen.iter().filter(|seen| seen.open);
            if open.all(|seen| seen.state == StreamState::Live) {
                return;
            }
        }
        let open = self.seen.iter().enumerate().filter(|(_, seen)| seen.open);
        let stuck: Vec<_> = open
            .filter(|(_, seen)| seen.state != StreamState::Live)
            .collect();
        panic!("these never became Live: {stuck:?}");
    }
}

fn check(kind: VenueKind, instruments: bool, seed: u64, ops: &[Op]) {
    let mut world = World::new(kind, instruments, seed);
    for op in ops {
        world.run(*op);
    }
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig { ..ProptestConfig::default() })]

    #[test]
    fn binance_never_publishes_what_is_not_so(
        instruments in any::<bool>(),
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        check(VenueKind::Binance, instruments, seed, &ops);
    }

    #[test]
    fn bybit_never_publishes_what_is_not_so(
        instruments in any::<bool>(),
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        check(VenueKind::Bybit, instruments, seed, &ops);
    }
}
