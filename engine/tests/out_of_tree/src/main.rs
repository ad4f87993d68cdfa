//! A venue that tickwire does not know, in a crate that tickwire does not know: a connector of about
//! 150 lines over the [`Connector`] contract, an engine with it, and a strategy.
//!
//! The toy venue speaks lines of text over a plain WebSocket:
//!
//! ```text
//! -> sub ABC                       ask for a symbol
//! <- ok ABC                        it is granted
//! <- top ABC 17 100 5 101 7        number of the update, bid price and size, ask price and size
//! ```
//!
//! Its numbers go up by one. A missing one is a gap: the connector says Resync, and the next number
//! is taken for a fresh start, as each message carries the whole top.

mod server;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tickwire::connectors::connector::{BookView, Counters};
use tickwire::connectors::stream::{Stream, Times};
use tickwire::connectors::transmit::{
    Endpoint, HttpFailure, Lane, LinkChange, LinkId, LinkSpec, RequestId, Response, Transmit,
};
use tickwire::connectors::{Command, InstrumentKey};
use tickwire::{
    Bbo, Channel, Connector, Context, Engine, Event, Instrument, Level, Market, Nanos, Outbox,
    PollMode, Reason, Scale, StateChange, Strategy, StrategySetup, StreamId, StreamState, Venue,
    VenueSetup,
};

/// The venue's name, as events, logs and `watch` carry it.
fn toy() -> Venue {
    Venue::custom("toy").expect("at most 15 bytes")
}

/// The connector: a state machine without IO. The engine gives it what happened (`handle_*`) and asks
/// it what to do (`poll_*`); it never reads a clock, opens a socket or waits.
struct Toy {
    endpoint: Endpoint,
    path: String,
    /// The streams that strategies have open. [`Stream`] is the part that every venue needs: identity,
    /// state, the stamp of its events.
    streams: Vec<Stream>,
    /// What the engine is to do, in order; texts ride along.
    to_do: VecDeque<(Transmit, String)>,
    link: LinkState,
    counters: Counters,
}

#[derive(PartialEq, Eq)]
enum LinkState {
    /// Not asked for: a venue without streams needs no connection.
    None,
    /// Asked for. The engine connects, and again with backoff whenever it is lost.
    Down,
    Up,
}

/// One link is enough here. A venue with a limit of topics a link numbers several.
const LINK: LinkId = LinkId(0);

impl Toy {
    fn new(url: &str) -> Toy {
        let (endpoint, path) = Endpoint::parse(url).expect("ws://host:port/path");
        let (streams, to_do, counters) = (Vec::new(), VecDeque::new(), Counters::default());
        Toy {
            endpoint,
            path,
            streams,
            to_do,
            link: LinkState::None,
            counters,
        }
    }

    fn open(&mut self) {
        self.link = LinkState::Down;
        let spec = LinkSpec {
            // What the venue's documents say of limits; the engine keeps them.
            silence_max_ns: Some(Nanos::from_secs(10)),
            message_bytes_max: 1 << 10,
            ..LinkSpec::new(self.endpoint.clone(), self.path.clone())
        };
        self.to_do.push_back((
            Transmit::Open {
                link: LINK,
                spec: Box::new(spec),
            },
            String::new(),
        ));
    }

    fn ask(&mut self, word: &str, symbol: &str) {
        let text = Transmit::Text {
            link: LINK,
            lane: Lane::Normal,
        };
        self.to_do.push_back((text, format!("{word} {symbol}")));
    }

    /// `top SYMBOL NUMBER BID SIZE ASK SIZE`
    fn top(
        &mut self,
        times: Times,
        mut words: core::str::Split<'_, char>,
        out: &mut Outbox,
    ) -> Option<()> {
        let symbol = words.next()?;
        let mut number = || words.next()?.parse::<i64>().ok();
        let seq = u64::try_from(number()?).ok()?;
        let bid = Level {
            price: number()?,
            qty: number()?,
        };
        let ask = Level {
            price: number()?,
            qty: number()?,
        };
        let stream = self
            .streams
            .iter_mut()
            .find(|stream| &*stream.asked == symbol)?;
        let expected = stream.seq() + 1;
        stream.set_seq(seq);
        if stream.is_live() && seq != expected {
            // Never a price across a gap: the state goes first.
            self.counters.gaps += 1;
            stream.change(
                StreamState::Resync,
                Reason::Gap,
                Some((expected, seq)),
                times,
                out,
            );
        }
        stream.change(StreamState::Live, Reason::Synced, None, times, out);
        out.push(Event::bbo(&stream.stamp(times), Some(bid), Some(ask)));
        Some(())
    }
}

impl Connector for Toy {
    fn venue(&self) -> Venue {
        toy()
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    /// What strategies ask for. It never fails at the call: a refusal is an event on the stream.
    fn handle_command(&mut self, now: Nanos, command: Command, out: &mut Outbox) {
        let times = Times::ours(now);
        match command {
            Command::Subscribe {
                stream: id,
                symbol,
                channel,
                depth,
            } => {
                let key = InstrumentKey {
                    venue: toy(),
                    market: Market::Spot,
                    symbol,
                };
                let scale = Scale::of(2);
                let instrument = Instrument::with_defaults(key, symbol, scale, scale);
                let mut stream = Stream::new(id, channel, symbol, instrument, depth);
                if channel != Channel::Bbo {
                    stream.change(StreamState::Refused, Reason::Refused, None, times, out);
                    return;
                }
                self.streams.push(stream);
                match self.link {
                    LinkState::None => self.open(),
                    // Every stream is asked for when the link comes up.
                    LinkState::Down => {}
                    LinkState::Up => self.ask("sub", &symbol),
                }
            }
            Command::Unsubscribe { stream: id } => {
                let Some(index) = self.streams.iter().position(|stream| stream.id == id) else {
                    return;
                };
                let mut stream = self.streams.remove(index);
                stream.change(StreamState::Closed, Reason::Unsubscribed, None, times, out);
                self.ask("unsub", &stream.asked);
            }
            // This venue has no books: there is nothing to publish again or to fetch anew.
            Command::SetDepth { .. } | Command::Republish { .. } | Command::Resync { .. } => {}
        }
    }

    fn handle_link(&mut self, now: Nanos, _: LinkId, change: LinkChange, out: &mut Outbox) {
        match change {
            LinkChange::Up { epoch } => {
                self.link = LinkState::Up;
                for index in 0..self.streams.len() {
                    self.streams[index].set_epoch(epoch);
                    let symbol = self.streams[index].asked;
                    self.ask("sub", &symbol);
                }
            }
            LinkChange::Down { .. } => {
                // The link comes back by itself; until then nothing may be traded on.
                self.link = LinkState::Down;
                for stream in &mut self.streams {
                    stream.change(
                        StreamState::Stale,
                        Reason::LinkDown,
                        None,
                        Times::ours(now),
                        out,
                    );
                }
            }
        }
    }

    /// A peer can send anything: what can't be read is counted, and never a panic.
    fn handle_message(&mut self, now: Nanos, _: LinkId, payload: &mut [u8], out: &mut Outbox) {
        self.counters.messages += 1;
        let text = core::str::from_utf8(payload).unwrap_or_default();
        let mut words = text.split(' ');
        let read = match words.next() {
            Some("top") => self.top(Times::ours(now), words, out),
            Some("ok") => Some(()),
            _ => None,
        };
        self.counters.malformed += u64::from(read.is_none());
    }

    fn handle_response(
        &mut self,
        _: Nanos,
        _: RequestId,
        _: Result<Response<'_>, HttpFailure>,
        _: &mut Outbox,
    ) {
        // This venue has no REST: `Transmit::Http` is never given.
    }

    fn handle_timeout(&mut self, _: Nanos, _: &mut Outbox) {}

    fn poll_timeout(&self) -> Option<Nanos> {
        None
    }

    fn poll_transmit(&mut self, _: Nanos, body: &mut Vec<u8>) -> Option<Transmit> {
        let (transmit, text) = self.to_do.pop_front()?;
        body.extend_from_slice(text.as_bytes());
        Some(transmit)
    }

    fn has_transmit(&self) -> bool {
        !self.to_do.is_empty()
    }

    fn book(&self, _: StreamId) -> Option<BookView<'_>> {
        None
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

/// Counts prices, and says what it was told in between.
struct Count {
    prices: Arc<AtomicU64>,
    states: Vec<StreamState>,
}

impl Strategy for Count {
    fn on_bbo(&mut self, _: &mut Context, bbo: &Bbo) {
        let (Some((bid, _)), Some((ask, _))) = (bbo.bid(), bbo.ask()) else {
            return;
        };
        assert!(bid < ask && self.states.last() == Some(&StreamState::Live));
        self.prices.fetch_add(1, Ordering::Relaxed);
    }

    fn on_state(&mut self, _: &mut Context, change: &StateChange) {
        self.states.push(change.state());
    }

    fn on_stop(&mut self, _: &mut Context) {
        let states: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        println!("states {}", states.join(" "));
    }
}

/// Prices to wait for: the server cuts its first connection before that, and leaves out a number.
const ENOUGH: u64 = 50;

fn main() {
    let url = server::start();
    let prices = Arc::new(AtomicU64::new(0));
    let count = Count {
        prices: Arc::clone(&prices),
        states: Vec::new(),
    };
    let engine = Engine::builder()
        .venue(VenueSetup::custom(Toy::new(&url)))
        .strategy(StrategySetup::new(count).watch(toy(), Market::Spot, ["ABC"], [Channel::Bbo]))
        .poll(PollMode::PARK)
        .spawn()
        .expect("an engine with a toy venue");
    // Counters are published every few milliseconds: they come a little behind the prices.
    let gaps = || engine.venue_counters()[0].2.gaps;
    while prices.load(Ordering::Relaxed) < ENOUGH || gaps() == 0 {
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    let counters = engine.venue_counters()[0].2;
    engine.stop().expect("no thread panicked");
    assert_eq!((counters.gaps, counters.malformed), (1, 0), "{counters:?}");
    println!("ok {}", prices.load(Ordering::Relaxed));
}
