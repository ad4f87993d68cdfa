//! The levels of one side: those near the touch in a [`Grid`], the others in a [`Ladder`].
//!
//! Every level of the ladder is worse than the window of the grid. Where the touch leaves the window, that is moved or
//! laid anew, which costs a step for each of its levels and is seldom: a quarter of the window is above the best
//! level when it is laid. Without a window (prices that are beyond all reason) the ladder has all levels.

use super::Level;
use super::grid::{Grid, Where, common_divisor, tick_among};
use super::ladder::{Found, Ladder};

/// So many edits below the window, and it is asked whether it could be lower.
const OUTSIDE_MAX: u32 = 1 << 8;

#[derive(Clone, Debug)]
pub(super) struct NearFar {
    /// Turns a price into its key, which grows towards the best: all ones on the ask side.
    flip: i64,
    near: Grid,
    far: Ladder,
    /// Edits below the window since it was laid.
    outside: u32,
}

impl NearFar {
    /// Room for `levels_max` levels.
    pub(super) fn new(flip: i64, levels_max: usize) -> NearFar {
        NearFar {
            flip,
            near: Grid::new(levels_max),
            far: Ladder::new(flip, levels_max),
            outside: 0,
        }
    }

    /// Asks for the levels near the touch.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.near.prefetch();
    }

    /// A price as a key. `!price` reverses the order of all of `i64` without the overflow that
    /// `-price` has.
    #[inline(always)]
    pub(super) const fn key(&self, price: i64) -> i64 {
        price ^ self.flip
    }

    #[inline(always)]
    const fn level(&self, (key, qty): (i64, i64)) -> Level {
        Level {
            price: key ^ self.flip,
            qty,
        }
    }

    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.near.len() + self.far.len()
    }

    pub(super) fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
        self.outside = 0;
    }

    /// The best level.
    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        match self.near.best() {
            Some(level) => Some(self.level(level)),
            None => self.far.best(),
        }
    }

    /// The worst level.
    pub(super) fn worst(&self) -> Option<Level> {
        let near = || Some(self.level(self.near.worst()?));
        self.far.worst().or_else(near)
    }

    /// The level with `better` levels better than it.
    pub(super) fn nth_best(&self, better: usize) -> Option<Level> {
        match better.checked_sub(self.near.len()) {
            Some(better) => self.far.nth_best(better),
            None => Some(self.level(self.near.nth_best(better)?)),
        }
    }

    /// All levels, best first.
    #[inline]
    pub(super) fn iter(&self) -> Listed<impl DoubleEndedIterator<Item = Level> + Clone + '_> {
        let near = self.near.iter().map(|level| self.level(level));
        Listed {
            inner: near.chain(self.far.iter()),
            left: self.len(),
        }
    }

    /// The quantity at a price; zero where there is no level.
    pub(super) fn qty_at(&self, price: i64) -> i64 {
        let key = self.key(price);
        match self.near.place(key) {
            Where::Here(place) => self.near.qty(place),
            Where::Between(_) | Where::Above => 0,
            Where::Below => match self.far.find(self.far.row_of(key), key) {
                Found::Level(_, qty) => qty,
                Found::Nothing(_) => 0,
            },
        }
    }

    /// Gives a price a quantity, zero to delete it; gives the quantity that it had, and whether the best level is
    /// another one then.
    #[inline(always)]
    pub(super) fn edit(&mut self, price: i64, qty: i64) -> (i64, bool) {
        let key = self.key(price);
        let Where::Here(place) = self.near.place(key) else {
            return self.edit_outside(key, qty);
        };
        let (was, touch) = self.near.edit(place, qty);
        if touch && self.near.len() == 0 {
            self.sink();
        }
        (was, touch)
    }

    /// An edit of a price that has no place.
    #[cold]
    #[inline(never)]
    fn edit_outside(&mut self, key: i64, qty: i64) -> (i64, bool) {
        if qty > 0 {
            self.let_in(key);
            // With a smaller tick the window may end below it.
            while matches!(self.near.place(key), Where::Between(_) | Where::Above) {
                self.let_in(key);
            }
        }
        match self.near.place(key) {
            Where::Here(place) => self.near.edit(place, qty),
            Where::Below => self.edit_far(key, qty),
            // Only what is deleted has found no place.
            Where::Between(_) | Where::Above => (0, false),
        }
    }

    /// Makes a place for a key in the window, or sees to it that there is none for it.
    fn let_in(&mut self, key: i64) {
        match self.near.place(key) {
            Where::Here(_) => {}
            Where::Between(tick) => self.lay(self.best_key(), tick),
            Where::Above => {
                let far = &mut self.far;
                let risen = self.near.rise(key, |key, qty| insert(far, key, qty));
                if risen.is_none() {
                    let step = self.near.best().map_or(0, |(best, _)| key.abs_diff(best));
                    self.lay(key, common_divisor(self.near.tick(), step));
                }
            }
            Where::Below if self.len() == 0 => self.lay(key, self.near.tick()),
            Where::Below => {
                self.outside += 1;
                if self.outside > OUTSIDE_MAX && self.near.is_laid() {
                    self.outside = 0;
                    if self.near.is_low() {
                        self.lay(self.best_key(), self.near.tick());
                    }
                }
            }
        }
    }

    fn best_key(&self) -> i64 {
        self.best().map_or(0, |best| self.key(best.price))
    }

    /// An edit where there is no window.
    fn edit_far(&mut self, key: i64, qty: i64) -> (i64, bool) {
        let alone = self.near.len() == 0;
        match self.far.find(self.far.row_of(key), key) {
            Found::Level(place, was) => {
                let touch = self.far.set(place, was, qty);
                (was, touch & alone)
            }
            Found::Nothing(_) if qty == 0 => (0, false),
            Found::Nothing(place) => {
                let touch = self.far.is_behind_all(place);
                self.far.insert(place, key, qty);
                (0, touch & alone)
            }
        }
    }

    /// The window is empty: it goes to where the levels are.
    #[cold]
    #[inline(never)]
    fn sink(&mut self) {
        if let Some(best) = self.far.best() {
            self.lay(self.key(best.price), self.near.tick());
        }
    }

    /// Moves all levels out of the window.
    fn retreat(&mut self) {
        while let Some((key, qty)) = self.near.take_worst() {
            insert(&mut self.far, key, qty);
        }
    }

    /// Lays the window for a best level with this key, and moves the levels into it that it has places for.
    fn lay(&mut self, best: i64, tick: u64) {
        self.outside = 0;
        let mut tick = tick;
        loop {
            self.retreat();
            if !self.near.lay(best, tick) {
                return;
            }
            match self.advance() {
                None => return,
                // Ever smaller, and 1 is no level's end.
                Some(smaller) => tick = smaller,
            }
        }
    }

    /// Moves levels into the window; where one is between ticks, gives the tick that would have it.
    fn advance(&mut self) -> Option<u64> {
        let (mut taken, mut finer) = (0, None);
        for level in self.far.iter() {
            match self.near.place(level.price ^ self.flip) {
                Where::Here(place) => {
                    self.near.edit(place, level.qty);
                    taken += 1;
                }
                Where::Between(tick) => {
                    finer = Some(tick);
                    break;
                }
                Where::Below | Where::Above => break,
            }
        }
        if taken == self.far.len() {
            self.far.clear();
        } else {
            for _ in 0..taken {
                self.drop_best_far();
            }
        }
        finer
    }

    fn drop_best_far(&mut self) {
        if let Some(best) = self.far.best()
            && let Found::Level(place, was) =
                self.far.find(self.far.last_row(), self.key(best.price))
        {
            self.far.set(place, was, 0);
        }
    }

    /// Removes the `count` worst levels; fewer than there are.
    pub(super) fn drop_worst(&mut self, count: usize) {
        let far = count.min(self.far.len());
        if far == self.far.len() {
            self.far.clear();
        } else {
            self.far.drop_worst(far);
        }
        for _ in far..count {
            self.near.take_worst();
        }
    }

    /// Replaces all by levels that come worst first.
    pub(super) fn fill(&mut self, levels: impl Iterator<Item = Level> + Clone) {
        self.clear();
        let (Some(worst), Some(best)) = (levels.clone().next(), levels.clone().last()) else {
            return;
        };
        let tick = tick_among(levels.clone());
        let (worst, best) = (self.key(worst.price), self.key(best.price));
        if !self.near.lay_for(best, worst, tick) {
            return self.far.fill(levels);
        }
        let flip = self.flip;
        let near = &self.near;
        let is_far = |level: &Level| near.place(level.price ^ flip) == Where::Below;
        self.far.fill(levels.clone().take_while(is_far));
        for level in levels.skip(self.far.len()) {
            if let Where::Here(place) = self.near.place(self.key(level.price)) {
                self.near.edit(place, level.qty);
            }
        }
    }

    /// Names the first rule of its own that does not hold.
    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        if let Some(best) = self.far.best()
            && self.near.place(self.key(best.price)) != Where::Below
        {
            return Some("a level that should be in the window");
        }
        if self.near.is_laid() && self.near.len() == 0 && self.far.len() > 0 {
            return Some("a window without levels");
        }
        self.near
            .broken_invariant()
            .or_else(|| self.far.broken_invariant())
    }

    /// Whether all that was allocated for the far levels is what a new one allocates.
    #[cfg(test)]
    pub(super) fn is_within(&self, levels_max: usize) -> bool {
        self.far.is_within(levels_max)
    }
}

/// Inserts a level that is not there.
fn insert(far: &mut Ladder, key: i64, qty: i64) {
    match far.find(far.last_row(), key) {
        Found::Level(place, was) => {
            far.set(place, was, qty);
        }
        Found::Nothing(place) => far.insert(place, key, qty),
    }
}

/// The levels of a side, with how many are left.
#[derive(Clone, Debug)]
pub(super) struct Listed<I> {
    inner: I,
    left: usize,
}

impl<I: Iterator<Item = Level>> Iterator for Listed<I> {
    type Item = Level;

    #[inline]
    fn next(&mut self) -> Option<Level> {
        let level = self.inner.next()?;
        self.left -= 1;
        Some(level)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: DoubleEndedIterator<Item = Level>> DoubleEndedIterator for Listed<I> {
    #[inline]
    fn next_back(&mut self) -> Option<Level> {
        let level = self.inner.next_back()?;
        self.left -= 1;
        Some(level)
    }
}

impl<I: Iterator<Item = Level>> ExactSizeIterator for Listed<I> {}
