//! tickwire itself: an engine that connects to the server as it would to the venue.

use tickwire::connectors::FetchInstruments;
use tickwire::connectors::upkeep::{TopCheck, Upkeep};
use tickwire::net::{Acks, TcpOptions};
use tickwire::ring::{Item, RingConfig};
use tickwire::testing::alloc::counts;
use tickwire::wire::tls::Records;
use tickwire::{
    BinanceConfig, BybitConfig, Channel, DeribitConfig, Engine, EventKind, Market, PollMode,
    PolymarketConfig, StrategySetup, Venue, VenueSetup,
};

use super::RING;
use super::round::{Ask, Round, run};
use super::server::Server;
use super::shape::{DERIBIT_SYMBOL, Shape, ShapeKind, TOKEN};

/// What an engine is told to watch.
struct Watch {
    setup: VenueSetup,
    venue: Venue,
    market: Market,
    symbol: &'static str,
    channel: Channel,
}

/// Without the questions that a server of this kind has no answers to: instrument data, and books against the
/// best prices of another channel.
fn watch(kind: ShapeKind, network: (&str, &str)) -> Watch {
    const NO: FetchInstruments = FetchInstruments::No;
    let quiet = |upkeep: Upkeep| Upkeep {
        top_check: TopCheck::Never,
        ..upkeep
    };
    match kind {
        ShapeKind::Top | ShapeKind::Depth => {
            let config = BinanceConfig::spot().at(network);
            let config = BinanceConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Binance,
                market: Market::Spot,
                symbol: "BTCUSDT",
                channel: match kind {
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
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Bybit,
                market: Market::Linear,
                symbol: "BTCUSDT",
                channel: "book:50".parse().unwrap_or(Channel::BOOK),
            }
        }
        ShapeKind::Deribit => {
            let config = DeribitConfig::inverse().at(network);
            let config = DeribitConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Deribit,
                market: Market::Inverse,
                symbol: DERIBIT_SYMBOL,
                channel: Channel::BOOK,
            }
        }
        ShapeKind::Polymarket => {
            let config = PolymarketConfig::new().at(network);
            let config = PolymarketConfig {
                instruments: NO,
                upkeep: quiet(config.upkeep),
                ..config
            };
            Watch {
                setup: config.into(),
                venue: Venue::Polymarket,
                market: Market::Prediction,
                symbol: TOKEN,
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
    let server = Server::start(true)?;
    let (ws, rest) = (
        format!("wss://localhost:{}", server.addr.port()),
        format!("https://localhost:{}", server.addr.port()),
    );
    let Watch {
        setup,
        venue,
        market,
        symbol,
        channel,
    } = watch(shape.kind, (&ws, &rest));
    let ring = RingConfig {
        hot_capacity: RING,
        ..RingConfig::default()
    };
    let strategy =
        StrategySetup::pair()
            .named("pop")
            .ring(ring)
            .watch(venue, market, [symbol], [channel]);
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
    let round = server.link().and_then(|mut link| {
        let pop = || loop {
            match consumer.pop()? {
                Item::Hot(event) if event.kind() == EventKind::Bbo => {
                    return Some(shape.number_of(event.seq()));
                }
                _ => {}
            }
        };
        let allocations = || (counts().ours, counts().tls);
        run(shape, ask, |bytes| link.send(bytes), pop, allocations)
    });
    handle.stop().map_err(|error| error.to_string())?;
    round
}
