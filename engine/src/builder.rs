//! Puts an engine together: venues, strategies with what they watch and where they run, poll mode.

use std::io;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::CertificateDer;
use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::deribit::{Deribit, DeribitConfig};
use tickwire_connectors::polymarket::{Polymarket, PolymarketConfig};
use tickwire_connectors::{AnyConnector, Channel, Connector, Error, Market, Venue};

use crate::backoff::BackoffConfig;
use crate::clock::Clock;
use crate::control::{Commander, Control, ControlQueue, STRATEGIES_MAX, StrategyId};
use crate::engine::{EngineParts, Loop, PollMode};
use crate::handle::{Handle, StrategyThread};
use crate::helper::Helper;
use crate::memory::{self, LockError};
use crate::net::{Net, TcpNet, TcpOptions, Wake};
use crate::notice::Notices;
use crate::operator::OperatedBy;
use crate::pin::{self, PinError};
use crate::registry::{Registry, SubscribeError};
use crate::ring::{self, Consumer, RingConfig};
use crate::router::{Router, Sink};
use crate::strategy::{Context, Runner, Strategy, Wait, run_thread};
use crate::telemetry::{LatencyReader, LoopCounters, RingCounters, latency_channel};
use crate::wire::tls::{Records, Roots, client_config};
use crate::ws::Clients;

/// An engine could not be built. Nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No venue.
    #[error("an engine needs a venue or clients: add one with .venue(..) or .clients(..)")]
    NoVenue,
    /// Clients that are on a loop already.
    #[error("these clients are on a loop already: make others for this one")]
    ClientsTwice,
    /// The same venue and market twice.
    #[error("{venue} {market} is there twice: an engine has one connector for each market")]
    VenueTwice {
        /// Venue.
        venue: Venue,
        /// Market.
        market: Market,
    },
    /// A venue's configuration is wrong.
    #[error("{0}")]
    Venue(#[from] Error),
    /// Too many strategies for one engine.
    #[error("{0} strategies: an engine feeds at most {STRATEGIES_MAX}")]
    TooManyStrategies(usize),
    /// Two strategies of one name.
    #[error("two strategies are named {0:?}")]
    NameTwice(String),
    /// An option that means nothing for a strategy of this kind.
    #[error("strategy {name:?}: .{option}(..) means nothing for {kind}")]
    Misplaced {
        /// The strategy.
        name: String,
        /// The method.
        option: &'static str,
        /// What kind of strategy it is, and why not.
        kind: &'static str,
    },
    /// A ring without room.
    #[error("strategy {0:?} has a ring of capacity 0: each of its two needs at least 1")]
    NoRing(String),
    /// A strategy watches what can't be.
    #[error("strategy {name:?} can't watch {symbol:?}: {error}")]
    Watch {
        /// The strategy.
        name: String,
        /// The symbol.
        symbol: String,
        /// Why not.
        error: SubscribeError,
    },
    /// A core can't be had.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Memory can't be locked.
    #[error(transparent)]
    LockMemory(#[from] LockError),
    /// Certificates or the TLS set-up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The system refused the poll or a thread.
    #[error("the system refused {what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

/// A venue for the builder: a built-in one by its configuration, or a user's own connector.
#[expect(
    missing_debug_implementations,
    reason = "a user's connector need not have one"
)]
pub struct VenueSetup(Kind);

enum Kind {
    Binance(BinanceConfig),
    Bybit(BybitConfig),
    Deribit(Box<DeribitConfig>),
    Polymarket(PolymarketConfig),
    Custom(Box<dyn Connector>),
}

impl From<BinanceConfig> for VenueSetup {
    fn from(config: BinanceConfig) -> VenueSetup {
        VenueSetup(Kind::Binance(config))
    }
}

impl From<PolymarketConfig> for VenueSetup {
    fn from(config: PolymarketConfig) -> VenueSetup {
        VenueSetup(Kind::Polymarket(config))
    }
}

impl From<BybitConfig> for VenueSetup {
    fn from(config: BybitConfig) -> VenueSetup {
        VenueSetup(Kind::Bybit(config))
    }
}

impl From<DeribitConfig> for VenueSetup {
    fn from(config: DeribitConfig) -> VenueSetup {
        VenueSetup(Kind::Deribit(Box::new(config)))
    }
}

impl VenueSetup {
    /// A connector of the user's own.
    pub fn custom(connector: impl Connector + 'static) -> VenueSetup {
        VenueSetup(Kind::Custom(Box::new(connector)))
    }

    fn build(self, seed: u64) -> Result<AnyConnector, Error> {
        Ok(match self.0 {
            Kind::Binance(config) => AnyConnector::Binance(Box::new(Binance::new(config, seed)?)),
            Kind::Bybit(config) => AnyConnector::Bybit(Box::new(Bybit::new(config, seed)?)),
            Kind::Deribit(config) => AnyConnector::Deribit(Box::new(Deribit::new(*config, seed)?)),
            Kind::Polymarket(config) => {
                AnyConnector::Polymarket(Box::new(Polymarket::new(config, seed)?))
            }
            Kind::Custom(connector) => AnyConnector::Custom(connector),
        })
    }
}

/// A strategy for the builder: what it watches and where it runs.
#[expect(
    missing_debug_implementations,
    reason = "a user's strategy need not have one"
)]
pub struct StrategySetup {
    name: String,
    strategy: Option<Box<dyn Strategy>>,
    inline: bool,
    core: Option<usize>,
    wait: Option<Wait>,
    ring: RingConfig,
    watches: Vec<Watch>,
    operated_by: Option<OperatedBy>,
}

struct Watch {
    venue: Venue,
    market: Market,
    symbol: String,
    channel: Channel,
    depth: bool,
}

impl StrategySetup {
    /// On a thread of its own, over rings.
    pub fn new(strategy: impl Strategy) -> StrategySetup {
        StrategySetup::with(Some(Box::new(strategy)))
    }

    /// No [`Strategy`]: the bare pair of rings, to be taken from the handle by
    /// [`Handle::take_pair`] and used on any one thread.
    pub fn pair() -> StrategySetup {
        StrategySetup::with(None)
    }

    fn with(strategy: Option<Box<dyn Strategy>>) -> StrategySetup {
        StrategySetup {
            name: String::new(),
            strategy,
            inline: false,
            core: None,
            wait: None,
            ring: RingConfig::default(),
            watches: Vec::new(),
            operated_by: None,
        }
    }

    /// A name for threads, counters and the handle; "strategy-N" without one.
    pub fn named(mut self, name: impl Into<String>) -> StrategySetup {
        self.name = name.into();
        self
    }

    /// On the engine's own loop: no hop, no ring, no loss; but whatever its callbacks take, every
    /// link waits for. They must not block.
    pub fn inline(mut self) -> StrategySetup {
        self.inline = true;
        self
    }

    /// Pins the strategy's thread.
    pub fn on_core(mut self, core: usize) -> StrategySetup {
        self.core = Some(core);
        self
    }

    /// What the thread does while there is nothing to do; [`Wait::for_cores`] by default.
    pub fn wait(mut self, wait: Wait) -> StrategySetup {
        self.wait = Some(wait);
        self
    }

    /// Sizes of its rings.
    pub fn ring(mut self, ring: RingConfig) -> StrategySetup {
        self.ring = ring;
        self
    }

    /// Lets an operator ask it things while it runs: [`Strategy::on_instruction`]. For strategies with a
    /// thread of their own; the loop has no time for conversations.
    pub fn operated(mut self, end: OperatedBy) -> StrategySetup {
        self.operated_by = Some(end);
        self
    }

    /// Opens every channel of every symbol at the start. Books publish their top.
    pub fn watch<'a>(
        self,
        venue: Venue,
        market: Market,
        symbols: impl IntoIterator<Item = &'a str>,
        channels: impl IntoIterator<Item = Channel>,
    ) -> StrategySetup {
        self.add(venue, market, symbols, channels, false)
    }

    /// Opens the venue's usual books with their levels: the strategy keeps replicas of them.
    pub fn watch_depth<'a>(
        self,
        venue: Venue,
        market: Market,
        symbols: impl IntoIterator<Item = &'a str>,
    ) -> StrategySetup {
        self.add(venue, market, symbols, [Channel::BOOK], true)
    }

    /// Opens these book channels with their levels.
    pub fn watch_levels<'a>(
        self,
        venue: Venue,
        market: Market,
        symbols: impl IntoIterator<Item = &'a str>,
        books: impl IntoIterator<Item = Channel>,
    ) -> StrategySetup {
        self.add(venue, market, symbols, books, true)
    }

    fn check(&self, name: &str) -> Result<(), BuildError> {
        let kind = match (&self.strategy, self.inline) {
            (None, _) => "a pair: the program that takes it says on which thread it is read",
            (Some(_), true) => "an inline strategy: it runs where the loop does",
            (Some(_), false) => return Ok(()),
        };
        let options = [
            ("inline", self.inline && self.strategy.is_none()),
            ("on_core", self.core.is_some()),
            ("wait", self.wait.is_some()),
            ("operated", self.operated_by.is_some()),
        ];
        match options.into_iter().find(|(_, is_set)| *is_set) {
            Some((option, _)) => Err(BuildError::Misplaced {
                name: name.to_owned(),
                option,
                kind,
            }),
            None => Ok(()),
        }
    }

    fn add<'a>(
        mut self,
        venue: Venue,
        market: Market,
        symbols: impl IntoIterator<Item = &'a str>,
        channels: impl IntoIterator<Item = Channel>,
        depth: bool,
    ) -> StrategySetup {
        let channels: Vec<Channel> = channels.into_iter().collect();
        for symbol in symbols {
            for &channel in &channels {
                let symbol = symbol.to_owned();
                self.watches.push(Watch {
                    venue,
                    market,
                    symbol,
                    channel,
                    depth,
                });
            }
        }
        self
    }
}

/// An engine to be. Reads like a sentence:
///
/// ```no_run
/// use tickwire::{BinanceConfig, Channel, Engine, Market, PollMode, Strategy, StrategySetup, Venue};
///
/// struct Quiet;
/// impl Strategy for Quiet {}
///
/// # fn main() -> Result<(), tickwire::BuildError> {
/// let engine = Engine::builder()
///     .venue(BinanceConfig::spot())
///     .strategy(
///         StrategySetup::new(Quiet)
///             .watch(Venue::Binance, Market::Spot, ["BTC/USDT"], [Channel::Bbo])
///             .on_core(2),
///     )
///     .poll(PollMode::Mio)
///     .on_core(1)
///     .spawn()?;
/// # drop(engine);
/// # Ok(())
/// # }
/// ```
#[expect(
    missing_debug_implementations,
    reason = "a user's strategy need not have one"
)]
#[must_use = "an engine runs after .spawn()"]
pub struct EngineBuilder {
    venues: Vec<VenueSetup>,
    clients: Option<Clients>,
    strategies: Vec<StrategySetup>,
    poll: PollMode,
    core: Option<usize>,
    lock_memory: bool,
    roots: Roots,
    records: Records,
    tcp: TcpOptions,
    backoff: BackoffConfig,
    seed: Option<u64>,
    run: u64,
}

impl Default for EngineBuilder {
    fn default() -> EngineBuilder {
        EngineBuilder {
            venues: Vec::new(),
            clients: None,
            strategies: Vec::new(),
            poll: PollMode::default(),
            core: None,
            lock_memory: false,
            roots: Roots::Web,
            records: Records::default(),
            tcp: TcpOptions::default(),
            backoff: BackoffConfig::default(),
            seed: None,
            run: 0,
        }
    }
}

/// Where an engine begins: [`Engine::builder`].
#[derive(Clone, Copy, Debug)]
pub struct Engine;

impl Engine {
    /// An engine to be.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }
}

impl EngineBuilder {
    /// Adds a venue (one market of it).
    pub fn venue(mut self, venue: impl Into<VenueSetup>) -> EngineBuilder {
        self.venues.push(venue.into());
        self
    }

    /// Runs these WebSocket clients on the engine's loop; of a second call the later holds.
    pub fn clients(mut self, clients: &Clients) -> EngineBuilder {
        self.clients = Some(clients.clone());
        self
    }

    /// Adds a strategy.
    pub fn strategy(mut self, strategy: StrategySetup) -> EngineBuilder {
        self.strategies.push(strategy);
        self
    }

    /// How the loop looks for bytes.
    pub fn poll(mut self, mode: PollMode) -> EngineBuilder {
        self.poll = mode;
        self
    }

    /// Pins the loop's thread.
    pub fn on_core(mut self, core: usize) -> EngineBuilder {
        self.core = Some(core);
        self
    }

    /// Locks all memory of the process, what it has and what it will have, until it ends: nothing is faulted in
    /// or swapped out while a message waits. Takes `ulimit -l unlimited` or `CAP_IPC_LOCK`; Linux.
    pub fn lock_memory(mut self, on: bool) -> EngineBuilder {
        self.lock_memory = on;
        self
    }

    /// Trusts these certificates (DER) and no others, instead of the web's roots.
    pub fn trust_only(mut self, roots: Vec<CertificateDer<'static>>) -> EngineBuilder {
        self.roots = Roots::Custom(roots);
        self
    }

    /// Who opens and seals TLS records; rustls by default. [`Records::InPlace`] is faster.
    pub fn tls_records(mut self, records: Records) -> EngineBuilder {
        self.records = records;
        self
    }

    /// Socket options.
    pub fn tcp(mut self, options: TcpOptions) -> EngineBuilder {
        self.tcp = options;
        self
    }

    /// Waits between tries to connect.
    pub fn backoff(mut self, backoff: BackoffConfig) -> EngineBuilder {
        self.backoff = backoff;
        self
    }

    /// The seed of all chance (masks, jitter, handshake keys), so that a run can be repeated.
    /// Without one it is drawn anew: masks should not be foreseeable in production.
    pub fn seed(mut self, seed: u64) -> EngineBuilder {
        self.seed = Some(seed);
        self
    }

    /// Checks everything, then starts the threads.
    pub fn spawn(mut self) -> Result<Handle, BuildError> {
        let net = TcpNet::new(self.tcp.clone()).map_err(|error| system("a poll", error))?;
        let wake = matches!(self.poll, PollMode::Park { .. }).then(|| net.wake_handle());
        let (core, lock_memory, clock) = (self.core, self.lock_memory, Clock::start());
        // Ids of orders must differ from all of earlier runs, also where the seed is given.
        self.run = clock.now().0.unsigned_abs() / 1_000;
        let Assembly {
            engine,
            plans,
            initial,
            control,
            registry,
            notices,
            counters,
            turn_times,
        } = self.assemble(net, Helper::threaded(wake.clone()), (wake, Some(clock)))?;
        if lock_memory {
            memory::lock()?;
        }
        let venues = engine.venue_counters();
        let mut handle = Handle::new(
            control,
            registry,
            notices,
            (counters, turn_times),
            venues,
            clock,
        );
        for plan in plans {
            handle.add_ring(plan.counters.clone());
            match start_strategy(plan, clock) {
                Ok(thread) => handle.add_strategy(thread),
                Err(error) => {
                    // Those that were started end with their rings, and the handle waits for them.
                    drop(engine);
                    return Err(error);
                }
            }
        }
        let thread = thread::Builder::new()
            .name("tickwire-loop".to_owned())
            .spawn(move || {
                pin_or_warn(core);
                engine.run(clock, initial);
            })
            .map_err(|error| system("the loop's thread", error))?;
        handle.set_loop(thread);
        Ok(handle)
    }

    /// Checks everything and puts it together over `net`. Nothing runs yet.
    pub(crate) fn assemble<N: Net>(
        self,
        net: N,
        helper: Helper,
        (wake, clock): (Option<Wake>, Option<Clock>),
    ) -> Result<Assembly<N>, BuildError> {
        self.check()?;
        let mut seeds = fastrand::Rng::with_seed(self.seed.unwrap_or_else(|| fastrand::u64(..)));
        let registry = Arc::new(Registry::default());
        registry.set_run(self.run);
        let mut connectors = Vec::with_capacity(self.venues.len());
        for venue in self.venues {
            let connector = venue.build(seeds.u64(..))?;
            add_venue(&registry, &connectors, &connector)?;
            connectors.push(connector);
        }
        let mut hub_index = None;
        if let Some(clients) = &self.clients {
            let hub = clients.hub(seeds.u64(..));
            hub_index = Some(connectors.len());
            connectors.push(AnyConnector::Custom(Box::new(hub)));
        }
        // One configuration for each venue, so that its links resume their sessions.
        let mut tls = Vec::with_capacity(connectors.len());
        for _ in &connectors {
            let config = client_config(self.roots.clone(), self.records);
            tls.push(config.map_err(|error| BuildError::Tls(error.to_string()))?);
        }
        let control = Arc::new(ControlQueue::new(wake));

        let wait = Wait::for_cores(pin::cores());
        let (mut router, mut plans, mut initial) = (Router::default(), Vec::new(), Vec::new());
        for (index, setup) in self.strategies.into_iter().enumerate() {
            let commander = Commander::new(StrategyId(index as u8), &registry, &control);
            let plan = plan(setup, commander, wait, &mut router, &mut initial)?;
            plans.push(plan);
        }
        let notices = Notices::new();
        let counters = Arc::new(LoopCounters::default());
        let (turn_recorder, turn_times) = latency_channel();
        let engine = Loop::new(EngineParts {
            net,
            connectors,
            router,
            control: Arc::clone(&control),
            registry: Arc::clone(&registry),
            notices: Arc::clone(&notices),
            counters: Arc::clone(&counters),
            turn_times: turn_recorder,
            helper,
            tls,
            backoff: self.backoff,
            poll: self.poll,
            seed: seeds.u64(..),
        });
        // Last: what fails before leaves them free for another loop.
        if let Some((clients, venue)) = self.clients.zip(hub_index) {
            clients.inbox().attach(Arc::clone(&control), venue, clock);
        }
        Ok(Assembly {
            engine,
            plans,
            initial,
            control,
            registry,
            notices,
            counters,
            turn_times,
        })
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.venues.is_empty() && self.clients.is_none() {
            return Err(BuildError::NoVenue);
        }
        if self
            .clients
            .as_ref()
            .is_some_and(|clients| clients.inbox().is_attached())
        {
            return Err(BuildError::ClientsTwice);
        }
        if self.strategies.len() > STRATEGIES_MAX {
            return Err(BuildError::TooManyStrategies(self.strategies.len()));
        }
        let mut names: Vec<String> = Vec::new();
        for (index, strategy) in self.strategies.iter().enumerate() {
            let name = name_of(&strategy.name, index);
            if names.contains(&name) {
                return Err(BuildError::NameTwice(name));
            }
            strategy.check(&name)?;
            names.push(name);
        }
        for core in self
            .strategies
            .iter()
            .filter_map(|setup| setup.core)
            .chain(self.core)
        {
            pin::check_core(core)?;
        }
        Ok(())
    }
}

/// What a strategy is called: its own name, or its number where it was given none.
fn name_of(given: &str, index: usize) -> String {
    if given.is_empty() {
        format!("strategy-{index}")
    } else {
        given.to_owned()
    }
}

fn system(what: &'static str, error: io::Error) -> BuildError {
    BuildError::System { what, error }
}

fn add_venue(
    registry: &Registry,
    others: &[AnyConnector],
    connector: &AnyConnector,
) -> Result<(), BuildError> {
    let (venue, market) = (connector.venue(), connector.market());
    if others
        .iter()
        .any(|other| (other.venue(), other.market()) == (venue, market))
    {
        return Err(BuildError::VenueTwice { venue, market });
    }
    registry.add_venue(venue, market, connector.symbol_rule());
    Ok(())
}

/// An engine that is put together and does not run.
pub(crate) struct Assembly<N> {
    pub(crate) engine: Loop<AnyConnector, N>,
    pub(crate) plans: Vec<Plan>,
    /// What the strategies watch from the start.
    pub(crate) initial: Vec<Control>,
    pub(crate) control: Arc<ControlQueue>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) notices: Arc<Notices>,
    pub(crate) counters: Arc<LoopCounters>,
    pub(crate) turn_times: LatencyReader,
}

/// What is to be started for a strategy.
pub(crate) struct Plan {
    name: String,
    core: Option<usize>,
    counters: Option<Arc<RingCounters>>,
    pub(crate) body: PlanBody,
}

pub(crate) enum PlanBody {
    Thread {
        runner: Runner,
        ring: Consumer,
        wait: Wait,
    },
    Pair {
        ring: Consumer,
        commander: Commander,
    },
    Inline,
}

fn plan(
    setup: StrategySetup,
    commander: Commander,
    wait: Wait,
    router: &mut Router,
    initial: &mut Vec<Control>,
) -> Result<Plan, BuildError> {
    let strategy = commander.strategy;
    let name = name_of(&setup.name, strategy.index());
    if setup.ring.hot_capacity == 0 || setup.ring.wide_capacity == 0 {
        return Err(BuildError::NoRing(name));
    }
    let mut context = Context::new(commander.clone());
    let asker = Arc::clone(&commander.asker);
    context.set_operated_by(setup.operated_by);
    for watch in setup.watches {
        let Watch {
            venue,
            market,
            symbol,
            channel,
            depth,
        } = watch;
        let info = commander
            .registry
            .stream(venue, market, &symbol, channel)
            .map_err(|error| BuildError::Watch {
                name: name.clone(),
                symbol: symbol.clone(),
                error,
            })?;
        if depth {
            context.keep_replica(info.id);
        }
        initial.push(Control::Subscribe {
            strategy,
            stream: info.id,
            depth,
        });
    }
    let (body, counters) = match (setup.strategy, setup.inline) {
        (Some(strategy), true) => {
            let runner = Box::new(Runner::new(strategy, context));
            router.add_sink(Sink::Inline(runner), asker);
            (PlanBody::Inline, None)
        }
        (strategy, _) => {
            let (producer, ring) = ring::channel(setup.ring);
            let counters = Arc::new(RingCounters::default());
            router.add_sink(Sink::Ring(producer, Arc::clone(&counters)), asker);
            let body = match strategy {
                Some(strategy) => {
                    let runner = Runner::new(strategy, context);
                    PlanBody::Thread {
                        runner,
                        ring,
                        wait: setup.wait.unwrap_or(wait),
                    }
                }
                None => PlanBody::Pair { ring, commander },
            };
            (body, Some(counters))
        }
    };
    Ok(Plan {
        name,
        core: setup.core,
        counters,
        body,
    })
}

fn start_strategy(plan: Plan, clock: Clock) -> Result<StrategyThread, BuildError> {
    let Plan {
        name, core, body, ..
    } = plan;
    Ok(match body {
        PlanBody::Inline => StrategyThread::inline(name),
        PlanBody::Pair { ring, commander } => StrategyThread::pair(name, ring, commander),
        PlanBody::Thread { runner, ring, wait } => {
            let thread = thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    pin_or_warn(core);
                    run_thread(runner, ring, clock, wait);
                })
                .map_err(|error| system("a strategy's thread", error))?;
            StrategyThread::thread(name, thread)
        }
    })
}

/// The core was checked before; a refusal now costs speed and nothing else.
fn pin_or_warn(core: Option<usize>) {
    if let Some(Err(error)) = core.map(pin::pin) {
        tracing::warn!(%error, "running unpinned");
    }
}

#[cfg(test)]
mod tests;
