//! The strategy's end of a ring.

use tickwire_connectors::{Event, Wide};

use super::Placed;
use super::spsc::Receiver;

/// An event out of the ring. A wide one is lent until the next call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A hot event.
    Hot(Event),
    /// A wide event.
    Wide(&'a Wide),
}

/// The strategy's end of a ring: owned by one thread. Gives the events in the order in which the
/// [`Producer`](super::Producer) was given them.
///
/// # Why the merge is in order
///
/// Each wide event carries the number of hot events that went in before it, and this end counts the
/// hot events that came out. A wide event's turn has come when the two are equal. What must not
/// happen is that hot event *k* is given out while a wide one that went in before it (`after <= k`)
/// is in the wide queue and was not seen.
///
/// 1. The producer publishes the wide event before it publishes hot event *k* (one thread, program
///    order; both counts are stored with Release).
/// 2. Hot event *k* is given out only when `hot.seen() > k`. That value was either read from the hot
///    count with Acquire, and then whatever was published before *k* can be seen by every later
///    load; `refresh` loads the wide count after the hot one, never before it.
/// 3. Or it was learnt from a wide event's `after` (`know`): then every wide event that went in
///    before those hot ones lies in front of that one in the wide queue, which is in order, and
///    has been seen with it.
///
/// So all wide events with `after <= k` have been seen by then, and the queue gives the oldest
/// first. Conversely a wide event with `after = n` is given out only when *n* hot ones were.
#[derive(Debug)]
pub struct Consumer {
    hot: Receiver<Event>,
    wide: Receiver<Placed>,
    /// The oldest wide event that is out of its queue: waiting for its turn, or lent.
    held: Option<Placed>,
    lent: bool,
}

impl Consumer {
    pub(super) fn new(hot: Receiver<Event>, wide: Receiver<Placed>) -> Consumer {
        Consumer {
            hot,
            wide,
            held: None,
            lent: false,
        }
    }

    /// The next event; `None` where nothing waits.
    ///
    /// This end never waits for the loop either.
    #[inline]
    pub fn pop(&mut self) -> Option<Item<'_>> {
        self.pop_with(|| {})
    }

    /// `between` runs between the two loads of `refresh`, where a test puts what the other thread
    /// might do there.
    #[inline]
    pub(super) fn pop_with(&mut self, between: impl FnOnce()) -> Option<Item<'_>> {
        if self.hot.popped() == self.hot.seen() {
            self.refresh(between);
        }
        if (self.held.is_none() || self.lent) && self.wide.popped() < self.wide.seen() {
            self.held = self.wide.pop_seen();
            self.lent = false;
        }
        if !self.lent
            && let Some(placed) = &self.held
        {
            if placed.after <= self.hot.popped() {
                self.lent = true;
                return Some(Item::Wide(&placed.wide));
            }
            self.hot.know(placed.after);
        }
        self.hot.pop_seen().map(Item::Hot)
    }

    /// First the hot count, then the wide one: the order of the two loads carries the proof above.
    #[inline]
    fn refresh(&mut self, between: impl FnOnce()) {
        self.hot.look();
        between();
        self.wide.look();
    }

    /// Events that wait, of both sizes. More may come while you count.
    pub fn len(&self) -> usize {
        let held = usize::from(self.held.is_some() && !self.lent);
        self.hot.len() + self.wide.len() + held
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer was dropped: the engine has stopped, or no longer feeds this ring. What
    /// it had pushed is all there to be popped once this says so; where the ring was full then, what
    /// waited for room is lost uncounted.
    pub fn producer_gone(&self) -> bool {
        self.hot.sender_gone()
    }
}
