//! `cargo bench --bench frame`: WebSocket frames in and out, beside tungstenite.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::frame::{FRAMES, Frames, Reader, Rival, SIZES, Writer};

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ws_decode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for size in SIZES {
        let frames = Frames::new(size);
        let (mut reader, mut rival) = (Reader::new(), Rival::client());
        group.bench_function(BenchmarkId::new("ours", size), |bencher| {
            bencher.iter(|| reader.read(&frames));
        });
        group.bench_function(BenchmarkId::new("tungstenite", size), |bencher| {
            bencher.iter(|| rival.read(&frames));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ws_encode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for size in SIZES {
        let frames = Frames::new(size);
        let (mut writer, mut rival) = (Writer::new(), Rival::client());
        group.bench_function(BenchmarkId::new("ours", size), |bencher| {
            bencher.iter(|| {
                writer.write(&frames);
                writer.sent()
            });
        });
        group.bench_function(BenchmarkId::new("tungstenite", size), |bencher| {
            bencher.iter(|| {
                rival.write(&frames);
                rival.sent()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
