//! An engine beside a venue simulator, and readers that say what they wait for.
//!
//! Nothing here sleeps to synchronise: every wait names a condition and has a deadline that only a
//! broken engine reaches.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use tickwire::connectors::instrument::Symbol;
use tickwire::ring::{Consumer, Item};
use tickwire::testing::connector;
use tickwire::{
    BackoffConfig, Body, CertificateDer, Commander, Engine, EngineBuilder, Event, Handle,
    LevelDelta, LinkNotice, LinkNoticeKind, Nanos, PollMode, Side, StreamId, StreamState, Wide,
};
use tickwire_sim::{Sim, TruthBook, VenueSpec};

/// What no test may need; a machine under load takes seconds, not this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A moment to measure from.
#[expect(clippy::disallowed_methods, reason = "tests need a deadline")]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// Looks until `done` says so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = moment();
    while !done() {
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} for {what}"
        );
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// One Binance spot market on loopback, small and quick.
pub(crate) fn spot(symbols: &[&str]) -> VenueSpec {
    VenueSpec::binance_spot()
        .symbols(symbols)
        .levels(200)
        .rate_msgs_s(400)
}

/// A simulator of one venue.
pub(crate) fn start(spec: VenueSpec) -> Sim {
    Sim::builder().seed(7).venue(spec).start().unwrap()
}

/// Short waits between tries, so that tests of many of them are quick.
pub(crate) const QUICK: BackoffConfig = BackoffConfig {
    first_ns: Nanos::from_millis(5),
    max_ns: Nanos::from_millis(50),
    proven_ns: Nanos::from_secs(10),
    refused_ns: Nanos::from_millis(100),
};

/// An engine for tests: parks, so that tests beside it get the cores; comes back quickly.
pub(crate) fn quick() -> EngineBuilder {
    Engine::builder()
        .poll(PollMode::PARK)
        .backoff(QUICK)
        .seed(1)
}

/// [`quick`] with every venue of the simulator.
pub(crate) fn engine(sim: &Sim) -> EngineBuilder {
    let trusted = vec![CertificateDer::from(sim.ca_der().to_vec())];
    let venues = sim.venues();
    venues
        .into_iter()
        .fold(quick().trust_only(trusted), |builder, one| {
            builder.venue(connector(sim, one))
        })
}

/// A pair of rings with all that came out of it.
pub(crate) struct Reader {
    ring: Consumer,
    pub(crate) commander: Commander,
    pub(crate) events: Vec<Event>,
    pub(crate) wide: Vec<Wide>,
    states: HashMap<StreamId, StreamState>,
}

impl Reader {
    /// Takes the pair of this name from the handle.
    #[track_caller]
    pub(crate) fn take(handle: &mut Handle, name: &str) -> Reader {
        let strategy = handle.strategy(name).expect("a strategy of this name");
        let (ring, commander) = handle.take_pair(strategy).expect("a pair, not yet taken");
        let (events, wide, states) = (Vec::new(), Vec::new(), HashMap::new());
        Reader {
            ring,
            commander,
            events,
            wide,
            states,
        }
    }

    /// Reads all that waits; gives how many events that was.
    pub(crate) fn read(&mut self) -> usize {
        let mut count = 0;
        while let Some(item) = self.ring.pop() {
            count += 1;
            match item {
                Item::Hot(event) => {
                    if let Body::State(change) = event.body() {
                        self.states.insert(change.stream(), change.state());
                    }
                    self.events.push(event);
                }
                Item::Wide(wide) => self.wide.push(*wide),
            }
        }
        count
    }

    /// Reads until `done` says so.
    #[track_caller]
    pub(crate) fn read_until(&mut self, what: &str, mut done: impl FnMut(&Reader) -> bool) {
        wait_until(what, || {
            self.read();
            done(self)
        });
    }

    /// The state that was told last.
    pub(crate) fn state(&self, stream: StreamId) -> StreamState {
        self.states.get(&stream).copied().unwrap_or_default()
    }

    /// Reads until the stream is in this state.
    #[track_caller]
    pub(crate) fn until(&mut self, stream: StreamId, state: StreamState) {
        self.read_until(&format!("{stream} to be {state:?}"), |reader| {
            reader.state(stream) == state
        });
    }

    /// Reads until every stream of the engine is Live here.
    #[track_caller]
    pub(crate) fn until_all_live(&mut self, handle: &Handle) {
        let streams = handle.streams();
        self.read_until("every stream to be Live", |reader| {
            streams
                .iter()
                .all(|info| reader.state(info.id) == StreamState::Live)
        });
    }

    /// Reads until `count` prices (tops, trades, levels) more of the stream have come.
    #[track_caller]
    pub(crate) fn until_prices(&mut self, stream: StreamId, count: usize) {
        let from = self.events.len();
        self.read_until(&format!("{count} prices of {stream}"), |reader| {
            let new = reader.events[from..].iter();
            new.filter(|event| event.stream() == stream && is_price(event))
                .count()
                >= count
        });
    }

    /// The events of one stream.
    pub(crate) fn of(&self, stream: StreamId) -> Vec<Event> {
        self.events
            .iter()
            .copied()
            .filter(|event| event.stream() == stream)
            .collect()
    }

    /// The states of one stream, in order.
    pub(crate) fn states_of(&self, stream: StreamId) -> Vec<StreamState> {
        states(&self.of(stream))
    }

    /// Whether the engine has let go of its end.
    pub(crate) fn engine_gone(&self) -> bool {
        self.ring.producer_gone()
    }
}

/// The states among events, in order.
pub(crate) fn states(events: &[Event]) -> Vec<StreamState> {
    let changes = events
        .iter()
        .filter(|event| matches!(event.body(), Body::State(_)));
    changes.map(Event::state).collect()
}

/// Tops, trades and levels: what a strategy would trade on.
pub(crate) fn is_price(event: &Event) -> bool {
    matches!(event.body(), Body::Bbo(_) | Body::Trade(_) | Body::Level(_))
}

/// What must hold of any one stream as a strategy sees it: a price comes only while the last told
/// state is Live, and says so itself, on the connection that the state named.
#[track_caller]
pub(crate) fn check_prices_follow_live(events: &[Event]) {
    let mut last: Option<Event> = None;
    for (index, event) in events.iter().enumerate() {
        if matches!(event.body(), Body::State(_)) {
            last = Some(*event);
        } else if is_price(event) {
            let told = last.expect("a state comes before the first price");
            assert!(told.is_live(), "price {index} after {told:?}: {event:?}");
            assert!(
                event.is_live(),
                "price {index} says that it is not Live: {event:?}"
            );
            assert_eq!(
                event.epoch(),
                told.epoch(),
                "price {index} after {told:?}: {event:?}"
            );
        }
    }
}

/// The next connect or disconnect that `wanted` picks.
#[track_caller]
pub(crate) fn next_notice(
    handle: &Handle,
    what: &str,
    mut wanted: impl FnMut(&LinkNoticeKind) -> bool,
) -> LinkNotice {
    let mut found = None;
    wait_until(what, || {
        while let Some(notice) = handle.next_notice() {
            if wanted(&notice.kind) {
                found = Some(notice);
                return true;
            }
        }
        false
    });
    found.unwrap()
}

/// A book from level deltas, the plain way: what a replica must agree with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlainBook {
    /// Price to quantity, both at 18 decimals.
    pub(crate) bids: BTreeMap<i128, i128>,
    pub(crate) asks: BTreeMap<i128, i128>,
    pub(crate) seq: u64,
    pub(crate) started: bool,
}

fn at_18(mantissa: i64, decimals: u8) -> i128 {
    i128::from(mantissa) * 10i128.pow(u32::from(18 - decimals))
}

impl PlainBook {
    pub(crate) fn apply(&mut self, delta: &LevelDelta) {
        if delta.starts_snapshot() {
            *self = PlainBook {
                started: true,
                ..PlainBook::default()
            };
        }
        let level = delta.level();
        let price = at_18(level.price, delta.price_scale().get());
        let qty = at_18(level.qty, delta.qty_scale().get());
        let side = match delta.side() {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if qty == 0 {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
        self.seq = delta.seq();
    }

    /// The book that these events leave, and the top that was told last.
    pub(crate) fn of(events: &[Event]) -> PlainBook {
        let mut book = PlainBook::default();
        for event in events {
            if let Body::Level(delta) = event.body() {
                book.apply(&delta);
            }
        }
        book
    }

    /// Best bid and best ask.
    pub(crate) fn top(&self) -> [Option<(i128, i128)>; 2] {
        let bid = self.bids.iter().next_back();
        let ask = self.asks.iter().next();
        [bid, ask].map(|level| level.map(|(price, qty)| (*price, *qty)))
    }
}

impl From<&TruthBook> for PlainBook {
    fn from(truth: &TruthBook) -> PlainBook {
        let side = |levels: &[(i64, i64)]| {
            let level = |&(price, qty): &(i64, i64)| {
                (
                    at_18(price, truth.price_decimals),
                    at_18(qty, truth.qty_decimals),
                )
            };
            levels.iter().map(level).collect()
        };
        PlainBook {
            bids: side(&truth.bids),
            asks: side(&truth.asks),
            seq: truth.seq,
            started: true,
        }
    }
}

/// A top of book at 18 decimals.
pub(crate) fn top_of(event: &Event) -> Option<[Option<(i128, i128)>; 2]> {
    let Body::Bbo(bbo) = event.body() else {
        return None;
    };
    let side = |level: Option<(tickwire::Price, tickwire::Qty)>| {
        level.map(|(price, qty)| {
            let price = at_18(price.mantissa(), price.scale().get());
            (price, at_18(qty.mantissa(), qty.scale().get()))
        })
    };
    Some([side(bbo.bid()), side(bbo.ask())])
}

/// A venue's symbol.
pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::from(text).unwrap()
}
