//! Every instrument of a market, in the venue's own list: for a command, or a strategy's own code. A
//! connector asks for what it needs by itself.

use crate::binance::BinanceConfig;
use crate::bybit::BybitConfig;
use crate::connector::InstrumentReader;
use crate::deribit::DeribitConfig;
use crate::error::{Error, ErrorKind};
use crate::instrument::{Instrument, Market, Venue};
use crate::network::Network;
use crate::time::Nanos;
use crate::transmit::{Endpoint, HttpRequest, Method, ReadOn, RequestId};
use crate::{binance, bybit, deribit};

/// A list of a thousand instruments takes seconds where the line is slow.
const TIMEOUT: Nanos = Nanos::from_secs(30);

/// The largest, Binance's spot, has 20 MB (2026-07).
const BODY_BYTES_MAX: usize = 64 << 20;

/// Where a market's list is, and how it is read.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) market: Market,
    pub(crate) endpoint: Endpoint,
    /// Path and query of the first page.
    pub(crate) target: String,
    pub(crate) reader: InstrumentReader,
    /// What a page says of the next: what goes behind the target; `None` where it is the last.
    pub(crate) next: fn(&[u8]) -> Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The instruments of the market; what could not be read is left out.
    pub instruments: Vec<Instrument>,
    /// What [`Catalog::request`] is to be given for the next page; `None` behind the last.
    pub next: Option<String>,
}

impl Catalog {
    /// The list of one market of a venue. An error where there is none: Polymarket's tokens mean nothing
    /// without their questions, which its [`listing`](crate::polymarket::listing) has.
    pub fn of(venue: Venue, market: Market, network: Network) -> Result<Catalog, Error> {
        match (venue, market) {
            (Venue::Binance, Market::Spot) => {
                binance::catalog::of(&BinanceConfig::spot().at(network))
            }
            (Venue::Binance, Market::Linear) => {
                binance::catalog::of(&BinanceConfig::linear().at(network))
            }
            (Venue::Binance, Market::Inverse) => {
                binance::catalog::of(&BinanceConfig::inverse().at(network))
            }
            (Venue::Bybit, Market::Spot) => bybit::catalog::of(&BybitConfig::spot().at(network)),
            (Venue::Bybit, Market::Linear) => {
                bybit::catalog::of(&BybitConfig::linear().at(network))
            }
            (Venue::Deribit, market) => {
                deribit::catalog::of(&DeribitConfig::new(market).at(network))
            }
            (venue, market) => {
                let text = format!("{venue} has no list of {market} instruments here");
                Err(Error::ours(ErrorKind::NotSupported, text))
            }
        }
    }

    /// The request of a page: of the first one where `next` is none.
    pub fn request(&self, id: RequestId, next: Option<&str>) -> HttpRequest {
        HttpRequest {
            id,
            endpoint: self.endpoint.clone(),
            method: Method::Get,
            target: format!("{}{}", self.target, next.unwrap_or_default()),
            headers: Vec::new(),
            timeout_ns: TIMEOUT,
            body_bytes_max: BODY_BYTES_MAX,
            read_on: ReadOn::Loop,
        }
    }

    /// Reads the body of an answer.
    pub fn read(&self, body: &mut [u8]) -> Result<Page, Error> {
        // First, as the body is read in place.
        let next = (self.next)(body);
        let instruments = (self.reader)(self.market, body)?;
        Ok(Page { instruments, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_market_has_its_list() {
        let there = || Network::from(("wss://h:1/w", "https://h:1/r"));
        let table = [
            (Venue::Binance, Market::Spot, "/r/api/v3/exchangeInfo"),
            (Venue::Binance, Market::Linear, "/r/fapi/v1/exchangeInfo"),
            (Venue::Binance, Market::Inverse, "/r/dapi/v1/exchangeInfo"),
            (
                Venue::Bybit,
                Market::Spot,
                "/r/v5/market/instruments-info?category=spot&limit=1000",
            ),
            (
                Venue::Bybit,
                Market::Linear,
                "/r/v5/market/instruments-info?category=linear&limit=1000",
            ),
            (
                Venue::Deribit,
                Market::Option,
                "/r/api/v2/public/get_instruments?currency=any&kind=option&expired=false",
            ),
        ];
        for (venue, market, target) in table {
            let catalog = Catalog::of(venue, market, there()).expect("a list");
            let request = catalog.request(RequestId(3), None);
            assert_eq!(request.target, target);
            assert!(request.headers.is_empty() && request.id == RequestId(3));
        }
        for (venue, market) in [
            (Venue::Polymarket, Market::Prediction),
            (Venue::Bybit, Market::Option),
            (Venue::Deribit, Market::Prediction),
        ] {
            assert!(
                Catalog::of(venue, market, there()).is_err(),
                "{venue} {market}"
            );
        }
    }

    #[test]
    fn bybits_pages_name_the_next() {
        let catalog = Catalog::of(Venue::Bybit, Market::Linear, Network::Mainnet);
        let catalog = catalog.expect("a list");
        let page = |cursor: &str| {
            format!(
                r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"linear","list":[],"nextPageCursor":"{cursor}"}},"time":1}}"#
            )
        };
        let read = |cursor: &str| {
            catalog
                .read(&mut page(cursor).into_bytes())
                .map(|page| page.next)
        };
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("first%3D1"), Ok(Some("&cursor=first%3D1".to_owned())));
        // It goes into a request as it is.
        assert_eq!(read("a b"), Ok(None));
        let request = catalog.request(RequestId(0), Some("&cursor=x"));
        assert!(request.target.ends_with("&limit=1000&cursor=x"));
    }
}
