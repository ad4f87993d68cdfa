//! What the loop tells about itself while it runs: written by its thread, read by any other, without
//! a lock, a locked instruction or an allocation on the writing side.
//!
//! Each cell has **one** writing thread. Readers see each cell whole and never going back, but cells
//! of one block may be a few events apart; a reader that needs a rate takes two snapshots and their
//! difference, nothing is ever reset under the writer.

pub mod counters;
pub mod latency;
#[cfg(test)]
mod tests;

pub use hdrhistogram::Histogram;

pub use counters::{
    Counter, LinkCounters, LinkSnapshot, LoopCounters, LoopSnapshot, RingCounters, RingSnapshot,
};
pub use latency::{Latency, LatencyCounts, LatencyReader, LatencyRecorder, latency_channel};
