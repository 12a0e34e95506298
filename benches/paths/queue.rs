//! The embedded queue in a folder of its own.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use cognigy_fallback_router::{
    message::{Disposition, Lane, Message},
    metrics::Metrics,
    queue::{Consumer, Limits, Publisher, Queue, embedded},
    time::EpochMs,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::Mutex};

use super::inputs;

/// The queue, somebody who publishes and somebody who consumes.
pub struct EmbeddedQueue {
    runtime: Arc<Runtime>,
    publisher: Arc<dyn Publisher>,
    consumer: Mutex<Box<dyn Consumer>>,
    message: Message,
    // Dropped last.
    _queue: Arc<dyn Queue>,
    _directory: TempDir,
}

impl EmbeddedQueue {
    /// Makes it, served by `runtime`.
    pub fn open(runtime: &Arc<Runtime>) -> Self {
        let directory = TempDir::new().unwrap();
        let config = embedded::Config { directory: directory.path().to_owned() };
        let limits = Limits { soft_limit: 1_000_000, reserve: Duration::from_secs(2) };
        let metrics = Arc::new(Metrics::new("serve").unwrap());
        let (queue, consumer) = runtime.block_on(async {
            let queue = embedded::connect(&config, limits, metrics).await.unwrap();
            let consumer = queue.consumer(Lane::Work, NonZeroU16::new(64).unwrap()).await.unwrap();
            (queue, consumer)
        });
        let (mut envelope, year) = (inputs::envelope(), 365 * 24 * 3600);
        // The queue compares it with the clock.
        envelope.deadline = EpochMs::from(std::time::SystemTime::now()).plus(Duration::from_secs(year));
        Self {
            runtime: Arc::clone(runtime),
            publisher: queue.publisher(),
            consumer: Mutex::new(consumer),
            message: Message { envelope, body: inputs::trigger().into() },
            _queue: queue,
            _directory: directory,
        }
    }

    /// One trigger through the queue: stored durably, taken, forgotten.
    pub fn publish_take_ack(&self) {
        self.runtime.block_on(async {
            self.publish().await;
            self.take_and_ack().await;
        });
    }

    /// Stores one durably.
    pub async fn publish(&self) {
        self.publisher.publish(Lane::Work, &self.message).await.unwrap();
    }

    /// Takes one and forgets it.
    pub async fn take_and_ack(&self) {
        let delivery = self.consumer.lock().await.next().await.unwrap().unwrap();
        delivery.settle(Disposition::Ack).await.unwrap();
    }
}
