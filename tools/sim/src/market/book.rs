//! The true book of one instrument: a plain sorted map, the simplest thing that can be right.

use std::collections::BTreeMap;

/// A side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

/// A level's new quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Update id.
    pub(crate) id: u64,
    /// Side.
    pub(crate) side: Side,
    /// Price, in ticks.
    pub(crate) price: i64,
    /// New quantity, in lots; 0 deletes the level.
    pub(crate) qty: i64,
}

/// Best bid and best ask, each (price in ticks, quantity in lots).
pub(crate) type Top = (Option<(i64, i64)>, Option<(i64, i64)>);

/// Levels by price, in ticks and lots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) bids: BTreeMap<i64, i64>,
    pub(crate) asks: BTreeMap<i64, i64>,
}

impl Book {
    /// Applies one change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let side = match change.side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        if change.qty == 0 {
            side.remove(&change.price);
        } else {
            side.insert(change.price, change.qty);
        }
    }

    pub(crate) fn side(&self, side: Side) -> &BTreeMap<i64, i64> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    pub(crate) fn top(&self) -> Top {
        let pair = |(p, q): (&i64, &i64)| (*p, *q);
        (
            self.bids.last_key_value().map(pair),
            self.asks.first_key_value().map(pair),
        )
    }

    /// Quantity of a level, 0 if it does not exist.
    pub(crate) fn qty(&self, side: Side, price: i64) -> i64 {
        self.side(side).get(&price).copied().unwrap_or(0)
    }

    /// The n-th best level.
    pub(crate) fn nth(&self, side: Side, n: usize) -> Option<(i64, i64)> {
        let pair = |(p, q): (&i64, &i64)| (*p, *q);
        match side {
            Side::Bid => self.bids.iter().rev().nth(n).map(pair),
            Side::Ask => self.asks.iter().nth(n).map(pair),
        }
    }

    /// Visits the best `depth` levels of a side, best first.
    pub(crate) fn for_best(&self, side: Side, depth: usize, mut visit: impl FnMut(i64, i64)) {
        match side {
            Side::Bid => self
                .bids
                .iter()
                .rev()
                .take(depth)
                .for_each(|(p, q)| visit(*p, *q)),
            Side::Ask => self
                .asks
                .iter()
                .take(depth)
                .for_each(|(p, q)| visit(*p, *q)),
        }
    }
}
