//! On what terms each venue trades: how its instruments settle, what it charges a new customer, and
//! to how many digits it books.

use super::listing::{Fees, Settle};
use crate::market::InstrumentSpec;
use crate::spec::{SimVenue, VenueSpec};

/// Settlement, fees and digits of an instrument. Fees are the venues' lowest tier as of 2026-07: spot
/// 0.1 % both ways; USD-M 0.02 % and 0.05 %, COIN-M 0.01 % and 0.05 %; Bybit linear 0.02 % and
/// 0.055 % (the fee rate of its documented executions); Deribit futures 0 and 0.05 % (the sample of its
/// `public/get_instruments`), spot none; Polymarket makers pay none, and takers here neither.
pub(crate) fn terms(spec: &VenueSpec, one: &InstrumentSpec) -> (Settle, Fees, u8) {
    let (base, quote) = (one.base.clone(), one.quote.clone());
    let (settle, (maker_ppm, taker_ppm), decimals) = match spec.venue {
        SimVenue::BinanceSpot => (Settle::Spot { base, quote }, (1_000, 1_000), 8),
        SimVenue::BinanceLinear => (Settle::Linear { asset: quote }, (200, 500), 8),
        SimVenue::BinanceInverse => {
            let contract = one.contract_size;
            (
                Settle::Inverse {
                    asset: base,
                    contract,
                },
                (100, 500),
                8,
            )
        }
        SimVenue::BybitSpot => (Settle::Spot { base, quote }, (1_000, 1_000), 10),
        SimVenue::BybitLinear => (Settle::Linear { asset: quote }, (200, 550), 10),
        SimVenue::DeribitInverse => {
            let contract = one.contract_size;
            let asset = base;
            (Settle::Inverse { asset, contract }, (0, 500), 8)
        }
        SimVenue::DeribitLinear => (Settle::Linear { asset: quote }, (0, 500), 6),
        SimVenue::DeribitOption => (Settle::Premium { asset: base }, (300, 300), 8),
        SimVenue::DeribitSpot => (Settle::Spot { base, quote }, (0, 0), 8),
        SimVenue::Polymarket => (Settle::Spot { base, quote }, (0, 0), 6),
    };
    let (maker_ppm, taker_ppm) = spec.fees_ppm.unwrap_or((maker_ppm, taker_ppm));
    (
        settle,
        Fees {
            maker_ppm,
            taker_ppm,
        },
        decimals,
    )
}
