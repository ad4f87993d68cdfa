//! Who owns what. Every movement has two sides, so that the sum of an asset over all accounts, the
//! market's and the venue's own among them, never changes but by a deposit.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::listing::{Listing, Settle};
use crate::market::Side;

/// The account that fees go to.
pub(crate) const FEES: usize = 0;
/// The account of the synthetic market: it takes the other side wherever no client does, and its
/// balances may be negative.
pub(crate) const MARKET: usize = 1;

/// Of one asset of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) free: Amount,
    /// Held back for open orders.
    pub(crate) locked: Amount,
}

/// A net position of one account in one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Above zero: long.
    pub(crate) lots: i64,
    /// What opening it brought (below zero: cost), so that closing it at a value `v` realises
    /// `basis + v`, with the signs of money.
    pub(crate) basis: Amount,
    /// Profit realised so far, without fees.
    pub(crate) realised: Amount,
}

/// What one fill did to one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    pub(crate) realised: Amount,
    /// Lots of an open position that it closed.
    pub(crate) closed: i64,
}

#[derive(Debug, Default)]
struct Holdings {
    balances: BTreeMap<String, Balance>,
    positions: BTreeMap<usize, Position>,
}

/// Balances and positions of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    holders: Vec<Holdings>,
}

impl Ledger {
    pub(crate) fn new(accounts: usize) -> Self {
        let holders = (0..accounts).map(|_| Holdings::default()).collect();
        Self { holders }
    }

    pub(crate) fn deposit(&mut self, account: usize, asset: &str, amount: Amount) {
        self.balance_mut(account, asset).free += amount;
    }

    fn balance_mut(&mut self, account: usize, asset: &str) -> &mut Balance {
        let holder = &mut self.holders[account];
        if !holder.balances.contains_key(asset) {
            holder.balances.insert(asset.to_owned(), Balance::default());
        }
        // It was put there just now if it was missing.
        holder.balances.entry(asset.to_owned()).or_default()
    }

    pub(crate) fn balance(&self, account: usize, asset: &str) -> Balance {
        let found = self.holders[account].balances.get(asset);
        found.copied().unwrap_or_default()
    }

    pub(crate) fn balances(&self, account: usize) -> impl Iterator<Item = (&str, Balance)> {
        let balances = self.holders[account].balances.iter();
        balances.map(|(asset, balance)| (asset.as_str(), *balance))
    }

    pub(crate) fn position(&self, account: usize, instrument: usize) -> Position {
        let found = self.holders[account].positions.get(&instrument);
        found.copied().unwrap_or_default()
    }

    pub(crate) fn positions(&self, account: usize) -> impl Iterator<Item = (usize, Position)> {
        let positions = self.holders[account].positions.iter();
        positions.map(|(instrument, position)| (*instrument, *position))
    }

    /// Moves an amount from free to locked (below zero: back).
    pub(crate) fn lock(&mut self, account: usize, asset: &str, amount: Amount) {
        if !amount.is_zero() {
            let balance = self.balance_mut(account, asset);
            balance.free -= amount;
            balance.locked += amount;
        }
    }

    pub(crate) fn pay_fee(&mut self, account: usize, asset: &str, fee: Amount) {
        if !fee.is_zero() {
            self.balance_mut(account, asset).free -= fee;
            self.balance_mut(FEES, asset).free += fee;
        }
    }

    /// Books one side of a trade.
    pub(crate) fn fill(
        &mut self,
        account: usize,
        instrument: usize,
        listing: &Listing,
        side: Side,
        lots: i64,
        value: Amount,
    ) -> Effect {
        let (qty, pays) = (listing.qty_amount(lots), side == Side::Bid);
        match &listing.settle {
            Settle::Spot { base, quote } => {
                let (base_flow, quote_flow) = if pays { (qty, -value) } else { (-qty, value) };
                self.balance_mut(account, base).free += base_flow;
                self.balance_mut(account, quote).free += quote_flow;
                Effect::default()
            }
            Settle::Linear { asset } => {
                let flow = if pays { -value } else { value };
                let effect = self.turn_position(account, instrument, side, lots, flow, listing);
                self.balance_mut(account, asset).free += effect.realised;
                effect
            }
            Settle::Inverse { asset, .. } => {
                // Who buys contracts sells coin: fewer coins a contract at a higher price.
                let flow = if pays { value } else { -value };
                let effect = self.turn_position(account, instrument, side, lots, flow, listing);
                self.balance_mut(account, asset).free += effect.realised;
                effect
            }
            Settle::Premium { asset } => {
                let flow = if pays { -value } else { value };
                self.balance_mut(account, asset).free += flow;
                self.turn_position(account, instrument, side, lots, flow, listing)
            }
        }
    }

    /// Closes what the fill closes and opens the rest.
    fn turn_position(
        &mut self,
        account: usize,
        instrument: usize,
        side: Side,
        lots: i64,
        flow: Amount,
        listing: &Listing,
    ) -> Effect {
        let position = self.holders[account]
            .positions
            .entry(instrument)
            .or_default();
        let against = position.lots.signum() == -side.sign();
        let closed = if against {
            position.lots.abs().min(lots)
        } else {
            0
        };
        let mut effect = Effect {
            realised: Amount::ZERO,
            closed,
        };
        let mut opening = flow;
        if closed > 0 {
            // A part of the basis and of the flow, by lots; what the division leaves stays.
            let part = |all: Amount, of: i64| {
                let share = Amount(all.0 * i128::from(closed) / i128::from(of));
                if closed == of {
                    all
                } else {
                    share.cut(listing.decimals)
                }
            };
            let released = part(position.basis, position.lots.abs());
            let closing = part(flow, lots);
            position.basis -= released;
            opening -= closing;
            effect.realised = released + closing;
        }
        position.lots += side.sign() * lots;
        position.basis += opening;
        position.realised += effect.realised;
        effect
    }

    /// Sum of an asset over all accounts, free and locked, with what open positions have cost.
    /// Constant but for deposits.
    #[cfg(test)]
    pub(crate) fn total(&self, asset: &str, listings: &[Listing]) -> Amount {
        let cash = self
            .holders
            .iter()
            .filter_map(|holder| holder.balances.get(asset));
        let cash: Amount = cash.map(|balance| balance.free + balance.locked).sum();
        let open = self.holders.iter().flat_map(|holder| &holder.positions);
        let basis = open.filter(|(instrument, _)| match &listings[**instrument].settle {
            Settle::Linear { asset: own } | Settle::Inverse { asset: own, .. } => own == asset,
            _ => false,
        });
        cash + basis.map(|(_, position)| position.basis).sum()
    }
}
