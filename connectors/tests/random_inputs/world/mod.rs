//! A connector with all that is around it, in one place: the engine that drives it, a venue that
//! knows what every book was at every number, and a strategy that believes nothing but the events.
//!
//! Shared by the property tests and by the fuzz target `calls` (`connectors/fuzz`).

mod deribit;
mod hostile;
mod polymarket;
mod sceptic;
mod script;
mod venue;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::{Value, json};
use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::deribit::{Deribit, DeribitConfig};
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::outbox::Item;
use tickwire_connectors::polymarket::{Polymarket, PolymarketConfig};
use tickwire_connectors::transmit::{DownReason, HttpFailure, HttpRequest, ReadOn, Response};
use tickwire_connectors::upkeep::{Redundancy, Upkeep};
use tickwire_connectors::wide::WideBody;
use tickwire_connectors::{
    Body, BookParams, Channel, Command, Connector, FetchInstruments, Interval, LinkChange, LinkId,
    Market, Nanos, Outbox, Reason, RequestId, StreamId, StreamState, Transmit,
};
use tickwire_orderbook::{Price, Qty, Scale, Side, Top};

use sceptic::Seen;
pub(crate) use script::run_script;

/// Prices and quantities of the venue count in this many decimals: finer than any default scale.
const DIGITS: Scale = Scale::of(12);
const ONE: i64 = 1_000_000_000_000;

/// How many symbols a venue has here.
pub(crate) const SYMBOLS: usize = 3;

/// What one input may cause at most, in events and in requests.
const EVENTS_MAX: usize = 5_000;
const REQUESTS_MAX: usize = 1_000;

/// What a probe of a book costs at most. (rest-api.md, 2026-07-21)
const PROBE_WEIGHT: u32 = 5;

/// Timers that may fire while time passes: three hours with a try each second.
const TIMERS_MAX: usize = 10_000;

/// How many requests may be under way: a connector has few at a time.
const HTTP_MAX: usize = 100;

/// A market of a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VenueKind {
    BinanceSpot,
    BinanceLinear,
    BinanceInverse,
    BybitSpot,
    BybitLinear,
    DeribitInverse,
    Polymarket,
}

impl VenueKind {
    /// The place of each is its digit in scripts: new ones go last.
    pub(crate) const ALL: [VenueKind; 7] = [
        VenueKind::BinanceSpot,
        VenueKind::BinanceLinear,
        VenueKind::BinanceInverse,
        VenueKind::BybitSpot,
        VenueKind::BybitLinear,
        VenueKind::DeribitInverse,
        VenueKind::Polymarket,
    ];

    const fn is_binance(self) -> bool {
        matches!(
            self,
            VenueKind::BinanceSpot | VenueKind::BinanceLinear | VenueKind::BinanceInverse
        )
    }

    const fn is_bybit(self) -> bool {
        matches!(self, VenueKind::BybitSpot | VenueKind::BybitLinear)
    }

    /// What the prices of its books are multiples of, in units of [`DIGITS`]: they are from 90 to 110
    /// times this, and Polymarket's lie between 0 and 1.
    const fn price_unit(self) -> i64 {
        match self {
            VenueKind::Polymarket => ONE / 200,
            _ => ONE,
        }
    }

    const fn is_spot(self) -> bool {
        matches!(self, VenueKind::BinanceSpot | VenueKind::BybitSpot)
    }

    /// The venue's names of its symbols.
    const fn names(self) -> [&'static str; SYMBOLS] {
        match self {
            VenueKind::BinanceInverse => ["BTCUSD_PERP", "ETHUSD_PERP", "XRPUSD_PERP"],
            VenueKind::DeribitInverse => ["BTC-PERPETUAL", "ETH-PERPETUAL", "XRP-PERPETUAL"],
            VenueKind::Polymarket => polymarket::TOKENS,
            _ => ["BTCUSDT", "ETHUSDT", "XRPUSDT"],
        }
    }

    /// Base, quote and settlement currency.
    fn currencies(self, symbol: usize) -> (&'static str, &'static str, &'static str) {
        let base = ["BTC", "ETH", "XRP"][symbol];
        match self {
            VenueKind::BinanceInverse | VenueKind::DeribitInverse => (base, "USD", base),
            _ if self.is_spot() => (base, "USDT", ""),
            _ => (base, "USDT", "USDT"),
        }
    }

    /// The unified name of a symbol.
    fn unified(self, symbol: usize) -> String {
        if self == VenueKind::Polymarket {
            return polymarket::TOKENS[symbol].to_owned();
        }
        match self.currencies(symbol) {
            (base, quote, "") => format!("{base}/{quote}"),
            (base, quote, settle) => format!("{base}/{quote}:{settle}"),
        }
    }

    /// What a book snapshot costs, and what a minute may cost. (rest-api.md, 2026-07-21; USDS-M
    /// "Order Book")
    const fn weights(self) -> (u32, u32) {
        match self {
            VenueKind::BinanceSpot => (250, 6_000),
            _ => (20, 2_400),
        }
    }

    fn connector(self, instruments: FetchInstruments, seed: u64) -> Box<dyn Connector> {
        let binance = |config: BinanceConfig| {
            let config = BinanceConfig {
                instruments,
                ..config
            };
            Box::new(Binance::new(config, seed).expect("a good config"))
        };
        // Links that grow old soon.
        let ageing = |upkeep: Upkeep| Upkeep {
            link_age_max_ns: [None, Some(Nanos::from_secs(20))][seed as usize / 2 % 2],
            handover_max_ns: Nanos::from_secs(5),
            ..upkeep
        };
        let bybit = |config: BybitConfig| {
            // And pairs of them.
            let upkeep = Upkeep {
                redundancy: [Redundancy::Single, Redundancy::Pair][seed as usize % 2],
                ..ageing(config.upkeep)
            };
            let config = BybitConfig {
                instruments,
                upkeep,
                ..config
            };
            Box::new(Bybit::new(config, seed).expect("a good config"))
        };
        match self {
            VenueKind::BinanceSpot => binance(BinanceConfig::spot()),
            VenueKind::BinanceLinear => binance(BinanceConfig::linear()),
            VenueKind::BinanceInverse => binance(BinanceConfig::inverse()),
            VenueKind::BybitSpot => bybit(BybitConfig::spot()),
            VenueKind::BybitLinear => bybit(BybitConfig::linear()),
            VenueKind::DeribitInverse => {
                let config = DeribitConfig::new(Market::Inverse);
                let config = DeribitConfig {
                    instruments,
                    upkeep: ageing(config.upkeep),
                    ..config
                };
                Box::new(Deribit::new(config, seed).expect("a good config"))
            }
            VenueKind::Polymarket => {
                let config = PolymarketConfig::new();
                let config = PolymarketConfig {
                    instruments,
                    upkeep: ageing(config.upkeep),
                    ..config
                };
                Box::new(Polymarket::new(config, seed).expect("a good config"))
            }
        }
    }
}

/// What happens to a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Dropped,
    Doubled,
    CutOff,
    TooFine,
    Restart,
}

impl Fault {
    pub(crate) const ALL: [Fault; 6] = [
        Fault::None,
        Fault::Dropped,
        Fault::Doubled,
        Fault::CutOff,
        Fault::TooFine,
        Fault::Restart,
    ];
}

/// What becomes of a subscribe or unsubscribe request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckFault {
    None,
    Lost,
    Doubled,
    /// The venue never saw the request.
    Unheard,
    Refused,
}

impl AckFault {
    pub(crate) const ALL: [AckFault; 5] = [
        AckFault::None,
        AckFault::Lost,
        AckFault::Doubled,
        AckFault::Unheard,
        AckFault::Refused,
    ];
}

/// What becomes of an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpFault {
    None,
    /// The snapshot is that of some time ago.
    Old,
    Doubled,
    Failed,
    Status(u16),
    Garbage,
    Never,
}

impl HttpFault {
    pub(crate) const ALL: [HttpFault; 9] = [
        HttpFault::None,
        HttpFault::Old,
        HttpFault::Doubled,
        HttpFault::Failed,
        HttpFault::Status(429),
        HttpFault::Status(418),
        HttpFault::Status(400),
        HttpFault::Garbage,
        HttpFault::Never,
    ];
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
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

type Side64 = BTreeMap<i64, i64>;

/// A book as the venue has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Truth {
    seq: u64,
    /// Bybit's cross sequence, which a restart does not take back.
    cross: u64,
    bids: Side64,
    asks: Side64,
    /// See [`VenueKind::price_unit`].
    unit: i64,
}

impl Truth {
    fn new(unit: i64) -> Truth {
        let level = |price: i64| (price * unit, ONE);
        Truth {
            seq: 100,
            cross: 0,
            unit,
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
            let price = rng.i64(90..=110) * self.unit + if fine { rng.i64(1..9) } else { 0 };
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
    /// Topics that it holds and sends nothing of, until they are asked for anew.
    mute: BTreeSet<String>,
    /// What is under way on it.
    lag: VecDeque<(String, Vec<u8>)>,
    requests: VecDeque<(Value, bool, Vec<String>)>,
    /// Something was asked for on it.
    begun: bool,
}

pub(crate) struct World {
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
    /// Requests under way, and when the engine gives up on each.
    http: Vec<(Nanos, HttpRequest)>,
    seen: Vec<Seen>,
    weights: HashMap<i64, u32>,
    trades: u64,
    /// Tops, trades and levels so far.
    prices: u64,
    /// The venue has sent nothing but what its books say: what is published can be held against them.
    honest: bool,
    /// The last message of a hostile venue.
    last_message: Vec<u8>,
}

impl World {
    pub(crate) fn new(kind: VenueKind, instruments: bool, seed: u64) -> World {
        let instruments = if instruments {
            FetchInstruments::Yes
        } else {
            FetchInstruments::No
        };
        let truths = vec![Truth::new(kind.price_unit()); SYMBOLS];
        World {
            kind,
            connector: kind.connector(instruments, seed),
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
            prices: 0,
            honest: true,
            last_message: Vec::new(),
        }
    }

    /// The books that are Live, with what they show.
    fn live_tops(&self) -> impl Iterator<Item = (StreamId, u64, Top)> {
        let ids = (0..self.seen.len()).filter_map(|index| StreamId::new(index as u32));
        ids.filter_map(|id| {
            let view = self.connector.book(id)?;
            (view.state == StreamState::Live).then(|| (id, view.seq, view.book.top()))
        })
    }

    // The strategy's side.

    fn channel(&self, number: usize) -> Channel {
        match number {
            0 => Channel::Bbo,
            1 => Channel::Trades,
            _ => Channel::BOOK,
        }
    }

    fn subscribe(&mut self, index: usize, name: &str, channel: Channel, depth: bool) {
        let Some(symbol) = symbol(name) else {
            return;
        };
        let gone = self
            .seen
            .iter()
            .position(|seen| seen.gone && seen.channel == channel);
        let number = gone.filter(|_| self.rng.bool()).unwrap_or(self.seen.len());
        let stream = StreamId::new(number as u32).expect("small");
        let seen = Seen::new(index, channel, depth);
        match self.seen.get_mut(number) {
            Some(old) => *old = seen,
            None => self.seen.push(seen),
        }
        self.command(Command::Subscribe {
            stream,
            symbol,
            channel,
            depth,
        });
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
        let has = self.connector.has_transmit();
        while let Some(todo) = self.connector.poll_transmit(self.now, &mut body) {
            count += 1;
            assert!(
                has,
                "there is something to do that nobody was told of: {todo:?}"
            );
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
                Transmit::Binary { .. } | Transmit::Ping { .. } => {
                    panic!("no venue of ours wants {todo:?}");
                }
                Transmit::Http(request) => {
                    if request.target.contains("/depth?") {
                        let minute = self.now.0.div_euclid(60_000_000_000);
                        let used = self.weights.entry(minute).or_default();
                        let (weight, most) = self.kind.weights();
                        // A probe of a silent stream asks for five levels.
                        let is_probe = request.target.ends_with("limit=5");
                        let weight = if is_probe { PROBE_WEIGHT } else { weight };
                        *used += weight;
                        assert!(*used <= most, "more snapshots than a minute may have");
                    }
                    self.http.push((self.now + request.timeout_ns, *request));
                    assert!(self.http.len() <= HTTP_MAX, "requests pile up");
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
        let Some(link) = self.links.get_mut(&link.0).filter(|link| link.up) else {
            return;
        };
        if text == "PING" && self.kind == VenueKind::Polymarket {
            assert!(link.begun, "a PING before a subscription");
            return link.requests.push_back((Value::Null, false, Vec::new()));
        }
        let request: Value = serde_json::from_str(text).expect("JSON");
        let [id, method, args] = match self.kind {
            VenueKind::DeribitInverse => deribit::parts(&request),
            VenueKind::Polymarket => polymarket::parts(&request),
            _ if self.kind.is_binance() => ["id", "method", "params"].map(|key| &request[key]),
            _ => ["req_id", "op", "args"].map(|key| &request[key]),
        };
        let method = method.as_str().expect("a method").to_ascii_lowercase();
        let method = method.trim_start_matches("public/");
        link.begun = true;
        let topics: Vec<String> = args
            .as_array()
            .map(|args| {
                args.iter()
                    .map(|arg| arg.as_str().expect("a topic").to_owned())
                    .collect()
            })
            .unwrap_or_default();
        assert!(
            matches!(method, "ping" | "test" | "set_heartbeat") || !topics.is_empty(),
            "a request for nothing"
        );
        if self.kind == VenueKind::BybitSpot {
            assert!(topics.len() <= 10, "args size >10");
        }
        let subscribes = matches!(method, "subscribe" | "market");
        link.requests.push_back((id.clone(), subscribes, topics));
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
        link.begun = false;
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
        link.mute.clear();
        link.lag.clear();
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

    fn message(&mut self, link: u16, bytes: &[u8]) {
        let before: Vec<_> = self.live_tops().collect();
        let malformed = self.connector.counters().malformed;
        let mut bytes = bytes.to_vec();
        self.connector
            .handle_message(self.now, LinkId(link), &mut bytes, &mut self.out);
        if self.connector.counters().malformed > malformed {
            let hot = self.out.hot().iter();
            let prices = hot.filter(|event| !matches!(event.body(), Body::State(_)));
            assert_eq!(prices.count(), 0, "prices out of a malformed message");
            for (id, seq, top) in before {
                let view = self
                    .connector
                    .book(id)
                    .filter(|view| view.state == StreamState::Live);
                let same = view.is_none_or(|view| (view.seq, view.book.top()) == (seq, top));
                assert!(same, "{id}: a malformed message has changed a book");
            }
        }
        self.settle();
    }

    // The engine's side.

    /// Ends the requests that have taken too long.
    fn give_up(&mut self) {
        let now = self.now;
        let is_late = |(deadline, _): &mut (Nanos, HttpRequest)| *deadline <= now;
        let late: Vec<_> = self.http.extract_if(.., is_late).collect();
        for (_, request) in late {
            self.respond(&request, HttpFault::Failed);
        }
    }

    fn fire(&mut self) {
        self.connector.handle_timeout(self.now, &mut self.out);
        self.settle();
        let next = self.connector.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now),
            "a timer that has run is gone"
        );
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Nanos::from_millis(millis as i64);
        let mut fired = 0;
        loop {
            let given_up = self.http.iter().map(|(deadline, _)| *deadline).min();
            let timer = self.connector.poll_timeout();
            let Some(at) = given_up
                .into_iter()
                .chain(timer)
                .min()
                .filter(|at| *at <= end)
            else {
                break;
            };
            fired += 1;
            assert!(fired <= TIMERS_MAX, "a storm of timers");
            self.now = self.now.max(at);
            if timer.is_some_and(|at| at <= self.now) {
                self.fire();
            }
            self.give_up();
        }
        self.now = end;
    }

    // What must hold.
    pub(crate) fn run(&mut self, op: Op) {
        match op {
            Op::Subscribe {
                symbol,
                channel,
                depth,
            } => {
                let name = if self.rng.bool() {
                    self.kind.names()[symbol].to_owned()
                } else {
                    self.kind.unified(symbol)
                };
                self.subscribe(symbol, &name, self.channel(channel), depth);
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

    /// Whether a book has all that the venue has sent of it: one that is Live and mute has not.
    fn is_current(&self, index: usize) -> bool {
        let seen = &self.seen[index];
        let id = StreamId::new(index as u32).expect("small");
        let is_quote = self.kind == VenueKind::DeribitInverse && seen.channel == Channel::Bbo;
        let told_whole = !self.kind.is_binance() && !is_quote;
        let view = self.connector.book(id).filter(|_| told_whole);
        view.is_none_or(|view| {
            !self.honest
                || self
                    .truths
                    .get(seen.symbol())
                    .is_none_or(|truth| truth.seq == view.seq)
        })
    }

    /// From here on the venue behaves: all that is wanted must become Live.
    pub(crate) fn heal(&mut self) {
        for _ in 0..1_500 {
            self.up(0);
            while self.links.values().any(|link| !link.requests.is_empty()) {
                self.answer(0, AckFault::None);
            }
            while !self.http.is_empty() {
                self.http(0, HttpFault::None);
            }
            for symbol in 0..SYMBOLS {
                self.tick(symbol, Fault::None);
            }
            self.arrive_all();
            self.wait(100);
            let mut open = self.seen.iter().enumerate().filter(|(_, seen)| seen.open);
            if open.all(|(index, seen)| seen.state == StreamState::Live && self.is_current(index)) {
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

/// Runs the inputs, and then has the venue behave.
pub(crate) fn check(kind: VenueKind, instruments: bool, seed: u64, ops: &[Op]) {
    let mut world = World::new(kind, instruments, seed);
    for op in ops {
        world.run(*op);
    }
    world.heal();
}
