//! Every instrument of a market, by `public/get_instruments`: it has no pages.

use super::rest;
use super::urls::{DeribitConfig, Urls, kind};
use crate::catalog::Catalog;
use crate::error::Error;

/// Where the list is.
pub(crate) fn of(config: &DeribitConfig) -> Result<Catalog, Error> {
    let urls = Urls::new(&config.network, config.market)?;
    let (prefix, kind) = (&urls.rest_prefix, kind(config.market)?);
    Ok(Catalog {
        market: config.market,
        endpoint: urls.rest.clone(),
        target: format!(
            "{prefix}/api/v2/public/get_instruments?currency=any&kind={kind}&expired=false"
        ),
        reader: rest::read_instruments,
        next: |_| None,
    })
}
