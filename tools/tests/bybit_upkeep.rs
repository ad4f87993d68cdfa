//! Bybit's connector over the simulator's market in virtual time: books beside level 1 raise no false
//! alarm, a planned cut is not seen, a mute stream is found and healed, a ban is told.

use std::collections::BTreeMap;
use std::time::Instant;

use tickwire::testing::sim::{
    Accept, ConnId, Fault, HttpRequest, Item, Outbox as Sent, SimVenue, Target, VenueSpec, World,
};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::connector::Counters;
use tickwire_connectors::instrument::symbol;
use tickwire_connectors::outbox::Item as Said;
use tickwire_connectors::transmit::{DownReason, ReadOn, Response};
use tickwire_connectors::upkeep::{Redundancy, Upkeep};
use tickwire_connectors::{
    Body, Command, Connector, FetchInstruments, LinkChange, LinkId, Nanos, Outbox, Reason,
    StreamId, StreamState, Transmit, VenueNews,
};

const START: i64 = 1_700_000_040_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// What a message takes to the other side.
const LATENCY: i64 = 3_000_000;

/// A connector, the venue, and the links between them.
struct Rig {
    venue: SimVenue,
    world: World,
    bybit: Bybit,
    now: i64,
    sent: Sent,
    out: Outbox,
    links: BTreeMap<u16, (ConnId, u16)>,
    /// What is under way to the connector.
    way: std::collections::VecDeque<(i64, ConnId, Vec<u8>)>,
    conns: u64,
    streams: u32,
    /// (stream, state, reason) of every change.
    states: Vec<(u32, StreamState, Reason)>,
    news: Vec<VenueNews>,
}

impl Rig {
    fn new(venue: SimVenue, config: BybitConfig, rate_msgs_s: u32) -> Rig {
        let spec = VenueSpec::of(venue).instruments(3).rate_msgs_s(rate_msgs_s);
        #[expect(
            clippy::disallowed_methods,
            reason = "the log wants some instant as its base"
        )]
        let base = Instant::now();
        Rig {
            venue,
            world: World::new(&[spec], 7, START, base).expect("a good spec"),
            bybit: Bybit::new(config, 7).expect("a good config"),
            now: START,
            sent: Sent::default(),
            out: Outbox::new(),
            links: BTreeMap::new(),
            way: Default::default(),
            conns: 0,
            streams: 0,
            states: Vec::new(),
            news: Vec::new(),
        }
    }

    fn now(&self) -> Nanos {
        Nanos(self.now)
    }

    fn subscribe(&mut self, name: &str, channel: &str) -> u32 {
        let stream = self.streams;
        self.streams += 1;
        let command = Command::Subscribe {
            stream: StreamId::new(stream).expect("small"),
            symbol: symbol(name).expect("short"),
            channel: channel.parse().expect("a channel"),
            depth: false,
        };
        let now = self.now();
        self.bybit.handle_command(now, command, &mut self.out);
        self.settle();
        stream
    }

    /// Takes what the connector says and does what it asks for.
    fn settle(&mut self) {
        for said in self.out.iter() {
            if let Said::Hot(event) = said
                && let Body::State(change) = event.body()
            {
                let stream = event.stream().index() as u32;
                self.states.push((stream, event.state(), change.reason()));
            }
        }
        self.news.extend_from_slice(self.out.news());
        self.out.clear();
        let mut body = Vec::new();
        let now = self.now();
        while let Some(todo) = self.bybit.poll_transmit(now, &mut body) {
            match todo {
                Transmit::Open { link, spec } => self.open(link, &spec.path),
                Transmit::Close { link } => drop(self.links.remove(&link.0)),
                Transmit::Reconnect { link, .. } => {
                    let reason = DownReason::Cut("by us");
                    let change = LinkChange::Down { reason };
                    self.bybit.handle_link(now, link, change, &mut self.out);
                    self.open(link, self.venue_path());
                }
                Transmit::Text { link, .. } => {
                    if let Some((conn, _)) = self.links.get(&link.0) {
                        let text = std::str::from_utf8(&body).expect("UTF-8");
                        self.world
                            .handle_text(self.venue, *conn, text, self.now, &mut self.sent);
                    }
                }
                Transmit::Binary { .. } | Transmit::Ping { .. } => unreachable!("{todo:?}"),
                Transmit::Http(request) => {
                    let (path, query) = request.target.split_once('?').expect("a query");
                    let call = HttpRequest {
                        method: "GET",
                        path,
                        query,
                        headers: &[],
                        body: b"",
                    };
                    let answer = self.world.handle_http(self.venue, &call, self.now);
                    let mut bytes = answer.body.to_vec();
                    assert_eq!(request.read_on, ReadOn::Loop, "no instruments here");
                    let response = Response {
                        status: answer.status,
                        headers: &[],
                        body: &mut bytes,
                    };
                    self.bybit
                        .handle_response(now, request.id, Ok(response), &mut self.out);
                }
            }
            body.clear();
        }
        if !self.out.is_empty() {
            self.settle();
        }
    }

    fn venue_path(&self) -> &'static str {
        match self.venue {
            SimVenue::BybitSpot => "/v5/public/spot",
            _ => "/v5/public/linear",
        }
    }

    fn open(&mut self, link: LinkId, path: &str) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let accept = self
            .world
            .handle_open(self.venue, conn, path, self.now, &mut self.sent);
        assert!(matches!(accept, Accept::Upgrade), "{path}");
        let epoch = self.conns as u16;
        self.links.insert(link.0, (conn, epoch));
        let now = self.now();
        self.bybit
            .handle_link(now, link, LinkChange::Up { epoch }, &mut self.out);
    }

    /// Lets time pass.
    fn run(&mut self, span_ns: i64) {
        let end = self.now + span_ns;
        loop {
            let next = self.world.poll(self.now, &mut self.sent);
            for item in core::mem::take(&mut self.sent.items) {
                if let Item::Text { conn, range, .. } = item {
                    let bytes = self.sent.bytes[range].to_vec();
                    self.way.push_back((self.now + LATENCY, conn, bytes));
                }
            }
            self.sent.clear();
            while self.way.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, conn, mut bytes)) = self.way.pop_front() else {
                    break;
                };
                let link = self.links.iter().find(|(_, (one, _))| *one == conn);
                if let Some((&link, _)) = link {
                    let now = self.now();
                    self.bybit
                        .handle_message(now, LinkId(link), &mut bytes, &mut self.out);
                    self.settle();
                }
            }
            let timer = self.bybit.poll_timeout().map(|at| at.0);
            if timer.is_some_and(|at| at <= self.now) {
                let now = self.now();
                self.bybit.handle_timeout(now, &mut self.out);
                self.settle();
                continue;
            }
            let way = self.way.front().map(|(at, ..)| *at);
            match [next, timer, way].into_iter().flatten().min() {
                Some(at) if at <= self.now => {}
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
    }

    fn counters(&self) -> Counters {
        self.bybit.counters()
    }

    fn state(&self, stream: u32) -> StreamState {
        let id = StreamId::new(stream).expect("small");
        self.bybit.book(id).expect("a book").state
    }
}

fn config(venue: SimVenue, change: impl FnOnce(&mut Upkeep)) -> BybitConfig {
    let mut config = match venue {
        SimVenue::BybitSpot => BybitConfig::spot(),
        _ => BybitConfig::linear(),
    };
    config.instruments = FetchInstruments::No;
    change(&mut config.upkeep);
    config
}

const VENUES: [SimVenue; 2] = [SimVenue::BybitSpot, SimVenue::BybitLinear];
const CHANNELS: [&str; 4] = ["book", "book:200", "book:1000", "trades"];

#[test]
fn books_that_are_right_raise_no_alarm() {
    for venue in VENUES {
        let mut rig = Rig::new(venue, config(venue, |_| {}), 3_000);
        for name in ["BTCUSDT", "ETHUSDT", "SOLUSDT"] {
            for channel in CHANNELS {
                rig.subscribe(name, channel);
            }
        }
        rig.run(30 * SECOND);
        let counters = rig.counters();
        assert!(counters.messages > 15_000, "{counters:?}");
        assert_eq!(
            (counters.disagreements, counters.resyncs, counters.mute),
            (0, 0, 0),
            "{counters:?}"
        );
        assert_eq!(counters.unrouted + counters.malformed, 0);
    }
}

#[test]
fn planned_cuts_and_pairs_are_not_seen() {
    for venue in VENUES {
        for redundancy in [Redundancy::Single, Redundancy::Pair] {
            let config = config(venue, |upkeep| {
                upkeep.link_age_max_ns = Some(Nanos::from_secs(8));
                upkeep.handover_max_ns = Nanos::from_secs(4);
                upkeep.redundancy = redundancy;
            });
            let mut rig = Rig::new(venue, config, 500);
            for channel in CHANNELS {
                rig.subscribe("BTCUSDT", channel);
            }
            rig.subscribe("BTCUSDT", "bbo");
            rig.subscribe("BTCUSDT", "ticker");
            rig.subscribe("BTCUSDT", "kline:1m");
            rig.run(5 * SECOND);
            rig.states.clear();
            rig.run(60 * SECOND);
            let counters = rig.counters();
            assert!(counters.handovers >= 4, "{redundancy:?} {counters:?}");
            assert!(counters.duplicates > 0);
            let breaks: Vec<_> = rig
                .states
                .iter()
                .filter(|(_, state, reason)| {
                    *state != StreamState::Live || *reason != Reason::HandedOver
                })
                .collect();
            assert!(breaks.is_empty(), "{venue:?} {redundancy:?}: {breaks:?}");
            assert_eq!(
                (
                    counters.gaps,
                    counters.resyncs,
                    counters.stale,
                    counters.unalike
                ),
                (0, 0, 0, 0)
            );
        }
    }
}

#[test]
fn a_mute_stream_is_found_and_healed_and_no_other_is_touched() {
    // Each is mute a little longer than it takes to find out.
    for (channel, topic, stall_s) in [
        ("book", "orderbook.50.BTCUSDT", 20),
        ("bbo", "orderbook.1.BTCUSDT", 14),
        ("trades", "publicTrade.BTCUSDT", 66),
        ("ticker", "tickers.BTCUSDT", 36),
    ] {
        let venue = SimVenue::BybitLinear;
        let mut rig = Rig::new(venue, config(venue, |_| {}), 500);
        let stream = rig.subscribe("BTCUSDT", channel);
        for name in ["ETHUSDT", "SOLUSDT"] {
            rig.subscribe(name, channel);
        }
        rig.run(5 * SECOND);
        rig.states.clear();
        let stall = Fault::Stall {
            target: Target::Stream(topic.to_owned()),
            for_ns: stall_s * SECOND,
        };
        rig.world.inject(venue, &stall, rig.now, &mut rig.sent);
        rig.run(stall_s * SECOND);
        let found = rig.states.iter().any(|(one, state, reason)| {
            *one == stream && *state == StreamState::Stale && *reason == Reason::Mute
        });
        assert!(found, "{channel}: {:?}", rig.states);
        assert!(rig.counters().mute >= 1);
        rig.run(60 * SECOND);
        let mut others = rig.states.iter().filter(|(one, ..)| *one != stream);
        let live = others.all(|(_, state, _)| *state == StreamState::Live);
        assert!(live, "{channel}: {:?}", rig.states);
        let last = rig.states.iter().rfind(|(one, ..)| *one == stream);
        assert!(
            last.is_some_and(|(_, state, _)| *state == StreamState::Live),
            "{channel}: {:?}",
            rig.states
        );
    }
}

#[test]
fn a_ban_is_told_with_its_end_and_live_books_stay_live() {
    let venue = SimVenue::BybitSpot;
    let mut rig = Rig::new(venue, config(venue, |_| {}), 50);
    let book = rig.subscribe("BTCUSDT", "book");
    let quiet = rig.subscribe("ETHUSDT", "book");
    rig.run(2 * SECOND);
    let refuse = Fault::RestStatus {
        status: 403,
        retry_after_s: None,
        times: 1,
    };
    rig.world.inject(venue, &refuse, rig.now, &mut rig.sent);
    let stall = Fault::Stall {
        target: Target::Stream("orderbook.50.ETHUSDT".to_owned()),
        for_ns: 700 * SECOND,
    };
    rig.world.inject(venue, &stall, rig.now, &mut rig.sent);
    rig.run(60 * SECOND);
    assert!(
        matches!(rig.news[..], [VenueNews::Banned { status: 403, .. }]),
        "{:?}",
        rig.news
    );
    assert_eq!(
        (rig.state(book), rig.counters().bans),
        (StreamState::Live, 1)
    );
    let asked = rig.counters().requests;
    rig.run(540 * SECOND);
    assert_eq!(rig.counters().requests, asked, "nothing is asked meanwhile");
    rig.run(60 * SECOND);
    assert_eq!(rig.news.last(), Some(&VenueNews::BanLifted));
    assert!(rig.counters().requests > asked);
    rig.run(120 * SECOND);
    assert_eq!(rig.state(quiet), StreamState::Live);
}
