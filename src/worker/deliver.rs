//! The outcome lane: a stored outcome is posted until it is acknowledged, refused or too old.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    Profile, Worker, decide,
    disposition::{Until, after_callback, without_profile},
    posted::Known,
    record::Record,
};
use crate::{
    callback::{CallbackError, StoredOutcome},
    json,
    message::{Disposition, Envelope, Lane, Reason},
    metrics::labels::{CallbackEnd, Ended, OutcomeStatus, Stage, StageFailure},
    outcome::Status,
    queue::Delivery,
    time::EpochMs,
};

/// Posts one outcome once and settles its delivery by the answer.
pub(super) async fn deliver(worker: &Worker, mut delivery: Delivery) {
    // A worker that was frozen may hold a message that another one has posted meanwhile.
    if !delivery.is_live() {
        return;
    }
    let message = delivery.message.clone();
    match worker.posted.get(&message.envelope) {
        Some(Known::Unsettled(disposition)) => return settle(worker, delivery, disposition).await,
        Some(Known::Leftover) => return settle(worker, delivery, Disposition::Ack).await,
        None => {}
    }
    let now = || EpochMs::from(SystemTime::now());
    let Ok(record) = json::read::<Record<'_>>(&message.body) else {
        return settle(worker, delivery, Disposition::DeadLetter { reason: Reason::Unreadable }).await;
    };
    let Some(profile) = worker.profile(&message.envelope.profile) else {
        return settle(worker, delivery, without_profile(&message.envelope, now())).await;
    };
    let longest_life = profile.callback.as_ref().and_then(|callback| callback.longest_life());
    let until = Until::of(&message.envelope, profile.callback_max_age, longest_life);
    let disposition = if until.is_over(now()) {
        Disposition::DeadLetter { reason: Reason::CallbackExpired }
    } else {
        let started = Instant::now();
        let result = post(worker, &profile, &message.envelope, &record).await;
        let took = started.elapsed();
        let disposition = after_callback(&result, message.envelope.attempt, now(), until);
        if let Err(error) = &result {
            let wait = if let Disposition::Retry { after } = disposition { after } else { Duration::ZERO };
            decide::note(&mut delivery, Lane::Outcome, error.code(), wait);
        }
        worker.tell_tried(&message.envelope, &result, took, end(&disposition));
        disposition
    };
    worker.posted.keep(&message.envelope, &disposition);
    if let Some(end) = end(&disposition) {
        finish(worker, &message.envelope, &record, end, now());
    }
    settle(worker, delivery, disposition).await;
}

/// Settles the delivery of an outcome; what is certainly settled is remembered as that.
async fn settle(worker: &Worker, delivery: Delivery, disposition: Disposition) {
    let envelope = delivery.message.envelope.clone();
    if decide::settle(delivery, disposition).await {
        worker.posted.settled(&envelope);
    }
}

/// One try. A panic counts as a failure that may heal, so that it is neither repeated at once nor for ever.
async fn post(
    worker: &Worker,
    profile: &Profile,
    envelope: &Envelope,
    record: &Record<'_>,
) -> Result<(), CallbackError> {
    let Some(callback) = &profile.callback else { return Ok(()) };
    let outcome = StoredOutcome {
        trigger_id: envelope.trigger_id,
        url: envelope.callback.clone(),
        user_id: envelope.user_id.clone(),
        session_id: envelope.session_id.clone(),
        reply_to: record.reply_to.clone(),
        status: record.status,
        body: Bytes::copy_from_slice(record.outcome.get().as_bytes()),
        attempt: envelope.attempt,
    };
    let started = Instant::now();
    let sending = AssertUnwindSafe(callback.send(&outcome, EpochMs::from(SystemTime::now())));
    let result = sending.catch_unwind().await.unwrap_or_else(|_| {
        worker.metrics.panics.get(Lane::Outcome).inc();
        Err(CallbackError::Unavailable { retry_after: None })
    });
    worker.metrics.stage_duration.get(Stage::Callback).observe(started.elapsed().as_secs_f64());
    if let Err(error) = &result {
        let failure = match error {
            CallbackError::Rejected(_) => StageFailure::Rejected,
            _ => StageFailure::Unavailable,
        };
        worker.metrics.stage_failures.get(Stage::Callback, failure).inc();
        tracing::info!(
            event = "callback_failed",
            trigger_id = %envelope.trigger_id,
            attempt = envelope.attempt,
            error = %error,
            "a callback was not acknowledged"
        );
    }
    result
}

/// How a callback ended; nothing if it is tried again.
fn end(disposition: &Disposition) -> Option<CallbackEnd> {
    match disposition {
        Disposition::Retry { .. } => None,
        Disposition::Ack => Some(CallbackEnd::Delivered),
        Disposition::DeadLetter { reason: Reason::CallbackExpired } => Some(CallbackEnd::Expired),
        Disposition::DeadLetter { reason: Reason::CallbackUnknown } => Some(CallbackEnd::GaveUp),
        Disposition::DeadLetter { .. } => Some(CallbackEnd::Rejected),
    }
}

/// Counts and logs a trigger that ends here, one way or the other.
fn finish(worker: &Worker, envelope: &Envelope, record: &Record<'_>, end: CallbackEnd, now: EpochMs) {
    let metrics = &worker.metrics;
    metrics.callback_deliveries.get(end).inc();
    metrics.callback_attempts.observe(f64::from(envelope.attempt));
    let total = now.since(envelope.accepted_at);
    let ended = match end {
        CallbackEnd::Delivered if record.status == Status::Success => Ended::Decided,
        CallbackEnd::Delivered => Ended::SafeAnswer,
        CallbackEnd::Rejected | CallbackEnd::GaveUp | CallbackEnd::Expired => Ended::Undelivered,
    };
    if ended == Ended::Undelivered {
        metrics.outcomes.get(OutcomeStatus::DeadLettered).inc();
    }
    metrics.trigger_duration.get(ended).observe(total.as_secs_f64());
    super::record::log_finished(envelope, record, end, total);
}
