//! Latency histograms with one writer and readers that need no lock.
//!
//! hdrhistogram's own types have no reader beside the writer, so the cells here are our own atomics
//! in its bucket layout, and a reader turns them into a [`Histogram`] for percentiles.
//!
//! **Two significant figures**, not three: each power of two has 128 buckets, so a value is known to
//! better than 0.8 %. With three figures a histogram to 68 s is 216 KiB, as large as a core's whole
//! second-level cache on some machines, and it would push the books out of it; with two it is 30 KiB,
//! of which one decade of latencies touches about 4 KiB.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use hdrhistogram::Histogram;

/// See the module's text.
const SIGNIFICANT_FIGURES: u8 = 2;
/// Buckets of the first range, of width 1: the power of two above 2 × 10^figures.
const SUB_BUCKETS: u64 = 256;
const SUB_BUCKETS_LOG2: u32 = SUB_BUCKETS.ilog2();
const HALF: u64 = SUB_BUCKETS / 2;
/// Ranges: 256 values of width 1, then each doubles the highest value. 29 reach 2^36.
const RANGES: u32 = 29;
/// The first range has all its buckets, each later one the upper half.
const BUCKETS: usize = ((RANGES as u64 + 1) * HALF) as usize;

/// The cells of a latency histogram from 1 ns to [`Latency::MAX_NS`]. 30 KiB, on the heap.
///
/// This is the form to put into a shared structure: [`record`](Latency::record) is for **one**
/// writing thread, as with [`Counter`](super::Counter). [`latency_channel`] gives it as two ends,
/// with the one writer a matter of types.
pub struct Latency {
    cells: Box<[AtomicU64; BUCKETS]>,
    negative: AtomicU64,
    saturated: AtomicU64,
}

impl Latency {
    /// The highest value that has a bucket, 68.7 s; longer ones are recorded as this one.
    pub const MAX_NS: u64 = (SUB_BUCKETS << (RANGES - 1)) - 1;

    /// With no value in it.
    pub fn new() -> Latency {
        Latency {
            cells: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
            negative: AtomicU64::new(0),
            saturated: AtomicU64::new(0),
        }
    }

    /// Records a latency: some shifts, one load and one store. A negative one (two clocks that
    /// disagree) goes into no bucket and is counted apart. For the one writing thread.
    #[inline]
    pub fn record(&self, ns: i64) {
        let Ok(ns) = u64::try_from(ns) else {
            bump(&self.negative);
            return;
        };
        if ns > Latency::MAX_NS {
            bump(&self.saturated);
        }
        bump(&self.cells[index_of(ns.min(Latency::MAX_NS))]);
    }

    /// The counts now. Values that are recorded meanwhile are in or not; none is counted twice or in
    /// part. Allocates: for readers.
    pub fn counts(&self) -> LatencyCounts {
        LatencyCounts {
            buckets: self
                .cells
                .iter()
                .map(|cell| cell.load(Ordering::Relaxed))
                .collect(),
            negative: self.negative.load(Ordering::Relaxed),
            saturated: self.saturated.load(Ordering::Relaxed),
        }
    }

    /// All values so far, for percentiles. Allocates: for readers.
    pub fn snapshot(&self) -> Histogram<u64> {
        self.counts().histogram()
    }
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::new()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

/// What a [`Latency`] held at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyCounts {
    buckets: Box<[u64]>,
    negative: u64,
    saturated: u64,
}

impl LatencyCounts {
    /// Of nothing.
    pub fn none() -> LatencyCounts {
        LatencyCounts {
            buckets: vec![0; BUCKETS].into(),
            negative: 0,
            saturated: 0,
        }
    }

    /// Latencies in the buckets.
    pub fn recorded(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Latencies below zero, which are in no bucket.
    pub const fn negative(&self) -> u64 {
        self.negative
    }

    /// Latencies above [`Latency::MAX_NS`]; they are in the last bucket too.
    pub const fn saturated(&self) -> u64 {
        self.saturated
    }

    /// What was recorded since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &LatencyCounts) -> LatencyCounts {
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        LatencyCounts {
            buckets: pairs.map(|(now, then)| now.wrapping_sub(*then)).collect(),
            negative: self.negative.wrapping_sub(earlier.negative),
            saturated: self.saturated.wrapping_sub(earlier.saturated),
        }
    }

    /// The same buckets as a [`Histogram`]: equal to one that was given the values itself.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram =
            Histogram::new_with_bounds(1, Latency::MAX_NS, SIGNIFICANT_FIGURES).expect("fixed");
        for (index, &count) in self.buckets.iter().enumerate() {
            if count > 0 {
                histogram
                    .record_n(lowest_of(index), count)
                    .expect("the layouts are the same");
            }
        }
        histogram
    }
}

impl fmt::Debug for LatencyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyCounts")
            .field("recorded", &self.recorded())
            .field("negative", &self.negative)
            .field("saturated", &self.saturated)
            .finish_non_exhaustive()
    }
}

/// An empty histogram as its two ends.
pub fn latency_channel() -> (LatencyRecorder, LatencyReader) {
    let cells = Arc::new(Latency::new());
    let recorder = LatencyRecorder {
        cells: Arc::clone(&cells),
        not_sync: PhantomData,
    };
    (
        recorder,
        LatencyReader {
            cells,
            earlier: LatencyCounts::none(),
        },
    )
}

/// The end that writes: owned by one thread.
#[derive(Debug)]
pub struct LatencyRecorder {
    cells: Arc<Latency>,
    not_sync: PhantomData<Cell<()>>,
}

impl LatencyRecorder {
    /// Records a latency; see [`Latency::record`].
    #[inline]
    pub fn record(&mut self, ns: i64) {
        self.cells.record(ns);
    }
}

/// The end that reads. Each clone has intervals of its own.
#[derive(Clone, Debug)]
pub struct LatencyReader {
    cells: Arc<Latency>,
    earlier: LatencyCounts,
}

impl LatencyReader {
    /// All values since the start.
    pub fn snapshot(&self) -> Histogram<u64> {
        self.cells.snapshot()
    }

    /// All counts since the start, with those that are in no bucket.
    pub fn counts(&self) -> LatencyCounts {
        self.cells.counts()
    }

    /// The counts since the last call of this on this reader: how to start over without touching
    /// what the writer writes.
    pub fn interval(&mut self) -> LatencyCounts {
        let now = self.cells.counts();
        let interval = now.since(&self.earlier);
        self.earlier = now;
        interval
    }
}

#[inline]
fn bump(cell: &AtomicU64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// The bucket of `ns`, at most [`Latency::MAX_NS`].
#[inline]
pub(super) const fn index_of(ns: u64) -> usize {
    // How far the value must be shifted to lie within the sub-buckets; 0 for the first range.
    let range = (u64::BITS - SUB_BUCKETS_LOG2) - (ns | (SUB_BUCKETS - 1)).leading_zeros();
    (range as u64 * HALF + (ns >> range)) as usize
}

/// The lowest value of a bucket.
pub(super) const fn lowest_of(index: usize) -> u64 {
    let index = index as u64;
    if index < SUB_BUCKETS {
        return index;
    }
    let range = index / HALF - 1;
    (index - range * HALF) << range
}
