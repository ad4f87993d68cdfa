//! What trading left behind: last price, day statistics and candles of one instrument.

use super::{InstrumentSpec, Trade};
use crate::spec::SECOND_NS;

/// Open, high, low, close and volumes over a stretch of time. Prices in ticks, volumes as exact
/// sums: base in lots, quote in price mantissa times quantity mantissa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) interval_ns: i64,
    pub(crate) open_ns: i64,
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) base: i128,
    pub(crate) quote: i128,
    pub(crate) taker_base: i128,
    pub(crate) taker_quote: i128,
    pub(crate) first_id: u64,
    pub(crate) last_id: u64,
    pub(crate) count: u64,
}

impl Bar {
    fn start(interval_ns: i64, at_ns: i64, price: i64) -> Self {
        let open_ns = at_ns - at_ns.rem_euclid(interval_ns.max(1));
        let (open, high, low, close) = (price, price, price, price);
        Self {
            interval_ns,
            open_ns,
            open,
            high,
            low,
            close,
            ..Self::default()
        }
    }

    fn push(&mut self, trade: &Trade, quote: i128) {
        if self.count == 0 {
            self.first_id = trade.id;
            (self.open, self.high, self.low) = (trade.price, trade.price, trade.price);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.base += i128::from(trade.qty);
        self.quote += quote;
        if !trade.buyer_maker {
            self.taker_base += i128::from(trade.qty);
            self.taker_quote += quote;
        }
        self.last_id = trade.id;
        self.count += 1;
    }

    /// First nanosecond after the bar.
    pub(crate) const fn end_ns(&self) -> i64 {
        self.open_ns + self.interval_ns
    }
}

/// Trading statistics of one instrument.
#[derive(Debug)]
pub(crate) struct Tape {
    quote: QuoteRule,
    /// The running "24 hours": a market that was just made has no yesterday, so the window starts
    /// a seeded stretch before the start and only grows.
    pub(crate) day: Bar,
    pub(crate) last_qty: i64,
    pub(crate) prev_tick: i64,
    trade_id: u64,
    bars: Vec<Bar>,
}

/// How a trade's turnover is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QuoteRule {
    /// Price times quantity.
    Product {
        /// Price mantissa of a tick.
        price: i64,
        /// Quantity mantissa of a lot.
        qty: i64,
    },
    /// Coin-margined: contracts of so many dollars, turned into coin at 8 digits.
    Inverse {
        /// Dollars a contract.
        contract: i64,
        /// Price mantissa of a tick.
        price: i64,
        /// Digits of that mantissa.
        decimals: u8,
    },
}

impl QuoteRule {
    fn of(self, trade: &Trade) -> i128 {
        match self {
            Self::Product { price, qty } => {
                i128::from(trade.price * price) * i128::from(trade.qty * qty)
            }
            Self::Inverse {
                contract,
                price,
                decimals,
            } => {
                let dollars = i128::from(trade.qty) * i128::from(contract);
                let scaled = dollars * 100_000_000 * i128::from(crate::num::pow10(decimals));
                scaled / i128::from((trade.price * price).max(1))
            }
        }
    }
}

impl Tape {
    pub(super) fn new(spec: &InstrumentSpec, rng: &mut fastrand::Rng, now: i64) -> Self {
        let last = spec.mid_ticks;
        let move_ticks = (last / 50).max(1);
        let open = (last + rng.i64(-move_ticks..=move_ticks)).max(1);
        let day_ns = 86_400 * SECOND_NS;
        let quote = spec.quote_rule();
        let first_id = rng.u64(1_000_000..9_000_000);
        let count = rng.u64(10_000..900_000);
        let base = i128::from(count) * i128::from(spec.typical_lots);
        let trade = Trade {
            id: first_id + count - 1,
            price: last,
            qty: spec.typical_lots,
            buyer_maker: false,
            update_id: 0,
        };
        let volume = quote.of(&trade) * i128::from(count);
        let day = Bar {
            interval_ns: day_ns,
            open_ns: now - day_ns,
            open,
            high: open.max(last) + move_ticks,
            low: (open.min(last) - move_ticks).max(1),
            close: last,
            base,
            quote: volume,
            taker_base: base / 2,
            taker_quote: volume / 2,
            first_id,
            last_id: trade.id,
            count,
        };
        Self {
            quote,
            day,
            last_qty: spec.typical_lots,
            prev_tick: last,
            trade_id: trade.id,
            bars: Vec::new(),
        }
    }

    pub(super) fn next_trade_id(&mut self) -> u64 {
        self.trade_id += 1;
        self.trade_id
    }

    pub(super) fn push(&mut self, trade: &Trade, at_ns: i64) {
        let quote = self.quote.of(trade);
        self.prev_tick = self.day.close;
        self.day.push(trade, quote);
        self.last_qty = trade.qty;
        for bar in &mut self.bars {
            roll(bar, at_ns);
            bar.push(trade, quote);
        }
    }

    /// The running bar of an interval; kept from the first time that it is asked for.
    pub(crate) fn bar(&mut self, interval_ns: i64, now: i64) -> &Bar {
        let close = self.day.close;
        let index = self.bars.iter().position(|b| b.interval_ns == interval_ns);
        let index = index.unwrap_or_else(|| {
            self.bars.push(Bar::start(interval_ns, now, close));
            self.bars.len() - 1
        });
        &self.bars[index]
    }

    /// Starts the next bar if the running one is over.
    pub(crate) fn roll_bar(&mut self, interval_ns: i64, now: i64) {
        if let Some(bar) = self.bars.iter_mut().find(|b| b.interval_ns == interval_ns) {
            roll(bar, now);
        }
    }

    /// Change over the day in ticks.
    pub(crate) const fn day_change(&self) -> i64 {
        self.day.close - self.day.open
    }

    /// Change over the day in millionths.
    pub(crate) fn day_change_ppm(&self) -> i64 {
        let open = i128::from(self.day.open.max(1));
        (i128::from(self.day_change()) * 1_000_000 / open) as i64
    }
}

fn roll(bar: &mut Bar, at_ns: i64) {
    if at_ns >= bar.end_ns() {
        *bar = Bar::start(bar.interval_ns, at_ns, bar.close);
    }
}
