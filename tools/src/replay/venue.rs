//! The built-in connectors, as a replay wants them.

use tickwire_connectors::binance::{Binance, BinanceConfig};
use tickwire_connectors::bybit::{Bybit, BybitConfig};
use tickwire_connectors::deribit::{Deribit, DeribitConfig};
use tickwire_connectors::{AnyConnector, Error, ErrorKind, FetchInstruments, Market, Venue};

use super::error::ReplayError;
use super::plan::MarketPlan;

/// Chance decides nothing in a replay but waits, and no wait ends in one.
const SEED: u64 = 0;

/// On a live link a snapshot with as many levels as were asked for is cut there, and the book is
/// fetched anew before its touch comes to the cut. A recording can't be asked for a fresh one: no
/// snapshot has so many levels, so none is taken to be cut. What lies beyond its levels stays
/// unknown until it changes.
const SNAPSHOT_LEVELS: u16 = u16::MAX;

/// The connector of `venue` for a market of a recording. It asks for instrument data only where the
/// recording holds them: otherwise it would wait for them for ever, instead of starting with the
/// venue's default scales.
pub fn connector(venue: Venue, plan: &MarketPlan) -> Result<AnyConnector, ReplayError> {
    let made = match venue {
        Venue::Binance => make_binance(plan),
        Venue::Bybit => make_bybit(plan),
        Venue::Deribit => make_deribit(plan),
        _ => Err(unsupported(venue, plan.market)),
    };
    made.map_err(|error| ReplayError::Connector {
        venue,
        market: plan.market,
        problem: error.to_string(),
    })
}

fn make_binance(plan: &MarketPlan) -> Result<AnyConnector, Error> {
    let config = match plan.market {
        Market::Spot => BinanceConfig::spot(),
        Market::Linear => BinanceConfig::linear(),
        Market::Inverse => BinanceConfig::inverse(),
        other => return Err(unsupported(Venue::Binance, other)),
    };
    let config = BinanceConfig {
        instruments: instruments(plan),
        snapshot_levels: SNAPSHOT_LEVELS,
        ..config
    };
    let connector = Binance::new(config, SEED)?;
    Ok(AnyConnector::Binance(Box::new(connector)))
}

fn make_bybit(plan: &MarketPlan) -> Result<AnyConnector, Error> {
    let config = BybitConfig {
        market: plan.market,
        instruments: instruments(plan),
        ..BybitConfig::spot()
    };
    let connector = Bybit::new(config, SEED)?;
    Ok(AnyConnector::Bybit(Box::new(connector)))
}

fn make_deribit(plan: &MarketPlan) -> Result<AnyConnector, Error> {
    let config = DeribitConfig {
        instruments: instruments(plan),
        ..DeribitConfig::new(plan.market)
    };
    let connector = Deribit::new(config, SEED)?;
    Ok(AnyConnector::Deribit(Box::new(connector)))
}

fn instruments(plan: &MarketPlan) -> FetchInstruments {
    if plan.has_instruments {
        FetchInstruments::Yes
    } else {
        FetchInstruments::No
    }
}

fn unsupported(venue: Venue, market: Market) -> Error {
    let text = format!("{market} of {venue} is not among the markets that can be replayed");
    Error::ours(ErrorKind::NotSupported, text)
}
