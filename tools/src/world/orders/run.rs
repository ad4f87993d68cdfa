//! The course of time: from event to event, in one thread.

use std::time::Instant;

use tickwire::connectors::channel::ALL_SYMBOLS;
use tickwire::connectors::{Credentials, Nanos};
use tickwire::driver::DriverConfig;
use tickwire::ring::RingConfig;
use tickwire::testing::sim::{AccountSpec, Command, SimVenue};
use tickwire::testing::{HandEngine, names};
use tickwire::{Channel, Engine, PollMode, StrategySetup};

use super::Figures;
use super::model::Shared;
use super::plan::{DeskPlan, Plan, Row};
use super::trader::Trader;
use crate::stopwatch::Stopwatch;
use crate::world::pipes::Pipes;
use crate::world::plan::Weather;
use crate::world::run::{BACKOFF, START_NS, TURN_NS, TURNS_MAX};
use crate::world::venues::{Venues, port};
use crate::world::{Choice, MS, Outcome, SECOND, WorldError};

/// How long everything may take to be known after the last fault: Bybit bans an address for 10 minutes;
/// then a reconnect, and what has to be asked.
const RECOVERY_MAX_NS: i64 = 720 * SECOND;

/// Between two looks whether all is known.
const LOOK_NS: i64 = 500 * MS;

/// What is known then must stay so: nothing that was settled may be told once more.
const STAY_NS: i64 = 20 * SECOND;

/// Runs one world to its end or to the first complaint.
///
/// # Errors
/// Where it could not be built.
pub fn run(choice: &Choice, keeps_trace: bool) -> Result<Outcome<Figures>, WorldError> {
    let whole = Plan::of(choice.seed);
    let plan = whole.shortened(choice.keep.as_deref(), choice.until_ns);
    let items = plan.items.iter().map(ToString::to_string).collect();
    let active_ns = plan.active_ns;
    let mut world = World::new(&plan, keeps_trace)?;
    world.run();
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
    /// When each trader over a ring wakes next.
    wakes: Vec<Option<i64>>,
    /// Its deeds' times, and how many of them have passed.
    deeds: Vec<(Vec<i64>, usize)>,
    rng: fastrand::Rng,
    weather: Vec<(i64, SimVenue, Weather)>,
    weather_done: usize,
    unreachable: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, keeps_trace: bool) -> Result<World<'a>, WorldError> {
        let mut seeds = fastrand::Rng::with_seed(plan.seed ^ 0x0bde);
        let specs: Vec<_> = plan.desks.iter().map(DeskPlan::spec).collect();
        // The send log, which nobody reads here, wants a moment of the real clock.
        let base: Instant = Stopwatch::start().into();
        let mut venues = Venues::new(&specs, seeds.u64(..), START_NS, base)?;
        venues.world.schedule(&plan.faults(), START_NS);
        let known = plan
            .desks
            .iter()
            .map(|one| (one.row.sim, one.symbols.len()));
        let board = Shared::new(&known.collect::<Vec<_>>(), keeps_trace, START_NS);
        let mut builder = Engine::builder()
            .poll(PollMode::Mio)
            .backoff(BACKOFF)
            .seed(seeds.u64(..));
        for desk in &plan.desks {
            builder = builder.venue(config(&desk.row).venue_setup()?);
        }
        for desk in 0..plan.desks.len() {
            builder = builder.strategy(setup(plan, desk, &board));
        }
        let engine = builder.by_hand(Pipes::new(seeds.u64(..)), Nanos(START_NS))?;
        let times = |desk| plan.deeds(desk).iter().map(|(at_ns, _)| *at_ns).collect();
        Ok(World {
            plan,
            engine,
            venues,
            board,
            now: START_NS,
            wakes: vec![None; plan.desks.len()],
            deeds: (0..plan.desks.len()).map(|desk| (times(desk), 0)).collect(),
            rng: fastrand::Rng::with_seed(seeds.u64(..)),
            weather: plan.weather(),
            weather_done: 0,
            unreachable: 0,
        })
    }

    fn run(&mut self) {
        self.advance(START_NS + self.plan.active_ns);
        self.engine.net().calm_down();
        // The market stands still: from here on only what has happened is told.
        self.stop_markets();
        let deadline = self.now + RECOVERY_MAX_NS;
        self.settle(deadline);
        while !self.is_over() {
            self.advance(self.now + STAY_NS);
            match self.difference() {
                // A link that died without a word was found dead: what it missed is asked for.
                Some((desk, _)) if !self.is_live(desk) && self.now < deadline => {
                    self.settle(deadline);
                }
                Some((desk, what)) => {
                    return self.complain(Some(desk), format!("{what}, when all was known"));
                }
                None => break,
            }
        }
        if let Some((desk, what)) = self.held().filter(|_| !self.is_over()) {
            self.complain(Some(desk), what);
        }
    }

    /// Waits until everything is known.
    fn settle(&mut self, deadline: i64) {
        while !self.is_over() {
            match self.difference() {
                Some((desk, what)) if self.now >= deadline => {
                    let what = format!("{what}, long after the last fault");
                    return self.complain(Some(desk), what);
                }
                Some(_) => self.advance(self.now + LOOK_NS),
                None => return,
            }
        }
    }

    fn is_live(&self, desk: usize) -> bool {
        self.board.lock().accounts[desk].is_live
    }

    fn difference(&mut self) -> Option<(usize, String)> {
        let mut board = self.board.lock();
        for (desk, plan) in self.plan.desks.iter().enumerate() {
            let ledger = self.venues.world.ledger(plan.row.sim, "demo");
            let ledger = ledger.unwrap_or_default();
            if let Some(what) = board.difference(desk, &ledger) {
                return Some((desk, what));
            }
        }
        None
    }

    /// Room in a ring that is held for orders which have ended.
    fn held(&self) -> Option<(usize, String)> {
        let board = self.board.lock();
        let accounts = board.accounts.iter().enumerate();
        accounts.into_iter().find_map(|(desk, account)| {
            let standing = account.orders.values().filter(|one| one.may_stand());
            let (standing, held) = (standing.count(), self.engine.orders_under_way(desk));
            let what = format!("room is held for {held} orders, and {standing} stand");
            (standing != held).then_some((desk, what))
        })
    }

    fn complain(&mut self, desk: Option<usize>, what: String) {
        self.board.lock().complain(self.now, desk, what);
    }

    fn is_over(&self) -> bool {
        self.board.lock().complaint.is_some()
    }

    fn stop_markets(&mut self) {
        let now = self.now;
        for desk in &self.plan.desks {
            let stop = Command::SetRate(0.0);
            let venue = desk.row.sim;
            self.venues
                .with_world(now, self.engine.net(), |world, out| {
                    world.handle_control(venue, &stop, now, out);
                });
        }
    }

    /// Lets time pass until then, or until a complaint.
    fn advance(&mut self, until: i64) {
        let mut turns = 0;
        while self.now < until {
            self.step();
            if self.is_over() {
                return;
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
    }

    /// When something happens next.
    fn next_ns(&mut self) -> i64 {
        let mut next = self.engine.next_turn().0;
        next = next.min(self.venues.next_ns());
        next = next.min(self.engine.net().next_ns().unwrap_or(i64::MAX));
        if let Some((at_ns, ..)) = self.weather.get(self.weather_done) {
            next = next.min(START_NS + at_ns);
        }
        for (times, done) in &self.deeds {
            next = next.min(times.get(*done).map_or(i64::MAX, |at_ns| START_NS + at_ns));
        }
        self.wakes.iter().flatten().copied().fold(next, i64::min)
    }

    /// Everything that is due at this moment.
    fn step(&mut self) {
        let now = self.now;
        self.take_weather();
        self.venues.turn(now, self.engine.net());
        while self.engine.net().take_unreachable().is_some() {
            self.unreachable += 1;
        }
        if self.engine.net().has_ready() || self.engine.next_turn().0 <= now {
            self.engine.turn(Nanos(now));
            while let Some(notice) = self.engine.next_notice() {
                let (venue, market, link) = (notice.venue, notice.market, notice.link.0);
                self.board.lock().note(now, || {
                    format!("{venue} {market} link {link}: {:?}", notice.kind)
                });
            }
        }
        for desk in 0..self.plan.desks.len() {
            self.run_trader(desk);
        }
    }

    fn run_trader(&mut self, desk: usize) {
        let (times, done) = &mut self.deeds[desk];
        let before = *done;
        while times
            .get(*done)
            .is_some_and(|at_ns| START_NS + at_ns <= self.now)
        {
            *done += 1;
        }
        let is_due = *done > before || self.wakes[desk].is_some_and(|at| at <= self.now);
        let Some(seat) = self.plan.desks[desk].seat else {
            return;
        };
        if is_due {
            self.engine.run_strategy(desk, Nanos(self.now), usize::MAX);
            self.wakes[desk] = None;
        }
        if self.wakes[desk].is_none() && self.engine.waiting(desk) > 0 {
            let sleep_ns = self.rng.i64(10_000..=seat.sleep_max_ns);
            self.wakes[desk] = Some(self.now + sleep_ns);
        }
    }

    fn take_weather(&mut self) {
        while let Some((at_ns, venue, weather)) = self.weather.get(self.weather_done) {
            if START_NS + at_ns > self.now {
                break;
            }
            self.weather_done += 1;
            let (now, net) = (self.now, self.engine.net());
            match *weather {
                Weather::Cut => net.cut(port(*venue), now),
                Weather::Hold { for_ns } => net.hold(port(*venue), now + for_ns),
            }
            self.board
                .lock()
                .note(now, || format!("network: {venue} {weather:?}"));
        }
    }

    /// The course of the run, with the faults in their places.
    fn trace(&self) -> Vec<String> {
        let mut board = self.board.lock();
        for record in self.venues.world.fault_log().records() {
            let at_ns = record.acted_ns.unwrap_or(record.at_ns);
            board.note(at_ns, || {
                let (venue, fault) = (record.venue.slug(), &record.fault);
                format!("fault {venue} {fault}, {} hits", record.hits)
            });
        }
        let mut trace = std::mem::take(&mut board.trace);
        trace.sort_by(|a, b| a.get(..11).cmp(&b.get(..11)));
        trace
    }

    fn end(self) -> (Figures, Option<crate::world::Complaint>) {
        let mut board = self.board.lock();
        let mut figures = std::mem::take(&mut board.figures);
        figures.seeds = 1;
        figures.virtual_ns = self.now - START_NS;
        figures.weather = self.weather_done as u64 + self.unreachable;
        for (desk, plan) in self.plan.desks.iter().enumerate() {
            let ledger = self.venues.world.ledger(plan.row.sim, "demo");
            let placed = ledger.map_or(0, |ledger| ledger.orders.len()) as u64;
            figures.orders += placed;
            *figures
                .orders_by_row
                .entry(plan.row.to_string())
                .or_default() += placed;
            let asked = board.accounts[desk].ids.len() as u64;
            figures.orders_refused += asked.saturating_sub(placed);
        }
        for record in self.venues.world.fault_log().records() {
            if record.hits > 0 {
                *figures
                    .faults
                    .entry(record.fault.kind().name())
                    .or_default() += record.hits;
            }
        }
        let complaint = board.complaint.take();
        drop(board);
        (figures, complaint)
    }
}

fn config(row: &Row) -> DriverConfig {
    let place = port(row.sim);
    let (venue, market) = names(row.sim);
    let credentials = if row.ed25519 {
        let pem = AccountSpec::demo_ed25519_pem();
        Credentials::ed25519(AccountSpec::DEMO_ED25519_KEY, pem)
    } else {
        Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_SECRET)
    };
    let there = (
        format!("ws://192.0.2.1:{place}"),
        format!("http://192.0.2.1:{place}"),
    );
    DriverConfig::mainnet(venue, market)
        .at(there)
        .with_credentials(credentials)
        .over(row.transport)
}

fn setup(plan: &Plan, desk: usize, board: &Shared) -> StrategySetup {
    let DeskPlan {
        row, symbols, seat, ..
    } = &plan.desks[desk];
    let (venue, market) = names(row.sim);
    let deeds = plan.deeds(desk);
    let trader = Trader::new(desk, board.clone(), (venue, market), symbols, deeds);
    let setup = StrategySetup::new(trader)
        .watch(venue, market, [ALL_SYMBOLS], [Channel::User])
        .watch(
            venue,
            market,
            symbols.iter().map(String::as_str),
            [Channel::Bbo],
        );
    match seat {
        None => setup.inline(),
        Some(seat) => setup.ring(RingConfig {
            wide_capacity: seat.wide_events,
            ..RingConfig::default()
        }),
    }
}
