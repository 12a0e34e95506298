//! The loop of one lane: room and the next delivery together, each delivery in a task of its own.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Worker, decide, deliver, drain_end, late,
    slots::{self, SlotPool},
};
use crate::{
    message::Lane,
    queue::{Consumer, Delivery, QueueError},
    shutdown::Shutdown,
    telemetry::{
        names,
        spans::{KeyValue, Origin, Span, SpanKind},
    },
};

/// Works on one lane until the stop signal, then waits for what is in flight. True when all of it was finished.
pub(super) async fn run(
    lane: Lane,
    mut consumer: Box<dyn Consumer>,
    slots: NonZeroU16,
    worker: Arc<Worker>,
    shutdown: Shutdown,
    drain_timeout: Duration,
) -> Result<bool, QueueError> {
    let pool = Arc::new(SlotPool::new(lane, slots, &worker.metrics));
    let room = Arc::new(Semaphore::new(slots::taken(lane, slots).get().into()));
    let in_flight = TaskTracker::new();
    let ended = loop {
        // One future: with the room awaited outside of it, a full worker would not hear the stop signal.
        let next = async {
            let room = Arc::clone(&room).acquire_owned().await;
            (room, consumer.next().await)
        };
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => break Ok(()),
            (room, delivery) = next => match delivery {
                Ok(Some(delivery)) => {
                    let (worker, pool, drain) = (Arc::clone(&worker), Arc::clone(&pool), shutdown.drain.clone());
                    // In a box: what spawns it moves it about.
                    in_flight.spawn(Box::pin(async move {
                        handle(lane, &worker, &pool, &drain, delivery).await;
                        drop(room);
                    }));
                }
                // Only a stop or a closing queue ends a consumer in good order. Without either it died, and a worker that
                // goes on without one of its lanes would look well while triggers pile up.
                Ok(None) if shutdown.drain.is_cancelled() => break Ok(()),
                Ok(None) => break Err(QueueError::Unusable(format!("the consumer of the {} lane died", lane.as_str()))),
                Err(error) => break Err(error),
            }
        }
    };
    worker.metrics.draining.set(1);
    consumer.stop().await;
    in_flight.close();
    let finished = tokio::select! {
        ended = tokio::time::timeout_at(drain_end(drain_timeout), in_flight.wait()) => ended.is_ok(),
        () = shutdown.abort.cancelled() => false,
    };
    ended.map(|()| finished)
}

async fn handle(lane: Lane, worker: &Worker, pool: &SlotPool, drain: &CancellationToken, delivery: Delivery) {
    let span = begin(lane, worker, &delivery);
    let work = async {
        match lane {
            Lane::Work => decide::decide(worker, pool, drain, delivery).await,
            Lane::Late => {
                let _slot = pool.enter().await;
                late::answer(worker, delivery).await;
            }
            Lane::Outcome => {
                let _slot = pool.enter().await;
                deliver::deliver(worker, delivery).await;
            }
        }
    };
    span.scope(work).await;
}

/// The span of a delivery. What comes again, because it was not settled or an operator replayed it, is a trace of its own
/// that points to the first one.
fn begin(lane: Lane, worker: &Worker, delivery: &Delivery) -> Span {
    let envelope = &delivery.message.envelope;
    let first = envelope.traceparent.as_deref();
    let again = delivery.returns > 0 || envelope.replay > 0;
    let origin = if again { Origin::Linked(first) } else { Origin::Continued(first) };
    let mut span = worker.tracer.begin(SpanKind::Consumer, origin, || {
        let attributes = vec![
            KeyValue::new(names::MESSAGING_OPERATION, names::PROCESS),
            KeyValue::new(names::MESSAGING_DESTINATION, lane.as_str()),
            KeyValue::new(names::MESSAGING_ID, envelope.trigger_id.to_string()),
            KeyValue::new(names::PROFILE, envelope.profile.clone()),
            KeyValue::new(names::ATTEMPT, i64::from(envelope.attempt + delivery.returns)),
            KeyValue::new(names::REPLAY, i64::from(envelope.replay)),
        ];
        (format!("{} {}", names::PROCESS, lane.as_str()).into(), attributes)
    });
    let system = span.system();
    span.set(names::MESSAGING_SYSTEM, system);
    span
}
