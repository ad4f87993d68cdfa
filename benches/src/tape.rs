//! Message texts of the simulator, recorded at the start of a bench, with all that brings a connector
//! to the point where it takes them.
//!
//! The world and the connector are both sans-IO, so that this is a loop over their calls: no socket,
//! no thread, and the same seed records the same bytes.

use std::time::Instant;

use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::deribit::{Deribit, DeribitConfig};
use tickwire_connectors::instrument::{Symbol, symbol};
use tickwire_connectors::polymarket::{Polymarket, PolymarketConfig};
use tickwire_connectors::transmit::{ReadOn, RequestId, Response, Transmit};
use tickwire_connectors::{
    AnyConnector, Channel, Command, Connector, EventKind, Instrument, LinkChange, LinkId, Nanos,
    Outbox, StreamId, StreamState,
};
use tickwire_sim::{Accept, ConnId, HttpRequest, Item, MsgKind, SimVenue, VenueSpec, World};

/// A whole minute, so that the venue's windows are aligned.
const START: Nanos = Nanos(1_700_000_040_000_000_000);

/// How far the world goes on between two looks.
const STEP: Nanos = Nanos::from_millis(5);

/// Where the time of a recording must have led to something.
const LONGEST: Nanos = Nanos::from_secs(3_600);

/// How often a client of Polymarket says that it is there.
const PING_EVERY: Nanos = Nanos::from_secs(5);

const CONN: ConnId = ConnId(1);
const LINK: LinkId = LinkId(0);
const SEED: u64 = 7;

/// What to record.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Which venue.
    pub venue: SimVenue,
    /// Which channel of it.
    pub channel: Channel,
    /// The kind of message in the simulator's words.
    pub kind: MsgKind,
    /// Of that kind only the messages that have this in their text.
    pub holding: &'static str,
    /// Market events a second: decides how much a message of a timed channel holds.
    pub rate_msgs_s: u32,
    /// How many messages.
    pub count: usize,
}

/// What went into the connector before the first recorded message, and when.
#[derive(Debug)]
enum Input {
    Command(Command),
    Up,
    Message(Vec<u8>),
    Answer(RequestId, u16, Vec<u8>),
    Instruments(RequestId, Vec<Instrument>),
}

/// A recording.
#[derive(Debug)]
pub struct Tape {
    wanted: Wanted,
    inputs: Vec<(Nanos, Input)>,
    /// The recorded messages, in the order of the stream.
    pub messages: Vec<Vec<u8>>,
    /// When the first of them came.
    pub now: Nanos,
}

impl Tape {
    /// Runs a world and a connector of one stream until it is Live, and then the world alone until it
    /// has said enough.
    ///
    /// # Panics
    /// If it never does.
    pub fn record(wanted: Wanted) -> Tape {
        let mut recorder = Recorder::new(wanted);
        recorder.run();
        Tape {
            wanted,
            inputs: recorder.inputs,
            messages: recorder.messages,
            now: recorder.live.unwrap_or(START),
        }
    }

    /// A connector that stands right before the first message, with its stream Live.
    ///
    /// # Panics
    /// If it does not get there a second time.
    pub fn connector(&self) -> AnyConnector {
        let mut connector = connector(self.wanted.venue);
        let (mut out, mut body) = (Outbox::new(), Vec::new());
        let mut live = false;
        for (now, input) in &self.inputs {
            input.give(&mut connector, *now, &mut out);
            live = is_live(&out, live);
            out.clear();
            while connector.poll_transmit(*now, &mut body).is_some() {
                body.clear();
            }
        }
        assert!(live, "the stream of {:?} is not Live", self.wanted);
        connector
    }

    /// The instrument's stream.
    pub const STREAM: StreamId = match StreamId::new(0) {
        Some(stream) => stream,
        None => panic!("0 is a stream"),
    };

    /// The link that the messages come on.
    pub const LINK: LinkId = LINK;

    /// The mean length of a message in bytes.
    pub fn mean_len(&self) -> usize {
        self.messages.iter().map(Vec::len).sum::<usize>() / self.messages.len().max(1)
    }
}

impl Input {
    fn give(&self, connector: &mut AnyConnector, now: Nanos, out: &mut Outbox) {
        match self {
            Input::Command(command) => connector.handle_command(now, *command, out),
            Input::Up => connector.handle_link(now, LINK, LinkChange::Up { epoch: 1 }, out),
            Input::Message(text) => {
                connector.handle_message(now, LINK, &mut text.clone(), out);
            }
            Input::Answer(id, status, body) => {
                let response = Response {
                    status: *status,
                    headers: &[],
                    body: &mut body.clone(),
                };
                connector.handle_response(now, *id, Ok(response), out);
            }
            Input::Instruments(id, instruments) => {
                connector.handle_instruments(now, *id, Ok(instruments.clone()), out);
            }
        }
    }
}

struct Recorder {
    wanted: Wanted,
    world: World,
    sent: tickwire_sim::Outbox,
    connector: AnyConnector,
    out: Outbox,
    now: Nanos,
    inputs: Vec<(Nanos, Input)>,
    live: Option<Nanos>,
    messages: Vec<Vec<u8>>,
}

impl Recorder {
    #[expect(
        clippy::disallowed_methods,
        reason = "the send log wants some instant as its base"
    )]
    fn new(wanted: Wanted) -> Recorder {
        let spec = VenueSpec::of(wanted.venue)
            .symbols(&[symbol_of(wanted.venue)])
            .rate_msgs_s(wanted.rate_msgs_s);
        let world = match World::new(&[spec], SEED, START.0, Instant::now()) {
            Ok(world) => world,
            Err(error) => panic!("no world: {error}"),
        };
        Recorder {
            wanted,
            world,
            sent: tickwire_sim::Outbox::default(),
            connector: connector(wanted.venue),
            out: Outbox::new(),
            now: START,
            inputs: Vec::new(),
            live: None,
            messages: Vec::new(),
        }
    }

    fn run(&mut self) {
        self.input(Input::Command(Command::Subscribe {
            stream: Tape::STREAM,
            symbol: asked(self.wanted.venue),
            channel: self.wanted.channel,
            depth: false,
        }));
        while self.messages.len() < self.wanted.count {
            assert!(
                self.now < START + LONGEST,
                "{:?}: only {} messages came",
                self.wanted,
                self.messages.len()
            );
            self.now += STEP;
            self.world.poll(self.now.0, &mut self.sent);
            self.keep_alive();
            self.take_sent();
        }
        self.messages.truncate(self.wanted.count);
    }

    /// Gives the connector what the world has sent; once it is Live, only records.
    fn take_sent(&mut self) {
        // What the world answers meanwhile goes to the outbox put in its place.
        while !self.sent.items.is_empty() {
            let sent = core::mem::take(&mut self.sent);
            for item in &sent.items {
                let (range, kind) = match item {
                    Item::Text { range, kind, .. } => (range, kind),
                    Item::Ping { conn, range } => {
                        let payload = &sent.bytes[range.clone()];
                        let (venue, now) = (self.wanted.venue, self.now.0);
                        self.world
                            .handle_pong(venue, *conn, payload, now, &mut self.sent);
                        continue;
                    }
                    Item::Pong { .. } => continue,
                    Item::Close { .. } | Item::Cut { .. } => {
                        panic!("the venue cut the link: {item:?}")
                    }
                };
                let text = sent.bytes[range.clone()].to_vec();
                if self.live.is_none() {
                    self.input(Input::Message(text));
                } else if *kind == self.wanted.kind && holds(&text, self.wanted.holding) {
                    self.messages.push(text);
                } else if holds(&text, "test_request") {
                    let test = r#"{"jsonrpc":"2.0","id":1,"method":"public/test"}"#;
                    self.say(test);
                }
            }
        }
    }

    /// Polymarket hears from its clients in words, all the time.
    fn keep_alive(&mut self) {
        if self.wanted.venue == SimVenue::Polymarket && self.now.0 % PING_EVERY.0 == 0 {
            self.say("PING");
        }
    }

    fn say(&mut self, text: &str) {
        let (venue, now) = (self.wanted.venue, self.now.0);
        self.world
            .handle_text(venue, CONN, text, now, &mut self.sent);
    }

    fn input(&mut self, input: Input) {
        input.give(&mut self.connector, self.now, &mut self.out);
        self.inputs.push((self.now, input));
        if is_live(&self.out, false) {
            self.live = Some(self.now);
        }
        self.out.clear();
        let mut body = Vec::new();
        while let Some(transmit) = self.connector.poll_transmit(self.now, &mut body) {
            self.transmit(transmit, &body);
            body.clear();
        }
    }

    fn transmit(&mut self, transmit: Transmit, body: &[u8]) {
        let (venue, now) = (self.wanted.venue, self.now.0);
        match transmit {
            Transmit::Open { spec, .. } => {
                let accept = self
                    .world
                    .handle_open(venue, CONN, &spec.path, now, &mut self.sent);
                assert_eq!(accept, Accept::Upgrade, "{}", spec.path);
                self.input(Input::Up);
            }
            Transmit::Text { .. } => self.say(&String::from_utf8_lossy(body)),
            Transmit::Http(request) => {
                let (path, query) = request
                    .target
                    .split_once('?')
                    .unwrap_or((&request.target, ""));
                let asked = HttpRequest {
                    method: request.method.as_str(),
                    path,
                    query,
                    headers: &[],
                    body,
                };
                let mut answer = self.world.handle_http(venue, &asked, now);
                let input = if request.read_on == ReadOn::Helper && answer.status == 200 {
                    let read = self.connector.instrument_reader();
                    match read(self.connector.market(), &mut answer.body) {
                        Ok(instruments) => Input::Instruments(request.id, instruments),
                        Err(error) => panic!("{}: {error}", request.target),
                    }
                } else {
                    Input::Answer(request.id, answer.status, answer.body)
                };
                self.input(input);
            }
            Transmit::Close { .. } | Transmit::Reconnect { .. } => {
                panic!("the connector gave up: {transmit:?}");
            }
            Transmit::Binary { .. } | Transmit::Ping { .. } => {
                panic!("no venue of the tape wants {transmit:?}");
            }
        }
    }
}

fn is_live(out: &Outbox, before: bool) -> bool {
    out.hot()
        .iter()
        .rfind(|event| event.kind() == EventKind::State)
        .map_or(before, |event| event.state() == StreamState::Live)
}

fn holds(text: &[u8], part: &str) -> bool {
    let mut windows = text.windows(part.len().max(1));
    part.is_empty() || windows.any(|window| window == part.as_bytes())
}

/// The instrument of a venue.
pub(crate) const fn symbol_of(venue: SimVenue) -> &'static str {
    match venue {
        SimVenue::DeribitInverse => "BTC-PERPETUAL",
        SimVenue::Polymarket => {
            "71321045679252212594626385532706912750332728571942532289631379312455583992563"
        }
        _ => "BTCUSDT",
    }
}

fn asked(venue: SimVenue) -> Symbol {
    match symbol(symbol_of(venue)) {
        Some(symbol) => symbol,
        None => panic!("a short symbol"),
    }
}

fn connector(venue: SimVenue) -> AnyConnector {
    let there = ("wss://sim", "https://sim");
    let built = match venue {
        SimVenue::BinanceSpot => binance(BinanceConfig::spot().at(there)),
        SimVenue::BinanceLinear => binance(BinanceConfig::linear().at(there)),
        SimVenue::BinanceInverse => binance(BinanceConfig::inverse().at(there)),
        SimVenue::BybitSpot => bybit(BybitConfig::spot().at(there)),
        SimVenue::BybitLinear => bybit(BybitConfig::linear().at(there)),
        SimVenue::DeribitInverse => deribit(DeribitConfig::inverse().at(there)),
        SimVenue::Polymarket => polymarket(PolymarketConfig::new().at(there)),
        other => panic!("no tape is made of {other}"),
    };
    match built {
        Ok(connector) => connector,
        Err(error) => panic!("{venue}: {error}"),
    }
}

fn binance(config: BinanceConfig) -> Result<AnyConnector, tickwire_connectors::Error> {
    Ok(AnyConnector::Binance(Box::new(Binance::new(config, SEED)?)))
}

fn bybit(config: BybitConfig) -> Result<AnyConnector, tickwire_connectors::Error> {
    Ok(AnyConnector::Bybit(Box::new(Bybit::new(config, SEED)?)))
}

fn deribit(config: DeribitConfig) -> Result<AnyConnector, tickwire_connectors::Error> {
    Ok(AnyConnector::Deribit(Box::new(Deribit::new(config, SEED)?)))
}

fn polymarket(config: PolymarketConfig) -> Result<AnyConnector, tickwire_connectors::Error> {
    let polymarket = Polymarket::new(config, SEED)?;
    Ok(AnyConnector::Polymarket(Box::new(polymarket)))
}
