//! `tickwire account`, and how a driver is opened from the command line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tickwire::Market;
use tickwire::connectors::Network;
use tickwire::connectors::trading::Transport;
use tickwire::driver::{self, Driver, DriverConfig, EngineDriver};

use super::Failure;
use super::venue::VenueName;

/// Where the account is and who we are. Keys come from the environment (TICKWIRE_<VENUE>_KEY and
/// _SECRET, or _ED25519) or from a file that nobody else can read.
#[derive(Debug, clap::Args)]
pub(super) struct Access {
    /// Venue
    #[arg(long, value_enum)]
    venue: VenueName,
    #[command(flatten)]
    way: Way,
}

/// What leads to an account at a venue.
#[derive(Debug, clap::Args)]
pub(super) struct Way {
    /// Market
    #[arg(long, default_value = "spot")]
    market: Market,
    /// Use the real venue: without it, the testnet is used
    #[arg(long, conflicts_with = "url")]
    mainnet: bool,
    /// Another WebSocket host, such as a simulator's
    #[arg(long, value_name = "URL", requires = "rest_url")]
    url: Option<String>,
    /// Its REST root
    #[arg(long, value_name = "URL", requires = "url")]
    rest_url: Option<String>,
    /// Trust this certificate authority (PEM) and no other
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Read the keys from this file (mode 0600)
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Send orders by REST
    #[arg(long)]
    rest: bool,
    /// Wait at most so long for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    within: u64,
}

/// A driver that is connected, and how long to wait for its answers.
pub(super) struct Connected {
    pub(super) driver: EngineDriver,
    pub(super) within: Duration,
}

impl Access {
    pub(super) const fn market(&self) -> Market {
        self.way.market
    }

    pub(super) fn venue(&self) -> tickwire::Venue {
        self.venue.venue()
    }

    /// Connects. Orders stay where they are when the venue loses us: one is to stand after the command that
    /// placed it has ended.
    pub(super) fn connect(&self) -> Result<Connected, Failure> {
        let config = self.way.config(self.venue)?;
        let mut driver = driver::open(config.leaving_orders())?;
        let within = Duration::from_secs(self.way.within);
        driver.connect(within)?;
        Ok(Connected { driver, within })
    }
}

impl Way {
    /// Where the account is, with its keys.
    pub(super) fn config(&self, venue: VenueName) -> Result<DriverConfig, Failure> {
        let venue = venue.venue();
        let credentials = match &self.keys {
            Some(path) => driver::credentials_from_file(venue, path)?,
            None => driver::credentials_from_env(venue)?,
        };
        let network = match (&self.url, &self.rest_url) {
            (Some(ws_url), Some(rest_url)) => Network::from((ws_url, rest_url)),
            _ if self.mainnet => Network::Mainnet,
            _ => Network::Testnet,
        };
        let transport = if self.rest {
            Transport::Rest
        } else {
            Transport::WebSocket
        };
        let mut config = DriverConfig::mainnet(venue, self.market)
            .at(network)
            .with_credentials(credentials)
            .over(transport);
        if let Some(path) = &self.ca {
            let unreadable = |error: String| {
                Failure::Failed(format!("can't use {}: {error}", path.display()).into())
            };
            let pem = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
            let roots = tickwire::certificates_from_pem(&pem);
            config = config.trust_only(roots.map_err(|error| unreadable(error.to_string()))?);
        }
        Ok(config)
    }
}

/// Show what an account holds. One JSON object a line.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    access: Access,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Connected { mut driver, within } = args.access.connect()?;
    let account = driver.account(within)?;
    let mut lines: Vec<Value> = Vec::new();
    for balance in &account.balances {
        lines.push(json!({
            "type": "balance",
            "currency": balance.currency.as_str(),
            "total": balance.total.to_string(),
            "available": balance.available.to_string(),
        }));
    }
    for position in &account.positions {
        lines.push(json!({
            "type": "position",
            "symbol": position.instrument.symbol.as_str(),
            "qty": position.qty.to_string(),
            "price_mean": position.price_mean.map(|price| price.plain().to_string()),
        }));
    }
    print(&lines)
}

pub(super) fn print(lines: &[Value]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
