//! How long each hot path takes: `cargo bench`, or `cargo bench -- NAME`.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "a program for developers")]

mod paths;

use std::{sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use paths::{EmbeddedQueue, HotPath};

/// As many requests as the ingress usually has under way.
const TOGETHER: usize = 64;

fn runtime() -> Arc<tokio::runtime::Runtime> {
    Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

fn hot_paths(criterion: &mut Criterion) {
    let queue = paths::queue(EmbeddedQueue::open(&runtime()));
    for HotPath { name, mut once } in paths::pure().into_iter().chain([queue]) {
        criterion.bench_function(name, |bencher| bencher.iter(&mut once));
    }
}

/// What group commit is for: one fsync confirms whatever came in meanwhile.
fn together(criterion: &mut Criterion) {
    let runtime = runtime();
    let queue = EmbeddedQueue::open(&runtime);
    let mut group = criterion.benchmark_group("embedded");
    group.throughput(Throughput::Elements(TOGETHER as u64));
    group.bench_function("64_publish_take_ack", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                join_all((0..TOGETHER).map(|_| queue.publish())).await;
                join_all((0..TOGETHER).map(|_| queue.take_and_ack())).await;
            });
        });
    });
    group.finish();
}

criterion_group! {
    name = speed;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = hot_paths, together
}
criterion_main!(speed);
