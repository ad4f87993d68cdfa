//! From a configuration to a driver: the venue is one line of it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tickwire_connectors::binance::BinanceConfig;
use tickwire_connectors::bybit::BybitConfig;
use tickwire_connectors::deribit::DeribitConfig;
use tickwire_connectors::network::Network;
use tickwire_connectors::polymarket::{PolymarketConfig, Wallet};
use tickwire_connectors::trading::{CancelOnDisconnect, RiskLimits, Trading, Transport};
use tickwire_connectors::{Credentials, Market, Venue};

use super::capabilities::Capabilities;
use super::live::EngineDriver;
use crate::builder::{BuildError, Engine, StrategySetup, VenueSetup};
use crate::engine::PollMode;

/// A driver to be.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// Venue.
    pub venue: Venue,
    /// Market.
    pub market: Market,
    /// Mainnet, testnet, demo, or another host.
    pub network: Network,
    /// Who we are; `None` for market data alone.
    pub credentials: Option<Credentials>,
    /// How orders travel.
    pub transport: Transport,
    /// The user's own limits.
    pub risk: RiskLimits,
    /// Whether the venue is to cancel our orders when it loses us; by default where it is offered.
    pub cancel_on_disconnect: CancelOnDisconnect,
    /// What signs orders where a key alone is not enough (Polymarket).
    pub wallet: Option<Arc<dyn Wallet>>,
    /// How the engine's loop waits: it parks by default, since a driver's user is no spinning strategy.
    pub poll: PollMode,
    /// Certificates to trust instead of the web's (DER).
    pub roots: Option<Vec<CertificateDer<'static>>>,
}

impl DriverConfig {
    /// The real venue.
    pub fn mainnet(venue: Venue, market: Market) -> DriverConfig {
        DriverConfig {
            venue,
            market,
            network: Network::Mainnet,
            credentials: None,
            transport: Transport::default(),
            risk: RiskLimits::default(),
            cancel_on_disconnect: CancelOnDisconnect::default(),
            wallet: None,
            poll: PollMode::PARK,
            roots: None,
        }
    }

    /// The venue's test network.
    pub fn testnet(venue: Venue, market: Market) -> DriverConfig {
        DriverConfig::mainnet(venue, market).at(Network::Testnet)
    }

    /// At another network: a pair of WebSocket and REST roots, for one.
    #[must_use]
    pub fn at(self, network: impl Into<Network>) -> DriverConfig {
        DriverConfig {
            network: network.into(),
            ..self
        }
    }

    /// With an account.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> DriverConfig {
        DriverConfig {
            credentials: Some(credentials),
            ..self
        }
    }

    /// With limits of the user's own.
    #[must_use]
    pub fn with_risk(self, risk: RiskLimits) -> DriverConfig {
        DriverConfig { risk, ..self }
    }

    /// With orders over this transport.
    #[must_use]
    pub fn over(self, transport: Transport) -> DriverConfig {
        DriverConfig { transport, ..self }
    }

    /// With orders that stay where they are when the venue loses us.
    #[must_use]
    pub fn leaving_orders(self) -> DriverConfig {
        DriverConfig {
            cancel_on_disconnect: CancelOnDisconnect::Never,
            ..self
        }
    }

    /// With what signs orders where a key alone is not enough (Polymarket).
    #[must_use]
    pub fn with_wallet(self, wallet: Arc<dyn Wallet>) -> DriverConfig {
        DriverConfig {
            wallet: Some(wallet),
            ..self
        }
    }

    /// With orders that the venue cancels so many seconds after it has lost us, also where it has to grant
    /// that to the account.
    #[must_use]
    pub fn cancelling_after(self, seconds: u16) -> DriverConfig {
        DriverConfig {
            cancel_on_disconnect: CancelOnDisconnect::After(seconds),
            ..self
        }
    }

    /// Trusts these certificates (DER) and no others.
    #[must_use]
    pub fn trust_only(self, roots: Vec<CertificateDer<'static>>) -> DriverConfig {
        DriverConfig {
            roots: Some(roots),
            ..self
        }
    }

    /// The venue for an engine of the user's own: what a strategy needs beside it.
    pub fn venue_setup(&self) -> Result<VenueSetup, OpenError> {
        let trading = self.credentials.clone().map(|credentials| Trading {
            credentials,
            transport: self.transport,
            risk: self.risk.clone(),
            cancel_on_disconnect: self.cancel_on_disconnect,
        });
        let unsupported = || OpenError::NotSupported {
            venue: self.venue,
            market: self.market,
        };
        Ok(match (self.venue, self.market) {
            (Venue::Binance, market) => {
                let config = match market {
                    Market::Spot => BinanceConfig::spot(),
                    Market::Linear => BinanceConfig::linear(),
                    Market::Inverse => BinanceConfig::inverse(),
                    _ => return Err(unsupported()),
                };
                let config = config.at(self.network.clone());
                VenueSetup::from(BinanceConfig { trading, ..config })
            }
            (Venue::Bybit, market) => {
                let config = match market {
                    Market::Spot => BybitConfig::spot(),
                    Market::Linear => BybitConfig::linear(),
                    _ => return Err(unsupported()),
                };
                let config = config.at(self.network.clone());
                VenueSetup::from(BybitConfig { trading, ..config })
            }
            (Venue::Deribit, market) if market != Market::Prediction => {
                let config = DeribitConfig::new(market).at(self.network.clone());
                VenueSetup::from(DeribitConfig {
                    credentials: self.credentials.clone(),
                    trading,
                    ..config
                })
            }
            (Venue::Polymarket, Market::Prediction) => {
                let config = PolymarketConfig::new().at(self.network.clone());
                VenueSetup::from(PolymarketConfig {
                    trading,
                    wallet: self.wallet.clone(),
                    dead_man: self.cancel_on_disconnect.is_wanted(),
                    ..config
                })
            }
            _ => return Err(unsupported()),
        })
    }
}

/// A driver can't be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no connector for it.
    #[error("there is no driver for {venue} {market}")]
    NotSupported {
        /// Venue.
        venue: Venue,
        /// Market.
        market: Market,
    },
    /// The engine could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Makes the driver of a configuration. Nothing is connected before
/// [`connect`](super::Driver::connect).
pub fn open(config: DriverConfig) -> Result<EngineDriver, OpenError> {
    const NAME: &str = "driver";
    let mut builder = Engine::builder()
        .venue(config.venue_setup()?)
        .strategy(StrategySetup::pair().named(NAME))
        .poll(config.poll);
    if let Some(roots) = config.roots {
        builder = builder.trust_only(roots);
    }
    let mut capabilities = match &config.credentials {
        Some(_) => Capabilities::of(config.venue, config.market, config.transport),
        None => Capabilities::NONE,
    };
    capabilities.cancel_on_disconnect = match (config.venue, config.cancel_on_disconnect) {
        (_, CancelOnDisconnect::Never) => false,
        (Venue::Bybit, CancelOnDisconnect::After(_)) => true,
        _ => capabilities.cancel_on_disconnect,
    };
    if config.venue == Venue::Polymarket {
        capabilities.orders &= config.wallet.is_some();
    }
    let handle = builder.spawn()?;
    Ok(EngineDriver::new(
        handle,
        NAME,
        (config.venue, config.market),
        config.credentials.is_some(),
        capabilities,
    ))
}
