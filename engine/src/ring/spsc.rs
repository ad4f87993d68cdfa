//! One sender, one receiver, over `ArrayQueue`, such that neither ever waits for the other.
//!
//! `ArrayQueue` is a queue for many of both. Its `push` takes a place by moving the tail and then
//! fills the slot; its `pop` moves the head and then frees the slot. A thread that is preempted
//! between the two makes the other end spin on that slot for as long as it is away: milliseconds,
//! for a loop that must never wait. With one thread on each side both windows can be kept out of:
//!
//! - **The sender** has one slot more than the capacity and pushes only while fewer than `capacity`
//!   items are in. At that moment `tail - head < capacity = slots - 1`, where `head` has already
//!   moved past the one slot that the receiver may still be reading, `head - 1`. The slot about to
//!   be written, `tail`, is that slot only if `tail - (head - 1) = slots`, that is `tail - head =
//!   slots - 1`; excluded. Slots before `head - 1` were freed before the receiver moved the head on,
//!   which the sender's read of `head` (SeqCst, inside `len`) has seen.
//! - **The receiver** pops only items that the sender has `published`: a count that is stored with
//!   Release after the push returned, and read with Acquire here. So the slot is whole.
//!
//! Both ends cache what they have read of the other, so that in steady state an end touches the
//! other's cache line once a batch; an idle receiver costs one plain load.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

/// Two cache lines of its own: x86 fetches lines in pairs.
#[repr(align(128))]
struct Line<T>(T);

struct Shared<T> {
    queue: ArrayQueue<T>,
    /// Items pushed since the start; written by the sender alone.
    published: Line<AtomicU64>,
    sender_gone: Line<AtomicBool>,
    receiver_gone: AtomicBool,
}

/// The end that writes.
pub(super) struct Sender<T> {
    shared: Arc<Shared<T>>,
    capacity: usize,
    pushed: u64,
    /// Pushes that have room for certain: the receiver can only add to it.
    room: usize,
    not_sync: PhantomData<Cell<()>>,
}

/// The end that reads.
pub(super) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    popped: u64,
    /// Items that are there for certain: the last value read of `published`, or less.
    seen: u64,
    not_sync: PhantomData<Cell<()>>,
}

/// A queue of `capacity` items; panics where that is 0.
pub(super) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(
        capacity > 0,
        "a ring of capacity {capacity}: at least 1 is needed"
    );
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity + 1),
        published: Line(AtomicU64::new(0)),
        sender_gone: Line(AtomicBool::new(false)),
        receiver_gone: AtomicBool::new(false),
    });
    (
        Sender {
            shared: Arc::clone(&shared),
            capacity,
            pushed: 0,
            room: capacity,
            not_sync: PhantomData,
        },
        Receiver {
            shared,
            popped: 0,
            seen: 0,
            not_sync: PhantomData,
        },
    )
}

impl<T> Sender<T> {
    /// Adds `item`, or gives it back where there is no room.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        if self.room == 0 && self.refresh_room() == 0 {
            return Err(item);
        }
        self.shared.queue.push(item)?;
        self.room -= 1;
        self.pushed += 1;
        self.shared
            .published
            .0
            .store(self.pushed, Ordering::Release);
        Ok(())
    }

    /// Items pushed since the start.
    #[inline]
    pub(super) const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Whether an item fits now.
    #[inline]
    pub(super) fn has_room(&mut self) -> bool {
        self.room > 0 || self.refresh_room() > 0
    }

    /// How many items fit now.
    pub(super) fn refresh_room(&mut self) -> usize {
        self.room = self.capacity - self.len();
        self.room
    }

    /// Items that the receiver has not taken.
    pub(super) fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether the receiver was dropped.
    pub(super) fn receiver_gone(&self) -> bool {
        self.shared.receiver_gone.load(Ordering::Relaxed)
    }
}

impl<T> Receiver<T> {
    /// The next of the items that have been seen.
    #[inline]
    pub(super) fn pop_seen(&mut self) -> Option<T> {
        if self.popped == self.seen {
            return None;
        }
        let item = self.shared.queue.pop();
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
        self.seen = self.shared.published.0.load(Ordering::Acquire);
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
        let published = self.shared.published.0.load(Ordering::Acquire);
        (published - self.popped) as usize
    }

    /// Whether the sender was dropped. All that it pushed can be seen from here on.
    pub(super) fn sender_gone(&self) -> bool {
        self.shared.sender_gone.0.load(Ordering::Acquire)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_gone.0.store(true, Ordering::Release);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.store(true, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity)
            .field("len", &self.len())
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
