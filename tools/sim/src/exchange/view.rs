//! The side channel: what an account really has, for tests to compare with what a client believes.

use super::Exchange;
use super::order::Status;
use crate::market::Side;

/// All of one account, exact. Numbers are decimal text without trailing zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ledger {
    /// By asset; of derivatives the wallet, with what positions have realised.
    pub balances: Vec<BalanceView>,
    /// By symbol; closed ones too, for what they realised.
    pub positions: Vec<PositionView>,
    /// By venue order id: all that are still remembered.
    pub orders: Vec<OrderView>,
    /// In the order of time.
    pub fills: Vec<FillView>,
}

/// What an account has of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BalanceView {
    /// The asset.
    pub asset: String,
    /// Free.
    pub free: String,
    /// Held back for open orders.
    pub locked: String,
    /// Free, without the margin of positions and open orders.
    pub available: String,
}

/// A net position.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PositionView {
    /// The instrument.
    pub symbol: String,
    /// Quantity; negative: short.
    pub qty: String,
    /// Average price, cut to the digits at which the venue books.
    pub average_price: String,
    /// Profit realised so far, without fees.
    pub realised: String,
}

/// An order and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderView {
    /// The venue's id.
    pub id: u64,
    /// The client's id.
    pub client_id: String,
    /// The instrument.
    pub symbol: String,
    /// A buyer's.
    pub buy: bool,
    /// Limit price; `None`: a market order.
    pub price: Option<String>,
    /// Quantity in all.
    pub qty: String,
    /// Filled so far.
    pub filled: String,
    /// Sum of price times quantity over its fills.
    pub filled_value: String,
    /// "waiting", "new", "partial", "filled", "canceled" or "expired".
    pub status: &'static str,
}

/// A fill.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FillView {
    /// The trade's id; unique at the venue and account but for a trade with oneself.
    pub trade_id: u64,
    /// Of which order.
    pub order_id: u64,
    /// The instrument.
    pub symbol: String,
    /// A buyer's.
    pub buy: bool,
    /// Price.
    pub price: String,
    /// Quantity.
    pub qty: String,
    /// Fee; negative: a rebate.
    pub fee: String,
    /// What the fee was paid in.
    pub fee_asset: String,
    /// It rested; else it took.
    pub maker: bool,
}

impl Ledger {
    /// What it has of an asset: (free, locked).
    #[must_use]
    pub fn balance(&self, asset: &str) -> (&str, &str) {
        let found = self.balances.iter().find(|one| one.asset == asset);
        found.map_or(("0", "0"), |one| (&one.free, &one.locked))
    }
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::New => "new",
        Status::Partial => "partial",
        Status::Filled => "filled",
        Status::Canceled => "canceled",
        Status::Expired => "expired",
    }
}

impl Exchange {
    /// Everything of one account; `None`: there is none of this name.
    pub(crate) fn view(&self, name: &str) -> Option<Ledger> {
        let account = self.account(name)?;
        let balances = self
            .ledger
            .balances(account)
            .map(|(asset, balance)| BalanceView {
                asset: asset.to_owned(),
                free: balance.free.text(),
                locked: balance.locked.text(),
                available: self.available(account, asset).text(),
            });
        let positions = self
            .ledger
            .positions(account)
            .map(|(instrument, position)| {
                let listing = &self.listings[instrument];
                PositionView {
                    symbol: listing.symbol.clone(),
                    qty: listing.qty_short(position.lots),
                    average_price: listing.average(position.basis, position.lots).text(),
                    realised: position.realised.text(),
                }
            });
        let orders = self.orders(account).map(|order| {
            let listing = &self.listings[order.instrument];
            OrderView {
                id: order.id,
                client_id: order.client_id.clone(),
                symbol: listing.symbol.clone(),
                buy: order.side == Side::Bid,
                price: order.price.map(|price| listing.price_short(price)),
                qty: listing.qty_short(order.lots),
                filled: listing.qty_short(order.filled),
                filled_value: order.filled_value.text(),
                status: word(order.status),
            }
        });
        let fills = self.fills(account).map(|fill| {
            let listing = &self.listings[fill.instrument];
            FillView {
                trade_id: fill.trade_id,
                order_id: fill.order_id,
                symbol: listing.symbol.clone(),
                buy: fill.side == Side::Bid,
                price: listing.price_short(fill.price),
                qty: listing.qty_short(fill.lots),
                fee: fill.fee.text(),
                fee_asset: fill.fee_asset.clone(),
                maker: fill.maker,
            }
        });
        Some(Ledger {
            balances: balances.collect(),
            positions: positions.collect(),
            orders: orders.collect(),
            fills: fills.collect(),
        })
    }
}
