use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tickwire_connectors::event::Stamp;
use tickwire_connectors::{Aggressor, Source, StreamId, StreamState, Trade};
use tickwire_orderbook::Scale;

use super::*;
use crate::control::{Commander, ControlQueue, StrategyId};
use crate::operator::{self, Instruction, Part, ReplyId, RunId};
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

/// Answers each message with its own words, and asks for an order.
struct Parrot;

impl Strategy for Parrot {
    fn on_instruction(&mut self, context: &mut Context, instruction: &Instruction) {
        match instruction {
            Instruction::Message { reply, text, .. } => {
                let mut answer = context.answer(*reply);
                answer.text(text.clone()).expect("heard");
                answer.finish().expect("heard");
            }
            Instruction::End { .. } => context.stop(),
            _ => {}
        }
    }
}

#[test]
fn instructions_are_handed_over_on_the_strategys_thread_and_answers_wake_the_operator() {
    let woken = Arc::new(AtomicU64::new(0));
    let bell = Arc::clone(&woken);
    let (operator, end) = operator::line(move || {
        bell.fetch_add(1, Ordering::Relaxed);
    });
    let mut context = context();
    context.set_operated_by(Some(end));
    let (reply, run) = (ReplyId(9), RunId(1));
    let text = Box::from("hello");
    operator
        .send(Instruction::Message { run, reply, text })
        .expect("room");
    operator.send(Instruction::End { run }).expect("room");
    let (_producer, ring) = channel(RingConfig::default());
    run_thread(
        Runner::new(Box::new(Parrot), context),
        ring,
        Clock::start(),
        Wait::Spin,
    );
    let said: Vec<Part> = std::iter::from_fn(|| operator.next())
        .inspect(|said| assert_eq!(said.reply, reply))
        .map(|said| said.part)
        .collect();
    assert_eq!(said, [Part::Text("hello".into()), Part::Finish]);
    assert_eq!(woken.load(Ordering::Relaxed), 2);
}

#[test]
fn both_queues_of_a_line_are_bounded_and_say_when_they_are_full() {
    let (operator, end) = operator::line(|| {});
    let mut context = context();
    assert_eq!(
        context.answer(ReplyId(1)).text("x"),
        Err(operator::Unheard),
        "nobody operates it"
    );
    context.set_operated_by(Some(end));
    let end_of_run = || Instruction::End { run: RunId(1) };
    for _ in 0..operator::INSTRUCTIONS_MAX {
        operator.send(end_of_run()).expect("room");
    }
    assert_eq!(operator.send(end_of_run()), Err(operator::Busy));
    for _ in 0..operator::PARTS_MAX {
        context.answer(ReplyId(1)).text("x").expect("room");
    }
    assert_eq!(context.answer(ReplyId(1)).finish(), Err(operator::Unheard));
    assert_eq!(operator.unheard(), 1);
}
