//! The gateway's demo: the venue simulator on loopback, an engine, two strategies that do as they are told,
//! a paper desk, and the gateway before them.

mod strategy;

use std::net::SocketAddr;
use std::path::PathBuf;

use tickwire::connectors::InstrumentKey;
use tickwire::operator::line;
use tickwire::testing::sim::{Sim, SimError, SimVenue, VenueSpec};
use tickwire::{
    BinanceConfig, BuildError, BybitConfig, CertificateDer, Engine, Handle, Market, PollMode,
    StrategySetup, ThreadPanicked, Venue, VenueSetup, Wait,
};
use tickwire_gateway::protocol::Approval;
use tickwire_gateway::{
    AgentCard, ApprovalPolicy, Bell, Config, Crew, Desks, EngineFeed, FeedError, Gateway,
    GatewayError, Grant, Limits, PaperDesk, Parts, Secret, StartError,
};

use strategy::Clerk;

/// What the demo is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the gateway listens.
    pub bind: SocketAddr,
    /// Where it keeps what a restart keeps; `None` keeps it in memory.
    pub store: Option<PathBuf>,
    /// Messages a second of each venue.
    pub rate_msgs_s: u32,
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
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Build(#[from] BuildError),
    /// The gateway did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The gateway ended.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The paper desk can't see its market.
    #[error("the paper desk has no market data: {0}")]
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
    sim: Sim,
    token: Secret,
}

/// The user of the demo.
pub const USER: &str = "demo";

/// The project of the demo.
pub const PROJECT: &str = "demo";

impl Demo {
    /// Starts everything.
    pub fn start(options: &Options) -> Result<Demo, DemoError> {
        let sim = Sim::builder()
            .seed(options.seed)
            .venue(spec(SimVenue::BinanceSpot, options))
            .venue(spec(SimVenue::BybitLinear, options))
            .start()?;
        let bell = Bell::new();
        let (operator, end) = {
            let bell = bell.clone();
            line(move || bell.ring())
        };
        let (second, second_end) = {
            let bell = bell.clone();
            line(move || bell.ring())
        };
        let spot = instrument(&sim, SimVenue::BinanceSpot)?;
        let linear = instrument(&sim, SimVenue::BybitLinear)?;
        let clerk = |name: &str, instrument, end| {
            StrategySetup::new(Clerk::new(instrument))
                .named(name)
                .wait(Wait::PARK)
                .operated(end)
        };
        let mut engine = Engine::builder()
            .trust_only(vec![CertificateDer::from(sim.ca_der().to_vec())])
            .poll(PollMode::PARK)
            .seed(options.seed)
            .venue(connector(&sim, SimVenue::BinanceSpot))
            .venue(connector(&sim, SimVenue::BybitLinear))
            .strategy(clerk("default", spot, end))
            .strategy(clerk("perpetual", linear, second_end))
            .strategy(StrategySetup::pair().named("gateway"))
            .strategy(StrategySetup::pair().named("paper"))
            .spawn()?;
        let card = |name: &str, key: InstrumentKey| {
            let words = format!("Buys and sells {} as it is told.", key.symbol);
            AgentCard::new(name, words).at([key.venue.as_str()])
        };
        let crew = Crew::new()
            .with(card("default", spot), operator)
            .with(card("perpetual", linear), second);
        let paper = EngineFeed::new(pair(&mut engine, "paper")?);
        let desks = Desks::paper(PaperDesk::new(paper, [spot, linear])?);
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
            desks,
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
        })
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

    /// Ends it in order.
    pub fn stop(self) -> Result<(), DemoError> {
        let Demo {
            gateway,
            engine,
            mut sim,
            ..
        } = self;
        gateway.stop()?;
        engine.stop()?;
        sim.stop();
        Ok(())
    }
}

fn spec(venue: SimVenue, options: &Options) -> VenueSpec {
    VenueSpec::of(venue)
        .instruments(2)
        .rate_msgs_s(options.rate_msgs_s)
}

/// The first instrument of a venue of the simulator.
fn instrument(sim: &Sim, venue: SimVenue) -> Result<InstrumentKey, DemoError> {
    let symbols = sim.truth().symbols(venue);
    let symbol = symbols
        .first()
        .and_then(|symbol| tickwire::connectors::instrument::symbol(symbol))
        .ok_or(DemoError::Missing("an instrument"))?;
    let (venue, market) = match venue {
        SimVenue::BybitLinear => (Venue::Bybit, Market::Linear),
        _ => (Venue::Binance, Market::Spot),
    };
    Ok(InstrumentKey {
        venue,
        market,
        symbol,
    })
}

fn connector(sim: &Sim, venue: SimVenue) -> VenueSetup {
    let there = (sim.ws_url(venue), sim.rest_url(venue));
    match venue {
        SimVenue::BybitLinear => BybitConfig::linear().at(there).into(),
        _ => BinanceConfig::spot().at(there).into(),
    }
}

fn pair(
    engine: &mut Handle,
    name: &'static str,
) -> Result<(tickwire::ring::Consumer, tickwire::Commander), DemoError> {
    let id = engine.strategy(name).ok_or(DemoError::Missing(name))?;
    engine.take_pair(id).ok_or(DemoError::Missing(name))
}
