//! Publishing in batches: what waits while the channels are busy goes out together, on one channel.
//!
//! A channel is leased to one batch at a time and written to by one task, so lapin attributes every confirm to its own
//! publish, and the broker confirms many of them with one frame. Under little load a batch is one message.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::PoolError;
use lapin::{Channel, Confirmation, PublisherConfirm, options::BasicPublishOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout_at,
};

use super::{
    channels::{Lease, Pool},
    limit::Fault,
    parcel::Parcel,
    pulse::Pulse,
};
use crate::{
    metrics::{Metrics, labels::Published},
    queue::QueueError,
};

/// Most messages of one batch: what one channel then has unconfirmed.
const LARGEST: usize = 64;

/// A parcel on its way, and whoever waits for it.
pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) since: Instant,
    /// Nobody has to listen: a publish that was begun ends by itself.
    pub(super) answer: oneshot::Sender<Result<(), QueueError>>,
}

/// How one publish ended.
type Ending = (Published, Result<(), QueueError>);

/// Takes batches to the broker.
pub(super) struct Batches {
    pub(super) pool: Pool,
    pub(super) pulse: Arc<Pulse>,
    pub(super) confirm_timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Batches {
    /// Runs until nobody can send any more.
    pub(super) async fn run(self: Arc<Self>, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.recv().await {
            let lease = self.lease().await;
            let mut batch = vec![first];
            while batch.len() < LARGEST
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            match lease {
                Ok(lease) => drop(tokio::spawn(Arc::clone(&self).send(lease, batch))),
                // Nobody hears of a refusal that has gone away meanwhile.
                Err(error) => batch.into_iter().for_each(|waiting| drop(waiting.answer.send(Err(error.clone())))),
            }
        }
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

    async fn send(self: Arc<Self>, lease: Lease, batch: Vec<Waiting>) {
        let until = batch.iter().map(|waiting| waiting.since).min().unwrap_or_else(Instant::now) + self.confirm_timeout;
        let (parcels, others): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.parcel, (waiting.since, waiting.answer))).unzip();
        let endings = self.endings(&lease, parcels, until.into()).await;
        // Whatever the broker has answered is no longer in flight.
        if endings.iter().all(|(published, _)| *published != Published::Timeout) {
            lease.done();
        }
        for ((ended, result), (since, answer)) in endings.into_iter().zip(others) {
            self.metrics.publish_duration.get(ended).observe(since.elapsed().as_secs_f64());
            if matches!(result, Err(QueueError::Unknown(_))) {
                self.metrics.publishes_unknown.inc();
            }
            let _ = answer.send(result);
        }
    }

    /// How each parcel ended, in their order.
    async fn endings(&self, lease: &Lease, parcels: Vec<Parcel>, until: tokio::time::Instant) -> Vec<Ending> {
        let count = parcels.len();
        let mut sent = Vec::with_capacity(count);
        let all_sent = match lease.channel() {
            Some(channel) => timeout_at(until, publish(channel, parcels, &mut sent)).await.is_ok(),
            None => true,
        };
        let mut endings = Vec::with_capacity(count);
        for confirm in sent {
            endings.push(match confirm {
                Ok(confirm) => self.confirmed(timeout_at(until, confirm).await),
                Err(error) => self.faulty(error),
            });
        }
        if !all_sent && endings.len() < count {
            // Cut off in the middle of it.
            endings.push(unknown(Published::Timeout, "the broker took nothing in time"));
        }
        let unsent = || (Published::Timeout, Err(QueueError::Unreachable("not sent: its channel was lost".into())));
        endings.resize_with(count, unsent);
        if count > 1 && endings.iter().any(|(published, _)| *published == Published::Returned) {
            // lapin gives a returned message to some publish of the channel, not to its own.
            endings.iter_mut().for_each(|ending| {
                if matches!(ending.0, Published::Confirmed | Published::Returned) {
                    *ending = unknown(Published::Returned, "a message of the batch was unroutable");
                }
            });
        }
        endings
    }

    /// `Ack` without a returned message is the one answer that means *stored*. A negative one does not mean *not
    /// stored*: after a change of leader, or when one of several queues refused, it can be there all the same.
    fn confirmed(&self, answer: Result<lapin::Result<Confirmation>, tokio::time::error::Elapsed>) -> Ending {
        match answer {
            Ok(Ok(Confirmation::Ack(None))) => (Published::Confirmed, Ok(())),
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                self.pulse.doubt_topology();
                (Published::Returned, Err(QueueError::Refused { reason: "unroutable", retry_after: None }))
            }
            Ok(Ok(Confirmation::Nack(_))) => unknown(Published::Nacked, "the broker did not take it"),
            Ok(Ok(Confirmation::NotRequested)) => unknown(Published::Timeout, "the channel does not confirm"),
            Ok(Err(error)) => self.faulty(error),
            Err(_) => unknown(Published::Timeout, "no confirm in time"),
        }
    }

    fn faulty(&self, error: lapin::Error) -> Ending {
        let fault = Fault::Refused(error);
        if fault.is_missing() {
            self.pulse.doubt_topology();
        }
        unknown(Published::Timeout, &fault.to_string())
    }
}

/// Writes the parcels one after the other, until the channel fails.
async fn publish(channel: &Channel, parcels: Vec<Parcel>, sent: &mut Vec<lapin::Result<PublisherConfirm>>) {
    for Parcel { exchange, key, properties, body } in parcels {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirm = channel.basic_publish(exchange.into(), key, options, &body, properties).await;
        let failed = confirm.is_err();
        sent.push(confirm);
        if failed {
            return;
        }
    }
}

fn unknown(ended: Published, why: &str) -> Ending {
    (ended, Err(QueueError::Unknown(why.to_owned())))
}
