//! A whole engine under scripts: what its user asks of it, and what a hostile peer does to it. The
//! loop is the real one, turned by hand over connections in memory, in virtual time.
//!
//! Octets are a script of text, one input a line, so that a corpus file can be read and written by
//! hand. The first line is the setup, a letter each:
//!
//! | letter | |
//! |---|---|
//! | `0` to `4` | a venue: Binance spot, linear, inverse, Bybit spot, linear |
//! | `y` | venues from here on are asked for their instruments |
//! | `p` `q` | a pair of rings, of 1 and of 512 |
//! | `t` | a strategy over a ring of 2 |
//! | `i` | an inline strategy |
//! | `z` `n` `b` `m` | errors: a ring of 0, the first name again, a symbol that can't be, 70 strategies |
//!
//! | line | |
//! |---|---|
//! | `s01bd` | strategy 0 subscribes symbol 1, channel `b`, with depth |
//! | `u02` `r02` `y02` | strategy 0 lets stream 2 go, has it published again, has it fetched anew |
//! | `e09` | strategy 0 reads 9 events; `E0`: it drops its ring |
//! | `w300` | 300 ms pass |
//! | `-` `=` | the next connection is refused, never stands |
//! | `U0` | connection 0 is upgraded |
//! | `m0{..}` | a text on connection 0; `M0 99 {..}`: 99 times |
//! | `f0 89 99 x` | a frame with this first octet, 99 times |
//! | `h0 200 {..}` | an answer over HTTP |
//! | `o0text` | octets as they are: `$` is CR LF, `@` the answer to the key, `%41` an octet |
//! | `l0 9` `k0 9` | at most 9 octets a read, a write |
//! | `c0` `C0` | the peer ends the connection, resets it |

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tickwire::connectors::FetchInstruments;
use tickwire::connectors::transmit::Endpoint;
use tickwire::net::{Net, Ready, Token};
use tickwire::ring::{Consumer, Item, RingConfig};
use tickwire::testing::HandEngine;
use tickwire::{
    BinanceConfig, Body, BookParams, BuildError, BybitConfig, Channel, Engine, EngineBuilder,
    Event, Interval, Market, Nanos, Strategy, StrategySetup, StreamId, Venue,
};
use tungstenite::handshake::derive_accept_key;

/// Longer scripts find nothing that shorter ones do not.
const LINES_MAX: usize = 300;

/// Commands of a script: an engine queues no more than this between two turns.
const REPEAT_MAX: u64 = 500;

/// Octets that a line may repeat into a connection: a peer may have them read one by one.
const REPEAT_BYTES_MAX: usize = 32 << 10;

/// Turns in a row that move no octet and let no time pass: the loop is busy with nothing.
const TURNS_MAX: usize = 1_000;

/// Turns in which time passes to the next deadline.
const DEADLINES_MAX: usize = 20_000;

/// Reads until what had no room in a ring of 512 has come: an event of each stream a time is enough.
const READS_MAX: usize = 4;

/// The longest that passes at once.
const WAIT_MS_MAX: u64 = 1_000_000;

/// Octets that a peer keeps of what the engine sends, for it to look for a key in.
const KEPT_MAX: usize = 4 << 10;

// The network ------------------------------------------------------------------------------------

/// The peer's side of a connection.
#[derive(Debug)]
struct Pipe {
    port: u16,
    to_engine: VecDeque<u8>,
    from_engine: Vec<u8>,
    ended: bool,
    reset: bool,
    read_max: usize,
    write_max: usize,
}

/// Connections whose other side is the script.
#[derive(Debug, Default)]
struct ScriptNet {
    opened: u32,
    open: BTreeMap<usize, (Token, Pipe)>,
    ready: Vec<Ready>,
    /// How the next connections go.
    fates: VecDeque<Fate>,
    /// Octets read and written since this was last looked at.
    moved: usize,
    /// How many connections are open, for one who no longer has the network.
    count: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Hangs,
}

impl ScriptNet {
    fn pipe(&mut self, token: Token) -> io::Result<&mut Pipe> {
        let found = self.open.get_mut(&token.slot());
        let found = found.filter(|(own, _)| *own == token);
        let (_, pipe) = found.ok_or(io::ErrorKind::NotConnected)?;
        if pipe.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(pipe)
    }

    /// One of the open connections, to do something with.
    fn with(&mut self, number: usize, act: impl FnOnce(&mut Pipe)) {
        let count = self.open.len().max(1);
        if let Some((token, pipe)) = self.open.values_mut().nth(number % count) {
            act(pipe);
            self.ready.push(Ready::Readable(*token));
            self.ready.push(Ready::Writable(*token));
        }
    }
}

impl Net for ScriptNet {
    fn open(&mut self, endpoint: &Endpoint) -> Token {
        self.opened += 1;
        let slot = (0..)
            .find(|slot| !self.open.contains_key(slot))
            .unwrap_or(0);
        let token = Token::new(slot as u32, self.opened);
        let pipe = Pipe {
            port: endpoint.port,
            to_engine: VecDeque::new(),
            from_engine: Vec::new(),
            ended: false,
            reset: false,
            read_max: usize::MAX,
            write_max: usize::MAX,
        };
        match self.fates.pop_front() {
            None => self.ready.push(Ready::Connected(token)),
            Some(Fate::Hangs) => {}
            Some(Fate::Refused) => {
                self.ready.push(Ready::Failed(token, "refused".to_owned()));
                return token;
            }
        }
        self.open.insert(slot, (token, pipe));
        self.count.store(self.open.len(), Ordering::Relaxed);
        token
    }

    fn poll(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.append(&mut self.ready);
        Ok(())
    }

    fn recv(&mut self, token: Token, into: &mut [u8]) -> io::Result<usize> {
        let pipe = self.pipe(token)?;
        let count = pipe.to_engine.len().min(into.len()).min(pipe.read_max);
        if count == 0 {
            return match pipe.ended {
                true => Ok(0),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        for (to, from) in into.iter_mut().zip(pipe.to_engine.drain(..count)) {
            *to = from;
        }
        let more = !pipe.to_engine.is_empty() && count < into.len();
        self.moved += count;
        if more {
            // As an edge-triggered poll would: more has arrived.
            self.ready.push(Ready::Readable(token));
        }
        Ok(count)
    }

    fn send(&mut self, token: Token, bytes: &[u8]) -> io::Result<usize> {
        let pipe = self.pipe(token)?;
        let count = bytes.len().min(pipe.write_max);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = KEPT_MAX.saturating_sub(pipe.from_engine.len());
        pipe.from_engine.extend(&bytes[..count.min(room)]);
        self.moved += count;
        Ok(count)
    }

    fn close(&mut self, token: Token) {
        if self
            .open
            .get(&token.slot())
            .is_some_and(|(own, _)| *own == token)
        {
            self.open.remove(&token.slot());
            self.count.store(self.open.len(), Ordering::Relaxed);
        }
    }
}

// The strategies ---------------------------------------------------------------------------------

/// What a strategy believes: nothing but the events, and only in their order.
#[derive(Debug, Default)]
struct Sceptic {
    /// The last state of each stream.
    told: BTreeMap<usize, Event>,
    prices: u64,
}

impl Sceptic {
    fn see(&mut self, event: &Event) {
        let told = self.told.get(&event.stream().index());
        match event.body() {
            Body::State(_) => drop(self.told.insert(event.stream().index(), *event)),
            Body::Lost(_) => {}
            Body::Bbo(_) | Body::Trade(_) | Body::Level(_) => {
                self.prices += 1;
                let is_so = told.is_some_and(|told| {
                    told.is_live() && event.is_live() && told.epoch() == event.epoch()
                });
                assert!(
                    is_so,
                    "a price that does not follow Live: {told:?} {event:?}"
                );
            }
        }
    }

    fn believes_a_stream_live(&self) -> bool {
        self.told.values().any(Event::is_live)
    }
}

impl Strategy for Sceptic {
    fn on_bbo(&mut self, _: &mut tickwire::Context, bbo: &tickwire::Bbo) {
        self.see(bbo);
    }

    fn on_trade(&mut self, _: &mut tickwire::Context, trade: &tickwire::Trade) {
        self.see(trade);
    }

    fn on_level(&mut self, _: &mut tickwire::Context, delta: &tickwire::LevelDelta) {
        self.see(delta);
    }

    fn on_state(&mut self, _: &mut tickwire::Context, change: &tickwire::StateChange) {
        self.see(change);
    }
}

/// A strategy of the script.
enum Seat {
    /// It runs by itself; whether over a ring.
    Runs { over_ring: bool },
    Pair {
        ring: Option<Consumer>,
        /// For a few events of every stream of a script.
        has_room: bool,
        sceptic: Sceptic,
    },
}

// The script --------------------------------------------------------------------------------------

const SYMBOLS: [&str; 8] = [
    "BTC/USDT",
    "BTCUSDT",
    "ETHUSDT",
    "BTC/USD:BTC",
    "",
    "NOPE",
    "A\"]\r\n",
    "a symbol that is longer than any venue's, which is refused before it can reach a connector",
];

const CHANNELS: [Channel; 8] = [
    Channel::BOOK,
    Channel::Bbo,
    Channel::Trades,
    Channel::AggTrades,
    Channel::Ticker,
    Channel::Kline(Interval::Min1),
    Channel::Kline(Interval::Sec1),
    Channel::Book(BookParams {
        levels: Some(3),
        interval_ms: None,
    }),
];

const VENUES: [(Venue, Market); 6] = [
    (Venue::Binance, Market::Spot),
    (Venue::Binance, Market::Linear),
    (Venue::Binance, Market::Inverse),
    (Venue::Bybit, Market::Spot),
    (Venue::Bybit, Market::Linear),
    (Venue::Bybit, Market::Option),
];

const WS_PORT: u16 = 1;

struct World {
    engine: HandEngine<ScriptNet>,
    seats: Vec<Seat>,
    venues: Vec<(Venue, Market)>,
    now: Nanos,
}

/// Runs a script: nothing panics, no price follows anything but Live, the loop is never busy with
/// nothing, and with its end every connection is closed and nobody believes a stream Live. Gives how
/// many prices were read.
pub(crate) fn engine(data: &[u8]) -> u64 {
    let mut lines = data.split(|byte| *byte == b'\n').take(LINES_MAX);
    let count = Arc::new(AtomicUsize::new(0));
    let head = lines.next().unwrap_or_default();
    let Some(mut world) = World::build(head, Arc::clone(&count)) else {
        return 0;
    };
    world.settle();
    for line in lines {
        world.line(line);
        world.settle();
    }
    world.read_all();
    let World {
        engine, seats, now, ..
    } = world;
    engine.stop(now);
    assert_eq!(
        count.load(Ordering::Relaxed),
        0,
        "connections outlive the engine"
    );
    let mut prices = 0;
    for seat in seats {
        if let Seat::Pair {
            ring: Some(mut ring),
            has_room,
            mut sceptic,
        } = seat
        {
            read(&mut ring, &mut sceptic, usize::MAX);
            assert!(ring.producer_gone() && ring.is_empty());
            // The last words find no room in a ring of one: there it is the ring's end that tells.
            let deceived = has_room && sceptic.believes_a_stream_live();
            assert!(!deceived, "{sceptic:?}");
            prices += sceptic.prices;
        }
    }
    prices
}

fn digit(byte: Option<&u8>) -> usize {
    byte.map_or(0, |byte| usize::from(byte.wrapping_sub(b'0')))
}

fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |number, byte| {
        number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))
    })
}

/// The part before the first blank, and the one behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == b' ');
    let first = parts.next().unwrap_or_default();
    (first, parts.next().unwrap_or_default())
}

fn read(ring: &mut Consumer, sceptic: &mut Sceptic, count: usize) {
    for _ in 0..count {
        match ring.pop() {
            Some(Item::Hot(event)) => sceptic.see(&event),
            Some(Item::Wide(_)) => {}
            None => return,
        }
    }
}

fn ring(hot_capacity: usize) -> RingConfig {
    RingConfig {
        hot_capacity,
        wide_capacity: hot_capacity,
        streams: 1,
    }
}

/// A server's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match payload.len() {
        len @ 0..126 => octets.push(len as u8),
        len => {
            octets.push(126);
            octets.extend((len as u16).to_be_bytes());
        }
    }
    octets.extend(&payload[..payload.len().min(usize::from(u16::MAX))]);
    octets
}

/// The answer to the key that a connection was sent.
fn accept(pipe: &Pipe) -> String {
    let request = String::from_utf8_lossy(&pipe.from_engine);
    let mut lines = request.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    derive_accept_key(key.unwrap_or_default().as_bytes())
}

/// `$`, `@` and `%41` of a line of octets.
fn unescaped(text: &[u8], pipe: &Pipe) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'$', _) => octets.extend(b"\r\n"),
            (b'@', _) => octets.extend(accept(pipe).as_bytes()),
            (b'%', [high, low, behind @ ..]) => {
                let hex = |byte: &u8| (*byte as char).to_digit(16).unwrap_or(0) as u8;
                octets.push(hex(high) << 4 | hex(low));
                rest = behind;
            }
            (other, _) => octets.push(*other),
        }
    }
    octets
}

impl World {
    fn build(head: &[u8], count: Arc<AtomicUsize>) -> Option<World> {
        let mut builder = Engine::builder().seed(1);
        let (mut seats, mut venues) = (Vec::new(), Vec::new());
        let mut instruments = FetchInstruments::No;
        let (mut twice, mut wrong, mut named) = (false, false, false);
        for letter in head.iter().take(100) {
            let setup = match letter {
                b'0'..=b'4' => {
                    let at = usize::from(letter - b'0');
                    twice |= venues.contains(&VENUES[at]);
                    venues.push(VENUES[at]);
                    builder = add_venue(builder, at, instruments);
                    continue;
                }
                b'y' => {
                    instruments = FetchInstruments::Yes;
                    continue;
                }
                b'm' => {
                    for _ in 0..70 {
                        builder = builder.strategy(StrategySetup::pair().ring(ring(1)));
                    }
                    wrong = true;
                    continue;
                }
                b'p' => StrategySetup::pair().ring(ring(1)),
                b'q' => StrategySetup::pair().ring(ring(512)),
                b't' => StrategySetup::new(Sceptic::default()).ring(ring(2)),
                b'i' => StrategySetup::new(Sceptic::default()).inline(),
                b'z' => StrategySetup::pair().ring(ring(0)),
                b'n' => StrategySetup::pair().named("n"),
                b'b' => {
                    let (venue, market) = VENUES[5];
                    StrategySetup::pair().watch(venue, market, [SYMBOLS[7]], [Channel::Bbo])
                }
                _ => continue,
            };
            wrong |= matches!(letter, b'z' | b'b') || (*letter == b'n' && named);
            named |= *letter == b'n';
            builder = builder.strategy(setup);
            seats.push(match letter {
                b't' => Seat::Runs { over_ring: true },
                b'i' => Seat::Runs { over_ring: false },
                _ => Seat::Pair {
                    ring: None,
                    has_room: *letter == b'q',
                    sceptic: Sceptic::default(),
                },
            });
        }
        wrong |= twice || venues.is_empty() || seats.len() > tickwire::STRATEGIES_MAX;
        let now = Nanos::from_secs(1_700_000_000);
        let net = ScriptNet {
            count,
            ..ScriptNet::default()
        };
        let built: Result<HandEngine<ScriptNet>, BuildError> = builder.by_hand(net, now);
        assert_eq!(built.is_err(), wrong, "{:?}", built.err());
        let mut engine = built.ok()?;
        for (index, seat) in seats.iter_mut().enumerate() {
            if let Seat::Pair { ring, .. } = seat {
                *ring = engine.take_ring(index);
            }
        }
        Some(World {
            engine,
            seats,
            venues,
            now,
        })
    }

    /// Turns until the engine has nothing left to do at this time.
    fn settle(&mut self) {
        let mut turns = 0;
        while turns < TURNS_MAX {
            let worked = self.engine.turn(self.now);
            turns = match std::mem::take(&mut self.engine.net().moved) {
                0 => turns + 1,
                _ => 0,
            };
            let idle = self.engine.net().ready.is_empty();
            if !worked && idle && self.engine.next_turn() > self.now {
                return;
            }
        }
        panic!("the loop is busy with nothing");
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Nanos::from_millis(millis.min(WAIT_MS_MAX) as i64);
        for _ in 0..DEADLINES_MAX {
            let next = self.engine.next_turn();
            if next > end {
                break;
            }
            // The loop looks at its counters every 10 ms: nothing else needs each of those turns.
            let step = Nanos((end - self.now).0 / 1_000);
            self.now = next.max(self.now + step).min(end);
            self.settle();
            if self.now == end {
                return;
            }
        }
        self.now = end;
    }

    fn line(&mut self, line: &[u8]) {
        let [op, rest @ ..] = line else {
            return;
        };
        let at = |index: usize| digit(rest.get(index));
        let behind = rest.get(1..).unwrap_or_default();
        let seat = at(0) % self.seats.len().max(1);
        let stream = StreamId::new(at(1) as u32).unwrap_or_default();
        match op {
            b's' if !self.seats.is_empty() => self.subscribe(seat, rest),
            // Refused only where too many wait; the queue is empty after each line.
            b'u' if !self.seats.is_empty() => {
                let _ = self.engine.commander(seat).unsubscribe(stream);
            }
            b'r' if !self.seats.is_empty() => {
                let _ = self.engine.commander(seat).republish(stream);
            }
            b'y' if !self.seats.is_empty() => {
                let _ = self.engine.commander(seat).resync(stream);
            }
            b'e' => self.read(seat, number(behind) as usize),
            b'E' => {
                if let Some(Seat::Pair { ring, .. }) = self.seats.get_mut(seat) {
                    *ring = None;
                }
            }
            b'w' => self.wait(number(rest)),
            b'-' => self.engine.net().fates.push_back(Fate::Refused),
            b'=' => self.engine.net().fates.push_back(Fate::Hangs),
            _ => self.peer(*op, at(0), behind),
        }
    }

    fn subscribe(&mut self, seat: usize, rest: &[u8]) {
        let at = |index: usize| digit(rest.get(index));
        let channel = match rest.get(2) {
            Some(b'b') => Channel::BOOK,
            Some(b'1') => Channel::Bbo,
            Some(b't') => Channel::Trades,
            _ => CHANNELS[at(2) % CHANNELS.len()],
        };
        let depth = rest.get(3) == Some(&b'd');
        let named = VENUES[at(4) % VENUES.len()];
        let (venue, market) = match rest.get(4) {
            Some(_) => named,
            None => self.venues[0],
        };
        let symbol = SYMBOLS[at(1) % SYMBOLS.len()];
        let commander = self.engine.commander(seat);
        let _ = commander.subscribe(venue, market, symbol, channel, depth);
    }

    fn read(&mut self, seat: usize, count: usize) {
        match self.seats.get_mut(seat) {
            Some(Seat::Runs { over_ring: true }) => {
                let count = count.max(1);
                self.engine.run_strategy(seat, self.now, count);
            }
            Some(Seat::Pair {
                ring: Some(ring),
                sceptic,
                ..
            }) => read(ring, sceptic, count.max(1)),
            _ => {}
        }
    }

    /// Has every strategy read all that there is for it.
    fn read_all(&mut self) {
        for _ in 0..READS_MAX {
            for seat in 0..self.seats.len() {
                self.read(seat, usize::MAX);
            }
            self.settle();
        }
    }

    /// What a peer does with one of its connections.
    fn peer(&mut self, op: u8, number_of: usize, rest: &[u8]) {
        let net = self.engine.net();
        match op {
            b'U' => net.with(number_of, |pipe| {
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                    accept(pipe)
                );
                if pipe.port == WS_PORT {
                    pipe.to_engine.extend(answer.as_bytes());
                }
            }),
            b'm' => net.with(number_of, |pipe| pipe.to_engine.extend(frame(0x81, rest))),
            b'M' | b'f' => net.with(number_of, |pipe| {
                let (mut first, mut rest) = (0x81, word(rest).1);
                if op == b'f' {
                    let (hex, behind) = word(rest);
                    let hex = core::str::from_utf8(hex).unwrap_or_default();
                    (first, rest) = (u8::from_str_radix(hex, 16).unwrap_or(0), behind);
                }
                let (count, payload) = word(rest);
                let octets = frame(first, payload);
                let fits = (REPEAT_BYTES_MAX / octets.len()) as u64;
                for _ in 0..number(count).min(REPEAT_MAX).min(fits) {
                    pipe.to_engine.extend(&octets);
                }
            }),
            b'h' => net.with(number_of, |pipe| {
                let (status, body) = word(word(rest).1);
                let head = format!(
                    "HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n",
                    number(status) % 1_000,
                    body.len()
                );
                pipe.to_engine.extend(head.as_bytes());
                pipe.to_engine.extend(body);
            }),
            b'o' => net.with(number_of, |pipe| {
                let octets = unescaped(rest, pipe);
                pipe.to_engine.extend(octets);
            }),
            b'l' => net.with(number_of, |pipe| {
                pipe.read_max = (number(word(rest).1) as usize).max(1);
            }),
            b'k' => net.with(number_of, |pipe| {
                pipe.write_max = number(word(rest).1) as usize
            }),
            b'c' => net.with(number_of, |pipe| pipe.ended = true),
            b'C' => net.with(number_of, |pipe| pipe.reset = true),
            _ => {}
        }
    }
}

fn add_venue(builder: EngineBuilder, at: usize, instruments: FetchInstruments) -> EngineBuilder {
    let there = ("ws://there:1", "http://there:2");
    let binance = |config: BinanceConfig| BinanceConfig {
        instruments,
        ..config.at(there)
    };
    let bybit = |config: BybitConfig| BybitConfig {
        instruments,
        ..config.at(there)
    };
    match at {
        0 => builder.venue(binance(BinanceConfig::spot())),
        1 => builder.venue(binance(BinanceConfig::linear())),
        2 => builder.venue(binance(BinanceConfig::inverse())),
        3 => builder.venue(bybit(BybitConfig::spot())),
        _ => builder.venue(bybit(BybitConfig::linear())),
    }
}
