//! One side of a [`Book`](super::Book).

use super::near_far::NearFar;
use super::{BookError, Edit, EditKind, Level, Side};

#[derive(Clone, Debug)]
pub(super) struct Half {
    side: Side,
    pub(super) levels: NearFar,
    levels_max: usize,
    /// Completeness as the connector gave it.
    pub(super) given: Option<i64>,
    /// Completeness as the cap left it.
    cut: Option<i64>,
}

impl Half {
    pub(super) fn new(side: Side, levels_max: usize) -> Self {
        let flip = match side {
            Side::Bid => 0,
            Side::Ask => -1,
        };
        Self {
            side,
            levels: NearFar::new(flip, levels_max),
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

    #[inline]
    fn key(&self, price: i64) -> i64 {
        self.levels.key(price)
    }

    /// Whether the best level is another one then. Quantities below zero are refused, each for itself.
    pub(super) fn apply_all(&mut self, levels: &[Level]) -> bool {
        let mut touch = false;
        for level in levels {
            touch |= self.apply(level.price, level.qty).touch;
        }
        touch
    }

    #[inline(always)]
    pub(super) fn apply(&mut self, price: i64, qty: i64) -> Edit {
        if qty < 0 {
            return Edit {
                kind: EditKind::Refused,
                touch: false,
            };
        }
        if self.levels.len() >= self.levels_max {
            return self.apply_to_full(price, qty);
        }
        self.edit(price, qty)
    }

    /// An edit that leaves no level too many.
    #[inline(always)]
    fn edit(&mut self, price: i64, qty: i64) -> Edit {
        let (was, touch) = self.levels.edit(price, qty);
        let kind = match (was, qty) {
            (0, 0) => EditKind::Absent,
            (0, _) => EditKind::Inserted,
            (_, 0) => EditKind::Removed,
            _ if was == qty => EditKind::Unchanged,
            _ => EditKind::Changed,
        };
        Edit { kind, touch }
    }

    /// A side that has as many levels as it may.
    #[cold]
    fn apply_to_full(&mut self, price: i64, qty: i64) -> Edit {
        let key = self.key(price);
        let is_new = qty > 0 && self.levels.qty_at(price) == 0;
        let worst = self.levels.worst();
        if is_new && worst.is_some_and(|worst| key < self.key(worst.price)) {
            self.cut_at_worst();
            return Edit {
                kind: EditKind::Dropped,
                touch: false,
            };
        }
        let Edit { kind, touch } = self.edit(price, qty);
        let kind = if is_new {
            self.drop_excess(price)
        } else {
            kind
        };
        Edit { kind, touch }
    }

    pub(super) fn load(&mut self, levels: &[Level]) -> Result<(), BookError> {
        if let Some(Level { price, qty }) = levels.iter().find(|level| level.qty < 0).copied() {
            return Err(BookError::NegativeQty {
                side: self.side,
                price,
                qty,
            });
        }
        let key = |level: &Level| self.levels.key(level.price);
        if levels.is_sorted_by(|left, right| key(left) > key(right)) {
            self.fill(levels.iter().rev());
        } else if levels.is_sorted_by(|left, right| key(left) < key(right)) {
            self.fill(levels.iter());
        } else {
            // The sort is stable and the order is reversed, so the last of equals comes first, and
            // `dedup` keeps the first.
            let mut sorted: Vec<Level> = levels.iter().rev().copied().collect();
            sorted.sort_by_key(key);
            sorted.dedup_by_key(|level| level.price);
            self.fill(sorted.iter());
        }
        Ok(())
    }

    /// Takes levels, worst first, of which those that do not fit are the first.
    fn fill<'a>(&mut self, levels: impl Iterator<Item = &'a Level> + Clone) {
        let held = levels.filter(|level| level.qty > 0);
        let excess = held.clone().count().saturating_sub(self.levels_max);
        self.levels.fill(held.skip(excess).copied());
        if excess > 0 {
            self.cut_at_worst();
        }
    }

    pub(super) fn qty_at(&self, price: i64) -> Option<i64> {
        Some(self.levels.qty_at(price)).filter(|qty| *qty > 0)
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
        let Some(better) = margin.checked_sub(1) else {
            return false;
        };
        // The levels are sorted: if the margin-th best is complete, so are the better ones.
        let level = match better {
            0 => self.levels.best(),
            better => self.levels.nth_best(better),
        };
        match level {
            Some(level) => self.key(level.price) < self.key(watermark),
            None => true,
        }
    }

    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        if self.levels.len() > self.levels_max {
            return Some("more levels than the cap");
        }
        let levels = self.levels.iter();
        if levels.clone().any(|level| level.qty <= 0) {
            return Some("a quantity that is not above zero");
        }
        if !levels.is_sorted_by(|left, right| self.key(left.price) > self.key(right.price)) {
            return Some("levels out of order or a price twice");
        }
        self.levels.broken_invariant()
    }

    /// Drops the worst levels of a side that is too long, and says whether the one at `price`, which
    /// is new, was among them.
    fn drop_excess(&mut self, price: i64) -> EditKind {
        self.levels.drop_worst((self.levels_max / 8).max(1));
        self.cut_at_worst();
        match self.levels.worst() {
            Some(worst) if self.key(worst.price) <= self.key(price) => EditKind::Inserted,
            _ => EditKind::Dropped,
        }
    }

    /// Levels were dropped: the side is complete to the worst that is left, and no further than it
    /// was before.
    fn cut_at_worst(&mut self) {
        let Some(worst) = self.levels.worst() else {
            return;
        };
        let key = self.key(worst.price);
        if self.cut.is_none_or(|cut| self.key(cut) < key) {
            self.cut = Some(worst.price);
        }
    }
}
