//! Triggers that never came to, or through, the stages: they get the safe answer all the same.

use super::{Pipeline, shown};
use crate::{
    outcome::{Attempts, Meta, Outcome, Status},
    redaction::Redactor,
    time::EpochMs,
    trigger::{TriggerBody, TriggerId},
};

/// A trigger that could not be heard: its ids, and a body that may not be one.
pub struct Unheard<'a> {
    /// Its identity.
    pub trigger_id: TriggerId,
    /// Its profile.
    pub profile: &'a str,
    /// Its conversation.
    pub conversation_id: &'a str,
    /// BCP 47.
    pub language: Option<&'a str>,
    /// When it was accepted.
    pub accepted_at: EpochMs,
    /// When its answer should have left.
    pub deadline: EpochMs,
    /// Number of the delivery.
    pub attempt: u32,
    /// The body, for its metadata.
    pub body: &'a [u8],
}

impl Pipeline {
    /// The safe outcome of a trigger of which only ids are known: it never came to, or through, [`Pipeline::run`].
    #[must_use]
    pub fn give_up(&self, ids: &Unheard<'_>, status: Status, error: &'static str, now: EpochMs) -> Outcome {
        let metadata = TriggerBody::parse(ids.body).map(|body| body.metadata).unwrap_or_default();
        let mut redactor = Redactor::new(&self.redaction);
        let metadata = shown::metadata(metadata, &mut redactor);
        let meta = Meta {
            profile: ids.profile.to_owned(),
            attempts: Attempts { llm: 0, work: ids.attempt },
            duration_ms: u64::try_from(now.since(ids.accepted_at).as_millis()).unwrap_or(u64::MAX),
            late: now > ids.deadline,
            ..Meta::default()
        };
        self.decisions.handover().inc();
        let answer = self.safe_answers.pick(ids.language).to_owned();
        Outcome::safe(ids.trigger_id, ids.conversation_id.to_owned(), metadata, status, error, answer, meta)
    }
}
