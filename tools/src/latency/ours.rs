//! tickwire itself: an engine that connects to the server as it would to the venue.

use std::collections::HashMap;

use tickwire::connectors::FetchInstruments;
use tickwire::connectors::governor::{Governor, Rules, Window};
use tickwire::connectors::upkeep::{TopCheck, Upkeep};
use tickwire::net::{Acks, TcpOptions};
use tickwire::ring::{Item, RingConfig};
use tickwire::testing::alloc::counts;
use tickwire::wire::tls::Records;
use tickwire::{
    BinanceConfig, BybitConfig, Channel, DeribitConfig, Engine, EventKind, Handle, Market, Nanos,
    PollMode, PolymarketConfig, StrategySetup, Venue, VenueSetup,
};

use super::RING;
use super::round::{Ask, Round, run};
use super::server::Server;
use super::shape::{Shape, ShapeKind};

/// What an engine is told to watch.
struct Watch {
    setup: VenueSetup,
    venue: Venue,
    market: Market,
    channel: Channel,
}

/// More than is asked for: no venue is there to be spared.
fn boundless() -> Governor {
    let window = Window {
        max: u32::MAX,
        span_ns: Nanos::from_secs(1),
    };
    Governor::new(Rules {
        weight: window,
        renewals: window,
        ban_ns: Nanos::from_secs(1),
        ban_max_ns: Nanos::from_secs(1),
    })
}

/// Without the questions that a server of this kind has no answers to: instrument data, and books against the
/// best prices of another channel.
fn watch(shape: &Shape, network: (&str, &str)) -> Watch {
    const NO: FetchInstruments = FetchInstruments::No;
    let quiet = |upkeep: Upkeep| Upkeep {
        top_check: TopCheck::Never,
        ..upkeep
    };
    let (budget, share) = (Some(boundless()), shape.spread.share() as u16);
    match shape.kind {
        ShapeKind::Top | ShapeKind::Depth => {
            let config = BinanceConfig::spot().at(network);
            let config = BinanceConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                link_topics_max: share,
                budget,
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Binance,
                market: Market::Spot,
                channel: match shape.kind {
                    ShapeKind::Top => Channel::Bbo,
                    _ => Channel::BOOK,
                },
            }
        }
        ShapeKind::Bybit => {
            let config = BybitConfig::linear().at(network);
            let config = BybitConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                link_topics_max: share,
                budget,
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Bybit,
                market: Market::Linear,
                channel: "book:50".parse().unwrap_or(Channel::BOOK),
            }
        }
        ShapeKind::Deribit => {
            let config = DeribitConfig::inverse().at(network);
            let config = DeribitConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                link_topics_max: share,
                budget,
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Deribit,
                market: Market::Inverse,
                channel: Channel::BOOK,
            }
        }
        ShapeKind::Polymarket => {
            let config = PolymarketConfig::new().at(network);
            let config = PolymarketConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                assets_per_link_max: share,
                budget,
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Polymarket,
                market: Market::Prediction,
                channel: Channel::BOOK,
            }
        }
    }
}

/// How an engine is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// How its loop looks for bytes.
    pub(super) poll: PollMode,
    /// Who opens its records.
    pub(super) records: Records,
    /// When it acknowledges.
    pub(super) acks: Acks,
    /// Its core, where one is given.
    pub(super) core: Option<usize>,
}

/// A round of an engine.
///
/// # Errors
/// In words.
pub(super) fn ours(way: Way, shape: &Shape, ask: Ask) -> Result<Round, String> {
    let server = Server::start(shape, true)?;
    let (ws, rest) = (
        format!("wss://localhost:{}", server.addr.port()),
        format!("https://localhost:{}", server.addr.port()),
    );
    let Watch {
        setup,
        venue,
        market,
        channel,
    } = watch(shape, (&ws, &rest));
    let symbols: Vec<String> = (0..shape.spread.instruments())
        .map(|it| shape.symbol(it))
        .collect();
    let ring = RingConfig {
        hot_capacity: RING,
        ..RingConfig::default()
    };
    let strategy = StrategySetup::pair().named("pop").ring(ring).watch(
        venue,
        market,
        symbols.iter().map(String::as_str),
        [channel],
    );
    let mut builder = Engine::builder()
        .venue(setup)
        .strategy(strategy)
        .poll(way.poll)
        .tls_records(way.records)
        .tcp(TcpOptions {
            acks: way.acks,
            ..TcpOptions::default()
        })
        .trust_only(vec![server.certificate.clone()])
        .seed(7);
    if let Some(core) = way.core {
        builder = builder.on_core(core);
    }
    let mut handle = builder.spawn().map_err(|error| error.to_string())?;
    let pair = handle.strategy("pop").and_then(|id| handle.take_pair(id));
    let (mut consumer, _) = pair.ok_or("no ring")?;
    let instruments = instruments(&handle, &symbols);
    let round = server.links().and_then(|mut links| {
        let pop = || loop {
            match consumer.pop()? {
                Item::Hot(event) if event.kind() == EventKind::Bbo => {
                    let instrument = instruments.get(event.stream().index());
                    let instrument = instrument.copied().unwrap_or_default();
                    return Some(shape.number_of(event.seq(), instrument));
                }
                _ => {}
            }
        };
        let allocations = || (counts().ours, counts().tls);
        run(shape, ask, &mut links, pop, allocations)
    });
    handle.stop().map_err(|error| error.to_string())?;
    round
}

/// By stream: the instrument.
fn instruments(handle: &Handle, symbols: &[String]) -> Vec<usize> {
    let by_symbol: HashMap<&str, usize> = symbols
        .iter()
        .enumerate()
        .map(|(index, symbol)| (symbol.as_str(), index))
        .collect();
    let mut instruments = Vec::new();
    for stream in handle.streams() {
        let index = stream.id.index();
        instruments.resize(instruments.len().max(index + 1), 0);
        if let Some(instrument) = by_symbol.get(stream.asked.as_str()) {
            instruments[index] = *instrument;
        }
    }
    instruments
}
