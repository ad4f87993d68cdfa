//! A simulator, an engine with every hot channel of four markets, and two readers of it: a strategy
//! inline on the loop, and a ring that another thread drains.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tickwire::connectors::connector::Counters;
use tickwire::ring::{Consumer, Item};
use tickwire::testing::sim::{Sim, SimVenue, VenueSpec};
use tickwire::testing::{connector, names};
use tickwire::{
    Bbo, CertificateDer, Channel, Context, Engine, Event, Handle, LevelDelta, Lost, Nanos,
    PollMode, Replica, StateChange, Strategy, StrategySetup, Trade, Venue,
};

const VENUES: [SimVenue; 5] = [
    SimVenue::BinanceSpot,
    SimVenue::BinanceLinear,
    SimVenue::BybitLinear,
    SimVenue::DeribitInverse,
    SimVenue::Polymarket,
];

const INSTRUMENTS: usize = 4;

/// Market events a second of each venue: what the build can take in for as long as it is asked to. A
/// reader that stays behind is cut by the simulator, as by a venue, and then the state is not steady.
const RATE_MSGS_S: u32 = if cfg!(debug_assertions) {
    5_000
} else {
    10_000
};

/// Fewer than any snapshot brings: a book of which only a part is known is fetched anew when the price
/// nears its end, over a connection that may have to be opened.
const LEVELS: usize = 400;

/// Room for a burst, or for a neighbour that takes the core for some seconds.
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// Messages after the last stream went Live that are not measured: every buffer has to meet its
/// largest message once.
const WARM_UP_MESSAGES: u64 = 20_000;

/// Of so many one is quiet, or what is measured will say that it was not.
const WARM_UPS_MAX: usize = 10;

/// No run takes this long; a stall is a failure, not a hang.
const PATIENCE: Nanos = Nanos::from_secs(300);

/// Between two looks of a waiting thread.
const LOOK: Duration = Duration::from_millis(1);

/// What the inline strategy does on the loop's thread when it is told that the state is steady.
pub(crate) enum Steady {
    /// Nothing more.
    Run,
    /// This, once, from within a callback.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "the filter is Linux's")
    )]
    Do(Box<dyn FnOnce() + Send>),
}

/// What the inline strategy tells; it alone writes, but for `go`.
#[derive(Debug, Default)]
struct Shared {
    events: AtomicU64,
    /// Streams that are Live now, a bit each.
    live: AtomicU64,
    /// Streams that gave an event since `go`, a bit each.
    heard: AtomicU64,
    /// Changes to a state that is not Live, and losses.
    troubles: AtomicU64,
    go: AtomicBool,
    gone: AtomicBool,
}

/// How far everything is.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) messages: u64,
    pub(crate) inline_events: u64,
    pub(crate) ring_events: u64,
    pub(crate) troubles: u64,
    pub(crate) counters: Vec<Counters>,
}

struct Inline {
    shared: Arc<Shared>,
    steady: Option<Steady>,
}

impl Inline {
    fn note(&mut self, event: &Event) {
        let shared = &self.shared;
        shared
            .events
            .store(shared.events.load(Relaxed) + 1, Relaxed);
        if shared.go.load(Relaxed) {
            if let Some(steady) = self.steady.take() {
                if let Steady::Do(action) = steady {
                    action();
                }
                shared.gone.store(true, Relaxed);
            }
            let heard = shared.heard.load(Relaxed) | bit(event);
            shared.heard.store(heard, Relaxed);
        }
    }
}

fn bit(event: &Event) -> u64 {
    1 << event.stream().index()
}

impl Strategy for Inline {
    fn on_bbo(&mut self, _context: &mut Context, bbo: &Bbo) {
        self.note(bbo);
    }

    fn on_trade(&mut self, _context: &mut Context, trade: &Trade) {
        self.note(trade);
    }

    fn on_depth(&mut self, _context: &mut Context, last: &LevelDelta, book: &Replica) {
        assert!(book.is_valid(), "a replica that is not valid was shown");
        self.note(last);
    }

    fn on_state(&mut self, _context: &mut Context, change: &StateChange) {
        let live = self.shared.live.load(Relaxed);
        if change.is_live() {
            self.shared.live.store(live | bit(change), Relaxed);
        } else {
            self.shared.live.store(live & !bit(change), Relaxed);
            self.shared.troubles.fetch_add(1, Relaxed);
        }
    }

    fn on_lost(&mut self, _context: &mut Context, _lost: &Lost) {
        self.shared.troubles.fetch_add(1, Relaxed);
    }
}

/// All of it, running.
pub(crate) struct World {
    sim: Sim,
    handle: Handle,
    shared: Arc<Shared>,
    ring_events: Arc<AtomicU64>,
    reader: JoinHandle<()>,
    streams: u32,
}

impl World {
    pub(crate) fn start(steady: Steady) -> Result<World, Box<dyn Error>> {
        let mut sim = Sim::builder().seed(7);
        for venue in VENUES {
            let spec = VenueSpec::of(venue)
                .instruments(INSTRUMENTS)
                .rate_msgs_s(RATE_MSGS_S)
                // An idle connection is closed after a while: a change of links, which on a slow
                // machine would fall into what is measured.
                .keep_alive(false)
                .levels(LEVELS)
                .queue_bytes_max(QUEUE_BYTES_MAX);
            sim = sim.venue(spec);
        }
        let sim = sim.start()?;
        let shared = Arc::new(Shared::default());
        let inline = Inline {
            shared: Arc::clone(&shared),
            steady: Some(steady),
        };
        let mut engine = Engine::builder()
            .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
            .poll(PollMode::Mio)
            .seed(7);
        for sim_venue in VENUES {
            engine = engine.venue(connector(&sim, sim_venue));
        }
        let mut handle = engine
            .strategy(watch_all(StrategySetup::new(inline).inline(), &sim).named("inline"))
            .strategy(watch_all(StrategySetup::pair(), &sim).named("ring"))
            .spawn()?;
        let ring = handle.strategy("ring").ok_or("no such strategy")?;
        let (consumer, _) = handle.take_pair(ring).ok_or("the pair is gone")?;
        let ring_events = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&ring_events);
        let reader = thread::Builder::new()
            .name("ring-reader".to_owned())
            .spawn(move || drain(consumer, &count))?;
        let streams = handle.streams().len() as u32;
        assert!(streams <= u64::BITS, "{streams} streams don't fit a mask");
        Ok(World {
            sim,
            handle,
            shared,
            ring_events,
            reader,
            streams,
        })
    }

    /// Waits for every stream to be Live and a warm-up to pass in which nothing happened, then has the
    /// inline strategy do its [`Steady`]. On a slow machine books fall behind while everything starts, and
    /// are asked for again.
    pub(crate) fn wait_until_steady(&self) -> Result<(), String> {
        for _ in 0..WARM_UPS_MAX {
            self.wait_until_live()?;
            let start = self.progress();
            self.wait_for(start.messages + WARM_UP_MESSAGES)?;
            let end = self.progress();
            let asked = |progress: &Progress| -> u64 {
                let counters = progress.counters.iter();
                counters.map(|counts| counts.requests).sum()
            };
            if (end.troubles, asked(&end)) == (start.troubles, asked(&start)) {
                break;
            }
        }
        self.shared.go.store(true, Relaxed);
        self.wait("the inline strategy", || self.shared.gone.load(Relaxed))
    }

    fn wait_until_live(&self) -> Result<(), String> {
        let all = || self.shared.live.load(Relaxed).count_ones() == self.streams;
        self.wait("every stream to be Live", all)
    }

    /// Waits until the loop has handled so many messages.
    pub(crate) fn wait_for(&self, messages: u64) -> Result<(), String> {
        self.wait("messages", || self.handle.counters().messages >= messages)
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) -> Result<(), String> {
        let clock = self.handle.clock();
        let deadline = clock.now() + PATIENCE;
        while !done() {
            if clock.now() > deadline || !self.handle.is_running() {
                let (live, progress) = (self.shared.live.load(Relaxed), self.progress());
                let streams = self.streams;
                return Err(format!(
                    "gave up waiting for {what}: {streams} streams, Live {live:b}, {progress:?}"
                ));
            }
            thread::park_timeout(LOOK);
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Nanos {
        self.handle.clock().now()
    }

    pub(crate) fn progress(&self) -> Progress {
        let counters = self.handle.venue_counters();
        Progress {
            messages: self.handle.counters().messages,
            inline_events: self.shared.events.load(Relaxed),
            ring_events: self.ring_events.load(Relaxed),
            troubles: self.shared.troubles.load(Relaxed),
            counters: counters.into_iter().map(|(.., counts)| counts).collect(),
        }
    }

    /// That what was measured was the steady state, and all of it: every stream spoke, nothing was
    /// resynced, refused, malformed or asked for over HTTP.
    pub(crate) fn check_steady(&self, start: &Progress, end: &Progress) -> Result<(), String> {
        let heard = self.shared.heard.load(Relaxed).count_ones();
        let quiet = |counts: &Counters| Counters {
            messages: 0,
            stale: 0,
            // What is right message by message is counted as well.
            tops_checked: 0,
            tops_agreed: 0,
            hashes_met: 0,
            ..*counts
        };
        let before: Vec<Counters> = start.counters.iter().map(quiet).collect();
        let after: Vec<Counters> = end.counters.iter().map(quiet).collect();
        let rung = end.ring_events > start.ring_events;
        if heard != self.streams || end.troubles != start.troubles || before != after || !rung {
            let streams = self.streams;
            return Err(format!(
                "not the steady state: {heard} of {streams} streams heard, {start:?}, {end:?}, {:?}",
                self.sim.stats()
            ));
        }
        Ok(())
    }

    pub(crate) fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.handle.stop()?;
        self.sim.stop();
        self.reader.join().map_err(|_| "the reader panicked")?;
        Ok(())
    }
}

/// The other side of the ring: takes everything, sleeps while there is nothing.
fn drain(mut consumer: Consumer, count: &AtomicU64) {
    while !(consumer.producer_gone() && consumer.is_empty()) {
        while let Some(Item::Hot(_) | Item::Wide(_)) = consumer.pop() {
            count.fetch_add(1, Relaxed);
        }
        thread::park_timeout(LOOK);
    }
}

fn watch_all(mut setup: StrategySetup, sim: &Sim) -> StrategySetup {
    for sim_venue in VENUES {
        let (venue, market) = names(sim_venue);
        let symbols = sim.truth().symbols(sim_venue);
        let symbols = || symbols.iter().map(String::as_str);
        let channels: &[Channel] = match venue {
            Venue::Polymarket => &[Channel::Trades],
            _ => &[Channel::Bbo, Channel::Trades],
        };
        setup = setup
            .watch(venue, market, symbols(), channels.iter().copied())
            .watch_depth(venue, market, symbols());
    }
    setup
}
