//! One cell of the table: a simulator and an engine of their own, one fault, one verdict.

use std::time::Duration;

use tickwire::connectors::credentials::Credentials;
use tickwire::connectors::liveness::{Expectation, Silence};
use tickwire::connectors::upkeep::{Expectations, Redundancy, Upkeep};
use tickwire::testing::sim::{
    DERIBIT_ACCOUNT, Fault, FaultRecord, Sim, SimError, SimVenue, VenueSpec,
};
use tickwire::{
    BackoffConfig, BinanceConfig, BuildError, BybitConfig, CertificateDer, Channel, DeribitConfig,
    Engine, Handle, Market, Nanos, PollMode, PolymarketConfig, StrategySetup, StreamId,
    ThreadPanicked, VenueSetup, Wait,
};

use super::aim::Aim;
use super::judge::{Case, Times};
use super::rows::{Expect, Row};
use super::witness::{SharedLog, Witness, has_truth};
use crate::stopwatch::Stopwatch;

/// What a cell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the row expects.
    Ok(Times),
    /// It can't be at this venue, and why.
    NotHere(&'static str),
    /// What was not as the row expects.
    Failed(Vec<String>),
}

/// A cell could not be set up or torn down.
#[derive(Debug, thiserror::Error)]
enum CellError {
    #[error("the simulator did not start: {0}")]
    Sim(#[from] SimError),
    #[error("the engine did not start: {0}")]
    Build(#[from] BuildError),
    #[error(transparent)]
    Panicked(#[from] ThreadPanicked),
    #[error("the row's fault can't be read: {0}")]
    Script(String),
    #[error("before the fault: {0}")]
    NeverLive(String),
    #[error("there must be others on the same link and on another: {0}")]
    NoOthers(String),
}

/// Connecting and the first snapshots take a fraction of a second; a machine under load, seconds.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// A book has shown so many true prices before its fault comes: a snapshot and its top, and some
/// deltas behind it. The first one may be in the snapshot already, and losing it is no loss.
const LEAD_IN_PRICES: usize = 6;

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(5);

/// What comes late must still find its cell open.
const SETTLE: Duration = Duration::from_millis(300);

/// So long the two links of a pair may take to be in step in each stream: a link's trades wait for at most
/// 3 s until the other has come to where they begin. Before that a cut is rightly told.
const PAIR_MEETS: Duration = Duration::from_millis(3_500);

/// A link without a message, or an answer to our pings, for so long is dead.
const SILENCE_MAX: Nanos = Nanos::from_secs(3);

/// Short waits between tries: the default ones are for venues that must be spared.
const BACKOFF: BackoffConfig = BackoffConfig {
    first_ns: Nanos::from_millis(20),
    max_ns: Nanos::from_millis(200),
    proven_ns: Nanos::from_secs(10),
    refused_ns: Nanos::from_millis(500),
};

/// Runs one cell.
pub(super) fn run(row: &Row, venue: SimVenue, seed: u64) -> Verdict {
    if let Some(why) = (row.not_at)(venue) {
        return Verdict::NotHere(why);
    }
    match try_run(row, Aim(venue), seed) {
        Ok((times, problems)) if problems.is_empty() => Verdict::Ok(times),
        Ok((_, problems)) => Verdict::Failed(problems),
        Err(error) => Verdict::Failed(vec![error.to_string()]),
    }
}

fn try_run(row: &Row, aim: Aim, seed: u64) -> Result<(Times, Vec<String>), CellError> {
    let faults = row.inject.iter().map(|text| aim.script(text).parse());
    let faults: Vec<Fault> = faults
        .collect::<Result<_, _>>()
        .map_err(CellError::Script)?;
    let sim = start_sim(row, aim, seed)?;
    let log = SharedLog::default();
    let handle = start_engine(row, aim, seed, &sim, &log)?;
    until_live(&handle, &log)?;
    if row.redundancy == Redundancy::Pair {
        std::thread::park_timeout(PAIR_MEETS);
    }

    let mut case = draw_up(row, aim, &sim, &handle)?;
    log.lock()
        .streams
        .values_mut()
        .for_each(|stream| stream.mark());
    let (started, upgrades) = (handle.clock().now(), sim.venue_stats(aim.0).upgrades);
    for fault in faults {
        sim.control().inject(aim.0, fault);
    }
    let mut problems = until_recovered(row, &mut case, &sim, &log, started);
    std::thread::park_timeout(SETTLE);

    if !handle.is_running() {
        problems.push("the engine's loop has ended".to_owned());
    }
    if row.expect == Expect::Handover && sim.venue_stats(aim.0).upgrades == upgrades {
        problems.push("no other link was opened".to_owned());
    }
    // Before the end: an engine that stops says Stale on every stream.
    let log = log.lock().clone();
    handle.stop()?;
    problems.extend(case.problems(&log));
    problems.extend(count_bans(&sim, aim));
    Ok((case.times(&log), problems))
}

fn start_sim(row: &Row, aim: Aim, seed: u64) -> Result<Sim, SimError> {
    let spec = VenueSpec::of(aim.0)
        .symbols(&aim.symbols())
        .levels(200)
        // Each instrument trades some times a second, and its book changes in every period.
        .rate_msgs_s(aim.rate_msgs_s())
        .bursts(false)
        .limits(|limits| {
            if let Some(life_ms) = row.life_ms {
                limits.life_ns = Some(i64::from(life_ms) * 1_000_000);
            }
        });
    Sim::builder().seed(seed).venue(spec).start()
}

fn start_engine(
    row: &Row,
    aim: Aim,
    seed: u64,
    sim: &Sim,
    log: &SharedLog,
) -> Result<Handle, BuildError> {
    let (venue, market) = (aim.venue(), aim.market());
    let witness = Witness::new(aim, sim, log.clone());
    // The loop never wakes a strategy: a longer sleep leaves the cores to the cells beside.
    let mut setup = StrategySetup::new(witness)
        .named("witness")
        .wait(Wait::Park(Duration::from_millis(2)));
    for symbol in aim.symbols() {
        setup = setup.watch_depth(venue, market, [symbol]).watch(
            venue,
            market,
            [symbol],
            aim.channels().iter().copied().skip(1),
        );
    }
    Engine::builder()
        .poll(PollMode::PARK)
        .backoff(BACKOFF)
        .seed(seed)
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
        .venue(venue_setup(row, aim, sim))
        .strategy(setup)
        .spawn()
}

fn venue_setup(row: &Row, aim: Aim, sim: &Sim) -> VenueSetup {
    let there = (sim.ws_url(aim.0), sim.rest_url(aim.0));
    let (link_topics_max, silence_max_ns) = (aim.link_topics_max(), SILENCE_MAX);
    if aim.0.is_binance() {
        let config = match aim.market() {
            Market::Spot => BinanceConfig::spot(),
            Market::Linear => BinanceConfig::linear(),
            _ => BinanceConfig::inverse(),
        };
        VenueSetup::from(BinanceConfig {
            link_topics_max,
            silence_max_ns,
            upkeep: upkeep(row, config.upkeep),
            ..config.at(there)
        })
    } else if aim.0.is_deribit() {
        let (id, secret) = DERIBIT_ACCOUNT;
        let config = DeribitConfig::new(aim.market());
        let config = config.with_credentials(Credentials::hmac(id, secret));
        VenueSetup::from(DeribitConfig {
            link_topics_max,
            silence_max_ns,
            upkeep: upkeep(row, config.upkeep),
            ..config.at(there)
        })
    } else if aim.0 == SimVenue::Polymarket {
        let config = PolymarketConfig::new();
        VenueSetup::from(PolymarketConfig {
            assets_per_link_max: link_topics_max,
            silence_max_ns,
            ping_interval_ns: Nanos::from_secs(1),
            upkeep: upkeep(row, config.upkeep),
            ..config.at(there)
        })
    } else {
        let config = match aim.market() {
            Market::Spot => BybitConfig::spot(),
            _ => BybitConfig::linear(),
        };
        VenueSetup::from(BybitConfig {
            link_topics_max,
            silence_max_ns,
            upkeep: upkeep(row, config.upkeep),
            ..config.at(there)
        })
    }
}

/// The venue's own way of looking after links and books, but sooner: a silence of a second is asked
/// about, and what the venue has must be here half a second later. A silence that is proof by itself
/// must be longer than the 3 s after which Bybit repeats its level 1.
fn upkeep(row: &Row, usual: Upkeep) -> Upkeep {
    let sooner = |usual: Expectation| Expectation {
        quiet_ns: usual.quiet_ns.min(match usual.silence {
            Silence::Probe => Nanos::from_secs(1),
            Silence::Mute => Nanos::from_secs(4),
        }),
        grace_ns: usual.grace_ns.min(Nanos::from_millis(500)),
        ..usual
    };
    let Expectations {
        book, bbo, trades, ..
    } = usual.expectations;
    Upkeep {
        redundancy: row.redundancy,
        link_age_max_ns: row.link_age_max_ms.map(|ms| Nanos::from_millis(ms.into())),
        expectations: Expectations {
            book: sooner(book),
            bbo: sooner(bbo),
            trades: sooner(trades),
            ..usual.expectations
        },
        ..usual
    }
}

/// Waits until every stream is Live and every book and top has shown that it is true.
fn until_live(handle: &Handle, log: &SharedLog) -> Result<(), CellError> {
    let started = Stopwatch::start();
    loop {
        let waits = handle.streams().into_iter().find(|info| {
            let log = log.lock();
            let stream = log.streams.get(&info.id);
            !stream.is_some_and(|stream| {
                let lead_in = match info.key.channel {
                    Channel::Book(_) => LEAD_IN_PRICES,
                    _ => usize::from(has_truth(&info.key)),
                };
                stream.is_live() && stream.agreeing_now() >= lead_in
            })
        });
        let Some(waits) = waits else { return Ok(()) };
        if started.elapsed() > LIVE_WITHIN {
            let (symbol, channel) = (waits.key.symbol, waits.key.channel);
            let state = waits.state().as_str();
            let text = format!("{symbol} {channel} is {state} after {LIVE_WITHIN:?}");
            return Err(CellError::NeverLive(text));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Notes which streams stand where, before anything is injected.
fn draw_up(row: &Row, aim: Aim, sim: &Sim, handle: &Handle) -> Result<Case, CellError> {
    let symbol = aim.symbols()[0];
    let book = aim.topic(symbol, Channel::BOOK);
    let links = sim.control().links(aim.0);
    let link = links.into_iter().find(|topics| topics.contains(&book));
    let link = link.unwrap_or_default();
    let streams = handle.streams();
    let on_link = streams.iter();
    let on_link = on_link.filter(|info| link.contains(&aim.topic_of(&info.key)));
    let on_link: Vec<StreamId> = on_link.map(|info| info.id).collect();
    let others = |count: usize| count > 1 && count < streams.len();
    if !others(on_link.len()) {
        let text = format!("{} streams stand on the link of {book}", on_link.len());
        return Err(CellError::NoOthers(text));
    }
    Ok(Case {
        expect: row.expect_at(aim.0),
        symbol,
        on_link,
        acted_ns: i64::MAX,
        over_ns: i64::MAX,
        bans: (row.bans)(aim.0),
        earliest: Duration::from_millis(row.earliest_ms.into()),
    })
}

/// Waits until the log shows what the row expects; gives what it waited for in vain.
fn until_recovered(
    row: &Row,
    case: &mut Case,
    sim: &Sim,
    log: &SharedLog,
    injected: Nanos,
) -> Vec<String> {
    let lasts = Duration::from_millis(row.lasts_ms.into());
    let limit = lasts + Duration::from_secs(row.within_s.into());
    let started = Stopwatch::start();
    loop {
        let records = sim.faults().records();
        let idle = records.iter().find(|record| record.acted_ns.is_none());
        let waits = match idle {
            Some(idle) => Some(format!("the fault never acted: {}", idle.fault)),
            None => {
                // The last one is what the row is about; those before it prepare it.
                let acted = records.last().and_then(|record| record.acted_ns);
                case.acted_ns = acted.unwrap_or(injected.0);
                case.over_ns = case.acted_ns + i64::try_from(lasts.as_nanos()).unwrap_or(i64::MAX);
                case.waits_for(&log.lock())
            }
        };
        let Some(waits) = waits else {
            return Vec::new();
        };
        if started.elapsed() > limit {
            return vec![waits];
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Requests that the venue refused because there were too many.
fn count_bans(sim: &Sim, aim: Aim) -> Option<String> {
    let injected = |record: &FaultRecord| match record.fault {
        Fault::RestStatus {
            status: 403 | 418 | 429,
            ..
        } => record.hits,
        _ => 0,
    };
    let injected: u64 = sim.faults().records().iter().map(injected).sum();
    let stats = sim.venue_stats(aim.0);
    let refused = stats.rest_limited + stats.rest_banned;
    (refused > injected).then(|| format!("{refused} requests were refused as too many"))
}
