//! Sorted levels in chunks: an edit moves what stands behind it in its chunk, not in the whole side.
//!
//! Venues edit far from the touch as well, where a plain vector would move hundreds of kilobytes a
//! message. Chunks of half a kibibyte bound that; the touch is in the last chunk, so that a shallow book
//! is one contiguous vector still.
//!
//! Two neighbours always hold more than [`MERGE`] levels together, which bounds the chunks: they are
//! all allocated when the ladder is made (and touched when they are used first).

use super::Level;

/// Levels of a chunk: 512 bytes, of which an insert moves a part. Small in our own tests, so that
/// their books have many.
const CHUNK: usize = if cfg!(test) { 8 } else { 32 };

/// Neighbours with so many levels together, or fewer, become one: with room left, so that the next
/// insert does not part them again.
const MERGE: usize = CHUNK * 3 / 4;

/// How many levels are looked at one by one from the touch before the search halves the rest: most
/// edits are this close, and a predicted compare is cheaper than a missed one of a binary search.
const LINEAR_MAX: usize = 8;

const NO_LEVEL: Level = Level { price: 0, qty: 0 };

/// A chunk in the order of the ladder.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Key of its first level.
    first: i64,
    /// Its place in the pool.
    chunk: u16,
    len: u16,
}

/// Where a level is, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    row: usize,
    at: usize,
}

/// Levels sorted by key, the worst first; none has the key of another.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Turns a price into its key, which grows towards the best: all ones on the ask side.
    flip: i64,
    rows: Vec<Row>,
    pool: Vec<[Level; CHUNK]>,
    free: Vec<u16>,
    len: usize,
    /// Where the last edit was. Venues send levels in order of price: the next one is mostly in the
    /// same chunk or beside it.
    finger: usize,
}

impl Ladder {
    /// Room for `levels_max` levels and one more, however they come to lie.
    pub(super) fn new(flip: i64, levels_max: usize) -> Ladder {
        let chunks = Ladder::chunks_max(levels_max.saturating_add(1));
        Ladder {
            flip,
            rows: Vec::with_capacity(chunks),
            pool: Vec::with_capacity(chunks),
            free: Vec::with_capacity(chunks),
            len: 0,
            finger: 0,
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
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.free.extend(self.rows.drain(..).map(|row| row.chunk));
        self.len = 0;
    }

    #[inline]
    fn chunk(&self, row: Row) -> &[Level] {
        &self.pool[usize::from(row.chunk)][..usize::from(row.len)]
    }

    /// The best level.
    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        self.chunk(*self.rows.last()?).last().copied()
    }

    /// The worst level.
    pub(super) fn worst(&self) -> Option<Level> {
        self.chunk(*self.rows.first()?).first().copied()
    }

    /// The level with `better` levels better than it.
    pub(super) fn nth_best(&self, better: usize) -> Option<Level> {
        let mut left = better;
        for row in self.rows.iter().rev() {
            let len = usize::from(row.len);
            if left < len {
                return self.chunk(*row).get(len - 1 - left).copied();
            }
            left -= len;
        }
        None
    }

    /// All levels, best first.
    #[inline]
    pub(super) fn iter(&self) -> Levels<impl DoubleEndedIterator<Item = Level> + Clone + '_> {
        let chunks = self.rows.iter().rev();
        Levels {
            inner: chunks.flat_map(|row| self.chunk(*row).iter().rev().copied()),
            left: self.len,
        }
    }

    /// Where the level with this key is, or where it would have to be inserted.
    #[inline]
    pub(super) fn search(&self, key: i64) -> Result<Place, Place> {
        let Some((last, rest)) = self.rows.split_last() else {
            return Err(Place { row: 0, at: 0 });
        };
        if key < last.first && !rest.is_empty() {
            return self.search_far(key);
        }
        let row = rest.len();
        let levels = self.chunk(*last);
        let split = levels.len().saturating_sub(LINEAR_MAX);
        let (far, near) = levels.split_at(split);
        for (offset, level) in near.iter().enumerate().rev() {
            let other = self.key(level.price);
            if other <= key {
                let at = split + offset;
                return if other == key {
                    Ok(Place { row, at })
                } else {
                    Err(Place { row, at: at + 1 })
                };
            }
        }
        self.search_in(row, far, key)
    }

    /// In a chunk that is not the last.
    fn search_far(&self, key: i64) -> Result<Place, Place> {
        let begins = |row: usize| self.rows.get(row).is_some_and(|row| row.first <= key);
        let finger = self.finger;
        let row = if begins(finger) {
            if !begins(finger + 1) {
                finger
            } else if !begins(finger + 2) {
                finger + 1
            } else {
                self.row_of(key)
            }
        } else if finger > 0 && begins(finger - 1) {
            finger - 1
        } else {
            self.row_of(key)
        };
        self.search_in(row, self.chunk(self.rows[row]), key)
    }

    fn row_of(&self, key: i64) -> usize {
        let behind = self.rows.partition_point(|row| row.first <= key);
        behind.saturating_sub(1)
    }

    #[inline]
    fn search_in(&self, row: usize, levels: &[Level], key: i64) -> Result<Place, Place> {
        let found = levels.binary_search_by_key(&key, |level| self.key(level.price));
        match found {
            Ok(at) => Ok(Place { row, at }),
            Err(at) => Err(Place { row, at }),
        }
    }

    /// Whether a level there is the best one.
    #[inline]
    pub(super) fn is_best(&self, place: Place) -> bool {
        self.is_behind_all(Place {
            at: place.at + 1,
            ..place
        })
    }

    /// Whether a level inserted there is the best one.
    #[inline]
    pub(super) fn is_behind_all(&self, Place { row, at }: Place) -> bool {
        row + 1 >= self.rows.len()
            && self
                .rows
                .last()
                .is_none_or(|last| at == usize::from(last.len))
    }

    /// Whether a level inserted there is the worst one.
    #[inline]
    pub(super) const fn is_before_all(&self, place: Place) -> bool {
        place.row == 0 && place.at == 0
    }

    /// The quantity of a level that was found.
    #[inline]
    pub(super) fn qty_mut(&mut self, Place { row, at }: Place) -> &mut i64 {
        self.finger = row;
        &mut self.pool[usize::from(self.rows[row].chunk)][at].qty
    }

    /// The quantity of a level that was found.
    pub(super) fn qty(&self, Place { row, at }: Place) -> i64 {
        self.chunk(self.rows[row])[at].qty
    }

    /// Inserts a level where its key was not found.
    pub(super) fn insert(&mut self, place: Place, level: Level) {
        let Place { mut row, mut at } = place;
        self.len += 1;
        let is_full = self
            .rows
            .get(row)
            .is_none_or(|row| usize::from(row.len) == CHUNK);
        let mut parted = None;
        if is_full && self.is_behind_all(place) {
            // A new best level behind a full chunk, or the very first.
            row = self.rows.len();
            at = 0;
            self.add_row(row);
        } else if is_full {
            self.split(row);
            parted = Some(row);
            if at > CHUNK / 2 {
                row += 1;
                at -= CHUNK / 2;
            }
        }
        self.finger = row;
        let key = self.key(level.price);
        let place = &mut self.rows[row];
        let (chunk, len) = (
            &mut self.pool[usize::from(place.chunk)],
            usize::from(place.len),
        );
        chunk.copy_within(at..len, at + 1);
        chunk[at] = level;
        place.len += 1;
        if at == 0 {
            place.first = key;
        }
        if let Some(row) = parted {
            self.tidy_parted(row);
        }
    }

    /// Removes a level that was found.
    pub(super) fn remove(&mut self, Place { row, at }: Place) {
        self.len -= 1;
        self.finger = row;
        let place = &mut self.rows[row];
        let (chunk, len) = (
            &mut self.pool[usize::from(place.chunk)],
            usize::from(place.len),
        );
        chunk.copy_within(at + 1..len, at);
        place.len -= 1;
        if at == 0 {
            place.first = chunk[0].price ^ self.flip;
        }
        self.tidy(row);
    }

    /// Removes the `count` worst levels; fewer than there are.
    pub(super) fn drop_worst(&mut self, count: usize) {
        self.len -= count;
        let (mut left, mut whole) = (count, 0);
        while let Some(row) = self
            .rows
            .get(whole)
            .filter(|row| usize::from(row.len) <= left)
        {
            left -= usize::from(row.len);
            whole += 1;
        }
        self.free
            .extend(self.rows.drain(..whole).map(|row| row.chunk));
        let Some(row) = self.rows.first_mut().filter(|_| left > 0) else {
            return;
        };
        let chunk = &mut self.pool[usize::from(row.chunk)];
        chunk.copy_within(left..usize::from(row.len), 0);
        row.len -= left as u16;
        row.first = chunk[0].price ^ self.flip;
        self.tidy(0);
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
                self.add_row(self.rows.len());
            }
            if let Some(row) = self.rows.last_mut() {
                if row.len == 0 {
                    row.first = key;
                }
                self.pool[usize::from(row.chunk)][usize::from(row.len)] = level;
                row.len += 1;
                self.len += 1;
            }
        }
    }

    /// An empty chunk at this place of the order.
    fn add_row(&mut self, row: usize) {
        let chunk = self.free.pop().unwrap_or_else(|| {
            self.pool.push([NO_LEVEL; CHUNK]);
            (self.pool.len() - 1) as u16
        });
        let (first, len) = (0, 0);
        self.rows.insert(row, Row { first, chunk, len });
    }

    /// Moves the better half of a full chunk to one of its own.
    #[cold]
    fn split(&mut self, row: usize) {
        self.add_row(row + 1);
        let (from, to) = (self.rows[row].chunk, self.rows[row + 1].chunk);
        let better = self.pool[usize::from(from)];
        self.pool[usize::from(to)][..CHUNK / 2].copy_from_slice(&better[CHUNK / 2..]);
        self.rows[row].len = (CHUNK / 2) as u16;
        self.rows[row + 1].len = (CHUNK / 2) as u16;
        self.rows[row + 1].first = self.key(better[CHUNK / 2].price);
    }

    /// Behind a split: each half may lie beside a chunk that is small.
    #[cold]
    fn tidy_parted(&mut self, row: usize) {
        self.merge(row + 1);
        if row > 0 {
            self.merge(row - 1);
        }
    }

    /// Behind a removal: an empty chunk goes, small neighbours become one.
    #[inline]
    fn tidy(&mut self, row: usize) {
        if usize::from(self.rows[row].len) < MERGE {
            self.tidy_small(row);
        }
    }

    fn tidy_small(&mut self, row: usize) {
        if self.rows[row].len == 0 {
            self.free.push(self.rows.remove(row).chunk);
            // Its neighbours are neighbours now.
            if row > 0 {
                self.merge(row - 1);
            }
            return;
        }
        if !self.merge(row) && row > 0 {
            self.merge(row - 1);
        }
    }

    /// Moves the next chunk into this one where they fit well.
    fn merge(&mut self, row: usize) -> bool {
        let (Some(left), Some(right)) = (self.rows.get(row), self.rows.get(row + 1)) else {
            return false;
        };
        let (start, count) = (usize::from(left.len), usize::from(right.len));
        if start + count > MERGE {
            return false;
        }
        let (to, from) = (left.chunk, right.chunk);
        let moved = self.pool[usize::from(from)];
        self.pool[usize::from(to)][start..start + count].copy_from_slice(&moved[..count]);
        self.rows[row].len += count as u16;
        self.rows.remove(row + 1);
        self.free.push(from);
        true
    }

    /// Names the first rule of its own that does not hold.
    pub(super) fn broken_invariant(&self) -> Option<&'static str> {
        let lens = self.rows.iter().map(|row| usize::from(row.len));
        if lens.clone().sum::<usize>() != self.len {
            return Some("a wrong count of levels");
        }
        if lens.clone().any(|len| len == 0) {
            return Some("an empty chunk");
        }
        if lens
            .clone()
            .zip(lens.skip(1))
            .any(|(left, right)| left + right <= MERGE)
        {
            return Some("small chunks side by side");
        }
        let first = |row: &Row| self.chunk(*row).first().map(|level| self.key(level.price));
        if self.rows.iter().any(|row| first(row) != Some(row.first)) {
            return Some("a chunk with another first key");
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
        self.pool.capacity() == chunks && self.rows.capacity() == chunks
    }
}

impl Clone for Ladder {
    /// Keeps the capacity, which a derived one would cut to the length: a clone's edits do not
    /// allocate either.
    fn clone(&self) -> Ladder {
        let with_room = |chunks: usize| Ladder {
            flip: self.flip,
            rows: Vec::with_capacity(chunks),
            pool: Vec::with_capacity(chunks),
            free: Vec::with_capacity(chunks),
            len: self.len,
            finger: self.finger,
        };
        let mut ladder = with_room(self.pool.capacity());
        ladder.rows.extend_from_slice(&self.rows);
        ladder.pool.extend_from_slice(&self.pool);
        ladder.free.extend_from_slice(&self.free);
        ladder
    }
}

/// The levels of a side, with how many are left.
#[derive(Clone, Debug)]
pub(super) struct Levels<I> {
    inner: I,
    left: usize,
}

impl<I: Iterator<Item = Level>> Iterator for Levels<I> {
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

impl<I: DoubleEndedIterator<Item = Level>> DoubleEndedIterator for Levels<I> {
    #[inline]
    fn next_back(&mut self) -> Option<Level> {
        let level = self.inner.next_back()?;
        self.left -= 1;
        Some(level)
    }
}

impl<I: Iterator<Item = Level>> ExactSizeIterator for Levels<I> {}
