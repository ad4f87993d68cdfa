//! Books of another venue that are thrown away and fetched anew, ten a second.

use std::time::Duration;

use tickwire::{
    BybitConfig, Channel, Engine, Handle, Market, PollMode, StrategySetup, StreamId, Venue,
};
use tickwire_sim::{Sim, SimVenue, VenueSpec};

use super::healthy::{Healthy, wait_for};
use super::report::{Fact, Report};
use super::{Failure, Options};

const VENUE: SimVenue = SimVenue::BybitLinear;

/// As many books as have their turn in a second, and as many again: each has two to become whole.
const BOOKS: usize = 20;

/// Ten books a second are fetched anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// Levels a side: a snapshot of some 30 KB.
const LEVELS: usize = 1_000;

pub(super) fn run(options: &Options) -> Result<Report, Failure> {
    let (mut healthy, venue, strategy) = Healthy::start(options.seed)?;
    let symbols: Vec<String> = (0..BOOKS).map(|at| format!("C{at:02}USDT")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let spec = VenueSpec::of(VENUE)
        .symbols(&names)
        .rate_msgs_s(20)
        .levels(LEVELS);
    let sim = Sim::builder().seed(options.seed).venue(spec).start()?;
    let others = BybitConfig::linear().at((sim.ws_url(VENUE), sim.rest_url(VENUE)));
    let channel: Channel = "book:1000".parse()?;
    let watcher =
        StrategySetup::pair()
            .named("others")
            .watch(Venue::Bybit, Market::Linear, names, [channel]);
    let mut handle = Engine::builder()
        .venue(venue)
        .venue(others)
        .strategy(strategy)
        .strategy(watcher)
        .trust_only(vec![
            healthy.certificate(),
            tickwire::CertificateDer::from(sim.ca_der().to_vec()),
        ])
        .poll(PollMode::Mio)
        .seed(options.seed)
        .spawn()?;
    let id = handle.strategy("others").ok_or("no such strategy")?;
    let (mut consumer, commander) = handle.take_pair(id).ok_or("no ring")?;
    healthy.until_live(&handle)?;
    wait_for("the other books", || books(&handle).len() == BOOKS)?;
    healthy.measure(&handle, "set-up", options.phase / 4)?;

    let quiet = healthy.measure(&handle, "quiet", options.phase)?;
    let before = resyncs(&handle);
    let all = books(&handle);
    let (mut asked, mut next) = (0u64, Duration::ZERO);
    let stormy = healthy.measure_while(&handle, "resync", options.phase, |elapsed| {
        // From its own schedule: a late one does not move the next.
        while elapsed >= next {
            next += INTERVAL;
            let stream = all[asked as usize % all.len()];
            asked += u64::from(commander.resync(stream).is_ok());
        }
        // What comes of them is not looked at.
        while consumer.pop().is_some() {}
    })?;
    let done = resyncs(&handle) - before;
    let facts = vec![
        Fact::of("books of the other venue", BOOKS as u64),
        Fact::of("levels a side", LEVELS as u64),
        Fact::of("resyncs asked for", asked),
        Fact::of("resyncs done", done),
    ];
    let promises = [
        (
            "ten books a second were fetched anew",
            done + BOOKS as u64 >= asked && asked + 2 >= expected(options),
        ),
        (
            "messages were measured in each phase",
            !quiet.wire.is_empty() && !stormy.wire.is_empty(),
        ),
    ];
    handle.stop()?;
    if let Some((promise, _)) = promises.iter().find(|(_, holds)| !holds) {
        return Err(format!("broken: {promise}; {facts:?}").into());
    }
    Ok(Report::new("resync", options, vec![quiet, stormy], facts))
}

fn expected(options: &Options) -> u64 {
    u64::try_from(options.phase.as_millis() / INTERVAL.as_millis()).unwrap_or(u64::MAX)
}

/// The other venue's books that are Live.
fn books(handle: &Handle) -> Vec<StreamId> {
    let streams = handle.streams().into_iter();
    let live = streams.filter(|stream| {
        stream.key.venue == Venue::Bybit && stream.state() == tickwire::StreamState::Live
    });
    live.map(|stream| stream.id).collect()
}

fn resyncs(handle: &Handle) -> u64 {
    let counters = handle.venue_counters().into_iter();
    let of = counters.filter(|(venue, ..)| *venue == Venue::Bybit);
    of.map(|(.., counters)| counters.resyncs).sum()
}
