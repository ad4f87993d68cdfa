//! One side of a [`Book`](super::Book).

use super::ladder::Ladder;
use super::{BookError, Edit, EditKind, Level, Side};

#[derive(Clone, Debug)]
pub(super) struct Half {
    side: Side,
    pub(super) levels: Ladder,
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
            levels: Ladder::new(flip, levels_max),
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

    #[inline]
    pub(super) fn apply(&mut self, price: i64, qty: i64) -> Edit {
        if qty < 0 {
            return Edit {
                kind: EditKind::Refused,
                touch: false,
            };
        }
        match self.levels.search(self.key(price)) {
            Ok(place) => {
                let touch = self.levels.is_best(place);
                if qty == 0 {
                    self.levels.remove(place);
                    return Edit {
                        kind: EditKind::Removed,
                        touch,
                    };
                }
                let held = self.levels.qty_mut(place);
                if *held == qty {
                    return Edit {
                        kind: EditKind::Unchanged,
                        touch: false,
                    };
                }
                *held = qty;
                Edit {
                    kind: EditKind::Changed,
                    touch,
                }
            }
            Err(_) if qty == 0 => Edit {
                kind: EditKind::Absent,
                touch: false,
            },
            Err(place)
                if self.levels.is_before_all(place) && self.levels.len() >= self.levels_max =>
            {
                self.cut_at_worst();
                Edit {
                    kind: EditKind::Dropped,
                    touch: false,
                }
            }
            Err(place) => {
                let touch = self.levels.is_behind_all(place);
                self.levels.insert(place, Level { price, qty });
                let kind = if self.levels.len() > self.levels_max {
                    self.drop_excess(price)
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
        let place = self.levels.search(self.key(price)).ok()?;
        Some(self.levels.qty(place))
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
        match self.levels.nth_best(better) {
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
    #[cold]
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
