//! The body of a message in the outcome lane: the frozen outcome, and beside it what only the router needs.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    callback::ReplyTo,
    message::{Envelope, Message},
    metrics::labels::{CallbackEnd, Label as _},
    outcome::{Meta, Outcome, Status},
    pipeline::Stages,
    story::Told,
    time::EpochMs,
};

/// A stored outcome. `outcome` keeps its bytes exactly, so every callback try repeats them.
#[derive(Serialize, Deserialize)]
pub struct Record<'a> {
    /// How the trigger ended.
    pub status: Status,
    /// Its error code, for the log.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Figures for the log line of the finished trigger.
    pub figures: Figures,
    /// What the posting needs beside the outcome; older records have none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub reply_to: ReplyTo,
    /// The outcome's JSON.
    #[serde(borrow)]
    pub outcome: &'a RawValue,
}

fn is_empty(reply_to: &ReplyTo) -> bool {
    reply_to.url_token.is_none() && reply_to.text.is_none()
}

/// What the log says of a finished trigger.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// From acceptance until the decision.
    pub decided_ms: u64,
    /// Calls of the model gateway.
    pub llm_calls: u32,
    /// Deliveries to a worker.
    pub work_attempts: u32,
    /// Tokens of the prompts; `None` where unknown.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answers.
    pub completion_tokens: Option<u64>,
    /// Cost in US dollars; `None` where unknown.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// Times of the stages.
    pub stages: Stages,
}

impl Figures {
    fn of(meta: &Meta, stages: Stages) -> Self {
        Self {
            decided_ms: meta.duration_ms,
            llm_calls: meta.attempts.llm,
            work_attempts: meta.attempts.work,
            prompt_tokens: meta.usage.map(|usage| usage.prompt_tokens),
            completion_tokens: meta.usage.map(|usage| usage.completion_tokens),
            cost_usd: meta.cost_usd,
            stages,
        }
    }
}

/// An outcome ready to be stored.
#[derive(Clone)]
pub(super) struct Frozen {
    /// How the trigger ended.
    pub(super) status: Status,
    /// The message for the outcome lane.
    pub(super) message: Message,
    /// The outcome's JSON, a part of that message's body.
    pub(super) outcome: Bytes,
    /// What was asked and answered, where somebody wants to know.
    pub(super) told: Option<Box<Told>>,
}

/// Freezes an outcome into the message that the outcome lane will hold.
///
/// # Errors
/// Never in practice: an outcome is made of types that serialise.
pub(super) fn freeze(
    outcome: &Outcome,
    reply_to: ReplyTo,
    stages: Stages,
    trigger: &Envelope,
    stored_at: EpochMs,
) -> serde_json::Result<Frozen> {
    let json = serde_json::value::to_raw_value(outcome)?;
    let figures = Figures::of(&outcome.meta, stages);
    let record = Record { status: outcome.status, error: outcome.error, figures, reply_to, outcome: &json };
    let envelope = Envelope {
        stored_at: Some(stored_at),
        attempt: 1,
        not_before: None,
        reason: None,
        version: crate::message::ENVELOPE_VERSION,
        ..trigger.clone()
    };
    let message = Message { envelope, body: Bytes::from(serde_json::to_vec(&record)?) };
    // The record ends with it, and a bracket.
    let end = message.body.len() - 1;
    let json = message.body.slice(end - json.get().len()..end);
    Ok(Frozen { status: outcome.status, message, outcome: json, told: None })
}

/// The one log line of a trigger that ended. Ids and figures only.
pub(super) fn log_finished(envelope: &Envelope, record: &Record<'_>, end: CallbackEnd, total: Duration) {
    let figures = &record.figures;
    tracing::info!(
        event = "trigger_finished",
        trigger_id = %envelope.trigger_id,
        trace_id = envelope.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)),
        profile = %envelope.profile,
        status = record.status.as_str(),
        error = record.error,
        callback = end.as_str(),
        callback_attempts = envelope.attempt,
        work_attempts = figures.work_attempts,
        llm_calls = figures.llm_calls,
        prompt_tokens = figures.prompt_tokens,
        completion_tokens = figures.completion_tokens,
        cost_usd = figures.cost_usd,
        history_us = micros(figures.stages.history),
        prompt_us = micros(figures.stages.prompt),
        llm_us = micros(figures.stages.llm),
        decision_us = micros(figures.stages.decision),
        decided_ms = figures.decided_ms,
        total_ms = u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
        "a trigger has ended"
    );
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_keeps_its_bytes_through_the_record() {
        let outcome = r#"{"status":"success", "metadata":{"b":1.50,"a":"é"}}"#;
        let raw: Box<RawValue> = serde_json::from_str(outcome).unwrap();
        let reply_to = ReplyTo { url_token: Some("t".to_owned()), text: Some(String::new()) };
        let figures = Figures::default();
        let record = Record { status: Status::Success, error: None, figures, reply_to, outcome: &raw };
        let bytes = serde_json::to_vec(&record).unwrap();
        let read: Record<'_> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.outcome.get(), outcome);
        assert_eq!(read.reply_to.url_token.as_deref(), Some("t"));
    }

    #[test]
    fn a_record_of_the_first_version_can_still_be_read() {
        let stages = r#"{"history":{"secs":0,"nanos":0},"prompt":{"secs":0,"nanos":0},"llm":{"secs":0,"nanos":0},"decision":{"secs":0,"nanos":0},"total":{"secs":0,"nanos":0}}"#;
        let stages = serde_json::to_string(&Stages::default()).unwrap_or_else(|_| stages.to_owned());
        let old = format!(
            r#"{{"status":"success","figures":{{"decided_ms":1,"llm_calls":1,"work_attempts":1,"prompt_tokens":null,"completion_tokens":null,"stages":{stages}}},"outcome":{{"status":"success"}}}}"#
        );
        let read: Record<'_> = serde_json::from_str(&old).unwrap();
        assert!(read.reply_to.url_token.is_none() && read.reply_to.text.is_none());
    }
}
