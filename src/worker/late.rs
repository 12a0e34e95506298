//! The late lane: triggers that are expired, poisonous or unreadable get the safe answer, never the model.
//!
//! Everything it needs stands in the headers; the body is only tried for its metadata.

use std::{panic::AssertUnwindSafe, time::SystemTime};

use super::{
    Worker, decide,
    record::{self, Frozen},
};
use crate::{
    message::{Disposition, Lane, Message, Reason},
    outcome::Status,
    pipeline::{Stages, Unheard},
    queue::Delivery,
    time::EpochMs,
    trigger::TriggerBody,
};

/// Stores the safe outcome of one trigger.
pub(super) async fn answer(worker: &Worker, delivery: Delivery) {
    if let Some(decided) = worker.decided.get(&delivery.message.envelope) {
        return decide::settle_decided(worker, delivery, decided).await;
    }
    // A panic here would be a poisonous body; the headers alone are safe.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| safe_outcome(worker, &delivery.message)));
    let outcome = outcome.unwrap_or_else(|_| {
        worker.metrics.panics.get(Lane::Late).inc();
        let bare = Message { body: bytes::Bytes::new(), ..delivery.message.clone() };
        safe_outcome(worker, &bare)
    });
    match outcome {
        Some(outcome) => decide::store(worker, delivery, outcome).await,
        None => _ = decide::settle(delivery, Disposition::DeadLetter { reason: Reason::Unreadable }).await,
    }
}

/// The outcome; `None` for a profile that this worker does not know: nobody could be told.
fn safe_outcome(worker: &Worker, message: &Message) -> Option<Frozen> {
    let (status, error) = status(message.envelope.reason);
    given_up(worker, message, status, error)
}

/// The safe outcome of a trigger that is not decided; `None` for a profile that this worker does not know.
pub(super) fn given_up(worker: &Worker, message: &Message, status: Status, error: &'static str) -> Option<Frozen> {
    let envelope = &message.envelope;
    let profile = worker.profile(&envelope.profile)?;
    let ids = Unheard {
        trigger_id: envelope.trigger_id,
        profile: &envelope.profile,
        conversation_id: &envelope.conversation_id,
        language: envelope.language.as_deref(),
        accepted_at: envelope.accepted_at,
        deadline: envelope.deadline,
        attempt: envelope.attempt,
        body: &message.body,
    };
    let now = EpochMs::from(SystemTime::now());
    let outcome = profile.pipeline.give_up(&ids, status, error, now);
    // Only the body has the token of the endpoint; without it the outcome ends among the dead letters.
    let reply_to = profile.reply_to(TriggerBody::parse(&message.body).ok().as_ref(), &outcome);
    record::freeze(&outcome, reply_to, Stages::default(), envelope, now).ok()
}

fn status(reason: Option<Reason>) -> (Status, &'static str) {
    match reason {
        Some(Reason::Expired) | None => (Status::Expired, "deadline_passed"),
        Some(Reason::Poison) => (Status::InternalError, "poison"),
        Some(Reason::Exhausted) => (Status::InternalError, "attempts_exhausted"),
        Some(_) => (Status::InternalError, "unreadable"),
    }
}
