//! Which of our venues a simulated one is, and how to reach it.

use tickwire_connectors::credentials::Credentials;
use tickwire_connectors::{Market, Venue};
use tickwire_sim::{DERIBIT_ACCOUNT, Sim, SimVenue};

use crate::builder::VenueSetup;
use crate::{BinanceConfig, BybitConfig, DeribitConfig, PolymarketConfig};

/// The venue and market that a simulated one is.
pub const fn names(venue: SimVenue) -> (Venue, Market) {
    match venue {
        SimVenue::BinanceSpot => (Venue::Binance, Market::Spot),
        SimVenue::BinanceLinear => (Venue::Binance, Market::Linear),
        SimVenue::BinanceInverse => (Venue::Binance, Market::Inverse),
        SimVenue::BybitSpot => (Venue::Bybit, Market::Spot),
        SimVenue::BybitLinear => (Venue::Bybit, Market::Linear),
        SimVenue::DeribitInverse => (Venue::Deribit, Market::Inverse),
        SimVenue::DeribitLinear => (Venue::Deribit, Market::Linear),
        SimVenue::DeribitOption => (Venue::Deribit, Market::Option),
        SimVenue::DeribitSpot => (Venue::Deribit, Market::Spot),
        SimVenue::Polymarket => (Venue::Polymarket, Market::Prediction),
    }
}

/// The connector of a simulated venue with our defaults, pointed at the simulator; Deribit logged in,
/// so that its books are raw.
pub fn connector(sim: &Sim, venue: SimVenue) -> VenueSetup {
    let there = (sim.ws_url(venue), sim.rest_url(venue));
    let (name, market) = names(venue);
    match (name, market) {
        (Venue::Binance, Market::Linear) => BinanceConfig::linear().at(there).into(),
        (Venue::Binance, Market::Inverse) => BinanceConfig::inverse().at(there).into(),
        (Venue::Binance, _) => BinanceConfig::spot().at(there).into(),
        (Venue::Bybit, Market::Linear) => BybitConfig::linear().at(there).into(),
        (Venue::Bybit, _) => BybitConfig::spot().at(there).into(),
        (Venue::Deribit, market) => {
            let (id, secret) = DERIBIT_ACCOUNT;
            let config = DeribitConfig::new(market).at(there);
            config
                .with_credentials(Credentials::hmac(id, secret))
                .into()
        }
        (Venue::Polymarket | Venue::Custom(_), _) => PolymarketConfig::new().at(there).into(),
    }
}
