//! `cargo bench --bench ring`: events through the ring, both ends on one thread, beside rtrb and crossbeam.
//!
//! One thread on purpose: it is the work of push and pop without the caches of two cores talking,
//! which on a shared machine measures the scheduler.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::ring::{Event, Item, RingConfig, channel};
use tickwire::{Level, Nanos, Scale, Source, StreamId, StreamState};
use tickwire_benches::Checksum;
use tickwire_connectors::event::Stamp;

/// Events pushed before they are popped: a quiet moment, and a burst.
const BATCHES: [usize; 2] = [1, 64];

fn event(seq: u64) -> Event {
    let stamp = Stamp {
        stream: StreamId::new(3).unwrap_or_else(|| panic!("3 is a stream")),
        source: Source::Bbo,
        epoch: 1,
        state: StreamState::Live,
        price_scale: Scale::of(2),
        qty_scale: Scale::of(5),
        seq,
        exch_ns: Nanos(1),
        recv_ns: Nanos(2),
    };
    let level = |price| Some(Level { price, qty: 1_000 });
    Event::bbo(&stamp, level(6_500_000), level(6_500_001))
}

fn expected(batch: usize) -> Checksum {
    let mut sum = Checksum::default();
    (0..batch).for_each(|seq| sum.add(seq as i64));
    sum
}

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring_push_pop");
    for batch in BATCHES {
        let events: Vec<Event> = (0..batch as u64).map(event).collect();
        group.throughput(Throughput::Elements(batch as u64));

        let (mut producer, mut consumer) = channel(RingConfig::default());
        let mut ours = || {
            for event in &events {
                producer.push(*event);
            }
            let mut sum = Checksum::default();
            while let Some(Item::Hot(event)) = consumer.pop() {
                sum.add(event.seq() as i64);
            }
            sum
        };
        assert_eq!(ours(), expected(batch));
        group.bench_function(BenchmarkId::new("ours", batch), |bencher| {
            bencher.iter(&mut ours);
        });

        let (mut producer, mut consumer) = rtrb::RingBuffer::new(RingConfig::HOT_CAPACITY);
        let mut rtrb = || {
            for event in &events {
                assert!(producer.push(*event).is_ok(), "there is room");
            }
            let mut sum = Checksum::default();
            while let Ok(event) = consumer.pop() {
                sum.add(event.seq() as i64);
            }
            sum
        };
        assert_eq!(rtrb(), expected(batch));
        group.bench_function(BenchmarkId::new("rtrb", batch), |bencher| {
            bencher.iter(&mut rtrb);
        });

        let queue = crossbeam_queue::ArrayQueue::new(RingConfig::HOT_CAPACITY);
        let crossbeam = || {
            for event in &events {
                assert!(queue.push(*event).is_ok(), "there is room");
            }
            let mut sum = Checksum::default();
            while let Some(event) = queue.pop() {
                sum.add(event.seq() as i64);
            }
            sum
        };
        assert_eq!(crossbeam(), expected(batch));
        group.bench_function(BenchmarkId::new("crossbeam", batch), |bencher| {
            bencher.iter(crossbeam);
        });
    }
    group.finish();
}

criterion_group!(benches, ring);
criterion_main!(benches);
