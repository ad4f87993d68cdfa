use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tickwire_connectors::event::Stamp;
use tickwire_connectors::{Aggressor, Source, StreamId, StreamState, Trade};
use tickwire_orderbook::Scale;

use super::*;
use crate::control::{Commander, ControlQueue, StrategyId};
use crate::ring::{RingConfig, channel};

fn context() -> Context {
    let (registry, queue) = (Arc::default(), Arc::new(ControlQueue::new(None)));
    Context::new(Commander::new(StrategyId(0), &registry, &queue))
}

fn trade(recv_ns: Nanos) -> Event {
    let stamp = Stamp {
        stream: StreamId::new(0).expect("a number"),
        source: Source::Trades,
        epoch: 1,
        state: StreamState::Live,
        price_scale: Scale::of(0),
        qty_scale: Scale::of(0),
        seq: 1,
        exch_ns: Nanos::ZERO,
        recv_ns,
    };
    Event::trade(&stamp, 1, 1, 1, Aggressor::Buy)
}

/// Ends itself with its first trade.
struct Once(Arc<AtomicU64>);

impl Strategy for Once {
    fn on_trade(&mut self, context: &mut Context, _: &Trade) {
        self.0.fetch_add(1, Ordering::Relaxed);
        context.set_timer(1, Nanos::ZERO);
        context.stop();
    }
    fn on_timer(&mut self, _: &mut Context, _: super::super::TimerId) {
        self.0.fetch_add(1_000, Ordering::Relaxed);
    }
}

#[test]
fn stop_ends_a_strategy_after_the_present_callback() {
    let seen = Arc::new(AtomicU64::new(0));
    let (mut producer, ring) = channel(RingConfig::default());
    for _ in 0..100 {
        producer.push(trade(Nanos::ZERO));
    }
    let runner = Runner::new(Box::new(Once(Arc::clone(&seen))), context());
    run_thread(runner, ring, Clock::start(), Wait::Spin);
    assert_eq!(seen.load(Ordering::Relaxed), 1, "on a thread");

    let mut runner = Runner::new(Box::new(Once(Arc::clone(&seen))), context());
    for _ in 0..100 {
        runner.hot(&trade(Nanos::ZERO));
        runner.timers(Nanos::from_secs(1));
    }
    assert_eq!(seen.load(Ordering::Relaxed), 2, "inline");
}

/// Tells how old its time is at an event, and ends.
struct Times(mpsc::Sender<(Nanos, Nanos)>);

impl Strategy for Times {
    fn on_trade(&mut self, context: &mut Context, trade: &Trade) {
        let _ = self.0.send((trade.recv_ns(), context.now()));
        context.stop();
    }
}

#[test]
fn the_time_of_a_strategy_that_slept_is_read_before_its_events() {
    // An event that comes just between the clock and the ring is later than the time: not each time.
    let holds = (0..20).any(|_| {
        let (sender, times) = mpsc::channel();
        let (mut producer, ring) = channel(RingConfig::default());
        let runner = Runner::new(Box::new(Times(sender)), context());
        let clock = Clock::start();
        let wait = Wait::Park(Duration::from_millis(5));
        let thread = thread::spawn(move || run_thread(runner, ring, clock, wait));
        thread::park_timeout(Duration::from_millis(2));
        producer.push(trade(clock.now()));
        let (received, now) = times.recv().expect("a time");
        thread.join().expect("an end");
        now >= received
    });
    assert!(holds, "the time is that of before the sleep");
}
