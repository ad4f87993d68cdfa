//! The main job in one process: the venue simulator on loopback with real TLS, the engine connected to
//! every venue, and a strategy that shows what it gets and measures how long it took.

mod alloc;
mod screen;
mod strategy;
mod summary;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tickwire::testing::sim::{Sim, SimError, SimVenue, VenueSpec};
use tickwire::testing::{connector, names};
use tickwire::{
    BuildError, CertificateDer, Channel, Engine, Handle, PollMode, StrategySetup, ThreadPanicked,
    Venue, Wait,
};

use crate::stopwatch::Stopwatch;
use alloc::AllocationCount;
use strategy::{Shared, Watcher};

pub use summary::Summary;

/// What the demo is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long, `None` until it is interrupted.
    pub run_for: Option<Duration>,
    /// One JSON object a line instead of a screen.
    pub json: bool,
    /// Instruments of each venue and market.
    pub instruments: usize,
    /// Messages a second of each venue and market.
    pub rate_msgs_s: u32,
    /// How the loop polls; by default it spins where there are two cores.
    pub poll: Option<PollMode>,
    /// Runs the strategy on the loop's own thread, without the hop over a ring.
    pub inline: bool,
    /// The seed of the market and of the engine.
    pub seed: u64,
}

/// The demo could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Sim(#[from] SimError),
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Build(#[from] BuildError),
    /// A thread of the engine ended by a panic.
    #[error(transparent)]
    Panicked(#[from] ThreadPanicked),
    /// The output can't be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// The venues of the demo.
const VENUES: [SimVenue; 8] = [
    SimVenue::BinanceSpot,
    SimVenue::BinanceLinear,
    SimVenue::BinanceInverse,
    SimVenue::BybitSpot,
    SimVenue::BybitLinear,
    SimVenue::DeribitInverse,
    SimVenue::DeribitOption,
    SimVenue::Polymarket,
];

/// Between two looks at the clock by the main thread.
const FRAME: Duration = Duration::from_millis(250);

/// What the first half second after the last stream went Live is not counted in: snapshots are on
/// their way and memory is being taken for the first time.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs the demo; `interrupted` ends it early.
pub fn run(
    options: &Options,
    interrupted: &dyn Fn() -> bool,
    out: &mut dyn Write,
) -> Result<Summary, DemoError> {
    let mut sim = start_sim(options)?;
    let watched = Stopwatch::start();
    let shared = Shared::new(&sim);
    let handle = start_engine(options, &sim, &shared)?;
    let screen = !options.json && io::stdout().is_terminal();

    let mut steady: Option<(Stopwatch, AllocationCount, u64)> = None;
    let mut live_since: Option<Stopwatch> = None;
    while !interrupted()
        && options
            .run_for
            .is_none_or(|limit| watched.elapsed() < limit)
    {
        let left = options
            .run_for
            .map_or(FRAME, |limit| limit.saturating_sub(watched.elapsed()));
        std::thread::park_timeout(FRAME.min(left));
        if live_since.is_none() && shared.all_live(&handle) {
            live_since = Some(Stopwatch::start());
            shared.note_live(watched.elapsed());
        }
        if steady.is_none()
            && live_since
                .as_ref()
                .is_some_and(|live| live.elapsed() >= WARM_UP)
        {
            shared.set_steady();
            let messages = handle.counters().messages;
            steady = Some((Stopwatch::start(), AllocationCount::now(), messages));
        }
        if options.json {
            summary::progress(out, &handle, &shared, watched.elapsed())?;
        } else {
            screen::draw(
                out,
                screen,
                options.inline,
                &handle,
                &shared,
                watched.elapsed(),
            )?;
        }
    }
    let allocations = steady.map(|(_, before, messages)| {
        let counted = AllocationCount::now().since(before);
        counted.per_message(handle.counters().messages.saturating_sub(messages))
    });
    let summary = Summary::of(&handle, &shared, allocations);
    handle.stop()?;
    sim.stop();
    Ok(summary)
}

fn start_sim(options: &Options) -> Result<Sim, SimError> {
    let mut builder = Sim::builder().seed(options.seed);
    for venue in VENUES {
        let spec = VenueSpec::of(venue)
            .instruments(options.instruments)
            .rate_msgs_s(options.rate_msgs_s);
        builder = builder.venue(spec);
    }
    builder.start()
}

fn start_engine(options: &Options, sim: &Sim, shared: &Shared) -> Result<Handle, BuildError> {
    let cores = tickwire::cores();
    let poll = options.poll.unwrap_or(if cores >= 2 {
        PollMode::Mio
    } else {
        PollMode::PARK
    });
    let watcher = Watcher::new(shared.clone());
    let mut strategy = StrategySetup::new(watcher)
        .named("demo")
        .wait(Wait::for_cores(cores));
    if options.inline {
        strategy = strategy.inline();
    }
    let mut builder = Engine::builder()
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .poll(poll)
        .seed(options.seed);
    for sim_venue in VENUES {
        let (venue, market) = names(sim_venue);
        builder = builder.venue(connector(sim, sim_venue));
        let symbols = sim.truth().symbols(sim_venue);
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        // Polymarket's best prices have no sizes: the top of its books is what there is.
        let channels = [Channel::Trades, Channel::Bbo];
        let count = if venue == Venue::Polymarket { 1 } else { 2 };
        strategy = strategy
            .watch(
                venue,
                market,
                symbols.iter().copied(),
                channels.into_iter().take(count),
            )
            .watch_depth(venue, market, symbols.iter().copied());
    }
    if cores >= 2
        && poll != PollMode::PARK
        && let Some(core) = tickwire::last_core()
    {
        builder = builder.on_core(core);
    }
    builder.strategy(strategy).spawn()
}
