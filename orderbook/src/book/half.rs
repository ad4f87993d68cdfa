//! One side of a [`Book`](super::Book).

use super::{BookError, Edit, EditKind, Level, Side};

/// How many levels are looked at one by one from the touch before the search halves the rest: most
/// edits are this close, and a predicted compare is cheaper than a missed one of a binary search.
const LINEAR_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Half {
    side: Side,
    /// All ones on the ask side, so that [`Half::key`] needs no branch.
    flip: i64,
    /// Sorted by [`Half::key`], so that the worst is first and the best is last.
    pub(super) levels: Vec<Level>,
    levels_max: usize,
    /// Completeness as the connector gave it.
    pub(super) given: Option<i64>,
    /// Completeness as the cap left it.
    cut: Option<i64>,
}

impl Half {
    pub(super) fn new(side: Side, levels_max: usize) -> Self {
        // One more: a level is inserted before the worst are dropped.
        let levels = Vec::with_capacity(levels_max.saturating_add(1));
        let flip = match side {
            Side::Bid => 0,
            Side::Ask => -1,
        };
        Self {
            side,
            flip,
            levels,
            levels_max,
            given: None,
            cut: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
        self.given = None;
        self.cut = None;
    }

    /// A price as a key that grows towards the best. `!price` reverses the order of all of `i64`
    /// without the overflow that `-price` has.
    #[inline]
    fn key(&self, price: i64) -> i64 {
        price ^ self.flip
    }

    #[inline]
    pub(super) fn apply(&mut self, price: i64, qty: i64) -> Edit {
        if qty < 0 {
            return Edit {
                kind: EditKind::Refused,
                touch: false,
            };
        }
        match self.search(price) {
            Ok(index) => {
                let at_touch = index + 1 == self.levels.len();
                if qty == 0 {
                    self.levels.remove(index);
                    return Edit {
                        kind: EditKind::Removed,
                        touch: at_touch,
                    };
                }
                let level = &mut self.levels[index];
                if level.qty == qty {
                    return Edit {
                        kind: EditKind::Unchanged,
                        touch: false,
                    };
                }
                level.qty = qty;
                Edit {
                    kind: EditKind::Changed,
                    touch: at_touch,
                }
            }
            Err(_) if qty == 0 => Edit {
                kind: EditKind::Absent,
                touch: false,
            },
            Err(0) if self.levels.len() >= self.levels_max => {
                self.cut_at_worst();
                Edit {
                    kind: EditKind::Dropped,
                    touch: false,
                }
            }
            Err(index) => {
                let touch = index == self.levels.len();
                self.levels.insert(index, Level { price, qty });
                let dropped = self.drop_excess();
                let kind = if index < dropped {
                    EditKind::Dropped
                } else {
                    EditKind::Inserted
                };
                Edit { kind, touch }
            }
        }
    }

    pub(super) fn load(&mut self, levels: &[Level]) -> Result<(), BookError> {
        if let Some(Level { price, qty }) = levels.iter().find(|level| level.qty < 0).copied() {
            return Err(BookError::NegativeQty {
                side: self.side,
                price,
                qty,
            });
        }
        self.levels.extend_from_slice(levels);
        self.order();
        self.levels.retain(|level| level.qty > 0);
        let excess = self.levels.len().saturating_sub(self.levels_max);
        if excess > 0 {
            self.levels.drain(..excess);
            self.cut_at_worst();
        }
        // A snapshot longer than the cap made the vector grow; that memory is not kept.
        self.levels.shrink_to(self.levels_max.saturating_add(1));
        Ok(())
    }

    pub(super) fn qty_at(&self, price: i64) -> Option<i64> {
        let index = self.search(price).ok()?;
        self.levels.get(index).map(|level| level.qty)
    }

    /// The tighter of what the connector gave and what the cap left.
    pub(super) fn watermark(&self) -> Option<i64> {
        match (self.given, self.cut) {
            (Some(given), Some(cut)) if self.key(cut) > self.key(given) => Some(cut),
            (Some(given), _) => Some(given),
            (None, cut) => cut,
        }
    }

    #[inline]
    pub(super) fn touch_near_watermark(&self, margin: usize) -> bool {
        let Some(watermark) = self.watermark() else {
            return false;
        };
        if margin == 0 {
            return false;
        }
        // The levels are sorted: if the margin-th best is complete, so are the better ones.
        match self
            .levels
            .len()
            .checked_sub(margin)
            .and_then(|index| self.levels.get(index))
        {
            Some(level) => self.key(level.price) < self.key(watermark),
            None => true,
        }
    }

    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        if self.levels.len() > self.levels_max {
            return Some("more levels than the cap");
        }
        if self.levels.iter().any(|level| level.qty <= 0) {
            return Some("a quantity that is not above zero");
        }
        if !self.is_ordered() {
            return Some("levels out of order or a price twice");
        }
        None
    }

    /// Where the price is, or where it would have to be inserted.
    #[inline]
    fn search(&self, price: i64) -> Result<usize, usize> {
        let key = self.key(price);
        let split = self.levels.len().saturating_sub(LINEAR_MAX);
        let (far, near) = self.levels.split_at(split);
        for (offset, level) in near.iter().enumerate().rev() {
            let other = self.key(level.price);
            if other <= key {
                let index = split + offset;
                return if other == key {
                    Ok(index)
                } else {
                    Err(index + 1)
                };
            }
        }
        far.binary_search_by_key(&key, |level| self.key(level.price))
    }

    /// Drops the worst levels of a side that is too long and returns how many.
    #[inline]
    fn drop_excess(&mut self) -> usize {
        if self.levels.len() <= self.levels_max {
            return 0;
        }
        let count = (self.levels_max / 8).max(1);
        self.levels.drain(..count);
        self.cut_at_worst();
        count
    }

    /// Levels were dropped: the side is complete to the worst that is left, and no further than it
    /// was before.
    fn cut_at_worst(&mut self) {
        let Some(worst) = self.levels.first() else {
            return;
        };
        let key = self.key(worst.price);
        if self.cut.is_none_or(|cut| self.key(cut) < key) {
            self.cut = Some(worst.price);
        }
    }

    /// Brings levels in any order into ours; of a price sent twice the last is kept.
    fn order(&mut self) {
        if self.is_ordered() {
            return;
        }
        self.levels.reverse();
        if self.is_ordered() {
            return;
        }
        // The sort is stable and the order is reversed, so the last of equals comes first, and
        // `dedup` keeps the first.
        let flip = self.flip;
        self.levels.sort_by_key(|level| level.price ^ flip);
        self.levels.dedup_by_key(|level| level.price);
    }

    fn is_ordered(&self) -> bool {
        self.levels
            .is_sorted_by(|left, right| self.key(left.price) < self.key(right.price))
    }
}

impl Clone for Half {
    /// Keeps the capacity, which a derived one would cut to the length: a clone's edits do not
    /// allocate either.
    fn clone(&self) -> Self {
        let mut half = Self::new(self.side, self.levels_max);
        half.levels.extend_from_slice(&self.levels);
        half.given = self.given;
        half.cut = self.cut;
        half
    }
}
