//! The course of time: from event to event, in one thread.

use std::collections::BTreeMap;
use std::time::Instant;

use tickwire::connectors::Nanos;
use tickwire::connectors::liveness::Silence;
use tickwire::connectors::upkeep::{Expectations, Redundancy};
use tickwire::driver::OpenError;
use tickwire::ring::RingConfig;
use tickwire::testing::HandEngine;
use tickwire::testing::names;
use tickwire::testing::sim::{Command, FaultKind, SimError, SimVenue};
use tickwire::{
    BackoffConfig, BinanceConfig, BuildError, BybitConfig, DeribitConfig, Engine, EngineBuilder,
    LinkNoticeKind, Market, PollMode, PolymarketConfig, StrategySetup, StreamId, SubscribeError,
    Upkeep, Venue,
};

use super::model::{SAMPLE_NS, Shared, Watcher};
use super::pipes::Pipes;
use super::plan::{Act, INLINE, Plan, UpkeepPlan, VenuePlan, Watch, Weather};
use super::venues::{Venues, port, venue_at};
use super::{Choice, Complaint, Figures, MS, Outcome, Rules, SECOND};
use crate::stopwatch::Stopwatch;

/// When every run begins: 2023-11-14, on a second.
pub(super) const START_NS: i64 = 1_700_000_040 * SECOND;

/// The least that time moves between two turns: about what a turn takes.
pub(super) const TURN_NS: i64 = 2_000;

/// Pace of the market once the faults have ceased, in events a second and venue.
const CALM_RATE: f64 = 2.0;

/// How long everything may take to be Live and current after the last fault: the longest silence that
/// a link is granted (Binance futures, 370 s), a reconnect and a resync with its longest waits; or the
/// questions about a mute stream that a fault still answers wrongly (old snapshots, five at most), each
/// asked half as often as the one before.
const RECOVERY_MAX_NS: i64 = 1_200 * SECOND;

/// A network that holds everything back for less than this must not be felt: no link is cut and no
/// book thrown away for it.
const HOLD_FELT_NS: i64 = 3 * SECOND;

/// How long the last changes may be on their way to the rings once the market stands still: the
/// slowest book stream pushes once a second.
const FLUSH_NS: i64 = 2_500 * MS;

/// Between two looks whether all has recovered.
const LOOK_NS: i64 = 200 * MS;

/// Market time given before the next look where something was not current.
const AGAIN_NS: i64 = 5 * SECOND;

/// Short waits after refusals: the ten minutes of the default would be most of a run's time.
pub(super) const BACKOFF: BackoffConfig = BackoffConfig {
    first_ns: Nanos::from_millis(100),
    max_ns: Nanos::from_secs(10),
    proven_ns: Nanos::from_secs(10),
    refused_ns: Nanos::from_millis(500),
};

/// Turns in a row without a pause: more means that the engine never comes to rest.
pub(super) const TURNS_MAX: u32 = 100_000;

/// A world could not be built. A fault of the plan, not of the engine.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The engine refused its setup.
    #[error("the engine could not be built: {0}")]
    Engine(#[from] BuildError),
    /// A venue has no driver.
    #[error("a venue could not be set up: {0}")]
    Venue(#[from] OpenError),
    /// The simulator refused its setup.
    #[error("the venues could not be built: {0}")]
    Sim(#[from] SimError),
    /// A command was refused.
    #[error("a command was refused: {0}")]
    Command(#[from] SubscribeError),
}

/// Runs one world to its end or to the first complaint.
///
/// # Errors
/// Where it could not be built.
pub fn run(choice: &Choice, rules: Rules) -> Result<Outcome, WorldError> {
    let whole = Plan::of(choice.seed, &rules);
    let plan = whole.shortened(choice.keep.as_deref(), choice.until_ns);
    let items = plan.items.iter().map(ToString::to_string).collect();
    let active_ns = plan.active_ns;
    let mut world = World::new(&plan, rules)?;
    world.run()?;
    let trace = world.trace();
    let (figures, complaint) = world.end();
    Ok(Outcome {
        figures,
        complaint,
        items,
        active_ns,
        trace,
    })
}

struct World<'a> {
    plan: &'a Plan,
    engine: HandEngine<Pipes>,
    venues: Venues,
    board: Shared,
    now: i64,
    /// When each strategy wakes next, where something waits for it.
    wakes: Vec<Option<i64>>,
    rng: fastrand::Rng,
    acts: Vec<(i64, Act, Watch)>,
    acts_done: usize,
    weather: Vec<(i64, SimVenue, Weather)>,
    weather_done: usize,
    sample_at: i64,
    /// What each strategy watches at present.
    wanted: Vec<Vec<StreamId>>,
    links_up: BTreeMap<(Venue, Market, u16), u64>,
    reconnects: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, rules: Rules) -> Result<World<'a>, WorldError> {
        let mut seeds = fastrand::Rng::with_seed(plan.seed ^ 0x5eed);
        let specs: Vec<_> = plan.venues.iter().map(VenuePlan::spec).collect();
        // The send log, which nobody reads here, wants a moment of the real clock.
        let base: Instant = Stopwatch::start().into();
        let mut venues = Venues::new(&specs, seeds.u64(..), START_NS, base)?;
        venues.world.schedule(&plan.faults(), START_NS);
        let truth = (venues.world.truth(), venues.world.fault_log());
        let board = Shared::new(plan, rules, truth, START_NS);
        venues.board = Some(board.clone());
        let mut builder = Engine::builder()
            .poll(PollMode::Mio)
            .backoff(BACKOFF)
            .seed(seeds.u64(..));
        for venue in &plan.venues {
            builder = add_venue(builder, venue);
        }
        for strategy in 0..plan.seats.len() {
            builder = builder.strategy(setup(plan, strategy, &board));
        }
        let engine = builder.by_hand(Pipes::new(seeds.u64(..)), Nanos(START_NS))?;
        let mut world = World {
            plan,
            engine,
            venues,
            board,
            now: START_NS,
            wakes: vec![None; plan.seats.len()],
            rng: fastrand::Rng::with_seed(seeds.u64(..)),
            acts: plan.acts(),
            acts_done: 0,
            weather: plan.weather(),
            weather_done: 0,
            sample_at: START_NS + SAMPLE_NS,
            wanted: vec![Vec::new(); plan.seats.len()],
            links_up: BTreeMap::new(),
            reconnects: 0,
        };
        for watch in plan.watches() {
            if let Some(stream) = world.stream(watch) {
                world.want(watch.strategy, stream);
            }
        }
        Ok(world)
    }

    fn run(&mut self) -> Result<(), WorldError> {
        self.advance(START_NS + self.plan.active_ns)?;
        self.engine.net().calm_down();
        self.set_rates(CALM_RATE);
        let deadline = self.now + RECOVERY_MAX_NS;
        while !self.is_over() {
            let unsettled = self.board.lock().unsettled(&self.wanted);
            if let Some((strategy, what)) = unsettled {
                if self.now >= deadline {
                    let what = format!("{what} long after the last fault");
                    return self.complain(Some(strategy), what);
                }
                self.advance(self.now + LOOK_NS)?;
                continue;
            }
            self.set_rates(0.0);
            self.advance(self.now + FLUSH_NS + self.plan.drained_ns())?;
            let outdated = self.outdated();
            let unsettled = self.board.lock().unsettled(&self.wanted);
            match outdated.filter(|_| unsettled.is_none()) {
                Some((strategy, what)) if self.now >= deadline => {
                    let what = format!("{what} long after the last fault");
                    return self.complain(Some(strategy), what);
                }
                None if unsettled.is_none() => break,
                _ => {
                    self.set_rates(CALM_RATE);
                    self.advance(self.now + AGAIN_NS)?;
                }
            }
        }
        if !self.is_over() {
            self.check_end();
        }
        Ok(())
    }

    /// The first stream that does not show what the venue has, by its top or by its replica.
    fn outdated(&mut self) -> Option<(usize, String)> {
        let board = self.board.lock();
        if let Some(found) = board.outdated(&self.wanted) {
            return Some(found);
        }
        for (strategy, streams) in self.wanted.iter().enumerate() {
            let Some(context) = self.engine.context(strategy) else {
                continue;
            };
            for stream in streams {
                // A ring that is smaller than the book never lets a replica become whole.
                let replica = context.book(*stream).filter(|one| one.is_valid());
                if replica.is_some_and(|one| !board.is_current_book(strategy, *stream, one)) {
                    let what = format!("the replica of stream {stream} is not the present book");
                    return Some((strategy, what));
                }
            }
        }
        None
    }

    fn complain(&mut self, strategy: Option<usize>, what: String) -> Result<(), WorldError> {
        self.board.lock().complain_at(self.now, strategy, what);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.board.lock().complaint.is_some()
    }

    fn set_rates(&mut self, rate: f64) {
        let now = self.now;
        for plan in &self.plan.venues {
            let command = Command::SetRate(rate);
            let venue = plan.venue;
            self.venues
                .with_world(now, self.engine.net(), |world, out| {
                    world.handle_control(venue, &command, now, out);
                });
        }
    }

    /// Lets time pass until then, or until a complaint.
    fn advance(&mut self, until: i64) -> Result<(), WorldError> {
        let mut turns = 0;
        while self.now < until {
            self.step()?;
            if self.is_over() {
                return Ok(());
            }
            let next = self.next_ns().min(until);
            turns = if next <= self.now + TURN_NS {
                turns + 1
            } else {
                0
            };
            if turns > TURNS_MAX {
                return self.complain(None, "the engine never comes to rest".to_owned());
            }
            self.now = next.max(self.now + TURN_NS);
        }
        Ok(())
    }

    /// When something happens next.
    fn next_ns(&mut self) -> i64 {
        let mut next = self.engine.next_turn().0;
        next = next.min(self.venues.next_ns());
        next = next.min(self.engine.net().next_ns().unwrap_or(i64::MAX));
        next = next.min(self.sample_at);
        if let Some((at_ns, ..)) = self.acts.get(self.acts_done) {
            next = next.min(START_NS + at_ns);
        }
        if let Some((at_ns, ..)) = self.weather.get(self.weather_done) {
            next = next.min(START_NS + at_ns);
        }
        self.wakes.iter().flatten().copied().fold(next, i64::min)
    }

    /// Everything that is due at this moment.
    fn step(&mut self) -> Result<(), WorldError> {
        let now = self.now;
        self.take_weather();
        self.venues.turn(now, self.engine.net());
        if let Some(port) = self.engine.net().take_unreachable() {
            let mut board = self.board.lock();
            board.unreachable.extend(venue_at(port));
            board.note(now, || {
                format!("a connection to port {port} fails or takes long")
            });
        }
        self.take_acts()?;
        if self.engine.net().has_ready() || self.engine.next_turn().0 <= now {
            self.engine.turn(Nanos(now));
            self.take_notices();
        }
        for strategy in 0..self.wakes.len() {
            self.run_strategy(strategy);
        }
        if now >= self.sample_at {
            self.board.lock().sample(now);
            self.sample_at = now + SAMPLE_NS;
        }
        Ok(())
    }

    fn run_strategy(&mut self, strategy: usize) {
        let Some(seat) = self.plan.seats.get(strategy) else {
            return;
        };
        match self.wakes[strategy] {
            Some(at) if at <= self.now => {
                self.engine
                    .run_strategy(strategy, Nanos(self.now), seat.events_max);
                self.wakes[strategy] = None;
            }
            _ => {}
        }
        if self.wakes[strategy].is_none() && self.engine.waiting(strategy) > 0 {
            let sleep_ns = self.rng.i64(10_000..=seat.sleep_max_ns);
            self.wakes[strategy] = Some(self.now + sleep_ns);
        }
    }

    fn take_weather(&mut self) {
        while let Some((at_ns, venue, weather)) = self.weather.get(self.weather_done) {
            if START_NS + at_ns > self.now {
                break;
            }
            self.weather_done += 1;
            let (now, net) = (self.now, self.engine.net());
            let is_bad = match *weather {
                Weather::Cut => {
                    net.cut(port(*venue), now);
                    true
                }
                Weather::Hold { for_ns } => {
                    net.hold(port(*venue), now + for_ns);
                    for_ns >= HOLD_FELT_NS
                }
            };
            let mut board = self.board.lock();
            if is_bad {
                board.cut.push(*venue);
            }
            board.note(now, || format!("network: {venue} {weather:?}"));
        }
    }

    fn take_acts(&mut self) -> Result<(), WorldError> {
        while let Some((at_ns, act, watch)) = self.acts.get(self.acts_done) {
            if START_NS + at_ns > self.now {
                break;
            }
            let (act, watch) = (*act, watch.clone());
            self.acts_done += 1;
            self.act(act, &watch)?;
        }
        Ok(())
    }

    fn act(&mut self, act: Act, watch: &Watch) -> Result<(), WorldError> {
        let strategy = watch.strategy;
        let commander = self.engine.commander(strategy);
        match act {
            Act::Join => {
                let (venue, market) = names(watch.venue);
                let (symbol, channel) = (&watch.symbol, watch.channel);
                let stream = match self.engine.context(strategy).filter(|_| watch.depth) {
                    Some(context) => context.subscribe_depth(venue, market, symbol, channel)?,
                    None => commander.subscribe(venue, market, symbol, channel, watch.depth)?,
                };
                self.want(strategy, stream);
                if watch.venue == SimVenue::Polymarket {
                    // A book comes with the token's subscription alone: where its trades were there
                    // first, the token is asked for anew.
                    let asked = (watch.venue, watch.symbol.clone());
                    self.board.lock().asked.push(asked);
                }
            }
            Act::Leave => {
                if let Some(stream) = self.stream(watch) {
                    commander.unsubscribe(stream)?;
                    self.wanted[strategy].retain(|one| *one != stream);
                }
            }
            Act::Resync => {
                if let Some(stream) = self.stream(watch) {
                    let asked = (watch.venue, watch.symbol.clone());
                    self.board.lock().asked.push(asked);
                    commander.resync(stream)?;
                }
            }
        }
        Ok(())
    }

    fn want(&mut self, strategy: usize, stream: StreamId) {
        if !self.wanted[strategy].contains(&stream) {
            self.wanted[strategy].push(stream);
        }
    }

    /// The stream of a watch.
    fn stream(&self, watch: &Watch) -> Option<StreamId> {
        let (venue, market) = names(watch.venue);
        let streams = self.engine.streams();
        let found = streams.iter().find(|info| {
            let key = info.key;
            (key.venue, key.market, key.channel) == (venue, market, watch.channel)
                && key.symbol.as_str() == watch.symbol
        });
        found.map(|info| info.id)
    }

    fn take_notices(&mut self) {
        while let Some(notice) = self.engine.next_notice() {
            let (venue, market, link) = (notice.venue, notice.market, notice.link.0);
            self.board.lock().note(self.now, || {
                format!("{venue} {market} link {link}: {:?}", notice.kind)
            });
            if matches!(notice.kind, LinkNoticeKind::Connected { .. }) {
                let key = (notice.venue, notice.market, notice.link.0);
                let times = self.links_up.entry(key).or_default();
                *times += 1;
                self.reconnects += u64::from(*times > 1);
            }
        }
    }

    /// Everything has recovered: nothing may be left over.
    fn check_end(&mut self) {
        for strategy in 0..self.wakes.len() {
            let now = Nanos(self.now);
            while self.engine.run_strategy(strategy, now, usize::MAX) > 0 {
                self.engine.turn(now);
            }
            let wrong = self.wrong_at_end(strategy);
            if let Some(what) = wrong {
                self.board
                    .lock()
                    .complain_at(self.now, Some(strategy), what);
            }
        }
        if let Some(what) = self.unbounded() {
            self.board.lock().complain_at(self.now, None, what);
        }
    }

    fn wrong_at_end(&mut self, strategy: usize) -> Option<String> {
        if let Some(stats) = self.engine.ring_stats(strategy) {
            let tally = self.board.lock().tallies[strategy];
            let lost = stats.lost;
            let lost = [lost.bbo, lost.trades, lost.levels, lost.wide];
            if (tally.hot, tally.wide, tally.lost) != (stats.hot, stats.wide, lost) {
                return Some(format!(
                    "the ring says {} hot, {} wide, lost {lost:?}; the strategy had {tally:?}",
                    stats.hot, stats.wide
                ));
            }
        }
        None
    }

    /// What has grown, or was done against a venue's rules.
    fn unbounded(&mut self) -> Option<String> {
        let links = self.engine.links().len();
        // Four kept-alive REST connections a venue at most.
        let most = links + 4 * self.plan.venues.len();
        let open = self.engine.net().open();
        if open > most {
            return Some(format!("{open} connections are open, with {links} links"));
        }
        if let Some(words) = self.venues.violations.words.first() {
            return Some(words.clone());
        }
        for plan in &self.plan.venues {
            let stats = self.venues.world.stats(plan.venue);
            let records = self.venues.world.fault_log().records();
            let mine = records.iter().filter(|one| one.venue == plan.venue);
            let refused: u64 = mine
                .clone()
                .filter(|one| one.fault.kind() == FaultKind::RestStatus)
                .map(|one| one.hits)
                .sum();
            if stats.rest_limited + stats.rest_banned > refused {
                return Some(format!("{} limited our requests: {stats:?}", plan.venue));
            }
            // An ack that was lost or late has its request sent again, and that may be refused as
            // done already; without a fault none is.
            let was_rough = self.board.lock().was_cut(plan.venue);
            if stats.rejects > 0 && !was_rough && !mine.clone().any(|one| one.hits > 0) {
                return Some(format!("{} refused our requests: {stats:?}", plan.venue));
            }
        }
        None
    }

    /// The course of the run, with the faults in their places.
    fn trace(&self) -> Vec<String> {
        let mut board = self.board.lock();
        for record in self.venues.world.fault_log().records() {
            board.note(record.at_ns, || {
                let (venue, fault) = (record.venue.slug(), &record.fault);
                format!("fault {venue} {fault}, {} hits", record.hits)
            });
        }
        let mut trace = std::mem::take(&mut board.trace);
        trace.sort_by(|a, b| a.get(..11).cmp(&b.get(..11)));
        trace
    }

    fn end(self) -> (Figures, Option<Complaint>) {
        let counters = self.engine.venue_counters();
        let mut board = self.board.lock();
        let mut figures = std::mem::take(&mut board.figures);
        figures.seeds = 1;
        figures.virtual_ns = self.now - START_NS;
        figures.reconnects = self.reconnects;
        for (_, _, counters) in counters {
            figures.resyncs += counters.resyncs;
            figures.messages += counters.messages;
        }
        for record in self.venues.world.fault_log().records() {
            if record.hits > 0 {
                *figures
                    .faults
                    .entry(record.fault.kind().name())
                    .or_default() += 1;
            }
        }
        let complaint = board.complaint.take();
        drop(board);
        (figures, complaint)
    }
}

fn add_venue(builder: EngineBuilder, plan: &VenuePlan) -> EngineBuilder {
    let place = port(plan.venue);
    let network = (
        format!("ws://192.0.2.1:{place}"),
        format!("http://192.0.2.1:{place}"),
    );
    let instruments = plan.instruments;
    match plan.venue {
        SimVenue::BinanceSpot | SimVenue::BinanceLinear | SimVenue::BinanceInverse => {
            let config = match plan.venue {
                SimVenue::BinanceSpot => BinanceConfig::spot(),
                SimVenue::BinanceLinear => BinanceConfig::linear(),
                _ => BinanceConfig::inverse(),
            };
            let config = BinanceConfig {
                instruments,
                upkeep: upkeep(config.upkeep, &plan.upkeep),
                ..config
            };
            builder.venue(config.at(network))
        }
        SimVenue::BybitSpot | SimVenue::BybitLinear => {
            let config = match plan.venue {
                SimVenue::BybitSpot => BybitConfig::spot(),
                _ => BybitConfig::linear(),
            };
            let config = BybitConfig {
                instruments,
                upkeep: upkeep(config.upkeep, &plan.upkeep),
                ..config
            };
            builder.venue(config.at(network))
        }
        SimVenue::DeribitInverse
        | SimVenue::DeribitLinear
        | SimVenue::DeribitOption
        | SimVenue::DeribitSpot => {
            let (_, market) = names(plan.venue);
            let config = DeribitConfig::new(market);
            let config = DeribitConfig {
                instruments,
                upkeep: upkeep(config.upkeep, &plan.upkeep),
                ..config
            };
            builder.venue(config.at(network))
        }
        SimVenue::Polymarket => {
            let config = PolymarketConfig::new();
            let config = PolymarketConfig {
                instruments,
                upkeep: upkeep(config.upkeep, &plan.upkeep),
                ..config
            };
            builder.venue(config.at(network))
        }
    }
}

/// The connector's own way to look after links and books, but for what the plan says.
fn upkeep(own: Upkeep, plan: &UpkeepPlan) -> Upkeep {
    let mut upkeep = own;
    if let Some(quiet_ns) = plan.quiet_ns {
        let expectations = &mut upkeep.expectations;
        let Expectations {
            book,
            bbo,
            trades,
            ticker,
            kline,
        } = expectations;
        for expectation in [book, bbo, trades, ticker, kline] {
            if expectation.silence == Silence::Probe {
                expectation.quiet_ns = Nanos(quiet_ns);
            }
        }
    }
    if let Some(age_ns) = plan.link_age_ns {
        upkeep.link_age_max_ns = Some(Nanos(age_ns));
        upkeep.handover_max_ns = Nanos(5 * SECOND);
    }
    if plan.pair {
        upkeep.redundancy = Redundancy::Pair;
    }
    upkeep
}

fn setup(plan: &Plan, strategy: usize, board: &Shared) -> StrategySetup {
    let watcher = Watcher {
        strategy,
        board: board.clone(),
    };
    let seat = plan.seats[strategy];
    let mut setup = StrategySetup::new(watcher).ring(RingConfig {
        hot_capacity: seat.ring_events,
        wide_capacity: (seat.ring_events / 4).max(1),
        streams: 1,
    });
    if strategy == INLINE {
        setup = setup.inline();
    }
    for watch in plan.watches().filter(|one| one.strategy == strategy) {
        let (venue, market) = names(watch.venue);
        let symbol = [watch.symbol.as_str()];
        setup = if watch.depth {
            setup.watch_levels(venue, market, symbol, [watch.channel])
        } else {
            setup.watch(venue, market, symbol, [watch.channel])
        };
    }
    setup
}
