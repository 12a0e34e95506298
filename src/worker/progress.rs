//! Telling by notices how far a trigger is, for requests that are held open or ask later. Best effort: nothing waits for
//! it, and nothing is wrong without it.

use serde_json::value::RawValue;

use super::{Worker, record::Frozen};
use crate::{
    json,
    message::{Envelope, Progress},
    queue::notice::{Notice, Topic},
};

/// A worker began to decide it.
pub(super) fn running(worker: &Worker, trigger: &Envelope) {
    let progress = Progress { trigger_id: trigger.trigger_id, profile: (&trigger.profile).into(), outcome: None };
    tell(worker, &progress);
}

/// Its outcome is stored.
pub(super) fn done(worker: &Worker, outcome: &Frozen) {
    let envelope = &outcome.message.envelope;
    if !is_asked_for(worker, &envelope.profile) {
        return;
    }
    let Ok(json) = json::read::<&RawValue>(&outcome.outcome) else { return };
    let (trigger_id, profile) = (envelope.trigger_id, (&envelope.profile).into());
    tell(worker, &Progress { trigger_id, profile, outcome: Some(json) });
}

fn tell(worker: &Worker, progress: &Progress<'_>) {
    if let Some(notices) = &worker.notices
        && is_asked_for(worker, &progress.profile)
        && let Ok(body) = serde_json::to_vec(progress)
    {
        notices.publish(Notice { topic: Topic::Outcome, body: body.into() });
    }
}

fn is_asked_for(worker: &Worker, profile: &str) -> bool {
    worker.profile(profile).is_some_and(|profile| profile.poll)
}
