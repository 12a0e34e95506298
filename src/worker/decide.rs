//! The work lane: a trigger becomes an outcome, which is stored before the trigger is forgotten.

use std::{
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    time::{Duration, SystemTime},
};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{
    Worker,
    decided::Decided,
    disposition::{OwnFailure, own_failure},
    late, progress,
    record::{self, Frozen},
    slots::{Slot, SlotPool},
    thinking,
};
use crate::{
    message::{Disposition, ENVELOPE_VERSION, Envelope, Lane, Message, Reason, Try},
    metrics::labels::OutcomeStatus,
    outcome::Status,
    queue::{Delivery, QueueError, Settled},
    telemetry::{
        names,
        spans::{self, KeyValue, Span, SpanKind},
    },
    time::{EpochMs, work_until},
    trigger::{Trigger, TriggerBody},
};

/// Before an outcome whose storing failed is stored again: whatever refused it needs a moment.
const PAUSE: Duration = Duration::from_secs(1);
/// Before a trigger whose profile is not known is looked at again; a delay level of the lane.
const PROFILE_COMES: Duration = Duration::from_secs(5);

/// Decides one trigger and stores its outcome. It has a slot for deciding only: another trigger may be decided while the
/// outcome is stored.
pub(super) async fn decide(worker: &Worker, slots: &SlotPool, drain: &CancellationToken, mut delivery: Delivery) {
    if delivery.returns > 0 {
        // Its worker died, hung or was stopped: that leaves no other trace.
        note(&mut delivery, Lane::Work, "came_back", Duration::ZERO);
    }
    let envelope = &delivery.message.envelope;
    if let Some(decided) = worker.decided.get(envelope) {
        return settle_decided(worker, delivery, decided).await;
    }
    let Some(profile) = worker.profile(&envelope.profile) else {
        return without_profile(delivery).await;
    };
    let Some(trigger) = understood(&delivery.message) else {
        return to_late(delivery, Reason::Unreadable).await;
    };
    let until = work_until(envelope.accepted_at, envelope.deadline, profile.pipeline.reserve);
    let ControlFlow::Continue(slot) = begin(slots, envelope.accepted_at, until, drain).await else { return };
    // Another worker may have it, if it had to wait.
    if !delivery.is_live() {
        return;
    }
    let now = worker.skew.corrected(SystemTime::now().into(), envelope.accepted_at, &worker.metrics);
    worker.metrics.queue_wait.observe(now.since(envelope.accepted_at).as_secs_f64());
    let attempt = envelope.attempt + delivery.returns;
    if profile.supersede && worker.newer.supersede(envelope) {
        return match late::given_up(worker, &delivery.message, Status::Superseded, "newer_message") {
            Some(outcome) => store(worker, delivery, outcome).await,
            None => try_again(delivery).await,
        };
    }
    progress::running(worker, envelope);
    let first = attempt <= 1 && envelope.replay == 0;
    let run = AssertUnwindSafe(async {
        // In a box: what follows moves it about, and it is the largest part of a delivery in flight.
        let deciding = Box::pin(async {
            match worker.tells_stories() {
                true => profile.pipeline.run_told(None, &trigger, now, attempt).await,
                false => profile.pipeline.run(&trigger, now, attempt).await,
            }
        });
        let decided = thinking::while_deciding(&profile, &trigger, first, deciding).await;
        drop(slot);
        let reply_to = profile.reply_to(Some(&trigger.body), &decided.outcome);
        let stored_at = EpochMs::from(SystemTime::now());
        let frozen = record::freeze(&decided.outcome, reply_to, decided.stages, envelope, stored_at)?;
        Ok::<_, serde_json::Error>(Frozen { told: decided.told.map(Box::new), ..frozen })
    });
    match run.catch_unwind().await {
        Ok(Ok(outcome)) => store(worker, delivery, outcome).await,
        // The outcome of a run always serialises; a failure to is as unforeseen as a panic.
        Ok(Err(_)) | Err(_) => {
            worker.metrics.panics.get(Lane::Work).inc();
            try_again(delivery).await;
        }
    }
}

/// A slot for a trigger, or none where all are in use until its time is over: then no model is asked, but its answer comes
/// in time. At a stop what has none goes back.
async fn begin(
    slots: &SlotPool,
    accepted_at: EpochMs,
    until: EpochMs,
    drain: &CancellationToken,
) -> ControlFlow<(), Option<Slot>> {
    if let Some(slot) = slots.try_enter() {
        return ControlFlow::Continue(Some(slot));
    }
    let left = until.since(EpochMs::from(SystemTime::now()).max(accepted_at));
    tokio::select! {
        biased;
        () = drain.cancelled() => ControlFlow::Break(()),
        slot = slots.enter() => ControlFlow::Continue(Some(slot)),
        () = tokio::time::sleep(left) => ControlFlow::Continue(None),
    }
}

/// A trigger that was decided here already: its outcome is stored again, or the leftover is dropped.
pub(super) async fn settle_decided(worker: &Worker, delivery: Delivery, decided: Decided) {
    match decided {
        Decided::Stored(outcome) => {
            // Whoever sends a trigger again, after a restart of the ingress for instance, still waits for its outcome.
            if let Some(outcome) = outcome {
                progress::done(worker, &outcome);
            }
            settle(delivery, Disposition::Ack).await;
        }
        Decided::Unconfirmed(outcome) => {
            tokio::time::sleep(PAUSE).await;
            store(worker, delivery, *outcome).await;
        }
    }
}

/// While settings are rolled out another worker may know the profile, or this one soon. After the deadline it is late.
async fn without_profile(mut delivery: Delivery) {
    let soon = EpochMs::from(SystemTime::now()).plus(PROFILE_COMES);
    if soon >= delivery.message.envelope.deadline {
        return to_late(delivery, Reason::Unreadable).await;
    }
    note(&mut delivery, Lane::Work, "unknown_profile", PROFILE_COMES);
    settle(delivery, Disposition::Retry { after: PROFILE_COMES }).await;
}

/// The trigger, if this program knows its version and its form.
fn understood(message: &Message) -> Option<Trigger> {
    let envelope = &message.envelope;
    if envelope.version != ENVELOPE_VERSION {
        return None;
    }
    let body = TriggerBody::parse(&message.body).ok()?;
    let trigger = Trigger {
        id: envelope.trigger_id,
        profile: envelope.profile.clone(),
        accepted_at: envelope.accepted_at,
        deadline: envelope.deadline,
        body,
    };
    Some(trigger)
}

/// Stores a decided outcome and forgets the trigger. Until that is certain, the outcome is kept for the redelivery.
pub(super) async fn store(worker: &Worker, delivery: Delivery, mut outcome: Frozen) {
    let span = sending(&mut outcome);
    let trigger = delivery.message.envelope.clone();
    // Told before it is stored: afterwards its callback may be told of first.
    worker.tell_decided(&trigger, &outcome);
    let stored = delivery.store(Lane::Outcome, &outcome.message).await;
    drop(span);
    match stored {
        Ok(settling) => {
            progress::done(worker, &outcome);
            worker.metrics.outcomes.get(OutcomeStatus::Stored(outcome.status)).inc();
            let kept = worker.is_only_asked_for(&trigger.profile).then(|| Box::new(Frozen { told: None, ..outcome }));
            worker.decided.keep(&trigger, Decided::Stored(kept));
            settling.settled().await;
        }
        Err(error) => {
            log_failure(&trigger, &error);
            worker.decided.keep(&trigger, Decided::Unconfirmed(Box::new(outcome)));
        }
    }
}

/// The span in which an outcome is stored; its message carries it on to the callback.
fn sending(outcome: &mut Frozen) -> Span {
    let envelope = &mut outcome.message.envelope;
    let mut span = spans::child(SpanKind::Producer, || {
        let attributes = vec![
            KeyValue::new(names::MESSAGING_OPERATION, names::SEND),
            KeyValue::new(names::MESSAGING_DESTINATION, Lane::Outcome.as_str()),
            KeyValue::new(names::MESSAGING_ID, envelope.trigger_id.to_string()),
            KeyValue::new(names::STATUS, outcome.status.as_str()),
        ];
        (format!("{} {}", names::SEND, Lane::Outcome.as_str()).into(), attributes)
    });
    let system = span.system();
    span.set(names::MESSAGING_SYSTEM, system);
    if let Some(traceparent) = span.traceparent() {
        envelope.traceparent = Some(traceparent);
    }
    span
}

async fn to_late(delivery: Delivery, reason: Reason) {
    let mut message = delivery.message.clone();
    message.envelope.reason = Some(reason);
    if let Err(error) = delivery.hand_over(Lane::Late, &message).await {
        log_failure(&message.envelope, &error);
    }
}

/// Our own failure: a few more tries, then the late lane.
async fn try_again(mut delivery: Delivery) {
    let next = own_failure(delivery.message.envelope.attempt);
    let wait = if let OwnFailure::Retry { after } = next { after } else { Duration::ZERO };
    note(&mut delivery, Lane::Work, "panic", wait);
    match next {
        OwnFailure::Retry { after } => _ = settle(delivery, Disposition::Retry { after }).await,
        OwnFailure::GiveUp => to_late(delivery, Reason::Exhausted).await,
    }
}

/// Notes in the message how this try ended, and the wait before the next one.
pub(super) fn note(delivery: &mut Delivery, lane: Lane, ended: &'static str, wait: Duration) {
    let envelope = &mut delivery.message.envelope;
    let (at, number) = (SystemTime::now().into(), envelope.attempt);
    envelope.tries.note(Try { at, lane, number, ended: ended.into(), wait });
}

/// Settles a delivery; true if that is certain. If it fails nothing is lost: the message comes back.
pub(super) async fn settle(delivery: Delivery, disposition: Disposition) -> bool {
    let envelope = delivery.message.envelope.clone();
    match delivery.settle(disposition).await {
        Ok(settled) => settled == Settled::Done,
        Err(error) => {
            log_failure(&envelope, &error);
            false
        }
    }
}

fn log_failure(envelope: &Envelope, error: &QueueError) {
    let id = envelope.trigger_id;
    tracing::warn!(event = "settlement_failed", trigger_id = %id, error = %error, "a delivery comes back");
}
