//! The streams of a connector, each under its number, with its timers.

use rustc_hash::FxHashMap;

use super::entry::{Entry, Kept, Phase};
use crate::event::StreamId;
use crate::stream::{CROWD, Stream};
use crate::time::Nanos;
use crate::timers::Timers;
use crate::upkeep::Upkeep;

/// Entries by slot; a slot is used again once its entry is forgotten.
#[derive(Debug)]
pub(crate) struct Table<K> {
    /// The slots of streams, by number.
    ids: FxHashMap<StreamId, usize>,
    entries: Vec<Option<Box<Entry<K>>>>,
    free: Vec<usize>,
    next_serial: u32,
    pub(crate) timers: Timers,
}

impl<K: Kept> Table<K> {
    pub(crate) fn new() -> Table<K> {
        Table {
            ids: FxHashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            next_serial: 0,
            timers: Timers::new(),
        }
    }

    pub(crate) fn slot_of(&self, id: StreamId) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<&Entry<K>> {
        self.entries.get(slot)?.as_deref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut Entry<K>> {
        self.entries.get_mut(slot)?.as_deref_mut()
    }

    /// Whether there are so many that a message finds its stream far away: see [`Entry::prefetch`].
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.entries.len() >= CROWD
    }

    /// Slots have lower numbers.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Entry<K>)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(slot, entry)| Some((slot, entry.as_deref()?)))
    }

    /// A new entry, which has no slot yet.
    pub(crate) fn make(
        &mut self,
        stream: Stream,
        own: K,
        phase: Phase,
        upkeep: &Upkeep,
    ) -> Box<Entry<K>> {
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        Box::new(Entry::new(stream, own, phase, upkeep, serial))
    }

    /// Gives an entry a slot. A hidden one is found by no number.
    pub(crate) fn insert(&mut self, entry: Box<Entry<K>>) -> usize {
        let slot = self.free.pop().unwrap_or(self.entries.len());
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        if !entry.hidden {
            self.ids.insert(entry.stream.id, slot);
        }
        self.put(slot, entry);
        slot
    }

    /// Takes an entry out of its slot, to be [`put`](Table::put) back or
    /// [forgotten](Table::forget).
    pub(crate) fn take(&mut self, slot: usize) -> Option<Box<Entry<K>>> {
        self.entries.get_mut(slot)?.take()
    }

    pub(crate) fn put(&mut self, slot: usize, entry: Box<Entry<K>>) {
        self.timers.arm(slot, entry.deadline());
        if let Some(place) = self.entries.get_mut(slot) {
            *place = Some(entry);
        }
    }

    /// The number and the slot of an entry that was taken are free again.
    pub(crate) fn forget(&mut self, slot: usize, id: StreamId) {
        if self.slot_of(id) == Some(slot) {
            self.ids.remove(&id);
        }
        self.timers.disarm(slot);
        self.free.push(slot);
    }

    /// What was done to an entry may have changed when it is next to be looked at.
    #[inline]
    pub(crate) fn arm(&mut self, slot: usize) {
        if let Some(entry) = self.entries.get(slot).and_then(Option::as_deref) {
            self.timers.arm(slot, entry.deadline());
        }
    }

    /// As [`arm`](Table::arm), after the entry was looked at: not at once again, so that nothing can keep
    /// the loop.
    pub(crate) fn arm_later(&mut self, now: Nanos, slot: usize) {
        if let Some(entry) = self.entries.get(slot).and_then(Option::as_deref) {
            self.timers.arm(slot, entry.deadline().max(now + Nanos(1)));
        }
    }
}
