//! Deltas that wait: for a snapshot to join them, or for what comes before them on another link.

use tickwire_orderbook::Level;
use tickwire_orderbook::sequence::Ids;

use crate::outbox::Outbox;
use crate::stream::{Applied, BookKeeper, Break, Levels, Stream, Times};
use crate::time::Nanos;

/// Deltas held at most: at the fastest push interval (20 ms) more than three minutes, at 100 ms a
/// quarter of an hour; far beyond any wait for a snapshot.
pub const DELTAS_MAX: usize = 10_000;

/// Levels held at most: 6 MiB a stream, 40 levels in each of the deltas above.
pub const LEVELS_MAX: usize = 400_000;

/// What is kept of the memory between two uses.
const LEVELS_KEPT: usize = 16_384;

/// A delta that waits; its levels lie beside.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Its numbers.
    pub ids: Ids,
    /// Its times.
    pub times: Times,
    bids: usize,
    asks: usize,
}

/// Deltas that wait, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    deltas: Vec<Held>,
    levels: Vec<Level>,
}

impl Hold {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.deltas.len()
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }

    /// The oldest.
    pub fn first(&self) -> Option<&Held> {
        self.deltas.first()
    }

    /// The newest.
    pub fn last(&self) -> Option<&Held> {
        self.deltas.last()
    }

    /// The place of the newest that `is_wanted`.
    pub fn rposition(&self, is_wanted: impl Fn(&Held) -> bool) -> Option<usize> {
        self.deltas.iter().rposition(is_wanted)
    }

    /// Adds one. False where there is no room.
    #[must_use]
    pub fn push(&mut self, ids: Ids, levels: &Levels, times: Times) -> bool {
        let count = levels.bids.len() + levels.asks.len();
        if self.deltas.len() >= DELTAS_MAX || self.levels.len() + count > LEVELS_MAX {
            return false;
        }
        self.levels.extend_from_slice(&levels.bids);
        self.levels.extend_from_slice(&levels.asks);
        self.deltas.push(Held {
            ids,
            times,
            bids: levels.bids.len(),
            asks: levels.asks.len(),
        });
        true
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.deltas.clear();
        self.levels.clear();
        self.levels.shrink_to(LEVELS_KEPT);
    }

    /// Forgets the oldest `count`.
    pub fn drop_front(&mut self, count: usize) {
        let gone = self.deltas.drain(..count.min(self.deltas.len()));
        let levels: usize = gone.map(|held| held.bids + held.asks).sum();
        self.levels.drain(..levels);
    }

    /// Brings all levels to wider scales. False, with nothing of use left, where a number has no
    /// room there.
    pub fn widen(&mut self, price_factor: i64, qty_factor: i64) -> bool {
        self.levels.iter_mut().all(|level| {
            let price = level.price.checked_mul(price_factor);
            let qty = level.qty.checked_mul(qty_factor);
            let fits = price.is_some() && qty.is_some();
            if let (Some(price), Some(qty)) = (price, qty) {
                *level = Level { price, qty };
            }
            fits
        })
    }

    /// Gives each to `take`, the oldest first, with its levels in `scratch`, until `take` says to
    /// stop. Forgets nothing.
    pub fn replay<E>(
        &self,
        scratch: &mut Levels,
        mut take: impl FnMut(usize, &Held, &Levels) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = &self.levels[..];
        for (index, held) in self.deltas.iter().enumerate() {
            let (bids, asks_and_rest) = rest.split_at(held.bids);
            let (asks, later) = asks_and_rest.split_at(held.asks);
            rest = later;
            scratch.clear();
            scratch.bids.extend_from_slice(bids);
            scratch.asks.extend_from_slice(asks);
            take(index, held, scratch)?;
        }
        Ok(())
    }
}

/// What a pair of links is apart at most; a delta that still does not fit then is a gap.
const HEAL_NS: Nanos = Nanos::from_millis(500);

/// Deltas of one link of a pair that are ahead of the book: what lies between may come on the other.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    hold: Hold,
    /// When the oldest gap is given up for one.
    deadline: Option<Nanos>,
    /// The gap that was found.
    gap: Option<(u64, u64)>,
}

/// What [`Ahead::join`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The book has all that came, or still waits for what lies between.
    Whole,
    /// The book can't go on.
    Broken(Break),
}

impl Ahead {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.hold.is_empty()
    }

    /// Keeps a delta that leaves the gap `expected` to `got`. False where there is no room: then it
    /// is a gap at once.
    #[must_use]
    pub fn push(
        &mut self,
        ids: Ids,
        levels: &Levels,
        times: Times,
        (expected, got): (u64, u64),
    ) -> bool {
        // The other link's copy of one that waits already.
        let known = self
            .hold
            .last()
            .is_some_and(|held| ids.last <= held.ids.last);
        if !known && !self.hold.push(ids, levels, times) {
            return false;
        }
        self.deadline.get_or_insert(times.recv_ns + HEAL_NS);
        self.gap.get_or_insert((expected, got));
        true
    }

    /// The book has moved on: applies what follows now.
    pub fn join(
        &mut self,
        keeper: &mut BookKeeper,
        stream: &mut Stream,
        scratch: &mut Levels,
        out: &mut Outbox,
    ) -> Joined {
        let mut done = 0;
        let result = self.hold.replay(scratch, |index, held, levels| {
            match keeper.apply(stream, &held.ids, levels, held.times, out) {
                Applied::Yes | Applied::Stale | Applied::Repeat => {
                    done = index + 1;
                    Ok(())
                }
                Applied::Broken(Break::Gap { .. }) => Err(None),
                Applied::Broken(why) => Err(Some(why)),
            }
        });
        if let Err(Some(why)) = result {
            self.clear();
            return Joined::Broken(why);
        }
        self.hold.drop_front(done);
        if self.hold.is_empty() {
            self.clear();
        }
        Joined::Whole
    }

    /// When [`overdue`](Ahead::overdue) is to be asked; [`Nanos::MAX`] for never.
    #[inline]
    pub fn deadline(&self) -> Nanos {
        self.deadline.unwrap_or(Nanos::MAX)
    }

    /// The gap that no link has filled in time.
    pub fn overdue(&self, now: Nanos) -> Option<Break> {
        let (expected, got) = self.gap.filter(|_| now >= self.deadline())?;
        Some(Break::Gap { expected, got })
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.hold.clear();
        self.deadline = None;
        self.gap = None;
    }
}

#[cfg(test)]
mod tests;
