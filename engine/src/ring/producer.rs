//! The loop's end of a ring.

use std::collections::VecDeque;

use tickwire_connectors::event::LostCounts;
use tickwire_connectors::{Event, StreamId, Wide};

use super::Placed;
use super::pending::Pending;
use super::spsc::Sender;

/// Waiting events that one push may deliver before its own. The rest goes with later pushes and
/// with [`Producer::flush`], so that a fresh event of a clean stream does not wait for thousands.
const FLUSH_PER_PUSH_MAX: usize = 64;

/// What a ring has carried and lost since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// Hot events put into the ring, `Lost` records among them.
    pub hot: u64,
    /// Wide events put into the ring.
    pub wide: u64,
    /// Hot events that went to the overflow table: the ring was full, or their stream was waiting.
    pub diverted: u64,
    /// Events counted lost, whether their record is delivered already or not.
    pub lost: LostCounts,
    /// State changes that later ones made unneeded before they could be delivered.
    pub states_merged: u64,
}

/// The loop's end of a ring: owned by one thread. Never waits and, but for
/// [`reserve_streams`](Producer::reserve_streams), never allocates. What happens when the strategy
/// falls behind is told in the [module's text](super).
///
/// Dropping it delivers what waits as far as there is room.
#[derive(Debug)]
pub struct Producer {
    hot: Sender<Event>,
    wide: Sender<Placed>,
    pending: Pending,
    /// Events of the account that wait for room: none of them is ever lost.
    backlog: VecDeque<Wide>,
    /// Room in the wide ring that events of the account have for themselves.
    reserved: usize,
    stats: RingStats,
}

impl Producer {
    pub(super) fn new(hot: Sender<Event>, wide: Sender<Placed>, streams: usize) -> Producer {
        let mut pending = Pending::default();
        pending.reserve(streams);
        Producer {
            hot,
            wide,
            pending,
            backlog: VecDeque::new(),
            reserved: 0,
            stats: RingStats::default(),
        }
    }

    /// Makes room in the overflow table for streams 0 to `count - 1` (512 bytes each); fewer
    /// than there are changes nothing. Allocates: call it when a stream is added, before its first
    /// event.
    pub fn reserve_streams(&mut self, count: usize) {
        self.pending.reserve(count);
    }

    /// Puts a hot event into the ring, or into its stream's entry of the overflow table.
    ///
    /// # Panics
    ///
    /// Where no room was reserved for the event's stream: a fault of the loop, found at the first
    /// event and not only when the ring is full.
    #[inline]
    pub fn push(&mut self, event: Event) {
        self.check(event.stream());
        if self.pending.is_dirty() {
            self.push_dirty(event);
        } else if let Err(event) = self.hot.push(event) {
            self.pending.take(event, &mut self.stats);
        } else {
            self.stats.hot += 1;
        }
    }

    /// Puts a wide event into the ring, after all hot events pushed so far. Where the wide queue is
    /// full, or hot events of its stream wait for room, it is counted lost.
    ///
    /// # Panics
    ///
    /// As [`push`](Producer::push).
    pub fn push_wide(&mut self, wide: &Wide) {
        self.check(wide.stream);
        self.deliver(FLUSH_PER_PUSH_MAX);
        if self.pending.holds(wide.stream) || !self.has_room_for_others() {
            self.pending.lose_wide(wide, &mut self.stats);
            return;
        }
        let placed = Placed {
            after: self.hot.pushed(),
            wide: *wide,
        };
        match self.wide.push(placed) {
            Ok(()) => self.stats.wide += 1,
            Err(_) => self.pending.lose_wide(wide, &mut self.stats),
        }
    }

    /// Puts an event of the account into the ring. Where there is no room it waits here, in order, and
    /// is never lost.
    ///
    /// # Panics
    ///
    /// As [`push`](Producer::push).
    pub fn push_account(&mut self, wide: &Wide) {
        self.check(wide.stream);
        self.backlog.push_back(*wide);
        self.deliver(FLUSH_PER_PUSH_MAX);
        self.deliver_account();
    }

    /// Keeps so many slots of the wide ring for events of the account.
    pub const fn reserve_account(&mut self, slots: usize) {
        self.reserved = slots;
    }

    /// Whether the wide ring has room for so many events beside what is kept, and none waits.
    pub fn has_account_room(&mut self, slots: usize) -> bool {
        self.backlog.is_empty() && self.wide.room() >= self.reserved + slots
    }

    /// Events that the strategy has taken so far, of both sizes, and how many wait for it.
    pub fn progress(&self) -> (u64, usize) {
        let waiting = self.hot.len() + self.wide.len();
        let pushed = self.hot.pushed() + self.wide.pushed();
        (
            pushed - (waiting as u64).min(pushed),
            waiting + self.backlog.len(),
        )
    }

    fn has_room_for_others(&mut self) -> bool {
        match self.reserved {
            0 => self.wide.has_room(),
            reserved => self.wide.room() > reserved,
        }
    }

    /// Whether events wait for room. Costs nothing.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        self.pending.is_dirty() || !self.backlog.is_empty()
    }

    /// Delivers what waits, as far as there is room. Call it once a turn while
    /// [`is_dirty`](Producer::is_dirty): without it the last events before a silence stay here.
    pub fn flush(&mut self) {
        // Bounded by the streams: two rounds each of at most two states, a top and a record.
        self.deliver(usize::MAX);
        self.deliver_account();
    }

    /// How many streams have events that wait for room.
    pub fn dirty_streams(&self) -> usize {
        self.pending.dirty_streams()
    }

    /// How many more hot events fit now.
    pub fn hot_room(&self) -> usize {
        self.hot.room()
    }

    /// How many more wide events fit now.
    pub fn wide_room(&self) -> usize {
        self.wide.room()
    }

    /// What the ring has carried and lost.
    pub const fn stats(&self) -> &RingStats {
        &self.stats
    }

    /// Whether the strategy has let go of its end: nobody will read what is pushed.
    pub fn consumer_gone(&self) -> bool {
        self.hot.receiver_gone()
    }

    #[cold]
    fn push_dirty(&mut self, event: Event) {
        self.deliver(FLUSH_PER_PUSH_MAX);
        if self.pending.holds(event.stream()) {
            self.pending.take(event, &mut self.stats);
        } else if let Err(event) = self.hot.push(event) {
            self.pending.take(event, &mut self.stats);
        } else {
            self.stats.hot += 1;
        }
    }

    fn deliver(&mut self, count_max: usize) {
        for _ in 0..count_max {
            let Some(event) = self.pending.next() else {
                return;
            };
            if self.hot.push(event).is_err() {
                return;
            }
            self.pending.delivered();
            self.stats.hot += 1;
        }
    }

    /// Behind the hot events of its stream that wait, an event of the account waits, too: state comes
    /// first.
    fn deliver_account(&mut self) {
        while let Some(wide) = self.backlog.front()
            && !self.pending.holds(wide.stream)
        {
            let placed = Placed {
                after: self.hot.pushed(),
                wide: *wide,
            };
            if self.wide.push(placed).is_err() {
                return;
            }
            self.backlog.pop_front();
            self.stats.wide += 1;
        }
    }

    #[inline]
    fn check(&self, stream: StreamId) {
        let (index, streams) = (stream.index(), self.pending.streams());
        assert!(
            index < streams,
            "stream {index} of a ring with room for {streams}"
        );
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.flush();
    }
}
