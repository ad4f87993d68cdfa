//! The timers of many streams. A connector may have thousands, and nearly all of them are for later:
//! so they lie in a heap, and a message or a timer that fires costs nothing for the others.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Nanos;

/// Entries a stream that there is room for from the start, so that the heap does not grow later: the one
/// that counts, and void ones. A stream's timers are at most a minute ahead, and one that comes earlier
/// than the last comes after seconds.
const ENTRIES: usize = 16;

/// One timer a stream, by the stream's index.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When each is due. An entry of the heap with another time is void: taking it out at once would
    /// cost a walk.
    armed: Vec<Nanos>,
}

impl Timers {
    /// None armed.
    pub fn new() -> Timers {
        Timers::default()
    }

    /// The stream wants to be looked at by `at`; an earlier wish stands.
    #[inline]
    pub fn arm(&mut self, index: usize, at: Nanos) {
        if self.armed.get(index).is_none_or(|armed| at < *armed) {
            self.set(index, at);
        }
    }

    fn set(&mut self, index: usize, at: Nanos) {
        if at == Nanos::MAX {
            return;
        }
        if index >= self.armed.len() {
            self.armed.resize(index + 1, Nanos::MAX);
            let room = self.armed.len().saturating_mul(ENTRIES);
            self.heap.reserve(room.saturating_sub(self.heap.len()));
        }
        if let Some(armed) = self.armed.get_mut(index) {
            *armed = at;
            self.heap.push(Reverse((at, index)));
        }
    }

    /// The stream is gone.
    pub fn disarm(&mut self, index: usize) {
        if let Some(armed) = self.armed.get_mut(index) {
            *armed = Nanos::MAX;
        }
    }

    /// When [`pop`](Timers::pop) may have one: perhaps too early, never too late. [`Nanos::MAX`] for
    /// never.
    #[inline]
    pub fn next(&self) -> Nanos {
        let next = self.heap.peek();
        next.map_or(Nanos::MAX, |Reverse((at, _))| *at)
    }

    /// A stream whose time has come; it is no longer armed.
    pub fn pop(&mut self, now: Nanos) -> Option<usize> {
        while self.next() <= now {
            let Reverse((at, index)) = self.heap.pop()?;
            if let Some(armed) = self.armed.get_mut(index).filter(|armed| **armed == at) {
                *armed = Nanos::MAX;
                return Some(index);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_fires_once_at_its_earliest_time() {
        let mut timers = Timers::new();
        assert_eq!((timers.next(), timers.pop(Nanos::MAX)), (Nanos::MAX, None));
        for (index, at) in [(7, 30), (2, 10), (7, 20), (7, 25), (4, 15)] {
            timers.arm(index, Nanos(at));
        }
        timers.arm(1, Nanos::MAX);
        timers.disarm(4);
        timers.disarm(99);
        assert_eq!(timers.next(), Nanos(10));
        assert_eq!(timers.pop(Nanos(9)), None);
        let fired: Vec<_> = core::iter::from_fn(|| timers.pop(Nanos(100))).collect();
        assert_eq!(fired, [2, 7]);
        timers.arm(7, Nanos(200));
        assert_eq!(timers.pop(Nanos(200)), Some(7));
        assert_eq!(timers.next(), Nanos::MAX, "nothing is left over");
    }
}
