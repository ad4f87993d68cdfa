//! What is derived from a book. Values that no decimal can hold in general are [`Real`]s, fixed
//! point with 64 binary digits behind the point, rounded towards zero; the spread is exact.
//!
//! Every function gives `None` where a side is empty or too thin, or a sum has no room in 128 bits.

use fixed::types::I64F64;

use crate::{Book, Level, Price, Scale, Side, Top};

/// A value that is inexact by nature: mid, microprice, VWAP, imbalance.
pub type Real = I64F64;

/// Half-way between best bid and best ask.
pub fn mid(top: &Top, price_scale: Scale) -> Option<Real> {
    let (bid, ask) = both(top)?;
    let sum = i128::from(bid.price) + i128::from(ask.price);
    ratio(sum, i128::from(price_scale.pow10()) * 2)
}

/// Best bid and best ask, each weighted by the quantity of the *other*: it leans to the side that
/// is about to be eaten.
pub fn microprice(top: &Top, price_scale: Scale) -> Option<Real> {
    let (bid, ask) = both(top)?;
    let from_bid = i128::from(bid.price) * i128::from(ask.qty);
    let from_ask = i128::from(ask.price) * i128::from(bid.qty);
    let weight = i128::from(bid.qty) + i128::from(ask.qty);
    ratio(
        from_bid.checked_add(from_ask)?,
        weight.checked_mul(i128::from(price_scale.pow10()))?,
    )
}

/// Best ask minus best bid, exactly; below zero in a crossed book.
pub fn spread(top: &Top, price_scale: Scale) -> Option<Price> {
    let (bid, ask) = both(top)?;
    Some(Price::new(ask.price.checked_sub(bid.price)?, price_scale))
}

/// The mean price of the best levels of a side, weighted by quantity. Takes as many levels as there
/// are, up to `levels_max`.
pub fn vwap_levels(book: &Book, side: Side, levels_max: usize, price_scale: Scale) -> Option<Real> {
    let mut sum = Weighted::default();
    for level in book.levels(side).take(levels_max) {
        sum.add(level.price, level.qty)?;
    }
    sum.mean(price_scale)
}

/// The mean price that taking `qty` (a mantissa at the book's scale) from a side would have; `None`
/// when the side holds less.
pub fn vwap_for_qty(book: &Book, side: Side, qty: i64, price_scale: Scale) -> Option<Real> {
    let mut sum = Weighted::default();
    let mut left = qty;
    for level in book.levels(side) {
        if left <= 0 {
            break;
        }
        let taken = level.qty.min(left);
        sum.add(level.price, taken)?;
        left -= taken;
    }
    if left > 0 {
        None
    } else {
        sum.mean(price_scale)
    }
}

/// How the quantities of the best levels lean: (bids - asks) / (bids + asks), from -1 (asks only)
/// to 1 (bids only).
pub fn imbalance(book: &Book, levels_max: usize) -> Option<Real> {
    let sum = |side| {
        let levels = book.levels(side).take(levels_max);
        levels.fold(0i128, |sum, level| sum + i128::from(level.qty))
    };
    let (bids, asks) = (sum(Side::Bid), sum(Side::Ask));
    ratio(bids - asks, bids + asks)
}

fn both(top: &Top) -> Option<(Level, Level)> {
    top.bid.zip(top.ask)
}

/// A sum of prices weighted by quantities.
#[derive(Default)]
struct Weighted {
    value: i128,
    qty: i128,
}

impl Weighted {
    fn add(&mut self, price: i64, qty: i64) -> Option<()> {
        self.value = self
            .value
            .checked_add(i128::from(price) * i128::from(qty))?;
        self.qty = self.qty.checked_add(i128::from(qty))?;
        Some(())
    }

    fn mean(&self, price_scale: Scale) -> Option<Real> {
        ratio(
            self.value,
            self.qty.checked_mul(i128::from(price_scale.pow10()))?,
        )
    }
}

/// `numerator / denominator`, rounded towards zero; `None` for a denominator that is not above zero
/// and for a quotient beyond [`Real`].
fn ratio(numerator: i128, denominator: i128) -> Option<Real> {
    if denominator <= 0 {
        return None;
    }
    let (magnitude, denominator) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    let whole = u64::try_from(magnitude / denominator).ok()?;
    let fraction = binary_fraction(magnitude % denominator, denominator);
    let bits = i128::try_from(u128::from(whole) << 64 | u128::from(fraction)).ok()?;
    Some(Real::from_bits(if numerator < 0 { -bits } else { bits }))
}

/// The first 64 binary digits of `rest / denominator`, for `rest < denominator <= i128::MAX`.
fn binary_fraction(mut rest: u128, denominator: u128) -> u64 {
    if let Ok(small) = u64::try_from(rest) {
        return ((u128::from(small) << 64) / denominator) as u64;
    }
    let mut digits = 0u64;
    for _ in 0..u64::BITS {
        rest <<= 1;
        digits <<= 1;
        if rest >= denominator {
            rest -= denominator;
            digits |= 1;
        }
    }
    digits
}

#[cfg(test)]
mod tests;
