//! Venues by name, on the command line.

use clap::ValueEnum;
use tickwire::{BinanceConfig, BybitConfig, Market, Venue, VenueSetup, binance, bybit};

use super::Failure;

/// The venues by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum VenueName {
    Binance,
    Bybit,
}

impl VenueName {
    pub(super) fn venue(self) -> Venue {
        match self {
            VenueName::Binance => Venue::Binance,
            VenueName::Bybit => Venue::Bybit,
        }
    }

    /// The connector of one market, at the venue itself, its testnet or any URL.
    pub(super) fn setup(self, market: Market, place: &Place) -> Result<VenueSetup, Failure> {
        match self {
            VenueName::Binance => {
                let config = match market {
                    Market::Spot => BinanceConfig::spot(),
                    Market::Linear => BinanceConfig::linear(),
                    Market::Inverse => BinanceConfig::inverse(),
                    other => return Err(no_market(self, other)),
                };
                let network = match place {
                    Place::Mainnet => binance::Network::Mainnet,
                    Place::Testnet => binance::Network::Testnet,
                    Place::Url { ws_url, rest_url } => binance::Network::Custom {
                        ws_url: ws_url.clone(),
                        rest_url: rest_url.clone(),
                    },
                };
                Ok(BinanceConfig { network, ..config }.into())
            }
            VenueName::Bybit => {
                let config = match market {
                    Market::Spot => BybitConfig::spot(),
                    Market::Linear => BybitConfig::linear(),
                    other => return Err(no_market(self, other)),
                };
                let network = match place {
                    Place::Mainnet => bybit::Network::Mainnet,
                    Place::Testnet => bybit::Network::Testnet,
                    Place::Url { ws_url, rest_url } => bybit::Network::Custom {
                        ws_url: ws_url.clone(),
                        rest_url: rest_url.clone(),
                    },
                };
                Ok(BybitConfig { network, ..config }.into())
            }
        }
    }
}

/// Where a venue is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Mainnet,
    Testnet,
    Url { ws_url: String, rest_url: String },
}

fn no_market(venue: VenueName, market: Market) -> Failure {
    let name = venue.venue();
    Failure::Failed(format!("{name} has no market {market:?} here: see --help").into())
}
