//! On what terms each venue trades: how its instruments settle, what it charges a new customer, and
//! to how many digits it books.

use super::listing::{Fees, Settle};
use crate::market::InstrumentSpec;
use crate::spec::{SimVenue, VenueSpec};

/// Settlement, fees and digits of an instrument. Fees are the venues' lowest tier as of 2026-07: spot
/// 0.1 % both ways; USD-M 0.02 % and 0.05 %, COIN-M 0.01 % and 0.05 %; Bybit linear 0.02 % and
/// 0.055 % (the fee rate of its documented executions).
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
