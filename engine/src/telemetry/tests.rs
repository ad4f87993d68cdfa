//! Tests of the counters and the latency histogram.

use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::latency::{index_of, lowest_of};
use super::*;

fn oracle() -> Histogram<u64> {
    Histogram::new_with_bounds(1, Latency::MAX_NS, 2).unwrap()
}

/// Latencies spread over all powers of two, with the edges and what lies beyond them.
fn latencies() -> impl Strategy<Value = Vec<i64>> {
    let one = prop_oneof![
        8 => (0u32..40, any::<u64>()).prop_map(|(bits, noise)| {
            let top = 1u64 << bits;
            (top | (noise & (top - 1))) as i64
        }),
        1 => -5i64..300,
        1 => Just(Latency::MAX_NS as i64),
        1 => Just(Latency::MAX_NS as i64 + 1),
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ];
    prop::collection::vec(one, 0..300)
}

proptest! {
    #[test]
    fn latency_equals_hdrhistogram_fed_the_same_values(values in latencies()) {
        let (mut recorder, reader) = latency_channel();
        let mut twin = oracle();
        let (mut negative, mut saturated) = (0, 0);
        for &value in &values {
            recorder.record(value);
            match u64::try_from(value) {
                Ok(ns) => {
                    saturated += u64::from(ns > Latency::MAX_NS);
                    twin.saturating_record(ns.min(Latency::MAX_NS));
                }
                Err(_) => negative += 1,
            }
        }
        let ours = reader.snapshot();
        prop_assert_eq!(&ours, &twin);
        for quantile in [0.0, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            prop_assert_eq!(ours.value_at_quantile(quantile), twin.value_at_quantile(quantile));
        }
        prop_assert_eq!((ours.min(), ours.max()), (twin.min(), twin.max()));
        prop_assert_eq!(ours.mean(), twin.mean());
        let counts = reader.counts();
        prop_assert_eq!(counts.recorded(), twin.len());
        prop_assert_eq!((counts.negative(), counts.saturated()), (negative, saturated));
    }
}

#[test]
fn every_bucket_is_hdrhistograms() {
    let twin = oracle();
    let mut index = 0;
    let mut lowest = 0;
    while lowest <= Latency::MAX_NS {
        assert_eq!(lowest_of(index), lowest, "bucket {index}");
        assert_eq!(index_of(lowest), index, "value {lowest}");
        let highest = twin.highest_equivalent(lowest);
        assert_eq!(index_of(highest), index, "value {highest}");
        assert!(
            highest - lowest <= highest / 128,
            "bucket {index} is wider than 0.8 %"
        );
        lowest = highest + 1;
        index += 1;
    }
    assert_eq!(index, twin.distinct_values());
    let counts = LatencyCounts::none();
    assert_eq!((counts.recorded(), counts.histogram()), (0, twin));
}

#[test]
fn intervals_of_two_readers_do_not_disturb_each_other() {
    let (mut recorder, mut one) = latency_channel();
    recorder.record(100);
    recorder.record(-1);
    let mut two = one.clone();
    let first = one.interval();
    assert_eq!((first.recorded(), first.negative()), (1, 1));
    recorder.record(5_000);
    recorder.record(i64::MAX);
    let second = one.interval();
    assert_eq!(
        (second.recorded(), second.negative(), second.saturated()),
        (2, 0, 1)
    );
    assert_eq!(second.histogram().min(), oracle().lowest_equivalent(5_000));
    assert_eq!(two.interval().recorded(), 3);
    assert_eq!(
        (one.interval().recorded(), two.interval().recorded()),
        (0, 0)
    );
    assert_eq!(one.snapshot().len(), 3);
}

#[test]
fn latency_is_read_while_it_is_written() {
    const COUNT: u64 = 200_000;
    let (mut recorder, mut reader) = latency_channel();
    let writer = std::thread::spawn(move || {
        for value in 0..COUNT {
            recorder.record((value * 37) as i64);
        }
    });
    let (mut total, mut seen) = (0, 0);
    while !writer.is_finished() {
        let now = reader.counts().recorded();
        assert!(now >= seen, "the count went back from {seen} to {now}");
        seen = now;
        total += reader.interval().recorded();
        std::thread::yield_now();
    }
    writer.join().unwrap();
    total += reader.interval().recorded();
    assert_eq!(total, COUNT);
}

#[test]
fn snapshot_has_each_counter_under_its_name() {
    let counters = LoopCounters::default();
    counters.turns.bump();
    counters.bytes_in.add(1_500);
    let earlier = counters.snapshot();
    counters.bytes_in.add(500);
    counters.syscalls_send.set(7);
    counters.ring_full.raise(9);
    counters.ring_full.raise(4);
    let now = counters.snapshot();
    let wanted = LoopSnapshot {
        turns: 1,
        bytes_in: 2_000,
        syscalls_send: 7,
        ring_full: 9,
        ..LoopSnapshot::default()
    };
    assert_eq!(now, wanted);
    assert_eq!(now.since(&earlier).bytes_in, 500);
    let named: Vec<_> = now.iter().filter(|(_, value)| *value > 0).collect();
    let wanted = [
        ("turns", 1),
        ("bytes_in", 2_000),
        ("ring_full", 9),
        ("syscalls_send", 7),
    ];
    assert_eq!(named, wanted);
    assert!(
        now.iter()
            .map(|(label, _)| label)
            .eq(LoopSnapshot::LABELS.iter().copied())
    );
    assert_eq!(align_of::<LinkCounters>(), 128);
}

#[test]
fn counter_of_one_writer_is_exact_for_another_thread() {
    const COUNT: u64 = 200_000;
    let block = LinkCounters::default();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..COUNT).for_each(|_| block.messages.bump()));
        let mut seen = 0;
        while seen < COUNT {
            let now = block.snapshot().messages;
            assert!(now >= seen, "the count went back from {seen} to {now}");
            seen = now;
            std::thread::yield_now();
        }
    });
    assert_eq!(block.messages.value(), COUNT);
}

#[test]
fn counters_wrap_and_differences_stay_right() {
    let counter = Counter::new();
    counter.set(u64::MAX);
    counter.add(3);
    assert_eq!(counter.value(), 2);
    let earlier = LinkSnapshot {
        frames: u64::MAX,
        ..LinkSnapshot::default()
    };
    let now = LinkSnapshot {
        frames: 2,
        ..LinkSnapshot::default()
    };
    assert_eq!(now.since(&earlier).frames, 3);
}
