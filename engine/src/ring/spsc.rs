//! One sender, one receiver, over [`rtrb`], such that neither ever waits for the other: a push is one
//! store to a slot and one of a position, a pop the reverse, and nothing in between belongs to both.
//!
//! Both ends cache what they have read of the other, so that in steady state an end touches the
//! other's cache line once a batch; an idle receiver costs one load.
//!
//! What is added here is counting: the order of two rings hangs on how many items went into each
//! (see [`Consumer`](super::Consumer)). The receiver gives out only what it has *seen*, by a look at
//! the sender's position with Acquire; the sender moves that with Release behind each item.

use core::fmt;

/// The end that writes.
pub(super) struct Sender<T> {
    ring: rtrb::Producer<T>,
    pushed: u64,
}

/// The end that reads.
pub(super) struct Receiver<T> {
    ring: rtrb::Consumer<T>,
    popped: u64,
    /// Items that are there for certain.
    seen: u64,
}

/// A queue of `capacity` items; panics where that is 0.
pub(super) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "a ring of capacity {capacity}: at least 1 is needed"
    );
    let (sender, receiver) = rtrb::RingBuffer::new(capacity);
    (
        Sender {
            ring: sender,
            pushed: 0,
        },
        Receiver {
            ring: receiver,
            popped: 0,
            seen: 0,
        },
    )
}

/// Goes once around a new queue, so that the system has given its memory before the first item: a page
/// that is written for the first time costs as much as many messages.
pub(super) fn touch<T: Copy>(sender: &mut Sender<T>, receiver: &mut Receiver<T>, item: T) {
    while sender.ring.push(item).is_ok() {}
    while receiver.ring.pop().is_ok() {}
}

impl<T> Sender<T> {
    /// Adds `item`, or gives it back where there is no room.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        match self.ring.push(item) {
            Ok(()) => {
                self.pushed += 1;
                Ok(())
            }
            Err(rtrb::PushError::Full(item)) => Err(item),
        }
    }

    /// Items pushed since the start.
    #[inline]
    pub(super) const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Whether an item fits now.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.ring.is_full()
    }

    /// How many items fit now.
    pub(super) fn room(&self) -> usize {
        self.ring.slots()
    }

    /// Items that the receiver has not taken.
    pub(super) fn len(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    /// Whether the receiver was dropped.
    pub(super) fn receiver_gone(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl<T> Receiver<T> {
    /// The next of the items that have been seen.
    #[inline]
    pub(super) fn pop_seen(&mut self) -> Option<T> {
        if self.popped == self.seen {
            return None;
        }
        let item = self.ring.pop().ok();
        assert!(
            item.is_some(),
            "item {} of {} is not in the ring",
            self.popped,
            self.seen
        );
        self.popped += 1;
        item
    }

    /// Looks for new items.
    #[inline]
    pub(super) fn look(&mut self) {
        self.seen = self.popped + self.ring.slots() as u64;
    }

    /// Takes for seen that `count` items have been published, which the caller knows from something
    /// that the sender published after them.
    #[inline]
    pub(super) fn know(&mut self, count: u64) {
        self.seen = self.seen.max(count);
    }

    #[inline]
    pub(super) const fn popped(&self) -> u64 {
        self.popped
    }

    #[inline]
    pub(super) const fn seen(&self) -> u64 {
        self.seen
    }

    /// Items that wait.
    pub(super) fn len(&self) -> usize {
        self.ring.slots()
    }

    /// Whether the sender was dropped. All that it pushed can be seen from here on.
    pub(super) fn sender_gone(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("room", &self.room())
            .field("pushed", &self.pushed)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("popped", &self.popped)
            .finish_non_exhaustive()
    }
}
