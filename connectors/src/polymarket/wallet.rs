//! Orders that somebody else signs: a chain signature takes the wallet's key, which is none of ours.

use core::fmt;

use tickwire_orderbook::{Price, Qty, Scale, Side};

use crate::instrument::Symbol;
use crate::order::VenueOrderId;

/// Amounts are in millionths of a share or a dollar (pUSD).
const AMOUNT_SCALE: Scale = Scale::of(6);

/// An order as it is to be signed (CLOB V2, v2-migration, 2026-11). Salt, maker, signer, signature type and
/// the exchange's contract are the wallet's to know; so is whether the token's market is a neg-risk one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsignedOrder {
    /// The token's id.
    pub token: Symbol,
    /// Bid buys, ask sells.
    pub side: Side,
    /// What is given, in millionths: dollars where it buys, shares where it sells.
    pub maker_amount: u64,
    /// What is got for it, in millionths.
    pub taker_amount: u64,
    /// The venue's time in milliseconds.
    pub timestamp_ms: i64,
    /// When it ends by itself, in seconds; 0 for never.
    pub expiration_s: i64,
}

/// An order that is signed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedOrder {
    /// The JSON object `order` of `POST /order`, signature and all.
    pub json: String,
    /// The order's hash, which is the venue's id of it: known before it leaves, so that one without an
    /// answer can be looked up.
    pub id: VenueOrderId,
}

/// Who holds a signature may spend with it.
impl fmt::Debug for SignedOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedOrder")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Signs orders with the account's wallet.
///
/// Called on the engine's loop in the turn in which an order leaves: it must not wait, and can't fail.
/// What can't sign should be found when it is made.
pub trait Wallet: fmt::Debug + Send + Sync {
    /// Signs one order. Each is another, by its salt.
    fn sign(&self, order: &UnsignedOrder) -> SignedOrder;
}

/// Maker's and taker's amount of an order; `None` where one has more than six decimals or too many
/// digits.
pub(super) fn amounts(side: Side, price: Price, qty: Qty) -> Option<(u64, u64)> {
    let shares = qty.rescale(AMOUNT_SCALE).ok()?.mantissa();
    let price = price.rescale(AMOUNT_SCALE).ok()?.mantissa();
    let one = i128::from(AMOUNT_SCALE.pow10());
    let product = i128::from(price).checked_mul(i128::from(shares))?;
    if product % one != 0 {
        return None;
    }
    let (dollars, shares) = (
        u64::try_from(product / one).ok()?,
        u64::try_from(shares).ok()?,
    );
    Some(match side {
        Side::Bid => (dollars, shares),
        Side::Ask => (shares, dollars),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_or_none() {
        let table = [
            (Side::Bid, "0.57", "10", Some((5_700_000, 10_000_000))),
            (Side::Ask, "0.57", "10", Some((10_000_000, 5_700_000))),
            (Side::Bid, "0.0001", "0.01", Some((1, 10_000))),
            (Side::Bid, "0.0001", "0.001", None),
            (Side::Bid, "0.5", "0.0000001", None),
            (Side::Bid, "0.5", "-1", None),
            (
                Side::Ask,
                "0.999",
                "9000000000",
                Some((9_000_000_000_000_000, 8_991_000_000_000_000)),
            ),
        ];
        for (side, price, qty, want) in table {
            let price = Price::parse(price.as_bytes()).expect("a price");
            let qty = Qty::parse(qty.as_bytes()).expect("a quantity");
            assert_eq!(amounts(side, price, qty), want, "{side:?} {price} {qty}");
        }
    }

    #[test]
    fn a_signature_is_not_printed() {
        let signed = SignedOrder {
            json: "the-signature".to_owned(),
            id: VenueOrderId::new(),
        };
        assert!(!format!("{signed:?}").contains("the-signature"));
    }
}
