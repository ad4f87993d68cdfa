//! Sorted levels in chunks: an edit moves what stands behind it in its chunk, not in the whole side.
//!
//! Venues edit far from the touch as well, where a plain vector would move hundreds of kilobytes a message.
//! Chunks bound that; the touch is in the last chunk.
//!
//! A deleted level stays, without a quantity, until its chunk has no room for another: of BTCUSDT's new levels more
//! than half had been deleted before (Binance spot, 2024-08-08; four fifths on USD-M), and then nothing is moved for
//! either. The best level is never a deleted one.
//!
//! Two neighbours always hold more than [`MERGE`] levels together, deleted ones not counted, which bounds the
//! chunks: they are all allocated when the ladder is made (and touched when they are used first).

mod chunk;

use super::Level;
use chunk::{CHUNK, Chunk};

/// Neighbours with so many levels together, or fewer, become one: with room left, so that the next
/// insert does not part them again.
const MERGE: usize = CHUNK * 3 / 4;

/// A chunk in the order of the ladder.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its place in the pool.
    chunk: u32,
    /// Levels in it, deleted ones counted.
    ///
    /// Rows are not copied where levels are edited: one load of a whole row behind a store of its count waits for
    /// that store to reach the cache.
    len: u16,
    /// Levels in it, deleted ones not counted: at least one.
    live: u16,
}

/// Where a level is, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    row: usize,
    at: usize,
}

/// What was found of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its level with its quantity; zero where it was deleted.
    Level(Place, i64),
    /// No level: where it would have to be inserted.
    Nothing(Place),
}

/// Levels sorted by key, the worst first; none has the key of another.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Turns a price into its key, which grows towards the best: all ones on the ask side.
    flip: i64,
    rows: Vec<Row>,
    /// The first key of each row: beside them, a search reads nothing else of rows.
    firsts: Vec<i64>,
    pool: Vec<Chunk>,
    free: Vec<u32>,
    len: usize,
}

impl Ladder {
    /// Room for `levels_max` levels and one more, however they come to lie.
    pub(super) fn new(flip: i64, levels_max: usize) -> Ladder {
        Ladder::with_room(flip, Ladder::chunks_max(levels_max.saturating_add(1)))
    }

    fn with_room(flip: i64, chunks: usize) -> Ladder {
        Ladder {
            flip,
            rows: Vec::with_capacity(chunks),
            firsts: Vec::with_capacity(chunks),
            pool: Vec::with_capacity(chunks),
            free: Vec::with_capacity(chunks),
            len: 0,
        }
    }

    /// Two neighbours have more than [`MERGE`] levels; one may be alone, one is there while a level
    /// is being added.
    const fn chunks_max(levels: usize) -> usize {
        2 * (levels / (MERGE + 1) + 1) + 2
    }

    /// A price as a key. `!price` reverses the order of all of `i64` without the overflow that
    /// `-price` has.
    #[inline]
    pub(super) const fn key(&self, price: i64) -> i64 {
        price ^ self.flip
    }

    #[inline]
    const fn level(&self, key: i64, qty: i64) -> Level {
        Level {
            price: key ^ self.flip,
            qty,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.free.extend(self.rows.drain(..).map(|row| row.chunk));
        self.firsts.clear();
        self.len = 0;
    }

    #[inline]
    fn chunk(&self, row: &Row) -> &Chunk {
        &self.pool[row.chunk as usize]
    }

    /// The levels of a row that are not deleted, as keys and quantities.
    #[inline]
    fn live(&self, row: &Row) -> impl DoubleEndedIterator<Item = (i64, i64)> + Clone + '_ {
        self.chunk(row).live(usize::from(row.len))
    }

    /// The best level.
    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        let row = self.rows.last()?;
        let (chunk, at) = (self.chunk(row), usize::from(row.len) - 1);
        Some(self.level(chunk.key(at), chunk.qty(at)))
    }

    /// The worst level.
    pub(super) fn worst(&self) -> Option<Level> {
        let (key, qty) = self.live(self.rows.first()?).next()?;
        Some(self.level(key, qty))
    }

    /// The level with `better` levels better than it.
    pub(super) fn nth_best(&self, better: usize) -> Option<Level> {
        let mut left = better;
        for row in self.rows.iter().rev() {
            let live = usize::from(row.live);
            if left < live {
                let (key, qty) = self.live(row).rev().nth(left)?;
                return Some(self.level(key, qty));
            }
            left -= live;
        }
        None
    }

    /// All levels, best first.
    #[inline]
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Level> + Clone + '_ {
        let rows = self.rows.iter().rev();
        let levels = rows.flat_map(|row| self.live(row).rev());
        levels.map(|(key, qty)| self.level(key, qty))
    }

    /// The last row whose first key is not above `key`; 0 where all are, or none is there. No branch but the loop's.
    #[inline(always)]
    pub(super) fn row_of(&self, key: i64) -> usize {
        let firsts = self.firsts.as_slice();
        let (mut row, mut count) = (0, firsts.len());
        while count > 1 {
            let half = count / 2;
            let next = row + half;
            row = core::hint::select_unpredictable(firsts[next] <= key, next, row);
            count -= half;
        }
        row
    }

    /// The row with the touch.
    #[inline]
    pub(super) const fn last_row(&self) -> usize {
        self.rows.len().saturating_sub(1)
    }

    /// Whether a key belongs into this row.
    #[inline(always)]
    fn is_row_of(&self, row: usize, key: i64) -> bool {
        let begins = self.firsts.get(row).is_some_and(|first| *first <= key);
        let ends = self.firsts.get(row + 1).is_none_or(|first| *first > key);
        (begins | (row == 0)) & ends
    }

    /// What there is of this key. `row` is where it was once, or is thought to be.
    #[inline(always)]
    pub(super) fn find(&self, row: usize, key: i64) -> Found {
        let row = if self.is_row_of(row, key) {
            row
        } else {
            self.row_of(key)
        };
        let Some(held) = self.rows.get(row) else {
            return Found::Nothing(Place { row: 0, at: 0 });
        };
        let (chunk, at) = (self.chunk(held), self.last_up_to(held, key));
        let other = chunk.key(at);
        if other == key {
            Found::Level(Place { row, at }, chunk.qty(at))
        } else {
            let at = at + usize::from(other < key);
            Found::Nothing(Place { row, at })
        }
    }

    /// Whether the level there is the best one.
    #[inline(always)]
    fn is_best(&self, place: Place) -> bool {
        self.is_behind_all(Place {
            at: place.at + 1,
            ..place
        })
    }

    /// Whether a level inserted there is the best one.
    #[inline(always)]
    pub(super) fn is_behind_all(&self, Place { row, at }: Place) -> bool {
        row + 1 >= self.rows.len()
            && self
                .rows
                .last()
                .is_none_or(|last| at == usize::from(last.len))
    }

    /// Gives a level that was found, with the quantity `was`, another quantity. Zero deletes it, a deleted one comes
    /// back. Whether the best level is another one then.
    #[inline(always)]
    pub(super) fn set(&mut self, place: Place, was: i64, qty: i64) -> bool {
        let is_best = self.is_best(place);
        let row = &mut self.rows[place.row];
        self.pool[row.chunk as usize].set_qty(place.at, qty);
        let (gone, back) = ((was != 0) & (qty == 0), (was == 0) & (qty != 0));
        row.live = row.live + u16::from(back) - u16::from(gone);
        self.len = self.len + usize::from(back) - usize::from(gone);
        // One branch, seldom taken: which edits delete nobody can foresee.
        if gone & (is_best | self.is_small(place.row)) {
            self.tidy(place.row);
        }
        is_best & (was != qty)
    }

    /// Whether a row has to go, or to become one with a neighbour.
    #[inline(always)]
    fn is_small(&self, row: usize) -> bool {
        let live = |row: usize| self.rows.get(row).map_or(u16::MAX / 2, |row| row.live);
        let beside = live(row.wrapping_sub(1)).min(live(row + 1));
        let own = live(row);
        (own == 0) | (usize::from(own + beside) <= MERGE)
    }

    /// Inserts a level where its key was not found.
    pub(super) fn insert(&mut self, place: Place, key: i64, qty: i64) {
        let Place { mut row, mut at } = place;
        self.len += 1;
        let mut parted = None;
        match self.rows.get(row) {
            Some(held) if usize::from(held.len) < CHUNK => {}
            Some(held) if usize::from(held.live) <= MERGE => {
                self.compact(row, 0);
                at = self.place_in(row, key);
            }
            Some(_) if !self.is_behind_all(place) => {
                self.split(row);
                parted = Some(row);
                row += usize::from(key >= self.firsts[row + 1]);
                at = self.place_in(row, key);
            }
            // A new best level behind a full chunk, or the very first.
            _ => {
                row = self.rows.len();
                at = 0;
                self.add_row(row, key);
            }
        }
        let Row { chunk, len, live } = &mut self.rows[row];
        self.pool[*chunk as usize].insert(at, usize::from(*len), key, qty);
        *len += 1;
        *live += 1;
        if at == 0 {
            self.firsts[row] = key;
        }
        if let Some(row) = parted {
            // Each half may lie beside a chunk that is small.
            self.merge(row + 1);
            if row > 0 {
                self.merge(row - 1);
            }
        }
    }

    /// Where a key that is not there would be in a row.
    fn place_in(&self, row: usize, key: i64) -> usize {
        let row = &self.rows[row];
        let at = self.last_up_to(row, key);
        at + usize::from(self.chunk(row).key(at) < key)
    }

    /// The last place of a row whose key is not above `key`; 0 where all are.
    #[inline(always)]
    fn last_up_to(&self, row: &Row, key: i64) -> usize {
        // The greatest key of all is what unused places have, too.
        let at = self.chunk(row).last_up_to(key);
        at.min(usize::from(row.len) - 1)
    }

    /// Removes the `count` worst levels; fewer than there are.
    pub(super) fn drop_worst(&mut self, count: usize) {
        self.len -= count;
        let (mut left, mut whole) = (count, 0);
        while let Some(row) = self
            .rows
            .get(whole)
            .filter(|row| usize::from(row.live) <= left)
        {
            left -= usize::from(row.live);
            whole += 1;
        }
        self.free
            .extend(self.rows.drain(..whole).map(|row| row.chunk));
        self.firsts.drain(..whole);
        if !self.rows.is_empty() {
            self.compact(0, left);
            self.tidy(0);
        }
    }

    /// Replaces all by levels that come worst first.
    pub(super) fn fill(&mut self, levels: impl Iterator<Item = Level>) {
        self.clear();
        for level in levels {
            let key = self.key(level.price);
            // Not to the brim: the first inserts are to find room.
            if self
                .rows
                .last()
                .is_none_or(|row| usize::from(row.len) >= MERGE)
            {
                self.add_row(self.rows.len(), key);
            }
            if let Some(row) = self.rows.last_mut() {
                self.pool[row.chunk as usize].push(usize::from(row.len), key, level.qty);
                row.len += 1;
                row.live += 1;
                self.len += 1;
            }
        }
    }

    /// An empty chunk at this place of the order, for a level with this key.
    fn add_row(&mut self, row: usize, first: i64) {
        let chunk = match self.free.pop() {
            Some(chunk) => {
                self.pool[chunk as usize] = Chunk::EMPTY;
                chunk
            }
            None => {
                self.pool.push(Chunk::EMPTY);
                (self.pool.len() - 1) as u32
            }
        };
        let (len, live) = (0, 0);
        self.rows.insert(row, Row { chunk, len, live });
        self.firsts.insert(row, first);
    }

    fn remove_row(&mut self, row: usize) {
        self.free.push(self.rows.remove(row).chunk);
        self.firsts.remove(row);
    }

    /// Leaves out deleted levels, and the `worst` first of the others; some are left.
    fn compact(&mut self, row: usize, worst: usize) {
        let held = &mut self.rows[row];
        let chunk = &mut self.pool[held.chunk as usize];
        let kept = chunk.compact(usize::from(held.len), worst);
        (held.len, held.live) = (kept as u16, kept as u16);
        self.firsts[row] = chunk.key(0);
    }

    /// Two chunks of the pool at once; they are not the same.
    fn two(&mut self, left: u32, right: u32) -> Option<(&mut Chunk, &mut Chunk)> {
        let [left, right] = self
            .pool
            .get_disjoint_mut([left as usize, right as usize])
            .ok()?;
        Some((left, right))
    }

    /// Moves the better half of a full chunk to one of its own.
    #[cold]
    fn split(&mut self, row: usize) {
        self.compact(row, 0);
        let len = usize::from(self.rows[row].len);
        let half = len / 2;
        self.add_row(row + 1, self.chunk(&self.rows[row]).key(half));
        if let Some((from, to)) = self.two(self.rows[row].chunk, self.rows[row + 1].chunk) {
            from.move_to(half, len, to, 0);
        }
        for (row, len) in [(row, half), (row + 1, len - half)] {
            (self.rows[row].len, self.rows[row].live) = (len as u16, len as u16);
        }
    }

    /// Behind a deletion: the best level is not a deleted one, an empty chunk goes, small neighbours become one.
    #[cold]
    fn tidy(&mut self, row: usize) {
        if self.rows[row].live == 0 {
            self.remove_row(row);
        }
        let Some(last) = self.rows.len().checked_sub(1) else {
            return;
        };
        let Row { chunk, len, .. } = &mut self.rows[last];
        let chunk = &mut self.pool[*chunk as usize];
        let before = *len;
        while chunk.qty(usize::from(*len) - 1) == 0 {
            *len -= 1;
        }
        if *len != before {
            chunk.cut(usize::from(*len));
        }
        // Where it has gone, its neighbours are neighbours now.
        let row = row.min(last);
        if !self.merge(row) && row > 0 {
            self.merge(row - 1);
        }
    }

    /// Moves the next chunk into this one where they fit well.
    fn merge(&mut self, row: usize) -> bool {
        let (Some(left), Some(right)) = (self.rows.get(row), self.rows.get(row + 1)) else {
            return false;
        };
        if usize::from(left.live + right.live) > MERGE {
            return false;
        }
        self.compact(row, 0);
        self.compact(row + 1, 0);
        let (left, right) = (self.rows[row], self.rows[row + 1]);
        if let Some((to, from)) = self.two(left.chunk, right.chunk) {
            from.move_to(0, usize::from(right.len), to, usize::from(left.len));
        }
        let len = left.len + right.len;
        (self.rows[row].len, self.rows[row].live) = (len, len);
        self.remove_row(row + 1);
        true
    }

    /// Names the first rule of its own that does not hold.
    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        let lives = self.rows.iter().map(|row| usize::from(row.live));
        if lives.clone().sum::<usize>() != self.len {
            return Some("a wrong count of levels");
        }
        if lives.clone().any(|live| live == 0) {
            return Some("an empty chunk");
        }
        if lives
            .clone()
            .zip(lives.skip(1))
            .any(|(left, right)| left + right <= MERGE)
        {
            return Some("small chunks side by side");
        }
        let counts = |row: &Row| self.live(row).count() == usize::from(row.live);
        if !self.rows.iter().all(counts) {
            return Some("a chunk with a wrong count of levels");
        }
        let padded = |row: &Row| self.chunk(row).is_padded(usize::from(row.len));
        if !self.rows.iter().all(padded) {
            return Some("a key behind the last level");
        }
        let keys = self.rows.iter().flat_map(|row| {
            let chunk = self.chunk(row);
            (0..usize::from(row.len)).map(|at| chunk.key(at))
        });
        if !keys.is_sorted_by(|left, right| left < right) {
            return Some("keys out of order or a key twice");
        }
        let firsts = self.rows.iter().map(|row| self.chunk(row).key(0));
        if !firsts.eq(self.firsts.iter().copied()) {
            return Some("a chunk with another first key");
        }
        if self.best().is_some_and(|best| best.qty == 0) {
            return Some("a deleted best level");
        }
        if self.rows.len() + self.free.len() != self.pool.len() {
            return Some("a lost chunk");
        }
        None
    }

    /// Whether all that was allocated is what [`Ladder::new`] allocates.
    #[cfg(test)]
    pub(super) fn is_within(&self, levels_max: usize) -> bool {
        let chunks = Ladder::chunks_max(levels_max + 1);
        let held = [self.pool.capacity(), self.rows.capacity()];
        held == [chunks; 2] && self.firsts.capacity() == chunks
    }
}

impl Clone for Ladder {
    /// Keeps the capacity, which a derived one would cut to the length: a clone's edits do not
    /// allocate either.
    fn clone(&self) -> Ladder {
        let mut ladder = Ladder::with_room(self.flip, self.pool.capacity());
        ladder.rows.extend_from_slice(&self.rows);
        ladder.firsts.extend_from_slice(&self.firsts);
        ladder.pool.extend_from_slice(&self.pool);
        ladder.free.extend_from_slice(&self.free);
        ladder.len = self.len;
        ladder
    }
}
