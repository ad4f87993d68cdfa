//! Every instrument of a market, by `instruments-info` (market/instrument, 2026-07-24): a page of a
//! thousand names the next.

use super::rest;
use super::urls::{BybitConfig, Urls, category};
use crate::catalog::Catalog;
use crate::error::Error;

/// Where the list is.
pub(crate) fn of(config: &BybitConfig) -> Result<Catalog, Error> {
    let urls = Urls::new(&config.network, config.market)?;
    let (prefix, category) = (&urls.rest_prefix, category(config.market)?);
    Ok(Catalog {
        market: config.market,
        endpoint: urls.rest.clone(),
        target: format!("{prefix}/v5/market/instruments-info?category={category}&limit=1000"),
        reader: rest::read_instruments,
        next,
    })
}

/// The cursor of the next page, which the venue writes percent-encoded.
fn next(body: &[u8]) -> Option<String> {
    const NAME: &[u8] = br#""nextPageCursor":""#;
    let at = body.windows(NAME.len()).position(|part| part == NAME)?;
    let rest = body.get(at + NAME.len()..)?;
    let cursor = rest.split(|byte| *byte == b'"').next()?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"%-_.~".contains(byte);
    let cursor = Some(cursor).filter(|cursor| !cursor.is_empty() && cursor.iter().all(is_plain))?;
    Some(format!("&cursor={}", core::str::from_utf8(cursor).ok()?))
}
