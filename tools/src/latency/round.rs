//! A round: an open-loop sender on an absolute schedule, and the consumer of the ring on the same thread.

use std::time::{Duration, Instant};

use super::server::Link;
use super::shape::{BASE, Frame, Shape};
use super::spread::Spread;
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
const BURST_BATCH: usize = 16;

/// Bytes of a burst: more of the largest messages shows nothing more, and keeps slow clients busy for minutes.
const BURST_BYTES_MAX: u64 = 64 << 20;

/// The longest latency that a histogram holds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

fn now() -> Instant {
    Stopwatch::start().into()
}

/// Messages before a round, so that all that it touches is warm; each instrument has one at least.
const WARM: usize = 500;

/// Between two messages of the warm-up, before and after the first of them has arrived.
const WARM_PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_micros(200)];

/// Messages on their way: the next one, the links that they go out on, and what has come back of each instrument.
struct Course<'a, P> {
    spread: Spread,
    frame: Frame,
    /// By socket.
    links: &'a mut [Link],
    pop: P,
    /// Of the last message.
    number: u64,
    /// Of the last one that came back, by turn.
    seen: Vec<u64>,
}

impl<P: FnMut() -> Option<u64>> Course<'_, P> {
    /// Sends the next message.
    fn send(&mut self) -> Result<(), String> {
        self.number += 1;
        self.frame.set(self.number);
        let socket = self
            .spread
            .socket_of(self.spread.instrument_of(self.number));
        self.links[socket].send(&self.frame.bytes)
    }

    /// Sends what sockets had no room for. Gives whether all has gone.
    fn flush(&mut self) -> Result<bool, String> {
        let mut all_gone = true;
        for link in &mut *self.links {
            all_gone &= link.flush()?;
        }
        Ok(all_gone)
    }

    /// Takes what has come back.
    fn note_all(&mut self) {
        while let Some(got) = (self.pop)() {
            // What is below came with the beginning of a book.
            if got > BASE {
                self.seen[self.spread.turn_of(got)] = got;
            }
        }
    }

    fn flush_for(&mut self, pause: Duration) -> Result<(), String> {
        let started = now();
        while started.elapsed() < pause {
            self.flush()?;
            self.note_all();
        }
        Ok(())
    }

    /// Until the clients are up and all books whole, and then until caches are warm; all that was sent has come
    /// back then.
    fn warm_up(&mut self, shape: &Shape) -> Result<(), String> {
        for instrument in 0..self.spread.instruments() {
            let first = shape.first(instrument);
            self.links[self.spread.socket_of(instrument)].send(&first)?;
        }
        let patience = PATIENCE + WARM_PAUSES[1] * 10 * self.spread.instruments() as u32;
        let started = now();
        let mut warm = 0;
        while warm < WARM.max(self.spread.instruments()) {
            self.send()?;
            let nothing = self.seen.iter().all(|seen| *seen == BASE);
            self.flush_for(WARM_PAUSES[usize::from(!nothing)])?;
            let silent = self.seen.iter().filter(|seen| **seen == BASE).count();
            warm = if silent == 0 { warm + 1 } else { 0 };
            if started.elapsed() > patience {
                let all = self.spread.instruments();
                return Err(format!(
                    "{}: of {silent} of {all} instruments nothing arrives",
                    shape.name
                ));
            }
        }
        let settling = now();
        loop {
            let round = self.number - self.spread.instruments() as u64;
            let away = self.seen.iter().filter(|seen| **seen <= round).count();
            if away == 0 {
                return Ok(());
            }
            if settling.elapsed() > PATIENCE {
                return Err(format!("{away} of the last messages stay away"));
            }
            self.flush_for(WARM_PAUSES[1])?;
        }
    }

    /// Sends on an absolute schedule, and gives how late each message came back.
    fn keep_time(&mut self, ask: Ask, latency: &mut Histogram) -> Result<u64, String> {
        let interval_ns = 1_000_000_000 / ask.rate.max(1);
        let count = (ask.length.as_nanos() as u64 / interval_ns).max(1);
        let (first, start) = (self.number, now() + Duration::from_millis(1));
        let due = |number: u64| start + Duration::from_nanos((number - first - 1) * interval_ns);
        let last = first + count;
        let mut arrived = 0;
        while arrived < count {
            let turn = now();
            if self.number < last && turn >= due(self.number + 1) {
                self.send()?;
            }
            self.flush()?;
            while let Some(got) = (self.pop)() {
                let late = now().saturating_duration_since(due(got));
                latency.saturating_record(late.as_nanos() as u64);
                arrived += 1;
            }
            if turn.saturating_duration_since(due(last)) > PATIENCE {
                return Err(format!("{arrived} of {count} arrived"));
            }
        }
        Ok(count)
    }

    /// Sends as fast as it is taken, many messages a record. Gives messages a second.
    fn burst(&mut self, burst: u64) -> Result<f64, String> {
        let (first, start) = (self.number, now());
        let mut arrived = 0;
        let mut count = |pop: &mut P| {
            while pop().is_some() {
                arrived += 1;
            }
            arrived
        };
        let mut batches = vec![Vec::new(); self.spread.sockets()];
        while self.number < first + burst {
            for _ in 0..BURST_BATCH * self.spread.sockets() {
                self.number += 1;
                self.frame.set(self.number);
                let socket = self
                    .spread
                    .socket_of(self.spread.instrument_of(self.number));
                batches[socket].extend_from_slice(&self.frame.bytes);
            }
            for (link, batch) in self.links.iter_mut().zip(&mut batches) {
                link.send(batch)?;
                batch.clear();
            }
            while !self.flush()? {
                count(&mut self.pop);
            }
            count(&mut self.pop);
        }
        let sent = self.number - first;
        let waiting = now();
        while count(&mut self.pop) < sent {
            self.flush()?;
            if waiting.elapsed() > PATIENCE {
                let away = sent - count(&mut self.pop);
                return Err(format!("{away} of {sent} messages of the burst stay away"));
            }
        }
        Ok(sent as f64 / start.elapsed().as_secs_f64())
    }
}

/// Runs a round: messages go out on `links`, one for each socket; `pop` gives the number of the newest event.
///
/// # Errors
/// In words, where messages stay away.
pub(super) fn run(
    shape: &Shape,
    ask: Ask,
    links: &mut [Link],
    pop: impl FnMut() -> Option<u64>,
    mut allocations: impl FnMut() -> (u64, u64),
) -> Result<Round, String> {
    let mut course = Course {
        spread: shape.spread,
        frame: shape.frame(),
        links,
        pop,
        number: BASE,
        seen: vec![BASE; shape.spread.instruments()],
    };
    course.warm_up(shape)?;
    let mut latency =
        Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).map_err(|it| it.to_string())?;
    let before = allocations();
    let sent = course.keep_time(ask, &mut latency)?;
    let after = allocations();
    let burst = ask
        .burst
        .min(BURST_BYTES_MAX / course.frame.bytes.len() as u64);
    let burst_msgs_s = match burst {
        0 => 0.0,
        burst => course.burst(burst)?,
    };
    Ok(Round {
        latency,
        sent,
        burst_msgs_s,
        allocations: (after.0 - before.0, after.1 - before.1),
    })
}
