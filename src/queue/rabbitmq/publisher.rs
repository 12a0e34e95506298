//! Publishing with confirms, as those who publish see it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::{
    mpsc::{self, error::SendTimeoutError},
    oneshot,
};

use super::{
    parcel::Parcel,
    pulse::Pulse,
    session::Link,
    writer::{Waiting, Writer},
};
use crate::{
    message::{Lane, Message},
    metrics::Metrics,
    queue::{Publisher, QueueError},
};

/// Most publishes that wait for writers; more are refused.
const MOST_WAITING: usize = 4_096;
/// How many may wait for a writer before the next one gets some: few channels that are well used cost less than many.
const MANY: usize = 64;

/// Waits between tries of [`Outbox::store_patiently`].
const PATIENT_WAIT: Duration = Duration::from_millis(500);
/// How long work in progress waits for a broker that certainly did not store its result: nothing else could use its slot
/// meanwhile. Less than the half hour after which the broker takes a delivery back by itself.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Starts `count` writers, at least one.
pub(super) fn writers(writer: &Arc<Writer>, count: usize) -> Vec<mpsc::Sender<Waiting>> {
    let count = count.max(1);
    let start = |_| {
        let (sender, waiting) = mpsc::channel(MOST_WAITING.div_ceil(count));
        tokio::spawn(Arc::clone(writer).run(waiting));
        sender
    };
    (0..count).map(start).collect()
}

/// Sends parcels; shared by everybody who publishes.
pub(super) struct Outbox {
    pub(super) link: Link,
    pub(super) writers: Vec<mpsc::Sender<Waiting>>,
    pub(super) pulse: Arc<Pulse>,
    /// Longest wait for a place among those that wait.
    pub(super) channel_timeout: Duration,
    pub(super) reserve: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Outbox {
    /// Stores a parcel. A caller that goes away leaves a publish that ends by itself.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub(super) async fn store(&self, parcel: Parcel) -> Result<(), QueueError> {
        self.refuse_if_known()?;
        let (answer, stored) = oneshot::channel();
        let waiting = Waiting { parcel, since: Instant::now(), answer };
        match self.least_busy().send_timeout(waiting, self.channel_timeout).await {
            Ok(()) => stored.await.unwrap_or_else(|_| Err(QueueError::Unknown("the publish was aborted".into()))),
            Err(SendTimeoutError::Timeout(_)) => {
                Err(QueueError::Refused { reason: "too many publishes", retry_after: None })
            }
            Err(SendTimeoutError::Closed(_)) => Err(QueueError::Unreachable("closed".into())),
        }
    }

    /// The first writer for whom few wait, or else the one for whom the fewest do.
    fn least_busy(&self) -> &mpsc::Sender<Waiting> {
        let waiting = |writer: &mpsc::Sender<_>| writer.max_capacity() - writer.capacity();
        let few = self.writers.iter().find(|writer| waiting(writer) < MANY);
        few.or_else(|| self.writers.iter().min_by_key(|writer| waiting(writer))).unwrap_or(&self.writers[0])
    }

    /// Stores the result of work in progress: as long as it is certain that nothing was stored, and `wanted`, again.
    /// Giving the delivery back instead would cost one of its returns each time, and the work once more.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub(super) async fn store_patiently(
        &self,
        parcel: impl Fn() -> Parcel,
        wanted: impl Fn() -> bool,
    ) -> Result<(), QueueError> {
        let began = Instant::now();
        loop {
            let stored = self.store(parcel()).await;
            let certainly_not = matches!(&stored, Err(QueueError::Refused { .. } | QueueError::Unreachable(_)));
            if !certainly_not || !wanted() || began.elapsed() > PATIENCE {
                return stored;
            }
            tokio::time::sleep(PATIENT_WAIT).await;
        }
    }

    /// Waits until publishing is possible as far as is known.
    pub(super) async fn usable(&self) {
        while self.refuse_if_known().is_err() {
            tokio::time::sleep(PATIENT_WAIT).await;
        }
    }

    /// What is known without asking is answered at once.
    fn refuse_if_known(&self) -> Result<(), QueueError> {
        if self.link.now()?.blocked() {
            return Err(QueueError::Refused { reason: "blocked", retry_after: None });
        }
        Ok(())
    }
}

/// The outbox as the application sees it.
pub(super) struct RabbitPublisher(pub(super) Arc<Outbox>);

#[async_trait]
impl Publisher for RabbitPublisher {
    async fn publish(&self, lane: Lane, message: &Message) -> Result<(), QueueError> {
        self.0.store(Parcel::to_lane(lane, message, self.0.reserve)).await?;
        if lane == Lane::Work {
            self.0.pulse.admission.published();
        }
        Ok(())
    }

    fn admit(&self) -> Result<(), QueueError> {
        self.0.refuse_if_known()?;
        self.0.pulse.admission.check(Instant::now())
    }
}
