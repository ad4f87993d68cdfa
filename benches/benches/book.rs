//! `cargo bench --bench book`: edits near the touch and loads, at three depths.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::book::{DEPTHS, EDITS, Ladder};

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("book_apply");
    group.throughput(Throughput::Elements(EDITS as u64));
    for depth in DEPTHS {
        let ladder = Ladder::new(depth, 7);
        let (mut book, mut maps) = (ladder.book(), ladder.maps());
        group.bench_function(BenchmarkId::new("ours", depth), |bencher| {
            bencher.iter(|| ladder.run(&mut book));
        });
        group.bench_function(BenchmarkId::new("btreemap", depth), |bencher| {
            bencher.iter(|| ladder.run_maps(&mut maps));
        });
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("book_load");
    for depth in DEPTHS {
        let ladder = Ladder::new(depth, 7);
        let (mut book, mut maps) = (ladder.book(), ladder.maps());
        group.throughput(Throughput::Elements(2 * depth as u64));
        group.bench_function(BenchmarkId::new("ours", depth), |bencher| {
            bencher.iter(|| book.load(&ladder.bids, &ladder.asks));
        });
        group.bench_function(BenchmarkId::new("btreemap", depth), |bencher| {
            bencher.iter(|| maps.load(&ladder.bids, &ladder.asks));
        });
    }
    group.finish();
}

criterion_group!(benches, apply, load);
criterion_main!(benches);
