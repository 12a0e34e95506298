//! Publishing with confirms.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool::managed::PoolError;
use lapin::{Confirmation, options::BasicPublishOptions};

use super::{
    channels::{Lease, Pool},
    limit::Fault,
    parcel::Parcel,
    pulse::Pulse,
    session::Link,
};
use crate::{
    message::{Lane, Message},
    metrics::{Metrics, labels::Published},
    queue::{Publisher, QueueError},
};

/// Waits between tries of [`Outbox::store_patiently`].
const PATIENT_WAIT: Duration = Duration::from_millis(500);
/// How long work in progress waits for a broker that certainly did not store its result.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends parcels; shared by everybody who publishes.
pub(super) struct Outbox {
    pub(super) link: Link,
    pub(super) pool: Pool,
    pub(super) pulse: Arc<Pulse>,
    pub(super) confirm_timeout: Duration,
    pub(super) reserve: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Outbox {
    /// Stores a parcel. It runs on when the caller is cancelled: a channel with a publish in flight would be lost.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub(super) async fn store(self: &Arc<Self>, parcel: Parcel) -> Result<(), QueueError> {
        self.refuse_if_known()?;
        let outbox = Arc::clone(self);
        let sent = tokio::spawn(async move { outbox.send(parcel).await }).await;
        sent.unwrap_or_else(|_| Err(QueueError::Unknown("the publish was aborted".into())))
    }

    /// Stores the result of work in progress: as long as it is certain that nothing was stored, and `wanted`, again.
    /// Giving the delivery back instead would cost one of its returns each time, and the work once more.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub(super) async fn store_patiently(
        self: &Arc<Self>,
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

    async fn send(&self, parcel: Parcel) -> Result<(), QueueError> {
        let began = Instant::now();
        let lease = self.lease().await?;
        let (ended, result) = self.confirm(&lease, parcel, began + self.confirm_timeout).await;
        self.metrics.publish_duration.get(ended).observe(began.elapsed().as_secs_f64());
        match &result {
            Ok(()) => lease.done(),
            Err(QueueError::Unknown(_)) => self.metrics.publishes_unknown.inc(),
            Err(_) => {}
        }
        result
    }

    /// A channel: the pool limits the wait for a free one, here the opening of a new one is limited as well.
    async fn lease(&self) -> Result<Lease, QueueError> {
        let leased = tokio::time::timeout(self.confirm_timeout, self.pool.get()).await;
        match leased {
            Ok(Ok(object)) => Ok(Lease::new(object)),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Timeout(_))) => Err(QueueError::Refused { reason: "no free channel", retry_after: None }),
            Ok(Err(error)) => Err(QueueError::Unreachable(error.to_string())),
            Err(_) => Err(QueueError::Unreachable("no channel was opened in time".into())),
        }
    }

    /// `Ack` without a returned message is the one answer that means *stored*. A negative one does not mean *not
    /// stored*: after a change of leader, or when one of several queues refused, it can be there all the same.
    async fn confirm(&self, lease: &Lease, parcel: Parcel, until: Instant) -> (Published, Result<(), QueueError>) {
        let unknown = |ended, why: &dyn std::fmt::Display| (ended, Err(QueueError::Unknown(why.to_string())));
        let published = async {
            let Some(channel) = lease.channel() else { return Ok(Confirmation::NotRequested) };
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let Parcel { exchange, key, properties, body } = parcel;
            channel.basic_publish(exchange.into(), key, options, &body, properties).await?.await
        };
        match tokio::time::timeout_at(until.into(), published).await {
            Ok(Ok(Confirmation::Ack(None))) => (Published::Confirmed, Ok(())),
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                self.pulse.doubt_topology();
                (Published::Returned, Err(QueueError::Refused { reason: "unroutable", retry_after: None }))
            }
            Ok(Ok(Confirmation::Nack(_))) => unknown(Published::Nacked, &"the broker did not take it"),
            Ok(Ok(Confirmation::NotRequested)) => unknown(Published::Timeout, &"the channel does not confirm"),
            Ok(Err(error)) => {
                let fault = Fault::Refused(error);
                if fault.is_missing() {
                    self.pulse.doubt_topology();
                }
                unknown(Published::Timeout, &fault)
            }
            Err(_) => unknown(Published::Timeout, &"no confirm in time"),
        }
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
