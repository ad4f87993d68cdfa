//! Runs a strategy: the same dispatch inline on the loop and on a thread over rings.

use std::thread;
use std::time::Duration;

use tickwire_connectors::{Body, Event, Nanos, Wide, WideBody};

use super::Strategy;
use super::context::Context;
use crate::clock::Clock;
use crate::ring::{Consumer, Item};

/// Events handled between two looks at the clock and the timers.
const BATCH_MAX: usize = 256;

/// What a strategy's thread does while its ring is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Looks again at once. Needs a core of its own.
    Spin,
    /// Sleeps for this long. The loop never wakes a strategy (that would be a system call on the
    /// hot path), so this much is added to the latency of an event that finds it asleep.
    Park(Duration),
}

impl Wait {
    /// [`Wait::Park`] for 50 µs, about the timer slack of Linux.
    pub const PARK: Wait = Wait::Park(Duration::from_micros(50));

    /// Spins where the machine has at least 4 cores; otherwise three spinning threads would measure
    /// the scheduler.
    pub fn for_cores(cores: usize) -> Wait {
        if cores >= 4 { Wait::Spin } else { Wait::PARK }
    }
}

/// A strategy with its context.
pub(crate) struct Runner {
    strategy: Box<dyn Strategy>,
    context: Context,
}

impl Runner {
    pub(crate) fn new(strategy: Box<dyn Strategy>, context: Context) -> Runner {
        Runner { strategy, context }
    }

    pub(crate) fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    pub(crate) fn start(&mut self, now: Nanos) {
        self.context.set_now(now);
        self.strategy.on_start(&mut self.context);
    }

    pub(crate) fn stop(&mut self, now: Nanos) {
        self.context.set_now(now);
        self.strategy.on_stop(&mut self.context);
    }

    /// Whether the strategy has asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.context.is_stopping()
    }

    #[inline]
    pub(crate) fn hot(&mut self, event: &Event) {
        if self.is_stopping() {
            return;
        }
        let whole = self.context.apply(event);
        let (strategy, context) = (&mut self.strategy, &mut self.context);
        match event.body() {
            Body::Bbo(bbo) => strategy.on_bbo(context, &bbo),
            Body::Trade(trade) => strategy.on_trade(context, &trade),
            Body::State(change) => strategy.on_state(context, &change),
            Body::Lost(lost) => strategy.on_lost(context, &lost),
            Body::Level(delta) => {
                strategy.on_level(context, &delta);
                if let Some(replica) = whole {
                    strategy.on_depth(context, &delta, &replica);
                    context.put_back(delta.stream(), replica);
                }
            }
        }
    }

    pub(crate) fn wide(&mut self, wide: &Wide) {
        if self.is_stopping() {
            return;
        }
        let (strategy, context) = (&mut self.strategy, &mut self.context);
        match &wide.body {
            WideBody::Ticker(ticker) => strategy.on_ticker(context, wide, ticker),
            WideBody::Greeks(greeks) => strategy.on_greeks(context, wide, greeks),
            WideBody::Kline(kline) => strategy.on_kline(context, wide, kline),
            WideBody::Instrument(instrument) => strategy.on_instrument(context, wide, instrument),
            WideBody::Notice(notice) => strategy.on_notice(context, wide, notice),
            WideBody::Venue(news) => strategy.on_venue_news(context, wide, news),
            WideBody::Order(order) => strategy.on_order(context, wide, order),
            WideBody::Fill(fill) => strategy.on_fill(context, wide, fill),
            WideBody::Balance(balance) => strategy.on_balance(context, wide, balance),
            WideBody::Position(position) => strategy.on_position(context, wide, position),
            WideBody::Refusal(refusal) => strategy.on_refusal(context, wide, refusal),
        }
    }

    /// Fires the timers that are due.
    pub(crate) fn timers(&mut self, now: Nanos) {
        self.context.set_now(now);
        // A timer that is set again for now by its own callback waits for the next call.
        for _ in 0..BATCH_MAX {
            if self.is_stopping() {
                return;
            }
            let Some(timer) = self.context.take_due_timer() else {
                return;
            };
            self.strategy.on_timer(&mut self.context, timer);
        }
    }

    /// Hands over what the operator has asked. Gives how many it were.
    fn instructions(&mut self) -> usize {
        let mut handled = 0;
        while handled < BATCH_MAX
            && !self.is_stopping()
            && let Some(instruction) = self.context.next_instruction()
        {
            self.strategy
                .on_instruction(&mut self.context, &instruction);
            handled += 1;
        }
        handled
    }

    pub(crate) fn next_timer(&self) -> Option<Nanos> {
        self.context.next_timer()
    }

    /// Fires the timers that are due, hands over what the operator has asked, then handles what waits in
    /// the ring: `events_max` at most.
    /// Gives how many it were.
    pub(crate) fn turn(&mut self, ring: &mut Consumer, now: Nanos, events_max: usize) -> usize {
        self.timers(now);
        let asked = self.instructions();
        let mut handled = 0;
        while handled < events_max && !self.is_stopping() {
            match ring.pop() {
                Some(Item::Hot(event)) => self.hot(&event),
                Some(Item::Wide(wide)) => self.wide(wide),
                None => break,
            }
            handled += 1;
        }
        handled + asked
    }
}

/// The body of a strategy's thread: until the strategy asks to end, or the engine is gone and the
/// ring is empty.
pub(crate) fn run_thread(mut runner: Runner, mut ring: Consumer, clock: Clock, wait: Wait) {
    runner.start(clock.now());
    loop {
        let handled = runner.turn(&mut ring, clock.now(), BATCH_MAX);
        if runner.is_stopping() || (handled == 0 && ring.producer_gone() && ring.is_empty()) {
            break;
        }
        if handled == 0 {
            idle(&runner, clock, wait);
        }
    }
    runner.stop(clock.now());
}

fn idle(runner: &Runner, clock: Clock, wait: Wait) {
    match wait {
        Wait::Spin => core::hint::spin_loop(),
        Wait::Park(longest) => {
            let until_timer = runner.next_timer().map(|at| (at - clock.now()).0.max(0));
            let longest = until_timer.map_or(longest, |nanos| {
                longest.min(Duration::from_nanos(nanos as u64))
            });
            thread::park_timeout(longest);
        }
    }
}

#[cfg(test)]
mod tests;
