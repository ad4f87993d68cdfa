//! Every instrument of a market, by `exchangeInfo`.

use super::rest::instruments_call;
use super::symbols;
use super::urls::{BinanceConfig, MarketRules, Urls};
use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind};

/// Where the list is.
pub(crate) fn of(config: &BinanceConfig) -> Result<Catalog, Error> {
    let unknown = || Error::ours(ErrorKind::NotSupported, "Binance has no such market here");
    let rules = MarketRules::of(config.market).ok_or_else(unknown)?;
    let urls = Urls::new(config, &rules)?;
    Ok(Catalog {
        market: config.market,
        endpoint: urls.rest().clone(),
        target: urls.target(&instruments_call(&[])),
        reader: symbols::read,
        next: |_| None,
    })
}
