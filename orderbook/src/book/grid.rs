//! Levels near the touch, a place for each tick: the price itself says where its level is. Nothing is searched and
//! nothing is moved, and whether an edit inserts, changes or deletes makes no branch. Bits say which places are
//! taken, for who walks over the levels.
//!
//! The places are a ring over a window of prices. The window has a tick, the greatest that all its prices are
//! multiples of from its lowest on; a price between two ticks has to be let in by a [`Grid::lay`] with a smaller one.

use super::Level;
use crate::prefetch::prefetch;

/// Places of a word of bits.
const WORD: usize = 64;

/// Fewest and most places of a window: 2^18 ticks are 2,621 dollars of BTC/USDT, and 2 MiB where all are used.
const PLACES_MIN: usize = 1 << 10;
const PLACES_MAX: usize = 1 << 18;

/// A window is so many times as long as the snapshot that it is laid for. Of BTC/USDT's edits half are further away than
/// a snapshot of a thousand levels goes. What is not used of it is never touched.
const BEYOND: usize = 8;

/// Products with the inverse are exact up to this tick. Coarser lattices are taken for finer ones.
const TICK_MAX: u64 = 1 << 22;

/// Levels behind the best that are asked for with it: a line of them.
const NEIGHBOURS: usize = 8;

/// Keys beyond have no place: no sum of them and a window overflows.
const KEY_MAX: i64 = 1 << 61;

/// The window of one side.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// Key of the lowest place.
    low: i64,
    /// Keys from `low` on that have places; 0 where there is no window.
    span: u64,
    tick: u64,
    /// 2^63 by the tick, rounded up.
    inverse: u64,
    /// Where in the ring the lowest place is: a whole number of words.
    turn: usize,
    mask: usize,
    len: usize,
    /// The best level's place, counted from the lowest; -1 where there is none.
    best: i64,
    /// Room was made for a snapshot.
    has_room: bool,
    qtys: Vec<i64>,
    /// A bit for each place of the ring: whether it has a level.
    words: Vec<u64>,
    /// A bit for each word: whether it has any.
    sums: Vec<u64>,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// To this place.
    Here(usize),
    /// Between two ticks: all of the window and this are multiples of this tick.
    Between(u64),
    /// Above the window.
    Above,
    /// Below the window, or there is none.
    Below,
}

const fn low_bits(count: usize) -> u64 {
    (1 << count) - 1
}

/// The highest bit that is set.
const fn highest(bits: u64) -> Option<usize> {
    match bits.checked_ilog2() {
        Some(bit) => Some(bit as usize),
        None => None,
    }
}

/// The lowest bit that is set.
const fn lowest(bits: u64) -> Option<usize> {
    if bits == 0 {
        None
    } else {
        Some(bits.trailing_zeros() as usize)
    }
}

pub(super) const fn common_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// A divisor of `tick` that a window can have.
const fn tick_of(mut tick: u64) -> u64 {
    while tick > TICK_MAX {
        tick = match tick {
            _ if tick.is_multiple_of(10) => tick / 10,
            _ if tick.is_multiple_of(2) => tick / 2,
            _ if tick.is_multiple_of(5) => tick / 5,
            _ => 1,
        };
    }
    if tick == 0 { 1 } else { tick }
}

impl Grid {
    /// No window yet.
    pub(super) fn new(levels_max: usize) -> Grid {
        let mut grid = Grid {
            low: 0,
            span: 0,
            tick: 1,
            inverse: 1 << 63,
            turn: 0,
            mask: 0,
            len: 0,
            best: -1,
            has_room: false,
            qtys: Vec::new(),
            words: Vec::new(),
            sums: Vec::new(),
        };
        grid.make_room(levels_max.saturating_mul(2).min(4 * PLACES_MIN));
        grid
    }

    /// Asks for the best level and those next to it, and for their bits.
    #[inline]
    pub(super) fn prefetch(&self) {
        let slot = self.ring(self.best.max(0) as usize);
        let word = slot / WORD;
        if let (Some(qtys), Some(bits), Some(sum)) = (
            self.qtys.get(slot.saturating_sub(NEIGHBOURS)..=slot),
            self.words.get(word),
            self.sums.get(word / WORD),
        ) {
            prefetch(qtys);
            prefetch(bits);
            prefetch(sum);
        }
    }

    /// Room for a window of so many places, as far as a window may go. There are no levels.
    fn make_room(&mut self, places: usize) {
        let places = places.clamp(PLACES_MIN, PLACES_MAX).next_power_of_two();
        if places > self.qtys.len() {
            self.mask = places - 1;
            self.qtys = vec![0; places];
            self.words = vec![0; places / WORD];
            self.sums = vec![0; places.div_ceil(WORD * WORD)];
        }
    }

    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is a window.
    #[inline(always)]
    pub(super) const fn is_laid(&self) -> bool {
        self.span != 0
    }

    /// Forgets the levels and the window.
    pub(super) fn clear(&mut self) {
        let mut place = self.best_place();
        while let Some(at) = place {
            self.set(at, 0);
            place = self.below(at);
        }
        self.best = -1;
        self.span = 0;
    }

    /// Where a key belongs.
    #[inline(always)]
    pub(super) fn place(&self, key: i64) -> Where {
        let above = (key as u64).wrapping_sub(self.low as u64);
        if above >= self.span {
            return if self.span != 0 && key > self.low {
                Where::Above
            } else {
                Where::Below
            };
        }
        let at = ((u128::from(above) * u128::from(self.inverse)) >> 63) as u64;
        if at * self.tick == above {
            Where::Here(at as usize)
        } else {
            Where::Between(common_divisor(self.tick, above))
        }
    }

    #[inline(always)]
    const fn key_at(&self, place: usize) -> i64 {
        self.low + (place as u64 * self.tick) as i64
    }

    #[inline(always)]
    const fn ring(&self, place: usize) -> usize {
        (self.turn + place) & self.mask
    }

    #[inline(always)]
    const fn unring(&self, slot: usize) -> usize {
        slot.wrapping_sub(self.turn) & self.mask
    }

    /// The quantity at a place; zero where there is no level.
    #[inline(always)]
    pub(super) fn qty(&self, place: usize) -> i64 {
        let slot = self.ring(place);
        self.qtys.get(slot).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn level(&self, place: usize) -> (i64, i64) {
        (self.key_at(place), self.qty(place))
    }

    #[inline(always)]
    fn best_place(&self) -> Option<usize> {
        usize::try_from(self.best).ok()
    }

    /// Key and quantity of the best level.
    #[inline(always)]
    pub(super) fn best(&self) -> Option<(i64, i64)> {
        Some(self.level(self.best_place()?))
    }

    /// Key and quantity of the worst level.
    pub(super) fn worst(&self) -> Option<(i64, i64)> {
        Some(self.level(self.worst_place()?))
    }

    fn worst_place(&self) -> Option<usize> {
        (self.len > 0).then(|| {
            if self.qty(0) == 0 {
                self.above(0)
            } else {
                Some(0)
            }
        })?
    }

    /// Key and quantity of the level with `better` levels better than it.
    pub(super) fn nth_best(&self, better: usize) -> Option<(i64, i64)> {
        let mut place = self.best_place()?;
        let mut left = better;
        loop {
            // The levels of this word that are not better than this place.
            let slot = self.ring(place);
            let mut word = self.words.get(slot / WORD)? & (u64::MAX >> (WORD - 1 - slot % WORD));
            let count = word.count_ones() as usize;
            if left < count {
                for _ in 0..left {
                    word &= !(1 << highest(word)?);
                }
                let slot = slot / WORD * WORD + highest(word)?;
                return Some(self.level(self.unring(slot)));
            }
            left -= count;
            place = self.below(self.unring(slot / WORD * WORD))?;
        }
    }

    /// Gives a place a quantity; gives the one that it had, and whether the best level is another one then.
    #[inline(always)]
    pub(super) fn edit(&mut self, place: usize, qty: i64) -> (i64, bool) {
        let was = self.set(place, qty);
        if (place as i64) < self.best {
            return (was, false);
        }
        (was, self.edit_touch(place, was, qty))
    }

    fn edit_touch(&mut self, place: usize, was: i64, qty: i64) -> bool {
        if qty != 0 {
            self.best = place as i64;
        } else if place as i64 == self.best {
            self.best = self.below(place).map_or(-1, |place| place as i64);
        }
        was != qty
    }

    /// As [`edit`](Grid::edit), but for which level is the best.
    #[inline(always)]
    fn set(&mut self, place: usize, qty: i64) -> i64 {
        let slot = self.ring(place);
        let (word, bit) = (slot / WORD, slot % WORD);
        let Some(held) = self.qtys.get_mut(slot) else {
            return 0;
        };
        let was = core::mem::replace(held, qty);
        // Always written, so that there is nothing to foresee.
        let (Some(bits), Some(sum)) = (self.words.get_mut(word), self.sums.get_mut(word / WORD))
        else {
            return was;
        };
        *bits = (*bits & !(1 << bit)) | u64::from(qty != 0) << bit;
        let bit = word % WORD;
        *sum = (*sum & !(1 << bit)) | u64::from(*bits != 0) << bit;
        self.len = self.len + usize::from(qty != 0) - usize::from(was != 0);
        was
    }

    /// The next place below that has a level.
    fn below(&self, place: usize) -> Option<usize> {
        let slot = self.ring(place);
        let word = slot / WORD;
        let here = self.words.get(word)? & low_bits(slot % WORD);
        let found = match highest(here) {
            Some(bit) => word * WORD + bit,
            None => {
                let word = self.word_below(word)?;
                word * WORD + highest(*self.words.get(word)?)?
            }
        };
        Some(self.unring(found)).filter(|found| *found < place)
    }

    /// The next place above that has a level.
    fn above(&self, place: usize) -> Option<usize> {
        let slot = self.ring(place);
        let (word, bit) = (slot / WORD, slot % WORD);
        let here = self.words.get(word)? & !low_bits(bit) & !(1 << bit);
        let found = match lowest(here) {
            Some(bit) => word * WORD + bit,
            None => {
                let word = self.word_above(word)?;
                word * WORD + lowest(*self.words.get(word)?)?
            }
        };
        Some(self.unring(found)).filter(|found| *found > place)
    }

    /// The next word below in the ring that has a level; at last this one.
    fn word_below(&self, word: usize) -> Option<usize> {
        let (start, bit) = (word / WORD, word % WORD);
        if let Some(bit) = highest(self.sums.get(start)? & low_bits(bit)) {
            return Some(start * WORD + bit);
        }
        let around = (0..start).rev().chain((start..self.sums.len()).rev());
        around
            .filter_map(|sum| Some((sum, highest(*self.sums.get(sum)?)?)))
            .map(|(sum, bit)| sum * WORD + bit)
            .next()
    }

    /// The next word above in the ring that has a level; at last this one.
    fn word_above(&self, word: usize) -> Option<usize> {
        let (start, bit) = (word / WORD, word % WORD);
        if let Some(bit) = lowest(self.sums.get(start)? & !low_bits(bit) & !(1 << bit)) {
            return Some(start * WORD + bit);
        }
        let around = (start + 1..self.sums.len()).chain(0..=start);
        around
            .filter_map(|sum| Some((sum, lowest(*self.sums.get(sum)?)?)))
            .map(|(sum, bit)| sum * WORD + bit)
            .next()
    }

    /// A window for a best level with this key and ticks no coarser than `tick`, with a quarter of its places above it.
    /// False where the key can have none. There are no levels.
    pub(super) fn lay(&mut self, best: i64, tick: u64) -> bool {
        debug_assert_eq!(self.len, 0, "levels would be elsewhere");
        self.best = -1;
        self.span = 0;
        if !(-KEY_MAX..=KEY_MAX).contains(&best) {
            return false;
        }
        self.tick = tick_of(tick);
        self.inverse = (1u64 << 63).div_ceil(self.tick);
        let places = self.qtys.len();
        self.turn = 0;
        self.low = best - ((places / 4 * 3) as u64 * self.tick) as i64;
        self.span = places as u64 * self.tick;
        true
    }

    /// Makes room for levels from `worst` to `best` and lays a window for them: see [`lay`](Grid::lay). There are no
    /// levels.
    pub(super) fn lay_for(&mut self, best: i64, worst: i64, tick: u64) -> bool {
        let ticks = best.abs_diff(worst) / tick_of(tick);
        let ticks = usize::try_from(ticks).unwrap_or(usize::MAX);
        // The next snapshots are like the first, but for their tick now and then: they get no more than they need.
        if !self.has_room || self.qtys.len() < ticks.saturating_mul(2) {
            self.has_room = true;
            self.make_room(ticks.saturating_mul(BEYOND));
        }
        self.lay(best, tick)
    }

    /// The tick of the window.
    pub(super) const fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether the best level is so low that the window would better be laid anew.
    pub(super) const fn is_low(&self) -> bool {
        self.best * 2 < self.qtys.len() as i64
    }

    /// Moves the window up so that `key`, which is above it, is where a best level is; `None` where it is too far, or
    /// between ticks. Its lowest levels fall out: `out` takes them, the worst first.
    pub(super) fn rise(&mut self, key: i64, mut out: impl FnMut(i64, i64)) -> Option<()> {
        let above = (key as u64).wrapping_sub(self.low as u64);
        let place = usize::try_from(above / self.tick).ok()?;
        let fits = key <= KEY_MAX && above.is_multiple_of(self.tick);
        if !fits || place >= 2 * self.qtys.len() {
            return None;
        }
        let steps = (place - self.qtys.len() / 4 * 3).next_multiple_of(WORD);
        if steps > self.qtys.len() {
            return None;
        }
        while let Some(at) = self.worst_place().filter(|at| *at < steps) {
            let (key, qty) = self.level(at);
            self.set(at, 0);
            out(key, qty);
        }
        self.turn = self.ring(steps);
        self.low += (steps as u64 * self.tick) as i64;
        self.best = if self.len > 0 {
            self.best - steps as i64
        } else {
            -1
        };
        Some(())
    }

    /// Takes the worst level out.
    pub(super) fn take_worst(&mut self) -> Option<(i64, i64)> {
        let place = self.worst_place()?;
        let level = self.level(place);
        self.edit(place, 0);
        Some(level)
    }

    /// Keys and quantities, best first.
    #[inline]
    pub(super) const fn iter(&self) -> Walk<'_> {
        Walk {
            grid: self,
            better: None,
            worse: None,
            left: self.len,
        }
    }

    /// Names the first rule of its own that does not hold.
    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        let bits = |word: usize| -> u64 {
            let qtys = self.qtys.iter().skip(word * WORD).take(WORD);
            qtys.enumerate()
                .fold(0, |bits, (bit, qty)| bits | u64::from(*qty != 0) << bit)
        };
        if (0..self.words.len()).any(|word| self.words[word] != bits(word)) {
            return Some("a bit that is not as its place");
        }
        let has = |word: &u64| *word != 0;
        let summed = |sum: usize| -> u64 {
            let words = self.words.iter().skip(sum * WORD).take(WORD);
            words
                .enumerate()
                .fold(0, |bits, (bit, word)| bits | u64::from(has(word)) << bit)
        };
        if (0..self.sums.len()).any(|sum| self.sums[sum] != summed(sum)) {
            return Some("a bit that is not as its word");
        }
        let held = self.qtys.iter().filter(|qty| **qty != 0).count();
        if held != self.len {
            return Some("a wrong count of places that are taken");
        }
        let best = (0..self.qtys.len()).rev().find(|at| self.qty(*at) != 0);
        if best.map_or(-1, |best| best as i64) != self.best {
            return Some("another best level in the window");
        }
        (held > 0 && self.span == 0).then_some("levels without a window")
    }
}

/// A walk over the levels of a window.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    grid: &'a Grid,
    /// The last place that was told, from the best on and from the worst on.
    better: Option<usize>,
    worse: Option<usize>,
    left: usize,
}

impl Iterator for Walk<'_> {
    type Item = (i64, i64);

    #[inline]
    fn next(&mut self) -> Option<(i64, i64)> {
        self.left = self.left.checked_sub(1)?;
        self.better = match self.better {
            Some(place) => self.grid.below(place),
            None => self.grid.best_place(),
        };
        Some(self.grid.level(self.better?))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Walk<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<(i64, i64)> {
        self.left = self.left.checked_sub(1)?;
        self.worse = match self.worse {
            Some(place) => self.grid.above(place),
            None => self.grid.worst_place(),
        };
        Some(self.grid.level(self.worse?))
    }
}

/// The tick of keys that come one behind the other: what their distances are multiples of; 0 of less than two.
pub(super) fn tick_among(levels: impl Iterator<Item = Level>) -> u64 {
    let mut last = None;
    let mut tick = 0;
    for Level { price, .. } in levels {
        if let Some(last) = last.replace(price) {
            // Most are multiples of what was found already.
            let step = price.abs_diff(last);
            if tick == 0 || !step.is_multiple_of(tick) {
                tick = common_divisor(step, tick);
            }
        }
    }
    tick
}
