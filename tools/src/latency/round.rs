//! A round: an open-loop sender on an absolute schedule, and the consumer of the ring on the same thread.

use std::time::{Duration, Instant};

use super::shape::{BASE, Shape};
use crate::stopwatch::Stopwatch;

/// Latencies in nanoseconds, to three digits.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// What a round has shown.
#[derive(Debug)]
pub struct Round {
    /// From the scheduled send to the pop.
    pub latency: Histogram,
    /// Messages that were sent on schedule.
    pub sent: u64,
    /// Messages a second in a burst, from the first send to the last pop.
    pub burst_msgs_s: f64,
    /// Allocations of the loop's thread while timed: ours, and inside TLS.
    pub allocations: (u64, u64),
}

/// What is asked of a round.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Messages a second.
    pub rate: u64,
    /// How long.
    pub length: Duration,
    /// Messages of the burst, 64 MiB at most; 0 for none.
    pub burst: u64,
}

/// Nothing comes for so long: something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages of a burst that share a TLS record and a write, as venues coalesce them.
const BURST_BATCH: u64 = 16;

/// Bytes of a burst: more of the largest messages shows nothing more, and keeps slow clients busy for minutes.
const BURST_BYTES_MAX: u64 = 64 << 20;

/// The longest latency that a histogram holds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

fn now() -> Instant {
    Stopwatch::start().into()
}

/// Runs a round: `send` takes bytes and says whether the socket took all that was given so far; `pop`
/// gives the number of the newest event.
///
/// # Errors
/// In words, where messages stay away.
pub(super) fn run(
    shape: &Shape,
    ask: Ask,
    mut send: impl FnMut(&[u8]) -> Result<bool, String>,
    mut pop: impl FnMut() -> Option<u64>,
    mut allocations: impl FnMut() -> (u64, u64),
) -> Result<Round, String> {
    let mut frame = shape.frame();
    let mut number = BASE;
    let mut seen = BASE;
    if !shape.first().is_empty() {
        send(shape.first())?;
    }
    // Until the client is up and its book is whole, and then until its caches are warm.
    let started = now();
    let mut warm = 0;
    while warm < 500 {
        number += 1;
        frame.set(number);
        send(&frame.bytes)?;
        let pause = now();
        while pause.elapsed() < Duration::from_micros(if warm == 0 { 5_000 } else { 200 }) {
            send(&[])?;
            while let Some(got) = pop() {
                seen = seen.max(got);
            }
        }
        warm = if seen > BASE { warm + 1 } else { 0 };
        if started.elapsed() > PATIENCE {
            return Err(format!("{}: nothing arrives", shape.name));
        }
    }
    wait_for(number, &mut seen, &mut send, &mut pop)?;
    let mut latency =
        Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).map_err(|it| it.to_string())?;
    let before = allocations();
    let interval_ns = 1_000_000_000 / ask.rate.max(1);
    let count = (ask.length.as_nanos() as u64 / interval_ns).max(1);
    let (first, start) = (number, now() + Duration::from_millis(1));
    let due = |number: u64| start + Duration::from_nanos((number - first - 1) * interval_ns);
    let last = first + count;
    while seen < last {
        let turn = now();
        if number < last && turn >= due(number + 1) {
            number += 1;
            frame.set(number);
            send(&frame.bytes)?;
        } else {
            send(&[])?;
        }
        while let Some(got) = pop() {
            let late = now().saturating_duration_since(due(got));
            latency.saturating_record(late.as_nanos() as u64);
            seen = got;
        }
        if turn.saturating_duration_since(due(last)) > PATIENCE {
            return Err(format!(
                "{}: {} of {count} arrived",
                shape.name,
                seen - first
            ));
        }
    }
    let after = allocations();
    let mut burst_msgs_s = 0.0;
    let burst = ask.burst.min(BURST_BYTES_MAX / frame.bytes.len() as u64);
    if burst > 0 {
        let (first, start) = (number, now());
        let mut batch = Vec::new();
        while number < first + burst {
            batch.clear();
            for _ in 0..BURST_BATCH {
                number += 1;
                frame.set(number);
                batch.extend_from_slice(&frame.bytes);
            }
            let mut taken = send(&batch)?;
            while !taken {
                while let Some(got) = pop() {
                    seen = got;
                }
                taken = send(&[])?;
            }
            while let Some(got) = pop() {
                seen = got;
            }
        }
        wait_for(number, &mut seen, &mut send, &mut pop)?;
        burst_msgs_s = (number - first) as f64 / start.elapsed().as_secs_f64();
    }
    Ok(Round {
        latency,
        sent: count,
        burst_msgs_s,
        allocations: (after.0 - before.0, after.1 - before.1),
    })
}

fn wait_for(
    number: u64,
    seen: &mut u64,
    send: &mut impl FnMut(&[u8]) -> Result<bool, String>,
    pop: &mut impl FnMut() -> Option<u64>,
) -> Result<(), String> {
    let started = now();
    while *seen < number {
        send(&[])?;
        while let Some(got) = pop() {
            *seen = got;
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("{} of the last messages stay away", number - *seen));
        }
    }
    Ok(())
}
