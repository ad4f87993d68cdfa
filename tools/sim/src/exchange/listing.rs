//! What the exchange knows of an instrument: its units, what it settles in and what it costs.

use super::amount::{Amount, decimal, pow10};
use crate::market::InstrumentSpec;
use crate::num::NumFmt;

/// Most lots of one order: what every venue's own filter lies below, so that no product here can
/// overflow.
pub(crate) const LOTS_MAX: i64 = 1 << 32;

/// How a trade settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// Base against quote.
    Spot { base: String, quote: String },
    /// A position; profit in the quote asset.
    Linear { asset: String },
    /// A position in contracts of so many dollars; profit in the coin.
    Inverse { asset: String, contract: i64 },
    /// A position that is paid for at once (options).
    Premium { asset: String },
}

/// Fees in millionths of the value (or, for spot buyers, of what they get).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) maker_ppm: i64,
    pub(crate) taker_ppm: i64,
}

/// One listed instrument.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) symbol: String,
    pub(crate) settle: Settle,
    pub(crate) price: NumFmt,
    pub(crate) qty: NumFmt,
    pub(crate) fees: Fees,
    /// Digits to which values and fees are booked.
    pub(crate) decimals: u8,
    /// A position's margin is its value over this.
    pub(crate) leverage: i64,
}

impl Listing {
    pub(crate) fn new(spec: &InstrumentSpec, settle: Settle, fees: Fees, decimals: u8) -> Self {
        Self {
            symbol: spec.symbol.clone(),
            settle,
            price: spec.price,
            qty: spec.qty,
            fees,
            decimals,
            leverage: 20,
        }
    }

    /// What so many lots are worth at a price: in the quote asset, of inverse contracts in coin.
    pub(crate) fn value(&self, ticks: i64, lots: i64) -> Amount {
        let price = i128::from(self.price.mantissa(ticks));
        let exact = match self.settle {
            Settle::Inverse { contract, .. } => {
                let dollars = self.qty_amount(lots).0 * i128::from(contract);
                Amount(dollars * pow10(self.price.decimals) / price.max(1))
            }
            _ => {
                let product = price * i128::from(self.qty.mantissa(lots));
                Amount::scaled(product, self.price.decimals + self.qty.decimals)
            }
        };
        exact.cut(self.decimals)
    }

    /// A quantity as an amount of the base asset (or of contracts).
    pub(crate) fn qty_amount(&self, lots: i64) -> Amount {
        Amount::scaled(i128::from(self.qty.mantissa(lots)), self.qty.decimals)
    }

    /// Most lots that so much of the quote asset pays at a price.
    pub(crate) fn lots_for(&self, budget: Amount, ticks: i64) -> i64 {
        let (mut low, mut high) = (0, LOTS_MAX);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if self.value(ticks, middle) <= budget {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// What a buyer pays with.
    pub(crate) fn quote_asset(&self) -> &str {
        match &self.settle {
            Settle::Spot { quote, .. } => quote,
            Settle::Linear { asset }
            | Settle::Inverse { asset, .. }
            | Settle::Premium { asset } => asset,
        }
    }

    /// The assets that a trade moves.
    pub(crate) fn assets(&self) -> Vec<&str> {
        match &self.settle {
            Settle::Spot { base, quote } => vec![base, quote],
            _ => vec![self.quote_asset()],
        }
    }

    pub(crate) const fn is_spot(&self) -> bool {
        matches!(self.settle, Settle::Spot { .. })
    }

    pub(crate) fn price_text(&self, ticks: i64) -> String {
        text(self.price, ticks, self.price.trim)
    }

    pub(crate) fn qty_text(&self, lots: i64) -> String {
        text(self.qty, lots, self.qty.trim)
    }

    /// Without trailing zeros.
    pub(crate) fn price_short(&self, ticks: i64) -> String {
        text(self.price, ticks, true)
    }

    /// Without trailing zeros.
    pub(crate) fn qty_short(&self, lots: i64) -> String {
        text(self.qty, lots, true)
    }

    /// Value over quantity, cut to the digits at which the venue books: an average is no multiple
    /// of the tick.
    pub(crate) fn average(&self, value: Amount, lots: i64) -> Amount {
        let qty = self.qty_amount(lots.abs()).0;
        if qty == 0 {
            return Amount::ZERO;
        }
        let one = pow10(super::amount::AMOUNT_DECIMALS);
        let value = value.0.abs();
        let average = match self.settle {
            Settle::Inverse { contract, .. } => qty * i128::from(contract) * one / value.max(1),
            _ => value * one / qty,
        };
        Amount(average).cut(self.decimals)
    }
}

fn text(fmt: NumFmt, units: i64, trim: bool) -> String {
    decimal(i128::from(fmt.mantissa(units)), fmt.decimals, trim)
}
