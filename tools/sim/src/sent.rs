//! The send log: when each sequence-numbered message left, so that a consumer can compute
//! wire-to-strategy latency by joining on the venue's own number.
//!
//! Each stream has one fixed ring of atomics with one writer (the simulator's thread); readers
//! take a read lock to find the ring and none to read it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::outbox::{Mark, MsgKind};
use crate::spec::SimVenue;

type Key = (SimVenue, String, MsgKind);

#[derive(Debug)]
struct Slot {
    seq: AtomicU64,
    scheduled_ns: AtomicI64,
    written_ns: AtomicI64,
}

#[derive(Debug)]
struct Ring {
    slots: Vec<Slot>,
    /// Entries written so far.
    count: AtomicU64,
}

impl Ring {
    fn new(size: usize) -> Self {
        let slots = (0..size.next_power_of_two().max(2))
            .map(|_| Slot {
                seq: AtomicU64::new(0),
                scheduled_ns: AtomicI64::new(0),
                written_ns: AtomicI64::new(0),
            })
            .collect();
        Self {
            slots,
            count: AtomicU64::new(0),
        }
    }

    fn slot(&self, index: u64) -> &Slot {
        &self.slots[index as usize & (self.slots.len() - 1)]
    }

    fn push(&self, seq: u64, scheduled_ns: i64, written_ns: i64) {
        let index = self.count.load(Ordering::Relaxed);
        let slot = self.slot(index);
        // Sequence 0 marks a slot under change; a reader checks the number on both sides. No
        // venue's sequence starts at 0.
        slot.seq.store(0, Ordering::SeqCst);
        slot.scheduled_ns.store(scheduled_ns, Ordering::SeqCst);
        slot.written_ns.store(written_ns, Ordering::SeqCst);
        slot.seq.store(seq, Ordering::SeqCst);
        self.count.store(index + 1, Ordering::Release);
    }

    /// The entries that are still there.
    fn range(&self) -> Range<u64> {
        let end = self.count.load(Ordering::Acquire);
        end.saturating_sub(self.slots.len() as u64)..end
    }

    /// The first of these entries that carries `seq`.
    fn find(&self, seq: u64, entries: impl Iterator<Item = u64>) -> Option<(i64, i64)> {
        for index in entries {
            let slot = self.slot(index);
            let found = slot.seq.load(Ordering::SeqCst);
            if found == seq {
                let times = (
                    slot.scheduled_ns.load(Ordering::SeqCst),
                    slot.written_ns.load(Ordering::SeqCst),
                );
                return (slot.seq.load(Ordering::SeqCst) == seq).then_some(times);
            }
        }
        None
    }
}

/// When one message left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When the market scheduled it.
    pub scheduled: Instant,
    /// The same moment on the simulator's clock, ns since 1970: what the times of a
    /// [`crate::FaultRecord`] are to be compared with.
    pub scheduled_ns: i64,
    /// Just before it was handed to the TLS layer.
    pub written: Instant,
    /// The generator was still busy with earlier work at the scheduled time, so that its own
    /// delay would hide the consumer's (coordinated omission).
    pub late: bool,
}

impl Sent {
    /// The instant from which a fair latency is counted: the scheduled one if the generator was
    /// late, else the write.
    #[must_use]
    pub fn at(&self) -> Instant {
        if self.late {
            self.scheduled
        } else {
            self.written
        }
    }
}

/// The shared side: how wall-clock time maps to [`Instant`], and the rings.
#[derive(Debug)]
pub(crate) struct SentInner {
    base: Instant,
    base_ns: i64,
    rings: RwLock<HashMap<Key, Arc<Ring>>>,
}

/// A handle to the send log. Cloning is cheap; any thread may hold one.
#[derive(Clone, Debug)]
pub struct SendLog(pub(crate) Arc<SentInner>);

impl SendLog {
    pub(crate) fn new(base: Instant, base_ns: i64) -> Self {
        Self(Arc::new(SentInner {
            base,
            base_ns,
            rings: RwLock::default(),
        }))
    }

    /// When the message of this stream that carries `seq` left, if the ring still knows: `seq` is
    /// the venue's own number (trade id for trades at Binance, `seq` at Bybit; `u` for depth,
    /// bookTicker and level 1). With several subscribers it is the first connection's write.
    #[must_use]
    pub fn at(&self, venue: SimVenue, symbol: &str, kind: MsgKind, seq: u64) -> Option<Instant> {
        self.entry(venue, symbol, kind, seq).map(|sent| sent.at())
    }

    /// The same with both instants.
    #[must_use]
    pub fn entry(&self, venue: SimVenue, symbol: &str, kind: MsgKind, seq: u64) -> Option<Sent> {
        let ring = self.ring(&(venue, symbol.to_owned(), kind))?;
        // Readers follow close behind the writer: look from the newest back.
        self.sent(ring.find(seq, ring.range().rev())?)
    }

    /// The same of the oldest message that carries `seq`: a snapshot has the number of the delta
    /// before it. Slower: it looks from the oldest on.
    #[must_use]
    pub fn first_entry(
        &self,
        venue: SimVenue,
        symbol: &str,
        kind: MsgKind,
        seq: u64,
    ) -> Option<Sent> {
        let ring = self.ring(&(venue, symbol.to_owned(), kind))?;
        self.sent(ring.find(seq, ring.range())?)
    }

    fn sent(&self, (scheduled_ns, written_ns): (i64, i64)) -> Option<Sent> {
        // The sign of the written time carries the "late" flag: a slot stays three words.
        let (late, written_ns) = (written_ns < 0, written_ns.abs());
        Some(Sent {
            scheduled: self.instant(scheduled_ns),
            scheduled_ns,
            written: self.instant(written_ns),
            late,
        })
    }

    fn ring(&self, key: &Key) -> Option<Arc<Ring>> {
        self.0
            .rings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    fn instant(&self, ns: i64) -> Instant {
        let offset = ns - self.0.base_ns;
        let duration = Duration::from_nanos(offset.unsigned_abs());
        if offset >= 0 {
            self.0.base + duration
        } else {
            // A schedule can lie at most one start-up before the base.
            self.0.base.checked_sub(duration).unwrap_or(self.0.base)
        }
    }
}

/// The writer's side: rings by small index.
#[derive(Debug)]
pub(crate) struct SentWriter {
    log: SendLog,
    venue: SimVenue,
    ring_size: usize,
    rings: Vec<Arc<Ring>>,
}

impl SentWriter {
    pub(crate) fn new(log: SendLog, venue: SimVenue, ring_size: usize) -> Self {
        Self {
            log,
            venue,
            ring_size,
            rings: Vec::new(),
        }
    }

    /// Opens (or finds) the ring of a stream: made at its first subscription, so that a thousand
    /// idle instruments cost nothing.
    pub(crate) fn open(&mut self, symbol: &str, kind: MsgKind) -> u32 {
        let key = (self.venue, symbol.to_owned(), kind);
        let mut map = self
            .log
            .0
            .rings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let ring = map
            .entry(key)
            .or_insert_with(|| Arc::new(Ring::new(self.ring_size)));
        let known = self.rings.iter().position(|r| Arc::ptr_eq(r, ring));
        known.unwrap_or_else(|| {
            self.rings.push(Arc::clone(ring));
            self.rings.len() - 1
        }) as u32
    }

    /// Records one emission.
    pub(crate) fn record(&self, mark: Mark, written_ns: i64, late: bool) {
        if let Some(ring) = self.rings.get(mark.ring as usize) {
            ring.push(
                mark.seq,
                mark.at_ns,
                if late { -written_ns } else { written_ns },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_forgets_the_oldest_and_finds_the_rest() {
        let log = SendLog::new(crate::clock::Clock::start().base, 1_000);
        let mut writer = SentWriter::new(log.clone(), SimVenue::BinanceSpot, 4);
        let ring = writer.open("BTCUSDT", MsgKind::Trade);
        assert_eq!(ring, writer.open("BTCUSDT", MsgKind::Trade));
        for seq in 1..=6u64 {
            let at_ns = 1_000 + seq as i64 * 10;
            writer.record(Mark { ring, seq, at_ns }, at_ns + 5, seq == 6);
        }
        let at = |seq| log.at(SimVenue::BinanceSpot, "BTCUSDT", MsgKind::Trade, seq);
        assert_eq!(at(2), None);
        assert_eq!(at(3), Some(log.0.base + Duration::from_nanos(35)));
        // The late one counts from its schedule.
        assert_eq!(at(6), Some(log.0.base + Duration::from_nanos(60)));
        // A snapshot with the number of an earlier message.
        let again = Mark {
            ring,
            seq: 5,
            at_ns: 1_070,
        };
        writer.record(again, 1_075, false);
        let (venue, kind) = (SimVenue::BinanceSpot, MsgKind::Trade);
        let newest = log.entry(venue, "BTCUSDT", kind, 5).unwrap();
        let oldest = log.first_entry(venue, "BTCUSDT", kind, 5).unwrap();
        assert_eq!((oldest.scheduled_ns, newest.scheduled_ns), (1_050, 1_070));
        assert_eq!(
            log.at(SimVenue::BybitSpot, "BTCUSDT", MsgKind::Trade, 3),
            None
        );
    }
}
