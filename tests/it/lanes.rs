//! A lane whose consumer died: the worker must not go on without it, looking well.

use std::{collections::HashMap, num::NonZeroU16, sync::Arc, time::Duration};

use cognigy_fallback_router::{
    metrics::Metrics,
    queue::{Limits, QueueError, embedded},
    shutdown::Shutdown,
    worker::{self, Config, Slots, Worker},
};
use tempfile::TempDir;

#[tokio::test]
async fn a_consumer_that_ends_without_a_stop_ends_the_worker() {
    let directory = TempDir::new().unwrap();
    let metrics = Arc::new(Metrics::new("worker").unwrap());
    let limits = Limits { soft_limit: 1000, reserve: Duration::from_secs(2) };
    let place = embedded::Config { directory: directory.path().join("queue") };
    let queue = embedded::connect(&place, limits, Arc::clone(&metrics)).await.unwrap();
    let slots = NonZeroU16::new(1).unwrap();
    let slots = Slots { work: slots, late: slots, outcome: slots };
    let config = Config { slots, reserve: limits.reserve, drain_timeout: Duration::from_secs(1) };
    let (shutdown, worker) = (Shutdown::default(), Arc::new(Worker::new(HashMap::new(), metrics)));
    let (consumed, stop) = (Arc::clone(&queue), shutdown.clone());
    let running = tokio::spawn(async move { worker::run(worker, consumed, &config, stop).await });
    tokio::task::yield_now().await;
    queue.close().await;
    let Err(QueueError::Unusable(why)) = running.await.unwrap() else { panic!("it ended as if all were well") };
    assert!(why.contains("lane died"), "{why}");
    assert!(shutdown.drain.is_cancelled(), "the other services end as well");
}
