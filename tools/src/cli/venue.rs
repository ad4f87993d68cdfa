//! Venues by name, on the command line.

use clap::ValueEnum;
use tickwire::connectors::Network;
use tickwire::{
    BinanceConfig, BybitConfig, DeribitConfig, Market, PolymarketConfig, Venue, VenueSetup,
};

use super::Failure;

/// The venues by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum VenueName {
    Binance,
    Bybit,
    Deribit,
    Polymarket,
}

impl VenueName {
    pub(super) fn venue(self) -> Venue {
        match self {
            VenueName::Binance => Venue::Binance,
            VenueName::Bybit => Venue::Bybit,
            VenueName::Deribit => Venue::Deribit,
            VenueName::Polymarket => Venue::Polymarket,
        }
    }

    /// The connector of one market, on any network.
    pub(super) fn setup(self, market: Market, network: Network) -> Result<VenueSetup, Failure> {
        Ok(match (self, market) {
            (VenueName::Binance, Market::Spot) => BinanceConfig::spot().at(network).into(),
            (VenueName::Binance, Market::Linear) => BinanceConfig::linear().at(network).into(),
            (VenueName::Binance, Market::Inverse) => BinanceConfig::inverse().at(network).into(),
            (VenueName::Bybit, Market::Spot) => BybitConfig::spot().at(network).into(),
            (VenueName::Bybit, Market::Linear) => BybitConfig::linear().at(network).into(),
            (VenueName::Deribit, market) if market != Market::Prediction => {
                DeribitConfig::new(market).at(network).into()
            }
            (VenueName::Polymarket, Market::Prediction) => {
                PolymarketConfig::new().at(network).into()
            }
            (venue, other) => return Err(no_market(venue, other)),
        })
    }
}

fn no_market(venue: VenueName, market: Market) -> Failure {
    let name = venue.venue();
    Failure::Failed(format!("{name} has no market {market:?} here: see --help").into())
}
