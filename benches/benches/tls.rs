//! `cargo bench --bench tls`: TLS 1.3 records opened and sealed, by rustls and in place.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::wire::tls::Records;
use tickwire_benches::tls::{RECORDS, SIZES, pair};

const WAYS: [(&str, Records); 2] = [("rustls", Records::Rustls), ("in place", Records::InPlace)];

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls_open");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for size in SIZES {
        for (name, records) in WAYS {
            let (mut client, mut server) = pair(records);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                // Each record can be opened once.
                bencher.iter_batched_ref(
                    || server.seal(size),
                    |bytes| client.open(bytes),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls_seal");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for size in SIZES {
        let text = vec![b'7'; size];
        for (name, records) in WAYS {
            let (mut client, _) = pair(records);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| client.seal(&text));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, open, seal);
criterion_main!(benches);
