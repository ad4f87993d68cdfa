//! The order flow of one instrument: limit orders, cancels and takers, drawn from a seed.
//!
//! Churn is at the touch (offsets are geometric), sizes are heavy-tailed, the rate switches
//! between a quiet and a burst state, and takers lean to one side for a while, so that the price
//! wanders. The book never crosses: a new order stops one tick before the other side.

use super::book::{Book, Change, Side};
use super::{Batch, InstrumentSpec, Trade};

/// Rate factors of the two states and their mean stay. 0.4 · 19/20 + 12.4 · 1/20 = 1: the mean rate
/// is the one asked for.
const QUIET: (f64, f64) = (0.4, 1.9e9);
const BURST: (f64, f64) = (12.4, 0.1e9);

/// Levels that a side must keep, so that it is never empty.
const LEVELS_FLOOR: usize = 12;

#[derive(Debug)]
pub(super) struct Flow {
    rng: fastrand::Rng,
    start_ticks: i64,
    ticks_max: i64,
    levels: usize,
    bursts: bool,
    /// Mean events a second in no particular state.
    rate_per_s: f64,
    burst: bool,
    state_left_ns: f64,
    /// Probability that a taker buys; wanders around one half.
    lean: f64,
}

impl Flow {
    pub(super) fn new(
        rng: fastrand::Rng,
        (start_ticks, ticks_max): (i64, i64),
        levels: usize,
        bursts: bool,
    ) -> Self {
        let (rate_per_s, lean) = (1.0, 0.5);
        Self {
            rng,
            start_ticks,
            ticks_max,
            levels,
            bursts,
            rate_per_s,
            burst: false,
            state_left_ns: 0.0,
            lean,
        }
    }

    pub(super) fn set_rate(&mut self, rate_per_s: f64) {
        self.rate_per_s = rate_per_s.max(1e-6);
    }

    /// A book around the start price: dense near the touch, with holes further out.
    pub(super) fn initial_book(&mut self, spec: &InstrumentSpec) -> Book {
        let mut book = Book::default();
        let half = self.rng.i64(0..2);
        for (side, sign) in [(Side::Bid, -1i64), (Side::Ask, 1i64)] {
            let mut price = spec.mid_ticks + sign * (1 + half);
            for index in 0..self.levels {
                if price < 1 || price > self.ticks_max {
                    break;
                }
                let qty = self.qty(spec.typical_lots, index);
                book.apply(&Change {
                    id: 0,
                    side,
                    price,
                    qty,
                });
                price += sign * (1 + i64::from(self.rng.u8(..) < 60) * self.rng.i64(1..4));
            }
        }
        book
    }

    /// Nanoseconds to the next event.
    pub(super) fn next_gap_ns(&mut self) -> i64 {
        if self.bursts && self.state_left_ns <= 0.0 {
            self.burst = !self.burst;
            let stay = if self.burst { BURST.1 } else { QUIET.1 };
            self.state_left_ns = self.exponential() * stay;
        }
        let factor = match (self.bursts, self.burst) {
            (false, _) => 1.0,
            (true, false) => QUIET.0,
            (true, true) => BURST.0,
        };
        let mut gap = self.exponential() * 1e9 / (self.rate_per_s * factor);
        if self.bursts && gap > self.state_left_ns {
            // The exponential has no memory: what is left is drawn anew at the next state's rate.
            // Without this, a slow instrument would sleep through its bursts.
            let spent = self.state_left_ns;
            self.burst = !self.burst;
            let (factor, stay) = if self.burst { BURST } else { QUIET };
            self.state_left_ns = self.exponential() * stay;
            gap = spent + self.exponential() * 1e9 / (self.rate_per_s * factor);
        }
        self.state_left_ns -= gap;
        // A year: more would overflow sums of times, and no one waits for it.
        gap.clamp(1.0, 3.15e16) as i64
    }

    /// How far the update id moves for one visible change.
    pub(super) fn id_step(&mut self, shared: bool) -> u64 {
        if shared {
            1 + u64::from(self.rng.u8(0..40))
        } else {
            // Spot ids advance by one, and now and then by an order that left no trace.
            1 + u64::from(self.rng.u8(..) < 32)
        }
    }

    /// One event.
    pub(super) fn step(&mut self, book: &Book, batch: &mut Batch) {
        let (Some(bid), Some(ask)) = book.top() else {
            return self.refill(book, batch);
        };
        // Keep the walk inside a factor of two around its start: below it the price would run out
        // of ticks.
        let drift = (self.start_ticks as f64 / bid.0 as f64).ln() * 0.05;
        let noise = (self.rng.f64() - 0.5) * 0.06;
        self.lean = (0.5 + (self.lean - 0.5) * 0.99 + noise + drift).clamp(0.1, 0.9);
        let spread = ask.0 - bid.0;
        match self.rng.u8(0..100) {
            _ if spread > 12 => self.improve(bid.0, ask.0, batch),
            0..40 => self.change_near(book, batch),
            40..74 => self.add_near(book, bid.0, ask.0, batch),
            74..82 => self.take(book, batch),
            _ => self.deep(book, batch),
        }
        if batch.changes.is_empty() {
            // Every event changes something, so that the asked-for rate is the rate.
            self.deep(book, batch);
        }
        if batch.changes.is_empty() {
            self.touch(book, Side::Bid, bid, batch);
        }
    }

    /// A level near the touch is cancelled or resized.
    fn change_near(&mut self, book: &Book, batch: &mut Batch) {
        let side = self.side();
        let n = self.offset(0.28, 60);
        let Some(level) = book.nth(side, n) else {
            return;
        };
        let can_go = book.side(side).len() > LEVELS_FLOOR;
        if can_go && self.rng.u8(0..100) < 32 {
            push(batch, side, level.0, 0);
        } else {
            self.touch(book, side, level, batch);
        }
    }

    /// A new order at or behind the touch, sometimes inside the spread.
    fn add_near(&mut self, book: &Book, bid: i64, ask: i64, batch: &mut Batch) {
        let side = self.side();
        let offset = self.offset(0.25, 80) as i64;
        let room = ask - bid - 1;
        let inside =
            i64::from(room > 0 && self.rng.u8(0..100) < 35) * self.rng.i64(1..=room.max(1));
        let price = match side {
            Side::Bid if inside > 0 => bid + inside,
            Side::Bid => bid - offset,
            Side::Ask if inside > 0 => ask - inside,
            Side::Ask => ask + offset,
        };
        if price < 1 || price > self.ticks_max {
            return;
        }
        let old = book.qty(side, price);
        let typical = self.typical(book, side);
        push(batch, side, price, old + self.qty(typical, offset as usize));
    }

    /// The spread has grown too wide: someone quotes inside it.
    fn improve(&mut self, bid: i64, ask: i64, batch: &mut Batch) {
        let side = self.side();
        let step = self.rng.i64(1..=(ask - bid) / 2);
        let price = if side == Side::Bid {
            bid + step
        } else {
            ask - step
        };
        let qty = self.rng.i64(1..2_000);
        push(batch, side, price, qty);
    }

    /// A taker eats one to three levels.
    fn take(&mut self, book: &Book, batch: &mut Batch) {
        let buys = self.rng.f64() < self.lean;
        let side = if buys { Side::Ask } else { Side::Bid };
        let levels = book.side(side).len();
        // Leave the floor standing.
        let most = levels.saturating_sub(LEVELS_FLOOR).min(3);
        let sweeps = if self.rng.u8(0..100) < 70 {
            1
        } else {
            1 + self.rng.usize(0..3)
        };
        for n in 0..sweeps.min(most.max(1)) {
            let Some((price, resting)) = book.nth(side, n) else {
                break;
            };
            let last = n + 1 == sweeps.min(most.max(1));
            let whole = !last || (most > 0 && self.rng.u8(0..100) < 25);
            let qty = if whole || resting == 1 {
                resting
            } else {
                self.rng.i64(1..resting)
            };
            if qty == resting && most == 0 {
                break;
            }
            push(batch, side, price, resting - qty);
            // Often the level was several orders: each is a trade of its own, and the venue's
            // aggregate joins them again. The index of the change stands in for its id until then.
            let update_id = batch.changes.len() as u64 - 1;
            let first = if qty > 1 && self.rng.u8(0..100) < 30 {
                self.rng.i64(1..qty)
            } else {
                qty
            };
            let trade = |qty| Trade {
                id: 0,
                price,
                qty,
                buyer_maker: !buys,
                update_id,
            };
            batch.trades.push(trade(first));
            if first < qty {
                batch.trades.push(trade(qty - first));
            }
        }
    }

    /// Something far from the touch: resize, or steer the level count towards its target.
    fn deep(&mut self, book: &Book, batch: &mut Batch) {
        let side = self.side();
        let map = book.side(side);
        let (Some((&low, _)), Some((&high, _))) = (map.first_key_value(), map.last_key_value())
        else {
            return;
        };
        let (far, sign) = if side == Side::Bid {
            (low, -1)
        } else {
            (high, 1)
        };
        if map.len() < self.levels {
            let price = far + sign * self.rng.i64(1..4);
            if price >= 1 && price <= self.ticks_max {
                let typical = self.typical(book, side);
                return push(batch, side, price, self.qty(typical, 200));
            }
        } else if map.len() > self.levels + self.levels / 8 {
            return push(batch, side, far, 0);
        }
        let probe = self.rng.i64(low..=high);
        if let Some((&price, &qty)) = map.range(probe..).next() {
            let level = (price, qty);
            if self.rng.u8(0..100) < 20 && map.len() > LEVELS_FLOOR {
                push(batch, side, price, 0);
            } else {
                self.touch(book, side, level, batch);
            }
        }
    }

    /// A level's quantity becomes another one.
    fn touch(&mut self, book: &Book, side: Side, level: (i64, i64), batch: &mut Batch) {
        let typical = self.typical(book, side);
        let mut qty = self.qty(typical, 3);
        if qty == level.1 {
            qty += 1;
        }
        push(batch, side, level.0, qty);
    }

    /// A side is empty: cannot happen by this flow, but a book must never stay so.
    fn refill(&mut self, book: &Book, batch: &mut Batch) {
        let (bid, ask) = book.top();
        let mid = bid
            .map(|b| b.0 + 2)
            .or(ask.map(|a| a.0 - 2))
            .unwrap_or(self.start_ticks);
        if bid.is_none() {
            push(batch, Side::Bid, (mid - 1).max(1), 10);
        }
        if ask.is_none() {
            push(batch, Side::Ask, (mid + 1).min(self.ticks_max), 10);
        }
    }

    fn side(&mut self) -> Side {
        if self.rng.bool() {
            Side::Bid
        } else {
            Side::Ask
        }
    }

    /// The size scale of a side: its fourth-best level's order of magnitude would drift, so the
    /// first quantity is averaged with a constant.
    fn typical(&self, book: &Book, side: Side) -> i64 {
        book.nth(side, 3).map_or(100, |(_, q)| q.clamp(20, 100_000))
    }

    fn qty(&mut self, typical: i64, offset: usize) -> i64 {
        // Heavy-tailed: most orders are small, some are fifty times the rest; deeper is larger.
        let tail = (self.exponential() * self.exponential()).min(50.0);
        let depth = 1.0 + (offset as f64).ln_1p() * 0.2;
        let anchored = (typical as f64).sqrt() * 20.0;
        ((anchored * 0.3 * tail * depth) as i64).clamp(1, 5_000_000)
    }

    /// Levels from the touch: geometric, so most churn is at the best few.
    fn offset(&mut self, p: f64, max: usize) -> usize {
        let u = 1.0 - self.rng.f64();
        ((u.ln() / (1.0 - p).ln()) as usize).min(max)
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.f64()).ln()
    }
}

fn push(batch: &mut Batch, side: Side, price: i64, qty: i64) {
    batch.changes.push(Change {
        id: 0,
        side,
        price,
        qty,
    });
}
