//! `tickwire gateway`: an engine with strategies that do as they are told, on the venue simulator or on an
//! account of the user's own, a paper desk, a live desk, and the gateway before them.

mod strategy;

use std::net::SocketAddr;
use std::path::PathBuf;

use tickwire::connectors::trading::RiskLimits;
use tickwire::connectors::{Credentials, InstrumentKey};
use tickwire::driver::{DriverConfig, OpenError};
use tickwire::operator::line;
use tickwire::testing::sim::{AccountSpec, Sim, SimError, SimVenue, VenueSpec};
use tickwire::{
    BuildError, CertificateDer, Engine, Handle, Market, PollMode, StrategySetup, ThreadPanicked,
    Venue, Wait,
};
use tickwire_gateway::protocol::Approval;
use tickwire_gateway::{
    AgentCard, ApprovalPolicy, Bell, Config, Crew, Desks, EngineFeed, FeedError, Gateway,
    GatewayError, Grant, Limits, LiveDesk, LiveMarket, PaperDesk, Parts, Secret, StartError,
};

use strategy::Clerk;

/// Where the strategies trade.
#[derive(Clone, Debug)]
pub enum Place {
    /// Simulated venues on loopback, with their demo accounts.
    Simulator {
        /// Messages a second of each venue.
        rate_msgs_s: u32,
    },
    /// A venue, by whatever network.
    Venue {
        /// Where it is, and who we are.
        config: Box<DriverConfig>,
        /// What is traded.
        symbol: String,
    },
}

/// What the demo is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the gateway listens.
    pub bind: SocketAddr,
    /// Where it keeps what a restart keeps; `None` keeps it in memory.
    pub store: Option<PathBuf>,
    /// Where the strategies trade.
    pub place: Place,
    /// What live orders may risk.
    pub risk: RiskLimits,
    /// Seed of the market, the engine and the ids.
    pub seed: u64,
    /// Connections of one user.
    pub connections_per_user_max: usize,
}

/// The demo could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Sim(#[from] SimError),
    /// There is no such account.
    #[error(transparent)]
    Account(#[from] OpenError),
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Build(#[from] BuildError),
    /// The gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The gateway ended.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A desk can't see its market.
    #[error("a desk has no market data: {0}")]
    Feed(#[from] FeedError),
    /// A thread of the engine ended by a panic.
    #[error(transparent)]
    Panicked(#[from] ThreadPanicked),
    /// A part of the engine that was built is not there.
    #[error("the engine was built without {0}")]
    Missing(&'static str),
}

/// What runs.
#[derive(Debug)]
pub struct Demo {
    gateway: Gateway,
    engine: Handle,
    sim: Option<Sim>,
    token: Secret,
    agents: Vec<String>,
}

/// The user of the demo.
pub const USER: &str = "demo";

/// The project of the demo.
pub const PROJECT: &str = "demo";

/// A strategy to be: its name, its account, what it trades.
struct Post {
    name: &'static str,
    config: DriverConfig,
    key: InstrumentKey,
}

impl Demo {
    /// Starts everything.
    pub fn start(options: &Options) -> Result<Demo, DemoError> {
        let (sim, posts) = match &options.place {
            Place::Simulator { rate_msgs_s } => {
                let sim = simulator(options.seed, *rate_msgs_s)?;
                let posts = vec![
                    simulated(&sim, "default", SimVenue::BinanceSpot)?,
                    simulated(&sim, "perpetual", SimVenue::BybitLinear)?,
                ];
                (Some(sim), posts)
            }
            Place::Venue { config, symbol } => {
                let config = config.as_ref().clone();
                let post = Post {
                    name: "default",
                    key: key(config.venue, config.market, symbol)?,
                    config,
                };
                (None, vec![post])
            }
        };
        let bell = Bell::new();
        let mut crew = Crew::new();
        let mut builder = Engine::builder().poll(PollMode::PARK).seed(options.seed);
        let mut markets = Vec::new();
        for post in &posts {
            let Post { name, config, key } = post;
            let config = config.clone().with_risk(options.risk.clone());
            let ring = bell.clone();
            let (operator, end) = line(move || ring.ring());
            let words = format!("Buys and sells {} as it is told.", key.symbol);
            let card = AgentCard::new(*name, words).at([key.venue.as_str()]);
            crew = crew.with(card, operator);
            builder = builder.venue(config.venue_setup()?).strategy(
                StrategySetup::new(Clerk::new(*key))
                    .named(*name)
                    .wait(Wait::PARK)
                    .operated(end),
            );
            if let Some(roots) = &config.roots {
                builder = builder.trust_only(roots.clone());
            }
            markets.push(LiveMarket::of(&config, [key.symbol.as_str()]));
        }
        let mut engine = builder
            .strategy(StrategySetup::pair().named("gateway"))
            .strategy(StrategySetup::pair().named("paper"))
            .strategy(StrategySetup::pair().named("live"))
            .spawn()?;
        let paper = EngineFeed::new(pair(&mut engine, "paper")?);
        let paper = PaperDesk::new(paper, posts.iter().map(|post| post.key))?;
        let live = LiveDesk::new(PROJECT, pair(&mut engine, "live")?, markets)?;
        let config = Config {
            bind: options.bind,
            store: options.store.clone(),
            seed: options.seed,
            // On paper, too, to show it.
            approvals: ApprovalPolicy {
                paper: Approval::Required,
                ..ApprovalPolicy::default()
            },
            limits: Limits {
                connections_per_user_max: options.connections_per_user_max,
                ..Limits::default()
            },
            ..Config::default()
        };
        let parts = Parts {
            desks: Desks::paper(paper).live(live),
            crew,
            bell,
            tls: None,
        };
        let feed = EngineFeed::new(pair(&mut engine, "gateway")?);
        let gateway = Gateway::start(config, parts, feed)?;
        let token = gateway.issue(Grant::all(USER))?;
        Ok(Demo {
            gateway,
            engine,
            sim,
            token,
            agents: posts.iter().map(|post| post.name.to_owned()).collect(),
        })
    }

    /// The strategies' names.
    pub fn agents(&self) -> &[String] {
        &self.agents
    }

    /// The running gateway.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// A token that allows everything, as long as the demo runs.
    pub const fn token(&self) -> &Secret {
        &self.token
    }

    /// The engine beneath it.
    pub const fn engine(&self) -> &Handle {
        &self.engine
    }

    /// A URL with a ticket: good once, for 30 seconds.
    pub fn url(&self) -> Result<String, DemoError> {
        let ticket = self.gateway.ticket(&self.token)?;
        let address = self.gateway.address();
        Ok(format!("ws://{address}/ws?ticket={}", ticket.expose()))
    }

    /// Ends it in order: the engine first, so that live orders stay as they stand and a next gateway of the same
    /// store finds them.
    pub fn stop(self) -> Result<(), DemoError> {
        let Demo {
            gateway,
            engine,
            sim,
            ..
        } = self;
        engine.stop()?;
        gateway.stop()?;
        if let Some(mut sim) = sim {
            sim.stop();
        }
        Ok(())
    }
}

fn simulator(seed: u64, rate_msgs_s: u32) -> Result<Sim, DemoError> {
    let spec = |venue| {
        let spec = VenueSpec::of(venue).instruments(2).demo_account();
        spec.rate_msgs_s(rate_msgs_s)
    };
    let sim = Sim::builder()
        .seed(seed)
        .venue(spec(SimVenue::BinanceSpot))
        .venue(spec(SimVenue::BybitLinear));
    Ok(sim.start()?)
}

/// A strategy for the first instrument of a venue of the simulator.
fn simulated(sim: &Sim, name: &'static str, venue: SimVenue) -> Result<Post, DemoError> {
    let (at, market) = match venue {
        SimVenue::BybitLinear => (Venue::Bybit, Market::Linear),
        _ => (Venue::Binance, Market::Spot),
    };
    let symbols = sim.truth().symbols(venue);
    let symbol = symbols.first().ok_or(DemoError::Missing("an instrument"))?;
    let keys = Credentials::hmac(AccountSpec::DEMO_KEY, AccountSpec::DEMO_SECRET);
    let config = DriverConfig::mainnet(at, market)
        .at((sim.ws_url(venue), sim.rest_url(venue)))
        .with_credentials(keys)
        .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())]);
    let key = key(at, market, symbol)?;
    Ok(Post { name, config, key })
}

fn key(venue: Venue, market: Market, symbol: &str) -> Result<InstrumentKey, DemoError> {
    let symbol = tickwire::connectors::instrument::symbol(symbol);
    let symbol = symbol.ok_or(DemoError::Missing("an instrument of this name"))?;
    Ok(InstrumentKey {
        venue,
        market,
        symbol,
    })
}

fn pair(
    engine: &mut Handle,
    name: &'static str,
) -> Result<(tickwire::ring::Consumer, tickwire::Commander), DemoError> {
    let id = engine.strategy(name).ok_or(DemoError::Missing(name))?;
    engine.take_pair(id).ok_or(DemoError::Missing(name))
}
