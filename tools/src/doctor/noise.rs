//! The machine's own noise: a thread on the core reads the clock again and again, and each time that passes
//! between two reads beyond the usual was taken by somebody else: an interrupt, another thread, the hypervisor.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tickwire::PinError;

use crate::stopwatch::Stopwatch;

/// Two reads of the clock are some 20 to 60 ns apart (a system call's clock: 1 µs). What takes longer than this
/// is a gap.
const GAP_MIN_NS: u64 = 1_000;

/// The longest gap that a histogram holds; longer ones count as this.
const GAP_MAX_NS: u64 = 60_000_000_000;

/// The noise could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum NoiseError {
    /// The core can't be had.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A thread could not be had, or has not come to its end.
    #[error("the measuring thread: {0}")]
    Thread(String),
}

/// What was taken from a thread that only wanted to spin.
#[derive(Clone, Debug)]
pub struct Noise {
    /// How long it spun.
    pub length: Duration,
    /// Reads of the clock in that time.
    pub reads: u64,
    /// Gaps, in nanoseconds.
    pub gaps: Histogram<u64>,
    /// All of them together, in nanoseconds.
    pub stolen_ns: u64,
}

/// Spins on `core` for `length`.
///
/// # Errors
/// Where the core can't be had.
pub fn measure(core: usize, length: Duration) -> Result<Noise, NoiseError> {
    let refused = |error: &dyn std::fmt::Display| NoiseError::Thread(error.to_string());
    let thread = std::thread::Builder::new()
        .name("tickwire-noise".to_owned())
        .spawn(move || -> Result<Noise, NoiseError> {
            tickwire::pin(core)?;
            spin(length)
        })
        .map_err(|error| refused(&error))?;
    thread.join().map_err(|_| refused(&"it panicked"))?
}

fn spin(length: Duration) -> Result<Noise, NoiseError> {
    let mut gaps = Histogram::new_with_bounds(GAP_MIN_NS, GAP_MAX_NS, 3)
        .map_err(|error| NoiseError::Thread(error.to_string()))?;
    let (mut reads, mut stolen_ns) = (0_u64, 0_u64);
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let started = Stopwatch::start();
    let mut before_ns = 0;
    while before_ns < length_ns {
        let now_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let gap_ns = now_ns - before_ns;
        if gap_ns >= GAP_MIN_NS {
            gaps.saturating_record(gap_ns);
            stolen_ns += gap_ns;
        }
        reads += 1;
        before_ns = now_ns;
    }
    Ok(Noise {
        length: Duration::from_nanos(before_ns),
        reads,
        gaps,
        stolen_ns,
    })
}

impl Noise {
    /// Gaps a second.
    pub fn gaps_per_s(&self) -> f64 {
        self.gaps.len() as f64 / self.length.as_secs_f64()
    }

    /// The share of the time that gaps took, from 0 to 1.
    pub fn stolen_share(&self) -> f64 {
        self.stolen_ns as f64 / 1e9 / self.length.as_secs_f64()
    }

    /// What a read of the clock costs, with the loop around it, in nanoseconds.
    pub fn read_ns(&self) -> f64 {
        let left_ns = self.length.as_nanos() as f64 - self.stolen_ns as f64;
        left_ns / self.reads.max(1) as f64
    }

    /// For programs; the histogram as pairs of lower bound in nanoseconds and count.
    pub fn to_json(&self) -> Value {
        let at = |quantile| self.gaps.value_at_quantile(quantile);
        let buckets = crate::report::buckets(&self.gaps);
        let buckets: Vec<Value> = buckets
            .iter()
            .map(|it| json!([it.from, it.count]))
            .collect();
        json!({
            "seconds": self.length.as_secs_f64(),
            "gap_min_ns": GAP_MIN_NS,
            "clock_read_ns": self.read_ns(),
            "gaps": self.gaps.len(),
            "gaps_per_s": self.gaps_per_s(),
            "stolen_share": self.stolen_share(),
            "p50_ns": at(0.5), "p99_ns": at(0.99), "p999_ns": at(0.999), "max_ns": self.gaps.max(),
            "histogram": buckets,
        })
    }
}
