//! The synthetic market: instruments, their books and the order flow that moves them. It knows no
//! venue's wire format; it counts ticks, lots and update ids.

mod book;
mod flow;
mod instrument;
mod tape;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};

pub(crate) use book::{Book, Change, Side};
pub(crate) use instrument::InstrumentSpec;
pub(crate) use tape::{Bar, Tape};

use crate::error::SimError;
use crate::spec::{SimVenue, VenueSpec};
use crate::truth::{History, SharedHistory, lock};
use flow::Flow;

/// One trade: one resting level hit by one taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trade {
    /// Trade id, rising by 1 an instrument.
    pub(crate) id: u64,
    /// Price, in ticks.
    pub(crate) price: i64,
    /// Quantity, in lots.
    pub(crate) qty: i64,
    /// The buyer rested: the taker sold.
    pub(crate) buyer_maker: bool,
    /// Update id of the level change it caused.
    pub(crate) update_id: u64,
}

/// What one market event did.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) instrument: usize,
    /// When it happened, ns since 1970.
    pub(crate) at_ns: i64,
    pub(crate) changes: Vec<Change>,
    pub(crate) trades: Vec<Trade>,
    pub(crate) top_changed: bool,
}

/// One instrument, live.
#[derive(Debug)]
pub(crate) struct Instrument {
    pub(crate) spec: InstrumentSpec,
    pub(crate) book: Book,
    pub(crate) tape: Tape,
    /// Id of its newest change.
    pub(crate) last_id: u64,
    pub(crate) history: SharedHistory,
    flow: Flow,
}

/// The instruments of one venue-market and the order of their events.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) instruments: Vec<Instrument>,
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    rng: fastrand::Rng,
    /// Futures venues number updates over all symbols together; spot numbers each symbol's own
    /// (visible in recorded `U`, `u`, `pu`).
    shared_id: Option<u64>,
    rate_per_s: f64,
    paused_at: Option<i64>,
    /// Sum of all pauses: the market's clock stands still in them.
    shift_ns: i64,
}

impl Market {
    pub(crate) fn new(spec: &VenueSpec, seed: u64, now: i64) -> Result<Self, SimError> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let listed = instrument::list(spec, &mut rng)?;
        if spec.levels < 25 {
            let what = "a book needs at least 25 levels a side";
            return Err(SimError::BadSpec {
                venue: spec.venue,
                what,
            });
        }
        let shared = spec.venue != SimVenue::BinanceSpot;
        let shared_id = shared.then(|| rng.u64(1_000_000_000..900_000_000_000));
        let mut market = Self {
            instruments: Vec::with_capacity(listed.len()),
            queue: BinaryHeap::new(),
            rng,
            shared_id,
            rate_per_s: spec.rate_per_s,
            paused_at: None,
            shift_ns: 0,
        };
        for one in listed {
            market.push_instrument(one, spec, now);
        }
        market.set_rate(spec.rate_per_s, now);
        Ok(market)
    }

    fn push_instrument(&mut self, one: InstrumentSpec, spec: &VenueSpec, now: i64) {
        let rng = fastrand::Rng::with_seed(self.rng.u64(..));
        let last_id = self
            .shared_id
            .unwrap_or_else(|| self.rng.u64(10_000_000..60_000_000_000));
        let mut flow = Flow::new(
            rng,
            (one.mid_ticks, one.ticks_max),
            spec.levels,
            spec.bursts,
        );
        let book = flow.initial_book(&one);
        let history = Arc::new(Mutex::new(History::new(one.price, one.qty, spec.history)));
        lock(&history).reset(&book, last_id);
        let tape = Tape::new(&one, &mut self.rng, now);
        self.instruments.push(Instrument {
            spec: one,
            book,
            tape,
            last_id,
            history,
            flow,
        });
    }

    /// Changes the mean event rate; every instrument's next event is drawn anew.
    pub(crate) fn set_rate(&mut self, rate_per_s: f64, now: i64) {
        self.rate_per_s = rate_per_s;
        self.queue.clear();
        if rate_per_s <= 0.0 {
            return;
        }
        // Activity falls off with rank, as on a real venue: instrument n gets weight 1/(n+1)^0.5.
        let weight = |index: usize| 1.0 / ((index + 1) as f64).sqrt();
        let total: f64 = (0..self.instruments.len()).map(weight).sum();
        for (index, one) in self.instruments.iter_mut().enumerate() {
            one.flow.set_rate(rate_per_s * weight(index) / total);
            let at = now - self.shift_ns + one.flow.next_gap_ns();
            self.queue.push(Reverse((at, index)));
        }
    }

    /// When the next event is due; `None` while paused or at rate 0.
    pub(crate) fn next_ns(&self) -> Option<i64> {
        if self.paused_at.is_some() {
            return None;
        }
        self.queue.peek().map(|Reverse((at, _))| at + self.shift_ns)
    }

    /// Lets the next event happen; fills `batch` (cleared first).
    pub(crate) fn step(&mut self, batch: &mut Batch) {
        batch.changes.clear();
        batch.trades.clear();
        batch.top_changed = false;
        let Some(Reverse((at, index))) = self.queue.pop() else {
            return;
        };
        let shift_ns = self.shift_ns;
        let one = &mut self.instruments[index];
        batch.instrument = index;
        batch.at_ns = at + shift_ns;
        let top = one.book.top();
        one.flow.step(&one.book, batch);
        for change in &mut batch.changes {
            let step = one.flow.id_step(self.shared_id.is_some());
            let id = match &mut self.shared_id {
                Some(shared) => {
                    *shared += step;
                    *shared
                }
                None => one.last_id + step,
            };
            one.last_id = id;
            change.id = id;
            one.book.apply(change);
        }
        for trade in &mut batch.trades {
            trade.id = one.tape.next_trade_id();
            let index = trade.update_id as usize;
            trade.update_id = batch.changes.get(index).map_or(one.last_id, |c| c.id);
            one.tape.push(trade, batch.at_ns);
        }
        batch.top_changed = top != one.book.top();
        lock(&one.history).push(&batch.changes);
        let next = at + one.flow.next_gap_ns();
        self.queue.push(Reverse((next, index)));
    }

    /// Stops the market's clock.
    pub(crate) fn pause(&mut self, now: i64) {
        self.paused_at.get_or_insert(now);
    }

    /// Lets it go on where it stopped. Returns how long it stood, in ns.
    pub(crate) fn resume(&mut self, now: i64) -> i64 {
        let pause_ns = self.paused_at.take().map_or(0, |since| now - since);
        self.shift_ns += pause_ns;
        pause_ns
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// The venue was restarted: numbers start over, books stay.
    pub(crate) fn reset_sequences(&mut self) {
        if let Some(shared) = &mut self.shared_id {
            *shared = 1_000;
        }
        for one in &mut self.instruments {
            one.last_id = 1_000;
            lock(&one.history).reset(&one.book, one.last_id);
        }
    }
}

#[cfg(test)]
mod tests;
