//! [`Book`]: integer levels, those near the touch in a place for each tick, those far away in short sorted chunks.
//!
//! Prices and quantities are bare mantissas; the scales belong to the instrument. A side holds up
//! to [`Limits::levels_max`] levels. Where it knows that it does not hold all there is, it has a
//! **watermark**: it is complete from the touch to that price, and beyond it levels may be missing
//! or outdated until they change again.

mod grid;
mod half;
mod ladder;
mod near_far;

use half::Half;

/// Which side of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Those who buy; the highest price is the best.
    Bid,
    /// Those who sell; the lowest price is the best.
    Ask,
}

impl Side {
    /// The other side.
    pub const fn opposite(self) -> Self {
        match self {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        }
    }
}

/// A price level: mantissas at the instrument's scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level {
    /// Price mantissa; any sign.
    pub price: i64,
    /// Quantity mantissa; in a book always above zero.
    pub qty: i64,
}

/// How much a book may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Levels a side. Room for them is allocated when the book is made; 0 counts as 1.
    pub levels_max: usize,
}

impl Default for Limits {
    /// 16,384 a side: above the deepest snapshot of a built-in venue (Bybit's 10,000), and 256 KiB.
    fn default() -> Self {
        Self { levels_max: 16_384 }
    }
}

/// What an edit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Edit {
    /// What happened to the level.
    pub kind: EditKind,
    /// Whether this side's best level is now another one, in price or in quantity.
    pub touch: bool,
}

/// What an edit did to its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditKind {
    /// A new level.
    Inserted,
    /// A held level has a new quantity.
    Changed,
    /// A held level was sent again as it is.
    Unchanged,
    /// A held level was deleted.
    Removed,
    /// A level that is not held was deleted, which is normal: venues do send that.
    Absent,
    /// The level is among the worst of a full side and was not kept.
    Dropped,
    /// The quantity is below zero: nothing was changed, and the sender is wrong.
    Refused,
}

/// The best level of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Top {
    /// The highest bid.
    pub bid: Option<Level>,
    /// The lowest ask.
    pub ask: Option<Level>,
}

impl Top {
    /// How the two sides stand to each other.
    pub fn crossed(&self) -> Cross {
        match (self.bid, self.ask) {
            (Some(bid), Some(ask)) if bid.price > ask.price => Cross::Crossed,
            (Some(bid), Some(ask)) if bid.price == ask.price => Cross::Locked,
            _ => Cross::No,
        }
    }
}

/// Whether best bid and best ask leave room between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cross {
    /// The bid is below the ask, or a side is empty.
    No,
    /// Both have the same price.
    Locked,
    /// The bid is above the ask.
    Crossed,
}

/// Why a snapshot was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A quantity below zero.
    #[error("{side:?} level at price mantissa {price} has the negative quantity {qty}")]
    NegativeQty {
        /// Side of the level.
        side: Side,
        /// Its price mantissa.
        price: i64,
        /// Its quantity mantissa.
        qty: i64,
    },
}

/// An order book of one instrument and stream. See the [module](self) for how it is laid out.
#[derive(Clone, Debug)]
pub struct Book {
    bids: Half,
    asks: Half,
}

impl Default for Book {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Book {
    /// Asks for the memory that an edit near the touch needs: see [`prefetch`](mod@crate::prefetch). The book itself
    /// should have been asked for before.
    #[inline]
    pub fn prefetch(&self) {
        self.bids.levels.prefetch();
        self.asks.levels.prefetch();
    }

    /// An empty book; allocates all that it will ever need for edits. A snapshot that reaches further than any before
    /// allocates once more ([`Book::load`]).
    ///
    /// # Panics
    /// When the memory for the limits cannot be had. Limits are ours, never a peer's.
    pub fn new(limits: Limits) -> Self {
        let levels_max = limits.levels_max.max(1);
        Self {
            bids: Half::new(Side::Bid, levels_max),
            asks: Half::new(Side::Ask, levels_max),
        }
    }

    /// Forgets levels and watermarks; keeps the memory.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Sets the quantity at a price; zero deletes the level. Never allocates.
    ///
    /// A full side drops an eighth of its levels at once, from the worst end, and its watermark
    /// moves to the worst kept one; so a crowded side costs one long move now and then instead of
    /// one for each insert.
    #[inline]
    pub fn apply(&mut self, side: Side, price: i64, qty: i64) -> Edit {
        self.half_mut(side).apply(price, qty)
    }

    /// As [`Book::apply`] of each level in turn, and faster; gives whether the best level is another one than before
    /// any of them. Levels with a negative quantity are left out.
    #[inline]
    pub fn apply_all(&mut self, side: Side, levels: &[Level]) -> bool {
        self.half_mut(side).apply_all(levels)
    }

    /// Replaces the book by a snapshot: levels in any order, of a price sent twice the last counts,
    /// zero quantities are skipped. Watermarks are cleared first; a side longer than the cap keeps
    /// its best levels and gets a watermark. The caller sets one with [`Book::set_watermark`] when
    /// the venue cut the snapshot. On an error the book is empty.
    ///
    /// Fast for levels in the order venues send (best first) and for the reverse; sorts otherwise.
    pub fn load(&mut self, bids: &[Level], asks: &[Level]) -> Result<(), BookError> {
        self.clear();
        let loaded = self.bids.load(bids).and_then(|()| self.asks.load(asks));
        if loaded.is_err() {
            self.clear();
        }
        loaded
    }

    /// The best level of a side.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.half(side).levels.best()
    }

    /// The worst level held of a side: where a cut snapshot ends.
    pub fn worst(&self, side: Side) -> Option<Level> {
        self.half(side).levels.worst()
    }

    /// The best level of both sides.
    #[inline]
    pub fn top(&self) -> Top {
        Top {
            bid: self.best(Side::Bid),
            ask: self.best(Side::Ask),
        }
    }

    /// All levels held of a side, best first, those beyond the watermark included.
    pub fn levels(
        &self,
        side: Side,
    ) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone + '_ {
        self.half(side).levels.iter()
    }

    /// How many levels of a side are held.
    pub fn len(&self, side: Side) -> usize {
        self.half(side).levels.len()
    }

    /// Whether no level is held at all.
    pub fn is_empty(&self) -> bool {
        self.bids.levels.len() + self.asks.levels.len() == 0
    }

    /// The quantity at a price; `None` where no level is held.
    pub fn qty_at(&self, side: Side, price: i64) -> Option<i64> {
        self.half(side).qty_at(price)
    }

    /// How best bid and best ask stand to each other.
    pub fn crossed(&self) -> Cross {
        self.top().crossed()
    }

    /// Says to which price the venue's snapshot was complete; `None` when it held everything. What
    /// the book's own cap has cut stays cut: [`Book::watermark`] is the tighter of the two.
    pub fn set_watermark(&mut self, side: Side, price: Option<i64>) {
        self.half_mut(side).given = price;
    }

    /// The price to which this side is known to be complete; `None` when it is complete throughout.
    pub fn watermark(&self, side: Side) -> Option<i64> {
        self.half(side).watermark()
    }

    /// Whether fewer than `margin` levels are left from the touch to the watermark: time for a
    /// fresh snapshot. Never without a watermark. O(1).
    #[inline]
    pub fn touch_near_watermark(&self, side: Side, margin: usize) -> bool {
        self.half(side).touch_near_watermark(margin)
    }

    /// Whether the touch itself is unknown: there is a watermark, and no level left up to it.
    #[inline]
    pub fn touch_beyond_watermark(&self, side: Side) -> bool {
        self.touch_near_watermark(side, 1)
    }

    /// Names the first invariant that does not hold, if one does not: levels sorted, each price
    /// once, quantities above zero, no more than the cap. O(n), for tests, fuzzers and tools.
    pub fn broken_invariant(&self) -> Option<&'static str> {
        self.bids
            .broken_invariant()
            .or_else(|| self.asks.broken_invariant())
    }

    #[inline]
    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    #[inline]
    fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}

#[cfg(test)]
mod tests;
