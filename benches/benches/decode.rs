//! `cargo bench --bench decode`: a message from its bytes to book and events, in four ways.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::decode::{Recorded, SCENARIOS, Way};

/// The time that `iters` messages take. A stream can't be told twice, so that each walk over the
/// recording begins with a fresh reader and fresh copies of the messages, outside of the time.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn measure<W: Way>(iters: u64, recorded: &Recorded, start: impl Fn() -> W) -> Duration {
    let (mut left, mut spent) = (iters, Duration::ZERO);
    let mut messages = Vec::new();
    while left > 0 {
        messages.clone_from(&recorded.tape.messages);
        let count = messages
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut way = start();
        let started = Instant::now();
        for message in &mut messages[..count] {
            way.take(message);
        }
        spent += started.elapsed();
        core::hint::black_box(way.result());
        left -= count as u64;
    }
    spent
}

fn decode(criterion: &mut Criterion) {
    for scenario in SCENARIOS {
        let recorded = scenario.record();
        let bytes = recorded.tape.mean_len();
        let mut group = criterion.benchmark_group(format!("{}_{bytes}B", scenario.name));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("ours", |bencher| {
            bencher.iter_custom(|iters| measure(iters, &recorded, || recorded.ours()));
        });
        group.bench_function("simd_json", |bencher| {
            bencher.iter_custom(|iters| measure(iters, &recorded, || recorded.tapes()));
        });
        group.bench_function("serde_json", |bencher| {
            bencher.iter_custom(|iters| measure(iters, &recorded, || recorded.naive()));
        });
        group.bench_function("floor", |bencher| {
            bencher.iter_custom(|iters| measure(iters, &recorded, || recorded.floor()));
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
