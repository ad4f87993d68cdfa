//! What books begin with: as many levels as the venues send, among which those of the messages lie.

use std::fmt::Write as _;

use super::shape::{BASE, DIGITS, MARKET, POLYMARKET_OFFSET, TOKEN, UPPER, deribit_message};

/// Levels a side by REST, as Binance's connector asks for.
const BINANCE_LEVELS: u64 = 1_000;

/// Levels a side of Bybit's `orderbook.50`, and of the others' books.
const LEVELS: u64 = 50;

/// A level's quantity, in whole units: no two neighbours have the same.
const fn qty(index: u64) -> u64 {
    index * 7_919 % 900 + 100
}

/// Levels from `first` on, each `step` further: `each` writes one, of its price and quantity.
fn side(
    levels: u64,
    (first, step): (u64, i64),
    mut each: impl FnMut(&mut String, u64, u64),
) -> String {
    let mut text = String::new();
    for index in 0..levels {
        if index > 0 {
            text.push(',');
        }
        let price = first.saturating_add_signed(step * index as i64);
        each(&mut text, price, qty(index));
    }
    text
}

/// Binance's book by REST.
pub(super) fn binance() -> String {
    let levels = |first, step| {
        side(BINANCE_LEVELS, (first, step), |text, cents, qty| {
            let (units, cents) = (cents / 100, cents % 100);
            // A string takes all that is written.
            let _ = write!(text, "[\"{units}.{cents:02}000000\",\"{qty}.00000000\"]");
        })
    };
    format!(
        "{{\"lastUpdateId\":{BASE},\"bids\":[[\"61837.63000000\",\"1.00000000\"],{}],\"asks\":[{}]}}",
        levels(6_183_755, -7),
        levels(6_183_764, 7)
    )
}

/// Bybit's first message.
pub(super) fn bybit() -> String {
    let levels = |first, step| {
        side(LEVELS, (first, step), |text, tenths, qty| {
            let (units, tenths) = (tenths / 10, tenths % 10);
            let _ = write!(text, "[\"{units}.{tenths}0\",\"{qty}.000\"]");
        })
    };
    format!(
        "{{\"topic\":\"orderbook.50.{UPPER}USDT\",\"type\":\"snapshot\",\"ts\":1723161255208,\"data\":\
         {{\"s\":\"{UPPER}USDT\",\"b\":[{}],\"a\":[{}],\"u\":{BASE},\"seq\":7961638723}},\
         \"cts\":1723161255205}}",
        levels(618_376, -3),
        levels(618_400, 3)
    )
}

/// Deribit's first notification.
pub(super) fn deribit() -> String {
    let levels = |first, step| {
        side(LEVELS, (first, step), |text, halves, qty| {
            let (units, tenths) = (halves / 2, halves % 2 * 5);
            let _ = write!(text, "[\"new\",{units}.{tenths},{qty}0.0]");
        })
    };
    deribit_message(&format!(
        "\"type\":\"snapshot\",\"timestamp\":1723161255208,\"instrument_name\":\"{UPPER}-PERPETUAL\",\
         \"change_id\":{BASE},\"bids\":[{}],\"asks\":[{}]",
        levels(123_675, -5),
        levels(123_676, 5)
    ))
}

/// Polymarket's book of a token: a level at each cent, the best last.
pub(super) fn polymarket() -> String {
    let levels = |first, step, levels| {
        side(levels, (first, step), |text, cents, qty| {
            let _ = write!(text, "{{\"price\":\"0.{cents:02}\",\"size\":\"{qty}\"}}");
        })
    };
    format!(
        "[{{\"event_type\":\"book\",\"asset_id\":\"{TOKEN}{DIGITS}\",\"market\":\"{MARKET}\",\
         \"bids\":[{}],\"asks\":[{}],\"timestamp\":\"{}\",\"hash\":\"0x0\"}}]",
        levels(1, 1, LEVELS),
        levels(99, -1, LEVELS - 1),
        POLYMARKET_OFFSET + BASE
    )
}
