//! [`Twin`]: the same book over a `BTreeMap`, slow and plain. For tests: it is the oracle that
//! [`Book`](crate::Book) is compared with, here and in fuzz targets.

use std::collections::BTreeMap;

use crate::{BookError, Cross, Edit, EditKind, Level, Limits, Side, Top};

/// A book that is easy to believe. Same methods and same results as [`Book`](crate::Book).
#[derive(Clone, Debug)]
pub struct Twin {
    bids: Half,
    asks: Half,
}

#[derive(Clone, Debug)]
struct Half {
    side: Side,
    levels: BTreeMap<i64, i64>,
    levels_max: usize,
    given: Option<i64>,
    cut: Option<i64>,
}

impl Twin {
    /// See [`Book::new`](crate::Book::new).
    pub fn new(limits: Limits) -> Self {
        let half = |side| Half {
            side,
            levels: BTreeMap::new(),
            levels_max: limits.levels_max.max(1),
            given: None,
            cut: None,
        };
        Self {
            bids: half(Side::Bid),
            asks: half(Side::Ask),
        }
    }

    /// See [`Book::clear`](crate::Book::clear).
    pub fn clear(&mut self) {
        for half in [&mut self.bids, &mut self.asks] {
            half.levels.clear();
            half.given = None;
            half.cut = None;
        }
    }

    /// See [`Book::apply`](crate::Book::apply).
    pub fn apply(&mut self, side: Side, price: i64, qty: i64) -> Edit {
        let before = self.best(side);
        let kind = self.half_mut(side).apply(price, qty);
        Edit {
            kind,
            touch: self.best(side) != before,
        }
    }

    /// See [`Book::load`](crate::Book::load).
    pub fn load(&mut self, bids: &[Level], asks: &[Level]) -> Result<(), BookError> {
        self.clear();
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            if let Some(&Level { price, qty }) = levels.iter().find(|level| level.qty < 0) {
                self.clear();
                return Err(BookError::NegativeQty { side, price, qty });
            }
            let half = self.half_mut(side);
            half.levels = levels
                .iter()
                .map(|level| (level.price, level.qty))
                .collect();
            half.levels.retain(|_, qty| *qty > 0);
            if half.levels.len() > half.levels_max {
                half.drop_worst(half.levels.len() - half.levels_max);
            }
        }
        Ok(())
    }

    /// See [`Book::best`](crate::Book::best).
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels(side).next()
    }

    /// See [`Book::worst`](crate::Book::worst).
    pub fn worst(&self, side: Side) -> Option<Level> {
        self.levels(side).next_back()
    }

    /// See [`Book::top`](crate::Book::top).
    pub fn top(&self) -> Top {
        Top {
            bid: self.best(Side::Bid),
            ask: self.best(Side::Ask),
        }
    }

    /// See [`Book::levels`](crate::Book::levels).
    pub fn levels(
        &self,
        side: Side,
    ) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + Clone + '_ {
        self.half(side).best_first().into_iter()
    }

    /// See [`Book::len`](crate::Book::len).
    pub fn len(&self, side: Side) -> usize {
        self.half(side).levels.len()
    }

    /// See [`Book::is_empty`](crate::Book::is_empty).
    pub fn is_empty(&self) -> bool {
        self.bids.levels.is_empty() && self.asks.levels.is_empty()
    }

    /// See [`Book::qty_at`](crate::Book::qty_at).
    pub fn qty_at(&self, side: Side, price: i64) -> Option<i64> {
        self.half(side).levels.get(&price).copied()
    }

    /// See [`Book::crossed`](crate::Book::crossed).
    pub fn crossed(&self) -> Cross {
        self.top().crossed()
    }

    /// See [`Book::set_watermark`](crate::Book::set_watermark).
    pub fn set_watermark(&mut self, side: Side, price: Option<i64>) {
        self.half_mut(side).given = price;
    }

    /// See [`Book::watermark`](crate::Book::watermark).
    pub fn watermark(&self, side: Side) -> Option<i64> {
        let half = self.half(side);
        let marks = half.given.into_iter().chain(half.cut);
        match side {
            Side::Bid => marks.max(),
            Side::Ask => marks.min(),
        }
    }

    /// See [`Book::touch_near_watermark`](crate::Book::touch_near_watermark).
    pub fn touch_near_watermark(&self, side: Side, margin: usize) -> bool {
        let Some(watermark) = self.watermark(side) else {
            return false;
        };
        let complete = self.levels(side).filter(|level| match side {
            Side::Bid => level.price >= watermark,
            Side::Ask => level.price <= watermark,
        });
        complete.count() < margin
    }

    /// See [`Book::touch_beyond_watermark`](crate::Book::touch_beyond_watermark).
    pub fn touch_beyond_watermark(&self, side: Side) -> bool {
        self.touch_near_watermark(side, 1)
    }

    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}

impl Half {
    fn best_first(&self) -> Vec<Level> {
        let level = |(&price, &qty): (&i64, &i64)| Level { price, qty };
        match self.side {
            Side::Bid => self.levels.iter().rev().map(level).collect(),
            Side::Ask => self.levels.iter().map(level).collect(),
        }
    }

    fn apply(&mut self, price: i64, qty: i64) -> EditKind {
        if qty < 0 {
            return EditKind::Refused;
        }
        if qty == 0 {
            let removed = self.levels.remove(&price).is_some();
            return if removed {
                EditKind::Removed
            } else {
                EditKind::Absent
            };
        }
        match self.levels.insert(price, qty) {
            Some(old) if old == qty => return EditKind::Unchanged,
            Some(_) => return EditKind::Changed,
            None => {}
        }
        if self.levels.len() > self.levels_max {
            // A level worse than all of a full side goes alone; a better one sends a chunk away.
            let is_worst = self
                .best_first()
                .last()
                .is_some_and(|level| level.price == price);
            self.drop_worst(if is_worst {
                1
            } else {
                (self.levels_max / 8).max(1)
            });
        }
        if self.levels.contains_key(&price) {
            EditKind::Inserted
        } else {
            EditKind::Dropped
        }
    }

    fn drop_worst(&mut self, count: usize) {
        for _ in 0..count {
            match self.side {
                Side::Bid => self.levels.pop_first(),
                Side::Ask => self.levels.pop_last(),
            };
        }
        let worst = self.best_first().last().map(|level| level.price);
        self.cut = match self.side {
            Side::Bid => self.cut.max(worst),
            Side::Ask => self.cut.into_iter().chain(worst).min(),
        };
    }
}
