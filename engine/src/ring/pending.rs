//! The table beside a full ring: what each stream still has to say.

use std::collections::VecDeque;

use tickwire_connectors::event::{LostCounts, Stamp};
use tickwire_connectors::{Body, Event, StreamId, Wide};
use tickwire_orderbook::Scale;

use super::producer::RingStats;

/// An entry for each stream and the queue of those that are dirty. Nothing here allocates but
/// [`Pending::reserve`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: Vec<Entry>,
    /// Dirty streams, the longest waiting first, each once: at most as many as there are streams.
    queue: VecDeque<u32>,
}

/// What waits for one stream.
#[derive(Clone, Debug, Default)]
struct Entry {
    dirty: bool,
    /// The top has gone out in this round; a newer one waits for the next.
    bbo_sent: bool,
    /// The first state that is not Live, where a later one follows it.
    first_state: Option<Event>,
    /// The latest state.
    state: Option<Event>,
    /// The newest top of book: newer than both states, and the state allows it.
    bbo: Option<Event>,
    lost: LostCounts,
    /// As of the stream's newest event; `Some` while dirty.
    stamp: Option<Stamp>,
}

const _: () = assert!(
    size_of::<Entry>() <= 512,
    "Producer::reserve_streams tells this size"
);

impl Pending {
    /// Makes room for streams 0 to `count - 1`.
    pub(super) fn reserve(&mut self, count: usize) {
        if count > self.entries.len() {
            self.entries.resize_with(count, Entry::default);
            self.queue.reserve(count - self.queue.len());
        }
    }

    /// Streams that there is room for.
    #[inline]
    pub(super) fn streams(&self) -> usize {
        self.entries.len()
    }

    /// Whether anything waits.
    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many streams have something waiting.
    pub(super) fn dirty_streams(&self) -> usize {
        self.queue.len()
    }

    /// Whether something waits for `stream`.
    #[inline]
    pub(super) fn holds(&self, stream: StreamId) -> bool {
        self.is_dirty() && self.entries[stream.index()].dirty
    }

    /// Takes a hot event that could not go into the ring.
    #[cold]
    pub(super) fn take(&mut self, event: Event, stats: &mut RingStats) {
        if matches!(event.body(), Body::Lost(record) if record.counts().total() == 0) {
            return;
        }
        let entry = self.mark(event.stream());
        entry.stamp = Some(event.stamp());
        let mut lost = LostCounts::default();
        match event.body() {
            Body::State(_) => {
                lost.bbo = u64::from(entry.bbo.take().is_some());
                stats.states_merged += entry.take_state(event);
            }
            Body::Bbo(_) if entry.state.is_some_and(|state| !state.is_live()) => lost.bbo = 1,
            Body::Bbo(_) => lost.bbo = u64::from(entry.bbo.replace(event).is_some()),
            Body::Trade(_) => lost.trades = 1,
            Body::Level(_) => lost.levels = 1,
            // Not from a connector; a record that came from another ring keeps its counts.
            Body::Lost(record) => add(&mut entry.lost, record.counts()),
        }
        add(&mut entry.lost, lost);
        add(&mut stats.lost, lost);
        stats.diverted += 1;
    }

    /// Counts a wide event that could not go into the ring.
    #[cold]
    pub(super) fn lose_wide(&mut self, wide: &Wide, stats: &mut RingStats) {
        let entry = self.mark(wide.stream);
        let stamp = entry.stamp.get_or_insert_with(|| bare_stamp(wide));
        stamp.epoch = wide.epoch;
        stamp.state = wide.state;
        stamp.recv_ns = wide.recv_ns;
        entry.lost.wide += 1;
        stats.lost.wide += 1;
    }

    /// The next event to deliver. It stays until [`Pending::delivered`] is called.
    pub(super) fn next(&self) -> Option<Event> {
        let entry = &self.entries[*self.queue.front()? as usize];
        let event = entry.next();
        assert!(
            event.is_some(),
            "a dirty stream with nothing to say: {entry:?}"
        );
        event
    }

    /// Forgets what [`Pending::next`] gave: it is in the ring.
    pub(super) fn delivered(&mut self) {
        let Some(&stream) = self.queue.front() else {
            return;
        };
        let entry = &mut self.entries[stream as usize];
        entry.delivered();
        if entry.next().is_some() {
            return;
        }
        entry.bbo_sent = false;
        self.queue.pop_front();
        if entry.bbo.is_some() {
            self.queue.push_back(stream);
        } else {
            entry.dirty = false;
            entry.stamp = None;
        }
    }

    fn mark(&mut self, stream: StreamId) -> &mut Entry {
        let entry = &mut self.entries[stream.index()];
        if !entry.dirty {
            entry.dirty = true;
            self.queue.push_back(stream.index() as u32);
        }
        entry
    }
}

impl Entry {
    /// Keeps `state` as the latest; says how many older ones (0 or 1) that merged away.
    fn take_state(&mut self, state: Event) -> u64 {
        match self.state.replace(state) {
            None => 0,
            Some(older) if self.first_state.is_none() && !older.is_live() => {
                self.first_state = Some(older);
                0
            }
            Some(_) => 1,
        }
    }

    /// What this round still has to deliver.
    fn next(&self) -> Option<Event> {
        let bbo = if self.bbo_sent { None } else { self.bbo };
        self.first_state.or(self.state).or(bbo).or_else(|| {
            let stamp = self
                .stamp
                .as_ref()
                .filter(|_| self.lost != LostCounts::default())?;
            Some(Event::lost(stamp, self.lost))
        })
    }

    /// Takes off what [`Entry::next`] gave.
    fn delivered(&mut self) {
        if self.first_state.take().is_some() || self.state.take().is_some() {
            return;
        }
        if !self.bbo_sent && self.bbo.take().is_some() {
            self.bbo_sent = true;
            return;
        }
        self.lost = LostCounts::default();
    }
}

/// Of a stream of which the table knows no hot event.
fn bare_stamp(wide: &Wide) -> Stamp {
    Stamp {
        stream: wide.stream,
        source: wide.source,
        epoch: wide.epoch,
        state: wide.state,
        price_scale: Scale::of(0),
        qty_scale: Scale::of(0),
        seq: wide.seq,
        exch_ns: wide.exch_ns,
        recv_ns: wide.recv_ns,
    }
}

fn add(counts: &mut LostCounts, more: LostCounts) {
    counts.bbo += more.bbo;
    counts.trades += more.trades;
    counts.levels += more.levels;
    counts.wide += more.wide;
}
